//! Whole frames: borrowed views of received bytes, and encoding into a shared buffer.

use super::{DecodeError, EncodeError, HEADER_LEN, Header, Magic, Opcode};
use crate::ids::{Cas, Opaque};

/// One frame, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The decoded header.
    pub header: Header,
    /// Frame infos, see `FrameInfos`.
    pub framing_extras: &'a [u8],
    /// Fixed fields of the operation.
    pub extras: &'a [u8],
    /// The key, with its collection prefix where there is one.
    pub key: &'a [u8],
    /// Everything behind the key.
    pub value: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes the first frame off `bytes`: the frame and how many bytes it took, or `None` while it is incomplete.
    ///
    /// Nothing is copied and nothing is allocated. `max_body` is the ceiling for the body length, checked on the
    /// header alone, before a body byte is awaited (FR-5).
    ///
    /// # Errors
    /// Those of [`Header::decode`], and [`DecodeError::TooLarge`]. All of them mean that the stream is lost.
    pub fn parse(bytes: &'a [u8], max_body: u32) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let header = Header::decode(head)?;
        if header.body_len > max_body {
            return Err(DecodeError::TooLarge {
                body: header.body_len,
                max: max_body,
                opcode: header.opcode,
            });
        }
        let body_len = header.body_len as usize;
        let Some(body) = rest.get(..body_len) else { return Ok(None) };
        Ok(Some((Self::from_parts(header, body), HEADER_LEN.saturating_add(body_len))))
    }

    /// A frame from its header and a body of exactly the header's length. Sections that a shorter body does not
    /// hold come out empty.
    pub fn from_parts(header: Header, body: &'a [u8]) -> Self {
        let (framing_extras, body) = split(body, usize::from(header.framing_extras_len));
        let (extras, body) = split(body, usize::from(header.extras_len));
        let (key, value) = split(body, usize::from(header.key_len));
        Self { header, framing_extras, extras, key, value }
    }

    /// Appends this frame to `out`, byte for byte what it was parsed from.
    ///
    /// # Errors
    /// [`EncodeError`] where a section is longer than its length field can say.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Encode {
            magic: self.header.magic,
            opcode: self.header.opcode,
            datatype: self.header.datatype,
            vbucket_or_status: self.header.vbucket_or_status,
            opaque: self.header.opaque,
            cas: self.header.cas,
            framing_extras: self.framing_extras,
            extras: self.extras,
            key_prefix: &[],
            key: self.key,
        }
        .emit(self.value, out)
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// A frame about to be written: everything but the value.
#[derive(Clone, Copy, Debug)]
pub struct Encode<'a> {
    /// Direction and layout; [`Encode::request`] and [`Encode::response`] choose the flexible one where needed (FR-1).
    pub magic: Magic,
    /// The operation.
    pub opcode: Opcode,
    /// Datatype bits.
    pub datatype: u8,
    /// The vbucket of a request, the status of an answer.
    pub vbucket_or_status: u16,
    /// The request's identifier.
    pub opaque: Opaque,
    /// Compare-and-swap token.
    pub cas: Cas,
    /// Encoded frame infos.
    pub framing_extras: &'a [u8],
    /// Fixed fields of the operation.
    pub extras: &'a [u8],
    /// The collection id as LEB128, or nothing.
    pub key_prefix: &'a [u8],
    /// The logical key.
    pub key: &'a [u8],
}

impl<'a> Encode<'a> {
    /// A client's request with nothing in it but its opcode and opaque.
    pub const fn request(opcode: Opcode, opaque: Opaque) -> Self {
        Self {
            magic: Magic::Request,
            opcode,
            datatype: 0,
            vbucket_or_status: 0,
            opaque,
            cas: Cas::NONE,
            framing_extras: &[],
            extras: &[],
            key_prefix: &[],
            key: &[],
        }
    }

    /// A server's answer with nothing in it but opcode, opaque and status.
    pub const fn response(opcode: Opcode, opaque: Opaque, status: super::Status) -> Self {
        Self { magic: Magic::Response, vbucket_or_status: status.0, ..Self::request(opcode, opaque) }
    }

    /// The same with frame infos: the layout becomes the flexible one if there are any (FR-1).
    #[must_use]
    pub const fn with_framing_extras(mut self, framing_extras: &'a [u8]) -> Self {
        if !framing_extras.is_empty() {
            self.magic = if self.magic.is_response() { Magic::AltResponse } else { Magic::AltRequest };
        }
        self.framing_extras = framing_extras;
        self
    }

