//! What became of an attempt to connect (BOOT-16).

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::json;
use crate::error::ErrorKind;
use crate::stage::Stage;

/// One seed and the last thing that happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AttemptReport {
    /// The seed as `host:port`.
    pub seed: String,
    /// The address dialled last, if the name resolved.
    pub address: Option<String>,
    /// The stage it failed in, or is in.
    pub stage: Stage,
    /// What it failed with; `None` while it is under way.
    pub error: Option<String>,
    /// The error's kind.
    pub kind: Option<ErrorKind>,
    /// Time from the attempt's start to its failure, or to the report.
    #[serde(serialize_with = "json::millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
}

/// Why there is no map (BOOT-16). One line by `Display`: every seed with its stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BootstrapReport {
    /// The most specific kind of failure seen.
    pub kind: ErrorKind,
    /// Time since the start.
    #[serde(serialize_with = "json::millis", rename = "elapsed_ms")]
    pub elapsed: Duration,
    /// The last attempt per seed, at most 32.
    pub attempts: Vec<AttemptReport>,
    /// How many more attempts there were than are listed.
    pub omitted: usize,
    /// What became of the look-up of the seeds' SRV record, if there was one (CS-29).
    pub srv: Option<String>,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl fmt::Display for BootstrapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no cluster map after {:.1?}", self.elapsed)?;
        // What to do comes before the evidence, which may be long.
        for hint in &self.hints {
            write!(f, "; hint: {hint}")?;
        }
        if let Some(srv) = &self.srv {
            write!(f, "; {srv}")?;
        }
        for attempt in &self.attempts {
            write!(f, "; {}", attempt.seed)?;
            if let Some(address) = attempt.address.as_ref().filter(|address| **address != attempt.seed) {
                write!(f, " ({address})")?;
            }
            match &attempt.error {
                Some(error) => write!(f, " failed at {}: {error}", attempt.stage)?,
                None => write!(f, " is at {} for {:.1?}", attempt.stage, attempt.elapsed)?,
            }
        }
        if self.omitted > 0 {
            write!(f, "; and {} more", self.omitted)?;
        }
        Ok(())
    }
}
