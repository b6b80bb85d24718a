//! `ping` (`connecting.md` 6.2).

use crate::common::{Client, config, kind, ms, net, node, secs};
use serde_json::Value;
use settee::engine::{ConnectionProtocol, ConnectionRole, DesiredState, PingRequest, PingState};
use settee::error::ErrorKind;
use settee::map::Service;
use settee::wire::Opcode;
use settee_sim::{Action, NodeId, Posture, Reachability, Rule, Service as Offered};

use super::{ALL, KV_ONLY, at, net_with, paths, ping_end, pinged, ready};

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
    let mut client = Client::new(net, KV_ONLY);
    let begin = client.now();
    let request = PingRequest {
        services: vec![Service::Kv, Service::Query],
        timeout: Some(secs(3)),
        ..PingRequest::default()
    };
    let report = pinged(&mut client, request);
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
        let remote = format!("node{}.sim:", index + 1);
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

/// Whatever the network does, each ping and each wait ends, exactly once and in its time.
#[test]
fn pings_and_waits_end_exactly_once_whatever_happens() {
    for seed in 0..12_u8 {
        let mut client = Client::seeded(net_with(3, &ALL), config("couchbase://10.0.0.1"), [seed; 32]);
        let mut pings = Vec::new();
        let mut waits = Vec::new();
        for step in 0..60_u64 {
            let what = (step * 7 + u64::from(seed) * 13) % 11;
            let index = ((step + u64::from(seed)) % 3) as usize;
            let service = ALL[(step as usize) % ALL.len()];
            let now = client.now();
            match what {
                0 => pings.push(client.engine().ping(PingRequest::default(), now)),
                1 => {
                    let request = PingRequest {
                        bucket: Some(client.bucket()),
                        services: vec![Service::Kv, Service::Query, Service::Eventing],
                        timeout: Some(ms(700)),
                        ..PingRequest::default()
                    };
                    pings.push(client.engine().ping(request, now));
                }
                2 => waits.push(ready(&mut client, DesiredState::Online, &[], secs(3))),
                3 => waits.push(ready(&mut client, DesiredState::Degraded, &[Service::Query], secs(2))),
                4 => client.world.net.cut_all(at(index, service)),
                5 => client.world.net.set_reachability(at(index, service), Reachability::Refuse),
                6 => client.world.net.set_reachability(at(index, service), Reachability::Swallow),
                7 => client.world.net.set_reachability(at(index, service), Reachability::Open),
                8 => client.cluster().fail_http(NodeId(index), (step % 2 == 0).then_some(500)),
                9 => {
                    client.cluster().bump_revision("default");
                }
                _ => client.cluster().add_rule_everywhere(&Rule::new(Opcode::NOOP, Action::Close).times(1)),
            }
            client.run_for(ms(150));
        }
        client.run_for(secs(15));
        assert_eq!(client.engine().operations(), 0, "seed {seed}");
        for op in pings {
            assert!(client.pings.contains_key(&op), "seed {seed}: {op:?}");
        }
        for op in waits {
            assert!(client.outcome(op).is_some(), "seed {seed}: {op:?}");
        }
        let now = client.now();
        let health = client.engine().health(now);
        let errands = health.connections.iter().filter(|it| it.role == ConnectionRole::Errand).count();
        assert_eq!(errands, 0, "seed {seed}: {health}");
    }
}
