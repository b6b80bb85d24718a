//! What a served cluster is like before it starts.

use super::SimCluster;
use crate::{
    Alternate, Certificates, ClientCertificates, Cluster, Features, Listener, Mechanism, NodeAddress, NodeId,
    Posture, Service, Settings,
};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Makes a [`SimCluster`].
#[derive(Clone, Debug)]
pub struct SimClusterBuilder {
    nodes: u16,
    port: Option<u16>,
    buckets: Vec<String>,
    collections: Vec<(String, String)>,
    users: Vec<(String, String)>,
    omit_hostname: bool,
    tls: bool,
    external: bool,
    certificates: Certificates,
    client_certificates: ClientCertificates,
    tokens: Vec<(String, String)>,
    settings: Settings,
}

impl Default for SimClusterBuilder {
    fn default() -> Self {
        Self {
            nodes: 3,
            port: None,
            buckets: Vec::new(),
            collections: Vec::new(),
            users: Vec::new(),
            omit_hostname: false,
            tls: false,
            external: false,
            certificates: Certificates::Good,
            client_certificates: ClientCertificates::Disable,
            tokens: Vec::new(),
            settings: Settings::default(),
        }
    }
}

impl SimClusterBuilder {
    /// How many nodes; at least 1, 3 if not said.
    #[must_use]
    pub const fn nodes(mut self, nodes: u16) -> Self {
        self.nodes = if nodes == 0 { 1 } else { nodes };
        self
    }

    /// Port of the first node's data service; those of the others follow on the next ones. Free ports are taken if
    /// not said, and for everything but the data service without TLS.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Adds a bucket. `default` is there only if no bucket is named.
    #[must_use]
    pub fn bucket(mut self, name: &str) -> Self {
        self.buckets.push(name.to_owned());
        self
    }

    /// Adds a collection to every bucket, with its scope.
    #[must_use]
    pub fn collection(mut self, scope: &str, name: &str) -> Self {
        self.collections.push((scope.to_owned(), name.to_owned()));
        self
    }

    /// Adds a user. `Administrator` with `password` is there only if no user is named.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Number of vbuckets of each bucket, 1 to 1024; 1024 if not said.
    #[must_use]
    pub const fn vbuckets(mut self, vbuckets: u16) -> Self {
        self.settings.vbuckets = vbuckets;
        self
    }

