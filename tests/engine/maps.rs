//! Keeping the map fresh and applying a new one (`cluster-maps.md` 5, 8 and 9).

use std::time::Duration;

use settee::engine::{OpKind, Response};
use settee::ids::Opaque;
use settee::wire::{Encode, Magic, Opcode, Status};
use settee_sim::{Action, Features, Net, NetSettings, NodeId, Reachability, Rule};

use crate::common::{Client, config, error, kind, ms, net, node, secs, small, start, upsert, value};
use crate::script::{ALONE, alone, map_with, place, plain_map, send, usual};

fn fetches(client: &mut Client) -> u64 {
    client.cluster().requests_everywhere(Opcode::GET_CLUSTER_CONFIG)
}

/// When maps were asked for, from now on; the time a request needs to the node is taken off.
fn fetch_times(client: &mut Client, limit: Duration) -> Vec<Duration> {
    let (begin, end) = (client.now(), client.now() + limit);
    let (mut seen, mut times) = (fetches(client), Vec::new());
    while client.world.step_until(Some(end)) {
        let (now, count) = (client.now(), fetches(client));
        // They arrive half a millisecond after they were sent and are answered after a whole one.
        times.extend((seen..count).map(|_| (now - begin).saturating_sub(ms(1))));
        seen = count;
    }
    client.collect();
    times
}

fn revision(client: &mut Client) -> i64 {
    let bucket = client.bucket();
    client.engine().bucket_map(bucket).expect("a map").rev.rev
}

fn all_but(without: &[u16]) -> Features {
    Features::SUPPORTED.codes().filter(|code| !without.contains(code)).fold(Features::NONE, Features::with)
}

/// Connected and at rest: no fetch is due for a while.
fn at_rest(nodes: usize) -> Client {
    let mut client = Client::connected(nodes);
    client.run_for(secs(1));
    client
}

#[test]
fn r_trk_1_and_2_n_connections_that_announce_one_version_cause_one_fetch() {
    let mut client = at_rest(5);
    let before = fetches(&mut client);
    client.cluster().bump_revision("default");
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before + 1);
    let newest = client.cluster().revision();
    assert_eq!(revision(&mut client), newest);
}

#[test]
fn r_trk_2_what_is_announced_again_is_dropped() {
    let mut client = at_rest(1);
    client.put("k", b"1");
    let known = client.cluster().revision();
    let before = fetches(&mut client);
    for rev in [known, known - 1] {
        let rule = Rule::new(Opcode::GET, Action::Append(push(b"default", &version(rev)))).times(1);
        client.cluster().add_rule(NodeId(0), rule);
        assert_eq!(value(&client.get("k")), b"1");
    }
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before);
}

#[test]
fn r_trk_3_and_4_if_the_announcer_has_nothing_the_others_are_asked_with_growing_pauses() {
    let mut client = at_rest(3);
    client
        .cluster()
        .add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Status(Status::SUCCESS)));
    client.cluster().bump_revision("default");
    let times = fetch_times(&mut client, secs(4));
    assert!(times.len() >= 9, "{times:?}");
    let asked: Vec<u64> =
        (0..3).map(|index| client.cluster().requests(NodeId(index), Opcode::GET_CLUSTER_CONFIG)).collect();
    let (least, most) = (asked.iter().min(), asked.iter().max());
    assert!(most.expect("three") - least.expect("three") <= 2, "each in turn: {asked:?}");
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= ms(50)), "the floor: {gaps:?}");
    // After each round of three the pause is twice as long.
    for (round, pause) in [(2, 50), (5, 100), (8, 200)] {
        assert!(gaps[round] >= ms(pause) && gaps[round] <= ms(pause + 10), "{round}: {gaps:?}");
    }
    client.cluster().clear_rules();
    client.run_for(secs(3));
    let newest = client.cluster().revision();
    assert_eq!(revision(&mut client), newest, "it converges");
}

#[test]
fn r_trk_4_s23_a_storm_of_announcements_is_bounded_by_the_floor() {
    let mut client = at_rest(5);
    let before = fetches(&mut client);
    for _ in 0..200 {
        client.cluster().bump_revision("default");
        client.run_for(ms(5));
    }
    let asked = fetches(&mut client) - before;
    assert!(asked <= 21, "{asked}");
    client.run_for(ms(60));
    let newest = client.cluster().revision();
    assert_eq!(revision(&mut client), newest, "the last one within the floor and a round trip");
}

