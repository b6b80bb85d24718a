//! The Couchbase client of settee, free of any runtime.
//!
//! [`Cluster`], [`Bucket`], [`Scope`] and [`Collection`] are handles; the operations are methods of [`Collection`].
//! Each returns a builder with that operation's options, to be awaited in any task of any runtime:
//!
//! ```no_run
//! # use settee_client::{Cluster, Error};
//! # async fn example(cluster: Cluster) -> Result<(), Error> {
//! let collection = cluster.bucket("travel").scope("inventory").collection("airline");
//! collection.upsert("airline_10", &serde_json::json!({ "name": "Couch" })).await?;
//! let airline: serde_json::Value = collection.get("airline_10").await?.content_as()?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Cluster`] is made by an adapter (`settee-tokio` and its siblings), or on any other runtime by implementing
//! [`Runtime`] and calling [`Cluster::connect_on`]. One task of that runtime owns the engine, its sockets and its timer;
//! the handles talk to it through a queue.

#![forbid(unsafe_code)]

mod cluster;
mod credentials;
mod driver;
mod error;
mod health;
mod mailbox;
pub mod metadata;
mod names;
pub mod ops;
mod options;
mod ready;
mod reply;
mod resolver;
mod results;
mod rotation;
pub mod runtime;
mod security;
mod slot;
mod trace;
pub mod trust;
pub mod value;

pub use cluster::{Bucket, Cluster, Collection, Scope};
pub use credentials::{CertificateAuthenticator, Credentials};
pub use driver::LoopCounters;
pub use error::Error;
pub use health::Ping;
pub use metadata::metadata;
pub use ops::{BinaryCollection, OpFuture};
pub use options::ClusterOptions;
pub use ready::{WaitUntilReady, WaitUntilReadyOptions};
pub use resolver::system_resolver;
pub use results::{CounterResult, ExistsResult, GetResult, MutationResult};
pub use runtime::Runtime;
pub use security::TrustSource;
pub use settee::auth::{AuthError, Authenticator, BearerAuthenticator, PasswordAuthenticator};
pub use settee::connstr::Warning;
pub use settee::engine::{
    BootstrapReport, ClusterState, DesiredState, DiagnosticsReport, Durability, EndpointDiagnostics,
    EndpointPing, Health, PingReport, PingState, Replace, RetryReason, RetryStrategy,
};
pub use settee::error::{ErrorKind, OpContext, OpError};
pub use settee::ids::{Cas, MutationToken};
pub use settee::map::Service;
pub use settee::options::{CompressionMode, IpProtocol, Network, Options, Profile, TlsVerify};
pub use value::{Decode, Encode, Flags, Json, Legacy, RawBinary, RawJson, RawString};

#[cfg(test)]
mod tests {
    use super::*;

    fn is_handle<T: Clone + Send + Sync + 'static>() {}
    fn is_send<T: Send + Unpin + 'static>() {}

    #[test]
    fn life_1_handles_are_cheap_clones_for_any_thread() {
        is_handle::<Cluster>();
        is_handle::<Bucket>();
        is_handle::<Scope>();
        is_handle::<Collection>();
        is_handle::<BinaryCollection>();
        assert!(size_of::<Collection>() <= 16);
    }

    #[test]
    fn futures_may_move_between_threads() {
        is_send::<OpFuture<GetResult>>();
        is_send::<OpFuture<MutationResult>>();
        is_send::<ops::Upsert>();
        is_send::<WaitUntilReady>();
    }
}
