use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::engine::{DesiredState, EngineConfig, OpKind, Output, Response, Surroundings, WakeReason};
use settee::options::Options;
use settee::tls::PlatformStore;
use settee::wire::{Opcode, Status};
use settee_sim::{Listener, Net, NodeId, Peer, PeerAction, Reachability};
use crate::common::{Client, config, ms, net, node, secs};
use crate::script::{ALONE, Request, alone, map_with, on, place, plain_map, send, usual};

fn tls_config(net: &mut Net, text: &str) -> EngineConfig {
    let unix_time = net.cluster().unix();
    let ca = net.cluster().ca_pem();
    let surroundings = Surroundings {
        files: &mut |_| Ok(ca.clone().into_bytes()),
        platform: &mut PlatformStore::default,
        trust: Vec::new(),
        resolver: None,
        unix_time,
    };
    let a = Authenticator::Password(PasswordAuthenticator::new("Administrator", "password").unwrap());
    EngineConfig::with(&connstr::parse(text).unwrap(), Options::default(), a, surroundings).unwrap()
}

/// poll_output in a bounded number of calls cannot detect an inner loop: run under `timeout`.
#[test]
fn zz1_farewell_hang() {
    let mut net = net(1);
    let config = tls_config(&mut net, "couchbases://10.0.0.1?trust_certificate=ca.pem&enable_clustermap_notification=false&kv_keep_alive_interval=0");
    let mut client = connect2(net, config);
    client.run_for(ms(100));
    let at = loop {
        match client.engine().poll_output() { Output::Wait(at) => break at.unwrap(), _ => {} }
    };
    eprintln!("reason {:?} in {:?}", client.engine().wake_reason(), at - client.now());
    assert_eq!(client.engine().wake_reason(), WakeReason::Map);
    client.engine().shut_down(Duration::ZERO, at - ms(50));
    loop {
        match client.engine().poll_output() { Output::Wait(w) => { eprintln!("wait {:?} until poll {:?}", w.map(|w| at.checked_duration_since(w)), client.engine().wake_reason()); break } o => eprintln!("{o:?}") }
    }
    client.engine().handle_timeout(at);
    eprintln!("polling");
    loop {
        match client.engine().poll_output() { Output::Wait(w) => { eprintln!("wait {w:?}"); break } o => eprintln!("{o:?}") }
    }
}

#[test]
fn zz2_tracker_hang() {
    let polls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&polls);
    let (mut client, _map) = alone(&plain_map(1), on(Opcode::GET_CLUSTER_CONFIG, move |request| {
        counted.set(counted.get() + 1);
        if counted.get() < 2 { return send(request.answer_with(Status::SUCCESS, 1, &[], &[], plain_map(1).as_bytes())); }
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
    }));
    client.run_for(secs(1));
    eprintln!("maps {} polls {}", client.maps, polls.get());
    client.run_for(secs(3));
    eprintln!("maps {} polls {}", client.maps, polls.get());
    for step in 0..500 { eprintln!("{step} {:?}", client.engine().wake_reason()); client.run_for(ms(10)); }
    eprintln!("done");
}

#[test]
fn zz3_mapless_managers_once() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), |request: &Request| (request.opcode == Opcode::GET_CLUSTER_CONFIG).then(|| send(request.answer(Status::NOT_SUPPORTED, b""))));
    let mgmt = Net::listener_of(NodeId(0), Listener::MGMT);
    net.set_reachability(mgmt, Reachability::Refuse);
    let mut client = Client::with(net, config(ALONE));
    client.run_for(secs(2));
    eprintln!("dials of mgmt {}", client.dials(mgmt));
    client.world.net.set_reachability(mgmt, Reachability::Open);
    client.run_for(secs(300));
    eprintln!("dials of mgmt {} wake {:?}", client.dials(mgmt), client.engine().wake_reason());
    let bucket = client.bucket();
    eprintln!("map {:?}", client.engine().bucket_map(bucket).is_some());
    assert!(client.engine().bucket_map(bucket).is_some());
}

