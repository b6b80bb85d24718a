//! A rustls client against the pure cluster.

use super::*;
use crate::{CertificateField, ConnId, Features, Listener, NodeAddress, Service, Settings};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind,
    ProtocolVersion, RootCertStore,
};
use settee::ids::Opaque;
use settee::wire::{Encode, Frame, Opcode, Status};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

const NODE: NodeId = NodeId(0);
const WALL: Duration = Duration::from_secs(1_800_000_000);

#[derive(Debug)]
struct At(Duration);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0))
    }
}

/// What a client trusts and presents. The wall clock stands at `wall`.
pub(crate) fn client_config(
    ca_pem: &str,
    identity: Option<&(String, String)>,
    wall: Duration,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(At(wall)))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

struct Bench {
    cluster: Cluster,
    now: Instant,
}

struct Client {
    conn: ConnId,
    tls: ClientConnection,
    plain: Vec<u8>,
    error: Option<Error>,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings { vbuckets: 4, scram_iterations: 10, ..Settings::default() };
        let address = NodeAddress::with_services("node1.sim", &[Service::Kv, Service::Mgmt]);
        let now = Instant::now();
        let mut cluster = Cluster::new(settings, vec![address], now, WALL);
        cluster.add_bucket("travel");
        cluster.set_password("jane", "pencil");
        Self { cluster, now }
    }

    fn config(&mut self) -> Arc<ClientConfig> {
        client_config(&self.cluster.ca_pem(), None, WALL)
    }

    fn dial(&mut self, config: &Arc<ClientConfig>, name: &'static str) -> Client {
        self.dial_listener(config, name, Listener::KV_TLS)
    }

    fn dial_listener(
        &mut self,
        config: &Arc<ClientConfig>,
        name: &'static str,
        listener: Listener,
    ) -> Client {
        let conn = self.cluster.connect(NODE, listener, self.now).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut client = Client { conn, tls, plain: Vec::new(), error: None };
        self.exchange(&mut client);
        client
    }

    /// Carries ciphertext in both directions until nothing moves.
    fn exchange(&mut self, client: &mut Client) {
        loop {
            let mut up = Vec::new();
            while client.tls.wants_write() {
                client.tls.write_tls(&mut up).unwrap();
            }
            if !up.is_empty() {
                self.cluster.receive(client.conn, &up, self.now);
            }
            let down = self.cluster.output(client.conn).to_vec();
            self.cluster.written(client.conn, down.len(), self.now);
            let mut rest = &down[..];
            while !rest.is_empty() && client.error.is_none() {
                client.tls.read_tls(&mut rest).unwrap();
                match client.tls.process_new_packets() {
                    Ok(state) => {
                        let start = client.plain.len();
                        client.plain.resize(start + state.plaintext_bytes_to_read(), 0);
                        client.tls.reader().read_exact(&mut client.plain[start..]).unwrap();
                    }
                    Err(error) => client.error = Some(error),
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    fn send(&mut self, client: &mut Client, request: Encode<'_>, value: &[u8]) {
        let mut bytes = Vec::new();
        request.emit(value, &mut bytes).unwrap();
        client.tls.writer().write_all(&bytes).unwrap();
        self.exchange(client);
    }

    fn ask(&mut self, client: &mut Client, request: Encode<'_>, value: &[u8]) -> Status {
        self.send(client, request, value);
        client.next().map(|(status, _)| status).unwrap()
    }

    fn plain(&mut self, client: &mut Client, user: &str, password: &str) -> Status {
        let auth = Encode { key: b"PLAIN", ..Encode::request(Opcode::SASL_AUTH, Opaque(1)) };
        self.ask(client, auth, format!("\0{user}\0{password}").as_bytes())
    }

    fn select(&mut self, client: &mut Client) -> Status {
        let select = Encode { key: b"travel", ..Encode::request(Opcode::SELECT_BUCKET, Opaque(2)) };
        self.ask(client, select, b"")
    }
}

impl Client {
    fn next(&mut self) -> Option<(Status, Vec<u8>)> {
        let (frame, used) = Frame::parse(&self.plain, 1 << 25).unwrap()?;
        let got = (Status(frame.header.vbucket_or_status), frame.value.to_vec());
        self.plain.drain(..used);
        Some(got)
    }
}

#[test]
fn the_data_service_works_over_both_versions() {
    for (versions, version) in
        [(TlsVersions::Only12, ProtocolVersion::TLSv1_2), (TlsVersions::Only13, ProtocolVersion::TLSv1_3)]
    {
        let mut bench = Bench::new();
        bench.cluster.set_tls_versions(versions);
        let config = bench.config();
        let mut client = bench.dial(&config, "node1.sim");
        assert_eq!(client.error, None);
        assert_eq!(client.tls.protocol_version(), Some(version));
        assert_eq!(bench.plain(&mut client, "jane", "wrong"), Status::AUTH_ERROR);
        assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::SUCCESS);
        assert_eq!(bench.select(&mut client), Status::SUCCESS);
    }
}

#[test]
fn tls_19_each_bad_certificate_is_refused_for_its_own_reason() {
    for kind in [
        Certificates::Expired,
        Certificates::NotYetValid,
        Certificates::WrongName,
        Certificates::SelfSigned,
        Certificates::UnknownIssuer,
    ] {
        let mut bench = Bench::new();
        bench.cluster.set_certificates(NODE, kind);
        let config = bench.config();
        let client = bench.dial(&config, "node1.sim");
        let Some(Error::InvalidCertificate(why)) = client.error else {
            panic!("{kind:?}: {:?}", client.error)
        };
        let expected = match kind {
            Certificates::Expired => matches!(why, CertificateError::ExpiredContext { .. }),
            Certificates::NotYetValid => matches!(why, CertificateError::NotValidYetContext { .. }),
            Certificates::WrongName => matches!(why, CertificateError::NotValidForNameContext { .. }),
            _ => why == CertificateError::UnknownIssuer,
        };
        assert!(expected, "{kind:?}: {why:?}");
        assert!(
            bench.cluster.tls_failure(NODE).unwrap().contains("alert"),
            "{:?}",
            bench.cluster.tls_failure(NODE)
        );
        assert!(bench.cluster.is_closed(client.conn));
        bench.cluster.set_certificates(NODE, Certificates::Good);
        assert_eq!(bench.dial(&config, "node1.sim").error, None);
    }
}

#[test]
fn a_certificate_ends_in_the_clusters_own_time() {
    let mut bench = Bench::new();
    let later = Duration::from_secs(900 * 86_400);
    bench.now += later;
    let config = client_config(&bench.cluster.ca_pem(), None, WALL + later);
    let client = bench.dial(&config, "node1.sim");
    assert!(
        matches!(client.error, Some(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))),
        "{:?}",
        client.error
    );
    assert_eq!(bench.cluster.unix(), WALL + later);
}

#[test]
fn tls_16_a_certificate_for_the_address_alone_does_not_match_localhost() {
    let mut bench = Bench::new();
    let config = bench.config();
    bench.cluster.set_certificates(NODE, Certificates::IpOnly);
    assert_eq!(bench.dial(&config, "127.0.0.1").error, None);
    let error = bench.dial(&config, "localhost").error.unwrap();
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
}

#[test]
fn tls_18_certificates_hold_for_the_external_names() {
    let mut bench = Bench::new();
    let mut address = bench.cluster.address(NODE).unwrap().clone();
    address.alternates = vec![crate::Alternate::external("outside.example")];
    bench.cluster.set_address(NODE, address);
    bench.cluster.set_certificate_names(NODE, vec!["10.0.0.1".to_owned()]);
    let config = bench.config();
    for name in ["outside.example", "10.0.0.1", "127.0.0.1", "::1"] {
        assert_eq!(bench.dial(&config, name).error, None, "{name}");
    }
}

#[test]
fn sessions_are_resumed_until_certificates_rotate() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let mut bench = Bench::new();
        bench.cluster.set_tls_versions(versions);
        let config = bench.config();
        let client = bench.dial(&config, "node1.sim");
        assert_ne!(client.tls.handshake_kind(), Some(HandshakeKind::Resumed));
        let client = bench.dial(&config, "node1.sim");
        assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Resumed), "{versions:?}");
        bench.cluster.rotate_certificates(false);
        let client = bench.dial(&config, "node1.sim");
        assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Full), "{versions:?}");
    }
}

