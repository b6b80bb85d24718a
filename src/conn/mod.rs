//! One key-value connection: the pipelined handshake, requests under way, keep-alive.
//!
//! [`Connection`] is a state machine over one TCP stream: bytes in by [`Connection::handle_read`], bytes out by
//! [`Connection::transmit`] and [`Connection::written`], results by [`Connection::poll_event`]. It is a layer of the
//! engine and public for proxies and tools.
//!
//! ```text
//!            connected            all steps answered            close
//!  Dialing ------------> Handshake -----------------> Ready -----------> Closed
//!                           |      <----------------  |                    ^
//!                           |        select_bucket    |                    |
//!                           +-------------------------+--------------------+
//!                             a step failed for good, or the stream broke
//! ```

mod event;
mod frames;
mod handshake;
mod inflight;
mod tx;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use event::{Answer, ConnEvent, Extras, Notification, SendError};
pub use handshake::{ConnFailure, Settings};

use handshake::{Handshake, Step};
use inflight::{InFlight, Request, Taken};
use tx::{LEND_FROM, SendBuffer};

use crate::auth::{Authenticator, Exchange, Mechanism, SaltedPassword};
use crate::ids::Opaque;
use crate::wire::{DecodeError, Decoder, Encode, Feature, FeatureSet, Opcode};

/// No further request is encoded while so many bytes wait: what waits unencoded can still be withdrawn.
const HIGH_WATER: usize = 1024 * 1024;
/// Silence after a keep-alive until the connection counts as dead (`kv-protocol.md` 8.6).
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(2500);
/// Time after a keep-alive within which a whole frame must come, however many bytes do: a stream that is out of step
/// may take every answer for the body of a frame that never ends.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// One key-value connection; `T` is what the owner knows a request by.
#[derive(Debug)]
pub struct Connection<T> {
    decoder: Decoder,
    tx: SendBuffer,
    state: State<T>,
    keep_alive: Option<Duration>,
    last_received: Instant,
    probe_sent: Option<Instant>,
}

/// Everything that a received frame may change; apart from the decoder, which lends frames while it is borrowed.
#[derive(Debug)]
struct State<T> {
    phase: Phase,
    handshake: Handshake,
    features: FeatureSet,
    inflight: InFlight<Tag<T>>,
    events: VecDeque<ConnEvent<T>>,
    /// The request whose answer broke the stream.
    culprit: Option<Opaque>,
    /// Whether a whole frame has come since the last keep-alive was sent.
    heard: bool,
    /// Newer credentials that the server has not judged yet, and when the last of them were sent.
    renewals: usize,
    renewed_at: Option<Instant>,
    /// Keep-alives without an answer.
    probes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Handshake,
    Ready,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag<T> {
    Owner(T),
    Step(Step),
    Probe,
    Renewal,
}

impl<T: Copy> Connection<T> {
    /// A connection whose dial has begun.
    pub fn new(settings: Settings, now: Instant) -> Self {
        // A handshake has up to eight requests under way.
        let (window, keep_alive) = (settings.window.max(8), settings.keep_alive);
        Self {
            decoder: Decoder::new(),
            tx: SendBuffer::default(),
            state: State {
                phase: Phase::Dialing,
                handshake: Handshake::new(settings),
                features: FeatureSet::EMPTY,
                inflight: InFlight::new(window),
                events: VecDeque::new(),
                culprit: None,
                heard: false,
                renewals: 0,
                renewed_at: None,
                probes: 0,
            },
            keep_alive,
            last_received: now,
            probe_sent: None,
        }
    }

    /// The dial succeeded: the handshake begins.
    pub fn connected(&mut self, now: Instant) {
        if self.state.phase != Phase::Dialing {
            return;
        }
        self.last_received = now;
        self.state.phase = Phase::Handshake;
        self.state.handshake.begin(&mut self.state.events);
        self.pump();
    }

    /// Takes received bytes.
    pub fn handle_read(&mut self, data: &[u8], now: Instant) {
        if matches!(self.state.phase, Phase::Dialing | Phase::Closed) {
            return;
        }
        self.last_received = now;
        let state = RefCell::new(&mut self.state);
        let result = self.decoder.feed_checked(
            data,
            |header| state.borrow_mut().check(header),
            |frame| state.borrow_mut().on_frame(frame),
        );
        if let Err(error) = result {
            self.break_off(error);
        }
        self.pump();
    }

    /// The next thing to know; call until `None`.
    pub fn poll_event(&mut self) -> Option<ConnEvent<T>> {
        self.state.events.pop_front()
    }

    /// Continues the handshake with the password salted as [`ConnEvent::Salt`] asked.
    pub fn salted(&mut self, salted: &SaltedPassword) {
        let state = &mut self.state;
        if state.phase == Phase::Handshake {
            state.handshake.salted(salted, &mut state.events);
            self.pump();
        }
    }

