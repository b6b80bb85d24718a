//! From the back end's errors to [`TlsFailure`] (TLS-19).

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::certificate::{CertificateFacts, hex};
use super::verifier::Refused;
use super::{PlainBytes, TlsFailure};

/// What is known about a session beside the error.
pub(super) struct Circumstances<'a> {
    /// The host as dialled.
    pub(super) host: &'a str,
    /// The first bytes that the peer sent.
    pub(super) first: &'a [u8],
    /// Whether certificates were given to be trusted.
    pub(super) explicit: bool,
    /// Whether the cluster is one of Capella's.
    pub(super) capella: bool,
}

/// Classifies an error, with the chain that was refused if that is what happened.
pub(super) fn classify(error: &Error, about: &Circumstances<'_>) -> (TlsFailure, Vec<Vec<u8>>) {
    let host = about.host.to_owned();
    if let Some(Refused { why, chain }) = Refused::inside(error) {
        return (refusal(why, chain, about), chain.clone());
    }
    let failure = match error {
        Error::AlertReceived(alert) => TlsFailure::HandshakeRejected { host, alert: alert_name(*alert) },
        Error::InvalidMessage(what) => match plain_bytes(about.first) {
            Some(seen) => TlsFailure::NotTls { host, seen },
            None => TlsFailure::Other { host, text: message_text(what) },
        },
        Error::PeerIncompatible(what) => TlsFailure::Other { host, text: incompatible_text(what) },
        Error::NoCertificatesPresented => {
            TlsFailure::Other { host, text: "the peer presented no certificate".to_owned() }
        }
        Error::DecryptError => TlsFailure::Other {
            host,
            text: "a record was altered on its way, or the peer lost its state".to_owned(),
        },
        error => TlsFailure::Other { host, text: error.to_string() },
    };
    (failure, Vec::new())
}

fn refusal(why: &Error, chain: &[Vec<u8>], about: &Circumstances<'_>) -> TlsFailure {
    let host = about.host.to_owned();
    let facts = || chain.first().and_then(|leaf| CertificateFacts::read(leaf));
    let Error::InvalidCertificate(why) = why else {
        return TlsFailure::Other { host, text: why.to_string() };
    };
    match why {
        CertificateError::UnknownIssuer => TlsFailure::UnknownIssuer {
            host,
            issuer: facts().map(|facts| facts.issuer).unwrap_or_default(),
            advice: advice(about),
        },
        CertificateError::ExpiredContext { time, not_after } => {
            TlsFailure::Expired { host, not_after: seconds(*not_after), now: seconds(*time) }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsFailure::NotYetValid { host, not_before: seconds(*not_before), now: seconds(*time) }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let presented = facts().map(|facts| facts.names).unwrap_or_default();
            TlsFailure::NameMismatch { expected: host, presented }
        }
        CertificateError::BadSignature => TlsFailure::BadSignature { host },
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsFailure::Other {
                host,
                text: "its certificate is not meant for servers: the extended key usage lacks `serverAuth`"
                    .to_owned(),
            }
        }
        why => TlsFailure::Other { host, text: format!("its certificate is refused: {why}") },
    }
}

fn advice(about: &Circumstances<'_>) -> &'static str {
    match (about.explicit, about.capella) {
        (true, false) => {
            "the certificates given by `trust_certificate` are the only ones trusted and do not lead to it; give the CA \
             certificate of this cluster"
        }
        (true, true) => {
            "the certificates given by `trust_certificate` replace Capella's root, which is trusted without any; leave the \
             option out"
        }
        (false, false) => {
            "give the CA certificate of the cluster by `trust_certificate` (in the web console under Security, Certificates)"
        }
        (false, true) => {
            "Capella's own root is trusted, so something stands between this machine and the cluster"
        }
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn message_text(what: &InvalidMessage) -> String {
    match what {
        InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge => {
            "the peer sent a handshake message beyond the bounds of TLS, such as a chain of too many certificates".to_owned()
        }
        what => format!("the peer sent a damaged message ({what:?})"),
    }
}

fn incompatible_text(what: &PeerIncompatible) -> String {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "the peer speaks none of the TLS versions allowed here; check `tls_disable_v1_2`".to_owned()
        }
        what => format!("there is no common ground ({what:?})"),
    }
}

/// What a peer sent, if it cannot be the begin of a TLS record.
pub(super) fn plain_bytes(first: &[u8]) -> Option<PlainBytes> {
    /// Record types of TLS, `change_cipher_spec` to `application_data`.
    const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
    /// Magic bytes of key-value frames: requests and responses, of either side, with and without frame extras.
    const KEY_VALUE: [u8; 6] = [0x80, 0x81, 0x08, 0x18, 0x82, 0x83];
    let kind = *first.first()?;
    if RECORD_TYPES.contains(&kind) && first.get(1).is_none_or(|major| *major == 3) {
        return None;
    }
    Some(if first.starts_with(b"HTTP/") || b"HTTP/".starts_with(first) {
        PlainBytes::Http
    } else if KEY_VALUE.contains(&kind) {
        PlainBytes::KeyValue
    } else {
        PlainBytes::Unknown(hex(first))
    })
}

/// The name of an alert as RFC 8446 writes it.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown_ca".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized_name".to_owned(),
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity".to_owned(),
        AlertDescription::Unknown(code) => format!("{code}"),
        alert => {
            let mut name = String::new();
            for c in format!("{alert:?}").chars() {
                if c.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(c.to_ascii_lowercase());
            }
            name
        }
    }
}
