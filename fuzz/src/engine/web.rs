//! A manager, or any service that speaks HTTP: answers to the one request of a connection that fit, or nearly.

use super::choices::Choices;
use super::topology::{BUCKETS, Topology};

/// What ends each map of a stream.
const END_OF_MAP: &str = "\n\n\n\n";

/// The server's end of a connection.
#[derive(Default)]
pub(super) struct Manager {
    received: Vec<u8>,
    /// What is asked for and not answered.
    asked: Option<String>,
    /// The answer is a stream that goes on.
    streams: bool,
}

/// How the end of an answer's body is told.
#[derive(Clone, Copy)]
enum Framing {
    Length,
    Chunks,
    Close,
}

impl Manager {
    /// Takes bytes that the engine sent: one request that can be read, and no second one.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let was_whole = self.received.ends_with(b"\r\n\r\n");
        assert!(!was_whole, "a second request on a connection");
        self.received.extend_from_slice(bytes);
        assert!(self.received.len() < 4096, "a request without end");
        if !self.received.ends_with(b"\r\n\r\n") {
            return;
        }
        let head = std::str::from_utf8(&self.received).expect("a request is text").to_ascii_lowercase();
        assert_eq!(head.matches("\r\n\r\n").count(), 1, "more than one head");
        assert!(head.contains("\r\nhost:"), "no host is named");
        let line = head.split("\r\n").next().unwrap_or_default();
        let path = line.strip_prefix("get ").and_then(|rest| rest.strip_suffix(" http/1.1"));
        let path = path.filter(|path| path.starts_with('/') && !path.contains(' ')).expect("a path");
        self.asked = Some(path.to_owned());
    }

    /// Answers as an honest server would.
    pub(super) fn answer(&mut self, topology: &Topology, out: &mut Vec<u8>) {
        let Some(path) = self.asked.take() else { return };
        let (status, body) = self.fitting(&path, topology);
        let framing = if self.streams { Framing::Chunks } else { Framing::Length };
        emit(status, framing, &body, !self.streams, out);
    }

    /// Answers in some way, or goes on with a stream in some way.
    pub(super) fn answer_oddly(&mut self, topology: &Topology, u: &mut Choices<'_>, out: &mut Vec<u8>) {
        let Some(path) = self.asked.take() else {
            self.push(topology, u, out);
            return;
        };
        let (mut status, mut body) = self.fitting(&path, topology);
        let mut framing = if self.streams { Framing::Chunks } else { Framing::Length };
        let mut whole = !self.streams;
        match u.below(12) {
            0 => status = u.of(&[200, 401, 403, 404, 500, 503, 301, 204, 304, 100, 101, 999]),
            1 => framing = u.of(&[Framing::Length, Framing::Chunks, Framing::Close]),
            2 => body.truncate(usize::from(u.word()) % (body.len() + 1)),
            3 => spoil(&mut body, u),
            4 => whole = u.one_in(2),
            5 => body = u.bytes(60).to_vec(),
            6 => {
                body = br#"{"nodes":[{"hostname":"h","status":"warmup"}]}"#.to_vec();
            }
            // Many maps at once.
            7 if self.streams => body = body.repeat(1 + u.below(6)),
            _ => {}
        }
        let start = out.len();
        emit(status, framing, &body, whole, out);
        match u.below(8) {
            0 => spoil_from(out, start, u),
            1 => out.truncate(start + usize::from(u.word()) % (out.len() - start + 1)),
            2 => out.extend_from_slice(u.bytes(40)),
            _ => {}
        }
        self.streams &= status == 200;
    }

    /// One more map on a stream, or what looks like one.
    fn push(&mut self, topology: &Topology, u: &mut Choices<'_>, out: &mut Vec<u8>) {
        if !self.streams {
            return;
        }
        let name = u.of(&[BUCKETS[0], BUCKETS[0], BUCKETS[1]]);
        let mut body = topology.document(Some(name)).into_bytes();
        body.extend_from_slice(END_OF_MAP.as_bytes());
        let start = out.len();
        match u.below(8) {
            0 => {
                out.extend(b"0\r\n\r\n");
                self.streams = false;
            }
            1 => {
                let (front, rest) = body.split_at(usize::from(u.word()) % body.len());
                chunk(front, out);
                chunk(rest, out);
            }
            2 => {
                spoil(&mut body, u);
                chunk(&body, out);
            }
            3 => {
                chunk(&body, out);
                spoil_from(out, start, u);
            }
            4 => chunk(END_OF_MAP.as_bytes(), out),
            _ => chunk(&body, out),
        }
    }

    fn fitting(&mut self, path: &str, topology: &Topology) -> (u16, Vec<u8>) {
        if let Some(name) = path.strip_prefix("/pools/default/bs/") {
            if !BUCKETS[..2].contains(&name) {
                return (404, b"Requested resource not found.".to_vec());
            }
            self.streams = true;
            return (200, (topology.document(Some(name)) + END_OF_MAP).into());
        }
        if path.starts_with("/pools/default/buckets/") {
            return (200, br#"{"nodes":[{"hostname":"h","status":"healthy"}]}"#.to_vec());
        }
        match path {
            "/pools/default/nodeservices" => (200, topology.document(None).into()),
            _ => (200, Vec::new()),
        }
    }
}

fn emit(status: u16, framing: Framing, body: &[u8], whole: bool, out: &mut Vec<u8>) {
    out.extend(format!("HTTP/1.1 {status} Word\r\nServer: m\r\n").bytes());
    match framing {
        Framing::Length => {
            out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            out.extend(body);
        }
        Framing::Close => {
            out.extend(b"Connection: close\r\n\r\n");
            out.extend(body);
        }
        Framing::Chunks => {
            out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            chunk(body, out);
            if whole {
                out.extend(b"0\r\n\r\n");
            }
        }
    }
}

/// An empty one would be the end.
fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend(format!("{:x}\r\n", data.len()).bytes());
        out.extend(data);
        out.extend(b"\r\n");
    }
}

fn spoil(bytes: &mut [u8], u: &mut Choices<'_>) {
    if !bytes.is_empty() {
        bytes[usize::from(u.word()) % bytes.len()] = u.byte();
    }
}

fn spoil_from(bytes: &mut [u8], start: usize, u: &mut Choices<'_>) {
    spoil(&mut bytes[start..], u);
}
