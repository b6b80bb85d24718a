//! KV features, compression, security, observability (spec 2.5).

use super::{Entry, Owner, SPAN, active, by, go, java, lcb, python};
use crate::options::registry::Origin::{Libcouchbase, Python};
use crate::options::value::Syntax;

const NO_TRACING: &str = "threshold and orphan reports are not part of this build";
const NO_METRICS: &str = "the logging meter is not part of this build";
const NO_TELEMETRY: &str = "application telemetry is not part of this build";
const ANY_COUNT: Syntax = Syntax::Integer { min: 0, max: u32::MAX as u64 };

pub(super) const ENTRIES: &[Entry] = &[
    active!(enable_mutation_tokens, Syntax::Bool, "true", "whether writes return mutation tokens")
        .aliases(&[java("io.enableMutationTokens"), java("io.mutationTokensEnabled")]),
    active!(
        enable_unordered_execution,
        Syntax::Bool,
        "true",
        "whether the server may answer in another order than asked"
    )
    .aliases(&[go("unordered_execution_enabled")]),
    active!(enable_server_durations, Syntax::Bool, "true", "whether the server reports how long it took"),
    active!(enable_collections, Syntax::Bool, "true", "whether collections are negotiated"),
    active!(enable_compression, Syntax::Bool, "true", "whether compression is negotiated")
        .aliases(&[java("compression.enable")]),
    active!(
        compression_mode,
        Syntax::Choice(&[
            ("both", "both"),
            ("inflate_only", "inflate_only"),
            ("deflate_only", "deflate_only"),
            ("force", "force"),
        ]),
        "both",
        "which directions of the traffic are compressed; force: every value that shrinks at all"
    ),
    active!(compression_min_size, Syntax::Size, "32", "the size from which values are compressed, in bytes")
        .aliases(&[java("compression.minSize")]),
    active!(
        compression_min_ratio,
        Syntax::Ratio,
        "0.83",
        "the part of its size to which a value has to shrink to be sent compressed"
    )
    .aliases(&[java("compression.minRatio")]),
    tls(active!(
        trust_certificate,
        Syntax::List,
        "",
        "PEM files with the only certificates to trust; where it is not set, the default trust set"
    ))
    .aliases(&[
        python("trust_store_path"),
        by(&[Python, Libcouchbase], "truststorepath"),
        java("security.trustCertificate"),
        go("ca_cert_path"),
    ]),
    tls(active!(certificate_path, Syntax::Text, "", "PEM file with the client's certificate chain")),
    tls(active!(key_path, Syntax::Text, "", "PEM file with the client's private key"))
        .aliases(&[lcb("keypath")]),
    tls(active!(
        tls_verify,
        Syntax::Choice(&[("peer", "peer"), ("none", "none"), ("no_verify", "none")]),
        "peer",
        "whether the peer's certificate is verified"
    )),
    tls(active!(tls_verify_hostname, Syntax::Bool, "true", "whether the peer's name is verified"))
        .aliases(&[java("security.enableHostnameVerification")]),
    tls(active!(
        disable_mozilla_ca_certificates,
        Syntax::Bool,
        "false",
        "whether the Mozilla roots are left out of the default trust set"
    )),
    tls(active!(
        tls_disable_v1_2,
        Syntax::Bool,
        "",
        "whether TLS 1.3 alone is offered; where it is not set, on Capella only"
    )),
    Entry::new(
        "tls_disable_deprecated_protocols",
        Syntax::Bool,
        "true",
        "whether TLS 1.0 and 1.1 are left out",
    )
    .owner(Owner::Tls)
    .ignored("TLS 1.0 and 1.1 are never offered"),
    active!(
        allowed_sasl_mechanisms,
        Syntax::List,
        "",
        "the only SASL mechanisms that may be used; where it is not set, by security mode"
    )
    .aliases(&[lcb("sasl_mech_force").blanks()]),
    active!(
        scram_max_iterations,
        Syntax::Integer { min: 4096, max: u32::MAX as u64 },
        "1000000",
        "the most SCRAM iterations that a server may ask for"
    ),
    tracing("enable_tracing", Syntax::Bool, "true", "reports of slow and orphaned operations")
        .aliases(&[java("thresholdLoggingTracer.enabled")]),
    Entry::new("enable_metrics", Syntax::Bool, "true", "the logging meter")
        .owner(Owner::Client)
        .ignored(NO_METRICS)
        .aliases(&[lcb("metrics"), java("loggingMeter.enabled")]),
    Entry::new("show_queries", Syntax::Bool, "false", "whether statements of queries are logged")
        .owner(Owner::Client)
        .ignored(super::NO_SERVICE),
    threshold("tracing_threshold_kv", "500ms").aliases(&[java("thresholdLoggingTracer.kvThreshold")]),
    threshold("tracing_threshold_query", "1s").aliases(&[java("thresholdLoggingTracer.queryThreshold")]),
    threshold("tracing_threshold_search", "1s").aliases(&[java("thresholdLoggingTracer.searchThreshold")]),
    threshold("tracing_threshold_analytics", "1s")
        .aliases(&[java("thresholdLoggingTracer.analyticsThreshold")]),
    threshold("tracing_threshold_view", "1s").aliases(&[java("thresholdLoggingTracer.viewThreshold")]),
    threshold("tracing_threshold_eventing", "1s")
        .aliases(&[java("thresholdLoggingTracer.eventingThreshold")]),
    threshold("tracing_threshold_management", "1s")
        .aliases(&[java("thresholdLoggingTracer.managementThreshold")]),
    tracing("tracing_threshold_queue_size", ANY_COUNT, "10", "slow operations kept per report")
        .aliases(&[java("thresholdLoggingTracer.sampleSize")]),
    tracing("tracing_threshold_flush_interval", SPAN, "10s", "time between two reports of slow operations")
        .aliases(&[java("thresholdLoggingTracer.emitInterval")]),
    tracing("tracing_orphaned_queue_size", ANY_COUNT, "10", "orphaned responses kept per report")
        .aliases(&[java("orphanReporter.sampleSize"), go("orphaned_response_logging_sample_size")]),
    tracing("tracing_orphaned_flush_interval", SPAN, "10s", "time between two reports of orphaned responses")
        .aliases(&[java("orphanReporter.emitInterval"), go("orphaned_response_logging_interval")]),
    Entry::new("logging_meter_emit_interval", SPAN, "600s", "time between two reports of the logging meter")
        .owner(Owner::Client)
        .ignored(NO_METRICS)
        .aliases(&[lcb("operation_metrics_flush_interval").unit_needed(), java("loggingMeter.emitInterval")]),
    telemetry("enable_app_telemetry", Syntax::Bool, "true", "whether telemetry is sent to the cluster")
        .aliases(&[java("disableAppTelemetry").inverse(), java("disable_app_telemetry").inverse()]),
    telemetry("app_telemetry_endpoint", Syntax::Text, "", "where telemetry goes, ws:// or wss://")
        .aliases(&[java("appTelemetryEndpoint")]),
    telemetry("app_telemetry_backoff", SPAN, "1h", "the longest pause between dials of the endpoint"),
    telemetry("app_telemetry_ping_interval", SPAN, "30s", "time between two pings of the endpoint"),
    telemetry("app_telemetry_ping_timeout", SPAN, "2s", "one ping of the endpoint"),
    active!(log_redaction, Syntax::Bool, "false", "whether keys and values are marked for redaction in logs")
        .ignored("no log line holds a key or a value, so there is nothing to mark")
        .aliases(&[python("redaction")]),
    active!(dump_configuration, Syntax::Bool, "false", "whether each received cluster map is logged").needs(
        "tracing",
        cfg!(feature = "tracing"),
        "log lines are not part of this build",
    ),
    active!(
        max_requests_in_retry,
        ANY_COUNT,
        "32768",
        "operations that may wait at one time for their next attempt"
    )
    .aliases(&[java("maxNumRequestsInRetry")]),
];

const fn tls(entry: Entry) -> Entry {
    entry.owner(Owner::Tls).needs("tls", cfg!(feature = "tls-core"), "TLS is not part of this build")
}

const fn tracing(name: &'static str, syntax: Syntax, default: &'static str, help: &'static str) -> Entry {
    Entry::new(name, syntax, default, help).owner(Owner::Client).ignored(NO_TRACING)
}

const fn threshold(name: &'static str, default: &'static str) -> Entry {
    tracing(name, SPAN, default, "the time from which an operation of this service is reported as slow")
}

const fn telemetry(name: &'static str, syntax: Syntax, default: &'static str, help: &'static str) -> Entry {
    Entry::new(name, syntax, default, help).owner(Owner::Client).ignored(NO_TELEMETRY)
}
