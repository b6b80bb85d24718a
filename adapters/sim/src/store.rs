//! Documents of one bucket: CAS, expiry, locks, counters, tombstones and sequence numbers (`kv-protocol.md` 2.3).
//!
//! A key here is the key on the wire with its collection prefix; connections without collections get prefix 0.
//! All copies of a vbucket are one: replication takes no time and loses nothing.

use crate::clock::Clock;
use crate::hash::FastMap;
use settee::wire::Status;
use std::time::{Duration, Instant};

/// Datatype bit: the value is JSON.
pub(crate) const JSON: u8 = 0x01;
/// Datatype bit: the value is a raw snappy block.
pub(crate) const SNAPPY: u8 = 0x02;
/// Largest document, inflated.
pub(crate) const MAX_VALUE: usize = 20 * 1024 * 1024;
/// Largest inflated body that is looked at at all.
pub(crate) const MAX_INFLATED: usize = 30 * 1024 * 1024;

/// What a reader sees as the CAS of a locked document (OP-9).
const LOCKED_CAS: u64 = u64::MAX;
const DEFAULT_LOCK: u32 = 15;
const MAX_LOCK: u32 = 30;

/// One document, or what is left of a deleted one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doc {
    pub(crate) value: Vec<u8>,
    /// As stored: [`JSON`] and [`SNAPPY`].
    pub(crate) datatype: u8,
    pub(crate) flags: u32,
    /// Absolute seconds; 0 = none.
    pub(crate) expiry: u32,
    pub(crate) cas: u64,
    pub(crate) seqno: u64,
    pub(crate) deleted: bool,
    locked_until: Option<Instant>,
}

impl Doc {
    fn is_locked(&self, clock: &Clock) -> bool {
        self.locked_until.is_some_and(|until| until > clock.now())
    }

    /// The CAS that readers see.
    pub(crate) fn visible_cas(&self, clock: &Clock) -> u64 {
        if self.is_locked(clock) { LOCKED_CAS } else { self.cas }
    }

    fn is_expired(&self, clock: &Clock) -> bool {
        self.expiry != 0 && self.expiry <= clock.unix_secs()
    }

    /// Turns the document into a tombstone.
    fn bury(&mut self, seqno: u64, clock: &mut Clock) {
        *self = Self { cas: clock.next_cas(), seqno, deleted: true, flags: self.flags, ..Self::default() };
    }

    /// Whether a write with this CAS may go on. The holder of the lock may, and so unlocks.
    fn admit(&self, cas: u64, clock: &Clock) -> Result<(), Status> {
        if self.is_locked(clock) {
            return if cas == self.cas { Ok(()) } else { Err(Status::LOCKED) };
        }
        if cas != 0 && cas != self.cas { Err(Status::KEY_EEXISTS) } else { Ok(()) }
    }
}

/// The three ways to store a whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Set,
    Add,
    Replace,
}

/// A whole-document write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write<'a> {
    pub(crate) value: &'a [u8],
    pub(crate) datatype: u8,
    pub(crate) flags: u32,
    /// As on the wire.
    pub(crate) expiry: u32,
    pub(crate) cas: u64,
    pub(crate) preserve_ttl: bool,
}

/// What a mutation left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mutated {
    pub(crate) cas: u64,
    pub(crate) seqno: u64,
}

/// Which end bytes are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Back,
    Front,
}

/// A counter request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) increment: bool,
    pub(crate) delta: u64,
    pub(crate) initial: u64,
    pub(crate) expiry: u32,
}

/// One vbucket's documents and history.
#[derive(Debug, Default)]
pub(crate) struct Vbucket {
    docs: FastMap<Box<[u8]>, Doc>,
    high_seqno: u64,
    /// Branches of history, newest first: uuid and the sequence number at which each began.
    pub(crate) failover_log: Vec<(u64, u64)>,
}

impl Vbucket {
    pub(crate) fn new(uuid: u64) -> Self {
        Self { failover_log: vec![(uuid, 0)], ..Self::default() }
    }

    /// The uuid of the newest branch.
    pub(crate) fn uuid(&self) -> u64 {
        self.failover_log.first().map_or(0, |(uuid, _)| *uuid)
    }

    /// Begins a new branch of history, as a failover does.
    pub(crate) fn branch(&mut self, uuid: u64) {
        self.failover_log.insert(0, (uuid, self.high_seqno));
    }

    pub(crate) const fn high_seqno(&self) -> u64 {
        self.high_seqno
    }

