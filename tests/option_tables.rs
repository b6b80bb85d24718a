//! The tables of options (spec 2.3 to 2.5): each name of each client, with defaults and profile.
//!
//! The table here is written independently of the registry: a name, default or reading that differs fails.

use std::collections::BTreeSet;

use Kind::{Blanks, Inverse, Same, Unit};
use settee::connstr::{self, ErrorKind, WarningKind};
use settee::options::{
    self, Availability, OptionError, Options, Profile, Resolved, groups, registry, translations,
};

/// How an alias reads its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As the canonical name.
    Same,
    /// A bare number is refused (OPT-9).
    Unit,
    /// The opposite switch.
    Inverse,
    /// Blanks between the items (OPT-15).
    Blanks,
}

/// Canonical name; default and value in `wan_development`, empty where there is none; a value that is not the
/// default, and how it is shown; the other names.
type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static [(&'static str, Kind)]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // 2.3
    ("profile", "", "wan_development", "wan-development", "wan_development", &[]),
    ("bootstrap_timeout", "10s", "120s", "1m30s", "90s", &[("config_total_timeout", Unit)]),
    ("kv_connect_timeout", "10s", "20s", "3s", "3s",
        &[("connect_timeout", Same), ("config_node_timeout", Unit), ("timeout.connectTimeout", Same)]),
    ("resolve_timeout", "2s", "20s", "3s", "3s", &[]),
    ("dns_srv_timeout", "500ms", "20s", "3s", "3s", &[]),
    ("kv_timeout", "2500ms", "20s", "3s", "3s",
        &[("key_value_timeout", Same), ("operation_timeout", Unit), ("timeout", Unit), ("timeout.kvTimeout", Same)]),
    ("kv_durable_timeout", "10s", "20s", "3s", "3s",
        &[("key_value_durable_timeout", Same), ("durability_timeout", Unit), ("timeout.kvDurableTimeout", Same)]),
    ("kv_scan_timeout", "75s", "120s", "3s", "3s", &[("timeout.kvScanTimeout", Same)]),
    ("query_timeout", "75s", "120s", "3s", "3s", &[("timeout.queryTimeout", Same)]),
    ("analytics_timeout", "75s", "120s", "3s", "3s", &[("timeout.analyticsTimeout", Same)]),
    ("search_timeout", "75s", "120s", "3s", "3s", &[("timeout.searchTimeout", Same)]),
    ("view_timeout", "75s", "120s", "3s", "3s", &[("views_timeout", Same), ("timeout.viewTimeout", Same)]),
    ("management_timeout", "75s", "120s", "3s", "3s",
        &[("http_timeout", Unit), ("timeout.managementTimeout", Same)]),
    ("eventing_timeout", "75s", "120s", "3s", "3s", &[("timeout.eventingTimeout", Same)]),
    ("disconnect_timeout", "10s", "10s", "3s", "3s", &[("timeout.disconnectTimeout", Same)]),
    ("http_connect_timeout", "", "20s", "3s", "3s", &[]),
    ("idle_http_connection_timeout", "1s", "1s", "3s", "3s",
        &[("http_pool_timeout", Unit), ("io.idleHttpConnectionTimeout", Same)]),
    // 2.4
    ("enable_tls", "", "", "true", "true", &[("security.enableTls", Same)]),
    ("network", "auto", "auto", "external", "external", &[("io.networkResolution", Same)]),
    ("enable_dns_srv", "true", "true", "false", "false", &[("dnssrv", Same), ("io.enableDnsSrv", Same)]),
    ("ip_protocol", "any", "any", "force_ipv6", "force_ipv6", &[]),
    ("preserve_bootstrap_nodes_order", "false", "false", "true", "true", &[("randomize_nodes", Inverse)]),
    ("bootstrap_on", "auto", "auto", "http", "http", &[]),
    ("num_kv_connections", "1", "1", "4", "4", &[("io.numKvConnections", Same), ("kv_pool_size", Same)]),
    ("enable_lazy_connections", "false", "false", "true", "true", &[]),
    ("config_poll_interval", "2500ms", "2500ms", "0", "0", &[("io.configPollInterval", Same)]),
    ("config_poll_floor", "50ms", "50ms", "100ms", "100ms", &[("config_pool_floor_interval", Same)]),
    ("config_poll_timeout", "2500ms", "2500ms", "3s", "3s", &[]),
    ("config_safety_interval", "10s", "10s", "3s", "3s", &[]),
    ("config_idle_redial_timeout", "300s", "300s", "3s", "3s",
        &[("io.configIdleRedialTimeout", Same), ("http_redial_period", Same)]),
    ("http_retry_delay", "4s", "4s", "3s", "3s", &[]),
    ("enable_clustermap_notification", "true", "true", "false", "false",
        &[("io.configNotifications", Same), ("enable_cluster_config_notifications", Same)]),
    ("enable_tcp_keep_alive", "true", "true", "false", "false",
        &[("tcp_keepalive", Same), ("io.enableTcpKeepAlives", Same), ("enable_tcp_keepalives", Same)]),
    ("tcp_keep_alive_interval", "60s", "60s", "3s", "3s",
        &[("io.tcpKeepAliveTime", Same), ("tcp_keepalive_time", Same), ("tcp_keep_alive_time", Same)]),
    ("kv_keep_alive_interval", "30s", "30s", "0s", "0", &[]),
    ("tcp_nodelay", "true", "true", "off", "false", &[]),
    ("tcp_user_timeout", "20s", "20s", "0", "0", &[("io.tcpUserTimeout", Same)]),
    ("max_http_connections", "0", "0", "7", "7",
        &[("http_poolsize", Same), ("io.maxHttpConnections", Same), ("max_perhost_http_connections", Same)]),
    ("max_idle_http_connections_per_host", "", "", "7", "7", &[("max_perhost_idle_http_connections", Same)]),
    ("max_queue_size", "2048", "2048", "7", "7", &[]),
    ("server_wait_backoff", "4096ms", "4096ms", "3s", "3s", &[]),
    ("server_group", "", "", "Group 2", "Group 2", &[("preferred_server_group", Same)]),
    ("user_agent_extra", "", "", "billing/2", "billing/2", &[("client_string", Same)]),
    ("allow_enterprise_analytics", "false", "false", "true", "true", &[]),
    ("num_io_threads", "", "", "2", "2", &[]),
    ("shards", "1", "1", "2", "2", &[]),
    // 2.5
    ("enable_mutation_tokens", "true", "true", "false", "false",
        &[("io.enableMutationTokens", Same), ("io.mutationTokensEnabled", Same)]),
    ("enable_unordered_execution", "true", "true", "false", "false", &[("unordered_execution_enabled", Same)]),
    ("enable_server_durations", "true", "true", "false", "false", &[]),
    ("enable_collections", "true", "true", "false", "false", &[]),
    ("enable_compression", "true", "true", "false", "false", &[("compression.enable", Same)]),
    ("compression_mode", "both", "both", "Inflate_Only", "inflate_only", &[]),
    ("compression_min_size", "32", "32", "2k", "2048", &[("compression.minSize", Same)]),
    ("compression_min_ratio", "0.83", "0.83", "0.5", "0.5", &[("compression.minRatio", Same)]),
    ("trust_certificate", "", "", "a.pem,b.pem", "a.pem,b.pem",
        &[("trust_store_path", Same), ("cert_path", Same), ("certpath", Same), ("truststorepath", Same),
          ("security.trustCertificate", Same), ("ca_cert_path", Same)]),
    ("certificate_path", "", "", "c.pem", "c.pem", &[]),
    ("key_path", "", "", "k.pem", "k.pem", &[("keypath", Same)]),
    ("tls_verify", "peer", "peer", "no_verify", "none", &[]),
    ("tls_verify_hostname", "true", "true", "false", "false", &[("security.enableHostnameVerification", Same)]),
    ("disable_mozilla_ca_certificates", "false", "false", "true", "true", &[]),
    ("tls_disable_v1_2", "", "", "false", "false", &[]),
    ("tls_disable_deprecated_protocols", "true", "true", "false", "false", &[]),
    ("allowed_sasl_mechanisms", "", "", "SCRAM-SHA1,SCRAM-SHA512", "SCRAM-SHA1,SCRAM-SHA512",
        &[("sasl_mech_force", Blanks)]),
    ("scram_max_iterations", "1000000", "1000000", "8192", "8192", &[]),
    ("enable_tracing", "true", "true", "false", "false", &[("thresholdLoggingTracer.enabled", Same)]),
    ("enable_metrics", "true", "true", "false", "false", &[("metrics", Same), ("loggingMeter.enabled", Same)]),
    ("show_queries", "false", "false", "true", "true", &[]),
    ("tracing_threshold_kv", "500ms", "500ms", "3s", "3s", &[("thresholdLoggingTracer.kvThreshold", Same)]),
    ("tracing_threshold_query", "1s", "1s", "3s", "3s", &[("thresholdLoggingTracer.queryThreshold", Same)]),
    ("tracing_threshold_search", "1s", "1s", "3s", "3s", &[("thresholdLoggingTracer.searchThreshold", Same)]),
    ("tracing_threshold_analytics", "1s", "1s", "3s", "3s",
        &[("thresholdLoggingTracer.analyticsThreshold", Same)]),
    ("tracing_threshold_view", "1s", "1s", "3s", "3s", &[("thresholdLoggingTracer.viewThreshold", Same)]),
    ("tracing_threshold_eventing", "1s", "1s", "3s", "3s",
        &[("thresholdLoggingTracer.eventingThreshold", Same)]),
    ("tracing_threshold_management", "1s", "1s", "3s", "3s",
        &[("thresholdLoggingTracer.managementThreshold", Same)]),
    ("tracing_threshold_queue_size", "10", "10", "64", "64", &[("thresholdLoggingTracer.sampleSize", Same)]),
    ("tracing_threshold_flush_interval", "10s", "10s", "3s", "3s",
        &[("thresholdLoggingTracer.emitInterval", Same)]),
    ("tracing_orphaned_queue_size", "10", "10", "64", "64",
        &[("orphanReporter.sampleSize", Same), ("orphaned_response_logging_sample_size", Same)]),
    ("tracing_orphaned_flush_interval", "10s", "10s", "3s", "3s",
        &[("orphanReporter.emitInterval", Same), ("orphaned_response_logging_interval", Same)]),
    ("logging_meter_emit_interval", "600s", "600s", "3s", "3s",
        &[("operation_metrics_flush_interval", Unit), ("loggingMeter.emitInterval", Same)]),
    ("enable_app_telemetry", "true", "true", "false", "false",
        &[("disableAppTelemetry", Inverse), ("disable_app_telemetry", Inverse)]),
    ("app_telemetry_endpoint", "", "", "ws://e.com", "ws://e.com", &[("appTelemetryEndpoint", Same)]),
    ("app_telemetry_backoff", "3600s", "3600s", "3s", "3s", &[]),
    ("app_telemetry_ping_interval", "30s", "30s", "3s", "3s", &[]),
    ("app_telemetry_ping_timeout", "2s", "2s", "3s", "3s", &[]),
    ("log_redaction", "false", "false", "true", "true", &[("redaction", Same)]),
    ("dump_configuration", "false", "false", "true", "true", &[]),
    ("max_requests_in_retry", "32768", "32768", "7", "7", &[("maxNumRequestsInRetry", Same)]),
    ("strict_options", "false", "false", "true", "true", &[]),
];

/// Names that are recognised to be reported as without effect, with any value.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    // libcouchbase
    "durability_interval", "retry_policy", "http_urlmode", "retry_interval", "detailed_errcodes",
    "error_thresh_count", "error_thresh_delay", "config_cache", "config_cache_ro", "retry_nmv_imm",
    "retry_nmv_delay", "vb_noremap", "wait_for_config", "enable_errmap", "persistence_timeout_floor",
    "allow_static_config", "query_grace_period", "read_chunk_size", "select_bucket", "console_log_level",
    "console_log_file", "use_credentials_with_client_certificate",
    // Go
    "dcp_priority", "enable_dcp_expiry", "enable_resource_units", "kv_buffer_size", "max_idle_http_connections",
    "orphaned_response_logging",
];

