//! Alternate addresses (`connecting.md` 5): a cluster behind port mapping, for a client inside and one outside.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use settee::engine::{DesiredState, EngineConfig, OpKind, Response};
use settee::error::{ErrorKind, OpError};
use settee_sim::{Alternate, Listener, Net, NodeId, Reachability};

use crate::common::{Client, config, error, kind, net, node, report, secs};

/// What is forwarded, and from which port of the first node.
const MAPPED: [(Listener, u16); 4] = [
    (Listener::KV, 31_000),
    (Listener::MGMT, 32_000),
    (Listener::KV_TLS, 33_000),
    (Listener::MGMT_TLS, 34_000),
];

fn gate() -> IpAddr {
    IpAddr::from([203, 0, 113, 10])
}

fn port(listener: Listener, index: u16) -> u16 {
    MAPPED.iter().find(|(mapped, _)| *mapped == listener).expect("it is mapped").1 + index
}

fn outside(listener: Listener, index: u16) -> SocketAddr {
    SocketAddr::new(gate(), port(listener, index))
}

/// Puts a node on a network behind the gate, with these of its ports.
fn publish(net: &mut Net, index: u16, network: &str, listeners: &[Listener]) {
    let ports: BTreeMap<Listener, u16> =
        listeners.iter().map(|&listener| (listener, port(listener, index))).collect();
    let alternate =
        Alternate { network: network.to_owned(), host: "gate.example".to_owned(), ports: Some(ports) };
    net.add_alternate(NodeId(usize::from(index)), alternate, gate());
}

const ALL: [Listener; 4] = [Listener::KV, Listener::MGMT, Listener::KV_TLS, Listener::MGMT_TLS];

/// Three nodes behind one address.
fn mapped(network: &str, is_outside: bool) -> Net {
    let mut net = net(3);
    for index in 0..3 {
        publish(&mut net, index, network, &ALL);
    }
    net.place_client(is_outside, Reachability::BlackHole);
    net
}

/// Connects, and works with every node.
fn works(net: Net, config: EngineConfig) -> Client {
    let mut client = Client::with(net, config);
    client.online();
    for index in 0..3 {
        let key = client.key_on(index);
        assert!(client.set(&key, "1").is_ok());
    }
    client
}

fn dialled(client: &Client) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = client.world.dialled().map(|(.., to)| to).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn net_1_a_seed_tells_the_network_inside_and_outside() {
    for text in ["couchbase://node1.sim", "couchbase://node2.sim:11210", "couchbase://node3.sim:8091=manager"]
    {
        let client = works(mapped("external", false), config(text));
        assert!(dialled(&client).iter().all(|to| to.ip() != gate()), "{text}");
    }
    for text in [
        "couchbase://gate.example:31000",
        "couchbase://gate.example:31002",
        "couchbase://203.0.113.10:31001",
        "couchbase://gate.example:32000=manager",
    ] {
        let client = works(mapped("external", true), config(text));
        let kv: Vec<SocketAddr> = dialled(&client).into_iter().filter(|to| to.port() < 32_000).collect();
        assert_eq!(kv, [0, 1, 2].map(|index| outside(Listener::KV, index)), "{text}");
    }
}

#[test]
fn net_1_any_network_whose_entry_is_a_seed_is_chosen() {
    let client = works(mapped("vpc-peering", true), config("couchbase://gate.example:31000"));
    assert_eq!(dialled(&client), [0, 1, 2].map(|index| outside(Listener::KV, index)));
}

#[test]
fn net_2_net_3_a_forwarded_port_of_a_known_host_is_no_match_and_external_is_taken() {
    // A tunnel to one node: its own address says nothing about where the others are.
    let mut net = mapped("external", true);
    let tunnel: SocketAddr = "203.0.113.10:40000".parse().expect("an address");
    net.forward(tunnel, NodeId(0), Listener::KV);
    let client = works(net, config("couchbase://gate.example:40000"));
    let all = dialled(&client);
    assert!(all.contains(&outside(Listener::KV, 1)) && all.contains(&outside(Listener::KV, 2)), "{all:?}");
    // A custom network is not taken on a guess.
    let mut net = mapped("vpc", true);
    net.forward(tunnel, NodeId(0), Listener::KV);
    let mut client = Client::new(net, "couchbase://gate.example:40000");
    let op = client.wait(DesiredState::Online, secs(5));
    let text = error(&client.end(op)).to_string();
    assert!(text.contains("network \"default\"") && text.contains("try network=vpc"), "{text}");
}

