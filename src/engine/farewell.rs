//! The end of an engine: TLS sessions say that they end, then the connections close (LIFE-3).

use super::link::{Link, Phase};
use super::{Closing, Engine, Event, Input, Output};

impl Engine {
    /// Ends a link's TLS session; whether there is something to be written for that.
    pub(super) fn say_farewell(&mut self, index: u32) -> bool {
        self.link_timers.clear(index);
        let Some(Phase::Live { conn, tls: Some(tls), .. }) = self.link_mut(index).map(|link| &mut link.phase)
        else {
            return false;
        };
        if !tls.open {
            return false;
        }
        tls.session.close_notify();
        let conn = *conn;
        self.outputs.push_back(Output::Transmit(conn));
        true
    }

    /// All that counts towards the end: what is written, and what is lost.
    pub(super) fn on_farewell_input(&mut self, input: &Input<'_>) {
        let (Input::Written { conn, .. } | Input::Lost { conn, .. }) = *input else { return };
        let Some(index) = self.conns.link(conn) else { return };
        if let Input::Lost { .. } = input {
            self.conns.close(conn);
        }
        let said = match (input, self.link_mut(index).map(|link| &mut link.phase)) {
            (Input::Written { len, .. }, Some(Phase::Live { tls: Some(tls), .. })) => {
                tls.written(*len);
                tls.session.output().is_empty()
            }
            _ => true,
        };
        if said {
            self.remove_link(index);
        } else {
            self.outputs.push_back(Output::Transmit(conn));
        }
    }

    /// Closes what is left once all is said, or the time for it is over.
    pub(super) fn run_farewell(&mut self) {
        let Some(Closing::Farewell(until)) = self.closing else { return };
        let speaks = |link: &Link| matches!(link.phase, Phase::Live { .. });
        let waits = self.link_indexes().into_iter().any(|index| self.link(index).is_some_and(speaks));
        if waits && until > self.now {
            return;
        }
        // Nothing of the network is reported any more; what was announced before stays in order.
        self.closing = Some(Closing::Done);
        for index in self.link_indexes() {
            self.remove_link(index);
        }
        self.outputs.push_back(Output::Event(Event::Closed));
    }
}
