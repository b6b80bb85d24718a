//! Opcodes and their attributes (`kv-protocol.md` 2.1).

use std::fmt;

/// An operation code as it stands in byte 1 of a frame. Unknown codes are data, not errors.
///
/// The same number space is used for client requests and their answers; server-initiated requests have a space
/// of their own, [`ServerOpcode`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opcode(pub u8);

/// What the server's attribute table says of an operation (`kv-protocol.md` 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// May be sent again after it was written and no answer came (OP-1).
    pub idempotent: bool,
    /// Accepts the durability frame info.
    pub durability: bool,
    /// Accepts the preserve-TTL frame info.
    pub preserve_ttl: bool,
    /// The server may answer it out of order under UnorderedExecution; every other opcode is a barrier (FR-15).
    pub reorderable: bool,
    /// Its key carries the collection prefix when Collections is granted.
    pub collection_key: bool,
    /// Counts as writing a document.
    pub writes_document: bool,
}

macro_rules! opcodes {
    ($($name:ident = $code:literal, $letters:literal, $doc:literal;)*) => {
        impl Opcode {
            $(#[doc = $doc] pub const $name: Self = Self($code);)*

            /// Every opcode that this crate knows, ascending.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];

            /// The protocol's own name, `None` for a code outside the table.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The attributes of a known opcode; an unknown one has none: not idempotent, no frame infos.
            pub const fn attributes(self) -> Attributes {
                let letters: &str = match self.0 {
                    $($code => $letters,)*
                    _ => "",
                };
                Attributes::from_letters(letters)
            }
        }
    };
}

impl Attributes {
    const fn from_letters(letters: &str) -> Self {
        let mut attributes = Self {
            idempotent: false,
            durability: false,
            preserve_ttl: false,
            reorderable: false,
            collection_key: false,
            writes_document: false,
        };
        let mut rest = letters.as_bytes();
        while let [letter, tail @ ..] = rest {
            match letter {
                b'I' => attributes.idempotent = true,
                b'D' => attributes.durability = true,
                b'P' => attributes.preserve_ttl = true,
                b'R' => attributes.reorderable = true,
                b'C' => attributes.collection_key = true,
                b'W' => attributes.writes_document = true,
                _ => {}
            }
            rest = tail;
        }
        attributes
    }
}

opcodes! {
    GET = 0x00, "IRC", "Read a document.";
    SET = 0x01, "DPRCW", "Write a document, whatever was there (upsert); with a CAS, replace if unchanged.";
    ADD = 0x02, "DRCW", "Write a document that must not exist (insert).";
    REPLACE = 0x03, "DPRCW", "Write a document that must exist.";
    DELETE = 0x04, "DRC", "Remove a document.";
    INCREMENT = 0x05, "DPRCW", "Add to a counter.";
    DECREMENT = 0x06, "DPRCW", "Subtract from a counter; stops at 0.";
    QUIT = 0x07, "", "Ask the server to close the connection.";
    NOOP = 0x0a, "I", "Nothing; keep-alive and canary.";
    VERSION = 0x0b, "I", "The server's version text.";
    APPEND = 0x0e, "DPRCW", "Add bytes behind a document.";
    PREPEND = 0x0f, "DPRCW", "Add bytes before a document.";
    STAT = 0x10, "", "Statistics, answered by many frames.";
    VERBOSITY = 0x1b, "", "Change the log level of the server.";
    TOUCH = 0x1c, "DRCW", "Set the expiry of a document.";
    GAT = 0x1d, "DRCW", "Read a document and set its expiry.";
    HELLO = 0x1f, "", "Negotiate features.";
    SASL_LIST_MECHS = 0x20, "", "Which SASL mechanisms the server offers.";
    SASL_AUTH = 0x21, "", "Begin a SASL exchange.";
    SASL_STEP = 0x22, "", "Continue a SASL exchange.";
    GET_ALL_VB_SEQNOS = 0x48, "IR", "`GET_ALL_VB_SEQNOS`.";
    GET_EX = 0x49, "IRC", "`GET_EX`.";
    GET_EX_REPLICA = 0x4a, "IRC", "`GET_EX_REPLICA`.";
    MUTATE_WITH_META = 0x4b, "RC", "`MUTATE_WITH_META`.";
    GET_REPLICA = 0x83, "IRC", "Read a document from a replica.";
    LIST_BUCKETS = 0x87, "I", "`LIST_BUCKETS`.";
    SELECT_BUCKET = 0x89, "", "Bind the connection to a bucket.";
    OBSERVE_SEQNO = 0x91, "I", "`OBSERVE_SEQNO`.";
    OBSERVE = 0x92, "I", "`OBSERVE`.";
    EVICT_KEY = 0x93, "RC", "`EVICT_KEY`.";
    GET_LOCKED = 0x94, "RC", "Read a document and lock it.";
    UNLOCK_KEY = 0x95, "RC", "Unlock a document.";
    GET_FAILOVER_LOG = 0x96, "I", "`GET_FAILOVER_LOG`.";
    GET_META = 0xa0, "IC", "Metadata of a document; `exists`.";
    SET_WITH_META = 0xa2, "CW", "`SET_WITH_META`.";
    ADD_WITH_META = 0xa4, "CW", "`ADD_WITH_META`.";
    DEL_WITH_META = 0xa8, "C", "`DEL_WITH_META`.";
    RETURN_META = 0xb2, "CW", "`RETURN_META`.";
    GET_CLUSTER_CONFIG = 0xb5, "IR", "The cluster map.";
    GET_RANDOM_KEY = 0xb6, "", "`GET_RANDOM_KEY`.";
    SEQNO_PERSISTENCE = 0xb7, "", "`SEQNO_PERSISTENCE`.";
    GET_KEYS = 0xb8, "IC", "`GET_KEYS`.";
    COLLECTIONS_GET_MANIFEST = 0xba, "I", "The manifest of collections.";
    COLLECTIONS_GET_ID = 0xbb, "I", "The id of a collection.";
    COLLECTIONS_GET_SCOPE_ID = 0xbc, "I", "The id of a scope.";
    SUBDOC_GET = 0xc5, "IRC", "`SUBDOC_GET`.";
    SUBDOC_EXISTS = 0xc6, "IRC", "`SUBDOC_EXISTS`.";
    SUBDOC_DICT_ADD = 0xc7, "DPRCW", "`SUBDOC_DICT_ADD`.";
    SUBDOC_DICT_UPSERT = 0xc8, "DPRCW", "`SUBDOC_DICT_UPSERT`.";
    SUBDOC_DELETE = 0xc9, "DPRC", "`SUBDOC_DELETE`.";
    SUBDOC_REPLACE = 0xca, "DPRCW", "`SUBDOC_REPLACE`.";
    SUBDOC_ARRAY_PUSH_LAST = 0xcb, "DPRCW", "`SUBDOC_ARRAY_PUSH_LAST`.";
    SUBDOC_ARRAY_PUSH_FIRST = 0xcc, "DPRCW", "`SUBDOC_ARRAY_PUSH_FIRST`.";
    SUBDOC_ARRAY_INSERT = 0xcd, "DPRCW", "`SUBDOC_ARRAY_INSERT`.";
    SUBDOC_ARRAY_ADD_UNIQUE = 0xce, "DPRCW", "`SUBDOC_ARRAY_ADD_UNIQUE`.";
    SUBDOC_COUNTER = 0xcf, "DPRCW", "`SUBDOC_COUNTER`.";
    SUBDOC_MULTI_LOOKUP = 0xd0, "IRC", "Look up several paths (`lookup_in`).";
    SUBDOC_MULTI_MUTATION = 0xd1, "DPRCW", "Change several paths (`mutate_in`).";
    SUBDOC_GET_COUNT = 0xd2, "IRC", "`SUBDOC_GET_COUNT`.";
    SUBDOC_REPLACE_BODY_WITH_XATTR = 0xd3, "DPRCW", "`SUBDOC_REPLACE_BODY_WITH_XATTR`.";
    RANGE_SCAN_CREATE = 0xda, "R", "Begin a range scan of one vbucket.";
    RANGE_SCAN_CONTINUE = 0xdb, "", "Next items of a range scan.";
    RANGE_SCAN_CANCEL = 0xdc, "", "End a range scan.";
    GET_ERROR_MAP = 0xfe, "I", "What unknown statuses mean.";
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "opcode 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The opcode of a server-initiated request (magic 0x82).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerOpcode(pub u8);

impl ServerOpcode {
    /// A newer cluster map exists; the value holds it unless the brief form was negotiated.
    pub const CLUSTERMAP_CHANGE_NOTIFICATION: Self = Self(0x01);
    /// External authentication providers only.
    pub const AUTHENTICATE: Self = Self(0x02);
    /// External authentication providers only.
    pub const ACTIVE_EXTERNAL_USERS: Self = Self(0x03);
    /// External authentication providers only.
    pub const GET_AUTHORIZATION: Self = Self(0x04);

    /// The protocol's own name, `None` for a code outside the table.
    pub const fn name(self) -> Option<&'static str> {
        match self.0 {
            0x01 => Some("CLUSTERMAP_CHANGE_NOTIFICATION"),
            0x02 => Some("AUTHENTICATE"),
            0x03 => Some("ACTIVE_EXTERNAL_USERS"),
            0x04 => Some("GET_AUTHORIZATION"),
            _ => None,
        }
    }
}

impl fmt::Debug for ServerOpcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "server opcode 0x{:02x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_1_only_reads_may_be_repeated() {
        assert!(Opcode::GET.attributes().idempotent);
        assert!(Opcode::GET_META.attributes().idempotent);
        for write in [Opcode::SET, Opcode::ADD, Opcode::DELETE, Opcode::INCREMENT, Opcode::TOUCH, Opcode::GAT]
        {
            assert!(!write.attributes().idempotent, "{write}");
        }
        assert!(!Opcode(0xee).attributes().idempotent, "an unknown opcode is never repeated");
    }

    #[test]
    fn op_2_frame_infos_by_letters() {
        assert!(Opcode::SET.attributes().preserve_ttl && Opcode::SET.attributes().durability);
        assert!(!Opcode::ADD.attributes().preserve_ttl, "an insert has no expiry to preserve");
        assert!(Opcode::DELETE.attributes().durability && !Opcode::DELETE.attributes().writes_document);
        assert!(!Opcode::GET.attributes().durability);
    }

    #[test]
    fn known_opcodes_have_names_and_are_ascending() {
        assert!(Opcode::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Opcode::KNOWN.iter().all(|opcode| opcode.name().is_some()));
        assert_eq!(Opcode(0x2f).to_string(), "opcode 0x2f");
    }
}
