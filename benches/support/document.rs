//! What is read and written: values, and the map of a large cluster.

/// Nodes of the map.
pub(crate) const NODES: usize = 100;
/// Its revision.
pub(crate) const REV: i64 = 4711;
const VBUCKETS: usize = 1024;

/// Bytes that compression cannot make smaller (xorshift64*), the same each time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// A bucket's map as a server writes it: 1024 vbuckets with one replica, all services on all nodes, long host names.
pub(crate) fn map() -> Vec<u8> {
    format!("{{{},{}}}", version(), body()).into()
}

/// The same with the version behind everything else, so that looking for it walks through the whole document.
pub(crate) fn map_with_version_last() -> Vec<u8> {
    format!("{{{},{}}}", body(), version()).into()
}

fn version() -> String {
    format!(r#""rev":{REV},"revEpoch":1"#)
}

fn body() -> String {
    let listed = |text: &dyn Fn(usize) -> String, count| (0..count).map(text).collect::<Vec<_>>().join(",");
    let nodes = listed(
        &|node| {
            let host = host(node);
            format!(
                r#"{{"couchApiBase":"http://{host}:8092/travel","hostname":"{host}:8091","ports":{{"direct":11210}}}}"#
            )
        },
        NODES,
    );
    let nodes_ext = listed(&node_ext, NODES);
    let servers = listed(&|node| format!(r#""{}:11210""#, host(node)), NODES);
    let rows = listed(
        &|vbucket| {
            let active = vbucket * NODES / VBUCKETS;
            format!("[{active},{}]", (active + 1 + vbucket % 7) % NODES)
        },
        VBUCKETS,
    );
    format!(
        concat!(
            r#""name":"travel","nodeLocator":"vbucket","bucketType":"membase","storageBackend":"couchstore","#,
            r#""uuid":"5a3c3e0f6d1b4f5e9d0f9f2b6a7c8d9e","collectionsManifestUid":"1c","#,
            r#""uri":"/pools/default/buckets/travel?bucket_uuid=5a3c3e0f6d1b4f5e9d0f9f2b6a7c8d9e","#,
            r#""nodes":[{nodes}],"nodesExt":[{nodes_ext}],"clusterName":"prod","clusterUUID":"c0ffee","#,
            r#""clusterCapabilitiesVer":[1,0],"clusterCapabilities":{{"n1ql":["enhancedPreparedStatements"]}},"#,
            r#""bucketCapabilitiesVer":"","bucketCapabilities":["collections","durableWrite","cccp","xattr"],"#,
            r#""vBucketServerMap":{{"hashAlgorithm":"CRC","numReplicas":1,"serverList":[{servers}],"vBucketMap":[{rows}]}}"#
        ),
        nodes = nodes,
        nodes_ext = nodes_ext,
        servers = servers,
        rows = rows,
    )
}

fn host(node: usize) -> String {
    format!("cb-data-{node:05}.couchbase.production.eu-central-1.example")
}

const SERVICES: &str = concat!(
    r#""mgmt":8091,"mgmtSSL":18091,"kv":11210,"kvSSL":11207,"capi":8092,"capiSSL":18092,"projector":9999,"moxi":11211,"#,
    r#""n1ql":8093,"n1qlSSL":18093,"fts":8094,"ftsSSL":18094,"ftsGRPC":9130,"ftsGRPCSSL":19130,"#,
    r#""cbas":8095,"cbasSSL":18095,"eventingAdminPort":8096,"eventingSSL":18096,"eventingDebug":9140,"#,
    r#""indexAdmin":9100,"indexScan":9101,"indexHttp":9102,"indexHttps":19102,"indexStreamInit":9103,"#,
    r#""indexStreamCatchup":9104,"indexStreamMaint":9105,"backupAPI":8097,"backupAPIHTTPS":18097,"#,
    r#""backupGRPC":9124"#,
);

fn node_ext(node: usize) -> String {
    let this = if node == 0 { r#","thisNode":true"# } else { "" };
    let (host, group) = (host(node), node % 3 + 1);
    format!(r#"{{"hostname":"{host}","services":{{{SERVICES}}},"serverGroup":"Group {group}"{this}}}"#)
}
