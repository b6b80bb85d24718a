//! Scopes: one for the cluster, one per bucket. Each has a map, and a tracker that keeps it fresh
//! (`cluster-maps.md` 8.3, 9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hunt::Hunt;
use super::link::{Failure, Link, Role, earliest};
use super::queue::OpQueue;
use super::{Engine, Event, Output, Stage, Tag};
use crate::conn::{Answer, Connection, Notification};
use crate::error::ErrorKind;
use crate::ids::Opaque;
use crate::map::{
    self, ClusterMap, ConfigRev, Endpoint, MapError, MapKind, NetworkSetting, Product, RejectReason,
    SeedAddr, Service, Succession, canonical_host_eq,
};
use crate::options::Network;
use crate::trace::{debug, info, warning};
use crate::wire::{Encode, Feature, Opcode, Status};

/// On a node that has no map yet (`connecting.md` 4.5).
const CONFIG_RETRY: Duration = Duration::from_millis(100);
const CONFIG_RETRY_MAX: Duration = Duration::from_secs(1);
/// While a rebalance is under way nodes without push are asked more often (R-TRK-12).
const REBALANCE_POLL: Duration = Duration::from_secs(1);
/// After a round over all nodes has not brought the announced version (R-TRK-3).
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// NOT_MY_VBUCKET this often for one map: ask once without saying what is known (R-TRK-7).
const SUSPICIOUS: u32 = 3;
/// A bucket whose nodes are all down for so long is looked for from the seeds again.
const DARK: Duration = Duration::from_secs(10);

/// Which map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeId {
    Cluster,
    Bucket(u32),
}

#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) map: Option<Arc<ClusterMap>>,
    /// Counts the maps: tells whether an operation was routed by the present one.
    pub(super) serial: u32,
    pub(super) tracker: Tracker,
    pub(super) hunt: Option<Hunt>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) scope: Scope,
    /// The link of each slot of the map; `None`: the slot cannot be reached or does not serve the bucket.
    pub(super) slots: Vec<Option<u32>>,
    /// Operations that wait for a map, or for a node to take their vbucket.
    pub(super) parked: OpQueue,
    /// Why the last node refused the bucket.
    pub(super) refused: Option<ErrorKind>,
    dark_since: Option<Instant>,
    /// A collection's id could not be asked for: no connection had room.
    pub(super) lookups_owed: bool,
}

impl Bucket {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scope: Scope::default(),
            slots: Vec::new(),
            parked: OpQueue::default(),
            refused: None,
            dark_since: None,
            lookups_owed: false,
        }
    }
}

/// Keeps one map fresh.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The newest version that a node announced.
    announced: Option<ConfigRev>,
    /// The link asked, and until when.
    in_flight: Option<(u32, Instant)>,
    /// When the last fetch began.
    last_start: Option<Instant>,
    /// A fetch is wanted, not before this.
    wanted: Option<Instant>,
    /// The link to ask first.
    preferred: Option<u32>,
    /// When the map is asked for without a reason.
    next_poll: Option<Instant>,
    rotation: usize,
    /// Nodes asked since the announced version was not there.
    tried: usize,
    round_pause: Duration,
    without_version: bool,
    misrouted: u32,
    /// A fetch was due while no node could be asked.
    missed: bool,
}

impl Engine {
    pub(super) fn scope(&self, id: ScopeId) -> &Scope {
        match id {
            ScopeId::Cluster => &self.cluster,
            ScopeId::Bucket(bucket) => &self.buckets[bucket as usize].scope,
        }
    }

    pub(super) fn scope_mut(&mut self, id: ScopeId) -> &mut Scope {
        match id {
            ScopeId::Cluster => &mut self.cluster,
            ScopeId::Bucket(bucket) => &mut self.buckets[bucket as usize].scope,
        }
    }

