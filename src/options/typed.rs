//! The typed settings and their built-in defaults (spec 2.3 to 2.5).

use super::value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Which network's addresses of the cluster map are used (spec 5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// Chosen by comparing the seeds with the first map.
    #[default]
    Auto,
    /// `default`, `external` or another name, exact and case-sensitive.
    Named(String),
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpProtocol {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    ForceIpv4,
    /// IPv6 alone.
    ForceIpv6,
}

/// Whether the peer's certificate is verified (TLS-17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVerify {
    /// The chain, and the name unless [`Options::tls_verify_hostname`] is off.
    #[default]
    Peer,
    /// Nothing: any certificate is accepted.
    None,
}

/// Which directions of the traffic are compressed (OPT-14), where the server grants compression and
/// [`Options::enable_compression`] is on.
///
/// In every mode what comes compressed is decompressed: once compression is granted, a server sends documents as
/// they are stored. In no mode a value is sent compressed to a server that has not granted it, since that server
/// would refuse the write; libcouchbase's `force` covers the time before the grant is known, in which nothing is
/// sent here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompressionMode {
    /// Values are sent compressed where it pays; the server may compress all that it sends.
    #[default]
    Both,
    /// Values are never sent compressed; the server may compress all that it sends.
    InflateOnly,
    /// Values are sent compressed where it pays. The server is not asked to compress maps and errors.
    DeflateOnly,
    /// As `Both`, and each value that shrinks at all is sent compressed, whatever
    /// [`Options::compression_min_size`] and [`Options::compression_min_ratio`] say.
    Force,
}

/// Where cluster maps may come from (BOOT-17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BootstrapOn {
    /// KV connections, and HTTP where they cannot give a map.
    #[default]
    Auto,
    /// KV connections alone.
    Cccp,
    /// The manager port alone.
    Http,
}

/// A named set of defaults (OPT-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Longer time-outs for a development machine that is far from its cluster (RFC 0074).
    WanDevelopment,
}

