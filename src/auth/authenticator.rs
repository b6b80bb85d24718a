//! The credentials that an application hands over, checked once.

use std::fmt;
use std::sync::{Arc, Weak};

use zeroize::Zeroizing;

use super::{AuthError, Mechanism, payload};
use crate::tls::Identity;

/// Longest user name that servers accept, in bytes.
const MAX_USERNAME: usize = 128;

/// How connections prove who the application is. Clones share one copy of the secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authenticator {
    /// A user name and a password.
    Password(PasswordAuthenticator),
    /// A bearer token (JWT); needs TLS and server 8.1 or later (`AUTH-8`).
    Bearer(BearerAuthenticator),
    /// A client certificate: TLS proves who it is, and no SASL follows (`AUTH-5`).
    Certificate(CertificateAuthenticator),
}

/// A user name and a password. `Debug` shows neither.
#[derive(Clone)]
pub struct PasswordAuthenticator(Arc<Login>);

pub(super) struct Login {
    username: String,
    password: Zeroizing<String>,
}

impl Authenticator {
    /// What kind it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Password(_) => "user name and password",
            Self::Bearer(_) => "a bearer token",
            Self::Certificate(_) => "a client certificate",
        }
    }
}

impl PasswordAuthenticator {
    /// Checks and keeps the credentials; no character is mapped or normalised (`SA-6`).
    ///
    /// The password may be empty, as some servers have such users: whether it is right is the server's to say.
    ///
    /// # Errors
    /// [`AuthError::InvalidArgument`] if the user name is empty, longer than 128 bytes or holds control characters,
    /// if the password holds a NUL (4.3), or if both do not fit the 16 KiB that servers read before authentication.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Result<Self, AuthError> {
        let username = username.into();
        let password = Zeroizing::new(password.into());
        let fault = if username.is_empty() {
            "the user name is empty"
        } else if username.len() > MAX_USERNAME {
            "the user name is longer than 128 bytes"
        } else if username.chars().any(char::is_control) {
            "the user name holds control characters"
        } else if password.contains('\0') {
            "the password holds a NUL character"
        } else if !payload::fits_frame(Mechanism::Plain, payload::plain_len(&username, &password)) {
            "the password does not fit the 16 KiB that servers read before authentication"
        } else {
            return Ok(Self(Arc::new(Login { username, password })));
        };
        Err(AuthError::InvalidArgument(fault))
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.0.username
    }

    /// The password, for building payloads; never to be logged.
    pub fn password(&self) -> &str {
        &self.0.password
    }

    /// Whether both are clones of one value; equal ones that were made apart are not.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Identifies this pair of user name and password without holding it: once all its clones are
    /// gone, the password is wiped even if the identity is still kept somewhere.
    pub(super) fn identity(&self) -> Weak<Login> {
        Arc::downgrade(&self.0)
    }
}

impl fmt::Debug for PasswordAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordAuthenticator").finish_non_exhaustive()
    }
}

/// A bearer token. `Debug` does not show it.
#[derive(Clone)]
pub struct BearerAuthenticator(Arc<Zeroizing<String>>);

impl BearerAuthenticator {
    /// Checks and keeps the token.
    ///
    /// # Errors
    /// [`AuthError::InvalidArgument`] if the token is empty, holds control characters, or does not fit the 16 KiB that
    /// servers read before authentication (4.3).
    pub fn new(token: impl Into<String>) -> Result<Self, AuthError> {
        let token = Zeroizing::new(token.into());
        let fault = if token.is_empty() {
            "the bearer token is empty"
        } else if token.chars().any(char::is_control) {
            "the bearer token holds control characters"
        } else if !payload::fits_frame(Mechanism::OauthBearer, payload::bearer_len(&token)) {
            "the bearer token does not fit the 16 KiB that servers read before authentication"
        } else {
            return Ok(Self(Arc::new(token)));
        };
        Err(AuthError::InvalidArgument(fault))
    }

