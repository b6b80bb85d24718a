//! Credentials and certificates that change while operations run (`connecting.md` 3.6).

use std::time::Duration;

use settee::auth::{Authenticator, CertificateAuthenticator};
use settee::engine::{ConfigError, OpId, OpKind, Replace, Response};
use settee::error::ErrorKind;
use settee::tls::{Identity, TlsMaterial, TlsProfile, TrustSource};
use settee::wire::{Opcode, Status};
use settee_sim::{Action, ClientCertificates, NodeId, Rule};

use super::common::*;
use super::credentials::*;

/// Starts a read and a write of every few keys, every few milliseconds, for some time.
fn work(client: &mut Client, time: Duration) -> Vec<OpId> {
    let end = client.now() + time;
    let mut ops = Vec::new();
    while client.now() < end {
        for number in 0..6 {
            let key = format!("key-{}", (ops.len() + number) % 40);
            ops.push(client.start(&key, upsert(b"1")));
            ops.push(client.start(&key, OpKind::Exists));
        }
        client.run_for(ms(3));
    }
    ops
}

/// All of them ended well.
fn all_well(client: &mut Client, ops: Vec<OpId>) {
    assert!(!ops.is_empty());
    for op in ops {
        let outcome = client.end(op);
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// A profile in place of the client's: the authorities, and a client certificate.
fn rebuilt(client: &mut Client, authorities: &[&str], identity: Option<Identity>) -> TlsProfile {
    let unix_time = client.cluster().unix();
    let trust = authorities.iter().map(|pem| TrustSource::pem("the test's authority", *pem)).collect();
    let material = TlsMaterial { trust, identity, unix_time, ..TlsMaterial::default() };
    let present = client.engine().config().tls_profile().expect("it uses TLS").clone();
    present.rebuild(&material).expect("sound certificates").0
}

#[test]
fn auth_10_another_kind_is_refused_and_the_old_stays() {
    let mut net = net(1);
    net.cluster().set_client_certificates(ClientCertificates::Enable);
    let pair = net.cluster().client_certificate("Administrator");
    let (_, foreign) = net.cluster().client_certificate("joe");
    let config = secure(&mut net, SECURE, password("Administrator", "password"));
    let mut client = Client::connect_as(net, config);
    let now = client.now();
    for other in [token("t"), certificate(&pair)] {
        let error = client.engine().set_authenticator(other, now).expect_err("another kind");
        assert!(matches!(error, ConfigError::InvalidArgument(_)));
        assert!(error.to_string().contains("kind"), "{error}");
    }
    let with_identity = rebuilt(&mut client, &[], Some(identity(&pair)));
    let error =
        client.engine().set_tls(with_identity, Replace::OneByOne, now).expect_err("beside a password");
    assert!(error.to_string().contains("client certificate"), "{error}");
    assert!(!client.engine().is_replacing());
    client.world.net.cut_all(tls_of(0));
    client.run_for(ms(5));
    client.online();
    assert_eq!(client.world.dialled().count(), 2);

    let mut net = super::common::net(1);
    net.cluster().set_client_certificates(ClientCertificates::Enable);
    let pair = net.cluster().client_certificate("Administrator");
    let config = secure(&mut net, SECURE, certificate(&pair));
    let mut client = Client::connect_as(net, config);
    let now = client.now();
    let mixed = certificate(&(pair.0, foreign));
    assert!(matches!(client.engine().set_authenticator(mixed, now), Err(ConfigError::Tls(_))));
    let from_options = Authenticator::Certificate(CertificateAuthenticator::from_options());
    assert!(client.engine().set_authenticator(from_options, now).is_err());
    let without = rebuilt(&mut client, &[], None);
    assert!(client.engine().set_tls(without, Replace::WhenTheyEnd, now).is_err());
    client.world.net.cut_all(tls_of(0));
    client.run_for(ms(5));
    client.online();
    assert_eq!(client.world.dialled().count(), 2);
}

#[test]
fn auth_11_a_new_password_serves_from_the_next_connection_on() {
    let mut client = Client::connected(2);
    let now = client.now();
    client.engine().set_authenticator(password("Administrator", "new"), now).expect("the same kind");
    let mut ops = work(&mut client, ms(50));
    assert_eq!(client.world.dialled().count(), 2, "connections in use stay");
    client.cluster().set_password("Administrator", "new");
    client.cluster().close_node(NodeId(0));
    client.run_for(ms(5));
    client.online();
    ops.extend(work(&mut client, ms(50)));
    client.cluster().close_node(NodeId(1));
    client.run_for(ms(5));
    client.online();
    for op in ops {
        // Writes under way when a connection is cut may have happened, and say so.
        let outcome = client.end(op);
        assert!(outcome.is_ok() || error(&outcome).may_have_happened(), "{outcome:?}");
    }
    assert_eq!(client.world.dialled().count(), 4, "each was dialled once and taken");
}

#[test]
fn auth_11_a_handshake_goes_on_with_the_credentials_that_it_began_with() {
    let mut net = net(1);
    net.cluster().set_password("jane", "pencil");
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_AUTH, Action::Delay(ms(200))).times(1));
    let mut client = Client::with(net, config_as(PLAIN, "jane", "pencil"));
    client.run_for(ms(100));
    let now = client.now();
    client.engine().set_authenticator(password("Administrator", "password"), now).expect("the same kind");
    client.online();
    assert_eq!(client.world.dialled().count(), 1, "jane's handshake used jane's password");
    client.cluster().remove_user("jane");
    client.world.net.cut_all(node(0));
    client.run_for(ms(5));
    client.online();
    assert_eq!(client.world.dialled().count(), 2, "and the next one is the other user's");
}

