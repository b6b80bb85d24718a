//! Waiting for a cluster or a bucket (BOOT-28).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use settee::engine::DesiredState;
use settee::map::Service;

use crate::cluster::Shared;
use crate::error::Error;
use crate::mailbox::Command;
use crate::ops::OpFuture;

/// What [`Cluster::wait_until_ready_with`](crate::Cluster::wait_until_ready_with) and its sibling of
/// [`Bucket`](crate::Bucket) wait for, and how long.
///
/// ```
/// use std::time::Duration;
/// use settee_client::{DesiredState, WaitUntilReadyOptions};
///
/// let options = WaitUntilReadyOptions::new(Duration::from_secs(30)).desired_state(DesiredState::Degraded);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitUntilReadyOptions {
    timeout: Duration,
    desired: DesiredState,
    /// Which are asked; empty: all that the cluster offers.
    services: Vec<Service>,
}

impl WaitUntilReadyOptions {
    /// Waits at most so long until every node is connected and every service answers.
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, desired: DesiredState::Online, services: Vec::new() }
    }

    /// Whether every node must be connected, or one is enough. Default: every node.
    #[must_use]
    pub const fn desired_state(mut self, desired: DesiredState) -> Self {
        self.desired = desired;
        self
    }

    /// Asks these services alone whether they answer (BOOT-28). Default, and with none named: all that the cluster offers of
    /// key-value, query, search, analytics, views and manager.
    #[must_use]
    pub fn services(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.services = services.into_iter().collect();
        self
    }
}

/// Waits for a cluster or a bucket; to be awaited.
#[must_use = "nothing waits until this is awaited"]
#[derive(Clone)]
pub struct WaitUntilReady {
    shared: Arc<Shared>,
    bucket: Option<Arc<str>>,
    options: WaitUntilReadyOptions,
}

impl WaitUntilReady {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        bucket: Option<Arc<str>>,
        options: WaitUntilReadyOptions,
    ) -> Self {
        Self { shared: Arc::clone(shared), bucket, options }
    }

    /// What to wait for. Default: every node is connected.
    pub const fn desired_state(mut self, desired: DesiredState) -> Self {
        self.options.desired = desired;
        self
    }

    /// See [`WaitUntilReadyOptions::services`].
    pub fn services(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.options = self.options.services(services);
        self
    }
}

impl IntoFuture for WaitUntilReady {
    type Output = Result<(), Error>;
    type IntoFuture = OpFuture<()>;

    fn into_future(self) -> OpFuture<()> {
        let Self { shared, bucket, options } = self;
        let WaitUntilReadyOptions { timeout, desired, services } = options;
        let command = Command::WaitUntilReady { bucket, desired, services, timeout };
        OpFuture::command(shared, command, |_, _| Some(()))
    }
}

impl fmt::Debug for WaitUntilReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitUntilReady")
            .field("bucket", &self.bucket)
            .field("options", &self.options)
            .finish()
    }
}
