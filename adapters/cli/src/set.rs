//! `settee set`: writes a document, whatever was there.

use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use settee_tokio::{RawBinary, RawJson, RawString};

use crate::connection::ConnectionArgs;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  settee set -c couchbase://127.0.0.1 greeting '{\"text\": \"hello\"}'
  settee set couchbase://127.0.0.1 greeting hello        a string, as it is not JSON
  settee set -c couchbase://127.0.0.1 picture - --raw < picture.png
  settee set greeting hello                              on an embedded cluster: to try it out

Without --json, --string or --raw the value is JSON if it can be read as JSON, else a string, else bytes.

Exit codes: 0 done, 1 the operation failed, 2 the value is not of the format asked for, 3 no connection.";

/// Writes a document, whatever was there.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, override_usage = "settee set [OPTIONS] [CONNSTR] <KEY> <VALUE>")]
pub(crate) struct Args {
    /// The document's key and its value, behind the cluster's connection string if that is not an option; the value `-`
    /// is read from standard input.
    #[arg(value_names = ["KEY", "VALUE"], num_args = 2..=3, required = true, allow_negative_numbers = true)]
    words: Vec<String>,
    /// The value is JSON.
    #[arg(long, group = "format")]
    json: bool,
    /// The value is a string.
    #[arg(long, group = "format")]
    string: bool,
    /// The value is bytes.
    #[arg(long, group = "format")]
    raw: bool,
    /// Write the document's new CAS to standard error.
    #[arg(long)]
    meta: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (connection_string, key, value) = crate::arguments::with_value(&args.words)?;
    let value = match value {
        "-" => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::no(format!("standard input: {error}")))?;
            bytes
        }
        text => text.as_bytes().to_vec(),
    };
    let document = Document::read(value, args.asked_for())?;
    let result = args.connection.with(connection_string, |collection| async move {
        match document {
            Document::Json(bytes) => collection.upsert(key, RawJson(bytes)).await,
            Document::Text(text) => collection.upsert(key, RawString(text)).await,
            Document::Bytes(bytes) => collection.upsert(key, RawBinary(bytes)).await,
        }
    })?;
    if args.meta {
        writeln!(io::stderr(), "cas {}", result.cas())?;
    }
    Ok(())
}

impl Args {
    const fn asked_for(&self) -> Option<Format> {
        if self.json {
            Some(Format::Json)
        } else if self.string {
            Some(Format::Text)
        } else if self.raw {
            Some(Format::Bytes)
        } else {
            None
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Text,
    Bytes,
}

#[derive(Debug, PartialEq, Eq)]
enum Document {
    Json(Bytes),
    Text(String),
    Bytes(Bytes),
}

impl Document {
    /// Takes a value in the format asked for, or in the first that it has.
    fn read(value: Vec<u8>, asked_for: Option<Format>) -> Result<Self, Failure> {
        let json_error = || serde_json::from_slice::<serde_json::Value>(&value).err();
        match asked_for {
            Some(Format::Bytes) => Ok(Self::Bytes(value.into())),
            Some(Format::Json) => match json_error() {
                None => Ok(Self::Json(value.into())),
                Some(error) => Err(Failure::usage(format!("the value is not JSON: {error}"))),
            },
            Some(Format::Text) => match String::from_utf8(value) {
                Ok(text) => Ok(Self::Text(text)),
                Err(error) => Err(Failure::usage(format!("the value is not text: {}", error.utf8_error()))),
            },
            None if json_error().is_none() => Ok(Self::Json(value.into())),
            None => Ok(match String::from_utf8(value) {
                Ok(text) => Self::Text(text),
                Err(error) => Self::Bytes(error.into_bytes().into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_then_text_then_bytes() {
        let read = |value: &[u8]| Document::read(value.to_vec(), None).unwrap();
        assert_eq!(read(b"{\"a\": 1}"), Document::Json(Bytes::from_static(b"{\"a\": 1}")));
        assert_eq!(read(b"12"), Document::Json(Bytes::from_static(b"12")));
        assert_eq!(read(b"hello"), Document::Text("hello".into()));
        assert_eq!(read(b"\xff"), Document::Bytes(Bytes::from_static(b"\xff")));
    }

    #[test]
    fn a_format_that_is_asked_for_is_kept_to() {
        let read = |value: &[u8], format| Document::read(value.to_vec(), Some(format));
        assert_eq!(read(b"12", Format::Text).unwrap(), Document::Text("12".into()));
        assert_eq!(read(b"12", Format::Bytes).unwrap(), Document::Bytes(Bytes::from_static(b"12")));
        assert!(matches!(read(b"hello", Format::Json), Err(Failure::Usage { .. })));
        assert!(matches!(read(b"\xff", Format::Text), Err(Failure::Usage { .. })));
    }
}
