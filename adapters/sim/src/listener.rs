//! Services of a node and the ports that they listen on.

/// A service of a node. [`Kv`](Self::Kv) speaks the binary protocol, the others HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// Data.
    Kv,
    /// Cluster manager.
    Mgmt,
    /// Views.
    Views,
    /// Query.
    Query,
    /// Search.
    Search,
    /// Analytics.
    Analytics,
    /// Eventing.
    Eventing,
    /// Backup.
    Backup,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Kv,
        Self::Mgmt,
        Self::Views,
        Self::Query,
        Self::Search,
        Self::Analytics,
        Self::Eventing,
        Self::Backup,
    ];
}

/// A port of a node: which service it belongs to, and whether it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Listener {
    /// The service.
    pub service: Service,
    /// Whether everything on it is TLS.
    pub tls: bool,
}

impl Listener {
    /// The data service without TLS.
    pub const KV: Self = Self::plain(Service::Kv);
    /// The data service over TLS.
    pub const KV_TLS: Self = Self::secure(Service::Kv);
    /// The manager without TLS.
    pub const MGMT: Self = Self::plain(Service::Mgmt);
    /// The manager over TLS.
    pub const MGMT_TLS: Self = Self::secure(Service::Mgmt);

    /// A service's plain port.
    pub const fn plain(service: Service) -> Self {
        Self { service, tls: false }
    }

    /// A service's TLS port.
    pub const fn secure(service: Service) -> Self {
        Self { service, tls: true }
    }

    /// Its name in the `services` and `ports` objects of maps (`cluster-maps.md` 3.4). Not every TLS name is the
    /// plain one with `SSL` behind it.
    pub const fn key(self) -> &'static str {
        match (self.service, self.tls) {
            (Service::Kv, false) => "kv",
            (Service::Kv, true) => "kvSSL",
            (Service::Mgmt, false) => "mgmt",
            (Service::Mgmt, true) => "mgmtSSL",
            (Service::Views, false) => "capi",
            (Service::Views, true) => "capiSSL",
            (Service::Query, false) => "n1ql",
            (Service::Query, true) => "n1qlSSL",
            (Service::Search, false) => "fts",
            (Service::Search, true) => "ftsSSL",
            (Service::Analytics, false) => "cbas",
            (Service::Analytics, true) => "cbasSSL",
            (Service::Eventing, false) => "eventingAdminPort",
            (Service::Eventing, true) => "eventingSSL",
            (Service::Backup, false) => "backupAPI",
            (Service::Backup, true) => "backupAPIHTTPS",
        }
    }

    /// The port that a server uses if nobody chose another.
    pub const fn default_port(self) -> u16 {
        let plain = match self.service {
            Service::Kv => return if self.tls { 11207 } else { 11210 },
            Service::Mgmt => 8091,
            Service::Views => 8092,
            Service::Query => 8093,
            Service::Search => 8094,
            Service::Analytics => 8095,
            Service::Eventing => 8096,
            Service::Backup => 8097,
        };
        if self.tls { plain + 10_000 } else { plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_listener_has_its_own_key_and_port() {
        let all: Vec<_> = Service::ALL
            .into_iter()
            .flat_map(|service| [Listener::plain(service), Listener::secure(service)])
            .collect();
        let keys: BTreeSet<_> = all.iter().map(|listener| listener.key()).collect();
        let ports: BTreeSet<_> = all.iter().map(|listener| listener.default_port()).collect();
        assert_eq!((keys.len(), ports.len()), (16, 16));
        assert_eq!((Listener::KV_TLS.default_port(), Listener::MGMT_TLS.default_port()), (11207, 18091));
    }
}
