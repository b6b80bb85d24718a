//! `ping` of SDK RFC 0061, version 2: one question to every endpoint of the services asked for (6.2).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::{BucketRef, json};
use crate::map::Service;

/// What [`super::Engine::ping`] asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PingRequest {
    /// The bucket whose key-value connections are asked and whose map names the nodes; `None`: those of all buckets, or
    /// the cluster's own connection.
    pub bucket: Option<BucketRef>,
    /// Which services; empty: all that the map offers of key-value, query, search, analytics, views and manager.
    /// Index and backup have no ping and are passed over.
    pub services: Vec<Service>,
    /// Names the report; `None`: one is made up.
    pub id: Option<String>,
    /// The time for all of it, with the wait for the first map; `None`: `bootstrap_timeout`.
    pub timeout: Option<Duration>,
}

/// What came of a ping; by `serde` the JSON of SDK RFC 0061, version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PingReport {
    /// 2.
    pub version: u8,
    /// The caller's, or one of our own.
    pub id: String,
    /// The client identification of 4.2.
    pub sdk: String,
    /// The revision of the map that named the nodes; absent before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_rev: Option<i64>,
    /// What each endpoint answered, by service.
    #[serde(serialize_with = "json::by_service")]
    pub services: BTreeMap<Service, Vec<EndpointPing>>,
}

/// One endpoint in a [`PingReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointPing {
    /// The connection's identification; empty where there was no connection.
    pub id: String,
    /// Host and port as in the map, not the resolved address; empty where no node offers the service.
    pub remote: String,
    /// The socket's own address, where the adapter tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// How it went.
    pub state: PingState,
    /// From the request's being written to its answer; absent without an answer. Microseconds in JSON.
    #[serde(
        rename = "latency_us",
        serialize_with = "json::maybe_micros",
        skip_serializing_if = "Option::is_none"
    )]
    pub latency: Option<Duration>,
    /// The bucket, of a key-value connection that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What went wrong.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// How one question of a ping went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PingState {
    /// It was answered.
    Ok,
    /// No answer in time.
    Timeout,
    /// It could not be asked, or the answer was an error.
    Error,
}

impl fmt::Display for PingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Error => "error",
        })
    }
}

impl PingReport {
    /// Whether every endpoint answered.
    pub fn is_ok(&self) -> bool {
        self.services.values().flatten().all(|endpoint| endpoint.state == PingState::Ok)
    }
}
