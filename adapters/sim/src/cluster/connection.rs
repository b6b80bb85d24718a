//! A connection of the cluster: a protocol, and TLS around it or not.
//!
//! ```text
//! bytes -> TLS or nothing -> protocol -> its output -> TLS or nothing -> bytes
//! ```

use super::{ConnId, State};
use crate::NodeId;
use crate::http::HttpSession;
use crate::listener::{Listener, Service};
use crate::session::{Closing, Session};
use crate::tls::{ClientCertificates, Greeting, TlsConnection};

/// Ciphertext kept for a paused node, above which no more is read.
const MAX_HELD: usize = 1024 * 1024;

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
    tls: Option<Box<TlsConnection>>,
    /// Ciphertext that came while the node was paused.
    held: Vec<u8>,
    /// It was broken off; output is lost.
    pub(crate) cut: bool,
}

impl Connection {
    /// `None` if the node cannot speak TLS although the listener does.
    pub(crate) fn new(id: ConnId, node: NodeId, listener: Listener, state: &mut State) -> Option<Self> {
        let protocol = match listener.service {
            Service::Kv => {
                Protocol::Kv(Box::new(Session::new(id, node, listener.tls, state.settings.posture)))
            }
            service => Protocol::Http(Box::new(HttpSession::new(node, service, listener.tls))),
        };
        let tls = if listener.tls {
            let unix_secs = state.clock.unix_secs();
            Some(Box::new(state.tls.accept(node, state.nodes.get(node.0)?, unix_secs)?))
        } else {
            None
        };
        Some(Self { id, node, listener, protocol, tls, held: Vec::new(), cut: false })
    }

    /// Bytes from the client.
    pub(crate) fn receive(&mut self, state: &mut State, bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return self.plain(state, bytes) };
        if !state.is_up(self.node) {
            self.held.extend_from_slice(bytes);
            return;
        }
        state.tls.set_clock(state.clock.unix_secs());
        let mut plain = Vec::new();
        let greeting = if self.held.is_empty() {
            tls.receive(bytes, &mut plain)
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            tls.receive(&held, &mut plain)
        };
        if let Some(failure) = tls.failure()
            && let Some(node) = state.nodes.get_mut(self.node.0)
        {
            node.tls_failure = Some(failure.to_owned());
        }
        if let Greeting::Done(certificate) = greeting
            && !self.greet(state, certificate.as_ref())
        {
            return;
        }
        if !plain.is_empty() {
            self.plain(state, &plain);
        }
        self.seal(state);
    }

    fn plain(&mut self, state: &mut State, bytes: &[u8]) {
        match &mut self.protocol {
            Protocol::Kv(session) => session.receive(state, bytes),
            Protocol::Http(session) => session.receive(state, bytes),
        }
    }

    /// The handshake is over: who the certificate says the client is. Whether the connection goes on.
    fn greet(
        &mut self,
        state: &State,
        certificate: Option<&rustls::pki_types::CertificateDer<'static>>,
    ) -> bool {
        let Some(certificate) = certificate else { return true };
        let user = state.tls.mappings.iter().find_map(|mapping| mapping.user(certificate));
        let known = user.as_ref().is_some_and(|user| state.users.contains(user));
        match user {
            Some(user) if known => match &mut self.protocol {
                Protocol::Kv(session) => session.authenticate_by_certificate(user),
                Protocol::Http(session) => session.certificate_user = Some(user),
            },
            // A certificate that names nobody leaves the client to SASL where that is allowed.
            None if state.tls.client_certificates != ClientCertificates::Mandatory => {}
            _ => {
                self.cut = true;
                return false;
            }
        }
        true
    }

    /// Encrypts what the protocol has to say, as far as there is room.
    fn seal(&mut self, state: &mut State) {
        loop {
            let Some(tls) = &mut self.tls else { return };
            let pending = pending(&self.protocol);
            if pending.is_empty() {
                if closing(&self.protocol) == Closing::AfterOutput {
                    tls.end();
                }
                return;
            }
            let taken = tls.send(pending);
            if taken == 0 {
                return;
            }
            self.taken(state, taken);
        }
    }

    /// Bytes that the client should be given next.
    pub(crate) fn pending(&self) -> &[u8] {
        self.tls.as_ref().map_or_else(|| pending(&self.protocol), |tls| tls.pending())
    }

    /// The client took this many bytes. Requests that waited for room are worked on.
    pub(crate) fn written(&mut self, state: &mut State, len: usize) {
        match &mut self.tls {
            None => self.taken(state, len),
            Some(tls) => {
                tls.written(len);
                self.seal(state);
            }
        }
    }

    /// So much of the protocol's output went on its way.
    fn taken(&mut self, state: &mut State, len: usize) {
        let blocked = !self.wants_input();
        match &mut self.protocol {
            Protocol::Kv(session) => session.written(len),
            Protocol::Http(session) => session.written(len),
        }
        if blocked && self.wants_input() {
            self.work(state);
        }
    }

    fn work(&mut self, state: &mut State) {
        match &mut self.protocol {
            Protocol::Kv(session) => session.resume(state),
            Protocol::Http(session) => session.resume(state),
        }
    }

    /// Works on bytes that were kept while the node was paused.
    pub(crate) fn resume(&mut self, state: &mut State) {
        if !self.held.is_empty() {
            self.receive(state, &[]);
        }
        self.work(state);
        self.seal(state);
    }

    /// Lets something outside change the protocol's output.
    pub(crate) fn with_protocol(&mut self, state: &mut State, f: impl FnOnce(&mut State, &mut Protocol)) {
        f(state, &mut self.protocol);
        self.seal(state);
    }

    /// Whether more bytes should be read for it.
    pub(crate) fn wants_input(&self) -> bool {
        !self.cut
            && self.held.len() < MAX_HELD
            && self.tls.as_ref().is_none_or(|tls| !tls.has_ended())
            && match &self.protocol {
                Protocol::Kv(session) => session.wants_input(),
                Protocol::Http(session) => session.wants_input(),
            }
    }

    /// Whether it is over and everything that the server had to say was taken.
    pub(crate) fn is_closed(&self) -> bool {
        let ended = match &self.tls {
            Some(tls) => tls.has_ended(),
            None => closing(&self.protocol) == Closing::AfterOutput,
        };
        self.cut || (ended && self.pending().is_empty())
    }

    /// What changes when it has something new to say.
    pub(crate) fn mark(&self) -> (usize, Closing, bool) {
        (self.pending().len(), closing(&self.protocol), self.cut)
    }
}

fn pending(protocol: &Protocol) -> &[u8] {
    match protocol {
        Protocol::Kv(session) => session.pending(),
        Protocol::Http(session) => session.pending(),
    }
}

fn closing(protocol: &Protocol) -> Closing {
    match protocol {
        Protocol::Kv(session) => session.closing,
        Protocol::Http(session) => session.closing,
    }
}
