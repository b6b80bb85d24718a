//! Connections, topology, I/O (spec 2.4).

use super::{Entry, NO_POOL, Owner, SPAN, SPAN_OR_OFF, active, by, go, java, lcb, rfc, rust};
use crate::options::registry::Origin::{Go, Libcouchbase};
use crate::options::value::Syntax;

const AT_LEAST_ONE: Syntax = Syntax::Integer { min: 1, max: u32::MAX as u64 };
const COUNT: Syntax = Syntax::Integer { min: 0, max: u32::MAX as u64 };

pub(super) const ENTRIES: &[Entry] = &[
    active!(enable_tls, Syntax::Bool, "", "TLS on or off where the scheme leaves it open")
        .owner(Owner::Tls)
        .aliases(&[java("security.enableTls")]),
    active!(
        network,
        Syntax::Text,
        "auto",
        "whose addresses of the cluster map are used: auto (compared with the seeds), default, external, or a name"
    )
    .aliases(&[java("io.networkResolution")]),
    active!(
        enable_dns_srv,
        Syntax::Bool,
        "true",
        "whether a lone host name without port is looked up as SRV first"
    )
    .aliases(&[lcb("dnssrv"), java("io.enableDnsSrv")]),
    active!(
        ip_protocol,
        Syntax::Choice(&[("any", "any"), ("force_ipv4", "force_ipv4"), ("force_ipv6", "force_ipv6")]),
        "any",
        "which addresses of a host name are dialled"
    ),
    active!(
        preserve_bootstrap_nodes_order,
        Syntax::Bool,
        "false",
        "whether seeds are tried in the order written, not shuffled"
    )
    .aliases(&[lcb("randomize_nodes").inverse()]),
    active!(
        bootstrap_on,
        Syntax::Choice(&[
            ("auto", "auto"),
            ("cccp", "cccp"),
            ("http", "http"),
            ("all", "auto"),
            ("both", "auto"),
        ]),
        "auto",
        "where cluster maps come from: KV (cccp), the manager port (http), or KV first (auto)"
    ),
    active!(num_kv_connections, AT_LEAST_ONE, "1", "KV connections per node and bucket")
        .aliases(&[java("io.numKvConnections"), go("kv_pool_size")]),
    active!(
        enable_lazy_connections,
        Syntax::Bool,
        "false",
        "whether a node is dialled by the first operation for it, not with the map"
    ),
    active!(config_poll_interval, SPAN_OR_OFF, "2500ms", "how often the cluster map is asked for; 0 is off")
        .aliases(&[java("io.configPollInterval")]),
    active!(config_poll_floor, SPAN, "50ms", "the shortest time between two requests for the map")
        .aliases(&[rfc("config_pool_floor_interval")]),
    active!(config_poll_timeout, SPAN, "2500ms", "one request for the cluster map"),
    active!(
        config_safety_interval,
        SPAN,
        "10s",
        "how often the map is asked for where every node pushes its changes"
    ),
    active!(
        config_idle_redial_timeout,
        SPAN,
        "5m",
        "the silence after which an HTTP config stream is opened anew"
    )
    .aliases(&[java("io.configIdleRedialTimeout"), go("http_redial_period")]),
    active!(http_retry_delay, SPAN, "4s", "the longest pause after a failed HTTP config stream"),
    active!(
        enable_clustermap_notification,
        Syntax::Bool,
        "true",
        "whether nodes are asked to push changes of the map"
    )
    .aliases(&[java("io.configNotifications"), go("enable_cluster_config_notifications")]),
    active!(enable_tcp_keep_alive, Syntax::Bool, "true", "keep-alive probes of the socket")
        .owner(Owner::Adapter)
        .aliases(&[lcb("tcp_keepalive"), java("io.enableTcpKeepAlives"), java("enable_tcp_keepalives")]),
    active!(
        tcp_keep_alive_interval,
        SPAN,
        "60s",
        "how long a socket is idle before its first keep-alive probe"
    )
    .owner(Owner::Adapter)
    .aliases(&[java("io.tcpKeepAliveTime"), java("tcp_keepalive_time"), rust("tcp_keep_alive_time")]),
    active!(
        kv_keep_alive_interval,
        SPAN_OR_OFF,
        "30s",
        "the silence of a KV connection after which a NOOP is sent; 0 is off"
    ),
    active!(tcp_nodelay, Syntax::Bool, "true", "the socket's TCP_NODELAY and the HELLO feature of that name")
        .owner(Owner::Adapter),
    active!(
        tcp_user_timeout,
        SPAN_OR_OFF,
        "20s",
        "how long sent bytes may stay unacknowledged before the socket gives up (Linux); 0 is off"
    )
    .owner(Owner::Adapter)
    .aliases(&[java("io.tcpUserTimeout")]),
    Entry::new("max_http_connections", COUNT, "0", "HTTP connections per service and node; 0 is unlimited")
        .ignored(NO_POOL)
        .aliases(&[lcb("http_poolsize"), java("io.maxHttpConnections"), go("max_perhost_http_connections")]),
    Entry::new(
        "max_idle_http_connections_per_host",
        COUNT,
        "",
        "unused HTTP connections that are kept per service and node",
    )
    .ignored(NO_POOL)
    .aliases(&[go("max_perhost_idle_http_connections")]),
    active!(
        max_queue_size,
        AT_LEAST_ONE,
        "2048",
        "operations that may wait unsent for a KV connection or bucket that failed; one more is RequestCanceled"
    ),
    active!(server_wait_backoff, SPAN, "4096ms", "the longest pause between dials of one address"),
    active!(server_group, Syntax::Text, "", "the server group whose replicas are preferred")
        .aliases(&[by(&[Libcouchbase, Go], "preferred_server_group")]),
    active!(
        user_agent_extra,
        Syntax::Text,
        "",
        "text added to the client's identification, in HELLO and over HTTP"
    )
    .aliases(&[lcb("client_string")]),
    active!(
        allow_enterprise_analytics,
        Syntax::Bool,
        "false",
        "whether a cluster of Enterprise Analytics is accepted"
    ),
    Entry::new("num_io_threads", AT_LEAST_ONE, "", "threads of the adapter")
        .owner(Owner::Adapter)
        .ignored("threads belong to the runtime that the client runs on"),
    Entry::new("shards", AT_LEAST_ONE, "1", "engines behind one handle")
        .owner(Owner::Client)
        .default_only("one engine serves a cluster"),
];
