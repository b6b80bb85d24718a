//! The map, and how its nodes are (D-17 to D-21, D-25).

use std::collections::{BTreeMap, BTreeSet};

use settee::map::{ClusterMap, DEFAULT_NETWORK, Node, Service, canonical_host_eq};

use crate::doctor::facts::{Facts, PoolNode, place};
use crate::doctor::finding::Finding;

pub(super) fn check(facts: &Facts, out: &mut Vec<Finding>) {
    rebalance(facts, out);
    network(facts, out);
    identities(facts, out);
    source(facts, out);
    if let Some(map) = facts.map() {
        names(facts, map, out);
        nodes(facts, map, out);
    }
}

/// D-17.
fn network(facts: &Facts, out: &mut Vec<Finding>) {
    let choice = match &facts.whole.network {
        None => return,
        Some(Err(text)) => {
            let advice = "leave `network` away to have it found out, or name one that there is";
            out.push(Finding::error("D-17", &facts.given.network, text).advise(advice));
            return;
        }
        Some(Ok(choice)) => choice,
    };
    let Some(map) = facts.any_map() else { return };
    let mut others: BTreeSet<&str> = map.alternate_networks.iter().map(String::as_str).collect();
    others.insert(DEFAULT_NETWORK);
    others.remove(choice.name.as_str());
    let others: Vec<&str> = others.into_iter().collect();
    let others =
        if others.is_empty() { "no others".to_owned() } else { format!("others: {}", others.join(", ")) };
    out.push(Finding::info(
        "D-17",
        &choice.name,
        format!("network in use: {} ({}); {others}", choice.name, choice.reason),
    ));
    if choice.name == DEFAULT_NETWORK {
        return;
    }
    let tls = facts.given.tls;
    let default_port = Service::Kv.default_port(tls);
    let mapped = facts.seeds.iter().any(|seed| seed.at.kv.is_some_and(|port| port != default_port));
    let mut missing = Vec::new();
    for node in &map.nodes {
        match node.alternates.iter().find(|alternate| alternate.network == choice.name) {
            None => missing.push(node.host.as_str()),
            Some(alternate) if alternate.ports.is_none() && mapped => {
                let host = alternate.host.as_deref().unwrap_or(&node.host);
                let text = format!(
                    "the address `{host}` of the network {} has no ports of its own, and a seed is reached by another port than {default_port}",
                    choice.name
                );
                let advice = "publish the mapped ports as well: couchbase-cli setting-alternate-address --set --ports ...";
                out.push(Finding::warn("D-17", &node.host, text).advise(advice));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        let text = format!("nodes without an address on the network {}: {}", choice.name, missing.join(", "));
        let advice = "give each node an alternate address (setting-alternate-address): what they hold cannot be reached from here";
        out.push(Finding::warn("D-17", &choice.name, text).advise(advice));
    }
}

/// D-18.
fn identities(facts: &Facts, out: &mut Vec<Finding>) {
    let mut clusters: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    // Before 7.6 maps do not name their cluster: the nodes tell, unless they go by the name that was dialled.
    let mut unnamed: Vec<(String, BTreeSet<(&str, u16)>)> = Vec::new();
    for seed in &facts.seeds {
        let at = seed
            .at
            .kv
            .or(seed.at.mgmt)
            .map_or_else(|| seed.at.host.clone(), |port| place(&seed.at.host, port));
        let kv = seed.kv.as_ref().and_then(|kv| kv.outcome.as_ref().ok());
        let http = seed.http.as_ref().and_then(|http| http.outcome.as_ref().ok());
        for map in kv.into_iter().chain(http) {
            if let Some(uuid) = &map.cluster_uuid {
                clusters.entry(uuid).or_default().insert(at.clone());
            } else if map.nodes.iter().all(|node| !node.host_inferred) {
                let kv = |node| Node::endpoint(node, Service::Kv, DEFAULT_NETWORK, facts.given.tls);
                unnamed.push((at.clone(), map.nodes.iter().filter_map(kv).collect()));
            }
        }
    }
    let advice = "name nodes of one cluster: which one a program connects to is a matter of chance now";
    if let Some(((one, nodes), rest)) = unnamed.split_first()
        && let Some((other, _)) = rest
            .iter()
            .find(|(_, others)| !nodes.is_empty() && !others.is_empty() && nodes.is_disjoint(others))
    {
        let text = format!("the maps of {one} and {other} have no node in common: they are of 2 clusters");
        out.push(Finding::error("D-18", "", text).advise(advice));
    }
    if clusters.len() > 1 {
        let parts: Vec<String> = clusters
            .values()
            .map(|hosts| hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            .collect();
        let text = format!("the seeds belong to {} clusters: {}", clusters.len(), parts.join(" | "));
        out.push(Finding::error("D-18", "", text).advise(advice));
    }
}

/// D-19.
fn names(facts: &Facts, map: &ClusterMap, out: &mut Vec<Finding>) {
    if facts.given.capella {
        return;
    }
    for seed in &facts.seeds {
        let known = map.nodes.iter().any(|node| {
            canonical_host_eq(&seed.at.host, &node.host)
                || node
                    .alternates
                    .iter()
                    .filter_map(|other| other.host.as_ref())
                    .any(|host| canonical_host_eq(&seed.at.host, host))
        });
        if !known {
            let text = "no node calls itself by this name; connections after the first one go to the names in the map";
            let advice = "use a node's own name or an alternate address of it, so that certificates and networks can be told apart";
            out.push(Finding::warn("D-19", &seed.at.host, text).advise(advice));
        }
    }
}

/// D-20.
fn source(facts: &Facts, out: &mut Vec<Finding>) {
    let by_kv = facts.seeds.iter().any(|seed| seed.kv.as_ref().is_some_and(|kv| kv.outcome.is_ok()));
    if facts.any_map().is_none() || (by_kv && !facts.given.http_only) {
        return;
    }
    let text = if facts.given.http_only {
        "cluster maps come over HTTP, since the option bootstrap_on says so"
    } else {
        "the cluster map came over HTTP: no key-value connection gave one"
    };
    let advice = "open the key-value port (11210, with TLS 11207) of the seeds: over HTTP changes of the cluster are learned later";
    out.push(Finding::warn("D-20", "", text).advise(advice));
}

/// D-21.
fn nodes(facts: &Facts, map: &ClusterMap, out: &mut Vec<Finding>) {
    for node in &map.nodes {
        let services: Vec<&str> = node.ports.services().map(Service::as_str).collect();
        let mut text = format!("slot {}: {}", node.index, services.join(", "));
        if let Some(group) = &node.server_group {
            text = format!("{text}; group {group}");
        }
        if let Some(known) = pool_node(facts, node) {
            text = format!("{text}; release {}, {}, {}", known.version, known.status, known.membership);
        }
        out.push(Finding::info("D-21", &node.host, text));
    }
    if facts.pool.is_none() {
        let text = "releases and health of the nodes are not known: no manager answered /pools/default";
        out.push(
            Finding::info("D-21", "", text)
                .advise("open the manager's port, or use a user who may read the cluster"),
        );
    }
}

fn host_and_port(known: &PoolNode) -> (&str, Option<u16>) {
    let (host, port) = known.host.rsplit_once(':').unwrap_or((known.host.as_str(), ""));
    (host.trim_matches(['[', ']']), port.parse().ok())
}

/// The manager's view of a node: the one with its host and port, or the only one with its host.
fn pool_node<'a>(facts: &'a Facts, node: &Node) -> Option<&'a PoolNode> {
    let nodes = &facts.pool.as_ref()?.nodes;
    let here = |known: &&PoolNode| canonical_host_eq(host_and_port(known).0, &node.host);
    let port = node.ports.get(Service::Mgmt, false);
    let exact = nodes.iter().filter(here).find(|known| port.is_some() && host_and_port(known).1 == port);
    let mut others = nodes.iter().filter(here);
    exact.or_else(|| others.next().filter(|_| others.next().is_none()))
}

/// D-25.
fn rebalance(facts: &Facts, out: &mut Vec<Finding>) {
    let text =
        "the results hold for a cluster at rest: while it rebalances, nodes come and go and buckets move";
    out.push(Finding::info("D-25", "", text));
    let moving = facts
        .whole
        .bucket
        .iter()
        .filter_map(|bucket| bucket.map.as_ref()?.vbuckets.as_ref())
        .any(settee::map::VbucketMap::has_forward);
    if moving || facts.pool.as_ref().is_some_and(|pool| pool.rebalancing) {
        out.push(
            Finding::warn("D-25", "", "a rebalance is going on")
                .advise("run the doctor again when it is over"),
        );
    }
    for node in facts.pool.iter().flat_map(|pool| &pool.nodes) {
        if node.status != "healthy" || node.membership != "active" {
            let text = format!("the manager says: {}, {}", node.status, node.membership);
            let advice = "bring the node back, or fail it over and rebalance";
            out.push(Finding::warn("D-25", &node.host, text).advise(advice));
        }
    }
}
