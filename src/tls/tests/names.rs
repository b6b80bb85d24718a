//! Names and addresses: TLS-13 to TLS-16 and TLS-18.

use super::support::*;

fn connects(names: &[&str], host: &str) -> Result<(), TlsFailure> {
    let ca = ca("ca");
    let mut wire = Wire::new(&profile(&ca), host, server(&ca, names));
    wire.run()
}

#[test]
fn tls_14_dns_names_match_with_one_left_most_wildcard() {
    for (name, host) in [
        ("db.example.com", "db.example.com"),
        ("db.example.com", "DB.example.COM"),
        ("db.example.com", "db.example.com."),
        ("*.example.com", "db.example.com"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(connects(&[name], host), Ok(()), "{name} {host}");
    }
    for (name, host) in [
        ("db.example.com", "example.com"),
        ("*.example.com", "example.com"),
        ("*.example.com", "a.b.example.com"),
        ("db.example.com", "db.example.org"),
    ] {
        let failure = connects(&[name], host).unwrap_err();
        assert_eq!(failure, TlsFailure::NameMismatch { expected: host.into(), presented: vec![name.into()] });
    }
}

#[test]
fn tls_14_addresses_match_byte_by_byte() {
    for (name, host) in [
        ("127.0.0.1", "127.0.0.1"),
        ("fd63:6f75::1", "fd63:6f75::1"),
        ("fd63:6f75::1", "[fd63:6f75:0::0001]"),
        ("fe80::1", "fe80::1%eth0"),
    ] {
        assert_eq!(connects(&[name], host), Ok(()), "{name} {host}");
    }
    for (name, host) in
        [("127.0.0.1", "127.0.0.2"), ("10.0.0.1", "::ffff:10.0.0.1"), ("db.example.com", "10.0.0.1")]
    {
        let failure = connects(&[name], host).unwrap_err();
        assert!(matches!(failure, TlsFailure::NameMismatch { .. }), "{failure}");
    }
}

#[test]
fn tls_14_the_subject_is_no_name_of_the_host() {
    let ca = ca("ca");
    let mut params = leaf(&[]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "db.example.com");
    let failure = failure_of(&ca, params, "db.example.com");
    assert_eq!(failure, TlsFailure::NameMismatch { expected: "db.example.com".into(), presented: vec![] });
    assert!(failure.to_string().contains("no name at all"), "{failure}");
}

#[test]
fn tls_14_a_name_that_cannot_be_in_a_certificate_is_an_error() {
    let ca = ca("ca");
    for host in ["", ".", "a b", "..", "[::1", "%eth0", "x\0y"] {
        let failure = TlsSession::new(&profile(&ca), host).unwrap_err();
        assert!(matches!(failure, TlsFailure::Other { .. }), "{host:?}");
    }
}

#[test]
fn tls_13_names_are_a_switch_of_their_own() {
    let ca = ca("ca");
    let profile = build(&trusting(&ca), Policy { verify_hostname: false, ..Policy::default() });
    assert_eq!(Wire::new(&profile, "other.example.com", server(&ca, &["db.example.com"])).run(), Ok(()));
    let stranger = super::support::ca("stranger");
    let failure = Wire::new(&profile, "db", server(&stranger, &["db"])).run().unwrap_err();
    assert!(matches!(failure, TlsFailure::UnknownIssuer { .. }), "the chain is checked: {failure}");
}

#[test]
fn tls_15_server_names_are_sent_for_dns_names_alone() {
    let ca = ca("ca");
    for (host, expected) in
        [("db.example.com.", Some("db.example.com")), ("127.0.0.1", None), ("[::1]", None)]
    {
        let mut wire = Wire::new(&profile(&ca), host, server(&ca, &["db.example.com", "127.0.0.1", "::1"]));
        wire.run().unwrap();
        assert_eq!(wire.server.server_name(), expected, "{host}");
    }
}

#[test]
fn tls_16_localhost_is_told_to_try_its_address() {
    let failure = connects(&["127.0.0.1"], "localhost").unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the certificate presented by localhost is for `127.0.0.1`: connect to 127.0.0.1, the name that a node on this \
         machine has in its own certificate"
    );
    assert_eq!(connects(&["127.0.0.1"], "127.0.0.1"), Ok(()));
}

#[test]
fn tls_18_a_certificate_for_internal_names_does_not_hold_outside() {
    let failure = connects(&["node1.internal", "10.0.0.1"], "203.0.113.7").unwrap_err();
    assert_eq!(
        failure,
        TlsFailure::NameMismatch {
            expected: "203.0.113.7".into(),
            presented: vec!["node1.internal".into(), "10.0.0.1".into()]
        }
    );
    assert_eq!(connects(&["node1.internal", "203.0.113.7"], "203.0.113.7"), Ok(()));
}

#[test]
fn names_shown_are_bounded() {
    let names: Vec<String> = (0..200).map(|n| format!("n{n}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let TlsFailure::NameMismatch { presented, .. } = connects(&names, "db").unwrap_err() else { panic!() };
    assert_eq!(presented.len(), 64);
}
