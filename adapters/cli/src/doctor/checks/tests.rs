//! Every check, from facts written down by hand: what it says, how bad that is, and that nothing is said of a cluster that
//! is well.

use serde_json::{Value, json};
use settee::engine::Stage;
use settee::error::ErrorKind;
use settee_sim::DnsZone;

use super::all;
use super::samples::*;
use crate::doctor::facts::{Facts, HttpFacts, SetupError, Whole};
use crate::doctor::finding::{Finding, Severity};

/// Code, severity, words of the finding, facts.
fn cases() -> Vec<(&'static str, Severity, &'static str, Facts)> {
    use Severity::{Error, Info, Warn};
    let unreachable = || {
        change(|facts| {
            for seed in &mut facts.seeds {
                seed.kv = failed(Stage::Tcp, ErrorKind::UnambiguousTimeout, "connection refused");
                seed.http = None;
            }
            facts.whole = Whole::default();
            facts.whole.map =
                Some(Err(crate::doctor::facts::WholeFailure { text: "no map".to_owned(), hints: vec![] }));
        })
    };
    let auth = |tls: bool, text: &str| {
        change(|facts| {
            facts.given.tls = tls;
            for seed in &mut facts.seeds {
                seed.kv = failed(Stage::Auth, ErrorKind::AuthenticationFailure, text);
            }
        })
    };
    let many: Vec<String> = (0..12).map(|n| format!("a-rather-long-node-name-{n}.cb.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let tls_record = || {
        let name = "_couchbases._tcp.cb.example.com";
        let mut zone = DnsZone::new();
        zone.srv(name, [("n1.example.com", 11207)]);
        srv(name, Some(zone))
    };
    let ready = |kind, text: &str| {
        let text = text.to_owned();
        change(move |facts| facts.whole.bucket.as_mut().unwrap().ready = Err((kind, text)))
    };
    vec![
        (
            "D-1",
            Error,
            "at byte 3",
            Facts { refused: Some("InvalidPort at byte 3".to_owned()), ..Facts::default() },
        ),
        (
            "D-1",
            Error,
            "cccp",
            change(|facts| facts.setup = Some(SetupError::Other("bootstrap_on=cccp".to_owned()))),
        ),
        ("D-2", Warn, "DeprecatedScheme", warned("http://10.0.0.1")),
        ("D-2", Warn, "DeprecatedManagerPort", warned("10.0.0.1:8091")),
        ("D-3", Info, "2 records", with_srv(records(&["n1.other.org", "n2.other.org"]))),
        ("D-3", Warn, "12 records", with_srv(records(&many))),
        ("D-3", Warn, "no name server is configured", with_srv(srv(QUERY, None))),
        ("D-3", Info, "NXDOMAIN", with_srv(srv(QUERY, Some(DnsZone::new())))),
        (
            "D-4",
            Warn,
            "as well",
            Facts {
                srv_host: Some(name("cb.example.com", Ok(&["10.0.0.1"]))),
                ..with_srv(records(&["n1.other.org"]))
            },
        ),
        ("D-5", Warn, "repeats the domain", with_srv(records(&["n1.cb.example.com.cb.example.com"]))),
        (
            "D-6",
            Error,
            "for TLS",
            Facts { srv_for_tls: Some(tls_record()), ..with_srv(srv(QUERY, Some(DnsZone::new()))) },
        ),
        ("D-7", Warn, "names one node", change(|facts| facts.given.seeds.truncate(1))),
        ("D-8", Info, "key-value: 10.0.0.1:11210, 10.0.0.2:11210", well()),
        ("D-9", Info, "no bucket", change(|facts| facts.given.bucket = None)),
        ("D-10", Error, "no such name", named(Err("no such name"))),
        ("D-10", Error, "no address", named(Ok(&[]))),
        ("D-11", Warn, "2 addresses", named(Ok(&["10.0.0.1", "10.0.0.2"]))),
        ("D-12", Info, "IPv6 addresses only", named(Ok(&["2001:db8::1"]))),
        ("D-12", Info, "release 5.1.0", {
            let mut facts = named(Ok(&["10.0.0.1", "2001:db8::1"]));
            facts.pool.as_mut().unwrap().nodes[1].version = "5.1.0-5552".to_owned();
            facts
        }),
        ("D-13", Error, "Capella", change(|facts| facts.given.capella = true)),
        (
            "D-13",
            Error,
            "holds no certificate",
            change(|facts| facts.setup = Some(SetupError::Trust("it holds no certificate".to_owned()))),
        ),
        ("D-13", Warn, "not verified", change(|facts| (facts.given.tls, facts.given.verify) = (true, false))),
        (
            "D-13",
            Warn,
            "names in certificates",
            change(|facts| (facts.given.tls, facts.given.verify_hostname) = (true, false)),
        ),
        ("D-13", Warn, "/etc/ssl", {
            let mut facts = secured(refused(), |_| {});
            facts.given.trust_notes.push("/etc/ssl cannot be read".to_owned());
            facts
        }),
        ("D-14", Info, "300 days left", secured(done(), |_| {})),
        ("D-14", Warn, "ends in 12 days", secured(done(), |leaf| leaf.not_after = NOW + 12 * 86_400)),
        ("D-14", Error, "ended 3 days ago", secured(refused(), |leaf| leaf.not_after = NOW - 3 * 86_400)),
        ("D-14", Error, "ended 1 day ago", secured(refused(), |leaf| leaf.not_after = NOW - 86_400 - 60)),
        ("D-14", Error, "not trusted", secured(refused(), |_| {})),
        ("D-15", Info, "without SYNC_REPLICATION", well()),
        (
            "D-15",
            Error,
            "failed at HELLO",
            change(|facts| {
                facts.seeds[0].kv = failed(Stage::Hello, ErrorKind::UnambiguousTimeout, "no answer")
            }),
        ),
        ("D-16", Info, "over HTTP", well()),
        (
            "D-16",
            Warn,
            "no map over HTTP",
            change(|facts| {
                let error = attempt(Stage::Map, ErrorKind::UnambiguousTimeout, "HTTP status 500");
                facts.seeds[0].http = Some(HttpFacts { port: 8091, outcome: Err(error), elapsed: MS });
            }),
        ),
        ("D-16", Error, "no map", unreachable()),
        ("D-17", Info, "network in use: default", well()),
        (
            "D-17",
            Info,
            "network in use: external",
            outside(&json!({"external": {"hostname": "198.51.100.2", "ports": {"kv": 31000}}})),
        ),
        (
            "D-17",
            Warn,
            "has no ports of its own",
            outside(&json!({"external": {"hostname": "198.51.100.2"}})),
        ),
        ("D-17", Warn, "without an address on the network external: 10.0.0.2", outside(&Value::Null)),
        ("D-17", Error, "external", change(|facts| choose(facts, &two_nodes(), "external"))),
        (
            "D-18",
            Error,
            "2 clusters",
            change(|facts| {
                let other = cluster("bb", &[node("10.0.0.2")]);
                (facts.seeds[1].kv, facts.seeds[1].http) = (Some(kv(&other)), Some(http(&other)));
            }),
        ),
        (
            "D-19",
            Warn,
            "no node calls itself",
            change(|facts| facts.seeds[0].at.host = "db.example.com".to_owned()),
        ),
        (
            "D-20",
            Warn,
            "came over HTTP",
            change(|facts| {
                for seed in &mut facts.seeds {
                    seed.kv = failed(Stage::Tcp, ErrorKind::UnambiguousTimeout, "connection refused");
                }
            }),
        ),
        ("D-20", Warn, "bootstrap_on", change(|facts| facts.given.http_only = true)),
        ("D-21", Info, "release 7.6.4, healthy, active", well()),
        ("D-21", Info, "no manager answered", change(|facts| facts.pool = None)),
        ("D-22", Info, "2 of 2", well()),
        (
            "D-22",
            Error,
            "slot 1 cannot be reached",
            change(|facts| {
                facts.endpoints[1].outcome =
                    Err(attempt(Stage::Tcp, ErrorKind::UnambiguousTimeout, "refused"));
            }),
        ),
        (
            "D-22",
            Error,
            "no port of slot 1 can be reached: failed at TCP: refused (kv 11210, kv 11210)",
            change(|facts| {
                let refused = attempt(Stage::Tcp, ErrorKind::UnambiguousTimeout, "refused");
                facts.endpoints[1].outcome = Err(refused.clone());
                facts.endpoints.push(endpoint(1, "10.0.0.2", Err(refused)));
            }),
        ),
        (
            "D-22",
            Warn,
            "not in the map for the network default with TLS: query",
            change(|facts| {
                let mut plain = node("10.0.0.2");
                plain["services"]["n1ql"] = json!(8093);
                facts.given.tls = true;
                facts.whole.map = Some(Ok(cluster("aa", &[node("10.0.0.1"), plain])));
            }),
        ),
        ("D-23", Info, "mean 1.3ms", well()),
        ("D-23", Warn, "longest 21.0ms", change(|facts| facts.whole.noops = vec![noop(&[1, 21, 1])])),
        ("D-23", Warn, "mean 10.0ms", change(|facts| facts.whole.noops = vec![noop(&[10, 10])])),
        ("D-23", Warn, "1 of 4 NOOPs", change(|facts| facts.whole.noops[0].failed = 1)),
        ("D-24", Info, "type membase", well()),
        ("D-24", Error, "not ready", ready(ErrorKind::BucketNotFound, "there is no such bucket")),
        (
            "D-24",
            Error,
            "cannot be asked for",
            change(|facts| {
                facts.whole.bucket.as_mut().unwrap().read =
                    Some(Err((ErrorKind::AuthenticationFailure, "no access".to_owned())));
            }),
        ),
        ("D-24", Error, "1 of 2 vbuckets", with_bucket(bucket_map(&json!([[0], [-1]]), false))),
        (
            "D-24",
            Warn,
            "10.0.0.1:8091 (warmup)",
            change(|facts| {
                facts.pool.as_mut().unwrap().bucket_nodes[0].1 = "warmup".to_owned();
            }),
        ),
        ("D-25", Info, "at rest", well()),
        ("D-25", Warn, "going on", change(|facts| facts.pool.as_mut().unwrap().rebalancing = true)),
        ("D-25", Warn, "going on", with_bucket(bucket_map(&json!([[0], [0]]), true))),
        (
            "D-25",
            Warn,
            "unhealthy, inactiveFailed",
            change(|facts| {
                facts.pool.as_mut().unwrap().nodes[1] =
                    pool_node("10.0.0.2:8091", "unhealthy", "inactiveFailed");
            }),
        ),
        (
            "D-26",
            Warn,
            "120 s ahead of",
            change(|facts| facts.pool.as_mut().unwrap().date = Some((NOW + 120, NOW))),
        ),
        (
            "D-26",
            Warn,
            "61 s behind",
            change(|facts| facts.pool.as_mut().unwrap().date = Some((NOW - 61, NOW))),
        ),
        ("D-26", Warn, "begins 3600 s after", secured(refused(), |leaf| leaf.not_before = NOW + 3600)),
        ("D-27", Error, "the credentials are refused", auth(true, "wrong password")),
        (
            "D-27",
            Error,
            "no mechanism of logging in",
            auth(false, "no common authentication mechanism: the server offers PLAIN"),
        ),
        (
            "D-27",
            Error,
            "some nodes refuse",
            change(|facts| {
                facts.seeds[0].kv = failed(Stage::Auth, ErrorKind::AuthenticationFailure, "wrong password");
            }),
        ),
        (
            "D-27",
            Error,
            "given twice",
            change(|facts| facts.setup = Some(SetupError::Credentials("given twice".to_owned()))),
        ),
        ("D-28", Error, "no endpoint", unreachable()),
        ("D-29", Warn, "wide area", change(|facts| facts.whole.noops = vec![noop(&[40, 40])])),
        (
            "D-29",
            Warn,
            "kv_timeout is 5.0ms",
            change(|facts| {
                facts.given.kv_timeout = 5 * MS;
                facts.whole.noops = vec![noop(&[9])];
            }),
        ),
        ("D-30", Warn, "UnknownOption", warned("couchbase://10.0.0.1?no_such_option=1")),
        ("D-30", Warn, "DuplicateHost", warned("couchbase://10.0.0.1,10.0.0.1")),
    ]
}

#[test]
fn every_case_of_every_check() {
    for (code, severity, words, facts) in cases() {
        let findings = all(&facts);
        let fits = |finding: &&Finding| {
            finding.code == code && finding.severity == severity && finding.text.contains(words)
        };
        let found = findings.iter().find(fits);
        let Some(found) = found else { panic!("{code} {severity} {words:?} is not in {findings:#?}") };
        assert!(
            severity == Severity::Info || !found.advice.is_empty() || code == "D-1",
            "{code} without advice"
        );
    }
}

#[test]
fn there_are_checks_d_1_to_d_30_and_each_has_a_case() {
    let covered: Vec<&str> = cases().into_iter().map(|(code, ..)| code).collect();
    let listed: Vec<&str> = super::SECTIONS.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
    for number in 1..=30 {
        let code = format!("D-{number}");
        assert!(covered.contains(&code.as_str()), "{code} has no case");
        assert_eq!(listed.iter().filter(|listed| **listed == code).count(), 1, "{code} is in one section");
    }
    assert_eq!(listed.len(), 30);
}

#[test]
fn of_a_cluster_that_is_well_there_is_nothing_to_complain() {
    let findings = all(&well());
    assert!(findings.iter().all(|finding| finding.severity == Severity::Info), "{findings:#?}");
}

#[test]
fn a_refused_string_is_all_there_is_to_say() {
    let findings = all(&Facts { refused: Some("no".to_owned()), ..well() });
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["D-1"]);
}

