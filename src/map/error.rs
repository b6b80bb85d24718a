//! Why a cluster map was refused, and what was odd about one that was accepted.

use std::fmt;
use std::sync::Arc;

use super::ClusterMap;

/// The machine-readable reason for refusing a config (R-PARSE-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// Not JSON, not UTF-8, larger than 30 MiB or nested deeper than 32 (R-PARSE-4, R-PARSE-5).
    NotJson,
    /// JSON, but its top level is not an object.
    NotAnObject,
    /// No usable `nodesExt`: a server older than 3.0, or a verbose management document.
    MissingNodesExt,
    /// `rev` is absent or not an integer.
    MissingOrMalformedRev,
    /// `rev` is negative or does not fit a signed 64-bit integer.
    RevOutOfRange,
    /// A bucket config without a bucket name.
    MissingName,
    /// A vbucket bucket config without `vBucketServerMap`.
    MissingVbucketServerMap,
    /// `vBucketMap` is absent, holds something other than rows of integers, or has more than 32,768 rows.
    MalformedVbucketMap,
    /// `vBucketMap` is empty: the bucket is not ready, ask again soon (R-EMPTY).
    EmptyVbucketMap,
    /// The config names another bucket than the one of its connection (R-VER-6).
    WrongBucket,
    /// The config comes from another cluster (R-VER-5).
    WrongCluster,
    /// The network asked for is offered by no node (R-NET-2).
    NetworkUnavailable,
    /// The config is older than the one in use (R-VER-2).
    Stale,
}

impl RejectReason {
    /// The identifier of R-PARSE-2, stable for logs, metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::MissingNodesExt => "missing-nodesExt",
            Self::MissingOrMalformedRev => "missing-or-malformed-rev",
            Self::RevOutOfRange => "rev-out-of-range",
            Self::MissingName => "missing-name",
            Self::MissingVbucketServerMap => "missing-vBucketServerMap",
            Self::MalformedVbucketMap => "malformed-vbucket-map",
            Self::EmptyVbucketMap => "empty-vbucket-map",
            Self::WrongBucket => "wrong-bucket",
            Self::WrongCluster => "wrong-cluster",
            Self::NetworkUnavailable => "network-unavailable",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A config that may not be used. The map in use stays as it is (R-PARSE-1).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cluster map refused ({reason}): {detail}")]
#[non_exhaustive]
pub struct MapError {
    /// Which rule refused it.
    pub reason: RejectReason,
    /// What was wrong, for people.
    pub detail: String,
    /// For [`RejectReason::EmptyVbucketMap`]: the node list, usable as a cluster map (R-EMPTY).
    pub partial: Option<Arc<ClusterMap>>,
}

impl MapError {
    /// An error without a usable part.
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), partial: None }
    }
}

/// Something odd in an accepted config, worth a line at debug level. `Display` gives that line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapWarning {
    /// `numReplicas` is absent or malformed; the longest row decides (serverless leaves it out).
    NumReplicasMissing,
    /// `numVBuckets` disagrees with the rows of the map; the rows decide.
    VbucketCountMismatch {
        /// What `numVBuckets` says.
        declared: i64,
        /// How many rows there are.
        rows: usize,
    },
    /// Cells of the map (or the forward map) name a server that does not exist; treated like -1 (R-IDX-4).
    IndexOutOfRange {
        /// How many cells.
        cells: usize,
        /// The first vbucket concerned.
        first_vbucket: u16,
    },
    /// `vBucketMapForward` is malformed or has another number of rows than `vBucketMap`; ignored.
    ForwardMapIgnored,
    /// A map index means another slot than its position says, on the evidence of `serverList` (R-IDX-3).
    ServerListReordered {
        /// The index in the map.
        index: usize,
        /// The slot it means.
        slot: usize,
    },
    /// `nodes` is empty although the map has rows; its length is taken from `serverList`.
    NodesEmpty,
    /// Two nodes have the same identity; both slots are kept (R-ID).
    DuplicateIdentity {
        /// The earlier slot.
        first: usize,
        /// The later slot.
        second: usize,
    },
    /// `revEpoch` is not a signed 64-bit integer; taken as absent.
    MalformedEpoch,
    /// `nodeLocator` is neither `vbucket` nor `ketama`; only the node list is used.
    UnknownLocator(String),
    /// `clusterCapabilitiesVer` has an unknown major version; the cluster capabilities are ignored.
    UnknownCapabilitiesVersion,
    /// `nodesExt` has more entries than indexes can name; the rest is ignored.
    TooManyNodes {
        /// How many are kept.
        kept: usize,
    },
    /// A node has more alternate networks than any cluster can use; the rest is ignored.
    TooManyNetworks {
        /// The node's slot.
        slot: usize,
    },
    /// A memcached bucket has more members than a ring is built for; it cannot be routed.
    TooManyRingMembers(usize),
}

impl fmt::Display for MapWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NumReplicasMissing => f.write_str("numReplicas missing"),
            Self::VbucketCountMismatch { declared, rows } => {
                write!(f, "numVBuckets is {declared}, but vBucketMap has {rows} rows")
            }
            Self::IndexOutOfRange { cells, first_vbucket } => {
                write!(
                    f,
                    "{cells} map cells name a server that does not exist, first in vbucket {first_vbucket}"
                )
            }
            Self::ForwardMapIgnored => f.write_str("vBucketMapForward malformed or of another size, ignored"),
            Self::ServerListReordered { index, slot } => {
                write!(f, "serverList[{index}] is nodesExt[{slot}]")
            }
            Self::NodesEmpty => f.write_str("nodes is empty although the map has rows"),
            Self::DuplicateIdentity { first, second } => {
                write!(f, "nodesExt[{first}] and nodesExt[{second}] have the same identity")
            }
            Self::MalformedEpoch => f.write_str("revEpoch malformed, taken as absent"),
            Self::UnknownLocator(name) => {
                write!(f, "nodeLocator {name:?} unknown, only the node list is used")
            }
            Self::UnknownCapabilitiesVersion => {
                f.write_str("clusterCapabilitiesVer unknown, cluster capabilities ignored")
            }
            Self::TooManyNodes { kept } => write!(f, "nodesExt is too long, only {kept} nodes kept"),
            Self::TooManyNetworks { slot } => {
                write!(f, "nodesExt[{slot}] has too many alternate networks, the rest is ignored")
            }
            Self::TooManyRingMembers(count) => write!(f, "{count} nodes are too many for a ketama ring"),
        }
    }
}
