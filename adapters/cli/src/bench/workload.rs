//! Keys and values, the same in every run.

use bytes::Bytes;

/// The key of a document.
pub(super) fn key(index: u32) -> String {
    format!("bench-{index}")
}

/// A small generator of numbers without a pattern that compression or caches could use (xorshift64*).
#[derive(Clone, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    /// Each seed has its own sequence.
    pub(super) const fn new(seed: u32) -> Self {
        // Any state but 0 is a state of the generator.
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Random bytes.
pub(super) fn value(size: u32) -> Bytes {
    let mut numbers = Numbers::new(u32::MAX);
    let size = size as usize;
    let mut bytes = Vec::with_capacity(size.saturating_add(8));
    while bytes.len() < size {
        bytes.extend_from_slice(&numbers.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_are_always_the_same() {
        for size in [0, 1, 7, 8, 1024] {
            assert_eq!(value(size).len(), size as usize);
        }
        assert_eq!(value(64), value(64));
    }

    #[test]
    fn values_look_random() {
        let value = value(65_536);
        let mut counts = [0u32; 256];
        value.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        assert!(counts.iter().all(|count| (150..400).contains(count)), "{counts:?}");
    }
}
