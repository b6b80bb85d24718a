//! Conversations with the HTTP services.

use crate::cluster::secure::tests::client_config;
use crate::{
    BucketKind, ClientCertificates, Cluster, ConnId, Listener, NodeAddress, NodeId, Service, Settings,
};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::http::{Authorization, Exchange, HttpEvent, MessageSplitter, Method, Request, path_segment};
use settee::ids::Opaque;
use settee::wire::{Encode, Frame, Opcode, Status};
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

const NODE: NodeId = NodeId(0);
const OTHER: NodeId = NodeId(1);

struct Bench {
    cluster: Cluster,
    now: Instant,
}

/// An answer, taken apart.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Bench {
    /// Two nodes with all services, bucket `b`, memcached bucket `m`, user `u` with password `p`.
    fn new() -> Self {
        let now = Instant::now();
        let mut nodes = vec![
            NodeAddress::with_services("node1.sim", &Service::ALL),
            NodeAddress::new("node2.sim", 11210),
        ];
        nodes[0].server_group = Some("east".to_owned());
        let settings = Settings { vbuckets: 4, ..Settings::default() };
        let mut cluster = Cluster::new(settings, nodes, now, Duration::from_secs(1_700_000_000));
        cluster.add_bucket("b");
        cluster.add_bucket_of("m", BucketKind::Memcached);
        cluster.set_password("u", "p");
        Self { cluster, now }
    }

    fn connect(&mut self, service: Service) -> ConnId {
        self.cluster.connect(NODE, Listener::plain(service), self.now).unwrap()
    }

    fn send(&mut self, conn: ConnId, path: &str, more: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: node1.sim\r\n{more}\r\n");
        self.cluster.receive(conn, request.as_bytes(), self.now);
    }

    fn take(&mut self, conn: ConnId) -> Vec<u8> {
        let output = self.cluster.output(conn).to_vec();
        self.cluster.written(conn, output.len(), self.now);
        output
    }

    /// One answer of a known length on a connection of its own.
    fn get(&mut self, service: Service, path: &str, more: &str) -> Got {
        let conn = self.connect(service);
        self.send(conn, path, more);
        let output = self.take(conn);
        self.cluster.disconnect(conn);
        let (got, rest) = answer(&output);
        assert!(rest.is_empty());
        got
    }

    fn manager(&mut self, path: &str) -> Got {
        self.get(Service::Mgmt, path, &basic("u", "p"))
    }

    fn ask(&mut self, conn: ConnId, request: Encode<'_>, value: &[u8]) -> (Status, Vec<u8>) {
        let mut bytes = Vec::new();
        request.emit(value, &mut bytes).unwrap();
        self.cluster.receive(conn, &bytes, self.now);
        let output = self.take(conn);
        let (frame, _) = Frame::parse(&output, 1 << 26).unwrap().expect("an answer");
        (Status(frame.header.vbucket_or_status), frame.value.to_vec())
    }

    /// An authenticated connection of the data service.
    fn data(&mut self, node: NodeId, collections: bool) -> ConnId {
        let conn = self.cluster.connect(node, Listener::KV, self.now).unwrap();
        let features: &[u8] = if collections { &[0, 7, 0, 0x12] } else { &[0, 7] };
        assert_eq!(self.ask(conn, Encode::request(Opcode::HELLO, Opaque(0)), features).0, Status::SUCCESS);
        let auth = Encode { key: b"PLAIN", ..Encode::request(Opcode::SASL_AUTH, Opaque(0)) };
        assert_eq!(self.ask(conn, auth, b"\0u\0p").0, Status::SUCCESS);
        conn
    }

    fn select(&mut self, conn: ConnId, bucket: &str) -> Status {
        let select = Encode { key: bucket.as_bytes(), ..Encode::request(Opcode::SELECT_BUCKET, Opaque(0)) };
        self.ask(conn, select, b"").0
    }
}

fn basic(user: &str, password: &str) -> String {
    let credentials = Base64::encode_string(format!("{user}:{password}").as_bytes());
    format!("Authorization: Basic {credentials}\r\n")
}

