//! `settee serve`: the simulated cluster on loopback ports.

use std::io::{self, Write as _};

use settee_sim::SimCluster;

use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  settee serve                                      one node on port 11210, bucket default
  settee serve --nodes 3 --port 12000               three nodes on ports 12000, 12001, 12002
  settee serve --bucket travel --collection inventory.airline --collection inventory.hotel

The connection string is the first line of standard output, everything else goes to standard error.
Nothing is kept on disk: what clients store is gone when the program ends.";

/// Serves a simulated cluster on 127.0.0.1 until it is stopped. It keeps nothing on disk.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Key-value port of the first node; the others follow on the next ones. 0: any free ports.
    #[arg(long, default_value_t = 11210)]
    port: u16,
    /// The bucket.
    #[arg(long, default_value = "default")]
    bucket: String,
    /// A collection to make, with its scope; may be repeated.
    #[arg(long = "collection", value_name = "SCOPE.NAME", value_parser = collection)]
    collections: Vec<(String, String)>,
    /// The user.
    #[arg(short, long, default_value = "Administrator")]
    username: String,
    /// The user's password.
    #[arg(short, long, default_value = "password")]
    password: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut builder =
        SimCluster::builder().nodes(args.nodes).bucket(&args.bucket).user(&args.username, &args.password);
    if args.port != 0 {
        builder = builder.port(args.port);
    }
    for (scope, name) in &args.collections {
        builder = builder.collection(scope, name);
    }
    let cluster = builder.start().map_err(|error| {
        Failure::no(format!("the cluster cannot be served: {error}"))
            .hint("choose other ports with --port, or any free ones with --port 0")
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", cluster.connection_string())?;
    out.flush()?;
    let colours = terminal::stderr_colours();
    let mut err = io::stderr().lock();
    let plural = if args.nodes == 1 { "node" } else { "nodes" };
    // A note that nobody can read does not stop the cluster.
    let _ = writeln!(
        err,
        "{} {plural}, bucket {}, user {}; nothing is kept on disk; {}",
        args.nodes,
        colours.bold(&args.bucket),
        colours.bold(&args.username),
        colours.dim("end with Ctrl-C"),
    );
    drop((out, err));
    loop {
        std::thread::park();
    }
}

/// Reads `SCOPE.NAME`.
pub(crate) fn collection(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((scope, name)) if !scope.is_empty() && !name.is_empty() && !name.contains('.') => {
            Ok((scope.to_owned(), name.to_owned()))
        }
        _ => Err("a collection is written SCOPE.NAME, as in inventory.airline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_has_a_scope_and_a_name() {
        assert_eq!(collection("inventory.airline"), Ok(("inventory".into(), "airline".into())));
        for wrong in ["airline", ".airline", "inventory.", "a.b.c", ""] {
            assert!(collection(wrong).is_err(), "{wrong}");
        }
    }
}
