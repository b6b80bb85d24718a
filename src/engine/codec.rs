//! What an operation looks like as a request, and what its answer means (`kv-protocol.md` 2.3, 3).

use bytes::Bytes;

use super::op::{Concat, Count, OpKind, Response, RetryReason, Store, StoreMode};
use crate::conn::Answer;
use crate::error::ErrorKind;
use crate::expiry::Expiry;
use crate::ids::{Cas, MutationToken, SeqNo, VbucketId};
use crate::wire::{ErrorAttribute, ErrorAttributes, ErrorMap, Status, datatype};

/// Common flags whose format is JSON (RFC 0020).
const FORMAT_MASK: u32 = 0x0f00_0000;
const FORMAT_JSON: u32 = 0x0200_0000;

/// The fixed fields of a request.
pub(super) struct RequestExtras {
    len: usize,
    bytes: [u8; 20],
}

impl RequestExtras {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn of(parts: &[&[u8]]) -> Self {
        let (mut len, mut bytes) = (0, [0; 20]);
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Self { len, bytes }
    }
}

/// Extras of an operation's request (2.3).
pub(super) fn extras(kind: &OpKind) -> RequestExtras {
    match kind {
        OpKind::Get
        | OpKind::Unlock { .. }
        | OpKind::Remove { .. }
        | OpKind::Append(_)
        | OpKind::Prepend(_) => RequestExtras::of(&[]),
        // Version 1 of the answer has all that `exists` needs.
        OpKind::Exists => RequestExtras::of(&[]),
        OpKind::GetAndTouch { expiry } | OpKind::Touch { expiry } => {
            RequestExtras::of(&[&expiry.to_wire().to_be_bytes()])
        }
        OpKind::GetAndLock { seconds } => RequestExtras::of(&[&seconds.to_be_bytes()]),
        OpKind::Store(Store { flags, expiry, .. }) => {
            RequestExtras::of(&[&flags.to_be_bytes(), &expiry.to_wire().to_be_bytes()])
        }
        OpKind::Increment(Count { delta, initial, expiry, .. })
        | OpKind::Decrement(Count { delta, initial, expiry, .. }) => {
            let expiry = if initial.is_some() { *expiry } else { Expiry::DO_NOT_CREATE };
            RequestExtras::of(&[
                &delta.to_be_bytes(),
                &initial.unwrap_or(0).to_be_bytes(),
                &expiry.to_wire().to_be_bytes(),
            ])
        }
    }
}

/// The CAS of an operation's request (OP-3).
pub(super) const fn request_cas(kind: &OpKind) -> Cas {
    match kind {
        OpKind::Unlock { cas }
        | OpKind::Remove { cas, .. }
        | OpKind::Append(Concat { cas, .. })
        | OpKind::Prepend(Concat { cas, .. })
        | OpKind::Store(Store { cas, mode: StoreMode::Replace, .. }) => *cas,
        OpKind::Get
        | OpKind::GetAndTouch { .. }
        | OpKind::GetAndLock { .. }
        | OpKind::Exists
        | OpKind::Touch { .. }
        | OpKind::Store(_)
        | OpKind::Increment(_)
        | OpKind::Decrement(_) => Cas::NONE,
    }
}

/// The value of an operation's request.
pub(super) fn request_value(kind: &OpKind) -> Option<&Bytes> {
    match kind {
        OpKind::Store(Store { value, .. })
        | OpKind::Append(Concat { value, .. })
        | OpKind::Prepend(Concat { value, .. }) => Some(value),
        _ => None,
    }
}

/// Datatype bits of an operation's request, compression apart (MI-2).
pub(super) const fn request_datatype(kind: &OpKind) -> u8 {
    match kind {
        OpKind::Store(Store { flags, .. }) if *flags & FORMAT_MASK == FORMAT_JSON => datatype::JSON,
        _ => 0,
    }
}

