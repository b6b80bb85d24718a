//! The syntax of option values (spec 2.2).

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

/// What an option's value looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Syntax {
    /// A time span: a sum of `<decimal><unit>` with the units `ns us ms s m h`, a bare integer of milliseconds,
    /// or ISO-8601 (`PT2.5S`).
    Duration {
        /// Whether 0 is a value, with the meaning "off"; elsewhere it is an error (OPT-10).
        zero: bool,
    },
    /// `true/false`, `yes/no`, `on/off`, `1/0`, in any case.
    Bool,
    /// A decimal integer in a range.
    Integer {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// A number of bytes, up to 4 GiB; the suffixes `k` and `m` stand for 1024 and 1024 times 1024.
    Size,
    /// A decimal fraction from 0 to 1.
    Ratio,
    /// Any text but the empty one.
    Text,
    /// Any text, the empty one too.
    Anything,
    /// Names or paths, separated by commas; not empty.
    List,
    /// One of some words, in any case; beside each the word that it stands for.
    Choice(&'static [(&'static str, &'static str)]),
}

/// A value that has been read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Not set, for options without a default of their own.
    Unset,
    /// A time span.
    Duration(Duration),
    /// A switch.
    Bool(bool),
    /// A count, or a number of bytes.
    Number(u64),
    /// A fraction.
    Ratio(f64),
    /// A text, or the chosen word.
    Text(String),
    /// A list.
    List(Vec<String>),
}

impl Syntax {
    /// The syntax in words, for error messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Duration { zero: false } => {
                "a time above zero such as 2500ms, 2.5s or 1m30s, or a whole number of milliseconds"
                    .to_owned()
            }
            Self::Duration { zero: true } => {
                "a time such as 2500ms, 2.5s or 1m30s, a whole number of milliseconds, or 0 for off"
                    .to_owned()
            }
            Self::Bool => "true, yes, on or 1, or false, no, off or 0".to_owned(),
            Self::Integer { min, max: u64::MAX } => format!("a whole number from {min}"),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size => "a number of bytes, with k or m for 1024 and 1024*1024".to_owned(),
            Self::Ratio => "a fraction from 0 to 1 such as 0.83".to_owned(),
            Self::Text => "a text that is not empty".to_owned(),
            Self::Anything => "any text".to_owned(),
            Self::List => "one or more values separated by commas".to_owned(),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().filter(|(word, means)| word == means).collect();
                words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Reads a value; `None` is a value outside the syntax.
    pub fn read(&self, text: &str) -> Option<Value> {
        match *self {
            Self::Duration { .. } => duration(text).map(Value::Duration),
            Self::Bool => boolean(text).map(Value::Bool),
            Self::Integer { .. } => integer(text).map(Value::Number),
            Self::Size => size(text).map(Value::Number),
            Self::Ratio => ratio(text).map(Value::Ratio),
            Self::Text | Self::Anything => Some(Value::Text(text.to_owned())),
            Self::List => list(text, &[',']).map(Value::List),
            Self::Choice(words) => words
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text))
                .map(|(_, means)| Value::Text((*means).to_owned())),
        }
        .filter(|value| self.admits(value))
    }

    /// Whether a value, read or typed, is within the syntax's limits.
    pub fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Unset) | (Self::Bool, Value::Bool(_)) | (Self::Anything, Value::Text(_)) => true,
            (Self::Duration { zero }, Value::Duration(span)) => {
                (*zero || !span.is_zero()) && span.as_nanos() <= LONGEST_NANOS
            }
            (Self::Integer { min, max }, Value::Number(number)) => (min..=max).contains(&number),
            (Self::Size, Value::Number(bytes)) => *bytes <= u64::from(u32::MAX),
            (Self::Ratio, Value::Ratio(ratio)) => (0.0..=1.0).contains(ratio),
            (Self::Text, Value::Text(text)) => !text.is_empty(),
            (Self::List, Value::List(items)) => items.iter().all(|item| !item.is_empty()),
            (Self::Choice(words), Value::Text(text)) => words.iter().any(|(_, means)| means == text),
            _ => false,
        }
    }
}

impl fmt::Display for Value {
    /// A text that reads back as the same value; nothing for an unset one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => Ok(()),
            Self::Duration(span) => {
                let nanos = span.as_nanos();
                let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
                let exact = units.iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
                match exact {
                    Some((unit, name)) if nanos > 0 => write!(f, "{}{name}", nanos / unit),
                    _ => f.write_str("0"),
                }
            }
            Self::Bool(on) => on.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Ratio(ratio) => ratio.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// The longest time span, that of Go's parser: 292 years. A sum beyond it is an overflow.
const LONGEST_NANOS: u128 = i64::MAX as u128;

/// Whether a time span is written as a number without unit (OPT-9).
pub(super) fn is_bare_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn duration(text: &str) -> Option<Duration> {
    if is_bare_number(text) {
        return from_nanos(text.parse::<u128>().ok()?.checked_mul(1_000_000)?);
    }
    if let Some(iso) = text.strip_prefix("PT").or_else(|| text.strip_prefix("pt")) {
        return iso_duration(iso);
    }
    let mut rest = text;
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit = match unit {
            "ns" => 1,
            // The micro sign and the Greek letter.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(number, unit)?)?;
        rest = after;
    }
    if text.is_empty() { None } else { from_nanos(nanos) }
}

const SECOND: u128 = 1_000_000_000;

/// What follows `PT`: hours, minutes and seconds in this order, at least one of them.
fn iso_duration(text: &str) -> Option<Duration> {
    let units = [('H', 3600 * SECOND), ('M', 60 * SECOND), ('S', SECOND)];
    let mut units = units.iter();
    let mut rest = text;
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let letter = after.chars().next()?.to_ascii_uppercase();
        let (_, unit) = units.find(|(name, _)| *name == letter)?;
        if letter != 'S' && number.contains('.') {
            return None;
        }
        nanos = nanos.checked_add(scaled(number, *unit)?)?;
        rest = after.get(1..)?;
    }
    if text.is_empty() { None } else { from_nanos(nanos) }
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    (nanos <= LONGEST_NANOS).then_some(())?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// The leading digits and dots, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// A decimal number times a unit in nanoseconds. What is below a nanosecond is cut off.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    // An hour has 13 digits of nanoseconds; further digits are below one.
    let digits = fraction.get(..fraction.len().min(15))?;
    let part = if digits.is_empty() { 0 } else { digits.parse::<u128>().ok()? };
    let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / scale)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<u64> {
    if is_bare_number(text) { text.parse().ok() } else { None }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1024),
        None => match text.strip_suffix(['m', 'M']) {
            Some(number) => (number, 1024 * 1024),
            None => (text, 1),
        },
    };
    integer(number)?.checked_mul(unit)
}

fn ratio(text: &str) -> Option<f64> {
    let plain = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok() } else { None }
}

/// The items between separators without the blanks round them; an item or the list being empty is an error.
pub(super) fn list(text: &str, separators: &[char]) -> Option<Vec<String>> {
    let items: Vec<String> = text.split(separators).map(|item| item.trim().to_owned()).collect();
    (!items.is_empty() && items.iter().all(|item| !item.is_empty())).then_some(items)
}
