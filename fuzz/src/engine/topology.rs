//! What the cluster says of itself: documents that are mostly in order and change with the script.

use super::choices::Choices;

pub(super) const BUCKETS: [&str; 3] = ["b", "other", "gone"];

/// The state behind the cluster maps.
pub(super) struct Topology {
    rev: u32,
    epoch: u32,
    nodes: u8,
    shift: u8,
    holes: u8,
    vbuckets: u8,
    form: u8,
    kind: u8,
}

/// Bits of [`Topology::kind`].
const MEMCACHED: u8 = 1;
const SERVICES: u8 = 2;
const NO_MANAGERS: u8 = 4;

/// Bits of [`Topology::form`].
const NO_EPOCH: u8 = 1;
const EXTERNAL: u8 = 2;
const NAMES: u8 = 4;
const MISSING_PORT: u8 = 8;
const OTHER_UUID: u8 = 16;
const FORWARD: u8 = 32;
const NO_COLLECTIONS: u8 = 64;

impl Topology {
    pub(super) fn new() -> Self {
        Self { rev: 1, epoch: 1, nodes: 2, shift: 0, holes: 0, vbuckets: 4, form: 0, kind: 0 }
    }

    /// Something changes, and mostly the version with it.
    pub(super) fn change(&mut self, u: &mut Choices<'_>) {
        match u.below(8) {
            0 => self.nodes = 1 + u.byte() % 4,
            1 | 2 => self.shift = u.byte(),
            3 => self.holes = u.byte(),
            4 => self.vbuckets = 1 + u.byte() % 8,
            5 => self.form = u.byte(),
            6 => self.epoch = self.epoch.wrapping_add(1),
            _ => self.rev = u32::from(u.byte()),
        }
        if !u.one_in(8) {
            self.rev = self.rev.wrapping_add(1);
        }
    }

    /// The second bucket becomes a memcached bucket, services come and go.
    pub(super) fn change_kind(&mut self, u: &mut Choices<'_>) {
        self.kind = u.byte();
        self.rev = self.rev.wrapping_add(1);
    }

    /// All is in order again, and newer than anything said before.
    pub(super) fn heal(&mut self) {
        *self = Self { epoch: 1000, form: EXTERNAL, ..Self::new() };
    }

    /// Whether a bucket is one without vbuckets, whose maps come from managers.
    pub(super) fn is_memcached(&self, bucket: Option<&str>) -> bool {
        self.kind & MEMCACHED != 0 && bucket == Some(BUCKETS[1])
    }

    pub(super) fn version(&self) -> (i64, i64) {
        (self.epoch.into(), self.rev.into())
    }

    fn has(&self, bit: u8) -> bool {
        self.form & bit != 0
    }

    /// The map of a bucket, or of the cluster.
    pub(super) fn document(&self, bucket: Option<&str>) -> String {
        let host =
            |node: u8| if self.has(NAMES) { format!("n{node}.lan") } else { format!("127.0.0.{}", node + 1) };
        let ports = |node: u8| {
            let mut ports = Vec::new();
            if !self.has(MISSING_PORT) || node != 1 {
                ports.push(r#""kv":11210"#);
            }
            if self.kind & NO_MANAGERS == 0 {
                ports.push(r#""mgmt":8091"#);
            }
            if self.kind & SERVICES != 0 {
                ports.push(r#""n1ql":8093,"fts":8094,"cbas":8095,"capi":8092"#);
            }
            ports.join(",")
        };
        let nodes_ext: Vec<_> = (0..self.nodes)
            .map(|node| {
                let this = if node == 0 { r#","thisNode":true"# } else { "" };
                let external = if self.has(EXTERNAL) {
                    format!(
                        r#","alternateAddresses":{{"external":{{"hostname":"10.9.0.{node}","ports":{{"kv":31210}}}}}}"#
                    )
                } else {
                    String::new()
                };
                format!(r#"{{"services":{{{}}},"hostname":"{}"{this}{external}}}"#, ports(node), host(node))
            })
            .collect();
        let epoch = if self.has(NO_EPOCH) { String::new() } else { format!(r#""revEpoch":{},"#, self.epoch) };
        let head = format!(r#"{{"rev":{},{epoch}"nodesExt":[{}]"#, self.rev, nodes_ext.join(","));
        let Some(bucket) = bucket else {
            return head + r#","clusterCapabilitiesVer":[1,0],"clusterCapabilities":{}}"#;
        };

        let short: Vec<_> =
            (0..self.nodes).map(|node| format!(r#"{{"hostname":"{}:8091"}}"#, host(node))).collect();
        let uuid = u8::from(self.has(OTHER_UUID)) + 7;
        if self.is_memcached(Some(bucket)) {
            return format!(
                r#"{head},"name":"{bucket}","uuid":"{uuid:x}","nodeLocator":"ketama","bucketType":"memcached","bucketCapabilities":[],"nodes":[{}]}}"#,
                short.join(","),
            );
        }
        let row = |vbucket: u8, shift: u8| {
            let hole = self.holes >> (vbucket % 8) & 1 == 1;
            let active = i16::from(vbucket.wrapping_add(shift) % self.nodes);
            let replica = i16::from(vbucket.wrapping_add(shift).wrapping_add(1) % self.nodes);
            format!("[{},{replica}]", if hole { -1 } else { active })
        };
        let rows =
            |shift: u8| (0..self.vbuckets).map(|vbucket| row(vbucket, shift)).collect::<Vec<_>>().join(",");
        let servers: Vec<_> = (0..self.nodes).map(|node| format!(r#""{}:11210""#, host(node))).collect();
        let forward = if self.has(FORWARD) {
            format!(r#","vBucketMapForward":[{}]"#, rows(self.shift.wrapping_add(1)))
        } else {
            String::new()
        };
        let collections = if self.has(NO_COLLECTIONS) { "" } else { r#""collections","# };
        format!(
            r#"{head},"name":"{bucket}","uuid":"{uuid:x}","nodeLocator":"vbucket","bucketType":"membase","bucketCapabilities":[{collections}"xattr","durableWrite"],"nodes":[{}],"vBucketServerMap":{{"hashAlgorithm":"CRC","numReplicas":1,"serverList":[{}],"vBucketMap":[{}]{forward}}}}}"#,
            short.join(","),
            servers.join(","),
            rows(self.shift),
        )
    }
}
