//! From trust sources to trust anchors.

use std::collections::BTreeSet;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::certificate::CertificateFacts;
use super::facts::embedded;
use super::material::{Note, NoteLevel};
use super::{Policy, TlsError, TlsMaterial, TrustSource, capella};

/// The first byte of a certificate in DER; no PEM text that people write begins so.
const DER_SEQUENCE: u8 = 0x30;
/// What every block of a PEM text begins with; a pasted text may begin with anything (TLS-5).
const PEM_BEGIN: &[u8] = b"-----BEGIN";

/// The certificates of a PEM text as DER, up to its first damaged block, and whether there is such a block. Anything
/// around the blocks is passed over (TLS-5). For adapters that read a [`PlatformStore`](super::PlatformStore).
pub fn pem_certificates(text: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text) {
        match certificate {
            Ok(certificate) => certificates.push(certificate.to_vec()),
            Err(_) => return (certificates, true),
        }
    }
    (certificates, false)
}

/// Whom a profile trusts.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: RootCertStore,
    /// Given certificates that sign themselves: each is trusted as the server's own too (TLS-6).
    pub(super) pinned: Vec<CertificateDer<'static>>,
    /// Whether certificates were given.
    pub(super) explicit: bool,
}

/// Gathers anchors while it drops those that are there already.
struct Gathering {
    trust: Trust,
    seen: BTreeSet<[u8; 32]>,
    notes: Vec<Note>,
}

/// Reads what is to be trusted, with the log lines about it (TLS-7).
///
/// # Errors
///
/// [`TlsError::TrustSource`] if given certificates are damaged, or there are none in a text that should hold some.
pub(super) fn gather(material: &TlsMaterial, policy: &Policy) -> Result<(Trust, Vec<Note>), TlsError> {
    let trust = Trust { roots: RootCertStore::empty(), pinned: Vec::new(), explicit: false };
    let mut gathering = Gathering { trust, seen: BTreeSet::new(), notes: Vec::new() };
    let sources = if material.trust.is_empty() { &[TrustSource::Default] } else { &*material.trust };
    for source in sources {
        match source {
            TrustSource::Default => {
                gathering.note(
                    NoteLevel::Debug,
                    "using the default trust: the platform's store, Capella's root and Mozilla's roots",
                );
                gathering.platform(material);
                gathering.capella();
                gathering.mozilla(policy);
            }
            TrustSource::Capella => gathering.capella(),
            TrustSource::Platform => gathering.platform(material),
            TrustSource::Mozilla => gathering.mozilla(policy),
            TrustSource::Pem { origin, text } => gathering.given(origin, text)?,
        }
    }
    let Gathering { trust, mut notes, .. } = gathering;
    let known = if policy.capella { 0 } else { capella_share(sources) };
    if !trust.explicit && trust.roots.len() <= known {
        let text = "no trust anchor was found for this cluster: neither the platform's store nor Mozilla's roots have any; \
                    give its CA certificate by `trust_certificate`";
        notes.push(Note { level: NoteLevel::Warn, text: text.to_owned() });
    }
    Ok((trust, notes))
}

/// The anchors of `sources` that are good for nothing but Capella.
fn capella_share(sources: &[TrustSource]) -> usize {
    usize::from(sources.iter().any(|source| matches!(source, TrustSource::Default | TrustSource::Capella)))
}

impl Gathering {
    fn note(&mut self, level: NoteLevel, text: impl Into<String>) {
        self.notes.push(Note { level, text: text.into() });
    }

    /// Adds an anchor; whether it is one.
    fn add(&mut self, der: &CertificateDer<'_>) -> bool {
        if !self.seen.insert(CertificateFacts::sha256(der)) {
            return true;
        }
        self.trust.roots.add(der.clone().into_owned()).is_ok()
    }

    fn capella(&mut self) {
        self.add(&CertificateDer::from(capella::der()));
        self.note(NoteLevel::Debug, "trusting the root certificate of Capella");
    }

    fn mozilla(&mut self, policy: &Policy) {
        if policy.disable_mozilla {
            self.note(NoteLevel::Debug, "leaving out Mozilla's roots: `disable_mozilla_ca_certificates`");
            return;
        }
        let bundle = embedded::bundle();
        for root in TLS_SERVER_ROOT_CERTS {
            self.add(root);
        }
        let text = format!(
            "loading {} CA certificates from Mozilla bundle. Update date: \"{}\", SHA256: \"{}\"",
            bundle.size, bundle.date, bundle.sha256
        );
        self.note(NoteLevel::Debug, text);
    }

    fn platform(&mut self, material: &TlsMaterial) {
        let store = &material.platform;
        for problem in &store.problems {
            self.note(NoteLevel::Warn, format!("the platform's certificate store: {problem}"));
        }
        let mut unusable = 0;
        for anchor in &store.anchors {
            unusable += usize::from(!self.add(&CertificateDer::from(anchor.as_slice())));
        }
        let none = "none";
        let text = format!(
            "trusting {} certificates of the platform's store (file {}, directory {}); {unusable} more are no trust anchors",
            store.anchors.len() - unusable,
            store.file.as_deref().unwrap_or(none),
            store.dir.as_deref().unwrap_or(none),
        );
        self.note(NoteLevel::Debug, text);
    }

    fn given(&mut self, origin: &str, text: &[u8]) -> Result<(), TlsError> {
        let fault = |reason: String| TlsError::TrustSource { path: origin.to_owned(), reason };
        let is_pem = text.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
        let certificates = if !is_pem && text.first() == Some(&DER_SEQUENCE) {
            vec![CertificateDer::from(text)]
        } else {
            CertificateDer::pem_slice_iter(text)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| fault(format!("its PEM text is damaged ({error})")))?
        };
        if certificates.is_empty() {
            return Err(fault("there is no `CERTIFICATE` block in it".to_owned()));
        }
        for (at, certificate) in certificates.iter().enumerate() {
            let facts = CertificateFacts::read(certificate).filter(|_| self.add(certificate));
            let Some(facts) = facts else {
                let reason = format!(
                    "certificate {} of {} is damaged or no X.509 certificate",
                    at + 1,
                    certificates.len()
                );
                return Err(fault(reason));
            };
            if facts.self_issued {
                self.trust.pinned.push(certificate.clone().into_owned());
            }
        }
        self.trust.explicit = true;
        self.note(NoteLevel::Debug, format!("trusting {} certificates of {origin}", certificates.len()));
        Ok(())
    }
}
