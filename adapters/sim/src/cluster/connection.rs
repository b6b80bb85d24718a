//! A connection of the cluster: a protocol, and TLS around it or not.

use super::{ConnId, State};
use crate::NodeId;
use crate::http::HttpSession;
use crate::listener::{Listener, Service};
use crate::session::{Closing, Session};

/// What is spoken on a connection.
pub(crate) enum Protocol {
    /// The binary protocol of the data service.
    Kv(Box<Session>),
    /// HTTP.
    Http(Box<HttpSession>),
}

/// One connection to a node.
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) node: NodeId,
    pub(crate) listener: Listener,
    pub(crate) protocol: Protocol,
    /// It was broken off; output is lost.
    pub(crate) cut: bool,
}

impl Connection {
    pub(crate) fn new(id: ConnId, node: NodeId, listener: Listener) -> Self {
        let protocol = match listener.service {
            Service::Kv => Protocol::Kv(Box::new(Session::new(id, node))),
            service => Protocol::Http(Box::new(HttpSession::new(node, service, listener.tls))),
        };
        Self { id, node, listener, protocol, cut: false }
    }

    /// Bytes from the client.
    pub(crate) fn receive(&mut self, state: &mut State, bytes: &[u8]) {
        match &mut self.protocol {
            Protocol::Kv(session) => session.receive(state, bytes),
            Protocol::Http(session) => session.receive(state, bytes),
        }
    }

    /// Bytes that the client should be given next.
    pub(crate) fn pending(&self) -> &[u8] {
        match &self.protocol {
            Protocol::Kv(session) => session.pending(),
            Protocol::Http(session) => session.pending(),
        }
    }

    /// The client took this many bytes. Requests that waited for room are worked on.
    pub(crate) fn written(&mut self, state: &mut State, len: usize) {
        let blocked = !self.wants_input();
        match &mut self.protocol {
            Protocol::Kv(session) => session.written(len),
            Protocol::Http(session) => session.written(len),
        }
        if blocked && self.wants_input() {
            self.resume(state);
        }
    }

    /// Works on bytes that were kept.
    pub(crate) fn resume(&mut self, state: &mut State) {
        match &mut self.protocol {
            Protocol::Kv(session) => session.resume(state),
            Protocol::Http(session) => session.resume(state),
        }
    }

    /// Whether more bytes should be read for it.
    pub(crate) fn wants_input(&self) -> bool {
        !self.cut
            && match &self.protocol {
                Protocol::Kv(session) => session.wants_input(),
                Protocol::Http(session) => session.wants_input(),
            }
    }

    /// Whether it is over and everything that the server had to say was taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.cut || (self.closing() == Closing::AfterOutput && self.pending().is_empty())
    }

    /// Whether and how it is to end.
    pub(crate) fn closing(&self) -> Closing {
        match &self.protocol {
            Protocol::Kv(session) => session.closing,
            Protocol::Http(session) => session.closing,
        }
    }

    /// The data service's half.
    pub(crate) fn kv(&mut self) -> Option<&mut Session> {
        match &mut self.protocol {
            Protocol::Kv(session) => Some(session),
            Protocol::Http(_) => None,
        }
    }

    /// What changes when it has something new to say.
    pub(crate) fn mark(&self) -> (usize, Closing, bool) {
        (self.pending().len(), self.closing(), self.cut)
    }
}