struct Http { input: Vec<u8>, answer: Rc<RefCell<String>>, close: bool, requests: Rc<Cell<usize>> }
impl Peer for Http {
    fn receive(&mut self, bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        self.input.extend_from_slice(bytes);
        if !self.input.ends_with(b"\r\n\r\n") { return Vec::new(); }
        self.requests.set(self.requests.get() + 1);
        let body = self.answer.borrow().clone();
        let mut out = vec![PeerAction::Send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\n\n\n\n\r\n", body.len() + 4, body).into_bytes())];
        if self.close { out.push(PeerAction::Send(b"0\r\n\r\n".to_vec())); out.push(PeerAction::Close); }
        out
    }
}

fn manager(net: &mut Net, map: &str, close: bool) -> (Rc<RefCell<String>>, Rc<Cell<usize>>) {
    let answer = Rc::new(RefCell::new(map.to_owned()));
    let requests = Rc::new(Cell::new(0));
    let (a, r) = (Rc::clone(&answer), Rc::clone(&requests));
    net.place_peer(Net::listener_of(NodeId(0), Listener::MGMT), move || Box::new(Http { input: Vec::new(), answer: Rc::clone(&a), close, requests: Rc::clone(&r) }));
    (answer, requests)
}

#[test]
fn zz4_http_storm() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), usual);
    let (_answer, requests) = manager(&mut net, &plain_map(1), true);
    let mut client = Client::with(net, config("couchbase://10.0.0.1?sasl_mech_force=PLAIN&bootstrap_on=http"));
    client.run_for(secs(60));
    eprintln!("requests in 60 s: {}", requests.get());
    assert!(requests.get() < 100);
}

