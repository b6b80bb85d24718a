//! HELLO: the features that a client asks for and a server grants (`kv-protocol.md` 2.7).

use std::fmt;

use super::DecodeError;
use super::read::malformed;

/// A feature's code. Unknown codes are data: servers ignore what they do not know, clients what they did not ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature(pub u16);

macro_rules! features {
    ($($name:ident = $code:literal, [$($needs:ident),*], $doc:literal;)*) => {
        impl Feature {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// Every feature that this crate knows, ascending; some of them are never asked for.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];

            /// The protocol's own name, `None` for a code outside the table.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// Features without which a server refuses a HELLO that lists this one; for SyncReplication and
            /// PreserveTtl servers do not check, but without AltRequest there is no way to use them.
            pub const fn needs(self) -> &'static [Self] {
                match self.0 {
                    $($code => &[$(Self::$needs),*],)*
                    _ => &[],
                }
            }
        }
    };
}

features! {
    DATATYPE = 0x01, [], "Obsolete; never asked for.";
    TLS = 0x02, [], "Never granted, never asked for.";
    TCP_NODELAY = 0x03, [], "Informative: servers always set it.";
    MUTATION_SEQNO = 0x04, [], "Mutation tokens in the answers to writes.";
    TCPDELAY = 0x05, [], "Unsupported; never asked for.";
    XATTR = 0x06, [], "Extended attributes.";
    XERROR = 0x07, [], "Extended statuses and the error map.";
    SELECT_BUCKET = 0x08, [], "Informative.";
    COLLECTIONS_OBSOLETE = 0x09, [], "An obsolete number; never asked for.";
    SNAPPY = 0x0a, [], "Values may be compressed in both directions.";
    JSON = 0x0b, [], "The JSON datatype bit in both directions.";
    DUPLEX = 0x0c, [], "The server may send requests of its own (FR-2).";
    CLUSTERMAP_CHANGE_NOTIFICATION = 0x0d, [DUPLEX], "Cluster maps are pushed in full.";
    UNORDERED_EXECUTION = 0x0e, [], "Answers come in any order (FR-15).";
    TRACING = 0x0f, [], "Answers tell the server duration.";
    ALT_REQUEST = 0x10, [], "Requests may carry frame infos (FR-1).";
    SYNC_REPLICATION = 0x11, [ALT_REQUEST], "Gate for durability levels.";
    COLLECTIONS = 0x12, [], "Keys carry the collection id.";
    SNAPPY_EVERYWHERE = 0x13, [], "Maps, errors and statistics may be compressed as well.";
    PRESERVE_TTL = 0x14, [ALT_REQUEST], "Gate for the preserve-TTL frame info.";
    VATTR = 0x15, [XATTR], "Virtual attributes such as `$document`.";
    POINT_IN_TIME_RECOVERY = 0x16, [], "Obsolete; never asked for.";
    SUBDOC_CREATE_AS_DELETED = 0x17, [], "Document flag 0x08.";
    SUBDOC_DOCUMENT_MACRO = 0x18, [XATTR], "Macros of the form `${$document...}`.";
    SUBDOC_REPLACE_BODY_WITH_XATTR = 0x19, [], "Opcode 0xd3 and document flag 0x10.";
    REPORT_UNIT_USAGE = 0x1a, [], "Answers tell read and write units.";
    NON_BLOCKING_THROTTLING = 0x1b, [], "Throttling answers 0x0c; not asked for by default.";
    SUBDOC_REPLICA_READ = 0x1c, [], "Gate for document flag 0x20.";
    GET_CLUSTER_CONFIG_KNOWN_VERSION = 0x1d, [], "Gate for the version in GET_CLUSTER_CONFIG.";
    DEDUPE_NOT_MY_VBUCKET_CLUSTERMAP = 0x1e, [], "NOT_MY_VBUCKET may come without a map.";
    CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF = 0x1f, [DUPLEX], "Only the version of a new map is pushed.";
    SUBDOC_MULTIPLE_XATTR_KEYS = 0x20, [], "Several attribute keys in one sub-document operation.";
    SUBDOC_BINARY_XATTR = 0x21, [], "Path flag 0x20.";
    RANGE_SCAN_INCLUDE_XATTR = 0x22, [XATTR], "Range scans with attributes.";
    SUBDOC_REPLICA_READ_ON_DELETED = 0x23, [], "Document flags 0x20 and 0x04 together.";
    GET_RANDOM_KEY_INCLUDE_XATTR = 0x24, [XATTR, JSON, SNAPPY_EVERYWHERE], "A fifth extras byte of GET_RANDOM_KEY; never asked for.";
    MUTATE_WITH_META = 0x25, [], "For cross-data-centre replication; never asked for.";
    DCP_SKIP_DELETES_IN_INITIAL_BACKFILL = 0x26, [], "For DCP; never asked for.";
}

