//! When documents expire, as callers say it and as it stands on the wire (`kv-protocol.md` 10.3).

use std::time::Duration;

/// Up to this many seconds, 30 days, the wire's number is a span; above it is an instant.
const LONGEST_SPAN: u64 = 30 * 24 * 60 * 60;

/// When a document expires. Never a bare number: "60 days in seconds" would be taken for a day in 1970 (MI-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Not at all.
    #[default]
    Never,
    /// After a time from now; zero is never. Parts of a second are dropped.
    After(Duration),
    /// At an instant, in seconds since 1970 UTC. One in the past lets the document expire at once.
    At(i64),
}

/// An expiry that the wire cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpiryError {
    /// It would be sent as 0, which is never.
    #[error("an expiry of less than a second would mean never: use one second or more")]
    LessThanASecond,
    /// It would be taken for a span of time.
    #[error("an expiry at {0} s since 1970 lies in January 1970: give a duration for a span of time")]
    TooEarly(i64),
    /// It does not fit 32 bits.
    #[error("an expiry after February 2106 does not fit the protocol")]
    TooLate,
}

impl Expiry {
    /// The number for the wire. `now` is the wall clock in seconds since 1970 UTC; it matters for more than 30 days,
    /// and a request that is repeated keeps its first number, so that retries do not prolong it (MI-4).
    ///
    /// # Errors
    /// [`ExpiryError`]: the caller's argument is invalid.
    pub fn to_wire(self, now: u64) -> Result<u32, ExpiryError> {
        match self {
            Self::Never | Self::After(Duration::ZERO) => Ok(0),
            Self::After(span) => match span.as_secs() {
                0 => Err(ExpiryError::LessThanASecond),
                seconds => {
                    let base = if seconds > LONGEST_SPAN { now } else { 0 };
                    u32::try_from(base.saturating_add(seconds)).map_err(|_| ExpiryError::TooLate)
                }
            },
            Self::At(instant) => match u64::try_from(instant) {
                Ok(seconds) if seconds > LONGEST_SPAN => {
                    u32::try_from(seconds).map_err(|_| ExpiryError::TooLate)
                }
                _ => Err(ExpiryError::TooEarly(instant)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_753_000_000;

    #[test]
    fn spans_up_to_30_days_are_sent_as_they_are_and_longer_ones_as_instants() {
        for (seconds, wire) in
            [(0, 0), (1, 1), (2_592_000, 2_592_000), (2_592_001, 1_755_592_001), (31_536_000, 1_784_536_000)]
        {
            assert_eq!(Expiry::After(Duration::from_secs(seconds)).to_wire(NOW), Ok(wire));
        }
        assert_eq!(Expiry::After(Duration::from_millis(1999)).to_wire(NOW), Ok(1));
        assert_eq!(Expiry::Never.to_wire(NOW), Ok(0));
    }

    #[test]
    fn mi_7_what_would_be_misread_is_refused() {
        let half = Expiry::After(Duration::from_millis(500));
        assert_eq!(half.to_wire(NOW), Err(ExpiryError::LessThanASecond));
        for instant in [-1, 0, 1, 2_592_000] {
            assert_eq!(Expiry::At(instant).to_wire(NOW), Err(ExpiryError::TooEarly(instant)));
        }
        assert_eq!(Expiry::At(4_294_967_296).to_wire(NOW), Err(ExpiryError::TooLate));
        assert_eq!(Expiry::After(Duration::MAX).to_wire(NOW), Err(ExpiryError::TooLate));
        assert_eq!(Expiry::After(Duration::from_secs(2_600_000_000)).to_wire(NOW), Err(ExpiryError::TooLate));
    }

    #[test]
    fn instants_are_passed_on_even_past_ones() {
        for instant in [2_592_001, 1_893_456_000, 4_294_967_295] {
            assert_eq!(Expiry::At(instant).to_wire(NOW), Ok(u32::try_from(instant).unwrap()));
        }
    }
}
