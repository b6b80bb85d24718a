//! Seeds from DNS SRV records (`connecting.md` 1.6, 4.9), against a simulated name server.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use settee::connstr::WarningKind;
use settee::engine::{ConnId, Engine, EngineConfig, Event, Input, LinkError, OpKind, Output, Response};
use settee::error::ErrorKind;
use settee_sim::{
    DnsBehaviour, DnsServer, DnsTcp, DnsZone, Listener, Machine, Net, NodeId, Reachability, World,
};

use crate::common::{
    Client, Outcome, config_trusting, error, kind, ms, name_server, net, node, report, secs, set_node, value,
};
use crate::script::{place_at, plain_map, usual};

const NAME: &str = "_couchbase._tcp.cb.sim";
const TEXT: &str = "couchbase://cb.sim";

/// A network whose name server has these records.
fn with_records(nodes: usize, targets: &[&str]) -> Net {
    let mut net = net(nodes);
    let mut zone = DnsZone::new();
    if !targets.is_empty() {
        zone.srv(NAME, targets.iter().map(|target| (*target, 11210)));
    }
    net.place_dns(name_server(1), zone);
    net
}

fn ip(index: usize) -> IpAddr {
    node(index).ip()
}

fn dns(net: &mut Net) -> &mut DnsServer {
    net.dns(name_server(1)).expect("a name server")
}

fn config(text: &str) -> EngineConfig {
    config_trusting(text, "password", None, 1)
}

fn questions(client: &mut Client) -> Vec<(String, bool)> {
    let server = dns(&mut client.world.net);
    server.questions().iter().map(|question| (question.name.clone(), question.over_tcp)).collect()
}

/// The end of a bootstrap.
fn connect(net: Net, config: EngineConfig) -> (Client, Outcome) {
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    let outcome = client.end(op);
    (client, outcome)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("svc-dqisea-node-{index:03}.bk7xtmsfyu3ugwsx.cloud.sim")).collect()
}

#[test]
fn cs_26_3_10_and_50_records_are_all_seeds_and_the_host_itself_is_none() {
    for (count, over_tcp) in [(3, false), (10, false), (50, true)] {
        let hosts = names(count);
        let targets: Vec<&str> = hosts.iter().map(String::as_str).collect();
        // Nobody is there: the error tells how many seeds there were.
        let (mut client, outcome) =
            connect(with_records(1, &targets), config("couchbase://cb.sim?bootstrap_timeout=2s"));
        let told = report(&outcome);
        assert_eq!(told.attempts.len() + told.omitted, count);
        assert!(told.attempts.iter().all(|attempt| attempt.seed.starts_with("svc-")));
        let srv = told.srv.as_deref().expect("what came of it");
        assert!(srv.contains(NAME) && srv.contains(&format!("{count} records")), "{srv}");
        let asked = questions(&mut client);
        assert_eq!(asked.iter().any(|(_, over_tcp)| *over_tcp), over_tcp, "{asked:?}");

        // The last one is there.
        let mut net = with_records(1, &targets);
        net.set_name(&hosts[count - 1], Ok(vec![ip(0)]));
        let (client, outcome) = connect(net, config(TEXT));
        assert_eq!(outcome, Ok(Response::Ready));
        assert!(client.world.elapsed() < secs(1), "{:?}", client.world.elapsed());
    }
}

#[test]
fn cs_26_ports_come_from_the_records() {
    let mut net = net(1);
    let mut zone = DnsZone::new();
    zone.srv(NAME, [("node1.sim", 11999)]);
    net.place_dns(name_server(1), zone);
    let address = (ip(0), 11999).into();
    net.forward(address, NodeId(0), Listener::KV);
    let (client, outcome) = connect(net, config(TEXT));
    assert_eq!(outcome, Ok(Response::Ready));
    assert_eq!(client.world.dialled().next().expect("it dials").2, address);
}

#[test]
fn cs_27_what_a_name_server_may_do_and_the_host_itself_is_used() {
    let all = [
        (DnsBehaviour::NxDomain, "", ms(10)),
        (DnsBehaviour::ServFail, "SERVFAIL", ms(20)),
        (DnsBehaviour::Refused, "REFUSED", ms(20)),
        (DnsBehaviour::Silent, "no answer in time", ms(510)),
        (DnsBehaviour::Garbage, "malformed", ms(510)),
    ];
    for (behaviour, word, limit) in all {
        let place = |alive: bool| {
            let mut net = with_records(1, &["node1.sim"]);
            dns(&mut net).settings.behaviour = behaviour;
            if alive {
                net.set_name("cb.sim", Ok(vec![ip(0)]));
            }
            net
        };
        let (client, outcome) = connect(place(true), config(TEXT));
        assert_eq!(outcome, Ok(Response::Ready), "{behaviour:?}");
        assert!(client.world.elapsed() < limit, "{behaviour:?}: {:?}", client.world.elapsed());

        // CS-29: where that fails too, the error says what the look-up had come to, and what to try.
        let (_, outcome) = connect(place(false), config("couchbase://cb.sim?bootstrap_timeout=3s"));
        assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
        let text = error(&outcome).to_string();
        assert!(text.contains("cb.sim:11210 failed at resolve"), "{text}");
        assert!(text.contains(&format!("DNS SRV query {NAME}")) && text.contains(word), "{text}");
        assert_eq!(text.contains("try another DNS resolver"), !word.is_empty(), "{text}");
    }
}

