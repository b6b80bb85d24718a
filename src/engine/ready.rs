//! `wait_until_ready` with services: topology, connections, the bucket's nodes, pings (BOOT-28, BOOT-29).
//!
//! ```text
//!  Connections ---> Bucket ---> Services ---> ready
//!  (topology, KV)   (manager)   (a round of pings, again after a pause)
//! ```

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::fetch::{Errand, Want};
use super::link::{Failure, Role};
use super::probes::{Probe, Round};
use super::table::Work;
use super::web::WebAnswer;
use super::{BucketRef, DesiredState, Engine, OpId, Response};
use crate::error::ErrorKind;
use crate::http;
use crate::map::Service;
use crate::trace::{debug, warning};

/// Between two questions to the manager for the bucket's nodes.
const BUCKET_PAUSE: Duration = Duration::from_millis(100);
const BUCKET_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Between two rounds of pings.
const PING_PAUSE: Duration = Duration::from_millis(10);
const PING_PAUSE_MAX: Duration = Duration::from_secs(1);
/// So long may the answers to one round take.
const ROUND: Duration = Duration::from_secs(10);
/// So many troubles are listed in an error.
const TROUBLES: usize = 16;
/// So many characters of a manager's texts are shown in an error.
const TEXT: usize = 128;

/// What [`Engine::wait_until_ready_with`] waits for. A state of "offline" cannot be asked for (BOOT-28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyRequest {
    /// The bucket; `None`: the cluster.
    pub bucket: Option<BucketRef>,
    /// Every endpoint, or at least one of each service.
    pub desired: DesiredState,
    /// Which services have to answer; empty: all that the map offers of key-value, query, search, analytics, views and
    /// manager.
    pub services: Vec<Service>,
    /// The time for all of it.
    pub timeout: Duration,
}

/// How far a wait with services is.
#[derive(Debug)]
pub(super) struct Staged {
    services: Vec<Service>,
    stage: ReadyStage,
    /// The pause before the next try of this stage.
    pause: Duration,
    /// A pause is running.
    pausing: bool,
    /// The question to the manager that is under way.
    errand: Option<u32>,
    /// Counts the questions, so that each manager is asked in turn.
    turn: usize,
    /// What went wrong last, by endpoint.
    troubles: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadyStage {
    Connections,
    Bucket,
    Services,
}

/// The part that counts of `GET /pools/default/buckets/<name>`.
#[derive(Deserialize)]
struct BucketDocument {
    #[serde(default)]
    nodes: Vec<BucketNode>,
}

#[derive(Deserialize)]
struct BucketNode {
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    status: String,
}

impl Staged {
    /// The stage and what holds it up, for the error (BOOT-29).
    fn describe(&self, round: Option<&Round>) -> String {
        let stage = match self.stage {
            ReadyStage::Connections => "connections",
            ReadyStage::Bucket => "bucket",
            ReadyStage::Services => "services",
        };
        let asked = round.map(|round| round.probes.iter().filter_map(Probe::trouble).collect::<Vec<_>>());
        let troubles = asked.as_ref().unwrap_or(&self.troubles);
        if troubles.is_empty() {
            return format!("at the stage {stage:?}");
        }
        let shown = troubles.iter().take(TROUBLES).map(String::as_str).collect::<Vec<_>>().join("; ");
        let more = troubles.len().saturating_sub(TROUBLES);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("at the stage {stage:?}: {shown}{more}")
    }

    fn enter(&mut self, stage: ReadyStage, pause: Duration) {
        self.stage = stage;
        self.pause = pause;
        self.troubles.clear();
    }
}

impl Engine {
    /// Waits until a bucket, or without one the cluster, can be used as `desired`, services and all (BOOT-28):
    ///
    /// 1. the map is there;
    /// 2. of a bucket: its nodes are connected (all of them for [`DesiredState::Online`], also with lazy connections)
    ///    and the manager says that they are healthy; that is passed over where the manager refuses the question
    ///    (401, 403) or no manager is known;
    /// 3. each endpoint of the services answers a ping; for [`DesiredState::Degraded`] one of each service.
    ///
    /// Stages 2 and 3 send HTTP requests; [`Engine::wait_until_ready`] sends none and is done when the key-value
    /// connections are.
    ///
    /// The end is an [`Event::Completed`](super::Event::Completed): [`Response::Ready`], or `UnambiguousTimeout` with the
    /// stage, what went wrong at each endpoint and the attempts to connect (BOOT-29); earlier where credentials or
    /// certificates are refused, or where no node offers a service that was asked for by name (NET-7).
    pub fn wait_until_ready_with(&mut self, request: ReadyRequest, now: Instant) -> OpId {
        self.advance(now);
        self.states_changed = true;
        let bucket = request.bucket.map(|it| it.0).filter(|&it| (it as usize) < self.buckets.len());
        let staged = Staged {
            services: request.services,
            stage: ReadyStage::Connections,
            pause: Duration::ZERO,
            pausing: false,
            errand: None,
            turn: 0,
            troubles: Vec::new(),
        };
        let work = Work::Ready { bucket, desired: request.desired, staged: Some(Box::new(staged)) };
        let id = self.enter(work, request.timeout);
        self.watch(id);
        id
    }

