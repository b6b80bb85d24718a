//! Routing, retries, deadlines, lost connections and collections (`kv-protocol.md` 7 and 8).

use std::time::Duration;

use bytes::Bytes;
use settee::engine::{
    Durability, OpKind, Operation, RejectReason, Response, RetryReason, RetryStrategy, Store, StoreMode,
};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Features, NodeId, Reachability, Rule};

use crate::common::{Client, append, config, error, kind, ms, net, node, secs, store, upsert, value};

/// Steps until an operation has ended; how long that took.
fn timed(client: &mut Client, key: &str, kind: OpKind) -> (crate::common::Outcome, Duration) {
    let before = client.now();
    let op = client.start(key, kind);
    let outcome = client.end(op);
    (outcome, client.now() - before)
}

/// When a node was sent requests of one operation, from now on.
fn request_times(client: &mut Client, opcode: Opcode, limit: Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    let (begin, end) = (client.now(), client.now() + limit);
    let mut seen = client.cluster().requests_everywhere(opcode);
    while client.world.step_until(Some(end)) {
        let now = client.now();
        let count = client.cluster().requests_everywhere(opcode);
        times.extend((seen..count).map(|_| now - begin));
        seen = count;
    }
    client.collect();
    times
}

fn pauses(times: &[Duration]) -> Vec<u64> {
    // A round trip takes a millisecond.
    times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() as u64 - 1).collect()
}

#[test]
fn re_1_re_2_one_not_my_vbucket_costs_one_more_round_trip_and_no_pause() {
    // Without pushes the answer is the first that the client hears of the change.
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?enable_clustermap_notification=false");
    let key = client.key_on(0);
    client.put(&key, b"1");
    client.run_for(secs(1));
    let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
    client.cluster().set_active("default", vbucket, NodeId(1));
    for how in [OpKind::Get, upsert(b"2")] {
        let (outcome, took) = timed(&mut client, &key, how);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(took <= ms(2), "{took:?}");
    }
    assert_eq!(client.document(&key).as_deref(), Some(&b"2"[..]));
}

#[test]
fn re_1_a_request_that_keeps_meeting_it_times_out_with_the_reason() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::Status(Status::NOT_MY_VBUCKET)));
    let (outcome, took) = timed(&mut client, "k", upsert(b"1"));
    assert_eq!((kind(&outcome), took), (ErrorKind::UnambiguousTimeout, ms(2500)));
    let context = error(&outcome).context();
    assert_eq!(context.retry_reasons, [RetryReason::KvNotMyVbucket]);
    assert!(!context.may_have_happened);
}

#[test]
fn pauses_of_8_2_for_not_my_vbucket_are_1_10_50_100_500_1000_ms() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::NOT_MY_VBUCKET)));
    let mut operation = client.operation("k", OpKind::Get);
    operation.timeout = Some(secs(5));
    client.submit(operation);
    let times = request_times(&mut client, Opcode::GET, secs(5));
    assert_eq!(pauses(&times), [1, 10, 50, 100, 500, 1000, 1000, 1000, 1000]);
}

#[test]
fn pauses_of_8_2_for_best_effort_double_from_1_to_500_ms() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::ETMPFAIL)));
    let mut operation = client.operation("k", OpKind::Get);
    operation.timeout = Some(secs(3));
    client.submit(operation);
    let times = request_times(&mut client, Opcode::GET, secs(3));
    assert_eq!(pauses(&times), [1, 2, 4, 8, 16, 32, 64, 128, 256, 500, 500, 500, 500]);
}

#[test]
fn pauses_of_8_2_fail_fast_does_not_retry_but_what_is_always_retried() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::ETMPFAIL)).times(1));
    let mut operation = client.operation("k", OpKind::Get);
    operation.retry = RetryStrategy::FailFast;
    let op = client.submit(operation.clone());
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::TemporaryFailure);
    assert_eq!(error(&outcome).context().retries, 0);
    client.put("k", b"1");
    let moved = Rule::new(Opcode::GET, Action::Status(Status::NOT_MY_VBUCKET)).times(2);
    client.cluster().add_rule(NodeId(0), moved);
    let op = client.submit(operation);
    assert_eq!(value(&client.end(op)), b"1");
}

