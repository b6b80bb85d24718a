use super::*;
use crate::auth::vectors::{VECTORS, Vector};
use crate::auth::{BearerAuthenticator, Negotiation, Next};

const MAX: u32 = 1_000_000;

fn sha256() -> &'static Vector {
    VECTORS.iter().find(|vector| vector.name == "rfc7677").unwrap()
}

fn scram(vector: &Vector) -> Exchange {
    let authenticator = Authenticator::Password(vector.login());
    Exchange::start(&authenticator, vector.mechanism, || vector.nonce.into()).unwrap()
}

/// An exchange that has sent its SASL_STEP.
fn stepping(vector: &Vector) -> Exchange {
    let mut exchange = scram(vector);
    let salt = exchange.on_reply(SaslReply::Continue, vector.server_first.as_bytes(), MAX);
    assert_eq!(salt, Ok(Progress::Salt(vector.request())));
    assert_eq!(exchange.client_final(&vector.salted()).unwrap(), vector.client_final.as_bytes());
    exchange
}

fn plain() -> Exchange {
    let authenticator = Authenticator::Password(sha256().login());
    Exchange::start(&authenticator, Mechanism::Plain, || unreachable!("PLAIN has no nonce")).unwrap()
}

fn bearer() -> Exchange {
    let authenticator = Authenticator::Bearer(BearerAuthenticator::new("t0ken").unwrap());
    Exchange::start(&authenticator, Mechanism::OauthBearer, || unreachable!("a token has no nonce")).unwrap()
}

#[test]
fn single_step_mechanisms_end_with_one_answer() {
    for (mut exchange, payload) in
        [(plain(), &b"\0user\0pencil"[..]), (bearer(), b"n,,\x01auth=Bearer t0ken\x01\x01")]
    {
        assert_eq!(exchange.initial_response(), payload);
        assert!(!exchange.is_stepwise());
        assert_eq!(exchange.on_reply(SaslReply::Done, b"", MAX), Ok(Progress::Authenticated));
    }
}

#[test]
fn single_step_mechanisms_do_not_continue() {
    for mut exchange in [plain(), bearer()] {
        let mechanism = exchange.mechanism();
        let refused = exchange.on_reply(SaslReply::Continue, b"", MAX);
        assert_eq!(refused, Err(AuthError::UnexpectedStatus { mechanism, status: 0x21 }));
    }
}

#[test]
fn published_exchanges_authenticate() {
    for vector in VECTORS {
        let mut exchange = stepping(vector);
        assert!(exchange.is_stepwise());
        let done = exchange.on_reply(SaslReply::Done, vector.server_final.as_bytes(), MAX);
        assert_eq!(done, Ok(Progress::Authenticated), "{}", vector.name);
    }
}

#[test]
fn sa_3_a_refusal_of_the_first_message_goes_to_the_negotiation() {
    for reply in [SaslReply::Refused, SaslReply::Unavailable] {
        assert_eq!(plain().on_reply(reply, b"", MAX), Ok(Progress::Rejected(reply)));
        assert_eq!(scram(sha256()).on_reply(reply, b"", MAX), Ok(Progress::Rejected(reply)));
    }
}

#[test]
fn sa_4_a_failure_after_continue_never_falls_back() {
    let mechanism = Mechanism::ScramSha256;
    let refused = stepping(sha256()).on_reply(SaslReply::Refused, b"", MAX);
    assert_eq!(refused, Err(AuthError::BadCredentials { mechanism }));
    let refused = stepping(sha256()).on_reply(SaslReply::Unavailable, b"", MAX);
    assert_eq!(refused, Err(AuthError::UnexpectedStatus { mechanism, status: 0x83 }));
}

#[test]
fn sa_5_nothing_follows_a_failed_exchange() {
    let mut exchange = scram(sha256());
    assert!(exchange.on_reply(SaslReply::Continue, b"r=other,s=AAEC,i=1", MAX).is_err());
    let again = exchange.on_reply(SaslReply::Continue, sha256().server_first.as_bytes(), MAX);
    assert!(matches!(again, Err(AuthError::OutOfOrder(_))));
    assert!(matches!(exchange.client_final(&sha256().salted()), Err(AuthError::OutOfOrder(_))));
    assert!(exchange.initial_response().is_empty());
}

