//! Which requests are under way on a connection: slot and generation make the opaque (FR-13).

use crate::ids::Opaque;
use crate::wire::Opcode;

/// The requests of one connection that have no answer yet, by opaque.
///
/// An opaque is a slot in its low half and the slot's generation in its high half. The slot of a request that was
/// given up stays reserved until its late answer comes, so that the answer meets nobody else's request.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u16>,
    live: usize,
    given_up: usize,
    window: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u16,
    state: State<T>,
}

#[derive(Debug)]
enum State<T> {
    Free,
    Live(Request<T>),
    GivenUp { opcode: Opcode },
}

/// One request under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<T> {
    pub(crate) tag: T,
    pub(crate) opcode: Opcode,
    /// Stream position of its first byte: nothing of it was written while this is not below what was.
    pub(crate) start: u64,
}

/// What an opaque stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    /// A request that waits for this answer; its slot is free again.
    Live(T),
    /// A request that was given up; its slot is free again.
    GivenUp,
    /// No request: never asked, or answered before (H18).
    Unknown,
    /// The answer names another operation than the request did: the stream is out of step.
    Mismatch(Opcode),
}

impl<T: Copy> InFlight<T> {
    /// At most `window` requests at a time, given-up ones included; more than 65,535 counts as that.
    pub(crate) fn new(window: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), live: 0, given_up: 0, window: window.clamp(1, 65_535) }
    }

    /// Requests that wait for an answer.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// Requests given up whose answer may still come.
    pub(crate) const fn given_up(&self) -> usize {
        self.given_up
    }

    /// Whether one more fits.
    pub(crate) const fn has_room(&self) -> bool {
        self.live + self.given_up < self.window
    }

    /// Enters a request; `None` when the window is full.
    pub(crate) fn insert(&mut self, request: Request<T>) -> Option<Opaque> {
        if !self.has_room() {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u16::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: 0, state: State::Free });
                index
            }
        };
        let slot = &mut self.slots[usize::from(index)];
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::Live(request);
        self.live += 1;
        Some(Opaque(u32::from(slot.generation) << 16 | u32::from(index)))
    }

    /// The operation an opaque belongs to, whether it waits or was given up.
    pub(crate) fn opcode(&self, opaque: Opaque) -> Option<Opcode> {
        match &self.slot(opaque)?.state {
            State::Free => None,
            State::Live(request) => Some(request.opcode),
            State::GivenUp { opcode } => Some(*opcode),
        }
    }

    /// Takes the request that an answer is for.
    pub(crate) fn take(&mut self, opaque: Opaque, opcode: Opcode) -> Taken<T> {
        let Some(slot) = self.slot_mut(opaque) else { return Taken::Unknown };
        let taken = match &slot.state {
            State::Free => return Taken::Unknown,
            State::Live(request) if request.opcode != opcode => return Taken::Mismatch(request.opcode),
            State::GivenUp { opcode: asked } if *asked != opcode => return Taken::Mismatch(*asked),
            State::Live(request) => Taken::Live(request.tag),
            State::GivenUp { .. } => Taken::GivenUp,
        };
        slot.state = State::Free;
        // The low half of an opaque that was found is a slot's index.
        self.free.push((opaque.0 & 0xffff) as u16);
        match taken {
            Taken::Live(_) => self.live -= 1,
            _ => self.given_up -= 1,
        }
        taken
    }

    /// Gives a request up: its answer will meet nobody, its opaque stays reserved until then.
    pub(crate) fn give_up(&mut self, opaque: Opaque) {
        let Some(slot) = self.slot_mut(opaque) else { return };
        if let State::Live(request) = &slot.state {
            slot.state = State::GivenUp { opcode: request.opcode };
            self.live -= 1;
            self.given_up += 1;
        }
    }

    /// Takes every waiting request, in the order in which they were written.
    pub(crate) fn drain(&mut self) -> Vec<Request<T>> {
        let mut requests: Vec<Request<T>> = self
            .slots
            .drain(..)
            .filter_map(|slot| match slot.state {
                State::Live(request) => Some(request),
                State::Free | State::GivenUp { .. } => None,
            })
            .collect();
        requests.sort_by_key(|request| request.start);
        self.free.clear();
        (self.live, self.given_up) = (0, 0);
        requests
    }

    fn slot(&self, opaque: Opaque) -> Option<&Slot<T>> {
        let slot = self.slots.get((opaque.0 & 0xffff) as usize)?;
        (u32::from(slot.generation) == opaque.0 >> 16).then_some(slot)
    }

    fn slot_mut(&mut self, opaque: Opaque) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut((opaque.0 & 0xffff) as usize)?;
        (u32::from(slot.generation) == opaque.0 >> 16).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(tag: u32) -> Request<u32> {
        Request { tag, opcode: Opcode::GET, start: u64::from(tag) }
    }

    #[test]
    fn fr_13_an_opaque_is_never_one_that_is_still_outstanding() {
        let mut inflight = InFlight::new(4);
        let first = inflight.insert(get(1)).unwrap();
        inflight.give_up(first);
        let second = inflight.insert(get(2)).unwrap();
        assert_ne!(first.0 & 0xffff, second.0 & 0xffff, "the slot of a request given up stays reserved");
        assert_eq!(inflight.take(first, Opcode::GET), Taken::GivenUp);
        let third = inflight.insert(get(3)).unwrap();
        assert_eq!(third.0 & 0xffff, first.0 & 0xffff);
        assert_ne!(third, first, "the generation differs");
        assert_eq!(inflight.take(first, Opcode::GET), Taken::Unknown);
        assert_eq!(inflight.take(third, Opcode::GET), Taken::Live(3));
    }

    #[test]
    fn h18_the_second_answer_to_one_opaque_meets_nobody() {
        let mut inflight = InFlight::new(4);
        let opaque = inflight.insert(get(1)).unwrap();
        assert_eq!(inflight.take(opaque, Opcode::GET), Taken::Live(1));
        assert_eq!(inflight.take(opaque, Opcode::GET), Taken::Unknown);
        assert_eq!(inflight.take(Opaque(0xdead_beef), Opcode::GET), Taken::Unknown);
    }

    #[test]
    fn an_answer_with_another_opcode_is_a_mismatch_and_takes_nothing() {
        let mut inflight = InFlight::new(4);
        let opaque = inflight.insert(get(1)).unwrap();
        assert_eq!(inflight.take(opaque, Opcode::SET), Taken::Mismatch(Opcode::GET));
        assert_eq!(inflight.live(), 1);
    }

    #[test]
    fn the_window_counts_requests_given_up_as_well() {
        let mut inflight = InFlight::new(2);
        let first = inflight.insert(get(1)).unwrap();
        inflight.insert(get(2)).unwrap();
        inflight.give_up(first);
        assert!(!inflight.has_room() && inflight.insert(get(3)).is_none());
        assert_eq!((inflight.live(), inflight.given_up()), (1, 1));
    }

    #[test]
    fn drain_returns_the_waiting_ones_in_stream_order() {
        let mut inflight = InFlight::new(8);
        let first = inflight.insert(get(1)).unwrap();
        inflight.insert(get(2)).unwrap();
        inflight.take(first, Opcode::GET);
        inflight.insert(get(3)).unwrap();
        let tags: Vec<u32> = inflight.drain().iter().map(|request| request.tag).collect();
        assert_eq!(tags, [2, 3]);
        assert_eq!((inflight.live(), inflight.given_up()), (0, 0));
    }
}