#[test]
fn boot_14_newer_credentials_begin_again_at_once_where_earlier_ones_were_refused() {
    let mut client = Client::with(net(1), config_as(PLAIN, "Administrator", "wrong"));
    assert_eq!(kind(&bootstrapped(&mut client)), ErrorKind::AuthenticationFailure);
    client.run_for(secs(60));
    assert_eq!(client.world.dialled().count(), 1, "given up");
    let before = client.now();
    client.engine().set_authenticator(password("Administrator", "password"), before).expect("the same kind");
    client.online();
    assert!(client.now() - before < ms(100));
    assert!(client.set("k", "v").is_ok());
}

#[test]
fn boot_14_what_earlier_credentials_were_refused_does_not_count() {
    let mut net = net(1);
    net.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_STEP, Action::Delay(ms(200))).times(1));
    let mut client = Client::with(net, config_as(PLAIN, "Administrator", "wrong"));
    let op = client.bootstrap();
    client.run_for(ms(100));
    let now = client.now();
    client.engine().set_authenticator(password("Administrator", "password"), now).expect("the same kind");
    assert_eq!(client.end(op), Ok(Response::Ready));
}

#[test]
fn auth_11_a_new_token_goes_ahead_of_what_waits() {
    let mut client = with_token(2, "first", None);
    client.cluster().set_token("second", "Administrator", None);
    let before = client.cluster().requests_everywhere(Opcode::SASL_AUTH);
    let mut ops = work(&mut client, ms(20));
    let now = client.now();
    client.engine().set_authenticator(token("second"), now).expect("the same kind");
    // From here on the first one is worth nothing: what is sent now comes behind the second.
    let waiting: Vec<OpId> =
        (0..20).map(|number| client.start(&format!("key-{number}"), upsert(b"2"))).collect();
    ops.extend(waiting);
    client.run_for(ms(20));
    assert!(client.cluster().revoke_token("first"));
    ops.extend(work(&mut client, ms(50)));
    all_well(&mut client, ops);
    assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_AUTH), before + 2, "one on each connection");
    assert_eq!(client.world.dialled().count(), 2);
}

#[test]
fn auth_11_a_token_that_is_refused_costs_the_connection_and_the_newest_is_tried() {
    let mut client = with_token(1, "first", None);
    let now = client.now();
    client.engine().set_authenticator(token("unknown yet"), now).expect("the same kind");
    let waiting = client.start("k", upsert(b"2"));
    let times = client.dial_times(None, ms(700));
    assert!(client.outcome(waiting).is_none(), "it was never sent, so it waits for the next connection");
    // 10 ms, 20, 40, 80, 160, 320, each with jitter, and the time of a handshake.
    assert!((4..=8).contains(&times.len()), "{times:?}");
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    client.cluster().set_token("unknown yet", "Administrator", None);
    assert!(client.end(waiting).is_ok());
}