#[test]
fn s70_s71_rotation_leaves_connections_alone_and_a_new_authority_must_be_trusted() {
    let mut bench = Bench::new();
    let config = bench.config();
    let mut old = bench.dial(&config, "node1.sim");
    bench.cluster.rotate_certificates(false);
    let new = bench.dial(&config, "node1.sim");
    assert_eq!(new.error, None, "the same authority");
    assert_ne!(new.tls.peer_certificates(), old.tls.peer_certificates());
    bench.cluster.rotate_certificates(true);
    assert_eq!(bench.plain(&mut old, "jane", "pencil"), Status::SUCCESS);
    // Not resumed with what the client knows of before: the server has forgotten it.
    let error = bench.dial(&config, "node1.sim").error;
    assert_eq!(error, Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)));
    let config = bench.config();
    assert_eq!(bench.dial(&config, "node1.sim").error, None);
}

#[test]
fn auth_5_a_client_certificate_names_the_user_and_sasl_is_refused() {
    let mut bench = Bench::new();
    bench.cluster.set_client_certificates(ClientCertificates::Enable);
    let identity = bench.cluster.client_certificate("jane");
    let config = client_config(&bench.cluster.ca_pem(), Some(&identity), WALL);
    let mut client = bench.dial(&config, "node1.sim");
    assert_eq!(client.error, None);
    let list = Encode::request(Opcode::SASL_LIST_MECHS, Opaque(1));
    assert_eq!(bench.ask(&mut client, list, b""), Status::NOT_SUPPORTED);
    assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::NOT_SUPPORTED);
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    let config = bench.config();
    let mut client = bench.dial(&config, "node1.sim");
    assert_eq!(
        bench.plain(&mut client, "jane", "pencil"),
        Status::SUCCESS,
        "without a certificate SASL works"
    );
}

