//! Serves a simulated cluster until standard input ends:
//! `cargo run -p settee-sim --example serve -- [first port] [nodes]`.

use settee_sim::SimCluster;
use std::io::{Read as _, Write as _};

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
    std::io::stdin().read_to_end(&mut Vec::new())?;
    cluster.stop();
    Ok(())
}
