//! Reading, touching and locking.

use std::time::{Duration, SystemTime};

use settee::engine::{OpKind, Response, RetryStrategy};
use settee::error::ErrorKind;
use settee::expiry::Expiry;
use settee::ids::Cas;

use super::{Draft, OpFuture, expiry_after, expiry_at, operation};
use crate::cluster::Collection;
use crate::error::Error;
use crate::results::{ExistsResult, GetResult, MutationResult};

operation! {
    /// See [`Collection::get`].
    Get(()) -> GetResult, |()| OpKind::Get, GetResult::from_response
}
operation! {
    /// See [`Collection::exists`].
    Exists(()) -> ExistsResult, |()| OpKind::Exists, ExistsResult::from_response
}
operation! {
    /// See [`Collection::touch`].
    Touch(Expiry) -> MutationResult, |expiry| OpKind::Touch { expiry }, MutationResult::from_response
}
operation! {
    /// See [`Collection::get_and_touch`].
    GetAndTouch(Expiry) -> GetResult, |expiry| OpKind::GetAndTouch { expiry }, GetResult::from_response
}
operation! {
    /// See [`Collection::get_and_lock`].
    GetAndLock(u32) -> GetResult, |seconds| OpKind::GetAndLock { seconds }, GetResult::from_response
}
operation! {
    /// See [`Collection::unlock`].
    Unlock(Cas) -> (), |cas| OpKind::Unlock { cas },
    |response, _| matches!(response, Response::Mutation { .. }).then_some(())
}

impl Collection {
    /// Reads a document.
    ///
    /// # Errors
    /// `DocumentNotFound`, and what every operation can fail with: time-outs, `CollectionNotFound`, `RequestCanceled`,
    /// `ClusterClosed`, `InvalidArgument` for a key that is empty or longer than 250 bytes (246 outside of the default
    /// collection).
    pub fn get(&self, id: impl AsRef<[u8]>) -> Get {
        Get { draft: Draft::new(self, id, ()) }
    }

    /// Whether a document exists. A missing document is no error.
    pub fn exists(&self, id: impl AsRef<[u8]>) -> Exists {
        Exists { draft: Draft::new(self, id, ()) }
    }

    /// Sets a document's expiry; zero removes it.
    ///
    /// # Errors
    /// `DocumentNotFound`, `DocumentLocked`; `InvalidArgument` for less than a second.
    pub fn touch(&self, id: impl AsRef<[u8]>, expiry: Duration) -> Touch {
        let mut draft = Draft::new(self, id, Expiry::NONE);
        draft.kind = draft.take_expiry(expiry_after(expiry));
        Touch { draft }
    }

    /// Sets the time at which a document goes by itself.
    ///
    /// # Errors
    /// As [`touch`](Self::touch).
    pub fn touch_at(&self, id: impl AsRef<[u8]>, expiry: SystemTime) -> Touch {
        let mut draft = Draft::new(self, id, Expiry::NONE);
        draft.kind = draft.take_expiry(expiry_at(expiry));
        Touch { draft }
    }

    /// Reads a document and sets its expiry; zero removes it.
    ///
    /// # Errors
    /// As [`touch`](Self::touch).
    pub fn get_and_touch(&self, id: impl AsRef<[u8]>, expiry: Duration) -> GetAndTouch {
        let mut draft = Draft::new(self, id, Expiry::NONE);
        draft.kind = draft.take_expiry(expiry_after(expiry));
        GetAndTouch { draft }
    }

    /// Reads a document and locks it against writes: they need the CAS of the result, until [`unlock`](Self::unlock), a
    /// write with that CAS, or the end of the lock time.
    ///
    /// The time is rounded up to seconds; servers take at most 30 s and treat more as their default of 15 s (OP-10).
    ///
    /// # Errors
    /// `DocumentNotFound`, `DocumentLocked` if it stays locked until the timeout; `InvalidArgument` for a time of zero.
    pub fn get_and_lock(&self, id: impl AsRef<[u8]>, lock_time: Duration) -> GetAndLock {
        let mut draft = Draft::new(self, id, lock_seconds(lock_time));
        if lock_time.is_zero() {
            draft.refuse(
                ErrorKind::InvalidArgument,
                "a lock time of zero would be the server's default of 15 s",
            );
        }
        GetAndLock { draft }
    }

    /// Unlocks a document.
    ///
    /// # Errors
    /// `DocumentNotFound`, `DocumentNotLocked`, `CasMismatch`.
    pub fn unlock(&self, id: impl AsRef<[u8]>, cas: Cas) -> Unlock {
        Unlock { draft: Draft::new(self, id, cas) }
    }
}

/// OP-10: part of a second is rounded up.
fn lock_seconds(time: Duration) -> u32 {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_10_lock_times_are_rounded_up_to_seconds() {
        assert_eq!(lock_seconds(Duration::from_nanos(1)), 1);
        assert_eq!(lock_seconds(Duration::from_secs(30)), 30);
        assert_eq!(lock_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(lock_seconds(Duration::MAX), u32::MAX);
    }
}
