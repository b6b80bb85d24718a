//! Memcached buckets, and the streams of maps that they live on (`connecting.md` 4.6, 4.7).

use std::net::SocketAddr;

use settee::engine::{DesiredState, Durability, OpKind, Store, StoreMode};
use settee::error::ErrorKind;
use settee::map::MapKind;
use settee::wire::Opcode;
use settee_sim::{BucketKind, Listener, Net, NodeId, Posture, Reachability};

use crate::common::{Client, config, error, kind, ms, net, node, secs, store, value};
use crate::sources::{asked, manager};

fn memcached(nodes: usize) -> Net {
    let mut net = net(nodes);
    assert!(net.cluster().add_bucket_of("cache", BucketKind::Memcached));
    net
}

/// A client of the memcached bucket.
fn cache(net: Net, text: &str) -> Client {
    let mut client = Client::bare(net, config(text), [7; 32]);
    client.open("cache");
    client.online();
    client
}

#[test]
fn memcached_buckets_are_read_and_written_where_their_ring_says() {
    for posture in [Posture::V5_0, Posture::V6_6, Posture::V7_6] {
        let mut net = memcached(4);
        net.cluster().pose(posture);
        let mut client = cache(net, "couchbase://10.0.0.1");
        let bucket = client.bucket();
        assert_eq!(client.engine().bucket_map(bucket).expect("a map").kind, MapKind::Memcached);
        let mut owners = [0; 4];
        for number in 0..200 {
            let key = format!("key-{number}");
            assert!(client.set(&key, &format!("value-{number}")).is_ok(), "{posture:?}");
            let stored = client.cluster().document("cache", "_default", "_default", key.as_bytes());
            assert_eq!(
                stored.as_deref(),
                Some(format!("value-{number}").as_bytes()),
                "{key} is with its owner"
            );
            owners[client.cluster().active_node("cache", key.as_bytes()).expect("an owner").0] += 1;
            assert_eq!(value(&client.get(&key)), format!("value-{number}").as_bytes());
        }
        assert!(owners.iter().all(|count| *count > 10), "{owners:?}");
    }
}

#[test]
fn memcached_buckets_are_found_without_a_managers_port_in_the_string() {
    // The data port alone is known; the cluster's own map names the manager.
    let mut net = memcached(2);
    let kv = Net::listener_of(NodeId(0), Listener::KV);
    net.forward("10.0.0.7:21400".parse().expect("an address"), NodeId(0), Listener::KV);
    assert_ne!(kv.port(), 21400);
    let mut client = cache(net, "couchbase://10.0.0.7:21400");
    assert!(client.set("k", "1").is_ok());
    assert!(client.world.elapsed() < secs(5), "{:?}", client.world.elapsed());
}

#[test]
fn memcached_buckets_have_no_collections_and_no_durability() {
    let mut client = cache(memcached(2), "couchbase://10.0.0.1");
    assert!(client.set("k", "1").is_ok());
    let durable = Store { durability: Durability::Majority, ..store(StoreMode::Upsert, b"2") };
    let op = client.start("k", OpKind::Store(durable));
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), ErrorKind::UnsupportedOperation, "{outcome:?}");
    client.enter("inventory", "hotel");
    let outcome = client.get("k");
    assert_eq!(kind(&outcome), ErrorKind::FeatureNotAvailable, "{outcome:?}");
    assert!(error(&outcome).to_string().contains("collections"), "{outcome:?}");
}

#[test]
fn buckets_of_both_kinds_are_used_side_by_side() {
    let mut client = cache(memcached(2), "couchbase://10.0.0.1");
    assert!(client.set("k", "cached").is_ok());
    client.open("default");
    client.online();
    assert!(client.set("k", "stored").is_ok());
    client.run_for(secs(30));
    assert_eq!(value(&client.get("k")), b"stored");
    client.open("cache");
    assert_eq!(value(&client.get("k")), b"cached");
    client.cluster().rebalance();
    client.run_for(secs(30));
    assert_eq!(value(&client.get("k")), b"cached");
    let streams: usize = (0..2).map(|index| client.open_links(manager(index)).len()).sum();
    assert_eq!(streams, 1, "of the memcached bucket alone");
}

