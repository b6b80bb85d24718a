//! One HTTP connection from the server's side: the manager and the other services (`connecting.md` 4.6, 6.2).
//!
//! ```text
//! bytes -> whole request heads -> pages: path to answer -> out
//!                                   \-> a stream: the rest of the connection is its messages
//! map_changed -> the next message of those who asked for a stream
//! ```
//! Requests of one connection are answered in the order in which they come, with keep-alive. A stream ends with its
//! bucket.

mod answer;
mod credentials;
mod pages;
mod request;
#[cfg(test)]
mod tests;

use self::answer::Answer;
use self::pages::{Page, Source};
use self::request::Request;
use crate::NodeId;
use crate::cluster::State;
use crate::listener::Service;
use crate::session::Closing;

/// Above this much that is no whole request head a connection is closed.
const MAX_HEAD: usize = 64 * 1024;
/// Above this much unsent output a stream skips revisions and requests are not worked on.
const OUTPUT_HIGH_WATER: usize = 8 * 1024 * 1024;
/// What ends a message of a stream.
const SEPARATOR: &[u8] = b"\n\n\n\n";

/// What all connections of the cluster's HTTP services have in common.
#[derive(Debug, Default)]
pub(crate) struct HttpState {
    /// Nodes that answer every request with this status.
    pub(crate) failing: std::collections::BTreeMap<NodeId, u16>,
    /// Requests that were answered, oldest first.
    pub(crate) requests: std::collections::VecDeque<(NodeId, Service, String)>,
}

/// How many requests are remembered.
const REMEMBERED: usize = 10_000;

/// The server's half of an HTTP connection. Ciphertext is not its concern: it sees what TLS carries.
pub(crate) struct HttpSession {
    pub(crate) node: NodeId,
    pub(crate) service: Service,
    /// Whether it runs inside TLS.
    pub(crate) tls: bool,
    /// The user of the client certificate.
    pub(crate) certificate_user: Option<String>,
    input: Vec<u8>,
    /// Bytes of a request's body that are still to come; nobody reads them.
    skip: u64,
    /// Bytes for the client.
    pub(crate) out: Vec<u8>,
    pub(crate) closing: Closing,
    stream: Option<Stream>,
}

/// A configuration that is sent again whenever it changes.
struct Stream {
    source: Source,
    /// Whether messages are chunks; to HTTP/1.0 they are sent bare.
    chunked: bool,
    /// Epoch and revision of the last message.
    sent: Option<(i64, i64)>,
}

impl HttpSession {
    pub(crate) const fn new(node: NodeId, service: Service, tls: bool) -> Self {
        Self {
            node,
            service,
            tls,
            certificate_user: None,
            input: Vec::new(),
            skip: 0,
            out: Vec::new(),
            closing: Closing::No,
            stream: None,
        }
    }

    /// Bytes that the client should be given next.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.out
    }

    /// The client took this many bytes.
    pub(crate) fn written(&mut self, len: usize) {
        self.out.drain(..len.min(self.out.len()));
    }

    /// Whether more bytes should be read for it.
    pub(crate) fn wants_input(&self) -> bool {
        self.closing == Closing::No && self.input.len() < MAX_HEAD && self.out.len() < OUTPUT_HIGH_WATER
    }

    /// Takes bytes from the client and works on them.
    pub(crate) fn receive(&mut self, state: &mut State, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.resume(state);
    }

    /// Works on bytes that were kept: the node was paused, or output was taken.
    pub(crate) fn resume(&mut self, state: &mut State) {
        self.message(state);
        while self.stream.is_none() && self.may_work(state) {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.input.len());
            self.input.drain(..skipped);
            self.skip -= skipped as u64;
            if self.skip > 0 {
                return;
            }
            let Some(end) = self.input.windows(4).position(|end| end == b"\r\n\r\n") else {
                if self.input.len() >= MAX_HEAD {
                    self.answer(state, &Answer::text(431, "the request head is too long"), false);
                }
                return;
            };
            let head: Vec<u8> = self.input.drain(..end + 4).collect();
            match Request::parse(&head) {
                Ok(request) => self.request(state, &request),
                Err(why) => self.answer(state, &Answer::text(400, why), false),
            }
        }
        if self.stream.is_some() {
            // Whatever comes behind the request for a stream has no meaning.
            self.input.clear();
        }
    }

    /// A bucket's map, or with `None` the cluster's, has a new revision, or the bucket is gone.
    pub(crate) fn map_changed(&mut self, state: &mut State, bucket: Option<usize>) {
        let source = bucket.map_or(Source::Cluster, Source::Bucket);
        if self.stream.as_ref().is_some_and(|stream| stream.source == source) {
            self.message(state);
        }
    }

    fn may_work(&self, state: &State) -> bool {
        self.closing == Closing::No && self.out.len() < OUTPUT_HIGH_WATER && state.is_up(self.node)
    }

    fn request(&mut self, state: &mut State, request: &Request) {
        self.skip = request.content_length;
        if state.http.requests.len() == REMEMBERED {
            state.http.requests.pop_front();
        }
        state.http.requests.push_back((self.node, self.service, request.path.clone()));
        let page = match state.http.failing.get(&self.node) {
            Some(status) => Page::Answer(Answer::text(*status, "the node is told to fail")),
            None => self.page(state, request),
        };
        match page {
            Page::Answer(answer) => self.answer(state, &answer, request.keep_alive),
            Page::Stream(source) => {
                let chunked = !request.http_1_0;
                Answer::json(200, Vec::new()).write_head(state, None, chunked, true, &mut self.out);
                self.stream = Some(Stream { source, chunked, sent: None });
                self.message(state);
            }
        }
    }

    fn answer(&mut self, state: &State, answer: &Answer, keep_alive: bool) {
        answer.write_head(state, Some(answer.body.len()), false, keep_alive, &mut self.out);
        self.out.extend_from_slice(&answer.body);
        if !keep_alive {
            self.closing = Closing::AfterOutput;
        }
    }

    /// Sends the next message of a stream if there is anything new, or ends it with its bucket.
    fn message(&mut self, state: &mut State) {
        if self.stream.is_none() || !self.may_work(state) {
            return;
        }
        let Some(stream) = &mut self.stream else { return };
        let rendered = match stream.source {
            Source::Bucket(bucket) => state.bucket_config(bucket, self.node),
            Source::Cluster => state.global_config(self.node),
        };
        let Some(rendered) = rendered else {
            if stream.chunked {
                self.out.extend_from_slice(b"0\r\n\r\n");
            }
            self.closing = Closing::AfterOutput;
            return;
        };
        let version = (rendered.epoch, rendered.rev);
        if stream.sent == Some(version) {
            return;
        }
        stream.sent = Some(version);
        for piece in [&rendered.json[..], SEPARATOR] {
            if stream.chunked {
                self.out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            self.out.extend_from_slice(piece);
            if stream.chunked {
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }
}
