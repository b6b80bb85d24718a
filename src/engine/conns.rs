//! Connections by number: which link each belongs to.

use super::ConnId;

/// Connections by index: which link each belongs to, and the generation that tells it from an earlier one.
#[derive(Debug, Default)]
pub(super) struct ConnTable {
    entries: Vec<(u32, Option<u32>)>,
    free: Vec<u32>,
}

impl ConnTable {
    /// In place of a link: the connection to a name server.
    pub(super) const RESOLVER: u32 = u32::MAX;

    pub(super) fn open(&mut self, link: u32) -> ConnId {
        if let Some(slot) = self.free.pop() {
            let (generation, owner) = &mut self.entries[slot as usize];
            *generation = generation.wrapping_add(1);
            *owner = Some(link);
            return ConnId { slot, generation: *generation };
        }
        let slot = self.entries.len() as u32;
        self.entries.push((0, Some(link)));
        ConnId { slot, generation: 0 }
    }

    pub(super) fn link(&self, conn: ConnId) -> Option<u32> {
        let &(generation, link) = self.entries.get(conn.slot as usize)?;
        link.filter(|_| generation == conn.generation)
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        if self.link(conn).is_some() {
            self.entries[conn.slot as usize].1 = None;
            self.free.push(conn.slot);
        }
    }
}
