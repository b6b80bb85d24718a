//! R-HOST, R-CANON, R-PORT, R-MODE, R-ALT, R-ID.

use super::*;

fn node(body: &str) -> Node {
    accept(&format!(r#"{{"rev":1,"nodesExt":[{body}]}}"#)).nodes.swap_remove(0)
}

#[test]
fn r_host_1_origin_is_kept_without_brackets() {
    let map = parse(br#"{"rev":1,"nodesExt":[{}]}"#, "[::1]").unwrap();
    assert_eq!(map.nodes[0].host, "::1");
}

#[test]
fn r_host_2_missing_or_empty_host_is_the_origin_on_any_node() {
    let map = accept(
        r#"{"rev":1,"nodesExt":[{"services":{"mgmt":9000},"thisNode":true},
            {"services":{"mgmt":9001}},{"hostname":"","services":{"mgmt":9002}},{"hostname":"x"}]}"#,
    );
    let hosts: Vec<_> = map.nodes.iter().map(|node| (node.host.as_str(), node.host_inferred)).collect();
    assert_eq!(hosts, [(ORIGIN, true), (ORIGIN, true), (ORIGIN, true), ("x", false)]);
    assert_eq!(map.warnings, []);
}

#[test]
fn r_host_3_placeholder_anywhere_in_a_host() {
    let n = node(r#"{"hostname":"$HOST","alternateAddresses":{"external":{"hostname":"a.$HOST.b"}}}"#);
    assert_eq!((n.host.as_str(), n.host_inferred), (ORIGIN, true));
    assert_eq!(n.host_on("external"), Some("a.origin.example.com.b"));
}

#[test]
fn r_host_3_ipv6_origin_is_bracketed_before_a_port() {
    // The entries of serverList prove an order only if the placeholder and the brackets are understood.
    let ext = r#"[{"hostname":"a","services":{"kv":1}},{"services":{"kv":2}}]"#;
    let text = bucket(2, ext, r#"["$HOST:2","a:1"]"#, "[[0]]");
    let map = parse(text.as_bytes(), "fd00::1").unwrap();
    assert_eq!(map.vbuckets.unwrap().active(0), Some(1));
    let text = bucket(2, ext, r#"["[$HOST]:2","a:1"]"#, "[[0]]");
    assert_eq!(parse(text.as_bytes(), "fd00::1").unwrap().vbuckets.unwrap().active(0), Some(1));
}

#[test]
fn r_host_3_placeholders_cannot_multiply_the_document() {
    let n = node(&format!(r#"{{"hostname":"{}"}}"#, "$HOST".repeat(1000)));
    assert!(n.host.len() < 5000 + ORIGIN.len());
}

#[test]
fn r_host_4_text_form() {
    assert_eq!(Endpoint::new("a", 1).to_string(), "a:1");
    assert_eq!(Endpoint::new("10.0.0.1", 11210).to_string(), "10.0.0.1:11210");
    assert_eq!(Endpoint::new("::1", 1).to_string(), "[::1]:1");
    assert_eq!(node(r#"{"hostname":"MiXed.Case."}"#).host, "MiXed.Case.");
}

#[test]
fn r_canon() {
    for (a, b) in [
        ("a.b", "A.B"),
        ("a.b.", "a.b"),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("[::1]", "::1"),
        ("FD00::a", "fd00::A"),
        ("1.2.3.4", "1.2.3.4"),
    ] {
        assert!(canonical_host_eq(a, b), "{a} {b}");
        assert_eq!(CanonicalHost::new(a), CanonicalHost::new(b));
    }
    for (a, b) in
        [("a", "b"), ("a..", "a"), ("::1", "::2"), ("1.2.3.4", "::ffff:1.2.3.4"), ("1.2.3.4", "1.2.3.4.x")]
    {
        assert!(!canonical_host_eq(a, b), "{a} {b}");
        assert_ne!(CanonicalHost::new(a), CanonicalHost::new(b));
    }
    assert!(Endpoint::new("A.", 1).same_place(&Endpoint::new("a", 1)));
    assert!(!Endpoint::new("a", 2).same_place(&Endpoint::new("a", 1)));
}

#[test]
fn r_port() {
    for (port, read) in [
        ("1", Some(1)),
        ("65535", Some(65535)),
        ("0", None),
        ("65536", None),
        ("-1", None),
        ("11210.0", None),
        ("1e4", None),
        ("1e999", None),
        ("\"11210\"", None),
        ("null", None),
        ("[1]", None),
        ("{\"kv\":1}", None),
        ("99999999999999999999999", None),
    ] {
        let n = node(&format!(r#"{{"services":{{"kv":{port}}}}}"#));
        assert_eq!(n.ports.get(Service::Kv, false), read, "{port}");
    }
}

#[test]
fn r_mode_never_falls_back() {
    let n = node(r#"{"hostname":"a","services":{"kv":1,"mgmtSSL":2}}"#);
    assert_eq!(n.endpoint(Service::Kv, "default", false), Some(("a", 1)));
    assert_eq!(n.endpoint(Service::Kv, "default", true), None);
    assert_eq!(n.endpoint(Service::Mgmt, "default", false), None);
    assert_eq!(n.endpoint(Service::Mgmt, "default", true), Some(("a", 2)));
}

#[test]
fn service_names_of_both_modes() {
    for service in Service::ALL {
        for tls in [false, true] {
            assert_eq!(Service::from_key(service.key(tls)), Some((service, tls)));
        }
    }
    let names: Vec<_> =
        Service::ALL.iter().map(|s| (s.as_str(), s.key(true), s.default_port(true))).collect();
    assert!(names.contains(&("eventing", "eventingSSL", 18096)));
    assert!(names.contains(&("backup", "backupAPIHTTPS", 18097)));
    assert!(names.contains(&("index", "indexHttps", 19102)));
    for other in ["projector", "moxi", "cbasAdmin", "ftsGRPC", "indexHttpSSL", "backupGRPC", ""] {
        assert_eq!(Service::from_key(other), None);
    }
}

#[test]
fn r_alt_1_every_key_is_a_network() {
    let n = node(
        r#"{"hostname":"a","services":{"kv":1},"alternateAddresses":{"external":{"hostname":"x"},
            "vpn":{"hostname":"y"},"default":{"hostname":"z"},"junk":5}}"#,
    );
    let names: Vec<_> = n.alternates.iter().map(|a| a.network.as_str()).collect();
    assert_eq!(names, ["external", "vpn"]);
    assert_eq!(n.endpoint(Service::Kv, "default", false), Some(("a", 1)));
    assert_eq!(n.endpoint(Service::Kv, "vpn", false), Some(("y", 1)));
    assert_eq!(n.endpoint(Service::Kv, "nowhere", false), None);
}

#[test]
fn r_alt_2_own_ports_only_without_any_entry() {
    let n = node(
        r#"{"hostname":"a","services":{"kv":1,"mgmt":2},"alternateAddresses":{
            "absent":{"hostname":"x"},"empty":{"hostname":"x","ports":{}},"none":{"hostname":"x","ports":null},
            "nulls":{"hostname":"x","ports":{"kv":null}},
            "some":{"hostname":"x","ports":{"mgmt":7}},"foreign":{"hostname":"x","ports":{"projector":7}},
            "invalid":{"hostname":"x","ports":{"kv":0}}}}"#,
    );
    let kv = |network| n.endpoint(Service::Kv, network, false);
    for network in ["absent", "empty", "none", "nulls"] {
        assert_eq!(kv(network), Some(("x", 1)), "{network}");
    }
    for network in ["some", "foreign", "invalid"] {
        assert_eq!(kv(network), None, "{network}");
    }
    assert_eq!(n.endpoint(Service::Mgmt, "some", false), Some(("x", 7)));
}

#[test]
fn h6_alternate_address_without_ports() {
    let n = node(
        r#"{"hostname":"a","services":{"kv":1,"kvSSL":2},"alternateAddresses":{"external":{"hostname":"x"}}}"#,
    );
    assert_eq!(n.endpoint(Service::Kv, "external", true), Some(("x", 2)));
}

#[test]
fn r_alt_3_host_defaults_to_the_default_host() {
    let n =
        node(r#"{"hostname":"a","services":{"kv":1},"alternateAddresses":{"external":{"ports":{"kv":9}}}}"#);
    assert_eq!(n.endpoint(Service::Kv, "external", false), Some(("a", 9)));
}

#[test]
fn r_alt_4_shared_external_address_is_no_identity() {
    let one = |host: &str, kv: u16| {
        format!(
            r#"{{"hostname":"{host}","services":{{"kv":1,"mgmt":2}},
                "alternateAddresses":{{"external":{{"hostname":"pl","ports":{{"kv":{kv},"mgmt":30000}}}}}}}}"#
        )
    };
    let map = accept(&format!(r#"{{"rev":1,"nodesExt":[{},{}]}}"#, one("a", 30001), one("b", 30002)));
    assert_eq!(map.warnings, []);
    assert_ne!(map.nodes[0].identity(), map.nodes[1].identity());
    assert_eq!(map.nodes[1].endpoint(Service::Kv, "external", false), Some(("pl", 30002)));
}

#[test]
fn r_id() {
    let id = |body: &str| node(body).identity();
    let address = id(r#"{"hostname":"A.","services":{"mgmt":8091,"mgmtSSL":18091}}"#);
    assert_eq!(address, id(r#"{"hostname":"a","services":{"mgmt":8091,"kv":5}}"#));
    assert_ne!(address, id(r#"{"hostname":"a","services":{"mgmt":8092}}"#));
    assert_eq!(id(r#"{"hostname":"a","services":{"mgmtSSL":18091}}"#).to_string(), "a:18091");
    let uuid = node(r#"{"hostname":"a","nodeUUID":"u","services":{"mgmt":8091}}"#);
    assert_eq!(uuid.identity(), id(r#"{"hostname":"b","nodeUUID":"u"}"#));
    assert_eq!(uuid.address_identity(), address);
}

#[test]
fn r_id_twins_keep_both_slots() {
    let map = accept(&format!(r#"{{"rev":1,"nodesExt":{}}}"#, nodes_ext(&["a", "b", "A"])));
    assert_eq!(map.nodes.len(), 3);
    assert_eq!(map.warnings, [MapWarning::DuplicateIdentity { first: 0, second: 2 }]);
}
