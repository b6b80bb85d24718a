//! Peers that break TLS, HTTP or DNS: each is bounded in time and memory and ends in a clear error (`connecting.md` 7.1).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use settee::engine::{ConnId, Engine, EngineConfig, Input, Output, Stage};
use settee::error::{ErrorKind, OpError};
use settee_sim::{DnsBehaviour, DnsServer, DnsTcp, DnsZone, Listener, Net, NodeId, Peer, PeerAction};

use crate::common::{
    Client, config, config_tls, config_trusting, error, ms, name_server, net, report, secs, start,
};

fn secure(index: usize) -> SocketAddr {
    Net::listener_of(NodeId(index), Listener::KV_TLS)
}

/// Says the same to everybody who says anything, and then no more.
struct Says(Vec<PeerAction>);

impl Peer for Says {
    fn receive(&mut self, _: &[u8], _: Instant) -> Vec<PeerAction> {
        std::mem::take(&mut self.0)
    }
}

/// The end of a connect to a TLS port where that is said.
fn met(actions: impl Fn() -> Vec<PeerAction> + 'static) -> (Client, OpError) {
    let mut net = net(1);
    net.place_peer(secure(0), move || Box::new(Says(actions())));
    let text = "couchbases://10.0.0.1?bootstrap_on=cccp&kv_connect_timeout=2s&bootstrap_timeout=2200ms";
    let config = config_tls(&mut net, text);
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(report(&outcome).attempts[0].stage, Stage::Tls, "{outcome:?}");
    let error = error(&outcome).clone();
    (client, error)
}

#[test]
fn a_peer_that_stalls_in_the_handshake_is_given_up_after_kv_connect_timeout() {
    // Nothing at all; the beginning of a record; a record's header alone.
    for said in [&b""[..], &[22, 3, 3][..], &[22, 3, 3, 0x40, 0]] {
        let (mut client, error) = met(move || vec![PeerAction::Send(said.to_vec())]);
        let text = error.to_string();
        assert!(text.contains("10.0.0.1:11207 failed at TLS: the peer did not answer in time"), "{text}");
        client.run_for(secs(60));
        assert!(client.open_links(secure(0)).len() <= 1, "no connections pile up");
    }
    // A byte each 100 ms does not put it off.
    let drops = || {
        let bytes = [22, 3, 3, 0x40, 0, 2, 0, 0x3f].into_iter().chain([0; 90]);
        (0..).zip(bytes).map(|(number, byte)| PeerAction::SendAfter(ms(100 * number), vec![byte])).collect()
    };
    let (client, error) = met(drops);
    assert_eq!(error.kind(), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.dials(secure(0)), 1);
}

