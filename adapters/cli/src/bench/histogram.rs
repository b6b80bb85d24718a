//! Latencies, counted in buckets whose width grows with the latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of equal width in each power of two: a latency is told to 1 part in 64.
const PER_OCTAVE: usize = 64;
/// Latencies from 2^40 ns (18 minutes) on share the last bucket.
const OCTAVES: usize = 40 - 6 + 1;

/// How often each latency was seen. Several threads may record at once.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Box<[AtomicU64]>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: (0..PER_OCTAVE * OCTAVES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts `times` operations that took this long.
    pub(super) fn record(&self, latency: Duration, times: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket(nanos).min(self.counts.len().saturating_sub(1))) {
            count.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// How many operations were counted.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The counts, to be added to others.
    pub(super) fn add(&self, other: &Self) {
        for (to, from) in self.counts.iter().zip(&other.counts) {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// The latency that this part of all operations did not exceed; zero if there are none.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.total() as f64 * part).ceil().max(1.0);
        let mut seen = 0.0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count.load(Ordering::Relaxed) as f64;
            if seen >= wanted {
                return Duration::from_nanos(middle(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(7);
    // Below 2^13 in any case, see the shift.
    octave as usize * PER_OCTAVE + (nanos >> octave) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> u64 {
    let octave = (index / PER_OCTAVE).saturating_sub(1);
    let low = (index - octave * PER_OCTAVE) as u64;
    (low << octave) + ((1 << octave) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_as_fine_as_promised() {
        let mut last = 0;
        for nanos in
            (0..40).flat_map(|shift| [1u64 << shift, (1 << shift) + (1 << shift) / 3, (2 << shift) - 1])
        {
            let told = middle(bucket(nanos));
            assert!(told.abs_diff(nanos) <= nanos / 64, "{nanos} is told as {told}");
            assert!(bucket(nanos) >= last);
            last = bucket(nanos);
        }
        assert!(last < PER_OCTAVE * OCTAVES, "{last}");
    }

    #[test]
    fn quantiles_of_known_latencies() {
        let histogram = Histogram::new();
        assert_eq!((histogram.total(), histogram.quantile(0.5)), (0, Duration::ZERO));
        histogram.record(Duration::from_micros(10), 900);
        histogram.record(Duration::from_micros(100), 99);
        histogram.record(Duration::MAX, 1);
        let near = |part, micros: u64| {
            let found = histogram.quantile(part).as_nanos() as u64;
            assert!(found.abs_diff(micros * 1000) <= micros * 1000 / 64, "{part}: {found} ns");
        };
        near(0.5, 10);
        near(0.9, 10);
        near(0.99, 100);
        assert!(histogram.quantile(1.0) > Duration::from_secs(500));
    }

    #[test]
    fn counts_of_several_are_added() {
        let (a, b) = (Histogram::new(), Histogram::new());
        a.record(Duration::from_nanos(5), 2);
        b.record(Duration::from_nanos(5), 3);
        a.add(&b);
        assert_eq!(a.total(), 5);
    }
}