#[test]
fn auth_5_other_fields_and_unknown_users() {
    let mut bench = Bench::new();
    bench.cluster.set_client_certificates(ClientCertificates::Enable);
    bench.cluster.set_user_mappings(vec![UserMapping {
        field: CertificateField::SanEmail,
        prefix: String::new(),
        delimiters: "@".to_owned(),
    }]);
    let ca = bench.cluster.ca_pem();
    let jane = bench.cluster.client_certificate("jane");
    let mut client = bench.dial(&client_config(&ca, Some(&jane), WALL), "node1.sim");
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    let nobody = bench.cluster.client_certificate("nobody");
    let client = bench.dial(&client_config(&ca, Some(&nobody), WALL), "node1.sim");
    assert!(bench.cluster.is_closed(client.conn), "a certificate for an unknown user");
    bench.cluster.set_user_mappings(Vec::new());
    let mut client = bench.dial(&client_config(&ca, Some(&jane), WALL), "node1.sim");
    assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::SUCCESS, "it names nobody: SASL is left");
}

#[test]
fn client_certificates_that_are_missing_expired_or_foreign_are_refused() {
    let mut bench = Bench::new();
    bench.cluster.set_client_certificates(ClientCertificates::Mandatory);
    let ca = bench.cluster.ca_pem();
    let (expired, foreign) =
        (bench.cluster.expired_client_certificate("jane"), bench.cluster.foreign_client_certificate("jane"));
    for (identity, alert) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&expired), AlertDescription::CertificateExpired),
        (Some(&foreign), AlertDescription::UnknownCA),
    ] {
        let client = bench.dial(&client_config(&ca, identity, WALL), "node1.sim");
        assert_eq!(client.error, Some(Error::AlertReceived(alert)));
        assert!(bench.cluster.is_closed(client.conn));
    }
    let jane = bench.cluster.client_certificate("jane");
    let mut client = bench.dial(&client_config(&ca, Some(&jane), WALL), "node1.sim");
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
}

