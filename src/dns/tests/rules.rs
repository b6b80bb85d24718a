use std::time::Duration;

use simple_dns::rdata::{RData, SRV};
use simple_dns::{Name, RCODE};

use super::script::*;
use crate::dns::{Action, Answer, Query, ResolverConfig, SrvError};

#[test]
fn cs_26_any_number_of_targets() {
    for count in [1, 3, 10, 50] {
        let mut world = World::new(vec![script(move |asked| asked.fitting(count))]);
        let outcome = world.run();
        let targets = targets(&outcome);
        assert_eq!(targets.len(), count);
        assert_eq!((targets[0].host.as_str(), targets[0].port), ("node0.example.com", 11207));
        assert_eq!(outcome.server, Some(address(0)));
        assert_eq!(outcome.left_out, 0);
        assert!(!outcome.truncated && outcome.bytes > 0);
    }
}

#[test]
fn cs_26_a_thousand_records_are_bounded() {
    let mut world = World::new(vec![script(|asked| asked.fitting(1000))]);
    let outcome = world.run();
    assert_eq!((targets(&outcome).len(), outcome.left_out), (512, 488));
    assert!(outcome.over_tcp);
}

#[test]
fn ten_records_fit_into_a_datagram_of_edns_but_not_of_1987() {
    let mut world = World::new(vec![script(|asked| asked.fitting(20))]);
    let outcome = world.run();
    assert!(!outcome.over_tcp && outcome.bytes > 512);
    assert_eq!(world.log, [(0, 0, false)]);
}

#[test]
fn priorities_and_weights_are_reported_and_ignored() {
    let mut world = World::new(vec![script(|asked| {
        let mut reply = asked.reply();
        for (priority, weight, target) in [(9, 0, "late.example.com"), (1, 7, "first.example.com")] {
            let target = Name::new(target).unwrap();
            reply.answers.push(record(NAME, RData::SRV(SRV { priority, weight, port: 1, target })));
        }
        said(&reply)
    })]);
    let outcome = world.run();
    let all: Vec<_> =
        targets(&outcome).iter().map(|target| (&*target.host, target.priority, target.weight)).collect();
    assert_eq!(all, [("late.example.com", 9, 0), ("first.example.com", 1, 7)]);
}

#[test]
fn a_target_comes_once_and_without_its_trailing_dot() {
    let mut world = World::new(vec![script(|asked| {
        let mut reply = asked.reply();
        reply.answers.push(srv("a.example.com.", 1));
        reply.answers.push(srv("A.Example.COM", 1));
        reply.answers.push(srv("a.example.com", 2));
        said(&reply)
    })]);
    let outcome = world.run();
    let all: Vec<_> = targets(&outcome).iter().map(|target| (&*target.host, target.port)).collect();
    assert_eq!(all, [("a.example.com", 1), ("a.example.com", 2)]);
}

#[test]
fn the_root_as_the_target_means_no_service() {
    let mut world = World::new(vec![script(|asked| {
        let mut reply = asked.reply();
        reply.answers.push(srv(".", 0));
        said(&reply)
    })]);
    assert_eq!(world.run().answer, Answer::NoRecords { nxdomain: false });
}

#[test]
fn nxdomain_and_an_empty_answer_are_final() {
    for (code, nxdomain) in [(RCODE::NameError, true), (RCODE::NoError, false)] {
        let mut world = World::new(vec![script(move |asked| asked.code(code)), silent()]);
        let outcome = world.run();
        assert_eq!(outcome.answer, Answer::NoRecords { nxdomain });
        assert_eq!((outcome.server, outcome.elapsed), (Some(address(0)), ms(10)));
        assert_eq!(world.servers(), [0]);
    }
}

#[test]
fn aliases_are_followed() {
    let mut world = World::new(vec![script(|asked| {
        let mut reply = asked.reply();
        let node = Name::new("node.elsewhere.net").unwrap();
        let data = RData::SRV(SRV { priority: 0, weight: 0, port: 5, target: node });
        reply.answers.push(record("srv.elsewhere.net", data));
        reply.answers.push(srv("forged.example.com", 6));
        reply.answers.push(cname("one.elsewhere.net", "SRV.elsewhere.net"));
        reply.answers.push(cname(NAME, "one.elsewhere.net"));
        said(&reply)
    })]);
    let outcome = world.run();
    assert_eq!(targets(&outcome).len(), 1);
    assert_eq!(targets(&outcome)[0].host, "node.elsewhere.net");
}

#[test]
fn records_of_other_names_do_not_count() {
    let mut world = World::new(vec![script(|asked| {
        let mut reply = asked.reply();
        let node = Name::new("node.evil.example").unwrap();
        let data = RData::SRV(SRV { priority: 0, weight: 0, port: 5, target: node });
        reply.answers.push(record("_couchbases._tcp.evil.example", data));
        said(&reply)
    })]);
    assert_eq!(world.run().answer, Answer::NoRecords { nxdomain: false });
}

