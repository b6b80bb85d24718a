//! What an independent look at connecting has found: each of these hung, stormed or stopped for good.

use crate::common::{Client, config, config_with, ms, net, password, secs};
use crate::script::{ALONE, Request, alone, map_with, on, place, plain_map, send, usual};
use settee::auth::{Authenticator, CertificateAuthenticator};
use settee::engine::{DesiredState, EngineConfig, OpKind, Output, Response, WakeReason};
use settee::wire::{Opcode, Status};
use settee_sim::{ClientCertificates, Listener, Net, NodeId, Peer, PeerAction, Reachability};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

fn tls_config(net: &mut Net, text: &str) -> EngineConfig {
    let ca = net.cluster().ca_pem();
    config_with(net, text, password("Administrator", "password"), &[("ca.pem", &ca)]).expect("valid settings")
}

/// Everything that the engine has to say, until it waits.
fn settle(client: &mut Client) -> Option<Instant> {
    for _ in 0..1000 {
        if let Output::Wait(at) = client.engine().poll_output() {
            return at;
        }
    }
    panic!("it never waits");
}

#[test]
fn the_end_over_tls_does_not_spin_on_what_was_due() {
    let mut net = net(1);
    let config = tls_config(
        &mut net,
        "couchbases://10.0.0.1?trust_certificate=ca.pem&enable_clustermap_notification=false&kv_keep_alive_interval=0",
    );
    let mut client = online(net, config);
    client.run_for(ms(100));
    let at = settle(&mut client).expect("a map is polled");
    assert_eq!(client.engine().wake_reason(), WakeReason::Map);
    client.engine().shut_down(Duration::ZERO, at - ms(50));
    settle(&mut client);
    client.engine().handle_timeout(at);
    settle(&mut client);
}

#[test]
fn a_fetch_under_way_does_not_outlive_the_change_to_a_memcached_map() {
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let (mut client, _map) = alone(
        &plain_map(1),
        on(Opcode::GET_CLUSTER_CONFIG, move |request| {
            counted.set(counted.get() + 1);
            if counted.get() < 2 {
                return send(request.answer_with(Status::SUCCESS, 1, &[], &[], plain_map(1).as_bytes()));
            }
            let map = r#"{"rev":2,"revEpoch":1,"name":"default","uuid":"a","nodeLocator":"ketama","nodes":[{"hostname":"$HOST:8091","ports":{"direct":11210}}],"nodesExt":[{"thisNode":true,"services":{"kv":11210,"mgmt":8091}}]}"#;
            let mut out = vec![0x82, 0x01];
            out.extend_from_slice(&7u16.to_be_bytes());
            out.extend_from_slice(&[16, 1, 0, 0]);
            out.extend_from_slice(&((7 + 16 + map.len()) as u32).to_be_bytes());
            out.extend_from_slice(&[0; 12]);
            out.extend_from_slice(&1i64.to_be_bytes());
            out.extend_from_slice(&2i64.to_be_bytes());
            out.extend_from_slice(b"default");
            out.extend_from_slice(map.as_bytes());
            send(out)
        }),
    );
    client.run_for(secs(1));
    client.run_for(secs(3));
    client.run_for(secs(5));
    assert_eq!(client.engine().counters().parsed_maps, 2, "the pushed map was read");
}

#[test]
fn boot_17_a_manager_that_comes_up_late_is_asked_again() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), |request: &Request| {
        (request.opcode == Opcode::GET_CLUSTER_CONFIG)
            .then(|| send(request.answer(Status::NOT_SUPPORTED, b"")))
    });
    let mgmt = Net::listener_of(NodeId(0), Listener::MGMT);
    net.set_reachability(mgmt, Reachability::Refuse);
    let mut client = Client::with(net, config(ALONE));
    client.run_for(secs(2));
    client.world.net.set_reachability(mgmt, Reachability::Open);
    client.run_for(secs(300));
    let bucket = client.bucket();
    assert!(client.engine().bucket_map(bucket).is_some());
}

