//! Whole conversations in virtual time.

use super::*;
use crate::{Action, Edit, Features, Mechanism, Posture, Rule};
use settee::ids::{Cas, Opaque};
use settee::wire::{Encode, Frame, Magic, Opcode, Status};

const NODE: NodeId = NodeId(0);
const OTHER: NodeId = NodeId(1);

/// A frame from the server, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    magic: Magic,
    opcode: Opcode,
    status: Status,
    opaque: u32,
    cas: u64,
    datatype: u8,
    framing: Vec<u8>,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

struct Bench {
    cluster: Cluster,
    now: Instant,
}

impl Bench {
    /// Two nodes, four vbuckets (0 and 1 on the first node), bucket `b`, user `u` with password `p`.
    fn new() -> Self {
        let now = Instant::now();
        let nodes = vec![NodeAddress::new("node1.sim", 11210), NodeAddress::new("node2.sim", 11210)];
        let settings = Settings { vbuckets: 4, scram_iterations: 10, ..Settings::default() };
        let mut cluster = Cluster::new(settings, nodes, now, Duration::from_secs(1_700_000_000));
        cluster.add_bucket("b");
        cluster.set_password("u", "p");
        Self { cluster, now }
    }

    fn send(&mut self, conn: ConnId, request: Encode<'_>, value: &[u8]) {
        let mut bytes = Vec::new();
        request.emit(value, &mut bytes).unwrap();
        self.cluster.receive(conn, &bytes, self.now);
    }

    fn take(&mut self, conn: ConnId) -> Vec<Got> {
        let output = self.cluster.output(conn).to_vec();
        self.cluster.written(conn, output.len(), self.now);
        let (mut rest, mut got) = (&output[..], Vec::new());
        while let Some((frame, used)) = Frame::parse(rest, 1 << 26).unwrap() {
            rest = &rest[used..];
            got.push(Got {
                magic: frame.header.magic,
                opcode: frame.header.opcode,
                status: Status(frame.header.vbucket_or_status),
                opaque: frame.header.opaque.0,
                cas: frame.header.cas.0,
                datatype: frame.header.datatype,
                framing: frame.framing_extras.to_vec(),
                extras: frame.extras.to_vec(),
                key: frame.key.to_vec(),
                value: frame.value.to_vec(),
            });
        }
        assert!(rest.is_empty(), "half a frame: {rest:02x?}");
        got
    }

    fn ask(&mut self, conn: ConnId, request: Encode<'_>, value: &[u8]) -> Got {
        self.send(conn, request, value);
        let mut got = self.take(conn);
        assert_eq!(got.len(), 1, "one answer expected: {got:?}");
        got.remove(0)
    }

    fn hello(&mut self, conn: ConnId, features: &[u16]) -> Got {
        let value: Vec<u8> = features.iter().flat_map(|code| code.to_be_bytes()).collect();
        self.ask(conn, simple(Opcode::HELLO), &value)
    }

    fn authenticate(&mut self, conn: ConnId) {
        let auth = Encode { key: b"PLAIN", ..simple(Opcode::SASL_AUTH) };
        assert_eq!(self.ask(conn, auth, b"\0u\0p").status, Status::SUCCESS);
    }

    fn select(&mut self, conn: ConnId, bucket: &str) -> Status {
        self.ask(conn, Encode { key: bucket.as_bytes(), ..simple(Opcode::SELECT_BUCKET) }, b"").status
    }

    /// A connection with these features, authenticated, on bucket `b`.
    fn ready(&mut self, node: NodeId, features: &[u16]) -> ConnId {
        let conn = self.cluster.connect(node, Listener::KV, self.now).unwrap();
        assert_eq!(self.hello(conn, features).status, Status::SUCCESS);
        self.authenticate(conn);
        assert_eq!(self.select(conn, "b"), Status::SUCCESS);
        conn
    }

    fn set(&mut self, conn: ConnId, vbucket: u16, key: &[u8], value: &[u8]) -> Got {
        self.ask(conn, Encode { extras: &[0; 8], ..on(Opcode::SET, vbucket, key) }, value)
    }

    fn pushes(&mut self, conn: ConnId) -> Vec<(Vec<u8>, i64, bool)> {
        let mut pushes = Vec::new();
        for got in self.take(conn) {
            assert_eq!((got.magic, got.opcode), (Magic::ServerRequest, Opcode(1)), "{got:?}");
            let rev = i64::from_be_bytes(got.extras[8..].try_into().unwrap());
            pushes.push((got.key, rev, !got.value.is_empty()));
        }
        pushes
    }
}

