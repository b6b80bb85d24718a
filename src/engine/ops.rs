//! Operations on their way: submitted, routed, written, answered, put off, timed out (`kv-protocol.md` 8).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::codec::{self, Verdict};
use super::link::{Link, Phase};
use super::op::{OpKind, Store, StoreMode};
use super::scope::ScopeId;
use super::table::{LinkRef, Op, Place, ReasonSet, Refusal, Work};
use super::{
    DesiredState, Durability, Engine, Event, OpId, Operation, Output, RejectReason, Rejected, Response,
    RetryReason, RetryStrategy, Tag,
};
use crate::conn::{Answer, SendError};
use crate::error::{ErrorKind, OpContext, OpError};
use crate::ids::{Opaque, VbucketId};
use crate::wire::{
    self, DurabilityLevel, Encode, ErrorBody, Feature, HEADER_LEN, Leb128, RequestFrameInfos, datatype,
};

/// The longest logical key in the default collection, and in any other (`kv-protocol.md` 1.2).
const KEY_MAX_DEFAULT: usize = 250;
const KEY_MAX: usize = 246;
/// A larger frame makes the server close the connection, and every request on it with it.
const FRAME_MAX: usize = 30 * 1024 * 1024;
/// With a durability level an operation gets at least this long (MI-9).
const DURABLE_MIN: Duration = Duration::from_millis(1500);
/// Pauses of reasons that are always retried, by the number of attempts so far (8.2).
const CONTROLLED: [u64; 6] = [1, 10, 50, 100, 500, 1000];
const BEST_EFFORT_MAX: u64 = 500;