#[test]
fn zz5_stream_gone() {
    let mut net = net(1);
    place(&mut net, &plain_map(1), usual);
    let map = |rev| map_with(rev, r#"{"thisNode":true,"services":{"kv":11210}}"#, "[[0],[0],[0],[0]]", "");
    let (answer, requests) = manager(&mut net, &map(1), false);
    let mgmt = Net::listener_of(NodeId(0), Listener::MGMT);
    let mut client = Client::with(net, config("couchbase://10.0.0.1?sasl_mech_force=PLAIN&bootstrap_on=http"));
    client.run_for(secs(10));
    eprintln!("requests {} open {}", requests.get(), client.open_links(mgmt).len());
    client.world.net.cut_all(mgmt);
    client.run_for(secs(10));
    eprintln!("requests {} open {}", requests.get(), client.open_links(mgmt).len());
    *answer.borrow_mut() = map(2);
    client.run_for(secs(600));
    eprintln!("requests {} open {} maps {}", requests.get(), client.open_links(mgmt).len(), client.maps);
    assert_eq!(client.open_links(mgmt).len(), 1);
}

#[test]
fn zz6_lazy_online() {
    let net = net(3);
    let mut client = Client::with(net, config("couchbase://10.0.0.1?enable_lazy_connections=true"));
    let op = client.wait(DesiredState::Online, secs(60));
    let out = client.end(op);
    eprintln!("{out:?}");
    assert_eq!(out, Ok(Response::Ready));
}

#[test]
fn zz7_http_without_mgmt() {
    let net = net(1);
    let parsed = config("couchbase://10.0.0.1:12345?bootstrap_on=http");
    let mut client = Client::with(net, parsed);
    let op = client.bootstrap();
    let out = client.end(op);
    eprintln!("{}", out.unwrap_err());
}

/// A bucket that is refused leaves a connection without collections behind.
#[test]
fn zz8_idle_without_collections() {
    let last = Rc::new(RefCell::new(Vec::new()));
    let script = move |request: &Request| { if request.opcode == Opcode::SELECT_BUCKET { *last.borrow_mut() = request.key.clone(); } match request.opcode {
        Opcode::HELLO => {
            let plain = [0x06_u16, 0x07, 0x08, 0x0b, 0x0c, 0x10, 0x12, 0x1d];
            let asked = request.value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
            let granted: Vec<u8> = asked.filter(|c| plain.contains(c)).flat_map(u16::to_be_bytes).collect();
            Some(send(request.answer(Status::SUCCESS, &granted)))
        }
        Opcode::SELECT_BUCKET if request.key == b"other" => Some(send(request.answer(Status::NOT_SUPPORTED, b""))),
        Opcode::GET_CLUSTER_CONFIG if *last.borrow() == b"other" => Some(send(request.answer(Status::NO_BUCKET, b""))),
        Opcode::COLLECTIONS_GET_ID => Some(send(request.answer_with(Status::SUCCESS, 0, &[0,0,0,0,0,0,0,1,0,0,0,9], &[], b""))),
        _ => None,
    } };
    let mut net = net(1);
    place(&mut net, &plain_map(1), script);
    let mut client = Client::bare(net, config(ALONE), [7; 32]);
    client.open("other");
    client.run_for(secs(2));
    client.open("default");
    client.run_for(secs(2));
    client.enter("s", "c");
    let op = client.start("k", OpKind::Get);
    let out = client.end(op);
    eprintln!("{out:?}");
    assert!(out.is_ok());
}


struct Alert;
impl Peer for Alert {
    fn receive(&mut self, _: &[u8], _now: Instant) -> Vec<PeerAction> {
        vec![PeerAction::Send(vec![0x15, 3, 3, 0, 2, 2, 80]), PeerAction::Close]
    }
}

#[test]
fn zz9_alert() {
    let mut net = net(2);
    let config = tls_config(&mut net, "couchbases://10.0.0.1,10.0.0.2?trust_certificate=ca.pem");
    net.place_peer(Net::listener_of(NodeId(0), Listener::KV_TLS), || Box::new(Alert));
    let second = Net::listener_of(NodeId(1), Listener::KV_TLS);
    net.set_reachability(second, Reachability::Refuse);
    net.set_reachability(Net::listener_of(NodeId(0), Listener::MGMT_TLS), Reachability::Refuse);
    net.set_reachability(Net::listener_of(NodeId(1), Listener::MGMT_TLS), Reachability::Refuse);
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    let out = client.end(op);
    eprintln!("after {:?}: {}", client.world.elapsed(), out.unwrap_err());
    client.world.net.set_reachability(second, Reachability::Open);
    client.run_for(secs(600));
    eprintln!("map {}", client.engine().cluster_map().is_some());
    assert!(client.engine().cluster_map().is_some());
}

#[test]
fn zza_farewell_salting() {
    let mut settings = crate::common::small();
    settings.scram_iterations = 200_000;
    let mut net = Net::new(1, settings, settee_sim::NetSettings::default(), crate::common::start());
    let config = tls_config(&mut net, "couchbases://10.0.0.1?trust_certificate=ca.pem&allowed_sasl_mechanisms=SCRAM-SHA512");
    let mut client = Client::with(net, config);
    for _ in 0..1000 {
        client.run_for(Duration::from_micros(20));
        if client.engine().wake_reason() == WakeReason::Computation { break; }
    }
    eprintln!("{:?}", client.engine().wake_reason());
    let now = client.now();
    client.engine().shut_down(Duration::ZERO, now);
    loop { match client.engine().poll_output() { Output::Wait(w) => { eprintln!("wait {:?} {:?}", w.map(|w| w.saturating_duration_since(now)), client.engine().wake_reason()); break } o => eprintln!("{o:?}") } }
    client.engine().handle_timeout(now + ms(1));
    loop { match client.engine().poll_output() { Output::Wait(_) => break, o => eprintln!("{o:?}") } }
    eprintln!("done");
}

#[test]
fn zzb_cert_401() {
    let mut net = net(1);
    let unix_time = net.cluster().unix();
    let ca = net.cluster().ca_pem();
    let (chain, key) = net.cluster().client_certificate("Administrator");
    let surroundings = Surroundings {
        files: &mut |path| Ok(match path { "ca.pem" => ca.clone(), "user.pem" => chain.clone(), _ => key.clone() }.into_bytes()),
        platform: &mut PlatformStore::default,
        trust: Vec::new(),
        resolver: None,
        unix_time,
    };
    let a = Authenticator::Certificate(settee::auth::CertificateAuthenticator::from_options());
    let text = "couchbases://10.0.0.1?trust_certificate=ca.pem&certificate_path=user.pem&key_path=user.key";
    let config = EngineConfig::with(&connstr::parse(text).unwrap(), Options::default(), a, surroundings).unwrap();
    let kv = Net::listener_of(NodeId(0), Listener::KV_TLS);
    net.set_reachability(kv, Reachability::Refuse);
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    let out = client.end(op);
    eprintln!("after {:?}: {:?}", client.world.elapsed(), out.map_err(|e| e.to_string()));
    client.world.net.set_reachability(kv, Reachability::Open);
    client.run_for(secs(60));
    eprintln!("map {}", client.engine().cluster_map().is_some());
}

#[test]
fn zzc_close_with_a_node_down() {
    let mut net = net(2);
    let config = tls_config(&mut net, "couchbases://10.0.0.1?trust_certificate=ca.pem");
    let mut client = connect2(net, config);
    let second = Net::listener_of(NodeId(1), Listener::KV_TLS);
    client.world.net.set_reachability(second, Reachability::Refuse);
    client.world.net.cut_all(second);
    client.run_for(secs(3));
    let now = client.now();
    client.engine().shut_down(Duration::ZERO, now);
    eprintln!("polling");
    loop { match client.engine().poll_output() { Output::Wait(w) => { eprintln!("wait {:?} {:?}", w.map(|w| w.saturating_duration_since(now)), client.engine().wake_reason()); break } o => eprintln!("{o:?}") } }
    eprintln!("done");
}

fn connect2(net: Net, config: EngineConfig) -> Client {
    let mut client = Client::with(net, config);
    client.online();
    client
}
