//! An engine and a simulated cluster of one node, connected in memory. The cluster's work is never counted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::engine::{
    CollectionRef, ConnId, DesiredState, Engine, EngineConfig, Event, Input, OpKind, Operation, Output,
    Response,
};
use settee::error::OpError;
use settee::options::Options;
use settee_sim::{Cluster, Listener, NodeAddress, NodeId, Settings};

use crate::measured;

const HOST: &str = "10.0.0.1";
/// What one read of a socket gives at most.
const READ: usize = 64 * 1024;
/// How much time passes with each round: none of the engine's timers comes due while rounds are counted.
const TICK: Duration = Duration::from_micros(50);

pub(crate) struct Rig {
    engine: Engine,
    collection: CollectionRef,
    cluster: Cluster,
    /// Connections that are open: the engine's name and the cluster's.
    links: Vec<(ConnId, settee_sim::ConnId)>,
    now: Instant,
    wake: Option<Instant>,
    /// Connections with bytes to write, and how many.
    to_write: Vec<(ConnId, usize)>,
    dials: Vec<ConnId>,
    results: Vec<Result<Response, OpError>>,
    wire: Vec<u8>,
}

impl Rig {
    /// The engine has its map and its connections.
    pub(crate) fn connected() -> Self {
        let now = Instant::now();
        let mut settings = Settings::default();
        settings.scram_iterations = 16;
        let nodes = vec![NodeAddress::new(HOST, 11210)];
        let mut cluster = Cluster::new(settings, nodes, now, Duration::from_secs(1_800_000_000));
        cluster.add_bucket("default");
        cluster.set_password("Administrator", "password");
        let login = PasswordAuthenticator::new("Administrator", "password").expect("a valid name");
        let text = connstr::parse(&format!("couchbase://{HOST}")).expect("a valid connection string");
        let config = EngineConfig::new(&text, Options::default(), Authenticator::Password(login));
        let mut engine = Engine::new(config.expect("valid options"), [7; 32], now);
        let bucket = engine.open_bucket("default", now);
        let collection = engine.collection(bucket, "_default", "_default");
        engine.wait_until_ready(Some(bucket), DesiredState::Online, Duration::from_secs(60), now);
        let mut rig = Self {
            engine,
            collection,
            cluster,
            links: Vec::new(),
            now,
            wake: None,
            to_write: Vec::with_capacity(16),
            dials: Vec::new(),
            results: Vec::with_capacity(1024),
            wire: Vec::new(),
        };
        for _ in 0..10_000 {
            rig.poll();
            if !rig.results.is_empty() {
                break;
            }
            if !rig.exchange(false) {
                rig.now = rig.wake.expect("the engine waits for something");
                rig.engine.handle_timeout(rig.now);
            }
        }
        assert_eq!(rig.results.drain(..).collect::<Vec<_>>(), [Ok(Response::Ready)]);
        rig
    }

    /// Puts documents into the cluster.
    pub(crate) fn put(&mut self, keys: impl Iterator<Item = Bytes>, value: &[u8]) {
        for key in keys {
            let there = ("_default", "_default");
            assert!(self.cluster.put_document("default", there, &key, value, 0x0300_0000));
        }
    }

    pub(crate) fn operation(&self, key: Bytes, kind: OpKind) -> Operation {
        Operation::new(self.collection, key, kind)
    }

    /// Submits operations and brings all of them to their end; with `count`, what the engine does for it is counted.
    pub(crate) fn round(&mut self, mut operations: Vec<Operation>, count: bool) {
        let wanted = operations.len();
        self.now += TICK;
        counted(count, &mut || {
            for operation in operations.drain(..) {
                self.engine.submit(operation, self.now).expect("there is room");
            }
            self.poll();
        });
        while self.results.len() < wanted {
            assert!(self.exchange(count), "{} of {wanted} operations end", self.results.len());
        }
        assert!(self.results.drain(..).all(|result| result.is_ok()));
    }

    /// Does what the engine asks for as far as no time passes, and leaves the rest to be done by [`Rig::exchange`].
    fn poll(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Connect(dial) => self.dials.push(dial.conn),
                Output::Transmit(conn) => {
                    let len = self.engine.transmit(conn).map(<[u8]>::len).sum();
                    self.to_write.push((conn, len));
                }
                Output::Event(Event::Completed { result, .. }) => self.results.push(result),
                Output::Event(_) => {}
                Output::Wait(at) => {
                    self.wake = at;
                    return;
                }
                other => panic!("no reason for {other:?}"),
            }
        }
    }

    /// Connects what was dialled, carries the engine's bytes to the cluster and the answers back. Whether there was
    /// anything to do.
    fn exchange(&mut self, count: bool) -> bool {
        let mut busy = false;
        for conn in std::mem::take(&mut self.dials) {
            let link = self.cluster.connect(NodeId(0), Listener::KV, self.now).expect("the node is up");
            self.links.push((conn, link));
            self.engine.handle_input(Input::Connected { conn, local: None }, self.now);
            self.poll();
            busy = true;
        }
        while let Some((conn, len)) = self.to_write.pop() {
            busy = true;
            self.wire.clear();
            self.engine.transmit(conn).for_each(|bytes| self.wire.extend_from_slice(bytes));
            let link =
                self.links.iter().find(|link| link.0 == conn).expect("only open connections are written").1;
            self.cluster.receive(link, &self.wire, self.now);
            counted(count, &mut || {
                self.engine.handle_input(Input::Written { conn, len }, self.now);
                self.poll();
            });
        }
        for index in 0..self.links.len() {
            let (conn, link) = self.links[index];
            loop {
                self.wire.clear();
                self.wire.extend(self.cluster.output(link).iter().take(READ));
                if self.wire.is_empty() {
                    break;
                }
                busy = true;
                self.cluster.written(link, self.wire.len(), self.now);
                counted(count, &mut || {
                    self.engine.handle_input(Input::Received { conn, data: &self.wire }, self.now);
                    self.poll();
                });
            }
        }
        busy
    }
}

fn counted(count: bool, work: &mut dyn FnMut()) {
    if count {
        measured(work);
    } else {
        work();
    }
}
