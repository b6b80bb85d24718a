//! Time and the CAS values made from it.

use std::time::{Duration, Instant};

/// The cluster's clock: the reading handed in last, its wall-clock time, and the last CAS given out.
///
/// One reading serves a whole batch of requests: within a batch time stands still, CAS values go on growing.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    unix_origin: Duration,
    now: Instant,
    unix_secs: u32,
    unix_nanos: u64,
    last_cas: u64,
}

impl Clock {
    pub(crate) fn new(now: Instant, unix: Duration) -> Self {
        let mut clock =
            Self { origin: now, unix_origin: unix, now, unix_secs: 0, unix_nanos: 0, last_cas: 0 };
        clock.set(now);
        clock
    }

    /// Takes a reading; earlier ones than the last are ignored.
    pub(crate) fn set(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let unix = self.unix_origin.saturating_add(self.now.saturating_duration_since(self.origin));
        self.unix_secs = u32::try_from(unix.as_secs()).unwrap_or(u32::MAX);
        self.unix_nanos = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
    }

    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Seconds since 1970.
    pub(crate) const fn unix_secs(&self) -> u32 {
        self.unix_secs
    }

    /// Time since the cluster was made.
    pub(crate) fn uptime(&self) -> Duration {
        self.now.saturating_duration_since(self.origin)
    }

    /// The next CAS: a hybrid clock, wall nanoseconds with the low 16 bits for a counter, always growing.
    pub(crate) fn next_cas(&mut self) -> u64 {
        self.last_cas = (self.unix_nanos & !0xffff).max(self.last_cas + 1);
        self.last_cas
    }

    /// The absolute form of an expiry on the wire (`kv-protocol.md` 10.3): up to 30 days are seconds from now.
    pub(crate) const fn absolute_expiry(&self, wire: u32) -> u32 {
        const THIRTY_DAYS: u32 = 2_592_000;
        if wire == 0 || wire > THIRTY_DAYS { wire } else { self.unix_secs.saturating_add(wire) }
    }
}

/// A small seeded generator (SplitMix64) for salts, nonces and identities: the same seed gives the same cluster.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if the bound is 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_relative_up_to_30_days_and_absolute_above() {
        let clock = Clock::new(Instant::now(), Duration::from_secs(1_000_000_000));
        assert_eq!(clock.absolute_expiry(0), 0);
        assert_eq!(clock.absolute_expiry(1), 1_000_000_001);
        assert_eq!(clock.absolute_expiry(2_592_000), 1_002_592_000);
        assert_eq!(clock.absolute_expiry(2_592_001), 2_592_001);
    }

    #[test]
    fn cas_values_grow_even_while_time_stands_still() {
        let start = Instant::now();
        let mut clock = Clock::new(start, Duration::from_secs(1_000_000_000));
        let first = clock.next_cas();
        assert!(clock.next_cas() > first);
        clock.set(start + Duration::from_secs(1));
        assert!(clock.next_cas() - first >= 999_000_000, "the CAS follows the wall clock");
        let last = clock.next_cas();
        clock.set(start);
        assert!(clock.next_cas() > last, "an earlier reading changes nothing");
    }
}
