//! The same surface in a build without TLS: profiles cannot be built, so there are neither profiles nor sessions.

use std::convert::Infallible;
use std::time::Duration;

use super::{Identity, Note, PeerInfo, Policy, TlsError, TlsFailure, TlsMaterial};

const MISSING: TlsError = TlsError::FeatureNotAvailable("tls");

/// No certificates: without TLS nobody reads any.
pub fn pem_certificates(_text: &[u8]) -> (Vec<Vec<u8>>, bool) {
    (Vec::new(), false)
}

/// What all TLS connections of a cluster share; nobody has one in a build without TLS.
#[derive(Debug, Clone)]
pub struct TlsProfile(Infallible);

impl TlsProfile {
    /// [`TlsError::FeatureNotAvailable`]: this build has no TLS (TLS-1).
    pub fn build(_material: &TlsMaterial, _policy: &Policy) -> Result<(Self, Vec<Note>), TlsError> {
        Err(MISSING)
    }

    /// Never called: there is no profile.
    pub fn rebuild(&self, _material: &TlsMaterial) -> Result<(Self, Vec<Note>), TlsError> {
        match self.0 {}
    }

    /// Never called: there is no profile.
    pub fn with_identity(&self, _identity: Option<&Identity>) -> Result<Self, TlsError> {
        match self.0 {}
    }

    /// Never called: there is no profile.
    pub fn set_unix_time(&self, _unix_time: Duration) {
        match self.0 {}
    }

    /// Never called: there is no profile.
    pub fn has_identity(&self) -> bool {
        match self.0 {}
    }

    /// Never called: there is no profile.
    pub fn policy(&self) -> Policy {
        match self.0 {}
    }
}

/// One TLS connection; nobody has one in a build without TLS.
#[derive(Debug)]
pub struct TlsSession(Infallible);

impl TlsSession {
    /// Never called: there is no profile.
    pub fn new(profile: &TlsProfile, _host: &str) -> Result<Self, TlsFailure> {
        match profile.0 {}
    }

    /// Never called: there is no session.
    pub fn receive(&mut self, _cipher: &[u8], _plain: &mut Vec<u8>) -> Result<(), TlsFailure> {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn send(&mut self, _plain: &[u8]) -> Result<usize, TlsFailure> {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn close_notify(&mut self) {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn consume(&mut self, _len: usize) -> usize {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn output(&self) -> &[u8] {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn peer_closed(&self) -> bool {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn cut(&self) -> Option<TlsFailure> {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn host(&self) -> &str {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn unsent(&self) -> usize {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn peer(&self) -> Option<PeerInfo> {
        match self.0 {}
    }

    /// Never called: there is no session.
    pub fn presented_chain(&self) -> Vec<Vec<u8>> {
        match self.0 {}
    }
}
