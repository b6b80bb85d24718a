//! Requests, and how their heads are written.

use std::fmt::Write;
use std::net::Ipv6Addr;

use zeroize::Zeroizing;

use super::Authorization;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// A document, without a body in the request.
    Get,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
        }
    }
}

/// One request. Whatever its fields hold, exactly one request is written: characters that would end a line early are
/// replaced.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Host name or address, IPv6 with or without brackets; for the header `Host` alone.
    pub host: String,
    /// Port, for the header `Host` alone.
    pub port: u16,
    /// Path and query, beginning with `/`; see [`path_segment`] for names in it.
    pub path: String,
    /// Credentials; `None`: without the header.
    pub authorization: Option<Authorization>,
    /// Who asks (4.2); empty: without the header.
    pub user_agent: String,
}

impl Request {
    /// The bytes of the request, in one allocation that is wiped when dropped.
    pub(super) fn head(&self) -> Zeroizing<Vec<u8>> {
        let mut head = format!("{} ", self.method.as_str());
        if !self.path.starts_with('/') {
            head.push('/');
        }
        escape(&self.path, |byte| byte.is_ascii_graphic() && byte != b'#', &mut head);
        head += " HTTP/1.1\r\nHost: ";
        if self.host.parse::<Ipv6Addr>().is_ok() {
            head = head + "[" + &self.host + "]";
        } else {
            head.extend(self.host.chars().filter(char::is_ascii_graphic));
        }
        let _ = write!(head, ":{}\r\nAccept: */*\r\n", self.port);
        if !self.user_agent.is_empty() {
            head += "User-Agent: ";
            head.extend(self.user_agent.chars().map(plain));
            head += "\r\n";
        }
        let field = "Authorization: ";
        let secret = self.authorization.as_ref().map_or(0, |auth| field.len() + auth.value_len() + 2);
        let mut out = Zeroizing::new(Vec::with_capacity(head.len() + secret + 2));
        out.extend_from_slice(head.as_bytes());
        if let Some(authorization) = &self.authorization {
            out.extend_from_slice(field.as_bytes());
            authorization.write_value(&mut out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// A blank for a line end or control character (4.2), `?` for what is not ASCII.
fn plain(c: char) -> char {
    match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    }
}

/// A name as one segment of a path, percent-encoded (`BOOT-18`): `a/b%` becomes `a%2Fb%25`.
///
/// ```
/// # use settee::http::path_segment;
/// assert_eq!(path_segment("travel-sample"), "travel-sample");
/// assert_eq!(path_segment("50% off/\u{e4}"), "50%25%20off%2F%C3%A4");
/// ```
pub fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    escape(name, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte), &mut out);
    out
}

fn escape(text: &str, keep: impl Fn(u8) -> bool, out: &mut String) {
    for byte in text.bytes() {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
