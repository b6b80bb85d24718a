//! What the driver answers.

use settee::engine::{ConfigError, DiagnosticsReport, Health, PingReport, Response};

/// The answer to a command. All but the first are rare, and boxed.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// Of an operation, and of what only has to be done.
    Response(Response),
    Ping(Box<PingReport>),
    Diagnostics(Box<DiagnosticsReport>),
    Health(Box<Health>),
    /// A change that the engine took or refused.
    Changed(Result<(), Box<ConfigError>>),
}

/// How a reply becomes what the caller gets; `None` for one that does not belong to the command.
pub(crate) type Convert<T> = fn(Reply) -> Option<T>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_replies_make_the_common_one_no_larger() {
        assert_eq!(size_of::<Reply>(), size_of::<Response>());
    }
}
