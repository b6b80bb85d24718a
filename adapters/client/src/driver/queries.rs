//! Questions by UDP: one socket for each server that a query asks.
//!
//! A socket of its own is bound to a port that nobody can guess and connected to its server, so that the platform drops
//! what others send and reports a closed port at once. Until the query ends, every server asked may still answer; only the
//! failure of the one asked last is the query's.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::world::may_go_on;
use crate::mailbox::{Mailbox, Signal, Source};
use crate::runtime::Datagrams;

/// The sockets of all queries; `I` is what the engine calls a query.
pub(super) struct Queries<I> {
    places: Vec<Option<Query<I>>>,
}

struct Query<I> {
    id: I,
    server: SocketAddr,
    /// Or why there is none, to be reported in the next turn.
    socket: io::Result<Box<dyn Datagrams>>,
    unsent: VecDeque<Vec<u8>>,
    /// Another server was asked after this one.
    superseded: bool,
    signal: Arc<Signal>,
    waker: Waker,
}

/// What became of a query's socket.
#[derive(Debug)]
pub(super) struct Arrival<I> {
    pub(super) id: I,
    pub(super) server: SocketAddr,
    /// The length of a datagram at the front of the buffer, or why the socket is gone.
    pub(super) result: io::Result<usize>,
}

impl<I> Queries<I> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.places.clear();
    }
}

impl<I: Copy + PartialEq> Queries<I> {
    /// Queues a datagram, opening a socket for it unless there is one. Returns the place that is to be polled.
    pub(super) fn send(
        &mut self,
        id: I,
        server: SocketAddr,
        payload: Vec<u8>,
        open: impl FnOnce(SocketAddr) -> io::Result<Box<dyn Datagrams>>,
        mailbox: &Arc<Mailbox>,
    ) -> usize {
        for query in self.places.iter_mut().flatten().filter(|query| query.id == id) {
            query.superseded = query.server != server;
        }
        let is_open = |place: &Option<Query<I>>| {
            place.as_ref().is_some_and(|query| query.id == id && query.server == server)
        };
        let place = self
            .places
            .iter()
            .position(is_open)
            .or_else(|| self.places.iter().position(Option::is_none))
            .unwrap_or(self.places.len());
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        if let Some(query) = self.places.get_mut(place) {
            let query = query.get_or_insert_with(|| {
                let signal = Signal::new(mailbox, Source::Query(place));
                let waker = Waker::from(Arc::clone(&signal));
                let (socket, unsent) = (open(server), VecDeque::new());
                Query { id, server, socket, unsent, superseded: false, signal, waker }
            });
            query.unsent.push_back(payload);
        }
        place
    }

    /// Closes the sockets of a query.
    pub(super) fn end(&mut self, id: I) {
        for place in &mut self.places {
            place.take_if(|query| query.id == id);
        }
    }

    /// Sends what waits and receives one datagram. A socket that fails is closed.
    pub(super) fn poll(&mut self, place: usize, buffer: &mut [u8]) -> Poll<Arrival<I>> {
        let Some(place) = self.places.get_mut(place) else { return Poll::Pending };
        let Some(query) = place else { return Poll::Pending };
        query.signal.clear();
        let Poll::Ready(result) = query.poll(buffer) else { return Poll::Pending };
        let (id, server, superseded) = (query.id, query.server, query.superseded);
        if result.is_err() {
            *place = None;
            if superseded {
                return Poll::Pending;
            }
        }
        Poll::Ready(Arrival { id, server, result })
    }
}