#[test]
fn plain_bytes_on_a_tls_port_are_turned_away() {
    let mut bench = Bench::new();
    let conn = bench.cluster.connect(NODE, Listener::KV_TLS, bench.now).unwrap();
    let mut noop = Vec::new();
    Encode::request(Opcode::NOOP, Opaque(1)).emit(b"", &mut noop).unwrap();
    bench.cluster.receive(conn, &noop, bench.now);
    let output = bench.cluster.output(conn).to_vec();
    assert!(output.first().is_none_or(|first| *first == 21), "nothing but an alert: {output:?}");
    bench.cluster.written(conn, output.len(), bench.now);
    assert!(bench.cluster.is_closed(conn));
    assert!(bench.cluster.tls_failure(NODE).is_some());
}

#[test]
fn large_values_pushes_and_pauses_pass_through_tls() {
    let mut bench = Bench::new();
    let config = bench.config();
    let mut client = bench.dial(&config, "node1.sim");
    let features: Vec<u8> = [Features::DUPLEX, Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF]
        .into_iter()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert_eq!(bench.ask(&mut client, Encode::request(Opcode::HELLO, Opaque(0)), &features), Status::SUCCESS);
    assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::SUCCESS);
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    let vbucket = crate::vbucket_of(b"big", 4);
    let keyed =
        |opcode| Encode { vbucket_or_status: vbucket, key: b"big", ..Encode::request(opcode, Opaque(9)) };
    let value = vec![b'x'; 5 << 20];
    let set = Encode { extras: &[0; 8], ..keyed(Opcode::SET) };
    client.tls.set_buffer_limit(None);
    assert_eq!(bench.ask(&mut client, set, &value), Status::SUCCESS);
    // More answers than the session makes before somebody reads.
    for _ in 0..4 {
        let mut get = Vec::new();
        keyed(Opcode::GET).emit(b"", &mut get).unwrap();
        client.tls.writer().write_all(&get).unwrap();
    }
    bench.exchange(&mut client);
    for _ in 0..4 {
        assert_eq!(client.next().unwrap().1.len(), value.len());
    }
    bench.cluster.bump_revision("travel");
    assert_eq!(bench.cluster.poll_touched(), Some(client.conn));
    bench.exchange(&mut client);
    assert_eq!(client.plain.first(), Some(&0x82), "a notification");
    client.plain.clear();
    bench.cluster.pause_node(NODE);
    bench.send(&mut client, Encode::request(Opcode::NOOP, Opaque(3)), b"");
    assert_eq!(client.next(), None);
    bench.cluster.resume_node(NODE, bench.now);
    bench.exchange(&mut client);
    assert_eq!(client.next().unwrap().0, Status::SUCCESS);
}

#[test]
fn a_server_that_closes_says_so_inside_tls() {
    let mut bench = Bench::new();
    let config = bench.config();
    let mut client = bench.dial(&config, "node1.sim");
    assert_eq!(bench.ask(&mut client, Encode::request(Opcode::QUIT, Opaque(3)), b""), Status::SUCCESS);
    assert!(client.tls.process_new_packets().unwrap().peer_has_closed());
    assert!(bench.cluster.is_closed(client.conn));
}

