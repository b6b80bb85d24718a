//! The handles: cluster, bucket, scope, collection.

use std::env;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use settee::connstr::{self, Warning};
use settee::dns::ResolverConfig;
use settee::engine::{Engine, EngineConfig, Surroundings};

use crate::driver::{Driver, LoopCounters, Published};
use crate::error::Error;
use crate::mailbox::{Command, Mailbox, Message};
use crate::names::{CollectionName, DEFAULT};
use crate::ops::OpFuture;
use crate::options::ClusterOptions;
use crate::ready::{WaitUntilReady, WaitUntilReadyOptions};
use crate::resolver::system_resolver;
use crate::runtime::Runtime;
use crate::{rotation, security, trust};

/// What all handles of a cluster share. When the last of them goes, the driver is told.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) strict_flags: bool,
    counters: Arc<Published>,
    warnings: Vec<Warning>,
    default_bucket: Option<Arc<str>>,
    disconnect_timeout: Duration,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Without a driver there is nobody to tell.
        let _ = self.mailbox.post(Message::HandlesDropped);
    }
}

/// A connection to a cluster: the way to its buckets.
///
/// One per application is enough, made at its start; threads and tasks share it, and instances of their own would only open
/// more connections. Handles are cheap clones of each other, may be used from any thread or task, and are bound to no
/// runtime (LIFE-1). Several clusters in one process are independent (LIFE-7).
///
/// [`close`](Self::close) lets operations in flight finish and refuses later ones. Without it, the connections end at once
/// when the last handle is dropped, be it cluster, bucket or collection (LIFE-4); the future of an operation counts as one.
///
/// After `fork`, a child must open a cluster of its own and leave its copy of the parent's alone: the sockets are shared with
/// the parent, and the runtime's threads do not exist in the child (LIFE-5).
///
/// An adapter such as `settee-tokio` makes one from a connection string.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

impl Cluster {
    /// Connects, and returns when there is a cluster map: a seed answers and the credentials are right (BOOT-27). Whether a
    /// bucket exists, that of the connection string as well, is told by [`Bucket::wait_until_ready`] or by the first
    /// operation. To be called by adapters and by applications with a runtime of their own.
    ///
    /// Dropping the future gives up.
    ///
    /// # Errors
    /// A connection string, options or credentials that cannot work; or, after `bootstrap_timeout` at the latest, what
    /// kept every seed from answering (BOOT-16).
    pub async fn connect_on<R: Runtime>(
        runtime: R,
        connection_string: &str,
        options: ClusterOptions,
    ) -> Result<Self, Error> {
        let cluster = Self::open_on(runtime, connection_string, options)?;
        OpFuture::command(Arc::clone(&cluster.shared), Command::Bootstrap, |_, _| Some(())).await?;
        Ok(cluster)
    }

    /// Returns a live handle at once and connects in the background; operations wait for the connection.
    ///
    /// It reads the files that the settings name, and where they count the platform's certificates and name servers, which
    /// may take some milliseconds.
    ///
    /// # Errors
    /// A connection string, options or credentials that cannot work.
    pub fn open_on<R: Runtime>(
        runtime: R,
        connection_string: &str,
        options: ClusterOptions,
    ) -> Result<Self, Error> {
        let connstr = connstr::parse(connection_string)?;
        if let Some(refused) = options.refused {
            return Err(refused);
        }
        let surroundings = Surroundings {
            files: &mut |path| trust::read(Path::new(path)).map_err(|error| error.to_string()),
            platform: &mut trust::platform_store,
            trust: security::read(options.trust)?,
            resolver: match options.resolver {
                Some(given) => Some(given).filter(|resolver| !resolver.servers.is_empty()),
                // Where the platform does not tell them, the engine says so instead of leaving the record out in silence.
                None => Some(system_resolver().unwrap_or_else(|| ResolverConfig::new(Vec::new()))),
            },
            unix_time: unix_time(),
        };
        let mut config = EngineConfig::with(&connstr, options.options, options.authenticator?, surroundings)?;
        let files = (config.options.certificate_path.as_deref(), config.options.key_path.as_deref());
        rotation::keep_certificate(&mut config.authenticator, files)?;
        config.platform = format!("({}/{}; {})", env::consts::OS, env::consts::ARCH, runtime.name());
        let (settings, warnings) = (config.options.clone(), config.warnings.clone());
        let default_bucket = config.default_bucket.as_deref().map(Arc::from);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| Error::NoEntropy)?;
        let engine = Engine::new(config, seed, runtime.now());
        let mailbox = Arc::new(Mailbox::default());
        let counters = Arc::new(Published::default());
        let driver = Driver::new(
            runtime.clone(),
            engine,
            Arc::clone(&mailbox),
            Arc::clone(&counters),
            settings.kv_timeout,
            settings.kv_durable_timeout,
        );
        runtime.spawn(Box::pin(driver.run()));
        Ok(Self {
            shared: Arc::new(Shared {
                mailbox,
                strict_flags: options.strict_flags,
                counters,
                warnings,
                default_bucket,
                disconnect_timeout: settings.disconnect_timeout,
            }),
        })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A bucket by its name. No I/O happens: whether it exists is revealed by its first use, or by
    /// [`Bucket::wait_until_ready`] (LIFE-2).
    pub fn bucket(&self, name: impl AsRef<str>) -> Bucket {
        Bucket { shared: Arc::clone(&self.shared), name: Arc::from(name.as_ref()) }
    }

