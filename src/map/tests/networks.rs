//! R-NET: which network.

use super::*;

/// `a` is internal only; `b` and `c` have more networks, `c` without KV on `external`.
const MAP: &str = r#"{"rev":1,"nodesExt":[
    {"hostname":"a","services":{"kv":11210,"kvSSL":11207,"mgmt":8091,"mgmtSSL":18091}},
    {"hostname":"b","services":{"kv":11210,"kvSSL":11207,"mgmt":8091,"mgmtSSL":18091},
     "alternateAddresses":{"vpn":{"hostname":"pub"},"external":{"hostname":"pub","ports":{"kv":31210,"mgmt":38091}}}},
    {"hostname":"c","services":{"kv":11210,"mgmt":8091},
     "alternateAddresses":{"lan":{"hostname":"fd00::1","ports":{"kv":5}},"half":{"ports":{"mgmt":7}}}}]}"#;

fn seed(host: &str, kv: u16) -> SeedAddr {
    SeedAddr { host: host.to_owned(), kv: Some(kv), mgmt: None }
}

fn auto(seeds: &[SeedAddr], tls: bool) -> (String, String) {
    let choice = choose_network(&accept(MAP), &NetworkSetting::Auto, seeds, tls).unwrap();
    (choice.name, choice.reason.to_string())
}

fn pair(name: &str, reason: &str) -> (String, String) {
    (name.to_owned(), reason.to_owned())
}

#[test]
fn r_net_2_named() {
    let map = accept(MAP);
    let named = |name: &str, tls| choose_network(&map, &NetworkSetting::Named(name.to_owned()), &[], tls);
    assert_eq!(named("default", true).unwrap().name, "default");
    assert_eq!(named("vpn", true).unwrap().reason, NetworkReason::Named);
    assert_eq!(named("external", false).unwrap().name, "external");
    for (name, tls) in [("external", true), ("half", false), ("nowhere", false), ("", false)] {
        let error = named(name, tls).unwrap_err();
        assert_eq!(error.reason, RejectReason::NetworkUnavailable, "{name}");
        assert!(error.detail.ends_with("networks: default, vpn, external, lan, half"), "{}", error.detail);
    }
}

#[test]
fn r_net_2_default_works_without_any_kv() {
    let map = accept(r#"{"rev":1,"nodesExt":[{}]}"#);
    assert_eq!(
        choose_network(&map, &NetworkSetting::from_option("default"), &[], false).unwrap().name,
        "default"
    );
    assert_eq!(NetworkSetting::from_option("auto"), NetworkSetting::Auto);
}

#[test]
fn r_net_3_management_ports_count() {
    let seed = SeedAddr { host: "A.".to_owned(), kv: None, mgmt: Some(8091) };
    assert_eq!(auto(&[seed], false), pair("default", "exact match in default"));
    let seed = SeedAddr { host: "pub".to_owned(), kv: None, mgmt: Some(38091) };
    assert_eq!(auto(&[seed], false), pair("external", "exact match in external"));
}

#[test]
fn r_net_4_the_default_network_comes_first() {
    assert_eq!(
        auto(&[seed("pub", 31210), seed("a", 11210)], false),
        pair("default", "exact match in default")
    );
    assert_eq!(auto(&[seed("a", 11207)], true), pair("default", "exact match in default"));
    // The other mode's port is no match.
    assert_eq!(auto(&[seed("a", 11207)], false).1, "no match; external offers KV");
}

#[test]
fn r_net_5_alternates_by_host_and_exact_port() {
    assert_eq!(auto(&[seed("pub", 31210)], false), pair("external", "exact match in external"));
    assert_eq!(auto(&[seed("pub", 11210)], false), pair("vpn", "exact match in vpn"));
    assert_eq!(auto(&[seed("[FD00::1]", 5)], false), pair("lan", "exact match in lan"));
}

#[test]
fn r_net_6_otherwise() {
    assert_eq!(auto(&[seed("lb", 11210)], false), pair("external", "no match; external offers KV"));
    assert_eq!(auto(&[seed("lb", 11207)], true), pair("default", "no match; no usable external"));
    assert_eq!(auto(&[], false), pair("external", "no match; external offers KV"));
}
