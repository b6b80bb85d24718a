//! How an operation ends when it does not succeed: names and numbers of SDK RFC 0058, with the circumstances.

use std::fmt;
use std::time::Duration;

use crate::engine::{BootstrapReport, RetryReason};
use crate::ids::{Opaque, VbucketId};
use crate::wire::Status;

macro_rules! kinds {
    ($($name:ident = $code:expr, $doc:literal;)*) => {
        /// What went wrong, by the names of SDK RFC 0058.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(#[doc = $doc] $name,)*
        }

        impl ErrorKind {
            /// The RFC's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The RFC's number; `None` for names that SDKs use without one.
            pub const fn code(self) -> Option<u16> {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

kinds! {
    RequestCanceled = Some(2), "The operation was given up: its connection ended, the cluster was closed, or it was cancelled. The context says whether a write may have happened.";
    InvalidArgument = Some(3), "The request is not one that the server could accept; nothing was sent, or the server refused it.";
    ServiceNotAvailable = Some(4), "No node offers the service.";
    InternalServerFailure = Some(5), "The server failed in a way that it does not explain.";
    AuthenticationFailure = Some(6), "Credentials were refused, or lack a right.";
    TemporaryFailure = Some(7), "The server cannot do it at the moment.";
    CasMismatch = Some(9), "The document changed since the CAS was read.";
    BucketNotFound = Some(10), "No such bucket, or no right to it: the server does not tell them apart.";
    CollectionNotFound = Some(11), "No such collection in the scope.";
    UnsupportedOperation = Some(12), "The server does not know the operation.";
    AmbiguousTimeout = Some(13), "The deadline passed and the write may have happened.";
    UnambiguousTimeout = Some(14), "The deadline passed and nothing was changed.";
    FeatureNotAvailable = Some(15), "This build, or this cluster, does not have the feature.";
    ScopeNotFound = Some(16), "No such scope in the bucket.";
    EncodingFailure = Some(19), "The value could not be encoded.";
    DecodingFailure = Some(20), "The answer could not be decoded.";
    RateLimited = Some(21), "The server limits the rate of requests.";
    QuotaLimited = Some(22), "A quota of the server is used up.";
    DocumentNotFound = Some(101), "No document has this key.";
    DocumentUnretrievable = Some(102), "No copy of the document could be read.";
    DocumentLocked = Some(103), "The document is locked.";
    ValueTooLarge = Some(104), "The value is larger than the server takes.";
    DocumentExists = Some(105), "A document has this key already.";
    DurabilityLevelNotAvailable = Some(107), "The bucket cannot do this durability level.";
    DurabilityImpossible = Some(108), "Too few replicas are up for this durability level.";
    DurabilityAmbiguous = Some(109), "It is unknown whether the durable write took place.";
    DurableWriteInProgress = Some(110), "Another durable write of this document is under way.";
    DurableWriteReCommitInProgress = Some(111), "A durable write of this document is being committed again.";
    PathNotFound = Some(113), "The path is not in the document.";
    PathMismatch = Some(114), "The path does not suit the document's structure.";
    PathInvalid = Some(115), "The path is malformed.";
    PathTooBig = Some(116), "The path is too long.";
    PathTooDeep = Some(117), "The path has too many components.";
    ValueTooDeep = Some(118), "The value is nested too deeply.";
    ValueInvalid = Some(119), "The value cannot be inserted there.";
    DocumentNotJson = Some(120), "The document is not JSON.";
    NumberTooBig = Some(121), "The number is out of range.";
    DeltaInvalid = Some(122), "The delta, or the number it is added to, is invalid.";
    PathExists = Some(123), "The path is in the document already.";
    XattrUnknownMacro = Some(124), "The server does not know the macro.";
    XattrInvalidKeyCombo = Some(126), "These extended attributes cannot be used together.";
    XattrUnknownVirtualAttribute = Some(127), "The server does not know the virtual attribute.";
    XattrCannotModifyVirtualAttribute = Some(128), "Virtual attributes are read-only.";
    XattrNoAccess = Some(130), "No right to the extended attribute.";
    DocumentNotLocked = Some(131), "The document is not locked.";
    CannotReviveLivingDocument = None, "Only a deleted document can be revived.";
    MutationTokenOutdated = None, "The history that the mutation token refers to is gone.";
    ServerError = None, "A status that neither this client nor the server's error map explains.";
    NetworkNotFound = None, "The cluster map does not have the network that was asked for by name.";
    TlsFailure = None, "A certificate was refused, by us or by the peer: nothing can be sent safely.";
    ClusterClosed = None, "The cluster handle was closed.";
}

impl serde::Serialize for ErrorKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The end of an operation that did not succeed.
///
/// Cheap to move: the circumstances are behind one pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct OpError {
    kind: ErrorKind,
    context: Box<OpContext>,
}

/// The circumstances of a failed operation (RE-14). No key and no value stands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpContext {
    /// The operation's name, such as `upsert`.
    pub operation: &'static str,
    /// Bucket name.
    pub bucket: String,
    /// Scope name.
    pub scope: String,
    /// Collection name.
    pub collection: String,
    /// The node the last attempt went to, as `host:port`.
    pub server: Option<String>,
    /// The key's vbucket.
    pub vbucket: Option<VbucketId>,
    /// Opaque of the last attempt.
    pub opaque: Option<Opaque>,
    /// The last status that the server answered.
    pub status: Option<Status>,
    /// Name and description of that status in the server's error map.
    pub error_map: Option<(String, String)>,
    /// What the server said in the error's body.
    pub server_context: Option<String>,
    /// The server's reference for its own log.
    pub server_ref: Option<String>,
    /// How long the server worked on the last attempt.
    pub server_duration: Option<Duration>,
    /// How many times the operation was sent again or put off.
    pub retries: u32,
    /// Why, each reason once.
    pub retry_reasons: Vec<RetryReason>,
    /// The time the operation was given.
    pub timeout: Option<Duration>,
    /// Whether a write may have happened.
    pub may_have_happened: bool,
    /// The failure behind this one: of a time-out, what the operation was waiting for.
    pub cause: Option<ErrorKind>,
    /// More words.
    pub detail: Option<String>,
    /// Where connecting stands, for operations that waited for a connection (BOOT-16).
    pub bootstrap: Option<Box<BootstrapReport>>,
}

impl OpError {
    /// An error with its circumstances.
    pub fn new(kind: ErrorKind, context: OpContext) -> Self {
        Self { kind, context: Box::new(context) }
    }

    /// An error with no more to say than `detail`.
    pub fn with_detail(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::new(kind, OpContext { detail: Some(detail.into()), ..OpContext::default() })
    }

    /// What went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The circumstances.
    pub const fn context(&self) -> &OpContext {
        &self.context
    }

    /// The circumstances, to be completed.
    pub fn context_mut(&mut self) -> &mut OpContext {
        &mut self.context
    }

    /// Whether a write may have happened although the operation failed.
    pub const fn may_have_happened(&self) -> bool {
        self.context.may_have_happened
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = &self.context;
        f.write_str(self.kind.name())?;
        if !context.operation.is_empty() {
            write!(f, " in {}", context.operation)?;
        }
        if let Some(timeout) = context.timeout
            && matches!(self.kind, ErrorKind::AmbiguousTimeout | ErrorKind::UnambiguousTimeout)
        {
            // To the millisecond: what is behind it says nothing.
            let timeout = Duration::from_millis(timeout.as_millis().try_into().unwrap_or(u64::MAX));
            write!(f, " after {timeout:?}")?;
        }
        if let Some(status) = context.status {
            write!(f, ": the server answered {status}")?;
        }
        if let Some((name, description)) = &context.error_map {
            write!(f, " ({name}: {description})")?;
        }
        if let Some(text) = &context.server_context {
            write!(f, ": {text}")?;
        }
        if let Some(detail) = &context.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(cause) = context.cause {
            write!(f, "; cause {cause}")?;
        }
        if let Some(server) = &context.server {
            write!(f, "; server {server}")?;
        }
        if let Some(vbucket) = context.vbucket {
            write!(f, ", vbucket {vbucket}")?;
        }
        if !context.retry_reasons.is_empty() {
            write!(f, "; retried {} times for {:?}", context.retries, context.retry_reasons)?;
        }
        if context.may_have_happened {
            f.write_str("; the write may have happened")?;
        }
        if let Some(reference) = &context.server_ref {
            write!(f, "; server's reference {reference}")?;
        }
        if let Some(report) = &context.bootstrap {
            write!(f, "; {report}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpError").field("kind", &self.kind).field("context", &self.context).finish()
    }
}

impl std::error::Error for OpError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stay_small() {
        assert!(size_of::<OpError>() <= 16);
    }

    #[test]
    fn rfc_0058_numbers() {
        assert_eq!(ErrorKind::CasMismatch.code(), Some(9));
        assert_eq!(ErrorKind::AmbiguousTimeout.code(), Some(13));
        assert_eq!(ErrorKind::DocumentUnretrievable.code(), Some(102));
        assert_eq!(ErrorKind::DocumentNotLocked.name(), "DocumentNotLocked");
    }

    #[test]
    fn one_line_says_what_where_and_why() {
        let error = OpError::new(
            ErrorKind::AmbiguousTimeout,
            OpContext {
                operation: "upsert",
                server: Some("db1:11210".into()),
                vbucket: Some(VbucketId(7)),
                timeout: Some(Duration::from_millis(2500)),
                retries: 2,
                retry_reasons: vec![RetryReason::KvTemporaryFailure],
                may_have_happened: true,
                ..OpContext::default()
            },
        );
        assert_eq!(
            error.to_string(),
            "AmbiguousTimeout in upsert after 2.5s; server db1:11210, vbucket 7; \
             retried 2 times for [KvTemporaryFailure]; the write may have happened"
        );
    }
}
