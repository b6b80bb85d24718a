//! How links fail and go, and what becomes of what was asked on them (`kv-protocol.md` 8.3, BOOT-25).

use super::link::{App, Failure, Link, Phase, Role};
use std::time::Duration;

use super::scope::ScopeId;
use super::{ConnId, Engine, LinkError, Output, Stage, Tag};
use crate::conn::{Answer, ConnEvent, Connection};
use crate::error::ErrorKind;
use crate::trace::debug;
use crate::wire::{DecodeError, Status};

/// A node that left the map is given that long to answer what it was asked (`cluster-maps.md` 9, P13).
const DRAIN: Duration = Duration::from_secs(10);

/// What a connection leaves behind.
#[derive(Debug, Default)]
pub(super) struct Left {
    answers: Vec<Answer<Tag>>,
    /// Whose answer could not be read.
    culprit: Option<(Tag, DecodeError)>,
    /// What was asked, and whether a part of it was written.
    requests: Vec<(Tag, bool)>,
}

impl Engine {
    pub(super) fn on_lost(&mut self, index: u32, conn: ConnId, why: LinkError) {
        self.conns.close(conn);
        // Under TLS only the peer's own word ends an answer: anybody can close a connection.
        let said = match self.link(index).map(|link| &link.phase) {
            Some(Phase::Live { tls: Some(tls), .. }) => tls.session.peer_closed(),
            _ => true,
        };
        if why == LinkError::Closed && said && self.on_http_closed(index) {
            return;
        }
        let secure = self.tls.is_some();
        let Some(link) = self.link_mut(index) else { return };
        match &mut link.phase {
            Phase::Dialing { attempts, rest, .. } => {
                attempts.retain(|(attempt, _)| *attempt != conn);
                let (none_left, more) = (attempts.is_empty(), !rest.is_empty());
                debug!(%conn, %why, "dial failed");
                if more {
                    self.dial_next_address(index);
                } else if none_left {
                    let mut text = why.to_string();
                    if why == LinkError::Refused && secure {
                        text.push_str(" With TLS, does the cluster's encryption level allow it?");
                    }
                    self.fail_link(
                        index,
                        Failure { stage: Stage::Tcp, kind: ErrorKind::UnambiguousTimeout, text },
                    );
                }
            }
            Phase::Live { .. } => {
                let stage = link.stage();
                debug!(%conn, %why, "connection lost");
                let mut text = why.to_string();
                if let (Stage::Tls, Phase::Live { tls: Some(tls), .. }) = (stage, &link.phase) {
                    if let Some(cut) = tls.session.cut() {
                        text = format!("{text}: {cut}");
                    }
                } else if stage == Stage::Hello && why == LinkError::Closed && !secure {
                    text.push_str(
                        " at the first request: if this is a TLS port, use couchbases://, or the plain port 11210",
                    );
                } else if link.connection().is_some_and(Connection::is_unexplained) {
                    text.push_str(": probable lack of privilege, which a node without XERROR reports so");
                }
                self.fail_link(index, Failure { stage, kind: ErrorKind::UnambiguousTimeout, text });
            }
            Phase::Waiting { .. } | Phase::Resolving { .. } | Phase::Asleep => {}
        }
    }

    pub(super) fn on_broken(&mut self, index: u32, error: &DecodeError, culprit: Option<Tag>) {
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
    pub(super) fn settle_culprit(&mut self, index: u32, culprit: Tag, error: &DecodeError) {
        match culprit {
            Tag::Op(slot) => {
                self.fail_undecodable(slot, format!("{error}; the connection is given up"), true);
            }
            tag => self.settle_lost(index, tag, true),
        }
    }

    /// The node refuses the bucket: as good as no connection for it.
    pub(super) fn on_bucket_refused(&mut self, index: u32, bucket: u32, role: Role) {
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
            let whole = self.link(index).and_then(Link::connection).is_some_and(|connection| {
                connection.wants_collections() == self.config.options.enable_collections
            });
            let spare = whole && self.idle_link().is_none();
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
        self.note_failure(index, &failure);
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
            Role::Stream => {
                let bucket = self.link(index).and_then(|link| link.bucket);
                self.remove_link(index);
                if let Some(bucket) = bucket {
                    self.on_stream_lost(bucket);
                }
            }
            Role::Errand => {
                let errand = self.link(index).and_then(|link| link.errand.clone());
                if let Some(number) = errand.and_then(|errand| errand.want.asker()) {
                    self.note_errand(number, index);
                    self.remove_link(index);
                    self.on_web_answer(number, &Err(failure));
                } else {
                    self.remove_link(index);
                }
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
    pub(super) fn settle(&mut self, index: u32, left: Left) {
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

    pub(super) fn on_answer(&mut self, index: u32, answer: Answer<Tag>) {
        match answer.tag {
            Tag::Op(slot) => self.on_op_answer(index, slot, answer),
            tag if answer.status == Status::AUTH_STALE => {
                self.close_stale(index);
                self.settle_lost(index, tag, true);
            }
            Tag::Config(scope) => self.on_config_answer(index, scope, &answer),
            Tag::Collection(collection) => self.on_collection_answer(index, collection, &answer),
            Tag::Ping(number) => self.on_pong(number, answer.status),
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

    pub(super) fn close_if_drained(&mut self, index: u32) {
        let drained = self
            .link(index)
            .is_some_and(|link| link.draining.is_some() && link.connection().is_none_or(Connection::is_idle));
        if drained {
            self.remove_link(index);
        }
    }

    /// Ends whatever connection, dial or look-up the link has; what was asked on it is returned.
    pub(super) fn disconnect(&mut self, index: u32) -> Left {
        let now = self.now;
        let mut left = Left::default();
        let Some(link) = self.link_mut(index) else { return left };
        link.transmit_announced = false;
        match std::mem::replace(&mut link.phase, Phase::Waiting { until: now }) {
            Phase::Waiting { .. } | Phase::Asleep => {}
            Phase::Resolving { lookup } => {
                self.lookups.remove(&lookup);
                self.outputs.push_back(Output::CancelLookup(lookup));
            }
            Phase::Dialing { attempts, .. } => {
                for (conn, _) in attempts {
                    self.hang_up(conn);
                }
            }
            Phase::Live { conn, app: App::Http(_), .. } => self.hang_up(conn),
            Phase::Live { conn, app: App::Kv(mut connection), .. } => {
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

    pub(super) fn hang_up(&mut self, conn: ConnId) {
        if self.conns.link(conn).is_some() {
            self.conns.close(conn);
            self.outputs.push_back(Output::Disconnect(conn));
        }
    }
}
