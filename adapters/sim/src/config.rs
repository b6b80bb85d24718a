//! Cluster maps as text: the bucket's (D1) and the cluster's (D2), `cluster-maps.md` 1 to 3.

use crate::NodeId;
use crate::bucket::{Bucket, BucketKind, Rendered, Row};
use crate::listener::Listener;
use crate::node::Node;
use crate::posture::Posture;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The place of each node in the lists of a map: members in order, the others nowhere.
fn members(nodes: &[Node]) -> Vec<NodeId> {
    nodes.iter().enumerate().filter(|(_, node)| node.member).map(|(index, _)| NodeId(index)).collect()
}

/// What all maps of a cluster have in common.
pub(crate) struct Form<'a> {
    pub(crate) posture: Posture,
    pub(crate) epoch: Option<i64>,
    pub(crate) cluster_uuid: &'a str,
}

/// The map of a bucket as one of its nodes gives it.
pub(crate) fn bucket_config(nodes: &[Node], bucket: &Bucket, this: NodeId, form: &Form<'_>) -> Rendered {
    let members = members(nodes);
    let mut config = base(nodes, &members, this, bucket.rev, form);
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
        (Posture::V5_0, "name", json!(name)),
        (Posture::V5_0, "nodeLocator", json!(bucket.kind.locator())),
        (Posture::V7_2, "bucketType", json!(bucket.kind.name())),
        (Posture::V5_0, "uuid", json!(uuid)),
        (Posture::V5_0, "uri", json!(format!("/pools/default/buckets/{name}?bucket_uuid={uuid}"))),
        (
            Posture::V5_0,
            "streamingUri",
            json!(format!("/pools/default/bucketsStreaming/{name}?bucket_uuid={uuid}")),
        ),
        (Posture::V5_0, "bucketCapabilitiesVer", json!("")),
        (Posture::V5_0, "bucketCapabilities", json!(bucket.kind.capabilities(form.posture))),
        (Posture::V5_0, "nodes", json!(legacy)),
    ];
    form.add(&mut config, fields);
    if bucket.hibernation.is_some() {
        config.insert("hibernationState".to_owned(), json!("paused"));
    }
    if bucket.kind != BucketKind::Memcached {
        let fields = [
            (Posture::V7_6, "numVBuckets", json!(bucket.rows.len())),
            (Posture::V7_2, "collectionsManifestUid", json!(format!("{:x}", bucket.collections.uid()))),
            (Posture::V5_0, "vBucketServerMap", server_map(nodes, bucket)),
        ];
        form.add(&mut config, fields);
    }
    if bucket.kind == BucketKind::Couchbase {
        let fields = [
            (Posture::V7_2, "storageBackend", json!("couchstore")),
            (Posture::V5_0, "ddocs", json!({"uri": format!("/pools/default/buckets/{name}/ddocs")})),
        ];
        form.add(&mut config, fields);
    }
    render(config, bucket.rev, form.epoch)
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
pub(crate) fn global_config(nodes: &[Node], this: NodeId, rev: i64, form: &Form<'_>) -> Rendered {
    render(base(nodes, &members(nodes), this, rev, form), rev, form.epoch)
}

impl BucketKind {
    /// What such buckets can do in a release.
    pub(crate) fn capabilities(self, posture: Posture) -> Vec<&'static str> {
        let mut names = posture.bucket_capabilities();
        match self {
            Self::Couchbase => {}
            Self::Ephemeral => names.retain(|name| !["couchapi", "rangeScan"].contains(name)),
            Self::Memcached => names.retain(|name| ["cbhello", "nodesExt"].contains(name)),
        }
        names
    }
}

impl Form<'_> {
    /// Adds the fields that the release has (`cluster-maps.md` 3.1).
    fn add<const N: usize>(&self, config: &mut Map<String, Value>, fields: [(Posture, &str, Value); N]) {
        let fields = fields.into_iter().filter(|(since, ..)| self.posture >= *since);
        config.extend(fields.map(|(_, key, value)| (key.to_owned(), value)));
    }

    /// What the services of the cluster can do.
    fn cluster_capabilities(&self) -> Value {
        if self.posture >= Posture::V7_6 {
            json!({
                "n1ql": ["enhancedPreparedStatements", "readFromReplica"],
                "search": ["vectorSearch", "scopedSearchIndex"],
            })
        } else {
            json!({"n1ql": ["enhancedPreparedStatements"]})
        }
    }
}

fn base(nodes: &[Node], members: &[NodeId], this: NodeId, rev: i64, form: &Form<'_>) -> Map<String, Value> {
    let ext: Vec<Value> = members
        .iter()
        .filter_map(|id| nodes.get(id.0).map(|node| node_ext(node, *id == this, form.posture)))
        .collect();
    let mut config = Map::new();
    let fields = [
        (Posture::V5_0, "rev", json!(rev)),
        (Posture::V5_0, "nodesExt", json!(ext)),
        (Posture::V6_6, "clusterCapabilitiesVer", json!([1, 0])),
        (Posture::V6_6, "clusterCapabilities", form.cluster_capabilities()),
        (Posture::V7_6, "clusterUUID", json!(form.cluster_uuid)),
        (Posture::V7_6, "clusterName", json!("simulated")),
        (Posture::V8_0, "prod", json!("server")),
    ];
    form.add(&mut config, fields);
    if let Some(epoch) = form.epoch {
        config.insert("revEpoch".to_owned(), json!(epoch));
    }
    config
}