#[test]
fn re_3_an_empty_body_obliges_to_fetch_the_map() {
    let mut client = Client::connected(2);
    client.run_for(secs(1));
    let key = client.key_on(0);
    client.put(&key, b"1");
    let fetches =
        |client: &mut Client, index| client.cluster().requests(NodeId(index), Opcode::GET_CLUSTER_CONFIG);
    let before = [fetches(&mut client, 0), fetches(&mut client, 1)];
    let rule = Rule::new(Opcode::GET, Action::Status(Status::NOT_MY_VBUCKET)).times(1);
    client.cluster().add_rule(NodeId(0), rule);
    let (outcome, took) = timed(&mut client, &key, OpKind::Get);
    assert_eq!(value(&outcome), b"1");
    assert!(took <= ms(3), "{took:?}");
    let after = [fetches(&mut client, 0), fetches(&mut client, 1)];
    assert_eq!(after, [before[0] + 1, before[1]], "the node that answered is asked");
}

#[test]
fn re_6_config_only_is_retried_after_a_fetch() {
    let mut client = Client::connected(2);
    let key = client.key_on(0);
    client.put(&key, b"1");
    client.run_for(secs(1));
    let fetches = client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG);
    client.cluster().set_config_only("default", NodeId(0), true);
    let op = client.start(&key, OpKind::Get);
    client.run_for(ms(500));
    assert_eq!(client.outcome(op), None);
    assert!(client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG) > fetches);
    client.cluster().set_config_only("default", NodeId(0), false);
    assert_eq!(value(&client.end(op)), b"1");
    assert_eq!(client.dials(node(0)), 1, "the connection survives");
}

#[test]
fn re_12_re_13_which_time_outs_are_ambiguous() {
    // An answer that never comes, and what was refused before the deadline.
    for (opcode, action, how, expected) in [
        (Opcode::SET, Action::DropAnswer, upsert(b"1"), ErrorKind::AmbiguousTimeout),
        (Opcode::SET, Action::Ignore, upsert(b"1"), ErrorKind::AmbiguousTimeout),
        (Opcode::GET, Action::Ignore, OpKind::Get, ErrorKind::UnambiguousTimeout),
        (Opcode::SET, Action::Status(Status::ETMPFAIL), upsert(b"1"), ErrorKind::UnambiguousTimeout),
        (Opcode::SET, Action::Status(Status::LOCKED), upsert(b"1"), ErrorKind::UnambiguousTimeout),
        (
            Opcode::SET,
            Action::Status(Status::SYNC_WRITE_AMBIGUOUS),
            upsert(b"1"),
            ErrorKind::DurabilityAmbiguous,
        ),
    ] {
        let mut client = Client::connected(1);
        client.cluster().add_rule(NodeId(0), Rule::new(opcode, action.clone()));
        let (outcome, took) = timed(&mut client, "k", how);
        assert_eq!(kind(&outcome), expected, "{action:?}");
        let ambiguous = matches!(expected, ErrorKind::AmbiguousTimeout | ErrorKind::DurabilityAmbiguous);
        assert_eq!(error(&outcome).may_have_happened(), ambiguous, "{action:?}");
        if expected != ErrorKind::DurabilityAmbiguous {
            assert_eq!(took, ms(2500));
        }
    }
    // Never sent at all.
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    assert_eq!(kind(&client.set("k", "1")), ErrorKind::UnambiguousTimeout);
}

#[test]
fn re_13_a_refusal_then_an_attempt_without_answer_is_ambiguous_again() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::Status(Status::ETMPFAIL)).times(3));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::DropAnswer));
    let outcome = client.set("k", "1");
    assert_eq!(kind(&outcome), ErrorKind::AmbiguousTimeout);
    assert_eq!(error(&outcome).context().retries, 3);
    assert_eq!(error(&outcome).context().retry_reasons, [RetryReason::KvTemporaryFailure]);
}

