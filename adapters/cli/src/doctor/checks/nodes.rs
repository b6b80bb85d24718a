//! What the map announces, tried: ports, round trips, the bucket (D-22 to D-24, D-29).

use std::time::Duration;

use settee::engine::Stage;
use settee::error::ErrorKind;
use settee::map::{ClusterMap, DEFAULT_NETWORK, Node, Service};

use crate::doctor::facts::{Facts, place};
use crate::doctor::finding::Finding;
use crate::doctor::plural;

/// Round trips that are slow for one data centre (D-23).
const SLOW_MEAN: Duration = Duration::from_millis(10);
const SLOW_MAX: Duration = Duration::from_millis(20);
/// Round trips that only a wide area has (D-29).
const WIDE: Duration = Duration::from_millis(25);

pub(super) fn check(facts: &Facts, out: &mut Vec<Finding>) {
    if let Some(map) = facts.map() {
        ports(facts, map, out);
        latencies(facts, out);
    }
    bucket(facts, out);
}

/// D-22.
fn ports(facts: &Facts, map: &ClusterMap, out: &mut Vec<Finding>) {
    let fine = facts.endpoints.iter().filter(|endpoint| endpoint.outcome.is_ok()).count();
    for node in &map.nodes {
        unreachable(facts, map, node, out);
    }
    let all = facts.endpoints.len();
    if all > 0 {
        out.push(Finding::info("D-22", "", format!("{fine} of {all} announced ports take connections")));
    }
    let (network, tls) = (facts.network(), facts.given.tls);
    let mode = if tls { "with TLS" } else { "without TLS" };
    for node in &map.nodes {
        let elsewhere: Vec<&str> =
            [Service::Kv, Service::Mgmt, Service::Views, Service::Query, Service::Search, Service::Analytics]
                .into_iter()
                .filter(|service| {
                    let runs = [true, false].iter().any(|tls| node.ports.get(*service, *tls).is_some());
                    // A node that is not on this network at all is D-17's.
                    runs && node.host_on(network).is_some() && node.endpoint(*service, network, tls).is_none()
                })
                .map(Service::as_str)
                .collect();
        if !elsewhere.is_empty() {
            let text = format!("not in the map for the network {network} {mode}: {}", elsewhere.join(", "));
            let advice = if tls {
                "enable TLS for these services, and publish their TLS ports where alternate addresses have ports"
            } else {
                "publish their ports where alternate addresses have ports, or use couchbases://"
            };
            out.push(Finding::warn("D-22", &node.host, text).advise(advice));
        }
    }
}

/// Ports of a node that fail: each by itself, or all of them at once where they fail alike.
fn unreachable(facts: &Facts, map: &ClusterMap, node: &Node, out: &mut Vec<Finding>) {
    let mine = || facts.endpoints.iter().filter(|endpoint| endpoint.node == node.index);
    let failed: Vec<_> =
        mine().filter_map(|endpoint| Some((endpoint, endpoint.outcome.as_ref().err()?))).collect();
    let Some((first, attempt)) = failed.first() else { return };
    let alike = failed.iter().all(|(_, other)| (other.stage, &other.text) == (attempt.stage, &attempt.text));
    if alike && failed.len() > 1 && failed.len() == mine().count() {
        let ports: Vec<String> =
            failed.iter().map(|(one, _)| format!("{} {}", one.service.as_str(), one.port)).collect();
        let text = format!(
            "no port of slot {} can be reached: failed at {}: {} ({})",
            node.index,
            attempt.stage,
            attempt.text,
            ports.join(", ")
        );
        let advice =
            format!("see whether the node is up; if it is: {}", port_advice(facts, map, attempt.stage));
        out.push(Finding::error("D-22", &first.host, text).advise(advice));
        return;
    }
    for (endpoint, attempt) in failed {
        let text = format!(
            "{} of slot {} cannot be reached: failed at {}: {}",
            endpoint.service.as_str(),
            node.index,
            attempt.stage,
            attempt.text
        );
        let subject = place(&endpoint.host, endpoint.port);
        out.push(Finding::error("D-22", subject, text).advise(port_advice(facts, map, attempt.stage)));
    }
}

fn port_advice(facts: &Facts, map: &ClusterMap, stage: Stage) -> String {
    let network = facts.network();
    let other = map
        .alternate_networks
        .iter()
        .map(String::as_str)
        .chain([DEFAULT_NETWORK])
        .find(|name| *name != network);
    match (stage, other) {
        (Stage::Tls, _) => "see the checks of the certificates".to_owned(),
        (_, Some(other)) if stage <= Stage::Tcp => format!(
            "the address is the one of the network {network}: if this machine is elsewhere, try network={other}; otherwise open the port"
        ),
        _ if network == DEFAULT_NETWORK => {
            "open the port for this machine; if the address is for the inside of another network, publish alternate addresses (setting-alternate-address)".to_owned()
        }
        _ => "open the port for this machine".to_owned(),
    }
}

