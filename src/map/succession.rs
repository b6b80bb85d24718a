//! Whether one config may replace another (section 5 of the cluster-map rules).

use super::error::{MapError, RejectReason};
use super::{ClusterMap, MapKind};

/// What a config is to the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Succession {
    /// The scope has none yet: accept (R-VER-3).
    First,
    /// The same version: drop without a word (R-VER-2), whatever the text.
    Same,
    /// Strictly newer: accept.
    Newer {
        /// The bucket was deleted and created again: forget collections, tokens and state per vbucket (R-VER-7).
        new_incarnation: bool,
        /// Another number of vbuckets: compute those of queued operations again (R-VER-8).
        vbuckets_changed: bool,
    },
}

impl ClusterMap {
    /// Whether `proposed` may replace this map in its scope (R-VER-2 to R-VER-8).
    ///
    /// The scope of a bucket takes that bucket's configs only; the cluster scope takes the node list of any config, see
    /// [`ClusterMap::cluster_part`] (R-VER-4).
    ///
    /// # Errors
    /// [`RejectReason::WrongCluster`], [`RejectReason::WrongBucket`] or [`RejectReason::Stale`].
    pub fn succession(&self, proposed: &Self) -> Result<Succession, MapError> {
        if let (Some(ours), Some(theirs)) = (&self.cluster_uuid, &proposed.cluster_uuid)
            && ours != theirs
        {
            let detail = format!("cluster {theirs}, expected {ours}");
            return Err(MapError::new(RejectReason::WrongCluster, detail));
        }
        let in_bucket = self.kind != MapKind::Global;
        if in_bucket && self.bucket_name != proposed.bucket_name {
            let name = |map: &Self| map.bucket_name.clone().unwrap_or_else(|| "none".to_owned());
            let detail = format!("config of bucket {}, expected {}", name(proposed), name(self));
            return Err(MapError::new(RejectReason::WrongBucket, detail));
        }
        if proposed.rev == self.rev {
            return Ok(Succession::Same);
        }
        if proposed.rev < self.rev {
            let detail = format!("version {} is older than {}", proposed.rev, self.rev);
            return Err(MapError::new(RejectReason::Stale, detail));
        }
        let count = |map: &Self| map.vbuckets.as_ref().map(super::VbucketMap::count);
        Ok(Succession::Newer {
            new_incarnation: in_bucket
                && matches!((&self.bucket_uuid, &proposed.bucket_uuid), (Some(a), Some(b)) if a != b),
            vbuckets_changed: in_bucket && count(self) != count(proposed),
        })
    }
}

/// [`ClusterMap::succession`] for a scope that may have no map yet (R-VER-3).
///
/// # Errors
/// As [`ClusterMap::succession`].
pub fn succession(current: Option<&ClusterMap>, proposed: &ClusterMap) -> Result<Succession, MapError> {
    current.map_or(Ok(Succession::First), |current| current.succession(proposed))
}
