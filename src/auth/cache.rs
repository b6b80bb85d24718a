//! Salted passwords kept for the next connection: a reconnect storm computes PBKDF2 once (`SA-10`, `AUTH-4`).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Weak;

use super::authenticator::Login;
use super::{PasswordAuthenticator, SaltRequest, SaltedPassword};

/// Entries kept. A cluster uses one salt for each user and mechanism; a peer that makes up salts pushes out the oldest.
const MAX_ENTRIES: usize = 16;

/// A bounded cache of [`SaltedPassword`]s, keyed by credentials, mechanism, salt and iterations.
///
/// Credentials are told apart by identity: equal ones from another [`PasswordAuthenticator::new`] are computed
/// again. So the cache keeps no password, and entries of credentials that nobody holds any more are dropped.
#[derive(Default)]
pub struct SaltCache {
    entries: VecDeque<Entry>,
}

struct Entry {
    owner: Weak<Login>,
    request: SaltRequest,
    salted: SaltedPassword,
}

impl SaltCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an earlier [`PasswordHasher`](super::PasswordHasher) found for the same credentials and request.
    pub fn get(&self, login: &PasswordAuthenticator, request: &SaltRequest) -> Option<&SaltedPassword> {
        let owner = login.identity();
        self.entries
            .iter()
            .find(|entry| entry.owner.ptr_eq(&owner) && entry.request == *request)
            .map(|entry| &entry.salted)
    }

    /// Keeps a result. Best called once the server has accepted it.
    pub fn insert(&mut self, login: &PasswordAuthenticator, request: SaltRequest, salted: SaltedPassword) {
        let owner = login.identity();
        self.entries.retain(|entry| {
            entry.owner.strong_count() > 0 && !(entry.owner.ptr_eq(&owner) && entry.request == request)
        });
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { owner, request, salted });
    }

    /// Number of entries, at most 16.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for SaltCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{PasswordHasher, ScramHash};

    fn login() -> PasswordAuthenticator {
        PasswordAuthenticator::new("user", "s3cret").unwrap()
    }

    fn request(salt: u8) -> SaltRequest {
        SaltRequest { hash: ScramHash::Sha1, salt: vec![salt], iterations: 1 }
    }

    fn salted(login: &PasswordAuthenticator, request: &SaltRequest) -> SaltedPassword {
        PasswordHasher::new(login, request).finish().unwrap()
    }

    fn keep(cache: &mut SaltCache, login: &PasswordAuthenticator, salt: u8) {
        let request = request(salt);
        let result = salted(login, &request);
        cache.insert(login, request, result);
    }

    #[test]
    fn sa_10_results_are_found_again_under_the_whole_key() {
        let mut cache = SaltCache::new();
        let (ours, other) = (login(), login());
        keep(&mut cache, &ours, 1);
        assert_eq!(cache.get(&ours.clone(), &request(1)), Some(&salted(&ours, &request(1))));
        assert_eq!(cache.get(&ours, &request(2)), None);
        assert_eq!(cache.get(&ours, &SaltRequest { hash: ScramHash::Sha256, ..request(1) }), None);
        assert_eq!(cache.get(&ours, &SaltRequest { iterations: 2, ..request(1) }), None);
        assert_eq!(cache.get(&other, &request(1)), None);
    }

    #[test]
    fn the_cache_is_bounded_and_drops_the_oldest() {
        let mut cache = SaltCache::new();
        let login = login();
        for salt in 0..40 {
            keep(&mut cache, &login, salt);
            keep(&mut cache, &login, salt);
        }
        assert_eq!(cache.len(), MAX_ENTRIES);
        assert!(cache.get(&login, &request(23)).is_none());
        assert!((24..40).all(|salt| cache.get(&login, &request(salt)).is_some()));
    }

    #[test]
    fn results_of_dropped_credentials_go_away() {
        let mut cache = SaltCache::new();
        let (old, new) = (login(), login());
        keep(&mut cache, &old, 1);
        drop(old);
        keep(&mut cache, &new, 1);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn auth_9_debug_shows_only_the_size() {
        let mut cache = SaltCache::new();
        keep(&mut cache, &login(), 1);
        assert_eq!(format!("{cache:?}"), "SaltCache { len: 1, .. }");
        assert!(!cache.is_empty());
    }
}
