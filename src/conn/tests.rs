use super::*;
use crate::auth::{BearerAuthenticator, PasswordAuthenticator};
use crate::wire::{Header, Magic, Status};

fn settings(authenticator: Authenticator) -> Settings {
    Settings {
        hello_key: Bytes::from_static(b"{}"),
        features: FeatureSet::EMPTY,
        authenticator,
        tls: true,
        mechanisms: None,
        remembered: None,
        nonces: Vec::new(),
        max_iterations: 10_000,
        bucket: None,
        fetch_config: false,
        known_config: None,
        takes_version: false,
        pipelined: true,
        window: 16,
        keep_alive: None,
    }
}

fn token(text: &str) -> Authenticator {
    Authenticator::Bearer(BearerAuthenticator::new(text).unwrap())
}

fn begun(authenticator: Authenticator, now: Instant) -> Connection<u32> {
    let mut connection = Connection::new(settings(authenticator), now);
    connection.connected(now);
    connection
}

fn output(connection: &Connection<u32>) -> Vec<u8> {
    connection.transmit().flatten().copied().collect()
}

/// The requests that wait to be written: operation and opaque.
fn requests(bytes: &[u8]) -> Vec<(Opcode, Opaque)> {
    let mut rest = bytes;
    let mut requests = Vec::new();
    while let Some((head, body)) = rest.split_first_chunk() {
        let header = Header::decode(head).unwrap();
        requests.push((header.opcode, header.opaque));
        rest = &body[header.body_len as usize..];
    }
    requests
}

/// Writes everything out and answers it with one status.
fn answer_all(connection: &mut Connection<u32>, status: Status, now: Instant) {
    let bytes = output(connection);
    connection.written(bytes.len());
    for (opcode, opaque) in requests(&bytes) {
        let mut answer = Vec::new();
        Encode { magic: Magic::Response, vbucket_or_status: status.0, ..Encode::request(opcode, opaque) }
            .emit(b"", &mut answer)
            .unwrap();
        connection.handle_read(&answer, now);
    }
}

fn ready(authenticator: Authenticator, now: Instant) -> Connection<u32> {
    let mut connection = begun(authenticator, now);
    answer_all(&mut connection, Status::SUCCESS, now);
    assert!(connection.is_ready());
    while connection.poll_event().is_some() {}
    connection
}

#[expect(clippy::disallowed_methods, reason = "some instant has to be the first")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn auth_9_debug_shows_no_bytes_that_wait_to_be_written() {
    let now = start();
    let login = PasswordAuthenticator::new("pat", "s3cret").unwrap();
    for (authenticator, secret) in [(Authenticator::Password(login), "s3cret"), (token("t0ken"), "t0ken")] {
        let connection = begun(authenticator, now);
        assert!(output(&connection).windows(secret.len()).any(|part| part == secret.as_bytes()), "it waits");
        let text = format!("{connection:?}");
        let numbers = format!("{:?}", secret.as_bytes());
        assert!(!text.contains(secret) && !text.contains(numbers.trim_matches(['[', ']'])), "{text}");
    }
}

#[test]
fn auth_11_requests_wait_until_a_newer_token_is_judged() {
    let now = start();
    let mut connection = ready(token("first"), now);
    assert!(connection.can_send());
    assert!(connection.reauthenticate(&token("second"), now));
    assert!(!connection.can_send());
    // Another one before the first is judged: both have to be.
    assert!(connection.reauthenticate(&token("third"), now));
    let waiting = output(&connection);
    let opcodes: Vec<Opcode> = requests(&waiting).into_iter().map(|(opcode, _)| opcode).collect();
    assert_eq!(opcodes, [Opcode::SASL_AUTH, Opcode::SASL_AUTH]);
    assert!(waiting.windows(6).any(|part| part == b"second"));
    assert_eq!(connection.poll_timeout(), Some(now + PROBE_TIMEOUT), "no keep-alive, and yet not for ever");
    answer_all(&mut connection, Status::SUCCESS, now);
    assert!(connection.can_send());
    assert!(matches!(connection.poll_event(), Some(ConnEvent::Renewed(Ok(())))));
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn auth_11_a_refused_token_ends_the_connection() {
    let now = start();
    for status in [Status::AUTH_ERROR, Status::ETMPFAIL, Status::NOT_SUPPORTED, Status::AUTH_CONTINUE] {
        let mut connection = ready(token("first"), now);
        assert!(connection.reauthenticate(&token("second"), now));
        answer_all(&mut connection, status, now);
        match connection.poll_event() {
            Some(ConnEvent::Renewed(Err(failure))) => {
                assert_eq!(
                    (failure.kind, failure.status),
                    (crate::error::ErrorKind::AuthenticationFailure, Some(status))
                );
                assert!(!failure.text.contains("second"), "{}", failure.text);
            }
            other => panic!("{status}: {other:?}"),
        }
        assert!(!connection.is_ready());
    }
}

#[test]
fn auth_11_only_tokens_are_shown_again() {
    let now = start();
    let login = || Authenticator::Password(PasswordAuthenticator::new("u", "p").unwrap());
    let mut connection = ready(login(), now);
    assert!(!connection.reauthenticate(&login(), now));
    assert!(!connection.has_output() && connection.can_send());
    assert!(!begun(token("first"), now).reauthenticate(&token("second"), now), "not before it is ready");
}
