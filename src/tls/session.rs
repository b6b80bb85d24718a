//! One TLS connection: ciphertext in, plaintext out, and back.
//!
//! The back end decrypts in place, in the one buffer that ciphertext is gathered in; what it encrypts is put behind what
//! waits to be written, record by record. `records` runs along that output, so that the engine learns which plaintext has
//! left: a peer can open a record only when it has all of it.

use std::collections::VecDeque;
use std::fmt;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{Error, HandshakeKind, ProtocolVersion};
use zeroize::Zeroizing;

use super::classify::{self, Circumstances};
use super::verifier::bounded;
use super::window::Window;
use super::{PeerInfo, TlsFailure, TlsProfile};

/// Plaintext of one record.
const RECORD: usize = 16 * 1024;
/// More than what a record adds to its plaintext, under any suite.
const OVERHEAD: usize = 64;
/// Ciphertext that may wait for the rest of its record or handshake message: the longest of both.
const MAX_UNFINISHED: usize = 0xffff + RECORD + 2048 + 5;
/// The bytes that tell what a peer speaks.
const FIRST: usize = 8;

/// One TLS connection as a client.
///
/// What a peer sends makes it fail at worst, and it holds no more than one handshake message of it. It has no timers:
/// a peer that stalls is the engine's to end.
pub struct TlsSession {
    connection: UnbufferedClientConnection,
    host: Box<str>,
    profile: TlsProfile,
    incoming: Window,
    outgoing: Window,
    records: VecDeque<Record>,
    /// Plaintext that was sent before the handshake was done. It may hold credentials.
    waiting: Zeroizing<Vec<u8>>,
    first: [u8; FIRST],
    first_len: usize,
    closing: Closing,
    peer_closed: bool,
    failure: Option<Box<TlsFailure>>,
    refused: Vec<Vec<u8>>,
}

/// How far our own end of the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Open,
    /// `close_notify` is to be sent once anything can be.
    Due,
    Said,
}

/// A stretch of the output.
struct Record {
    cipher: usize,
    /// The plaintext that has left once all of `cipher` has.
    plain: usize,
}

