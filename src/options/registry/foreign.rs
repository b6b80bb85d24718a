//! Names of other clients that no option of ours corresponds to one to one (spec 2.5, 2.6).

use super::{Entry, Owner};
use crate::options::value::Syntax;

/// A name whose values are settings of one or more options.
#[derive(Debug)]
pub(crate) struct Translation {
    pub(crate) name: &'static str,
    /// The name to write in its place, if it is deprecated.
    pub(crate) deprecated_for: Option<&'static str>,
    /// A word without settings has no effect.
    pub(crate) words: &'static [Word],
}

/// The spellings of a word, and the settings (canonical name and value) that it makes.
type Word = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const ON: &[&str] = &["true", "on", "yes", "1"];
const OFF: &[&str] = &["false", "off", "no", "0"];

pub(crate) const TRANSLATIONS: &[Translation] = &[
    // libcouchbase; OPT-12.
    Translation {
        name: "ssl",
        deprecated_for: None,
        words: &[
            (ON, &[("enable_tls", "true")]),
            (OFF, &[("enable_tls", "false")]),
            (&["no_verify"], &[("tls_verify", "none")]),
            (&["no_global_init"], &[]),
        ],
    },
    // libcouchbase.
    Translation {
        name: "ipv6",
        deprecated_for: None,
        words: &[
            (&["allow"], &[("ip_protocol", "any")]),
            (&["disabled"], &[("ip_protocol", "force_ipv4")]),
            (&["only"], &[("ip_protocol", "force_ipv6")]),
        ],
    },
    Translation {
        name: "force_ipv4",
        deprecated_for: Some("ip_protocol"),
        words: &[(ON, &[("ip_protocol", "force_ipv4")]), (OFF, &[])],
    },
    // libcouchbase and gocbcore; OPT-14.
    Translation {
        name: "compression",
        deprecated_for: None,
        words: &[
            (ON, &[("enable_compression", "true")]),
            (OFF, &[("enable_compression", "false")]),
            (&["inflate_only"], &[("enable_compression", "true"), ("compression_mode", "inflate_only")]),
            (&["deflate_only"], &[("enable_compression", "true"), ("compression_mode", "deflate_only")]),
            (&["force"], &[("enable_compression", "true"), ("compression_mode", "force")]),
        ],
    },
    // The Java client's switch; ours has words.
    Translation {
        name: "security.enableCertificateVerification",
        deprecated_for: None,
        words: &[(ON, &[("tls_verify", "peer")]), (OFF, &[("tls_verify", "none")])],
    },
];

/// Settings of the Java client that are recognised by their prefix and have no effect.
#[derive(Debug)]
pub(crate) struct Family {
    prefix: &'static str,
    suffixes: &'static [&'static str],
    pub(crate) reason: &'static str,
}

impl Family {
    pub(crate) fn covers(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix).is_some_and(|rest| match self.suffixes {
            [] => !rest.is_empty(),
            suffixes => suffixes.contains(&rest),
        })
    }
}

const BREAKER: &[&str] =
    &["enabled", "volumeThreshold", "errorThresholdPercentage", "sleepWindow", "rollingWindow"];
const NO_BREAKER: &str = "circuit breakers are not part of this build";
const NO_REPORTER: &str = "threshold and orphan reports are not part of this build";

pub(crate) const FAMILIES: &[Family] = &[
    Family { prefix: "io.kvCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.queryCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.viewCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.searchCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.analyticsCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.managerCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "io.eventingCircuitBreaker.", suffixes: BREAKER, reason: NO_BREAKER },
    Family { prefix: "thresholdLoggingTracer.", suffixes: &[], reason: NO_REPORTER },
    Family { prefix: "orphanReporter.", suffixes: &[], reason: NO_REPORTER },
    Family { prefix: "loggingMeter.", suffixes: &[], reason: "the logging meter is not part of this build" },
    Family {
        prefix: "logger.",
        suffixes: &[],
        reason: "log output is the matter of the program's tracing subscriber",
    },
];

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("strict_options", Syntax::Bool, "false")
        .owner(Owner::Client)
        .ignored("it is a typed setting only: a connection string cannot make itself strict"),
    lcb("durability_interval"),
    lcb("retry_policy"),
    lcb("http_urlmode"),
    lcb("retry_interval"),
    lcb("detailed_errcodes"),
    lcb("error_thresh_count"),
    lcb("error_thresh_delay"),
    lcb("config_cache"),
    lcb("config_cache_ro"),
    lcb("retry_nmv_imm"),
    lcb("retry_nmv_delay"),
    lcb("vb_noremap"),
    lcb("wait_for_config"),
    lcb("enable_errmap"),
    lcb("persistence_timeout_floor"),
    lcb("allow_static_config"),
    lcb("query_grace_period"),
    lcb("read_chunk_size"),
    lcb("select_bucket"),
    lcb("console_log_level"),
    lcb("console_log_file"),
    lcb("use_credentials_with_client_certificate"),
    go("dcp_priority"),
    go("enable_dcp_expiry"),
    go("enable_resource_units"),
    go("kv_buffer_size"),
    go("max_idle_http_connections"),
    go("orphaned_response_logging"),
];

const fn lcb(name: &'static str) -> Entry {
    Entry::new(name, ANYTHING, "").owner(Owner::Client).ignored("it is a setting of libcouchbase alone")
}

const fn go(name: &'static str) -> Entry {
    Entry::new(name, ANYTHING, "").owner(Owner::Client).ignored("it is a setting of the Go client alone")
}

/// Settings without a counterpart keep their own syntax.
const ANYTHING: Syntax = Syntax::Anything;
