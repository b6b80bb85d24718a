//! Hostile, confused and merely unusual peers (`hostile-peers.md`).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use base64ct::{Base64, Encoding as _};
use settee::engine::{Input, OpKind, Output, RejectReason, Stage};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Edit, NodeId, Peer, PeerAction, Reachability, Rule};

use crate::common::{Client, config, config_as, error, kind, ms, net, node, secs, set_node, upsert, value};
use crate::script::{ALONE, Request, alone, map_with, on, place, plain_map, send, usual};

/// Answers the first GET with these bytes and later ones as usual.
fn first_get(bytes: impl Fn(&Request) -> Vec<u8> + 'static) -> Client {
    let mut left = 1;
    let (mut client, _) = alone(&plain_map(1), move |request| {
        if request.opcode != Opcode::GET || left == 0 {
            return None;
        }
        left -= 1;
        Some(send(bytes(request)))
    });
    client.online();
    client.run_for(secs(6));
    client
}

/// "Dropped": the operation at fault fails with the protocol error, the connection is replaced, the rest goes on.
fn assert_dropped(mut client: Client, word: &str) {
    let dials = client.world.dialled().count();
    let at_fault = client.start("k", OpKind::Get);
    let outcome = client.end(at_fault);
    assert_eq!(kind(&outcome), ErrorKind::DecodingFailure, "{outcome:?}");
    assert!(error(&outcome).to_string().contains(word), "{outcome:?}");
    assert!(!error(&outcome).may_have_happened(), "a read");
    assert_eq!(value(&client.get("k")), b"value", "everything else goes on");
    assert_eq!(client.world.dialled().count(), dials + 1, "the connection was replaced");
}

#[test]
fn h1_lengths_that_add_up_to_more_than_the_body_drop_the_connection() {
    assert_dropped(first_get(|request| request.header(10, 10, 15)), "do not fit a body");
    assert_dropped(first_get(|request| request.header(0xffff, 0xff, 0)), "do not fit a body");
}

#[test]
fn h1_a_write_whose_answer_is_at_fault_may_have_happened_and_the_others_are_settled() {
    let (mut client, _) = alone(&plain_map(1), on(Opcode::SET, |request| send(request.header(10, 10, 15))));
    client.online();
    let write = client.start("k", upsert(b"1"));
    let read = client.start("k", OpKind::Get);
    let outcome = client.end(write);
    assert_eq!(kind(&outcome), ErrorKind::DecodingFailure);
    assert!(error(&outcome).may_have_happened());
    assert_eq!(value(&client.end(read)), b"value", "sent again on a new connection");
}

#[test]
fn h2_a_body_of_0xf0000000_bytes_is_refused_at_the_header() {
    // Nothing follows the header: the connection would be waited on for ever if the claim were believed.
    assert_dropped(first_get(|request| request.header(0, 0, 0xf000_0000)), "body");
    for opcode in [Opcode::HELLO, Opcode::SASL_AUTH, Opcode::GET_CLUSTER_CONFIG] {
        let (mut client, _) =
            alone(&plain_map(1), on(opcode, |request| send(request.header(0, 0, 0xf000_0000))));
        client.run_for(ms(10));
        let (_, first, _) = client.world.dialled().next().expect("it dials");
        assert!(!client.open_links(node(0)).contains(&first), "{opcode}");
    }
}

#[test]
fn h2_control_answers_are_capped_at_64_kib() {
    let (mut client, _) =
        alone(&plain_map(1), on(Opcode::SASL_LIST_MECHS, |request| send(request.header(0, 0, 65_537))));
    client.run_for(ms(10));
    let (_, first, _) = client.world.dialled().next().expect("it dials");
    assert!(!client.open_links(node(0)).contains(&first));
}

