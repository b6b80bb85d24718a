//! Health, diagnostics, ping, readiness, and connections that idle or stand still (`connecting.md` 4.10, 6.1, 6.2).

use std::time::Duration;

use serde_json::Value;
use settee::engine::{
    ClusterState, ConnectionProtocol, ConnectionRole, ConnectionState, DesiredState, OpId, OpKind,
    PingReport, PingRequest, PingState, ReadyRequest, Response, Stage,
};
use settee::error::ErrorKind;
use settee::map::Service;
use settee::wire::{Opcode, Status};
use settee_sim::{
    Action, Listener, Net, NetSettings, NodeId, Posture, Reachability, Rule, Service as Offered, Settings,
};

use crate::common::{
    Client, Outcome, config, config_as, error, kind, ms, net, node, secs, small, start, upsert,
};

/// A cluster whose nodes offer these besides.
fn net_with(nodes: usize, services: &[Offered]) -> Net {
    let mut settings: Settings = small();
    settings.services = services.to_vec();
    Net::new(nodes, settings, NetSettings::default(), start())
}

const ALL: [Offered; 7] = [
    Offered::Kv,
    Offered::Mgmt,
    Offered::Views,
    Offered::Query,
    Offered::Search,
    Offered::Analytics,
    Offered::Eventing,
];

fn at(index: usize, service: Offered) -> std::net::SocketAddr {
    Net::listener_of(NodeId(index), Listener::plain(service))
}

/// Steps until a ping is over.
fn pinged(client: &mut Client, request: PingRequest) -> PingReport {
    let now = client.now();
    let op = client.engine().ping(request, now);
    ping_end(client, op)
}

fn ping_end(client: &mut Client, op: OpId) -> PingReport {
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

fn ready(client: &mut Client, desired: DesiredState, services: &[Service], timeout: Duration) -> OpId {
    let (now, bucket) = (client.now(), client.bucket());
    let request = ReadyRequest { bucket: Some(bucket), desired, services: services.to_vec(), timeout };
    client.engine().wait_until_ready_with(request, now)
}

fn end_of_ready(
    client: &mut Client,
    desired: DesiredState,
    services: &[Service],
    timeout: Duration,
) -> Outcome {
    let op = ready(client, desired, services, timeout);
    client.end(op)
}

fn paths(client: &mut Client, part: &str) -> usize {
    client.cluster().http_requests().filter(|(.., path)| path.contains(part)).count()
}

// Health.

#[test]
fn health_is_there_at_once_while_the_cluster_is_down() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
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
    assert_eq!((&*network.name, &*network.reason.to_string()), ("default", "exact match in default"));
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
    assert_eq!(json["network"]["reason"], "exact match in default");
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

// Diagnostics.

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
    let up = kv.iter().find(|it| it["remote"] == "10.0.0.1:11210").expect("the first node");
    assert_eq!((&up["state"], &up["namespace"]), (&"connected".into(), &"default".into()));
    assert!(up["last_activity_us"].is_u64() && up["id"].is_string() && up.get("details").is_none());
    let down = kv.iter().find(|it| it["remote"] == "10.0.0.2:11210").expect("the second node");
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

// Ping.

#[test]
fn ping_asks_each_endpoint_of_each_service_and_is_the_json_of_rfc_0061() {
    let mut client = Client::connect(net_with(2, &ALL), "couchbase://10.0.0.1");
    let noops = client.cluster().requests_everywhere(Opcode::NOOP);
    let request =
        PingRequest { id: Some("mine".into()), bucket: Some(client.bucket()), ..PingRequest::default() };
    let report = pinged(&mut client, request);
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), noops + 2);
    let rev = client.cluster().revision();
    let json: Value = serde_json::to_value(&report).expect("JSON");
    assert_eq!(
        (&json["version"], &json["id"], &json["config_rev"]),
        (&2.into(), &"mine".into(), &rev.into())
    );
    assert!(json.get("state").is_none());
    let services = json["services"].as_object().expect("an object");
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["analytics", "kv", "mgmt", "query", "search", "views"], "eventing only if asked for");
    for (name, endpoints) in services {
        let endpoints = endpoints.as_array().expect("a list");
        assert_eq!(endpoints.len(), 2, "{name}");
        for endpoint in endpoints {
            assert_eq!(endpoint["state"], "ok", "{name}: {endpoint}");
            assert_eq!(endpoint["latency_us"], 1000, "one round trip from the request on: {name}");
            assert_eq!(endpoint.get("namespace").is_some(), name == "kv");
            assert!(endpoint["id"].as_str().is_some_and(|id| !id.is_empty()));
            assert!(endpoint.get("last_activity_us").is_none() && endpoint.get("error").is_none());
        }
    }
    for (path, count) in [("/admin/ping", 4), ("/api/ping", 2)] {
        assert_eq!(paths(&mut client, path), count, "{path}");
    }
    // The links for it are gone.
    let now = client.now();
    let health = client.engine().health(now);
    assert!(health.connections.iter().all(|it| it.protocol == ConnectionProtocol::Kv), "{health}");
}

