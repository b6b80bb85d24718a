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

use super::backoff::Backoff;
use super::fetch::{Errand, Fetch};
use super::health::Notes;
use super::queue::OpQueue;
use super::scope::ScopeId;
use super::secure::Secure;
use super::thaw::Suspicion;
use super::{ConnId, Engine, LookupId, Stage, Tag};
use crate::conn::Connection;
use crate::error::ErrorKind;
use crate::map::Endpoint;
use crate::wire::{ErrorMap, Status};

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

    pub(super) fn written(&mut self, len: usize) {
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
