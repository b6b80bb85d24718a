//! Finds things out: one stage after the other, each with a time of its own, all of them within one more.

mod drive;
mod names;
mod pool;
mod probe;
mod seeds;
mod whole;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use settee::auth::Authenticator;
use settee::connstr::{ConnectionString, Seed};
use settee::dns::{Answer, ResolverConfig};
use settee::engine::{ConfigError, EngineConfig, Surroundings};
use settee::map::SeedAddr;
use settee::options::{self, Network, Options, Resolved, TlsVerify};
use settee::tls::{TrustSource, is_capella_host};

use super::facts::{Facts, Given, SetupError, place};
pub(crate) use drive::{Driven, Ended};

/// Most seeds and names that are looked at one by one.
const MOST: usize = 64;

/// What a run is given.
pub(crate) struct Case {
    pub(crate) connection_string: String,
    /// Typed settings, under those of the string.
    pub(crate) options: Options,
    pub(crate) authenticator: Authenticator,
    /// Certificates to trust, beside those that the string names.
    pub(crate) trust: Vec<TrustSource>,
    /// In place of the one in the string.
    pub(crate) bucket: Option<String>,
    /// The name servers; `None`: there are none.
    pub(crate) resolver: Option<ResolverConfig>,
    /// For each stage.
    pub(crate) timeout: Duration,
    /// For all of them.
    pub(crate) total: Duration,
}

/// The time that is left.
#[derive(Clone, Copy, Debug)]
struct Clock {
    end: Instant,
    stage: Duration,
}

impl Clock {
    /// The end of a stage that begins now; `None`: there is no time for it.
    fn stage(self) -> Option<Instant> {
        let now = Instant::now();
        (now < self.end).then(|| self.end.min(now + self.stage))
    }
}

/// Runs all stages; `progress` is told of each.
pub(crate) async fn collect(case: &Case, progress: impl Fn(&str)) -> Facts {
    let started = Instant::now();
    let clock = Clock { end: started + case.total, stage: case.timeout };
    progress("looking up names");
    let (mut facts, config) = begin(case, clock).await;
    if let Some(config) = config {
        progress("trying each seed");
        let from_srv = facts.srv_seeds();
        let bucket = facts.given.bucket.clone();
        facts.seeds = seeds::examine(&config, from_srv, bucket.as_deref(), clock, &mut facts.left_out).await;
        progress("connecting to the cluster");
        whole::examine(&config, &mut facts, clock, &progress).await;
        progress("asking the manager");
        pool::examine(&config, &mut facts, clock).await;
    }
    facts.elapsed = started.elapsed();
    facts
}

/// What can be known before anything is dialled, and the configuration of an engine on the seeds that were found.
pub(crate) async fn prepare(case: &Case) -> (Facts, Option<EngineConfig>) {
    begin(case, Clock { end: Instant::now() + case.total, stage: case.timeout }).await
}

