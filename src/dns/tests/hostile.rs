use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;

use super::script::*;
use crate::dns::{Action, Query, SrvError};

fn header(id: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x80, 0]);
    bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    bytes
}

/// The reply of a server that puts `tail` behind the question and claims one answer.
fn with_answer(asked: &Asked, tail: &[u8]) -> Said {
    let mut bytes = asked.reply().build_bytes_vec().unwrap();
    bytes[7] = 1;
    bytes.extend(tail);
    Said::Bytes(bytes)
}

fn malformed(said: impl FnMut(&Asked) -> Said + 'static) -> String {
    let mut world = World::new(vec![script(said)]);
    match failure(&world.run()) {
        SrvError::Malformed(why) => why.clone(),
        other => panic!("another failure: {other:?}"),
    }
}

#[test]
fn compression_loops_end() {
    // In the question: a pointer to itself, forward, to one another, and through a label.
    for name in [&[0xc0, 12][..], &[0xc0, 14, 0], &[0xc0, 14, 0xc0, 12], &[1, b'a', 0xc0, 12]] {
        let name = name.to_vec();
        let why = malformed(move |asked| {
            let mut bytes = header(asked.id, [1, 0, 0, 0]);
            bytes.extend(&name);
            bytes.extend([0, 33, 0, 1]);
            Said::Bytes(bytes)
        });
        assert!(why.contains("compression"), "{why}");
    }
    // In a target: the pointer leads to the target itself.
    let why = malformed(|asked| {
        let at = asked.reply().build_bytes_vec().unwrap().len() as u16;
        let target = (0xc000 | (at + 2 + 10 + 6)).to_be_bytes();
        let mut tail = vec![0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 1];
        tail.extend(target);
        with_answer(asked, &tail)
    });
    assert!(why.contains("compression"), "{why}");
}

#[test]
fn a_long_chain_of_pointers_ends_early() {
    let why = malformed(|asked| {
        // The first record is of an unknown type and holds pointers, each to the one before; the second one's owner is the last.
        let mut bytes = asked.reply().build_bytes_vec().unwrap();
        bytes[7] = 2;
        bytes.extend([0, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 201, 0]);
        let mut last = bytes.len() as u16 - 1;
        for _ in 0..100 {
            let at = bytes.len() as u16;
            bytes.extend((0xc000 | last).to_be_bytes());
            last = at;
        }
        bytes.extend((0xc000 | last).to_be_bytes());
        bytes.extend([0, 33, 0, 1, 0, 0, 0, 0, 0, 0]);
        Said::Bytes(bytes)
    });
    assert!(why.contains("compression"), "{why}");
}

#[test]
fn absurd_counts_are_not_believed() {
    malformed(|asked| {
        let mut bytes = asked.reply().build_bytes_vec().unwrap();
        bytes[4..12].fill(0xff);
        Said::Bytes(bytes)
    });
    malformed(|asked| {
        let mut bytes = asked.reply().build_bytes_vec().unwrap();
        bytes[6..8].fill(0xff);
        Said::Bytes(bytes)
    });
}

#[test]
fn lengths_beyond_the_end() {
    let owner_and_type = [0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 0];
    for data in [
        // More data than there is; less than an SRV record; a name beyond the data; a label beyond the end.
        &[0xff, 0xff, 0, 0][..],
        &[0, 3, 0, 0, 0],
        &[0, 7, 0, 0, 0, 0, 0, 1, 1, b'a', 0],
        &[0, 8, 0, 0, 0, 0, 0, 1, 63, b'a'],
        &[0, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0, 8, 0, 0, 0, 0, 0, 1, 0x80, 0],
        &[0],
        &[],
    ] {
        let tail = [&owner_and_type, data].concat();
        malformed(move |asked| with_answer(asked, &tail));
    }
}

#[test]
fn a_name_longer_than_255_bytes() {
    let why = malformed(|asked| {
        let mut tail = [[63].as_slice(), &[b'a'; 63]].concat().repeat(4);
        tail.push(0);
        tail.extend([0, 33, 0, 1, 0, 0, 0, 0, 0, 0]);
        with_answer(asked, &tail)
    });
    assert!(why.contains("255"), "{why}");
}

