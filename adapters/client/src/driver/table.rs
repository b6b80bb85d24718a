//! From the engine's numbers to the slots that wait for them: one vector, no hashing.

use std::sync::Arc;

use settee::engine::OpId;

use crate::slot::Slot;

#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Option<(OpId, Arc<Slot>)>>,
    len: usize,
}

impl Table {
    pub(super) fn insert(&mut self, op: OpId, slot: Arc<Slot>) {
        slot.set_op(op);
        let index = op.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(place) = self.places.get_mut(index) {
            self.len += usize::from(place.replace((op, slot)).is_none());
        }
    }

    /// The slot of exactly this operation, not of a later one with the same index.
    pub(super) fn remove(&mut self, op: OpId) -> Option<Arc<Slot>> {
        let (_, slot) = self.places.get_mut(op.index())?.take_if(|(id, _)| *id == op)?;
        self.len -= 1;
        Some(slot)
    }

    /// How many operations are under way.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Slot>> {
        self.len = 0;
        self.places.drain(..).flatten().map(|(_, slot)| slot)
    }
}
