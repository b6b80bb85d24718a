//! Hostile, confused and merely unusual peers (`hostile-peers.md`), over real sockets and a real clock.

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use settee::engine::Stage;
use settee::wire::{Encode, Opcode, Status};
use settee_sim::{Action, Edit, NodeId, Rule, SimCluster};
use settee_tokio::{Cluster, ClusterOptions, Collection, Error, ErrorKind, PasswordAuthenticator, RawBinary};
use tokio::task::JoinSet;

use super::peer::{Peer, Request, Then, anybody, parrot};
use super::{clear_rules, credentials, eventually, kind, rule};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Every test ends: what takes longer than this hangs.
#[track_caller]
fn within<F: IntoFuture>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    let future = future.into_future();
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(output) => output,
            Err(_) => panic!("{at}: nothing within {limit:?}"),
        }
    }
}

async fn connected(text: &str, options: ClusterOptions) -> (Cluster, Collection) {
    let cluster = within(ms(10_000), settee_tokio::connect(text, options)).await.unwrap();
    let docs = cluster.bucket("default").default_collection();
    (cluster, docs)
}

async fn at(peer: &Peer) -> (Cluster, Collection) {
    let (cluster, docs) = connected(&peer.connection_string(), anybody()).await;
    within(ms(5000), docs.upsert("warm", 1)).await.unwrap();
    (cluster, docs)
}

/// One node, so that every key goes to it, and a client with this deadline for its operations.
async fn one_node(kv_timeout: Duration) -> (SimCluster, Cluster, Collection) {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    let options = credentials(&sim).kv_timeout(kv_timeout);
    let (cluster, docs) = connected(&sim.connection_string(), options).await;
    let slow = ms(5000);
    within(slow, docs.upsert("k", 7).timeout(slow)).await.unwrap();
    within(slow, docs.upsert("other", 7).timeout(slow)).await.unwrap();
    (sim, cluster, docs)
}

async fn assert_works(docs: &Collection) {
    let read = within(ms(6000), docs.get("other").timeout(ms(5000))).await.unwrap();
    assert_eq!(read.content_as::<u8>().unwrap(), 7);
    within(ms(6000), docs.upsert("another", 1).timeout(ms(5000))).await.unwrap();
}

/// Which connections there are to the simulated cluster.
fn links(sim: &SimCluster) -> Vec<settee_sim::ConnId> {
    sim.control(|cluster, _| cluster.connections().map(|(conn, _)| conn).collect())
}

/// "Dropped": the operation at fault fails at once with the protocol error, the connection is replaced, the rest
/// goes on.
async fn assert_dropped(answer: fn(&Request) -> Vec<u8>, word: &str) {
    for (opcode, write) in [(Opcode::GET, false), (Opcode::SET, true)] {
        // The first SET is the one that warms up.
        let mut skip = u32::from(write);
        let mut done = false;
        let peer = Peer::start(move |request| {
            if request.opcode != opcode || done {
                return Then::Usual;
            }
            if skip > 0 {
                skip -= 1;
                return Then::Usual;
            }
            done = true;
            Then::Send(answer(request))
        });
        let (_cluster, docs) = at(&peer).await;
        let before = peer.accepted();
        let begin = Instant::now();
        let error = if write {
            within(ms(4000), docs.upsert("k", 1)).await.unwrap_err()
        } else {
            within(ms(4000), docs.get("k")).await.unwrap_err()
        };
        assert!(begin.elapsed() < ms(1000), "at once, not at the deadline: {:?}", begin.elapsed());
        assert_eq!(error.kind(), ErrorKind::DecodingFailure, "{error}");
        assert_eq!(error.may_have_happened(), write, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert_works(&docs).await;
        assert_eq!(peer.accepted(), before + 1, "the connection was replaced");
    }
}

#[tokio::test]
async fn h1_lengths_that_add_up_to_more_than_the_body_drop_the_connection() {
    assert_dropped(|request| request.header(10, 10, 15), "do not fit a body").await;
    assert_dropped(|request| request.header(0xffff, 0xff, 0), "do not fit a body").await;
}

#[tokio::test]
async fn h2_a_body_of_0xf0000000_bytes_is_refused_at_the_header() {
    // Nothing follows the header: a client that believes it would wait.
    assert_dropped(|request| request.header(0, 0, 0xf000_0000), "body").await;
    for opcode in [Opcode::HELLO, Opcode::SASL_AUTH, Opcode::GET_CLUSTER_CONFIG] {
        let peer = Peer::once(opcode, |request| Then::Send(request.header(0, 0, 0xf000_0000)));
        let (_cluster, docs) = at(&peer).await;
        assert_works(&docs).await;
        assert!(peer.accepted() > 1, "{opcode}: the first connection was given up");
    }
}

#[tokio::test]
async fn h6_an_alternate_address_without_ports_uses_the_nodes_own() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    sim.control(|cluster, _| {
        let mut address = cluster.address(NodeId(0)).unwrap().clone();
        // Nothing answers at the address inside.
        address.host = "192.0.2.1".to_owned();
        address.alternates = vec![settee_sim::Alternate::external("127.0.0.1")];
        assert!(cluster.set_address(NodeId(0), address));
    });
    let text = format!("{}?network=external", sim.connection_string());
    let (_cluster, docs) = connected(&text, credentials(&sim)).await;
    within(ms(5000), docs.upsert("other", 7)).await.unwrap();
    sim.control(|cluster, _| cluster.close_node(NodeId(0)));
    assert_works(&docs).await;
}

