//! Credentials, certificates and settings have to fit together before anything is dialled (TLS-1, AUTH-6, RFC 0036).

use super::config::{ConfigError, Surroundings};
use crate::auth::Authenticator;
use crate::options::{Options, TlsVerify};
use crate::tls::{Identity, Note, Policy, TlsMaterial, TlsProfile, TrustSource};

/// What is known of the cluster's security from the connection string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Security {
    pub(super) tls: bool,
    /// A seed is a Capella host (TLS-9).
    pub(super) capella: bool,
}

impl Security {
    /// Brings credentials, settings and files together.
    pub(super) fn agree(
        self,
        options: &Options,
        authenticator: Authenticator,
        surroundings: Surroundings<'_>,
    ) -> Result<(Authenticator, Option<(TlsProfile, Vec<Note>)>), ConfigError> {
        let identity = identity(options, &authenticator, surroundings.files)?;
        if !self.tls {
            return match (&authenticator, identity) {
                (Authenticator::Bearer(_), _) => Err(ConfigError::InvalidArgument(
                    "a token is sent over TLS only: use couchbases://".into(),
                )),
                (Authenticator::Certificate(_), _) | (_, Some(_)) => Err(ConfigError::InvalidArgument(
                    "a client certificate needs TLS: use couchbases://".into(),
                )),
                _ => Ok((authenticator, None)),
            };
        }
        let mut trust = surroundings.trust;
        for path in &options.trust_certificate {
            let text = (surroundings.files)(path)
                .map_err(|reason| crate::tls::TlsError::TrustSource { path: path.clone(), reason })?;
            trust.push(TrustSource::Pem { origin: path.clone(), text });
        }
        let platform = if trust.is_empty()
            || trust.iter().any(|source| matches!(source, TrustSource::Default | TrustSource::Platform))
        {
            (surroundings.platform)()
        } else {
            crate::tls::PlatformStore::default()
        };
        let material = TlsMaterial { trust, platform, identity, unix_time: surroundings.unix_time };
        let policy = Policy {
            verify: options.tls_verify == TlsVerify::Peer,
            verify_hostname: options.tls_verify_hostname,
            disable_mozilla: options.disable_mozilla_ca_certificates,
            // Capella speaks 1.3; an explicit "no" to that rule is heard (TLS-10).
            min_v1_3: options.tls_disable_v1_2,
            capella: self.capella,
        };
        let secured = TlsProfile::build(&material, &policy)?;
        Ok((authenticator, Some(secured)))
    }
}

/// The client certificate: the authenticator's, or the one that the settings name.
fn identity(
    options: &Options,
    authenticator: &Authenticator,
    files: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<Option<Identity>, ConfigError> {
    let named = options.certificate_path.is_some() || options.key_path.is_some();
    match authenticator {
        Authenticator::Certificate(certificate) => match (certificate.identity(), named) {
            (Some(_), true) => Err(ConfigError::InvalidArgument(
                "a client certificate is given twice: by the authenticator and by certificate_path".into(),
            )),
            (Some(identity), false) => Ok(Some(identity.clone())),
            (None, _) => {
                let (Some(certificate), Some(key)) = (&options.certificate_path, &options.key_path) else {
                    return Err(ConfigError::InvalidArgument(
                        "a client certificate needs both certificate_path and key_path".into(),
                    ));
                };
                let mut read = |path: &String| {
                    files(path).map_err(|reason| ConfigError::File { path: path.clone(), reason })
                };
                Ok(Some(Identity::from_pem(read(certificate)?, read(key)?, certificate.clone())))
            }
        },
        Authenticator::Password(_) | Authenticator::Bearer(_) if named => Err(ConfigError::InvalidArgument(
            "certificate_path and key_path log in with a client certificate: give no password or token beside it (AUTH-6)".into(),
        )),
        _ => Ok(None),
    }
}
