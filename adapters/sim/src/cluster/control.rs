//! The harness: what a test or an operator does to the cluster.
//!
//! Methods that name a bucket or node return `false` (or `None`) where there is none of that name. Each change of
//! a map raises the revision once and is announced to subscribed connections at once.

use super::{Cluster, ConnId, Protocol};
use crate::NodeId;
use crate::bucket::{Bucket, BucketKind, Hibernation, Row, spread};
use crate::features::Features;
use crate::hash::vbucket_of;
use crate::leb128;
use crate::listener::Service;
use crate::node::{Node, NodeAddress, NodeState, Settings};
use crate::posture::Posture;
use crate::rule::Rule;
use crate::sasl::Mechanism;
use crate::store::{Mode, Write, inflate, json_bit};
use bytes::Bytes;
use settee::wire::{Opcode, Status};
use std::time::{Duration, Instant};

impl Cluster {
    // Users and settings.

    /// Adds a user or changes a password. Connections stay as they are.
    pub fn set_password(&mut self, user: &str, password: &str) {
        self.state.users.set(user, password);
    }

    /// Removes a user. Connections stay as they are.
    pub fn remove_user(&mut self, user: &str) {
        self.state.users.remove(user);
    }

    /// Adds a user whom another directory knows (LDAP), or changes the password: only PLAIN can check it, SCRAM is
    /// refused for this user with 0x20.
    pub fn set_external_user(&mut self, user: &str, password: &str) {
        self.state.users.set_external(user, password);
    }

    /// Lets a token stand for a user until a time since 1970 (`None`: for ever). It is shown by OAUTHBEARER, which
    /// has to be among the mechanisms ([`Mechanism::ALL`]) and is offered over TLS alone (AUTH-8). When it ends,
    /// connections that came with it answer 0x1f to everything but SASL.
    pub fn set_token(&mut self, token: &str, user: &str, expires: Option<Duration>) {
        self.state.users.set_token(token, user, expires.map(|expires| expires.as_secs()));
    }

    /// A token is good for nothing from here on; `false` if it was not known.
    pub fn revoke_token(&mut self, token: &str) -> bool {
        self.state.users.revoke_token(token)
    }

    /// The only buckets that a user may use from here on; `None`: all. Selecting another answers 0x24.
    pub fn set_bucket_access(&mut self, user: &str, buckets: Option<&[&str]>) {
        let buckets = buckets.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        self.state.users.set_buckets(user, buckets);
    }

    /// Whether a user may read the map of the cluster without a bucket; asking for it answers 0x24 otherwise.
    pub fn set_cluster_config_access(&mut self, user: &str, allowed: bool) {
        self.state.users.set_cluster_config(user, allowed);
    }

    /// Which SASL mechanisms are offered from here on.
    pub fn set_mechanisms(&mut self, mechanisms: &[Mechanism]) {
        self.state.settings.mechanisms = mechanisms.to_vec();
    }

    /// How many vbuckets buckets made from here on have; 1 to 1024.
    pub fn set_vbuckets(&mut self, count: u16) {
        self.state.settings.vbuckets = count;
    }

    /// What a node grants to HELLO from here on.
    pub fn set_features(&mut self, node: NodeId, features: Features) -> bool {
        self.node_mut(node).is_some_and(|node| {
            node.features = features;
            true
        })
    }

    /// The cluster is of another release from here on, as after an upgrade; its new map is announced. Connections
    /// keep what HELLO granted them.
    pub fn pose(&mut self, posture: Posture) {
        self.state.settings.pose(posture);
        for node in &mut self.state.nodes {
            node.features = posture.features();
        }
        self.everything_changed();
    }

    /// Which release the cluster poses as.
    pub fn posture(&self) -> Posture {
        self.state.settings.posture
    }

    /// Puts a node into a server group, or out of all; announced.
    pub fn set_server_group(&mut self, node: NodeId, group: Option<&str>) -> bool {
        let Some(found) = self.node_mut(node) else { return false };
        found.address.server_group = group.map(str::to_owned);
        self.everything_changed();
        true
    }

    /// Adds a rule behind the rules of a node.
    pub fn add_rule(&mut self, node: NodeId, rule: Rule) -> bool {
        self.node_mut(node).is_some_and(|node| {
            node.rules.push(rule);
            true
        })
    }

    /// Adds a rule to every node.
    pub fn add_rule_everywhere(&mut self, rule: &Rule) {
        for node in &mut self.state.nodes {
            node.rules.push(rule.clone());
        }
    }

    /// Takes all rules away.
    pub fn clear_rules(&mut self) {
        for node in &mut self.state.nodes {
            node.rules.clear();
        }
    }

