//! The cluster: nodes, buckets, users, and the connections to them. Pure: bytes and clock readings in, bytes out.

mod connection;
mod control;
pub(crate) mod secure;

use self::connection::{Connection, Protocol};
use crate::NodeId;
use crate::bucket::{Bucket, BucketKind, Rendered};
use crate::clock::{Clock, Seeded};
use crate::config;
use crate::http::HttpState;
use crate::listener::Listener;
use crate::node::{Node, NodeAddress, NodeState, Settings};
use crate::sasl::Users;
use crate::session::Session;
use crate::tls::TlsSettings;
use std::time::{Duration, Instant};

/// A connection as the cluster knows it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

/// Everything but the connections, so that a connection can work on it.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) users: Users,
    pub(crate) tls: TlsSettings,
    pub(crate) http: HttpState,
    pub(crate) nodes: Vec<Node>,
    pub(crate) buckets: Vec<Bucket>,
    /// One counter for all maps (`cluster-maps.md` P1).
    pub(crate) rev: i64,
    /// Revision of the cluster's own map.
    pub(crate) global_rev: i64,
    pub(crate) uuid: String,
    pub(crate) rng: Seeded,
    /// Answers held back by a rule: when they are due, whose they are.
    pub(crate) delayed: Vec<(Instant, ConnId, Vec<u8>)>,
}

impl State {
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.nodes.get(node.0).is_some_and(|node| node.state == NodeState::Up)
    }

    /// The map of a bucket as this node gives it, made when it is first needed.
    pub(crate) fn bucket_config(&mut self, bucket: usize, node: NodeId) -> Option<&Rendered> {
        let bucket = self.buckets.get_mut(bucket).filter(|bucket| !bucket.dropped)?;
        if bucket.rendered.get(&node).is_none_or(|rendered| rendered.rev != bucket.rev) {
            let form = form(&self.settings, &self.uuid);
            let rendered = config::bucket_config(&self.nodes, bucket, node, &form);
            bucket.rendered.insert(node, rendered);
        }
        bucket.rendered.get(&node)
    }

    /// The map of the cluster as this node gives it; old releases have none.
    pub(crate) fn global_config(&mut self, node: NodeId) -> Option<&Rendered> {
        if !self.settings.posture.has_cluster_config() {
            return None;
        }
        if self.nodes.get(node.0)?.global.rev != self.global_rev {
            let form = form(&self.settings, &self.uuid);
            let rendered = config::global_config(&self.nodes, node, self.global_rev, &form);
            self.nodes.get_mut(node.0)?.global = rendered;
        }
        self.nodes.get(node.0).map(|node| &node.global)
    }
}

fn form<'a>(settings: &Settings, cluster_uuid: &'a str) -> config::Form<'a> {
    config::Form { posture: settings.posture, epoch: settings.epoch, cluster_uuid }
}

/// `nodeUUID` of the node at a place: of its own, and the same with the same seed.
fn node_uuid(seed: u64, index: usize) -> String {
    let mut rng = Seeded::new(seed ^ 0x6e6f_6465 ^ ((index as u64) << 32));
    crate::sasl::hex(&rng.bytes::<16>())
}

/// A Couchbase cluster as a state machine.
///
/// [`connect`](Self::connect) opens a connection to a node, [`receive`](Self::receive) gives it bytes,
/// [`output`](Self::output) and [`written`](Self::written) take its answers. Connections that got output or came to
/// their end for another reason than bytes of their own (a push, a delayed answer, a node killed) are told by
/// [`poll_touched`](Self::poll_touched). Everything happens at the time that is handed in.
///
/// The other half of the methods is the harness: it changes the cluster under its clients' feet.
pub struct Cluster {
    state: State,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: u64,
    touched: Vec<ConnId>,
}

impl Cluster {
    /// A cluster of these nodes, without buckets and users. `unix` is the time since 1970 at `now`.
    pub fn new(settings: Settings, nodes: Vec<NodeAddress>, now: Instant, unix: Duration) -> Self {
        let mut rng = Seeded::new(settings.seed);
        let users = Users::new(settings.scram_iterations, rng.next());
        let nodes = (0..)
            .zip(nodes)
            .map(|(index, address)| Node::new(address, settings.features, node_uuid(settings.seed, index)))
            .collect();
        let state = State {
            clock: Clock::new(now, unix),
            users,
            tls: TlsSettings::new(unix),
            http: HttpState::default(),
            nodes,
            buckets: Vec::new(),
            rev: 1,
            global_rev: 1,
            uuid: crate::sasl::hex(&rng.bytes::<16>()),
            rng,
            delayed: Vec::new(),
            settings,
        };
        Self { state, connections: Vec::new(), free: Vec::new(), opened: 0, touched: Vec::new() }
    }

    /// Opens a connection to a port of a node; `None` if the node is down, has no such listener, or does not exist.
    pub fn connect(&mut self, node: NodeId, listener: Listener, now: Instant) -> Option<ConnId> {
        self.state.clock.set(now);
        let found = self.state.nodes.get(node.0).filter(|node| node.state != NodeState::Down)?;
        found.address.port(listener)?;
        let slot = self.free.last().copied().unwrap_or(self.connections.len());
        // The low bits find the slot, the high ones tell its users apart.
        let id = ConnId(((self.opened + 1) << 24) | slot as u64);
        let connection = Connection::new(id, node, listener, &mut self.state)?;
        self.opened += 1;
        if self.free.pop().is_none() {
            self.connections.push(None);
        }
        if let Some(place) = self.connections.get_mut(slot) {
            *place = Some(connection);
        }
        Some(id)
    }

