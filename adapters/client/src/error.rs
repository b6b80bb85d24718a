//! The client's one error type.

use settee::auth::AuthError;
use settee::connstr::ParseError;
use settee::engine::{BootstrapReport, ConfigError};
use settee::error::{ErrorKind, OpContext, OpError};
use settee::options::OptionError;
use settee::tls::TlsError;

/// What a call can fail with.
///
/// One line by `Display` says all of it: kind, place, and what to do. Of a failed connect that is every seed with the stage
/// it failed in, and the hints; [`bootstrap`](Self::bootstrap) has the same for programs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation, or connecting, ended without success: by the server's word, by a deadline, by the network.
    #[error(transparent)]
    Operation(#[from] OpError),
    /// The connection string cannot be read; says where, and what to do.
    #[error(transparent)]
    ConnectionString(Box<ParseError>),
    /// An option, of the connection string or a typed one, is refused.
    #[error(transparent)]
    Option(Box<OptionError>),
    /// The credentials cannot be right.
    #[error(transparent)]
    Credentials(Box<AuthError>),
    /// The settings contradict each other, or ask for what this build cannot do.
    #[error(transparent)]
    Configuration(Box<ConfigError>),
    /// The operating system gave no random bytes for the authentication.
    #[error("the operating system gives no random bytes")]
    NoEntropy,
    /// A call that starts a cluster was made outside of the runtime.
    #[error("no {0} runtime is running here: call this from within one")]
    NoRuntime(&'static str),
}

impl Error {
    /// What went wrong. Configuration that cannot work is `InvalidArgument`, or `FeatureNotAvailable` where another
    /// build could do it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Operation(error) => error.kind(),
            Self::Configuration(error)
                if matches!(
                    **error,
                    ConfigError::FeatureNotAvailable { .. }
                        | ConfigError::Tls(TlsError::FeatureNotAvailable(_))
                ) =>
            {
                ErrorKind::FeatureNotAvailable
            }
            Self::ConnectionString(_) | Self::Option(_) | Self::Credentials(_) | Self::Configuration(_) => {
                ErrorKind::InvalidArgument
            }
            Self::NoEntropy | Self::NoRuntime(_) => ErrorKind::FeatureNotAvailable,
        }
    }

    /// The circumstances of a failed operation; `None` for configuration errors.
    pub const fn context(&self) -> Option<&OpContext> {
        match self {
            Self::Operation(error) => Some(error.context()),
            _ => None,
        }
    }

    /// How connecting went, if the call waited for a connection: each seed with its stage and error, and hints (BOOT-16).
    pub fn bootstrap(&self) -> Option<&BootstrapReport> {
        self.context()?.bootstrap.as_deref()
    }

    /// Whether a write may have happened although the operation failed.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Operation(error) => error.may_have_happened(),
            _ => false,
        }
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::ConnectionString(Box::new(error))
    }
}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        Self::Option(Box::new(error))
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        Self::Credentials(Box::new(error))
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::ConnectionString(error) => error.into(),
            ConfigError::Option(error) => error.into(),
            other => Self::Configuration(Box::new(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use settee::connstr;

    use super::*;

    #[test]
    fn results_stay_small() {
        assert!(size_of::<Error>() <= 24, "{}", size_of::<Error>());
    }

    #[test]
    fn each_error_says_what_its_source_says_and_passes_the_chain_on() {
        let parse = connstr::parse("couchbase://h:notaport").unwrap_err();
        let config = ConfigError::InvalidArgument("a token is sent over TLS only".into());
        let missing = ConfigError::FeatureNotAvailable { feature: "tls", hint: "use a build with TLS" };
        let login = AuthError::InvalidArgument("the user name is empty");
        let cases: [(Error, &dyn std::error::Error, ErrorKind); 4] = [
            (parse.clone().into(), &parse, ErrorKind::InvalidArgument),
            (config.clone().into(), &config, ErrorKind::InvalidArgument),
            (missing.clone().into(), &missing, ErrorKind::FeatureNotAvailable),
            (login.clone().into(), &login, ErrorKind::InvalidArgument),
        ];
        for (error, inner, kind) in cases {
            assert_eq!(error.to_string(), inner.to_string());
            assert_eq!(error.source().map(ToString::to_string), inner.source().map(ToString::to_string));
            assert_eq!(error.kind(), kind);
            assert!(error.context().is_none() && error.bootstrap().is_none());
        }
    }

    #[test]
    fn what_an_engine_refuses_is_told_apart() {
        let parse = connstr::parse("couchbase://h:notaport").unwrap_err();
        let error = Error::from(ConfigError::ConnectionString(parse.clone()));
        assert_eq!(error, Error::ConnectionString(Box::new(parse)));
    }
}
