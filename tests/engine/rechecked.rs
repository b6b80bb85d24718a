//! What a second independent look has found: each of these waited in vain, or for the wrong thing.

use crate::common::{Client, ms, net, node, secs, upsert};
use crate::health::{ALL, at, net_with};
use settee::engine::{DesiredState, OpKind, ReadyRequest};
use settee::map::Service;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, NodeId, Reachability, Rule, Service as Offered};
use std::time::Duration;

#[test]
fn auth_12_credentials_that_expire_during_the_handshake_end_it_at_once() {
    for opcode in [Opcode::SELECT_BUCKET, Opcode::GET_CLUSTER_CONFIG] {
        let mut net = net(1);
        net.cluster().add_rule(NodeId(0), Rule::new(opcode, Action::Status(Status::AUTH_STALE)).times(1));
        let mut client = Client::new(net, "couchbase://10.0.0.1?bootstrap_on=cccp");
        let begin = client.now();
        client.online();
        assert!(client.now() - begin < secs(2), "{opcode}: {:?}", client.now() - begin);
    }
}

/// The world goes on, and the client's process does not.
fn stand_still(client: &mut Client, duration: Duration) {
    let until = client.now() + duration;
    while client.world.net.step(Some(until)).is_some() {}
}

#[test]
fn life_6_a_look_up_of_a_collection_does_not_wait_for_a_suspected_connection() {
    for dead in [0, 1] {
        let mut client = Client::connected(2);
        client.cluster().add_collection("default", "_default", "other");
        client.run_for(secs(6));
        let key = client.key_on(1 - dead);
        for link in client.open_links(node(dead)) {
            client.world.net.hang_up(link);
        }
        stand_still(&mut client, secs(3600));
        client.enter("_default", "other");
        let begin = client.now();
        let op = client.start(&key, upsert(b"v"));
        let outcome = client.end(op);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(client.now() - begin < ms(500), "dead {dead}: {:?}", client.now() - begin);
    }
}

#[test]
fn auth_13_a_node_that_takes_no_new_connection_does_not_hold_up_the_others() {
    let mut client = Client::connected(3);
    client.world.net.set_reachability(node(0), Reachability::Refuse);
    let now = client.now();
    client.engine().replace_connections(now);
    client.run_for(secs(10));
    assert_eq!([1, 2].map(|it| client.dials(node(it))), [2, 2]);
    assert!(client.engine().is_replacing());
    assert_eq!(client.open_links(node(0)).len(), 1, "the one in use stays");
    let key = client.key_on(0);
    assert!(client.set(&key, "v").is_ok());
    client.world.net.set_reachability(node(0), Reachability::Open);
    client.run_for(secs(3));
    assert!(!client.engine().is_replacing());
    assert_eq!([0, 1, 2].map(|it| client.open_links(node(it)).len()), [1, 1, 1]);
}

#[test]
fn everything_ends_once_whenever_the_engine_is_shut_down() {
    for step in 0..60 {
        let mut client = Client::new(net(2), "couchbase://10.0.0.1");
        let now = client.now();
        let bucket = client.bucket();
        let mut ops = vec![client.bootstrap()];
        let mut pings = Vec::new();
        client.run_for(ms(step / 2));
        for bucket in [None, Some(bucket)] {
            pings.push(
                client.engine().ping(settee::engine::PingRequest { bucket, ..Default::default() }, now),
            );
            let request =
                ReadyRequest { bucket, desired: DesiredState::Online, services: vec![], timeout: secs(60) };
            ops.push(client.engine().wait_until_ready_with(request, now));
        }
        ops.push(client.start("k", OpKind::Get));
        client.engine().replace_connections(now);
        client.run_for(ms(step / 2));
        client.run_for(Duration::from_micros(step * 37));
        let now = client.now();
        client.engine().shut_down(if step % 3 == 0 { ms(5) } else { ms(0) }, now);
        pings.push(client.engine().ping(settee::engine::PingRequest::default(), now));
        ops.push(client.bootstrap());
        client.run_for(ms(300));
        pings.push(client.engine().ping(settee::engine::PingRequest::default(), now));
        ops.push(client.bootstrap());
        client.run_for(ms(300));
        assert_eq!(client.closed, 1);
        assert_eq!(client.engine().operations(), 0);
        for op in ops {
            assert!(client.outcome(op).is_some(), "{step}");
        }
        for op in pings {
            assert!(client.outcome(op).is_some() != client.pings.contains_key(&op), "{step}");
        }
        let now = client.now();
        assert!(client.engine().health(now).connections.is_empty());
    }
}

#[test]
fn boot_28_a_service_that_leaves_a_ping_unanswered_is_asked_again() {
    let mut client = Client::connect(net_with(1, &ALL), "couchbase://10.0.0.1");
    client.world.net.set_reachability(at(0, Offered::Query), Reachability::Swallow);
    let now = client.now();
    let request = ReadyRequest {
        bucket: Some(client.bucket()),
        desired: DesiredState::Online,
        services: vec![Service::Query],
        timeout: secs(60),
    };
    let op = client.engine().wait_until_ready_with(request, now);
    client.run_for(secs(2));
    client.world.net.set_reachability(at(0, Offered::Query), Reachability::Open);
    assert!(client.end(op).is_ok());
    assert!(client.now() - now < secs(13), "{:?}", client.now() - now);
}
