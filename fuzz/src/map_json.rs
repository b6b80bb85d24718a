//! Cluster maps: the parser and the version scan agree, and an accepted map can be used for everything without a check.

use serde::Deserialize;
use serde::de::IgnoredAny;
use settee::map::{
    ClusterMap, DEFAULT_NETWORK, NetworkSetting, SeedAddr, Service, Succession, choose_network, parse, peek_rev,
    report, report_refusal, succession,
};

/// The document is the whole input; its length chooses the host it came from.
pub fn map_json(data: &[u8]) {
    let origin = ["127.0.0.1", "::1", "[fe80::1]", "db.example.com"][data.len() % 4];
    let peeked = peek_rev(data);
    match parse(data, origin) {
        Ok(map) => {
            if !repeats_version(data) {
                let peeked = peeked.expect("a map that is accepted has a version");
                assert_eq!((peeked.epoch, peeked.rev), (map.rev.epoch, map.rev.rev));
            }
            assert_eq!(parse(data, origin).as_ref(), Ok(&map), "the same text gives the same map");
            exercise(&map);
        }
        Err(error) => {
            assert!(report_refusal(&error).is_object());
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Where `rev` or `revEpoch` is repeated, scan and parser may differ.
fn repeats_version(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "rev")]
        _rev: Option<IgnoredAny>,
        #[serde(rename = "revEpoch")]
        _epoch: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Version>(data).is_err_and(|error| error.to_string().contains("duplicate field"))
}

fn exercise(map: &ClusterMap) {
    assert!(!map.nodes.is_empty());
    for key in ["", "hello", "airline_10"] {
        let Some(route) = map.route(key.as_bytes()) else { continue };
        assert!(route.slot.is_none_or(|slot| map.node(slot).is_some()), "a slot without a node");
        if let Some(vbuckets) = &map.vbuckets {
            assert!(usize::from(route.vbucket) < vbuckets.count());
            assert_eq!(vbuckets.active(route.vbucket), route.slot);
        }
    }
    if let Some(vbuckets) = &map.vbuckets {
        for vbucket in [0, 1, 512, 1023, u16::MAX] {
            let slots = vbuckets
                .replicas(vbucket)
                .chain(vbuckets.active(vbucket))
                .chain(vbuckets.forward_active(vbucket))
                .chain((0..5).filter_map(|k| vbuckets.replica(vbucket, k)));
            for slot in slots {
                assert!(map.node(slot).is_some(), "a slot without a node");
            }
            let _ = (vbuckets.row(vbucket), vbuckets.forward_row(vbucket), vbuckets.num_replicas());
        }
    }
    for tls in [false, true] {
        networks(map, tls);
    }
    assert!(report(map, &["", "hello"]).is_object());
    assert_eq!(succession(None, map), Ok(Succession::First));
    assert_eq!(map.succession(map), Ok(Succession::Same));
    let cluster = map.cluster_part();
    assert_eq!((cluster.nodes.len(), cluster.rev), (map.nodes.len(), map.rev));
    assert!(report(&cluster, &["hello"]).is_object());
}

fn networks(map: &ClusterMap, tls: bool) {
    let mut seeds = vec![SeedAddr { host: "db.example.com".into(), kv: Some(11210), mgmt: None }];
    if let Some(node) = map.nodes.last() {
        for network in map.alternate_networks.iter().map(String::as_str).chain([DEFAULT_NETWORK]) {
            if let Some((host, port)) = node.endpoint(Service::Kv, network, tls) {
                seeds.push(SeedAddr { host: host.into(), kv: Some(port), mgmt: None });
            }
        }
    }
    for count in [0, 1, seeds.len()] {
        let choice = choose_network(map, &NetworkSetting::Auto, &seeds[..count], tls).expect("`auto` finds one");
        assert!(choice.name == DEFAULT_NETWORK || map.alternate_networks.contains(&choice.name));
    }
    for name in map.alternate_networks.iter().map(String::as_str).chain(["external", "nowhere"]) {
        if let Ok(choice) = choose_network(map, &NetworkSetting::Named(name.into()), &seeds, tls) {
            assert_eq!(choice.name, name);
        }
    }
}
