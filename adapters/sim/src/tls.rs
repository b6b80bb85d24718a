//! TLS from the server's side: what it presents and accepts, and one connection as ciphertext in and out.

use crate::certificates::{Authorities, Certificates, ClientCertificate, Identity, UserMapping};
use crate::node::Node;
use crate::{CertificateField, NodeId};
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Above this much ciphertext that nobody took, plaintext waits.
const OUTPUT_HIGH_WATER: usize = 256 * 1024;
/// Plaintext that is encrypted in one go.
const PIECE: usize = 64 * 1024;

/// Which versions of TLS the cluster speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// Whether clients authenticate by certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    Disable,
    /// They may present one; those who do not go on to SASL.
    Enable,
    /// Without a valid one that names a user there is no connection.
    Mandatory,
}

/// The wall clock of the cluster, for rustls.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<AtomicU64>);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// What the cluster presents and accepts.
pub(crate) struct TlsSettings {
    /// Made when first needed: keys take time.
    authorities: Option<Authorities>,
    origin: Duration,
    clock: Clock,
    pub(crate) versions: TlsVersions,
    pub(crate) client_certificates: ClientCertificates,
    pub(crate) mappings: Vec<UserMapping>,
    certificates: BTreeMap<NodeId, Certificates>,
    /// Further names under which nodes are reached.
    names: BTreeMap<NodeId, Vec<String>>,
    /// With the sessions that can be resumed.
    configs: BTreeMap<NodeId, Arc<ServerConfig>>,
}

impl TlsSettings {
    pub(crate) fn new(origin: Duration) -> Self {
        Self {
            authorities: None,
            origin,
            clock: Clock::default(),
            versions: TlsVersions::Both,
            client_certificates: ClientCertificates::Disable,
            mappings: vec![UserMapping::whole(CertificateField::SubjectCn)],
            certificates: BTreeMap::new(),
            names: BTreeMap::new(),
            configs: BTreeMap::new(),
        }
    }

    fn authorities(&mut self) -> Result<&mut Authorities, rcgen::Error> {
        let authorities = match self.authorities.take() {
            Some(authorities) => authorities,
            None => Authorities::new(self.origin)?,
        };
        Ok(self.authorities.insert(authorities))
    }

    pub(crate) fn ca_pem(&mut self) -> Result<String, rcgen::Error> {
        self.authorities().map(|authorities| authorities.ca_pem())
    }

    /// Nodes present new certificates, of a new authority or the same.
    pub(crate) fn rotate(&mut self, new_authority: bool) -> Result<(), rcgen::Error> {
        self.configs.clear();
        if new_authority { self.authorities()?.rotate() } else { Ok(()) }
    }

    pub(crate) fn client(
        &mut self,
        kind: ClientCertificate,
        user: &str,
    ) -> Result<(String, String), rcgen::Error> {
        Ok(self.authorities()?.client(kind, user)?.into_pem())
    }

    pub(crate) fn set_certificates(&mut self, node: NodeId, kind: Certificates) {
        self.certificates.insert(node, kind);
        self.forget(node);
    }

    pub(crate) fn set_names(&mut self, node: NodeId, names: Vec<String>) {
        self.names.insert(node, names);
        self.forget(node);
    }