impl Feature {
    /// The codes in a HELLO value, in the order they stand there.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for an odd length, which is fatal to the handshake (`kv-protocol.md` 1.3).
    pub fn list(value: &[u8]) -> Result<impl Iterator<Item = Self> + '_, DecodeError> {
        let (pairs, odd) = value.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(malformed("HELLO", format!("{} bytes are no list of 16-bit codes", value.len())));
        }
        Ok(pairs.iter().map(|pair| Self(u16::from_be_bytes(*pair))))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "feature 0x{:04x}", self.0),
        }
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of features with codes below 64; higher codes, which nobody has assigned, are not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FeatureSet(u64);

impl FeatureSet {
    /// The set without members.
    pub const EMPTY: Self = Self(0);

    const fn bit(feature: Feature) -> u64 {
        match 1_u64.checked_shl(feature.0 as u32) {
            Some(bit) => bit,
            None => 0,
        }
    }

    /// Whether the feature is in the set.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & Self::bit(feature) != 0
    }

    /// Adds a feature.
    pub const fn insert(&mut self, feature: Feature) {
        self.0 |= Self::bit(feature);
    }

    /// Takes a feature out.
    pub const fn remove(&mut self, feature: Feature) {
        self.0 &= !Self::bit(feature);
    }

    /// What both sets hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many features are in it.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The features, ascending.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        (0..64).map(Feature).filter(move |feature| self.contains(*feature))
    }

    /// A feature of the set and one that it needs and that is missing: not to be asked for like this (2.7).
    pub fn missing_dependency(self) -> Option<(Feature, Feature)> {
        self.iter().find_map(|feature| {
            let missing = feature.needs().iter().find(|needed| !self.contains(**needed))?;
            Some((feature, *missing))
        })
    }

    /// The value of a HELLO request or answer: 16-bit codes, ascending.
    pub fn encode(self) -> Vec<u8> {
        self.iter().flat_map(|feature| feature.0.to_be_bytes()).collect()
    }

    /// What an answer grants of the features asked for; anything else in it is ignored.
    ///
    /// # Errors
    /// As [`Feature::list`].
    pub fn granted(answer: &[u8], asked: Self) -> Result<Self, DecodeError> {
        Ok(Feature::list(answer)?.collect::<Self>().intersection(asked))
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        let mut set = Self::EMPTY;
        for feature in features {
            set.insert(feature);
        }
        set
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_listed_ascending_and_read_back() {
        let asked: FeatureSet =
            [Feature::COLLECTIONS, Feature::XERROR, Feature(0x4444)].into_iter().collect();
        assert_eq!(asked.encode(), [0x00, 0x07, 0x00, 0x12], "a code above 63 is not kept");
        assert_eq!(FeatureSet::granted(&asked.encode(), asked), Ok(asked));
        assert_eq!(asked.len(), 2);
        assert!(Feature::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_answer_of_odd_length_is_malformed() {
        assert!(FeatureSet::granted(&[0, 7, 0], FeatureSet(u64::MAX)).is_err());
    }

    #[test]
    fn unasked_features_are_ignored() {
        let asked: FeatureSet = [Feature::XERROR].into_iter().collect();
        let granted = FeatureSet::granted(&[0x00, 0x07, 0x00, 0x12, 0xff, 0xff], asked);
        assert_eq!(granted, Ok(asked));
    }

    #[test]
    fn a_missing_dependency_is_named() {
        let mut set: FeatureSet = [Feature::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF].into_iter().collect();
        let missing = (Feature::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF, Feature::DUPLEX);
        assert_eq!(set.missing_dependency(), Some(missing));
        set.insert(Feature::DUPLEX);
        assert_eq!(set.missing_dependency(), None);
    }
}
