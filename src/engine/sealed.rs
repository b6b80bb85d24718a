//! What TLS does on a link: the handshake, and bytes in the clear for what speaks behind it (TLS-2).

use super::link::{App, Failure, Phase};
use super::{Engine, LinkError, Stage};
use crate::error::ErrorKind;
use crate::tls::TlsFailure;
use crate::trace::debug;

impl Engine {
    /// Moves the clock that certificates are checked by.
    pub(super) fn tell_tls_the_time(&self) {
        if let Some(profile) = &self.tls {
            profile.set_unix_time(self.config.unix_time + self.now.saturating_duration_since(self.born));
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
        self.fail_link(index, tls_failure(failure));
    }
}

/// A refused certificate does not get better by trying again; everything else may (`connecting.md` 4.5).
pub(super) fn tls_failure(failure: &TlsFailure) -> Failure {
    let kind = match failure {
        TlsFailure::UnknownIssuer { .. }
        | TlsFailure::Expired { .. }
        | TlsFailure::NotYetValid { .. }
        | TlsFailure::NameMismatch { .. }
        | TlsFailure::BadSignature { .. }
        | TlsFailure::HandshakeRejected { .. } => ErrorKind::TlsFailure,
        _ => ErrorKind::UnambiguousTimeout,
    };
    Failure { stage: Stage::Tls, kind, text: failure.to_string() }
}