#[tokio::test]
async fn h7_not_my_vbucket_with_any_body_is_retried_soon() {
    let sim = SimCluster::builder().nodes(1).omit_hostname(true).start().unwrap();
    let (_cluster, docs) = connected(&sim.connection_string(), credentials(&sim)).await;
    within(ms(5000), docs.upsert("other", 7)).await.unwrap();
    let older = sim.control(|cluster, _| {
        let older = cluster.bucket_map("default", NodeId(0)).unwrap();
        cluster.bump_revision("default");
        older
    });
    let current = sim.control(|cluster, _| cluster.bucket_map("default", NodeId(0)).unwrap());
    for body in [Vec::new(), older, current, b"not JSON".to_vec(), b"{}".to_vec()] {
        let said = String::from_utf8_lossy(&body).into_owned();
        let action = Action::StatusWithBody(Status::NOT_MY_VBUCKET, 1, body);
        let once = Rule::new(Opcode::GET, action).times(1);
        sim.control(move |cluster, _| cluster.add_rule_everywhere(&once));
        let begin = Instant::now();
        let read = within(ms(5000), docs.get("other")).await.unwrap();
        assert_eq!(read.content_as::<u8>().unwrap(), 7);
        assert!(begin.elapsed() < ms(500), "{:?}: {said}", begin.elapsed());
    }
    assert_works(&docs).await;
}

#[tokio::test]
async fn h8_unknown_mechanisms_and_blanks_in_the_list_are_ignored() {
    for list in
        ["FROBNICATE SCRAM-SHA1", "SCRAM-SHA1 ", " SCRAM-SHA1", "FROB  SCRAM-SHA1024 SCRAM-SHA1  ", ""]
    {
        let sim = SimCluster::builder().nodes(1).scram_iterations(16).start().unwrap();
        let edit = Edit { value: Some(list.as_bytes().to_vec()), ..Edit::default() };
        rule(&sim, Opcode::SASL_LIST_MECHS, Action::Edit(Box::new(edit)));
        let (_cluster, docs) = connected(&sim.connection_string(), credentials(&sim)).await;
        within(ms(5000), docs.upsert("other", 7)).await.unwrap();
        assert_works(&docs).await;
    }
}

/// Connects to a server that says this in a SCRAM exchange: first, by our nonce, then at last.
async fn scram(first: impl Fn(&str) -> Vec<u8> + Send + 'static, last: &'static [u8]) -> Error {
    let peer = Peer::start(move |request| match request.opcode {
        Opcode::SASL_LIST_MECHS => Then::Send(request.answer(Status::SUCCESS, b"SCRAM-SHA1")),
        Opcode::SASL_AUTH => {
            let text = String::from_utf8(request.value.clone()).unwrap();
            let nonce = text.rsplit("r=").next().unwrap();
            Then::Send(request.answer(Status::AUTH_CONTINUE, &first(nonce)))
        }
        Opcode::SASL_STEP => Then::Send(request.answer(Status::SUCCESS, last)),
        _ => Then::Usual,
    });
    let text = format!("couchbase://{}?sasl_mech_force=SCRAM-SHA1", peer.address());
    within(ms(2000), settee_tokio::connect(&text, anybody())).await.unwrap_err()
}

