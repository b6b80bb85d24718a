//! Fixed fields of document and control operations (`kv-protocol.md` 2.2, 2.3, 2.9 and 2.10): plain functions from
//! slices to numbers and back, without allocation.
//!
//! Functions named `*_extras` write what a request or an answer carries; the others read it, and refuse any other
//! length with [`DecodeError::Malformed`], which fails that one operation.

use super::read::{Reader, malformed};
use super::{DecodeError, Leb128, Opcode, datatype};
use crate::ids::{CollectionId, SeqNo};

fn exactly<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| malformed(what, format!("{} bytes where {N} belong", bytes.len())))
}

fn wrong_length(what: &'static str, bytes: &[u8]) -> DecodeError {
    malformed(what, format!("no form has {} bytes", bytes.len()))
}

/// Joins fixed fields: the caller states a total length that its parts have.
fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    out
}

/// Splits a key into the collection and the logical key: by its prefix where Collections is granted, else there is
/// no collection to tell.
///
/// # Errors
/// For a prefix that is not canonical LEB128.
pub fn split_key(key: &[u8], collections: bool) -> Result<(Option<CollectionId>, &[u8]), DecodeError> {
    if !collections {
        return Ok((None, key));
    }
    let (collection, key) = Leb128::decode(key)?;
    Ok((Some(CollectionId(collection)), key))
}

/// Checks the datatype of an answer that carries data: no unknown bits, and bit 0x04 only where attributes can come.
///
/// # Errors
/// For any other bit.
pub fn check_answer_datatype(opcode: Opcode, bits: u8) -> Result<(), DecodeError> {
    datatype::check(bits)?;
    if bits & datatype::XATTR != 0 && !matches!(opcode, Opcode::GET_EX | Opcode::GET_EX_REPLICA) {
        return Err(malformed("datatype", format!("{opcode} cannot carry attributes")));
    }
    Ok(())
}

/// The mutation token of an answer: vbucket uuid and sequence number; `None` where MutationSeqno is not granted.
///
/// # Errors
/// For other lengths than 0 and 16.
pub fn mutation_token(extras: &[u8]) -> Result<Option<(u64, SeqNo)>, DecodeError> {
    if extras.is_empty() {
        return Ok(None);
    }
    let token: [u8; 16] = exactly("mutation token", extras)?;
    let mut fields = Reader::new("mutation token", &token);
    Ok(Some((fields.u64("uuid")?, SeqNo(fields.u64("seqno")?))))
}

/// The extras of an answer with a mutation token.
pub fn token_extras(vbucket_uuid: u64, seqno: SeqNo) -> [u8; 16] {
    join(&[&vbucket_uuid.to_be_bytes(), &seqno.0.to_be_bytes()])
}

/// The flags of a document that was read.
///
/// # Errors
/// For other lengths than 4.
pub fn flags(extras: &[u8]) -> Result<u32, DecodeError> {
    exactly("flags", extras).map(u32::from_be_bytes)
}

/// The extras of an answer with a document.
pub const fn flags_extras(flags: u32) -> [u8; 4] {
    flags.to_be_bytes()
}

/// The extras of SET, ADD and REPLACE; `expiry` in the wire's form (`kv-protocol.md` 10.3).
pub fn store_extras(flags: u32, expiry: u32) -> [u8; 8] {
    join(&[&flags.to_be_bytes(), &expiry.to_be_bytes()])
}

/// Flags and expiry of SET, ADD and REPLACE.
///
/// # Errors
/// For other lengths than 8.
pub fn store(extras: &[u8]) -> Result<(u32, u32), DecodeError> {
    let extras: [u8; 8] = exactly("store extras", extras)?;
    let mut fields = Reader::new("store extras", &extras);
    Ok((fields.u32("flags")?, fields.u32("expiry")?))
}

/// The extras of TOUCH and GAT.
pub const fn touch_extras(expiry: u32) -> [u8; 4] {
    expiry.to_be_bytes()
}

/// The expiry of TOUCH and GAT.
///
/// # Errors
/// For other lengths than 4.
pub fn touch(extras: &[u8]) -> Result<u32, DecodeError> {
    exactly("expiry", extras).map(u32::from_be_bytes)
}

