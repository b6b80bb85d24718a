//! Hunts, maps, look-ups and salts at their edges: nothing is leaked, nothing refused is used, nothing is forgotten.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use settee::engine::{DesiredState, OpId, OpKind, RejectReason, Response, WakeReason};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, NodeId, PeerAction, Reachability, Rule};

use crate::common::{Client, config, error, kind, ms, net, node, secs, upsert, value};
use crate::script::{ALONE, Request, alone, map_with, on, place, place_at, plain_map, send, usual};

const THIS: &str = r#"{"thisNode":true,"services":{"kv":11210,"mgmt":8091}}"#;

#[test]
fn boot_25_a_lost_idle_connection_is_replaced_by_one_though_the_map_is_the_same() {
    let mut client = Client::bare(net(1), config("couchbase://10.0.0.1"), [7; 32]);
    client.run_for(secs(5));
    for outage in [ms(0), secs(30)] {
        client.world.net.set_reachability(node(0), Reachability::Refuse);
        client.world.net.cut_all(node(0));
        client.run_for(outage);
        client.world.net.set_reachability(node(0), Reachability::Open);
        client.run_for(secs(10));
        assert_eq!(client.open_links(node(0)).len(), 1, "after {outage:?}");
        assert_eq!(client.dial_times(None, secs(60)), Vec::<Duration>::new(), "after {outage:?}");
        assert_eq!(client.open_links(node(0)).len(), 1, "after {outage:?}");
    }
}

#[test]
fn boot_15_a_bucket_that_was_dark_and_returns_with_the_same_map_needs_no_seeds() {
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1,10.0.0.2");
    client.run_for(secs(10));
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Refuse);
        client.world.net.cut_all(node(index));
    }
    client.run_for(secs(60));
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Open);
    }
    client.online();
    client.run_for(ms(1));
    for index in 0..2 {
        assert_eq!(client.open_links(node(index)).len(), 1);
    }
    assert_eq!(client.dial_times(None, secs(60)), Vec::<Duration>::new(), "the hunt is over");
}

#[test]
fn boot_15_the_seeds_of_a_dark_bucket_are_let_go_whoever_answers_first() {
    // The members are black holes whose dials take ten seconds; seeds give the old map meanwhile.
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1,10.0.0.2");
    client.run_for(secs(10));
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::BlackHole);
        client.world.net.cut_all(node(index));
    }
    client.run_for(secs(120));
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Open);
    }
    client.run_for(secs(60));
    for index in 0..2 {
        assert_eq!(client.open_links(node(index)).len(), 1);
    }
    assert_eq!(client.dial_times(None, secs(60)), Vec::<Duration>::new());
}

/// Refuses one bucket.
fn refuse_bucket(name: &'static [u8]) -> impl FnMut(&Request) -> Option<Vec<PeerAction>> {
    move |request| {
        let refused = request.opcode == Opcode::SELECT_BUCKET && request.key == name;
        refused.then(|| send(request.answer(Status::EACCESS, b"")))
    }
}

