//! The doctor against served clusters: what it finds is what is wrong with them.

use std::time::{Duration, Instant};

use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::dns::ResolverConfig;
use settee::options::Options;
use settee::tls::TrustSource;
use settee::wire::Opcode;
use settee_sim::{
    Action, Certificates, DnsBehaviour, DnsServed, DnsServer, DnsZone, Listener, NodeId, Posture, Rule,
    Service, SimCluster, SimClusterBuilder,
};

use super::collect::{Case, collect};
use super::finding::{Finding, Severity};
use super::{Report, block_on};

fn case(connection_string: impl Into<String>) -> Case {
    Case {
        connection_string: connection_string.into(),
        options: Options::default(),
        authenticator: password("password"),
        trust: Vec::new(),
        bucket: None,
        resolver: None,
        timeout: Duration::from_secs(5),
        total: Duration::from_secs(30),
    }
}

fn password(password: &str) -> Authenticator {
    Authenticator::Password(PasswordAuthenticator::new("Administrator", password).unwrap())
}

fn examine(case: &Case) -> Report {
    Report::new(block_on(async { Ok(collect(case, |_| {}).await) }).unwrap())
}

fn of<'a>(report: &'a Report, code: &str) -> Vec<&'a Finding> {
    report.findings.iter().filter(|finding| finding.code == code).collect()
}

/// There is nothing to complain, but perhaps of the speed of a machine that has much else to do.
#[track_caller]
fn assert_well(report: &Report) {
    let bad: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| finding.severity > Severity::Info && !["D-23", "D-29"].contains(&finding.code))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// There is a finding of this kind with these words.
#[track_caller]
fn assert_finds(report: &Report, code: &str, severity: Severity, words: &str) {
    let found = of(report, code).into_iter().any(|finding| {
        finding.severity == severity
            && format!("{} {} {}", finding.subject, finding.text, finding.advice).contains(words)
    });
    assert!(found, "{code} {severity} {words:?} is not in {:#?}", report.findings);
}

fn small() -> SimClusterBuilder {
    SimCluster::builder().nodes(2).vbuckets(16).scram_iterations(10)
}

fn secured(certificates: Certificates) -> (SimCluster, Case) {
    let cluster = small().tls(true).certificates(certificates).start().unwrap();
    let mut case = case(cluster.tls_connection_string());
    case.trust.push(TrustSource::pem("the cluster's own", cluster.ca_pem()));
    (cluster, case)
}

/// A string that names a node by key-value port and manager port.
fn both_ports(cluster: &SimCluster, host: &str) -> String {
    let port = |listener| cluster.address_of(NodeId(0), listener).unwrap().port();
    format!("couchbase://{host}:{}=kv,{host}:{}=http", port(Listener::KV), port(Listener::MGMT))
}

#[test]
fn a_cluster_that_is_well_has_no_warnings() {
    let cluster =
        small().services(&[Service::Kv, Service::Mgmt, Service::Query, Service::Views]).start().unwrap();
    let mut case = case(cluster.connection_string());
    case.bucket = Some("default".to_owned());
    let report = examine(&case);
    assert_well(&report);
    assert_finds(&report, "D-15", Severity::Info, "SCRAM-SHA512");
    assert_finds(&report, "D-21", Severity::Info, "release 7.6");
    assert_finds(&report, "D-22", Severity::Info, "8 of 8");
    assert_eq!(of(&report, "D-23").len(), 2, "both nodes are measured");
    assert_finds(&report, "D-24", Severity::Info, "type membase");
    assert_eq!(report.facts.left_out, Vec::<&str>::new());
    let samples: Vec<usize> = report.facts.whole.noops.iter().map(|noop| noop.samples.len()).collect();
    assert_eq!(samples, [10, 10]);
}

#[test]
fn without_a_bucket_every_node_is_measured_too() {
    let cluster = small().start().unwrap();
    let report = examine(&case(cluster.connection_string()));
    assert_well(&report);
    assert_finds(&report, "D-9", Severity::Info, "no bucket");
    assert_eq!(of(&report, "D-23").len(), 2);
}

