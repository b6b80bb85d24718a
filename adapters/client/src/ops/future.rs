//! The future of every operation.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use settee::engine::Response;
use settee::error::{ErrorKind, OpError};

use crate::cluster::Shared;
use crate::error::Error;
use crate::mailbox::{Command, Message};
use crate::reply::{Convert, Reply};
use crate::slot::{Outcome, Slot};

/// An operation under way.
///
/// It is handed to the client at the first poll: a future that is never polled does nothing. It holds no type of a runtime
/// and may be awaited anywhere.
///
/// Cancellation: dropping it cancels the operation. Of a write that has been sent it is then unknown whether it happens.
#[must_use = "futures do nothing unless polled"]
pub struct OpFuture<T> {
    shared: Arc<Shared>,
    stage: Stage,
    convert: Conversion<T>,
}

/// What the caller gets; `None` for a reply that does not belong to the operation.
enum Conversion<T> {
    Response(fn(Response, &Shared) -> Option<T>),
    Reply(Convert<T>),
}

impl<T> Clone for Conversion<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Conversion<T> {}

enum Stage {
    Unsent(Command),
    /// Refused before it was sent.
    Refused(OpError),
    Sent(Arc<Slot>),
    Done,
}

impl<T> OpFuture<T> {
    pub(crate) const fn command(
        shared: Arc<Shared>,
        command: Command,
        convert: fn(Response, &Shared) -> Option<T>,
    ) -> Self {
        Self { shared, stage: Stage::Unsent(command), convert: Conversion::Response(convert) }
    }

    /// A command whose reply is no response to an operation.
    pub(crate) const fn question(shared: Arc<Shared>, command: Command, convert: Convert<T>) -> Self {
        Self { shared, stage: Stage::Unsent(command), convert: Conversion::Reply(convert) }
    }

    pub(super) const fn refused(
        shared: Arc<Shared>,
        error: OpError,
        convert: fn(Response, &Shared) -> Option<T>,
    ) -> Self {
        Self { shared, stage: Stage::Refused(error), convert: Conversion::Response(convert) }
    }
}

impl<T> Future for OpFuture<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Sent(slot) = &this.stage {
            let outcome = ready!(slot.poll(cx));
            this.stage = Stage::Done;
            return Poll::Ready(finish(outcome, this.convert, &this.shared));
        }
        match mem::replace(&mut this.stage, Stage::Done) {
            Stage::Unsent(command) => {
                // The waker goes in first: the driver may be faster than this task.
                let slot = Arc::new(Slot::new(Some(cx.waker().clone())));
                if let Err(message) = this.shared.mailbox.post(Message::Command(command, Arc::clone(&slot))) {
                    crate::driver::reject(*message);
                    let outcome = ready!(slot.poll(cx));
                    return Poll::Ready(finish(outcome, this.convert, &this.shared));
                }
                this.stage = Stage::Sent(slot);
                Poll::Pending
            }
            Stage::Refused(error) => Poll::Ready(Err(error.into())),
            Stage::Sent(_) | Stage::Done => Poll::Ready(Err(OpError::with_detail(
                ErrorKind::RequestCanceled,
                "the future was polled after it had completed",
            )
            .into())),
        }
    }
}

fn finish<T>(outcome: Outcome, convert: Conversion<T>, shared: &Shared) -> Result<T, Error> {
    let converted = match (convert, outcome?) {
        (Conversion::Response(convert), Reply::Response(response)) => convert(response, shared),
        (Conversion::Response(_), _) => None,
        (Conversion::Reply(convert), reply) => convert(reply),
    };
    converted.ok_or_else(|| {
        let detail = "the client got the response of another kind of operation";
        OpError::with_detail(ErrorKind::DecodingFailure, detail).into()
    })
}

impl<T> Drop for OpFuture<T> {
    fn drop(&mut self) {
        if let Stage::Sent(slot) = &self.stage
            && slot.abandon()
        {
            // Without a driver there is nothing to cancel.
            let _ = self.shared.mailbox.post(Message::Cancel(Arc::clone(slot)));
        }
    }
}

impl<T> fmt::Debug for OpFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Unsent(_) => "OpFuture(unsent)",
            Stage::Refused(_) => "OpFuture(refused)",
            Stage::Sent(_) => "OpFuture(sent)",
            Stage::Done => "OpFuture(done)",
        })
    }
}
