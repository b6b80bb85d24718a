//! What all TLS connections of a cluster share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, SupportedProtocolVersion};

use super::trust;
use super::verifier::Verifier;
use super::{Identity, IdentityFault, Note, NoteLevel, Policy, TlsError, TlsMaterial};

/// Servers whose sessions are kept for resumption.
const SESSIONS: usize = 256;

/// What all TLS connections of a cluster share: trust, client identity, versions, the rule for names, and the sessions to
/// resume (TLS-2). Cheap to clone; clones share all of it. A rotation is a new value, from [`TlsProfile::rebuild`] or
/// [`TlsProfile::with_identity`]; sessions keep the one that they were opened with (AUTH-13).
#[derive(Clone)]
pub struct TlsProfile(Arc<Shared>);

struct Shared {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    clock: Arc<Clock>,
    policy: Policy,
}

impl TlsProfile {
    /// Builds a profile, with lines for the log in their order (TLS-7).
    ///
    /// # Errors
    ///
    /// [`TlsError::TrustSource`] and [`TlsError::Identity`] for what was given and cannot be used;
    /// [`TlsError::FeatureNotAvailable`] for `tls` (TLS-1), and for `insecure` if the policy verifies nothing (TLS-17).
    pub fn build(material: &TlsMaterial, policy: &Policy) -> Result<(Self, Vec<Note>), TlsError> {
        let effective = policy.effective();
        let mut notes = Vec::new();
        let mut warn = |text: &str| notes.push(Note { level: NoteLevel::Warn, text: text.to_owned() });
        if !effective.verify {
            if !cfg!(feature = "insecure") {
                return Err(TlsError::FeatureNotAvailable("insecure"));
            }
            warn(
                "certificates are not verified: anybody between here and the cluster can read and change everything",
            );
        } else if !policy.verify {
            warn("`tls_verify=none` is refused for Capella: certificates are verified");
        }
        if effective.verify && !effective.verify_hostname {
            warn(
                "the names of certificates are not verified: any server with a trusted certificate can pose as a node",
            );
        }
        let (trust, about_trust) = trust::gather(material, &effective)?;
        notes.extend(about_trust);
        let verifier = Arc::new(Verifier {
            trust,
            algorithms: provider().signature_verification_algorithms,
            verify: effective.verify,
            names: effective.verify_hostname,
        });
        let clock = Arc::new(Clock(AtomicU64::new(material.unix_time.as_secs())));
        if let Some(identity) = &material.identity {
            let text = format!("using the client certificate of {}", identity.origin());
            notes.push(Note { level: NoteLevel::Debug, text });
        }
        let config = configure(&verifier, &clock, &effective, material.identity.as_ref())?;
        Ok((Self(Arc::new(Shared { config, verifier, clock, policy: effective })), notes))
    }

    /// A profile of the same policy with other material: rotation of trust, of the identity, or both. It resumes no
    /// session of this one.
    ///
    /// # Errors
    ///
    /// As [`TlsProfile::build`].
    pub fn rebuild(&self, material: &TlsMaterial) -> Result<(Self, Vec<Note>), TlsError> {
        Self::build(material, &self.0.policy)
    }

    /// A profile of the same trust and clock with another client certificate, or none. It resumes no session of this
    /// one, since those were opened as somebody else.
    ///
    /// # Errors
    ///
    /// [`TlsError::Identity`] if the certificate or its key cannot be used (AUTH-6).
    pub fn with_identity(&self, identity: Option<&Identity>) -> Result<Self, TlsError> {
        let Shared { verifier, clock, policy, .. } = &*self.0;
        let config = configure(verifier, clock, policy, identity)?;
        Ok(Self(Arc::new(Shared {
            config,
            verifier: verifier.clone(),
            clock: clock.clone(),
            policy: *policy,
        })))
    }

    /// Sets the wall clock that validity is held against, for all clones, since 1970 began. It does not move by itself.
    pub fn set_unix_time(&self, unix_time: Duration) {
        self.0.clock.0.store(unix_time.as_secs(), Ordering::Relaxed);
    }

    /// The policy in effect.
    pub fn policy(&self) -> Policy {
        self.0.policy
    }

    /// Whether a client certificate is presented to servers that ask for one.
    pub fn has_identity(&self) -> bool {
        self.0.config.client_auth_cert_resolver.has_certs()
    }

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.0.config
    }

    pub(super) fn explicit_trust(&self) -> bool {
        self.0.verifier.trust.explicit
    }
}

impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trust = &self.0.verifier.trust;
        f.debug_struct("TlsProfile")
            .field("policy", &self.0.policy)
            .field("anchors", &trust.roots.len())
            .field("explicit_trust", &trust.explicit)
            .finish_non_exhaustive()
    }
}

/// Seconds since 1970, as the owner of the engine says.
#[derive(Debug)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

pub(super) fn provider() -> CryptoProvider {
    #[cfg(feature = "tls-aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "tls-aws-lc-rs"))]
    rustls::crypto::ring::default_provider()
}

fn configure(
    verifier: &Arc<Verifier>,
    clock: &Arc<Clock>,
    policy: &Policy,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let versions: &[&SupportedProtocolVersion] =
        if policy.min_v1_3 == Some(true) { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let backend = |error: Error| TlsError::Backend(error.to_string());
    let builder = ClientConfig::builder_with_details(Arc::new(provider()), clock.clone())
        .with_protocol_versions(versions)
        .map_err(backend)?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let fault = |fault| TlsError::Identity { origin: identity.origin().to_owned(), fault };
            let (chain, key) = read_identity(identity).map_err(fault)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                fault(match error {
                    Error::InconsistentKeys(_) => IdentityFault::KeyMismatch,
                    Error::InvalidCertificate(_) => IdentityFault::DamagedCertificate,
                    _ => IdentityFault::UnusableKey,
                })
            })?
        }
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

fn read_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityFault> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.chain())
        .collect::<Result<_, _>>()
        .map_err(|_| IdentityFault::DamagedCertificate)?;
    if chain.is_empty() {
        return Err(IdentityFault::NoCertificate);
    }
    let missing =
        |fault| if contains(identity.key(), b"ENCRYPTED") { IdentityFault::EncryptedKey } else { fault };
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(identity.key()) {
        let (kind, der) = section.map_err(|_| missing(IdentityFault::UnusableKey))?;
        if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
            return Ok((chain, key));
        }
    }
    Err(missing(IdentityFault::NoKey))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
