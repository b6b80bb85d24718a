//! TLS between a socket and what speaks on it: what is sealed, and what of it has left.

use std::collections::VecDeque;

use crate::tls::{TlsFailure, TlsProfile, TlsSession};

/// So much ciphertext is made ahead of the socket; more waits in the clear, where it can still be withdrawn.
const AHEAD: usize = 64 * 1024;
/// The most plaintext of one TLS record.
const RECORD: usize = 16 * 1024;

/// One connection's TLS session, and how the bytes in the clear lie in the sealed ones.
#[derive(Debug)]
pub(super) struct Secure {
    pub(super) session: TlsSession,
    /// Whether what speaks on it was told that it may begin.
    pub(super) open: bool,
    /// Sealed stretches that the socket has not begun to take.
    runs: VecDeque<Run>,
    /// Plaintext in them: sealed, and not reported as written.
    sealed: usize,
    /// Ciphertext that the socket took.
    out: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// Where its ciphertext begins in the stream.
    start: u64,
    /// The plaintext in it.
    plain: usize,
}

impl Secure {
    pub(super) fn new(profile: &TlsProfile, host: &str) -> Result<Self, TlsFailure> {
        let session = TlsSession::new(profile, host)?;
        Ok(Self { session, open: false, runs: VecDeque::new(), sealed: 0, out: 0 })
    }

    /// Seals what waits in the clear, as far as the socket is not behind.
    pub(super) fn seal<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        if self.session.is_handshaking() || self.session.output().len() >= AHEAD {
            return;
        }
        let mut skip = self.sealed;
        for slice in slices {
            let passed = skip.min(slice.len());
            skip -= passed;
            for chunk in slice[passed..].chunks(RECORD) {
                if self.session.output().len() >= AHEAD {
                    return;
                }
                let start = self.out + self.session.output().len() as u64;
                self.session.send(chunk);
                self.runs.push_back(Run { start, plain: chunk.len() });
                self.sealed += chunk.len();
            }
        }
    }

    /// The socket took so many bytes: how many of the plaintext may have left with them. A record counts from its
    /// first byte on, since nobody but the peer knows where it was cut.
    pub(super) fn written(&mut self, len: usize) -> usize {
        let len = len.min(self.session.output().len());
        self.session.consume(len);
        self.out += len as u64;
        let mut plain = 0;
        while let Some(run) = self.runs.front().filter(|run| run.start < self.out) {
            plain += run.plain;
            self.runs.pop_front();
        }
        self.sealed -= plain;
        plain
    }
}
