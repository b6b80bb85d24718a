//! Observation: where copies of a document and of a vbucket stand (`kv-protocol.md` 2.3, OP-14, OP-15).

use super::read::{Reader, malformed};
use super::{DecodeError, EncodeError};
use crate::ids::{Cas, SeqNo, VbucketId};

/// A key in an OBSERVE request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserveKey<'a> {
    /// The key's vbucket.
    pub vbucket: VbucketId,
    /// The key with its collection prefix.
    pub key: &'a [u8],
}

/// Whether a document is there (OP-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveState {
    /// 0x00: in memory.
    Found,
    /// 0x01: on disk.
    Persisted,
    /// 0x80: not there, and on disk not either.
    NotFound,
    /// 0x81: deleted in memory, not yet on disk.
    LogicallyDeleted,
    /// A state that this crate does not know.
    Other(u8),
}

impl ObserveState {
    /// The state of a byte.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0x00 => Self::Found,
            0x01 => Self::Persisted,
            0x80 => Self::NotFound,
            0x81 => Self::LogicallyDeleted,
            other => Self::Other(other),
        }
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Found => 0x00,
            Self::Persisted => 0x01,
            Self::NotFound => 0x80,
            Self::LogicallyDeleted => 0x81,
            Self::Other(byte) => byte,
        }
    }
}

/// A key in an OBSERVE answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed<'a> {
    /// The key asked for.
    pub key: ObserveKey<'a>,
    /// Whether the document is there.
    pub state: ObserveState,
    /// The CAS of the copy.
    pub cas: Cas,
}

/// Appends a key to the value of an OBSERVE request.
///
/// # Errors
/// [`EncodeError`] for a key above 65,535 bytes; `out` is then as it was.
pub fn emit_key(key: &ObserveKey<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = u16::try_from(key.key.len()).map_err(|_| EncodeError {
        section: "key",
        len: key.key.len(),
        max: 65_535,
    })?;
    out.extend_from_slice(&key.vbucket.0.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(key.key);
    Ok(())
}

fn observe_key<'a>(fields: &mut Reader<'a>) -> Result<ObserveKey<'a>, DecodeError> {
    let vbucket = VbucketId(fields.u16("vbucket")?);
    let len = fields.u16("key length")?;
    Ok(ObserveKey { vbucket, key: fields.take(usize::from(len), "key")? })
}

/// The keys of an OBSERVE request.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated entry.
pub fn keys(value: &[u8]) -> Result<Vec<ObserveKey<'_>>, DecodeError> {
    all(Reader::new("OBSERVE request", value), observe_key)
}

/// The entries of an OBSERVE answer.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated entry.
pub fn observed(value: &[u8]) -> Result<Vec<Observed<'_>>, DecodeError> {
    all(Reader::new("OBSERVE answer", value), |fields| {
        Ok(Observed {
            key: observe_key(fields)?,
            state: ObserveState::from_byte(fields.u8("state")?),
            cas: Cas(fields.u64("CAS")?),
        })
    })
}

/// Repeats until the reader is empty; each entry takes bytes, so there are fewer entries than bytes.
fn all<'a, T>(
    mut reader: Reader<'a>,
    mut entry: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut entries = Vec::new();
    while !reader.is_empty() {
        entries.push(entry(&mut reader)?);
    }
    Ok(entries)
}

/// The answer to OBSERVE_SEQNO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedSeqno {
    /// The vbucket.
    pub vbucket: VbucketId,
    /// The branch of history that the copy is on.
    pub uuid: u64,
    /// What is on disk.
    pub persisted: SeqNo,
    /// What is in memory.
    pub current: SeqNo,
    /// Where the uuid asked for is an old branch (format 1): that uuid, and the branch's last sequence number.
    /// Later ones are lost (OP-15).
    pub failover: Option<(u64, SeqNo)>,
}

