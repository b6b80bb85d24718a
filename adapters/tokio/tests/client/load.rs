//! Many operations, large values, and no work at all.

use std::time::Duration;

use settee_tokio::RawBinary;
use tokio::task::JoinSet;

use super::{collection, connect, credentials, sim};

/// Ten thousand operations at once: more than the engine takes, so that some wait their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_operations_at_once() {
    let (_sim, cluster, docs) = collection().await;
    docs.upsert("warm", 0).await.unwrap();
    let before = cluster.loop_counters();
    let mut tasks = JoinSet::new();
    for n in 0..10_000_u32 {
        let docs = docs.clone();
        tasks.spawn(async move {
            let id = format!("key-{n}");
            docs.upsert(&id, n).timeout(Duration::from_secs(30)).await.unwrap();
            let read = docs.get(&id).timeout(Duration::from_secs(30)).await.unwrap();
            assert_eq!(read.content_as::<u32>().unwrap(), n);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let after = cluster.loop_counters();
    let (turns, writes) = (after.turns - before.turns, after.writes - before.writes);
    assert!(writes < 5_000, "20000 operations in {writes} writes and {turns} turns");
    assert!(turns < 10_000, "20000 operations in {turns} turns");
}

/// More than the engine takes at once: the rest waits in the driver until there is room, in order; half of them are
/// given up while they wait.
#[tokio::test]
async fn operations_that_there_is_no_room_for_wait_their_turn() {
    let (_sim, _cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..80_000 {
        let get = docs.get("k").timeout(Duration::from_secs(60)).into_future();
        let aborted = tasks.spawn(get);
        if n >= 66_000 && n % 2 == 0 {
            // Aborted after its first poll, when the whole crowd has been handed in.
            let second = docs.get("k").timeout(Duration::from_secs(60)).into_future();
            tasks.spawn(async move {
                aborted.abort();
                second.await
            });
        }
    }
    let (mut done, mut cancelled) = (0, 0);
    while let Some(result) = tasks.join_next().await {
        match result {
            Ok(read) => {
                assert_eq!(read.unwrap().content_as::<u8>().unwrap(), 1);
                done += 1;
            }
            Err(error) => {
                assert!(error.is_cancelled());
                cancelled += 1;
            }
        }
    }
    assert_eq!((done, cancelled), (80_000, 7_000));
}

#[tokio::test]
async fn futures_of_one_task_coalesce_too() {
    let (_sim, cluster, docs) = collection().await;
    docs.upsert("warm", 0).await.unwrap();
    let before = cluster.loop_counters().writes;
    let mut tasks = JoinSet::new();
    for n in 0..64_u32 {
        let docs = docs.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                docs.upsert(format!("key-{n}"), n).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let writes = cluster.loop_counters().writes - before;
    assert!(writes < 3200 / 3, "3200 operations, 64 at a time, in {writes} writes");
}

#[tokio::test]
async fn large_values_come_back_whole() {
    let (_sim, _cluster, docs) = collection().await;
    let value: Vec<u8> =
        (0..5 * 1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let (docs, value) = (docs.clone(), value.clone());
        tasks.spawn(async move {
            let timeout = Duration::from_secs(60);
            let id = format!("large-{n}");
            docs.upsert(&id, RawBinary::new(value.clone())).timeout(timeout).await.unwrap();
            let read = docs.get(&id).timeout(timeout).await.unwrap();
            assert!(read.content_raw().0 == value);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn thousands_of_dropped_futures_leave_room_for_others() {
    let (_sim, _cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    for _ in 0..5 {
        let mut tasks = JoinSet::new();
        for n in 0..5000 {
            let docs = docs.clone();
            tasks.spawn(async move { docs.upsert(format!("k{n}"), n).await });
        }
        tokio::task::yield_now().await;
        tasks.abort_all();
    }
    for _ in 0..100 {
        docs.get("k").await.unwrap();
    }
}

#[tokio::test]
async fn idle_is_idle() {
    let sim = sim();
    let cluster = connect(&sim).await;
    cluster.bucket("default").wait_until_ready(Duration::from_secs(5)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = cluster.loop_counters();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = cluster.loop_counters();
    let turns = after.turns - before.turns;
    assert!(turns < 100, "{turns} turns in four idle seconds");
}

#[tokio::test]
async fn a_cluster_that_nobody_answers_is_idle_too() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sim = sim();
    let cluster = settee_tokio::open(&format!("couchbase://{free}"), credentials(&sim)).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cluster.loop_counters().turns;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let turns = cluster.loop_counters().turns - before;
    assert!(turns < 200, "{turns} turns in two seconds without a server");
}