fn simple(opcode: Opcode) -> Encode<'static> {
    Encode::request(opcode, Opaque(9))
}

fn on<'a>(opcode: Opcode, vbucket: u16, key: &'a [u8]) -> Encode<'a> {
    Encode { vbucket_or_status: vbucket, key, ..simple(opcode) }
}

const BASIC: &[u16] = &[Features::XERROR, Features::JSON];
const DEDUPE: &[u16] = &[Features::XERROR, Features::JSON, Features::DEDUPE_NOT_MY_VBUCKET];
const BRIEF: &[u16] = &[
    Features::XERROR,
    Features::DUPLEX,
    Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF,
    Features::DEDUPE_NOT_MY_VBUCKET,
];

#[test]
fn boot_4_a_pipelined_batch_is_answered_in_order() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    let mut bytes = Vec::new();
    simple(Opcode::HELLO).emit(&[0, 7, 0, 0x0b], &mut bytes).unwrap();
    simple(Opcode::GET_ERROR_MAP).emit(&[0, 2], &mut bytes).unwrap();
    simple(Opcode::SASL_LIST_MECHS).emit(b"", &mut bytes).unwrap();
    Encode { key: b"PLAIN", ..simple(Opcode::SASL_AUTH) }.emit(b"\0u\0p", &mut bytes).unwrap();
    Encode { key: b"b", ..simple(Opcode::SELECT_BUCKET) }.emit(b"", &mut bytes).unwrap();
    simple(Opcode::GET_CLUSTER_CONFIG).emit(b"", &mut bytes).unwrap();
    // Any slicing gives the same (FR-4): byte by byte here.
    for byte in &bytes {
        bench.cluster.receive(conn, &[*byte], bench.now);
    }
    let got = bench.take(conn);
    assert!(got.iter().all(|got| got.status == Status::SUCCESS));
    let opcodes: Vec<_> = got.iter().map(|got| got.opcode).collect();
    assert_eq!(
        opcodes,
        [
            Opcode::HELLO,
            Opcode::GET_ERROR_MAP,
            Opcode::SASL_LIST_MECHS,
            Opcode::SASL_AUTH,
            Opcode::SELECT_BUCKET,
            Opcode::GET_CLUSTER_CONFIG
        ]
    );
    assert_eq!(got[2].value, b"SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN");
    assert_eq!((got[5].value[0], got[5].datatype), (b'{', 1));
}

#[test]
fn hello_replaces_earlier_grants() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, &[Features::XERROR, Features::MUTATION_SEQNO]);
    assert_eq!(bench.set(conn, 0, b"k", b"v").extras.len(), 16);
    assert_eq!(bench.hello(conn, &[0x03, 0x99]).value, [0, 3], "ascending, unknown codes left out");
    assert_eq!(bench.set(conn, 0, b"k", b"v").extras.len(), 0);
    assert_eq!(bench.hello(conn, &[Features::VATTR]).status, Status::EINVAL);
}

#[test]
fn nothing_but_bootstrap_works_before_authentication() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    bench.hello(conn, BASIC);
    assert_eq!(bench.select(conn, "b"), Status::EACCESS);
    assert_eq!(bench.ask(conn, on(Opcode::GET, 0, b"k"), b"").status, Status::EACCESS);
    assert_eq!(bench.ask(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"").status, Status::EACCESS);
    assert_eq!(bench.ask(conn, simple(Opcode::NOOP), b"").status, Status::SUCCESS);
    bench.authenticate(conn);
    assert_eq!(bench.select(conn, "other"), Status::EACCESS, "an unknown bucket says no more than that");
    assert_eq!(bench.ask(conn, on(Opcode::GET, 0, b"k"), b"").status, Status::NO_BUCKET);
}

#[test]
fn st_6_without_xerror_what_cannot_be_said_closes() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    bench.send(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"");
    assert!(bench.cluster.is_closed(conn));
    let conn = bench.ready(NODE, &[]);
    bench.set(conn, 0, b"k", b"v");
    assert_eq!(bench.ask(conn, on(Opcode::GET_LOCKED, 0, b"k"), b"").status, Status::SUCCESS);
    assert_eq!(bench.ask(conn, on(Opcode::GET_LOCKED, 0, b"k"), b"").status, Status::ETMPFAIL);
    assert_eq!(bench.set(conn, 0, b"k", b"v").status, Status::KEY_EEXISTS);
}

