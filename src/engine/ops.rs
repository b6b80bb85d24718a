//! Operations on their way: submitted, routed, written, answered, put off, timed out (`kv-protocol.md` 8).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::codec::{self, Verdict};
use super::hunt::Hunt;
use super::link::{App, Link, Phase};
use super::op::{OpKind, Store, StoreMode};
use super::scope::ScopeId;
use super::table::{LinkRef, Op, Place, ReasonSet, Refusal, Work};
use super::thaw::Suspicion;
use super::{
    Closing, DesiredState, Durability, Engine, OpId, Operation, RejectReason, Rejected, RetryReason,
    RetryStrategy, Tag,
};
use crate::conn::{Answer, SendError};
use crate::error::{ErrorKind, OpContext, OpError};
use crate::ids::{Opaque, VbucketId};
use crate::wire::{
    self, DurabilityLevel, Encode, ErrorBody, Feature, HEADER_LEN, Leb128, RequestFrameInfos, Status,
    datatype,
};

/// The longest logical key in the default collection, and in any other (`kv-protocol.md` 1.2).
const KEY_MAX_DEFAULT: usize = 250;
const KEY_MAX: usize = 246;
/// A larger frame makes the server close the connection, and every request on it with it.
const FRAME_MAX: usize = 30 * 1024 * 1024;
/// With a durability level an operation gets at least this long (MI-9).
const DURABLE_MIN: Duration = Duration::from_millis(1500);

