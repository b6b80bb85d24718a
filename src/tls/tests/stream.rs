//! Bytes in, bytes out.

use super::support::*;

#[test]
fn tls_12_both_versions_and_no_other() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db.example.com"]));
    for (versions, expected) in [(ONLY_1_2, "TLS 1.2"), (ONLY_1_3, "TLS 1.3"), (BOTH, "TLS 1.3")] {
        let wire =
            handshake(&profile(&ca), "db.example.com", &server_config(&signed, &[], versions, None)).unwrap();
        let peer = wire.client.peer().unwrap();
        assert_eq!(peer.version, expected);
        assert!(peer.cipher_suite.starts_with("TLS_"), "{}", peer.cipher_suite);
        assert_eq!(peer.chain, [signed.certificate.der().to_vec()]);
        assert!(!peer.resumed);
    }
    let policy = Policy { min_v1_3: Some(true), ..Policy::default() };
    let only_1_3 = build(&trusting(&ca), policy);
    let refused = handshake(&only_1_3, "db.example.com", &server_config(&signed, &[], ONLY_1_2, None));
    let failure = refused.err().unwrap();
    assert_eq!(
        failure,
        TlsFailure::HandshakeRejected { host: "db.example.com".into(), alert: "protocol_version".into() }
    );
    assert!(failure.to_string().contains("tls_disable_v1_2"), "{failure}");
}

#[test]
fn tls_2_plaintext_goes_both_ways_in_any_slicing() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let big: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
    for slice in [1, 7, 16_384, usize::MAX] {
        let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
        wire.slice = slice;
        assert_eq!(wire.client.send(b"early").unwrap(), 0, "it waits for the handshake");
        assert_eq!(wire.client.unsent(), 5);
        wire.run().unwrap();
        assert_eq!(wire.client.unsent(), 0);
        assert_eq!(wire.to_server, b"early");
        wire.server_says(b"hello");
        wire.run().unwrap();
        assert_eq!(wire.to_client, b"hello");
        assert!(wire.client.send(&big).unwrap() > big.len());
        wire.server_says(&big[..50_000]);
        wire.run().unwrap();
        assert_eq!(wire.to_server[5..], big);
        assert_eq!(wire.to_client[5..], big[..50_000]);
    }
}

#[test]
fn plaintext_has_left_when_its_record_has() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = handshake(&profile(&ca), "db", &config).unwrap();
    let client = &mut wire.client;
    let one = client.send(&[1; 100]).unwrap();
    let two = client.send(&[2; 20_000]).unwrap();
    assert_eq!(client.consume(one - 1), 0, "the last byte is missing");
    assert_eq!(client.consume(1), 100);
    assert_eq!(client.consume(0), 0);
    assert_eq!(client.consume(16_384), 0, "its tag is missing");
    assert_eq!(client.consume(1_000), 16_384);
    assert_eq!(client.consume(two), 20_000 - 16_384, "more than there is");
    assert!(client.output().is_empty());
    assert_eq!(client.consume(1), 0);
}

#[test]
fn handshakes_carry_no_plaintext() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
    wire.client.send(b"secret").unwrap();
    let hello = wire.client.output().to_vec();
    assert_eq!(hello[0], 22, "a handshake record");
    assert_eq!(wire.client.consume(hello.len()), 0);
    assert!(!hello.windows(6).any(|window| window == b"secret"));
    let mut server = hello.as_slice();
    wire.server.read_tls(&mut server).unwrap();
    wire.server.process_new_packets().unwrap();
    let mut cipher = Vec::new();
    while wire.server.wants_write() {
        wire.server.write_tls(&mut cipher).unwrap();
    }
    wire.client.receive(&cipher, &mut Vec::new()).unwrap();
    let flight = wire.client.output().len();
    assert_eq!(wire.client.consume(flight), 6, "the first flight leaves with the handshake's last one");
}

#[test]
fn sessions_resume() {
    let ca = ca("ca");
    let signed = Signed::by(&ca, leaf(&["db"]));
    for versions in [ONLY_1_2, ONLY_1_3] {
        let config = server_config(&signed, &[], versions, None);
        let profile = profile(&ca);
        assert!(!handshake(&profile, "db", &config).unwrap().client.peer().unwrap().resumed);
        let again = handshake(&profile.clone(), "db", &config).unwrap();
        let peer = again.client.peer().unwrap();
        assert!(peer.resumed, "clones share the sessions");
        assert_eq!(peer.chain, [signed.certificate.der().to_vec()]);
        let (rotated, _) = profile.rebuild(&trusting(&ca)).unwrap();
        assert!(!handshake(&rotated, "db", &config).unwrap().client.peer().unwrap().resumed);
        let renamed = profile.with_identity(None).unwrap();
        assert!(!handshake(&renamed, "db", &config).unwrap().client.peer().unwrap().resumed);
    }
}

#[test]
fn close_notify_ends_each_direction() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = handshake(&profile(&ca), "db", &config).unwrap();
    assert_eq!(wire.client.cut(), Some(TlsFailure::Io { host: "db".into(), handshaking: false }));
    wire.server_says(b"bye");
    wire.server.send_close_notify();
    wire.run().unwrap();
    assert_eq!(wire.to_client, b"bye");
    assert!(wire.client.peer_closed());
    assert_eq!(wire.client.cut(), None);
    wire.client.send(b"still here").unwrap();
    wire.run().unwrap();
    assert_eq!(wire.to_server, b"still here");
    wire.client.close_notify();
    assert!(!wire.client.output().is_empty());
    let output = wire.client.output().len();
    wire.client.close_notify();
    assert_eq!((wire.client.send(b"late"), wire.client.output().len()), (Ok(0), output));
    wire.run().unwrap();
    wire.client.receive(&[0; 1000], &mut wire.to_client).unwrap();
    assert_eq!((wire.to_client.as_slice(), wire.to_server.as_slice()), (&b"bye"[..], &b"still here"[..]));
}

#[test]
fn close_notify_during_the_handshake_waits_for_its_end() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = Wire::new(&profile(&ca), "db", serve(&config));
    wire.client.send(b"never").unwrap();
    wire.client.close_notify();
    wire.run().unwrap();
    assert_eq!(wire.to_server, b"");
    assert!(!wire.client.is_handshaking());
    let state = wire.server.process_new_packets().unwrap();
    assert!(state.peer_has_closed());
}

#[test]
fn steady_traffic_keeps_its_memory() {
    let ca = ca("ca");
    let config = server_config(&Signed::by(&ca, leaf(&["db"])), &[], BOTH, None);
    let mut wire = handshake(&profile(&ca), "db", &config).unwrap();
    wire.run().unwrap();
    let warm = allocation_counter::measure(|| {
        wire.client.send(&[1; 1000]).unwrap();
        let len = wire.client.output().len();
        wire.client.consume(len);
    });
    let burst = allocation_counter::measure(|| {
        for _ in 0..100 {
            wire.client.send(&[1; 1000]).unwrap();
            let len = wire.client.output().len();
            wire.client.consume(len);
        }
    });
    // The back end makes one buffer per record; nothing else allocates.
    assert!(warm.count_total <= 1, "{warm:?}");
    assert!(burst.count_total <= 100, "{burst:?}");
    assert_eq!(burst.count_current, 0);
}
