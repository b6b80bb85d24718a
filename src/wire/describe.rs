//! Frames as JSON, for people and for tests: every header field, the frame infos, the raw sections and what they mean.
//!
//! Numbers up to 32 bits and sequence numbers are JSON numbers; identifiers, CAS, flags and statuses are hexadecimal
//! text. Nothing is redacted: keys, values and passwords appear as they are.

mod answer;
mod request;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{
    DecodeError, DurabilityLevel, Frame, FrameInfo, FrameInfos, Magic, ServerDuration, ServerOpcode,
    datatype, ops, request_info, response_info,
};

/// What must be known of a connection to understand its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Collections was granted: keys carry the collection id.
    pub collections: bool,
    /// For the answer to a sub-document request: how many paths were sent. Without it their number is not checked.
    pub specs: Option<usize>,
}

/// Describes a frame of either direction. Where its operation's fields are malformed, `fields` is empty and
/// `malformed` says why.
pub fn describe(frame: &Frame<'_>, context: Context) -> Value {
    let header = &frame.header;
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    put("magic", hex8(header.magic.byte()));
    put("kind", kind(header.magic).into());
    put("opcode", hex8(header.opcode.0));
    put("opcode_name", opcode_name(frame).into());
    put("framing_extras_len", header.framing_extras_len.into());
    put("key_len", header.key_len.into());
    put("extras_len", header.extras_len.into());
    put("datatype", header.datatype.into());
    if header.magic.is_response() {
        put("status", hex16(header.vbucket_or_status));
    } else {
        put("vbucket", header.vbucket_or_status.into());
    }
    put("total_body_len", header.body_len.into());
    put("opaque", hex32(header.opaque.0));
    put("cas", hex64(header.cas.0));
    put(
        "frame_infos",
        FrameInfos::new(frame.framing_extras).map(|info| frame_info(header.magic, info)).collect(),
    );
    put("extras", hex(frame.extras));
    put("key", hex(frame.key));
    put("value", hex(frame.value));
    let fields = fields(frame, context).unwrap_or_else(|error| {
        put("malformed", error.to_string().into());
        Map::new()
    });
    put("fields", Value::Object(fields));
    Value::Object(all)
}

/// What extras, key and value of a frame mean, by its operation and status.
///
/// # Errors
/// [`DecodeError::Malformed`] where they do not have the form that the operation gives them: this is what fails one
/// operation and leaves the connection usable (`kv-protocol.md` 1.3).
pub fn fields(frame: &Frame<'_>, context: Context) -> Result<Map<String, Value>, DecodeError> {
    let value = match frame.header.magic {
        Magic::Request | Magic::AltRequest => request::fields(frame, context)?,
        Magic::Response | Magic::AltResponse => answer::fields(frame, context)?,
        Magic::ServerRequest => server_request(frame)?,
        Magic::ServerResponse => Value::Null,
    };
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn server_request(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    if ServerOpcode(frame.header.opcode.0) != ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION {
        return Ok(Value::Null);
    }
    let (epoch, rev) = ops::notification(frame.extras)?;
    Ok(json!({"bucket": text(frame.key), "epoch": epoch, "rev": rev, "config": optional_json(frame)?}))
}

const fn kind(magic: Magic) -> &'static str {
    match magic {
        Magic::Request => "client_request",
        Magic::AltRequest => "alt_client_request",
        Magic::Response => "client_response",
        Magic::AltResponse => "alt_client_response",
        Magic::ServerRequest => "server_request",
        Magic::ServerResponse => "server_response",
    }
}