#[test]
fn auth_11_a_connection_in_its_handshake_shows_the_new_token_when_that_is_over() {
    let mut client = with_token(1, "first", None);
    client.cluster().set_token("second", "Administrator", None);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_AUTH, Action::Delay(ms(100))).times(1));
    client.world.net.cut_all(tls_of(0));
    client.run_for(ms(50));
    let before = client.cluster().requests_everywhere(Opcode::SASL_AUTH);
    let now = client.now();
    client.engine().set_authenticator(token("second"), now).expect("the same kind");
    client.run_for(ms(200));
    assert_eq!(client.cluster().requests_everywhere(Opcode::SASL_AUTH), before + 1);
    client.cluster().revoke_token("first");
    assert!(client.set("k", "v").is_ok());
    assert_eq!(client.world.dialled().count(), 2);
}

#[test]
fn auth_11_a_server_that_is_silent_about_a_new_token_loses_the_connection() {
    let mut client = with_token(1, "first", None);
    client.cluster().set_token("second", "Administrator", None);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SASL_AUTH, Action::Ignore).times(1));
    let now = client.now();
    client.engine().set_authenticator(token("second"), now).expect("the same kind");
    client.run_for(secs(3));
    assert_eq!(client.world.dialled().count(), 2);
    assert!(client.set("k", "v").is_ok());
}

#[test]
fn auth_12_expired_credentials_end_the_connection_and_the_newest_open_the_next() {
    let mut client = with_token(1, "first", Some(secs(55)));
    client.run_for(secs(56));
    let refused = client.get("k");
    assert_eq!(kind(&refused), ErrorKind::AuthenticationFailure);
    let text = error(&refused).to_string();
    assert!(text.contains("expired") && text.contains("set_authenticator"), "{text}");
    assert_eq!(error(&refused).context().status, Some(Status::AUTH_STALE));
    client.run_for(secs(1));
    client.cluster().set_token("second", "Administrator", None);
    let before = client.now();
    client.engine().set_authenticator(token("second"), before).expect("the same kind");
    client.online();
    assert!(client.now() - before < ms(100), "at once");
    assert!(client.set("k", "v").is_ok());
}

#[test]
fn auth_12_a_stale_keep_alive_ends_the_connection_as_well() {
    let mut client = Client::connect(net(1), "couchbase://10.0.0.1?kv_keep_alive_interval=2s");
    let rule = Rule::new(Opcode::NOOP, Action::Status(Status::AUTH_STALE)).times(1);
    client.cluster().add_rule(NodeId(0), rule);
    client.run_for(secs(20));
    assert!(client.cluster().requests_everywhere(Opcode::NOOP) > 0);
    assert_eq!(client.world.dialled().count(), 2);
    assert!(client.set("k", "v").is_ok());
}

#[test]
fn auth_12_a_stale_fetch_of_a_map_ends_the_connection_as_well() {
    let mut client = Client::connected(2);
    let rule = Rule::new(Opcode::GET_CLUSTER_CONFIG, Action::Status(Status::AUTH_STALE)).times(1);
    client.cluster().add_rule(NodeId(0), rule.clone());
    client.cluster().add_rule(NodeId(1), rule);
    client.cluster().bump_revision("default");
    client.run_for(secs(5));
    assert_eq!(client.world.dialled().count(), 4, "each was closed and dialled again");
    let ops = work(&mut client, ms(20));
    all_well(&mut client, ops);
}

