//! Settings: one [registry](registry()) of names, syntax and defaults, the typed [`Options`], and what a connection string
//! changes in them.
//!
//! From weakest to strongest (OPT-2): built-in default, profile, typed settings, connection string.
//! [`resolve`] brings them together:
//!
//! ```
//! use settee::{connstr, options};
//!
//! let connstr = connstr::parse("couchbase://db.example.com?kv_timeout=4s").unwrap();
//! let mut typed = options::Options::default();
//! typed.user_agent_extra = Some("billing/2.1".into());
//! let resolved = options::resolve(&connstr, typed).unwrap();
//! assert_eq!(resolved.options.kv_timeout.as_secs(), 4);
//! assert!(resolved.warnings.is_empty());
//! ```
//!
//! A name that is not known is a warning, a value that a known option cannot take is an error, and an option that is
//! recognised but has no effect says so: nothing is dropped in silence (OPT-3 to OPT-5).

mod apply;
mod check;
mod near;
mod registry;
#[cfg(test)]
mod tests;
mod typed;
mod value;

pub use registry::{
    Alias, Availability, Entry, Group, Origin, Owner, Reading, Translation, Word, groups, registry, sections,
    translations,
};
pub use typed::{
    BootstrapOn, CompressionMode, IpProtocol, Network, Options, Profile, TlsVerify, UnknownProfile,
};
pub use value::{Syntax, Value};

use crate::connstr::{ConnectionString, ErrorKind, Quoted, Seed, Warning, WarningKind};
use apply::Request;
use std::time::Duration;

/// A refused setting (OPT-4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: option {name:?}{}: {expected}", Quoted(.text))]
#[non_exhaustive]
pub struct OptionError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The canonical name of the option, or the unknown name; empty where it may hold credentials.
    pub name: String,
    /// The value given; empty where there is none or where it may hold credentials.
    pub text: String,
    /// What is expected.
    pub expected: String,
    /// Where in the connection string, in bytes; `None` for a typed setting.
    pub offset: Option<usize>,
}

/// Everything that a connect needs to know, agreed upon.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// The settings in effect.
    pub options: Options,
    /// Whether every connection uses TLS (CS-1).
    pub tls: bool,
    /// Where to begin, with the ports of that security mode.
    pub seeds: Vec<Seed>,
    /// The name to look up as SRV before the seeds are used, if there is one (spec 1.6).
    pub srv_query: Option<String>,
    /// The bucket to open as part of the bootstrap (CS-15).
    pub bucket: Option<String>,
    /// What is odd, of the string and of the settings; to be logged once.
    pub warnings: Vec<Warning>,
    /// Facts for the log that are no warnings, such as the reading of `certpath` (OPT-11).
    pub notes: Vec<String>,
}

/// One line of the effective configuration (OPT-6). It holds no secret: credentials are never settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectiveSetting {
    /// The canonical name.
    pub name: &'static str,
    /// The value as text that reads back as the same value; empty if unset.
    pub value: String,
    /// Whether the connection string set it.
    pub from_string: bool,
    /// Whether it differs from the built-in default.
    pub changed: bool,
    /// Why it has no effect, if it has none.
    pub ignored: Option<&'static str>,
}