#[test]
fn h5_maps_with_odd_members_are_used_as_far_as_they_go() {
    let this = r#"{"thisNode":true,"services":{"kv":11210}}"#;
    for map in [
        // No manager port, no capabilities, unknown keys.
        map_with(1, this, "[[0],[0]]", r#""unheardOf":{"deep":[1,2,{}]},"clusterCapabilitiesVer":null,"#),
        map_with(1, r#"{"thisNode":true,"services":{"kv":11210,"mgmt":70000,"n1ql":-1}}"#, "[[0],[0]]", ""),
        map_with(1, this, "[[0]]", ""),
        // An index outside the list of servers: that vbucket has nobody, the other works.
        map_with(1, this, "[[0],[7],[-1],[0]]", ""),
    ] {
        let (mut client, _) = alone(&map, usual);
        client.online();
        let works = (0..50).any(|number| {
            let op = client.start(&format!("k{number}"), OpKind::Get);
            client.run_for(ms(5));
            client.outcome(op).is_some_and(Result::is_ok)
        });
        assert!(works, "{map}");
    }
}

#[test]
fn h5_a_refused_map_leaves_the_old_one_in_place() {
    let this = r#"{"thisNode":true,"services":{"kv":11210}}"#;
    let rows = format!("[{}]", vec!["[0]"; 65_536].join(","));
    for bad in [map_with(2, this, "[]", ""), map_with(2, this, &rows, ""), "{}".into(), "[1".into()] {
        let (mut client, map) = alone(&plain_map(1), usual);
        client.online();
        *map.borrow_mut() = bad;
        client.run_for(secs(30));
        assert!(client.engine().counters().rejected_maps > 0);
        let bucket = client.bucket();
        assert_eq!(client.engine().bucket_map(bucket).expect("the old one").rev.rev, 1);
        assert_eq!(value(&client.get("k")), b"value");
        *map.borrow_mut() = plain_map(3);
        client.run_for(secs(30));
        assert_eq!(client.engine().bucket_map(bucket).expect("the next one").rev.rev, 3);
    }
}

#[test]
fn h5_a_first_map_that_is_refused_is_reported_with_the_reason() {
    let this = r#"{"thisNode":true,"services":{"kv":11210}}"#;
    let (mut client, _) = alone(&map_with(1, this, "[[[]]]", ""), usual);
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    let report = error(&outcome).context().bootstrap.as_ref().expect("a report");
    assert_eq!(report.attempts[0].stage, Stage::Map, "{report}");
    assert_eq!(report.attempts[0].kind, Some(ErrorKind::DecodingFailure), "{report}");
}

#[test]
fn h6_an_alternate_address_without_ports_uses_the_nodes_own() {
    let this = r#"{"thisNode":true,"hostname":"10.9.9.9","services":{"kv":11210},
        "alternateAddresses":{"external":{"hostname":"10.0.0.1"}}}"#;
    let mut net = net(1);
    let map = map_with(1, this, "[[0],[0]]", "");
    place(&mut net, &map, usual);
    let mut client = Client::connect(net, &format!("{ALONE}&network=external"));
    assert_eq!(value(&client.get("k")), b"value");
    client.world.net.cut_all(node(0));
    client.run_for(ms(10));
    assert_eq!(value(&client.get("k")), b"value");
    assert!(client.world.dialled().all(|(.., to)| to == node(0)));
}

/// The first GET meets NOT_MY_VBUCKET with this body.
fn not_my_vbucket(body: String) -> Client {
    let mut left = 1;
    let (mut client, _) = alone(&plain_map(5), move |request| {
        if request.opcode != Opcode::GET || left == 0 {
            return None;
        }
        left -= 1;
        Some(send(request.answer_with(Status::NOT_MY_VBUCKET, 1, &[], &[], body.as_bytes())))
    });
    client.online();
    client
}

#[test]
fn h7_not_my_vbucket_with_any_body_is_retried_soon() {
    for body in [String::new(), plain_map(6), plain_map(4), plain_map(5), "not JSON".into(), "{}".into()] {
        let mut client = not_my_vbucket(body.clone());
        let before = client.now();
        assert_eq!(value(&client.get("k")), b"value", "{body}");
        assert!(client.now() - before < ms(10), "{body}");
        assert!(client.world.dialled().all(|(.., to)| to == node(0)), "no made-up name: {body}");
        let bucket = client.bucket();
        assert!(client.engine().bucket_map(bucket).expect("a map").rev.rev >= 5);
    }
}

#[test]
fn h8_unknown_mechanisms_and_blanks_in_the_list_are_ignored() {
    for list in ["FROBNICATE PLAIN", "PLAIN ", " PLAIN", "FROBNICATE  SCRAM-SHA1024 PLAIN  ", ""] {
        let (mut client, _) = alone(
            &plain_map(1),
            on(Opcode::SASL_LIST_MECHS, move |request| {
                send(request.answer(Status::SUCCESS, list.as_bytes()))
            }),
        );
        client.online();
        assert_eq!(value(&client.get("k")), b"value", "{list:?}");
    }
}

/// A SCRAM exchange in which the server says this: first by our nonce, then at last.
fn scram(first: impl Fn(&str) -> Vec<u8> + 'static, last: &'static [u8]) -> Client {
    let mut net = net(1);
    place(&mut net, &plain_map(1), move |request| match request.opcode {
        Opcode::SASL_LIST_MECHS => Some(send(request.answer(Status::SUCCESS, b"SCRAM-SHA1"))),
        Opcode::SASL_AUTH => {
            let text = String::from_utf8(request.value.clone()).expect("text");
            let nonce = text.rsplit("r=").next().expect("a nonce").to_owned();
            Some(send(request.answer(Status::AUTH_CONTINUE, &first(&nonce))))
        }
        Opcode::SASL_STEP => Some(send(request.answer(Status::SUCCESS, last))),
        _ => None,
    });
    Client::with(net, config("couchbase://10.0.0.1?sasl_mech_force=SCRAM-SHA1"))
}

#[test]
fn h9_scram_messages_that_cannot_be_trusted_are_authentication_failures() {
    let salt = Base64::encode_string(b"salt");
    let good = {
        let salt = salt.clone();
        move |nonce: &str| format!("r={nonce}server,s={salt},i=16").into_bytes()
    };
    let mut clients = Vec::new();
    for last in
        [&b"junk"[..], b"", b"e=other-error", b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", b"v=\xff\xfe", b"\xff"]
    {
        clients.push(scram(good.clone(), last));
    }
    for (nonce_of_its_own, count) in
        [(true, "16"), (false, "4294967295"), (false, "0"), (false, "-1"), (false, "x")]
    {
        let salt = salt.clone();
        clients.push(scram(
            move |nonce| {
                let nonce = if nonce_of_its_own { "somebody-else" } else { nonce };
                format!("r={nonce}server,s={salt},i={count}").into_bytes()
            },
            b"",
        ));
    }
    clients.push(scram(|_| Vec::new(), b""));
    clients.push(scram(|_| b"\xff\xfe".to_vec(), b""));
    for (number, mut client) in clients.into_iter().enumerate() {
        let op = client.bootstrap();
        let outcome = client.end(op);
        assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure, "case {number}");
        assert!(client.world.elapsed() < ms(100), "case {number} at once");
    }
}

/// Says one thing to whatever it hears.
struct Parrot(&'static [u8]);

impl Peer for Parrot {
    fn receive(&mut self, _bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        vec![PeerAction::Send(self.0.to_vec()), PeerAction::Close]
    }
}

#[test]
fn h10_every_dead_end_is_a_definite_error_with_stage_endpoint_and_what_to_do() {
    let parrot = |text: &'static [u8]| {
        let mut net = net(1);
        net.place_peer(node(0), move || Box::new(Parrot(text)));
        net
    };
    let with = |reachability| {
        let mut net = net(1);
        set_node(&mut net, 0, reachability);
        net
    };
    let mut no_bucket = net(1);
    no_bucket.cluster().drop_bucket("default");
    let seed = "couchbase://10.0.0.1";
    for (net, text, password, stage, words) in [
        (net(1), seed, "wrong", Stage::Auth, "check user name and password"),
        (no_bucket, seed, "password", Stage::Bucket, "create the bucket"),
        (with(Reachability::Refuse), seed, "password", Stage::Tcp, "port"),
        (with(Reachability::Unreachable), seed, "password", Stage::Tcp, "unreachable"),
        (with(Reachability::BlackHole), seed, "password", Stage::Tcp, "firewall"),
        (with(Reachability::Swallow), seed, "password", Stage::Hello, "does not answer"),
        (net(1), "couchbase://nowhere.sim", "password", Stage::Resolve, "check the host names"),
        (parrot(b"HTTP/1.1 400 Bad Request\r\n\r\n"), seed, "password", Stage::Hello, "HTTP"),
        (
            parrot(&[0x15, 3, 1, 0, 2, 2, 70, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            seed,
            "password",
            Stage::Hello,
            "TLS",
        ),
    ] {
        let mut client = Client::with(net, config_as(text, "Administrator", password));
        let op = client.start("k", OpKind::Get);
        let before = client.now();
        let outcome = client.end(op);
        assert!(client.now() - before <= ms(2500));
        let text = error(&outcome).to_string();
        let report = error(&outcome).context().bootstrap.as_ref().expect("a report");
        assert_eq!(report.attempts[0].stage, stage, "{text}");
        assert!(text.contains(words), "{words:?} is not in {text:?}");
        assert!(text.contains(":11210"), "{text}");
        assert!(!text.contains("wrong"), "no password: {text}");
    }
}

#[test]
fn h13_a_node_that_swallows_requests_is_probed_and_its_slots_stay_reserved() {
    let mut client = Client::connected(1);
    client.run_for(secs(6));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::Ignore));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Ignore));
    let writes: Vec<_> = (0..100).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    let read = client.start("k", OpKind::Get);
    client.run_for(ms(2600));
    for op in writes {
        let outcome = client.outcome(op).expect("at the deadline").clone();
        assert_eq!(kind(&outcome), ErrorKind::AmbiguousTimeout);
    }
    assert_eq!(client.outcome(read).map(kind), Some(ErrorKind::UnambiguousTimeout));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 1, "one probe for all");
    assert_eq!(client.engine().operations(), 0);
    client.run_for(secs(60));
    assert_eq!(client.dials(node(0)), 1, "it lives");
}