    /// Selects a bucket on a connection without one, and asks for its map if `fetch_config`. The connection is in its
    /// handshake until the answers have come. `false`, and nothing happens, unless it is ready and idle (FR-16).
    pub fn select_bucket(&mut self, bucket: &str, fetch_config: bool) -> bool {
        let idle = self.state.inflight.live() == 0 && self.state.inflight.given_up() == 0;
        if self.state.phase != Phase::Ready || !idle {
            return false;
        }
        self.state.phase = Phase::Handshake;
        self.state.handshake.select(bucket, fetch_config);
        self.pump();
        true
    }

    /// Shows the server a newer token, ahead of all requests that are not encoded yet (AUTH-11): those wait for
    /// [`ConnEvent::Renewed`], since a refusal takes away the rights that the connection had. `false`, and nothing
    /// happens, for other credentials and unless the connection is ready and has room.
    pub fn reauthenticate(&mut self, authenticator: &Authenticator, now: Instant) -> bool {
        if self.state.phase != Phase::Ready || !self.state.inflight.has_room() {
            return false;
        }
        let mechanism = Mechanism::OauthBearer;
        let Ok(exchange) = Exchange::start(authenticator, mechanism, String::new) else { return false };
        let payload = handshake::secret(exchange.initial_response());
        let request =
            Encode { key: mechanism.name().as_bytes(), ..Encode::request(Opcode::SASL_AUTH, Opaque(0)) };
        self.tx.begin_secret();
        if self.write(Tag::Renewal, request, &payload).is_err() {
            return false;
        }
        self.state.handshake.set_authenticator(authenticator);
        self.state.renewals += 1;
        self.state.renewed_at = Some(now);
        true
    }

    /// The credentials that it was opened with, or showed the server last.
    pub fn authenticator(&self) -> &Authenticator {
        self.state.handshake.authenticator()
    }

    /// Whether a request can be sent at the moment.
    pub fn can_send(&self) -> bool {
        self.state.phase == Phase::Ready
            && self.state.renewals == 0
            && self.state.inflight.has_room()
            && self.tx.pending() < HIGH_WATER
    }

    /// Sends a request; the opaque in `request` is replaced. A large value is lent, not copied.
    ///
    /// # Errors
    /// [`SendError`]; nothing is written then.
    pub fn send(&mut self, tag: T, request: Encode<'_>, value: &Bytes) -> Result<Opaque, SendError> {
        if self.state.phase != Phase::Ready {
            return Err(SendError::NoRoom);
        }
        self.write(Tag::Owner(tag), request, value)
    }

    /// Gives a request up: its answer, if it comes, is an orphan.
    pub fn give_up(&mut self, opaque: Opaque) {
        self.state.inflight.give_up(opaque);
    }

    /// Asks for a sign of life unless one is due already: something else has shown that the peer may be gone.
    pub fn probe(&mut self, now: Instant) {
        // One that was followed by a sign of life is done, though the timer has not looked yet.
        let is_due = self.probe_sent.is_none() || self.state.heard;
        if self.state.phase == Phase::Ready && is_due {
            let noop = Encode::request(Opcode::NOOP, Opaque(0));
            // Without room for it the requests under way do as well: the peer owes an answer to each.
            if self.write(Tag::Probe, noop, &Bytes::new()).is_ok() {
                self.state.probes += 1;
            }
            self.probe_sent = Some(now);
            self.state.heard = false;
        }
    }

    /// Whether the answer to a keep-alive is still to come.
    pub fn awaits_probe(&self) -> bool {
        self.state.probes > 0
    }