    /// The token, for building payloads; never to be logged.
    pub fn token(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuthenticator").finish_non_exhaustive()
    }
}

/// A client certificate with its private key. `Debug` shows neither.
#[derive(Clone, Debug)]
pub struct CertificateAuthenticator(Option<Identity>);

impl CertificateAuthenticator {
    /// A chain, the client's certificate first, and its key, both as PEM. Whether they are sound and belong together is
    /// found out at connect (`AUTH-6`).
    pub const fn new(identity: Identity) -> Self {
        Self(Some(identity))
    }

    /// The certificate that the settings `certificate_path` and `key_path` name.
    pub const fn from_options() -> Self {
        Self(None)
    }

    /// The certificate and its key, unless the settings name them.
    pub const fn identity(&self) -> Option<&Identity> {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(username: &str, password: &str) -> String {
        match PasswordAuthenticator::new(username, password) {
            Err(error @ AuthError::InvalidArgument(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sa_6_control_characters_in_the_user_name_are_refused() {
        for name in ["a\0b", "a\nb", "\u{7f}", "a\u{85}"] {
            assert!(fault(name, "x").contains("control characters"), "{name:?}");
        }
    }

    #[test]
    fn user_names_are_not_empty_and_have_at_most_128_bytes() {
        assert!(fault("", "x").contains("empty"));
        assert!(PasswordAuthenticator::new("u".repeat(128), "x").is_ok());
        assert!(fault(&"u".repeat(129), "x").contains("128 bytes"));
        assert!(fault(&"ü".repeat(65), "x").contains("128 bytes"));
    }

    #[test]
    fn passwords_hold_no_nul_but_may_be_empty_or_odd() {
        assert!(fault("u", "a\0").contains("NUL"));
        for password in ["", "\n", "p\u{e4}ss", "=,"] {
            let login = PasswordAuthenticator::new("u", password).unwrap();
            assert_eq!((login.username(), login.password()), ("u", password));
        }
    }

    #[test]
    fn credentials_fit_a_frame_before_authentication() {
        // 24 bytes of header, 5 of name, 2 separators, 1 of user name.
        assert!(PasswordAuthenticator::new("u", "p".repeat(16_384 - 32)).is_ok());
        assert!(fault("u", &"p".repeat(16_384 - 31)).contains("16 KiB"));
        // 24 bytes of header, 11 of name, 18 around the token.
        assert!(BearerAuthenticator::new("t".repeat(16_384 - 53)).is_ok());
        let error = BearerAuthenticator::new("t".repeat(16_384 - 52)).unwrap_err();
        assert!(error.to_string().contains("16 KiB"), "{error}");
    }

    #[test]
    fn bearer_tokens_hold_no_control_bytes() {
        for token in ["", "a\u{1}b", "a\r\nb"] {
            let error = BearerAuthenticator::new(token).unwrap_err();
            assert!(matches!(error, AuthError::InvalidArgument(_)), "{token:?}");
        }
    }

    #[test]
    fn auth_9_debug_shows_no_secret() {
        let login = PasswordAuthenticator::new("pat", "s3cret").unwrap();
        let bearer = BearerAuthenticator::new("t0ken").unwrap();
        let text = format!("{:?} {:?}", Authenticator::Password(login), Authenticator::Bearer(bearer));
        assert!(!text.contains("s3cret") && !text.contains("t0ken") && !text.contains("pat"), "{text}");
        let refused = fault("u", "s3cret\0") + &BearerAuthenticator::new("t0ken\n").unwrap_err().to_string();
        assert!(!refused.contains("s3cret") && !refused.contains("t0ken"), "{refused}");
    }

    #[test]
    fn the_password_is_dropped_with_its_last_clone() {
        let login = PasswordAuthenticator::new("u", "p").unwrap();
        let clone = login.clone();
        let identity = login.identity();
        drop(login);
        assert!(identity.upgrade().is_some());
        drop(clone);
        assert!(identity.upgrade().is_none());
    }
}
