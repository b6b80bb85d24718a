//! Capella: its root certificate and its host names (section 3.3).

use base64ct::{Base64, Encoding as _};

use super::certificate::{CertificateFacts, hex};

/// The root that signs every Capella cluster, as PEM.
pub const CAPELLA_PEM: &str = include_str!("capella.pem");

const DOMAIN: &str = "cloud.couchbase.com";

/// Facts about the embedded root of Capella (TLS-8, META-1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapellaRoot {
    /// SHA-256 of its DER, in lower-case hexadecimal.
    pub sha256: String,
    /// Seconds since 1970 of its first valid second.
    pub not_before: i64,
    /// Seconds since 1970 of its last valid second; [`utc`](super::utc) has it in words.
    pub not_after: i64,
}

/// The facts of [`CAPELLA_PEM`], read from it.
pub fn capella_root() -> CapellaRoot {
    let der = der();
    let facts = CertificateFacts::read(&der);
    CapellaRoot {
        sha256: hex(&CertificateFacts::sha256(&der)),
        not_before: facts.as_ref().map_or(0, |facts| facts.not_before),
        not_after: facts.as_ref().map_or(0, |facts| facts.not_after),
    }
}

/// The root as DER.
pub(super) fn der() -> Vec<u8> {
    let text: String = CAPELLA_PEM.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    Base64::decode_vec(&text).unwrap_or_default()
}

/// Whether a host is one of Capella's: `cloud.couchbase.com` or below it, in any case, one trailing dot aside (TLS-9).
pub fn is_capella_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
    let Some(split) = host.len().checked_sub(DOMAIN.len()) else { return false };
    let (below, domain) = host.split_at(split);
    // A label stands before the dot: the empty one would be no name at all.
    let at_boundary =
        below.is_empty() || (below.len() > 1 && below.ends_with(b".") && !below.ends_with(b".."));
    domain.eq_ignore_ascii_case(DOMAIN.as_bytes()) && at_boundary
}