    /// When [`Connection::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state.phase != Phase::Ready {
            return None;
        }
        let alive = match self.probe_sent {
            Some(sent) => {
                let silent = self.last_received.max(sent).checked_add(PROBE_TIMEOUT)?;
                sent.checked_add(FRAME_TIMEOUT).map(|at| at.min(silent))
            }
            None => self.keep_alive.and_then(|silence| self.last_received.checked_add(silence)),
        };
        match (alive, self.renewal_timeout()) {
            (Some(alive), Some(renewal)) => Some(alive.min(renewal)),
            (alive, renewal) => alive.or(renewal),
        }
    }

    /// Requests wait for the answer to newer credentials, so it has to come soon.
    fn renewal_timeout(&self) -> Option<Instant> {
        self.state.renewed_at?.checked_add(PROBE_TIMEOUT)
    }

    /// Does what is due: a keep-alive, or `true`: the peer has been silent for too long after one and is given up.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return false;
        }
        if self.renewal_timeout().is_some_and(|at| at <= now) {
            return true;
        }
        match self.probe_sent {
            // Any frame is a sign of life, also where the answer itself is late behind slow requests.
            Some(_) if self.state.heard => {
                self.probe_sent = None;
                false
            }
            Some(_) => true,
            None => {
                self.probe(now);
                false
            }
        }
    }

    /// The bytes to write, in order; they stay until [`Connection::written`].
    pub fn transmit(&self) -> impl Iterator<Item = &[u8]> {
        self.tx.slices()
    }

    /// Whether there are bytes to write.
    pub fn has_output(&self) -> bool {
        self.tx.pending() > 0
    }

    /// So many bytes are written.
    pub fn written(&mut self, len: usize) {
        self.tx.consume(len);
    }

    /// Ends the connection: every request without an answer, in the order of the stream, and whether a part of it was
    /// written.
    pub fn close(&mut self) -> Vec<(T, bool)> {
        self.state.phase = Phase::Closed;
        let written = self.tx.written();
        let requests = self.state.inflight.drain();
        let owners = requests.into_iter().filter_map(|request| match request.tag {
            Tag::Owner(tag) => Some((tag, request.start < written)),
            Tag::Step(_) | Tag::Probe | Tag::Renewal => None,
        });
        owners.collect()
    }

    /// Whether the handshake is done.
    pub fn is_ready(&self) -> bool {
        self.state.phase == Phase::Ready
    }

    /// Whether nothing of the owner's is under way and nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        self.state.inflight.live() == 0 && self.tx.pending() == 0 && self.state.events.is_empty()
    }

    /// What the server granted.
    pub fn features(&self) -> FeatureSet {
        self.state.features
    }

    /// The server's error map, as it came; empty if there is none.
    pub fn error_map(&self) -> &Bytes {
        self.state.handshake.error_map()
    }

    /// The mechanism that authenticated, to be tried first from then on (AUTH-3).
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.state.handshake.mechanism()
    }

    /// How far the handshake is.
    pub fn stage(&self) -> crate::stage::Stage {
        self.state.handshake.stage()
    }

    /// Whether collections were asked for; not after they were given up for a bucket of a type without them
    /// (`kv-protocol.md` 7.4).
    pub fn wants_collections(&self) -> bool {
        self.state.handshake.wants_collections()
    }

    /// Whether the peer, which accepted the credentials but has no errors with a text, may end the handshake to say
    /// that a privilege is missing (BOOT-1).
    pub fn is_unexplained(&self) -> bool {
        self.state.phase == Phase::Handshake
            && self.state.handshake.is_authenticated()
            && self.state.handshake.is_greeted()
            && !self.state.features.contains(Feature::XERROR)
    }

    /// Requests that wait for an answer, and requests given up whose answer may still come.
    pub fn in_flight(&self) -> (usize, usize) {
        (self.state.inflight.live(), self.state.inflight.given_up())
    }

    /// Sends the handshake's steps as far as they may be sent.
    fn pump(&mut self) {
        while self.state.phase == Phase::Handshake {
            let Some((step, bytes)) = self.state.handshake.next_step() else { break };
            let request = Encode {
                extras: &bytes.extras[..bytes.extras_len],
                key: &bytes.key,
                ..Encode::request(step.opcode(), Opaque(0))
            };
            if step.opcode() == Opcode::SASL_AUTH {
                self.tx.begin_secret();
            }
            if self.write(Tag::Step(step), request, &bytes.value).is_err() {
                let failure = ConnFailure::unsendable(step);
                self.state.fail(failure);
            }
        }
    }

    fn write(&mut self, tag: Tag<T>, request: Encode<'_>, value: &Bytes) -> Result<Opaque, SendError> {
        let entry = Request { tag, opcode: request.opcode, start: self.tx.end() };
        let opaque = self.state.inflight.insert(entry).ok_or(SendError::NoRoom)?;
        let request = Encode { opaque, ..request };
        let lend = value.len() >= LEND_FROM;
        let encoded = self
            .tx
            .gather(|out| if lend { request.emit_head(value.len(), out) } else { request.emit(value, out) });
        match encoded {
            Ok(()) if lend => self.tx.lend(value.clone()),
            Ok(()) => {}
            Err(error) => {
                self.state.inflight.take(opaque, request.opcode);
                return Err(SendError::Encode(error));
            }
        }
        Ok(opaque)
    }

    fn break_off(&mut self, error: DecodeError) {
        let opaque = match &error {
            DecodeError::Lengths { opaque, .. } => Some(*opaque),
            _ => self.state.culprit,
        };
        let culprit = opaque.and_then(|opaque| {
            let opcode = self.state.inflight.opcode(opaque)?;
            match self.state.inflight.take(opaque, opcode) {
                Taken::Live(Tag::Owner(tag)) => Some(tag),
                _ => None,
            }
        });
        if self.state.phase != Phase::Closed {
            self.state.events.push_back(ConnEvent::Broken { error, culprit });
        }
        self.state.phase = Phase::Closed;
    }
}

#[cfg(test)]
mod tests;
