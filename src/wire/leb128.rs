//! Unsigned LEB128: collection ids in keys, lengths in range-scan answers (`kv-protocol.md` 5.3).

use super::DecodeError;
use super::read::malformed;

const MORE: u8 = 0x80;

/// An encoded `u32` on the stack: the prefix that a key carries when Collections is granted (`kv-protocol.md` 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leb128 {
    bytes: [u8; 5],
    len: u8,
}

impl Leb128 {
    /// No bytes at all: the prefix of a key where Collections was not granted.
    pub const EMPTY: Self = Self { bytes: [0; 5], len: 0 };

    /// The canonical encoding of a value, 1 to 5 bytes.
    #[allow(clippy::cast_possible_truncation)] // seven bits are masked out first
    pub fn encode(value: u32) -> Self {
        let mut bytes = [0; 5];
        let (mut rest, mut len) = (value, 0_u8);
        for slot in &mut bytes {
            let group = (rest & 0x7f) as u8;
            rest >>= 7;
            len = len.saturating_add(1);
            if rest == 0 {
                *slot = group;
                break;
            }
            *slot = group | MORE;
        }
        Self { bytes, len }
    }

    /// The bytes on the wire.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Takes a value of up to 32 bits off the front: the value and what follows it.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] without a stop byte, above 32 bits, and for a form longer than needed: two
    /// spellings of one collection would be two keys.
    pub fn decode(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
        let (value, rest) = decode_groups(bytes, 5)?;
        let value =
            u32::try_from(value).map_err(|_| malformed("LEB128", "the value does not fit 32 bits"))?;
        Ok((value, rest))
    }

    /// The same for up to 64 bits: lengths in range-scan answers.
    ///
    /// # Errors
    /// As [`Leb128::decode`], above 64 bits.
    pub fn decode_u64(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
        decode_groups(bytes, 10)
    }

    /// Appends the canonical encoding of a 64-bit value, 1 to 10 bytes.
    #[allow(clippy::cast_possible_truncation)] // seven bits are masked out first
    pub fn emit_u64(value: u64, out: &mut Vec<u8>) {
        let mut rest = value;
        loop {
            let group = (rest & 0x7f) as u8;
            rest >>= 7;
            if rest == 0 {
                return out.push(group);
            }
            out.push(group | MORE);
        }
    }
}

fn decode_groups(bytes: &[u8], max_len: usize) -> Result<(u64, &[u8]), DecodeError> {
    let mut value = 0_u64;
    let mut shift = 0_u32;
    for (index, &byte) in bytes.iter().enumerate().take(max_len) {
        let group = u64::from(byte & 0x7f);
        let shifted = group << shift;
        if shifted >> shift != group {
            return Err(malformed("LEB128", "the value does not fit 64 bits"));
        }
        value |= shifted;
        if byte & MORE == 0 {
            if byte == 0 && index > 0 {
                return Err(malformed("LEB128", "longer than needed: the last group is zero"));
            }
            let rest = bytes.get(index.saturating_add(1)..).unwrap_or(&[]);
            return Ok((value, rest));
        }
        shift = shift.saturating_add(7);
    }
    let detail = if bytes.len() < max_len { "ends before its last byte" } else { "no last byte in time" };
    Err(malformed("LEB128", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &[(u32, &[u8])] = &[
        (0, &[0x00]),
        (1, &[0x01]),
        (0x7f, &[0x7f]),
        (0x80, &[0x80, 0x01]),
        (0x555, &[0xd5, 0x0a]),
        (0x3fff, &[0xff, 0x7f]),
        (0x4000, &[0x80, 0x80, 0x01]),
        (0xcafe_f00d, &[0x8d, 0xe0, 0xfb, 0xd7, 0x0c]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];

    #[test]
    fn values_are_encoded_least_significant_group_first() {
        for (value, bytes) in VALID {
            assert_eq!(Leb128::encode(*value).as_slice(), *bytes);
            assert_eq!(Leb128::decode(bytes), Ok((*value, &[][..])));
        }
    }

    #[test]
    fn only_the_canonical_form_within_32_bits_is_accepted() {
        let invalid: [&[u8]; 9] = [
            &[],
            &[0x80],
            &[0x80; 5],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x81, 0x00],
            &[0x81, 0x80, 0x80, 0x80, 0x00],
            &[0x80, 0x00],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
        ];
        for bytes in invalid {
            assert!(Leb128::decode(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn sixty_four_bits_and_not_one_more() {
        let mut bytes = Vec::new();
        Leb128::emit_u64(u64::MAX, &mut bytes);
        assert_eq!((bytes.len(), Leb128::decode_u64(&bytes)), (10, Ok((u64::MAX, &[][..]))));
        bytes[9] = 0x02;
        assert!(Leb128::decode_u64(&bytes).is_err());
        assert!(Leb128::decode_u64(&[0xff; 11]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(value: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            Leb128::emit_u64(value, &mut bytes);
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(Leb128::decode_u64(&bytes), Ok((value, &tail[..])));
            let short = value as u32;
            let encoded = Leb128::encode(short);
            prop_assert_eq!(Leb128::decode(encoded.as_slice()), Ok((short, &[][..])));
        }

        #[test]
        fn what_is_decoded_is_canonical(bytes: Vec<u8>) {
            if let Ok((value, rest)) = Leb128::decode(&bytes) {
                let encoded = Leb128::encode(value);
                prop_assert_eq!(encoded.as_slice(), &bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}
