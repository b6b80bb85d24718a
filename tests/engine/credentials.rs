//! Credentials: who logs in how, and what is refused before anything is dialled (`connecting.md` 3.5).

use std::time::Duration;

use settee::auth::{Authenticator, BearerAuthenticator, CertificateAuthenticator};
use settee::error::ErrorKind;
use settee::tls::Identity;
use settee::wire::Opcode;
use settee_sim::{ClientCertificates, Listener, Mechanism, Net, NodeId, Posture};
use tracing::Level;

use super::common::*;
use super::logs::all_of;

pub(super) const PLAIN: &str = "couchbase://10.0.0.1";
pub(super) const SECURE: &str = "couchbases://10.0.0.1";
const SASL: [Opcode; 3] = [Opcode::SASL_LIST_MECHS, Opcode::SASL_AUTH, Opcode::SASL_STEP];

pub(super) fn token(text: &str) -> Authenticator {
    Authenticator::Bearer(BearerAuthenticator::new(text).expect("a valid token"))
}

pub(super) fn certificate(pair: &(String, String)) -> Authenticator {
    Authenticator::Certificate(CertificateAuthenticator::new(identity(pair)))
}

pub(super) fn identity((chain, key): &(String, String)) -> Identity {
    Identity::from_pem(chain.as_str(), key.as_str(), "the test's certificate")
}

/// How bootstrapping ends.
pub(super) fn bootstrapped(client: &mut Client) -> Outcome {
    let op = client.bootstrap();
    client.end(op)
}

pub(super) fn tls_of(node: usize) -> std::net::SocketAddr {
    Net::listener_of(NodeId(node), Listener::KV_TLS)
}

#[test]
fn auth_1_ldap_users_need_plain_and_plain_in_the_open_is_a_choice() {
    let mut net = net(1);
    net.cluster().set_external_user("ldap", "s3cret");
    let mut refused = Client::with(net, config_as(PLAIN, "ldap", "s3cret"));
    let outcome = bootstrapped(&mut refused);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    let text = error(&outcome).to_string();
    assert!(text.contains("LDAP") && text.contains("allowed_sasl_mechanisms"), "{text}");

    let mut net = super::common::net(1);
    net.cluster().set_external_user("ldap", "s3cret");
    let (_, lines) = all_of(|| {
        let text = format!("{PLAIN}?allowed_sasl_mechanisms=PLAIN");
        let mut client = Client::connect_as(net, config_as(&text, "ldap", "s3cret"));
        assert!(client.set("k", "v").is_ok());
        assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_STEP), 0);
    });
    let warned = |(level, line): &&(Level, String)| {
        *level == Level::WARN && line.contains("the password is sent readable")
    };
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:?}");
}

#[test]
fn auth_1_a_server_cannot_talk_the_client_into_plain() {
    let mut net = net(1);
    net.cluster().set_mechanisms(&[Mechanism::Plain]);
    let mut client = Client::new(net, PLAIN);
    let outcome = bootstrapped(&mut client);
    assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
    let text = error(&outcome).to_string();
    for part in ["SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1", "offers PLAIN", "LDAP", "allowed_sasl_mechanisms"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_AUTH), 1, "SCRAM, and nothing after it");
}

#[test]
fn auth_2_scram_in_the_open_and_plain_within_tls() {
    let mut open = Client::connect(net(1), PLAIN);
    assert_eq!(open.cluster().requests_everywhere(Opcode::SASL_AUTH), 1);
    assert_eq!(open.cluster().requests_everywhere(Opcode::SASL_STEP), 1, "SCRAM");
    let mut net = net(1);
    let config = secure(&mut net, SECURE, password("Administrator", "password"));
    let (_, lines) = all_of(|| {
        let mut within = Client::connect_as(net, config);
        assert_eq!(within.cluster().requests_everywhere(Opcode::SASL_AUTH), 1);
        assert_eq!(within.cluster().requests_everywhere(Opcode::SASL_STEP), 0, "PLAIN");
    });
    assert!(!lines.iter().any(|(level, _)| *level == Level::WARN), "{lines:?}");
}

#[test]
fn auth_3_within_tls_a_user_of_another_directory_needs_no_choice() {
    let mut net = net(1);
    net.cluster().set_external_user("ldap", "s3cret");
    let config = secure(&mut net, SECURE, password("ldap", "s3cret"));
    let mut client = Client::connect_as(net, config);
    assert!(client.set("k", "v").is_ok());
}

