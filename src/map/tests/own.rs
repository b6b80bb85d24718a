//! Our own fixtures, by their reports.

use serde_json::{Value, json};

use super::fixtures::*;
use super::shared::assert_includes;
use super::*;

/// Keys whose 15-bit hashes are 26807, 29118, 13840 and 3187.
const KEYS: [&str; 4] = ["a", "b", "hello", "foo"];

fn check(text: &str, expected: &Value) {
    assert_includes("", &report(&accept(text), &KEYS), expected);
}

#[test]
fn cluster_loopback() {
    check(
        CLUSTER_LOOPBACK,
        &json!({
            "accept": true, "kind": "terse-cluster", "rev": 40, "rev_epoch": null, "nodes_ext_len": 1,
            "nodes_len": null, "this_node_index": 0, "alternate_networks": [], "warnings": [],
            "cluster_capabilities": {"n1ql": ["enhancedPreparedStatements"]},
            "nodes": [{"i": 0, "serves_bucket": null, "this_node": true, "host": ORIGIN,
                "host_inferred_from_origin": true, "services": ["kv", "mgmt", "views"],
                "kv": {"default": {"host": ORIGIN, "plain": 11210, "tls": 11207}}}],
        }),
    );
}

#[test]
fn cluster_external() {
    check(
        CLUSTER_EXTERNAL,
        &json!({
            "kind": "terse-cluster", "rev": 812, "rev_epoch": 2, "alternate_networks": ["external"],
            "cluster_uuid": "c0ffee", "cluster_name": "",
            "nodes": [
                {"kv": {"default": {"host": "n1.lan", "plain": 11210, "tls": 11207},
                        "external": {"host": "203.0.113.1", "plain": 31210, "tls": null}},
                 "mgmt": {"external": {"host": "203.0.113.1", "plain": 30091, "tls": null}}},
                {"services": ["backup", "eventing", "index", "mgmt", "query"],
                 "kv": {"default": {"host": "n2.lan", "plain": null, "tls": null},
                        "external": {"host": "203.0.113.2", "plain": null, "tls": null}},
                 "mgmt": {"external": {"host": "203.0.113.2", "plain": 8091, "tls": 18091}}}],
        }),
    );
}

#[test]
fn bucket_80() {
    check(
        BUCKET_80,
        &json!({
            "kind": "terse-bucket", "rev": 311, "rev_epoch": 1, "nodes_ext_len": 3, "nodes_len": 2,
            "this_node_index": 1, "cluster_uuid": "beef", "cluster_name": "prod", "warnings": [],
            "cluster_capabilities": {"n1ql": ["costBasedOptimizer", "readFromReplica"]},
            "bucket": {"name": "travel", "uuid": "0f5e77", "bucket_type": "membase", "storage_backend": "magma",
                "ephemeral": false, "collections": true, "capabilities_count": 3, "collections_manifest_uid": 28},
            "vbuckets": {"count": 8, "num_replicas": 1, "row_lengths": [2], "server_list_len": 2,
                "active_per_index": {"0": 4, "1": 4}, "unassigned_cells": 1, "forward_rows": 0,
                "forward_rows_differing": 0, "index_to_node": "identity"},
            "keys": [
                {"key": "a", "vbucket": 7, "row": [1, -1], "active_node": 1, "replica_nodes": [null]},
                {"key": "b", "vbucket": 6, "row": [1, 0], "active_node": 1, "replica_nodes": [0]},
                {"key": "hello", "vbucket": 0, "row": [0, 1], "active_node": 0, "replica_nodes": [1]},
                {"key": "foo", "vbucket": 3, "row": [0, 1], "active_node": 0, "replica_nodes": [1]}],
            "nodes": [
                {"serves_bucket": true, "server_group": "Group 1", "node_uuid": "aa01",
                 "app_telemetry_path": "/_appTelemetry"},
                {"serves_bucket": true, "server_group": "Group 2", "node_uuid": "aa02"},
                {"serves_bucket": false, "server_group": "Group 1", "node_uuid": "aa03",
                 "services": ["mgmt", "query"]}],
        }),
    );
}

#[test]
fn bucket_tls_only() {
    check(
        BUCKET_TLS_ONLY,
        &json!({
            "bucket": {"ephemeral": true, "bucket_type": null}, "warnings": ["numReplicas missing"],
            "vbuckets": {"count": 4, "num_replicas": null, "index_to_node": "identity"},
            "keys": [{"vbucket": 3, "active_node": 1}, {"vbucket": 2, "active_node": 0},
                {"vbucket": 0, "active_node": 0}, {"vbucket": 3, "active_node": 1}],
            "nodes": [{"serves_bucket": true, "kv": {"default": {"plain": null, "tls": 21001}}},
                {"serves_bucket": true}, {"serves_bucket": false, "mgmt": {"default": {"plain": null, "tls": 29003}}}],
        }),
    );
}

