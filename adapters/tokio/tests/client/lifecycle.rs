//! Opening, sharing, cancelling, closing, and the end of the runtime.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use settee::wire::Opcode;
use settee_sim::{Action, SimCluster};
use settee_tokio::{
    ClusterOptions, DesiredState, Error, ErrorKind, PasswordAuthenticator, WaitUntilReadyOptions,
};

use super::{clear_rules, collection, connect, credentials, eventually, kind, rule, sim};

const SECOND: Duration = Duration::from_secs(1);

fn connections(sim: &SimCluster) -> usize {
    sim.control(|cluster, _| cluster.connections().count())
}

/// An executor of three lines, to show that nothing of tokio is needed to await.
fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future.into_future());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[tokio::test]
async fn an_opened_cluster_works_before_it_is_connected() {
    let sim = sim();
    let cluster = settee_tokio::open(&sim.connection_string(), credentials(&sim)).unwrap();
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("k", 1).await.unwrap();
    assert_eq!(docs.get("k").await.unwrap().content_as::<u8>().unwrap(), 1);
}

#[tokio::test]
async fn the_bucket_of_the_connection_string_is_the_default_one() {
    let sim = sim();
    let text = format!("{}/default", sim.connection_string());
    let cluster = settee_tokio::connect(&text, credentials(&sim)).await.unwrap();
    assert_eq!(cluster.default_bucket().unwrap().name(), "default");
    cluster.default_bucket().unwrap().default_collection().upsert("k", 1).await.unwrap();
    assert!(connect(&sim).await.default_bucket().is_none());
}

#[tokio::test]
async fn wait_until_ready_waits_for_cluster_and_bucket() {
    let sim = sim();
    let cluster = settee_tokio::open(&sim.connection_string(), credentials(&sim)).unwrap();
    cluster.wait_until_ready(5 * SECOND).await.unwrap();
    cluster.bucket("default").wait_until_ready(5 * SECOND).await.unwrap();
    cluster
        .bucket("default")
        .wait_until_ready(5 * SECOND)
        .desired_state(DesiredState::Degraded)
        .await
        .unwrap();
    let degraded = WaitUntilReadyOptions::new(5 * SECOND).desired_state(DesiredState::Degraded);
    cluster.wait_until_ready_with(degraded.clone()).await.unwrap();
    cluster.bucket("default").wait_until_ready_with(degraded).await.unwrap();
    let begin = Instant::now();
    cluster.bucket("nowhere").wait_until_ready(SECOND).await.unwrap_err();
    assert!(begin.elapsed() < 3 * SECOND);
}

#[tokio::test]
async fn life_3_close_lets_operations_finish_and_refuses_later_ones() {
    let (sim, cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    rule(&sim, Opcode::GET, Action::Delay(Duration::from_millis(300)));
    let slow = tokio::spawn(docs.get("k").into_future());
    eventually("the request is there", || sim.control(|sim, _| sim.requests_everywhere(Opcode::GET)) > 0)
        .await;
    let (first, second) = (cluster.clone(), cluster.clone());
    let closing = tokio::spawn(async move { first.close().await });
    second.close().await;
    closing.await.unwrap();
    assert_eq!(slow.await.unwrap().unwrap().content_as::<u8>().unwrap(), 1);
    assert_eq!(kind(docs.get("k").await), ErrorKind::ClusterClosed);
    assert_eq!(kind(cluster.wait_until_ready(SECOND).await), ErrorKind::ClusterClosed);
    cluster.close().await;
    eventually("connections are closed", || connections(&sim) == 0).await;
}

#[tokio::test]
async fn life_3_close_gives_up_at_its_deadline() {
    let (sim, cluster, docs) = collection().await;
    rule(&sim, Opcode::GET, Action::Ignore);
    let stuck = tokio::spawn(docs.get("k").timeout(60 * SECOND).into_future());
    eventually("the request is there", || sim.control(|sim, _| sim.requests_everywhere(Opcode::GET)) > 0)
        .await;
    let begin = Instant::now();
    cluster.close_within(Duration::from_millis(200)).await;
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(200) && elapsed < 3 * SECOND, "{elapsed:?}");
    assert_eq!(kind(stuck.await.unwrap()), ErrorKind::RequestCanceled);
}

#[tokio::test]
async fn life_3_a_shorter_second_close_shortens_the_first() {
    let (sim, cluster, docs) = collection().await;
    rule(&sim, Opcode::GET, Action::Ignore);
    let stuck = tokio::spawn(docs.get("k").timeout(60 * SECOND).into_future());
    eventually("the request is there", || sim.control(|sim, _| sim.requests_everywhere(Opcode::GET)) > 0)
        .await;
    let begin = Instant::now();
    let first = cluster.clone();
    let closing = tokio::spawn(async move { first.close_within(60 * SECOND).await });
    // The first has been heard as soon as nothing new is taken.
    while !matches!(docs.exists("k").await, Err(error) if error.kind() == ErrorKind::ClusterClosed) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.close_within(Duration::from_millis(200)).await;
    closing.await.unwrap();
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(200) && elapsed < 10 * SECOND, "{elapsed:?}");
    assert_eq!(kind(stuck.await.unwrap()), ErrorKind::RequestCanceled);
}

