//! Why a profile cannot be built, and why a handshake fails (TLS-19).

use super::calendar::Utc;

/// Why a profile cannot be built; an error of configuration, found before anything is dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Certificates that were given to be trusted cannot be (section 3.2).
    #[error("the trust certificates of {path} cannot be used: {reason}")]
    TrustSource {
        /// The path, or what [`TrustSource::Pem`](super::TrustSource::Pem) calls its origin.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The client certificate or its key cannot be used (AUTH-6).
    #[error("the client certificate of {origin} cannot be used: {fault}")]
    Identity {
        /// What [`Identity::from_pem`](super::Identity::from_pem) was told.
        origin: String,
        /// What is wrong.
        fault: IdentityFault,
    },
    /// This build lacks a feature: `tls` (TLS-1) or `insecure` (TLS-17).
    #[error("the feature `{0}` is not available in this build: enable it in the dependency on settee")]
    FeatureNotAvailable(&'static str),
    /// The cryptographic back end refused the configuration.
    #[error("TLS cannot be set up: {0}")]
    Backend(String),
}

/// What is wrong with a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFault {
    /// A file cannot be read; the reason.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The chain holds no certificate.
    #[error("there is no `CERTIFICATE` block in it")]
    NoCertificate,
    /// The chain holds a block that is no certificate.
    #[error("one of its certificates is damaged")]
    DamagedCertificate,
    /// The key's text holds no private key.
    #[error("there is no `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY` block in the key")]
    NoKey,
    /// The key is behind a passphrase.
    #[error("the key is encrypted: write it without a passphrase, for example by `openssl pkey`")]
    EncryptedKey,
    /// The key is damaged or of a kind that the back end does not know.
    #[error("the key is damaged or neither RSA, ECDSA nor Ed25519")]
    UnusableKey,
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    KeyMismatch,
}

/// Why a session failed, classified (TLS-19). The text says what, where and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFailure {
    /// No trust anchor leads to the certificate.
    #[error("{host} presented a certificate of the issuer `{issuer}`, which is not trusted: {advice}")]
    UnknownIssuer {
        /// The host as dialled.
        host: String,
        /// The issuer of the server's certificate; empty if it cannot be read.
        issuer: String,
        /// What to do, by what was trusted.
        advice: &'static str,
    },
    /// A certificate of the chain is past its end.
    #[error(
        "a certificate of {host} expired at {}: renew it, or set this machine's clock, which says {}",
        Utc(*.not_after),
        Utc(*.now)
    )]
    Expired {
        /// The host as dialled.
        host: String,
        /// Its end, in seconds since 1970.
        not_after: i64,
        /// The time it was held against.
        now: i64,
    },
    /// A certificate of the chain is of the future.
    #[error(
        "a certificate of {host} is not valid before {}: set this machine's clock, which says {}, or wait",
        Utc(*.not_before),
        Utc(*.now)
    )]
    NotYetValid {
        /// The host as dialled.
        host: String,
        /// Its begin, in seconds since 1970.
        not_before: i64,
        /// The time it was held against.
        now: i64,
    },
    /// The certificate is for other names (TLS-14, TLS-16, TLS-18).
    #[error("the certificate presented by {expected} is for {}: {}", Names(.presented), name_advice(.expected, .presented))]
    NameMismatch {
        /// The host as dialled.
        expected: String,
        /// The subject alternative names of the certificate, at most 64.
        presented: Vec<String>,
    },
    /// A signature of the chain or of the handshake is wrong.
    #[error(
        "a signature of {host} is wrong: it was not made with the key of the trusted certificate of that name; if the \
         cluster's CA was replaced, give the new one by `trust_certificate`"
    )]
    BadSignature {
        /// The host as dialled.
        host: String,
    },
    /// The peer ended the session by an alert.
    #[error("{host} ended the TLS session by the alert `{alert}`: {}", alert_advice(.alert))]
    HandshakeRejected {
        /// The host as dialled.
        host: String,
        /// The alert by its name in RFC 8446, such as `certificate_required`.
        alert: String,
    },
    /// The peer does not speak TLS there.
    #[error("{host} does not speak TLS on this port: it sent {seen}")]
    NotTls {
        /// The host as dialled.
        host: String,
        /// What came.
        seen: PlainBytes,
    },
    /// The connection ended where TLS had more to say.
    #[error(
        "the connection to {host} ended {}: check the port and the encryption level of the cluster",
        if *.handshaking { "during the TLS handshake" } else { "without the end of the TLS session" }
    )]
    Io {
        /// The host as dialled.
        host: String,
        /// Whether the handshake was not done yet.
        handshaking: bool,
    },
    /// Anything else that breaks the protocol or its rules.
    #[error("TLS with {host} failed: {text}")]
    Other {
        /// The host as dialled.
        host: String,
        /// What happened.
        text: String,
    },
}

/// What a peer sends that does not speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlainBytes {
    /// The begin of an HTTP answer.
    #[error("a plain HTTP answer; services speak plain HTTP on ports 8091 to 8097, TLS on 18091 to 18097")]
    Http,
    /// The begin of a key-value frame.
    #[error("a plain key-value frame; the data service is plain on port 11210, with TLS on port 11207")]
    KeyValue,
    /// Something else; the first bytes in hexadecimal.
    #[error("bytes that are no TLS record, {0}; check the port, and what stands between")]
    Unknown(String),
}

struct Names<'a>(&'a [String]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name at all");
        }
        for (at, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn name_advice(expected: &str, presented: &[String]) -> String {
    if expected.eq_ignore_ascii_case("localhost") {
        return "connect to 127.0.0.1, the name that a node on this machine has in its own certificate"
            .to_owned();
    }
    match presented.first() {
        Some(name) => format!(
            "connect by such a name (`{name}`), or have `{expected}` added to the certificate's subject alternative names"
        ),
        None => format!("have `{expected}` added to the certificate's subject alternative names"),
    }
}

fn alert_advice(alert: &str) -> &'static str {
    match alert {
        "certificate_required" => {
            "the cluster demands a client certificate; give one by `certificate_path` and `key_path`"
        }
        "bad_certificate"
        | "certificate_unknown"
        | "unknown_ca"
        | "unsupported_certificate"
        | "access_denied" => {
            "the cluster does not accept the client certificate, or demands one; check that its CA is among the cluster's trusted CAs"
        }
        "certificate_expired" | "certificate_revoked" => {
            "the cluster no longer accepts the client certificate; renew it"
        }
        "protocol_version" => {
            "the cluster speaks none of the offered TLS versions; check its least TLS version and `tls_disable_v1_2`"
        }
        "handshake_failure" => {
            "there is no common cipher suite or signature, or the cluster demands a client certificate"
        }
        "unrecognized_name" => {
            "the cluster, or a proxy before it, does not know this name; check the connection string"
        }
        _ => "check the port and the encryption level of the cluster",
    }
}