#[test]
fn ping_asks_eventing_only_by_name_and_on_the_clusters_own_connection_without_a_bucket() {
    let net = net_with(1, &ALL);
    let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
    let request = PingRequest { services: vec![Service::Eventing, Service::Kv], ..PingRequest::default() };
    let report = pinged(&mut client, request);
    assert!(report.is_ok(), "{report:?}");
    let names: Vec<Service> = report.services.keys().copied().collect();
    assert_eq!(names, [Service::Kv, Service::Eventing]);
    assert_eq!(report.services[&Service::Kv][0].namespace, None);
    assert!(!report.id.is_empty());
}

#[test]
fn ping_waits_for_the_topology_and_never_fails_for_time_outs() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::BlackHole);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let begin = client.now();
    let request = PingRequest {
        services: vec![Service::Kv, Service::Query],
        timeout: Some(secs(3)),
        ..PingRequest::default()
    };
    let report = pinged(&mut client, request.clone());
    assert_eq!(client.now() - begin, secs(3));
    assert_eq!(report.config_rev, None);
    for endpoints in report.services.values() {
        assert_eq!(endpoints[0].state, PingState::Timeout);
        assert!(
            endpoints[0].details.as_ref().is_some_and(|text| text.contains("10.0.0.1:11210")),
            "{report:?}"
        );
    }
    // Where the cluster comes in time it is asked.
    let now = client.now();
    let op = client.engine().ping(PingRequest { timeout: Some(secs(60)), ..PingRequest::default() }, now);
    client.world.net.set_reachability(node(0), Reachability::Open);
    let report = ping_end(&mut client, op);
    assert_eq!(report.services[&Service::Kv][0].state, PingState::Ok, "{report:?}");
}

#[test]
fn ping_tells_a_silent_endpoint_from_one_that_refuses_and_one_that_answers_an_error() {
    let mut client = Client::connect(net_with(3, &ALL), "couchbase://10.0.0.1");
    client.world.net.set_reachability(at(0, Offered::Query), Reachability::Swallow);
    client.world.net.set_reachability(at(1, Offered::Query), Reachability::Refuse);
    client.cluster().fail_http(NodeId(2), Some(503));
    let begin = client.now();
    let request = PingRequest {
        services: vec![Service::Query, Service::Views],
        timeout: Some(secs(4)),
        ..PingRequest::default()
    };
    let report = pinged(&mut client, request);
    assert_eq!(client.now() - begin, secs(4), "the silent one is waited for");
    let state = |service: Service, index: usize| {
        let remote = format!("10.0.0.{}:", index + 1);
        let found = report.services[&service].iter().find(|it| it.remote.starts_with(&remote));
        let found = found.expect("the node is asked");
        (found.state, found.details.clone().unwrap_or_default())
    };
    assert_eq!(state(Service::Query, 0), (PingState::Timeout, "no answer in time".to_owned()));
    let (refused, text) = state(Service::Query, 1);
    assert_eq!(refused, PingState::Error);
    assert!(text.contains("refused"), "{text}");
    assert_eq!(state(Service::Query, 2), (PingState::Error, "HTTP 503".to_owned()));
    assert_eq!(state(Service::Views, 0).0, PingState::Ok);
    assert_eq!(state(Service::Views, 2).0, PingState::Error);
}

