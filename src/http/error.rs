//! Why an exchange failed.

use std::fmt;

use thiserror::Error;

use super::{MAX_HEAD, MAX_HEADERS};

/// Why an exchange failed; the connection is of no use afterwards. No text holds bytes of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The answer does not begin like one of HTTP/1.
    #[error("the peer does not answer in HTTP/1: {0}")]
    NotHttp(Speaks),
    /// The head of the answer breaks the rules of HTTP/1.
    #[error(
        "the head of the HTTP answer is malformed ({0}): check that the port is one of the cluster's HTTP services"
    )]
    Head(&'static str),
    /// The head of the answer, interim ones included, is longer than [`MAX_HEAD`].
    #[error(
        "the head of the HTTP answer is longer than {MAX_HEAD} bytes: check what stands between here and the cluster"
    )]
    HeadTooLong,
    /// The answer has more header lines than [`MAX_HEADERS`].
    #[error(
        "the HTTP answer has more than {MAX_HEADERS} headers: check what stands between here and the cluster"
    )]
    TooManyHeaders,
    /// A chunk of the body has no proper size or end.
    #[error(
        "the body of the HTTP answer is not chunked properly: check what stands between here and the cluster"
    )]
    Chunk,
    /// The lines behind the last chunk are longer than [`MAX_HEAD`].
    #[error(
        "the trailer of the HTTP answer is longer than {MAX_HEAD} bytes: check what stands between here and the cluster"
    )]
    TrailerTooLong,
    /// The peer closed the connection before the answer was complete. In [`Part::Nothing`] the request may go to
    /// another connection at once: a kept one is often closed just then.
    #[error("the peer closed the connection {0}: try again, or another node")]
    Closed(Part),
    /// A message of a streamed configuration is longer than allowed.
    #[error(
        "a streamed configuration is longer than {limit} bytes: it is not a cluster map, or the limit is too low"
    )]
    MessageTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// What a peer that does not answer in HTTP/1 seems to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Speaks {
    /// A TLS record came.
    Tls,
    /// A frame of the key-value protocol came.
    KeyValue,
    /// Nothing known.
    Unknown,
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "it speaks TLS, so use the plain port of the service, or `couchbases://`",
            Self::KeyValue => "it speaks the key-value protocol, so the port is not one of an HTTP service",
            Self::Unknown => "it speaks something else, so check host and port",
        })
    }
}

impl Speaks {
    /// Judges by the first byte of an answer.
    pub(super) fn guess(first: u8) -> Self {
        match first {
            0x15 | 0x16 => Self::Tls,
            // Magics that a server sends (FR-2).
            0x81 | 0x18 | 0x82 => Self::KeyValue,
            _ => Self::Unknown,
        }
    }
}

/// How much of an answer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Not one byte.
    Nothing,
    /// A part of the head.
    Head,
    /// The head, and a part of the body.
    Body,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "without an HTTP answer",
            Self::Head => "inside the head of its HTTP answer",
            Self::Body => "inside the body of its HTTP answer",
        })
    }
}
