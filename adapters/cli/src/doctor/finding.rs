//! What the doctor says.

use std::fmt;

/// How bad it is; the worst of all findings is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Good to know.
    Info,
    /// It works, but not as it should, or not for long.
    Warn,
    /// It does not work.
    Error,
}

impl Severity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Of a verdict.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Info => 0,
            Self::Warn => 1,
            Self::Error => 2,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which check, such as `D-14`.
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    /// What it is about: a host, a port, an option; may be empty.
    pub(crate) subject: String,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it; empty where there is nothing to do.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn new(
        code: &'static str,
        severity: Severity,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { code, severity, subject: subject.into(), text: text.into(), advice: String::new() }
    }

    pub(crate) fn info(code: &'static str, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(code, Severity::Info, subject, text)
    }

    pub(crate) fn warn(code: &'static str, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(code, Severity::Warn, subject, text)
    }

    pub(crate) fn error(code: &'static str, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, subject, text)
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

/// The worst of them; `info` if there are none.
pub(crate) fn verdict(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Info)
}
