//! Scopes: one for the cluster, one per bucket. Each has a map, and a tracker that keeps it fresh
//! (`cluster-maps.md` 8.3, 9).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hunt::Hunt;
use super::link::{Failure, Link, Role, earliest};
use super::queue::OpQueue;
use super::tracker::Tracker;
use super::{Engine, Event, Output, Stage, Tag};
use crate::conn::Connection;
use crate::error::ErrorKind;
use crate::map::{
    self, ClusterMap, Endpoint, MapError, MapKind, NetworkSetting, Product, RejectReason, SeedAddr,
    Succession, canonical_host_eq,
};
use crate::options::Network;
use crate::trace::{debug, info, warning};
use crate::wire::Status;

/// On a node that has no map yet (`connecting.md` 4.5).
const CONFIG_RETRY: Duration = Duration::from_millis(100);
const CONFIG_RETRY_MAX: Duration = Duration::from_secs(1);
/// A node that has come to this pause is not going to have a map soon.
const CONFIG_PERSISTS: Duration = Duration::from_millis(400);

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
    /// The next map counts whatever its version (BOOT-22).
    pub(super) forced: bool,
}

impl Scope {
    /// The map that a proposed one is compared with.
    fn compared(&self) -> Option<&Arc<ClusterMap>> {
        self.map.as_ref().filter(|_| !self.forced)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) scope: Scope,
    /// The links of each slot of the map, `num_kv_connections` in a row; `None`: the slot cannot be reached or does not
    /// serve the bucket.
    pub(super) slots: Vec<Option<u32>>,
    /// Operations that wait for a map, or for a node to take their vbucket.
    pub(super) parked: OpQueue,
    /// Why the last node refused the bucket.
    pub(super) refused: Option<ErrorKind>,
    pub(super) dark_since: Option<Instant>,
    /// A collection's id could not be asked for: no connection had room.
    pub(super) lookups_owed: bool,
    /// When a stream of maps is opened again, and the pause after that (BOOT-19).
    pub(super) stream_at: Option<Instant>,
    pub(super) stream_pause: Option<Duration>,
    pub(super) stream_rotation: usize,
    /// Since when no stream that was opened has brought a map.
    pub(super) stream_lost_since: Option<Instant>,
    /// When the present stream gave its first map.
    pub(super) stream_since: Option<Instant>,
    /// When a map of a stream was read last, and a newer one that waits for its time, with its link.
    pub(super) stream_read: Option<Instant>,
    pub(super) stream_waiting: Option<(Instant, u32, u32, bytes::Bytes)>,
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
            stream_at: None,
            stream_pause: None,
            stream_rotation: 0,
            stream_lost_since: None,
            stream_since: None,
            stream_read: None,
            stream_waiting: None,
        }
    }
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
        // The same text comes many times: its version is enough to know that it is not newer (S54). A seed may be of
        // another cluster, whose versions say nothing.
        let is_seed = matches!(link.role, Role::Seed { .. });
        if let Some(rev) = map::peek_rev(body).filter(|_| !is_seed) {
            let known = self.scope(bound.map_or(ScopeId::Cluster, ScopeId::Bucket)).compared();
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
    pub(super) fn on_known_map(&mut self, index: u32) {
        let Some(link) = self.link_mut(index) else { return };
        link.config_retry = None;
        if let Role::Seed { scope, .. } = link.role
            && self.scope(scope).compared().is_some()
        {
            self.keep_stream(index);
            self.end_hunt(scope, index);
        }
    }

    pub(super) fn on_rejected_map(&mut self, index: u32, error: &MapError) {
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
    pub(super) fn accept(&mut self, index: u32, map: Arc<ClusterMap>) -> bool {
        let analytics = map.product == Product::Analytics && self.config.options.allow_enterprise_analytics;
        if map.product != Product::Server && !analytics {
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
            if !cluster {
                self.on_known_map(index);
            }
            return cluster;
        }
        let Some(bucket) = self.link(index).and_then(|link| link.bucket) else { return cluster };
        if map.bucket_name.as_deref() != Some(&self.buckets[bucket as usize].name) {
            self.on_rejected_map(index, &MapError::new(RejectReason::WrongBucket, "another bucket's map"));
            return cluster;
        }
        self.accept_bucket(index, bucket, map) || cluster
    }

    pub(super) fn refuse_map(&mut self, index: u32, why: &str) {
        let failure =
            Failure { stage: Stage::Map, kind: ErrorKind::FeatureNotAvailable, text: why.to_owned() };
        self.fail_link(index, failure);
    }

    /// A map's node list for the cluster scope (R-VER-4).
    pub(super) fn accept_cluster(&mut self, index: u32, map: Arc<ClusterMap>) -> bool {
        let forced = self.cluster.forced;
        let newer = match map::succession(self.cluster.compared().map(Arc::as_ref), &map) {
            Ok(Succession::First | Succession::Newer { .. }) => true,
            Ok(_) => false,
            Err(error) if error.reason == RejectReason::WrongCluster => {
                self.on_rejected_map(index, &error);
                return false;
            }
            Err(_) => false,
        };
        if !newer {
            return false;
        }
        if forced {
            self.network = None;
        }
        if !self.choose_network(index, &map) {
            return false;
        }
        self.cluster.forced = false;
        if self.cluster.map.is_none() {
            self.check_server_group(&map);
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

    /// A server group that no node is in was probably misspelt (`connecting.md` 5.4).
    fn check_server_group(&self, map: &ClusterMap) {
        let Some(_wanted) = &self.config.options.server_group else { return };
        let known: BTreeSet<&str> =
            map.nodes.iter().filter_map(|node| node.server_group.as_deref()).collect();
        if !known.contains(_wanted.as_str()) {
            let known: Vec<&str> = known.into_iter().collect();
            let _known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            warning!("server_group={_wanted:?} is no group of this cluster; its groups: {_known}");
        }
    }

    /// Chosen once, by the first map (R-NET-1).
    pub(super) fn choose_network(&mut self, index: u32, map: &ClusterMap) -> bool {
        if self.network.is_some() {
            return true;
        }
        let setting = match &self.config.options.network {
            Network::Auto => NetworkSetting::Auto,
            network => NetworkSetting::from_option(&network.to_string()),
        };
        let seeds: Vec<SeedAddr> = self
            .seeds()
            .iter()
            .map(|seed| SeedAddr { host: seed.host.to_string(), kv: seed.kv, mgmt: seed.mgmt })
            .collect();
        match map::choose_network(map, &setting, &seeds, self.config.tls()) {
            Ok(choice) => {
                info!(network = %choice.name, reason = %choice.reason, "network chosen");
                self.network = Some(choice.name);
                self.network_reason = Some(choice.reason);
                true
            }
            Err(error) => {
                let failure =
                    Failure { stage: Stage::Map, kind: ErrorKind::NetworkNotFound, text: error.to_string() };
                self.fail_link(index, failure);
                false
            }
        }
    }

    pub(super) fn accept_bucket(&mut self, index: u32, bucket: u32, map: Arc<ClusterMap>) -> bool {
        let scope = &self.buckets[bucket as usize].scope;
        let succession = match map::succession(scope.compared().map(Arc::as_ref), &map) {
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
        self.buckets[bucket as usize].scope.forced = false;
        self.apply_bucket(index, bucket, &map);
        // What brought it over HTTP goes on doing so, until data nodes do.
        self.keep_stream(index);
        self.end_hunt(ScopeId::Bucket(bucket), index);
        self.settle_tracker(ScopeId::Bucket(bucket));
        self.outputs.push_back(Output::Event(Event::MapChanged(map)));
        self.states_changed = true;
        self.reroute(bucket);
        true
    }

    /// The links of a bucket that serve.
    pub(super) fn serving_links(&self, scope: ScopeId) -> Vec<u32> {
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
                // Its nodes are back: nobody needs the seeds any more, and versions count again.
                self.end_hunt(scope, index);
                self.buckets[bucket as usize].scope.forced = false;
                self.cluster.forced = false;
            }
            self.resolve_waiting_collections(bucket);
            self.close_stream(bucket);
            self.take_over(bucket, index);
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
        let Role::Seed { scope, target } = link.role else { return };
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
                // A node that goes on so has a bucket whose map only the manager gives (`cluster-maps.md` D3).
                let pause = self.link(index).and_then(|link| link.config_retry).map(|(_, pause)| pause);
                if let (ScopeId::Bucket(_), true) = (scope, pause >= Some(CONFIG_PERSISTS)) {
                    self.hunt_without_map(scope, target);
                }
            }
            (ScopeId::Bucket(_), Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED) => {
                self.hunt_without_map(scope, target);
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

    pub(super) fn retry_config_later(&mut self, index: u32) {
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

    /// The connection without a bucket, if there is one.
    pub(super) fn idle_link(&self) -> Option<u32> {
        self.link_indexes()
            .into_iter()
            .find(|&index| self.link(index).is_some_and(|link| link.role == Role::Idle))
    }
}

pub(super) fn same_place(a: &Endpoint, b: &Endpoint) -> bool {
    a.port == b.port && canonical_host_eq(&a.host, &b.host)
}

impl Connection<Tag> {
    /// Whether a bucket may be selected on it at once (FR-16).
    pub(super) fn is_free(&self) -> bool {
        self.is_ready() && self.in_flight() == (0, 0)
    }
}