#[test]
fn re_15_fr_13_a_late_answer_meets_nobody_elses_request() {
    let mut client = Client::connected(1);
    client.put("slow", b"slow");
    client.put("quick", b"quick");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Delay(secs(1))).times(1));
    let mut operation = client.operation("slow", OpKind::Get);
    operation.timeout = Some(ms(100));
    let op = client.submit(operation);
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    for _ in 0..100 {
        assert_eq!(value(&client.get("quick")), b"quick");
    }
    client.run_for(secs(2));
    assert_eq!(client.orphans.len(), 1);
    assert!(client.orphans[0].given_up);
    assert_eq!(Some(client.orphans[0].opaque), error(&outcome).context().opaque);
    assert_eq!(client.dials(node(0)), 1, "it is no reason to give the connection up");
}

#[test]
fn re_15_a_queued_request_that_is_cancelled_is_never_sent() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let op = client.start("k", upsert(b"1"));
    client.run_for(ms(100));
    let now = client.now();
    client.engine().cancel(op, now);
    client.world.net.set_reachability(node(0), Reachability::Open);
    client.online();
    client.run_for(secs(5));
    assert_eq!(client.cluster().requests_everywhere(Opcode::SET), 0);
}

#[test]
fn re_16_the_time_out_covers_map_collection_and_pauses() {
    // A map that never comes.
    let mut net = net(1);
    net.cluster().pause_node(NodeId(0));
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let mut operation = client.operation("k", OpKind::Get);
    operation.timeout = Some(ms(37));
    let before = client.now();
    let op = client.submit(operation);
    let outcome = client.end(op);
    assert_eq!((kind(&outcome), client.now() - before), (ErrorKind::UnambiguousTimeout, ms(37)));
    // A collection that is never found out.
    let mut client = Client::connected(1);
    client.enter("s", "c");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::COLLECTIONS_GET_ID, Action::Ignore));
    let (outcome, took) = timed(&mut client, "k", OpKind::Get);
    assert_eq!((kind(&outcome), took), (ErrorKind::UnambiguousTimeout, ms(2500)));
    // A pause beyond the deadline is cut short.
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::ETMPFAIL)));
    let mut operation = client.operation("k", OpKind::Get);
    operation.timeout = Some(ms(600));
    let before = client.now();
    let op = client.submit(operation);
    let outcome = client.end(op);
    assert_eq!((kind(&outcome), client.now() - before), (ErrorKind::UnambiguousTimeout, ms(600)));
}

#[test]
fn what_waits_unencoded_goes_to_its_new_node_when_the_map_changes() {
    let mut client = Client::connected(2);
    client.run_for(secs(10));
    let key = client.key_on(1);
    client.put(&key, b"1");
    client.cluster().kill_node(NodeId(1));
    client.run_for(ms(20));
    let op = client.start(&key, OpKind::Get);
    client.run_for(ms(20));
    assert_eq!(client.outcome(op), None);
    client.cluster().fail_over(NodeId(1));
    let before = client.now();
    assert_eq!(value(&client.end(op)), b"1");
    assert!(client.now() - before < ms(10), "{:?}", client.now() - before);
}

/// A client with one written request whose answer the node holds back.
fn with_one_in_flight(how: OpKind) -> (Client, settee::engine::OpId) {
    let mut client = Client::connected(1);
    client.run_for(secs(10));
    client.put("k", b"1");
    for opcode in [Opcode::GET, Opcode::SET, Opcode::APPEND] {
        client.cluster().add_rule(NodeId(0), Rule::new(opcode, Action::DropAnswer).times(1));
    }
    let op = client.start("k", how);
    client.run_for(ms(2));
    assert_eq!(client.outcome(op), None);
    (client, op)
}

