//! The rules of `connecting.md` 3.1 to 3.4, each in a test of its name.

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod failures;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod identity;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod names;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod stream;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod support;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod trust;

use super::*;

/// What section 3.3 says of the root.
const CAPELLA_SHA256: &str = "d0937e9c934b2dab94ed7a4b91c548e79eecca992b27ab6d2620807e68657c0e";

#[test]
fn tls_8_the_capella_root_is_the_documented_one() {
    let root = capella_root();
    assert_eq!(root.sha256, CAPELLA_SHA256);
    assert_eq!(utc(root.not_before), "2019-12-06 22:12:59 UTC");
    assert_eq!(utc(root.not_after), "2029-12-06 23:12:59 UTC");
    let der = capella::der();
    assert_eq!(der.len(), 793);
    let facts = CertificateFacts::read(&der).unwrap();
    assert_eq!(
        (facts.subject.as_str(), facts.issuer.as_str()),
        ("O=Couchbase, OU=Cloud", "O=Couchbase, OU=Cloud")
    );
    assert!(facts.self_issued);
    assert_eq!(facts.names, Vec::<String>::new());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about the day on which it runs")]
fn tls_8_the_capella_root_has_two_years_left() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = capella_root().not_after - i64::try_from(now.as_secs()).unwrap();
    if left < 730 * 86_400 {
        eprintln!(
            "WARNING: the embedded root of Capella has only {} days left; look for its successor",
            left / 86_400
        );
    }
    assert!(left > 0, "the embedded root of Capella has expired");
}

#[test]
fn tls_9_capella_hosts() {
    for host in [
        "cloud.couchbase.com",
        "cb.abc123.cloud.couchbase.com",
        "CB.abc.Cloud.Couchbase.COM",
        "cb.abc.cloud.couchbase.com.",
        "cloud.couchbase.com.",
    ] {
        assert!(is_capella_host(host), "{host}");
    }
    for host in [
        "evilcloud.couchbase.com",
        "cloud.couchbase.com.evil.org",
        "cloud.couchbase.com..",
        "xcloud.couchbase.com",
        ".cloud.couchbase.com",
        "a..cloud.couchbase.com",
        "couchbase.com",
        "",
        ".",
        "é.cloud.couchbase.cöm",
    ] {
        assert!(!is_capella_host(host), "{host}");
    }
}

#[test]
fn tls_10_the_policy_in_effect_on_capella() {
    let asked = Policy { verify: false, capella: true, ..Policy::default() };
    let effective = asked.effective();
    assert!(effective.verify);
    assert_eq!(effective.min_v1_3, Some(true));
    assert_eq!(
        Policy { min_v1_3: Some(false), ..asked }.effective().min_v1_3,
        Some(false),
        "relaxed explicitly"
    );
    assert_eq!(Policy::default().effective().min_v1_3, Some(false));
    assert_eq!(asked.summary(), "verifies chain and name, TLS 1.3 or later");
}

#[test]
fn tls_17_an_insecure_policy_shows_in_its_summary() {
    let policy = Policy { verify: false, disable_mozilla: true, ..Policy::default() };
    assert_eq!(policy.summary(), "verifies nothing (insecure), TLS 1.2 or later, without Mozilla's roots");
    let policy = Policy { verify_hostname: false, min_v1_3: Some(true), ..Policy::default() };
    assert_eq!(policy.summary(), "verifies chain, not the name, TLS 1.3 or later");
}

#[test]
#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
fn tls_1_without_the_feature_no_profile_can_be_built() {
    let built = TlsProfile::build(&TlsMaterial::default(), &Policy::default());
    assert_eq!(built.err(), Some(TlsError::FeatureNotAvailable("tls")));
    assert_eq!((mozilla_bundle(), backend()), (None, None));
}

#[test]
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
fn meta_2_version_date_and_hash_of_the_mozilla_bundle_change_together() {
    use facts::embedded::{RELEASE, RELEASE_DATE, RELEASE_SHA256};

    let lock = include_str!("../../../Cargo.lock");
    assert_eq!(
        locked(lock, "webpki-root-certs"),
        RELEASE,
        "a new release: set its version, date and hash in facts.rs"
    );
    let bundle = mozilla_bundle().unwrap();
    assert_eq!(bundle.sha256, RELEASE_SHA256);
    assert_eq!(bundle.date, RELEASE_DATE);
    assert_eq!(bundle.size, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
    assert!(bundle.size > 50);
    assert_eq!(locked(lock, "rustls"), backend().unwrap().version, "a new release: set it in facts.rs");
}

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
fn locked<'a>(lock: &'a str, package: &str) -> &'a str {
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).unwrap();
    entry.split_once('"').unwrap().0
}

#[test]
fn auth_9_given_texts_are_not_shown() {
    let shown = format!("{:?}", [TrustSource::pem("ca.pem", "a key by mistake"), TrustSource::Default]);
    assert_eq!(shown, "[Pem(ca.pem, 16 bytes), Default]");
}

#[test]
fn damaged_certificates_are_no_certificates() {
    let der = capella::der();
    for len in 0..der.len() {
        assert_eq!(CertificateFacts::read(&der[..len]), None, "{len} bytes");
    }
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 0xff;
        let _ = CertificateFacts::read(&damaged);
    }
    assert_eq!(CertificateFacts::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    assert_eq!(CertificateFacts::read(&[0x30, 0x80, 0, 0]), None, "indefinite length");
}
