//! An engine that is connected, for commands that ask it one thing.

use std::time::{Duration, Instant};

use settee::dns::Answer;
use settee::engine::{BucketRef, DesiredState};
use settee::error::ErrorKind;

use super::collect::{Case, Driven, Ended, prepare};
use super::facts::SetupError;
use crate::failure::Failure;

/// A connected engine and the bucket that was asked for.
pub(crate) struct Session {
    pub(crate) driven: Driven,
    pub(crate) bucket: Option<BucketRef>,
}

impl Session {
    /// Connects as a program would.
    pub(crate) async fn connect(case: &Case) -> Result<Self, Failure> {
        let (facts, config) = prepare(case).await;
        if let Some(text) = facts.refused {
            return Err(Failure::usage(text).hint("settee explain CONNSTR shows the place"));
        }
        let Some(mut config) = config else {
            return Err(match facts.setup {
                Some(SetupError::Trust(text) | SetupError::Credentials(text) | SetupError::Other(text)) => {
                    Failure::usage(text)
                }
                None => Failure::no_connection("the engine cannot be set up"),
            });
        };
        config.options.bootstrap_timeout = case.timeout;
        let now = Instant::now();
        let mut driven = Driven::new(config);
        let bucket = facts.given.bucket.map(|name| driven.engine.open_bucket(&name, now));
        let op = driven.engine.bootstrap(now);
        match driven.wait(op, now + case.timeout + Duration::from_secs(1)).await {
            Some(Ended::Completed(_, Ok(_))) => Ok(Self { driven, bucket }),
            Some(Ended::Completed(_, Err(error))) => {
                let failure = Failure::no_connection(&error);
                Err(match error.context().cause.unwrap_or_else(|| error.kind()) {
                    ErrorKind::AuthenticationFailure => {
                        failure.hint("give other credentials, or see settee doctor")
                    }
                    _ => failure.hint("settee doctor CONNSTR shows what is wrong on the way"),
                })
            }
            _ => {
                let srv = facts.srv.filter(|outcome| !matches!(outcome.answer, Answer::Records(_)));
                let text =
                    srv.map_or_else(|| "no cluster map in time".to_owned(), |outcome| outcome.to_string());
                Err(Failure::no_connection(text).hint("settee doctor CONNSTR shows what is wrong on the way"))
            }
        }
    }

    /// Waits until every node is connected, or the time is over; why not all are.
    pub(crate) async fn settle(&mut self, time: Duration) -> Option<String> {
        let now = Instant::now();
        let op = self.driven.engine.wait_until_ready(self.bucket, DesiredState::Online, time, now);
        match self.driven.wait(op, now + time + Duration::from_millis(250)).await {
            Some(Ended::Completed(_, Err(error))) => Some(error.to_string()),
            _ => None,
        }
    }
}