    /// The document if it is there and not expired. An expired one becomes a tombstone at this moment.
    pub(crate) fn live(&mut self, key: &[u8], clock: &mut Clock) -> Option<&mut Doc> {
        let doc = self.docs.get_mut(key)?;
        if doc.deleted {
            return None;
        }
        if doc.is_expired(clock) {
            self.high_seqno += 1;
            doc.bury(self.high_seqno, clock);
            return None;
        }
        Some(doc)
    }

    /// The document or its tombstone.
    pub(crate) fn any(&mut self, key: &[u8], clock: &mut Clock) -> Option<&Doc> {
        let _ = self.live(key, clock);
        self.docs.get(key)
    }

    /// SET, ADD, REPLACE (OP-7, OP-8).
    pub(crate) fn store(
        &mut self,
        mode: Mode,
        key: &[u8],
        write: &Write<'_>,
        clock: &mut Clock,
    ) -> Result<Mutated, Status> {
        let live = self.live(key, clock).is_some();
        match (mode, live) {
            (Mode::Add, true) => return Err(Status::KEY_EEXISTS),
            (Mode::Replace, false) => return Err(Status::KEY_ENOENT),
            (Mode::Set, false) if write.cas != 0 => return Err(Status::KEY_ENOENT),
            _ => {}
        }
        let expiry = clock.absolute_expiry(write.expiry);
        if let Some(doc) = self.docs.get_mut(key) {
            if live {
                doc.admit(write.cas, clock)?;
            }
            if !(write.preserve_ttl && live) {
                doc.expiry = expiry;
            }
            self.high_seqno += 1;
            doc.value.clear();
            doc.value.extend_from_slice(write.value);
            doc.datatype = write.datatype;
            doc.flags = write.flags;
            doc.cas = clock.next_cas();
            doc.seqno = self.high_seqno;
            doc.deleted = false;
            doc.locked_until = None;
            return Ok(Mutated { cas: doc.cas, seqno: doc.seqno });
        }
        self.high_seqno += 1;
        let doc = Doc {
            value: write.value.to_vec(),
            datatype: write.datatype,
            flags: write.flags,
            expiry,
            cas: clock.next_cas(),
            seqno: self.high_seqno,
            ..Doc::default()
        };
        let mutated = Mutated { cas: doc.cas, seqno: doc.seqno };
        self.docs.insert(key.into(), doc);
        Ok(mutated)
    }

    /// DELETE: the answer holds the tombstone's CAS (OP-7).
    pub(crate) fn delete(&mut self, key: &[u8], cas: u64, clock: &mut Clock) -> Result<Mutated, Status> {
        let seqno = self.high_seqno + 1;
        let doc = self.live(key, clock).ok_or(Status::KEY_ENOENT)?;
        doc.admit(cas, clock)?;
        doc.bury(seqno, clock);
        let mutated = Mutated { cas: doc.cas, seqno };
        self.high_seqno = seqno;
        Ok(mutated)
    }

    /// APPEND and PREPEND: flags and expiry stay, the datatype is found anew (OP-8, OP-13).
    pub(crate) fn extend(
        &mut self,
        end: End,
        key: &[u8],
        bytes: &[u8],
        cas: u64,
        clock: &mut Clock,
    ) -> Result<Mutated, Status> {
        let seqno = self.high_seqno + 1;
        let doc = self.live(key, clock).ok_or(Status::NOT_STORED)?;
        doc.admit(cas, clock)?;
        let mut value = inflate(&doc.value, doc.datatype).ok_or(Status::EINTERNAL)?;
        if value.len().saturating_add(bytes.len()) > MAX_VALUE {
            return Err(Status::E2BIG);
        }
        match end {
            End::Back => value.extend_from_slice(bytes),
            End::Front => {
                value.splice(0..0, bytes.iter().copied());
            }
        }
        doc.datatype = json_bit(&value);
        doc.value = value;
        Ok(self.changed(key, seqno, clock))
    }

    /// TOUCH and GAT: sets the expiry, 0 removes it; the CAS changes (OP-12).
    pub(crate) fn touch(&mut self, key: &[u8], expiry: u32, clock: &mut Clock) -> Result<&Doc, Status> {
        let expiry = clock.absolute_expiry(expiry);
        let seqno = self.high_seqno + 1;
        let doc = self.live(key, clock).ok_or(Status::KEY_ENOENT)?;
        if doc.is_locked(clock) {
            return Err(Status::LOCKED);
        }
        doc.expiry = expiry;
        self.changed(key, seqno, clock);
        self.docs.get(key).ok_or(Status::KEY_ENOENT)
    }

