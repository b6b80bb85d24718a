//! Where maps come from, in all forms (`connecting.md` 4.4 to 4.7, 4.10).

use std::net::SocketAddr;
use std::time::Duration;

use settee::engine::{DesiredState, PingRequest, Response};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, LinkId, Listener, Net, NetSettings, NodeId, Posture, Reachability, Rule, Service};

use crate::common::{
    Client, config, error, kind, ms, net, node, report, secs, set_node, small, start, value,
};
use crate::script::{map_with, place, place_at, usual};

pub(crate) fn manager(index: usize) -> SocketAddr {
    Net::listener_of(NodeId(index), Listener::MGMT)
}

/// The paths that managers were asked for, with the node.
pub(crate) fn asked(client: &mut Client) -> Vec<(usize, String)> {
    let requests = client.cluster().http_requests();
    requests
        .filter(|(_, service, _)| *service == Service::Mgmt)
        .map(|(node, _, path)| (node.0, path.to_owned()))
        .collect()
}

fn refuse_data(net: &mut Net, reachability: Reachability) {
    for index in 0..net.cluster().node_count() {
        net.set_reachability(node(index), reachability);
    }
}

#[test]
fn scheme_http_tries_data_nodes_first_and_another_port_is_the_managers_alone() {
    for text in ["http://10.0.0.1", "http://10.0.0.1:8091", "http://10.0.0.1,10.0.0.2:8091"] {
        let mut client = Client::connect(net(2), text);
        assert!(client.set("k", "1").is_ok());
        assert_eq!(asked(&mut client), [], "{text}");
    }
    let mut net = net(2);
    let moved: SocketAddr = "10.0.0.1:9000".parse().expect("an address");
    net.forward(moved, NodeId(0), Listener::MGMT);
    let mut client = Client::connect(net, "http://10.0.0.1:9000");
    assert!(client.set("k", "1").is_ok());
    assert_eq!(client.world.dialled().next().expect("it dials").2, moved);
    assert_eq!(asked(&mut client), [(0, "/pools/default/bs/default".to_owned())]);
}

#[test]
fn boot_17_manager_ports_alone_are_enough_and_the_stream_ends_where_data_nodes_serve() {
    let mut client = Client::connect(net(3), "couchbase://10.0.0.1:8091=manager,10.0.0.2:8091=http");
    assert!(client.set("k", "1").is_ok());
    client.run_for(secs(5));
    for index in 0..3 {
        assert_eq!(client.open_links(node(index)).len(), 1);
        assert_eq!(client.open_links(manager(index)), [], "maps come from the data nodes");
    }
    assert_eq!(asked(&mut client).len(), 1);
}

#[test]
fn boot_17_bootstrap_on() {
    // `auto`, and all is well: no manager is asked.
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1");
    client.run_for(secs(60));
    assert_eq!(asked(&mut client), []);
    // `cccp`: no manager is asked even where nothing else answers.
    let mut net_of_managers = net(1);
    refuse_data(&mut net_of_managers, Reachability::Refuse);
    let mut client =
        Client::new(net_of_managers, "couchbase://10.0.0.1?bootstrap_on=cccp&bootstrap_timeout=5s");
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    assert_eq!((client.dials(manager(0)), asked(&mut client)), (0, vec![]));
    assert_eq!(report(&outcome).attempts.len(), 1);
    // `http`: maps come from managers for ever, documents from the data nodes.
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?bootstrap_on=http");
    assert_eq!(client.world.dialled().next().expect("it dials").2, manager(0));
    assert!(client.set("k", "1").is_ok());
    client.run_for(secs(60));
    assert_eq!(asked(&mut client).len(), 1, "one stream");
    assert_eq!(client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG), 0);
    // Without a bucket the cluster's map is asked for each poll interval, no oftener.
    let mut client = Client::bare(net(2), config("couchbase://10.0.0.1?bootstrap_on=http"), [7; 32]);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    client.run_for(secs(25));
    let paths = asked(&mut client);
    assert!((9..=12).contains(&paths.len()), "{} in 25 s", paths.len());
    assert!(paths.iter().all(|(_, path)| path == "/pools/default/nodeServices"));
}

