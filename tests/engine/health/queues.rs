//! Operations that wait for what is not there (BOOT-30).

use crate::common::{Client, error, kind, net, node, secs, upsert};
use settee::engine::{OpId, OpKind};
use settee::error::ErrorKind;
use settee_sim::Reachability;

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
        assert!(
            text.contains("10 operations (max_queue_size)") && text.contains("node2.sim:11210"),
            "{text}"
        );
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
