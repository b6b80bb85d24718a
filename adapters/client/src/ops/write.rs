//! Writing and removing.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use settee::engine::{Durability, OpKind, RetryStrategy, Store, StoreMode};
use settee::error::ErrorKind;
use settee::expiry::Expiry;
use settee::ids::Cas;

use super::{Draft, OpFuture, durable, expiring, expiry_after, expiry_at, operation, optimistic};
use crate::cluster::Collection;
use crate::error::Error;
use crate::results::MutationResult;
use crate::value::{Encode, Encoded, Flags};

operation! {
    /// See [`Collection::upsert`].
    Upsert(Store) -> MutationResult, OpKind::Store, MutationResult::from_response
}
operation! {
    /// See [`Collection::insert`].
    Insert(Store) -> MutationResult, OpKind::Store, MutationResult::from_response
}
operation! {
    /// See [`Collection::replace`].
    Replace(Store) -> MutationResult, OpKind::Store, MutationResult::from_response
}
operation! {
    /// See [`Collection::remove`].
    Remove(Removal) -> MutationResult,
    |Removal { cas, durability }| OpKind::Remove { cas, durability }, MutationResult::from_response
}

durable!(Upsert Insert Replace Remove);
expiring!(Upsert Insert);
optimistic!(Replace Remove);

#[derive(Clone, Debug)]
struct Removal {
    cas: Cas,
    durability: Durability,
}

impl Upsert {
    /// Retain the expiry that the document has; one that is given here counts only for a document without (MI-6).
    /// Default: no, a write without expiry removes it. Needs server 7.0.
    pub const fn preserve_expiry(mut self, preserve: bool) -> Self {
        self.draft.kind.preserve_expiry = preserve;
        self
    }
}

/// An expiry and `preserve_expiry` contradict each other here (MI-6).
const BOTH_EXPIRIES: &str = "a replace either sets an expiry or retains the one there is, not both";

impl Replace {
    /// The document goes by itself after this time; its fraction of a second is dropped. Zero: never, which is the default.
    /// Less than a second is `InvalidArgument`, and so is an expiry together with
    /// [`preserve_expiry`](Self::preserve_expiry).
    pub fn expiry(mut self, after: Duration) -> Self {
        self.draft.kind.expiry = self.draft.take_expiry(expiry_after(after));
        self.check_expiry()
    }

    /// The document goes by itself at this time. Up to 31 January 1970 is `InvalidArgument` (MI-7).
    pub fn expiry_at(mut self, instant: SystemTime) -> Self {
        self.draft.kind.expiry = self.draft.take_expiry(expiry_at(instant));
        self.check_expiry()
    }

    /// Retain the expiry that the document has. Default: no, a write without expiry removes it. Needs server 7.0.
    pub fn preserve_expiry(mut self, preserve: bool) -> Self {
        self.draft.kind.preserve_expiry = preserve;
        self.check_expiry()
    }

    fn check_expiry(mut self) -> Self {
        if self.draft.kind.preserve_expiry && !self.draft.kind.expiry.is_none() {
            self.draft.refuse(ErrorKind::InvalidArgument, BOTH_EXPIRIES);
        }
        self
    }
}

impl Collection {
    /// Writes a document, whether it exists or not. See [`value`](crate::value) for what can be written.
    ///
    /// # Errors
    /// `DocumentLocked`, `ValueTooLarge`, `EncodingFailure`, the durability errors, and what every operation can fail with.
    /// [`Error::may_have_happened`](crate::Error::may_have_happened) tells whether a failed write may be in effect.
    pub fn upsert(&self, id: impl AsRef<[u8]>, value: impl Encode) -> Upsert {
        Upsert { draft: store(self, id, StoreMode::Upsert, value) }
    }

    /// Creates a document.
    ///
    /// # Errors
    /// `DocumentExists`, and as [`upsert`](Self::upsert).
    pub fn insert(&self, id: impl AsRef<[u8]>, value: impl Encode) -> Insert {
        Insert { draft: store(self, id, StoreMode::Insert, value) }
    }

    /// Writes a document that exists, optionally only if its CAS is still the one that was read.
    ///
    /// # Errors
    /// `DocumentNotFound`, `CasMismatch`, and as [`upsert`](Self::upsert).
    pub fn replace(&self, id: impl AsRef<[u8]>, value: impl Encode) -> Replace {
        Replace { draft: store(self, id, StoreMode::Replace, value) }
    }

    /// Removes a document, optionally only if its CAS is still the one that was read.
    ///
    /// # Errors
    /// `DocumentNotFound`, `CasMismatch`, `DocumentLocked`, the durability errors.
    pub fn remove(&self, id: impl AsRef<[u8]>) -> Remove {
        Remove { draft: Draft::new(self, id, Removal { cas: Cas::NONE, durability: Durability::None }) }
    }
}

fn store(collection: &Collection, id: impl AsRef<[u8]>, mode: StoreMode, value: impl Encode) -> Draft<Store> {
    let encoded = value.encode();
    let (Encoded { value, flags }, wrong) = match encoded {
        Ok(encoded) => (encoded, None),
        Err(error) => (Encoded { value: Bytes::new(), flags: Flags::default() }, Some(error)),
    };
    let mut draft = Draft::new(
        collection,
        id,
        Store {
            mode,
            value,
            flags: flags.0,
            expiry: Expiry::NONE,
            preserve_expiry: false,
            cas: Cas::NONE,
            durability: Durability::None,
        },
    );
    if let Some(error) = wrong {
        draft.refuse(ErrorKind::EncodingFailure, error.to_string());
    }
    draft
}
