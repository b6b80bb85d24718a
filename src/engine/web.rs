//! Links that speak HTTP: maps as a stream, one map, one answer (BOOT-17 to BOOT-20).

use std::time::Duration;

use super::fetch::{Errand, Fetch, FetchEvent, Want};
use super::link::{App, Failure, Link, Phase, Role};
use super::scope::ScopeId;
use super::tracker::DARK;
use super::{Engine, Stage};
use crate::auth::Authenticator;
use crate::error::ErrorKind;
use crate::http::{self, Authorization, Exchange, HttpError, Method, Request};
use crate::map::{Endpoint, MapKind, Service};
use crate::options::BootstrapOn;
use crate::trace::{debug, info};

/// The first pause after a stream of maps failed (BOOT-19).
const FIRST_PAUSE: Duration = Duration::from_millis(32);
/// A stream that lasted for so long begins with that pause again.
const SERVED: Duration = Duration::from_secs(5);

/// What came of an errand.
#[derive(Clone, Debug)]
pub(super) struct WebAnswer {
    pub(super) status: u16,
    pub(super) body: bytes::Bytes,
}

impl Engine {
    /// What a scope's map is asked for with.
    pub(super) fn map_errand(&self, scope: ScopeId) -> Errand {
        match scope {
            ScopeId::Cluster => Errand { path: "/pools/default/nodeServices".into(), want: Want::Map },
            ScopeId::Bucket(bucket) => {
                let name = http::path_segment(&self.buckets[bucket as usize].name);
                Errand { path: format!("/pools/default/bs/{name}"), want: Want::Stream }
            }
        }
    }

    /// Whether a scope's maps come over HTTP alone.
    pub(super) fn is_over_http(&self, scope: ScopeId) -> bool {
        let memcached = matches!(scope, ScopeId::Bucket(bucket)
            if self.buckets[bucket as usize].scope.map.as_ref().is_some_and(|map| map.kind == MapKind::Memcached));
        memcached || self.config.options.bootstrap_on == BootstrapOn::Http
    }

    /// The request of a link.
    pub(super) fn fetch(&mut self, index: u32) -> Option<Fetch> {
        let endpoint = self.link(index).filter(|link| link.errand.is_some())?.endpoint.clone();
        let in_the_clear =
            self.tls.is_none() && matches!(self.config.authenticator, Authenticator::Password(_));
        // Told once: every service that is asked gets it.
        if in_the_clear && !std::mem::replace(&mut self.told_of_basic, true) {
            crate::trace::warning!(
                %endpoint,
                "HTTP services are asked with the password in the clear: use couchbases:// where others may listen"
            );
        }
        let link = self.link(index)?;
        let errand = link.errand.as_ref()?;
        let request = Request {
            method: Method::Get,
            host: endpoint.host,
            port: endpoint.port,
            path: errand.path.clone(),
            authorization: Authorization::from_authenticator(&self.config.authenticator),
            user_agent: self.config.agent(&self.instance_id),
        };
        Some(Fetch::new(Exchange::new(&request), errand.want))
    }

    pub(super) fn on_http_bytes(&mut self, index: u32, data: &[u8]) {
        let taken = match self.fetch_mut(index) {
            Some(fetch) => fetch.receive(data),
            None => return,
        };
        self.work_fetch(index, taken);
    }

    /// The peer closed an HTTP link; whether that was the end of an answer.
    pub(super) fn on_http_closed(&mut self, index: u32) -> bool {
        let Some(closed) = self.fetch_mut(index).map(Fetch::closed) else { return false };
        let serial = self.link(index).map(|link| link.serial);
        if closed.is_err() {
            return false;
        }
        self.work_fetch(index, Ok(()));
        // Done with, and gone.
        self.link(index).map(|link| link.serial) != serial
            || self.link(index).is_some_and(|link| !matches!(link.phase, Phase::Live { .. }))
    }

    fn fetch_mut(&mut self, index: u32) -> Option<&mut Fetch> {
        match &mut self.link_mut(index)?.phase {
            Phase::Live { app: App::Http(fetch), .. } => Some(fetch),
            _ => None,
        }
    }

