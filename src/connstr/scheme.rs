//! The part before `://` (spec 1.2).

use super::error::{ErrorKind, ParseError};
use super::source::{Source, Span};
use std::fmt;

/// How the connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `couchbase://`, and the meaning of a string without scheme: plain, KV 11210, manager 8091.
    Couchbase,
    /// `couchbases://`: TLS, KV 11207, manager 18091.
    Couchbases,
    /// `http://`, deprecated: plain, begins with KV where no port says otherwise, then with the manager.
    Http,
}

impl Scheme {
    /// The scheme's name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Couchbase => "couchbase",
            Self::Couchbases => "couchbases",
            Self::Http => "http",
        }
    }

    /// Whether the scheme asks for TLS (CS-1).
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Couchbases)
    }

    /// Whether the text is a scheme that strings are often seen with.
    pub(super) fn is_scheme_like(text: &str) -> bool {
        ["couchbase", "couchbases", "couchbase2", "http", "https"]
            .iter()
            .any(|scheme| text.eq_ignore_ascii_case(scheme))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Takes the scheme off the front. `None` is a string without one.
///
/// `://` counts only where nothing that ends a scheme stands before it, so never inside a parameter (CS-2).
pub(super) fn take<'a>(
    source: &Source<'_>,
    span: Span<'a>,
) -> Result<(Option<Scheme>, Span<'a>), ParseError> {
    let Some(at) = span.text.find("://") else {
        return Ok((None, span));
    };
    let (name, rest) = span.split_at(at);
    if name.text.contains(['/', '?', '#', ',', ';', '@', '[', ']', '=', ':', '&']) {
        return Ok((None, span));
    }
    let rest = rest.split_at(3).1;
    let scheme = match name.text.to_ascii_lowercase().as_str() {
        "couchbase" => Scheme::Couchbase,
        "couchbases" => Scheme::Couchbases,
        "http" => Scheme::Http,
        other => return Err(refuse(source, name, other)),
    };
    Ok((Some(scheme), rest))
}

fn refuse(source: &Source<'_>, name: Span<'_>, lower: &str) -> ParseError {
    let hint = match lower {
        "https" | "https-internal" => "write couchbases:// to connect with TLS",
        "couchbase2" | "protostellar" | "grouchbase" => {
            "the gRPC gateway protocol (port 18098) is not provided: write couchbases:// (or couchbase:// \
             without TLS)"
        }
        "couchbase+dnssrv" => "write couchbase://: the SRV look-up of a single name is automatic",
        "couchbases+dnssrv" => "write couchbases://: the SRV look-up of a single name is automatic",
        "couchbase+explicit" | "memcached" | "ns_server" | "ns_servers" => {
            "write couchbase://, and port types (`:11210=kv`, `:8091=manager`) where they matter"
        }
        _ => {
            let hint = "the schemes are couchbase:// and, with TLS, couchbases://";
            return source.error(ErrorKind::UnknownScheme, name, hint);
        }
    };
    source.error(ErrorKind::UnsupportedScheme, name, hint)
}
