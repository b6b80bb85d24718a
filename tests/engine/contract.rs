//! The contract of the engine's surface (`DESIGN.md` 2).

use bytes::Bytes;
use settee::engine::{
    ConnId, Engine, Input, LinkError, OpId, OpKind, Operation, Output, RejectReason, WakeReason,
};
use settee::error::ErrorKind;
use settee::wire::Opcode;
use settee_sim::{Action, Machine, Net, NetSettings, Rule, World};

use crate::common::{Client, config, kind, ms, net, node, secs, small, start, upsert, value};

/// Some traffic with trouble in it.
fn busy(client: &mut Client) -> Vec<OpId> {
    let mut ops = Vec::new();
    for round in 0..6 {
        for number in 0..20 {
            ops.push(client.start(&format!("k{number}"), upsert(format!("v{round}").as_bytes())));
            ops.push(client.start(&format!("k{}", number + round), OpKind::Get));
        }
        match round {
            1 => client.world.net.cut_all(node(0)),
            2 => client.cluster().rebalance(),
            3 => {
                client.cluster().add_rule_everywhere(&Rule::new(Opcode::GET, Action::Delay(ms(20))).times(5));
            }
            _ => {}
        }
        client.run_for(ms(3));
    }
    ops
}

#[test]
fn every_operation_ends_exactly_once() {
    let mut client = Client::new(net(3), "couchbase://10.0.0.1,10.0.0.2");
    let ops = busy(&mut client);
    client.run_for(secs(20));
    for op in ops {
        assert!(client.outcome(op).is_some(), "{op:?}");
    }
    assert_eq!(client.engine().operations(), 0);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs_byte_for_byte() {
    let run = |seed: [u8; 32]| {
        let mut settings = NetSettings::default();
        settings.jitter = ms(1);
        settings.max_segment = 700;
        let net = Net::new(3, small(), settings, start());
        let mut client = Client::seeded(net, config("couchbase://10.0.0.1,10.0.0.2,10.0.0.3"), seed);
        client.world.record();
        busy(&mut client);
        client.run_for(secs(5));
        client.world.transcript().to_vec()
    };
    let (first, second, third) = (run([1; 32]), run([1; 32]), run([2; 32]));
    assert!(first.len() > 300, "{}", first.len());
    assert_eq!(first, second);
    assert_ne!(first, third, "nonces and order of seeds come from the seed");
}

#[test]
fn wait_is_in_the_future_and_wakes_for_a_reason() {
    // `World::settle` checks every wait of every test here; this looks at the reasons.
    let mut client = Client::new(net(1), "couchbase://10.0.0.1");
    client.world.settle();
    assert_eq!(client.engine().wake_reason(), WakeReason::Bootstrap, "the manager's turn (BOOT-17)");
    let mut client = Client::new(net(1), "couchbase://10.0.0.1?bootstrap_on=cccp");
    client.world.settle();
    assert_eq!(client.engine().wake_reason(), WakeReason::Connection);
    client.online();
    client.world.net.cluster().add_rule_everywhere(&Rule::new(Opcode::GET, Action::Ignore));
    client.start("k", OpKind::Get);
    client.world.settle();
    assert_eq!(client.engine().wake_reason(), WakeReason::Deadline);
    assert_eq!(client.world.waits_until(), Some(client.now() + ms(2500)));
}

#[test]
fn an_idle_engine_sleeps() {
    let mut client = Client::connected(3);
    client.run_for(secs(5));
    client.world.record();
    let before = client.world.transcript().len();
    client.run_for(secs(300));
    let steps = client.world.transcript().len() - before;
    // A poll of the map each 10 s and a keep-alive each 30 s and node, a few lines each; no more.
    assert!(
        steps < 600,
        "{steps} in 300 s: {:#?}",
        client.world.transcript().iter().take(60).collect::<Vec<_>>()
    );
}

#[test]
fn time_running_backwards_is_harmless() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    let past = client.now() - ms(1);
    client.engine().handle_timeout(past);
    let key = Bytes::from_static(b"k");
    let operation = Operation::new(client.collection(), key, OpKind::Get);
    let op = client.engine().submit(operation, past).expect("there is room");
    client.engine().handle_timeout(past);
    let outcome = client.end(op);
    assert_eq!(value(&outcome), b"1");
}