#[test]
fn h13_a_peer_that_falls_silent_is_given_up_2500_ms_after_the_probe() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.run_for(secs(6));
    let silent = client.world.elapsed();
    client.world.net.set_reachability(node(0), Reachability::Swallow);
    assert_eq!(kind(&client.get("k")), ErrorKind::UnambiguousTimeout);
    client.world.net.set_reachability(node(0), Reachability::Open);
    // What was swallowed never comes; the next request is answered and proves that the node lives.
    assert_eq!(value(&client.get("k")), b"1");
    client.world.net.set_reachability(node(0), Reachability::Swallow);
    assert_eq!(kind(&client.get("k")), ErrorKind::UnambiguousTimeout);
    let probed = client.world.elapsed();
    client.world.run_until(secs(10), |world| world.dialled().count() > 1);
    assert!(client.world.elapsed() - probed <= ms(2510), "{:?}", client.world.elapsed() - silent);
}

#[test]
fn h14_frame_infos_are_read_right_or_the_connection_is_dropped() {
    let with_infos = |infos: &[u8]| {
        let mut client = Client::connected(1);
        client.put("k", b"1");
        client.run_for(secs(6));
        let edit = Edit { framing_extras: Some(infos.to_vec()), ..Edit::default() };
        client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Edit(Box::new(edit))).times(1));
        let outcome = client.get("k");
        (outcome, client.world.dialled().count())
    };
    // An unknown info, one with escaped id and length, and the server's duration.
    let mut several = vec![0x32, 1, 2, 0xff, 5, 10];
    several.extend([9; 25]);
    several.extend([0x02, 0x12, 0x34]);
    let (outcome, dials) = with_infos(&several);
    assert_eq!((value(&outcome), dials), (&b"1"[..], 1));
    for truncated in [&[0x02][..], &[0x02, 1], &[0xff], &[0x0f], &[0x0f, 0, 1]] {
        let (outcome, _) = with_infos(truncated);
        assert_eq!(kind(&outcome), ErrorKind::DecodingFailure, "{truncated:02x?}");
    }
}

