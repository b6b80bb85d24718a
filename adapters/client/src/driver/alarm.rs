//! The one timer of a driver.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use crate::mailbox::{Mailbox, Signal, Source};
use crate::runtime::{Runtime, Timer};

pub(super) struct Alarm<T> {
    timer: Option<T>,
    /// What the timer will wake for; `None`: it has fired, or was never set.
    armed: Option<Instant>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl<T: Timer> Alarm<T> {
    pub(super) fn new(mailbox: &Arc<Mailbox>) -> Self {
        let signal = Signal::new(mailbox, Source::Timer);
        let waker = Waker::from(Arc::clone(&signal));
        Self { timer: None, armed: None, signal, waker }
    }

    /// Sets the timer if it would come too late or not at all.
    pub(super) fn arm<R: Runtime<Timer = T>>(
        &mut self,
        at: Option<Instant>,
        runtime: &R,
        again: &mut Vec<Source>,
    ) {
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
    pub(super) fn serve(&mut self, again: &mut Vec<Source>) {
        self.signal.clear();
        let Some(timer) = self.timer.as_mut().filter(|_| self.armed.is_some()) else { return };
        if timer.poll_fired(&mut Context::from_waker(&self.waker)).is_ready() {
            self.armed = None;
            // Another turn looks at the clock.
            again.push(Source::Timer);
        }
    }
}
