//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding.

use std::{fmt, mem};

use base64ct::{Base64, Encoding};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::hash::{digest, hmac};
use super::{AuthError, SaltedPassword, ScramFault, ScramHash};

/// Iterations that RFC 7677 recommends at least. Fewer are accepted, and worth a line in the debug log (`AUTH-4`).
pub const RECOMMENDED_ITERATIONS: u32 = 4096;

/// Longest message that is read at all, in bytes; honest ones have a few hundred.
const MAX_MESSAGE: usize = 4096;

/// The GS2 header: no channel binding, no authorization id. Its base64 is `biws`.
const GS2_HEADER: &[u8] = b"n,,";

/// Attributes that RFC 5802 gives a meaning: none of them may pose as an extension.
const RESERVED: &[u8] = b"aceimnprsv";

/// What the server wants the password to be salted with.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltRequest {
    /// The hash of the mechanism.
    pub hash: ScramHash,
    /// The salt: not empty, at most 3 KiB.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2: between 1 and the caller's bound.
    pub iterations: u32,
}

/// The salt is a part of a SASL payload, so only its length is shown (`SA-11`).
impl fmt::Debug for SaltRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltRequest")
            .field("hash", &self.hash)
            .field("salt_len", &self.salt.len())
            .field("iterations", &self.iterations)
            .finish()
    }
}

/// One SCRAM exchange: four messages, each method once and in this order: [`client_first`](Self::client_first),
/// [`server_first`](Self::server_first), [`client_final`](Self::client_final), [`server_final`](Self::server_final).
///
/// A failed check ends the exchange; a call out of order is [`AuthError::OutOfOrder`] and ends it too.
pub struct ScramClient {
    hash: ScramHash,
    nonce: String,
    client_first: Vec<u8>,
    state: State,
}

enum State {
    /// Waits for the server's salt and nonce.
    Started,
    /// Waits for the salted password.
    Challenged {
        server_first: Zeroizing<Vec<u8>>,
        /// `c=biws,r=` and the full nonce.
        without_proof: Vec<u8>,
    },
    /// Waits for the server's signature.
    Proved { server_signature: Zeroizing<Vec<u8>> },
    /// Succeeded or failed.
    Ended,
}

impl ScramClient {
    /// Starts an exchange. `nonce` is fresh randomness, as from [`Entropy::nonce`](crate::entropy::Entropy::nonce).
    ///
    /// # Errors
    /// [`AuthError::InvalidArgument`] if the user name is empty or holds control characters (`SA-6`), or if the nonce is
    /// empty or holds anything but printable ASCII without comma (`SA-7`).
    pub fn new(hash: ScramHash, username: &str, nonce: String) -> Result<Self, AuthError> {
        if username.is_empty() || username.chars().any(char::is_control) {
            return Err(AuthError::InvalidArgument("the user name is empty or holds control characters"));
        }
        if !is_nonce(nonce.as_bytes()) {
            return Err(AuthError::InvalidArgument("the nonce is not printable ASCII without comma"));
        }
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let client_first = [GS2_HEADER, b"n=", username.as_bytes(), b",r=", nonce.as_bytes()].concat();
        Ok(Self { hash, nonce, client_first, state: State::Started })
    }

    /// The value of SASL_AUTH.
    pub fn client_first(&self) -> &[u8] {
        &self.client_first
    }

    /// Checks the server's first message and says how to salt the password.
    ///
    /// # Errors
    /// [`AuthError::Malformed`] for each check of `SA-8`; [`AuthError::IterationsOutOfBounds`] outside 1 to
    /// `max_iterations` (the option `scram_max_iterations`).
    pub fn server_first(&mut self, payload: &[u8], max_iterations: u32) -> Result<SaltRequest, AuthError> {
        let State::Started = mem::replace(&mut self.state, State::Ended) else {
            return Err(AuthError::OutOfOrder("the server's first SCRAM message is not due"));
        };
        let mut attributes = attributes(payload)?;

        let nonce = expect(attributes.next(), b'r')?;
        if !is_nonce(nonce) {
            return Err(ScramFault::NonceCharacters.into());
        }
        match nonce.strip_prefix(self.nonce.as_bytes()) {
            None => return Err(ScramFault::ForeignNonce.into()),
            Some([]) => return Err(ScramFault::NonceNotExtended.into()),
            Some(_) => {}
        }
        let salt = decode(expect(attributes.next(), b's')?).ok_or(ScramFault::Salt)?;
        if salt.is_empty() {
            return Err(ScramFault::Salt.into());
        }
        let stated = decimal(expect(attributes.next(), b'i')?).ok_or(ScramFault::Iterations)?;
        check_extensions(attributes)?;
        let iterations = u32::try_from(stated)
            .ok()
            .filter(|iterations| (1..=max_iterations).contains(iterations))
            .ok_or(AuthError::IterationsOutOfBounds { iterations: stated, max: max_iterations })?;

        self.state = State::Challenged {
            server_first: Zeroizing::new(payload.to_vec()),
            without_proof: [b"c=biws,r=", nonce].concat(),
        };
        Ok(SaltRequest { hash: self.hash, salt, iterations })
    }

