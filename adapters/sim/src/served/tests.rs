//! A client written by hand over blocking sockets.

use super::*;
use crate::{Action, Features, Rule};
use base64ct::{Base64, Encoding as _};
use settee::ids::{Cas, Opaque};
use settee::wire::{Encode, Frame, Opcode, Status};

struct Client {
    stream: std::net::TcpStream,
    input: Vec<u8>,
}

/// An answer or notification, owned.
#[derive(Debug)]
struct Answer {
    opcode: Opcode,
    status: Status,
    opaque: Opaque,
    cas: Cas,
    extras: Vec<u8>,
    value: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, input: Vec::new() }
    }

    fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some((frame, used)) = Frame::parse(&self.input, 1 << 25).unwrap() {
                let answer = Answer {
                    opcode: frame.header.opcode,
                    status: Status(frame.header.vbucket_or_status),
                    opaque: frame.header.opaque,
                    cas: frame.header.cas,
                    extras: frame.extras.to_vec(),
                    value: frame.value.to_vec(),
                };
                self.input.drain(..used);
                return Some(answer);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                len => self.input.extend_from_slice(&buffer[..len]),
            }
        }
    }

    fn ask(&mut self, request: Encode<'_>, value: &[u8]) -> Answer {
        let mut bytes = Vec::new();
        request.emit(value, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
        self.next().unwrap()
    }

    fn plain(&mut self, user: &str, password: &str) -> Status {
        let payload = format!("\0{user}\0{password}");
        let auth = Encode { key: b"PLAIN", ..Encode::request(Opcode::SASL_AUTH, Opaque(1)) };
        self.ask(auth, payload.as_bytes()).status
    }

    fn ready(address: SocketAddr, bucket: &str) -> Self {
        let mut client = Self::connect(address);
        let features: Vec<u8> =
            [Features::XERROR, Features::JSON, Features::COLLECTIONS, Features::MUTATION_SEQNO]
                .into_iter()
                .flat_map(u16::to_be_bytes)
                .collect();
        let hello = client.ask(Encode::request(Opcode::HELLO, Opaque(0)), &features);
        assert_eq!(hello.value.len(), 8);
        assert_eq!(client.plain("Administrator", "password"), Status::SUCCESS);
        let select = Encode { key: bucket.as_bytes(), ..Encode::request(Opcode::SELECT_BUCKET, Opaque(2)) };
        assert_eq!(client.ask(select, b"").status, Status::SUCCESS);
        client
    }
}

fn keyed<'a>(opcode: Opcode, vbucket: u16, key: &'a [u8]) -> Encode<'a> {
    Encode { vbucket_or_status: vbucket, key_prefix: &[0], key, ..Encode::request(opcode, Opaque(0xabcd)) }
}

#[test]
fn get_and_set_over_loopback() {
    let cluster = SimCluster::start().unwrap();
    let vbucket = crate::vbucket_of(b"hello", 1024);
    let node = cluster.control(|cluster, _| cluster.active_node("default", b"hello")).unwrap();
    let mut client = Client::ready(cluster.addresses()[node.0], "default");
    let set = Encode { extras: &[0, 0, 0, 7, 0, 0, 0, 0], ..keyed(Opcode::SET, vbucket, b"hello") };
    let stored = client.ask(set, b"{\"a\":1}");
    assert_eq!((stored.status, stored.extras.len(), stored.opaque), (Status::SUCCESS, 16, Opaque(0xabcd)));
    let got = client.ask(keyed(Opcode::GET, vbucket, b"hello"), b"");
    assert_eq!((got.status, got.cas, &got.extras[..]), (Status::SUCCESS, stored.cas, &[0, 0, 0, 7][..]));
    assert_eq!(got.value, b"{\"a\":1}");
    let other = (node.0 + 1) % 3;
    let mut client = Client::ready(cluster.addresses()[other], "default");
    let refused = client.ask(keyed(Opcode::GET, vbucket, b"hello"), b"");
    assert_eq!(refused.status, Status::NOT_MY_VBUCKET);
    assert!(refused.value.starts_with(b"{") && refused.value.len() > 5000, "the map is the body");
    cluster.stop();
}