#[test]
fn sa_3_a_mechanism_not_offered_is_an_authentication_error() {
    let mut bench = Bench::new();
    bench.cluster.set_mechanisms(&[Mechanism::ScramSha1]);
    let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    bench.hello(conn, BASIC);
    let plain = Encode { key: b"PLAIN", ..simple(Opcode::SASL_AUTH) };
    assert_eq!(bench.ask(conn, plain, b"\0u\0p").status, Status::AUTH_ERROR);
    let scram = Encode { key: b"SCRAM-SHA1", ..simple(Opcode::SASL_AUTH) };
    assert_eq!(bench.ask(conn, scram, b"n,,n=u,r=x").status, Status::AUTH_CONTINUE);
    // SA-5: a new exchange where a step is due.
    assert_eq!(bench.ask(conn, scram, b"n,,n=u,r=x").status, Status::EINVAL);
    let step = Encode { key: b"SCRAM-SHA1", ..simple(Opcode::SASL_STEP) };
    assert_eq!(bench.ask(conn, step, b"c=biws").status, Status::EINVAL, "no exchange is left");
}

#[test]
fn frame_limits_close_the_connection() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    bench.send(conn, simple(Opcode::SASL_AUTH), &[0; 16 * 1024]);
    assert!(bench.cluster.is_closed(conn), "16 KiB before authentication");
    let conn = bench.ready(NODE, BASIC);
    let mut header = Vec::new();
    simple(Opcode::SET).emit_head(31 << 20, &mut header).unwrap();
    bench.cluster.receive(conn, &header, bench.now);
    assert!(bench.cluster.is_closed(conn), "30 MiB after it");
    let conn = bench.ready(NODE, BASIC);
    bench.cluster.receive(conn, &[0x81; 24], bench.now);
    assert!(bench.cluster.is_closed(conn), "a client sends no answers");
}

#[test]
fn values_above_20_mib_are_too_big() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    assert_eq!(bench.set(conn, 0, b"k", &vec![0; 20 << 20]).status, Status::SUCCESS);
    assert_eq!(bench.set(conn, 0, b"k", &vec![0; (20 << 20) + 1]).status, Status::E2BIG);
    assert_eq!(bench.ask(conn, on(Opcode::APPEND, 0, b"k"), b"x").status, Status::E2BIG);
}

#[test]
fn op_3_op_5_validators() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    let get = on(Opcode::GET, 0, b"k");
    assert_eq!(bench.ask(conn, Encode { cas: Cas(1), ..get }, b"").status, Status::EINVAL);
    assert_eq!(bench.ask(conn, Encode { extras: &[0], ..get }, b"").status, Status::EINVAL);
    assert_eq!(bench.ask(conn, get, b"value").status, Status::EINVAL);
    assert_eq!(bench.ask(conn, on(Opcode::UNLOCK_KEY, 0, b"k"), b"").status, Status::EINVAL);
    let set = Encode { extras: &[0; 8], ..on(Opcode::SET, 0, b"k") };
    assert_eq!(
        bench.ask(conn, Encode { datatype: 2, ..set }, b"v").status,
        Status::EINVAL,
        "no snappy granted"
    );
    assert_eq!(bench.ask(conn, Encode { datatype: 4, ..set }, b"v").status, Status::EINVAL);
    assert_eq!(bench.ask(conn, Encode { datatype: 1, ..set }, b"v").status, Status::SUCCESS);
    assert_eq!(bench.ask(conn, Encode { extras: &[0; 4], ..set }, b"v").status, Status::EINVAL);
    assert_eq!(bench.ask(conn, on(Opcode(0xee), 0, b""), b"").status, Status::UNKNOWN_COMMAND);
}

#[test]
fn datatypes_follow_what_each_connection_negotiated() {
    let mut bench = Bench::new();
    let snappy = bench.ready(NODE, &[Features::XERROR, Features::JSON, Features::SNAPPY]);
    let plain = bench.ready(NODE, &[Features::XERROR]);
    let body = format!("{{\"pad\":\"{}\"}}", "x".repeat(500));
    let block = snap::raw::Encoder::new().compress_vec(body.as_bytes()).unwrap();
    let set = Encode { extras: &[0; 8], datatype: 2, ..on(Opcode::SET, 0, b"k") };
    assert_eq!(bench.ask(snappy, set, &block).status, Status::SUCCESS);
    let got = bench.ask(snappy, on(Opcode::GET, 0, b"k"), b"");
    assert_eq!((got.datatype, &got.value), (3, &block));
    let got = bench.ask(plain, on(Opcode::GET, 0, b"k"), b"");
    assert_eq!((got.datatype, &got.value[..]), (0, body.as_bytes()));
    assert_eq!(bench.ask(snappy, set, b"\xff\xff\xff\xff\x0f").status, Status::EINVAL);
}