    /// Bytes from the client. Ignored on a connection that has ended.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.state.clock.set(now);
        let Self { state, connections, .. } = self;
        if let Some(connection) = connection_mut(connections, conn) {
            connection.receive(state, bytes);
        }
    }

    /// Bytes for the client, until [`written`](Self::written) takes them.
    pub fn output(&self, conn: ConnId) -> &[u8] {
        connection(&self.connections, conn).map(Connection::pending).unwrap_or_default()
    }

    /// The client was given the first `len` bytes of the output. Requests that waited for room are worked on.
    pub fn written(&mut self, conn: ConnId, len: usize, now: Instant) {
        let Self { state, connections, .. } = self;
        if let Some(connection) = connection_mut(connections, conn) {
            state.clock.set(now);
            connection.written(state, len);
        }
    }

    /// Whether to read from this client: not while it leaves too many answers unread.
    pub fn wants_input(&self, conn: ConnId) -> bool {
        connection(&self.connections, conn).is_some_and(Connection::wants_input)
    }

    /// Whether the server has closed this connection: everything that it still had to say was taken.
    pub fn is_closed(&self, conn: ConnId) -> bool {
        connection(&self.connections, conn).is_none_or(Connection::is_closed)
    }

    /// Forgets a connection: the client closed it, or it [was closed](Self::is_closed).
    pub fn disconnect(&mut self, conn: ConnId) {
        if connection(&self.connections, conn).is_none() {
            return;
        }
        let slot = slot_of(conn);
        if let Some(place) = self.connections.get_mut(slot) {
            *place = None;
            self.free.push(slot);
        }
        self.state.delayed.retain(|(_, owner, _)| *owner != conn);
    }

    /// A connection to look at: it has output or was closed, without having received anything.
    pub fn poll_touched(&mut self) -> Option<ConnId> {
        self.touched.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.state.delayed.iter().map(|(at, ..)| *at).min()
    }

    /// Sends delayed answers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.state.clock.set(now);
        while let Some(at) = self.next_timeout().filter(|at| *at <= now) {
            let Some(index) = self.state.delayed.iter().position(|(due, ..)| *due == at) else { return };
            let (_, conn, bytes) = self.state.delayed.remove(index);
            let Self { state, connections, touched, .. } = self;
            let Some(connection) = connection_mut(connections, conn) else { continue };
            connection.with_protocol(state, |state, protocol| {
                if let Protocol::Kv(session) = protocol {
                    session.release(state, &bytes, at);
                }
            });
            touched.push(conn);
        }
    }

    /// Open connections, in the order of their slots.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, NodeId)> {
        self.connections.iter().flatten().map(|connection| (connection.id, connection.node))
    }

    /// On which port of its node a connection is.
    pub fn listener_of(&self, conn: ConnId) -> Option<Listener> {
        connection(&self.connections, conn).map(|connection| connection.listener)
    }

    /// Applies `f` to every connection and reports those that got output or were closed by it.
    fn for_connections(&mut self, mut f: impl FnMut(&mut State, &mut Connection)) {
        let Self { state, connections, touched, .. } = self;
        for connection in connections.iter_mut().flatten() {
            let before = connection.mark();
            f(state, connection);
            if before != connection.mark() {
                touched.push(connection.id);
            }
        }
    }

    /// The same inside of TLS.
    fn for_protocols(&mut self, mut f: impl FnMut(&mut State, &mut Protocol)) {
        self.for_connections(|state, connection| connection.with_protocol(state, &mut f));
    }

    /// Applies `f` to the connections of the data service.
    fn for_sessions(&mut self, mut f: impl FnMut(&mut State, &mut Session)) {
        self.for_protocols(|state, protocol| {
            if let Protocol::Kv(session) = protocol {
                f(state, session);
            }
        });
    }

    /// Tells subscribed connections of a bucket's new map.
    fn announce(&mut self, bucket: usize) {
        self.for_protocols(|state, protocol| match protocol {
            Protocol::Kv(session) => {
                if session.bucket != Some(bucket) {
                    return;
                }
                let Some(found) = state.buckets.get(bucket) else { return };
                // Maps of memcached buckets are given out over HTTP alone (D3).
                if found.kind == BucketKind::Memcached {
                    return;
                }
                let name = found.name.clone();
                if let Some(rendered) = state.bucket_config(bucket, session.node) {
                    session.notify(Some(&name), rendered);
                }
            }
            Protocol::Http(session) => session.map_changed(state, Some(bucket)),
        });
    }

    /// Tells all subscribed connections of the cluster's new map.
    fn announce_global(&mut self) {
        self.for_protocols(|state, protocol| match protocol {
            Protocol::Kv(session) => {
                let user = session.user.as_deref().unwrap_or_default();
                if !state.users.may_see_cluster(user) {
                    return;
                }
                if let Some(rendered) = state.global_config(session.node) {
                    session.notify(None, rendered);
                }
            }
            Protocol::Http(session) => session.map_changed(state, None),
        });
    }
}

fn slot_of(conn: ConnId) -> usize {
    usize::try_from(conn.0 & 0x00ff_ffff).unwrap_or(usize::MAX)
}

fn connection(connections: &[Option<Connection>], conn: ConnId) -> Option<&Connection> {
    connections.get(slot_of(conn))?.as_ref().filter(|connection| connection.id == conn)
}

fn connection_mut(connections: &mut [Option<Connection>], conn: ConnId) -> Option<&mut Connection> {
    connections.get_mut(slot_of(conn))?.as_mut().filter(|connection| connection.id == conn)
}

#[cfg(test)]
mod tests;
