//! The engine: bytes and clock readings in, bytes, dials and results out.
//!
//! One [`Engine`] has one owner, no locks and no threads. The world tells it what happened by [`Engine::handle_input`]
//! and [`Engine::handle_timeout`]; it tells the world what to do by [`Engine::poll_output`], until [`Output::Wait`].
//! The application asks by plain verbs: [`Engine::submit`], [`Engine::cancel`], [`Engine::shut_down`]. The current time
//! is the last argument of every call that changes something.
//!
//! The rules, each a test:
//! - No input makes it panic, loop for ever, or allocate by a number that a peer sent. Inputs for an unknown or past
//!   connection are ignored.
//! - Every submitted operation ends exactly once: a result, an error, or cancelled. After
//!   [`Engine::shut_down`], all have.
//! - [`Output::Wait`] has its instant in the future of the last `now`; everything due has been done before it.
//! - The same inputs and the same seed give the same outputs, byte for byte.
//! - Bytes to send stay in the engine until [`Input::Written`].

mod advice;
mod backoff;
mod codec;
mod collections;
mod config;
mod conns;
mod credentials;
mod diagnostics;
mod dial;
mod due;
mod ending;
mod farewell;
mod fetch;
mod health;
mod hunt;
mod io;
mod json;
mod link;
mod members;
mod op;
mod ops;
mod outcome;
mod ping;
mod probes;
mod queue;
mod ready;
mod report;
mod retry;
mod salting;
mod scope;
mod sealed;
mod secure;
mod security;
mod snapshot;
mod srv;
mod table;
#[cfg(test)]
mod tests;
mod thaw;
mod timers;
mod tracker;
mod traffic;
mod web;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use crate::stage::Stage;
pub use config::{ConfigError, EngineConfig, Surroundings};
pub use credentials::Replace;
pub use diagnostics::{DiagnosticsReport, EndpointDiagnostics};
pub use health::{
    BucketHealth, ClusterState, ConnectionHealth, ConnectionProtocol, ConnectionRole, ConnectionState,
    EndpointFailure, Health, LastError, MapSummary,
};
pub use io::{
    ConnId, Datagram, Dial, Event, Input, LinkError, Lookup, LookupError, LookupId, Orphan, Output, QueryId,
};
pub use op::{
    BucketRef, CollectionRef, Concat, Count, DesiredState, Durability, OpId, OpKind, Operation, RejectReason,
    Rejected, Response, RetryReason, RetryStrategy, Store, StoreMode,
};
pub use ping::{EndpointPing, PingReport, PingRequest, PingState};
pub use ready::ReadyRequest;
pub use report::{AttemptReport, BootstrapReport};

use collections::Collection;
use conns::ConnTable;
use credentials::Replacement;
use link::{App, Failure, Link, Phase};
use salting::Job;
use scope::{Bucket, Scope, ScopeId};
use srv::Srv;
use table::OpTable;
use timers::Deadlines;

use crate::auth::{Mechanism, SaltCache};
use crate::entropy::Entropy;
use crate::map::{ClusterMap, NetworkReason};
use crate::tls::{NoteLevel, TlsProfile};
use crate::wire::{
    ErrorMap,
    datatype::{CompressionRule, Compressor},
};

/// What a request on a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// The operation in this slot.
    Op(u32),
    /// A fetch of a scope's map.
    Config(ScopeId),
    /// A look-up of a collection's id.
    Collection(u32),
    /// A question of a ping, by number.
    Ping(u32),
}

/// Counts of what passed by, for tests and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Maps that were parsed and accepted as documents.
    pub parsed_maps: u64,
    /// Maps dropped by their version alone, without being parsed.
    pub stale_maps: u64,
    /// Maps refused.
    pub rejected_maps: u64,
}

/// Why the engine wants to be called again, for finding busy loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WakeReason {
    /// It does not.
    Idle,
    /// An operation's deadline.
    Deadline,
    /// The pause before a retry.
    Retry,
    /// A dial, a handshake, a keep-alive or a redial.
    Connection,
    /// A cluster map is to be fetched.
    Map,
    /// The next attempt to find a cluster map.
    Bootstrap,
    /// The next slice of a heavy computation.
    Computation,
    /// The end of a shut-down.
    ShutDown,
}

/// So long may the end of TLS sessions take.
const FAREWELL: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
enum Closing {
    /// Until all operations have ended, at the latest then.
    Draining(Instant),
    /// Until every TLS session has said that it ends, at the latest then.
    Farewell(Instant),
    Done,
}

/// The whole client as a state machine. See the [module](self) for its contract.
pub struct Engine {
    config: EngineConfig,
    compression: Option<CompressionRule>,
    compressor: Compressor,
    entropy: Entropy,
    instance_id: String,
    now: Instant,
    outputs: VecDeque<Output>,

    ops: OpTable,
    /// By operation slot.
    deadlines: Deadlines,
    /// By operation slot.
    pauses: Deadlines,
    watchers: Vec<OpId>,
    requeue: Vec<OpId>,
    /// Links that failed before they were dialled, to be dealt with in turn and not in each other's midst.
    failing: Vec<(u32, u32, Failure)>,
    was_full: bool,
    /// The operation on its way is one that was just submitted.
    fresh: bool,

