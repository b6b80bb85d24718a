//! One test per rule, named after it; fixtures of our own, and as an extra the shared ones where they are.

mod capabilities;
mod fixtures;
mod hashing;
mod hosts;
mod indexes;
mod networks;
mod own;
mod parsing;
mod properties;
mod shared;
mod versions;

use super::*;

const ORIGIN: &str = "origin.example.com";

/// Parses a config that must be accepted.
fn accept(text: &str) -> ClusterMap {
    match parse(text.as_bytes(), ORIGIN) {
        Ok(map) => map,
        Err(error) => panic!("refused: {error}\n{text}"),
    }
}

/// Parses a config that must be refused.
fn refuse(text: &str) -> MapError {
    match parse(text.as_bytes(), ORIGIN) {
        Ok(map) => panic!("accepted: {map:?}\n{text}"),
        Err(error) => error,
    }
}

/// The smallest bucket config: `nodes` of that length, and the given node list, server list and rows.
fn bucket(nodes: usize, nodes_ext: &str, server_list: &str, rows: &str) -> String {
    let nodes = vec!["{}"; nodes].join(",");
    format!(
        r#"{{"rev":1,"name":"b","nodeLocator":"vbucket","nodes":[{nodes}],"nodesExt":{nodes_ext},
            "vBucketServerMap":{{"numReplicas":1,"serverList":{server_list},"vBucketMap":{rows}}}}}"#
    )
}

/// A node list of these hosts, each with KV and management on the usual plain ports.
fn nodes_ext(hosts: &[&str]) -> String {
    let nodes: Vec<_> = hosts
        .iter()
        .map(|host| format!(r#"{{"hostname":"{host}","services":{{"kv":11210,"mgmt":8091}}}}"#))
        .collect();
    format!("[{}]", nodes.join(","))
}
