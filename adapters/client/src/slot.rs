//! Where an operation's future and the driver meet.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use settee::engine::OpId;
use settee::error::{ErrorKind, OpError};

use crate::reply::Reply;

/// What an operation ends with.
pub(crate) type Outcome = Result<Reply, OpError>;

/// One per operation: the future waits on it, the driver completes it once.
#[derive(Debug)]
pub(crate) struct Slot {
    phase: Mutex<Phase>,
    /// The driver's note of what the engine calls the operation; [`NOT_TAKEN`] before it has taken it.
    op: AtomicU64,
    /// The future was dropped. Only a hint that saves work: what counts is `phase`, and the message that follows.
    abandoned: AtomicBool,
}

const NOT_TAKEN: u64 = u64::MAX;

#[derive(Debug)]
enum Phase {
    Waiting(Option<Waker>),
    Done(Outcome),
    /// The result was taken, or the future was dropped.
    Gone,
}

impl Slot {
    /// A slot whose completion wakes `waker`.
    pub(crate) const fn new(waker: Option<Waker>) -> Self {
        Self {
            phase: Mutex::new(Phase::Waiting(waker)),
            op: AtomicU64::new(NOT_TAKEN),
            abandoned: AtomicBool::new(false),
        }
    }

    /// The future's side: the outcome, or a promise to wake.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut phase = self.lock();
        match &mut *phase {
            Phase::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Phase::Done(_) | Phase::Gone => match mem::replace(&mut *phase, Phase::Gone) {
                Phase::Done(outcome) => Poll::Ready(outcome),
                Phase::Waiting(_) | Phase::Gone => Poll::Ready(Err(OpError::with_detail(
                    ErrorKind::RequestCanceled,
                    "the future was polled after it had completed",
                ))),
            },
        }
    }

    /// The future's side: nobody waits any more. Whether the driver has to be told.
    pub(crate) fn abandon(&self) -> bool {
        self.abandoned.store(true, Ordering::Relaxed);
        let mut phase = self.lock();
        let before = mem::replace(&mut *phase, Phase::Gone);
        drop(phase);
        // `before` may own a waker or a result, whose drop runs foreign code: not under the lock.
        matches!(before, Phase::Waiting(_))
    }

    /// The driver's side: stores the outcome and wakes. A second outcome, or one that nobody waits for, is dropped.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let mut phase = self.lock();
        if let Phase::Waiting(waker) = &mut *phase {
            let waker = waker.take();
            *phase = Phase::Done(outcome);
            drop(phase);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// The driver's side: whether the future was dropped.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// The driver's side: the engine took the operation.
    pub(crate) fn set_op(&self, op: OpId) {
        self.op.store(op.to_raw(), Ordering::Relaxed);
    }

    /// The driver's side: what the engine calls the operation, if it has taken it.
    pub(crate) fn op(&self) -> Option<OpId> {
        Some(self.op.load(Ordering::Relaxed)).filter(|&raw| raw != NOT_TAKEN).map(OpId::from_raw)
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        // Nothing panics while it is held, and the state is valid at every point.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use settee::engine::Response;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_outcome_wakes_once_and_is_taken_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let slot = Slot::new(None);
        assert!(slot.poll(&cx).is_pending());
        assert!(slot.poll(&cx).is_pending());
        slot.complete(Ok(Reply::Response(Response::Ready)));
        slot.complete(Err(OpError::with_detail(ErrorKind::RequestCanceled, "late")));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(slot.poll(&cx), Poll::Ready(Ok(Reply::Response(Response::Ready))));
        assert!(matches!(slot.poll(&cx), Poll::Ready(Err(_))));
    }

    #[test]
    fn an_abandoned_slot_takes_no_outcome_and_the_driver_is_told_only_while_it_waits() {
        let slot = Slot::new(None);
        assert!(slot.abandon());
        assert!(slot.is_abandoned());
        slot.complete(Ok(Reply::Response(Response::Ready)));
        assert!(slot.is_abandoned());

        let slot = Slot::new(None);
        slot.complete(Ok(Reply::Response(Response::Ready)));
        assert!(!slot.abandon());
    }
}
