//! Finding the cluster, logging in, and coming back (`connecting.md` 4).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use settee::engine::{DesiredState, OpKind, Response, Stage};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Features, LinkId, Mechanism, Net, NetSettings, NodeId, Reachability, Rule};

use crate::common::{
    Client, config, config_as, error, kind, ms, net, node, report, secs, set_node, small, start, value,
};

const SEEDS: &str = "couchbase://10.0.0.1,10.0.0.2,10.0.0.3?preserve_bootstrap_nodes_order=true";

/// From the dial to the first answer of a get, on the connection that bootstraps: how often the client began to send
/// anew after it had received something, and how many connections it opened.
fn first_get(text: &str, pipelined: bool) -> (u32, usize) {
    let mut config = config(text);
    config.pipelined = pipelined;
    let mut client = Client::with(net(1), config);
    client.put("k", b"1");
    let op = client.start("k", OpKind::Get);
    assert_eq!(value(&client.end(op)), b"1");
    (client.world.net.flights(LinkId(0)), client.world.dialled().count())
}

#[test]
fn one_flight_of_handshake_with_plain_and_two_with_scram() {
    // One flight more is the get itself; the connection that bootstrapped is the one that serves.
    assert_eq!(first_get("couchbase://10.0.0.1?sasl_mech_force=PLAIN", true), (2, 1));
    assert_eq!(first_get("couchbase://10.0.0.1?sasl_mech_force=SCRAM-SHA512", true), (3, 1));
    assert_eq!(first_get("couchbase://10.0.0.1", true), (3, 1));
}

#[test]
fn boot_7_without_pipelining_the_result_is_the_same() {
    // HELLO, error map, mechanisms, authentication (one step or two), bucket, map, get.
    assert_eq!(first_get("couchbase://10.0.0.1?sasl_mech_force=PLAIN", false), (7, 1));
    assert_eq!(first_get("couchbase://10.0.0.1", false), (8, 1));
    let state = |pipelined: bool| {
        let mut config = config(SEEDS);
        config.pipelined = pipelined;
        let mut client = Client::with(net(3), config);
        client.online();
        let bucket = client.bucket();
        let map = client.engine().bucket_map(bucket).expect("a map").clone();
        let mut dialled: Vec<SocketAddr> = client.world.dialled().map(|(.., to)| to).collect();
        dialled.sort_unstable();
        (map, dialled)
    };
    assert_eq!(state(true), state(false));
}

#[test]
fn boot_1_without_xerror_a_close_is_reported_as_lack_of_privilege() {
    let mut net = net(1);
    let features = Features::of(&[Features::SELECT_BUCKET, Features::JSON, Features::TCP_NODELAY]);
    net.cluster().set_features(NodeId(0), features);
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Close));
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    assert!(error(&outcome).to_string().contains("probable lack of privilege"), "{outcome:?}");
}

#[test]
fn boot_2_a_compressed_map_is_inflated() {
    let mut net = net(1);
    net.cluster().set_features(NodeId(0), Features::SUPPORTED);
    assert!(Features::SUPPORTED.has(Features::SNAPPY_EVERYWHERE));
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    let bucket = client.bucket();
    let map = client.engine().bucket_map(bucket).expect("a map");
    assert_eq!(map.vbuckets.as_ref().expect("a bucket's map").count(), 64);
}

#[test]
fn boot_4_select_bucket_refused_beside_other_commands_is_sent_again_alone() {
    let mut net = net(1);
    let rule = Rule::new(Opcode::SELECT_BUCKET, Action::Status(Status::NOT_SUPPORTED)).times(1);
    net.cluster().add_rule(NodeId(0), rule);
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    assert_eq!(client.cluster().requests_everywhere(Opcode::SELECT_BUCKET), 2);
    assert_eq!(client.world.dialled().count(), 1);
}

#[test]
fn boot_5_after_a_terminal_failure_the_rest_of_the_batch_is_ignored() {
    let login = config_as("couchbase://10.0.0.1?sasl_mech_force=PLAIN", "Administrator", "wrong");
    let mut client = Client::with(net(1), login);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    let attempts = &report(&outcome).attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].stage, Stage::Auth, "what the bucket and the map answered says nothing");
}

