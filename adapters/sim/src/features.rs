//! HELLO: which features exist, which depend on which (`kv-protocol.md` 2.7).

/// A set of HELLO features by code; codes above 63 do not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u64);

macro_rules! features {
    ($($name:ident = $code:literal;)*) => {
        impl Features {
            $(#[doc = concat!("Code of `", stringify!($name), "`.")] pub const $name: u16 = $code;)*
        }
    };
}

features! {
    TCP_NODELAY = 0x03;
    MUTATION_SEQNO = 0x04;
    XATTR = 0x06;
    XERROR = 0x07;
    SELECT_BUCKET = 0x08;
    SNAPPY = 0x0a;
    JSON = 0x0b;
    DUPLEX = 0x0c;
    CLUSTERMAP_CHANGE_NOTIFICATION = 0x0d;
    UNORDERED_EXECUTION = 0x0e;
    TRACING = 0x0f;
    ALT_REQUEST = 0x10;
    SYNC_REPLICATION = 0x11;
    COLLECTIONS = 0x12;
    SNAPPY_EVERYWHERE = 0x13;
    PRESERVE_TTL = 0x14;
    VATTR = 0x15;
    SUBDOC_DOCUMENT_MACRO = 0x18;
    GET_CLUSTER_CONFIG_KNOWN_VERSION = 0x1d;
    DEDUPE_NOT_MY_VBUCKET = 0x1e;
    CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF = 0x1f;
    RANGE_SCAN_INCLUDE_XATTR = 0x22;
}

impl Features {
    /// No feature at all.
    pub const NONE: Self = Self(0);

    /// What the simulated server can do. Features whose operations it lacks (sub-documents, xattrs, range scans)
    /// are never granted.
    pub const SUPPORTED: Self = Self::of(&[
        Self::TCP_NODELAY,
        Self::MUTATION_SEQNO,
        Self::XERROR,
        Self::SELECT_BUCKET,
        Self::SNAPPY,
        Self::JSON,
        Self::DUPLEX,
        Self::CLUSTERMAP_CHANGE_NOTIFICATION,
        Self::UNORDERED_EXECUTION,
        Self::TRACING,
        Self::ALT_REQUEST,
        Self::SYNC_REPLICATION,
        Self::COLLECTIONS,
        Self::SNAPPY_EVERYWHERE,
        Self::PRESERVE_TTL,
        Self::GET_CLUSTER_CONFIG_KNOWN_VERSION,
        Self::DEDUPE_NOT_MY_VBUCKET,
        Self::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF,
    ]);

    /// A set from its codes.
    pub const fn of(codes: &[u16]) -> Self {
        let mut set = Self::NONE;
        let mut rest = codes;
        while let [code, tail @ ..] = rest {
            set = set.with(*code);
            rest = tail;
        }
        set
    }

    /// Whether a code is in the set.
    pub const fn has(self, code: u16) -> bool {
        code < 64 && self.0 & (1 << code) != 0
    }

    /// The set with one more code; codes above 63 are ignored.
    #[must_use]
    pub const fn with(self, code: u16) -> Self {
        if code < 64 { Self(self.0 | (1 << code)) } else { self }
    }

    /// The set without a code.
    #[must_use]
    pub const fn without(self, code: u16) -> Self {
        if code < 64 { Self(self.0 & !(1 << code)) } else { self }
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The codes, ascending.
    pub fn codes(self) -> impl Iterator<Item = u16> {
        (0..64).filter(move |code| self.has(*code))
    }

    /// The grant for what a client asked, or what it lacks a dependency for: then the whole HELLO fails.
    ///
    /// # Errors
    /// A text naming the feature and the one that it needs.
    pub(crate) fn negotiate(asked: Self, offered: Self) -> Result<Self, String> {
        const NEEDS: [(u16, u16); 5] = [
            (Features::CLUSTERMAP_CHANGE_NOTIFICATION, Features::DUPLEX),
            (Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF, Features::DUPLEX),
            (Features::VATTR, Features::XATTR),
            (Features::SUBDOC_DOCUMENT_MACRO, Features::XATTR),
            (Features::RANGE_SCAN_INCLUDE_XATTR, Features::XATTR),
        ];
        for (feature, needs) in NEEDS {
            if asked.has(feature) && !asked.has(needs) {
                return Err(format!("feature 0x{feature:02x} needs 0x{needs:02x}"));
            }
        }
        let mut granted = asked.and(offered);
        // A node with a dependency switched off cannot give what needs it.
        for (feature, needs) in NEEDS {
            if !granted.has(needs) {
                granted = granted.without(feature);
            }
        }
        // Asking for both forms of notification gives the brief one (`cluster-maps.md` 8.1).
        if granted.has(Self::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF) {
            granted = granted.without(Self::CLUSTERMAP_CHANGE_NOTIFICATION);
        }
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_dependency_fails_the_whole_hello() {
        let asked = Features::of(&[Features::JSON, Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF]);
        assert!(Features::negotiate(asked, Features::SUPPORTED).is_err());
        let asked = asked.with(Features::DUPLEX);
        assert_eq!(Features::negotiate(asked, Features::SUPPORTED), Ok(asked));
    }

    #[test]
    fn unknown_and_switched_off_codes_are_not_granted() {
        let asked = Features::of(&[0x02, 0x03, 0x0c, 0x1f, 0x3f, 0x1234]);
        let offered = Features::SUPPORTED.without(Features::DUPLEX);
        let granted = Features::negotiate(asked, offered).unwrap();
        assert_eq!(granted.codes().collect::<Vec<_>>(), [0x03], "brief push falls with duplex");
    }

    #[test]
    fn brief_wins_over_full() {
        let asked = Features::of(&[0x0c, 0x0d, 0x1f]);
        let granted = Features::negotiate(asked, Features::SUPPORTED).unwrap();
        assert_eq!(granted.codes().collect::<Vec<_>>(), [0x0c, 0x1f]);
    }
}
