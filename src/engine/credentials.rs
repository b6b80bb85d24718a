//! Credentials and certificates that change while the engine runs (AUTH-10 to AUTH-13).
//!
//! New ones hold for every connection from then on. Connections in use stay, except that a token is shown to each of
//! them again. On demand they are replaced, one after the other: the next one is dialled first, takes the place, and the
//! one before it gets its answers and goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::link::{Failure, Link, Phase, Role};
use super::security;
use super::table::Place;
use super::{ConfigError, ConnId, Engine, Stage};
use crate::auth::{Authenticator, SaltCache};
use crate::conn::{ConnFailure, Connection};
use crate::error::ErrorKind;
use crate::tls::TlsProfile;
use crate::trace::{debug, info};

/// Between attempts to replace a connection of which the new one was lost altogether.
const FIRST_PAUSE: Duration = Duration::from_millis(32);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the request learns that the server answered with AUTH_STALE (AUTH-12).
pub(super) const STALE: &str =
    "the credentials have expired at the server: hand in newer ones by set_authenticator before that";

/// What becomes of the connections in use when trust or client certificate change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Replace {
    /// They stay until they end by themselves.
    #[default]
    WhenTheyEnd,
    /// They are replaced one after the other, as by [`Engine::replace_connections`].
    OneByOne,
}

/// Connections that are being replaced.
#[derive(Debug)]
pub(super) struct Replacement {
    todo: VecDeque<(u32, ConnId)>,
    current: Option<Current>,
    next_at: Instant,
    pause: Duration,
}

/// The link that takes the place of another's connection.
#[derive(Clone, Copy, Debug)]
struct Current {
    old: u32,
    conn: ConnId,
    new: u32,
    serial: u32,
}

impl Engine {
    /// Other credentials of the same kind, for all connections from now on (AUTH-10). Attempts to connect that were
    /// given up because the earlier ones were refused begin again at once.
    ///
    /// - A password: connections in use stay until they end (AUTH-11).
    /// - A token: every connection in use shows it to its server, ahead of the requests that wait; one whose server
    ///   refuses it is closed and dialled again with the newest.
    /// - A certificate: connections in use stay until they end, or until [`Engine::replace_connections`] (AUTH-13).
    ///
    /// # Errors
    /// [`ConfigError`], and nothing changes: another kind of credentials, or a certificate that cannot be used.
    pub fn set_authenticator(
        &mut self,
        authenticator: Authenticator,
        now: Instant,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        let profile = security::succeed(&self.config, &authenticator)?;
        info!(kind = authenticator.kind(), "new credentials");
        self.config.authenticator = authenticator;
        self.salts = SaltCache::new();
        self.remembered = None;
        self.adopt(profile);
        Ok(())
    }

    /// Other trust anchors, another client certificate, or both, for all connections from now on. Make the profile by
    /// [`TlsProfile::rebuild`] of [`EngineConfig::tls_profile`](super::EngineConfig::tls_profile).
    ///
    /// # Errors
    /// [`ConfigError::InvalidArgument`], and nothing changes: the cluster was opened without TLS or under another policy,
    /// or a client certificate does not fit the kind of credentials (AUTH-6).
    pub fn set_tls(
        &mut self,
        profile: TlsProfile,
        replace: Replace,
        now: Instant,
    ) -> Result<(), ConfigError> {
        self.advance(now);
        security::succeed_profile(&self.config, &profile)?;
        info!(?profile, "new TLS profile");
        self.adopt(Some(profile));
        if replace == Replace::OneByOne {
            self.replace_connections(now);
        }
        Ok(())
    }

    /// Replaces every connection that is in use now, one after the other: the next one is dialled first, and the one
    /// before it gets the answers that it is owed. No operation is lost. One that cannot be replaced yet stays, and is
    /// tried again. A second call begins anew.
    pub fn replace_connections(&mut self, now: Instant) {
        self.advance(now);
        if self.closing.is_some() {
            return;
        }
        self.drop_replacement();
        let mut todo = VecDeque::new();
        let mut without_operations = VecDeque::new();
        for index in self.link_indexes() {
            let Some(link) = self.link(index).filter(|link| link.draining.is_none()) else { continue };
            let Some(conn) = link.conn() else { continue };
            match link.role {
                Role::Member | Role::Seed { .. } => todo.push_back((index, conn)),
                Role::Idle | Role::Stream => without_operations.push_back((index, conn)),
                Role::Errand => {}
            }
        }
        todo.append(&mut without_operations);
        debug!(connections = todo.len(), "replacing connections");
        self.replacement = Some(Replacement { todo, current: None, next_at: self.now, pause: FIRST_PAUSE });
    }

