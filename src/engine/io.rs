//! The engine's surface towards the world: inputs, outputs and events.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::{OpId, PingReport, Response};
use crate::error::OpError;
use crate::map::ClusterMap;

/// One TCP connection, from its dial to its end. The number carries a generation: an id never comes back, and inputs
/// for a past one are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// A small number, unique among live connections: an index for an adapter's own table.
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {}.{}", self.slot, self.generation)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// One question to a name service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LookupId(pub(crate) u64);

/// One question to name servers by UDP: a socket of its own, so that its port is hard to guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct QueryId(pub(crate) u64);

/// What the world tells the engine. Any input may come at any time and in any order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The dial succeeded.
    Connected {
        /// Which connection.
        conn: ConnId,
        /// The socket's own address, for reports; `None`: not known.
        local: Option<SocketAddr>,
    },
    /// Bytes arrived; any slicing of the stream is as good as any other.
    Received {
        /// Which connection.
        conn: ConnId,
        /// The bytes, borrowed: the engine copies what it retains.
        data: &'a [u8],
    },
    /// So many of the bytes that [`super::Engine::transmit`] lent are written, or may have been.
    Written {
        /// Which connection.
        conn: ConnId,
        /// How many bytes, from the front.
        len: usize,
    },
    /// The dial failed, or the connection ended: end of stream, reset, any error that is not "would block".
    Lost {
        /// Which connection.
        conn: ConnId,
        /// Why.
        why: LinkError,
    },
    /// The answer to an [`Output::Lookup`].
    LookedUp {
        /// Which question.
        lookup: LookupId,
        /// The name's addresses in the resolver's order, or why there are none.
        answer: Result<&'a [IpAddr], LookupError>,
    },
    /// A datagram arrived on a query's socket.
    Datagram {
        /// Which query.
        query: QueryId,
        /// Who sent it.
        from: SocketAddr,
        /// The whole datagram.
        payload: &'a [u8],
    },
    /// A datagram could not be sent or received: no socket, no route, or the port is closed there.
    DatagramFailed {
        /// Which query.
        query: QueryId,
        /// Why; [`LinkError::Unsupported`] where the adapter has no datagrams at all.
        why: LinkError,
    },
}

/// What the engine tells the world.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Open a TCP connection; answer with [`Input::Connected`] or [`Input::Lost`].
    Connect(Dial),
    /// Close this connection (or give up its dial). No input about it is expected any more.
    Disconnect(ConnId),
    /// There are bytes to write: lend them by [`super::Engine::transmit`], report them by [`Input::Written`].
    /// Comes again for what is left after a partial write.
    Transmit(ConnId),
    /// Ask the platform's resolver; answer with [`Input::LookedUp`].
    Lookup(Lookup),
    /// Nobody waits for this look-up any more; its answer would be ignored.
    CancelLookup(LookupId),
    /// Send a datagram from the query's socket, which its first datagram opens (any local port); what arrives there is
    /// [`Input::Datagram`], what fails [`Input::DatagramFailed`].
    Datagram(Datagram),
    /// Close the query's socket.
    EndQuery(QueryId),
    /// Something for the application.
    Event(Event),
    /// Nothing more to do until an input comes or this instant has passed, `None`: until an input comes.
    Wait(Option<Instant>),
}

/// A connection to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dial {
    /// The name of the connection in all that follows.
    pub conn: ConnId,
    /// Where to.
    pub address: SocketAddr,
    /// Socket option TCP_NODELAY.
    pub nodelay: bool,
    /// Socket option SO_KEEPALIVE: idle time before the first probe.
    pub keepalive: Option<std::time::Duration>,
    /// Socket option TCP_USER_TIMEOUT, where the platform has it (Linux).
    pub user_timeout: Option<std::time::Duration>,
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// Which query it belongs to.
    pub query: QueryId,
    /// Where to.
    pub server: SocketAddr,
    /// What, at most 512 bytes.
    pub payload: Vec<u8>,
}

/// A host name to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lookup {
    /// The name of the question.
    pub lookup: LookupId,
    /// The host name.
    pub name: String,
}

/// Why a connection could not be opened, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nobody listens there.
    #[error("connection refused: is the port right, and is the service running there?")]
    Refused,
    /// The dial took too long.
    #[error("no answer to the dial: is a firewall in between?")]
    TimedOut,
    /// No route to the address.
    #[error("host or network unreachable")]
    Unreachable,
    /// The peer closed the stream.
    #[error("closed by the peer")]
    Closed,
    /// The stream broke.
    #[error("connection reset")]
    Reset,
    /// The adapter cannot do this.
    #[error("not supported by this adapter")]
    Unsupported,
    /// Any other error of the platform.
    #[error("I/O error ({0:?})")]
    Io(std::io::ErrorKind),
}

impl From<&std::io::Error> for LinkError {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The name does not exist, or has no address.
    #[error("the name does not resolve")]
    NotFound,
    /// The resolver could not answer.
    #[error("the resolver failed")]
    Failed,
    /// The resolver did not answer in time.
    #[error("the resolver did not answer in time")]
    TimedOut,
}

/// Something for the application.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A submitted operation ended; comes exactly once for each.
    Completed {
        /// Which operation.
        op: OpId,
        /// How it ended.
        result: Result<Response, OpError>,
    },
    /// A ping that [`super::Engine::ping`] began is over; comes exactly once for each, unless it was cancelled.
    Pinged {
        /// Which one.
        op: OpId,
        /// What came of it.
        report: Box<PingReport>,
    },
    /// A newer cluster map is in use: of a bucket, or of the cluster where it names none.
    MapChanged(Arc<ClusterMap>),
    /// [`super::Engine::submit`] takes operations again after it had refused one for lack of room.
    Writable,
    /// An answer came that nobody waits for: its operation timed out or was cancelled, or was never asked (H18).
    Orphan(Orphan),
    /// [`super::Engine::shut_down`] is done: every operation has ended, every connection is closed.
    Closed,
}

/// An answer that nobody waits for (`kv-protocol.md` 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orphan {
    /// The connection it came by.
    pub conn: ConnId,
    /// Its opaque.
    pub opaque: crate::ids::Opaque,
    /// Its opcode.
    pub opcode: crate::wire::Opcode,
    /// Whether an operation with this opaque had been given up; otherwise it was never asked, or answered before.
    pub given_up: bool,
}