/// Joins a connection string with typed settings (OPT-2).
///
/// # Errors
/// A value that its option cannot take, settings that contradict each other or the scheme, credentials given as
/// parameters, and in strict mode an unknown name.
pub fn resolve(connstr: &ConnectionString, typed: Options) -> Result<Resolved, OptionError> {
    let scheme_tls = connstr.scheme_written.then(|| connstr.tls());
    let typed_may_turn_tls_on = connstr.scheme == crate::connstr::Scheme::Couchbase;
    let request =
        Request { pairs: &connstr.params, hidden: connstr.hidden_params, scheme_tls, typed_may_turn_tls_on };
    let applied = apply::apply(&request, typed).map_err(|failure| {
        let mut error = failure.error;
        error.offset = failure.pair.and_then(|pair| connstr.param_offsets.get(pair).copied());
        error
    })?;
    let (options, tls) = (applied.options, applied.tls);
    let mut warnings = connstr.warnings.clone();
    let mut seeds = connstr.seeds.clone();
    if tls != connstr.tls() {
        let (other_seeds, about_ports) = connstr.seeds_with(tls).map_err(|error| OptionError {
            kind: error.kind,
            name: "enable_tls".to_owned(),
            text: error.fragment,
            expected: error.hint,
            offset: Some(error.offset),
        })?;
        seeds = other_seeds;
        warnings.retain(|warning| !depends_on_tls(warning.kind));
        warnings.extend(about_ports);
    }
    warnings.extend(applied.warnings);
    let srv_query = connstr.srv_query(tls).filter(|_| options.enable_dns_srv);
    if options.from_string.contains("enable_dns_srv") && options.enable_dns_srv && srv_query.is_none() {
        let text = "SRV applies to one DNS name without port and type only";
        warnings.push(Warning::new(WarningKind::SrvForcedButIneligible, "enable_dns_srv", text));
    }
    Ok(Resolved {
        options,
        tls,
        seeds,
        srv_query,
        bucket: connstr.bucket.clone(),
        warnings,
        notes: applied.notes,
    })
}

/// Warnings that are found again when ports get their meaning in the other security mode.
fn depends_on_tls(kind: WarningKind) -> bool {
    matches!(
        kind,
        WarningKind::PortSecurityMismatch
            | WarningKind::AmbiguousPort
            | WarningKind::DeprecatedManagerPort
            | WarningKind::DuplicateHost
    )
}

impl Options {
    /// The limit of TCP and TLS of one HTTP connection: `http_connect_timeout`, else `kv_connect_timeout`.
    pub fn http_connect_limit(&self) -> Duration {
        self.http_connect_timeout.unwrap_or(self.kv_connect_timeout)
    }

    /// Takes the values of a profile, over what was set before (RFC 0074). What is set afterwards overwrites them.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.take_profile(profile, |_, _| true);
        self
    }

    /// Applies decoded parameters of a connection string whose scheme has TLS on or off.
    ///
    /// Nothing is changed when it fails.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn apply(&mut self, pairs: &[(String, String)], tls: bool) -> Result<Vec<Warning>, OptionError> {
        let request = Request { pairs, hidden: 0, scheme_tls: Some(tls), typed_may_turn_tls_on: true };
        let applied = apply::apply(&request, self.clone()).map_err(|failure| failure.error)?;
        *self = applied.options;
        Ok(applied.warnings)
    }

    /// All settings in effect, in the order of the registry, and those that were given without effect (OPT-6).
    pub fn effective(&self) -> Vec<EffectiveSetting> {
        let line = |entry: &'static Entry| {
            let value = match entry.field {
                Some(field) => (field.get)(self),
                None => self.unused.get(entry.name)?.clone(),
            };
            let ignored = match entry.availability {
                Availability::Active => None,
                Availability::DefaultOnly(reason) => (value != entry.default_value()).then_some(reason),
                Availability::Ignored(reason) => Some(reason),
            };
            Some(EffectiveSetting {
                name: entry.name,
                changed: !is_default(entry, &value),
                value: value.to_string(),
                from_string: self.from_string.contains(entry.name),
                ignored,
            })
        };
        registry().filter_map(line).collect()
    }

    /// Takes the profile's values where `wanted` says so of the entry and its value.
    fn take_profile(&mut self, profile: Profile, wanted: impl Fn(&Entry, &Value) -> bool) {
        let Profile::WanDevelopment = profile;
        self.profile = Some(profile);
        for entry in registry() {
            let (Some(field), Some(text)) = (entry.field, entry.profile) else { continue };
            if let Some(value) = entry.syntax.read(text).filter(|_| wanted(entry, &(field.get)(self))) {
                (field.set)(self, value);
            }
        }
    }
}

/// Whether a value is the built-in default. An empty list is an unset one.
fn is_default(entry: &Entry, value: &Value) -> bool {
    let unset = |value: &Value| match value {
        Value::Unset => true,
        Value::List(items) => items.is_empty(),
        _ => false,
    };
    let default = entry.default_value();
    *value == default || (unset(value) && unset(&default))
}
