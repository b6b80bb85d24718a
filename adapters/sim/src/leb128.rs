//! Unsigned LEB128 of at most 32 bits, canonical (`kv-protocol.md` 5.3).

/// Takes a number off the front: the number and the rest. `None` if it is cut off, too long or not canonical.
pub(crate) fn decode(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u32;
    for (i, &byte) in bytes.iter().take(5).enumerate() {
        let group = u32::from(byte & 0x7f);
        let shift = 7 * i;
        if i == 4 && group > 0x0f {
            return None;
        }
        value |= group << shift;
        if byte & 0x80 == 0 {
            let canonical = i == 0 || byte != 0;
            return if canonical { bytes.get(i + 1..).map(|rest| (value, rest)) } else { None };
        }
    }
    None
}

/// Appends a number.
pub(crate) fn encode(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_both_ways() {
        for (value, bytes) in [
            (0x0_u32, &[0x00_u8][..]),
            (0x7f, &[0x7f]),
            (0x80, &[0x80, 0x01]),
            (0x555, &[0xd5, 0x0a]),
            (0x5555, &[0xd5, 0xaa, 0x01]),
            (0xcafe_f00d, &[0x8d, 0xe0, 0xfb, 0xd7, 0x0c]),
            (0xffff_ffff, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            out.extend_from_slice(b"rest");
            assert_eq!(decode(&out), Some((value, &b"rest"[..])));
        }
    }

    #[test]
    fn cut_long_and_not_canonical_forms_are_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0x80; 5],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x81, 0x00],
            &[0x81, 0x80, 0x80, 0x80, 0x00],
            &[0x80, 0x00],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:02x?}");
        }
    }
}
