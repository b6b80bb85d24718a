//! Range scans of one vbucket: requests and answers (`kv-protocol.md` 2.5).

use std::fmt;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::read::{Reader, malformed};
use crate::ids::{Cas, CollectionId, SeqNo};

/// Most bytes of a bound before its base64 form.
pub const MAX_BOUND: usize = 250;
/// Most bytes of a scan's name.
pub const MAX_NAME: usize = 50;

/// Identifies a scan on the connection that created it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScanId(pub [u8; 16]);

impl fmt::Display for ScanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ScanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanId({self})")
    }
}

/// One end of a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanBound {
    /// The key itself belongs to the range.
    Inclusive(Vec<u8>),
    /// It does not.
    Exclusive(Vec<u8>),
}

/// Which documents a scan returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanKind {
    /// Those whose keys lie in a range, in the order of the keys' bytes.
    Range {
        /// Where it begins.
        start: ScanBound,
        /// Where it ends.
        end: ScanBound,
    },
    /// A random choice.
    Sampling {
        /// How many, at least 1.
        samples: u64,
        /// The same seed chooses the same documents.
        seed: u32,
    },
}

/// What must have happened in the vbucket before a scan begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequirements {
    /// The branch of history.
    pub vbucket_uuid: u64,
    /// The sequence number that must have been persisted.
    pub seqno: SeqNo,
    /// That very sequence number must still be stored.
    pub seqno_exists: bool,
    /// How long the server waits for it, in milliseconds; not at all if absent.
    pub timeout_ms: Option<u64>,
}

/// The request that creates a scan. Its datatype is exactly JSON (OP-5), its vbucket stands in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanCreate {
    /// The collection; the default one is left out of the request.
    pub collection: CollectionId,
    /// At most [`MAX_NAME`] bytes.
    pub name: Option<String>,
    /// Keys without documents.
    pub key_only: bool,
    /// Documents with their attributes (feature 0x22); not with `key_only`.
    pub include_xattrs: bool,
    /// Which documents.
    pub kind: ScanKind,
    /// What must have happened before.
    pub snapshot: Option<SnapshotRequirements>,
}

#[derive(Serialize, Deserialize)]
struct RawCreate {
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    key_only: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    include_xattrs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<RawRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling: Option<RawSampling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_requirements: Option<RawSnapshot>,
}

#[derive(Serialize, Deserialize, Default)]
struct RawRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excl_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    excl_end: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RawSampling {
    #[serde(default)]
    seed: u32,
    samples: u64,
}

#[derive(Serialize, Deserialize)]
struct RawSnapshot {
    vb_uuid: String,
    seqno: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    seqno_exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_false(value: &bool) -> bool {
    !*value
}

/// The fields of a bound: inclusive, exclusive.
fn raw_bound(bound: &ScanBound) -> (Option<String>, Option<String>) {
    match bound {
        ScanBound::Inclusive(key) => (Some(Base64::encode_string(key)), None),
        ScanBound::Exclusive(key) => (None, Some(Base64::encode_string(key))),
    }
}

fn bound(inclusive: Option<String>, exclusive: Option<String>) -> Result<ScanBound, DecodeError> {
    let key = |text: String| Base64::decode_vec(&text).map_err(|_| bad("a bound is not base64"));
    match (inclusive, exclusive) {
        (Some(text), None) => Ok(ScanBound::Inclusive(key(text)?)),
        (None, Some(text)) => Ok(ScanBound::Exclusive(key(text)?)),
        _ => Err(bad("each end has exactly one bound")),
    }
}

fn bad(detail: &str) -> DecodeError {
    malformed("RANGE_SCAN_CREATE", detail)
}

impl ScanCreate {
    /// The request's value.
    pub fn to_json(&self) -> Vec<u8> {
        let (range, sampling) = match &self.kind {
            ScanKind::Range { start, end } => {
                let ((start, excl_start), (end, excl_end)) = (raw_bound(start), raw_bound(end));
                (Some(RawRange { start, excl_start, end, excl_end }), None)
            }
            ScanKind::Sampling { samples, seed } => {
                (None, Some(RawSampling { seed: *seed, samples: *samples }))
            }
        };
        let collection = self.collection.0;
        let raw = RawCreate {
            collection: (collection != 0).then(|| format!("{collection:x}")),
            name: self.name.clone(),
            key_only: self.key_only,
            include_xattrs: self.include_xattrs,
            range,
            sampling,
            snapshot_requirements: self.snapshot.as_ref().map(|snapshot| RawSnapshot {
                vb_uuid: snapshot.vbucket_uuid.to_string(),
                seqno: snapshot.seqno.0,
                seqno_exists: snapshot.seqno_exists,
                timeout_ms: snapshot.timeout_ms,
            }),
        };
        // Strings, numbers and booleans: serialising them into memory has nothing to fail at.
        serde_json::to_vec(&raw).unwrap_or_default()
    }

