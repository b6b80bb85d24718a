//! The hunt for the first map of a scope: a staggered race over seeds or known nodes (BOOT-11 to BOOT-16).

use std::time::{Duration, Instant};

use super::link::{Failure, Link, Phase, Role};
use super::report::AttemptReport;
use super::scope::ScopeId;
use super::{Engine, Stage};
use crate::connstr::Seed;
use crate::error::ErrorKind;
use crate::map::{Endpoint, Service};
use crate::options::BootstrapOn;
use crate::trace::{debug, info};

/// Without a map for so long, the next seed is tried as well (BOOT-12).
const STAGGER: Duration = Duration::from_millis(500);
/// At most so many attempts at a time.
const PARALLEL: usize = 3;
/// An attempt without TCP progress for so long does not count against [`PARALLEL`].
const SLOW: Duration = Duration::from_secs(2);
/// Between rounds (BOOT-14).
const ROUND_PAUSE: Duration = Duration::from_millis(500);
const ROUND_PAUSE_MAX: Duration = Duration::from_secs(4);
/// Between rounds where a bucket was refused (`connecting.md` 4.5).
const BUCKET_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A hunt that lasts for longer is not for seeds alone: the cluster may have other nodes by now.
const LONG: Duration = Duration::from_secs(30);
/// A report lists so many attempts (BOOT-16).
pub(super) const REPORT_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Hunt {
    pub(super) started: Instant,
    pub(super) targets: Vec<Target>,
    /// The last attempts on targets that are none any more.
    pub(super) past: Vec<AttemptReport>,
    /// The next target of this round.
    pub(super) next: usize,
    pub(super) next_at: Instant,
    pub(super) running: Vec<u32>,
    /// The round is over; the next begins at `next_at`.
    pub(super) pausing: bool,
    pub(super) pause: Duration,
    /// Given up for good: credentials that the cluster refuses do not get better (BOOT-14).
    pub(super) stopped: bool,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// Whether the map is asked for over HTTP.
    pub(super) over_http: bool,
    pub(super) last: Option<AttemptReport>,
    /// It does not take this kind of credentials, whoever they are of, and is not asked again (AUTH-7).
    useless: bool,
    round: Round,
}

/// What a target did in this round.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Credentials were refused, or its certificate: that does not get better by itself.
    refused: bool,
    refused_bucket: bool,
    /// Nobody could be reached there.
    unreachable: bool,
    /// It serves the bucket and has no map of it to give.
    mapless: bool,
}

impl Target {
    fn new(endpoint: Endpoint, over_http: bool) -> Self {
        Self { endpoint, over_http, last: None, useless: false, round: Round::default() }
    }

    /// Whether it serves the bucket and has no map of it to give.
    pub(super) const fn is_mapless(&self) -> bool {
        self.round.mapless
    }
}

impl Engine {
    /// Begins to look for a scope's first map; an idle connection is taken over for a bucket (`connecting.md` 4.4).
    pub(super) fn start_hunt(&mut self, scope: ScopeId) {
        if self.closing.is_some() || !self.seeds_are_known() {
            return;
        }
        let targets = self.targets(scope);
        let now = self.now;
        let mut hunt = Hunt {
            started: now,
            targets,
            past: Vec::new(),
            next: 0,
            next_at: now,
            running: Vec::new(),
            pausing: false,
            pause: ROUND_PAUSE,
            stopped: false,
        };
        if let ScopeId::Bucket(bucket) = scope
            && !self.is_over_http(scope)
            && let Some(index) = self.idle_link()
            && self.link(index).and_then(|link| link.connection()).is_some_and(|c| c.is_free())
        {
            let name = self.buckets[bucket as usize].name.clone();
            let Some(link) = self.link_mut(index) else { return };
            let endpoint = link.endpoint.clone();
            let same = |target: &Target| !target.over_http && target.endpoint.same_place(&endpoint);
            let target = hunt.targets.iter().position(same);
            let target = target.unwrap_or_else(|| {
                hunt.targets.push(Target::new(endpoint, false));
                hunt.targets.len() - 1
            });
            // Its turn comes first; the others follow if it brings nothing.
            hunt.targets.swap(0, target);
            hunt.next = 1;
            hunt.next_at = now.checked_add(STAGGER).unwrap_or(now);
            hunt.running.push(index);
            link.role = Role::Seed { scope, target: 0 };
            link.bucket = Some(bucket);
            link.started = now;
            if let Some(connection) = link.connection_mut() {
                connection.select_bucket(&name, true);
            }
            let deadline = self.after(self.config.options.kv_connect_timeout);
            if let Some(link) = self.link_mut(index) {
                link.deadline = deadline;
            }
            self.announce_transmit(index);
            self.arm(index);
        }
        self.scope_mut(scope).hunt = Some(hunt);
        self.hunt_tick(scope);
    }

