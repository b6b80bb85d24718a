//! R-PARSE, R-EMPTY and the rows of the field tables.

use super::*;

#[test]
fn r_parse_1_a_refusal_carries_reason_and_detail() {
    let error = refuse(r#"{"rev":-3,"nodesExt":[{}]}"#);
    assert_eq!(error.reason, RejectReason::RevOutOfRange);
    assert_eq!(error.to_string(), "cluster map refused (rev-out-of-range): rev is -3");
    assert_eq!(error.partial, None);
}

#[test]
fn r_parse_2_reasons() {
    let d1 = |fields: &str| format!(r#"{{"rev":1,"nodesExt":[{{}}],"nodeLocator":"vbucket"{fields}}}"#);
    for (text, reason) in [
        ("".to_owned(), "not-json"),
        ("{".to_owned(), "not-json"),
        ("{} x".to_owned(), "not-json"),
        ("[]".to_owned(), "not-an-object"),
        ("3".to_owned(), "not-an-object"),
        ("\"rev\"".to_owned(), "not-an-object"),
        ("null".to_owned(), "not-an-object"),
        ("{}".to_owned(), "missing-nodesExt"),
        (r#"{"rev":1,"nodesExt":null}"#.to_owned(), "missing-nodesExt"),
        (r#"{"rev":1,"nodesExt":{}}"#.to_owned(), "missing-nodesExt"),
        (r#"{"rev":1,"nodesExt":[]}"#.to_owned(), "missing-nodesExt"),
        (r#"{"nodesExt":[{}]}"#.to_owned(), "missing-or-malformed-rev"),
        (r#"{"rev":null,"nodesExt":[{}]}"#.to_owned(), "missing-or-malformed-rev"),
        (r#"{"rev":"7","nodesExt":[{}]}"#.to_owned(), "missing-or-malformed-rev"),
        (r#"{"rev":-1,"nodesExt":[{}]}"#.to_owned(), "rev-out-of-range"),
        (r#"{"rev":9223372036854775808,"nodesExt":[{}]}"#.to_owned(), "rev-out-of-range"),
        (d1(""), "missing-name"),
        (d1(r#","name":"""#), "missing-name"),
        (d1(r#","name":"b""#), "missing-vBucketServerMap"),
        (d1(r#","name":"b","vBucketServerMap":[]"#), "missing-vBucketServerMap"),
        (d1(r#","name":"b","vBucketServerMap":{}"#), "malformed-vbucket-map"),
        (d1(r#","name":"b","vBucketServerMap":{"vBucketMap":[]}"#), "empty-vbucket-map"),
        (r#"{"rev":1,"nodesExt":[{}],"nodeLocator":"ketama"}"#.to_owned(), "missing-name"),
    ] {
        assert_eq!(refuse(&text).reason.as_str(), reason, "{text}");
    }
}

#[test]
fn r_parse_2_identifiers() {
    use RejectReason as R;
    let all = [
        (R::NotJson, "not-json"),
        (R::NotAnObject, "not-an-object"),
        (R::MissingNodesExt, "missing-nodesExt"),
        (R::MissingOrMalformedRev, "missing-or-malformed-rev"),
        (R::RevOutOfRange, "rev-out-of-range"),
        (R::MissingName, "missing-name"),
        (R::MissingVbucketServerMap, "missing-vBucketServerMap"),
        (R::MalformedVbucketMap, "malformed-vbucket-map"),
        (R::EmptyVbucketMap, "empty-vbucket-map"),
        (R::WrongBucket, "wrong-bucket"),
        (R::WrongCluster, "wrong-cluster"),
        (R::NetworkUnavailable, "network-unavailable"),
        (R::Stale, "stale"),
    ];
    for (reason, name) in all {
        assert_eq!((reason.as_str(), reason.to_string().as_str()), (name, name));
    }
}

#[test]
fn r_parse_3_versions_are_exact_integers() {
    let rev = |rev: &str| format!(r#"{{"rev":{rev},"revEpoch":{rev},"nodesExt":[{{}}]}}"#);
    // The nearest double is 9007199254740992.
    let map = accept(&rev("9007199254740993"));
    assert_eq!((map.rev.rev, map.rev.epoch), (9_007_199_254_740_993, Some(9_007_199_254_740_993)));
    assert_eq!(accept(&rev("9223372036854775807")).rev.rev, i64::MAX);
    for text in ["1.0", "1e3", "[1]", "{}", "true"] {
        assert_eq!(refuse(&rev(text)).reason, RejectReason::MissingOrMalformedRev, "{text}");
    }
}

#[test]
fn r_parse_4_size() {
    let mut text = r#"{"rev":1,"nodesExt":[{}]}"#.to_owned();
    text.push_str(&" ".repeat(30 * 1024 * 1024 - text.len()));
    assert_eq!(accept(&text).nodes.len(), 1);
    assert!(peek_rev(text.as_bytes()).is_some());
    text.push(' ');
    assert_eq!(refuse(&text).reason, RejectReason::NotJson);
    assert_eq!(peek_rev(text.as_bytes()), None);
}

#[test]
fn r_parse_4_depth() {
    let nested = |depth: usize| {
        format!(r#"{{"x":{}{},"rev":1,"nodesExt":[{{}}]}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    accept(&nested(31));
    let error = refuse(&nested(32));
    assert_eq!((error.reason, error.detail.as_str()), (RejectReason::NotJson, "nested deeper than 32"));
    assert_eq!(refuse(&"[".repeat(5_000_000)).reason, RejectReason::NotJson);
    // Brackets inside strings nest nothing.
    accept(&format!(r#"{{"x":"\"{}","rev":1,"nodesExt":[{{}}]}}"#, "[".repeat(100)));
}

#[test]
fn r_parse_5_the_last_of_duplicate_keys_wins() {
    let map = accept(
        r#"{"rev":1,"rev":2,"nodesExt":[],"nodesExt":[{"hostname":"a","hostname":"b","services":{"kv":1},
            "services":{"kv":2,"kv":3,"mgmt":5,"mgmt":0}}],"clusterName":"x","clusterName":"y"}"#,
    );
    assert_eq!(map.rev.rev, 2);
    assert_eq!(map.nodes[0].endpoint(Service::Kv, "default", false), Some(("b", 3)));
    assert_eq!(map.nodes[0].endpoint(Service::Mgmt, "default", false), None);
    assert_eq!(map.cluster_name.as_deref(), Some("y"));
    let text = r#"{"rev":1,"rev":null,"nodesExt":[{}]}"#;
    assert_eq!(refuse(text).reason, RejectReason::MissingOrMalformedRev);
}

#[test]
fn r_parse_5_invalid_utf_8() {
    let error = parse(b"{\"rev\":1,\"nodesExt\":[{}],\"x\":\"\xff\"}", ORIGIN).unwrap_err();
    assert_eq!(error.reason, RejectReason::NotJson);
    // A lone surrogate is JSON, but no text: the field reads as absent.
    let map = accept(r#"{"rev":1,"nodesExt":[{"hostname":"\ud800"}],"clusterName":"\u0061\n"}"#);
    assert_eq!(map.nodes[0].host, ORIGIN);
    assert_eq!(map.cluster_name.as_deref(), Some("a\n"));
}

#[test]
fn null_reads_as_missing_everywhere() {
    let map = accept(
        r#"{"rev":1,"revEpoch":null,"name":null,"uuid":null,"nodeLocator":null,"bucketCapabilities":null,
            "vBucketServerMap":null,"nodes":null,"clusterCapabilities":null,"clusterCapabilitiesVer":null,"prod":null,
            "clusterUUID":null,"clusterName":null,"nodesExt":[null,{"hostname":null,"services":null,"thisNode":null,
            "alternateAddresses":null,"serverGroup":null,"nodeUUID":null,"appTelemetryPath":null},
            {"hostname":"a","alternateAddresses":{"external":null,"other":{"hostname":null,"ports":null}}}]}"#,
    );
    assert_eq!((map.kind, map.nodes.len()), (MapKind::Global, 3));
    assert_eq!((map.rev.epoch, map.this_node_index, map.product), (None, None, Product::Server));
    assert_eq!(map.alternate_networks, ["other"]);
    assert_eq!(map.nodes[1].server_group, None);
    // The two nodes without a host cannot be told apart.
    assert_eq!(map.warnings, [MapWarning::DuplicateIdentity { first: 0, second: 1 }]);
}

#[test]
fn r_empty_leaves_the_node_list() {
    let text = bucket(1, &nodes_ext(&["a"]), "[]", "[]");
    let error = refuse(&text);
    assert_eq!(error.reason, RejectReason::EmptyVbucketMap);
    let partial = error.partial.unwrap();
    assert_eq!((partial.kind, partial.nodes.len(), partial.rev.rev), (MapKind::Global, 1, 1));
    assert_eq!(partial.nodes[0].host, "a");
    assert_eq!((&partial.bucket_name, &partial.vbuckets), (&None, &None));
}

#[test]
fn an_unknown_locator_leaves_the_node_list() {
    let map = accept(r#"{"rev":1,"name":"b","nodeLocator":"crush","nodesExt":[{}]}"#);
    assert_eq!((map.kind, map.bucket_name), (MapKind::Global, None));
    assert_eq!(map.warnings, [MapWarning::UnknownLocator("crush".to_owned())]);
    let map = accept(r#"{"rev":1,"name":"b","nodeLocator":7,"nodesExt":[{}]}"#);
    assert_eq!(map.warnings, [MapWarning::UnknownLocator("7".to_owned())]);
}

#[test]
fn malformed_optional_fields_read_as_absent() {
    let map = accept(
        r#"{"rev":1,"revEpoch":"x","uuid":[1],"name":"b","nodeLocator":"vbucket","bucketType":{},"storageBackend":1.5,
            "numVBuckets":"many","collectionsManifestUid":"zz","hibernationState":false,"bucketCapabilities":{"a":1},
            "clusterCapabilities":[[{}]],"nodes":7,"unknown":{"rev":[{"rev":9}]},"clusterUUID":1,"prod":2,
            "vBucketServerMap":{"hashAlgorithm":3,"numReplicas":-1,"serverList":"x","vBucketMap":[[0]]},
            "nodesExt":[5,{"hostname":{},"thisNode":"yes","services":[1],"alternateAddresses":"x","serverGroup":1}]}"#,
    );
    assert_eq!((map.rev.epoch, &map.bucket_uuid, &map.bucket_type), (None, &None, &None));
    assert_eq!((map.collections_manifest_uid, map.bucket_capabilities.len()), (None, 0));
    assert_eq!((map.nodes.len(), map.this_node_index, map.nodes_len), (2, None, None));
    let vbuckets = map.vbuckets.unwrap();
    assert_eq!((vbuckets.count(), vbuckets.num_replicas(), vbuckets.active(0)), (1, 0, Some(0)));
    assert!(map.warnings.contains(&MapWarning::MalformedEpoch));
    assert!(map.warnings.contains(&MapWarning::NumReplicasMissing));
}

#[test]
fn h5_ports_that_are_none_and_a_node_without_management() {
    let map = accept(
        r#"{"rev":1,"nodesExt":[{"hostname":"a","services":{"kv":11210,"kvSSL":70000,"cbasDebug":-1}}]}"#,
    );
    let node = &map.nodes[0];
    assert_eq!(node.endpoint(Service::Kv, "default", false), Some(("a", 11210)));
    assert_eq!(node.endpoint(Service::Kv, "default", true), None);
    assert_eq!(node.endpoint(Service::Mgmt, "default", false), None);
    assert_eq!(node.identity().to_string(), "a");
}

#[test]
fn more_nodes_than_indexes_can_name() {
    let text = format!(r#"{{"rev":1,"nodesExt":[{}{{}}]}}"#, "{},".repeat(40_000));
    let map = accept(&text);
    assert_eq!(map.nodes.len(), 32_767);
    assert!(map.warnings.contains(&MapWarning::TooManyNodes { kept: 32_767 }));
}

#[test]
fn more_networks_than_anybody_has() {
    let networks: Vec<_> = (0..100_000).map(|i| format!(r#""n{i}":{{}}"#)).collect();
    let map =
        accept(&format!(r#"{{"rev":1,"nodesExt":[{{"alternateAddresses":{{{}}}}}]}}"#, networks.join(",")));
    assert_eq!(map.alternate_networks.len(), 64);
    assert_eq!(map.warnings, [MapWarning::TooManyNetworks { slot: 0 }]);
}
