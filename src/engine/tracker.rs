//! Keeps maps fresh: polls, announcements, misrouted operations (`cluster-maps.md` 8.3).

use super::scope::ScopeId;
use std::time::{Duration, Instant};

use super::link::{Link, earliest};
use super::{Engine, Tag};
use crate::conn::{Answer, Notification};
use crate::ids::Opaque;
use crate::map::{self, ConfigRev};
use crate::wire::{Encode, Feature, Opcode, Status};

/// While a rebalance is under way nodes without push are asked more often (R-TRK-12).
const REBALANCE_POLL: Duration = Duration::from_secs(1);
/// After a round over all nodes has not brought the announced version (R-TRK-3).
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// NOT_MY_VBUCKET this often for one map: ask once without saying what is known (R-TRK-7).
const SUSPICIOUS: u32 = 3;
/// A bucket whose nodes are all down for so long is looked for from the seeds again.
const DARK: Duration = Duration::from_secs(10);

/// Keeps one map fresh.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The newest version that a node announced.
    pub(super) announced: Option<ConfigRev>,
    /// The link asked, and until when.
    pub(super) in_flight: Option<(u32, Instant)>,
    /// When the last fetch began.
    pub(super) last_start: Option<Instant>,
    /// A fetch is wanted, not before this.
    pub(super) wanted: Option<Instant>,
    /// The link to ask first.
    pub(super) preferred: Option<u32>,
    /// When the map is asked for without a reason.
    pub(super) next_poll: Option<Instant>,
    pub(super) rotation: usize,
    /// Nodes asked since the announced version was not there.
    pub(super) tried: usize,
    pub(super) round_pause: Duration,
    pub(super) without_version: bool,
    pub(super) misrouted: u32,
    /// A fetch was due while no node could be asked.
    pub(super) missed: bool,
}

impl Engine {
    pub(super) fn send_config_request(
        &mut self,
        index: u32,
        scope: ScopeId,
        known: Option<(i64, i64)>,
    ) -> bool {
        let mut extras = [0; 16];
        if let Some((epoch, rev)) = known {
            extras[..8].copy_from_slice(&epoch.to_be_bytes());
            extras[8..].copy_from_slice(&rev.to_be_bytes());
        }
        let Some(connection) = self.link_mut(index).and_then(Link::connection_mut) else { return false };
        let extras: &[u8] = if known.is_some() { &extras } else { &[] };
        let request = Encode { extras, ..Encode::request(Opcode::GET_CLUSTER_CONFIG, Opaque(0)) };
        let sent = connection.send(Tag::Config(scope), request, &bytes::Bytes::new()).is_ok();
        self.announce_transmit(index);
        sent
    }

    /// The answer to a fetch (R-TRK-3).
    pub(super) fn on_config_answer(&mut self, index: u32, scope: ScopeId, answer: &Answer<Tag>) {
        let is_fetch = self.scope(scope).tracker.in_flight.is_some_and(|(link, _)| link == index);
        if is_fetch {
            self.scope_mut(scope).tracker.in_flight = None;
        }
        let has_map = self.scope(scope).map.is_some();
        if answer.status == Status::SUCCESS && answer.malformed.is_none() {
            if !answer.value.is_empty() {
                self.propose(index, &answer.value);
            } else if !has_map {
                self.retry_config_later(index);
            }
            self.restart_poll(scope);
        } else if !has_map {
            self.on_handshake_config_refused(index, answer.status);
        }
        let applied = self.scope(scope).map.as_ref().map(|map| map.rev);
        let now = self.now;
        let nodes = self.serving_links(scope).len().max(1);
        let longest = self.config.options.config_poll_interval.max(ROUND_PAUSE);
        let tracker = &mut self.scope_mut(scope).tracker;
        let behind =
            tracker.announced.is_some_and(|announced| applied.is_none_or(|applied| applied < announced));
        if is_fetch && behind {
            tracker.tried += 1;
            tracker.preferred = None;
            let pause = if tracker.tried.is_multiple_of(nodes) {
                tracker.round_pause = (tracker.round_pause * 2).clamp(ROUND_PAUSE, longest);
                tracker.without_version = true;
                tracker.round_pause
            } else {
                Duration::ZERO
            };
            tracker.wanted = now.checked_add(pause);
            self.tick_tracker(scope);
        }
    }