impl Engine {
    /// Takes an operation. Its end comes as [`Event::Completed`](super::Event::Completed), exactly once, at the latest at its deadline.
    ///
    /// # Errors
    /// [`Rejected`] gives the operation back: there is no room, the engine is shut down, or it could never succeed.
    #[expect(
        clippy::result_large_err,
        reason = "nothing is lost: the operation is given back as it was, without an allocation"
    )]
    pub fn submit(&mut self, operation: Operation, now: Instant) -> Result<OpId, Rejected> {
        self.advance(now);
        let why = if self.closing.is_some() {
            Some(RejectReason::Closed)
        } else if self.ops.len() >= self.config.max_operations {
            self.was_full = true;
            Some(RejectReason::Full)
        } else {
            self.invalid(&operation).map(RejectReason::Invalid)
        };
        if let Some(why) = why {
            return Err(Rejected { operation, why });
        }
        let options = &self.config.options;
        let durable = operation.kind.durability() != Durability::None;
        let timeout = match operation.timeout {
            Some(timeout) if durable => timeout.max(DURABLE_MIN),
            Some(timeout) => timeout,
            None if durable => options.kv_durable_timeout,
            None => options.kv_timeout,
        };
        let id = self.enter(Work::Kv(operation), timeout);
        self.fresh = true;
        self.dispatch(id);
        self.fresh = false;
        Ok(id)
    }

    /// Waits for the first map: [`Response::Ready`](super::Response::Ready), or the definite error, at the latest after `bootstrap_timeout`.
    pub fn bootstrap(&mut self, now: Instant) -> OpId {
        self.advance(now);
        self.states_changed = true;
        let id = self.enter(Work::Bootstrap, self.config.options.bootstrap_timeout);
        self.watch(id);
        id
    }

    /// Waits until a bucket, or without one the cluster, is connected as `desired`: the map is there, and of a bucket the
    /// key-value connections, for [`DesiredState::Online`] also those that are lazy (BOOT-28). No HTTP is spoken for it; [`Engine::wait_until_ready_with`] asks the services too.
    pub fn wait_until_ready(
        &mut self,
        bucket: Option<super::BucketRef>,
        desired: DesiredState,
        timeout: Duration,
        now: Instant,
    ) -> OpId {
        self.advance(now);
        self.states_changed = true;
        let bucket = bucket.map(|bucket| bucket.0).filter(|&bucket| (bucket as usize) < self.buckets.len());
        let id = self.enter(Work::Ready { bucket, desired, staged: None }, timeout);
        self.watch(id);
        id
    }

    /// Gives an operation up: no [`Event::Completed`](super::Event::Completed) comes for it. What was written stays written, its answer is an
    /// orphan.
    pub fn cancel(&mut self, op: OpId, now: Instant) {
        self.advance(now);
        if self.ops.get(op).is_some() {
            self.leave(op);
            self.ops.remove(op);
            self.ops.release(op);
            self.after_end();
        }
    }

    pub(super) fn enter(&mut self, work: Work, timeout: Duration) -> OpId {
        let deadline = self.after(timeout.max(Duration::from_nanos(1)));
        let id = self.ops.insert(Op {
            work,
            place: Place::Nowhere,
            deadline,
            timeout,
            retries: 0,
            reasons: ReasonSet::default(),
            vbucket: VbucketId(0),
            routed_by: 0,
            collection_id: 0,
            link: None,
            opaque: None,
            forward_tried: None,
            compressed: None,
            refusal: None,
        });
        self.deadlines.set(id.slot, deadline);
        id
    }

    pub(super) fn watch(&mut self, id: OpId) {
        if matches!(self.closing, Some(Closing::Farewell(_) | Closing::Done)) {
            let error = self.error(id, ErrorKind::ClusterClosed, None);
            self.complete(id, Err(error));
            return;
        }
        if let Some(op) = self.ops.get_mut(id) {
            op.place = Place::Watch;
            self.watchers.push(id);
        }
    }

    /// Why an operation could never succeed (H20).
    pub(super) fn invalid(&self, operation: &Operation) -> Option<OpError> {
        let name = operation.kind.name();
        let invalid = |kind, detail: String| {
            let context = OpContext { operation: name, detail: Some(detail), ..OpContext::default() };
            Some(OpError::new(kind, context))
        };
        let collection = self.collections.get(operation.collection.0 as usize);
        let Some(collection) = collection.filter(|it| (it.bucket as usize) < self.buckets.len()) else {
            return invalid(ErrorKind::InvalidArgument, "the collection is none of this engine's".into());
        };
        let max = if collection.is_default() { KEY_MAX_DEFAULT } else { KEY_MAX };
        let len = operation.key.len();
        if len == 0 {
            return invalid(
                ErrorKind::InvalidArgument,
                "the key is empty: it needs at least one byte".into(),
            );
        }
        if len > max {
            return invalid(
                ErrorKind::InvalidArgument,
                format!("the key has {len} bytes; in this collection it may have at most {max}"),
            );
        }
        let value = codec::request_value(&operation.kind).map_or(0, Bytes::len);
        // Extras, frame infos and collection prefix stay far below one KiB.
        if value + len + HEADER_LEN + 1024 > FRAME_MAX {
            return invalid(
                ErrorKind::ValueTooLarge,
                format!(
                    "the value has {value} bytes; the server takes 20 MiB by default and closes the connection above 30 MiB"
                ),
            );
        }
        match &operation.kind {
            OpKind::Store(Store { mode: StoreMode::Insert, preserve_expiry: true, .. }) => {
                invalid(ErrorKind::InvalidArgument, "an insert has no expiry to preserve".into())
            }
            OpKind::Store(Store { mode: StoreMode::Replace, preserve_expiry: true, expiry, .. })
                if !expiry.is_none() =>
            {
                invalid(ErrorKind::InvalidArgument, "preserve_expiry and expiry exclude each other".into())
            }
            OpKind::Unlock { cas } if cas.0 == 0 => {
                invalid(ErrorKind::InvalidArgument, "unlock needs the CAS that get_and_lock returned".into())
            }
            OpKind::GetAndLock { seconds: 0 } => {
                invalid(ErrorKind::InvalidArgument, "a lock lasts at least one second".into())
            }
            OpKind::Increment(count) | OpKind::Decrement(count)
                if count.initial.is_some() && count.expiry == crate::expiry::Expiry::DO_NOT_CREATE =>
            {
                invalid(ErrorKind::InvalidArgument, "this expiry means that no counter is created".into())
            }
            _ => None,
        }
    }

    /// Sends an operation on its way: to its node, or to where it has to wait.
    pub(super) fn dispatch(&mut self, id: OpId) {
        let Some(op) = self.ops.get(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        // An entry of a queue that the operation has left since.
        if !matches!(op.place, Place::Nowhere | Place::Link(_) | Place::Bucket | Place::Collection) {
            return;
        }
        let collection = &self.collections[operation.collection.0 as usize];
        let bucket = collection.bucket;
        let state = &self.buckets[bucket as usize];
        let Some(map) = &state.scope.map else {
            if self.is_stopped(ScopeId::Bucket(bucket)) {
                self.fail_hopeless(id, bucket);
            } else {
                self.park(id, bucket, None);
            }
            return;
        };
        let Some(collection_id) = collection.id() else {
            self.wait_for_collection(id, operation.collection.0);
            return;
        };
        let Some(route) = map.route(&operation.key) else {
            self.park(id, bucket, Some(RetryReason::NodeNotAvailable));
            return;
        };
        let serial = state.scope.serial;
        let slot = route.slot.and_then(|slot| self.link_of(bucket, slot, route.vbucket));
        let Some(op) = self.ops.get_mut(id) else { return };
        op.vbucket = VbucketId(route.vbucket);
        op.routed_by = serial;
        op.collection_id = collection_id;
        match slot {
            Some(link) => self.hand_to(id, link),
            None => self.park(id, bucket, Some(RetryReason::NodeNotAvailable)),
        }
    }

    /// Writes the operation on a link, or lets it wait for it.
    pub(super) fn hand_to(&mut self, id: OpId, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let ready = match &link.phase {
            Phase::Live { app: App::Kv(connection), .. } => {
                connection.can_send() && link.queue.is_empty() && link.notes.suspicion == Suspicion::None
            }
            _ => false,
        };
        if ready {
            self.write_op(id, index);
            self.announce_transmit(index);
            return;
        }
        if self.fresh
            && let Some(failure) = link.last_failure.as_ref()
            && link.queue.len() >= self.config.options.max_queue_size
        {
            let why = format!("{}, which failed at {}: {}", link.endpoint, failure.stage, failure.text);
            let cause = failure.kind;
            self.overflow(id, &why, Some(cause));
            return;
        }
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let (down, asleep) =
            (matches!(link.phase, Phase::Waiting { .. }), matches!(link.phase, Phase::Asleep));
        let Some(op) = self.ops.get_mut(id) else { return };
        if down {
            op.reasons.insert(RetryReason::SocketNotAvailable);
            if matches!(&op.work, Work::Kv(operation) if operation.retry == RetryStrategy::FailFast) {
                self.fail(id, RetryReason::SocketNotAvailable.error(), None);
                return;
            }
        }
        op.place = Place::Link(index);
        link.queue.push(id);
        let suspect = link.notes.suspicion != Suspicion::None;
        if asleep {
            self.dial(index);
        } else if suspect {
            self.flush_queue(index);
            self.announce_transmit(index);
        }
    }

    /// An operation that was just submitted finds more of them waiting than may (BOOT-30).
    fn overflow(&mut self, id: OpId, what: &str, cause: Option<ErrorKind>) {
        let max = self.config.options.max_queue_size;
        let detail = format!("{max} operations (max_queue_size) wait already for {what}");
        let mut error = self.error(id, ErrorKind::RequestCanceled, Some(detail));
        error.context_mut().cause = cause.filter(|&kind| kind != ErrorKind::UnambiguousTimeout);
        self.complete(id, Err(error));
    }

    /// Lets an operation wait for a map, or for a node to take its vbucket.
    pub(super) fn park(&mut self, id: OpId, bucket: u32, reason: Option<RetryReason>) {
        if self.fresh && self.buckets[bucket as usize].parked.len() >= self.config.options.max_queue_size {
            let state = &self.buckets[bucket as usize];
            let failed = |hunt: &Hunt| hunt.targets.iter().any(|target| target.last.is_some());
            if reason.is_some() || state.scope.hunt.as_ref().is_some_and(failed) {
                let name = state.name.clone();
                let cause = self.report(ScopeId::Bucket(bucket)).map(|report| report.kind);
                self.overflow(id, &format!("a node of bucket {name:?}"), cause);
                return;
            }
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        if let Some(reason) = reason {
            op.reasons.insert(reason);
            if matches!(&op.work, Work::Kv(operation) if operation.retry == RetryStrategy::FailFast) {
                self.fail(id, reason.error(), None);
                return;
            }
        }
        op.place = Place::Bucket;
        self.buckets[bucket as usize].parked.push(id);
    }

    /// Writes what waits for a link, as far as its connection takes it.
    pub(super) fn flush_queue(&mut self, index: u32) {
        loop {
            let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else {
                return;
            };
            let Phase::Live { app: App::Kv(connection), .. } = &link.phase else { return };
            if link.queue.is_empty() || !connection.can_send() || link.draining.is_some() {
                return;
            }
            if link.notes.suspicion != Suspicion::None && !self.is_trusted(index) {
                return;
            }
            let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else {
                return;
            };
            let Some(id) = link.queue.pop() else { return };
            match self.ops.get(id).map(|op| op.place) {
                // Routed again, since a map may have come while it waited.
                Some(Place::Link(waiting)) if waiting == index => self.write_queued(id, index),
                _ => {
                    if let Some(link) = self.link_mut(index) {
                        link.queue.was_stale();
                    }
                }
            }
        }
    }

    pub(super) fn write_queued(&mut self, id: OpId, index: u32) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.place = Place::Nowhere;
        let Work::Kv(operation) = &op.work else { return };
        let collection = &self.collections[operation.collection.0 as usize];
        let current = self.buckets[collection.bucket as usize].scope.serial;
        if op.routed_by == current && collection.id() == Some(op.collection_id) {
            self.write_op(id, index);
        } else {
            self.dispatch(id);
        }
    }

    /// Encodes the operation and gives it to the connection, which has room.
    pub(super) fn write_op(&mut self, id: OpId, index: u32) {
        let now = self.now;
        let Some(op) = self.ops.get_mut(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let Phase::Live { conn, app: App::Kv(connection), .. } = &mut link.phase else { return };
        let features = connection.features();
        let collections = features.contains(Feature::COLLECTIONS);
        let kind = &operation.kind;
        let preserve_ttl = matches!(kind, OpKind::Store(Store { preserve_expiry: true, .. }));
        let level = match kind.durability() {
            Durability::None => None,
            Durability::Majority => Some(DurabilityLevel::Majority),
            Durability::MajorityAndPersistToActive => Some(DurabilityLevel::MajorityAndPersistOnActive),
            Durability::PersistToMajority => Some(DurabilityLevel::PersistToMajority),
        };
        let missing = if op.collection_id != 0 && !collections {
            Some("collections")
        } else if level.is_some() && !features.contains(Feature::SYNC_REPLICATION) {
            Some("durability levels")
        } else if preserve_ttl && !features.contains(Feature::PRESERVE_TTL) {
            Some("preserve_expiry")
        } else {
            None
        };
        if let Some(missing) = missing {
            let detail = format!("the node does not offer {missing}");
            self.fail(id, ErrorKind::FeatureNotAvailable, Some(detail));
            return;
        }
        self.scratch.clear();
        if level.is_some() || preserve_ttl {
            let left = op.deadline.saturating_duration_since(now);
            let durability = level.map(|level| wire::Durability {
                level,
                timeout_ms: Some(wire::Durability::timeout_for(left)),
            });
            let infos = RequestFrameInfos { durability, preserve_ttl, ..RequestFrameInfos::default() };
            // Two frame infos of at most four bytes fit any frame.
            let _ = infos.emit(&mut self.scratch);
        }
        let json = features.contains(Feature::JSON);
        let mut bits = if json { codec::request_datatype(kind) } else { 0 };
        let value = match codec::request_value(kind) {
            None => &self.no_value,
            Some(value) => match &self.compression {
                Some(rule) if features.contains(Feature::SNAPPY) && rule.is_eligible(value.len()) => {
                    let compressed = op.compressed.get_or_insert_with(|| {
                        self.compressor.compress(value, rule).map(Bytes::copy_from_slice)
                    });
                    match compressed {
                        Some(compressed) => {
                            bits |= datatype::SNAPPY;
                            compressed
                        }
                        None => value,
                    }
                }
                _ => value,
            },
        };
        let extras = codec::extras(kind);
        let prefix = if collections { Leb128::encode(op.collection_id) } else { Leb128::EMPTY };
        let request = Encode {
            datatype: bits,
            vbucket_or_status: op.vbucket.0,
            cas: codec::request_cas(kind),
            extras: extras.as_slice(),
            key_prefix: prefix.as_slice(),
            key: &operation.key,
            ..Encode::request(kind.opcode(), Opaque(0))
        }
        .with_framing_extras(&self.scratch);
        match connection.send(Tag::Op(id.slot), request, value) {
            Ok(opaque) => {
                op.place = Place::Sent;
                op.opaque = Some(opaque);
                op.link = Some(LinkRef { index, serial: link.serial, conn: *conn });
            }
            Err(SendError::NoRoom) => {
                op.place = Place::Link(index);
                link.queue.push(id);
            }
            Err(SendError::Encode(error)) => {
                self.fail(id, ErrorKind::EncodingFailure, Some(error.to_string()));
            }
        }
    }

    /// The answer to an operation.
    pub(super) fn on_op_answer(&mut self, index: u32, slot: u32, mut answer: Answer<Tag>) {
        let Some(id) = self.ops.id(slot) else { return };
        let Some(op) = self.ops.get_mut(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        let error_map = self.links.get(index as usize).and_then(|link| link.as_ref()?.error_map.as_deref());
        op.place = Place::Nowhere;
        let verdict = codec::judge(&operation.kind, op.vbucket, &mut answer, error_map);
        if let Verdict::Done(response) = verdict {
            self.complete(id, Ok(response));
            return;
        }
        let body = ErrorBody::of_value(answer.datatype, &answer.value);
        let manifest = body.as_ref().and_then(|body| body.manifest_uid);
        let entry = error_map.filter(|_| !answer.status.is_known()).and_then(|map| map.get(answer.status));
        op.refusal = Some(Box::new(Refusal {
            status: Some(answer.status),
            error_map: entry.map(|entry| (entry.name.clone(), entry.desc.clone())),
            context: body.as_ref().and_then(|body| body.context.clone()),
            reference: body.and_then(|body| body.reference),
            server_duration: answer.server_duration,
        }));
        match verdict {
            Verdict::Done(_) => {}
            Verdict::Fail(kind) => self.fail(id, kind, None),
            Verdict::Malformed(detail) => self.fail_undecodable(slot, detail, true),
            Verdict::Retry(reason) => self.retry(id, reason),
            Verdict::NotMyVbucket => self.on_not_my_vbucket(id, index, &answer.value),
            Verdict::ConfigOnly => self.on_not_my_vbucket(id, index, &[]),
            Verdict::UnknownCollection => self.on_unknown_collection(id, manifest),
            Verdict::NoBucket => {
                self.put_off(id, RetryReason::NodeNotAvailable);
                self.close_link(index, ErrorKind::BucketNotFound, "the connection lost its bucket");
            }
            Verdict::Close(kind) if answer.status == Status::AUTH_STALE => {
                self.fail(id, kind, Some(super::credentials::STALE.to_owned()));
                self.close_stale(index);
            }
            Verdict::Close(kind) => {
                self.fail(id, kind, None);
                self.close_link(index, kind, "the server's answer ends the connection");
            }
        }
    }

    pub(super) fn close_link(&mut self, index: u32, kind: ErrorKind, text: &str) {
        // The answer may be one that an ended connection left behind.
        if self.link(index).and_then(Link::connection).is_none_or(|connection| !connection.is_ready()) {
            for id in std::mem::take(&mut self.requeue) {
                self.dispatch(id);
            }
            return;
        }
        let stage = if kind == ErrorKind::BucketNotFound { super::Stage::Bucket } else { super::Stage::Auth };
        self.fail_link(index, super::link::Failure { stage, kind, text: text.to_owned() });
        for id in std::mem::take(&mut self.requeue) {
            self.dispatch(id);
        }
    }
}
