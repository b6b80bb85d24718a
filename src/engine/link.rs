//! Links: one per node and bucket, each with at most one connection, dialled again when it is lost.
//!
//! ```text
//!            dial                answer            Connected             lost, refused, silent
//!  Waiting -------> Resolving ----------> Dialing -----------> Live ---------------------------> Waiting
//!     (an address literal skips Resolving)   several addresses race (BOOT-13)    (BOOT-25)
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fetch::{Errand, Fetch};
use super::health::Notes;
use super::queue::OpQueue;
use super::scope::ScopeId;
use super::sealed::tls_failure;
use super::secure::Secure;
use super::thaw::Suspicion;
use super::{ConnId, Engine, Input, LookupId, Output, Stage, Tag};
use crate::conn::{ConnEvent, Connection};
use crate::error::ErrorKind;
use crate::map::Endpoint;
use crate::wire::{ErrorMap, Feature, Status};

/// The first pause between dials of one address; the first redial needs none (BOOT-25).
const FIRST_PAUSE: Duration = Duration::from_millis(32);
/// The longest pause while the address has been down for less than [`LONG_DOWN`].
const SHORT_PAUSE: Duration = Duration::from_millis(200);
const LONG_DOWN: Duration = Duration::from_secs(10);
/// A connection that served for so long resets the pauses.
const SERVED: Duration = Duration::from_secs(5);
/// Between dials for a bucket that the node refuses (`connecting.md` 4.5).
const BUCKET_PAUSE: Duration = Duration::from_millis(500);
const BUCKET_PAUSE_MAX: Duration = Duration::from_secs(10);

/// After newer credentials were refused on a connection in use, dials go on at this pace for so long (AUTH-11).
const REFUSED_PAUSE: Duration = Duration::from_millis(10);
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(1);
const REFUSED_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) serial: u32,
    pub(super) endpoint: Endpoint,
    pub(super) bucket: Option<u32>,
    pub(super) role: Role,
    /// What it asks for over HTTP; `None`: it speaks the key-value protocol.
    pub(super) errand: Option<Errand>,
    pub(super) phase: Phase,
    /// Operations that wait for the connection, unencoded.
    pub(super) queue: OpQueue,
    pub(super) backoff: Backoff,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) address: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    /// The last handshake ended with a refused certificate.
    pub(super) certificate_refused: bool,
    pub(super) transmit_announced: bool,
    pub(super) error_map: Option<Arc<ErrorMap>>,
    /// When the map is asked for again on a node that had none yet, and the pause after that.
    pub(super) config_retry: Option<(Instant, Duration)>,
    /// Its node has acknowledged, on the last connection, that it takes the version of a known map.
    pub(super) takes_version: bool,
    pub(super) bucket_refused: Option<(Status, Option<String>)>,
    pub(super) last_failure: Option<Failure>,
    pub(super) draining: Option<Instant>,
    /// Which credentials its connection has shown: a count of [`Engine::set_authenticator`] and [`Engine::set_tls`].
    pub(super) credentials: u32,
    pub(super) notes: Notes,
}

/// What a link is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It looks for the first map of a scope.
    Seed { scope: ScopeId, target: usize },
    /// It serves a node of a bucket's map.
    Member,
    /// It has no bucket: it gives cluster maps until a bucket takes it over.
    Idle,
    /// It brings a bucket's maps over HTTP, as long as no key-value connection does.
    Stream,
    /// It asks one thing over HTTP.
    Errand,
}

#[derive(Debug)]
pub(super) enum Phase {
    Waiting {
        until: Instant,
    },
    Resolving {
        lookup: LookupId,
    },
    Dialing {
        attempts: Vec<(ConnId, SocketAddr)>,
        rest: VecDeque<SocketAddr>,
        next_at: Instant,
    },
    Live {
        conn: ConnId,
        tls: Option<Box<Secure>>,
        app: App,
    },
    /// Not dialled before somebody has something to say (`enable_lazy_connections`).
    Asleep,
}

/// What speaks on a connection.
#[derive(Debug)]
pub(super) enum App {
    Kv(Box<Connection<Tag>>),
    Http(Box<Fetch>),
}

impl App {
    /// The bytes in the clear that wait to be written.
    pub(super) fn output(&self) -> impl Iterator<Item = &[u8]> {
        let (kv, http) = match self {
            Self::Kv(connection) => (Some(connection), None),
            Self::Http(fetch) => (None, Some(fetch.exchange.output()).filter(|bytes| !bytes.is_empty())),
        };
        kv.into_iter().flat_map(|connection| connection.transmit()).chain(http)
    }

