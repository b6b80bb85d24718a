//! What happens to an operation that did not get its answer: another route, a pause, or the end (`kv-protocol.md` 8.1 to 8.3).

use std::time::Duration;

use super::table::{Place, Work};
use super::{Engine, OpId, RetryReason, RetryStrategy, Tag};
use crate::error::ErrorKind;

/// Pauses of reasons that are always retried, by the number of attempts so far (8.2).
const CONTROLLED: [u64; 6] = [1, 10, 50, 100, 500, 1000];
const BEST_EFFORT_MAX: u64 = 500;

impl Engine {
    /// Body first, then the route, then the forward map, then a pause (RE-2).
    pub(super) fn on_not_my_vbucket(&mut self, id: OpId, index: u32, body: &[u8]) {
        if !body.is_empty() {
            self.propose(index, body);
        }
        let Some(op) = self.ops.get_mut(id) else { return };
        op.reasons.insert(RetryReason::KvNotMyVbucket);
        let (routed_by, vbucket, tried) = (op.routed_by, op.vbucket.0, op.forward_tried);
        let Work::Kv(operation) = &op.work else { return };
        let bucket = self.collections[operation.collection.0 as usize].bucket;
        let state = &self.buckets[bucket as usize];
        let Some(map) = state.scope.map.clone() else {
            self.dispatch(id);
            return;
        };
        let serial = state.scope.serial;
        let route = map.route(&operation.key);
        let target = route.and_then(|route| self.link_of(bucket, route.slot?, route.vbucket));
        let vbucket_changed = route.is_some_and(|route| route.vbucket != vbucket);
        if routed_by != serial && (target != Some(index) || vbucket_changed) {
            self.count_retry(id);
            self.dispatch(id);
            return;
        }
        let forward = map.vbuckets.as_ref().and_then(|vbuckets| {
            let vbucket = route?.vbucket;
            self.link_of(bucket, vbuckets.forward_active(vbucket)?, vbucket)
        });
        if let Some(forward) = forward.filter(|&forward| forward != index)
            && tried != Some(serial)
            && let Some(op) = self.ops.get_mut(id)
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

    fn count_retry(&mut self, id: OpId) {
        if let Some(op) = self.ops.get_mut(id) {
            op.retries += 1;
        }
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
            Some(_) if self.pauses.len() >= self.config.options.max_requests_in_retry => {
                let detail = format!("{} operations wait for another attempt already", self.pauses.len());
                self.fail(id, ErrorKind::RequestCanceled, Some(detail));
            }
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
    pub(super) fn put_off(&mut self, id: OpId, reason: RetryReason) {
        if let Some(op) = self.ops.get_mut(id) {
            op.reasons.insert(reason);
            op.place = Place::Nowhere;
            self.requeue.push(id);
        }
    }

    /// The pause of an operation has passed.
    pub(super) fn on_pause_over(&mut self, slot: u32) {
        let Some(id) = self.ops.id(slot) else { return };
        if self.ops.get(id).is_some_and(|op| op.place == Place::Watch) {
            self.on_ready_pause_over(id);
            return;
        }
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
            Tag::Ping(number) => self.on_ping_lost(index, number),
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
}