    pub(super) fn scope_ids(&self) -> impl Iterator<Item = ScopeId> + use<> {
        let buckets = self.buckets.len() as u32;
        std::iter::once(ScopeId::Cluster).chain((0..buckets).map(ScopeId::Bucket))
    }

    /// Takes a map's text that came by a link; whether something newer is in use afterwards.
    pub(super) fn propose(&mut self, index: u32, body: &[u8]) -> bool {
        let Some(link) = self.link(index) else { return false };
        let origin = link.endpoint.host.clone();
        let bound = link.bucket;
        // The same text comes many times: its version is enough to know that it is not newer (S54).
        if let Some(rev) = map::peek_rev(body) {
            let known = match bound {
                Some(bucket) => self.buckets[bucket as usize].scope.map.as_ref(),
                None => self.cluster.map.as_ref(),
            };
            if known.is_some_and(|known| rev <= known.rev) {
                self.counters.stale_maps += 1;
                self.on_known_map(index);
                return false;
            }
        }
        match map::parse(body, &origin) {
            Ok(map) => {
                self.counters.parsed_maps += 1;
                if self.config.options.dump_configuration {
                    debug!(text = %String::from_utf8_lossy(body), "cluster map");
                }
                self.accept(index, Arc::new(map))
            }
            Err(error) => {
                self.counters.rejected_maps += 1;
                self.on_rejected_map(index, &error);
                false
            }
        }
    }

    /// A node gives the map that is in use, or an older one: a hunt that was to find a newer one is over.
    fn on_known_map(&mut self, index: u32) {
        let Some(link) = self.link_mut(index) else { return };
        link.config_retry = None;
        if let Role::Seed { scope, .. } = link.role
            && self.scope(scope).map.is_some()
        {
            self.end_hunt(scope, index);
        }
    }

    fn on_rejected_map(&mut self, index: u32, error: &MapError) {
        warning!(%error, "a cluster map was refused");
        if error.reason == RejectReason::EmptyVbucketMap {
            if let Some(partial) = &error.partial {
                self.accept_cluster(index, Arc::clone(partial));
            }
            self.retry_config_later(index);
            return;
        }
        let is_seed = self.link(index).is_some_and(|link| matches!(link.role, Role::Seed { .. }));
        if is_seed {
            let failure =
                Failure { stage: Stage::Map, kind: ErrorKind::DecodingFailure, text: error.to_string() };
            self.fail_link(index, failure);
        }
    }

    /// Whether something newer is in use afterwards.
    fn accept(&mut self, index: u32, map: Arc<ClusterMap>) -> bool {
        if map.product != Product::Server {
            self.refuse_map(index, "this is not a Couchbase Server but another product");
            return false;
        }
        let serial = self.link(index).map(|link| link.serial);
        let cluster = self.accept_cluster(index, Arc::clone(&map));
        if self.link(index).map(|link| link.serial) != serial {
            // Refused, and the link with it: another may have its index.
            return false;
        }
        if let Some(link) = self.link_mut(index) {
            link.config_retry = None;
        }
        if map.kind == MapKind::Global {
            return cluster;
        }
        let Some(bucket) = self.link(index).and_then(|link| link.bucket) else { return cluster };
        if map.kind == MapKind::Memcached {
            self.refuse_map(index, "memcached buckets are not supported");
            return cluster;
        }
        if map.bucket_name.as_deref() != Some(&self.buckets[bucket as usize].name) {
            self.on_rejected_map(index, &MapError::new(RejectReason::WrongBucket, "another bucket's map"));
            return cluster;
        }
        self.accept_bucket(index, bucket, map) || cluster
    }

    fn refuse_map(&mut self, index: u32, why: &str) {
        let failure =
            Failure { stage: Stage::Map, kind: ErrorKind::FeatureNotAvailable, text: why.to_owned() };
        self.fail_link(index, failure);
    }