/// Name, word, the settings that it makes.
type Word = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const WORDS: &[Word] = &[
    ("ssl", "on", &[("enable_tls", "true")]),
    ("ssl", "off", &[("enable_tls", "false")]),
    ("ssl", "no_verify", &[("tls_verify", "none")]),
    ("ssl", "no_global_init", &[]),
    ("ipv6", "allow", &[("ip_protocol", "any")]),
    ("ipv6", "disabled", &[("ip_protocol", "force_ipv4")]),
    ("ipv6", "only", &[("ip_protocol", "force_ipv6")]),
    ("force_ipv4", "true", &[("ip_protocol", "force_ipv4")]),
    ("force_ipv4", "false", &[]),
    ("compression", "on", &[("enable_compression", "true"), ("compression_mode", "both")]),
    ("compression", "true", &[("enable_compression", "true")]),
    ("compression", "off", &[("enable_compression", "false")]),
    ("compression", "false", &[("enable_compression", "false")]),
    ("compression", "inflate_only", &[("enable_compression", "true"), ("compression_mode", "inflate_only")]),
    ("compression", "deflate_only", &[("enable_compression", "true"), ("compression_mode", "deflate_only")]),
    ("compression", "force", &[("enable_compression", "true"), ("compression_mode", "force")]),
    ("security.enableCertificateVerification", "true", &[("tls_verify", "peer")]),
    ("security.enableCertificateVerification", "false", &[("tls_verify", "none")]),
];

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('&', "%26").replace(' ', "%20")
}

