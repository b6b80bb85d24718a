//! The engine on all seeds, as a program would run it: map, network, bucket, round trips, and every port that the map
//! announces.

use std::sync::Arc;
use std::time::{Duration, Instant};

use settee::connstr::Seed;
use settee::engine::{DesiredState, EngineConfig, OpKind, Operation, PingRequest, PingState, Stage};
use settee::error::{ErrorKind, OpError};
use settee::map::{ClusterMap, NetworkChoice, NetworkSetting, SeedAddr, Service, choose_network};
use settee::options::BootstrapOn;
use settee::tls::TlsProfile;
use tokio::sync::Semaphore;

use super::drive::{Driven, Ended};
use super::{Clock, MOST, probe, seed_addr};
use crate::doctor::facts::{Attempt, BucketFacts, EndpointFacts, Facts, NoopFacts, WholeFailure, place};

/// NOOPs per node (D-23).
const NOOPS: usize = 10;
/// The time to connect when no seed alone gave a map.
const WITHOUT_HOPE: Duration = Duration::from_secs(2);
/// Most ports that are tried, and how many at a time.
const MOST_PORTS: usize = 512;
const AT_A_TIME: usize = 32;
/// What is tried of each node (D-22).
const SERVICES: [Service; 6] =
    [Service::Kv, Service::Mgmt, Service::Views, Service::Query, Service::Search, Service::Analytics];

pub(super) async fn examine(
    config: &EngineConfig,
    facts: &mut Facts,
    clock: Clock,
    progress: &impl Fn(&str),
) {
    let Some(mut deadline) = clock.stage() else {
        facts.left_out.push("connecting to the cluster");
        return;
    };
    let started = Instant::now();
    if facts.any_map().is_none() {
        // Each seed has failed by itself already; this is for what the engine says of all of them.
        deadline = deadline.min(started + WITHOUT_HOPE);
    }
    let mut config = config.clone();
    let seeds = config.seeds.clone();
    config.options.bootstrap_timeout = deadline.saturating_duration_since(started);
    let profile = config.tls_profile().cloned();
    let mut driven = Driven::new(config.clone());
    let bucket = facts.given.bucket.clone().map(|name| (driven.engine.open_bucket(&name, started), name));
    let op = driven.engine.bootstrap(started);
    let ended = driven.wait(op, deadline + Duration::from_millis(250)).await;
    facts.whole.elapsed = started.elapsed();
    let map = driven
        .engine
        .cluster_map()
        .or_else(|| bucket.as_ref().and_then(|(bucket, _)| driven.engine.bucket_map(*bucket)))
        .cloned();
    facts.whole.map = Some(match (map, ended) {
        (Some(map), _) => Ok(map),
        (None, Some(Ended::Completed(_, Err(error)))) => Err(whole_failure(&driven, &error)),
        (None, _) => Err(WholeFailure { text: "no cluster map in time".to_owned(), hints: Vec::new() }),
    });
    if let Some((reference, name)) = bucket {
        progress("asking for the bucket");
        facts.whole.bucket = Some(ask_bucket(&mut driven, reference, name, clock).await);
    }
    let Some(map) = facts.map().cloned() else {
        // A network that is not there keeps every map from being used; what came shows its names.
        if let Some(map) = facts.any_map().cloned() {
            facts.whole.network = Some(choice(&map, facts, &seeds));
        }
        return;
    };
    facts.whole.network = Some(match driven.engine.health(Instant::now()).network {
        Some(network) => Ok(network),
        None => choice(&map, facts, &seeds),
    });
    progress("trying every port of every node");
    ports(&map, facts, profile, clock).await;
    progress("measuring round trips");
    if facts.given.bucket.is_some() {
        noops(&mut driven, &mut facts.whole.noops, &mut facts.left_out, clock).await;
    } else {
        noops_one_by_one(&config, facts, clock).await;
    }
    driven.engine.shut_down(Duration::ZERO, Instant::now());
}

fn choice(map: &ClusterMap, facts: &Facts, seeds: &[Seed]) -> Result<NetworkChoice, String> {
    let seeds: Vec<SeedAddr> = seeds.iter().map(seed_addr).collect();
    let setting = NetworkSetting::from_option(&facts.given.network);
    choose_network(map, &setting, &seeds, facts.given.tls).map_err(|error| error.detail)
}

fn whole_failure(driven: &Driven, error: &OpError) -> WholeFailure {
    let health = driven.engine.health(Instant::now());
    let hints = health.hunt.as_ref().map(|hunt| hunt.hints.clone()).unwrap_or_default();
    let kind = error.context().cause.unwrap_or_else(|| error.kind());
    WholeFailure { text: format!("connecting by all seeds together fails with {kind:?}"), hints }
}