#[test]
fn not_my_vbucket_carries_the_map_once_per_version() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, DEDUPE);
    let get = on(Opcode::GET, 3, b"k");
    let first = bench.ask(conn, get, b"");
    assert_eq!(first.status, Status::NOT_MY_VBUCKET);
    let map: serde_json::Value = serde_json::from_slice(&first.value).unwrap();
    assert_eq!(map["name"], "b");
    assert!(bench.ask(conn, get, b"").value.is_empty(), "given already");
    assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
    assert!(!bench.ask(conn, get, b"").value.is_empty(), "SELECT_BUCKET forgets");
    bench.cluster.bump_revision("b");
    assert!(!bench.ask(conn, get, b"").value.is_empty(), "a newer version");
    assert_eq!(bench.ask(conn, on(Opcode::GET, 99, b"k"), b"").status, Status::NOT_MY_VBUCKET);
    let plain = bench.ready(NODE, BASIC);
    assert!((0..2).all(|_| !bench.ask(plain, get, b"").value.is_empty()), "without dedupe: always");
}

#[test]
fn a_config_answer_counts_as_delivered_even_if_empty() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, DEDUPE);
    let version = |epoch: i64, rev: i64| {
        let mut extras = epoch.to_be_bytes().to_vec();
        extras.extend_from_slice(&rev.to_be_bytes());
        extras
    };
    let known = version(1, 1000);
    let ask = Encode { extras: &known, ..simple(Opcode::GET_CLUSTER_CONFIG) };
    let got = bench.ask(conn, ask, b"");
    assert_eq!((got.status, got.value.len()), (Status::SUCCESS, 0));
    bench.cluster.bump_revision("b");
    assert!(
        bench.ask(conn, on(Opcode::GET, 3, b"k"), b"").value.is_empty(),
        "the client claimed to know 1000"
    );
    let old = version(1, 1);
    let ask = Encode { extras: &old, ..simple(Opcode::GET_CLUSTER_CONFIG) };
    assert!(!bench.ask(conn, ask, b"").value.is_empty());
    let bad = version(1, 0);
    let ask = Encode { extras: &bad, ..simple(Opcode::GET_CLUSTER_CONFIG) };
    assert_eq!(bench.ask(conn, ask, b"").status, Status::EINVAL);
}

#[test]
fn brief_push_tells_the_version_and_counts_as_delivered() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BRIEF);
    let deaf = bench.ready(NODE, BASIC);
    bench.cluster.move_vbuckets("b", [0], OTHER);
    let rev = bench.cluster.revision();
    assert_eq!(bench.cluster.poll_touched(), Some(conn));
    assert_eq!(bench.pushes(conn), [(b"b".to_vec(), rev, false)]);
    assert!(bench.take(deaf).is_empty());
    let got = bench.ask(conn, on(Opcode::GET, 0, b"k"), b"");
    assert_eq!(
        (got.status, got.value.len()),
        (Status::NOT_MY_VBUCKET, 0),
        "brief delivers no map, yet counts"
    );
}

#[test]
fn full_push_carries_the_map_and_node_changes_are_pushed_globally_too() {
    let mut bench = Bench::new();
    let full = [
        Features::XERROR,
        Features::DUPLEX,
        Features::CLUSTERMAP_CHANGE_NOTIFICATION,
        Features::SNAPPY_EVERYWHERE,
    ];
    let conn = bench.ready(NODE, &full);
    bench.cluster.bump_revision("b");
    let got = bench.take(conn);
    assert_eq!(got[0].datatype, 2);
    let json = snap::raw::Decoder::new().decompress_vec(&got[0].value).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap()["rev"], bench.cluster.revision());
    bench.cluster.add_node(NodeAddress::new("node3.sim", 11210));
    let rev = bench.cluster.revision();
    assert_eq!(bench.pushes(conn), [(b"b".to_vec(), rev, true), (b"".to_vec(), rev, true)]);
}

