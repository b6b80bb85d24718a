//! Which server certificates are accepted, and what is kept of those that are not.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::certificate::CertificateFacts;
use super::trust::Trust;

/// Certificates kept of what a peer presents.
const MAX_CHAIN: usize = 16;
/// Bytes kept of what a peer presents.
const MAX_CHAIN_BYTES: usize = 64 * 1024;

/// A refusal together with the chain that was refused. The verifier is shared by all sessions of a profile and keeps
/// nothing, so the error is the one way by which a session can learn what its peer presented. The price: the alert sent
/// to the peer is always `certificate_unknown`.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: Error,
    pub(super) chain: Vec<Vec<u8>>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    fn error<'a>(why: Error, chain: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Error {
        let refused = Self { why, chain: bounded(chain) };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }

    /// The refusal inside an error, if it came from this verifier.
    pub(super) fn inside(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref(),
            _ => None,
        }
    }
}

/// As much of a chain as is kept.
pub(super) fn bounded<'a>(chain: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> Vec<Vec<u8>> {
    let mut room = MAX_CHAIN_BYTES;
    chain
        .into_iter()
        .take(MAX_CHAIN)
        .take_while(|certificate| {
            let fits = certificate.len() <= room;
            room = room.saturating_sub(certificate.len());
            fits
        })
        .map(|certificate| certificate.to_vec())
        .collect()
}

/// The rules for server certificates.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) trust: Trust,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Off only in a build with the feature `insecure` (TLS-17).
    pub(super) verify: bool,
    /// Whether the name must match (TLS-13).
    pub(super) names: bool,
}

impl Verifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let Trust { roots, pinned, .. } = &self.trust;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        if let Err(error) = chain {
            if !pinned.contains(leaf) {
                return Err(error);
            }
            // The very certificate was given as trust. It need not be fit to issue anything, but it has to be valid.
            within_validity(leaf, now)?;
        }
        if self.names { verify_server_name(&parsed, host) } else { Ok(()) }
    }
}

fn within_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let facts = CertificateFacts::read(certificate).ok_or(CertificateError::BadEncoding)?;
    let time = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let at = |seconds: i64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    };
    if time < facts.not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: at(facts.not_before) });
    }
    if time > facts.not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after: at(facts.not_after) });
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify {
            self.check(end_entity, intermediates, server_name, now)
                .map_err(|why| Refused::error(why, std::iter::once(end_entity).chain(intermediates)))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.verify {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .map_err(|why| Refused::error(why, [cert]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.verify {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .map_err(|why| Refused::error(why, [cert]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