    /// Where a map is looked for: over the key-value protocol first, over HTTP where that brings nothing.
    fn targets(&mut self, scope: ScopeId) -> Vec<Target> {
        // Where the nodes are known the seeds are the last resort (BOOT-15).
        let forced = self.scope(scope).forced;
        let source = self.config.options.bootstrap_on;
        let memcached = self.is_over_http(scope);
        let known = if forced || memcached { Vec::new() } else { self.known_nodes() };
        let managers = if forced || source == BootstrapOn::Cccp { Vec::new() } else { self.managers() };
        let nobody = known.is_empty() && (!memcached || managers.is_empty());
        let with_seeds = self.scope(scope).map.is_some() || nobody;
        let seeds = if with_seeds { self.seeds().to_vec() } else { Vec::new() };
        let at = |seed: &Seed, port: Option<u16>| Some(Endpoint::new(seed.host.to_string(), port?));
        let kv_seeds = seeds.iter().filter_map(|seed| at(seed, seed.kv));
        let mgmt_seeds = seeds.iter().filter_map(|seed| at(seed, seed.mgmt));
        let mut targets = Vec::new();
        for (over_http, nodes, seeds) in
            [(false, known, kv_seeds.collect::<Vec<_>>()), (true, managers, mgmt_seeds.collect::<Vec<_>>())]
        {
            if (over_http && source == BootstrapOn::Cccp) || (!over_http && memcached) {
                continue;
            }
            for endpoints in [nodes, seeds] {
                let mut group: Vec<Target> =
                    endpoints.into_iter().map(|endpoint| Target::new(endpoint, over_http)).collect();
                if !self.config.options.preserve_bootstrap_nodes_order {
                    self.entropy.shuffle(&mut group);
                }
                targets.extend(group);
            }
        }
        targets
    }

    /// Before another round, where nobody could be reached in the last one, none of those reached has a map, or the hunt
    /// lasts long: the nodes may be others by now. Until then the report tells of those that the hunt began with.
    /// Targets on which attempts are under way (`held`) stay.
    fn renew_targets(&mut self, scope: ScopeId, held: &[usize]) {
        let now = self.now;
        let Some(hunt) = &self.scope(scope).hunt else { return };
        let lasts = now.saturating_duration_since(hunt.started) >= LONG;
        let unreachable = hunt.targets.iter().all(|target| target.round.unreachable);
        if held.is_empty() && !lasts && !unreachable {
            return;
        }
        let mut targets = self.targets(scope);
        let Some(hunt) = &mut self.scope_mut(scope).hunt else { return };
        let same = |a: &Target, b: &Target| a.over_http == b.over_http && a.endpoint.same_place(&b.endpoint);
        // Where each of the old ones stands in the new list.
        let mut places = Vec::with_capacity(hunt.targets.len());
        for (number, target) in std::mem::take(&mut hunt.targets).into_iter().enumerate() {
            let mut place = targets.iter().position(|fresh| same(fresh, &target));
            match place {
                Some(place) => targets[place] = target,
                None if held.contains(&number) => {
                    targets.push(target);
                    place = Some(targets.len() - 1);
                }
                // What was seen elsewhere is still worth telling.
                None => hunt.past.extend(target.last),
            }
            places.push(place);
        }
        hunt.targets = targets;
        let surplus = hunt.past.len().saturating_sub(REPORT_MAX);
        hunt.past.drain(..surplus);
        for index in hunt.running.clone() {
            if let Some(Role::Seed { scope: of, target }) = self.link_mut(index).map(|link| &mut link.role)
                && *of == scope
                && let Some(Some(place)) = places.get(*target)
            {
                *target = *place;
            }
        }
    }

    /// The key-value endpoints of the cluster map.
    pub(super) fn known_nodes(&self) -> Vec<Endpoint> {
        let (Some(map), Some(network)) = (&self.cluster.map, &self.network) else { return Vec::new() };
        let tls = self.config.tls();
        let endpoints = map.nodes.iter().filter_map(|node| node.endpoint(Service::Kv, network, tls));
        endpoints.map(|(host, port)| Endpoint::new(host, port)).collect()
    }