/// The first answer of some output, and the rest.
fn answer(output: &[u8]) -> (Got, &[u8]) {
    let end = output.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let len =
        head.split("Content-Length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    let body = output[end..end + len].to_vec();
    (Got { status, head, body }, &output[end + len..])
}

/// The data of chunks, and whether the last one came.
fn dechunk(mut output: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while !output.is_empty() {
        let line = output.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let len = usize::from_str_radix(std::str::from_utf8(&output[..line]).unwrap().trim(), 16).unwrap();
        data.extend_from_slice(&output[line..line + len]);
        assert_eq!(&output[line + len..line + len + 2], b"\r\n");
        output = &output[line + len + 2..];
        if len == 0 {
            assert!(output.is_empty());
            return (data, true);
        }
    }
    (data, false)
}

#[test]
fn boot_18_one_shot_maps_are_those_of_the_data_service() {
    let mut bench = Bench::new();
    let got = bench.manager("/pools/default/b/b");
    assert_eq!(got.status, 200);
    assert_eq!(got.body, bench.cluster.bucket_map("b", NODE).unwrap());
    assert!(got.head.contains("\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"), "{}", got.head);
    assert!(got.head.contains("\r\nServer: Couchbase Server\r\n"));
    let global = bench.manager("/pools/default/nodeServices").json();
    assert_eq!((&global["nodesExt"][0]["thisNode"], &global["name"]), (&json!(true), &Value::Null));
    let asked: Vec<_> = bench.cluster.http_requests().collect();
    assert_eq!(asked[1], (NODE, Service::Mgmt, "/pools/default/nodeServices"));
}

#[test]
fn p9_the_placeholder_of_the_host_stays() {
    let mut bench = Bench::new();
    let address = NodeAddress { omit_hostname: true, ..bench.cluster.address(NODE).unwrap().clone() };
    bench.cluster.set_address(NODE, address);
    let map = bench.manager("/pools/default/b/b").json();
    assert_eq!(map["nodes"][0]["hostname"], "$HOST:8091");
}

#[test]
fn boot_18_a_stream_sends_every_change_and_ends_with_the_bucket() {
    let mut bench = Bench::new();
    let conn = bench.connect(Service::Mgmt);
    bench.send(conn, "/pools/default/bs/b", &basic("u", "p"));
    let output = bench.take(conn);
    let (got, chunks) = answer(&output);
    assert_eq!(got.status, 200);
    assert!(got.head.contains("\r\nTransfer-Encoding: chunked\r\n") && !got.head.contains("Length"));
    let mut expected = bench.cluster.bucket_map("b", NODE).unwrap();
    expected.extend_from_slice(b"\n\n\n\n");
    assert_eq!(dechunk(chunks), (expected, false));

    bench.cluster.bump_revision("m");
    assert!(bench.take(conn).is_empty(), "another bucket");
    bench.cluster.set_active("b", 0, OTHER);
    assert_eq!(bench.cluster.poll_touched(), Some(conn));
    let (text, _) = dechunk(&bench.take(conn));
    let map: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(map["rev"], bench.cluster.revision());
    assert_eq!(map["vBucketServerMap"]["vBucketMap"][0][0], 1);

    bench.cluster.drop_bucket("b");
    assert_eq!(dechunk(&bench.take(conn)), (Vec::new(), true));
    assert!(bench.cluster.is_closed(conn));
}

#[test]
fn the_clusters_map_is_streamed_as_well_and_without_chunks_to_http_1_0() {
    let mut bench = Bench::new();
    let conn = bench.connect(Service::Mgmt);
    let request = format!("GET /pools/default/nodeServicesStreaming HTTP/1.0\r\n{}\r\n", basic("u", "p"));
    bench.cluster.receive(conn, request.as_bytes(), bench.now);
    let output = bench.take(conn);
    let (got, first) = answer(&output);
    assert!(got.head.contains("\r\nConnection: close\r\n") && !got.head.contains("chunked"));
    assert!(first.starts_with(b"{") && first.ends_with(b"}\n\n\n\n"));
    bench.cluster.add_node(NodeAddress::new("node3.sim", 11210));
    let next: Value = serde_json::from_slice(&bench.take(conn)).unwrap();
    assert_eq!(next["nodesExt"].as_array().unwrap().len(), 3);
}

#[test]
fn a_stream_of_a_paused_node_catches_up() {
    let mut bench = Bench::new();
    let conn = bench.connect(Service::Mgmt);
    bench.send(conn, "/pools/default/bs/b", &basic("u", "p"));
    bench.take(conn);
    bench.cluster.pause_node(NODE);
    bench.cluster.bump_revision("b");
    bench.cluster.bump_revision("b");
    assert!(bench.take(conn).is_empty());
    bench.cluster.resume_node(NODE, bench.now);
    let map: Value = serde_json::from_slice(&dechunk(&bench.take(conn)).0).unwrap();
    assert_eq!(map["rev"], bench.cluster.revision());
}

#[test]
fn wrong_or_missing_credentials_are_asked_for() {
    let mut bench = Bench::new();
    for more in [
        "",
        &basic("u", "wrong"),
        &basic("x", "p"),
        "Authorization: Basic ***\r\n",
        "Authorization: Bearer t\r\n",
    ] {
        let got = bench.get(Service::Mgmt, "/pools/default/b/b", more);
        assert_eq!(got.status, 401, "{more}");
        assert!(got.head.contains("\r\nWWW-Authenticate: Basic realm="), "{}", got.head);
    }
    assert_eq!(bench.get(Service::Query, "/admin/ping", &basic("u", "wrong")).status, 401);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut bench = Bench::new();
    for path in ["/pools/default/b/x", "/pools/default/bs/x", "/pools/default/buckets/x", "/pools/x", "/x"] {
        let got = bench.manager(path);
        assert_eq!((got.status, got.body.as_slice()), (404, &b"Requested resource not found."[..]), "{path}");
    }
    assert_eq!(bench.get(Service::Query, "/pools", "").status, 404);
    bench.cluster.add_bucket("50% off/x");
    assert_eq!(bench.manager("/pools/default/b/50%25%20off%2Fx").status, 200);
    bench.cluster.drop_bucket("b");
    assert_eq!(bench.manager("/pools/default/b/b").status, 404);
}

#[test]
fn services_answer_their_pings() {
    let mut bench = Bench::new();
    for (service, path, status) in [
        (Service::Query, "/admin/ping", 200),
        (Service::Analytics, "/admin/ping", 200),
        (Service::Search, "/api/ping", 200),
        (Service::Views, "/", 200),
        (Service::Eventing, "/", 200),
        (Service::Mgmt, "/", 301),
        (Service::Mgmt, "/pools", 200),
        (Service::Search, "/admin/ping", 404),
    ] {
        assert_eq!(bench.get(service, path, "").status, status, "{service:?} {path}");
    }
}

#[test]
fn the_pool_and_the_verbose_bucket_tell_the_state_of_nodes() {
    let mut bench = Bench::new();
    let pool = bench.manager("/pools/default").json();
    assert_eq!(pool["rebalanceStatus"], "none");
    let node = &pool["nodes"][0];
    assert_eq!(
        (&node["hostname"], &node["status"], &node["serverGroup"], &node["clusterMembership"]),
        (&json!("node1.sim:8091"), &json!("healthy"), &json!("east"), &json!("active"))
    );
    assert_eq!(node["services"], json!(["kv", "n1ql", "fts", "cbas", "eventing", "backup"]));
    assert!(node["version"].as_str().unwrap().starts_with("7.6"));
    assert_eq!(node["clusterCompatibility"], 7 * 65_536 + 6);

    bench.cluster.set_config_only("b", OTHER, true);
    let bucket = bench.manager("/pools/default/buckets/b").json();
    assert_eq!(
        (&bucket["nodes"][0]["status"], &bucket["nodes"][1]["status"]),
        (&json!("healthy"), &json!("warmup"))
    );
    assert_eq!((bucket.get("rev"), bucket.get("nodesExt")), (None, None), "D4 has no version");
    bench.cluster.kill_node(OTHER);
    let bucket = bench.manager("/pools/default/buckets/b").json();
    assert_eq!(bucket["nodes"][1]["status"], "unhealthy");
    bench.cluster.fail_over(OTHER);
    let rows = bench.cluster.rows("b").unwrap().to_vec();
    bench.cluster.set_forward_map("b", Some(rows));
    let pool = bench.manager("/pools/default").json();
    assert_eq!(
        (&pool["nodes"][1]["clusterMembership"], &pool["rebalanceStatus"]),
        (&json!("inactiveFailed"), &json!("running"))
    );
}

#[test]
fn connections_are_kept_and_requests_may_be_pipelined_or_cut_anywhere() {
    let mut bench = Bench::new();
    let conn = bench.connect(Service::Query);
    let one = "GET /admin/ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let last = "GET /admin/ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for byte in [one, one, last].concat().bytes() {
        bench.cluster.receive(conn, &[byte], bench.now);
    }
    let output = bench.take(conn);
    let (first, rest) = answer(&output);
    let (second, rest) = answer(rest);
    let (third, rest) = answer(rest);
    assert_eq!((first.status, second.status, third.status, rest.len()), (200, 200, 200, 0));
    assert!(third.head.contains("\r\nConnection: close\r\n") && !first.head.contains("Connection"));
    assert!(bench.cluster.is_closed(conn));
}

#[test]
fn what_is_no_request_is_refused() {
    let mut bench = Bench::new();
    for (bytes, status) in [
        (b"\x80\x1f\0\0\r\n\r\n".to_vec(), 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 405),
        (b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 400),
        (vec![b'a'; 70_000], 431),
    ] {
        let conn = bench.connect(Service::Views);
        bench.cluster.receive(conn, &bytes, bench.now);
        let output = bench.take(conn);
        assert_eq!(answer(&output).0.status, status);
        assert_eq!(bench.cluster.is_closed(conn), status != 405 && bytes[5] != b'%');
    }
}

#[test]
fn a_node_can_be_told_to_fail() {
    let mut bench = Bench::new();
    bench.cluster.fail_http(NODE, Some(503));
    assert_eq!(bench.manager("/pools/default/b/b").status, 503);
    bench.cluster.fail_http(NODE, None);
    assert_eq!(bench.manager("/pools/default/b/b").status, 200);
}

#[test]
fn d3_maps_of_memcached_buckets_are_to_be_had_over_http_alone() {
    let mut bench = Bench::new();
    let map = bench.manager("/pools/default/b/m").json();
    assert_eq!((&map["nodeLocator"], &map["bucketType"]), (&json!("ketama"), &json!("memcached")));
    for absent in ["vBucketServerMap", "numVBuckets", "collectionsManifestUid", "storageBackend", "ddocs"] {
        assert_eq!(map.get(absent), None, "{absent}");
    }
    assert_eq!(map["nodes"].as_array().unwrap().len(), 2);

    let conn = bench.data(NODE, false);
    assert_eq!(bench.select(conn, "m"), Status::SUCCESS);
    let config = Encode::request(Opcode::GET_CLUSTER_CONFIG, Opaque(0));
    assert_eq!(bench.ask(conn, config, b"").0, Status::KEY_ENOENT);
    let seqno = Encode { ..Encode::request(Opcode::OBSERVE_SEQNO, Opaque(0)) };
    assert_eq!(bench.ask(conn, seqno, &[0; 8]).0, Status::NOT_SUPPORTED);
}

#[test]
fn memcached_buckets_cannot_do_collections() {
    let mut bench = Bench::new();
    let conn = bench.data(NODE, true);
    assert_eq!(bench.select(conn, "m"), Status::NOT_SUPPORTED);
    assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
    let hello = Encode::request(Opcode::HELLO, Opaque(0));
    assert_eq!(bench.ask(conn, hello, &[0, 7]).0, Status::SUCCESS);
    assert_eq!(bench.select(conn, "m"), Status::SUCCESS);
}

#[test]
fn nodes_of_a_memcached_bucket_keep_what_they_are_sent() {
    let mut bench = Bench::new();
    let keys: Vec<String> = (0..20).map(|i| format!("key-{i}")).collect();
    let owners: Vec<NodeId> =
        keys.iter().map(|key| bench.cluster.active_node("m", key.as_bytes()).unwrap()).collect();
    assert!(owners.contains(&NODE) && owners.contains(&OTHER));
    let conns = [bench.data(NODE, false), bench.data(OTHER, false)];
    for conn in conns {
        assert_eq!(bench.select(conn, "m"), Status::SUCCESS);
    }
    let set = |key: &'static [u8]| Encode { key, extras: &[0; 8], ..Encode::request(Opcode::SET, Opaque(0)) };
    let get = |key: &'static [u8]| Encode { key, ..Encode::request(Opcode::GET, Opaque(0)) };
    for (key, owner) in keys.iter().zip(&owners) {
        let key: &'static [u8] = Box::leak(key.clone().into_bytes().into_boxed_slice());
        assert_eq!(bench.ask(conns[owner.0], set(key), b"1").0, Status::SUCCESS);
        assert_eq!(bench.ask(conns[1 - owner.0], get(key), b"").0, Status::KEY_ENOENT, "not here");
        assert_eq!(bench.ask(conns[owner.0], get(key), b"").0, Status::SUCCESS);
        assert_eq!(bench.cluster.document("m", "_default", "_default", key).as_deref(), Some(&b"1"[..]));
    }
    assert_eq!((bench.cluster.item_count("m"), bench.cluster.misrouted()), (20, 20));
    assert!(bench.cluster.put_document("m", ("_default", "_default"), b"put", b"2", 0));
    assert!(bench.cluster.flush_bucket("m"));
    assert_eq!(bench.cluster.item_count("m"), 0);
    bench.cluster.rebalance();
    bench.cluster.fail_over(OTHER);
    assert!(keys.iter().all(|key| bench.cluster.active_node("m", key.as_bytes()) == Some(NODE)));
}

#[test]
fn s68_a_paused_bucket_closes_its_connections_and_comes_back() {
    for status in [Status::EACCESS, Status::BUCKET_PAUSED] {
        let mut bench = Bench::new();
        let (conn, idle) = (bench.data(NODE, false), bench.data(NODE, false));
        assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
        let uuid = bench.manager("/pools/default/b/b").json()["uuid"].clone();
        assert!(bench.cluster.pause_bucket("b", status));
        assert!(bench.cluster.is_closed(conn) && !bench.cluster.is_closed(idle));
        assert_eq!(bench.select(idle, "b"), status);
        assert_eq!(bench.manager("/pools/default/b/b").json()["hibernationState"], "paused");
        assert!(bench.cluster.resume_bucket("b"));
        assert_eq!(bench.select(idle, "b"), Status::SUCCESS);
        assert_eq!(bench.manager("/pools/default/b/b").json()["uuid"], uuid);
    }
}

#[test]
fn a_restricted_user_has_no_more_than_was_given() {
    let mut bench = Bench::new();
    bench.cluster.set_bucket_access("u", Some(&["m"]));
    bench.cluster.set_cluster_config_access("u", false);
    let conn = bench.data(NODE, false);
    let config = || Encode::request(Opcode::GET_CLUSTER_CONFIG, Opaque(0));
    assert_eq!(bench.ask(conn, config(), b"").0, Status::EACCESS);
    assert_eq!((bench.select(conn, "b"), bench.select(conn, "m")), (Status::EACCESS, Status::SUCCESS));
    let got = bench.manager("/pools/default/b/b");
    assert_eq!(got.status, 403);
    assert_eq!(got.json()["permissions"], json!(["cluster.bucket[b].settings!read"]));
    assert_eq!(bench.manager("/pools/default/b/m").status, 200);
    assert_eq!(bench.manager("/pools/default/nodeServices").status, 403);
    bench.cluster.set_bucket_access("u", None);
    bench.cluster.set_cluster_config_access("u", true);
    assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
    assert_eq!(bench.ask(conn, config(), b"").0, Status::SUCCESS);
}

#[test]
fn ephemeral_buckets_say_so() {
    let mut bench = Bench::new();
    assert!(bench.cluster.add_bucket_of("e", BucketKind::Ephemeral));
    let map = bench.manager("/pools/default/b/e").json();
    assert_eq!((&map["nodeLocator"], &map["bucketType"]), (&json!("vbucket"), &json!("ephemeral")));
    assert!(!map["bucketCapabilities"].as_array().unwrap().contains(&json!("couchapi")));
}

#[test]
fn what_comes_behind_the_request_for_a_stream_is_dropped() {
    let mut bench = Bench::new();
    let conn = bench.connect(Service::Mgmt);
    bench.send(conn, "/pools/default/bs/b", &basic("u", "p"));
    bench.take(conn);
    for _ in 0..10 {
        bench.cluster.receive(conn, &[b'a'; 20_000], bench.now);
    }
    assert!(bench.cluster.wants_input(conn) && bench.take(conn).is_empty());
}

#[test]
fn the_client_of_the_engine_reads_streams_and_places_keys_where_the_cluster_does() {
    let mut bench = Bench::new();
    let login = PasswordAuthenticator::new("u", "p").unwrap();
    let request = Request {
        method: Method::Get,
        host: "node1.sim".into(),
        port: 8091,
        path: format!("/pools/default/bs/{}", path_segment("m")),
        authorization: Authorization::from_authenticator(&Authenticator::Password(login)),
        user_agent: "settee".into(),
    };
    let conn = bench.connect(Service::Mgmt);
    let mut exchange = Exchange::new(&request);
    bench.cluster.receive(conn, exchange.output(), bench.now);
    exchange.consume(exchange.output().len());
    let mut splitter = MessageSplitter::default();
    let mut read = |bench: &mut Bench| {
        exchange.receive(&bench.take(conn)).unwrap();
        while let Some(event) = exchange.poll_event() {
            match event {
                HttpEvent::Head { status, server, .. } => {
                    assert_eq!((status, server.as_deref()), (200, Some("Couchbase Server")));
                }
                HttpEvent::Body(piece) => splitter.push(&piece).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let text = splitter.next().unwrap();
        assert_eq!(splitter.next(), None);
        settee::map::parse(&text, "node1.sim").unwrap()
    };
    let agree = |bench: &Bench, map: &settee::map::ClusterMap| {
        for key in (0..100).map(|i| format!("key-{i}")) {
            let slot = map.ketama.as_ref().unwrap().slot(key.as_bytes()).unwrap();
            assert_eq!(bench.cluster.active_node("m", key.as_bytes()), Some(NodeId(slot)), "{key}");
        }
    };
    let map = read(&mut bench);
    agree(&bench, &map);
    bench.cluster.add_node(NodeAddress::new("node3.sim", 11210));
    let newer = read(&mut bench);
    assert!(newer.rev > map.rev);
    agree(&bench, &newer);
}

/// The answer to a request over TLS.
fn get_over_tls(bench: &mut Bench, identity: Option<&(String, String)>, more: &str) -> Got {
    let wall = bench.cluster.unix();
    let config = client_config(&bench.cluster.ca_pem(), identity, wall);
    let mut tls = rustls::ClientConnection::new(config, "node1.sim".try_into().unwrap()).unwrap();
    let conn = bench.cluster.connect(NODE, Listener::MGMT_TLS, bench.now).unwrap();
    let request = format!("GET /pools/default/b/b HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    tls.writer().write_all(request.as_bytes()).unwrap();
    let mut plain = Vec::new();
    loop {
        let mut up = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut up).unwrap();
        }
        bench.cluster.receive(conn, &up, bench.now);
        let down = bench.take(conn);
        let mut rest = &down[..];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            let ready = tls.process_new_packets().unwrap().plaintext_bytes_to_read();
            let start = plain.len();
            plain.resize(start + ready, 0);
            tls.reader().read_exact(&mut plain[start..]).unwrap();
        }
        if up.is_empty() && down.is_empty() {
            return answer(&plain).0;
        }
    }
}

#[test]
fn tokens_and_certificates_count_over_tls() {
    let mut bench = Bench::new();
    let until = bench.cluster.unix() + Duration::from_secs(60);
    bench.cluster.set_token("t", "u", Some(until));
    let bearer = "Authorization: Bearer t\r\n";
    assert_eq!(get_over_tls(&mut bench, None, bearer).status, 200);
    assert_eq!(get_over_tls(&mut bench, None, "Authorization: Bearer x\r\n").status, 401);
    assert_eq!(get_over_tls(&mut bench, None, &basic("u", "p")).status, 200);
    assert_eq!(get_over_tls(&mut bench, None, "").status, 401);
    assert_eq!(bench.get(Service::Mgmt, "/pools/default/b/b", bearer).status, 401, "in the clear");

    bench.cluster.set_client_certificates(ClientCertificates::Enable);
    let identity = bench.cluster.client_certificate("u");
    assert_eq!(get_over_tls(&mut bench, Some(&identity), "").status, 200);
    bench.now += Duration::from_secs(61);
    assert_eq!(get_over_tls(&mut bench, None, bearer).status, 401, "out of date");
}
