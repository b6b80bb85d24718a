//! A bucket: its map, its documents and its collections.

use crate::NodeId;
use crate::clock::{Clock, Seeded};
use crate::collections::Collections;
use crate::hash::vbucket_of;
use crate::ketama::Ring;
use crate::node::Node;
use crate::store::Vbucket;
use settee::wire::Status;
use std::collections::BTreeMap;

/// Who holds a vbucket: position 0 is the active copy, the others are replicas; `None` is nobody.
pub type Row = Vec<Option<NodeId>>;

/// What a bucket is made of and how its keys are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketKind {
    /// On disk, placed by vbuckets.
    #[default]
    Couchbase,
    /// In memory, placed by vbuckets.
    Ephemeral,
    /// In memory, placed by a ketama ring, without replicas, collections and maps over the data service.
    Memcached,
}

impl BucketKind {
    /// `bucketType`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Couchbase => "membase",
            Self::Ephemeral => "ephemeral",
            Self::Memcached => "memcached",
        }
    }

    /// `nodeLocator`.
    pub(crate) const fn locator(self) -> &'static str {
        match self {
            Self::Couchbase | Self::Ephemeral => "vbucket",
            Self::Memcached => "ketama",
        }
    }
}

/// Whether and how a bucket is put to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hibernation {
    /// What SELECT_BUCKET answers.
    pub(crate) status: Status,
}

/// A configuration text for one node, in both forms in which it is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) rev: i64,
    pub(crate) epoch: i64,
    pub(crate) json: Vec<u8>,
    pub(crate) snappy: Vec<u8>,
}

/// One bucket of the cluster.
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// Identity of this incarnation, hexadecimal.
    pub(crate) uuid: String,
    pub(crate) kind: BucketKind,
    pub(crate) replicas: usize,
    /// When its map was last built.
    pub(crate) rev: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) forward: Option<Vec<Row>>,
    /// By vbucket; of a memcached bucket by node, as far as nodes were used.
    pub(crate) vbuckets: Vec<Vbucket>,
    /// The ring of a memcached bucket, and the revision that it was made for.
    pub(crate) ring: (i64, Ring),
    pub(crate) hibernation: Option<Hibernation>,
    pub(crate) collections: Collections,
    /// Nodes that have the configuration and no data engine yet (status 0x0d).
    pub(crate) config_only: Vec<NodeId>,
    /// Nodes that do not know the bucket yet (SELECT_BUCKET answers 0x01).
    pub(crate) absent: Vec<NodeId>,
    pub(crate) dropped: bool,
    pub(crate) rendered: BTreeMap<NodeId, Rendered>,
}

impl Bucket {
    pub(crate) fn new(
        name: &str,
        kind: BucketKind,
        vbuckets: u16,
        replicas: usize,
        nodes: &[NodeId],
        rng: &mut Seeded,
    ) -> Self {
        let (vbuckets, replicas) = if kind == BucketKind::Memcached { (0, 0) } else { (vbuckets, replicas) };
        Self {
            name: name.to_owned(),
            kind,
            uuid: crate::sasl::hex(&rng.bytes::<16>()),
            replicas,
            rev: 0,
            rows: spread(vbuckets, replicas, nodes),
            forward: None,
            vbuckets: (0..vbuckets).map(|_| Vbucket::new(rng.next() >> 16)).collect(),
            ring: (0, Ring::default()),
            hibernation: None,
            collections: Collections::default(),
            config_only: Vec::new(),
            absent: Vec::new(),
            dropped: false,
            rendered: BTreeMap::new(),
        }
    }

    /// The number of vbuckets, fixed for the life of the bucket.
    pub(crate) fn vbucket_count(&self) -> u16 {
        u16::try_from(self.rows.len()).unwrap_or(u16::MAX)
    }

    pub(crate) fn is_active(&self, vbucket: u16, node: NodeId) -> bool {
        if self.kind == BucketKind::Memcached {
            return usize::from(vbucket) == node.0;
        }
        self.rows.get(usize::from(vbucket)).and_then(|row| row.first()) == Some(&Some(node))
    }

    /// Who should have a key of a memcached bucket.
    pub(crate) fn ketama_owner(&mut self, key: &[u8], nodes: &[Node]) -> Option<NodeId> {
        if self.ring.0 != self.rev {
            self.ring = (self.rev, Ring::of(nodes));
        }
        self.ring.1.owner(key)
    }

