//! Hosts: DNS names and addresses (CS-5 to CS-9).

use super::error::{ErrorKind, ParseError};
use super::escape::{self, BadEscape};
use super::source::{Source, Span};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host in canonical form, so that two spellings of one host are equal (CS-5).
///
/// `Display` writes it without brackets, as resolvers and sockets want it; see [`Host::authority`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Host {
    /// A DNS name in lower case, with the trailing dot where it was written (CS-8).
    Name(String),
    /// An IPv4 address, also where it was written as IPv4-mapped IPv6 (CS-5).
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6 {
        /// The address itself.
        addr: Ipv6Addr,
        /// The zone identifier, decoded, as text that the platform gives a meaning to (CS-6).
        zone: Option<String>,
    },
}

impl Host {
    /// The form for a URL or a `Host` header: IPv6 in brackets, its zone after `%25` (RFC 6874).
    pub fn authority(&self) -> String {
        match self {
            Self::Ipv6 { addr, zone: Some(zone) } => format!("[{addr}%25{}]", escape::encode(zone, "")),
            Self::Ipv6 { addr, zone: None } => format!("[{addr}]"),
            Self::Name(_) | Self::Ipv4(_) => self.to_string(),
        }
    }

    /// The text for TLS name checks, SNI, SRV queries, matching of nodes and reports: without the trailing dot
    /// of an absolute name (CS-8).
    pub fn reference_name(&self) -> String {
        match self {
            Self::Name(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
            Self::Ipv4(_) | Self::Ipv6 { .. } => self.to_string(),
        }
    }

    /// The host that an SRV record names, without the trailing dot; `None` if it is none.
    pub(super) fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_suffix('.').unwrap_or(target);
        let source = Source::new(name);
        read_unbracketed(&source, source.whole()).ok().map(|read| read.host)
    }

    /// Whether it is a name that an SRV look-up makes sense for: no address, not `localhost` (spec 1.6).
    pub(super) fn may_have_srv(&self) -> bool {
        let Self::Name(_) = self else { return false };
        let name = self.reference_name();
        name != "localhost" && !name.ends_with(".localhost")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ipv4(addr) => addr.fmt(f),
            Self::Ipv6 { addr, zone: None } => addr.fmt(f),
            Self::Ipv6 { addr, zone: Some(zone) } => write!(f, "{addr}%{zone}"),
        }
    }
}

/// A host as read, and whether the SRV prefix in front of it was removed.
pub(super) struct ReadHost {
    pub(super) host: Host,
    pub(super) srv_prefix_stripped: bool,
}

/// Reads a host written without brackets.
pub(super) fn read_unbracketed(source: &Source<'_>, span: Span<'_>) -> Result<ReadHost, ParseError> {
    let invalid = |hint: &str| Err(source.error(ErrorKind::InvalidHost, span, hint));
    let text = span.text;
    if text.is_empty() {
        return invalid("a host name or address is needed before the port");
    }
    if let Ok(addr) = text.parse::<Ipv4Addr>() {
        return Ok(ReadHost { host: Host::Ipv4(addr), srv_prefix_stripped: false });
    }
    if !text.is_ascii() {
        return invalid("host names are ASCII: write an international name in its punycode form (xn--...)");
    }
    if text.contains('%') {
        return invalid("host names are not percent-decoded: write the name itself");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > 253 {
        return invalid("a host name has at most 253 characters");
    }
    if !name.split('.').all(is_label) {
        return invalid(
            "each label of a host name has 1 to 63 letters, digits, `-` and `_`, and does not start with `-`",
        );
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return invalid("not an IPv4 address: four numbers from 0 to 255 without leading zeros are needed");
    }
    let (name, srv_prefix_stripped) = strip_srv_prefix(text.to_ascii_lowercase());
    Ok(ReadHost { host: Host::Name(name), srv_prefix_stripped })
}

/// Reads the text between brackets.
pub(super) fn read_bracketed(source: &Source<'_>, span: Span<'_>) -> Result<Host, ParseError> {
    let invalid = |hint: &str| Err(source.error(ErrorKind::InvalidIpv6, span, hint));
    let (text, zone) = match span.text.find('%') {
        Some(at) => {
            let (address, zone) = span.split_at(at);
            match zone.text.strip_prefix("%25") {
                Some("") => return invalid("the zone identifier after `%25` is empty"),
                Some(_) => (address.text, Some(read_zone(source, zone.split_at(3).1)?)),
                None => return invalid("a zone identifier is written after `%25`, as in [fe80::1%25eth0]"),
            }
        }
        None => (span.text, None),
    };
    let Ok(addr) = text.parse::<Ipv6Addr>() else {
        return invalid("not an IPv6 address; brackets hold one address without a prefix length");
    };
    match (addr.to_ipv4_mapped(), zone) {
        (Some(mapped), None) => Ok(Host::Ipv4(mapped)),
        (_, zone) => Ok(Host::Ipv6 { addr, zone }),
    }
}

fn read_zone(source: &Source<'_>, span: Span<'_>) -> Result<String, ParseError> {
    const HINT: &str = "a zone identifier has letters, digits, `-`, `.`, `_`, `~` and percent escapes";
    if !span.text.chars().all(|character| escape::is_unreserved(character) || character == '%') {
        return Err(source.error(ErrorKind::InvalidIpv6, span, HINT));
    }
    match escape::decode(span.text) {
        Ok(zone) if zone.chars().any(char::is_control) => {
            Err(source.error(ErrorKind::InvalidIpv6, span, HINT))
        }
        Ok(zone) => Ok(zone),
        Err(BadEscape(at)) => Err(source.error(ErrorKind::InvalidEscape, span.split_at(at).1, HINT)),
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Removes `_couchbase._tcp.` and `_couchbases._tcp.` as often as they were put in front of a name.
fn strip_srv_prefix(name: String) -> (String, bool) {
    let mut rest = name.as_str();
    while let Some(shorter) =
        rest.strip_prefix("_couchbase._tcp.").or_else(|| rest.strip_prefix("_couchbases._tcp."))
        && !shorter.is_empty()
    {
        rest = shorter;
    }
    let stripped = rest.len() < name.len();
    (rest.to_owned(), stripped)
}
