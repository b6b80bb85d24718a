//! The `Authorization` header (`connecting.md` 3.5).

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::{Zeroize, Zeroizing};

use crate::auth::Authenticator;

/// How a request proves who the application is. Wiped when dropped; `Debug` shows no secret (`AUTH-9`).
#[derive(Clone)]
#[non_exhaustive]
pub enum Authorization {
    /// A user name and a password. The name may hold no colon: the server would take it for the separator.
    Basic {
        /// The user name.
        username: Zeroizing<String>,
        /// The password.
        password: Zeroizing<String>,
    },
    /// A bearer token (JWT).
    Bearer(Zeroizing<String>),
}

impl Authorization {
    /// Basic for a password, Bearer for a token; `None` for credentials that send no such header (3.5: certificates).
    pub fn from_authenticator(authenticator: &Authenticator) -> Option<Self> {
        match authenticator {
            Authenticator::Password(login) => Some(Self::Basic {
                username: Zeroizing::new(login.username().to_owned()),
                password: Zeroizing::new(login.password().to_owned()),
            }),
            Authenticator::Bearer(bearer) => Some(Self::Bearer(Zeroizing::new(bearer.token().to_owned()))),
            Authenticator::Certificate(_) => None,
        }
    }

    /// Length of the value of the header, in bytes.
    pub(super) fn value_len(&self) -> usize {
        match self {
            Self::Basic { username, password } => {
                "Basic ".len() + (username.len() + 1 + password.len()).div_ceil(3) * 4
            }
            Self::Bearer(token) => "Bearer ".len() + token.len(),
        }
    }

    /// Appends the value of the header. `out` has room for [`value_len`](Self::value_len) bytes, so that no copy is
    /// left behind by growing.
    pub(super) fn write_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Basic { username, password } => {
                let mut plain = Zeroizing::new(Vec::with_capacity(username.len() + 1 + password.len()));
                plain.extend_from_slice(username.as_bytes());
                plain.push(b':');
                plain.extend_from_slice(password.as_bytes());
                let mut coded = Base64::encode_string(&plain);
                out.extend_from_slice(b"Basic ");
                out.extend_from_slice(coded.as_bytes());
                coded.zeroize();
            }
            Self::Bearer(token) => {
                out.extend_from_slice(b"Bearer ");
                // An authenticator holds no control characters; one made by hand must not break the head either.
                out.extend(token.bytes().map(|byte| if byte.is_ascii_control() { b'?' } else { byte }));
            }
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
        })
    }
}