#[test]
fn r_trk_5_nodes_without_push_are_asked_each_2500_ms_in_turn() {
    let mut net = net(3);
    let without =
        all_but(&[Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF, Features::CLUSTERMAP_CHANGE_NOTIFICATION]);
    for index in 0..2 {
        net.cluster().set_features(NodeId(index), without);
    }
    let mut client = Client::connect(net, "couchbase://10.0.0.3");
    client.run_for(secs(3));
    let asked = |client: &mut Client| {
        [0, 1, 2].map(|index| client.cluster().requests(NodeId(index), Opcode::GET_CLUSTER_CONFIG))
    };
    let before = asked(&mut client);
    client.run_for(secs(51));
    let after = asked(&mut client);
    assert_eq!(after[2], before[2], "the one that pushes need not be asked");
    let polls = [after[0] - before[0], after[1] - before[1]];
    assert!(polls == [10, 10] || polls == [9, 10] || polls == [10, 9], "{polls:?}");
}

#[test]
fn r_trk_5_where_all_push_one_is_asked_each_10_s() {
    let mut client = at_rest(3);
    let before = fetches(&mut client);
    client.run_for(secs(100));
    let asked = fetches(&mut client) - before;
    assert_eq!(asked, 10, "S69: and no second time for the cluster's own map");
}

#[test]
fn r_trk_5_no_timer_with_an_interval_of_zero() {
    let mut client = Client::connect(net(2), "couchbase://10.0.0.1?config_poll_interval=0");
    client.run_for(secs(1));
    let before = fetches(&mut client);
    client.run_for(secs(100));
    assert_eq!(fetches(&mut client), before);
}

#[test]
fn r_trk_7_after_three_misroutes_the_map_is_asked_for_without_a_version() {
    let mut client = at_rest(1);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::NOT_MY_VBUCKET)));
    client.world.record();
    let mut operation = client.operation("long-key", OpKind::Get);
    operation.timeout = Some(ms(400));
    let op = client.submit(operation);
    assert!(client.end(op).is_err());
    // A header alone is 24 bytes, one with a version 40.
    let sent = |bytes: &str| client.world.transcript().iter().filter(|line| line.contains(bytes)).count();
    assert!(sent("send 40 on") >= 1, "{:#?}", client.world.transcript());
    assert!(sent("send 24 on") >= 1, "{:#?}", client.world.transcript());
}

#[test]
fn r_trk_8_a_fetch_without_answer_passes_to_the_next_node() {
    let mut client = at_rest(2);
    client.cluster().add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Ignore).times(1));
    client.cluster().bump_revision("default");
    client.run_for(ms(2400));
    let newest = client.cluster().revision();
    assert!(revision(&mut client) < newest);
    assert_eq!(client.cluster().requests_everywhere(Opcode::NOOP), 0);
    client.run_for(secs(6));
    assert_eq!(revision(&mut client), newest);
    assert!(
        client.cluster().requests_everywhere(Opcode::NOOP) >= 1,
        "the silent one has to show that it lives"
    );
    assert_eq!(client.world.dialled().count(), 2, "other work on it goes on");
}

/// A notification of a server.
fn push(bucket: &[u8], extras: &[u8]) -> Vec<u8> {
    server_request(0x01, bucket, extras)
}

fn server_request(opcode: u8, key: &[u8], extras: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let frame =
        Encode { magic: Magic::ServerRequest, key, extras, ..Encode::request(Opcode(opcode), Opaque(0)) };
    frame.emit(b"", &mut out).expect("a frame");
    out
}

fn version(rev: i64) -> Vec<u8> {
    [1_i64.to_be_bytes(), rev.to_be_bytes()].concat()
}

#[test]
fn r_trk_10_a_global_notification_is_for_the_clusters_map_alone() {
    let mut client = at_rest(2);
    let newest = client.cluster().revision();
    let key = client.key_on(0);
    client.put(&key, b"1");
    let before = fetches(&mut client);
    let announced = push(b"", &version(newest + 1));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Append(announced)).times(1));
    client.cluster().add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::DropAnswer));
    assert_eq!(value(&client.get(&key)), b"1");
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before + 1, "one, and no walk over all nodes");
}

