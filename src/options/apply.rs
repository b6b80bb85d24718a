//! Parameters of a connection string over typed settings.
//!
//! First every pair is read into assignments to canonical options; then repeats and contradictions are settled
//! (CS-22, CS-23); then the profile, then the values go in; at last the whole is checked against the security mode.

use super::check::{check_typed, expected, finish, tidy};
use super::near::near_miss;
use super::registry::{self, Entry, Named, Reading, Translation};
use super::typed::{Options, Profile};
use super::value::{self, Syntax, Value};
use super::{OptionError, is_default};
use crate::connstr::{self, ErrorKind, Warning, WarningKind};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Request<'a> {
    pub(super) pairs: &'a [(String, String)],
    /// So many pairs, from the first, may not be repeated in messages.
    pub(super) hidden: usize,
    /// What the scheme says of TLS, if there is one.
    pub(super) scheme_tls: Option<bool>,
    /// Whether a typed `enable_tls` may turn TLS on where the scheme says plain (CS-1).
    pub(super) typed_may_turn_tls_on: bool,
}

pub(super) struct Applied {
    pub(super) options: Options,
    pub(super) tls: bool,
    pub(super) warnings: Vec<Warning>,
    pub(super) notes: Vec<String>,
}

/// An error, and the pair that it is about.
pub(super) struct Failure {
    pub(super) error: OptionError,
    pub(super) pair: Option<usize>,
}

pub(super) fn apply(request: &Request<'_>, typed: Options) -> Result<Applied, Failure> {
    check_typed(&typed)?;
    let mut reader = Reader::new(request, &typed);
    for pair in 0..request.pairs.len() {
        reader.read_pair(pair)?;
    }
    let Reader { settings, mut warnings, notes, .. } = reader;
    let settings = settle(settings, &mut warnings)?;

    let mut options = typed;
    let tls = decide_tls(request, &options, settings.get("enable_tls"))?;
    if let Some(profile) = settings.get("profile").and_then(|setting| profile_of(&setting.value)) {
        // Typed settings are stronger than the profile: a field that is not at its default has been set.
        options.take_profile(profile, is_default);
    }
    let places = settings.iter().map(|(name, setting)| (*name, setting.pair)).collect();
    for (name, setting) in settings {
        store(&mut options, name, setting)?;
    }
    finish(&mut options, tls, &places, &mut warnings)?;
    Ok(Applied { options, tls, warnings, notes })
}

/// All that was given for one option.
struct Setting<'a> {
    entry: &'static Entry,
    /// The last value under each name, in the order of the first use of the name.
    under: Vec<(&'a str, Value)>,
    /// The value that counts.
    value: Value,
    pair: usize,
    text: String,
    repeated: bool,
}

type Settings<'a> = BTreeMap<&'static str, Setting<'a>>;