#[test]
fn boot_6_the_pipeline_is_bounded_from_the_dials_start() {
    let mut net = net(1);
    net.set_latency(node(0), ms(100));
    net.cluster().pause_node(NodeId(0));
    let mut client = Client::new(net, "couchbase://10.0.0.1?kv_connect_timeout=2s");
    client.world.run_until(secs(5), |world| world.net.links().any(|(.., open)| !open));
    assert_eq!(client.world.elapsed(), secs(2));
}

#[test]
fn boot_11_seeds_are_shuffled_unless_their_order_is_to_be_preserved() {
    let first = |text: &str, seed: u8| {
        let mut client = Client::seeded(net(3), config(text), [seed; 32]);
        client.world.settle();
        client.world.dialled().next().expect("it dials").2
    };
    assert!((0..20).all(|seed| first(SEEDS, seed) == node(0)));
    let mut firsts: Vec<SocketAddr> =
        (0..20).map(|seed| first("couchbase://10.0.0.1,10.0.0.2,10.0.0.3", seed)).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts, [node(0), node(1), node(2)]);
}

/// Seeds that are black holes.
fn holes(count: usize) -> Client {
    let mut net = net(1);
    let hosts: Vec<String> = (0..count).map(|index| format!("10.0.1.{}", index + 1)).collect();
    for host in &hosts {
        net.set_reachability(format!("{host}:11210").parse().expect("an address"), Reachability::BlackHole);
    }
    let text = format!("couchbase://{}?preserve_bootstrap_nodes_order=true", hosts.join(","));
    Client::new(net, &text)
}

#[test]
fn boot_12_the_next_seed_starts_after_500_ms_and_three_run_at_a_time() {
    // The first stops counting after 2 s without TCP progress, then one more may start every 500 ms.
    let times = holes(7).dial_times(None, secs(5));
    assert_eq!(times, [0, 500, 1000, 2000, 2500, 3000, 4000].map(ms));
}

#[test]
fn boot_12_the_next_seed_starts_at_once_when_one_fails() {
    let mut net = net(3);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, SEEDS);
    client.run_for(ms(2));
    let dialled: Vec<SocketAddr> = client.world.dialled().map(|(.., to)| to).collect();
    assert_eq!(dialled, [node(0), node(1)]);
}

#[test]
fn s01_a_healthy_first_seed_is_the_only_one_asked() {
    let mut client = Client::connect(net(3), SEEDS);
    client.run_for(secs(20));
    assert_eq!(client.world.dialled().count(), 3, "one connection per node");
    let bucket = client.bucket();
    assert!(client.engine().bucket_map(bucket).is_some());
    assert_eq!(client.cluster().connections().count(), 3);
}

#[test]
fn s02_the_connection_that_came_too_late_is_not_leaked() {
    let mut net = net(3);
    net.set_latency(node(0), ms(700));
    let mut client = Client::new(net, "couchbase://10.0.0.1,10.0.0.2?preserve_bootstrap_nodes_order=true");
    client.online();
    client.run_for(secs(10));
    for index in 0..3 {
        assert_eq!(client.open_links(node(index)).len(), 1);
    }
}

#[test]
fn s03_a_seed_that_stalls_after_hello_is_passed_over() {
    let mut net = net(3);
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_AUTH, Action::Ignore).times(1));
    let mut client = Client::new(net, SEEDS);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert!(client.world.elapsed() < ms(520), "{:?}", client.world.elapsed());
}

#[test]
fn boot_13_families_alternate_and_250_ms_lie_between_a_names_addresses() {
    let mut net = net(1);
    let ips: Vec<IpAddr> = ["10.1.0.1", "10.1.0.2", "fd00::1", "fd00::2"]
        .iter()
        .map(|ip| ip.parse().expect("an address"))
        .collect();
    net.set_name("many.sim", Ok(ips.clone()));
    for ip in &ips {
        net.set_reachability(SocketAddr::new(*ip, 11210), Reachability::BlackHole);
    }
    let mut client = Client::new(net, "couchbase://many.sim");
    let times = client.dial_times(None, secs(2));
    assert_eq!(times, [1, 251, 501, 751].map(ms), "the name service takes 1 ms");
    let order: Vec<IpAddr> = client.world.dialled().map(|(.., to)| to.ip()).collect();
    assert_eq!(order, [ips[0], ips[2], ips[1], ips[3]]);
}

