//! The ketama ring that places keys of memcached buckets (SDK RFC 0026, R-IDX-5).

use std::fmt;

use md5::{Digest, Md5};

/// Hashes per node; each gives four points.
const HASHES_PER_NODE: u32 = 40;

/// More members than this are not a memcached bucket but an attack on memory (160 points each).
pub const MAX_RING_MEMBERS: usize = 1024;

/// A ring of (point, slot), 160 points a member.
#[derive(Clone, PartialEq, Eq)]
pub struct Ketama {
    points: Vec<(u32, u16)>,
    members: Vec<(String, u16)>,
}

impl Ketama {
    /// The ring over members given as authority (`host:port` of the default network, plain KV port) and slot.
    ///
    /// Members beyond [`MAX_RING_MEMBERS`] are left out. Where two members claim one point, the one whose authority
    /// sorts lower keeps it: no source rules on it, and the order of the list must not matter.
    pub fn new(members: impl IntoIterator<Item = (String, u16)>) -> Self {
        let members: Vec<_> = members.into_iter().take(MAX_RING_MEMBERS).collect();
        let mut by_authority: Vec<_> = members.iter().collect();
        by_authority.sort();
        let mut points = Vec::with_capacity(by_authority.len() * HASHES_PER_NODE as usize * 4);
        for (authority, slot) in by_authority {
            for round in 0..HASHES_PER_NODE {
                let mut hash = Md5::new();
                hash.update(authority.as_bytes());
                hash.update(format!("-{round}").as_bytes());
                let digest = hash.finalize();
                let (words, _) = digest.as_slice().as_chunks::<4>();
                points.extend(words.iter().map(|word| (u32::from_le_bytes(*word), *slot)));
            }
        }
        // Stable, so the lower authority stays first among equals and survives.
        points.sort_by_key(|(point, _)| *point);
        points.dedup_by_key(|(point, _)| *point);
        Self { points, members }
    }

    /// The slot that owns a key; `None` only for an empty ring. Logarithmic in the points, allocates nothing.
    pub fn slot(&self, key: &[u8]) -> Option<usize> {
        let hash = Self::hash(key);
        let at = self.points.partition_point(|(point, _)| *point < hash);
        self.points.get(at).or_else(|| self.points.first()).map(|(_, slot)| usize::from(*slot))
    }

    /// The point of a key: the first four bytes of its MD5, little endian.
    pub fn hash(key: &[u8]) -> u32 {
        let digest = Md5::digest(key);
        digest.as_slice().first_chunk::<4>().map_or(0, |word| u32::from_le_bytes(*word))
    }

    /// All points with their slots, ascending.
    pub fn points(&self) -> impl Iterator<Item = (u32, usize)> {
        self.points.iter().map(|(point, slot)| (*point, usize::from(*slot)))
    }

    /// The members as given: authority and slot.
    pub fn members(&self) -> impl Iterator<Item = (&str, usize)> {
        self.members.iter().map(|(authority, slot)| (authority.as_str(), usize::from(*slot)))
    }
}

impl fmt::Debug for Ketama {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ketama").field("members", &self.members).field("points", &self.points.len()).finish()
    }
}
