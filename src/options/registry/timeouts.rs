//! Time-outs and the profile (spec 2.3).

use super::{Entry, NO_HTTP, NO_SERVICE, Owner, SPAN, active, same, unit_needed};
use crate::options::value::Syntax;

pub(super) const ENTRIES: &[Entry] = &[
    active!(
        profile,
        Syntax::Choice(&[("wan_development", "wan_development"), ("wan-development", "wan_development")]),
        ""
    ),
    active!(bootstrap_timeout, SPAN, "10s").profile("120s").aliases(&[unit_needed("config_total_timeout")]),
    active!(kv_connect_timeout, SPAN, "10s").profile("20s").aliases(&[
        same("connect_timeout"),
        unit_needed("config_node_timeout"),
        same("timeout.connectTimeout"),
    ]),
    active!(resolve_timeout, SPAN, "2s").profile("20s"),
    active!(dns_srv_timeout, SPAN, "500ms")
        .profile("20s")
        .ignored("SRV records are not looked up by this build"),
    active!(kv_timeout, SPAN, "2500ms").profile("20s").aliases(&[
        same("key_value_timeout"),
        unit_needed("operation_timeout"),
        unit_needed("timeout"),
        same("timeout.kvTimeout"),
    ]),
    active!(kv_durable_timeout, SPAN, "10s").profile("20s").aliases(&[
        same("key_value_durable_timeout"),
        unit_needed("durability_timeout"),
        same("timeout.kvDurableTimeout"),
    ]),
    service("kv_scan_timeout", "75s").profile("120s").aliases(&[same("timeout.kvScanTimeout")]),
    service("query_timeout", "75s").profile("120s").aliases(&[same("timeout.queryTimeout")]),
    service("analytics_timeout", "75s").profile("120s").aliases(&[same("timeout.analyticsTimeout")]),
    service("search_timeout", "75s").profile("120s").aliases(&[same("timeout.searchTimeout")]),
    service("view_timeout", "75s")
        .profile("120s")
        .aliases(&[same("views_timeout"), same("timeout.viewTimeout")]),
    service("management_timeout", "75s")
        .profile("120s")
        .aliases(&[unit_needed("http_timeout"), same("timeout.managementTimeout")]),
    service("eventing_timeout", "75s").profile("120s").aliases(&[same("timeout.eventingTimeout")]),
    active!(disconnect_timeout, SPAN, "10s").aliases(&[same("timeout.disconnectTimeout")]),
    Entry::new("http_connect_timeout", SPAN, "").profile("20s").ignored(NO_HTTP),
    Entry::new("idle_http_connection_timeout", SPAN, "1s")
        .ignored(NO_HTTP)
        .aliases(&[unit_needed("http_pool_timeout"), same("io.idleHttpConnectionTimeout")]),
];

const fn service(name: &'static str, default: &'static str) -> Entry {
    Entry::new(name, SPAN, default).owner(Owner::Client).ignored(NO_SERVICE)
}
