//! Connection strings: `couchbase://host1,host2:11210/bucket?kv_timeout=5s`.
//!
//! ```text
//! connstr = [scheme "://"] hosts ["/" [bucket]] ["?" [params]]
//! hosts   = host [":" port] ["=" type] { ("," | ";") ... }
//! ```
//!
//! [`parse`] gives the hosts with the ports to try there, the bucket and the raw parameters; it does not know what
//! a parameter means, which is the matter of [`options`](crate::options). Nothing is looked up. What is odd but
//! usable is returned as [`Warning`]s. Credentials do not belong into a connection string: a string with an `@`
//! before its parameters is refused, and no message repeats what stood before an `@` (CS-13).

mod error;
mod escape;
mod hosts;
mod params;
mod scheme;
mod seeds;
mod source;
#[cfg(test)]
mod tests;

pub use error::{ErrorKind, ParseError, Warning, WarningKind};
pub use hosts::Host;
pub use scheme::Scheme;
pub use seeds::Seed;

pub(crate) use error::{Quoted, clip};
pub(crate) use params::is_credential;

use seeds::{Mode, Node};
use source::{Source, Span};
use std::fmt;
use std::str::FromStr;

/// A connection string that has been read (spec section 1).
///
/// Two of them are equal when they mean the same: warnings and positions do not count. `Display` writes a normal
/// form that reads back as an equal value (CS-25).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionString {
    /// The scheme; `Couchbase` where none was written.
    pub scheme: Scheme,
    /// Whether the scheme was written. Without one, the option `enable_tls` may decide on TLS (CS-1).
    pub scheme_written: bool,
    /// Where to begin, in the order written, each host with its ports joined (CS-11, CS-14); at least one.
    pub seeds: Vec<Seed>,
    /// The bucket to open as part of the bootstrap (CS-15).
    pub bucket: Option<String>,
    /// The parameters in order, decoded, those of other programs too (CS-24).
    pub params: Vec<(String, String)>,
    /// Whether the host list is one that SRV records may stand behind (spec 1.6). The option `enable_dns_srv` has
    /// its own say.
    pub srv: bool,
    /// What was odd, in the order found.
    pub warnings: Vec<Warning>,
    nodes: Vec<Node>,
    pub(crate) param_offsets: Vec<usize>,
    /// That many parameters, from the first, stand before an `@`: messages do not repeat them (CS-13).
    pub(crate) hidden_params: usize,
}

/// Reads a connection string.
///
/// # Errors
/// The first thing found wrong, with its place and what to do; see [`ErrorKind`].
pub fn parse(text: &str) -> Result<ConnectionString, ParseError> {
    let source = Source::new(text);
    let whole = source.whole().trim();
    let (scheme, rest) = scheme::take(&source, whole)?;
    let (before_params, params) = rest.split_once(&['?']).unwrap_or_else(|| (rest, end_of(rest)));
    let (authority, path) = match before_params.text.find('/') {
        Some(at) => before_params.split_at(at),
        None => (before_params, end_of(before_params)),
    };
    refuse_credentials(authority)?;
    if let Some(at) = whole.text.find('#') {
        let hint = "a connection string has no fragment: a literal `#` is written `%23`";
        return Err(source.error(ErrorKind::FragmentNotAllowed, whole.split_at(at).1, hint));
    }

    let mut warnings = Vec::new();
    if scheme == Some(Scheme::Http) {
        let text = "http:// is deprecated: write couchbase://";
        warnings.push(Warning::new(WarningKind::DeprecatedScheme, "", text));
    }
    let mode = Mode {
        scheme: scheme.unwrap_or(Scheme::Couchbase),
        scheme_written: scheme.is_some(),
        tls: scheme.is_some_and(Scheme::is_tls),
    };
    let hosts = read_hosts(&source, authority, &mut warnings)
        .and_then(|nodes| Ok((seeds::resolve(&nodes, mode, &mut warnings)?, nodes)));
    let (seeds, nodes) = match hosts {
        Ok(hosts) => hosts,
        Err(error) => {
            // A password with a `/` in it cuts the host list short; that explains the error better.
            refuse_credentials(path)?;
            return Err(error);
        }
    };
    let bucket = params::read_bucket(&source, path.split_at(1).1)?;
    let params = params::read_params(&source, params)?;
    let srv = mode.scheme != Scheme::Http
        && matches!(nodes.as_slice(), [node] if node.is_bare() && node.host.may_have_srv());
    Ok(ConnectionString {
        scheme: mode.scheme,
        scheme_written: mode.scheme_written,
        seeds,
        bucket,
        srv,
        warnings,
        nodes,
        param_offsets: params.iter().map(|param| param.offset).collect(),
        hidden_params: params.iter().filter(|param| param.hidden).count(),
        params: params.into_iter().map(|param| (param.key, param.value)).collect(),
    })
}

