//! The three hash functions of SCRAM behind one choice.

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::ScramHash;

/// HMAC of `data` with `key`.
pub(super) fn hmac(hash: ScramHash, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
    fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(keyed::<M>(key).chain_update(data).finalize().into_bytes().to_vec())
    }
    match hash {
        ScramHash::Sha512 => with::<Hmac<Sha512>>(key, data),
        ScramHash::Sha256 => with::<Hmac<Sha256>>(key, data),
        ScramHash::Sha1 => with::<Hmac<Sha1>>(key, data),
    }
}

/// The bare hash of `data`.
pub(super) fn digest(hash: ScramHash, data: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match hash {
        ScramHash::Sha512 => Sha512::digest(data).to_vec(),
        ScramHash::Sha256 => Sha256::digest(data).to_vec(),
        ScramHash::Sha1 => Sha1::digest(data).to_vec(),
    })
}

/// A keyed state that can be cloned for each message.
pub(super) fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes keys of any length")
}
