//! Idle connections, and a process that stands still (LIFE-2, LIFE-6, LIFE-7).

use crate::common::{Client, kind, ms, net, node, secs, upsert};
use settee::engine::{ClusterState, OpKind};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, NodeId, Rule};
use std::time::Duration;

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
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?config_poll_interval=0");
    client.run_for(secs(6));
    let fetches = client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG);
    client.cluster().bump_revision("default");
    stand_still(&mut client, secs(3600));
    let now = client.now();
    client.engine().handle_timeout(now);
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
    client.engine().handle_timeout(begin);
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
