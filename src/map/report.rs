//! A cluster map as a JSON report, for people and for comparing clients with each other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::error::MapError;
use super::node::{DEFAULT_NETWORK, Node, Service};
use super::{ClusterMap, MapKind, VbucketMap};

/// The report on an accepted map, with the placement of `keys`.
///
/// Fields without a value are `null` or left out, as a report on a refused map ([`report_refusal`]) leaves out all but
/// the reason. Indexes of nodes are slots. Allocates in proportion to the map; not for the operation path.
pub fn report(map: &ClusterMap, keys: &[&str]) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("accept", json!(true));
    put("kind", json!(map.kind.as_str()));
    put("rev", json!(map.rev.rev));
    put("rev_epoch", json!(map.rev.epoch));
    put("nodes_ext_len", json!(map.nodes.len()));
    put("nodes_len", json!(map.nodes_len));
    put("this_node_index", json!(map.this_node_index));
    put("alternate_networks", json!(map.alternate_networks));
    put("cluster_capabilities", json!(map.cluster_capabilities));
    if let Some(uuid) = &map.cluster_uuid {
        put("cluster_uuid", json!(uuid));
    }
    if let Some(name) = &map.cluster_name {
        put("cluster_name", json!(name));
    }
    if map.kind != MapKind::Global {
        put(
            "bucket",
            json!({
                "name": map.bucket_name,
                "uuid": map.bucket_uuid,
                "bucket_type": map.bucket_type,
                "storage_backend": map.storage_backend,
                "ephemeral": map.is_ephemeral(),
                "collections": map.has_bucket_capability("collections"),
                "capabilities_count": map.bucket_capabilities.len(),
                "collections_manifest_uid": map.collections_manifest_uid,
            }),
        );
    }
    if let Some(vbuckets) = &map.vbuckets {
        put("vbuckets", vbucket_summary(vbuckets));
        put("keys", keys.iter().map(|key| placement(vbuckets, key)).collect());
        let odd = odd_vbuckets(vbuckets);
        if !odd.is_empty() {
            put("odd_vbuckets", odd.into());
        }
    }
    if let Some(ring) = &map.ketama {
        let (authorities, nodes): (Vec<_>, Vec<_>) = ring.members().unzip();
        put("ketama", json!({ "ring_nodes": nodes, "authorities": authorities }));
        put(
            "keys",
            keys.iter().map(|key| json!({ "key": key, "node": ring.slot(key.as_bytes()) })).collect(),
        );
    }
    put("nodes", map.nodes.iter().map(|node| node_report(map, node)).collect());
    put("warnings", map.warnings.iter().map(|warning| json!(warning.to_string())).collect());
    Value::Object(out)
}

/// The report on a refused map.
pub fn report_refusal(error: &MapError) -> Value {
    json!({ "accept": false, "reject_reason": error.reason.as_str(), "detail": error.detail })
}

fn vbucket_summary(map: &VbucketMap) -> Value {
    let rows = || (0..map.count()).filter_map(|v| map.row(v as u16));
    let mut active = BTreeMap::<String, usize>::new();
    for row in rows() {
        if let Some(index) = row.first().filter(|index| **index >= 0) {
            *active.entry(index.to_string()).or_default() += 1;
        }
    }
    let lengths: BTreeSet<_> = rows().map(<[i16]>::len).collect();
    let (forward_rows, differing) = if map.has_forward() {
        let differing = (0..map.count()).filter(|v| map.row(*v as u16) != map.forward_row(*v as u16)).count();
        (map.count(), differing)
    } else {
        (0, 0)
    };
    json!({
        "count": map.count(),
        "num_replicas": map.configured_replicas(),
        "row_lengths": lengths,
        "server_list_len": map.server_list_len(),
        "active_per_index": active,
        "unassigned_cells": rows().flatten().filter(|cell| **cell < 0).count(),
        "forward_rows": forward_rows,
        "forward_rows_differing": differing,
        "index_to_node": index_table(map),
    })
}

/// `identity`, or the slot of every index of `serverList`.
fn index_table(map: &VbucketMap) -> Value {
    let slots: Vec<_> = (0..map.server_list_len()).map(|index| map.slot_of_index(index)).collect();
    if slots.iter().enumerate().all(|(index, slot)| *slot == Some(index)) {
        json!("identity")
    } else {
        json!(slots)
    }
}

fn placement(map: &VbucketMap, key: &str) -> Value {
    let vbucket = map.vbucket(key.as_bytes());
    let row = map.row(vbucket).unwrap_or_default();
    let replicas: Vec<_> = (1..row.len()).map(|k| map.replica(vbucket, k)).collect();
    let mut out = json!({
        "key": key,
        "vbucket": vbucket,
        "row": row,
        "active_node": map.active(vbucket),
        "replica_nodes": replicas,
    });
    if let Some(forward) = map.forward_row(vbucket) {
        out["forward_row"] = json!(forward);
        out["forward_active_node"] = json!(map.forward_active(vbucket));
    }
    out
}

/// The first vbucket of each odd case: an empty row, one shorter than the longest, one without an active copy.
fn odd_vbuckets(map: &VbucketMap) -> Vec<Value> {
    let longest = (0..map.count()).filter_map(|v| map.row(v as u16)).map(<[i16]>::len).max().unwrap_or(0);
    let first = |case: &str, odd: &dyn Fn(u16, &[i16]) -> bool| {
        (0..map.count()).map(|v| v as u16).find_map(|v| {
            let row = map.row(v)?;
            odd(v, row).then(|| json!({ "case": case, "vbucket": v, "row": row }))
        })
    };
    [
        first("empty row", &|_, row| row.is_empty()),
        first("short row", &|_, row| !row.is_empty() && row.len() < longest),
        first("unassigned active", &|v, row| !row.is_empty() && map.active(v).is_none()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn node_report(map: &ClusterMap, node: &Node) -> Value {
    let mut services: Vec<_> = node.ports.services().map(Service::as_str).collect();
    services.sort_unstable();
    let serves = (map.kind != MapKind::Global).then_some(node.serves_bucket);
    let mut out = json!({
        "i": node.index,
        "serves_bucket": serves,
        "this_node": node.this_node,
        "host": node.host,
        "kv": addresses(node, Service::Kv),
        "mgmt": addresses(node, Service::Mgmt),
        "services": services,
    });
    if node.host_inferred {
        out["host_inferred_from_origin"] = json!(true);
    }
    for (name, value) in [
        ("server_group", &node.server_group),
        ("node_uuid", &node.node_uuid),
        ("app_telemetry_path", &node.app_telemetry_path),
    ] {
        if let Some(value) = value {
            out[name] = json!(value);
        }
    }
    out
}

fn addresses(node: &Node, service: Service) -> Value {
    let networks = std::iter::once(DEFAULT_NETWORK).chain(node.alternates.iter().map(|a| a.network.as_str()));
    let mut out = Map::new();
    for network in networks {
        let port = |tls| node.endpoint(service, network, tls).map(|(_, port)| port);
        let address = json!({ "host": node.host_on(network), "plain": port(false), "tls": port(true) });
        out.insert(network.to_owned(), address);
    }
    Value::Object(out)
}
