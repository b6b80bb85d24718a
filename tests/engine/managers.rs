//! What managers may answer, and what becomes of it (BOOT-18, BOOT-20).

use std::time::Instant;

use settee::engine::{Response, Stage};
use settee::error::ErrorKind;
use settee_sim::{LinkId, Net, NetSettings, NodeId, Peer, PeerAction};

use crate::common::{Client, config, error, ms, net, secs, small, start};
use crate::sources::manager;

/// Answers everything with the same bytes, some of them later.
struct Web(Vec<PeerAction>);

impl Peer for Web {
    fn receive(&mut self, _: &[u8], _: Instant) -> Vec<PeerAction> {
        std::mem::take(&mut self.0)
    }
}

/// A network whose one manager is scripted, and whose data node refuses.
fn scripted_manager(answer: impl Fn() -> Vec<PeerAction> + 'static) -> Net {
    let mut net = net(1);
    net.place_peer(manager(0), move || Box::new(Web(answer())));
    net
}

const HTTP_ONLY: &str = "couchbase://10.0.0.1?bootstrap_on=http&bootstrap_timeout=12s";

fn refused_by(net: Net, text: &str) -> (Client, settee::error::OpError) {
    let mut client = Client::new(net, text);
    let op = client.bootstrap();
    let outcome = client.end(op);
    let error = error(&outcome).clone();
    (client, error)
}

#[test]
fn h_a_stream_that_never_ends_a_line_is_bounded_in_time() {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let slow = |head: &'static [u8], piece: &'static [u8]| {
        scripted_manager(move || {
            let drops = (1..600).map(|number| PeerAction::SendAfter(ms(100 * number), piece.to_vec()));
            [PeerAction::Send(head.to_vec())].into_iter().chain(drops).collect()
        })
    };
    for (head, piece) in [
        (&b""[..], &b"HTTP/1.1 200"[..]),
        (b"HTTP/1.1 200 OK\r\n", b"X: "),
        (HEAD, b"1\r\n{\r\n"),
        (HEAD, b"0"),
        (HEAD, b"1;"),
    ] {
        let (client, error) = refused_by(slow(head, piece), HTTP_ONLY);
        let text = error.to_string();
        assert!(client.world.elapsed() <= secs(12), "{text}");
        assert!(text.contains("10.0.0.1:8091 failed at map"), "{text}");
        assert!(client.world.net.links().all(|(link, _, open)| link != LinkId(0) || !open), "given up");
    }
}

#[test]
fn h_a_stream_that_never_ends_a_line_is_bounded_in_memory() {
    // 30 MiB without an end, at once.
    let flood = || {
        let mut body = format!("{:x}\r\n", 30 << 20).into_bytes();
        body.resize(body.len() + (30 << 20), b'{');
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        vec![PeerAction::Send(head), PeerAction::Send(body)]
    };
    let mut settings = NetSettings::default();
    settings.max_segment = 1 << 20;
    let mut net = Net::new(1, small(), settings, start());
    net.place_peer(manager(0), move || Box::new(Web(flood())));
    let (_, error) = refused_by(net, "couchbase://10.0.0.1?bootstrap_on=http&bootstrap_timeout=400ms");
    let text = error.to_string();
    assert!(text.contains("failed at map") && text.contains("20971520"), "{text}");
    // A head without an end.
    let flood = || vec![PeerAction::Send(vec![b'a'; 1 << 20])];
    let (_, error) =
        refused_by(scripted_manager(flood), "couchbase://10.0.0.1?bootstrap_on=http&bootstrap_timeout=400ms");
    assert!(error.to_string().contains("failed at map"), "{error}");
}

#[test]
fn boot_18_what_a_manager_may_answer() {
    let answers = |status: &'static str| {
        move || {
            vec![PeerAction::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes())]
        }
    };
    for (status, expected, stage, words, ends_at_once) in [
        ("401 Unauthorized", ErrorKind::AuthenticationFailure, Stage::Auth, "check user name", true),
        ("403 Forbidden", ErrorKind::BucketNotFound, Stage::Bucket, "may not use it", false),
        ("404 Object Not Found", ErrorKind::BucketNotFound, Stage::Bucket, "create the bucket", false),
        ("500 Oops", ErrorKind::UnambiguousTimeout, Stage::Map, "HTTP 500", false),
        ("503 Unavailable", ErrorKind::UnambiguousTimeout, Stage::Map, "HTTP 503", false),
        ("301 Moved Permanently", ErrorKind::UnambiguousTimeout, Stage::Map, "HTTP 301", false),
        ("200 OK", ErrorKind::UnambiguousTimeout, Stage::Map, "failed at map", false),
    ] {
        let (client, error) = refused_by(scripted_manager(answers(status)), HTTP_ONLY);
        assert_eq!(error.kind(), expected, "{status}: {error}");
        let told = error.context().bootstrap.as_ref().expect("a report");
        assert_eq!(told.attempts[0].stage, stage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(client.world.elapsed() < secs(1), ends_at_once, "{status}");
    }
    // 5xx: the next node.
    let mut net = net(2);
    net.cluster().fail_http(NodeId(0), Some(500));
    let text = "couchbase://10.0.0.1,10.0.0.2?bootstrap_on=http&preserve_bootstrap_nodes_order=true";
    let client = Client::connect(net, text);
    assert!(client.world.elapsed() < ms(50), "{:?}", client.world.elapsed());
    // A user who may not see the cluster's own map.
    let mut net = crate::common::net(1);
    net.cluster().set_cluster_config_access("Administrator", false);
    let mut client = Client::bare(net, config(HTTP_ONLY), [7; 32]);
    let op = client.bootstrap();
    assert_eq!(client.end(op), Ok(Response::Ready), "as without a cluster map (4.4)");
    client.open("default");
    client.online();
}