/// The scheme under which an option can be tried alone, and what has to stand beside it.
fn beside(name: &str) -> (&'static str, &'static str) {
    match name {
        "enable_tls" | "ssl" | "security.enableTls" => ("h", ""),
        "certificate_path" => ("couchbases://h", "&key_path=k.pem"),
        "key_path" => ("couchbases://h", "&certificate_path=c.pem"),
        _ => ("couchbases://h", ""),
    }
}

fn give(canonical: &str, name: &str, value: &str) -> Result<Resolved, OptionError> {
    let (scheme, more) = beside(canonical);
    let text = format!("{scheme}?{name}={}{more}", escaped(value));
    let connstr = connstr::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    options::resolve(&connstr, Options::default())
}

fn effective(options: &Options, name: &str) -> Option<String> {
    options.effective().into_iter().find(|line| line.name == name).map(|line| line.value)
}

#[test]
fn every_row_by_its_canonical_name_and_by_each_alias() {
    for (canonical, default, _, text, shown, aliases) in ROWS {
        assert_ne!(default, shown, "{canonical}: the value tried is not the default");
        let resolved =
            give(canonical, canonical, text).unwrap_or_else(|error| panic!("{canonical}: {error}"));
        assert_eq!(effective(&resolved.options, canonical).as_deref(), Some(*shown), "{canonical}");
        for (alias, kind) in *aliases {
            let text = match (kind, *text) {
                (Inverse, "true") => "false".to_owned(),
                (Inverse, "false") => "true".to_owned(),
                (Blanks, text) => text.replace(',', " "),
                (_, text) => text.to_owned(),
            };
            let resolved = give(canonical, alias, &text).unwrap_or_else(|error| panic!("{alias}: {error}"));
            assert_eq!(effective(&resolved.options, canonical).as_deref(), Some(*shown), "{alias}={text}");
        }
    }
}

