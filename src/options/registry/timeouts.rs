//! Time-outs and the profile (spec 2.3).

use super::{Entry, NO_POOL, NO_SCAN, NO_SERVICE, Owner, SPAN, active, by, java, lcb, python};
use crate::options::registry::Origin::{Cxx, Libcouchbase, Python};
use crate::options::value::Syntax;

pub(super) const ENTRIES: &[Entry] = &[
    active!(
        profile,
        Syntax::Choice(&[("wan_development", "wan_development"), ("wan-development", "wan_development")]),
        "",
        "the named set of defaults that is applied before all other settings"
    ),
    active!(bootstrap_timeout, SPAN, "10s", "the whole first connect of a cluster or bucket")
        .profile("120s")
        .aliases(&[lcb("config_total_timeout").unit_needed()]),
    active!(kv_connect_timeout, SPAN, "10s", "TCP, TLS and handshake of one KV connection")
        .profile("20s")
        .aliases(&[
            python("connect_timeout"),
            lcb("config_node_timeout").unit_needed(),
            java("timeout.connectTimeout"),
        ]),
    active!(resolve_timeout, SPAN, "2s", "the look-up of a host name's addresses").profile("20s"),
    active!(dns_srv_timeout, SPAN, "500ms", "one SRV query").profile("20s"),
    active!(kv_timeout, SPAN, "2500ms", "operations on one document").profile("20s").aliases(&[
        by(&[Cxx, Python], "key_value_timeout"),
        lcb("operation_timeout").unit_needed(),
        lcb("timeout").unit_needed(),
        java("timeout.kvTimeout"),
    ]),
    active!(kv_durable_timeout, SPAN, "10s", "durable writes; the server's own limit is 65 s")
        .profile("20s")
        .aliases(&[
            by(&[Cxx, Python], "key_value_durable_timeout"),
            lcb("durability_timeout").unit_needed(),
            java("timeout.kvDurableTimeout"),
        ]),
    service("kv_scan_timeout", "range scans").ignored(NO_SCAN).aliases(&[java("timeout.kvScanTimeout")]),
    service("query_timeout", "query requests").aliases(&[java("timeout.queryTimeout")]),
    service("analytics_timeout", "analytics requests").aliases(&[java("timeout.analyticsTimeout")]),
    service("search_timeout", "search requests").aliases(&[java("timeout.searchTimeout")]),
    service("view_timeout", "view requests")
        .aliases(&[by(&[Python, Libcouchbase], "views_timeout"), java("timeout.viewTimeout")]),
    service("management_timeout", "management requests")
        .aliases(&[lcb("http_timeout").unit_needed(), java("timeout.managementTimeout")]),
    service("eventing_timeout", "eventing requests").aliases(&[java("timeout.eventingTimeout")]),
    active!(disconnect_timeout, SPAN, "10s", "how long operations under way may take to end on close")
        .aliases(&[java("timeout.disconnectTimeout")]),
    active!(
        http_connect_timeout,
        SPAN,
        "",
        "TCP and TLS of one HTTP connection; where it is not set, kv_connect_timeout counts"
    )
    .profile("20s"),
    Entry::new("idle_http_connection_timeout", SPAN, "1s", "how long an unused HTTP connection is kept")
        .ignored(NO_POOL)
        .aliases(&[lcb("http_pool_timeout").unit_needed(), java("io.idleHttpConnectionTimeout")]),
];

const fn service(name: &'static str, help: &'static str) -> Entry {
    Entry::new(name, SPAN, "75s", help).profile("120s").owner(Owner::Client).ignored(NO_SERVICE)
}
