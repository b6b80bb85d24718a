//! What `metadata` says about the build: compiler, target, profile, source revision and time.
//!
//! The time is that of `SOURCE_DATE_EPOCH` where it is set, so that builds can be repeated byte for byte. In a checkout,
//! revision and time are those of the last build from scratch: following every commit would rebuild all that depends on it.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    tell("RUSTC", env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"])));
    tell("TARGET", env::var("TARGET").ok());
    tell("PROFILE", env::var("PROFILE").ok());
    tell("REVISION", revision());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs().to_string());
    tell("TIME", env::var("SOURCE_DATE_EPOCH").ok().or_else(now));
}

fn tell(name: &str, value: Option<String>) {
    println!("cargo::rustc-env=SETTEE_BUILD_{name}={}", value.unwrap_or_default());
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The commit of a checkout of this repository, or the one that a published crate was made from. Any other repository
/// around it is somebody else's.
fn revision() -> Option<String> {
    let folder = env::var("CARGO_MANIFEST_DIR").ok()?;
    let folder = Path::new(&folder);
    if let Ok(info) = fs::read_to_string(folder.join(".cargo_vcs_info.json")) {
        let (_, rest) = info.split_once("\"sha1\": \"")?;
        return rest.split_once('"').map(|(sha1, _)| sha1.to_owned());
    }
    if !folder.join("../../.git").exists() {
        return None;
    }
    output("git", &["-C", folder.to_str()?, "rev-parse", "HEAD"])
}
