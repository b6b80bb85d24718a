//! A process that stood still (serverless, a laptop's lid): connections count as dead until they show otherwise, and maps
//! as old (LIFE-6, H22).

use std::time::{Duration, Instant};

use super::Engine;
use super::Stage;
use super::link::{Failure, Link};
use crate::conn::Connection;
use crate::error::ErrorKind;
use crate::trace::info;

/// A shorter gap between two clock readings says nothing.
const STOOD_STILL: Duration = Duration::from_secs(30);
/// So long a suspected connection has for its sign of life; what waits for it goes by a new one then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a connection can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Suspicion {
    #[default]
    None,
    /// It may be dead; nobody has needed it since.
    Suspect,
    /// It was asked for a sign of life, which has to come until then.
    Probed(Instant),
}

impl Engine {
    /// Time has moved on by this much at once.
    pub(super) fn on_gap(&mut self, gap: Duration) {
        if gap <= STOOD_STILL.max(self.config.options.kv_keep_alive_interval.saturating_mul(2)) {
            return;
        }
        let mut suspects = false;
        for index in self.link_indexes() {
            if let Some(link) = self.link_mut(index)
                && link.connection().is_some_and(Connection::is_ready)
            {
                link.notes.suspicion = Suspicion::Suspect;
                suspects = true;
            }
        }
        if suspects {
            info!(?gap, "the clock jumped: connections are probed before they are used again");
            for scope in self.scope_ids() {
                if self.scope(scope).map.is_some() {
                    self.suspect_map(scope);
                }
            }
        }
    }

    /// Whether a request that there is may be written to a connection. A suspected one is asked for a sign of life first.
    pub(super) fn is_trusted(&mut self, index: u32) -> bool {
        let until = self.after(PATIENCE);
        let Some(link) = self.link_mut(index) else { return false };
        match link.notes.suspicion {
            Suspicion::None => true,
            Suspicion::Suspect => {
                link.notes.suspicion = Suspicion::Probed(until);
                self.probe(index);
                false
            }
            Suspicion::Probed(_) if link.connection().is_some_and(Connection::awaits_probe) => false,
            Suspicion::Probed(_) => {
                link.notes.suspicion = Suspicion::None;
                true
            }
        }
    }

    /// Gives a suspected connection up that shows no sign of life in time; whether it did.
    pub(super) fn give_up_suspect(&mut self, index: u32) -> bool {
        let now = self.now;
        let silent = |link: &Link| {
            matches!(link.notes.suspicion, Suspicion::Probed(until) if until <= now)
                && link.connection().is_some_and(Connection::awaits_probe)
        };
        if !self.link(index).is_some_and(silent) {
            return false;
        }
        let text = "no sign of life after the program stood still for a while".to_owned();
        self.fail_link(index, Failure { stage: Stage::Map, kind: ErrorKind::UnambiguousTimeout, text });
        true
    }
}
