//! Every operation that has not ended, wherever it waits.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ping::Ping;
use super::ready::Staged;
use super::{ConnId, DesiredState, OpId, Operation, RetryReason};
use crate::ids::{Opaque, VbucketId};
use crate::wire::{ServerDuration, Status};

/// One operation under way.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) work: Work,
    pub(super) place: Place,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) reasons: ReasonSet,
    pub(super) vbucket: VbucketId,
    /// Counts the bucket's maps: with which the operation was routed last.
    pub(super) routed_by: u32,
    /// The collection id it was encoded with last.
    pub(super) collection_id: u32,
    /// Where it went last.
    pub(super) link: Option<LinkRef>,
    pub(super) opaque: Option<Opaque>,
    /// The map whose forward node has been tried (RFC 0005: once per map).
    pub(super) forward_tried: Option<u32>,
    /// The value as it is sent compressed, made once; `None` inside where compressing does not pay.
    pub(super) compressed: Option<Option<Bytes>>,
    /// What the last answer said, for the error.
    pub(super) refusal: Option<Box<Refusal>>,
}

/// What a refused attempt was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    pub(super) status: Option<Status>,
    pub(super) error_map: Option<(String, String)>,
    pub(super) context: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) server_duration: Option<ServerDuration>,
}

#[derive(Debug)]
pub(super) enum Work {
    Kv(Operation),
    /// Ends when the first map is there, or with a definite error.
    Bootstrap,
    /// Ends when a bucket, or the cluster, is connected.
    Ready {
        bucket: Option<u32>,
        desired: DesiredState,
        /// What comes behind the connections, if services were asked for.
        staged: Option<Box<Staged>>,
    },
    /// Ends when every endpoint has answered, or with the time it was given.
    Ping(Box<Ping>),
}

/// Where an operation waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: it is being worked on.
    Nowhere,
    /// For a map of its bucket, or for a node to take its vbucket.
    Bucket,
    /// For its collection's id.
    Collection,
    /// Unencoded, for its node's connection.
    Link(u32),
    /// Written, for its answer.
    Sent,
    /// For a pause to pass.
    Pause(RetryReason),
    /// Among those that wait for a state.
    Watch,
}

/// A link, told from a later one at the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkRef {
    pub(super) index: u32,
    pub(super) serial: u32,
    /// The connection it had then: an opaque means nothing on any other.
    pub(super) conn: ConnId,
}

/// A set of retry reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReasonSet(u16);

impl ReasonSet {
    const ALL: [RetryReason; 10] = [
        RetryReason::SocketNotAvailable,
        RetryReason::NodeNotAvailable,
        RetryReason::KvNotMyVbucket,
        RetryReason::KvCollectionOutdated,
        RetryReason::KvErrorMapRetryIndicated,
        RetryReason::KvLocked,
        RetryReason::KvTemporaryFailure,
        RetryReason::KvSyncWriteInProgress,
        RetryReason::KvSyncWriteReCommitInProgress,
        RetryReason::SocketClosedWhileInFlight,
    ];

    pub(super) const fn insert(&mut self, reason: RetryReason) {
        self.0 |= 1 << reason as u16;
    }

    pub(super) fn to_vec(self) -> Vec<RetryReason> {
        Self::ALL.into_iter().filter(|&reason| self.0 & 1 << reason as u16 != 0).collect()
    }
}

/// Operations by slot; the slot of one that ended is used again under another generation.
#[derive(Debug, Default)]
pub(super) struct OpTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    op: Option<Op>,
}

impl OpTable {
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    pub(super) fn insert(&mut self, op: Op) -> OpId {
        self.live += 1;
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.generation = entry.generation.wrapping_add(1);
            entry.op = Some(op);
            return OpId { slot, generation: entry.generation };
        }
        // The engine's bound on operations is far below 2^32.
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, op: Some(op) });
        OpId { slot, generation: 0 }
    }

    pub(super) fn id(&self, slot: u32) -> Option<OpId> {
        let entry = self.slots.get(slot as usize)?;
        entry.op.as_ref().map(|_| OpId { slot, generation: entry.generation })
    }

    pub(super) fn get(&self, id: OpId) -> Option<&Op> {
        let entry = self.slots.get(id.slot as usize)?;
        entry.op.as_ref().filter(|_| entry.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: OpId) -> Option<&mut Op> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        entry.op.as_mut().filter(|_| entry.generation == id.generation)
    }

    /// Drops an operation, in place; whether it was there. Its slot stays taken until [`OpTable::release`], so that its
    /// index means nothing else before its owner has heard of the end.
    pub(super) fn remove(&mut self, id: OpId) -> bool {
        match self.slots.get_mut(id.slot as usize) {
            Some(entry) if entry.generation == id.generation && entry.op.is_some() => entry.op = None,
            _ => return false,
        }
        self.live -= 1;
        true
    }

    /// The owner knows that the operation has ended.
    pub(super) fn release(&mut self, id: OpId) {
        self.free.push(id.slot);
    }

    /// Every live operation, by slot.
    pub(super) fn ids(&self) -> Vec<OpId> {
        let slots = 0..self.slots.len() as u32;
        slots.filter_map(|slot| self.id(slot)).collect()
    }
}
