//! Operations and their results, as the application hands them in and gets them back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ErrorKind, OpError};
use crate::expiry::Expiry;
use crate::ids::{Cas, MutationToken};
use crate::key::Key;
use crate::wire::Opcode;

/// One submitted operation. The number carries a generation: an id never comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl OpId {
    /// A small number, unique among live operations: an index for an owner's own table.
    pub const fn index(self) -> usize {
        self.slot as usize
    }

    /// The number behind the id, for owners that store it in an atomic; never `u64::MAX`.
    pub const fn to_raw(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The id of a number that [`OpId::to_raw`] gave. A made-up one names no operation, or another.
    pub const fn from_raw(raw: u64) -> Self {
        Self { slot: raw as u32, generation: (raw >> 32) as u32 }
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}.{}", self.slot, self.generation)
    }
}

/// An opened bucket of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketRef(pub(crate) u32);

/// A collection of one engine, named by [`super::Engine::collection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionRef(pub(crate) u32);

impl CollectionRef {
    /// The number behind the reference, for owners that store it in an atomic.
    pub const fn to_raw(self) -> u32 {
        self.0
    }

    /// The reference of a number that [`CollectionRef::to_raw`] gave. An operation with a made-up one is refused.
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

/// A key-value operation on one document.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Where the document lives.
    pub collection: CollectionRef,
    /// Its key: 1 to 250 bytes in the default collection, 1 to 246 in any other.
    pub key: Key,
    /// What to do.
    pub kind: OpKind,
    /// The time until it is given up, from submission; `None`: the client's `kv_timeout`, or `kv_durable_timeout`
    /// with a durability level. With a level at least 1.5 s is given (MI-9).
    pub timeout: Option<Duration>,
    /// What to do about failures that may pass; `None`: best effort.
    pub retry: RetryStrategy,
}

impl Operation {
    /// An operation with the client's own time-out and best-effort retries.
    pub fn new(collection: CollectionRef, key: impl Into<Key>, kind: OpKind) -> Self {
        Self { collection, key: key.into(), kind, timeout: None, retry: RetryStrategy::BestEffort }
    }
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpKind {
    /// Read the document.
    Get,
    /// Read it and set its expiry.
    GetAndTouch {
        /// The new expiry; none removes it.
        expiry: Expiry,
    },
    /// Read it and lock it against writes.
    GetAndLock {
        /// Seconds, rounded up by the caller; the server takes at most 30 and treats more as its default of 15.
        seconds: u32,
    },
    /// Unlock it.
    Unlock {
        /// The CAS that [`OpKind::GetAndLock`] returned.
        cas: Cas,
    },
    /// Whether the document exists.
    Exists,
    /// Set its expiry.
    Touch {
        /// The new expiry; none removes it.
        expiry: Expiry,
    },
    /// Write the document.
    Store(Store),
    /// Remove the document.
    Remove {
        /// Only if it still has this CAS; [`Cas::NONE`]: unconditionally.
        cas: Cas,
        /// How safe the removal must be before it counts.
        durability: Durability,
    },
    /// Add bytes behind the document.
    Append(Concat),
    /// Add bytes before the document.
    Prepend(Concat),
    /// Add to a counter.
    Increment(Count),
    /// Subtract from a counter; it stops at 0.
    Decrement(Count),
}

/// A write of a whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Whether the document must, must not or may exist.
    pub mode: StoreMode,
    /// The encoded value, at most 20 MiB by the server's default.
    pub value: Bytes,
    /// Common flags (RFC 0020): how the value is encoded.
    pub flags: u32,
    /// When the document goes by itself.
    pub expiry: Expiry,
    /// Retain the expiry the document has; not for inserts (MI-6).
    pub preserve_expiry: bool,
    /// For a replace: only if it still has this CAS; [`Cas::NONE`]: unconditionally.
    pub cas: Cas,
    /// How safe the write must be before it counts.
    pub durability: Durability,
}

/// What a write expects of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreMode {
    /// It may exist or not.
    Upsert,
    /// It must not exist.
    Insert,
    /// It must exist.
    Replace,
}

