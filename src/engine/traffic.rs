//! What passes over a link: bytes that came and went, and what its connection has to say.

use std::sync::Arc;

use super::conns::ConnTable;
use super::link::{App, Failure, Link, Phase};
use super::sealed::tls_failure;
use super::{Engine, Input, Output, Tag};
use crate::conn::{ConnEvent, Connection};
use crate::wire::{ErrorMap, Feature, Status};

impl Engine {
    pub(super) fn on_conn_input(&mut self, input: &Input<'_>) {
        let (Input::Connected { conn, .. }
        | Input::Received { conn, .. }
        | Input::Written { conn, .. }
        | Input::Lost { conn, .. }) = *input
        else {
            return;
        };
        let Some(index) = self.conns.link(conn) else { return };
        if index == ConnTable::RESOLVER {
            self.on_srv_input(input);
            return;
        }
        match *input {
            Input::Connected { local, .. } => self.on_connected(index, conn, local),
            Input::Received { data, .. } => self.on_received(index, data),
            Input::Written { len, .. } => self.on_written(index, len),
            Input::Lost { why, .. } => self.on_lost(index, conn, why),
            Input::LookedUp { .. } | Input::Datagram { .. } | Input::DatagramFailed { .. } => {}
        }
    }

    pub(super) fn on_received(&mut self, index: u32, data: &[u8]) {
        let now = self.now;
        if let Some(link) = self.link_mut(index) {
            link.notes.active = Some(now);
        }
        match self.link_mut(index).map(|link| &mut link.phase) {
            Some(Phase::Live { tls: None, app: App::Kv(connection), .. }) => {
                connection.handle_read(data, now);
                self.work_link(index);
            }
            Some(Phase::Live { tls: None, app: App::Http(_), .. }) => self.on_http_bytes(index, data),
            Some(Phase::Live { tls: Some(_), .. }) => self.on_sealed_bytes(index, data),
            _ => {}
        }
    }

    pub(super) fn on_written(&mut self, index: u32, len: usize) {
        let now = self.now;
        let Some(link) = self.link_mut(index) else { return };
        link.notes.active = Some(now);
        let Phase::Live { tls, app, .. } = &mut link.phase else { return };
        let plain = tls.as_mut().map_or(len, |tls| tls.written(len));
        app.written(plain);
        link.transmit_announced = false;
        if link.notes.unwritten_pings && !app.has_output() {
            link.notes.unwritten_pings = false;
            let serial = link.serial;
            self.on_pings_written(index, serial);
        }
        self.flush(index);
        self.close_if_drained(index);
    }

    /// A connection may have room again: what waits for it goes out.
    pub(super) fn flush(&mut self, index: u32) {
        self.flush_queue(index);
        if let Some(bucket) = self.link(index).and_then(|link| link.bucket)
            && std::mem::take(&mut self.buckets[bucket as usize].lookups_owed)
        {
            self.resolve_waiting_collections(bucket);
        }
        self.announce_transmit(index);
    }

    /// Works off what a connection has to say, then writes what may be written.
    pub(super) fn work_link(&mut self, index: u32) {
        while let Some(event) =
            self.link_mut(index).and_then(Link::connection_mut).and_then(Connection::poll_event)
        {
            self.on_conn_event(index, event);
        }
        self.show_newer_credentials(index);
        self.flush(index);
        self.close_if_drained(index);
        // A connection that serves moves its keep-alive with every read: its timer is set when it fires.
        if self
            .link(index)
            .is_some_and(|link| link.connection().is_none_or(|connection| !connection.is_ready()))
        {
            self.arm(index);
        }
    }

