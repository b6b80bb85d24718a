//! The one list of all options (OPT-1): names, syntax, defaults, and the names of other clients.
//!
//! Typed settings, parsing, the dump of the configuration and the documentation are driven by it. A test holds
//! the defaults written here and those of [`Options`] together.

mod connections;
mod features;
mod foreign;
mod timeouts;

pub use foreign::{Group, Translation, Word};

use super::typed::Options;
use super::value::{Syntax, Value};

/// One option.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The canonical name, in lower_snake form.
    pub name: &'static str,
    /// What its value looks like.
    pub syntax: Syntax,
    /// The built-in default as text; empty if the option has none of its own.
    pub default: &'static str,
    /// The value in the profile `wan_development`, where it differs.
    pub profile: Option<&'static str>,
    /// Who acts on it.
    pub owner: Owner,
    /// What it steers, in one line.
    pub help: &'static str,
    /// Other names.
    pub aliases: &'static [Alias],
    /// Whether it has an effect.
    pub availability: Availability,
    /// The feature of this crate without which it has none.
    pub needs: Option<&'static str>,
    pub(super) field: Option<Field>,
}

/// Who acts on an option (OPT-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// The protocol engine.
    Engine,
    /// The adapter, which owns sockets and threads.
    Adapter,
    /// The TLS layer.
    Tls,
    /// The client built on the engine.
    Client,
}

/// Whether an option has an effect in this build (OPT-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Availability {
    /// It has.
    Active,
    /// It is recognised; any value but the default has no effect, for this reason.
    DefaultOnly(&'static str),
    /// It is recognised and has no effect, for this reason.
    Ignored(&'static str),
}

/// Another name of an option, and how values are read under it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Alias {
    /// The name; names of the Java client without `com.couchbase.env.`.
    pub name: &'static str,
    /// Whose name it is.
    pub origins: &'static [Origin],
    /// How the value is read.
    pub reading: Reading,
}

/// Whose name of an option it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// The C++ client.
    Cxx,
    /// The Python client.
    Python,
    /// libcouchbase.
    Libcouchbase,
    /// The Java client.
    Java,
    /// The Go client.
    Go,
    /// The Rust client.
    Rust,
    /// A spelling in the SDK RFCs.
    Rfc,
}

impl Origin {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] =
        [Self::Cxx, Self::Python, Self::Libcouchbase, Self::Java, Self::Go, Self::Rust, Self::Rfc];
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cxx => "C++",
            Self::Python => "Python",
            Self::Libcouchbase => "libcouchbase",
            Self::Java => "Java",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Rfc => "SDK RFC",
        })
    }
}

/// How a value is read under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// As under the canonical name.
    Same,
    /// A time span needs its unit: the name is libcouchbase's alone, which counts in seconds (OPT-9).
    UnitNeeded,
    /// A switch of the opposite meaning.
    Inverse,
    /// A list separated by blanks or commas (OPT-15).
    Blanks,
}

/// How an entry reaches its typed field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) get: fn(&Options) -> Value,
    pub(super) set: fn(&mut Options, Value) -> bool,
}

/// The field of [`Options`] of this name.
macro_rules! field {
    ($name:ident) => {
        $crate::options::registry::Field {
            get: |options| $crate::options::typed::Setting::to_value(&options.$name),
            set: |options, value| $crate::options::typed::Setting::assign(&mut options.$name, value),
        }
    };
}
use field;

/// Entries of fields that have an effect are called by the field's name.
macro_rules! active {
    ($name:ident, $syntax:expr, $default:expr, $help:expr) => {
        $crate::options::registry::Entry::new(stringify!($name), $syntax, $default, $help)
            .field($crate::options::registry::field!($name))
    };
}
use active;

impl Entry {
    const fn new(name: &'static str, syntax: Syntax, default: &'static str, help: &'static str) -> Self {
        Self {
            name,
            syntax,
            default,
            help,
            profile: None,
            owner: Owner::Engine,
            aliases: &[],
            availability: Availability::Active,
            needs: None,
            field: None,
        }
    }

    const fn field(mut self, field: Field) -> Self {
        self.field = Some(field);
        self
    }

    const fn profile(mut self, value: &'static str) -> Self {
        self.profile = Some(value);
        self
    }

    const fn owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    const fn aliases(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Needs a feature of the crate, which this build has or not.
    const fn needs(mut self, feature: &'static str, is_on: bool, reason: &'static str) -> Self {
        self.needs = Some(feature);
        if is_on { self } else { self.ignored(reason) }
    }

    const fn ignored(mut self, reason: &'static str) -> Self {
        self.availability = Availability::Ignored(reason);
        self
    }

    const fn default_only(mut self, reason: &'static str) -> Self {
        self.availability = Availability::DefaultOnly(reason);
        self
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        self.syntax.read(self.default).unwrap_or(Value::Unset)
    }
}

impl Alias {
    const fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    const fn unit_needed(self) -> Self {
        self.reading(Reading::UnitNeeded)
    }