/// The extras of GET_LOCKED: seconds, which servers cap (OP-10).
pub const fn lock_extras(seconds: u32) -> [u8; 4] {
    seconds.to_be_bytes()
}

/// The lock time of GET_LOCKED, `None` for the server's default.
///
/// # Errors
/// For other lengths than 0 and 4.
pub fn lock(extras: &[u8]) -> Result<Option<u32>, DecodeError> {
    if extras.is_empty() {
        return Ok(None);
    }
    exactly("lock time", extras).map(|bytes| Some(u32::from_be_bytes(bytes)))
}

/// The expiry that makes a counter operation fail on a missing document (OP-11).
pub const COUNTER_NO_CREATE: u32 = u32::MAX;

/// What INCREMENT and DECREMENT ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// How far to count.
    pub delta: u64,
    /// The value of a document that is created.
    pub initial: u64,
    /// Its expiry, or [`COUNTER_NO_CREATE`].
    pub expiry: u32,
}

/// The extras of INCREMENT and DECREMENT.
pub fn counter_extras(delta: u64, initial: u64, expiry: u32) -> [u8; 20] {
    join(&[&delta.to_be_bytes(), &initial.to_be_bytes(), &expiry.to_be_bytes()])
}

/// Reads [`counter_extras`].
///
/// # Errors
/// For other lengths than 20.
pub fn counter(extras: &[u8]) -> Result<Counter, DecodeError> {
    let extras: [u8; 20] = exactly("counter extras", extras)?;
    let mut fields = Reader::new("counter extras", &extras);
    Ok(Counter {
        delta: fields.u64("delta")?,
        initial: fields.u64("initial")?,
        expiry: fields.u32("expiry")?,
    })
}

/// The value of the answer to INCREMENT and DECREMENT, and of other requests and answers that are one number.
///
/// # Errors
/// For other lengths than 8.
pub fn number(value: &[u8]) -> Result<u64, DecodeError> {
    exactly("number", value).map(u64::from_be_bytes)
}

/// The answer to GET_META.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Not 0: the document is a tombstone.
    pub deleted: u32,
    /// The document's flags.
    pub flags: u32,
    /// When it expires, in seconds since 1970; 0 is never (MI-5).
    pub expiry: u32,
    /// Sequence number, of the document's revision.
    pub seqno: SeqNo,
    /// Datatype bits, in the answer to version 2 only.
    pub datatype: Option<u8>,
}

/// Reads the extras of the answer to GET_META.
///
/// # Errors
/// For other lengths than 20 and 21.
pub fn meta(extras: &[u8]) -> Result<Meta, DecodeError> {
    let mut fields = Reader::new("GET_META answer", extras);
    let meta = Meta {
        deleted: fields.u32("deleted")?,
        flags: fields.u32("flags")?,
        expiry: fields.u32("expiry")?,
        seqno: SeqNo(fields.u64("seqno")?),
        datatype: if fields.is_empty() { None } else { Some(fields.u8("datatype")?) },
    };
    fields.end()?;
    Ok(meta)
}

/// The version that GET_META asks for; without extras it is 1.
///
/// # Errors
/// For other lengths than 0 and 1.
pub fn meta_version(extras: &[u8]) -> Result<u8, DecodeError> {
    match extras {
        [] => Ok(1),
        [version] => Ok(*version),
        _ => Err(wrong_length("GET_META extras", extras)),
    }
}

/// The fixed fields of SET_WITH_META, ADD_WITH_META and DEL_WITH_META.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithMeta {
    /// The document's flags.
    pub flags: u32,
    /// Absolute expiry in seconds, 0 is never.
    pub expiry: u32,
    /// Sequence number of the revision.
    pub rev_seqno: u64,
    /// The CAS that the document gets.
    pub cas: u64,
    /// OP-16.
    pub options: Option<u32>,
    /// Length of the extended metadata at the end of the value.
    pub nmeta: Option<u16>,
}

