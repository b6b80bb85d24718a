//! The ten usual reasons why connecting fails, each with the text that is printed for it. `README.md` and
//! `docs/troubleshooting.md` show them; this keeps these pages true.

use std::net::SocketAddr;
use std::time::Duration;

use settee::connstr;
use settee::engine::{DesiredState, EngineConfig};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Certificates, DnsServer, DnsZone, Listener, Net, NodeId, Reachability, Rule};

use crate::common::{Client, config, config_tls, config_trusting, error, kind, name_server, net, node};

/// The pages that show the texts.
const PAGES: [(&str, &str); 2] = [
    ("README.md", include_str!("../../README.md")),
    ("docs/troubleshooting.md", include_str!("../../docs/troubleshooting.md")),
];

/// The end of a connect: what its error says.
fn connect(net: Net, config: EngineConfig, expected: ErrorKind) -> String {
    let mut client = Client::bare(net, config, [7; 32]);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), expected);
    error(&outcome).to_string()
}

/// The end of a wait for the bucket.
fn wait(net: Net, config: EngineConfig, expected: ErrorKind) -> String {
    let mut client = Client::with(net, config);
    let op = client.wait(DesiredState::Online, Duration::from_secs(10));
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), expected);
    error(&outcome).to_string()
}

fn wrong_password() -> String {
    let config = config_trusting("couchbase://10.0.0.1/default", "wrong", None, 0);
    connect(net(1), config, ErrorKind::AuthenticationFailure)
}

const CAPELLA: &str = "svc-1.abc123.cloud.couchbase.com";

/// A network in which a Capella host lets nobody in.
fn capella() -> Net {
    let mut net = net(1);
    let ip = [203, 0, 113, 7];
    net.set_name(CAPELLA, Ok(vec![ip.into()]));
    for port in [11210, 11207, 8091, 18091] {
        net.set_reachability(SocketAddr::from((ip, port)), Reachability::BlackHole);
    }
    net
}

fn capella_without_tls() -> String {
    let config = config(&format!("couchbase://{CAPELLA}/default?bootstrap_timeout=15s"));
    connect(capella(), config, ErrorKind::UnambiguousTimeout)
}

fn allow_list() -> String {
    let text = format!("couchbases://{CAPELLA}/default?bootstrap_timeout=15s");
    connect(capella(), config_trusting(&text, "password", None, 0), ErrorKind::UnambiguousTimeout)
}

fn wrong_ca() -> String {
    let mut net = net(1);
    net.cluster().set_certificates(NodeId(0), Certificates::UnknownIssuer);
    let config = config_tls(&mut net, "couchbases://node1.sim/default");
    connect(net, config, ErrorKind::TlsFailure)
}

fn localhost_certificate() -> String {
    let mut net = net(1);
    net.set_name("localhost", Ok(vec![node(0).ip()]));
    net.cluster().set_certificates(NodeId(0), Certificates::IpOnly);
    let config = config_tls(&mut net, "couchbases://localhost/default");
    connect(net, config, ErrorKind::TlsFailure)
}

fn missing_bucket() -> String {
    let mut net = net(1);
    net.cluster().drop_bucket("default");
    wait(net, config("couchbase://10.0.0.1/default"), ErrorKind::BucketNotFound)
}

fn manager_port() -> String {
    connstr::parse("couchbase://10.0.0.1:8091").expect_err("refused").to_string()
}

fn internal_addresses() -> String {
    let mut net = net(3);
    let outside: SocketAddr = "203.0.113.10:11210".parse().expect("an address");
    net.forward(outside, NodeId(0), Listener::KV);
    net.place_client(true, Reachability::BlackHole);
    wait(net, config("couchbase://203.0.113.10/default"), ErrorKind::UnambiguousTimeout)
}

