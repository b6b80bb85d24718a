//! Payloads of the mechanisms that need one message: PLAIN and OAUTHBEARER.

use zeroize::Zeroizing;

use super::{BearerAuthenticator, Mechanism, PasswordAuthenticator};

/// Whole frame that a server reads before authentication, in bytes; it closes on a longer one.
const MAX_FRAME: usize = 16 * 1024;
const FRAME_HEADER: usize = 24;

/// What stands before and after a bearer token: no channel binding, no authorization id, one key.
const BEARER_PREFIX: &[u8] = b"n,,\x01auth=Bearer ";
const BEARER_SUFFIX: &[u8] = b"\x01\x01";

/// Whether a SASL_AUTH frame with a payload of `len` bytes is short enough to be read before authentication.
pub(super) const fn fits_frame(mechanism: Mechanism, len: usize) -> bool {
    FRAME_HEADER + mechanism.name().len() + len <= MAX_FRAME
}

pub(super) const fn plain_len(username: &str, password: &str) -> usize {
    2 + username.len() + password.len()
}

pub(super) const fn bearer_len(token: &str) -> usize {
    BEARER_PREFIX.len() + token.len() + BEARER_SUFFIX.len()
}

/// An empty authorization id, the user name and the password, each behind a NUL (RFC 4616).
pub(super) fn plain(login: &PasswordAuthenticator) -> Zeroizing<Vec<u8>> {
    let (username, password) = (login.username(), login.password());
    // Reserved whole: a vector that grows leaves copies of the password behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(plain_len(username, password)));
    payload.push(0);
    payload.extend_from_slice(username.as_bytes());
    payload.push(0);
    payload.extend_from_slice(password.as_bytes());
    payload
}

/// The token as RFC 7628 frames it.
pub(super) fn bearer(token: &BearerAuthenticator) -> Zeroizing<Vec<u8>> {
    let mut payload = Zeroizing::new(Vec::with_capacity(bearer_len(token.token())));
    payload.extend_from_slice(BEARER_PREFIX);
    payload.extend_from_slice(token.token().as_bytes());
    payload.extend_from_slice(BEARER_SUFFIX);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_payload() {
        let login = PasswordAuthenticator::new("us=er", "p\u{e4}ss").unwrap();
        assert_eq!(plain(&login).as_slice(), b"\0us=er\0p\xc3\xa4ss");
        assert_eq!(plain(&login).len(), plain_len(login.username(), login.password()));
    }

    #[test]
    fn auth_8_bearer_payload() {
        let token = BearerAuthenticator::new("aaa.bbb.ccc").unwrap();
        assert_eq!(bearer(&token).as_slice(), b"n,,\x01auth=Bearer aaa.bbb.ccc\x01\x01");
        assert_eq!(bearer(&token).len(), bearer_len(token.token()));
    }
}