    /// Hunts for every scope that has no map and is not looked for yet.
    pub(super) fn start_all_hunts(&mut self) {
        for bucket in 0..self.buckets.len() as u32 {
            let state = &self.buckets[bucket as usize].scope;
            if state.map.is_none() && state.hunt.is_none() {
                self.start_hunt(ScopeId::Bucket(bucket));
            }
        }
        self.want_cluster_link();
    }

    /// Gives a hunt up, and the attempts that are under way.
    pub(super) fn drop_hunt(&mut self, scope: ScopeId) {
        let Some(hunt) = self.scope_mut(scope).hunt.take() else { return };
        for index in hunt.running {
            if self.link(index).is_some_and(|link| matches!(link.role, Role::Seed { .. })) {
                self.remove_link(index);
            }
        }
    }

    /// Starts what may be started.
    pub(super) fn hunt_tick(&mut self, scope: ScopeId) {
        loop {
            let now = self.now;
            let counting: Vec<u32> = match &self.scope(scope).hunt {
                Some(hunt) if !hunt.stopped => {
                    hunt.running.iter().copied().filter(|&index| self.counts(index)).collect()
                }
                _ => return,
            };
            let on_data_nodes = self.on_data_nodes(&counting);
            let counting = counting.len();
            let mut held = self.running_targets(scope);
            let Some(hunt) = &self.scope(scope).hunt else { return };
            if hunt.pausing && now >= hunt.next_at {
                self.renew_targets(scope, &held);
                held = self.running_targets(scope);
            }
            let Some(hunt) = &mut self.scope_mut(scope).hunt else { return };
            if hunt.pausing {
                if now < hunt.next_at {
                    return;
                }
                hunt.pausing = false;
                hunt.next = 0;
                // Connections to nodes without a map are kept: one may come yet.
                for (number, target) in hunt.targets.iter_mut().enumerate() {
                    let mapless = target.round.mapless && held.contains(&number);
                    target.round = Round { mapless, ..Round::default() };
                }
            }
            let mapless = hunt.targets.iter().any(|target| target.round.mapless);
            if hunt.next < hunt.targets.len() {
                let target = hunt.next;
                if held.contains(&target) || hunt.targets[target].useless {
                    hunt.next += 1;
                    continue;
                }
                let over_http = hunt.targets[target].over_http;
                // The first manager is asked at once when the data nodes are known to have no map.
                let turn =
                    over_http && mapless && !hunt.targets[..target].iter().any(|target| target.over_http);
                let due = hunt.running.is_empty() || now >= hunt.next_at || turn;
                if !due || counting >= PARALLEL && !(over_http && mapless) {
                    return;
                }
                if over_http && !mapless && !on_data_nodes.is_empty() {
                    return;
                }
                if over_http && !mapless && !self.only_managers_left(scope) {
                    if self.scope(scope).hunt.as_ref().is_some_and(|hunt| hunt.running.is_empty()) {
                        self.end_round(scope);
                        continue;
                    }
                    return;
                }
                let Some(hunt) = &mut self.scope_mut(scope).hunt else { return };
                let endpoint = hunt.targets[target].endpoint.clone();
                hunt.next += 1;
                hunt.next_at = now.checked_add(STAGGER).unwrap_or(now);
                let bucket = match scope {
                    ScopeId::Cluster => None,
                    ScopeId::Bucket(bucket) => Some(bucket),
                };
                // A link that fails at once reports to the hunt, so it is entered before it is dialled.
                let errand = over_http.then(|| self.map_errand(scope));
                let index = self.new_link(endpoint, bucket, Role::Seed { scope, target }, errand);
                self.dial(index);
                if self.link(index).is_some_and(|link| link.role == Role::Seed { scope, target })
                    && let Some(hunt) = &mut self.scope_mut(scope).hunt
                {
                    hunt.running.push(index);
                }
                continue;
            }
            // A node without a map does not keep the managers from being asked again.
            if !held.iter().all(|&target| hunt.targets[target].round.mapless) {
                return;
            }
            self.end_round(scope);
        }
    }

    /// The targets on which attempts are under way.
    fn running_targets(&self, scope: ScopeId) -> Vec<usize> {
        let running = self.scope(scope).hunt.iter().flat_map(|hunt| &hunt.running);
        running
            .filter_map(|&index| match self.link(index)?.role {
                Role::Seed { scope: of, target } if of == scope => Some(target),
                _ => None,
            })
            .collect()
    }

