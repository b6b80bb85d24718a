//! R-IDX and R-ROW: from map indexes to slots.

use super::*;

fn vbuckets(text: &str) -> VbucketMap {
    accept(text).vbuckets.unwrap()
}

#[test]
fn r_idx_1_slots_are_never_dropped() {
    let ext = r#"[{"hostname":"q","services":{"n1ql":8093}},7,{"hostname":"tls","services":{"kvSSL":11207}},
                  {"hostname":"d","services":{"kv":11210},"alternateAddresses":{"external":{"hostname":"x"}}}]"#;
    let map = accept(&bucket(4, ext, r#"["q:1","e:1","tls:0","d:11210"]"#, "[[3],[2],[1],[0]]"));
    assert_eq!(map.nodes.iter().map(|node| node.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(map.vbuckets.as_ref().unwrap().active(0), Some(3));
    assert_eq!(map.vbuckets.as_ref().unwrap().active(3), Some(0));
    assert_eq!(map.node(2).unwrap().endpoint(Service::Kv, "default", false), None);
    assert_eq!(map.node(0).unwrap().endpoint(Service::Kv, "external", false), None);
}

#[test]
fn r_idx_2_an_index_is_a_position() {
    let map = vbuckets(&bucket(2, &nodes_ext(&["a", "b"]), r#"["a:11210","b:11210"]"#, "[[1,0],[0,1]]"));
    assert_eq!((map.active(0), map.replica(0, 1)), (Some(1), Some(0)));
    assert_eq!((map.active(1), map.replica(1, 1)), (Some(0), Some(1)));
}

#[test]
fn r_idx_3_server_list_in_another_order() {
    let text = bucket(3, &nodes_ext(&["a", "b", "c"]), r#"["c:11210","A.:11210","b:11210"]"#, "[[0,1,2]]");
    let map = accept(&text);
    let v = map.vbuckets.as_ref().unwrap();
    assert_eq!((v.active(0), v.replica(0, 1), v.replica(0, 2)), (Some(2), Some(0), Some(1)));
    assert_eq!(v.row(0), Some(&[0, 1, 2][..]));
    assert_eq!(report(&map, &[])["vbuckets"]["index_to_node"], serde_json::json!([2, 0, 1]));
    assert_eq!(map.warnings.len(), 3);
}

#[test]
fn r_idx_3_no_proof_without_exactly_one_match() {
    // b twice: ambiguous. x: no match. Port 0: no evidence.
    for list in [r#"["b:11210"]"#, r#"["x:11210"]"#, r#"["c:0"]"#, r#"["c"]"#, "[5]", "[null]"] {
        let map = vbuckets(&bucket(4, &nodes_ext(&["a", "b", "b", "c"]), list, "[[0]]"));
        assert_eq!(map.active(0), Some(0), "{list}");
    }
    // At its position and elsewhere too: the position stands.
    let map = vbuckets(&bucket(2, &nodes_ext(&["a", "a"]), r#"["a:11210","a:11210"]"#, "[[0],[1]]"));
    assert_eq!((map.active(0), map.active(1)), (Some(0), Some(1)));
}

#[test]
fn r_idx_4_h5_indexes_outside_the_server_list() {
    let text = bucket(1, &nodes_ext(&["a"]), r#"["a:11210","gone:11210"]"#, "[[0,1],[9,0],[70000],[-7,0]]");
    let map = accept(&text);
    let v = map.vbuckets.as_ref().unwrap();
    assert_eq!((v.active(0), v.replica(0, 1)), (Some(0), None));
    assert_eq!((v.active(1), v.replica(1, 1)), (None, Some(0)));
    assert_eq!((v.active(2), v.active(3), v.replica(3, 1)), (None, None, Some(0)));
    assert_eq!(map.warnings, [MapWarning::IndexOutOfRange { cells: 3, first_vbucket: 0 }]);
}

#[test]
fn h5_index_of_a_node_beyond_the_server_list() {
    let ext = nodes_ext(&["a", "b"]);
    let map = accept(&bucket(2, &ext, r#"["a:11210"]"#, "[[1,0]]"));
    let v = map.vbuckets.as_ref().unwrap();
    assert_eq!((v.active(0), v.replica(0, 1)), (None, Some(0)));
    assert_eq!(map.warnings, [MapWarning::IndexOutOfRange { cells: 1, first_vbucket: 0 }]);
    // Without a server list there is nothing to be beyond of.
    let map = accept(&bucket(0, &ext, "[]", "[[1,0]]"));
    assert_eq!(map.vbuckets.as_ref().unwrap().active(0), Some(1));
    assert!(map.nodes[1].serves_bucket);
}

#[test]
fn r_idx_5_only_the_first_nodes_serve_the_bucket() {
    let serving = |map: &ClusterMap| map.nodes.iter().map(|node| node.serves_bucket).collect::<Vec<_>>();
    let ext = nodes_ext(&["a", "b", "c"]);
    let map = accept(&bucket(2, &ext, r#"["a:11210","b:11210"]"#, "[[0]]"));
    assert_eq!(serving(&map), [true, true, false]);
    // The map proves that it uses the third.
    let map = accept(&bucket(1, &ext, r#"["c:11210"]"#, "[[0]]"));
    assert_eq!(serving(&map), [true, false, true]);
    let map = accept(&bucket(1, &ext, r#"["a:11210","x:1","c:11210"]"#, "[[2]]"));
    assert_eq!(serving(&map), [true, false, true]);
    // Without `nodes` the server list counts.
    let text = bucket(0, &ext, r#"["x:1","y:1"]"#, "[[0]]").replace(r#""nodes":[],"#, "");
    assert_eq!(serving(&accept(&text)), [true, true, false]);
    let map = accept(&bucket(0, &ext, r#"["x:1","y:1"]"#, "[[0]]"));
    assert_eq!(
        (serving(&map), map.warnings.as_slice()),
        (vec![true, true, false], &[MapWarning::NodesEmpty][..])
    );
}

#[test]
fn r_idx_5_ketama_ring_members() {
    let ext = r#"[{"hostname":"a","services":{"kv":1}},{"hostname":"b","services":{"kvSSL":2}},
                  {"hostname":"c","services":{"kv":3},"alternateAddresses":{"external":{"hostname":"x"}}},
                  {"hostname":"d","services":{"kv":4}}]"#;
    let map =
        accept(&format!(r#"{{"rev":1,"name":"m","nodeLocator":"ketama","nodes":[1,2,3],"nodesExt":{ext}}}"#));
    let members: Vec<_> = map.ketama.as_ref().unwrap().members().collect();
    assert_eq!(members, [("a:1", 0), ("c:3", 2)]);
    let route = map.route(b"hello").unwrap();
    assert_eq!(route.vbucket, 0);
    assert!(matches!(route.slot, Some(0 | 2)));
}

#[test]
fn a_ring_of_too_many_members_is_not_built() {
    let ext = vec![r#"{"services":{"kv":1}}"#; 1025].join(",");
    let map = accept(&format!(r#"{{"rev":1,"name":"m","nodeLocator":"ketama","nodesExt":[{ext}]}}"#));
    assert_eq!(map.ketama, None);
    assert_eq!(map.route(b"k"), Some(Route { vbucket: 0, slot: None }));
    assert!(map.warnings.contains(&MapWarning::TooManyRingMembers(1025)));
}

#[test]
fn r_row_1_unassigned() {
    let map = vbuckets(&bucket(1, &nodes_ext(&["a"]), r#"["a:11210"]"#, "[[0],[-1,0],[],[-2]]"));
    assert_eq!((0..5).map(|v| map.active(v)).collect::<Vec<_>>(), [Some(0), None, None, None, None]);
}

#[test]
fn r_row_2_replicas() {
    let ext = nodes_ext(&["a", "b", "c"]);
    let map = vbuckets(&bucket(3, &ext, r#"["a:11210","b:11210","c:11210"]"#, "[[0,-1,2],[1]]"));
    assert_eq!(
        (map.replica(0, 0), map.replica(0, 1), map.replica(0, 2), map.replica(0, 3)),
        (None, None, Some(2), None)
    );
    assert_eq!(map.replica(1, 1), None);
    assert_eq!(map.replica(0, usize::MAX), None);
    assert_eq!(map.replicas(0).collect::<Vec<_>>(), [2]);
    assert_eq!(map.replicas(9).count(), 0);
}

#[test]
fn r_row_3_rows_of_any_length() {
    let map = vbuckets(&bucket(1, &nodes_ext(&["a"]), r#"["a:11210"]"#, "[[0,0,0,0,0],[],[0]]"));
    assert_eq!((map.count(), map.configured_replicas(), map.num_replicas()), (3, Some(1), 1));
    assert_eq!(map.replica(0, 4), Some(0));
    assert_eq!(map.row(2), Some(&[0][..]));
}

#[test]
fn malformed_rows() {
    for rows in
        ["7", "{}", "null", "[7]", "[[0],{}]", "[[0.5]]", "[[\"0\"]]", "[[null]]", "[[0],[[0]]]", "[[true]]"]
    {
        let error = refuse(&bucket(1, &nodes_ext(&["a"]), "[]", rows));
        assert_eq!(error.reason, RejectReason::MalformedVbucketMap, "{rows}");
    }
}

#[test]
fn h5_number_of_rows() {
    let rows = |n: usize| format!("[{}]", vec!["[0]"; n].join(","));
    let one = vbuckets(&bucket(1, &nodes_ext(&["a"]), "[]", &rows(1)));
    assert_eq!((one.count(), one.vbucket(b"hello"), one.active(0)), (1, 0, Some(0)));
    assert_eq!(vbuckets(&bucket(1, &nodes_ext(&["a"]), "[]", &rows(32_768))).count(), 32_768);
    for n in [32_769, 65_536] {
        let error = refuse(&bucket(1, &nodes_ext(&["a"]), "[]", &rows(n)));
        assert_eq!(error.reason, RejectReason::MalformedVbucketMap);
    }
}

#[test]
fn forward_map() {
    let with = |forward: &str| {
        let text = bucket(2, &nodes_ext(&["a", "b"]), r#"["b:11210","a:11210"]"#, "[[0],[1]]");
        accept(&text.replace(r#""numReplicas""#, &format!(r#""vBucketMapForward":{forward},"numReplicas""#)))
    };
    let map = with("[[1],[5]]");
    let v = map.vbuckets.as_ref().unwrap();
    assert!(v.has_forward());
    assert_eq!((v.active(0), v.forward_active(0), v.forward_active(1)), (Some(1), Some(0), None));
    assert!(map.warnings.contains(&MapWarning::IndexOutOfRange { cells: 1, first_vbucket: 1 }));
    for forward in ["[[0]]", "[]", "[[0],7]", "9"] {
        let map = with(forward);
        assert!(!map.vbuckets.unwrap().has_forward(), "{forward}");
        assert!(map.warnings.contains(&MapWarning::ForwardMapIgnored), "{forward}");
    }
}

#[test]
fn declared_number_of_vbuckets_only_warns() {
    let text =
        bucket(1, &nodes_ext(&["a"]), "[]", "[[0]]").replace(r#""rev":1"#, r#""rev":1,"numVBuckets":1024"#);
    let map = accept(&text);
    assert_eq!(map.warnings, [MapWarning::VbucketCountMismatch { declared: 1024, rows: 1 }]);
}