    /// A new map is in use: what was announced up to it is done.
    pub(super) fn settle_tracker(&mut self, scope: ScopeId) {
        let applied = self.scope(scope).map.as_ref().map(|map| map.rev);
        let tracker = &mut self.scope_mut(scope).tracker;
        if tracker.announced <= applied {
            tracker.wanted = None;
            tracker.tried = 0;
            tracker.round_pause = Duration::ZERO;
        }
        tracker.without_version = false;
        tracker.misrouted = 0;
        self.restart_poll(scope);
    }

    pub(super) fn restart_poll(&mut self, scope: ScopeId) {
        let options = &self.config.options;
        let serving = self.serving_links(scope);
        let all_push = !serving.is_empty() && serving.iter().all(|&index| self.pushes(index));
        let rebalancing = self
            .scope(scope)
            .map
            .as_ref()
            .and_then(|map| map.vbuckets.as_ref())
            .is_some_and(map::VbucketMap::has_forward);
        // Where only bucket connections could be asked, the buckets' own polls bring the cluster's map too (S69).
        let fed = scope == ScopeId::Cluster && !self.buckets.is_empty() && self.idle_link().is_none();
        let interval = if options.config_poll_interval.is_zero()
            || fed
            || (scope != ScopeId::Cluster && self.is_over_http(scope))
        {
            None
        } else if all_push {
            Some(options.config_safety_interval)
        } else {
            let interval = options.config_poll_interval.max(options.config_poll_floor);
            Some(if rebalancing { interval.min(REBALANCE_POLL) } else { interval })
        };
        let next = interval.map(|interval| self.after(interval));
        self.scope_mut(scope).tracker.next_poll = next;
    }

    pub(super) fn pushes(&self, index: u32) -> bool {
        self.link(index)
            .and_then(Link::connection)
            .is_some_and(|c| c.features().contains(Feature::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF))
    }

    /// A node says that a newer map exists (R-TRK-2).
    pub(super) fn on_notification(&mut self, index: u32, notification: &Notification) {
        let Some(link) = self.link(index) else { return };
        let scope = if notification.bucket.is_empty() {
            ScopeId::Cluster
        } else {
            match link.bucket {
                Some(bucket) if self.buckets[bucket as usize].name.as_bytes() == &notification.bucket[..] => {
                    ScopeId::Bucket(bucket)
                }
                _ => return,
            }
        };
        let announced = ConfigRev::new(notification.epoch, notification.rev);
        let applied = self.scope(scope).map.as_ref().map(|map| map.rev);
        if applied.is_some_and(|applied| announced <= applied)
            || self.scope(scope).tracker.announced >= Some(announced)
        {
            return;
        }
        if !notification.value.is_empty() && self.propose(index, &notification.value) {
            return;
        }
        let now = self.now;
        let tracker = &mut self.scope_mut(scope).tracker;
        tracker.announced = Some(announced);
        tracker.tried = 0;
        tracker.round_pause = Duration::ZERO;
        tracker.preferred = Some(index);
        tracker.wanted = Some(now);
        self.tick_tracker(scope);
    }

    /// An operation was misrouted and no newer map is at hand (R-TRK-6, RE-3).
    pub(super) fn want_map(&mut self, bucket: u32, from: u32) {
        let now = self.now;
        let tracker = &mut self.buckets[bucket as usize].scope.tracker;
        tracker.misrouted += 1;
        tracker.without_version |= tracker.misrouted >= SUSPICIOUS;
        if tracker.in_flight.is_none() && tracker.wanted.is_none() {
            tracker.preferred = Some(from);
            tracker.wanted = Some(now);
            self.tick_tracker(ScopeId::Bucket(bucket));
        }
    }

    /// Something suggests that the map may have changed: a connection was lost.
    pub(super) fn suspect_map(&mut self, scope: ScopeId) {
        let now = self.now;
        let tracker = &mut self.scope_mut(scope).tracker;
        if tracker.in_flight.is_none() {
            tracker.wanted.get_or_insert(now);
        }
        self.tick_tracker(scope);
    }

    /// When the tracker has something to do.
    pub(super) fn tracker_due(&self, scope: ScopeId) -> Option<Instant> {
        let state = self.scope(scope);
        state.map.as_ref()?;
        if let Some((_, deadline)) = state.tracker.in_flight {
            return Some(deadline);
        }
        let floor = self.floor(scope);
        let wanted = state.tracker.wanted.map(|at| floor.map_or(at, |floor| at.max(floor)));
        earliest(wanted, state.tracker.next_poll)
    }

