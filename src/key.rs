//! Document keys.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// Keys of at most this many bytes, among them any UUID in text form, need no memory of their own.
const INLINE: usize = 38;

/// A document's key, without the prefix of its collection. `Debug` shows its length only: keys are user data.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Bytes),
}

impl Key {
    /// A copy of `bytes`, whatever they are; the engine refuses keys that no server takes.
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self(Repr::Inline { len, bytes: inline })
            }
            _ => Self(Repr::Shared(Bytes::copy_from_slice(bytes))),
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Self::copy_from_slice(bytes)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::copy_from_slice(text.as_bytes())
    }
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Self {
        if bytes.len() <= INLINE { Self::copy_from_slice(&bytes) } else { Self(Repr::Shared(bytes)) }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_keys_are_what_they_were_made_of() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 250, 300] {
            let bytes: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            for key in [Key::from(&bytes[..]), Key::from(Bytes::from(bytes.clone()))] {
                assert_eq!(&key[..], &bytes[..]);
            }
        }
        assert!(size_of::<Key>() <= 40);
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::from("secret")), "Key(6 bytes)");
    }
}
