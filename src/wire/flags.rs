//! Common flags: what kind of value a document holds (`kv-protocol.md` 10.1, RFC 0020).

use super::DecodeError;
use super::read::malformed;

/// Kind of a document's value, in bits 24 to 27 of its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// No common flags: the bits of older clients may tell more. Counters and documents made by sub-document writes
    /// look like this (MI-3).
    None,
    /// The serialisation of one language.
    Private,
    /// JSON.
    Json,
    /// Bytes.
    Binary,
    /// UTF-8 text.
    String,
    /// A format that RFC 0020 does not name.
    Unknown(u8),
}

impl Format {
    /// The format that a document's flags tell.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for flags that announce a compression, or set the reserved bit 28 (MI-1).
    pub fn of(flags: u32) -> Result<Self, DecodeError> {
        let [top, ..] = flags.to_be_bytes();
        if top & 0xf0 != 0 {
            return Err(malformed(
                "document flags",
                format!("0x{flags:08x} has a compression or reserved bit"),
            ));
        }
        Ok(match top {
            0 => Self::None,
            1 => Self::Private,
            2 => Self::Json,
            3 => Self::Binary,
            4 => Self::String,
            other => Self::Unknown(other),
        })
    }

    /// The flags of a document with this format and no bits of older clients.
    pub const fn flags(self) -> u32 {
        let format = match self {
            Self::None => 0,
            Self::Private => 1,
            Self::Json => 2,
            Self::Binary => 3,
            Self::String => 4,
            Self::Unknown(other) => other & 0x0f,
        };
        u32::from_be_bytes([format, 0, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_the_flags_of_rfc_0020() {
        let table = [
            (Format::None, 0),
            (Format::Private, 0x0100_0000),
            (Format::Json, 0x0200_0000),
            (Format::Binary, 0x0300_0000),
            (Format::String, 0x0400_0000),
            (Format::Unknown(9), 0x0900_0000),
        ];
        for (format, flags) in table {
            assert_eq!((format.flags(), Format::of(flags)), (flags, Ok(format)));
        }
        assert_eq!(Format::of(0x0200_0006), Ok(Format::Json), "older clients' bits do not matter");
    }

    #[test]
    fn mi_1_compression_and_the_reserved_bit_are_refused() {
        for flags in [0x2200_0000, 0x8200_0000, 0x1200_0000, 0xdead_beef] {
            assert!(Format::of(flags).is_err(), "0x{flags:08x}");
        }
    }
}
