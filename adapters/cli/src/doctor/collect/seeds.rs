//! Each seed on its own: an engine that may get its map over key-value connections alone, then one that may get it from the
//! manager alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use settee::connstr::Seed;
use settee::engine::{ConnectionProtocol, EngineConfig, Health, Stage};
use settee::error::ErrorKind;
use settee::map::ClusterMap;
use settee::options::BootstrapOn;
use settee::tls::CertificateFacts;

use super::drive::{Driven, Ended};
use super::{Clock, MOST, seed_addr};
use crate::doctor::facts::{Attempt, HttpFacts, KvFacts, SeedFacts, TlsFacts, TlsOutcome};

/// A seed that failed is tried again for so long: it may have been a passing trouble.
const SECOND_CHANCE: Duration = Duration::from_secs(1);
const MAPLESS: &str = "the server gives no map without a bucket: it is older than 6.5, or this user may not read the cluster's; name a bucket";
/// What a manager gets to answer (D-16).
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn examine(
    config: &EngineConfig,
    from_srv: bool,
    bucket: Option<&str>,
    clock: Clock,
    left_out: &mut Vec<&'static str>,
) -> Vec<SeedFacts> {
    let seeds = &config.seeds;
    if seeds.len() > MOST {
        left_out.push("seeds behind the 64th");
    }
    let mut tasks = Vec::new();
    for seed in seeds.iter().take(MOST) {
        let (config, seed, bucket) = (config.clone(), seed.clone(), bucket.map(str::to_owned));
        tasks
            .push(tokio::spawn(async move { one(&config, &seed, from_srv, bucket.as_deref(), clock).await }));
    }
    let mut facts = Vec::new();
    for task in tasks {
        if let Ok(seed) = task.await {
            facts.push(seed);
        }
    }
    if facts.iter().any(|seed| seed.kv.is_none() && seed.at.kv.is_some()) {
        left_out.push("seeds");
    }
    facts
}

