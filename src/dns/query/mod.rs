//! The resolver: one query, from its first datagram to its outcome.
//!
//! ```text
//!           +--> datagram to the next server --answer--> Done
//!           |      |                    |
//!           |      | failure, silence   | truncated
//!           |      v                    v
//!           +---- next try <--failure-- TCP to the same server --answer--> Done
//!                  | none left
//!                  v
//!           linger for late answers --> Done: the most telling failure, or the part that fitted
//! ```

mod answers;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ResolverConfig;
use super::message::{self, Header};
use super::outcome::{Answer, Outcome, SrvError, Target};
use super::stream::{Frames, Stream};

/// No query is worth more time; keeps instants within their range.
const MAX_DEADLINE: Duration = Duration::from_secs(3600);

/// What the query wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Send this datagram to a name server; what comes back is [`Query::on_datagram`].
    Datagram {
        /// To whom.
        server: SocketAddr,
        /// The message, at most 300 bytes.
        payload: Vec<u8>,
    },
    /// Open a TCP connection; answer with [`Query::on_connected`] or [`Query::on_stream_lost`]. There is one at a time.
    Connect {
        /// To whom.
        server: SocketAddr,
    },
    /// Write these bytes to the TCP connection, which is open.
    Send {
        /// The bytes.
        payload: Vec<u8>,
    },
    /// Close the TCP connection, or give up its dial.
    Close,
    /// The query is over. Comes once, and is the last action.
    Done(Outcome),
}

/// The SRV records of one name, asked of name servers (CS-27). See the [module](super) for its rules.
///
/// Drive it like the engine: tell it what happened, then take what [`Query::poll`] gives until it gives `None`, and call
/// [`Query::on_timeout`] at [`Query::poll_timeout`]. Inputs that do not fit are ignored.
#[derive(Debug)]
pub struct Query {
    name: String,
    /// The name in wire form.
    wire_name: Vec<u8>,
    servers: Vec<Server>,
    timeout: Duration,
    started: Instant,
    deadline: Instant,
    /// The state of the generator of ids.
    ids: u64,
    /// Which server the next try asks.
    next: usize,
    tries_left: u64,
    tries: u32,
    /// Datagrams whose answer would count.
    asked: Vec<Asked>,
    stream: Option<Stream>,
    stage: Stage,
    failure: Option<(SrvError, Option<SocketAddr>)>,
    partial: Option<Partial>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Asked with EDNS, until it turns out not to know it or keeps silent.
    edns: bool,
    no_tcp: bool,
}

#[derive(Debug)]
struct Asked {
    server: usize,
    id: u16,
    /// Until when an answer is waited for after the last try; it counts later as well.
    until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A datagram, the last in `asked`, or the stream has until then.
    Try {
        until: Instant,
    },
    /// Every try was made; one of their answers may still come.
    Linger {
        until: Instant,
    },
    Done,
}

/// A truncated answer: the last resort.
#[derive(Debug)]
struct Partial {
    targets: Vec<Target>,
    left_out: usize,
    server: SocketAddr,
    bytes: usize,
}

/// How a message travelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// With the index of its question in `asked`.
    Udp(usize),
    Tcp,
}

impl Query {
    /// Begins to ask for the SRV records of `name`, an absolute name such as `_couchbases._tcp.cb.example.com`. It ends within
    /// `deadline` (CS-28), however the time-outs of `config` are. `ids` is fresh randomness: what makes message ids hard to
    /// guess, and with [`ResolverConfig::rotate`] picks the first server.
    pub fn new(name: &str, config: &ResolverConfig, deadline: Duration, ids: u64, now: Instant) -> Self {
        let servers: Vec<_> =
            config.servers.iter().map(|&address| Server { address, edns: true, no_tcp: false }).collect();
        let deadline = deadline.min(MAX_DEADLINE);
        let wire_name = message::encode_name(name);
        let mut query = Self {
            name: name.to_owned(),
            timeout: config.timeout,
            started: now,
            deadline: now.checked_add(deadline).unwrap_or(now),
            ids,
            next: 0,
            tries_left: servers.len() as u64 * u64::from(config.attempts.max(1)),
            tries: 0,
            asked: Vec::new(),
            stream: None,
            stage: Stage::Try { until: now },
            failure: None,
            partial: None,
            actions: VecDeque::new(),
            wire_name: wire_name.unwrap_or_default(),
            servers,
        };
        if query.wire_name.is_empty() {
            query.give_up(SrvError::InvalidName, now);
        } else if query.servers.is_empty() {
            query.give_up(SrvError::NoServers, now);
        } else if query.deadline <= now {
            query.give_up(SrvError::TimedOut, now);
        } else {
            if config.rotate {
                query.next = (query.random() % query.servers.len() as u64) as usize;
            }
            query.next_try(now);
        }
        query
    }