#[test]
fn boot_26_where_no_known_manager_gives_a_stream_the_seeds_are_asked_again() {
    for (text, bucket) in [("", "cache"), ("&bootstrap_on=http", "default")] {
        let mut net = memcached(2);
        let elsewhere: SocketAddr = "10.9.0.9:8091".parse().expect("an address");
        net.forward(elsewhere, NodeId(0), Listener::MGMT);
        let text =
            format!("couchbase://node1.sim,10.9.0.9:8091=manager?preserve_bootstrap_nodes_order=true{text}");
        let mut client = Client::bare(net, config(&text), [7; 32]);
        client.open(bucket);
        client.online();
        client.run_for(secs(5));
        for index in 0..2 {
            client.world.net.set_reachability(manager(index), Reachability::Refuse);
            client.world.net.cut_all(manager(index));
        }
        client.run_for(secs(25));
        assert_eq!(client.open_links(elsewhere).len(), 1, "{text}: the stream is there now");
        client.run_for(secs(60));
        assert_eq!(client.dials(elsewhere), 1, "{text}: and stays");
        // It tells of a new node.
        client.world.net.add_node();
        client.cluster().rebalance();
        client.run_for(secs(1));
        assert_eq!(client.open_links(node(2)).len(), 1);
    }
}

#[test]
fn memcached_buckets_wait_for_a_manager_that_comes_later() {
    for reachability in [Reachability::Refuse, Reachability::BlackHole] {
        let mut net = memcached(1);
        net.set_reachability(manager(0), reachability);
        let mut client = Client::bare(net, config("couchbase://10.0.0.1"), [7; 32]);
        client.open("cache");
        let op = client.wait(DesiredState::Online, secs(12));
        let outcome = client.end(op);
        let text = error(&outcome).to_string();
        println!("{text}");
        assert!(text.contains("10.0.0.1:8091 failed at TCP"), "{text}");
        client.run_for(secs(60));
        assert!(client.world.dialled().count() < 60);
        client.world.net.set_reachability(manager(0), Reachability::Open);
        client.online();
        assert!(client.set("k", "1").is_ok());
    }
}

#[test]
fn memcached_buckets_without_a_known_manager_say_so() {
    let moved: SocketAddr = "10.0.0.1:12000".parse().expect("an address");
    for text in ["couchbase://10.0.0.1:12000", "couchbase://10.0.0.1?bootstrap_on=cccp"] {
        let mut net = memcached(1);
        net.forward(moved, NodeId(0), Listener::KV);
        net.set_reachability(manager(0), Reachability::Refuse);
        let mut client = Client::bare(net, config(text), [7; 32]);
        client.open("cache");
        let op = client.wait(DesiredState::Online, secs(12));
        let outcome = client.end(op);
        let text = error(&outcome).to_string();
        println!("{text}");
        assert!(text.contains("manager"), "{text}");
        assert!(client.world.dialled().count() < 20);
    }
}

#[test]
fn boot_19_a_stream_that_is_idle_is_opened_anew_elsewhere() {
    let mut client = cache(memcached(3), "couchbase://10.0.0.1?config_idle_redial_timeout=5s");
    client.run_for(ms(23_000));
    let streams: Vec<usize> = asked(&mut client)
        .iter()
        .filter(|(_, path)| path == "/pools/default/bs/cache")
        .map(|(node, _)| *node)
        .collect();
    assert_eq!(streams.len(), 5, "the first, and one each 5 s");
    assert!(streams.windows(2).all(|pair| pair[0] != pair[1]), "{streams:?}");
    let open: usize = (0..3).map(|index| client.open_links(manager(index)).len()).sum();
    assert_eq!(open, 1);
}

