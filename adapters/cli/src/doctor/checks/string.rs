//! What can be said without the cluster: the string, its options, and what DNS knows (D-1 to D-13, D-30).

use std::collections::BTreeSet;
use std::net::IpAddr;

use settee::connstr::WarningKind;
use settee::dns::{Answer, Outcome, SrvError};

use crate::doctor::facts::{Facts, NameFacts, SeedFacts, SetupError, TlsOutcome, place};
use crate::doctor::finding::{Finding, Severity};

/// Datagrams up to this size pass everywhere without EDNS.
const CLASSIC_ANSWER: usize = 512;
/// So many records fit into such a datagram with room to spare.
const FEW_RECORDS: usize = 3;

pub(super) fn check(facts: &Facts, out: &mut Vec<Finding>) {
    if let Some(text) = &facts.refused {
        let advice = "correct the connection string; `settee explain CONNSTR` shows the place";
        out.push(Finding::error("D-1", "", text).advise(advice));
        return;
    }
    warnings(facts, out);
    endpoints(facts, out);
    security(facts, out);
    srv(facts, out);
    if facts.given.seeds.len() == 1 && !has_records(facts.srv.as_ref()) {
        let host = facts.given.seeds.first().map_or("", |seed| seed.host.as_str());
        let text = "the connection string names one node, and no SRV record names others";
        let advice = "name two or three nodes, or make an SRV record: a program that starts while this node is down cannot connect";
        // There are no others to name.
        let alone = facts.any_map().is_some_and(|map| map.nodes.len() == 1);
        out.push(if alone {
            Finding::info("D-7", host, "the connection string names the cluster's only node")
        } else {
            Finding::warn("D-7", host, text).advise(advice)
        });
    }
    for name in &facts.names {
        addresses(facts, name, out);
    }
}

/// D-2, D-30.
fn warnings(facts: &Facts, out: &mut Vec<Finding>) {
    for warning in &facts.given.warnings {
        let code = match warning.kind {
            WarningKind::DeprecatedScheme | WarningKind::DeprecatedManagerPort => "D-2",
            // Said by D-13, with its advice.
            WarningKind::InsecureSetting => continue,
            _ => "D-30",
        };
        let text = format!("{}: {}", warning.kind, warning.text);
        let advice = match warning.kind {
            WarningKind::DeprecatedScheme => "write couchbase://, or couchbases:// for TLS",
            WarningKind::DeprecatedManagerPort => "write couchbase:// in front and leave the port away",
            WarningKind::UnknownOption => "see `settee options` for the names that there are",
            WarningKind::IgnoredOption => "leave it away: it changes nothing here",
            WarningKind::SuspiciousValue => "write the unit, such as 2500ms or 10s",
            _ => "`settee explain CONNSTR` shows what it means as it stands",
        };
        out.push(Finding::warn(code, &warning.subject, text).advise(advice));
    }
}

/// D-8, D-9.
fn endpoints(facts: &Facts, out: &mut Vec<Finding>) {
    let seeds = if facts.seeds.is_empty() {
        facts.given.seeds.clone()
    } else {
        facts.seeds.iter().map(|seed| seed.at.clone()).collect()
    };
    let list = |port: &dyn Fn(&settee::map::SeedAddr) -> Option<u16>| {
        let places: Vec<String> =
            seeds.iter().filter_map(|seed| Some(place(&seed.host, port(seed)?))).collect();
        if places.is_empty() { "none".to_owned() } else { places.join(", ") }
    };
    let tls = if facts.given.tls { "with TLS" } else { "without TLS" };
    let text = format!("{tls}; key-value: {}; manager: {}", list(&|seed| seed.kv), list(&|seed| seed.mgmt));
    out.push(Finding::info("D-8", "", text));
    if facts.given.bucket.is_none() {
        let advice = "name one with --bucket or behind the hosts, as in couchbase://host/travel";
        out.push(Finding::info("D-9", "", "no bucket is named: it is not checked").advise(advice));
    }
}

/// D-13.
fn security(facts: &Facts, out: &mut Vec<Finding>) {
    let given = &facts.given;
    if given.capella && !given.tls {
        let text = "this is a Capella host, and the connection string asks for connections without TLS";
        let advice = "write couchbases://: Capella takes no others";
        out.push(Finding::error("D-13", "", text).advise(advice));
    }
    match &facts.setup {
        Some(SetupError::Trust(text)) => {
            let advice = "give the cluster's CA with --ca FILE (of a self-managed cluster: its page Security), or install it on this machine";
            out.push(Finding::error("D-13", "", text).advise(advice));
        }
        Some(SetupError::Credentials(text)) => {
            let advice = "give one kind of credentials: --username and --password, --client-cert and --client-key, or --token; the last two need couchbases://";
            out.push(Finding::error("D-27", "", text).advise(advice));
        }
        Some(SetupError::Other(text)) => out.push(Finding::error("D-1", "", text)),
        None => {}
    }
    if given.tls && !given.verify {
        let text =
            "the cluster's certificates are not verified: anybody in between can read and change everything";
        out.push(
            Finding::warn("D-13", "tls_verify", text)
                .advise("remove tls_verify=none, and give the CA with --ca FILE"),
        );
    } else if given.tls && !given.verify_hostname {
        let text = "the names in certificates are not verified: any server with a trusted certificate can pose as a node";
        let advice = "remove tls_verify_hostname=false, and connect by a name that the certificate has";
        out.push(Finding::warn("D-13", "tls_verify_hostname", text).advise(advice));
    }
    // A store that is read in part does no harm as long as what is needed is in it.
    let refused = |seed: &SeedFacts| seed.tls.iter().any(|tls| matches!(tls.outcome, TlsOutcome::Failed(_)));
    let harmful = facts.seeds.iter().any(refused);
    for note in &given.trust_notes {
        let severity = if harmful { Severity::Warn } else { Severity::Info };
        let advice = "give the cluster's CA with --ca FILE";
        out.push(Finding::new("D-13", severity, "", note).advise(advice));
    }
}