#[test]
fn d_14_good_certificates_are_shown_with_names_and_days_left() {
    let (_cluster, case) = secured(Certificates::Good);
    let report = examine(&case);
    assert_well(&report);
    assert_finds(&report, "D-14", Severity::Info, "issued by `CN=Simulated Cluster CA`");
    assert_finds(&report, "D-14", Severity::Info, "days left");
}

#[test]
fn d_14_bad_certificates_are_told_apart() {
    for (certificates, words) in [
        (Certificates::Expired, "renew"),
        (Certificates::NotYetValid, "clock"),
        (Certificates::WrongName, "wrong.example"),
        (Certificates::SelfSigned, "self-signed"),
        (Certificates::UnknownIssuer, "not trusted"),
    ] {
        let (_cluster, case) = secured(certificates);
        let report = examine(&case);
        assert_finds(&report, "D-14", Severity::Error, words);
        assert_finds(&report, "D-16", Severity::Error, "");
        if certificates == Certificates::NotYetValid {
            assert_finds(&report, "D-26", Severity::Warn, "begins");
        }
    }
}

#[test]
fn d_14_localhost_gets_its_own_hint() {
    let (cluster, mut case) = secured(Certificates::IpOnly);
    let port = cluster.address_of(NodeId(0), Listener::KV_TLS).unwrap().port();
    case.connection_string = format!("couchbases://localhost:{port}");
    let report = examine(&case);
    assert_finds(&report, "D-14", Severity::Error, "connect to 127.0.0.1");
}

#[test]
fn d_14_a_plain_port_under_tls() {
    let cluster = small().start().unwrap();
    let port = cluster.address_of(NodeId(0), Listener::KV).unwrap().port();
    let report = examine(&case(format!("couchbases://127.0.0.1:{port}")));
    assert_finds(&report, "D-14", Severity::Error, "check that this port speaks TLS");
}

#[test]
fn d_27_a_wrong_password() {
    let cluster = small().start().unwrap();
    let mut case = case(cluster.connection_string());
    case.authenticator = password("s3cret-and-wrong");
    let report = examine(&case);
    assert_finds(&report, "D-27", Severity::Error, "the credentials are refused");
    assert_finds(&report, "D-15", Severity::Error, "authentication");
    let shown = format!("{} {}", super::json::value(&report), super::html::page(&report));
    assert!(!shown.contains("s3cret"));
}

#[test]
fn d_27_a_user_who_can_log_in_by_plain_alone() {
    let cluster = small().mechanisms(&[settee_sim::Mechanism::Plain]).start().unwrap();
    let report = examine(&case(cluster.connection_string()));
    assert_finds(&report, "D-27", Severity::Error, "use couchbases://");
}

#[test]
fn d_24_a_bucket_that_is_not_there() {
    let cluster = small().start().unwrap();
    let mut case = case(cluster.connection_string());
    (case.bucket, case.timeout) = (Some("missing".to_owned()), Duration::from_secs(2));
    assert_finds(&examine(&case), "D-24", Severity::Error, "create the bucket");
}

#[test]
fn d_22_d_25_a_node_that_is_down() {
    let cluster = small().start().unwrap();
    let first = cluster.addresses()[0];
    cluster.control(|cluster, _| cluster.kill_node(NodeId(1)));
    let mut case = case(both_ports(&cluster, "127.0.0.1"));
    case.timeout = Duration::from_secs(2);
    let report = examine(&case);
    assert_finds(&report, "D-22", Severity::Error, "no port of slot 1 can be reached: failed at TCP");
    assert_finds(&report, "D-22", Severity::Info, "2 of 4");
    assert_finds(&report, "D-25", Severity::Warn, "unhealthy");
    assert!(report.facts.whole.noops.iter().any(|noop| noop.remote == first.to_string()));
}