#[test]
fn auth_5_a_client_certificate_logs_in_without_sasl() {
    for mode in [ClientCertificates::Enable, ClientCertificates::Mandatory] {
        let mut net = net(2);
        net.cluster().set_client_certificates(mode);
        net.cluster().set_password("jane", "pencil");
        let pair = net.cluster().client_certificate("jane");
        let config = secure(&mut net, SECURE, certificate(&pair));
        let mut client = Client::connect_as(net, config);
        assert!(client.set("k", "v").is_ok());
        for opcode in SASL {
            assert_eq!(client.cluster().requests_everywhere(opcode), 0, "{opcode} under {mode:?}");
        }
        assert_eq!(client.cluster().requests_everywhere(Opcode::SELECT_BUCKET), 2);
    }
}

#[test]
fn auth_5_certificates_where_the_cluster_has_other_ideas() {
    // Not asked for, it shows nobody: the node takes the client for a stranger.
    let mut unasked = net(1);
    let pair = unasked.cluster().client_certificate("Administrator");
    let config = secure(&mut unasked, SECURE, certificate(&pair));
    let mut client = Client::with(unasked, config);
    let outcome = client.get("k");
    assert!(outcome.is_err());
    assert_eq!(SASL.map(|opcode| client.cluster().requests_everywhere(opcode)), [0; 3]);

    // Asked for and not presented.
    let mut demanded = net(1);
    demanded.cluster().set_client_certificates(ClientCertificates::Mandatory);
    let config = secure(&mut demanded, SECURE, password("Administrator", "password"));
    let outcome = bootstrapped(&mut Client::with(demanded, config));
    let text = error(&outcome).to_string();
    assert_eq!(kind(&outcome), ErrorKind::TlsFailure, "{text}");
    assert!(text.contains("certificate_path"), "{text}");

    // Presented and not accepted.
    for expired in [true, false] {
        let mut net = net(1);
        net.cluster().set_client_certificates(ClientCertificates::Mandatory);
        let pair = if expired {
            net.cluster().expired_client_certificate("Administrator")
        } else {
            net.cluster().foreign_client_certificate("Administrator")
        };
        let config = secure(&mut net, SECURE, certificate(&pair));
        let outcome = bootstrapped(&mut Client::with(net, config));
        assert_eq!(kind(&outcome), ErrorKind::TlsFailure, "{outcome:?}");
    }
}

#[test]
fn auth_5_over_http_the_certificate_alone_says_who_it_is() {
    let mut net = net(1);
    net.cluster().set_client_certificates(ClientCertificates::Mandatory);
    let pair = net.cluster().client_certificate("Administrator");
    let config = secure(&mut net, "couchbases://10.0.0.1?bootstrap_on=http", certificate(&pair));
    let mut client = Client::connect_as(net, config);
    assert!(client.set("k", "v").is_ok());
    assert!(client.cluster().http_requests().count() > 0);
    assert_eq!(SASL.map(|opcode| client.cluster().requests_everywhere(opcode)), [0; 3]);
}

#[test]
fn auth_6_mistakes_are_refused_at_connect_and_name_option_and_remedy() {
    let mut net = net(1);
    let (chain, key) = net.cluster().client_certificate("jane");
    let (_, foreign) = net.cluster().client_certificate("joe");
    let ca = net.cluster().ca_pem();
    let files: [(&str, &str); 4] =
        [("ca.pem", &ca), ("c.pem", &chain), ("k.pem", &key), ("other.pem", &foreign)];
    let from_options = || Authenticator::Certificate(CertificateAuthenticator::from_options());
    let given = || certificate(&(chain.clone(), key.clone()));
    let mixed = certificate(&(chain.clone(), foreign.clone()));
    let cases: Vec<(&str, Authenticator, &[&str])> = vec![
        ("couchbase://h", given(), &["certificate", "couchbases://"]),
        ("couchbase://h", token("t"), &["token", "couchbases://"]),
        ("couchbases://h", from_options(), &["certificate_path", "key_path", "missing"]),
        ("couchbases://h?certificate_path=c.pem", from_options(), &["certificate_path", "set key_path"]),
        ("couchbases://h?key_path=k.pem", from_options(), &["key_path", "set certificate_path"]),
        (
            "couchbases://h?certificate_path=c.pem&key_path=other.pem",
            from_options(),
            &["c.pem", "key does not belong"],
        ),
        ("couchbases://h", mixed, &["key does not belong"]),
        (
            "couchbases://h?certificate_path=gone.pem&key_path=k.pem",
            from_options(),
            &["gone.pem", "no such file"],
        ),
        ("couchbases://h?certificate_path=k.pem&key_path=k.pem", from_options(), &["k.pem", "CERTIFICATE"]),
        ("couchbases://h?certificate_path=c.pem&key_path=c.pem", from_options(), &["PRIVATE KEY"]),
        (
            "couchbases://h?certificate_path=c.pem&key_path=k.pem",
            password("u", "p"),
            &["certificate_path", "no password"],
        ),
        ("couchbases://h?certificate_path=c.pem&key_path=k.pem", token("t"), &["certificate_path", "token"]),
        ("couchbases://h?certificate_path=c.pem&key_path=k.pem", given(), &["twice", "certificate_path"]),
        ("couchbases://h?trust_certificate=gone.pem", password("u", "p"), &["gone.pem"]),
    ];
    for (text, authenticator, parts) in cases {
        let refused = config_with(&mut net, text, authenticator, &files);
        let error = refused.map(|_| text).expect_err("a mistake").to_string();
        for part in parts {
            assert!(error.contains(part), "{text}: {part} is missing: {error}");
        }
    }
    let sound = "couchbases://h?certificate_path=c.pem&key_path=k.pem&trust_certificate=ca.pem";
    assert!(config_with(&mut net, sound, from_options(), &files).is_ok());
}