    links: Vec<Option<Box<Link>>>,
    free_links: Vec<u32>,
    link_serial: u32,
    /// By link.
    link_timers: Deadlines,
    conns: ConnTable,
    lookups: BTreeMap<LookupId, u32>,
    lookup_serial: u64,
    srv: Srv,
    /// `None`: everything goes in the clear.
    tls: Option<TlsProfile>,
    /// When the engine was made.
    born: Instant,
    /// When [`EngineConfig::unix_time`] was.
    clock_read: Instant,
    /// That the password goes to HTTP services in the clear was logged.
    told_of_basic: bool,
    /// What was read off a TLS connection.
    plain: Vec<u8>,

    cluster: Scope,
    /// The servers have no cluster map to give (before 6.5), or not to this user.
    mapless: bool,
    buckets: Vec<Bucket>,
    collections: Vec<Collection>,
    network: Option<String>,
    /// Why that one.
    network_reason: Option<NetworkReason>,
    /// Questions of pings and of waits for readiness.
    rounds: Vec<probes::Round>,
    probe_serial: u32,
    /// How endpoints failed whose links are gone, the latest last.
    past: VecDeque<health::PastFailure>,
    started: bool,

    /// Counts the changes of credentials and certificates.
    credentials: u32,
    /// Connections that are replaced one after the other.
    replacement: Option<Replacement>,
    remembered: Option<Mechanism>,
    salts: SaltCache,
    salting: Vec<Job>,
    error_map: Option<(Bytes, Arc<ErrorMap>)>,

    /// Something changed that somebody may wait for.
    states_changed: bool,
    closing: Option<Closing>,
    counters: Counters,
    scratch: Vec<u8>,
    no_value: Bytes,
}

impl Engine {
    /// An engine that begins to connect with its first [`Engine::poll_output`]. `seed` is the only source of
    /// randomness: the same seed and the same inputs give the same outputs; for anything but tests it must be
    /// unpredictable, since SCRAM's nonces come from it.
    pub fn new(config: EngineConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut entropy = Entropy::new(seed);
        let instance_id = entropy.hex_id();
        let default_bucket = config.default_bucket.clone();
        let mut engine = Self {
            compression: config.compression(),
            compressor: Compressor::default(),
            config,
            entropy,
            instance_id,
            now,
            outputs: VecDeque::new(),
            ops: OpTable::default(),
            deadlines: Deadlines::default(),
            pauses: Deadlines::default(),
            watchers: Vec::new(),
            requeue: Vec::new(),
            failing: Vec::new(),
            was_full: false,
            fresh: false,
            links: Vec::new(),
            free_links: Vec::new(),
            link_serial: 0,
            link_timers: Deadlines::default(),
            conns: ConnTable::default(),
            lookups: BTreeMap::new(),
            lookup_serial: 0,
            srv: Srv::default(),
            tls: None,
            born: now,
            clock_read: now,
            told_of_basic: false,
            plain: Vec::new(),
            cluster: Scope::default(),
            mapless: false,
            buckets: Vec::new(),
            collections: Vec::new(),
            network: None,
            network_reason: None,
            past: VecDeque::new(),
            rounds: Vec::new(),
            probe_serial: 0,
            started: false,
            credentials: 0,
            replacement: None,
            remembered: None,
            salts: SaltCache::new(),
            salting: Vec::new(),
            error_map: None,
            states_changed: false,
            closing: None,
            counters: Counters::default(),
            scratch: Vec::new(),
            no_value: Bytes::new(),
        };
        engine.tls = engine.config.tls_profile().cloned();
        engine.log_configuration();
        if let Some(bucket) = default_bucket {
            engine.open_bucket(&bucket, now);
        }
        engine
    }

    /// What there is to say about the settings, once (1.7, OPT-6, TLS-7).
    fn log_configuration(&self) {
        for _warning in &self.config.warnings {
            crate::trace::warning!(warning = %_warning, "connection string");
        }
        for _note in &self.config.notes {
            crate::trace::info!("{_note}");
        }
        for note in &self.config.tls_notes {
            match note.level {
                NoteLevel::Warn => crate::trace::warning!("{}", note.text),
                NoteLevel::Info => crate::trace::info!("{}", note.text),
                _ => crate::trace::debug!("{}", note.text),
            }
        }
        for _setting in self.config.options.effective() {
            crate::trace::debug!(name = _setting.name, value = %_setting.value, changed = _setting.changed, "setting");
        }
    }

    /// Opens a bucket: connections to its nodes follow. Opening it again gives the same reference. It never fails:
    /// operations tell whether the bucket exists.
    pub fn open_bucket(&mut self, name: &str, now: Instant) -> BucketRef {
        self.advance(now);
        if let Some(bucket) = self.buckets.iter().position(|bucket| bucket.name == name) {
            return BucketRef(bucket as u32);
        }
        let bucket = self.buckets.len() as u32;
        self.buckets.push(Bucket::new(name));
        if self.started && self.closing.is_none() {
            self.start_hunt(ScopeId::Bucket(bucket));
        }
        BucketRef(bucket)
    }

