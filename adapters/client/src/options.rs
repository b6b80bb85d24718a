//! What a cluster is opened with.

use std::net::SocketAddr;
use std::time::Duration;

use settee::auth::Authenticator;
use settee::dns::ResolverConfig;
use settee::options::{Options, Profile};

use crate::credentials::Credentials;
use crate::error::Error;
use crate::security::TrustSource;

/// Credentials and settings of a [`Cluster`](crate::Cluster).
///
/// ```
/// use std::time::Duration;
/// use settee_client::{ClusterOptions, PasswordAuthenticator};
///
/// let options = ClusterOptions::new(PasswordAuthenticator::new("app", "secret"))
///     .kv_timeout(Duration::from_secs(5))
///     .options(|o| o.user_agent_extra = Some("billing/2.1".into()));
/// ```
///
/// What the connection string says beats what is said here (OPT-2).
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub(crate) authenticator: Result<Authenticator, Error>,
    pub(crate) options: Options,
    /// All but PEM files, which are an option.
    pub(crate) trust: Vec<TrustSource>,
    /// What is wrong with the arguments, to be reported by connecting.
    pub(crate) refused: Option<Error>,
    /// In place of the system's.
    pub(crate) resolver: Option<ResolverConfig>,
    pub(crate) strict_flags: bool,
}

impl ClusterOptions {
    /// Begins with the credentials. Refused ones are reported by connecting, so that nothing has to be unwrapped here.
    pub fn new(credentials: impl Credentials) -> Self {
        Self {
            authenticator: credentials.into_authenticator(),
            options: Options::default(),
            trust: Vec::new(),
            refused: None,
            resolver: None,
            strict_flags: false,
        }
    }

    /// Changes any setting; see [`Options`] for all of them.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Takes the values of a profile, over what was set before (RFC 0074).
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.options = self.options.with_profile(profile);
        self
    }

    /// The time given to an operation on one document. Default 2.5 s.
    #[must_use]
    pub fn kv_timeout(self, timeout: Duration) -> Self {
        self.options(|options| options.kv_timeout = timeout)
    }

    /// The time given to a write with a durability level. Default 10 s; at least 1.5 s is given (MI-9).
    #[must_use]
    pub fn kv_durable_timeout(self, timeout: Duration) -> Self {
        self.options(|options| options.kv_durable_timeout = timeout)
    }

    /// The time given to the first connect. Default 10 s.
    #[must_use]
    pub fn bootstrap_timeout(self, timeout: Duration) -> Self {
        self.options(|options| options.bootstrap_timeout = timeout)
    }

    /// The time that operations in flight get to end in [`Cluster::close`](crate::Cluster::close). Default 10 s.
    #[must_use]
    pub fn disconnect_timeout(self, timeout: Duration) -> Self {
        self.options(|options| options.disconnect_timeout = timeout)
    }

    /// Text added to the client's identification, such as `billing/2.1`.
    #[must_use]
    pub fn user_agent_extra(self, text: impl Into<String>) -> Self {
        self.options(|options| options.user_agent_extra = Some(text.into()))
    }

    /// Asks these name servers for SRV records, in this order, in place of those that the system names; each with its
    /// port, usually 53. None at all: no SRV record is asked for. Host names are still for the system to resolve.
    #[must_use]
    pub fn name_servers(mut self, servers: Vec<SocketAddr>) -> Self {
        self.resolver = Some(ResolverConfig::new(servers));
        self
    }

    /// Whether reading a document checks that its common flags say the format it is read as (MI-1). Default: no; flags of
    /// 0 always pass (MI-3).
    #[must_use]
    pub const fn strict_flags(mut self, strict: bool) -> Self {
        self.strict_flags = strict;
        self
    }
}