#[test]
fn the_manager_listens_with_tls() {
    let mut bench = Bench::new();
    let config = bench.config();
    let mut client = bench.dial_listener(&config, "node1.sim", Listener::MGMT_TLS);
    client.tls.writer().write_all(b"GET /nothing/here HTTP/1.1\r\nHost: node1.sim\r\n\r\n").unwrap();
    bench.exchange(&mut client);
    assert!(client.plain.starts_with(b"HTTP/1.1 404 "), "{:?}", String::from_utf8_lossy(&client.plain));
    assert_eq!(bench.cluster.listener_of(client.conn), Some(Listener::MGMT_TLS));
}

impl Bench {
    /// A TLS connection that negotiated XERROR.
    fn hello(&mut self) -> Client {
        let config = self.config();
        let mut client = self.dial(&config, "node1.sim");
        let hello = Encode::request(Opcode::HELLO, Opaque(0));
        assert_eq!(self.ask(&mut client, hello, &Features::XERROR.to_be_bytes()), Status::SUCCESS);
        client
    }

    fn bearer(&mut self, client: &mut Client, token: &str) -> Status {
        let auth = Encode { key: b"OAUTHBEARER", ..Encode::request(Opcode::SASL_AUTH, Opaque(1)) };
        self.ask(client, auth, format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes())
    }

    fn config_status(&mut self, client: &mut Client) -> Status {
        self.ask(client, Encode::request(Opcode::GET_CLUSTER_CONFIG, Opaque(7)), b"")
    }
}

#[test]
fn auth_8_tokens_are_for_tls_alone_and_must_be_valid() {
    let mut bench = Bench::new();
    bench.cluster.set_token("t1", "jane", None);
    let mut client = bench.hello();
    assert_eq!(bench.bearer(&mut client, "t1"), Status::AUTH_ERROR, "not offered before 8.1");
    bench.cluster.set_mechanisms(&crate::Mechanism::ALL);
    bench.send(&mut client, Encode::request(Opcode::SASL_LIST_MECHS, Opaque(1)), b"");
    assert!(client.next().unwrap().1.ends_with(b" PLAIN OAUTHBEARER"));
    assert_eq!(bench.bearer(&mut client, "unknown"), Status::AUTH_ERROR);
    assert_eq!(bench.select(&mut client), Status::EACCESS);
    assert_eq!(bench.bearer(&mut client, "t1"), Status::SUCCESS);
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    let plain = bench.cluster.connect(NODE, Listener::KV, bench.now).unwrap();
    let mut list = Vec::new();
    Encode::request(Opcode::SASL_LIST_MECHS, Opaque(1)).emit(b"", &mut list).unwrap();
    bench.cluster.receive(plain, &list, bench.now);
    assert!(bench.cluster.output(plain).ends_with(b" PLAIN"));
}

#[test]
fn malformed_tokens_are_no_valid_requests() {
    let mut bench = Bench::new();
    bench.cluster.set_mechanisms(&crate::Mechanism::ALL);
    bench.cluster.set_token("t1", "jane", None);
    let mut client = bench.hello();
    for (payload, status) in [
        (&b"n,,\x01auth=Bearer t1\x01"[..], Status::EINVAL),
        (b"n,,\x01auth=Basic t1\x01\x01", Status::EINVAL),
        (b"y,,\x01auth=Bearer t1\x01\x01", Status::EINVAL),
        (b"n,x=1,\x01auth=Bearer t1\x01\x01", Status::EINVAL),
        (b"n,a=jane,\x01auth=Bearer t1\x01\x01", Status::SUCCESS),
    ] {
        let auth = Encode { key: b"OAUTHBEARER", ..Encode::request(Opcode::SASL_AUTH, Opaque(1)) };
        assert_eq!(bench.ask(&mut client, auth, payload), status, "{payload:?}");
    }
}