    /// Reads the request's value.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] where it is not JSON of the form of 2.5, or breaks its rules.
    pub fn parse(json: &[u8]) -> Result<Self, DecodeError> {
        let raw: RawCreate = serde_json::from_slice(json).map_err(|error| bad(&error.to_string()))?;
        let collection = raw.collection.unwrap_or_else(|| "0".to_owned());
        let kind = match (raw.range, raw.sampling) {
            (Some(range), None) => ScanKind::Range {
                start: bound(range.start, range.excl_start)?,
                end: bound(range.end, range.excl_end)?,
            },
            (None, Some(RawSampling { samples, seed })) if samples > 0 => {
                ScanKind::Sampling { samples, seed }
            }
            _ => return Err(bad("either a range or a number of samples is needed")),
        };
        if raw.key_only && raw.include_xattrs {
            return Err(bad("keys alone have no attributes"));
        }
        if raw.name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
            return Err(bad("the name is too long"));
        }
        let snapshot = |raw: RawSnapshot| {
            Ok(SnapshotRequirements {
                vbucket_uuid: raw.vb_uuid.parse().map_err(|_| bad("vb_uuid is no decimal number"))?,
                seqno: SeqNo(raw.seqno),
                seqno_exists: raw.seqno_exists,
                timeout_ms: raw.timeout_ms,
            })
        };
        Ok(Self {
            collection: CollectionId(
                u32::from_str_radix(&collection, 16)
                    .map_err(|_| bad("collection is no hexadecimal number"))?,
            ),
            name: raw.name,
            key_only: raw.key_only,
            include_xattrs: raw.include_xattrs,
            kind,
            snapshot: raw.snapshot_requirements.map(snapshot).transpose()?,
        })
    }
}

/// The scan's id: the value of the answer to RANGE_SCAN_CREATE, and the extras of RANGE_SCAN_CANCEL.
///
/// # Errors
/// [`DecodeError::Malformed`] for other lengths than 16.
pub fn scan_id(bytes: &[u8]) -> Result<ScanId, DecodeError> {
    let mut fields = Reader::new("scan id", bytes);
    let id = ScanId(fields.array("id")?);
    fields.end()?;
    Ok(id)
}

/// The extras of RANGE_SCAN_CONTINUE. A limit of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanContinue {
    /// The scan.
    pub id: ScanId,
    /// Most documents or keys to return.
    pub item_limit: u32,
    /// Most milliseconds to work on it.
    pub time_limit_ms: u32,
    /// Bytes after which to stop; at least one item is always returned.
    pub byte_limit: u32,
}

impl ScanContinue {
    /// The 28 bytes on the wire.
    pub fn extras(&self) -> [u8; 28] {
        let mut out = [0; 28];
        let limits = [self.item_limit, self.time_limit_ms, self.byte_limit].map(u32::to_be_bytes);
        for (to, from) in out.iter_mut().zip(self.id.0.iter().chain(limits.as_flattened())) {
            *to = *from;
        }
        out
    }

    /// Reads the extras.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for other lengths than 28.
    pub fn parse(extras: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Reader::new("RANGE_SCAN_CONTINUE extras", extras);
        let request = Self {
            id: ScanId(fields.array("id")?),
            item_limit: fields.u32("item limit")?,
            time_limit_ms: fields.u32("time limit")?,
            byte_limit: fields.u32("byte limit")?,
        };
        fields.end()?;
        Ok(request)
    }
}

/// A document of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanDocument<'a> {
    /// The document's flags.
    pub flags: u32,
    /// When it expires, in seconds since 1970; 0 is never (MI-5).
    pub expiry: u32,
    /// Its sequence number.
    pub seqno: SeqNo,
    /// Its CAS.
    pub cas: Cas,
    /// Bits of this document: its value may be compressed, or begin with attributes (OP-27).
    pub datatype: u8,
    /// The key, without a collection prefix.
    pub key: &'a [u8],
    /// The value, as the datatype says.
    pub value: &'a [u8],
}