#[test]
fn opt_9_bare_numbers_are_refused_under_names_that_only_libcouchbase_has() {
    for (canonical, .., shown, aliases) in ROWS {
        let is_time = shown.ends_with('s') && shown.as_bytes()[0].is_ascii_digit();
        for (alias, kind) in aliases.iter().filter(|_| is_time) {
            let outcome = give(canonical, alias, "70000");
            if *kind == Unit {
                let error = outcome.expect_err(alias);
                assert_eq!(
                    (error.kind, error.name.as_str()),
                    (ErrorKind::InvalidOption, *canonical),
                    "{alias}"
                );
                assert!(error.expected.contains("unit"), "{alias}: {error}");
            } else {
                let resolved = outcome.unwrap_or_else(|error| panic!("{alias}: {error}"));
                assert_eq!(effective(&resolved.options, canonical).as_deref(), Some("70s"), "{alias}");
            }
        }
    }
}

#[test]
fn defaults_and_the_profile_are_those_of_the_tables() {
    let wan = Options::default().with_profile(Profile::WanDevelopment);
    for (name, default, profile, ..) in ROWS {
        let entry = registry().find(|entry| entry.name == *name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(entry.default_value().to_string(), *default, "{name}");
        // Settings without a field show the profile's value in the registry alone.
        let in_profile = effective(&wan, name).unwrap_or_else(|| {
            let text = entry.profile.unwrap_or(entry.default);
            entry.syntax.read(text).map(|value| value.to_string()).unwrap_or_default()
        });
        assert_eq!(in_profile, *profile, "{name}");
        if let Some(value) = effective(&Options::default(), name) {
            assert_eq!(value, *default, "{name}");
        }
    }
}

#[test]
fn opt_2_the_profile_as_a_parameter_is_applied_first_wherever_it_stands() {
    for text in [
        "couchbase://h?profile=wan_development&kv_timeout=3s",
        "couchbase://h?kv_timeout=3s&profile=wan-development",
    ] {
        let resolved = options::resolve(&connstr::parse(text).unwrap(), Options::default()).unwrap();
        for (name, _, profile, ..) in ROWS.iter().filter(|(_, default, profile, ..)| default != profile) {
            let Some(value) = effective(&resolved.options, name) else { continue };
            assert_eq!(value, if *name == "kv_timeout" { "3s" } else { *profile }, "{text}: {name}");
        }
        assert_eq!(resolved.warnings, [], "{text}");
    }
}

#[test]
fn the_table_and_the_registry_have_the_same_names() {
    let special = ["cert_path", "certpath"];
    let ours: BTreeSet<&str> = ROWS
        .iter()
        .flat_map(|(name, .., aliases)| std::iter::once(*name).chain(aliases.iter().map(|(alias, _)| *alias)))
        .chain(FOREIGN.iter().copied())
        .chain(WORDS.iter().map(|(name, ..)| *name))
        .collect();
    let theirs: BTreeSet<&str> = registry()
        .flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().map(|alias| alias.name)))
        .chain(translations().map(|translation| translation.name))
        .chain(special)
        .collect();
    assert_eq!(ours, theirs);
    for entry in registry() {
        assert!(!entry.help.is_empty() && !entry.help.contains('\n'), "{}", entry.name);
        assert!(entry.aliases.iter().all(|alias| !alias.origins.is_empty()), "{}", entry.name);
    }
}