const fn opcode_name(frame: &Frame<'_>) -> Option<&'static str> {
    match frame.header.magic {
        Magic::ServerRequest | Magic::ServerResponse => ServerOpcode(frame.header.opcode.0).name(),
        _ => frame.header.opcode.name(),
    }
}

fn frame_info(magic: Magic, info: Result<FrameInfo<'_>, DecodeError>) -> Value {
    let info = match info {
        Ok(info) => info,
        Err(error) => return json!({"malformed": error.to_string()}),
    };
    let (name, meaning) = if magic.is_response() { response_meaning(&info) } else { request_meaning(&info) };
    let mut all = json!({"id": info.id, "len": info.payload.len(), "data": hex(info.payload), "name": name});
    if let (Value::Object(all), Some(Value::Object(meaning))) = (&mut all, meaning) {
        all.extend(meaning);
    }
    all
}

fn request_meaning(info: &FrameInfo<'_>) -> (&'static str, Option<Value>) {
    match info.id {
        request_info::BARRIER => ("barrier", None),
        request_info::DURABILITY => {
            let (level, timeout_ms) = match *info.payload {
                [level] => (level, None),
                [level, high, low] => (level, Some(u16::from_be_bytes([high, low]))),
                _ => return ("durability", None),
            };
            let level = match DurabilityLevel::from_byte(level) {
                Some(DurabilityLevel::Majority) => "majority".into(),
                Some(DurabilityLevel::MajorityAndPersistOnActive) => "majority_and_persist_on_active".into(),
                Some(DurabilityLevel::PersistToMajority) => "persist_to_majority".into(),
                None => hex8(level),
            };
            ("durability", Some(json!({"level": level, "timeout_ms": timeout_ms})))
        }
        request_info::DCP_STREAM_ID => ("dcp_stream_id", info.number().map(|id| json!({"stream": id}))),
        request_info::IMPERSONATE => ("impersonate", Some(json!({"user": text(info.payload)}))),
        request_info::PRESERVE_TTL => ("preserve_ttl", None),
        _ => ("unknown", None),
    }
}

fn response_meaning(info: &FrameInfo<'_>) -> (&'static str, Option<Value>) {
    let number = info.number();
    let duration = || {
        let encoded = number?;
        // Nanoseconds are as exact as the code is.
        let micros = (ServerDuration(encoded).micros() * 1000.0).round() / 1000.0;
        Some(json!({"encoded": encoded, "micros": micros}))
    };
    let units = || number.map(|units| json!({"units": units}));
    match info.id {
        response_info::SERVER_DURATION => ("server_duration", duration()),
        response_info::READ_UNITS => ("read_units", units()),
        response_info::WRITE_UNITS => ("write_units", units()),
        response_info::THROTTLE_DURATION => ("throttle_duration", duration()),
        _ => ("unknown", None),
    }
}

/// The value, inflated where its datatype says so.
fn plain_value<'a>(frame: &Frame<'a>) -> Result<Cow<'a, [u8]>, DecodeError> {
    plain(frame.header.datatype, frame.value)
}

fn plain(bits: u8, value: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    datatype::check(bits)?;
    if bits & datatype::SNAPPY == 0 {
        return Ok(Cow::Borrowed(value));
    }
    datatype::inflate(value, datatype::MAX_INFLATED).map(Cow::Owned)
}

/// The value as JSON; null where there is none.
fn optional_json(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let value = plain_value(frame)?;
    if value.is_empty() {
        return Ok(Value::Null);
    }
    parse_json(&value)
}

fn parse_json(value: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(value).map_err(|error| super::read::malformed("JSON value", error.to_string()))
}

/// UTF-8 text; null where it is none.
fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or(Value::Null, Value::from)
}

fn hex(bytes: &[u8]) -> Value {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 0x0f)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect::<String>().into()
}

fn hex8(number: u8) -> Value {
    format!("0x{number:02x}").into()
}

fn hex16(number: u16) -> Value {
    format!("0x{number:04x}").into()
}

fn hex32(number: u32) -> Value {
    format!("0x{number:08x}").into()
}

fn hex64(number: u64) -> Value {
    format!("0x{number:016x}").into()
}

/// Hexadecimal without leading zeros: collections, scopes and manifests.
fn hex_id(number: impl Into<u64>) -> Value {
    format!("0x{:x}", number.into()).into()
}
