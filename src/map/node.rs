//! Nodes of a cluster map: their services, addresses and identity.

use std::fmt;

use super::host::CanonicalHost;

/// A service that a node can offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// Data.
    Kv,
    /// Management.
    Mgmt,
    /// Views.
    Views,
    /// SQL++ queries.
    Query,
    /// Full-text search.
    Search,
    /// Analytics.
    Analytics,
    /// Eventing.
    Eventing,
    /// Backup.
    Backup,
    /// Index, its HTTP side.
    Index,
}

impl Service {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Kv,
        Self::Mgmt,
        Self::Views,
        Self::Query,
        Self::Search,
        Self::Analytics,
        Self::Eventing,
        Self::Backup,
        Self::Index,
    ];

    /// The name used in reports and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Mgmt => "mgmt",
            Self::Views => "views",
            Self::Query => "query",
            Self::Search => "search",
            Self::Analytics => "analytics",
            Self::Eventing => "eventing",
            Self::Backup => "backup",
            Self::Index => "index",
        }
    }

    /// The name in `services` and `ports`, plain or TLS. The TLS name is not always the plain one with `SSL` behind.
    pub fn key(self, tls: bool) -> &'static str {
        let (plain, secure) = match self {
            Self::Kv => ("kv", "kvSSL"),
            Self::Mgmt => ("mgmt", "mgmtSSL"),
            Self::Views => ("capi", "capiSSL"),
            Self::Query => ("n1ql", "n1qlSSL"),
            Self::Search => ("fts", "ftsSSL"),
            Self::Analytics => ("cbas", "cbasSSL"),
            Self::Eventing => ("eventingAdminPort", "eventingSSL"),
            Self::Backup => ("backupAPI", "backupAPIHTTPS"),
            Self::Index => ("indexHttp", "indexHttps"),
        };
        if tls { secure } else { plain }
    }

    /// The port that a server listens on unless told otherwise.
    pub fn default_port(self, tls: bool) -> u16 {
        let (plain, secure) = match self {
            Self::Kv => (11210, 11207),
            Self::Mgmt => (8091, 18091),
            Self::Views => (8092, 18092),
            Self::Query => (8093, 18093),
            Self::Search => (8094, 18094),
            Self::Analytics => (8095, 18095),
            Self::Eventing => (8096, 18096),
            Self::Backup => (8097, 18097),
            Self::Index => (9102, 19102),
        };
        if tls { secure } else { plain }
    }

    /// Service and mode (`true` for TLS) of a name in `services`; `None` for the many names that are no business of
    /// clients.
    pub fn from_key(key: &str) -> Option<(Self, bool)> {
        Some(match key {
            "kv" => (Self::Kv, false),
            "kvSSL" => (Self::Kv, true),
            "mgmt" => (Self::Mgmt, false),
            "mgmtSSL" => (Self::Mgmt, true),
            "capi" => (Self::Views, false),
            "capiSSL" => (Self::Views, true),
            "n1ql" => (Self::Query, false),
            "n1qlSSL" => (Self::Query, true),
            "fts" => (Self::Search, false),
            "ftsSSL" => (Self::Search, true),
            "cbas" => (Self::Analytics, false),
            "cbasSSL" => (Self::Analytics, true),
            "eventingAdminPort" => (Self::Eventing, false),
            "eventingSSL" => (Self::Eventing, true),
            "backupAPI" => (Self::Backup, false),
            "backupAPIHTTPS" => (Self::Backup, true),
            "indexHttp" => (Self::Index, false),
            "indexHttps" => (Self::Index, true),
            _ => return None,
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Ports by service and mode. A port of 0 on the wire, or one that is no port, is "not offered" (R-PORT).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    plain: [u16; Service::ALL.len()],
    tls: [u16; Service::ALL.len()],
}

impl Ports {
    /// The port of a service in one mode; the other mode is never a substitute (R-MODE).
    pub fn get(&self, service: Service, tls: bool) -> Option<u16> {
        let ports = if tls { &self.tls } else { &self.plain };
        ports.get(service as usize).copied().filter(|port| *port != 0)
    }

    /// Services offered in either mode.
    pub fn services(&self) -> impl Iterator<Item = Service> {
        Service::ALL.into_iter().filter(|s| self.get(*s, false).is_some() || self.get(*s, true).is_some())
    }

    pub(super) fn set(&mut self, service: Service, tls: bool, port: Option<u16>) {
        let ports = if tls { &mut self.tls } else { &mut self.plain };
        if let Some(place) = ports.get_mut(service as usize) {
            *place = port.unwrap_or(0);
        }
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for service in Service::ALL {
            for tls in [false, true] {
                if let Some(port) = self.get(service, tls) {
                    map.entry(&format_args!("{}", service.key(tls)), &port);
                }
            }
        }
        map.finish()
    }
}

/// One more address of a node, on a network other than `default` (R-ALT-1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alternate {
    /// The network's name.
    pub network: String,
    /// Its host there; `None` = the default host (R-ALT-3).
    pub host: Option<String>,
    /// Its ports there, exactly these; `None` = the node's own (R-ALT-2).
    pub ports: Option<Ports>,
}

/// One entry of `nodesExt`: a slot, which keeps its number whatever the node offers (R-IDX-1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// The slot: the position in `nodesExt`.
    pub index: usize,
    /// Host on the default network: name, IPv4 or bare IPv6.
    pub host: String,
    /// The host is the origin host, since the entry has none or a placeholder (R-HOST-2, R-HOST-3).
    pub host_inferred: bool,
    /// This node produced this copy of the map.
    pub this_node: bool,
    /// Ports on the default network.
    pub ports: Ports,
    /// Other networks, in order of appearance.
    pub alternates: Vec<Alternate>,
    /// Availability zone.
    pub server_group: Option<String>,
    /// Stable identity, since 8.0.
    pub node_uuid: Option<String>,
    /// WebSocket path for application telemetry on the management port, if the node takes it.
    pub app_telemetry_path: Option<String>,
    /// The node holds data of the map's bucket (R-IDX-5). Always false in a cluster map.
    pub serves_bucket: bool,
}