#[tokio::test]
async fn life_4_dropping_the_last_handle_closes_the_connections() {
    let (sim, cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    drop(cluster);
    docs.get("k").await.expect("a collection is a handle too");
    assert!(connections(&sim) > 0);
    drop(docs);
    eventually("connections are closed", || connections(&sim) == 0).await;
}

#[tokio::test]
async fn life_4_an_operation_under_way_counts_as_a_handle() {
    let (sim, cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    rule(&sim, Opcode::GET, Action::Delay(Duration::from_millis(300)));
    let mut slow = docs.get("k").into_future();
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut slow).await.is_err());
    drop((cluster, docs));
    assert_eq!(slow.await.unwrap().content_as::<u8>().unwrap(), 1);
    eventually("connections are closed", || connections(&sim) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn life_1_threads_and_tasks_share_one_cluster_and_its_connections() {
    let (sim, cluster, docs) = collection().await;
    for n in 0..100 {
        docs.upsert(format!("k{n}"), n).await.unwrap();
    }
    let before = connections(&sim);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let docs = docs.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    let found = docs.get(format!("k{n}")).await.unwrap();
                    assert_eq!(found.content_as::<u8>().unwrap(), n);
                }
            })
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let cluster = &cluster;
            scope.spawn(|| {
                let docs = cluster.bucket("default").default_collection();
                for n in 0..100 {
                    let found = block_on(docs.get(format!("k{n}"))).unwrap();
                    assert_eq!(found.content_as::<u8>().unwrap(), n);
                }
            });
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(connections(&sim), before);
}

#[tokio::test]
async fn a_connect_that_is_dropped_is_given_up() {
    let sim = sim();
    rule(&sim, Opcode::HELLO, Action::Ignore);
    let text = sim.connection_string();
    let connecting = settee_tokio::connect(&text, credentials(&sim));
    assert!(tokio::time::timeout(Duration::from_millis(200), connecting).await.is_err());
    eventually("connections are closed", || connections(&sim) == 0).await;
}

#[tokio::test]
async fn life_7_two_clusters_are_independent() {
    let (one, other) = (sim(), sim());
    let (first, second) = (connect(&one).await, connect(&other).await);
    first.bucket("default").default_collection().insert("k", 1).await.unwrap();
    assert!(!second.bucket("default").default_collection().exists("k").await.unwrap().exists());
    first.close().await;
    second.bucket("default").default_collection().insert("k", 2).await.unwrap();
}

#[tokio::test]
async fn cancelled_operations_do_not_disturb_others() {
    let (sim, _cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    rule(&sim, Opcode::GET, Action::Delay(Duration::from_millis(300)));
    for _ in 0..100 {
        let get = docs.get("k").into_future();
        assert!(tokio::time::timeout(Duration::from_millis(1), get).await.is_err());
    }
    clear_rules(&sim);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for n in 0..100 {
        docs.upsert("k", n).await.unwrap();
        assert_eq!(docs.get("k").await.unwrap().content_as::<u8>().unwrap(), n);
    }
}

#[tokio::test]
async fn an_operation_that_is_never_polled_is_never_sent() {
    let (sim, _cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    let before = sim.control(|cluster, _| cluster.requests_everywhere(Opcode::SET));
    drop(docs.upsert("k", 2).into_future());
    docs.get("k").await.unwrap();
    assert_eq!(sim.control(|cluster, _| cluster.requests_everywhere(Opcode::SET)), before);
}

#[tokio::test]
async fn a_read_survives_the_loss_of_its_connection() {
    let (sim, _cluster, docs) = collection().await;
    docs.upsert("k", 1).await.unwrap();
    let once = settee_sim::Rule::new(Opcode::GET, Action::CloseWithoutAnswer).times(1);
    sim.control(move |cluster, _| cluster.add_rule_everywhere(&once));
    assert_eq!(docs.get("k").await.unwrap().content_as::<u8>().unwrap(), 1);
    let once = settee_sim::Rule::new(Opcode::SET, Action::CloseWithoutAnswer).times(1);
    sim.control(move |cluster, _| cluster.add_rule_everywhere(&once));
    let error = docs.upsert("k", 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestCanceled, "{error}");
    assert!(error.may_have_happened());
}

#[test]
fn handles_work_outside_of_the_runtime() {
    let sim = sim();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cluster = runtime.block_on(connect(&sim));
    let docs = cluster.bucket("default").default_collection();
    block_on(docs.upsert("k", 1)).unwrap();
    assert_eq!(block_on(docs.get("k")).unwrap().content_as::<u8>().unwrap(), 1);
}

#[test]
fn life_5_the_end_of_the_runtime_ends_what_waits() {
    let sim = sim();
    rule(&sim, Opcode::GET, Action::Ignore);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cluster = runtime.block_on(connect(&sim));
    let docs = cluster.bucket("default").default_collection();
    let stuck = docs.get("k").timeout(60 * SECOND);
    let waiting = std::thread::spawn(move || block_on(stuck));
    while sim.control(|cluster, _| cluster.requests_everywhere(Opcode::GET)) == 0 {
        std::thread::yield_now();
    }
    drop(runtime);
    assert_eq!(kind(waiting.join().unwrap()), ErrorKind::RequestCanceled);
    assert_eq!(kind(block_on(docs.get("k"))), ErrorKind::ClusterClosed);
    assert_eq!(kind(block_on(cluster.wait_until_ready(SECOND))), ErrorKind::ClusterClosed);
    block_on(cluster.close());
}

#[test]
fn outside_of_tokio_there_is_no_connecting() {
    let options = || ClusterOptions::new(PasswordAuthenticator::new("u", "p"));
    let error = settee_tokio::open("couchbase://localhost", options()).unwrap_err();
    assert_eq!(error, Error::NoRuntime("tokio"));
    let mut connecting = pin!(settee_tokio::connect("couchbase://localhost", options()));
    assert!(matches!(
        connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Err(Error::NoRuntime(_)))
    ));
}
