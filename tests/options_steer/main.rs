//! Every option steers something that can be seen from outside, or says that it does not (OPT-1, OPT-5).
//!
//! A walk over the registry. For each active option [`CASES`] has two settings and what is seen with each: outputs of
//! the engine, its frames, or what a simulated cluster in virtual time has noticed. An option without a case fails.

#[path = "../engine/common.rs"]
#[expect(dead_code, reason = "the helpers of the engine's tests; some are used here")]
mod common;
#[cfg(feature = "tracing")]
mod log;
mod observe;
#[cfg(feature = "tls-core")]
mod secure;

use settee::connstr::{self, WarningKind};
use settee::options::{self, Availability, Options, registry};

use observe as o;
#[cfg(feature = "tls-core")]
use secure as s;

/// An option, two settings of it with what else the case needs, and what is to be seen.
type Case = (&'static str, [&'static str; 2], fn(&str) -> String);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("profile", ["", "profile=wan_development"], o::end_of_a_get),
    ("bootstrap_timeout", ["bootstrap_timeout=1s", "bootstrap_timeout=2s"], o::end_of_a_bootstrap),
    ("kv_connect_timeout", ["kv_connect_timeout=1s", "kv_connect_timeout=2s"], o::first_hang_up),
    ("resolve_timeout", ["resolve_timeout=1s", "resolve_timeout=5s"], o::bootstrap_by_a_slow_name),
    ("kv_timeout", ["kv_timeout=1s", "kv_timeout=2s"], o::end_of_a_get),
    ("kv_durable_timeout", ["kv_durable_timeout=3s", "kv_durable_timeout=4s"], o::end_of_a_durable_write),
    ("disconnect_timeout", ["disconnect_timeout=1ms", "disconnect_timeout=400ms"], o::close_with_a_get_under_way),
    ("enable_tls", ["enable_tls=false", "enable_tls=true"], o::seeds),
    ("network", ["network=default", "network=external"], o::dialled_of_two_networks),
    ("enable_dns_srv", ["enable_dns_srv=true", "enable_dns_srv=false"], o::srv_query),
    ("ip_protocol", ["ip_protocol=force_ipv4", "ip_protocol=force_ipv6"], o::dialled_by_name),
    ("preserve_bootstrap_nodes_order",
        ["preserve_bootstrap_nodes_order=true", "preserve_bootstrap_nodes_order=false"], o::first_seeds),
    ("config_poll_interval",
        ["config_poll_interval=1s&enable_clustermap_notification=false",
         "config_poll_interval=5s&enable_clustermap_notification=false"], o::maps_asked_for),
    ("config_poll_floor",
        ["config_poll_interval=100ms&enable_clustermap_notification=false&config_poll_floor=50ms",
         "config_poll_interval=100ms&enable_clustermap_notification=false&config_poll_floor=5s"], o::maps_asked_for),
    ("config_poll_timeout", ["config_poll_timeout=1s", "config_poll_timeout=20s"], o::unanswered_maps),
    ("config_safety_interval", ["config_safety_interval=1s", "config_safety_interval=15s"], o::maps_asked_for),
    ("enable_clustermap_notification",
        ["enable_clustermap_notification=true", "enable_clustermap_notification=false"], o::hello),
    ("enable_tcp_keep_alive", ["enable_tcp_keep_alive=true", "enable_tcp_keep_alive=false"], o::dial),
    ("tcp_keep_alive_interval", ["tcp_keep_alive_interval=10s", "tcp_keep_alive_interval=20s"], o::dial),
    ("tcp_nodelay", ["tcp_nodelay=true", "tcp_nodelay=false"], o::dial),
    ("kv_keep_alive_interval", ["kv_keep_alive_interval=5s", "kv_keep_alive_interval=0"], o::noops),
    ("server_wait_backoff", ["server_wait_backoff=200ms", "server_wait_backoff=30s"], o::dials_of_a_dead_node),
    ("user_agent_extra", ["user_agent_extra=one", "user_agent_extra=two"], o::hello),
    ("allow_enterprise_analytics",
        ["allow_enterprise_analytics=false", "allow_enterprise_analytics=true"], o::bootstrap_of_analytics),
    ("enable_mutation_tokens", ["enable_mutation_tokens=true", "enable_mutation_tokens=false"], o::hello),
    ("enable_unordered_execution",
        ["enable_unordered_execution=true", "enable_unordered_execution=false"], o::hello),
    ("enable_server_durations", ["enable_server_durations=true", "enable_server_durations=false"], o::hello),
    ("enable_collections", ["enable_collections=true", "enable_collections=false"], o::hello),
    ("enable_compression", ["enable_compression=true", "enable_compression=false"], o::hello),
    ("compression_mode", ["compression_mode=both", "compression_mode=deflate_only"], o::hello),
    ("compression_mode", ["compression_mode=both", "compression_mode=inflate_only"], o::bytes_of_a_write),
    ("compression_mode", ["compression_mode=deflate_only", "compression_mode=inflate_only"], o::bytes_of_a_write),
    ("compression_mode",
        ["compression_min_size=4k&compression_mode=both", "compression_min_size=4k&compression_mode=force"],
        o::bytes_of_a_write),
    ("compression_min_size", ["compression_min_size=32", "compression_min_size=4k"], o::bytes_of_a_write),
    ("compression_min_ratio", ["compression_min_ratio=0.83", "compression_min_ratio=0.001"], o::bytes_of_a_write),
    ("allowed_sasl_mechanisms",
        ["allowed_sasl_mechanisms=SCRAM-SHA1", "allowed_sasl_mechanisms=SCRAM-SHA256"], o::handshake),
    ("scram_max_iterations", ["scram_max_iterations=4096", "scram_max_iterations=8192"], o::login_of_5000_iterations),
    ("dump_configuration", ["dump_configuration=false", "dump_configuration=true"], o::maps_in_the_log),
    ("max_requests_in_retry", ["max_requests_in_retry=2", "max_requests_in_retry=7"], o::gets_given_up),
    ("bootstrap_on", ["bootstrap_on=cccp", "bootstrap_on=http"], o::dialled_of_a_seed),
    ("http_connect_timeout", ["http_connect_timeout=1s", "http_connect_timeout=2s"], o::first_hang_up_of_http),
    ("config_idle_redial_timeout",
        ["config_idle_redial_timeout=1m", "config_idle_redial_timeout=4m"], o::dials_of_a_silent_stream),
    ("http_retry_delay", ["http_retry_delay=1s", "http_retry_delay=20s"], o::dials_of_a_stream_that_is_refused),
    ("num_kv_connections", ["num_kv_connections=1", "num_kv_connections=3"], o::connections),
    ("enable_lazy_connections", ["enable_lazy_connections=false", "enable_lazy_connections=true"], o::connections),
    ("max_queue_size", ["max_queue_size=2", "max_queue_size=7"], o::gets_turned_away),
    ("server_group", ["server_group=Group%201", "server_group=elsewhere"], o::groups_in_the_log),
    ("tcp_user_timeout", ["tcp_user_timeout=5s", "tcp_user_timeout=0"], o::dial),
];