#[test]
fn the_global_map_has_nodes_and_no_bucket() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(OTHER, Listener::KV, bench.now).unwrap();
    bench.hello(conn, BASIC);
    bench.authenticate(conn);
    let got = bench.ask(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"");
    let map: serde_json::Value = serde_json::from_slice(&got.value).unwrap();
    assert_eq!((map.get("name"), map.get("vBucketServerMap")), (None, None));
    assert_eq!(map["nodesExt"][1]["thisNode"], true);
}

#[test]
fn collections_are_resolved_used_and_missed() {
    let mut bench = Bench::new();
    let id = bench.cluster.add_collection("b", "s", "c").unwrap();
    let conn = bench.ready(NODE, &[Features::XERROR, Features::JSON, Features::COLLECTIONS]);
    let got = bench.ask(conn, simple(Opcode::COLLECTIONS_GET_ID), b"s.c");
    assert_eq!(got.extras, [&1_u64.to_be_bytes()[..], &id.to_be_bytes()[..]].concat());
    let prefix = [u8::try_from(id).unwrap()];
    let keyed = |opcode| Encode { key_prefix: &prefix, ..on(opcode, 0, b"k") };
    assert_eq!(
        bench.ask(conn, Encode { extras: &[0; 8], ..keyed(Opcode::SET) }, b"v").status,
        Status::SUCCESS
    );
    assert_eq!(bench.ask(conn, keyed(Opcode::GET), b"").value, b"v");
    assert_eq!(
        bench.ask(conn, Encode { key_prefix: &[0], ..keyed(Opcode::GET) }, b"").status,
        Status::KEY_ENOENT
    );
    bench.cluster.drop_collection("b", "s", "c");
    let got = bench.ask(conn, keyed(Opcode::GET), b"");
    assert_eq!((got.status, got.datatype), (Status::UNKNOWN_COLLECTION, 1));
    let body: serde_json::Value = serde_json::from_slice(&got.value).unwrap();
    assert_eq!(body["manifest_uid"], "2");
    assert_eq!(
        bench.ask(conn, simple(Opcode::COLLECTIONS_GET_ID), b"s.c").status,
        Status::UNKNOWN_COLLECTION
    );
    assert_eq!(bench.ask(conn, simple(Opcode::COLLECTIONS_GET_SCOPE_ID), b"t").status, Status::UNKNOWN_SCOPE);
    let manifest = bench.ask(conn, simple(Opcode::COLLECTIONS_GET_MANIFEST), b"").value;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&manifest).unwrap()["uid"], "2");
}

#[test]
fn connections_without_collections_see_the_default_collection() {
    let mut bench = Bench::new();
    let old = bench.ready(NODE, BASIC);
    let new = bench.ready(NODE, &[Features::XERROR, Features::COLLECTIONS]);
    bench.set(old, 0, b"k", b"v");
    let get = Encode { key_prefix: &[0], ..on(Opcode::GET, 0, b"k") };
    assert_eq!(bench.ask(new, get, b"").value, b"v");
}

#[test]
fn replicas_answer_get_replica_only() {
    let mut bench = Bench::new();
    let active = bench.ready(NODE, BASIC);
    let replica = bench.ready(OTHER, BASIC);
    bench.set(active, 0, b"k", b"v");
    assert_eq!(bench.ask(replica, on(Opcode::GET_REPLICA, 0, b"k"), b"").value, b"v");
    assert_eq!(bench.ask(replica, on(Opcode::GET, 0, b"k"), b"").status, Status::NOT_MY_VBUCKET);
    let wrong = bench.ask(active, on(Opcode::GET_REPLICA, 0, b"k"), b"");
    assert_eq!(wrong.status, Status::NOT_MY_VBUCKET, "MI-14");
}

#[test]
fn mi_10_durability_needs_a_majority() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, &[Features::XERROR, Features::ALT_REQUEST]);
    let set = Encode { extras: &[0; 8], ..on(Opcode::SET, 0, b"k") };
    let durable = set.with_framing_extras(&[0x11, 0x01]);
    assert_eq!(bench.ask(conn, durable, b"v").status, Status::SUCCESS);
    bench.cluster.kill_node(OTHER);
    assert_eq!(bench.ask(conn, durable, b"v").status, Status::DURABILITY_IMPOSSIBLE);
    assert_eq!(bench.ask(conn, set, b"v").status, Status::SUCCESS);
    let level = set.with_framing_extras(&[0x11, 0x09]);
    assert_eq!(bench.ask(conn, level, b"v").status, Status::DURABILITY_INVALID_LEVEL);
}

