//! Tokio's UDP socket.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use settee_client::runtime::{BoxFuture, Datagrams};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// A UDP socket of tokio, connected to one server.
pub(crate) struct TokioDatagrams {
    socket: Arc<UdpSocket>,
    /// Ends with an error that the socket holds, such as a closed port. Linux announces it as an error alone, and
    /// tokio's receiving wakes for datagrams alone.
    failure: BoxFuture<io::Error>,
}

impl TokioDatagrams {
    /// To be called within the runtime.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        Ok(Self { failure: failure(&socket), socket })
    }
}

fn failure(socket: &Arc<UdpSocket>) -> BoxFuture<io::Error> {
    let socket = Arc::clone(socket);
    Box::pin(async move {
        let held = || socket.take_error()?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        socket.async_io(Interest::ERROR, held).await.unwrap_or_else(|error| error)
    })
}

impl Datagrams for TokioDatagrams {
    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<io::Result<()>> {
        self.socket.poll_send(cx, payload).map_ok(drop)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        if let Poll::Ready(received) = self.socket.poll_recv(cx, &mut buffer) {
            return Poll::Ready(received.map(|()| buffer.filled().len()));
        }
        let Poll::Ready(error) = Pin::new(&mut self.failure).poll(cx) else { return Poll::Pending };
        self.failure = failure(&self.socket);
        Poll::Ready(Err(error))
    }
}