    // Buckets and collections.

    /// Adds a bucket over all member nodes, with the vbuckets and replicas of the settings; `false` if the name is
    /// taken.
    pub fn add_bucket(&mut self, name: &str) -> bool {
        self.add_bucket_of(name, BucketKind::Couchbase)
    }

    /// Adds a bucket of any kind, otherwise as [`add_bucket`](Self::add_bucket).
    pub fn add_bucket_of(&mut self, name: &str, kind: BucketKind) -> bool {
        if self.bucket_index(name).is_some() {
            return false;
        }
        let members = self.members();
        let state = &mut self.state;
        let vbuckets = state.settings.vbuckets.clamp(1, 1024);
        let mut bucket =
            Bucket::new(name, kind, vbuckets, state.settings.replicas.min(3), &members, &mut state.rng);
        state.rev += 1;
        bucket.rev = state.rev;
        state.buckets.push(bucket);
        true
    }

    /// Drops a bucket with its documents. Connections lose their selection.
    pub fn drop_bucket(&mut self, name: &str) -> bool {
        let Some(index) = self.bucket_index(name) else { return false };
        if let Some(bucket) = self.state.buckets.get_mut(index) {
            bucket.dropped = true;
            bucket.vbuckets = Vec::new();
        }
        self.for_sessions(|_, session| {
            if session.bucket == Some(index) {
                session.unbind();
            }
        });
        // Streams of its map end.
        self.announce(index);
        true
    }

    /// Puts a bucket to sleep: its connections close, SELECT_BUCKET answers `status` (0x24 as for an absent one, or
    /// BUCKET_PAUSED, 0x50), its map says so.
    pub fn pause_bucket(&mut self, name: &str, status: Status) -> bool {
        let Some(index) = self.bucket_index(name) else { return false };
        if let Some(bucket) = self.state.buckets.get_mut(index) {
            bucket.hibernation = Some(Hibernation { status });
        }
        self.for_connections(|_, connection| {
            connection.cut |=
                matches!(&connection.protocol, Protocol::Kv(session) if session.bucket == Some(index));
        });
        self.bump_revision(name)
    }

    /// Wakes a bucket up, with its documents and its identity.
    pub fn resume_bucket(&mut self, name: &str) -> bool {
        let Some(bucket) = self.bucket_mut(name) else { return false };
        bucket.hibernation = None;
        self.bump_revision(name)
    }

    /// Removes all documents of a bucket; its map and collections stay.
    pub fn flush_bucket(&mut self, name: &str) -> bool {
        self.bucket_mut(name).is_some_and(|bucket| {
            for vbucket in &mut bucket.vbuckets {
                vbucket.forget(&[]);
            }
            true
        })
    }

    /// Adds a collection, and its scope if it is missing; its id. The manifest's uid is part of the map, so that a
    /// new revision is announced.
    pub fn add_collection(&mut self, bucket: &str, scope: &str, collection: &str) -> Option<u32> {
        let id = self.bucket_mut(bucket)?.collections.add(scope, collection);
        self.bump_revision(bucket);
        Some(id)
    }

    /// Drops a collection with its documents.
    pub fn drop_collection(&mut self, bucket: &str, scope: &str, collection: &str) -> bool {
        let Some(bucket_mut) = self.bucket_mut(bucket) else { return false };
        let Some(id) = bucket_mut.collections.drop_collection(scope, collection) else { return false };
        bucket_mut.forget_collections(&[id]);
        self.bump_revision(bucket)
    }

    /// Drops a scope with its collections and their documents. The default scope cannot be dropped.
    pub fn drop_scope(&mut self, bucket: &str, scope: &str) -> bool {
        let Some(bucket_mut) = self.bucket_mut(bucket) else { return false };
        let ids = bucket_mut.collections.drop_scope(scope);
        bucket_mut.forget_collections(&ids);
        !ids.is_empty() && self.bump_revision(bucket)
    }

    /// The version of a bucket's manifest.
    pub fn manifest_uid(&self, bucket: &str) -> Option<u64> {
        self.bucket(bucket).map(|bucket| bucket.collections.uid())
    }

    /// Whether a node has the bucket's configuration without its data (status 0x0d).
    pub fn set_config_only(&mut self, bucket: &str, node: NodeId, on: bool) -> bool {
        self.bucket_mut(bucket).is_some_and(|bucket| {
            bucket.config_only.retain(|other| *other != node);
            if on {
                bucket.config_only.push(node);
            }
            true
        })
    }