#[test]
fn lost_connection_8_3_written_and_idempotent_is_sent_again() {
    let (mut client, op) = with_one_in_flight(OpKind::Get);
    client.world.net.cut_all(node(0));
    assert_eq!(value(&client.end(op)), b"1");
    assert_eq!(client.cluster().requests_everywhere(Opcode::GET), 2);
}

#[test]
fn lost_connection_8_3_written_and_not_idempotent_is_never_sent_again() {
    for how in [upsert(b"2"), append(b"2")] {
        let (mut client, op) = with_one_in_flight(how);
        client.world.net.cut_all(node(0));
        let before = client.now();
        let outcome = client.end(op);
        assert_eq!((kind(&outcome), client.now()), (ErrorKind::RequestCanceled, before), "at once");
        assert!(error(&outcome).may_have_happened());
        client.run_for(secs(5));
        let sent = client.cluster().requests_everywhere(Opcode::SET)
            + client.cluster().requests_everywhere(Opcode::APPEND);
        assert_eq!(sent, 1);
    }
}

#[test]
fn lost_connection_8_3_queued_moves_on() {
    let mut client = Client::connected(1);
    client.run_for(secs(10));
    client.world.net.cut_all(node(0));
    client.run_for(Duration::from_micros(1));
    let (outcome, took) = timed(&mut client, "k", append(b"1"));
    assert_eq!(kind(&outcome), ErrorKind::DocumentNotFound, "it was sent, once");
    assert!(took < ms(50));
    assert_eq!(client.cluster().requests_everywhere(Opcode::APPEND), 1);
}