    /// Whether [`Engine::replace_connections`] is under way.
    pub const fn is_replacing(&self) -> bool {
        self.replacement.is_some()
    }

    fn adopt(&mut self, profile: Option<TlsProfile>) {
        if profile.is_some() {
            self.config.profile.clone_from(&profile);
            self.tls = profile;
        }
        self.credentials = self.credentials.wrapping_add(1);
        if self.closing.is_some() {
            return;
        }
        for index in self.link_indexes() {
            let Some(link) = self.link_mut(index) else { continue };
            match &link.phase {
                Phase::Live { .. } => {
                    self.show_newer_credentials(index);
                    self.announce_transmit(index);
                    self.arm(index);
                }
                // Refused so far, it is tried again at once.
                Phase::Waiting { .. } => {
                    let refused = link
                        .last_failure
                        .as_ref()
                        .is_some_and(|failure| matches!(failure.stage, Stage::Auth | Stage::Tls));
                    if refused {
                        link.backoff = Backoff::default();
                        self.dial(index);
                    }
                }
                Phase::Resolving { .. } | Phase::Dialing { .. } | Phase::Asleep => {}
            }
        }
        self.resume_hunts();
        self.states_changed = true;
    }

    /// Shows the server of a connection a token that it has not seen (AUTH-11); certificates and passwords hold for the
    /// connection that they opened.
    pub(super) fn show_newer_credentials(&mut self, index: u32) {
        let now = self.now;
        let newest = self.credentials;
        let Authenticator::Bearer(_) = &self.config.authenticator else { return };
        let authenticator = self.config.authenticator.clone();
        let Some(link) = self.link_mut(index).filter(|link| link.credentials != newest) else { return };
        if link.connection_mut().is_some_and(|connection| connection.reauthenticate(&authenticator, now)) {
            debug!(endpoint = %link.endpoint, "showing the new token");
            link.credentials = newest;
            self.arm(index);
        }
    }

    /// The server has judged a newer token.
    pub(super) fn on_renewed(&mut self, index: u32, judged: Result<(), ConnFailure>) {
        let now = self.now;
        let Err(failure) = judged else { return };
        if let Some(link) = self.link_mut(index) {
            link.backoff.credentials_refused(now);
        }
        let failure = Failure { stage: failure.stage, kind: failure.kind, text: failure.text };
        self.fail_link(index, failure);
    }

    /// The credentials of a connection have expired: nothing but a new one helps (AUTH-12).
    pub(super) fn close_stale(&mut self, index: u32) {
        self.close_link(index, ErrorKind::AuthenticationFailure, STALE);
    }

    /// When there is something to do about the replacement.
    pub(super) fn replacement_due(&self) -> Option<Instant> {
        let replacement = self.replacement.as_ref()?;
        (replacement.current.is_none() && replacement.next_at > self.now).then_some(replacement.next_at)
    }

    /// Goes on with the replacement as far as it can go.
    pub(super) fn tick_replacement(&mut self) {
        let Some(mut replacement) = self.replacement.take() else { return };
        if self.closing.is_some() {
            return;
        }
        loop {
            if let Some(current) = replacement.current {
                match self.swap(current) {
                    Swap::Waiting => break,
                    Swap::Over => replacement.pause = FIRST_PAUSE,
                    Swap::Lost => {
                        replacement.todo.push_back((current.old, current.conn));
                        replacement.next_at = self.after(replacement.pause);
                        replacement.pause = (replacement.pause * 2).min(PAUSE_MAX);
                    }
                }
                replacement.current = None;
            }
            if replacement.next_at > self.now {
                break;
            }
            let todo = &mut replacement.todo;
            todo.retain(|&(index, conn)| {
                self.link(index).is_some_and(|link| link.conn() == Some(conn) && link.draining.is_none())
            });
            if todo.is_empty() {
                info!("all connections are replaced");
                return;
            }
            // Whoever is in its handshake, or looks for a map, has its turn when that is over.
            let ready = |&(index, _): &(u32, ConnId)| {
                self.link(index).is_some_and(|link| match link.role {
                    Role::Seed { .. } => false,
                    Role::Stream | Role::Errand => true,
                    Role::Member | Role::Idle => link.connection().is_some_and(Connection::is_ready),
                })
            };
            let Some(next) = todo.iter().position(ready).and_then(|next| todo.remove(next)) else { break };
            replacement.current = self.begin_swap(next);
        }
        self.replacement = Some(replacement);
    }