    const fn inverse(self) -> Self {
        self.reading(Reading::Inverse)
    }

    const fn blanks(self) -> Self {
        self.reading(Reading::Blanks)
    }
}

const fn by(origins: &'static [Origin], name: &'static str) -> Alias {
    Alias { name, origins, reading: Reading::Same }
}

const fn python(name: &'static str) -> Alias {
    by(&[Origin::Python], name)
}

const fn lcb(name: &'static str) -> Alias {
    by(&[Origin::Libcouchbase], name)
}

const fn java(name: &'static str) -> Alias {
    by(&[Origin::Java], name)
}

const fn go(name: &'static str) -> Alias {
    by(&[Origin::Go], name)
}

const fn rust(name: &'static str) -> Alias {
    by(&[Origin::Rust], name)
}

const fn rfc(name: &'static str) -> Alias {
    by(&[Origin::Rfc], name)
}

const SPAN: Syntax = Syntax::Duration { zero: false };
const SPAN_OR_OFF: Syntax = Syntax::Duration { zero: true };

const NO_SERVICE: &str = "its service is not part of this build";
const NO_SCAN: &str = "range scans are not part of this build";
const NO_POOL: &str = "HTTP requests use a connection each; there is no pool";

/// All options in the order of the specification's tables (2.3 to 2.5), then what is recognised only, with titles.
pub fn sections() -> [(&'static str, &'static [Entry]); 4] {
    [
        ("Time-outs", timeouts::ENTRIES),
        ("Connections, topology, I/O", connections::ENTRIES),
        ("Features, compression, security, observability", features::ENTRIES),
        ("Recognised only", foreign::ENTRIES),
    ]
}

/// All options, in the order of [`sections`].
pub fn registry() -> impl Iterator<Item = &'static Entry> {
    sections().into_iter().flat_map(|(_, entries)| entries)
}

/// Names of other clients whose values are settings of one or more options (spec 2.6).
pub fn translations() -> impl Iterator<Item = &'static Translation> {
    foreign::TRANSLATIONS.iter()
}

/// Groups of names that are recognised by their prefix and have no effect.
pub fn groups() -> impl Iterator<Item = &'static Group> {
    foreign::GROUPS.iter()
}

/// What a name of a parameter stands for.
pub(super) enum Named {
    Entry(&'static Entry, Reading),
    Translation(&'static Translation),
    /// `cert_path` and `certpath`: a trust anchor, or beside a key a client certificate (OPT-11).
    CertificateOrTrust,
    /// A name of a group, with the syntax of its value.
    Group(&'static Group, Syntax),
}

/// Finds the option called `name`; exact and case-sensitive (CS-24).
pub(super) fn lookup(name: &str) -> Option<Named> {
    let Some(bare) = name.strip_prefix("com.couchbase.env.") else {
        return lookup_bare(name);
    };
    // Canonical names and those of the Java client go with its prefix, names of other clients do not (OPT-8).
    let java = |origins: &[Origin]| origins.contains(&Origin::Java);
    lookup_bare(bare).filter(|named| match named {
        Named::Entry(entry, _) => {
            entry.name == bare || entry.aliases.iter().any(|alias| alias.name == bare && java(alias.origins))
        }
        Named::Translation(translation) => java(translation.origins),
        Named::CertificateOrTrust => bare == "certpath",
        Named::Group(..) => true,
    })
}

fn lookup_bare(name: &str) -> Option<Named> {
    if matches!(name, "cert_path" | "certpath") {
        return Some(Named::CertificateOrTrust);
    }
    let entry = registry().find_map(|entry| {
        if entry.name == name {
            return Some(Named::Entry(entry, Reading::Same));
        }
        let alias = entry.aliases.iter().find(|alias| alias.name == name)?;
        Some(Named::Entry(entry, alias.reading))
    });
    entry
        .or_else(|| translations().find(|translation| translation.name == name).map(Named::Translation))
        .or_else(|| groups().find_map(|group| Some(Named::Group(group, group.syntax_of(name)?))))
}

/// The entry of a canonical name.
pub(super) fn canonical(name: &str) -> Option<&'static Entry> {
    registry().find(|entry| entry.name == name)
}

/// All names under which an option can be given, for near misses.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    registry()
        .flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().map(|alias| alias.name)))
        .chain(translations().map(|translation| translation.name))
        .chain(["cert_path", "certpath"])
}