/// Cases of a build with TLS.
#[cfg(feature = "tls-core")]
#[rustfmt::skip]
const SECURE: &[Case] = &[
    ("trust_certificate", ["trust_certificate=ca.pem", "trust_certificate=strange-ca.pem"], s::connect),
    ("certificate_path",
        ["trust_certificate=ca.pem&key_path=user.key&certificate_path=user.pem",
         "trust_certificate=ca.pem&key_path=user.key&certificate_path=stranger.pem"], s::connect),
    ("key_path",
        ["trust_certificate=ca.pem&certificate_path=user.pem&key_path=user.key",
         "trust_certificate=ca.pem&certificate_path=user.pem&key_path=stranger.key"], s::connect),
    ("tls_verify", ["tls_verify=peer", "tls_verify=none"], s::connect),
    ("tls_verify_hostname",
        ["trust_certificate=ca.pem&tls_verify_hostname=true", "trust_certificate=ca.pem&tls_verify_hostname=false"],
        s::connect_by_another_name),
    ("tls_disable_v1_2",
        ["trust_certificate=ca.pem&tls_disable_v1_2=false", "trust_certificate=ca.pem&tls_disable_v1_2=true"],
        s::connect_by_1_2),
    ("disable_mozilla_ca_certificates",
        ["disable_mozilla_ca_certificates=false", "disable_mozilla_ca_certificates=true"], s::mozilla_in_the_log),
    ("dns_srv_timeout", ["dns_srv_timeout=300ms", "dns_srv_timeout=700ms"], s::first_dial_without_an_answer),
];
#[cfg(not(feature = "tls-core"))]
const SECURE: &[Case] = &[];

