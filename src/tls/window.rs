//! A byte queue in one piece of memory: filled at the end, consumed at the front, without a copy per byte or per record.

/// Memory kept by an empty queue. More stays only as long as it is in use.
const KEPT: usize = 256 * 1024;
const FIRST: usize = 4 * 1024;

/// `buffer[start..end]` is what is queued; all of `buffer` is initialised.
#[derive(Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Room for at least `len` more bytes, behind what is queued; [`Window::advance`] says how many were written.
    pub(super) fn spare(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() - self.end < len && self.start >= self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let needed = self.end.saturating_add(len);
        if self.buffer.len() < needed {
            self.buffer.resize(needed.max(2 * self.buffer.len()).max(FIRST), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Queues the first `len` bytes of the room.
    pub(super) fn advance(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.len());
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    /// Removes up to `len` bytes from the front.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_a_queue(steps in prop::collection::vec((0usize..9000, 0usize..9000), 0..40)) {
            let mut window = Window::default();
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (append, consume) in steps {
                let bytes: Vec<u8> = (0..append).map(|_| { next = next.wrapping_add(1); next }).collect();
                window.append(&bytes);
                model.extend(bytes);
                window.consume(consume);
                model.drain(..consume.min(model.len()));
                prop_assert_eq!(window.filled(), &*model.make_contiguous());
            }
        }
    }

    #[test]
    fn memory_is_given_back_and_does_not_grow_in_use() {
        let mut window = Window::default();
        window.append(&vec![1; 4 * KEPT]);
        window.consume(usize::MAX);
        assert_eq!((window.len(), window.buffer.len()), (0, 0));
        window.append(&[1; 100]);
        for _ in 0..100_000 {
            window.append(&[2; 100]);
            window.consume(100);
        }
        assert!(window.buffer.len() <= FIRST, "{}", window.buffer.len());
    }
}
