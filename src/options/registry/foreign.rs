//! Names of other clients that no option of ours corresponds to one to one (spec 2.5, 2.6).

use super::Origin::{Cxx, Go, Java, Libcouchbase, Python};
use super::{Entry, Origin, Owner, SPAN};
use crate::options::value::Syntax;

/// A name of other clients whose values are settings of one or more options.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Translation {
    /// The name.
    pub name: &'static str,
    /// Whose name it is.
    pub origins: &'static [Origin],
    /// The name to write in its place, if it is deprecated.
    pub deprecated_for: Option<&'static str>,
    /// The words that may stand as its value. A word without settings has no effect.
    pub words: &'static [Word],
}

/// The spellings of a word, and the settings (canonical name and value) that it makes.
pub type Word = (&'static [&'static str], &'static [(&'static str, &'static str)]);

const ON: &[&str] = &["true", "on", "yes", "1"];
const OFF: &[&str] = &["false", "off", "no", "0"];

pub(super) const TRANSLATIONS: &[Translation] = &[
    // libcouchbase; OPT-12.
    Translation {
        name: "ssl",
        origins: &[Libcouchbase],
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
        origins: &[Libcouchbase],
        deprecated_for: None,
        words: &[
            (&["allow"], &[("ip_protocol", "any")]),
            (&["disabled"], &[("ip_protocol", "force_ipv4")]),
            (&["only"], &[("ip_protocol", "force_ipv6")]),
        ],
    },
    Translation {
        name: "force_ipv4",
        origins: &[Cxx, Python],
        deprecated_for: Some("ip_protocol"),
        words: &[(ON, &[("ip_protocol", "force_ipv4")]), (OFF, &[])],
    },
    // libcouchbase and gocbcore; OPT-14.
    Translation {
        name: "compression",
        origins: &[Libcouchbase, Go, Python],
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
        origins: &[Java],
        deprecated_for: None,
        words: &[(ON, &[("tls_verify", "peer")]), (OFF, &[("tls_verify", "none")])],
    },
];

/// Settings of the Java client that are recognised by their prefix and have no effect.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Group {
    /// What their names begin with.
    pub prefix: &'static str,
    /// What may follow, with syntax and default; anything if it is empty.
    pub members: &'static [(&'static str, Syntax, &'static str)],
    /// Why they have no effect.
    pub reason: &'static str,
}

impl Group {
    /// The syntax of the value under this name; `None` if it is not a name of this group.
    pub(crate) fn syntax_of(&self, name: &str) -> Option<Syntax> {
        let rest = name.strip_prefix(self.prefix)?;
        match self.members {
            [] => (!rest.is_empty()).then_some(ANYTHING),
            members => members.iter().find(|(member, ..)| *member == rest).map(|(_, syntax, _)| *syntax),
        }
    }
}

const BREAKER: &[(&str, Syntax, &str)] = &[
    ("enabled", Syntax::Bool, "true"),
    ("volumeThreshold", Syntax::Integer { min: 0, max: u32::MAX as u64 }, "20"),
    ("errorThresholdPercentage", Syntax::Integer { min: 0, max: 100 }, "50"),
    ("sleepWindow", SPAN, "5s"),
    ("rollingWindow", SPAN, "1m"),
];

pub(super) const GROUPS: &[Group] = &[
    breaker("io.kvCircuitBreaker."),
    breaker("io.queryCircuitBreaker."),
    breaker("io.viewCircuitBreaker."),
    breaker("io.searchCircuitBreaker."),
    breaker("io.analyticsCircuitBreaker."),
    breaker("io.managerCircuitBreaker."),
    breaker("io.eventingCircuitBreaker."),
    reports("thresholdLoggingTracer.", "threshold and orphan reports are not part of this build"),
    reports("orphanReporter.", "threshold and orphan reports are not part of this build"),
    reports("loggingMeter.", "the logging meter is not part of this build"),
    reports("logger.", "log output is the matter of the program's tracing subscriber"),
];

const fn breaker(prefix: &'static str) -> Group {
    Group { prefix, members: BREAKER, reason: "circuit breakers are not part of this build" }
}

const fn reports(prefix: &'static str, reason: &'static str) -> Group {
    Group { prefix, members: &[], reason }
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("strict_options", Syntax::Bool, "false", "whether an unknown parameter is an error")
        .owner(Owner::Client)
        .ignored("it is a typed setting only: a connection string cannot make itself strict"),
    lcb("durability_interval", "time between two checks of durability by observation"),
    lcb("retry_policy", "which operations are tried again after which errors"),
    lcb("http_urlmode", "whether redirected HTTP requests may leave their host"),
    lcb("retry_interval", "the pause before an operation is tried again"),
    lcb("detailed_errcodes", "whether errors are told apart in detail"),
    lcb("error_thresh_count", "the number of network errors after which the map is asked for"),
    lcb("error_thresh_delay", "the time in which network errors are counted"),
    lcb("config_cache", "a file in which the cluster map is kept"),
    lcb("config_cache_ro", "a file with a cluster map that is only read"),
    lcb("retry_nmv_imm", "whether an operation sent to the wrong node is tried again at once"),
    lcb("retry_nmv_delay", "the pause before an operation sent to the wrong node is tried again"),
    lcb("vb_noremap", "whether the client leaves the routes of its map as they are"),
    lcb("wait_for_config", "whether connections are kept until the first map"),
    lcb("enable_errmap", "whether the server's error map is asked for"),
    lcb("persistence_timeout_floor", "the least time-out of durable writes"),
    lcb("allow_static_config", "whether a memcached server without a cluster map is accepted"),
    lcb("query_grace_period", "time added to the time-out of queries"),
    lcb("read_chunk_size", "the size of one read from a socket"),
    lcb("select_bucket", "whether the bucket is selected on each connection"),
    lcb("console_log_level", "how much is logged to the console"),
    lcb("console_log_file", "the file for the console's log"),
    lcb("use_credentials_with_client_certificate", "whether a password is sent beside a certificate"),
    go("dcp_priority", "the priority of change streams"),
    go("enable_dcp_expiry", "whether change streams tell expiry from deletion"),
    go("enable_resource_units", "whether the server reports resource units"),
    go("kv_buffer_size", "the size of a connection's read buffer"),
    go("max_idle_http_connections", "unused HTTP connections that are kept"),
    go("orphaned_response_logging", "whether orphaned responses are reported"),
];

const fn lcb(name: &'static str, help: &'static str) -> Entry {
    Entry::new(name, ANYTHING, "", help).owner(Owner::Client).ignored("it is a setting of libcouchbase alone")
}

const fn go(name: &'static str, help: &'static str) -> Entry {
    Entry::new(name, ANYTHING, "", help)
        .owner(Owner::Client)
        .ignored("it is a setting of the Go client alone")
}

/// Settings without a counterpart keep their own syntax.
const ANYTHING: Syntax = Syntax::Anything;
