//! What the network of the script does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use settee::engine::{ConnId, Input, LinkError, LookupError, QueryId};

use super::names::{self, SERVERS};
use super::world::World;

const ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 8)),
];

impl World<'_> {
    fn some_conn(&mut self) -> Option<ConnId> {
        let at = self.u.below(self.conns.len());
        self.conns.keys().nth(at).copied()
    }

    /// Everything goes well for a while: dials, look-ups, writes and answers.
    pub(super) fn serve(&mut self) {
        for _ in 0..6 {
            self.drain();
            for lookup in std::mem::take(&mut self.lookups) {
                self.just_answered.insert(lookup);
                self.engine.handle_input(Input::LookedUp { lookup, answer: Ok(&ADDRESSES[..2]) }, self.now);
            }
            self.answer_queries();
            let conns: Vec<ConnId> = self.conns.keys().copied().collect();
            for conn in conns {
                self.connect(conn);
                self.drain();
                self.write(conn, usize::MAX);
                self.answer_all(conn);
                self.deliver(conn, usize::MAX);
            }
        }
    }

    fn connect(&mut self, conn: ConnId) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        if !std::mem::replace(&mut peer.connected, true) || self.u.one_in(32) {
            self.engine.handle_input(Input::Connected { conn, local: None }, self.now);
        }
    }

    pub(super) fn connect_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.connect(conn);
        }
    }

    /// Reports bytes as written, and hands them to the peer.
    fn write(&mut self, conn: ConnId, len: usize) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        if peer.lent.is_empty() {
            return;
        }
        let len = len.min(peer.lent.len());
        peer.take(len);
        peer.announced = false;
        self.engine.handle_input(Input::Written { conn, len }, self.now);
    }

    pub(super) fn write_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        let len = if self.u.one_in(4) { usize::MAX } else { usize::from(self.u.word() % 300) };
        self.write(conn, len);
    }

    fn answer_all(&mut self, conn: ConnId) {
        if let Some(peer) = self.conns.get_mut(&conn) {
            peer.answer_all(&self.topology);
        }
    }

    pub(super) fn answer_all_of_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            self.write(conn, usize::MAX);
            self.answer_all(conn);
            self.deliver(conn, usize::MAX);
        }
    }

    /// One request of any, out of turn and in any way.
    pub(super) fn answer_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        self.write(conn, usize::MAX);
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        peer.answer_one(&self.topology, &mut self.u);
        if !self.u.one_in(4) {
            self.deliver(conn, usize::MAX);
        }
    }

    /// The engine receives what the peer has sent, up to a length.
    fn deliver(&mut self, conn: ConnId, len: usize) {
        let Some(peer) = self.conns.get_mut(&conn) else { return };
        let len = len.min(peer.outbox.len());
        let data: Vec<u8> = peer.outbox.drain(..len).collect();
        self.engine.handle_input(Input::Received { conn, data: &data }, self.now);
    }

    pub(super) fn deliver_one(&mut self) {
        if let Some(conn) = self.some_conn() {
            let len = usize::from(self.u.byte());
            self.deliver(conn, len);
        }
    }

    pub(super) fn notify(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        if let Some(peer) = self.conns.get_mut(&conn) {
            peer.notify(&self.topology, &mut self.u);
            self.deliver(conn, usize::MAX);
        }
    }

    pub(super) fn garbage(&mut self) {
        if let Some(conn) = self.some_conn() {
            let data = self.u.bytes(60);
            self.engine.handle_input(Input::Received { conn, data }, self.now);
        }
    }

    pub(super) fn lose_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        let why = self.u.of(&[
            LinkError::Closed,
            LinkError::Reset,
            LinkError::Refused,
            LinkError::TimedOut,
            LinkError::Unreachable,
            LinkError::Io(std::io::ErrorKind::Other),
        ]);
        self.lose(conn, why);
    }

    pub(super) fn lose_all(&mut self) {
        while let Some(&conn) = self.conns.keys().next() {
            self.lose(conn, LinkError::Reset);
        }
    }

    fn lose(&mut self, conn: ConnId, why: LinkError) {
        self.engine.handle_input(Input::Lost { conn, why }, self.now);
        self.conns.remove(&conn);
        self.just_lost.insert(conn);
    }

    pub(super) fn look_up_one(&mut self) {
        if self.lookups.is_empty() {
            return;
        }
        let lookup = self.lookups.remove(self.u.below(self.lookups.len()));
        self.just_answered.insert(lookup);
        let answer = match self.u.below(6) {
            0 => Err(LookupError::NotFound),
            1 => Err(LookupError::Failed),
            2 => Err(LookupError::TimedOut),
            count => Ok(&ADDRESSES[..count - 3 + usize::from(count > 4)]),
        };
        self.engine.handle_input(Input::LookedUp { lookup, answer }, self.now);
        if self.u.one_in(8) {
            self.engine.handle_input(Input::LookedUp { lookup, answer }, self.now);
        }
    }

    /// Connections that ended are none any more, whatever is said about them.
    pub(super) fn input_about_the_past(&mut self) {
        let Some(&conn) = self.seen.iter().nth(self.u.below(self.seen.len())) else { return };
        let data = [0x81; 30];
        if self.conns.contains_key(&conn) {
            return;
        }
        self.engine.handle_input(Input::Connected { conn, local: None }, self.now);
        self.engine.handle_input(Input::Received { conn, data: &data }, self.now);
        self.engine.handle_input(Input::Written { conn, len: usize::MAX }, self.now);
        self.engine.handle_input(Input::Lost { conn, why: LinkError::Reset }, self.now);
        assert_eq!(self.engine.transmit(conn).count(), 0, "bytes for a connection that is none");
    }

    /// Name servers answer what they were asked last.
    fn answer_queries(&mut self) {
        let asked: Vec<_> =
            self.queries.iter_mut().filter_map(|(&query, last)| Some((query, last.take()?))).collect();
        for (query, datagram) in asked {
            let payload = names::answer(&datagram.payload, self.network.truncates());
            let input = Input::Datagram { query, from: datagram.server, payload: &payload };
            self.engine.handle_input(input, self.now);
        }
    }

    /// Something that looks like an answer arrives on a query's socket, or on one that is closed.
    pub(super) fn answer_query_oddly(&mut self) {
        let Some((&query, last)) = self.queries.iter().next() else {
            let payload = self.u.bytes(40);
            if let Some(&query) = self.ended_queries.last() {
                self.engine.handle_input(Input::Datagram { query, from: SERVERS[0], payload }, self.now);
            }
            return;
        };
        let from = match (last, self.u.below(8)) {
            (_, 0) => SocketAddr::from(([10, 9, 9, 9], 53)),
            (_, 1) => SERVERS[1],
            (Some(datagram), _) => datagram.server,
            (None, _) => SERVERS[0],
        };
        let payload = match last {
            Some(datagram) if !self.u.one_in(8) => names::answer_oddly(&datagram.payload, &mut self.u),
            _ => self.u.bytes(60).to_vec(),
        };
        self.engine.handle_input(Input::Datagram { query, from, payload: &payload }, self.now);
    }

    /// A datagram cannot be sent or received, or could not have been.
    pub(super) fn fail_query(&mut self) {
        let known = self.queries.keys().next().or_else(|| self.ended_queries.last()).copied();
        let Some(query): Option<QueryId> = known else { return };
        let why = self.u.of(&[LinkError::Refused, LinkError::Unreachable, LinkError::Unsupported]);
        self.engine.handle_input(Input::DatagramFailed { query, why }, self.now);
    }

    /// The peer ends a connection behind its last word.
    pub(super) fn end_one(&mut self) {
        let Some(conn) = self.some_conn() else { return };
        self.deliver(conn, usize::MAX);
        self.lose(conn, LinkError::Closed);
    }
}
