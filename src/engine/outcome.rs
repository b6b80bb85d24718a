//! How operations end: results, errors with their circumstances, deadlines, states that came or can no longer come.

use super::link::Link;
use super::scope::ScopeId;
use super::table::{LinkRef, Place, Work};
use super::{DesiredState, Engine, Event, OpId, Output, Response, RetryReason, Tag};
use crate::error::{ErrorKind, OpContext, OpError};
use crate::wire;

impl Engine {
    /// The answer cannot be decoded; a write may have happened (`kv-protocol.md` 1.3).
    pub(super) fn fail_undecodable(&mut self, slot: u32, detail: String, answered: bool) {
        let Some(id) = self.ops.id(slot) else { return };
        let mut error = self.error(id, ErrorKind::DecodingFailure, Some(detail));
        let writes = self
            .ops
            .get(id)
            .is_some_and(|op| matches!(&op.work, Work::Kv(operation) if !operation.kind.is_idempotent()));
        error.context_mut().may_have_happened = writes && answered;
        self.complete(id, Err(error));
    }

    pub(super) fn fail(&mut self, id: OpId, kind: ErrorKind, detail: Option<String>) {
        let mut error = self.error(id, kind, detail);
        error.context_mut().may_have_happened = kind == ErrorKind::DurabilityAmbiguous;
        self.complete(id, Err(error));
    }

    /// No map of the bucket will come: whoever waits for it is told at once (BOOT-14).
    pub(super) fn fail_parked(&mut self, bucket: u32) {
        for id in self.buckets[bucket as usize].parked.take() {
            if self.ops.get(id).is_some_and(|op| op.place == Place::Bucket) {
                self.fail_hopeless(id, bucket);
            }
        }
    }

    /// As [`Engine::fail_parked`], for one operation.
    pub(super) fn fail_hopeless(&mut self, id: OpId, bucket: u32) {
        let report = self.report(ScopeId::Bucket(bucket));
        let kind = report.as_ref().map_or(ErrorKind::AuthenticationFailure, |report| report.kind);
        let mut error = self.error(id, kind, None);
        error.context_mut().bootstrap = report.map(Box::new);
        self.complete(id, Err(error));
    }

    /// The deadline of an operation has passed (RE-12).
    pub(super) fn on_deadline(&mut self, slot: u32) {
        let Some(id) = self.ops.id(slot) else { return };
        let Some(op) = self.ops.get(id) else { return };
        let (place, link) = (op.place, op.link);
        match &op.work {
            Work::Ping(_) => {
                self.finish_ping(id);
                return;
            }
            Work::Bootstrap | Work::Ready { .. } => {
                let error = self.not_ready(id);
                self.leave(id);
                self.complete(id, Err(error));
                return;
            }
            Work::Kv(operation) => {
                let ambiguous = place == Place::Sent && !operation.kind.is_idempotent();
                let kind =
                    if ambiguous { ErrorKind::AmbiguousTimeout } else { ErrorKind::UnambiguousTimeout };
                let mut error = self.error(id, kind, None);
                error.context_mut().may_have_happened = ambiguous;
                self.explain_wait(id, place, &mut error);
                self.leave(id);
                self.complete(id, Err(error));
            }
        }
        // A node that leaves requests unanswered has to show that it lives (H13).
        if place == Place::Sent
            && let Some(link) = link
        {
            self.probe(link.index);
        }
        if let Place::Collection = place {
            self.probe_resolvers();
        }
    }

    /// What a timed-out operation was waiting for.
    pub(super) fn explain_wait(&self, id: OpId, place: Place, error: &mut OpError) {
        let Some(Work::Kv(operation)) = self.ops.get(id).map(|op| &op.work) else { return };
        let collection = &self.collections[operation.collection.0 as usize];
        let bucket = &self.buckets[collection.bucket as usize];
        let report = self.report(ScopeId::Bucket(collection.bucket));
        let failure = match place {
            Place::Link(index) => self.link(index).and_then(|link| link.last_failure.clone()),
            _ => None,
        };
        let context = error.context_mut();
        match place {
            Place::Bucket if bucket.scope.map.is_none() => {
                context.detail = Some("no map of the bucket came".into());
                context.cause = report.as_ref().map(|report| report.kind).or(bucket.refused);
                context.cause = context.cause.filter(|&cause| cause != ErrorKind::UnambiguousTimeout);
                context.bootstrap = report.map(Box::new);
            }
            Place::Bucket => {
                let route = bucket.scope.map.as_ref().and_then(|map| map.route(&operation.key));
                let slot = route.and_then(|route| route.slot);
                let missing = slot.and_then(|slot| self.no_address(collection.bucket, slot));
                context.detail =
                    missing.or_else(|| Some("the map names no reachable node for the vbucket".into()));
                context.cause = bucket.refused;
            }
            Place::Link(index) => {
                let server = self.link(index).map(|link| link.endpoint.to_string());
                context.server = server.or_else(|| context.server.take());
                context.detail = Some(failure.as_ref().map_or_else(
                    || "waiting for room on the node's connection".into(),
                    |failure| {
                        let advice = self.link(index).and_then(|link| self.address_advice(link, failure));
                        let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
                        format!(
                            "waiting for the node, which failed at {}: {}{advice}",
                            failure.stage, failure.text
                        )
                    },
                ));
                context.cause = failure.map(|failure| failure.kind).or(bucket.refused);
                context.cause = context.cause.filter(|&cause| cause != ErrorKind::UnambiguousTimeout);
            }
            Place::Collection => {
                context.detail = Some("the collection's id could not be found out".into());
                context.cause = collection.last_error();
            }
            Place::Pause(RetryReason::KvCollectionOutdated) => context.cause = collection.last_error(),
            Place::Sent => context.detail = Some("the node has not answered".into()),
            Place::Pause(_) | Place::Nowhere | Place::Watch => {}
        }
    }