struct Http {
    input: Vec<u8>,
    answer: Rc<RefCell<String>>,
    close: bool,
    requests: Rc<Cell<usize>>,
}
impl Peer for Http {
    fn receive(&mut self, bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        self.input.extend_from_slice(bytes);
        if !self.input.ends_with(b"\r\n\r\n") {
            return Vec::new();
        }
        self.requests.set(self.requests.get() + 1);
        let body = self.answer.borrow().clone();
        let mut out = vec![PeerAction::Send(
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\n\n\n\n\r\n",
                body.len() + 4,
                body
            )
            .into_bytes(),
        )];
        if self.close {
            out.push(PeerAction::Send(b"0\r\n\r\n".to_vec()));
            out.push(PeerAction::Close);
        }
        out
    }
}

fn manager(net: &mut Net, map: &str, close: bool) -> (Rc<RefCell<String>>, Rc<Cell<usize>>) {
    let answer = Rc::new(RefCell::new(map.to_owned()));
    let requests = Rc::new(Cell::new(0));
    let (a, r) = (Rc::clone(&answer), Rc::clone(&requests));
    net.place_peer(Net::listener_of(NodeId(0), Listener::MGMT), move || {
        Box::new(Http { input: Vec::new(), answer: Rc::clone(&a), close, requests: Rc::clone(&r) })
    });
    (answer, requests)
}

#[test]
fn boot_19_a_manager_that_ends_each_stream_is_no_storm() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), usual);
    let (_answer, requests) = manager(&mut net, &plain_map(1), true);
    let mut client =
        Client::with(net, config("couchbase://10.0.0.1?sasl_mech_force=PLAIN&bootstrap_on=http"));
    client.run_for(secs(60));
    assert!(requests.get() < 100);
}

#[test]
fn boot_19_a_stream_that_tells_what_is_known_is_kept() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), usual);
    let map = |rev| map_with(rev, r#"{"thisNode":true,"services":{"kv":11210}}"#, "[[0],[0],[0],[0]]", "");
    let (answer, _) = manager(&mut net, &map(1), false);
    let mgmt = Net::listener_of(NodeId(0), Listener::MGMT);
    let mut client =
        Client::with(net, config("couchbase://10.0.0.1?sasl_mech_force=PLAIN&bootstrap_on=http"));
    client.run_for(secs(10));
    client.world.net.cut_all(mgmt);
    client.run_for(secs(10));
    *answer.borrow_mut() = map(2);
    client.run_for(secs(600));
    assert_eq!(client.open_links(mgmt).len(), 1);
}

#[test]
fn lazy_connections_are_woken_by_waiting_for_readiness() {
    let net = net(3);
    let mut client = Client::with(net, config("couchbase://10.0.0.1?enable_lazy_connections=true"));
    let op = client.wait(DesiredState::Online, secs(60));
    let out = client.end(op);
    assert_eq!(out, Ok(Response::Ready));
}

/// A bucket that is refused leaves a connection without collections behind.
#[test]
fn a_connection_without_collections_is_not_used_for_other_buckets() {
    let last = Rc::new(RefCell::new(Vec::new()));
    let script = move |request: &Request| {
        if request.opcode == Opcode::SELECT_BUCKET {
            *last.borrow_mut() = request.key.clone();
        }
        match request.opcode {
            Opcode::HELLO => {
                let plain = [0x06_u16, 0x07, 0x08, 0x0b, 0x0c, 0x10, 0x12, 0x1d];
                let asked = request.value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                let granted: Vec<u8> =
                    asked.filter(|c| plain.contains(c)).flat_map(u16::to_be_bytes).collect();
                Some(send(request.answer(Status::SUCCESS, &granted)))
            }
            Opcode::SELECT_BUCKET if request.key == b"other" => {
                Some(send(request.answer(Status::NOT_SUPPORTED, b"")))
            }
            Opcode::GET_CLUSTER_CONFIG if *last.borrow() == b"other" => {
                Some(send(request.answer(Status::NO_BUCKET, b"")))
            }
            Opcode::COLLECTIONS_GET_ID => Some(send(request.answer_with(
                Status::SUCCESS,
                0,
                &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9],
                &[],
                b"",
            ))),
            _ => None,
        }
    };
    let mut net = net(1);
    place(&mut net, &plain_map(1), script);
    let mut client = Client::bare(net, config(ALONE), [7; 32]);
    client.open("other");
    client.run_for(secs(2));
    client.open("default");
    client.run_for(secs(2));
    client.enter("s", "c");
    let op = client.start("k", OpKind::Get);
    client.end(op).expect("the collection is there");
}

