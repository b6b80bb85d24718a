//! Health, diagnostics, ping, readiness, and connections that idle or stand still (`connecting.md` 4.10, 6.1, 6.2).

mod life;
mod ping;
mod queues;
mod ready;

use crate::common::{Client, Outcome, ms, net, node, password, secs, secure, small, start};
use serde_json::Value;
use settee::engine::{
    ClusterState, ConnectionProtocol, ConnectionRole, ConnectionState, DesiredState, OpId, OpKind,
    PingReport, PingRequest, ReadyRequest, Stage,
};
use settee::error::ErrorKind;
use settee::map::Service;
use settee_sim::{Listener, Net, NetSettings, NodeId, Reachability, Service as Offered, Settings};
use std::time::Duration;

/// A cluster whose nodes offer these besides.
pub(crate) fn net_with(nodes: usize, services: &[Offered]) -> Net {
    let mut settings: Settings = small();
    settings.services = services.to_vec();
    Net::new(nodes, settings, NetSettings::default(), start())
}

pub(crate) const ALL: [Offered; 7] = [
    Offered::Kv,
    Offered::Mgmt,
    Offered::Views,
    Offered::Query,
    Offered::Search,
    Offered::Analytics,
    Offered::Eventing,
];

/// Nothing but the data service: bootstrap does not go around it.
pub(crate) const KV_ONLY: &str = "couchbase://10.0.0.1?bootstrap_on=cccp";

pub(crate) fn at(index: usize, service: Offered) -> std::net::SocketAddr {
    Net::listener_of(NodeId(index), Listener::plain(service))
}

/// Steps until a ping is over.
pub(crate) fn pinged(client: &mut Client, request: PingRequest) -> PingReport {
    let now = client.now();
    let op = client.engine().ping(request, now);
    ping_end(client, op)
}

pub(crate) fn ping_end(client: &mut Client, op: OpId) -> PingReport {
    let limit = client.now() + secs(600);
    loop {
        client.world.settle();
        client.collect();
        if let Some(report) = client.pings.get(&op) {
            return report.clone();
        }
        assert!(client.world.step_until(Some(limit)), "{op:?} never ends");
    }
}

pub(crate) fn ready(
    client: &mut Client,
    desired: DesiredState,
    services: &[Service],
    timeout: Duration,
) -> OpId {
    let (now, bucket) = (client.now(), client.bucket());
    let request = ReadyRequest { bucket: Some(bucket), desired, services: services.to_vec(), timeout };
    client.engine().wait_until_ready_with(request, now)
}

pub(crate) fn end_of_ready(
    client: &mut Client,
    desired: DesiredState,
    services: &[Service],
    timeout: Duration,
) -> Outcome {
    let op = ready(client, desired, services, timeout);
    client.end(op)
}

pub(crate) fn paths(client: &mut Client, part: &str) -> usize {
    client.cluster().http_requests().filter(|(.., path)| path.contains(part)).count()
}

#[test]
fn health_is_there_at_once_while_the_cluster_is_down() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, KV_ONLY);
    let now = client.now();
    let before = client.engine().health(now);
    assert_eq!((before.state, before.connections.len()), (ClusterState::Offline, 0));
    client.run_for(secs(5));
    let now = client.now();
    let health = client.engine().health(now);
    assert_eq!(health.state, ClusterState::Offline);
    assert!(health.cluster.is_none() && health.network.is_none());
    let [bucket] = &health.buckets[..] else { panic!("{health:?}") };
    let hunt = bucket.hunt.as_ref().expect("it is being looked for");
    assert_eq!(hunt.attempts[0].stage, Stage::Tcp);
    assert_eq!(health.failures[0].endpoint, "10.0.0.1:11210");
    assert!(health.to_string().contains("connection refused"), "{health}");
    // The handle lives: when the cluster comes, so does everything else.
    client.world.net.set_reachability(node(0), Reachability::Open);
    client.online();
    let now = client.now();
    assert_eq!(client.engine().health(now).state, ClusterState::Online);
}

#[test]
fn health_shows_every_connection_with_what_was_agreed() {
    let mut client = Client::connected(2);
    client.run_for(secs(1));
    client.set("k", "v").expect("written");
    let now = client.now();
    let health = client.engine().health(now);
    assert_eq!(health.state, ClusterState::Online);
    let network = health.network.as_ref().expect("chosen");
    assert_eq!((&*network.name, &*network.reason.to_string()), ("default", "no match; no usable external"));
    let [bucket] = &health.buckets[..] else { panic!("{health:?}") };
    assert_eq!(
        (&*bucket.name, bucket.kind, bucket.ready, bucket.total),
        ("default", Some("couchbase"), 2, 2)
    );
    assert_eq!(bucket.map.as_ref().map(|map| map.nodes), Some(2));
    let members: Vec<_> = health.connections.iter().filter(|it| it.role == ConnectionRole::Member).collect();
    assert_eq!(members.len(), 2);
    for member in members {
        assert_eq!((member.state, member.protocol), (ConnectionState::Connected, ConnectionProtocol::Kv));
        assert_eq!(member.bucket.as_deref(), Some("default"));
        assert!(member.mechanism.is_some_and(|name| name.starts_with("SCRAM-")), "{:?}", member.mechanism);
        assert!(member.features.contains(&"COLLECTIONS"), "{:?}", member.features);
        assert!(member.id.starts_with(&health.instance), "{}", member.id);
        assert!(member.last_activity.is_some() && member.address.is_some());
        assert!(member.tls.is_none() && member.certificates.is_empty() && member.last_error.is_none());
    }
    let json: Value = serde_json::to_value(&health).expect("JSON");
    assert_eq!(json["state"], "online");
    assert_eq!(json["connections"][0]["state"], "connected");
    assert_eq!(json["network"]["reason"], "no match; no usable external");
}