#[test]
fn s56_malformed_and_unknown_notifications_are_dropped_and_the_connection_stays() {
    let mut client = at_rest(1);
    client.put("k", b"1");
    let before = fetches(&mut client);
    let newest = client.cluster().revision();
    for bytes in [
        push(b"default", &[]),
        push(b"default", &[0; 15]),
        push(b"default", &[0; 3]),
        push(b"elsewhere", &version(newest + 1)),
        server_request(0x77, b"default", &version(newest + 1)),
    ] {
        client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Append(bytes)).times(1));
        assert_eq!(value(&client.get("k")), b"1");
    }
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before);
    assert_eq!(client.dials(node(0)), 1);
    // Four bytes are a revision without epoch: older than any that has one.
    let old = push(b"default", &[0x7f, 0xff, 0xff, 0xff]);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Append(old)).times(1));
    assert_eq!(value(&client.get("k")), b"1");
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before);
}

#[test]
fn s56_four_bytes_of_extras_are_a_revision_without_epoch() {
    let mut settings = small();
    settings.epoch = None;
    let mut client =
        Client::connect(Net::new(1, settings, NetSettings::default(), start()), "couchbase://10.0.0.1");
    client.put("k", b"1");
    client.run_for(secs(1));
    let before = fetches(&mut client);
    let announced = push(b"default", &[0, 0, 0x7f, 0xff]);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Append(announced)).times(1));
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::DropAnswer));
    assert_eq!(value(&client.get("k")), b"1");
    client.run_for(ms(500));
    assert_eq!(fetches(&mut client), before + 1);
}

#[test]
fn r_boot_6_later_connections_ask_with_the_known_version() {
    let mut client = at_rest(2);
    // One map in whole; the second node was asked whether it knows better.
    assert_eq!(client.engine().counters().parsed_maps, 1);
    assert_eq!(client.cluster().requests(NodeId(1), Opcode::GET_CLUSTER_CONFIG), 1);
    // The first connection names none, the one after it the version in use.
    let named = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&named);
    let (mut client, _) = alone(&plain_map(3), move |request| {
        if request.opcode == Opcode::GET_CLUSTER_CONFIG {
            seen.borrow_mut().push(request.extras.clone());
        }
        None
    });
    client.online();
    client.world.net.cut_all(node(0));
    client.run_for(ms(5));
    assert_eq!(*named.borrow(), [Vec::new(), version(3)]);
}

#[test]
fn r_boot_6_a_node_that_takes_no_version_is_not_asked_for_a_map() {
    let mut net = net(2);
    let without = all_but(&[Features::GET_CLUSTER_CONFIG_KNOWN_VERSION]);
    net.cluster().set_features(NodeId(1), without);
    for text in ["couchbase://10.0.0.1", "couchbase://10.0.0.1?sasl_mech_force=PLAIN"] {
        let mut net = crate::common::net(2);
        net.cluster().set_features(NodeId(1), without);
        let mut client = Client::connect(net, text);
        client.run_for(secs(1));
        assert_eq!(client.cluster().requests(NodeId(1), Opcode::GET_CLUSTER_CONFIG), 0, "{text}");
    }
}

#[test]
fn r_boot_6_s55_a_map_that_changed_while_nobody_was_connected_is_known_before_the_first_operation() {
    let mut client = at_rest(2);
    client.run_for(secs(10));
    let key = client.key_on(0);
    client.put(&key, b"1");
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Refuse);
        client.world.net.cut_all(node(index));
    }
    client.run_for(ms(100));
    let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
    client.cluster().set_active("default", vbucket, NodeId(1));
    let op = client.start(&key, OpKind::Get);
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Open);
    }
    assert_eq!(value(&client.end(op)), b"1");
    assert_eq!(client.cluster().requests_everywhere(Opcode::GET), 1, "no misroute");
}

#[test]
fn s55_a_lost_push_and_an_empty_answer_converge_by_a_fetch() {
    let mut client = at_rest(2);
    let key = client.key_on(0);
    client.put(&key, b"1");
    // The push is lost with the bytes under way; the connection stays open.
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Swallow);
    }
    let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
    client.cluster().set_active("default", vbucket, NodeId(1));
    client.run_for(ms(5));
    for index in 0..2 {
        client.world.net.set_reachability(node(index), Reachability::Open);
    }
    let before = client.now();
    assert_eq!(value(&client.get(&key)), b"1");
    assert!(client.now() - before <= ms(5), "{:?}", client.now() - before);
}

