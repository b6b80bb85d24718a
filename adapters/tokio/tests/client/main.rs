//! The client on tokio against the simulated cluster on loopback TCP.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

mod health;
mod hostile;
mod lifecycle;
mod load;
mod network;
mod operations;
mod peer;
mod refusals;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod rotation;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod secure;
mod sockets;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod wire;

use std::time::Duration;

use settee_sim::{Action, Rule, SimCluster};
use settee_tokio::{Cluster, ClusterOptions, Collection, Error, ErrorKind, PasswordAuthenticator};

pub(crate) fn sim() -> SimCluster {
    SimCluster::start().unwrap()
}

pub(crate) fn credentials(sim: &SimCluster) -> ClusterOptions {
    ClusterOptions::new(PasswordAuthenticator::new(sim.username(), sim.password()))
}

pub(crate) async fn connect(sim: &SimCluster) -> Cluster {
    settee_tokio::connect(&sim.connection_string(), credentials(sim)).await.unwrap()
}

/// A cluster with one collection of documents; the simulated cluster lives as long as the first.
pub(crate) async fn collection() -> (SimCluster, Cluster, Collection) {
    let sim = sim();
    let cluster = connect(&sim).await;
    let collection = cluster.bucket("default").default_collection();
    (sim, cluster, collection)
}

pub(crate) fn rule(sim: &SimCluster, opcode: settee::wire::Opcode, action: Action) {
    let rule = Rule::new(opcode, action);
    sim.control(move |cluster, _| cluster.add_rule_everywhere(&rule));
}

pub(crate) fn clear_rules(sim: &SimCluster) {
    sim.control(|cluster, _| cluster.clear_rules());
}

#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Looks until it is so, for at most ten seconds.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within ten seconds");
}
