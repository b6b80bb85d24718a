//! Connection strings: what is accepted reads back equal, what is refused says where, and no secret is told.

use settee::connstr::{ConnectionString, parse};
use settee::options::{self, Options};

/// Stands for secrets; no message has it by itself.
const MARKER: &str = "zqxjkvw";

/// The text is the whole input.
pub fn connstr(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    read(text);
    if let Some(secret) = with_secrets(text) {
        let told = read(&secret).to_ascii_lowercase();
        assert!(!told.contains(MARKER), "text before an `@` is told: {told}");
    }
}

/// Reads a string in every way; gives all that was said about it.
fn read(text: &str) -> String {
    let connstr = match parse(text) {
        Ok(connstr) => connstr,
        Err(error) => {
            assert!(error.offset <= text.len(), "an error beyond the end");
            return format!("{error} {error:?}");
        }
    };
    assert!(!connstr.seeds.is_empty());
    let normal = connstr.to_string();
    let again = parse(&normal).unwrap_or_else(|error| panic!("{normal:?} does not read back: {error}"));
    assert_eq!(again, connstr, "{normal:?} reads back as another value");
    assert_eq!(again.to_string(), normal, "the normal form is not normal");

    let mut told = format!("{:?}", connstr.warnings);
    for tls in [false, true] {
        match connstr.seeds_with(tls) {
            Ok((seeds, warnings)) => {
                assert!(!seeds.is_empty());
                told += &format!("{warnings:?}");
            }
            Err(error) => told += &format!("{error} {error:?}"),
        }
        assert_eq!(connstr.srv_query(tls).is_some(), connstr.srv);
    }
    for strict in [false, true] {
        told += &resolve(text, &connstr, strict);
    }
    told
}

fn resolve(text: &str, connstr: &ConnectionString, strict: bool) -> String {
    let mut typed = Options::default();
    typed.strict_options = strict;
    match options::resolve(connstr, typed) {
        Ok(resolved) => {
            assert!(!resolved.seeds.is_empty());
            assert!(!resolved.options.effective().is_empty());
            format!("{:?} {:?}", resolved.warnings, resolved.notes)
        }
        Err(error) => {
            assert!(error.offset.is_none_or(|offset| offset <= text.len()), "an error beyond the end");
            format!("{error} {error:?}")
        }
    }
}

/// The text with every longer word between scheme and last `@` replaced by a secret; `None` without any.
fn with_secrets(text: &str) -> Option<String> {
    let at = text.rfind('@')?;
    let start = text[..at].find("://").map_or(0, |scheme| scheme + 3);
    let (hidden, open) = text.split_at(at);
    if open.to_ascii_lowercase().contains(MARKER) || hidden[..start].to_ascii_lowercase().contains(MARKER) {
        return None;
    }
    let mut out = hidden[..start].to_owned();
    let mut word = String::new();
    for c in hidden[start..].chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_alphabetic() => word.push(c),
            other => {
                out += if word.len() > 4 { MARKER } else { &word };
                word.clear();
                out.extend(other);
            }
        }
    }
    out.contains(MARKER).then(|| out + open)
}
