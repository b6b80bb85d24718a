use super::*;
use proptest::prelude::*;

fn span(text: &str) -> Option<Duration> {
    match (Syntax::Duration { zero: true }).read(text) {
        Some(Value::Duration(span)) => Some(span),
        _ => None,
    }
}

#[test]
fn value_2_2_durations() {
    let nanos = |text: &str| span(text).map(|span| span.as_nanos());
    for (text, expected) in [
        ("0", 0),
        ("2500", 2_500_000_000),
        ("2.5s", 2_500_000_000),
        (".5s", 500_000_000),
        ("1m30s", 90_000_000_000),
        ("1h1m1s1ms1us1ns", 3_661_001_001_001),
        ("5\u{b5}s", 5_000),
        ("5\u{3bc}s", 5_000),
        ("25.5ms", 25_500_000),
        ("1.0000000000000000000000000001s", 1_000_000_000),
        ("PT2.5S", 2_500_000_000),
        ("pt1h2m3s", 3_723_000_000_000),
        ("9223372036s", 9_223_372_036_000_000_000),
    ] {
        assert_eq!(nanos(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "-1s",
        "+1s",
        "1.5",
        "s",
        ".s",
        "1..5s",
        "1 s",
        "1s ",
        "1S",
        "1d",
        "PT",
        "PT1",
        "PT1S1M",
        "P1D",
        "PT1.5M",
        "PT-1S",
        "9223372037s",
        "9223372036855",
        "99999999999999999999999999999999999999999999h",
        "1s2",
        "\u{661}s",
    ] {
        assert_eq!(nanos(text), None, "{text}");
    }
}

#[test]
fn value_2_2_switches_numbers_and_sizes() {
    for (text, on) in
        [("true", true), ("YES", true), ("On", true), ("1", true), ("False", false), ("no", false)]
    {
        assert_eq!(Syntax::Bool.read(text), Some(Value::Bool(on)));
    }
    assert!(["", "t", "2", "maybe"].iter().all(|text| Syntax::Bool.read(text).is_none()));
    let number = |text: &str| (Syntax::Integer { min: 1, max: 9 }).read(text);
    assert_eq!(number("9"), Some(Value::Number(9)));
    assert!(
        ["0", "10", "+5", "0x5", "5.0", "99999999999999999999999"].iter().all(|text| number(text).is_none())
    );
    assert_eq!(Syntax::Size.read("2k"), Some(Value::Number(2048)));
    assert_eq!(Syntax::Size.read("1M"), Some(Value::Number(1024 * 1024)));
    assert!(
        ["k", "4096m", "1kb", "18446744073709551615k"].iter().all(|text| Syntax::Size.read(text).is_none())
    );
    assert_eq!(Syntax::Ratio.read("0.5"), Some(Value::Ratio(0.5)));
    assert!([".", "1e1", "inf", "-0", "1.01"].iter().all(|text| Syntax::Ratio.read(text).is_none()));
}

proptest! {
    #[test]
    fn durations_are_written_as_they_are_read(nanos in 0..=i64::MAX as u64) {
        let value = Value::Duration(Duration::from_nanos(nanos));
        prop_assert_eq!((Syntax::Duration { zero: true }).read(&value.to_string()), Some(value));
    }
}