    /// Number of replicas, 0 to 3; 1 if not said.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas;
        self
    }

    /// Switches HELLO features off, by code.
    #[must_use]
    pub fn features_off(mut self, codes: &[u16]) -> Self {
        self.settings.features =
            codes.iter().fold(self.settings.features, |set: Features, code| set.without(*code));
        self
    }

    /// SASL mechanisms offered, in this order.
    #[must_use]
    pub fn mechanisms(mut self, mechanisms: &[Mechanism]) -> Self {
        self.settings.mechanisms = mechanisms.to_vec();
        self
    }

    /// Rounds of SCRAM's key derivation; 4096 if not said.
    #[must_use]
    pub const fn scram_iterations(mut self, iterations: u32) -> Self {
        self.settings.scram_iterations = iterations;
        self
    }

    /// Leaves host names out of the maps, as real nodes on a loopback address do.
    #[must_use]
    pub const fn omit_hostname(mut self, omit: bool) -> Self {
        self.omit_hostname = omit;
        self
    }

    /// Listens with TLS as well, every service on a port of its own.
    #[must_use]
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// What certificates the nodes present; good ones if not said.
    #[must_use]
    pub const fn certificates(mut self, kind: Certificates) -> Self {
        self.certificates = kind;
        self
    }

    /// Whether clients authenticate by certificate; not if not said.
    #[must_use]
    pub const fn client_certificates(mut self, mode: ClientCertificates) -> Self {
        self.client_certificates = mode;
        self
    }

    /// Lets a token stand for a user, and offers the mechanism that shows it, over TLS.
    #[must_use]
    pub fn token(mut self, token: &str, user: &str) -> Self {
        self.tokens.push((token.to_owned(), user.to_owned()));
        self
    }

    /// Puts the cluster behind port mapping: maps give hosts and ports that lead nowhere, and the loopback ports as
    /// the alternate addresses of the network `external`.
    #[must_use]
    pub const fn external(mut self, external: bool) -> Self {
        self.external = external;
        self
    }

    /// Services of the nodes; the data service and the manager if not said. Each listens on a port of its own.
    #[must_use]
    pub fn services(mut self, services: &[Service]) -> Self {
        self.settings.services = services.to_vec();
        self
    }

    /// Poses as another release: HELLO features, mechanisms, the form of maps. Says nothing about what is set
    /// after it.
    #[must_use]
    pub fn posture(mut self, posture: Posture) -> Self {
        self.settings.pose(posture);
        self
    }

    /// Everything else.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Binds the ports and starts the cluster's thread.
    ///
    /// # Errors
    /// Where a port is taken or above 65535, or sockets cannot be made.
    pub fn start(self) -> io::Result<SimCluster> {
        let mut listeners = Vec::new();
        for service in &self.settings.services {
            listeners.push(Listener::plain(*service));
            if self.tls {
                listeners.push(Listener::secure(*service));
            }
        }
        let (mut sockets, mut nodes) = (Vec::new(), Vec::new());
        for index in 0..self.nodes {
            let mut of_node = BTreeMap::new();
            let mut node = NodeAddress { ports: BTreeMap::new(), ..NodeAddress::new("127.0.0.1", 0) };
            node.omit_hostname = self.omit_hostname;
            for listener in &listeners {
                let socket = bind(self.port.filter(|_| *listener == Listener::KV), index)?;
                node.ports.insert(*listener, socket.local_addr()?.port());
                of_node.insert(*listener, socket);
            }
            if self.external {
                hide(&mut node, usize::from(index));
            }
            sockets.push(of_node);
            nodes.push(node);
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut settings = self.settings;
        if !self.tokens.is_empty() && !settings.mechanisms.contains(&Mechanism::OauthBearer) {
            settings.mechanisms.push(Mechanism::OauthBearer);
        }
        let mut cluster = Cluster::new(settings, nodes, Instant::now(), unix);
        let or = |list: Vec<_>, default: &str| if list.is_empty() { vec![default.to_owned()] } else { list };
        for bucket in or(self.buckets, "default") {
            cluster.add_bucket(&bucket);
            for (scope, collection) in &self.collections {
                cluster.add_collection(&bucket, scope, collection);
            }
        }
        for (name, password) in &self.users {
            cluster.set_password(name, password);
        }
        for node in (0..cluster.node_count()).map(NodeId) {
            cluster.set_certificates(node, self.certificates);
        }
        cluster.set_client_certificates(self.client_certificates);
        for (token, user) in &self.tokens {
            cluster.set_token(token, user, None);
        }
        let first = match self.users.into_iter().next() {
            Some(user) => user,
            None => {
                cluster.set_password("Administrator", "password");
                ("Administrator".to_owned(), "password".to_owned())
            }
        };
        SimCluster::launch(cluster, sockets, first)
    }
}

/// Moves the loopback ports of a node to the network `external`, and gives it a host that nobody reaches (IETF RFC
/// 5737) with default ports.
pub(super) fn hide(node: &mut NodeAddress, index: usize) {
    let inside = node.ports.keys().map(|listener| (*listener, listener.default_port())).collect();
    let outside = std::mem::replace(&mut node.ports, inside);
    node.host = format!("192.0.2.{}", index % 254 + 1);
    node.omit_hostname = false;
    node.alternates.push(Alternate { ports: Some(outside), ..Alternate::external("127.0.0.1") });
}

/// A socket on the port of the node with this index, or on any free port.
fn bind(first: Option<u16>, index: u16) -> io::Result<TcpListener> {
    let port = match first {
        None => 0,
        Some(port) => port.checked_add(index).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the last node's port is above 65535")
        })?,
    };
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))
        .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
}