#[cfg(feature = "tracing")]
#[test]
fn boot_9_a_refused_data_port_with_a_manager_that_answers_is_logged() {
    let (mut client, lines) = crate::logs::logged(|| {
        let mut net = net(2);
        net.set_reachability(node(0), Reachability::Refuse);
        let mut client = Client::new(net, "couchbase://10.0.0.1");
        let op = client.wait(DesiredState::Degraded, secs(5));
        assert_eq!(client.end(op), Ok(Response::Ready));
        client
    });
    let told = lines
        .iter()
        .filter(|line| line.starts_with("INFO") && line.contains("seeds that are data nodes"))
        .count();
    assert_eq!(told, 1, "{lines:#?}");
    let key = client.key_on(1);
    assert!(client.set(&key, "1").is_ok());
    // The other node's keys wait; the error says what is wrong there, and not that addresses are.
    let key = client.key_on(0);
    let outcome = client.get(&key);
    let text = error(&outcome).to_string();
    assert!(text.contains("node1.sim:11210") && text.contains("failed at TCP"), "{text}");
}

#[test]
fn boot_17_data_ports_that_swallow_dials_are_passed_over_and_told_of() {
    let mut net = net(1);
    refuse_data(&mut net, Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert!(client.world.elapsed() < ms(2100), "{:?}", client.world.elapsed());
    let op = client.wait(DesiredState::Online, secs(30));
    let outcome = client.end(op);
    let text = error(&outcome).to_string();
    assert!(text.contains("no answer to the dial"), "{text}");
    assert!(text.contains("the manager on that host answers"), "{text}");
    assert!(text.contains("no firewall blocks its port"), "{text}");
    // The manager says that there is no such bucket: both are told.
    let mut net = net_without_bucket(1);
    refuse_data(&mut net, Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://10.0.0.1?bootstrap_timeout=15s");
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(report(&outcome).kind, ErrorKind::BucketNotFound);
    let text = error(&outcome).to_string();
    assert!(text.contains("HTTP 404") && text.contains("create the bucket"), "{text}");
    assert!(text.contains("10.0.0.1:11210 failed at TCP: no answer to the dial"), "{text}");
    assert!(text.contains("no data node can be reached"), "{text}");
}

fn net_without_bucket(nodes: usize) -> Net {
    let mut net = net(nodes);
    assert!(net.cluster().drop_bucket("default"));
    net
}

#[test]
fn boot_12_managers_are_tried_half_a_second_apart() {
    let mut net = net(3);
    for index in 0..2 {
        net.set_reachability(manager(index), Reachability::BlackHole);
    }
    let text = "couchbase://10.0.0.1,10.0.0.2,10.0.0.3?bootstrap_on=http&preserve_bootstrap_nodes_order=true";
    let mut client = Client::new(net, text);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    let elapsed = client.world.elapsed();
    assert!(elapsed >= secs(1) && elapsed < ms(1010), "{elapsed:?}");
}

#[cfg(feature = "tls")]
#[test]
fn boot_17_there_is_no_downgrade_from_tls() {
    let mut net = net(1);
    net.set_reachability(Net::listener_of(NodeId(0), Listener::KV_TLS), Reachability::Refuse);
    net.set_reachability(Net::listener_of(NodeId(0), Listener::MGMT_TLS), Reachability::Refuse);
    let config = crate::common::config_tls(&mut net, "couchbases://10.0.0.1?bootstrap_timeout=20s");
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    assert_eq!(kind(&client.end(op)), ErrorKind::UnambiguousTimeout);
    assert!(client.world.dialled().all(|(.., to)| [11207, 18091].contains(&to.port())));
    // With the manager's TLS port open the map comes over it, inside TLS.
    client.world.net.set_reachability(Net::listener_of(NodeId(0), Listener::MGMT_TLS), Reachability::Open);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    client.world.net.set_reachability(Net::listener_of(NodeId(0), Listener::KV_TLS), Reachability::Open);
    client.online();
    assert!(client.set("k", "1").is_ok());
    assert!(client.world.dialled().all(|(.., to)| [11207, 18091].contains(&to.port())));
}

#[test]
fn a_bucket_that_is_missing_or_forbidden_may_come_later_by_either_way() {
    for text in ["couchbase://10.0.0.1", "couchbase://10.0.0.1?bootstrap_on=http"] {
        let mut client = Client::new(net_without_bucket(2), text);
        let op = client.wait(DesiredState::Online, secs(3));
        assert_eq!(kind(&client.end(op)), ErrorKind::BucketNotFound, "{text}");
        client.cluster().add_bucket("default");
        client.online();
        assert!(client.set("k", "1").is_ok());

        let mut net = net(2);
        net.cluster().set_bucket_access("Administrator", Some(&["other"]));
        let mut client = Client::new(net, text);
        let op = client.wait(DesiredState::Online, secs(3));
        let outcome = client.end(op);
        assert_eq!(kind(&outcome), ErrorKind::BucketNotFound, "{text}");
        let told = error(&outcome).to_string();
        assert!(told.contains("does not exist or this user may not use it"), "both: {told}");
        client.cluster().set_bucket_access("Administrator", None);
        client.online();
    }
}

#[test]
fn a_bucket_that_hibernates_is_waited_for() {
    for status in [Status::BUCKET_PAUSED, Status::EACCESS] {
        let mut client = Client::connected(2);
        assert!(client.set("k", "1").is_ok());
        assert!(client.cluster().pause_bucket("default", status));
        let outcome = client.get("k");
        assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
        client.run_for(secs(120));
        let dials = client.world.dialled().count();
        assert!(dials < 120, "{dials} in two minutes");
        assert!(client.cluster().resume_bucket("default"));
        client.online();
        assert_eq!(value(&client.get("k")), b"1");
    }
    let mut net = net(1);
    net.cluster().pause_bucket("default", Status::BUCKET_PAUSED);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let op = client.wait(DesiredState::Online, secs(3));
    let outcome = client.end(op);
    let text = error(&outcome).to_string();
    assert!(text.contains("is not ready") && text.contains("hibernat"), "{text}");
}

#[test]
fn num_kv_connections_are_dialled_to_each_node_and_a_key_keeps_its_own() {
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?num_kv_connections=3");
    client.run_for(secs(1));
    for index in 0..2 {
        assert_eq!(client.open_links(node(index)).len(), 3);
        assert_eq!(client.dials(node(index)), 3);
    }
    let traffic = |client: &Client| -> Vec<u64> {
        client.world.net.links().map(|(link, ..)| client.world.net.bytes_sent(link)).collect()
    };
    let used = |client: &mut Client, key: &str| {
        let before = traffic(client);
        assert!(client.set(key, "1").is_ok());
        let after = traffic(client);
        let used: Vec<usize> = (0..after.len()).filter(|&link| after[link] > before[link]).collect();
        assert_eq!(used.len(), 1, "{key}");
        used[0]
    };
    let keys = client.keys_on(0, 30);
    let first: Vec<usize> = keys.iter().map(|key| used(&mut client, key)).collect();
    let again: Vec<usize> = keys.iter().map(|key| used(&mut client, key)).collect();
    assert_eq!(first, again);
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "all are used");
    // One goes down and does not come back: its keys go by a sibling, without a wait.
    client.world.net.set_reachability(node(0), Reachability::BlackHole);
    let victim = LinkId(first[0]);
    client.world.net.cut(victim);
    client.run_for(ms(1));
    client.world.net.set_reachability(node(0), Reachability::Refuse);
    let begin = client.now();
    let sibling = used(&mut client, &keys[0]);
    assert_ne!(sibling, first[0]);
    assert!(client.now() - begin < ms(10));
    client.world.net.set_reachability(node(0), Reachability::Open);
    client.online();
    client.run_for(secs(15));
    assert_eq!(client.open_links(node(0)).len(), 3);
}

#[test]
fn boot_30_lazy_connections_are_dialled_when_somebody_has_something_to_say() {
    let mut client = Client::new(net(4), "couchbase://10.0.0.1?enable_lazy_connections=true");
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    client.run_for(secs(30));
    assert_eq!(client.world.dialled().count(), 1);
    let key = client.key_on(2);
    assert!(client.set(&key, "1").is_ok());
    assert_eq!(client.world.dialled().count(), 2);
    assert_eq!(client.dials(node(2)), 1);
    assert!(client.set(&key, "1").is_ok());
    assert_eq!(client.world.dialled().count(), 2);
}

#[cfg(feature = "tls")]
#[test]
fn byte_by_byte_it_is_the_same() {
    for text in [
        "couchbase://node1.sim",
        "couchbase://node1.sim?bootstrap_on=http",
        "couchbases://node1.sim",
        "couchbases://node1.sim?bootstrap_on=http",
    ] {
        let mut settings = NetSettings::default();
        settings.max_segment = 1;
        let mut cluster = small();
        cluster.vbuckets = 4;
        let mut net = Net::new(2, cluster, settings, start());
        let config = crate::common::config_tls(&mut net, text);
        let mut client = Client::with(net, config);
        client.world.max_write = 1;
        client.online();
        assert!(client.set("k", "1").is_ok(), "{text}");
        assert_eq!(value(&client.get("k")), b"1");
        client.cluster().rebalance();
        client.run_for(secs(5));
        assert_eq!(value(&client.get("k")), b"1");
        assert!(client.world.dialled().count() <= 3, "{text}");
    }
}

#[test]
fn every_release_from_5_0_on_is_connected_to() {
    for posture in Posture::ALL {
        for text in ["couchbase://10.0.0.1", "couchbase://10.0.0.1?bootstrap_on=http"] {
            let mut settings = small();
            settings.pose(posture);
            let mut client = Client::connect(Net::new(2, settings, NetSettings::default(), start()), text);
            assert!(client.set("k", "1").is_ok(), "{posture:?} {text}");
            assert_eq!(value(&client.get("k")), b"1");
            assert!(client.engine().cluster_map().is_some());
        }
        // Without a bucket: before 6.5 there is no map, and that is no failure (4.4).
        let mut settings = small();
        settings.pose(posture);
        let net = Net::new(2, settings, NetSettings::default(), start());
        let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
        let op = client.bootstrap();
        assert_eq!(client.end(op), Ok(Response::Ready), "{posture:?}");
        let has_map = client.engine().cluster_map().is_some();
        assert_eq!(has_map, posture >= Posture::V6_6, "{posture:?}");
    }
}

#[test]
fn s14_boot_18_host_in_a_streamed_map_is_the_host_dialled() {
    let mut net = Net::new(1, small(), NetSettings::default(), start());
    let mut address = net.cluster().address(NodeId(0)).expect("a node").clone();
    address.omit_hostname = true;
    net.cluster().set_address(NodeId(0), address);
    let mut client = Client::connect(net, "couchbase://10.0.0.1?bootstrap_on=http");
    assert!(client.set("k", "1").is_ok());
    let bucket = client.bucket();
    assert_eq!(client.engine().bucket_map(bucket).expect("a map").nodes[0].host, "10.0.0.1");
}

#[test]
fn boot_23_an_ipv6_host_is_dialled_as_it_was_written() {
    for text in ["couchbase://[fd00::1]", "couchbase://[fd00::1]?bootstrap_on=http"] {
        let mut net = Net::new(1, small(), NetSettings::default(), start());
        let mut address = net.cluster().address(NodeId(0)).expect("a node").clone();
        address.omit_hostname = true;
        net.cluster().set_address(NodeId(0), address);
        for listener in [Listener::KV, Listener::MGMT] {
            let port = listener.default_port();
            net.forward(format!("[fd00::1]:{port}").parse().expect("an address"), NodeId(0), listener);
        }
        let mut client = Client::connect(net, text);
        assert!(client.set("k", "1").is_ok());
        client.world.net.cut_all("[fd00::1]:11210".parse().expect("an address"));
        client.online();
        assert!(client.world.dialled().all(|(.., to)| to.is_ipv6()), "{text}");
    }
}

#[test]
fn three_of_four_seeds_dead_cost_at_most_one_stagger() {
    // Refusing, silent, not resolving, good: in every order.
    let seeds = ["10.0.0.2", "10.0.0.3", "nowhere.sim", "10.0.0.1"];
    for first in 0..4 {
        for swap in 0..3 {
            let mut order = seeds;
            order.rotate_left(first);
            order.swap(swap, 3);
            let mut net = net(1);
            set_node(&mut net, 1, Reachability::Refuse);
            set_node(&mut net, 2, Reachability::BlackHole);
            let text = format!("couchbase://{}?preserve_bootstrap_nodes_order=true", order.join(","));
            let mut client = Client::new(net, &text);
            let op = client.bootstrap();
            assert_eq!(client.end(op), Ok(Response::Ready));
            let elapsed = client.world.elapsed();
            let silent_first = order.iter().position(|seed| *seed == "10.0.0.3")
                < order.iter().position(|seed| *seed == "10.0.0.1");
            assert!(elapsed < ms(10 + if silent_first { 500 } else { 0 }), "{order:?}: {elapsed:?}");
        }
    }
}

#[test]
fn all_seeds_dead_is_one_error_within_bootstrap_timeout() {
    let mut net = net(1);
    set_node(&mut net, 1, Reachability::Refuse);
    set_node(&mut net, 2, Reachability::BlackHole);
    net.cluster().pause_node(NodeId(0));
    let text = "couchbase://10.0.0.2,10.0.0.3,nowhere.sim,10.0.0.1?bootstrap_timeout=12s";
    let mut client = Client::new(net, text);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.world.elapsed(), secs(12));
    let line = error(&outcome).to_string();
    println!("{line}");
    assert!(!line.contains('\n'));
    for part in [
        "10.0.0.2:11210 failed at TCP: connection refused",
        "10.0.0.3:11210 failed at TCP: no answer to the dial",
        "nowhere.sim:11210 failed at resolve",
        "10.0.0.1:11210 failed at HELLO: the peer did not answer in time",
    ] {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

#[cfg(feature = "tracing")]
#[test]
fn a_seed_of_another_cluster_is_rejected_with_a_warning() {
    let map = |uuid: &str| {
        let more = format!(r#""clusterUUID":"{uuid}","#);
        map_with(7, r#"{"thisNode":true,"services":{"kv":11210,"mgmt":8091}}"#, "[[0],[0],[0],[0]]", &more)
    };
    let mut net = net(0);
    place(&mut net, &map("aaaa"), usual);
    place_at(&mut net, 1, &map("bbbb"), usual);
    let text = "couchbase://10.0.0.1,10.0.0.2?sasl_mech_force=PLAIN&preserve_bootstrap_nodes_order=true";
    let mut client = Client::new(net, text);
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
    client.run_for(secs(10));
    set_node(&mut client.world.net, 0, Reachability::Refuse);
    client.world.net.cut_all(node(0));
    // The other seed is the last resort: it answers, and is none of ours.
    let ((), lines) = crate::logs::logged(|| client.run_for(secs(40)));
    assert!(client.dials(node(1)) > 0);
    let warned = |line: &String| line.starts_with("WARN") && line.contains("cluster");
    assert!(lines.iter().any(warned), "{lines:#?}");
    assert_eq!(kind(&client.get("k")), ErrorKind::UnambiguousTimeout, "nothing is asked of the stranger");
    assert_eq!(client.open_links(node(1)).len(), 0);
    set_node(&mut client.world.net, 0, Reachability::Open);
    client.online();
}

#[test]
fn a_node_that_warms_up_is_waited_for() {
    let mut net = net(1);
    net.cluster().add_rule_everywhere(
        &Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Status(Status::KEY_ENOENT)).times(4),
    );
    let mut client = Client::new(net, "couchbase://10.0.0.1?bootstrap_on=cccp");
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready));
    let elapsed: Duration = client.world.elapsed();
    // Four times no map: after 100, 200, 400, 800 ms on the same connection (4.5).
    assert!(elapsed >= ms(1500) && elapsed < ms(1520), "{elapsed:?}");
    assert_eq!(client.world.dialled().count(), 1);
}

#[cfg(feature = "tracing")]
#[test]
fn the_password_in_the_clear_is_warned_of_once() {
    let ((), lines) = crate::logs::logged(|| {
        let mut client = Client::connected(2);
        for _ in 0..3 {
            let now = client.now();
            let services = vec![settee::map::Service::Mgmt];
            client.engine().ping(PingRequest { services, ..PingRequest::default() }, now);
            client.run_for(secs(2));
        }
        assert!(client.cluster().http_requests().count() >= 6, "every node is asked each time");
    });
    assert_eq!(lines.iter().filter(|line| line.contains("in the clear")).count(), 1, "{lines:#?}");
}
