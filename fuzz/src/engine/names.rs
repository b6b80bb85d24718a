//! A name server: answers to the questions that the engine asks, by datagram or by stream, that fit, or nearly.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::choices::Choices;

/// The name servers that the engine knows.
pub(super) const SERVERS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 53)), 53),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 53)), 53),
];

const HEADER: usize = 12;
/// Bit of the third byte: there was no room for all.
const TRUNCATED: u8 = 2;

/// An honest answer.
pub(super) fn answer(question: &[u8], truncated: bool) -> Vec<u8> {
    let mut message = begin(question);
    if truncated {
        message[2] |= TRUNCATED;
        return message;
    }
    add_target(&mut message, "n1", 11210);
    add_target(&mut message, "n2", 11210);
    message
}

/// Some answer.
pub(super) fn answer_oddly(question: &[u8], u: &mut Choices<'_>) -> Vec<u8> {
    let mut message = begin(question);
    message[3] = u.of(&[0, 0, 0, 0, 3, 2, 5, 1]);
    if u.one_in(8) {
        message[2] |= TRUNCATED;
    }
    for _ in 0..u.below(5) {
        let label = u.of(&["n1", "n2", "n3", "db", "", "a-label-that-is-longer-than-others", "n 1", "127"]);
        let port = u.of(&[11210, 11207, 0, 53, u16::MAX]);
        add_target(&mut message, label, port);
    }
    if u.one_in(4) {
        let at = usize::from(u.byte()) % message.len();
        message[at] = u.byte();
    }
    if u.one_in(8) {
        message.truncate(usize::from(u.byte()) % message.len());
    }
    if u.one_in(8) {
        message.extend_from_slice(u.bytes(40));
    }
    message
}

/// Header and question of an answer without records.
fn begin(question: &[u8]) -> Vec<u8> {
    let mut end = HEADER;
    while question[end] != 0 {
        end += 1 + usize::from(question[end]);
    }
    let mut message = question[..end + 5].to_vec();
    message[2] |= 0x80;
    message[3] = 0;
    // No answers yet, and nothing beyond them.
    message[6..HEADER].fill(0);
    message
}

/// One more record, `label` below the zone `lan`.
fn add_target(message: &mut Vec<u8>, label: &str, port: u16) {
    message[7] += 1;
    let mut target = vec![label.len() as u8];
    target.extend_from_slice(label.as_bytes());
    target.extend_from_slice(b"\x03lan\0");
    // The name asked for, SRV, IN, a minute.
    message.extend([0xc0, HEADER as u8, 0, 33, 0, 1, 0, 0, 0, 60, 0, 6 + target.len() as u8, 0, 0, 0, 0]);
    message.extend(port.to_be_bytes());
    message.extend(target);
}

/// The server's end of a stream.
#[derive(Default)]
pub(super) struct Stream {
    received: Vec<u8>,
    questions: Vec<Vec<u8>>,
}

impl Stream {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while let Some(&[high, low]) = self.received.first_chunk() {
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            assert!(end <= 514, "a question is longer than one can be");
            if self.received.len() < end {
                break;
            }
            self.questions.push(self.received.drain(..end).skip(2).collect());
        }
    }

    pub(super) fn answer_all(&mut self, out: &mut Vec<u8>) {
        for question in self.questions.drain(..) {
            emit(&answer(&question, false), out);
        }
    }

    pub(super) fn answer_one(&mut self, u: &mut Choices<'_>, out: &mut Vec<u8>) {
        if let Some(question) = self.questions.pop() {
            emit(&answer_oddly(&question, u), out);
        } else if u.one_in(4) {
            emit(u.bytes(30), out);
        }
    }
}

fn emit(message: &[u8], out: &mut Vec<u8>) {
    out.extend((message.len() as u16).to_be_bytes());
    out.extend(message);
}
