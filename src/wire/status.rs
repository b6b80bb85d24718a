//! Response statuses (`kv-protocol.md` 3.2).

use std::fmt;

/// The status of an answer. An unknown status is data: the error map of the connection says more (EM-1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

macro_rules! statuses {
    ($($name:ident = $code:literal;)*) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($name), "`.")] pub const $name: Self = Self($code);)*

            /// Every status that this crate knows, ascending.
            pub const KNOWN: &'static [Self] = &[$(Self::$name),*];

            /// The protocol's own name, `None` for a code outside the table.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x00;
    KEY_ENOENT = 0x01;
    KEY_EEXISTS = 0x02;
    E2BIG = 0x03;
    EINVAL = 0x04;
    NOT_STORED = 0x05;
    DELTA_BADVAL = 0x06;
    NOT_MY_VBUCKET = 0x07;
    NO_BUCKET = 0x08;
    LOCKED = 0x09;
    DCP_STREAM_NOT_FOUND = 0x0a;
    OPAQUE_NO_MATCH = 0x0b;
    EWOULD_THROTTLE = 0x0c;
    ECONFIG_ONLY = 0x0d;
    NOT_LOCKED = 0x0e;
    CAS_VALUE_INVALID = 0x0f;
    AUTH_STALE = 0x1f;
    AUTH_ERROR = 0x20;
    AUTH_CONTINUE = 0x21;
    ERANGE = 0x22;
    ROLLBACK = 0x23;
    EACCESS = 0x24;
    NOT_INITIALIZED = 0x25;
    ENCRYPTION_KEY_NOT_AVAILABLE = 0x26;
    CHECKSUM_MISMATCH = 0x27;
    EXPIRY_OVERFLOW = 0x28;
    LOCK_EXPIRY_OVERFLOW = 0x29;
    RATE_LIMITED_NETWORK_INGRESS = 0x30;
    RATE_LIMITED_NETWORK_EGRESS = 0x31;
    RATE_LIMITED_MAX_CONNECTIONS = 0x32;
    RATE_LIMITED_MAX_COMMANDS = 0x33;
    SCOPE_SIZE_LIMIT_EXCEEDED = 0x34;
    BUCKET_SIZE_LIMIT_EXCEEDED = 0x35;
    BUCKET_RESIDENT_RATIO_TOO_LOW = 0x36;
    BUCKET_DATA_SIZE_TOO_BIG = 0x37;
    BUCKET_DISK_SPACE_TOO_LOW = 0x38;
    BUCKET_PAUSED = 0x50;
    CANCELLED = 0x51;
    UNKNOWN_FRAME_INFO = 0x80;
    UNKNOWN_COMMAND = 0x81;
    ENOMEM = 0x82;
    NOT_SUPPORTED = 0x83;
    EINTERNAL = 0x84;
    EBUSY = 0x85;
    ETMPFAIL = 0x86;
    XATTR_EINVAL = 0x87;
    UNKNOWN_COLLECTION = 0x88;
    NO_COLLECTIONS_MANIFEST = 0x89;
    CANNOT_APPLY_COLLECTIONS_MANIFEST = 0x8a;
    UNKNOWN_SCOPE = 0x8c;
    DCP_STREAM_ID_INVALID = 0x8d;
    DURABILITY_INVALID_LEVEL = 0xa0;
    DURABILITY_IMPOSSIBLE = 0xa1;
    SYNC_WRITE_IN_PROGRESS = 0xa2;
    SYNC_WRITE_AMBIGUOUS = 0xa3;
    SYNC_WRITE_RECOMMIT_IN_PROGRESS = 0xa4;
    RANGE_SCAN_CANCELLED = 0xa5;
    RANGE_SCAN_MORE = 0xa6;
    RANGE_SCAN_COMPLETE = 0xa7;
    VB_UUID_NOT_EQUAL = 0xa8;
    SUBDOC_PATH_ENOENT = 0xc0;
    SUBDOC_PATH_MISMATCH = 0xc1;
    SUBDOC_PATH_EINVAL = 0xc2;
    SUBDOC_PATH_E2BIG = 0xc3;
    SUBDOC_DOC_E2DEEP = 0xc4;
    SUBDOC_VALUE_CANTINSERT = 0xc5;
    SUBDOC_DOC_NOTJSON = 0xc6;
    SUBDOC_NUM_ERANGE = 0xc7;
    SUBDOC_DELTA_EINVAL = 0xc8;
    SUBDOC_PATH_EEXISTS = 0xc9;
    SUBDOC_VALUE_ETOODEEP = 0xca;
    SUBDOC_INVALID_COMBO = 0xcb;
    SUBDOC_MULTI_PATH_FAILURE = 0xcc;
    SUBDOC_SUCCESS_DELETED = 0xcd;
    SUBDOC_XATTR_INVALID_FLAG_COMBO = 0xce;
    SUBDOC_XATTR_INVALID_KEY_COMBO = 0xcf;
    SUBDOC_XATTR_UNKNOWN_MACRO = 0xd0;
    SUBDOC_XATTR_UNKNOWN_VATTR = 0xd1;
    SUBDOC_XATTR_CANT_MODIFY_VATTR = 0xd2;
    SUBDOC_MULTI_PATH_FAILURE_DELETED = 0xd3;
    SUBDOC_INVALID_XATTR_ORDER = 0xd4;
    SUBDOC_XATTR_UNKNOWN_VATTR_MACRO = 0xd5;
    SUBDOC_CAN_ONLY_REVIVE_DELETED_DOCUMENTS = 0xd6;
    SUBDOC_DELETED_DOCUMENT_CANT_HAVE_VALUE = 0xd7;
    SUBDOC_FIELD_NOT_BINARY_VALUE = 0xd8;
}

impl Status {
    /// Whether this crate knows the code: known codes never consult the error map (ST-2).
    pub const fn is_known(self) -> bool {
        self.name().is_some()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:02x})", self.0),
            None => write!(f, "status 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_2_known_and_unknown_codes() {
        assert_eq!(Status::KEY_ENOENT.to_string(), "KEY_ENOENT (0x01)");
        assert_eq!(Status(0x133).to_string(), "status 0x133");
        assert!(Status::BUCKET_PAUSED.is_known() && !Status(0xff01).is_known());
        assert!(Status::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
