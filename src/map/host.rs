//! Host names and endpoints as they stand in cluster maps.

use std::fmt;
use std::net::IpAddr;

/// A host and port to dial. `Display` gives `host:port`, IPv6 literals in brackets (R-HOST-4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Name, IPv4 or bare IPv6 literal, verbatim from its source.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Whether both mean the same place: equal port, equal host by [`canonical_host_eq`].
    pub fn same_place(&self, other: &Self) -> bool {
        self.port == other.port && canonical_host_eq(&self.host, &other.host)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') && !self.host.starts_with('[') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether two hosts are the same (R-CANON): IP literals by value, names without regard to ASCII case and to one
/// trailing dot. Brackets around IPv6 literals do not matter. No name is resolved.
pub fn canonical_host_eq(a: &str, b: &str) -> bool {
    let (a, b) = (strip_brackets(a), strip_brackets(b));
    if a == b {
        return true;
    }
    match (ip(a), ip(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => strip_dot(a).eq_ignore_ascii_case(strip_dot(b)),
        _ => false,
    }
}

/// A host in the form that [`canonical_host_eq`] compares, for use as a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CanonicalHost {
    /// An IP literal.
    Ip(IpAddr),
    /// A name in lower case, without its trailing dot.
    Name(String),
}

impl CanonicalHost {
    /// The canonical form of a host.
    pub fn new(host: &str) -> Self {
        let host = strip_brackets(host);
        ip(host).map_or_else(|| Self::Name(strip_dot(host).to_ascii_lowercase()), Self::Ip)
    }
}

impl fmt::Display for CanonicalHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a node's own address reads as on nodes that only know themselves as loopback.
const PLACEHOLDER: &str = "$HOST";

/// R-HOST-3, for a string that holds a host alone. A host holds the placeholder at most once, so only the first is
/// replaced: a string of nothing but placeholders must not grow by the length of the origin each.
pub(super) fn substitute_origin(host: &str, origin: &str) -> Option<String> {
    host.contains(PLACEHOLDER).then(|| host.replacen(PLACEHOLDER, origin, 1))
}

/// `host:port` of `serverList`, the host without brackets and with the placeholder replaced. `None` without a port of
/// 1 to 65535 (TLS-only clusters write 0), which is then no evidence of anything.
pub(super) fn split_server(entry: &str, origin: &str) -> Option<(String, u16)> {
    let (host, port) = entry.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let host = strip_brackets(host);
    Some((substitute_origin(host, origin).unwrap_or_else(|| host.to_owned()), port))
}

pub(super) fn strip_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

fn strip_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn ip(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}
