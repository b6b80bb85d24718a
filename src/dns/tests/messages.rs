//! What is read is what a foreign implementation wrote, and reads.

use proptest::prelude::*;
use simple_dns::rdata::{RData, SRV};
use simple_dns::{Name, Packet};

use super::script::*;
use crate::dns::message::{Header, Question, Response, encode_name, write_query};
use crate::dns::targets;

#[test]
fn the_query_is_what_a_foreign_reader_expects() {
    for edns in [false, true] {
        let bytes = write_query(0xabcd, &encode_name(NAME).unwrap(), edns);
        let asked = Asked::read(&bytes, false);
        assert_eq!((asked.id, asked.edns), (0xabcd, edns));
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.questions[0].qtype, simple_dns::TYPE::SRV.into());
        assert_eq!(packet.questions[0].qclass, simple_dns::CLASS::IN.into());
    }
}

#[test]
fn a_trailing_dot_makes_no_difference() {
    assert_eq!(encode_name("a.b."), encode_name("a.b"));
    assert_eq!(encode_name("a.b").unwrap(), b"\x01a\x01b\x00");
}

#[test]
fn odd_records_beside_the_answer_do_not_matter() {
    let question = encode_name(NAME).unwrap();
    let asked = Asked::read(&write_query(1, &question, true), false);
    let mut reply = asked.reply();
    reply.answers.push(srv("node.example.com", 11207));
    let mut bytes = reply.build_bytes_vec().unwrap();
    // Two answers more of unknown type and class, one empty, and an additional record that is cut off.
    (bytes[7], bytes[11]) = (3, 1);
    bytes.extend([0xc0, 12, 0xff, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0xc0, 12, 0, 33, 0, 3, 0, 0, 0, 0, 0, 1, 7]);
    bytes.extend([0xc0]);
    let response = Response::read(&bytes, Header::read(&bytes).unwrap(), &question).unwrap();
    assert_eq!(response.question, Question::Ours);
    assert_eq!(targets::read(&response, &question).unwrap().targets.len(), 1);
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(
        records in prop::collection::vec(("[a-z0-9-]{1,20}(\\.[a-z0-9_-]{1,20}){0,5}", 1_u16.., any::<u16>(), any::<u16>()), 0..40),
        compressed: bool,
    ) {
        let question = encode_name(NAME).unwrap();
        let asked = Asked::read(&write_query(1, &question, true), false);
        let mut reply = asked.reply();
        for (host, port, priority, weight) in &records {
            let target = Name::new(host).unwrap();
            let data = SRV { priority: *priority, weight: *weight, port: *port, target };
            reply.answers.push(record(NAME, RData::SRV(data.into_owned())));
        }
        let bytes =
            if compressed { reply.build_bytes_vec_compressed() } else { reply.build_bytes_vec() }.unwrap();
        let response = Response::read(&bytes, Header::read(&bytes).unwrap(), &question).unwrap();
        let found = targets::read(&response, &question).unwrap();
        let mut expected: Vec<(String, u16, u16, u16)> = Vec::new();
        for (host, port, priority, weight) in records {
            if !expected.iter().any(|(known, at, ..)| *known == host && *at == port) {
                expected.push((host, port, priority, weight));
            }
        }
        let read: Vec<_> = found
            .targets
            .into_iter()
            .map(|target| (target.host, target.port, target.priority, target.weight))
            .collect();
        prop_assert_eq!(read, expected);
    }
}
