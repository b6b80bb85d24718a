//! Sub-document requests and answers (`kv-protocol.md` 2.4).
//!
//! Specs are encoded in the order given: putting attribute specs first (OP-18) is the caller's affair, and so is
//! restoring the caller's order of the results.

use super::read::{Reader, malformed};
use super::{DecodeError, EncodeError, Opcode, Status};

/// Flags of one path.
pub mod path_flag {
    /// Create missing parents.
    pub const MKDIR_P: u8 = 0x01;
    /// The path is one of an extended attribute.
    pub const XATTR: u8 = 0x04;
    /// Expand macros in the value; needs [`XATTR`].
    pub const EXPAND_MACROS: u8 = 0x10;
    /// The value is not JSON; needs [`XATTR`], excludes [`EXPAND_MACROS`].
    pub const BINARY_VALUE: u8 = 0x20;
}

/// Flags of the whole request.
pub mod doc_flag {
    /// Create the document if it is missing.
    pub const MKDOC: u8 = 0x01;
    /// Fail if the document exists; excludes a CAS and [`MKDOC`].
    pub const ADD: u8 = 0x02;
    /// Operate on tombstones too.
    pub const ACCESS_DELETED: u8 = 0x04;
    /// Create a tombstone; needs [`MKDOC`] or [`ADD`].
    pub const CREATE_AS_DELETED: u8 = 0x08;
    /// Bring a tombstone back; needs [`ACCESS_DELETED`].
    pub const REVIVE: u8 = 0x10;
    /// Read from a replica.
    pub const REPLICA_READ: u8 = 0x20;
}

/// One path of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupSpec<'a> {
    /// [`Opcode::SUBDOC_GET`], [`Opcode::SUBDOC_EXISTS`], [`Opcode::SUBDOC_GET_COUNT`], or [`Opcode::GET`] for the
    /// whole document.
    pub opcode: Opcode,
    /// See [`path_flag`].
    pub flags: u8,
    /// The path; empty for the whole document.
    pub path: &'a [u8],
}

/// One path of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutationSpec<'a> {
    /// One of the sub-document mutations, or [`Opcode::SET`] and [`Opcode::DELETE`] for the whole document.
    pub opcode: Opcode,
    /// See [`path_flag`].
    pub flags: u8,
    /// The path; empty for the whole document.
    pub path: &'a [u8],
    /// The value; empty for deletions.
    pub value: &'a [u8],
}

impl LookupSpec<'_> {
    /// Appends this spec to the value of a SUBDOC_MULTI_LOOKUP.
    ///
    /// # Errors
    /// [`EncodeError`] for a path above 65,535 bytes; `out` is then as it was. Servers refuse paths above 1024.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let path_len = path_len(self.path)?;
        out.extend_from_slice(&[self.opcode.0, self.flags]);
        out.extend_from_slice(&path_len);
        out.extend_from_slice(self.path);
        Ok(())
    }
}

impl MutationSpec<'_> {
    /// Appends this spec to the value of a SUBDOC_MULTI_MUTATION.
    ///
    /// # Errors
    /// [`EncodeError`] for a path above 65,535 bytes or a value above 32 bits; `out` is then as it was.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let path_len = path_len(self.path)?;
        let max = u32::MAX as usize;
        let value_len = u32::try_from(self.value.len()).map_err(|_| EncodeError {
            section: "sub-document value",
            len: self.value.len(),
            max,
        })?;
        out.extend_from_slice(&[self.opcode.0, self.flags]);
        out.extend_from_slice(&path_len);
        out.extend_from_slice(&value_len.to_be_bytes());
        out.extend_from_slice(self.path);
        out.extend_from_slice(self.value);
        Ok(())
    }
}

fn path_len(path: &[u8]) -> Result<[u8; 2], EncodeError> {
    let too_long = |_| EncodeError { section: "sub-document path", len: path.len(), max: 65_535 };
    u16::try_from(path.len()).map(u16::to_be_bytes).map_err(too_long)
}

/// The specs of a SUBDOC_MULTI_LOOKUP.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated spec.
pub fn lookup_specs(value: &[u8]) -> Result<Vec<LookupSpec<'_>>, DecodeError> {
    let mut fields = Reader::new("SUBDOC_MULTI_LOOKUP", value);
    let mut specs = Vec::new();
    while !fields.is_empty() {
        let (opcode, flags) = (Opcode(fields.u8("opcode")?), fields.u8("flags")?);
        let path_len = fields.u16("path length")?;
        specs.push(LookupSpec { opcode, flags, path: fields.take(usize::from(path_len), "path")? });
    }
    Ok(specs)
}