#[test]
fn a_circle_of_aliases_ends() {
    let why = malformed(|asked| {
        let mut reply = asked.reply();
        reply.answers.push(cname(NAME, "a.example.com"));
        reply.answers.push(cname("a.example.com", NAME));
        said(&reply)
    });
    assert!(why.contains("aliases"), "{why}");
}

#[test]
fn targets_that_are_no_host_names_are_left_out() {
    let with = |host: &'static [u8], port: u8| {
        move |asked: &Asked| {
            let mut tail = vec![0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, host.len() as u8 + 8];
            tail.extend([0, 0, 0, 0, 0, port, host.len() as u8]);
            tail.extend(host);
            tail.push(0);
            with_answer(asked, &tail)
        }
    };
    for host in [&b"a b"[..], b"a\n", b"a.b", b"\xff", b"u@h", b"[h"] {
        assert!(malformed(with(host, 1)).contains("names a host"), "{host:?}");
    }
    assert!(malformed(with(b"host", 0)).contains("names a host"), "port 0");
}

#[test]
fn wrong_ids_are_ignored() {
    let mut world = World::new(vec![script(|asked| {
        let mut all: Vec<_> = (0..2000_u16)
            .map(|offset| {
                let mut reply = asked.reply();
                reply.set_id(asked.id.wrapping_add(1 + offset));
                reply.answers.push(srv("forged.example.com", 1));
                said(&reply)
            })
            .collect();
        all.push(asked.records(3));
        Said::Several(all)
    })]);
    let outcome = world.run();
    assert_eq!(targets(&outcome).len(), 3);
    assert_eq!(outcome.tries, 1);
}

#[test]
fn other_senders_are_ignored() {
    for from in ["10.0.0.9:53", "10.0.0.1:5353", "[::1]:53"] {
        let from: SocketAddr = from.parse().unwrap();
        let mut world = World::new(vec![script(move |asked| {
            let Said::Bytes(forged) = asked.records(50) else { unreachable!() };
            Said::Several(vec![Said::From(from, forged), asked.records(3)])
        })]);
        assert_eq!(targets(&world.run()).len(), 3);
    }
}

#[test]
fn the_sender_may_be_written_as_an_ipv6_address() {
    let mut world = World::new(vec![script(|asked| {
        let Said::Bytes(bytes) = asked.records(3) else { unreachable!() };
        Said::From("[::ffff:10.0.0.1]:53".parse().unwrap(), bytes)
    })]);
    assert_eq!(targets(&world.run()).len(), 3);
}

#[test]
fn other_questions_queries_and_opcodes_are_ignored() {
    let change = |at: usize, to: u8| {
        move |bytes: &mut Vec<u8>| {
            bytes[at] = to;
        }
    };
    let last = 12 + NAME.len() + 2;
    type Alteration = Box<dyn Fn(&mut Vec<u8>)>;
    let alterations: Vec<Alteration> = vec![
        // No response; another opcode; another name, type and class; two questions; none.
        Box::new(change(2, 0)),
        Box::new(change(2, 0x90)),
        Box::new(change(14, b'z')),
        Box::new(change(last + 1, 1)),
        Box::new(change(last + 3, 3)),
        Box::new(move |bytes| {
            bytes[5] = 2;
            let question = bytes[12..last + 4].to_vec();
            bytes.splice(12..12, question);
        }),
        Box::new(move |bytes| {
            bytes[5] = 0;
            bytes.drain(12..last + 4);
        }),
    ];
    for alter in alterations {
        let mut world = World::new(vec![script(move |asked| {
            let mut forged = asked.reply().build_bytes_vec().unwrap();
            alter(&mut forged);
            Said::Several(vec![Said::Bytes(forged), asked.records(3)])
        })]);
        let outcome = world.run();
        assert_eq!((targets(&outcome).len(), outcome.tries), (3, 1));
    }
}

