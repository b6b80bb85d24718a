//! Rules that go beyond one value's syntax: limits of typed settings, the security mode, and what has no effect.

use super::apply::{Failure, failure};
use super::is_default;
use super::registry::{self, Availability, Entry, Owner};
use super::typed::{Options, TlsVerify};
use super::value::Value;
use crate::connstr::{self, ErrorKind, Warning, WarningKind};
use std::collections::BTreeMap;

/// Typed values obey the same limits as those of a string (OPT-4).
pub(super) fn check_typed(typed: &Options) -> Result<(), Failure> {
    for entry in registry::registry() {
        let Some(field) = entry.field else { continue };
        let value = (field.get)(typed);
        let tidied = if is_default(entry, &value) { Some(Value::Unset) } else { tidy(entry, value.clone()) };
        if tidied.is_none() || !entry.syntax.admits(&value) {
            let text = connstr::clip(&value.to_string());
            return Err(failure(ErrorKind::InvalidOption, entry.name, &text, expected(entry), None));
        }
    }
    Ok(())
}

/// Rules beyond syntax: names of mechanisms are known ones in upper case, line ends in the identification are
/// blanks (spec 4.2). `None` is a value that its option cannot take.
pub(super) fn tidy(entry: &Entry, value: Value) -> Option<Value> {
    match (entry.name, value) {
        ("allowed_sasl_mechanisms", Value::List(names)) => {
            let names: Vec<String> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
            names.iter().all(|name| MECHANISMS.contains(&name.as_str())).then_some(Value::List(names))
        }
        ("user_agent_extra", Value::Text(text)) => Some(Value::Text(text.replace(['\r', '\n'], " "))),
        (_, value) => Some(value),
    }
}

const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA1", "SCRAM-SHA256", "SCRAM-SHA512", "OAUTHBEARER"];

pub(super) fn expected(entry: &Entry) -> String {
    match entry.name {
        "allowed_sasl_mechanisms" => format!("one or more of {}, separated by commas", MECHANISMS.join(", ")),
        _ => entry.syntax.expected(),
    }
}

/// Checks the whole against the security mode, and reports what has no effect (OPT-5, OPT-13).
///
/// `places` has the pair of each option that the string set.
pub(super) fn finish(
    options: &mut Options,
    tls: bool,
    places: &BTreeMap<&'static str, usize>,
    warnings: &mut Vec<Warning>,
) -> Result<(), Failure> {
    for entry in registry::registry() {
        if let Some(field) = entry.field
            && let Some(value) = tidy(entry, (field.get)(options))
            && value != Value::Unset
        {
            (field.set)(options, value);
        }
    }
    for (name, path) in [("certificate_path", &options.certificate_path), ("key_path", &options.key_path)] {
        if path.is_some() && !tls {
            let expected = "a client certificate is used with TLS only: write couchbases://";
            return Err(failure(ErrorKind::ConflictingOption, name, "", expected, places.get(name).copied()));
        }
    }
    if options.certificate_path.is_some() != options.key_path.is_some() {
        let (name, expected) = if options.key_path.is_some() {
            ("key_path", "a client key needs its certificate: set certificate_path as well")
        } else {
            ("certificate_path", "a client certificate needs its key: set key_path as well")
        };
        return Err(failure(ErrorKind::InvalidOption, name, "", expected, places.get(name).copied()));
    }
    for entry in registry::registry() {
        if let Some(reason) = without_effect(options, entry, tls) {
            warnings.push(Warning::new(WarningKind::IgnoredOption, entry.name, reason));
        }
    }
    let mut insecure = |name: &str, text: &str| {
        warnings.push(Warning::new(WarningKind::InsecureSetting, name, text));
    };
    if tls && options.tls_verify == TlsVerify::None {
        insecure("tls_verify", "the peer's certificate is not verified: anybody can pose as the cluster");
    } else if tls && !options.tls_verify_hostname {
        insecure("tls_verify_hostname", "the peer's name is not verified: any certificate of the CA passes");
    }
    if !tls && options.allowed_sasl_mechanisms.iter().any(|name| name == "PLAIN") {
        insecure("allowed_sasl_mechanisms", "PLAIN without TLS sends the password readable by others");
    }
    Ok(())
}

/// Why a setting that was made has no effect, if so.
fn without_effect(options: &Options, entry: &Entry, tls: bool) -> Option<&'static str> {
    let value = match entry.field {
        Some(field) => (field.get)(options),
        None => options.unused.get(entry.name)?.clone(),
    };
    // A profile sets some that nobody asked for.
    let by_profile = options.profile.is_some()
        && entry.profile.is_some_and(|text| entry.syntax.read(text).as_ref() == Some(&value));
    let is_made = options.from_string.contains(entry.name) || !(is_default(entry, &value) || by_profile);
    match entry.availability {
        // `enable_tls` is what turns TLS off.
        _ if is_made && !tls && entry.owner == Owner::Tls && entry.name != "enable_tls" => {
            Some("TLS is off: write couchbases:// to turn it on")
        }
        Availability::Ignored(reason) if is_made => Some(reason),
        Availability::DefaultOnly(reason) if !is_default(entry, &value) => Some(reason),
        _ => None,
    }
}
