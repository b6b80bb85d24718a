//! What becomes of requests and answers when a connection ends, or an operation does (`kv-protocol.md` 8.3).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use settee::engine::{Durability, Input, LinkError, OpId, OpKind, Response, RetryStrategy, Store, StoreMode};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Features, NodeId, PeerAction, Reachability, Rule};

use crate::common::{
    Client, Outcome, append, config, error, kind, ms, net, node, secs, store, upsert, value,
};
use crate::script::{ALONE, Request, alone, map_with, place, place_at, plain_map, send, usual};

/// Holds the first three writes back, then answers them in one piece: the first as told, the others well.
fn three_in_one_read(
    first: impl Fn(&Request) -> Vec<u8> + 'static,
    count: Rc<Cell<usize>>,
) -> impl FnMut(&Request) -> Option<Vec<PeerAction>> {
    let mut held: Vec<Request> = Vec::new();
    move |request| {
        if request.opcode != Opcode::SET {
            return None;
        }
        count.set(count.get() + 1);
        if count.get() > 3 {
            return None;
        }
        held.push(request.clone());
        let [a, b, c] = &held[..] else { return Some(Vec::new()) };
        Some(send([first(a), b.answer(Status::SUCCESS, b""), c.answer(Status::SUCCESS, b"")].concat()))
    }
}

/// Three writes at once.
fn three_writes(client: &mut Client) -> [Outcome; 3] {
    let ops = ["a", "b", "c"].map(|key| client.start(key, upsert(b"1")));
    ops.map(|op| client.end(op))
}

const DONE: fn(&Outcome) -> bool = |outcome| matches!(outcome, Ok(Response::Mutation { .. }));

#[test]
fn lost_connection_8_3_answers_behind_one_that_ends_the_connection_count() {
    for (status, first_ends) in
        [(Status::NO_BUCKET, None), (Status::AUTH_STALE, Some(ErrorKind::AuthenticationFailure))]
    {
        let count = Rc::new(Cell::new(0));
        let script = three_in_one_read(move |request| request.answer(status, b""), Rc::clone(&count));
        let (mut client, _) = alone(&plain_map(1), script);
        client.online();
        client.run_for(secs(6));
        let [a, b, c] = three_writes(&mut client);
        assert!(DONE(&b) && DONE(&c), "{status}: {b:?}, {c:?}");
        match first_ends {
            Some(expected) => assert_eq!(kind(&a), expected),
            None => assert!(DONE(&a), "put off until the bucket is back: {a:?}"),
        }
        assert_eq!(count.get(), 3 + usize::from(first_ends.is_none()), "nothing answered is sent again");
        client.run_for(secs(1));
        assert_eq!(client.dials(node(0)), 2);
    }
}

#[test]
fn lost_connection_8_3_answers_behind_a_map_that_drops_the_node_count() {
    let mut net = net(2);
    let moved = map_with(2, r#"{"hostname":"10.0.0.2","services":{"kv":11210}}"#, "[[0],[0],[0],[0]]", "")
        .replace("$HOST", "10.0.0.2");
    let count = Rc::new(Cell::new(0));
    let away = moved.clone();
    let script = three_in_one_read(
        move |request| request.answer(Status::NOT_MY_VBUCKET, away.as_bytes()),
        Rc::clone(&count),
    );
    place(&mut net, &plain_map(1), script);
    let there = Rc::new(Cell::new(0));
    let counter = Rc::clone(&there);
    place_at(&mut net, 1, &moved, move |request| {
        counter.set(counter.get() + usize::from(request.opcode == Opcode::SET));
        None
    });
    let mut client = Client::with(net, config(ALONE));
    client.online();
    let outcomes = three_writes(&mut client);
    assert!(outcomes.iter().all(DONE), "{outcomes:?}");
    assert_eq!((count.get(), there.get()), (3, 1), "only the misrouted one moves on");
    client.run_for(ms(10));
    assert!(client.open_links(node(0)).is_empty(), "drained");
}

#[test]
fn lost_connection_8_3_an_unreadable_answer_behind_one_that_ends_the_connection_is_its_operations_end() {
    let elsewhere =
        map_with(2, r#"{"hostname":"10.0.0.2","services":{"kv":11210}}"#, "[[0],[0],[0],[0]]", "")
            .replace("$HOST", "10.0.0.2");
    for (status, body) in [(Status::AUTH_STALE, String::new()), (Status::NOT_MY_VBUCKET, elsewhere.clone())] {
        let mut net = net(2);
        let mut held: Vec<Request> = Vec::new();
        place(&mut net, &plain_map(1), move |request| {
            if !matches!(request.opcode, Opcode::SET | Opcode::GET) || held.len() == 2 {
                return None;
            }
            held.push(request.clone());
            let [first, second] = &held[..] else { return Some(Vec::new()) };
            Some(send([first.answer(status, body.as_bytes()), second.header(10, 10, 15)].concat()))
        });
        place_at(&mut net, 1, &elsewhere, usual);
        let mut client = Client::with(net, config(ALONE));
        client.online();
        client.run_for(secs(6));
        let first = client.start("a", OpKind::Get);
        let second = client.start("b", upsert(b"1"));
        let before = client.now();
        let outcome = client.end(second);
        assert!(client.now() - before < ms(10), "{status}: {outcome:?} after {:?}", client.now() - before);
        assert_eq!(kind(&outcome), ErrorKind::DecodingFailure, "{status}");
        assert!(error(&outcome).may_have_happened());
        let outcome = client.end(first);
        match status {
            Status::AUTH_STALE => assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure),
            _ => assert_eq!(value(&outcome), b"value", "of the other node"),
        }
    }
}

/// Grants collections too, and answers one write together with one look-up of a collection: with this status, or in
/// a way that cannot be read.
fn write_and_look_up(
    look_up: Option<Status>,
    looked_up: Rc<Cell<usize>>,
) -> impl FnMut(&Request) -> Option<Vec<PeerAction>> {
    let mut held: Option<Vec<u8>> = None;
    let mut is_over = false;
    move |request| match request.opcode {
        Opcode::HELLO => {
            let granted: Vec<u8> = [0x07_u16, 0x08, 0x12].into_iter().flat_map(u16::to_be_bytes).collect();
            Some(send(request.answer(Status::SUCCESS, &granted)))
        }
        Opcode::SET if held.is_none() => {
            held = Some(request.answer(Status::NO_BUCKET, b""));
            Some(Vec::new())
        }
        Opcode::COLLECTIONS_GET_ID => {
            looked_up.set(looked_up.get() + 1);
            let status = if is_over { Some(Status::SUCCESS) } else { look_up };
            let ids = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9];
            let answer = match status {
                Some(Status::SUCCESS) => request.answer_with(Status::SUCCESS, 0, &ids, &[], b""),
                Some(status) => request.answer(status, b""),
                None => request.header(10, 10, 15),
            };
            let before = if is_over { Vec::new() } else { held.clone().unwrap_or_default() };
            is_over = true;
            Some(send([before, answer].concat()))
        }
        _ => None,
    }
}