#[test]
fn bucket_rebalance() {
    check(
        BUCKET_REBALANCE,
        &json!({
            "bucket": {"ephemeral": false},
            "vbuckets": {"active_per_index": {"0": 2, "1": 2}, "forward_rows": 4, "forward_rows_differing": 2},
            "keys": [
                {"vbucket": 3, "row": [1, 0], "forward_row": [1, 0], "forward_active_node": 1},
                {"vbucket": 2, "row": [1, 0], "forward_row": [1, 2], "forward_active_node": 1},
                {"vbucket": 0, "row": [0, 1], "forward_row": [0, 1], "forward_active_node": 0},
                {"vbucket": 3}],
            "nodes": [{"serves_bucket": true}, {"serves_bucket": true}, {"serves_bucket": true}],
        }),
    );
}

#[test]
fn bucket_reordered() {
    check(
        BUCKET_REORDERED,
        &json!({
            "nodes_len": 2, "warnings": ["serverList[1] is nodesExt[2]", "serverList[2] is nodesExt[1]"],
            "vbuckets": {"server_list_len": 3, "index_to_node": [0, 2, 1]},
            "keys": [
                {"vbucket": 3, "row": [0, 2], "active_node": 0, "replica_nodes": [1]},
                {"vbucket": 2, "row": [2, 0], "active_node": 1, "replica_nodes": [0]},
                {"vbucket": 0, "row": [0, 1], "active_node": 0, "replica_nodes": [2]},
                {"vbucket": 3}],
            "nodes": [{"serves_bucket": true}, {"serves_bucket": true}, {"serves_bucket": true}],
        }),
    );
}

#[test]
fn bucket_ipv6() {
    check(
        BUCKET_IPV6,
        &json!({
            "vbuckets": {"index_to_node": [1, 0]},
            "keys": [{"vbucket": 1, "active_node": 0}, {"vbucket": 0, "active_node": 1}, {"vbucket": 0}, {"vbucket": 1}],
        }),
    );
}

#[test]
fn bucket_cluster_run() {
    let expected = json!({
        "vbuckets": {"index_to_node": "identity"}, "warnings": [],
        "nodes": [{"host": "127.0.0.1", "kv": {"default": {"plain": 12000, "tls": 11998}}},
            {"host": "127.0.0.1", "host_inferred_from_origin": true, "kv": {"default": {"plain": 12002}}}],
    });
    let map = parse(BUCKET_CLUSTER_RUN.as_bytes(), "127.0.0.1").unwrap();
    assert_includes("", &report(&map, &KEYS), &expected);
}

#[test]
fn bucket_failed_over() {
    check(
        BUCKET_FAILED_OVER,
        &json!({
            "rev_epoch": 2, "warnings": [],
            "vbuckets": {"row_lengths": [0, 1, 2], "active_per_index": {"0": 2}, "unassigned_cells": 3},
            "odd_vbuckets": [
                {"case": "empty row", "vbucket": 3, "row": []},
                {"case": "short row", "vbucket": 2, "row": [0]},
                {"case": "unassigned active", "vbucket": 1, "row": [-1, -1]}],
            "keys": [{"vbucket": 3, "row": [], "active_node": null, "replica_nodes": []},
                {"vbucket": 2, "active_node": 0}, {"vbucket": 0, "replica_nodes": [null]}, {"vbucket": 3}],
        }),
    );
}

#[test]
fn memcached_rebalance() {
    let authorities: Vec<_> = (101..=104).map(|octet| format!("192.168.1.{octet}:11210")).collect();
    check(
        MEMCACHED_REBALANCE,
        &json!({
            "kind": "memcached-bucket", "bucket": {"ephemeral": false, "bucket_type": "memcached"},
            "ketama": {"ring_nodes": [0, 1, 2, 3], "authorities": authorities},
            "keys": [{"key": "a", "node": 3}, {"key": "b", "node": 0}, {"key": "hello", "node": 1},
                {"key": "foo", "node": 2}],
            "nodes": [{"serves_bucket": true}, {"serves_bucket": true}, {"serves_bucket": true},
                {"serves_bucket": true}, {"serves_bucket": false}],
        }),
    );
}

#[test]
fn refused() {
    for (text, reason) in [(BUCKET_NOT_READY, "empty-vbucket-map"), (VERBOSE, "missing-nodesExt")] {
        let report = report_refusal(&refuse(text));
        assert_includes("", &report, &json!({ "accept": false, "reject_reason": reason }));
    }
}

#[test]
fn h7_config_of_a_rejection_whose_nodes_have_no_host() {
    // The body of NOT_MY_VBUCKET comes from a node that knows itself as loopback, and may be old.
    let current = accept(&BUCKET_CLUSTER_RUN.replacen(r#""rev":14"#, r#""rev":15"#, 1));
    let proposed = parse(BUCKET_CLUSTER_RUN.as_bytes(), "198.51.100.7").unwrap();
    assert!(proposed.nodes.iter().all(|node| node.host == "198.51.100.7" && node.host_inferred));
    assert_eq!(current.succession(&proposed).unwrap_err().reason, RejectReason::Stale);
    assert_eq!(refuse("").reason, RejectReason::NotJson);
    assert_eq!(peek_rev(b""), None);
}