async fn one(
    config: &EngineConfig,
    seed: &Seed,
    from_srv: bool,
    bucket: Option<&str>,
    clock: Clock,
) -> SeedFacts {
    let mut facts = SeedFacts { at: seed_addr(seed), from_srv, kv: None, tls: Vec::new(), http: None };
    if let (Some(port), Some(deadline)) = (seed.kv, clock.stage()) {
        let mut only = seed.clone();
        only.mgmt = None;
        let tried = attempt(config, only, BootstrapOn::Cccp, bucket, deadline).await;
        facts.tls.extend(tried.tls(port));
        let connection = tried.health.connections.iter().find(|conn| conn.protocol == ConnectionProtocol::Kv);
        let list = |names: &[&'static str]| names.iter().map(|name| (*name).to_owned()).collect();
        facts.kv = Some(KvFacts {
            outcome: tried.outcome,
            elapsed: tried.elapsed,
            mechanism: connection.and_then(|conn| conn.mechanism).map(str::to_owned),
            features: connection.map(|conn| list(&conn.features)).unwrap_or_default(),
        });
    }
    if let (Some(port), Some(deadline)) = (seed.mgmt, clock.stage()) {
        let mut only = seed.clone();
        only.kv = None;
        let deadline = deadline.min(Instant::now() + HTTP_TIMEOUT);
        let tried = attempt(config, only, BootstrapOn::Http, bucket, deadline).await;
        facts.tls.extend(tried.tls(port));
        facts.http = Some(HttpFacts { port, outcome: tried.outcome, elapsed: tried.elapsed });
    }
    facts
}

/// What an engine made of one seed.
struct Tried {
    outcome: Result<Arc<ClusterMap>, Attempt>,
    elapsed: Duration,
    health: Health,
    tls: bool,
}

async fn attempt(
    config: &EngineConfig,
    seed: Seed,
    on: BootstrapOn,
    bucket: Option<&str>,
    deadline: Instant,
) -> Tried {
    let started = Instant::now();
    let mut config = config.clone();
    config.seeds = vec![seed];
    config.options.bootstrap_on = on;
    let time = deadline.saturating_duration_since(started);
    config.options.bootstrap_timeout = time;
    config.options.kv_connect_timeout = config.options.kv_connect_timeout.min(time);
    let tls = config.tls();
    let mut driven = Driven::new(config);
    // Servers before 6.5 give maps of buckets alone.
    let bucket = bucket.map(|name| driven.engine.open_bucket(name, started));
    let op = driven.engine.bootstrap(started);
    // The engine ends by itself; the margin lets its own, better error come first.
    let end = deadline + Duration::from_millis(250);
    let mut ended = driven.wait(op, end.min(started + SECOND_CHANCE)).await;
    while ended.is_none() && Instant::now() < end && !has_failed(&driven.engine.health(Instant::now())) {
        ended = driven.wait(op, end.min(Instant::now() + SECOND_CHANCE)).await;
    }
    let elapsed = started.elapsed();
    let health = driven.engine.health(Instant::now());
    let map = driven
        .engine
        .cluster_map()
        .or_else(|| bucket.and_then(|bucket| driven.engine.bucket_map(bucket)))
        .cloned();
    let outcome = match (map, ended) {
        (Some(map), _) => Ok(map),
        (None, Some(Ended::Completed(_, Err(error)))) => {
            let kind = error.context().cause.unwrap_or_else(|| error.kind());
            Err(failure(&health, kind, &error.to_string()))
        }
        (None, _) if health.mapless => {
            Err(Attempt { stage: Stage::Map, kind: None, text: MAPLESS.to_owned() })
        }
        (None, _) => Err(failure(&health, ErrorKind::UnambiguousTimeout, "no answer in time")),
    };
    Tried { outcome, elapsed, health, tls }
}

/// Whether the seed has said no, and not merely nothing, or that it needs more time.
fn has_failed(health: &Health) -> bool {
    let hunts = health.hunt.iter().chain(health.buckets.iter().filter_map(|bucket| bucket.hunt.as_ref()));
    hunts.flat_map(|hunt| &hunt.attempts).any(|attempt| attempt.kind.is_some() && attempt.error.is_some())
}

/// The most telling failure that is known.
fn failure(health: &Health, kind: ErrorKind, otherwise: &str) -> Attempt {
    let hunts = health.hunt.iter().chain(health.buckets.iter().filter_map(|bucket| bucket.hunt.as_ref()));
    let attempts: Vec<_> = hunts.flat_map(|hunt| &hunt.attempts).collect();
    let deepest =
        attempts.iter().filter(|attempt| attempt.error.is_some()).max_by_key(|attempt| attempt.stage);
    if let Some(attempt) = deepest {
        let text = attempt.error.clone().unwrap_or_default();
        return Attempt { stage: attempt.stage, kind: attempt.kind.or(Some(kind)), text };
    }
    if let Some(failure) = health.failures.last() {
        let error = &failure.error;
        return Attempt { stage: error.stage, kind: Some(error.kind), text: error.text.clone() };
    }
    let stage = attempts.iter().map(|attempt| attempt.stage).max().unwrap_or(Stage::Tcp);
    let text = match stage {
        Stage::Tcp => "no answer to the dial: is a firewall in between?",
        Stage::Resolve => "the resolver did not answer in time",
        _ if attempts.is_empty() => otherwise,
        _ => "connected, but no answer: is this the right port?",
    };
    Attempt { stage, kind: Some(kind), text: text.to_owned() }
}

impl Tried {
    /// The handshake, if there was one.
    fn tls(&self, port: u16) -> Option<TlsFacts> {
        if !self.tls {
            return None;
        }
        let read = |chain: &[Vec<u8>]| chain.iter().filter_map(|der| CertificateFacts::read(der)).collect();
        let done = self.health.connections.iter().find_map(|conn| conn.tls.as_ref());
        if let Some(peer) = done {
            let outcome =
                TlsOutcome::Done { version: peer.version.to_owned(), suite: peer.cipher_suite.clone() };
            return Some(TlsFacts { port, outcome, chain: read(&peer.chain) });
        }
        let refused = self.health.failures.iter().rev().find(|failure| failure.error.stage == Stage::Tls);
        if let Some(failure) = refused {
            let outcome = TlsOutcome::Failed(failure.error.text.clone());
            return Some(TlsFacts { port, outcome, chain: read(&failure.certificates) });
        }
        let conn = self.health.connections.iter().find(|conn| {
            !conn.certificates.is_empty()
                || conn.last_error.as_ref().is_some_and(|error| error.stage == Stage::Tls)
        });
        if let Some((conn, error)) = conn.and_then(|conn| Some((conn, conn.last_error.as_ref()?)))
            && error.stage == Stage::Tls
        {
            return Some(TlsFacts {
                port,
                outcome: TlsOutcome::Failed(error.text.clone()),
                chain: read(&conn.certificates),
            });
        }
        match &self.outcome {
            Err(attempt) if attempt.stage == Stage::Tls => {
                Some(TlsFacts { port, outcome: TlsOutcome::Failed(attempt.text.clone()), chain: Vec::new() })
            }
            _ => None,
        }
    }
}
