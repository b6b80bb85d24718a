//! What can be seen with a setting: each function takes parameters of a connection string and tells, in text.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::engine::{Durability, Engine, EngineConfig, Input, OpKind, Output, StoreMode};
use settee::error::ErrorKind;
use settee::options::{self, Options, Resolved};
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Edit, Net, NetSettings, NodeId, Peer, PeerAction, Reachability, Rule};

use crate::common::{Client, Outcome, config, ms, net, node, secs, small, start, store};

fn one_node(pairs: &str) -> String {
    format!("couchbase://10.0.0.1?{pairs}")
}

/// How an operation ended, without its circumstances.
fn ending(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn resolved(text: &str) -> Resolved {
    let connstr = connstr::parse(text).expect("a connection string");
    options::resolve(&connstr, Options::default()).expect("settings that can be")
}

/// A client whose cluster has ceased to work.
fn paused(pairs: &str) -> Client {
    let mut client = Client::connect(net(1), &one_node(pairs));
    client.cluster().pause_node(NodeId(0));
    client
}

fn end_of(mut client: Client, kind: OpKind) -> String {
    let begun = client.now();
    let op = client.start("k", kind);
    let outcome = client.end(op);
    format!("{} after {:?}", ending(&outcome), client.now() - begun)
}

pub(crate) fn end_of_a_get(pairs: &str) -> String {
    end_of(paused(pairs), OpKind::Get)
}

pub(crate) fn end_of_a_durable_write(pairs: &str) -> String {
    let mut write = store(StoreMode::Upsert, b"v");
    write.durability = Durability::Majority;
    end_of(paused(pairs), OpKind::Store(write))
}

pub(crate) fn end_of_a_bootstrap(pairs: &str) -> String {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::BlackHole);
    let mut client = Client::new(net, &one_node(pairs));
    let op = client.bootstrap();
    let outcome = client.end(op);
    format!("{} after {:?}", ending(&outcome), client.world.elapsed())
}

/// When the client gives up a connection that says nothing.
pub(crate) fn first_hang_up(pairs: &str) -> String {
    let mut net = net(1);
    net.cluster().pause_node(NodeId(0));
    let mut client = Client::new(net, &one_node(pairs));
    client.world.run_until(secs(30), |world| world.net.links().any(|(.., open)| !open));
    format!("{:?}", client.world.elapsed())
}

/// A name service that takes three seconds.
pub(crate) fn bootstrap_by_a_slow_name(pairs: &str) -> String {
    let mut slow = NetSettings::default();
    slow.lookup_time = secs(3);
    let net = Net::new(1, small(), slow, start());
    let mut client = Client::new(net, &format!("couchbase://node1.sim:11210?{pairs}"));
    let op = client.bootstrap();
    ending(&client.end(op))
}

pub(crate) fn seeds(pairs: &str) -> String {
    let resolved = resolved(&format!("h?{pairs}"));
    format!("TLS {} to {:?}", resolved.tls, resolved.seeds)
}

pub(crate) fn srv_query(pairs: &str) -> String {
    format!("{:?}", resolved(&format!("couchbase://h?{pairs}")).srv_query)
}

/// The addresses dialled of two nodes that have an address in another network as well.
pub(crate) fn dialled_of_two_networks(pairs: &str) -> String {
    let mut net = net(2);
    for index in 0..2 {
        let mut address = net.cluster().address(NodeId(index)).expect("a node").clone();
        address.alternates = vec![settee_sim::Alternate::external(format!("10.9.0.{}", index + 1))];
        net.cluster().set_address(NodeId(index), address);
    }
    let mut client = Client::new(net, &one_node(pairs));
    client.run_for(secs(1));
    dialled(&client)
}

fn dialled(client: &Client) -> String {
    let mut dialled: Vec<SocketAddr> = client.world.dialled().map(|(.., address)| address).collect();
    dialled.sort_unstable();
    dialled.dedup();
    format!("{dialled:?}")
}

/// The addresses dialled of a name with one of either family.
pub(crate) fn dialled_by_name(pairs: &str) -> String {
    let mut net = net(1);
    let addresses = ["10.0.0.1", "2001:db8::1"].map(|text| text.parse().expect("an address"));
    net.set_name("both.sim", Ok(addresses.to_vec()));
    let mut client = Client::new(net, &format!("couchbase://both.sim:11210?{pairs}"));
    client.run_for(ms(900));
    dialled(&client)
}

