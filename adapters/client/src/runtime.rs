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

/// Options of a TCP socket, to be set before or after the dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_KEEPALIVE with this idle time before the first probe; `None`: off.
    pub keepalive: Option<Duration>,
}

impl SocketOptions {
    pub(crate) const fn new(nodelay: bool, keepalive: Option<Duration>) -> Self {
        Self { nodelay, keepalive }
    }
}
