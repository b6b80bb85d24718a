//! How sessions fail, and what is said then: TLS-19, and peers that mean no good.

use std::sync::Arc;

use rcgen::{IsCa, date_time_ymd};
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use super::support::*;

#[test]
fn tls_19_unknown_issuer() {
    let stranger = ca("Couchbase Server 1a2b");
    let signed = Signed::by(&stranger, leaf(&["db"]));
    let config = server_config(&signed, &[], BOTH, None);
    let mut wire = Wire::new(&profile(&ca("ca")), "db", serve(&config));
    let failure = wire.run().unwrap_err();
    let TlsFailure::UnknownIssuer { host, issuer, .. } = &failure else { panic!("{failure}") };
    assert_eq!((host.as_str(), issuer.as_str()), ("db", "CN=Couchbase Server 1a2b"));
    assert!(failure.to_string().contains("the only ones trusted"), "{failure}");
    assert_eq!(wire.client.presented_chain(), [signed.certificate.der().to_vec()], "for the doctor");
    assert_eq!(wire.client.peer(), None);
    assert_eq!(wire.client.cut(), Some(failure));

    let bare = TlsMaterial { unix_time: NOW, ..TlsMaterial::default() };
    for (capella, hint) in
        [(false, "give the CA certificate of the cluster by `trust_certificate`"), (true, "stands between")]
    {
        let profile = build(&bare, Policy { capella, ..Policy::default() });
        let failure = Wire::new(&profile, "db", serve(&config)).run().unwrap_err();
        assert!(failure.to_string().contains(hint), "{failure}");
    }
    let both = build(&trusting(&ca("ca")), Policy { capella: true, ..Policy::default() });
    let failure = Wire::new(&both, "db", serve(&config)).run().unwrap_err();
    assert!(failure.to_string().contains("leave the option out"), "{failure}");
}

#[test]
fn tls_19_expired_and_not_yet_valid() {
    let ca = ca("ca");
    let mut old = leaf(&["db"]);
    old.not_after = date_time_ymd(2025, 6, 1);
    let failure = failure_of(&ca, old, "db");
    assert_eq!(
        failure.to_string(),
        "a certificate of db expired at 2025-06-01 00:00:00 UTC: renew it, or set this machine's clock, which says \
         2026-01-01 00:00:00 UTC"
    );
    let mut new = leaf(&["db"]);
    new.not_before = date_time_ymd(2026, 6, 1);
    let failure = failure_of(&ca, new, "db");
    assert!(matches!(failure, TlsFailure::NotYetValid { .. }));
    assert!(failure.to_string().contains("not valid before 2026-06-01 00:00:00 UTC"), "{failure}");
}

#[test]
fn tls_19_the_clock_is_the_one_that_was_set() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let profile =
        build(&TlsMaterial { unix_time: std::time::Duration::ZERO, ..trusting(&ca) }, Policy::default());
    let clone = profile.clone();
    let failure = handshake(&profile, "db", &config).err().unwrap();
    assert!(matches!(failure, TlsFailure::NotYetValid { now: 0, .. }), "{failure}");
    clone.set_unix_time(NOW);
    assert!(handshake(&profile, "db", &config).is_ok());
    assert!(handshake(&profile.with_identity(None).unwrap(), "db", &config).is_ok(), "the clock is shared");
    let (rebuilt, _) = profile.rebuild(&trusting(&ca)).unwrap();
    rebuilt.set_unix_time(NOW * 2);
    assert!(matches!(handshake(&rebuilt, "db", &config).err(), Some(TlsFailure::Expired { .. })));
}

#[test]
fn tls_19_bad_signature_of_a_replaced_ca() {
    let (old, new) = (ca("Couchbase Server"), ca("Couchbase Server"));
    let mut wire = Wire::new(&profile(&old), "db", server(&new, &["db"]));
    let failure = wire.run().unwrap_err();
    assert_eq!(failure, TlsFailure::BadSignature { host: "db".into() });
    assert!(failure.to_string().contains("was replaced"), "{failure}");
}

#[test]
fn tls_19_bad_signature_of_a_certificate_altered_on_its_way() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let mut der = signed.certificate.der().to_vec();
    let name = der.windows(2).position(|window| window == b"db").unwrap();
    der[name..name + 2].copy_from_slice(b"dc");
    let config = resolving(Impostor(certified(CertificateDer::from(der), &signed)), BOTH);
    let failure = handshake(&profile(&ca), "dc", &config).err().unwrap();
    assert_eq!(failure, TlsFailure::BadSignature { host: "dc".into() });
}

