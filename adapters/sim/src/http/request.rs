//! Request heads as the server reads them.

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path without the query, as it came.
    pub(super) path: String,
    /// Scheme in lower case and credentials of the header `Authorization`.
    pub(super) authorization: Option<(String, String)>,
    pub(super) content_length: u64,
    pub(super) http_1_0: bool,
    pub(super) keep_alive: bool,
}

impl Request {
    /// Reads a head with its empty line. The text of an error goes to the client.
    pub(super) fn parse(head: &[u8]) -> Result<Self, &'static str> {
        let head = std::str::from_utf8(head).map_err(|_| "the head is not text")?;
        let mut lines = head.strip_suffix("\r\n\r\n").unwrap_or(head).split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("the request line has not three words");
        };
        if !target.starts_with('/') {
            return Err("the target is not a path");
        }
        let http_1_0 = match version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ => return Err("the version is not HTTP/1.0 or 1.1"),
        };
        let mut request = Self {
            method: method.to_owned(),
            path: target.split('?').next().unwrap_or_default().to_owned(),
            authorization: None,
            content_length: 0,
            http_1_0,
            keep_alive: !http_1_0,
        };
        let mut hosts = 0;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a header has no colon")?;
            if name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) {
                return Err("the name of a header is not a word");
            }
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return Err("the value of a header holds control characters");
            }
            request.header(&name.to_ascii_lowercase(), value.trim(), &mut hosts)?;
        }
        if hosts != 1 && !http_1_0 {
            return Err("HTTP/1.1 wants one header Host");
        }
        Ok(request)
    }

    fn header(&mut self, name: &str, value: &str, hosts: &mut u32) -> Result<(), &'static str> {
        match name {
            "host" => *hosts += 1,
            "authorization" => {
                let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
                self.authorization = Some((scheme.to_ascii_lowercase(), credentials.trim().to_owned()));
            }
            "content-length" => {
                self.content_length = value.parse().map_err(|_| "the length is not a number")?;
            }
            "transfer-encoding" => return Err("a body in chunks is not understood"),
            "connection" => {
                for option in value.split(',').map(str::trim) {
                    if option.eq_ignore_ascii_case("close") {
                        self.keep_alive = false;
                    } else if option.eq_ignore_ascii_case("keep-alive") {
                        self.keep_alive = true;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The segments of the path, decoded; `None` if an escape is broken.
    pub(super) fn segments(&self) -> Option<Vec<String>> {
        self.path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
    }
}

fn decode(segment: &str) -> Option<String> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            out.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_refused() {
        let head =
            "GET /pools/default/b/a%2Fb%20c?x=1 HTTP/1.1\r\nHost: h\r\nAUTHORIZATION: Basic  Og==\r\n\r\n";
        let request = Request::parse(head.as_bytes()).unwrap();
        assert_eq!(request.segments().unwrap(), ["pools", "default", "b", "a/b c"]);
        assert_eq!(request.authorization, Some(("basic".into(), "Og==".into())));
        assert!(request.keep_alive);
        let old = Request::parse(b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n").unwrap();
        assert!(old.http_1_0 && old.keep_alive);
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/2\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert!(Request::parse(head.as_bytes()).is_err(), "{head:?}");
        }
        for path in ["/%", "/%2", "/%zz", "/%ff"] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(Request::parse(head.as_bytes()).unwrap().segments(), None, "{path}");
        }
    }
}