    /// What was made for a node is made anew for its next connection.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.configs.remove(&node);
    }

    /// The same for every node.
    pub(crate) fn forget_all(&mut self) {
        self.configs.clear();
    }

    /// A connection to a node.
    pub(crate) fn accept(&mut self, id: NodeId, node: &Node, unix_secs: u32) -> Option<TlsConnection> {
        self.clock.0.store(u64::from(unix_secs), Ordering::Relaxed);
        let config = match self.configs.get(&id) {
            Some(config) => Arc::clone(config),
            None => {
                let config = Arc::new(self.config(id, node)?);
                self.configs.insert(id, Arc::clone(&config));
                config
            }
        };
        let mut connection = ServerConnection::new(config).ok()?;
        connection.set_buffer_limit(None);
        Some(TlsConnection {
            connection,
            out: Vec::new(),
            sent: 0,
            greeted: false,
            ended: false,
            failure: None,
        })
    }

    fn config(&mut self, id: NodeId, node: &Node) -> Option<ServerConfig> {
        let kind = self.certificates.get(&id).copied().unwrap_or_default();
        let mut names = self.names.get(&id).cloned().unwrap_or_default();
        names.push(node.address.host.clone());
        names.extend(node.address.alternates.iter().map(|alternate| alternate.host.clone()));
        let authorities = self.authorities().ok()?;
        let identity: Identity = authorities.node(kind, &node.address.host, &names).ok()?;
        let mut roots = RootCertStore::empty();
        roots.add(authorities.ca_der().clone()).ok()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[&rustls::SupportedProtocolVersion] = match self.versions {
            TlsVersions::Both => &[&rustls::version::TLS12, &rustls::version::TLS13],
            TlsVersions::Only12 => &[&rustls::version::TLS12],
            TlsVersions::Only13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(self.clock.clone()))
            .with_protocol_versions(versions)
            .ok()?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.client_certificates {
            ClientCertificates::Disable => builder.with_no_client_auth(),
            ClientCertificates::Enable => {
                builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().ok()?)
            }
            ClientCertificates::Mandatory => builder.with_client_cert_verifier(verifier.build().ok()?),
        };
        builder.with_single_cert(identity.chain.clone(), identity.key()).ok()
    }

    /// Tells rustls the time.
    pub(crate) fn set_clock(&self, unix_secs: u32) {
        self.clock.0.store(u64::from(unix_secs), Ordering::Relaxed);
    }
}

/// The user that a client's certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// The handshake goes on, or was over before.
    None,
    /// It is over; the certificate of the client, if it had one.
    Done(Option<rustls::pki_types::CertificateDer<'static>>),
}

/// The TLS of one connection.
pub(crate) struct TlsConnection {
    connection: ServerConnection,
    /// Ciphertext for the client.
    out: Vec<u8>,
    sent: usize,
    greeted: bool,
    /// The client or we have ended the stream, or it failed.
    ended: bool,
    failure: Option<String>,
}

impl TlsConnection {
    /// Takes ciphertext; appends what it held to `plain`.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Greeting {
        while !bytes.is_empty() && !self.ended {
            if self.connection.read_tls(&mut bytes).is_err() {
                self.ended = true;
                break;
            }
            match self.connection.process_new_packets() {
                Ok(state) => {
                    let start = plain.len();
                    plain.resize(start + state.plaintext_bytes_to_read(), 0);
                    let read =
                        plain.get_mut(start..).map_or(Ok(0), |place| self.connection.reader().read(place));
                    plain.truncate(start + read.unwrap_or(0));
                    self.ended |= state.peer_has_closed();
                }
                Err(error) => {
                    self.failure = Some(error.to_string());
                    self.ended = true;
                }
            }
        }
        self.encrypt();
        if self.greeted || self.ended || self.connection.is_handshaking() {
            return Greeting::None;
        }
        self.greeted = true;
        let certificate = self.connection.peer_certificates().and_then(<[_]>::first).cloned();
        Greeting::Done(certificate.map(rustls::pki_types::CertificateDer::into_owned))
    }

    /// Takes plaintext for the client as far as there is room; how much.
    pub(crate) fn send(&mut self, plain: &[u8]) -> usize {
        if self.ended || self.connection.is_handshaking() || self.pending().len() >= OUTPUT_HIGH_WATER {
            return 0;
        }
        let piece = plain.get(..PIECE).unwrap_or(plain);
        let taken = self.connection.writer().write(piece).unwrap_or(0);
        self.encrypt();
        taken
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.connection.send_close_notify();
            self.encrypt();
        }
    }

    /// Whether nothing more will be sent or read.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Why the client was turned away.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Ciphertext that the client should be given next.
    pub(crate) fn pending(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// The client took this many bytes.
    pub(crate) fn written(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len).min(self.out.len());
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    fn encrypt(&mut self) {
        while self.connection.wants_write() {
            // Writing to memory does not fail.
            if self.connection.write_tls(&mut self.out).is_err() {
                return;
            }
        }
    }
}