#[test]
fn cs_28_the_deadline_is_dns_srv_timeout_and_counts_against_bootstrap_timeout() {
    for (option, waited) in [("", 500), ("&dns_srv_timeout=2s", 2000)] {
        let mut net = with_records(1, &[]);
        dns(&mut net).settings.behaviour = DnsBehaviour::Silent;
        net.set_name("cb.sim", Ok(vec![ip(0)]));
        let text = format!("couchbase://cb.sim?bootstrap_timeout=5s{option}");
        let (client, outcome) = connect(net, config(&text));
        assert_eq!(outcome, Ok(Response::Ready));
        let elapsed = client.world.elapsed();
        assert!(elapsed >= ms(waited) && elapsed < ms(waited + 20), "{elapsed:?}");
    }
    let mut net = with_records(1, &[]);
    dns(&mut net).settings.behaviour = DnsBehaviour::Silent;
    let (client, outcome) =
        connect(net, config("couchbase://cb.sim?bootstrap_timeout=1s&dns_srv_timeout=20s"));
    assert_eq!(client.world.elapsed(), secs(1));
    let text = error(&outcome).to_string();
    assert!(text.contains(NAME) && text.contains("under way"), "{text}");
}

#[test]
fn cs_27_a_resolver_without_tcp_gives_what_fits_and_one_that_refuses_large_answers_nothing() {
    let hosts = names(50);
    let targets: Vec<&str> = hosts.iter().map(String::as_str).collect();
    for tcp in [DnsTcp::Refused, DnsTcp::Silent] {
        let mut net = with_records(1, &targets);
        dns(&mut net).settings.tcp = tcp;
        net.set_name(&hosts[0], Ok(vec![ip(0)]));
        let (client, outcome) = connect(net, config(TEXT));
        assert_eq!(outcome, Ok(Response::Ready), "{tcp:?}: a part of the nodes is enough");
        assert!(client.world.elapsed() < ms(2000), "{:?}", client.world.elapsed());
    }
    // Nothing fits.
    let mut net = with_records(1, &targets);
    dns(&mut net).settings.tcp = DnsTcp::Refused;
    dns(&mut net).settings.truncated_records = false;
    let (_, outcome) = connect(net, config("couchbase://cb.sim?bootstrap_timeout=3s"));
    let text = error(&outcome).to_string();
    assert!(text.contains("too large for UDP") && text.contains("at most three SRV records"), "{text}");
    // A home router.
    let mut net = with_records(1, &targets);
    dns(&mut net).settings.refused_above = Some(512);
    let (_, outcome) = connect(net, config("couchbase://cb.sim?bootstrap_timeout=3s"));
    let text = error(&outcome).to_string();
    assert!(text.contains("REFUSED") && text.contains("at most three SRV records"), "{text}");
}

#[test]
fn cs_27_the_next_name_server_is_asked() {
    for behaviour in [DnsBehaviour::Silent, DnsBehaviour::ServFail, DnsBehaviour::Refused] {
        let mut net = with_records(1, &["node1.sim"]);
        let mut second = DnsServer::from(dns(&mut net).zone.clone());
        second.settings.delay = ms(5);
        net.place_dns(name_server(2), second);
        dns(&mut net).settings.behaviour = behaviour;
        let (mut client, outcome) = connect(net, config_trusting(TEXT, "password", None, 2));
        assert_eq!(outcome, Ok(Response::Ready), "{behaviour:?}");
        assert!(client.world.elapsed() < ms(500), "{behaviour:?}: {:?}", client.world.elapsed());
        let second = client.world.net.dns(name_server(2)).expect("a name server");
        assert_eq!(second.questions().len(), 1);
        assert_eq!(client.world.dialled().next().expect("it dials").2, node(0));
    }
}