fn srv_trouble() -> String {
    let mut net = net(1);
    let mut zone = DnsZone::new();
    let hosts: Vec<String> = (0..10).map(|number| format!("svc-node-{number}.cb.example.com")).collect();
    zone.srv("_couchbase._tcp.cb.example.com", hosts.iter().map(|host| (host.as_str(), 11210)));
    let mut server = DnsServer::from(zone);
    server.settings.refused_above = Some(400);
    net.place_dns(name_server(1), server);
    let config =
        config_trusting("couchbase://cb.example.com/default?bootstrap_timeout=10s", "password", None, 1);
    connect(net, config, ErrorKind::UnambiguousTimeout)
}

fn warming_up() -> String {
    let mut net = net(1);
    let status = Action::Status(Status::NOT_INITIALIZED);
    net.cluster().add_rule_everywhere(&Rule::new(Opcode::SELECT_BUCKET, status));
    wait(net, config("couchbase://10.0.0.1/default"), ErrorKind::UnambiguousTimeout)
}

/// Times differ from run to run in the world: `…` stands for them.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_end_matches([',', ';', ':']);
        let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
        number != word && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let words: Vec<&str> = text.split(' ').collect();
    let shown = words.iter().enumerate().map(|(place, word)| {
        let unit = words.get(place + 1).is_some_and(|next| *next == "ms" || *next == "ms;");
        if is_time(word) || unit {
            let end = word.trim_end_matches([',', ';', ':']).len();
            format!("…{}", &word[end..])
        } else {
            (*word).to_owned()
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn times_are_told_from_other_words() {
    assert_eq!(
        without_times("after 10s: at 1.5ms; 10.0.0.1:11210 (0x50) port 8091, 2.0µs; 12 ms; 3 ms"),
        "after …: at …; 10.0.0.1:11210 (0x50) port 8091, …; … ms; … ms"
    );
}

#[test]
fn the_page_shows_what_is_printed() {
    let rows: [(&str, String, &[&str]); 10] = [
        ("The password or the user name is wrong", wrong_password(), &["check user name and password"]),
        ("Capella without TLS", capella_without_tls(), &["use couchbases://"]),
        (
            "This machine is not on the allow-list of a Capella cluster",
            allow_list(),
            &["allowed IP addresses"],
        ),
        (
            "The cluster's certificates are of another authority than the trusted ones",
            wrong_ca(),
            &["is not trusted"],
        ),
        (
            "The certificate is for an address, and the string says `localhost`",
            localhost_certificate(),
            &["127.0.0.1"],
        ),
        ("The bucket does not exist", missing_bucket(), &["create the bucket"]),
        ("The port is the manager's", manager_port(), &["leave the port out"]),
        (
            "The cluster gives its internal addresses to a client outside",
            internal_addresses(),
            &["setting-alternate-address"],
        ),
        ("The name server refuses large SRV answers", srv_trouble(), &["try another DNS resolver"]),
        ("The server is warming up", warming_up(), &["while it warms up"]),
    ];
    let mut table = String::from("| What is wrong | What is printed |\n| --- | --- |\n");
    for (what, text, words) in &rows {
        for word in *words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
        assert!(!text.contains('\n') && !text.contains("``"), "{text}");
        let text = without_times(text).replace('|', "\\|");
        // Two backticks on each side, since the texts hold single ones.
        table.push_str(&format!("| {what} | `` {text} `` |\n"));
    }
    for (name, page) in PAGES {
        assert!(page.contains(&table), "{name} has to have this table:\n\n{table}");
    }
}

#[test]
fn the_readme_shows_the_error_of_seeds_that_are_all_dead() {
    let mut net = net(2);
    for (index, reachability) in [Reachability::Refuse, Reachability::BlackHole].into_iter().enumerate() {
        for listener in [Listener::KV, Listener::MGMT] {
            net.set_reachability(Net::listener_of(NodeId(index), listener), reachability);
        }
    }
    let text =
        connect(net, config("couchbase://10.0.0.1,10.0.0.2,nowhere.sim"), ErrorKind::UnambiguousTimeout);
    let text = without_times(&text).replace("; ", ";\n");
    let (name, page) = PAGES[0];
    assert!(page.contains(&format!("```text\n{text}\n```")), "{name} has to have this text:\n\n{text}");
}
