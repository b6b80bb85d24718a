//! Rounds of questions to endpoints: what a ping consists of, and the last stage of readiness (6.2, BOOT-28).
//!
//! ```text
//!  Queued ---> Waiting (for a key-value connection) ---> Asked ---> over: answered, failed, out of time
//!        \---> Asked (over HTTP, on a link of its own) --/
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fetch::{Errand, Want};
use super::link::{Failure, Link, Phase, Role};
use super::ping::{EndpointPing, PingState};
use super::web::WebAnswer;
use super::{Engine, OpId, Tag};
use crate::error::ErrorKind;
use crate::ids::Opaque;
use crate::map::{ClusterMap, Endpoint, Service};
use crate::trace::debug;
use crate::wire::{Encode, Opcode, Status};

/// So many questions over HTTP are under way at a time: a map may list any number of nodes.
const PARALLEL: usize = 32;

/// What a ping asks where nobody says what.
const USUAL: [Service; 6] =
    [Service::Kv, Service::Mgmt, Service::Views, Service::Query, Service::Search, Service::Analytics];

/// One question to each endpoint.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) owner: OpId,
    pub(super) probes: Vec<Probe>,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Probe {
    number: u32,
    pub(super) service: Service,
    remote: Option<Endpoint>,
    namespace: Option<u32>,
    /// The link, told from a later one at the same index.
    via: Option<(u32, u32)>,
    id: String,
    local: Option<SocketAddr>,
    sent: Option<Instant>,
    written: bool,
    step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Queued,
    Waiting,
    Asked,
    Over(PingState, Option<Duration>, Option<String>),
}

impl Round {
    pub(super) fn is_over(&self) -> bool {
        self.probes.iter().all(|probe| matches!(probe.step, Step::Over(..)))
    }

    /// Whether each service has an endpoint that answered.
    pub(super) fn has_one_of_each(&self) -> bool {
        let ok = |probe: &&Probe| matches!(probe.step, Step::Over(PingState::Ok, ..));
        self.probes
            .iter()
            .all(|probe| self.probes.iter().filter(ok).any(|answered| answered.service == probe.service))
    }

    pub(super) fn all_answered(&self) -> bool {
        self.probes.iter().all(|probe| matches!(probe.step, Step::Over(PingState::Ok, ..)))
    }
}

impl Probe {
    fn new(number: u32, service: Service, remote: Option<Endpoint>) -> Self {
        Self {
            number,
            service,
            remote,
            namespace: None,
            via: None,
            id: String::new(),
            local: None,
            sent: None,
            written: false,
            step: Step::Queued,
        }
    }

    /// What went wrong, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        let remote = self.remote.as_ref().map_or_else(|| "no node".to_owned(), Endpoint::to_string);
        match &self.step {
            Step::Over(PingState::Ok, ..) => None,
            Step::Over(state, _, details) => Some(format!(
                "{} {remote}: {}",
                self.service,
                details.clone().unwrap_or_else(|| state.to_string())
            )),
            Step::Queued | Step::Waiting | Step::Asked => {
                Some(format!("{} {remote}: no answer yet", self.service))
            }
        }
    }
}

/// The path that a service answers pings at (6.2).
const fn path(service: Service) -> &'static str {
    match service {
        Service::Query | Service::Analytics => "/admin/ping",
        Service::Search => "/api/ping",
        _ => "/",
    }
}

