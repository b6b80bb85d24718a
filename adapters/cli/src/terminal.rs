//! What is written for people: colours and progress lines, both on a terminal only.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours(bool);

impl Colours {
    /// Plain text.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(false);

    const fn of(is_terminal: bool, refused: bool) -> Self {
        Self(is_terminal && !refused)
    }

    fn paint<'a>(self, code: &'static str, text: &'a str) -> Painted<'a> {
        Painted { code: self.0.then_some(code), text }
    }

    pub(crate) fn bold(self, text: &str) -> Painted<'_> {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> Painted<'_> {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> Painted<'_> {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> Painted<'_> {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> Painted<'_> {
        self.paint("33", text)
    }
}

/// Text in a colour, if there are colours. Its padding does not count the colour's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painted<'a> {
    code: Option<&'static str>,
    text: &'a str,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = self.code else { return f.pad(self.text) };
        write!(f, "\x1b[{code}m")?;
        f.pad(self.text)?;
        f.write_str("\x1b[0m")
    }
}

/// Colours of standard output.
pub(crate) fn stdout_colours() -> Colours {
    Colours::of(io::stdout().is_terminal(), colours_refused())
}

/// Colours of standard error.
pub(crate) fn stderr_colours() -> Colours {
    Colours::of(io::stderr().is_terminal(), colours_refused())
}

/// The convention of <https://no-color.org>.
fn colours_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A line about something long, rewritten in place. Nothing is written unless standard error is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    on: bool,
}

impl Progress {
    /// A line of its own on standard error.
    pub(crate) fn new() -> Self {
        Self { on: io::stderr().is_terminal() }
    }

    /// Whether anybody sees it.
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Replaces the line.
    pub(crate) fn show(&self, text: impl fmt::Display) {
        if self.on {
            let mut err = io::stderr().lock();
            // A progress line that cannot be written is not worth failing for.
            let _ = write!(err, "\r\x1b[2K{text}");
            let _ = err.flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}

/// Text of strangers for a terminal: control characters are shown as `\u{..}`, so that they cannot act on it.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { Shown::Escaped(c.escape_default()) } else { Shown::Plain(Some(c)) })
        .collect()
}

enum Shown {
    Plain(Option<char>),
    Escaped(std::char::EscapeDefault),
}

impl Iterator for Shown {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Plain(c) => c.take(),
            Self::Escaped(chars) => chars.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_that_does_not_refuse_them() {
        assert_eq!(Colours::of(true, false).bold("x").to_string(), "\x1b[1mx\x1b[0m");
        assert_eq!(Colours::of(true, true).bold("x").to_string(), "x");
        assert_eq!(Colours::of(false, false).red("x").to_string(), "x");
        assert_eq!(format!("{:3}|", Colours::of(true, false).dim("x")), "\x1b[2mx  \x1b[0m|");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(visible("a\x1b[2Jb\n\u{e9}"), "a\\u{1b}[2Jb\\n\u{e9}");
    }
}
