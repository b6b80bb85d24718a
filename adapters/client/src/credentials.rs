//! Who logs in.

use std::fmt;
use std::path::{Path, PathBuf};

use settee::auth::{self, AuthError, Authenticator, BearerAuthenticator, PasswordAuthenticator};
use settee::engine::ConfigError;
use settee::tls::Identity;

use crate::error::Error;
use crate::trust;

/// A client certificate and its private key, for mutual TLS: no password is sent then (AUTH-5).
///
/// ```no_run
/// use settee_client::{CertificateAuthenticator, ClusterOptions};
///
/// let options = ClusterOptions::new(CertificateAuthenticator::from_files("client.pem", "client.key"))
///     .trust_certificate("ca.pem");
/// ```
///
/// Whether both are sound and belong together is told by connecting. `Debug` shows no key (AUTH-9).
#[derive(Clone)]
pub struct CertificateAuthenticator {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Files { chain: PathBuf, key: PathBuf },
    Pem(Identity),
    Settings,
}

impl CertificateAuthenticator {
    /// The certificate chain and the key of these PEM files, the client's certificate first, the key as PKCS#8, PKCS#1 or
    /// SEC1 without a passphrase; both may be the same file. They are read when the credentials are handed in: by
    /// [`ClusterOptions::new`](crate::ClusterOptions::new), and again by each
    /// [`Cluster::set_authenticator`](crate::Cluster::set_authenticator).
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { source: Source::Files { chain: chain.into(), key: key.into() } }
    }

    /// The same from the texts of such files.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { source: Source::Pem(Identity::from_pem(chain, key, "the client certificate")) }
    }

    /// The files that the settings `certificate_path` and `key_path` name, such as `?certpath=..&keypath=..` in a
    /// connection string.
    pub const fn from_settings() -> Self {
        Self { source: Source::Settings }
    }
}

impl fmt::Debug for CertificateAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Files { chain, key } => write!(f, "CertificateAuthenticator({chain:?}, {key:?})"),
            Source::Pem(_) => f.write_str("CertificateAuthenticator(PEM)"),
            Source::Settings => f.write_str("CertificateAuthenticator(settings)"),
        }
    }
}

/// What [`ClusterOptions::new`](crate::ClusterOptions::new) and
/// [`Cluster::set_authenticator`](crate::Cluster::set_authenticator) take: an authenticator, or the result of making one.
pub trait Credentials {
    /// The authenticator, or why there is none.
    ///
    /// # Errors
    /// The one that making it failed with, and files that cannot be read.
    fn into_authenticator(self) -> Result<Authenticator, Error>;
}

impl Credentials for Authenticator {
    fn into_authenticator(self) -> Result<Authenticator, Error> {
        Ok(self)
    }
}

impl Credentials for PasswordAuthenticator {
    fn into_authenticator(self) -> Result<Authenticator, Error> {
        Ok(Authenticator::Password(self))
    }
}

impl Credentials for BearerAuthenticator {
    fn into_authenticator(self) -> Result<Authenticator, Error> {
        Ok(Authenticator::Bearer(self))
    }
}

impl Credentials for CertificateAuthenticator {
    fn into_authenticator(self) -> Result<Authenticator, Error> {
        Ok(Authenticator::Certificate(match self.source {
            Source::Files { chain, key } => auth::CertificateAuthenticator::new(read(&chain, &key)?),
            Source::Pem(identity) => auth::CertificateAuthenticator::new(identity),
            Source::Settings => auth::CertificateAuthenticator::from_options(),
        }))
    }
}

impl<C: Credentials> Credentials for Result<C, AuthError> {
    fn into_authenticator(self) -> Result<Authenticator, Error> {
        self?.into_authenticator()
    }
}

fn read(chain: &Path, key: &Path) -> Result<Identity, Error> {
    trust::identity_files(chain, key).map_err(|error| ConfigError::from(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn auth_6_a_file_that_is_missing_is_named() {
        let missing = CertificateAuthenticator::from_files("/nowhere/client.pem", "/nowhere/client.key");
        let error = missing.into_authenticator().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("/nowhere/client.pem"), "{error}");
    }

    #[test]
    fn auth_9_debug_shows_no_key() {
        let shown = format!("{:?}", CertificateAuthenticator::from_pem("chain", "s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_refused_password_is_passed_on() {
        let error = PasswordAuthenticator::new("", "p").into_authenticator().unwrap_err();
        assert!(matches!(error, Error::Credentials(_)), "{error}");
    }
}