#[test]
fn d_23_d_29_a_cluster_that_is_far_away() {
    let cluster = small().start().unwrap();
    cluster.control(|cluster, _| {
        cluster.add_rule_everywhere(&Rule::new(Opcode::NOOP, Action::Delay(Duration::from_millis(40))));
    });
    let report = examine(&case(format!("{}?kv_timeout=30ms", cluster.connection_string())));
    assert_finds(&report, "D-23", Severity::Warn, "10 round trips");
    assert_finds(&report, "D-29", Severity::Warn, "kv_timeout is 30.0ms");
    assert_finds(&report, "D-29", Severity::Warn, "wan_development");
}

#[test]
fn d_2_d_13_d_30_what_is_odd_about_the_string() {
    let cluster = small().start().unwrap();
    let odd = examine(&case(format!("{}?no_such_option=1", cluster.connection_string())));
    assert_finds(&odd, "D-30", Severity::Warn, "no_such_option");
    let capella =
        Case { total: Duration::from_millis(100), ..case("couchbase://cb.abc.cloud.couchbase.com:1") };
    assert_finds(&examine(&capella), "D-13", Severity::Error, "couchbases://");
    let old = Case { total: Duration::from_millis(100), ..case("http://127.0.0.1:1") };
    assert_finds(&examine(&old), "D-2", Severity::Warn, "DeprecatedScheme");
    let token = settee::auth::BearerAuthenticator::new("a.b.c").unwrap();
    let token = Case { authenticator: Authenticator::Bearer(token), ..case(cluster.connection_string()) };
    assert_finds(&examine(&token), "D-27", Severity::Error, "couchbases://");
}

#[test]
fn d_28_nothing_listens() {
    let cluster = small().start().unwrap();
    let text = cluster.connection_string();
    cluster.stop();
    let started = Instant::now();
    let report = examine(&case(text));
    assert_finds(&report, "D-28", Severity::Error, "11210");
    assert!(started.elapsed() < Duration::from_secs(8), "refusals do not take the whole time");
}

