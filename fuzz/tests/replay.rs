//! Every target over its corpus and its regressions, on any compiler and without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// An input takes milliseconds; one that is not done by then never will be.
const TIMEOUT: Duration = Duration::from_secs(60);

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn replay(name: &str, target: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = files(&root.join("corpus").join(name));
    assert!(!corpus.is_empty(), "the corpus of {name} is missing or empty");
    for path in corpus.into_iter().chain(files(&root.join("regressions").join(name))) {
        let data = fs::read(&path).unwrap();
        let (done, wait) = mpsc::channel();
        let run = thread::spawn(move || {
            target(&data);
            let _ = done.send(());
        });
        match wait.recv_timeout(TIMEOUT) {
            Err(RecvTimeoutError::Timeout) => panic!("{} does not end", path.display()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        }
        assert!(run.join().is_ok(), "{} breaks a promise; its message is above", path.display());
    }
}

#[test]
fn frame() {
    replay("frame", settee_fuzz::frame);
}

#[test]
fn connstr() {
    replay("connstr", settee_fuzz::connstr);
}

#[test]
fn map_json() {
    replay("map_json", settee_fuzz::map_json);
}

#[test]
fn scram() {
    replay("scram", settee_fuzz::scram);
}

#[test]
fn http() {
    replay("http", settee_fuzz::http);
}

#[test]
fn engine() {
    replay("engine", settee_fuzz::engine);
}

#[test]
fn tls_plain_bytes() {
    replay("tls_plain_bytes", settee_fuzz::tls_plain_bytes);
}

#[test]
fn dns() {
    replay("dns", settee_fuzz::dns);
}