    /// Whether a node has not heard of the bucket yet (SELECT_BUCKET answers 0x01).
    pub fn set_absent(&mut self, bucket: &str, node: NodeId, on: bool) -> bool {
        self.bucket_mut(bucket).is_some_and(|bucket| {
            bucket.absent.retain(|other| *other != node);
            if on {
                bucket.absent.push(node);
            }
            true
        })
    }

    // Maps.

    /// Makes a node the active one of a vbucket. A node that held a replica changes places with the active one;
    /// another takes the active one's place. The history goes on.
    pub fn set_active(&mut self, bucket: &str, vbucket: u16, node: NodeId) -> bool {
        self.move_vbuckets(bucket, [vbucket], node)
    }

    /// Does the same for several vbuckets under one revision.
    pub fn move_vbuckets(
        &mut self,
        bucket: &str,
        vbuckets: impl IntoIterator<Item = u16>,
        to: NodeId,
    ) -> bool {
        let Some(found) = self.bucket_mut(bucket) else { return false };
        for vbucket in vbuckets {
            let Some(row) = found.rows.get_mut(usize::from(vbucket)) else { continue };
            match row.iter().position(|copy| *copy == Some(to)) {
                Some(position) => row.swap(0, position),
                None => {
                    if let Some(active) = row.first_mut() {
                        *active = Some(to);
                    }
                }
            }
        }
        self.bump_revision(bucket)
    }

    /// Replaces the rows of a bucket's map; their number cannot change.
    pub fn set_rows(&mut self, bucket: &str, rows: Vec<Row>) -> bool {
        let Some(found) = self.bucket_mut(bucket).filter(|found| found.rows.len() == rows.len()) else {
            return false;
        };
        found.rows = rows;
        self.bump_revision(bucket)
    }

    /// The rows of a bucket's map.
    pub fn rows(&self, bucket: &str) -> Option<&[Row]> {
        self.bucket(bucket).map(|bucket| &bucket.rows[..])
    }

    /// Shows where the vbuckets will be after a rebalance, or that none is running.
    pub fn set_forward_map(&mut self, bucket: &str, rows: Option<Vec<Row>>) -> bool {
        let Some(found) = self.bucket_mut(bucket) else { return false };
        found.forward = rows;
        self.bump_revision(bucket)
    }

    /// A new revision of a bucket's map without another change (`cluster-maps.md` P2), announced.
    pub fn bump_revision(&mut self, bucket: &str) -> bool {
        let Some(index) = self.bucket_index(bucket) else { return false };
        self.state.rev += 1;
        if let Some(found) = self.state.buckets.get_mut(index) {
            found.rev = self.state.rev;
        }
        self.announce(index);
        true
    }

    /// Sets epoch and revision, as after a quorum failover or a restored cluster; announced. The revision may fall.
    pub fn set_version(&mut self, epoch: Option<i64>, rev: i64) {
        self.state.settings.epoch = epoch;
        self.state.rev = rev.max(1);
        // Texts of before are of no use even if they have the same revision.
        for bucket in &mut self.state.buckets {
            bucket.rendered.clear();
        }
        self.everything_changed_at(rev.max(1));
    }

    /// The revision of the newest map.
    pub fn revision(&self) -> i64 {
        self.state.rev
    }

    /// The map of a bucket as a node gives it, as JSON text.
    pub fn bucket_map(&mut self, bucket: &str, node: NodeId) -> Option<Vec<u8>> {
        let index = self.bucket_index(bucket)?;
        self.state.bucket_config(index, node).map(|rendered| rendered.json.clone())
    }

    // Nodes.

    /// Adds a node to the cluster, without vbuckets until the next [`rebalance`](Self::rebalance).
    pub fn add_node(&mut self, address: NodeAddress) -> NodeId {
        let Settings { features, seed, .. } = self.state.settings;
        let uuid = super::node_uuid(seed, self.state.nodes.len());
        self.state.nodes.push(Node::new(address, features, uuid));
        self.everything_changed();
        NodeId(self.state.nodes.len() - 1)
    }

    /// Takes a node out of the maps after its vbuckets were spread over the others. It goes on answering, without
    /// any vbucket, until it is [killed](Self::kill_node) (`cluster-maps.md` P13).
    pub fn remove_node(&mut self, node: NodeId) -> bool {
        let Some(found) = self.node_mut(node) else { return false };
        found.member = false;
        self.spread_all();
        self.everything_changed();
        true
    }

    /// Spreads the vbuckets of all buckets over the member nodes anew.
    pub fn rebalance(&mut self) {
        self.spread_all();
        self.everything_changed();
    }

