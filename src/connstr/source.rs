//! The input text with the positions in it, and the rule which parts of it may be repeated in messages.

use super::error::{ErrorKind, ParseError};

/// The whole input. Every [`Span`] of it knows its place.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    text: &'a str,
    /// Text that starts before this offset may be part of credentials: it stands before the last `@` (CS-13).
    hidden_until: usize,
}

/// A part of the input.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, hidden_until: text.rfind('@').map_or(0, |at| at + 1) }
    }

    pub(super) fn whole(&self) -> Span<'a> {
        Span { text: self.text, start: 0 }
    }

    pub(super) fn is_hidden(&self, span: Span<'_>) -> bool {
        span.start < self.hidden_until
    }

    /// The span's text for a message; nothing where it may be a secret.
    pub(super) fn echo<'b>(&self, span: Span<'b>) -> &'b str {
        if self.is_hidden(span) { "" } else { span.text }
    }

    pub(super) fn error(&self, kind: ErrorKind, span: Span<'_>, hint: impl Into<String>) -> ParseError {
        ParseError::new(kind, span.start, self.echo(span), hint)
    }
}

impl<'a> Span<'a> {
    /// Splits at a byte offset, which a search in the same text has given.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        match self.text.split_at_checked(at) {
            Some((head, tail)) => {
                (Self { text: head, start: self.start }, Self { text: tail, start: self.start + at })
            }
            None => (self, Self { text: "", start: self.start + self.text.len() }),
        }
    }

    /// What stands before and after the first of `separators`, each an ASCII character.
    pub(super) fn split_once(self, separators: &[char]) -> Option<(Self, Self)> {
        let at = self.text.find(separators)?;
        let (head, tail) = self.split_at(at);
        Some((head, tail.split_at(1).1))
    }

    /// The pieces between `separators`, the empty ones too.
    pub(super) fn split(self, separators: &'static [char]) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let current = rest?;
            match current.split_once(separators) {
                Some((piece, tail)) => {
                    rest = Some(tail);
                    Some(piece)
                }
                None => rest.take(),
            }
        })
    }

    /// Without ASCII white space at both ends.
    pub(super) fn trim(self) -> Self {
        let front = self.text.trim_ascii_start();
        let start = self.start + (self.text.len() - front.len());
        Self { text: front.trim_ascii_end(), start }
    }

    pub(super) fn is_empty(self) -> bool {
        self.text.is_empty()
    }
}
