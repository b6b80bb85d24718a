//! Configs as servers write them, with the names and addresses of nobody.

/// Cluster config of a single node that only knows itself as loopback (6.5).
pub(super) const CLUSTER_LOOPBACK: &str = r#"{"rev":40,"nodesExt":[{"services":{"mgmt":8091,"mgmtSSL":18091,"kv":11210,
"kvSSL":11207,"capi":8092,"projector":9999},"thisNode":true}],"clusterCapabilitiesVer":[1,0],
"clusterCapabilities":{"n1ql":["enhancedPreparedStatements"]}}"#;

/// Cluster config (7.6), `revEpoch` behind the nodes, one node without data, one alternate address without ports.
pub(super) const CLUSTER_EXTERNAL: &str = r#"{"rev":812,"nodesExt":[
{"hostname":"n1.lan","services":{"mgmt":8091,"mgmtSSL":18091,"kv":11210,"kvSSL":11207,"cbasDebug":-1},"thisNode":true,
"alternateAddresses":{"external":{"hostname":"203.0.113.1","ports":{"mgmt":30091,"kv":31210}}}},
{"hostname":"n2.lan","services":{"mgmt":8091,"mgmtSSL":18091,"n1ql":8093,"n1qlSSL":18093,"indexHttp":9102,
"eventingAdminPort":8096,"backupAPIHTTPS":18097},"alternateAddresses":{"external":{"hostname":"203.0.113.2"}}}],
"clusterCapabilitiesVer":[1,0],"clusterCapabilities":{"search":["vectorSearch"]},"revEpoch":2,
"clusterName":"","clusterUUID":"c0ffee"}"#;

/// Bucket config of a server 8.0: groups, UUIDs, telemetry; a query node last.
pub(super) const BUCKET_80: &str = r#"{"rev":311,"revEpoch":1,"name":"travel","nodeLocator":"vbucket",
"uuid":"0f5e77","bucketType":"membase","storageBackend":"magma","collectionsManifestUid":"1c",
"uri":"/pools/default/buckets/travel?bucket_uuid=0f5e77","numVBuckets":8,
"nodes":[{"hostname":"10.1.0.1:8091","ports":{"direct":11210}},{"hostname":"10.1.0.2:8091","ports":{"direct":11210}}],
"nodesExt":[{"hostname":"10.1.0.1","services":{"kv":11210,"kvSSL":11207,"mgmt":8091,"mgmtSSL":18091},
"serverGroup":"Group 1","nodeUUID":"aa01","appTelemetryPath":"/_appTelemetry"},
{"hostname":"10.1.0.2","services":{"kv":11210,"kvSSL":11207,"mgmt":8091,"mgmtSSL":18091},"serverGroup":"Group 2",
"nodeUUID":"aa02","appTelemetryPath":"/_appTelemetry","thisNode":true},
{"hostname":"10.1.0.3","services":{"mgmt":8091,"mgmtSSL":18091,"n1ql":8093,"n1qlSSL":18093},"serverGroup":"Group 1",
"nodeUUID":"aa03"}],"clusterName":"prod","clusterUUID":"beef","prod":"server","prodName":"Couchbase Server",
"clusterCapabilitiesVer":[1,0],"clusterCapabilities":{"n1ql":["readFromReplica","costBasedOptimizer"]},
"bucketCapabilitiesVer":"","bucketCapabilities":["collections","durableWrite","cccp"],
"vBucketServerMap":{"hashAlgorithm":"CRC","numReplicas":1,"serverList":["10.1.0.1:11210","10.1.0.2:11210"],
"vBucketMap":[[0,1],[0,1],[0,1],[0,1],[1,0],[1,0],[1,0],[1,-1]]}}"#;

/// Two nodes behind one name, TLS only: ports of the server list are 0, replicas are not stated.
pub(super) const BUCKET_TLS_ONLY: &str = r#"{"rev":9,"revEpoch":1,"name":"s","nodeLocator":"vbucket","uuid":"5",
"nodes":[{"hostname":"lb:0"},{"hostname":"lb:0"}],"nodesExt":[
{"hostname":"lb","services":{"kvSSL":21001,"mgmtSSL":29001}},{"hostname":"lb","services":{"kvSSL":21002,"mgmtSSL":29002},
"thisNode":true},{"hostname":"lb","services":{"n1qlSSL":28003,"mgmtSSL":29003}}],
"bucketCapabilities":["collections"],"vBucketServerMap":{"serverList":["lb:0","lb:0"],"vBucketMap":[[0],[1],[0],[1]]}}"#;

/// Mid-rebalance: the third node has joined and owns nothing yet.
pub(super) const BUCKET_REBALANCE: &str = r#"{"rev":77,"name":"r","nodeLocator":"vbucket","uuid":"7",
"nodes":[{},{},{}],"nodesExt":[{"hostname":"a","services":{"kv":11210,"mgmt":8091}},
{"hostname":"b","services":{"kv":11210,"mgmt":8091}},{"hostname":"c","services":{"kv":11210,"mgmt":8091}}],
"bucketCapabilities":["couchapi"],"vBucketServerMap":{"numReplicas":1,"serverList":["a:11210","b:11210","c:11210"],
"vBucketMap":[[0,1],[0,1],[1,0],[1,0]],"vBucketMapForward":[[0,1],[2,0],[1,2],[1,0]]}}"#;

