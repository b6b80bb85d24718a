//! Counters, and bytes added to documents.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use settee::engine::{Concat, Count, Durability, OpKind, RetryStrategy};
use settee::expiry::Expiry;
use settee::ids::Cas;

use super::{Draft, OpFuture, durable, expiring, expiry_after, expiry_at, operation, optimistic};
use crate::cluster::Collection;
use crate::error::Error;
use crate::results::{CounterResult, MutationResult};

operation! {
    /// See [`BinaryCollection::append`].
    Append(Concat) -> MutationResult, OpKind::Append, MutationResult::from_response
}
operation! {
    /// See [`BinaryCollection::prepend`].
    Prepend(Concat) -> MutationResult, OpKind::Prepend, MutationResult::from_response
}
operation! {
    /// See [`BinaryCollection::increment`].
    Increment(Count) -> CounterResult, OpKind::Increment, CounterResult::from_response
}
operation! {
    /// See [`BinaryCollection::decrement`].
    Decrement(Count) -> CounterResult, OpKind::Decrement, CounterResult::from_response
}

durable!(Append Prepend Increment Decrement);
optimistic!(Append Prepend);
expiring!(Increment Decrement);

macro_rules! counter {
    ($($name:ident)+) => {$(
        impl $name {
            /// By how much. Default 1.
            pub const fn delta(mut self, delta: u64) -> Self {
                self.draft.kind.delta = delta;
                self
            }

            /// Create the document with this value if there is none. Default: that is `DocumentNotFound` (OP-11).
            pub const fn initial(mut self, value: u64) -> Self {
                self.draft.kind.initial = Some(value);
                self
            }
        }
    )+};
}
counter!(Increment Decrement);

/// Operations of a [`Collection`] on documents that are not JSON.
#[derive(Clone, Debug)]
pub struct BinaryCollection {
    collection: Collection,
}

impl Collection {
    /// Counters, and bytes added to documents.
    pub fn binary(&self) -> BinaryCollection {
        BinaryCollection { collection: self.clone() }
    }
}

impl BinaryCollection {
    /// Adds bytes behind a document; its flags and expiry stay.
    ///
    /// # Errors
    /// `DocumentNotFound`, `CasMismatch`, `DocumentLocked`, `ValueTooLarge`, the durability errors.
    pub fn append(&self, id: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Append {
        Append { draft: Draft::new(&self.collection, id, concat(value)) }
    }

    /// Adds bytes before a document; its flags and expiry stay.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn prepend(&self, id: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Prepend {
        Prepend { draft: Draft::new(&self.collection, id, concat(value)) }
    }

    /// Adds to a counter: a document of decimal digits. Beyond 2^64 it begins again at 0 (OP-11). An expiry counts for a
    /// document that is created by this.
    ///
    /// # Errors
    /// `DocumentNotFound` without [`initial`](Increment::initial); `DeltaInvalid` if the document is no number.
    pub fn increment(&self, id: impl AsRef<[u8]>) -> Increment {
        Increment { draft: Draft::new(&self.collection, id, count()) }
    }

    /// Subtracts from a counter: a document of decimal digits. It stops at 0 (OP-11). An expiry counts for a document that
    /// is created by this.
    ///
    /// # Errors
    /// As [`increment`](Self::increment).
    pub fn decrement(&self, id: impl AsRef<[u8]>) -> Decrement {
        Decrement { draft: Draft::new(&self.collection, id, count()) }
    }
}

fn concat(value: impl Into<Bytes>) -> Concat {
    Concat { value: value.into(), cas: Cas::NONE, durability: Durability::None }
}

const fn count() -> Count {
    Count { delta: 1, initial: None, expiry: Expiry::NONE, durability: Durability::None }
}