#[test]
fn names_that_have_no_counterpart_are_ignored_aloud() {
    for name in FOREIGN {
        for value in ["1", "", "any%20text"] {
            let text = format!("couchbase://h?{name}={value}");
            let resolved = options::resolve(&connstr::parse(&text).unwrap(), Options::default()).unwrap();
            let told: Vec<_> = resolved.warnings.iter().map(|w| (w.kind, w.subject.as_str())).collect();
            assert_eq!(told, [(WarningKind::IgnoredOption, *name)], "{text}");
        }
    }
}

#[test]
fn opt_12_and_opt_14_words_of_other_clients() {
    for (name, word, settings) in WORDS {
        let resolved = give(name, name, word).unwrap_or_else(|error| panic!("{name}={word}: {error}"));
        for (canonical, value) in *settings {
            assert_eq!(effective(&resolved.options, canonical).as_deref(), Some(*value), "{name}={word}");
        }
        let upper = give(name, name, &word.to_uppercase()).map(|resolved| resolved.options);
        assert_eq!(upper.as_ref(), Ok(&resolved.options), "{name}={word} in upper case");
        if settings.is_empty() {
            assert!(!resolved.warnings.is_empty(), "{name}={word} is dropped in silence");
        }
        let error = give(name, name, "perhaps").expect_err(name);
        assert_eq!(error.kind, ErrorKind::InvalidOption, "{name}");
    }
    for translation in translations() {
        for (spellings, settings) in translation.words {
            let known =
                WORDS.iter().any(|(name, word, _)| *name == translation.name && spellings.contains(word));
            assert!(known, "{}: {spellings:?} makes {settings:?}", translation.name);
        }
    }
}