#[test]
fn a_peer_that_speaks_no_tls_is_told_apart() {
    for (said, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP"),
        (&[0x81, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "key-value frame"),
        (b"220 mail.example ESMTP\r\n", "does not speak TLS"),
    ] {
        let (client, error) = met(move || vec![PeerAction::Send(said.to_vec())]);
        let text = error.to_string();
        assert!(text.contains("does not speak TLS on this port"), "{text}");
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{words}: {text}");
        // Known at once, and tried again in rounds.
        let dials = client.dials(secure(0));
        assert!(dials > 1 && dials < 6, "{dials}");
    }
}

#[test]
fn a_peer_that_ends_the_connection_in_the_handshake_is_told_apart() {
    let (_, error) = met(|| vec![PeerAction::Close]);
    assert!(error.to_string().contains("the encryption level of the cluster"), "{error}");
    let (_, error) = met(|| vec![PeerAction::Send(vec![21, 3, 3, 0, 2, 2, 40])]);
    assert!(error.to_string().contains("handshake_failure"), "{error}");
}

/// Dials a port and feeds it these pieces until the engine hangs up, or they are all taken: what it held at most, and
/// whether it hung up.
fn flood(config: EngineConfig, pieces: &[&[u8]], rounds: usize) -> (u64, bool) {
    let now = start();
    let mut engine = Engine::new(config, [7; 32], now);
    let mut hung_up = false;
    let mut conn: Option<ConnId> = None;
    let work = |engine: &mut Engine, conn: &mut Option<ConnId>| {
        let mut over = false;
        loop {
            match engine.poll_output() {
                Output::Connect(dial) if conn.is_none() => {
                    *conn = Some(dial.conn);
                    engine.handle_input(Input::Connected { conn: dial.conn, local: None }, now);
                }
                Output::Transmit(conn) => {
                    let len = engine.transmit(conn).map(<[u8]>::len).sum();
                    engine.handle_input(Input::Written { conn, len }, now);
                }
                Output::Disconnect(_) => over = true,
                Output::Wait(_) => return over,
                _ => {}
            }
        }
    };
    engine.open_bucket("default", now);
    hung_up |= work(&mut engine, &mut conn);
    let conn_id = conn.expect("it dials");
    let info = measure(|| {
        for round in 0..rounds {
            let data = pieces[round.min(pieces.len() - 1)];
            engine.handle_input(Input::Received { conn: conn_id, data }, now);
            hung_up |= work(&mut engine, &mut conn);
            if hung_up {
                return;
            }
        }
    });
    (info.bytes_max, hung_up)
}

#[test]
fn an_endless_handshake_message_is_bounded_in_memory() {
    // A ServerHello that says it has 16 MiB, in full records without end.
    let record = |body: Vec<u8>| {
        let mut record = vec![22, 3, 3];
        record.extend_from_slice(&u16::try_from(body.len()).expect("a record").to_be_bytes());
        record.extend(body);
        record
    };
    let mut first = vec![2, 0xff, 0xff, 0xff];
    first.resize(16_384, 0);
    let (first, more) = (record(first), record(vec![0; 16_384]));
    // Empty records, and a record that is longer than any may be.
    let (empty, long) =
        (record(Vec::new()).repeat(1000), [&[22, 3, 3, 0xff, 0xff][..], &[0; 16_384]].concat());
    for pieces in [&[&first[..], &more][..], &[&empty], &[&long]] {
        let mut net = net(1);
        let config = config_tls(&mut net, "couchbases://10.0.0.1?bootstrap_on=cccp");
        let (held, hung_up) = flood(config, pieces, 4096);
        assert!(hung_up, "64 MiB were taken");
        assert!(held < 512 * 1024, "{held} bytes");
    }
}

#[test]
fn an_http_answer_without_an_end_is_bounded_in_memory() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [&b"10000\r\n"[..], &[b'{'; 0x10000], b"\r\n"].concat();
    let size = vec![b'0'; 0x10000];
    let line = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 0x10000]].concat();
    for (pieces, limit) in [
        (&[&head[..], &chunk][..], 64 << 20),
        (&[&head[..], &size][..], 1 << 20),
        (&[&line[..], &line][..], 1 << 20),
    ] {
        let config = config("couchbase://10.0.0.1?bootstrap_on=http");
        let (held, hung_up) = flood(config, pieces, 4096);
        assert!(hung_up, "256 MiB were taken");
        assert!(held < limit, "{held} bytes of {limit}");
    }
}

#[test]
fn dns_answers_that_point_in_circles_are_bounded_in_time() {
    for (over_tcp, limit) in [(false, ms(510)), (true, ms(510))] {
        let mut net = net(1);
        let mut zone = DnsZone::new();
        let many: Vec<String> = (0..60).map(|number| format!("a-rather-long-name-{number}.sim")).collect();
        zone.srv("_couchbase._tcp.cb.sim", many.iter().map(|name| (name.as_str(), 11210)));
        let mut server = DnsServer::from(zone);
        server.settings.behaviour = DnsBehaviour::Garbage;
        if over_tcp {
            server.settings.tcp = DnsTcp::Open;
            server.settings.udp_limit = 10;
        }
        net.place_dns(name_server(1), server);
        net.set_name("cb.sim", Ok(vec![IpAddr::from([10, 0, 0, 1])]));
        let mut client = Client::with(net, config_trusting("couchbase://cb.sim", "password", None, 1));
        client.online();
        let elapsed: Duration = client.world.elapsed();
        assert!(elapsed < limit + ms(10), "{elapsed:?}");
    }
}
