//! The steps from a host name to a connection that serves.

use std::fmt;

use serde::Serialize;

/// How far a connection got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the host name.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Negotiating features.
    Hello,
    /// Presenting credentials.
    Auth,
    /// Selecting the bucket.
    Bucket,
    /// Fetching the cluster map.
    Map,
}

impl Stage {
    /// The stage in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Hello => "HELLO",
            Self::Auth => "authentication",
            Self::Bucket => "bucket",
            Self::Map => "map",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
