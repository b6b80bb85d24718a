//! What users may do who may not do everything.

use crate::cluster::State;
use std::collections::BTreeSet;

/// What a user may use; one without an entry may use everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The buckets that may be selected and whose maps may be read.
    pub(crate) buckets: BTreeSet<String>,
    /// Whether the cluster's own map and documents may be read.
    pub(crate) cluster: bool,
}

impl State {
    /// Whether a user may use a bucket.
    pub(crate) fn may_use(&self, user: &str, bucket: &str) -> bool {
        self.access.get(user).is_none_or(|access| access.buckets.contains(bucket))
    }

    /// Whether a user may read what belongs to the whole cluster.
    pub(crate) fn may_read_cluster(&self, user: &str) -> bool {
        self.access.get(user).is_none_or(|access| access.cluster)
    }
}