/// Reads the value of the answer to OBSERVE_SEQNO.
///
/// # Errors
/// [`DecodeError::Malformed`] for a format other than 0 and 1, and for any length but the format's.
pub fn observed_seqno(value: &[u8]) -> Result<ObservedSeqno, DecodeError> {
    let mut fields = Reader::new("OBSERVE_SEQNO answer", value);
    let format = fields.u8("format")?;
    if format > 1 {
        return Err(malformed("OBSERVE_SEQNO answer", format!("unknown format {format}")));
    }
    let seqno = ObservedSeqno {
        vbucket: VbucketId(fields.u16("vbucket")?),
        uuid: fields.u64("uuid")?,
        persisted: SeqNo(fields.u64("persisted seqno")?),
        current: SeqNo(fields.u64("current seqno")?),
        failover: match format {
            0 => None,
            _ => Some((fields.u64("old uuid")?, SeqNo(fields.u64("last seqno")?))),
        },
    };
    fields.end()?;
    Ok(seqno)
}

/// The answer to GET_ALL_VB_SEQNOS.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated entry.
pub fn vbucket_seqnos(value: &[u8]) -> Result<Vec<(VbucketId, SeqNo)>, DecodeError> {
    all(Reader::new("GET_ALL_VB_SEQNOS answer", value), |fields| {
        Ok((VbucketId(fields.u16("vbucket")?), SeqNo(fields.u64("seqno")?)))
    })
}

/// The answer to GET_FAILOVER_LOG: branches and where they began, newest first.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated entry.
pub fn failover_log(value: &[u8]) -> Result<Vec<(u64, SeqNo)>, DecodeError> {
    all(Reader::new("GET_FAILOVER_LOG answer", value), |fields| {
        Ok((fields.u64("uuid")?, SeqNo(fields.u64("seqno")?)))
    })
}

/// The answer to GET_KEYS.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated entry.
pub fn key_list(value: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    all(Reader::new("GET_KEYS answer", value), |fields| {
        let len = fields.u16("key length")?;
        fields.take(usize::from(len), "key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_written_as_they_are_read() {
        let asked = [
            ObserveKey { vbucket: VbucketId(361), key: b"\0a" },
            ObserveKey { vbucket: VbucketId(1), key: b"" },
        ];
        let mut out = Vec::new();
        asked.iter().for_each(|key| emit_key(key, &mut out).unwrap());
        assert_eq!(out, [0x01, 0x69, 0, 2, 0, b'a', 0, 1, 0, 0]);
        assert_eq!(keys(&out), Ok(asked.to_vec()));
        assert!(keys(&out[..9]).is_err());
    }

    #[test]
    fn op_14_states() {
        let value = [0, 1, 0, 1, b'k', 0x80, 0, 0, 0, 0, 0, 0, 0, 9];
        let entry = observed(&value).unwrap()[0];
        assert_eq!((entry.state, entry.cas, entry.key.key), (ObserveState::NotFound, Cas(9), &b"k"[..]));
        for byte in 0..=u8::MAX {
            assert_eq!(ObserveState::from_byte(byte).byte(), byte);
        }
        assert!(observed(&value[..13]).is_err());
    }

    #[test]
    fn op_15_format_1_tells_the_old_branch() {
        let mut value = vec![0; 27];
        assert_eq!(observed_seqno(&value).unwrap().failover, None);
        value[0] = 1;
        assert!(observed_seqno(&value).is_err(), "format 1 has 43 bytes");
        value.resize(43, 7);
        assert!(observed_seqno(&value).unwrap().failover.is_some());
        value[0] = 0;
        assert!(observed_seqno(&value).is_err(), "format 0 has 27");
        value[0] = 2;
        assert!(observed_seqno(&value).is_err(), "there is no format 2");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (keys(&bytes), observed(&bytes), observed_seqno(&bytes), vbucket_seqnos(&bytes));
            let _ = (failover_log(&bytes), key_list(&bytes));
        }
    }
}
