//! What is due when, and the doing of it.

use super::link::earliest;
use super::{Closing, Engine, FAREWELL, WakeReason, table};
use crate::error::ErrorKind;
use std::time::Instant;

impl Engine {
    pub(super) fn next_wake(&self) -> (Option<Instant>, WakeReason) {
        if let Some(Closing::Farewell(until)) = self.closing {
            return (Some(until), WakeReason::ShutDown);
        }
        let mut earliest_of: (Option<Instant>, WakeReason) = (None, WakeReason::Idle);
        let mut consider = |at: Option<Instant>, reason| {
            if at.is_some() && earliest(earliest_of.0, at) == at && earliest_of.0 != at {
                earliest_of = (at, reason);
            }
        };
        consider(self.deadlines.next(), WakeReason::Deadline);
        consider(self.pauses.next(), WakeReason::Retry);
        consider(self.link_timers.next(), WakeReason::Connection);
        consider(self.salting_due(), WakeReason::Computation);
        consider(self.srv_due(), WakeReason::Bootstrap);
        consider(self.replacement_due(), WakeReason::Connection);
        for bucket in &self.buckets {
            consider(bucket.stream_at, WakeReason::Map);
            consider(bucket.stream_waiting.as_ref().map(|(at, ..)| *at), WakeReason::Map);
        }
        for scope in self.scope_ids() {
            consider(self.tracker_due(scope), WakeReason::Map);
            consider(self.hunt_due(scope), WakeReason::Bootstrap);
        }
        if let Some(Closing::Draining(until)) = self.closing {
            consider(Some(until), WakeReason::ShutDown);
        }
        earliest_of
    }

    /// Does what is due.
    pub(super) fn run_due(&mut self) {
        let now = self.now;
        if matches!(self.closing, Some(Closing::Farewell(_))) {
            self.run_farewell();
            return;
        }
        if !self.started && self.closing.is_none() {
            self.started = true;
            self.ask_srv_first();
            if self.seeds_are_known() {
                self.start_all_hunts();
            }
        }
        self.tick_srv();
        while let Some((index, serial, failure)) = self.failing.pop() {
            if self.link(index).is_some_and(|link| link.serial == serial) {
                self.fail_link(index, failure);
            }
        }
        while let Some(slot) = self.deadlines.pop_due(now) {
            self.on_deadline(slot);
        }
        while let Some(slot) = self.pauses.pop_due(now) {
            self.on_pause_over(slot);
        }
        while let Some(index) = self.link_timers.pop_due(now) {
            self.on_link_timer(index);
        }
        self.salt_slice();
        self.tick_replacement();
        for bucket in 0..self.buckets.len() as u32 {
            self.tick_stream(bucket);
            self.tick_waiting_map(bucket);
        }
        for scope in self.scope_ids() {
            self.tick_tracker(scope);
            if self.hunt_due(scope).is_some_and(|at| at <= now) {
                self.hunt_tick(scope);
            }
        }
        if std::mem::take(&mut self.states_changed) {
            self.run_rounds();
            self.check_watchers();
        }
        self.run_closing();
    }

    fn run_closing(&mut self) {
        let Some(Closing::Draining(until)) = self.closing else { return };
        // Whoever waits for a state waits in vain; that does not hold up the rest.
        for id in std::mem::take(&mut self.watchers) {
            let error = self.error(id, ErrorKind::ClusterClosed, None);
            self.complete(id, Err(error));
        }
        if self.ops.len() > 0 && until > self.now {
            return;
        }
        for id in self.ops.ids() {
            let sent = self.ops.get(id).is_some_and(|op| {
                op.place == table::Place::Sent
                    && matches!(&op.work, table::Work::Kv(operation) if !operation.kind.is_idempotent())
            });
            let mut error = self.error(id, ErrorKind::RequestCanceled, Some("the cluster was closed".into()));
            error.context_mut().may_have_happened = sent;
            self.complete(id, Err(error));
        }
        for scope in self.scope_ids() {
            self.scope_mut(scope).hunt = None;
        }
        self.closing = Some(Closing::Farewell(self.after(FAREWELL)));
        self.forget_srv();
        for index in self.link_indexes() {
            if !self.say_farewell(index) {
                self.remove_link(index);
            }
        }
        self.run_farewell();
    }
}
