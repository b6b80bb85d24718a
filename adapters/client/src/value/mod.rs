//! Documents as bytes and common flags (SDK RFC 0020), and as what the application wants them to be.
//!
//! | to write | to read | flags | bytes |
//! |---|---|---|---|
//! | any `Serialize` | [`GetResult::content_as`](crate::GetResult::content_as) | JSON | JSON |
//! | [`RawJson`] | [`decode::<RawJson>`](crate::GetResult::decode) | JSON | passed through |
//! | [`RawString`] | `decode::<RawString>` | string | UTF-8 |
//! | [`RawBinary`] | `decode::<RawBinary>` | binary | passed through |
//! | [`Legacy`] | `decode::<Legacy>` | by value | by flags |
//!
//! A text given as it is (`"text"`) is written as a JSON string, and a `Vec<u8>` as a JSON array of numbers: wrap bytes
//! in [`RawBinary`]. For another format implement [`Encode`] and [`Decode`] for a type of your own.

mod flags;
#[cfg(test)]
mod tests;

pub use flags::{Flags, Format};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// serde refused the value.
    #[error("JSON: {0}")]
    Json(String),
    /// The bytes are not text.
    #[error("not UTF-8 text, at byte {0}")]
    NotUtf8(usize),
    /// The flags say that the value is in another format than asked for (MI-1).
    #[error("the flags 0x{flags:08x} say {found}, wanted is {wanted}")]
    OtherFormat {
        /// The document's flags.
        flags: u32,
        /// What they say.
        found: Format,
        /// What was asked for.
        wanted: Format,
    },
    /// The flags say that another client compressed the value, or are of a kind that nobody has defined (RFC 0020).
    #[error("the flags 0x{0:08x} belong to a format that is not known here")]
    UnknownFlags(u32),
    /// A converter of the application's own failed.
    #[error("{0}")]
    Other(String),
}

/// A value on its way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The document.
    pub value: Bytes,
    /// How to read it.
    pub flags: Flags,
}

/// What can be written as a document.
///
/// Every `Serialize` can, as JSON.
pub trait Encode {
    /// Encodes it.
    ///
    /// # Errors
    /// The operation fails with `EncodingFailure`, and nothing is sent.
    fn encode(self) -> Result<Encoded, ValueError>;
}

/// What a document can be read as, beside the `Deserialize` types of
/// [`GetResult::content_as`](crate::GetResult::content_as).
pub trait Decode: Sized {
    /// Decodes it.
    ///
    /// `strict` is what [`ClusterOptions::strict_flags`](crate::ClusterOptions::strict_flags) says; see
    /// [`Flags::check`].
    ///
    /// # Errors
    /// The bytes or the flags are not of this format.
    fn decode(value: &Bytes, flags: Flags, strict: bool) -> Result<Self, ValueError>;
}

impl<T: Serialize> Encode for T {
    fn encode(self) -> Result<Encoded, ValueError> {
        Ok(Encoded { value: to_json(&self)?, flags: Flags::JSON })
    }
}

/// Text or bytes that are JSON already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawJson(pub Bytes);

/// Text that is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawString(pub String);

/// Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBinary(pub Bytes);

/// A document as the clients before common flags wrote it: bytes, text, or else JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Legacy {
    /// Binary flags.
    Binary(Bytes),
    /// String flags.
    Text(String),
    /// JSON flags, or none.
    Json(serde_json::Value),
}

macro_rules! raw_bytes {
    ($name:ident, $flags:expr, $format:expr) => {
        impl $name {
            /// From anything that can become bytes: `Vec<u8>`, `String`, `&'static str`, `Bytes`.
            pub fn new(bytes: impl Into<Bytes>) -> Self {
                Self(bytes.into())
            }
        }

        impl Encode for $name {
            fn encode(self) -> Result<Encoded, ValueError> {
                Ok(Encoded { value: self.0, flags: $flags })
            }
        }

        impl Decode for $name {
            fn decode(value: &Bytes, flags: Flags, strict: bool) -> Result<Self, ValueError> {
                flags.check($format, strict)?;
                Ok(Self(value.clone()))
            }
        }
    };
}

raw_bytes!(RawJson, Flags::JSON, Format::Json);
raw_bytes!(RawBinary, Flags::BINARY, Format::Binary);

impl RawString {
    /// From text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Encode for RawString {
    fn encode(self) -> Result<Encoded, ValueError> {
        Ok(Encoded { value: Bytes::from(self.0), flags: Flags::STRING })
    }
}

impl Decode for RawString {
    fn decode(value: &Bytes, flags: Flags, strict: bool) -> Result<Self, ValueError> {
        flags.check(Format::String, strict)?;
        text(value).map(Self)
    }
}

impl Legacy {
    /// JSON of anything that serde can write.
    ///
    /// # Errors
    /// serde refuses the value.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, ValueError> {
        serde_json::to_value(value).map(Self::Json).map_err(|error| ValueError::Json(error.to_string()))
    }
}

impl Encode for Legacy {
    fn encode(self) -> Result<Encoded, ValueError> {
        match self {
            Self::Binary(bytes) => RawBinary(bytes).encode(),
            Self::Text(text) => RawString(text).encode(),
            Self::Json(value) => value.encode(),
        }
    }
}

impl Decode for Legacy {
    fn decode(value: &Bytes, flags: Flags, strict: bool) -> Result<Self, ValueError> {
        match flags.format()? {
            Format::Binary => Ok(Self::Binary(value.clone())),
            Format::String => text(value).map(Self::Text),
            Format::Json | Format::None => from_json(value).map(Self::Json),
            found @ (Format::Private | Format::Unknown) => {
                if strict || found == Format::Private {
                    return Err(ValueError::OtherFormat { flags: flags.0, found, wanted: Format::Json });
                }
                from_json(value).map(Self::Json)
            }
        }
    }
}

/// A value of which only serde knows how to read it; for generic code beside [`Decode`]'s other types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> Decode for Json<T> {
    fn decode(value: &Bytes, flags: Flags, strict: bool) -> Result<Self, ValueError> {
        flags.check(Format::Json, strict)?;
        from_json(value).map(Self)
    }
}

impl<T: Serialize> Encode for Json<T> {
    fn encode(self) -> Result<Encoded, ValueError> {
        self.0.encode()
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Bytes, ValueError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| ValueError::Json(error.to_string()))
}

/// Reads JSON; the error says where and what, and repeats nothing of the document.
pub(crate) fn from_json<'a, T: serde::Deserialize<'a>>(value: &'a [u8]) -> Result<T, ValueError> {
    serde_json::from_slice(value).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("missing field") {
            // The name is the type's, and what most readers need to know.
            return ValueError::Json(text);
        }
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => "the value does not fit the type",
            serde_json::error::Category::Eof => "the document ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
        };
        ValueError::Json(format!("{what}, at line {line} column {column}"))
    })
}

fn text(value: &Bytes) -> Result<String, ValueError> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(ValueError::NotUtf8(error.valid_up_to())),
    }
}
