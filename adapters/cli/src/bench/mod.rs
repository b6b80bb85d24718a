//! `settee bench`: a load generator, and the floor to compare it with.

mod client;
mod figures;
mod floor;
mod handshake;
mod histogram;
mod workload;

use std::io::{self, Write as _};
use std::time::Duration;

use crate::connection::Login;
use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  settee serve --port 11210 &
  settee bench couchbase://127.0.0.1 --op get --in-flight 64 --seconds 5
  settee bench couchbase://127.0.0.1 --op mixed --in-flight 512 --threads 2 --json
  settee bench couchbase://127.0.0.1 --op get --in-flight 64 --seconds 5 --floor
  settee bench couchbase://db.example.com --beside couchbases://db.example.com --ca ca.pem

The documents bench-0, bench-1, ... are written first, which is not part of the figures. Values are random bytes that \
compression cannot make smaller. `mixed` is one half reads and one half writes.

With --beside CONNSTR the same load is measured again on that string, for instance over TLS: one cluster, both ways.

With --floor no client is measured but a bare loop: it writes prepared requests and parses the answers for length and \
opaque only. Each of its threads has one connection to the first node that answers, and uses the keys which that node \
holds. What a client takes more than this is the price of the client.

JSON, the last line: ops_per_sec, cpu_us_per_op (user and system time of the process), p50_us, p99_us, p999_us, errors, \
ops, seconds, errors_by_kind; with --beside, `beside` has the same of the second run. Operations that fail are not among ops.

Exit codes: 0 done, 1 no operation succeeded, 3 no connection.";

/// Puts load on a cluster and measures throughput, latency and the client's CPU time.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster.
    #[arg(value_name = "CONNSTR")]
    connection_string: String,
    #[command(flatten)]
    login: Login,
    /// The bucket [default: the one of the connection string, else `default`].
    #[arg(short, long)]
    bucket: Option<String>,
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
    /// Threads of the runtime; of the floor: threads with a connection each.
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Measures the same on this connection string afterwards, such as couchbases:// beside couchbase://.
    #[arg(long, value_name = "CONNSTR", conflicts_with = "floor")]
    beside: Option<String>,
    /// Measure the bare loop.
    #[arg(long)]
    floor: bool,
    /// Write the figures as one JSON object.
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

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let figures = if args.floor { floor::run(args)? } else { client::run(args, &args.connection_string)? };
    let beside = args.beside.as_ref().map(|text| client::run(args, text)).transpose()?;
    let mut out = io::stdout().lock();
    if args.json {
        let mut json = figures.to_json();
        if let (Some(beside), Some(fields)) = (&beside, json.as_object_mut()) {
            fields.insert("beside".to_owned(), beside.to_json());
        }
        writeln!(out, "{json}")?;
    } else {
        let colours = terminal::stdout_colours();
        figures.write(&mut out, colours)?;
        if let (Some(beside), Some(text)) = (&beside, &args.beside) {
            writeln!(out, "\n{}", colours.bold(&terminal::visible(text)))?;
            beside.write(&mut out, colours)?;
            writeln!(out, "{:<12}{:.0} % of the throughput", "", 100.0 * beside.share_of(&figures))?;
        }
    }
    let succeeded = figures.ops() > 0 && beside.is_none_or(|beside| beside.ops() > 0);
    if succeeded { Ok(()) } else { Err(Failure::no("no operation succeeded")) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && duration.as_secs() <= 86_400)
        .ok_or_else(|| "more than 0 and at most 86400 seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "x", "nan", "inf", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
