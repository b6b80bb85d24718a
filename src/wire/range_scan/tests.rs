use super::*;
use proptest::prelude::*;

fn create(kind: ScanKind) -> ScanCreate {
    ScanCreate {
        collection: CollectionId(0x555),
        name: None,
        key_only: false,
        include_xattrs: false,
        kind,
        snapshot: None,
    }
}

#[test]
fn a_range_is_written_in_base64_and_a_uuid_in_decimal() {
    let (start, end) = (ScanBound::Inclusive(b"user".to_vec()), ScanBound::Exclusive(b"user\xff".to_vec()));
    let snapshot = SnapshotRequirements {
        vbucket_uuid: u64::MAX,
        seqno: SeqNo(4660),
        seqno_exists: true,
        timeout_ms: None,
    };
    let scan = ScanCreate { snapshot: Some(snapshot), ..create(ScanKind::Range { start, end }) };
    let json = r#"{"collection":"555","range":{"start":"dXNlcg==","excl_end":"dXNlcv8="},"snapshot_requirements":{"vb_uuid":"18446744073709551615","seqno":4660,"seqno_exists":true}}"#;
    assert_eq!(String::from_utf8(scan.to_json()).unwrap(), json);
    assert_eq!(ScanCreate::parse(json.as_bytes()), Ok(scan));
}

#[test]
fn samples_are_asked_for_with_a_seed() {
    let scan = ScanCreate {
        collection: CollectionId::DEFAULT,
        name: Some("n".to_owned()),
        key_only: true,
        ..create(ScanKind::Sampling { samples: 512, seed: 18_111 })
    };
    let json = r#"{"name":"n","key_only":true,"sampling":{"seed":18111,"samples":512}}"#;
    assert_eq!(String::from_utf8(scan.to_json()).unwrap(), json);
    assert_eq!(ScanCreate::parse(json.as_bytes()), Ok(scan));
}

#[test]
fn a_request_that_breaks_the_rules_is_refused() {
    for json in [
        "7",
        "{}",
        r#"{"sampling":{"samples":0}}"#,
        r#"{"sampling":{"samples":1},"range":{"start":"","end":""}}"#,
        r#"{"range":{"start":"","excl_start":"","end":""}}"#,
        r#"{"range":{"start":""}}"#,
        r#"{"range":{"start":"*","end":""}}"#,
        r#"{"collection":"zz","sampling":{"samples":1}}"#,
        r#"{"key_only":true,"include_xattrs":true,"sampling":{"samples":1}}"#,
        r#"{"sampling":{"samples":1},"snapshot_requirements":{"vb_uuid":"0x1","seqno":1}}"#,
    ] {
        assert!(ScanCreate::parse(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn op_28_a_prefix_ends_before_its_successor() {
    let end = |prefix: &[u8]| match prefix_bounds(prefix) {
        ScanKind::Range { end, .. } => end,
        other => panic!("{other:?}"),
    };
    assert_eq!(end(b"user"), ScanBound::Exclusive(b"uses".to_vec()));
    assert_eq!(end(b"a\xff\xff"), ScanBound::Exclusive(b"b".to_vec()));
    assert_eq!(end(b"\xff"), ScanBound::Inclusive(vec![0xff; 250]));
}

#[test]
fn ids_and_limits_have_fixed_lengths() {
    let id = ScanId([0x11; 16]);
    assert_eq!(scan_id(&[0x11; 16]), Ok(id));
    assert!(scan_id(&[0; 15]).is_err() && scan_id(&[0; 17]).is_err());
    let request = ScanContinue { id, item_limit: 500, time_limit_ms: 0, byte_limit: 15_000 };
    assert_eq!(ScanContinue::parse(&request.extras()), Ok(request));
    assert_eq!(&request.extras()[16..], [0, 0, 1, 0xf4, 0, 0, 0, 0, 0, 0, 0x3a, 0x98]);
    assert!(ScanContinue::parse(&[0; 27]).is_err());
    assert_eq!(id.to_string(), "11".repeat(16));
}

fn items<'a>(extras: &[u8], value: &'a [u8]) -> Result<Vec<ScanItem<'a>>, DecodeError> {
    ScanItems::new(extras, value)?.collect()
}

#[test]
fn items_are_written_as_they_are_read() {
    let document = ScanDocument {
        flags: 1,
        expiry: 2,
        seqno: SeqNo(3),
        cas: Cas(4),
        datatype: 1,
        key: b"k",
        value: b"{}",
    };
    let keys = vec![ScanItem::Key(b"key0"), ScanItem::Key(b"k1"), ScanItem::Key(&[b'k'; 200])];
    let documents = vec![ScanItem::Document(document); 2];
    for (mode, written) in [(ScanMode::Keys, keys), (ScanMode::Documents, documents)] {
        let mut value = Vec::new();
        written.iter().for_each(|item| item.emit(&mut value));
        assert_eq!(items(&mode.extras(), &value), Ok(written));
        assert!(items(&mode.extras(), &value[..value.len() - 2]).is_err());
    }
}

#[test]
fn truncated_items_and_unknown_modes_are_refused() {
    assert!(items(&[], b"\x04key0").is_err());
    assert!(items(&[0, 0, 0, 2], b"").is_err());
    assert!(items(&[0; 4], b"\x7fkey0").is_err());
    assert!(items(&[0; 4], b"\xff\xff\xff").is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = (ScanCreate::parse(&bytes), ScanContinue::parse(&bytes), scan_id(&bytes));
        let _ = (items(&[0; 4], &bytes), items(&[0, 0, 0, 1], &bytes));
    }

    #[test]
    fn every_key_with_a_prefix_lies_in_its_bounds(prefix in proptest::collection::vec(any::<u8>(), 0..8), tail in proptest::collection::vec(any::<u8>(), 0..8)) {
        let key = [&prefix[..], &tail].concat();
        let ScanKind::Range { start: ScanBound::Inclusive(start), end } = prefix_bounds(&prefix) else {
            return Err(TestCaseError::fail("a prefix starts with itself"));
        };
        prop_assert!(start <= key);
        match end {
            ScanBound::Exclusive(end) => prop_assert!(key < end),
            ScanBound::Inclusive(end) => prop_assert!(key <= end),
        }
    }
}
