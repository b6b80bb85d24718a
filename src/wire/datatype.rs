//! Datatype bits, compression and the attribute section of values (`kv-protocol.md` 2.6 and 10.2).

use super::DecodeError;
use super::read::{Reader, malformed};

/// The value is JSON: a hint, the document's flags rule decoding.
pub const JSON: u8 = 0x01;
/// The value is one raw snappy block.
pub const SNAPPY: u8 = 0x02;
/// The value begins with the section of extended attributes.
pub const XATTR: u8 = 0x04;
/// Bits that mean something; any other bit fails the operation (`kv-protocol.md` 1.3).
pub const KNOWN: u8 = JSON | SNAPPY | XATTR;

/// Most bytes a compressed value may inflate to: the server's own limit for a frame (`kv-protocol.md` 1.2).
pub const MAX_INFLATED: usize = 30 * 1024 * 1024;

/// A snappy element of three bytes stands for at most 64: no honest block inflates by more.
const MAX_EXPANSION: usize = 22;

/// When a value is sent compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompressionRule {
    /// Shorter values are left alone, in bytes.
    pub min_size: usize,
    /// The compressed form is used if it has at most this part of the original's size.
    pub max_ratio: f64,
}

impl Default for CompressionRule {
    /// 32 bytes and 0.83 (RFC 0030).
    fn default() -> Self {
        Self { min_size: 32, max_ratio: 0.83 }
    }
}

impl CompressionRule {
    /// Whether a value of this length is worth trying.
    pub const fn is_eligible(&self, len: usize) -> bool {
        len >= self.min_size
    }

    /// Whether the compressed form is to be sent.
    #[allow(clippy::cast_precision_loss)] // values have less than 2^53 bytes
    pub fn accepts(&self, compressed: usize, original: usize) -> bool {
        compressed as f64 / original as f64 <= self.max_ratio
    }
}

/// The snappy block of a value, `None` where the rule says to send the value as it is.
pub fn compress(value: &[u8], rule: &CompressionRule) -> Option<Vec<u8>> {
    Compressor::default().compress(value, rule).map(<[u8]>::to_vec)
}

/// Compresses value after value in memory of its own: one that does not shrink costs no allocation.
pub struct Compressor {
    encoder: snap::raw::Encoder,
    block: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { encoder: snap::raw::Encoder::new(), block: Vec::new() }
    }
}

impl Compressor {
    /// What is kept between two values, in bytes.
    const KEEP: usize = 1024 * 1024;

    /// The snappy block of a value, `None` where the rule says to send the value as it is.
    pub fn compress(&mut self, value: &[u8], rule: &CompressionRule) -> Option<&[u8]> {
        if !rule.is_eligible(value.len()) {
            return None;
        }
        let needed = snap::raw::max_compress_len(value.len());
        self.block.truncate(Self::KEEP.max(needed));
        self.block.shrink_to(Self::KEEP.max(needed));
        if self.block.len() < needed {
            self.block.resize(needed, 0);
        }
        let len = self.encoder.compress(value, &mut self.block).ok()?;
        rule.accepts(len, value.len()).then_some(())?;
        self.block.get(..len)
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Inflates one raw snappy block to at most `max` bytes. The length it claims is checked against `max`, and against
/// what a block of this size can hold, before anything is allocated.
///
/// # Errors
/// [`DecodeError::Malformed`] for a claim above the limit and a block that does not inflate.
pub fn inflate(block: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let bad = |error: snap::Error| malformed("snappy block", error.to_string());
    let len = snap::raw::decompress_len(block).map_err(bad)?;
    if len > max {
        return Err(malformed("snappy block", format!("claims {len} bytes, at most {max} are allowed")));
    }
    if len > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(malformed(
            "snappy block",
            format!("{} bytes cannot hold the {len} claimed", block.len()),
        ));
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(bad)
}

/// Refuses datatype bits without a meaning.
///
/// # Errors
/// [`DecodeError::Malformed`].
pub fn check(datatype: u8) -> Result<(), DecodeError> {
    if datatype & !KNOWN == 0 {
        return Ok(());
    }
    Err(malformed("datatype", format!("0x{datatype:02x} has bits of unknown meaning")))
}

/// One extended attribute as it stands in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xattr<'a> {
    /// Name.
    pub key: &'a [u8],
    /// JSON, or bytes.
    pub value: &'a [u8],
}

/// Iterates over an attribute section; ends after the first error.
#[derive(Clone, Debug)]
pub struct Xattrs<'a> {
    reader: Reader<'a>,
}

