//! Collection ids: resolved once per bucket, shared by all connections, looked up again when a node does not know one
//! (`kv-protocol.md` 7).

use super::link::Link;
use super::queue::OpQueue;
use super::table::{Place, Work};
use super::{Engine, OpId, RetryReason, Tag};
use crate::conn::Answer;
use crate::error::ErrorKind;
use crate::ids::Opaque;
use crate::trace::debug;
use crate::wire::{Encode, Feature, Opcode, Status};

const DEFAULT: &str = "_default";

#[derive(Debug)]
pub(super) struct Collection {
    pub(super) bucket: u32,
    pub(super) scope: String,
    pub(super) name: String,
    state: State,
    /// Operations that wait for the id.
    pub(super) waiting: OpQueue,
    /// What the last look-up said, if it said no.
    last_error: Option<ErrorKind>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Unknown,
    /// Asked on this link; everybody waits for the same answer (CO-1).
    Asked {
        link: u32,
    },
    Known {
        id: u32,
        manifest: u64,
    },
}

impl Collection {
    pub(super) fn new(bucket: u32, scope: &str, name: &str) -> Self {
        let default = scope == DEFAULT && name == DEFAULT;
        Self {
            bucket,
            scope: scope.to_owned(),
            name: name.to_owned(),
            state: if default { State::Known { id: 0, manifest: 0 } } else { State::Unknown },
            waiting: OpQueue::default(),
            last_error: None,
        }
    }

    pub(super) fn is_default(&self) -> bool {
        self.scope == DEFAULT && self.name == DEFAULT
    }

    pub(super) const fn id(&self) -> Option<u32> {
        match self.state {
            State::Known { id, .. } => Some(id),
            State::Unknown | State::Asked { .. } => None,
        }
    }

    pub(super) const fn last_error(&self) -> Option<ErrorKind> {
        self.last_error
    }

    /// The link that has been asked for the id and has not answered.
    pub(super) const fn asked(&self) -> Option<u32> {
        match self.state {
            State::Asked { link } => Some(link),
            State::Unknown | State::Known { .. } => None,
        }
    }
}

impl Engine {
    /// Lets an operation wait for its collection's id, and asks for it unless somebody has.
    pub(super) fn wait_for_collection(&mut self, id: OpId, collection: u32) {
        if let Some(op) = self.ops.get_mut(id) {
            op.place = Place::Collection;
            self.collections[collection as usize].waiting.push(id);
            self.resolve(collection);
        }
    }

    fn resolve(&mut self, collection: u32) {
        let entry = &self.collections[collection as usize];
        if !matches!(entry.state, State::Unknown) {
            return;
        }
        let bucket = entry.bucket as usize;
        let links: Vec<u32> = self.buckets[bucket].slots.iter().flatten().copied().collect();
        // One that may be dead is asked for a sign of life, and the next one for the id (LIFE-6).
        let ready = links.into_iter().find(|&index| {
            self.link(index).is_some_and(|link| {
                link.draining.is_none() && link.connection().is_some_and(crate::conn::Connection::can_send)
            }) && self.is_trusted(index)
        });
        // Without a node that is ready and has room, the first one that gets so is asked.
        let Some(index) = ready else {
            self.buckets[bucket].lookups_owed = true;
            return;
        };
        let entry = &self.collections[collection as usize];
        let path = bytes::Bytes::from(format!("{}.{}", entry.scope, entry.name));
        let Some(connection) = self.link_mut(index).and_then(Link::connection_mut) else { return };
        if !connection.features().contains(Feature::COLLECTIONS) {
            self.fail_waiting(
                collection,
                ErrorKind::FeatureNotAvailable,
                "the node does not offer collections",
            );
            return;
        }
        let request = Encode::request(Opcode::COLLECTIONS_GET_ID, Opaque(0));
        if connection.send(Tag::Collection(collection), request, &path).is_ok() {
            self.collections[collection as usize].state = State::Asked { link: index };
            self.announce_transmit(index);
        } else {
            self.buckets[bucket].lookups_owed = true;
        }
    }

    /// A node of the bucket is ready: what could not be asked before is asked.
    pub(super) fn resolve_waiting_collections(&mut self, bucket: u32) {
        for collection in 0..self.collections.len() as u32 {
            let entry = &self.collections[collection as usize];
            if entry.bucket == bucket && !entry.waiting.is_empty() {
                self.resolve(collection);
            }
        }
    }