#[test]
fn a_silent_node_is_bounded_by_the_time_given() {
    let cluster = small().start().unwrap();
    for node in 0..2 {
        cluster.control(move |cluster, _| cluster.pause_node(NodeId(node)));
    }
    let mut case = case(cluster.connection_string());
    case.timeout = Duration::from_secs(1);
    let started = Instant::now();
    let report = examine(&case);
    assert_finds(&report, "D-15", Severity::Error, "HELLO");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn the_whole_run_is_bounded_too() {
    let cluster = small().start().unwrap();
    cluster.control(|cluster, _| cluster.pause_node(NodeId(0)) && cluster.pause_node(NodeId(1)));
    let mut case = case(cluster.connection_string());
    case.total = Duration::from_millis(500);
    let started = Instant::now();
    let report = examine(&case);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(report.facts.left_out.contains(&"connecting to the cluster"), "{:?}", report.facts.left_out);
}

#[test]
fn d_17_from_outside_the_other_network_is_chosen() {
    let cluster = small().external(true).start().unwrap();
    let report = examine(&case(cluster.connection_string()));
    assert_finds(&report, "D-17", Severity::Info, "network in use: external");
    assert_finds(&report, "D-22", Severity::Info, "4 of 4");
    assert_well(&report);
}

#[test]
fn d_17_a_network_that_is_not_there() {
    let cluster = small().start().unwrap();
    let mut case = case(format!("{}?network=dmz", cluster.connection_string()));
    case.timeout = Duration::from_secs(2);
    let report = examine(&case);
    assert_eq!(report.verdict(), Severity::Error, "{:#?}", report.findings);
    let shown: Vec<&str> = report.findings.iter().map(|finding| finding.text.as_str()).collect();
    assert!(shown.iter().any(|text| text.contains("dmz")), "{shown:#?}");
}

#[test]
fn d_18_seeds_of_two_clusters() {
    let (one, other) =
        (small().start().unwrap(), small().settings(|settings| settings.seed = 99).start().unwrap());
    let text = format!("couchbase://{},{}", one.addresses()[0], other.addresses()[0]);
    assert_finds(&examine(&case(text)), "D-18", Severity::Error, "2 clusters");
}

#[test]
fn d_18_clusters_whose_maps_do_not_name_them() {
    let old = || small().posture(Posture::V7_2).start().unwrap();
    let (one, other) = (old(), old());
    let text = format!("couchbase://{},{}", one.addresses()[0], other.addresses()[0]);
    assert_finds(&examine(&case(text)), "D-18", Severity::Error, "no node in common");
    let report = examine(&case(one.connection_string()));
    assert!(report.findings.iter().all(|finding| finding.code != "D-18"), "{:#?}", report.findings);
}

#[test]
fn d_16_d_20_maps_over_http() {
    let cluster = small().start().unwrap();
    let text = both_ports(&cluster, "127.0.0.1");
    let report = examine(&case(format!("{text}?bootstrap_on=http")));
    assert_finds(&report, "D-16", Severity::Info, "over HTTP");
    assert_finds(&report, "D-20", Severity::Warn, "bootstrap_on");
    cluster.control(|cluster, _| cluster.fail_http(NodeId(0), Some(500)));
    assert_finds(&examine(&case(text)), "D-16", Severity::Warn, "no map over HTTP");
}

#[test]
fn d_25_a_rebalance_is_seen() {
    let cluster = small().start().unwrap();
    cluster.control(|cluster, _| {
        let rows = cluster.rows("default").map(<[_]>::to_vec);
        cluster.set_forward_map("default", rows)
    });
    let mut case = case(cluster.connection_string());
    case.bucket = Some("default".to_owned());
    assert_finds(&examine(&case), "D-25", Severity::Warn, "a rebalance is going on");
}

#[test]
fn a_server_before_6_5_needs_a_bucket() {
    let cluster = small().posture(Posture::V5_0).start().unwrap();
    let mut case = case(cluster.connection_string());
    case.timeout = Duration::from_secs(2);
    assert_finds(&examine(&case), "D-15", Severity::Error, "name a bucket");
    case.bucket = Some("default".to_owned());
    let report = examine(&case);
    assert_finds(&report, "D-15", Severity::Info, "without COLLECTIONS");
    assert_finds(&report, "D-24", Severity::Info, "a read is answered");
}

/// A name server, and a case that asks it.
fn served_dns(server: impl Into<DnsServer>, text: &str) -> (DnsServed, Case) {
    let dns = DnsServed::start(server).unwrap();
    let mut case = case(text);
    case.resolver = Some(ResolverConfig::new(vec![dns.addr()]));
    case.timeout = Duration::from_secs(2);
    (dns, case)
}

#[test]
fn d_3_seeds_come_from_the_record() {
    let cluster = small().start().unwrap();
    let mut zone = DnsZone::new();
    let ports: Vec<u16> = cluster.addresses().iter().map(std::net::SocketAddr::port).collect();
    zone.srv("_couchbase._tcp.cb.example.com", ports.iter().map(|port| ("localhost", *port)));
    let (_dns, case) = served_dns(zone, "couchbase://cb.example.com");
    let report = examine(&case);
    assert_finds(&report, "D-3", Severity::Info, "2 records");
    assert_finds(&report, "D-19", Severity::Warn, "localhost");
    assert!(of(&report, "D-7").is_empty() && of(&report, "D-10").is_empty(), "{:#?}", report.findings);
    assert!(report.facts.seeds.iter().all(|seed| seed.from_srv && seed.kv.as_ref().unwrap().outcome.is_ok()));
}

#[test]
fn d_3_d_6_d_10_records_that_do_not_help() {
    let mut zone = DnsZone::new();
    zone.srv("_couchbases._tcp.cb.invalid", [("n1.cb.invalid", 11207)]);
    let (_dns, case) = served_dns(zone, "couchbase://cb.invalid");
    let report = examine(&case);
    assert_finds(&report, "D-6", Severity::Error, "couchbases://");
    assert_finds(&report, "D-10", Severity::Error, "cb.invalid");

    let mut server = DnsServer::default();
    server.settings.behaviour = DnsBehaviour::Silent;
    let (_dns, mut case) = served_dns(server, "couchbase://cb.invalid?dns_srv_timeout=500ms");
    case.timeout = Duration::from_secs(1);
    assert_finds(&examine(&case), "D-3", Severity::Warn, "no answer in time");
}

#[test]
fn d_3_a_large_answer_comes_over_tcp() {
    let mut zone = DnsZone::new();
    let names: Vec<String> = (0..50).map(|n| format!("node-with-a-long-name-{n}.other.invalid")).collect();
    zone.srv("_couchbase._tcp.cb.invalid", names.iter().map(|name| (name.as_str(), 11210)));
    let (_dns, mut case) = served_dns(zone, "couchbase://cb.invalid");
    case.total = Duration::from_secs(2);
    let report = examine(&case);
    assert_finds(&report, "D-3", Severity::Warn, "50 records");
    assert!(report.facts.srv.as_ref().unwrap().over_tcp);
}

#[test]
fn d_1_credentials_in_the_string_are_not_repeated() {
    let report = examine(&case("couchbase://jane:s3cret@127.0.0.1"));
    assert_finds(&report, "D-1", Severity::Error, "CredentialsInString");
    let shown = format!("{} {}", super::json::value(&report), super::html::page(&report));
    assert!(!shown.contains("s3cret") && !shown.contains("jane"), "{shown}");
}

#[test]
fn the_page_shows_every_node_and_asks_nobody() {
    let cluster = SimCluster::builder().nodes(12).vbuckets(16).scram_iterations(10).start().unwrap();
    cluster.control(|cluster, _| cluster.kill_node(NodeId(11)));
    let mut case = case(format!("couchbase://{}", cluster.addresses()[0]));
    case.timeout = Duration::from_secs(2);
    let page = super::html::page(&examine(&case));
    assert_eq!(page.matches(">slot ").count(), 12);
    assert!(page.contains("class=\"chip bad\"") && page.contains("class=\"chip ok\""));
    for outside in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// Cards and labels of the picture, by their places: none overlaps another one of its kind.
#[test]
fn nothing_overlaps_in_the_picture() {
    for nodes in [1, 3, 12] {
        let cluster = SimCluster::builder().nodes(nodes).vbuckets(16).scram_iterations(10).start().unwrap();
        let svg = super::picture::svg(&examine(&case(cluster.connection_string())).facts);
        let number = |text: &str, name: &str| -> usize {
            let rest = text.split_once(&format!(" {name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let cards: Vec<[usize; 4]> = svg
            .split("<rect")
            .skip(1)
            .filter(|rect| rect.contains("class=\"card"))
            .map(|rect| ["x", "y", "width", "height"].map(|name| number(rect, name)))
            .collect();
        assert_eq!(cards.len(), 1 + 2 * usize::from(nodes));
        for (index, [x, y, width, height]) in cards.iter().enumerate() {
            for [other_x, other_y, other_width, other_height] in &cards[index + 1..] {
                let apart = x + width <= *other_x
                    || other_x + other_width <= *x
                    || y + height <= *other_y
                    || other_y + other_height <= *y;
                assert!(apart, "{nodes} nodes: {:?}", cards[index]);
            }
        }
        let mut labels: Vec<(usize, usize)> = svg
            .split("<text")
            .skip(1)
            .filter(|text| text.contains("class=\"label"))
            .map(|text| (number(text, "x"), number(text, "y")))
            .collect();
        labels.sort_unstable();
        assert!(
            labels.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[1].1 - pair[0].1 >= 14),
            "{labels:?}"
        );
    }
}