    /// Names a collection; nothing is sent. The same names give the same reference.
    pub fn collection(&mut self, bucket: BucketRef, scope: &str, name: &str) -> CollectionRef {
        let known = self
            .collections
            .iter()
            .position(|other| other.bucket == bucket.0 && other.scope == scope && other.name == name);
        let index = known.unwrap_or_else(|| {
            self.collections.push(Collection::new(bucket.0, scope, name));
            self.collections.len() - 1
        });
        CollectionRef(index as u32)
    }

    /// Takes one input. It never fails; what is wrong with a peer comes as errors of operations.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.advance(now);
        match self.closing {
            Some(Closing::Done) => return,
            Some(Closing::Farewell(_)) => return self.on_farewell_input(&input),
            _ => {}
        }
        match &input {
            Input::LookedUp { lookup, answer } => self.on_looked_up(*lookup, *answer),
            Input::Connected { .. } | Input::Received { .. } | Input::Written { .. } | Input::Lost { .. } => {
                self.on_conn_input(&input);
            }
            Input::Datagram { .. } | Input::DatagramFailed { .. } => self.on_srv_input(&input),
        }
    }

    /// The time that [`Output::Wait`] named has come. Early and late calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// Begins to close: no further operation is taken, those under way get `drain` to end, then they end as
    /// [`ErrorKind::RequestCanceled`](crate::error::ErrorKind::RequestCanceled), connections close, and [`Event::Closed`] comes. Asking again changes nothing
    /// but may shorten the time (LIFE-3).
    pub fn shut_down(&mut self, drain: Duration, now: Instant) {
        self.advance(now);
        let until = self.after(drain);
        self.closing = match self.closing {
            None => Some(Closing::Draining(until)),
            Some(Closing::Draining(at)) => Some(Closing::Draining(at.min(until))),
            done => done,
        };
    }

    /// What to do next; call until [`Output::Wait`].
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                if let Output::Event(Event::Completed { op, .. } | Event::Pinged { op, .. }) = &output {
                    self.ops.release(*op);
                }
                return output;
            }
            if self.is_closed() {
                return Output::Wait(None);
            }
            self.run_due();
            if self.outputs.is_empty() {
                let (next, _) = self.next_wake();
                if let Some(Closing::Farewell(_)) = self.closing {
                    return Output::Wait(next);
                }
                // What became due meanwhile is done before anybody waits.
                if self.failing.is_empty() && !self.states_changed && next.is_none_or(|at| at > self.now) {
                    return Output::Wait(next);
                }
            }
        }
    }

    /// The bytes to write on a connection, in order; they stay until [`Input::Written`]. Meant for one vectored write.
    pub fn transmit(&self, conn: ConnId) -> impl Iterator<Item = &[u8]> {
        let link = self.conns.link(conn).and_then(|index| self.link(index));
        let (clear, sealed) = match link.map(|link| &link.phase) {
            Some(Phase::Live { conn: live, tls: None, app }) if *live == conn => (Some(app), None),
            Some(Phase::Live { conn: live, tls: Some(tls), .. }) if *live == conn => {
                (None, Some(tls.session.output()).filter(|bytes| !bytes.is_empty()))
            }
            _ => (None, self.resolver_output(conn)),
        };
        clear.into_iter().flat_map(App::output).chain(sealed)
    }

    /// The newest map of the cluster.
    pub fn cluster_map(&self) -> Option<&Arc<ClusterMap>> {
        self.cluster.map.as_ref()
    }

    /// The newest map of a bucket.
    pub fn bucket_map(&self, bucket: BucketRef) -> Option<&Arc<ClusterMap>> {
        self.buckets.get(bucket.0 as usize)?.scope.map.as_ref()
    }

    /// How many operations are under way.
    pub fn operations(&self) -> usize {
        self.ops.len()
    }

    /// The settings in effect.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Counts of what passed by.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Why [`Output::Wait`] names the instant it does.
    pub fn wake_reason(&self) -> WakeReason {
        self.next_wake().1
    }

    /// Whether [`Event::Closed`] has come.
    pub fn is_closed(&self) -> bool {
        matches!(self.closing, Some(Closing::Done))
    }

    /// Time only moves forward.
    fn advance(&mut self, now: Instant) {
        // Most calls of a burst come with the same reading.
        if now <= self.now {
            return;
        }
        let gap = now.saturating_duration_since(self.now);
        self.now = now;
        if gap > Duration::from_secs(1) {
            self.on_gap(gap);
        }
    }

    /// An instant from now; one that cannot be expressed is as far as can be.
    fn after(&self, duration: Duration) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400 * 365);
        self.now.checked_add(duration).or_else(|| self.now.checked_add(FAR)).unwrap_or(self.now)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("operations", &self.ops.len())
            .field("buckets", &self.buckets.len())
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}
