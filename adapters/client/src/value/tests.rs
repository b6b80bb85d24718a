use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Airline {
    name: String,
    iata: Option<String>,
}

fn wire(value: impl Encode) -> (Vec<u8>, u32) {
    let encoded = value.encode().unwrap();
    (encoded.value.to_vec(), encoded.flags.0)
}

#[test]
fn rfc_0020_flags_written_by_each_type() {
    let airline = Airline { name: "Couch".into(), iata: None };
    let json = br#"{"name":"Couch","iata":null}"#.to_vec();
    assert_eq!(wire(&airline), (json.clone(), 0x0200_0000));
    assert_eq!(wire("text"), (br#""text""#.to_vec(), 0x0200_0000));
    assert_eq!(wire(serde_json::json!({"a": [1]})), (br#"{"a":[1]}"#.to_vec(), 0x0200_0000));
    assert_eq!(wire(Json(7)), (b"7".to_vec(), 0x0200_0000));
    assert_eq!(wire(RawJson::new(json.clone())), (json, 0x0200_0000));
    assert_eq!(wire(RawBinary::new(vec![0, 255])), (vec![0, 255], 0x0300_0000));
    assert_eq!(wire(RawString::new("text")), (b"text".to_vec(), 0x0400_0000));
    assert_eq!(wire(Legacy::Binary(Bytes::from_static(&[1]))), (vec![1], 0x0300_0000));
    assert_eq!(wire(Legacy::Text("text".into())), (b"text".to_vec(), 0x0400_0000));
    assert_eq!(wire(Legacy::json(&7).unwrap()), (b"7".to_vec(), 0x0200_0000));
}

#[test]
fn a_value_that_serde_refuses_is_an_error() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(matches!((&map).encode(), Err(ValueError::Json(_))));
}

fn read<D: Decode>(value: &'static [u8], flags: u32, strict: bool) -> Result<D, ValueError> {
    D::decode(&Bytes::from_static(value), Flags(flags), strict)
}

#[test]
fn mi_1_the_format_is_not_checked_unless_strict() {
    assert_eq!(read::<RawBinary>(b"1", 0x0200_0000, false), Ok(RawBinary::new("1")));
    assert_eq!(read::<Json<u8>>(b"1", 0x0400_0000, false), Ok(Json(1)));
    assert_eq!(read::<Json<u8>>(b"1", 0x0500_0000, false), Ok(Json(1)));
    assert_eq!(
        read::<Json<u8>>(b"1", 0x0400_0000, true),
        Err(ValueError::OtherFormat { flags: 0x0400_0000, found: Format::String, wanted: Format::Json })
    );
    assert_eq!(read::<RawString>(b"1", 0x0400_00ff, true), Ok(RawString::new("1")));
    assert!(read::<RawBinary>(b"1", 0x0f00_0000, true).is_err());
}

#[test]
fn mi_1_compression_and_reserved_bits_are_always_refused() {
    for flags in [0x2200_0000, 0x8200_0000, 0x1200_0000, 0xffff_ffff, 0x1000_0000] {
        for strict in [false, true] {
            assert_eq!(read::<Json<u8>>(b"1", flags, strict), Err(ValueError::UnknownFlags(flags)));
            assert_eq!(read::<RawJson>(b"1", flags, strict), Err(ValueError::UnknownFlags(flags)));
            assert_eq!(read::<RawString>(b"1", flags, strict), Err(ValueError::UnknownFlags(flags)));
            assert_eq!(read::<RawBinary>(b"1", flags, strict), Err(ValueError::UnknownFlags(flags)));
            assert_eq!(read::<Legacy>(b"1", flags, strict), Err(ValueError::UnknownFlags(flags)));
        }
    }
}

#[test]
fn mi_3_every_type_reads_flags_of_0() {
    for strict in [false, true] {
        assert_eq!(read::<Json<u64>>(b"42", 0, strict), Ok(Json(42)));
        assert_eq!(read::<RawJson>(b"42", 0, strict), Ok(RawJson::new("42")));
        assert_eq!(read::<RawString>(b"42", 0, strict), Ok(RawString::new("42")));
        assert_eq!(read::<RawBinary>(b"42", 0, strict), Ok(RawBinary::new("42")));
        assert_eq!(read::<Legacy>(b"42", 0, strict), Ok(Legacy::Json(42.into())));
    }
}

#[test]
fn legacy_reads_by_flags_and_no_private_format() {
    assert_eq!(read::<Legacy>(b"42", 0x0300_0000, false), Ok(Legacy::Binary(Bytes::from_static(b"42"))));
    assert_eq!(read::<Legacy>(b"42", 0x0400_0000, false), Ok(Legacy::Text("42".into())));
    assert_eq!(read::<Legacy>(b"42", 0x0200_0000, false), Ok(Legacy::Json(42.into())));
    assert!(matches!(read::<Legacy>(b"42", 0x0100_0000, false), Err(ValueError::OtherFormat { .. })));
    assert_eq!(read::<Legacy>(b"42", 0x0700_0000, false), Ok(Legacy::Json(42.into())));
    assert!(read::<Legacy>(b"42", 0x0700_0000, true).is_err());
}

#[test]
fn bad_bytes_are_errors_that_repeat_nothing_of_the_document() {
    assert_eq!(read::<RawString>(b"ab\xff", 0, false), Err(ValueError::NotUtf8(2)));
    assert_eq!(read::<Legacy>(b"\xff", 0x0400_0000, false), Err(ValueError::NotUtf8(0)));
    for (value, says) in [
        (&br#"{"name":"s3cret""#[..], "ends too early"),
        (b"s3cret", "not JSON"),
        (br#"{"name":5,"iata":"s3cret"}"#, "does not fit"),
        (br#""s3cret""#, "does not fit"),
        (b"", "ends too early"),
        (br#"{"iata":"s3cret"}"#, "missing field `name`"),
    ] {
        let error = read::<Json<Airline>>(value, 0, false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(says) && !text.contains("s3cret"), "{text}");
    }
}
