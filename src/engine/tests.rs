//! What fuzzing found: endless loops and loose ends, each in its shortest form.
#![expect(clippy::disallowed_methods, reason = "some instant has to be the first")]

use super::*;
use crate::auth::{Authenticator, PasswordAuthenticator};
use crate::connstr;
use crate::error::ErrorKind;
use crate::options::Options;
use crate::wire::{Decoder, Encode, Feature, FeatureSet, Opcode, Status};

const MAP: &str = r#"{"rev":1,"revEpoch":1,"nodesExt":[{"services":{"kv":11210},"hostname":"127.0.0.1","thisNode":true}],
"name":"b","uuid":"7","nodeLocator":"vbucket","bucketCapabilities":[],"nodes":[{"hostname":"127.0.0.1:8091"}],
"vBucketServerMap":{"numReplicas":0,"serverList":["127.0.0.1:11210"],"vBucketMap":[[0]]}}"#;

fn config(text: &str) -> EngineConfig {
    let mut options = Options::default();
    options.allowed_sasl_mechanisms = vec!["PLAIN".into()];
    let login = Authenticator::Password(PasswordAuthenticator::new("u", "p").unwrap());
    EngineConfig::new(&connstr::parse(text).unwrap(), options, login).unwrap()
}

/// All outputs but the wait, and what it says.
fn drain(engine: &mut Engine) -> (Vec<Output>, Option<Instant>) {
    let mut outputs = Vec::new();
    loop {
        match engine.poll_output() {
            Output::Wait(at) => return (outputs, at),
            output => outputs.push(output),
        }
    }
}

/// The connections that are to be dialled.
fn dials(outputs: &[Output]) -> Vec<ConnId> {
    addresses(outputs).into_iter().map(|(conn, _)| conn).collect()
}

/// The same with where to.
fn addresses(outputs: &[Output]) -> Vec<(ConnId, String)> {
    let dials = outputs.iter().filter_map(|output| match output {
        Output::Connect(dial) => Some((dial.conn, dial.address.to_string())),
        _ => None,
    });
    dials.collect()
}

/// An engine with a map and one node, on this connection.
fn serving(config: EngineConfig, now: Instant) -> (Engine, ConnId) {
    let mut engine = Engine::new(config, [1; 32], now);
    let conn = dials(&drain(&mut engine).0)[0];
    engine.handle_input(Input::Connected { conn, local: None }, now);
    drain(&mut engine);
    answer(&mut engine, conn, MAP, now);
    drain(&mut engine);
    assert!(engine.cluster_map().is_some());
    (engine, conn)
}

/// Answers what is asked on a connection; the bucket "later" is not known there.
fn answer(engine: &mut Engine, conn: ConnId, map: &str, now: Instant) {
    let sent = engine.transmit(conn).collect::<Vec<_>>().concat();
    engine.handle_input(Input::Written { conn, len: sent.len() }, now);
    let mut answers = Vec::new();
    let on_frame = |frame: crate::wire::Frame<'_>| {
        let header = frame.header;
        let (status, value) = match header.opcode {
            Opcode::HELLO => {
                let features = [Feature::DUPLEX, Feature::XERROR, Feature::SELECT_BUCKET];
                (Status::SUCCESS, features.into_iter().collect::<FeatureSet>().encode())
            }
            Opcode::GET_CLUSTER_CONFIG => (Status::SUCCESS, map.into()),
            Opcode::SELECT_BUCKET if frame.key == b"later" => (Status::KEY_ENOENT, Vec::new()),
            _ => (Status::SUCCESS, Vec::new()),
        };
        Encode::response(header.opcode, header.opaque, status).emit(&value, &mut answers).unwrap();
        std::ops::ControlFlow::Continue(())
    };
    Decoder::new().feed(&sent, |_| u32::MAX, on_frame).unwrap();
    engine.handle_input(Input::Received { conn, data: &answers }, now);
}