/// What an answer means for its operation.
#[derive(Debug)]
pub(super) enum Verdict {
    Done(Response),
    Fail(ErrorKind),
    /// The answer could not be decoded; why.
    Malformed(String),
    Retry(RetryReason),
    /// The node does not own the vbucket; the answer's value may be a map.
    NotMyVbucket,
    /// The bucket has no data on that node yet: fetch a map and go on as for [`Verdict::NotMyVbucket`].
    ConfigOnly,
    /// The node does not know the collection id.
    UnknownCollection,
    /// The connection lost its bucket.
    NoBucket,
    /// The connection must be closed; the operation fails with this.
    Close(ErrorKind),
}

/// Judges an answer (3.1): overrides of the operation, then the table, then the error map for unknown codes (ST-1).
pub(super) fn judge<T>(
    kind: &OpKind,
    vbucket: VbucketId,
    answer: &mut Answer<T>,
    error_map: Option<&ErrorMap>,
) -> Verdict {
    if let Some(error) = &answer.malformed {
        return Verdict::Malformed(error.to_string());
    }
    match answer.status {
        Status::SUCCESS => decode(kind, vbucket, answer),
        Status::KEY_ENOENT => match kind {
            OpKind::Exists => Verdict::Done(Response::Exists { exists: false, cas: Cas::NONE }),
            _ => Verdict::Fail(ErrorKind::DocumentNotFound),
        },
        Status::KEY_EEXISTS => match kind {
            OpKind::Store(Store { mode: StoreMode::Insert, .. }) => Verdict::Fail(ErrorKind::DocumentExists),
            _ if request_cas(kind) != Cas::NONE => Verdict::Fail(ErrorKind::CasMismatch),
            _ => Verdict::Fail(ErrorKind::DocumentExists),
        },
        Status::NOT_STORED => match kind {
            OpKind::Store(_) => Verdict::Fail(ErrorKind::DocumentExists),
            _ => Verdict::Fail(ErrorKind::DocumentNotFound),
        },
        Status::LOCKED => match kind {
            OpKind::Unlock { .. } => Verdict::Fail(ErrorKind::CasMismatch),
            _ => Verdict::Retry(RetryReason::KvLocked),
        },
        Status::NOT_MY_VBUCKET => Verdict::NotMyVbucket,
        Status::ECONFIG_ONLY => Verdict::ConfigOnly,
        Status::UNKNOWN_COLLECTION => Verdict::UnknownCollection,
        Status::NO_BUCKET => Verdict::NoBucket,
        Status::AUTH_STALE | Status::AUTH_ERROR => Verdict::Close(ErrorKind::AuthenticationFailure),
        Status::RATE_LIMITED_MAX_CONNECTIONS => Verdict::Close(ErrorKind::RateLimited),
        Status::EWOULD_THROTTLE | Status::CANCELLED => Verdict::Retry(RetryReason::KvErrorMapRetryIndicated),
        Status::ETMPFAIL => Verdict::Retry(RetryReason::KvTemporaryFailure),
        Status::SYNC_WRITE_IN_PROGRESS => Verdict::Retry(RetryReason::KvSyncWriteInProgress),
        Status::SYNC_WRITE_RECOMMIT_IN_PROGRESS => Verdict::Retry(RetryReason::KvSyncWriteReCommitInProgress),
        status => match table(status) {
            Some(kind) => Verdict::Fail(kind),
            None => unknown(status, error_map),
        },
    }
}

