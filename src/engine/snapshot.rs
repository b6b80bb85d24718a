//! Takes the snapshot that is [`Health`](super::Health).

use std::time::Instant;

use super::Engine;
use super::health::{
    BucketHealth, ClusterState, ConnectionHealth, ConnectionProtocol, ConnectionRole, ConnectionState,
    EndpointFailure, Health, LastError, MapSummary, PastFailure,
};
use super::link::{App, Failure, Link, Phase, Role};
use super::scope::ScopeId;
use crate::auth::Mechanism;
use crate::conn::Connection;
use crate::map::{MapKind, NetworkChoice};
use crate::tls::PeerInfo;

/// So many endpoints are remembered whose connection failed and is gone.
const PAST_MAX: usize = 32;

impl Engine {
    /// The state of everything at this moment: no I/O, nothing changes. It costs time in proportion to connections,
    /// buckets and waiting operations, so it is for people and metrics, not for each request.
    pub fn health(&self, now: Instant) -> Health {
        let now = now.max(self.now);
        let (ready, total) = self.nodes_ready();
        Health {
            state: ClusterState::of(ready, total),
            instance: self.instance_id.clone(),
            age: now.saturating_duration_since(self.born),
            closing: self.closing.is_some(),
            network: self
                .network
                .as_ref()
                .zip(self.network_reason.as_ref())
                .map(|(name, reason)| NetworkChoice { name: name.clone(), reason: reason.clone() }),
            srv: self.srv.outcome.clone(),
            cluster: self.cluster.map.as_deref().map(MapSummary::of_cluster),
            mapless: self.mapless,
            hunt: self.report(ScopeId::Cluster),
            buckets: (0..self.buckets.len() as u32).map(|bucket| self.bucket_health(bucket)).collect(),
            connections: self
                .link_indexes()
                .into_iter()
                .filter_map(|index| Some(self.connection_health(self.link(index)?, now)))
                .collect(),
            failures: self.past.iter().map(|past| past.report(now)).collect(),
            operations: self.ops.len(),
            waiting: self.watchers.len(),
            counters: self.counters,
            wake_reason: self.wake_reason(),
        }
    }

    /// Nodes with a connection that serves, and nodes that should have one, over all buckets; without any bucket, the
    /// cluster's own connection.
    pub(super) fn nodes_ready(&self) -> (usize, usize) {
        if self.buckets.is_empty() {
            let ready = self.idle_link().and_then(|index| self.link(index)).is_some_and(Link::is_ready);
            return (usize::from(ready), 1);
        }
        let of_buckets = (0..self.buckets.len() as u32).map(|bucket| {
            let (ready, total) = self.bucket_nodes(bucket);
            // A bucket without a map has at least one node, which is not connected.
            (ready, total.max(1))
        });
        of_buckets.fold((0, 0), |(ready, total), (r, t)| (ready + r, total + t))
    }

    /// How many nodes of a bucket serve it, of how many that have its data and are wanted: with lazy connections those
    /// that nobody needed so far do not count (BOOT-30).
    pub(super) fn bucket_nodes(&self, bucket: u32) -> (usize, usize) {
        let state = &self.buckets[bucket as usize];
        let Some(map) = &state.scope.map else { return (0, 0) };
        let rows = state.slots.chunks(self.width());
        let (mut ready, mut total) = (0, 0);
        for (_, row) in map.nodes.iter().zip(rows).filter(|(node, _)| node.serves_bucket) {
            let links = || row.iter().flatten().filter_map(|&index| self.link(index));
            let asleep = links().next().is_some() && links().all(|it| matches!(it.phase, Phase::Asleep));
            total += usize::from(!asleep);
            ready += usize::from(links().any(Link::is_ready));
        }
        (ready, total)
    }

    fn bucket_health(&self, bucket: u32) -> BucketHealth {
        let state = &self.buckets[bucket as usize];
        let map = state.scope.map.as_deref();
        let (ready, total) = self.bucket_nodes(bucket);
        BucketHealth {
            name: state.name.clone(),
            kind: map.map(|map| match map.kind {
                MapKind::Memcached => "memcached",
                MapKind::Bucket | MapKind::Global if map.is_ephemeral() => "ephemeral",
                MapKind::Bucket | MapKind::Global => "couchbase",
            }),
            map: map.map(MapSummary::of_bucket),
            ready,
            total,
            hunt: self.report(ScopeId::Bucket(bucket)),
            parked: state.parked.len(),
        }
    }

