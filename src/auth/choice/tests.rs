use super::Mechanism::{OauthBearer, Plain, ScramSha1, ScramSha256, ScramSha512};
use super::*;
use crate::auth::{BearerAuthenticator, PasswordAuthenticator};
use proptest::prelude::*;

fn password() -> Authenticator {
    Authenticator::Password(PasswordAuthenticator::new("user", "s3cret").unwrap())
}

fn bearer() -> Authenticator {
    Authenticator::Bearer(BearerAuthenticator::new("t0ken").unwrap())
}

fn open(allowed: Option<&[Mechanism]>) -> Negotiation {
    Negotiation::new(&password(), false, allowed, None).unwrap()
}

fn with_list(mut negotiation: Negotiation, list: &str) -> Negotiation {
    assert_eq!(negotiation.on_list(list.as_bytes()), None);
    negotiation
}

/// Every mechanism sent when the server refuses them all, and the end.
fn refuse_all(mut negotiation: Negotiation) -> (Vec<Mechanism>, AuthError) {
    let mut sent = vec![negotiation.current()];
    loop {
        match negotiation.on_rejected(SaslReply::Refused) {
            Next::TryAnother(mechanism) => sent.push(mechanism),
            Next::Fail(error) => return (sent, error),
            Next::AwaitList => panic!("the list is there"),
        }
    }
}

#[test]
fn auth_2_plain_goes_over_tls_and_scram_over_plain_sockets() {
    assert_eq!(Negotiation::new(&password(), true, None, None).unwrap().current(), Plain);
    assert_eq!(Negotiation::new(&password(), false, None, None).unwrap().current(), ScramSha512);
}

#[test]
fn auth_1_plain_on_a_plain_socket_only_if_listed() {
    assert!(!open(None).shows_password());
    let (sent, error) = refuse_all(with_list(open(None), "PLAIN"));
    assert_eq!(sent, [ScramSha512], "a server cannot talk the client down to PLAIN");
    assert!(matches!(&error, AuthError::NoCommonMechanism { plain_would_do: true, .. }), "{error}");

    let listed = open(Some(&[Plain]));
    assert_eq!(listed.current(), Plain);
    assert!(listed.shows_password());
    assert!(!Negotiation::new(&password(), true, None, None).unwrap().shows_password());
}

#[test]
fn auth_1_the_list_is_a_hard_filter() {
    let everything = "SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN OAUTHBEARER";
    let (sent, _) = refuse_all(with_list(open(Some(&[ScramSha256])), everything));
    assert_eq!(sent, [ScramSha256]);
    let (sent, _) = refuse_all(with_list(open(Some(&[ScramSha256])), "PLAIN SCRAM-SHA1"));
    assert_eq!(sent, [ScramSha256]);
}

#[test]
fn auth_1_scram_over_tls_if_the_caller_lists_it() {
    let current = |allowed: &[Mechanism]| {
        Negotiation::new(&password(), true, Some(allowed), None).map(|chosen| chosen.current())
    };
    assert_eq!(current(&[ScramSha1, ScramSha512]), Ok(ScramSha512));
    assert_eq!(current(&[ScramSha512, Plain]), Ok(Plain));
}

#[test]
fn a_filter_that_leaves_nothing_is_an_error() {
    for (authenticator, tls, allowed) in [
        (password(), false, &[][..]),
        (password(), false, &[OauthBearer]),
        (password(), true, &[OauthBearer]),
        (bearer(), true, &[Plain, ScramSha512]),
    ] {
        let refused = Negotiation::new(&authenticator, tls, Some(allowed), None);
        assert!(matches!(refused, Err(AuthError::NothingAllowed { .. })), "{allowed:?}");
    }
    let error = Negotiation::new(&bearer(), true, Some(&[Plain]), None).unwrap_err().to_string();
    assert!(error.contains("(PLAIN)") && error.contains("OAUTHBEARER"), "{error}");
}

#[test]
fn bearer_tokens_need_tls() {
    assert_eq!(Negotiation::new(&bearer(), true, None, None).unwrap().current(), OauthBearer);
    let refused = Negotiation::new(&bearer(), false, None, None);
    assert!(matches!(refused, Err(AuthError::InvalidArgument(_))));
}

#[test]
fn sa_1_the_servers_list_only_removes() {
    let (sent, error) = refuse_all(with_list(open(None), "PLAIN OAUTHBEARER GSSAPI"));
    assert_eq!(sent, [ScramSha512]);
    assert_eq!(
        error,
        AuthError::NoCommonMechanism {
            allowed: "SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1".into(),
            offered: "PLAIN OAUTHBEARER GSSAPI".into(),
            plain_would_do: true,
        }
    );
}

#[test]
fn sa_2_the_first_choice_does_not_wait_for_the_list() {
    let first = open(None);
    assert_eq!(first.current(), ScramSha512);
    assert_eq!(with_list(first, "SCRAM-SHA1").current(), ScramSha512, "the list alone changes nothing");
}

#[test]
fn sa_3_a_mechanism_that_is_not_offered_falls_back() {
    let mut negotiation = with_list(open(None), "SCRAM-SHA1 SCRAM-SHA256 PLAIN");
    for reply in [SaslReply::Refused, SaslReply::Unavailable] {
        assert_eq!(negotiation.clone().on_rejected(reply), Next::TryAnother(ScramSha256));
    }
    assert_eq!(negotiation.on_rejected(SaslReply::Refused), Next::TryAnother(ScramSha256));
    assert_eq!(negotiation.current(), ScramSha256);
    let wrong_password = AuthError::BadCredentials { mechanism: ScramSha256 };
    assert_eq!(negotiation.on_rejected(SaslReply::Refused), Next::Fail(wrong_password));
}