    /// The value of SASL_STEP: proves that the client knows the password.
    ///
    /// # Errors
    /// [`AuthError::OutOfOrder`] before the server's first message, and for a password salted with another hash.
    pub fn client_final(&mut self, salted: &SaltedPassword) -> Result<Vec<u8>, AuthError> {
        let State::Challenged { server_first, without_proof } = mem::replace(&mut self.state, State::Ended)
        else {
            return Err(AuthError::OutOfOrder("the client's final SCRAM message is not due"));
        };
        if salted.hash() != self.hash {
            return Err(AuthError::OutOfOrder("the password was salted for another mechanism"));
        }
        let bare = self.client_first.get(GS2_HEADER.len()..).unwrap_or_default();
        let auth_message =
            Zeroizing::new([bare, server_first.as_slice(), without_proof.as_slice()].join(&b','));

        let client_key = hmac(self.hash, salted.as_bytes(), b"Client Key");
        let stored_key = digest(self.hash, &client_key);
        let client_signature = hmac(self.hash, &stored_key, &auth_message);
        let proof: Vec<u8> =
            client_key.iter().zip(client_signature.iter()).map(|(key, byte)| key ^ byte).collect();

        let server_key = hmac(self.hash, salted.as_bytes(), b"Server Key");
        self.state = State::Proved { server_signature: hmac(self.hash, &server_key, &auth_message) };
        Ok([without_proof.as_slice(), b",p=", Base64::encode_string(&proof).as_bytes()].concat())
    }

    /// Checks that the server knows the password too, in constant time. Only `Ok` means authenticated.
    ///
    /// # Errors
    /// `SA-9`: [`AuthError::ServerSignatureWrong`], [`AuthError::ServerSignatureMissing`] for an empty message,
    /// [`AuthError::ServerError`] for an `e=` reason, [`AuthError::Malformed`] for anything else.
    pub fn server_final(&mut self, payload: &[u8]) -> Result<(), AuthError> {
        let State::Proved { server_signature } = mem::replace(&mut self.state, State::Ended) else {
            return Err(AuthError::OutOfOrder("the server's final SCRAM message is not due"));
        };
        if payload.is_empty() {
            return Err(AuthError::ServerSignatureMissing);
        }
        let mut attributes = attributes(payload)?;
        let verifier = match attributes.next() {
            Some(&[b'e', b'=', ref reason @ ..]) => return Err(AuthError::ServerError(known_reason(reason))),
            first => expect(first, b'v')?,
        };
        let signature = decode(verifier).ok_or(ScramFault::SignatureEncoding)?;
        check_extensions(attributes)?;
        if bool::from(signature.as_slice().ct_eq(server_signature.as_slice())) {
            Ok(())
        } else {
            Err(AuthError::ServerSignatureWrong)
        }
    }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Started => "Started",
            State::Challenged { .. } => "Challenged",
            State::Proved { .. } => "Proved",
            State::Ended => "Ended",
        };
        f.debug_struct("ScramClient").field("hash", &self.hash).field("state", &state).finish_non_exhaustive()
    }
}

/// The comma-separated attributes of a server's message.
fn attributes(payload: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ScramFault> {
    if payload.len() > MAX_MESSAGE {
        return Err(ScramFault::TooLong);
    }
    if std::str::from_utf8(payload).is_err() {
        return Err(ScramFault::NotUtf8);
    }
    Ok(payload.split(|&byte| byte == b','))
}

/// The value of an attribute that must have this name.
fn expect(attribute: Option<&[u8]>, name: u8) -> Result<&[u8], ScramFault> {
    match attribute {
        Some([found, b'=', value @ ..]) if *found == name => Ok(value),
        Some([b'm', b'=', ..]) => Err(ScramFault::MandatoryExtension),
        _ => Err(ScramFault::Attributes),
    }
}

/// What follows the known attributes must be optional extensions: a letter without other meaning, `=`, a value.
fn check_extensions<'a>(attributes: impl Iterator<Item = &'a [u8]>) -> Result<(), ScramFault> {
    for attribute in attributes {
        match attribute {
            [b'm', b'=', ..] => return Err(ScramFault::MandatoryExtension),
            [name, b'=', _, ..] if name.is_ascii_alphabetic() && !RESERVED.contains(name) => {}
            _ => return Err(ScramFault::Attributes),
        }
    }
    Ok(())
}

fn is_nonce(nonce: &[u8]) -> bool {
    !nonce.is_empty() && nonce.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',')
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    Base64::decode_vec(std::str::from_utf8(text).ok()?).ok()
}

/// A decimal number without sign or leading zeros; anything above the range counts as `u64::MAX`.
fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = digits == b"0" || digits.first().is_some_and(|&first| first != b'0');
    if !plain || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

/// The reasons of RFC 5802, section 7. Others are not repeated: the text is the peer's (`SA-11`).
fn known_reason(reason: &[u8]) -> &'static str {
    const REASONS: [&str; 11] = [
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
    ];
    REASONS.into_iter().find(|known| known.as_bytes() == reason).unwrap_or("a reason unknown to RFC 5802")
}

#[cfg(test)]
mod tests;
