//! SASL mechanisms and their names on the wire.

use std::fmt;

/// A SASL mechanism that the client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// Salted challenge and response over SHA-512.
    ScramSha512,
    /// Salted challenge and response over SHA-256.
    ScramSha256,
    /// Salted challenge and response over SHA-1.
    ScramSha1,
    /// The password itself: over TLS, or where the caller lists it (`AUTH-1`).
    Plain,
    /// A bearer token (JWT), over TLS only (`AUTH-8`).
    OauthBearer,
}

impl Mechanism {
    /// All mechanisms.
    pub const ALL: [Self; 5] =
        [Self::ScramSha512, Self::ScramSha256, Self::ScramSha1, Self::Plain, Self::OauthBearer];

    /// The name as Couchbase writes it: no hyphen inside the hash name, other than in the IANA registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA512",
            Self::ScramSha256 => "SCRAM-SHA256",
            Self::ScramSha1 => "SCRAM-SHA1",
            Self::Plain => "PLAIN",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// The mechanism of exactly this name, upper and lower case told apart; `None` for any other.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes() == name)
    }

    /// The hash of a SCRAM mechanism; `None` for the others.
    pub const fn scram_hash(self) -> Option<ScramHash> {
        match self {
            Self::ScramSha512 => Some(ScramHash::Sha512),
            Self::ScramSha256 => Some(ScramHash::Sha256),
            Self::ScramSha1 => Some(ScramHash::Sha1),
            Self::Plain | Self::OauthBearer => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramHash {
    /// SHA-512: keys and signatures of 64 bytes.
    Sha512,
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-1: 20 bytes.
    Sha1,
}

impl ScramHash {
    /// The mechanism that uses this hash.
    pub const fn mechanism(self) -> Mechanism {
        match self {
            Self::Sha512 => Mechanism::ScramSha512,
            Self::Sha256 => Mechanism::ScramSha256,
            Self::Sha1 => Mechanism::ScramSha1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_byte_exact() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name().as_bytes()), Some(mechanism));
            assert_eq!(mechanism.to_string(), mechanism.name());
        }
        for other in ["SCRAM-SHA-256", "scram-sha1", "PLAIN ", "", "plain", "OAUTH", "SCRAM-SHA512-PLUS"] {
            assert_eq!(Mechanism::from_name(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn only_scram_has_a_hash() {
        for mechanism in Mechanism::ALL {
            match mechanism.scram_hash() {
                Some(hash) => assert_eq!(hash.mechanism(), mechanism),
                None => assert!(matches!(mechanism, Mechanism::Plain | Mechanism::OauthBearer)),
            }
        }
    }
}