#[test]
fn r_ver_4_the_map_of_another_cluster_is_used_for_no_bucket_and_named() {
    let of = |uuid: &str, bucket: &str| {
        let map = map_with(1, THIS, "[[0],[0]]", &format!(r#""clusterUUID":"{uuid}","#));
        map.replace(r#""name":"default""#, &format!(r#""name":"{bucket}""#))
    };
    let mut net = net(3);
    place(&mut net, &of("one", "default"), refuse_bucket(b"other"));
    for index in 1..3 {
        place_at(&mut net, index, &of("two", "other"), usual);
    }
    let text = format!(
        "{}&preserve_bootstrap_nodes_order=true",
        ALONE.replace("10.0.0.1", "10.0.0.1,10.0.0.2,10.0.0.3")
    );
    let mut client = Client::bare(net, config(&text), [7; 32]);
    client.open("default");
    let default = client.bucket();
    client.open("other");
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    let other = client.bucket();
    assert!(client.engine().bucket_map(other).is_none(), "a refused map is in use");
    assert!(client.engine().bucket_map(default).is_some());
    let report = error(&outcome).context().bootstrap.as_ref().expect("a report").to_string();
    assert!(report.contains("wrong-cluster") || report.contains("another cluster"), "{report}");
}

#[test]
fn s11_a_map_without_the_wanted_network_is_used_for_no_bucket() {
    let mut net = net(3);
    for index in 0..3 {
        place_at(&mut net, index, &plain_map(1), usual);
    }
    let text = format!("{}&network=internal", ALONE.replace("10.0.0.1", "10.0.0.1,10.0.0.2,10.0.0.3"));
    let mut client = Client::new(net, &text);
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    let bucket = client.bucket();
    assert!(client.engine().bucket_map(bucket).is_none(), "a refused map is in use");
    assert!(client.engine().cluster_map().is_none());
    assert_eq!(error(&outcome).context().cause, Some(ErrorKind::NetworkNotFound), "{outcome:?}");
    let report = error(&outcome).context().bootstrap.as_ref().expect("a report").to_string();
    assert!(report.contains("internal"), "{report}");
}

/// A client whose connections take eight requests at a time, with a collection in its bucket.
fn narrow() -> Client {
    let mut net = net(1);
    net.cluster().add_bucket("other");
    net.cluster().add_collection("default", "s", "c");
    let mut config = config("couchbase://10.0.0.1?compression=off");
    config.window = 8;
    let mut client = Client::bare(net, config, [7; 32]);
    for bucket in ["other", "default"] {
        client.open(bucket);
        client.online();
    }
    client.run_for(secs(1));
    client
}

#[test]
fn co_1_a_look_up_without_room_is_sent_when_there_is_room() {
    // The window is full.
    let mut client = narrow();
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Delay(ms(50))).times(8));
    for number in 0..8 {
        client.start(&format!("k{number}"), OpKind::Get);
    }
    client.enter("s", "c");
    let before = client.now();
    let op = client.start("k", upsert(b"1"));
    assert!(client.end(op).is_ok());
    assert!(client.now() - before < ms(60), "{:?}", client.now() - before);

    // As much waits to be written as may.
    let mut client = narrow();
    client.start("large", upsert(&vec![0; 2 << 20]));
    client.enter("s", "c");
    let before = client.now();
    let op = client.start("k", upsert(b"1"));
    assert!(client.end(op).is_ok());
    assert!(client.now() - before < ms(10), "{:?}", client.now() - before);
}

#[test]
fn co_1_room_in_another_bucket_does_not_count() {
    let mut client = narrow();
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Delay(ms(50))).times(8));
    for number in 0..8 {
        client.start(&format!("k{number}"), OpKind::Get);
    }
    client.enter("s", "c");
    let before = client.now();
    let op = client.start("k", upsert(b"1"));
    client.open("other");
    assert!(client.set("k", "1").is_ok(), "it has a connection of its own");
    assert!(client.now() - before < ms(10));
    assert!(client.end(op).is_ok());
    assert!(client.now() - before < ms(60), "{:?}", client.now() - before);
}

#[test]
fn r_empty_a_node_without_a_map_once_is_not_asked_at_that_pace_for_ever() {
    for with_bucket in [true, false] {
        let (asked, blindly) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (all, blind) = (Rc::clone(&asked), Rc::clone(&blindly));
        let mut net = net(1);
        let map = if with_bucket {
            plain_map(1)
        } else {
            plain_map(1).replace(r#""name":"default","uuid":"a","nodeLocator":"vbucket","#, "")
        };
        place(
            &mut net,
            &map,
            on(Opcode::GET_CLUSTER_CONFIG, {
                let map = map.clone();
                move |request| {
                    all.set(all.get() + 1);
                    blind.set(blind.get() + usize::from(request.extras.is_empty()));
                    if all.get() == 1 {
                        return send(request.answer(Status::KEY_ENOENT, b""));
                    }
                    send(request.answer_with(Status::SUCCESS, 1, &[], &[], map.as_bytes()))
                }
            }),
        );
        let mut client = Client::bare(net, config(ALONE), [7; 32]);
        if with_bucket {
            client.open("default");
        }
        let op = client.bootstrap();
        assert_eq!(client.end(op), Ok(Response::Ready));
        client.run_for(secs(5));
        let before = (asked.get(), blindly.get());
        client.run_for(secs(60));
        let polls = asked.get() - before.0;
        assert!((20..=25).contains(&polls), "one each 2.5 s: {polls}, with a bucket: {with_bucket}");
        assert_eq!(blindly.get(), before.1, "each says what is known");
        assert_eq!(client.world.dialled().count(), 1);
    }
}

/// Logs everybody in by SCRAM-SHA1 with a salt of its own each time and a million rounds, and closes.
fn heavy_salt(seen: Rc<Cell<usize>>) -> impl FnMut(&Request) -> Option<Vec<PeerAction>> {
    move |request| match request.opcode {
        Opcode::SASL_LIST_MECHS => Some(send(request.answer(Status::SUCCESS, b"SCRAM-SHA1"))),
        Opcode::SASL_AUTH => {
            seen.set(seen.get() + 1);
            let text = String::from_utf8(request.value.clone()).expect("text");
            let nonce = text.rsplit("r=").next().expect("a nonce");
            let salt = Base64::encode_string(format!("salt {}", seen.get()).as_bytes());
            let first = format!("r={nonce}server,s={salt},i=1000000");
            let answer = request.answer(Status::AUTH_CONTINUE, first.as_bytes());
            Some(vec![PeerAction::Send(answer), PeerAction::Close])
        }
        _ => None,
    }
}

/// How many slices of computing are done within a time.
fn slices(client: &mut Client, limit: Duration) -> usize {
    let end = client.now() + limit;
    let mut count = 0;
    while client.world.step_until(Some(end)) {
        count += usize::from(client.world.client.wake_reason() == WakeReason::Computation);
    }
    client.collect();
    count
}

#[test]
fn sa_10_a_salt_that_nobody_waits_for_is_not_computed() {
    let seen = Rc::new(Cell::new(0));
    let mut net = net(2);
    place_at(&mut net, 1, &plain_map(1), heavy_salt(Rc::clone(&seen)));
    // The honest node gives a map with the other one in it, which is dialled again and again.
    let text = "couchbase://10.0.0.1?sasl_mech_force=SCRAM-SHA1";
    let mut client = Client::new(net, text);
    let computed = slices(&mut client, secs(2));
    assert!(seen.get() > 5, "{}", seen.get());
    // Each may cost a slice until its connection ends.
    assert!(computed <= 2 * seen.get() + 10, "{computed} slices for {} salts", seen.get());
    let key = client.key_on(0);
    client.put(&key, b"1");
    client.world.net.cut_all(node(0));
    let before = client.now();
    client.run_for(ms(1));
    assert_eq!(value(&client.get(&key)), b"1");
    assert!(client.now() - before < ms(50), "{:?}", client.now() - before);
    // With the dials held off the engine sleeps.
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.run_for(secs(1));
    assert_eq!(slices(&mut client, secs(30)), 0);
}

/// The text of so many nodes that have IPv6 addresses.
fn many(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(text, r#",{{"hostname":"2001:db8::{number:x}","services":{{"kv":11210}}}}"#);
        text
    })
}