#[test]
fn health_tells_queues_pauses_and_the_last_error_of_a_node_that_is_down() {
    let mut client = Client::connected(2);
    client.run_for(secs(6));
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    client.run_for(ms(500));
    let keys = client.keys_on(1, 3);
    for key in &keys {
        client.start(key, OpKind::Get);
    }
    client.world.settle();
    let now = client.now();
    let health = client.engine().health(now);
    assert_eq!((health.state, health.operations), (ClusterState::Degraded, 3));
    assert_eq!((health.buckets[0].ready, health.buckets[0].total), (1, 2));
    let down =
        health.connections.iter().find(|it| it.state != ConnectionState::Connected).expect("one is down");
    assert_eq!((down.queued, down.stage), (3, Stage::Tcp));
    let failure = down.last_error.as_ref().expect("it failed");
    assert_eq!((failure.stage, failure.kind), (Stage::Tcp, ErrorKind::UnambiguousTimeout));
    assert!(failure.ago < ms(500) && down.pause.is_some());
    assert!(down.next_dial.is_some() || down.state == ConnectionState::Connecting);
    // It is remembered when all is well again.
    client.world.net.set_reachability(node(1), Reachability::Open);
    client.online();
    let now = client.now();
    let health = client.engine().health(now);
    assert_eq!(health.state, ClusterState::Online);
    assert!(health.connections.iter().any(|it| it.last_error.is_some()));
}

#[test]
fn health_does_no_io_and_changes_nothing() {
    let run = |look: bool| {
        let mut client = Client::new(net(2), "couchbase://10.0.0.1");
        client.world.record();
        for _ in 0..20 {
            client.run_for(ms(300));
            if look {
                let now = client.now();
                let _ = client.engine().health(now);
                let _ = client.engine().diagnostics(None, now);
            }
        }
        client.world.transcript().to_vec()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn diagnostics_is_the_json_of_rfc_0061_version_2() {
    let mut client = Client::connected(2);
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    client.run_for(ms(10));
    let now = client.now();
    let report = client.engine().diagnostics(Some("mine"), now);
    let json: Value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(
        (&json["version"], &json["id"], &json["state"]),
        (&2.into(), &"mine".into(), &"degraded".into())
    );
    assert!(json["sdk"].as_str().is_some_and(|sdk| sdk.starts_with("settee/")), "{json}");
    assert!(json.get("config_rev").is_none());
    let kv = json["services"]["kv"].as_array().expect("a list");
    assert_eq!(kv.len(), 2, "{json}");
    let up = kv.iter().find(|it| it["remote"] == "node1.sim:11210").expect("the first node");
    assert_eq!((&up["state"], &up["namespace"]), (&"connected".into(), &"default".into()));
    assert!(up["last_activity_us"].is_u64() && up["id"].is_string() && up.get("details").is_none());
    let down = kv.iter().find(|it| it["remote"] == "node2.sim:11210").expect("the second node");
    assert!(down["state"] == "disconnected" || down["state"] == "connecting", "{down}");
    assert!(down["details"].as_str().is_some_and(|text| text.contains("refused")), "{down}");
    let names: Vec<&String> = up.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["id", "last_activity_us", "namespace", "remote", "state"]);
}

#[test]
fn diagnostics_makes_up_an_id_where_none_is_given() {
    let mut client = Client::connected(1);
    let now = client.now();
    let first = client.engine().diagnostics(None, now).id;
    let second = client.engine().diagnostics(None, now + ms(1)).id;
    assert!(!first.is_empty() && first != second);
}

fn secure_client(kind_of: Option<settee_sim::Certificates>) -> Client {
    let mut net = net(1);
    if let Some(kind_of) = kind_of {
        assert!(net.cluster().set_certificates(NodeId(0), kind_of));
    }
    let config = secure(&mut net, "couchbases://node1.sim", password("Administrator", "password"));
    Client::with(net, config)
}

#[test]
fn health_shows_the_tls_session_and_the_chain() {
    let mut client = secure_client(None);
    client.online();
    let now = client.now();
    let health = client.engine().health(now);
    let member = health
        .connections
        .iter()
        .find(|it| it.role == ConnectionRole::Member)
        .expect("the node's connection");
    let peer = member.tls.as_ref().expect("a session");
    assert_eq!(peer.version, "TLS 1.3");
    assert!(!member.certificates.is_empty() && member.certificates == peer.chain);
    let json: Value = serde_json::to_value(member).expect("JSON");
    assert_eq!(json["tls"]["version"], "TLS 1.3");
    assert!(json["certificates"][0].as_str().is_some_and(|text| text.starts_with("MII")), "{json}");
    // The ping of the manager goes over TLS as well.
    let report = pinged(&mut client, PingRequest { services: vec![Service::Mgmt], ..PingRequest::default() });
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(report.services[&Service::Mgmt][0].remote, "node1.sim:18091");
}

#[test]
fn health_shows_the_chain_that_was_refused() {
    let mut client = secure_client(Some(settee_sim::Certificates::Expired));
    client.run_for(secs(2));
    let now = client.now();
    let health = client.engine().health(now);
    let failure = health.failures.iter().find(|it| it.endpoint == "node1.sim:11207").expect("it failed");
    assert_eq!((failure.error.stage, failure.error.kind), (Stage::Tls, ErrorKind::TlsFailure));
    let facts = settee::tls::CertificateFacts::read(&failure.certificates[0]).expect("a certificate");
    assert!(facts.names.iter().any(|name| name == "node1.sim"), "{facts:?}");
}
