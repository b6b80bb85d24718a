//! Certificates from files: the platform's store (TLS-4), and what options name. The engine reads neither files nor the
//! environment; it is handed what is read here.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use settee::tls::{self, Identity, IdentityFault, PlatformStore, TlsError, TrustSource};

use crate::trace::debug;

/// The variable that names a bundle of certificates.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// The variable that names directories of certificates.
pub const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// Files beyond this are no certificates; bundles of all public CAs have less than 1 MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Where certificates are looked for unless a variable says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) file: Option<PathBuf>,
    pub(crate) dirs: Vec<PathBuf>,
}

/// The places of this kind of system that exist; none where it has a store of its own instead.
///
/// The bundle cannot be told while [`SSL_CERT_FILE`] names one.
pub(crate) fn defaults() -> Defaults {
    #[cfg(all(unix, not(target_os = "macos")))]
    return Defaults {
        file: if env::var_os(SSL_CERT_FILE).is_none() { openssl_probe::probe().cert_file } else { None },
        dirs: openssl_probe::candidate_cert_dirs().map(Path::to_owned).collect(),
    };
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    Defaults::default()
}

/// Reads the platform's store by the rule of OpenSSL (TLS-4): the bundle of `SSL_CERT_FILE`, or else the usual one, and the
/// directories of `SSL_CERT_DIR`, or else the usual ones. Each variable replaces its own half alone; an empty one leaves its
/// half out. On macOS and Windows it is the native store unless one of the variables is set.
///
/// Nothing fails: what cannot be read is told in [`PlatformStore::problems`]. This reads some hundred files, so call it once
/// per cluster and off the I/O thread. Without the feature `tls` the store is empty.
pub fn platform_store() -> PlatformStore {
    let (file, dir) = (env::var_os(SSL_CERT_FILE), env::var_os(SSL_CERT_DIR));
    #[cfg(any(target_os = "macos", windows))]
    if file.is_none() && dir.is_none() {
        return native_store();
    }
    read_store(file, dir, defaults())
}

/// Reads trust anchors of the files that an option names.
///
/// # Errors
///
/// [`TlsError::TrustSource`] for a file that cannot be read. Whether it holds certificates is told when a profile is built.
pub fn trust_files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Vec<TrustSource>, TlsError> {
    paths
        .into_iter()
        .map(|path| {
            let path = path.as_ref();
            let origin = path.display().to_string();
            match read(path) {
                Ok(text) => Ok(TrustSource::pem(origin, text)),
                Err(error) => Err(TlsError::TrustSource { path: origin, reason: error.to_string() }),
            }
        })
        .collect()
}

/// Reads a client certificate and its key; both paths may be the same.
///
/// # Errors
///
/// [`TlsError::Identity`] with the path that cannot be read. Whether both fit is told when a profile is built (AUTH-6).
pub fn identity_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Identity, TlsError> {
    let read = |path: &Path| {
        read(path).map_err(|error| TlsError::Identity {
            origin: path.display().to_string(),
            fault: IdentityFault::Unreadable(error.to_string()),
        })
    };
    let (certificate, key) = (certificate.as_ref(), key.as_ref());
    let origin = format!("{} with the key {}", certificate.display(), key.display());
    Ok(Identity::from_pem(read(certificate)?, read(key)?, origin))
}

/// Reads a store from what the variables say and the defaults where they say nothing.
fn read_store(file: Option<OsString>, dir: Option<OsString>, defaults: Defaults) -> PlatformStore {
    let mut store = PlatformStore::default();
    if tls::backend().is_none() {
        return store;
    }
    let mut seen = BTreeSet::new();
    let file = match file {
        Some(set) => Some(PathBuf::from(set)).filter(|path| !path.as_os_str().is_empty()),
        None => defaults.file,
    };
    let dirs = match dir {
        Some(set) => env::split_paths(&set).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => defaults.dirs,
    };
    if let Some(path) = &file {
        match read(path) {
            Ok(text) => {
                if !add(&mut store, &mut seen, path, &text) {
                    store.problems.push(format!("{}: there is no certificate in it", path.display()));
                }
            }
            Err(error) => store.problems.push(format!("{}: {error}", path.display())),
        }
    }
    for dir in &dirs {
        if let Err(error) = add_dir(&mut store, &mut seen, dir) {
            store.problems.push(format!("{}: {error}", dir.display()));
        }
    }
    store.file = file.map(|path| path.display().to_string());
    store.dir = joined(&dirs);
    store
}