#[test]
fn boot_13_ip_protocol_filters() {
    let mut net = net(1);
    let ips = ["fd00::1", "10.0.0.1"].map(|ip| ip.parse().expect("an address"));
    net.set_name("both.sim", Ok(ips.to_vec()));
    let mut client = Client::new(net, "couchbase://both.sim?ip_protocol=force_ipv4");
    client.online();
    assert!(client.world.dialled().all(|(.., to)| to.is_ipv4()));
}

#[test]
fn boot_14_pauses_between_rounds_double_from_500_ms_to_4_s() {
    let mut net = net(1);
    set_node(&mut net, 0, Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let times = client.dial_times(Some(node(0)), secs(25));
    let pauses: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (pause, expected) in pauses.iter().zip([0.5, 1.0, 2.0, 4.0, 4.0, 4.0]) {
        assert!((expected * 0.74..=expected * 1.26).contains(pause), "{pause} for {expected}");
    }
    assert!((5..=9).contains(&pauses.len()), "{pauses:?}");
}

#[test]
fn boot_14_each_round_asks_the_resolver_anew() {
    let mut net = net(1);
    net.set_name("late.sim", Err(settee::engine::LookupError::NotFound));
    let mut client = Client::new(net, "couchbase://late.sim");
    let op = client.start("k", OpKind::Exists);
    client.run_for(ms(300));
    client.world.net.set_name("late.sim", Ok(vec![node(0).ip()]));
    assert!(client.end(op).is_ok());
    assert!(client.world.elapsed() < ms(700), "{:?}", client.world.elapsed());
}

#[test]
fn boot_14_the_handle_lives_on_after_bootstrap_timeout() {
    let mut net = net(1);
    set_node(&mut net, 0, Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1?bootstrap_timeout=3s");
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.world.elapsed(), secs(3));
    client.run_for(secs(60));
    set_node(&mut client.world.net, 0, Reachability::Open);
    client.online();
}

#[test]
fn boot_15_after_the_first_map_its_nodes_are_asked_for_the_next_bucket() {
    let mut net = net(3);
    net.cluster().add_bucket("second");
    let mut client = Client::connect(net, "couchbase://10.0.0.3");
    // The seed's own name is of no use any more.
    let before: Vec<SocketAddr> = client.world.dialled().map(|(.., to)| to).collect();
    client.world.net.set_reachability(node(2), Reachability::Refuse);
    client.open("second");
    let op = client.wait(DesiredState::Degraded, secs(5));
    assert_eq!(client.end(op), Ok(Response::Ready));
    let after: Vec<SocketAddr> = client.world.dialled().skip(before.len()).map(|(.., to)| to).collect();
    assert!(after.iter().any(|to| *to != node(2)));
}

#[test]
fn boot_16_the_report_names_each_seed_with_its_stage_and_what_to_do() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    net.set_reachability("10.0.0.2:11210".parse().expect("an address"), Reachability::BlackHole);
    net.set_latency("10.0.0.2:11210".parse().expect("an address"), ms(1));
    let text = "couchbase://10.0.0.1,10.0.0.2,nowhere.sim?bootstrap_timeout=2500ms&bootstrap_on=cccp";
    let mut client = Client::new(net, text);
    let op = client.bootstrap();
    let outcome = client.end(op);
    let report = report(&outcome);
    assert_eq!(report.kind, ErrorKind::UnambiguousTimeout);
    let mut stages: Vec<(&str, Stage, bool)> = report
        .attempts
        .iter()
        .map(|attempt| (&attempt.seed[..], attempt.stage, attempt.error.is_some()))
        .collect();
    stages.sort_unstable();
    assert_eq!(
        stages,
        [
            ("10.0.0.1:11210", Stage::Tcp, true),
            ("10.0.0.2:11210", Stage::Tcp, false),
            ("nowhere.sim:11210", Stage::Resolve, true),
        ]
    );
    let line = error(&outcome).to_string();
    for part in ["10.0.0.1:11210 failed at TCP", "10.0.0.2:11210", "nowhere.sim:11210 failed at resolve"] {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[test]
fn boot_16_hints() {
    let outcome_of = |change: &dyn Fn(&mut Net), text: &str, password: &str| {
        let mut net = net(1);
        change(&mut net);
        let mut client = Client::with(net, config_as(text, "Administrator", password));
        let op = client.wait(DesiredState::Online, secs(3));
        client.end(op)
    };
    let nothing = |_: &mut Net| {};
    let refuse = |net: &mut Net| set_node(net, 0, Reachability::Refuse);
    let no_bucket = |net: &mut Net| assert!(net.cluster().drop_bucket("default"));
    for (outcome, expected_kind, hint) in [
        (
            outcome_of(&nothing, "couchbase://10.0.0.1", "wrong"),
            ErrorKind::AuthenticationFailure,
            "check user name and password",
        ),
        (
            outcome_of(&refuse, "couchbase://10.0.0.1", "password"),
            ErrorKind::UnambiguousTimeout,
            "no firewall blocks its port",
        ),
        (
            outcome_of(&nothing, "couchbase://nowhere.sim", "password"),
            ErrorKind::UnambiguousTimeout,
            "check the host names",
        ),
        (
            outcome_of(&no_bucket, "couchbase://10.0.0.1", "password"),
            ErrorKind::BucketNotFound,
            "create the bucket",
        ),
    ] {
        assert_eq!(kind(&outcome), expected_kind);
        assert!(report(&outcome).hints.iter().any(|line| line.contains(hint)), "{outcome:?}");
    }
}

#[test]
fn boot_16_at_most_32_attempts_are_listed() {
    let hosts: Vec<String> = (1..=40).map(|index| format!("10.0.1.{index}")).collect();
    let text = format!("couchbase://{}?bootstrap_timeout=2s", hosts.join(","));
    let mut client = Client::new(net(1), &text);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(report(&outcome).attempts.len(), 32);
    // A manager that cannot be reached either is not told of again.
    assert_eq!(report(&outcome).omitted, 8);
    assert!(error(&outcome).to_string().contains("and 8 more"));
}

#[test]
fn a_wrong_password_is_terminal_after_one_round() {
    let mut client = Client::with(net(3), config_as(SEEDS, "Administrator", "wrong"));
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    assert!(client.world.elapsed() < ms(100), "{:?}", client.world.elapsed());
    assert!(!error(&outcome).to_string().contains("wrong"), "no password in an error");
    client.run_for(secs(600));
    assert_eq!(client.world.dialled().count(), 3, "each seed once");
    // What is asked later is told at once.
    let late = client.wait(DesiredState::Online, secs(60));
    let asked_at = client.now();
    let outcome = client.end(late);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    assert_eq!(client.now(), asked_at);
}

#[test]
fn boot_14_whoever_waits_is_told_of_a_terminal_error_at_once() {
    let seeds = "couchbase://10.0.0.1,10.0.0.2/default";
    let mut client = Client::with(net(2), config_as(seeds, "Administrator", "wrong"));
    for _ in 0..2 {
        // The first waits for the hunt, the second finds it over.
        let op = client.start("k", OpKind::Get);
        let outcome = client.end(op);
        assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
        let error = outcome.expect_err("it has failed");
        let report = error.context().bootstrap.as_ref().expect("a report");
        assert_eq!(report.attempts.len(), 2);
        assert!(client.world.elapsed() < secs(2), "{:?}", client.world.elapsed());
    }
}

#[test]
fn auth_3_another_mechanism_is_tried_on_the_same_connection_and_remembered() {
    let mut net = net(2);
    net.cluster().set_mechanisms(&[Mechanism::ScramSha1]);
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    assert_eq!(client.world.dialled().count(), 2);
    let asked = client.cluster().requests(NodeId(0), Opcode::SASL_AUTH);
    assert_eq!(asked, 2, "the preferred one, then the one that is offered");
    assert_eq!(client.cluster().requests(NodeId(1), Opcode::SASL_AUTH), 1, "remembered");
}

#[test]
fn sa_3_without_a_common_mechanism_both_lists_are_named() {
    let mut net = net(1);
    net.cluster().set_mechanisms(&[Mechanism::Plain]);
    let mut client = Client::new(net, "couchbase://10.0.0.1?sasl_mech_force=SCRAM-SHA256");
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    let text = error(&outcome).to_string();
    assert!(text.contains("PLAIN") && text.contains("SCRAM-SHA256"), "{text}");
}

#[test]
fn a_missing_bucket_is_the_cause_of_the_time_out() {
    let mut net = net(2);
    net.cluster().drop_bucket("default");
    let mut client = Client::new(net, "couchbase://10.0.0.1,10.0.0.2");
    let outcome = client.get("k");
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    assert_eq!(error(&outcome).context().cause, Some(ErrorKind::BucketNotFound));
    assert_eq!(client.world.elapsed(), ms(2500));
}

#[test]
fn a_bucket_that_appears_later_is_picked_up() {
    let mut net = net(2);
    net.cluster().drop_bucket("default");
    let mut client = Client::new(net, "couchbase://10.0.0.1,10.0.0.2");
    let op = client.start("k", OpKind::Exists);
    client.run_for(ms(700));
    client.cluster().add_bucket("default");
    let outcome = client.end(op);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn a_missing_bucket_does_not_make_a_connection_storm() {
    let mut net = net(2);
    net.cluster().drop_bucket("default");
    let mut client = Client::new(net, "couchbase://10.0.0.1,10.0.0.2");
    client.run_for(secs(600));
    let dials = client.world.dialled().count();
    assert!(dials < 2 * 80, "{dials} in ten minutes");
}

#[test]
fn before_6_5_a_refused_cluster_map_is_no_failure() {
    for status in [Status::NO_BUCKET, Status::EACCESS, Status::UNKNOWN_COMMAND, Status::NOT_SUPPORTED] {
        let mut net = net(2);
        // Without a bucket: every map is refused until one is selected, which only the first request is here.
        net.cluster()
            .add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Status(status)).times(1));
        let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
        let op = client.bootstrap();
        assert_eq!(client.end(op), Ok(Response::Ready), "{status}");
        assert_eq!(client.world.dialled().count(), 1);
        client.cluster().clear_rules();
        client.open("default");
        client.online();
        assert!(client.engine().cluster_map().is_some(), "S07: the bucket's map feeds the cluster's");
    }
}

#[test]
fn several_buckets_have_connections_of_their_own() {
    let mut net = net(2);
    net.cluster().add_bucket("second");
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    client.put("k", b"1");
    assert_eq!(value(&client.get("k")), b"1");
    client.open("second");
    client.online();
    assert_eq!(kind(&client.get("k")), ErrorKind::DocumentNotFound);
    assert!(client.set("k", "2").is_ok());
    client.open("default");
    assert_eq!(value(&client.get("k")), b"1");
    for index in 0..2 {
        assert_eq!(client.open_links(node(index)).len(), 2);
    }
}

#[test]
fn a_connection_without_a_bucket_is_taken_over_by_the_first() {
    let mut client = Client::bare(net(3), config("couchbase://10.0.0.1"), [7; 32]);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert_eq!(client.world.dialled().count(), 1);
    client.open("default");
    client.online();
    client.run_for(secs(30));
    assert_eq!(client.world.dialled().count(), 3, "none is dialled twice");
    for index in 0..3 {
        assert_eq!(client.open_links(node(index)).len(), 1);
    }
}

#[test]
fn boot_25_lost_connections_are_dialled_at_once_then_after_32_ms_to_200_ms_then_longer() {
    let mut client = Client::connected(2);
    client.run_for(secs(6));
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    let lost = client.world.elapsed();
    let times = client.dial_times(Some(node(1)), secs(60));
    // Looking up the node's name takes a millisecond, being refused another.
    assert_eq!(times[0], lost + ms(1), "at once");
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0] - ms(2)).collect();
    let near = |pause: Duration, expected: u64| {
        let (pause, expected) = (pause.as_secs_f64(), Duration::from_millis(expected).as_secs_f64());
        assert!((expected * 0.749..=expected * 1.251).contains(&pause), "{pause} for {expected}");
    };
    for (pause, expected) in pauses.iter().zip([32, 64, 128, 200, 200, 200]) {
        near(*pause, expected);
    }
    let late: Vec<Duration> =
        times.windows(2).filter(|pair| pair[0] > lost + secs(40)).map(|pair| pair[1] - pair[0]).collect();
    let longest = client.engine().config().options.server_wait_backoff;
    assert!(!late.is_empty());
    for pause in late {
        near(pause - ms(2), longest.as_millis() as u64);
    }
    assert!(times.len() < 75, "{}", times.len());
}