#[test]
fn d_14_advice_follows_from_the_certificate() {
    let advice = |facts: &Facts| {
        let findings = all(facts);
        findings.iter().find(|finding| finding.code == "D-14").unwrap().advice.clone()
    };
    let mut localhost = secured(refused(), |_| {});
    localhost.seeds[0].at.host = "localhost".to_owned();
    assert!(advice(&localhost).starts_with("connect to 127.0.0.1"));
    assert!(
        advice(&secured(refused(), |leaf| leaf.names = vec!["other.example".to_owned()]))
            .contains("other.example")
    );
    assert!(advice(&secured(refused(), |leaf| leaf.not_after = NOW - 1)).contains("renew"));
    assert!(advice(&secured(refused(), |_| {})).contains("--ca FILE"));
    let mut wild = secured(refused(), |leaf| leaf.names = vec!["*.example.com".to_owned()]);
    wild.seeds[0].at.host = "db.example.com".to_owned();
    assert!(advice(&wild).contains("--ca FILE"), "the name is covered, so it is the issuer");
}

#[test]
fn d_7_the_only_node_has_no_others_to_name() {
    let facts = change(|facts| {
        let alone = cluster("aa", &[node("10.0.0.1")]);
        facts.given.seeds.truncate(1);
        facts.whole.map = Some(Ok(alone));
    });
    let findings = all(&facts);
    assert!(findings.iter().any(|finding| finding.code == "D-7" && finding.severity == Severity::Info));
}

#[test]
fn d_11_both_loopback_addresses_are_one_place() {
    assert!(!all(&named(Ok(&["127.0.0.1", "::1"]))).iter().any(|finding| finding.code == "D-11"));
}

#[test]
fn d_19_does_not_apply_to_capella() {
    let facts = change(|facts| {
        facts.given.capella = true;
        facts.given.tls = true;
        facts.seeds[0].at.host = "cb.abc.cloud.couchbase.com".to_owned();
    });
    assert!(!all(&facts).iter().any(|finding| finding.code == "D-19"));
}