/// Presents a certificate and signs with a key, whether they belong together or not.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[test]
fn tls_19_bad_signature_of_a_handshake_with_a_copied_certificate() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let thief = Signed::by_itself(leaf(&["db"]));
    for versions in [ONLY_1_2, ONLY_1_3] {
        let config = resolving(Impostor(certified(signed.certificate.der().clone(), &thief)), versions);
        let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
        assert_eq!(wire.run(), Err(TlsFailure::BadSignature { host: "db".into() }), "{versions:?}");
        assert_eq!(wire.client.presented_chain(), [signed.certificate.der().to_vec()]);
    }
}

#[test]
fn tls_19_a_certificate_for_clients_is_none_for_servers() {
    let ca = ca("ca");
    let mut params = leaf(&["db"]);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let failure = failure_of(&ca, params, "db");
    assert!(failure.to_string().contains("serverAuth"), "{failure}");
}

#[test]
fn tls_19_plain_bytes_are_no_tls() {
    let profile = profile(&ca("ca"));
    for (bytes, seen, text) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], PlainBytes::Http, "18091"),
        (&[0x81, 0x1f, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0], PlainBytes::KeyValue, "11207"),
        (&[0x18, 0x1f, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0], PlainBytes::KeyValue, "11210"),
        (b"SSH-2.0-OpenSSH", PlainBytes::Unknown("5353482d322e302d".into()), "5353482d322e302d"),
        (b"\x16HTTP/1.1", PlainBytes::Unknown("16485454502f312e".into()), "what stands between"),
    ] {
        for slice in [1, bytes.len()] {
            let mut session = TlsSession::new(&profile, "db").unwrap();
            let mut plain = Vec::new();
            let failure =
                bytes.chunks(slice).find_map(|chunk| session.receive(chunk, &mut plain).err()).unwrap();
            match (&failure, slice) {
                // The first five bytes are a record's header; no more of them need to have come.
                (TlsFailure::NotTls { seen: PlainBytes::Unknown(_), .. }, 1) => {}
                (failure, _) => {
                    assert_eq!(failure, &TlsFailure::NotTls { host: "db".into(), seen: seen.clone() })
                }
            }
            if slice > 1 {
                assert!(failure.to_string().contains(text), "{failure}");
            }
            assert_eq!((plain.len(), session.cut()), (0, Some(failure)));
        }
    }
}

#[test]
fn tls_19_plain_bytes_too_few_for_a_record() {
    let mut session = TlsSession::new(&profile(&ca("ca")), "db").unwrap();
    session.receive(b"\x16G", &mut Vec::new()).unwrap();
    assert_eq!(
        session.cut(),
        Some(TlsFailure::NotTls { host: "db".into(), seen: PlainBytes::Unknown("1647".into()) })
    );
}

#[test]
fn tls_19_a_connection_that_ends_early() {
    let session = TlsSession::new(&profile(&ca("ca")), "db").unwrap();
    let failure = session.cut().unwrap();
    assert_eq!(failure, TlsFailure::Io { host: "db".into(), handshaking: true });
    assert!(failure.to_string().contains("encryption level"), "{failure}");
}

#[test]
fn tls_19_alerts_are_told_by_their_names() {
    for (code, name) in
        [(40, "handshake_failure"), (48, "unknown_ca"), (112, "unrecognized_name"), (200, "200")]
    {
        let mut session = TlsSession::new(&profile(&ca("ca")), "db").unwrap();
        let failure = session.receive(&[21, 3, 3, 0, 2, 2, code], &mut Vec::new()).unwrap_err();
        assert_eq!(failure, TlsFailure::HandshakeRejected { host: "db".into(), alert: name.into() });
    }
}

#[test]
fn a_stalling_peer_gets_no_output() {
    let mut session = TlsSession::new(&profile(&ca("ca")), "db").unwrap();
    let hello = session.output().len();
    session.consume(hello);
    session.receive(&[], &mut Vec::new()).unwrap();
    session.receive(&[22, 3, 3, 0x40], &mut Vec::new()).unwrap();
    assert!(session.output().is_empty());
    assert!(session.is_handshaking());
}