/// The rows of table 3.2 whose action is to fail.
const fn table(status: Status) -> Option<ErrorKind> {
    Some(match status {
        Status::E2BIG => ErrorKind::ValueTooLarge,
        Status::EINVAL
        | Status::CAS_VALUE_INVALID
        | Status::ERANGE
        | Status::XATTR_EINVAL
        | Status::EXPIRY_OVERFLOW
        | Status::LOCK_EXPIRY_OVERFLOW
        | Status::SUBDOC_INVALID_COMBO
        | Status::SUBDOC_INVALID_XATTR_ORDER
        | Status::SUBDOC_XATTR_INVALID_FLAG_COMBO
        | Status::SUBDOC_DELETED_DOCUMENT_CANT_HAVE_VALUE
        | Status::SUBDOC_FIELD_NOT_BINARY_VALUE => ErrorKind::InvalidArgument,
        Status::DELTA_BADVAL | Status::SUBDOC_DELTA_EINVAL => ErrorKind::DeltaInvalid,
        Status::NOT_LOCKED => ErrorKind::DocumentNotLocked,
        Status::EACCESS => ErrorKind::AuthenticationFailure,
        Status::NOT_INITIALIZED | Status::BUCKET_PAUSED | Status::ENOMEM | Status::EBUSY => {
            ErrorKind::TemporaryFailure
        }
        Status::RATE_LIMITED_NETWORK_INGRESS
        | Status::RATE_LIMITED_NETWORK_EGRESS
        | Status::RATE_LIMITED_MAX_COMMANDS => ErrorKind::RateLimited,
        Status::SCOPE_SIZE_LIMIT_EXCEEDED
        | Status::BUCKET_SIZE_LIMIT_EXCEEDED
        | Status::BUCKET_RESIDENT_RATIO_TOO_LOW
        | Status::BUCKET_DATA_SIZE_TOO_BIG
        | Status::BUCKET_DISK_SPACE_TOO_LOW => ErrorKind::QuotaLimited,
        Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED | Status::NO_COLLECTIONS_MANIFEST => {
            ErrorKind::UnsupportedOperation
        }
        Status::UNKNOWN_FRAME_INFO => ErrorKind::FeatureNotAvailable,
        Status::EINTERNAL => ErrorKind::InternalServerFailure,
        Status::UNKNOWN_SCOPE => ErrorKind::ScopeNotFound,
        Status::DURABILITY_INVALID_LEVEL => ErrorKind::DurabilityLevelNotAvailable,
        Status::DURABILITY_IMPOSSIBLE => ErrorKind::DurabilityImpossible,
        Status::SYNC_WRITE_AMBIGUOUS => ErrorKind::DurabilityAmbiguous,
        Status::RANGE_SCAN_CANCELLED => ErrorKind::RequestCanceled,
        Status::VB_UUID_NOT_EQUAL => ErrorKind::MutationTokenOutdated,
        Status::SUBDOC_PATH_ENOENT => ErrorKind::PathNotFound,
        Status::SUBDOC_PATH_MISMATCH => ErrorKind::PathMismatch,
        Status::SUBDOC_PATH_EINVAL => ErrorKind::PathInvalid,
        Status::SUBDOC_PATH_E2BIG => ErrorKind::PathTooBig,
        Status::SUBDOC_DOC_E2DEEP => ErrorKind::PathTooDeep,
        Status::SUBDOC_VALUE_CANTINSERT => ErrorKind::ValueInvalid,
        Status::SUBDOC_DOC_NOTJSON => ErrorKind::DocumentNotJson,
        Status::SUBDOC_NUM_ERANGE => ErrorKind::NumberTooBig,
        Status::SUBDOC_PATH_EEXISTS => ErrorKind::PathExists,
        Status::SUBDOC_VALUE_ETOODEEP => ErrorKind::ValueTooDeep,
        Status::SUBDOC_XATTR_INVALID_KEY_COMBO => ErrorKind::XattrInvalidKeyCombo,
        Status::SUBDOC_XATTR_UNKNOWN_MACRO | Status::SUBDOC_XATTR_UNKNOWN_VATTR_MACRO => {
            ErrorKind::XattrUnknownMacro
        }
        Status::SUBDOC_XATTR_UNKNOWN_VATTR => ErrorKind::XattrUnknownVirtualAttribute,
        Status::SUBDOC_XATTR_CANT_MODIFY_VATTR => ErrorKind::XattrCannotModifyVirtualAttribute,
        Status::SUBDOC_CAN_ONLY_REVIVE_DELETED_DOCUMENTS => ErrorKind::CannotReviveLivingDocument,
        // Statuses of other operations: nothing better can be said of them here.
        _ if status.is_known() => ErrorKind::ServerError,
        _ => return None,
    })
}

/// A status outside the table, by the error map of the node that sent it (section 6).
fn unknown(status: Status, error_map: Option<&ErrorMap>) -> Verdict {
    let Some(entry) = error_map.and_then(|map| map.get(status)) else {
        return Verdict::Fail(ErrorKind::ServerError);
    };
    let has = |attribute| entry.attributes.contains(attribute);
    let kind = kind_of(entry.attributes);
    if has(ErrorAttribute::ConnStateInvalidated) || has(ErrorAttribute::SpecialHandling) {
        return Verdict::Close(kind);
    }
    if entry.attributes.allow_retry() {
        return Verdict::Retry(RetryReason::KvErrorMapRetryIndicated);
    }
    Verdict::Fail(kind)
}