#[test]
fn circuit_breakers_are_recognised_with_their_syntax() {
    const SERVICES: [&str; 7] = ["kv", "query", "view", "search", "analytics", "manager", "eventing"];
    const MEMBERS: [(&str, &str, &str); 5] = [
        ("enabled", "true", "perhaps"),
        ("volumeThreshold", "20", "-1"),
        ("errorThresholdPercentage", "50", "101"),
        ("sleepWindow", "5s", "0"),
        ("rollingWindow", "1m", "x"),
    ];
    for service in SERVICES {
        let prefix = format!("io.{service}CircuitBreaker.");
        let group = groups().find(|group| group.prefix == prefix).unwrap_or_else(|| panic!("{prefix}"));
        let members: Vec<_> = group.members.iter().map(|(member, _, default)| (*member, *default)).collect();
        assert_eq!(members, MEMBERS.map(|(member, default, _)| (member, default)), "{prefix}");
        for (member, good, bad) in MEMBERS {
            for name in [format!("{prefix}{member}"), format!("com.couchbase.env.{prefix}{member}")] {
                let resolved = give(&name, &name, good).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(resolved.warnings.len(), 1, "{name}");
                assert_eq!(resolved.warnings[0].kind, WarningKind::IgnoredOption, "{name}");
                let error = give(&name, &name, bad).expect_err(&name);
                assert_eq!((error.kind, error.name), (ErrorKind::InvalidOption, name));
            }
        }
    }
}

#[test]
fn opt_8_the_java_prefix_goes_with_canonical_names_and_names_of_java() {
    for entry in registry() {
        let row = ROWS.iter().find(|(name, ..)| *name == entry.name);
        let Some((_, _, _, text, shown, _)) = row else { continue };
        let resolved = give(entry.name, &format!("com.couchbase.env.{}", entry.name), text).unwrap();
        assert_eq!(effective(&resolved.options, entry.name).as_deref(), Some(*shown), "{}", entry.name);
        // An unknown `keypath` leaves the certificate beside it without its key, which is an error.
        for alias in entry.aliases.iter().filter(|alias| alias.name != "keypath") {
            let is_java = alias.origins.contains(&options::Origin::Java);
            let text = if alias.reading == options::Reading::Inverse { "true" } else { text };
            let resolved = give(entry.name, &format!("com.couchbase.env.{}", alias.name), text).unwrap();
            let unknown = resolved.warnings.iter().any(|warning| warning.kind == WarningKind::UnknownOption);
            assert_eq!(unknown, !is_java, "{}", alias.name);
        }
    }
}

#[test]
fn opt_13_tls_options_under_a_plain_scheme() {
    for (name, .., text, _, _) in ROWS {
        let entry = registry().find(|entry| entry.name == *name).unwrap_or_else(|| panic!("{name}"));
        if entry.owner != options::Owner::Tls || *name == "enable_tls" {
            continue;
        }
        let connstr = connstr::parse(&format!("couchbase://h?{name}={text}")).unwrap();
        let outcome = options::resolve(&connstr, Options::default());
        if matches!(*name, "certificate_path" | "key_path") {
            assert_eq!(outcome.expect_err(name).kind, ErrorKind::ConflictingOption, "{name}");
            continue;
        }
        let warnings = outcome.unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
        assert_eq!(warnings[0].kind, WarningKind::IgnoredOption, "{name}");
        assert!(warnings[0].text.contains("couchbases://"), "{name}");
    }
}

#[test]
fn opt_7_credentials_are_refused_under_each_name_and_not_repeated() {
    for name in ["username", "user", "password", "pass"] {
        let text = format!("couchbase://h?a=1&{name}=geheim");
        let told = match connstr::parse(&text) {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::CredentialsInString, "{name}");
                format!("{error} {error:?}")
            }
            Ok(connstr) => {
                let error = options::resolve(&connstr, Options::default()).expect_err(name);
                assert_eq!(error.kind, ErrorKind::CredentialsInString, "{name}");
                format!("{error} {error:?}")
            }
        };
        assert!(!told.contains("geheim"), "{told}");
    }
}

