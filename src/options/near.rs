//! Names that were probably meant (OPT-3).

use super::registry;

/// The known name nearest to an unknown one: in another case, or at most two edits away.
pub(super) fn near_miss(name: &str) -> Option<&'static str> {
    let bare = name.strip_prefix("com.couchbase.env.").unwrap_or(name);
    if bare.len() > LONGEST {
        return None;
    }
    registry::all_names().find(|known| known.eq_ignore_ascii_case(bare)).or_else(|| {
        registry::all_names()
            .map(|known| (edits(bare, known), known))
            // Two edits turn a very short name into anything.
            .filter(|(edits, known)| *edits <= 2 && edits * 2 < known.len())
            .min_by_key(|(edits, _)| *edits)
            .map(|(_, known)| known)
    })
}

/// Longer than every name by more than two edits.
const LONGEST: usize = 64;

/// The Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut last = i + 1;
        if let Some(first) = row.first_mut() {
            *first = last;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            last = replaced.min(diagonal + 1).min(last + 1);
            *cell = last;
        }
    }
    row.last().copied().unwrap_or_default()
}
