//! Configurations to begin with.

use std::time::Duration;

use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::dns::ResolverConfig;
use settee::engine::{EngineConfig, Surroundings};
use settee::options::Options;
use settee::tls::{PlatformStore, TrustSource};

use super::choices::Choices;
use super::{PASSWORD, names};

/// Statuses 0x7ff0 to 0x7ff4, each with another meaning.
pub(super) const ERROR_MAP: &str = r#"{"version":2,"revision":1,"errors":{
"7ff0":{"name":"AGAIN","desc":"try again","attrs":["retry-now","temp"],"retry":{"strategy":"constant","interval":5,"after":1}},
"7ff1":{"name":"LATER","desc":"","attrs":["retry-later"]},
"7ff2":{"name":"BROKEN","desc":"","attrs":["conn-state-invalidated"]},
"7ff3":{"name":"INPUT","desc":"","attrs":["invalid-input","item-only"]},
"7ff4":{"name":"AUTH","desc":"","attrs":["auth","special-handling"]}}}"#;

const STRINGS: [&str; 20] = [
    "couchbase://127.0.0.1/b",
    "couchbase://127.0.0.1,127.0.0.2/b",
    "couchbase://127.0.0.1",
    "couchbase://db.example.com/b",
    "couchbase://[::1],n1.lan/other",
    "couchbase://127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5/gone",
    "couchbase://127.0.0.1:11210=kv,127.0.0.2:8091=manager/b",
    "couchbase://10.9.0.0:31210=kv/b?network=external",
    "couchbase://127.0.0.1/other?bootstrap_on=http",
    "couchbase://127.0.0.1:8091=http/b",
    "couchbase://127.0.0.1,n1.lan/b?enable_lazy_connections=true",
    "couchbase://127.0.0.1/b?num_kv_connections=3",
    "couchbases://127.0.0.1/b",
    "couchbase://db.example.com?bootstrap_on=http",
    "couchbase://127.0.0.1/b?bootstrap_on=cccp&num_kv_connections=2&enable_lazy_connections=true",
    "couchbases://db.example.com/b?bootstrap_on=http",
    "couchbase://127.0.0.1/b?bootstrap_on=http&network=external",
    "couchbase://db.example.com/other?num_kv_connections=2",
    "couchbase://127.0.0.1?bootstrap_timeout=2s&kv_connect_timeout=300ms",
    "couchbases://127.0.0.1,n1.lan?kv_connect_timeout=1s",
];

/// The kind of network around the engine, by the bits of the first byte that say nothing else.
#[derive(Clone, Copy)]
pub(super) struct Network(u8);

impl Network {
    pub(super) const fn new(first: u8) -> Self {
        Self(first >> 3)
    }

    /// Answers do not fit a datagram.
    pub(super) const fn truncates(self) -> bool {
        self.0 & 1 != 0
    }

    fn resolver(self) -> Option<ResolverConfig> {
        let servers = &names::SERVERS[..1 + usize::from(self.0 >> 1 & 1)];
        let mut resolver = ResolverConfig::new(servers.to_vec());
        resolver.rotate = self.0 & 4 != 0;
        (self.0 & 24 != 24).then_some(resolver)
    }
}

pub(super) fn login(password: &str) -> Authenticator {
    Authenticator::Password(PasswordAuthenticator::new("u", password).expect("valid credentials"))
}

pub(super) fn config(u: &mut Choices<'_>, network: Network) -> EngineConfig {
    let text = u.of(&STRINGS);
    let flags = u.byte();
    let has = |bit: u8| flags & bit != 0;
    let mut options = Options::default();
    if !has(1) {
        options.allowed_sasl_mechanisms = vec!["PLAIN".into()];
    }
    options.enable_collections = !has(4);
    options.enable_compression = !has(8);
    options.enable_clustermap_notification = !has(16);
    if has(32) {
        options.kv_keep_alive_interval = Duration::from_millis(700);
    }
    if has(64) {
        options.preserve_bootstrap_nodes_order = true;
        options.kv_timeout = Duration::from_millis(60);
    }
    options.scram_max_iterations = 4096;
    let connstr = connstr::parse(text).expect("a valid string");
    let surroundings = Surroundings {
        files: &mut |_| Err("there are none".to_owned()),
        platform: &mut PlatformStore::default,
        trust: if connstr.tls() { vec![TrustSource::Capella] } else { Vec::new() },
        resolver: network.resolver(),
        unix_time: Duration::from_secs(1_767_225_600),
    };
    let mut config = EngineConfig::with(&connstr, options, login(PASSWORD), surroundings)
        .expect("a possible configuration");
    config.pipelined = !has(2);
    config.max_operations = 1 + usize::from(u.byte() % 32);
    config.window = 1 + usize::from(u.byte() % 16);
    config
}