/// The specs of a SUBDOC_MULTI_MUTATION.
///
/// # Errors
/// [`DecodeError::Malformed`] for a truncated spec.
pub fn mutation_specs(value: &[u8]) -> Result<Vec<MutationSpec<'_>>, DecodeError> {
    let mut fields = Reader::new("SUBDOC_MULTI_MUTATION", value);
    let mut specs = Vec::new();
    while !fields.is_empty() {
        let (opcode, flags) = (Opcode(fields.u8("opcode")?), fields.u8("flags")?);
        let path_len = fields.u16("path length")?;
        let value_len = fields.u32("value length")?;
        let path = fields.take(usize::from(path_len), "path")?;
        let value = fields.take(usize::try_from(value_len).unwrap_or(usize::MAX), "value")?;
        specs.push(MutationSpec { opcode, flags, path, value });
    }
    Ok(specs)
}

/// The extras of a SUBDOC_MULTI_MUTATION; those of a look-up are its document flags alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MutationExtras {
    /// Expiry in the wire's form; without it an existing one is removed unless the request preserves it (MI-6).
    pub expiry: Option<u32>,
    /// The document's flags; newest servers only (MI-3).
    pub user_flags: Option<u32>,
    /// See [`doc_flag`].
    pub doc_flags: Option<u8>,
}

impl MutationExtras {
    /// Appends the extras to `out`: 0, 1, 4, 5, 8 or 9 bytes. User flags without an expiry are written with expiry 0.
    pub fn emit(&self, out: &mut Vec<u8>) {
        if let Some(expiry) = self.expiry.or_else(|| self.user_flags.map(|_| 0)) {
            out.extend_from_slice(&expiry.to_be_bytes());
        }
        if let Some(user_flags) = self.user_flags {
            out.extend_from_slice(&user_flags.to_be_bytes());
        }
        out.extend(self.doc_flags);
    }

    /// Reads the extras of a SUBDOC_MULTI_MUTATION.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for any other length.
    pub fn parse(extras: &[u8]) -> Result<Self, DecodeError> {
        if !matches!(extras.len(), 0 | 1 | 4 | 5 | 8 | 9) {
            return Err(malformed("sub-document extras", format!("no form has {} bytes", extras.len())));
        }
        let mut fields = Reader::new("sub-document extras", extras);
        let mut long = || if fields.rest().len() >= 4 { fields.u32("a field").map(Some) } else { Ok(None) };
        let (expiry, user_flags) = (long()?, long()?);
        Ok(Self { expiry, user_flags, doc_flags: fields.rest().first().copied() })
    }
}

/// The document flags in the extras of a SUBDOC_MULTI_LOOKUP.
///
/// # Errors
/// [`DecodeError::Malformed`] for other lengths than 0 and 1.
pub fn lookup_doc_flags(extras: &[u8]) -> Result<Option<u8>, DecodeError> {
    match extras {
        [] => Ok(None),
        [flags] => Ok(Some(*flags)),
        _ => Err(malformed("sub-document extras", format!("no form has {} bytes", extras.len()))),
    }
}

/// Whether an opcode is one of the single-path operations.
pub const fn is_single_path(opcode: Opcode) -> bool {
    matches!(opcode.0, 0xc5..=0xcf | 0xd2 | 0xd3)
}

/// The fixed fields of a single-path request, which the engine reads but never sends (OP-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinglePath<'a> {
    /// See [`path_flag`].
    pub flags: u8,
    /// Expiry, user and document flags.
    pub extras: MutationExtras,
    /// The path.
    pub path: &'a [u8],
    /// What follows it.
    pub value: &'a [u8],
}

impl<'a> SinglePath<'a> {
    /// Reads a request of one of the single-path opcodes.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for extras of another length than 3, 4, 7, 8, 11 and 12, and a path past the end.
    pub fn parse(extras: &[u8], value: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Reader::new("sub-document extras", extras);
        let path_len = fields.u16("path length")?;
        let flags = fields.u8("path flags")?;
        let extras = MutationExtras::parse(fields.rest())?;
        let mut value = Reader::new("sub-document request", value);
        let path = value.take(usize::from(path_len), "path")?;
        Ok(Self { flags, extras, path, value: value.rest() })
    }

    /// Appends the extras of the request to `out`; its value is the path, then the value.
    ///
    /// # Errors
    /// [`EncodeError`] for a path above 65,535 bytes; `out` is then as it was.
    pub fn emit_extras(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(&path_len(self.path)?);
        out.push(self.flags);
        self.extras.emit(out);
        Ok(())
    }
}

/// What became of one path of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupResult<'a> {
    /// The path's own status.
    pub status: Status,
    /// Its value; to be ignored unless the status is success (OP-24).
    pub value: &'a [u8],
}

