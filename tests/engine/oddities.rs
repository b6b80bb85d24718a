//! What healthy or nearly healthy servers have been seen to do.

use settee::engine::OpKind;
use settee::expiry::Expiry;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Edit, NodeId, Rule};

use crate::common::{Client, upsert, value};
use crate::script::{alone, map_with, on, plain_map, send, usual};

fn edited(opcode: Opcode, edit: Edit) -> Client {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.cluster().add_rule(NodeId(0), Rule::new(opcode, Action::Edit(Box::new(edit))));
    client
}

#[test]
fn a_trailing_blank_in_the_list_of_mechanisms() {
    let mut net = crate::common::net(1);
    let edit = Edit { value_suffix: b" ".to_vec(), ..Edit::default() };
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_LIST_MECHS, Action::Edit(Box::new(edit))));
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    client.put("k", b"1");
    assert_eq!(value(&client.get("k")), b"1");
}

#[test]
fn a_key_in_the_answer_to_an_operation_with_a_key() {
    let mut client = edited(Opcode::GET, Edit { key: Some(b"k".to_vec()), ..Edit::default() });
    assert_eq!(value(&client.get("k")), b"1");
    let mut client = edited(Opcode::SET, Edit { key: Some(b"k".to_vec()), ..Edit::default() });
    let op = client.start("k", upsert(b"2"));
    assert!(client.end(op).is_ok());
}

#[test]
fn extras_on_the_answer_to_a_touch() {
    let mut client = edited(Opcode::TOUCH, Edit { extras: Some(vec![0, 0, 0, 0]), ..Edit::default() });
    let op = client.start("k", OpKind::Touch { expiry: Expiry::NONE });
    let outcome = client.end(op);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn two_answers_to_one_opaque() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Twice));
    for _ in 0..10 {
        assert_eq!(value(&client.get("k")), b"1");
    }
    client.run_for(crate::common::ms(5));
    assert_eq!(client.orphans.len(), 10);
}

#[test]
fn a_map_without_versions_of_capabilities_or_epochs() {
    let map = plain_map(1).replace(r#""revEpoch":1,"#, "");
    assert!(!map.contains("revEpoch") && !map.contains("clusterCapabilitiesVer"));
    let (mut client, map) = alone(&map, usual);
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
    // One with an epoch is newer.
    *map.borrow_mut() = plain_map(1);
    client.run_for(crate::common::secs(30));
    let bucket = client.bucket();
    assert_eq!(client.engine().bucket_map(bucket).expect("a map").rev.epoch, Some(1));
}

#[test]
fn not_my_vbucket_with_an_empty_or_a_full_body() {
    for dedupe in [true, false] {
        let mut net = crate::common::net(2);
        if !dedupe {
            for index in 0..2 {
                let mut without = settee_sim::Features::NONE;
                for code in settee_sim::Features::SUPPORTED.codes() {
                    if code != settee_sim::Features::DEDUPE_NOT_MY_VBUCKET {
                        without = without.with(code);
                    }
                }
                net.cluster().set_features(NodeId(index), without);
            }
        }
        let mut client = Client::connect(net, "couchbase://10.0.0.1");
        let key = client.key_on(0);
        client.put(&key, b"1");
        let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
        client.cluster().set_active("default", vbucket, NodeId(1));
        assert_eq!(value(&client.get(&key)), b"1");
    }
}

#[test]
fn an_error_map_or_list_of_mechanisms_that_is_refused_is_no_failure() {
    for opcode in [Opcode::GET_ERROR_MAP, Opcode::SASL_LIST_MECHS] {
        for status in [Status::UNKNOWN_COMMAND, Status::NOT_SUPPORTED, Status::EINVAL] {
            let (mut client, _) =
                alone(&plain_map(1), on(opcode, move |request| send(request.answer(status, b"no"))));
            client.online();
            assert_eq!(value(&client.get("k")), b"value");
        }
    }
}

#[test]
fn an_error_map_that_is_no_json_is_no_failure() {
    let (mut client, _) = alone(
        &plain_map(1),
        on(Opcode::GET_ERROR_MAP, |request| send(request.answer(Status::SUCCESS, b"{\"version\":"))),
    );
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
}

#[test]
fn the_first_map_may_come_late() {
    // The node is still setting the bucket up: no map, then an empty one, then a good one (S12).
    let nobody = map_with(1, r#"{"thisNode":true,"services":{"kv":11210}}"#, "[]", "");
    let mut asked = 0;
    let (mut client, _) = alone(&plain_map(2), move |request| {
        if request.opcode != Opcode::GET_CLUSTER_CONFIG {
            return None;
        }
        asked += 1;
        match asked {
            1 => Some(send(request.answer(Status::KEY_ENOENT, b""))),
            2 | 3 => Some(send(request.answer(Status::SUCCESS, nobody.as_bytes()))),
            _ => None,
        }
    });
    let op = client.start("k", OpKind::Get);
    assert_eq!(value(&client.end(op)), b"value");
    // R-EMPTY: 100 ms, doubling.
    let elapsed = client.world.elapsed();
    assert!((crate::common::ms(700)..crate::common::ms(720)).contains(&elapsed), "{elapsed:?}");
    assert_eq!(client.world.dialled().count(), 1);
}
