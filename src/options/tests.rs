//! One test per rule, named after it; settings of whole strings are in `tests/connection_strings.rs` as well.

use super::*;
use crate::connstr;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn with(text: &str, typed: Options) -> Result<Resolved, OptionError> {
    match connstr::parse(text) {
        Ok(connstr) => resolve(&connstr, typed),
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn ok(text: &str) -> Resolved {
    match with(text, Options::default()) {
        Ok(resolved) => resolved,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn refused(text: &str) -> OptionError {
    match with(text, Options::default()) {
        Ok(_) => panic!("{text:?} is accepted"),
        Err(error) => error,
    }
}

fn typed(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// Warnings as `Kind subject`.
fn warnings(text: &str) -> Vec<String> {
    ok(text).warnings.iter().map(|warning| format!("{} {}", warning.kind, warning.subject)).collect()
}

/// As [`warnings`], without those of a build that has no TLS.
fn told(text: &str) -> Vec<String> {
    let no_tls = |line: &String| !cfg!(feature = "tls-core") && line.starts_with("IgnoredOption");
    warnings(text).into_iter().filter(|line| !no_tls(line)).collect()
}

fn effective(options: &Options, name: &str) -> String {
    options.effective().into_iter().find(|line| line.name == name).map_or_else(String::new, |line| line.value)
}

#[test]
fn opt_1_the_registry_and_the_typed_fields_agree() {
    let defaults = Options::default();
    let wan = Options::default().with_profile(Profile::WanDevelopment);
    for entry in registry() {
        if !entry.default.is_empty() {
            assert!(entry.syntax.read(entry.default).is_some(), "{}: {:?}", entry.name, entry.default);
        }
        let Some(field) = entry.field else { continue };
        assert!(is_default(entry, &(field.get)(&defaults)), "{}", entry.name);
        if let Some(profile) = entry.profile {
            assert_eq!(entry.syntax.read(profile), Some((field.get)(&wan)), "{}", entry.name);
        }
    }
}

#[test]
fn opt_1_names_are_unique() {
    let mut seen = BTreeSet::new();
    for name in registry::all_names() {
        assert!(seen.insert(name), "{name} stands twice");
        assert!(registry::lookup(name).is_some(), "{name}");
    }
    assert!(seen.len() > 150, "{}", seen.len());
    assert!(
        registry().all(|entry| entry.name.bytes().all(|b| b.is_ascii_lowercase() || b"_12".contains(&b)))
    );
}

#[test]
fn opt_1_effective_values_read_back() {
    let options =
        ok("couchbase://h?network=external&allowed_sasl_mechanisms=SCRAM-SHA1&kv_timeout=1500us").options;
    for line in options.effective() {
        let entry = registry::canonical(line.name).unwrap();
        if !line.value.is_empty() {
            assert_eq!(entry.syntax.read(&line.value).unwrap().to_string(), line.value, "{}", line.name);
        }
        let set = ["network", "allowed_sasl_mechanisms", "kv_timeout"].contains(&line.name);
        assert_eq!((line.from_string, line.changed), (set, set), "{}", line.name);
    }
    assert_eq!(effective(&options, "kv_timeout"), "1500us");
}

#[test]
fn opt_2_the_string_beats_typed_beats_profile_beats_default() {
    let base = || typed(|o| o.kv_durable_timeout = Duration::from_secs(3));
    let resolved = with("couchbase://h?kv_timeout=4s&profile=wan-development", base()).unwrap().options;
    assert_eq!(resolved.kv_timeout, Duration::from_secs(4));
    assert_eq!(resolved.kv_durable_timeout, Duration::from_secs(3));
    assert_eq!(resolved.kv_connect_timeout, Duration::from_secs(20));
    assert_eq!(resolved.disconnect_timeout, Duration::from_secs(10));
    assert_eq!(resolved.profile, Some(Profile::WanDevelopment));
}

#[test]
fn opt_2_a_later_profile_overwrites_and_is_overwritten() {
    let mut options = typed(|o| o.kv_timeout = Duration::from_secs(1)).with_profile(Profile::WanDevelopment);
    assert_eq!(options.kv_timeout, Duration::from_secs(20));
    assert_eq!(options.bootstrap_timeout, Duration::from_secs(120));
    options.kv_timeout = Duration::from_secs(2);
    let resolved = with("couchbase://h", options).unwrap();
    assert_eq!(resolved.options.kv_timeout, Duration::from_secs(2));
    // Settings that only the profile made are nothing to warn of.
    assert_eq!(resolved.warnings, []);
}

#[test]
fn opt_2_an_unknown_profile_is_an_error() {
    let error = refused("couchbase://h?profile=lan");
    assert_eq!((error.kind, error.name.as_str()), (ErrorKind::InvalidOption, "profile"));
    assert!(error.expected.contains("wan_development"));
    assert!("lan".parse::<Profile>().is_err());
    assert_eq!("wan-development".parse(), Ok(Profile::WanDevelopment));
}

#[test]
fn opt_3_unknown_names_are_warnings_that_know_near_misses() {
    let text = |input: &str| ok(input).warnings[0].text.clone();
    assert_eq!(warnings("couchbase://h?nonsense=1"), ["UnknownOption nonsense"]);
    assert!(text("couchbase://h?nonsense=some").contains("\"some\""));
    assert!(!text("couchbase://h?nonsense=1").contains("did you mean"));
    for (name, meant) in [
        ("kv_timeuot", "kv_timeout"),
        ("KV_Timeout", "kv_timeout"),
        ("kv_timout", "kv_timeout"),
        ("timeout.kvtimeout", "timeout.kvTimeout"),
        ("com.couchbase.env.netwrk", "network"),
    ] {
        let text = text(&format!("couchbase://h?{name}=1"));
        assert!(text.contains(&format!("did you mean {meant}?")), "{name}: {text}");
    }
}

#[test]
fn opt_3_strict_mode_is_typed_and_makes_unknown_names_errors() {
    let strict = || typed(|o| o.strict_options = true);
    let error = with("couchbase://h?a=1&kv_timeuot=2", strict()).unwrap_err();
    assert_eq!((error.kind, error.name.as_str()), (ErrorKind::UnknownOption, "a"));
    let error = with("couchbase://h?kv_timeuot=2", strict()).unwrap_err();
    assert!(error.expected.contains("kv_timeout"));
    assert!(with("couchbase://h?kv_timeout=2s", strict()).is_ok());
    assert_eq!(
        warnings("couchbase://h?strict_options=true&x=1"),
        ["UnknownOption x", "IgnoredOption strict_options"]
    );
}

#[test]
fn opt_4_a_bad_value_is_an_error_with_its_place() {
    let error = refused("couchbase://h?x=1&kv_timeout=soon");
    assert_eq!((error.kind, error.name.as_str()), (ErrorKind::InvalidOption, "kv_timeout"));
    assert_eq!((error.text.as_str(), error.offset), ("soon", Some(18)));
    assert!(error.expected.contains("2.5s"));
    for pair in [
        "kv_timeout=",
        "enable_tcp_keep_alive=",
        "enable_tcp_keep_alive=2",
        "num_kv_connections=0",
        "max_queue_size=-1",
        "max_queue_size=4294967296",
        "compression_min_size=8g",
        "compression_min_ratio=1.1",
        "compression_min_ratio=nan",
        "network=",
        "allowed_sasl_mechanisms=",
        "allowed_sasl_mechanisms=PLAIN,",
        "allowed_sasl_mechanisms=MD5",
        "scram_max_iterations=100",
        "ssl=perhaps",
        "query_timeout=x",
        "randomize_nodes=x",
    ] {
        assert_eq!(refused(&format!("couchbase://h?{pair}")).kind, ErrorKind::InvalidOption, "{pair}");
    }
}

#[test]
fn opt_4_typed_values_have_the_same_limits() {
    let bad: [fn(&mut Options); 8] = [
        |o| o.kv_timeout = Duration::ZERO,
        |o| o.kv_timeout = Duration::MAX,
        |o| o.num_kv_connections = 0,
        |o| o.max_queue_size = 0,
        |o| o.compression_min_ratio = f64::NAN,
        |o| o.network = Network::Named(String::new()),
        |o| o.allowed_sasl_mechanisms = vec!["MD5".to_owned()],
        |o| o.trust_certificate = vec![String::new()],
    ];
    for (index, change) in bad.into_iter().enumerate() {
        let error = with("couchbases://h", typed(change)).unwrap_err();
        assert_eq!((error.kind, error.offset), (ErrorKind::InvalidOption, None), "{index}");
    }
}

#[test]
fn opt_5_recognised_options_without_effect_say_so() {
    let line = |text: &str| ok(text).warnings;
    for pair in
        ["tracing_threshold_kv=1s", "query_timeout=1m", "vb_noremap=x", "kv_buffer_size=1", "shards=2"]
    {
        let warnings = line(&format!("couchbase://h?{pair}"));
        assert_eq!(warnings.len(), 1, "{pair}");
        assert_eq!(warnings[0].kind, WarningKind::IgnoredOption, "{pair}");
        assert!(!warnings[0].text.is_empty());
    }
    for pair in
        ["io.kvCircuitBreaker.sleepWindow=5s", "com.couchbase.env.logger.x=1", "orphanReporter.queueLength=1"]
    {
        assert_eq!(line(&format!("couchbase://h?{pair}"))[0].kind, WarningKind::IgnoredOption, "{pair}");
    }
    assert_eq!(warnings("couchbase://h?io.kvCircuitBreaker.x=5s"), ["UnknownOption io.kvCircuitBreaker.x"]);
    assert_eq!(warnings("couchbase://h?num_kv_connections=1&shards=1&bootstrap_on=all"), [] as [&str; 0]);
    assert_eq!(warnings("couchbase://h?kv_pool_size=4"), [] as [&str; 0]);
    let resolved = with("couchbase://h", typed(|o| o.log_redaction = true)).unwrap();
    assert_eq!(resolved.warnings[0].kind, WarningKind::IgnoredOption);
    let line = ok("couchbase://h?query_timeout=90s").options.effective();
    let line = line.iter().find(|line| line.name == "query_timeout").unwrap();
    assert_eq!((line.value.as_str(), line.from_string, line.ignored.is_some()), ("90s", true, true));
}

#[test]
fn opt_7_credentials_are_no_settings() {
    let mut options = Options::default();
    let error = options.apply(&[("password".to_owned(), "secret".to_owned())], false).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CredentialsInString);
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn opt_8_the_java_prefix_goes_with_canonical_and_dotted_names() {
    let secs = |text: &str| ok(text).options.kv_timeout.as_secs();
    assert_eq!(secs("couchbase://h?com.couchbase.env.kv_timeout=9s"), 9);
    assert_eq!(secs("couchbase://h?com.couchbase.env.timeout.kvTimeout=9s"), 9);
    assert_eq!(
        warnings("couchbase://h?com.couchbase.env.key_value_timeout=9s"),
        ["UnknownOption com.couchbase.env.key_value_timeout"]
    );
    assert_eq!(warnings("couchbase://h?timeout.KvTimeout=9s"), ["UnknownOption timeout.KvTimeout"]);
}

#[test]
fn opt_9_names_of_libcouchbase_need_their_unit() {
    for name in ["operation_timeout", "timeout", "config_total_timeout", "durability_timeout", "http_timeout"]
    {
        let error = refused(&format!("couchbase://h?{name}=5"));
        assert_eq!(error.kind, ErrorKind::InvalidOption, "{name}");
        assert!(error.expected.contains("unit"), "{error}");
    }
    assert_eq!(ok("couchbase://h?operation_timeout=5s").options.kv_timeout, Duration::from_secs(5));
    assert_eq!(warnings("couchbase://h?operation_timeout=5s"), ["DeprecatedOption operation_timeout"]);
}

#[test]
fn opt_9_a_bare_number_below_50_is_suspicious() {
    assert_eq!(warnings("couchbase://h?kv_timeout=49"), ["SuspiciousValue kv_timeout"]);
    assert_eq!(warnings("couchbase://h?kv_timeout=50"), [] as [&str; 0]);
    assert_eq!(warnings("couchbase://h?kv_timeout=5ms"), [] as [&str; 0]);
    assert_eq!(warnings("couchbase://h?config_poll_interval=5"), [] as [&str; 0]);
    assert_eq!(warnings("couchbase://h?connect_timeout=5"), ["SuspiciousValue kv_connect_timeout"]);
}

#[test]
fn opt_10_zero_is_an_error_but_where_it_means_off() {
    for text in ["0", "0s", "PT0S", "0.0000000001s"] {
        assert_eq!(refused(&format!("couchbase://h?kv_timeout={text}")).kind, ErrorKind::InvalidOption);
    }
    let options = ok("couchbase://h?config_poll_interval=0&kv_keep_alive_interval=0s").options;
    assert!(options.config_poll_interval.is_zero() && options.kv_keep_alive_interval.is_zero());
    assert_eq!(ok("couchbase://h?kv_timeout=1500us").options.kv_timeout, Duration::from_micros(1500));
}

#[test]
fn opt_11_certpath_is_trust_or_with_a_key_a_client_certificate() {
    for name in ["certpath", "cert_path"] {
        let resolved = ok(&format!("couchbases://h?{name}=a.pem"));
        assert_eq!(resolved.options.trust_certificate, ["a.pem"]);
        assert_eq!(resolved.notes, [format!("{name} is read as trust_certificate")]);
        for key in ["keypath", "key_path"] {
            let resolved = ok(&format!("couchbases://h?{name}=a.pem&{key}=k.pem"));
            assert!(resolved.options.trust_certificate.is_empty());
            assert_eq!(resolved.options.certificate_path.as_deref(), Some("a.pem"));
            assert_eq!(resolved.options.key_path.as_deref(), Some("k.pem"));
            assert_eq!(resolved.notes, [format!("{name} is read as certificate_path")]);
        }
    }
}

#[test]
fn opt_12_ssl_may_not_contradict_the_scheme() {
    assert_eq!(refused("couchbases://h?ssl=off").kind, ErrorKind::ConflictingOption);
    assert_eq!(refused("couchbase://h?ssl=on").kind, ErrorKind::ConflictingOption);
    assert!(ok("couchbases://h?ssl=on").tls);
    assert_eq!(ok("couchbases://h?ssl=no_verify").options.tls_verify, TlsVerify::None);
    assert_eq!(warnings("couchbases://h?ssl=no_global_init"), ["IgnoredOption ssl"]);
}

#[test]
fn opt_13_tls_options_without_tls() {
    for pair in ["trust_certificate=a.pem", "tls_verify=none", "disable_mozilla_ca_certificates=true"] {
        let warnings = ok(&format!("couchbase://h?{pair}")).warnings;
        assert_eq!(warnings.len(), 1, "{pair}: {warnings:?}");
        assert_eq!(warnings[0].kind, WarningKind::IgnoredOption);
        assert!(warnings[0].text.contains("couchbases://"));
    }
    let error = refused("couchbase://h?certificate_path=a.pem&key_path=k.pem");
    assert_eq!((error.kind, error.offset), (ErrorKind::ConflictingOption, Some(14)));
    assert_eq!(refused("couchbases://h?key_path=k.pem").kind, ErrorKind::InvalidOption);
    assert_eq!(refused("couchbases://h?certificate_path=c.pem").kind, ErrorKind::InvalidOption);
}

#[test]
fn opt_14_compression_words() {
    let read = |word: &str| {
        let options = ok(&format!("couchbase://h?compression={word}")).options;
        (options.enable_compression, options.compression_mode)
    };
    assert_eq!(read("on"), (true, CompressionMode::Both));
    assert_eq!(read("TRUE"), (true, CompressionMode::Both));
    assert_eq!(read("off"), (false, CompressionMode::Both));
    assert_eq!(read("inflate_only"), (true, CompressionMode::InflateOnly));
    assert_eq!(read("deflate_only"), (true, CompressionMode::DeflateOnly));
    assert_eq!(read("force"), (true, CompressionMode::Force));
    assert_eq!(warnings("couchbase://h?compression=force"), [] as [&str; 0]);
}

#[test]
fn opt_15_sasl_mech_force_takes_blanks_and_commas() {
    let read = |text: &str| ok(&format!("couchbases://h?{text}")).options.allowed_sasl_mechanisms;
    assert_eq!(read("sasl_mech_force=scram-sha1%20PLAIN"), ["SCRAM-SHA1", "PLAIN"]);
    assert_eq!(read("sasl_mech_force=SCRAM-SHA1,PLAIN"), ["SCRAM-SHA1", "PLAIN"]);
    assert_eq!(read("allowed_sasl_mechanisms=SCRAM-SHA1,PLAIN"), ["SCRAM-SHA1", "PLAIN"]);
    let lower = typed(|o| o.allowed_sasl_mechanisms = vec!["plain".to_owned()]);
    assert_eq!(with("couchbases://h", lower).unwrap().options.allowed_sasl_mechanisms, ["PLAIN"]);
}

#[test]
fn auth_1_plain_on_a_plain_socket_is_insecure() {
    assert_eq!(
        warnings("couchbase://h?allowed_sasl_mechanisms=PLAIN"),
        ["InsecureSetting allowed_sasl_mechanisms"]
    );
    assert_eq!(warnings("couchbases://h?allowed_sasl_mechanisms=PLAIN"), [] as [&str; 0]);
}

#[test]
fn tls_17_verification_off_is_insecure() {
    assert_eq!(told("couchbases://h?tls_verify=none"), ["InsecureSetting tls_verify"]);
    assert_eq!(told("couchbases://h?tls_verify_hostname=no"), ["InsecureSetting tls_verify_hostname"]);
}

#[test]
fn cs_1_the_scheme_alone_decides_where_it_is_written() {
    for (text, pair) in [("couchbases://h", "false"), ("couchbase://h", "true"), ("http://h", "true")] {
        let error = refused(&format!("{text}?enable_tls={pair}"));
        assert_eq!((error.kind, error.name.as_str()), (ErrorKind::ConflictingOption, "enable_tls"), "{text}");
    }
    let on = || typed(|o| o.enable_tls = Some(true));
    let off = || typed(|o| o.enable_tls = Some(false));
    assert_eq!(with("couchbases://h", off()).unwrap_err().kind, ErrorKind::ConflictingOption);
    assert_eq!(with("http://h", on()).unwrap_err().kind, ErrorKind::ConflictingOption);
    assert!(!with("couchbase://h", off()).unwrap().tls);
    // The string is stronger than the typed setting.
    assert!(!with("couchbase://h?enable_tls=false", on()).unwrap().tls);
}

#[test]
fn cs_1_typed_tls_turns_a_plain_string_on_with_the_ports_of_tls() {
    let on = || typed(|o| o.enable_tls = Some(true));
    let resolved = with("couchbase://h", on()).unwrap();
    assert!(resolved.tls);
    assert_eq!((resolved.seeds[0].kv, resolved.seeds[0].mgmt), (Some(11207), Some(18091)));
    assert_eq!(resolved.srv_query.as_deref(), Some("_couchbases._tcp.h"));
    let resolved = with("couchbase://h:11207,i:11210", on()).unwrap();
    assert_eq!((resolved.seeds[0].kv, resolved.seeds[0].mgmt), (Some(11207), Some(18091)));
    let subjects: Vec<_> = resolved.warnings.iter().map(|w| (w.kind, w.subject.as_str())).collect();
    assert_eq!(subjects, [(WarningKind::PortSecurityMismatch, "i:11210")]);
    assert!(ok("h?enable_tls=true").tls);
}

#[test]
fn cs_22_the_last_of_a_repeated_key_wins_and_lists_collect() {
    assert_eq!(ok("couchbase://h?kv_timeout=1s&kv_timeout=2s").options.kv_timeout.as_secs(), 2);
    assert_eq!(warnings("couchbase://h?kv_timeout=1s&kv_timeout=2s"), ["RepeatedOption kv_timeout"]);
    let resolved = ok("couchbases://h?ca_cert_path=a&trust_certificate=b,c&certpath=d");
    assert_eq!(resolved.options.trust_certificate, ["a", "b", "c", "d"]);
    assert_eq!(told("couchbases://h?ca_cert_path=a&trust_certificate=b,c&certpath=d"), [] as [&str; 0]);
    let before = typed(|o| o.trust_certificate = vec!["z".to_owned()]);
    assert_eq!(with("couchbases://h?trust_certificate=a", before).unwrap().options.trust_certificate, ["a"]);
}

#[test]
fn cs_23_an_alias_beside_its_canonical_name_has_to_agree() {
    assert_eq!(
        warnings("couchbase://h?kv_timeout=2s&timeout.kvTimeout=2000ms"),
        ["RepeatedOption kv_timeout"]
    );
    let error = refused("couchbase://h?kv_timeout=2s&timeout.kvTimeout=3s");
    assert_eq!((error.kind, error.name.as_str()), (ErrorKind::ConflictingOption, "kv_timeout"));
    assert_eq!((error.text.as_str(), error.offset), ("3s", Some(28)));
    assert_eq!(refused("couchbase://h?ipv6=only&ip_protocol=any").kind, ErrorKind::ConflictingOption);
    assert_eq!(
        refused("couchbase://h?randomize_nodes=true&preserve_bootstrap_nodes_order=true").kind,
        ErrorKind::ConflictingOption
    );
}

#[test]
fn cs_13_messages_do_not_repeat_what_stands_before_an_at_sign() {
    for text in
        ["h?secret=1&x=a@b", "h?x=secret@b", "h?x=a&y=secret@b", "h?kv_timeout=secret@b", "h?x=secret%40b"]
    {
        let told = match with(text, Options::default()) {
            Ok(resolved) => format!("{:?}", resolved.warnings),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains("secret"), "{text}: {told}");
    }
    assert_eq!(warnings("h?x=a@b&foo=1")[1], "UnknownOption foo");
}

#[test]
fn srv_1_6_forcing_it_is_told_apart() {
    assert_eq!(warnings("couchbase://h?enable_dns_srv=true"), [] as [&str; 0]);
    assert_eq!(warnings("couchbase://a,b?dnssrv=on"), ["SrvForcedButIneligible enable_dns_srv"]);
    assert_eq!(warnings("couchbase://h?enable_dns_srv=false"), [] as [&str; 0]);
    assert_eq!(ok("couchbase://h?enable_dns_srv=false").srv_query, None);
    assert!(ok("couchbase://h").srv_query.is_some());
}

#[test]
fn table_2_4_words_of_other_clients() {
    assert_eq!(ok("h?ipv6=disabled").options.ip_protocol, IpProtocol::ForceIpv4);
    assert_eq!(ok("h?ipv6=only").options.ip_protocol, IpProtocol::ForceIpv6);
    assert_eq!(ok("h?force_ipv4=true").options.ip_protocol, IpProtocol::ForceIpv4);
    assert_eq!(warnings("h?force_ipv4=false"), ["DeprecatedOption force_ipv4"]);
    assert!(ok("h?randomize_nodes=false").options.preserve_bootstrap_nodes_order);
    assert_eq!(ok("h?network=Azure").options.network, Network::Named("Azure".to_owned()));
    assert_eq!(ok("h?network=auto").options.network, Network::Auto);
    assert_eq!(ok("h?client_string=a%0D%0Ab").options.user_agent_extra.as_deref(), Some("a  b"));
    assert_eq!(ok("couchbases://h?tls_verify=no_verify").options.tls_verify, TlsVerify::None);
}

#[test]
fn apply_changes_nothing_when_it_fails() {
    let mut options = Options::default();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    options.apply(&[pair("kv_timeout", "1s"), pair("kv_timeout", "x")], false).unwrap_err();
    assert_eq!(options, Options::default());
    let warnings = options.apply(&[pair("kv_timeout", "1s"), pair("x", "y")], false).unwrap();
    assert_eq!((options.kv_timeout.as_secs(), warnings.len()), (1, 1));
}

proptest! {
    #[test]
    fn any_value_of_any_option_is_read_or_refused(
        entry in prop::sample::select(registry().map(|entry| entry.name).collect::<Vec<_>>()),
        text in any::<String>(),
        tls in any::<bool>(),
    ) {
        let mut options = Options::default();
        match options.apply(&[(entry.to_owned(), text)], tls) {
            Ok(_) => prop_assert!(options.from_string.contains(entry)),
            Err(error) => prop_assert_eq!(options, Options::default(), "{}", error),
        }
    }
}
