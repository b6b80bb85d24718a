//! Ping, diagnostics and health (`connecting.md` 6.2).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use settee::engine::{DiagnosticsReport, Health, PingReport};
use settee::map::Service;

use crate::cluster::{Bucket, Cluster, Shared};
use crate::error::Error;
use crate::mailbox::{Command, Question};
use crate::ops::OpFuture;
use crate::reply::Reply;

/// How the connections are.
impl Cluster {
    /// Asks every endpoint of the services whether it answers. It waits for the first map, and a service that does not answer
    /// is a state in the report, not an error. With `serde` the report is the JSON of SDK RFC 0061.
    ///
    /// ```no_run
    /// # use settee_client::{Cluster, Error};
    /// # async fn example(cluster: Cluster) -> Result<(), Error> {
    /// let report = cluster.ping().await?;
    /// println!("{}", serde_json::to_string_pretty(&report).unwrap());
    /// # Ok(())
    /// # }
    /// ```
    pub fn ping(&self) -> Ping {
        Ping::new(self.shared(), None)
    }

    /// What is known of the connections, without asking anybody; `id` names the report, else it gets one of its own. With
    /// `serde` it is the JSON of SDK RFC 0061.
    pub fn diagnostics(&self, id: Option<&str>) -> OpFuture<DiagnosticsReport> {
        let id = id.map(str::to_owned);
        let ask = Question::new(move |engine, now| {
            Reply::Diagnostics(Box::new(engine.diagnostics(id.as_deref(), now)))
        });
        OpFuture::question(Arc::clone(self.shared()), Command::Ask(ask), |reply| match reply {
            Reply::Diagnostics(report) => Some(*report),
            _ => None,
        })
    }

    /// Everything that the client knows of itself, at once and without I/O: every connection with its state, queue, back-off
    /// and last error, the maps, the network, the seeds. `Display` is a text of some lines, `serde` gives JSON.
    ///
    /// Of a cluster that has never been reached, it says why so far.
    pub fn health(&self) -> OpFuture<Health> {
        let ask = Question::new(|engine, now| Reply::Health(Box::new(engine.health(now))));
        OpFuture::question(Arc::clone(self.shared()), Command::Ask(ask), |reply| match reply {
            Reply::Health(health) => Some(*health),
            _ => None,
        })
    }
}

impl Bucket {
    /// As [`Cluster::ping`], of the connections of this bucket and the nodes of its map.
    pub fn ping(&self) -> Ping {
        Ping::new(self.shared(), Some(Arc::from(self.name())))
    }
}

/// Asks endpoints; to be awaited.
#[must_use = "nobody is asked until this is awaited"]
#[derive(Clone)]
pub struct Ping {
    shared: Arc<Shared>,
    request: PingCommand,
}

/// See [`Command::Ping`].
#[derive(Clone, Debug)]
pub(crate) struct PingCommand {
    pub(crate) bucket: Option<Arc<str>>,
    pub(crate) services: Vec<Service>,
    pub(crate) id: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Ping {
    fn new(shared: &Arc<Shared>, bucket: Option<Arc<str>>) -> Self {
        let request = PingCommand { bucket, services: Vec::new(), id: None, timeout: None };
        Self { shared: Arc::clone(shared), request }
    }

    /// Asks these services only. Default: all that the cluster offers of key-value, query, search, analytics, views and
    /// manager.
    pub fn services(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.request.services = services.into_iter().collect();
        self
    }

    /// Names the report. Default: a name of its own.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.request.id = Some(id.into());
        self
    }

    /// The time for all of it. Default: `bootstrap_timeout`.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for Ping {
    type Output = Result<PingReport, Error>;
    type IntoFuture = OpFuture<PingReport>;

    fn into_future(self) -> OpFuture<PingReport> {
        let Self { shared, request } = self;
        OpFuture::question(shared, Command::Ping(Box::new(request)), |reply| match reply {
            Reply::Ping(report) => Some(*report),
            _ => None,
        })
    }
}

impl fmt::Debug for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ping").field(&self.request).finish()
    }
}
