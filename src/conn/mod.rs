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

mod handshake;
mod inflight;
mod tx;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use handshake::{ConnFailure, Settings};

use handshake::{Handshake, Step};
use inflight::{InFlight, Request, Taken};
use tx::{LEND_FROM, SendBuffer};

use crate::auth::{Authenticator, Exchange, Mechanism, SaltRequest, SaltedPassword};
use crate::ids::{Cas, Opaque};
use crate::wire::{
    DecodeError, Decoder, Encode, EncodeError, Feature, FeatureSet, Frame, Header, InboundLimits, Magic,
    Opcode, ResponseFrameInfos, ServerDuration, ServerOpcode, Status, Stop, datatype,
};

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

/// What a connection tells its owner.
#[derive(Debug)]
pub enum ConnEvent<T> {
    /// An answer to a request of the owner's.
    Answer(Answer<T>),
    /// The password must be salted so for the handshake to go on: [`Connection::salted`].
    Salt(SaltRequest),
    /// A cluster map came with the handshake, decompressed.
    Config(Bytes),
    /// The handshake's request for a map was refused.
    ConfigRefused(Status),
    /// The bucket could not be selected; the connection goes on without one.
    BucketRefused {
        /// The server's status.
        status: Status,
        /// What the server said in the error's body.
        context: Option<String>,
    },
    /// The handshake is done: requests may be sent.
    Ready {
        /// Whether the bucket asked for is selected.
        bound: bool,
    },
    /// The server has judged what [`Connection::reauthenticate`] showed it; refused, the connection must be closed.
    Renewed(Result<(), ConnFailure>),
    /// The credentials have expired at the server: close the connection (AUTH-12).
    Stale,
    /// A newer cluster map exists (`kv-protocol.md` 2.9).
    Notification(Notification),
    /// An answer that nobody waits for.
    Orphan {
        /// Its opaque.
        opaque: Opaque,
        /// Its opcode.
        opcode: Opcode,
        /// Whether a request with this opaque had been given up.
        given_up: bool,
    },
    /// The handshake failed for good: close the connection.
    Failed(ConnFailure),
    /// The stream is lost: close the connection (FR-8).
    Broken {
        /// What is wrong with it.
        error: DecodeError,
        /// The request whose answer was at fault, if that is known.
        culprit: Option<T>,
    },
}

/// An answer to a request of the owner's, its value decompressed and in memory of its own.
#[derive(Debug)]
pub struct Answer<T> {
    /// What the owner knows the request by.
    pub tag: T,
    /// The operation.
    pub opcode: Opcode,
    /// The server's status.
    pub status: Status,
    /// Datatype bits, the one for compression already taken off.
    pub datatype: u8,
    /// Compare-and-swap token.
    pub cas: Cas,
    /// The request's identifier.
    pub opaque: Opaque,
    /// The fixed fields.
    pub extras: Extras,
    /// The value; empty where `malformed` says that it could not be had.
    pub value: Bytes,
    /// Why the operation must fail although the stream is in order (`kv-protocol.md` 1.3).
    pub malformed: Option<Box<DecodeError>>,
    /// How long the server worked on it.
    pub server_duration: Option<ServerDuration>,
}

/// The extras of an answer, at most 32 bytes of them: no operation of this crate has more than 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extras {
    len: u8,
    bytes: [u8; 32],
}

impl Extras {
    fn new(extras: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let kept = extras.len().min(bytes.len());
        bytes[..kept].copy_from_slice(&extras[..kept]);
        Self { len: extras.len().min(255) as u8, bytes }
    }

    /// The bytes; `None` for more than 32 of them, which no operation has.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.len))
    }
}

/// A server's word that a newer cluster map exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The bucket; empty for the cluster's own map.
    pub bucket: Bytes,
    /// The version's epoch; `None` from servers that send the revision alone.
    pub epoch: Option<i64>,
    /// The version's revision.
    pub rev: i64,
    /// The map, empty in the brief form.
    pub value: Bytes,
}

/// A request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The connection is not ready, or as much is under way as it takes.
    NoRoom,
    /// It cannot be written as a frame.
    Encode(EncodeError),
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

impl<T: Copy> State<T> {
    /// Judges a header before its body is awaited: the most bytes that the body may have.
    fn check(&mut self, header: &Header) -> Result<u32, DecodeError> {
        header.check_from_server(self.features.contains(Feature::DUPLEX))?;
        let limits = InboundLimits::default();
        let asked =
            if header.magic == Magic::ServerRequest { None } else { self.inflight.opcode(header.opaque) };
        let max = match asked {
            Some(opcode) if opcode != header.opcode => {
                self.culprit = Some(header.opaque);
                return Err(DecodeError::OpcodeMismatch { expected: opcode, found: header.opcode });
            }
            Some(opcode) => limits.for_answer(opcode, 1),
            None => limits.document,
        };
        if header.body_len > max {
            self.culprit = Some(header.opaque);
            return Err(DecodeError::TooLarge { body: header.body_len, max, opcode: header.opcode });
        }
        Ok(max)
    }

