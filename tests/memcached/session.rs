//! Operations about the connection, and many requests on one.

use crate::client::Client;
use crate::program::{Memcached, find, run};
use settee::ids::Opaque;
use settee::wire::{Encode, Opcode, Status, ops};
use std::process::Command;

#[test]
fn noop_is_answered_empty() {
    let Some(server) = Memcached::start() else { return };
    let answer = Client::connect(&server).call(Opcode::NOOP, b"", b"", b"");
    assert_eq!((answer.status(), answer.header.body_len), (Status::SUCCESS, 0));
}

#[test]
fn version_is_the_one_that_the_program_states() {
    let Some(server) = Memcached::start() else { return };
    let stated = run(Command::new(find("memcached").unwrap()).arg("-V")).stdout;
    let answer = Client::connect(&server).call(Opcode::VERSION, b"", b"", b"");
    assert_eq!(answer.status(), Status::SUCCESS);
    let version = String::from_utf8(answer.value).unwrap();
    assert_eq!(String::from_utf8(stated).unwrap().trim(), format!("memcached {version}"));
}

#[test]
fn fr_17_statistics_end_with_an_empty_frame() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    client.call(Opcode::SET, b"key", &ops::store_extras(0, 0), b"value");
    let mut statistics = Vec::new();
    let mut answer = client.call(Opcode::STAT, b"", b"", b"");
    while !ops::is_stat_end(&answer.key, &answer.value) {
        assert_eq!((answer.header.opcode, answer.status()), (Opcode::STAT, Status::SUCCESS));
        statistics.push((answer.key, answer.value));
        answer = client.receive().unwrap();
    }
    assert!(statistics.contains(&(b"curr_items".to_vec(), b"1".to_vec())), "{statistics:?}");
    assert!(statistics.len() > 20, "{} statistics", statistics.len());
    assert_eq!(client.call(Opcode::NOOP, b"", b"", b"").status(), Status::SUCCESS, "the stream is in step");
}

#[test]
fn an_unknown_opcode_is_an_answer_and_not_the_end() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    // Couchbase's own: memcached does not know them.
    for opcode in [Opcode::GET_CLUSTER_CONFIG, Opcode::COLLECTIONS_GET_MANIFEST, Opcode(0xee)] {
        let answer = client.call(opcode, b"", b"", b"");
        assert_eq!(answer.status(), Status::UNKNOWN_COMMAND, "{opcode}");
        assert!(!answer.value.is_empty(), "a text explains it");
    }
    assert_eq!(client.call(Opcode::NOOP, b"", b"", b"").status(), Status::SUCCESS);
}

#[test]
fn quit_is_answered_and_then_the_connection_ends() {
    let Some(server) = Memcached::start() else { return };
    let mut client = Client::connect(&server);
    assert_eq!(client.call(Opcode::QUIT, b"", b"", b"").status(), Status::SUCCESS);
    assert_eq!(client.receive(), None);
}

#[test]
fn a_pipeline_is_answered_in_order_in_any_slicing() {
    let Some(server) = Memcached::start() else { return };
    for slice in [1, 7, 24, 65_536] {
        let mut client = Client::connect(&server).reading_by(slice);
        let mut bytes = Vec::new();
        for index in 0..300_u32 {
            let key = format!("key {index}");
            let extras = ops::store_extras(index, 0);
            let set = Encode {
                key: key.as_bytes(),
                extras: &extras,
                ..Encode::request(Opcode::SET, Opaque(index))
            };
            set.emit(key.as_bytes(), &mut bytes).unwrap();
            let get = Encode { key: key.as_bytes(), ..Encode::request(Opcode::GET, Opaque(!index)) };
            get.emit(b"", &mut bytes).unwrap();
        }
        client.send(&bytes);
        for index in 0..300_u32 {
            let set = client.receive().unwrap();
            assert_eq!((set.header.opaque, set.status()), (Opaque(index), Status::SUCCESS));
            let get = client.receive().unwrap();
            assert_eq!((get.header.opaque, get.cas()), (Opaque(!index), set.cas()));
            assert_eq!(get.value, format!("key {index}").into_bytes());
            assert_eq!(ops::flags(&get.extras), Ok(index));
        }
    }
}