#[test]
fn net_7_a_service_that_no_node_offers_is_not_available_in_a_ping() {
    let mut client = Client::connected(1);
    let report =
        pinged(&mut client, PingRequest { services: vec![Service::Search], ..PingRequest::default() });
    let [endpoint] = &report.services[&Service::Search][..] else { panic!("{report:?}") };
    assert_eq!(endpoint.state, PingState::Error);
    let text = endpoint.details.clone().unwrap_or_default();
    assert!(text.starts_with("ServiceNotAvailable: no node offers search"), "{text}");
}

#[test]
fn connecting_4_4_before_6_5_services_need_an_open_bucket() {
    let mut net = net_with(1, &ALL);
    net.cluster().pose(Posture::V6_0);
    let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
    let services = vec![Service::Kv, Service::Query];
    let request = PingRequest { services, ..PingRequest::default() };
    let report = pinged(&mut client, request.clone());
    assert_eq!(report.services[&Service::Kv][0].state, PingState::Ok, "{report:?}");
    let text = report.services[&Service::Query][0].details.clone().unwrap_or_default();
    assert!(text.starts_with("FeatureNotAvailable") && text.contains("open a bucket first"), "{text}");
    client.open("default");
    client.online();
    assert!(pinged(&mut client, request).is_ok());
}

#[test]
fn ping_of_a_closed_cluster_is_cluster_closed_and_a_cancelled_one_is_silent() {
    let mut client = Client::connect(net_with(1, &ALL), "couchbase://10.0.0.1");
    let now = client.now();
    let cancelled = client.engine().ping(PingRequest::default(), now);
    client.world.settle();
    client.engine().cancel(cancelled, now);
    let open = client.engine().ping(PingRequest::default(), now);
    client.engine().shut_down(secs(1), now);
    let late = client.engine().ping(PingRequest::default(), now);
    for op in [open, late] {
        let outcome = client.end(op);
        assert_eq!(kind(&outcome), ErrorKind::ClusterClosed);
    }
    client.run_for(secs(20));
    assert!(client.pings.is_empty() && client.outcome(cancelled).is_none());
    assert_eq!(client.engine().operations(), 0);
}

#[test]
fn ping_measures_a_slow_answer_and_a_lost_connection_is_an_error() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::NOOP, Action::Delay(ms(20))).times(1));
    let request = PingRequest { services: vec![Service::Kv], ..PingRequest::default() };
    let report = pinged(&mut client, request.clone());
    let [endpoint] = &report.services[&Service::Kv][..] else { panic!("{report:?}") };
    assert_eq!((endpoint.state, endpoint.latency), (PingState::Ok, Some(ms(21))));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::NOOP, Action::CloseWithoutAnswer).times(1));
    let report = pinged(&mut client, request);
    let [endpoint] = &report.services[&Service::Kv][..] else { panic!("{report:?}") };
    assert_eq!(endpoint.state, PingState::Error);
    assert!(endpoint.details.as_ref().is_some_and(|text| text.contains("before the answer")), "{report:?}");
}

// Readiness.

#[test]
fn boot_28_connections_then_nodes_then_services() {
    let mut client = Client::new(net_with(2, &ALL), "couchbase://10.0.0.1");
    assert_eq!(end_of_ready(&mut client, DesiredState::Online, &[], secs(10)), Ok(Response::Ready));
    assert_eq!(paths(&mut client, "/pools/default/buckets/default"), 1);
    assert_eq!((paths(&mut client, "/admin/ping"), paths(&mut client, "/api/ping")), (4, 2));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 2);
}

