//! The bucket segment and the parameters (spec 1.4, 1.5).

use super::error::{ErrorKind, ParseError};
use super::escape::{self, BadEscape};
use super::source::{Source, Span};

/// Reads the text after the first `/` of the path (CS-15 to CS-18).
pub(super) fn read_bucket(source: &Source<'_>, span: Span<'_>) -> Result<Option<String>, ParseError> {
    if span.is_empty() {
        return Ok(None);
    }
    if span.text.contains('/') {
        let hint = "one bucket name may follow the hosts: a second `/` is not part of it";
        return Err(source.error(ErrorKind::InvalidBucket, span, hint));
    }
    let name = unescape(source, span)?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.%-".contains(&byte);
    if name.len() > 100 || !name.bytes().all(valid) {
        let hint = "a bucket name has 1 to 100 letters, digits, `_`, `.`, `-` and `%` (written `%25`)";
        return Err(source.error(ErrorKind::InvalidBucket, span, hint));
    }
    Ok(Some(name))
}

/// A decoded parameter.
pub(super) struct Param {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) offset: usize,
    pub(super) hidden: bool,
}

/// Reads the text after the `?` (CS-19 to CS-21).
pub(super) fn read_params(source: &Source<'_>, span: Span<'_>) -> Result<Vec<Param>, ParseError> {
    span.split(&['&']).filter(|piece| !piece.is_empty()).map(|piece| read_param(source, piece)).collect()
}

fn read_param(source: &Source<'_>, span: Span<'_>) -> Result<Param, ParseError> {
    let (key_span, value_span) =
        span.split_once(&['=']).unwrap_or((span, Span { text: "", start: span.start + span.text.len() }));
    if key_span.is_empty() {
        let hint = "a parameter needs a name before its `=`";
        return Err(source.error(ErrorKind::InvalidOption, span, hint));
    }
    if let Some(at) = key_span.text.find(|c: char| c != '%' && !escape::is_unreserved(c)) {
        let hint = "names of parameters have letters, digits, `.`, `_`, `-`, `~` and percent escapes";
        return Err(source.error(ErrorKind::InvalidOption, key_span.split_at(at).1, hint));
    }
    let key = unescape(source, key_span)?;
    if is_credential(&key) {
        return Err(ParseError::new(
            ErrorKind::CredentialsInString,
            span.start,
            "",
            "credentials are not accepted as parameters: give them to the authenticator",
        ));
    }
    // Text beyond ASCII is taken as it is, so that `500µs` need not be escaped.
    let plain = |c: char| c == '%' || c == '/' || c == '?' || !c.is_ascii() || escape::is_path_character(c);
    if let Some(at) = value_span.text.find(|c: char| !plain(c)) {
        let hint = "this character has to be percent-encoded in a value";
        return Err(source.error(ErrorKind::InvalidOption, value_span.split_at(at).1, hint));
    }
    let value = unescape(source, value_span)?;
    Ok(Param { key, value, offset: span.start, hidden: source.is_hidden(span) })
}

fn unescape(source: &Source<'_>, span: Span<'_>) -> Result<String, ParseError> {
    escape::decode(span.text).map_err(|BadEscape(at)| {
        let hint = "`%` is followed by two hexadecimal digits of UTF-8 text; a literal one is written `%25`";
        source.error(ErrorKind::InvalidEscape, span.split_at(at).1, hint)
    })
}

/// Whether a parameter of this name would carry credentials (OPT-7).
///
/// Any case counts: a misspelt name must not bring a password into a warning.
pub(crate) fn is_credential(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let name = key.strip_prefix("com.couchbase.env.").unwrap_or(&key);
    matches!(name, "username" | "user" | "password" | "pass")
}
