use super::*;
use crate::terminal::Colours;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn client(line: &[&str]) -> Client {
    let args = Line::parse_from([&["map", "file"], line].concat()).args;
    Client::new(&args).unwrap()
}

/// Two nodes, both with an external address, two vbuckets.
pub(super) const MAP: &str = r#"{
    "rev": 7, "revEpoch": 2, "nodeLocator": "vbucket", "name": "travel", "uuid": "aa", "bucketType": "membase",
    "bucketCapabilities": ["collections"],
    "nodesExt": [
        {"hostname": "10.0.0.1", "thisNode": true, "services": {"kv": 11210, "kvSSL": 11207, "mgmt": 8091},
         "alternateAddresses": {"external": {"hostname": "lb.example.net", "ports": {"kv": 31001, "kvSSL": 32001}}}},
        {"hostname": "10.0.0.2", "services": {"kv": 11210, "kvSSL": 11207, "mgmt": 8091},
         "alternateAddresses": {"external": {"hostname": "lb.example.net", "ports": {"kv": 31002, "kvSSL": 32002}}}}
    ],
    "nodes": [{"hostname": "10.0.0.1:8091"}, {"hostname": "10.0.0.2:8091"}],
    "vBucketServerMap": {
        "hashAlgorithm": "CRC", "numReplicas": 1, "serverList": ["10.0.0.1:11210", "10.0.0.2:11210"],
        "vBucketMap": [[0, 1], [1, 0]]
    }
}"#;

#[test]
fn the_network_is_the_one_of_the_seed() {
    for (line, network, kv) in [
        (&["--seed", "10.0.0.2:11210"][..], "default", 11210),
        (&["--seed", "10.0.0.1:8091"], "default", 11210),
        (&["--seed", "lb.example.net:31002"], "external", 31001),
        (&["--seed", "lb.example.net:32002", "--tls"], "external", 32001),
        (&["--host", "10.0.0.1"], "default", 11210),
        (&["--seed", "elsewhere.example.org"], "external", 31001),
        (&["--seed", "elsewhere.example.org", "--network", "default"], "default", 11210),
    ] {
        let client = client(line);
        let view = client.read(MAP.as_bytes()).unwrap();
        let report = client.report(&view, &[]);
        assert_eq!(report["network"], network, "{line:?}");
        assert_eq!(report["endpoints"][0]["kv"], kv, "{line:?}");
    }
}

#[test]
fn the_report_has_the_fields_of_the_fixtures() {
    let client = client(&["--seed", "10.0.0.1:11210"]);
    let view = client.read(MAP.as_bytes()).unwrap();
    let report = client.report(&view, &["hello".to_owned()]);
    for field in [
        "accept",
        "kind",
        "rev",
        "rev_epoch",
        "this_node_index",
        "alternate_networks",
        "bucket",
        "vbuckets",
        "nodes",
        "keys",
        "warnings",
        "network",
        "endpoints",
    ] {
        assert!(!report[field].is_null(), "{field} of {report}");
    }
    assert_eq!(report["keys"][0]["vbucket"], 0);
    assert_eq!(
        report["endpoints"][1],
        json!({
            "i": 1, "host": "10.0.0.2", "kv": 11210, "mgmt": 8091, "serves_bucket": true
        })
    );
}

#[test]
fn a_network_that_is_not_offered_is_no_use() {
    let client = client(&["--network", "internal"]);
    let view = client.read(MAP.as_bytes()).unwrap();
    let report = client.report(&view, &[]);
    assert!(view.network.is_err() && report["network"].is_null());
    assert!(report["network_reason"].as_str().unwrap().contains("external"), "{report}");
}

#[test]
fn maps_are_separated_by_four_newlines() {
    assert_eq!(documents(b"{}\n\n\n\n{\"a\": 1}\n\n\n\n\n\n\n\n"), [&b"{}"[..], b"{\"a\": 1}"]);
    assert_eq!(documents(b"{\n\n}"), [&b"{\n\n}"[..]]);
    assert_eq!(documents(b""), [&b""[..]]);
}

#[test]
fn seeds_have_a_host_and_perhaps_a_port() {
    let seed = |text| read_seed(text, true);
    assert_eq!(
        seed("[::1]:9000").unwrap(),
        SeedAddr { host: "::1".into(), kv: Some(9000), mgmt: Some(9000) }
    );
    assert_eq!(seed("[::1]").unwrap().kv, Some(11207));
    assert_eq!(seed("H").unwrap(), SeedAddr { host: "h".into(), kv: Some(11207), mgmt: Some(18091) });
    for wrong in ["h:0", "h:x", "", "a,b", "h:99999"] {
        assert!(matches!(seed(wrong), Err(Failure::Usage { .. })), "{wrong}");
    }
}

#[test]
fn text_tells_network_nodes_and_keys() {
    let client = client(&["--seed", "lb.example.net:31001"]);
    let view = client.read(MAP.as_bytes()).unwrap();
    let mut out = Vec::new();
    text::write(&mut out, &client.report(&view, &["hello".to_owned()]), Colours::NONE).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in [
        "map       terse-bucket, revision 7 of epoch 2\n",
        "bucket    travel, membase, with collections\n",
        "network   external (exact match in external)\n",
        "nodes     0  lb.example.net  KV 31001, gave this map\n",
        "keys      \"hello\" in vbucket 0, active on node 0, replicas on 1\n",
    ] {
        assert!(text.contains(line), "{line}in\n{text}");
    }
}
