//! Pauses between dials of one address (BOOT-25).

use std::time::{Duration, Instant};

/// The first pause between dials of one address; the first redial needs none (BOOT-25).
const FIRST_PAUSE: Duration = Duration::from_millis(32);
/// The longest pause while the address has been down for less than [`LONG_DOWN`].
const SHORT_PAUSE: Duration = Duration::from_millis(200);
const LONG_DOWN: Duration = Duration::from_secs(10);
/// A connection that served for so long resets the pauses.
const SERVED: Duration = Duration::from_secs(5);
/// Between dials for a bucket that the node refuses (`connecting.md` 4.5).
const BUCKET_PAUSE: Duration = Duration::from_millis(500);
const BUCKET_PAUSE_MAX: Duration = Duration::from_secs(10);

/// After newer credentials were refused on a connection in use, dials go on at this pace for so long (AUTH-11).
const REFUSED_PAUSE: Duration = Duration::from_millis(10);
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);
const REFUSED_LIMIT: Duration = Duration::from_secs(60);

/// Pauses between dials (BOOT-25).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pause: Option<Duration>,
    down_since: Option<Instant>,
    ready_at: Option<Instant>,
    /// A token was refused on a connection in use: since when dials follow the pace for that, and the next pause.
    refused: Option<(Instant, Duration)>,
}

impl Backoff {
    /// The connection began to serve.
    pub(super) const fn ready(&mut self, now: Instant) {
        self.ready_at = Some(now);
        self.refused = None;
    }

    /// Newer credentials were refused on a connection in use (AUTH-11).
    pub(super) const fn credentials_refused(&mut self, now: Instant) {
        self.refused = Some((now, REFUSED_PAUSE));
    }

    /// The pause before the dial after the next failure.
    pub(super) const fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// How long to wait before the next dial, before jitter.
    pub(super) fn next(&mut self, longest: Duration, now: Instant) -> Duration {
        self.reset_if_served(now);
        if let Some((since, pause)) = self.refused
            && now.saturating_duration_since(since) < REFUSED_LIMIT
        {
            self.refused = Some((since, (pause * 2).min(REFUSED_PAUSE_MAX)));
            return pause;
        }
        let down_since = *self.down_since.get_or_insert(now);
        let ceiling =
            if now.saturating_duration_since(down_since) < LONG_DOWN { SHORT_PAUSE } else { longest };
        let ceiling = ceiling.max(FIRST_PAUSE);
        let pause = self.pause.unwrap_or(Duration::ZERO).min(ceiling);
        self.pause = Some((pause * 2).clamp(FIRST_PAUSE, ceiling));
        pause
    }

    fn reset_if_served(&mut self, now: Instant) {
        if self.ready_at.take().is_some_and(|at| now.saturating_duration_since(at) >= SERVED) {
            *self = Self::default();
        }
    }

    /// The same for a bucket that the node refuses.
    pub(super) fn next_for_bucket(&mut self, now: Instant) -> Duration {
        self.reset_if_served(now);
        let pause = self.pause.unwrap_or(Duration::ZERO).clamp(BUCKET_PAUSE, BUCKET_PAUSE_MAX);
        self.pause = Some((pause * 2).min(BUCKET_PAUSE_MAX));
        pause
    }
}
