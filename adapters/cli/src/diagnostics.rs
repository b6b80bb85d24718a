//! `settee diagnostics`: connects, and tells what there is of connections then.

use std::io::{self, Write};
use std::time::Instant;

use settee::engine::{ClusterState, ConnectionState, DiagnosticsReport};

use crate::doctor::Session;
use crate::failure::Failure;
use crate::target::Target;
use crate::terminal::{self, Colours, visible};

const EXAMPLES: &str = "\
Examples:
  settee diagnostics couchbase://127.0.0.1 -b travel
  settee diagnostics couchbases://db.example.com --ca ca.pem --json

With a bucket there is a connection to each of its nodes; without one there is a single connection, to the node that gave the cluster map.

JSON: the report of the SDKs' RFC 0061, version 2: version, id, sdk, state, \
services{kv: [{id, remote, local, state, last_activity_us, namespace, details}]}.

Exit codes: 0 the cluster is online, 1 it is degraded or offline, 3 there is no connection to the cluster.";

/// Connects to a cluster and shows each connection that the client has then.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Name of the report.
    #[arg(long)]
    id: Option<String>,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let case = args.target.case()?;
    let report = crate::doctor::block_on(async {
        let mut session = Session::connect(&case).await?;
        if let Some(why) = session.settle(case.timeout).await {
            // A note that nobody can read stops nothing.
            let _ =
                writeln!(io::stderr(), "{} {}", terminal::stderr_colours().yellow("warning:"), visible(&why));
        }
        Ok(session.driven.engine.diagnostics(args.id.as_deref(), Instant::now()))
    })?;
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&report).map_err(Failure::no)?;
        writeln!(out, "{text}")?;
    } else {
        write(&mut out, &report, terminal::stdout_colours())?;
    }
    out.flush()?;
    if report.state == ClusterState::Online { Ok(()) } else { Err(Failure::Reported) }
}

fn write(out: &mut impl Write, report: &DiagnosticsReport, colours: Colours) -> io::Result<()> {
    writeln!(out, "{}", colours.bold(&report.state.to_string()))?;
    for (service, connections) in &report.services {
        for connection in connections {
            let state = format!("{:<13}", connection.state.to_string());
            let connected = connection.state == ConnectionState::Connected;
            let state = if connected { colours.green(&state) } else { colours.red(&state) };
            let active =
                connection.last_activity.map(|ago| format!("active {ago:.1?} ago")).unwrap_or_default();
            let rest = [connection.namespace.as_deref(), connection.details.as_deref()];
            let rest: Vec<String> = rest.into_iter().flatten().map(visible).collect();
            let name = format!("{:<10}", service.as_str());
            let line = format!("{:<24} {active:<20} {}", visible(&connection.remote), rest.join("  "));
            writeln!(out, "{} {state} {}", colours.bold(&name), line.trim_end())?;
        }
    }
    Ok(())
}