/// Which of three seeds is dialled first, with each of eight random seeds.
pub(crate) fn first_seeds(pairs: &str) -> String {
    let first = |seed: u8| {
        let text = format!("couchbase://10.0.0.1,10.0.0.2,10.0.0.3?{pairs}");
        let mut client = Client::seeded(net(3), config(&text), [seed; 32]);
        client.world.settle();
        let first = client.world.dialled().next().map(|(.., address)| address);
        format!("{first:?}")
    };
    (0..8).map(first).collect::<Vec<_>>().join(" ")
}

/// Requests for the map in half a minute.
pub(crate) fn maps_asked_for(pairs: &str) -> String {
    let mut client = Client::connect(net(1), &one_node(pairs));
    client.run_for(secs(30));
    client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG).to_string()
}

/// Requests for the map in a minute in which none is answered.
pub(crate) fn unanswered_maps(pairs: &str) -> String {
    let mut client =
        Client::connect(net(1), &one_node(&format!("{pairs}&enable_clustermap_notification=false")));
    client.cluster().add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Ignore));
    client.run_for(secs(60));
    let asked = client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG);
    format!("{asked} requests on {} connections", client.world.dialled().count())
}

pub(crate) fn noops(pairs: &str) -> String {
    let quiet = "config_poll_interval=0&config_safety_interval=1h";
    let mut client = Client::connect(net(1), &one_node(&format!("{pairs}&{quiet}")));
    client.run_for(secs(120));
    client.cluster().requests_everywhere(Opcode::NOOP).to_string()
}

pub(crate) fn dials_of_a_dead_node(pairs: &str) -> String {
    let mut client = Client::connect(net(2), &one_node(pairs));
    client.cluster().kill_node(NodeId(1));
    client.run_for(secs(120));
    client.dials(node(1)).to_string()
}

/// An engine that nothing has happened to, and its first dial.
fn first_dial(pairs: &str) -> (Engine, settee::engine::Dial) {
    let now = start();
    let mut engine = Engine::new(config(&one_node(pairs)), [7; 32], now);
    engine.open_bucket("default", now);
    loop {
        match engine.poll_output() {
            Output::Connect(dial) => return (engine, dial),
            Output::Wait(_) => panic!("it does not dial"),
            _ => {}
        }
    }
}

pub(crate) fn dial(pairs: &str) -> String {
    format!("{:?}", first_dial(pairs).1)
}

/// The first bytes on a connection: HELLO and what is sent along with it.
pub(crate) fn hello(pairs: &str) -> String {
    let (mut engine, dial) = first_dial(pairs);
    engine.handle_input(Input::Connected { conn: dial.conn, local: None }, start());
    while !matches!(engine.poll_output(), Output::Wait(_)) {}
    let bytes: Vec<u8> = engine.transmit(dial.conn).flatten().copied().collect();
    assert!(bytes.len() > 24, "a frame is sent");
    format!("{bytes:02x?}")
}

/// The same, as an observation of the mechanisms in it.
pub(crate) fn handshake(pairs: &str) -> String {
    let mut client = Client::connect(net(1), &one_node(pairs));
    let asked = client.cluster().requests_everywhere(Opcode::SASL_AUTH);
    format!("{asked} requests, {}", hello(pairs))
}

/// What is sent for a value of 1,000 equal letters.
pub(crate) fn bytes_of_a_write(pairs: &str) -> String {
    let quiet = "config_poll_interval=0&config_safety_interval=1h";
    let mut client = Client::connect(net(1), &one_node(&format!("{pairs}&{quiet}")));
    let sent = |client: &Client| -> u64 {
        let net = &client.world.net;
        net.links().map(|(link, ..)| net.bytes_sent(link)).sum()
    };
    let before = sent(&client);
    client.set("k", &"x".repeat(1000)).expect("it is stored");
    assert_eq!(client.document("k").expect("it is there").len(), 1000);
    (sent(&client) - before).to_string()
}

