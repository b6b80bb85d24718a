//! The load of `settee bench`, put on a cluster by the crate `couchbase`: the same documents and keys in the same turn,
//! the same options, and the same last line. What is measured is the client alone.

// Keys, values and the histogram are those of `settee bench` itself, not copies that could drift.
#[path = "../../../adapters/cli/src/bench/histogram.rs"]
mod histogram;
#[path = "../../../adapters/cli/src/bench/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser as _;
use couchbase::authenticator::PasswordAuthenticator;
use couchbase::cluster::Cluster;
use couchbase::collection::Collection;
use couchbase::error::Error;
use couchbase::options::cluster_options::ClusterOptions;
use couchbase::options::diagnostic_options::WaitUntilReadyOptions;
use couchbase::service_type::ServiceType;
use couchbase::transcoding::raw_binary;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use histogram::Histogram;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Puts load on a cluster by the crate `couchbase` and measures throughput, latency and CPU time.
#[derive(clap::Parser, Debug)]
struct Args {
    /// The cluster.
    #[arg(value_name = "CONNSTR")]
    connection_string: String,
    /// The user.
    #[arg(short, long, env = "SETTEE_USERNAME", default_value = "Administrator")]
    username: String,
    /// The password.
    #[arg(short, long, env = "SETTEE_PASSWORD", hide_env_values = true, default_value = "password")]
    password: String,
    /// The bucket.
    #[arg(short, long, default_value = "default")]
    bucket: String,
    /// The operations.
    #[arg(long, value_enum, default_value_t = Mix::Get)]
    op: Mix,
    /// How many operations are under way at any time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    in_flight: u32,
    /// How long to measure.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Size of the documents.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 1024,
        value_parser = clap::value_parser!(u32).range(0..=20 * 1024 * 1024)
    )]
    value_size: u32,
    /// How many documents.
    #[arg(long, value_name = "K", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Threads of the runtime.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Accepted for the sake of `settee bench`; figures are always one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which operations are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mix {
    /// Reads.
    Get,
    /// Writes.
    Set,
    /// One half each.
    Mixed,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && duration.as_secs() <= 86_400)
        .ok_or_else(|| "more than 0 and at most 86400 seconds".to_owned())
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let figures = runtime(args.threads)?.block_on(run(&args))?;
    println!("{figures}");
    if figures["ops"].as_u64() > Some(0) { Ok(()) } else { Err("no operation succeeded".into()) }
}

fn runtime(threads: u32) -> std::io::Result<Runtime> {
    let mut builder = if threads == 1 {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads as usize);
        builder
    };
    builder.enable_all().build()
}

async fn run(args: &Args) -> Result<Value, Failure> {
    let login = PasswordAuthenticator::new(&args.username, &args.password);
    let cluster = Cluster::connect(&args.connection_string, ClusterOptions::new(login.into())).await?;
    let bucket = cluster.bucket(&args.bucket);
    let key_value = WaitUntilReadyOptions::new().service_types(vec![ServiceType::KV]);
    tokio::time::timeout(Duration::from_secs(20), bucket.wait_until_ready(key_value))
        .await
        .map_err(|_| "the bucket is not ready after 20 s")??;
    let work = Arc::new(Work {
        collection: bucket.default_collection(),
        keys: (0..args.keys).map(workload::key).collect(),
        value: workload::value(args.value_size),
        mix: args.op,
    });
    load(&work).await?;
    measure(&work, args).await
}

struct Work {
    collection: Collection,
    keys: Vec<String>,
    value: Bytes,
    mix: Mix,
}

impl Work {
    async fn write(&self, key: &str) -> Result<(), Error> {
        let (value, flags) = raw_binary::encode(&self.value)?;
        self.collection.upsert_raw(key, value, flags, None).await.map(drop)
    }

    /// Reads a document; one of another size is not the one that was written.
    async fn read(&self, key: &str) -> Result<(), String> {
        let document = self.collection.get(key, None).await.map_err(|error| name(&error))?;
        let (value, flags) = document.content_as_raw();
        match raw_binary::decode(value, flags) {
            Ok(value) if value.len() == self.value.len() => Ok(()),
            Ok(_) => Err("document of another size".to_owned()),
            Err(error) => Err(name(&error)),
        }
    }

    async fn operate(&self, number: u32, key: &str) -> Result<(), String> {
        let is_write = match self.mix {
            Mix::Get => false,
            Mix::Set => true,
            Mix::Mixed => number & 1 == 1,
        };
        if is_write { self.write(key).await.map_err(|error| name(&error)) } else { self.read(key).await }
    }
}

/// The name of an error's kind, without what it carries.
fn name(error: &Error) -> String {
    let text = format!("{:?}", error.kind());
    text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// Writes all documents.
async fn load(work: &Arc<Work>) -> Result<(), Failure> {
    const AT_ONCE: usize = 128;
    let next = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..AT_ONCE.min(work.keys.len()))
        .map(|_| {
            let (work, next) = (Arc::clone(work), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(key) = work.keys.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    work.write(key).await?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn measure(work: &Arc<Work>, args: &Args) -> Result<Value, Failure> {
    // A histogram for each thread, so that they do not wait for each other's caches.
    let latencies: Vec<Arc<Histogram>> = (0..args.threads).map(|_| Arc::new(Histogram::new())).collect();
    let errors = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let (cpu, began) = (cpu_time()?, Instant::now());
    let end = began + args.seconds;
    let turns: Vec<Arc<AtomicU32>> = (0..args.threads).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = (0..args.in_flight)
        .zip(latencies.iter().zip(&turns).cycle())
        .map(|(_, (latencies, turn))| {
            let (work, latencies, errors) = (Arc::clone(work), Arc::clone(latencies), Arc::clone(&errors));
            let turn = Arc::clone(turn);
            tokio::spawn(async move {
                let mut submitted = Instant::now();
                while submitted < end {
                    let number = turn.fetch_add(1, Ordering::Relaxed);
                    let outcome = work.operate(number, &work.keys[number as usize % work.keys.len()]).await;
                    let completed = Instant::now();
                    match outcome {
                        Ok(()) => latencies.record(completed - submitted, 1),
                        Err(kind) => {
                            let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
                            *errors.entry(kind).or_default() += 1;
                        }
                    }
                    submitted = completed;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    let (elapsed, cpu) = (began.elapsed(), cpu_time()?.saturating_sub(cpu));
    let all = Histogram::new();
    latencies.iter().for_each(|histogram| all.add(histogram));
    let errors = std::mem::take(&mut *errors.lock().unwrap_or_else(PoisonError::into_inner));
    let ops = all.total();
    let quantile = |part| round(all.quantile(part).as_nanos() as f64 / 1000.0, 1);
    Ok(json!({
        "ops_per_sec": round(ops as f64 / elapsed.as_secs_f64(), 1),
        "cpu_us_per_op": round(cpu.as_secs_f64() * 1e6 / ops.max(1) as f64, 3),
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
        "p999_us": quantile(0.999),
        "errors": errors.values().sum::<u64>(),
        "errors_by_kind": errors,
        "ops": ops,
        "seconds": round(elapsed.as_secs_f64(), 3),
    }))
}

/// The process's user and system time so far.
fn cpu_time() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let duration = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
