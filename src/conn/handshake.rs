//! The pipelined handshake (`connecting.md` 4.3): with PLAIN one flight, with SCRAM two.
//!
//! Steps are sent in one order and answered in the same: HELLO, GET_ERROR_MAP, SASL_LIST_MECHS, SASL_AUTH,
//! [SASL_STEP], [SELECT_BUCKET], [GET_CLUSTER_CONFIG]. What follows authentication is sent with it where one step
//! authenticates, and behind the last step otherwise. When a mechanism is refused and another one tried, or a bucket
//! selection repeated, the round is counted up and answers that belong to an earlier round are ignored.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::ConnEvent;
use crate::auth::{
    AuthError, Authenticator, Exchange, Mechanism, Negotiation, Next, Progress, SaltedPassword, SaslReply,
};
use crate::error::ErrorKind;
use crate::stage::Stage;
use crate::trace::warning;
use crate::wire::{ErrorBody, Feature, FeatureSet, Opcode, Status};

/// Highest version of the error map that this crate understands.
const ERROR_MAP_VERSION: u16 = 2;

/// What a connection needs to know to introduce itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The client identification of HELLO (RFC 0035), at most 250 bytes.
    pub hello_key: Bytes,
    /// The features to ask for, dependencies included.
    pub features: FeatureSet,
    /// Who logs in.
    pub authenticator: Authenticator,
    /// Whether the stream is inside TLS.
    pub tls: bool,
    /// The mechanisms that the caller allows; `None`: the default for the kind of stream (AUTH-1).
    pub mechanisms: Option<Vec<Mechanism>>,
    /// The mechanism that worked for another connection of the cluster (AUTH-3).
    pub remembered: Option<Mechanism>,
    /// Client nonces for SCRAM, a fresh one for each attempt (SA-7).
    pub nonces: Vec<String>,
    /// Upper bound for the server's iteration count (SA-8).
    pub max_iterations: u32,
    /// The bucket to select.
    pub bucket: Option<String>,
    /// Whether to ask for the cluster map in the same flight (R-BOOT-6).
    pub fetch_config: bool,
    /// The version of the map that is known, epoch and revision: the node is asked for a newer one, which has to wait
    /// for the answer to HELLO, and only if it takes such a version (R-BOOT-6, R-VER-9).
    pub known_config: Option<(i64, i64)>,
    /// Whether the node has acknowledged on an earlier connection that it takes such a version: then the answer to
    /// HELLO is not waited for, and a connection that comes back costs no further round trip.
    pub takes_version: bool,
    /// Whether steps are sent before the answers to earlier ones have come (BOOT-7).
    pub pipelined: bool,
    /// How many requests may be under way, at most 65,535.
    pub window: usize,
    /// Silence after which a keep-alive is sent; `None`: never.
    pub keep_alive: Option<Duration>,
}

/// Why a handshake failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnFailure {
    /// Where.
    pub stage: Stage,
    /// What kind of failure.
    pub kind: ErrorKind,
    /// In words.
    pub text: String,
    /// The server's status, if one decided it.
    pub status: Option<Status>,
}

impl ConnFailure {
    pub(super) fn unsendable(step: Step) -> Self {
        Self {
            stage: step.stage(),
            kind: ErrorKind::InvalidArgument,
            text: format!("{} does not fit a frame", step.opcode()),
            status: None,
        }
    }

    pub(super) fn renewal(status: Status) -> Self {
        let text = match status {
            Status::AUTH_ERROR => "the server refused the new token".to_owned(),
            _ => format!("the server answered the new token with {status}"),
        };
        Self { stage: Stage::Auth, kind: ErrorKind::AuthenticationFailure, text, status: Some(status) }
    }

    fn auth(error: &AuthError) -> Self {
        let (kind, status) = match error {
            AuthError::InvalidArgument(_) | AuthError::NothingAllowed { .. } => {
                (ErrorKind::InvalidArgument, None)
            }
            AuthError::UnexpectedStatus { status, .. } => {
                let status = Status(*status);
                let kind = match status {
                    Status::ETMPFAIL | Status::EBUSY | Status::NOT_INITIALIZED => ErrorKind::TemporaryFailure,
                    Status::RATE_LIMITED_MAX_CONNECTIONS => ErrorKind::RateLimited,
                    _ => ErrorKind::AuthenticationFailure,
                };
                (kind, Some(status))
            }
            _ => (ErrorKind::AuthenticationFailure, None),
        };
        Self { stage: Stage::Auth, kind, text: error.to_string(), status }
    }
}

