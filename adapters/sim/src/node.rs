//! Nodes and the settings of the cluster they form.

use crate::bucket::Rendered;
use crate::features::Features;
use crate::listener::{Listener, Service};
use crate::posture::Posture;
use crate::rule::Rule;
use crate::sasl::Mechanism;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which node of the cluster, counted from 0. Never used again after the node was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Where a node can be reached and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// Host name or address as written in cluster maps.
    pub host: String,
    /// The ports that it listens on. Maps announce exactly these.
    pub ports: BTreeMap<Listener, u16>,
    /// Leaves `hostname` out of the map and writes `$HOST`, as real nodes on a loopback address do
    /// (`cluster-maps.md` P9).
    pub omit_hostname: bool,
    /// `serverGroup` of the node.
    pub server_group: Option<String>,
    /// Its addresses on other networks.
    pub alternates: Vec<Alternate>,
}

/// Address of a node on another network than the default one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Name of the network, such as `external`.
    pub network: String,
    /// Host name or address there.
    pub host: String,
    /// The ports there; `None`: the map names none, the node's own ports count (NET-5).
    pub ports: Option<BTreeMap<Listener, u16>>,
}

impl Alternate {
    /// The network `external` with the node's own ports.
    pub fn external(host: impl Into<String>) -> Self {
        Self { network: "external".to_owned(), host: host.into(), ports: None }
    }
}

impl NodeAddress {
    /// A node with the data service on this port and the manager on its default one, without TLS; its host name in
    /// the map, no group and no other networks.
    pub fn new(host: impl Into<String>, kv_port: u16) -> Self {
        let ports =
            BTreeMap::from([(Listener::KV, kv_port), (Listener::MGMT, Listener::MGMT.default_port())]);
        Self { host: host.into(), ports, omit_hostname: false, server_group: None, alternates: Vec::new() }
    }

    /// A node with these services on their default ports, each with and without TLS.
    pub fn with_services(host: impl Into<String>, services: &[Service]) -> Self {
        let listeners = services
            .iter()
            .flat_map(|service| [Listener::plain(*service), Listener::secure(*service)])
            .map(|listener| (listener, listener.default_port()));
        Self { ports: listeners.collect(), ..Self::new(host, 0) }
    }

    /// The port of a listener, if the node has it.
    pub fn port(&self, listener: Listener) -> Option<u16> {
        self.ports.get(&listener).copied()
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
    /// `nodeUUID` of the node.
    pub(crate) uuid: String,
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
    /// Why the last client was turned away in its handshake.
    pub(crate) tls_failure: Option<String>,
}

impl Node {
    pub(crate) fn new(address: NodeAddress, features: Features, uuid: String) -> Self {
        Self {
            address,
            uuid,
            state: NodeState::Up,
            member: true,
            features,
            rules: Vec::new(),
            requests: Box::new([0; 256]),
            misrouted: 0,
            global: Rendered::default(),
            tls_failure: None,
        }
    }
}

/// What a cluster is like, apart from its nodes, buckets and users.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Which release the cluster poses as: the form of its maps, and what is not there yet. See
    /// [`pose`](Self::pose).
    pub posture: Posture,
    /// Vbuckets of buckets made from here on; 1 to 1024.
    pub vbuckets: u16,
    /// Replicas configured for new buckets, 0 to 3. Rows hold them as far as there are nodes.
    pub replicas: usize,
    /// Services of the nodes that a harness makes by itself.
    pub services: Vec<Service>,
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

impl Settings {
    /// Everything that shows a release: features, mechanisms, version text, epoch, the form of maps.
    pub fn pose(&mut self, posture: Posture) {
        self.posture = posture;
        self.features = posture.features();
        self.mechanisms = posture.mechanisms().to_vec();
        self.version = posture.version().to_owned();
        self.epoch = posture.epoch();
    }
}

impl Default for Settings {
    fn default() -> Self {
        let posture = Posture::default();
        Self {
            posture,
            vbuckets: 1024,
            replicas: 1,
            services: vec![Service::Kv, Service::Mgmt],
            features: posture.features(),
            mechanisms: posture.mechanisms().to_vec(),
            scram_iterations: 4096,
            version: posture.version().to_owned(),
            server_duration: Duration::from_micros(10),
            error_map: true,
            epoch: posture.epoch(),
            seed: 1,
        }
    }
}