#[test]
fn srv_is_not_asked_for_where_the_string_says_so() {
    for text in [
        "couchbase://node1.sim:11210",
        "couchbase://10.0.0.1",
        "couchbase://node1.sim,10.0.0.1",
        "couchbase://node1.sim?enable_dns_srv=false",
    ] {
        let (mut client, outcome) = connect(with_records(1, &[]), config(text));
        assert_eq!(outcome, Ok(Response::Ready), "{text}");
        assert_eq!(questions(&mut client), [], "{text}");
    }
}

#[test]
fn srv_a_prefix_that_belongs_to_the_record_is_stripped() {
    let config = config("couchbase://_couchbase._tcp.cb.sim");
    assert!(config.warnings.iter().any(|warning| warning.kind == WarningKind::SrvPrefixStripped));
    let (mut client, outcome) = connect(with_records(1, &["node1.sim"]), config);
    assert_eq!(outcome, Ok(Response::Ready));
    assert_eq!(questions(&mut client), [(NAME.to_owned(), false)]);
}

#[test]
fn srv_for_tls_alone_is_hinted_at_and_asked_for_once() {
    let mut net = net(1);
    let mut zone = DnsZone::new();
    zone.srv("_couchbases._tcp.cb.sim", [("node1.sim", 11207)]);
    net.place_dns(name_server(1), zone);
    let (mut client, outcome) = connect(net, config("couchbase://cb.sim?bootstrap_timeout=5s"));
    let text = error(&outcome).to_string();
    assert!(text.contains("SRV record of this name for TLS only: use couchbases://"), "{text}");
    client.run_for(secs(60));
    let asked = questions(&mut client);
    assert_eq!(asked.iter().filter(|(name, _)| name.starts_with("_couchbases")).count(), 1, "{asked:?}");
}

#[cfg(feature = "tls")]
#[test]
fn tls_14_a_records_target_is_the_name_that_the_certificate_must_have() {
    let place = |target: &str| {
        let mut net = net(1);
        let mut zone = DnsZone::new();
        zone.srv("_couchbases._tcp.cb.sim", [(target, 11207)]);
        net.place_dns(name_server(1), zone);
        net.set_name("alias.sim", Ok(vec![ip(0)]));
        net
    };
    let secure = |net: &mut Net| {
        let pem = net.cluster().ca_pem();
        config_trusting("couchbases://cb.sim?bootstrap_timeout=3s", "password", Some(pem), 1)
    };
    let mut net = place("node1.sim");
    let config = secure(&mut net);
    let (client, outcome) = connect(net, config);
    assert_eq!(outcome, Ok(Response::Ready), "no certificate names cb.sim");
    assert_eq!(client.world.dialled().count(), 1);
    let mut net = place("alias.sim");
    net.cluster().set_certificate_names(NodeId(0), vec!["cb.sim".into()]);
    let config = secure(&mut net);
    let (_, outcome) = connect(net, config);
    assert_eq!(kind(&outcome), ErrorKind::TlsFailure);
    let text = error(&outcome).to_string();
    assert!(text.contains("presented by alias.sim is for") && text.contains("cb.sim"), "{text}");
}

/// Two clusters of a node each, the newer one with a lower revision; the record names the first.
fn two_clusters() -> Client {
    two_clusters_with_map().0
}

/// The same, with what the old node gives as its map.
fn two_clusters_with_map() -> (Client, Rc<RefCell<String>>) {
    let mut net = with_records(0, &["old.sim"]);
    let map = place_at(&mut net, 0, &plain_map(50), usual);
    place_at(&mut net, 4, &plain_map(3), usual);
    net.set_name("old.sim", Ok(vec![ip(0)]));
    net.set_name("new.sim", Ok(vec![ip(4)]));
    let mut client = Client::with(net, config("couchbase://cb.sim?sasl_mech_force=PLAIN"));
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
    (client, map)
}

fn lose_the_first(client: &mut Client, targets: &[&str]) {
    client.run_for(secs(20));
    let server = dns(&mut client.world.net);
    server.zone.remove(NAME).srv(NAME, targets.iter().map(|target| (*target, 11210)));
    set_node(&mut client.world.net, 0, Reachability::Refuse);
    client.world.net.cut_all(node(0));
}

/// When SRV was asked for, while time passes.
fn question_times(client: &mut Client, duration: Duration) -> Vec<Duration> {
    let end = client.world.elapsed() + duration;
    let mut seen = questions(client).len();
    let mut times = Vec::new();
    while client.world.elapsed() < end {
        client.run_for(ms(50));
        let count = questions(client).len();
        times.extend((seen..count).map(|_| client.world.elapsed()));
        seen = count;
    }
    times
}