#[test]
fn sa_3_a_mechanism_that_is_offered_means_bad_credentials() {
    let (sent, error) = refuse_all(with_list(open(None), "SCRAM-SHA512 SCRAM-SHA256"));
    assert_eq!((sent, error), (vec![ScramSha512], AuthError::BadCredentials { mechanism: ScramSha512 }));
    let next = with_list(open(None), "SCRAM-SHA512").on_rejected(SaslReply::Unavailable);
    assert_eq!(next, Next::Fail(AuthError::MechanismRefused { mechanism: ScramSha512 }));
}

#[test]
fn sa_3_an_unknown_list_ends_the_attempt() {
    let mut negotiation = open(None);
    assert_eq!(negotiation.on_list_failed(), None);
    let (sent, error) = refuse_all(negotiation);
    assert_eq!((sent, error), (vec![ScramSha512], AuthError::MechanismRefused { mechanism: ScramSha512 }));
}

#[test]
fn sa_3_a_refusal_waits_for_a_list_that_comes_later() {
    let mut refused = open(None);
    assert_eq!(refused.on_rejected(SaslReply::Refused), Next::AwaitList);
    let bad = AuthError::BadCredentials { mechanism: ScramSha512 };
    assert_eq!(refused.clone().on_list(b"SCRAM-SHA512"), Some(Next::Fail(bad)));
    let unknown = AuthError::MechanismRefused { mechanism: ScramSha512 };
    assert_eq!(refused.clone().on_list_failed(), Some(Next::Fail(unknown)));
    assert_eq!(refused.on_list(b"SCRAM-SHA1"), Some(Next::TryAnother(ScramSha1)));
    assert_eq!(refused.on_list(b"SCRAM-SHA1"), None, "answered once");
}

#[test]
fn sa_4_each_mechanism_is_tried_once() {
    // A server that changes its list with every refusal.
    let mut negotiation = with_list(open(Some(&[ScramSha512, ScramSha256])), "SCRAM-SHA256");
    assert_eq!(negotiation.on_rejected(SaslReply::Refused), Next::TryAnother(ScramSha256));
    assert_eq!(negotiation.on_list(b"SCRAM-SHA512"), None);
    let next = negotiation.on_rejected(SaslReply::Refused);
    assert!(matches!(next, Next::Fail(AuthError::NoCommonMechanism { .. })), "{next:?}");
}

#[test]
fn auth_3_what_worked_before_goes_first_if_allowed() {
    let first = |allowed: Option<&[Mechanism]>, remembered| {
        Negotiation::new(&password(), false, allowed, Some(remembered)).unwrap().current()
    };
    assert_eq!(first(None, ScramSha1), ScramSha1);
    assert_eq!(first(None, Plain), ScramSha512);
    assert_eq!(first(Some(&[ScramSha256]), ScramSha1), ScramSha256);
    let mut upgraded = Negotiation::new(&password(), false, None, Some(ScramSha1)).unwrap();
    assert_eq!(upgraded.on_list(b"SCRAM-SHA512"), None);
    assert_eq!(upgraded.on_rejected(SaslReply::Refused), Next::TryAnother(ScramSha512));
}

#[test]
fn h8_unknown_names_and_stray_blanks_are_ignored() {
    for list in
        ["SCRAM-SHA1 ", " SCRAM-SHA1", "GSSAPI  SCRAM-SHA1 X", "SCRAM-SHA-256 scram-sha256 SCRAM-SHA1\n"]
    {
        let next = with_list(open(None), list).on_rejected(SaslReply::Refused);
        assert_eq!(next, Next::TryAnother(ScramSha1), "{list:?}");
    }
    for list in ["", " ", "\u{0}"] {
        let (_, error) = refuse_all(with_list(open(None), list));
        assert!(error.to_string().contains("offers nothing"), "{error}");
    }
}

#[test]
fn a_huge_list_does_not_make_a_huge_error() {
    let (_, error) = refuse_all(with_list(open(None), &"X\u{1b}[31mX ".repeat(10_000)));
    let text = error.to_string();
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn auth_9_debug_shows_no_secret() {
    let text = format!("{:?}", open(None));
    assert!(!text.contains("s3cret") && !text.contains("user"), "{text}");
}

proptest! {
    #[test]
    fn sa_1_nothing_outside_the_filter_is_ever_sent(
        allowed in proptest::sample::subsequence(Mechanism::ALL.to_vec(), 0..=5),
        remembered in proptest::option::of(proptest::sample::select(Mechanism::ALL.to_vec())),
        offered in proptest::sample::subsequence(Mechanism::ALL.to_vec(), 0..=5),
        tls in any::<bool>(),
    ) {
        let Ok(negotiation) = Negotiation::new(&password(), tls, Some(&allowed), remembered) else {
            prop_assert!(allowed.iter().all(|mechanism| *mechanism == OauthBearer));
            return Ok(());
        };
        let (mut sent, _) = refuse_all(with_list(negotiation, &names(&offered)));
        prop_assert!(sent.iter().all(|mechanism| allowed.contains(mechanism)));
        prop_assert!(sent.iter().skip(1).all(|mechanism| offered.contains(mechanism)));
        let count = sent.len();
        sent.sort_unstable();
        sent.dedup();
        prop_assert_eq!(sent.len(), count);
    }

    #[test]
    fn any_list_is_survived(list in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut negotiation = open(None);
        prop_assert_eq!(negotiation.on_list(&list), None);
        negotiation.on_rejected(SaslReply::Refused);
    }
}
