//! What a certificate says about itself, read for people. Verification is the back end's; this reader only has to be
//! bounded and never wrong about what it shows.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use super::calendar;

/// Names shown of one certificate.
const MAX_NAMES: usize = 64;
/// Characters shown of one name.
const MAX_TEXT: usize = 253;
/// Attributes shown of a subject or issuer.
const MAX_ATTRIBUTES: usize = 16;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BMP_STRING: u8 = 0x1e;

/// What a certificate says about itself, for errors and diagnosis. Nothing of it is verified.
///
/// Names are shortened and stripped of control characters, since a peer chose them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// Such as `O=Couchbase, OU=Cloud`.
    pub subject: String,
    /// Such as `O=Couchbase, OU=Cloud`.
    pub issuer: String,
    /// Whether subject and issuer are the same name.
    pub self_issued: bool,
    /// Seconds since 1970 of the first valid second.
    pub not_before: i64,
    /// Seconds since 1970 of the last valid second.
    pub not_after: i64,
    /// Subject alternative names that a host can be matched with: DNS names and IP addresses, at most 64.
    pub names: Vec<String>,
}

impl CertificateFacts {
    /// Reads a certificate in DER; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut body = Reader(certificate.take(SEQUENCE)?);
        if body.peek() == Some(VERSION) {
            body.next()?;
        }
        body.next()?; // serial number
        body.take(SEQUENCE)?; // signature algorithm
        let issuer = body.take(SEQUENCE)?;
        let mut validity = Reader(body.take(SEQUENCE)?);
        let subject = body.take(SEQUENCE)?;
        body.take(SEQUENCE)?; // public key
        let mut names = Vec::new();
        while let Some((tag, value)) = body.next() {
            if tag == EXTENSIONS {
                names = alternative_names(value).unwrap_or_default();
            }
        }
        Some(Self {
            subject: distinguished_name(subject),
            issuer: distinguished_name(issuer),
            self_issued: subject == issuer,
            not_before: time(validity.next()?)?,
            not_after: time(validity.next()?)?,
            names,
        })
    }

    /// The fingerprint: SHA-256 of the DER.
    pub fn sha256(der: &[u8]) -> [u8; 32] {
        Sha256::digest(der).into()
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// One value of DER after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn take(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, value)| value)
    }
}

fn distinguished_name(value: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = Reader(value);
    while let Some(set) = sets.take(SET) {
        let mut attributes = Reader(set);
        while let Some(attribute) = attributes.take(SEQUENCE) {
            let mut attribute = Reader(attribute);
            let (Some(oid), Some((kind, value))) = (attribute.take(OID), attribute.next()) else { continue };
            let name = match oid {
                [0x55, 0x04, 3] => "CN",
                [0x55, 0x04, 6] => "C",
                [0x55, 0x04, 7] => "L",
                [0x55, 0x04, 8] => "ST",
                [0x55, 0x04, 10] => "O",
                [0x55, 0x04, 11] => "OU",
                _ => continue,
            };
            if parts.len() < MAX_ATTRIBUTES {
                parts.push(format!("{name}={}", string(kind, value)));
            }
        }
    }
    parts.join(", ")
}

fn string(kind: u8, value: &[u8]) -> String {
    if kind == BMP_STRING {
        let units =
            value.chunks_exact(2).map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
        return shown(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    // More bytes than this cannot be shown anyway.
    shown(String::from_utf8_lossy(value.get(..4 * MAX_TEXT).unwrap_or(value)).chars())
}

/// Text that a peer chose, fit for a terminal.
fn shown(text: impl Iterator<Item = char>) -> String {
    text.take(MAX_TEXT).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn time((tag, value): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    if rest.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i64 = year.parse().ok()?;
    let year = match tag {
        UTC_TIME if year >= 50 => year + 1900,
        UTC_TIME => year + 2000,
        _ => year,
    };
    let mut fields = rest
        .as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |n, digit| 10 * n + i64::from(digit - b'0')));
    let mut field = || fields.next();
    calendar::seconds(year, field()?, field()?, field()?, field()?, field()?)
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Reader(Reader(extensions).take(SEQUENCE)?);
    let mut names = Vec::new();
    while let Some(extension) = extensions.take(SEQUENCE) {
        let mut extension = Reader(extension);
        if extension.take(OID)? != SUBJECT_ALT_NAME {
            continue;
        }
        if extension.peek() == Some(BOOLEAN) {
            extension.next()?;
        }
        let mut general = Reader(Reader(extension.take(OCTET_STRING)?).take(SEQUENCE)?);
        while let Some((tag, value)) = general.next() {
            let name = match (tag, value.len()) {
                (DNS_NAME, _) => string(tag, value),
                (IP_ADDRESS, 4) => Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).to_string(),
                (IP_ADDRESS, 16) => Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).to_string(),
                _ => continue,
            };
            if names.len() < MAX_NAMES {
                names.push(name);
            }
        }
    }
    Some(names)
}
