//! Where the bytes come from, and whether they are text.

use std::io::{self, Read as _};

use crate::failure::Failure;
use crate::hex::{self, BadHex};

/// Reads hexadecimal arguments, the file that one argument names, or standard input.
pub(super) fn read(arguments: &[String]) -> Result<Vec<u8>, Failure> {
    match arguments {
        [] => read_stdin(),
        [only] if only == "-" => read_stdin(),
        [only] => match hex::parse(only) {
            Ok(bytes) => Ok(bytes),
            Err(bad) => read_file(only, bad),
        },
        several => {
            let text = several.join(" ");
            hex::parse(&text).map_err(|bad| Failure::no(not_hex(bad, "the arguments")))
        }
    }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::no(format!("standard input: {error}")))?;
    from_either_form(bytes, "standard input")
}

fn read_file(name: &str, bad: BadHex) -> Result<Vec<u8>, Failure> {
    match std::fs::read(name) {
        Ok(bytes) => from_either_form(bytes, name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::no(not_hex(bad, "the argument")).hint("it is not the name of a file either"))
        }
        Err(error) => Err(Failure::no(format!("{name}: {error}"))),
    }
}

/// Bytes as they are, or hexadecimal text. No frame begins with a printable character or white space, and no text with
/// anything else.
fn from_either_form(bytes: Vec<u8>, source: &str) -> Result<Vec<u8>, Failure> {
    if bytes.first().is_none_or(|first| !first.is_ascii_graphic() && !first.is_ascii_whitespace()) {
        return Ok(bytes);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => hex::parse(text).map_err(|bad| Failure::no(not_hex(bad, source))),
        Err(error) => Err(Failure::no(format!(
            "{source}: byte {} is neither of a frame nor of hexadecimal text",
            error.valid_up_to()
        ))),
    }
}

fn not_hex(BadHex { offset, found }: BadHex, source: &str) -> String {
    match found {
        Some(c) => format!("{source}: {c:?} at byte {offset} is no hexadecimal digit"),
        None => format!("{source}: the last of the hexadecimal digits is missing, at byte {offset}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_told_apart() {
        assert_eq!(from_either_form(vec![0x80, b'a'], "f").unwrap(), [0x80, b'a']);
        assert_eq!(from_either_form(vec![0x08, 0], "f").unwrap(), [0x08, 0]);
        assert_eq!(from_either_form(b"80 0a\n".to_vec(), "f").unwrap(), [0x80, 0x0a]);
        assert!(from_either_form(b"hello".to_vec(), "f").is_err());
        assert!(from_either_form(vec![b'8', 0xff], "f").is_err());
    }

    #[test]
    fn arguments_are_hexadecimal_together() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(read(&words("80 01 ff")).unwrap(), [0x80, 0x01, 0xff]);
        assert!(read(&words("80 zz")).is_err());
        assert!(read(&words("/no/such/file")).is_err());
    }
}