#[test]
fn scram_over_loopback() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::{Digest as _, Sha256};
    let cluster = SimCluster::builder().nodes(1).user("jane", "pencil").scram_iterations(50).start().unwrap();
    let mut client = Client::connect(cluster.addresses()[0]);
    let auth = |opcode| Encode { key: b"SCRAM-SHA256", ..Encode::request(opcode, Opaque(1)) };
    let first = client.ask(auth(Opcode::SASL_AUTH), b"n,,n=jane,r=clientnonce");
    assert_eq!(first.status, Status::AUTH_CONTINUE);
    let server_first = String::from_utf8(first.value).unwrap();
    let mut parts = server_first.split(',');
    let nonce = parts.next().unwrap();
    assert!(nonce.starts_with("r=clientnonce") && nonce.len() > 20);
    let Ok(salt) = Base64::decode_vec(&parts.next().unwrap()[2..]) else { panic!("salt") };
    assert_eq!(parts.next(), Some("i=50"));
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(b"pencil", &salt, 50, &mut salted);
    let mac = |key: &[u8], data: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(data);
        mac.finalize().into_bytes()
    };
    let client_key = mac(&salted, b"Client Key");
    let without_proof = format!("c=biws,{nonce}");
    let transcript = format!("n=jane,r=clientnonce,{server_first},{without_proof}");
    let signature = mac(&Sha256::digest(client_key), transcript.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let client_final = format!("{without_proof},p={}", Base64::encode_string(&proof));
    let last = client.ask(auth(Opcode::SASL_STEP), client_final.as_bytes());
    assert_eq!(last.status, Status::SUCCESS);
    let expected = mac(&mac(&salted, b"Server Key"), transcript.as_bytes());
    assert_eq!(last.value, format!("v={}", Base64::encode_string(&expected)).into_bytes());
}

#[test]
fn a_killed_node_closes_and_refuses_and_comes_back_on_its_port() {
    let cluster = SimCluster::builder().nodes(2).vbuckets(8).start().unwrap();
    let address = cluster.addresses()[1];
    let mut client = Client::ready(address, "default");
    cluster.control(|cluster, _| cluster.kill_node(NodeId(1)));
    assert!(client.next().is_none(), "the connection was closed");
    assert!(std::net::TcpStream::connect(address).is_err(), "new ones are refused");
    cluster.control(|cluster, _| cluster.restart_node(NodeId(1)));
    Client::ready(address, "default");
}

#[test]
fn a_paused_node_answers_when_it_goes_on() {
    let cluster = SimCluster::builder().nodes(1).vbuckets(1).start().unwrap();
    let mut client = Client::ready(cluster.addresses()[0], "default");
    cluster.control(|cluster, _| cluster.pause_node(NodeId(0)));
    let mut bytes = Vec::new();
    Encode::request(Opcode::NOOP, Opaque(5)).emit(b"", &mut bytes).unwrap();
    client.stream.write_all(&bytes).unwrap();
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.stream.read(&mut [0; 24]).is_err(), "nothing comes");
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    cluster.control(|cluster, now| cluster.resume_node(NodeId(0), now));
    assert_eq!(client.next().unwrap().opcode, Opcode::NOOP);
}

#[test]
fn delayed_answers_come_late_and_close_rules_close() {
    let cluster = SimCluster::builder().nodes(1).vbuckets(1).start().unwrap();
    let mut client = Client::ready(cluster.addresses()[0], "default");
    let delay = Duration::from_millis(40);
    cluster.control(move |cluster, _| {
        cluster.add_rule(NodeId(0), Rule::new(Opcode::NOOP, Action::Delay(delay)).times(1));
        cluster.add_rule(NodeId(0), Rule::new(Opcode::VERSION, Action::CloseAfterAnswer));
    });
    let start = Instant::now();
    assert_eq!(client.ask(Encode::request(Opcode::NOOP, Opaque(5)), b"").status, Status::SUCCESS);
    assert!(start.elapsed() >= delay);
    assert_eq!(client.ask(Encode::request(Opcode::VERSION, Opaque(6)), b"").status, Status::SUCCESS);
    assert!(client.next().is_none());
}

