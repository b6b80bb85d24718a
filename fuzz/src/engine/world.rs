//! The script's world: it plays application, clock and network, and watches over the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use settee::engine::{
    BucketRef, CollectionRef, ConnId, Datagram, Engine, Event, Input, LookupId, OpId, Output, PingReport,
    PingState, QueryId,
};

use super::choices::Choices;
use super::names::SERVERS;
use super::peer::{Peer, Speech};
use super::settings::{self, Network};
use super::topology::Topology;
use super::work;

/// More outputs without a wait are a loop.
const OUTPUTS_MAX: usize = 20_000;
/// More wakes before a shut-down is done are a loop.
const WAKES_MAX: usize = 20_000;
/// After its last operation an engine may take so long to end its TLS sessions.
const FAREWELL: Duration = Duration::from_millis(200);
/// More connections than three buckets, three pings and three waits can need.
const CONNECTIONS_MAX: usize = 400;

pub(super) struct World<'d> {
    pub(super) u: Choices<'d>,
    pub(super) engine: Engine,
    pub(super) now: Instant,
    wake: Option<Instant>,
    pub(super) network: Network,
    pub(super) topology: Topology,

    pub(super) conns: BTreeMap<ConnId, Peer>,
    /// Every connection that ever was.
    pub(super) seen: BTreeSet<ConnId>,
    /// Ended since the outputs were last taken, which may still speak of them.
    pub(super) just_lost: BTreeSet<ConnId>,
    pub(super) lookups: Vec<LookupId>,
    /// Answered since the outputs were last taken, which may still give them up.
    pub(super) just_answered: BTreeSet<LookupId>,
    /// Queries with an open socket, and what was asked there last.
    pub(super) queries: BTreeMap<QueryId, Option<Datagram>>,
    pub(super) ended_queries: BTreeSet<QueryId>,

    pub(super) buckets: Vec<BucketRef>,
    pub(super) collections: Vec<CollectionRef>,
    /// Operations under way, and when they have to end.
    pub(super) pending: BTreeMap<OpId, Pending>,
    pub(super) ended: BTreeSet<OpId>,
    /// Cancelled since the outputs were last taken: they may have ended just before.
    pub(super) just_cancelled: BTreeSet<OpId>,

    pub(super) was_full: bool,
    pub(super) shut: bool,
    closed: bool,
    steps: u32,
    has_recovered: bool,
    has_idled: bool,
    /// The read that a recovery is judged by, and what came of it.
    read: Option<(OpId, Result<(), String>)>,
    digest: Option<DefaultHasher>,
}

pub(super) struct Pending {
    pub(super) kind: Kind,
    pub(super) deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Operation,
    /// It waits for a state of the cluster.
    Watcher,
    Ping,
}

impl<'d> World<'d> {
    pub(super) fn new(mut u: Choices<'d>, now: Instant, digest: bool) -> Self {
        // Its other bits have chosen whether the run is repeated.
        let network = Network::new(u.byte());
        let config = settings::config(&mut u, network);
        let mut engine = Engine::new(config, [7; 32], now);
        let mut buckets = Vec::new();
        let mut collections = Vec::new();
        if let Some(name) = engine.config().default_bucket.clone() {
            let bucket = engine.open_bucket(&name, now);
            buckets.push(bucket);
            collections.push(engine.collection(bucket, "_default", "_default"));
            collections.push(engine.collection(bucket, "s", "c"));
        }
        Self {
            u,
            engine,
            now,
            wake: None,
            network,
            topology: Topology::new(),
            conns: BTreeMap::new(),
            seen: BTreeSet::new(),
            just_lost: BTreeSet::new(),
            lookups: Vec::new(),
            just_answered: BTreeSet::new(),
            queries: BTreeMap::new(),
            ended_queries: BTreeSet::new(),
            buckets,
            collections,
            pending: BTreeMap::new(),
            ended: BTreeSet::new(),
            just_cancelled: BTreeSet::new(),
            was_full: false,
            shut: false,
            closed: false,
            steps: 0,
            has_recovered: false,
            has_idled: false,
            read: None,
            digest: digest.then(DefaultHasher::new),
        }
    }