#[test]
fn net_4_a_named_network_is_taken_as_it_is() {
    for (network, text) in [
        ("external", "couchbase://gate.example:31000?network=external"),
        ("vpc", "couchbase://gate.example:31000?network=vpc"),
    ] {
        works(mapped(network, true), config(text));
    }
    works(mapped("external", false), config("couchbase://10.0.0.1?network=default"));
    // From outside, the default network leads nowhere: the error says where the addresses are from.
    let mut client = Client::new(mapped("external", true), "couchbase://gate.example:31000?network=default");
    let op = client.wait(DesiredState::Online, secs(5));
    let text = error(&client.end(op)).to_string();
    assert!(text.contains("for the network \"default\"; from outside of it, try network=external"), "{text}");
    let key = client.key_on(2);
    let op = client.start(&key, OpKind::Get);
    let text = error(&client.end(op)).to_string();
    assert!(text.contains("failed at resolve") && text.contains("try network=external"), "{text}");
}

fn missing(text: &str, net: Net) -> OpError {
    let mut client = Client::new(net, text);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::NetworkNotFound, "{outcome:?}");
    assert!(report(&outcome).attempts[0].error.is_some());
    error(&outcome).clone()
}

#[test]
fn net_4_a_named_network_that_is_missing_is_an_error_that_lists_those_there_are() {
    let error = missing(
        "couchbase://gate.example:31000?network=Extern&bootstrap_timeout=3s",
        mapped("external", true),
    );
    let text = error.to_string();
    println!("{text}");
    assert!(text.contains("\"Extern\"") && text.contains("networks: default, external"), "{text}");
    // A network without a port of the mode is as good as missing.
    let mut net = net(1);
    publish(&mut net, 0, "external", &[Listener::KV_TLS]);
    let text = missing("couchbase://10.0.0.1?network=external&bootstrap_timeout=3s", net).to_string();
    assert!(text.contains("plain KV port"), "{text}");
}

#[test]
fn net_5_an_entry_without_ports_has_the_nodes_own() {
    let mut net = net(3);
    for index in 0..3 {
        let host = format!("out{index}.example");
        let ip = IpAddr::from([203, 0, 113, 20 + index]);
        net.add_alternate(NodeId(usize::from(index)), Alternate::external(host), ip);
    }
    net.place_client(true, Reachability::Refuse);
    let client = works(net, config("couchbase://out1.example"));
    assert!(dialled(&client).iter().all(|to| to.port() == 11210));
}

