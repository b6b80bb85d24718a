//! Links: one per node and bucket, each with at most one connection, dialled again when it is lost.
//!
//! ```text
//!            dial                answer            Connected             lost, refused, silent
//!  Waiting -------> Resolving ----------> Dialing -----------> Live ---------------------------> Waiting
//!     (an address literal skips Resolving)   several addresses race (BOOT-13)    (BOOT-25)
//! ```

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::OpQueue;
use super::scope::ScopeId;
use super::{ConnId, Dial, Engine, Input, LinkError, Lookup, LookupError, LookupId, Output, Stage, Tag};
use crate::conn::{Answer, ConnEvent, Connection, Settings};
use crate::error::ErrorKind;
use crate::map::Endpoint;
use crate::options::IpProtocol;
use crate::trace::debug;
use crate::wire::{DecodeError, ErrorMap, Status};

/// Between the dials of a name's addresses (BOOT-13).
const ADDRESS_STAGGER: Duration = Duration::from_millis(250);
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
/// A node that left the map is given that long to answer what it was asked (`cluster-maps.md` 9, P13).
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) serial: u32,
    pub(super) endpoint: Endpoint,
    pub(super) bucket: Option<u32>,
    pub(super) role: Role,
    pub(super) phase: Phase,
    /// Operations that wait for the connection, unencoded.
    pub(super) queue: OpQueue,
    pub(super) backoff: Backoff,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) address: Option<SocketAddr>,
    pub(super) transmit_announced: bool,
    pub(super) error_map: Option<Arc<ErrorMap>>,
    /// When the map is asked for again on a node that had none yet, and the pause after that.
    pub(super) config_retry: Option<(Instant, Duration)>,
    pub(super) bucket_refused: Option<(Status, Option<String>)>,
    pub(super) last_failure: Option<Failure>,
    pub(super) draining: Option<Instant>,
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
}

#[derive(Debug)]
pub(super) enum Phase {
    Waiting { until: Instant },
    Resolving { lookup: LookupId },
    Dialing { attempts: Vec<(ConnId, SocketAddr)>, rest: VecDeque<SocketAddr>, next_at: Instant },
    Live { conn: ConnId, connection: Box<Connection<Tag>> },
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

/// What a connection leaves behind.
#[derive(Debug, Default)]
struct Left {
    answers: Vec<Answer<Tag>>,
    /// Whose answer could not be read.
    culprit: Option<(Tag, DecodeError)>,
    /// What was asked, and whether a part of it was written.
    requests: Vec<(Tag, bool)>,
}

/// Pauses between dials (BOOT-25).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    pause: Option<Duration>,
    down_since: Option<Instant>,
    ready_at: Option<Instant>,
}

impl Backoff {
    /// The connection began to serve.
    pub(super) const fn ready(&mut self, now: Instant) {
        self.ready_at = Some(now);
    }

    /// How long to wait before the next dial, before jitter.
    fn next(&mut self, longest: Duration, now: Instant) -> Duration {
        self.reset_if_served(now);
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
    fn next_for_bucket(&mut self, now: Instant) -> Duration {
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
            Phase::Live { connection, .. } => Some(connection),
            _ => None,
        }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection<Tag>> {
        match &mut self.phase {
            Phase::Live { connection, .. } => Some(connection),
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
            Phase::Dialing { .. } => Stage::Tcp,
            Phase::Live { connection, .. } => connection.stage(),
        }
    }

    fn due(&self, resolve_timeout: Duration) -> Option<Instant> {
        let due = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Resolving { .. } => later(self.started, resolve_timeout).map(|at| at.min(self.deadline)),
            Phase::Dialing { rest, next_at, .. } if !rest.is_empty() => Some(self.deadline.min(*next_at)),
            Phase::Dialing { .. } => Some(self.deadline),
            Phase::Live { connection, .. } if connection.is_ready() => {
                earliest(connection.poll_timeout(), self.config_retry.map(|(at, _)| at))
            }
            Phase::Live { .. } => Some(self.deadline),
        };
        earliest(due, self.draining)
    }
}