#[test]
fn failover_promotes_and_branches_history() {
    let mut bench = Bench::new();
    let first = bench.ready(NODE, &[Features::XERROR, Features::MUTATION_SEQNO]);
    let token = bench.set(first, 0, b"k", b"v").extras;
    bench.cluster.kill_node(NODE);
    bench.cluster.fail_over(NODE);
    assert!(bench.cluster.is_closed(first));
    assert!(bench.cluster.connect(NODE, Listener::KV, bench.now).is_none());
    let second = bench.ready(OTHER, &[Features::XERROR, Features::MUTATION_SEQNO]);
    assert_eq!(bench.ask(second, on(Opcode::GET, 0, b"k"), b"").value, b"v");
    let observe = on(Opcode::OBSERVE_SEQNO, 0, b"");
    let got = bench.ask(second, observe, &token[..8]);
    assert_eq!((got.value.len(), got.value[0]), (43, 1), "the old branch (OP-15)");
    assert_eq!(got.value[27..35], token[..8]);
    assert_eq!(bench.ask(second, observe, &[0xee; 8]).status, Status::KEY_ENOENT);
    let rows = bench.cluster.rows("b").unwrap();
    assert!(rows.iter().all(|row| row == &[Some(OTHER), None]));
}

#[test]
fn dropped_buckets_leave_their_connections_without() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    assert!(bench.cluster.drop_bucket("b"));
    assert_eq!(bench.ask(conn, on(Opcode::GET, 0, b"k"), b"").status, Status::NO_BUCKET);
    assert!(bench.cluster.add_bucket("b"));
    assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
    assert_eq!(bench.ask(conn, on(Opcode::GET, 0, b"k"), b"").status, Status::KEY_ENOENT);
}

#[test]
fn config_only_and_absent_buckets() {
    let mut bench = Bench::new();
    bench.cluster.set_absent("b", OTHER, true);
    let conn = bench.cluster.connect(OTHER, Listener::KV, bench.now).unwrap();
    bench.hello(conn, BASIC);
    bench.authenticate(conn);
    assert_eq!(bench.select(conn, "b"), Status::KEY_ENOENT);
    bench.cluster.set_absent("b", OTHER, false);
    bench.cluster.set_config_only("b", OTHER, true);
    assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
    assert_eq!(bench.ask(conn, simple(Opcode::NOOP), b"").status, Status::ECONFIG_ONLY);
    assert_eq!(bench.ask(conn, on(Opcode::GET, 3, b"k"), b"").status, Status::ECONFIG_ONLY);
    assert!(!bench.ask(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"").value.is_empty());
}

#[test]
fn stat_ends_with_an_empty_frame() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    bench.send(conn, simple(Opcode::STAT), b"");
    let got = bench.take(conn);
    let (last, entries) = got.split_last().unwrap();
    assert!(last.key.is_empty() && last.value.is_empty());
    assert!(entries.len() > 3 && entries.iter().all(|entry| !entry.key.is_empty()));
}

#[test]
fn meta_random_key_and_counters_in_their_wire_forms() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, &[Features::XERROR, Features::COLLECTIONS]);
    let keyed = |opcode| Encode { key_prefix: &[0], ..on(opcode, 0, b"hits") };
    let mut extras = [0; 20];
    extras[7] = 5;
    extras[15] = 40;
    let incr = Encode { extras: &extras, ..keyed(Opcode::INCREMENT) };
    assert_eq!(bench.ask(conn, incr, b"").value, 40_u64.to_be_bytes());
    assert_eq!(bench.ask(conn, incr, b"").value, 45_u64.to_be_bytes());
    let meta = bench.ask(conn, Encode { extras: &[2], ..keyed(Opcode::GET_META) }, b"").extras;
    assert_eq!((meta.len(), meta[3], meta[19]), (21, 0, 2), "version 2, alive, second mutation");
    let random = bench.ask(conn, simple(Opcode::GET_RANDOM_KEY), b"");
    assert_eq!((&random.key[..], &random.value[..]), (&b"\0hits"[..], &b"45"[..]));
    assert_eq!(bench.ask(conn, keyed(Opcode::DELETE), b"").status, Status::SUCCESS);
    assert_eq!(bench.ask(conn, keyed(Opcode::GET_META), b"").extras[..4], [0, 0, 0, 1]);
}

