//! The driver on a runtime that a test moves by hand: a clock that stands still, a timer that fires when told, a network
//! that refuses every dial or never answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use settee::auth::PasswordAuthenticator;
use settee::error::ErrorKind;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::options::ClusterOptions;
use crate::runtime::{BoxFuture, Runtime, SocketOptions, Timer};

#[derive(Clone)]
struct Manual(Arc<World>);

struct World {
    now: Mutex<Instant>,
    task: Mutex<Option<BoxFuture<()>>>,
    timer: Mutex<(Option<Instant>, Option<Waker>)>,
    refuse: bool,
    dials: AtomicUsize,
    wakes: AtomicUsize,
}

/// A connection that takes every write and never says anything.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Silent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct ManualTimer(Arc<World>);

impl Timer for ManualTimer {
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.0.timer.lock().unwrap();
        if timer.0.is_none_or(|at| at <= *self.0.now.lock().unwrap()) {
            return Poll::Ready(());
        }
        timer.1 = Some(cx.waker().clone());
        Poll::Pending
    }

    fn reset(&mut self, at: Instant) {
        self.0.timer.lock().unwrap().0 = Some(at);
    }
}

impl Runtime for Manual {
    type Stream = Silent;
    type Timer = ManualTimer;

    fn name(&self) -> &'static str {
        "manual"
    }

    fn connect(&self, _: SocketAddr, _: SocketOptions) -> BoxFuture<io::Result<Silent>> {
        self.0.dials.fetch_add(1, Ordering::Relaxed);
        let refuse = self.0.refuse;
        Box::pin(
            async move { if refuse { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(Silent) } },
        )
    }

    fn lookup(&self, _: String) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::NotFound.into())))
    }

    fn timer(&self, at: Instant) -> ManualTimer {
        let mut timer = ManualTimer(Arc::clone(&self.0));
        timer.reset(at);
        timer
    }

    fn spawn(&self, task: BoxFuture<()>) {
        *self.0.task.lock().unwrap() = Some(task);
    }

    fn now(&self) -> Instant {
        *self.0.now.lock().unwrap()
    }
}

impl Wake for World {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Manual {
    fn new(refuse: bool) -> Self {
        Self(Arc::new(World {
            now: Mutex::new(Instant::now()),
            task: Mutex::new(None),
            timer: Mutex::new((None, None)),
            refuse,
            dials: AtomicUsize::new(0),
            wakes: AtomicUsize::new(0),
        }))
    }

    fn open(&self) -> Cluster {
        let options = ClusterOptions::new(PasswordAuthenticator::new("user", "password"));
        Cluster::open_on(self.clone(), "couchbase://127.0.0.1:7", options).unwrap()
    }

    /// Polls the driver until it has nothing more to do; whether it still runs.
    fn run(&self) -> bool {
        let waker = Waker::from(Arc::clone(&self.0));
        for _ in 0..1000 {
            let before = self.0.wakes.load(Ordering::Relaxed);
            let mut task = self.0.task.lock().unwrap();
            let Some(future) = task.as_mut() else { return false };
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *task = None;
                return false;
            }
            drop(task);
            if self.0.wakes.load(Ordering::Relaxed) == before {
                return true;
            }
        }
        panic!("the driver does not come to rest");
    }

