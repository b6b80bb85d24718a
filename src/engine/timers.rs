//! Deadlines: a heap that knows where each entry stands, so that one can be moved or taken out.

use std::time::Instant;

/// Deadlines by small index, the earliest at hand. Setting, moving and clearing cost O(log n) and, once the heap has
/// been as large before, no allocation.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// A binary heap of (deadline, index).
    heap: Vec<(Instant, u32)>,
    /// Where each index stands in the heap.
    place: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Deadlines {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    /// Sets or moves the deadline of `index`.
    pub(crate) fn set(&mut self, index: u32, at: Instant) {
        let i = index as usize;
        if self.place.len() <= i {
            self.place.resize(i + 1, NOWHERE);
        }
        if self.place[i] == NOWHERE {
            self.place[i] = self.heap.len() as u32;
            self.heap.push((at, index));
            self.up(self.heap.len() - 1);
        } else {
            let at_place = self.place[i] as usize;
            let before = std::mem::replace(&mut self.heap[at_place].0, at);
            if at < before {
                self.up(at_place);
            } else {
                self.down(at_place);
            }
        }
    }

    /// Removes the deadline of `index`, if it has one.
    pub(crate) fn clear(&mut self, index: u32) {
        let Some(place) = self.place.get_mut(index as usize) else { return };
        let place = std::mem::replace(place, NOWHERE);
        if place == NOWHERE {
            return;
        }
        let at = place as usize;
        let last = self.heap.len() - 1;
        self.heap.swap(at, last);
        self.heap.pop();
        if at < last {
            self.place[self.heap[at].1 as usize] = place;
            // The entry that took the place may belong further up or further down; one of the two does nothing.
            self.up(at);
            self.down(at);
        }
    }

    /// Takes the index with the earliest deadline, if that is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let &(at, index) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.clear(index);
        Some(index)
    }

    /// Every index that has a deadline, in no particular order but the same for the same history.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.heap.iter().map(|&(_, index)| index)
    }

    fn up(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.heap[at] = self.heap[parent];
            self.place[self.heap[at].1 as usize] = at as u32;
            at = parent;
        }
        self.heap[at] = entry;
        self.place[entry.1 as usize] = at as u32;
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
            self.place[self.heap[at].1 as usize] = at as u32;
            at = child;
        }
        self.heap[at] = entry;
        self.place[entry.1 as usize] = at as u32;
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
        fn agrees_with_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u32..12, 0u64..30), 1..200)) {
            let mut deadlines = Deadlines::default();
            let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
            for (what, index, millis) in steps {
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
                        let popped = deadlines.pop_due(at);
                        let first = model.iter().map(|(&index, &at)| (at, index)).min();
                        let expected = first.filter(|&(due, _)| due <= at).map(|(_, index)| index);
                        prop_assert_eq!(popped, expected);
                        expected.map(|index| model.remove(&index));
                    }
                }
                prop_assert_eq!(deadlines.next(), model.values().min().copied());
                prop_assert_eq!(deadlines.indexes().count(), model.len());
            }
        }
    }
}
