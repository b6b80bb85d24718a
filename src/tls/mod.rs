//! TLS as bytes in, bytes out (`connecting.md` 3.1 to 3.4).
//!
//! A [`TlsProfile`] is what all connections of a cluster share: trust, client identity, versions, the rule for names and
//! the sessions to resume. A [`TlsSession`] is one connection: the engine puts it between a socket and what speaks over
//! it. Nothing here reads a clock, a file or the environment (TLS-2): adapters hand in a [`TlsMaterial`].
//!
//! Trust, identity, errors and facts are plain values and are there in every build. Without the feature `tls` or
//! `tls-aws-lc-rs`, [`TlsProfile::build`] answers [`TlsError::FeatureNotAvailable`] (TLS-1) and nobody can hold a session.

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
mod absent;
mod calendar;
mod capella;
mod certificate;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod classify;
mod error;
mod facts;
mod material;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod profile;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod session;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod trust;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod verifier;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod window;

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
pub use absent::{TlsProfile, TlsSession, pem_certificates};
pub use calendar::utc;
pub use capella::{CAPELLA_PEM, CapellaRoot, capella_root, is_capella_host};
pub use certificate::CertificateFacts;
pub use error::{IdentityFault, PlainBytes, TlsError, TlsFailure};
pub use facts::{Backend, Bundle, backend, insecure_available, mozilla_bundle};
pub use material::{Identity, Note, NoteLevel, PeerInfo, PlatformStore, Policy, TlsMaterial, TrustSource};
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub use profile::TlsProfile;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub use session::TlsSession;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub use trust::pem_certificates;
