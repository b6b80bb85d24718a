//! From the engine's numbers to the slots that wait for them: one vector, no hashing.

use std::sync::Arc;

use settee::engine::OpId;

use crate::slot::Slot;

#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Option<(OpId, Arc<Slot>)>>,
}

impl Table {
    pub(super) fn insert(&mut self, op: OpId, slot: Arc<Slot>) {
        slot.set_op(op);
        let index = op.index();
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        if let Some(place) = self.places.get_mut(index) {
            *place = Some((op, slot));
        }
    }

    /// The slot of exactly this operation, not of a later one with the same index.
    pub(super) fn remove(&mut self, op: OpId) -> Option<Arc<Slot>> {
        self.places.get_mut(op.index())?.take_if(|(id, _)| *id == op).map(|(_, slot)| slot)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Slot>> {
        self.places.drain(..).flatten().map(|(_, slot)| slot)
    }
}