    /// An error with everything that is known of the operation (RE-14).
    pub(super) fn error(&self, id: OpId, kind: ErrorKind, detail: Option<String>) -> OpError {
        let mut context = OpContext { detail, ..OpContext::default() };
        let Some(op) = self.ops.get(id) else { return OpError::new(kind, context) };
        context.timeout = Some(op.timeout);
        match &op.work {
            Work::Kv(operation) => {
                context.operation = operation.kind.name();
                if let Some(collection) = self.collections.get(operation.collection.0 as usize) {
                    context.scope.clone_from(&collection.scope);
                    context.collection.clone_from(&collection.name);
                    context.bucket.clone_from(&self.buckets[collection.bucket as usize].name);
                }
            }
            Work::Bootstrap => context.operation = "connect",
            Work::Ping(_) => context.operation = "ping",
            Work::Ready { bucket, .. } => {
                context.operation = "wait_until_ready";
                if let Some(bucket) = bucket {
                    context.bucket.clone_from(&self.buckets[*bucket as usize].name);
                }
            }
        }
        if let Some(reached) = op.link {
            let link = self.link(reached.index).filter(|link| link.serial == reached.serial);
            context.server = link.map(|link| link.endpoint.to_string());
            context.vbucket = Some(op.vbucket);
            context.opaque = op.opaque;
        }
        context.retries = op.retries;
        context.retry_reasons = op.reasons.to_vec();
        if let Some(refusal) = &op.refusal {
            context.status = refusal.status;
            context.error_map.clone_from(&refusal.error_map);
            context.server_context.clone_from(&refusal.context);
            context.server_ref.clone_from(&refusal.reference);
            context.server_duration = refusal.server_duration.map(wire::ServerDuration::to_duration);
        }
        OpError::new(kind, context)
    }