    /// INCREMENT and DECREMENT (OP-11).
    pub(crate) fn count(
        &mut self,
        key: &[u8],
        counter: Counter,
        preserve_ttl: bool,
        clock: &mut Clock,
    ) -> Result<(u64, Mutated), Status> {
        let seqno = self.high_seqno + 1;
        let Some(doc) = self.live(key, clock) else {
            if counter.expiry == u32::MAX {
                return Err(Status::KEY_ENOENT);
            }
            let text = counter.initial.to_string();
            let write = Write {
                value: text.as_bytes(),
                datatype: JSON,
                flags: 0,
                expiry: counter.expiry,
                cas: 0,
                preserve_ttl,
            };
            return self.store(Mode::Add, key, &write, clock).map(|mutated| (counter.initial, mutated));
        };
        if doc.is_locked(clock) {
            return Err(Status::LOCKED);
        }
        let inflated;
        let text = if doc.datatype & SNAPPY == 0 {
            &doc.value[..]
        } else {
            inflated = inflate(&doc.value, doc.datatype).ok_or(Status::DELTA_BADVAL)?;
            &inflated[..]
        };
        let old = parse_counter(text).ok_or(Status::DELTA_BADVAL)?;
        let new = if counter.increment {
            old.wrapping_add(counter.delta)
        } else {
            old.saturating_sub(counter.delta)
        };
        doc.value = new.to_string().into_bytes();
        doc.datatype = JSON;
        Ok((new, self.changed(key, seqno, clock)))
    }

    /// GET_LOCKED: 0 or more than the maximum seconds mean the default (OP-10). The CAS becomes the lock's.
    pub(crate) fn lock(&mut self, key: &[u8], seconds: u32, clock: &mut Clock) -> Result<&Doc, Status> {
        let doc = self.live(key, clock).ok_or(Status::KEY_ENOENT)?;
        if doc.is_locked(clock) {
            return Err(Status::LOCKED);
        }
        let seconds = if seconds == 0 || seconds > MAX_LOCK { DEFAULT_LOCK } else { seconds };
        doc.locked_until = Some(clock.now() + Duration::from_secs(u64::from(seconds)));
        doc.cas = clock.next_cas();
        Ok(doc)
    }

    /// UNLOCK_KEY.
    pub(crate) fn unlock(&mut self, key: &[u8], cas: u64, clock: &mut Clock) -> Result<(), Status> {
        let doc = self.live(key, clock).ok_or(Status::KEY_ENOENT)?;
        if !doc.is_locked(clock) {
            return Err(Status::NOT_LOCKED);
        }
        if doc.cas != cas {
            return Err(Status::LOCKED);
        }
        doc.locked_until = None;
        Ok(())
    }

    /// Some live document of a collection, for GET_RANDOM_KEY.
    pub(crate) fn first_of(&self, prefix: &[u8], clock: &Clock) -> Option<(&[u8], &Doc)> {
        self.docs
            .iter()
            .filter(|(key, doc)| key.starts_with(prefix) && !doc.deleted && !doc.is_expired(clock))
            .map(|(key, doc)| (key.as_ref(), doc))
            .min_by_key(|(key, _)| *key)
    }

    /// Forgets every document of a collection that was dropped.
    pub(crate) fn forget(&mut self, prefix: &[u8]) {
        self.docs.retain(|key, _| !key.starts_with(prefix));
    }

    /// Live documents.
    pub(crate) fn len(&self) -> usize {
        self.docs.values().filter(|doc| !doc.deleted).count()
    }

    fn changed(&mut self, key: &[u8], seqno: u64, clock: &mut Clock) -> Mutated {
        let cas = clock.next_cas();
        self.high_seqno = seqno;
        if let Some(doc) = self.docs.get_mut(key) {
            doc.cas = cas;
            doc.seqno = seqno;
            doc.locked_until = None;
        }
        Mutated { cas, seqno }
    }
}

/// A counter's text: up to 20 decimal digits that fit 64 bits.
fn parse_counter(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The plain form of a stored or received value; `None` if the block is broken or inflates beyond the limit.
pub(crate) fn inflate(value: &[u8], datatype: u8) -> Option<Vec<u8>> {
    if datatype & SNAPPY == 0 {
        return Some(value.to_vec());
    }
    // The length stands in front of the block: judged before anything is reserved for it. A block never inflates
    // to more than 64 times its size or so, hence the declared length must be in proportion to what is here.
    let len = snap::raw::decompress_len(value).ok()?;
    if len > MAX_INFLATED || len > value.len().saturating_mul(64) {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(value).ok()
}

/// [`JSON`] if the body is JSON, else 0: the server decides, whatever the client claims (`kv-protocol.md` 2.6).
pub(crate) fn json_bit(body: &[u8]) -> u8 {
    let first = body.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let plausible = matches!(first, Some(b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9'));
    if plausible && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() { JSON } else { 0 }
}

#[cfg(test)]
mod tests;