    fn connection_health(&self, link: &Link, now: Instant) -> ConnectionHealth {
        let kv = link.connection();
        let (in_flight, given_up) = kv.map_or((0, 0), Connection::in_flight);
        let tls = link.peer();
        let certificates = match &tls {
            Some(peer) => peer.chain.clone(),
            None => link.notes.chain.clone(),
        };
        let features = kv.map(Connection::features);
        ConnectionHealth {
            id: self.connection_id(link),
            endpoint: link.endpoint.to_string(),
            address: link.address,
            local: link.local,
            bucket: link.bucket.map(|bucket| self.buckets[bucket as usize].name.clone()),
            role: match link.role {
                Role::Seed { .. } => ConnectionRole::Seed,
                Role::Member => ConnectionRole::Member,
                Role::Idle => ConnectionRole::Idle,
                Role::Stream => ConnectionRole::Stream,
                Role::Errand => ConnectionRole::Errand,
            },
            protocol: link.protocol(),
            state: link.state(),
            stage: link.stage(),
            queued: link.queue.len(),
            in_flight,
            given_up,
            mechanism: kv.and_then(Connection::mechanism).map(Mechanism::name),
            features: features
                .into_iter()
                .flat_map(|granted| granted.iter().filter_map(crate::wire::Feature::name).collect::<Vec<_>>())
                .collect(),
            tls,
            certificates,
            last_error: link.notes.failed.as_ref().map(|(at, failure)| LastError::new(*at, failure, now)),
            next_dial: match link.phase {
                Phase::Waiting { until } => Some(until.saturating_duration_since(now)),
                _ => None,
            },
            pause: link.backoff.pause(),
            last_activity: link.notes.active.map(|at| now.saturating_duration_since(at)),
        }
    }

    /// The identification of a connection, as its HELLO says it; a connection that has sent none is numbered.
    pub(super) fn connection_id(&self, link: &Link) -> String {
        match &link.notes.ident {
            Some(ident) => format!("{}/{ident}", self.instance_id),
            None => format!("{}/{:08x}", self.instance_id, link.serial),
        }
    }

    /// A link has failed: what reports will say of it.
    pub(super) fn note_failure(&mut self, index: u32, failure: &Failure) {
        let now = self.now;
        let Some(link) = self.link_mut(index) else { return };
        link.notes.failed = Some((now, failure.clone()));
        link.notes.chain = match &link.phase {
            Phase::Live { tls: Some(tls), .. } => tls.session.presented_chain(),
            _ => Vec::new(),
        };
        if link.role == Role::Member {
            return;
        }
        let past = PastFailure {
            endpoint: link.endpoint.to_string(),
            address: link.address,
            protocol: link.protocol(),
            at: now,
            failure: failure.clone(),
            chain: link.notes.chain.clone(),
        };
        self.past.retain(|other| other.endpoint != past.endpoint || other.protocol != past.protocol);
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(past);
    }
}

impl LastError {
    fn new(at: Instant, failure: &Failure, now: Instant) -> Self {
        Self {
            stage: failure.stage,
            kind: failure.kind,
            text: failure.text.clone(),
            ago: now.saturating_duration_since(at),
        }
    }
}

impl PastFailure {
    fn report(&self, now: Instant) -> EndpointFailure {
        EndpointFailure {
            endpoint: self.endpoint.clone(),
            address: self.address,
            protocol: self.protocol,
            error: LastError::new(self.at, &self.failure, now),
            certificates: self.chain.clone(),
        }
    }
}

impl Link {
    pub(super) const fn protocol(&self) -> ConnectionProtocol {
        if self.errand.is_some() { ConnectionProtocol::Http } else { ConnectionProtocol::Kv }
    }

    pub(super) fn state(&self) -> ConnectionState {
        if self.draining.is_some() {
            return ConnectionState::Disconnecting;
        }
        match &self.phase {
            Phase::Waiting { .. } | Phase::Asleep => ConnectionState::Disconnected,
            Phase::Resolving { .. } | Phase::Dialing { .. } => ConnectionState::Connecting,
            Phase::Live { app: App::Kv(_), .. } if self.is_ready() => ConnectionState::Connected,
            Phase::Live { app: App::Http(fetch), .. } if fetch.is_answered() => ConnectionState::Connected,
            Phase::Live { .. } => ConnectionState::Connecting,
        }
    }

    /// Whom the TLS session speaks to; `None` before its handshake is done.
    pub(super) fn peer(&self) -> Option<PeerInfo> {
        match &self.phase {
            Phase::Live { tls: Some(tls), .. } => tls.session.peer(),
            _ => None,
        }
    }
}
