//! Trust sources: section 3.2 and TLS-4 to TLS-7, TLS-10, TLS-17.

use rcgen::{BasicConstraints, IsCa, date_time_ymd};

use super::support::*;

fn built(trust: Vec<TrustSource>, platform: PlatformStore, policy: Policy) -> (TlsProfile, Vec<Note>) {
    let material = TlsMaterial { trust, platform, unix_time: NOW, ..TlsMaterial::default() };
    TlsProfile::build(&material, &policy).unwrap()
}

fn has(notes: &[Note], level: NoteLevel, text: &str) -> bool {
    notes.iter().any(|note| note.level == level && note.text.contains(text))
}

fn refused(text: &[u8]) -> TlsError {
    let trust = vec![TrustSource::pem("/etc/ca.pem", text)];
    TlsProfile::build(&TlsMaterial { trust, ..TlsMaterial::default() }, &Policy::default()).unwrap_err()
}

#[test]
fn trust_defaults_to_platform_capella_and_mozilla() {
    let ca = ca("ca");
    let platform = PlatformStore { anchors: vec![ca.der().to_vec()], ..PlatformStore::default() };
    let mozilla = mozilla_bundle().unwrap().size;
    for (trust, policy, anchors) in [
        (vec![], Policy::default(), mozilla + 2),
        (vec![TrustSource::Default], Policy::default(), mozilla + 2),
        (vec![], Policy { disable_mozilla: true, ..Policy::default() }, 2),
        (vec![TrustSource::Capella], Policy::default(), 1),
        (vec![TrustSource::Mozilla], Policy::default(), mozilla),
        (vec![TrustSource::Platform], Policy::default(), 1),
        (vec![TrustSource::Platform, TrustSource::Capella], Policy::default(), 2),
        (
            vec![TrustSource::Capella, TrustSource::Default, TrustSource::Mozilla],
            Policy::default(),
            mozilla + 2,
        ),
        (vec![TrustSource::pem("x", CAPELLA_PEM), TrustSource::Capella], Policy::default(), 1),
    ] {
        let (profile, _) = built(trust.clone(), platform.clone(), policy);
        let told = format!("{profile:?}");
        assert!(told.contains(&format!("anchors: {anchors},")), "{trust:?} {told}");
    }
    let (profile, _) = built(vec![], platform, Policy::default());
    assert_eq!(Wire::new(&profile, "db", server(&ca, &["db"])).run(), Ok(()), "by the platform's store");
}

#[test]
fn trust_that_is_given_is_the_only_one() {
    let (given, platform) = (ca("given"), ca("platform"));
    let store = PlatformStore { anchors: vec![platform.der().to_vec()], ..PlatformStore::default() };
    let (profile, _) = built(vec![TrustSource::pem("ca.pem", given.pem())], store, Policy::default());
    assert_eq!(Wire::new(&profile, "db", server(&given, &["db"])).run(), Ok(()));
    let failure = Wire::new(&profile, "db", server(&platform, &["db"])).run().unwrap_err();
    assert!(matches!(failure, TlsFailure::UnknownIssuer { .. }));
}

#[test]
fn trust_sources_add_up() {
    let (one, two) = (ca("one"), ca("two"));
    let trust = vec![TrustSource::pem("one.pem", one.pem()), TrustSource::pem("two.der", two.der().to_vec())];
    let (profile, _) = built(trust, PlatformStore::default(), Policy::default());
    for ca in [&one, &two] {
        assert_eq!(Wire::new(&profile, "db", server(ca, &["db"])).run(), Ok(()));
    }
}