#[test]
fn h15_no_bucket_and_unknown_answers() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.run_for(secs(6));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::NO_BUCKET)).times(1));
    assert_eq!(value(&client.get("k")), b"1", "on a new connection");
    assert_eq!(client.dials(node(0)), 2);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status(0x7777))).times(1));
    assert_eq!(kind(&client.get("k")), ErrorKind::ServerError);
    let another = Edit { opcode: Some(0xee), ..Edit::default() };
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Edit(Box::new(another))).times(1));
    assert_eq!(kind(&client.get("k")), ErrorKind::DecodingFailure);
    assert_eq!(value(&client.get("k")), b"1");
}

#[test]
fn h18_the_second_answer_and_one_never_asked_for_are_orphans() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Twice).times(1));
    assert_eq!(value(&client.get("k")), b"1");
    assert_eq!(value(&client.get("k")), b"1");
    assert_eq!(client.orphans.len(), 1);
    assert!(!client.orphans[0].given_up);
    let mut stray = Vec::new();
    settee::wire::Encode::response(Opcode::GET, settee::ids::Opaque(0xdead_beef), Status::SUCCESS)
        .emit(b"", &mut stray)
        .expect("a frame");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Prepend(stray)).times(1));
    assert_eq!(value(&client.get("k")), b"1");
    assert_eq!(client.orphans.len(), 2);
    assert_eq!(client.orphans[1].opaque.0, 0xdead_beef);
    assert_eq!(client.dials(node(0)), 1);
}