#[test]
fn tracing_puts_the_server_duration_into_flexible_frames() {
    let mut bench = Bench::new();
    let plain = bench.ready(NODE, BASIC);
    assert_eq!(bench.ask(plain, simple(Opcode::NOOP), b"").magic, Magic::Response);
    let traced = bench.ready(NODE, &[Features::XERROR, Features::TRACING]);
    let got = bench.ask(traced, simple(Opcode::NOOP), b"");
    assert_eq!((got.magic, got.framing.len(), got.framing[0]), (Magic::AltResponse, 3, 0x02));
}

#[test]
fn misrouted_keys_are_counted() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    let right = bench.cluster.vbucket("b", b"k").unwrap();
    let node = bench.cluster.active_node("b", b"k").unwrap();
    let other = bench.ready(node, BASIC);
    bench.ask(other, on(Opcode::GET, right, b"k"), b"");
    assert_eq!(bench.cluster.misrouted(), 0);
    let wrong = u16::from(right == 0);
    bench.ask(conn, on(Opcode::GET, wrong, b"k"), b"");
    assert_eq!(bench.cluster.misrouted(), 1);
}

#[test]
fn rules_change_answers() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    let noop = simple(Opcode::NOOP);
    let mut with = |action: Action| {
        bench.cluster.clear_rules();
        bench.cluster.add_rule(NODE, Rule::new(Opcode::NOOP, action).times(1));
        bench.send(conn, noop, b"");
        bench.cluster.output(conn).to_vec()
    };
    assert!(with(Action::DropAnswer).is_empty());
    assert!(with(Action::Ignore).is_empty());
    assert_eq!(with(Action::Raw(b"raw".to_vec())), b"raw");
    bench.cluster.written(conn, 3, bench.now);
    bench.cluster.add_rule(NODE, Rule::new(Opcode::NOOP, Action::Twice).times(1));
    bench.send(conn, noop, b"");
    assert_eq!(bench.take(conn).len(), 2);
    bench.cluster.add_rule(NODE, Rule::new(Opcode::NOOP, Action::Status(Status::ETMPFAIL)).times(1));
    assert_eq!(bench.ask(conn, noop, b"").status, Status::ETMPFAIL);
    let edit = Edit {
        key: Some(b"surprise".to_vec()),
        opaque: Some(77),
        value_suffix: b" ".to_vec(),
        ..Edit::default()
    };
    bench.cluster.add_rule(NODE, Rule::new(Opcode::NOOP, Action::Edit(Box::new(edit))).times(1));
    let got = bench.ask(conn, noop, b"");
    assert_eq!((&got.key[..], got.opaque, &got.value[..]), (&b"surprise"[..], 77, &b" "[..]));
    bench.cluster.add_rule(NODE, Rule::new(Opcode::NOOP, Action::CloseWithoutAnswer));
    bench.send(conn, noop, b"");
    assert!(bench.cluster.is_closed(conn));
}

#[test]
fn fr_15_a_delayed_answer_holds_up_what_may_not_pass_it() {
    let delay = Duration::from_secs(1);
    let get = |opaque| Encode { opaque: Opaque(opaque), ..on(Opcode::GET, 0, b"k") };
    for (features, order) in
        [(BASIC, [1, 2, 9, 3]), (&[Features::XERROR, Features::UNORDERED_EXECUTION][..], [2, 1, 9, 3])]
    {
        let mut bench = Bench::new();
        let conn = bench.ready(NODE, features);
        bench.cluster.add_rule(NODE, Rule::new(Opcode::GET, Action::Delay(delay)).times(1));
        bench.send(conn, get(1), b"");
        bench.send(conn, get(2), b"");
        bench.send(conn, simple(Opcode::NOOP), b"");
        bench.send(conn, get(3), b"");
        let mut got = bench.take(conn);
        assert_eq!(got.len(), usize::from(order[0] == 2), "the barrier and what is behind it wait");
        let due = bench.cluster.next_timeout().unwrap();
        assert_eq!(due, bench.now + delay);
        bench.now = due;
        bench.cluster.handle_timeout(due);
        got.extend(bench.take(conn));
        let opaques: Vec<u32> = got.iter().map(|got| got.opaque).collect();
        assert_eq!(opaques, order);
        assert_eq!(bench.cluster.next_timeout(), None);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut bench = Bench::new();
        let conn = bench.ready(NODE, &[Features::XERROR, Features::MUTATION_SEQNO]);
        let scram = Encode { key: b"SCRAM-SHA1", ..simple(Opcode::SASL_AUTH) };
        let mut got = vec![bench.set(conn, 0, b"k", b"v")];
        got.push(bench.ask(conn, scram, b"n,,n=u,r=x"));
        (got, bench.cluster.bucket_map("b", NODE))
    };
    assert_eq!(run(), run());
}

