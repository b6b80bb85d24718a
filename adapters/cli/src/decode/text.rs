//! A decoded frame for people.

use std::io::{self, Write};

use serde_json::Value;

use crate::terminal::{Colours, visible};

/// Writes what [`settee::wire::describe`] says of the frame at `offset`.
pub(super) fn write(out: &mut impl Write, offset: usize, object: &Value, colours: Colours) -> io::Result<()> {
    let name = match object["opcode_name"].as_str() {
        Some(name) => format!("{name} ({})", word(&object["opcode"])),
        None => format!("opcode {}", word(&object["opcode"])),
    };
    let place = match object.get("status") {
        Some(status) => format!("status {}", word(status)),
        None => format!("vbucket {}", object["vbucket"]),
    };
    writeln!(
        out,
        "{} {} {}, {place}, opaque {}, {} bytes of body",
        colours.dim(&format!("{offset:>6}")),
        word(&object["kind"]).replace('_', " "),
        colours.bold(&name),
        word(&object["opaque"]),
        object["total_body_len"],
    )?;
    let mut row = |name: &str, value: &str| writeln!(out, "       {name:<12} {}", visible(value));
    if object["cas"] != "0x0000000000000000" {
        row("cas", &word(&object["cas"]))?;
    }
    if object["datatype"] != 0 {
        row("datatype", &format!("0x{:02x}", object["datatype"].as_u64().unwrap_or_default()))?;
    }
    for info in object["frame_infos"].as_array().into_iter().flatten() {
        row("frame info", &pairs(info))?;
    }
    for section in ["extras", "key", "value"] {
        let bytes = object[section].as_str().unwrap_or_default();
        if !bytes.is_empty() {
            row(section, &shortened(bytes))?;
        }
    }
    for (name, value) in object["fields"].as_object().into_iter().flatten() {
        row("", &format!("{name} = {}", word(value)))?;
    }
    if let Some(text) = object.get("malformed").and_then(Value::as_str) {
        writeln!(out, "       {} {}", colours.red("malformed"), visible(text))?;
    }
    Ok(())
}

fn pairs(info: &Value) -> String {
    let fields = info.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name} {}", word(value))).collect::<Vec<_>>().join(", ")
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Hexadecimal digits, of a long section the first ones: the whole is in the JSON form.
fn shortened(digits: &str) -> String {
    const SHOWN: usize = 128;
    match digits.get(..SHOWN) {
        Some(first) if digits.len() > SHOWN => format!("{first}... ({} bytes)", digits.len() / 2),
        _ => digits.to_owned(),
    }
}
