//! The Couchbase client of settee on tokio.
//!
//! ```no_run
//! use settee_tokio::{ClusterOptions, PasswordAuthenticator};
//!
//! # async fn example() -> Result<(), settee_tokio::Error> {
//! let options = ClusterOptions::new(PasswordAuthenticator::new("app", "secret"));
//! let cluster = settee_tokio::connect("couchbase://db.example.com", options).await?;
//! let collection = cluster.bucket("travel").default_collection();
//! collection.upsert("greeting", "hello").await?;
//! let greeting: String = collection.get("greeting").await?.content_as()?;
//! cluster.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Everything of [`settee_client`] is re-exported here. One task per cluster runs on the runtime that
//! [`connect`] or [`open`] is called in; handles and futures may be used anywhere, also outside of tokio.

#![forbid(unsafe_code)]

mod datagrams;
mod stream;

pub use settee_client::*;
pub use stream::TokioStream;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use settee_client::runtime::{BoxFuture, Datagrams, SocketOptions, Timer};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use self::datagrams::TokioDatagrams;

/// Connects, and returns when there is a cluster map: a seed answers and the credentials are right. Whether a bucket exists is
/// told by [`Bucket::wait_until_ready`], or by the first operation. See [`Cluster::connect_on`].
///
/// # Errors
/// A connection string, options or credentials that cannot work; what kept every seed from answering;
/// [`Error::NoRuntime`] outside of tokio.
pub async fn connect(connection_string: &str, options: ClusterOptions) -> Result<Cluster, Error> {
    Cluster::connect_on(Tokio::current()?, connection_string, options).await
}

/// Returns a live handle at once and connects in the background. See [`Cluster::open_on`].
///
/// # Errors
/// A connection string, options or credentials that cannot work; [`Error::NoRuntime`] outside of tokio.
pub fn open(connection_string: &str, options: ClusterOptions) -> Result<Cluster, Error> {
    Cluster::open_on(Tokio::current()?, connection_string, options)
}

/// A tokio runtime, for [`Cluster::connect_on`] and [`Cluster::open_on`]. It needs its I/O and time drivers enabled.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// The runtime behind a handle.
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The runtime that this is called in.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] if there is none.
    pub fn current() -> Result<Self, Error> {
        Handle::try_current().map(Self::new).map_err(|_| Error::NoRuntime("tokio"))
    }
}

impl Runtime for Tokio {
    type Stream = TokioStream;
    type Timer = TokioTimer;

    fn name(&self) -> &'static str {
        "tokio"
    }

    fn connect(&self, address: SocketAddr, options: SocketOptions) -> BoxFuture<io::Result<TokioStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(options.nodelay)?;
            if let Some(idle) = options.keepalive {
                let keepalive = socket2::TcpKeepalive::new().with_time(idle);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            }
            #[cfg(target_os = "linux")]
            if options.user_timeout.is_some() {
                // What it guards against, the engine's own keep-alive finds as well: no reason to give up the dial where
                // the platform, a sandbox for instance, does not take it.
                let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(options.user_timeout);
            }
            Ok(TokioStream::new(stream))
        })
    }

    fn lookup(&self, host: String) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }

    fn local_address(&self, stream: &TokioStream) -> Option<SocketAddr> {
        stream.get_ref().local_addr().ok()
    }

    fn datagrams(&self, server: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        // A socket binds itself to the runtime it is made in.
        let _runtime = self.handle.enter();
        Ok(Box::new(TokioDatagrams::connect(server)?))
    }

    fn timer(&self, at: Instant) -> TokioTimer {
        // `Sleep` binds itself to the runtime it is made in: the driver's, where this is called.
        TokioTimer(Box::pin(tokio::time::sleep_until(at.into())))
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.handle.spawn(task);
    }

    fn now(&self) -> Instant {
        // Follows a clock that a test has paused.
        tokio::time::Instant::now().into_std()
    }
}

/// Tokio's timer.
#[derive(Debug)]
pub struct TokioTimer(Pin<Box<Sleep>>);

impl Timer for TokioTimer {
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }

    fn reset(&mut self, at: Instant) {
        self.0.as_mut().reset(at.into());
    }
}

/// The examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