/// Options that wait for a part of the engine. Those that have a case leave the list once it shows a difference,
/// which a test sees to. It has to be empty where nothing is under construction.
const AWAITED: &[&str] = &[];

/// Options that are seen in log lines alone.
const LOGGED: &[&str] = &["server_group", "disable_mozilla_ca_certificates"];

#[test]
fn opt_1_every_option_steers_something_or_says_that_it_does_not() {
    let mut wrong = Vec::new();
    for entry in registry() {
        let has_case = CASES.iter().chain(SECURE).any(|(name, ..)| *name == entry.name);
        let is_awaited = AWAITED.contains(&entry.name);
        match entry.availability {
            Availability::Active if !has_case && !is_awaited => {
                wrong.push(format!("{} has no case", entry.name));
            }
            Availability::Active => {}
            Availability::Ignored(_) | Availability::DefaultOnly(_) if entry.needs.is_some() => {
                // A build without the feature: it is reported, whatever cases there are.
                wrong.extend(unreported(entry));
            }
            _ if has_case || is_awaited => wrong.push(format!("{} has a case and no effect", entry.name)),
            _ => wrong.extend(unreported(entry)),
        }
    }
    let known = |name: &str| registry().any(|entry| entry.name == name);
    wrong.extend(
        CASES.iter().filter(|(name, ..)| !known(name)).map(|(name, ..)| format!("{name} is unknown")),
    );
    wrong.extend(AWAITED.iter().filter(|name| !known(name)).map(|name| format!("{name} is unknown")));
    assert_eq!(wrong, [""; 0]);
}

/// An option without effect, if setting it is not reported with its reason.
fn unreported(entry: &options::Entry) -> Option<String> {
    let (Availability::Ignored(reason) | Availability::DefaultOnly(reason)) = entry.availability else {
        return None;
    };
    // Of all these texts some are values of the option, and one of them is not its default.
    let texts = ["2s", "7", "true", "false", "none", "text"];
    let value = |text: &&&str| entry.syntax.read(text).is_some_and(|value| value != entry.default_value());
    let Some(text) = texts.iter().find(value) else {
        return Some(format!("{}: no value to try", entry.name));
    };
    let beside = match entry.name {
        "certificate_path" => "&key_path=k.pem",
        "key_path" => "&certificate_path=c.pem",
        _ => "",
    };
    let text = format!("couchbases://h?{}={text}{beside}", entry.name);
    let connstr = connstr::parse(&text).expect("a connection string");
    let told = match options::resolve(&connstr, Options::default()) {
        Ok(resolved) => resolved.warnings,
        Err(error) => return Some(format!("{}: {error}", entry.name)),
    };
    let is_told = told.iter().any(|warning| {
        warning.kind == WarningKind::IgnoredOption && warning.subject == entry.name && warning.text == reason
    });
    (!is_told).then(|| format!("{text}: an option is dropped in silence: {told:?}"))
}

#[test]
fn opt_1_two_settings_differ_in_what_is_seen() {
    let active = |name: &str| {
        let can_be_seen = cfg!(feature = "tracing") || !LOGGED.contains(&name);
        let is_active = |entry: &options::Entry| matches!(entry.availability, Availability::Active);
        can_be_seen && registry().any(|entry| entry.name == name && is_active(entry))
    };
    let mut wrong = Vec::new();
    for (name, settings, observe) in CASES.iter().chain(SECURE).filter(|(name, ..)| active(name)) {
        let [one, two] = settings.map(observe);
        match (one == two, AWAITED.contains(name)) {
            (true, false) => wrong.push(format!("{name}: {settings:?} give {one}")),
            (false, true) => {
                wrong.push(format!("{name} works, so that nobody waits for it: {one} and {two}"))
            }
            _ => {}
        }
        // What is seen comes of the setting alone; real time never repeats.
        if *name != "disconnect_timeout" {
            assert_eq!(observe(settings[0]), one, "{name}");
        }
    }
    assert_eq!(wrong, [""; 0]);
}