    pub(super) fn on_collection_answer(&mut self, index: u32, collection: u32, answer: &Answer<Tag>) {
        let entry = &mut self.collections[collection as usize];
        entry.state = State::Unknown;
        let extras = answer.extras.get();
        match (answer.status, extras) {
            (Status::SUCCESS, Some(&[m0, m1, m2, m3, m4, m5, m6, m7, c0, c1, c2, c3])) => {
                let id = u32::from_be_bytes([c0, c1, c2, c3]);
                let manifest = u64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
                debug!(scope = %entry.scope, collection = %entry.name, id, "collection resolved");
                entry.state = State::Known { id, manifest };
                entry.last_error = None;
                for id in entry.waiting.take() {
                    if let Some(op) = self.ops.get_mut(id).filter(|op| op.place == Place::Collection) {
                        op.place = Place::Nowhere;
                        self.dispatch(id);
                    }
                }
            }
            // A collection just created may be unknown to this node: asked again, in ever longer pauses (CO-5).
            (Status::UNKNOWN_COLLECTION | Status::UNKNOWN_SCOPE, _) => {
                entry.last_error = Some(if answer.status == Status::UNKNOWN_SCOPE {
                    ErrorKind::ScopeNotFound
                } else {
                    ErrorKind::CollectionNotFound
                });
                self.put_off_waiting(collection, RetryReason::KvCollectionOutdated);
            }
            (Status::ETMPFAIL | Status::EBUSY | Status::ECONFIG_ONLY | Status::NOT_MY_VBUCKET, _) => {
                self.put_off_waiting(collection, RetryReason::KvTemporaryFailure);
            }
            (Status::EACCESS, _) => {
                let text = "this user may not look up collections";
                self.fail_waiting(collection, ErrorKind::AuthenticationFailure, text);
            }
            (Status::UNKNOWN_COMMAND | Status::NOT_SUPPORTED | Status::NO_COLLECTIONS_MANIFEST, _) => {
                let text = "the node does not offer collections";
                self.fail_waiting(collection, ErrorKind::FeatureNotAvailable, text);
            }
            (Status::SUCCESS, _) => {
                self.fail_waiting(collection, ErrorKind::DecodingFailure, "the collection's id is malformed");
            }
            (Status::NO_BUCKET, _) => {
                self.put_off_waiting(collection, RetryReason::NodeNotAvailable);
                self.close_link(index, ErrorKind::BucketNotFound, "the connection lost its bucket");
            }
            (status, _) => {
                let text = format!("the look-up of the collection was refused with {status}");
                self.fail_waiting(collection, ErrorKind::ServerError, &text);
            }
        }
    }

    /// The look-up went down with its connection.
    pub(super) fn on_collection_lost(&mut self, collection: u32) {
        if let Some(entry) = self.collections.get_mut(collection as usize) {
            entry.state = State::Unknown;
            if !entry.waiting.is_empty() {
                self.resolve(collection);
            }
        }
    }

    /// The bucket was created anew: every id is another one (CO-2).
    pub(super) fn forget_collections(&mut self, bucket: u32) {
        for entry in &mut self.collections {
            if entry.bucket == bucket && !entry.is_default() && matches!(entry.state, State::Known { .. }) {
                entry.state = State::Unknown;
            }
        }
    }

    /// A node does not know the collection id of an operation (7.3).
    pub(super) fn on_unknown_collection(&mut self, id: OpId, node_manifest: Option<u64>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Work::Kv(operation) = &op.work else { return };
        let collection = operation.collection.0;
        let entry = &mut self.collections[collection as usize];
        if let State::Known { id: known, manifest } = entry.state
            && !entry.is_default()
        {
            if known != op.collection_id {
                // Resolved again by somebody since: at once with the new id (CO-6).
                op.retries += 1;
                op.reasons.insert(RetryReason::KvCollectionOutdated);
                self.dispatch(id);
                return;
            }
            // A node behind the manifest that the id came from will catch up.
            if node_manifest.is_none_or(|node| node >= manifest) {
                entry.state = State::Unknown;
            }
        }
        self.retry(id, RetryReason::KvCollectionOutdated);
    }

    fn put_off_waiting(&mut self, collection: u32, reason: RetryReason) {
        for id in self.collections[collection as usize].waiting.take() {
            if let Some(op) = self.ops.get_mut(id).filter(|op| op.place == Place::Collection) {
                op.place = Place::Nowhere;
                self.retry(id, reason);
            }
        }
    }

    fn fail_waiting(&mut self, collection: u32, kind: ErrorKind, text: &str) {
        for id in self.collections[collection as usize].waiting.take() {
            if let Some(op) = self.ops.get_mut(id).filter(|op| op.place == Place::Collection) {
                op.place = Place::Nowhere;
                self.fail(id, kind, Some(text.to_owned()));
            }
        }
    }
}