#[test]
fn boot_28_without_services_nothing_is_sent_over_http() {
    let mut client = Client::connect(net_with(2, &ALL), "couchbase://10.0.0.1");
    client.run_for(secs(5));
    assert_eq!(client.cluster().http_requests().count(), 0);
}

#[test]
fn boot_28_a_node_that_is_not_healthy_holds_it_up_with_growing_pauses() {
    let mut client = Client::connected(2);
    client.cluster().set_config_only("default", NodeId(1), true);
    let op = ready(&mut client, DesiredState::Online, &[], secs(60));
    client.run_for(secs(11));
    assert!(client.outcome(op).is_none());
    let asked = paths(&mut client, "/pools/default/buckets/default");
    assert!((6..=14).contains(&asked), "100 ms doubling to 2 s: {asked}");
    client.cluster().set_config_only("default", NodeId(1), false);
    let begin = client.now();
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert!(client.now() - begin <= secs(4));
}

#[test]
fn boot_28_a_manager_that_refuses_the_question_does_not_hold_it_up() {
    for status in [401, 403] {
        let mut client = Client::connected(1);
        client.cluster().fail_http(NodeId(0), Some(status));
        let outcome = end_of_ready(&mut client, DesiredState::Online, &[Service::Kv], secs(5));
        assert_eq!(outcome, Ok(Response::Ready), "{status}");
    }
    let mut client = Client::connect(net_with(1, &[Offered::Kv]), "couchbase://10.0.0.1");
    let outcome = end_of_ready(&mut client, DesiredState::Online, &[], secs(5));
    assert_eq!(outcome, Ok(Response::Ready), "no manager is known");
}

#[test]
fn boot_28_degraded_needs_one_endpoint_of_each_service() {
    let mut client = Client::connect(net_with(2, &ALL), "couchbase://10.0.0.1");
    client.world.net.set_reachability(at(0, Offered::Query), Reachability::Swallow);
    let begin = client.now();
    let outcome = end_of_ready(&mut client, DesiredState::Degraded, &[Service::Query], secs(5));
    assert_eq!(outcome, Ok(Response::Ready));
    assert!(client.now() - begin <= ms(50), "the silent one is not waited for");
    let outcome = end_of_ready(&mut client, DesiredState::Online, &[Service::Query], secs(5));
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
}

#[test]
fn boot_28_a_service_that_comes_up_later_is_found() {
    let mut client = Client::connect(net_with(1, &ALL), "couchbase://10.0.0.1");
    client.world.net.set_reachability(at(0, Offered::Search), Reachability::Refuse);
    let op = ready(&mut client, DesiredState::Online, &[Service::Search], secs(30));
    client.run_for(secs(8));
    assert!(client.outcome(op).is_none());
    client.world.net.set_reachability(at(0, Offered::Search), Reachability::Open);
    let begin = client.now();
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert!(client.now() - begin <= ms(1600), "a pause is 1 s and half of it at most");
}

#[test]
fn boot_28_lazy_connections_are_woken() {
    let text = "couchbase://10.0.0.1?enable_lazy_connections=true";
    let mut client = Client::new(net(3), text);
    assert_eq!(end_of_ready(&mut client, DesiredState::Online, &[Service::Kv], secs(5)), Ok(Response::Ready));
    for index in 0..3 {
        assert_eq!(client.open_links(node(index)).len(), 1, "node {index}");
    }
}

#[test]
fn boot_28_the_cluster_without_a_bucket() {
    let net = net_with(2, &ALL);
    let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
    let now = client.now();
    let request =
        ReadyRequest { bucket: None, desired: DesiredState::Online, services: Vec::new(), timeout: secs(5) };
    let op = client.engine().wait_until_ready_with(request, now);
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert_eq!(paths(&mut client, "/pools/default/buckets"), 0);
    assert_eq!(paths(&mut client, "/admin/ping"), 4);
}

