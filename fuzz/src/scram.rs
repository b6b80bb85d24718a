//! SASL: whatever a server says, nobody is authenticated by SCRAM without the right signature, and the negotiation ends.

use arbitrary::{Result, Unstructured};
use settee::auth::{
    Authenticator, Exchange, Mechanism, Negotiation, Next, PasswordAuthenticator, PasswordHasher, Progress, SaslReply,
};

use crate::sasl;

const MAX_ITERATIONS: u32 = 8;
const PASSWORD: &str = "p=ss,w\u{f6}rd";

/// The bytes are choices, and what the server says where it says anything.
pub fn scram(data: &[u8]) {
    // Running out of choices ends the conversation.
    let _ = converse(&mut Unstructured::new(data));
}

fn converse(u: &mut Unstructured<'_>) -> Result<()> {
    let user = *u.choose(&["u", "us=er", "a,b"])?;
    let login = PasswordAuthenticator::new(user, PASSWORD).expect("valid credentials");
    let authenticator = Authenticator::Password(login.clone());
    let tls: bool = u.arbitrary()?;
    let mask: u8 = u.arbitrary()?;
    let allowed: Vec<_> =
        (0..).zip(Mechanism::ALL).filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, mechanism)| mechanism).collect();
    let allowed = (mask >= 32).then_some(&allowed[..]);
    let remembered = if u.arbitrary()? { Some(*u.choose(&Mechanism::ALL)?) } else { None };
    let Ok(mut negotiation) = Negotiation::new(&authenticator, tls, allowed, remembered) else { return Ok(()) };

    let mut tried = vec![negotiation.current()];
    let mut exchange = start(&authenticator, &negotiation);
    let mut listed = false;
    loop {
        let mechanism = exchange.mechanism();
        assert_eq!(mechanism, negotiation.current());
        match allowed {
            Some(allowed) => assert!(allowed.contains(&mechanism), "a mechanism that is not allowed"),
            None => assert!(tls || mechanism != Mechanism::Plain, "the password in the open"),
        }
        let next = if !listed && u.arbitrary()? {
            listed = true;
            list(u, &mut negotiation)?
        } else {
            match attempt(u, &login, &mut exchange)? {
                Some(refused) => match negotiation.on_rejected(refused) {
                    Next::AwaitList => {
                        assert!(!listed, "the list has come");
                        listed = true;
                        let next = list(u, &mut negotiation)?;
                        assert!(next.is_some(), "the refusal has waited for the list");
                        next
                    }
                    next => Some(next),
                },
                None => return Ok(()),
            }
        };
        match next {
            Some(Next::TryAnother(mechanism)) => {
                assert!(!tried.contains(&mechanism), "the same mechanism again");
                tried.push(mechanism);
                exchange = start(&authenticator, &negotiation);
            }
            Some(Next::AwaitList) => unreachable!("the list has come"),
            Some(Next::Fail(error)) => {
                assert!(!error.to_string().contains(PASSWORD));
                return Ok(());
            }
            None => {}
        }
    }
}

fn start(authenticator: &Authenticator, negotiation: &Negotiation) -> Exchange {
    Exchange::start(authenticator, negotiation.current(), || "rOprNGfwEbeRWgbNEkqO".into()).expect("it fits")
}

fn list(u: &mut Unstructured<'_>, negotiation: &mut Negotiation) -> Result<Option<Next>> {
    Ok(match u.int_in_range(0..=4)? {
        0 => negotiation.on_list_failed(),
        1 => negotiation.on_list(b"SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN"),
        2 => negotiation.on_list(b"SCRAM-SHA1"),
        3 => negotiation.on_list(b"PLAIN"),
        _ => negotiation.on_list(said(u)?),
    })
}

/// One attempt; gives the refusal that the negotiation has to judge.
fn attempt(
    u: &mut Unstructured<'_>,
    login: &PasswordAuthenticator,
    exchange: &mut Exchange,
) -> Result<Option<SaslReply>> {
    let client_first = exchange.initial_response().to_vec();
    let Some(hash) = exchange.mechanism().scram_hash() else {
        let progress = exchange.on_reply(reply(u, SaslReply::Done)?, said(u)?, MAX_ITERATIONS);
        return Ok(refused(progress.ok()));
    };
    assert!(!client_first.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    let iterations = u.int_in_range(0..=u16::from(MAX_ITERATIONS as u8) + 1)?;
    let server_first = altered(u, sasl::server_first(&client_first, iterations.into()))?;
    let request = match exchange.on_reply(reply(u, SaslReply::Continue)?, &server_first, MAX_ITERATIONS) {
        Ok(Progress::Salt(request)) => request,
        Ok(Progress::Authenticated) => panic!("authenticated without a signature"),
        other => return Ok(refused(other.ok())),
    };
    assert!((1..=MAX_ITERATIONS).contains(&request.iterations) && !request.salt.is_empty());
    let mut hasher = PasswordHasher::new(login, &request);
    while !hasher.run(3) {}
    let salted = hasher.finish().expect("all rounds are done");
    let client_final = exchange.client_final(&salted).expect("it is due");
    let expected = sasl::server_final(
        hash,
        PASSWORD,
        (&request.salt, request.iterations),
        (&client_first, &server_first, &client_final),
    );
    let server_final = altered(u, expected.clone())?;
    let progress = exchange.on_reply(reply(u, SaslReply::Done)?, &server_final, MAX_ITERATIONS);
    match progress {
        Ok(Progress::Authenticated) => {
            let signature = server_final.split(|&byte| byte == b',').next();
            assert_eq!(signature, Some(&expected[..]), "authenticated by a wrong signature");
        }
        Ok(Progress::Salt(_)) => panic!("salted twice"),
        Ok(Progress::Rejected(_)) => panic!("a refusal behind `continue` falls back"),
        Err(error) => assert!(!format!("{error} {error:?}").contains(PASSWORD)),
    }
    let again = exchange.on_reply(SaslReply::Done, &expected, MAX_ITERATIONS);
    assert!(again.is_err(), "a decided exchange is over");
    Ok(None)
}

fn refused(progress: Option<Progress>) -> Option<SaslReply> {
    match progress {
        Some(Progress::Rejected(reply)) => Some(reply),
        _ => None,
    }
}

/// Mostly the status that fits.
fn reply(u: &mut Unstructured<'_>, fitting: SaslReply) -> Result<SaslReply> {
    Ok(match u.arbitrary::<u8>()? {
        0..=199 => fitting,
        200..=229 => *u.choose(&[SaslReply::Done, SaslReply::Continue, SaslReply::Refused, SaslReply::Unavailable])?,
        _ => SaslReply::from_status(u.arbitrary()?),
    })
}

fn said<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
    u.bytes(len)
}

/// A message as it should be, or with something cut out, put in, or altogether another one.
fn altered(u: &mut Unstructured<'_>, mut message: Vec<u8>) -> Result<Vec<u8>> {
    match u.int_in_range(0..=5)? {
        0 | 1 => {}
        2 => return Ok(said(u)?.to_vec()),
        3 => message.extend_from_slice(said(u)?),
        4 => {
            let at = u.choose_index(message.len())?;
            message[at] = u.arbitrary()?;
        }
        _ => {
            let at = u.choose_index(message.len())?;
            let len = u.int_in_range(0..=message.len() - at)?;
            message.splice(at..at + len, said(u)?.iter().copied());
        }
    }
    Ok(message)
}
