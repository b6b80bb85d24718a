//! Credentials and certificates that change while a cluster is in use (AUTH-10 to AUTH-13).

use std::sync::Arc;
use std::time::Instant;

use settee::auth::{self, Authenticator};
use settee::engine::{ConfigError, Engine, Replace};
use settee::tls::{self, PlatformStore, TlsMaterial};

use crate::cluster::{Cluster, Shared, unix_time};
use crate::credentials::{CertificateAuthenticator, Credentials};
use crate::error::Error;
use crate::mailbox::{Command, Question};
use crate::ops::OpFuture;
use crate::reply::Reply;
use crate::security::{self, TrustSource};
use crate::trust;

/// What changes while the cluster is in use; no operation is lost by it.
impl Cluster {
    /// Takes other credentials of the same kind, for every connection from now on (AUTH-10). Connections in use:
    ///
    /// - opened by a password: they stay until they end (AUTH-11);
    /// - opened by a token: each shows the new token to its server, and is closed and opened again where that refuses it.
    ///   Hand in a new token before the old one expires;
    /// - opened by a certificate: they stay until they end, or until [`replace_connections`](Self::replace_connections).
    ///
    /// # Errors
    /// Credentials of another kind or that cannot be right; the earlier ones stay then.
    pub async fn set_authenticator(&self, credentials: impl Credentials) -> Result<(), Error> {
        let authenticator = credentials.into_authenticator()?;
        self.change(move |engine, now| engine.set_authenticator(authenticator, now)).await
    }

    /// Trusts by these sources in place of those so far, for every connection from now on; none at all is
    /// [`TrustSource::Default`]. A cluster whose authority is replaced is trusted by both for the time being: give the old
    /// certificate and the new one.
    ///
    /// # Errors
    /// As [`rotate_tls`](Self::rotate_tls).
    pub async fn set_trust(&self, trust: Vec<TrustSource>) -> Result<(), Error> {
        self.rotate_tls(trust, None, Replace::WhenTheyEnd).await
    }

    /// Takes other trust, and with `certificate` another client certificate, both at once. `replace` says what becomes of
    /// the connections in use (AUTH-13).
    ///
    /// Files are read at this call.
    ///
    /// # Errors
    /// A cluster without TLS, certificates or files that cannot be used, a client certificate beside a password; everything
    /// stays as it was then.
    pub async fn rotate_tls(
        &self,
        trust: Vec<TrustSource>,
        certificate: Option<CertificateAuthenticator>,
        replace: Replace,
    ) -> Result<(), Error> {
        let by_default =
            |source: &TrustSource| matches!(source, TrustSource::Default | TrustSource::Platform);
        let platform = if trust.is_empty() || trust.iter().any(by_default) {
            trust::platform_store()
        } else {
            PlatformStore::default()
        };
        let trust = security::read(trust)?;
        let certificate = certificate.map(Credentials::into_authenticator).transpose()?;
        self.change(move |engine, now| rotate(engine, trust, platform, certificate, replace, now)).await
    }

    /// Opens every connection in use anew, one after the other, with the newest credentials and certificates. The next one
    /// is there before its predecessor goes, so that no operation notices. Returns when that has begun.
    ///
    /// # Errors
    /// `ClusterClosed`.
    pub async fn replace_connections(&self) -> Result<(), Error> {
        self.change(|engine, now| {
            engine.replace_connections(now);
            Ok(())
        })
        .await
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut Engine, Instant) -> Result<(), ConfigError> + Send + 'static,
    ) -> Result<(), Error> {
        let ask = Question::new(move |engine, now| Reply::Changed(change(engine, now).map_err(Box::new)));
        let shared: &Arc<Shared> = self.shared();
        let changed = OpFuture::question(Arc::clone(shared), Command::Ask(ask), |reply| match reply {
            Reply::Changed(changed) => Some(changed),
            _ => None,
        });
        changed.await?.map_err(|error| Error::from(*error))
    }
}

fn rotate(
    engine: &mut Engine,
    trust: Vec<tls::TrustSource>,
    platform: PlatformStore,
    certificate: Option<Authenticator>,
    replace: Replace,
    now: Instant,
) -> Result<(), ConfigError> {
    let config = engine.config();
    let Some(profile) = config.tls_profile() else {
        return Err(ConfigError::InvalidArgument(
            "the cluster was opened without TLS: open another one with couchbases://".into(),
        ));
    };
    let identity = match certificate.as_ref().unwrap_or(&config.authenticator) {
        Authenticator::Certificate(certificate) => certificate.identity().cloned(),
        _ => None,
    };
    let material = TlsMaterial { trust, platform, identity, unix_time: unix_time() };
    let (profile, _) = profile.rebuild(&material)?;
    if let Some(certificate) = certificate {
        engine.set_authenticator(certificate, now)?;
    }
    engine.set_tls(profile, replace, now)
}

/// The client certificate that the settings name is read at connect; keeping it lets it outlive a change of trust.
pub(crate) fn keep_certificate(
    authenticator: &mut Authenticator,
    files: (Option<&str>, Option<&str>),
) -> Result<(), ConfigError> {
    if let Authenticator::Certificate(certificate) = authenticator
        && certificate.identity().is_none()
        && let (Some(chain), Some(key)) = files
    {
        *authenticator = Authenticator::Certificate(auth::CertificateAuthenticator::new(
            trust::identity_files(chain, key)?,
        ));
    }
    Ok(())
}