#[test]
fn boot_26_boot_22_after_total_loss_the_record_is_asked_for_again_and_its_new_cluster_taken() {
    let mut client = two_clusters();
    lose_the_first(&mut client, &["new.sim"]);
    let lost = client.world.elapsed();
    let found = client.world.run_until(secs(60), |world| world.dialled().any(|(.., to)| to == node(4)));
    assert!(found, "the new node is never dialled");
    let took = client.world.elapsed() - lost;
    assert!(took < secs(25), "{took:?}");
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
    let bucket = client.bucket();
    let map = client.engine().bucket_map(bucket).expect("a map");
    assert_eq!(map.rev.rev, 3, "lower, and taken");
    assert_eq!(map.nodes[0].host, "new.sim");
    client.run_for(secs(60));
    let dials = client.dials(node(0));
    client.run_for(secs(60));
    assert_eq!(client.dials(node(0)), dials, "the old cluster is left alone");
}

#[test]
fn boot_26_cs_30_at_least_10_s_lie_between_two_look_ups() {
    let mut client = two_clusters();
    lose_the_first(&mut client, &["old.sim"]);
    let times = question_times(&mut client, secs(120));
    assert!((3..=12).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= ms(9950)), "{times:?}");
    set_node(&mut client.world.net, 0, Reachability::Open);
    client.online();
}

#[test]
fn boot_26_records_that_overlap_with_what_is_known_change_nothing() {
    let mut client = two_clusters();
    lose_the_first(&mut client, &["old.sim", "new.sim"]);
    assert!(!question_times(&mut client, secs(60)).is_empty());
    assert_eq!(client.dials(node(4)), 0);
    set_node(&mut client.world.net, 0, Reachability::Open);
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
}

#[test]
fn boot_26_a_look_up_that_fails_changes_nothing() {
    let mut client = two_clusters();
    lose_the_first(&mut client, &["new.sim"]);
    dns(&mut client.world.net).settings.behaviour = DnsBehaviour::ServFail;
    client.run_for(secs(60));
    assert_eq!(client.dials(node(4)), 0);
    dns(&mut client.world.net).settings.behaviour = DnsBehaviour::Serve;
    client.run_for(secs(30));
    assert!(client.dials(node(4)) > 0);
    let op = client.start("k", OpKind::Get);
    assert_eq!(value(&client.end(op)), b"value");
}

#[test]
fn boot_22_old_nodes_that_come_back_before_the_new_ones_answer_keep_their_versions() {
    let (mut client, map) = two_clusters_with_map();
    set_node(&mut client.world.net, 4, Reachability::BlackHole);
    lose_the_first(&mut client, &["new.sim"]);
    assert!(client.world.run_until(secs(60), |world| world.dialled().any(|(.., to)| to == node(4))));
    set_node(&mut client.world.net, 0, Reachability::Open);
    client.online();
    client.run_for(secs(10));
    *map.borrow_mut() = plain_map(40);
    client.run_for(secs(30));
    let bucket = client.bucket();
    assert_eq!(client.engine().bucket_map(bucket).expect("a map").rev.rev, 50);
}

/// An engine behind an adapter that cannot carry datagrams.
struct NoDatagrams {
    engine: Engine,
    now: Instant,
}

impl Machine for NoDatagrams {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.now = now;
        self.engine.handle_input(input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.engine.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Output {
        loop {
            match self.engine.poll_output() {
                Output::Datagram(datagram) => {
                    let failed = Input::DatagramFailed { query: datagram.query, why: LinkError::Unsupported };
                    self.engine.handle_input(failed, self.now);
                }
                other => return other,
            }
        }
    }

    fn transmit(&self, conn: ConnId, out: &mut Vec<u8>) {
        Machine::transmit(&self.engine, conn, out);
    }
}

#[test]
fn cs_27_an_adapter_without_datagrams_acts_as_if_there_were_no_record() {
    for alive in [true, false] {
        let mut net = with_records(1, &["node1.sim"]);
        if alive {
            net.set_name("cb.sim", Ok(vec![ip(0)]));
        }
        let now = net.now();
        let engine = Engine::new(config("couchbase://cb.sim?bootstrap_timeout=3s"), [7; 32], now);
        let mut world = World::new(net, NoDatagrams { engine, now });
        world.client.engine.bootstrap(now);
        let mut outcome = None;
        world.run_until(secs(10), |world| {
            while let Some(event) = world.poll_event() {
                if let Event::Completed { result, .. } = event {
                    outcome = Some(result);
                }
            }
            outcome.is_some()
        });
        let outcome = outcome.expect("an end");
        if alive {
            assert_eq!(outcome, Ok(Response::Ready));
            assert!(world.elapsed() < ms(20));
        } else {
            let text = error(&outcome).to_string();
            assert!(text.contains("this adapter cannot send DNS queries"), "{text}");
            assert!(text.contains("name the nodes in the connection string"), "{text}");
        }
    }
}
