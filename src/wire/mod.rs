//! The key-value protocol's frames (`kv-protocol.md` 1 to 3): borrowed views, no state, no I/O.
//!
//! [`Frame::parse`] takes a frame off a byte slice, [`Encode`] appends one to a buffer. What the bytes of an
//! operation mean stands in the modules beside: frame infos, features, datatypes, sub-documents, the error map.
//! [`Decoder`] takes a whole stream apart, in any slicing.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)
)]

pub mod datatype;
pub mod describe;
mod error_body;
mod error_map;
mod feature;
mod flags;
mod frame;
mod frame_info;
mod header;
mod leb128;
mod limits;
pub mod observe;
mod opcode;
pub mod ops;
pub mod range_scan;
mod read;
mod status;
mod stream;
pub mod subdoc;

pub use error_body::ErrorBody;
pub use error_map::{
    ERROR_MAP_VERSION, ErrorAttribute, ErrorAttributes, ErrorMap, ErrorMapEntry, RetrySpec, RetryStrategy,
};
pub use feature::{Feature, FeatureSet};
pub use flags::Format;
pub use frame::{Encode, Frame};
pub use frame_info::{
    Durability, DurabilityLevel, FrameInfo, FrameInfos, RequestFrameInfos, ResponseFrameInfos,
    ServerDuration, emit_frame_info, request_info, response_info,
};
pub use header::{HEADER_LEN, Header, Magic};
pub use leb128::Leb128;
pub use limits::InboundLimits;
pub use opcode::{Attributes, Opcode, ServerOpcode};
pub use status::Status;
pub use stream::{Decoder, End, Stop};

use crate::ids::Opaque;

/// Why bytes are not a frame, or not an answer to what was asked.
///
/// The first group is fatal to its connection: there is no way to find the next frame (`kv-protocol.md` 1.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte is none that may stand here.
    #[error("byte 0x{byte:02x} does not begin a frame: is this a Couchbase key-value port without TLS?")]
    Magic {
        /// The byte found.
        byte: u8,
    },
    /// Sections longer than the body that holds them.
    #[error(
        "framing extras of {framing_extras}, extras of {extras} and a key of {key} bytes do not fit a body of {body} bytes"
    )]
    Lengths {
        /// Length of the framing extras.
        framing_extras: u8,
        /// Length of the extras.
        extras: u8,
        /// Length of the key.
        key: u16,
        /// Length of the body.
        body: u32,
        /// The request that the frame answers, as far as such a header can be believed.
        opaque: Opaque,
    },
    /// A body above the ceiling for this operation; refused on the header alone.
    #[error("a body of {body} bytes for {opcode} is above the limit of {max} bytes")]
    TooLarge {
        /// Length that the peer states.
        body: u32,
        /// The ceiling.
        max: u32,
        /// The operation.
        opcode: Opcode,
    },
    /// The answer names another operation than the request with this opaque: the stream is out of step.
    #[error("the answer to {expected} says {found}")]
    OpcodeMismatch {
        /// The request's opcode.
        expected: Opcode,
        /// The answer's opcode.
        found: Opcode,
    },
    /// A frame info runs past the framing extras.
    #[error("a frame info at byte {offset} runs past the framing extras")]
    FrameInfo {
        /// Offset within the framing extras.
        offset: usize,
    },
    /// One operation's answer does not have the form that the protocol gives it; the connection goes on.
    #[error("malformed {what}: {detail}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// A section of a frame is longer than its length field can say; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{section} of {len} bytes: at most {max} fit a frame")]
pub struct EncodeError {
    /// Which section.
    pub section: &'static str,
    /// Its length.
    pub len: usize,
    /// The longest that fits.
    pub max: usize,
}

#[cfg(test)]
mod tests;