/// D-23, D-29.
fn latencies(facts: &Facts, out: &mut Vec<Finding>) {
    let mut slowest = Duration::ZERO;
    for noop in &facts.whole.noops {
        if noop.failed > 0 {
            let text = format!(
                "{} of {} not answered",
                noop.failed,
                plural(noop.failed + noop.samples.len(), "NOOP")
            );
            out.push(
                Finding::warn("D-23", &noop.remote, text)
                    .advise("see whether this node can be reached, and how it is"),
            );
        }
        let (Some(max), Ok(count)) = (noop.samples.iter().max(), u32::try_from(noop.samples.len())) else {
            continue;
        };
        let mean = noop.samples.iter().sum::<Duration>() / count.max(1);
        slowest = slowest.max(mean);
        let text =
            format!("{}: mean {mean:.1?}, longest {max:.1?}", plural(noop.samples.len(), "round trip"));
        let finding = if mean >= SLOW_MEAN || *max >= SLOW_MAX {
            Finding::warn("D-23", &noop.remote, text)
                .advise("run programs in the network of the cluster; for development from afar use profile=wan_development")
        } else {
            Finding::info("D-23", &noop.remote, text)
        };
        out.push(finding);
    }
    let given = &facts.given;
    if slowest > Duration::ZERO {
        // A dial takes a round trip, and one more for TLS.
        let dial = slowest * if given.tls { 2 } else { 1 };
        for (name, time, needed) in [
            ("kv_timeout", given.kv_timeout, slowest),
            ("kv_connect_timeout", given.kv_connect_timeout, dial),
        ] {
            if time <= needed {
                let text = format!("{name} is {time:.1?}, and the network alone takes {needed:.1?}");
                out.push(
                    Finding::warn("D-29", name, text).advise("raise it, or use profile=wan_development"),
                );
            }
        }
    }
    if slowest >= WIDE && given.profile.is_none() {
        let text = format!(
            "round trips of {slowest:.1?} are those of a wide area, and the time-outs are for a local network"
        );
        out.push(
            Finding::warn("D-29", "", text).advise("add ?profile=wan_development for development from afar"),
        );
    }
}

/// D-24.
fn bucket(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(bucket) = &facts.whole.bucket else { return };
    let subject = &bucket.name;
    let advice = |kind: ErrorKind| match kind {
        ErrorKind::BucketNotFound => "create the bucket, correct its name, or grant this user access to it",
        ErrorKind::AuthenticationFailure => "grant this user access to the bucket",
        _ => "see whether all of its nodes can be reached, and how they are",
    };
    match &bucket.ready {
        Ok(()) => {}
        // It is known already that there is no cluster to ask.
        Err((kind, _)) if facts.any_map().is_none() && *kind != ErrorKind::BucketNotFound => return,
        Err((kind, text)) => {
            out.push(
                Finding::error("D-24", subject, format!("the bucket is not ready: {text}"))
                    .advise(advice(*kind)),
            );
        }
    }
    match &bucket.read {
        Some(Err((kind, text))) => {
            let text = format!("a document cannot be asked for: {text}");
            out.push(Finding::error("D-24", subject, text).advise(advice(*kind)));
        }
        Some(Ok(time)) => {
            let known = bucket.map.as_ref().and_then(|map| map.bucket_type.clone());
            let kind = facts.pool.as_ref().and_then(|pool| pool.bucket_type.clone()).or(known);
            let kind = kind.map_or_else(|| "type not known".to_owned(), |kind| format!("type {kind}"));
            let storage = bucket.map.as_ref().and_then(|map| map.storage_backend.as_ref());
            let storage = storage.map(|name| format!(", storage {name}")).unwrap_or_default();
            out.push(Finding::info(
                "D-24",
                subject,
                format!("{kind}{storage}; a read is answered in {time:.1?}"),
            ));
        }
        None => {}
    }
    if let Some(map) = &bucket.map {
        if let Some(state) = &map.hibernation_state {
            let text = format!("the bucket is being put to sleep ({state})");
            out.push(Finding::warn("D-24", subject, text).advise("wake it up before it is used"));
        }
        if let Some(vbuckets) = &map.vbuckets {
            let orphans = (0..vbuckets.count())
                .filter(|vb| u16::try_from(*vb).is_ok_and(|vb| vbuckets.active(vb).is_none()))
                .count();
            if orphans > 0 {
                let text = format!(
                    "{orphans} of {} vbuckets have no active copy: their documents cannot be reached",
                    vbuckets.count()
                );
                out.push(
                    Finding::error("D-24", subject, text)
                        .advise("add back or replace the nodes that failed, and rebalance"),
                );
            }
        }
    }
    let sick: Vec<String> = facts
        .pool
        .iter()
        .flat_map(|pool| &pool.bucket_nodes)
        .filter(|(_, status)| status != "healthy")
        .map(|(host, status)| format!("{host} ({status})"))
        .collect();
    if !sick.is_empty() {
        let text = format!("nodes of the bucket that are not healthy: {}", sick.join(", "));
        out.push(
            Finding::warn("D-24", subject, text).advise("wait for warm-up to end, or look after these nodes"),
        );
    }
}