/// What the frames of a RANGE_SCAN_CONTINUE answer bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanMode {
    /// Keys only.
    Keys,
    /// Documents.
    Documents,
}

impl ScanMode {
    /// The extras of a frame of this mode.
    pub const fn extras(self) -> [u8; 4] {
        match self {
            Self::Keys => [0, 0, 0, 0],
            Self::Documents => [0, 0, 0, 1],
        }
    }
}

/// One item of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanItem<'a> {
    /// A key, without a collection prefix (OP-27).
    Key(&'a [u8]),
    /// A document.
    Document(ScanDocument<'a>),
}

/// Iterates over the items in one frame of a RANGE_SCAN_CONTINUE answer; ends after the first error. Whether more
/// frames follow is in the frame's status.
#[derive(Clone, Debug)]
pub struct ScanItems<'a> {
    mode: ScanMode,
    fields: Reader<'a>,
}

const ANSWER: &str = "RANGE_SCAN_CONTINUE answer";

impl<'a> ScanItems<'a> {
    /// The items in a frame with a data status.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for extras other than 4 bytes of a known mode.
    pub fn new(extras: &[u8], value: &'a [u8]) -> Result<Self, DecodeError> {
        let known = [ScanMode::Keys, ScanMode::Documents].into_iter().find(|mode| mode.extras() == extras);
        let unknown = || malformed(ANSWER, format!("extras of {} bytes tell no known mode", extras.len()));
        Ok(Self { mode: known.ok_or_else(unknown)?, fields: Reader::new(ANSWER, value) })
    }

    /// Which kind of items there are.
    pub const fn mode(&self) -> ScanMode {
        self.mode
    }

    fn take(&mut self) -> Result<ScanItem<'a>, DecodeError> {
        match self.mode {
            ScanMode::Keys => self.fields.leb128_prefixed("key").map(ScanItem::Key),
            ScanMode::Documents => document(&mut self.fields).map(ScanItem::Document),
        }
    }
}

impl<'a> Iterator for ScanItems<'a> {
    type Item = Result<ScanItem<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.is_empty() {
            return None;
        }
        let next = self.take();
        if next.is_err() {
            self.fields = Reader::new(ANSWER, &[]);
        }
        Some(next)
    }
}

impl ScanItem<'_> {
    /// Appends this item to the value of a frame.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let prefixed = |out: &mut Vec<u8>, bytes: &[u8]| {
            super::Leb128::emit_u64(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Key(key) => prefixed(out, key),
            Self::Document(document) => {
                out.extend_from_slice(&document.flags.to_be_bytes());
                out.extend_from_slice(&document.expiry.to_be_bytes());
                out.extend_from_slice(&document.seqno.0.to_be_bytes());
                out.extend_from_slice(&document.cas.0.to_be_bytes());
                out.push(document.datatype);
                prefixed(out, document.key);
                prefixed(out, document.value);
            }
        }
    }
}

fn document<'a>(fields: &mut Reader<'a>) -> Result<ScanDocument<'a>, DecodeError> {
    Ok(ScanDocument {
        flags: fields.u32("flags")?,
        expiry: fields.u32("expiry")?,
        seqno: SeqNo(fields.u64("seqno")?),
        cas: Cas(fields.u64("CAS")?),
        datatype: fields.u8("datatype")?,
        key: fields.leb128_prefixed("key")?,
        value: fields.leb128_prefixed("value")?,
    })
}

/// The bounds of all keys with a prefix: exact for any bytes, unlike an end of "prefix and 0xff" (OP-28).
pub fn prefix_bounds(prefix: &[u8]) -> ScanKind {
    let start = ScanBound::Inclusive(prefix.to_vec());
    let end = match prefix.iter().rposition(|byte| *byte != u8::MAX) {
        Some(last) => {
            let mut end: Vec<u8> = prefix.iter().copied().take(last.saturating_add(1)).collect();
            if let Some(byte) = end.last_mut() {
                *byte = byte.saturating_add(1);
            }
            ScanBound::Exclusive(end)
        }
        None => ScanBound::Inclusive(vec![u8::MAX; MAX_BOUND]),
    };
    ScanKind::Range { start, end }
}

#[cfg(test)]
mod tests;
