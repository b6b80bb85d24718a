//! One test per rule, named after it; the table of whole strings is in `tests/connection_strings.rs`.

use super::{ConnectionString, ErrorKind, Host, ParseError, Scheme, WarningKind, parse};
use proptest::prelude::*;

fn ok(text: &str) -> ConnectionString {
    match parse(text) {
        Ok(connstr) => connstr,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn refused(text: &str) -> ParseError {
    match parse(text) {
        Ok(connstr) => panic!("{text:?} is accepted as {connstr}"),
        Err(error) => error,
    }
}

#[track_caller]
fn refuses(text: &str, kind: ErrorKind, fragment: &str) {
    let error = refused(text);
    assert_eq!((error.kind, error.fragment.as_str()), (kind, fragment), "{text:?}: {error}");
    assert!(text[error.offset..].starts_with(fragment), "{text:?}: offset {}", error.offset);
    assert!(!error.hint.is_empty());
}

/// Seeds as `h@K/M`.
fn seeds(text: &str) -> Vec<String> {
    let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let connstr = ok(text);
    connstr.seeds.iter().map(|s| format!("{}@{}/{}", s.host, port(s.kv), port(s.mgmt))).collect()
}

fn kinds(text: &str) -> Vec<WarningKind> {
    ok(text).warnings.iter().map(|warning| warning.kind).collect()
}

#[test]
fn cs_1_the_scheme_decides_on_tls() {
    assert!(ok("couchbases://h").tls());
    assert!(!ok("couchbase://h").tls() && !ok("h").tls() && !ok("http://h").tls());
    assert_eq!(ok("h").scheme, Scheme::Couchbase);
    assert!(!ok("h").scheme_written && ok("couchbase://h").scheme_written);
}

#[test]
fn cs_2_the_separator_counts_as_a_prefix_only() {
    refuses("://h", ErrorKind::UnknownScheme, "");
    refuses("a b://h", ErrorKind::UnknownScheme, "a b");
    assert_eq!(ok("h?x=ws://e").params, [("x".to_owned(), "ws://e".to_owned())]);
    refuses("h1,http://h2", ErrorKind::InvalidPort, "http:");
}

#[test]
fn unsupported_schemes_say_what_to_write() {
    for scheme in ["https", "couchbase2", "protostellar", "GROUCHBASE", "couchbases+dnssrv", "ns_server"] {
        let error = refused(&format!("{scheme}://h"));
        assert_eq!((error.kind, error.fragment.as_str()), (ErrorKind::UnsupportedScheme, scheme));
        assert!(error.hint.contains("couchbase"), "{error}");
    }
    assert!(refused("couchbase2://h").hint.contains("18098"));
    assert!(refused("couchbase+dnssrv://h").hint.contains("automatic"));
}

#[test]
fn cs_3_ports_are_from_1_to_65535() {
    refuses("couchbase://h:0", ErrorKind::InvalidPort, "0");
    refuses("couchbase://h:65536", ErrorKind::InvalidPort, "65536");
    refuses("couchbase://h:99999999999999999999", ErrorKind::InvalidPort, "99999999999999999999");
    refuses("couchbase://a,h:", ErrorKind::InvalidPort, "h:");
    refuses("couchbase://h:+1", ErrorKind::InvalidPort, "+1");
    refuses("couchbase://h:=kv", ErrorKind::InvalidPort, "h:=kv");
    refuses("couchbase://[::1]:", ErrorKind::InvalidPort, "[::1]:");
    assert_eq!(seeds("couchbase://h:00123"), ["h@123/-"]);
}

#[test]
fn cs_4_a_manager_port_is_not_dialled_as_kv() {
    let error = refused("couchbase://a,h:8091");
    assert_eq!(
        (error.kind, error.offset, error.fragment.as_str()),
        (ErrorKind::ManagerPortAsKv, 14, "h:8091")
    );
    assert!(error.hint.contains(":8091=http") && error.hint.contains(":8091=kv"));
    assert_eq!(refused("couchbases://h:8091").kind, ErrorKind::ManagerPortAsKv);
    assert_eq!(seeds("couchbase://h:18091=kv"), ["h@18091/-"]);
}

#[test]
fn table_1_3_ports_without_scheme() {
    assert_eq!(seeds("h:8091"), ["h@11210/8091"]);
    assert!(!ok("h:8091").srv);
    assert_eq!(kinds("h:11207"), [WarningKind::AmbiguousPort, WarningKind::PortSecurityMismatch]);
    assert_eq!(kinds("h:999=kv"), []);
}

#[test]
fn table_1_3_http_begins_with_kv_unless_a_port_says_otherwise() {
    assert_eq!(seeds("http://h"), ["h@11210/8091"]);
    assert_eq!(seeds("http://h:8091"), ["h@11210/8091"]);
    assert_eq!(seeds("http://h:9000,i:8091=manager"), ["h@-/9000", "i@-/8091"]);
    assert!(!ok("http://h").srv);
}

#[test]
fn table_1_3_port_types() {
    assert_eq!(seeds("couchbase://h=manager"), ["h@-/8091"]);
    assert_eq!(seeds("couchbases://h=HTTPS,i=mcds"), ["h@-/18091", "i@11207/-"]);
    refuses("couchbase://h:1=", ErrorKind::UnknownPortType, "");
    refuses("couchbase://h:1=kv=kv", ErrorKind::UnknownPortType, "kv=kv");
    refuses("couchbase://h=kv:1", ErrorKind::UnknownPortType, "kv:1");
    assert_eq!(refused("couchbase://h=https").kind, ErrorKind::PortTypeNeedsTls);
    assert_eq!(kinds("couchbases://h:11210=kv"), [WarningKind::PortSecurityMismatch]);
}

#[test]
fn cs_5_ipv6_needs_brackets_and_has_one_form() {
    refuses("couchbase://a,2001:db8::1", ErrorKind::UnbracketedIpv6, "2001:db8::1");
    refuses("couchbase://fe80::1%25eth0", ErrorKind::UnbracketedIpv6, "fe80::1%25eth0");
    refuses("couchbase://h:1:2", ErrorKind::InvalidPort, "h:1:2");
    assert_eq!(ok("couchbase://[2001:DB8:0:0:0:0:0:1]"), ok("couchbase://[2001:db8::1]"));
    assert_eq!(ok("couchbase://[::ffff:10.0.0.1]"), ok("couchbase://10.0.0.1"));
    assert_eq!(ok("couchbase://[2001:db8::1]").seeds[0].host.authority(), "[2001:db8::1]");
}

#[test]
fn cs_6_zones_are_written_after_25() {
    let connstr = ok("couchbase://[fe80::1%25en%2F0]:7");
    let Host::Ipv6 { zone, .. } = &connstr.seeds[0].host else { panic!("{connstr}") };
    assert_eq!(zone.as_deref(), Some("en/0"));
    assert_eq!(connstr.seeds[0].host.to_string(), "fe80::1%en/0");
    assert_eq!(connstr.to_string(), "couchbase://[fe80::1%25en%2F0]:7=kv");
    assert!(refused("couchbase://[fe80::1%eth0]").hint.contains("%25"));
    assert_eq!(refused("couchbase://[fe80::1%25]").kind, ErrorKind::InvalidIpv6);
    assert_eq!(refused("couchbase://[fe80::1%25a%00]").kind, ErrorKind::InvalidIpv6);
    refuses("couchbase://[fe80::1%25a%f]", ErrorKind::InvalidEscape, "%f");
}

#[test]
fn cs_7_a_last_label_of_digits_is_no_name() {
    for host in ["256.1.1.1", "1.2.3", "123", "1.2.3.4.", "h.1", "01.2.3.4"] {
        refuses(&format!("couchbase://{host}"), ErrorKind::InvalidHost, host);
    }
    assert_eq!(seeds("couchbase://1.h"), ["1.h@11210/8091"]);
}

#[test]
fn cs_8_the_trailing_dot_is_for_dns_alone() {
    let connstr = ok("couchbase://H.Example.");
    let host = &connstr.seeds[0].host;
    assert_eq!((host.to_string().as_str(), host.reference_name().as_str()), ("h.example.", "h.example"));
    assert_eq!(connstr.srv_query(false).as_deref(), Some("_couchbase._tcp.h.example"));
    assert_eq!(refused("couchbase://.").kind, ErrorKind::InvalidHost);
    assert_eq!(refused("couchbase://h..").kind, ErrorKind::InvalidHost);
}

#[test]
fn cs_9_host_text_is_not_decoded() {
    refuses("couchbase://h%2Ecom", ErrorKind::InvalidHost, "h%2Ecom");
}

#[test]
fn names_have_labels_of_1_to_63_and_253_in_all() {
    let label = "a".repeat(63);
    assert!(parse(&format!("couchbase://{label}")).is_ok());
    assert!(parse(&format!("couchbase://{label}a")).is_err());
    let name = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
    assert_eq!(name.len(), 253);
    assert!(parse(&name).is_ok() && parse(&format!("{name}.")).is_ok());
    assert!(parse(&format!("{name}a")).is_err());
    assert!(parse("couchbase://a..b").is_err());
    assert!(refused("couchbase://h\u{e9}").hint.contains("punycode"));
}

#[test]
fn cs_10_empty_pieces_are_skipped_but_one_host_is_needed() {
    assert_eq!(seeds("couchbase://,a,,b,"), ["a@11210/8091", "b@11210/8091"]);
    for text in ["", " ", "couchbase://", "couchbase:// , ;", "couchbases:///b", "?x=1", "/b"] {
        assert_eq!(refused(text).kind, ErrorKind::NoHosts, "{text:?}");
    }
}

#[test]
fn cs_11_duplicates_go_and_types_join() {
    assert_eq!(seeds("couchbase://H,b,h"), ["h@11210/8091", "b@11210/8091"]);
    assert_eq!(kinds("couchbase://H,b,h"), [WarningKind::DuplicateHost]);
    assert_eq!(kinds("couchbase://[::1],[0::1]"), [WarningKind::DuplicateHost]);
    assert_eq!(seeds("couchbase://a:1=kv,b,a:2=manager"), ["a@1/2", "b@11210/8091"]);
    assert_eq!(kinds("couchbase://a:1=kv,a:2=manager"), []);
    assert_eq!(seeds("couchbase://a:1,a:2"), ["a@1/-", "a@2/-"]);
}

#[test]
fn cs_12_a_semicolon_separates_and_is_deprecated() {
    assert_eq!(seeds("couchbase://a;b,c"), seeds("couchbase://a,b,c"));
    assert_eq!(kinds("couchbase://a;b;c"), [WarningKind::DeprecatedSeparator]);
}

#[test]
fn cs_13_credentials_are_refused_without_an_echo() {
    let strings = [
        "couchbase://secret@h",
        "couchbase://secret:secret@h",
        "couchbase://u:secret/secret@h",
        "couchbase://u:sec#ret@h",
        "secret@h",
    ];
    for text in strings {
        let error = refused(text);
        assert_eq!(error.kind, ErrorKind::CredentialsInString, "{text}");
        assert!(!format!("{error} {error:?}").contains("sec"), "{error}");
    }
    // The rest of a password with a `?` looks like parameters.
    let error = refused("couchbase://u:secret?x@h");
    assert_eq!((error.kind, error.fragment.as_str()), (ErrorKind::InvalidPort, ""));
    assert_eq!(ok("couchbase://h?x=a@b").params, [("x".to_owned(), "a@b".to_owned())]);
}

#[test]
fn cs_13_hosts_before_an_at_sign_of_a_parameter_are_not_told() {
    for text in ["secret:8091", "secret:11207", "secret,secret", "_couchbase._tcp.secret"] {
        for scheme in ["", "couchbase://"] {
            let told = match parse(&format!("{scheme}{text}?x=a@b")) {
                Ok(connstr) => format!("{:?}", connstr.warnings),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(told.contains("kind") && !told.contains("secret"), "{scheme}{text}: {told}");
        }
    }
}

#[test]
fn cs_14_seeds_have_the_order_written() {
    assert_eq!(seeds("couchbase://c,a,b"), ["c@11210/8091", "a@11210/8091", "b@11210/8091"]);
}

#[test]
fn cs_15_the_segment_is_the_bucket() {
    assert_eq!(ok("couchbase://h/travel-sample").bucket.as_deref(), Some("travel-sample"));
    assert_eq!(ok("couchbase://h/a%62").bucket.as_deref(), Some("ab"));
    assert_eq!(ok("couchbase://h/").bucket, None);
    assert_eq!(ok("couchbase://h").bucket, None);
}

#[test]
fn cs_16_a_second_slash_is_no_part_of_a_bucket() {
    refuses("couchbase://h/b/c", ErrorKind::InvalidBucket, "b/c");
    refuses("couchbase://h//", ErrorKind::InvalidBucket, "/");
}

#[test]
fn cs_17_bucket_names_have_1_to_100_of_some_characters() {
    assert!(parse(&format!("couchbase://h/{}", "b".repeat(100))).is_ok());
    assert_eq!(refused(&format!("couchbase://h/{}", "b".repeat(101))).kind, ErrorKind::InvalidBucket);
    refuses("couchbase://h/b%1F", ErrorKind::InvalidBucket, "b%1F");
    refuses("couchbase://h/b%", ErrorKind::InvalidEscape, "%");
    assert_eq!(refused("couchbase://h/a@b").kind, ErrorKind::InvalidBucket);
}

#[test]
fn cs_18_plus_is_no_blank() {
    refuses("couchbase://h/b+c", ErrorKind::InvalidBucket, "b+c");
    assert_eq!(ok("couchbase://h?x=a+b").params[0].1, "a+b");
}

#[test]
fn cs_19_empty_pieces_of_parameters_are_ignored() {
    assert!(ok("h?").params.is_empty() && ok("h?&&").params.is_empty());
    assert_eq!(ok("h?&a=1&&b=2&").params.len(), 2);
}

#[test]
fn cs_20_a_parameter_needs_a_name_but_no_value() {
    assert_eq!(ok("h?x").params, ok("h?x=").params);
    refuses("h?a=1&=v", ErrorKind::InvalidOption, "=v");
    refuses("h?a/b=1", ErrorKind::InvalidOption, "/b");
}

#[test]
fn cs_21_further_equals_signs_belong_to_the_value() {
    assert_eq!(ok("h?x=a=b=").params[0].1, "a=b=");
    refuses("h?x=%zz", ErrorKind::InvalidEscape, "%zz");
    refuses("h?x=1%4", ErrorKind::InvalidEscape, "%4");
    refuses("h?x=%C3%28", ErrorKind::InvalidEscape, "%C3%28");
    refuses("h?%=1", ErrorKind::InvalidEscape, "%");
    refuses("h?x=a b", ErrorKind::InvalidOption, " b");
    assert_eq!(ok("h?x=5µs").params[0].1, "5µs");
}

#[test]
fn cs_22_and_cs_24_raw_pairs_stay_in_order_with_their_case() {
    let params = ok("h?b=1&A=2&b=3&a=4").params;
    let pairs: Vec<_> = params.iter().map(|(key, value)| format!("{key}{value}")).collect();
    assert_eq!(pairs, ["b1", "A2", "b3", "a4"]);
}

#[test]
fn cs_25_the_normal_form_reads_back() {
    let normal = |text: &str| ok(text).to_string();
    assert_eq!(normal(" COUCHBASE://A;b:11210 "), "couchbase://a,b");
    assert_eq!(normal("couchbase://a,a"), "couchbase://a:11210");
    assert_eq!(normal("couchbases://a:11207"), "couchbases://a:11207");
    assert_eq!(normal("h:8091=http/b?x"), "h:8091=manager/b?x=");
    assert_eq!(normal("h/a%25b?x=a%20b%26"), "h/a%25b?x=a%20b%26");
    assert_eq!("couchbase://a,a".parse::<ConnectionString>().ok(), parse("couchbase://a:11210").ok());
    assert_ne!(ok("couchbase://a"), ok("couchbase://a:11210"));
}

#[test]
fn srv_1_6_eligibility() {
    for text in
        ["h", "couchbase://h", "couchbases://h.", "couchbase://,h", "couchbase://localhost.example.com"]
    {
        assert!(ok(text).srv, "{text}");
    }
    let not = [
        "couchbase://a,b",
        "couchbase://h:11210",
        "couchbase://h=kv",
        "couchbase://10.0.0.1",
        "couchbase://[::1]",
        "http://h",
        "couchbase://LOCALHOST",
        "couchbase://localhost.",
        "couchbase://x.localhost",
    ];
    for text in not {
        assert!(!ok(text).srv && ok(text).srv_query(false).is_none(), "{text}");
    }
}

#[test]
fn srv_1_6_the_service_prefix_is_stripped() {
    for text in ["_couchbase._tcp.h.e", "couchbases://_Couchbases._TCP._couchbase._tcp.h.e"] {
        assert_eq!(ok(text).seeds[0].host, Host::Name("h.e".to_owned()));
        assert_eq!(kinds(text), [WarningKind::SrvPrefixStripped]);
        assert!(ok(text).srv);
    }
}

#[test]
fn opt_7_credentials_are_no_parameters() {
    for text in
        ["h?password=secret", "h?a=1&user=secret", "h?com.couchbase.env.username=secret", "h?PASS=secret"]
    {
        let error = refused(text);
        assert_eq!(error.kind, ErrorKind::CredentialsInString);
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn fragments_are_refused_where_they_begin() {
    refuses("couchbase://h/b#f", ErrorKind::FragmentNotAllowed, "#f");
    refuses("couchbase://h?x=1#f", ErrorKind::FragmentNotAllowed, "#f");
    assert_eq!(ok("h?x=%23").params[0].1, "#");
}

#[test]
fn kinds_have_their_names() {
    assert_eq!(ErrorKind::ManagerPortAsKv.to_string(), "ManagerPortAsKv");
    assert_eq!(WarningKind::SrvForcedButIneligible.name(), "SrvForcedButIneligible");
    assert_eq!((ErrorKind::ALL.len(), WarningKind::ALL.len()), (17, 14));
    let error = refused("couchbase://h:0");
    assert_eq!(
        error.to_string(),
        "InvalidPort at byte 14 of the connection string (\"0\"): a port is a number from 1 to 65535"
    );
}

#[test]
fn long_echoes_are_cut() {
    let error = refused(&format!("couchbase://-{}", "\u{e9}".repeat(5000)));
    assert!(error.fragment.len() < 300 && error.fragment.ends_with("..."));
}

#[test]
fn long_lists_are_read_in_time() {
    let hosts: Vec<String> = (0..50_000).map(|n| format!("h{n}.e")).collect();
    assert_eq!(ok(&hosts.join(",")).seeds.len(), 50_000);
}

/// Pieces that make up connection strings, good and bad.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "couchbase://",
        "couchbases://",
        "http://",
        "://",
        "h",
        "a",
        "b.e",
        "H.",
        "localhost",
        "10.0.0.1",
        "[::1]",
        "[fe80::1%25e%20]",
        "[::ffff:1.2.3.4]",
        "::1",
        "1.2",
        ",",
        ";",
        ":",
        ":11210",
        ":11207",
        ":8091",
        ":18091",
        ":7",
        ":0",
        "=kv",
        "=manager",
        "=http",
        "=mcds",
        "/",
        "/b",
        "?",
        "&",
        "x=1",
        "kv_timeout=5s",
        "=",
        "%41",
        "%",
        "%2",
        "%FF",
        "@",
        "#",
        " ",
        "é",
        "_couchbase._tcp.",
        "[",
        "]",
        "+",
        "enable_tls=true",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn check(text: &str) {
    match parse(text) {
        Ok(connstr) => {
            assert!(!connstr.seeds.is_empty());
            assert!(connstr.seeds.iter().all(|seed| seed.kv.is_some() || seed.mgmt.is_some()));
            let normal = connstr.to_string();
            assert_eq!(parse(&normal).as_ref(), Ok(&connstr), "{text:?} has the normal form {normal:?}");
            assert_eq!(ok(&normal).to_string(), normal);
        }
        Err(error) => assert!(error.offset <= text.len() && text.is_char_boundary(error.offset), "{error:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused_within_its_bounds(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn pieces_are_read_or_refused_and_round_trip(text in pieces()) {
        check(&text);
    }

    #[test]
    fn valid_lists_round_trip(
        scheme in prop::sample::select(vec!["", "couchbase://", "couchbases://", "http://"]),
        nodes in prop::collection::vec(
            (prop::sample::select(vec!["a", "b", "[::1]"]),
             prop::sample::select(vec!["", ":11210", ":11207", ":1", ":2", ":8091=http", ":3=manager", "=kv", "=http"])),
            1..8,
        ),
        bucket in "(/[A-Za-z0-9_.-]{0,5})?",
        value in any::<String>(),
    ) {
        let nodes: Vec<String> = nodes.into_iter().map(|(host, port)| format!("{host}{port}")).collect();
        let mut connstr = ok(&format!("{scheme}{}{bucket}", nodes.join(",")));
        connstr.params.push(("x".to_owned(), value));
        let normal = connstr.to_string();
        prop_assert_eq!(parse(&normal), Ok(connstr), "{}", normal);
    }

    #[test]
    fn nothing_before_an_at_sign_is_told(before in pieces(), middle in pieces(), after in pieces()) {
        const SECRET: &str = "zqxsecret";
        let text = format!("{before}{SECRET}{middle}@{after}");
        let told = match parse(&text) {
            Err(error) => format!("{error} {error:?}"),
            Ok(connstr) => {
                let resolved = crate::options::resolve(&connstr, crate::options::Options::default());
                match resolved {
                    Err(error) => format!("{error} {error:?}"),
                    Ok(resolved) => format!("{:?} {:?}", resolved.warnings, resolved.notes),
                }
            }
        };
        prop_assert!(!told.contains(SECRET), "{} tells {}", text, told);
    }
}
