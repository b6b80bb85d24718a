//! The JSON object in the body of an error (`kv-protocol.md` 3.4).

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Frame, Opcode, datatype};

/// Longer error objects are ignored, in bytes after inflating.
const MAX_LEN: usize = 1024 * 1024;

/// What a server says about an error beyond its status. May hold user data such as keys and names: to be shown only
/// through redaction (ST-5).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ErrorBody {
    /// Text for people; never to be parsed.
    pub context: Option<String>,
    /// Where to look in the server's log.
    pub reference: Option<String>,
    /// The node's collections manifest, with unknown collections and scopes.
    pub manifest_uid: Option<u64>,
    /// Members of the object that this crate does not know, as they came.
    pub other: Map<String, Value>,
}

impl ErrorBody {
    /// The error object of an answer, `None` where there is none or it cannot be read: the status stands by itself.
    pub fn parse(frame: &Frame<'_>) -> Option<Self> {
        error_object(frame).map(Self::from_object)
    }

    /// The error object of an answer whose value was taken out of its frame and inflated.
    pub fn of_value(datatype: u8, value: &[u8]) -> Option<Self> {
        (datatype & datatype::JSON != 0).then(|| Self::of_json(value))?
    }

    /// The error object in a text, whatever the datatype says: an answer to HELLO comes before JSON is granted (ST-4).
    pub fn of_json(json: &[u8]) -> Option<Self> {
        if json.is_empty() || json.len() > MAX_LEN {
            return None;
        }
        serde_json::from_slice(json).ok().map(Self::from_object)
    }

    fn from_object(mut other: Map<String, Value>) -> Self {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let mut error = match other.remove("error") {
            Some(Value::Object(error)) => error,
            _ => Map::new(),
        };
        let context = error.remove("context").and_then(text);
        let reference = error.remove("ref").and_then(text);
        let manifest_uid = other.remove("manifest_uid").and_then(text);
        if !error.is_empty() {
            other.insert("error".to_owned(), Value::Object(error));
        }
        let manifest_uid = manifest_uid.and_then(|uid| u64::from_str_radix(&uid, 16).ok());
        Self { context, reference, manifest_uid, other }
    }
}

/// The whole object. Only bodies with the JSON bit are tried, and those of a HELLO, which fails before JSON is granted
/// (ST-4).
pub(crate) fn error_object(frame: &Frame<'_>) -> Option<Map<String, Value>> {
    let header = &frame.header;
    if header.datatype & datatype::JSON == 0 && header.opcode != Opcode::HELLO {
        return None;
    }
    let json = if header.datatype & datatype::SNAPPY != 0 {
        Cow::Owned(datatype::inflate(frame.value, MAX_LEN).ok()?)
    } else {
        Cow::Borrowed(frame.value)
    };
    if json.len() > MAX_LEN {
        return None;
    }
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Opaque;
    use crate::wire::{Encode, Status};

    fn answer(opcode: Opcode, datatype: u8, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let answer = Encode::response(opcode, Opaque(1), Status::EINVAL);
        Encode { datatype, ..answer }.emit(value, &mut out).unwrap();
        out
    }

    fn parsed(opcode: Opcode, datatype: u8, value: &[u8]) -> Option<ErrorBody> {
        let bytes = answer(opcode, datatype, value);
        let (frame, _) = Frame::parse(&bytes, u32::MAX).ok()??;
        ErrorBody::parse(&frame)
    }

    const BODY: &[u8] = br#"{"error":{"context":"why","ref":"here","more":1},"manifest_uid":"1f","x":null}"#;

    #[test]
    fn st_4_the_object_is_read_only_with_the_json_bit() {
        let body = parsed(Opcode::GET, datatype::JSON, BODY).unwrap();
        assert_eq!((body.context.as_deref(), body.reference.as_deref()), (Some("why"), Some("here")));
        assert_eq!(body.manifest_uid, Some(0x1f));
        assert_eq!(Value::Object(body.other), serde_json::json!({"error": {"more": 1}, "x": null}));
        assert_eq!(parsed(Opcode::GET, 0, BODY), None);
        assert_eq!(parsed(Opcode::GET, 0, b"Not found"), None);
    }

    #[test]
    fn st_4_a_failed_hello_is_read_without_the_bit() {
        assert_eq!(parsed(Opcode::HELLO, 0, BODY).unwrap().context.as_deref(), Some("why"));
    }

    #[test]
    fn a_compressed_object_is_inflated() {
        let block = snap::raw::Encoder::new().compress_vec(BODY).unwrap();
        let body = parsed(Opcode::GET, datatype::JSON | datatype::SNAPPY, &block).unwrap();
        assert_eq!(body.manifest_uid, Some(0x1f));
        assert_eq!(parsed(Opcode::GET, datatype::JSON | datatype::SNAPPY, BODY), None);
    }

    #[test]
    fn what_is_no_object_is_ignored_and_wrong_types_are_left_out() {
        assert_eq!(parsed(Opcode::GET, datatype::JSON, b"[1]"), None);
        let deep = [b'['; 100_000];
        assert_eq!(parsed(Opcode::GET, datatype::JSON, &deep), None);
        let odd = br#"{"error":{"context":7},"manifest_uid":31}"#;
        assert_eq!(parsed(Opcode::GET, datatype::JSON, odd), Some(ErrorBody::default()));
    }
}
