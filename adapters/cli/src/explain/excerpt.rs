//! The part of a connection string around a place, fit to be shown: no word that may be a secret stands in it.

use crate::terminal::visible;

/// A line, and the column of the place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    pub(super) column: usize,
}

/// Characters shown on either side of the place.
const WIDTH: usize = 60;

/// The excerpt around a byte offset.
///
/// What stands before an `@` is not repeated (CS-13), nor are other parameters than the one that is pointed at; with
/// `secret` also nothing from the place on.
pub(super) fn around(text: &str, offset: usize, secret: bool) -> Excerpt {
    let offset = floor(text, offset);
    let (start, end) = match text.find('?') {
        Some(mark) if offset > mark => {
            let before = text.get(mark..offset).unwrap_or_default();
            let start = mark + before.rfind('&').unwrap_or(0) + 1;
            let end = text.get(offset..).and_then(|rest| rest.find('&')).map_or(text.len(), |at| offset + at);
            (start, end)
        }
        Some(mark) => (0, mark),
        None => (0, text.len()),
    };
    // Credentials may stand before any `@`, wherever it is.
    let hidden = if secret { text.len() } else { text.rfind('@').map_or(0, |at| at + 1) };
    let show = |from: usize, to: usize| -> String {
        let masked = floor(text, hidden).clamp(from, to);
        let shown = text.get(masked..to).unwrap_or_default();
        format!("{}{}", if masked > from { "***" } else { "" }, visible(shown))
    };
    let before = show(start, offset);
    let after = show(offset, end);
    let (before_clipped, before) = clip_front(before);
    let (after, after_clipped) = clip_back(after);
    let before = format!("{}{before}", if start > 0 || before_clipped { "..." } else { "" });
    let cut = end < text.len() || after_clipped;
    Excerpt {
        column: before.chars().count(),
        line: format!("{before}{after}{}", if cut { "..." } else { "" }),
    }
}

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset = offset.saturating_sub(1);
    }
    offset
}

fn clip_front(text: String) -> (bool, String) {
    let count = text.chars().count();
    (count > WIDTH, text.chars().skip(count.saturating_sub(WIDTH)).collect())
}

fn clip_back(text: String) -> (String, bool) {
    let clipped = text.chars().count() > WIDTH;
    (text.chars().take(WIDTH).collect(), clipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, offset: usize, secret: bool) -> (String, usize) {
        let excerpt = around(text, offset, secret);
        (excerpt.line, excerpt.column)
    }

    #[test]
    fn the_column_counts_characters() {
        assert_eq!(shown("couchbase://h:0", 14, false), ("couchbase://h:0".into(), 14));
        assert_eq!(shown("\u{e9}\u{e9}://h", 4, false), ("\u{e9}\u{e9}://h".into(), 2));
        assert_eq!(shown("couchbase://h", 999, false), ("couchbase://h".into(), 13));
    }

    #[test]
    fn only_the_parameter_in_question_is_shown() {
        let text = "couchbase://h?a=secret&b=x&c=secret";
        assert_eq!(shown(text, 23, false), ("...b=x...".into(), 3));
        assert_eq!(shown(text, 12, false), ("couchbase://h...".into(), 12));
    }

    #[test]
    fn cs_13_nothing_before_an_at_sign_is_repeated() {
        for text in ["couchbase://user:secret@h:0", "user:secret@h:0", "couchbase://h:0?x=secret@h"] {
            for offset in 0..=text.len() {
                assert!(!around(text, offset, false).line.contains("secret"), "{text} {offset}");
            }
        }
        assert!(!around("couchbase://h?password=secret", 14, true).line.contains("secret"));
        assert_eq!(shown("couchbase://u:p@h:0", 18, false), ("***h:0".into(), 5));
    }

    #[test]
    fn long_strings_are_cut_around_the_place() {
        let text = format!("couchbase://{}:0", "h".repeat(500));
        let excerpt = around(&text, 250, false);
        assert_eq!((excerpt.line.chars().count(), excerpt.column), (126, 63));
    }
}
