//! Each document operation, its answers compared with what the protocol says.

use crate::client::Client;
use crate::program::Memcached;
use settee::ids::Cas;
use settee::wire::{Encode, Opcode, Status, ops};

/// In seconds since 1970, and long ago: a document that is given it is gone at once.
const LONG_AGO: u32 = 86_400 * 365;

#[test]
fn set_and_get_return_value_flags_and_cas() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    let missing = client.call(Opcode::GET, b"key", b"", b"");
    assert_eq!(missing.status(), Status::KEY_ENOENT);

    let set = client.call(Opcode::SET, b"key", &ops::store_extras(0x0200_0006, 0), b"{\"a\":1}");
    assert_eq!((set.status(), set.extras.len(), set.value.len()), (Status::SUCCESS, 0, 0));
    assert_ne!(set.cas(), Cas::NONE);

    let get = client.call(Opcode::GET, b"key", b"", b"");
    assert_eq!((get.status(), &get.value[..]), (Status::SUCCESS, &b"{\"a\":1}"[..]));
    assert_eq!(ops::flags(&get.extras), Ok(0x0200_0006));
    assert_eq!(get.cas(), set.cas());
}

#[test]
fn values_of_any_bytes_and_sizes_come_back_the_same() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    for len in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1_000_000] {
        let value: Vec<u8> = (0..len).map(|index: usize| (index * 31 % 256) as u8).collect();
        let set = client.call(Opcode::SET, b"sized", &ops::store_extras(len as u32, 0), &value);
        assert_eq!(set.status(), Status::SUCCESS, "{len} bytes");
        let get = client.call(Opcode::GET, b"sized", b"", b"");
        assert!(get.value == value, "{len} bytes");
        assert_eq!(ops::flags(&get.extras), Ok(len as u32));
    }
    let longest_key = [b'k'; 250];
    client.call(Opcode::SET, &longest_key, &ops::store_extras(0, 0), b"v");
    assert_eq!(client.call(Opcode::GET, &longest_key, b"", b"").value, b"v");
    let too_large = client.call(Opcode::SET, b"sized", &ops::store_extras(0, 0), &vec![0; 1_100_000]);
    assert_eq!(too_large.status(), Status::E2BIG);
}

#[test]
fn a_write_with_a_cas_needs_the_document_unchanged() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    let extras = ops::store_extras(0, 0);
    let first = client.call(Opcode::SET, b"key", &extras, b"1").cas();
    let mut with_cas = |opcode, key, cas| {
        let extras: &[u8] = if opcode == Opcode::DELETE { &[] } else { &extras };
        let request = Encode { key, extras, cas, ..client.request(opcode) };
        client.ask(request, if opcode == Opcode::DELETE { b"" } else { b"2" })
    };
    let second = with_cas(Opcode::SET, b"key", first);
    assert_eq!(second.status(), Status::SUCCESS);
    assert_ne!(second.cas(), first);
    for opcode in [Opcode::SET, Opcode::REPLACE, Opcode::DELETE] {
        assert_eq!(with_cas(opcode, b"key", first).status(), Status::KEY_EEXISTS, "{opcode}");
        assert_eq!(with_cas(opcode, b"other", first).status(), Status::KEY_ENOENT, "{opcode}");
    }
    assert_eq!(with_cas(Opcode::DELETE, b"key", second.cas()).status(), Status::SUCCESS);
}

#[test]
fn add_needs_absence_and_replace_needs_presence() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    let extras = ops::store_extras(7, 0);
    assert_eq!(client.call(Opcode::REPLACE, b"key", &extras, b"0").status(), Status::KEY_ENOENT);
    assert_eq!(client.call(Opcode::ADD, b"key", &extras, b"1").status(), Status::SUCCESS);
    assert_eq!(client.call(Opcode::ADD, b"key", &extras, b"2").status(), Status::KEY_EEXISTS);
    assert_eq!(client.call(Opcode::GET, b"key", b"", b"").value, b"1");
    assert_eq!(client.call(Opcode::REPLACE, b"key", &extras, b"3").status(), Status::SUCCESS);
    assert_eq!(client.call(Opcode::GET, b"key", b"", b"").value, b"3");
}

#[test]
fn delete_removes_once() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    client.call(Opcode::SET, b"key", &ops::store_extras(0, 0), b"1");
    assert_eq!(client.call(Opcode::DELETE, b"key", b"", b"").status(), Status::SUCCESS);
    assert_eq!(client.call(Opcode::DELETE, b"key", b"", b"").status(), Status::KEY_ENOENT);
    assert_eq!(client.call(Opcode::GET, b"key", b"", b"").status(), Status::KEY_ENOENT);
}

