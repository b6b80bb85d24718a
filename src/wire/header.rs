//! The 24 bytes that begin every frame (`kv-protocol.md` 1.1).

use super::{DecodeError, Opcode, Status};
use crate::ids::{Cas, Opaque};

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 24;

/// The first byte of a frame: direction and layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Magic {
    /// 0x80: a client's request, classic layout.
    Request,
    /// 0x08: a client's request with framing extras; needs AltRequest (FR-1).
    AltRequest,
    /// 0x81: a server's answer, classic layout.
    Response,
    /// 0x18: a server's answer with framing extras.
    AltResponse,
    /// 0x82: a request of the server's own; legal after Duplex was granted (FR-2).
    ServerRequest,
    /// 0x83: an answer to one.
    ServerResponse,
}

impl Magic {
    /// The magic of a byte, `None` for any other byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x80 => Some(Self::Request),
            0x08 => Some(Self::AltRequest),
            0x81 => Some(Self::Response),
            0x18 => Some(Self::AltResponse),
            0x82 => Some(Self::ServerRequest),
            0x83 => Some(Self::ServerResponse),
            _ => None,
        }
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Request => 0x80,
            Self::AltRequest => 0x08,
            Self::Response => 0x81,
            Self::AltResponse => 0x18,
            Self::ServerRequest => 0x82,
            Self::ServerResponse => 0x83,
        }
    }

    /// Whether byte 2 is the length of framing extras and the key length has one byte.
    pub const fn is_flexible(self) -> bool {
        matches!(self, Self::AltRequest | Self::AltResponse)
    }

    /// Whether bytes 6 and 7 are a status (an answer) and not a vbucket (a request).
    pub const fn is_response(self) -> bool {
        matches!(self, Self::Response | Self::AltResponse | Self::ServerResponse)
    }
}

/// A decoded header, its lengths checked against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Direction and layout.
    pub magic: Magic,
    /// The operation; for [`Magic::ServerRequest`] a number of [`super::ServerOpcode`]'s space.
    pub opcode: Opcode,
    /// Bytes of framing extras; 0 in the classic layout.
    pub framing_extras_len: u8,
    /// Bytes of extras.
    pub extras_len: u8,
    /// Bytes of key, collection prefix included.
    pub key_len: u16,
    /// Datatype bits, see `datatype`.
    pub datatype: u8,
    /// The vbucket of a request, the status of an answer.
    pub vbucket_or_status: u16,
    /// Bytes behind the header.
    pub body_len: u32,
    /// Copied by the responder.
    pub opaque: Opaque,
    /// Compare-and-swap token.
    pub cas: Cas,
}

impl Header {
    /// Decodes 24 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Magic`] for an unknown first byte; [`DecodeError::Lengths`] where framing extras, extras and
    /// key add up to more than the body. Both mean that the stream is lost (`kv-protocol.md` 1.3).
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        let &[
            m,
            opcode,
            b2,
            b3,
            extras_len,
            datatype,
            v0,
            v1,
            l0,
            l1,
            l2,
            l3,
            o0,
            o1,
            o2,
            o3,
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
        ] = bytes;
        let magic = Magic::from_byte(m).ok_or(DecodeError::Magic { byte: m })?;
        let (framing_extras_len, key_len) =
            if magic.is_flexible() { (b2, u16::from(b3)) } else { (0, u16::from_be_bytes([b2, b3])) };
        let header = Self {
            magic,
            opcode: Opcode(opcode),
            framing_extras_len,
            extras_len,
            key_len,
            datatype,
            vbucket_or_status: u16::from_be_bytes([v0, v1]),
            body_len: u32::from_be_bytes([l0, l1, l2, l3]),
            opaque: Opaque(u32::from_be_bytes([o0, o1, o2, o3])),
            cas: Cas(u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7])),
        };
        // Three small numbers: the sum fits a u32 whatever the peer wrote (FR-7).
        if header.prefix_len() > header.body_len {
            return Err(DecodeError::Lengths {
                framing_extras: framing_extras_len,
                extras: extras_len,
                key: key_len,
                body: header.body_len,
                opaque: header.opaque,
            });
        }
        Ok(header)
    }

    /// The 24 bytes of this header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [k0, k1] = self.key_len.to_be_bytes();
        let (b2, b3) = if self.magic.is_flexible() { (self.framing_extras_len, k1) } else { (k0, k1) };
        let [v0, v1] = self.vbucket_or_status.to_be_bytes();
        let [l0, l1, l2, l3] = self.body_len.to_be_bytes();
        let [o0, o1, o2, o3] = self.opaque.0.to_be_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.cas.0.to_be_bytes();
        [
            self.magic.byte(),
            self.opcode.0,
            b2,
            b3,
            self.extras_len,
            self.datatype,
            v0,
            v1,
            l0,
            l1,
            l2,
            l3,
            o0,
            o1,
            o2,
            o3,
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
        ]
    }

    /// The status of an answer; meaningless for a request.
    pub const fn status(&self) -> Status {
        Status(self.vbucket_or_status)
    }

    /// Bytes before the value: framing extras, extras and key.
    const fn prefix_len(&self) -> u32 {
        // At most 255 + 255 + 65,535.
        (self.framing_extras_len as u32)
            .saturating_add(self.extras_len as u32)
            .saturating_add(self.key_len as u32)
    }
}