    /// Takes an operation out of whatever it waits in.
    pub(super) fn leave(&mut self, id: OpId) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let place = std::mem::replace(&mut op.place, Place::Nowhere);
        let (link, opaque) = (op.link, op.opaque);
        let bucket = match &op.work {
            Work::Kv(operation) => {
                Some((operation.collection.0, self.collections[operation.collection.0 as usize].bucket))
            }
            _ => None,
        };
        let ops = &self.ops;
        let waits_in = |place: Place| move |id: OpId| ops.get(id).is_some_and(|op| op.place == place);
        match place {
            Place::Bucket => {
                if let Some((_, bucket)) = bucket {
                    self.buckets[bucket as usize].parked.left(waits_in(place));
                }
            }
            Place::Collection => {
                if let Some((collection, _)) = bucket {
                    self.collections[collection as usize].waiting.left(waits_in(place));
                }
            }
            Place::Link(index) => {
                if let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) {
                    link.queue.left(waits_in(place));
                }
            }
            Place::Sent => {
                if let (Some(link), Some(opaque)) = (link, opaque)
                    && let Some(connection) = self.live(link)
                {
                    connection.give_up(opaque);
                }
            }
            Place::Watch => self.forget_ready(id),
            Place::Pause(_) | Place::Nowhere => {}
        }
        self.deadlines.clear(id.slot);
        self.pauses.clear(id.slot);
    }

    pub(super) fn live(&mut self, reached: LinkRef) -> Option<&mut crate::conn::Connection<Tag>> {
        let link = self.link_mut(reached.index).filter(|link| link.conn() == Some(reached.conn))?;
        Link::connection_mut(link)
    }

    /// The end of an operation.
    pub(super) fn complete(&mut self, id: OpId, result: Result<Response, OpError>) {
        if self.ops.get(id).is_some_and(|op| op.place == Place::Watch) {
            self.forget_ready(id);
        }
        if !self.ops.remove(id) {
            return;
        }
        self.deadlines.clear(id.slot);
        self.pauses.clear(id.slot);
        self.outputs.push_back(Output::Event(Event::Completed { op: id, result }));
        self.after_end();
    }

    pub(super) fn after_end(&mut self) {
        if self.was_full && self.ops.len() <= self.config.max_operations / 4 * 3 {
            self.was_full = false;
            self.outputs.push_back(Output::Event(Event::Writable));
        }
    }

    pub(super) fn probe(&mut self, index: u32) {
        let now = self.now;
        if let Some(connection) = self.link_mut(index).and_then(Link::connection_mut) {
            connection.probe(now);
            self.announce_transmit(index);
            self.arm(index);
        }
    }

    /// Look-ups of collection ids that are not answered: the nodes asked have to show that they live.
    pub(super) fn probe_resolvers(&mut self) {
        let asked: Vec<u32> =
            self.collections.iter().filter_map(super::collections::Collection::asked).collect();
        for index in asked {
            self.probe(index);
        }
    }

    /// Ends what waits for a state that has come, or can no longer come.
    pub(super) fn check_watchers(&mut self) {
        let watchers = std::mem::take(&mut self.watchers);
        for id in watchers {
            let Some(op) = self.ops.get(id) else { continue };
            let (done, hopeless) = match &op.work {
                Work::Bootstrap => {
                    let done = self.cluster.map.is_some()
                        || self.mapless
                        || self.buckets.iter().any(|bucket| bucket.scope.map.is_some());
                    let stopped = self.scope_ids().any(|scope| self.is_stopped(scope));
                    (done, stopped)
                }
                Work::Ready { bucket: Some(bucket), desired, .. } => {
                    let (bucket, desired) = (*bucket, *desired);
                    if desired == DesiredState::Online && self.buckets[bucket as usize].scope.map.is_some() {
                        self.wake_all(bucket);
                    }
                    (self.bucket_is_ready(bucket, desired), self.is_stopped(ScopeId::Bucket(bucket)))
                }
                Work::Ready { bucket: None, .. } => (
                    self.cluster.map.is_some() || self.mapless,
                    self.scope_ids().any(|scope| self.is_stopped(scope)),
                ),
                Work::Ping(_) => {
                    if self.drive_ping(id) {
                        self.watchers.push(id);
                    }
                    continue;
                }
                Work::Kv(_) => continue,
            };
            if done {
                if self.go_on_to_services(id) {
                    self.watchers.push(id);
                }
            } else if hopeless {
                let error = self.not_ready(id);
                self.complete(id, Err(error));
            } else {
                self.watchers.push(id);
            }
        }
    }

    /// The connections are there: that is all, or services are asked next. Whether the wait is still under way.
    fn go_on_to_services(&mut self, id: OpId) -> bool {
        if let Some(Work::Ready { bucket, desired, staged: Some(_) }) = self.ops.get(id).map(|op| &op.work) {
            let (bucket, desired) = (*bucket, *desired);
            return self.drive_ready(id, bucket, desired);
        }
        self.complete(id, Ok(Response::Ready));
        false
    }

    pub(super) fn bucket_is_ready(&self, bucket: u32, desired: DesiredState) -> bool {
        let state = &self.buckets[bucket as usize];
        let Some(map) = &state.scope.map else { return false };
        let rows = state.slots.chunks(self.width());
        let serving = map.nodes.iter().zip(rows).filter(|(node, _)| node.serves_bucket);
        let mut ready = serving
            .map(|(_, row)| row.iter().flatten().any(|&index| self.link(index).is_some_and(Link::is_ready)));
        match desired {
            DesiredState::Online => ready.all(|ready| ready),
            DesiredState::Degraded => ready.any(|ready| ready),
        }
    }

    /// Why a state did not come (BOOT-16, BOOT-29).
    pub(super) fn not_ready(&self, id: OpId) -> OpError {
        let bucket = match self.ops.get(id).map(|op| &op.work) {
            Some(Work::Ready { bucket, .. }) => *bucket,
            _ => None,
        };
        let scopes: Vec<ScopeId> = match bucket {
            Some(bucket) => vec![ScopeId::Bucket(bucket)],
            None => self.scope_ids().collect(),
        };
        let report = scopes.into_iter().find_map(|scope| self.report(scope));
        let kind = report.as_ref().map_or(ErrorKind::UnambiguousTimeout, |report| report.kind);
        let mut error = self.error(id, kind, None);
        let failing = bucket.and_then(|bucket| {
            let links =
                self.buckets[bucket as usize].slots.iter().flatten().filter_map(|&index| self.link(index));
            let serving =
                self.buckets[bucket as usize].scope.map.iter().flat_map(|map| &map.nodes).enumerate();
            let missing = serving
                .filter(|(_, node)| node.serves_bucket)
                .filter_map(|(slot, _)| self.no_address(bucket, slot));
            let texts: Vec<String> = links
                .filter(|link| !link.is_ready())
                .map(|link| match &link.last_failure {
                    Some(failure) => {
                        let advice = self.address_advice(link, failure);
                        let advice = advice.map_or_else(String::new, |advice| format!(" ({advice})"));
                        format!("{} failed at {}: {}{advice}", link.endpoint, failure.stage, failure.text)
                    }
                    None => format!("{} is at {}", link.endpoint, link.stage()),
                })
                .chain(missing)
                .collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        });
        let stage = self.describe_ready(id);
        let context = error.context_mut();
        context.bootstrap = report.map(Box::new);
        context.detail = match (stage, failing) {
            (Some(stage), Some(failing)) => Some(format!("{stage}; {failing}")),
            (stage, failing) => stage.or(failing),
        };
        error
    }
}
