use super::*;
use crate::{Action, Rule, Service};
use settee::ids::Opaque;
use settee::wire::{Encode, Opcode};

fn net(settings: NetSettings) -> Net {
    let cluster = Settings { vbuckets: 4, scram_iterations: 10, ..Settings::default() };
    Net::new(2, cluster, settings, Instant::now())
}

fn noop(opaque: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encode::request(Opcode::NOOP, Opaque(opaque)).emit(b"", &mut bytes).unwrap();
    bytes
}

fn first() -> SocketAddr {
    Net::address_of(NodeId(0))
}

fn connected(net: &mut Net) -> LinkId {
    let link = net.dial(first());
    assert_eq!(net.step(None), Some(NetEvent::Connected(link)));
    link
}

#[test]
fn a_round_trip_takes_two_latencies_and_a_dial_as_well() {
    let mut net = net(NetSettings { latency: Duration::from_millis(3), ..NetSettings::default() });
    let start = net.now();
    let link = connected(&mut net);
    assert_eq!(net.now() - start, Duration::from_millis(6));
    net.send(link, &noop(1));
    let Some(NetEvent::Received(_, bytes)) = net.step(None) else { panic!("an answer") };
    assert_eq!((bytes.len(), bytes[15], net.now() - start), (24, 1, Duration::from_millis(12)));
    assert_eq!(net.step(None), None);
}

#[test]
fn flights_are_bursts_without_an_answer_between() {
    let mut net = net(NetSettings::default());
    let link = connected(&mut net);
    net.send(link, &noop(1));
    net.send(link, &noop(2));
    assert_eq!(net.flights(link), 1);
    while net.step(None).is_some() {}
    net.send(link, &noop(3));
    assert_eq!((net.flights(link), net.bytes_sent(link)), (2, 72));
}

#[test]
fn pieces_are_random_and_the_stream_is_whole() {
    let run = |seed| {
        let mut net = net(NetSettings { max_segment: 5, seed, ..NetSettings::default() });
        let link = connected(&mut net);
        for opaque in 0..20 {
            net.send(link, &noop(opaque));
        }
        let (mut pieces, mut stream) = (Vec::new(), Vec::new());
        while let Some(NetEvent::Received(_, bytes)) = net.step(None) {
            pieces.push(bytes.len());
            stream.extend(bytes);
        }
        (pieces, stream)
    };
    let (one, two, again) = (run(1), run(2), run(1));
    assert_eq!(one, again);
    assert_eq!(one.1, two.1);
    assert_eq!(one.1.len(), 20 * 24);
    assert!(one.0 != two.0 && one.0.iter().all(|len| (1..=5).contains(len)));
}

#[test]
fn jitter_never_reorders_one_direction() {
    let mut net = net(NetSettings { jitter: Duration::from_millis(50), ..NetSettings::default() });
    let link = connected(&mut net);
    for opaque in 0..50 {
        net.send(link, &noop(opaque));
    }
    let mut stream = Vec::new();
    while let Some(NetEvent::Received(_, bytes)) = net.step(None) {
        stream.extend(bytes);
    }
    let opaques: Vec<u8> = stream.chunks(24).map(|frame| frame[15]).collect();
    assert_eq!(opaques, (0..50).collect::<Vec<u8>>());
}

#[test]
fn dials_fail_in_every_way() {
    let mut net = net(NetSettings::default());
    let nowhere = net.dial("10.9.9.9:1".parse().unwrap());
    assert_eq!(net.step(None), Some(NetEvent::Lost(nowhere, LinkError::Refused)));
    for (how, why) in [
        (Reachability::Refuse, Some(LinkError::Refused)),
        (Reachability::Unreachable, Some(LinkError::Unreachable)),
        (Reachability::BlackHole, None),
    ] {
        net.set_reachability(first(), how);
        let link = net.dial(first());
        assert_eq!(net.step(None), why.map(|why| NetEvent::Lost(link, why)), "{how:?}");
    }
    net.set_reachability(first(), Reachability::Open);
    net.cluster().kill_node(NodeId(0));
    let link = net.dial(first());
    assert_eq!(net.step(None), Some(NetEvent::Lost(link, LinkError::Refused)));
}