    /// Whether no data node can be reached: then the manager is asked, and only then (BOOT-17).
    fn only_managers_left(&self, scope: ScopeId) -> bool {
        let Some(hunt) = &self.scope(scope).hunt else { return false };
        let running = self.running_targets(scope);
        hunt.targets
            .iter()
            .enumerate()
            .filter(|(_, target)| !target.over_http)
            .all(|(number, target)| target.round.unreachable || running.contains(&number))
    }

    /// Those of these attempts that are on data nodes: managers wait for them, and not for each other (BOOT-12, BOOT-17).
    fn on_data_nodes(&self, attempts: &[u32]) -> Vec<u32> {
        let speaks_kv = |index: &u32| self.link(*index).is_some_and(|link| link.errand.is_none());
        attempts.iter().copied().filter(speaks_kv).collect()
    }

    fn counts(&self, index: u32) -> bool {
        self.link(index)
            .is_some_and(|link| !is_dialling(link) || self.now.saturating_duration_since(link.started) < SLOW)
    }

    /// Every target has failed once.
    fn end_round(&mut self, scope: ScopeId) {
        let has_map = self.scope(scope).map.is_some();
        let now = self.now;
        let Some(hunt) = &mut self.scope_mut(scope).hunt else { return };
        let hopeless = hunt.targets.iter().any(|target| target.round.refused)
            || !hunt.targets.is_empty() && hunt.targets.iter().all(|target| target.useless);
        if hopeless && !has_map {
            hunt.stopped = true;
            info!("credentials or certificates are refused: no further attempt");
            self.states_changed = true;
            if let ScopeId::Bucket(bucket) = scope {
                self.fail_parked(bucket);
            }
            return;
        }
        let longest = if hunt.targets.iter().any(|target| target.round.refused_bucket) {
            BUCKET_PAUSE_MAX
        } else {
            ROUND_PAUSE_MAX
        };
        let pause = hunt.pause.min(longest);
        hunt.pause = (pause * 2).min(longest);
        hunt.pausing = true;
        let pause = self.entropy.jitter(pause, 25);
        debug!(?pause, "no seed gave a map: next round");
        if let Some(hunt) = &mut self.scope_mut(scope).hunt {
            hunt.next_at = now.checked_add(pause.max(Duration::from_millis(1))).unwrap_or(now);
        }
        if self.running_targets(scope).is_empty() {
            self.ask_srv_again();
        }
    }

    /// When the hunt has something to do.
    pub(super) fn hunt_due(&self, scope: ScopeId) -> Option<Instant> {
        let hunt = self.scope(scope).hunt.as_ref().filter(|hunt| !hunt.stopped)?;
        if hunt.pausing {
            return Some(hunt.next_at);
        }
        let next = hunt.targets.get(hunt.next)?;
        let counting: Vec<u32> = hunt.running.iter().copied().filter(|&index| self.counts(index)).collect();
        let mapless = hunt.targets.iter().any(|target| target.round.mapless);
        let on_data_nodes = self.on_data_nodes(&counting);
        if next.over_http && !mapless && !on_data_nodes.is_empty() {
            // Its turn comes when the last attempt on a data node has shown itself to be slow.
            let all_dial = on_data_nodes.iter().all(|&index| self.link(index).is_some_and(is_dialling));
            let slow =
                on_data_nodes.iter().filter_map(|&index| self.link(index)?.started.checked_add(SLOW)).max();
            return slow
                .filter(|_| all_dial && self.only_managers_left(scope))
                .map(|at| at.max(hunt.next_at));
        }
        if next.over_http && !mapless && !hunt.running.is_empty() && !self.only_managers_left(scope) {
            return None;
        }
        if counting.len() < PARALLEL || next.over_http && mapless {
            return Some(hunt.next_at);
        }
        // Only dials stop to count by the clock; a handshake has a deadline of its own.
        let dialling = counting.iter().filter_map(|&index| self.link(index).filter(|link| is_dialling(link)));
        let slow = dialling.filter_map(|link| link.started.checked_add(SLOW)).min();
        slow.map(|at| at.max(hunt.next_at))
    }