    /// The bucket that the connection string names.
    pub fn default_bucket(&self) -> Option<Bucket> {
        let name = self.shared.default_bucket.clone()?;
        Some(Bucket { shared: Arc::clone(&self.shared), name })
    }

    /// Completes when the cluster is connected: every node of the cluster map has taken the credentials. Fails with
    /// `UnambiguousTimeout` after `timeout`, saying what became of each seed, and at once where waiting cannot help, such as
    /// for refused credentials (BOOT-28, BOOT-29).
    pub fn wait_until_ready(&self, timeout: Duration) -> WaitUntilReady {
        self.wait_until_ready_with(WaitUntilReadyOptions::new(timeout))
    }

    /// [`wait_until_ready`](Self::wait_until_ready) with what else there is to choose.
    pub fn wait_until_ready_with(&self, options: WaitUntilReadyOptions) -> WaitUntilReady {
        WaitUntilReady::new(&self.shared, None, options)
    }

    /// Stops taking operations, lets those in flight finish for at most `disconnect_timeout` (default 10 s), and closes
    /// the connections (LIFE-3). Calling it again is harmless; operations fail with `ClusterClosed` from the first call on.
    ///
    /// Dropping the future does not stop it.
    pub async fn close(&self) {
        self.close_within(self.shared.disconnect_timeout).await;
    }

    /// [`close`](Self::close) with another time for operations in flight; zero cancels them.
    pub async fn close_within(&self, drain: Duration) {
        // Both ends of a shutdown, done and there already, are fine.
        let _ = OpFuture::command(Arc::clone(&self.shared), Command::Close { drain }, |_, _| Some(())).await;
    }

    /// What is odd about the connection string and the options. They were logged once as well.
    pub fn warnings(&self) -> &[Warning] {
        &self.shared.warnings
    }

    /// What the driver's loop has done so far.
    pub fn loop_counters(&self) -> LoopCounters {
        self.shared.counters.read()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// What the wall clock says, since 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A bucket of a [`Cluster`].
#[derive(Clone)]
pub struct Bucket {
    shared: Arc<Shared>,
    name: Arc<str>,
}

impl Bucket {
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A scope by its name. No I/O happens (LIFE-2).
    pub fn scope(&self, name: impl AsRef<str>) -> Scope {
        Scope { bucket: self.clone(), name: Arc::from(name.as_ref()) }
    }

    /// The scope `_default`.
    pub fn default_scope(&self) -> Scope {
        self.scope(DEFAULT)
    }

    /// A collection of the scope `_default` by its name. No I/O happens (LIFE-2).
    pub fn collection(&self, name: impl AsRef<str>) -> Collection {
        self.default_scope().collection(name)
    }

    /// The collection `_default` of the scope `_default`, which every bucket has.
    pub fn default_collection(&self) -> Collection {
        self.collection(DEFAULT)
    }

    /// Completes when the bucket's nodes are connected; reveals a bucket that does not exist. See
    /// [`Cluster::wait_until_ready`].
    pub fn wait_until_ready(&self, timeout: Duration) -> WaitUntilReady {
        self.wait_until_ready_with(WaitUntilReadyOptions::new(timeout))
    }

    /// [`wait_until_ready`](Self::wait_until_ready) with what else there is to choose.
    pub fn wait_until_ready_with(&self, options: WaitUntilReadyOptions) -> WaitUntilReady {
        WaitUntilReady::new(&self.shared, Some(Arc::clone(&self.name)), options)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({:?})", self.name)
    }
}

/// A scope of a [`Bucket`]: a group of collections.
#[derive(Clone)]
pub struct Scope {
    bucket: Bucket,
    name: Arc<str>,
}

impl Scope {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bucket's name.
    pub fn bucket_name(&self) -> &str {
        &self.bucket.name
    }

    /// A collection by its name. No I/O happens: an operation on one that does not exist fails with
    /// `CollectionNotFound` (LIFE-2).
    ///
    /// Retain the handle: the client finds the collection's number once for it and its clones.
    pub fn collection(&self, name: impl AsRef<str>) -> Collection {
        let name = CollectionName {
            bucket: Arc::clone(&self.bucket.name),
            scope: Arc::clone(&self.name),
            collection: Arc::from(name.as_ref()),
            known: OnceLock::new(),
        };
        Collection { shared: Arc::clone(&self.bucket.shared), name: Arc::new(name) }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?}, {:?})", self.bucket.name, self.name)
    }
}

/// A collection of documents: where operations are. See the methods below, and
/// [`binary`](Self::binary) for counters and raw bytes.
#[derive(Clone)]
pub struct Collection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: Arc<CollectionName>,
}

impl Collection {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name.collection
    }

    /// Its scope's name.
    pub fn scope_name(&self) -> &str {
        &self.name.scope
    }

    /// Its bucket's name.
    pub fn bucket_name(&self) -> &str {
        &self.name.bucket
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection({:?}, {:?}, {:?})", self.name.bucket, self.name.scope, self.name.collection)
    }
}
