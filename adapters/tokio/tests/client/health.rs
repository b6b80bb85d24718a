//! Ping, diagnostics and health over real sockets.

use std::time::{Duration, Instant};

use serde_json::Value;
use settee::wire::Opcode;
use settee_sim::{Action, NodeId, SimCluster};
use settee_tokio::{ClusterState, DesiredState, ErrorKind, PingState, Service, WaitUntilReadyOptions};

use super::{credentials, kind, rule, sim};

const SECOND: Duration = Duration::from_secs(1);

fn everything() -> SimCluster {
    use settee_sim::Service as S;
    SimCluster::builder()
        .services(&[S::Kv, S::Mgmt, S::Views, S::Query, S::Search, S::Analytics])
        .start()
        .unwrap()
}

async fn ready(sim: &SimCluster) -> settee_tokio::Cluster {
    let cluster = super::connect(sim).await;
    cluster.bucket("default").wait_until_ready(10 * SECOND).await.unwrap();
    cluster
}

/// The keys of an endpoint must all be among these.
fn assert_keys(endpoint: &Value, allowed: &[&str]) {
    for key in endpoint.as_object().unwrap().keys() {
        assert!(allowed.contains(&key.as_str()), "{key} in {endpoint}");
    }
}

#[tokio::test]
async fn rfc_61_diagnostics_are_json_of_version_2_without_io() {
    let sim = sim();
    let cluster = ready(&sim).await;
    let noops = || sim.control(|sim, _| sim.requests_everywhere(Opcode::NOOP));
    let before = noops();
    let report = cluster.diagnostics(Some("mine")).await.unwrap();
    assert_eq!(noops(), before);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&json["version"], &json["id"], &json["state"]),
        (&2.into(), &"mine".into(), &"online".into())
    );
    assert!(json["sdk"].as_str().unwrap().contains("settee/"), "{json}");
    assert!(json["sdk"].as_str().unwrap().contains("tokio"), "{json}");
    let kv = json["services"]["kv"].as_array().unwrap();
    for endpoint in kv {
        assert_keys(
            endpoint,
            &["id", "remote", "local", "state", "last_activity_us", "namespace", "details"],
        );
        assert!(endpoint["id"].is_string());
    }
    let of_bucket: Vec<_> = kv.iter().filter(|endpoint| endpoint["namespace"] == "default").collect();
    assert_eq!(of_bucket.len(), sim.addresses().len(), "{json}");
    for endpoint in of_bucket {
        assert_eq!(endpoint["state"], "connected", "{endpoint}");
        let remote = endpoint["remote"].as_str().unwrap();
        assert!(sim.addresses().iter().any(|address| address.to_string() == remote), "{remote}");
        assert!(endpoint["local"].as_str().unwrap().starts_with("127.0.0.1:"), "the socket's own address");
        assert!(endpoint["last_activity_us"].is_u64(), "{endpoint}");
    }
    let (one, other) = (cluster.diagnostics(None).await.unwrap(), cluster.diagnostics(None).await.unwrap());
    assert!(!one.id.is_empty() && !other.id.is_empty());
}

#[tokio::test]
async fn rfc_61_ping_asks_every_service_and_its_json_has_the_keys_of_the_table() {
    let sim = everything();
    let cluster = ready(&sim).await;
    let report = cluster.ping().id("mine").timeout(10 * SECOND).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["version"], &json["id"]), (&2.into(), &"mine".into()));
    assert!(json["config_rev"].is_i64() && json["sdk"].is_string(), "{json}");
    let services = json["services"].as_object().unwrap();
    let names: Vec<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for service in ["kv", "query", "search", "analytics", "views", "mgmt"] {
        let endpoints = services[service].as_array().unwrap_or_else(|| panic!("no {service} in {json}"));
        assert!(!endpoints.is_empty(), "{service}");
        for endpoint in endpoints {
            assert_keys(endpoint, &["id", "remote", "local", "state", "latency_us", "namespace", "error"]);
            assert_eq!(endpoint["state"], "ok", "{endpoint}");
            assert!(endpoint["latency_us"].is_u64(), "{endpoint}");
            assert!(endpoint["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{endpoint}");
        }
    }

    let chosen = cluster.bucket("default").ping().services([Service::Kv]).await.unwrap();
    assert_eq!(chosen.services.keys().copied().collect::<Vec<_>>(), [Service::Kv]);
    let kv = &chosen.services[&Service::Kv];
    assert!(kv.iter().all(|endpoint| endpoint.namespace.as_deref() == Some("default")), "{kv:?}");
    assert_eq!(kv.len(), 3);
}

