//! A cursor over received bytes whose every step can fail.

use super::DecodeError;

/// An error of one operation's body.
#[cold]
pub(crate) fn malformed(what: &'static str, detail: impl Into<String>) -> DecodeError {
    DecodeError::Malformed { what, detail: detail.into() }
}

/// Takes fields off the front of a slice; `what` names the whole in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize, field: &str) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            let have = self.rest.len();
            return Err(malformed(self.what, format!("{field} of {len} bytes where {have} are left")));
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            let have = self.rest.len();
            return Err(malformed(self.what, format!("{field} of {N} bytes where {have} are left")));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, field: &str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, field: &str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Bytes behind a u32 length.
    pub(crate) fn long(&mut self, field: &str) -> Result<&'a [u8], DecodeError> {
        let len = self.u32(field)?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    /// Bytes behind a LEB128 length of up to 64 bits.
    pub(crate) fn leb128_prefixed(&mut self, field: &str) -> Result<&'a [u8], DecodeError> {
        let (len, rest) = super::Leb128::decode_u64(self.rest)?;
        self.rest = rest;
        self.take(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    /// Refuses bytes behind the last field.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(malformed(self.what, format!("{} bytes behind the last field", self.rest.len())))
    }
}
