//! A client in a world of its own, with helpers that step until something has happened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::dns::ResolverConfig;
use settee::engine::{
    BootstrapReport, BucketRef, CollectionRef, Concat, ConfigError, DesiredState, Durability, Engine,
    EngineConfig, Event, OpId, OpKind, Operation, Orphan, PingReport, Response, Store, StoreMode,
    Surroundings,
};
use settee::error::{ErrorKind, OpError};
use settee::expiry::Expiry;
use settee::ids::Cas;
use settee::options::Options;
use settee::tls::{PlatformStore, TrustSource};
use settee_sim::{LinkId, Listener, Net, NetSettings, NodeId, Reachability, Settings, World};

pub(crate) type Outcome = Result<Response, OpError>;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The instant at which virtual time begins; nothing depends on which one it is.
#[expect(clippy::disallowed_methods, reason = "some instant has to be the first")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// A cluster that is cheap to simulate.
pub(crate) fn small() -> Settings {
    let mut settings = Settings::default();
    settings.vbuckets = 64;
    settings.scram_iterations = 16;
    settings
}

pub(crate) fn net(nodes: usize) -> Net {
    Net::new(nodes, small(), NetSettings::default(), start())
}

/// The address of a node, counted from 0.
pub(crate) fn node(index: usize) -> SocketAddr {
    Net::address_of(NodeId(index))
}

/// Lets every port of a node do the same: the data service's and the manager's, which is asked where that cannot be
/// reached (BOOT-17).
pub(crate) fn set_node(net: &mut Net, index: usize, reachability: Reachability) {
    for listener in [Listener::KV, Listener::MGMT, Listener::KV_TLS, Listener::MGMT_TLS] {
        net.set_reachability(Net::listener_of(NodeId(index), listener), reachability);
    }
}

pub(crate) fn config_as(text: &str, user: &str, password: &str) -> EngineConfig {
    let login = PasswordAuthenticator::new(user, password).expect("a valid name");
    let parsed = connstr::parse(text).expect("a valid connection string");
    EngineConfig::new(&parsed, Options::default(), Authenticator::Password(login)).expect("valid options")
}

pub(crate) fn config(text: &str) -> EngineConfig {
    config_as(text, "Administrator", "password")
}

/// A client of the bucket `default`.
pub(crate) struct Client {
    pub(crate) world: World<Engine>,
    place: Option<(BucketRef, CollectionRef)>,
    outcomes: BTreeMap<OpId, Outcome>,
    pub(crate) pings: BTreeMap<OpId, PingReport>,
    pub(crate) maps: usize,
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) writable: usize,
    pub(crate) closed: usize,
}

impl Client {
    /// Of a network, with a connection string; nothing is dialled yet.
    pub(crate) fn new(net: Net, text: &str) -> Self {
        Self::with(net, config(text))
    }

    pub(crate) fn with(net: Net, config: EngineConfig) -> Self {
        Self::seeded(net, config, [7; 32])
    }

    pub(crate) fn seeded(net: Net, config: EngineConfig, seed: [u8; 32]) -> Self {
        let mut client = Self::bare(net, config, seed);
        client.open("default");
        client
    }

    /// Of no bucket, until [`Client::open`].
    pub(crate) fn bare(net: Net, config: EngineConfig, seed: [u8; 32]) -> Self {
        let engine = Engine::new(config, seed, net.now());
        Self {
            world: World::new(net, engine),
            place: None,
            outcomes: BTreeMap::new(),
            pings: BTreeMap::new(),
            maps: 0,
            orphans: Vec::new(),
            writable: 0,
            closed: 0,
        }
    }

    /// Opens a bucket; what follows goes to its default collection.
    pub(crate) fn open(&mut self, bucket: &str) {
        let now = self.now();
        let bucket = self.world.client.open_bucket(bucket, now);
        let collection = self.world.client.collection(bucket, "_default", "_default");
        self.place = Some((bucket, collection));
    }

    /// What follows goes to another collection of the same bucket.
    pub(crate) fn enter(&mut self, scope: &str, name: &str) {
        let bucket = self.bucket();
        let collection = self.world.client.collection(bucket, scope, name);
        self.place = Some((bucket, collection));
    }

    pub(crate) fn bucket(&self) -> BucketRef {
        self.place.expect("a bucket is open").0
    }

    pub(crate) fn collection(&self) -> CollectionRef {
        self.place.expect("a bucket is open").1
    }

    /// Of a cluster with so many nodes, connected to all of them.
    pub(crate) fn connected(nodes: usize) -> Self {
        Self::connect(net(nodes), "couchbase://10.0.0.1")
    }

    /// Connected to every node.
    pub(crate) fn connect(net: Net, text: &str) -> Self {
        let mut client = Self::new(net, text);
        client.online();
        client
    }