/// The name of a profile that does not exist (OPT-2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no profile is called {name:?}; there is wan_development")]
#[non_exhaustive]
pub struct UnknownProfile {
    /// The name asked for.
    pub name: String,
}

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "wan_development" | "wan-development" => Ok(Self::WanDevelopment),
            _ => Err(UnknownProfile { name: crate::connstr::clip(name) }),
        }
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)+) => {
        /// The settings of a cluster connection.
        ///
        /// Begin with [`Options::default`], choose a profile with
        /// [`with_profile`](Options::with_profile), set fields. A connection string beats all of them
        /// ([`resolve`](super::resolve), OPT-2). Names, syntax, defaults and the names that other clients use are in
        /// the [registry](super::registry()).
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct Options {
            $($(#[$doc])* pub $name: $type,)+
            /// Settings that came from a connection string, by canonical name.
            pub(super) from_string: BTreeSet<&'static str>,
            /// Recognised settings that nothing here uses, as given.
            pub(super) unused: BTreeMap<&'static str, Value>,
        }

        impl Default for Options {
            fn default() -> Self {
                Self { $($name: $default,)+ from_string: BTreeSet::new(), unused: BTreeMap::new() }
            }
        }
    };
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

options! {
    /// The last profile chosen.
    profile: Option<Profile> = None;
    /// Whether an unknown parameter of the connection string is an error (OPT-3). Default: no. Typed only.
    strict_options: bool = false;

    /// The whole first connect of a cluster or bucket. Default 10 s, profile 120 s.
    bootstrap_timeout: Duration = secs(10);
    /// TCP, TLS and KV handshake of one connection. Default 10 s, profile 20 s.
    kv_connect_timeout: Duration = secs(10);
    /// Host name to addresses. Default 2 s, profile 20 s.
    resolve_timeout: Duration = secs(2);
    /// One SRV query (CS-28). Default 500 ms, profile 20 s.
    dns_srv_timeout: Duration = millis(500);
    /// Operations on one document. Default 2.5 s, profile 20 s.
    kv_timeout: Duration = millis(2500);
    /// Durable writes. Default 10 s, profile 20 s; the server's limit is 65 s.
    kv_durable_timeout: Duration = secs(10);
    /// Operations in flight get that long to end when the cluster is closed. Default 10 s.
    disconnect_timeout: Duration = secs(10);
    /// TCP and TLS of one HTTP connection. Default: as `kv_connect_timeout`, see
    /// [`http_connect_limit`](Options::http_connect_limit); profile 20 s.
    http_connect_timeout: Option<Duration> = None;

    /// TLS on or off where the scheme leaves it open; `None`: as the scheme says (CS-1).
    enable_tls: Option<bool> = None;
    /// Which addresses of the cluster map are used. Default: chosen by the seeds (spec 5.1).
    network: Network = Network::Auto;
    /// Whether a lone name is looked up as SRV (spec 1.6). Default: yes.
    enable_dns_srv: bool = true;
    /// Which addresses of a name are used. Default: any.
    ip_protocol: IpProtocol = IpProtocol::Any;
    /// Seeds are tried in the order written. Default: no, they are shuffled once (BOOT-11).
    preserve_bootstrap_nodes_order: bool = false;
    /// Where cluster maps may come from (BOOT-17). Default: KV, and HTTP where KV gives none.
    bootstrap_on: BootstrapOn = BootstrapOn::Auto;
    /// Whether a node is dialled when the first operation needs it (BOOT-30). Default: no, with the map.
    enable_lazy_connections: bool = false;
    /// KV connections per node and bucket. Default and least 1.
    num_kv_connections: u32 = 1;
    /// How often the cluster map is asked for. Default 2.5 s; zero is off.
    config_poll_interval: Duration = millis(2500);
    /// The lower bound of `config_poll_interval`. Default 50 ms.
    config_poll_floor: Duration = millis(50);
    /// One fetch of a cluster map (R-TRK-8). Default 2.5 s.
    config_poll_timeout: Duration = millis(2500);
    /// How often the map is asked for where every node pushes its changes (R-TRK-5). Default 10 s.
    config_safety_interval: Duration = secs(10);
    /// Silence of an HTTP config stream after which it is opened anew elsewhere (BOOT-19). Default 5 min.
    config_idle_redial_timeout: Duration = secs(300);
    /// The longest pause after a failed HTTP config stream (BOOT-19). Default 4 s.
    http_retry_delay: Duration = secs(4);
    /// Whether nodes are asked to push changes of the map. Default: yes.
    enable_clustermap_notification: bool = true;
    /// Keep-alive probes of the socket. Default: yes.
    enable_tcp_keep_alive: bool = true;
    /// Idle time of a socket before its first keep-alive probe. Default 60 s.
    tcp_keep_alive_interval: Duration = secs(60);
    /// Silence of a KV connection after which a NOOP is sent. Default 30 s; zero is off.
    kv_keep_alive_interval: Duration = secs(30);
    /// The socket's `TCP_NODELAY`, and the HELLO feature of that name. Default: yes.
    tcp_nodelay: bool = true;
    /// How long sent bytes may stay unacknowledged before the socket gives up, where the system can tell it
    /// (`TCP_USER_TIMEOUT` of Linux). Default 20 s; zero is off.
    tcp_user_timeout: Duration = secs(20);
    /// Operations that may wait, unsent, for one KV connection that failed, or for a bucket that cannot be found; one
    /// more ends at once as [`RequestCanceled`](crate::error::ErrorKind::RequestCanceled) (BOOT-30). What waits for room on
    /// a connection that serves, or for the first connections, does not count. Default 2048, at least 1.
    max_queue_size: usize = 2048;
    /// The longest pause between dials of one address (BOOT-25). Default 4.096 s.
    server_wait_backoff: Duration = millis(4096);
    /// Operations that may wait at one time for their next attempt; one more ends as
    /// [`RequestCanceled`](crate::error::ErrorKind::RequestCanceled). Default 32,768.
    max_requests_in_retry: usize = 32_768;
    /// The server group whose replicas are preferred (spec 5.4). Default: none.
    server_group: Option<String> = None;
    /// Whether a cluster of Enterprise Analytics is accepted. Default: no.
    allow_enterprise_analytics: bool = false;
    /// Text added to the client's identification (spec 4.2). Default: none.
    user_agent_extra: Option<String> = None;

    /// Whether writes return mutation tokens. Default: yes.
    enable_mutation_tokens: bool = true;
    /// Whether the server may answer in another order. Default: yes.
    enable_unordered_execution: bool = true;
    /// Whether the server reports how long it took. Default: yes.
    enable_server_durations: bool = true;
    /// Whether collections are negotiated. Default: yes.
    enable_collections: bool = true;
    /// Whether values are compressed with snappy. Default: yes.
    enable_compression: bool = true;
    /// The directions of compression (OPT-14). Default: both.
    compression_mode: CompressionMode = CompressionMode::Both;
    /// The size from which values are compressed, in bytes. Default 32.
    compression_min_size: usize = 32;
    /// Compressed values larger than this part of the plain size are sent plain. Default 0.83, from 0 to 1.
    compression_min_ratio: f64 = 0.83;
    /// SASL mechanisms that may be used, a hard filter (AUTH-1). Default: empty, that is by security mode.
    allowed_sasl_mechanisms: Vec<String> = Vec::new();
    /// The most SCRAM iterations that a server may ask for (SA-8). Default 1 000 000.
    scram_max_iterations: u32 = 1_000_000;

    /// PEM files with the only certificates to trust. Default: none, that is the default trust set.
    trust_certificate: Vec<String> = Vec::new();
    /// PEM file with the client's certificate chain.
    certificate_path: Option<String> = None;
    /// PEM file with the client's private key.
    key_path: Option<String> = None;
    /// Whether the peer's certificate is verified. Default: yes.
    tls_verify: TlsVerify = TlsVerify::Peer;
    /// Whether the peer's name is verified. Default: yes.
    tls_verify_hostname: bool = true;
    /// Whether the Mozilla roots are left out of the default trust set. Default: no.
    disable_mozilla_ca_certificates: bool = false;
    /// Whether TLS 1.3 alone is offered. Default: no, but yes on Capella, where `Some(false)` permits 1.2 (TLS-10).
    tls_disable_v1_2: Option<bool> = None;

    /// Whether keys and values are marked for redaction in logs. Default: no.
    log_redaction: bool = false;
    /// Whether each received cluster map is logged (OPT-6). Default: no.
    dump_configuration: bool = false;
}

/// How a typed field meets the registry.
pub(super) trait Setting {
    fn to_value(&self) -> Value;
    /// Takes the value; `false` if it is of another type or too large for the field.
    fn assign(&mut self, value: Value) -> bool;
}

macro_rules! setting {
    ($type:ty, $self:ident => $to:expr, $pattern:pat => $from:expr) => {
        impl Setting for $type {
            fn to_value(&$self) -> Value {
                $to
            }

            fn assign(&mut self, value: Value) -> bool {
                let read: Option<Self> = match value {
                    $pattern => $from,
                    _ => None,
                };
                read.map(|read| *self = read).is_some()
            }
        }
    };
}

/// A choice of words, each with the variant that it stands for.
macro_rules! words {
    ($type:ident { $($word:literal => $variant:ident),+ }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
        setting!($type, self => Value::Text(self.to_string()), Value::Text(text) => match text.as_str() {
            $($word => Some(Self::$variant),)+
            _ => None,
        });
    };
}

setting!(Duration, self => Value::Duration(*self), Value::Duration(span) => Some(span));
setting!(bool, self => Value::Bool(*self), Value::Bool(on) => Some(on));
setting!(f64, self => Value::Ratio(*self), Value::Ratio(ratio) => Some(ratio));
setting!(u32, self => Value::Number(u64::from(*self)), Value::Number(number) => Self::try_from(number).ok());
setting!(
    usize,
    self => Value::Number(u64::try_from(*self).unwrap_or(u64::MAX)),
    Value::Number(number) => Self::try_from(number).ok()
);
setting!(Vec<String>, self => Value::List(self.clone()), Value::List(items) => Some(items));
setting!(
    Option<String>,
    self => self.clone().map_or(Value::Unset, Value::Text),
    Value::Text(text) => Some(Some(text))
);
setting!(
    Option<Duration>,
    self => self.map_or(Value::Unset, Value::Duration),
    Value::Duration(span) => Some(Some(span))
);
setting!(Option<bool>, self => self.map_or(Value::Unset, Value::Bool), Value::Bool(on) => Some(Some(on)));
setting!(
    Option<Profile>,
    self => self.map_or(Value::Unset, |profile| Value::Text(profile.to_string())),
    Value::Text(text) => text.parse().ok().map(Some)
);
setting!(Network, self => Value::Text(self.to_string()), Value::Text(text) => match text.as_str() {
    "auto" => Some(Self::Auto),
    _ => Some(Self::Named(text)),
});
words!(IpProtocol { "any" => Any, "force_ipv4" => ForceIpv4, "force_ipv6" => ForceIpv6 });
words!(TlsVerify { "peer" => Peer, "none" => None });
words!(BootstrapOn { "auto" => Auto, "cccp" => Cccp, "http" => Http });
words!(CompressionMode {
    "both" => Both, "inflate_only" => InflateOnly, "deflate_only" => DeflateOnly, "force" => Force
});

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Named(name) => name,
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WanDevelopment => "wan_development",
        })
    }
}
