//! Cluster maps as text: the bucket's (D1) and the cluster's (D2), `cluster-maps.md` 1 to 3.

use crate::NodeId;
use crate::bucket::{Bucket, BucketKind, Rendered, Row};
use crate::listener::Listener;
use crate::node::Node;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The place of each node in the lists of a map: members in order, the others nowhere.
fn members(nodes: &[Node]) -> Vec<NodeId> {
    nodes.iter().enumerate().filter(|(_, node)| node.member).map(|(index, _)| NodeId(index)).collect()
}

/// The map of a bucket as one of its nodes gives it.
pub(crate) fn bucket_config(
    nodes: &[Node],
    bucket: &Bucket,
    this: NodeId,
    epoch: Option<i64>,
    cluster_uuid: &str,
) -> Rendered {
    let members = members(nodes);
    let mut config = base(nodes, &members, this, bucket.rev, epoch, cluster_uuid);
    let legacy: Vec<Value> = members
        .iter()
        .filter_map(|id| nodes.get(id.0))
        .map(|node| {
            json!({
                "hostname": authority(node, Listener::MGMT),
                "ports": {"direct": port(node, Listener::KV)},
            })
        })
        .collect();
    let (name, uuid) = (&bucket.name, &bucket.uuid);
    let fields = [
        ("name", json!(name)),
        ("nodeLocator", json!(bucket.kind.locator())),
        ("bucketType", json!(bucket.kind.name())),
        ("uuid", json!(uuid)),
        ("uri", json!(format!("/pools/default/buckets/{name}?bucket_uuid={uuid}"))),
        ("streamingUri", json!(format!("/pools/default/bucketsStreaming/{name}?bucket_uuid={uuid}"))),
        ("bucketCapabilitiesVer", json!("")),
        ("bucketCapabilities", json!(bucket.kind.capabilities())),
        ("nodes", json!(legacy)),
    ];
    config.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    if bucket.hibernation.is_some() {
        config.insert("hibernationState".to_owned(), json!("paused"));
    }
    if bucket.kind != BucketKind::Memcached {
        let fields = [
            ("numVBuckets", json!(bucket.rows.len())),
            ("collectionsManifestUid", json!(format!("{:x}", bucket.collections.uid()))),
            ("vBucketServerMap", server_map(nodes, bucket)),
        ];
        config.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    }
    if bucket.kind == BucketKind::Couchbase {
        config.insert("storageBackend".to_owned(), json!("couchstore"));
        config.insert("ddocs".to_owned(), json!({"uri": format!("/pools/default/buckets/{name}/ddocs")}));
    }
    render(config, bucket.rev, epoch)
}

/// `vBucketServerMap`.
pub(crate) fn server_map(nodes: &[Node], bucket: &Bucket) -> Value {
    let members = members(nodes);
    let servers: Vec<String> =
        members.iter().filter_map(|id| nodes.get(id.0)).map(|node| authority(node, Listener::KV)).collect();
    let mut map = json!({
        "hashAlgorithm": "CRC",
        "numReplicas": bucket.replicas,
        "serverList": servers,
        "vBucketMap": rows(&bucket.rows, &members),
    });
    if let Some(forward) = &bucket.forward {
        map["vBucketMapForward"] = rows(forward, &members);
    }
    map
}

fn authority(node: &Node, listener: Listener) -> String {
    let name = if node.address.omit_hostname { "$HOST" } else { &node.address.host };
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    format!("{name}:{}", port(node, listener))
}

/// A node without plain ports is written with port 0 (`cluster-maps.md` 3.5).
fn port(node: &Node, listener: Listener) -> u16 {
    node.address.port(listener).unwrap_or(0)
}

/// The map of the cluster without a bucket.
pub(crate) fn global_config(
    nodes: &[Node],
    this: NodeId,
    rev: i64,
    epoch: Option<i64>,
    cluster_uuid: &str,
) -> Rendered {
    render(base(nodes, &members(nodes), this, rev, epoch, cluster_uuid), rev, epoch)
}

impl BucketKind {
    /// What a 7.6 server says that such buckets can do.
    pub(crate) fn capabilities(self) -> Vec<&'static str> {
        match self {
            Self::Couchbase => BUCKET_CAPABILITIES.to_vec(),
            Self::Ephemeral => {
                let disk = ["couchapi", "rangeScan"];
                BUCKET_CAPABILITIES.into_iter().filter(|name| !disk.contains(name)).collect()
            }
            Self::Memcached => vec!["cbhello", "nodesExt"],
        }
    }
}

/// What a 7.6 server says that its buckets can do.
const BUCKET_CAPABILITIES: [&str; 18] = [
    "collections",
    "durableWrite",
    "tombstonedUserXAttrs",
    "couchapi",
    "subdoc.ReplaceBodyWithXattr",
    "subdoc.DocumentMacroSupport",
    "subdoc.ReviveDocument",
    "dcp",
    "cbhello",
    "touch",
    "cccp",
    "xdcrCheckpointing",
    "nodesExt",
    "xattr",
    "rangeScan",
    "preserveExpiry",
    "querySystemCollection",
    "mobileSystemCollection",
];

