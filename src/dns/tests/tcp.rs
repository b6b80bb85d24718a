use simple_dns::RCODE;

use super::script::*;
use crate::dns::{Answer, SrvError};

fn truncating(count: usize) -> Script {
    script(move |asked| match asked.tcp {
        true => asked.records(count),
        false => asked.truncated(2),
    })
}

#[test]
fn cs_27_a_truncated_answer_is_fetched_by_tcp_from_the_same_server() {
    let mut world = World::new(vec![truncating(50), silent()]);
    let outcome = world.run();
    assert_eq!(targets(&outcome).len(), 50);
    assert!(outcome.over_tcp && !outcome.truncated && outcome.bytes > 1232);
    assert_eq!(world.log, [(0, 0, false), (20, 0, true)]);
}

#[test]
fn a_stream_may_be_split_anywhere() {
    for slice in [1, 2, 3, 7, 1000] {
        let mut world = World::new(vec![truncating(50)]);
        world.slice = slice;
        assert_eq!(targets(&world.run()).len(), 50, "slices of {slice}");
    }
}

#[test]
fn without_tcp_the_next_server_is_asked() {
    for dial in [Dial::Refused, Dial::Silent] {
        let mut world = World::new(vec![truncating(50), script(|asked| asked.records(10))]);
        world.dial = dial;
        let outcome = world.run();
        assert_eq!((targets(&outcome).len(), outcome.server), (10, Some(address(1))));
        assert!(!outcome.truncated && !outcome.over_tcp);
    }
}

#[test]
fn the_part_that_fitted_is_the_last_resort_and_says_so() {
    for dial in [Dial::Refused, Dial::Silent] {
        for other in [RCODE::Refused, RCODE::NameError, RCODE::NoError] {
            let mut world = World::new(vec![truncating(50), script(move |asked| asked.code(other))]);
            world.dial = dial;
            let outcome = world.run();
            assert_eq!((targets(&outcome).len(), outcome.server), (2, Some(address(0))));
            assert!(outcome.truncated && !outcome.over_tcp);
            assert!(outcome.to_string().contains("only those that fitted"), "{outcome}");
        }
    }
}

#[test]
fn truncation_without_any_record_is_a_failure_of_its_own() {
    let mut world = World::new(vec![script(|asked| asked.truncated(0)), silent()]);
    world.dial = Dial::Refused;
    let outcome = world.run();
    assert_eq!((failure(&outcome), outcome.server), (&SrvError::TruncatedNoTcp, Some(address(0))));
}

#[test]
fn tcp_is_not_tried_again_where_it_failed() {
    let mut world = World::new(vec![script(|asked| match asked.tcp {
        true => Said::Lost,
        false => asked.truncated(0),
    })]);
    assert_eq!(failure(&world.run()), &SrvError::TruncatedNoTcp);
    assert_eq!(world.log.iter().filter(|(_, _, tcp)| *tcp).count(), 1);
}

#[test]
fn a_server_that_refuses_large_answers_is_passed_over() {
    let refuses = script(|asked| match asked.tcp {
        true => asked.code(RCODE::Refused),
        false => asked.truncated(0),
    });
    let mut world = World::new(vec![refuses, script(|asked| asked.fitting(50))]);
    let outcome = world.run();
    assert_eq!((targets(&outcome).len(), outcome.server), (50, Some(address(1))));
    assert!(outcome.over_tcp);
}

#[test]
fn edns_is_dropped_over_tcp_as_well() {
    let mut world = World::new(vec![script(|asked| match (asked.tcp, asked.edns) {
        (false, _) => asked.truncated(0),
        (true, true) => asked.code(RCODE::FormatError),
        (true, false) => asked.records(50),
    })]);
    assert_eq!(targets(&world.run()).len(), 50);
}

#[test]
fn an_answer_of_another_server_ends_the_stream() {
    let late = script(|asked| match asked.records(3) {
        Said::Bytes(bytes) => Said::After(300, bytes),
        _ => unreachable!(),
    });
    let mut world = World::new(vec![late, truncating(50)]);
    world.dial = Dial::Silent;
    let outcome = world.run();
    assert_eq!((outcome.server, outcome.elapsed), (Some(address(0)), ms(300)));
}

#[test]
fn nothing_over_tcp_is_not_believed_when_there_was_something() {
    let mut world = World::new(vec![script(|asked| match asked.tcp {
        true => asked.code(RCODE::NameError),
        false => asked.truncated(2),
    })]);
    let outcome = world.run();
    assert!(matches!(outcome.answer, Answer::Records(_)) && outcome.truncated);
}
