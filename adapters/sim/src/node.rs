//! Nodes and the settings of the cluster they form.

use crate::bucket::Rendered;
use crate::features::Features;
use crate::rule::Rule;
use crate::sasl::Mechanism;
use std::time::Duration;

/// Which node of the cluster, counted from 0. Never used again after the node was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Where a node can be reached and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Host name or address as written in cluster maps.
    pub host: String,
    /// Port of the data service.
    pub kv_port: u16,
    /// Port of the management service. Maps always name it; nothing needs to listen there.
    pub mgmt_port: u16,
    /// Leaves `hostname` out of the map and writes `$HOST`, as real nodes on a loopback address do
    /// (`cluster-maps.md` P9).
    pub omit_hostname: bool,
    /// `serverGroup` of the node.
    pub server_group: Option<String>,
    /// Other networks by name: host, and the KV port there if it differs from the node's own.
    pub alternates: Vec<(String, String, Option<u16>)>,
}

impl NodeAddress {
    /// A node with default management port, its host name in the map, no group and no other networks.
    pub fn new(host: impl Into<String>, kv_port: u16) -> Self {
        Self {
            host: host.into(),
            kv_port,
            mgmt_port: 8091,
            omit_hostname: false,
            server_group: None,
            alternates: Vec::new(),
        }
    }
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// It answers.
    Up,
    /// It takes connections and bytes and does not work on them.
    Paused,
    /// It is not there: no connection can be made.
    Down,
}

/// One node.
pub(crate) struct Node {
    pub(crate) address: NodeAddress,
    pub(crate) state: NodeState,
    /// Whether maps list it.
    pub(crate) member: bool,
    pub(crate) features: Features,
    pub(crate) rules: Vec<Rule>,
    /// Requests received, by opcode.
    pub(crate) requests: Box<[u64; 256]>,
    /// Requests whose vbucket is not the hash of their key: a client's bug that the server itself does not see.
    pub(crate) misrouted: u64,
    pub(crate) global: Rendered,
}

impl Node {
    pub(crate) fn new(address: NodeAddress, features: Features) -> Self {
        Self {
            address,
            state: NodeState::Up,
            member: true,
            features,
            rules: Vec::new(),
            requests: Box::new([0; 256]),
            misrouted: 0,
            global: Rendered::default(),
        }
    }
}

/// What a cluster is like, apart from its nodes, buckets and users.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Vbuckets of buckets made from here on; 1 to 1024.
    pub vbuckets: u16,
    /// Replicas configured for new buckets, 0 to 3. Rows hold them as far as there are nodes.
    pub replicas: usize,
    /// Features that nodes offer; see [`Features::SUPPORTED`].
    pub features: Features,
    /// SASL mechanisms offered.
    pub mechanisms: Vec<Mechanism>,
    /// Rounds of SCRAM's key derivation.
    pub scram_iterations: u32,
    /// Text that VERSION answers.
    pub version: String,
    /// What answers report as server duration to clients that negotiated tracing.
    pub server_duration: Duration,
    /// Whether an error map is there to be asked for.
    pub error_map: bool,
    /// `revEpoch` of maps; `None` leaves it out, as clusters with a 6.x node do.
    pub epoch: Option<i64>,
    /// Seed of salts, nonces, uuids: the same seed gives the same bytes.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vbuckets: 1024,
            replicas: 1,
            features: Features::SUPPORTED,
            mechanisms: Mechanism::ALL.to_vec(),
            scram_iterations: 4096,
            version: "7.6.2-simulated".to_owned(),
            server_duration: Duration::from_micros(10),
            error_map: true,
            epoch: Some(1),
            seed: 1,
        }
    }
}
