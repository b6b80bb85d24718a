//! Operations that wait, in order.

use std::collections::VecDeque;

use super::OpId;

/// Waiting operations, oldest first. One that ends elsewhere stays in it as a stale entry until it comes to the front
/// or stale entries are half of all, so that leaving costs nothing and memory follows the operations that live.
#[derive(Debug, Default)]
pub(super) struct OpQueue {
    entries: VecDeque<OpId>,
    stale: usize,
}

impl OpQueue {
    pub(super) fn push(&mut self, op: OpId) {
        self.entries.push_back(op);
    }

    /// The oldest entry; it may be stale.
    pub(super) fn pop(&mut self) -> Option<OpId> {
        self.entries.pop_front()
    }

    /// How many operations wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.stale)
    }

    /// The entry that came last by [`OpQueue::pop`] was a stale one.
    pub(super) const fn was_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all entries; some may be stale.
    pub(super) fn take(&mut self) -> VecDeque<OpId> {
        self.stale = 0;
        std::mem::take(&mut self.entries)
    }

    /// One of the entries became stale.
    pub(super) fn left(&mut self, is_live: impl Fn(OpId) -> bool) {
        self.stale += 1;
        if self.stale * 2 > self.entries.len() + 32 {
            self.entries.retain(|&op| is_live(op));
            self.stale = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_the_operations_that_live() {
        let mut queue = OpQueue::default();
        for slot in 0..10_000 {
            queue.push(OpId { slot, generation: 0 });
            queue.left(|_| false);
        }
        assert!(queue.entries.len() < 100, "{}", queue.entries.len());
    }
}
