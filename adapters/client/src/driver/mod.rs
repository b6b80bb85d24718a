//! The driver: one future that owns the engine, its sockets and its timer.
//!
//! A turn takes what came (commands, ready sockets), hands it to the engine, does what the engine says until it waits,
//! and sets the timer. Rules:
//! - Only readiness is awaited, so nothing is lost between turns. A wake costs the sources that are ready.
//! - The clock decides what is due; the timer only wakes, and is set again only for an earlier instant or after it fired.
//! - Work per source and turn is bounded, and each poll is one turn: a flood on one connection starves neither timers
//!   nor the other tasks of the runtime.
//! - Every error of a socket but "interrupted" ends its connection at once; what was written is reported before.
//! - When the runtime drops the driver, everything that waits fails (LIFE-5).

mod alarm;
mod backlog;
mod commands;
mod link;
mod lookups;
mod queries;
mod table;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use commands::reject;

use std::future::{Future, poll_fn};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use settee::engine::{Engine, LookupId, QueryId, Response};
use settee::error::{ErrorKind, OpError};

use self::alarm::Alarm;
use self::backlog::Backlog;
use self::link::Link;
use self::lookups::Lookups;
use self::queries::Queries;
use self::table::Table;
use crate::mailbox::{Mailbox, Message, Source};
use crate::reply::Reply;
use crate::runtime::Runtime;
use crate::slot::Slot;

/// One buffer, shared by all connections: the engine copies what it retains.
const READ_BUFFER: usize = 256 * 1024;
/// The least that is read at once.
const READ_MIN: usize = 16 * 1024;
/// At least so many answers are read at once where they have come: fewer would not pay for the calls.
const ANSWERS_PER_READ: usize = 32;
/// How often a turn is put off for the sake of a larger burst.
const MAX_GATHERS: usize = 8;

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
    lookups: Lookups<LookupId>,
    queries: Queries<QueryId>,
    buffer: Vec<u8>,
    alarm: Alarm<R::Timer>,
    /// When the engine wants to be called.
    wait: Option<Instant>,
    /// How many operations were under way after the last commands.
    crowd: usize,
    /// How many commands waited when the driver last let others go first, and how often it has done so.
    gathered: usize,
    gathers: usize,
    /// Bytes and answers of this turn, and what an answer weighs.
    received: usize,
    answered: usize,
    answer_size: usize,
    counters: LoopCounters,
    published: Arc<Published>,
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
        let alarm = Alarm::new(&mailbox);
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
            lookups: Lookups::new(),
            queries: Queries::new(),
            buffer: vec![0; READ_BUFFER],
            alarm,
            wait: None,
            crowd: 0,
            received: 0,
            answered: 0,
            answer_size: 0,
            gathered: 0,
            gathers: 0,
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
        self.turn();
        if self.engine.is_closed() {
            self.end();
            return Poll::Ready(());
        }
        // One turn a poll: those whose answers have come ask for more while the rest of the answers is read.
        if !self.again.is_empty() || !self.mailbox.park(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// How much to read at once: half of the answers that are due, so that the server works on what their receivers ask
    /// next while the other half is read.
    pub(super) fn read_limit(&self) -> usize {
        let answers = (self.crowd / 2).max(ANSWERS_PER_READ);
        answers.saturating_mul(self.answer_size).clamp(READ_MIN, READ_BUFFER)
    }

    /// What an answer weighs, by those of late.
    fn weigh(&mut self) {
        let (bytes, answers) = (mem::take(&mut self.received), mem::take(&mut self.answered));
        if let Some(size) = bytes.checked_div(answers) {
            self.answer_size = (self.answer_size.saturating_mul(7).saturating_add(size)) / 8;
        }
    }

    /// Whether to let the runtime's other tasks go first. Where many operations were under way lately, the results of the
    /// last reads have made many tasks runnable that are likely to ask for more, and one write for all their requests
    /// costs much less than one for each. Some runtimes run a woken task before those that wait already, so that the driver
    /// would come after the first of them.
    ///
    /// Ends when it brings nothing more, and after a few times in any case. A lone caller is never kept waiting.
    fn should_gather(&mut self) -> bool {
        if self.crowd > 1 && self.gathers < MAX_GATHERS {
            let waiting = self.mailbox.len();
            if waiting > self.gathered && waiting < self.crowd {
                self.gathered = waiting;
                self.gathers += 1;
                return true;
            }
        }
        self.gathered = 0;
        self.gathers = 0;
        false
    }

    fn turn(&mut self) {
        let now = self.runtime.now();
        self.counters.turns += 1;
        mem::swap(&mut self.ready, &mut self.again);
        let mut came = mem::take(&mut self.again);
        self.mailbox.take(&mut self.messages, &mut came);
        self.ready.append(&mut came);
        self.again = came;

        let mut messages = mem::take(&mut self.messages);
        let commanded = !messages.is_empty();
        for message in messages.drain(..) {
            self.obey(message, now);
        }
        self.messages = messages;
        if commanded {
            self.crowd = self.table.len();
            // What was asked for goes out before answers are read, so that the server works meanwhile.
            self.settle(now);
        }
        let mut ready = mem::take(&mut self.ready);
        for source in ready.drain(..) {
            match source {
                Source::Link(index) => self.serve_link(index, now),
                Source::Lookup(place) => self.serve_lookup(place, now),
                Source::Query(place) => self.serve_query(place, now),
                Source::Timer => self.alarm.serve(&mut self.again),
            }
        }
        self.ready = ready;
        self.settle(now);
        self.weigh();
        if !self.engine.is_closed() {
            let wait = [self.wait, self.backlog.sweep(now)].into_iter().flatten().min();
            self.alarm.arm(wait, &self.runtime, &mut self.again);
        }
        self.published.publish(&self.counters);
    }

    fn release_closers(&mut self) {
        for slot in self.closers.drain(..) {
            slot.complete(Ok(Reply::Response(Response::Ready)));
        }
    }

    /// Fails everything that waits, and lets nothing more in. Harmless when nothing does.
    fn end(&mut self) {
        let left = self.mailbox.close();
        self.links.clear();
        self.lookups.clear();
        self.queries.clear();
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