    /// The name that is asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the outcome is known; [`Query::poll`] has given it or is about to.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The next thing to do; call until it gives `None`.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Query::on_timeout`] is due; `None` once the query is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Try { until } | Stage::Linger { until } => Some(until.min(self.deadline)),
            Stage::Done => None,
        }
    }

    /// A datagram arrived, from whomever.
    pub fn on_datagram(&mut self, from: SocketAddr, payload: &[u8], now: Instant) {
        let Some(header) = Header::read(payload).filter(Header::is_response) else { return };
        let asked = self
            .asked
            .iter()
            .position(|asked| asked.id == header.id && same_address(self.server(asked.server), from));
        if let (Some(index), false) = (asked, self.is_done()) {
            let server = self.asked.get(index).map_or(0, |asked| asked.server);
            self.on_message(server, Transport::Udp(index), header, payload, now);
        }
    }

    /// A datagram could not be sent, or the server's port is closed: [`SrvError::Unreachable`]. [`SrvError::Unsupported`] says
    /// that the adapter has no datagrams at all and ends the query. `server` is `None` where it is not known to
    /// which one the datagram went: the last one.
    pub fn on_datagram_failed(&mut self, server: Option<SocketAddr>, why: SrvError, now: Instant) {
        if self.is_done() {
            return;
        }
        if why == SrvError::Unsupported {
            return self.give_up(why, now);
        }
        let current = self.asked.last().filter(|_| self.stream.is_none()).map(|asked| asked.server);
        let failed = match server {
            Some(server) => self.servers.iter().position(|known| same_address(known.address, server)),
            None => current,
        };
        let Some(failed) = failed else { return };
        self.fail(failed, why);
        // Errors of sockets tell of any datagram before, so the answer of this one still counts; it is just not waited for.
        for asked in &mut self.asked {
            if asked.server == failed {
                asked.until = now;
            }
        }
        match self.stage {
            Stage::Try { .. } if current == Some(failed) => self.next_try(now),
            Stage::Linger { .. } => self.linger(now),
            _ => {}
        }
    }

    /// The TCP connection is open.
    pub fn on_connected(&mut self, now: Instant) {
        if self.stream.as_ref().is_some_and(|stream| !stream.connected) && !self.is_done() {
            self.send(now);
        }
    }

    /// Bytes arrived on the TCP connection, in any slices.
    pub fn on_stream(&mut self, mut data: &[u8], now: Instant) {
        while let Some(stream) = self.stream.as_mut().filter(|stream| stream.connected) {
            let server = stream.server;
            let message = match stream.frames.read(&mut data) {
                Frames::Partial => return,
                Frames::Whole(message) => message,
            };
            match Header::read(&message) {
                None => self.stream_failed(SrvError::Malformed("a message without a header".to_owned()), now),
                Some(header) if header.is_response() && header.id == stream.id => {
                    self.on_message(server, Transport::Tcp, header, &message, now);
                }
                Some(_) => {}
            }
        }
    }

    /// The TCP connection ended, or could not be opened.
    pub fn on_stream_lost(&mut self, now: Instant) {
        if let Some(stream) = self.stream.take() {
            if let Some(server) = self.servers.get_mut(stream.server) {
                server.no_tcp = true;
            }
            self.fail(stream.server, SrvError::TruncatedNoTcp);
            self.next_try(now);
        }
    }

    /// Time has passed; too early and too late calls are harmless.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.is_done() || self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match self.stage {
            Stage::Try { .. } if self.stream.is_some() => self.stream_failed(SrvError::TruncatedNoTcp, now),
            Stage::Try { .. } => {
                if let Some(server) = self.asked.last().map(|asked| asked.server) {
                    self.fail(server, SrvError::TimedOut);
                    // Some routers drop what they do not know.
                    if let Some(server) = self.servers.get_mut(server) {
                        server.edns = false;
                    }
                }
                self.next_try(now);
            }
            Stage::Linger { .. } => self.give_up(SrvError::TimedOut, now),
            Stage::Done => {}
        }
    }

    fn stream_failed(&mut self, why: SrvError, now: Instant) {
        if self.stream.is_some() {
            self.actions.push_back(Action::Close);
        }
        if let Some(stream) = self.stream.take() {
            if let Some(server) = self.servers.get_mut(stream.server) {
                server.no_tcp = true;
            }
            self.fail(stream.server, why);
            self.next_try(now);
        }
    }

    fn next_try(&mut self, now: Instant) {
        if now >= self.deadline {
            return self.give_up(SrvError::TimedOut, now);
        }
        if self.tries_left == 0 {
            return self.linger(now);
        }
        let until = self.share(now, self.tries_left);
        self.tries_left -= 1;
        let server = self.next;
        self.next = (self.next + 1) % self.servers.len().max(1);
        self.ask(server, now);
        self.stage = Stage::Try { until };
    }

    /// Every server was asked as often as it may be: what is left is to wait for those that have not answered.
    fn linger(&mut self, now: Instant) {
        match self.asked.iter().map(|asked| asked.until).max() {
            Some(until) if until > now && self.deadline > now => self.stage = Stage::Linger { until },
            _ => self.give_up(SrvError::TimedOut, now),
        }
    }

    fn ask(&mut self, server: usize, now: Instant) {
        let Some(&Server { address, edns, .. }) = self.servers.get(server) else { return };
        let id = self.random() as u16;
        let payload = message::write_query(id, &self.wire_name, edns);
        self.actions.push_back(Action::Datagram { server: address, payload });
        self.asked.push(Asked { server, id, until: self.share(now, 1) });
        self.tries = self.tries.saturating_add(1);
    }

    fn send(&mut self, now: Instant) {
        let id = self.random() as u16;
        let Some(stream) = &mut self.stream else { return };
        stream.connected = true;
        stream.id = id;
        let edns = self.servers.get(stream.server).is_some_and(|server| server.edns);
        let message = message::write_query(id, &self.wire_name, edns);
        match Stream::frame(&message) {
            Some(payload) => self.actions.push_back(Action::Send { payload }),
            None => self.stream_failed(SrvError::InvalidName, now),
        }
    }

    fn fail(&mut self, server: usize, why: SrvError) {
        if self.failure.as_ref().is_none_or(|(known, _)| known.weight() < why.weight()) {
            self.failure = Some((why, Some(self.server(server))));
        }
    }

    /// The end without an answer: the part of one that fitted, or the most telling failure.
    fn give_up(&mut self, why: SrvError, now: Instant) {
        let outcome = match self.partial.take() {
            Some(Partial { targets, left_out, server, bytes }) => Outcome {
                bytes,
                left_out,
                truncated: true,
                ..self.outcome(Answer::Records(targets), Some(server), now)
            },
            None => {
                let (error, server) = match self.failure.take() {
                    Some((known, server)) if known.weight() >= why.weight() => (known, server),
                    _ => (why, self.asked.last().map(|asked| self.server(asked.server))),
                };
                self.outcome(Answer::Failed(error), server, now)
            }
        };
        self.end(outcome);
    }

    fn outcome(&self, answer: Answer, server: Option<SocketAddr>, now: Instant) -> Outcome {
        Outcome {
            name: self.name.clone(),
            answer,
            server,
            elapsed: now.saturating_duration_since(self.started),
            bytes: 0,
            over_tcp: false,
            truncated: false,
            left_out: 0,
            tries: self.tries,
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if self.stream.take().is_some() {
            self.actions.push_back(Action::Close);
        }
        self.stage = Stage::Done;
        self.asked.clear();
        self.actions.push_back(Action::Done(outcome));
    }

    /// The end of one of `shares` equal parts of what is left of the time, at most a time-out away. A millisecond is the
    /// least, so that time passes.
    fn share(&self, now: Instant, shares: u64) -> Instant {
        let rest = self.deadline.saturating_duration_since(now);
        let share = rest / u32::try_from(shares.max(1)).unwrap_or(u32::MAX);
        now.checked_add(share.min(self.timeout).max(Duration::from_millis(1))).unwrap_or(self.deadline)
    }

    /// SplitMix64 over the given randomness.
    fn random(&mut self) -> u64 {
        self.ids = self.ids.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.ids;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn server(&self, index: usize) -> SocketAddr {
        match self.servers.get(index) {
            Some(server) => server.address,
            None => SocketAddr::from(([0; 4], 0)),
        }
    }
}

/// Scope and flow are the socket's business, and an IPv4 address may come in an IPv6 one.
fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}
