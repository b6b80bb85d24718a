//! Percent-encoding (RFC 3986), of buckets, parameters and zone identifiers. `+` is never a blank (CS-18).

/// The offset of the first bad escape, or of the first escape of text that is not UTF-8 once decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEscape(pub(super) usize);

pub(super) fn decode(text: &str) -> Result<String, BadEscape> {
    let Some(first) = text.find('%') else {
        return Ok(text.to_owned());
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|(_, byte)| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(BadEscape(at));
        };
        decoded.push((high * 16 + low) as u8);
    }
    String::from_utf8(decoded).map_err(|_| BadEscape(first))
}

/// Encodes everything but the unreserved characters and those in `also`.
pub(super) fn encode(text: &str, also: &str) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if is_unreserved(character) || also.contains(character) {
            encoded.push(character);
        } else {
            encoded.push('%');
            encoded.push(HEX[usize::from(byte >> 4)]);
            encoded.push(HEX[usize::from(byte & 15)]);
        }
    }
    encoded
}

pub(super) fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

/// `pchar` of RFC 3986 without the escapes' `%`.
pub(super) fn is_path_character(character: char) -> bool {
    is_unreserved(character) || "!$&'()*+,;=:@".contains(character)
}
