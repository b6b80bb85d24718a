//! What this build is made of and what it trusts (META-1 to META-3).

use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use settee::tls;

use crate::trust::{self, SSL_CERT_DIR, SSL_CERT_FILE};

/// Facts about this build in a fixed order, under the keys that scripts know from the other clients (META-3).
///
/// `Display` writes one line per fact, `'key': value`; `serde` writes a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(Vec<(&'static str, Value)>);

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// A text; empty where it is not known.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl Metadata {
    /// All facts in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// The fact of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Names an adapter that is compiled in beside this crate, in the list `adapters` of the detailed form.
    #[must_use]
    pub fn with_adapter(mut self, name: &str) -> Self {
        for (key, value) in &mut self.0 {
            if let ("adapters", Value::List(names)) = (*key, value) {
                names.push(name.to_owned());
            }
        }
        self
    }

    fn push(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((key, value.into()));
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}'{key}': {value}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            // As the documentation prints them.
            Self::Flag(flag) => f.write_str(if *flag { "True" } else { "False" }),
            Self::List(texts) => {
                f.write_str("[")?;
                for (at, text) in texts.iter().enumerate() {
                    write!(f, "{}'{text}'", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Facts about this build; needs no cluster. `detailed` adds to the version, the back end of TLS and the places of
/// certificates all the rest (META-1).
pub fn metadata(detailed: bool) -> Metadata {
    let mut facts = Metadata(Vec::new());
    version(&mut facts, detailed);
    if detailed {
        platform(&mut facts);
        bundle(&mut facts);
    }
    places(&mut facts);
    back_end(&mut facts, detailed);
    if detailed {
        features(&mut facts);
    }
    facts
}

fn version(facts: &mut Metadata, detailed: bool) {
    facts.push("version", env!("CARGO_PKG_VERSION"));
    if !detailed {
        return;
    }
    for (key, digits) in [
        ("version_major", env!("CARGO_PKG_VERSION_MAJOR")),
        ("version_minor", env!("CARGO_PKG_VERSION_MINOR")),
        ("version_patch", env!("CARGO_PKG_VERSION_PATCH")),
        // Releases are not rebuilt under the same version.
        ("version_build", "0"),
    ] {
        facts.0.push((key, Value::Number(digits.parse().unwrap_or_default())));
    }
    facts.push("semver", env!("CARGO_PKG_VERSION"));
    facts.push("revision", env!("SETTEE_BUILD_REVISION"));
    facts.push("snapshot", !env!("CARGO_PKG_VERSION_PRE").is_empty());
    let built = tls::utc(env!("SETTEE_BUILD_TIME").parse().unwrap_or_default());
    let date = built.split(' ').next().unwrap_or_default().to_owned();
    facts.push("build_timestamp", built);
    facts.push("build_date", date);
}

fn platform(facts: &mut Metadata) {
    let name = match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        "freebsd" => "FreeBSD",
        other => other,
    };
    // Where the system has no such file its version is not known without a call into it.
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    facts.push("platform", if release.is_empty() { name.to_owned() } else { format!("{name}-{release}") });
    facts.push("platform_name", name);
    facts.push("platform_version", release);
    facts.push("cpu", std::env::consts::ARCH);
    facts.push("rustc", env!("SETTEE_BUILD_RUSTC"));
    facts.push("target_triple", env!("SETTEE_BUILD_TARGET"));
    facts.push("build_profile", env!("SETTEE_BUILD_PROFILE"));
}

fn bundle(facts: &mut Metadata) {
    let bundle = tls::mozilla_bundle();
    facts.push("mozilla_ca_bundle_embedded", bundle.is_some());
    if let Some(bundle) = bundle {
        facts.push("mozilla_ca_bundle_date", bundle.date);
        facts.push("mozilla_ca_bundle_sha256", bundle.sha256);
        facts.0.push(("mozilla_ca_bundle_size", Value::Number(bundle.size as u64)));
    }
}

fn places(facts: &mut Metadata) {
    let defaults = trust::defaults();
    facts.push("openssl_default_cert_dir", trust::joined(&defaults.dirs).unwrap_or_default());
    facts.push("openssl_default_cert_dir_env", SSL_CERT_DIR);
    let file = defaults.file.map(|path| path.display().to_string());
    facts.push("openssl_default_cert_file", file.unwrap_or_default());
    facts.push("openssl_default_cert_file_env", SSL_CERT_FILE);
}

fn back_end(facts: &mut Metadata, detailed: bool) {
    let back_end = tls::backend();
    facts.push("tls_backend", back_end.map_or("none", |back_end| back_end.name));
    if !detailed {
        return;
    }
    facts.push("tls_backend_version", back_end.map_or("", |back_end| back_end.version));
    facts.push("crypto_provider", back_end.map_or("none", |back_end| back_end.provider));
    let root = tls::capella_root();
    facts.push("capella_ca_sha256", root.sha256);
    facts.push("capella_ca_not_after", tls::utc(root.not_after));
}

fn features(facts: &mut Metadata) {
    let enabled = [
        ("tracing", cfg!(feature = "tracing")),
        ("tls", tls::backend().is_some()),
        ("insecure", tls::insecure_available()),
    ];
    let enabled = enabled.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect();
    facts.0.push(("features", Value::List(enabled)));
    facts.push("couchbase2", false);
    facts.0.push(("adapters", Value::List(Vec::new())));
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: [&str; 6] = [
        "version",
        "openssl_default_cert_dir",
        "openssl_default_cert_dir_env",
        "openssl_default_cert_file",
        "openssl_default_cert_file_env",
        "tls_backend",
    ];

    /// The published keys, by group (section 3.7).
    const DETAILED: [&str; 33] = [
        "version",
        "version_major",
        "version_minor",
        "version_patch",
        "version_build",
        "semver",
        "revision",
        "snapshot",
        "build_timestamp",
        "build_date",
        "platform",
        "platform_name",
        "platform_version",
        "cpu",
        "rustc",
        "target_triple",
        "build_profile",
        "mozilla_ca_bundle_embedded",
        "mozilla_ca_bundle_date",
        "mozilla_ca_bundle_sha256",
        "mozilla_ca_bundle_size",
        "openssl_default_cert_dir",
        "openssl_default_cert_dir_env",
        "openssl_default_cert_file",
        "openssl_default_cert_file_env",
        "tls_backend",
        "tls_backend_version",
        "crypto_provider",
        "capella_ca_sha256",
        "capella_ca_not_after",
        "features",
        "couchbase2",
        "adapters",
    ];

    fn keys(metadata: &Metadata) -> Vec<&'static str> {
        metadata.iter().map(|(key, _)| key).collect()
    }

    fn text(metadata: &Metadata, key: &str) -> String {
        match metadata.get(key) {
            Some(Value::Text(text)) => text.clone(),
            other => panic!("{key}: {other:?}"),
        }
    }

    #[test]
    fn meta_1_the_keys_in_their_order() {
        assert_eq!(keys(&metadata(false)), BRIEF);
        // Without TLS there is no bundle to describe.
        let absent = |key: &str| {
            !cfg!(any(feature = "tls", feature = "tls-aws-lc-rs"))
                && key.starts_with("mozilla_ca_bundle_")
                && key != "mozilla_ca_bundle_embedded"
        };
        let known: Vec<_> = DETAILED.into_iter().filter(|key| !absent(key)).collect();
        assert_eq!(keys(&metadata(true)), known);
        for key in BRIEF {
            assert_eq!(metadata(false).get(key), metadata(true).get(key));
        }
    }

    #[test]
    fn meta_1_values_have_types() {
        let facts = metadata(true);
        assert_eq!(text(&facts, "version"), env!("CARGO_PKG_VERSION"));
        assert!(matches!(facts.get("version_major"), Some(Value::Number(_))));
        assert!(matches!(facts.get("snapshot"), Some(Value::Flag(_))));
        assert_eq!(facts.get("couchbase2"), Some(&Value::Flag(false)));
        assert_eq!(
            facts.get("mozilla_ca_bundle_embedded"),
            Some(&Value::Flag(cfg!(any(feature = "tls", feature = "tls-aws-lc-rs"))))
        );
        assert!(text(&facts, "rustc").starts_with("rustc 1."));
        assert!(text(&facts, "target_triple").contains('-'));
        assert!(!text(&facts, "build_profile").is_empty());
        let built = text(&facts, "build_timestamp");
        assert!(built.starts_with(&text(&facts, "build_date")) && built.ends_with(" UTC"), "{built}");
        assert_eq!(text(&facts, "capella_ca_not_after"), "2029-12-06 23:12:59 UTC");
        let revision = text(&facts, "revision");
        assert!(revision.is_empty() || revision.len() == 40, "{revision}");
    }

    #[test]
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    fn meta_2_the_bundle_is_counted_in_certificates() {
        let facts = metadata(true);
        let Some(Value::Number(size)) = facts.get("mozilla_ca_bundle_size") else { panic!() };
        assert!((50..1000).contains(size), "{size}");
        assert_eq!(text(&facts, "mozilla_ca_bundle_sha256").len(), 64);
        assert!(!text(&facts, "mozilla_ca_bundle_date").is_empty());
    }

    #[test]
    fn meta_3_the_names_of_the_variables_keep_their_keys() {
        let facts = metadata(false);
        assert_eq!(text(&facts, "openssl_default_cert_dir_env"), "SSL_CERT_DIR");
        assert_eq!(text(&facts, "openssl_default_cert_file_env"), "SSL_CERT_FILE");
    }

    #[test]
    fn adapters_are_named_where_there_is_detail() {
        let named = metadata(true).with_adapter("tokio");
        assert_eq!(named.get("adapters"), Some(&Value::List(vec!["tokio".to_owned()])));
        assert_eq!(metadata(false).with_adapter("tokio"), metadata(false));
    }

    #[test]
    fn metadata_is_a_map_and_a_text() {
        let facts = Metadata(vec![
            ("version", "1.2.3".into()),
            ("mozilla_ca_bundle_embedded", true.into()),
            ("mozilla_ca_bundle_size", Value::Number(137)),
            ("features", Value::List(vec!["tls".into(), "tracing".into()])),
        ]);
        assert_eq!(
            serde_json::to_string(&facts).unwrap(),
            r#"{"version":"1.2.3","mozilla_ca_bundle_embedded":true,"mozilla_ca_bundle_size":137,"features":["tls","tracing"]}"#
        );
        assert_eq!(
            facts.to_string(),
            "'version': '1.2.3'\n'mozilla_ca_bundle_embedded': True\n'mozilla_ca_bundle_size': 137\n'features': ['tls', 'tracing']"
        );
    }
}
