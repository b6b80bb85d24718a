//! Numbers that cross the wire or the engine's surface, each a type of its own.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(", $format, ")"), self.0)
            }
        }
    };
}

id! {
    /// Identifies a request within its connection; the server copies it into the answer bit for bit (FR-13).
    /// Written in logs as hexadecimal (FR-14).
    Opaque(u32), "0x{:x}"
}
id! {
    /// Compare-and-swap token of a document: changes with each write. 0 means "none given".
    Cas(u64), "0x{:016x}"
}
id! {
    /// The partition of a key: a number below the bucket's vbucket count.
    VbucketId(u16), "{}"
}
id! {
    /// The number a collection has in its bucket until it is dropped (`kv-protocol.md` 7.1). 0 is `_default._default`.
    CollectionId(u32), "0x{:x}"
}
id! {
    /// Sequence number of a mutation within its vbucket.
    SeqNo(u64), "{}"
}

impl Cas {
    /// No CAS: the request is unconditional.
    pub const NONE: Self = Self(0);
    /// What a reader sees of a locked document; it cannot be used for writes (OP-9).
    pub const LOCKED: Self = Self(u64::MAX);
}

impl CollectionId {
    /// `_default._default`, which needs no look-up (CO-1).
    pub const DEFAULT: Self = Self(0);
}

/// Where a mutation stands in its vbucket's history: the proof that a later read can ask for (feature 0x04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MutationToken {
    /// The vbucket the request was sent to; it is not part of the answer.
    pub vbucket: VbucketId,
    /// Identifies the branch of history.
    pub vbucket_uuid: u64,
    /// The mutation's sequence number.
    pub seqno: SeqNo,
}