    /// Dials what is to take a connection's place; `None`: that is done already, or done without.
    fn begin_swap(&mut self, (old, conn): (u32, ConnId)) -> Option<Current> {
        let link = self.link(old)?;
        let (endpoint, bucket, role) = (link.endpoint.clone(), link.bucket, link.role);
        match role {
            Role::Member => {
                debug!(%endpoint, "dialling what replaces a connection");
                let new = self.new_link(endpoint, bucket, Role::Member, None);
                self.dial(new);
                let serial = self.link(new).map(|link| link.serial)?;
                Some(Current { old, conn, new, serial })
            }
            // No operation goes by these.
            Role::Idle => {
                self.remove_link(old);
                self.want_cluster_link();
                None
            }
            Role::Stream => {
                self.remove_link(old);
                if let Some(bucket) = bucket {
                    self.on_stream_lost(bucket);
                }
                None
            }
            Role::Seed { .. } | Role::Errand => None,
        }
    }

    /// Looks how far the successor of a connection is, and gives it the place when it serves.
    fn swap(&mut self, current: Current) -> Swap {
        let Current { old, conn, new, serial } = current;
        let is_new = |link: &&Link| link.serial == serial && link.draining.is_none();
        let new_link = self.link(new).filter(is_new);
        let (known, ready) = (new_link.is_some(), new_link.is_some_and(Link::is_ready));
        let old_link = self.link(old).filter(|link| link.conn() == Some(conn) && link.draining.is_none());
        let bucket = old_link.and_then(|link| link.bucket);
        let slots = bucket.map(|bucket| &self.buckets[bucket as usize].slots);
        let holds_place = slots.is_some_and(|slots| slots.contains(&Some(old)));
        let in_place = slots.is_some_and(|slots| slots.contains(&Some(new)));
        if !known {
            return if holds_place { Swap::Lost } else { Swap::Over };
        }
        let Some(bucket) = bucket.filter(|_| holds_place && !in_place) else {
            // A map, or the end of the connection, has settled it otherwise.
            let placed = self.buckets.iter().any(|bucket| bucket.slots.contains(&Some(new)));
            if !placed {
                self.remove_link(new);
            }
            return Swap::Over;
        };
        if !ready {
            if new_link.is_some_and(|link| matches!(link.phase, Phase::Waiting { .. })) {
                // Its node takes none at the moment: the others have their turn meanwhile.
                self.remove_link(new);
                return Swap::Lost;
            }
            return Swap::Waiting;
        }
        for slot in &mut self.buckets[bucket as usize].slots {
            if *slot == Some(old) {
                *slot = Some(new);
            }
        }
        // What it was asked is waited for as long as anybody does.
        let asked = self.ops.ids().into_iter().filter_map(|id| self.ops.get(id));
        let asked =
            asked.filter(|op| op.place == Place::Sent && op.link.is_some_and(|link| link.conn == conn));
        let longest = asked.map(|op| op.deadline).max();
        self.drain_link(old);
        if let Some(link) = self.link_mut(old).filter(|link| link.conn() == Some(conn)) {
            link.draining = link.draining.max(longest);
            self.arm(old);
        }
        self.states_changed = true;
        Swap::Over
    }

    fn drop_replacement(&mut self) {
        let Some(Current { new, serial, .. }) = self.replacement.take().and_then(|it| it.current) else {
            return;
        };
        let placed = self.buckets.iter().any(|bucket| bucket.slots.contains(&Some(new)));
        if !placed && self.link(new).is_some_and(|link| link.serial == serial) {
            self.remove_link(new);
        }
    }
}

/// How far a swap is.
enum Swap {
    Waiting,
    Over,
    /// The successor is gone.
    Lost,
}
