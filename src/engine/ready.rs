//! `wait_until_ready` with services: topology, connections, pings (BOOT-28, BOOT-29).

use std::time::Duration;

use super::{BucketRef, DesiredState};
use crate::map::Service;

/// What [`super::Engine::wait_until_ready_with`] waits for. A state of "offline" cannot be asked for (BOOT-28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyRequest {
    /// The bucket; `None`: the cluster.
    pub bucket: Option<BucketRef>,
    /// Every endpoint, or at least one of each service.
    pub desired: DesiredState,
    /// Which services have to answer; empty: all that the map offers of key-value, query, search, analytics, views and
    /// manager.
    pub services: Vec<Service>,
    /// The time for all of it.
    pub timeout: Duration,
}
