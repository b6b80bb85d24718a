//! The script's world: it plays application, clock and network, and watches over the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use settee::engine::{
    BucketRef, CollectionRef, ConnId, DesiredState, Durability, Engine, Event, Input, LinkError, LookupError,
    LookupId, OpId, Output, RejectReason,
};

use super::choices::Choices;
use super::peer::Peer;
use super::topology::{BUCKETS, Topology};
use super::{settings, work};

/// More outputs without a wait are a loop.
const OUTPUTS_MAX: usize = 20_000;
/// More wakes before a shut-down is done are a loop.
const WAKES_MAX: usize = 20_000;
/// With a durability level an operation gets at least this long.
const DURABLE_MIN: Duration = Duration::from_millis(1500);

const ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9)),
    IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 8)),
];

pub(super) struct World<'d> {
    u: Choices<'d>,
    engine: Engine,
    now: Instant,
    wake: Option<Instant>,
    topology: Topology,

    conns: BTreeMap<ConnId, Peer>,
    /// Every connection that ever was.
    seen: BTreeSet<ConnId>,
    /// Ended since the outputs were last taken, which may still speak of them.
    just_lost: BTreeSet<ConnId>,
    lookups: Vec<LookupId>,

    buckets: Vec<BucketRef>,
    collections: Vec<CollectionRef>,
    /// Operations under way, and when they have to end.
    pending: BTreeMap<OpId, Pending>,
    ended: BTreeSet<OpId>,
    /// Cancelled since the outputs were last taken: they may have ended just before.
    just_cancelled: BTreeSet<OpId>,

    was_full: bool,
    shut: bool,
    closed: bool,
    digest: Option<DefaultHasher>,
}

struct Pending {
    /// Not one that waits for a state of the cluster.
    counts: bool,
    deadline: Option<Instant>,
}

