//! A bucket's connections to the nodes of its map: added, kept, drained, and chosen for an operation
//! (`cluster-maps.md` 9).

use std::sync::Arc;

use super::Engine;
use super::link::{Link, Phase, Role};
use super::scope::same_place;
use crate::map::{ClusterMap, Endpoint, Service};

/// More connections to one node than this do not help, and servers count them.
const WIDTH_MAX: u32 = 64;

impl Engine {
    /// Add, swap, drain (`cluster-maps.md` 9): at no moment does a routed operation find its node missing.
    pub(super) fn apply_bucket(&mut self, index: u32, bucket: u32, map: &Arc<ClusterMap>) {
        let network = self.network.clone().unwrap_or_default();
        let tls = self.config.tls();
        let endpoints: Vec<Option<Endpoint>> = map
            .nodes
            .iter()
            .map(|node| {
                let (host, port) =
                    node.endpoint(Service::Kv, &network, tls).filter(|_| node.serves_bucket)?;
                Some(Endpoint::new(host, port))
            })
            .collect();
        let width = self.width();
        // Those in use first and in their order: a node's connections stay what they were for its vbuckets.
        let mut old: Vec<u32> = self.buckets[bucket as usize].slots.iter().flatten().copied().collect();
        for other in self.link_indexes() {
            let of_bucket =
                self.link(other).is_some_and(|link| link.bucket == Some(bucket) && link.errand.is_none());
            if of_bucket && !old.contains(&other) {
                old.push(other);
            }
        }
        let mut slots: Vec<Option<u32>> = vec![None; endpoints.len() * width];
        // The connection that brought the map is the one to the node that says "this is me", whatever name it was
        // dialled by; it goes on serving.
        if let Some(this) = map.this_node_index
            && endpoints.get(this).is_some_and(Option::is_some)
            && self.link(index).is_some_and(|link| {
                link.bucket == Some(bucket) && link.errand.is_none() && matches!(link.role, Role::Seed { .. })
            })
        {
            slots[this * width] = Some(index);
            old.retain(|&other| other != index);
        }
        for (place, slot) in slots.iter_mut().enumerate() {
            let Some(endpoint) = endpoints[place / width].as_ref().filter(|_| slot.is_none()) else {
                continue;
            };
            let found = old
                .iter()
                .position(|&other| self.link(other).is_some_and(|link| same_place(&link.endpoint, endpoint)));
            *slot = found.map(|found| old.remove(found));
        }
        for (place, slot) in slots.iter_mut().enumerate() {
            let Some(endpoint) = endpoints[place / width].clone() else { continue };
            match *slot {
                Some(existing) => {
                    if let Some(link) = self.link_mut(existing) {
                        link.endpoint = endpoint;
                        link.role = Role::Member;
                        link.draining = None;
                        link.config_retry = None;
                    }
                    self.arm(existing);
                }
                None => {
                    let member = self.new_link(endpoint, Some(bucket), Role::Member, None);
                    *slot = Some(member);
                    if !self.config.options.enable_lazy_connections {
                        self.dial(member);
                    }
                }
            }
        }
        let state = &mut self.buckets[bucket as usize];
        state.slots = slots;
        state.scope.map = Some(Arc::clone(map));
        state.scope.serial = state.scope.serial.wrapping_add(1);
        state.dark_since = None;
        for left in old {
            self.drain_link(left);
        }
        self.wake_one(bucket);
    }

    /// How many connections each node of a bucket gets.
    pub(super) fn width(&self) -> usize {
        self.config.options.num_kv_connections.clamp(1, WIDTH_MAX) as usize
    }

    /// The connection of a node that a vbucket's operations go by: always the same, so that they stay in order, and
    /// another one while that is down.
    pub(super) fn link_of(&self, bucket: u32, slot: usize, vbucket: u16) -> Option<u32> {
        let slots = &self.buckets[bucket as usize].slots;
        let width = self.width();
        if width == 1 {
            return *slots.get(slot)?;
        }
        let row = slots.get(slot * width..(slot + 1) * width)?;
        let own = row[usize::from(vbucket) % width];
        let is_ready = |index: &u32| self.link(*index).is_some_and(Link::is_ready);
        let is_asleep =
            |index: &u32| self.link(*index).is_some_and(|link| matches!(link.phase, Phase::Asleep));
        // One that nobody needed so far is needed now.
        if own.as_ref().is_some_and(|own| is_ready(own) || is_asleep(own)) {
            return own;
        }
        row.iter().flatten().copied().find(is_ready).or(own)
    }

    /// With lazy connections a bucket has at least one, for its maps and its collections.
    pub(super) fn wake_one(&mut self, bucket: u32) {
        let slots = &self.buckets[bucket as usize].slots;
        let asleep = |index: &u32| self.link(*index).is_some_and(|link| matches!(link.phase, Phase::Asleep));
        if !slots.iter().flatten().all(asleep) {
            return;
        }
        if let Some(first) = slots.iter().flatten().copied().next() {
            self.dial(first);
        }
    }

    /// Dials all connections of a bucket that nobody needed so far.
    pub(super) fn wake_all(&mut self, bucket: u32) {
        for index in self.buckets[bucket as usize].slots.clone().into_iter().flatten() {
            if self.link(index).is_some_and(|link| matches!(link.phase, Phase::Asleep)) {
                self.dial(index);
            }
        }
    }

    /// What waits for another connection of the same node, which does not serve, goes by this one.
    pub(super) fn take_over(&mut self, bucket: u32, index: u32) {
        let width = self.width();
        let slots = &self.buckets[bucket as usize].slots;
        let Some(place) = slots.iter().position(|slot| *slot == Some(index)).filter(|_| width > 1) else {
            return;
        };
        let row = place / width * width;
        let siblings: Vec<u32> = slots[row..row + width].iter().flatten().copied().collect();
        for sibling in siblings {
            if self.link(sibling).is_some_and(|link| !link.is_ready()) {
                let waiting = self.link_mut(sibling).map(|link| link.queue.take()).unwrap_or_default();
                for id in waiting {
                    self.dispatch(id);
                }
            }
        }
    }
}