    /// Moves the clock to where the timer is set, and fires it. `false` if it is not set.
    fn advance(&self) -> bool {
        let mut timer = self.0.timer.lock().unwrap();
        let Some(at) = timer.0.take() else { return false };
        let mut now = self.0.now.lock().unwrap();
        *now = at.max(*now);
        drop(now);
        let waker = timer.1.take();
        drop(timer);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn kind<T: std::fmt::Debug>(outcome: Poll<Result<T, Error>>) -> ErrorKind {
    match outcome {
        Poll::Ready(Err(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn life_5_a_dropped_driver_fails_what_waits_and_what_comes_later() {
    let runtime = Manual::new(false);
    let cluster = runtime.open();
    let docs = cluster.bucket("b").default_collection();
    let (mut early, mut ready) =
        (docs.get("k").into_future(), cluster.wait_until_ready(Duration::MAX).into_future());
    assert!(poll(&mut early).is_pending() && poll(&mut ready).is_pending());
    assert!(runtime.run());
    let mut queued = docs.get("k").into_future();
    assert!(poll(&mut queued).is_pending());
    drop(runtime.0.task.lock().unwrap().take());
    assert_eq!(kind(poll(&mut early)), ErrorKind::RequestCanceled);
    assert_eq!(kind(poll(&mut ready)), ErrorKind::RequestCanceled);
    assert_eq!(kind(poll(&mut queued)), ErrorKind::ClusterClosed);
    assert_eq!(kind(poll(&mut docs.get("k").into_future())), ErrorKind::ClusterClosed);
    assert_eq!(poll(&mut Box::pin(cluster.close())), Poll::Ready(()));
}

#[test]
fn life_4_the_driver_ends_when_the_last_handle_is_dropped() {
    let runtime = Manual::new(false);
    let cluster = runtime.open();
    let docs = cluster.bucket("b").default_collection();
    assert!(runtime.run());
    drop(cluster);
    assert!(runtime.run(), "a collection is a handle too");
    drop(docs);
    assert!(!runtime.run());
}

#[test]
fn life_3_close_ends_the_driver_and_can_be_repeated() {
    let runtime = Manual::new(false);
    let cluster = runtime.open();
    let docs = cluster.bucket("b").default_collection();
    let mut stuck = docs.get("k").into_future();
    assert!(poll(&mut stuck).is_pending());
    runtime.run();
    let (mut first, mut second) =
        (Box::pin(cluster.close_within(Duration::ZERO)), Box::pin(cluster.close_within(Duration::ZERO)));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert!(!runtime.run());
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
    assert_eq!(kind(poll(&mut stuck)), ErrorKind::RequestCanceled);
    assert_eq!(kind(poll(&mut docs.get("k").into_future())), ErrorKind::ClusterClosed);
}

#[test]
fn refused_dials_end_an_operation_at_its_deadline() {
    let runtime = Manual::new(true);
    let cluster = runtime.open();
    let mut get =
        cluster.bucket("b").default_collection().get("k").timeout(Duration::from_secs(1)).into_future();
    let begin = runtime.now();
    assert!(poll(&mut get).is_pending());
    assert!(runtime.run());
    for _ in 0..1000 {
        let outcome = poll(&mut get);
        if outcome.is_ready() {
            assert_eq!(kind(outcome), ErrorKind::UnambiguousTimeout);
            assert_eq!(runtime.now() - begin, Duration::from_secs(1));
            assert!(runtime.0.dials.load(Ordering::Relaxed) > 1);
            return;
        }
        assert!(runtime.advance(), "the driver waits for nothing");
        assert!(runtime.run());
    }
    panic!("the operation outlives its deadline");
}

#[test]
fn an_operation_dropped_before_the_driver_looks_is_not_sent() {
    let runtime = Manual::new(false);
    let cluster = runtime.open();
    let mut get = cluster.bucket("b").default_collection().get("k").into_future();
    assert!(poll(&mut get).is_pending());
    drop(get);
    assert!(runtime.run());
    assert!(cluster.loop_counters().turns < 20, "{:?}", cluster.loop_counters());
}

#[test]
fn boot_16_a_failed_connect_names_its_seeds_their_stages_and_what_to_do() {
    let runtime = Manual::new(true);
    let options = ClusterOptions::new(PasswordAuthenticator::new("user", "s3cret"))
        .bootstrap_timeout(Duration::from_secs(3));
    let text = "couchbase://127.0.0.1:7,127.0.0.2:7";
    let mut connecting = Box::pin(Cluster::connect_on(runtime.clone(), text, options));
    let begin = runtime.now();
    assert!(poll(&mut connecting).is_pending());
    for _ in 0..10_000 {
        assert!(runtime.run());
        if let Poll::Ready(outcome) = poll(&mut connecting) {
            let error = outcome.unwrap_err();
            assert_eq!(runtime.now() - begin, Duration::from_secs(3));
            assert_eq!(error.kind(), ErrorKind::UnambiguousTimeout);
            let report = error.bootstrap().expect("the report of the bootstrap");
            let mut seeds: Vec<&str> = report.attempts.iter().map(|attempt| &*attempt.seed).collect();
            seeds.sort_unstable();
            assert_eq!(seeds, ["127.0.0.1:7", "127.0.0.2:7"]);
            assert!(!report.hints.is_empty());
            let text = error.to_string();
            assert!(text.contains(&report.to_string()), "{text}");
            assert!(text.contains("127.0.0.2:7 failed at TCP: connection refused"), "{text}");
            assert!(!text.contains("s3cret") && !format!("{error:?}").contains("s3cret"));
            return;
        }
        assert!(runtime.advance(), "the driver waits for nothing");
    }
    panic!("connecting does not end");
}