struct Reader<'a> {
    request: &'a Request<'a>,
    strict: bool,
    /// Whether a client key is given, which makes `certpath` a client certificate (OPT-11).
    has_key: bool,
    settings: Settings<'a>,
    warnings: Vec<Warning>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(request: &'a Request<'a>, typed: &Options) -> Self {
        let names_key =
            |name: &str| matches!(registry::lookup(name), Some(Named::Entry(e, _)) if e.name == "key_path");
        let has_key = typed.key_path.is_some() || request.pairs.iter().any(|(name, _)| names_key(name));
        Self {
            request,
            strict: typed.strict_options,
            has_key,
            settings: BTreeMap::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn read_pair(&mut self, pair: usize) -> Result<(), Failure> {
        let request = self.request;
        let Some((name, text)) = request.pairs.get(pair) else { return Ok(()) };
        if connstr::is_credential(name) {
            let expected = "credentials are not accepted as parameters: give them to the authenticator";
            return Err(failure(ErrorKind::CredentialsInString, "", "", expected, Some(pair)));
        }
        match registry::lookup(name) {
            Some(Named::Entry(entry, reading)) => self.read_entry(pair, name, entry, reading, text),
            Some(Named::Translation(translation)) => self.read_translation(pair, name, translation, text),
            Some(Named::CertificateOrTrust) => {
                let meant = if self.has_key { "certificate_path" } else { "trust_certificate" };
                self.notes.push(format!("{name} is read as {meant}"));
                match registry::canonical(meant) {
                    Some(entry) => self.read_entry(pair, name, entry, Reading::Same, text),
                    None => Ok(()),
                }
            }
            Some(Named::Group(group, syntax)) => {
                let shown = self.shown(pair, name);
                if syntax.read(text).is_none() {
                    let text = self.shown(pair, text);
                    let expected = syntax.expected();
                    return Err(failure(ErrorKind::InvalidOption, &shown, &text, expected, Some(pair)));
                }
                self.warn(WarningKind::IgnoredOption, &shown, group.reason);
                Ok(())
            }
            None => self.unknown(pair, name, text),
        }
    }

    fn unknown(&mut self, pair: usize, name: &str, text: &str) -> Result<(), Failure> {
        let meant = near_miss(name).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        let (name, text) = (self.shown(pair, name), self.shown(pair, text));
        if self.strict {
            let expected = format!("no option is called so{meant}");
            return Err(failure(ErrorKind::UnknownOption, &name, &text, expected, Some(pair)));
        }
        let message = format!("no option is called so; its value {text:?} has no effect{meant}");
        self.warn(WarningKind::UnknownOption, &name, message);
        Ok(())
    }

    fn read_entry(
        &mut self,
        pair: usize,
        name: &'a str,
        entry: &'static Entry,
        reading: Reading,
        text: &str,
    ) -> Result<(), Failure> {
        let bare = matches!(entry.syntax, Syntax::Duration { .. }) && value::is_bare_number(text);
        let value = match reading {
            Reading::UnitNeeded if bare => {
                let expected = format!(
                    "a time with its unit, such as 2500ms or 2.5s: libcouchbase counts {name} in seconds, other \
                     clients count in milliseconds"
                );
                let shown = self.shown(pair, text);
                return Err(failure(ErrorKind::InvalidOption, entry.name, &shown, expected, Some(pair)));
            }
            Reading::Blanks => value::list(text, &[',', ' ']).map(Value::List),
            Reading::Inverse => match entry.syntax.read(text) {
                Some(Value::Bool(on)) => Some(Value::Bool(!on)),
                other => other,
            },
            Reading::Same | Reading::UnitNeeded => entry.syntax.read(text),
        };
        let Some(Some(value)) = value.map(|value| tidy(entry, value)) else {
            let shown = self.shown(pair, text);
            let expected = expected(entry);
            return Err(failure(ErrorKind::InvalidOption, entry.name, &shown, expected, Some(pair)));
        };
        if bare {
            self.suspect(entry, &value);
        }
        if reading == Reading::UnitNeeded {
            let text = format!("it is a name of libcouchbase alone: write {}", entry.name);
            self.warn(WarningKind::DeprecatedOption, name, text);
        }
        self.give(pair, name, entry, value, text);
        Ok(())
    }

    fn read_translation(
        &mut self,
        pair: usize,
        name: &'a str,
        translation: &'static Translation,
        text: &str,
    ) -> Result<(), Failure> {
        let is_meant = |word: &&str| word.eq_ignore_ascii_case(text);
        let Some((_, made)) = translation.words.iter().find(|(words, _)| words.iter().any(is_meant)) else {
            let words: Vec<&str> = translation.words.iter().filter_map(|(w, _)| w.first().copied()).collect();
            let shown = self.shown(pair, text);
            return Err(failure(ErrorKind::InvalidOption, name, &shown, words.join(", "), Some(pair)));
        };
        if let Some(better) = translation.deprecated_for {
            self.warn(WarningKind::DeprecatedOption, name, format!("write {better}"));
        }
        if made.is_empty() && translation.deprecated_for.is_none() {
            self.warn(WarningKind::IgnoredOption, name, "this value has no effect here");
        }
        for (canonical, text) in *made {
            let entry = registry::canonical(canonical);
            if let Some((entry, value)) = entry.and_then(|entry| Some((entry, entry.syntax.read(text)?))) {
                self.give(pair, name, entry, value, text);
            }
        }
        Ok(())
    }

    /// A bare number that is far too small for a time-out was probably meant in seconds (OPT-9).
    fn suspect(&mut self, entry: &'static Entry, value: &Value) {
        let Value::Duration(span) = value else { return };
        let is_long =
            matches!(entry.default_value(), Value::Duration(usual) if usual >= Duration::from_secs(1));
        if entry.name.ends_with("_timeout") && is_long && *span < Duration::from_millis(50) {
            let text = format!("{value} is very short: a number without unit counts milliseconds");
            self.warn(WarningKind::SuspiciousValue, entry.name, text);
        }
    }

    fn give(&mut self, pair: usize, name: &'a str, entry: &'static Entry, value: Value, text: &str) {
        let text = self.shown(pair, text);
        let Some(setting) = self.settings.get_mut(entry.name) else {
            let under = vec![(name, value.clone())];
            let setting = Setting { entry, under, value, pair, text, repeated: false };
            self.settings.insert(entry.name, setting);
            return;
        };
        (setting.pair, setting.text) = (pair, text);
        if let (Value::List(items), Value::List(more)) = (&mut setting.value, &value) {
            items.extend_from_slice(more);
            return;
        }
        setting.repeated = true;
        match setting.under.iter_mut().find(|(known, _)| *known == name) {
            Some((_, last)) => *last = value.clone(),
            None => setting.under.push((name, value.clone())),
        }
        setting.value = value;
    }

    fn warn(&mut self, kind: WarningKind, subject: &str, text: impl Into<String>) {
        self.warnings.push(Warning::new(kind, subject, text));
    }

    /// A part of a pair for a message: without what stood before an `@` (CS-13).
    fn shown(&self, pair: usize, text: &str) -> String {
        if pair < self.request.hidden {
            return String::new();
        }
        match text.rfind('@') {
            Some(at) => format!("***{}", connstr::clip(text.get(at..).unwrap_or_default())),
            None => connstr::clip(text),
        }
    }
}

/// Names of one option must agree; a repeated name is a warning (CS-22, CS-23). Lists have collected all values.
fn settle<'a>(settings: Settings<'a>, warnings: &mut Vec<Warning>) -> Result<Settings<'a>, Failure> {
    for (name, setting) in &settings {
        if matches!(setting.value, Value::List(_)) {
            continue;
        }
        if let Some((other, _)) = setting.under.iter().find(|(_, value)| *value != setting.value) {
            let names: Vec<&str> = setting.under.iter().map(|(name, _)| *name).collect();
            let expected = format!("{} are one option, and {other} has another value", names.join(" and "));
            let pair = Some(setting.pair);
            return Err(failure(ErrorKind::ConflictingOption, name, &setting.text, expected, pair));
        }
        if setting.repeated {
            let text = format!("given more than once; {:?} counts, the last one", setting.text);
            warnings.push(Warning::new(WarningKind::RepeatedOption, name, text));
        }
    }
    Ok(settings)
}