    /// Fails a node over: it leaves all rows, replicas are promoted and begin a new branch of history (P14). The
    /// node itself stays as it is: kill it before, or not.
    pub fn fail_over(&mut self, node: NodeId) -> bool {
        let Some(found) = self.node_mut(node) else { return false };
        found.member = false;
        let state = &mut self.state;
        for bucket in &mut state.buckets {
            for vbucket in bucket.without_node(node) {
                if let Some(vbucket) = bucket.vbuckets.get_mut(usize::from(vbucket)) {
                    vbucket.branch(state.rng.next() >> 16);
                }
            }
        }
        self.everything_changed();
        true
    }

    /// The node is gone: its connections close at once, new ones are refused. Maps do not change.
    pub fn kill_node(&mut self, node: NodeId) -> bool {
        let found = self.set_state(node, NodeState::Down);
        self.close_node(node);
        found
    }

    /// The node comes back (or comes back at once): its connections are gone, its documents are not.
    pub fn restart_node(&mut self, node: NodeId) -> bool {
        self.close_node(node);
        self.set_state(node, NodeState::Up)
    }

    /// The node accepts connections and bytes and does not work on them.
    pub fn pause_node(&mut self, node: NodeId) -> bool {
        self.set_state(node, NodeState::Paused)
    }

    /// A paused node goes on with everything that has come meanwhile.
    pub fn resume_node(&mut self, node: NodeId, now: Instant) -> bool {
        self.state.clock.set(now);
        let found = self.set_state(node, NodeState::Up);
        self.for_connections(|state, connection| {
            if connection.node == node {
                connection.resume(state);
            }
        });
        found
    }

    /// Whether new connections to a node are refused.
    pub fn is_down(&self, node: NodeId) -> bool {
        self.state.nodes.get(node.0).is_none_or(|node| node.state == NodeState::Down)
    }

    /// Closes the connections of a node; what they were answered and did not take is lost.
    pub fn close_node(&mut self, node: NodeId) {
        self.for_connections(|_, connection| connection.cut |= connection.node == node);
    }

    /// Closes one connection.
    pub fn close_connection(&mut self, conn: ConnId) {
        self.for_connections(|_, connection| connection.cut |= connection.id == conn);
    }

    /// How many nodes there are or were.
    pub fn node_count(&self) -> usize {
        self.state.nodes.len()
    }

    /// Services of the nodes that a harness makes by itself.
    pub fn services(&self) -> &[Service] {
        &self.state.settings.services
    }

    /// Address of a node.
    pub fn address(&self, node: NodeId) -> Option<&NodeAddress> {
        self.state.nodes.get(node.0).map(|node| &node.address)
    }

    /// Changes the address of a node as maps show it; announced.
    pub fn set_address(&mut self, node: NodeId, address: NodeAddress) -> bool {
        let Some(found) = self.node_mut(node) else { return false };
        found.address = address;
        self.state.tls.forget(node);
        self.everything_changed();
        true
    }

    /// Answers every HTTP request to a node with this status, or with `None` properly again. Streams go on.
    pub fn fail_http(&mut self, node: NodeId, status: Option<u16>) {
        match status {
            Some(status) => self.state.http.failing.insert(node, status),
            None => self.state.http.failing.remove(&node),
        };
    }

    // Looking inside.

    /// The HTTP requests answered so far, oldest first: node, service, path as it came. Of very many the newest are
    /// kept.
    pub fn http_requests(&self) -> impl Iterator<Item = (NodeId, Service, &str)> {
        self.state.http.requests.iter().map(|(node, service, path)| (*node, *service, path.as_str()))
    }

    /// Requests of one operation that a node received.
    pub fn requests(&self, node: NodeId, opcode: Opcode) -> u64 {
        self.state.nodes.get(node.0).map_or(0, |node| node.requests[usize::from(opcode.0)])
    }

    /// Requests of one operation that all nodes received.
    pub fn requests_everywhere(&self, opcode: Opcode) -> u64 {
        self.state.nodes.iter().map(|node| node.requests[usize::from(opcode.0)]).sum()
    }

    /// Document requests, over all nodes, whose vbucket was not the hash of their key.
    pub fn misrouted(&self) -> u64 {
        self.state.nodes.iter().map(|node| node.misrouted).sum()
    }

    /// The vbucket of a key in a bucket.
    pub fn vbucket(&self, bucket: &str, key: &[u8]) -> Option<u16> {
        self.bucket(bucket).map(|bucket| vbucket_of(key, bucket.vbucket_count()))
    }