impl ConnectionString {
    /// Whether the scheme asks for TLS. The options may turn it on as well (CS-1).
    pub const fn tls(&self) -> bool {
        self.scheme.is_tls()
    }

    /// The seeds with the ports of a security mode that the options chose, and the warnings about their ports.
    ///
    /// # Errors
    /// `ManagerPortAsKv` and `PortTypeNeedsTls`, which depend on the mode.
    pub fn seeds_with(&self, tls: bool) -> Result<(Vec<Seed>, Vec<Warning>), ParseError> {
        let mut warnings = Vec::new();
        let mode = Mode { scheme: self.scheme, scheme_written: self.scheme_written, tls };
        let seeds = seeds::resolve(&self.nodes, mode, &mut warnings)?;
        Ok((seeds, warnings))
    }

    /// The name whose SRV records may replace the seeds, `_couchbase._tcp.<host>` (with TLS `_couchbases`), if
    /// the host list is eligible (spec 1.6). It has no trailing dot (CS-8).
    pub fn srv_query(&self, tls: bool) -> Option<String> {
        let seed = self.seeds.first().filter(|_| self.srv)?;
        let service = if tls { "_couchbases" } else { "_couchbase" };
        Some(format!("{service}._tcp.{}", seed.host.reference_name()))
    }
}

impl PartialEq for ConnectionString {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.scheme_written == other.scheme_written
            && self.seeds == other.seeds
            && self.bucket == other.bucket
            && self.params == other.params
            && self.srv == other.srv
    }
}

impl Eq for ConnectionString {}

impl FromStr for ConnectionString {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme_written {
            write!(f, "{}://", self.scheme)?;
        }
        for (index, seed) in self.seeds.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            self.write_seed(f, seed)?;
        }
        if let Some(bucket) = &self.bucket {
            write!(f, "/{}", escape::encode(bucket, ""))?;
        }
        for (index, (key, value)) in self.params.iter().enumerate() {
            let mark = if index == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", escape::encode(key, ""), escape::encode(value, ":,/+"))?;
        }
        Ok(())
    }
}

impl ConnectionString {
    /// Writes a seed so that it reads back with the same ports and the same eligibility for SRV.
    fn write_seed(&self, f: &mut fmt::Formatter<'_>, seed: &Seed) -> fmt::Result {
        let host = seed.host.authority();
        let (default_kv, default_mgmt) = seeds::default_ports(self.tls());
        match (seed.kv, seed.mgmt) {
            (Some(kv), Some(mgmt)) if (kv, mgmt) == (default_kv, default_mgmt) => {
                let reads_as_srv =
                    self.scheme != Scheme::Http && self.seeds.len() == 1 && seed.host.may_have_srv();
                if reads_as_srv && !self.srv { write!(f, "{host}:{kv}") } else { f.write_str(&host) }
            }
            (Some(kv), Some(mgmt)) => write!(f, "{host}:{kv}=kv,{host}:{mgmt}=manager"),
            (Some(kv), None) => write!(f, "{host}:{kv}=kv"),
            (None, Some(mgmt)) => write!(f, "{host}:{mgmt}=manager"),
            (None, None) => f.write_str(&host),
        }
    }
}

fn read_hosts(
    source: &Source<'_>,
    authority: Span<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Node>, ParseError> {
    if authority.text.contains(';') {
        let text = "hosts are separated by commas; the semicolon is deprecated";
        warnings.push(Warning::new(WarningKind::DeprecatedSeparator, "", text));
    }
    let mut nodes = Vec::new();
    for piece in authority.split(&[',', ';']) {
        let piece = piece.trim();
        if !piece.is_empty() {
            nodes.push(seeds::read_node(source, piece, warnings)?);
        }
    }
    if nodes.is_empty() {
        let hint = "at least one host is needed, as in couchbase://db.example.com";
        return Err(source.error(ErrorKind::NoHosts, authority, hint));
    }
    Ok(nodes)
}

/// Refuses a part of the string that ends credentials with an `@`, without a word of it (CS-13).
fn refuse_credentials(span: Span<'_>) -> Result<(), ParseError> {
    if !span.text.contains('@') {
        return Ok(());
    }
    Err(ParseError::new(
        ErrorKind::CredentialsInString,
        span.start,
        "",
        "credentials do not belong into a connection string: give them to the authenticator",
    ))
}

/// The empty part at the end of a span.
fn end_of(span: Span<'_>) -> Span<'_> {
    Span { text: "", start: span.start + span.text.len() }
}