pub(crate) fn login_of_5000_iterations(pairs: &str) -> String {
    let mut settings = small();
    settings.scram_iterations = 5000;
    let net = Net::new(1, settings, NetSettings::default(), start());
    let mut client = Client::new(net, &one_node(pairs));
    let op = client.bootstrap();
    ending(&client.end(op))
}

/// A cluster that calls itself Enterprise Analytics.
pub(crate) fn bootstrap_of_analytics(pairs: &str) -> String {
    let mut net = net(1);
    let map = net.cluster().bucket_map("default", NodeId(0)).expect("a map");
    let map = String::from_utf8(map).expect("a text").replacen('{', "{\"prod\":\"analytics\",", 1);
    let edit = Edit { value: Some(map.into_bytes()), datatype: Some(1), ..Edit::default() };
    let rule = Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Edit(Box::new(edit)));
    net.cluster().add_rule_everywhere(&rule);
    let mut client = Client::new(net, &one_node(pairs));
    let op = client.start("k", OpKind::Get);
    let outcome = client.end(op);
    if let Err(error) = &outcome
        && error.kind() == ErrorKind::DocumentNotFound
    {
        return "it serves".to_owned();
    }
    ending(&outcome)
}

/// How many of five operations that the server cannot do at the time are given up.
pub(crate) fn gets_given_up(pairs: &str) -> String {
    let mut client = Client::connect(net(1), &one_node(pairs));
    let rule = Rule::new(Opcode::GET, Action::Status(Status::ETMPFAIL));
    client.cluster().add_rule_everywhere(&rule);
    let ops: Vec<_> = (0..5).map(|number| client.start(&format!("k{number}"), OpKind::Get)).collect();
    client.run_for(ms(500));
    let given_up = ops.into_iter().filter(|op| {
        client.outcome(*op).is_some_and(|outcome| {
            outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::RequestCanceled)
        })
    });
    given_up.count().to_string()
}

/// Whether closing waits for an operation that is not answered. The client's own close, in real time.
pub(crate) fn close_with_a_get_under_way(pairs: &str) -> String {
    let served = settee_sim::SimCluster::builder().nodes(1).start().expect("it listens");
    let text = format!("{}?{pairs}", served.connection_string());
    let login = PasswordAuthenticator::new(served.username(), served.password()).expect("a name");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let elapsed = runtime.block_on(async {
        let cluster =
            settee_tokio::connect(&text, settee_tokio::ClusterOptions::new(Authenticator::Password(login)))
                .await
                .expect("it connects");
        let collection = cluster.bucket("default").default_collection();
        collection.upsert("k", 1).await.expect("it is stored");
        served.control(|cluster, _| cluster.add_rule_everywhere(&Rule::new(Opcode::GET, Action::Ignore)));
        let get = tokio::spawn(async move { collection.get("k").await.is_ok() });
        while served.control(|cluster, _| cluster.requests_everywhere(Opcode::GET)) == 0 {
            tokio::task::yield_now().await;
        }
        #[expect(clippy::disallowed_methods, reason = "how long closing takes is what the setting is about")]
        let begun = Instant::now();
        cluster.close().await;
        assert!(!get.await.expect("it ends"));
        #[expect(clippy::disallowed_methods, reason = "see above")]
        begun.elapsed()
    });
    format!("waits: {}", elapsed >= Duration::from_millis(300))
}

/// How many log lines hold a cluster map.
#[cfg(feature = "tracing")]
pub(crate) fn maps_in_the_log(pairs: &str) -> String {
    let lines = crate::log::lines_of(|| {
        Client::connect(net(1), &one_node(pairs));
    });
    assert!(!lines.is_empty(), "something is logged");
    lines.iter().filter(|line| line.contains("nodesExt")).count().to_string()
}

/// Without log lines the option has no effect and its case is not tried.
#[cfg(not(feature = "tracing"))]
pub(crate) fn maps_in_the_log(_pairs: &str) -> String {
    String::new()
}

/// The addresses dialled of a seed whose ports are left open.
pub(crate) fn dialled_of_a_seed(pairs: &str) -> String {
    let mut client = Client::new(net(1), &one_node(pairs));
    client.run_for(secs(1));
    dialled(&client)
}