/// Bytes to add to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The bytes.
    pub value: Bytes,
    /// Only if it still has this CAS; [`Cas::NONE`]: unconditionally.
    pub cas: Cas,
    /// How safe the write must be before it counts.
    pub durability: Durability,
}

/// A change of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// By how much.
    pub delta: u64,
    /// The value of a document that is created by this; `None`: fail if there is none (OP-11).
    pub initial: Option<u64>,
    /// The expiry of a document that is created by this.
    pub expiry: Expiry,
    /// How safe the write must be before it counts.
    pub durability: Durability,
}

/// How safe a write must be before the server answers (`kv-protocol.md` 10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// In memory of the active node.
    #[default]
    None,
    /// In memory of a majority of the copies.
    Majority,
    /// That, and on disk at the active node.
    MajorityAndPersistToActive,
    /// On disk of a majority of the copies.
    PersistToMajority,
}

impl Durability {
    /// The level on the wire; `None` for no level.
    pub const fn level(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Majority => Some(1),
            Self::MajorityAndPersistToActive => Some(2),
            Self::PersistToMajority => Some(3),
        }
    }
}

impl OpKind {
    /// The operation's name in errors and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetAndTouch { .. } => "get_and_touch",
            Self::GetAndLock { .. } => "get_and_lock",
            Self::Unlock { .. } => "unlock",
            Self::Exists => "exists",
            Self::Touch { .. } => "touch",
            Self::Store(Store { mode: StoreMode::Upsert, .. }) => "upsert",
            Self::Store(Store { mode: StoreMode::Insert, .. }) => "insert",
            Self::Store(Store { mode: StoreMode::Replace, .. }) => "replace",
            Self::Remove { .. } => "remove",
            Self::Append(_) => "append",
            Self::Prepend(_) => "prepend",
            Self::Increment(_) => "increment",
            Self::Decrement(_) => "decrement",
        }
    }

    /// The opcode that carries it.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::Get => Opcode::GET,
            Self::GetAndTouch { .. } => Opcode::GAT,
            Self::GetAndLock { .. } => Opcode::GET_LOCKED,
            Self::Unlock { .. } => Opcode::UNLOCK_KEY,
            Self::Exists => Opcode::GET_META,
            Self::Touch { .. } => Opcode::TOUCH,
            Self::Store(Store { mode: StoreMode::Upsert, .. }) => Opcode::SET,
            Self::Store(Store { mode: StoreMode::Insert, .. }) => Opcode::ADD,
            Self::Store(Store { mode: StoreMode::Replace, .. }) => Opcode::REPLACE,
            Self::Remove { .. } => Opcode::DELETE,
            Self::Append(_) => Opcode::APPEND,
            Self::Prepend(_) => Opcode::PREPEND,
            Self::Increment(_) => Opcode::INCREMENT,
            Self::Decrement(_) => Opcode::DECREMENT,
        }
    }

    /// Whether it may be sent again after it was written and no answer came (OP-1).
    pub const fn is_idempotent(&self) -> bool {
        self.opcode().attributes().idempotent
    }

    /// The durability level it asks for.
    pub const fn durability(&self) -> Durability {
        match self {
            Self::Store(Store { durability, .. })
            | Self::Remove { durability, .. }
            | Self::Append(Concat { durability, .. })
            | Self::Prepend(Concat { durability, .. })
            | Self::Increment(Count { durability, .. })
            | Self::Decrement(Count { durability, .. }) => *durability,
            Self::Get
            | Self::GetAndTouch { .. }
            | Self::GetAndLock { .. }
            | Self::Unlock { .. }
            | Self::Exists
            | Self::Touch { .. } => Durability::None,
        }
    }
}