#[test]
fn s53_a_storm_of_not_my_vbucket_parses_one_body() {
    let mut client = at_rest(2);
    let keys = client.keys_on(0, 500);
    for key in &keys {
        client.put(key, b"1");
    }
    let parsed = client.engine().counters().parsed_maps;
    let ops: Vec<_> = keys.iter().map(|key| client.start(key, OpKind::Get)).collect();
    client.world.settle();
    client.cluster().move_vbuckets("default", 0..64, NodeId(1));
    for op in ops {
        assert_eq!(value(&client.end(op)), b"1");
    }
    assert_eq!(client.engine().counters().parsed_maps, parsed + 1);
}

#[test]
fn s54_without_deduplication_bodies_are_known_by_their_version() {
    let mut net = net(2);
    let without = all_but(&[
        Features::DEDUPE_NOT_MY_VBUCKET,
        Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF,
        Features::CLUSTERMAP_CHANGE_NOTIFICATION,
    ]);
    for index in 0..2 {
        net.cluster().set_features(NodeId(index), without);
    }
    let mut client = Client::connect(net, "couchbase://10.0.0.1");
    let keys = client.keys_on(0, 500);
    for key in &keys {
        client.put(key, b"1");
    }
    let (parsed, stale) = (client.engine().counters().parsed_maps, client.engine().counters().stale_maps);
    let ops: Vec<_> = keys.iter().map(|key| client.start(key, OpKind::Get)).collect();
    client.world.settle();
    client.cluster().move_vbuckets("default", 0..64, NodeId(1));
    let before = client.now();
    for op in ops {
        assert_eq!(value(&client.end(op)), b"1");
    }
    assert!(client.now() - before <= ms(3));
    let counters = client.engine().counters();
    assert_eq!((counters.parsed_maps - parsed, counters.stale_maps - stale), (1, 499));
}

#[test]
fn s60_a_corrupt_map_is_refused_and_the_next_node_asked() {
    for body in [&b"{\"rev\":"[..], b"\xff\xfe\x00", b"[]", b""] {
        let mut client = at_rest(2);
        let newest = client.cluster().revision();
        let action = Action::StatusWithBody(Status::SUCCESS, 1, body.to_vec());
        client.cluster().add_rule_everywhere(&Rule::new(Opcode::GET_CLUSTER_CONFIG, action).times(1));
        client.cluster().bump_revision("default");
        client.run_for(secs(1));
        assert_eq!(revision(&mut client), newest + 1, "{body:?}");
    }
}

#[test]
fn s65_r_ver_7_a_bucket_created_anew_with_fewer_vbuckets_and_back() {
    let mut client = at_rest(2);
    for vbuckets in [16, 64, 1] {
        client.cluster().drop_bucket("default");
        client.cluster().set_vbuckets(vbuckets);
        client.cluster().add_bucket("default");
        client.run_for(secs(1));
        for number in 0..40 {
            let outcome = client.set(&format!("k{number}"), "1");
            assert!(outcome.is_ok(), "{vbuckets}: {outcome:?}");
        }
        let bucket = client.bucket();
        let map = client.engine().bucket_map(bucket).expect("a map").clone();
        assert_eq!(map.vbuckets.as_ref().expect("a bucket's").count(), usize::from(vbuckets));
    }
}

