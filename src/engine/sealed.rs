//! What TLS does on a link: the handshake, and bytes in the clear for what speaks behind it (TLS-2).

use super::link::{App, Failure, Phase};
use super::{Engine, LinkError, Stage};
use crate::error::ErrorKind;
use crate::tls::TlsFailure;
use crate::trace::debug;

impl Engine {
    /// Sets the wall clock, in time since 1970: certificates are judged by it. Between two calls it moves on by the
    /// clock readings; worth calling before each dial where the monotonic clock stands still while the machine
    /// sleeps, or the wall clock may be set.
    pub fn set_unix_time(&mut self, unix_time: std::time::Duration, now: std::time::Instant) {
        self.advance(now);
        self.config.unix_time = unix_time;
        self.clock_read = self.now;
    }

    /// Moves the clock that certificates are checked by.
    pub(super) fn tell_tls_the_time(&self) {
        if let Some(profile) = &self.tls {
            let passed = self.now.saturating_duration_since(self.clock_read);
            profile.set_unix_time(self.config.unix_time.saturating_add(passed));
        }
    }

    pub(super) fn on_sealed_bytes(&mut self, index: u32, data: &[u8]) {
        let now = self.now;
        self.tell_tls_the_time();
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        let mut opened = false;
        let mut closed = false;
        let mut fault = None;
        let serial = self.link(index).map(|link| link.serial);
        if let Some(Phase::Live { tls: Some(tls), app, .. }) =
            self.link_mut(index).map(|link| &mut link.phase)
        {
            fault = tls.session.receive(data, &mut plain).err();
            opened = !tls.open && !tls.session.is_handshaking() && fault.is_none();
            closed = tls.session.peer_closed();
            if opened {
                tls.open = true;
                if let App::Kv(connection) = app {
                    connection.connected(now);
                }
            }
            if let (App::Kv(connection), false) = (app, plain.is_empty()) {
                connection.handle_read(&plain, now);
            }
        }
        if opened {
            debug!(index, "TLS handshake done");
        }
        if self.link(index).is_some_and(|link| link.errand.is_some()) {
            if !plain.is_empty() {
                self.on_http_bytes(index, &plain);
            }
        } else {
            self.work_link(index);
        }
        self.plain = plain;
        // What was read may have ended the link.
        if self.link(index).map(|link| link.serial) != serial
            || !self.link(index).is_some_and(|link| matches!(link.phase, Phase::Live { .. }))
        {
            return;
        }
        if let Some(failure) = fault {
            self.fail_tls(index, &failure);
        } else if closed {
            if let Some(conn) = self.link(index).and_then(super::link::Link::conn) {
                self.hang_up(conn);
                self.on_lost(index, conn, LinkError::Closed);
            }
        } else {
            self.announce_transmit(index);
        }
    }

    pub(super) fn fail_tls(&mut self, index: u32, failure: &TlsFailure) {
        if let Some(link) = self.link_mut(index) {
            link.certificate_refused = refuses_certificate(failure);
        }
        self.fail_link(index, tls_failure(failure));
    }
}

/// What a link failed with.
pub(super) fn tls_failure(failure: &TlsFailure) -> Failure {
    let kind = match failure {
        // These are the network's, or somebody's who does not speak TLS at all.
        TlsFailure::Io { .. } | TlsFailure::NotTls { .. } => ErrorKind::UnambiguousTimeout,
        _ => ErrorKind::TlsFailure,
    };
    Failure { stage: Stage::Tls, kind, text: failure.to_string() }
}

/// Whether a certificate was refused, by us or by the peer: that does not get better by trying again
/// (`connecting.md` 4.5). One that is not valid yet may be so when the clock is right.
pub(super) fn refuses_certificate(failure: &TlsFailure) -> bool {
    match failure {
        TlsFailure::UnknownIssuer { .. }
        | TlsFailure::Expired { .. }
        | TlsFailure::NameMismatch { .. }
        | TlsFailure::BadSignature { .. } => true,
        TlsFailure::HandshakeRejected { alert, .. } => {
            alert.contains("certificate") || matches!(alert.as_str(), "unknown_ca" | "access_denied")
        }
        _ => false,
    }
}
