use simple_dns::RCODE;

use super::script::*;

fn text(said: impl FnMut(&Asked) -> Said + 'static) -> String {
    World::new(vec![script(said)]).run().to_string()
}

#[test]
fn d_3_count_and_size_of_the_answer_are_told() {
    let text = text(|asked| asked.records(3));
    assert!(
        text.starts_with(
            "DNS SRV query _couchbases._tcp.cb.example.com: 3 records from 10.0.0.1:53 in 10 ms ("
        ) && text.ends_with(" bytes)"),
        "{text}"
    );
}

#[test]
fn cs_29_a_failure_names_the_query_the_outcome_the_server_and_a_way_out() {
    for (text, why) in [
        (text(|asked| asked.code(RCODE::Refused)), "refused the query"),
        (text(|asked| asked.code(RCODE::ServerFailure)), "SERVFAIL"),
        (text(|_| Said::Silence), "no answer in time"),
        (text(|_| Said::Unreachable), "cannot be reached"),
        (text(|asked| asked.code(RCODE::NOTAUTH)), "code 9"),
    ] {
        for part in [
            "_couchbases._tcp.cb.example.com",
            why,
            "10.0.0.1:53",
            "another DNS resolver",
            "three SRV records",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn nothing_found_is_told_apart_from_nobody_there() {
    assert_eq!(
        text(|asked| asked.code(RCODE::NameError)),
        "DNS SRV query _couchbases._tcp.cb.example.com: no such name (NXDOMAIN) from 10.0.0.1:53"
    );
    assert_eq!(
        text(|asked| asked.code(RCODE::NoError)),
        "DNS SRV query _couchbases._tcp.cb.example.com: no records from 10.0.0.1:53"
    );
}
