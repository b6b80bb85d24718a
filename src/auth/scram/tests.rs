use proptest::prelude::*;

use super::*;
use crate::auth::Mechanism;
use crate::auth::vectors::{VECTORS, Vector};

const MAX: u32 = 1_000_000;

fn vector(name: &str) -> &'static Vector {
    VECTORS.iter().find(|vector| vector.name == name).unwrap()
}

fn start(vector: &Vector) -> ScramClient {
    let hash = vector.mechanism.scram_hash().unwrap();
    ScramClient::new(hash, vector.username, vector.nonce.into()).unwrap()
}

/// A client that has sent its proof.
fn proved(vector: &Vector) -> ScramClient {
    let mut client = start(vector);
    client.server_first(vector.server_first.as_bytes(), MAX).unwrap();
    client.client_final(&vector.salted()).unwrap();
    client
}

/// What a client with the nonce `abc` says to a server-first message.
fn server_first(message: impl AsRef<[u8]>) -> Result<SaltRequest, AuthError> {
    ScramClient::new(ScramHash::Sha256, "user", "abc".into())?.server_first(message.as_ref(), MAX)
}

fn fault(message: impl AsRef<[u8]>) -> ScramFault {
    match server_first(message) {
        Err(AuthError::Malformed(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn published_exchanges() {
    for vector in VECTORS {
        let mut client = start(vector);
        assert_eq!(client.client_first(), vector.client_first.as_bytes(), "{}", vector.name);
        let request = client.server_first(vector.server_first.as_bytes(), MAX).unwrap();
        assert_eq!(request, vector.request(), "{}", vector.name);
        let last = client.client_final(&vector.salted()).unwrap();
        assert_eq!(String::from_utf8(last).unwrap(), vector.client_final, "{}", vector.name);
        assert_eq!(client.server_final(vector.server_final.as_bytes()), Ok(()), "{}", vector.name);
    }
}

#[test]
fn sa_6_user_names_are_escaped_and_not_mapped() {
    let first = |name| {
        let client = ScramClient::new(ScramHash::Sha1, name, "N".into()).unwrap();
        String::from_utf8(client.client_first().to_vec()).unwrap()
    };
    assert_eq!(first("a=b,c"), "n,,n=a=3Db=2Cc,r=N");
    assert_eq!(first("=2C"), "n,,n==3D2C,r=N");
    assert_eq!(first("\u{1d2e}\u{fb01} \u{ad}x"), "n,,n=\u{1d2e}\u{fb01} \u{ad}x,r=N");
}

#[test]
fn sa_6_control_characters_are_refused() {
    for name in ["", "a\0", "\t", "a\u{9f}"] {
        let refused = ScramClient::new(ScramHash::Sha1, name, "N".into());
        assert!(matches!(refused, Err(AuthError::InvalidArgument(_))), "{name:?}");
    }
}

#[test]
fn sa_7_nonces_are_printable_without_comma() {
    for nonce in ["", "a,b", "a b", "n\u{e4}", "a\n"] {
        let refused = ScramClient::new(ScramHash::Sha1, "user", nonce.into());
        assert!(matches!(refused, Err(AuthError::InvalidArgument(_))), "{nonce:?}");
    }
}

#[test]
fn sa_8_a_sound_message_passes() {
    let request = server_first("r=abcX,s=AAEC,i=4096").unwrap();
    assert_eq!((request.hash, request.salt, request.iterations), (ScramHash::Sha256, vec![0, 1, 2], 4096));
    assert!(server_first("r=abcX,s=AAEC,i=1").is_ok());
    assert!(server_first("r=abcX,s=AAEC,i=1000000").is_ok());
}

#[test]
fn sa_8_mandatory_extensions_are_refused() {
    assert_eq!(fault("m=ext,r=abcX,s=AAEC,i=4096"), ScramFault::MandatoryExtension);
    assert_eq!(fault("r=abcX,s=AAEC,i=4096,m=ext"), ScramFault::MandatoryExtension);
}

#[test]
fn sa_8_attributes_come_in_order() {
    for message in [
        "",
        "r",
        "r=abcX",
        "r=abcX,s=AAEC",
        "s=AAEC,r=abcX,i=4096",
        "r=abcX,i=4096,s=AAEC",
        "R=abcX,s=AAEC,i=4096",
        " r=abcX,s=AAEC,i=4096",
        "r=abcX,,s=AAEC,i=4096",
        "x=y,r=abcX,s=AAEC,i=4096",
    ] {
        assert_eq!(fault(message), ScramFault::Attributes, "{message}");
    }
}

#[test]
fn sa_8_only_optional_extensions_follow() {
    assert!(server_first("r=abcX,s=AAEC,i=4096,x=y,Z=\u{e4}=").is_ok());
    for tail in [",", ",x", ",x=", ",=y", ",1=y", ",i=1", ",r=abcX", ",v=AAAA", ",e=other-error", ",x=y,"] {
        assert_eq!(fault(format!("r=abcX,s=AAEC,i=4096{tail}")), ScramFault::Attributes, "{tail}");
    }
}

#[test]
fn sa_8_the_nonce_extends_ours() {
    assert_eq!(fault("r=abc,s=AAEC,i=4096"), ScramFault::NonceNotExtended);
    assert_eq!(fault("r=abXc,s=AAEC,i=4096"), ScramFault::ForeignNonce);
    assert_eq!(fault("r=Xabc,s=AAEC,i=4096"), ScramFault::ForeignNonce);
    assert_eq!(fault("r=ab,s=AAEC,i=4096"), ScramFault::ForeignNonce);
    assert_eq!(fault("r=,s=AAEC,i=4096"), ScramFault::NonceCharacters);
    assert_eq!(fault("r=abc\u{e4},s=AAEC,i=4096"), ScramFault::NonceCharacters);
    assert_eq!(fault("r=abc\0,s=AAEC,i=4096"), ScramFault::NonceCharacters);
}

#[test]
fn sa_8_the_salt_decodes_and_is_not_empty() {
    for salt in ["", "!!!!", "AAE", "AAEC=", "A A=", "AA-_", "AAEC\n"] {
        assert_eq!(fault(format!("r=abcX,s={salt},i=4096")), ScramFault::Salt, "{salt}");
    }
}

#[test]
fn sa_8_iterations_are_decimal() {
    for count in ["", "+1", "-1", "0x10", "1e3", " 4096", "4096 ", "04096", "00", "1.5"] {
        assert_eq!(fault(format!("r=abcX,s=AAEC,i={count}")), ScramFault::Iterations, "{count}");
    }
}

#[test]
fn sa_8_iterations_are_bounded() {
    let huge = "9".repeat(1_000);
    for (count, iterations) in [
        ("0", 0),
        ("1000001", 1_000_001),
        ("4294967295", 4_294_967_295),
        ("4294967297", 4_294_967_297),
        ("99999999999", 99_999_999_999),
        (&huge, u64::MAX),
    ] {
        let refused = server_first(format!("r=abcX,s=AAEC,i={count}")).unwrap_err();
        assert_eq!(refused, AuthError::IterationsOutOfBounds { iterations, max: MAX }, "{count}");
        assert!(refused.to_string().contains("scram_max_iterations"), "{refused}");
    }
    let mut client = start(vector("rfc5802"));
    let bounded = client.server_first(vector("rfc5802").server_first.as_bytes(), 4095);
    assert_eq!(bounded, Err(AuthError::IterationsOutOfBounds { iterations: 4096, max: 4095 }));
}

#[test]
fn h9_messages_are_utf8_and_bounded() {
    assert_eq!(fault(b"r=abcX\xff,s=AAEC,i=4096"), ScramFault::NotUtf8);
    assert_eq!(fault(format!("r=abcX,s={},i=4096", "AAEC".repeat(1_024))), ScramFault::TooLong);
}

#[test]
fn sa_9_wrong_signature() {
    for vector in VECTORS {
        let mut signature = Base64::decode_vec(&vector.server_final[2..]).unwrap();
        for bit in [0, signature.len() * 8 - 1] {
            signature[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("v={}", Base64::encode_string(&signature));
            signature[bit / 8] ^= 1 << (bit % 8);
            let refused = proved(vector).server_final(forged.as_bytes());
            assert_eq!(refused, Err(AuthError::ServerSignatureWrong), "{} bit {bit}", vector.name);
        }
        let prefix = format!("v={}", Base64::encode_string(&signature[..signature.len() - 1]));
        for forged in [prefix.as_str(), "v="] {
            let refused = proved(vector).server_final(forged.as_bytes());
            assert_eq!(refused, Err(AuthError::ServerSignatureWrong), "{} {forged}", vector.name);
        }
    }
}

#[test]
fn sa_9_missing_signature() {
    let refused = proved(vector("rfc7677")).server_final(b"").unwrap_err();
    assert_eq!(refused, AuthError::ServerSignatureMissing);
    assert!(refused.is_unproven_server() && AuthError::ServerSignatureWrong.is_unproven_server());
}

#[test]
fn sa_9_server_error_is_a_failure() {
    let ended = |message: &[u8]| proved(vector("rfc7677")).server_final(message);
    assert_eq!(ended(b"e=other-error"), Err(AuthError::ServerError("other-error")));
    assert_eq!(ended(b"e=made up"), Err(AuthError::ServerError("a reason unknown to RFC 5802")));
}

#[test]
fn h9_junk_final_messages_are_refused() {
    let sound = vector("rfc7677").server_final;
    let table: Vec<(Vec<u8>, _)> = vec![
        (b"junk".to_vec(), ScramFault::Attributes),
        (b"x=y".to_vec(), ScramFault::Attributes),
        (b"V=AAAA".to_vec(), ScramFault::Attributes),
        (b"\xff\xfe".to_vec(), ScramFault::NotUtf8),
        (b"v=not base64".to_vec(), ScramFault::SignatureEncoding),
        (b"m=x,v=AAAA".to_vec(), ScramFault::MandatoryExtension),
        (format!("{sound},").into_bytes(), ScramFault::Attributes),
        (format!("{sound},v=AAAA").into_bytes(), ScramFault::Attributes),
        (format!("x=y,{sound}").into_bytes(), ScramFault::Attributes),
        (vec![b'v'; MAX_MESSAGE + 1], ScramFault::TooLong),
    ];
    for (message, fault) in table {
        let refused = proved(vector("rfc7677")).server_final(&message);
        assert_eq!(refused, Err(AuthError::Malformed(fault)), "{message:?}");
    }
    assert_eq!(proved(vector("rfc7677")).server_final(format!("{sound},x=y").as_bytes()), Ok(()));
}

#[test]
fn calls_out_of_order_end_the_exchange_with_an_error() {
    let vector = vector("kv-sasl-doc");
    let out_of_order =
        |result: Result<(), AuthError>| assert!(matches!(result, Err(AuthError::OutOfOrder(_))));

    let mut client = start(vector);
    out_of_order(client.server_final(vector.server_final.as_bytes()));
    out_of_order(client.server_first(vector.server_first.as_bytes(), MAX).map(drop));

    out_of_order(start(vector).client_final(&vector.salted()).map(drop));

    let mut client = proved(vector);
    out_of_order(client.client_final(&vector.salted()).map(drop));
    out_of_order(client.server_final(vector.server_final.as_bytes()));

    let mut client = proved(vector);
    assert_eq!(client.server_final(b"v=AAAA"), Err(AuthError::ServerSignatureWrong));
    out_of_order(client.server_final(vector.server_final.as_bytes()));
}

#[test]
fn a_password_salted_with_another_hash_is_refused() {
    let mut client = start(vector("kv-sasl-doc"));
    client.server_first(vector("kv-sasl-doc").server_first.as_bytes(), MAX).unwrap();
    let refused = client.client_final(&vector("rfc7677").salted());
    assert!(matches!(refused, Err(AuthError::OutOfOrder(_))));
}

#[test]
fn sa_11_debug_and_errors_show_no_payload() {
    let vector = vector("computed-escaped-username");
    let mut client = start(vector);
    let request = client.server_first(vector.server_first.as_bytes(), MAX).unwrap();
    let mut text = format!("{client:?} {request:?}");
    client.client_final(&vector.salted()).unwrap();
    text += &format!("{client:?} {vector:?}", vector = vector.salted());
    text += &format!("{:?}", client.server_final(b"e=SECRET"));
    for message in ["m=SECRET", "r=SECRET", "r=abcX,s=SECRET!,i=4096", "r=abcX,s=AAEC,i=SECRET"] {
        let error = server_first(message).unwrap_err();
        text += &format!("{error} {error:?}");
    }
    for secret in ["SECRET", "NONCE", "a=b", "a=3D", "AAEC", "p\u{e4}ss"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// The same exchanges in the shared requirement files, where those are beside the repository.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read a file that is not the engine's")]
fn vectors_match_the_shared_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/spec/kv-vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no {path}");
        return;
    };
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let shared = all["scram"].as_array().unwrap();
    assert_eq!(shared.len(), VECTORS.len());
    for (theirs, ours) in shared.iter().zip(VECTORS) {
        assert_eq!(theirs["name"], ours.name);
        assert_eq!(
            Mechanism::from_name(theirs["mechanism"].as_str().unwrap().as_bytes()),
            Some(ours.mechanism)
        );
        assert_eq!(theirs["client_final"], ours.client_final);
        assert_eq!(theirs["server_final"], ours.server_final);
        assert_eq!(theirs["salted_password"], ours.salted_password);
    }
}

/// Bytes that are often close to a message.
fn near_messages() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"r=abcX".to_vec()),
        Just(b"s=AAEC".to_vec()),
        Just(b"i=4096".to_vec()),
        Just(b"v=AAEC".to_vec()),
        Just(b"e=other-error".to_vec()),
        Just(b",".to_vec()),
        Just(b"x=".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat()),
    ]
}

proptest! {
    #[test]
    fn server_first_never_panics(message in near_messages(), max in any::<u32>()) {
        let mut client = ScramClient::new(ScramHash::Sha1, "user", "abc".into()).unwrap();
        if let Ok(request) = client.server_first(&message, max) {
            prop_assert!(!request.salt.is_empty() && (1..=max).contains(&request.iterations));
        }
    }

    #[test]
    fn server_final_never_panics_or_accepts(message in near_messages()) {
        let vector = vector("kv-sasl-doc");
        prop_assert!(proved(vector).server_final(&message).is_err());
        prop_assert!(start(vector).server_final(&message).is_err());
    }
}
