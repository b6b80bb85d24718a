//! KV features, compression, security, observability (spec 2.5).

use super::{Entry, NO_TLS, Owner, SPAN, active, blanks, inverse, same, unit_needed};
use crate::options::value::Syntax;

const NO_TRACING: &str = "threshold and orphan reports are not part of this build";
const NO_METRICS: &str = "the logging meter is not part of this build";
const NO_TELEMETRY: &str = "application telemetry is not part of this build";
const ANY_COUNT: Syntax = Syntax::Integer { min: 0, max: u32::MAX as u64 };

pub(super) const ENTRIES: &[Entry] = &[
    active!(enable_mutation_tokens, Syntax::Bool, "true")
        .aliases(&[same("io.enableMutationTokens"), same("io.mutationTokensEnabled")]),
    active!(enable_unordered_execution, Syntax::Bool, "true").aliases(&[same("unordered_execution_enabled")]),
    active!(enable_server_durations, Syntax::Bool, "true"),
    active!(enable_collections, Syntax::Bool, "true"),
    active!(enable_compression, Syntax::Bool, "true").aliases(&[same("compression.enable")]),
    active!(
        compression_mode,
        Syntax::Choice(&[
            ("both", "both"),
            ("inflate_only", "inflate_only"),
            ("deflate_only", "deflate_only"),
            ("force", "force"),
        ]),
        "both"
    )
    .default_only("compression works in both directions where the server grants it"),
    active!(compression_min_size, Syntax::Size, "32").aliases(&[same("compression.minSize")]),
    active!(compression_min_ratio, Syntax::Ratio, "0.83").aliases(&[same("compression.minRatio")]),
    active!(trust_certificate, Syntax::List, "").owner(Owner::Tls).ignored(NO_TLS).aliases(&[
        same("trust_store_path"),
        same("truststorepath"),
        same("security.trustCertificate"),
        same("ca_cert_path"),
    ]),
    active!(certificate_path, Syntax::Text, "").owner(Owner::Tls).ignored(NO_TLS),
    active!(key_path, Syntax::Text, "").owner(Owner::Tls).ignored(NO_TLS).aliases(&[same("keypath")]),
    active!(tls_verify, Syntax::Choice(&[("peer", "peer"), ("none", "none"), ("no_verify", "none")]), "peer")
        .owner(Owner::Tls)
        .ignored(NO_TLS),
    active!(tls_verify_hostname, Syntax::Bool, "true")
        .owner(Owner::Tls)
        .ignored(NO_TLS)
        .aliases(&[same("security.enableHostnameVerification")]),
    Entry::new("disable_mozilla_ca_certificates", Syntax::Bool, "false").owner(Owner::Tls).ignored(NO_TLS),
    Entry::new("tls_disable_v1_2", Syntax::Bool, "false").owner(Owner::Tls).ignored(NO_TLS),
    Entry::new("tls_disable_deprecated_protocols", Syntax::Bool, "true")
        .owner(Owner::Tls)
        .ignored("TLS 1.0 and 1.1 are never offered"),
    active!(allowed_sasl_mechanisms, Syntax::List, "").aliases(&[blanks("sasl_mech_force")]),
    active!(scram_max_iterations, Syntax::Integer { min: 4096, max: u32::MAX as u64 }, "1000000"),
    tracing("enable_tracing", Syntax::Bool, "true").aliases(&[same("thresholdLoggingTracer.enabled")]),
    Entry::new("enable_metrics", Syntax::Bool, "true")
        .owner(Owner::Client)
        .ignored(NO_METRICS)
        .aliases(&[same("metrics"), same("loggingMeter.enabled")]),
    Entry::new("show_queries", Syntax::Bool, "false").owner(Owner::Client).ignored(super::NO_SERVICE),
    tracing("tracing_threshold_kv", SPAN, "500ms").aliases(&[same("thresholdLoggingTracer.kvThreshold")]),
    tracing("tracing_threshold_query", SPAN, "1s").aliases(&[same("thresholdLoggingTracer.queryThreshold")]),
    tracing("tracing_threshold_search", SPAN, "1s")
        .aliases(&[same("thresholdLoggingTracer.searchThreshold")]),
    tracing("tracing_threshold_analytics", SPAN, "1s")
        .aliases(&[same("thresholdLoggingTracer.analyticsThreshold")]),
    tracing("tracing_threshold_view", SPAN, "1s").aliases(&[same("thresholdLoggingTracer.viewThreshold")]),
    tracing("tracing_threshold_eventing", SPAN, "1s")
        .aliases(&[same("thresholdLoggingTracer.eventingThreshold")]),
    tracing("tracing_threshold_management", SPAN, "1s")
        .aliases(&[same("thresholdLoggingTracer.managementThreshold")]),
    tracing("tracing_threshold_queue_size", ANY_COUNT, "10")
        .aliases(&[same("thresholdLoggingTracer.sampleSize")]),
    tracing("tracing_threshold_flush_interval", SPAN, "10s")
        .aliases(&[same("thresholdLoggingTracer.emitInterval")]),
    tracing("tracing_orphaned_queue_size", ANY_COUNT, "10")
        .aliases(&[same("orphanReporter.sampleSize"), same("orphaned_response_logging_sample_size")]),
    tracing("tracing_orphaned_flush_interval", SPAN, "10s")
        .aliases(&[same("orphanReporter.emitInterval"), same("orphaned_response_logging_interval")]),
    Entry::new("logging_meter_emit_interval", SPAN, "600s")
        .owner(Owner::Client)
        .ignored(NO_METRICS)
        .aliases(&[unit_needed("operation_metrics_flush_interval"), same("loggingMeter.emitInterval")]),
    telemetry("enable_app_telemetry", Syntax::Bool, "true")
        .aliases(&[inverse("disableAppTelemetry"), inverse("disable_app_telemetry")]),
    telemetry("app_telemetry_endpoint", Syntax::Text, "").aliases(&[same("appTelemetryEndpoint")]),
    telemetry("app_telemetry_backoff", SPAN, "1h"),
    telemetry("app_telemetry_ping_interval", SPAN, "30s"),
    telemetry("app_telemetry_ping_timeout", SPAN, "2s"),
    active!(log_redaction, Syntax::Bool, "false").aliases(&[same("redaction")]),
    active!(dump_configuration, Syntax::Bool, "false"),
    Entry::new("max_requests_in_retry", ANY_COUNT, "32768")
        .ignored("operations in retry are bounded by max_queue_size alone")
        .aliases(&[same("maxNumRequestsInRetry")]),
];

const fn tracing(name: &'static str, syntax: Syntax, default: &'static str) -> Entry {
    Entry::new(name, syntax, default).owner(Owner::Client).ignored(NO_TRACING)
}

const fn telemetry(name: &'static str, syntax: Syntax, default: &'static str) -> Entry {
    Entry::new(name, syntax, default).owner(Owner::Client).ignored(NO_TELEMETRY)
}
