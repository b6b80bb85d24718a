//! `settee doctor`: why a cluster cannot be reached, or how well it can.
//!
//! ```text
//! collect  asks the world, by the engine and its parts  -> Facts
//! checks   judge, without looking at the world          -> Findings
//! text, json, html                                      what is shown
//! ```

mod checks;
mod collect;
mod facts;
mod finding;
mod html;
mod json;
mod picture;
mod session;
mod text;

use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::target::Target;
use crate::terminal;
pub(crate) use collect::{Case, Ended};
use facts::Facts;
use finding::{Finding, Severity, verdict};
pub(crate) use session::Session;

const EXAMPLES: &str = "\
Examples:
  settee doctor couchbases://cb.abc.cloud.couchbase.com -u app -b travel
  settee doctor couchbases://db1.example.com,db2.example.com --ca cluster-ca.pem --html report.html
  settee doctor couchbase://10.0.0.1 --json | jq '.findings[] | select(.severity != \"info\")'

Each finding has a code, D-1 to D-30; docs/doctor.md explains them. The results hold for a cluster at rest: run it when \
no rebalance is going on. No password, token or key is shown.

JSON: one object with version, verdict, target{connection_string, tls, capella, bucket, network}, elapsed_ms, \
left_out[], findings[{code, severity, subject, text, advice}], srv, seeds[], nodes[], latencies[].

Exit codes: 0 all is well, 1 there are warnings, 2 there are errors or the arguments are wrong.";

/// Examines the way to a cluster: string, names, ports, TLS, credentials, map, nodes, bucket.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
    /// Write a page with a picture of the cluster to this file besides.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Facts and what follows from them.
struct Report {
    facts: Facts,
    findings: Vec<Finding>,
}

impl Report {
    fn new(facts: Facts) -> Self {
        let findings = checks::all(&facts);
        Self { facts, findings }
    }

    fn verdict(&self) -> Severity {
        verdict(&self.findings)
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let case = args.target.case()?;
    let line = terminal::Progress::new();
    let facts =
        block_on(async { Ok(collect::collect(&case, |text| line.show(format_args!("{text} ..."))).await) })?;
    drop(line);
    let report = Report::new(facts);
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json::value(&report))?;
    } else {
        text::write(&mut out, &report, terminal::stdout_colours())?;
    }
    out.flush()?;
    if let Some(path) = &args.html {
        std::fs::write(path, html::page(&report)).map_err(|error| {
            Failure::usage(format!("the page {} cannot be written: {error}", path.display()))
        })?;
    }
    match report.verdict() {
        Severity::Info => Ok(()),
        worse => Err(Failure::Verdict(worse.exit_code())),
    }
}

fn plural(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Runs this on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::no(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    // A resolver of the platform may sit in its own time-out: nobody waits for it.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests;
