//! Everything random in the engine, drawn from one 32-byte seed: the same seed gives the same run.

use std::fmt;
use std::time::Duration;

use base64ct::{Base64Unpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of keyed hash in one nonce; `SA-7` asks for at least 18, and a multiple of 3 needs no base64 padding.
const NONCE_BYTES: usize = 24;

/// A source of nonces, jitter, shuffles and identifiers, deterministic in its seed.
///
/// Nonces are HMAC-SHA256 of the seed and a counter, so they are as unpredictable as the seed. Everything else
/// comes from a small fast generator, which is keyed with a hash of the seed: its output, which peers see
/// in identifiers and delays, tells nothing about the seed and so nothing about the nonces.
///
/// Not `Clone`: two copies would give the same nonces (`SA-7`: never the same one twice).
pub struct Entropy {
    seed: Zeroizing<[u8; 32]>,
    nonces: u64,
    state: u64,
}

impl Entropy {
    /// A source for `seed`, which the caller takes from the system's random generator and uses only once.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut entropy = Self { seed: Zeroizing::new(seed), nonces: 0, state: 0 };
        entropy.state = entropy
            .keyed_hash(b"small generator", 0)
            .iter()
            .take(8)
            .fold(0, |state, &byte| (state << 8) | u64::from(byte));
        entropy
    }

    /// A SCRAM nonce: 32 characters of base64 (24 bytes), without comma or padding, never the same twice (`SA-7`).
    pub fn nonce(&mut self) -> String {
        let hash = self.keyed_hash(b"nonce", self.nonces);
        self.nonces += 1;
        Base64Unpadded::encode_string(hash.get(..NONCE_BYTES).unwrap_or(&hash))
    }

    /// The next number of the small generator (SplitMix64). Not for secrets.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..n`, evenly spread; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of the product: the bias is below n / 2^64, too small to matter for delays and orders.
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// `base` made longer or shorter by up to `percent` of it (above 100 counts as 100), evenly spread.
    ///
    /// Works in nanoseconds of 64 bits: a duration above 584 years counts as 584 years.
    pub fn jitter(&mut self, base: Duration, percent: u32) -> Duration {
        let nanos = u64::try_from(base.as_nanos()).unwrap_or(u64::MAX);
        let span = (u128::from(nanos) * u128::from(percent.min(100)) / 100) as u64;
        let offset = self.below(span.saturating_mul(2).saturating_add(1));
        Duration::from_nanos((nanos - span).saturating_add(offset))
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// An identifier of 16 hexadecimal digits, never the same twice in one run; for log lines and HELLO agents.
    pub fn hex_id(&mut self) -> String {
        format!("{:016x}", self.next_u64())
    }

    fn keyed_hash(&self, purpose: &[u8], counter: u64) -> [u8; 32] {
        Hmac::<Sha256>::new_from_slice(self.seed.as_slice())
            .expect("HMAC takes keys of any length")
            .chain_update(purpose)
            .chain_update(counter.to_be_bytes())
            .finalize()
            .into_bytes()
            .into()
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SEED: [u8; 32] = [7; 32];

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let draw = |seed| {
            let mut entropy = Entropy::new(seed);
            let mut order: Vec<u8> = (0..20).collect();
            entropy.shuffle(&mut order);
            let pause = entropy.jitter(Duration::from_secs(1), 20);
            (entropy.nonce(), entropy.next_u64(), entropy.hex_id(), order, pause, entropy.nonce())
        };
        assert_eq!(draw(SEED), draw(SEED));
        assert_ne!(draw(SEED), draw([8; 32]));
    }

    #[test]
    fn sa_7_nonces_are_long_printable_and_never_repeat() {
        let mut entropy = Entropy::new(SEED);
        let mut seen = BTreeSet::new();
        for _ in 0..10_000 {
            let nonce = entropy.nonce();
            assert_eq!(nonce.len(), 32);
            assert!(nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','), "{nonce}");
            assert!(seen.insert(nonce));
        }
    }

    #[test]
    fn nonces_do_not_depend_on_other_draws() {
        let mut plain = Entropy::new(SEED);
        let mut busy = Entropy::new(SEED);
        busy.next_u64();
        assert_eq!(plain.nonce(), busy.nonce());
        busy.hex_id();
        assert_eq!(plain.nonce(), busy.nonce());
    }

    /// The first outputs of SplitMix64 from state 0, as its reference program prints them.
    #[test]
    fn the_small_generator_is_splitmix64() {
        let mut entropy = Entropy::new(SEED);
        entropy.state = 0;
        assert_eq!(entropy.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(entropy.next_u64(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(entropy.next_u64(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut entropy = Entropy::new(SEED);
        let mut hits = [0_u32; 7];
        for _ in 0..7_000 {
            hits[entropy.below(7) as usize] += 1;
        }
        assert!(hits.iter().all(|&hit| (800..1_200).contains(&hit)), "{hits:?}");
        assert_eq!(entropy.below(0), 0);
        assert_eq!(entropy.below(1), 0);
    }

    #[test]
    fn jitter_stays_within_its_percentage() {
        let mut entropy = Entropy::new(SEED);
        let base = Duration::from_millis(100);
        let drawn: Vec<_> = (0..1_000).map(|_| entropy.jitter(base, 20)).collect();
        let least = drawn.iter().min().unwrap();
        let most = drawn.iter().max().unwrap();
        assert!(*least >= Duration::from_millis(80) && *least < Duration::from_millis(82), "{least:?}");
        assert!(*most <= Duration::from_millis(120) && *most > Duration::from_millis(118), "{most:?}");
        assert_eq!(entropy.jitter(base, 0), base);
        assert_eq!(entropy.jitter(Duration::ZERO, 50), Duration::ZERO);
    }

    #[test]
    fn jitter_of_extreme_arguments_does_not_overflow() {
        let mut entropy = Entropy::new(SEED);
        for _ in 0..100 {
            assert!(entropy.jitter(Duration::MAX, 50) >= Duration::from_nanos(u64::MAX / 2));
            assert!(entropy.jitter(Duration::from_secs(1), u32::MAX) <= Duration::from_secs(2));
        }
    }

    #[test]
    fn shuffling_keeps_the_items_and_changes_their_order() {
        let mut entropy = Entropy::new(SEED);
        let sorted: Vec<u32> = (0..100).collect();
        let mut items = sorted.clone();
        entropy.shuffle(&mut items);
        assert_ne!(items, sorted);
        items.sort_unstable();
        assert_eq!(items, sorted);
        entropy.shuffle::<u8>(&mut []);
    }

    #[test]
    fn hex_ids_have_sixteen_digits() {
        let mut entropy = Entropy::new(SEED);
        let (first, second) = (entropy.hex_id(), entropy.hex_id());
        assert!(first.len() == 16 && first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, second);
    }

    #[test]
    fn auth_9_debug_does_not_print_the_seed() {
        assert_eq!(format!("{:?}", Entropy::new(SEED)), "Entropy { .. }");
    }
}
