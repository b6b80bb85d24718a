//! The `settee` program.
//!
//! One file per command; `connection` holds the arguments that several of them share, `terminal` what is written for
//! people, `failure` how a command ends.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod completions;
mod connection;
mod decode;
mod diagnostics;
mod doctor;
mod explain;
mod failure;
mod get;
mod hex;
mod map;
mod metadata;
mod options;
mod ping;
mod rm;
mod serve;
mod set;
mod target;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee serve --nodes 3 --port 11210             a simulated cluster to work against
  settee set -c couchbase://127.0.0.1 greeting '{\"text\": \"hello\"}'
  settee get -c couchbase://127.0.0.1 greeting
  settee doctor couchbases://db.example.com       what is wrong with the way to a cluster
  settee get -c couchbases://db.example.com --ca ca.pem greeting
  settee ping couchbase://127.0.0.1               a sign of life from every endpoint
  settee explain 'couchbase://db.example.com?kv_timeout=4s'
  settee options timeout
  settee map config.json --seed db.example.com:11210 --key airline_10
  settee decode 80000005000000000000000500000001000000000000000068656c6c6f
  settee bench couchbase://127.0.0.1 --op get --in-flight 64 --seconds 5

Exit codes:
  0  done
  1  the answer is no: no such document, an operation that failed, input that is refused
  2  the arguments are wrong
  3  there is no connection to the cluster";

/// Works with Couchbase clusters, real and simulated, and explains what they say.
#[derive(Parser, Debug)]
#[command(name = "settee", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::Args),
    Get(get::Args),
    Set(set::Args),
    Rm(rm::Args),
    Doctor(doctor::Args),
    Ping(ping::Args),
    Diagnostics(diagnostics::Args),
    Explain(explain::Args),
    Options(options::Args),
    Map(map::Args),
    Decode(decode::Args),
    Bench(bench::Args),
    Metadata(metadata::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Set(args) => set::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Diagnostics(args) => diagnostics::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Options(args) => options::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Metadata(args) => metadata::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    // There is nobody left to tell if standard error is gone as well.
    let _ = failure.write(&mut std::io::stderr().lock(), terminal::stderr_colours());
    let _ = std::io::stderr().flush();
    ExitCode::from(failure.code())
}
