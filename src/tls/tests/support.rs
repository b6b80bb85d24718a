//! Certificates of every kind, a server in memory, and the wire between it and a session.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

pub(super) use super::super::*;

/// 2026-01-01, within the validity of every certificate here that is not made to be otherwise.
pub(super) const NOW: Duration = Duration::from_secs(1_767_225_600);

pub(super) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(super) const ONLY_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(super) const ONLY_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(super) type Ca = CertifiedIssuer<'static, KeyPair>;

/// A cluster's CA.
pub(super) fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2013, 1, 1), date_time_ymd(2049, 12, 31));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A node's certificate for these names and addresses, still to be changed and signed.
pub(super) fn leaf(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    params.distinguished_name.push(DnType::CommonName, "Couchbase Server Node");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
    params
}

/// A certificate and its key.
pub(super) struct Signed {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

impl Signed {
    pub(super) fn by(ca: &Ca, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.signed_by(&key, ca).unwrap(), key }
    }

    pub(super) fn by_itself(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), key }
    }

    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A server whose certificate `resolver` chooses.
pub(super) fn resolving(
    resolver: impl ResolvesServerCert + 'static,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(profile::provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver)))
}

/// A certificate and a key, whether they belong together or not.
pub(super) fn certified(certificate: CertificateDer<'static>, key: &Signed) -> Arc<CertifiedKey> {
    let key = profile::provider().key_provider.load_private_key(key.key_der()).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate], key))
}

/// A server with this certificate, speaking `versions`; it demands a client certificate of `clients`.
pub(super) fn server_config(
    signed: &Signed,
    more: &[CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Ca>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(profile::provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut chain = vec![signed.certificate.der().clone()];
    chain.extend_from_slice(more);
    Arc::new(builder.with_single_cert(chain, signed.key_der()).unwrap())
}

/// A server for `names` with a certificate of `ca`.
pub(super) fn server(ca: &Ca, names: &[&str]) -> ServerConnection {
    serve(&server_config(&Signed::by(ca, leaf(names)), &[], BOTH, None))
}

pub(super) fn serve(config: &Arc<ServerConfig>) -> ServerConnection {
    ServerConnection::new(config.clone()).unwrap()
}

/// What a client that trusts `ca` alone is given.
pub(super) fn trusting(ca: &Ca) -> TlsMaterial {
    TlsMaterial {
        trust: vec![TrustSource::pem("ca.pem", ca.pem())],
        unix_time: NOW,
        ..TlsMaterial::default()
    }
}

pub(super) fn build(material: &TlsMaterial, policy: Policy) -> TlsProfile {
    TlsProfile::build(material, &policy).unwrap().0
}

pub(super) fn profile(ca: &Ca) -> TlsProfile {
    build(&trusting(ca), Policy::default())
}

/// A session with a server, and what each has read.
pub(super) struct Wire {
    pub(super) client: TlsSession,
    pub(super) server: ServerConnection,
    pub(super) to_client: Vec<u8>,
    pub(super) to_server: Vec<u8>,
    /// Why the server gave up.
    pub(super) server_error: Option<rustls::Error>,
    /// How many bytes at a time reach the client.
    pub(super) slice: usize,
}

impl Wire {
    pub(super) fn new(profile: &TlsProfile, host: &str, server: ServerConnection) -> Self {
        Self {
            client: TlsSession::new(profile, host).unwrap(),
            server,
            to_client: Vec::new(),
            to_server: Vec::new(),
            server_error: None,
            slice: usize::MAX,
        }
    }

    /// Carries bytes until nobody has any; the failure of the client, if it has one.
    pub(super) fn run(&mut self) -> Result<(), TlsFailure> {
        let mut failure = Ok(());
        loop {
            let mut moved = 0;
            let output = self.client.output().to_vec();
            moved += output.len();
            self.feed_server(&output);
            self.client.consume(output.len());
            let mut cipher = Vec::new();
            while self.server.wants_write() {
                let _ = self.server.write_tls(&mut cipher);
            }
            moved += cipher.len();
            for slice in cipher.chunks(self.slice) {
                if failure.is_ok() {
                    failure = self.client.receive(slice, &mut self.to_client);
                }
            }
            if moved == 0 {
                return failure;
            }
        }
    }

    fn feed_server(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.server_error.is_none() {
            if self.server.read_tls(&mut bytes).unwrap() == 0 {
                return;
            }
            match self.server.process_new_packets() {
                Ok(_) => {
                    let _ = std::io::Read::read_to_end(&mut self.server.reader(), &mut self.to_server);
                }
                Err(error) => self.server_error = Some(error),
            }
        }
    }

    pub(super) fn server_says(&mut self, plain: &[u8]) {
        std::io::Write::write_all(&mut self.server.writer(), plain).unwrap();
    }
}

/// The outcome of a handshake with a server of `config`.
pub(super) fn handshake(
    profile: &TlsProfile,
    host: &str,
    config: &Arc<ServerConfig>,
) -> Result<Wire, TlsFailure> {
    let mut wire = Wire::new(profile, host, serve(config));
    wire.run()?;
    assert!(!wire.client.is_handshaking());
    Ok(wire)
}

/// How a handshake with a certificate of `ca` made from `params` fails.
pub(super) fn failure_of(ca: &Ca, params: CertificateParams, host: &str) -> TlsFailure {
    let config = server_config(&Signed::by(ca, params), &[], BOTH, None);
    let mut wire = Wire::new(&profile(ca), host, serve(&config));
    let failure = wire.run().unwrap_err();
    assert!(wire.server_error.is_some(), "the server hears of it");
    assert_eq!(wire.client.receive(b"x", &mut Vec::new()).as_ref(), Err(&failure), "a failure stays");
    assert_eq!(wire.client.send(b"x").as_ref(), Err(&failure));
    failure
}
