//! Connections, topology, I/O (spec 2.4).

use super::{Entry, NO_HTTP, Owner, SPAN, SPAN_OR_OFF, active, inverse, same};
use crate::options::value::Syntax;

const AT_LEAST_ONE: Syntax = Syntax::Integer { min: 1, max: u32::MAX as u64 };
const COUNT: Syntax = Syntax::Integer { min: 0, max: u32::MAX as u64 };

pub(super) const ENTRIES: &[Entry] = &[
    active!(enable_tls, Syntax::Bool, "").owner(Owner::Tls).aliases(&[same("security.enableTls")]),
    active!(network, Syntax::Text, "auto").aliases(&[same("io.networkResolution")]),
    active!(enable_dns_srv, Syntax::Bool, "true").aliases(&[same("dnssrv"), same("io.enableDnsSrv")]),
    active!(
        ip_protocol,
        Syntax::Choice(&[("any", "any"), ("force_ipv4", "force_ipv4"), ("force_ipv6", "force_ipv6")]),
        "any"
    ),
    active!(preserve_bootstrap_nodes_order, Syntax::Bool, "false").aliases(&[inverse("randomize_nodes")]),
    Entry::new(
        "bootstrap_on",
        Syntax::Choice(&[
            ("auto", "auto"),
            ("cccp", "cccp"),
            ("http", "http"),
            ("all", "auto"),
            ("both", "auto"),
        ]),
        "auto",
    )
    .default_only("the source of the first map is chosen by the seeds' ports"),
    active!(num_kv_connections, AT_LEAST_ONE, "1")
        .default_only("one KV connection per node and bucket is made")
        .aliases(&[same("io.numKvConnections"), same("kv_pool_size")]),
    Entry::new("enable_lazy_connections", Syntax::Bool, "false")
        .default_only("connections are opened with the map"),
    active!(config_poll_interval, SPAN_OR_OFF, "2500ms").aliases(&[same("io.configPollInterval")]),
    active!(config_poll_floor, SPAN, "50ms").aliases(&[same("config_pool_floor_interval")]),
    active!(config_poll_timeout, SPAN, "2500ms"),
    active!(config_safety_interval, SPAN, "10s"),
    Entry::new("config_idle_redial_timeout", SPAN, "5m")
        .ignored(NO_HTTP)
        .aliases(&[same("io.configIdleRedialTimeout"), same("http_redial_period")]),
    Entry::new("http_retry_delay", SPAN, "4s").ignored(NO_HTTP),
    active!(enable_clustermap_notification, Syntax::Bool, "true")
        .aliases(&[same("io.configNotifications"), same("enable_cluster_config_notifications")]),
    active!(enable_tcp_keep_alive, Syntax::Bool, "true").owner(Owner::Adapter).aliases(&[
        same("tcp_keepalive"),
        same("io.enableTcpKeepAlives"),
        same("enable_tcp_keepalives"),
    ]),
    active!(tcp_keep_alive_interval, SPAN, "60s").owner(Owner::Adapter).aliases(&[
        same("io.tcpKeepAliveTime"),
        same("tcp_keepalive_time"),
        same("tcp_keep_alive_time"),
    ]),
    active!(kv_keep_alive_interval, SPAN_OR_OFF, "30s"),
    active!(tcp_nodelay, Syntax::Bool, "true").owner(Owner::Adapter),
    Entry::new("tcp_user_timeout", SPAN_OR_OFF, "20s")
        .owner(Owner::Adapter)
        .ignored("the adapters do not set this socket option")
        .aliases(&[same("io.tcpUserTimeout")]),
    Entry::new("max_http_connections", COUNT, "0").ignored(NO_HTTP).aliases(&[
        same("http_poolsize"),
        same("io.maxHttpConnections"),
        same("max_perhost_http_connections"),
    ]),
    Entry::new("max_idle_http_connections_per_host", COUNT, "")
        .ignored(NO_HTTP)
        .aliases(&[same("max_perhost_idle_http_connections")]),
    active!(max_queue_size, AT_LEAST_ONE, "2048"),
    active!(server_wait_backoff, SPAN, "4096ms"),
    Entry::new("server_group", Syntax::Text, "")
        .ignored("reads are not steered by server group")
        .aliases(&[same("preferred_server_group")]),
    active!(user_agent_extra, Syntax::Text, "").aliases(&[same("client_string")]),
    Entry::new("allow_enterprise_analytics", Syntax::Bool, "false")
        .ignored("the product type of the cluster is not checked"),
    Entry::new("num_io_threads", AT_LEAST_ONE, "")
        .owner(Owner::Adapter)
        .ignored("threads belong to the runtime that the client runs on"),
    Entry::new("shards", AT_LEAST_ONE, "1").owner(Owner::Client).default_only("one engine serves a cluster"),
];
