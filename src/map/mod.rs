//! (being written)

/// A cluster map.
#[derive(Debug)]
pub struct ClusterMap {}