    /// Works off what an exchange has to say.
    fn work_fetch(&mut self, index: u32, taken: Result<(), HttpError>) {
        let serial = self.link(index).map(|link| link.serial);
        let mut fault = taken.err();
        loop {
            // Whatever was made of the last event, the link may be another's by now.
            if self.link(index).map(|link| link.serial) != serial {
                return;
            }
            let event = match self.fetch_mut(index).map(Fetch::poll) {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    fault = Some(error);
                    None
                }
                None => return,
            };
            match event {
                Some(FetchEvent::Map(body)) => self.on_streamed_map(index, &body),
                Some(FetchEvent::Done { status, body }) => return self.on_http_answer(index, status, body),
                Some(FetchEvent::Over) => {
                    let text = "the stream of cluster maps ended".to_owned();
                    let failure = Failure { stage: Stage::Map, kind: ErrorKind::UnambiguousTimeout, text };
                    return self.fail_link(index, failure);
                }
                None => break,
            }
        }
        if let Some(error) = fault {
            let failure =
                Failure { stage: Stage::Map, kind: ErrorKind::DecodingFailure, text: error.to_string() };
            self.fail_link(index, failure);
            return;
        }
        self.announce_transmit(index);
        self.arm(index);
    }

    fn on_streamed_map(&mut self, index: u32, body: &[u8]) {
        // Silence is counted from the last map on (BOOT-19).
        let silence = self.after(self.config.options.config_idle_redial_timeout);
        let now = self.now;
        let floor = self.config.options.config_poll_floor;
        let Some(link) = self.link_mut(index) else { return };
        link.deadline = silence;
        let (serial, bucket) = (link.serial, link.bucket);
        let Some(bucket) = bucket else { return };
        let state = &mut self.buckets[bucket as usize];
        state.stream_since.get_or_insert(now);
        state.stream_lost_since = None;
        // Many at once: the newest counts, no more often than maps are asked for (H21).
        let next = state.stream_read.and_then(|at| at.checked_add(floor)).filter(|&at| at > now);
        match next {
            Some(at) => state.stream_waiting = Some((at, index, serial, bytes::Bytes::copy_from_slice(body))),
            None => {
                state.stream_read = Some(now);
                state.stream_waiting = None;
                self.propose(index, body);
            }
        }
    }

    /// Reads the newest map of a stream that gave many.
    pub(super) fn tick_waiting_map(&mut self, bucket: u32) {
        let now = self.now;
        let state = &mut self.buckets[bucket as usize];
        if let Some((_, index, serial, body)) = state.stream_waiting.take_if(|(at, ..)| *at <= now) {
            state.stream_read = Some(now);
            if self.link(index).is_some_and(|link| link.serial == serial) {
                self.propose(index, &body);
            }
        }
    }

    /// A stream that found what was looked for goes on bringing maps.
    pub(super) fn keep_stream(&mut self, index: u32) {
        let streams = |link: &&mut Link| link.errand.as_ref().is_some_and(|it| it.want == Want::Stream);
        if let Some(link) = self.link_mut(index).filter(streams) {
            link.role = Role::Stream;
        }
    }

    fn on_http_answer(&mut self, index: u32, status: u16, body: bytes::Bytes) {
        let Some(link) = self.link(index) else { return };
        let Some(errand) = link.errand.clone() else { return };
        if let Some(number) = errand.want.asker() {
            self.note_errand(number, index);
            self.remove_link(index);
            self.on_web_answer(number, &Ok(WebAnswer { status, body }));
            return;
        }
        let name = link.bucket.map(|bucket| self.buckets[bucket as usize].name.clone());
        let failure = match (status, name) {
            (200, _) => {
                let serial = link.serial;
                self.propose(index, &body);
                // One map was asked for, and it is here: the link has done its work.
                if self.link(index).is_some_and(|link| link.serial == serial) {
                    let text = "the manager gave a map that cannot be used".to_owned();
                    self.fail_link(
                        index,
                        Failure { stage: Stage::Map, kind: ErrorKind::DecodingFailure, text },
                    );
                }
                return;
            }
            // Not every service honours client certificates (AUTH-7).
            (401 | 403, _) if matches!(self.config.authenticator, Authenticator::Certificate(_)) => Failure {
                stage: Stage::Map,
                kind: ErrorKind::AuthenticationFailure,
                text: format!(
                    "CertificateAuthNotSupported: the manager does not accept the client certificate as a login \
                     (HTTP {status}): leave the manager out by bootstrap_on=cccp, or log in with a password"
                ),
            },
            (401, _) => Failure {
                stage: Stage::Auth,
                kind: ErrorKind::AuthenticationFailure,
                text: "the manager refused the credentials (HTTP 401)".into(),
            },
            // The right may still be granted, or the bucket created (`connecting.md` 4.5).
            (403, Some(name)) => Failure {
                stage: Stage::Bucket,
                kind: ErrorKind::BucketNotFound,
                text: format!("bucket {name:?} does not exist or this user may not use it (HTTP 403)"),
            },
            (403, None) => {
                info!("this user may not read the cluster's own map: it comes with the first bucket");
                self.mapless = true;
                self.states_changed = true;
                self.end_hunt(ScopeId::Cluster, index);
                return;
            }
            (404, Some(name)) => Failure {
                stage: Stage::Bucket,
                kind: ErrorKind::BucketNotFound,
                text: format!("the manager does not know bucket {name:?} (HTTP 404)"),
            },
            _ => Failure {
                stage: Stage::Map,
                kind: ErrorKind::UnambiguousTimeout,
                text: format!("the manager answered HTTP {status}"),
            },
        };
        self.fail_link(index, failure);
    }

    /// The manager endpoints of the newest map.
    pub(super) fn managers(&self) -> Vec<Endpoint> {
        let (Some(map), Some(network)) = (self.cluster.map.as_ref(), &self.network) else {
            return Vec::new();
        };
        let tls = self.config.tls();
        let endpoints = map.nodes.iter().filter_map(|node| node.endpoint(Service::Mgmt, network, tls));
        endpoints.map(|(host, port)| Endpoint::new(host, port)).collect()
    }

    /// A stream of maps was lost: another one is opened after a pause, at the next node (BOOT-19).
    pub(super) fn on_stream_lost(&mut self, bucket: u32) {
        let longest = self.config.options.http_retry_delay.max(FIRST_PAUSE);
        let now = self.now;
        let state = &mut self.buckets[bucket as usize];
        // One that served for a while ends for reasons of its own.
        if state.stream_since.take().is_some_and(|at| now.saturating_duration_since(at) >= SERVED) {
            state.stream_pause = None;
        }
        let pause = state.stream_pause.unwrap_or(FIRST_PAUSE).min(longest);
        let jittered = self.entropy.jitter(pause, 25).max(Duration::from_millis(1));
        let at = self.after(jittered);
        let state = &mut self.buckets[bucket as usize];
        state.stream_pause = Some((pause * 2).min(longest));
        state.stream_at = Some(at);
    }

    /// Opens a stream of maps that is due.
    pub(super) fn tick_stream(&mut self, bucket: u32) {
        let now = self.now;
        let state = &mut self.buckets[bucket as usize];
        if state.stream_at.is_none_or(|at| at > now) {
            return;
        }
        state.stream_at = None;
        if state.scope.map.is_none() || state.scope.hunt.is_some() {
            return;
        }
        let scope = ScopeId::Bucket(bucket);
        if !self.is_over_http(scope) && !self.serving_links(scope).is_empty() {
            return;
        }
        let managers = self.managers();
        let state = &mut self.buckets[bucket as usize];
        let since = *state.stream_lost_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= DARK {
            // None of the known managers gives a stream: the seeds are asked, and the SRV record (BOOT-26).
            state.stream_lost_since = None;
            self.start_hunt(scope);
            return;
        }
        state.stream_rotation = state.stream_rotation.wrapping_add(1);
        let turn = state.stream_rotation;
        let Some(endpoint) = managers.get(turn % managers.len().max(1)).cloned() else {
            self.start_hunt(scope);
            return;
        };
        debug!(%endpoint, "opening a stream of maps");
        let errand = self.map_errand(scope);
        let index = self.new_link(endpoint, Some(bucket), Role::Stream, Some(errand));
        self.dial(index);
    }

    /// A key-value connection serves the bucket: its maps come from there (`cluster-maps.md` 8.3).
    pub(super) fn close_stream(&mut self, bucket: u32) {
        if self.is_over_http(ScopeId::Bucket(bucket)) {
            return;
        }
        let state = &mut self.buckets[bucket as usize];
        (state.stream_at, state.stream_since, state.stream_waiting) = (None, None, None);
        for index in self.link_indexes() {
            let streams = |link: &Link| link.role == Role::Stream && link.bucket == Some(bucket);
            if self.link(index).is_some_and(streams) {
                info!(bucket = %self.buckets[bucket as usize].name, "maps come from the data nodes");
                self.remove_link(index);
            }
        }
    }

    /// The answer to an errand: whoever asked is found by its number.
    pub(super) fn on_web_answer(&mut self, number: u64, answer: &Result<WebAnswer, Failure>) {
        let Ok(number) = u32::try_from(number) else { return };
        if !self.on_http_pong(number, answer) {
            self.on_nodes_answer(number, answer);
        }
    }
}
