//! One HTTP connection from the server's side: the manager and the other services.
//!
//! ```text
//! bytes -> receive -> out; map_changed -> out of those who asked for a stream
//! ```

use crate::NodeId;
use crate::cluster::{ConnId, State};
use crate::listener::Service;
use crate::session::Closing;

/// Above this much that is no whole request head a connection is closed.
const MAX_HEAD: usize = 64 * 1024;

/// The server's half of an HTTP connection. Ciphertext is not its concern: it sees what TLS carries.
#[allow(dead_code, reason = "what answers depend on")]
pub(crate) struct HttpSession {
    pub(crate) id: ConnId,
    pub(crate) node: NodeId,
    pub(crate) service: Service,
    /// Whether it runs inside TLS.
    pub(crate) tls: bool,
    /// The user of the client certificate.
    pub(crate) certificate_user: Option<String>,
    input: Vec<u8>,
    /// Bytes for the client.
    pub(crate) out: Vec<u8>,
    pub(crate) closing: Closing,
}

impl HttpSession {
    pub(crate) const fn new(id: ConnId, node: NodeId, service: Service, tls: bool) -> Self {
        Self {
            id,
            node,
            service,
            tls,
            certificate_user: None,
            input: Vec::new(),
            out: Vec::new(),
            closing: Closing::No,
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
        self.closing == Closing::No && self.input.len() < MAX_HEAD
    }

    /// Takes bytes from the client and works on them.
    pub(crate) fn receive(&mut self, state: &mut State, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.resume(state);
    }

    /// Works on bytes that were kept: the node was paused, or output was taken.
    pub(crate) fn resume(&mut self, state: &mut State) {
        if self.closing != Closing::No || !state.is_up(self.node) {
            return;
        }
        if self.input.windows(4).any(|end| end == b"\r\n\r\n") {
            self.out.extend_from_slice(
                b"HTTP/1.1 404 Object Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            self.closing = Closing::AfterOutput;
        } else if self.input.len() >= MAX_HEAD {
            self.closing = Closing::AfterOutput;
        }
    }

    /// A bucket's map, or with `None` the cluster's, has a new revision.
    pub(crate) fn map_changed(&mut self, state: &mut State, bucket: Option<usize>) {
        let _ = (state, bucket);
    }
}
