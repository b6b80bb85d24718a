//! The driver's dealings with sockets and the resolver, and with what the engine says about them.

use std::io;
use std::mem;
use std::task::Poll;
use std::time::Instant;

use settee::engine::{ConnId, Datagram, Dial, Event, Input, LinkError, Lookup, Output};

use super::Driver;
use super::link::Link;
use super::queries::Arrival;
use crate::mailbox::Source;
use crate::reply::Reply;
use crate::runtime::{Runtime, SocketOptions};

/// How often one turn goes around engine, writes and due timers.
const ROUNDS_PER_TURN: usize = 32;

impl<R: Runtime> Driver<R> {
    pub(super) fn serve_link(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else { return };
        let conn = link.conn;
        link.begin();
        if link.is_dialing() {
            match link.poll_dial() {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    let local = link.stream().and_then(|stream| self.runtime.local_address(stream));
                    self.engine.handle_input(Input::Connected { conn, local }, now);
                }
                Poll::Ready(Err(error)) => return self.lose(index, LinkError::from(&error), now),
            }
        }
        if link.wants_write {
            self.writes.push(index);
        }
        let limit = self.read_limit();
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else { return };
        match link.poll_read(self.buffer.get_mut(..limit).unwrap_or_default()) {
            Poll::Pending => return,
            Poll::Ready(Ok(0)) => return self.lose(index, LinkError::Closed, now),
            Poll::Ready(Ok(len)) => {
                self.counters.reads += 1;
                self.received += len;
                let data = self.buffer.get(..len).unwrap_or_default();
                self.engine.handle_input(Input::Received { conn, data }, now);
            }
            Poll::Ready(Err(error)) if may_go_on(&error) => {}
            Poll::Ready(Err(error)) => return self.lose(index, LinkError::from(&error), now),
        }
        self.again.push(Source::Link(index));
    }

    fn write_links(&mut self, now: Instant) {
        let mut writes = mem::take(&mut self.writes);
        for index in writes.drain(..) {
            let Some(link) =
                self.links.get_mut(index).and_then(Option::as_mut).filter(|link| link.may_write())
            else {
                continue;
            };
            let conn = link.conn;
            match link.poll_write(self.engine.transmit(conn)) {
                Poll::Pending | Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(len))) => {
                    self.counters.writes += 1;
                    // The engine asks again for what is left.
                    link.wants_write = false;
                    self.engine.handle_input(Input::Written { conn, len }, now);
                }
                Poll::Ready(Err(error)) if may_go_on(&error) => self.again.push(Source::Link(index)),
                Poll::Ready(Err(error)) => self.lose(index, LinkError::from(&error), now),
            }
        }
        // Nothing was pushed meanwhile: `settle` alone asks for writes.
        self.writes = writes;
    }

    fn lose(&mut self, index: usize, why: LinkError, now: Instant) {
        if let Some(link) = self.links.get_mut(index).and_then(Option::take) {
            self.engine.handle_input(Input::Lost { conn: link.conn, why }, now);
        }
    }

    pub(super) fn serve_lookup(&mut self, place: usize, now: Instant) {
        if let Poll::Ready((lookup, answer)) = self.lookups.poll(place) {
            let answer = answer.as_deref().map_err(|error| *error);
            self.engine.handle_input(Input::LookedUp { lookup, answer }, now);
        }
    }

    pub(super) fn serve_query(&mut self, place: usize, now: Instant) {
        let Poll::Ready(Arrival { id: query, server, result }) = self.queries.poll(place, &mut self.buffer)
        else {
            return;
        };
        match result {
            Ok(len) => {
                let payload = self.buffer.get(..len).unwrap_or_default();
                self.engine.handle_input(Input::Datagram { query, from: server, payload }, now);
                self.again.push(Source::Query(place));
            }
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::Unsupported => LinkError::Unsupported,
                    _ => LinkError::from(&error),
                };
                self.engine.handle_input(Input::DatagramFailed { query, why }, now);
            }
        }
    }

    /// Does what the engine says until it waits for something that has not come yet.
    pub(super) fn settle(&mut self, now: Instant) {
        for _ in 0..ROUNDS_PER_TURN {
            self.wait = self.drain();
            if self.wait.is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now);
            } else if !self.full && !self.backlog.is_empty() {
                self.submit_backlog(now);
            } else if !self.writes.is_empty() {
                self.write_links(now);
            } else {
                return;
            }
        }
        // Still busy: go on in the next turn, for which any source will do.
        self.wait = self.drain();
        self.again.push(Source::Timer);
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Connect(dial) => self.dial(dial),
                Output::Disconnect(conn) => self.hang_up(conn),
                Output::Transmit(conn) => self.want_write(conn),
                Output::Lookup(lookup) => self.look_up(lookup),
                Output::CancelLookup(lookup) => self.lookups.cancel(lookup),
                Output::Datagram(datagram) => self.send_datagram(datagram),
                Output::EndQuery(query) => self.queries.end(query),
                Output::Event(event) => self.deliver(event),
                Output::Wait(at) => return at,
                other => crate::trace::debug!("an output that this driver does not know: {other:?}"),
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        // The monotonic clock may have stood still while the machine slept, and certificates are judged by the other.
        self.engine.set_unix_time(crate::cluster::unix_time(), self.runtime.now());
        let options = SocketOptions {
            nodelay: dial.nodelay,
            keepalive: dial.keepalive,
            user_timeout: dial.user_timeout,
        };
        let link = Link::new(dial.conn, self.runtime.connect(dial.address, options), &self.mailbox);
        let index = dial.conn.index();
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        if let Some(place) = self.links.get_mut(index) {
            *place = Some(link);
        }
        self.again.push(Source::Link(index));
    }

    fn hang_up(&mut self, conn: ConnId) {
        if let Some(place) = self.links.get_mut(conn.index()) {
            place.take_if(|link| link.conn == conn);
        }
    }

    fn want_write(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn.index()).and_then(Option::as_mut) else { return };
        if link.conn == conn {
            link.wants_write = true;
            if link.may_write() {
                self.writes.push(conn.index());
            }
        }
    }

    fn look_up(&mut self, lookup: Lookup) {
        let answer = self.runtime.lookup(lookup.name);
        let place = self.lookups.begin(lookup.lookup, answer, &self.mailbox);
        self.again.push(Source::Lookup(place));
    }

    fn send_datagram(&mut self, datagram: Datagram) {
        let Datagram { query, server, payload, .. } = datagram;
        let open = |server| self.runtime.datagrams(server);
        let place = self.queries.send(query, server, payload, open, &self.mailbox);
        self.again.push(Source::Query(place));
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Completed { op, result } => {
                self.answered += 1;
                if let Some(slot) = self.table.remove(op) {
                    slot.complete(result.map(Reply::Response));
                }
            }
            Event::Pinged { op, report } => {
                if let Some(slot) = self.table.remove(op) {
                    slot.complete(Ok(Reply::Ping(report)));
                }
            }
            Event::Writable => self.full = false,
            Event::Orphan(orphan) => crate::trace::debug!("an answer that nobody waits for: {orphan:?}"),
            Event::MapChanged(map) => crate::trace::trace!("a newer cluster map: {map:?}"),
            Event::Closed => self.release_closers(),
            other => crate::trace::debug!("an event that this driver does not know: {other:?}"),
        }
    }
}

/// The errors that say nothing about the connection.
pub(super) fn may_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