#[test]
fn boot_29_a_cluster_without_a_map_of_its_own_is_ready_with_a_warning() {
    let mut net = net_with(1, &ALL);
    net.cluster().pose(Posture::V6_0);
    let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
    let now = client.now();
    let request = ReadyRequest {
        bucket: None,
        desired: DesiredState::Online,
        services: vec![Service::Query],
        timeout: secs(5),
    };
    let op = client.engine().wait_until_ready_with(request, now);
    assert_eq!(client.end(op), Ok(Response::Ready));
    assert!(client.now() - now < secs(1));
}

#[test]
fn boot_29_the_error_names_stage_and_endpoint() {
    let mut client = Client::connect(net_with(2, &ALL), "couchbase://10.0.0.1");
    client.world.net.set_reachability(at(1, Offered::Analytics), Reachability::Refuse);
    let outcome = end_of_ready(&mut client, DesiredState::Online, &[Service::Analytics], secs(3));
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    let text = error(&outcome).to_string();
    assert!(text.contains("services") && text.contains("analytics 10.0.0.2:8095"), "{text}");
    assert!(text.contains("refused"), "{text}");
    client.cluster().fail_http(NodeId(0), Some(500));
    client.cluster().fail_http(NodeId(1), Some(500));
    let outcome = end_of_ready(&mut client, DesiredState::Online, &[], secs(3));
    let text = error(&outcome).to_string();
    assert!(text.contains("\"bucket\"") && text.contains("HTTP 500"), "{text}");
}

#[test]
fn boot_29_the_error_has_the_attempts_to_connect() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1");
    let outcome = end_of_ready(&mut client, DesiredState::Degraded, &[], secs(2));
    assert_eq!(kind(&outcome), ErrorKind::UnambiguousTimeout);
    let bootstrap = error(&outcome).context().bootstrap.as_ref().expect("the attempts");
    assert_eq!(bootstrap.attempts[0].seed, "10.0.0.1:11210");
    assert!(error(&outcome).to_string().contains("connections"));
}

#[test]
fn boot_29_refused_credentials_end_it_early() {
    let mut client = Client::with(net(1), config_as("couchbase://10.0.0.1", "Administrator", "wrong"));
    let begin = client.now();
    let outcome = end_of_ready(&mut client, DesiredState::Online, &[], secs(60));
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    assert!(client.now() - begin < secs(2));
}

#[test]
fn net_7_waiting_for_a_service_that_no_node_offers_ends_at_once() {
    let mut client = Client::connected(1);
    let begin = client.now();
    let outcome = end_of_ready(&mut client, DesiredState::Degraded, &[Service::Search], secs(60));
    assert_eq!(kind(&outcome), ErrorKind::ServiceNotAvailable);
    assert!(client.now() - begin < secs(1));
}

// Queues.

#[test]
fn boot_30_more_than_max_queue_size_for_a_node_that_is_down_end_at_once() {
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?max_queue_size=10");
    client.run_for(secs(6));
    client.world.net.set_reachability(node(1), Reachability::Refuse);
    client.world.net.cut_all(node(1));
    client.run_for(secs(1));
    let keys = client.keys_on(1, 12);
    let ops: Vec<OpId> = keys.iter().map(|key| client.start(key, OpKind::Get)).collect();
    client.world.settle();
    client.collect();
    for op in &ops[..10] {
        assert!(client.outcome(*op).is_none(), "it waits for the node");
    }
    for op in &ops[10..] {
        let outcome = client.outcome(*op).cloned().expect("it ends at once");
        assert_eq!(kind(&outcome), ErrorKind::RequestCanceled);
        let text = error(&outcome).to_string();
        assert!(text.contains("10 operations (max_queue_size)") && text.contains("10.0.0.2:11210"), "{text}");
        assert!(!error(&outcome).may_have_happened());
    }
    // The other node is no worse for it, and those that wait are served when theirs is back.
    let here = client.key_on(0);
    assert!(client.set(&here, "v").is_ok());
    client.world.net.set_reachability(node(1), Reachability::Open);
    for op in &ops[..10] {
        assert_eq!(kind(&client.end(*op)), ErrorKind::DocumentNotFound);
    }
}