/// What a successful operation returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// Of reads.
    Document {
        /// The document's CAS; of a lock, the one that unlocks.
        cas: Cas,
        /// Common flags: how the value is encoded.
        flags: u32,
        /// The value, decompressed, in memory of its own.
        value: Bytes,
    },
    /// Of [`OpKind::Exists`].
    Exists {
        /// Whether there is a document.
        exists: bool,
        /// Its CAS; [`Cas::NONE`] where there is none.
        cas: Cas,
    },
    /// Of writes, touches and unlocks.
    Mutation {
        /// The document's new CAS.
        cas: Cas,
        /// Where the write stands in its vbucket's history, if the server was asked to tell.
        token: Option<MutationToken>,
    },
    /// Of counters.
    Counter {
        /// The counter's value after the change.
        value: u64,
        /// The document's new CAS.
        cas: Cas,
        /// Where the write stands in its vbucket's history, if the server was asked to tell.
        token: Option<MutationToken>,
    },
    /// Of [`super::Engine::bootstrap`] and [`super::Engine::wait_until_ready`].
    Ready,
}

/// What to do about a failure that may pass (SDK RFC 0049).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RetryStrategy {
    /// Try again until the deadline, after 1 ms, 2 ms, 4 ms … 500 ms, wherever that cannot repeat a write.
    #[default]
    BestEffort,
    /// Fail at once, except for reasons that are always retried: a moved vbucket, an outdated collection id.
    FailFast,
}

/// Why an operation was sent again or put off (SDK RFC 0049, `kv-protocol.md` 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RetryReason {
    /// No writable connection to the node.
    SocketNotAvailable,
    /// The map names no active node for the vbucket, or the node cannot be reached.
    NodeNotAvailable,
    /// The node does not own the vbucket.
    KvNotMyVbucket,
    /// The node does not know the collection id.
    KvCollectionOutdated,
    /// The error map says that a retry may help.
    KvErrorMapRetryIndicated,
    /// The document is locked.
    KvLocked,
    /// The node is temporarily unable.
    KvTemporaryFailure,
    /// Another durable write of the document is under way.
    KvSyncWriteInProgress,
    /// A durable write of the document is being committed again.
    KvSyncWriteReCommitInProgress,
    /// The connection ended after the request, or a part of it, was written.
    SocketClosedWhileInFlight,
}

impl RetryReason {
    /// Whether an operation that is not idempotent may be sent again for this reason.
    pub const fn allows_non_idempotent(self) -> bool {
        !matches!(self, Self::SocketClosedWhileInFlight)
    }

    /// Whether it is retried whatever the strategy says.
    pub const fn is_always_retried(self) -> bool {
        matches!(self, Self::KvNotMyVbucket | Self::KvCollectionOutdated)
    }

    /// The error that an operation ends with when the strategy does not retry this.
    pub const fn error(self) -> ErrorKind {
        match self {
            Self::SocketNotAvailable | Self::NodeNotAvailable | Self::SocketClosedWhileInFlight => {
                ErrorKind::RequestCanceled
            }
            Self::KvNotMyVbucket | Self::KvTemporaryFailure | Self::KvErrorMapRetryIndicated => {
                ErrorKind::TemporaryFailure
            }
            Self::KvCollectionOutdated => ErrorKind::CollectionNotFound,
            Self::KvLocked => ErrorKind::DocumentLocked,
            Self::KvSyncWriteInProgress => ErrorKind::DurableWriteInProgress,
            Self::KvSyncWriteReCommitInProgress => ErrorKind::DurableWriteReCommitInProgress,
        }
    }
}

/// What [`super::Engine::wait_until_ready`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DesiredState {
    /// Every node of the map is connected.
    #[default]
    Online,
    /// At least one is.
    Degraded,
}

/// [`super::Engine::submit`] did not take the operation; it is given back whole.
#[derive(Debug)]
pub struct Rejected {
    /// The operation as it was handed in.
    pub operation: Operation,
    /// Why.
    pub why: RejectReason,
}

/// Why an operation was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// As many operations are under way as the engine takes; [`super::Event::Writable`] tells when there is room.
    Full,
    /// The engine is shut down.
    Closed,
    /// The request could never succeed: a key too long, an empty key, a value too large. Nothing was sent (H20).
    Invalid(OpError),
}
