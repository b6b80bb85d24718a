//! What an engine is built from.

use bytes::Bytes;

use crate::auth::{Authenticator, Mechanism};
use crate::connstr::{self, ConnectionString, Seed, Warning};
use crate::options::{self, CompressionMode, OptionError, Options};
use crate::wire::{Feature, FeatureSet, datatype::CompressionRule};

/// Most bytes of a HELLO key (`connecting.md` 4.2).
const HELLO_KEY_MAX: usize = 250;
/// Most characters of the identification in it.
const AGENT_MAX: usize = 200;

/// Everything that an engine needs to know before it starts; frozen from then on (OPT-6).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Where to begin, in the order written.
    pub seeds: Vec<Seed>,
    /// The bucket that is opened as part of the bootstrap (CS-15).
    pub default_bucket: Option<String>,
    /// The settings in effect.
    pub options: Options,
    /// Who logs in.
    pub authenticator: Authenticator,
    /// What is odd in the connection string and the settings; to be logged once.
    pub warnings: Vec<Warning>,
    /// Names the program that embeds the engine in the client identification, such as `(linux/x86_64; tokio)`.
    pub platform: String,
    /// How many operations may be under way, in any state; then [`super::RejectReason::Full`].
    pub max_operations: usize,
    /// How many requests may be under way on one connection, at most 65,535; more wait unencoded.
    pub window: usize,
    /// Whether the steps of a handshake are sent before the answers to earlier ones have come (BOOT-7).
    pub pipelined: bool,
    pub(super) mechanisms: Option<Vec<Mechanism>>,
}