    pub(super) fn has_output(&self) -> bool {
        match self {
            Self::Kv(connection) => connection.has_output(),
            Self::Http(fetch) => !fetch.exchange.output().is_empty(),
        }
    }

    fn written(&mut self, len: usize) {
        match self {
            Self::Kv(connection) => connection.written(len),
            Self::Http(fetch) => fetch.exchange.consume(len),
        }
    }
}

/// Why a link failed last.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) kind: ErrorKind,
    pub(super) text: String,
}

impl Failure {
    /// Whether the node said no to the bucket; a connection that was lost about then is no such word.
    pub(super) const fn refuses_bucket(&self) -> bool {
        matches!(self.stage, Stage::Bucket)
            && !matches!(self.kind, ErrorKind::UnambiguousTimeout | ErrorKind::DecodingFailure)
    }
}

/// Pauses between dials (BOOT-25).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pause: Option<Duration>,
    down_since: Option<Instant>,
    ready_at: Option<Instant>,
    /// A token was refused on a connection in use: since when dials follow the pace for that, and the next pause.
    refused: Option<(Instant, Duration)>,
}

impl Backoff {
    /// The connection began to serve.
    pub(super) const fn ready(&mut self, now: Instant) {
        self.ready_at = Some(now);
        self.refused = None;
    }

    /// Newer credentials were refused on a connection in use (AUTH-11).
    pub(super) const fn credentials_refused(&mut self, now: Instant) {
        self.refused = Some((now, REFUSED_PAUSE));
    }

    /// The pause before the dial after the next failure.
    pub(super) const fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// How long to wait before the next dial, before jitter.
    pub(super) fn next(&mut self, longest: Duration, now: Instant) -> Duration {
        self.reset_if_served(now);
        if let Some((since, pause)) = self.refused
            && now.saturating_duration_since(since) < REFUSED_LIMIT
        {
            self.refused = Some((since, (pause * 2).min(REFUSED_PAUSE_MAX)));
            return pause;
        }
        let down_since = *self.down_since.get_or_insert(now);
        let ceiling =
            if now.saturating_duration_since(down_since) < LONG_DOWN { SHORT_PAUSE } else { longest };
        let ceiling = ceiling.max(FIRST_PAUSE);
        let pause = self.pause.unwrap_or(Duration::ZERO).min(ceiling);
        self.pause = Some((pause * 2).clamp(FIRST_PAUSE, ceiling));
        pause
    }

    fn reset_if_served(&mut self, now: Instant) {
        if self.ready_at.take().is_some_and(|at| now.saturating_duration_since(at) >= SERVED) {
            *self = Self::default();
        }
    }

    /// The same for a bucket that the node refuses.
    pub(super) fn next_for_bucket(&mut self, now: Instant) -> Duration {
        self.reset_if_served(now);
        let pause = self.pause.unwrap_or(Duration::ZERO).clamp(BUCKET_PAUSE, BUCKET_PAUSE_MAX);
        self.pause = Some((pause * 2).min(BUCKET_PAUSE_MAX));
        pause
    }
}

impl Link {
    pub(super) const fn conn(&self) -> Option<ConnId> {
        match &self.phase {
            Phase::Live { conn, .. } => Some(*conn),
            _ => None,
        }
    }

    pub(super) fn connection(&self) -> Option<&Connection<Tag>> {
        match &self.phase {
            Phase::Live { app: App::Kv(connection), .. } => Some(connection),
            _ => None,
        }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection<Tag>> {
        match &mut self.phase {
            Phase::Live { app: App::Kv(connection), .. } => Some(connection),
            _ => None,
        }
    }

    /// Whether it serves its bucket, or, without one, cluster maps.
    pub(super) fn is_ready(&self) -> bool {
        self.draining.is_none()
            && self.connection().is_some_and(Connection::is_ready)
            && self.bucket_refused.is_none()
    }

    /// How far it is.
    pub(super) fn stage(&self) -> Stage {
        match &self.phase {
            Phase::Waiting { .. } => self.last_failure.as_ref().map_or(Stage::Tcp, |failure| failure.stage),
            Phase::Resolving { .. } => Stage::Resolve,
            Phase::Dialing { .. } | Phase::Asleep => Stage::Tcp,
            Phase::Live { tls: Some(tls), .. } if !tls.open => Stage::Tls,
            Phase::Live { app: App::Kv(connection), .. } => connection.stage(),
            Phase::Live { app: App::Http(_), .. } => Stage::Map,
        }
    }

    pub(super) fn due(&self, resolve_timeout: Duration) -> Option<Instant> {
        let due = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Resolving { .. } => later(self.started, resolve_timeout).map(|at| at.min(self.deadline)),
            Phase::Dialing { rest, next_at, .. } if !rest.is_empty() => Some(self.deadline.min(*next_at)),
            Phase::Dialing { .. } => Some(self.deadline),
            Phase::Live { app: App::Kv(connection), .. } if connection.is_ready() => {
                let patience = match self.notes.suspicion {
                    Suspicion::Probed(until) if connection.awaits_probe() => Some(until),
                    _ => None,
                };
                let due = earliest(connection.poll_timeout(), patience);
                earliest(due, self.config_retry.map(|(at, _)| at))
            }
            Phase::Live { .. } => Some(self.deadline),
            Phase::Asleep => None,
        };
        earliest(due, self.draining)
    }
}