#[test]
fn boot_30_a_bucket_that_cannot_be_found_takes_max_queue_size_operations() {
    let mut net = net(1);
    net.set_reachability(node(0), Reachability::Refuse);
    let mut client = Client::new(net, "couchbase://10.0.0.1?max_queue_size=5");
    client.run_for(secs(2));
    let ops: Vec<OpId> = (0..7).map(|n| client.start(&format!("k{n}"), OpKind::Get)).collect();
    client.world.settle();
    client.collect();
    let ended: Vec<bool> = ops.iter().map(|op| client.outcome(*op).is_some()).collect();
    assert_eq!(ended, [false, false, false, false, false, true, true]);
    // The others time out, and make room.
    for op in &ops[..5] {
        assert_eq!(kind(&client.end(*op)), ErrorKind::UnambiguousTimeout);
    }
    let op = client.start("again", OpKind::Get);
    client.world.settle();
    assert!(client.outcome(op).is_none());
}

#[test]
fn boot_30_a_burst_before_the_first_connection_is_served() {
    let mut client = Client::new(net(2), "couchbase://10.0.0.1?max_queue_size=5");
    let ops: Vec<OpId> = (0..500).map(|n| client.start(&format!("k{n}"), upsert(b"v"))).collect();
    for op in ops {
        let outcome = client.end(op);
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

// Idle connections, and a process that stands still.

/// Of each connection that serves, the longest time without traffic that is seen while it idles.
fn longest_silence(client: &mut Client, duration: Duration) -> Duration {
    let end = client.now() + duration;
    let mut longest = Duration::ZERO;
    while client.now() < end {
        client.run_for(ms(500));
        let now = client.now();
        let health = client.engine().health(now);
        let silences = health.connections.iter().filter_map(|it| it.last_activity);
        longest = silences.fold(longest, Duration::max);
    }
    longest
}

#[test]
fn life_idle_connections_are_never_silent_for_longer_than_the_keep_alive() {
    let text = "couchbase://10.0.0.1?config_safety_interval=3600s";
    let mut client = Client::connect(net(3), text);
    let silence = longest_silence(&mut client, secs(300));
    assert!(silence <= secs(31), "{silence:?}");
    let mut client = Client::connect(net(3), &format!("{text}&kv_keep_alive_interval=10s"));
    let silence = longest_silence(&mut client, secs(300));
    assert!(silence <= secs(11), "{silence:?}");
}

/// A box in between forgets the connections to a node, and tells nobody.
fn forget_connections(client: &mut Client, index: usize) {
    for link in client.open_links(node(index)) {
        client.world.net.hang_up(link);
    }
}

#[test]
fn life_a_box_that_forgets_idle_connections_is_noticed_by_the_keep_alive() {
    let text = "couchbase://10.0.0.1?config_safety_interval=3600s";
    let mut client = Client::connect(net(2), text);
    client.run_for(secs(6));
    forget_connections(&mut client, 1);
    assert!(client.open_links(node(1)).is_empty());
    client.run_for(secs(33));
    assert_eq!(client.open_links(node(1)).len(), 1, "dialled anew");
    let key = client.key_on(1);
    let begin = client.now();
    assert!(client.set(&key, "v").is_ok());
    assert!(client.now() - begin <= ms(2));
}

/// The world goes on, and the client's process does not.
fn stand_still(client: &mut Client, duration: Duration) {
    let until = client.now() + duration;
    while client.world.net.step(Some(until)).is_some() {}
}

#[test]
fn life_6_h22_connections_are_probed_before_use_after_a_jump_of_the_clock() {
    let mut client = Client::connected(2);
    client.run_for(secs(6));
    let keys = [client.key_on(0), client.key_on(1)];
    stand_still(&mut client, secs(3600));
    let noops = client.cluster().requests_everywhere(Opcode::NOOP);
    let begin = client.now();
    let ops = keys.each_ref().map(|key| client.start(key, upsert(b"v")));
    client.world.settle();
    // The request waits for the answer to the probe: one round trip more.
    for op in ops {
        assert!(client.end(op).is_ok());
    }
    assert_eq!(client.now() - begin, ms(2));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), noops + 2);
    // From then on they are trusted again.
    let begin = client.now();
    assert!(client.set(&keys[0], "v").is_ok());
    assert_eq!(client.now() - begin, ms(1));
}

