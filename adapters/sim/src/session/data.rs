//! Document operations (`kv-protocol.md` 2.3).

use super::Session;
use crate::bucket::BucketKind;
use crate::cluster::State;
use crate::features::Features;
use crate::hash::vbucket_of;
use crate::posture::Posture;
use crate::request::{CasRule, Failure, FrameInfos, Key, Shape, frame_infos, invalid, u32_at, u64_at};
use crate::store::{
    Counter, Doc, End, JSON, MAX_VALUE, Mode, Mutated, SNAPPY, Vbucket, Write, inflate, json_bit,
};
use settee::wire::{Frame, Opcode, Status};

/// Where a document operation goes.
struct Target<'s> {
    vbucket: &'s mut Vbucket,
    clock: &'s mut crate::clock::Clock,
}

impl Session {
    /// GET, the operation that load is made of: no copy but the answer's own.
    pub(super) fn get(&mut self, state: &mut State, frame: &Frame<'_>) -> Result<(), Failure> {
        const SHAPE: Shape = Shape { extras: &[0], value: false, cas: CasRule::None };
        SHAPE.check(frame, self.features)?;
        if !frame.framing_extras.is_empty() {
            self.infos(state, frame)?;
        }
        let mut buffer = [0; 256];
        let key = Key::read(frame.key, self.features, &mut buffer)?;
        let target = self.target(state, frame, &key, false)?;
        let doc = target.vbucket.live(key.stored, target.clock).ok_or(Status::KEY_ENOENT)?;
        let cas = doc.visible_cas(target.clock);
        self.reply_document(frame, doc, cas)
    }

    /// Every other operation on a document.
    pub(super) fn document(&mut self, state: &mut State, frame: &Frame<'_>) -> Result<(), Failure> {
        let opcode = frame.header.opcode;
        let shape = Shape::of(opcode).ok_or(Status::UNKNOWN_COMMAND)?;
        shape.check(frame, self.features)?;
        let infos = self.infos(state, frame)?;
        let mut buffer = [0; 256];
        let key = Key::read(frame.key, self.features, &mut buffer)?;
        let body = if shape.value { Body::read(opcode, frame)? } else { Body::default() };
        let durable = infos.durability.is_some();
        if durable {
            self.can_be_durable(state, frame)?;
        }
        let replica = opcode == Opcode::GET_REPLICA;
        let Target { vbucket, clock } = self.target(state, frame, &key, replica)?;
        let (extras, cas, key) = (frame.extras, frame.header.cas.0, key.stored);
        match opcode {
            Opcode::GET_REPLICA => {
                let doc = vbucket.live(key, clock).ok_or(Status::KEY_ENOENT)?;
                // Replicas do not know of locks.
                let cas = doc.cas;
                self.reply_document(frame, doc, cas)
            }
            Opcode::SET | Opcode::ADD | Opcode::REPLACE => {
                let mode = match opcode {
                    Opcode::ADD => Mode::Add,
                    Opcode::REPLACE => Mode::Replace,
                    _ => Mode::Set,
                };
                let write = Write {
                    value: frame.value,
                    datatype: body.datatype,
                    flags: u32_at(extras, 0),
                    expiry: u32_at(extras, 4),
                    cas,
                    preserve_ttl: infos.preserve_ttl,
                };
                let mutated = vbucket.store(mode, key, &write, clock)?;
                let uuid = vbucket.uuid();
                self.reply_mutation(frame, mutated, uuid, &[]);
                Ok(())
            }
            Opcode::DELETE => {
                let mutated = vbucket.delete(key, cas, clock)?;
                let uuid = vbucket.uuid();
                self.reply_mutation(frame, mutated, uuid, &[]);
                Ok(())
            }
            Opcode::APPEND | Opcode::PREPEND => {
                let end = if opcode == Opcode::APPEND { End::Back } else { End::Front };
                let bytes = body.inflated.as_deref().unwrap_or(frame.value);
                let mutated = vbucket.extend(end, key, bytes, cas, clock)?;
                let uuid = vbucket.uuid();
                self.reply_mutation(frame, mutated, uuid, &[]);
                Ok(())
            }
            Opcode::INCREMENT | Opcode::DECREMENT => {
                let counter = Counter {
                    increment: opcode == Opcode::INCREMENT,
                    delta: u64_at(extras, 0),
                    initial: u64_at(extras, 8),
                    expiry: u32_at(extras, 16),
                };
                let (value, mutated) = vbucket.count(key, counter, infos.preserve_ttl, clock)?;
                let uuid = vbucket.uuid();
                self.reply_mutation(frame, mutated, uuid, &value.to_be_bytes());
                Ok(())
            }
            Opcode::TOUCH => {
                let cas = vbucket.touch(key, u32_at(extras, 0), clock)?.cas;
                self.reply(frame, Status::SUCCESS, cas, 0, &[], &[]);
                Ok(())
            }
            Opcode::GAT => {
                let doc = vbucket.touch(key, u32_at(extras, 0), clock)?;
                self.reply_document(frame, doc, doc.cas)
            }
            Opcode::GET_LOCKED => {
                let doc = vbucket.lock(key, u32_at(extras, 0), clock)?;
                self.reply_document(frame, doc, doc.cas)
            }
            Opcode::UNLOCK_KEY => {
                vbucket.unlock(key, cas, clock)?;
                self.reply(frame, Status::SUCCESS, 0, 0, &[], &[]);
                Ok(())
            }
            Opcode::GET_META => {
                let version_2 = match extras {
                    [] | [1] => false,
                    [2] => true,
                    _ => return Err(invalid("GET_META version")),
                };
                let doc = vbucket.any(key, clock).ok_or(Status::KEY_ENOENT)?;
                let mut meta = [0; 21];
                meta[..4].copy_from_slice(&u32::from(doc.deleted).to_be_bytes());
                meta[4..8].copy_from_slice(&doc.flags.to_be_bytes());
                meta[8..12].copy_from_slice(&doc.expiry.to_be_bytes());
                meta[12..20].copy_from_slice(&doc.seqno.to_be_bytes());
                meta[20] = doc.datatype;
                let cas = doc.visible_cas(clock);
                let meta = if version_2 { &meta[..] } else { &meta[..20] };
                self.reply(frame, Status::SUCCESS, cas, 0, meta, &[]);
                Ok(())
            }
            _ => Err(Status::UNKNOWN_COMMAND.into()),
        }
    }

