//! `settee decode`: frames made readable.

mod input;
mod text;

use std::fmt;
use std::io::{self, Write};

use serde_json::{Value, json};
use settee::wire::describe::{Context, describe};
use settee::wire::{DecodeError, Frame, HEADER_LEN};

use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  settee decode 80000005000000000000000500000001000000000000000068656c6c6f
  settee decode 81 0a 00 00 00 00 00 00  00 00 00 00 00 00 00 01  00 00 00 00 00 00 00 00
  settee decode capture.bin --collections --json
  some-tool | settee decode -

A file or standard input holds the bytes as they are or as hexadecimal text; which one is found out. Frames of any \
direction may follow each other. Keys, values and passwords are shown as they are.

JSON: one object a line for each frame, with magic, kind, opcode, opcode_name, vbucket or status, opaque, cas, datatype, \
frame_infos, extras, key, value (hexadecimal) and fields (their meaning). Malformed input ends with an object with error \
and offset.

Exit codes: 0 all frames are well formed, 1 one is not.";

/// Decodes key-value frames of any direction.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hexadecimal text, a file, or `-` for standard input, which is also read if nothing is given.
    #[arg(value_name = "HEX|FILE|-")]
    input: Vec<String>,
    /// Write JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// The connection has the feature Collections: keys begin with the collection's number.
    #[arg(long)]
    collections: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let bytes = input::read(&args.input)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let colours = terminal::stdout_colours();
    let context = Context { collections: args.collections, specs: None };
    let fault = decode(&bytes, context, |offset, object| {
        if args.json { writeln!(out, "{object}") } else { text::write(&mut out, offset, object, colours) }
    })?;
    let Some(fault) = fault else { return Ok(out.flush()?) };
    if args.json {
        writeln!(out, "{}", json!({"error": fault.message, "offset": fault.offset}))?;
    }
    out.flush()?;
    Err(Failure::no(fault))
}

/// What is wrong, and at which byte of the input.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    offset: usize,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.message)
    }
}

/// Gives each frame with its offset to `show`, and returns the first fault.
///
/// A frame whose fields are malformed does not hide the frames behind it; one whose header is does, since nothing tells
/// where the next one begins.
fn decode(
    bytes: &[u8],
    context: Context,
    mut show: impl FnMut(usize, &Value) -> io::Result<()>,
) -> io::Result<Option<Fault>> {
    let mut first_fault = None;
    let mut offset = 0;
    if bytes.is_empty() {
        return Ok(Some(Fault { offset, message: "there is nothing to decode".to_owned() }));
    }
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let (frame, len) = match Frame::parse(rest, u32::MAX) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(first_fault.or_else(|| Some(incomplete(rest, offset)))),
            Err(error) => {
                let offset = offset + place_in_header(&error);
                return Ok(first_fault.or_else(|| Some(Fault { offset, message: error.to_string() })));
            }
        };
        let object = describe(&frame, context);
        show(offset, &object)?;
        first_fault = first_fault.or_else(|| inner_fault(&object, offset));
        offset += len;
    }
    Ok(first_fault)
}

/// The byte of a header that an error is about.
const fn place_in_header(error: &DecodeError) -> usize {
    match error {
        // The lengths of key and framing extras.
        DecodeError::Lengths { .. } => 2,
        // The length of the body.
        DecodeError::TooLarge { .. } => 8,
        _ => 0,
    }
}

fn incomplete(rest: &[u8], offset: usize) -> Fault {
    let message = match rest.first_chunk::<HEADER_LEN>() {
        None => format!(
            "the input ends in the header of the frame at byte {offset}: {} of {HEADER_LEN} bytes are there",
            rest.len()
        ),
        Some(head) => {
            let [.., l0, l1, l2, l3, _, _, _, _, _, _, _, _, _, _, _, _] = *head;
            format!(
                "the input ends in the body of the frame at byte {offset}: {} of {} bytes are there",
                rest.len().saturating_sub(HEADER_LEN),
                u32::from_be_bytes([l0, l1, l2, l3])
            )
        }
    };
    Fault { offset: offset + rest.len(), message }
}

/// What is malformed within a frame that could be told from the next one.
fn inner_fault(object: &Value, offset: usize) -> Option<Fault> {
    let infos = object["frame_infos"].as_array().into_iter().flatten();
    let info = infos.filter_map(|info| info.get("malformed")?.as_str()).next();
    let fields = || object.get("malformed")?.as_str();
    let text = info.or_else(fields)?;
    Some(Fault { offset, message: format!("the frame that begins here: {text}") })
}

#[cfg(test)]
mod tests;