#[test]
fn inputs_for_past_and_unknown_connections_are_ignored() {
    let mut client = Client::connected(2);
    let old: Vec<ConnId> = client.world.dialled().map(|(conn, ..)| conn).collect();
    client.world.net.cut_all(node(0));
    client.run_for(secs(1));
    let fresh: Vec<ConnId> = client.world.dialled().map(|(conn, ..)| conn).collect();
    assert!(fresh.len() > old.len(), "the connection was dialled again");
    let open = client.open_links(node(0)).len() + client.open_links(node(1)).len();
    // Of those dialled first the one that was cut is past. An engine that knows no connection at all gets all.
    let now = client.now();
    let cut = *old.first().expect("it dialled");
    let mut stranger = Engine::new(config("couchbase://10.0.0.1"), [1; 32], now);
    let at_cut = |engine: &mut Engine, conn: ConnId| {
        engine.handle_input(Input::Connected { conn, local: None }, now);
        engine.handle_input(Input::Received { conn, data: &[0xff; 100] }, now);
        engine.handle_input(Input::Written { conn, len: usize::MAX }, now);
        engine.handle_input(Input::Lost { conn, why: LinkError::Reset }, now);
    };
    for &conn in &old {
        at_cut(&mut stranger, conn);
    }
    at_cut(client.engine(), cut);
    client.run_for(secs(1));
    assert_eq!(client.open_links(node(0)).len() + client.open_links(node(1)).len(), open);
    assert_eq!(client.world.dialled().count(), fresh.len(), "nobody was dialled again");
    client.put("k", b"1");
    assert_eq!(value(&client.get("k")), b"1");
}

#[test]
fn partial_writes_of_every_size_keep_the_stream_in_step() {
    for size in [1, 2, 3, 7, 23, 24, 25, 100, 4096] {
        let mut client = Client::new(net(2), "couchbase://10.0.0.1");
        client.world.max_write = size;
        let long = vec![b'x'; 9000];
        let ops: Vec<OpId> = (0..8)
            .flat_map(|number| {
                let key = format!("k{number}");
                [client.start(&key, upsert(&long)), client.start(&key, OpKind::Get)]
            })
            .collect();
        for op in ops {
            let outcome = client.end(op);
            assert!(outcome.is_ok(), "writes of {size}: {outcome:?}");
        }
        assert_eq!(client.document("k3").as_deref(), Some(&long[..]), "writes of {size}");
    }
}

/// Lends the bytes of a connection twice before it tells that they are written.
struct Twice(Engine);

impl Machine for Twice {
    fn handle_input(&mut self, input: Input<'_>, now: std::time::Instant) {
        if let Input::Written { conn, .. } = &input {
            let lent: Vec<Vec<u8>> = self.0.transmit(*conn).map(<[u8]>::to_vec).collect();
            let again: Vec<Vec<u8>> = self.0.transmit(*conn).map(<[u8]>::to_vec).collect();
            assert_eq!(lent, again, "they stay until they are written");
        }
        self.0.handle_input(input, now);
    }