#[test]
fn d_5_a_target_that_repeats_the_zone_is_flagged() {
    for (target, suspected) in [
        ("node.cb.example.com", false),
        ("node.example.com", false),
        ("node.example.org", false),
        ("example.com", false),
        ("node.cb.example.com.cb.example.com", true),
        ("node.cb.example.com.example.com", true),
        ("node.example.com.cb.example.com", true),
        ("example.com.example.com", true),
    ] {
        let mut world = World::new(vec![script(move |asked| {
            let mut reply = asked.reply();
            reply.answers.push(srv(target, 1));
            said(&reply)
        })]);
        assert_eq!(targets(&world.run())[0].relative_suspected, suspected, "{target}");
    }
}

#[test]
fn servers_that_fail_or_refuse_are_passed_over() {
    for code in [RCODE::ServerFailure, RCODE::Refused, RCODE::NOTAUTH] {
        let mut world =
            World::new(vec![script(move |asked| asked.code(code)), script(|asked| asked.records(3))]);
        let outcome = world.run();
        assert_eq!(targets(&outcome).len(), 3);
        assert_eq!((outcome.server, outcome.elapsed, outcome.tries), (Some(address(1)), ms(20), 2));
    }
}

#[test]
fn every_server_is_asked_in_every_round() {
    let refuse = || script(|asked| asked.code(RCODE::ServerFailure));
    let mut config = config(3);
    config.attempts = 3;
    let mut world = World::with(&config, DEADLINE, vec![refuse(), refuse(), refuse()]);
    assert_eq!(failure(&world.run()), &SrvError::ServFail);
    assert_eq!(world.servers(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn cs_27_the_third_of_three_servers_gets_its_turn_within_the_deadline() {
    let mut world = World::new(vec![silent(), silent(), script(|asked| asked.records(3))]);
    let outcome = world.run();
    assert_eq!(outcome.server, Some(address(2)));
    assert!(outcome.elapsed < ms(200), "{:?}", outcome.elapsed);
}

#[test]
fn cs_28_silence_ends_at_the_deadline() {
    for servers in [1, 2, 3, 7] {
        let mut world = World::new((0..servers).map(|_| silent()).collect());
        let outcome = world.run();
        assert_eq!(failure(&outcome), &SrvError::TimedOut);
        assert_eq!(outcome.elapsed, DEADLINE);
        assert_eq!(world.log.len(), 2 * servers);
    }
}

#[test]
fn time_outs_of_resolv_conf_end_a_query_before_a_far_deadline() {
    let mut config = config(1);
    config.timeout = ms(100);
    let mut world = World::with(&config, Duration::MAX, vec![silent()]);
    assert_eq!(world.run().elapsed, ms(200));
}

#[test]
fn a_late_answer_of_an_earlier_server_counts() {
    let late = script(|asked| match asked.records(3) {
        Said::Bytes(bytes) => Said::After(300, bytes),
        _ => unreachable!(),
    });
    let mut world = World::new(vec![late, silent()]);
    let outcome = world.run();
    assert_eq!((outcome.server, outcome.elapsed), (Some(address(0)), ms(300)));
}

#[test]
fn a_slow_answer_is_waited_for_when_all_others_have_failed() {
    let mut asked_before = false;
    let late = script(move |asked| match asked.records(3) {
        Said::Bytes(bytes) if !std::mem::replace(&mut asked_before, true) => Said::After(450, bytes),
        _ => Said::Silence,
    });
    let mut world = World::new(vec![late, script(|asked| asked.code(RCODE::Refused))]);
    let outcome = world.run();
    assert_eq!((outcome.server, outcome.elapsed), (Some(address(0)), ms(450)));
}

#[test]
fn the_most_telling_failure_is_reported() {
    let refuse = script(|asked| asked.code(RCODE::Refused));
    let mut world = World::new(vec![silent(), refuse, script(|_| Said::Unreachable)]);
    let outcome = world.run();
    assert_eq!((failure(&outcome), outcome.server), (&SrvError::Refused, Some(address(1))));
}

#[test]
fn a_server_without_edns_is_asked_again_without_it() {
    for code in [RCODE::FormatError, RCODE::NotImplemented] {
        let mut world = World::new(vec![script(move |asked| match asked.edns {
            true => asked.code(code),
            false => asked.records(3),
        })]);
        let outcome = world.run();
        assert_eq!(targets(&outcome).len(), 3);
        assert_eq!(outcome.tries, 2);
    }
}

#[test]
fn a_format_error_may_come_without_the_question() {
    let mut world = World::new(vec![script(|asked| match asked.edns {
        true => {
            let mut bytes = vec![0; 12];
            bytes[..2].copy_from_slice(&asked.id.to_be_bytes());
            (bytes[2], bytes[3]) = (0x80, 1);
            Said::Bytes(bytes)
        }
        false => asked.records(1),
    })]);
    assert_eq!(targets(&world.run()).len(), 1);
}

#[test]
fn bad_version_is_in_the_upper_bits_of_the_code() {
    let mut world = World::new(vec![script(|asked| match asked.edns {
        true => {
            let mut bytes = asked.reply().build_bytes_vec().unwrap();
            bytes[11] = 1;
            // The root, OPT, a size, and the upper bits of 16 as the first byte of the time to live.
            bytes.extend([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
            Said::Bytes(bytes)
        }
        false => asked.records(1),
    })]);
    assert_eq!(targets(&world.run()).len(), 1);
}

#[test]
fn an_error_without_edns_as_well_is_the_servers_last_word() {
    let mut world = World::new(vec![script(|asked| asked.code(RCODE::FormatError))]);
    assert_eq!(failure(&world.run()), &SrvError::Code(1));
    assert_eq!(world.log.len(), 3);
}

#[test]
fn a_silent_server_is_asked_again_without_edns() {
    let mut world = World::new(vec![script(|asked| match asked.edns {
        true => Said::Silence,
        false => asked.records(3),
    })]);
    assert_eq!(targets(&world.run()).len(), 3);
}

#[test]
fn a_closed_port_leads_to_the_next_server_at_once() {
    let mut world = World::new(vec![script(|_| Said::Unreachable), script(|asked| asked.records(2))]);
    assert_eq!(world.run().elapsed, ms(20));
    let mut world = World::new(vec![script(|_| Said::Unreachable)]);
    let outcome = world.run();
    assert_eq!((failure(&outcome), outcome.elapsed), (&SrvError::Unreachable, ms(20)));
}

#[test]
fn cs_27_an_adapter_without_datagrams_ends_the_query() {
    let mut world = World::new(vec![silent(), silent()]);
    let now = world.query.poll_timeout().unwrap() - ms(100);
    while world.query.poll().is_some() {}
    world.query.on_datagram_failed(None, SrvError::Unsupported, now);
    let Some(Action::Done(outcome)) = world.query.poll() else { panic!("not done") };
    assert_eq!(failure(&outcome), &SrvError::Unsupported);
}

#[test]
fn what_cannot_be_asked_ends_at_once() {
    #[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
    let now = std::time::Instant::now();
    let done = |name: &str, config: &ResolverConfig, deadline| {
        let mut query = Query::new(name, config, deadline, 1, now);
        let Some(Action::Done(outcome)) = query.poll() else { panic!("not done") };
        assert_eq!(query.poll(), None);
        assert_eq!(outcome.server, None);
        failure(&outcome).clone()
    };
    assert_eq!(done(NAME, &config(0), DEADLINE), SrvError::NoServers);
    assert_eq!(done(NAME, &config(1), Duration::ZERO), SrvError::TimedOut);
    let long = "x".repeat(64);
    let longer = "abcdefg.".repeat(32);
    for name in ["", ".", "a..b", ".a", &long, &longer] {
        assert_eq!(done(name, &config(1), DEADLINE), SrvError::InvalidName, "{name}");
    }
}

#[test]
fn rotation_starts_anywhere_and_asks_all() {
    let mut config = config(3);
    config.rotate = true;
    config.attempts = 1;
    let refuse = || script(|asked| asked.code(RCODE::Refused));
    let mut world = World::with(&config, DEADLINE, vec![refuse(), refuse(), refuse()]);
    world.run();
    let mut servers = world.servers();
    assert_eq!(servers[1], (servers[0] + 1) % 3);
    servers.sort_unstable();
    assert_eq!(servers, [0, 1, 2]);
}

#[test]
fn the_same_randomness_gives_the_same_run() {
    let payloads = |ids| {
        #[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
        let mut now = std::time::Instant::now();
        let mut query = Query::new(NAME, &config(2), DEADLINE, ids, now);
        let mut payloads = Vec::new();
        while !query.is_done() {
            while let Some(action) = query.poll() {
                payloads.extend(match action {
                    Action::Datagram { payload, .. } => Some(payload),
                    _ => None,
                });
            }
            now = query.poll_timeout().unwrap();
            query.on_timeout(now);
        }
        payloads
    };
    assert_eq!(payloads(7), payloads(7));
    assert_ne!(payloads(7), payloads(8));
    let ids: std::collections::BTreeSet<_> =
        payloads(7).iter().map(|payload| payload[..2].to_vec()).collect();
    assert_eq!(ids.len(), 4, "each try has an id of its own");
}