    /// Appends the whole frame to `out`.
    ///
    /// # Errors
    /// As [`Encode::emit_head`].
    pub fn emit(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.emit_head(value.len(), out)?;
        out.extend_from_slice(value);
        Ok(())
    }

    /// Appends everything but the value, of which only the length is needed: the caller lends the value itself.
    ///
    /// # Errors
    /// [`EncodeError`] where a section is longer than its length field can say; `out` is then as it was (H20).
    pub fn emit_head(&self, value_len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let too_long = |section, len, max| EncodeError { section, len, max };
        let framing_extras_len = u8::try_from(self.framing_extras.len())
            .map_err(|_| too_long("framing extras", self.framing_extras.len(), 255))?;
        if framing_extras_len > 0 && !self.magic.is_flexible() {
            return Err(too_long("framing extras of a classic frame", self.framing_extras.len(), 0));
        }
        let extras_len =
            u8::try_from(self.extras.len()).map_err(|_| too_long("extras", self.extras.len(), 255))?;
        let key_total = self.key_prefix.len().saturating_add(self.key.len());
        let max_key = if self.magic.is_flexible() { 255 } else { 65_535 };
        if key_total > max_key {
            return Err(too_long("key", key_total, max_key));
        }
        let body_total = self
            .framing_extras
            .len()
            .saturating_add(self.extras.len())
            .saturating_add(key_total)
            .saturating_add(value_len);
        let body_len =
            u32::try_from(body_total).map_err(|_| too_long("body", body_total, u32::MAX as usize))?;
        let header = Header {
            magic: self.magic,
            opcode: self.opcode,
            framing_extras_len,
            extras_len,
            key_len: u16::try_from(key_total).map_err(|_| too_long("key", key_total, max_key))?,
            datatype: self.datatype,
            vbucket_or_status: self.vbucket_or_status,
            body_len,
            opaque: self.opaque,
            cas: self.cas,
        };
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(self.framing_extras);
        out.extend_from_slice(self.extras);
        out.extend_from_slice(self.key_prefix);
        out.extend_from_slice(self.key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Status;

    fn get(key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encode { key, ..Encode::request(Opcode::GET, Opaque(7)) }.emit(b"", &mut out).unwrap();
        out
    }

    #[test]
    fn fr_5_nothing_is_decided_before_24_bytes_and_everything_with_them() {
        let bytes = get(b"hello");
        for len in 0..bytes.len() {
            assert_eq!(Frame::parse(&bytes[..len], 100), Ok(None), "{len} bytes");
        }
        let (frame, taken) = Frame::parse(&bytes, 100).unwrap().unwrap();
        assert_eq!((frame.key, taken), (&b"hello"[..], bytes.len()));
        assert!(matches!(Frame::parse(&bytes[..24], 4), Err(DecodeError::TooLarge { body: 5, max: 4, .. })));
    }

    #[test]
    fn h1_lengths_that_exceed_the_body_are_refused() {
        let mut bytes = get(b"hello");
        bytes[3] = 6;
        assert!(matches!(Frame::parse(&bytes, 100), Err(DecodeError::Lengths { key: 6, body: 5, .. })));
    }

    #[test]
    fn fr_1_framing_extras_choose_the_flexible_layout() {
        let mut out = Vec::new();
        let request = Encode { key: b"k", ..Encode::request(Opcode::SET, Opaque(1)) };
        request.with_framing_extras(&[0x50]).emit(b"v", &mut out).unwrap();
        assert_eq!((out[0], out[2], out[3]), (0x08, 1, 1));
        let mut again = Vec::new();
        Frame::parse(&out, 100).unwrap().unwrap().0.emit(&mut again).unwrap();
        assert_eq!(out, again);
    }

    #[test]
    fn h20_a_frame_that_cannot_be_encoded_leaves_the_buffer_as_it_was() {
        let mut out = b"before".to_vec();
        let long = vec![b'k'; 70_000];
        let error = Encode { key: &long, ..Encode::request(Opcode::GET, Opaque(1)) }.emit(b"", &mut out);
        assert_eq!(error, Err(EncodeError { section: "key", len: 70_000, max: 65_535 }));
        assert_eq!(out, b"before");
    }

    #[test]
    fn responses_carry_a_status() {
        let mut out = Vec::new();
        Encode::response(Opcode::GET, Opaque(9), Status::KEY_ENOENT).emit(b"", &mut out).unwrap();
        let (frame, _) = Frame::parse(&out, 0).unwrap().unwrap();
        assert_eq!((frame.header.status(), frame.header.opaque), (Status::KEY_ENOENT, Opaque(9)));
    }
}
