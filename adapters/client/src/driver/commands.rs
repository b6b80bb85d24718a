//! What handles ask for.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settee::engine::{
    BucketRef, CollectionRef, OpKind, Operation, PingRequest, ReadyRequest, RejectReason, Rejected, Response,
};
use settee::error::{ErrorKind, OpError};

use super::Driver;
use crate::health::PingCommand;
use crate::mailbox::{Command, Message, Request, Target};
use crate::names::CollectionName;
use crate::reply::Reply;
use crate::runtime::Runtime;
use crate::slot::Slot;

impl<R: Runtime> Driver<R> {
    pub(super) fn obey(&mut self, message: Message, now: Instant) {
        match message {
            Message::Command(Command::Operate(request), slot) => self.operate(request, slot, now),
            Message::Command(Command::Bootstrap, slot) => {
                let op = self.engine.bootstrap(now);
                self.table.insert(op, slot);
            }
            Message::Command(Command::WaitUntilReady { bucket, desired, services, timeout }, slot) => {
                let bucket = bucket.map(|name| self.open_bucket(&name, now));
                let request = ReadyRequest { bucket, desired, services, timeout };
                let op = self.engine.wait_until_ready_with(request, now);
                self.table.insert(op, slot);
            }
            Message::Command(Command::Ping(ping), slot) => {
                let PingCommand { bucket, services, id, timeout } = *ping;
                let bucket = bucket.map(|name| self.open_bucket(&name, now));
                let op = self.engine.ping(PingRequest { bucket, services, id, timeout }, now);
                self.table.insert(op, slot);
            }
            Message::Command(Command::Ask(question), slot) => {
                let reply = question.ask(&mut self.engine, now);
                slot.complete(Ok(reply));
            }
            Message::Command(Command::Close { drain }, slot) => {
                self.closers.push(slot);
                self.shut_down(drain, now);
            }
            Message::Cancel(slot) => match slot.op() {
                Some(op) => {
                    if self.table.remove(op).is_some() {
                        self.engine.cancel(op, now);
                    }
                }
                None => self.backlog.note_cancelled(),
            },
            Message::HandlesDropped => {
                if !self.shutting_down {
                    crate::trace::debug!("the last handle was dropped without close: shutting down");
                }
                self.shut_down(Duration::ZERO, now);
            }
        }
    }

    fn shut_down(&mut self, drain: Duration, now: Instant) {
        // Asked again, the engine takes the shorter time.
        self.engine.shut_down(drain, now);
        if !mem::replace(&mut self.shutting_down, true) {
            // What waits for room is refused by the engine, and fails.
            self.full = false;
        }
    }

    fn open_bucket(&mut self, name: &str, now: Instant) -> BucketRef {
        self.engine.open_bucket(name, now)
    }

    fn collection(&mut self, name: &CollectionName, now: Instant) -> CollectionRef {
        if let Some(known) = name.known.get() {
            return *known;
        }
        let bucket = self.open_bucket(&name.bucket, now);
        let collection = self.engine.collection(bucket, &name.scope, &name.collection);
        *name.known.get_or_init(|| collection)
    }

    fn operate(&mut self, request: Request, slot: Arc<Slot>, now: Instant) {
        if slot.is_abandoned() {
            return;
        }
        let collection = match &request.target {
            Target::Known(collection) => *collection,
            Target::Named(name) => self.collection(name, now),
        };
        let mut operation = Operation::new(collection, request.key, request.kind);
        operation.timeout = request.timeout;
        operation.retry = request.retry;
        if self.full && !self.shutting_down {
            self.backlog.push(operation, slot, now);
            return;
        }
        if let Some((operation, slot)) = self.submit(operation, slot, now) {
            self.full = true;
            self.backlog.push(operation, slot, now);
        }
    }

    /// Returns the operation that there is no room for.
    fn submit(
        &mut self,
        operation: Operation,
        slot: Arc<Slot>,
        now: Instant,
    ) -> Option<(Operation, Arc<Slot>)> {
        match self.engine.submit(operation, now) {
            Ok(op) => self.table.insert(op, slot),
            Err(Rejected { operation, why: RejectReason::Full, .. }) => return Some((operation, slot)),
            Err(Rejected { why: RejectReason::Invalid(error), .. }) => slot.complete(Err(error)),
            Err(Rejected { operation, .. }) => slot.complete(Err(closed(&operation.kind))),
        }
        None
    }

    pub(super) fn submit_backlog(&mut self, now: Instant) {
        while !self.full {
            let Some((operation, slot)) = self.backlog.pop(now) else { break };
            if let Some((operation, slot)) = self.submit(operation, slot, now) {
                self.full = true;
                self.backlog.push_back_to_front(operation, slot, now);
            }
        }
    }
}

/// Ends what a message asks for, for want of a driver.
pub(crate) fn reject(message: Message) {
    let Message::Command(command, slot) = message else { return };
    slot.complete(match command {
        Command::Close { .. } => Ok(Reply::Response(Response::Ready)),
        Command::Operate(request) => Err(closed(&request.kind)),
        Command::Bootstrap | Command::WaitUntilReady { .. } | Command::Ping(_) | Command::Ask(_) => {
            Err(OpError::with_detail(ErrorKind::ClusterClosed, "open a new cluster to go on"))
        }
    });
}

fn closed(kind: &OpKind) -> OpError {
    let mut error = OpError::with_detail(ErrorKind::ClusterClosed, "nothing was sent");
    error.context_mut().operation = kind.name();
    error
}