    /// A map's node list for the cluster scope (R-VER-4).
    fn accept_cluster(&mut self, index: u32, map: Arc<ClusterMap>) -> bool {
        let newer = match map::succession(self.cluster.map.as_deref(), &map) {
            Ok(Succession::First | Succession::Newer { .. }) => true,
            Ok(_) => false,
            Err(error) if error.reason == RejectReason::WrongCluster => {
                self.on_rejected_map(index, &error);
                return false;
            }
            Err(_) => false,
        };
        if !newer || !self.choose_network(index, &map) {
            return false;
        }
        let map = if map.kind == MapKind::Global { map } else { Arc::new(map.cluster_part()) };
        self.cluster.map = Some(Arc::clone(&map));
        self.cluster.serial = self.cluster.serial.wrapping_add(1);
        self.states_changed = true;
        info!(rev = %map.rev, nodes = map.nodes.len(), "cluster map");
        self.settle_tracker(ScopeId::Cluster);
        self.outputs.push_back(Output::Event(Event::MapChanged(map)));
        self.end_hunt(ScopeId::Cluster, index);
        true
    }

    /// Chosen once, by the first map (R-NET-1).
    fn choose_network(&mut self, index: u32, map: &ClusterMap) -> bool {
        if self.network.is_some() {
            return true;
        }
        let setting = match &self.config.options.network {
            Network::Auto => NetworkSetting::Auto,
            network => NetworkSetting::from_option(&network.to_string()),
        };
        let seeds: Vec<SeedAddr> = self
            .config
            .seeds
            .iter()
            .map(|seed| SeedAddr { host: seed.host.to_string(), kv: seed.kv, mgmt: seed.mgmt })
            .collect();
        match map::choose_network(map, &setting, &seeds, false) {
            Ok(choice) => {
                info!(network = %choice.name, reason = %choice.reason, "network chosen");
                self.network = Some(choice.name);
                true
            }
            Err(error) => {
                let failure =
                    Failure { stage: Stage::Map, kind: ErrorKind::InvalidArgument, text: error.to_string() };
                self.fail_link(index, failure);
                false
            }
        }
    }

    fn accept_bucket(&mut self, index: u32, bucket: u32, map: Arc<ClusterMap>) -> bool {
        let scope = &self.buckets[bucket as usize].scope;
        let succession = match map::succession(scope.map.as_deref(), &map) {
            Ok(Succession::Same) => {
                self.on_known_map(index);
                return false;
            }
            Ok(succession) => succession,
            Err(error) if error.reason == RejectReason::Stale => {
                self.on_known_map(index);
                return false;
            }
            Err(error) => {
                self.on_rejected_map(index, &error);
                return false;
            }
        };
        if let Succession::Newer { new_incarnation: true, .. } = succession {
            info!(bucket = %self.buckets[bucket as usize].name, "the bucket was created anew");
            self.forget_collections(bucket);
        }
        info!(bucket = %self.buckets[bucket as usize].name, rev = %map.rev, "bucket map");
        self.apply_bucket(index, bucket, &map);
        self.end_hunt(ScopeId::Bucket(bucket), index);
        self.settle_tracker(ScopeId::Bucket(bucket));
        self.outputs.push_back(Output::Event(Event::MapChanged(map)));
        self.states_changed = true;
        self.reroute(bucket);
        true
    }

