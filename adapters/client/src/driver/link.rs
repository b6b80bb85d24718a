//! One TCP connection of the driver: its dial, then its stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use settee::engine::ConnId;

use crate::mailbox::{Mailbox, Signal, Source};
use crate::runtime::BoxFuture;

/// Slices of one vectored write.
const SLICES: usize = 64;

pub(super) struct Link<S> {
    pub(super) conn: ConnId,
    io: Io<S>,
    signal: Arc<Signal>,
    waker: Waker,
    /// The engine has bytes for it.
    pub(super) wants_write: bool,
    /// The socket took no more; its wake tells when to go on.
    write_blocked: bool,
}

enum Io<S> {
    Dialing(BoxFuture<io::Result<S>>),
    Open(S),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(conn: ConnId, dial: BoxFuture<io::Result<S>>, mailbox: &Arc<Mailbox>) -> Self {
        let signal = Signal::new(mailbox, Source::Link(conn.index()));
        let waker = Waker::from(Arc::clone(&signal));
        Self { conn, io: Io::Dialing(dial), signal, waker, wants_write: false, write_blocked: false }
    }

    /// The link was woken and is about to be served.
    pub(super) fn begin(&mut self) {
        self.signal.clear();
        self.write_blocked = false;
    }

    pub(super) const fn is_dialing(&self) -> bool {
        matches!(self.io, Io::Dialing(_))
    }

    /// Whether a write may get through.
    pub(super) const fn may_write(&self) -> bool {
        self.wants_write && !self.write_blocked && matches!(self.io, Io::Open(_))
    }

    /// Goes on with the dial; `Ok` when the stream is open.
    pub(super) fn poll_dial(&mut self) -> Poll<io::Result<()>> {
        let Io::Dialing(dial) = &mut self.io else { return Poll::Ready(Ok(())) };
        match dial.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(stream)) => {
                self.io = Io::Open(stream);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// The stream, once it is open.
    pub(super) const fn stream(&self) -> Option<&S> {
        match &self.io {
            Io::Open(stream) => Some(stream),
            Io::Dialing(_) => None,
        }
    }

    pub(super) fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Io::Open(stream) = &mut self.io else { return Poll::Pending };
        Pin::new(stream).poll_read(&mut Context::from_waker(&self.waker), buffer)
    }

    /// Writes the front of what the engine lends; `Ok(None)` if it lends nothing.
    pub(super) fn poll_write<'a>(
        &mut self,
        lent: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<Option<usize>>> {
        let Io::Open(stream) = &mut self.io else { return Poll::Pending };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(lent.filter(|bytes| !bytes.is_empty())) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        if count == 0 {
            self.wants_write = false;
            return Poll::Ready(Ok(None));
        }
        let slices = slices.get(..count).unwrap_or_default();
        match Pin::new(stream).poll_write_vectored(&mut Context::from_waker(&self.waker), slices) {
            Poll::Pending => {
                self.write_blocked = true;
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(len)) => Poll::Ready(Ok(Some(len))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}