    /// One step of the script; `false` at its end.
    pub(super) fn step(&mut self) -> bool {
        if self.u.is_over() {
            return false;
        }
        let choice = self.u.byte();
        match if choice < 192 { choice % 32 } else { 32 + choice % 16 } {
            0..=3 => self.submit(),
            4..=6 => self.serve(),
            7 => self.connect_one(),
            8 | 9 => self.write_one(),
            10..=13 => self.answer_one(),
            14 => self.answer_all_of_one(),
            15 | 16 => self.deliver_one(),
            17 | 18 => self.sleep(),
            19 | 20 => self.sleep_until_wake(),
            21 => self.lose_one(),
            22 => self.look_up_one(),
            23 => self.cancel_one(),
            24 => self.open(),
            25 => self.watch(),
            26 => self.notify(),
            27 => self.garbage(),
            28 => self.input_about_the_past(),
            29 => self.topology.change(&mut self.u),
            30 => self.odd_time(),
            31 => self.maybe_shut_down(),
            32 | 33 => self.ping(),
            34 | 35 => self.watch_services(),
            36 => self.change_credentials(),
            37 => self.replace_connections(),
            38 => self.set_wall_clock(),
            39..=41 => self.answer_query_oddly(),
            42 => self.fail_query(),
            43 | 44 => self.end_one(),
            45 => self.topology.change_kind(&mut self.u),
            46 => self.recover(),
            47 => self.idle(),
            _ => self.serve(),
        }
        self.steps += 1;
        // Looking at every step would take as long as all the rest.
        if self.steps.is_multiple_of(3) {
            self.look();
        }
        // Several inputs may come before the outputs are taken.
        if !self.u.one_in(6) {
            self.drain();
        }
        true
    }

    /// Shuts the engine down; after that, everything has ended.
    pub(super) fn finish(mut self) -> u64 {
        self.drain();
        let drain = if self.u.one_in(2) { Duration::ZERO } else { Duration::from_secs(3) };
        let until = self.now + drain + FAREWELL;
        self.engine.shut_down(drain, self.now);
        self.shut = true;
        self.drain();
        for _ in 0..WAKES_MAX {
            if self.closed {
                break;
            }
            let wake = self.wake.expect("a shut-down has an end");
            assert!(wake <= until, "a shut-down takes longer than it may");
            self.pass(wake);
            self.drain();
        }
        assert!(self.closed, "the shut-down does not end");
        assert!(self.pending.is_empty(), "operations outlive the engine");
        assert!(self.conns.is_empty(), "connections outlive the engine");
        assert!(self.queries.is_empty(), "queries outlive the engine");
        assert!(self.lookups.is_empty(), "look-ups outlive the engine");
        self.look();
        self.digest.map_or(0, |digest| digest.finish())
    }

    fn hash(&mut self, what: impl Hash) {
        if let Some(digest) = &mut self.digest {
            what.hash(digest);
        }
    }