impl Engine {
    /// Takes an operation. Its end comes as [`Event::Completed`], exactly once, at the latest at its deadline.
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
        self.dispatch(id);
        Ok(id)
    }

    /// Waits for the first map: [`Response::Ready`], or the definite error, at the latest after `bootstrap_timeout`.
    pub fn bootstrap(&mut self, now: Instant) -> OpId {
        self.advance(now);
        self.states_changed = true;
        let id = self.enter(Work::Bootstrap, self.config.options.bootstrap_timeout);
        self.watch(id);
        id
    }

    /// Waits until a bucket, or without one the cluster, is connected as `desired` (BOOT-28).
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
        let id = self.enter(Work::Ready { bucket, desired }, timeout);
        self.watch(id);
        id
    }

    /// Gives an operation up: no [`Event::Completed`] comes for it. What was written stays written, its answer is an
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

    fn enter(&mut self, work: Work, timeout: Duration) -> OpId {
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

    fn watch(&mut self, id: OpId) {
        if self.is_closed() {
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
    fn invalid(&self, operation: &Operation) -> Option<OpError> {
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
            self.park(id, bucket, None);
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
        let slot = route.slot.and_then(|slot| *state.slots.get(slot)?);
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
    fn hand_to(&mut self, id: OpId, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let ready = match &link.phase {
            Phase::Live { connection, .. } => connection.can_send() && link.queue.is_empty(),
            _ => false,
        };
        if ready {
            self.write_op(id, index);
            self.announce_transmit(index);
            return;
        }
        let down = matches!(link.phase, Phase::Waiting { .. });
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
    }

    /// Lets an operation wait for a map, or for a node to take its vbucket.
    fn park(&mut self, id: OpId, bucket: u32, reason: Option<RetryReason>) {
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
            let Phase::Live { connection, .. } = &link.phase else { return };
            if link.queue.is_empty() || !connection.can_send() || link.draining.is_some() {
                return;
            }
            let Some(id) = link.queue.pop() else { return };
            match self.ops.get(id).map(|op| op.place) {
                // Routed again, since a map may have come while it waited.
                Some(Place::Link(waiting)) if waiting == index => self.write_queued(id, index),
                _ => {}
            }
        }
    }

    fn write_queued(&mut self, id: OpId, index: u32) {
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
    fn write_op(&mut self, id: OpId, index: u32) {
        let now = self.now;
        let Some(op) = self.ops.get_mut(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let Phase::Live { conn, connection } = &mut link.phase else { return };
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
            Verdict::Close(kind) => {
                self.fail(id, kind, None);
                self.close_link(index, kind, "the server's answer ends the connection");
            }
        }
    }

    /// Body first, then the route, then the forward map, then a pause (RE-2).
    fn on_not_my_vbucket(&mut self, id: OpId, index: u32, body: &[u8]) {
        if !body.is_empty() {
            self.propose(index, body);
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        op.reasons.insert(RetryReason::KvNotMyVbucket);
        let Work::Kv(operation) = &op.work else { return };
        let bucket = self.collections[operation.collection.0 as usize].bucket;
        let state = &self.buckets[bucket as usize];
        let Some(map) = state.scope.map.clone() else {
            self.dispatch(id);
            return;
        };
        let serial = state.scope.serial;
        let route = map.route(&operation.key);
        let target = route.and_then(|route| *state.slots.get(route.slot?)?);
        let vbucket_changed = route.is_some_and(|route| route.vbucket != op.vbucket.0);
        if op.routed_by != serial && (target != Some(index) || vbucket_changed) {
            op.retries += 1;
            self.dispatch(id);
            return;
        }
        let forward = map.vbuckets.as_ref().and_then(|vbuckets| {
            let slot = vbuckets.forward_active(route?.vbucket)?;
            state.slots.get(slot).copied()?
        });
        if let Some(forward) = forward.filter(|&forward| forward != index)
            && op.forward_tried != Some(serial)
        {
            op.forward_tried = Some(serial);
            op.routed_by = serial;
            op.retries += 1;
            self.hand_to(id, forward);
            return;
        }
        self.want_map(bucket, index);
        self.retry(id, RetryReason::KvNotMyVbucket);
    }

    /// Asks whether, and after which pause, an operation is tried again (8.2).
    pub(super) fn retry(&mut self, id: OpId, reason: RetryReason) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        let retries = op.retries;
        let pause = if reason.is_always_retried() {
            let step = (retries as usize).min(CONTROLLED.len() - 1);
            Some(CONTROLLED[step])
        } else {
            match operation.retry {
                RetryStrategy::FailFast => None,
                RetryStrategy::BestEffort => (operation.kind.is_idempotent()
                    || reason.allows_non_idempotent())
                .then(|| 1u64.checked_shl(retries).unwrap_or(BEST_EFFORT_MAX).min(BEST_EFFORT_MAX)),
            }
        };
        op.reasons.insert(reason);
        match pause {
            None => self.fail(id, reason.error(), None),
            Some(millis) => {
                op.retries += 1;
                op.place = Place::Pause(reason);
                let at = self.after(Duration::from_millis(millis));
                // A pause beyond the deadline never ends: the deadline settles the operation.
                self.pauses.set(id.slot, at);
            }
        }
    }

    /// Sends an operation on its way again at once; not counted as an attempt.
    fn put_off(&mut self, id: OpId, reason: RetryReason) {
        if let Some(op) = self.ops.get_mut(id) {
            op.reasons.insert(reason);
            op.place = Place::Nowhere;
            self.requeue.push(id);
        }
    }

    /// The pause of an operation has passed.
    pub(super) fn on_pause_over(&mut self, slot: u32) {
        let Some(id) = self.ops.id(slot) else { return };
        if let Some(op) = self.ops.get_mut(id).filter(|op| matches!(op.place, Place::Pause(_))) {
            op.place = Place::Nowhere;
            self.dispatch(id);
        }
    }

    /// A newer map of a bucket: what waits because of the old one goes on (RE-10).
    pub(super) fn reroute(&mut self, bucket: u32) {
        for id in self.buckets[bucket as usize].parked.take() {
            if self.ops.get(id).is_some_and(|op| op.place == Place::Bucket) {
                self.dispatch(id);
            }
        }
        for index in self.buckets[bucket as usize].slots.clone().into_iter().flatten() {
            let waiting = self.link_mut(index).map(|link| link.queue.take()).unwrap_or_default();
            for id in waiting {
                if let Some(op) = self.ops.get_mut(id).filter(|op| op.place == Place::Link(index)) {
                    op.place = Place::Nowhere;
                    self.dispatch(id);
                }
            }
        }
        let mut paused: Vec<u32> = self.pauses.indexes().collect();
        paused.sort_unstable();
        for slot in paused {
            let Some(id) = self.ops.id(slot) else { continue };
            let cured = self.ops.get(id).is_some_and(|op| {
                matches!(op.place, Place::Pause(RetryReason::KvNotMyVbucket | RetryReason::NodeNotAvailable))
                    && matches!(&op.work, Work::Kv(operation)
                        if self.collections[operation.collection.0 as usize].bucket == bucket)
            });
            if cured {
                self.pauses.clear(slot);
                self.on_pause_over(slot);
            }
        }
    }

    /// What was asked on a connection that ended (8.3).
    pub(super) fn settle_lost(&mut self, index: u32, tag: Tag, written: bool) {
        match tag {
            Tag::Config(scope) => self.on_config_lost(index, scope),
            Tag::Collection(collection) => self.on_collection_lost(collection),
            Tag::Op(slot) => {
                let Some(id) = self.ops.id(slot) else { return };
                let Some(op) = self.ops.get_mut(id) else { return };
                let Work::Kv(operation) = &op.work else { return };
                op.place = Place::Nowhere;
                if !written {
                    op.reasons.insert(RetryReason::SocketNotAvailable);
                    self.dispatch(id);
                } else if operation.kind.is_idempotent() {
                    self.retry(id, RetryReason::SocketClosedWhileInFlight);
                } else {
                    op.reasons.insert(RetryReason::SocketClosedWhileInFlight);
                    let detail = "the connection ended after the request was written, before its answer came";
                    let mut error = self.error(id, ErrorKind::RequestCanceled, Some(detail.to_owned()));
                    error.context_mut().may_have_happened = true;
                    self.complete(id, Err(error));
                }
            }
        }
    }

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

    /// The deadline of an operation has passed (RE-12).
    pub(super) fn on_deadline(&mut self, slot: u32) {
        let Some(id) = self.ops.id(slot) else { return };
        let Some(op) = self.ops.get(id) else { return };
        let (place, link) = (op.place, op.link);
        match &op.work {
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
    fn explain_wait(&self, id: OpId, place: Place, error: &mut OpError) {
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
                context.detail = Some("the map names no reachable node for the vbucket".into());
                context.cause = bucket.refused;
            }
            Place::Link(index) => {
                let server = self.link(index).map(|link| link.endpoint.to_string());
                context.server = server.or_else(|| context.server.take());
                context.detail = Some(failure.as_ref().map_or_else(
                    || "waiting for room on the node's connection".into(),
                    |failure| {
                        format!("waiting for the node, which failed at {}: {}", failure.stage, failure.text)
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
    fn leave(&mut self, id: OpId) {
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
            Place::Pause(_) | Place::Nowhere | Place::Watch => {}
        }
        self.deadlines.clear(id.slot);
        self.pauses.clear(id.slot);
    }

    fn live(&mut self, reached: LinkRef) -> Option<&mut crate::conn::Connection<Tag>> {
        let link = self.link_mut(reached.index).filter(|link| link.conn() == Some(reached.conn))?;
        Link::connection_mut(link)
    }

    /// The end of an operation.
    pub(super) fn complete(&mut self, id: OpId, result: Result<Response, OpError>) {
        if !self.ops.remove(id) {
            return;
        }
        self.deadlines.clear(id.slot);
        self.pauses.clear(id.slot);
        self.outputs.push_back(Output::Event(Event::Completed { op: id, result }));
        self.after_end();
    }

    fn after_end(&mut self) {
        if self.was_full && self.ops.len() <= self.config.max_operations / 4 * 3 {
            self.was_full = false;
            self.outputs.push_back(Output::Event(Event::Writable));
        }
    }

    fn probe(&mut self, index: u32) {
        let now = self.now;
        if let Some(connection) = self.link_mut(index).and_then(Link::connection_mut) {
            connection.probe(now);
            self.announce_transmit(index);
            self.arm(index);
        }
    }

    /// Look-ups of collection ids that are not answered: the nodes asked have to show that they live.
    fn probe_resolvers(&mut self) {
        let asked: Vec<u32> =
            self.collections.iter().filter_map(super::collections::Collection::asked).collect();
        for index in asked {
            self.probe(index);
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
                Work::Ready { bucket: Some(bucket), desired } => {
                    (self.bucket_is_ready(*bucket, *desired), self.is_stopped(ScopeId::Bucket(*bucket)))
                }
                Work::Ready { bucket: None, .. } => (
                    self.cluster.map.is_some() || self.mapless,
                    self.scope_ids().any(|scope| self.is_stopped(scope)),
                ),
                Work::Kv(_) => continue,
            };
            if done {
                self.complete(id, Ok(Response::Ready));
            } else if hopeless {
                let error = self.not_ready(id);
                self.complete(id, Err(error));
            } else {
                self.watchers.push(id);
            }
        }
    }

    fn bucket_is_ready(&self, bucket: u32, desired: DesiredState) -> bool {
        let state = &self.buckets[bucket as usize];
        let Some(map) = &state.scope.map else { return false };
        let serving = map.nodes.iter().zip(&state.slots).filter(|(node, _)| node.serves_bucket);
        let mut ready =
            serving.map(|(_, slot)| slot.and_then(|index| self.link(index)).is_some_and(Link::is_ready));
        match desired {
            DesiredState::Online => ready.all(|ready| ready),
            DesiredState::Degraded => ready.any(|ready| ready),
        }
    }

    /// Why a state did not come (BOOT-16, BOOT-29).
    fn not_ready(&self, id: OpId) -> OpError {
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
            let texts: Vec<String> = links
                .filter(|link| !link.is_ready())
                .map(|link| match &link.last_failure {
                    Some(failure) => {
                        format!("{} failed at {}: {}", link.endpoint, failure.stage, failure.text)
                    }
                    None => format!("{} is at {}", link.endpoint, link.stage()),
                })
                .collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        });
        let context = error.context_mut();
        context.bootstrap = report.map(Box::new);
        context.detail = failing;
        error
    }
}