#[test]
fn lost_connection_8_3_nothing_written_may_go_again_partly_written_may_not() {
    // With writes of one byte the first append is written in part when the connection ends, the second not at all.
    let mut client = Client::connected(1);
    client.put("k", b"0");
    client.run_for(secs(10));
    client.world.max_write = 1;
    let first = client.start("k", append(b"1"));
    let second = client.start("k", append(b"2"));
    let now = client.now();
    let mut written = 0;
    while written < 5 {
        match client.engine().poll_output() {
            settee::engine::Output::Transmit(conn) => {
                client.engine().handle_input(settee::engine::Input::Written { conn, len: 1 }, now);
                written += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let conn = client.world.dialled().next().expect("a connection").0;
    let lost = settee::engine::Input::Lost { conn, why: settee::engine::LinkError::Reset };
    client.engine().handle_input(lost, now);
    client.world.max_write = 0;
    let outcome = client.end(first);
    assert_eq!(kind(&outcome), ErrorKind::RequestCanceled);
    assert!(error(&outcome).may_have_happened());
    assert!(client.end(second).is_ok());
    assert_eq!(client.document("k").as_deref(), Some(&b"02"[..]));
}

#[test]
fn lost_connection_8_3_an_answer_that_came_whole_counts() {
    let mut client = Client::connected(1);
    client.run_for(secs(10));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::CloseAfterAnswer).times(1));
    assert!(client.set("k", "1").is_ok());
}

#[test]
fn fail_fast_does_not_wait_for_a_node_that_is_down() {
    let mut client = Client::connected(2);
    client.run_for(secs(10));
    let key = client.key_on(1);
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    client.run_for(ms(10));
    let mut operation = client.operation(&key, OpKind::Get);
    operation.retry = RetryStrategy::FailFast;
    let before = client.now();
    let op = client.submit(operation);
    let outcome = client.end(op);
    assert_eq!(client.now(), before);
    assert_eq!(error(&outcome).context().retry_reasons, [RetryReason::SocketNotAvailable]);
}

fn refused(client: &mut Client, operation: Operation) -> ErrorKind {
    let now = client.now();
    let rejected = client.engine().submit(operation.clone(), now).expect_err("it could never succeed");
    assert_eq!(rejected.operation.key, operation.key, "given back whole");
    match rejected.why {
        RejectReason::Invalid(error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_of_keys_and_values_are_checked_before_anything_is_sent() {
    let mut client = Client::connected(1);
    client.cluster().add_collection("default", "s", "c");
    let sent = client.world.net.bytes_sent(settee_sim::LinkId(0));
    for (named, max) in [(false, 250), (true, 246)] {
        if named {
            client.enter("s", "c");
        }
        let invalid = client.operation("", OpKind::Get);
        assert_eq!(refused(&mut client, invalid), ErrorKind::InvalidArgument);
        let long = client.operation(&"k".repeat(max + 1), OpKind::Get);
        assert_eq!(refused(&mut client, long), ErrorKind::InvalidArgument);
        assert_eq!(client.world.net.bytes_sent(settee_sim::LinkId(0)), sent, "nothing is sent");
    }
    assert!(client.set(&"k".repeat(246), "1").is_ok());
    let mut client = Client::connected(1);
    assert!(client.set(&"k".repeat(250), "1").is_ok());
    let large = Bytes::from(vec![0; 30 * 1024 * 1024]);
    let kind = OpKind::Store(Store { value: large, ..store(StoreMode::Upsert, b"") });
    let operation = client.operation("k", kind);
    assert_eq!(refused(&mut client, operation), ErrorKind::ValueTooLarge);
}

#[test]
fn h20_what_cannot_be_encoded_in_the_middle_of_a_burst_leaves_the_stream_in_step() {
    let mut client = Client::connected(1);
    let mut ops = Vec::new();
    for number in 0..20 {
        ops.push(client.start(&format!("k{number}"), upsert(b"1")));
        let long = client.operation(&"k".repeat(251), upsert(b"1"));
        assert_eq!(refused(&mut client, long), ErrorKind::InvalidArgument);
    }
    for op in ops {
        assert!(client.end(op).is_ok());
    }
    assert_eq!(client.dials(node(0)), 1);
}

#[test]
fn keep_alive_8_6_after_30_s_of_silence() {
    // Only the keep-alive can be heard: the map is not polled.
    let silent = config("couchbase://10.0.0.1?config_poll_interval=0");
    let mut client = Client::with(net(1), silent);
    client.online();
    client.run_for(secs(29));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 0);
    client.run_for(secs(2));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 1);
    client.run_for(secs(60));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 3);
    assert_eq!(client.dials(node(0)), 1);
}

#[test]
fn keep_alive_8_6_silence_for_2500_ms_after_it_ends_the_connection() {
    let mut client = Client::with(net(1), config("couchbase://10.0.0.1?config_poll_interval=0"));
    client.online();
    client.run_for(secs(1));
    let last_heard = client.world.elapsed() - secs(1);
    client.world.net.set_reachability(node(0), Reachability::Swallow);
    client.world.run_until(secs(60), |world| world.dialled().count() > 1);
    let redial = client.world.elapsed() - last_heard;
    assert!((ms(32_499)..ms(32_510)).contains(&redial), "{redial:?}");
}

#[test]
fn keep_alive_8_6_any_frame_is_a_sign_of_life() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    client.run_for(secs(1));
    // The keep-alive is never answered, since it waits behind a slow operation; other answers come.
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::NOOP, Action::DropAnswer));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::Ignore).times(1));
    let mut operation = client.operation("k", upsert(b"2"));
    operation.timeout = Some(ms(100));
    let op = client.submit(operation);
    assert_eq!(kind(&client.end(op)), ErrorKind::AmbiguousTimeout);
    client.run_for(ms(5));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 1, "H13: it has to show that it lives");
    for _ in 0..50 {
        client.run_for(ms(100));
        assert_eq!(value(&client.get("k")), b"1");
    }
    assert_eq!(client.dials(node(0)), 1);
}

