//! Fuzzed bytes as choices; when they are used up, each choice is the first.

pub(super) struct Choices<'d>(&'d [u8]);

impl<'d> Choices<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    pub(super) fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub(super) fn long(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// A number below `count`; 0 if that is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        if count <= 1 { 0 } else { usize::from(self.byte()) % count }
    }

    /// One in `count`, and never when the choices are used up.
    pub(super) fn one_in(&mut self, count: u8) -> bool {
        self.byte() % count == 1
    }

    pub(super) fn of<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.below(table.len())]
    }

    /// Up to `max` of the following bytes.
    pub(super) fn bytes(&mut self, max: usize) -> &'d [u8] {
        let len = (usize::from(self.byte()) % (max + 1)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }
}