    /// Takes outputs until the engine waits.
    pub(super) fn drain(&mut self) {
        let mut count = 0;
        loop {
            count += 1;
            assert!(count < OUTPUTS_MAX, "outputs without end");
            let output = self.engine.poll_output();
            if self.digest.is_some() {
                let text = format!("{output:?}");
                self.hash(text);
            }
            match output {
                Output::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "a wait for what is due already");
                    self.wake = at;
                    break;
                }
                // What cannot be refused when it is asked for ends at once.
                Output::Event(event @ Event::Completed { .. }) => self.on_event(event),
                _ if self.closed => panic!("an output behind the last one"),
                Output::Connect(dial) => {
                    assert!(self.seen.insert(dial.conn), "a connection's id comes back");
                    let speech = if SERVERS.contains(&dial.address) {
                        Speech::Dns(Default::default())
                    } else if self.engine.config().tls() {
                        Speech::Tls
                    } else {
                        Speech::Unknown
                    };
                    self.conns.insert(dial.conn, Peer::new(speech));
                }
                Output::Disconnect(conn) => {
                    let known = self.conns.remove(&conn).is_some() || self.just_lost.contains(&conn);
                    assert!(known, "a connection that is none is closed");
                }
                Output::Transmit(conn) => match self.conns.get_mut(&conn) {
                    Some(peer) => {
                        assert!(peer.connected, "bytes for a connection that is not open");
                        peer.announced = true;
                    }
                    None => assert!(self.just_lost.contains(&conn), "bytes for a connection that is none"),
                },
                Output::Lookup(lookup) => {
                    assert!(!lookup.name.is_empty() && !self.lookups.contains(&lookup.lookup));
                    self.lookups.push(lookup.lookup);
                }
                Output::CancelLookup(lookup) => {
                    let place = self.lookups.iter().position(|&other| other == lookup);
                    assert!(
                        place.is_some() || self.just_answered.contains(&lookup),
                        "a look-up that is none is given up"
                    );
                    place.map(|place| self.lookups.remove(place));
                }
                Output::Datagram(datagram) => {
                    assert!(!self.ended_queries.contains(&datagram.query), "a query's id comes back");
                    assert!(SERVERS.contains(&datagram.server) && datagram.payload.len() <= 512);
                    self.queries.insert(datagram.query, Some(datagram));
                    assert!(self.queries.len() <= 1, "more than one query at a time");
                }
                Output::EndQuery(query) => {
                    self.queries.remove(&query);
                    assert!(self.ended_queries.insert(query), "a query ends twice");
                }
                Output::Event(event) => self.on_event(event),
                other => panic!("an output of an unknown kind: {other:?}"),
            }
        }
        self.just_lost.clear();
        self.just_cancelled.clear();
        self.just_answered.clear();
        self.check();
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Completed { op, result } => {
                if self.read.as_ref().is_some_and(|(read, _)| *read == op) {
                    self.read = Some((op, result.map(drop).map_err(|error| error.to_string())));
                }
                if let Some(kind) = self.end(op) {
                    assert!(kind != Kind::Ping || self.shut, "a ping ends without a report");
                }
            }
            Event::Pinged { op, report } => {
                if let Some(kind) = self.end(op) {
                    assert!(kind == Kind::Ping, "a report of what was no ping");
                }
                judge(&report);
            }
            Event::Writable => {
                assert!(self.was_full, "room where room was");
                self.was_full = false;
            }
            Event::Closed => {
                assert!(self.shut && !self.closed);
                self.closed = true;
            }
            _ => {}
        }
    }

    /// Something that was asked for has ended; what it was, unless it had been given up.
    fn end(&mut self, op: OpId) -> Option<Kind> {
        assert!(self.ended.insert(op), "an operation ends twice");
        let pending = self.pending.remove(&op);
        assert!(pending.is_some() || self.just_cancelled.contains(&op), "an operation ends that is none");
        pending.map(|pending| pending.kind)
    }

    /// Reports can be asked for at any time, and change nothing.
    fn look(&self) {
        let health = self.engine.health(self.now);
        assert_eq!(health.operations, self.engine.operations());
        assert_eq!(health.counters, self.engine.counters());
        assert!(health.failures.len() <= 32);
        let report = self.engine.diagnostics(None, self.now);
        assert_eq!(report.version, 2);
        if self.steps % 8 == 1 {
            serde_json::to_string(&health).expect("health has a JSON form");
            serde_json::to_string(&report).expect("diagnostics have a JSON form");
        }
    }

    /// What holds whenever the engine waits.
    fn check(&mut self) {
        let config = self.engine.config();
        let counting = self.pending.values().filter(|pending| pending.kind == Kind::Operation).count();
        assert!(counting <= config.max_operations, "more operations than there is room for");
        assert_eq!(self.engine.operations(), self.pending.len(), "operations under way");
        let room = self.engine.operations() <= config.max_operations / 4 * 3;
        assert!(!self.was_full || !room || self.closed, "nobody was told that there is room");
        assert_eq!(self.engine.is_closed(), self.closed);
        for (op, pending) in &self.pending {
            assert!(pending.deadline.is_none_or(|at| at > self.now), "{op:?} outlives its deadline");
        }
        if let Some(first) = self.pending.values().filter_map(|pending| pending.deadline).min() {
            assert!(self.wake.is_some_and(|wake| wake <= first), "nobody wakes the engine for a deadline");
        }
        assert!(self.closed || self.conns.len() <= CONNECTIONS_MAX, "connections without bound");

        let mut fresh = Vec::new();
        for (&conn, peer) in &mut self.conns {
            let mut bytes = Vec::new();
            for slice in self.engine.transmit(conn) {
                assert!(!slice.is_empty(), "an empty slice");
                bytes.extend_from_slice(slice);
            }
            assert!(bytes.starts_with(&peer.lent), "bytes that were lent have changed");
            assert!(bytes.is_empty() || peer.announced, "bytes that nobody was told of");
            // Under TLS they are not the same from run to run.
            if !matches!(peer.speech, Speech::Tls) {
                fresh.extend_from_slice(&bytes[peer.lent.len()..]);
            }
            peer.lent = bytes;
        }
        self.hash(fresh);
    }

    // ---- The clock ----

    fn pass(&mut self, to: Instant) {
        self.now = self.now.max(to);
        self.engine.handle_timeout(self.now);
    }

    fn sleep(&mut self) {
        let pause = self.u.of(&work::TIMES);
        self.pass(self.now + pause);
    }

    fn sleep_until_wake(&mut self) {
        for _ in 0..1 + self.u.below(8) {
            let Some(wake) = self.wake else { return };
            self.pass(wake);
            self.drain();
        }
    }

    /// While nothing happens the engine has little to do.
    fn idle(&mut self) {
        const WAKES: u32 = 400;
        if std::mem::replace(&mut self.has_idled, true) {
            return;
        }
        self.drain();
        let start = self.now;
        for _ in 0..WAKES {
            let Some(wake) = self.wake else { return };
            self.pass(wake);
            self.drain();
        }
        let passed = self.now - start;
        assert!(passed >= Duration::from_secs(1), "{WAKES} wakes within {passed:?}");
    }

    /// Once all is well with the cluster and the network, a read succeeds, whatever was before.
    fn recover(&mut self) {
        let tls = self.engine.config().tls();
        if self.shut || tls || std::mem::replace(&mut self.has_recovered, true) {
            return;
        }
        self.drain();
        self.topology.heal();
        self.lose_all();
        let read = self.read_after_trouble();
        self.read = Some((read, Err("it does not end".to_owned())));
        for _ in 0..WAKES_MAX {
            // More than two handshakes with every step on its own take, and the read itself.
            for _ in 0..5 {
                self.serve();
            }
            self.drain();
            if !self.pending.contains_key(&read) {
                break;
            }
            let wake = self.wake.expect("an operation has an end");
            self.pass(wake);
        }
        assert_eq!(self.read, Some((read, Ok(()))), "a read fails although all is well");
    }

    /// Early and late calls are harmless, and time does not run backwards.
    fn odd_time(&mut self) {
        let past = self.now.checked_sub(self.u.of(&work::TIMES)).unwrap_or(self.now);
        self.engine.handle_timeout(past);
        if let Some(&conn) = self.conns.keys().next() {
            self.engine.handle_input(Input::Received { conn, data: &[] }, past);
        }
    }
}

/// A report says something of each service, and can be written.
fn judge(report: &PingReport) {
    assert!(!report.id.is_empty() && report.version == 2);
    for endpoint in report.services.values().flatten() {
        assert!(endpoint.state == PingState::Ok || endpoint.details.is_some(), "no reason is given");
        assert!(endpoint.state != PingState::Timeout || endpoint.latency.is_none());
    }
    serde_json::to_string(report).expect("a report has a JSON form");
}
