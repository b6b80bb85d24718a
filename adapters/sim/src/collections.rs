//! Scopes and collections of a bucket (`kv-protocol.md` 7).

use serde_json::{Value, json};
use settee::wire::Status;
use std::collections::{BTreeMap, BTreeSet};

struct Scope {
    id: u32,
    collections: BTreeMap<String, u32>,
}

/// The manifest of a bucket.
pub(crate) struct Collections {
    uid: u64,
    next_id: u32,
    scopes: BTreeMap<String, Scope>,
    ids: BTreeSet<u32>,
}

impl Default for Collections {
    fn default() -> Self {
        let default = Scope { id: 0, collections: BTreeMap::from([("_default".to_owned(), 0)]) };
        Self {
            uid: 0,
            // 1 to 7 are reserved.
            next_id: 8,
            scopes: BTreeMap::from([("_default".to_owned(), default)]),
            ids: BTreeSet::from([0]),
        }
    }
}

impl Collections {
    /// The version of the manifest.
    pub(crate) const fn uid(&self) -> u64 {
        self.uid
    }

    /// Whether a collection id exists.
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }

    /// Adds a collection, and its scope if that is missing; the id. An existing one keeps its id.
    pub(crate) fn add(&mut self, scope: &str, collection: &str) -> u32 {
        if let Some(id) = self.scopes.get(scope).and_then(|scope| scope.collections.get(collection)) {
            return *id;
        }
        self.uid += 1;
        let mut fresh = || {
            self.next_id += 1;
            self.next_id - 1
        };
        let scope = self
            .scopes
            .entry(scope.to_owned())
            .or_insert_with(|| Scope { id: fresh(), collections: BTreeMap::new() });
        let id = fresh();
        scope.collections.insert(collection.to_owned(), id);
        self.ids.insert(id);
        id
    }

    /// Drops a collection; its former id.
    pub(crate) fn drop_collection(&mut self, scope: &str, collection: &str) -> Option<u32> {
        let id = self.scopes.get_mut(scope)?.collections.remove(collection)?;
        self.ids.remove(&id);
        self.uid += 1;
        Some(id)
    }

    /// Drops a scope with its collections; their former ids. The default scope stays.
    pub(crate) fn drop_scope(&mut self, scope: &str) -> Vec<u32> {
        if scope == "_default" {
            return Vec::new();
        }
        let Some(dropped) = self.scopes.remove(scope) else { return Vec::new() };
        self.uid += 1;
        let ids: Vec<u32> = dropped.collections.into_values().collect();
        for id in &ids {
            self.ids.remove(id);
        }
        ids
    }

    /// The id of `scope.collection`.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<u32, Status> {
        let (scope, collection) =
            std::str::from_utf8(path).ok().and_then(|path| path.split_once('.')).ok_or(Status::EINVAL)?;
        let (scope, collection) = (valid(scope)?, valid(collection)?);
        let scope = self.scopes.get(scope).ok_or(Status::UNKNOWN_SCOPE)?;
        scope.collections.get(collection).copied().ok_or(Status::UNKNOWN_COLLECTION)
    }

    /// The id of a scope. A path with a collection behind a dot is accepted too, as servers do.
    pub(crate) fn resolve_scope(&self, path: &[u8]) -> Result<u32, Status> {
        let path = std::str::from_utf8(path).map_err(|_| Status::EINVAL)?;
        let scope = path.split_once('.').map_or(path, |(scope, _)| scope);
        self.scopes.get(valid(scope)?).map(|scope| scope.id).ok_or(Status::UNKNOWN_SCOPE)
    }

    /// The manifest as JSON.
    pub(crate) fn manifest(&self) -> Value {
        let scopes: Vec<Value> = self
            .scopes
            .iter()
            .map(|(name, scope)| {
                let collections: Vec<Value> = scope
                    .collections
                    .iter()
                    .map(|(name, id)| json!({"name": name, "uid": format!("{id:x}")}))
                    .collect();
                json!({"name": name, "uid": format!("{:x}", scope.id), "collections": collections})
            })
            .collect();
        json!({"uid": format!("{:x}", self.uid), "scopes": scopes})
    }
}

/// A name that may be asked for; an empty one means the default.
fn valid(name: &str) -> Result<&str, Status> {
    let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%');
    match name {
        "" => Ok("_default"),
        name if name.len() <= 251 && name.chars().all(character) => Ok(name),
        _ => Err(Status::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_at_8_and_are_not_used_twice() {
        let mut collections = Collections::default();
        assert_eq!(collections.resolve(b"_default._default"), Ok(0));
        assert_eq!(collections.resolve(b"."), Ok(0));
        let id = collections.add("_default", "users");
        assert_eq!((id, collections.uid()), (8, 1));
        assert_eq!(collections.add("_default", "users"), 8);
        assert_eq!(collections.drop_collection("_default", "users"), Some(8));
        assert!(!collections.contains(8));
        assert_eq!(collections.resolve(b"_default.users"), Err(Status::UNKNOWN_COLLECTION));
        assert_eq!(collections.add("_default", "users"), 9, "drop and recreate changes the id");
        assert_eq!(collections.uid(), 3);
    }

    #[test]
    fn co_8_scope_and_collection_are_missed_apart() {
        let mut collections = Collections::default();
        collections.add("inventory", "hotel");
        assert_eq!(collections.resolve(b"nowhere.hotel"), Err(Status::UNKNOWN_SCOPE));
        assert_eq!(collections.resolve(b"inventory.nothing"), Err(Status::UNKNOWN_COLLECTION));
        assert_eq!(collections.resolve(b"inventory"), Err(Status::EINVAL));
        assert_eq!(collections.resolve(b"inv entory.hotel"), Err(Status::EINVAL));
        assert_eq!(collections.resolve_scope(b"inventory"), Ok(8));
        assert_eq!(collections.resolve_scope(b"nowhere"), Err(Status::UNKNOWN_SCOPE));
        assert_eq!(collections.drop_scope("inventory"), [9]);
        assert_eq!(collections.resolve_scope(b"inventory"), Err(Status::UNKNOWN_SCOPE));
    }

    #[test]
    fn manifest_uids_are_hexadecimal_strings() {
        let mut collections = Collections::default();
        for i in 0..17 {
            collections.add("s", &format!("c{i}"));
        }
        let manifest = collections.manifest();
        assert_eq!(manifest["uid"], "11");
        assert_eq!(manifest["scopes"][0]["name"], "_default");
        let collections = manifest["scopes"][1]["collections"].as_array().unwrap();
        let found = collections.iter().find(|collection| collection["name"] == "c15").unwrap();
        assert_eq!(found["uid"], "18");
    }
}