#[test]
fn a_peer_that_does_not_read_is_not_answered_for_ever() {
    let cluster = SimCluster::builder().nodes(1).vbuckets(1).start().unwrap();
    let mut client = Client::ready(cluster.addresses()[0], "default");
    let value = vec![b'x'; 1 << 20];
    let set = Encode { extras: &[0; 8], ..keyed(Opcode::SET, 0, b"big") };
    assert_eq!(client.ask(set, &value).status, Status::SUCCESS);
    let mut gets = Vec::new();
    for _ in 0..64 {
        keyed(Opcode::GET, 0, b"big").emit(b"", &mut gets).unwrap();
    }
    client.stream.write_all(&gets).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let served = cluster.control(|cluster, _| cluster.requests(NodeId(0), Opcode::GET));
    assert!(served < 40, "{served} of 64 answers of 1 MiB were made without a reader");
    for _ in 0..64 {
        assert_eq!(client.next().unwrap().value.len(), 1 << 20);
    }
}

#[test]
fn stopping_is_fast_with_open_connections() {
    let cluster = SimCluster::builder().nodes(2).vbuckets(8).start().unwrap();
    let mut client = Client::ready(cluster.addresses()[0], "default");
    let start = Instant::now();
    drop(cluster);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(client.next().is_none());
}

#[test]
fn a_node_added_to_a_running_cluster_can_be_reached() {
    let cluster = SimCluster::builder().nodes(1).vbuckets(8).start().unwrap();
    let (node, address) = cluster.add_node().unwrap();
    let mut client = Client::ready(address, "default");
    let get = client.ask(keyed(Opcode::GET, 7, b"k"), b"");
    assert_eq!(get.status, Status::NOT_MY_VBUCKET, "no vbuckets before the rebalance");
    cluster.control(|cluster, _| cluster.rebalance());
    assert_eq!(client.ask(keyed(Opcode::GET, 7, b"k"), b"").status, Status::KEY_ENOENT);
    assert_eq!(node, NodeId(1));
}

#[test]
fn tls_over_loopback_on_ports_of_its_own() {
    use rustls::pki_types::ServerName;
    let cluster = SimCluster::builder().nodes(2).vbuckets(4).tls(true).start().unwrap();
    let wall = cluster.control(|cluster, _| cluster.unix());
    let config = crate::cluster::secure::tests::client_config(&cluster.ca_pem(), None, wall);
    let address = cluster.address_of(NodeId(1), Listener::KV_TLS).unwrap();
    assert!(cluster.tls_connection_string().ends_with(&format!(",{address}")));
    let name = ServerName::from(address.ip());
    let mut tls = rustls::ClientConnection::new(config, name).unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    let mut noop = Vec::new();
    Encode::request(Opcode::NOOP, Opaque(5)).emit(b"", &mut noop).unwrap();
    stream.write_all(&noop).unwrap();
    let mut answer = [0; 24];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[15]), (0x81, 5));
    cluster.control(|cluster, _| cluster.kill_node(NodeId(1)));
    for listener in [Listener::KV, Listener::KV_TLS, Listener::MGMT, Listener::MGMT_TLS] {
        let address = cluster.address_of(NodeId(1), listener).unwrap();
        assert!(std::net::TcpStream::connect(address).is_err(), "{listener:?}");
    }
}

#[test]
fn behind_port_mapping_the_map_names_loopback_for_those_outside() {
    let cluster = SimCluster::builder().nodes(2).vbuckets(8).tls(true).external(true).start().unwrap();
    let address = cluster.address_of(NodeId(1), Listener::KV_TLS).unwrap();
    let map = cluster.control(|cluster, _| cluster.bucket_map("default", NodeId(1))).unwrap();
    let map: serde_json::Value = serde_json::from_slice(&map).unwrap();
    let node = &map["nodesExt"][1];
    assert_eq!((&node["hostname"], &node["services"]["kv"]), (&"192.0.2.2".into(), &11210.into()));
    let external = &node["alternateAddresses"]["external"];
    assert_eq!(
        (&external["hostname"], &external["ports"]["kvSSL"]),
        (&"127.0.0.1".into(), &address.port().into())
    );
    Client::ready(cluster.addresses()[1], "default");
    let (_, address) = cluster.add_node().unwrap();
    Client::ready(address, "default");
    let (host, ports) = cluster.control(|cluster, _| {
        let added = cluster.address(NodeId(2)).unwrap();
        (added.host.clone(), added.alternates[0].ports.clone().unwrap())
    });
    assert_eq!((host.as_str(), ports[&Listener::KV]), ("192.0.2.3", address.port()));
}
