//! `settee metadata`: what this build is made of and what it trusts.

use std::io::{self, Write};

use settee_tokio::metadata::Metadata;

use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee metadata                        version, TLS, and where certificates are looked for
  settee metadata --detailed --json

JSON: one object; its keys are those of the other Couchbase clients' metadata. Texts are empty where nothing is known.";

/// Tells version, platform, TLS back end, and the certificates that are trusted by default.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Tell everything, not only what matters most.
    #[arg(long)]
    detailed: bool,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let facts = settee_tokio::metadata(args.detailed).with_adapter("tokio");
    Ok(write(&mut io::stdout().lock(), &facts, args.json)?)
}

fn write(out: &mut impl Write, facts: &Metadata, json: bool) -> io::Result<()> {
    if json { writeln!(out, "{}", serde_json::to_string(facts)?) } else { writeln!(out, "{facts}") }
}