pub(super) fn later(at: Instant, duration: Duration) -> Option<Instant> {
    at.checked_add(duration)
}

pub(super) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Connections by index: which link each belongs to, and the generation that tells it from an earlier one.
#[derive(Debug, Default)]
pub(super) struct ConnTable {
    entries: Vec<(u32, Option<u32>)>,
    free: Vec<u32>,
}

impl ConnTable {
    /// In place of a link: the connection to a name server.
    pub(super) const RESOLVER: u32 = u32::MAX;

    pub(super) fn open(&mut self, link: u32) -> ConnId {
        if let Some(slot) = self.free.pop() {
            let (generation, owner) = &mut self.entries[slot as usize];
            *generation = generation.wrapping_add(1);
            *owner = Some(link);
            return ConnId { slot, generation: *generation };
        }
        let slot = self.entries.len() as u32;
        self.entries.push((0, Some(link)));
        ConnId { slot, generation: 0 }
    }

    pub(super) fn link(&self, conn: ConnId) -> Option<u32> {
        let &(generation, link) = self.entries.get(conn.slot as usize)?;
        link.filter(|_| generation == conn.generation)
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        if self.link(conn).is_some() {
            self.entries[conn.slot as usize].1 = None;
            self.free.push(conn.slot);
        }
    }
}

impl Engine {
    /// A new link that is not dialled yet.
    pub(super) fn new_link(
        &mut self,
        endpoint: Endpoint,
        bucket: Option<u32>,
        role: Role,
        errand: Option<Errand>,
    ) -> u32 {
        self.link_serial = self.link_serial.wrapping_add(1);
        let link = Link {
            serial: self.link_serial,
            endpoint,
            bucket,
            role,
            errand,
            phase: Phase::Asleep,
            queue: OpQueue::default(),
            backoff: Backoff::default(),
            started: self.now,
            deadline: self.now,
            address: None,
            local: None,
            certificate_refused: false,
            transmit_announced: false,
            error_map: None,
            config_retry: None,
            takes_version: false,
            bucket_refused: None,
            last_failure: None,
            draining: None,
            credentials: 0,
            notes: Notes::default(),
        };
        match self.free_links.pop() {
            Some(index) => {
                self.links[index as usize] = Some(Box::new(link));
                index
            }
            None => {
                self.links.push(Some(Box::new(link)));
                self.links.len() as u32 - 1
            }
        }
    }

