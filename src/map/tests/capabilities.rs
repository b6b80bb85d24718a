//! Capabilities, labels and the odd fields of the top level.

use super::*;

#[test]
fn bucket_capabilities_keep_unknown_names_and_drop_non_strings() {
    let text = bucket(1, &nodes_ext(&["a"]), "[]", "[[0]]");
    let map = accept(&text.replacen(
        r#""rev":1"#,
        r#""rev":1,"bucketCapabilities":["collections",7,null,"futureThing","preserveExpiry"],"bucketType":"membase""#,
        1,
    ));
    assert_eq!(map.bucket_capabilities.len(), 3);
    assert!(map.has_bucket_capability("futureThing"));
    assert!(map.has_bucket_capability("preserveExpiry"));
    assert!(!map.has_bucket_capability("preserve_expiry"));
    assert!(!map.is_ephemeral());
}

#[test]
fn ephemeral_by_type_else_by_lack_of_views() {
    let with = |fields: &str| {
        let text = bucket(1, &nodes_ext(&["a"]), "[]", "[[0]]");
        accept(&text.replacen(r#""rev":1"#, &format!(r#""rev":1{fields}"#), 1)).is_ephemeral()
    };
    assert!(with(""));
    assert!(!with(r#","bucketCapabilities":["couchapi"]"#));
    assert!(!with(r#","bucketType":"membase""#));
    assert!(with(r#","bucketType":"ephemeral","bucketCapabilities":["couchapi"]"#));
}

#[test]
fn cluster_capabilities_by_format_version() {
    let with = |version: &str| {
        accept(&format!(
            r#"{{"rev":1,"nodesExt":[{{}}],{version}"clusterCapabilities":{{"n1ql":["x","y",3],"fts":7,"a":[]}}}}"#
        ))
    };
    for version in ["", r#""clusterCapabilitiesVer":[1,0],"#, r#""clusterCapabilitiesVer":[1,9],"#] {
        let map = with(version);
        assert!(map.has_cluster_capability("n1ql", "y"), "{version}");
        assert!(!map.has_cluster_capability("fts", "y"));
        assert_eq!(map.cluster_capabilities.len(), 2);
        assert_eq!(map.warnings, []);
    }
    for version in [r#""clusterCapabilitiesVer":[2,0],"#, r#""clusterCapabilitiesVer":"1","#] {
        let map = with(version);
        assert!(map.cluster_capabilities.is_empty(), "{version}");
        assert_eq!(map.warnings, [MapWarning::UnknownCapabilitiesVersion]);
    }
}

#[test]
fn collections_manifest_uid_is_hexadecimal() {
    let with = |uid: &str| {
        let text = bucket(1, &nodes_ext(&["a"]), "[]", "[[0]]");
        accept(&text.replacen(r#""rev":1"#, &format!(r#""rev":1,"collectionsManifestUid":{uid}"#), 1))
            .collections_manifest_uid
    };
    assert_eq!(with(r#""1f""#), Some(0x1f));
    assert_eq!(with(r#""ffffffffffffffff""#), Some(u64::MAX));
    for uid in [r#""""#, r#""0x1""#, "7", r#""10000000000000000""#, r#""+1""#] {
        assert_eq!(with(uid), None, "{uid}");
    }
}

#[test]
fn product() {
    let with = |prod: &str| accept(&format!(r#"{{"rev":1,"nodesExt":[{{}}],"prod":{prod}}}"#)).product;
    assert_eq!(with(r#""server""#), Product::Server);
    assert_eq!(with("null"), Product::Server);
    assert_eq!(with(r#""analytics""#), Product::Analytics);
    assert_eq!(with(r#""x""#), Product::Other("x".to_owned()));
}
