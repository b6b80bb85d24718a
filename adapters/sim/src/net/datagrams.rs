//! Datagrams, and the name servers that take them.

use super::{End, Happening, LinkId, Net, NetEvent, Reachability};
use crate::dns::{DnsServer, DnsTcp, framed, take_frame};
use settee::engine::LinkError;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A datagram socket of the client, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub usize);

/// A datagram at its end.
pub(super) enum Datagram {
    AtServer(SocketId, SocketAddr, Vec<u8>),
    AtClient(SocketId, SocketAddr, Vec<u8>),
    FailedAtClient(SocketId, LinkError),
}

impl Net {
    /// Puts a name server on an address, for datagrams and, as it is set, TCP. Nodes and peers there come first.
    pub fn place_dns(&mut self, address: SocketAddr, server: impl Into<DnsServer>) {
        self.name_servers.insert(address, server.into());
    }

    /// The name server on an address.
    pub fn dns(&mut self, address: SocketAddr) -> Option<&mut DnsServer> {
        self.name_servers.get_mut(&address)
    }

    /// Opens a datagram socket.
    pub fn open_socket(&mut self) -> SocketId {
        self.sockets.push(true);
        SocketId(self.sockets.len() - 1)
    }

    /// Closes a datagram socket: no event of it comes any more.
    pub fn close_socket(&mut self, id: SocketId) {
        if let Some(open) = self.sockets.get_mut(id.0) {
            *open = false;
        }
    }

    /// Sends a datagram. It may get lost, and may be overtaken.
    pub fn send_datagram(&mut self, id: SocketId, to: SocketAddr, payload: &[u8]) {
        if self.sockets.get(id.0).copied().unwrap_or(false) {
            self.send_on_its_way(to, Duration::ZERO, Datagram::AtServer(id, to, payload.to_vec()));
        }
    }

    pub(super) fn datagram(&mut self, datagram: Datagram) -> Option<NetEvent> {
        match datagram {
            Datagram::AtServer(id, to, payload) => {
                self.datagram_at_server(id, to, &payload);
                None
            }
            Datagram::AtClient(id, from, payload) => {
                self.socket_event(id, NetEvent::Datagram(id, from, payload))
            }
            Datagram::FailedAtClient(id, why) => self.socket_event(id, NetEvent::DatagramFailed(id, why)),
        }
    }

    fn socket_event(&self, id: SocketId, event: NetEvent) -> Option<NetEvent> {
        self.sockets.get(id.0).copied().unwrap_or(false).then_some(event)
    }

    fn datagram_at_server(&mut self, id: SocketId, to: SocketAddr, payload: &[u8]) {
        let failure = match self.reachability.get(&to).copied().unwrap_or_default() {
            Reachability::BlackHole | Reachability::Swallow => return,
            Reachability::Refuse => Some(LinkError::Refused),
            Reachability::Unreachable => Some(LinkError::Unreachable),
            Reachability::Open => None,
        };
        let server = match (failure, self.name_servers.get_mut(&to)) {
            (None, Some(server)) => server,
            (why, _) => {
                let why = why.unwrap_or(LinkError::Refused);
                return self.schedule_datagram(to, Duration::ZERO, Datagram::FailedAtClient(id, why));
            }
        };
        let spoofs = server.spoofs(payload);
        let answer = server.answer(payload, false);
        let delay = server.settings.delay;
        let foreign = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 53), to.port()));
        for (elsewhere, bytes) in spoofs {
            let from = if elsewhere { foreign } else { to };
            self.send_on_its_way(to, Duration::ZERO, Datagram::AtClient(id, from, bytes));
        }
        if let Some(bytes) = answer {
            self.send_on_its_way(to, delay, Datagram::AtClient(id, to, bytes));
        }
    }

    /// Whether a name server takes a TCP connection; `None` where there is none.
    pub(super) fn name_server_takes(&self, address: SocketAddr) -> Option<bool> {
        self.name_servers.get(&address).map(|server| server.settings.tcp != DnsTcp::Refused)
    }

    /// Bytes for a name server by TCP.
    pub(super) fn name_server_receives(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(id.0) else { return };
        let to = link.to;
        let End::NameServer(pending) = &mut link.end else { return };
        pending.extend_from_slice(bytes);
        let requests: Vec<_> = std::iter::from_fn(|| take_frame(pending)).collect();
        for request in requests {
            let Some(server) = self.name_servers.get_mut(&to) else { return };
            let delay = server.settings.delay;
            if let Some(answer) = server.answer(&request, true) {
                self.deliver(id, delay, &framed(&answer));
            }
        }
    }

    fn send_on_its_way(&mut self, peer: SocketAddr, delay: Duration, datagram: Datagram) {
        if self.rng_is_unlucky() {
            return;
        }
        self.schedule_datagram(peer, delay, datagram);
    }

    fn rng_is_unlucky(&mut self) -> bool {
        let loss = u64::from(self.settings.datagram_loss);
        loss > 0 && self.rng.below(1000) < loss
    }

    fn schedule_datagram(&mut self, peer: SocketAddr, delay: Duration, datagram: Datagram) {
        let at = self.now + delay + self.latency(peer) + self.draw_jitter();
        self.schedule(at, Happening::Datagram(datagram));
    }
}
