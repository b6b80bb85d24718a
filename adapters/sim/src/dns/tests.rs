use super::*;
use crate::{Net, NetEvent, NetSettings, Reachability, Settings};
use settee::dns::{Action, Answer, Outcome, Query, ResolverConfig, SrvError};
use settee::engine::LinkError;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

const NAME: &str = "_couchbases._tcp.cb.example.com";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn zone(count: usize) -> DnsZone {
    let mut zone = DnsZone::new();
    for index in 0..count {
        zone.srv(NAME, [(&*format!("node{index}.cb.example.com"), 11207)]);
    }
    zone
}

fn server(count: usize, set: impl FnOnce(&mut DnsSettings)) -> DnsServer {
    let mut server = DnsServer::from(zone(count));
    set(&mut server.settings);
    server
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 53, 0, index as u8 + 1], 53))
}

fn net_of(servers: Vec<DnsServer>) -> Net {
    let settings = NetSettings { latency: ms(5), ..NetSettings::default() };
    let mut net = Net::new(0, Settings::default(), settings, Instant::now());
    for (index, server) in servers.into_iter().enumerate() {
        net.place_dns(address(index), server);
    }
    net
}

/// A query of the client's resolver over the network in virtual time.
fn ask(net: &mut Net, servers: usize) -> Outcome {
    let config = ResolverConfig::new((0..servers).map(address).collect());
    let mut query = Query::new(NAME, &config, ms(500), 7, net.now());
    let socket = net.open_socket();
    let mut link = None;
    loop {
        while let Some(action) = query.poll() {
            match action {
                Action::Datagram { server, payload } => net.send_datagram(socket, server, &payload),
                Action::Connect { server } => link = Some(net.dial(server)),
                Action::Send { payload } => net.send(link.unwrap(), &payload),
                Action::Close => net.hang_up(link.take().unwrap()),
                Action::Done(outcome) => {
                    net.close_socket(socket);
                    return outcome;
                }
                other => panic!("an unknown action: {other:?}"),
            }
        }
        let due = query.poll_timeout();
        let event = net.step(due);
        let now = net.now();
        match event {
            Some(NetEvent::Datagram(_, from, payload)) => query.on_datagram(from, &payload, now),
            Some(NetEvent::DatagramFailed(..)) => query.on_datagram_failed(None, SrvError::Unreachable, now),
            Some(NetEvent::Connected(_)) => query.on_connected(now),
            Some(NetEvent::Received(_, bytes)) => query.on_stream(&bytes, now),
            Some(NetEvent::Lost(..)) => query.on_stream_lost(now),
            Some(other) => panic!("an unknown event: {other:?}"),
            None => query.on_timeout(now),
        }
    }
}

fn hosts(outcome: &Outcome) -> usize {
    match &outcome.answer {
        Answer::Records(targets) => {
            assert!(targets.iter().all(|target| target.host.ends_with(".cb.example.com")), "{targets:?}");
            targets.len()
        }
        other => panic!("no records: {other:?}"),
    }
}

#[test]
fn answers_of_any_size_reach_the_client() {
    for (count, over_tcp) in [(1, false), (3, false), (10, false), (50, true), (400, true)] {
        let mut net = net_of(vec![server(count, |_| {})]);
        let outcome = ask(&mut net, 1);
        assert_eq!((hosts(&outcome), outcome.over_tcp), (count, over_tcp));
        assert_eq!(outcome.elapsed, if over_tcp { ms(30) } else { ms(10) });
        let asked = net.dns(address(0)).unwrap().questions().to_vec();
        assert_eq!(
            (asked.len(), asked[0].name.as_str(), asked[0].kind),
            (1 + usize::from(over_tcp), NAME, 33)
        );
    }
}

#[test]
fn behaviours_are_what_they_are_called() {
    for (behaviour, answer) in [
        (DnsBehaviour::NxDomain, Answer::NoRecords { nxdomain: true }),
        (DnsBehaviour::ServFail, Answer::Failed(SrvError::ServFail)),
        (DnsBehaviour::Refused, Answer::Failed(SrvError::Refused)),
        (DnsBehaviour::Silent, Answer::Failed(SrvError::TimedOut)),
    ] {
        let mut net = net_of(vec![server(3, |settings| settings.behaviour = behaviour)]);
        assert_eq!(ask(&mut net, 1).answer, answer, "{behaviour:?}");
    }
    let mut net = net_of(vec![server(3, |settings| settings.behaviour = DnsBehaviour::Garbage)]);
    assert!(matches!(ask(&mut net, 1).answer, Answer::Failed(SrvError::Malformed(_))));
}