/// The map of a cluster of one node, without a manager.
fn cluster_map(rev: u32, host: &str) -> String {
    format!(r#"{{"rev":{rev},"revEpoch":1,"nodesExt":[{{"services":{{"kv":11210}},"hostname":"{host}"}}]}}"#)
}

fn get(engine: &mut Engine, now: Instant) -> OpId {
    let bucket = engine.open_bucket("b", now);
    let collection = engine.collection(bucket, "_default", "_default");
    let operation = Operation {
        timeout: Some(Duration::from_secs(600)),
        ..Operation::new(collection, Bytes::from_static(b"key"), OpKind::Get)
    };
    engine.submit(operation, now).unwrap()
}

#[test]
fn slow_handshakes_of_a_hunt_leave_no_wait_in_the_past() {
    let mut now = Instant::now();
    let config = config("couchbase://127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4/b");
    let mut engine = Engine::new(config, [1; 32], now);
    // Three attempts are connected and say nothing; a fourth has to wait for one of them.
    for _ in 0..12 {
        let (outputs, wait) = drain(&mut engine);
        assert!(wait.is_some_and(|at| at > now));
        for conn in dials(&outputs) {
            engine.handle_input(Input::Connected { conn, local: None }, now);
        }
        now += Duration::from_millis(500);
        engine.handle_timeout(now);
    }
}

#[test]
fn a_full_window_is_its_own_keep_alive() {
    let mut now = Instant::now();
    let mut config = config("couchbase://127.0.0.1/b?config_poll_interval=0");
    config.window = 7;
    let (mut engine, conn) = serving(config, now);
    for _ in 0..7 {
        get(&mut engine, now);
    }
    let (_, wait) = drain(&mut engine);
    assert!(wait.is_some());
    let mut closed = None;
    let begin = now;
    while closed.is_none() && now < begin + Duration::from_secs(60) {
        let (outputs, wait) = drain(&mut engine);
        closed = outputs
            .iter()
            .any(|output| matches!(output, Output::Disconnect(gone) if *gone == conn))
            .then_some(now);
        let wait = wait.unwrap();
        assert!(wait > now);
        now = wait;
        engine.handle_timeout(now);
    }
    // 30 s of silence, then 2.5 s for a sign of life.
    let closed = closed.unwrap().saturating_duration_since(begin);
    assert!((32..34).contains(&closed.as_secs()), "{closed:?}");
}

#[test]
fn nothing_is_dialled_while_the_last_connections_close() {
    let now = Instant::now();
    let (mut engine, conn) = serving(config("couchbase://127.0.0.1"), now);
    // A fetch of the map is under way: when its connection goes, another one is wanted.
    engine.handle_timeout(now + Duration::from_secs(3));
    drain(&mut engine);
    engine.shut_down(Duration::ZERO, now + Duration::from_secs(3));
    let (outputs, wait) = drain(&mut engine);
    assert!(
        matches!(&outputs[..], [Output::Disconnect(gone), Output::Event(Event::Closed)] if *gone == conn),
        "{outputs:?}"
    );
    assert_eq!(wait, None);
}

#[test]
fn what_is_waited_for_behind_the_end_ends_at_once() {
    let now = Instant::now();
    let mut engine = Engine::new(config("couchbase://127.0.0.1"), [1; 32], now);
    engine.shut_down(Duration::ZERO, now);
    drain(&mut engine);
    let bootstrap = engine.bootstrap(now);
    let ready = engine.wait_until_ready(None, DesiredState::Online, Duration::from_secs(1), now);
    let (outputs, _) = drain(&mut engine);
    let ended: Vec<OpId> = outputs
        .iter()
        .map(|output| match output {
            Output::Event(Event::Completed { op, result: Err(error) }) => {
                assert_eq!(error.kind(), ErrorKind::ClusterClosed);
                *op
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ended, [bootstrap, ready]);
    assert_eq!(engine.operations(), 0);
}

#[cfg(feature = "tls-core")]
#[test]
fn any_wall_clock_can_be_set() {
    let start = Instant::now();
    let mut engine = Engine::new(config("couchbases://127.0.0.1/b"), [1; 32], start);
    engine.set_unix_time(Duration::MAX, start);
    let conn = dials(&drain(&mut engine).0)[0];
    engine.handle_input(Input::Connected { conn, local: None }, start + Duration::from_secs(1));
    drain(&mut engine);
    assert!(engine.transmit(conn).count() > 0, "the handshake begins");
}

#[test]
fn a_bucket_is_looked_for_at_the_seeds_where_the_map_names_no_manager() {
    let now = Instant::now();
    let mut engine = Engine::new(config("couchbase://127.0.0.1?bootstrap_on=http"), [1; 32], now);
    let conn = dials(&drain(&mut engine).0)[0];
    engine.handle_input(Input::Connected { conn, local: None }, now);
    let map = cluster_map(1, "127.0.0.1");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{map}", map.len());
    engine.handle_input(Input::Received { conn, data: answer.as_bytes() }, now);
    drain(&mut engine);
    assert!(engine.cluster_map().is_some());
    engine.open_bucket("b", now);
    let dialled = addresses(&drain(&mut engine).0);
    assert!(dialled.iter().any(|(_, address)| address == "127.0.0.1:8091"), "{dialled:?}");
}

#[test]
fn a_long_hunt_asks_the_nodes_that_have_come_meanwhile() {
    let mut now = Instant::now();
    let (mut engine, conn) = serving(config("couchbase://127.0.0.1"), now);
    engine.open_bucket("later", now);
    let map = cluster_map(2, "127.0.0.2");
    let mut conns = vec![conn];
    for _ in 0..300 {
        let (outputs, _) = drain(&mut engine);
        for (conn, address) in addresses(&outputs) {
            if address == "127.0.0.2:11210" {
                return;
            }
            engine.handle_input(Input::Connected { conn, local: None }, now);
            conns.push(conn);
        }
        for &conn in &conns {
            answer(&mut engine, conn, &map, now);
        }
        now += Duration::from_millis(250);
        engine.handle_timeout(now);
    }
    panic!("the bucket is looked for at a node that is gone: {:?}", engine.health(now));
}
