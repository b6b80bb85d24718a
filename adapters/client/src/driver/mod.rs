//! The driver: one future that owns the engine, its sockets and its timer.
//!
//! A turn takes what came (commands, ready sockets), hands it to the engine, does what the engine says until it waits,
//! and sets the timer. Rules:
//! - Only readiness is awaited, so nothing is lost between turns. A wake costs the sources that are ready.
//! - The clock decides what is due; the timer only wakes, and is set again only for an earlier instant or after it fired.
//! - Work per source and turn is bounded, and so are turns per poll: a flood on one connection starves neither timers
//!   nor the other tasks of the runtime.
//! - Every error of a socket but "interrupted" ends its connection at once; what was written is reported before.
//! - When the runtime drops the driver, everything that waits fails (LIFE-5).

mod backlog;
mod link;
mod table;

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use settee::engine::{
    BucketRef, CollectionRef, ConnId, Dial, Engine, Event, Input, LinkError, Lookup, LookupError, LookupId,
    OpKind, Operation, Output, RejectReason, Rejected, Response,
};
use settee::error::{ErrorKind, OpError};

use self::backlog::Backlog;
use self::link::Link;
use self::table::Table;
use crate::mailbox::{Command, Mailbox, Message, Request, Signal, Source, Target};
use crate::names::CollectionName;
use crate::runtime::{BoxFuture, Runtime, SocketOptions, Timer};
use crate::slot::Slot;

/// One buffer, shared by all connections: the engine copies what it retains.
const READ_BUFFER: usize = 256 * 1024;
/// Reads of one connection in one turn.
const READS_PER_TURN: usize = 4;
/// How often one turn goes around engine, writes and due timers.
const ROUNDS_PER_TURN: usize = 32;
/// Turns in one poll, before other tasks get their chance.
const TURNS_PER_POLL: usize = 8;

/// What the driver has done so far.
///
/// For tests and tuning: an idle cluster makes hardly any turns, and under load one write carries many operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopCounters {
    /// Turns of the loop.
    pub turns: u64,
    /// Reads that returned bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
}