/// Whether TLS is on: the scheme decides, and the settings may not contradict it (CS-1, OPT-12).
fn decide_tls(request: &Request<'_>, typed: &Options, given: Option<&Setting<'_>>) -> Result<bool, Failure> {
    let conflict = |text: &str, pair| {
        let expected = "TLS is on with couchbases:// and off with couchbase://: leave the option out";
        Err(failure(ErrorKind::ConflictingOption, "enable_tls", text, expected, pair))
    };
    if let Some(setting) = given {
        let wanted = setting.value == Value::Bool(true);
        return match request.scheme_tls {
            Some(scheme) if scheme != wanted => conflict(&setting.text, Some(setting.pair)),
            _ => Ok(wanted),
        };
    }
    match (request.scheme_tls, typed.enable_tls) {
        (Some(true), Some(false)) => conflict("false", None),
        (Some(false), Some(true)) if !request.typed_may_turn_tls_on => conflict("true", None),
        (scheme, typed) => Ok(typed.or(scheme).unwrap_or(false)),
    }
}

fn profile_of(value: &Value) -> Option<Profile> {
    match value {
        Value::Text(name) => name.parse().ok(),
        _ => None,
    }
}

fn store(options: &mut Options, name: &'static str, setting: Setting<'_>) -> Result<(), Failure> {
    let Setting { entry, value, pair, text, .. } = setting;
    match entry.field {
        Some(field) => {
            if !(field.set)(options, value) {
                return Err(failure(ErrorKind::InvalidOption, name, &text, expected(entry), Some(pair)));
            }
        }
        None => {
            options.unused.insert(name, value);
        }
    }
    options.from_string.insert(name);
    Ok(())
}

pub(super) fn failure(
    kind: ErrorKind,
    name: &str,
    text: &str,
    expected: impl Into<String>,
    pair: Option<usize>,
) -> Failure {
    let error = OptionError {
        kind,
        name: name.to_owned(),
        text: text.to_owned(),
        expected: expected.into(),
        offset: None,
    };
    Failure { error, pair }
}