#[test]
fn the_zone_tells_no_such_name_from_no_such_record() {
    let mut net = net_of(vec![DnsZone::new().into()]);
    assert_eq!(ask(&mut net, 1).answer, Answer::NoRecords { nxdomain: true });
    net.dns(address(0)).unwrap().zone.address(NAME, IpAddr::from([10, 0, 0, 1]));
    assert_eq!(ask(&mut net, 1).answer, Answer::NoRecords { nxdomain: false });
}

#[test]
fn aliases_and_the_d_5_trap() {
    let mut zone = DnsZone::new();
    zone.alias(NAME, "srv.elsewhere.net").srv_record(
        "srv.elsewhere.net",
        (3, 4),
        "node.cb.example.com.example.com",
        1,
    );
    let Answer::Records(targets) = ask(&mut net_of(vec![zone.into()]), 1).answer else { panic!("records") };
    assert_eq!((targets[0].priority, targets[0].weight), (3, 4));
    assert!(targets[0].relative_suspected);
}

#[test]
fn old_and_odd_ideas_of_edns() {
    for (edns, tries, over_tcp) in [
        (DnsEdns::Understood, 1, false),
        (DnsEdns::Ignored, 1, true),
        (DnsEdns::FormErr, 2, true),
        (DnsEdns::Dropped, 2, true),
    ] {
        let mut net = net_of(vec![server(20, |settings| settings.edns = edns)]);
        let outcome = ask(&mut net, 1);
        assert_eq!((hosts(&outcome), outcome.tries, outcome.over_tcp), (20, tries, over_tcp), "{edns:?}");
    }
}

#[test]
fn without_tcp_a_large_answer_is_cut_or_comes_from_another_server() {
    for tcp in [DnsTcp::Refused, DnsTcp::Silent] {
        let no_tcp = || server(50, |settings| settings.tcp = tcp);
        let outcome = ask(&mut net_of(vec![no_tcp()]), 1);
        assert!(outcome.truncated && (10..50).contains(&hosts(&outcome)), "{outcome}");
        let outcome = ask(&mut net_of(vec![no_tcp(), server(50, |_| {})]), 2);
        assert_eq!((hosts(&outcome), outcome.server), (50, Some(address(1))));
        let nothing = server(50, |settings| {
            settings.tcp = tcp;
            settings.truncated_records = false;
        });
        assert_eq!(ask(&mut net_of(vec![nothing]), 1).answer, Answer::Failed(SrvError::TruncatedNoTcp));
    }
}

#[test]
fn a_router_that_refuses_large_answers() {
    let router = || server(10, |settings| settings.refused_above = Some(256));
    let outcome = ask(&mut net_of(vec![router()]), 1);
    assert_eq!(outcome.answer, Answer::Failed(SrvError::Refused));
    assert!(outcome.to_string().contains("three SRV records"), "{outcome}");
    assert_eq!(hosts(&ask(&mut net_of(vec![router(), server(10, |_| {})]), 2)), 10);
}

#[test]
fn forged_answers_are_not_taken_for_true_ones() {
    let spoofs = [DnsSpoof::WrongId, DnsSpoof::WrongQuestion, DnsSpoof::ForeignSource];
    let mut net = net_of(vec![server(3, |settings| {
        settings.spoofs = spoofs.to_vec();
        settings.delay = ms(20);
    })]);
    let outcome = ask(&mut net, 1);
    assert_eq!((hosts(&outcome), outcome.elapsed), (3, ms(30)));
}

#[test]
fn lost_datagrams_are_sent_again_and_runs_repeat() {
    let run = |seed| {
        let mut settings = NetSettings { seed, datagram_loss: 400, ..NetSettings::default() };
        settings.jitter = ms(3);
        let mut net = Net::new(0, Settings::default(), settings, Instant::now());
        net.place_dns(address(0), server(3, |_| {}));
        net.place_dns(address(1), server(3, |_| {}));
        ask(&mut net, 2)
    };
    let outcomes: Vec<_> = (0..50).map(run).collect();
    assert_eq!(outcomes, (0..50).map(run).collect::<Vec<_>>());
    assert!(outcomes.iter().any(|outcome| outcome.tries > 1));
    let answered = outcomes.iter().filter(|outcome| matches!(outcome.answer, Answer::Records(_))).count();
    assert!(answered >= 30, "{answered} of 50");
}