impl WithMeta {
    /// Appends the extras of a with-meta request to `out`: 24, 26, 28 or 30 bytes.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&self.expiry.to_be_bytes());
        out.extend_from_slice(&self.rev_seqno.to_be_bytes());
        out.extend_from_slice(&self.cas.to_be_bytes());
        if let Some(options) = self.options {
            out.extend_from_slice(&options.to_be_bytes());
        }
        if let Some(nmeta) = self.nmeta {
            out.extend_from_slice(&nmeta.to_be_bytes());
        }
    }
}

/// Reads the extras of a with-meta request.
///
/// # Errors
/// For other lengths than 24, 26, 28 and 30.
pub fn with_meta(extras: &[u8]) -> Result<WithMeta, DecodeError> {
    if !matches!(extras.len(), 24 | 26 | 28 | 30) {
        return Err(wrong_length("with-meta extras", extras));
    }
    let mut fields = Reader::new("with-meta extras", extras);
    Ok(WithMeta {
        flags: fields.u32("flags")?,
        expiry: fields.u32("expiry")?,
        rev_seqno: fields.u64("seqno")?,
        cas: fields.u64("CAS")?,
        options: if fields.rest().len() >= 4 { Some(fields.u32("options")?) } else { None },
        nmeta: if fields.is_empty() { None } else { Some(fields.u16("nmeta")?) },
    })
}

/// The answer to COLLECTIONS_GET_ID and COLLECTIONS_GET_SCOPE_ID: the manifest's uid, and the collection or scope.
///
/// # Errors
/// For other lengths than 12.
pub fn collection_id(extras: &[u8]) -> Result<(u64, CollectionId), DecodeError> {
    let extras: [u8; 12] = exactly("collection id", extras)?;
    let mut fields = Reader::new("collection id", &extras);
    Ok((fields.u64("manifest uid")?, CollectionId(fields.u32("id")?)))
}

/// Writes what [`collection_id`] reads.
pub fn collection_id_extras(manifest_uid: u64, id: CollectionId) -> [u8; 12] {
    join(&[&manifest_uid.to_be_bytes(), &id.0.to_be_bytes()])
}

/// The extras of GET_CLUSTER_CONFIG with the version of the map that the client has (feature 0x1d), and those of a
/// cluster-map notification.
pub fn known_config_extras(epoch: i64, rev: i64) -> [u8; 16] {
    join(&[&epoch.to_be_bytes(), &rev.to_be_bytes()])
}

/// The version in the extras of GET_CLUSTER_CONFIG, epoch and revision; `None` where the client has no map.
///
/// # Errors
/// For other lengths than 0 and 16.
pub fn known_config(extras: &[u8]) -> Result<Option<(i64, i64)>, DecodeError> {
    if extras.is_empty() {
        return Ok(None);
    }
    let extras: [u8; 16] = exactly("known config", extras)?;
    let mut fields = Reader::new("known config", &extras);
    Ok(Some((
        fields.array("epoch").map(i64::from_be_bytes)?,
        fields.array("revision").map(i64::from_be_bytes)?,
    )))
}

/// The version in a cluster-map notification: the epoch, which old servers do not tell, and the revision.
///
/// # Errors
/// For other lengths than 16 and 4: the notification is ignored (`kv-protocol.md` 1.3).
pub fn notification(extras: &[u8]) -> Result<(Option<i64>, i64), DecodeError> {
    if let Ok(rev) = <[u8; 4]>::try_from(extras) {
        return Ok((None, i64::from(u32::from_be_bytes(rev))));
    }
    let version = if extras.is_empty() { None } else { known_config(extras)? };
    let (epoch, rev) = version.ok_or_else(|| wrong_length("notification extras", extras))?;
    Ok((Some(epoch), rev))
}

/// The extras of GET_RANDOM_KEY.
pub const fn random_key_extras(collection: CollectionId) -> [u8; 4] {
    collection.0.to_be_bytes()
}

/// The collection of GET_RANDOM_KEY, and whether attributes are wanted.
///
/// # Errors
/// For other lengths than 4 and 5.
pub fn random_key(extras: &[u8]) -> Result<(CollectionId, bool), DecodeError> {
    let mut fields = Reader::new("GET_RANDOM_KEY extras", extras);
    let collection = CollectionId(fields.u32("collection")?);
    let attributes = if fields.is_empty() { 0 } else { fields.u8("attributes")? };
    fields.end()?;
    Ok((collection, attributes != 0))
}