impl TlsSession {
    /// Begins a session: the first bytes to write are in [`TlsSession::output`] at once.
    ///
    /// `host` is the name or address as dialled (TLS-14), which the certificate must be for: a DNS name, with or without its
    /// trailing dot, or an IP address, an IPv6 one with or without brackets and zone. Only a DNS name is sent as SNI (TLS-15).
    ///
    /// # Errors
    ///
    /// [`TlsFailure::Other`] if `host` is empty or no name that a certificate can hold.
    pub fn new(profile: &TlsProfile, host: &str) -> Result<Self, TlsFailure> {
        let other = |text: String| TlsFailure::Other { host: host.to_owned(), text };
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = name.split_once('%').map_or(name, |(address, _)| address);
        let name = name.strip_suffix('.').unwrap_or(name);
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
            other(format!(
                "`{name}` is neither a DNS name nor an IP address, so no certificate can be for it"
            ))
        })?;
        let connection = UnbufferedClientConnection::new(profile.config().clone(), server_name)
            .map_err(|error| other(error.to_string()))?;
        let mut session = Self {
            connection,
            host: name.into(),
            profile: profile.clone(),
            incoming: Window::default(),
            outgoing: Window::default(),
            records: VecDeque::new(),
            waiting: Zeroizing::default(),
            first: [0; FIRST],
            first_len: 0,
            closing: Closing::Open,
            peer_closed: false,
            failure: None,
            refused: Vec::new(),
        };
        session.pump(&mut Vec::new(), &[])?;
        Ok(session)
    }

    /// Takes ciphertext in any slicing and appends to `plain` what it holds. Look at [`TlsSession::output`] afterwards:
    /// handshakes, and alerts, answer.
    ///
    /// # Errors
    ///
    /// Why the session is over; it stays so, and later calls say the same. What was read before is in `plain`.
    pub fn receive(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsFailure> {
        self.check()?;
        if self.peer_closed {
            return Ok(());
        }
        let room = FIRST - self.first_len;
        for byte in cipher.iter().take(room) {
            self.first[self.first_len] = *byte;
            self.first_len += 1;
        }
        self.incoming.append(cipher);
        self.pump(plain, &[])?;
        if self.incoming.len() > MAX_UNFINISHED {
            let text = "the peer sent a handshake message beyond the bounds of TLS".to_owned();
            return Err(self.fail(TlsFailure::Other { host: self.host.to_string(), text }));
        }
        Ok(())
    }

    /// Encrypts plaintext behind the output; returns by how many bytes the output grew. Before the handshake is done the
    /// plaintext waits, and it is encrypted by the [`TlsSession::receive`] that completes the handshake. After
    /// [`TlsSession::close_notify`] it is dropped.
    ///
    /// # Errors
    ///
    /// Why the session is over. Under TLS 1.2 that happens after 2^24 records at the earliest, when its keys are used up:
    /// open another session then.
    pub fn send(&mut self, plain: &[u8]) -> Result<usize, TlsFailure> {
        self.check()?;
        if self.closing != Closing::Open || plain.is_empty() {
            return Ok(0);
        }
        let before = self.outgoing.len();
        if self.connection.is_handshaking() {
            self.waiting.extend_from_slice(plain);
        } else {
            self.pump(&mut Vec::new(), plain)?;
        }
        Ok(self.outgoing.len() - before)
    }

    /// Says that nothing more will be sent, once the handshake is done. The peer may send on; what it sends is still read.
    pub fn close_notify(&mut self) {
        if self.closing != Closing::Open || self.failure.is_some() {
            return;
        }
        self.closing = Closing::Due;
        self.waiting = Zeroizing::default();
        if !self.is_handshaking() {
            // A failure is kept for the next call.
            let _ = self.pump(&mut Vec::new(), &[]);
        }
    }

    /// Says that `len` bytes of the output were written; returns how many bytes of plaintext left with them: those of
    /// records that are gone to their last byte.
    pub fn consume(&mut self, len: usize) -> usize {
        let mut left = len.min(self.outgoing.len());
        self.outgoing.consume(left);
        let mut plain = 0;
        while let Some(record) = self.records.front_mut() {
            if record.cipher > left {
                record.cipher -= left;
                break;
            }
            left -= record.cipher;
            plain += record.plain;
            self.records.pop_front();
        }
        plain
    }

    /// Ciphertext to write, until [`TlsSession::consume`] says that it was. Also after a failure: its alert.
    pub fn output(&self) -> &[u8] {
        self.outgoing.filled()
    }

    /// Whether the handshake is not done yet. Under TLS 1.3 the peer may still refuse the client certificate afterwards.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer said that it will send nothing more; anything after that is ignored.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What it means if the connection ends here: `None` if both the handshake was done and the peer ended the session by
    /// `close_notify`.
    pub fn cut(&self) -> Option<TlsFailure> {
        if let Some(failure) = &self.failure {
            return Some((**failure).clone());
        }
        if self.peer_closed {
            return None;
        }
        let host = self.host.to_string();
        Some(match classify::plain_bytes(&self.first[..self.first_len]) {
            Some(seen) => TlsFailure::NotTls { host, seen },
            None => TlsFailure::Io { host, handshaking: self.is_handshaking() },
        })
    }

    /// The name or address that the certificate must be for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Bytes of plaintext that wait for the handshake.
    pub fn unsent(&self) -> usize {
        self.waiting.len()
    }

    /// Whom this session speaks to; `None` before the handshake is done.
    pub fn peer(&self) -> Option<PeerInfo> {
        if self.is_handshaking() {
            return None;
        }
        let version = match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLS 1.2",
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => return None,
        };
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        Some(PeerInfo {
            version,
            // The back end's names mark those of TLS 1.3 by the version.
            cipher_suite: format!("{suite:?}").replacen("TLS13_", "TLS_", 1),
            chain: self.presented_chain(),
            resumed: self.connection.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The certificates that the peer presented, as DER, its own first: at most 16 and 64 KiB. Those of a refused chain too;
    /// only the first one if its handshake signature was wrong. Empty as long as none came.
    pub fn presented_chain(&self) -> Vec<Vec<u8>> {
        if self.refused.is_empty() {
            bounded(self.connection.peer_certificates().unwrap_or_default())
        } else {
            self.refused.clone()
        }
    }

    fn check(&self) -> Result<(), TlsFailure> {
        self.failure.as_deref().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    fn fail(&mut self, failure: TlsFailure) -> TlsFailure {
        self.waiting = Zeroizing::default();
        self.incoming = Window::default();
        self.failure = Some(Box::new(failure.clone()));
        failure
    }

    /// Runs the back end until it needs more bytes, and encrypts `send` once it can.
    fn pump(&mut self, plain: &mut Vec<u8>, send: &[u8]) -> Result<(), TlsFailure> {
        loop {
            match self.step(plain, send) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.drain_alerts(plain);
                    let about = Circumstances {
                        host: &self.host,
                        first: &self.first[..self.first_len],
                        explicit: self.profile.explicit_trust(),
                        capella: self.profile.policy().capella,
                    };
                    let (failure, refused) = classify::classify(&error, &about);
                    self.refused = refused;
                    return Err(self.fail(failure));
                }
            }
        }
    }

    /// Moves what the back end still has to say into the output. It must not see input again, so this goes on only as long
    /// as it has output, which it gives before it looks at input.
    fn drain_alerts(&mut self, plain: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.step(plain, &[]).is_err() {
                return;
            }
        }
    }

    /// One state of the back end; whether there may be another one.
    fn step(&mut self, plain: &mut Vec<u8>, send: &[u8]) -> Result<bool, Error> {
        let Self { connection, incoming, outgoing, records, waiting, closing, .. } = self;
        let UnbufferedStatus { mut discard, state } = connection.process_tls_records(incoming.filled_mut());
        let more = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(true),
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let mut room = OVERHEAD;
                loop {
                    match data.encode(outgoing.spare(room)) {
                        Ok(len) => {
                            outgoing.advance(len);
                            note(records, len, 0);
                            break Ok(true);
                        }
                        Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                            room = size.required_size
                        }
                        Err(error) => break Err(Error::General(error.to_string())),
                    }
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(true)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let early = Zeroizing::new(std::mem::take(&mut **waiting));
                let mut sent = encrypt(&mut traffic, outgoing, records, &early);
                if sent.is_ok() {
                    sent = encrypt(&mut traffic, outgoing, records, send);
                }
                if *closing == Closing::Due && sent.is_ok() {
                    *closing = Closing::Said;
                    sent = write(outgoing, records, OVERHEAD, 0, |room| traffic.queue_close_notify(room));
                }
                sent.map(|()| false)
            }
            Ok(ConnectionState::PeerClosed) => {
                self.peer_closed = true;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        incoming.consume(discard);
        if self.peer_closed {
            incoming.consume(usize::MAX);
        }
        more
    }
}

