//! Nodes as written, and the seeds that they stand for (spec 1.3).

use super::Scheme;
use super::error::{ErrorKind, ParseError, Warning, WarningKind};
use super::hosts::{self, Host, ReadHost};
use super::source::{Source, Span};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// One node to begin with, and the ports to try there in the active security mode.
///
/// At least one of the two ports is there. A seed without `kv` can give a map only over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Seed {
    /// The host, in canonical form.
    pub host: Host,
    /// The port of the key-value service.
    pub kv: Option<u16>,
    /// The port of the cluster manager.
    pub mgmt: Option<u16>,
}

impl Seed {
    /// A seed with the default ports of the security mode: 11210 and 8091, with TLS 11207 and 18091.
    pub fn with_default_ports(host: Host, tls: bool) -> Self {
        let (kv, mgmt) = default_ports(tls);
        Self { host, kv: Some(kv), mgmt: Some(mgmt) }
    }

    /// A seed from the target of an SRV record, whose port is the key-value one (spec 1.6). The manager is assumed at
    /// its default port only where the key-value service is at its own. `None` if the target is no host name.
    pub fn from_srv(target: &str, port: u16, tls: bool) -> Option<Self> {
        let host = Host::from_target(target)?;
        let (kv, mgmt) = default_ports(tls);
        Some(Self { host, kv: Some(port), mgmt: (port == kv).then_some(mgmt) })
    }
}

/// The default ports of a security mode: key-value, manager.
pub(super) const fn default_ports(tls: bool) -> (u16, u16) {
    if tls { (11207, 18091) } else { (11210, 8091) }
}

/// How the string was introduced; decides what a port without a type means.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub(super) scheme: Scheme,
    pub(super) scheme_written: bool,
    pub(super) tls: bool,
}

/// A node of the host list, before its ports have been given a meaning.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) host: Host,
    port: Option<u16>,
    port_type: Option<PortType>,
    offset: usize,
    /// Whether messages may not repeat the node.
    hidden: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortType {
    Kv,
    Manager,
    SecureKv,
    SecureManager,
}

impl Node {
    /// Whether neither port nor type was written, as SRV asks for (spec 1.6).
    pub(super) fn is_bare(&self) -> bool {
        self.port.is_none() && self.port_type.is_none()
    }
}

/// Reads one trimmed, non-empty piece of the host list.
pub(super) fn read_node(
    source: &Source<'_>,
    span: Span<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Node, ParseError> {
    let (host, rest) = if span.text.starts_with('[') {
        let inner = span.split_at(1).1;
        let Some((address, rest)) = inner.split_once(&[']']) else {
            return Err(source.error(ErrorKind::InvalidIpv6, span, "the closing bracket `]` is missing"));
        };
        if !(rest.is_empty() || rest.text.starts_with([':', '='])) {
            let hint = "after `]` only a port (`:11210`) or a port type (`=kv`) may follow";
            return Err(source.error(ErrorKind::InvalidHost, span, hint));
        }
        (hosts::read_bracketed(source, address)?, rest)
    } else {
        let before_type = span.split_once(&['=']).map_or(span, |(before, _)| before);
        check_colons(source, before_type)?;
        let at = span.text.find([':', '=']).unwrap_or(span.text.len());
        let (name, rest) = span.split_at(at);
        let ReadHost { host, srv_prefix_stripped } = hosts::read_unbracketed(source, name)?;
        if srv_prefix_stripped {
            warnings.push(Warning::new(
                WarningKind::SrvPrefixStripped,
                source.echo(name),
                "the SRV service prefix was removed: write the plain name, the query name is made from it",
            ));
        }
        (host, rest)
    };
    let (port_span, port_type) = match rest.split_once(&['=']) {
        Some((before, name)) => (before, Some(read_port_type(source, name)?)),
        None => (rest, None),
    };
    let port = match port_span.text.strip_prefix(':') {
        Some(_) => Some(read_port(source, span, port_span.split_at(1).1)?),
        None => None,
    };
    Ok(Node { host, port, port_type, offset: span.start, hidden: source.is_hidden(span) })
}

/// Two or more colons outside brackets are an IPv6 address or nonsense (CS-5).
fn check_colons(source: &Source<'_>, span: Span<'_>) -> Result<(), ParseError> {
    if span.text.matches(':').count() < 2 {
        return Ok(());
    }
    let address = span.text.split('%').next().unwrap_or_default();
    if address.parse::<Ipv6Addr>().is_ok() {
        let hint = "an IPv6 address is written in brackets, as in [2001:db8::1]:11210";
        return Err(source.error(ErrorKind::UnbracketedIpv6, span, hint));
    }
    let hint = "a node has one colon, before its port; an IPv6 address is written in brackets";
    Err(source.error(ErrorKind::InvalidPort, span, hint))
}

fn read_port(source: &Source<'_>, node: Span<'_>, span: Span<'_>) -> Result<u16, ParseError> {
    let digits = !span.is_empty() && span.text.bytes().all(|byte| byte.is_ascii_digit());
    match span.text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => {
            let before = node.text.split(':').next().unwrap_or_default();
            let hint = if Scheme::is_scheme_like(before) {
                "a port is a number from 1 to 65535; a scheme is followed by `://` and stands once, \
                 before the first host"
            } else {
                "a port is a number from 1 to 65535"
            };
            // An empty port has no text of its own to show.
            let shown = if span.is_empty() { node } else { span };
            Err(source.error(ErrorKind::InvalidPort, shown, hint))
        }
    }
}

