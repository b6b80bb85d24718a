//! The table of connection strings (spec 1.8): what each means, or why it is refused.
//!
//! Notation: `h@K/M` is host h with KV port K and manager port M, `-` for none; `T` in front: TLS; `srv` behind:
//! eligible for SRV. Then the bucket in backquotes, the raw parameters as `(name, value)`, and after `!` the warnings
//! with the option that they are about.

use settee::connstr::{self, WarningKind};
use settee::options::{self, Options, Resolved};

/// Number, input, outcome, settings in effect.
type Row = (u32, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const ROWS: &[Row] = &[
    (1, "couchbase://10.0.0.1", "10.0.0.1@11210/8091", &[]),
    (
        2,
        "couchbases://10.0.0.1:11222,10.0.0.2,10.0.0.3:11207",
        "T 10.0.0.1@11222/-, 10.0.0.2@11207/18091, 10.0.0.3@11207/18091",
        &[],
    ),
    (
        3,
        "couchbase://10.0.0.1;10.0.0.2:11210;10.0.0.3",
        "10.0.0.1@11210/8091, 10.0.0.2@11210/8091, 10.0.0.3@11210/8091 ! DeprecatedSeparator",
        &[],
    ),
    (4, "couchbase://[3ffe:2a00:100:7031::1]", "[3ffe:2a00:100:7031::1]@11210/8091", &[]),
    (
        5,
        "couchbases://[::ffff:192.168.0.1]:11207,[::ffff:192.168.0.2]:11207",
        "T 192.168.0.1@11207/18091, 192.168.0.2@11207/18091",
        &[],
    ),
    (6, "couchbases://[::ffff.192.168.0.1]:11207", "InvalidIpv6", &[]),
    (
        7,
        "couchbase://test.local:11210?key=value",
        "test.local@11210/8091 (key, value) ! UnknownOption key",
        &[],
    ),
    (8, "http://fqdn", "fqdn@11210/8091 ! DeprecatedScheme", &[]),
    (9, "http://fqdn?key=value", "fqdn@11210/8091 (key, value) ! DeprecatedScheme, UnknownOption key", &[]),
    (10, "http://10.0.0.1", "10.0.0.1@11210/8091 ! DeprecatedScheme", &[]),
    (11, "couchbases://fqdn", "T fqdn@11207/18091 srv", &[]),
    (12, "10.0.0.1:8091", "10.0.0.1@11210/8091 ! DeprecatedManagerPort", &[]),
    (13, "http://host1,http://host2", "InvalidPort at 13", &[]),
    (14, "https://host2:8091,host3:8091", "UnsupportedScheme", &[]),
    (15, "http://::ffff:00ee:2122", "UnbracketedIpv6", &[]),
    (16, "", "NoHosts", &[]),
    (17, "couchbase://", "NoHosts", &[]),
    (18, "couchbase://,", "NoHosts", &[]),
    (19, "couchbase://?", "NoHosts", &[]),
    (20, "://h", "UnknownScheme", &[]),
    (21, "foo://h", "UnknownScheme", &[]),
    (22, "my+scheme://h", "UnknownScheme", &[]),
    (23, "COUCHBASE://h", "h@11210/8091 srv", &[]),
    (24, "cOuChBaSeS://h", "T h@11207/18091 srv", &[]),
    (25, "couchbase2://h", "UnsupportedScheme", &[]),
    (26, "couchbase2://a,b", "UnsupportedScheme", &[]),
    (27, "protostellar://h", "UnsupportedScheme", &[]),
    (28, "couchbase+dnssrv://h", "UnsupportedScheme", &[]),
    (29, "1.2.3.4", "1.2.3.4@11210/8091", &[]),
    (30, "h", "h@11210/8091 srv", &[]),
    (31, "h:11210", "h@11210/8091", &[]),
    (32, "1.2.3.4:999", "1.2.3.4@999/- ! AmbiguousPort", &[]),
    (33, "h1,h2,h3", "h1@11210/8091, h2@11210/8091, h3@11210/8091", &[]),
    (34, "couchbase://h:8091", "ManagerPortAsKv", &[]),
    (35, "couchbases://h:18091", "ManagerPortAsKv", &[]),
    (36, "couchbase://h:18091", "ManagerPortAsKv", &[]),
    (37, "couchbase://h:8091=kv", "h@8091/-", &[]),
    (38, "couchbase://h:8091=http", "h@-/8091", &[]),
    (39, "couchbase://h:123=manager", "h@-/123", &[]),
    (40, "couchbase://h:123=MCD", "h@123/-", &[]),
    (41, "couchbase://h:123=cccp", "h@123/-", &[]),
    (42, "couchbase://h:123=gcccp", "h@123/-", &[]),
    (43, "couchbases://h:123=mcds", "T h@123/-", &[]),
    (44, "couchbase://h:123=mcds", "PortTypeNeedsTls", &[]),
    (45, "couchbase://h:123=https", "PortTypeNeedsTls", &[]),
    (46, "couchbase://h:123=foo", "UnknownPortType", &[]),
    (47, "couchbase://h=mcd", "h@11210/-", &[]),
    (48, "couchbase://[::1]=mcd", "[::1]@11210/-", &[]),
    (
        49,
        "couchbases://localhost:8091=http;127.0.0.1=mcd/default?dump_configuration=true",
        "T localhost@-/8091, 127.0.0.1@11207/- `default` (dump_configuration, true) ! DeprecatedSeparator",
        &[("dump_configuration", "true")],
    ),
    (50, "couchbase://h:11207", "h@11207/- ! PortSecurityMismatch", &[]),
    (51, "couchbases://h:11210", "T h@11210/- ! PortSecurityMismatch", &[]),
    (52, "couchbase://h:0", "InvalidPort", &[]),
    (53, "couchbase://h:65535", "h@65535/-", &[]),
    (54, "couchbase://h:65536", "InvalidPort", &[]),
    (55, "couchbase://h:", "InvalidPort", &[]),
    (56, "couchbase://:11210", "InvalidHost", &[]),
    (57, "couchbase://h:abc", "InvalidPort", &[]),
    (58, "couchbase://h:+1", "InvalidPort", &[]),
    (59, "couchbase://a,b,c", "a@11210/8091, b@11210/8091, c@11210/8091", &[]),
    (60, "couchbase://a;b;c", "a@11210/8091, b@11210/8091, c@11210/8091 ! DeprecatedSeparator", &[]),
    (61, "couchbase://a, b", "a@11210/8091, b@11210/8091", &[]),
    (62, "couchbase://a,,b", "a@11210/8091, b@11210/8091", &[]),
    (63, "couchbase://a,", "a@11210/8091 srv", &[]),
    (64, "couchbase://,a", "a@11210/8091 srv", &[]),
    (65, "couchbase://a,a", "a@11210/8091 ! DuplicateHost", &[]),
    (66, "couchbase://a:1,a:2=manager", "a@1/2", &[]),
    (67, "couchbase://[::1]", "[::1]@11210/8091", &[]),
    (68, "couchbase://[::1]:11210", "[::1]@11210/8091", &[]),
    (69, "couchbase://[::]", "[::]@11210/8091", &[]),
    (70, "couchbase://[0:0:0:0:0:0:0:1]", "[::1]@11210/8091", &[]),
    (71, "couchbase://[::ffff:192.0.2.128]", "192.0.2.128@11210/8091", &[]),
    (72, "couchbase://[1:2:3:4:5:6:7:8:9]", "InvalidIpv6", &[]),
    (73, "couchbase://[:13.15.49.232]", "InvalidIpv6", &[]),
    (74, "couchbase://::1", "UnbracketedIpv6", &[]),
    (75, "couchbase://2001:db8::1", "UnbracketedIpv6", &[]),
    (76, "couchbase://[::1", "InvalidIpv6", &[]),
    (77, "couchbase://[::1]x", "InvalidHost", &[]),
    (78, "couchbase://[::1/128]", "InvalidIpv6", &[]),
    (79, "couchbase://[fe80::1%25eth0]", "[fe80::1%25eth0]@11210/8091", &[]),
    (80, "couchbase://[fe80::1%eth0]", "InvalidIpv6", &[]),
    (81, "couchbase://256.1.1.1", "InvalidHost", &[]),
    (82, "couchbase://1.2.3", "InvalidHost", &[]),
    (83, "couchbase://h.example.com.", "h.example.com.@11210/8091 srv", &[]),
    (84, "couchbase://h_x", "h_x@11210/8091 srv", &[]),
    (85, "couchbase://-h", "InvalidHost", &[]),
    (86, "couchbase://h\u{e9}", "InvalidHost", &[]),
    (87, "couchbase://h%2Ecom", "InvalidHost", &[]),
    (88, "couchbase://_couchbase._tcp.example.com", "example.com@11210/8091 srv ! SrvPrefixStripped", &[]),
    (89, "couchbase://h/b", "h@11210/8091 srv `b`", &[]),
    (90, "couchbase://h/", "h@11210/8091 srv", &[]),
    (91, "couchbase://h/b/", "InvalidBucket", &[]),
    (92, "couchbase://127.0.0.1/bucket/foo", "InvalidBucket", &[]),
    (93, "couchbase:///b", "NoHosts", &[]),
    (94, "couchbase://h/%2FUsers%2F", "InvalidBucket", &[]),
    (95, "couchbase://h/b%20c", "InvalidBucket", &[]),
    (96, "couchbase://h/a%25b", "h@11210/8091 srv `a%b`", &[]),
    (97, "couchbase://h/b+c", "InvalidBucket", &[]),
    (98, "couchbase://h/bU%1F-K__big__.mp3", "InvalidBucket", &[]),
    (99, "couchbase://h/b?", "h@11210/8091 srv `b`", &[]),
    (100, "couchbase://h?x", "h@11210/8091 srv (x, ) ! UnknownOption x", &[]),
    (101, "couchbase://h?x=", "h@11210/8091 srv (x, ) ! UnknownOption x", &[]),
    (102, "couchbase://h?=v", "InvalidOption", &[]),
    (103, "couchbase://h?&", "h@11210/8091 srv", &[]),
    (103, "h?x=1&", "h@11210/8091 srv (x, 1) ! UnknownOption x", &[]),
    (103, "h?&x=1", "h@11210/8091 srv (x, 1) ! UnknownOption x", &[]),
    (103, "h?x=1&&y=2", "h@11210/8091 srv (x, 1) (y, 2) ! UnknownOption x, UnknownOption y", &[]),
    (
        104,
        "couchbase://h?kv_timeout=1s&kv_timeout=2s",
        "h@11210/8091 srv (kv_timeout, 1s) (kv_timeout, 2s) ! RepeatedOption kv_timeout",
        &[("kv_timeout", "2s")],
    ),
    (105, "couchbase://h?x=a=b", "h@11210/8091 srv (x, a=b) ! UnknownOption x", &[]),
    (106, "couchbase://h?x=a+b", "h@11210/8091 srv (x, a+b) ! UnknownOption x", &[]),
    (107, "couchbase://h?x=a%20b", "h@11210/8091 srv (x, a b) ! UnknownOption x", &[]),
    (108, "couchbase://h?x=%zz", "InvalidEscape", &[]),
    (109, "couchbase://h?x=ws://e.com", "h@11210/8091 srv (x, ws://e.com) ! UnknownOption x", &[]),
    (
        110,
        "127.0.0.1?uri=ws://example.com",
        "127.0.0.1@11210/8091 (uri, ws://example.com) ! UnknownOption uri",
        &[],
    ),
    (111, "couchbase://h?a-b=1", "h@11210/8091 srv (a-b, 1) ! UnknownOption a-b", &[]),
    (112, "couchbase://u@h", "CredentialsInString", &[]),
    (112, "couchbase://u:p@h", "CredentialsInString", &[]),
    (113, "couchbase://h#frag", "FragmentNotAllowed", &[]),
    (113, "couchbase://h/b#f", "FragmentNotAllowed", &[]),
    (114, " couchbase://h ", "h@11210/8091 srv", &[]),
    (115, "couchbase:/h", "InvalidPort", &[]),
    (116, "couchbase:h", "InvalidPort", &[]),
    (
        117,
        "couchbase://h?kv_timeout=2.5s",
        "h@11210/8091 srv (kv_timeout, 2.5s)",
        &[("kv_timeout", "2500ms")],
    ),
    (
        118,
        "couchbase://h?kv_timeout=4s2ms",
        "h@11210/8091 srv (kv_timeout, 4s2ms)",
        &[("kv_timeout", "4002ms")],
    ),
    (
        119,
        "couchbase://h?kv_timeout=2500",
        "h@11210/8091 srv (kv_timeout, 2500)",
        &[("kv_timeout", "2500ms")],
    ),
    (
        120,
        "couchbase://h?kv_timeout=25.5ms",
        "h@11210/8091 srv (kv_timeout, 25.5ms)",
        &[("kv_timeout", "25500us")],
    ),
    (121, "couchbase://h?kv_timeout=PT2S", "h@11210/8091 srv (kv_timeout, PT2S)", &[("kv_timeout", "2s")]),
    (122, "couchbase://h?kv_timeout=-1s", "InvalidOption", &[]),
    (123, "couchbase://h?kv_timeout=1.5", "InvalidOption", &[]),
    (
        124,
        "couchbase://h?timeout.kvTimeout=10s",
        "h@11210/8091 srv (timeout.kvTimeout, 10s)",
        &[("kv_timeout", "10s")],
    ),
    (
        125,
        "couchbases://h?cert_path=/a/b.pem",
        "T h@11207/18091 srv (cert_path, /a/b.pem)",
        &[("trust_certificate", "/a/b.pem"), ("certificate_path", "")],
    ),
    (
        126,
        "couchbases://127.0.0.1?compression=on&redaction=on",
        "T 127.0.0.1@11207/18091 (compression, on) (redaction, on) ! IgnoredOption log_redaction",
        &[("enable_compression", "true"), ("log_redaction", "true")],
    ),
    (
        127,
        "couchbases://ip?sasl_mech_force=PLAIN&certpath=cert.ca",
        "T ip@11207/18091 srv (sasl_mech_force, PLAIN) (certpath, cert.ca)",
        &[("allowed_sasl_mechanisms", "PLAIN"), ("trust_certificate", "cert.ca"), ("certificate_path", "")],
    ),
    (
        128,
        "couchbases://h?ssl=no_verify",
        "T h@11207/18091 srv (ssl, no_verify) ! InsecureSetting tls_verify",
        &[("tls_verify", "none")],
    ),
    (129, "couchbase://h?enable_dns_srv=maybe", "InvalidOption", &[]),
    (130, "couchbase://h?ip_protocol=yes", "InvalidOption", &[]),
    (
        131,
        "couchbase://h?kv_timeout=42&foo=bar",
        "h@11210/8091 srv (kv_timeout, 42) (foo, bar) ! SuspiciousValue kv_timeout, UnknownOption foo",
        &[("kv_timeout", "42ms")],
    ),
    (
        132,
        "couchbase://h?user_agent_extra=a%2Fb",
        "h@11210/8091 srv (user_agent_extra, a/b)",
        &[("user_agent_extra", "a/b")],
    ),
];

#[test]
fn every_row_has_its_outcome() {
    let mut wrong = Vec::new();
    for (number, input, expected, settings) in ROWS {
        let outcome = outcome(input, expected.contains(" at "));
        if outcome != *expected {
            wrong.push(format!("row {number}: {input:?} is {outcome:?}, expected {expected:?}"));
        }
        for (name, value) in *settings {
            let effective = resolve(input).map(|resolved| resolved.options.effective());
            let line = effective.unwrap().into_iter().find(|line| line.name == *name);
            let actual = line.map(|line| line.value);
            if actual.as_deref() != Some(*value) {
                wrong.push(format!("row {number}: {name} is {actual:?}, expected {value:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads the printed table where it is at hand")]
fn every_row_of_the_specification_is_there() {
    let numbers: std::collections::BTreeSet<u32> = ROWS.iter().map(|(number, ..)| *number).collect();
    assert!(numbers.into_iter().eq(1..=132));

    // Our table covers the printed one, where that is at hand.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/spec/connecting.md");
    let Ok(spec) = std::fs::read_to_string(path) else {
        eprintln!("skipped: the specification is not beside the workspace");
        return;
    };
    let table = spec.lines().skip_while(|line| !line.starts_with("### 1.8"));
    let kinds: Vec<&str> = connstr::ErrorKind::ALL
        .iter()
        .map(|kind| kind.name())
        .chain(WarningKind::ALL.iter().map(|kind| kind.name()))
        .collect();
    let mut checked = 0;
    for line in table.take_while(|line| !line.starts_with("## 2.")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let cells = (cells.next(), cells.next(), cells.next());
        let (Some(number), Some(inputs), Some(outcome)) = cells else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        for input in inputs.split('`').skip(1).step_by(2) {
            let row = ROWS.iter().find(|(n, text, ..)| *n == number && *text == input);
            let Some((_, _, expected, _)) = row else { panic!("row {number}: {input:?} is missing") };
            for named in outcome.split('`').skip(1).step_by(2).filter(|word| kinds.contains(word)) {
                assert!(expected.contains(named), "row {number}: {named} is printed, ours is {expected:?}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 132, "only {checked} inputs found");
}

#[test]
fn row_83_the_srv_query_has_no_double_dot() {
    let connstr = connstr::parse("couchbase://h.example.com.").unwrap();
    assert_eq!(connstr.srv_query(false).unwrap(), "_couchbase._tcp.h.example.com");
    assert_eq!(connstr.srv_query(true).unwrap(), "_couchbases._tcp.h.example.com");
}

#[test]
fn rows_115_and_116_point_at_the_scheme_separator() {
    for input in ["couchbase:/h", "couchbase:h", "http://host1,http://host2"] {
        assert!(connstr::parse(input).unwrap_err().hint.contains("://"), "{input}");
    }
    assert!(!connstr::parse("couchbase://h:x").unwrap_err().hint.contains("://"));
}

#[test]
fn rows_with_a_meaning_round_trip() {
    for (number, input, ..) in ROWS {
        if let Ok(connstr) = connstr::parse(input) {
            let normal = connstr.to_string();
            assert_eq!(connstr::parse(&normal).as_ref(), Ok(&connstr), "row {number}: {normal:?}");
        }
    }
}

enum Refused {
    String(connstr::ParseError),
    Option(options::OptionError),
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(error) => error.fmt(f),
            Self::Option(error) => error.fmt(f),
        }
    }
}

fn resolve(input: &str) -> Result<Resolved, Refused> {
    let connstr = connstr::parse(input).map_err(Refused::String)?;
    options::resolve(&connstr, Options::default()).map_err(Refused::Option)
}

fn outcome(input: &str, with_offset: bool) -> String {
    let resolved = match resolve(input) {
        Ok(resolved) => resolved,
        Err(Refused::String(error)) if with_offset => return format!("{} at {}", error.kind, error.offset),
        Err(Refused::String(error)) => return error.kind.to_string(),
        Err(Refused::Option(error)) => return error.kind.to_string(),
    };
    let connstr = connstr::parse(input).expect("it has just been resolved");
    let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
    let seeds: Vec<String> = resolved
        .seeds
        .iter()
        .map(|seed| format!("{}@{}/{}", seed.host.authority(), port(seed.kv), port(seed.mgmt)))
        .collect();
    let mut text = format!("{}{}", if resolved.tls { "T " } else { "" }, seeds.join(", "));
    if resolved.srv_query.is_some() {
        text.push_str(" srv");
    }
    if let Some(bucket) = &resolved.bucket {
        text.push_str(&format!(" `{bucket}`"));
    }
    for (name, value) in &connstr.params {
        text.push_str(&format!(" ({name}, {value})"));
    }
    let warnings: Vec<String> = resolved
        .warnings
        .iter()
        .filter(|warning| cfg!(feature = "tls-core") || warning.text != "TLS is not part of this build")
        .map(|warning| {
            let about_option = matches!(
                warning.kind,
                WarningKind::UnknownOption
                    | WarningKind::IgnoredOption
                    | WarningKind::RepeatedOption
                    | WarningKind::InsecureSetting
                    | WarningKind::SuspiciousValue
            );
            if about_option {
                format!("{} {}", warning.kind, warning.subject)
            } else {
                warning.kind.to_string()
            }
        })
        .collect();
    if !warnings.is_empty() {
        text.push_str(&format!(" ! {}", warnings.join(", ")));
    }
    text
}
