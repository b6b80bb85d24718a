//! TLS: bytes of a peer that never completed a handshake end in a clear error, within bounds.

use std::sync::OnceLock;
use std::time::Duration;

use settee::tls::{Policy, TlsMaterial, TlsProfile, TlsSession, TrustSource};

/// More than any answer to what is no handshake: a second hello and an alert.
const MAX_OUTPUT: usize = 8 * 1024;

/// The first byte chooses the slicing and whether plaintext waits, the rest is what a peer sends.
pub fn tls_plain_bytes(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else { return };
    let mut session = TlsSession::new(profile(), "db.example.com").expect("a host name");
    let hello = session.output().len();
    assert!(hello > 0, "a client speaks first");
    if choice & 0x80 != 0 {
        assert_eq!(session.send(b"plaintext that waits"), Ok(0));
        assert_eq!(session.consume(hello), 0, "nothing has left");
    }
    let mut plain = Vec::new();
    let mut failure = None;
    for slice in stream.chunks(usize::from(choice & 0x7f).max(1)) {
        match session.receive(slice, &mut plain) {
            Ok(()) => assert_eq!(failure, None, "a failure does not stay"),
            Err(error) => {
                assert!(failure.is_none_or(|known| known == error), "a failure turns into another one");
                assert!(!error.to_string().is_empty());
                failure = Some(error);
            }
        }
        assert!(session.output().len() <= hello + MAX_OUTPUT, "output without bounds");
    }
    assert!(plain.is_empty(), "plaintext without a handshake");
    assert!(session.is_handshaking());
    assert_eq!(session.peer(), None);
    assert!(session.presented_chain().len() <= 16);
    assert!(session.cut().is_some(), "an end that means nothing");
    session.close_notify();
    let output = session.output().len();
    assert_eq!(session.consume(output), 0, "plaintext left without a handshake");
    assert!(session.output().is_empty());
}

fn profile() -> &'static TlsProfile {
    static PROFILE: OnceLock<TlsProfile> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let unix_time = Duration::from_secs(1_767_225_600);
        let material = TlsMaterial { trust: vec![TrustSource::Capella], unix_time, ..TlsMaterial::default() };
        TlsProfile::build(&material, &Policy::default()).expect("a profile").0
    })
}