    /// The same with a configuration.
    pub(crate) fn connect_as(net: Net, config: EngineConfig) -> Self {
        let mut client = Self::with(net, config);
        client.online();
        client
    }

    /// Steps until every node of the bucket serves.
    pub(crate) fn online(&mut self) {
        let op = self.wait(DesiredState::Online, secs(60));
        assert_eq!(self.end(op), Ok(Response::Ready));
    }

    /// Begins to wait for a state of the bucket.
    pub(crate) fn wait(&mut self, desired: DesiredState, timeout: Duration) -> OpId {
        let (now, bucket) = (self.now(), self.bucket());
        self.world.client.wait_until_ready(Some(bucket), desired, timeout, now)
    }

    /// Begins to wait for the first map.
    pub(crate) fn bootstrap(&mut self) -> OpId {
        let now = self.now();
        self.world.client.bootstrap(now)
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn engine(&mut self) -> &mut Engine {
        &mut self.world.client
    }

    pub(crate) fn cluster(&mut self) -> &mut settee_sim::Cluster {
        self.world.net.cluster()
    }

    /// Sorts what the engine had to tell.
    pub(crate) fn collect(&mut self) {
        while let Some(event) = self.world.poll_event() {
            match event {
                Event::Completed { op, result } => {
                    let before = self.outcomes.insert(op, result);
                    assert!(before.is_none(), "{op:?} ended twice");
                }
                Event::Pinged { op, report } => {
                    let before = self.pings.insert(op, *report);
                    assert!(before.is_none(), "{op:?} ended twice");
                }
                Event::MapChanged(_) => self.maps += 1,
                Event::Orphan(orphan) => self.orphans.push(orphan),
                Event::Writable => self.writable += 1,
                Event::Closed => self.closed += 1,
                other => panic!("unknown event {other:?}"),
            }
        }
    }

    /// The outcome of an operation, if it has ended.
    pub(crate) fn outcome(&mut self, op: OpId) -> Option<&Outcome> {
        self.collect();
        self.outcomes.get(&op)
    }

    /// Steps until an operation has ended.
    pub(crate) fn end(&mut self, op: OpId) -> Outcome {
        let limit = self.now() + secs(600);
        loop {
            self.world.settle();
            self.collect();
            if let Some(outcome) = self.outcomes.get(&op) {
                return outcome.clone();
            }
            assert!(self.world.step_until(Some(limit)), "{op:?} never ends");
        }
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.world.run_for(duration);
        self.collect();
    }

    pub(crate) fn submit(&mut self, operation: Operation) -> OpId {
        let now = self.now();
        self.world.client.submit(operation, now).expect("there is room")
    }

    pub(crate) fn start(&mut self, key: &str, kind: OpKind) -> OpId {
        let operation = self.operation(key, kind);
        self.submit(operation)
    }

    pub(crate) fn operation(&self, key: &str, kind: OpKind) -> Operation {
        Operation::new(self.collection(), Bytes::copy_from_slice(key.as_bytes()), kind)
    }

    pub(crate) fn get(&mut self, key: &str) -> Outcome {
        let op = self.start(key, OpKind::Get);
        self.end(op)
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Outcome {
        let op = self.start(key, upsert(value.as_bytes()));
        self.end(op)
    }

    /// Puts a document behind the client's back.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) {
        let there = ("_default", "_default");
        assert!(self.cluster().put_document("default", there, key.as_bytes(), value, 0x0200_0000));
    }

    pub(crate) fn document(&mut self, key: &str) -> Option<Bytes> {
        self.cluster().document("default", "_default", "_default", key.as_bytes())
    }

    /// The node that holds a key.
    pub(crate) fn home(&mut self, key: &str) -> NodeId {
        self.cluster().active_node("default", key.as_bytes()).expect("somebody has it")
    }

    /// A key that lives on a node.
    pub(crate) fn key_on(&mut self, wanted: usize) -> String {
        (0..10_000)
            .map(|number| format!("key-{number}"))
            .find(|key| self.home(key) == NodeId(wanted))
            .expect("every node has keys")
    }

    /// Keys that live on a node.
    pub(crate) fn keys_on(&mut self, wanted: usize, count: usize) -> Vec<String> {
        let keys: Vec<String> = (0..100_000)
            .map(|number| format!("key-{number}"))
            .filter(|key| self.home(key) == NodeId(wanted))
            .take(count)
            .collect();
        assert_eq!(keys.len(), count);
        keys
    }

    /// Links to an address that are open now.
    pub(crate) fn open_links(&self, to: SocketAddr) -> Vec<LinkId> {
        let links = self.world.net.links();
        links.filter(|&(_, address, open)| address == to && open).map(|(link, ..)| link).collect()
    }

    /// When each dial began, of an address or of all.
    pub(crate) fn dial_times(&mut self, of: Option<SocketAddr>, limit: Duration) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut seen = self.world.dialled().count();
        let end = self.now() + limit;
        loop {
            self.world.settle();
            let elapsed = self.world.elapsed();
            let fresh: Vec<SocketAddr> = self.world.dialled().skip(seen).map(|(.., to)| to).collect();
            seen += fresh.len();
            times.extend(fresh.into_iter().filter(|to| of.is_none_or(|of| of == *to)).map(|_| elapsed));
            if !self.world.step_until(Some(end)) {
                self.collect();
                return times;
            }
        }
    }