impl<I> Query<I> {
    fn poll(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let socket = match &mut self.socket {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(io::Error::from(error.kind()))),
        };
        let mut cx = Context::from_waker(&self.waker);
        while let Some(payload) = self.unsent.front() {
            match socket.poll_send(&mut cx, payload) {
                Poll::Ready(Ok(())) => drop(self.unsent.pop_front()),
                Poll::Ready(Err(error)) if !may_go_on(&error) => return Poll::Ready(Err(error)),
                Poll::Ready(Err(_)) => {
                    self.waker.wake_by_ref();
                    break;
                }
                Poll::Pending => break,
            }
        }
        match socket.poll_recv(&mut cx, buffer) {
            Poll::Ready(Err(error)) if may_go_on(&error) => {
                self.waker.wake_by_ref();
                Poll::Pending
            }
            // No socket fills more than it was given.
            received => received.map_ok(|len| len.min(buffer.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const ONE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);
    const OTHER: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 53);

    #[derive(Default)]
    struct Wire {
        sent: Vec<Vec<u8>>,
        blocked: bool,
        coming: VecDeque<io::Result<Vec<u8>>>,
    }

    struct Socket(Arc<Mutex<Wire>>);

    impl Datagrams for Socket {
        fn poll_send(&mut self, _: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<()>> {
            let mut wire = self.0.lock().unwrap();
            if wire.blocked {
                return Poll::Pending;
            }
            wire.sent.push(payload.to_vec());
            Poll::Ready(Ok(()))
        }

        fn poll_recv(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
            match self.0.lock().unwrap().coming.pop_front() {
                None => Poll::Pending,
                Some(Err(error)) => Poll::Ready(Err(error)),
                Some(Ok(payload)) => {
                    buffer[..payload.len()].copy_from_slice(&payload);
                    Poll::Ready(Ok(payload.len()))
                }
            }
        }
    }

    /// Queries whose sockets are all on one wire, and how many of them were opened.
    struct Bench {
        queries: Queries<u8>,
        wire: Arc<Mutex<Wire>>,
        mailbox: Arc<Mailbox>,
        opened: Vec<SocketAddr>,
    }

    impl Bench {
        fn new() -> Self {
            let (wire, mailbox) = (Arc::default(), Arc::default());
            Self { queries: Queries::new(), wire, mailbox, opened: Vec::new() }
        }

        fn send(&mut self, id: u8, server: SocketAddr, payload: &[u8]) -> usize {
            let (wire, opened) = (Arc::clone(&self.wire), &mut self.opened);
            let open = |server| {
                opened.push(server);
                Ok(Box::new(Socket(wire)) as Box<dyn Datagrams>)
            };
            self.queries.send(id, server, payload.to_vec(), open, &self.mailbox)
        }

        fn poll(&mut self, place: usize) -> Option<(u8, SocketAddr, Result<Vec<u8>, io::ErrorKind>)> {
            let mut buffer = [0; 64];
            match self.queries.poll(place, &mut buffer) {
                Poll::Pending => None,
                Poll::Ready(Arrival { id, server, result }) => {
                    let result = result.map(|len| buffer[..len].to_vec()).map_err(|error| error.kind());
                    Some((id, server, result))
                }
            }
        }

        fn sockets(&self) -> usize {
            self.queries.places.iter().flatten().count()
        }
    }

    #[test]
    fn a_query_sends_and_receives_by_one_socket_per_server() {
        let mut bench = Bench::new();
        let place = bench.send(1, ONE, b"who");
        assert_eq!(bench.poll(place), None);
        assert_eq!(bench.send(1, ONE, b"again"), place);
        assert_eq!(bench.poll(place), None);
        assert_ne!(bench.send(1, OTHER, b"you?"), place);
        assert_eq!(bench.opened, [ONE, OTHER]);
        assert_eq!(bench.wire.lock().unwrap().sent, [b"who".to_vec(), b"again".to_vec()]);

        bench.wire.lock().unwrap().coming.extend([Ok(b"me".to_vec()), Ok(Vec::new())]);
        assert_eq!(bench.poll(place), Some((1, ONE, Ok(b"me".to_vec()))));
        assert_eq!(bench.poll(place), Some((1, ONE, Ok(Vec::new()))), "an empty datagram is one");
        assert_eq!(bench.poll(place), None);
    }

    #[test]
    fn what_a_full_socket_does_not_take_is_sent_later() {
        let mut bench = Bench::new();
        bench.wire.lock().unwrap().blocked = true;
        let place = bench.send(1, ONE, b"who");
        assert_eq!(bench.poll(place), None);
        assert!(bench.wire.lock().unwrap().sent.is_empty());
        bench.wire.lock().unwrap().blocked = false;
        assert_eq!(bench.poll(place), None);
        assert_eq!(bench.wire.lock().unwrap().sent, [b"who".to_vec()]);
    }

    #[test]
    fn the_end_of_a_query_closes_its_sockets_and_no_others() {
        let mut bench = Bench::new();
        let place = bench.send(1, ONE, b"a");
        bench.send(1, OTHER, b"a");
        bench.send(2, ONE, b"b");
        bench.queries.end(1);
        assert_eq!(bench.sockets(), 1);
        bench.wire.lock().unwrap().coming.push_back(Ok(b"late".to_vec()));
        assert_eq!(bench.poll(place), None, "a place without a query is served without harm");
        assert_eq!(bench.send(3, ONE, b"c"), place, "its place is used again");
    }

    #[test]
    fn a_failure_is_told_once_and_the_next_datagram_opens_another_socket() {
        let mut bench = Bench::new();
        let place = bench.send(1, ONE, b"a");
        bench.wire.lock().unwrap().coming.push_back(Err(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(bench.poll(place), Some((1, ONE, Err(io::ErrorKind::ConnectionRefused))));
        assert_eq!((bench.poll(place), bench.sockets()), (None, 0));
        bench.send(1, ONE, b"a");
        assert_eq!(bench.opened, [ONE, ONE]);
    }

    #[test]
    fn the_failure_of_a_server_that_was_given_up_is_not_the_querys() {
        let mut bench = Bench::new();
        let first = bench.send(1, ONE, b"a");
        bench.send(1, OTHER, b"a");
        bench.wire.lock().unwrap().coming.push_back(Err(io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(bench.poll(first), None);
        assert_eq!(bench.sockets(), 1);
    }

    #[test]
    fn without_a_socket_the_query_fails_when_it_is_polled() {
        let mut queries = Queries::new();
        let refuse = |_| Err(io::ErrorKind::Unsupported.into());
        let place = queries.send(1, ONE, Vec::new(), refuse, &Arc::default());
        let Poll::Ready(Arrival { result: Err(error), .. }) = queries.poll(place, &mut []) else {
            panic!("no failure")
        };
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
