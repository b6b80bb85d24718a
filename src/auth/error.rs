//! Why an authentication failed; never with anything secret in it.

use thiserror::Error;

use super::Mechanism;

/// Why authentication failed.
///
/// All but [`InvalidArgument`](Self::InvalidArgument) and [`OutOfOrder`](Self::OutOfOrder) are an
/// `AuthenticationFailure` to the application, and end the connection. No text holds a password, a token, a user name
/// or bytes of a SASL payload (`SA-11`, `AUTH-9`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The caller's credentials or settings cannot be used; nothing was sent. The text says which and why.
    #[error("invalid argument: {0}")]
    InvalidArgument(&'static str),
    /// The caller's list of mechanisms leaves none for these credentials on this kind of connection (`SA-1`).
    #[error(
        "`allowed_sasl_mechanisms` ({allowed}) leaves no mechanism; for these credentials on this connection \
         there are: {usable}"
    )]
    NothingAllowed {
        /// The caller's list.
        allowed: String,
        /// What could be allowed.
        usable: String,
    },
    /// The server knows the mechanism and refused the credentials (`AUTH-3`).
    #[error(
        "the server refused the credentials ({mechanism}): check user name and password or token{}",
        ldap_hint(*mechanism)
    )]
    BadCredentials {
        /// The mechanism that was refused.
        mechanism: Mechanism,
    },
    /// The server refused the attempt without telling whether it knows the mechanism: it has no SASL, or its list
    /// of mechanisms could not be read (`SA-3`).
    #[error(
        "the server refused {mechanism}: either the credentials are wrong or it does not offer the mechanism{}",
        ldap_hint(*mechanism)
    )]
    MechanismRefused {
        /// The mechanism that was refused.
        mechanism: Mechanism,
    },
    /// The server offers none of the mechanisms that the client may use (`SA-3`, `AUTH-3`).
    #[error(
        "no common authentication mechanism: the client may use {allowed}, the server offers {offered}{}",
        if *plain_would_do {
            "; PLAIN sends the password readable on a connection without TLS and must be allowed explicitly there \
             (`allowed_sasl_mechanisms=PLAIN`; LDAP users need it): better use TLS (`couchbases://`)"
        } else {
            ""
        }
    )]
    NoCommonMechanism {
        /// What the client may use on this connection, in its order.
        allowed: String,
        /// What the server offers: its names, cut to a bounded length.
        offered: String,
        /// Whether listing PLAIN would help.
        plain_would_do: bool,
    },
    /// The server's message breaks the rules of SCRAM (`SA-8`, `SA-9`).
    #[error("malformed SCRAM message from the server: {0}")]
    Malformed(#[from] ScramFault),
    /// The server asks for a number of PBKDF2 rounds outside the bounds (`SA-8`).
    #[error(
        "the server asks for {iterations} SCRAM iterations, allowed are 1 to {max}: if the server is \
         trusted, raise `scram_max_iterations`"
    )]
    IterationsOutOfBounds {
        /// What the server asked for; `u64::MAX` for anything above.
        iterations: u64,
        /// The upper bound in force.
        max: u32,
    },
    /// The server's signature is wrong: it does not know the password (`SA-9`).
    #[error(
        "the server's SCRAM signature is wrong: the peer does not know the password and may be an impostor"
    )]
    ServerSignatureWrong,
    /// The server claims success without a signature: it does not know the password (`SA-9`).
    #[error("the server reports success without a SCRAM signature: the peer may be an impostor")]
    ServerSignatureMissing,
    /// The server ended a SCRAM exchange with an `e=` reason, named if it is one of RFC 5802 (`SA-9`).
    #[error("the server ended the SCRAM exchange with an error: {0}")]
    ServerError(&'static str),
    /// A status that does not fit this point of the exchange.
    #[error("unexpected status 0x{status:02x} during {mechanism} authentication")]
    UnexpectedStatus {
        /// The mechanism in use.
        mechanism: Mechanism,
        /// The status of the answer.
        status: u16,
    },
    /// A call that does not fit the state of the exchange: a mistake of the calling code, or an attempt that had
    /// already failed.
    #[error("a call out of order during authentication: {0}")]
    OutOfOrder(&'static str),
}

impl AuthError {
    /// Whether the peer failed to prove that it knows the password, which deserves a warning in the log (`SA-9`).
    pub const fn is_unproven_server(&self) -> bool {
        matches!(self, Self::ServerSignatureWrong | Self::ServerSignatureMissing)
    }
}

/// SCRAM cannot serve users whose passwords another system holds.
const fn ldap_hint(mechanism: Mechanism) -> &'static str {
    if mechanism.scram_hash().is_some() {
        "; LDAP users cannot use SCRAM, they need TLS or PLAIN in `allowed_sasl_mechanisms`"
    } else {
        ""
    }
}

/// Which check a SCRAM message of the server failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScramFault {
    /// Longer than any honest message.
    #[error("longer than 4096 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A mandatory extension (`m=`), which no client of this version can honour.
    #[error("a mandatory extension (m=)")]
    MandatoryExtension,
    /// An attribute is missing, out of order, repeated or nameless.
    #[error("attributes missing, out of order or repeated")]
    Attributes,
    /// The nonce holds other characters than printable ASCII.
    #[error("unprintable nonce")]
    NonceCharacters,
    /// The nonce does not begin with the client's.
    #[error("the nonce does not begin with the client's")]
    ForeignNonce,
    /// The server added nothing to the client's nonce.
    #[error("the server added nothing to the client's nonce")]
    NonceNotExtended,
    /// The salt is empty or not base64.
    #[error("the salt is empty or not base64")]
    Salt,
    /// The iteration count is not a decimal number.
    #[error("the iteration count is not a decimal number")]
    Iterations,
    /// The server's signature is not base64.
    #[error("the signature is not base64")]
    SignatureEncoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_3_no_common_mechanism_names_both_lists_and_the_ldap_hint() {
        let error = AuthError::NoCommonMechanism {
            allowed: "SCRAM-SHA512".into(),
            offered: "PLAIN GSSAPI".into(),
            plain_would_do: true,
        };
        let text = error.to_string();
        for part in ["SCRAM-SHA512", "PLAIN GSSAPI", "LDAP", "`allowed_sasl_mechanisms=PLAIN`", "TLS"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn bad_credentials_point_ldap_users_of_scram_to_plain() {
        let text = |mechanism| AuthError::BadCredentials { mechanism }.to_string();
        assert!(text(Mechanism::ScramSha512).contains("LDAP"));
        assert!(!text(Mechanism::Plain).contains("LDAP"));
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<AuthError>() <= 56, "{}", size_of::<AuthError>());
    }
}
