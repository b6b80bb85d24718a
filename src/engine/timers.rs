//! Deadlines, each of which can be moved or taken out.

use std::collections::VecDeque;
use std::time::Instant;

/// Deadlines by small index, the earliest at hand.
///
/// Most operations get the same time, so most deadlines are set in the order in which they fall due. Those stand in a
/// queue: setting and clearing them costs next to nothing. The others stand in a heap, at O(log n). Once queue and heap
/// have been as large before, nothing allocates.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// (deadline, index), ascending; a cleared one has the index [`NOBODY`]. The first one is not cleared.
    queue: VecDeque<(Instant, u32)>,
    /// How many have left the queue's front: the place of an entry in the queue is counted from there.
    passed: u32,
    cleared: usize,
    /// A binary heap of (deadline, index).
    heap: Vec<(Instant, u32)>,
    /// Where each index stands.
    place: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// The number of the queue's entry, wrapping.
    Queue(u32),
    Heap(u32),
}

const NOBODY: u32 = u32::MAX;

impl Deadlines {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        let queued = self.queue.front().map(|&(at, _)| at);
        let heaped = self.heap.first().map(|&(at, _)| at);
        match (queued, heaped) {
            (Some(queued), Some(heaped)) => Some(queued.min(heaped)),
            (queued, heaped) => queued.or(heaped),
        }
    }

    /// How many deadlines are set.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() - self.cleared + self.heap.len()
    }

    /// Sets or moves the deadline of `index`.
    pub(crate) fn set(&mut self, index: u32, at: Instant) {
        self.clear(index);
        let i = index as usize;
        if self.place.len() <= i {
            self.place.resize(i + 1, Place::Nowhere);
        }
        if self.queue.back().is_none_or(|&(last, _)| last <= at) {
            self.place[i] = Place::Queue(self.passed.wrapping_add(self.queue.len() as u32));
            self.queue.push_back((at, index));
        } else {
            self.place[i] = Place::Heap(self.heap.len() as u32);
            self.heap.push((at, index));
            self.up(self.heap.len() - 1);
        }
    }

    /// Removes the deadline of `index`, if it has one.
    pub(crate) fn clear(&mut self, index: u32) {
        let Some(place) = self.place.get_mut(index as usize) else { return };
        match std::mem::replace(place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Queue(number) => self.clear_queued(number),
            Place::Heap(at) => self.clear_heaped(at),
        }
    }

    fn clear_queued(&mut self, number: u32) {
        let at = number.wrapping_sub(self.passed) as usize;
        if let Some(entry) = self.queue.get_mut(at) {
            entry.1 = NOBODY;
            self.cleared += 1;
        }
        while self.queue.front().is_some_and(|&(_, index)| index == NOBODY) {
            self.queue.pop_front();
            self.passed = self.passed.wrapping_add(1);
            self.cleared -= 1;
        }
        // Behind an entry that stays long the cleared ones must not pile up.
        if self.cleared > 64 && self.cleared > self.queue.len() / 4 * 3 {
            self.queue.retain(|&(_, index)| index != NOBODY);
            self.cleared = 0;
            for (place, &(_, index)) in self.queue.iter().enumerate() {
                self.place[index as usize] = Place::Queue(self.passed.wrapping_add(place as u32));
            }
        }
    }

    fn clear_heaped(&mut self, place: u32) {
        let at = place as usize;
        let last = self.heap.len() - 1;
        self.heap.swap(at, last);
        self.heap.pop();
        if at < last {
            self.place[self.heap[at].1 as usize] = Place::Heap(place);
            // The entry that took the place may belong further up or further down; one of the two does nothing.
            self.up(at);
            self.down(at);
        }
    }

    /// Takes the index with the earliest deadline, if that is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let queued = self.queue.front().copied();
        let heaped = self.heap.first().copied();
        let (at, index) = match (queued, heaped) {
            (Some(queued), Some(heaped)) => queued.min(heaped),
            (queued, heaped) => queued.or(heaped)?,
        };
        if at > now {
            return None;
        }
        self.clear(index);
        Some(index)
    }

    /// Every index that has a deadline, in no particular order but the same for the same history.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        let queued = self.queue.iter().map(|&(_, index)| index).filter(|&index| index != NOBODY);
        queued.chain(self.heap.iter().map(|&(_, index)| index))
    }

    fn up(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.heap[at] = self.heap[parent];
            self.place[self.heap[at].1 as usize] = Place::Heap(at as u32);
            at = parent;
        }
        self.heap[at] = entry;
        self.place[entry.1 as usize] = Place::Heap(at as u32);
    }

    fn down(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let mut child = 2 * at + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1] < self.heap[child] {
                child += 1;
            }
            if entry <= self.heap[child] {
                break;
            }
            self.heap[at] = self.heap[child];
            self.place[self.heap[at].1 as usize] = Place::Heap(at as u32);
            at = child;
        }
        self.heap[at] = entry;
        self.place[entry.1 as usize] = Place::Heap(at as u32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn base() -> Instant {
        static BASE: OnceLock<Instant> = OnceLock::new();
        #[expect(clippy::disallowed_methods, reason = "some instant has to be the first")]
        *BASE.get_or_init(Instant::now)
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            width in prop::sample::select(vec![12u32, 400]),
            steps in prop::collection::vec((0u8..4, 0u32..400, 0u64..30), 1..1500),
        ) {
            let mut deadlines = Deadlines::default();
            let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
            for (what, index, millis) in steps {
                let index = index % width;
                let at = base() + Duration::from_millis(millis);
                match what {
                    0 | 1 => {
                        deadlines.set(index, at);
                        model.insert(index, at);
                    }
                    2 => {
                        deadlines.clear(index);
                        model.remove(&index);
                    }
                    _ => {
                        // Which of several at one instant comes first is not promised.
                        let first = model.values().min().copied().filter(|&due| due <= at);
                        let popped = deadlines.pop_due(at);
                        prop_assert_eq!(popped.and_then(|index| model.remove(&index)), first);
                    }
                }
                prop_assert_eq!(deadlines.next(), model.values().min().copied());
                prop_assert_eq!(deadlines.indexes().count(), model.len());
                prop_assert_eq!(deadlines.len(), model.len());
            }
        }
    }
}
