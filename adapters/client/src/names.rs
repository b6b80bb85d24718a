//! Names of buckets, scopes and collections, shared by the handles that carry them.

use std::sync::{Arc, OnceLock};

use settee::engine::CollectionRef;
use settee::error::{ErrorKind, OpError};

/// The scope and the collection that every bucket has.
pub(crate) const DEFAULT: &str = "_default";

/// Where a collection is, and what the engine calls it once it has been used.
#[derive(Debug)]
pub(crate) struct CollectionName {
    pub(crate) bucket: Arc<str>,
    pub(crate) scope: Arc<str>,
    pub(crate) collection: Arc<str>,
    /// Set by the driver, at the first use.
    pub(crate) known: OnceLock<CollectionRef>,
}

impl CollectionName {
    /// An error of an operation that never reached the engine.
    pub(crate) fn error(
        &self,
        operation: &'static str,
        kind: ErrorKind,
        detail: impl Into<String>,
    ) -> OpError {
        let mut error = OpError::with_detail(kind, detail);
        let context = error.context_mut();
        context.operation = operation;
        context.bucket = self.bucket.to_string();
        context.scope = self.scope.to_string();
        context.collection = self.collection.to_string();
        error
    }
}