#[test]
fn mi_8_the_wire_time_out_is_nine_tenths_of_the_time_left() {
    for (timeout, expected) in
        [(None, 9000), (Some(ms(2500)), 2250), (Some(ms(10)), 1500), (Some(secs(600)), 65_534)]
    {
        let mut client = Client::connected(2);
        let how = OpKind::Store(Store { durability: Durability::Majority, ..store(StoreMode::Upsert, b"1") });
        let mut operation = client.operation("k", how);
        operation.timeout = timeout;
        client.submit(operation);
        let conn = loop {
            match client.engine().poll_output() {
                settee::engine::Output::Transmit(conn) => break conn,
                settee::engine::Output::Wait(_) => panic!("nothing is sent"),
                _ => {}
            }
        };
        let bytes: Vec<u8> = client.engine().transmit(conn).flatten().copied().collect();
        // Flexible layout: the framing extras are the first thing behind the header.
        let (frame, _) = settee::wire::Frame::parse(&bytes, 1000).expect("a frame").expect("all of it");
        let [0x13, 1, high, low] = *frame.framing_extras else { panic!("{:02x?}", frame.framing_extras) };
        assert_eq!(u16::from_be_bytes([high, low]), expected);
    }
}

#[test]
fn mi_8_without_sync_replication_a_durable_write_is_refused_before_it_is_sent() {
    let mut net = net(1);
    let without =
        Features::of(&[Features::SELECT_BUCKET, Features::XERROR, Features::JSON, Features::ALT_REQUEST]);
    net.cluster().set_features(NodeId(0), without);
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    let how = OpKind::Store(Store { durability: Durability::Majority, ..store(StoreMode::Upsert, b"1") });
    let op = client.start("k", how);
    assert_eq!(kind(&client.end(op)), ErrorKind::FeatureNotAvailable);
    assert_eq!(client.cluster().requests_everywhere(Opcode::SET), 0);
}

// Collections.

fn with_collection() -> Client {
    let mut client = Client::connected(1);
    client.cluster().add_collection("default", "inventory", "hotel").expect("a bucket");
    client.run_for(ms(200));
    client.enter("inventory", "hotel");
    client
}

#[test]
fn co_1_one_look_up_serves_everybody() {
    let mut client = with_collection();
    let ops: Vec<_> = (0..200).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    for op in ops {
        assert!(client.end(op).is_ok());
    }
    assert!(client.set("later", "1").is_ok());
    assert_eq!(client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID), 1);
    let found = client.cluster().document("default", "inventory", "hotel", b"later");
    assert_eq!(found.as_deref(), Some(&b"1"[..]));
    assert_eq!(client.document("later"), None, "not in the default collection");
}

#[test]
fn co_2_after_a_bucket_was_created_anew_ids_are_looked_up_again() {
    let mut client = with_collection();
    assert!(client.set("k", "1").is_ok());
    client.cluster().drop_bucket("default");
    client.cluster().add_bucket("default");
    client.cluster().add_collection("default", "other", "thing");
    client.cluster().add_collection("default", "inventory", "hotel");
    client.run_for(secs(1));
    assert!(client.set("k", "2").is_ok());
    let found = client.cluster().document("default", "inventory", "hotel", b"k");
    assert_eq!(found.as_deref(), Some(&b"2"[..]));
}

#[test]
fn co_4_unknown_collection_is_retried_until_the_deadline_and_is_its_cause() {
    let mut client = Client::connected(1);
    client.enter("_default", "nowhere");
    let (outcome, took) = timed(&mut client, "k", upsert(b"1"));
    assert_eq!((kind(&outcome), took), (ErrorKind::UnambiguousTimeout, ms(2500)));
    let context = error(&outcome).context();
    assert_eq!(context.cause, Some(ErrorKind::CollectionNotFound));
    assert_eq!(context.retry_reasons, [RetryReason::KvCollectionOutdated]);
    assert_eq!((&context.scope[..], &context.collection[..]), ("_default", "nowhere"));
}

#[test]
fn co_5_a_collection_that_appears_later_is_found() {
    let mut client = Client::connected(1);
    client.enter("inventory", "hotel");
    let op = client.start("k", upsert(b"1"));
    client.run_for(ms(300));
    client.cluster().add_collection("default", "inventory", "hotel");
    assert!(client.end(op).is_ok());
    assert!(client.world.elapsed() < ms(900), "{:?}", client.world.elapsed());
}