    /// Add, swap, drain (`cluster-maps.md` 9): at no moment does a routed operation find its node missing.
    fn apply_bucket(&mut self, index: u32, bucket: u32, map: &Arc<ClusterMap>) {
        let network = self.network.clone().unwrap_or_default();
        let endpoints: Vec<Option<Endpoint>> = map
            .nodes
            .iter()
            .map(|node| {
                let (host, port) =
                    node.endpoint(Service::Kv, &network, false).filter(|_| node.serves_bucket)?;
                Some(Endpoint::new(host, port))
            })
            .collect();
        let mut old: Vec<u32> = self
            .link_indexes()
            .into_iter()
            .filter(|&other| self.link(other).is_some_and(|link| link.bucket == Some(bucket)))
            .collect();
        let mut slots: Vec<Option<u32>> = vec![None; endpoints.len()];
        // The connection that brought the map is the one to the node that says "this is me", whatever name it was
        // dialled by; it goes on serving.
        if let Some(this) = map.this_node_index
            && endpoints.get(this).is_some_and(Option::is_some)
            && self
                .link(index)
                .is_some_and(|link| link.bucket == Some(bucket) && matches!(link.role, Role::Seed { .. }))
        {
            slots[this] = Some(index);
            old.retain(|&other| other != index);
        }
        for (slot, endpoint) in endpoints.iter().enumerate() {
            let Some(endpoint) = endpoint.as_ref().filter(|_| slots[slot].is_none()) else { continue };
            let found = old
                .iter()
                .position(|&other| self.link(other).is_some_and(|link| same_place(&link.endpoint, endpoint)));
            slots[slot] = found.map(|found| old.remove(found));
        }
        for (slot, endpoint) in endpoints.into_iter().enumerate() {
            let Some(endpoint) = endpoint else { continue };
            match slots[slot] {
                Some(existing) => {
                    if let Some(link) = self.link_mut(existing) {
                        link.endpoint = endpoint;
                        link.role = Role::Member;
                        link.draining = None;
                        link.config_retry = None;
                    }
                    self.arm(existing);
                }
                None => slots[slot] = Some(self.add_link(endpoint, Some(bucket), Role::Member)),
            }
        }
        let state = &mut self.buckets[bucket as usize];
        state.slots = slots;
        state.scope.map = Some(Arc::clone(map));
        state.scope.serial = state.scope.serial.wrapping_add(1);
        state.dark_since = None;
        for left in old {
            self.drain_link(left);
        }
    }

    /// The links of a bucket that serve.
    fn serving_links(&self, scope: ScopeId) -> Vec<u32> {
        match scope {
            ScopeId::Bucket(bucket) => {
                let slots = self.buckets[bucket as usize].slots.iter().flatten().copied();
                slots.filter(|&index| self.link(index).is_some_and(Link::is_ready)).collect()
            }
            ScopeId::Cluster => {
                let all = self.link_indexes();
                let ready = |index: &u32| self.link(*index).is_some_and(|link| link.is_ready());
                let idle: Vec<u32> = all
                    .iter()
                    .copied()
                    .filter(ready)
                    .filter(|&index| self.link(index).is_some_and(|link| link.role == Role::Idle))
                    .collect();
                if idle.is_empty() { all.into_iter().filter(ready).collect() } else { idle }
            }
        }
    }

    /// A link begins to serve: its scope can be asked for maps, and what waited for it goes out.
    pub(super) fn on_serving(&mut self, index: u32) {
        let Some(link) = self.link(index) else { return };
        let scope = link.bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
        // It may be one that has to be asked more often; a timer that runs already is not put off.
        let before = self.scope(scope).tracker.next_poll;
        self.restart_poll(scope);
        let tracker = &mut self.scope_mut(scope).tracker;
        tracker.next_poll = earliest(before, tracker.next_poll);
        if std::mem::take(&mut self.scope_mut(scope).tracker.missed) {
            self.suspect_map(scope);
        }
        if let ScopeId::Bucket(bucket) = scope {
            self.buckets[bucket as usize].dark_since = None;
            if self.link(index).is_some_and(|link| link.role == Role::Member) {
                // Its nodes are back: nobody needs the seeds any more.
                self.end_hunt(scope, index);
            }
            self.resolve_waiting_collections(bucket);
        }
    }

    /// A handshake has brought a map, or the word that there is none newer: as good as a fetch (R-TRK-5).
    pub(super) fn heard_of_map(&mut self, index: u32) {
        let Some(link) = self.link(index).filter(|link| link.role == Role::Member) else { return };
        let scope = link.bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
        self.scope_mut(scope).tracker.missed = false;
        self.restart_poll(scope);
    }

