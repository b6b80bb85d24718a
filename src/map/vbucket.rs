//! Key to vbucket to slot.

/// Maps with more rows than this cannot be reached by a 15-bit hash and are refused.
pub const MAX_VBUCKETS: usize = 32_768;

/// Cells that stand for "nobody" and for "an index that no server can have".
pub(super) const NOBODY: i16 = -1;
pub(super) const BEYOND: i16 = i16::MAX;

/// The 15-bit hash of a key: bits 16 to 30 of its CRC-32 (VB-1, VB-3).
///
/// The key is the document key alone, without the prefix of its collection.
pub fn crc_hash15(key: &[u8]) -> u16 {
    ((crc32fast::hash(key) >> 16) & 0x7fff) as u16
}

/// Rows of one map: cells of all rows in one array, `starts` holding one more entry than there are rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) cells: Vec<i16>,
    pub(super) starts: Vec<u32>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub(super) fn row(&self, vbucket: usize) -> Option<&[i16]> {
        let start = *self.starts.get(vbucket)? as usize;
        let end = *self.starts.get(vbucket + 1)? as usize;
        self.cells.get(start..end)
    }

    fn longest(&self) -> usize {
        (0..self.len()).filter_map(|v| self.row(v)).map(<[i16]>::len).max().unwrap_or(0)
    }
}

/// The vbucket map of a bucket. Look-ups take constant time and allocate nothing.
///
/// Rows may differ in length and in what they hold from `numReplicas` (R-ROW-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VbucketMap {
    pub(super) current: Rows,
    pub(super) forward: Option<Rows>,
    /// The slot that each map index means (R-IDX-2, R-IDX-3), `NOBODY` where none does (R-IDX-4).
    pub(super) slots: Vec<i16>,
    pub(super) configured_replicas: Option<u8>,
    pub(super) server_list_len: usize,
}

impl VbucketMap {
    /// The number of vbuckets: that of rows, never 0, at most [`MAX_VBUCKETS`], not always a power of two.
    pub fn count(&self) -> usize {
        self.current.len()
    }

    /// The vbucket of a key (VB-2: by modulo, not by mask).
    pub fn vbucket(&self, key: &[u8]) -> u16 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        (usize::from(crc_hash15(key)) % count) as u16
    }

    /// The slot that holds the active copy; `None` = unassigned at the moment (R-ROW-1), or no such vbucket.
    pub fn active(&self, vbucket: u16) -> Option<usize> {
        self.cell(&self.current, vbucket, 0)
    }

    /// The slot that holds replica `k`, counted from 1; `None` = not available (R-ROW-2). `k` = 0 is never available.
    pub fn replica(&self, vbucket: u16, k: usize) -> Option<usize> {
        if k == 0 { None } else { self.cell(&self.current, vbucket, k) }
    }

    /// Slots of the available replicas, in row order.
    pub fn replicas(&self, vbucket: u16) -> impl Iterator<Item = usize> {
        let row = self.current.row(usize::from(vbucket)).unwrap_or_default();
        row.iter().skip(1).filter_map(|cell| self.slot_of(*cell))
    }

    /// A rebalance runs and the map says where its vbuckets will be.
    pub fn has_forward(&self) -> bool {
        self.forward.is_some()
    }

    /// The slot that will hold the active copy after the running rebalance; `None` without a forward map too.
    pub fn forward_active(&self, vbucket: u16) -> Option<usize> {
        self.cell(self.forward.as_ref()?, vbucket, 0)
    }

    /// Configured replicas; where the map does not say, the longest row less one. Informational: rows decide.
    pub fn num_replicas(&self) -> usize {
        self.configured_replicas.map_or_else(|| self.current.longest().saturating_sub(1), usize::from)
    }

    /// `numReplicas` as the config states it.
    pub fn configured_replicas(&self) -> Option<u8> {
        self.configured_replicas
    }

    /// A raw row: map indexes, negative = nobody. Indexes too large for any map read as `i16::MAX`.
    pub fn row(&self, vbucket: u16) -> Option<&[i16]> {
        self.current.row(usize::from(vbucket))
    }

    /// A raw row of the forward map.
    pub fn forward_row(&self, vbucket: u16) -> Option<&[i16]> {
        self.forward.as_ref()?.row(usize::from(vbucket))
    }

    /// The slot that a map index means.
    pub fn slot_of_index(&self, index: usize) -> Option<usize> {
        self.slots.get(index).and_then(|slot| usize::try_from(*slot).ok())
    }

    /// The length of `serverList`.
    pub fn server_list_len(&self) -> usize {
        self.server_list_len
    }

    pub(super) fn slot_of(&self, cell: i16) -> Option<usize> {
        self.slot_of_index(usize::try_from(cell).ok()?)
    }

    fn cell(&self, rows: &Rows, vbucket: u16, k: usize) -> Option<usize> {
        self.slot_of(*rows.row(usize::from(vbucket))?.get(k)?)
    }
}
