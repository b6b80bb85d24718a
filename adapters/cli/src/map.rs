//! `settee map`: what a cluster map means for a client.

mod text;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use settee::connstr;
use settee::map::{
    self, ClusterMap, MapError, NetworkChoice, NetworkSetting, SeedAddr, Service, choose_network,
};

use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  settee map config.json
  settee map config.json --seed db.example.com:11210 --key airline_10 --key hotel_3
  settee map config.json --host 10.0.0.5 --seed lb.example.net:11207 --tls --json
  curl -su user:pw http://10.0.0.5:8091/pools/default/b/travel | settee map - --host 10.0.0.5

The network is chosen by the seeds, as a client does it: the one that a seed is an endpoint of, else `external` if nodes \
offer it, else `default`. Without --seed, the host of --host at its default port is the seed.

A file may hold several maps separated by four newlines, as the streaming HTTP endpoint sends them: each is reported.

JSON: one object a line for each map, with network, network_reason, endpoints[{i, host, kv, mgmt, serves_bucket}] of that \
network and security mode, and accept, kind, rev, rev_epoch, this_node_index, alternate_networks, bucket, vbuckets, \
nodes, keys, warnings. Of a refused map: accept, reject_reason and detail.

Exit codes: 0 the map can be used, 1 a map or the network is refused.";

/// Explains a cluster map for a client that came by a certain seed.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file with the map; `-` is standard input.
    file: PathBuf,
    /// Write JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// The host that the map was got from: it stands for nodes without a host name.
    #[arg(long, value_name = "ORIGIN")]
    host: Option<String>,
    /// A seed that the client was given; may be repeated.
    #[arg(long = "seed", value_name = "HOST:PORT")]
    seeds: Vec<String>,
    /// The network, as the option `network` would name it.
    #[arg(long, default_value = "auto")]
    network: String,
    /// The client uses TLS.
    #[arg(long)]
    tls: bool,
    /// A key to be placed; may be repeated.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let client = Client::new(args)?;
    let input = read_input(&args.file)?;
    let mut out = io::stdout().lock();
    let mut all_usable = true;
    for (index, document) in documents(&input).into_iter().enumerate() {
        let reading = client.read(document);
        all_usable &= matches!(&reading, Ok(view) if view.network.is_ok());
        if args.json {
            let object = match &reading {
                Ok(view) => client.report(view, &args.keys),
                Err(error) => map::report_refusal(error),
            };
            writeln!(out, "{object}")?;
            continue;
        }
        if index > 0 {
            writeln!(out)?;
        }
        match &reading {
            Ok(view) => text::write(&mut out, &client.report(view, &args.keys), terminal::stdout_colours())?,
            Err(error) => text::write_refusal(&mut out, error, terminal::stdout_colours())?,
        }
    }
    if all_usable { Ok(()) } else { Err(Failure::Reported) }
}

/// The client for whom a map is read.
#[derive(Debug)]
struct Client {
    origin: String,
    seeds: Vec<SeedAddr>,
    network: NetworkSetting,
    tls: bool,
}

/// A map in the eyes of a client.
#[derive(Debug)]
struct View {
    map: ClusterMap,
    network: Result<NetworkChoice, MapError>,
}

impl Client {
    fn new(args: &Args) -> Result<Self, Failure> {
        let mut seeds =
            args.seeds.iter().map(|text| read_seed(text, args.tls)).collect::<Result<Vec<_>, _>>()?;
        if let Some(host) = args.host.as_ref().filter(|_| seeds.is_empty()) {
            let (kv, mgmt) = (Service::Kv.default_port(args.tls), Service::Mgmt.default_port(args.tls));
            seeds.push(SeedAddr { host: host.clone(), kv: Some(kv), mgmt: Some(mgmt) });
        }
        let origin = args.host.clone().or_else(|| seeds.first().map(|seed| seed.host.clone()));
        Ok(Self {
            origin: origin.unwrap_or_else(|| "localhost".to_owned()),
            seeds,
            network: NetworkSetting::from_option(&args.network),
            tls: args.tls,
        })
    }

    fn read(&self, document: &[u8]) -> Result<View, MapError> {
        let map = map::parse(document, &self.origin)?;
        let network = choose_network(&map, &self.network, &self.seeds, self.tls);
        Ok(View { map, network })
    }

    fn report(&self, view: &View, keys: &[String]) -> Value {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut report = map::report(&view.map, &keys);
        let Some(fields) = report.as_object_mut() else { return report };
        // A cluster map places no key, which is an answer too.
        fields.entry("keys").or_insert_with(|| json!([]));
        match &view.network {
            Ok(choice) => {
                fields.insert("network".to_owned(), choice.name.as_str().into());
                fields.insert("network_reason".to_owned(), choice.reason.to_string().into());
                fields.insert("endpoints".to_owned(), self.endpoints(&view.map, &choice.name));
            }
            Err(error) => {
                fields.insert("network".to_owned(), Value::Null);
                fields.insert("network_reason".to_owned(), error.detail.as_str().into());
                fields.insert("endpoints".to_owned(), json!([]));
            }
        }
        report
    }

    /// Where each node is reached on the chosen network in the client's security mode.
    fn endpoints(&self, map: &ClusterMap, network: &str) -> Value {
        let endpoint = |node: &map::Node| {
            let port = |service| node.endpoint(service, network, self.tls).map(|(_, port)| port);
            json!({
                "i": node.index,
                "host": node.host_on(network),
                "kv": port(Service::Kv),
                "mgmt": port(Service::Mgmt),
                "serves_bucket": (map.kind != map::MapKind::Global).then_some(node.serves_bucket),
            })
        };
        map.nodes.iter().map(endpoint).collect()
    }
}

/// Reads a seed as a connection string does, but a port is one of either service: which one is not told.
fn read_seed(text: &str, tls: bool) -> Result<SeedAddr, Failure> {
    let scheme = if tls { "couchbases" } else { "couchbase" };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            let port =
                port.ok_or_else(|| Failure::usage(format!("--seed {text:?}: a port is 1 to 65535")))?;
            (host, Some(port))
        }
        _ => (text, None),
    };
    let connstr = connstr::parse(&format!("{scheme}://{host}"))
        .map_err(|error| Failure::usage(format!("--seed {text:?}: {}", error.hint)))?;
    let [seed] = connstr.seeds.as_slice() else {
        return Err(Failure::usage(format!("--seed {text:?}: one host, with its port")));
    };
    Ok(SeedAddr { host: seed.host.to_string(), kv: port.or(seed.kv), mgmt: port.or(seed.mgmt) })
}

fn read_input(file: &Path) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::no(format!("standard input: {error}")))?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(|error| Failure::no(format!("{}: {error}", file.display())))
}

/// The maps of a file: one, or several separated by four newlines.
fn documents(input: &[u8]) -> Vec<&[u8]> {
    const SEPARATOR: &[u8] = b"\n\n\n\n";
    let mut found = Vec::new();
    let mut rest = input;
    loop {
        let at = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let (document, tail) = match at {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + SEPARATOR.len()..)),
            None => (rest, None),
        };
        // Separators alone are heartbeats.
        if !document.trim_ascii().is_empty() {
            found.push(document);
        }
        match tail {
            Some(tail) => rest = tail,
            None => break,
        }
    }
    // An empty file is one map that is not JSON.
    if found.is_empty() { vec![input] } else { found }
}

#[cfg(test)]
mod tests;