    /// Which of the `vbuckets` has a key.
    pub(crate) fn place_of(&self, key: &[u8], nodes: &[Node]) -> Option<usize> {
        if self.kind == BucketKind::Memcached {
            return Ring::of(nodes).owner(key).map(|node| node.0);
        }
        Some(usize::from(vbucket_of(key, self.vbucket_count())))
    }

    /// The documents that a node of a memcached bucket has.
    pub(crate) fn of_node(&mut self, node: NodeId, rng: &mut Seeded) -> Option<&mut Vbucket> {
        while self.vbuckets.len() <= node.0 {
            self.vbuckets.push(Vbucket::new(rng.next() >> 16));
        }
        self.vbuckets.get_mut(node.0)
    }

    pub(crate) fn is_replica(&self, vbucket: u16, node: NodeId) -> bool {
        self.rows
            .get(usize::from(vbucket))
            .is_some_and(|row| row.iter().skip(1).any(|copy| *copy == Some(node)))
    }

    /// A failed node leaves every row, later copies move left, nobody fills the end (`cluster-maps.md` P14).
    /// Returns the vbuckets that got another active copy.
    pub(crate) fn without_node(&mut self, node: NodeId) -> Vec<u16> {
        let mut promoted = Vec::new();
        for (vbucket, row) in (0_u16..).zip(&mut self.rows) {
            let width = row.len();
            if row.first() == Some(&Some(node)) {
                promoted.push(vbucket);
            }
            row.retain(|copy| *copy != Some(node));
            row.resize(width, None);
        }
        self.forward = None;
        promoted
    }

    pub(crate) fn items(&self) -> usize {
        self.vbuckets.iter().map(Vbucket::len).sum()
    }

    /// Some document of a collection among the vbuckets that are active on this node.
    pub(crate) fn any_document(
        &self,
        node: NodeId,
        prefix: &[u8],
        clock: &Clock,
    ) -> Option<(&[u8], &crate::store::Doc)> {
        (0_u16..)
            .zip(&self.vbuckets)
            .filter(|(vbucket, _)| self.is_active(*vbucket, node))
            .find_map(|(_, vbucket)| vbucket.first_of(prefix, clock))
    }
}

/// Spreads vbuckets over nodes in runs, replicas on the nodes that follow. More replicas than other nodes leave
/// places empty: rows are as wide as the longest chain (P7).
pub(crate) fn spread(vbuckets: u16, replicas: usize, nodes: &[NodeId]) -> Vec<Row> {
    let width = 1 + replicas.min(nodes.len().saturating_sub(1));
    (0..usize::from(vbuckets))
        .map(|vbucket| {
            let first = vbucket * nodes.len() / usize::from(vbuckets).max(1);
            // Replicas of one node's vbuckets go round all the others.
            let others = nodes.len().saturating_sub(1).max(1);
            (0..width)
                .map(|copy| match copy {
                    0 => nodes.get(first).copied(),
                    _ => nodes.get((first + 1 + (vbucket + copy - 1) % others) % nodes.len()).copied(),
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_gets_its_share_and_no_node_holds_two_copies() {
        let nodes = [NodeId(0), NodeId(1), NodeId(2)];
        let rows = spread(64, 2, &nodes);
        for row in &rows {
            assert_eq!(row.len(), 3);
            assert!(nodes.iter().all(|node| row.contains(&Some(*node))), "{row:?}");
        }
        for node in nodes {
            let share = rows.iter().filter(|row| row[0] == Some(node)).count();
            assert!((21..=22).contains(&share), "{share}");
        }
        assert!(spread(8, 1, &nodes[..1]).iter().all(|row| row == &[Some(NodeId(0))]));
    }

    #[test]
    fn p14_a_failed_node_leaves_the_rows() {
        let nodes = [NodeId(0), NodeId(1)];
        let mut bucket = Bucket::new("b", BucketKind::Couchbase, 4, 1, &nodes, &mut Seeded::new(1));
        assert_eq!(bucket.without_node(NodeId(0)), [0, 1]);
        assert!(bucket.rows.iter().all(|row| row == &[Some(NodeId(1)), None]));
        assert_eq!(bucket.without_node(NodeId(1)), [0, 1, 2, 3]);
        assert!(bucket.rows.iter().all(|row| row == &[None, None]));
    }
}
