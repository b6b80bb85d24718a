//! A fast hasher for keys, and the vbucket hash.

use std::hash::{BuildHasherDefault, Hasher};

/// A hash map over [`KeyHasher`].
pub(crate) type FastMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Multiply and rotate, eight bytes at a time. No defence against chosen keys: this is a server for tests.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyHasher(u64);

impl KeyHasher {
    const fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits and its tag from the high ones: spread both.
        let z = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z ^ (z >> 29)
    }
}

/// The vbucket of a logical key in a bucket of `count` vbuckets (`kv-protocol.md` 5.1, VB-1, VB-2).
pub fn vbucket_of(key: &[u8], count: u16) -> u16 {
    let folded = (crc32fast::hash(key) >> 16) & 0x7fff;
    // The remainder is below `count`.
    u16::try_from(folded % u32::from(count.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vb_1_vectors() {
        for (key, in_1024, in_128, in_64) in [
            (&b"a"[..], 183, 55, 55),
            (b"hello", 528, 16, 16),
            (b"airline_10", 361, 105, 41),
            (b"user::1", 997, 101, 37),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07", 170, 42, 42),
            ("emoji-😀".as_bytes(), 454, 70, 6),
        ] {
            assert_eq!(
                (vbucket_of(key, 1024), vbucket_of(key, 128), vbucket_of(key, 64)),
                (in_1024, in_128, in_64)
            );
        }
    }
}
