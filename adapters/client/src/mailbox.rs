//! How handles, sockets and timers reach the driver: one queue of commands, one list of what became ready, one waker.
//!
//! The driver swaps both out whole and works; before it sleeps it leaves its waker. The first entry after that takes the
//! waker, so that a burst of a thousand operations wakes the driver once, and entries that come while it works do not
//! wake it at all: it looks again before it sleeps.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use settee::engine::{CollectionRef, DesiredState, Engine, OpKind, RetryStrategy};
use settee::key::Key;
use settee::map::Service;

use crate::health::PingCommand;
use crate::names::CollectionName;
use crate::reply::Reply;
use crate::slot::Slot;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Message {
    /// Do something and complete the slot.
    Command(Command, Arc<Slot>),
    /// The slot's future was dropped.
    Cancel(Arc<Slot>),
    /// The last handle was dropped.
    HandlesDropped,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// An operation on a document.
    Operate(Request),
    /// Complete at the first map or a definite error.
    Bootstrap,
    /// Complete when the cluster, or the bucket, is in a state, and services answer if they are to be asked.
    WaitUntilReady {
        bucket: Option<Arc<str>>,
        desired: DesiredState,
        services: Vec<Service>,
        timeout: Duration,
    },
    /// Ask endpoints.
    Ping(Box<PingCommand>),
    /// Something that the engine answers at once.
    Ask(Question),
    /// Shut down, completing when everything has ended.
    Close { drain: Duration },
}

/// See [`Command::Ask`].
pub(crate) struct Question(Box<Ask>);

type Ask = dyn FnOnce(&mut Engine, Instant) -> Reply + Send;

impl Question {
    pub(crate) fn new(ask: impl FnOnce(&mut Engine, Instant) -> Reply + Send + 'static) -> Self {
        Self(Box::new(ask))
    }

    pub(crate) fn ask(self, engine: &mut Engine, now: Instant) -> Reply {
        (self.0)(engine, now)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}

/// An operation on a document, as a handle hands it in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) target: Target,
    pub(crate) key: Key,
    pub(crate) kind: OpKind,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: RetryStrategy,
}

/// The collection of a request.
#[derive(Debug)]
pub(crate) enum Target {
    /// The engine knows it.
    Known(CollectionRef),
    /// It has not been used yet: the driver introduces it.
    Named(Arc<CollectionName>),
}

/// Something that the driver polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A connection, by its index.
    Link(usize),
    /// A name look-up, by its place.
    Lookup(usize),
    /// A UDP socket, by its place.
    Query(usize),
    /// The timer.
    Timer,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    ready: Vec<Source>,
    /// The driver's, while it sleeps.
    waker: Option<Waker>,
    closed: bool,
}

impl Mailbox {
    /// Hands in a message.
    ///
    /// # Errors
    /// The message, if there is no driver any more.
    pub(crate) fn post(&self, message: Message) -> Result<(), Box<Message>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(message));
        }
        state.messages.push(message);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// The driver takes everything; both vectors must be empty and come back full.
    pub(crate) fn take(&self, messages: &mut Vec<Message>, ready: &mut Vec<Source>) {
        let mut state = self.lock();
        state.waker = None;
        mem::swap(&mut state.messages, messages);
        mem::swap(&mut state.ready, ready);
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// The driver goes to sleep, unless something has come: then `false`.
    pub(crate) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if !state.messages.is_empty() || !state.ready.is_empty() {
            return false;
        }
        state.waker = Some(waker.clone());
        true
    }

    /// Ends the mailbox and returns what nobody will do.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.waker.take();
        let left = mem::take(&mut state.messages);
        drop(state);
        drop(waker);
        left
    }

    fn ring(&self, source: Source) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.ready.push(source);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and the state is valid at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one source: it puts the source on the ready list, once until the source is served, so that a wake
/// costs the ready sources and not all of them.
#[derive(Debug)]
pub(crate) struct Signal {
    mailbox: Arc<Mailbox>,
    source: Source,
    rung: AtomicBool,
}

impl Signal {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, source: Source) -> Arc<Self> {
        Arc::new(Self { mailbox: Arc::clone(mailbox), source, rung: AtomicBool::new(false) })
    }

    /// To be called before the source is polled: later wakes count.
    pub(crate) fn clear(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.mailbox.ring(self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn message() -> Message {
        Message::Command(Command::Bootstrap, Arc::new(Slot::new(None)))
    }

    #[test]
    fn a_burst_wakes_once_and_the_working_driver_not_at_all() {
        let mailbox = Mailbox::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        assert!(mailbox.park(&waker));
        for _ in 0..1000 {
            mailbox.post(message()).unwrap();
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);

        let (mut messages, mut ready) = (Vec::new(), Vec::new());
        mailbox.take(&mut messages, &mut ready);
        assert_eq!((messages.len(), ready.len()), (1000, 0));
        mailbox.post(message()).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(!mailbox.park(&waker), "what came in between must not be slept over");
    }

    #[test]
    fn a_source_is_listed_once_until_it_is_served() {
        let mailbox = Arc::new(Mailbox::default());
        let signal = Signal::new(&mailbox, Source::Link(3));
        let waker = Waker::from(Arc::clone(&signal));
        waker.wake_by_ref();
        waker.wake_by_ref();
        let (mut messages, mut ready) = (Vec::new(), Vec::new());
        mailbox.take(&mut messages, &mut ready);
        assert_eq!(ready, [Source::Link(3)]);
        ready.clear();
        waker.wake_by_ref();
        assert!(mailbox.park(Waker::noop()), "still listed as being served");
        signal.clear();
        waker.wake_by_ref();
        assert!(!mailbox.park(Waker::noop()));
    }

    #[test]
    fn a_closed_mailbox_gives_messages_back() {
        let mailbox = Mailbox::default();
        mailbox.post(message()).unwrap();
        assert_eq!(mailbox.close().len(), 1);
        assert!(mailbox.post(message()).is_err());
    }
}
