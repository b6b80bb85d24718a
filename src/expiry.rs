//! When a document goes by itself, as the server takes it (`kv-protocol.md` 10.3).

use std::time::Duration;

/// Seconds up to which the server reads an expiry as a distance from its own clock: 30 days.
const RELATIVE_MAX: u64 = 30 * 24 * 60 * 60;

/// An expiry in the server's form: none, seconds from the server's clock (up to 30 days), or absolute Unix seconds.
///
/// Built from a duration or an instant, never from a bare integer (MI-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Expiry(u32);

/// A time that an expiry cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpiryError {
    /// Would become 0, which means "never".
    #[error("an expiry below one second would never expire: give at least one second")]
    TooShort,
    /// The server would read it as a distance.
    #[error("an instant up to 31 January 1970 would be read as a distance from now")]
    TooEarly,
    /// Beyond 32 bits of seconds.
    #[error("an expiry after the year 2106 cannot be expressed")]
    TooLate,
}

impl Expiry {
    /// The document stays.
    pub const NONE: Self = Self(0);
    /// For counters: do not create the document (OP-11).
    pub(crate) const DO_NOT_CREATE: Self = Self(u32::MAX);

    /// After `duration`, whose fraction of a second is dropped; zero means never. A duration above 30 days becomes
    /// absolute by `unix_now`, the caller's wall clock in seconds since 1970 (MI-4).
    ///
    /// # Errors
    /// [`ExpiryError::TooShort`] for less than a second, [`ExpiryError::TooLate`] beyond the year 2106.
    pub fn after(duration: Duration, unix_now: u64) -> Result<Self, ExpiryError> {
        let seconds = duration.as_secs();
        if duration.is_zero() {
            Ok(Self::NONE)
        } else if seconds == 0 {
            Err(ExpiryError::TooShort)
        } else if seconds <= RELATIVE_MAX {
            u32::try_from(seconds).map(Self).map_err(|_| ExpiryError::TooLate)
        } else {
            seconds
                .checked_add(unix_now)
                .and_then(|at| u32::try_from(at).ok())
                .map(Self)
                .ok_or(ExpiryError::TooLate)
        }
    }

    /// At an instant, in seconds since 1970. One in the past lets the document expire at once.
    ///
    /// # Errors
    /// [`ExpiryError::TooEarly`] up to 31 January 1970, [`ExpiryError::TooLate`] beyond the year 2106.
    pub fn at(unix_seconds: u64) -> Result<Self, ExpiryError> {
        if unix_seconds <= RELATIVE_MAX {
            return Err(ExpiryError::TooEarly);
        }
        u32::try_from(unix_seconds).map(Self).map_err(|_| ExpiryError::TooLate)
    }

    /// The number on the wire.
    pub const fn to_wire(self) -> u32 {
        self.0
    }

    /// Whether the document stays.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_753_000_000;

    #[test]
    fn mi_4_a_long_duration_becomes_absolute_by_the_given_clock() {
        let wire = |seconds| Expiry::after(Duration::from_secs(seconds), NOW).map(Expiry::to_wire);
        assert_eq!(wire(0), Ok(0));
        assert_eq!(wire(1), Ok(1));
        assert_eq!(wire(2_592_000), Ok(2_592_000));
        assert_eq!(wire(2_592_001), Ok(1_755_592_001));
        assert_eq!(wire(u64::from(u32::MAX)), Err(ExpiryError::TooLate));
        assert_eq!(wire(u64::MAX), Err(ExpiryError::TooLate));
    }

    #[test]
    fn less_than_a_second_is_refused_since_it_would_mean_never() {
        assert_eq!(Expiry::after(Duration::from_millis(999), NOW), Err(ExpiryError::TooShort));
        assert_eq!(Expiry::after(Duration::from_millis(1999), NOW).map(Expiry::to_wire), Ok(1));
    }

    #[test]
    fn mi_7_an_early_instant_is_refused_since_it_would_be_read_as_a_distance() {
        assert_eq!(Expiry::at(2_592_000), Err(ExpiryError::TooEarly));
        assert_eq!(Expiry::at(2_592_001).map(Expiry::to_wire), Ok(2_592_001));
        assert_eq!(Expiry::at(4_294_967_296), Err(ExpiryError::TooLate));
    }
}
