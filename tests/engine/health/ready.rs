//! Readiness with services (BOOT-28, BOOT-29).

use crate::common::{Client, config, config_as, error, kind, ms, net, node, secs};
use settee::engine::{DesiredState, ReadyRequest, Response};
use settee::error::ErrorKind;
use settee::map::Service;
use settee::wire::Opcode;
use settee_sim::{NodeId, Posture, Reachability, Service as Offered};

use super::{ALL, KV_ONLY, at, end_of_ready, net_with, paths, ready};

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
    assert!(text.contains("services") && text.contains("analytics node2.sim:8095"), "{text}");
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
    let mut client = Client::new(net, KV_ONLY);
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
