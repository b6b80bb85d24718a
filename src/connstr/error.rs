//! What can be wrong, or merely odd, in a connection string or in a setting (spec 1.7).

use std::fmt;

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $kind:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $kind,)+ }

        impl $name {
            /// Every kind, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The identifier of the specification, letter for letter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

kinds! {
    /// Why a connection string or a setting was refused (spec 1.7).
    ErrorKind {
        /// The host list is empty or has only empty pieces (CS-10).
        NoHosts,
        /// The scheme is no scheme of any Couchbase client, or is empty (CS-2).
        UnknownScheme,
        /// The scheme belongs to another protocol or client (spec 1.2).
        UnsupportedScheme,
        /// The host is neither an address nor a DNS name (CS-7, CS-9).
        InvalidHost,
        /// The text in brackets is not an IPv6 address (CS-6).
        InvalidIpv6,
        /// An IPv6 address without brackets (CS-5).
        UnbracketedIpv6,
        /// The port is empty, not a number, 0 or above 65535 (CS-3).
        InvalidPort,
        /// 8091 or 18091 without a type, where a KV port is expected (CS-4).
        ManagerPortAsKv,
        /// The text after `=` of a node is no port type.
        UnknownPortType,
        /// `mcds` or `https` while TLS is off.
        PortTypeNeedsTls,
        /// Credentials stand in the string (CS-13, OPT-7).
        CredentialsInString,
        /// The bucket segment is not a bucket name (CS-16, CS-17).
        InvalidBucket,
        /// A `%` without two hexadecimal digits, or decoded text that is not UTF-8 (CS-21).
        InvalidEscape,
        /// A literal `#`.
        FragmentNotAllowed,
        /// A parameter without a name, or a value that its option cannot take (CS-20, OPT-4).
        InvalidOption,
        /// Two settings contradict each other or the scheme (CS-1, CS-23, OPT-12).
        ConflictingOption,
        /// An unknown option in strict mode (OPT-3).
        UnknownOption,
    }
}

kinds! {
    /// What is accepted but worth a line in the log (spec 1.7).
    WarningKind {
        /// The scheme `http`.
        DeprecatedScheme,
        /// `;` between hosts (CS-12).
        DeprecatedSeparator,
        /// Port 8091 without scheme and type.
        DeprecatedManagerPort,
        /// A deprecated name of an option.
        DeprecatedOption,
        /// A port without scheme and type.
        AmbiguousPort,
        /// The default KV port of the other security mode.
        PortSecurityMismatch,
        /// An option given more than once (CS-22, CS-23).
        RepeatedOption,
        /// A host listed twice (CS-11).
        DuplicateHost,
        /// A parameter that no option is called by (OPT-3).
        UnknownOption,
        /// A recognised option without effect here (OPT-5, OPT-13).
        IgnoredOption,
        /// `_couchbase._tcp.` in front of a host name was removed (spec 1.6).
        SrvPrefixStripped,
        /// `enable_dns_srv=true` on a string that SRV does not apply to (spec 1.6).
        SrvForcedButIneligible,
        /// A setting that lowers security.
        InsecureSetting,
        /// A value that looks like a mistake of the unit (OPT-9).
        SuspiciousValue,
    }
}

/// A refused connection string (spec 1.7).
///
/// No text that stood before an `@` of the input is in it, nor in its `Display` and `Debug` forms (CS-13).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} of the connection string{}: {hint}", Quoted(.fragment))]
#[non_exhaustive]
pub struct ParseError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where in the input, in bytes; at most its length.
    pub offset: usize,
    /// The offending text; empty where there is none or where it may hold credentials.
    pub fragment: String,
    /// What to do about it.
    pub hint: String,
}

impl ParseError {
    pub(crate) fn new(kind: ErrorKind, offset: usize, fragment: &str, hint: impl Into<String>) -> Self {
        Self { kind, offset, fragment: clip(fragment), hint: hint.into() }
    }
}

/// Something odd that did not stop the string from being used (spec 1.7).
///
/// Warnings are data; who connects logs each of them once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What is odd.
    pub kind: WarningKind,
    /// The host or the option that it is about; empty where it is about the whole string.
    pub subject: String,
    /// The message, with the advice.
    pub text: String,
}

impl Warning {
    pub(crate) fn new(kind: WarningKind, subject: impl AsRef<str>, text: impl Into<String>) -> Self {
        Self { kind, subject: clip(subject.as_ref()), text: text.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", self.kind, Quoted(&self.subject), self.text)
    }
}

/// ` ("text")`, or nothing for no text.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({:?})", self.0) }
    }
}

/// Echoed text is cut here, so that a message stays readable whatever the input's length.
const LONGEST_ECHO: usize = 120;

pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(LONGEST_ECHO) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