fn base(
    nodes: &[Node],
    members: &[NodeId],
    this: NodeId,
    rev: i64,
    epoch: Option<i64>,
    cluster_uuid: &str,
) -> Map<String, Value> {
    let ext: Vec<Value> =
        members.iter().filter_map(|id| nodes.get(id.0).map(|node| node_ext(node, *id == this))).collect();
    let mut config = Map::new();
    let fields = [
        ("rev", json!(rev)),
        ("nodesExt", json!(ext)),
        ("clusterCapabilitiesVer", json!([1, 0])),
        (
            "clusterCapabilities",
            json!({"n1ql": ["enhancedPreparedStatements", "readFromReplica"], "search": ["vectorSearch", "scopedSearchIndex"]}),
        ),
        ("clusterUUID", json!(cluster_uuid)),
        ("clusterName", json!("simulated")),
    ];
    config.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    if let Some(epoch) = epoch {
        config.insert("revEpoch".to_owned(), json!(epoch));
    }
    config
}

fn node_ext(node: &Node, this: bool) -> Value {
    let address = &node.address;
    let mut ext = json!({"services": ports(&address.ports)});
    if !address.omit_hostname {
        ext["hostname"] = json!(address.host);
    }
    if this {
        ext["thisNode"] = json!(true);
    }
    if let Some(group) = &address.server_group {
        ext["serverGroup"] = json!(group);
    }
    if !address.alternates.is_empty() {
        let mut networks = Map::new();
        for alternate in &address.alternates {
            let mut object = json!({"hostname": alternate.host});
            if let Some(mapped) = &alternate.ports {
                object["ports"] = ports(mapped);
            }
            networks.insert(alternate.network.clone(), object);
        }
        ext["alternateAddresses"] = Value::Object(networks);
    }
    ext
}

fn ports(ports: &BTreeMap<Listener, u16>) -> Value {
    Value::Object(ports.iter().map(|(listener, port)| (listener.key().to_owned(), json!(port))).collect())
}

fn rows(rows: &[Row], members: &[NodeId]) -> Value {
    let index = |copy: &Option<NodeId>| {
        copy.and_then(|node| members.iter().position(|member| *member == node))
            .and_then(|position| i64::try_from(position).ok())
            .unwrap_or(-1)
    };
    Value::Array(rows.iter().map(|row| json!(row.iter().map(index).collect::<Vec<i64>>())).collect())
}

fn render(config: Map<String, Value>, rev: i64, epoch: Option<i64>) -> Rendered {
    let json = Value::Object(config).to_string().into_bytes();
    let snappy = snap::raw::Encoder::new().compress_vec(&json).unwrap_or_default();
    Rendered { rev, epoch: epoch.unwrap_or(-1), json, snappy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Seeded;
    use crate::{Features, NodeAddress};

    fn parsed(nodes: &[Node], bucket: &Bucket, this: usize) -> Value {
        let rendered = bucket_config(nodes, bucket, NodeId(this), Some(1), "uuid");
        serde_json::from_slice(&rendered.json).unwrap()
    }

    #[test]
    fn p5_nodes_and_nodes_ext_are_parallel_and_only_one_is_this_node() {
        let nodes: Vec<Node> = (1..=3)
            .map(|i| Node::new(NodeAddress::new(format!("node{i}.sim"), 11210), Features::SUPPORTED))
            .collect();
        let ids = [NodeId(0), NodeId(1), NodeId(2)];
        let mut bucket = Bucket::new("travel", BucketKind::Couchbase, 8, 1, &ids, &mut Seeded::new(1));
        bucket.rev = 7;
        let config = parsed(&nodes, &bucket, 1);
        assert_eq!(
            (&config["rev"], &config["revEpoch"], &config["numVBuckets"]),
            (&json!(7), &json!(1), &json!(8))
        );
        assert_eq!(config["nodesExt"][1]["thisNode"], true);
        assert_eq!(config["nodesExt"][0].get("thisNode"), None);
        assert_eq!(config["nodes"][2]["hostname"], "node3.sim:8091");
        assert_eq!(config["vBucketServerMap"]["serverList"][2], "node3.sim:11210");
        assert_eq!(config["vBucketServerMap"]["vBucketMap"][0][0], 0);
        assert_eq!(config["vBucketServerMap"]["vBucketMap"][7][0], 2);
    }

    #[test]
    fn p9_a_loopback_node_has_no_host_name() {
        let mut address = NodeAddress::new("127.0.0.1", 12000);
        address.omit_hostname = true;
        let nodes = [Node::new(address, Features::SUPPORTED)];
        let bucket = Bucket::new("b", BucketKind::Couchbase, 1, 0, &[NodeId(0)], &mut Seeded::new(1));
        let config = parsed(&nodes, &bucket, 0);
        assert_eq!(config["nodesExt"][0].get("hostname"), None);
        assert_eq!(config["vBucketServerMap"]["serverList"][0], "$HOST:12000");
    }

    #[test]
    fn a_node_outside_the_cluster_is_minus_one_in_the_rows() {
        let mut nodes: Vec<Node> =
            (0..2).map(|i| Node::new(NodeAddress::new(format!("n{i}"), 1), Features::SUPPORTED)).collect();
        let bucket =
            Bucket::new("b", BucketKind::Couchbase, 2, 1, &[NodeId(0), NodeId(1)], &mut Seeded::new(1));
        nodes[0].member = false;
        let config = parsed(&nodes, &bucket, 1);
        assert_eq!(config["vBucketServerMap"]["vBucketMap"], json!([[-1, 0], [0, -1]]));
    }
}