#[test]
fn life_6_h22_a_connection_that_died_meanwhile_costs_no_operation() {
    let mut client = Client::connected(2);
    client.run_for(secs(6));
    let key = client.key_on(1);
    forget_connections(&mut client, 1);
    stand_still(&mut client, secs(3600));
    let begin = client.now();
    // A write that had gone out on the dead connection would end as ambiguous.
    let op = client.start(
        &key,
        OpKind::Append(settee::engine::Concat {
            value: bytes::Bytes::from_static(b"x"),
            cas: settee::ids::Cas::NONE,
            durability: settee::engine::Durability::None,
        }),
    );
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::DocumentNotFound, "it was asked, on a new connection");
    assert!(client.now() - begin <= ms(1100), "{:?}", client.now() - begin);
}

#[test]
fn life_6_the_map_is_refreshed_after_a_jump_of_the_clock() {
    let mut client = Client::connected(2);
    client.run_for(secs(6));
    let fetches = client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG);
    let until = client.now() + secs(3600);
    client.cluster().bump_revision("default");
    while client.world.net.step(Some(until)).is_some() {}
    let rev = client.cluster().revision();
    let bucket = client.bucket();
    client.run_for(ms(50));
    assert!(client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG) > fetches);
    assert_eq!(client.engine().bucket_map(bucket).map(|map| map.rev.rev), Some(rev));
}

#[test]
fn life_6_timers_expire_once_after_a_jump_of_the_clock() {
    let mut client = Client::connected(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Ignore));
    let op = client.start("k", OpKind::Get);
    client.world.settle();
    stand_still(&mut client, secs(3600));
    let begin = client.now();
    assert_eq!(kind(&client.end(op)), ErrorKind::UnambiguousTimeout);
    assert_eq!(client.now(), begin);
    let dials = client.dials(node(0));
    client.run_for(secs(5));
    assert_eq!(client.dials(node(0)), dials, "the connection answers the probe and stays");
}

#[test]
fn life_6_an_ordinary_pause_costs_nothing() {
    let mut client = Client::connected(1);
    client.run_for(secs(29));
    let noops = client.cluster().requests_everywhere(Opcode::NOOP);
    let begin = client.now();
    assert!(client.set("k", "v").is_ok());
    assert_eq!(client.now() - begin, ms(1));
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), noops);
}

#[test]
fn life_2_opening_a_bucket_does_no_io_and_twice_is_the_same() {
    let mut client = Client::connected(1);
    let now = client.now();
    let bucket = client.bucket();
    assert_eq!(client.engine().open_bucket("default", now), bucket);
    assert_eq!(client.engine().health(now).buckets.len(), 1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SELECT_BUCKET, Action::Status(Status::EACCESS)));
    client.engine().open_bucket("absent", now);
    client.run_for(secs(3));
    let now = client.now();
    let health = client.engine().health(now);
    assert_eq!(health.state, ClusterState::Degraded);
    let hunt = health.buckets[1].hunt.as_ref().expect("it is looked for");
    assert_eq!(hunt.kind, ErrorKind::BucketNotFound);
}

#[test]
fn life_7_two_clusters_in_one_process_are_independent() {
    let mut one = Client::connected(1);
    let mut other = Client::connected(1);
    let now = one.now();
    one.engine().shut_down(Duration::ZERO, now);
    one.run_for(secs(1));
    assert_eq!(one.closed, 1);
    assert!(other.set("k", "v").is_ok());
}