#[test]
fn r_ver_3_the_first_map_is_taken_whatever_its_version() {
    let map = plain_map(1).replace(r#""rev":1,"revEpoch":1"#, r#""rev":900,"revEpoch":-1"#);
    let (mut client, map) = alone(&map, usual);
    client.online();
    assert_eq!(revision(&mut client), 900);
    *map.borrow_mut() = plain_map(1);
    client.run_for(secs(15));
    assert_eq!(revision(&mut client), 1);
}

#[test]
fn r_ver_4_a_buckets_map_feeds_the_clusters() {
    let mut client = at_rest(2);
    client.cluster().bump_revision("default");
    client.run_for(ms(100));
    let newest = client.cluster().revision();
    let map = client.engine().cluster_map().expect("the cluster's").clone();
    assert_eq!((map.rev.rev, map.nodes.len()), (newest, 2));
    assert!(map.vbuckets.is_none() && map.bucket_name.is_none());
}

#[test]
fn r_ver_8_another_number_of_vbuckets_is_taken_and_keys_are_routed_by_it() {
    let (mut client, map) = alone(&plain_map(1), usual);
    client.online();
    let this = r#"{"thisNode":true,"services":{"kv":11210}}"#;
    *map.borrow_mut() = map_with(2, this, "[[0],[0]]", "");
    client.run_for(secs(15));
    let bucket = client.bucket();
    let taken = client.engine().bucket_map(bucket).expect("a map").clone();
    assert_eq!(taken.vbuckets.as_ref().expect("a bucket's").count(), 2);
    assert_eq!(value(&client.get("k")), b"value");
}

#[test]
fn r_ver_9_a_version_without_epoch_is_never_named() {
    let mut settings = small();
    settings.epoch = None;
    let mut client =
        Client::with(Net::new(2, settings, NetSettings::default(), start()), config("couchbase://10.0.0.1"));
    client.world.record();
    client.online();
    client.run_for(secs(60));
    client.cluster().bump_revision("default");
    client.run_for(secs(60));
    let newest = client.cluster().revision();
    assert_eq!(revision(&mut client), newest);
    let named = client.world.transcript().iter().filter(|line| line.contains("send 40 on")).count();
    assert_eq!(named, 0);
}

#[test]
fn s17_a_higher_epoch_wins_over_a_higher_revision() {
    let mut client = at_rest(2);
    client.cluster().set_version(Some(1), 900);
    client.run_for(ms(500));
    assert_eq!(revision(&mut client), 900);
    client.cluster().set_version(Some(2), 3);
    client.run_for(ms(500));
    assert_eq!(revision(&mut client), 3);
    client.cluster().set_version(Some(1), 901);
    client.run_for(secs(30));
    assert_eq!(revision(&mut client), 3, "stale");
}

#[test]
fn s21_revisions_without_a_change_cause_no_connection_work() {
    let mut client = at_rest(3);
    for _ in 0..200 {
        client.cluster().bump_revision("default");
        client.run_for(ms(60));
    }
    assert_eq!(client.world.dialled().count(), 3);
    assert_eq!(client.world.net.links().filter(|(.., open)| *open).count(), 3);
}

#[test]
fn r_idx_5_nodes_that_do_not_serve_the_bucket_are_not_dialled() {
    let nodes =
        r#"{"thisNode":true,"services":{"kv":11210}},{"hostname":"10.0.0.9","services":{"kv":11210}}"#;
    let (mut client, _) = alone(&map_with(1, nodes, "[[0],[0]]", ""), usual);
    client.online();
    client.run_for(secs(30));
    assert!(client.world.dialled().all(|(.., to)| to == node(0)));
}

#[test]
fn r_empty_the_first_map_is_asked_for_again_after_100_ms_doubling_to_1_s() {
    let empty = map_with(1, r#"{"thisNode":true,"services":{"kv":11210}}"#, "[]", "");
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = std::rc::Rc::clone(&asked);
    let (mut client, map) = alone(&empty, move |request| {
        if request.opcode == Opcode::GET_CLUSTER_CONFIG {
            counter.set(counter.get() + 1);
        }
        None
    });
    // 0, 100, 300, 700, 1500, 2500, 3500 ms.
    client.run_for(ms(3600));
    assert_eq!(asked.get(), 7);
    assert!(client.engine().cluster_map().is_some(), "its nodes may be used as the cluster's map");
    *map.borrow_mut() = plain_map(2);
    client.online();
    assert_eq!(client.world.dialled().count(), 1);
}

#[test]
fn r_net_1_the_network_is_chosen_once() {
    let this =
        |more: &str| format!(r#"{{"thisNode":true,"hostname":"10.0.0.1","services":{{"kv":11210}}{more}}}"#);
    let external = r#","alternateAddresses":{"external":{"hostname":"10.0.0.5","ports":{"kv":11210}}}"#;
    let mut net = net(1);
    // The seed is an address of the default network: that is the one.
    let map = place(&mut net, &map_with(1, &this(external), "[[0],[0]]", ""), usual);
    let mut client = Client::connect(net, ALONE);
    let other = this(r#","alternateAddresses":{"external":{"hostname":"10.0.0.1","ports":{"kv":11299}}}"#)
        .replace(r#""hostname":"10.0.0.1","services""#, r#""hostname":"10.0.0.6","services""#);
    *map.borrow_mut() = map_with(2, &other, "[[0],[0]]", "");
    client.run_for(secs(15));
    let dialled: Vec<String> = client.world.dialled().map(|(.., to)| to.to_string()).collect();
    assert!(dialled.contains(&"10.0.0.6:11210".to_owned()), "still the default network: {dialled:?}");
    assert!(dialled.iter().all(|to| !to.contains("10.0.0.5") && !to.ends_with(":11299")), "{dialled:?}");
}

#[test]
fn s11_a_network_that_nobody_offers_is_refused_and_those_there_are_named() {
    let nodes = r#"{"thisNode":true,"hostname":"10.0.0.1","services":{"kv":11210},
        "alternateAddresses":{"external":{"hostname":"10.0.0.5"}}}"#;
    let mut net = net(1);
    place(&mut net, &map_with(1, nodes, "[[0],[0]]", ""), usual);
    let mut client = Client::new(net, &format!("{ALONE}&network=internal"));
    let op = client.bootstrap();
    let outcome = client.end(op);
    assert_eq!(kind(&outcome), settee::error::ErrorKind::NetworkNotFound);
    let text = error(&outcome).to_string();
    assert!(text.contains("default") && text.contains("external"), "{text}");
}

#[test]
fn s24_s25_scaling_out_and_in_loses_nothing() {
    let mut client = at_rest(2);
    let mut expected = Vec::new();
    for step in 0..4 {
        match step {
            0 => {
                client.world.net.add_node();
                client.cluster().rebalance();
            }
            1 => {
                client.world.net.add_node();
            }
            2 => client.cluster().rebalance(),
            _ => {
                client.cluster().remove_node(NodeId(0));
            }
        }
        for number in 0..40 {
            let key = format!("{step}-{number}");
            expected.push((client.start(&key, upsert(b"1")), key));
        }
        client.run_for(ms(20));
    }
    for (op, key) in expected {
        assert!(matches!(client.end(op), Ok(Response::Mutation { .. })), "{key}");
    }
    client.run_for(secs(20));
    assert!(client.open_links(node(0)).is_empty(), "it left the map: drained and closed");
    for index in 1..4 {
        assert_eq!(client.open_links(node(index)).len(), 1);
    }
}

#[test]
fn a_written_request_on_a_node_that_leaves_is_still_answered() {
    let mut client = at_rest(2);
    let key = client.key_on(0);
    client.put(&key, b"1");
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Delay(ms(300))).times(1));
    let op = client.start(&key, OpKind::Get);
    client.run_for(ms(2));
    client.cluster().remove_node(NodeId(0));
    assert_eq!(value(&client.end(op)), b"1");
    client.run_for(ms(10));
    assert!(client.open_links(node(0)).is_empty(), "closed once it is idle");
}

#[test]
fn s29_a_forward_map_sends_to_the_new_node_once_per_map() {
    let mut client = at_rest(2);
    let key = client.key_on(0);
    client.put(&key, b"1");
    let rows = client.cluster().rows("default").expect("a bucket").to_vec();
    let vbucket = client.cluster().vbucket("default", key.as_bytes()).expect("a bucket");
    let mut forward = rows;
    forward[usize::from(vbucket)] = vec![Some(NodeId(1)), Some(NodeId(0))];
    client.cluster().set_forward_map("default", Some(forward));
    client.run_for(ms(200));
    client
        .cluster()
        .add_rule(NodeId(0), Rule::new(Opcode::GET, Action::Status(Status::NOT_MY_VBUCKET)).times(1));
    let before = client.now();
    assert_eq!(value(&client.get(&key)), b"1");
    // The new node does not have it yet and says so; then the old one after a pause.
    assert_eq!(client.cluster().requests(NodeId(1), Opcode::GET), 1);
    assert!(client.now() - before < ms(20));
}

#[test]
fn a_pushed_map_is_used_at_once() {
    let this = r#"{"thisNode":true,"services":{"kv":11210}}"#;
    let full = map_with(9, this, "[[0],[0]]", "");
    let (mut client, _) = alone(&plain_map(1), move |request| {
        (request.opcode == Opcode::GET).then(|| {
            let mut out = Vec::new();
            let frame = Encode {
                magic: Magic::ServerRequest,
                key: b"default",
                extras: &version(9),
                datatype: 1,
                ..Encode::request(Opcode(1), Opaque(0))
            };
            frame.emit(full.as_bytes(), &mut out).expect("a frame");
            out.extend(request.answer_with(Status::SUCCESS, 0, &[0; 4], &[], b"value"));
            send(out)
        })
    });
    client.online();
    assert_eq!(value(&client.get("k")), b"value");
    assert_eq!(revision(&mut client), 9);
}
