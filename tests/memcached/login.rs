//! SASL PLAIN with a memcached that asks for it, and knows its users from Cyrus SASL.

use crate::client::{Answer, Client};
use crate::program::Memcached;
use settee::auth::{Authenticator, Exchange, Mechanism, PasswordAuthenticator, Progress, SaslReply};
use settee::wire::{Encode, Opcode, Status, ops};

const USER: &str = "tester@interop";
/// Bytes beyond ASCII and a space: what is sent is UTF-8, unquoted.
const PASSWORD: &str = "p\u{e4}ss w\u{f6}rd";

fn server() -> Option<Memcached> {
    Memcached::start_with_user("tester", "interop", PASSWORD)
}

fn plain(client: &mut Client, user: &str, password: &str) -> (Exchange, Answer) {
    let login = Authenticator::Password(PasswordAuthenticator::new(user, password).unwrap());
    let exchange = Exchange::start(&login, Mechanism::Plain, String::new).unwrap();
    let key = exchange.mechanism().name().as_bytes();
    let request = Encode { key, ..client.request(Opcode::SASL_AUTH) };
    let answer = client.ask(request, exchange.initial_response());
    (exchange, answer)
}

#[test]
fn the_list_of_mechanisms_is_read() {
    let Some(server) = server() else { return };
    let answer = Client::connect(&server).call(Opcode::SASL_LIST_MECHS, b"", b"", b"");
    assert_eq!(answer.status(), Status::SUCCESS);
    let offered: Vec<_> = answer.value.split(|byte| *byte == b' ').filter_map(Mechanism::from_name).collect();
    assert_eq!(offered, [Mechanism::Plain]);
}

#[test]
fn nothing_is_served_before_authentication() {
    let Some(server) = server() else { return };
    let mut client = Client::connect(&server);
    let answer = client.call(Opcode::GET, b"key", b"", b"");
    assert_eq!(answer.status(), Status::AUTH_ERROR);
}

#[test]
fn the_right_password_opens_the_connection() {
    let Some(server) = server() else { return };
    let mut client = Client::connect(&server);
    let (mut exchange, answer) = plain(&mut client, USER, PASSWORD);
    assert_eq!(answer.status(), Status::SUCCESS);
    let reply = SaslReply::from_status(answer.status().0);
    assert_eq!(exchange.on_reply(reply, &answer.value, 100_000), Ok(Progress::Authenticated));
    let set = client.call(Opcode::SET, b"key", &ops::store_extras(1, 0), b"value");
    assert_eq!(set.status(), Status::SUCCESS);
    assert_eq!(client.call(Opcode::GET, b"key", b"", b"").value, b"value");
}

#[test]
fn a_wrong_password_or_user_is_refused() {
    let Some(server) = server() else { return };
    for (user, password) in [(USER, "wrong"), ("nobody@interop", PASSWORD), (USER, "p\u{e4}ss")] {
        let mut client = Client::connect(&server);
        let (mut exchange, answer) = plain(&mut client, user, password);
        assert_eq!(answer.status(), Status::AUTH_ERROR, "{user}");
        let reply = SaslReply::from_status(answer.status().0);
        let progress = exchange.on_reply(reply, &answer.value, 100_000);
        assert_eq!(progress, Ok(Progress::Rejected(SaslReply::Refused)));
        assert_eq!(client.call(Opcode::GET, b"key", b"", b"").status(), Status::AUTH_ERROR);
    }
}