    fn handle_timeout(&mut self, now: std::time::Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Output {
        self.0.poll_output()
    }

    fn transmit(&self, conn: ConnId, out: &mut Vec<u8>) {
        Machine::transmit(&self.0, conn, out);
    }
}

#[test]
fn bytes_stay_until_they_are_written() {
    let net = net(1);
    let now = net.now();
    let mut engine = Engine::new(config("couchbase://10.0.0.1/default"), [3; 32], now);
    let bucket = engine.open_bucket("default", now);
    let collection = engine.collection(bucket, "_default", "_default");
    let mut world = World::new(net, Twice(engine));
    world.max_write = 10;
    let key = Bytes::from_static(b"k");
    world.client.0.submit(Operation::new(collection, key, upsert(b"1")), now).expect("there is room");
    world.run_for(secs(1));
    assert_eq!(
        world.net.cluster().document("default", "_default", "_default", b"k").as_deref(),
        Some(&b"1"[..])
    );
}

#[test]
fn batching_and_single_stepping_end_in_the_same_state() {
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let mut together = Client::connected(3);
    let ops: Vec<OpId> = keys.iter().map(|key| together.start(key, upsert(key.as_bytes()))).collect();
    for op in ops {
        assert!(together.end(op).is_ok());
    }
    let mut apart = Client::connected(3);
    for key in &keys {
        assert!(apart.set(key, key).is_ok());
    }
    for key in &keys {
        assert_eq!(together.document(key).as_deref(), Some(key.as_bytes()));
        assert_eq!(apart.document(key).as_deref(), Some(key.as_bytes()));
    }
    assert_eq!(together.engine().operations(), 0);
    let sent = |client: &Client| -> u64 {
        client.world.dialled().map(|(_, link, _)| client.world.net.bytes_sent(link)).sum()
    };
    assert_eq!(sent(&together), sent(&apart), "not a byte more or less");
}

#[test]
fn back_pressure_gives_the_operation_back_and_tells_when_there_is_room() {
    let mut config = config("couchbase://10.0.0.1");
    config.max_operations = 8;
    let mut client = Client::with(net(1), config);
    client.online();
    let ops: Vec<OpId> = (0..8).map(|number| client.start(&format!("k{number}"), upsert(b"1"))).collect();
    let now = client.now();
    let operation = client.operation("one too many", upsert(b"2"));
    let rejected = client.engine().submit(operation, now).expect_err("it is full");
    assert_eq!(rejected.why, RejectReason::Full);
    assert_eq!(&rejected.operation.key[..], b"one too many");
    assert_eq!(rejected.operation.kind, upsert(b"2"), "given back whole");
    client.collect();
    assert_eq!(client.writable, 0);
    for op in ops {
        assert!(client.end(op).is_ok());
    }
    client.run_for(ms(1));
    assert_eq!(client.writable, 1, "once");
    assert!(client.set("one too many", "2").is_ok());
}

#[test]
fn shut_down_ends_everything_and_tells_once() {
    let mut client = Client::connected(2);
    client.cluster().add_rule_everywhere(&Rule::new(Opcode::SET, Action::Ignore));
    let write = client.start("k", upsert(b"1"));
    client.run_for(ms(10));
    let read = client.start("k", OpKind::Get);
    let now = client.now();
    client.engine().shut_down(ms(100), now);
    let operation = client.operation("k", OpKind::Get);
    let rejected = client.engine().submit(operation, now).expect_err("it closes");
    assert_eq!(rejected.why, RejectReason::Closed);
    client.run_for(ms(99));
    assert_eq!(client.closed, 0, "the write may still be answered");
    assert!(
        matches!(client.outcome(read), Some(Err(_))),
        "the read found nothing: {:?}",
        client.outcome(read)
    );
    client.run_for(secs(60));
    assert_eq!(client.closed, 1);
    let outcome = client.outcome(write).expect("it has ended").clone();
    assert_eq!(kind(&outcome), ErrorKind::RequestCanceled);
    assert!(outcome.expect_err("it failed").may_have_happened());
    assert!(client.engine().is_closed());
    assert_eq!(client.world.waits_until(), None);
    for index in 0..2 {
        assert!(client.open_links(node(index)).is_empty());
    }
}

#[test]
fn shut_down_without_work_is_immediate_also_before_the_first_connection() {
    let mut client = Client::new(net(1), "couchbase://10.0.0.1");
    let now = client.now();
    let ready = client.engine().bootstrap(now);
    client.world.settle();
    client.engine().shut_down(ms(0), now);
    client.world.settle();
    client.collect();
    assert_eq!(client.closed, 1);
    let outcome = client.outcome(ready).expect("it has ended").clone();
    assert_eq!(kind(&outcome), ErrorKind::ClusterClosed);
    client.run_for(secs(60));
    assert_eq!((client.closed, client.dials(node(0))), (1, 1));
}

#[test]
fn a_cancelled_operation_has_no_event_and_its_answer_is_an_orphan() {
    let mut client = Client::connected(1);
    client.put("k", b"1");
    let op = client.start("k", OpKind::Get);
    client.world.settle();
    let now = client.now();
    client.engine().cancel(op, now);
    assert_eq!(client.engine().operations(), 0);
    client.run_for(secs(5));
    assert_eq!(client.outcome(op), None);
    assert_eq!(client.orphans.len(), 1);
    assert!(client.orphans[0].given_up && client.orphans[0].opcode == Opcode::GET);
    // Again, and for one that has ended: nothing.
    let now = client.now();
    client.engine().cancel(op, now);
    assert_eq!(value(&client.get("k")), b"1");
}
