//! What an engine is built from.

use std::time::Duration;

use bytes::Bytes;

use super::security::Security;
use crate::auth::{Authenticator, Mechanism};
use crate::connstr::{self, ConnectionString, Seed, Warning, WarningKind};
use crate::dns::ResolverConfig;
use crate::options::{self, BootstrapOn, CompressionMode, OptionError, Options};
use crate::tls::{self, Note, PlatformStore, TlsProfile, TrustSource};
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
    /// Facts for the log that are no warnings, such as the reading of `certpath` (OPT-11).
    pub notes: Vec<String>,
    /// The time since 1970 when the engine is built; moved on by the clock readings that it is given.
    pub unix_time: Duration,
    pub(super) mechanisms: Option<Vec<Mechanism>>,
    pub(super) profile: Option<TlsProfile>,
    pub(super) tls_notes: Vec<Note>,
    pub(super) resolver: Option<ResolverConfig>,
    /// The name whose SRV record is asked for.
    pub(super) srv_query: Option<String>,
    /// A seed is a Capella host (TLS-9).
    pub(super) capella: bool,
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
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A file that a setting names cannot be read.
    #[error("the file {path} cannot be read: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Credentials and settings do not fit together.
    #[error("InvalidArgument: {0}")]
    InvalidArgument(String),
}

/// What an engine cannot find out by itself: files, the platform's certificates and name servers, the wall clock.
/// Adapters read it; [`EngineConfig::new`] does without.
pub struct Surroundings<'a> {
    /// Reads a file that a setting names; the text of an error says why it could not.
    pub files: &'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
    /// The platform's certificates (TLS-4); asked for only where they count.
    pub platform: &'a mut dyn FnMut() -> PlatformStore,
    /// Whom to trust; empty: what the settings say, by default platform, Capella and Mozilla.
    pub trust: Vec<TrustSource>,
    /// The name servers to ask for SRV records; `None`: there are none, and no record is asked for.
    pub resolver: Option<ResolverConfig>,
    /// The time since 1970, by which certificates are judged.
    pub unix_time: Duration,
}

impl EngineConfig {
    /// The configuration for a connection string, typed settings and credentials; the string beats the settings (OPT-2).
    ///
    /// Files cannot be read and SRV records not be asked for this way, and certificates are judged by the time zero:
    /// for TLS use [`EngineConfig::with`].
    ///
    /// # Errors
    /// [`ConfigError`]: settings that cannot be, and what this build cannot do.
    pub fn new(
        connstr: &ConnectionString,
        options: Options,
        authenticator: Authenticator,
    ) -> Result<Self, ConfigError> {
        let surroundings = Surroundings {
            files: &mut |_| Err("this program hands in no files".to_owned()),
            platform: &mut PlatformStore::default,
            trust: Vec::new(),
            resolver: None,
            unix_time: Duration::ZERO,
        };
        Self::with(connstr, options, authenticator, surroundings)
    }

    /// As [`EngineConfig::new`], with what only the program around the engine can know.
    ///
    /// # Errors
    /// [`ConfigError`]: settings that cannot be, what this build cannot do, certificates that cannot be read.
    pub fn with(
        connstr: &ConnectionString,
        options: Options,
        authenticator: Authenticator,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let mut resolved = options::resolve(connstr, options)?;
        let mechanisms = mechanisms(&resolved.options)?;
        let capella = connstr.seeds.iter().any(|seed| tls::is_capella_host(&seed.host.to_string()));
        let (unix_time, resolver) = (surroundings.unix_time, surroundings.resolver.clone());
        let security = Security { tls: resolved.tls, capella };
        let (authenticator, secured) = security.agree(&resolved.options, authenticator, surroundings)?;
        if capella && !resolved.tls {
            resolved.warnings.push(Warning::new(
                WarningKind::InsecureSetting,
                "couchbase://",
                "a Capella cluster takes connections with TLS only: use couchbases://",
            ));
        }
        if resolved.options.bootstrap_on == BootstrapOn::Http
            && resolved.srv_query.is_none()
            && resolved.seeds.iter().all(|seed| seed.mgmt.is_none())
        {
            return Err(ConfigError::InvalidArgument(
                "every node names a key-value port only, and bootstrap_on=http asks managers alone; give a manager port as HOST:8091=http".into(),
            ));
        }
        if resolved.options.bootstrap_on == BootstrapOn::Cccp
            && resolved.seeds.iter().all(|seed| seed.kv.is_none())
        {
            return Err(ConfigError::InvalidArgument(
                "every node names a manager port only, and bootstrap_on=cccp rules it out; give a key-value port, 11210 by default".into(),
            ));
        }
        let (profile, notes) = secured.map_or((None, Vec::new()), |(profile, notes)| (Some(profile), notes));
        Ok(Self {
            seeds: resolved.seeds,
            default_bucket: resolved.bucket,
            options: resolved.options,
            authenticator,
            warnings: resolved.warnings,
            notes: resolved.notes,
            platform: String::new(),
            max_operations: 65_536,
            window: 16_384,
            pipelined: true,
            mechanisms,
            profile,
            tls_notes: notes,
            unix_time,
            srv_query: resolved.srv_query.filter(|_| resolver.is_some()),
            resolver,
            capella,
        })
    }

    /// Whether connections use TLS.
    pub const fn tls(&self) -> bool {
        self.profile.is_some()
    }

    /// Trust and client identity of the connections.
    pub const fn tls_profile(&self) -> Option<&TlsProfile> {
        self.profile.as_ref()
    }

    /// How the client names itself: program, version, platform, the user's addition (RFC 0035).
    pub(super) fn agent(&self, instance: &str) -> String {
        let extra = self.options.user_agent_extra.as_deref().unwrap_or_default();
        let agent = format!("settee/{} {} {extra}", env!("CARGO_PKG_VERSION"), self.platform);
        format!("{} {instance}", agent.trim_end())
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

    #[cfg(not(feature = "tls-core"))]
    #[test]
    fn tls_1_without_tls_the_secure_scheme_is_refused_at_connect() {
        let error = config("couchbases://h").unwrap_err();
        assert!(matches!(error, ConfigError::FeatureNotAvailable { feature: "tls", .. }));
        assert!(error.to_string().starts_with("FeatureNotAvailable: tls"));
    }

    #[cfg(all(feature = "tls-core", not(feature = "insecure")))]
    #[test]
    fn tls_17_no_verification_without_the_feature_is_refused_at_connect() {
        let error = config("couchbases://h?tls_verify=none").unwrap_err();
        assert!(matches!(error, ConfigError::FeatureNotAvailable { feature: "insecure", .. }), "{error}");
    }

    #[test]
    fn boot_17_a_source_that_no_seed_has_a_port_for_is_refused() {
        for text in ["couchbase://h:8091=http?bootstrap_on=cccp", "couchbase://h:11210=kv?bootstrap_on=http"]
        {
            let error = config(text).unwrap_err();
            assert!(matches!(error, ConfigError::InvalidArgument(_)), "{text}: {error}");
        }
        assert!(config("couchbase://h:8091=http").is_ok());
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