/// Directories as the variable has them.
pub(crate) fn joined(dirs: &[PathBuf]) -> Option<String> {
    let joined = env::join_paths(dirs).ok()?;
    (!joined.is_empty()).then(|| joined.to_string_lossy().into_owned())
}

/// Adds every file of a directory, in the order of their names, so that the same store is always read alike.
fn add_dir(store: &mut PlatformStore, seen: &mut BTreeSet<Vec<u8>>, dir: &Path) -> io::Result<()> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        // Most entries are links, so what they lead to counts; a link to nowhere is a certificate that was removed.
        if !fs::metadata(&path).is_ok_and(|about| about.is_file()) {
            continue;
        }
        match read(&path) {
            Ok(text) => {
                if !add(store, seen, &path, &text) {
                    debug!("{}: no certificate in it", path.display());
                }
            }
            Err(error) => store.problems.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(())
}

/// Adds the certificates of a text that are not there yet; whether it has any.
fn add(store: &mut PlatformStore, seen: &mut BTreeSet<Vec<u8>>, path: &Path, text: &[u8]) -> bool {
    let (certificates, damaged) = tls::pem_certificates(text);
    if damaged {
        let count = certificates.len();
        store
            .problems
            .push(format!("{}: its PEM text is damaged after {count} certificates", path.display()));
    }
    let any = damaged || !certificates.is_empty();
    for certificate in certificates {
        if seen.insert(certificate.clone()) {
            store.anchors.push(certificate);
        }
    }
    any
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device would be read for ever.
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is too large to be a file of certificates"));
    }
    Ok(text)
}

#[cfg(any(target_os = "macos", windows))]
fn native_store() -> PlatformStore {
    let mut store = PlatformStore::default();
    if tls::backend().is_none() {
        return store;
    }
    let result = rustls_native_certs::load_native_certs();
    let mut seen = BTreeSet::new();
    for certificate in result.certs {
        if seen.insert(certificate.to_vec()) {
            store.anchors.push(certificate.to_vec());
        }
    }
    store.problems = result.errors.iter().map(ToString::to_string).collect();
    store
}

