//! What was found out, before anybody judges it. Plain values: a test can write down any situation.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use settee::connstr::Warning;
use settee::dns::Outcome;
use settee::engine::Stage;
use settee::error::ErrorKind;
use settee::map::{ClusterMap, NetworkChoice, SeedAddr, Service};
use settee::tls::CertificateFacts;

/// Everything that a run found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Why the connection string is refused; nothing else is known then.
    pub(crate) refused: Option<String>,
    /// What the connection string means.
    pub(crate) given: Given,
    /// Why no engine could be built, and what of: certificates, or how things fit together.
    pub(crate) setup: Option<SetupError>,
    /// The SRV record of the name, if it can have one.
    pub(crate) srv: Option<Outcome>,
    /// The record of the other scheme: for TLS if the string asks for plain connections.
    pub(crate) srv_for_tls: Option<Outcome>,
    /// The name that the SRV query was made of.
    pub(crate) srv_host: Option<NameFacts>,
    /// The names of the seeds.
    pub(crate) names: Vec<NameFacts>,
    /// The seeds: those written, or those of the SRV record.
    pub(crate) seeds: Vec<SeedFacts>,
    /// The engine on all seeds.
    pub(crate) whole: Whole,
    /// Every port that the map announces on the chosen network.
    pub(crate) endpoints: Vec<EndpointFacts>,
    /// The manager's view of its nodes.
    pub(crate) pool: Option<PoolFacts>,
    /// This machine's clock, in seconds since 1970.
    pub(crate) unix_time: i64,
    /// Parts that there was no time for.
    pub(crate) left_out: Vec<&'static str>,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

/// The connection string, understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Its normal form, without parameters.
    pub(crate) text: String,
    pub(crate) tls: bool,
    /// A seed is a Capella host.
    pub(crate) capella: bool,
    pub(crate) seeds: Vec<SeedAddr>,
    pub(crate) bucket: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) warnings: Vec<Warning>,
    /// Settings that differ from their defaults: name and value.
    pub(crate) settings: Vec<(String, String)>,
    /// Whether chain and names of certificates are verified.
    pub(crate) verify: bool,
    pub(crate) verify_hostname: bool,
    /// The option `network`.
    pub(crate) network: String,
    pub(crate) kv_timeout: Duration,
    pub(crate) kv_connect_timeout: Duration,
    /// Maps may not come by key-value connections.
    pub(crate) http_only: bool,
    /// What is odd about the trusted certificates.
    pub(crate) trust_notes: Vec<String>,
}

/// Why no engine could be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetupError {
    /// Trusted certificates, or TLS as a whole.
    Trust(String),
    /// Credentials, or the client certificate.
    Credentials(String),
    /// Anything else.
    Other(String),
}

/// A name and its addresses.
#[derive(Clone, Debug)]
pub(crate) struct NameFacts {
    pub(crate) name: String,
    /// Or why there are none.
    pub(crate) addresses: Result<Vec<IpAddr>, String>,
    pub(crate) elapsed: Duration,
}

/// One node to begin with.
#[derive(Clone, Debug)]
pub(crate) struct SeedFacts {
    pub(crate) at: SeedAddr,
    pub(crate) from_srv: bool,
    /// The engine on this seed alone.
    pub(crate) kv: Option<KvFacts>,
    /// Handshakes with its ports.
    pub(crate) tls: Vec<TlsFacts>,
    /// The manager.
    pub(crate) http: Option<HttpFacts>,
}

/// How far a key-value connection got.
#[derive(Clone, Debug)]
pub(crate) struct KvFacts {
    /// The map, or where it ended.
    pub(crate) outcome: Result<Arc<ClusterMap>, Attempt>,
    pub(crate) elapsed: Duration,
    /// The mechanism that logged in.
    pub(crate) mechanism: Option<String>,
    /// What HELLO granted.
    pub(crate) features: Vec<String>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) stage: Stage,
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) text: String,
}

/// A TLS handshake.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    pub(crate) port: u16,
    pub(crate) outcome: TlsOutcome,
    /// What was presented, the server's own certificate first.
    pub(crate) chain: Vec<CertificateFacts>,
}