/// The results of a SUBDOC_MULTI_LOOKUP, one for each of the `specs` that were sent, in their order.
///
/// # Errors
/// [`DecodeError::Malformed`] for a length past the end, and for more or fewer results (OP-24, H4).
pub fn lookup_results(value: &[u8], specs: usize) -> Result<Vec<LookupResult<'_>>, DecodeError> {
    let mut results = LookupResults::new(value);
    let found = results.by_ref().take(specs).collect::<Result<Vec<_>, _>>()?;
    if found.len() < specs {
        let detail = format!("{} results for {specs} paths", found.len());
        return Err(malformed("SUBDOC_MULTI_LOOKUP answer", detail));
    }
    results.fields.end()?;
    Ok(found)
}

/// Iterates over the results of a SUBDOC_MULTI_LOOKUP, however many there are; ends after the first error.
#[derive(Clone, Debug)]
pub struct LookupResults<'a> {
    fields: Reader<'a>,
}

impl<'a> LookupResults<'a> {
    /// The results in the value of an answer.
    pub const fn new(value: &'a [u8]) -> Self {
        Self { fields: Reader::new("SUBDOC_MULTI_LOOKUP answer", value) }
    }
}

impl<'a> Iterator for LookupResults<'a> {
    type Item = Result<LookupResult<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.is_empty() {
            return None;
        }
        let mut take = || {
            let status = Status(self.fields.u16("status")?);
            Ok(LookupResult { status, value: self.fields.long("value")? })
        };
        let next = take();
        if next.is_err() {
            self.fields = Reader::new("SUBDOC_MULTI_LOOKUP answer", &[]);
        }
        Some(next)
    }
}

/// Appends one result to the answer to a SUBDOC_MULTI_LOOKUP.
///
/// # Errors
/// [`EncodeError`] for a value above 32 bits; `out` is then as it was.
pub fn emit_lookup_result(result: &LookupResult<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = result.value.len();
    let value_len = u32::try_from(len).map_err(|_| EncodeError {
        section: "sub-document value",
        len,
        max: u32::MAX as usize,
    })?;
    out.extend_from_slice(&result.status.0.to_be_bytes());
    out.extend_from_slice(&value_len.to_be_bytes());
    out.extend_from_slice(result.value);
    Ok(())
}

/// What became of one path of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutationResult<'a> {
    /// Which spec, in the order sent.
    pub index: u8,
    /// Success, or why this path made the whole request fail.
    pub status: Status,
    /// The value of a path that returns one: counters. `None` with a failure.
    pub value: Option<&'a [u8]>,
}

/// The results of a SUBDOC_MULTI_MUTATION to which `specs` paths were sent: after success those that return a value,
/// after a failure the one path that failed.
///
/// # Errors
/// [`DecodeError::Malformed`] for a length past the end, an index that was not sent, more results than specs, and a
/// status that contradicts the header's (OP-24, H3, H4).
pub fn mutation_results(
    status: Status,
    value: &[u8],
    specs: usize,
) -> Result<Vec<MutationResult<'_>>, DecodeError> {
    const WHAT: &str = "SUBDOC_MULTI_MUTATION answer";
    let mut fields = Reader::new(WHAT, value);
    let failed =
        matches!(status, Status::SUBDOC_MULTI_PATH_FAILURE | Status::SUBDOC_MULTI_PATH_FAILURE_DELETED);
    let mut results = Vec::new();
    while !fields.is_empty() {
        let (index, path_status) = (fields.u8("index")?, Status(fields.u16("status")?));
        if usize::from(index) >= specs {
            return Err(malformed(WHAT, format!("index {index} where {specs} paths were sent")));
        }
        if (path_status == Status::SUCCESS) == failed {
            return Err(malformed(WHAT, format!("path status {path_status} in an answer of {status}")));
        }
        let value = if failed { None } else { Some(fields.long("value")?) };
        results.push(MutationResult { index, status: path_status, value });
        if results.len() > if failed { 1 } else { specs } {
            return Err(malformed(WHAT, "more results than paths"));
        }
    }
    if failed && results.is_empty() {
        return Err(malformed(WHAT, "a failure that does not tell the path"));
    }
    Ok(results)
}

/// Appends one result to the answer to a SUBDOC_MULTI_MUTATION.
///
/// # Errors
/// [`EncodeError`] for a value above 32 bits; `out` is then as it was.
pub fn emit_mutation_result(result: &MutationResult<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.push(result.index);
    let Some(value) = result.value else {
        out.extend_from_slice(&result.status.0.to_be_bytes());
        return Ok(());
    };
    emit_lookup_result(&LookupResult { status: result.status, value }, out).inspect_err(|_| {
        out.pop();
    })
}

#[cfg(test)]
mod tests;