/// One request of the handshake; the number is the round it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Hello,
    ErrorMap,
    ListMechs,
    Auth(u8),
    Continue(u8),
    Select(u8),
    Config(u8),
}

impl Step {
    pub(super) const fn opcode(self) -> Opcode {
        match self {
            Self::Hello => Opcode::HELLO,
            Self::ErrorMap => Opcode::GET_ERROR_MAP,
            Self::ListMechs => Opcode::SASL_LIST_MECHS,
            Self::Auth(_) => Opcode::SASL_AUTH,
            Self::Continue(_) => Opcode::SASL_STEP,
            Self::Select(_) => Opcode::SELECT_BUCKET,
            Self::Config(_) => Opcode::GET_CLUSTER_CONFIG,
        }
    }

    const fn stage(self) -> Stage {
        match self {
            Self::Hello | Self::ErrorMap => Stage::Hello,
            Self::ListMechs | Self::Auth(_) | Self::Continue(_) => Stage::Auth,
            Self::Select(_) => Stage::Bucket,
            Self::Config(_) => Stage::Map,
        }
    }
}

/// Key and value of a step's request.
pub(super) struct StepBytes {
    pub(super) extras: [u8; 16],
    pub(super) extras_len: usize,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// Bytes that are wiped when they are dropped (AUTH-9).
pub(super) fn secret(payload: &[u8]) -> Bytes {
    Bytes::from_owner(Zeroizing::new(payload.to_vec()))
}

#[derive(Debug)]
pub(super) struct Handshake {
    settings: Settings,
    features: FeatureSet,
    error_map: Bytes,
    negotiation: Option<Negotiation>,
    exchange: Option<Exchange>,
    /// SASL_STEP's value, once it is known.
    client_final: Bytes,
    round: u8,
    to_send: VecDeque<Step>,
    outstanding: usize,
    stage: Stage,
    greeted: bool,
    authenticated: bool,
    bound: bool,
    select_refused: u8,
}

impl Handshake {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            features: FeatureSet::EMPTY,
            error_map: Bytes::new(),
            negotiation: None,
            exchange: None,
            client_final: Bytes::new(),
            round: 0,
            to_send: VecDeque::new(),
            outstanding: 0,
            stage: Stage::Tcp,
            greeted: false,
            authenticated: false,
            bound: false,
            select_refused: 0,
        }
    }

    /// The stream is open.
    pub(super) fn begin<T>(&mut self, events: &mut VecDeque<ConnEvent<T>>) {
        self.stage = Stage::Hello;
        let settings = &self.settings;
        if matches!(settings.authenticator, Authenticator::Certificate(_)) {
            // TLS has said who this is; the server refuses SASL from here on (AUTH-5).
            self.authenticated = true;
            self.to_send.extend([Step::Hello, Step::ErrorMap]);
            self.push_bucket_steps();
            return;
        }
        let negotiation = Negotiation::new(
            &settings.authenticator,
            settings.tls,
            settings.mechanisms.as_deref(),
            settings.remembered,
        );
        match negotiation {
            Ok(negotiation) => {
                let mechanism = negotiation.current();
                self.negotiation = Some(negotiation);
                self.to_send.extend([Step::Hello, Step::ErrorMap, Step::ListMechs]);
                if let Err(error) = self.attempt(mechanism) {
                    events.push_back(ConnEvent::Failed(ConnFailure::auth(&error)));
                }
            }
            Err(error) => events.push_back(ConnEvent::Failed(ConnFailure::auth(&error))),
        }
    }

    /// Begins a round with one mechanism.
    fn attempt(&mut self, mechanism: Mechanism) -> Result<(), AuthError> {
        if self.negotiation.as_ref().is_some_and(Negotiation::shows_password) {
            warning!(
                "the password is sent readable: PLAIN without TLS, as `allowed_sasl_mechanisms` says; better use couchbases://"
            );
        }
        let nonces = &mut self.settings.nonces;
        let exchange =
            Exchange::start(&self.settings.authenticator, mechanism, || nonces.pop().unwrap_or_default())?;
        self.round = self.round.wrapping_add(1);
        self.to_send.push_back(Step::Auth(self.round));
        if !exchange.is_stepwise() {
            self.push_bucket_steps();
        }
        self.exchange = Some(exchange);
        Ok(())
    }

    fn push_bucket_steps(&mut self) {
        if self.settings.bucket.is_some() {
            self.to_send.push_back(Step::Select(self.round));
        }
        if self.settings.fetch_config {
            self.to_send.push_back(Step::Config(self.round));
        }
    }

    pub(super) fn set_authenticator(&mut self, authenticator: &Authenticator) {
        self.settings.authenticator = authenticator.clone();
    }

    pub(super) const fn authenticator(&self) -> &Authenticator {
        &self.settings.authenticator
    }

    /// Selects a bucket later on.
    pub(super) fn select(&mut self, bucket: &str, fetch_config: bool) {
        self.settings.bucket = Some(bucket.to_owned());
        self.settings.fetch_config = fetch_config;
        self.settings.known_config = None;
        self.bound = false;
        self.select_refused = 0;
        self.round = self.round.wrapping_add(1);
        self.push_bucket_steps();
    }

    /// The next request, if it may be sent.
    pub(super) fn next_step(&mut self) -> Option<(Step, StepBytes)> {
        if !self.settings.pipelined && self.outstanding > 0 {
            return None;
        }
        let awaits_hello =
            self.settings.known_config.is_some() && !self.settings.takes_version && !self.greeted;
        if awaits_hello && matches!(self.to_send.front(), Some(Step::Config(_))) {
            return None;
        }
        let step = self.to_send.pop_front()?;
        self.outstanding += 1;
        let mechanism =
            || Bytes::from_static(self.exchange.as_ref().map_or("", |e| e.mechanism().name()).as_bytes());
        let (key, value) = match step {
            Step::Hello => (self.settings.hello_key.clone(), Bytes::from(self.settings.features.encode())),
            Step::ErrorMap => (Bytes::new(), Bytes::copy_from_slice(&ERROR_MAP_VERSION.to_be_bytes())),
            Step::ListMechs | Step::Config(_) => (Bytes::new(), Bytes::new()),
            Step::Auth(_) => {
                let payload = self.exchange.as_ref().map_or(&[][..], Exchange::initial_response);
                (mechanism(), secret(payload))
            }
            Step::Continue(_) => (mechanism(), std::mem::take(&mut self.client_final)),
            Step::Select(_) => {
                let bucket = self.settings.bucket.as_deref().unwrap_or_default();
                (Bytes::copy_from_slice(bucket.as_bytes()), Bytes::new())
            }
        };
        let mut extras = [0; 16];
        let mut extras_len = 0;
        if let (Step::Config(_), Some((epoch, rev))) = (step, self.settings.known_config) {
            extras[..8].copy_from_slice(&epoch.to_be_bytes());
            extras[8..].copy_from_slice(&rev.to_be_bytes());
            extras_len = 16;
        }
        Some((step, StepBytes { extras, extras_len, key, value }))
    }

    /// An answer to a step.
    pub(super) fn on_answer<T>(
        &mut self,
        step: Step,
        status: Status,
        datatype: u8,
        value: Bytes,
        events: &mut VecDeque<ConnEvent<T>>,
    ) -> Result<(), ConnFailure> {
        self.outstanding = self.outstanding.saturating_sub(1);
        match step {
            Step::Auth(round) | Step::Continue(round) | Step::Select(round) | Step::Config(round)
                if round != self.round =>
            {
                return Ok(());
            }
            Step::ErrorMap | Step::ListMechs => {}
            _ => self.stage = step.stage(),
        }
        match step {
            Step::Hello => self.on_hello(status, &value)?,
            Step::ErrorMap => {
                if status == Status::SUCCESS {
                    self.error_map = value;
                }
            }
            Step::ListMechs => {
                let next = match &mut self.negotiation {
                    Some(negotiation) if status == Status::SUCCESS => negotiation.on_list(&value),
                    Some(negotiation) => negotiation.on_list_failed(),
                    None => None,
                };
                if let Some(next) = next {
                    self.follow(next)?;
                }
            }
            Step::Auth(_) | Step::Continue(_) => self.on_sasl(status, &value, events)?,
            Step::Select(_) => self.on_select(status, datatype, &value, events),
            Step::Config(_) => {
                if status == Status::SUCCESS && !value.is_empty() {
                    events.push_back(ConnEvent::Config(value));
                } else {
                    events.push_back(ConnEvent::ConfigRefused(status));
                }
            }
        }
        Ok(())
    }

    fn on_hello(&mut self, status: Status, value: &[u8]) -> Result<(), ConnFailure> {
        let fail = |text, status| ConnFailure {
            stage: Stage::Hello,
            kind: ErrorKind::UnsupportedOperation,
            text,
            status,
        };
        if status != Status::SUCCESS {
            let said = ErrorBody::of_json(value).and_then(|body| body.context);
            let said = said.map_or_else(String::new, |said| format!(" ({said})"));
            let text =
                format!("the server refused HELLO with {status}{said}: it is too old, or not a data node");
            return Err(fail(text, Some(status)));
        }
        self.features = FeatureSet::granted(value, self.settings.features)
            .map_err(|error| fail(error.to_string(), None))?;
        self.greeted = true;
        if self.settings.known_config.is_some()
            && !self.features.contains(Feature::GET_CLUSTER_CONFIG_KNOWN_VERSION)
        {
            self.settings.fetch_config = false;
            self.to_send.retain(|step| !matches!(step, Step::Config(_)));
        }
        Ok(())
    }

    fn on_sasl<T>(
        &mut self,
        status: Status,
        value: &[u8],
        events: &mut VecDeque<ConnEvent<T>>,
    ) -> Result<(), ConnFailure> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        let reply = SaslReply::from_status(status.0);
        match exchange.on_reply(reply, value, self.settings.max_iterations) {
            Ok(Progress::Authenticated) => {
                self.authenticated = true;
                Ok(())
            }
            Ok(Progress::Salt(request)) => {
                events.push_back(ConnEvent::Salt(request));
                Ok(())
            }
            Ok(Progress::Rejected(reply)) => match &mut self.negotiation {
                Some(negotiation) => {
                    let next = negotiation.on_rejected(reply);
                    self.follow(next)
                }
                None => Ok(()),
            },
            Err(error) => Err(ConnFailure::auth(&error)),
        }
    }

    fn follow(&mut self, next: Next) -> Result<(), ConnFailure> {
        match next {
            Next::TryAnother(mechanism) => self.attempt(mechanism).map_err(|error| ConnFailure::auth(&error)),
            Next::AwaitList => Ok(()),
            Next::Fail(error) => Err(ConnFailure::auth(&error)),
        }
    }

    /// The password is salted: the rest of the batch goes behind the last SASL step (BOOT-4).
    pub(super) fn salted<T>(&mut self, salted: &SaltedPassword, events: &mut VecDeque<ConnEvent<T>>) {
        let Some(exchange) = &mut self.exchange else { return };
        match exchange.client_final(salted) {
            Ok(message) => {
                self.client_final = Bytes::from(message);
                self.to_send.push_back(Step::Continue(self.round));
                self.push_bucket_steps();
            }
            Err(error) => events.push_back(ConnEvent::Failed(ConnFailure::auth(&error))),
        }
    }

    fn on_select<T>(
        &mut self,
        status: Status,
        datatype: u8,
        value: &[u8],
        events: &mut VecDeque<ConnEvent<T>>,
    ) {
        match status {
            Status::SUCCESS => self.bound = true,
            // Some versions refuse it while other commands are outstanding: once more, alone (BOOT-4).
            Status::NOT_SUPPORTED if self.select_refused == 0 => {
                self.select_refused = 1;
                self.round = self.round.wrapping_add(1);
                self.push_bucket_steps();
            }
            // A bucket of a type without collections: the connection does without them (`kv-protocol.md` 7.4).
            Status::NOT_SUPPORTED
                if self.select_refused == 1 && self.features.contains(Feature::COLLECTIONS) =>
            {
                self.select_refused = 2;
                self.settings.features.remove(Feature::COLLECTIONS);
                self.round = self.round.wrapping_add(1);
                self.to_send.push_back(Step::Hello);
                self.push_bucket_steps();
            }
            _ => {
                let context = ErrorBody::of_value(datatype, value).and_then(|body| body.context);
                events.push_back(ConnEvent::BucketRefused { status, context });
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.authenticated && self.outstanding == 0 && self.to_send.is_empty()
    }

    /// Every step is behind it, whichever of them there were.
    pub(super) const fn finish(&mut self) {
        self.stage = Stage::Map;
    }

    /// Whether HELLO was answered.
    pub(super) const fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether collections were asked for, and not given up for the sake of a bucket without them.
    pub(super) const fn wants_collections(&self) -> bool {
        self.settings.features.contains(Feature::COLLECTIONS)
    }

    pub(super) const fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(super) const fn is_bound(&self) -> bool {
        self.bound
    }

    pub(super) const fn features(&self) -> FeatureSet {
        self.features
    }

    pub(super) const fn error_map(&self) -> &Bytes {
        &self.error_map
    }

    pub(super) const fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn mechanism(&self) -> Option<Mechanism> {
        self.negotiation.as_ref().filter(|_| self.authenticated).map(Negotiation::current)
    }
}