#[test]
fn lost_connection_8_3_a_collections_id_behind_an_answer_that_ends_the_connection_counts() {
    for (status, expected) in [(Some(Status::SUCCESS), 1), (Some(Status::NO_BUCKET), 2), (None, 2)] {
        let looked_up = Rc::new(Cell::new(0));
        let (mut client, _) = alone(&plain_map(1), write_and_look_up(status, Rc::clone(&looked_up)));
        client.online();
        client.run_for(secs(6));
        let before = client.now();
        let write = client.start("a", upsert(b"1"));
        client.enter("s", "c");
        let other = client.start("b", upsert(b"1"));
        assert!(DONE(&client.end(other)));
        assert!(DONE(&client.end(write)));
        assert_eq!(looked_up.get(), expected, "{status:?}");
        // The pause of a refused bucket, once: the two answers tell of one and the same end.
        assert!(client.now() - before < ms(640), "{status:?}: {:?}", client.now() - before);
        assert_eq!(client.dials(node(0)), 2, "{status:?}");
    }
}

#[test]
fn re_15_a_time_out_after_a_redial_gives_up_nothing_of_the_new_connection() {
    let silent = Rc::new(RefCell::new(Vec::new()));
    let held = Rc::clone(&silent);
    let (mut client, _) = alone(&plain_map(1), move |request| {
        (request.opcode == Opcode::GET).then(|| {
            held.borrow_mut().push(request.clone());
            Vec::new()
        })
    });
    client.online();
    client.run_for(secs(6));
    let mut operation = client.operation("old", OpKind::Get);
    operation.timeout = Some(ms(20));
    let old = client.submit(operation);
    client.run_for(ms(2));
    client.world.net.cut_all(node(0));
    client.run_for(ms(10));
    let new = client.start("new", OpKind::Get);
    client.run_for(ms(2));
    assert_eq!(kind(&client.end(old)), ErrorKind::UnambiguousTimeout);
    let last = silent.borrow().last().expect("it was asked").clone();
    assert_eq!(last.key, b"new");
    let answer = last.answer_with(Status::SUCCESS, 0, &[0; 4], &[], b"of its own");
    let conn = client.world.dialled().last().expect("a connection").0;
    let now = client.now();
    client.engine().handle_input(Input::Received { conn, data: &answer }, now);
    client.world.settle();
    assert_eq!(value(client.outcome(new).expect("answered")), b"of its own");
    assert!(client.orphans.is_empty(), "{:?}", client.orphans);
}

fn durable() -> OpKind {
    OpKind::Store(Store { durability: Durability::Majority, ..store(StoreMode::Upsert, b"1") })
}

