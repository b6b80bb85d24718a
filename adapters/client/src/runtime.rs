//! What the driver needs of an asynchronous runtime.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};

/// A future on the heap. Dials, look-ups and the driver itself are rare enough that a box costs nothing that counts,
/// and it spares implementors a type per method.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An asynchronous runtime: sockets, a resolver, a timer, and a place for one task per cluster.
///
/// The adapters for tokio, smol and async-std implement it in about 200 lines each; another runtime needs no more.
/// Nothing of it reaches the handles: a [`Cluster`](crate::Cluster) and its operations can be awaited anywhere.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A TCP connection. Writes must reach the socket by themselves: the driver never calls `poll_flush`.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A timer that can be set again.
    type Timer: Timer;

    /// Its name, which becomes part of the client's identification.
    fn name(&self) -> &'static str;

    /// Opens a connection. Dropping the future gives up the dial.
    fn connect(&self, address: SocketAddr, options: SocketOptions) -> BoxFuture<io::Result<Self::Stream>>;

    /// Asks the platform's resolver for the addresses of a host name, in the resolver's order.
    fn lookup(&self, host: String) -> BoxFuture<io::Result<Vec<IpAddr>>>;

    /// Opens a UDP socket on any free port, connected to a server. It is closed by dropping it.
    ///
    /// Without it nothing but the look-up of SRV records is lost (`couchbase://` with a lone name); a seed is then
    /// taken as it stands.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the runtime has no UDP, which is the default.
    fn datagrams(&self, server: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        let _ = server;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The socket's own address, for reports; `None`, the default, where the runtime does not tell.
    fn local_address(&self, stream: &Self::Stream) -> Option<SocketAddr> {
        let _ = stream;
        None
    }

    /// A timer that ends at an instant.
    fn timer(&self, at: Instant) -> Self::Timer;

    /// Starts the driver. If the runtime drops the task, every waiting operation fails with `RequestCanceled` and every
    /// later one with `ClusterClosed` (LIFE-5).
    fn spawn(&self, task: BoxFuture<()>);

    /// The monotonic clock that [`Runtime::timer`] goes by.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A timer of a [`Runtime`].
///
/// It only wakes: what is due is decided by [`Runtime::now`], so a timer may be late, or early, without harm.
pub trait Timer: Send + 'static {
    /// Ready when the instant has come; otherwise wakes the task then.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sets another instant, whether it has fired or not. The driver polls it afterwards.
    fn reset(&mut self, at: Instant);
}

/// A UDP socket of a [`Runtime`], connected to one server. A few are opened per cluster, each for a question to a name
/// server.
pub trait Datagrams: Send + 'static {
    /// Sends one datagram, whole.
    ///
    /// # Errors
    /// The platform's: no route, a port that an earlier datagram found closed.
    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<()>>;

    /// Receives one datagram of the server into `buffer`, which has room for the largest, and returns its length.
    ///
    /// # Errors
    /// The platform's: a port that an earlier datagram found closed.
    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Options of a TCP socket, to be set before or after the dial. By default nothing is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_KEEPALIVE with this idle time before the first probe; `None`: off.
    pub keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT, where the platform has it (Linux): how long sent bytes may go without the peer's
    /// acknowledgement before the connection ends; `None`: as the platform says.
    pub user_timeout: Option<Duration>,
}
