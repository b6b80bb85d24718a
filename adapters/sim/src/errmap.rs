//! The error map that nodes hand out (`kv-protocol.md` 6).

use serde_json::{Map, Value, json};
use settee::wire::Status;

/// Code, description, attributes separated by blanks. Names come from the protocol's own table.
const ENTRIES: &[(Status, &str, &str)] = &[
    (Status::SUCCESS, "Success", "success"),
    (Status::KEY_ENOENT, "Not Found", "item-only"),
    (Status::KEY_EEXISTS, "key already exists, or CAS mismatch", "item-only"),
    (Status::E2BIG, "Value is too big", "item-only invalid-input"),
    (Status::EINVAL, "Invalid packet", "internal invalid-input"),
    (Status::NOT_STORED, "Not Stored", "item-only"),
    (Status::DELTA_BADVAL, "Existing document not a number", "item-only invalid-input"),
    (Status::NOT_MY_VBUCKET, "Server does not know about this vBucket", "fetch-config invalid-input"),
    (Status::NO_BUCKET, "Not connected to any bucket", "conn-state-invalidated"),
    (Status::LOCKED, "Requested resource is locked", "item-locked item-only retry-now"),
    (Status::ECONFIG_ONLY, "The bucket is configured without a data engine", "fetch-config retry-now"),
    (Status::NOT_LOCKED, "Requested resource is not locked", "item-only"),
    (Status::AUTH_STALE, "Reauthentication required", "conn-state-invalidated auth"),
    (Status::AUTH_ERROR, "Authentication failed", "conn-state-invalidated auth"),
    (Status::AUTH_CONTINUE, "Continue authentication", "special-handling"),
    (Status::ERANGE, "Invalid range requested", "invalid-input"),
    (Status::EACCESS, "No access", "support auth"),
    (Status::NOT_INITIALIZED, "Node has not been initialized", "conn-state-invalidated"),
    (Status::RATE_LIMITED_NETWORK_INGRESS, "Network input rate limit exceeded", "rate-limit"),
    (Status::RATE_LIMITED_NETWORK_EGRESS, "Network output rate limit exceeded", "rate-limit"),
    (Status::RATE_LIMITED_MAX_CONNECTIONS, "Too many connections", "rate-limit conn-state-invalidated"),
    (Status::RATE_LIMITED_MAX_COMMANDS, "Command rate limit exceeded", "rate-limit"),
    (Status::UNKNOWN_FRAME_INFO, "Unknown frame info", "support"),
    (Status::UNKNOWN_COMMAND, "Unknown command", "support"),
    (Status::ENOMEM, "No memory available to store item", "temp retry-later"),
    (Status::NOT_SUPPORTED, "Not supported", "support"),
    (Status::EINTERNAL, "Internal error", "internal special-handling conn-state-invalidated"),
    (Status::EBUSY, "Server is busy, try again later", "temp retry-later"),
    (Status::ETMPFAIL, "Temporary failure", "temp retry-later"),
    (Status::XATTR_EINVAL, "Invalid XATTR section", "invalid-input"),
    (Status::UNKNOWN_COLLECTION, "Operation specified an unknown collection", "item-only"),
    (Status::UNKNOWN_SCOPE, "Operation specified an unknown scope", "item-only"),
    (Status::DURABILITY_INVALID_LEVEL, "Invalid durability level", "invalid-input"),
    (Status::DURABILITY_IMPOSSIBLE, "Durability requirements cannot be met", "item-only"),
    (Status::SYNC_WRITE_IN_PROGRESS, "A durable write is in progress for this key", "item-only retry-later"),
    (Status::SYNC_WRITE_AMBIGUOUS, "The outcome of the durable write is unknown", "item-only"),
    (
        Status::SYNC_WRITE_RECOMMIT_IN_PROGRESS,
        "A durable write is being committed again",
        "item-only retry-later",
    ),
    (Status::RANGE_SCAN_CANCELLED, "The range scan was cancelled", "success"),
];

/// The text for a version asked for; `None` where there is none (version 0).
pub(crate) fn text(version: u16) -> Option<String> {
    // The older rendering carries a higher revision than the newer one, as real servers do (EM-2).
    let (version, revision) = match version {
        0 => return None,
        1 => (1, 13),
        _ => (2, 9),
    };
    let errors: Map<String, Value> = ENTRIES
        .iter()
        .map(|(status, desc, attrs)| {
            let attrs: Vec<&str> =
                attrs.split(' ').filter(|attr| version > 1 || *attr != "rate-limit").collect();
            let entry = json!({"name": status.name().unwrap_or(""), "desc": desc, "attrs": attrs});
            (format!("{:x}", status.0), entry)
        })
        .collect();
    Some(json!({"version": version, "revision": revision, "errors": errors}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_lower_case_hexadecimal_without_prefix() {
        let map: Value = serde_json::from_str(&text(2).unwrap()).unwrap();
        assert_eq!((&map["version"], &map["revision"]), (&json!(2), &json!(9)));
        assert_eq!(map["errors"]["1"]["name"], "KEY_ENOENT");
        assert_eq!(map["errors"]["a2"]["attrs"], json!(["item-only", "retry-later"]));
        assert_eq!(map["errors"].as_object().unwrap().len(), ENTRIES.len(), "no code twice");
    }

    #[test]
    fn version_1_lacks_the_attributes_of_version_2() {
        let map: Value = serde_json::from_str(&text(1).unwrap()).unwrap();
        assert_eq!(map["errors"]["30"]["attrs"], json!([]));
        assert_eq!(text(7), text(2), "the best version that there is");
        assert_eq!(text(0), None);
    }
}
