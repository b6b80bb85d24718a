//! Credentials, certificates and settings have to fit together before anything is dialled (TLS-1, AUTH-6, RFC 0036).

use super::config::{ConfigError, EngineConfig, Surroundings};
use crate::auth::Authenticator;
use crate::options::{Options, TlsVerify};
use crate::tls::{Identity, Note, Policy, TlsError, TlsMaterial, TlsProfile, TrustSource};

/// A profile, and what there is to log about it.
type Secured = (TlsProfile, Vec<Note>);

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
    ) -> Result<(Authenticator, Option<Secured>), ConfigError> {
        fits(&authenticator, self.tls)?;
        let identity = identity(options, &authenticator, surroundings.files)?;
        if !self.tls {
            return Ok((authenticator, None));
        }
        let mut trust = surroundings.trust;
        for path in &options.trust_certificate {
            let text = (surroundings.files)(path)
                .map_err(|reason| TlsError::TrustSource { path: path.clone(), reason })?;
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
        let secured = TlsProfile::build(&material, &policy).map_err(|error| match error {
            TlsError::FeatureNotAvailable("tls") => ConfigError::FeatureNotAvailable {
                feature: "tls",
                hint: "this build has no TLS: enable the feature, or use couchbase:// on a trusted network",
            },
            TlsError::FeatureNotAvailable(feature) => ConfigError::FeatureNotAvailable {
                feature,
                hint: "tls_verify=none needs the cargo feature of that name; better give the authority by trust_certificate",
            },
            other => other.into(),
        })?;
        Ok((authenticator, Some(secured)))
    }
}

/// What holds at connect and for later credentials alike.
fn fits(authenticator: &Authenticator, tls: bool) -> Result<(), ConfigError> {
    let refused = match authenticator {
        _ if tls => return Ok(()),
        Authenticator::Password(_) => return Ok(()),
        Authenticator::Bearer(_) => {
            "a bearer token is sent over TLS only: use couchbases:// or enable_tls=true"
        }
        Authenticator::Certificate(_) => {
            "a client certificate (certificate_path, key_path) needs TLS: use couchbases:// or enable_tls=true"
        }
    };
    Err(ConfigError::InvalidArgument(refused.into()))
}

/// Whether these credentials may take the place of those that the engine has (AUTH-10); with a client certificate the
/// profile that presents it (AUTH-13).
pub(super) fn succeed(
    config: &EngineConfig,
    authenticator: &Authenticator,
) -> Result<Option<TlsProfile>, ConfigError> {
    let (old, new) = (config.authenticator.kind(), authenticator.kind());
    if old != new {
        return Err(ConfigError::InvalidArgument(format!(
            "the kind of credentials cannot change: the cluster was opened with {old}, and this is {new}; open another one"
        )));
    }
    fits(authenticator, config.tls())?;
    match (authenticator, config.tls_profile()) {
        (Authenticator::Certificate(certificate), Some(profile)) => {
            let Some(identity) = certificate.identity() else {
                return Err(ConfigError::InvalidArgument(
                    "certificate_path and key_path are read at connect only: hand in the new certificate and key themselves".into(),
                ));
            };
            Ok(Some(profile.with_identity(Some(identity))?))
        }
        _ => Ok(None),
    }
}

/// Whether this profile may take the place of the one that the engine has.
pub(super) fn succeed_profile(config: &EngineConfig, profile: &TlsProfile) -> Result<(), ConfigError> {
    let refused = match config.tls_profile() {
        None => "the cluster was opened without TLS: open another one with couchbases://",
        Some(current) if current.policy() != profile.policy() => {
            "the TLS settings are those of the connection: make the new profile by TlsProfile::rebuild of the present one"
        }
        Some(_) => match (&config.authenticator, profile.has_identity()) {
            (Authenticator::Certificate(_), false) => {
                "the client certificate is missing: the cluster was opened with one, so the new profile needs one too"
            }
            (Authenticator::Password(_) | Authenticator::Bearer(_), true) => {
                "a client certificate logs in by itself: give none beside a password or token (AUTH-6)"
            }
            _ => return Ok(()),
        },
    };
    Err(ConfigError::InvalidArgument(refused.into()))
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
                "a client certificate is given twice: by the authenticator and by certificate_path or key_path; leave one of them out".into(),
            )),
            (Some(identity), false) => Ok(Some(identity.clone())),
            (None, _) => {
                let (Some(certificate), Some(key)) = (&options.certificate_path, &options.key_path) else {
                    let missing =
                        if options.certificate_path.is_none() { "certificate_path" } else { "key_path" };
                    return Err(ConfigError::InvalidArgument(format!(
                        "a client certificate needs both certificate_path and key_path: {missing} is missing"
                    )));
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
