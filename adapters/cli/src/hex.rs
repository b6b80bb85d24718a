//! Bytes given as hexadecimal text.

/// A character that is no hexadecimal digit, or a digit without its other half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHex {
    /// Byte offset in the text.
    pub(crate) offset: usize,
    /// What stands there; `None` at the end, where a digit is missing.
    pub(crate) found: Option<char>,
}

/// Reads hexadecimal digits, with `0x` in front or without, and any white space, commas and colons between bytes.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, BadHex> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut half: Option<u8> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let offset = text.len() - rest.len();
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (half, digit) {
            (None, Some(0)) if rest.starts_with(['x', 'X']) => rest = rest.get(1..).unwrap_or_default(),
            (None, Some(digit)) => half = Some(digit),
            (Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                half = None;
            }
            (None, None) if c.is_whitespace() || matches!(c, ',' | ':') => {}
            (_, None) => return Err(BadHex { offset, found: Some(c) }),
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err(BadHex { offset: text.len(), found: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_any_grouping() {
        let expected = Ok(vec![0x80, 0x1f, 0x00, 0x0c]);
        for text in ["801f000c", "80 1F 00 0c\n", "0x80, 0x1f, 0x00, 0x0C", "80:1f:00:0c", "0x801f000c"] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn the_place_of_a_wrong_character_is_told() {
        assert_eq!(parse("80 zz"), Err(BadHex { offset: 3, found: Some('z') }));
        assert_eq!(parse("801"), Err(BadHex { offset: 3, found: None }));
        assert_eq!(parse("8 01"), Err(BadHex { offset: 1, found: Some(' ') }));
    }
}