fn read_port_type(source: &Source<'_>, span: Span<'_>) -> Result<PortType, ParseError> {
    match span.text.to_ascii_lowercase().as_str() {
        "mcd" | "kv" | "cccp" | "gcccp" => Ok(PortType::Kv),
        "http" | "manager" => Ok(PortType::Manager),
        "mcds" => Ok(PortType::SecureKv),
        "https" => Ok(PortType::SecureManager),
        _ => Err(source.error(
            ErrorKind::UnknownPortType,
            span,
            "port types are kv, mcd, cccp, gcccp, manager, http, and with TLS mcds, https",
        )),
    }
}

/// Gives every node its ports, and joins the nodes of one host (spec 1.3, CS-11).
pub(super) fn resolve(
    nodes: &[Node],
    mode: Mode,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Seed>, ParseError> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut seeds_of: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    for node in nodes {
        let (kv, mgmt) = ports(node, mode, warnings)?;
        // Two port numbers of one service on one host are two listeners, hence two seeds.
        let fits = |a: Option<u16>, b: Option<u16>| a.is_none() || b.is_none() || a == b;
        let same_host = seeds_of.entry(&node.host).or_default();
        let known = same_host
            .iter()
            .copied()
            .find(|index| seeds.get(*index).is_some_and(|seed| fits(seed.kv, kv) && fits(seed.mgmt, mgmt)));
        let Some(seed) = known.and_then(|index| seeds.get_mut(index)) else {
            same_host.push(seeds.len());
            seeds.push(Seed { host: node.host.clone(), kv, mgmt });
            continue;
        };
        let joined = (seed.kv.or(kv), seed.mgmt.or(mgmt));
        if joined == (seed.kv, seed.mgmt) {
            warnings.push(node_warning(WarningKind::DuplicateHost, node, "listed twice; used once"));
        }
        (seed.kv, seed.mgmt) = joined;
    }
    Ok(seeds)
}

/// The ports of one node: the table of spec 1.3.
fn ports(
    node: &Node,
    mode: Mode,
    warnings: &mut Vec<Warning>,
) -> Result<(Option<u16>, Option<u16>), ParseError> {
    let (default_kv, default_mgmt) = default_ports(mode.tls);
    let (kv, mgmt) = match (node.port_type, node.port) {
        (None, None) => (Some(default_kv), Some(default_mgmt)),
        (None, Some(port)) => untyped(node, port, mode, warnings)?,
        (Some(PortType::SecureKv | PortType::SecureManager), _) if !mode.tls => {
            let hint = "`mcds` and `https` are ports of TLS: use the scheme couchbases://, or =kv, =manager";
            return Err(node_error(ErrorKind::PortTypeNeedsTls, node, hint));
        }
        (Some(PortType::Kv | PortType::SecureKv), port) => (Some(port.unwrap_or(default_kv)), None),
        (Some(PortType::Manager | PortType::SecureManager), port) => {
            (None, Some(port.unwrap_or(default_mgmt)))
        }
    };
    if kv == Some(default_ports(!mode.tls).0) {
        let text = if mode.tls {
            "11210 is the plain KV port, and TLS is on; its default is 11207"
        } else {
            "11207 is the KV port of TLS, and TLS is off; write couchbases:// to turn it on"
        };
        warnings.push(node_warning(WarningKind::PortSecurityMismatch, node, text));
    }
    Ok((kv, mgmt))
}

/// The meaning of a port without a type.
fn untyped(
    node: &Node,
    port: u16,
    mode: Mode,
    warnings: &mut Vec<Warning>,
) -> Result<(Option<u16>, Option<u16>), ParseError> {
    let (default_kv, default_mgmt) = default_ports(mode.tls);
    let both = (Some(default_kv), Some(default_mgmt));
    if mode.scheme == Scheme::Http {
        return Ok(if port == 8091 { both } else { (None, Some(port)) });
    }
    if port == default_kv {
        return Ok(both);
    }
    if mode.scheme_written {
        if matches!(port, 8091 | 18091) {
            let hint = format!(
                "{port} is the manager's port, and a KV port is expected here: leave the port out, write \
                 `:{port}=http` to begin with the manager, or `:{port}=kv` if KV really listens there"
            );
            return Err(node_error(ErrorKind::ManagerPortAsKv, node, &hint));
        }
    } else if port == 8091 {
        let text = "a manager port without a scheme is deprecated and ignored: leave it out";
        warnings.push(node_warning(WarningKind::DeprecatedManagerPort, node, text));
        return Ok(both);
    } else {
        let text =
            "a port without scheme and type is taken as a KV port: write couchbase://, or =kv, =manager";
        warnings.push(node_warning(WarningKind::AmbiguousPort, node, text));
    }
    Ok((Some(port), None))
}

fn node_error(kind: ErrorKind, node: &Node, hint: &str) -> ParseError {
    ParseError::new(kind, node.offset, &node.shown(), hint)
}

fn node_warning(kind: WarningKind, node: &Node, text: &str) -> Warning {
    Warning::new(kind, node.shown(), text)
}

impl Node {
    /// The node for a message.
    fn shown(&self) -> String {
        match (self.hidden, self.port) {
            (true, _) => String::new(),
            (false, Some(port)) => format!("{}:{port}", self.host.authority()),
            (false, None) => self.host.authority(),
        }
    }
}
