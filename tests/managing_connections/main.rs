//! What the documentation's page on managing connections promises, row by row as in `docs/managing-connections.md`:
//! the rows about strings, settings, seeds and networks.

#[path = "../engine/common.rs"]
#[expect(dead_code, reason = "the helpers of the engine's tests; some are used here")]
mod common;
#[cfg(feature = "tls-core")]
mod secure;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Client, net, node, secs, value};
use settee::connstr::{self, ErrorKind, WarningKind};
use settee::options::{self, Options, Resolved, registry};
use settee_sim::{Alternate, Listener, NodeId, Reachability};

fn resolve_with(text: &str, typed: Options) -> Resolved {
    let connstr = connstr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    options::resolve(&connstr, typed).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn resolve(text: &str) -> Resolved {
    resolve_with(text, Options::default())
}

fn hosts(resolved: &Resolved) -> Vec<String> {
    resolved.seeds.iter().map(|seed| seed.host.to_string()).collect()
}

#[test]
fn seed_05_seeds_are_key_value_nodes_and_a_manager_port_is_refused_with_advice() {
    let resolved = resolve("couchbase://10.0.0.1,10.0.0.2");
    assert!(resolved.seeds.iter().all(|seed| seed.kv == Some(11210)));
    let error = connstr::parse("couchbase://10.0.0.1:8091").expect_err("a manager port");
    assert_eq!(error.kind, ErrorKind::ManagerPortAsKv);
    assert!(error.hint.contains("=http"), "{}", error.hint);
}

#[test]
fn seed_07_several_seeds_are_separated_by_commas() {
    let resolved = resolve("couchbase://10.0.0.1,10.0.0.2,db.example.com");
    assert_eq!(hosts(&resolved), ["10.0.0.1", "10.0.0.2", "db.example.com"]);
    assert_eq!(resolved.warnings, []);
    // Pieces without a host are skipped as long as one is left.
    assert_eq!(hosts(&resolve("couchbase://10.0.0.1,,10.0.0.2,")), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn seed_08_one_reachable_node_is_enough_and_tells_the_rest() {
    let mut net = net(3);
    net.set_reachability("10.0.0.8:11210".parse().expect("an address"), Reachability::BlackHole);
    net.set_reachability("10.0.0.9:11210".parse().expect("an address"), Reachability::Refuse);
    let text = "couchbase://10.0.0.8,10.0.0.9,10.0.0.2?preserve_bootstrap_nodes_order=true";
    let mut client = Client::connect(net, text);
    for index in 0..3 {
        assert_eq!(client.open_links(node(index)).len(), 1, "node {index}");
    }
    let bucket = client.bucket();
    assert_eq!(client.engine().bucket_map(bucket).expect("a map").nodes.len(), 3);
}

#[test]
fn seed_09_parameters_follow_a_question_mark_and_are_separated_by_ampersands() {
    assert_eq!(resolve("10.0.0.1").options, Options::default());
    assert_eq!(hosts(&resolve("10.0.0.1,10.0.0.2")), ["10.0.0.1", "10.0.0.2"]);
    let resolved = resolve("10.0.0.1?network=external&kv_timeout=10s");
    assert_eq!(resolved.options.network.to_string(), "external");
    assert_eq!(resolved.options.kv_timeout, secs(10));
    assert_eq!(resolved.warnings, []);
}

#[test]
fn seed_10_settings_with_a_system_property_name_are_parameters() {
    let java = |alias: &&options::Alias| alias.origins.contains(&options::Origin::Java);
    let mut count = 0;
    for entry in registry() {
        for alias in entry.aliases.iter().filter(java) {
            // Of these texts one is a value of the option.
            let texts = ["3s", "7", "true", "0.5", "text"];
            let text = texts.iter().find(|text| entry.syntax.read(text).is_some()).expect(alias.name);
            for prefix in ["", "com.couchbase.env."] {
                // A scheme would decide on TLS, and an option may not contradict it.
                let scheme = if entry.name == "enable_tls" { "" } else { "couchbases://" };
                let resolved = resolve(&format!("{scheme}h?{prefix}{}={text}", alias.name));
                assert!(
                    resolved.warnings.iter().all(|warning| warning.kind != WarningKind::UnknownOption),
                    "{prefix}{}: {:?}",
                    alias.name,
                    resolved.warnings
                );
                let lines = resolved.options.effective();
                let line = lines.iter().find(|line| line.name == entry.name);
                assert!(line.is_some_and(|line| line.from_string), "{prefix}{}", alias.name);
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn seed_11_the_scheme_is_optional() {
    let plain = resolve("couchbase://h");
    assert_eq!(resolve("h"), plain);
    assert!(!plain.tls);
    assert_eq!((plain.seeds[0].kv, plain.seeds[0].mgmt), (Some(11210), Some(8091)));
    let secure = resolve("couchbases://h");
    assert!(secure.tls);
    assert_eq!((secure.seeds[0].kv, secure.seeds[0].mgmt), (Some(11207), Some(18091)));
}

#[test]
fn seed_12_typed_settings_have_the_same_names_and_legacy_names_are_deprecated() {
    let mut typed = Options::default();
    (typed.kv_timeout, typed.kv_durable_timeout) = (secs(7), secs(8));
    let resolved = resolve_with("couchbase://h?kv_timeout=9s", typed);
    assert_eq!((resolved.options.kv_timeout, resolved.options.kv_durable_timeout), (secs(9), secs(8)));
    assert_eq!(resolved.warnings, []);
    for (pair, name) in [
        ("operation_timeout=5s", "kv_timeout"),
        ("config_total_timeout=5s", "bootstrap_timeout"),
        ("http_timeout=5s", "management_timeout"),
        ("force_ipv4=true", "ip_protocol"),
    ] {
        let resolved = resolve(&format!("couchbase://h?{pair}"));
        let deprecated =
            resolved.warnings.iter().find(|warning| warning.kind == WarningKind::DeprecatedOption);
        let text = &deprecated.unwrap_or_else(|| panic!("{pair}: {:?}", resolved.warnings)).text;
        assert!(text.contains(name), "{pair}: {text}");
    }
}

#[test]
fn seed_16_and_17_from_outside_the_advertised_address_and_port_are_used() {
    let dialled = |text: &str| {
        let mut net = net(2);
        for index in 0..2 {
            let outside = format!("203.0.113.{}", index + 1).parse().expect("an address");
            let mut address = net.cluster().address(NodeId(index)).expect("a node").clone();
            let ports = Some(BTreeMap::from([(Listener::KV, 31210)]));
            address.alternates =
                vec![Alternate { ports, ..Alternate::external(format!("node{index}.outside")) }];
            net.cluster().set_address(NodeId(index), address);
            net.set_name(&format!("node{index}.outside"), Ok(vec![outside]));
        }
        let mut client = Client::new(net, text);
        client.run_for(secs(1));
        let mut dialled: Vec<_> = client.world.dialled().map(|(.., address)| address.to_string()).collect();
        dialled.sort_unstable();
        dialled.dedup();
        dialled
    };
    // From inside the seed is one of the internal addresses: so are the others that are dialled.
    let inside = ["10.0.0.1:11210", "10.0.0.2:11210"];
    assert_eq!(dialled("couchbase://node1.sim:11210"), inside);
    // A seed that is none of them comes from outside, and is not in need of a setting.
    let outside = ["10.0.0.1:11210", "203.0.113.2:31210"];
    assert_eq!(dialled("couchbase://10.0.0.1"), outside);
    assert_eq!(dialled("couchbase://10.0.0.1?network=external"), outside);
    assert_eq!(dialled("couchbase://10.0.0.1?network=default"), inside);
}

#[test]
fn seed_23_the_mozilla_roots_can_be_left_out() {
    let mut typed = Options::default();
    typed.disable_mozilla_ca_certificates = true;
    assert!(resolve_with("couchbases://h", typed).options.disable_mozilla_ca_certificates);
    let resolved = resolve("couchbases://h?disable_mozilla_ca_certificates=true");
    assert!(resolved.options.disable_mozilla_ca_certificates);
    assert!(!resolve("couchbases://h").options.disable_mozilla_ca_certificates);
    // Where there is no TLS it is said that it does nothing.
    let resolved = resolve("couchbase://h?disable_mozilla_ca_certificates=true");
    assert_eq!(resolved.warnings[0].kind, WarningKind::IgnoredOption);
}

#[test]
fn seed_28_cert_path_names_the_certificate_to_trust() {
    let resolved = resolve("couchbases://your-host?cert_path=/path/to/cluster.crt");
    assert_eq!(resolved.options.trust_certificate, ["/path/to/cluster.crt"]);
    assert_eq!(resolved.options.certificate_path, None);
    assert_eq!(resolved.notes, ["cert_path is read as trust_certificate"]);
    let mut typed = Options::default();
    typed.trust_certificate = vec!["/path/to/cluster.crt".to_owned()];
    assert_eq!(
        resolve_with("couchbases://your-host", typed).options.trust_certificate,
        ["/path/to/cluster.crt"]
    );
}

#[test]
fn seed_32_default_ports_are_11210_plain_and_11207_with_tls() {
    let port = |text: &str| resolve(text).seeds[0].kv;
    assert_eq!((port("couchbase://h"), port("couchbases://h")), (Some(11210), Some(11207)));
    let mut client = Client::connected(1);
    client.set("airline_10", "in the clear").expect("it is stored");
    assert_eq!(value(&client.get("airline_10")), b"in the clear");
    assert_eq!(client.world.dialled().next().map(|(.., address)| address.port()), Some(11210));
}

#[test]
fn seed_34_the_profile_for_far_clusters() {
    let far = resolve("couchbases://h?profile=wan_development").options;
    assert_eq!((far.kv_timeout, far.kv_connect_timeout), (secs(20), secs(20)));
    assert_eq!((far.bootstrap_timeout, far.dns_srv_timeout), (secs(120), secs(20)));
    assert_eq!(Options::default().kv_timeout, Duration::from_millis(2500));
}

#[test]
fn seed_38_a_string_that_lost_its_addresses_is_refused() {
    let error = connstr::parse("couchbase://,").expect_err("it names no host");
    assert_eq!(error.kind, ErrorKind::NoHosts);
    assert!(!error.hint.is_empty());
}

#[test]
fn the_page_has_a_row_for_each_statement_and_the_tests_that_it_names() {
    let page = include_str!("../../docs/managing-connections.md");
    let numbers: Vec<usize> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    assert!(numbers.into_iter().eq(1..=38));
    let source = concat!(include_str!("main.rs"), include_str!("secure.rs"));
    let tests: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("fn seed_")).collect();
    let named: Vec<&str> = page.split("`seed_").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    // Those with a star are in the file that the row names.
    for name in named.iter().filter(|name| !name.ends_with('*')) {
        assert!(tests.iter().any(|test| test.starts_with(name)), "there is no test seed_{name}");
    }
    for test in tests {
        assert!(named.iter().any(|name| test.starts_with(name)), "the page does not name seed_{test}");
    }
}
