//! Where the keys of memcached buckets belong (SDK RFC 0026, `kv-protocol.md` 5.4).

use crate::NodeId;
use crate::listener::Listener;
use crate::node::Node;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;

/// Points on a circle and the nodes that own them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring(BTreeMap<u32, NodeId>);

impl Ring {
    /// The ring of the member nodes that have the data service without TLS.
    pub(crate) fn of(nodes: &[Node]) -> Self {
        Self::over(nodes.iter().enumerate().filter(|(_, node)| node.member).filter_map(|(index, node)| {
            let port = node.address.port(Listener::KV)?;
            let host = &node.address.host;
            let authority =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            Some((authority, NodeId(index)))
        }))
    }

    fn over(members: impl Iterator<Item = (String, NodeId)>) -> Self {
        let mut points = BTreeMap::new();
        // In the order of their names, so that of two equal points the lower name's stays.
        let members: BTreeMap<String, NodeId> = members.collect();
        for (authority, node) in members {
            for round in 0..40 {
                for word in Md5::digest(format!("{authority}-{round}")).chunks_exact(4) {
                    points.entry(little_endian(word)).or_insert(node);
                }
            }
        }
        Self(points)
    }

    /// The owner of a key; `None` where the ring is empty.
    pub(crate) fn owner(&self, key: &[u8]) -> Option<NodeId> {
        let point = little_endian(&Md5::digest(key));
        self.0.range(point..).chain(&self.0).next().map(|(_, node)| *node)
    }
}

/// The number in the first four bytes.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_26_ring_of_four_nodes() {
        let members = (101..=104).map(|last| (format!("192.168.1.{last}:11210"), NodeId(last)));
        let ring = Ring::over(members);
        assert_eq!(ring.0.len(), 640);
        for (key, last) in [
            ("a", 104),
            ("b", 101),
            ("hello", 102),
            ("foo", 103),
            ("bar", 104),
            ("user::1", 104),
            ("user::2", 102),
            ("counter", 103),
            ("airline_10", 104),
            ("hotel_10025", 104),
        ] {
            assert_eq!(ring.owner(key.as_bytes()), Some(NodeId(last)), "{key}");
        }
        assert_eq!(Ring::default().owner(b"a"), None);
        assert_eq!(little_endian(&Md5::digest("airline_10")), 2_353_356_644);
    }
}
