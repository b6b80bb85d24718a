//! What operations return.

use bytes::Bytes;
use serde::Deserialize;
use settee::engine::Response;
use settee::error::{ErrorKind, OpError};
use settee::ids::{Cas, MutationToken};

use crate::cluster::Shared;
use crate::error::Error;
use crate::value::{Decode, Flags, Format, ValueError, from_json};

/// A document that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetResult {
    cas: Cas,
    flags: Flags,
    value: Bytes,
    strict: bool,
}

impl GetResult {
    pub(crate) fn from_response(response: Response, shared: &Shared) -> Option<Self> {
        match response {
            Response::Document { cas, flags, value } => {
                Some(Self { cas, flags: Flags(flags), value, strict: shared.strict_flags })
            }
            _ => None,
        }
    }

    /// The document's CAS; of a lock, the one that unlocks.
    pub const fn cas(&self) -> Cas {
        self.cas
    }

    /// The common flags: how the value is encoded.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The document, read as JSON. Decoding happens here, so a document that nobody looks at costs nothing; `&str` fields
    /// borrow from the document.
    ///
    /// # Errors
    /// `DecodingFailure`: not JSON, not of this type, or flags that cannot be JSON.
    pub fn content_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.flags
            .check(Format::Json, self.strict)
            .and_then(|()| from_json(&self.value))
            .map_err(decoding_failure)
    }

    /// The document in another format: [`RawBinary`](crate::RawBinary), [`RawString`](crate::RawString),
    /// [`RawJson`](crate::RawJson), [`Legacy`](crate::Legacy), or a type of your own.
    ///
    /// # Errors
    /// `DecodingFailure`, as the type says.
    pub fn decode<D: Decode>(&self) -> Result<D, Error> {
        D::decode(&self.value, self.flags, self.strict).map_err(decoding_failure)
    }

    /// The document as it is, with its flags.
    pub fn content_raw(&self) -> (&[u8], Flags) {
        (&self.value, self.flags)
    }

    /// The document as it is, without a copy.
    pub fn content_bytes(&self) -> Bytes {
        self.value.clone()
    }
}

fn decoding_failure(error: ValueError) -> Error {
    OpError::with_detail(ErrorKind::DecodingFailure, error.to_string()).into()
}

/// Whether a document exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExistsResult {
    exists: bool,
    cas: Cas,
}

impl ExistsResult {
    pub(crate) fn from_response(response: Response, _: &Shared) -> Option<Self> {
        match response {
            Response::Exists { exists, cas } => Some(Self { exists, cas }),
            _ => None,
        }
    }

    /// Whether it does.
    pub const fn exists(&self) -> bool {
        self.exists
    }

    /// Its CAS; [`Cas::NONE`] if there is none.
    pub const fn cas(&self) -> Cas {
        self.cas
    }
}

/// A write that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutationResult {
    cas: Cas,
    token: Option<MutationToken>,
}

impl MutationResult {
    pub(crate) fn from_response(response: Response, _: &Shared) -> Option<Self> {
        match response {
            Response::Mutation { cas, token } => Some(Self { cas, token }),
            _ => None,
        }
    }

    /// The document's new CAS.
    pub const fn cas(&self) -> Cas {
        self.cas
    }

    /// Where the write stands in its vbucket's history; `None` if mutation tokens are switched off, and for a touch.
    pub const fn mutation_token(&self) -> Option<MutationToken> {
        self.token
    }
}

/// A counter that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterResult {
    value: u64,
    cas: Cas,
    token: Option<MutationToken>,
}

impl CounterResult {
    pub(crate) fn from_response(response: Response, _: &Shared) -> Option<Self> {
        match response {
            Response::Counter { value, cas, token } => Some(Self { value, cas, token }),
            _ => None,
        }
    }

    /// The counter's value after the change.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// The document's new CAS.
    pub const fn cas(&self) -> Cas {
        self.cas
    }

    /// Where the write stands in its vbucket's history; `None` if mutation tokens are switched off.
    pub const fn mutation_token(&self) -> Option<MutationToken> {
        self.token
    }
}
