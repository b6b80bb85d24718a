//! Facts about what is compiled in, for metadata and logs (META-1, META-2).

/// The bundle of Mozilla's roots that is compiled in (META-2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bundle {
    /// The number of certificates.
    pub size: usize,
    /// SHA-256 over the DER of all of them in their order, in lower-case hexadecimal.
    pub sha256: String,
    /// The day of its release; `unknown` for a release that this crate was not pinned to.
    pub date: &'static str,
}

/// The back end of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backend {
    /// The implementation of TLS.
    pub name: &'static str,
    /// The release of it that this crate was tested with.
    pub version: &'static str,
    /// The implementation of the cryptography.
    pub provider: &'static str,
}

/// The bundle of Mozilla's roots, `None` in a build without TLS.
pub fn mozilla_bundle() -> Option<Bundle> {
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    return Some(embedded::bundle().clone());
    #[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
    None
}

/// What does TLS, `None` in a build without it.
pub fn backend() -> Option<Backend> {
    #[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
    return Some(embedded::BACKEND);
    #[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
    None
}

/// Whether certificates may go unverified in this build: whether it has the feature `insecure` (TLS-17).
pub const fn insecure_available() -> bool {
    cfg!(feature = "insecure")
}

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub(super) mod embedded {
    use std::sync::OnceLock;

    use sha2::{Digest as _, Sha256};
    use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

    use super::super::certificate::hex;
    use super::{Backend, Bundle};

    /// The release of `webpki-root-certs` in `Cargo.lock`, the day of that release and the hash of its bundle; a test
    /// holds the three together.
    #[cfg(test)]
    pub(crate) const RELEASE: &str = "1.0.11";
    pub(crate) const RELEASE_DATE: &str = "2026-10-23";
    pub(crate) const RELEASE_SHA256: &str =
        "eba33aadbbfce0ccc026b8eb059e5546d4f6ca4f140e33f0711474e2f3a359e5";

    pub(super) const BACKEND: Backend = Backend {
        name: "rustls",
        version: "0.23.46",
        provider: if cfg!(feature = "tls-aws-lc-rs") { "aws-lc-rs" } else { "ring" },
    };

    pub(crate) fn bundle() -> &'static Bundle {
        static BUNDLE: OnceLock<Bundle> = OnceLock::new();
        BUNDLE.get_or_init(|| {
            let hash = TLS_SERVER_ROOT_CERTS.iter().fold(Sha256::new(), |hash, root| hash.chain_update(root));
            let sha256 = hex(&hash.finalize());
            // Applications may resolve to another release than the one in this repository's lock file.
            let date = if sha256 == RELEASE_SHA256 { RELEASE_DATE } else { "unknown" };
            Bundle { size: TLS_SERVER_ROOT_CERTS.len(), sha256, date }
        })
    }
}
