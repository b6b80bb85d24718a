//! What the application of the script asks.

use std::time::{Duration, Instant};

use settee::auth::{Authenticator, BearerAuthenticator};
use settee::engine::{
    BucketRef, CollectionRef, DesiredState, Durability, OpId, OpKind, Operation, PingRequest, ReadyRequest,
    RejectReason,
};
use settee::map::Service;

use super::topology::BUCKETS;
use super::world::{Kind, Pending, World};
use super::{PASSWORD, settings, work};

/// With a durability level an operation gets at least this long.
const DURABLE_MIN: Duration = Duration::from_millis(1500);
/// Nobody needs more pings at a time, nor more waits that send some.
const PINGS: usize = 3;

impl World<'_> {
    pub(super) fn submit(&mut self) {
        let collection = match self.u.byte() {
            255 => CollectionRef::from_raw(1000),
            number if self.collections.is_empty() => CollectionRef::from_raw(number.into()),
            number => self.collections[usize::from(number) % self.collections.len()],
        };
        for _ in 0..1 + self.u.below(3) {
            let operation = work::operation(&mut self.u, collection);
            let options = &self.engine.config().options;
            let durable = operation.kind.durability() != Durability::None;
            let timeout = match operation.timeout {
                Some(timeout) if durable => timeout.max(DURABLE_MIN),
                Some(timeout) => timeout,
                None if durable => options.kv_durable_timeout,
                None => options.kv_timeout,
            };
            let deadline = self.now.checked_add(timeout.max(Duration::from_nanos(1)));
            let given = operation.clone();
            if self.was_full {
                // Which refusal a later word about room belongs to must be plain.
                self.drain();
            }
            match self.engine.submit(operation, self.now) {
                Ok(op) => {
                    assert!(!self.shut, "taken after the shut-down");
                    self.under_way(op, Kind::Operation, deadline);
                }
                Err(rejected) => {
                    assert_eq!(
                        (&rejected.operation.key, &rejected.operation.kind),
                        (&given.key, &given.kind)
                    );
                    match rejected.why {
                        RejectReason::Full => {
                            assert!(self.engine.operations() >= self.engine.config().max_operations);
                            self.was_full = true;
                        }
                        RejectReason::Closed => assert!(self.shut),
                        _ => {}
                    }
                }
            }
        }
    }

    fn under_way(&mut self, op: OpId, kind: Kind, deadline: Option<Instant>) {
        assert!(!self.ended.contains(&op), "an operation's id comes back");
        assert!(
            self.pending.insert(op, Pending { kind, deadline }).is_none(),
            "an operation's id is not its own"
        );
    }

    pub(super) fn cancel_one(&mut self) {
        let Some(&op) = self.pending.keys().nth(self.u.below(self.pending.len())) else {
            if let Some(&op) = self.ended.iter().nth(self.u.below(self.ended.len())) {
                self.engine.cancel(op, self.now);
            }
            return;
        };
        self.engine.cancel(op, self.now);
        self.pending.remove(&op);
        self.just_cancelled.insert(op);
    }

    pub(super) fn open(&mut self) {
        let name = self.u.of(&BUCKETS);
        let bucket = self.engine.open_bucket(name, self.now);
        if !self.buckets.contains(&bucket) {
            self.buckets.push(bucket);
        }
        let (scope, name) = self.u.of(&[("_default", "_default"), ("s", "c"), ("s", "d"), ("_default", "e")]);
        let collection = self.engine.collection(bucket, scope, name);
        if !self.collections.contains(&collection) {
            self.collections.push(collection);
        }
    }

    pub(super) fn watch(&mut self) {
        if self.u.one_in(3) {
            let timeout = self.engine.config().options.bootstrap_timeout;
            let op = self.engine.bootstrap(self.now);
            self.under_way(op, Kind::Watcher, self.now.checked_add(timeout));
            return;
        }
        let bucket = self.some_bucket();
        let desired = self.u.of(&[DesiredState::Online, DesiredState::Degraded]);
        let timeout = self.u.of(&work::TIMES);
        let op = self.engine.wait_until_ready(bucket, desired, timeout, self.now);
        self.under_way(op, Kind::Watcher, self.now.checked_add(timeout.max(Duration::from_nanos(1))));
    }

    pub(super) fn ping(&mut self) {
        let under_way = self.pending.values().filter(|pending| pending.kind == Kind::Ping).count();
        if under_way >= PINGS {
            return;
        }
        let timeout = self.u.one_in(2).then(|| self.u.of(&work::TIMES));
        let request = PingRequest {
            bucket: self.some_bucket(),
            services: self.services(),
            id: self.u.one_in(4).then(|| "mine".to_owned()),
            timeout,
        };
        let timeout = timeout.unwrap_or(self.engine.config().options.bootstrap_timeout);
        let op = self.engine.ping(request, self.now);
        self.under_way(op, Kind::Ping, self.now.checked_add(timeout.max(Duration::from_nanos(1))));
    }

    pub(super) fn watch_services(&mut self) {
        let under_way = self.pending.values().filter(|pending| pending.kind == Kind::Watcher).count();
        if under_way >= PINGS {
            return;
        }
        let timeout = self.u.of(&work::TIMES);
        let request = ReadyRequest {
            bucket: self.some_bucket(),
            desired: self.u.of(&[DesiredState::Online, DesiredState::Degraded]),
            services: self.services(),
            timeout,
        };
        let op = self.engine.wait_until_ready_with(request, self.now);
        self.under_way(op, Kind::Watcher, self.now.checked_add(timeout.max(Duration::from_nanos(1))));
    }

    fn some_bucket(&mut self) -> Option<BucketRef> {
        self.buckets.get(self.u.below(self.buckets.len() + 1)).copied()
    }

    /// All that are offered, or those that bits name.
    fn services(&mut self) -> Vec<Service> {
        let bits = if self.u.one_in(2) { 0 } else { self.u.byte() };
        let services = [
            Service::Kv,
            Service::Mgmt,
            Service::Views,
            Service::Query,
            Service::Search,
            Service::Analytics,
            Service::Index,
            Service::Backup,
        ];
        services.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, it)| it).collect()
    }

    /// Right and wrong passwords, and another kind of credentials, which is refused.
    pub(super) fn change_credentials(&mut self) {
        let (login, fits) = match self.u.below(4) {
            0 | 1 => (settings::login(PASSWORD), true),
            2 => (settings::login("wrong"), true),
            _ => {
                let token = BearerAuthenticator::new("a.b.c").expect("a token");
                (Authenticator::Bearer(token), false)
            }
        };
        assert_eq!(self.engine.set_authenticator(login, self.now).is_ok(), fits);
    }

    /// Nothing else is wanted any more, and the credentials are right.
    pub(super) fn read_after_trouble(&mut self) -> OpId {
        while let Some((&op, _)) = self.pending.first_key_value() {
            self.engine.cancel(op, self.now);
            self.pending.remove(&op);
            self.just_cancelled.insert(op);
        }
        self.engine.set_authenticator(settings::login(PASSWORD), self.now).expect("another password");
        let bucket = self.engine.open_bucket(BUCKETS[0], self.now);
        if !self.buckets.contains(&bucket) {
            self.buckets.push(bucket);
        }
        let collection = self.engine.collection(bucket, "_default", "_default");
        let mut operation = Operation::new(collection, "key", OpKind::Get);
        let timeout = Duration::from_secs(120);
        operation.timeout = Some(timeout);
        let op = self.engine.submit(operation, self.now).expect("there is room");
        self.under_way(op, Kind::Operation, Some(self.now + timeout));
        op
    }

    pub(super) fn replace_connections(&mut self) {
        self.engine.replace_connections(self.now);
    }

    pub(super) fn set_wall_clock(&mut self) {
        let time = self.u.of(&[Duration::ZERO, Duration::from_secs(1_800_000_000), Duration::MAX]);
        self.engine.set_unix_time(time, self.now);
    }

    pub(super) fn maybe_shut_down(&mut self) {
        if self.u.byte() < 200 {
            return;
        }
        let drain = if self.u.one_in(8) { Duration::MAX } else { self.u.of(&work::TIMES) };
        self.engine.shut_down(drain, self.now);
        self.shut = true;
    }
}