#[test]
fn trust_that_cannot_be_used_is_an_error() {
    for (text, reason) in [
        (&b""[..], "no `CERTIFICATE` block"),
        (b"not a certificate", "no `CERTIFICATE` block"),
        (b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 of 1"),
        (&[0x30, 0x82, 0x01], "certificate 1 of 1"),
    ] {
        let error = refused(text);
        assert!(matches!(&error, TlsError::TrustSource { path, .. } if path == "/etc/ca.pem"), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let good_and_bad =
        format!("{CAPELLA_PEM}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(refused(good_and_bad.as_bytes()).to_string().contains("certificate 2 of 2"));
}

#[test]
fn tls_5_all_certificates_of_a_text_are_read_and_what_is_around_them_is_not() {
    let (one, two) = (ca("one"), ca("two"));
    let text = format!("# from the console\r\n{}\r\nsubject=CN=two\n{}trailing\n", one.pem(), two.pem());
    let (profile, notes) =
        built(vec![TrustSource::pem("both.pem", text)], PlatformStore::default(), Policy::default());
    for ca in [&one, &two] {
        assert_eq!(Wire::new(&profile, "db", server(ca, &["db"])).run(), Ok(()));
    }
    assert!(has(&notes, NoteLevel::Debug, "trusting 2 certificates of both.pem"), "{notes:?}");
}

#[test]
fn tls_5_certificates_before_a_damaged_block_can_be_read() {
    let damaged = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
    let capella = capella::der();
    assert_eq!(pem_certificates(CAPELLA_PEM.as_bytes()), (vec![capella.clone()], false));
    let text = format!("{CAPELLA_PEM}\n{damaged}{CAPELLA_PEM}");
    assert_eq!(pem_certificates(text.as_bytes()), (vec![capella], true));
    assert_eq!(pem_certificates(b"nothing"), (vec![], false));
}

#[test]
fn tls_6_a_self_signed_certificate_is_trusted_as_itself() {
    for is_ca in [false, true] {
        let mut params = leaf(&["db"]);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let signed = Signed::by_itself(params.clone());
        let trust = vec![TrustSource::pem("node.pem", signed.certificate.pem())];
        let (profile, _) = built(trust.clone(), PlatformStore::default(), Policy::default());
        let config = server_config(&signed, &[], BOTH, None);
        assert!(handshake(&profile, "db", &config).is_ok(), "CA: {is_ca}");
        let failure = handshake(&profile, "other", &config).err().unwrap();
        assert!(matches!(failure, TlsFailure::NameMismatch { .. }), "the name is checked: {failure}");
        for (time, late) in [(NOW * 2, true), (NOW / 2, false)] {
            // Another profile, since this one would resume its session.
            let (profile, _) = built(trust.clone(), PlatformStore::default(), Policy::default());
            profile.set_unix_time(time);
            let failure = handshake(&profile, "db", &config).err().unwrap();
            assert_eq!(matches!(failure, TlsFailure::Expired { .. }), late, "validity is checked: {failure}");
            assert_eq!(
                matches!(failure, TlsFailure::NotYetValid { .. }),
                !late,
                "validity is checked: {failure}"
            );
        }
        let twin = server_config(&Signed::by_itself(params), &[], BOTH, None);
        assert!(handshake(&profile, "db", &twin).is_err(), "another key");
    }
}

#[test]
fn tls_6_a_certificate_signed_by_another_is_no_anchor_for_itself() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    let trust = vec![TrustSource::pem("node.pem", signed.certificate.pem())];
    let (profile, _) = built(trust, PlatformStore::default(), Policy::default());
    let failure = handshake(&profile, "db", &server_config(&signed, &[], BOTH, None)).err().unwrap();
    assert!(matches!(failure, TlsFailure::UnknownIssuer { .. }), "{failure}");
}

#[test]
fn self_signed_certificates_are_not_trusted_by_themselves() {
    let signed = Signed::by_itself(leaf(&["db"]));
    let failure =
        handshake(&profile(&ca("ca")), "db", &server_config(&signed, &[], BOTH, None)).err().unwrap();
    assert!(matches!(failure, TlsFailure::UnknownIssuer { .. }), "{failure}");
}

#[test]
fn chains_lead_through_intermediates() {
    let root = ca("root");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    let between = Ca::signed_by(params, rcgen::KeyPair::generate().unwrap(), &root).unwrap();
    let signed = Signed::by(&between, leaf(&["db"]));
    let chain = [between.der().clone()];
    assert!(handshake(&profile(&root), "db", &server_config(&signed, &chain, BOTH, None)).is_ok());
    let failure = handshake(&profile(&root), "db", &server_config(&signed, &[], BOTH, None)).err().unwrap();
    let TlsFailure::UnknownIssuer { issuer, .. } = failure else { panic!("{failure}") };
    assert_eq!(issuer, "CN=intermediate");
}

#[test]
fn tls_7_the_documented_line_about_mozilla() {
    let (_, notes) = built(vec![], PlatformStore::default(), Policy::default());
    let bundle = mozilla_bundle().unwrap();
    let line = format!(
        "loading {} CA certificates from Mozilla bundle. Update date: \"{}\", SHA256: \"{}\"",
        bundle.size, bundle.date, bundle.sha256
    );
    assert!(notes.contains(&Note { level: NoteLevel::Debug, text: line }), "{notes:?}");
    assert!(has(&notes, NoteLevel::Debug, "using the default trust"), "{notes:?}");
    let (_, notes) =
        built(vec![], PlatformStore::default(), Policy { disable_mozilla: true, ..Policy::default() });
    assert!(!has(&notes, NoteLevel::Debug, "loading"), "{notes:?}");
    assert!(has(&notes, NoteLevel::Debug, "disable_mozilla_ca_certificates"), "{notes:?}");
}

#[test]
fn tls_7_the_platform_store_and_its_problems() {
    let ca = ca("ca");
    let platform = PlatformStore {
        anchors: vec![ca.der().to_vec(), ca.der().to_vec(), b"junk".to_vec()],
        file: Some("/etc/ssl/cert.pem".into()),
        dir: None,
        problems: vec!["/etc/ssl/certs: permission denied".into()],
    };
    let (profile, notes) = built(vec![TrustSource::Platform], platform, Policy::default());
    assert!(has(&notes, NoteLevel::Warn, "/etc/ssl/certs: permission denied"), "{notes:?}");
    assert!(has(&notes, NoteLevel::Debug, "file /etc/ssl/cert.pem, directory none"), "{notes:?}");
    assert!(format!("{profile:?}").contains("anchors: 1,"), "the store continues without what is unusable");
}

#[test]
fn tls_7_trust_without_an_anchor_is_a_warning() {
    let text = "no trust anchor was found";
    let no_mozilla = Policy { disable_mozilla: true, ..Policy::default() };
    for (trust, policy, warned) in [
        (vec![], no_mozilla, true),
        (vec![TrustSource::Platform], Policy::default(), true),
        (vec![TrustSource::Capella], Policy::default(), true),
        (vec![], Policy { capella: true, ..no_mozilla }, false),
        (vec![], Policy::default(), false),
        (vec![TrustSource::pem("x", CAPELLA_PEM)], Policy::default(), false),
    ] {
        let (_, notes) = built(trust.clone(), PlatformStore::default(), policy);
        assert_eq!(has(&notes, NoteLevel::Warn, text), warned, "{trust:?} {notes:?}");
    }
    let (profile, _) = built(vec![TrustSource::Platform], PlatformStore::default(), Policy::default());
    let failure = Wire::new(&profile, "db", server(&ca("ca"), &["db"])).run().unwrap_err();
    assert!(matches!(failure, TlsFailure::UnknownIssuer { .. }), "it connects to nobody: {failure}");
}

#[test]
fn tls_10_capella_is_always_verified_and_takes_tls_1_3() {
    let ca = ca("ca");
    let policy = Policy { verify: false, capella: true, ..Policy::default() };
    let (profile, notes) = TlsProfile::build(&trusting(&ca), &policy).unwrap();
    assert!(has(&notes, NoteLevel::Warn, "`tls_verify=none` is refused for Capella"), "{notes:?}");
    assert!(profile.policy().verify);
    let stranger = Wire::new(&profile, "db", server(&super::support::ca("stranger"), &["db"])).run();
    assert!(matches!(stranger, Err(TlsFailure::UnknownIssuer { .. })));
    let old = server_config(&Signed::by(&ca, leaf(&["db"])), &[], ONLY_1_2, None);
    assert!(handshake(&profile, "db", &old).is_err());
    let relaxed = build(&trusting(&ca), Policy { min_v1_3: Some(false), ..policy });
    assert!(handshake(&relaxed, "db", &old).is_ok());
}

#[test]
#[cfg(not(feature = "insecure"))]
fn tls_17_without_the_feature_certificates_are_always_verified() {
    let built = TlsProfile::build(&TlsMaterial::default(), &Policy { verify: false, ..Policy::default() });
    assert_eq!(built.err(), Some(TlsError::FeatureNotAvailable("insecure")));
}

#[test]
#[cfg(feature = "insecure")]
fn tls_17_any_chain_and_any_name_if_asked_for() {
    let policy = Policy { verify: false, ..Policy::default() };
    let (profile, notes) = TlsProfile::build(&TlsMaterial::default(), &policy).unwrap();
    assert!(has(&notes, NoteLevel::Warn, "certificates are not verified"), "{notes:?}");
    let signed = Signed::by_itself(leaf(&["other"]));
    for versions in [ONLY_1_2, ONLY_1_3] {
        let wire = handshake(&profile, "db", &server_config(&signed, &[], versions, None)).unwrap();
        assert_eq!(wire.client.presented_chain(), [signed.certificate.der().to_vec()]);
    }
}
