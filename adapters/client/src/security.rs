//! Whom to trust and who one is under TLS (`connecting.md` 3.2, 3.4).

use std::fmt;
use std::path::PathBuf;

use settee::engine::ConfigError;
use settee::options::TlsVerify;
use settee::tls;

use crate::options::ClusterOptions;
use crate::trust;

/// Certificates by which a cluster is known under TLS. Several add up; without any it is [`Default`](Self::Default),
/// which needs no setting for Capella, for publicly signed certificates and for those that the platform trusts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustSource {
    /// The platform's store, Capella's root and Mozilla's bundle.
    Default,
    /// Capella's root.
    Capella,
    /// The platform's store; `SSL_CERT_FILE` and `SSL_CERT_DIR` say where it is (TLS-4).
    Platform,
    /// Mozilla's bundle, built in.
    Mozilla,
    /// PEM files, each with any number of certificates and any text around them (TLS-5); they are read at connect.
    ///
    /// They are the setting `trust_certificate`: a connection string that names files with it replaces these.
    PemFiles(Vec<PathBuf>),
    /// The text of a PEM file.
    PemBytes(Vec<u8>),
}

impl fmt::Debug for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::Capella => f.write_str("Capella"),
            Self::Platform => f.write_str("Platform"),
            Self::Mozilla => f.write_str("Mozilla"),
            Self::PemFiles(paths) => f.debug_tuple("PemFiles").field(paths).finish(),
            // Somebody may hand in the wrong file, a key for instance (AUTH-9).
            Self::PemBytes(text) => write!(f, "PemBytes({} bytes)", text.len()),
        }
    }
}

impl TrustSource {
    /// As the engine has it. PEM files are a setting of their own, unless they are handed in while running.
    pub(crate) fn read(self) -> Result<Vec<tls::TrustSource>, ConfigError> {
        Ok(vec![match self {
            Self::Default => tls::TrustSource::Default,
            Self::Capella => tls::TrustSource::Capella,
            Self::Platform => tls::TrustSource::Platform,
            Self::Mozilla => tls::TrustSource::Mozilla,
            Self::PemFiles(paths) => return Ok(trust::trust_files(paths)?),
            Self::PemBytes(text) => tls::TrustSource::pem("TrustSource::PemBytes", text),
        }])
    }
}

/// All of them, files included.
pub(crate) fn read(sources: Vec<TrustSource>) -> Result<Vec<tls::TrustSource>, ConfigError> {
    let mut all = Vec::new();
    for source in sources {
        all.append(&mut source.read()?);
    }
    Ok(all)
}

/// TLS, for `couchbases://`.
impl ClusterOptions {
    /// Trusts the cluster by these certificates; may be called again to add more.
    #[must_use]
    pub fn trust(mut self, source: TrustSource) -> Self {
        match source {
            TrustSource::PemFiles(paths) => paths.into_iter().fold(self, Self::trust_certificate),
            other => {
                self.trust.push(other);
                self
            }
        }
    }

    /// Trusts the cluster by the certificates of a PEM file and by no others; may be called again to add more. A file that
    /// is missing, unreadable or holds no certificate is an error of connecting.
    ///
    /// Of a self-managed cluster, this is the root certificate of its page "Security", brought here in a way that nobody
    /// can tamper with.
    #[must_use]
    pub fn trust_certificate(mut self, path: impl Into<PathBuf>) -> Self {
        if let Some(path) = self.path("trust_certificate", path.into()) {
            self.options.trust_certificate.push(path);
        }
        self
    }

    /// Leaves Mozilla's certificates out of what is trusted by default. Default: no.
    #[must_use]
    pub fn disable_mozilla_ca_certificates(self, disable: bool) -> Self {
        self.options(|options| options.disable_mozilla_ca_certificates = disable)
    }

    /// Whether the cluster's certificate is verified. Default: yes.
    ///
    /// [`TlsVerify::None`] lets anybody in between read and change everything; builds without the feature `insecure` refuse
    /// it, and on Capella it is not heard (TLS-10, TLS-17).
    #[must_use]
    pub fn tls_verify(self, verify: TlsVerify) -> Self {
        self.options(|options| options.tls_verify = verify)
    }

    /// Whether the names in the certificate must include the one that is dialled. Default: yes (TLS-13).
    #[must_use]
    pub fn tls_verify_hostname(self, verify: bool) -> Self {
        self.options(|options| options.tls_verify_hostname = verify)
    }

    /// A path as settings hold it; one that is not Unicode is refused at connect.
    fn path(&mut self, setting: &'static str, path: PathBuf) -> Option<String> {
        path.into_os_string()
            .into_string()
            .map_err(|path| {
                let text = format!("{setting}: the path {} is not Unicode", path.to_string_lossy());
                self.refused.get_or_insert_with(|| ConfigError::InvalidArgument(text).into());
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PasswordAuthenticator;

    fn options() -> ClusterOptions {
        ClusterOptions::new(PasswordAuthenticator::new("u", "p"))
    }

    #[test]
    fn trust_sources_add_up() {
        let options = options()
            .trust(TrustSource::Capella)
            .trust(TrustSource::PemFiles(vec!["a.pem".into(), "b.pem".into()]))
            .trust_certificate("c.pem")
            .trust(TrustSource::PemBytes(b"pem".to_vec()));
        assert_eq!(options.trust, [TrustSource::Capella, TrustSource::PemBytes(b"pem".to_vec())]);
        assert_eq!(options.options.trust_certificate, ["a.pem", "b.pem", "c.pem"]);
    }

    #[test]
    fn builders_are_the_settings_of_that_name() {
        let options = options()
            .disable_mozilla_ca_certificates(true)
            .tls_verify(TlsVerify::None)
            .tls_verify_hostname(false)
            .options;
        assert!(options.disable_mozilla_ca_certificates);
        assert_eq!((options.tls_verify, options.tls_verify_hostname), (TlsVerify::None, false));
    }

    #[test]
    fn auth_9_debug_shows_no_bytes() {
        let text = format!("{:?}", options().trust(TrustSource::PemBytes(b"s3cret".to_vec())));
        assert!(text.contains("PemBytes(6 bytes)") && !text.contains("s3cret"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_unicode_is_refused_by_name() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let path = PathBuf::from(OsStr::from_bytes(b"/ca-\xff.pem"));
        let refused = options().trust_certificate(path).refused.unwrap().to_string();
        assert!(refused.contains("trust_certificate") && refused.contains("not Unicode"), "{refused}");
    }
}
