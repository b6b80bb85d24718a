use super::*;
use crate::{NetSettings, NodeId, Settings};
use bytes::Bytes;
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::engine::{EngineConfig, OpKind, Operation, Response};
use settee::options::Options;

/// The engine in a world with one node; a read has been submitted.
fn world() -> World<Engine> {
    let now = Instant::now();
    let settings = Settings { scram_iterations: 16, ..Settings::default() };
    let mut net = Net::new(1, settings, NetSettings::default(), now);
    assert!(net.cluster().put_document("default", ("_default", "_default"), b"k", b"1", 0));
    let login = PasswordAuthenticator::new("Administrator", "password").unwrap();
    let text = settee::connstr::parse("couchbase://node1.sim/default").unwrap();
    let config = EngineConfig::new(&text, Options::default(), Authenticator::Password(login)).unwrap();
    let mut engine = Engine::new(config, [1; 32], now);
    let bucket = engine.open_bucket("default", now);
    let collection = engine.collection(bucket, "_default", "_default");
    engine.submit(Operation::new(collection, Bytes::from_static(b"k"), OpKind::Get), now).unwrap();
    World::new(net, engine)
}

fn completed(world: &mut World<Engine>) -> Option<Response> {
    while let Some(event) = world.poll_event() {
        if let Event::Completed { result, .. } = event {
            return Some(result.unwrap());
        }
    }
    None
}

#[test]
fn the_engine_reads_a_document_in_virtual_time() {
    let mut world = world();
    let mut answer = None;
    assert!(world.run_until(Duration::from_secs(1), |world| {
        answer = completed(world);
        answer.is_some()
    }));
    assert!(matches!(answer, Some(Response::Document { value, .. }) if value == "1"));
    // A name's look-up, a dial, two flights of handshake and the read itself, a millisecond each; the password is
    // salted in between.
    let elapsed = world.elapsed();
    assert!(elapsed >= Duration::from_millis(5) && elapsed < Duration::from_millis(6), "{elapsed:?}");
    assert_eq!(world.dialled().map(|(.., to)| to).collect::<Vec<_>>(), [Net::address_of(NodeId(0))]);
}

#[test]
fn the_size_of_writes_changes_nothing_but_their_number() {
    for max_write in [1, 30, 1000] {
        let mut world = world();
        world.max_write = max_write;
        world.run_for(Duration::from_millis(50));
        assert!(completed(&mut world).is_some(), "{max_write}");
    }
}

#[test]
fn runs_are_recorded_and_repeat() {
    let run = || {
        let mut world = world();
        world.record();
        world.run_for(Duration::from_secs(60));
        world.transcript().join("\n")
    };
    let first = run();
    assert!(first.contains("look up node1.sim") && first.contains("dial 10.0.0.1:11210"), "{first}");
    assert_eq!(first, run());
}
