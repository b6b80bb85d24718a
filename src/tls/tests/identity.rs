//! Client certificates: AUTH-6, AUTH-9, AUTH-13.

use rcgen::ExtendedKeyUsagePurpose;

use super::support::*;

fn client(ca: &Ca) -> Signed {
    let mut params = leaf(&[]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "app");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Signed::by(ca, params)
}

fn identity(signed: &Signed) -> Identity {
    Identity::from_pem(signed.certificate.pem(), signed.key.serialize_pem(), "client.pem and client.key")
}

fn with(ca: &Ca, identity: Identity) -> Result<TlsProfile, TlsError> {
    let material = TlsMaterial { identity: Some(identity), ..trusting(ca) };
    TlsProfile::build(&material, &Policy::default()).map(|(profile, _)| profile)
}

#[test]
fn a_demanded_client_certificate_is_given() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let client = client(&ca);
    for versions in [ONLY_1_2, ONLY_1_3] {
        let config = server_config(&signed, &[], versions, Some(&ca));
        let mut wire = handshake(&with(&ca, identity(&client)).unwrap(), "db", &config).unwrap();
        wire.run().unwrap();
        assert_eq!(wire.server.peer_certificates().unwrap()[0], *client.certificate.der());
    }
}

#[test]
fn tls_19_a_demanded_client_certificate_that_is_missing() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let config = server_config(&signed, &[], ONLY_1_3, Some(&ca));
    let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
    let failure = wire.run().unwrap_err();
    assert_eq!(
        failure,
        TlsFailure::HandshakeRejected { host: "db".into(), alert: "certificate_required".into() }
    );
    assert!(failure.to_string().contains("demands a client certificate"), "{failure}");
}

#[test]
fn tls_19_a_client_certificate_of_another_ca() {
    let (ca, other) = (ca("ca"), ca("other"));
    let signed = Signed::by(&ca, leaf(&["db"]));
    for versions in [ONLY_1_2, ONLY_1_3] {
        let config = server_config(&signed, &[], versions, Some(&ca));
        let mut wire = Wire::new(&with(&ca, identity(&client(&other))).unwrap(), "db", serve(&config));
        let failure = wire.run().unwrap_err();
        assert_eq!(failure, TlsFailure::HandshakeRejected { host: "db".into(), alert: "unknown_ca".into() });
        assert!(failure.to_string().contains("trusted CAs"), "{failure}");
    }
}

#[test]
fn auth_13_an_identity_is_rotated_by_a_new_profile() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, Some(&ca));
    let (first, second) = (client(&ca), client(&ca));
    let profile = with(&ca, identity(&first)).unwrap();
    let rotated = profile.with_identity(Some(&identity(&second))).unwrap();
    for (profile, client) in [(&profile, &first), (&rotated, &second), (&profile, &first)] {
        let wire = handshake(profile, "db", &config).unwrap();
        assert_eq!(wire.server.peer_certificates().unwrap()[0], *client.certificate.der());
    }
}

#[test]
fn auth_6_what_does_not_fit_is_refused_when_the_profile_is_built() {
    let ca = ca("ca");
    let (one, other) = (client(&ca), client(&ca));
    let (pem, key) = (one.certificate.pem(), one.key.serialize_pem());
    let damaged = pem.replace("MII", "M!!");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (chain, key, fault) in [
        ("", key.as_str(), IdentityFault::NoCertificate),
        (&key, &key, IdentityFault::NoCertificate),
        (&damaged, &key, IdentityFault::DamagedCertificate),
        (&pem, "", IdentityFault::NoKey),
        (&pem, &pem, IdentityFault::NoKey),
        (&pem, encrypted, IdentityFault::EncryptedKey),
        (&pem, legacy, IdentityFault::EncryptedKey),
        (&pem, nonsense, IdentityFault::UnusableKey),
        (&pem, &other.key.serialize_pem(), IdentityFault::KeyMismatch),
    ] {
        let error = with(&ca, Identity::from_pem(chain, key, "app.pem")).unwrap_err();
        assert_eq!(error, TlsError::Identity { origin: "app.pem".into(), fault });
        assert!(
            error.to_string().starts_with("the client certificate of app.pem cannot be used: "),
            "{error}"
        );
    }
    let profile = profile(&ca);
    let mismatch = Identity::from_pem(pem, other.key.serialize_pem(), "app.pem");
    assert!(matches!(profile.with_identity(Some(&mismatch)), Err(TlsError::Identity { .. })));
}

#[test]
fn auth_6_chain_and_key_may_share_a_text() {
    let ca = ca("ca");
    let client = client(&ca);
    let text = format!("Bag Attributes\n{}\n{}", client.key.serialize_pem(), client.certificate.pem());
    assert!(with(&ca, Identity::from_pem(text.clone(), text, "app.pem")).is_ok());
}

/// Keys made for this test, and the certificates that go with them: `fixtures/make`.
#[test]
fn auth_6_keys_are_accepted_as_pkcs_8_pkcs_1_and_sec_1() {
    let ca = ca("ca");
    let rsa = include_str!("fixtures/rsa.pem");
    let ec = include_str!("fixtures/ec.pem");
    for (chain, key) in [
        (rsa, include_str!("fixtures/rsa.pkcs1.key")),
        (rsa, include_str!("fixtures/rsa.pkcs8.key")),
        (ec, include_str!("fixtures/ec.sec1.key")),
        (ec, include_str!("fixtures/ec.pkcs8.key")),
    ] {
        let built = with(&ca, Identity::from_pem(chain, key, "app.pem"));
        assert!(built.is_ok(), "{:?} {key}", built.err());
    }
    let crossed = with(&ca, Identity::from_pem(rsa, include_str!("fixtures/ec.sec1.key"), "app.pem"));
    assert!(matches!(crossed, Err(TlsError::Identity { fault: IdentityFault::KeyMismatch, .. })));
}

#[test]
fn auth_9_nothing_secret_is_shown() {
    let ca = ca("ca");
    let client = client(&ca);
    let key = client.key.serialize_pem();
    let material = TlsMaterial { identity: Some(identity(&client)), ..trusting(&ca) };
    let (profile, notes) = TlsProfile::build(&material, &Policy::default()).unwrap();
    let session = TlsSession::new(&profile, "db").unwrap();
    let told = format!("{:?} {profile:?} {notes:?} {session:?}", material.identity);
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!told.contains(line), "{told}");
        assert!(!told.contains(&format!("{:?}", line.as_bytes())[1..]), "{told}");
    }
    assert!(told.contains("client.pem and client.key"), "{told}");
}