/// Splits a value with bit 0x04, already inflated, into its attributes and its body.
///
/// # Errors
/// [`DecodeError::Malformed`] where the section is longer than the value.
pub fn split_xattrs(value: &[u8]) -> Result<(Xattrs<'_>, &[u8]), DecodeError> {
    let mut reader = Reader::new("xattr section", value);
    let section = reader.long("the section")?;
    Ok((Xattrs { reader: Reader::new("xattr section", section) }, reader.rest()))
}

impl<'a> Xattrs<'a> {
    fn take(&mut self) -> Result<Xattr<'a>, DecodeError> {
        let pair = self.reader.long("a pair")?;
        let bad = || malformed("xattr section", "a pair without its two zero bytes");
        let (&last, pair) = pair.split_last().ok_or_else(bad)?;
        let at = pair.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
        let (key, value) = pair.split_at(at);
        match value {
            [0, value @ ..] if last == 0 => Ok(Xattr { key, value }),
            _ => Err(bad()),
        }
    }
}

impl<'a> Iterator for Xattrs<'a> {
    type Item = Result<Xattr<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let next = self.take();
        if next.is_err() {
            self.reader = Reader::new("xattr section", &[]);
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_0030_a_value_is_compressed_from_32_bytes_and_up_to_a_ratio_of_0_83() {
        let rule = CompressionRule::default();
        assert!(!rule.is_eligible(31) && rule.is_eligible(32));
        for (compressed, original, sent) in
            [(83, 100, true), (84, 100, false), (830, 1000, true), (831, 1000, false)]
        {
            assert_eq!(rule.accepts(compressed, original), sent, "{compressed} of {original}");
        }
        assert_eq!(compress(&[b'x'; 31], &rule), None);
        let block = compress(&[b'x'; 1000], &rule).unwrap();
        assert_eq!(inflate(&block, 1000), Ok(vec![b'x'; 1000]));
        let noise: Vec<u8> = (0..=255_u8).map(|byte| byte.wrapping_mul(167) ^ (byte >> 3)).collect();
        assert_eq!(compress(&noise, &rule), None, "does not shrink");
    }

    #[test]
    fn a_block_that_claims_too_much_is_refused_before_allocating() {
        for block in [&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00][..], &[0x80, 0x80, 0x80, 0x0e, 0x00]] {
            assert!(inflate(block, MAX_INFLATED).is_err());
        }
        let block = compress(&[b'x'; 100], &CompressionRule::default()).unwrap();
        assert!(inflate(&block, 99).is_err() && inflate(&block, 100).is_ok());
    }

    #[test]
    fn a_block_that_does_not_inflate_is_an_error() {
        assert!(inflate(&[0x05, 0xf0], 100).is_err());
        assert!(inflate(&[], 100).is_err());
    }

    #[test]
    fn the_densest_block_is_accepted() {
        let long = vec![0_u8; 1 << 20];
        let block = snap::raw::Encoder::new().compress_vec(&long).unwrap();
        assert_eq!(inflate(&block, MAX_INFLATED).map(|value| value.len()), Ok(1 << 20));
    }

    #[test]
    fn unknown_datatype_bits_are_refused() {
        assert!(check(KNOWN).is_ok() && check(0x08).is_err() && check(0xff).is_err());
    }

    #[test]
    fn the_attribute_section_stands_before_the_body() {
        let value = b"\x00\x00\x00\x0c\x00\x00\x00\x08meta\x00{}\x00body";
        let (xattrs, body) = split_xattrs(value).unwrap();
        assert_eq!(xattrs.collect::<Vec<_>>(), [Ok(Xattr { key: b"meta", value: b"{}" })]);
        assert_eq!(body, b"body");
    }

    #[test]
    fn broken_attribute_sections_are_errors() {
        assert!(split_xattrs(&[0, 0, 0, 9, 1]).is_err());
        for section in [
            &b"\x00\x00\x00\x05ab"[..],
            b"\x00\x00\x00\x02ab",
            b"\x00\x00\x00\x03a\x00b",
            b"\x00\x00\x00\x00",
        ] {
            let mut value = (section.len() as u32).to_be_bytes().to_vec();
            value.extend_from_slice(section);
            let (xattrs, _) = split_xattrs(&value).unwrap();
            assert!(matches!(xattrs.collect::<Vec<_>>()[..], [Err(_)]), "{section:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_blocks_never_panic(block: Vec<u8>) {
            if let Ok(value) = inflate(&block, 1000) {
                prop_assert!(value.len() <= 1000);
            }
            if let Ok((xattrs, _)) = split_xattrs(&block) {
                xattrs.for_each(drop);
            }
        }

        #[test]
        fn what_is_compressed_inflates(value in proptest::collection::vec(0_u8..4, 0..2000)) {
            if let Some(block) = compress(&value, &CompressionRule::default()) {
                prop_assert_eq!(inflate(&block, value.len()), Ok(value));
            }
        }
    }
}