    /// Before this no fetch may begin (R-TRK-4).
    pub(super) fn floor(&self, scope: ScopeId) -> Option<Instant> {
        self.scope(scope).tracker.last_start?.checked_add(self.config.options.config_poll_floor)
    }

    /// Does what the tracker has due.
    pub(super) fn tick_tracker(&mut self, scope: ScopeId) {
        let now = self.now;
        if self.is_over_http(scope) {
            // A bucket's stream brings what is new; a lost one is opened again by its own timer. The cluster's own map
            // is asked for again.
            let tracker = &mut self.scope_mut(scope).tracker;
            (tracker.wanted, tracker.in_flight, tracker.preferred) = (None, None, None);
            if scope != ScopeId::Cluster {
                tracker.next_poll = None;
            } else if tracker.next_poll.is_some_and(|at| at <= now) {
                self.restart_poll(scope);
                self.want_cluster_link();
            }
            return;
        }
        if self.tracker_due(scope).is_none_or(|at| at > now) {
            return;
        }
        if let Some((link, _)) = self.scope(scope).tracker.in_flight {
            // The node counts as asked, and its connection has to show that it lives (R-TRK-8).
            let tracker = &mut self.scope_mut(scope).tracker;
            tracker.in_flight = None;
            tracker.preferred = None;
            tracker.wanted = Some(now);
            if let Some(connection) = self.link_mut(link).and_then(Link::connection_mut) {
                connection.probe(now);
            }
            self.announce_transmit(link);
            self.arm(link);
            if self.tracker_due(scope).is_none_or(|at| at > now) {
                return;
            }
        }
        let is_poll = self.scope(scope).tracker.wanted.is_none_or(|at| at > now);
        self.restart_poll(scope);
        if is_poll && self.scope(scope).tracker.next_poll.is_none() {
            return;
        }
        let serving = self.serving_links(scope);
        if serving.is_empty() {
            let tracker = &mut self.scope_mut(scope).tracker;
            tracker.wanted = None;
            tracker.missed = true;
            self.on_dark(scope);
            return;
        }
        let silent: Vec<u32> = serving.iter().copied().filter(|&index| !self.pushes(index)).collect();
        let candidates = if is_poll && !silent.is_empty() { silent } else { serving };
        let tracker = &mut self.scope_mut(scope).tracker;
        tracker.rotation = tracker.rotation.wrapping_add(1);
        let rotated = candidates[tracker.rotation % candidates.len()];
        let chosen = tracker.preferred.take().filter(|index| candidates.contains(index)).unwrap_or(rotated);
        let without = std::mem::take(&mut tracker.without_version);
        tracker.wanted = None;
        tracker.last_start = Some(now);
        // Never a version made from a map without epoch, never to a node that does not take one (R-VER-9).
        let known = self.scope(scope).map.as_ref().and_then(|map| map.rev.known_version());
        let takes_version = self
            .link(chosen)
            .and_then(Link::connection)
            .is_some_and(|c| c.features().contains(Feature::GET_CLUSTER_CONFIG_KNOWN_VERSION));
        let deadline = self.after(self.config.options.config_poll_timeout.max(Duration::from_secs(1)));
        if self.send_config_request(chosen, scope, known.filter(|_| takes_version && !without)) {
            self.scope_mut(scope).tracker.in_flight = Some((chosen, deadline));
        }
    }

    /// A fetch went down with its connection.
    pub(super) fn on_config_lost(&mut self, index: u32, scope: ScopeId) {
        let now = self.now;
        let tracker = &mut self.scope_mut(scope).tracker;
        if tracker.in_flight.is_none_or(|(asked, _)| asked != index) {
            return;
        }
        tracker.in_flight = None;
        tracker.last_start = None;
        tracker.wanted = Some(now);
        self.tick_tracker(scope);
    }

    /// No node of the scope can be asked: after a while the seeds are tried again.
    pub(super) fn on_dark(&mut self, scope: ScopeId) {
        let now = self.now;
        let ScopeId::Bucket(bucket) = scope else {
            self.want_cluster_link();
            return;
        };
        let state = &mut self.buckets[bucket as usize];
        let since = *state.dark_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= DARK && state.scope.hunt.is_none() {
            self.start_hunt(scope);
        }
    }
}
