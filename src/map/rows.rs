//! The rows of a vbucket map, read straight into one flat array.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{Array, scalars_are_none};
use super::vbucket::{BEYOND, MAX_VBUCKETS, NOBODY, Rows};

/// Rows of a map, or the reason why they are none.
#[derive(Debug)]
pub(super) struct RawRows {
    pub(super) rows: Rows,
    pub(super) fault: Option<&'static str>,
}

impl Default for RawRows {
    fn default() -> Self {
        Self { rows: Rows { cells: Vec::new(), starts: vec![0] }, fault: None }
    }
}

impl<'de> Array<'de> for RawRows {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        if self.fault.is_none() && self.rows.len() == MAX_VBUCKETS {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            if more {
                self.fault = Some("more than 32768 rows");
            }
            return Ok(more);
        }
        if self.fault.is_some() {
            return Ok(seq.next_element::<IgnoredAny>()?.is_some());
        }
        Ok(seq.next_element_seed(RowSeed(self))?.is_some())
    }
}

struct RowSeed<'r>(&'r mut RawRows);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let rows = self.0;
        if deserializer.deserialize_any(RowVisitor(&mut *rows))?.is_none() {
            rows.fault = Some("a row is not an array of integers");
        }
        // The document is at most 30 MiB long, so its cells can be counted in 32 bits.
        rows.rows.starts.push(rows.rows.cells.len() as u32);
        Ok(())
    }
}

struct RowVisitor<'r>(&'r mut RawRows);

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = Option<()>;

    scalars_are_none!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(Cell(cell)) = seq.next_element()? {
            match cell {
                Some(cell) => self.0.rows.cells.push(cell),
                None => {
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// One cell; `None` where it is no integer.
struct Cell(Option<i16>);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor).map(Self)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Option<i16>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_u64<E>(self, index: u64) -> Result<Self::Value, E> {
        Ok(Some(i16::try_from(index).unwrap_or(BEYOND)))
    }
    fn visit_i64<E>(self, index: i64) -> Result<Self::Value, E> {
        Ok(Some(if index < 0 { NOBODY } else { i16::try_from(index).unwrap_or(BEYOND) }))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