    /// An answer to the handshake's request for a map that holds none.
    pub(super) fn on_handshake_config_refused(&mut self, index: u32, status: Status) {
        let Some(link) = self.link(index) else { return };
        let Role::Seed { scope, .. } = link.role else { return };
        if link.bucket_refused.is_some() {
            return;
        }
        match (scope, status) {
            // No map yet, or the node is busy: the same node again, soon.
            (
                _,
                Status::KEY_ENOENT
                | Status::ETMPFAIL
                | Status::EBUSY
                | Status::SUCCESS
                | Status::ECONFIG_ONLY,
            ) => {
                self.retry_config_later(index);
            }
            // Servers before 6.5 have no cluster map, and some users have no right to it: what can be had comes with
            // the first bucket (`connecting.md` 4.4).
            (
                ScopeId::Cluster,
                Status::NO_BUCKET | Status::EACCESS | Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED,
            ) => {
                info!(%status, "the server gives no cluster map without a bucket");
                self.mapless = true;
                self.states_changed = true;
                self.end_hunt(ScopeId::Cluster, index);
            }
            _ => {
                let text = format!("the server refused the cluster map with {status}");
                let failure = Failure { stage: Stage::Map, kind: ErrorKind::AuthenticationFailure, text };
                self.fail_link(index, failure);
            }
        }
    }

    fn retry_config_later(&mut self, index: u32) {
        let Some(link) = self.link(index) else { return };
        let pause = link.config_retry.map_or(CONFIG_RETRY, |(_, pause)| pause);
        let at = self.after(pause);
        if let Some(link) = self.link_mut(index) {
            link.config_retry = Some((at, (pause * 2).min(CONFIG_RETRY_MAX)));
        }
        self.arm(index);
    }

    /// The pause of [`Engine::retry_config_later`] has passed.
    pub(super) fn retry_config(&mut self, index: u32) {
        let Some(link) = self.link_mut(index) else { return };
        let scope = link.bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
        // The answer arms it again if there still is none.
        let far = link.config_retry.map(|(_, pause)| pause).unwrap_or(CONFIG_RETRY_MAX);
        let at = self.after(far);
        if let Some(link) = self.link_mut(index) {
            link.config_retry = Some((at, far));
        }
        self.send_config_request(index, scope, None);
    }

    fn send_config_request(&mut self, index: u32, scope: ScopeId, known: Option<(i64, i64)>) -> bool {
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
    fn settle_tracker(&mut self, scope: ScopeId) {
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

    fn restart_poll(&mut self, scope: ScopeId) {
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
        let interval = if options.config_poll_interval.is_zero() || fed {
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

    fn pushes(&self, index: u32) -> bool {
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
    fn floor(&self, scope: ScopeId) -> Option<Instant> {
        self.scope(scope).tracker.last_start?.checked_add(self.config.options.config_poll_floor)
    }

    /// Does what the tracker has due.
    pub(super) fn tick_tracker(&mut self, scope: ScopeId) {
        let now = self.now;
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
    fn on_dark(&mut self, scope: ScopeId) {
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

    /// The connection without a bucket, if there is one.
    pub(super) fn idle_link(&self) -> Option<u32> {
        self.link_indexes()
            .into_iter()
            .find(|&index| self.link(index).is_some_and(|link| link.role == Role::Idle))
    }
}

fn same_place(a: &Endpoint, b: &Endpoint) -> bool {
    a.port == b.port && canonical_host_eq(&a.host, &b.host)
}

impl Connection<Tag> {
    /// Whether a bucket may be selected on it at once (FR-16).
    pub(super) fn is_free(&self) -> bool {
        self.is_ready() && self.in_flight() == (0, 0)
    }
}