#[test]
fn counters_answer_their_new_value() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    let mut count = |opcode, delta, initial, expiry| {
        let answer = client.call(opcode, b"counter", &ops::counter_extras(delta, initial, expiry), b"");
        (answer.status(), ops::number(&answer.value).ok())
    };
    // OP-11: this expiry means that a missing document is not created.
    let no_create = ops::COUNTER_NO_CREATE;
    assert_eq!(count(Opcode::INCREMENT, 1, 10, no_create).0, Status::KEY_ENOENT);
    assert_eq!(count(Opcode::INCREMENT, 1, 10, 0), (Status::SUCCESS, Some(10)));
    assert_eq!(count(Opcode::INCREMENT, 5, 10, 0), (Status::SUCCESS, Some(15)));
    assert_eq!(count(Opcode::DECREMENT, 6, 10, no_create), (Status::SUCCESS, Some(9)));
    assert_eq!(count(Opcode::DECREMENT, 100, 10, 0), (Status::SUCCESS, Some(0)), "stops at 0");
    assert_eq!(count(Opcode::INCREMENT, u64::MAX, 0, 0), (Status::SUCCESS, Some(u64::MAX)));
    assert_eq!(count(Opcode::INCREMENT, 2, 0, 0), (Status::SUCCESS, Some(1)), "wraps");
    client.call(Opcode::SET, b"counter", &ops::store_extras(0, 0), b"text");
    let bad = client.call(Opcode::INCREMENT, b"counter", &ops::counter_extras(1, 0, 0), b"");
    assert_eq!(bad.status(), Status::DELTA_BADVAL);
}

#[test]
fn append_and_prepend_keep_the_flags() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    for opcode in [Opcode::APPEND, Opcode::PREPEND] {
        assert_eq!(client.call(opcode, b"key", b"", b"x").status(), Status::NOT_STORED, "{opcode}");
    }
    client.call(Opcode::SET, b"key", &ops::store_extras(0x0300_0000, 0), b"middle");
    let append = client.call(Opcode::APPEND, b"key", b"", b"-end");
    assert_eq!(append.status(), Status::SUCCESS);
    let stale = Encode { key: b"key", cas: Cas(append.cas().0 - 1), ..client.request(Opcode::PREPEND) };
    assert_eq!(client.ask(stale, b"no-").status(), Status::KEY_EEXISTS);
    let fresh = Encode { key: b"key", cas: append.cas(), ..client.request(Opcode::PREPEND) };
    assert_eq!(client.ask(fresh, b"start-").status(), Status::SUCCESS);
    let get = client.call(Opcode::GET, b"key", b"", b"");
    assert_eq!((&get.value[..], ops::flags(&get.extras)), (&b"start-middle-end"[..], Ok(0x0300_0000)));
}

#[test]
fn touch_and_get_and_touch_set_the_expiry() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    for opcode in [Opcode::TOUCH, Opcode::GAT] {
        let missing = client.call(opcode, b"key", &ops::touch_extras(60), b"");
        assert_eq!(missing.status(), Status::KEY_ENOENT, "{opcode}");
        client.call(Opcode::SET, b"key", &ops::store_extras(42, 0), b"value");
        let kept = client.call(opcode, b"key", &ops::touch_extras(3_600), b"");
        assert_eq!((kept.status(), ops::flags(&kept.extras)), (Status::SUCCESS, Ok(42)), "{opcode}");
        if opcode == Opcode::GAT {
            assert_eq!(kept.value, b"value");
        }
        assert_eq!(client.call(Opcode::GET, b"key", b"", b"").value, b"value");
        let last = client.call(opcode, b"key", &ops::touch_extras(LONG_AGO), b"");
        assert_eq!(last.status(), Status::SUCCESS, "{opcode}");
        assert_eq!(client.call(Opcode::GET, b"key", b"", b"").status(), Status::KEY_ENOENT, "{opcode}");
    }
}

#[test]
fn a_document_written_with_a_past_expiry_is_gone() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    for (expiry, status) in [(3_600, Status::SUCCESS), (LONG_AGO, Status::KEY_ENOENT)] {
        client.call(Opcode::SET, b"key", &ops::store_extras(0, expiry), b"value");
        assert_eq!(client.call(Opcode::GET, b"key", b"", b"").status(), status, "expiry {expiry}");
    }
}