    /// Reads and judges frame infos.
    fn infos<'f>(&self, state: &State, frame: &Frame<'f>) -> Result<FrameInfos<'f>, Failure> {
        let infos = frame_infos(frame.header.opcode, frame.framing_extras)?;
        if infos.preserve_ttl && self.posture < Posture::V7_2 {
            return Err(Status::UNKNOWN_FRAME_INFO.into());
        }
        if let Some(name) = infos.impersonate {
            let known = std::str::from_utf8(name).is_ok_and(|name| state.users.contains(name));
            if !known {
                return Err(Failure::Explained(Status::EACCESS, "no such user to act for".to_owned()));
            }
        }
        Ok(infos)
    }

    /// The vbucket of a request: this node must have it, and the collection must exist.
    fn target<'s>(
        &self,
        state: &'s mut State,
        frame: &Frame<'_>,
        key: &Key<'_>,
        replica: bool,
    ) -> Result<Target<'s>, Failure> {
        let index = self.selected()?;
        let bucket = state.buckets.get_mut(index).ok_or(Status::NO_BUCKET)?;
        if !bucket.config_only.is_empty() && bucket.config_only.contains(&self.node) {
            return Err(Status::ECONFIG_ONLY.into());
        }
        if bucket.kind == BucketKind::Memcached {
            if replica {
                return Err(Status::NOT_SUPPORTED.into());
            }
            // A node stores whatever it is sent; here the client's mistake is counted.
            if bucket.ketama_owner(key.logical, &state.nodes) != Some(self.node)
                && let Some(node) = state.nodes.get_mut(self.node.0)
            {
                node.misrouted += 1;
            }
            let vbucket = bucket.of_node(self.node, &mut state.rng).ok_or(Status::NO_BUCKET)?;
            return Ok(Target { vbucket, clock: &mut state.clock });
        }
        let vbucket = frame.header.vbucket_or_status;
        let mine = if replica {
            bucket.is_replica(vbucket, self.node)
        } else {
            bucket.is_active(vbucket, self.node)
        };
        if !mine {
            return Err(Failure::NotMyVbucket);
        }
        if !bucket.collections.contains(key.collection) {
            return Err(Failure::Manifest(Status::UNKNOWN_COLLECTION, bucket.collections.uid()));
        }
        // A server stores a key under whatever vbucket the client names; here the client's mistake is counted.
        if vbucket_of(key.logical, bucket.vbucket_count()) != vbucket
            && let Some(node) = state.nodes.get_mut(self.node.0)
        {
            node.misrouted += 1;
        }
        let vbucket = bucket.vbuckets.get_mut(usize::from(vbucket)).ok_or(Failure::NotMyVbucket)?;
        Ok(Target { vbucket, clock: &mut state.clock })
    }

    /// Whether a majority of the vbucket's configured copies is there (`kv-protocol.md` 10.4). Writing to disk takes
    /// no time here, so that all levels ask for the same.
    fn can_be_durable(&self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        let bucket = self.selected()?;
        let bucket = state.buckets.get(bucket).ok_or(Status::NO_BUCKET)?;
        if bucket.kind == BucketKind::Memcached {
            return Err(Status::NOT_SUPPORTED.into());
        }
        let Some(row) = bucket.rows.get(usize::from(frame.header.vbucket_or_status)) else {
            return Err(Failure::NotMyVbucket);
        };
        let alive = row.iter().flatten().filter(|node| state.is_up(**node)).count();
        let majority = bucket.replicas.saturating_add(1) / 2 + 1;
        if alive < majority && bucket.is_active(frame.header.vbucket_or_status, self.node) {
            return Err(Status::DURABILITY_IMPOSSIBLE.into());
        }
        Ok(())
    }

    fn reply_mutation(&mut self, frame: &Frame<'_>, mutated: Mutated, uuid: u64, value: &[u8]) {
        let mut token = [0; 16];
        let mut extras: &[u8] = &[];
        if self.features.has(Features::MUTATION_SEQNO) {
            token[..8].copy_from_slice(&uuid.to_be_bytes());
            token[8..].copy_from_slice(&mutated.seqno.to_be_bytes());
            extras = &token;
        }
        self.reply(frame, Status::SUCCESS, mutated.cas, 0, extras, value);
    }

    /// A document in the form that the connection negotiated.
    fn reply_document(&mut self, frame: &Frame<'_>, doc: &Doc, cas: u64) -> Result<(), Failure> {
        let flags = doc.flags.to_be_bytes();
        let json = doc.datatype & self.json();
        if doc.datatype & SNAPPY != 0 && !self.features.has(Features::SNAPPY) {
            let plain = inflate(&doc.value, doc.datatype).ok_or(Status::EINTERNAL)?;
            self.reply(frame, Status::SUCCESS, cas, json, &flags, &plain);
        } else {
            self.reply(frame, Status::SUCCESS, cas, json | (doc.datatype & SNAPPY), &flags, &doc.value);
        }
        Ok(())
    }
}

/// A value as received, looked at once.
#[derive(Default)]
struct Body {
    /// What to store it under.
    datatype: u8,
    /// The plain form of a compressed value.
    inflated: Option<Vec<u8>>,
}

impl Body {
    fn read(opcode: Opcode, frame: &Frame<'_>) -> Result<Self, Failure> {
        let compressed = frame.header.datatype & SNAPPY != 0;
        let inflated = if compressed {
            Some(inflate(frame.value, SNAPPY).ok_or_else(|| invalid("the value does not inflate"))?)
        } else {
            None
        };
        let plain = inflated.as_deref().unwrap_or(frame.value);
        if plain.len() > MAX_VALUE {
            return Err(Status::E2BIG.into());
        }
        // Added bytes are judged together with what they are added to.
        let looked_at = !matches!(opcode, Opcode::APPEND | Opcode::PREPEND);
        let json = if looked_at { json_bit(plain) & JSON } else { 0 };
        let snappy = if compressed { SNAPPY } else { 0 };
        Ok(Self { datatype: json | snappy, inflated })
    }
}
