//! How a command ends when it does not succeed.

use std::fmt;
use std::io::{self, Write};

use crate::terminal::Colours;

/// Why a command ends with another exit code than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no, or the operation failed: exit code 1.
    No {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The command has said everything already: exit code 1.
    Reported,
    /// The command has said everything already: this exit code.
    Verdict(u8),
    /// The arguments contradict each other or cannot be used: exit code 2.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is no connection to a cluster: exit code 3.
    NoConnection {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The reader of standard output has gone: nobody wants to hear more, exit code 0.
    OutputClosed,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(message: impl fmt::Display) -> Self {
        Self::No { message: message.to_string(), hint: None }
    }

    /// No connection to a cluster.
    pub(crate) fn no_connection(message: impl fmt::Display) -> Self {
        Self::NoConnection { message: message.to_string(), hint: None }
    }

    /// The arguments cannot be used.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage { message: message.to_string(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::No { hint, .. } | Self::Usage { hint, .. } | Self::NoConnection { hint, .. } = &mut self
        {
            *hint = Some(text.into());
        }
        self
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::No { .. } | Self::Reported => 1,
            Self::Verdict(code) => *code,
            Self::Usage { .. } => 2,
            Self::NoConnection { .. } => 3,
        }
    }

    /// Writes the message for people.
    pub(crate) fn write(&self, out: &mut impl Write, colours: Colours) -> io::Result<()> {
        let (message, hint) = match self {
            Self::No { message, hint }
            | Self::Usage { message, hint }
            | Self::NoConnection { message, hint } => (message, hint.as_deref()),
            Self::Reported | Self::Verdict(_) | Self::OutputClosed => return Ok(()),
        };
        writeln!(out, "{} {message}", colours.red("error:"))?;
        if let Some(hint) = hint {
            writeln!(out, "{} {hint}", colours.bold("hint:"))?;
        }
        Ok(())
    }
}

/// Failing to write: the only I/O errors that reach a command's end without words of their own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::no(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).code(), 1);
    }

    #[test]
    fn messages_have_their_hint_and_no_colours_when_piped() {
        let mut out = Vec::new();
        let failure = Failure::no_connection("nobody answers").hint("start one");
        failure.write(&mut out, Colours::NONE).unwrap();
        assert_eq!(out, b"error: nobody answers\nhint: start one\n");
        assert_eq!(failure.code(), 3);
    }
}