impl Node {
    /// Host and port of a service on a network in one mode; `None` where the node does not offer it there.
    ///
    /// Networks other than `default` are those of [`Node::alternates`]; nothing is filled in from the default network
    /// or from the other mode (R-ALT-2, R-MODE).
    pub fn endpoint(&self, service: Service, network: &str, tls: bool) -> Option<(&str, u16)> {
        if network == DEFAULT_NETWORK {
            return Some((&self.host, self.ports.get(service, tls)?));
        }
        let alternate = self.alternates.iter().find(|alternate| alternate.network == network)?;
        let port = alternate.ports.as_ref().unwrap_or(&self.ports).get(service, tls)?;
        Some((self.alternate_host(alternate), port))
    }

    /// The host on a network, whether or not any port is offered there.
    pub fn host_on(&self, network: &str) -> Option<&str> {
        if network == DEFAULT_NETWORK {
            return Some(&self.host);
        }
        self.alternates.iter().find(|a| a.network == network).map(|a| self.alternate_host(a))
    }

    /// What relates this node to itself in other maps (R-ID). Whether a connection can be kept is decided by the chosen
    /// endpoint instead.
    pub fn identity(&self) -> NodeId {
        match &self.node_uuid {
            Some(uuid) => NodeId::Uuid(uuid.clone()),
            None => self.address_identity(),
        }
    }

    /// The identity by address even if there is a UUID: for the moment when a cluster begins to send UUIDs.
    pub fn address_identity(&self) -> NodeId {
        NodeId::Address {
            host: CanonicalHost::new(&self.host),
            mgmt: self.ports.get(Service::Mgmt, false).or_else(|| self.ports.get(Service::Mgmt, true)),
        }
    }

    fn alternate_host<'a>(&'a self, alternate: &'a Alternate) -> &'a str {
        alternate.host.as_deref().unwrap_or(&self.host)
    }
}

/// The network that every node is on.
pub const DEFAULT_NETWORK: &str = "default";

/// Identity of a node across maps (R-ID). Never an alternate address: those may be shared (R-ALT-4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// `nodeUUID`.
    Uuid(String),
    /// Default host and management port.
    Address {
        /// The default host.
        host: CanonicalHost,
        /// The management port, plain if there is one, else TLS.
        mgmt: Option<u16>,
    },
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => f.write_str(uuid),
            Self::Address { host, mgmt: Some(port) } => write!(f, "{host}:{port}"),
            Self::Address { host, mgmt: None } => host.fmt(f),
        }
    }
}
