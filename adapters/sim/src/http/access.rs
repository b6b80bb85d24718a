//! Who asks, and what they may see.

use super::{Answer, HttpSession, Request};
use crate::cluster::State;
use base64ct::{Base64, Encoding as _};
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

impl HttpSession {
    /// The user who asks; `Ok(None)` without credentials.
    pub(super) fn user(&self, state: &State, request: &Request) -> Result<Option<String>, Answer> {
        let Some((scheme, credentials)) = &request.authorization else {
            return Ok(self.certificate_user.clone());
        };
        let user = match scheme.as_str() {
            "basic" => basic(state, credentials),
            "bearer" if self.tls => bearer(state, credentials),
            _ => None,
        };
        user.map(Some).ok_or_else(Answer::unauthorized)
    }
}

fn basic(state: &State, credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(Base64::decode_vec(credentials).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    state.users.has_password(name, password).then(|| name.to_owned())
}

/// The user of a token. No cluster has users with tokens, so that none is right.
const fn bearer(_state: &State, _token: &str) -> Option<String> {
    None
}
