//! Every target over its corpus and its regressions, on any compiler and without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file() && !hidden(path)).collect();
    files.sort();
    files
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

fn replay(name: &str, target: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = files(&root.join("corpus").join(name));
    assert!(!corpus.is_empty(), "the corpus of {name} is missing or empty");
    for path in corpus.into_iter().chain(files(&root.join("regressions").join(name))) {
        let data = fs::read(&path).unwrap();
        // The name is printed behind a panic alone: the test harness shows it for failures only.
        println!("{}", path.display());
        target(&data);
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
fn engine() {
    replay("engine", settee_fuzz::engine);
}
