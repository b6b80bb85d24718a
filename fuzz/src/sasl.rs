//! The server's side of SCRAM, for answers that fit; computed apart from the client's code.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use settee::auth::ScramHash;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The salt that every answer names.
pub(crate) const SALT: &[u8] = b"salt";

/// The nonce of a client's first message.
pub(crate) fn client_nonce(client_first: &[u8]) -> &str {
    let text = std::str::from_utf8(client_first).expect("the client sends UTF-8");
    text.rsplit_once(",r=").expect("the client sends a nonce").1
}

/// An honest first message.
pub(crate) fn server_first(client_first: &[u8], iterations: u32) -> Vec<u8> {
    let nonce = client_nonce(client_first);
    format!("r={nonce}srv,s={},i={iterations}", Base64::encode_string(SALT)).into_bytes()
}

/// The honest last message of somebody who knows the password.
pub(crate) fn server_final(
    hash: ScramHash,
    password: &str,
    (salt, iterations): (&[u8], u32),
    (client_first, server_first, client_final): (&[u8], &[u8], &[u8]),
) -> Vec<u8> {
    let bare = client_first.strip_prefix(b"n,,").expect("no channel binding");
    let proof = client_final.windows(3).rposition(|window| window == b",p=").expect("a proof");
    let message = [bare, server_first, &client_final[..proof]].join(&b',');
    let salted = pbkdf2(hash, password.as_bytes(), salt, iterations);
    let server_key = mac(hash, &salted, b"Server Key");
    let signature = mac(hash, &server_key, &message);
    format!("v={}", Base64::encode_string(&signature)).into_bytes()
}

fn pbkdf2(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut last = mac(hash, password, &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last.clone();
    for _ in 1..iterations {
        last = mac(hash, password, &last);
        sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn mac(hash: ScramHash, key: &[u8], data: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("keys of any length");
        mac.update(data);
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        ScramHash::Sha512 => with::<Hmac<Sha512>>(key, data),
        ScramHash::Sha256 => with::<Hmac<Sha256>>(key, data),
        ScramHash::Sha1 => with::<Hmac<Sha1>>(key, data),
    }
}