    fn staged(&mut self, id: OpId) -> Option<&mut Staged> {
        match self.ops.get_mut(id).map(|op| &mut op.work) {
            Some(Work::Ready { staged, .. }) => staged.as_deref_mut(),
            _ => None,
        }
    }

    /// Where a wait with services stands, for the error (BOOT-29).
    pub(super) fn describe_ready(&self, id: OpId) -> Option<String> {
        let Some(Work::Ready { staged: Some(staged), .. }) = self.ops.get(id).map(|op| &op.work) else {
            return None;
        };
        Some(staged.describe(self.rounds.iter().find(|round| round.owner == id)))
    }

    /// Goes on with a wait that has come through its connections; whether it is still under way.
    pub(super) fn drive_ready(&mut self, id: OpId, bucket: Option<u32>, desired: DesiredState) -> bool {
        let has_cluster_map = self.cluster.map.is_some();
        let Some(staged) = self.staged(id) else { return false };
        if staged.pausing || staged.errand.is_some() {
            return true;
        }
        match (staged.stage, bucket) {
            (ReadyStage::Connections, Some(_)) => {
                staged.enter(ReadyStage::Bucket, BUCKET_PAUSE);
                self.drive_ready(id, bucket, desired)
            }
            (ReadyStage::Connections, None) => {
                if !has_cluster_map {
                    warning!("the server has no cluster map without a bucket: nothing to wait for (BOOT-29)");
                    self.complete(id, Ok(Response::Ready));
                    return false;
                }
                staged.enter(ReadyStage::Services, PING_PAUSE);
                self.drive_ready(id, bucket, desired)
            }
            (ReadyStage::Bucket, Some(bucket)) => self.ask_for_nodes(id, bucket, desired),
            (ReadyStage::Bucket, None) => false,
            (ReadyStage::Services, bucket) => self.drive_services(id, bucket, desired),
        }
    }

    /// Asks a manager whether the bucket's nodes are healthy; whether the wait is still under way.
    fn ask_for_nodes(&mut self, id: OpId, bucket: u32, desired: DesiredState) -> bool {
        let managers = self.managers();
        let name = http::path_segment(&self.buckets[bucket as usize].name);
        self.probe_serial = self.probe_serial.wrapping_add(1);
        let number = self.probe_serial;
        let Some(staged) = self.staged(id) else { return false };
        let Some(endpoint) = managers.get(staged.turn % managers.len().max(1)).cloned() else {
            debug!("no manager is known: the state of the bucket's nodes is not asked for");
            return self.enter_services(id, bucket, desired);
        };
        staged.turn = staged.turn.wrapping_add(1);
        staged.errand = Some(number);
        let path = format!("/pools/default/buckets/{name}");
        let errand = Errand { path, want: Want::Answer(u64::from(number)) };
        let index = self.new_link(endpoint, None, Role::Errand, Some(errand));
        self.dial(index);
        true
    }

    fn enter_services(&mut self, id: OpId, bucket: u32, desired: DesiredState) -> bool {
        if let Some(staged) = self.staged(id) {
            staged.enter(ReadyStage::Services, PING_PAUSE);
        }
        self.drive_ready(id, Some(bucket), desired)
    }

    /// What a manager says of a bucket's nodes.
    pub(super) fn on_nodes_answer(&mut self, number: u32, answer: &Result<WebAnswer, Failure>) {
        let found = self.watchers.iter().copied().find_map(|id| match self.ops.get(id).map(|op| &op.work) {
            Some(Work::Ready { bucket: Some(bucket), desired, staged: Some(staged) })
                if staged.errand == Some(number) =>
            {
                Some((id, *bucket, *desired))
            }
            _ => None,
        });
        let Some((id, bucket, desired)) = found else { return };
        let outcome = match answer {
            Ok(answer) => judge_nodes(answer, desired),
            Err(failure) => Err(format!("failed at {}: {}", failure.stage, failure.text)),
        };
        let Some(staged) = self.staged(id) else { return };
        staged.errand = None;
        match outcome {
            Ok(()) => {
                self.enter_services(id, bucket, desired);
            }
            Err(trouble) => {
                debug!(%trouble, "the bucket's nodes are not healthy yet");
                staged.troubles = vec![format!("the manager on the bucket's nodes: {trouble}")];
                self.pause_ready(id, BUCKET_PAUSE_MAX);
            }
        }
    }

