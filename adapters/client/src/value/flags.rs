//! Common flags (SDK RFC 0020): 32 bits beside each document that say how to read it.

use std::fmt;

use super::ValueError;

/// The common flags of a document.
///
/// Bits 31 to 29: compression (0 is none, nothing else is defined); bit 28: reserved, 0; bits 27 to 24: the format;
/// bits 23 to 0: what clients before the common flags made of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

/// The format that [`Flags`] name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// No common flags: counters, documents made by sub-document writes, and documents of old clients.
    None,
    /// Serialised by a language of its own.
    Private,
    /// JSON.
    Json,
    /// Bytes.
    Binary,
    /// UTF-8 text.
    String,
    /// Any other number.
    Unknown,
}

impl Flags {
    /// JSON.
    pub const JSON: Self = Self(0x0200_0000);
    /// Bytes.
    pub const BINARY: Self = Self(0x0300_0000);
    /// UTF-8 text.
    pub const STRING: Self = Self(0x0400_0000);

    /// The format they name.
    ///
    /// # Errors
    /// Compression bits or the reserved bit are set (RFC 0020).
    pub const fn format(self) -> Result<Format, ValueError> {
        match self.0 >> 24 {
            0 => Ok(Format::None),
            1 => Ok(Format::Private),
            2 => Ok(Format::Json),
            3 => Ok(Format::Binary),
            4 => Ok(Format::String),
            5..=0x0f => Ok(Format::Unknown),
            _ => Err(ValueError::UnknownFlags(self.0)),
        }
    }

    /// Whether a document with these flags may be read as a format: always, unless `strict` and they name another one.
    /// Flags without a format suit all of them (MI-1, MI-3).
    ///
    /// # Errors
    /// The flags are undefined, or name another format in strict mode.
    pub fn check(self, wanted: Format, strict: bool) -> Result<(), ValueError> {
        let found = self.format()?;
        if !strict || found == wanted || found == Format::None {
            return Ok(());
        }
        Err(ValueError::OtherFormat { flags: self.0, found, wanted })
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags(0x{:08x})", self.0)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no format",
            Self::Private => "a private format",
            Self::Json => "JSON",
            Self::Binary => "binary",
            Self::String => "a string",
            Self::Unknown => "an unknown format",
        })
    }
}