#[test]
fn auth_7_a_manager_that_does_not_honour_certificates_says_so() {
    for status in [401, 403] {
        let mut net = net(1);
        net.cluster().set_client_certificates(ClientCertificates::Enable);
        net.cluster().fail_http(NodeId(0), Some(status));
        let pair = net.cluster().client_certificate("Administrator");
        let config = secure(&mut net, "couchbases://10.0.0.1?bootstrap_on=http", certificate(&pair));
        let mut client = Client::with(net, config);
        let outcome = bootstrapped(&mut client);
        assert_eq!(kind(&outcome), ErrorKind::AuthenticationFailure);
        let text = error(&outcome).to_string();
        assert!(text.contains("CertificateAuthNotSupported"), "{text}");
        let asked = client.cluster().http_requests().count();
        client.run_for(secs(60));
        assert_eq!(client.cluster().http_requests().count(), asked, "not retried");
    }
}

/// A cluster that takes tokens, and a client with one.
pub(super) fn with_token(nodes: usize, text: &str, expires: Option<Duration>) -> Client {
    let mut net = net(nodes);
    net.cluster().pose(Posture::V8_0);
    net.cluster().set_mechanisms(&Mechanism::ALL);
    let unix = net.cluster().unix();
    net.cluster().set_token(text, "Administrator", expires.map(|expires| unix + expires));
    let config = secure(&mut net, SECURE, token(text));
    Client::connect_as(net, config)
}

#[test]
fn auth_8_a_token_logs_in() {
    let mut client = with_token(2, "aaa.bbb.ccc", None);
    assert!(client.set("k", "v").is_ok());
    assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_AUTH), 2);
    assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_STEP), 0);
}

#[test]
fn auth_9_secrets_are_in_no_log_line_error_or_debug_output() {
    const SECRETS: [&str; 4] = ["s3cret-one", "s3cret-two", "t0ken-one", "t0ken-two"];
    let mut seen = String::new();
    let (_, lines) = all_of(|| {
        for text in [PLAIN, "couchbase://10.0.0.1?allowed_sasl_mechanisms=PLAIN", SECURE] {
            let mut net = net(1);
            net.cluster().set_password("jane", SECRETS[0]);
            let config = match text {
                SECURE => secure(&mut net, text, password("jane", SECRETS[0])),
                _ => config_as(text, "jane", SECRETS[0]),
            };
            seen += &format!("{config:?}");
            let mut client = Client::connect_as(net, config);
            seen += &format!("{:?}", client.get("k"));
            let now = client.now();
            client.engine().set_authenticator(password("jane", SECRETS[1]), now).expect("the same kind");
            client.world.net.cut_all(node(0));
            client.world.net.cut_all(tls_of(0));
            client.run_for(ms(5));
            seen += &format!("{:?} {:?}", client.get("k"), client.engine());
        }
        let mut client = with_token(1, SECRETS[2], None);
        let now = client.now();
        client.engine().set_authenticator(token(SECRETS[3]), now).expect("the same kind");
        seen += &format!("{:?} {:?}", client.get("k"), client.engine().config());
        let refused = client.engine().set_authenticator(password("jane", SECRETS[0]), now);
        seen += &format!("{refused:?} {}", refused.clone().expect_err("another kind"));
    });
    assert!(lines.len() > 50, "there are log lines: {}", lines.len());
    for (_, line) in &lines {
        seen += line;
    }
    for secret in SECRETS {
        assert!(!seen.contains(secret), "{secret}");
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(!seen.contains(bytes.trim_matches(['[', ']'])), "{secret} as numbers");
    }
}
