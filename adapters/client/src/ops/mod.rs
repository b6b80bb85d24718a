//! Operations: each method of [`Collection`] returns a builder with that operation's options, to be awaited.
//!
//! ```no_run
//! # async fn example(collection: settee_client::Collection) -> Result<(), settee_client::Error> {
//! use std::time::Duration;
//! use settee_client::Durability;
//!
//! collection.upsert("airline_10", &"Couch").expiry(Duration::from_secs(60)).durability(Durability::Majority).await?;
//! let name: String = collection.get("airline_10").await?.content_as()?;
//! # Ok(())
//! # }
//! ```
//!
//! A value is encoded, and the wall clock read for an expiry, when the builder is made. What is wrong with the arguments
//! is the operation's result, like any other error; nothing is sent then.

mod binary;
mod future;
mod read;
mod write;

pub use binary::{Append, BinaryCollection, Decrement, Increment, Prepend};
pub use future::OpFuture;
pub use read::{Exists, Get, GetAndLock, GetAndTouch, Touch, Unlock};
pub use write::{Insert, Remove, Replace, Upsert};

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use settee::engine::{OpKind, Response, RetryStrategy};
use settee::error::{ErrorKind, OpError};
use settee::expiry::{Expiry, ExpiryError};
use settee::key::Key;

use crate::cluster::{Collection, Shared};
use crate::mailbox::{Command, Request, Target};

/// What all builders have in common; `K` is what the operation does.
#[derive(Clone, Debug)]
struct Draft<K> {
    collection: Collection,
    key: Key,
    kind: K,
    timeout: Option<Duration>,
    retry: RetryStrategy,
    /// The first thing wrong with the arguments.
    wrong: Option<(ErrorKind, String)>,
}

impl<K> Draft<K> {
    fn new(collection: &Collection, id: impl AsRef<[u8]>, kind: K) -> Self {
        Self {
            collection: collection.clone(),
            key: Key::copy_from_slice(id.as_ref()),
            kind,
            timeout: None,
            retry: RetryStrategy::BestEffort,
            wrong: None,
        }
    }

    fn refuse(&mut self, kind: ErrorKind, detail: impl Into<String>) {
        if self.wrong.is_none() {
            self.wrong = Some((kind, detail.into()));
        }
    }

    /// The expiry, or 0 with a note of what is wrong with it.
    fn take_expiry(&mut self, expiry: Result<Expiry, ExpiryError>) -> Expiry {
        expiry.unwrap_or_else(|error| {
            self.refuse(ErrorKind::InvalidArgument, error.to_string());
            Expiry::NONE
        })
    }

    fn send<T>(
        self,
        kind: impl FnOnce(K) -> OpKind,
        convert: fn(Response, &Shared) -> Option<T>,
    ) -> OpFuture<T> {
        let kind = kind(self.kind);
        let shared = Arc::clone(&self.collection.shared);
        if let Some((wrong, detail)) = self.wrong {
            let error: OpError = self.collection.name.error(kind.name(), wrong, detail);
            return OpFuture::refused(shared, error, convert);
        }
        let target = match self.collection.name.known.get() {
            Some(known) => Target::Known(*known),
            None => Target::Named(self.collection.name),
        };
        let request = Request { target, key: self.key, kind, timeout: self.timeout, retry: self.retry };
        OpFuture::command(shared, Command::Operate(request), convert)
    }
}

/// MI-4: a long duration becomes absolute once, when the operation is made.
fn expiry_after(duration: Duration) -> Result<Expiry, ExpiryError> {
    Expiry::after(duration, unix_seconds(SystemTime::now()))
}

fn expiry_at(instant: SystemTime) -> Result<Expiry, ExpiryError> {
    Expiry::at(unix_seconds(instant))
}

/// Times before 1970 count as 1970, which is too early for an expiry anyway.
fn unix_seconds(instant: SystemTime) -> u64 {
    instant.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Declares a builder: its type, the options that every operation has, and how it becomes a future.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident($kind:ty) -> $output:ty, $into:expr, $convert:expr) => {
        $(#[$doc])*
        #[must_use = "an operation does nothing until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name {
            draft: Draft<$kind>,
        }

        impl $name {
            /// The time after which it is given up. Default: the cluster's `kv_timeout`, with a durability level
            /// `kv_durable_timeout`.
            pub const fn timeout(mut self, timeout: Duration) -> Self {
                self.draft.timeout = Some(timeout);
                self
            }

            /// What to do about failures that may pass. Default: best effort, until the timeout.
            pub const fn retry_strategy(mut self, strategy: RetryStrategy) -> Self {
                self.draft.retry = strategy;
                self
            }
        }

        impl IntoFuture for $name {
            type Output = Result<$output, Error>;
            type IntoFuture = OpFuture<$output>;

            fn into_future(self) -> OpFuture<$output> {
                self.draft.send($into, $convert)
            }
        }
    };
}
use operation;

/// Adds `durability` to a builder whose kind has that field.
macro_rules! durable {
    ($($name:ident)+) => {$(
        impl $name {
            /// How safe the write must be before it counts. Default: in memory of the active node.
            pub const fn durability(mut self, level: Durability) -> Self {
                self.draft.kind.durability = level;
                self
            }
        }
    )+};
}
use durable;

/// Adds `expiry` and `expiry_at` to a builder whose kind has that field.
macro_rules! expiring {
    ($($name:ident)+) => {$(
        impl $name {
            /// The document goes by itself after this time; its fraction of a second is dropped. Zero: never, which is the
            /// default. Less than a second is `InvalidArgument`.
            pub fn expiry(mut self, after: Duration) -> Self {
                self.draft.kind.expiry = self.draft.take_expiry(expiry_after(after));
                self
            }

            /// The document goes by itself at this time. Up to 31 January 1970 is `InvalidArgument` (MI-7).
            pub fn expiry_at(mut self, instant: SystemTime) -> Self {
                self.draft.kind.expiry = self.draft.take_expiry(expiry_at(instant));
                self
            }
        }
    )+};
}
use expiring;

/// Adds `cas` to a builder whose kind has that field.
macro_rules! optimistic {
    ($($name:ident)+) => {$(
        impl $name {
            /// Only if the document still has this CAS; otherwise `CasMismatch`.
            pub const fn cas(mut self, cas: Cas) -> Self {
                self.draft.kind.cas = cas;
                self
            }
        }
    )+};
}
use optimistic;