/// Open connections to each of two nodes.
pub(crate) fn connections(pairs: &str) -> String {
    let mut client = Client::new(net(2), &one_node(pairs));
    client.run_for(secs(2));
    let open: Vec<usize> = (0..2).map(|index| client.open_links(node(index)).len()).collect();
    format!("{open:?}")
}

/// How many of five operations find no room while their node is down.
pub(crate) fn gets_turned_away(pairs: &str) -> String {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, &one_node(pairs));
    client.run_for(ms(100));
    let now = client.now();
    let mut away = 0;
    let mut ops = Vec::new();
    for number in 0..5 {
        let operation = client.operation(&format!("k{number}"), OpKind::Get);
        match client.engine().submit(operation, now) {
            Ok(op) => ops.push(op),
            Err(_) => away += 1,
        }
    }
    client.run_for(ms(100));
    away += ops.into_iter().filter(|op| client.outcome(*op).is_some()).count();
    away.to_string()
}

/// How many log lines have a server group that no node is in, for a cluster with groups.
#[cfg(feature = "tracing")]
pub(crate) fn groups_in_the_log(pairs: &str) -> String {
    let lines = crate::log::lines_of(|| {
        let mut net = net(2);
        for index in 0..2 {
            let mut address = net.cluster().address(NodeId(index)).expect("a node").clone();
            address.server_group = Some(format!("Group {}", index + 1));
            net.cluster().set_address(NodeId(index), address);
        }
        Client::connect(net, &one_node(pairs));
    });
    // The map itself is not among the lines.
    lines.iter().filter(|line| line.contains("elsewhere") && line.contains("Group 1")).count().to_string()
}

/// Without log lines the warning cannot be seen, and its case is not tried.
#[cfg(not(feature = "tracing"))]
pub(crate) fn groups_in_the_log(_pairs: &str) -> String {
    String::new()
}

/// A client whose one seed is a manager port; `None` where the engine refuses such a seed.
fn by_manager(net: Net, pairs: &str) -> Option<Client> {
    let text = format!("couchbase://10.0.0.1:8091=http?{pairs}");
    let login = PasswordAuthenticator::new("Administrator", "password").expect("a name");
    let connstr = connstr::parse(&text).expect("a connection string");
    let config = EngineConfig::new(&connstr, Options::default(), Authenticator::Password(login)).ok()?;
    Some(Client::with(net, config))
}

fn manager() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8091))
}

/// When a dial to a manager port that nobody answers is given up.
pub(crate) fn first_hang_up_of_http(pairs: &str) -> String {
    let mut net = net(1);
    net.set_reachability(manager(), Reachability::BlackHole);
    let Some(mut client) = by_manager(net, pairs) else { return String::new() };
    client.world.run_until(secs(30), |world| world.net.links().any(|(.., open)| !open));
    format!("{:?}", client.world.elapsed())
}

/// Dials in five minutes of a manager port that gave maps and refuses to go on.
pub(crate) fn dials_of_a_stream_that_is_refused(pairs: &str) -> String {
    let Some(mut client) = by_manager(net(1), &format!("{pairs}&bootstrap_on=http")) else {
        return String::new();
    };
    client.run_for(secs(1));
    client.world.net.set_reachability(manager(), Reachability::Refuse);
    client.world.net.cut_all(manager());
    client.run_for(secs(300));
    client.dials(manager()).to_string()
}

/// Gives one map and says nothing more.
struct SilentStream(Vec<u8>);

impl Peer for SilentStream {
    fn receive(&mut self, _bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend_from_slice(format!("{:x}\r\n", self.0.len() + 4).as_bytes());
        answer.extend_from_slice(&self.0);
        answer.extend_from_slice(b"\n\n\n\n\r\n");
        vec![PeerAction::Send(answer)]
    }
}

/// Dials in ten minutes of a manager port whose stream falls silent.
pub(crate) fn dials_of_a_silent_stream(pairs: &str) -> String {
    let mut net = net(1);
    let map = net.cluster().bucket_map("default", NodeId(0)).expect("a map");
    net.place_peer(manager(), move || Box::new(SilentStream(map.clone())));
    let Some(mut client) = by_manager(net, &format!("{pairs}&bootstrap_on=http")) else {
        return String::new();
    };
    client.run_for(secs(600));
    client.dials(manager()).to_string()
}