#[test]
fn sa_9_success_where_continue_is_due() {
    let refused = scram(sha256()).on_reply(SaslReply::Done, b"", MAX);
    assert_eq!(refused, Err(AuthError::ServerSignatureMissing));
    let refused = scram(sha256()).on_reply(SaslReply::Done, sha256().server_final.as_bytes(), MAX);
    assert_eq!(refused, Err(AuthError::ServerSignatureMissing));
}

#[test]
fn sa_9_continue_where_success_is_due() {
    let refused = stepping(sha256()).on_reply(SaslReply::Continue, sha256().server_final.as_bytes(), MAX);
    let unexpected = AuthError::UnexpectedStatus { mechanism: Mechanism::ScramSha256, status: 0x21 };
    assert_eq!(refused, Err(unexpected));
}

#[test]
fn sa_9_success_before_the_proof_was_sent() {
    let mut exchange = scram(sha256());
    exchange.on_reply(SaslReply::Continue, sha256().server_first.as_bytes(), MAX).unwrap();
    let early = exchange.on_reply(SaslReply::Done, sha256().server_final.as_bytes(), MAX);
    assert!(matches!(early, Err(AuthError::OutOfOrder(_))));
}

#[test]
fn sa_9_success_with_a_wrong_or_missing_signature() {
    let refused = stepping(sha256()).on_reply(SaslReply::Done, b"v=AAEC", MAX);
    assert_eq!(refused, Err(AuthError::ServerSignatureWrong));
    let refused = stepping(sha256()).on_reply(SaslReply::Done, b"", MAX);
    assert_eq!(refused, Err(AuthError::ServerSignatureMissing));
    let refused = stepping(sha256()).on_reply(SaslReply::Done, b"e=invalid-proof", MAX);
    assert_eq!(refused, Err(AuthError::ServerError("invalid-proof")));
}

#[test]
fn other_statuses_are_named() {
    let error = plain().on_reply(SaslReply::from_status(0x1f), b"", MAX).unwrap_err();
    assert_eq!(error.to_string(), "unexpected status 0x1f during PLAIN authentication");
}

#[test]
fn statuses_are_sorted() {
    for (status, reply) in [
        (0x00, SaslReply::Done),
        (0x21, SaslReply::Continue),
        (0x20, SaslReply::Refused),
        (0x81, SaslReply::Unavailable),
        (0x83, SaslReply::Unavailable),
        (0x86, SaslReply::Other(0x86)),
    ] {
        assert_eq!(SaslReply::from_status(status), reply);
    }
}

#[test]
fn mechanisms_fit_their_credentials() {
    let password = Authenticator::Password(sha256().login());
    let token = Authenticator::Bearer(BearerAuthenticator::new("t0ken").unwrap());
    for (authenticator, mechanism) in
        [(&password, Mechanism::OauthBearer), (&token, Mechanism::Plain), (&token, Mechanism::ScramSha1)]
    {
        let refused = Exchange::start(authenticator, mechanism, || "N".into());
        assert!(matches!(refused, Err(AuthError::InvalidArgument(_))));
    }
}

#[test]
fn a_fallback_starts_again_from_the_first_message() {
    let vector = sha256();
    let authenticator = Authenticator::Password(vector.login());
    let mut negotiation = Negotiation::new(&authenticator, false, None, None).unwrap();
    let mut exchange = Exchange::start(&authenticator, negotiation.current(), || "first".into()).unwrap();
    assert_eq!(negotiation.on_list(b"SCRAM-SHA256 SCRAM-SHA1"), None);
    let Ok(Progress::Rejected(reply)) = exchange.on_reply(SaslReply::Refused, b"", MAX) else {
        panic!("a refusal goes to the negotiation");
    };
    assert_eq!(negotiation.on_rejected(reply), Next::TryAnother(Mechanism::ScramSha256));
    let mut exchange = stepping(vector);
    assert_eq!(exchange.mechanism(), negotiation.current());
    let done = exchange.on_reply(SaslReply::Done, vector.server_final.as_bytes(), MAX);
    assert_eq!(done, Ok(Progress::Authenticated));
}

#[test]
fn sa_11_debug_shows_no_payload() {
    let text = format!("{:?} {:?} {:?}", plain(), bearer(), stepping(sha256()));
    for secret in ["pencil", "t0ken", "user", sha256().nonce] {
        assert!(!text.contains(secret), "{text}");
    }
}
