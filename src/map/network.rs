//! Which of a cluster's networks to use (section 6 of the cluster-map rules).

use std::fmt;

use super::ClusterMap;
use super::error::{MapError, RejectReason};
use super::host::canonical_host_eq;
use super::node::{DEFAULT_NETWORK, Node, Service};

/// The option `network`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NetworkSetting {
    /// Find out from the seeds.
    #[default]
    Auto,
    /// This one: `default`, `external` or any other name.
    Named(String),
}

impl NetworkSetting {
    /// The setting of an option's text: `auto`, or a network's name.
    pub fn from_option(text: &str) -> Self {
        if text.eq_ignore_ascii_case("auto") { Self::Auto } else { Self::Named(text.to_owned()) }
    }
}

/// A host that the client was told to start from: of the connection string, or an SRV target (R-NET-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedAddr {
    /// Host, with or without brackets.
    pub host: String,
    /// Its KV port: as written, or the default of the scheme.
    pub kv: Option<u16>,
    /// Its management port, where the seed was written as one.
    pub mgmt: Option<u16>,
}

/// The network chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkChoice {
    /// The network's name.
    pub name: String,
    /// The rule that decided, for the log.
    pub reason: NetworkReason,
}

/// The rule that chose a network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkReason {
    /// The option names it (R-NET-2).
    Named,
    /// A seed is an endpoint of this network (R-NET-4, R-NET-5).
    SeedMatches(String),
    /// No seed is an endpoint of any network, and `external` offers KV (R-NET-6).
    ExternalOffersKv,
    /// No seed is an endpoint of any network, and there is no usable `external` (R-NET-6).
    NothingElse,
}

impl fmt::Display for NetworkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("set by option"),
            Self::SeedMatches(network) => write!(f, "exact match in {network}"),
            Self::ExternalOffersKv => f.write_str("no match; external offers KV"),
            Self::NothingElse => f.write_str("no match; no usable external"),
        }
    }
}

/// Chooses the network for a client, from the first config it accepts (R-NET-1 to R-NET-6).
///
/// Call it once per bootstrap; all later maps use the same network. `seeds` are the hosts of the connection string or
/// the SRV targets, `tls` is the client's mode.
///
/// # Errors
/// [`RejectReason::NetworkUnavailable`] if the network asked for by name is offered by no node with a KV port in this
/// mode; the message names the networks that exist.
pub fn choose_network(
    map: &ClusterMap,
    setting: &NetworkSetting,
    seeds: &[SeedAddr],
    tls: bool,
) -> Result<NetworkChoice, MapError> {
    let choice = |name: &str, reason| Ok(NetworkChoice { name: name.to_owned(), reason });
    if let NetworkSetting::Named(name) = setting {
        if name == DEFAULT_NETWORK || offers_kv(map, name, tls) {
            return choice(name, NetworkReason::Named);
        }
        return Err(unavailable(map, name, tls));
    }
    let matching = |network: &str| NetworkReason::SeedMatches(network.to_owned());
    if map.nodes.iter().any(|node| is_seed(node, DEFAULT_NETWORK, seeds, tls)) {
        return choice(DEFAULT_NETWORK, matching(DEFAULT_NETWORK));
    }
    for node in &map.nodes {
        for alternate in &node.alternates {
            if is_seed(node, &alternate.network, seeds, tls) {
                return choice(&alternate.network, matching(&alternate.network));
            }
        }
    }
    if offers_kv(map, EXTERNAL, tls) {
        return choice(EXTERNAL, NetworkReason::ExternalOffersKv);
    }
    choice(DEFAULT_NETWORK, NetworkReason::NothingElse)
}

/// The network that servers set up by hand are usually reached on from outside.
const EXTERNAL: &str = "external";

fn offers_kv(map: &ClusterMap, network: &str, tls: bool) -> bool {
    map.nodes.iter().any(|node| node.endpoint(Service::Kv, network, tls).is_some())
}

fn is_seed(node: &Node, network: &str, seeds: &[SeedAddr], tls: bool) -> bool {
    [Service::Kv, Service::Mgmt].into_iter().filter_map(|service| node.endpoint(service, network, tls)).any(
        |(host, port)| {
            seeds.iter().any(|seed| {
                (seed.kv == Some(port) || seed.mgmt == Some(port)) && canonical_host_eq(&seed.host, host)
            })
        },
    )
}

fn unavailable(map: &ClusterMap, name: &str, tls: bool) -> MapError {
    /// Enough names for a message; a map may hold any number.
    const SHOWN: usize = 16;
    let mut names = vec![DEFAULT_NETWORK];
    names.extend(map.alternate_networks.iter().map(String::as_str).take(SHOWN));
    let mode = if tls { "TLS" } else { "plain" };
    let detail =
        format!("no node offers network {name:?} with a {mode} KV port; networks: {}", names.join(", "));
    MapError::new(RejectReason::NetworkUnavailable, detail)
}
