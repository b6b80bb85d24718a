use super::*;
use proptest::prelude::*;

fn results(entries: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (status, value) in entries {
        emit_lookup_result(&LookupResult { status: Status(*status), value }, &mut out).unwrap();
    }
    out
}

#[test]
fn specs_are_written_as_they_are_read() {
    let lookup = LookupSpec { opcode: Opcode::SUBDOC_GET, flags: path_flag::XATTR, path: b"_sync.rev" };
    let mut out = Vec::new();
    lookup.emit(&mut out).unwrap();
    assert_eq!(out, b"\xc5\x04\x00\x09_sync.rev");
    assert_eq!(lookup_specs(&out), Ok(vec![lookup]));
    let mutation =
        MutationSpec { opcode: Opcode::SUBDOC_COUNTER, flags: path_flag::MKDIR_P, path: b"n", value: b"-1" };
    out.clear();
    mutation.emit(&mut out).unwrap();
    assert_eq!(out, b"\xcf\x01\x00\x01\x00\x00\x00\x02n-1");
    assert_eq!(mutation_specs(&out), Ok(vec![mutation]));
}

#[test]
fn h20_a_path_that_cannot_be_encoded_leaves_the_buffer_as_it_was() {
    let path = vec![b'p'; 65_536];
    let mut out = vec![7];
    assert!(LookupSpec { opcode: Opcode::SUBDOC_GET, flags: 0, path: &path }.emit(&mut out).is_err());
    let spec = MutationSpec { opcode: Opcode::SUBDOC_DELETE, flags: 0, path: &path, value: b"" };
    assert!(spec.emit(&mut out).is_err());
    assert_eq!(out, [7]);
}

#[test]
fn mutation_extras_have_six_forms() {
    let forms = [
        (None, None, None, 0),
        (None, None, Some(doc_flag::MKDOC), 1),
        (Some(3600), None, None, 4),
        (Some(3600), None, Some(0x0e), 5),
        (Some(0), Some(2), None, 8),
        (Some(0), Some(2), Some(1), 9),
    ];
    for (expiry, user_flags, doc_flags, len) in forms {
        let extras = MutationExtras { expiry, user_flags, doc_flags };
        let mut out = Vec::new();
        extras.emit(&mut out);
        assert_eq!(out.len(), len);
        assert_eq!(MutationExtras::parse(&out), Ok(extras));
    }
    for len in [2, 3, 6, 7, 10] {
        assert!(MutationExtras::parse(&vec![0; len]).is_err(), "{len} bytes");
    }
    assert!(lookup_doc_flags(&[0, 0]).is_err());
}

#[test]
fn a_single_path_stands_in_extras_and_value() {
    let request = SinglePath::parse(&[0, 4, 1, 0, 0, 0, 9, 3], b"name\"ada\"").unwrap();
    assert_eq!((request.path, request.value, request.flags), (&b"name"[..], &b"\"ada\""[..], 1));
    assert_eq!((request.extras.expiry, request.extras.doc_flags), (Some(9), Some(3)));
    let mut out = Vec::new();
    request.emit_extras(&mut out).unwrap();
    assert_eq!(out, [0, 4, 1, 0, 0, 0, 9, 3]);
    assert!(SinglePath::parse(&[0, 4, 1], b"nam").is_err());
}

#[test]
fn op_24_h4_a_lookup_has_as_many_results_as_specs() {
    let value = results(&[(0, b"\"ada\""), (0xc0, b"")]);
    let found = lookup_results(&value, 2).unwrap();
    assert_eq!(found[0], LookupResult { status: Status::SUCCESS, value: b"\"ada\"" });
    assert_eq!(found[1].status, Status::SUBDOC_PATH_ENOENT);
    for specs in [0, 1, 3, usize::MAX] {
        assert!(lookup_results(&value, specs).is_err(), "{specs} specs");
    }
}

#[test]
fn h3_lengths_past_the_end_fail_the_operation() {
    assert!(lookup_results(&[0, 0, 0xff, 0xff, 0xff, 0xff, 1], 1).is_err());
    assert!(lookup_results(&[0, 0, 0], 1).is_err());
    let hostile = [0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(mutation_results(Status::SUCCESS, &hostile, 1).is_err());
}

#[test]
fn a_mutation_returns_values_of_counters_only() {
    let mut value = Vec::new();
    let result = MutationResult { index: 1, status: Status::SUCCESS, value: Some(b"42") };
    emit_mutation_result(&result, &mut value).unwrap();
    assert_eq!(mutation_results(Status::SUCCESS, &value, 3), Ok(vec![result]));
    assert_eq!(mutation_results(Status::SUBDOC_SUCCESS_DELETED, &[], 3), Ok(vec![]));
    assert!(mutation_results(Status::SUCCESS, &value, 1).is_err(), "H4: index 1 of 1");
    let twice = [&value[..], &value, &value].concat();
    assert!(mutation_results(Status::SUCCESS, &twice, 2).is_err(), "three results of two specs");
}

#[test]
fn a_failed_mutation_tells_exactly_one_path() {
    for status in [Status::SUBDOC_MULTI_PATH_FAILURE, Status::SUBDOC_MULTI_PATH_FAILURE_DELETED] {
        let failed = MutationResult { index: 2, status: Status::SUBDOC_PATH_MISMATCH, value: None };
        assert_eq!(mutation_results(status, &[2, 0, 0xc1], 3), Ok(vec![failed]));
        for value in [&[][..], &[2, 0], &[2, 0, 0], &[2, 0, 0xc1, 1, 0, 0xc1], &[3, 0, 0xc1]] {
            assert!(mutation_results(status, value, 3).is_err(), "{value:?}");
        }
    }
    assert!(mutation_results(Status::SUCCESS, &[0, 0, 0xc1, 0, 0, 0, 0], 1).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, specs in 0_usize..20, status: u16) {
        let _ = (lookup_specs(&bytes), mutation_specs(&bytes), MutationExtras::parse(&bytes));
        let _ = (lookup_results(&bytes, specs), mutation_results(Status(status), &bytes, specs));
        let _ = (SinglePath::parse(&bytes, &bytes), mutation_results(Status(0xcc), &bytes, specs));
        LookupResults::new(&bytes).for_each(drop);
    }

    #[test]
    fn what_is_written_is_read(entries: Vec<(u16, Vec<u8>)>) {
        let borrowed: Vec<(u16, &[u8])> = entries.iter().map(|(status, value)| (*status, &value[..])).collect();
        let bytes = results(&borrowed);
        let read = lookup_results(&bytes, entries.len()).unwrap();
        prop_assert_eq!(read.iter().map(|result| (result.status.0, result.value)).collect::<Vec<_>>(), borrowed);
    }
}