    pub(super) fn on_conn_event(&mut self, index: u32, event: ConnEvent<Tag>) {
        match event {
            ConnEvent::Answer(answer) => self.on_answer(index, answer),
            ConnEvent::Salt(request) => self.salt(index, request),
            ConnEvent::Config(body) => {
                self.propose(index, &body);
                self.heard_of_map(index);
            }
            ConnEvent::ConfigRefused(status) => {
                if status == Status::SUCCESS {
                    self.heard_of_map(index);
                }
                self.on_handshake_config_refused(index, status);
            }
            ConnEvent::BucketRefused { status, context } => {
                if let Some(link) = self.link_mut(index) {
                    link.bucket_refused = Some((status, context));
                }
            }
            ConnEvent::Ready { bound } => self.on_link_ready(index, bound),
            ConnEvent::Notification(notification) => self.on_notification(index, &notification),
            ConnEvent::Orphan { opaque, opcode, given_up } => {
                if let Some(conn) = self.link(index).and_then(Link::conn) {
                    let orphan = super::Orphan { conn, opaque, opcode, given_up };
                    self.outputs.push_back(Output::Event(super::Event::Orphan(orphan)));
                }
            }
            ConnEvent::Failed(failure) => {
                let failure = Failure { stage: failure.stage, kind: failure.kind, text: failure.text };
                self.fail_link(index, failure);
            }
            ConnEvent::Renewed(judged) => self.on_renewed(index, judged),
            ConnEvent::Stale => self.close_stale(index),
            ConnEvent::Broken { error, culprit } => self.on_broken(index, &error, culprit),
        }
    }

    pub(super) fn on_link_ready(&mut self, index: u32, bound: bool) {
        let now = self.now;
        let error_map =
            self.link(index).and_then(Link::connection).map(|connection| connection.error_map().clone());
        let error_map = error_map.and_then(|body| self.shared_error_map(&body));
        let Some(link) = self.link_mut(index) else { return };
        let mechanism = link.connection().and_then(Connection::mechanism);
        link.takes_version = link
            .connection()
            .is_some_and(|it| it.features().contains(Feature::GET_CLUSTER_CONFIG_KNOWN_VERSION));
        link.error_map = error_map;
        link.last_failure = None;
        let (wants_bucket, role) = (link.bucket, link.role);
        if wants_bucket.is_none() || bound {
            link.bucket_refused = None;
            link.backoff.ready(now);
        }
        if link.credentials == self.credentials {
            self.remembered = mechanism.or(self.remembered);
        }
        self.states_changed = true;
        if let Some(bucket) = wants_bucket.filter(|_| !bound) {
            self.on_bucket_refused(index, bucket, role);
            return;
        }
        if let Some(bucket) = wants_bucket {
            self.buckets[bucket as usize].refused = None;
        }
        self.arm(index);
        self.on_serving(index);
    }

    /// Error maps with the same text are kept once (EM-1).
    pub(super) fn shared_error_map(&mut self, body: &bytes::Bytes) -> Option<Arc<ErrorMap>> {
        if body.is_empty() {
            return None;
        }
        if let Some((known, map)) = &self.error_map
            && known == body
        {
            return Some(Arc::clone(map));
        }
        match ErrorMap::parse(body) {
            Ok(map) => {
                let map = Arc::new(map);
                self.error_map = Some((body.clone(), Arc::clone(&map)));
                Some(map)
            }
            Err(_error) => {
                crate::trace::warning!(error = %_error, "the node's error map cannot be read");
                None
            }
        }
    }

    pub(super) fn announce_transmit(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        let Phase::Live { conn, tls, app } = &mut link.phase else { return };
        let waits = match tls {
            Some(tls) => {
                if let Err(failure) = tls.seal(app.output()) {
                    let (serial, failure) = (link.serial, tls_failure(&failure));
                    // Once is enough: the next connection of the link has done nothing wrong.
                    if !self.failing.iter().any(|&(other, ..)| other == index) {
                        self.failing.push((index, serial, failure));
                    }
                    return;
                }
                !tls.session.output().is_empty()
            }
            None => app.has_output(),
        };
        if waits && !link.transmit_announced {
            self.outputs.push_back(Output::Transmit(*conn));
            link.transmit_announced = true;
        }
    }
}
