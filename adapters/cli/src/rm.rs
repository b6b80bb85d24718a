//! `settee rm`: removes a document.

use std::io::{self, Write as _};

use crate::connection::ConnectionArgs;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee rm -c couchbase://127.0.0.1 greeting
  settee rm couchbase://127.0.0.1/travel airline_10 --collection inventory.airline

Exit codes: 0 done, 1 no such document or the operation failed, 3 no connection.";

/// Removes a document.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = "settee rm [OPTIONS] [CONNSTR] <KEY>")]
pub(crate) struct Args {
    /// The document's key, behind the cluster's connection string if that is not an option.
    #[arg(value_name = "KEY", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// Write the CAS of the removal to standard error.
    #[arg(long)]
    meta: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (connection_string, key) = crate::arguments::with_key(&args.words)?;
    let result =
        args.connection.with(connection_string, |collection| async move { collection.remove(key).await })?;
    if args.meta {
        writeln!(io::stderr(), "cas {}", result.cas())?;
    }
    Ok(())
}