    /// One attempt has failed.
    pub(super) fn hunt_failed(&mut self, scope: ScopeId, target: usize, index: u32, failure: &Failure) {
        let now = self.now;
        let Some(link) = self.link(index) else { return };
        let (address, elapsed) = (link.address, now.saturating_duration_since(link.started));
        // What earlier credentials were told does not count.
        let up_to_date = link.credentials == self.credentials;
        let refused_certificate = link.certificate_refused;
        let Some(hunt) = &mut self.scope_mut(scope).hunt else { return };
        hunt.running.retain(|&other| other != index);
        // The next one's turn is now, even if earlier ones are silent (BOOT-12).
        hunt.next_at = hunt.next_at.min(now);
        let Some(target) = hunt.targets.get_mut(target) else { return };
        target.useless |= target.over_http
            && failure.stage == Stage::Map
            && failure.kind == ErrorKind::AuthenticationFailure;
        let round = &mut target.round;
        round.mapless = false;
        round.refused |= up_to_date
            && (refused_certificate
                || failure.stage == Stage::Auth
                    && matches!(failure.kind, ErrorKind::AuthenticationFailure | ErrorKind::InvalidArgument));
        round.refused_bucket |= failure.refuses_bucket();
        round.unreachable |= failure.stage <= Stage::Tcp;
        target.last = Some(AttemptReport {
            seed: target.endpoint.to_string(),
            address: address.map(|address| address.to_string()),
            stage: failure.stage,
            error: Some(failure.text.clone()),
            kind: Some(failure.kind),
            elapsed,
        });
        self.states_changed = true;
    }

    /// There are newer credentials: what earlier ones were refused is tried again (BOOT-14).
    pub(super) fn resume_hunts(&mut self) {
        for scope in self.scope_ids() {
            if self.is_stopped(scope) {
                self.drop_hunt(scope);
                self.start_hunt(scope);
            } else if let Some(hunt) = &mut self.scope_mut(scope).hunt {
                for target in &mut hunt.targets {
                    target.round.refused = false;
                }
            }
        }
    }

    /// The scope has its map, by `winner`: other attempts end. The cluster's connection stays as the idle one.
    pub(super) fn end_hunt(&mut self, scope: ScopeId, winner: u32) {
        let Some(hunt) = self.scope_mut(scope).hunt.take() else { return };
        let by_manager = self.link(winner).is_some_and(|link| link.errand.is_some());
        if by_manager && hunt.targets.iter().any(|target| !target.over_http && target.round.unreachable) {
            info!(
                "no data node was reached, the cluster map is a manager's: seeds that are data nodes are faster"
            );
        }
        for index in hunt.running {
            let speaks_kv = self.link(index).is_some_and(|link| link.errand.is_none());
            if index == winner && scope == ScopeId::Cluster && speaks_kv {
                if let Some(link) = self.link_mut(index) {
                    link.role = Role::Idle;
                    link.config_retry = None;
                }
                self.arm(index);
            } else if self.link(index).is_some_and(|link| matches!(link.role, Role::Seed { .. })) {
                self.remove_link(index);
            }
        }
        self.states_changed = true;
    }

    /// A node serves the bucket and has no map of it: the manager has to be asked (BOOT-17).
    pub(super) fn hunt_without_map(&mut self, scope: ScopeId, target: usize) {
        if let Some(target) =
            self.scope_mut(scope).hunt.as_mut().and_then(|hunt| hunt.targets.get_mut(target))
        {
            target.round.mapless = true;
        }
        // Where no manager is known, the cluster's map names them.
        let knows_manager = self.config.options.bootstrap_on == BootstrapOn::Cccp
            || self.scope(scope).hunt.as_ref().is_some_and(|hunt| hunt.targets.iter().any(|it| it.over_http));
        if !knows_manager && self.cluster.map.is_none() && self.cluster.hunt.is_none() && !self.mapless {
            self.start_hunt(ScopeId::Cluster);
        }
        self.hunt_tick(scope);
    }

    /// Without any bucket the cluster has a connection of its own.
    pub(super) fn want_cluster_link(&mut self) {
        if self.buckets.is_empty() && self.idle_link().is_none() && self.cluster.hunt.is_none() {
            self.start_hunt(ScopeId::Cluster);
        }
    }

    /// Whether the hunt has been given up for good.
    pub(super) fn is_stopped(&self, scope: ScopeId) -> bool {
        self.scope(scope).hunt.as_ref().is_some_and(|hunt| hunt.stopped)
    }
}

const fn is_dialling(link: &Link) -> bool {
    matches!(link.phase, Phase::Resolving { .. } | Phase::Dialing { .. })
}
