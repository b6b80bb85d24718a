//! The engine: bytes and clock readings in, bytes, dials and results out.

mod io;
mod op;
mod report;

pub use io::{ConnId, Dial, Event, Input, LinkError, Lookup, LookupError, LookupId, Orphan, Output};
pub use op::{
    BucketRef, CollectionRef, Concat, Count, DesiredState, Durability, OpId, OpKind, Operation, RejectReason,
    Rejected, Response, RetryReason, RetryStrategy, Store, StoreMode,
};
pub use report::{AttemptReport, BootstrapReport, Stage};

/// The methods of `Engine`, for those who build on its surface while it grows.
///
/// ```text
/// impl Engine {
///     fn new(config: EngineConfig, seed: [u8; 32], now: Instant) -> Self;          // begins to connect at once
///     fn open_bucket(&mut self, name: &str, now: Instant) -> BucketRef;             // idempotent, no failure
///     fn collection(&mut self, bucket: BucketRef, scope: &str, name: &str) -> CollectionRef;   // idempotent
///     fn submit(&mut self, op: Operation, now: Instant) -> Result<OpId, Rejected>;
///     fn bootstrap(&mut self, now: Instant) -> OpId;       // completes with Response::Ready at the first map, or a definite error
///     fn wait_until_ready(&mut self, bucket: Option<BucketRef>, desired: DesiredState, timeout: Duration, now: Instant) -> OpId;
///     fn cancel(&mut self, op: OpId, now: Instant);        // no Completed event comes for it any more
///     fn shut_down(&mut self, drain: Duration, now: Instant);
///     fn handle_input(&mut self, input: Input<'_>, now: Instant);
///     fn handle_timeout(&mut self, now: Instant);
///     fn poll_output(&mut self) -> Output;
///     fn transmit(&self, conn: ConnId) -> impl Iterator<Item = &[u8]>;
///     fn is_closed(&self) -> bool;
///     fn cluster_map(&self) -> Option<&Arc<ClusterMap>>;
///     fn bucket_map(&self, bucket: BucketRef) -> Option<&Arc<ClusterMap>>;
/// }
/// impl EngineConfig { fn new(connstr: &ConnectionString, options: Options, authenticator: Authenticator) -> Result<Self, ConfigError>; }
/// ```
pub struct Engine {
    _private: (),
}
