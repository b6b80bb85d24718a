//! Which release the cluster poses as: what HELLO grants, what maps hold, what is not there yet.

use crate::features::Features;
use crate::sasl::Mechanism;

/// A release of the server, and with it everything that a client can see of its age. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Posture {
    /// 5.0: no tracing, no pushes, no unordered execution, no map without a bucket.
    V5_0,
    /// 6.0: pushes of full maps, no map without a bucket, no durability.
    V6_0,
    /// 6.6: maps without a bucket, alternate addresses, durability; no collections, no epoch.
    V6_6,
    /// 7.2: collections and epochs; no known versions, no brief pushes, no empty not-my-vbucket answers.
    V7_2,
    /// 7.6: all of these, server groups.
    #[default]
    V7_6,
    /// 8.0 and 8.1: identities of nodes in maps, tokens.
    V8_0,
}

impl Posture {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] = [Self::V5_0, Self::V6_0, Self::V6_6, Self::V7_2, Self::V7_6, Self::V8_0];

    /// Its number, as in `7.6`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5_0 => "5.0",
            Self::V6_0 => "6.0",
            Self::V6_6 => "6.6",
            Self::V7_2 => "7.2",
            Self::V7_6 => "7.6",
            Self::V8_0 => "8.0",
        }
    }

    /// The posture with this [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|posture| posture.name() == name)
    }

    /// What HELLO grants: what the simulated server can do, as far as this release had it
    /// (`kv-protocol.md` 2.7, `cluster-maps.md` 8.1).
    pub fn features(self) -> Features {
        let since = |posture: Self, codes: &[u16], set: Features| {
            if self >= posture { codes.iter().fold(set, |set, code| set.with(*code)) } else { set }
        };
        let set = Features::of(&[
            Features::TCP_NODELAY,
            Features::MUTATION_SEQNO,
            Features::XERROR,
            Features::SELECT_BUCKET,
            Features::JSON,
        ]);
        let pushes = [
            Features::SNAPPY,
            Features::DUPLEX,
            Features::CLUSTERMAP_CHANGE_NOTIFICATION,
            Features::UNORDERED_EXECUTION,
            Features::TRACING,
        ];
        let set = since(Self::V6_0, &pushes, set);
        let set = since(Self::V6_6, &[Features::ALT_REQUEST, Features::SYNC_REPLICATION], set);
        let collections = [Features::COLLECTIONS, Features::SNAPPY_EVERYWHERE, Features::PRESERVE_TTL];
        let set = since(Self::V7_2, &collections, set);
        let versions = [
            Features::GET_CLUSTER_CONFIG_KNOWN_VERSION,
            Features::DEDUPE_NOT_MY_VBUCKET,
            Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF,
        ];
        since(Self::V7_6, &versions, set)
    }

    /// SASL mechanisms offered. Tokens came with 8.1 (AUTH-8).
    pub const fn mechanisms(self) -> &'static [Mechanism] {
        match self {
            Self::V8_0 => &Mechanism::ALL,
            _ => &Mechanism::PASSWORD,
        }
    }

    /// What VERSION answers.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V5_0 => "5.0.1-simulated",
            Self::V6_0 => "6.0.5-simulated",
            Self::V6_6 => "6.6.5-simulated",
            Self::V7_2 => "7.2.4-simulated",
            Self::V7_6 => "7.6.4-simulated",
            Self::V8_0 => "8.1.0-simulated",
        }
    }

    /// `revEpoch` of a cluster that nothing has happened to; 7.0 began to count.
    pub fn epoch(self) -> Option<i64> {
        (self >= Self::V7_2).then_some(1)
    }

    /// The newest form of the error map.
    pub(crate) fn error_map_version(self) -> u16 {
        if self >= Self::V7_2 { 2 } else { 1 }
    }

    /// Whether there is a map of the cluster without a bucket (`connecting.md` 4.4).
    pub(crate) fn has_cluster_config(self) -> bool {
        self >= Self::V6_6
    }

    /// What maps say that buckets can do (`cluster-maps.md` 3.6).
    pub(crate) fn bucket_capabilities(self) -> Vec<&'static str> {
        const SINCE: [(Posture, &[&str]); 5] = [
            (
                Posture::V5_0,
                &["couchapi", "dcp", "cbhello", "touch", "cccp", "xdcrCheckpointing", "nodesExt", "xattr"],
            ),
            (Posture::V6_6, &["durableWrite", "tombstonedUserXAttrs"]),
            (
                Posture::V7_2,
                &[
                    "collections",
                    "subdoc.ReplaceBodyWithXattr",
                    "subdoc.DocumentMacroSupport",
                    "subdoc.ReviveDocument",
                ],
            ),
            (
                Posture::V7_6,
                &["rangeScan", "preserveExpiry", "querySystemCollection", "mobileSystemCollection"],
            ),
            (Posture::V8_0, &["subdoc.BinaryXattr", "subdoc.AccessDeleted"]),
        ];
        SINCE
            .iter()
            .filter(|(since, _)| self >= *since)
            .flat_map(|(_, names)| names.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_posture_can_everything_that_the_simulated_server_can() {
        assert_eq!(Posture::default().features(), Features::SUPPORTED);
        assert_eq!(Posture::V8_0.features(), Features::SUPPORTED);
    }

    #[test]
    fn each_release_keeps_what_the_one_before_it_had() {
        for pair in Posture::ALL.windows(2) {
            let (older, newer) = (pair[0], pair[1]);
            assert!(older < newer);
            assert_eq!(older.features().and(newer.features()), older.features(), "{older:?}");
            assert!(newer.bucket_capabilities().starts_with(&older.bucket_capabilities()));
            assert_eq!(Posture::from_name(newer.name()), Some(newer));
        }
        assert_eq!(Posture::from_name("4.5"), None);
    }

    #[test]
    fn features_come_with_their_release() {
        for (code, since) in [
            (Features::CLUSTERMAP_CHANGE_NOTIFICATION, Posture::V6_0),
            (Features::SYNC_REPLICATION, Posture::V6_6),
            (Features::COLLECTIONS, Posture::V7_2),
            (Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF, Posture::V7_6),
            (Features::GET_CLUSTER_CONFIG_KNOWN_VERSION, Posture::V7_6),
        ] {
            for posture in Posture::ALL {
                assert_eq!(posture.features().has(code), posture >= since, "{code:#x} in {posture:?}");
            }
        }
    }
}
