//! Serves a simulated cluster and makes trouble on demand, one command per line of standard input, until it ends:
//! `cargo run -p settee-sim --example serve -- [first port] [nodes]`.
//!
//! Commands: `kill N`, `restart N`, `pause N`, `resume N`, `failover N`, `remove N`, `add`, `rebalance`, `bump`.

use settee_sim::{NodeId, SimCluster};
use std::io::{BufRead as _, Write as _};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut builder = SimCluster::builder().collection("inventory", "hotel");
    if let Some(port) = args.next().and_then(|port| port.parse().ok()) {
        builder = builder.port(port);
    }
    if let Some(nodes) = args.next().and_then(|nodes| nodes.parse().ok()) {
        builder = builder.nodes(nodes);
    }
    let cluster = builder.start()?;
    let (user, password) = (cluster.username(), cluster.password());
    writeln!(std::io::stdout(), "{} {user} {password}", cluster.connection_string())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or("").to_owned();
        let node = NodeId(words.next().and_then(|word| word.parse().ok()).unwrap_or(0));
        if command == "add" {
            let (node, address) = cluster.add_node()?;
            writeln!(std::io::stdout(), "node {} on {address}", node.0)?;
            continue;
        }
        let known = cluster.control(move |cluster, now| match command.as_str() {
            "kill" => cluster.kill_node(node),
            "restart" => cluster.restart_node(node),
            "pause" => cluster.pause_node(node),
            "resume" => cluster.resume_node(node, now),
            "failover" => cluster.fail_over(node),
            "remove" => cluster.remove_node(node),
            "bump" => cluster.bump_revision("default"),
            "rebalance" => {
                cluster.rebalance();
                true
            }
            _ => false,
        });
        writeln!(std::io::stdout(), "{}", if known { "done" } else { "unknown command or node" })?;
    }
    cluster.stop();
    Ok(())
}