    fn on_frame(&mut self, frame: Frame<'_>) -> ControlFlow<Stop> {
        if self.phase == Phase::Closed {
            return ControlFlow::Continue(());
        }
        self.heard = true;
        if frame.header.magic == Magic::ServerRequest {
            self.on_server_request(&frame);
            return ControlFlow::Continue(());
        }
        let header = frame.header;
        let infos = if frame.framing_extras.is_empty() {
            ResponseFrameInfos::default()
        } else {
            match ResponseFrameInfos::parse(frame.framing_extras) {
                Ok(infos) => infos,
                Err(error) => {
                    self.culprit = Some(header.opaque);
                    return ControlFlow::Break(Stop::Fatal(error));
                }
            }
        };
        match self.inflight.take(header.opaque, header.opcode) {
            Taken::Live(Tag::Owner(tag)) => {
                let (value, malformed) = match value_of(&frame) {
                    Ok(value) => (value, None),
                    Err(error) => (Bytes::new(), Some(Box::new(error))),
                };
                self.events.push_back(ConnEvent::Answer(Answer {
                    tag,
                    opcode: header.opcode,
                    status: header.status(),
                    datatype: header.datatype & !datatype::SNAPPY,
                    cas: header.cas,
                    opaque: header.opaque,
                    extras: Extras::new(frame.extras),
                    value,
                    malformed,
                    server_duration: infos.server_duration,
                }));
            }
            Taken::Live(Tag::Step(step)) => self.on_step(step, &frame),
            Taken::Live(Tag::Probe) => {
                self.probes = self.probes.saturating_sub(1);
                if header.status() == Status::AUTH_STALE {
                    self.events.push_back(ConnEvent::Stale);
                }
            }
            Taken::Live(Tag::Renewal) => self.on_renewal(header.status()),
            Taken::GivenUp => self.orphan(&header, true),
            // `check` has refused a mismatch on the header already.
            Taken::Unknown | Taken::Mismatch(_) => self.orphan(&header, false),
        }
        ControlFlow::Continue(())
    }

    fn orphan(&mut self, header: &Header, given_up: bool) {
        self.events.push_back(ConnEvent::Orphan { opaque: header.opaque, opcode: header.opcode, given_up });
    }

    fn on_renewal(&mut self, status: Status) {
        self.renewals = self.renewals.saturating_sub(1);
        if self.renewals == 0 {
            self.renewed_at = None;
        }
        let judged = if status == Status::SUCCESS {
            Ok(())
        } else {
            self.phase = Phase::Closed;
            Err(ConnFailure::renewal(status))
        };
        self.events.push_back(ConnEvent::Renewed(judged));
    }

    fn on_step(&mut self, step: Step, frame: &Frame<'_>) {
        let value = match value_of(frame) {
            Ok(value) => value,
            // A step that cannot be read is as good as refused; the steps decide what that means.
            Err(_) => Bytes::new(),
        };
        let status = frame.header.status();
        if status == Status::AUTH_STALE {
            self.events.push_back(ConnEvent::Stale);
            return;
        }
        let result = self.handshake.on_answer(step, status, frame.header.datatype, value, &mut self.events);
        match result {
            Err(failure) => self.fail(failure),
            Ok(()) => {
                self.features = self.handshake.features();
                if self.handshake.is_done() {
                    self.handshake.finish();
                    self.phase = Phase::Ready;
                    self.events.push_back(ConnEvent::Ready { bound: self.handshake.is_bound() });
                }
            }
        }
    }

    fn on_server_request(&mut self, frame: &Frame<'_>) {
        if ServerOpcode(frame.header.opcode.0) != ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION {
            return;
        }
        // A notification of another form is ignored, the connection stays usable.
        let (epoch, rev) = match *frame.extras {
            [e0, e1, e2, e3, e4, e5, e6, e7, r0, r1, r2, r3, r4, r5, r6, r7] => (
                Some(i64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7])),
                i64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
            ),
            [r0, r1, r2, r3] => (None, i64::from(u32::from_be_bytes([r0, r1, r2, r3]))),
            _ => return,
        };
        let Ok(value) = value_of(frame) else { return };
        let bucket = Bytes::copy_from_slice(frame.key);
        self.events.push_back(ConnEvent::Notification(Notification { bucket, epoch, rev, value }));
    }

    fn fail(&mut self, failure: ConnFailure) {
        self.phase = Phase::Closed;
        self.events.push_back(ConnEvent::Failed(failure));
    }
}

/// A frame's value, decompressed, in memory of its own (FR-11).
fn value_of(frame: &Frame<'_>) -> Result<Bytes, DecodeError> {
    let bits = frame.header.datatype;
    if bits > datatype::JSON {
        datatype::check(bits)?;
        if bits & datatype::XATTR != 0 {
            return Err(DecodeError::Malformed {
                what: "datatype",
                detail: format!(
                    "0x{bits:02x} announces extended attributes, which {} cannot carry",
                    frame.header.opcode
                ),
            });
        }
        if bits & datatype::SNAPPY != 0 {
            return datatype::inflate(frame.value, datatype::MAX_INFLATED).map(Bytes::from);
        }
    }
    Ok(Bytes::copy_from_slice(frame.value))
}

#[cfg(test)]
mod tests;
