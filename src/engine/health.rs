//! The state of everything at one moment, without I/O (`connecting.md` 6).

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::link::Failure;
use super::thaw::Suspicion;
use super::{BootstrapReport, Counters, Stage, WakeReason, json};
use crate::dns::Outcome;
use crate::error::ErrorKind;
use crate::map::{ClusterMap, NetworkChoice};
use crate::tls::PeerInfo;

/// How much of the cluster is connected (RFC 0061).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterState {
    /// Every node in use.
    Online,
    /// At least one, and not all.
    Degraded,
    /// None.
    Offline,
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Offline => "offline",
        })
    }
}

impl ClusterState {
    /// All connected is online, some is degraded, none is offline (6.2).
    pub(super) const fn of(ready: usize, total: usize) -> Self {
        if ready == 0 {
            Self::Offline
        } else if ready < total {
            Self::Degraded
        } else {
            Self::Online
        }
    }
}

/// What a connection is doing (RFC 0061).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// It waits for its next dial, or for somebody to need it.
    Disconnected,
    /// It is somewhere between the look-up of the name and the end of the handshake.
    Connecting,
    /// It serves.
    Connected,
    /// Its node left the map: it takes the answers that are due, and no new requests.
    Disconnecting,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnecting => "disconnecting",
        })
    }
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionRole {
    /// It looks for a first cluster map.
    Seed,
    /// It serves one node of a bucket.
    Member,
    /// It has no bucket and brings the cluster's own maps.
    Idle,
    /// It brings a bucket's maps over HTTP.
    Stream,
    /// It asks one thing over HTTP.
    Errand,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectionProtocol {
    /// The key-value protocol.
    Kv,
    /// HTTP/1.1.
    Http,
}

/// A snapshot of the client, from [`super::Engine::health`]. `Display` is a compact text of several lines; as JSON times
/// are milliseconds and certificates are base64.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Over all buckets; without any, of the cluster's own connection.
    pub state: ClusterState,
    /// The identification of this client, the same in each connection's.
    pub instance: String,
    /// Time since the engine was built.
    #[serde(serialize_with = "json::millis", rename = "age_ms")]
    pub age: Duration,
    /// Whether the engine is shut down, or about to.
    pub closing: bool,
    /// The network in use, and why (NET-4); `None` before the first map.
    #[serde(serialize_with = "json::network")]
    pub network: Option<NetworkChoice>,
    /// What became of the look-up of the seeds' SRV record; `None` where there was none.
    #[serde(serialize_with = "json::srv")]
    pub srv: Option<Outcome>,
    /// The cluster's map; `None` before the first one.
    pub cluster: Option<MapSummary>,
    /// The servers gave no map without a bucket: they are older than 6.5, or this user may not read it (4.4).
    pub mapless: bool,
    /// What became of the attempts to find the cluster's map while it is looked for (BOOT-16).
    pub hunt: Option<BootstrapReport>,
    /// The opened buckets, in the order of their opening.
    pub buckets: Vec<BucketHealth>,
    /// Every connection, also those that are down.
    pub connections: Vec<ConnectionHealth>,
    /// The last failure of each endpoint whose connection is gone, the latest last; at most 32.
    pub failures: Vec<EndpointFailure>,
    /// How many operations are under way, in any state.
    pub operations: usize,
    /// How many of them wait for a state: connects and waits for readiness.
    pub waiting: usize,
    /// Counts of what passed by.
    pub counters: Counters,
    /// What the engine wants to be called for next.
    pub wake_reason: WakeReason,
}

/// What a map is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MapSummary {
    /// Its revision.
    pub rev: i64,
    /// Its epoch, where the server has one.
    pub epoch: Option<i64>,
    /// How many nodes it lists.
    pub nodes: usize,
    /// Identity of the bucket, or of the cluster.
    pub uuid: Option<String>,
    /// Name of the bucket, or of the cluster.
    pub name: Option<String>,
}

impl MapSummary {
    pub(super) fn of_cluster(map: &ClusterMap) -> Self {
        Self {
            rev: map.rev.rev,
            epoch: map.rev.epoch,
            nodes: map.nodes.len(),
            uuid: map.cluster_uuid.clone(),
            name: map.cluster_name.clone(),
        }
    }

    pub(super) fn of_bucket(map: &ClusterMap) -> Self {
        Self { uuid: map.bucket_uuid.clone(), name: map.bucket_name.clone(), ..Self::of_cluster(map) }
    }
}

/// One opened bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BucketHealth {
    /// Its name.
    pub name: String,
    /// `couchbase`, `ephemeral` or `memcached`; `None` before its first map.
    pub kind: Option<&'static str>,
    /// Its map.
    pub map: Option<MapSummary>,
    /// How many nodes of the map that hold its data have a connection that serves.
    pub ready: usize,
    /// How many nodes of the map hold its data.
    pub total: usize,
    /// What became of the attempts to find its map while it is looked for (BOOT-16).
    pub hunt: Option<BootstrapReport>,
    /// Operations that wait for its map, or for a node to take their vbucket.
    pub parked: usize,
}

