//! TLS between a socket and what speaks on it: what is sealed, and what of it has left.

use crate::tls::{TlsFailure, TlsProfile, TlsSession};

/// So much ciphertext is made ahead of the socket; more waits in the clear, where it can still be withdrawn.
const AHEAD: usize = 64 * 1024;
/// The most plaintext of one TLS record.
const RECORD: usize = 16 * 1024;

/// One connection's TLS session, and how much of what waits in the clear it holds.
#[derive(Debug)]
pub(super) struct Secure {
    pub(super) session: TlsSession,
    /// Whether what speaks on it was told that it may begin.
    pub(super) open: bool,
    /// Plaintext that is sealed and not reported as written.
    sealed: usize,
}

impl Secure {
    pub(super) fn new(profile: &TlsProfile, host: &str) -> Result<Self, TlsFailure> {
        let session = TlsSession::new(profile, host)?;
        Ok(Self { session, open: false, sealed: 0 })
    }

    /// Seals what waits in the clear, as far as the socket is not behind.
    pub(super) fn seal<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> Result<(), TlsFailure> {
        if !self.open || self.session.output().len() >= AHEAD {
            return Ok(());
        }
        let mut skip = self.sealed;
        for slice in slices {
            let passed = skip.min(slice.len());
            skip -= passed;
            for chunk in slice[passed..].chunks(RECORD) {
                if self.session.output().len() >= AHEAD {
                    return Ok(());
                }
                self.session.send(chunk)?;
                self.sealed += chunk.len();
            }
        }
        Ok(())
    }

    /// The socket took so many bytes: how many of the plaintext left with them. A record counts when it is out whole,
    /// since nobody can read a part of one.
    pub(super) fn written(&mut self, len: usize) -> usize {
        let plain = self.session.consume(len);
        self.sealed -= plain.min(self.sealed);
        plain
    }
}