    /// The node that is active for a key.
    pub fn active_node(&self, bucket: &str, key: &[u8]) -> Option<NodeId> {
        let bucket = self.bucket(bucket)?;
        let place = bucket.place_of(key, &self.state.nodes)?;
        if bucket.kind == BucketKind::Memcached {
            return Some(NodeId(place));
        }
        bucket.rows.get(place)?.first().copied().flatten()
    }

    /// Live documents of a bucket.
    pub fn item_count(&self, bucket: &str) -> usize {
        self.bucket(bucket).map_or(0, Bucket::items)
    }

    /// The value of a document, inflated.
    pub fn document(&mut self, bucket: &str, scope: &str, collection: &str, key: &[u8]) -> Option<Bytes> {
        let index = self.bucket_index(bucket)?;
        let state = &mut self.state;
        let bucket = state.buckets.get_mut(index)?;
        let stored = stored_key(bucket, scope, collection, key)?;
        let place = bucket.place_of(key, &state.nodes)?;
        let doc = bucket.vbuckets.get_mut(place)?.live(&stored, &mut state.clock)?;
        inflate(&doc.value, doc.datatype).map(Bytes::from)
    }

    /// Puts a document behind the clients' backs; `false` if there is no such collection.
    pub fn put_document(
        &mut self,
        bucket: &str,
        (scope, collection): (&str, &str),
        key: &[u8],
        value: &[u8],
        flags: u32,
    ) -> bool {
        let Some(index) = self.bucket_index(bucket) else { return false };
        let state = &mut self.state;
        let Some(bucket) = state.buckets.get_mut(index) else { return false };
        let Some(stored) = stored_key(bucket, scope, collection, key) else { return false };
        let Some(place) = bucket.place_of(key, &state.nodes) else { return false };
        if bucket.kind == BucketKind::Memcached {
            // Made on first use.
            let _ = bucket.of_node(NodeId(place), &mut state.rng);
        }
        let datatype = json_bit(value);
        let write = Write { value, datatype, flags, expiry: 0, cas: 0, preserve_ttl: false };
        bucket
            .vbuckets
            .get_mut(place)
            .is_some_and(|vbucket| vbucket.store(Mode::Set, &stored, &write, &mut state.clock).is_ok())
    }

    // Inside.

    fn members(&self) -> Vec<NodeId> {
        let nodes = self.state.nodes.iter().enumerate();
        nodes.filter(|(_, node)| node.member).map(|(index, _)| NodeId(index)).collect()
    }

    fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        self.state.nodes.get_mut(node.0)
    }

    fn set_state(&mut self, node: NodeId, to: NodeState) -> bool {
        self.node_mut(node).is_some_and(|node| {
            node.state = to;
            true
        })
    }

    fn bucket_index(&self, name: &str) -> Option<usize> {
        self.state.buckets.iter().position(|bucket| !bucket.dropped && bucket.name == name)
    }

    fn bucket(&self, name: &str) -> Option<&Bucket> {
        self.bucket_index(name).and_then(|index| self.state.buckets.get(index))
    }

    fn bucket_mut(&mut self, name: &str) -> Option<&mut Bucket> {
        self.bucket_index(name).and_then(|index| self.state.buckets.get_mut(index))
    }

    fn spread_all(&mut self) {
        let members = self.members();
        for bucket in &mut self.state.buckets {
            let replicas = bucket.replicas;
            bucket.rows = spread(bucket.vbucket_count(), replicas, &members);
            bucket.forward = None;
        }
    }

    fn everything_changed(&mut self) {
        self.everything_changed_at(self.state.rev + 1);
    }

    fn everything_changed_at(&mut self, rev: i64) {
        self.state.rev = rev;
        self.state.global_rev = rev;
        for node in &mut self.state.nodes {
            node.global = crate::bucket::Rendered::default();
        }
        for bucket in &mut self.state.buckets {
            bucket.rev = rev;
        }
        for index in 0..self.state.buckets.len() {
            self.announce(index);
        }
        self.announce_global();
    }
}

impl Bucket {
    fn forget_collections(&mut self, ids: &[u32]) {
        for id in ids {
            let mut prefix = Vec::with_capacity(5);
            leb128::encode(*id, &mut prefix);
            for vbucket in &mut self.vbuckets {
                vbucket.forget(&prefix);
            }
        }
    }
}

fn stored_key(bucket: &Bucket, scope: &str, collection: &str, key: &[u8]) -> Option<Vec<u8>> {
    let id = bucket.collections.resolve(format!("{scope}.{collection}").as_bytes()).ok()?;
    let mut stored = Vec::with_capacity(5 + key.len());
    leb128::encode(id, &mut stored);
    stored.extend_from_slice(key);
    Some(stored)
}