#[test]
fn co_5_look_ups_pause_as_always_retried_reasons_do() {
    let mut client = Client::connected(1);
    client.enter("inventory", "hotel");
    client.start("k", upsert(b"1"));
    let times = request_times(&mut client, Opcode::COLLECTIONS_GET_ID, secs(2));
    assert_eq!(pauses(&times), [1, 10, 50, 100, 500, 1000]);
}

#[test]
fn co_6_many_outdated_ids_cause_one_look_up_at_a_time() {
    let mut client = with_collection();
    assert!(client.set("k", "1").is_ok());
    client.cluster().drop_collection("default", "inventory", "hotel");
    client.cluster().add_collection("default", "inventory", "hotel");
    let before = client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID);
    let ops: Vec<_> = (0..200).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    for op in ops {
        assert!(client.end(op).is_ok());
    }
    assert_eq!(client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID), before + 1);
}

#[test]
fn co_6_h11_200_operations_on_an_unknown_collection_ask_once_a_round() {
    let mut client = Client::connected(1);
    client.enter("inventory", "hotel");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::COLLECTIONS_GET_ID, Action::Delay(ms(15))));
    let ops: Vec<_> = (0..200).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    client.run_for(secs(3));
    for op in ops {
        let outcome = client.outcome(op).expect("all end by their deadline").clone();
        assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    }
    let asked = client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID);
    assert!(asked <= 8, "{asked}");
    client.cluster().clear_rules();
    client.cluster().add_collection("default", "inventory", "hotel");
    assert!(client.set("k", "1").is_ok(), "later ones work");
}

#[test]
fn table_of_7_3_a_node_behind_the_ids_manifest_is_waited_for() {
    let mut client = with_collection();
    assert!(client.set("k", "1").is_ok());
    let looked_up = client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID);
    let behind = br#"{"manifest_uid":"0"}"#.to_vec();
    let action = Action::StatusWithBody(Status::UNKNOWN_COLLECTION, 1, behind);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, action).times(2));
    assert!(client.set("k", "2").is_ok());
    assert_eq!(client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID), looked_up, "the id is kept");
    let ahead = br#"{"manifest_uid":"ffff"}"#.to_vec();
    let action = Action::StatusWithBody(Status::UNKNOWN_COLLECTION, 1, ahead);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, action).times(1));
    assert!(client.set("k", "3").is_ok());
    assert_eq!(client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID), looked_up + 1);
}

#[test]
fn co_7_the_default_collection_has_no_id_to_look_up() {
    let mut client = Client::connected(1);
    let action = Action::Status(Status::UNKNOWN_COLLECTION);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, action).times(3));
    client.put("k", b"1");
    assert_eq!(value(&client.get("k")), b"1");
    assert_eq!(client.cluster().requests_everywhere(Opcode::COLLECTIONS_GET_ID), 0);
}

#[test]
fn co_8_scope_and_collection_are_told_apart() {
    let mut client = Client::connected(1);
    client.enter("nowhere", "hotel");
    let outcome = client.set("k", "1");
    assert_eq!(error(&outcome).context().cause, Some(ErrorKind::ScopeNotFound));
    client.cluster().add_collection("default", "somewhere", "else");
    client.enter("somewhere", "hotel");
    let outcome = client.set("k", "1");
    assert_eq!(error(&outcome).context().cause, Some(ErrorKind::CollectionNotFound));
}

#[test]
fn a_look_up_that_goes_down_with_its_connection_is_asked_again() {
    let mut client = with_collection();
    client.run_for(secs(10));
    client
        .cluster()
        .add_rule(NodeId(0), Rule::new(Opcode::COLLECTIONS_GET_ID, Action::CloseWithoutAnswer).times(1));
    assert_eq!(client.set("k", "1").map(|response| matches!(response, Response::Mutation { .. })), Ok(true));
}