#[test]
fn the_question_may_come_back_in_other_letters() {
    let mut world = World::new(vec![script(|asked| {
        let Said::Bytes(mut bytes) = asked.records(3) else { unreachable!() };
        bytes[12..40].make_ascii_uppercase();
        Said::Bytes(bytes)
    })]);
    assert_eq!(targets(&world.run()).len(), 3);
}

fn over_tcp(mut raw: impl FnMut(&Asked) -> Said + 'static) -> World {
    World::new(vec![script(move |asked| match asked.tcp {
        true => raw(asked),
        false => asked.truncated(0),
    })])
}

#[test]
fn empty_and_short_frames_end_the_stream() {
    for raw in [&[0, 0][..], &[0, 1, 0], &[0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let raw = raw.to_vec();
        let mut world = over_tcp(move |_| Said::Raw(raw.repeat(100)));
        let outcome = world.run();
        assert_eq!(failure(&outcome), &SrvError::TruncatedNoTcp);
        assert!(outcome.elapsed < ms(100));
    }
}

#[test]
fn frames_of_other_questions_are_ignored() {
    let mut world = over_tcp(|asked| {
        let Said::Bytes(mut other) = asked.records(3) else { unreachable!() };
        other[0] ^= 0xff;
        Said::Several(vec![Said::Bytes(other), asked.records(50)])
    });
    assert_eq!(targets(&world.run()).len(), 50);
}

#[test]
fn a_frame_that_never_ends_is_bounded_in_time() {
    let mut world = over_tcp(|_| Said::Raw([&[0xff, 0xff][..], &[0; 1000]].concat()));
    let outcome = world.run();
    assert_eq!(failure(&outcome), &SrvError::TruncatedNoTcp);
    assert!(outcome.elapsed <= DEADLINE);
}

#[test]
fn inputs_after_the_end_are_ignored() {
    let mut world = World::new(vec![script(|asked| asked.records(3))]);
    world.run();
    #[expect(clippy::disallowed_methods, reason = "virtual time is over")]
    let now = Instant::now();
    let query = &mut world.query;
    query.on_connected(now);
    query.on_stream(&[0, 0], now);
    query.on_stream_lost(now);
    query.on_datagram(address(0), &[0; 12], now);
    query.on_datagram_failed(Some(address(0)), SrvError::Unreachable, now);
    query.on_datagram_failed(None, SrvError::Unsupported, now);
    query.on_timeout(now + ms(10_000));
    assert_eq!((query.poll(), query.poll_timeout()), (None, None));
}

/// Whatever comes by datagram and stream, the query ends in time.
fn end_with(messages: &[Vec<u8>]) {
    #[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
    let start = Instant::now();
    let mut now = start;
    let mut query = Query::new(NAME, &config(2), DEADLINE, 3, now);
    let mut messages = messages.iter().cycle();
    let mut id = [0, 0];
    for _ in 0..1000 {
        while let Some(action) = query.poll() {
            match action {
                Action::Datagram { payload, .. } => id = [payload[0], payload[1]],
                Action::Send { payload } => id = [payload[2], payload[3]],
                Action::Connect { .. } => query.on_connected(now),
                Action::Done(_) => return assert!(now <= start + DEADLINE),
                Action::Close => {}
            }
        }
        let mut message = messages.next().cloned().unwrap_or_default();
        // As it is on the stream; with the right id as a datagram.
        query.on_stream(&message, now);
        if let Some(start) = message.get_mut(..2) {
            start.copy_from_slice(&id);
        }
        query.on_datagram(address(0), &message, now);
        query.on_datagram(address(1), &message, now);
        if let Some(at) = query.poll_timeout() {
            now = at;
            query.on_timeout(now);
        }
    }
    panic!("the query does not end");
}

proptest! {
    #[test]
    fn any_bytes_end_the_query_in_time(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6)) {
        end_with(&messages);
    }

    #[test]
    fn altered_answers_end_the_query_in_time(
        count in 0_usize..20,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let question = crate::dns::message::encode_name(NAME).unwrap();
        let asked = Asked::read(&crate::dns::message::write_query(1, &question, true), false);
        let Said::Bytes(mut bytes) = asked.records(count) else { unreachable!() };
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        end_with(&[bytes]);
    }
}