#[tokio::test]
async fn h9_scram_messages_that_cannot_be_trusted_are_authentication_failures() {
    let server_first =
        |nonce: &str, count: &str| format!("r={nonce}server,s=c2FsdA==,i={count}").into_bytes();
    let mut errors = Vec::new();
    for last in
        [&b"junk"[..], b"", b"e=other-error", b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=", b"v=\xff\xfe", b"\xff"]
    {
        errors.push(scram(move |nonce| server_first(nonce, "16"), last).await);
    }
    for count in ["4294967295", "0", "-1", "x"] {
        errors.push(scram(move |nonce| server_first(nonce, count), b"").await);
    }
    errors.push(scram(move |_| server_first("somebody-else", "16"), b"").await);
    errors.push(scram(|_| Vec::new(), b"").await);
    errors.push(scram(|_| b"\xff\xfe".to_vec(), b"").await);
    for (number, error) in errors.iter().enumerate() {
        assert_eq!(error.kind(), ErrorKind::AuthenticationFailure, "case {number}: {error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "case {number}");
    }
}

/// What becomes of connecting, and of a first operation that is started before there is a connection.
async fn assert_dead_end(text: String, endpoint: String, password: &str, stage: Stage, words: &str) {
    let user = PasswordAuthenticator::new("Administrator", password);
    let options = ClusterOptions::new(user).bootstrap_timeout(ms(5000));
    // A bucket that cannot be opened does not keep `connect` from its first map.
    let mut errors = Vec::new();
    if stage != Stage::Bucket {
        let connecting = settee_tokio::connect(&text, options.clone());
        errors.push(within(ms(20_000), connecting).await.unwrap_err());
    }
    let cluster = settee_tokio::open(&text, options).unwrap();
    let bucket = cluster.default_bucket().unwrap_or_else(|| cluster.bucket("default"));
    let get = bucket.default_collection().get("k").timeout(ms(5000));
    errors.push(within(ms(20_000), get).await.unwrap_err());
    for error in errors {
        let said = error.to_string();
        let report = error.context().and_then(|context| context.bootstrap.as_ref());
        let report = report.unwrap_or_else(|| panic!("no report: {said}"));
        assert_eq!(report.attempts[0].stage, stage, "{said}");
        assert!(said.contains(words), "{words:?} is not in {said:?}");
        assert!(said.contains(&endpoint), "{endpoint} is not in {said:?}");
        assert!(!format!("{said} {error:?}").contains("wr0ng"), "no password: {said}");
    }
}

#[tokio::test]
async fn h10_every_dead_end_is_a_definite_error_with_stage_endpoint_and_what_to_do() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    let good = sim.connection_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let http = parrot(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    // A handshake failure, and enough bytes that a header could be read from them.
    let tls = parrot(&[0x15, 3, 1, 0, 2, 2, 70, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let silent = parrot(b"");
    let seed = |address: std::net::SocketAddr| format!("couchbase://{address}");
    let mut cases = JoinSet::new();
    for (text, endpoint, password, stage, words) in [
        (good.clone(), sim.addresses()[0].to_string(), "wr0ng", Stage::Auth, "check user name and password"),
        (
            format!("{good}/nowhere"),
            sim.addresses()[0].to_string(),
            "password",
            Stage::Bucket,
            "create the bucket",
        ),
        (seed(closed), closed.to_string(), "password", Stage::Tcp, "port"),
        (
            "couchbase://nowhere.invalid".into(),
            "nowhere.invalid".into(),
            "password",
            Stage::Resolve,
            "host name",
        ),
        (seed(silent), silent.to_string(), "password", Stage::Hello, "does not answer"),
        (seed(http), http.to_string(), "password", Stage::Hello, "HTTP"),
        (seed(tls), tls.to_string(), "password", Stage::Hello, "TLS"),
    ] {
        cases.spawn(assert_dead_end(text, endpoint, password, stage, words));
    }
    while let Some(ended) = cases.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn h11_unknown_collections_all_at_once_are_one_look_up_a_round() {
    let sim = SimCluster::builder().nodes(1).collection("inventory", "hotel").start().unwrap();
    let options = credentials(&sim).kv_timeout(ms(600));
    let (cluster, _) = connected(&sim.connection_string(), options).await;
    let docs = cluster.bucket("default").scope("inventory").collection("hotel");
    within(ms(6000), docs.upsert("other", 7).timeout(ms(5000))).await.unwrap();
    rule(&sim, Opcode::GET, Action::Status(Status::UNKNOWN_COLLECTION));
    for round in (0..16).rev() {
        let late = Rule::new(Opcode::COLLECTIONS_GET_ID, Action::Delay(ms(round))).times(1);
        sim.control(move |cluster, _| cluster.add_rule_everywhere(&late));
    }
    let before = sim.control(|cluster, _| cluster.requests_everywhere(Opcode::COLLECTIONS_GET_ID));
    let begin = Instant::now();
    let mut gets = JoinSet::new();
    for number in 0..200 {
        gets.spawn(docs.get(format!("k{number}")).into_future());
    }
    while let Some(ended) = within(ms(3000), gets.join_next()).await {
        let error = ended.unwrap().unwrap_err();
        let cause = error.context().and_then(|context| context.cause);
        assert!(
            error.kind() == ErrorKind::UnambiguousTimeout || error.kind() == ErrorKind::CollectionNotFound,
            "{error} {cause:?}"
        );
    }
    assert!(begin.elapsed() < ms(1500), "{:?}", begin.elapsed());
    let asked = sim.control(|cluster, _| cluster.requests_everywhere(Opcode::COLLECTIONS_GET_ID)) - before;
    assert!(asked > 0 && asked < 16, "{asked} look-ups for 200 operations");
    clear_rules(&sim);
    assert_works(&docs).await;
}

#[tokio::test]
async fn h12_a_restart_stalls_for_the_outage_and_a_little() {
    let mut restarts = JoinSet::new();
    for outage in [ms(200), ms(1000), ms(3000)] {
        restarts.spawn(async move {
            let (sim, _cluster, docs) = one_node(ms(2500)).await;
            sim.control(|cluster, _| cluster.kill_node(NodeId(0)));
            let waiting = tokio::spawn(docs.get("other").timeout(ms(8000)).into_future());
            tokio::time::sleep(outage).await;
            sim.control(|cluster, _| cluster.restart_node(NodeId(0)));
            let back = Instant::now();
            within(ms(9000), waiting).await.unwrap().unwrap();
            // 300 ms, and as much again for a busy machine.
            assert!(back.elapsed() < ms(600), "{:?} after an outage of {outage:?}", back.elapsed());
            assert_works(&docs).await;
        });
    }
    while let Some(ended) = restarts.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn h13_a_node_that_swallows_requests_is_probed_and_keeps_its_connection() {
    let (sim, _cluster, docs) = one_node(ms(300)).await;
    let before = (links(&sim), sim.control(|cluster, _| cluster.requests_everywhere(Opcode::NOOP)));
    rule(&sim, Opcode::SET, Action::Ignore);
    rule(&sim, Opcode::GET, Action::Ignore);
    let mut writes = JoinSet::new();
    for number in 0..100 {
        writes.spawn(docs.upsert(format!("k{number}"), 1).into_future());
    }
    let begin = Instant::now();
    assert_eq!(kind(within(ms(2000), docs.get("k")).await), ErrorKind::UnambiguousTimeout);
    while let Some(ended) = within(ms(2000), writes.join_next()).await {
        let error = ended.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AmbiguousTimeout, "{error}");
        assert!(error.may_have_happened());
    }
    assert!(begin.elapsed() >= ms(300) && begin.elapsed() < ms(1500), "{:?}", begin.elapsed());
    let probes = || sim.control(|cluster, _| cluster.requests_everywhere(Opcode::NOOP));
    eventually("the connection is probed", || probes() > before.1).await;
    clear_rules(&sim);
    assert_works(&docs).await;
    assert!(probes() - before.1 < 5, "one probe for all, not {}", probes() - before.1);
    assert!(links(&sim).iter().all(|link| before.0.contains(link)), "it lives");
}

#[tokio::test]
async fn h16_accept_and_close_at_once_is_no_connection_storm_and_heals() {
    let peer = Peer::start(|_| Then::Usual);
    peer.slam(true);
    let cluster = settee_tokio::open(&peer.connection_string(), anybody()).unwrap();
    let docs = cluster.bucket("default").default_collection();
    let error = within(ms(3000), docs.get("k").timeout(ms(1500))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnambiguousTimeout, "{error}");
    let dials = peer.accepted();
    assert!(dials > 1 && dials < 20, "{dials} dials in 1.5 s");
    peer.slam(false);
    let begin = Instant::now();
    assert_works(&docs).await;
    assert!(begin.elapsed() < ms(2500), "within one pause: {:?}", begin.elapsed());
}

#[tokio::test]
async fn h16_a_node_that_closes_every_connection_anew_is_no_storm_either() {
    let (sim, _cluster, docs) = one_node(ms(500)).await;
    let hellos = || sim.control(|cluster, _| cluster.requests_everywhere(Opcode::HELLO));
    let before = hellos();
    rule(&sim, Opcode::HELLO, Action::Close);
    sim.control(|cluster, _| cluster.close_node(NodeId(0)));
    for _ in 0..3 {
        assert_eq!(kind(within(ms(2000), docs.get("k")).await), ErrorKind::UnambiguousTimeout);
    }
    let dials = hellos() - before;
    assert!(dials > 1 && dials < 30, "{dials} dials in 1.5 s");
    clear_rules(&sim);
    let begin = Instant::now();
    assert_works(&docs).await;
    // A pause of 200 ms at most, and a busy machine.
    assert!(begin.elapsed() < ms(800), "within one pause: {:?}", begin.elapsed());
}

#[tokio::test]
async fn h18_the_second_answer_and_one_never_asked_for_are_orphans() {
    let (sim, _cluster, docs) = one_node(ms(1000)).await;
    let before = links(&sim);
    let mut stray = Vec::new();
    Encode::response(Opcode::GET, settee::ids::Opaque(0xdead_beef), Status::SUCCESS)
        .emit(b"", &mut stray)
        .unwrap();
    for action in [Action::Twice, Action::Prepend(stray.clone()), Action::Append(stray)] {
        let few = Rule::new(Opcode::GET, action).times(20);
        sim.control(move |cluster, _| cluster.add_rule_everywhere(&few));
        for _ in 0..20 {
            let read = within(ms(2000), docs.get("other")).await.unwrap();
            assert_eq!(read.content_as::<u8>().unwrap(), 7);
        }
        assert_eq!(kind(within(ms(2000), docs.get("nothing")).await), ErrorKind::DocumentNotFound);
    }
    assert_works(&docs).await;
    assert!(links(&sim).iter().all(|link| before.contains(link)), "the connection stays");
}

#[tokio::test]
async fn h19_a_byte_at_a_time_does_not_hold_up_deadlines() {
    let peer = Peer::once(Opcode::GET, |request| Then::Drip(request.usual(0), ms(20)));
    let (_cluster, docs) = at(&peer).await;
    let begin = Instant::now();
    assert_eq!(kind(within(ms(2000), docs.get("k").timeout(ms(300))).await), ErrorKind::UnambiguousTimeout);
    assert!(begin.elapsed() >= ms(300) && begin.elapsed() < ms(900), "{:?}", begin.elapsed());
    assert_works(&docs).await;
}

#[tokio::test]
async fn h19_half_a_frame_does_not_hold_up_deadlines() {
    for len in [1, 20, 26] {
        let (sim, _cluster, docs) = one_node(ms(300)).await;
        let once = Rule::new(Opcode::GET, Action::Truncate(len)).times(1);
        sim.control(move |cluster, _| cluster.add_rule_everywhere(&once));
        let begin = Instant::now();
        assert_eq!(kind(within(ms(2000), docs.get("k")).await), ErrorKind::UnambiguousTimeout);
        assert!(begin.elapsed() >= ms(300) && begin.elapsed() < ms(900), "{:?}", begin.elapsed());
        // What follows is taken for the rest of the frame, until that makes no sense.
        let mut lost = 0;
        while within(ms(2000), docs.get("other")).await.is_err() {
            lost += 1;
            assert!(lost < 20, "it never gets better after {len} bytes");
        }
        assert_works(&docs).await;
    }
}

#[tokio::test]
async fn h19_a_peer_that_never_reads_holds_up_nothing_else() {
    let peer = Peer::once(Opcode::GET, |_| Then::Deaf);
    let (_cluster, docs) = at(&peer).await;
    let mut writes = JoinSet::new();
    let deaf = tokio::spawn(docs.get("k").timeout(ms(500)).into_future());
    assert_eq!(kind(within(ms(2000), deaf).await.unwrap()), ErrorKind::UnambiguousTimeout);
    let big = bytes_of(64 * 1024);
    for number in 0..500 {
        let write = docs.upsert(format!("k{number}"), RawBinary::new(big.clone())).timeout(ms(500));
        writes.spawn(write.into_future());
    }
    let begin = Instant::now();
    while let Some(ended) = within(ms(3000), writes.join_next()).await {
        let error = ended.unwrap().unwrap_err();
        let timeout = [ErrorKind::AmbiguousTimeout, ErrorKind::UnambiguousTimeout].contains(&error.kind());
        assert!(timeout || error.kind() == ErrorKind::RequestCanceled, "{error}");
    }
    assert!(begin.elapsed() < ms(2500), "{:?}", begin.elapsed());
    // The probe is not answered: the connection is given up and the next one is listened to.
    let read = within(ms(12_000), docs.get("other").timeout(ms(10_000))).await.unwrap();
    assert_eq!(read.content_as::<u8>().unwrap(), 7);
    assert!(peer.accepted() > 1);
}

fn bytes_of(len: usize) -> Vec<u8> {
    vec![0x5a; len]
}
