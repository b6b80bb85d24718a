//! Operations that the engine has no room for, in order, each with the deadline it had when it came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settee::engine::{Durability, Operation};
use settee::error::{ErrorKind, OpError};

use crate::slot::Slot;

/// The least time between two searches for operations that are due.
const SWEEP_INTERVAL: Duration = Duration::from_millis(10);
/// Cancelled operations up to this number stay until their turn comes.
const CANCELLED_KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Backlog {
    queue: VecDeque<Waiting>,
    /// No operation is due before.
    next_sweep: Option<Instant>,
    cancelled: usize,
    kv_timeout: Duration,
    kv_durable_timeout: Duration,
}

#[derive(Debug)]
struct Waiting {
    operation: Operation,
    slot: Arc<Slot>,
    timeout: Duration,
    /// `None`: beyond what the clock can express.
    deadline: Option<Instant>,
}

impl Backlog {
    pub(super) const fn new(kv_timeout: Duration, kv_durable_timeout: Duration) -> Self {
        Self { queue: VecDeque::new(), next_sweep: None, cancelled: 0, kv_timeout, kv_durable_timeout }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, operation: Operation, slot: Arc<Slot>, now: Instant) {
        let default = match operation.kind.durability() {
            Durability::None => self.kv_timeout,
            _ => self.kv_durable_timeout,
        };
        let timeout = operation.timeout.unwrap_or(default);
        let deadline = now.checked_add(timeout);
        if let Some(deadline) = deadline {
            self.next_sweep = Some(self.next_sweep.map_or(deadline, |next| next.min(deadline)));
        }
        self.queue.push_back(Waiting { operation, slot, timeout, deadline });
    }

    /// The engine had no room for the one that was popped last.
    pub(super) fn push_back_to_front(&mut self, operation: Operation, slot: Arc<Slot>, now: Instant) {
        let timeout = operation.timeout.unwrap_or(self.kv_timeout);
        self.queue.push_front(Waiting { operation, slot, timeout, deadline: now.checked_add(timeout) });
    }

    /// The first one that somebody still waits for, its timeout less the time it has waited here.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Operation, Arc<Slot>)> {
        while let Some(mut waiting) = self.queue.pop_front() {
            if waiting.slot.is_abandoned() {
                self.cancelled = self.cancelled.saturating_sub(1);
            } else if waiting.is_due(now) {
                waiting.time_out();
            } else {
                waiting.operation.timeout =
                    Some(waiting.deadline.map_or(waiting.timeout, |at| at.saturating_duration_since(now)));
                return Some((waiting.operation, waiting.slot));
            }
        }
        self.next_sweep = None;
        self.cancelled = 0;
        None
    }

    /// One of these operations was cancelled: memory follows when they are half of all.
    pub(super) fn note_cancelled(&mut self) {
        self.cancelled += 1;
        if self.cancelled > CANCELLED_KEPT && self.cancelled > self.queue.len() / 2 {
            self.queue.retain(|waiting| !waiting.slot.is_abandoned());
            self.cancelled = 0;
        }
    }

    /// Ends those that are due, and returns when to look again.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.queue.retain(|waiting| {
                let is_due = waiting.is_due(now);
                if is_due {
                    waiting.time_out();
                }
                !is_due
            });
            let earliest = self.queue.iter().filter_map(|waiting| waiting.deadline).min();
            // A crowd whose deadlines lie close together must not be searched for each of them.
            self.next_sweep = earliest.map(|at| at.max(now + SWEEP_INTERVAL));
        }
        self.next_sweep
    }

    /// Everything, to be failed by the caller.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Slot>> {
        self.next_sweep = None;
        self.queue.drain(..).map(|waiting| waiting.slot)
    }
}

impl Waiting {
    fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }

    fn time_out(&self) {
        let mut error = OpError::with_detail(
            ErrorKind::UnambiguousTimeout,
            "never sent: as many operations are under way as the client takes",
        );
        let context = error.context_mut();
        context.operation = self.operation.kind.name();
        context.timeout = Some(self.timeout);
        self.slot.complete(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use settee::engine::{CollectionRef, OpKind};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn get(key: &'static str, timeout: Option<Duration>) -> Operation {
        let mut operation =
            Operation::new(CollectionRef::from_raw(0), Bytes::from_static(key.as_bytes()), OpKind::Get);
        operation.timeout = timeout;
        operation
    }

    fn timed_out(slot: &Slot) -> bool {
        match slot.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => error.kind() == ErrorKind::UnambiguousTimeout,
            _ => false,
        }
    }

    #[test]
    fn order_is_kept_and_waiting_here_counts() {
        let (mut backlog, now) = (Backlog::new(2 * SECOND, 10 * SECOND), Instant::now());
        let slot = || Arc::new(Slot::new(None));
        backlog.push(get("a", None), slot(), now);
        backlog.push(get("b", Some(5 * SECOND)), slot(), now);
        let (first, _slot) = backlog.pop(now + SECOND).unwrap();
        assert_eq!((&first.key[..], first.timeout), (&b"a"[..], Some(SECOND)));
        backlog.push_back_to_front(first, slot(), now + SECOND);
        assert_eq!(&backlog.pop(now + SECOND).unwrap().0.key[..], b"a");
        assert_eq!(backlog.pop(now + SECOND).unwrap().0.timeout, Some(4 * SECOND));
        assert!(backlog.pop(now).is_none());
    }

    #[test]
    fn what_is_due_ends_without_being_sent() {
        let (mut backlog, now) = (Backlog::new(SECOND, 10 * SECOND), Instant::now());
        let (short, long) = (Arc::new(Slot::new(None)), Arc::new(Slot::new(None)));
        backlog.push(get("long", Some(3 * SECOND)), Arc::clone(&long), now);
        backlog.push(get("short", None), Arc::clone(&short), now);
        assert_eq!(backlog.sweep(now), Some(now + SECOND));
        assert!(!timed_out(&short));
        assert_eq!(backlog.sweep(now + SECOND), Some(now + 3 * SECOND));
        assert!(timed_out(&short));
        assert!(!timed_out(&long));
    }

    #[test]
    fn memory_of_cancelled_operations_comes_back() {
        let (mut backlog, now) = (Backlog::new(SECOND, 10 * SECOND), Instant::now());
        let slots: Vec<_> = (0..1000).map(|_| Arc::new(Slot::new(None))).collect();
        for slot in &slots {
            backlog.push(get("k", None), Arc::clone(slot), now);
        }
        for slot in slots.iter().take(900) {
            assert!(slot.abandon());
            backlog.note_cancelled();
        }
        assert!(backlog.queue.len() < 300, "{}", backlog.queue.len());
    }

    #[test]
    fn endless_timeouts_do_not_overflow() {
        let (mut backlog, now) = (Backlog::new(SECOND, SECOND), Instant::now());
        backlog.push(get("k", Some(Duration::MAX)), Arc::new(Slot::new(None)), now);
        assert_eq!(backlog.sweep(now), None);
        assert_eq!(backlog.pop(now).unwrap().0.timeout, Some(Duration::MAX));
    }
}