#[test]
fn past_connections_are_ignored() {
    let mut bench = Bench::new();
    let conn = bench.ready(NODE, BASIC);
    bench.cluster.disconnect(conn);
    let next = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    assert_ne!(conn, next);
    bench.send(conn, simple(Opcode::NOOP), b"");
    assert!(bench.cluster.output(next).is_empty() && bench.cluster.is_closed(conn));
}

#[test]
fn random_bytes_do_no_harm() {
    let mut rng = Seeded::new(7);
    for round in 0..300 {
        let mut bench = Bench::new();
        let conn = bench.ready(NODE, &Features::SUPPORTED.codes().collect::<Vec<_>>());
        let mut bytes: Vec<u8> = (0..200).map(|_| rng.next().to_le_bytes()[0]).collect();
        // Small plausible headers, so that bodies are reached.
        for at in (0..200).step_by(40) {
            bytes[at] = if round % 2 == 0 { 0x80 } else { 0x08 };
            let lengths = [0, bytes[at + 3] % 8, bytes[at + 4] % 9, 0];
            bytes[at + 2..at + 6].copy_from_slice(&lengths);
            bytes[at + 6..at + 12].copy_from_slice(&[0, 0, 0, 0, 0, 16]);
        }
        bench.cluster.receive(conn, &bytes, bench.now);
    }
}

#[test]
fn s07_before_6_5_there_is_no_map_without_a_bucket() {
    for (posture, status) in [
        (Posture::V5_0, Status::NO_BUCKET),
        (Posture::V6_0, Status::NO_BUCKET),
        (Posture::V6_6, Status::SUCCESS),
    ] {
        let mut bench = Bench::new();
        bench.cluster.pose(posture);
        let conn = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
        bench.hello(conn, &[Features::XERROR]);
        bench.authenticate(conn);
        assert_eq!(bench.ask(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"").status, status, "{posture:?}");
        assert_eq!(bench.select(conn, "b"), Status::SUCCESS);
        assert_eq!(bench.ask(conn, simple(Opcode::GET_CLUSTER_CONFIG), b"").status, Status::SUCCESS);
    }
}

#[test]
fn old_releases_lack_what_came_later() {
    let mut bench = Bench::new();
    bench.cluster.pose(Posture::V6_0);
    let conn = bench.ready(NODE, &[Features::XERROR, Features::COLLECTIONS, Features::DUPLEX, 0x0d]);
    let known = Encode { extras: &[0; 16], ..simple(Opcode::GET_CLUSTER_CONFIG) };
    assert_eq!(bench.ask(conn, known, b"").status, Status::EINVAL, "no known versions");
    assert_eq!(
        bench.ask(conn, simple(Opcode::COLLECTIONS_GET_MANIFEST), b"").status,
        Status::UNKNOWN_COMMAND
    );
    let map = bench.ask(conn, simple(Opcode::GET_ERROR_MAP), &[0, 2]);
    assert!(map.value.starts_with(b"{") && String::from_utf8_lossy(&map.value).contains("\"version\":1"));
    bench.cluster.bump_revision("b");
    let push = bench.take(conn).remove(0);
    let rev = u32::from_be_bytes(push.extras.try_into().expect("the revision alone"));
    assert_eq!(i64::from(rev), bench.cluster.revision());
    assert!(!push.value.is_empty(), "pushes are full");
    let durable = Encode {
        magic: Magic::AltRequest,
        framing_extras: &[0x11, 1],
        extras: &[0; 8],
        ..on(Opcode::SET, 0, b"k")
    };
    bench.send(conn, durable, b"v");
    assert!(bench.cluster.is_closed(conn), "frame infos are not understood");
}

#[test]
fn s79_an_upgrade_is_announced() {
    let mut bench = Bench::new();
    bench.cluster.pose(Posture::V7_6);
    let conn = bench.ready(NODE, &[Features::DUPLEX, Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF]);
    let before = bench.cluster.bucket_map("b", NODE).unwrap();
    bench.cluster.pose(Posture::V8_0);
    assert!(!bench.pushes(conn).is_empty());
    let after = bench.cluster.bucket_map("b", NODE).unwrap();
    let has = |map: &[u8]| String::from_utf8_lossy(map).contains("nodeUUID");
    assert!(!has(&before) && has(&after));
}