/// The error-map version that GET_ERROR_MAP asks for.
///
/// # Errors
/// For other lengths than 2.
pub fn error_map_version(value: &[u8]) -> Result<u16, DecodeError> {
    exactly("GET_ERROR_MAP version", value).map(u16::from_be_bytes)
}

/// Whether a frame is the last of a STAT answer (FR-17).
pub const fn is_stat_end(key: &[u8], value: &[u8]) -> bool {
    key.is_empty() && value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_0_or_16_bytes() {
        assert_eq!(mutation_token(&[]), Ok(None));
        assert_eq!(mutation_token(&token_extras(0xa1b2, SeqNo(4660))), Ok(Some((0xa1b2, SeqNo(4660)))));
        for len in [1, 8, 15, 17] {
            assert!(mutation_token(&vec![0; len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn extras_are_written_as_they_are_read() {
        assert_eq!(store_extras(0x0200_0000, 86_400), [2, 0, 0, 0, 0, 1, 0x51, 0x80]);
        assert_eq!(store(&store_extras(1, 2)), Ok((1, 2)));
        let asked = Counter { delta: 10, initial: 7, expiry: COUNTER_NO_CREATE };
        assert_eq!(counter(&counter_extras(10, 7, u32::MAX)), Ok(asked));
        assert_eq!(touch(&touch_extras(3600)), Ok(3600));
        assert_eq!(lock(&lock_extras(15)), Ok(Some(15)));
        assert_eq!(lock(&[]), Ok(None));
        assert_eq!(known_config(&known_config_extras(-1, 42)), Ok(Some((-1, 42))));
        assert_eq!(
            collection_id(&collection_id_extras(0x1f, CollectionId(0x555))),
            Ok((0x1f, CollectionId(0x555)))
        );
        assert_eq!(random_key(&random_key_extras(CollectionId(8))), Ok((CollectionId(8), false)));
        assert_eq!(flags(&flags_extras(0xdead_beef)), Ok(0xdead_beef));
    }

    #[test]
    fn any_other_length_is_refused() {
        assert!(flags(&[]).is_err() && flags(&[0; 8]).is_err());
        assert!(store(&[0; 7]).is_err() && counter(&[0; 21]).is_err() && number(&[0; 4]).is_err());
        assert!(collection_id(&[0; 8]).is_err() && random_key(&[0; 6]).is_err());
        assert!(meta(&[0; 19]).is_err() && meta(&[0; 22]).is_err());
        assert!(with_meta(&[0; 25]).is_err() && meta_version(&[0; 2]).is_err());
    }

    #[test]
    fn a_notification_has_4_or_16_bytes() {
        assert_eq!(notification(&known_config_extras(1, 44)), Ok((Some(1), 44)));
        assert_eq!(notification(&[0, 0, 0, 43]), Ok((None, 43)));
        for len in [0, 3, 7, 17] {
            assert!(notification(&vec![0; len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn metadata_comes_with_or_without_the_datatype() {
        let plain = meta(&[0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 77]).unwrap();
        assert_eq!((plain.deleted, plain.flags, plain.expiry, plain.seqno), (1, 0x0200_0000, 7, SeqNo(77)));
        assert_eq!(plain.datatype, None);
        assert_eq!(meta(&[0; 21]).unwrap().datatype, Some(0));
    }

    #[test]
    fn a_key_is_split_only_with_collections() {
        assert_eq!(split_key(b"\xd5\x0akey", true), Ok((Some(CollectionId(0x555)), &b"key"[..])));
        assert_eq!(split_key(b"\xd5\x0akey", false), Ok((None, &b"\xd5\x0akey"[..])));
        assert!(split_key(b"\x80\x00key", true).is_err(), "not canonical");
    }

    #[test]
    fn attributes_come_only_with_get_ex() {
        assert!(check_answer_datatype(Opcode::GET_EX, 0x05).is_ok());
        assert!(check_answer_datatype(Opcode::GET, 0x03).is_ok());
        assert!(check_answer_datatype(Opcode::GET, 0x04).is_err());
        assert!(check_answer_datatype(Opcode::GET_EX, 0x08).is_err());
    }
}