#[cfg(test)]
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod tests {
    use super::*;

    const RSA: &str = include_str!("../../../src/tls/tests/fixtures/rsa.pem");
    const EC: &str = include_str!("../../../src/tls/tests/fixtures/ec.pem");

    /// A folder that goes away with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = env::temp_dir().join(format!("settee-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn dir(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn der(pem: &str) -> Vec<u8> {
        tls::pem_certificates(pem.as_bytes()).0.remove(0)
    }

    fn set(path: impl AsRef<Path>) -> Option<OsString> {
        Some(path.as_ref().as_os_str().to_owned())
    }

    #[test]
    fn tls_4_each_variable_replaces_its_own_half() {
        let folder = Folder::new("halves");
        let (usual, other) = (dir(&folder.0, "usual"), dir(&folder.0, "other"));
        file(&usual, "one.pem", tls::CAPELLA_PEM);
        file(&other, "two.pem", EC);
        let bundle = file(&folder.0, "bundle.pem", RSA);
        let named = file(&folder.0, "named.pem", EC);
        let defaults = || Defaults { file: Some(bundle.clone()), dirs: vec![usual.clone()] };
        let (capella, rsa, ec) = (der(tls::CAPELLA_PEM), der(RSA), der(EC));
        for (file, dir, anchors) in [
            (None, None, vec![&rsa, &capella]),
            (set(&named), None, vec![&ec, &capella]),
            (None, set(&other), vec![&rsa, &ec]),
            (set(&named), set(&other), vec![&ec]),
            (set(""), None, vec![&capella]),
            (None, set(""), vec![&rsa]),
            (set(""), set(""), vec![]),
        ] {
            let store = read_store(file.clone(), dir.clone(), defaults());
            assert_eq!(store.anchors.iter().collect::<Vec<_>>(), anchors, "{file:?} {dir:?}");
            assert_eq!(store.problems, Vec::<String>::new());
        }
        let store = read_store(set(&named), set(&other), defaults());
        assert_eq!(store.file, Some(named.display().to_string()));
        assert_eq!(store.dir, Some(other.display().to_string()));
    }

    #[test]
    fn tls_4_several_directories_and_every_file_once() {
        let folder = Folder::new("directories");
        let (first, second) = (dir(&folder.0, "first"), dir(&folder.0, "second"));
        file(&first, "a.pem", &format!("{RSA}\n{EC}"));
        file(&first, "README", "no certificate");
        file(&dir(&first, "folder"), "hidden.pem", tls::CAPELLA_PEM);
        file(&second, "a.pem", EC);
        file(&second, "b.crt", &format!("text\n{RSA}"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(second.join("a.pem"), second.join("12345678.0")).unwrap();
            std::os::unix::fs::symlink("nowhere", second.join("87654321.0")).unwrap();
        }
        let dirs = env::join_paths([&first, &second]).unwrap();
        let store = read_store(set(""), Some(dirs.clone()), Defaults::default());
        assert_eq!(store.anchors, [der(RSA), der(EC)], "without duplicates");
        assert_eq!(store.problems, Vec::<String>::new());
        assert_eq!(store.dir, Some(dirs.to_string_lossy().into_owned()));
    }

    #[test]
    fn tls_4_what_cannot_be_read_is_told_and_the_rest_is_used() {
        let folder = Folder::new("problems");
        let damaged = format!("{RSA}\n-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n");
        let good = dir(&folder.0, "good");
        file(&good, "damaged.pem", &damaged);
        let missing = folder.0.join("missing");
        let dirs = env::join_paths([&missing, &good]).unwrap();
        let store = read_store(set(&missing), Some(dirs), Defaults::default());
        assert_eq!(store.anchors, [der(RSA)]);
        let [bundle, directory, damaged] = store.problems.as_slice() else { panic!("{:?}", store.problems) };
        assert!(bundle.starts_with(&missing.display().to_string()), "{bundle}");
        assert!(directory.starts_with(&missing.display().to_string()), "{directory}");
        assert!(damaged.ends_with("damaged after 1 certificates"), "{damaged}");
        let empty = file(&folder.0, "empty.pem", "nothing");
        let store = read_store(set(&empty), set(""), Defaults::default());
        assert!(store.problems[0].ends_with("there is no certificate in it"), "{:?}", store.problems);
        let store = read_store(set(&folder.0), set(""), Defaults::default());
        assert!(store.problems[0].ends_with("not a regular file"), "{:?}", store.problems);
    }

    #[test]
    fn tls_4_the_store_of_this_machine_can_be_read() {
        let store = platform_store();
        if store.anchors.is_empty() {
            eprintln!("SKIPPED: this machine has no certificate store: {:?}", store.problems);
            return;
        }
        let distinct: BTreeSet<_> = store.anchors.iter().collect();
        assert_eq!(distinct.len(), store.anchors.len());
    }

    #[test]
    fn files_named_by_options() {
        let folder = Folder::new("options");
        let (one, two) = (file(&folder.0, "one.pem", RSA), file(&folder.0, "two.pem", EC));
        let trust = trust_files([&one, &two]).unwrap();
        assert_eq!(
            trust,
            [
                TrustSource::pem(one.display().to_string(), RSA),
                TrustSource::pem(two.display().to_string(), EC)
            ]
        );
        let missing = folder.0.join("missing.pem");
        let error = trust_files([&one, &missing]).unwrap_err();
        assert!(
            matches!(&error, TlsError::TrustSource { path, .. } if *path == missing.display().to_string()),
            "{error}"
        );
        let identity = identity_files(&one, &two).unwrap();
        assert!(identity.origin().contains("one.pem"), "{identity:?}");
        let error = identity_files(&one, &missing).unwrap_err();
        assert!(error.to_string().contains("missing.pem cannot be used: it cannot be read"), "{error}");
    }
}