#[test]
fn a_half_open_link_says_nothing() {
    let mut net = net(NetSettings::default());
    let link = connected(&mut net);
    net.set_reachability(first(), Reachability::BlackHole);
    net.send(link, &noop(1));
    let later = net.now() + Duration::from_secs(60);
    assert_eq!(net.step(Some(later)), None);
    assert_eq!(net.now(), later);
    net.cluster().kill_node(NodeId(0));
    assert_eq!(net.step(None), None, "not even the end of the node");
}

#[test]
fn cuts_and_killed_nodes_are_told_apart() {
    let mut net = net(NetSettings::default());
    let link = connected(&mut net);
    net.send(link, &noop(1));
    net.cut(link);
    assert_eq!(net.step(None), Some(NetEvent::Lost(link, LinkError::Reset)));
    assert_eq!(net.step(None), None, "what was under way is lost");
    assert_eq!(net.cluster().connections().count(), 0);
    let link = connected(&mut net);
    net.cluster().kill_node(NodeId(0));
    assert_eq!(net.step(None), Some(NetEvent::Lost(link, LinkError::Closed)));
}

#[test]
fn hanging_up_ends_the_servers_side_too() {
    let mut net = net(NetSettings::default());
    let link = connected(&mut net);
    net.send(link, &noop(1));
    net.hang_up(link);
    assert_eq!(net.step(None), None);
    assert_eq!(net.cluster().requests(NodeId(0), Opcode::NOOP), 1, "what was sent before arrives");
    assert_eq!(net.cluster().connections().count(), 0);
}

#[test]
fn delayed_answers_arrive_in_virtual_time() {
    let mut net = net(NetSettings::default());
    let link = connected(&mut net);
    let start = net.now();
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::NOOP, Action::Delay(Duration::from_secs(9))));
    net.send(link, &noop(1));
    assert!(matches!(net.step(None), Some(NetEvent::Received(..))));
    assert_eq!(net.now() - start, Duration::from_secs(9) + Duration::from_millis(1));
}

#[test]
fn names_resolve_as_told() {
    let mut net = net(NetSettings::default());
    let added = net.add_node();
    net.set_name("broken.sim", Err(LookupError::Failed));
    for (name, answer) in [
        ("node1.sim", Ok(vec![first().ip()])),
        ("node3.sim", Ok(vec![Net::address_of(added).ip()])),
        ("broken.sim", Err(LookupError::Failed)),
        ("nobody.sim", Err(LookupError::NotFound)),
    ] {
        let question = net.look_up(name);
        assert_eq!(net.step(None), Some(NetEvent::LookedUp(question, answer)));
    }
}

struct Greeter;

impl Peer for Greeter {
    fn accepted(&mut self, _now: Instant) -> Vec<PeerAction> {
        vec![PeerAction::Send(b"220 mail".to_vec())]
    }

    fn receive(&mut self, bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        vec![
            PeerAction::SendAfter(Duration::from_secs(2), bytes.to_vec()),
            PeerAction::Close,
            PeerAction::Send(b"never".to_vec()),
        ]
    }
}

#[test]
fn scripted_peers_say_what_they_like() {
    let mut net = net(NetSettings::default());
    let address = "10.0.0.99:25".parse().unwrap();
    net.place_peer(address, || Box::new(Greeter));
    let link = net.dial(address);
    assert_eq!(net.step(None), Some(NetEvent::Connected(link)));
    assert_eq!(net.step(None), Some(NetEvent::Received(link, b"220 mail".to_vec())));
    net.send(link, b"HELO");
    assert_eq!(net.step(None), Some(NetEvent::Received(link, b"HELO".to_vec())));
    assert_eq!(net.step(None), Some(NetEvent::Lost(link, LinkError::Closed)));
    assert_eq!(net.step(None), None);
}