    /// How often an address was dialled.
    pub(crate) fn dials(&self, to: SocketAddr) -> usize {
        self.world.dialled().filter(|&(.., address)| address == to).count()
    }
}

pub(crate) fn store(mode: StoreMode, value: &[u8]) -> Store {
    Store {
        mode,
        value: Bytes::copy_from_slice(value),
        flags: 0x0200_0000,
        expiry: Expiry::NONE,
        preserve_expiry: false,
        cas: Cas::NONE,
        durability: Durability::None,
    }
}

pub(crate) fn upsert(value: &[u8]) -> OpKind {
    OpKind::Store(store(StoreMode::Upsert, value))
}

pub(crate) fn append(value: &[u8]) -> OpKind {
    OpKind::Append(Concat {
        value: Bytes::copy_from_slice(value),
        cas: Cas::NONE,
        durability: Durability::None,
    })
}

/// The value of a read.
pub(crate) fn value(outcome: &Outcome) -> &[u8] {
    match outcome {
        Ok(Response::Document { value, .. }) => value,
        other => panic!("no document but {other:?}"),
    }
}

/// How an operation failed.
pub(crate) fn kind(outcome: &Outcome) -> ErrorKind {
    error(outcome).kind()
}

pub(crate) fn error(outcome: &Outcome) -> &OpError {
    match outcome {
        Err(error) => error,
        Ok(response) => panic!("it did not fail: {response:?}"),
    }
}

/// A configuration with the files that its settings name and nothing else of the world.
#[expect(clippy::unwrap_in_result, reason = "what is tested is the configuration's own result")]
pub(crate) fn config_with(
    net: &mut Net,
    text: &str,
    authenticator: Authenticator,
    files: &[(&str, &str)],
) -> Result<EngineConfig, ConfigError> {
    let surroundings = Surroundings {
        files: &mut |path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "no such file".to_owned())
        },
        platform: &mut PlatformStore::default,
        trust: Vec::new(),
        resolver: None,
        unix_time: net.cluster().unix(),
    };
    let parsed = connstr::parse(text).expect("a valid connection string");
    EngineConfig::with(&parsed, Options::default(), authenticator, surroundings)
}

/// A configuration for TLS that trusts the cluster's authority.
pub(crate) fn secure(net: &mut Net, text: &str, authenticator: Authenticator) -> EngineConfig {
    let ca = net.cluster().ca_pem();
    let text = format!("{text}{}trust_certificate=ca.pem", if text.contains('?') { '&' } else { '?' });
    config_with(net, &text, authenticator, &[("ca.pem", &ca)]).expect("valid settings")
}

pub(crate) fn password(user: &str, password: &str) -> Authenticator {
    Authenticator::Password(PasswordAuthenticator::new(user, password).expect("a valid name"))
}

/// Where the simulated name server is.
pub(crate) fn name_server(index: u8) -> SocketAddr {
    SocketAddr::from(([10, 9, 9, index], 53))
}

/// A configuration that trusts this PEM, and asks the first `servers` of the [`name_server`]s.
pub(crate) fn config_trusting(
    text: &str,
    password: &str,
    trust: Option<String>,
    servers: u8,
) -> EngineConfig {
    let login = PasswordAuthenticator::new("Administrator", password).expect("a valid name");
    let parsed = connstr::parse(text).expect("a valid connection string");
    let trust = trust.map(|pem| TrustSource::Pem { origin: "ca.pem".into(), text: pem.into_bytes() });
    let surroundings = Surroundings {
        files: &mut |_| Err("there are no files".to_owned()),
        platform: &mut PlatformStore::default,
        trust: trust.into_iter().collect(),
        resolver: (servers > 0).then(|| ResolverConfig::new((1..=servers).map(name_server).collect())),
        unix_time: Duration::from_secs(1_800_000_000),
    };
    EngineConfig::with(&parsed, Options::default(), Authenticator::Password(login), surroundings)
        .expect("valid options")
}

/// A configuration that trusts the authority of a network's cluster.
pub(crate) fn config_tls(net: &mut Net, text: &str) -> EngineConfig {
    config_trusting(text, "password", Some(net.cluster().ca_pem()), 0)
}

/// What connecting has come to, as an error tells it.
pub(crate) fn report(outcome: &Outcome) -> &BootstrapReport {
    error(outcome).context().bootstrap.as_deref().expect("it says where connecting stands")
}