fn later(at: Instant, duration: Duration) -> Option<Instant> {
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
    fn open(&mut self, link: u32) -> ConnId {
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

    fn close(&mut self, conn: ConnId) {
        if self.link(conn).is_some() {
            self.entries[conn.slot as usize].1 = None;
            self.free.push(conn.slot);
        }
    }
}

impl Engine {
    /// A new link; its dial begins at once.
    pub(super) fn add_link(&mut self, endpoint: Endpoint, bucket: Option<u32>, role: Role) -> u32 {
        self.link_serial = self.link_serial.wrapping_add(1);
        let link = Link {
            serial: self.link_serial,
            endpoint,
            bucket,
            role,
            phase: Phase::Waiting { until: self.now },
            queue: OpQueue::default(),
            backoff: Backoff::default(),
            started: self.now,
            deadline: self.now,
            address: None,
            transmit_announced: false,
            error_map: None,
            config_retry: None,
            bucket_refused: None,
            last_failure: None,
            draining: None,
        };
        let index = match self.free_links.pop() {
            Some(index) => {
                self.links[index as usize] = Some(Box::new(link));
                index
            }
            None => {
                self.links.push(Some(Box::new(link)));
                self.links.len() as u32 - 1
            }
        };
        self.dial(index);
        index
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

    fn dial(&mut self, index: u32) {
        let (now, deadline) = (self.now, self.after(self.config.options.kv_connect_timeout));
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        link.started = now;
        link.deadline = deadline;
        link.bucket_refused = None;
        link.address = None;
        let endpoint = link.endpoint.clone();
        // A zone identifier belongs to the address that the resolver returns, so such a literal is looked up.
        if let Ok(ip) = endpoint.host.parse::<IpAddr>() {
            self.race(index, &[ip]);
            return;
        }
        self.lookup_serial += 1;
        let lookup = LookupId(self.lookup_serial);
        self.lookups.insert(lookup, index);
        if let Some(link) = self.link_mut(index) {
            link.phase = Phase::Resolving { lookup };
        }
        debug!(host = %endpoint.host, "looking up");
        self.outputs.push_back(Output::Lookup(Lookup { lookup, name: endpoint.host }));
        self.arm(index);
    }

    /// Dials the addresses of a name, families alternating (BOOT-13).
    fn race(&mut self, index: u32, addresses: &[IpAddr]) {
        let wanted = self.config.options.ip_protocol;
        let Some(link) = self.link_mut(index) else { return };
        let port = link.endpoint.port;
        let usable = addresses.iter().filter(|address| match wanted {
            IpProtocol::Any => true,
            IpProtocol::ForceIpv4 => address.is_ipv4(),
            IpProtocol::ForceIpv6 => address.is_ipv6(),
        });
        let (first, second): (Vec<IpAddr>, Vec<IpAddr>) =
            usable.partition(|address| address.is_ipv4() == addresses[0].is_ipv4());
        let mut rest = VecDeque::with_capacity(first.len() + second.len());
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        loop {
            let pair = (first.next(), second.next());
            rest.extend([pair.0, pair.1].into_iter().flatten().map(|ip| SocketAddr::new(ip, port)));
            if pair == (None, None) {
                break;
            }
        }
        if rest.is_empty() {
            let text = format!("the name has no address that ip_protocol={wanted} allows");
            let failure = Failure { stage: Stage::Resolve, kind: ErrorKind::UnambiguousTimeout, text };
            let serial = link.serial;
            self.failing.push((index, serial, failure));
            return;
        }
        let now = self.now;
        if let Some(link) = self.link_mut(index) {
            link.phase = Phase::Dialing { attempts: Vec::new(), rest, next_at: now };
        }
        self.dial_next_address(index);
    }

    fn dial_next_address(&mut self, index: u32) {
        let next_at = self.after(ADDRESS_STAGGER);
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        if let Phase::Dialing { attempts, rest, next_at: at } = &mut link.phase
            && let Some(address) = rest.pop_front()
        {
            let conn = self.conns.open(index);
            attempts.push((conn, address));
            *at = next_at;
            link.address = Some(address);
            let options = &self.config.options;
            debug!(%conn, %address, "dialling");
            self.outputs.push_back(Output::Connect(Dial {
                conn,
                address,
                nodelay: options.tcp_nodelay,
                keepalive: options.enable_tcp_keep_alive.then_some(options.tcp_keep_alive_interval),
            }));
        }
        self.arm(index);
    }

    pub(super) fn on_looked_up(&mut self, lookup: LookupId, answer: Result<&[IpAddr], LookupError>) {
        let Some(index) = self.lookups.remove(&lookup) else { return };
        match self.link(index).map(|link| &link.phase) {
            Some(Phase::Resolving { lookup: asked }) if *asked == lookup => {}
            _ => return,
        }
        match answer {
            Ok(addresses) if !addresses.is_empty() => self.race(index, addresses),
            Ok(_) => self.fail_resolve(index, LookupError::NotFound),
            Err(error) => self.fail_resolve(index, error),
        }
    }

    fn fail_resolve(&mut self, index: u32, error: LookupError) {
        let text = error.to_string();
        self.fail_link(index, Failure { stage: Stage::Resolve, kind: ErrorKind::UnambiguousTimeout, text });
    }

    pub(super) fn on_conn_input(&mut self, input: &Input<'_>) {
        let (Input::Connected { conn }
        | Input::Received { conn, .. }
        | Input::Written { conn, .. }
        | Input::Lost { conn, .. }) = *input
        else {
            return;
        };
        let Some(index) = self.conns.link(conn) else { return };
        match *input {
            Input::Connected { .. } => self.on_connected(index, conn),
            Input::Received { data, .. } => self.on_received(index, data),
            Input::Written { len, .. } => self.on_written(index, len),
            Input::Lost { why, .. } => self.on_lost(index, conn, why),
            Input::LookedUp { .. } => {}
        }
    }

    fn on_connected(&mut self, index: u32, conn: ConnId) {
        let Some(link) = self.link_mut(index) else { return };
        let Phase::Dialing { attempts, .. } = &mut link.phase else { return };
        let others = std::mem::take(attempts);
        link.address = others.iter().find(|(other, _)| *other == conn).map(|&(_, address)| address);
        for (other, _) in others {
            if other != conn {
                self.hang_up(other);
            }
        }
        let settings = self.settings(index);
        let now = self.now;
        if let Some(link) = self.link_mut(index) {
            let mut connection = Box::new(Connection::new(settings, now));
            connection.connected(now);
            link.phase = Phase::Live { conn, connection };
            link.transmit_announced = false;
        }
        debug!(%conn, "connected");
        self.work_link(index);
    }

    fn settings(&mut self, index: u32) -> Settings {
        let connection_id = self.entropy.hex_id();
        let nonces = (0..3).map(|_| self.entropy.nonce()).collect();
        let bucket = self.link(index).and_then(|link| link.bucket);
        let role = self.link(index).map(|link| link.role);
        let map = match bucket {
            Some(bucket) => self.buckets[bucket as usize].scope.map.as_ref(),
            None => self.cluster.map.as_ref(),
        };
        let is_member = matches!(role, Some(Role::Member));
        let known_config = map.filter(|_| is_member).and_then(|map| map.rev.known_version());
        // While the scope has no map every connection asks; later ones ask for a newer one, and where a version
        // cannot be named they leave it to the tracker (R-BOOT-6).
        let fetch_config = map.is_none() || !is_member || known_config.is_some();
        let options = &self.config.options;
        Settings {
            hello_key: self.config.hello_key(&self.instance_id, &connection_id),
            features: self.config.features(),
            authenticator: self.config.authenticator.clone(),
            tls: false,
            mechanisms: self.config.mechanisms.clone(),
            remembered: self.remembered,
            nonces,
            max_iterations: options.scram_max_iterations,
            bucket: bucket.map(|bucket| self.buckets[bucket as usize].name.clone()),
            fetch_config,
            known_config,
            pipelined: self.config.pipelined,
            window: self.config.window,
            keep_alive: Some(options.kv_keep_alive_interval).filter(|interval| !interval.is_zero()),
        }
    }

    fn on_received(&mut self, index: u32, data: &[u8]) {
        let now = self.now;
        let Some(connection) = self.link_mut(index).and_then(Link::connection_mut) else { return };
        connection.handle_read(data, now);
        self.work_link(index);
    }

    fn on_written(&mut self, index: u32, len: usize) {
        let Some(link) = self.link_mut(index) else { return };
        let Some(connection) = link.connection_mut() else { return };
        connection.written(len);
        link.transmit_announced = false;
        self.flush(index);
        self.close_if_drained(index);
    }

    /// A connection may have room again: what waits for it goes out.
    fn flush(&mut self, index: u32) {
        self.flush_queue(index);
        if let Some(bucket) = self.link(index).and_then(|link| link.bucket)
            && std::mem::take(&mut self.buckets[bucket as usize].lookups_owed)
        {
            self.resolve_waiting_collections(bucket);
        }
        self.announce_transmit(index);
    }

    fn on_lost(&mut self, index: u32, conn: ConnId, why: LinkError) {
        self.conns.close(conn);
        let Some(link) = self.link_mut(index) else { return };
        match &mut link.phase {
            Phase::Dialing { attempts, rest, .. } => {
                attempts.retain(|(attempt, _)| *attempt != conn);
                let (none_left, more) = (attempts.is_empty(), !rest.is_empty());
                debug!(%conn, %why, "dial failed");
                if more {
                    self.dial_next_address(index);
                } else if none_left {
                    let text = why.to_string();
                    self.fail_link(
                        index,
                        Failure { stage: Stage::Tcp, kind: ErrorKind::UnambiguousTimeout, text },
                    );
                }
            }
            Phase::Live { connection, .. } => {
                let stage = connection.stage();
                debug!(%conn, %why, "connection lost");
                let mut text = why.to_string();
                if connection.is_unexplained() {
                    text.push_str(": probable lack of privilege, which a node without XERROR reports so");
                }
                self.fail_link(index, Failure { stage, kind: ErrorKind::UnambiguousTimeout, text });
            }
            Phase::Waiting { .. } | Phase::Resolving { .. } => {}
        }
    }

    /// Works off what a connection has to say, then writes what may be written.
    pub(super) fn work_link(&mut self, index: u32) {
        while let Some(event) =
            self.link_mut(index).and_then(Link::connection_mut).and_then(Connection::poll_event)
        {
            self.on_conn_event(index, event);
        }
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

    fn on_conn_event(&mut self, index: u32, event: ConnEvent<Tag>) {
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
            ConnEvent::Broken { error, culprit } => self.on_broken(index, &error, culprit),
        }
    }

    fn on_broken(&mut self, index: u32, error: &DecodeError, culprit: Option<Tag>) {
        if let Some(culprit) = culprit {
            self.settle_culprit(index, culprit, error);
        }
        let Some(link) = self.link(index) else { return };
        let stage = link.stage();
        let text = match error {
            DecodeError::Magic { byte: b'H' } => {
                format!(
                    "{error} The peer speaks HTTP: this may be a manager port (8091), the key-value port is 11210"
                )
            }
            DecodeError::Magic { byte: 0x15 } => {
                format!("{error} The peer speaks TLS: use couchbases://, or the plain port 11210")
            }
            _ => error.to_string(),
        };
        self.fail_link(index, Failure { stage, kind: ErrorKind::DecodingFailure, text });
    }

    /// What was asked by the request whose answer cannot be read.
    fn settle_culprit(&mut self, index: u32, culprit: Tag, error: &DecodeError) {
        match culprit {
            Tag::Op(slot) => {
                self.fail_undecodable(slot, format!("{error}; the connection is given up"), true);
            }
            tag => self.settle_lost(index, tag, true),
        }
    }

    fn on_link_ready(&mut self, index: u32, bound: bool) {
        let now = self.now;
        let error_map =
            self.link(index).and_then(Link::connection).map(|connection| connection.error_map().clone());
        let error_map = error_map.and_then(|body| self.shared_error_map(&body));
        let Some(link) = self.link_mut(index) else { return };
        let mechanism = link.connection().and_then(Connection::mechanism);
        link.error_map = error_map;
        link.last_failure = None;
        let (wants_bucket, role) = (link.bucket, link.role);
        if wants_bucket.is_none() || bound {
            link.bucket_refused = None;
            link.backoff.ready(now);
        }
        self.remembered = mechanism.or(self.remembered);
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
    fn shared_error_map(&mut self, body: &bytes::Bytes) -> Option<Arc<ErrorMap>> {
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

    /// The node refuses the bucket: as good as no connection for it.
    fn on_bucket_refused(&mut self, index: u32, bucket: u32, role: Role) {
        let Some(link) = self.link_mut(index) else { return };
        let (status, context) = link.bucket_refused.clone().unwrap_or((Status::KEY_ENOENT, None));
        let name = self.buckets[bucket as usize].name.clone();
        let said = context.map_or_else(String::new, |context| format!(" ({context})"));
        let (kind, text) = match status {
            Status::EACCESS => (
                ErrorKind::BucketNotFound,
                format!("bucket {name:?} does not exist or this user may not use it{said}"),
            ),
            Status::KEY_ENOENT => {
                (ErrorKind::BucketNotFound, format!("the node does not know bucket {name:?} (yet){said}"))
            }
            Status::NOT_SUPPORTED => (
                ErrorKind::FeatureNotAvailable,
                format!("bucket {name:?} cannot be selected; memcached buckets are not supported{said}"),
            ),
            Status::NOT_INITIALIZED | Status::BUCKET_PAUSED => {
                (ErrorKind::TemporaryFailure, format!("bucket {name:?} is not ready: {status}{said}"))
            }
            _ => (ErrorKind::BucketNotFound, format!("bucket {name:?} was refused with {status}{said}")),
        };
        self.buckets[bucket as usize].refused = Some(kind);
        let failure = Failure { stage: Stage::Bucket, kind, text };
        if let Role::Seed { scope, target } = role {
            self.hunt_failed(scope, target, index, &failure);
            // Logged in and without a bucket: the cluster can use it if it has no such connection.
            let spare = self.idle_link().is_none();
            if let Some(link) = self.link_mut(index).filter(|_| spare) {
                link.role = Role::Idle;
                link.bucket = None;
                link.bucket_refused = None;
                link.last_failure = None;
                self.arm(index);
                self.on_serving(index);
            } else {
                self.remove_link(index);
            }
            self.hunt_tick(scope);
        } else {
            self.fail_link(index, failure);
        }
    }

    /// A link has failed, whatever its phase: its requests are settled, and its role decides what follows.
    pub(super) fn fail_link(&mut self, index: u32, failure: Failure) {
        let now = self.now;
        let longest = self.config.options.server_wait_backoff;
        let Some(link) = self.link_mut(index) else { return };
        debug!(endpoint = %link.endpoint, stage = %failure.stage, text = %failure.text, "link failed");
        let bucket_refused = failure.refuses_bucket();
        link.last_failure = Some(failure.clone());
        link.config_retry = None;
        let role = link.role;
        let mut left = self.disconnect(index);
        let waiting = self.link_mut(index).map(|link| link.queue.take()).unwrap_or_default();
        self.states_changed = true;
        if role != Role::Member {
            // The link goes, and its index may be another's before this is over.
            self.settle(index, std::mem::take(&mut left));
        }
        match role {
            _ if self.link(index).is_some_and(|link| link.draining.is_some()) => self.remove_link(index),
            Role::Seed { scope, target } => {
                self.hunt_failed(scope, target, index, &failure);
                self.remove_link(index);
                self.hunt_tick(scope);
            }
            Role::Member => {
                let Some(link) = self.link_mut(index) else { return };
                let pause = if bucket_refused {
                    link.backoff.next_for_bucket(now)
                } else {
                    link.backoff.next(longest, now)
                };
                let pause = self.entropy.jitter(pause, 25);
                let until = self.after(pause);
                if let Some(link) = self.link_mut(index) {
                    link.phase = Phase::Waiting { until };
                }
                if pause.is_zero() {
                    self.dial(index);
                } else {
                    self.arm(index);
                }
            }
            Role::Idle => {
                self.remove_link(index);
                self.want_cluster_link();
            }
        }
        if let Some(bucket) = self.link(index).and_then(|link| link.bucket) {
            self.suspect_map(ScopeId::Bucket(bucket));
        }
        self.settle(index, left);
        // Behind what was encoded already: requests keep their order where that is possible (`cluster-maps.md` 9).
        for id in waiting {
            self.dispatch(id);
        }
    }

    /// Deals with what a connection left behind: answers that had come, and requests without one.
    fn settle(&mut self, index: u32, left: Left) {
        for answer in left.answers {
            self.on_answer(index, answer);
        }
        if let Some((culprit, error)) = left.culprit {
            self.settle_culprit(index, culprit, &error);
        }
        for (tag, written) in left.requests {
            self.settle_lost(index, tag, written);
        }
    }

    fn on_answer(&mut self, index: u32, answer: Answer<Tag>) {
        match answer.tag {
            Tag::Op(slot) => self.on_op_answer(index, slot, answer),
            Tag::Config(scope) => self.on_config_answer(index, scope, &answer),
            Tag::Collection(collection) => self.on_collection_answer(index, collection, &answer),
        }
    }

    /// Takes a link out of use for good: what waits for it finds another way.
    pub(super) fn remove_link(&mut self, index: u32) {
        let left = self.disconnect(index);
        self.link_timers.clear(index);
        let Some(mut link) = self.links.get_mut(index as usize).and_then(Option::take) else { return };
        self.states_changed = true;
        let bucket = link.bucket.map(|bucket| &mut self.buckets[bucket as usize]);
        for slot in bucket.into_iter().flat_map(|bucket| &mut bucket.slots) {
            if *slot == Some(index) {
                *slot = None;
            }
        }
        self.settle(index, left);
        for op in link.queue.take() {
            self.dispatch(op);
        }
        // Only from here on may another link have this index.
        self.free_links.push(index);
    }

    /// The node left the map: no new requests, answers are still taken (`cluster-maps.md` 9).
    pub(super) fn drain_link(&mut self, index: u32) {
        let until = self.after(DRAIN);
        let Some(link) = self.link_mut(index) else { return };
        let idle = link.connection().is_none_or(|connection| !connection.is_ready() || connection.is_idle());
        if idle {
            self.remove_link(index);
            return;
        }
        link.draining.get_or_insert(until);
        let waiting = link.queue.take();
        for op in waiting {
            self.dispatch(op);
        }
        self.arm(index);
    }

    fn close_if_drained(&mut self, index: u32) {
        let drained = self
            .link(index)
            .is_some_and(|link| link.draining.is_some() && link.connection().is_none_or(Connection::is_idle));
        if drained {
            self.remove_link(index);
        }
    }

    /// Ends whatever connection, dial or look-up the link has; what was asked on it is returned.
    fn disconnect(&mut self, index: u32) -> Left {
        let now = self.now;
        let mut left = Left::default();
        let Some(link) = self.link_mut(index) else { return left };
        link.transmit_announced = false;
        match std::mem::replace(&mut link.phase, Phase::Waiting { until: now }) {
            Phase::Waiting { .. } => {}
            Phase::Resolving { lookup } => {
                self.lookups.remove(&lookup);
            }
            Phase::Dialing { attempts, .. } => {
                for (conn, _) in attempts {
                    self.hang_up(conn);
                }
            }
            Phase::Live { conn, mut connection } => {
                self.hang_up(conn);
                // An answer that came completes its operation, whatever came behind it (`kv-protocol.md` 8.3).
                while let Some(event) = connection.poll_event() {
                    match event {
                        ConnEvent::Answer(answer) => left.answers.push(answer),
                        ConnEvent::Broken { error, culprit: Some(tag) } => left.culprit = Some((tag, error)),
                        _ => {}
                    }
                }
                left.requests = connection.close();
            }
        }
        left
    }

    fn hang_up(&mut self, conn: ConnId) {
        if self.conns.link(conn).is_some() {
            self.conns.close(conn);
            self.outputs.push_back(Output::Disconnect(conn));
        }
    }

    pub(super) fn announce_transmit(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        if let Phase::Live { conn, connection } = &link.phase
            && !link.transmit_announced
            && connection.has_output()
        {
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
        let (deadline, retry) = (link.deadline, link.config_retry);
        match &mut link.phase {
            Phase::Waiting { until } if *until <= now => self.dial(index),
            Phase::Waiting { .. } => self.arm(index),
            Phase::Resolving { lookup } => {
                let lookup = *lookup;
                self.lookups.remove(&lookup);
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
            Phase::Live { connection, .. } if connection.is_ready() => {
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
            Phase::Live { connection, .. } if deadline <= now => {
                let stage = connection.stage();
                self.fail_link(index, timed_out(stage, "the peer did not answer in time"));
            }
            Phase::Live { .. } => self.arm(index),
        }
    }
}