#[test]
fn each_service_listens_on_a_port_of_its_own_and_maps_tell_it() {
    let services = vec![Service::Kv, Service::Mgmt, Service::Query];
    let settings = Settings { vbuckets: 4, services, ..Settings::default() };
    let mut net = Net::new(2, settings, NetSettings::default(), Instant::now());
    let map = net.cluster().bucket_map("default", NodeId(1)).unwrap();
    let map: serde_json::Value = serde_json::from_slice(&map).unwrap();
    let announced = map["nodesExt"][1]["services"].as_object().unwrap();
    let expected = [
        ("kv", 11210),
        ("kvSSL", 11207),
        ("mgmt", 8091),
        ("mgmtSSL", 18091),
        ("n1ql", 8093),
        ("n1qlSSL", 18093),
    ];
    assert_eq!(announced.len(), expected.len());
    for (key, port) in expected {
        assert_eq!(announced[key], port, "{key}");
    }
    let link = net.dial(Net::listener_of(NodeId(1), Listener::plain(Service::Query)));
    assert_eq!(net.step(None), Some(NetEvent::Connected(link)));
    let link = net.dial(Net::listener_of(NodeId(1), Listener::plain(Service::Search)));
    assert_eq!(net.step(None), Some(NetEvent::Lost(link, LinkError::Refused)));
}

#[test]
fn behind_port_mapping_each_side_reaches_its_own_addresses() {
    let mut net = net(NetSettings::default());
    let ip: IpAddr = [203, 0, 113, 7].into();
    for index in 0..2_u16 {
        let ports = BTreeMap::from([(Listener::KV, 31000 + index), (Listener::KV_TLS, 32000 + index)]);
        let alternate = Alternate {
            network: "external".to_owned(),
            host: "outside.example".to_owned(),
            ports: Some(ports),
        };
        net.add_alternate(NodeId(usize::from(index)), alternate, ip);
    }
    let dial = |net: &mut Net, to: SocketAddr| {
        let link = net.dial(to);
        match net.step(None) {
            Some(NetEvent::Connected(_)) => {
                net.hang_up(link);
                true
            }
            Some(NetEvent::Lost(_, LinkError::Unreachable)) => false,
            other => panic!("{to}: {other:?}"),
        }
    };
    let inside = Net::address_of(NodeId(1));
    let outside = [SocketAddr::new(ip, 31001), SocketAddr::new(ip, 32001)];
    net.place_client(true, Reachability::Unreachable);
    assert!(!dial(&mut net, inside) && dial(&mut net, outside[0]) && dial(&mut net, outside[1]));
    net.look_up("node1.sim");
    assert!(matches!(net.step(None), Some(NetEvent::LookedUp(_, Err(LookupError::NotFound)))));
    net.look_up("outside.example");
    assert!(matches!(net.step(None), Some(NetEvent::LookedUp(_, Ok(found))) if found == [ip]));
    net.place_client(false, Reachability::Unreachable);
    assert!(dial(&mut net, inside) && !dial(&mut net, outside[0]));
    let map = net.cluster().bucket_map("default", NodeId(0)).unwrap();
    let map: serde_json::Value = serde_json::from_slice(&map).unwrap();
    assert_eq!(map["nodesExt"][1]["alternateAddresses"]["external"]["ports"]["kvSSL"], 32001);
}

#[test]
fn an_alternate_address_without_ports_listens_on_the_nodes_own() {
    let mut net = net(NetSettings::default());
    let ip: IpAddr = [203, 0, 113, 8].into();
    net.add_alternate(NodeId(0), Alternate::external("one.example"), ip);
    let link = net.dial(SocketAddr::new(ip, 11207));
    assert_eq!(net.step(None), Some(NetEvent::Connected(link)));
}
