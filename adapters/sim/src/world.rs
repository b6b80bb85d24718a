//! One client engine and the simulated cluster in virtual time.
//!
//! ```text
//! step:  every output of the client is carried out, until it waits
//!        -> the next thing happens: an event of the network, or the instant that the client waits for
//!        -> the client is told, and its outputs are carried out again
//! ```

use crate::{LinkId, Net, NetEvent, QuestionId, SocketId};
use settee::engine::{ConnId, Engine, Event, Input, LookupId, Output, QueryId};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Outputs without a wait between them, after which a client is held to spin.
const MAX_OUTPUTS: usize = 1_000_000;

/// The part of the engine's surface that a driver needs. A wrapper around an engine, one that checks or records,
/// can be driven as well.
pub trait Machine {
    /// The world tells the engine something.
    fn handle_input(&mut self, input: Input<'_>, now: Instant);
    /// The instant of the last [`Output::Wait`] has come.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing that the engine wants.
    fn poll_output(&mut self) -> Output;
    /// Appends the bytes that the engine lends for a connection.
    fn transmit(&self, conn: ConnId, out: &mut Vec<u8>);
}

impl Machine for Engine {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        Self::handle_input(self, input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_output(&mut self) -> Output {
        Self::poll_output(self)
    }

    fn transmit(&self, conn: ConnId, out: &mut Vec<u8>) {
        for slice in Self::transmit(self, conn) {
            out.extend_from_slice(slice);
        }
    }
}

/// A client and a network with the cluster on it.
pub struct World<M> {
    /// The network; through it the cluster.
    pub net: Net,
    /// The client.
    pub client: M,
    /// At most this many bytes are written at once; 0: all.
    pub max_write: usize,
    links: BTreeMap<ConnId, LinkId>,
    conns: BTreeMap<LinkId, ConnId>,
    dialled: Vec<(ConnId, LinkId, SocketAddr)>,
    questions: BTreeMap<QuestionId, LookupId>,
    sockets: BTreeMap<QueryId, SocketId>,
    queries: BTreeMap<SocketId, QueryId>,
    events: VecDeque<Event>,
    wake: Option<Instant>,
    transcript: Option<Vec<String>>,
    start: Instant,
}

impl<M: Machine> World<M> {
    /// A world in which the client has done nothing yet.
    pub fn new(net: Net, client: M) -> Self {
        let start = net.now();
        Self {
            net,
            client,
            max_write: 0,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            dialled: Vec::new(),
            questions: BTreeMap::new(),
            sockets: BTreeMap::new(),
            queries: BTreeMap::new(),
            events: VecDeque::new(),
            wake: None,
            transcript: None,
            start,
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.net.now()
    }

    /// Virtual time since the world began.
    pub fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.start)
    }

    /// Begins to record what happens, one line each, for comparing runs.
    pub fn record(&mut self) {
        self.transcript.get_or_insert_with(Vec::new);
    }

    /// What was recorded.
    pub fn transcript(&self) -> &[String] {
        self.transcript.as_deref().unwrap_or_default()
    }

    /// The next event that the client had for its application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the client has dialled so far, in order.
    pub fn dialled(&self) -> impl Iterator<Item = (ConnId, LinkId, SocketAddr)> {
        self.dialled.iter().copied()
    }

    /// Whether the client waits for time to pass, and until when.
    pub const fn waits_until(&self) -> Option<Instant> {
        self.wake
    }

    /// Carries out what the client wants, then lets the next thing happen, then carries out what the client wants
    /// because of it. `false`: nothing is going to happen any more.
    ///
    /// # Panics
    /// If the client breaks its contract: it never comes to wait, or waits for an instant that has passed.
    pub fn step(&mut self) -> bool {
        self.step_until(None)
    }

    /// The same, up to an instant: `false` if nothing happened up to it, which is the time then.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_until(&mut self, limit: Option<Instant>) -> bool {
        self.settle();
        let until = self.wake.into_iter().chain(limit).min();
        let event = self.net.step(until);
        let now = self.net.now();
        let happened = match event {
            Some(event) => {
                self.tell(event, now);
                // The event may have been for nobody, at the very instant that the client waits for.
                if self.wake.is_some_and(|wake| wake <= now) {
                    self.client.handle_timeout(now);
                }
                true
            }
            None if self.wake.is_some_and(|wake| wake <= now) => {
                self.note(|| "time-out".to_owned());
                self.client.handle_timeout(now);
                true
            }
            None => false,
        };
        self.settle();
        happened
    }