    /// Pings the services, again and again; whether the wait is still under way.
    fn drive_services(&mut self, id: OpId, bucket: Option<u32>, desired: DesiredState) -> bool {
        let Some(deadline) = self.ops.get(id).map(|op| op.deadline) else { return false };
        let Some(place) = self.rounds.iter().position(|round| round.owner == id) else {
            let map = self.map_for(bucket);
            let Some(staged) = self.staged(id) else { return false };
            let named = staged.services.clone();
            let services = self.services_to_ask(&named, map.as_deref());
            let missing = services.iter().find(|&&service| {
                service != Service::Kv && !map.as_deref().is_some_and(|map| self.is_offered(map, service))
            });
            if let Some(&missing) = missing {
                let why = self.not_offered(missing);
                self.fail(id, ErrorKind::ServiceNotAvailable, Some(why));
                return false;
            }
            // What is silent is asked anew after a while, by another connection.
            self.begin_round(id, bucket, &services, deadline.min(self.after(ROUND)));
            return true;
        };
        let round = &self.rounds[place];
        let answered = match desired {
            DesiredState::Online => round.is_over() && round.all_answered(),
            DesiredState::Degraded => round.has_one_of_each(),
        };
        if answered {
            self.take_round(id);
            self.complete(id, Ok(Response::Ready));
            return false;
        }
        let over = round.is_over();
        let troubles: Vec<String> = round.probes.iter().filter_map(Probe::trouble).collect();
        if over {
            self.take_round(id);
        }
        if let Some(staged) = self.staged(id) {
            staged.troubles = troubles;
        }
        if over {
            self.pause_ready(id, PING_PAUSE_MAX);
        }
        true
    }

    /// Lets a wait rest before the next try of its stage.
    fn pause_ready(&mut self, id: OpId, longest: Duration) {
        let Some(staged) = self.staged(id) else { return };
        let pause = staged.pause;
        staged.pause = (pause * 2).min(longest);
        staged.pausing = true;
        let pause = self.entropy.jitter(pause, 50).max(Duration::from_millis(1));
        let at = self.after(pause);
        self.pauses.set(id.slot, at);
    }

    /// The pause of a wait has passed.
    pub(super) fn on_ready_pause_over(&mut self, id: OpId) {
        if let Some(staged) = self.staged(id) {
            staged.pausing = false;
            self.states_changed = true;
        }
    }

    /// A wait has ended: what was asked for it is given up.
    pub(super) fn forget_ready(&mut self, id: OpId) {
        self.take_round(id);
        if let Some(number) = self.staged(id).and_then(|staged| staged.errand.take()) {
            self.remove_errand(number);
        }
    }
}

/// A server's text as far as an error shows it.
fn cut(text: &str) -> &str {
    text.char_indices().nth(TEXT).map_or(text, |(end, _)| &text[..end])
}

/// Whether a manager's answer lets the wait go on.
fn judge_nodes(answer: &WebAnswer, desired: DesiredState) -> Result<(), String> {
    match answer.status {
        200 => {}
        401 | 403 => {
            debug!(status = answer.status, "the manager does not say how the bucket's nodes are");
            return Ok(());
        }
        status => return Err(format!("HTTP {status}")),
    }
    let document: BucketDocument =
        serde_json::from_slice(&answer.body).map_err(|error| format!("not readable: {error}"))?;
    let ill = document.nodes.iter().filter(|node| node.status != "healthy");
    let ill: Vec<String> = ill
        .take(TROUBLES)
        .map(|node| format!("{} is {:?}", cut(&node.hostname), cut(&node.status)))
        .collect();
    let enough = match desired {
        DesiredState::Online => ill.is_empty() && !document.nodes.is_empty(),
        DesiredState::Degraded => document.nodes.iter().any(|node| node.status == "healthy"),
    };
    if enough {
        Ok(())
    } else if document.nodes.is_empty() {
        Err("it lists none".to_owned())
    } else {
        Err(ill.join(", "))
    }
}