async fn begin(case: &Case, clock: Clock) -> (Facts, Option<EngineConfig>) {
    let mut facts = Facts { unix_time: unix_time(), ..Facts::default() };
    let understood = settee::connstr::parse(&case.connection_string).map_err(|error| error.to_string());
    let understood = understood.and_then(|connstr| {
        let resolved = options::resolve(&connstr, case.options.clone()).map_err(|error| error.to_string())?;
        Ok((connstr, resolved))
    });
    let (connstr, resolved) = match understood {
        Ok(understood) => understood,
        Err(text) => {
            facts.refused = Some(text);
            return (facts, None);
        }
    };
    facts.given = given(&resolved, case);
    let config = configure(&connstr, case, &mut facts.given);
    let seeds = look_up(&resolved, &mut facts, case, clock).await;
    match config {
        Ok(mut config) => {
            config.seeds = seeds;
            (facts, Some(config))
        }
        Err(error) => {
            facts.setup = Some(error);
            (facts, None)
        }
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn unix_time() -> i64 {
    i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX)
}

fn seed_addr(seed: &Seed) -> SeedAddr {
    SeedAddr { host: seed.host.to_string(), kv: seed.kv, mgmt: seed.mgmt }
}

/// What the string and the settings mean together.
fn given(resolved: &Resolved, case: &Case) -> Given {
    let seeds: Vec<SeedAddr> = resolved.seeds.iter().map(seed_addr).collect();
    let scheme = if resolved.tls { "couchbases" } else { "couchbase" };
    let (kv, mgmt) = if resolved.tls { (11207, 18091) } else { (11210, 8091) };
    let hosts: Vec<String> = seeds
        .iter()
        .map(|seed| match (seed.kv, seed.mgmt) {
            (Some(port), _) if port != kv => place(&seed.host, port),
            (None, Some(port)) if port != mgmt => format!("{}=http", place(&seed.host, port)),
            (None, _) => format!("{}=http", seed.host),
            _ => seed.host.clone(),
        })
        .collect();
    let options = &resolved.options;
    Given {
        text: format!("{scheme}://{}", hosts.join(",")),
        tls: resolved.tls,
        capella: seeds.iter().any(|seed| is_capella_host(&seed.host)),
        bucket: case.bucket.clone().or_else(|| resolved.bucket.clone()),
        profile: options.profile.map(|profile| profile.to_string()),
        warnings: resolved.warnings.clone(),
        settings: options
            .effective()
            .into_iter()
            .filter(|setting| setting.changed)
            .map(|setting| (setting.name.to_owned(), setting.value))
            .collect(),
        verify: options.tls_verify == TlsVerify::Peer,
        verify_hostname: options.tls_verify_hostname,
        network: match &options.network {
            Network::Auto => "auto".to_owned(),
            Network::Named(name) => name.clone(),
        },
        kv_timeout: options.kv_timeout,
        kv_connect_timeout: options.kv_connect_timeout,
        http_only: options.bootstrap_on == options::BootstrapOn::Http,
        trust_notes: Vec::new(),
        seeds,
    }
}

/// The configuration of every engine of the run. SRV records are asked for apart, so it knows no name server.
fn configure(connstr: &ConnectionString, case: &Case, given: &mut Given) -> Result<EngineConfig, SetupError> {
    let mut read = |path: &str| std::fs::read(path).map_err(|error| error.to_string());
    let mut problems = Vec::new();
    let mut platform = || {
        let store = settee_tokio::trust::platform_store();
        problems.clone_from(&store.problems);
        store
    };
    let surroundings = Surroundings {
        files: &mut read,
        platform: &mut platform,
        trust: case.trust.clone(),
        resolver: None,
        unix_time: unix_now(),
    };
    let config = EngineConfig::with(connstr, case.options.clone(), case.authenticator.clone(), surroundings);
    problems.truncate(3);
    given.trust_notes = problems;
    let mut config = config.map_err(|error| match error {
        ConfigError::Tls(settee::tls::TlsError::Identity { .. }) => {
            SetupError::Credentials(error.to_string())
        }
        ConfigError::Tls(_) | ConfigError::FeatureNotAvailable { .. } => SetupError::Trust(error.to_string()),
        ConfigError::File { .. } => SetupError::Credentials(error.to_string()),
        ConfigError::InvalidArgument(text) if is_about_credentials(&text) => SetupError::Credentials(text),
        other => SetupError::Other(other.to_string()),
    })?;
    config.default_bucket = None;
    config.platform = concat!("settee-doctor/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(config)
}

fn is_about_credentials(text: &str) -> bool {
    ["token", "certificate", "password", "key_path"].iter().any(|word| text.contains(word))
}

/// SRV records and addresses; returns where to begin.
async fn look_up(resolved: &Resolved, facts: &mut Facts, case: &Case, clock: Clock) -> Vec<Seed> {
    let mut seeds = resolved.seeds.clone();
    let Some(deadline) = clock.stage() else {
        facts.left_out.push("names");
        return seeds;
    };
    let left = move || deadline.saturating_duration_since(Instant::now());
    if let Some(query) = &resolved.srv_query {
        let host = facts.given.seeds.first().map(|seed| seed.host.clone()).unwrap_or_default();
        let resolver = case.resolver.clone().unwrap_or_else(|| ResolverConfig::new(Vec::new()));
        let time = resolved.options.dns_srv_timeout.min(left());
        let for_tls = query.strip_prefix("_couchbase._tcp.").map(|host| format!("_couchbases._tcp.{host}"));
        let both = async {
            let other = async {
                match &for_tls {
                    Some(name) => names::srv(name, &resolver, time).await,
                    None => None,
                }
            };
            tokio::join!(names::srv(query, &resolver, time), other, names::look_up(&host, left()))
        };
        let (outcome, other, host) = both.await;
        if let Some(Answer::Records(targets)) = outcome.as_ref().map(|outcome| &outcome.answer) {
            let found: Vec<Seed> = targets
                .iter()
                .filter_map(|target| Seed::from_srv(&target.host, target.port, resolved.tls))
                .collect();
            if !found.is_empty() {
                seeds = found;
            }
        }
        (facts.srv, facts.srv_for_tls, facts.srv_host) = (outcome, other, Some(host));
    }
    let mut hosts: Vec<String> = Vec::new();
    for seed in &seeds {
        let host = seed.host.to_string();
        let is_name = matches!(seed.host, settee::connstr::Host::Name(_));
        if is_name && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.len() > MOST {
        facts.left_out.push("names behind the 64th");
        hosts.truncate(MOST);
    }
    let tasks: Vec<_> = hosts
        .into_iter()
        .map(|host| tokio::spawn(async move { names::look_up(&host, left()).await }))
        .collect();
    for task in tasks {
        if let Ok(name) = task.await {
            facts.names.push(name);
        }
    }
    seeds
}

#[cfg(test)]
mod tests;