#[test]
fn h19_one_byte_a_second_and_half_a_frame_do_not_hold_up_deadlines() {
    // The answer to GET drips.
    let (mut client, _) = alone(
        &plain_map(1),
        on(Opcode::GET, |request| {
            let bytes = request.answer_with(Status::SUCCESS, 0, &[0; 4], &[], b"value");
            (1..).zip(bytes).map(|(second, byte)| PeerAction::SendAfter(secs(second), vec![byte])).collect()
        }),
    );
    client.online();
    let before = client.now();
    assert_eq!(kind(&client.get("k")), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.now() - before, ms(2500));
    client.run_for(ms(10_010));
    assert_eq!(client.dials(node(0)), 2, "no whole frame within 10 s of the probe");
    // It stops in the middle.
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.run_for(secs(6));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Truncate(20)).times(1));
    let before = client.now();
    assert_eq!(kind(&client.get("k")), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.now() - before, ms(2500));
}

#[test]
fn h19_a_stream_that_is_taken_for_one_endless_frame_is_given_up() {
    // A header that announces 32 MiB, and behind it the answers go on: each is taken for a part of the body.
    let mut first = true;
    let (mut client, _) = alone(&plain_map(1), move |request| {
        let endless = request.opcode == Opcode::GET && std::mem::take(&mut first);
        endless.then(|| send(request.header(0, 0, 32 * 1024 * 1024)))
    });
    client.online();
    client.run_for(secs(1));
    let mut lost = 0;
    while client.get("k").is_err() {
        lost += 1;
        assert!(lost < 8, "it never gets better");
    }
    assert!(client.world.elapsed() < secs(20), "{:?}", client.world.elapsed());
}

#[test]
fn h19_a_peer_that_never_reads_is_back_pressure_not_memory() {
    let mut config = config("couchbase://10.0.0.1");
    config.max_operations = 200;
    let mut client = Client::with(net(1), config);
    client.online();
    let now = client.now();
    let big = vec![0; 64 * 1024];
    let mut taken = 0;
    let conn = client.world.dialled().next().expect("a connection").0;
    let full = loop {
        // The world lends nothing: nobody reports `Written`.
        let operation = client.operation(&format!("k{taken}"), upsert(&big));
        match client.engine().submit(operation, now) {
            Ok(_) => taken += 1,
            Err(rejected) => break rejected.why,
        }
    };
    assert_eq!((taken, full), (200, RejectReason::Full));
    let waiting: usize = client.engine().transmit(conn).map(<[u8]>::len).sum();
    assert!(waiting < 2 * 1024 * 1024, "{waiting} bytes are encoded, the rest waits as it was handed in");
    // All end by their deadlines.
    let later = now + secs(3);
    client.engine().handle_timeout(later);
    let mut ended = 0;
    loop {
        match client.engine().poll_output() {
            Output::Event(settee::engine::Event::Completed { .. }) => ended += 1,
            Output::Wait(_) => break,
            _ => {}
        }
    }
    assert_eq!(ended, 200);
    client.engine().handle_input(Input::Written { conn, len: waiting }, later);
    assert_eq!(client.engine().operations(), 0);
}

#[test]
fn h16_accept_and_close_at_once_is_bounded_during_bootstrap_too() {
    struct Slammer(Rc<Cell<usize>>);
    impl Peer for Slammer {
        fn accepted(&mut self, _now: Instant) -> Vec<PeerAction> {
            self.0.set(self.0.get() + 1);
            vec![PeerAction::Close]
        }

        fn receive(&mut self, _bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
            Vec::new()
        }
    }
    let mut net = net(1);
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let address: SocketAddr = "10.0.0.77:11210".parse().expect("an address");
    net.place_peer(address, move || Box::new(Slammer(Rc::clone(&counter))));
    let mut client = Client::new(net, "couchbase://10.0.0.77");
    client.run_for(secs(3600));
    assert!(count.get() < 60 * 20, "{} in an hour", count.get());
    assert!(count.get() > 60 * 10, "it goes on trying");
}
