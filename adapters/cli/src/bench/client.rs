//! The load of `bench` on the client.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use settee_tokio::{Collection, Error, RawBinary};
use tokio::runtime::{Builder, Runtime};

use super::figures::{Errors, Figures, Watch};
use super::histogram::Histogram;
use super::workload;
use super::{Args, Mix};
use crate::connection;
use crate::failure::Failure;
use crate::terminal::Progress;

pub(super) fn run(args: &Args, connection_string: &str) -> Result<Figures, Failure> {
    let runtime = runtime(args.threads)?;
    runtime.block_on(async {
        let cluster = connection::connect(connection_string, &args.login).await?;
        let bucket = match (&args.bucket, cluster.default_bucket()) {
            (Some(name), _) => cluster.bucket(name),
            (None, Some(bucket)) => bucket,
            (None, None) => cluster.bucket("default"),
        };
        let work = Arc::new(Work {
            collection: bucket.default_collection(),
            keys: (0..args.keys).map(workload::key).collect(),
            value: workload::value(args.value_size),
            mix: args.op,
        });
        load(&work).await?;
        let figures = measure(&work, args).await;
        cluster.close().await;
        figures
    })
}

fn runtime(threads: u32) -> Result<Runtime, Failure> {
    let mut builder = if threads == 1 {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads as usize);
        builder
    };
    builder.enable_all().build().map_err(|error| Failure::no(format!("no runtime: {error}")))
}

struct Work {
    collection: Collection,
    keys: Vec<String>,
    value: Bytes,
    mix: Mix,
}

impl Work {
    async fn write(&self, key: &str) -> Result<(), Error> {
        self.collection.upsert(key, RawBinary(self.value.clone())).await.map(drop)
    }

    /// Reads a document; one of another size is not the one that was written.
    async fn read(&self, key: &str) -> Result<(), String> {
        match self.collection.get(key).await {
            Ok(document) if document.content_raw().0.len() == self.value.len() => Ok(()),
            Ok(_) => Err("document of another size".to_owned()),
            Err(error) => Err(error.kind().name().to_owned()),
        }
    }

    async fn operate(&self, number: u32, key: &str) -> Result<(), String> {
        let is_write = match self.mix {
            Mix::Get => false,
            Mix::Set => true,
            Mix::Mixed => number & 1 == 1,
        };
        if is_write {
            self.write(key).await.map_err(|error| error.kind().name().to_owned())
        } else {
            self.read(key).await
        }
    }
}

/// Writes all documents.
async fn load(work: &Arc<Work>) -> Result<(), Failure> {
    const AT_ONCE: usize = 128;
    let next = Arc::new(AtomicU32::new(0));
    let progress = Progress::new();
    let tasks: Vec<_> = (0..AT_ONCE.min(work.keys.len()))
        .map(|_| {
            let (work, next) = (Arc::clone(work), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(key) = work.keys.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    work.write(key).await?;
                }
                Ok(())
            })
        })
        .collect();
    let all = async {
        for task in tasks {
            let written: Result<Result<(), Error>, _> = task.await;
            written.map_err(Failure::no)?.map_err(|error| connection::operation_failure(&error, false))?;
        }
        Ok(())
    };
    let count = work.keys.len();
    let told =
        |_: Duration| format!("loading {} of {count}", (next.load(Ordering::Relaxed) as usize).min(count));
    with_progress(&progress, all, told).await
}

async fn measure(work: &Arc<Work>, args: &Args) -> Result<Figures, Failure> {
    // A histogram for each thread, so that they do not wait for each other's caches.
    let latencies: Vec<Arc<Histogram>> = (0..args.threads).map(|_| Arc::new(Histogram::new())).collect();
    let errors = Arc::new(Mutex::new(Errors::new()));
    let progress = Progress::new();
    let watch = Watch::start()?;
    let end = Instant::now() + args.seconds;
    let turns: Vec<Arc<AtomicU32>> = (0..args.threads).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = (0..args.in_flight)
        .zip(latencies.iter().zip(&turns).cycle())
        .map(|(_, (latencies, turn))| {
            let (work, latencies, errors) = (Arc::clone(work), Arc::clone(latencies), Arc::clone(&errors));
            tokio::spawn(worker(work, Arc::clone(turn), end, latencies, errors))
        })
        .collect();
    let all = async {
        for task in tasks {
            task.await.map_err(Failure::no)?;
        }
        Ok::<(), Failure>(())
    };
    let told = |elapsed: Duration| {
        let ops: u64 = latencies.iter().map(|histogram| histogram.total()).sum();
        let per_second = ops as f64 / elapsed.as_secs_f64().max(0.001);
        format!(
            "{:.0} of {:.0} s, {per_second:.0} operations per second",
            elapsed.as_secs_f64(),
            args.seconds.as_secs_f64()
        )
    };
    with_progress(&progress, all, told).await?;
    let sum = Histogram::new();
    latencies.iter().for_each(|histogram| sum.add(histogram));
    let errors = std::mem::take(&mut *errors.lock().unwrap_or_else(PoisonError::into_inner));
    watch.stop(sum, errors)
}

/// One operation after the other until the end: the time from one completion to the next is the latency. The workers
/// of a thread take the keys in turn, as the floor does: neither is measured by how its key table suits the cache.
async fn worker(
    work: Arc<Work>,
    turn: Arc<AtomicU32>,
    end: Instant,
    latencies: Arc<Histogram>,
    errors: Arc<Mutex<Errors>>,
) {
    let count = u32::try_from(work.keys.len()).unwrap_or(u32::MAX);
    let mut submitted = Instant::now();
    while submitted < end {
        let number = turn.fetch_add(1, Ordering::Relaxed);
        let Some(key) = number.checked_rem(count).and_then(|index| work.keys.get(index as usize)) else {
            return;
        };
        let outcome = work.operate(number, key).await;
        let completed = Instant::now();
        match outcome {
            Ok(()) => latencies.record(completed.saturating_duration_since(submitted), 1),
            Err(kind) => {
                *errors.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
            }
        }
        submitted = completed;
    }
}

/// Awaits `work`; on a terminal with a line about it each second.
async fn with_progress<T>(
    progress: &Progress,
    work: impl Future<Output = T>,
    told: impl Fn(Duration) -> String,
) -> T {
    if !progress.is_on() {
        return work.await;
    }
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(Duration::from_secs(1), work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => progress.show(told(began.elapsed())),
        }
    }
}