#[test]
fn boot_25_pauses_start_anew_once_a_connection_has_served_for_5_s() {
    for (served, first) in [(secs(1), false), (secs(6), true)] {
        let mut client = Client::connected(1);
        client.run_for(secs(10));
        client.world.net.set_reachability(node(0), Reachability::Refuse);
        client.world.net.cut_all(node(0));
        client.run_for(secs(3));
        client.world.net.set_reachability(node(0), Reachability::Open);
        client.online();
        client.run_for(served);
        client.world.net.cut_all(node(0));
        let lost = client.world.elapsed();
        let times = client.dial_times(Some(node(0)), ms(300));
        assert_eq!(times[0] == lost + ms(1), first, "after {served:?} of service: {times:?}");
    }
}

#[test]
fn h12_the_stall_is_at_most_the_outage_and_300_ms() {
    for outage in [200, 1000, 3000] {
        let mut client = Client::connected(1);
        client.put("k", b"1");
        client.run_for(secs(10));
        client.cluster().kill_node(NodeId(0));
        let down = client.world.elapsed();
        let mut operation = client.operation("k", OpKind::Get);
        operation.timeout = Some(secs(30));
        client.run_for(ms(1));
        let op = client.submit(operation);
        client.run_for(ms(outage));
        client.cluster().restart_node(NodeId(0));
        assert_eq!(value(&client.end(op)), b"1");
        let stall = client.world.elapsed() - down;
        assert!(stall <= ms(outage + 300), "{stall:?} for an outage of {outage} ms");
    }
}