/// Steps through some time with operations running, and notes how many connections of each node were open.
fn work_watching(client: &mut Client, nodes: usize, time: Duration) -> (Vec<OpId>, Vec<usize>) {
    let end = client.now() + time;
    let (mut ops, mut most) = (Vec::new(), vec![0; nodes]);
    while client.now() < end {
        for number in 0..4 {
            ops.push(client.start(&format!("key-{}", (ops.len() + number) % 40), upsert(b"1")));
        }
        let until = client.now() + ms(1);
        while client.world.step_until(Some(until)) {
            let open: Vec<usize> = (0..nodes).map(|node| client.open_links(tls_of(node)).len()).collect();
            assert!(open.iter().all(|&open| open >= 1), "a node without any connection: {open:?}");
            assert!(open.iter().sum::<usize>() <= nodes + 2, "more than one at a time: {open:?}");
            most = most.iter().zip(&open).map(|(&most, &open)| most.max(open)).collect();
        }
        client.collect();
    }
    (ops, most)
}

#[test]
fn auth_13_authority_and_client_certificate_rotate_under_running_operations() {
    let mut net = net(3);
    net.cluster().set_client_certificates(ClientCertificates::Mandatory);
    let pair = net.cluster().client_certificate("Administrator");
    let config = secure(&mut net, SECURE, certificate(&pair));
    let mut client = Client::connect_as(net, config);
    let old_ca = client.cluster().ca_pem();
    let mut ops = work(&mut client, ms(20));
    // The cluster presents certificates of a new authority, and takes no others of clients.
    client.cluster().rotate_certificates(true);
    let new_ca = client.cluster().ca_pem();
    assert_ne!(old_ca, new_ca);
    let pair = client.cluster().client_certificate("Administrator");
    ops.extend(work(&mut client, ms(20)));
    assert_eq!(client.world.dialled().count(), 3);
    let profile = rebuilt(&mut client, &[&old_ca, &new_ca], Some(identity(&pair)));
    let now = client.now();
    client.engine().set_tls(profile, Replace::OneByOne, now).expect("it fits");
    assert!(client.engine().is_replacing());
    let (more, most) = work_watching(&mut client, 3, ms(100));
    ops.extend(more);
    assert_eq!(most, [2, 2, 2], "each was replaced, the next one dialled first");
    assert!(!client.engine().is_replacing());
    assert_eq!(client.world.dialled().count(), 6);
    all_well(&mut client, ops);
    for node in 0..3 {
        assert_eq!(client.open_links(tls_of(node)).len(), 1, "the one before it is gone");
    }
}

#[test]
fn auth_13_a_new_certificate_serves_from_the_next_connection_on_unless_asked_otherwise() {
    let mut net = net(2);
    net.cluster().set_client_certificates(ClientCertificates::Mandatory);
    let pair = net.cluster().client_certificate("Administrator");
    let config = secure(&mut net, SECURE, certificate(&pair));
    let mut client = Client::connect_as(net, config);
    let pair = client.cluster().client_certificate("Administrator");
    let now = client.now();
    client.engine().set_authenticator(certificate(&pair), now).expect("it fits");
    let mut ops = work(&mut client, ms(50));
    assert_eq!(client.world.dialled().count(), 2, "retained");
    let now = client.now();
    client.engine().replace_connections(now);
    let (more, _) = work_watching(&mut client, 2, ms(100));
    ops.extend(more);
    assert_eq!(client.world.dialled().count(), 4);
    all_well(&mut client, ops);
}

#[test]
fn auth_13_where_the_new_profile_does_not_serve_connections_stay_as_they_are() {
    let mut net = net(2);
    let config = secure(&mut net, SECURE, password("Administrator", "password"));
    let mut client = Client::connect_as(net, config);
    let good = client.cluster().ca_pem();
    let foreign = {
        let mut other = super::common::net(1);
        other.cluster().rotate_certificates(true);
        other.cluster().ca_pem()
    };
    let wrong = rebuilt(&mut client, &[&foreign], None);
    let now = client.now();
    client.engine().set_tls(wrong, Replace::OneByOne, now).expect("it fits");
    let mut ops = work(&mut client, ms(500));
    assert!(client.engine().is_replacing());
    let failed = client.world.dialled().count() - 2;
    assert!((2..12).contains(&failed), "tried again in ever longer pauses: {failed}");
    let right = rebuilt(&mut client, &[&good], None);
    let now = client.now();
    client.engine().set_tls(right, Replace::OneByOne, now).expect("it fits");
    ops.extend(work(&mut client, ms(200)));
    assert!(!client.engine().is_replacing());
    all_well(&mut client, ops);
}