#[test]
fn opt_5_what_is_ignored_is_reported_and_what_is_not_is_silent() {
    for (name, .., text, _, _) in ROWS {
        let entry = registry().find(|entry| entry.name == *name).unwrap_or_else(|| panic!("{name}"));
        let resolved = give(name, name, text).unwrap();
        let reasons: Vec<&str> = resolved
            .warnings
            .iter()
            .filter(|warning| warning.kind == WarningKind::IgnoredOption && warning.subject == *name)
            .map(|warning| warning.text.as_str())
            .collect();
        match entry.availability {
            Availability::Ignored(reason) | Availability::DefaultOnly(reason) => {
                assert_eq!(reasons, [reason], "{name}")
            }
            _ => assert_eq!(reasons, [""; 0], "{name}"),
        }
    }
}

#[test]
fn cs_22_lists_collect_under_all_their_names() {
    let text = "couchbases://h?ca_cert_path=a&trust_certificate=b,c&cert_path=d&truststorepath=e";
    let resolved = options::resolve(&connstr::parse(text).unwrap(), Options::default()).unwrap();
    assert_eq!(resolved.options.trust_certificate, ["a", "b", "c", "d", "e"]);
    let text =
        "couchbases://h?sasl_mech_force=SCRAM-SHA1%20SCRAM-SHA256&allowed_sasl_mechanisms=SCRAM-SHA512";
    let resolved = options::resolve(&connstr::parse(text).unwrap(), Options::default()).unwrap();
    assert_eq!(resolved.options.allowed_sasl_mechanisms, ["SCRAM-SHA1", "SCRAM-SHA256", "SCRAM-SHA512"]);
}

#[test]
fn cs_23_every_alias_beside_its_canonical_name_has_to_agree() {
    for (canonical, default, _, text, _, aliases) in ROWS {
        // Lists collect; a switch of the opposite meaning and a missing default are tried elsewhere.
        let is_list = text.contains(',');
        for (alias, _) in aliases.iter().filter(|(_, kind)| *kind != Inverse && !is_list) {
            if default.is_empty() || *default == "0" {
                continue;
            }
            let (scheme, more) = beside(canonical);
            let pair = |value: &str| {
                let text = format!("{scheme}?{canonical}={text}&{alias}={value}{more}");
                options::resolve(&connstr::parse(&text).unwrap(), Options::default())
            };
            let error = pair(default).expect_err(alias);
            assert_eq!(
                (error.kind, error.name.as_str()),
                (ErrorKind::ConflictingOption, *canonical),
                "{alias}"
            );
            let same = pair(text).unwrap_or_else(|error| panic!("{alias}: {error}"));
            let repeated = |warning: &connstr::Warning| warning.kind == WarningKind::RepeatedOption;
            assert_eq!(same.warnings.iter().filter(|warning| repeated(warning)).count(), 1, "{alias}");
        }
    }
}

#[test]
fn opt_9_suspicious_values_for_each_time_out_of_a_second_or_more() {
    let mut seen = 0;
    for entry in registry().filter(|entry| entry.name.ends_with("_timeout") && !entry.default.is_empty()) {
        let suspicious = |text: &str| {
            let resolved = give(entry.name, entry.name, text).unwrap();
            resolved.warnings.iter().any(|warning| warning.kind == WarningKind::SuspiciousValue)
        };
        let is_long = entry.name != "dns_srv_timeout";
        assert_eq!(suspicious("49"), is_long, "{}", entry.name);
        assert!(!suspicious("50") && !suspicious("49ms"), "{}", entry.name);
        seen += 1;
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn opt_3_near_misses_of_every_canonical_name() {
    for (name, ..) in ROWS.iter().filter(|(name, ..)| name.len() > 8) {
        // Without its fifth letter.
        let missed = format!("{}{}", &name[..4], &name[5..]);
        if registry().any(|entry| entry.name == missed) {
            continue;
        }
        let resolved = give("", &missed, "1").unwrap();
        let text = &resolved.warnings[0].text;
        assert!(text.contains("did you mean"), "{missed}: {text}");
    }
}