/// The server list holds one more node than `nodes`, in another order than `nodesExt`.
pub(super) const BUCKET_REORDERED: &str = r#"{"rev":78,"name":"o","nodeLocator":"vbucket","uuid":"8",
"nodes":[{},{}],"nodesExt":[{"hostname":"a","services":{"kv":11210,"mgmt":8091}},
{"hostname":"c","services":{"kv":11210,"mgmt":8091}},{"hostname":"b","services":{"kv":11210,"mgmt":8091}}],
"vBucketServerMap":{"numReplicas":1,"serverList":["a:11210","b:11210","c:11210"],
"vBucketMap":[[0,1],[1,2],[2,0],[0,2]]}}"#;

/// IPv6: bare in `nodesExt`, bracketed in the server list.
pub(super) const BUCKET_IPV6: &str = r#"{"rev":5,"name":"v6","nodeLocator":"vbucket","uuid":"6","nodes":[{},{}],
"nodesExt":[{"hostname":"fd00::2","services":{"kv":11210,"mgmt":8091}},
{"hostname":"fd00::1","services":{"kv":11210,"mgmt":8091},"thisNode":true}],
"vBucketServerMap":{"numReplicas":0,"serverList":["[fd00::1]:11210","[FD00:0::2]:11210"],"vBucketMap":[[0],[1]]}}"#;

/// Two nodes of one machine that know themselves as loopback.
pub(super) const BUCKET_CLUSTER_RUN: &str = r#"{"rev":14,"name":"dev","nodeLocator":"vbucket","uuid":"d",
"nodes":[{"hostname":"$HOST:9000"},{"hostname":"$HOST:9001"}],"nodesExt":[
{"services":{"mgmt":9000,"kv":12000,"kvSSL":11998},"thisNode":true},{"services":{"mgmt":9001,"kv":12002,"kvSSL":11994}}],
"vBucketServerMap":{"numReplicas":1,"serverList":["$HOST:12000","$HOST:12002"],"vBucketMap":[[0,1],[1,0]]}}"#;

/// After a hard failover: rows without an active copy, rows shorter than others.
pub(super) const BUCKET_FAILED_OVER: &str = r#"{"rev":90,"revEpoch":2,"name":"f","nodeLocator":"vbucket","uuid":"f",
"nodes":[{}],"nodesExt":[{"hostname":"a","services":{"kv":11210,"mgmt":8091}}],
"vBucketServerMap":{"numReplicas":1,"serverList":["a:11210"],"vBucketMap":[[0,-1],[-1,-1],[0],[]]}}"#;

/// Memcached bucket in a rebalance: the last node must not take keys yet.
pub(super) const MEMCACHED_REBALANCE: &str = r#"{"rev":33,"name":"cache","nodeLocator":"ketama","uuid":"ca",
"bucketType":"memcached","bucketCapabilities":["cbhello","nodesExt"],"nodes":[{},{},{},{}],"nodesExt":[
{"hostname":"192.168.1.101","services":{"kv":11210,"mgmt":8091},"thisNode":true},
{"hostname":"192.168.1.102","services":{"kv":11210,"mgmt":8091}},
{"hostname":"192.168.1.103","services":{"kv":11210,"mgmt":8091}},
{"hostname":"192.168.1.104","services":{"kv":11210,"mgmt":8091}},
{"hostname":"192.168.1.105","services":{"kv":11210,"mgmt":8091}}]}"#;

/// A bucket that is being created.
pub(super) const BUCKET_NOT_READY: &str = r#"{"rev":3,"name":"new","nodeLocator":"vbucket","uuid":"1","nodes":[],
"nodesExt":[{"services":{"kv":11210,"mgmt":8091},"thisNode":true}],
"vBucketServerMap":{"hashAlgorithm":"CRC","numReplicas":1,"serverList":[],"vBucketMap":[]}}"#;

/// A management document: no version, no node list of the kind that counts.
pub(super) const VERBOSE: &str = r#"{"name":"travel","nodeLocator":"vbucket","bucketType":"membase","uuid":"0f5e77",
"nodes":[{"hostname":"10.1.0.1:8091","services":["kv","n1ql"],"ports":{"direct":11210},"version":"7.6.0"}],
"vBucketServerMap":{"hashAlgorithm":"CRC","numReplicas":0,"serverList":["10.1.0.1:11210"],"vBucketMap":[[0],[0]]}}"#;

/// All that must be accepted.
pub(super) const ACCEPTED: [&str; 10] = [
    CLUSTER_LOOPBACK,
    CLUSTER_EXTERNAL,
    BUCKET_80,
    BUCKET_TLS_ONLY,
    BUCKET_REBALANCE,
    BUCKET_REORDERED,
    BUCKET_IPV6,
    BUCKET_CLUSTER_RUN,
    BUCKET_FAILED_OVER,
    MEMCACHED_REBALANCE,
];
