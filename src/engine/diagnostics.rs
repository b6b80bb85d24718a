//! `diagnostics` of SDK RFC 0061, version 2: what is known of every connection, without I/O (6.2).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::health::{ClusterState, ConnectionState};
use super::link::{Phase, Role};
use super::{Engine, json};
use crate::map::Service;

/// The report of [`Engine::diagnostics`]; by `serde` the JSON of SDK RFC 0061, version 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiagnosticsReport {
    /// 2.
    pub version: u8,
    /// The caller's, or one of our own.
    pub id: String,
    /// The client identification of 4.2.
    pub sdk: String,
    /// Over all services.
    pub state: ClusterState,
    /// The connections of each service that has any.
    #[serde(serialize_with = "json::by_service")]
    pub services: BTreeMap<Service, Vec<EndpointDiagnostics>>,
}

/// One connection in a [`DiagnosticsReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointDiagnostics {
    /// The connection's identification.
    pub id: String,
    /// Host and port as in the map, not the resolved address.
    pub remote: String,
    /// The socket's own address; absent where none is open or the adapter does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// What it is doing.
    pub state: ConnectionState,
    /// Time since the last traffic; absent if there was none. Microseconds in JSON.
    #[serde(
        rename = "last_activity_us",
        serialize_with = "json::maybe_micros",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_activity: Option<Duration>,
    /// The bucket, of a key-value connection that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What went wrong last, of a connection that does not serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl Engine {
    /// What is known of every connection at this moment (RFC 0061): no I/O, nothing changes. `id` names the report;
    /// without it one is made up.
    pub fn diagnostics(&self, id: Option<&str>, now: Instant) -> DiagnosticsReport {
        let now = now.max(self.now);
        let mut services: BTreeMap<Service, Vec<EndpointDiagnostics>> = BTreeMap::new();
        for index in self.link_indexes() {
            let Some(link) = self.link(index).filter(|link| link.role != Role::Errand) else { continue };
            let state = link.state();
            let failure = link.notes.failed.as_ref().filter(|_| state != ConnectionState::Connected);
            let details = match (failure, &link.phase) {
                (Some((_, failure)), _) => Some(format!("failed at {}: {}", failure.stage, failure.text)),
                (None, Phase::Asleep) => Some("not dialled before it is needed".to_owned()),
                (None, _) if state == ConnectionState::Connecting => Some(format!("at {}", link.stage())),
                (None, _) => None,
            };
            let over_http = link.errand.is_some();
            let namespace = link.bucket.filter(|_| !over_http);
            services.entry(if over_http { Service::Mgmt } else { Service::Kv }).or_default().push(
                EndpointDiagnostics {
                    id: self.connection_id(link),
                    remote: link.endpoint.to_string(),
                    local: link.local,
                    state,
                    last_activity: link.notes.active.map(|at| now.saturating_duration_since(at)),
                    namespace: namespace.map(|bucket| self.buckets[bucket as usize].name.clone()),
                    details,
                },
            );
        }
        let (ready, total) = self.nodes_ready();
        DiagnosticsReport {
            version: 2,
            id: id.map_or_else(
                || {
                    let age = now.saturating_duration_since(self.born);
                    format!("{}-{:x}", self.instance_id, age.as_micros())
                },
                str::to_owned,
            ),
            sdk: self.config.agent(&self.instance_id),
            state: ClusterState::of(ready, total),
            services,
        }
    }
}