#[test]
fn auth_13_slow_operations_are_waited_for_and_maps_may_change_meanwhile() {
    let mut net = net(2);
    let config = secure(&mut net, SECURE, password("Administrator", "password"));
    let mut client = Client::connect_as(net, config);
    let key = client.key_on(0);
    client.cluster().add_rule(NodeId(0), Rule::new(Opcode::SET, Action::Delay(ms(1800))).times(1));
    let slow = client.start(&key, upsert(b"slow"));
    client.run_for(ms(5));
    let now = client.now();
    client.engine().replace_connections(now);
    let mut ops = work(&mut client, ms(5));
    client.cluster().bump_revision("default");
    ops.extend(work(&mut client, ms(200)));
    assert!(!client.engine().is_replacing());
    assert_eq!(client.open_links(tls_of(0)).len(), 2, "one of them still owes an answer");
    ops.push(slow);
    all_well(&mut client, ops);
    client.run_for(ms(10));
    assert_eq!(client.open_links(tls_of(0)).len(), 1);
}

#[test]
fn tls_2_a_profile_of_another_policy_or_without_tls_is_refused() {
    let mut net = net(1);
    let config = secure(&mut net, SECURE, password("Administrator", "password"));
    let mut client = Client::connect_as(net, config);
    let profile = rebuilt(&mut client, &[], None);
    let material = TlsMaterial { unix_time: client.cluster().unix(), ..TlsMaterial::default() };
    let policy = settee::tls::Policy { verify_hostname: false, ..profile.policy() };
    let (lax, _) = TlsProfile::build(&material, &policy).expect("a sound policy");
    let now = client.now();
    let error = client.engine().set_tls(lax, Replace::WhenTheyEnd, now).expect_err("another policy");
    assert!(error.to_string().contains("rebuild"), "{error}");
    let mut open = Client::connected(1);
    let now = open.now();
    let error = open.engine().set_tls(profile, Replace::WhenTheyEnd, now).expect_err("no TLS");
    assert!(error.to_string().contains("couchbases://"), "{error}");
}

/// Replacements in the midst of cuts, lost nodes, moved vbuckets and refused handshakes: every operation ends, and there
/// is one connection to each node when all is quiet again.
#[test]
fn auth_13_replacements_survive_whatever_else_happens() {
    for seed in 0..8_u64 {
        let mut net = net(3);
        let config = secure(&mut net, SECURE, password("Administrator", "password"));
        let mut client = Client::seeded(net, config, [seed as u8; 32]);
        client.online();
        let ca = client.cluster().ca_pem();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut ops = Vec::new();
        for _ in 0..30 {
            let node = next(3) as usize;
            let now = client.now();
            match next(8) {
                0 => client.world.net.cut_all(tls_of(node)),
                1 => client.cluster().close_node(NodeId(node)),
                2 => {
                    let to = NodeId(next(3) as usize);
                    client.cluster().set_active("default", node as u16 * 7, to);
                }
                3 => {
                    let refusal = Rule::new(Opcode::HELLO, Action::Close).times(1);
                    client.cluster().add_rule(NodeId(node), refusal);
                }
                4 => {
                    client.cluster().bump_revision("default");
                }
                5 => {
                    let profile = rebuilt(&mut client, &[&ca], None);
                    client.engine().set_tls(profile, Replace::OneByOne, now).expect("it fits");
                }
                _ => client.engine().replace_connections(now),
            }
            let time = ms(1 + next(12));
            ops.extend(work(&mut client, time));
        }
        client.run_for(secs(30));
        for op in ops {
            let outcome = client.end(op);
            assert!(outcome.is_ok() || error(&outcome).may_have_happened(), "seed {seed}: {outcome:?}");
        }
        assert!(!client.engine().is_replacing(), "seed {seed}");
        for node in 0..3 {
            assert_eq!(client.open_links(tls_of(node)).len(), 1, "seed {seed}");
        }
        let more = work(&mut client, ms(10));
        all_well(&mut client, more);
    }
}
