//! The error map: what a server says of statuses that this crate does not know (`kv-protocol.md` 6).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::malformed;
use super::{DecodeError, Status};

/// The version of the map that a client asks for.
pub const ERROR_MAP_VERSION: u16 = 2;

macro_rules! attributes {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// What an entry of the error map says of its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorAttribute {
            $(#[doc = $doc] $variant,)*
        }

        impl ErrorAttribute {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the map.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

attributes! {
    Success = "success", "The operation succeeded, in a way that this crate cannot decode.";
    ItemOnly = "item-only", "Concerns one document.";
    ItemDeleted = "item-deleted", "The document is deleted.";
    ItemLocked = "item-locked", "The document is locked.";
    InvalidInput = "invalid-input", "The request was wrong.";
    SubDoc = "subdoc", "Concerns a path within a document.";
    Internal = "internal", "The server's own fault.";
    Support = "support", "Not supported by the server or the bucket.";
    SystemConstraint = "system-constraint", "A quota or a limit of the system.";
    Temp = "temp", "Temporary.";
    RetryNow = "retry-now", "May be retried at once.";
    RetryLater = "retry-later", "May be retried after a pause.";
    AutoRetry = "auto-retry", "May be retried after the pause that the entry gives.";
    NoRetry = "no-retry", "Must not be retried; wins over the others.";
    FetchConfig = "fetch-config", "A newer cluster map is needed.";
    ConnStateInvalidated = "conn-state-invalidated", "The connection must be closed.";
    Auth = "auth", "Missing privilege or failed authentication.";
    SpecialHandling = "special-handling", "Needs knowledge that the client lacks: the connection is closed.";
    RateLimit = "rate-limit", "A rate limit was reached.";
    Dcp = "dcp", "Concerns DCP.";
}

/// A set of attributes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorAttributes(u32);

impl ErrorAttributes {
    const fn bit(attribute: ErrorAttribute) -> u32 {
        // Fewer than 32 attributes exist.
        1 << attribute as u32
    }

    /// Whether the attribute is in the set.
    pub const fn contains(self, attribute: ErrorAttribute) -> bool {
        self.0 & Self::bit(attribute) != 0
    }

    /// Whether an attribute allows a retry and none forbids it.
    pub const fn allow_retry(self) -> bool {
        (self.contains(ErrorAttribute::RetryNow)
            || self.contains(ErrorAttribute::RetryLater)
            || self.contains(ErrorAttribute::AutoRetry))
            && !self.contains(ErrorAttribute::NoRetry)
    }

    /// The attributes, in the order of [`ErrorAttribute`].
    pub fn iter(self) -> impl Iterator<Item = ErrorAttribute> {
        ErrorAttribute::ALL.iter().copied().filter(move |attribute| self.contains(*attribute))
    }
}

impl FromIterator<ErrorAttribute> for ErrorAttributes {
    fn from_iter<I: IntoIterator<Item = ErrorAttribute>>(attributes: I) -> Self {
        Self(attributes.into_iter().fold(0, |set, attribute| set | Self::bit(attribute)))
    }
}

impl std::fmt::Debug for ErrorAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How the pause between retries grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RetryStrategy {
    /// The same each time.
    Constant,
    /// In proportion to the attempts.
    Linear,
    /// By a power of the interval.
    Exponential,
}

/// Retry numbers of an entry; informational (EM-3). All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RetrySpec {
    /// How the pause grows.
    pub strategy: RetryStrategy,
    /// The pause, or its base.
    pub interval: u32,
    /// The pause before the first retry.
    #[serde(default)]
    pub after: u32,
    /// The longest pause.
    pub ceil: Option<u32>,
    /// No retries after this time; 0 means until the deadline.
    #[serde(default)]
    pub max_duration: u32,
}

/// What the map says of one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMapEntry {
    /// The status' symbolic name.
    pub name: String,
    /// A sentence for people.
    pub desc: String,
    /// Known attributes; unknown ones are ignored.
    pub attributes: ErrorAttributes,
    /// Retry numbers, where the entry has them in a readable form.
    pub retry: Option<RetrySpec>,
}

/// A server's error map. One per connection: a status is read with the map of the node that sent it (EM-1).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ErrorMap {
    version: u32,
    revision: u32,
    entries: BTreeMap<u16, ErrorMapEntry>,
}

#[derive(Deserialize)]
struct RawMap<'a> {
    version: u32,
    #[serde(default)]
    revision: u32,
    #[serde(borrow)]
    errors: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    desc: String,
    #[serde(default, borrow)]
    attrs: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    retry: Option<&'a RawValue>,
}