/// Submits in one go what ends before it is sent; the owner's table must tell all of it apart.
fn assert_slots_are_told_apart(client: &mut Client, fail_fast: bool, how: &OpKind) -> Vec<Outcome> {
    let mut ops: Vec<OpId> = Vec::new();
    let last = client.cluster().node_count() - 1;
    let key = client.key_on(last);
    for _ in 0..10 {
        let mut operation = client.operation(&key, how.clone());
        if fail_fast {
            operation.retry = RetryStrategy::FailFast;
        }
        ops.push(client.submit(operation));
    }
    let indexes: std::collections::BTreeSet<usize> = ops.iter().map(|op| op.index()).collect();
    assert_eq!(indexes.len(), ops.len(), "{ops:?}");
    let outcomes = ops.iter().map(|&op| client.end(op)).collect();
    // Told of, they may be used again.
    let operation = client.operation("again", OpKind::Get);
    let again = client.submit(operation);
    assert!(indexes.contains(&again.index()), "{again:?}");
    outcomes
}

#[test]
fn an_operations_index_is_its_own_until_its_end_was_polled() {
    let mut net = net(1);
    let without = Features::SUPPORTED.without(Features::SYNC_REPLICATION);
    net.cluster().set_features(NodeId(0), without);
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    let outcomes = assert_slots_are_told_apart(&mut client, false, &durable());
    assert!(outcomes.iter().all(|outcome| kind(outcome) == ErrorKind::FeatureNotAvailable));

    let mut client = Client::connected(2);
    client.run_for(secs(10));
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    client.run_for(ms(10));
    let outcomes = assert_slots_are_told_apart(&mut client, true, &OpKind::Get);
    assert!(outcomes.iter().all(|outcome| kind(outcome) == ErrorKind::RequestCanceled));
}

#[test]
fn p13_a_draining_connection_ends_10_s_after_the_first_map_without_it() {
    let mut client = Client::connected(2);
    client.run_for(secs(1));
    let key = client.key_on(0);
    client.put(&key, b"1");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Ignore).times(1));
    let mut operation = client.operation(&key, OpKind::Get);
    operation.timeout = Some(secs(60));
    let op = client.submit(operation);
    client.run_for(ms(10));
    client.cluster().remove_node(NodeId(0));
    for second in 0..9 {
        client.run_for(secs(1));
        assert_eq!(client.open_links(node(0)).len(), 1, "after {second} s");
        client.cluster().bump_revision("default");
    }
    client.run_for(ms(1500));
    assert!(client.open_links(node(0)).is_empty());
    assert_eq!(value(&client.end(op)), b"1", "asked again of the node that has it");
}

#[test]
fn pauses_of_a_refused_bucket_begin_anew_after_5_s_of_service() {
    let mut net = net(1);
    net.cluster().set_absent("default", NodeId(0), true);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    client.run_for(secs(1));
    client.cluster().set_absent("default", NodeId(0), false);
    client.online();
    client.run_for(secs(10));
    // The bucket goes and comes back a minute later: the pauses have grown up to 10 s.
    client.cluster().set_absent("default", NodeId(0), true);
    client.world.net.cut_all(node(0));
    client.run_for(secs(60));
    client.cluster().set_absent("default", NodeId(0), false);
    client.online();
    client.run_for(secs(24 * 3600));
    let lost = Rule::new(Opcode::GET, Action::Status(Status::NO_BUCKET)).times(1);
    client.cluster().add_rule(NodeId(0), lost);
    client.put("k", b"1");
    let before = client.now();
    assert_eq!(value(&client.get("k")), b"1");
    let took = client.now() - before;
    assert!((ms(370)..ms(640)).contains(&took), "{took:?}");
    // A plain loss soon after: a node that is up is dialled again at once, whatever its bucket did.
    client.run_for(secs(1));
    client.world.net.cut_all(node(0));
    let redial = client.dial_times(Some(node(0)), secs(5));
    let at = client.world.elapsed() - secs(5);
    assert!(redial.len() == 1 && redial[0] - at < ms(300), "{redial:?} from {at:?}");
}

#[test]
fn lost_connection_8_3_what_was_encoded_goes_before_what_waited() {
    let mut client = Client::connect(net(1), "couchbase://10.0.0.1?compression=off");
    client.put("k", b"0");
    client.run_for(secs(10));
    // One that fills what may wait to be written, so that the next stays unencoded.
    let large = OpKind::Store(store(StoreMode::Upsert, &vec![b'1'; 2 << 20]));
    let first = client.start("k", large);
    let second = client.start("k", append(b"2"));
    let conn = client.world.dialled().next().expect("a connection").0;
    let now = client.now();
    client.engine().handle_input(Input::Lost { conn, why: LinkError::Reset }, now);
    assert!(DONE(&client.end(first)));
    assert!(DONE(&client.end(second)));
    let document = client.document("k").expect("written");
    assert_eq!(document.len(), (2 << 20) + 1, "the append came behind");
    assert_eq!(document.last(), Some(&b'2'));
}

#[test]
fn a_window_of_one_still_connects() {
    let mut config = config("couchbase://10.0.0.1");
    config.window = 1;
    let mut client = Client::with(net(1), config);
    client.online();
    let ops: Vec<OpId> = (0..50).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    for op in ops {
        assert!(DONE(&client.end(op)));
    }
    assert_eq!(client.dials(node(0)), 1);
}