/// One connection, or the place of one that is down.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConnectionHealth {
    /// Its identification, the one that the server logs (RFC 0035): client and connection.
    pub id: String,
    /// Host and port as in the map or the connection string.
    pub endpoint: String,
    /// The address it goes to, where the name is resolved.
    pub address: Option<SocketAddr>,
    /// The socket's own address, where the adapter tells.
    pub local: Option<SocketAddr>,
    /// Its bucket.
    pub bucket: Option<String>,
    /// What it is there for.
    pub role: ConnectionRole,
    /// What is spoken on it.
    pub protocol: ConnectionProtocol,
    /// What it is doing.
    pub state: ConnectionState,
    /// How far it is; of one that is down, where it failed.
    pub stage: Stage,
    /// Operations that wait for it, unsent.
    pub queued: usize,
    /// Requests that wait for an answer.
    pub in_flight: usize,
    /// Requests that nobody waits for any more and whose answer may still come.
    pub given_up: usize,
    /// The SASL mechanism that logged in.
    pub mechanism: Option<&'static str>,
    /// What the server granted, by the protocol's names.
    pub features: Vec<&'static str>,
    /// The TLS session.
    #[serde(serialize_with = "json::tls")]
    pub tls: Option<PeerInfo>,
    /// The certificates that the peer presented as DER, its own first, also those that were refused; at most 16 and
    /// 64 KiB.
    #[serde(serialize_with = "json::certificates")]
    pub certificates: Vec<Vec<u8>>,
    /// What went wrong last, also after it went right again.
    pub last_error: Option<LastError>,
    /// When it is dialled next.
    #[serde(serialize_with = "json::maybe_millis", rename = "next_dial_ms")]
    pub next_dial: Option<Duration>,
    /// The pause after the next failure.
    #[serde(serialize_with = "json::maybe_millis", rename = "pause_ms")]
    pub pause: Option<Duration>,
    /// Time since bytes passed last, in either direction.
    #[serde(serialize_with = "json::maybe_millis", rename = "last_activity_ms")]
    pub last_activity: Option<Duration>,
}

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastError {
    /// How far it had got.
    pub stage: Stage,
    /// The error's kind.
    pub kind: ErrorKind,
    /// In words.
    pub text: String,
    /// How long ago that was.
    #[serde(serialize_with = "json::millis", rename = "ago_ms")]
    pub ago: Duration,
}

/// How an endpoint failed whose connection is gone: a seed, or one question over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointFailure {
    /// Host and port.
    pub endpoint: String,
    /// The address dialled.
    pub address: Option<SocketAddr>,
    /// What was spoken there.
    pub protocol: ConnectionProtocol,
    /// What went wrong.
    pub error: LastError,
    /// The certificates that the peer presented as DER, its own first; at most 16 and 64 KiB.
    #[serde(serialize_with = "json::certificates")]
    pub certificates: Vec<Vec<u8>>,
}

/// What is noted down of a link for its reports.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The connection's part of its identification.
    pub(super) ident: Option<String>,
    /// The failure that came last, which a success does not wipe out.
    pub(super) failed: Option<(Instant, Failure)>,
    /// The certificates of the connection that failed last.
    pub(super) chain: Vec<Vec<u8>>,
    /// When bytes passed last.
    pub(super) active: Option<Instant>,
    /// Whether the connection can be relied on.
    pub(super) suspicion: Suspicion,
    /// Questions of pings wait to be written.
    pub(super) unwritten_pings: bool,
}

/// An endpoint's failure as the engine keeps it.
#[derive(Debug)]
pub(super) struct PastFailure {
    pub(super) endpoint: String,
    pub(super) address: Option<SocketAddr>,
    pub(super) protocol: ConnectionProtocol,
    pub(super) at: Instant,
    pub(super) failure: Failure,
    pub(super) chain: Vec<Vec<u8>>,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.state)?;
        if self.closing {
            f.write_str(", closing")?;
        }
        match &self.cluster {
            Some(map) => {
                write!(f, "; map {}/{} of {} nodes", dash(map.epoch), map.rev, map.nodes)?;
                if let Some(name) = map.name.as_ref().filter(|name| !name.is_empty()) {
                    write!(f, " ({name})")?;
                }
            }
            None => f.write_str("; no cluster map")?,
        }
        if let Some(network) = &self.network {
            write!(f, "; network {} ({})", network.name, network.reason)?;
        }
        write!(f, "; {} operations", self.operations)?;
        if let Some(srv) = &self.srv {
            write!(f, "\n{srv}")?;
        }
        if let Some(hunt) = &self.hunt {
            write!(f, "\ncluster: {hunt}")?;
        }
        for bucket in &self.buckets {
            write!(f, "\nbucket {}: {} of {} nodes ready", bucket.name, bucket.ready, bucket.total)?;
            if let Some(map) = &bucket.map {
                write!(f, ", map {}/{}", dash(map.epoch), map.rev)?;
            }
            if bucket.parked > 0 {
                write!(f, ", {} operations wait", bucket.parked)?;
            }
            if let Some(hunt) = &bucket.hunt {
                write!(f, "; {hunt}")?;
            }
        }
        for connection in &self.connections {
            write!(f, "\n{connection}")?;
        }
        Ok(())
    }
}

fn dash(epoch: Option<i64>) -> String {
    epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string())
}

impl fmt::Display for ConnectionHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        if let Some(bucket) = &self.bucket {
            write!(f, " {bucket}")?;
        }
        write!(f, ": {}", self.state)?;
        if self.state == ConnectionState::Connecting {
            write!(f, " at {}", self.stage)?;
        }
        if self.queued + self.in_flight > 0 {
            write!(f, ", {} in flight, {} queued", self.in_flight, self.queued)?;
        }
        if let Some(error) = self.last_error.as_ref().filter(|_| self.state != ConnectionState::Connected) {
            write!(f, ", failed at {} {:.1?} ago: {}", error.stage, error.ago, error.text)?;
        }
        if let Some(next) = self.next_dial {
            write!(f, ", next dial in {next:.1?}")?;
        }
        Ok(())
    }
}
