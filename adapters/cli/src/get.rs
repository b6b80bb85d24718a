//! `settee get`: a document as it is.

use std::io::{self, IsTerminal as _, Write as _};

use crate::connection::ConnectionArgs;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee get -c couchbase://127.0.0.1 greeting
  settee get couchbase://127.0.0.1 greeting            the same
  settee get couchbases://db.example.com/travel airline_10 -u app --collection inventory.airline
  settee get -c couchbase://127.0.0.1 greeting --meta
  export SETTEE_CONNSTR=couchbase://127.0.0.1 SETTEE_USERNAME=app SETTEE_PASSWORD=secret
  settee get greeting

The document's bytes go to standard output, with a line end added on a terminal only.

Exit codes: 0 done, 1 no such document or the operation failed, 3 no connection.";

/// Reads a document.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = "settee get [OPTIONS] [CONNSTR] <KEY>")]
pub(crate) struct Args {
    /// The document's key, behind the cluster's connection string if that is not an option.
    #[arg(value_name = "KEY", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// Write CAS and flags to standard error.
    #[arg(long)]
    meta: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (connection_string, key) = crate::arguments::with_key(&args.words)?;
    let document =
        args.connection.with(connection_string, |collection| async move { collection.get(key).await })?;
    let (value, flags) = document.content_raw();
    let mut out = io::stdout().lock();
    out.write_all(value)?;
    if out.is_terminal() {
        writeln!(out)?;
    }
    out.flush()?;
    if args.meta {
        writeln!(io::stderr(), "cas {}, flags 0x{:08x}", document.cas(), flags.0)?;
    }
    Ok(())
}