#[tokio::test]
async fn rfc_61_a_silent_node_is_a_state_and_not_an_error() {
    let sim = sim();
    let cluster = ready(&sim).await;
    rule(&sim, Opcode::NOOP, Action::Ignore);
    let begin = Instant::now();
    let report = cluster.bucket("default").ping().services([Service::Kv]).timeout(SECOND / 2).await.unwrap();
    assert!(begin.elapsed() < 5 * SECOND);
    assert!(!report.is_ok());
    let states: Vec<_> = report.services[&Service::Kv].iter().map(|endpoint| endpoint.state).collect();
    assert_eq!(states, [PingState::Timeout; 3]);
}

#[tokio::test]
async fn a_ping_that_is_dropped_disturbs_nobody() {
    let sim = sim();
    let cluster = ready(&sim).await;
    rule(&sim, Opcode::NOOP, Action::Delay(Duration::from_millis(200)));
    for _ in 0..20 {
        let ping = cluster.ping().into_future();
        assert!(tokio::time::timeout(Duration::from_millis(5), ping).await.is_err());
    }
    super::clear_rules(&sim);
    assert!(cluster.ping().timeout(10 * SECOND).await.unwrap().is_ok());
}

#[tokio::test]
async fn health_of_a_cluster_that_is_down_says_why_and_of_one_that_is_up_what_is_there() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    sim.control(|cluster, _| cluster.kill_node(NodeId(0)));
    let cluster = settee_tokio::open(&sim.connection_string(), credentials(&sim)).unwrap();
    let docs = cluster.bucket("default").default_collection();
    docs.get("k").timeout(Duration::from_millis(300)).await.unwrap_err();
    let down = cluster.health().await.unwrap();
    assert_eq!(down.state, ClusterState::Offline);
    assert!(down.to_string().contains("refused"), "{down}");
    assert!(serde_json::to_string(&down).unwrap().contains("refused"));

    sim.control(|cluster, _| cluster.restart_node(NodeId(0)));
    cluster.bucket("default").wait_until_ready(20 * SECOND).await.unwrap();
    let up = cluster.health().await.unwrap();
    assert_eq!((up.state, up.buckets[0].ready, up.buckets[0].total), (ClusterState::Online, 1, 1));
    assert!(!up.to_string().contains(sim.password()), "AUTH-9");
    let mut closing = cluster.health().into_future();
    cluster.close().await;
    assert_eq!(kind((&mut closing).await), ErrorKind::ClusterClosed);
    assert_eq!(kind(cluster.ping().await), ErrorKind::ClusterClosed);
}

#[tokio::test]
async fn boot_28_ready_with_services_waits_for_their_answers() {
    let sim = everything();
    let cluster = settee_tokio::open(&sim.connection_string(), credentials(&sim)).unwrap();
    let all = WaitUntilReadyOptions::new(10 * SECOND).services([]);
    cluster.wait_until_ready_with(all.clone()).await.unwrap();
    cluster.bucket("default").wait_until_ready_with(all).await.unwrap();
    let asked = sim
        .control(|sim, _| sim.http_requests().any(|(_, service, _)| service == settee_sim::Service::Query));
    assert!(asked, "the query service was asked");
    let named = cluster.wait_until_ready(10 * SECOND).services([Service::Kv, Service::Query]);
    named.desired_state(DesiredState::Degraded).await.unwrap();
}

#[tokio::test]
async fn boot_29_a_service_that_is_not_there_or_does_not_answer_is_in_the_error() {
    let plain = sim();
    let cluster = super::connect(&plain).await;
    let missing = cluster.wait_until_ready(3 * SECOND).services([Service::Search]).await.unwrap_err();
    assert!(missing.to_string().to_lowercase().contains("search"), "{missing}");

    let sim = everything();
    let cluster = super::connect(&sim).await;
    for node in 0..3 {
        sim.control(move |sim, _| sim.fail_http(NodeId(node), Some(503)));
    }
    let error = cluster.wait_until_ready(SECOND).services([Service::Query]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnambiguousTimeout, "{error}");
    assert!(error.to_string().contains("503"), "{error}");
}

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
#[tokio::test]
async fn ping_goes_over_tls_where_the_cluster_does() {
    let sim = super::secure::served();
    let options = super::secure::trusting(&sim);
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), options).await.unwrap();
    cluster.bucket("default").wait_until_ready(10 * SECOND).services([]).await.unwrap();
    let report = cluster.ping().timeout(10 * SECOND).await.unwrap();
    assert!(report.is_ok(), "{report:?}");
    let tls_ports = |listener| {
        (0..3).filter_map(|node| sim.address_of(NodeId(node), listener)).map(|it| it.to_string()).collect()
    };
    let managers: Vec<String> = tls_ports(settee_sim::Listener::MGMT_TLS);
    for endpoint in &report.services[&Service::Mgmt] {
        assert!(managers.contains(&endpoint.remote), "{endpoint:?}");
    }
    cluster.close().await;
}
