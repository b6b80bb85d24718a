//! Cluster maps: what a server says about its nodes, services and vbuckets.
//!
//! Pure functions over owned data. [`parse()`] turns the bytes of a config into a [`ClusterMap`] or says by
//! [`RejectReason`] why not; [`peek_rev`] finds its version without that work; [`succession()`] decides whether it
//! may replace the one in use; [`choose_network`] picks the addresses to use. A map is immutable and meant to be
//! shared in an `Arc`: what the map says is kept apart from what a client does about it.
//!
//! Three things that are easily mixed up have types or names of their own: a *slot* is a position in `nodesExt`
//! ([`Node::index`]), a *map index* is a cell of a row (see [`VbucketMap::slot_of_index`]), and the *identity* of a
//! node ([`NodeId`]) relates nodes of different maps.

mod error;
mod host;
mod json;
mod ketama;
mod network;
mod node;
mod parse;
mod raw;
mod report;
mod rev;
mod rows;
mod succession;
mod vbucket;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use error::{MapError, MapWarning, RejectReason};
pub use host::{CanonicalHost, Endpoint, canonical_host_eq};
pub use ketama::{Ketama, MAX_RING_MEMBERS};
pub use network::{NetworkChoice, NetworkReason, NetworkSetting, SeedAddr, choose_network};
pub use node::{Alternate, DEFAULT_NETWORK, Node, NodeId, Ports, Service};
pub use parse::parse;
pub use report::{report, report_refusal};
pub use rev::{ConfigRev, peek_rev};
pub use succession::{Succession, succession};
pub use vbucket::{MAX_VBUCKETS, VbucketMap, crc_hash15};

/// Which document a map was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapKind {
    /// A bucket placed by vbuckets (D1).
    Bucket,
    /// The cluster, without any bucket (D2).
    Global,
    /// A memcached bucket, placed by a ketama ring (D3).
    Memcached,
}

impl MapKind {
    /// The name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "terse-bucket",
            Self::Global => "terse-cluster",
            Self::Memcached => "memcached-bucket",
        }
    }
}

/// The product that a server says it is (`prod`, since 8.0).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Product {
    /// Couchbase Server, also where the field is absent.
    #[default]
    Server,
    /// Enterprise Analytics: refused at bootstrap unless allowed.
    Analytics,
    /// Anything else: refused at bootstrap.
    Other(String),
}

/// One accepted config.
///
/// Fields read as in the document, after defaults. Bucket fields are empty in a map of kind [`MapKind::Global`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterMap {
    /// Which document it is.
    pub kind: MapKind,
    /// Its version.
    pub rev: ConfigRev,
    /// The bucket's name.
    pub bucket_name: Option<String>,
    /// Identity of the bucket's incarnation; unknown = incarnations cannot be told apart.
    pub bucket_uuid: Option<String>,
    /// `membase`, `ephemeral` or `memcached`; see [`ClusterMap::is_ephemeral`].
    pub bucket_type: Option<String>,
    /// `couchstore`, `magma`, or what else a server says.
    pub storage_backend: Option<String>,
    /// The bucket is being put to sleep (serverless); for diagnostics.
    pub hibernation_state: Option<String>,
    /// Version of the collection manifest.
    pub collections_manifest_uid: Option<u64>,
    /// Capabilities of the bucket, also those nobody knows yet.
    pub bucket_capabilities: BTreeSet<String>,
    /// Capabilities of the cluster by service name, also those nobody knows yet.
    pub cluster_capabilities: BTreeMap<String, BTreeSet<String>>,
    /// Identity of the cluster; unknown = not checked.
    pub cluster_uuid: Option<String>,
    /// Label of the cluster, may be empty.
    pub cluster_name: Option<String>,
    /// The product behind it.
    pub product: Product,
    /// All slots: one per element of `nodesExt`, in order, none dropped (R-IDX-1). Never empty.
    pub nodes: Vec<Node>,
    /// The length of `nodes` in the document, where it is there. Which nodes serve is in [`Node::serves_bucket`].
    pub nodes_len: Option<usize>,
    /// The slot that produced this copy.
    pub this_node_index: Option<usize>,
    /// Networks other than `default`, in order of first appearance.
    pub alternate_networks: Vec<String>,
    /// For [`MapKind::Bucket`]: where its vbuckets are.
    pub vbuckets: Option<VbucketMap>,
    /// For [`MapKind::Memcached`]: its ring.
    pub ketama: Option<Ketama>,
    /// What was odd.
    pub warnings: Vec<MapWarning>,
}

/// Where a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The vbucket for the request; 0 for memcached buckets.
    pub vbucket: u16,
    /// The slot that holds it; `None` = nobody at the moment. The slot may be unreachable, see [`Node::endpoint`].
    pub slot: Option<usize>,
}

impl ClusterMap {
    /// Vbucket and slot of a key (without the prefix of its collection); `None` in a cluster map, which has no keys.
    ///
    /// Allocates nothing; constant time, for memcached buckets logarithmic in the ring.
    pub fn route(&self, key: &[u8]) -> Option<Route> {
        if let Some(map) = &self.vbuckets {
            let vbucket = map.vbucket(key);
            return Some(Route { vbucket, slot: map.active(vbucket) });
        }
        match self.kind {
            MapKind::Memcached => {
                Some(Route { vbucket: 0, slot: self.ketama.as_ref().and_then(|ring| ring.slot(key)) })
            }
            MapKind::Bucket | MapKind::Global => None,
        }
    }

    /// The node in a slot.
    pub fn node(&self, slot: usize) -> Option<&Node> {
        self.nodes.get(slot)
    }

    /// The bucket has a capability such as `collections`. Of a cluster map nothing is known, which is not "no": ask
    /// only maps of a bucket.
    pub fn has_bucket_capability(&self, name: &str) -> bool {
        self.bucket_capabilities.contains(name)
    }

    /// The cluster has a capability of a service, such as `n1ql` and `enhancedPreparedStatements`.
    pub fn has_cluster_capability(&self, service: &str, name: &str) -> bool {
        self.cluster_capabilities.get(service).is_some_and(|names| names.contains(name))
    }

    /// The bucket keeps its data in memory only. Before servers sent `bucketType`, the lack of views told it.
    pub fn is_ephemeral(&self) -> bool {
        match (&self.bucket_type, self.kind) {
            (Some(kind), _) => kind == "ephemeral",
            (None, MapKind::Bucket) => !self.has_bucket_capability("couchapi"),
            (None, MapKind::Global | MapKind::Memcached) => false,
        }
    }

    /// The node list of this map as a cluster map, to feed the cluster scope (R-VER-4). Clones the nodes.
    pub fn cluster_part(&self) -> Self {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            node.serves_bucket = false;
        }
        Self {
            kind: MapKind::Global,
            rev: self.rev,
            bucket_name: None,
            bucket_uuid: None,
            bucket_type: None,
            storage_backend: None,
            hibernation_state: None,
            collections_manifest_uid: None,
            bucket_capabilities: BTreeSet::new(),
            cluster_capabilities: self.cluster_capabilities.clone(),
            cluster_uuid: self.cluster_uuid.clone(),
            cluster_name: self.cluster_name.clone(),
            product: self.product.clone(),
            nodes,
            nodes_len: None,
            this_node_index: self.this_node_index,
            alternate_networks: self.alternate_networks.clone(),
            vbuckets: None,
            ketama: None,
            warnings: Vec::new(),
        }
    }
}