/// Whether the bucket becomes ready, and whether a document can be asked for.
async fn ask_bucket(
    driven: &mut Driven,
    bucket: settee::engine::BucketRef,
    name: String,
    clock: Clock,
) -> BucketFacts {
    let mut facts = BucketFacts {
        name,
        map: None,
        ready: Err((ErrorKind::UnambiguousTimeout, "there was no time to wait for it".to_owned())),
        read: None,
    };
    if let Some(deadline) = clock.stage() {
        let now = Instant::now();
        // Errors tell this time: in whole milliseconds.
        let left = deadline.saturating_duration_since(now).as_millis();
        let time = Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX));
        let op = driven.engine.wait_until_ready(Some(bucket), DesiredState::Online, time, now);
        facts.ready = match driven.wait(op, deadline + Duration::from_millis(250)).await {
            Some(Ended::Completed(_, Err(error))) => Err(told(&error)),
            Some(_) => Ok(()),
            None => Err((ErrorKind::UnambiguousTimeout, "not ready in time".to_owned())),
        };
    }
    facts.map = driven.engine.bucket_map(bucket).cloned();
    if let (Some(_), Some(deadline)) = (&facts.map, clock.stage()) {
        let collection = driven.engine.collection(bucket, "_default", "_default");
        let started = Instant::now();
        let get = Operation::new(collection, &b"settee-doctor/no-such-document"[..], OpKind::Get);
        facts.read = Some(match driven.engine.submit(get, started) {
            Err(rejected) => Err((ErrorKind::InvalidArgument, format!("{:?}", rejected.why))),
            Ok(op) => match driven.wait(op, deadline).await {
                Some(Ended::Completed(_, Err(error))) if error.kind() != ErrorKind::DocumentNotFound => {
                    Err(told(&error))
                }
                Some(_) => Ok(started.elapsed()),
                None => Err((ErrorKind::UnambiguousTimeout, "no answer in time".to_owned())),
            },
        });
    }
    facts
}

fn told(error: &OpError) -> (ErrorKind, String) {
    (error.context().cause.unwrap_or_else(|| error.kind()), error.to_string())
}

/// Connects to every port that the map announces on the network in use.
async fn ports(map: &ClusterMap, facts: &mut Facts, profile: Option<TlsProfile>, clock: Clock) {
    let Some(deadline) = clock.stage() else {
        facts.left_out.push("ports of the nodes");
        return;
    };
    let network = facts.network().to_owned();
    let mut places = Vec::new();
    for node in &map.nodes {
        for service in SERVICES {
            if let Some((host, port)) = node.endpoint(service, &network, facts.given.tls) {
                places.push((node.index, service, host.to_owned(), port));
            }
        }
    }
    if places.len() > MOST_PORTS {
        facts.left_out.push("ports behind the 512th");
        places.truncate(MOST_PORTS);
    }
    let gate = Arc::new(Semaphore::new(AT_A_TIME));
    let tasks: Vec<_> = places
        .into_iter()
        .map(|(node, service, host, port)| {
            let (gate, profile) = (Arc::clone(&gate), profile.clone());
            tokio::spawn(async move {
                let waiting = tokio::time::timeout_at(deadline.into(), gate.acquire());
                let outcome = match waiting.await {
                    Ok(Ok(_permit)) => probe::connect(&host, port, profile.as_ref(), deadline).await,
                    _ => Err(Attempt {
                        stage: Stage::Tcp,
                        kind: None,
                        text: "there was no time to try it: too many ports do not answer".to_owned(),
                    }),
                };
                EndpointFacts { node, service, host, port, outcome }
            })
        })
        .collect();
    for task in tasks {
        if let Ok(endpoint) = task.await {
            facts.endpoints.push(endpoint);
        }
    }
}

/// Ten round trips on each key-value connection of an engine.
async fn noops(
    driven: &mut Driven,
    found: &mut Vec<NoopFacts>,
    left_out: &mut Vec<&'static str>,
    clock: Clock,
) {
    let Some(deadline) = clock.stage() else {
        left_out.push("round trips");
        return;
    };
    for _ in 0..NOOPS {
        let now = Instant::now();
        if now >= deadline {
            left_out.push("some of the round trips");
            return;
        }
        let request = PingRequest {
            services: vec![Service::Kv],
            timeout: Some(deadline.saturating_duration_since(now)),
            ..PingRequest::default()
        };
        let op = driven.engine.ping(request, now);
        let Some(Ended::Pinged(_, report)) = driven.wait(op, deadline + Duration::from_millis(250)).await
        else {
            return;
        };
        let mut unanswered = false;
        for ping in report.services.values().flatten().filter(|ping| !ping.remote.is_empty()) {
            let place = found.iter().position(|noop| noop.remote == ping.remote).unwrap_or_else(|| {
                found.push(NoopFacts { remote: ping.remote.clone(), samples: Vec::new(), failed: 0 });
                found.len() - 1
            });
            let Some(noop) = found.get_mut(place) else { continue };
            match ping.latency.filter(|_| ping.state == PingState::Ok) {
                Some(latency) => noop.samples.push(latency),
                None => {
                    noop.failed += 1;
                    unanswered = true;
                }
            }
        }
        if unanswered {
            // The next rounds would only wait for the same node.
            return;
        }
    }
}

/// Without a bucket an engine keeps one connection: each data node gets an engine of its own.
async fn noops_one_by_one(config: &EngineConfig, facts: &mut Facts, clock: Clock) {
    let scheme = if facts.given.tls { "couchbases" } else { "couchbase" };
    let reached =
        facts.endpoints.iter().filter(|endpoint| endpoint.service == Service::Kv && endpoint.outcome.is_ok());
    let tasks: Vec<_> = reached
        .take(MOST)
        .filter_map(|endpoint| {
            let seed =
                settee::connstr::parse(&format!("{scheme}://{}=kv", place(&endpoint.host, endpoint.port)));
            let mut config = config.clone();
            config.seeds = seed.ok()?.seeds;
            config.options.bootstrap_on = BootstrapOn::Cccp;
            Some(tokio::spawn(async move {
                let (mut found, mut left_out) = (Vec::new(), Vec::new());
                let mut driven = Driven::new(config);
                noops(&mut driven, &mut found, &mut left_out, clock).await;
                (found, left_out)
            }))
        })
        .collect();
    for task in tasks {
        if let Ok((found, left_out)) = task.await {
            facts.whole.noops.extend(found);
            facts.left_out.extend(
                left_out.into_iter().filter(|part| !facts.left_out.contains(part)).collect::<Vec<_>>(),
            );
        }
    }
}
