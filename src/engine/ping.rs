//! `ping` of SDK RFC 0061, version 2: one question to every endpoint of the services asked for (6.2).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::probes::Round;
use super::scope::ScopeId;
use super::table::Work;
use super::{BucketRef, Engine, Event, OpId, Output, json};
use crate::error::ErrorKind;
use crate::map::Service;

/// What [`super::Engine::ping`] asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingRequest {
    /// The bucket whose key-value connections are asked and whose map names the nodes; `None`: those of all buckets, or
    /// the cluster's own connection.
    pub bucket: Option<BucketRef>,
    /// Which services; empty: all that the map offers of key-value, query, search, analytics, views and manager.
    /// Index and backup have no ping and are passed over.
    pub services: Vec<Service>,
    /// Names the report; `None`: one is made up.
    pub id: Option<String>,
    /// The time for all of it, with the wait for the first map; `None`: `bootstrap_timeout`.
    pub timeout: Option<Duration>,
}

/// What came of a ping; by `serde` the JSON of SDK RFC 0061, version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PingReport {
    /// 2.
    pub version: u8,
    /// The caller's, or one of our own.
    pub id: String,
    /// The client identification of 4.2.
    pub sdk: String,
    /// The revision of the map that named the nodes; absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_rev: Option<i64>,
    /// What each endpoint answered, by service.
    #[serde(serialize_with = "json::by_service")]
    pub services: BTreeMap<Service, Vec<EndpointPing>>,
}

/// One endpoint in a [`PingReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointPing {
    /// The connection's identification; empty where there was no connection.
    pub id: String,
    /// Host and port as in the map, not the resolved address; empty where no node offers the service.
    pub remote: String,
    /// The socket's own address, where the adapter tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// How it went.
    pub state: PingState,
    /// From the request's being written to its answer; absent without an answer. Microseconds in JSON.
    #[serde(
        rename = "latency_us",
        serialize_with = "json::maybe_micros",
        skip_serializing_if = "Option::is_none"
    )]
    pub latency: Option<Duration>,
    /// The bucket, of a key-value connection that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What went wrong.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// How one question of a ping went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PingState {
    /// It was answered.
    Ok,
    /// No answer in time.
    Timeout,
    /// It could not be asked, or the answer was an error.
    Error,
}

impl fmt::Display for PingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Error => "error",
        })
    }
}

impl PingReport {
    /// Whether every endpoint answered.
    pub fn is_ok(&self) -> bool {
        self.services.values().flatten().all(|endpoint| endpoint.state == PingState::Ok)
    }
}

/// A ping under way.
#[derive(Debug)]
pub(super) struct Ping {
    bucket: Option<u32>,
    services: Vec<Service>,
    id: String,
    /// Whether the endpoints are being asked; before that the map is awaited.
    begun: bool,
}

impl Engine {
    /// Asks every endpoint of some services for a sign of life (RFC 0061), once the map is there. The end comes as
    /// [`Event::Pinged`], exactly once and at the latest after the time given: what was not answered by then is a
    /// [`PingState::Timeout`] of the report. Only of a cluster that is closed it is an [`Event::Completed`] with
    /// [`ClusterClosed`](crate::error::ErrorKind::ClusterClosed). [`Engine::cancel`] gives it up.
    pub fn ping(&mut self, request: PingRequest, now: Instant) -> OpId {
        self.advance(now);
        self.states_changed = true;
        let bucket = request.bucket.map(|it| it.0).filter(|&it| (it as usize) < self.buckets.len());
        let id = request.id.unwrap_or_else(|| self.entropy.hex_id());
        let timeout = request.timeout.unwrap_or(self.config.options.bootstrap_timeout);
        let ping = Ping { bucket, services: request.services, id, begun: false };
        let op = self.enter(Work::Ping(Box::new(ping)), timeout);
        self.watch(op);
        op
    }

    /// Asks once the map is there; ends when all have answered. Whether it is still under way.
    pub(super) fn drive_ping(&mut self, id: OpId) -> bool {
        let Some(op) = self.ops.get(id) else { return false };
        let Work::Ping(ping) = &op.work else { return false };
        let deadline = op.deadline;
        if !ping.begun {
            let bucket = ping.bucket;
            let map = self.map_for(bucket);
            let mapless = bucket.is_none() && self.mapless;
            if map.is_none() && !mapless {
                let scope = bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
                let hopeless = match bucket {
                    Some(_) => self.is_stopped(scope),
                    None => self.scope_ids().any(|scope| self.is_stopped(scope)),
                };
                if hopeless {
                    self.finish_ping(id);
                }
                return !hopeless;
            }
            let mut services = self.services_to_ask(&ping.services, map.as_deref());
            if services.is_empty() && ping.services.is_empty() {
                services.push(Service::Kv);
            }
            if let Some(Work::Ping(ping)) = self.ops.get_mut(id).map(|op| &mut op.work) {
                ping.begun = true;
            }
            self.begin_round(id, bucket, &services, deadline);
            return true;
        }
        let over = self.rounds.iter().find(|round| round.owner == id).is_none_or(Round::is_over);
        if over {
            self.finish_ping(id);
        }
        !over
    }

    /// The end of a ping: all have answered, or its time is over.
    pub(super) fn finish_ping(&mut self, id: OpId) {
        let Some(Work::Ping(ping)) = self.ops.get(id).map(|op| &op.work) else { return };
        let (bucket, name, asked) = (ping.bucket, ping.id.clone(), ping.services.clone());
        let place = self.rounds.iter().position(|round| round.owner == id);
        let services = match place.and_then(|place| self.rounds.get(place)) {
            Some(round) => self.round_report(round),
            None => self.unasked(bucket, &asked),
        };
        self.take_round(id);
        let report = PingReport {
            version: 2,
            id: name,
            sdk: self.config.agent(&self.instance_id),
            config_rev: self.map_for(bucket).map(|map| map.rev.rev),
            services,
        };
        if self.ops.remove(id) {
            self.deadlines.clear(id.slot);
            self.watchers.retain(|&other| other != id);
            self.outputs.push_back(Output::Event(Event::Pinged { op: id, report: Box::new(report) }));
            self.after_end();
        }
    }

    /// No map came, so nobody could be asked.
    fn unasked(&self, bucket: Option<u32>, asked: &[Service]) -> BTreeMap<Service, Vec<EndpointPing>> {
        let scope = bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
        let report = self.report(scope).or_else(|| self.scope_ids().find_map(|scope| self.report(scope)));
        let state = match &report {
            Some(report) if report.kind != ErrorKind::UnambiguousTimeout => PingState::Error,
            _ => PingState::Timeout,
        };
        let details = report.map_or_else(|| "no cluster map came".to_owned(), |report| report.to_string());
        let mut services = self.services_to_ask(asked, None);
        if services.is_empty() && asked.is_empty() {
            services.push(Service::Kv);
        }
        let entry = EndpointPing {
            id: String::new(),
            remote: String::new(),
            local: None,
            state,
            latency: None,
            namespace: bucket.map(|bucket| self.buckets[bucket as usize].name.clone()),
            details: Some(details),
        };
        services.into_iter().map(|service| (service, vec![entry.clone()])).collect()
    }
}