#[test]
fn h16_accept_and_close_for_an_hour_is_no_connection_storm() {
    let mut client = Client::connected(1);
    client.run_for(secs(10));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::HELLO, Action::Close));
    client.world.net.cut_all(node(0));
    client.run_for(secs(60));
    let first = client.world.dialled().count();
    assert!(first < 120, "{first} in the first minute");
    client.run_for(secs(3540));
    let per_minute = (client.world.dialled().count() - first) / 59;
    assert!(per_minute <= 60, "{per_minute} per minute");
    client.cluster().clear_rules();
    let better = client.now();
    client.online();
    assert!(client.now() - better < ms(4096 * 5 / 4 + 100), "{:?}", client.now() - better);
}

#[test]
fn boot_28_degraded_is_one_node_and_online_all() {
    let mut net = net(3);
    net.set_reachability(node(2), Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let degraded = client.wait(DesiredState::Degraded, secs(5));
    let online = client.wait(DesiredState::Online, secs(5));
    assert_eq!(client.end(degraded), Ok(Response::Ready));
    assert!(client.world.elapsed() < ms(50));
    let outcome = client.end(online);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    let text = error(&outcome).to_string();
    assert!(text.contains("node3.sim:11210") && text.contains("TCP"), "BOOT-29: {text}");
    assert!(!text.contains("node1.sim:11210"), "{text}");
}

#[test]
fn boot_27_a_handle_opens_at_once_and_operations_wait_for_the_first_map() {
    let mut net = net(1);
    net.cluster().kill_node(NodeId(0));
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let op = client.start("k", OpKind::Exists);
    client.run_for(secs(1));
    assert_eq!(client.outcome(op), None);
    client.cluster().restart_node(NodeId(0));
    assert!(client.end(op).is_ok());
}

#[test]
fn s14_nodes_without_host_names_are_at_the_host_that_gave_the_map() {
    let mut net = Net::new(1, small(), NetSettings::default(), start());
    let mut address = net.cluster().address(NodeId(0)).expect("a node").clone();
    address.omit_hostname = true;
    net.cluster().set_address(NodeId(0), address);
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    client.world.net.cut_all(node(0));
    client.online();
    assert!(client.world.dialled().all(|(.., to)| to == node(0)), "no made-up name is looked up");
    client.put("k", b"1");
    assert_eq!(value(&client.get("k")), b"1");
}