fn node_ext(node: &Node, this: bool, posture: Posture) -> Value {
    let address = &node.address;
    let mut ext = json!({"services": ports(&address.ports)});
    if !address.omit_hostname {
        ext["hostname"] = json!(address.host);
    }
    if this {
        ext["thisNode"] = json!(true);
    }
    if let Some(group) = &address.server_group
        && posture >= Posture::V7_6
    {
        ext["serverGroup"] = json!(group);
    }
    if posture >= Posture::V8_0 {
        ext["nodeUUID"] = json!(node.uuid);
    }
    // Published by a setting that came with 6.5 (`connecting.md` 5.3).
    if !address.alternates.is_empty() && posture >= Posture::V6_6 {
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
    use crate::{Alternate, Features, NodeAddress};

    fn parsed(nodes: &[Node], bucket: &Bucket, this: usize) -> Value {
        posing(nodes, bucket, this, Posture::default())
    }

    fn posing(nodes: &[Node], bucket: &Bucket, this: usize, posture: Posture) -> Value {
        let form = Form { posture, epoch: posture.epoch(), cluster_uuid: "uuid" };
        let rendered = bucket_config(nodes, bucket, NodeId(this), &form);
        serde_json::from_slice(&rendered.json).unwrap()
    }

    fn node(address: NodeAddress) -> Node {
        Node::new(address, Features::SUPPORTED, "aa01".to_owned())
    }

    #[test]
    fn p5_nodes_and_nodes_ext_are_parallel_and_only_one_is_this_node() {
        let nodes: Vec<Node> =
            (1..=3).map(|i| node(NodeAddress::new(format!("node{i}.sim"), 11210))).collect();
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
        let nodes = [node(address)];
        let bucket = Bucket::new("b", BucketKind::Couchbase, 1, 0, &[NodeId(0)], &mut Seeded::new(1));
        let config = parsed(&nodes, &bucket, 0);
        assert_eq!(config["nodesExt"][0].get("hostname"), None);
        assert_eq!(config["vBucketServerMap"]["serverList"][0], "$HOST:12000");
    }

    #[test]
    fn a_node_outside_the_cluster_is_minus_one_in_the_rows() {
        let mut nodes: Vec<Node> = (0..2).map(|i| node(NodeAddress::new(format!("n{i}"), 1))).collect();
        let bucket =
            Bucket::new("b", BucketKind::Couchbase, 2, 1, &[NodeId(0), NodeId(1)], &mut Seeded::new(1));
        nodes[0].member = false;
        let config = parsed(&nodes, &bucket, 1);
        assert_eq!(config["vBucketServerMap"]["vBucketMap"], json!([[-1, 0], [0, -1]]));
    }

    #[test]
    fn each_release_has_its_fields() {
        let mut address = NodeAddress::new("n", 11210);
        address.server_group = Some("Group 1".to_owned());
        address.alternates = vec![Alternate::external("outside.example")];
        let nodes = [node(address)];
        let bucket = Bucket::new("b", BucketKind::Couchbase, 1, 0, &[NodeId(0)], &mut Seeded::new(1));
        for posture in Posture::ALL {
            let config = posing(&nodes, &bucket, 0, posture);
            let ext = &config["nodesExt"][0];
            for (object, key, since) in [
                (&config, "rev", Posture::V5_0),
                (&config, "vBucketServerMap", Posture::V5_0),
                (&config, "clusterCapabilities", Posture::V6_6),
                (ext, "alternateAddresses", Posture::V6_6),
                (&config, "revEpoch", Posture::V7_2),
                (&config, "collectionsManifestUid", Posture::V7_2),
                (&config, "bucketType", Posture::V7_2),
                (&config, "numVBuckets", Posture::V7_6),
                (&config, "clusterUUID", Posture::V7_6),
                (ext, "serverGroup", Posture::V7_6),
                (ext, "nodeUUID", Posture::V8_0),
            ] {
                assert_eq!(object.get(key).is_some(), posture >= since, "{key} in {posture:?}");
            }
        }
    }

    #[test]
    fn net_5_an_alternate_address_has_ports_of_its_own_or_none() {
        let mut address = NodeAddress::new("n", 11210);
        let ports = BTreeMap::from([(Listener::KV, 31210), (Listener::KV_TLS, 31207)]);
        address.alternates = vec![
            Alternate::external("outside.example"),
            Alternate { network: "vpc".to_owned(), host: "10.9.8.7".to_owned(), ports: Some(ports) },
        ];
        let bucket = Bucket::new("b", BucketKind::Couchbase, 1, 0, &[NodeId(0)], &mut Seeded::new(1));
        let config = parsed(&[node(address)], &bucket, 0);
        assert_eq!(
            config["nodesExt"][0]["alternateAddresses"],
            json!({
                "external": {"hostname": "outside.example"},
                "vpc": {"hostname": "10.9.8.7", "ports": {"kv": 31210, "kvSSL": 31207}},
            })
        );
    }
}
