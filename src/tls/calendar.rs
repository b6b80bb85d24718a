//! Civil time, for certificates and for messages: proleptic Gregorian, UTC, without leap seconds.

use std::fmt;

const DAY: i64 = 86_400;

/// Seconds since 1970 of a date and a time of day; `None` if there is no such date.
pub(super) fn seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let fits = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    // Years begin in March, so that the odd day is the last one; eras of 400 years repeat.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    fits.then_some(days * DAY + hour * 3_600 + minute * 60 + second)
}

/// Seconds since 1970 in words, such as `2029-12-06 23:12:59 UTC`: for the dates of
/// [`CertificateFacts`](super::CertificateFacts).
pub fn utc(seconds: i64) -> String {
    Utc(seconds).to_string()
}

/// Seconds since 1970, shown as `2029-12-06 23:12:59 UTC`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Utc(pub(super) i64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, time) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_seconds_agree() {
        for (date, text) in [
            ((1970, 1, 1, 0, 0, 0), "1970-01-01 00:00:00 UTC"),
            ((2000, 2, 29, 12, 0, 1), "2000-02-29 12:00:01 UTC"),
            ((2029, 12, 6, 23, 12, 59), "2029-12-06 23:12:59 UTC"),
            ((1950, 1, 1, 0, 0, 0), "1950-01-01 00:00:00 UTC"),
            ((2100, 3, 1, 0, 0, 0), "2100-03-01 00:00:00 UTC"),
        ] {
            let (year, month, day, hour, minute, second) = date;
            let at = seconds(year, month, day, hour, minute, second).unwrap();
            assert_eq!(Utc(at).to_string(), text);
        }
        assert_eq!(seconds(1970, 1, 2, 0, 0, 0), Some(86_400));
        assert_eq!(seconds(2029, 12, 6, 23, 12, 59), Some(1_891_293_179));
        assert_eq!(seconds(2024, 13, 1, 0, 0, 0), None);
        assert_eq!(seconds(2024, 0, 1, 0, 0, 0), None);
    }

    #[test]
    fn any_number_of_seconds_can_be_shown() {
        for at in [i64::MIN, i64::MAX, -1, 0] {
            assert!(Utc(at).to_string().ends_with(" UTC"));
        }
    }
}