#[derive(Clone, Debug)]
pub(crate) enum TlsOutcome {
    /// Protocol and cipher suite.
    Done { version: String, suite: String },
    /// Why it failed, with the advice that goes with it.
    Failed(String),
}

/// What a manager answered.
#[derive(Clone, Debug)]
pub(crate) struct HttpFacts {
    pub(crate) port: u16,
    /// The map, or why there is none.
    pub(crate) outcome: Result<Arc<ClusterMap>, Attempt>,
    pub(crate) elapsed: Duration,
}

/// The engine on the whole string.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    /// `None`: it was not tried.
    pub(crate) map: Option<Result<Arc<ClusterMap>, WholeFailure>>,
    pub(crate) elapsed: Duration,
    /// `None`: no map. An error names the networks that there are.
    pub(crate) network: Option<Result<NetworkChoice, String>>,
    pub(crate) bucket: Option<BucketFacts>,
    /// Round trips of NOOP by key-value endpoint.
    pub(crate) noops: Vec<NoopFacts>,
}

/// Why there is no map.
#[derive(Clone, Debug)]
pub(crate) struct WholeFailure {
    /// Of all seeds.
    pub(crate) text: String,
    pub(crate) hints: Vec<String>,
}

/// The bucket, asked for its map and for a document that is not there.
#[derive(Clone, Debug)]
pub(crate) struct BucketFacts {
    pub(crate) name: String,
    pub(crate) map: Option<Arc<ClusterMap>>,
    /// Whether it became ready; the kind and text of what kept it from that.
    pub(crate) ready: Result<(), (ErrorKind, String)>,
    /// Whether a read was answered.
    pub(crate) read: Option<Result<Duration, (ErrorKind, String)>>,
}

/// NOOPs to one node.
#[derive(Clone, Debug)]
pub(crate) struct NoopFacts {
    /// `host:port`.
    pub(crate) remote: String,
    pub(crate) samples: Vec<Duration>,
    /// Those without an answer.
    pub(crate) failed: usize,
}

/// One announced port.
#[derive(Clone, Debug)]
pub(crate) struct EndpointFacts {
    /// Which slot of the map.
    pub(crate) node: usize,
    pub(crate) service: Service,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The time to connect, TLS included, or where it ended.
    pub(crate) outcome: Result<Duration, Attempt>,
}

/// `/pools/default`.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolFacts {
    /// Who was asked.
    pub(crate) from: String,
    /// Its clock, in seconds since 1970, and this machine's at that moment.
    pub(crate) date: Option<(i64, i64)>,
    pub(crate) rebalancing: bool,
    pub(crate) nodes: Vec<PoolNode>,
    /// The bucket's type, if one is named and the manager shows it.
    pub(crate) bucket_type: Option<String>,
    /// Of the bucket's nodes: name and status.
    pub(crate) bucket_nodes: Vec<(String, String)>,
}

/// One node as the manager sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolNode {
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) status: String,
    pub(crate) membership: String,
}

impl Facts {
    /// Any map that came, the whole engine's first.
    pub(crate) fn any_map(&self) -> Option<&Arc<ClusterMap>> {
        let by_kv = self.seeds.iter().filter_map(|seed| seed.kv.as_ref()?.outcome.as_ref().ok());
        let by_http = self.seeds.iter().filter_map(|seed| seed.http.as_ref()?.outcome.as_ref().ok());
        self.map().into_iter().chain(by_kv).chain(by_http).next()
    }

    /// The whole engine's map.
    pub(crate) fn map(&self) -> Option<&Arc<ClusterMap>> {
        self.whole.map.as_ref()?.as_ref().ok()
    }

    /// Whether the seeds are those of the SRV record.
    pub(crate) fn srv_seeds(&self) -> bool {
        matches!(&self.srv, Some(Outcome { answer: settee::dns::Answer::Records(_), .. }))
    }

    /// The network in use, `default` while none is chosen.
    pub(crate) fn network(&self) -> &str {
        match &self.whole.network {
            Some(Ok(choice)) => &choice.name,
            _ => settee::map::DEFAULT_NETWORK,
        }
    }
}

/// `host:port`, with brackets where the host needs them.
pub(crate) fn place(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