#[test]
fn auth_12_a_connection_whose_token_ends_is_stale_until_it_authenticates_again() {
    let mut bench = Bench::new();
    bench.cluster.set_mechanisms(&crate::Mechanism::ALL);
    bench.cluster.set_token("short", "jane", Some(WALL + Duration::from_secs(60)));
    bench.cluster.set_token("long", "jane", None);
    let mut client = bench.hello();
    assert_eq!(bench.bearer(&mut client, "short"), Status::SUCCESS);
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    bench.now += Duration::from_secs(59);
    assert_eq!(bench.config_status(&mut client), Status::SUCCESS);
    bench.now += Duration::from_secs(1);
    for opcode in [Opcode::GET_CLUSTER_CONFIG, Opcode::NOOP, Opcode::HELLO] {
        assert_eq!(bench.ask(&mut client, Encode::request(opcode, Opaque(7)), b""), Status::AUTH_STALE);
    }
    assert_eq!(
        bench.ask(&mut client, Encode::request(Opcode::SASL_LIST_MECHS, Opaque(1)), b""),
        Status::SUCCESS
    );
    assert_eq!(bench.bearer(&mut client, "short"), Status::AUTH_ERROR, "it has expired");
    assert_eq!(bench.bearer(&mut client, "long"), Status::SUCCESS);
    assert_eq!(bench.config_status(&mut client), Status::SUCCESS, "in place, with its bucket");
    assert!(bench.cluster.revoke_token("long"));
    assert_eq!(bench.config_status(&mut client), Status::AUTH_STALE, "revoked");
}

#[test]
fn users_of_another_directory_can_only_use_plain() {
    let mut bench = Bench::new();
    bench.cluster.set_external_user("ldap", "secret");
    let mut client = bench.hello();
    assert_eq!(bench.plain(&mut client, "ldap", "wrong"), Status::AUTH_ERROR);
    assert_eq!(bench.plain(&mut client, "ldap", "secret"), Status::SUCCESS);
    let mut client = bench.hello();
    let auth = Encode { key: b"SCRAM-SHA1", ..Encode::request(Opcode::SASL_AUTH, Opaque(1)) };
    bench.send(&mut client, auth, b"n,,n=ldap,r=abc");
    let (status, first) = client.next().unwrap();
    assert_eq!(status, Status::AUTH_CONTINUE, "nobody learns who exists");
    let nonce = String::from_utf8(first).unwrap().split(',').next().unwrap().to_owned();
    let step = Encode { key: b"SCRAM-SHA1", ..Encode::request(Opcode::SASL_STEP, Opaque(1)) };
    let proof = format!("c=biws,{nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(bench.ask(&mut client, step, proof.as_bytes()), Status::AUTH_ERROR);
}

#[test]
fn buckets_and_the_clusters_map_can_be_out_of_a_users_reach() {
    let mut bench = Bench::new();
    bench.cluster.add_bucket("other");
    bench.cluster.set_bucket_access("jane", Some(&["other"]));
    bench.cluster.set_cluster_config_access("jane", false);
    let mut client = bench.hello();
    assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::SUCCESS);
    assert_eq!(bench.config_status(&mut client), Status::EACCESS);
    assert_eq!(bench.select(&mut client), Status::EACCESS);
    bench.send(&mut client, Encode::request(Opcode::LIST_BUCKETS, Opaque(1)), b"");
    assert_eq!(client.next().unwrap().1, b"other");
    bench.cluster.set_bucket_access("jane", None);
    assert_eq!(bench.select(&mut client), Status::SUCCESS);
    assert_eq!(
        bench.config_status(&mut client),
        Status::SUCCESS,
        "the bucket's map is for whoever selected it"
    );
    bench.cluster.set_bucket_access("jane", Some(&[]));
    assert_eq!(bench.plain(&mut client, "jane", "pencil"), Status::SUCCESS);
    assert_eq!(bench.config_status(&mut client), Status::EACCESS, "authenticating anew took the bucket away");
}