impl Engine {
    /// The services to ask: those named, or the usual ones that some node offers. Index and backup have no ping.
    pub(super) fn services_to_ask(&self, named: &[Service], map: Option<&ClusterMap>) -> Vec<Service> {
        let mut services: Vec<Service> = if named.is_empty() {
            USUAL.into_iter().filter(|&it| map.is_some_and(|map| self.is_offered(map, it))).collect()
        } else {
            let with_ping = |service: &Service| !matches!(service, Service::Index | Service::Backup);
            named.iter().copied().filter(with_ping).collect()
        };
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Whether some node offers a service on the network and in the mode in use (NET-7).
    pub(super) fn is_offered(&self, map: &ClusterMap, service: Service) -> bool {
        !self.endpoints_of(map, service).is_empty()
    }

    fn endpoints_of(&self, map: &ClusterMap, service: Service) -> Vec<Endpoint> {
        let Some(network) = &self.network else { return Vec::new() };
        let tls = self.config.tls();
        let endpoints = map.nodes.iter().filter_map(|node| node.endpoint(service, network, tls));
        endpoints.map(|(host, port)| Endpoint::new(host, port)).collect()
    }

    /// Why a service cannot be asked.
    pub(super) fn not_offered(&self, service: Service) -> String {
        let mode = if self.config.tls() { "with TLS" } else { "without TLS" };
        let network = self.network.as_deref().unwrap_or_default();
        format!("ServiceNotAvailable: no node offers {service} {mode} on the network {network:?}")
    }

    /// The map that names the nodes for a ping.
    pub(super) fn map_for(&self, bucket: Option<u32>) -> Option<Arc<ClusterMap>> {
        match bucket {
            Some(bucket) => self.buckets[bucket as usize].scope.map.clone(),
            None => self.cluster.map.clone(),
        }
    }

    /// Begins to ask every endpoint of some services.
    pub(super) fn begin_round(
        &mut self,
        owner: OpId,
        bucket: Option<u32>,
        services: &[Service],
        deadline: Instant,
    ) {
        let map = self.map_for(bucket);
        let mut round = Round { owner, probes: Vec::new(), deadline };
        for &service in services {
            if service == Service::Kv {
                self.add_kv_probes(&mut round, bucket);
                continue;
            }
            let endpoints = map.as_deref().map(|map| self.endpoints_of(map, service)).unwrap_or_default();
            if endpoints.is_empty() {
                let why = if map.is_none() {
                    // Before 6.5 what is there comes with the first bucket (4.4).
                    "FeatureNotAvailable: this cluster tells of its services only when a bucket is open: open a bucket first".to_owned()
                } else {
                    self.not_offered(service)
                };
                let mut probe = Probe::new(self.probe_number(), service, None);
                probe.step = Step::Over(PingState::Error, None, Some(why));
                round.probes.push(probe);
            }
            for endpoint in endpoints {
                round.probes.push(Probe::new(self.probe_number(), service, Some(endpoint)));
            }
        }
        self.rounds.push(round);
        self.states_changed = true;
    }

    fn add_kv_probes(&mut self, round: &mut Round, bucket: Option<u32>) {
        let buckets: Vec<u32> = match bucket {
            Some(bucket) => vec![bucket],
            None => (0..self.buckets.len() as u32).collect(),
        };
        let members = buckets.iter().flat_map(|&bucket| &self.buckets[bucket as usize].slots);
        let mut links: Vec<u32> = members.flatten().copied().collect();
        if links.is_empty() && bucket.is_none() {
            links.extend(self.idle_link());
        }
        for index in &links {
            let number = self.probe_number();
            let Some(link) = self.link(*index) else { continue };
            let mut probe = Probe::new(number, Service::Kv, Some(link.endpoint.clone()));
            probe.namespace = link.bucket;
            probe.via = Some((*index, link.serial));
            probe.step = Step::Waiting;
            let asleep = matches!(link.phase, Phase::Asleep);
            round.probes.push(probe);
            if asleep {
                self.dial(*index);
            }
        }
        if links.is_empty() {
            let mut probe = Probe::new(self.probe_number(), Service::Kv, None);
            let why = "there is no key-value connection to ask on".to_owned();
            probe.step = Step::Over(PingState::Error, None, Some(why));
            round.probes.push(probe);
        }
    }

    fn probe_number(&mut self) -> u32 {
        self.probe_serial = self.probe_serial.wrapping_add(1);
        self.probe_serial
    }

    /// Asks what can be asked.
    pub(super) fn run_rounds(&mut self) {
        let mut rounds = std::mem::take(&mut self.rounds);
        for round in &mut rounds {
            let http = |probe: &&Probe| probe.service != Service::Kv && probe.step == Step::Asked;
            let mut room = PARALLEL.saturating_sub(round.probes.iter().filter(http).count());
            let deadline = round.deadline;
            round.probes.retain_mut(|probe| match probe.step {
                Step::Waiting => self.ask_kv(probe),
                Step::Queued if room > 0 => {
                    room -= 1;
                    self.ask_http(probe, deadline);
                    true
                }
                _ => true,
            });
        }
        // What began meanwhile comes behind.
        rounds.append(&mut self.rounds);
        self.rounds = rounds;
    }

    /// Asks on a key-value connection that serves; `false`: its node has left the map and there is nobody to ask.
    fn ask_kv(&mut self, probe: &mut Probe) -> bool {
        let now = self.now;
        let Some((index, serial)) = probe.via else { return false };
        let Some(link) = self.link(index).filter(|link| link.serial == serial && link.draining.is_none())
        else {
            return false;
        };
        if let (Phase::Waiting { .. }, Some((_, failure))) = (&link.phase, &link.notes.failed) {
            probe.id = self.connection_id(link);
            probe.step = failed(failure, false);
            self.states_changed = true;
            return true;
        }
        if !link.is_ready() {
            return true;
        }
        probe.id = self.connection_id(link);
        probe.local = link.local;
        let Some(link) = self.link_mut(index) else { return false };
        let Some(connection) = link.connection_mut() else { return true };
        let noop = Encode::request(Opcode::NOOP, Opaque(0));
        if connection.send(Tag::Ping(probe.number), noop, &bytes::Bytes::new()).is_ok() {
            probe.sent = Some(now);
            probe.step = Step::Asked;
            link.notes.unwritten_pings = true;
            self.announce_transmit(index);
        } else {
            let why = "the connection takes no request: as many are under way as it may have".to_owned();
            probe.step = Step::Over(PingState::Error, None, Some(why));
            self.states_changed = true;
        }
        true
    }

    fn ask_http(&mut self, probe: &mut Probe, deadline: Instant) {
        let Some(endpoint) = probe.remote.clone() else { return };
        let errand =
            Errand { path: path(probe.service).to_owned(), want: Want::Status(u64::from(probe.number)) };
        probe.step = Step::Asked;
        let index = self.new_link(endpoint, None, Role::Errand, Some(errand));
        if let Some(link) = self.link(index) {
            probe.via = Some((index, link.serial));
        }
        self.dial(index);
        if let Some(link) = self.link_mut(index) {
            link.deadline = deadline;
            link.notes.unwritten_pings = true;
        }
        self.arm(index);
    }

    fn find_probe(&mut self, number: u32) -> Option<&mut Probe> {
        let mut probes = self.rounds.iter_mut().flat_map(|round| &mut round.probes);
        probes.find(|probe| probe.number == number && probe.step == Step::Asked)
    }

    /// All bytes of a link are written: those of pings as well.
    pub(super) fn on_pings_written(&mut self, index: u32, serial: u32) {
        let now = self.now;
        for probe in self.rounds.iter_mut().flat_map(|round| &mut round.probes) {
            if probe.via == Some((index, serial)) && probe.step == Step::Asked && !probe.written {
                probe.written = true;
                probe.sent = Some(now);
            }
        }
    }

    /// The answer to a NOOP.
    pub(super) fn on_pong(&mut self, number: u32, status: Status) {
        let now = self.now;
        let Some(probe) = self.find_probe(number) else { return };
        let latency = probe.sent.map(|sent| now.saturating_duration_since(sent));
        probe.step = if status == Status::SUCCESS {
            Step::Over(PingState::Ok, latency, None)
        } else {
            Step::Over(PingState::Error, latency, Some(format!("the node answered {status}")))
        };
        self.states_changed = true;
    }

    /// The connection ended before the answer to a NOOP.
    pub(super) fn on_ping_lost(&mut self, index: u32, number: u32) {
        let failure = self.link(index).and_then(|link| link.notes.failed.as_ref());
        let why = failure.map_or_else(
            || "the connection ended before the answer".to_owned(),
            |(_, failure)| format!("the connection ended before the answer: {}", failure.text),
        );
        if let Some(probe) = self.find_probe(number) {
            probe.step = Step::Over(PingState::Error, None, Some(why));
            self.states_changed = true;
        }
    }

    /// An errand's link is about to go: what its report needs of it.
    pub(super) fn note_errand(&mut self, number: u64, index: u32) {
        let Some(link) = self.link(index) else { return };
        let (id, local) = (self.connection_id(link), link.local);
        let Ok(number) = u32::try_from(number) else { return };
        if let Some(probe) = self.find_probe(number) {
            probe.id = id;
            probe.local = local;
        }
    }

    /// The answer to a question over HTTP; whether it was one of a round.
    pub(super) fn on_http_pong(&mut self, number: u32, answer: &Result<WebAnswer, Failure>) -> bool {
        let now = self.now;
        let Some(round) = self.rounds.iter().find(|round| {
            round.probes.iter().any(|probe| probe.number == number && probe.step == Step::Asked)
        }) else {
            return false;
        };
        let late = round.deadline <= now;
        let Some(probe) = self.find_probe(number) else { return false };
        let latency = probe.sent.map(|sent| now.saturating_duration_since(sent));
        probe.step = match answer {
            Ok(answer) => {
                // A service that has no page for pings shows by any answer of its own that it lives.
                let lives = match probe.service {
                    Service::Query | Service::Analytics | Service::Search => {
                        (200..300).contains(&answer.status)
                    }
                    _ => answer.status < 500,
                };
                if lives {
                    Step::Over(PingState::Ok, latency, None)
                } else {
                    Step::Over(PingState::Error, latency, Some(format!("HTTP {}", answer.status)))
                }
            }
            Err(failure) => failed(failure, late),
        };
        debug!(service = %probe.service, number, "ping over HTTP is over");
        self.states_changed = true;
        true
    }

    /// Takes the round of an operation away, with the links that only it needs.
    pub(super) fn take_round(&mut self, owner: OpId) -> Option<Round> {
        let place = self.rounds.iter().position(|round| round.owner == owner)?;
        let round = self.rounds.remove(place);
        for probe in &round.probes {
            if probe.service != Service::Kv && probe.step == Step::Asked {
                self.remove_errand(probe.number);
            }
        }
        Some(round)
    }

    /// Closes the link of an errand that nobody waits for.
    pub(super) fn remove_errand(&mut self, number: u32) {
        let is_it = |link: &Link| {
            link.errand.as_ref().is_some_and(|errand| errand.want.asker() == Some(u64::from(number)))
        };
        let found = self.link_indexes().into_iter().find(|&index| self.link(index).is_some_and(is_it));
        if let Some(index) = found {
            self.remove_link(index);
        }
    }

    /// Each question with its end; those without one are out of time.
    pub(super) fn round_report(&self, round: &Round) -> BTreeMap<Service, Vec<EndpointPing>> {
        let mut services: BTreeMap<Service, Vec<EndpointPing>> = BTreeMap::new();
        for probe in &round.probes {
            let link =
                probe.via.and_then(|(index, serial)| self.link(index).filter(|it| it.serial == serial));
            let (state, latency, details) = match &probe.step {
                Step::Over(state, latency, details) => (*state, *latency, details.clone()),
                Step::Queued => (PingState::Timeout, None, Some("its turn did not come".to_owned())),
                Step::Waiting => {
                    let failure = link.and_then(|link| link.notes.failed.as_ref());
                    let details = match (failure, link) {
                        (Some((_, failure)), _) => format!("failed at {}: {}", failure.stage, failure.text),
                        (None, Some(link)) => format!("the connection is at {}", link.stage()),
                        (None, None) => "there is no connection".to_owned(),
                    };
                    (PingState::Timeout, None, Some(details))
                }
                Step::Asked => {
                    let stage = link.filter(|link| link.errand.is_some()).map(Link::stage);
                    let details = match stage {
                        Some(stage) if stage < super::Stage::Map => format!("the connection is at {stage}"),
                        _ => "no answer in time".to_owned(),
                    };
                    (PingState::Timeout, None, Some(details))
                }
            };
            services.entry(probe.service).or_default().push(EndpointPing {
                id: match link.filter(|_| probe.id.is_empty()) {
                    Some(link) => self.connection_id(link),
                    None => probe.id.clone(),
                },
                remote: probe.remote.as_ref().map(Endpoint::to_string).unwrap_or_default(),
                local: probe.local.or_else(|| link.and_then(|link| link.local)),
                state,
                latency,
                namespace: probe.namespace.map(|bucket| self.buckets[bucket as usize].name.clone()),
                details,
            });
        }
        services
    }
}

fn failed(failure: &Failure, late: bool) -> Step {
    let state = if late && failure.kind == ErrorKind::UnambiguousTimeout {
        PingState::Timeout
    } else {
        PingState::Error
    };
    Step::Over(state, None, Some(format!("failed at {}: {}", failure.stage, failure.text)))
}