/// Encrypts `plain` behind the output, each record noted apart.
fn encrypt<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    outgoing: &mut Window,
    records: &mut VecDeque<Record>,
    plain: &[u8],
) -> Result<(), Error> {
    for chunk in plain.chunks(RECORD) {
        write(outgoing, records, chunk.len() + OVERHEAD, chunk.len(), |room| traffic.encrypt(chunk, room))?;
    }
    Ok(())
}

/// Lets the back end write into room behind the output, with more of it where it asks for more.
fn write(
    outgoing: &mut Window,
    records: &mut VecDeque<Record>,
    mut room: usize,
    plain: usize,
    mut into: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    loop {
        match into(outgoing.spare(room)) {
            Ok(len) => {
                outgoing.advance(len);
                note(records, len, plain);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size
            }
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

/// Notes a stretch at the end of the output. Stretches without plaintext join the one before them only if that has none:
/// what a record holds has left when the record has, not later.
fn note(records: &mut VecDeque<Record>, cipher: usize, plain: usize) {
    match records.back_mut() {
        Some(last) if last.plain == 0 => {
            last.cipher += cipher;
            last.plain = plain;
        }
        _ => records.push_back(Record { cipher, plain }),
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("host", &self.host)
            .field("handshaking", &self.is_handshaking())
            .field("unread", &self.incoming.len())
            .field("unwritten", &self.outgoing.len())
            .field("peer_closed", &self.peer_closed)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