fn has_records(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Outcome { answer: Answer::Records(_), .. }))
}

/// D-3 to D-6.
fn srv(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(outcome) = &facts.srv else { return };
    let text = outcome.to_string();
    match &outcome.answer {
        Answer::Records(targets) => {
            let large = outcome.over_tcp || outcome.bytes > CLASSIC_ANSWER || outcome.truncated;
            let finding = if large && targets.len() > FEW_RECORDS {
                Finding::warn("D-3", &outcome.name, text).advise(
                    "some routers and resolvers drop answers of this size: for development use a name with at most three records, or another resolver (--name-server)",
                )
            } else {
                Finding::info("D-3", &outcome.name, text)
            };
            out.push(finding);
            for target in targets.iter().filter(|target| target.relative_suspected) {
                let text = "the target of the SRV record repeats the domain";
                let advice = "end the target with a dot in the zone file: without one the name server appends the zone";
                out.push(Finding::warn("D-5", &target.host, text).advise(advice));
            }
            if let Some(NameFacts { name, addresses: Ok(addresses), .. }) = &facts.srv_host
                && !addresses.is_empty()
            {
                let text = format!("the name has SRV records and addresses as well ({})", list(addresses));
                let advice =
                    "keep one of them: the records win, and programs that do not know SRV connect elsewhere";
                out.push(Finding::warn("D-4", name, text).advise(advice));
            }
        }
        Answer::NoRecords { .. } => {
            out.push(Finding::info("D-3", &outcome.name, format!("{text}; the name itself is used")));
            if has_records(facts.srv_for_tls.as_ref()) && !facts.given.tls {
                let text = "there is an SRV record of this name for TLS, and none for plain connections";
                out.push(
                    Finding::error("D-6", &outcome.name, text)
                        .advise("write couchbases:// in place of couchbase://"),
                );
            }
        }
        Answer::Failed(error) => {
            let advice = match error {
                SrvError::NoServers | SrvError::Unsupported => {
                    "tell which name server to ask with --name-server, or name the nodes in the connection string"
                }
                _ => {
                    "try another resolver (--name-server), or for development a name with at most three records"
                }
            };
            out.push(Finding::warn("D-3", &outcome.name, text).advise(advice));
        }
        _ => out.push(Finding::info("D-3", &outcome.name, text)),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let some: Vec<String> = addresses.iter().take(8).map(ToString::to_string).collect();
    let more = if addresses.len() > 8 { ", ..." } else { "" };
    some.join(", ") + more
}

/// D-10 to D-12.
fn addresses(facts: &Facts, name: &NameFacts, out: &mut Vec<Finding>) {
    let millis = name.elapsed.as_millis();
    let addresses = match &name.addresses {
        Err(error) => {
            let advice = "check the host name, and the name server of this machine; of a private cluster, the network (VPN, peering)";
            out.push(
                Finding::error("D-10", &name.name, format!("{error} (after {millis} ms)")).advise(advice),
            );
            return;
        }
        Ok(addresses) if addresses.is_empty() => {
            let advice = "check the host name, and the name server of this machine";
            out.push(Finding::error("D-10", &name.name, "the name has no address").advise(advice));
            return;
        }
        Ok(addresses) => addresses,
    };
    let different: BTreeSet<&IpAddr> =
        addresses.iter().filter(|address| !is_other_loopback(addresses, address)).collect();
    if different.len() > 1 {
        let text = format!("the name has {} addresses: {}", different.len(), list(addresses));
        let advice = "a name should stand for one node: name the nodes one by one, or make an SRV record";
        out.push(Finding::warn("D-11", &name.name, text).advise(advice));
    }
    if addresses.iter().all(IpAddr::is_ipv6) {
        out.push(Finding::info(
            "D-12",
            &name.name,
            format!("the name has IPv6 addresses only: {}", list(addresses)),
        ));
    } else if addresses.iter().any(IpAddr::is_ipv6)
        && let Some(version) = facts
            .pool
            .iter()
            .flat_map(|pool| &pool.nodes)
            .map(|node| &node.version)
            .find(|version| before_5_5(version))
    {
        let text =
            format!("the name has IPv6 addresses, and a server of release {version} does not speak IPv6");
        out.push(Finding::info("D-12", &name.name, text).advise("set ip_protocol=force_ipv4"));
    }
}

/// `localhost` has `127.0.0.1` and `::1`, which are one place.
fn is_other_loopback(all: &[IpAddr], address: &IpAddr) -> bool {
    address.is_ipv6()
        && address.is_loopback()
        && all.iter().any(|other| other.is_ipv4() && other.is_loopback())
}

fn before_5_5(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (5, 5),
        _ => false,
    }
}