#[test]
fn boot_19_pauses_between_streams_double_from_32_ms_to_http_retry_delay() {
    let mut client = cache(memcached(2), "couchbase://10.0.0.1?http_retry_delay=1s");
    client.run_for(secs(1));
    for index in 0..2 {
        client.cluster().fail_http(NodeId(index), Some(503));
        client.world.net.cut_all(manager(index));
    }
    let lost = client.world.elapsed();
    let before = client.world.dialled().count();
    let times = client.dial_times(None, secs(10));
    assert!(client.world.dialled().skip(before).all(|(.., to)| to.port() == 8091), "nothing else is dialled");
    // Looking the name up, dialling, asking: 1 ms each.
    let first = [lost].into_iter().chain(times.iter().copied()).collect::<Vec<_>>();
    for (number, expected) in [32, 64, 128, 256, 512, 1000, 1000].into_iter().enumerate() {
        let pause = (first[number + 1] - first[number]).as_secs_f64() * 1000.0;
        let expected = f64::from(expected);
        assert!((expected * 0.75..=expected * 1.25 + 4.0).contains(&pause), "{pause} for {expected}");
    }
    // It comes back, serves for a while, and the pauses begin anew.
    for index in 0..2 {
        client.cluster().fail_http(NodeId(index), None);
    }
    // A stream that served for 5 s counts.
    client.run_for(secs(7));
    client.world.net.cut_all(manager(0));
    client.world.net.cut_all(manager(1));
    let lost = client.world.elapsed();
    let again = client.dial_times(None, secs(1));
    assert!(again[0] - lost < ms(45), "{:?}", again[0] - lost);
    assert!(client.set("k", "1").is_ok());
}

#[test]
fn maps_of_a_stream_move_the_routing() {
    let mut client = cache(memcached(2), "couchbase://10.0.0.1");
    for number in 0..20 {
        assert!(client.set(&format!("key-{number}"), "1").is_ok());
    }
    // A node more: a part of the keys belongs to it from here on.
    client.world.net.add_node();
    client.cluster().rebalance();
    client.run_for(secs(1));
    assert_eq!(client.open_links(node(2)).len(), 1, "no poll told of it");
    let mut moved = 0;
    for number in 0..100 {
        let key = format!("key-{number}");
        assert!(client.set(&key, "2").is_ok());
        let stored = client.cluster().document("cache", "_default", "_default", key.as_bytes());
        assert_eq!(stored.as_deref(), Some(&b"2"[..]));
        moved += u32::from(client.cluster().active_node("cache", key.as_bytes()) == Some(NodeId(2)));
    }
    assert!(moved > 5, "{moved}");
    // The same of a vbucket bucket whose maps come over HTTP alone.
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?bootstrap_on=http");
    let key = client.key_on(0);
    let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
    client.cluster().set_active("default", vbucket, NodeId(1));
    client.run_for(ms(100));
    assert!(client.set(&key, "1").is_ok());
    assert_eq!(client.cluster().requests(NodeId(0), Opcode::SET), 0, "no misroute");
}

#[test]
fn a_hunt_that_holds_a_connection_does_not_grow_with_every_map() {
    // The node serves the memcached bucket and has no map of it; no manager may be asked, so the hunt goes on for ever.
    let mut client = Client::bare(memcached(2), config("couchbase://10.0.0.1?bootstrap_on=cccp"), [7; 32]);
    client.open("cache");
    client.open("default");
    for number in 0..80 {
        let mut address = client.cluster().address(NodeId(1)).expect("a node").clone();
        address.host = format!("node-{number}.elsewhere");
        client.cluster().set_address(NodeId(1), address);
        client.run_for(secs(5));
    }
    let now = client.now();
    let health = client.engine().health(now);
    let cache = health.buckets.iter().find(|bucket| bucket.name == "cache").expect("the bucket");
    let hunt = cache.hunt.as_ref().expect("it is looked for");
    // The nodes of the newest map, the connection that is held, and the last 32 that were there before.
    assert!(hunt.attempts.len() + hunt.omitted <= 40, "{} and {} more", hunt.attempts.len(), hunt.omitted);
}