/// The kind of an unknown status, by the first attribute that says something.
const fn kind_of(attributes: ErrorAttributes) -> ErrorKind {
    if attributes.contains(ErrorAttribute::Auth) {
        ErrorKind::AuthenticationFailure
    } else if attributes.contains(ErrorAttribute::RateLimit) {
        ErrorKind::RateLimited
    } else if attributes.contains(ErrorAttribute::SystemConstraint) {
        ErrorKind::QuotaLimited
    } else if attributes.contains(ErrorAttribute::Support) {
        ErrorKind::UnsupportedOperation
    } else if attributes.contains(ErrorAttribute::InvalidInput) {
        ErrorKind::InvalidArgument
    } else if attributes.contains(ErrorAttribute::Temp) {
        ErrorKind::TemporaryFailure
    } else if attributes.contains(ErrorAttribute::Internal) {
        ErrorKind::InternalServerFailure
    } else {
        ErrorKind::ServerError
    }
}

fn decode<T>(kind: &OpKind, vbucket: VbucketId, answer: &mut Answer<T>) -> Verdict {
    let fixed = answer.extras;
    let extras = fixed.get();
    let len = answer.value.len();
    let malformed = |what: &str| {
        let extras = extras.map_or(33, <[u8]>::len);
        Verdict::Malformed(format!("{what} in an answer with {extras} bytes of extras and {len} of value"))
    };
    match kind {
        OpKind::Get | OpKind::GetAndTouch { .. } | OpKind::GetAndLock { .. } => match extras {
            Some(&[f0, f1, f2, f3]) => Verdict::Done(Response::Document {
                cas: answer.cas,
                flags: u32::from_be_bytes([f0, f1, f2, f3]),
                // Taken, not cloned: the first clone of a value would cost an allocation.
                value: std::mem::take(&mut answer.value),
            }),
            _ => malformed("no flags"),
        },
        OpKind::Exists => match extras {
            Some(&[d0, d1, d2, d3, ref rest @ ..]) if rest.len() == 16 || rest.len() == 17 => {
                let deleted = u32::from_be_bytes([d0, d1, d2, d3]) != 0;
                let cas = if deleted { Cas::NONE } else { answer.cas };
                Verdict::Done(Response::Exists { exists: !deleted, cas })
            }
            _ => malformed("no metadata"),
        },
        // Nothing stands in these answers; some servers add extras all the same.
        OpKind::Touch { .. } | OpKind::Unlock { .. } => {
            Verdict::Done(Response::Mutation { cas: answer.cas, token: None })
        }
        OpKind::Store(_) | OpKind::Remove { .. } | OpKind::Append(_) | OpKind::Prepend(_) => {
            match token(extras, vbucket) {
                Ok(token) => Verdict::Done(Response::Mutation { cas: answer.cas, token }),
                Err(()) => malformed("no mutation token"),
            }
        }
        OpKind::Increment(_) | OpKind::Decrement(_) => {
            match (token(extras, vbucket), <[u8; 8]>::try_from(&answer.value[..])) {
                (Ok(token), Ok(value)) => Verdict::Done(Response::Counter {
                    value: u64::from_be_bytes(value),
                    cas: answer.cas,
                    token,
                }),
                _ => malformed("no counter"),
            }
        }
    }
}

/// The mutation token of an answer: 0 or 16 bytes, anything else fails the operation (2.3).
fn token(extras: Option<&[u8]>, vbucket: VbucketId) -> Result<Option<MutationToken>, ()> {
    match extras {
        Some([]) => Ok(None),
        Some(&[u0, u1, u2, u3, u4, u5, u6, u7, s0, s1, s2, s3, s4, s5, s6, s7]) => Ok(Some(MutationToken {
            vbucket,
            vbucket_uuid: u64::from_be_bytes([u0, u1, u2, u3, u4, u5, u6, u7]),
            seqno: SeqNo(u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7])),
        })),
        _ => Err(()),
    }
}