    pub(super) fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(index as usize)?.as_deref()
    }

    pub(super) fn link_mut(&mut self, index: u32) -> Option<&mut Link> {
        self.links.get_mut(index as usize)?.as_deref_mut()
    }

    /// Every link, by index.
    pub(super) fn link_indexes(&self) -> Vec<u32> {
        let indexes = 0..self.links.len() as u32;
        indexes.filter(|&index| self.link(index).is_some()).collect()
    }

    pub(super) fn on_conn_input(&mut self, input: &Input<'_>) {
        let (Input::Connected { conn, .. }
        | Input::Received { conn, .. }
        | Input::Written { conn, .. }
        | Input::Lost { conn, .. }) = *input
        else {
            return;
        };
        let Some(index) = self.conns.link(conn) else { return };
        if index == ConnTable::RESOLVER {
            self.on_srv_input(input);
            return;
        }
        match *input {
            Input::Connected { local, .. } => self.on_connected(index, conn, local),
            Input::Received { data, .. } => self.on_received(index, data),
            Input::Written { len, .. } => self.on_written(index, len),
            Input::Lost { why, .. } => self.on_lost(index, conn, why),
            Input::LookedUp { .. } | Input::Datagram { .. } | Input::DatagramFailed { .. } => {}
        }
    }

    pub(super) fn on_received(&mut self, index: u32, data: &[u8]) {
        let now = self.now;
        if let Some(link) = self.link_mut(index) {
            link.notes.active = Some(now);
        }
        match self.link_mut(index).map(|link| &mut link.phase) {
            Some(Phase::Live { tls: None, app: App::Kv(connection), .. }) => {
                connection.handle_read(data, now);
                self.work_link(index);
            }
            Some(Phase::Live { tls: None, app: App::Http(_), .. }) => self.on_http_bytes(index, data),
            Some(Phase::Live { tls: Some(_), .. }) => self.on_sealed_bytes(index, data),
            _ => {}
        }
    }

    pub(super) fn on_written(&mut self, index: u32, len: usize) {
        let now = self.now;
        let Some(link) = self.link_mut(index) else { return };
        link.notes.active = Some(now);
        let Phase::Live { tls, app, .. } = &mut link.phase else { return };
        let plain = tls.as_mut().map_or(len, |tls| tls.written(len));
        app.written(plain);
        link.transmit_announced = false;
        if link.notes.unwritten_pings && !app.has_output() {
            link.notes.unwritten_pings = false;
            let serial = link.serial;
            self.on_pings_written(index, serial);
        }
        self.flush(index);
        self.close_if_drained(index);
    }

    /// A connection may have room again: what waits for it goes out.
    pub(super) fn flush(&mut self, index: u32) {
        self.flush_queue(index);
        if let Some(bucket) = self.link(index).and_then(|link| link.bucket)
            && std::mem::take(&mut self.buckets[bucket as usize].lookups_owed)
        {
            self.resolve_waiting_collections(bucket);
        }
        self.announce_transmit(index);
    }

    /// Works off what a connection has to say, then writes what may be written.
    pub(super) fn work_link(&mut self, index: u32) {
        while let Some(event) =
            self.link_mut(index).and_then(Link::connection_mut).and_then(Connection::poll_event)
        {
            self.on_conn_event(index, event);
        }
        self.show_newer_credentials(index);
        self.flush(index);
        self.close_if_drained(index);
        // A connection that serves moves its keep-alive with every read: its timer is set when it fires.
        if self
            .link(index)
            .is_some_and(|link| link.connection().is_none_or(|connection| !connection.is_ready()))
        {
            self.arm(index);
        }
    }

    pub(super) fn on_conn_event(&mut self, index: u32, event: ConnEvent<Tag>) {
        match event {
            ConnEvent::Answer(answer) => self.on_answer(index, answer),
            ConnEvent::Salt(request) => self.salt(index, request),
            ConnEvent::Config(body) => {
                self.propose(index, &body);
                self.heard_of_map(index);
            }
            ConnEvent::ConfigRefused(status) => {
                if status == Status::SUCCESS {
                    self.heard_of_map(index);
                }
                self.on_handshake_config_refused(index, status);
            }
            ConnEvent::BucketRefused { status, context } => {
                if let Some(link) = self.link_mut(index) {
                    link.bucket_refused = Some((status, context));
                }
            }
            ConnEvent::Ready { bound } => self.on_link_ready(index, bound),
            ConnEvent::Notification(notification) => self.on_notification(index, &notification),
            ConnEvent::Orphan { opaque, opcode, given_up } => {
                if let Some(conn) = self.link(index).and_then(Link::conn) {
                    let orphan = super::Orphan { conn, opaque, opcode, given_up };
                    self.outputs.push_back(Output::Event(super::Event::Orphan(orphan)));
                }
            }
            ConnEvent::Failed(failure) => {
                let failure = Failure { stage: failure.stage, kind: failure.kind, text: failure.text };
                self.fail_link(index, failure);
            }
            ConnEvent::Renewed(judged) => self.on_renewed(index, judged),
            ConnEvent::Stale => self.close_stale(index),
            ConnEvent::Broken { error, culprit } => self.on_broken(index, &error, culprit),
        }
    }

    pub(super) fn on_link_ready(&mut self, index: u32, bound: bool) {
        let now = self.now;
        let error_map =
            self.link(index).and_then(Link::connection).map(|connection| connection.error_map().clone());
        let error_map = error_map.and_then(|body| self.shared_error_map(&body));
        let Some(link) = self.link_mut(index) else { return };
        let mechanism = link.connection().and_then(Connection::mechanism);
        link.takes_version = link
            .connection()
            .is_some_and(|it| it.features().contains(Feature::GET_CLUSTER_CONFIG_KNOWN_VERSION));
        link.error_map = error_map;
        link.last_failure = None;
        let (wants_bucket, role) = (link.bucket, link.role);
        if wants_bucket.is_none() || bound {
            link.bucket_refused = None;
            link.backoff.ready(now);
        }
        if link.credentials == self.credentials {
            self.remembered = mechanism.or(self.remembered);
        }
        self.states_changed = true;
        if let Some(bucket) = wants_bucket.filter(|_| !bound) {
            self.on_bucket_refused(index, bucket, role);
            return;
        }
        if let Some(bucket) = wants_bucket {
            self.buckets[bucket as usize].refused = None;
        }
        self.arm(index);
        self.on_serving(index);
    }

    /// Error maps with the same text are kept once (EM-1).
    pub(super) fn shared_error_map(&mut self, body: &bytes::Bytes) -> Option<Arc<ErrorMap>> {
        if body.is_empty() {
            return None;
        }
        if let Some((known, map)) = &self.error_map
            && known == body
        {
            return Some(Arc::clone(map));
        }
        match ErrorMap::parse(body) {
            Ok(map) => {
                let map = Arc::new(map);
                self.error_map = Some((body.clone(), Arc::clone(&map)));
                Some(map)
            }
            Err(_error) => {
                crate::trace::warning!(error = %_error, "the node's error map cannot be read");
                None
            }
        }
    }

    pub(super) fn announce_transmit(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let Phase::Live { conn, tls, app } = &mut link.phase else { return };
        let waits = match tls {
            Some(tls) => {
                if let Err(failure) = tls.seal(app.output()) {
                    let (serial, failure) = (link.serial, tls_failure(&failure));
                    // Once is enough: the next connection of the link has done nothing wrong.
                    if !self.failing.iter().any(|&(other, ..)| other == index) {
                        self.failing.push((index, serial, failure));
                    }
                    return;
                }
                !tls.session.output().is_empty()
            }
            None => app.has_output(),
        };
        if waits && !link.transmit_announced {
            self.outputs.push_back(Output::Transmit(*conn));
            link.transmit_announced = true;
        }
    }

    /// Sets the link's timer to what it waits for next.
    pub(super) fn arm(&mut self, index: u32) {
        let resolve_timeout = self.config.options.resolve_timeout;
        match self.link(index).and_then(|link| link.due(resolve_timeout)) {
            Some(at) => self.link_timers.set(index, at),
            None => self.link_timers.clear(index),
        }
    }

    pub(super) fn on_link_timer(&mut self, index: u32) {
        let now = self.now;
        let timed_out =
            |stage, text: &str| Failure { stage, kind: ErrorKind::UnambiguousTimeout, text: text.to_owned() };
        let Some(link) = self.link_mut(index) else { return };
        if link.draining.is_some_and(|until| until <= now) {
            self.remove_link(index);
            return;
        }
        if self.give_up_suspect(index) {
            return;
        }
        let Some(link) = self.link_mut(index) else { return };
        let (deadline, retry) = (link.deadline, link.config_retry);
        match &mut link.phase {
            Phase::Waiting { until } if *until <= now => self.dial(index),
            Phase::Waiting { .. } => self.arm(index),
            Phase::Resolving { .. } => {
                self.fail_link(index, timed_out(Stage::Resolve, "the resolver did not answer in time"));
            }
            Phase::Dialing { .. } if deadline <= now => {
                self.fail_link(
                    index,
                    timed_out(Stage::Tcp, "no answer to the dial: is a firewall in between?"),
                );
            }
            Phase::Dialing { next_at, rest, .. } => {
                if *next_at <= now && !rest.is_empty() {
                    self.dial_next_address(index);
                } else {
                    self.arm(index);
                }
            }
            Phase::Live { app: App::Kv(connection), .. } if connection.is_ready() => {
                if connection.handle_timeout(now) {
                    let text =
                        "no answer in time after a keep-alive: the peer is silent, or its stream out of step";
                    self.fail_link(index, timed_out(Stage::Map, text));
                    return;
                }
                if retry.is_some_and(|(at, _)| at <= now) {
                    self.retry_config(index);
                }
                self.announce_transmit(index);
                self.arm(index);
            }
            Phase::Live { .. } if deadline <= now => {
                let stage = link.stage();
                self.fail_link(index, timed_out(stage, "the peer did not answer in time"));
            }
            Phase::Live { .. } => self.arm(index),
            Phase::Asleep => {}
        }
    }
}