    /// Steps until `done` says so, at most for `limit` of virtual time; whether it did.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now() + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            if !self.step_until(Some(end)) {
                return done(self);
            }
        }
    }

    /// Lets virtual time pass.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now() + duration;
        while self.step_until(Some(end)) {}
    }

    /// Carries out the client's outputs until it waits. To be called after a command to the client from outside,
    /// if the next thing is not a step.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn settle(&mut self) {
        for _ in 0..MAX_OUTPUTS {
            match self.client.poll_output() {
                Output::Connect(dial) => {
                    let link = self.net.dial(dial.address);
                    self.note(|| format!("dial {} as link {}", dial.address, link.0));
                    self.links.insert(dial.conn, link);
                    self.conns.insert(link, dial.conn);
                    self.dialled.push((dial.conn, link, dial.address));
                }
                Output::Disconnect(conn) => {
                    if let Some(link) = self.links.remove(&conn) {
                        self.note(|| format!("hang up link {}", link.0));
                        self.conns.remove(&link);
                        self.net.hang_up(link);
                    }
                }
                Output::Transmit(conn) => self.transmit(conn),
                Output::Lookup(lookup) => {
                    let question = self.net.look_up(&lookup.name);
                    self.note(|| format!("look up {}", lookup.name));
                    self.questions.insert(question, lookup.lookup);
                }
                Output::CancelLookup(lookup) => self.questions.retain(|_, asked| *asked != lookup),
                Output::Datagram(datagram) => {
                    let net = &mut self.net;
                    let socket = *self.sockets.entry(datagram.query).or_insert_with(|| net.open_socket());
                    self.queries.insert(socket, datagram.query);
                    self.note(|| format!("datagram to {} on socket {}", datagram.server, socket.0));
                    self.net.send_datagram(socket, datagram.server, &datagram.payload);
                }
                Output::EndQuery(query) => {
                    if let Some(socket) = self.sockets.remove(&query) {
                        self.note(|| format!("close socket {}", socket.0));
                        self.queries.remove(&socket);
                        self.net.close_socket(socket);
                    }
                }
                Output::Event(event) => {
                    self.note(|| format!("event {event:?}"));
                    self.events.push_back(event);
                }
                Output::Wait(at) => {
                    let now = self.now();
                    assert!(
                        at.is_none_or(|at| at > now),
                        "the client waits for an instant that has passed, at {:?}",
                        self.elapsed()
                    );
                    self.wake = at;
                    return;
                }
                // Outputs that this world does not know are for adapters that can do more.
                _ => {}
            }
        }
        panic!("the client never comes to wait, at {:?}", self.elapsed());
    }

    fn transmit(&mut self, conn: ConnId) {
        let mut bytes = Vec::new();
        self.client.transmit(conn, &mut bytes);
        if self.max_write > 0 {
            bytes.truncate(self.max_write);
        }
        if let Some(link) = self.links.get(&conn).copied() {
            self.note(|| format!("send {} on link {}: {:08x}", bytes.len(), link.0, crc32fast::hash(&bytes)));
            self.net.send(link, &bytes);
        }
        let now = self.now();
        self.client.handle_input(Input::Written { conn, len: bytes.len() }, now);
    }

    fn tell(&mut self, event: NetEvent, now: Instant) {
        self.note(|| match &event {
            NetEvent::Received(link, bytes) => {
                format!("received {} on link {}: {:08x}", bytes.len(), link.0, crc32fast::hash(bytes))
            }
            NetEvent::Datagram(socket, from, bytes) => {
                format!("datagram of {} from {from} on socket {}", bytes.len(), socket.0)
            }
            other => format!("{other:?}"),
        });
        match event {
            NetEvent::Connected(link) => {
                if let Some(conn) = self.conns.get(&link).copied() {
                    self.client.handle_input(Input::Connected { conn, local: None }, now);
                }
            }
            NetEvent::Received(link, bytes) => {
                if let Some(conn) = self.conns.get(&link).copied() {
                    self.client.handle_input(Input::Received { conn, data: &bytes }, now);
                }
            }
            NetEvent::Lost(link, why) => {
                if let Some(conn) = self.conns.remove(&link) {
                    self.links.remove(&conn);
                    self.client.handle_input(Input::Lost { conn, why }, now);
                }
            }
            NetEvent::LookedUp(question, answer) => {
                if let Some(lookup) = self.questions.remove(&question) {
                    let answer = match &answer {
                        Ok(addresses) => Ok(&addresses[..]),
                        Err(error) => Err(*error),
                    };
                    self.client.handle_input(Input::LookedUp { lookup, answer }, now);
                }
            }
            NetEvent::Datagram(socket, from, payload) => {
                if let Some(query) = self.queries.get(&socket).copied() {
                    self.client.handle_input(Input::Datagram { query, from, payload: &payload }, now);
                }
            }
            NetEvent::DatagramFailed(socket, why) => {
                if let Some(query) = self.queries.get(&socket).copied() {
                    self.client.handle_input(Input::DatagramFailed { query, why }, now);
                }
            }
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.elapsed();
        if let Some(transcript) = &mut self.transcript {
            transcript.push(format!("{at:?} {}", line()));
        }
    }
}

#[cfg(test)]
mod tests;
