//! Configurations to begin with.

use std::time::Duration;

use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::engine::EngineConfig;
use settee::options::Options;

use super::PASSWORD;
use super::choices::Choices;

/// Statuses 0x7ff0 to 0x7ff4, each with another meaning.
pub(super) const ERROR_MAP: &str = r#"{"version":2,"revision":1,"errors":{
"7ff0":{"name":"AGAIN","desc":"try again","attrs":["retry-now","temp"],"retry":{"strategy":"constant","interval":5,"after":1}},
"7ff1":{"name":"LATER","desc":"","attrs":["retry-later"]},
"7ff2":{"name":"BROKEN","desc":"","attrs":["conn-state-invalidated"]},
"7ff3":{"name":"INPUT","desc":"","attrs":["invalid-input","item-only"]},
"7ff4":{"name":"AUTH","desc":"","attrs":["auth","special-handling"]}}}"#;

const STRINGS: [&str; 8] = [
    "couchbase://127.0.0.1/b",
    "couchbase://127.0.0.1,127.0.0.2/b",
    "couchbase://127.0.0.1",
    "couchbase://db.example.com/b",
    "couchbase://[::1],n1.lan/other",
    "couchbase://127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5/gone",
    "couchbase://127.0.0.1:11210=kv,127.0.0.2:8091=manager/b",
    "couchbase://10.9.0.0:31210=kv/b?network=external",
];

pub(super) fn config(u: &mut Choices<'_>) -> EngineConfig {
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
    let login = PasswordAuthenticator::new("u", PASSWORD).expect("valid credentials");
    let connstr = connstr::parse(text).expect("a valid string");
    let mut config =
        EngineConfig::new(&connstr, options, Authenticator::Password(login)).expect("a possible configuration");
    config.pipelined = !has(2);
    config.max_operations = 1 + usize::from(u.byte() % 32);
    config.window = 1 + usize::from(u.byte() % 16);
    config
}