/// Why no engine can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The connection string.
    #[error(transparent)]
    ConnectionString(#[from] connstr::ParseError),
    /// A setting.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The settings ask for something that this build does not have (TLS-1).
    #[error("FeatureNotAvailable: {feature}: {hint}")]
    FeatureNotAvailable {
        /// What is missing.
        feature: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Credentials and settings do not fit together.
    #[error("InvalidArgument: {0}")]
    InvalidArgument(String),
}

impl EngineConfig {
    /// The configuration for a connection string, typed settings and credentials; the string beats the settings (OPT-2).
    ///
    /// # Errors
    /// [`ConfigError`]: settings that cannot be, and what this build cannot do.
    pub fn new(
        connstr: &ConnectionString,
        options: Options,
        authenticator: Authenticator,
    ) -> Result<Self, ConfigError> {
        let resolved = options::resolve(connstr, options)?;
        if resolved.tls {
            return Err(ConfigError::FeatureNotAvailable {
                feature: "tls",
                hint: "this build has no TLS; use couchbase:// on a trusted network",
            });
        }
        if matches!(authenticator, Authenticator::Bearer(_)) {
            return Err(ConfigError::InvalidArgument(
                "a token is sent over TLS only: use couchbases:// in a build with TLS".into(),
            ));
        }
        let mechanisms = mechanisms(&resolved.options)?;
        if resolved.seeds.iter().all(|seed| seed.kv.is_none()) {
            return Err(ConfigError::FeatureNotAvailable {
                feature: "bootstrap over HTTP",
                hint: "every node names a manager port only; give a key-value port, 11210 by default",
            });
        }
        Ok(Self {
            seeds: resolved.seeds,
            default_bucket: resolved.bucket,
            options: resolved.options,
            authenticator,
            warnings: resolved.warnings,
            platform: String::new(),
            max_operations: 65_536,
            window: 16_384,
            pipelined: true,
            mechanisms,
        })
    }

    /// The features that each connection asks for (`kv-protocol.md` 2.7).
    pub(super) fn features(&self) -> FeatureSet {
        let options = &self.options;
        let mut features: FeatureSet = [
            Feature::XATTR,
            Feature::XERROR,
            Feature::SELECT_BUCKET,
            Feature::JSON,
            Feature::DUPLEX,
            Feature::ALT_REQUEST,
            Feature::SYNC_REPLICATION,
            Feature::PRESERVE_TTL,
            Feature::VATTR,
            Feature::SUBDOC_CREATE_AS_DELETED,
            Feature::SUBDOC_DOCUMENT_MACRO,
            Feature::SUBDOC_REPLACE_BODY_WITH_XATTR,
            Feature::SUBDOC_REPLICA_READ,
            Feature::GET_CLUSTER_CONFIG_KNOWN_VERSION,
            Feature::DEDUPE_NOT_MY_VBUCKET_CLUSTERMAP,
            Feature::SUBDOC_MULTIPLE_XATTR_KEYS,
            Feature::SUBDOC_BINARY_XATTR,
        ]
        .into_iter()
        .collect();
        for (wanted, feature) in [
            (options.tcp_nodelay, Feature::TCP_NODELAY),
            (options.enable_mutation_tokens, Feature::MUTATION_SEQNO),
            (options.enable_compression, Feature::SNAPPY),
            (
                options.enable_compression && options.compression_mode != CompressionMode::DeflateOnly,
                Feature::SNAPPY_EVERYWHERE,
            ),
            (options.enable_unordered_execution, Feature::UNORDERED_EXECUTION),
            (options.enable_server_durations, Feature::TRACING),
            (options.enable_collections, Feature::COLLECTIONS),
            (options.enable_clustermap_notification, Feature::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF),
        ] {
            if wanted {
                features.insert(feature);
            }
        }
        features
    }

    /// When values are sent compressed, where the server has granted it; `None`: never (OPT-14).
    pub(super) fn compression(&self) -> Option<CompressionRule> {
        let options = &self.options;
        if !options.enable_compression {
            return None;
        }
        match options.compression_mode {
            CompressionMode::InflateOnly => None,
            // All that shrinks by a byte or more.
            CompressionMode::Force => Some(CompressionRule { min_size: 1, max_ratio: 1.0 - f64::EPSILON }),
            CompressionMode::Both | CompressionMode::DeflateOnly => Some(CompressionRule {
                min_size: options.compression_min_size,
                max_ratio: options.compression_min_ratio,
            }),
        }
    }

    /// The key of HELLO: `{"a": "agent", "i": "instance/connection"}`, valid JSON of at most 250 bytes
    /// (`connecting.md` 4.2).
    pub(super) fn hello_key(&self, instance: &str, connection: &str) -> Bytes {
        let extra = self.options.user_agent_extra.as_deref().unwrap_or_default();
        let agent = format!("settee/{} {} {extra}", env!("CARGO_PKG_VERSION"), self.platform);
        // What JSON would have to escape is replaced, so that cutting cannot fall into an escape.
        let plain = |c: char| if c == '"' || c == '\\' || c.is_control() { ' ' } else { c };
        let mut agent: String = agent.trim_end().chars().take(AGENT_MAX).map(plain).collect();
        let frame = r#"{"a":"","i":"/"}"#.len() + instance.len() + connection.len();
        while agent.len() + frame > HELLO_KEY_MAX {
            agent.pop();
        }
        Bytes::from(format!(r#"{{"a":"{agent}","i":"{instance}/{connection}"}}"#))
    }
}

fn mechanisms(options: &Options) -> Result<Option<Vec<Mechanism>>, ConfigError> {
    if options.allowed_sasl_mechanisms.is_empty() {
        return Ok(None);
    }
    let named = options.allowed_sasl_mechanisms.iter().map(|name| {
        Mechanism::from_name(name.as_bytes()).ok_or_else(|| {
            ConfigError::InvalidArgument(format!(
                "allowed_sasl_mechanisms names {name:?}; there are {}",
                Mechanism::ALL.map(Mechanism::name).join(", ")
            ))
        })
    });
    named.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::PasswordAuthenticator;

    #[expect(clippy::unwrap_in_result, reason = "what is tested is the configuration's own result")]
    fn config(text: &str) -> Result<EngineConfig, ConfigError> {
        let authenticator = Authenticator::Password(PasswordAuthenticator::new("u", "p").unwrap());
        EngineConfig::new(&connstr::parse(text).unwrap(), Options::default(), authenticator)
    }

    #[test]
    fn tls_1_without_tls_the_secure_scheme_is_refused_at_connect() {
        let error = config("couchbases://h").unwrap_err();
        assert!(matches!(error, ConfigError::FeatureNotAvailable { feature: "tls", .. }));
        assert!(error.to_string().starts_with("FeatureNotAvailable: tls"));
    }

    #[test]
    fn boot_17_manager_ports_alone_need_http() {
        let error = config("couchbase://h:8091=http").unwrap_err();
        assert!(matches!(error, ConfigError::FeatureNotAvailable { feature: "bootstrap over HTTP", .. }));
    }

    #[test]
    fn features_come_with_their_dependencies() {
        for text in ["couchbase://h", "couchbase://h?enable_compression=false&enable_collections=false"] {
            assert_eq!(config(text).unwrap().features().missing_dependency(), None, "{text}");
        }
    }

    #[test]
    fn options_turn_features_off() {
        let features =
            config("couchbase://h?enable_mutation_tokens=false&enable_compression=off").unwrap().features();
        assert!(!features.contains(Feature::MUTATION_SEQNO) && !features.contains(Feature::SNAPPY));
        assert!(features.contains(Feature::XERROR), "always asked for");
    }

    #[test]
    fn hello_key_is_valid_json_of_at_most_250_bytes() {
        let mut config = config("couchbase://h?user_agent_extra=a%22b").unwrap();
        config.options.user_agent_extra = Some(format!("\"\\\u{1}{}", "ü".repeat(300)));
        let key = config.hello_key("0123456789abcdef", "fedcba9876543210");
        assert!(key.len() <= HELLO_KEY_MAX);
        let json: serde_json::Value = serde_json::from_slice(&key).unwrap();
        assert_eq!(json["i"], "0123456789abcdef/fedcba9876543210");
        assert!(json["a"].as_str().unwrap().starts_with("settee/"));
    }

    #[test]
    fn unknown_mechanisms_are_refused_by_name() {
        let error = config("couchbase://h?sasl_mech_force=SCRAM-SHA-512").unwrap_err();
        assert!(error.to_string().contains("SCRAM-SHA-512"), "{error}");
    }
}