struct Alert;
impl Peer for Alert {
    fn receive(&mut self, _: &[u8], _now: Instant) -> Vec<PeerAction> {
        vec![PeerAction::Send(vec![0x15, 3, 3, 0, 2, 2, 80]), PeerAction::Close]
    }
}

#[test]
fn an_alert_that_is_not_about_certificates_is_not_the_end() {
    let mut net = net(2);
    let config = tls_config(&mut net, "couchbases://10.0.0.1,10.0.0.2?trust_certificate=ca.pem");
    net.place_peer(Net::listener_of(NodeId(0), Listener::KV_TLS), || Box::new(Alert));
    let second = Net::listener_of(NodeId(1), Listener::KV_TLS);
    net.set_reachability(second, Reachability::Refuse);
    net.set_reachability(Net::listener_of(NodeId(0), Listener::MGMT_TLS), Reachability::Refuse);
    net.set_reachability(Net::listener_of(NodeId(1), Listener::MGMT_TLS), Reachability::Refuse);
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    assert!(client.end(op).is_err(), "nobody serves");
    client.world.net.set_reachability(second, Reachability::Open);
    client.run_for(secs(600));
    assert!(client.engine().cluster_map().is_some());
}

#[test]
fn the_end_over_tls_does_not_spin_on_a_password_being_salted() {
    let mut settings = crate::common::small();
    settings.scram_iterations = 200_000;
    let mut net = Net::new(1, settings, settee_sim::NetSettings::default(), crate::common::start());
    let config = tls_config(
        &mut net,
        "couchbases://10.0.0.1?trust_certificate=ca.pem&allowed_sasl_mechanisms=SCRAM-SHA512",
    );
    let mut client = Client::with(net, config);
    for _ in 0..1000 {
        client.run_for(Duration::from_micros(20));
        if client.engine().wake_reason() == WakeReason::Computation {
            break;
        }
    }
    let now = client.now();
    client.engine().shut_down(Duration::ZERO, now);
    settle(&mut client);
    client.engine().handle_timeout(now + ms(1));
    settle(&mut client);
}

#[test]
fn auth_7_a_managers_no_to_certificates_says_nothing_about_data_nodes() {
    let mut net = net(1);
    net.cluster().set_client_certificates(ClientCertificates::Enable);
    net.cluster().fail_http(NodeId(0), Some(401));
    let ca = net.cluster().ca_pem();
    let (chain, key) = net.cluster().client_certificate("Administrator");
    let text = "couchbases://10.0.0.1?trust_certificate=ca.pem&certificate_path=user.pem&key_path=user.key";
    let files = [("ca.pem", ca.as_str()), ("user.pem", &chain), ("user.key", &key)];
    let certificate = Authenticator::Certificate(CertificateAuthenticator::from_options());
    let config = config_with(&mut net, text, certificate, &files).expect("valid settings");
    let kv = Net::listener_of(NodeId(0), Listener::KV_TLS);
    net.set_reachability(kv, Reachability::Refuse);
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    assert!(client.end(op).is_err(), "no data node serves");
    client.world.net.set_reachability(kv, Reachability::Open);
    client.run_for(secs(60));
    assert!(client.engine().cluster_map().is_some());
}

#[test]
fn the_end_over_tls_with_a_node_down_ends() {
    let mut net = net(2);
    let config = tls_config(&mut net, "couchbases://10.0.0.1?trust_certificate=ca.pem");
    let mut client = online(net, config);
    let second = Net::listener_of(NodeId(1), Listener::KV_TLS);
    client.world.net.set_reachability(second, Reachability::Refuse);
    client.world.net.cut_all(second);
    client.run_for(secs(3));
    let now = client.now();
    client.engine().shut_down(Duration::ZERO, now);
    settle(&mut client);
}

/// A client that is connected to all nodes.
fn online(net: Net, config: EngineConfig) -> Client {
    let mut client = Client::with(net, config);
    client.online();
    client
}
