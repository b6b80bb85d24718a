//! `settee ping`: a sign of life from every endpoint of a cluster.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use settee::engine::{PingReport, PingRequest, PingState};
use settee::map::Service;

use crate::doctor::{Ended, Session};
use crate::failure::Failure;
use crate::target::Target;
use crate::terminal::{self, Colours, visible};

const EXAMPLES: &str = "\
Examples:
  settee ping couchbase://127.0.0.1 -b travel
  settee ping couchbases://db.example.com --ca ca.pem --service kv --service query
  settee ping couchbase://127.0.0.1 --json

Data nodes are asked over the connections that a client has to them: to all of them with a bucket, without one to the node alone that gave the cluster map.

JSON: the report of the SDKs' RFC 0061, version 2: version, id, sdk, config_rev, \
services{kv: [{id, remote, local, state, latency_us, namespace, error}]}.

Exit codes: 0 every endpoint answered, 1 some did not, 3 there is no connection to the cluster.";

/// Asks every service of every node for a sign of life.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// A service to ask; may be repeated [default: all that the cluster has].
    #[arg(long = "service", value_name = "NAME", value_parser = service)]
    services: Vec<Service>,
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
        let now = Instant::now();
        let request = PingRequest {
            bucket: session.bucket,
            services: args.services.clone(),
            id: args.id.clone(),
            timeout: Some(case.timeout),
        };
        let op = session.driven.engine.ping(request, now);
        match session.driven.wait(op, now + case.timeout + Duration::from_secs(1)).await {
            Some(Ended::Pinged(_, report)) => Ok(report),
            _ => Err(Failure::no_connection("the ping did not end in time")),
        }
    })?;
    let mut out = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&report).map_err(Failure::no)?;
        writeln!(out, "{text}")?;
    } else {
        write(&mut out, &report, terminal::stdout_colours())?;
    }
    out.flush()?;
    if report.is_ok() { Ok(()) } else { Err(Failure::Reported) }
}

fn write(out: &mut impl Write, report: &PingReport, colours: Colours) -> io::Result<()> {
    for (service, endpoints) in &report.services {
        for ping in endpoints {
            let state = format!("{:<8}", ping.state.to_string());
            let state = if ping.state == PingState::Ok { colours.green(&state) } else { colours.red(&state) };
            let time = ping.latency.map(|latency| format!("{latency:.1?}")).unwrap_or_default();
            let rest = [ping.namespace.as_deref(), ping.details.as_deref()];
            let rest: Vec<String> = rest.into_iter().flatten().map(visible).collect();
            let name = format!("{:<10}", service.as_str());
            let line = format!("{:<24} {time:>9}  {}", visible(&ping.remote), rest.join("  "));
            writeln!(out, "{} {state} {}", colours.bold(&name), line.trim_end())?;
        }
    }
    Ok(())
}

fn service(text: &str) -> Result<Service, String> {
    let pinged = [
        Service::Kv,
        Service::Query,
        Service::Search,
        Service::Analytics,
        Service::Views,
        Service::Mgmt,
        Service::Eventing,
    ];
    pinged.into_iter().find(|service| service.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = pinged.iter().map(|service| service.as_str()).collect();
        format!("there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_called_as_in_the_report() {
        assert_eq!(service("query"), Ok(Service::Query));
        assert!(service("index").is_err() && service("n1ql").is_err());
    }
}
