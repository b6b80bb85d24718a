//! What the engine allocates per operation once it is warm: the value's own bytes, and nothing else (`DESIGN.md` 3).
//!
//! The engine is driven by hand with answers prepared beforehand, so that only its own allocations are counted.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::Bytes;
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::engine::{
    CollectionRef, ConnId, Durability, Engine, EngineConfig, Event, Input, OpKind, Operation, Output, Store,
    StoreMode,
};
use settee::expiry::Expiry;
use settee::ids::Cas;
use settee::options::Options;
use settee_sim::{Net, NetSettings, Settings, World};

const BURST: usize = 64;
const ROUNDS: usize = 50;

/// A connected engine, the network behind it, and what a document is written to.
struct Warm {
    world: World<Engine>,
    collection: CollectionRef,
    conn: ConnId,
    now: Instant,
    keys: Vec<Bytes>,
}

#[expect(clippy::disallowed_methods, reason = "some instant has to be the first")]
fn warm() -> Warm {
    let now = Instant::now();
    let mut settings = Settings::default();
    settings.scram_iterations = 16;
    let mut net = Net::new(1, settings, NetSettings::default(), now);
    let keys: Vec<Bytes> = (0..BURST).map(|number| Bytes::from(format!("key-{number}"))).collect();
    for key in &keys {
        assert!(net.cluster().put_document("default", ("_default", "_default"), key, &[b'x'; 1024], 0));
    }
    let login = PasswordAuthenticator::new("Administrator", "password").expect("a valid name");
    let text = "couchbase://10.0.0.1/default";
    let parsed = connstr::parse(text).expect("a valid string");
    let config = EngineConfig::new(&parsed, Options::default(), Authenticator::Password(login))
        .expect("valid options");
    let mut engine = Engine::new(config, [5; 32], now);
    let bucket = engine.open_bucket("default", now);
    let collection = engine.collection(bucket, "_default", "_default");
    let mut world = World::new(net, engine);
    world.run_for(Duration::from_secs(1));
    while world.poll_event().is_some() {}
    let conn = world.dialled().next().expect("it dialled").0;
    let now = world.now();
    Warm { world, collection, conn, now, keys }
}

/// Bytes that do not shrink: compression is tried and given up, as with any value that is compressed already.
fn noise(len: usize) -> Bytes {
    let mut state = 7u64;
    let bytes = (0..len).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    bytes.collect()
}

impl Warm {
    fn operations(&self, kind: &OpKind) -> Vec<Operation> {
        self.keys.iter().map(|key| Operation::new(self.collection, key.clone(), kind.clone())).collect()
    }

    /// Submits a burst and takes the bytes that the engine wants to send.
    fn send(&mut self, operations: Vec<Operation>, sent: &mut Vec<u8>) {
        let engine = &mut self.world.client;
        for operation in operations {
            assert!(engine.submit(operation, self.now).is_ok());
        }
        loop {
            match engine.poll_output() {
                Output::Transmit(conn) => {
                    assert_eq!(conn, self.conn);
                    let before = sent.len();
                    for slice in engine.transmit(conn) {
                        sent.extend_from_slice(slice);
                    }
                    let len = sent.len() - before;
                    engine.handle_input(Input::Written { conn, len }, self.now);
                }
                Output::Wait(_) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Gives the engine the answers, in pieces as a socket would; how many operations ended well.
    fn receive(&mut self, answers: &[u8]) -> usize {
        let engine = &mut self.world.client;
        let mut done = 0;
        for piece in answers.chunks(16 * 1024) {
            engine.handle_input(Input::Received { conn: self.conn, data: piece }, self.now);
            loop {
                match engine.poll_output() {
                    Output::Event(Event::Completed { result, .. }) => {
                        assert!(result.is_ok(), "{result:?}");
                        done += 1;
                    }
                    Output::Wait(_) => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        done
    }

    /// What the cluster answers to these bytes.
    fn answers(&mut self, sent: &[u8]) -> Vec<u8> {
        let link = self.world.dialled().next().expect("it dialled").1;
        self.world.net.send(link, sent);
        let mut answers = Vec::new();
        let end = self.world.net.now() + Duration::from_millis(10);
        while let Some(event) = self.world.net.step(Some(end)) {
            if let settee_sim::NetEvent::Received(_, bytes) = event {
                answers.extend_from_slice(&bytes);
            }
        }
        answers
    }

    /// Allocations of all bursts together: while sending, and while receiving.
    fn count(&mut self, kind: &OpKind) -> (u64, u64) {
        let (mut sending, mut receiving) = (0, 0);
        for round in 0..ROUNDS + 5 {
            let operations = self.operations(kind);
            let mut sent = Vec::with_capacity(BURST * 64 * 1024);
            let send = measure(|| self.send(operations, &mut sent));
            let answers = self.answers(&sent);
            let mut done = 0;
            let receive = measure(|| done = self.receive(&answers));
            assert_eq!(done, BURST);
            // The first rounds grow what grows with the size of a burst.
            if round >= 5 {
                sending += send.count_total;
                receiving += receive.count_total;
            }
        }
        (sending, receiving)
    }
}

#[test]
fn a_get_of_1_kib_allocates_the_value_and_nothing_else() {
    let mut warm = warm();
    let (sending, receiving) = warm.count(&OpKind::Get);
    assert_eq!(sending, 0, "over {} operations", BURST * ROUNDS);
    assert_eq!(receiving, (BURST * ROUNDS) as u64, "one per operation");
}

#[test]
fn a_small_write_allocates_nothing() {
    let mut warm = warm();
    let store = Store {
        mode: StoreMode::Upsert,
        value: noise(256),
        flags: 0,
        expiry: Expiry::NONE,
        preserve_expiry: false,
        cas: Cas::NONE,
        durability: Durability::None,
    };
    let (sending, receiving) = warm.count(&OpKind::Store(store));
    assert_eq!((sending, receiving), (0, 0), "over {} operations", BURST * ROUNDS);
}

#[test]
fn a_large_write_is_lent_and_allocates_nothing() {
    let mut warm = warm();
    let store = Store {
        mode: StoreMode::Upsert,
        value: noise(40_000),
        flags: 0,
        expiry: Expiry::NONE,
        preserve_expiry: false,
        cas: Cas::NONE,
        durability: Durability::None,
    };
    let (sending, receiving) = warm.count(&OpKind::Store(store));
    assert_eq!((sending, receiving), (0, 0), "over {} operations", BURST * ROUNDS);
}