/// Where the driver publishes its [`LoopCounters`], once a turn.
#[derive(Debug, Default)]
pub(crate) struct Published {
    turns: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Published {
    pub(crate) fn read(&self) -> LoopCounters {
        LoopCounters {
            turns: self.turns.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    fn publish(&self, counters: &LoopCounters) {
        self.turns.store(counters.turns, Ordering::Relaxed);
        self.reads.store(counters.reads, Ordering::Relaxed);
        self.writes.store(counters.writes, Ordering::Relaxed);
    }
}

/// See the module's text.
pub(crate) struct Driver<R: Runtime> {
    runtime: R,
    engine: Engine,
    mailbox: Arc<Mailbox>,
    /// Taken from the mailbox and being worked off.
    messages: Vec<Message>,
    /// Likewise; between turns, what needs another one.
    ready: Vec<Source>,
    again: Vec<Source>,
    table: Table,
    backlog: Backlog,
    /// The engine refused an operation and has not said [`Event::Writable`] since.
    full: bool,
    /// Futures that wait for the end of the shutdown.
    closers: Vec<Arc<Slot>>,
    shutting_down: bool,
    links: Vec<Option<Link<R::Stream>>>,
    /// Connections that may take bytes.
    writes: Vec<usize>,
    lookups: Vec<Option<LookupTask>>,
    buffer: Vec<u8>,
    alarm: Alarm<R::Timer>,
    /// When the engine wants to be called.
    wait: Option<Instant>,
    /// Results delivered since the last burst of commands.
    delivered: usize,
    gathered: bool,
    counters: LoopCounters,
    published: Arc<Published>,
}

struct LookupTask {
    lookup: LookupId,
    answer: BoxFuture<io::Result<Vec<IpAddr>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

struct Alarm<T> {
    timer: Option<T>,
    /// What the timer will wake for; `None`: it has fired, or was never set.
    armed: Option<Instant>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl<R: Runtime> Driver<R> {
    pub(crate) fn new(
        runtime: R,
        engine: Engine,
        mailbox: Arc<Mailbox>,
        published: Arc<Published>,
        kv_timeout: Duration,
        kv_durable_timeout: Duration,
    ) -> Self {
        let signal = Signal::new(&mailbox, Source::Timer);
        let waker = Waker::from(Arc::clone(&signal));
        Self {
            runtime,
            engine,
            mailbox,
            messages: Vec::new(),
            ready: Vec::new(),
            again: Vec::new(),
            table: Table::default(),
            backlog: Backlog::new(kv_timeout, kv_durable_timeout),
            full: false,
            closers: Vec::new(),
            shutting_down: false,
            links: Vec::new(),
            writes: Vec::new(),
            lookups: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            alarm: Alarm { timer: None, armed: None, signal, waker },
            wait: None,
            delivered: 0,
            gathered: false,
            counters: LoopCounters::default(),
            published,
        }
    }

    /// Runs until the engine is closed.
    pub(crate) fn run(mut self) -> impl Future<Output = ()> + Send {
        poll_fn(move |cx| self.poll(cx))
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.should_gather() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for _ in 0..TURNS_PER_POLL {
            self.turn();
            if self.engine.is_closed() {
                self.end();
                return Poll::Ready(());
            }
            if self.again.is_empty() && self.mailbox.park(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether to let the runtime's other tasks go first, once: each result that was delivered has made a task runnable
    /// that is likely to ask for more, and one write for all their requests costs much less than one for each. Some
    /// runtimes run a woken task before those that wait already, so that the driver would come after the first of them.
    fn should_gather(&mut self) -> bool {
        let gather = !self.gathered && self.delivered > 1 && {
            let waiting = self.mailbox.len();
            waiting > 0 && waiting < self.delivered
        };
        self.gathered = gather;
        gather
    }

    fn turn(&mut self) {
        let now = self.runtime.now();
        self.counters.turns += 1;
        mem::swap(&mut self.ready, &mut self.again);
        let mut came = mem::take(&mut self.again);
        self.mailbox.take(&mut self.messages, &mut came);
        self.ready.append(&mut came);
        self.again = came;

        if !self.messages.is_empty() {
            self.delivered = 0;
        }
        let mut messages = mem::take(&mut self.messages);
        for message in messages.drain(..) {
            self.obey(message, now);
        }
        self.messages = messages;
        let mut ready = mem::take(&mut self.ready);
        for source in ready.drain(..) {
            match source {
                Source::Link(index) => self.serve_link(index, now),
                Source::Lookup(place) => self.serve_lookup(place, now),
                Source::Timer => self.alarm.serve(&mut self.again),
            }
        }
        self.ready = ready;
        self.settle(now);
        if !self.engine.is_closed() {
            let wait = [self.wait, self.backlog.sweep(now)].into_iter().flatten().min();
            self.alarm.arm(wait, &self.runtime, &mut self.again);
        }
        self.published.publish(&self.counters);
    }

    // Commands.

    fn obey(&mut self, message: Message, now: Instant) {
        match message {
            Message::Command(Command::Operate(request), slot) => self.operate(request, slot, now),
            Message::Command(Command::Bootstrap, slot) => {
                let op = self.engine.bootstrap(now);
                self.table.insert(op, slot);
            }
            Message::Command(Command::WaitUntilReady { bucket, desired, timeout }, slot) => {
                let bucket = bucket.map(|name| self.open_bucket(&name, now));
                let op = self.engine.wait_until_ready(bucket, desired, timeout, now);
                self.table.insert(op, slot);
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
        if !mem::replace(&mut self.shutting_down, true) {
            self.engine.shut_down(drain, now);
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

    fn submit_backlog(&mut self, now: Instant) {
        while !self.full {
            let Some((operation, slot)) = self.backlog.pop(now) else { break };
            if let Some((operation, slot)) = self.submit(operation, slot, now) {
                self.full = true;
                self.backlog.push_back_to_front(operation, slot, now);
            }
        }
    }

    // The world.

    fn serve_link(&mut self, index: usize, now: Instant) {
        let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) else { return };
        let conn = link.conn;
        link.begin();
        if link.is_dialing() {
            match link.poll_dial() {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => self.engine.handle_input(Input::Connected { conn }, now),
                Poll::Ready(Err(error)) => return self.lose(index, LinkError::from(&error), now),
            }
        }
        if link.wants_write {
            self.writes.push(index);
        }
        for _ in 0..READS_PER_TURN {
            match link.poll_read(&mut self.buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.lose(index, LinkError::Closed, now),
                Poll::Ready(Ok(len)) => {
                    self.counters.reads += 1;
                    let data = self.buffer.get(..len).unwrap_or_default();
                    self.engine.handle_input(Input::Received { conn, data }, now);
                }
                Poll::Ready(Err(error)) if may_go_on(&error) => {}
                Poll::Ready(Err(error)) => return self.lose(index, LinkError::from(&error), now),
            }
        }
        self.again.push(Source::Link(index));
    }

    fn write_links(&mut self, now: Instant) {
        let mut writes = mem::take(&mut self.writes);
        for index in writes.drain(..) {
            let Some(link) =
                self.links.get_mut(index).and_then(Option::as_mut).filter(|link| link.may_write())
            else {
                continue;
            };
            let conn = link.conn;
            match link.poll_write(self.engine.transmit(conn)) {
                Poll::Pending | Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(len))) => {
                    self.counters.writes += 1;
                    // The engine asks again for what is left.
                    link.wants_write = false;
                    self.engine.handle_input(Input::Written { conn, len }, now);
                }
                Poll::Ready(Err(error)) if may_go_on(&error) => self.again.push(Source::Link(index)),
                Poll::Ready(Err(error)) => self.lose(index, LinkError::from(&error), now),
            }
        }
        // Nothing was pushed meanwhile: `settle` alone asks for writes.
        self.writes = writes;
    }

    fn lose(&mut self, index: usize, why: LinkError, now: Instant) {
        if let Some(link) = self.links.get_mut(index).and_then(Option::take) {
            self.engine.handle_input(Input::Lost { conn: link.conn, why }, now);
        }
    }

    fn serve_lookup(&mut self, place: usize, now: Instant) {
        let Some(task) = self.lookups.get_mut(place).and_then(Option::as_mut) else { return };
        task.signal.clear();
        let Poll::Ready(answer) = task.answer.as_mut().poll(&mut Context::from_waker(&task.waker)) else {
            return;
        };
        let lookup = task.lookup;
        if let Some(task) = self.lookups.get_mut(place) {
            *task = None;
        }
        let answer = match &answer {
            Ok(addresses) if addresses.is_empty() => Err(LookupError::NotFound),
            Ok(addresses) => Ok(addresses.as_slice()),
            Err(error) => Err(lookup_error(error)),
        };
        self.engine.handle_input(Input::LookedUp { lookup, answer }, now);
    }

    // What the engine says.

    /// Does what the engine says until it waits for something that has not come yet.
    fn settle(&mut self, now: Instant) {
        for _ in 0..ROUNDS_PER_TURN {
            self.wait = self.drain();
            if self.wait.is_some_and(|at| at <= now) {
                self.engine.handle_timeout(now);
            } else if !self.full && !self.backlog.is_empty() {
                self.submit_backlog(now);
            } else if !self.writes.is_empty() {
                self.write_links(now);
            } else {
                return;
            }
        }
        // Still busy: go on in the next turn, for which any source will do.
        self.wait = self.drain();
        self.again.push(Source::Timer);
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Connect(dial) => self.dial(dial),
                Output::Disconnect(conn) => self.hang_up(conn),
                Output::Transmit(conn) => self.want_write(conn),
                Output::Lookup(lookup) => self.look_up(lookup),
                Output::Event(event) => self.deliver(event),
                Output::Wait(at) => return at,
                other => crate::trace::debug!("an output that this driver does not know: {other:?}"),
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let options = SocketOptions::new(dial.nodelay, dial.keepalive);
        let link = Link::new(dial.conn, self.runtime.connect(dial.address, options), &self.mailbox);
        let index = dial.conn.index();
        if self.links.len() <= index {
            self.links.resize_with(index + 1, || None);
        }
        if let Some(place) = self.links.get_mut(index) {
            *place = Some(link);
        }
        self.again.push(Source::Link(index));
    }

    fn hang_up(&mut self, conn: ConnId) {
        if let Some(place) = self.links.get_mut(conn.index()) {
            place.take_if(|link| link.conn == conn);
        }
    }

    fn want_write(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(conn.index()).and_then(Option::as_mut) else { return };
        if link.conn == conn {
            link.wants_write = true;
            if link.may_write() {
                self.writes.push(conn.index());
            }
        }
    }

    fn look_up(&mut self, lookup: Lookup) {
        let answer = self.runtime.lookup(lookup.name);
        let place = self.lookups.iter().position(Option::is_none).unwrap_or(self.lookups.len());
        let signal = Signal::new(&self.mailbox, Source::Lookup(place));
        let waker = Waker::from(Arc::clone(&signal));
        let task = Some(LookupTask { lookup: lookup.lookup, answer, signal, waker });
        match self.lookups.get_mut(place) {
            Some(free) => *free = task,
            None => self.lookups.push(task),
        }
        self.again.push(Source::Lookup(place));
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Completed { op, result } => {
                if let Some(slot) = self.table.remove(op) {
                    self.delivered += 1;
                    slot.complete(result);
                }
            }
            Event::Writable => self.full = false,
            Event::Orphan(orphan) => crate::trace::debug!("an answer that nobody waits for: {orphan:?}"),
            Event::MapChanged(map) => crate::trace::trace!("a newer cluster map: {map:?}"),
            Event::Closed => self.release_closers(),
            other => crate::trace::debug!("an event that this driver does not know: {other:?}"),
        }
    }

    // The end.

    fn release_closers(&mut self) {
        for slot in self.closers.drain(..) {
            slot.complete(Ok(Response::Ready));
        }
    }

    /// Fails everything that waits, and lets nothing more in. Harmless when nothing does.
    fn end(&mut self) {
        let left = self.mailbox.close();
        self.links.clear();
        self.lookups.clear();
        for message in self.messages.drain(..).chain(left) {
            reject(message);
        }
        for slot in self.table.drain() {
            let mut error = OpError::with_detail(ErrorKind::RequestCanceled, "the client's task was ended");
            // The engine knows better which of them were sent; it is gone.
            error.context_mut().may_have_happened = true;
            slot.complete(Err(error));
        }
        for slot in self.backlog.drain() {
            slot.complete(Err(OpError::with_detail(
                ErrorKind::RequestCanceled,
                "never sent: the client was closed",
            )));
        }
        self.release_closers();
    }
}

impl<R: Runtime> Drop for Driver<R> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<T: Timer> Alarm<T> {
    /// Sets the timer if it would come too late or not at all.
    fn arm<R: Runtime<Timer = T>>(&mut self, at: Option<Instant>, runtime: &R, again: &mut Vec<Source>) {
        let Some(at) = at else { return };
        if self.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        self.armed = Some(at);
        match &mut self.timer {
            Some(timer) => timer.reset(at),
            None => self.timer = Some(runtime.timer(at)),
        }
        self.serve(again);
    }

    /// Polls the timer, so that it wakes, or notes that it has fired.
    fn serve(&mut self, again: &mut Vec<Source>) {
        self.signal.clear();
        let Some(timer) = self.timer.as_mut().filter(|_| self.armed.is_some()) else { return };
        if timer.poll_fired(&mut Context::from_waker(&self.waker)).is_ready() {
            self.armed = None;
            // Another turn looks at the clock.
            again.push(Source::Timer);
        }
    }
}

/// Ends what a message asks for, for want of a driver.
pub(crate) fn reject(message: Message) {
    let Message::Command(command, slot) = message else { return };
    slot.complete(match command {
        Command::Close { .. } => Ok(Response::Ready),
        Command::Operate(request) => Err(closed(&request.kind)),
        Command::Bootstrap | Command::WaitUntilReady { .. } => {
            Err(OpError::with_detail(ErrorKind::ClusterClosed, "open a new cluster to go on"))
        }
    });
}

fn closed(kind: &OpKind) -> OpError {
    let mut error = OpError::with_detail(ErrorKind::ClusterClosed, "nothing was sent");
    error.context_mut().operation = kind.name();
    error
}

/// The errors that say nothing about the connection.
fn may_go_on(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// The standard library gives a resolver's answer as text only; these are the words of the common C libraries and of
/// Windows for a name without addresses.
fn lookup_error(error: &io::Error) -> LookupError {
    const NOT_FOUND: [&str; 5] = [
        "not known",
        "does not resolve",
        "No such host",
        "No address associated",
        "no data of the requested type",
    ];
    match error.kind() {
        io::ErrorKind::TimedOut => LookupError::TimedOut,
        io::ErrorKind::NotFound => LookupError::NotFound,
        _ => {
            let text = error.to_string();
            if NOT_FOUND.iter().any(|words| text.contains(words)) {
                LookupError::NotFound
            } else {
                LookupError::Failed
            }
        }
    }
}