#[test]
fn the_network_tells_what_it_knows_about_datagrams() {
    let mut net = net_of(vec![server(3, |_| {})]);
    let socket = net.open_socket();
    net.send_datagram(socket, address(9), b"?");
    assert_eq!(net.step(None), Some(NetEvent::DatagramFailed(socket, LinkError::Refused)));
    for (how, why) in [
        (Reachability::Refuse, Some(LinkError::Refused)),
        (Reachability::Unreachable, Some(LinkError::Unreachable)),
        (Reachability::BlackHole, None),
    ] {
        net.set_reachability(address(0), how);
        net.send_datagram(socket, address(0), b"?");
        assert_eq!(net.step(None), why.map(|why| NetEvent::DatagramFailed(socket, why)), "{how:?}");
    }
    net.send_datagram(socket, address(9), b"?");
    net.close_socket(socket);
    assert_eq!(net.step(None), None);
}

#[test]
fn what_is_no_query_is_not_answered() {
    let mut server = server(3, |_| {});
    let query = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x01a\0\0\x21\0\x01"].concat();
    assert!(server.answer(&query, false).is_some());
    for (at, to) in [(2, 0x81), (2, 0x10), (5, 0), (5, 2), (4, 0xff), (6, 0xff), (11, 0xff), (12, 0x3f)] {
        let mut query = query.clone();
        query[at] = to;
        assert_eq!(server.answer(&query, false), None, "byte {at} as {to}");
    }
    for len in 0..query.len() {
        assert_eq!(server.answer(&query[..len], true), None);
    }
}

/// A query of the client's resolver over real sockets.
fn ask_for_real(dns: &DnsServed) -> Outcome {
    let config = ResolverConfig::new(vec![dns.addr()]);
    let mut query = Query::new(NAME, &config, Duration::from_secs(5), 7, Instant::now());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(ms(10))).unwrap();
    let mut stream: Option<TcpStream> = None;
    let mut buffer = [0; 2000];
    loop {
        while let Some(action) = query.poll() {
            match action {
                Action::Datagram { server, payload } => {
                    socket.send_to(&payload, server).unwrap();
                }
                Action::Connect { server } => {
                    let opened = TcpStream::connect(server).unwrap();
                    opened.set_read_timeout(Some(ms(10))).unwrap();
                    stream = Some(opened);
                    query.on_connected(Instant::now());
                }
                Action::Send { payload } => stream.as_mut().unwrap().write_all(&payload).unwrap(),
                Action::Close => stream = None,
                Action::Done(outcome) => return outcome,
                other => panic!("an unknown action: {other:?}"),
            }
        }
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            query.on_datagram(from, &buffer[..len], Instant::now());
        }
        match stream.as_mut().map(|stream| stream.read(&mut buffer)) {
            Some(Ok(0)) => {
                stream = None;
                query.on_stream_lost(Instant::now());
            }
            Some(Ok(len)) => query.on_stream(&buffer[..len], Instant::now()),
            _ => {}
        }
        query.on_timeout(Instant::now());
    }
}

#[test]
fn served_on_loopback_by_udp_and_tcp() {
    let dns = DnsServed::start(zone(3)).unwrap();
    let outcome = ask_for_real(&dns);
    assert_eq!((hosts(&outcome), outcome.over_tcp), (3, false));
    dns.control(|server| server.zone = zone(100));
    let outcome = ask_for_real(&dns);
    assert_eq!((hosts(&outcome), outcome.over_tcp), (100, true));
    dns.control(|server| {
        server.settings.delay = ms(50);
        server.settings.spoofs = vec![DnsSpoof::WrongId, DnsSpoof::ForeignSource];
        server.zone = zone(2);
    });
    let outcome = ask_for_real(&dns);
    assert_eq!(hosts(&outcome), 2);
    assert!(outcome.elapsed >= ms(50));
    assert_eq!(dns.control(|server| server.questions().len()), 4);
    let address = dns.addr();
    drop(dns);
    assert!(TcpStream::connect(address).is_err(), "it stops with its handle");
}

#[test]
fn a_served_name_server_without_tcp() {
    let dns = DnsServed::start(server(50, |settings| settings.tcp = DnsTcp::Refused)).unwrap();
    let outcome = ask_for_real(&dns);
    assert!(outcome.truncated && hosts(&outcome) < 50);
}