#[test]
fn net_6_a_node_without_the_network_stays_in_its_place_and_its_errors_say_so() {
    let mut net = net(3);
    for index in [0, 2] {
        publish(&mut net, index, "external", &ALL);
    }
    net.place_client(true, Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://gate.example:31000");
    let op = client.wait(DesiredState::Degraded, secs(5));
    assert_eq!(client.end(op), Ok(Response::Ready));
    for index in [0, 2] {
        let key = client.key_on(index);
        assert!(client.set(&key, "1").is_ok(), "the rows still fit the nodes");
    }
    assert_eq!(client.cluster().misrouted(), 0);
    let key = client.key_on(1);
    let outcome = client.get(&key);
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    let text = error(&outcome).to_string();
    assert!(text.contains("node2.sim has no address on the network \"external\""), "{text}");
    assert!(text.contains("setting-alternate-address"), "{text}");
    let op = client.wait(DesiredState::Online, secs(2));
    let text = error(&client.end(op)).to_string();
    assert!(text.contains("node2.sim has no address on the network \"external\""), "BOOT-29: {text}");
    // The address is published: nobody has to do anything.
    publish(&mut client.world.net, 1, "external", &ALL);
    client.online();
    assert!(client.set(&key, "1").is_ok());
}

#[test]
fn without_alternates_an_outside_client_is_told_what_the_cluster_needs() {
    let mut net = net(3);
    net.forward(outside(Listener::KV, 0), NodeId(0), Listener::KV);
    net.place_client(true, Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://203.0.113.10:31000");
    let op = client.wait(DesiredState::Online, secs(5));
    let text = error(&client.end(op)).to_string();
    assert!(text.contains("the cluster needs alternate addresses (setting-alternate-address)"), "{text}");
}

#[cfg(feature = "tls")]
mod tls {
    use super::*;
    use crate::common::{config_tls, config_trusting, name_server};
    use settee_sim::{Certificates, DnsZone};

    #[test]
    fn net_7_tls_uses_the_tls_ports_of_the_network() {
        let mut net = mapped("external", true);
        let config = config_tls(&mut net, "couchbases://gate.example:33001");
        let client = works(net, config);
        assert_eq!(dialled(&client), [0, 1, 2].map(|index| outside(Listener::KV_TLS, index)));
        // Only plain ports are mapped: a client with TLS does not take that network.
        let mut net = net_of(&[Listener::KV]);
        let config = config_tls(&mut net, "couchbases://node1.sim?network=external&bootstrap_timeout=3s");
        let mut client = Client::with(net, config);
        let op = client.bootstrap();
        let text = error(&client.end(op)).to_string();
        assert!(text.contains("TLS KV port"), "{text}");
        let mut net = net_of(&[Listener::KV]);
        let config = config_tls(&mut net, "couchbases://10.0.0.1");
        let client = works(net, config);
        assert!(dialled(&client).iter().all(|to| to.ip() != gate()));
    }

    fn net_of(listeners: &[Listener]) -> Net {
        let mut net = net(3);
        for index in 0..3 {
            publish(&mut net, index, "external", listeners);
        }
        net
    }

    #[test]
    fn capella_is_srv_and_alternate_addresses_and_tls_together() {
        let mut net = mapped("external", true);
        let mut zone = DnsZone::new();
        zone.srv("_couchbases._tcp.cb.example.com", (0..3).map(|index| ("gate.example", 33_000 + index)));
        net.place_dns(name_server(1), zone);
        let pem = net.cluster().ca_pem();
        let config = config_trusting("couchbases://cb.example.com", "password", Some(pem), 1);
        let client = works(net, config);
        assert_eq!(dialled(&client), [0, 1, 2].map(|index| outside(Listener::KV_TLS, index)));
        assert_eq!(client.world.dialled().count(), 3);
    }

    #[test]
    fn tls_18_the_certificate_has_to_name_the_external_host() {
        let mut net = mapped("external", true);
        for index in 0..3 {
            net.cluster().set_certificates(NodeId(index), Certificates::IpOnly);
        }
        let config = config_tls(&mut net, "couchbases://gate.example:33000?bootstrap_timeout=3s");
        let mut client = Client::with(net, config);
        let op = client.bootstrap();
        let outcome = client.end(op);
        assert_eq!(kind(&outcome), ErrorKind::TlsFailure);
        let text = error(&outcome).to_string();
        assert!(text.contains("the certificate presented by gate.example is for `127.0.0.1`"), "{text}");
    }
}

#[cfg(feature = "tracing")]
#[test]
fn a_server_group_that_no_node_is_in_is_warned_of_with_those_there_are() {
    let warned = |text: &str| {
        let (_, lines) = crate::logs::logged(|| {
            let mut net = net(2);
            net.cluster().set_server_group(NodeId(0), Some("Group 1"));
            net.cluster().set_server_group(NodeId(1), Some("Rack B"));
            Client::connect(net, text)
        });
        let warned =
            lines.into_iter().filter(|line| line.starts_with("WARN") && line.contains("server_group"));
        warned.collect::<Vec<String>>()
    };
    let lines = warned("couchbase://10.0.0.1?server_group=Group%202");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("Group 2") && lines[0].contains("Group 1, Rack B"), "{lines:?}");
    assert_eq!(warned("couchbase://10.0.0.1?server_group=Rack%20B"), Vec::<String>::new());
    assert_eq!(warned("couchbase://10.0.0.1"), Vec::<String>::new());
}

#[test]
fn clients_inside_and_outside_share_a_cluster() {
    let mut inside = works(mapped("external", false), config("couchbase://node1.sim"));
    assert_eq!(inside.dials(node(0)), 1);
    inside.run_for(secs(30));
    assert_eq!(inside.world.dialled().count(), 3);
    let mut outside = works(mapped("external", true), config("couchbase://gate.example:31000"));
    outside.run_for(secs(30));
    assert_eq!(outside.world.dialled().count(), 3);
}