impl ErrorMap {
    /// Reads a map. Entries whose key is no status, or that have another form, are skipped one by one.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for what is no map at all, and for version 0: the caller goes on with an empty map
    /// (EM-4).
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        let raw: RawMap<'_> =
            serde_json::from_slice(json).map_err(|error| malformed("error map", error.to_string()))?;
        if raw.version == 0 {
            return Err(malformed("error map", "version 0"));
        }
        let entries = raw
            .errors
            .iter()
            .filter_map(|(key, entry)| Some((status_of(key)?, entry_of(entry.get())?)))
            .collect();
        Ok(Self { version: raw.version, revision: raw.revision, entries })
    }

    /// What the map says of a status.
    pub fn get(&self, status: Status) -> Option<&ErrorMapEntry> {
        self.entries.get(&status.0)
    }

    /// The format's version, 0 for the empty map.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Revision of the content within a version.
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// How many statuses are described.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no status is described.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn status_of(key: &str) -> Option<u16> {
    // `from_str_radix` would take a sign.
    key.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(key, 16).ok())?
}

fn entry_of(json: &str) -> Option<ErrorMapEntry> {
    let raw: RawEntry<'_> = serde_json::from_str(json).ok()?;
    let known = |name: &Cow<'_, str>| ErrorAttribute::ALL.iter().copied().find(|known| known.name() == name);
    Some(ErrorMapEntry {
        name: raw.name,
        desc: raw.desc,
        attributes: raw.attrs.iter().filter_map(known).collect(),
        retry: raw.retry.and_then(|retry| serde_json::from_str(retry.get()).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAP: &str = r#"{"version":2,"revision":9,"future":[],"errors":{
        "1":{"name":"KEY_ENOENT","desc":"Not Found","attrs":["item-only","unheard-of"]},
        "86":{"name":"ETMPFAIL","desc":"Try again","attrs":["temp","retry-now"],
              "retry":{"strategy":"exponential","interval":3,"after":10,"ceil":500,"max-duration":1000}},
        "133":{"name":"NEW","desc":"","attrs":["retry-later","no-retry"],"retry":{"strategy":"odd"}},
        "0x2":{"name":"bad key"}, "+3":{"name":"bad key"}, "10000":{"name":"bad key"}, "":{"name":"bad key"},
        "4":"bad entry", "5":{"attrs":"bad list"}
    }}"#;

    #[test]
    fn statuses_are_looked_up_by_their_hexadecimal_key() {
        let map = ErrorMap::parse(MAP.as_bytes()).unwrap();
        assert_eq!((map.version(), map.revision()), (2, 9));
        let temporary = map.get(Status::ETMPFAIL).unwrap();
        assert!(temporary.attributes.contains(ErrorAttribute::Temp) && temporary.attributes.allow_retry());
        let retry = temporary.retry.unwrap();
        assert_eq!((retry.strategy, retry.ceil), (RetryStrategy::Exponential, Some(500)));
        assert_eq!(map.get(Status(0x77)), None);
    }

    #[test]
    fn em_4_entries_in_another_form_are_skipped_one_by_one() {
        let map = ErrorMap::parse(MAP.as_bytes()).unwrap();
        assert_eq!(map.len(), 3);
        assert_eq!(map.get(Status(0x133)).unwrap().retry, None, "an unreadable retry object is left out");
    }

    #[test]
    fn em_4_what_is_no_map_is_an_error() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"version":0,"errors":{}}"#,
            r#"{"version":2}"#,
            r#"{"version":2,"errors":7}"#,
        ] {
            assert!(ErrorMap::parse(json.as_bytes()).is_err(), "{json}");
        }
        assert!(ErrorMap::default().is_empty());
    }

    #[test]
    fn no_retry_wins_over_retry_later() {
        let map = ErrorMap::parse(MAP.as_bytes()).unwrap();
        let entry = map.get(Status(0x133)).unwrap();
        assert!(entry.attributes.contains(ErrorAttribute::RetryLater) && !entry.attributes.allow_retry());
    }

    #[test]
    fn unknown_attributes_are_ignored() {
        let map = ErrorMap::parse(MAP.as_bytes()).unwrap();
        let entry = map.get(Status::KEY_ENOENT).unwrap();
        assert_eq!(entry.attributes.iter().collect::<Vec<_>>(), [ErrorAttribute::ItemOnly]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, at in 0..MAP.len(), byte: u8) {
            let _ = ErrorMap::parse(&bytes);
            let mut map = MAP.as_bytes().to_vec();
            map[at] = byte;
            let _ = ErrorMap::parse(&map);
        }
    }
}