#[test]
fn a_thousand_certificates_are_refused_within_bounds() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let one = Signed::by_itself(leaf(&["other"])).certificate.der().clone();
    let config = server_config(&signed, &vec![one; 1000], BOTH, None);
    let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
    let failure = wire.run().unwrap_err();
    assert!(failure.to_string().contains("too many certificates"), "{failure}");
}

#[test]
fn as_many_certificates_as_fit_are_judged_and_kept_within_bounds() {
    let (ca, stranger) = (ca("ca"), ca("stranger"));
    let signed = Signed::by(&stranger, leaf(&["db"]));
    let chain: Vec<_> = (0..90)
        .map(|_| {
            let mut params = leaf(&["other"]);
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            Signed::by(&stranger, params).certificate.der().clone()
        })
        .collect();
    let mut wire = Wire::new(&profile(&ca), "db", serve(&server_config(&signed, &chain, BOTH, None)));
    assert!(wire.run().is_err());
    let presented = wire.client.presented_chain();
    assert_eq!(presented.len(), 16);
    assert_eq!(presented[0], signed.certificate.der().to_vec());
}

#[test]
fn an_endless_handshake_message_ends_within_bounds() {
    // A certificate message in records of one byte each, none of which is the last one.
    let mut session = TlsSession::new(&profile(&ca("ca")), "db").unwrap();
    let mut bytes = vec![22, 3, 3, 0, 4, 2, 0, 0xff, 0xf0];
    let mut fed = 0;
    let failure = loop {
        if let Err(failure) = session.receive(&bytes, &mut Vec::new()) {
            break failure;
        }
        fed += bytes.len();
        assert!(fed < 1 << 20, "no end in sight");
        bytes = [22, 3, 3, 0, 1, 0].repeat(1000);
    };
    assert!(matches!(failure, TlsFailure::Other { .. }), "{failure}");
}

#[test]
fn renegotiation_is_refused() {
    // A well-behaved server cannot be made to send a HelloRequest, so its keys are taken and some are sealed by hand.
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], ONLY_1_2, None);
    let mut config = (*config).clone();
    config.enable_secret_extraction = true;
    let mut wire = handshake(&profile(&ca), "db", &Arc::new(config)).unwrap();
    let suite = wire.server.negotiated_cipher_suite().unwrap();
    let SupportedCipherSuite::Tls12(suite) = suite else { panic!("{suite:?}") };
    let (seq, secrets) = wire.server.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("another suite") };
    let (fixed, explicit) = iv.as_ref().split_at(4);
    let mut encrypter = suite.aead_alg.encrypter(key, fixed, explicit);
    let mut requests = (seq..).map(|seq| {
        let payload = OutboundChunks::from(&[0, 0, 0, 0][..]);
        let message =
            OutboundPlainMessage { typ: ContentType::Handshake, version: ProtocolVersion::TLSv1_2, payload };
        encrypter.encrypt(message, seq).unwrap().encode()
    });
    wire.client.receive(&requests.next().unwrap(), &mut Vec::new()).unwrap();
    assert!(!wire.client.output().is_empty(), "a no_renegotiation alert");
    assert!(!wire.client.is_handshaking(), "the session goes on");
    let failure =
        requests.take(3).find_map(|request| wire.client.receive(&request, &mut Vec::new()).err()).unwrap();
    assert!(failure.to_string().contains("Renegotiation"), "{failure}");
}

#[test]
fn altered_records_end_the_session() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = handshake(&profile(&ca), "db", &config).unwrap();
    wire.server_says(b"hello");
    let mut cipher = Vec::new();
    wire.server.write_tls(&mut cipher).unwrap();
    let last = cipher.len() - 1;
    cipher[last] ^= 1;
    let failure = wire.client.receive(&cipher, &mut wire.to_client).unwrap_err();
    assert!(failure.to_string().contains("altered"), "{failure}");
    assert_eq!(wire.to_client, b"");
    assert!(!wire.client.output().is_empty(), "an alert");
}

#[test]
fn certificates_that_are_none() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let config = resolving(Impostor(certified(CertificateDer::from(vec![0x30, 3, 1, 2, 3]), &signed)), BOTH);
    let failure = handshake(&profile(&ca), "db", &config).err().unwrap();
    assert!(matches!(failure, TlsFailure::Other { .. }), "{failure}");
}
