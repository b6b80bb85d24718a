//! What a profile is built from, as plain values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

/// Where trust anchors come from. Several add up; none at all means [`TrustSource::Default`] (section 3.2).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustSource {
    /// Platform, Capella and Mozilla, the last unless [`Policy::disable_mozilla`] is set.
    Default,
    /// The root that signs every Capella cluster.
    Capella,
    /// What the adapter read of the platform's store ([`TlsMaterial::platform`]).
    Platform,
    /// The roots of Mozilla, nothing if [`Policy::disable_mozilla`] is set.
    Mozilla,
    /// Certificates that were given: PEM with any text around its blocks (TLS-5), or one certificate as DER. One that
    /// signs itself is also trusted as the server's own certificate (TLS-6).
    Pem {
        /// Where they are from, for messages: a path, or a word such as `trust_certificate`.
        origin: String,
        /// The bytes.
        text: Vec<u8>,
    },
}

impl TrustSource {
    /// Certificates from `text`, named `origin` in messages.
    pub fn pem(origin: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self::Pem { origin: origin.into(), text: text.into() }
    }
}

impl fmt::Debug for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Capella => f.write_str("Capella"),
            Self::Platform => f.write_str("Platform"),
            Self::Mozilla => f.write_str("Mozilla"),
            // Somebody may hand in the wrong text, a key for instance (AUTH-9).
            Self::Pem { origin, text } => write!(f, "Pem({origin}, {} bytes)", text.len()),
        }
    }
}

/// The platform's store as an adapter read it (TLS-4). The default is an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformStore {
    /// Certificates as DER. Those that are no trust anchors are left out with a note.
    pub anchors: Vec<Vec<u8>>,
    /// The bundle they were read from, if there is one.
    pub file: Option<String>,
    /// The directories they were read from, as `SSL_CERT_DIR` has them.
    pub dir: Option<String>,
    /// What could not be read; each becomes a warning.
    pub problems: Vec<String>,
}

/// A client certificate and its key (AUTH-6). Cheap to clone; the key is wiped with the last clone (AUTH-9).
#[derive(Clone)]
pub struct Identity(Arc<Files>);

struct Files {
    chain: Vec<u8>,
    #[cfg_attr(
        not(any(feature = "tls", feature = "tls-aws-lc-rs")),
        expect(dead_code, reason = "without TLS a key is only held")
    )]
    key: Zeroizing<Vec<u8>>,
    origin: String,
}

impl Identity {
    /// `chain`: PEM, the client's certificate first, then those that lead to its CA. `key`: PEM as PKCS#8, PKCS#1 or SEC1,
    /// not encrypted. Both may be the same text. `origin` names them in messages, such as the two paths.
    ///
    /// Nothing is read here: [`TlsProfile::build`](super::TlsProfile::build) refuses what does not fit.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>, origin: impl Into<String>) -> Self {
        Self(Arc::new(Files { chain: chain.into(), key: Zeroizing::new(key.into()), origin: origin.into() }))
    }

    /// What it is called in messages.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub(super) fn chain(&self) -> &[u8] {
        &self.0.chain
    }

    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    pub(super) fn key(&self) -> &[u8] {
        &self.0.key
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Files { chain, key: _, origin } = &*self.0;
        f.debug_struct("Identity")
            .field("origin", origin)
            .field("chain_bytes", &chain.len())
            .finish_non_exhaustive()
    }
}

/// Everything that adapters hand in.
#[derive(Debug, Clone, Default)]
pub struct TlsMaterial {
    /// Whom to trust; empty: [`TrustSource::Default`].
    pub trust: Vec<TrustSource>,
    /// The platform's store, for [`TrustSource::Default`] and [`TrustSource::Platform`].
    pub platform: PlatformStore,
    /// The client certificate, for mutual TLS.
    pub identity: Option<Identity>,
    /// The wall clock, since 1970 began. Left at 0, every certificate is [not yet valid](super::TlsFailure::NotYetValid).
    pub unix_time: Duration,
}

/// How a peer is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether chain and name are checked. `false` needs the feature `insecure` and is overridden on Capella (TLS-10, TLS-17).
    pub verify: bool,
    /// Whether the name is checked (TLS-13); the chain is in any case.
    pub verify_hostname: bool,
    /// Leaves Mozilla's roots out.
    pub disable_mozilla: bool,
    /// Whether TLS 1.3 is the least version. `None`: on Capella (TLS-10); elsewhere it is 1.2 (TLS-12).
    pub min_v1_3: Option<bool>,
    /// Whether any seed is a Capella host (TLS-9).
    pub capella: bool,
}

impl Default for Policy {
    /// Everything verified, TLS 1.2 and 1.3, not Capella.
    fn default() -> Self {
        Self { verify: true, verify_hostname: true, disable_mozilla: false, min_v1_3: None, capella: false }
    }
}

impl Policy {
    /// What holds once the rules for Capella are applied (TLS-10).
    pub fn effective(self) -> Self {
        Self {
            verify: self.verify || self.capella,
            min_v1_3: Some(self.min_v1_3.unwrap_or(self.capella)),
            ..self
        }
    }

    /// One line for the dump of the effective configuration.
    pub fn summary(&self) -> String {
        let effective = self.effective();
        let verify = match (effective.verify, effective.verify_hostname) {
            (true, true) => "chain and name",
            (true, false) => "chain, not the name",
            (false, _) => "nothing (insecure)",
        };
        let least = if effective.min_v1_3 == Some(true) { "1.3" } else { "1.2" };
        let mozilla = if effective.disable_mozilla { ", without Mozilla's roots" } else { "" };
        format!("verifies {verify}, TLS {least} or later{mozilla}")
    }
}

/// A line for the log, made while a profile is built (TLS-7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How loud.
    pub level: NoteLevel,
    /// The line. Holds no secret.
    pub text: String,
}

/// How loud a [`Note`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NoteLevel {
    /// For those who look.
    Debug,
    /// Worth a line.
    Info,
    /// Something is likely not as it was meant.
    Warn,
}

/// Whom a session speaks to, known once the handshake is done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The suite by its IANA name.
    pub cipher_suite: String,
    /// Certificates as DER, the server's own first: at most 16 and 64 KiB. A resumed session has those of the first one.
    pub chain: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}