#[test]
fn boot_13_nodes_without_an_address_that_may_be_used_are_passed_over_one_after_the_other() {
    // A hunt over the known nodes.
    let nodes =
        format!(r#"{{"hostname":"10.0.0.1","thisNode":true,"services":{{"kv":11210}}}}{}"#, many(5000));
    let map = format!(r#"{{"rev":1,"revEpoch":1,"nodesExt":[{nodes}]}}"#);
    let mut net = net(1);
    place(&mut net, &map, refuse_bucket(b"default"));
    let mut client = Client::bare(net, config(&format!("{ALONE}&ip_protocol=force_ipv4")), [7; 32]);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    client.open("default");
    let before = client.now();
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    assert_eq!((kind(&outcome), client.now() - before), (ErrorKind::UnambiguousTimeout, ms(2500)));
    assert_eq!(error(&outcome).context().cause, Some(ErrorKind::BucketNotFound));
    assert!(client.world.dialled().all(|(.., to)| to.is_ipv4()));
}

#[test]
fn boot_25_members_without_an_address_that_may_be_used_hurt_nobody_else() {
    let listed = (0..5000).fold(String::new(), |mut text, number| {
        let _ = write!(text, r#",{{"hostname":"[2001:db8::{number:x}]:8091","ports":{{"direct":11210}}}}"#);
        text
    });
    let map = map_with(1, &format!("{THIS}{}", many(5000)), "[[0],[0]]", "")
        .replace(r#"}}],"nodesExt""#, &format!(r#"}}}}{listed}],"nodesExt""#));
    assert!(map.contains(&listed), "the nodes serve the bucket");
    let mut net = net(1);
    place(&mut net, &map, usual);
    let mut client = Client::new(net, &format!("{ALONE}&ip_protocol=force_ipv4"));
    let ops: Vec<OpId> = (0..10).map(|number| client.start(&format!("k{number}"), OpKind::Get)).collect();
    for op in ops {
        assert_eq!(value(&client.end(op)), b"value");
    }
    let op = client.wait(DesiredState::Online, ms(100));
    assert!(client.end(op).is_err(), "they are members, and not there");
    assert_eq!(client.world.dialled().count(), 1);
}

#[test]
fn h20_a_collection_of_another_engines_bucket_is_refused() {
    let mut stranger = Client::bare(net(1), config("couchbase://10.0.0.1"), [8; 32]);
    stranger.open("default");
    stranger.open("another");
    let foreign = stranger.bucket();
    let (mut client, _) = alone(&plain_map(1), usual);
    client.online();
    let collection = client.engine().collection(foreign, "_default", "_default");
    let mut operation = client.operation("k", OpKind::Get);
    operation.collection = collection;
    let now = client.now();
    let rejected = client.engine().submit(operation, now).expect_err("there is no such bucket");
    match rejected.why {
        RejectReason::Invalid(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument),
        other => panic!("{other:?}"),
    }
    assert_eq!(value(&client.get("k")), b"value");
}
