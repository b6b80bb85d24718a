//! JSON read leniently and without a tree of values: limits, scalars, objects and arrays.
//!
//! What is malformed is kept as "missing" or as a recorded fault, so that `parse` can decide by the rules of each
//! field; the only errors that come out of here mean "not JSON". Duplicate keys: the last one wins (R-PARSE-5). `null`
//! reads as missing. Memory grows with the document, never by a number in it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The data node's own packet limit (R-PARSE-4).
pub(super) const MAX_BYTES: usize = 30 * 1024 * 1024;
/// Nesting beyond this is refused before parsing (R-PARSE-4).
pub(super) const MAX_DEPTH: usize = 32;

/// Size, encoding and nesting, before any parsing. The error is for people.
pub(super) fn check_limits(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("{} bytes, the limit is {MAX_BYTES}", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("nested deeper than {MAX_DEPTH}"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

/// The text of any JSON value, looked at as a scalar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar<'a>(pub(super) &'a str);

/// What a [`Scalar`] is as an integer (R-PARSE-3: never by way of floating point).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int {
    Missing,
    NotAnInteger,
    OutOfRange,
    Value(i64),
}

impl Default for Scalar<'_> {
    fn default() -> Self {
        Self("null")
    }
}

impl<'a> Scalar<'a> {
    pub(super) fn is_missing(self) -> bool {
        self.0 == "null"
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == "true"
    }

    pub(super) fn int(self) -> Int {
        if self.is_missing() {
            return Int::Missing;
        }
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Int::NotAnInteger;
        }
        self.0.parse().map_or(Int::OutOfRange, Int::Value)
    }

    pub(super) fn port(self) -> Option<u16> {
        match self.int() {
            Int::Value(port) => u16::try_from(port).ok().filter(|port| *port != 0),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// A string that says something.
    pub(super) fn non_empty(self) -> Option<String> {
        self.text().filter(|text| !text.is_empty()).map(Cow::into_owned)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// What gathers the entries of an object. `entry` must consume exactly one value.
pub(super) trait Object<'de>: Default {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// What gathers the elements of an array. `element` consumes one, and says whether there was one.
pub(super) trait Array<'de>: Default {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error>;
}

/// An object, or `None` for a value of any other type.
#[derive(Debug)]
pub(super) struct Obj<T>(pub(super) Option<T>);
/// An array, or `None` for a value of any other type.
#[derive(Debug)]
pub(super) struct Arr<T>(pub(super) Option<T>);

/// Accepts every scalar and makes `None` of it.
macro_rules! scalars_are_none {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
}

struct ObjVisitor<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for ObjVisitor<T> {
    type Value = Option<T>;

    scalars_are_none!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = T::default();
        while let Some(key) = map.next_key::<Name<'de>>()? {
            object.entry(&key.0, &mut map)?;
        }
        Ok(Some(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjVisitor(PhantomData)).map(Self)
    }
}

struct ArrVisitor<T>(PhantomData<T>);

impl<'de, T: Array<'de>> Visitor<'de> for ArrVisitor<T> {
    type Value = Option<T>;

    scalars_are_none!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut array = T::default();
        while array.element(&mut seq)? {}
        Ok(Some(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: Array<'de>> Deserialize<'de> for Arr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArrVisitor(PhantomData)).map(Self)
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

pub(super) use scalars_are_none;