impl<'d> World<'d> {
    pub(super) fn new(mut u: Choices<'d>, now: Instant, digest: bool) -> Self {
        u.byte(); // It has chosen whether the run is repeated.
        let config = settings::config(&mut u);
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
            topology: Topology::new(),
            conns: BTreeMap::new(),
            seen: BTreeSet::new(),
            just_lost: BTreeSet::new(),
            lookups: Vec::new(),
            buckets,
            collections,
            pending: BTreeMap::new(),
            ended: BTreeSet::new(),
            just_cancelled: BTreeSet::new(),
            was_full: false,
            shut: false,
            closed: false,
            digest: digest.then(DefaultHasher::new),
        }
    }

    /// One step of the script; `false` at its end.
    pub(super) fn step(&mut self) -> bool {
        if self.u.is_over() {
            return false;
        }
        match self.u.byte() % 32 {
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
            _ => self.maybe_shut_down(),
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
        let until = self.now + drain;
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
        self.digest.map_or(0, |digest| digest.finish())
    }

    fn hash(&mut self, what: impl Hash) {
        if let Some(digest) = &mut self.digest {
            what.hash(digest);
        }
    }

    /// Takes outputs until the engine waits.
    fn drain(&mut self) {
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
                    self.conns.insert(dial.conn, Peer::default());
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
                Output::Event(event) => self.on_event(event),
                other => panic!("an output of an unknown kind: {other:?}"),
            }
        }
        self.just_lost.clear();
        self.just_cancelled.clear();
        self.check();
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Completed { op, .. } => {
                assert!(self.ended.insert(op), "an operation ends twice");
                let known = self.pending.remove(&op).is_some() || self.just_cancelled.contains(&op);
                assert!(known, "an operation ends that is none");
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

    /// What holds whenever the engine waits.
    fn check(&mut self) {
        let config = self.engine.config();
        let counting = self.pending.values().filter(|pending| pending.counts).count();
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
        assert!(self.closed || self.conns.len() <= 64, "connections without bound");

        let mut fresh = Vec::new();
        for (&conn, peer) in &mut self.conns {
            let mut bytes = Vec::new();
            for slice in self.engine.transmit(conn) {
                assert!(!slice.is_empty(), "an empty slice");
                bytes.extend_from_slice(slice);
            }
            assert!(bytes.starts_with(&peer.lent), "bytes that were lent have changed");
            assert!(bytes.is_empty() || peer.announced, "bytes that nobody was told of");
            fresh.extend_from_slice(&bytes[peer.lent.len()..]);
            peer.lent = bytes;
        }
        self.hash(fresh);
    }

    // ---- The application ----

    fn submit(&mut self) {
        let collection = match self.u.byte() {
            255 => CollectionRef::from_raw(1000),
            number if self.collections.is_empty() => CollectionRef::from_raw(number.into()),
            number => self.collections[usize::from(number) % self.collections.len()],
        };
        for _ in 0..1 + self.u.below(3) {
            let operation = work::operation(&mut self.u, collection);
            let options = &self.engine.config().options;
            let durable = operation.kind.durability() != Durability::None;
            let timeout = match operation.timeout {
                Some(timeout) if durable => timeout.max(DURABLE_MIN),
                Some(timeout) => timeout,
                None if durable => options.kv_durable_timeout,
                None => options.kv_timeout,
            };
            let deadline = self.now.checked_add(timeout.max(Duration::from_nanos(1)));
            let given = operation.clone();
            if self.was_full {
                // Which refusal a later word about room belongs to must be plain.
                self.drain();
            }
            match self.engine.submit(operation, self.now) {
                Ok(op) => {
                    assert!(!self.shut, "taken after the shut-down");
                    self.under_way(op, true, deadline);
                }
                Err(rejected) => {
                    assert_eq!(
                        (&rejected.operation.key, &rejected.operation.kind),
                        (&given.key, &given.kind)
                    );
                    match rejected.why {
                        RejectReason::Full => {
                            assert!(self.engine.operations() >= self.engine.config().max_operations);
                            self.was_full = true;
                        }
                        RejectReason::Closed => assert!(self.shut),
                        _ => {}
                    }
                }
            }
        }
    }

    fn under_way(&mut self, op: OpId, counts: bool, deadline: Option<Instant>) {
        assert!(!self.ended.contains(&op), "an operation's id comes back");
        assert!(
            self.pending.insert(op, Pending { counts, deadline }).is_none(),
            "an operation's id is not its own"
        );
    }

    fn cancel_one(&mut self) {
        let Some(&op) = self.pending.keys().nth(self.u.below(self.pending.len())) else {
            if let Some(&op) = self.ended.iter().nth(self.u.below(self.ended.len())) {
                self.engine.cancel(op, self.now);
            }
            return;
        };
        self.engine.cancel(op, self.now);
        self.pending.remove(&op);
        self.just_cancelled.insert(op);
    }

    fn open(&mut self) {
        let name = self.u.of(&BUCKETS);
        let bucket = self.engine.open_bucket(name, self.now);
        if !self.buckets.contains(&bucket) {
            self.buckets.push(bucket);
        }
        let (scope, name) = self.u.of(&[("_default", "_default"), ("s", "c"), ("s", "d"), ("_default", "e")]);
        let collection = self.engine.collection(bucket, scope, name);
        if !self.collections.contains(&collection) {
            self.collections.push(collection);
        }
    }

    fn watch(&mut self) {
        if self.u.one_in(3) {
            let timeout = self.engine.config().options.bootstrap_timeout;
            let op = self.engine.bootstrap(self.now);
            self.under_way(op, false, self.now.checked_add(timeout));
            return;
        }
        let bucket = self.buckets.get(self.u.below(self.buckets.len() + 1)).copied();
        let desired = self.u.of(&[DesiredState::Online, DesiredState::Degraded]);
        let timeout = self.u.of(&work::TIMES);
        let op = self.engine.wait_until_ready(bucket, desired, timeout, self.now);
        self.under_way(op, false, self.now.checked_add(timeout.max(Duration::from_nanos(1))));
    }

    fn maybe_shut_down(&mut self) {
        if self.u.byte() < 200 {
            return;
        }
        let drain = if self.u.one_in(8) { Duration::MAX } else { self.u.of(&work::TIMES) };
        self.engine.shut_down(drain, self.now);
        self.shut = true;
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

    /// Early and late calls are harmless, and time does not run backwards.
    fn odd_time(&mut self) {
        let past = self.now.checked_sub(self.u.of(&work::TIMES)).unwrap_or(self.now);
        self.engine.handle_timeout(past);
        if let Some(&conn) = self.conns.keys().next() {
            self.engine.handle_input(Input::Received { conn, data: &[] }, past);
        }
    }

    // ---- The network ----

    fn some_conn(&mut self) -> Option<ConnId> {
        let at = self.u.below(self.conns.len());
        self.conns.keys().nth(at).copied()
    }

    /// Everything goes well for a while: dials, look-ups, writes and answers.
    fn serve(&mut self) {
        for _ in 0..6 {
            self.drain();
            for lookup in std::mem::take(&mut self.lookups) {
                self.engine.handle_input(Input::LookedUp { lookup, answer: Ok(&ADDRESSES[..2]) }, self.now);
            }
            let conns: Vec<ConnId> = self.conns.keys().copied().collect();
            for conn in conns {
                self.connect(conn);
                self.drain();
                self.write(conn, usize::MAX);
                self.answer_all(conn);
                self.deliver(conn, usize::MAX);
            }
        }
    }

    fn connect(&mut self, conn: ConnId) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        if !std::mem::replace(&mut peer.connected, true) || self.u.one_in(32) {
            self.engine.handle_input(Input::Connected { conn, local: None }, self.now);
        }
    }

    fn connect_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.connect(conn);
        }
    }

    /// Reports bytes as written, and hands them to the peer.
    fn write(&mut self, conn: ConnId, len: usize) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        if peer.lent.is_empty() {
            return;
        }
        let len = len.min(peer.lent.len());
        peer.take(len);
        peer.announced = false;
        self.engine.handle_input(Input::Written { conn, len }, self.now);
    }

    fn write_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        let len = if self.u.one_in(4) { usize::MAX } else { usize::from(self.u.word() % 300) };
        self.write(conn, len);
    }

    fn answer_all(&mut self, conn: ConnId) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        for request in std::mem::take(&mut peer.requests) {
            peer.answer(&request, &self.topology);
        }
    }

    fn answer_all_of_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.write(conn, usize::MAX);
            self.answer_all(conn);
            self.deliver(conn, usize::MAX);
        }
    }

    /// One request of any, out of turn and in any way.
    fn answer_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        self.write(conn, usize::MAX);
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        if peer.requests.is_empty() {
            return;
        }
        let request = peer.requests.remove(self.u.below(peer.requests.len()));
        peer.answer_oddly(&request, &self.topology, &mut self.u);
        if !self.u.one_in(4) {
            self.deliver(conn, usize::MAX);
        }
    }

    /// The engine receives what the peer has sent, up to a length.
    fn deliver(&mut self, conn: ConnId, len: usize) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        let len = len.min(peer.outbox.len());
        let data: Vec<u8> = peer.outbox.drain(..len).collect();
        self.engine.handle_input(Input::Received { conn, data: &data }, self.now);
    }

    fn deliver_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            let len = usize::from(self.u.byte());
            self.deliver(conn, len);
        }
    }

    fn notify(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        if let Some(peer) = self.conns.get_mut(&conn) {
            peer.notify(&self.topology, &mut self.u);
            self.deliver(conn, usize::MAX);
        }
    }

    fn garbage(&mut self) {
        if let Some(conn) = self.some_conn() {
            let data = self.u.bytes(60);
            self.engine.handle_input(Input::Received { conn, data }, self.now);
        }
    }

    fn lose_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        let why = self.u.of(&[
            LinkError::Closed,
            LinkError::Reset,
            LinkError::Refused,
            LinkError::TimedOut,
            LinkError::Unreachable,
            LinkError::Io(std::io::ErrorKind::Other),
        ]);
        self.engine.handle_input(Input::Lost { conn, why }, self.now);
        self.conns.remove(&conn);
        self.just_lost.insert(conn);
    }

    fn look_up_one(&mut self) {
        if self.lookups.is_empty() {
            return;
        }
        let lookup = self.lookups.remove(self.u.below(self.lookups.len()));
        let answer = match self.u.below(6) {
            0 => Err(LookupError::NotFound),
            1 => Err(LookupError::Failed),
            2 => Err(LookupError::TimedOut),
            count => Ok(&ADDRESSES[..count - 3 + usize::from(count > 4)]),
        };
        self.engine.handle_input(Input::LookedUp { lookup, answer }, self.now);
        if self.u.one_in(8) {
            self.engine.handle_input(Input::LookedUp { lookup, answer }, self.now);
        }
    }

    /// Connections that ended are none any more, whatever is said about them.
    fn input_about_the_past(&mut self) {
        let Some(&conn) = self.seen.iter().nth(self.u.below(self.seen.len())) else { return };
        let data = [0x81; 30];
        if self.conns.contains_key(&conn) {
            return;
        }
        self.engine.handle_input(Input::Connected { conn, local: None }, self.now);
        self.engine.handle_input(Input::Received { conn, data: &data }, self.now);
        self.engine.handle_input(Input::Written { conn, len: usize::MAX }, self.now);
        self.engine.handle_input(Input::Lost { conn, why: LinkError::Reset }, self.now);
        assert_eq!(self.engine.transmit(conn).count(), 0, "bytes for a connection that is none");
    }
}
