//! What a connection tells its owner.

use bytes::Bytes;

use super::ConnFailure;
use crate::auth::SaltRequest;
use crate::ids::{Cas, Opaque};
use crate::wire::{DecodeError, EncodeError, Opcode, ServerDuration, Status};

/// What a connection tells its owner.
#[derive(Debug)]
pub enum ConnEvent<T> {
    /// An answer to a request of the owner's.
    Answer(Answer<T>),
    /// The password must be salted so for the handshake to go on: [`Connection::salted`](super::Connection::salted).
    Salt(SaltRequest),
    /// A cluster map came with the handshake, decompressed.
    Config(Bytes),
    /// The handshake's request for a map was refused.
    ConfigRefused(Status),
    /// The bucket could not be selected; the connection goes on without one.
    BucketRefused {
        /// The server's status.
        status: Status,
        /// What the server said in the error's body.
        context: Option<String>,
    },
    /// The handshake is done: requests may be sent.
    Ready {
        /// Whether the bucket asked for is selected.
        bound: bool,
    },
    /// The server has judged what [`Connection::reauthenticate`](super::Connection::reauthenticate) showed it; refused, the connection must be closed.
    Renewed(Result<(), ConnFailure>),
    /// The credentials have expired at the server: close the connection (AUTH-12).
    Stale,
    /// A newer cluster map exists (`kv-protocol.md` 2.9).
    Notification(Notification),
    /// An answer that nobody waits for.
    Orphan {
        /// Its opaque.
        opaque: Opaque,
        /// Its opcode.
        opcode: Opcode,
        /// Whether a request with this opaque had been given up.
        given_up: bool,
    },
    /// The handshake failed for good: close the connection.
    Failed(ConnFailure),
    /// The stream is lost: close the connection (FR-8).
    Broken {
        /// What is wrong with it.
        error: DecodeError,
        /// The request whose answer was at fault, if that is known.
        culprit: Option<T>,
    },
}

/// An answer to a request of the owner's, its value decompressed and in memory of its own.
#[derive(Debug)]
pub struct Answer<T> {
    /// What the owner knows the request by.
    pub tag: T,
    /// The operation.
    pub opcode: Opcode,
    /// The server's status.
    pub status: Status,
    /// Datatype bits, the one for compression already taken off.
    pub datatype: u8,
    /// Compare-and-swap token.
    pub cas: Cas,
    /// The request's identifier.
    pub opaque: Opaque,
    /// The fixed fields.
    pub extras: Extras,
    /// The value; empty where `malformed` says that it could not be had.
    pub value: Bytes,
    /// Why the operation must fail although the stream is in order (`kv-protocol.md` 1.3).
    pub malformed: Option<Box<DecodeError>>,
    /// How long the server worked on it.
    pub server_duration: Option<ServerDuration>,
}

/// The extras of an answer, at most 32 bytes of them: no operation of this crate has more than 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extras {
    len: u8,
    bytes: [u8; 32],
}

impl Extras {
    pub(super) fn new(extras: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let kept = extras.len().min(bytes.len());
        bytes[..kept].copy_from_slice(&extras[..kept]);
        Self { len: extras.len().min(255) as u8, bytes }
    }

    /// The bytes; `None` for more than 32 of them, which no operation has.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }
}

/// A server's word that a newer cluster map exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The bucket; empty for the cluster's own map.
    pub bucket: Bytes,
    /// The version's epoch; `None` from servers that send the revision alone.
    pub epoch: Option<i64>,
    /// The version's revision.
    pub rev: i64,
    /// The map, empty in the brief form.
    pub value: Bytes,
}

/// A request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The connection is not ready, or as much is under way as it takes.
    NoRoom,
    /// It cannot be written as a frame.
    Encode(EncodeError),
}
