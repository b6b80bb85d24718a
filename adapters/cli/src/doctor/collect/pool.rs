//! What the manager says of its nodes and of the bucket: `/pools/default`.

use serde_json::Value;
use settee::engine::EngineConfig;
use settee::http::{Authorization, path_segment};
use settee::map::Service;

use super::{Clock, probe, unix_time};
use crate::doctor::facts::{Facts, PoolFacts, PoolNode, place};

/// How many managers are asked before it is given up.
const TRIES: usize = 3;
/// Texts of a server are cut to this.
const MAX_TEXT: usize = 120;

pub(super) async fn examine(config: &EngineConfig, facts: &mut Facts, clock: Clock) {
    let mut managers: Vec<(String, u16)> = facts
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.service == Service::Mgmt && endpoint.outcome.is_ok())
        .map(|endpoint| (endpoint.host.clone(), endpoint.port))
        .collect();
    for seed in &facts.seeds {
        let answered = seed.http.as_ref().is_some_and(|http| http.outcome.is_ok());
        if let (true, Some(port)) = (answered, seed.at.mgmt) {
            managers.push((seed.at.host.clone(), port));
        }
    }
    for (host, port) in managers.into_iter().take(TRIES) {
        let Some(deadline) = clock.stage() else {
            facts.left_out.push("the manager's view");
            return;
        };
        let ask = |path: String| {
            let authorization = Authorization::from_authenticator(&config.authenticator);
            let (host, tls) = (host.clone(), config.tls_profile().cloned());
            async move { probe::document(&host, port, &path, authorization, tls.as_ref(), deadline).await }
        };
        let Ok((pool, date)) = ask("/pools/default".to_owned()).await else { continue };
        let date = date.as_deref().and_then(probe::http_date).map(|date| (date, unix_time()));
        let mut found = read(&pool);
        (found.from, found.date) = (place(&host, port), date);
        if let Some(bucket) = &facts.given.bucket
            && let Ok((document, _)) = ask(format!("/pools/default/buckets/{}", path_segment(bucket))).await
        {
            found.bucket_type = Some(text(&document, "bucketType")).filter(|kind| !kind.is_empty());
            found.bucket_nodes = nodes(&document).into_iter().map(|node| (node.host, node.status)).collect();
        }
        facts.pool = Some(found);
        return;
    }
}

fn read(pool: &Value) -> PoolFacts {
    let status = text(pool, "rebalanceStatus");
    PoolFacts {
        rebalancing: !status.is_empty() && status != "none",
        nodes: nodes(pool),
        ..PoolFacts::default()
    }
}

fn nodes(document: &Value) -> Vec<PoolNode> {
    let nodes = document.get("nodes").and_then(Value::as_array);
    nodes
        .into_iter()
        .flatten()
        .map(|node| PoolNode {
            host: text(node, "hostname"),
            version: text(node, "version"),
            status: text(node, "status"),
            membership: text(node, "clusterMembership"),
        })
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).map(cut).unwrap_or_default()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_managers_document_is_read() {
        let pool = json!({"rebalanceStatus": "running", "nodes": [
            {"hostname": "10.0.0.1:8091", "version": "7.6.4-5146-enterprise", "status": "healthy",
             "clusterMembership": "active", "services": ["kv", "n1ql"]},
            "nonsense",
        ]});
        let read = read(&pool);
        assert!(read.rebalancing);
        assert_eq!(read.nodes[0].host, "10.0.0.1:8091");
        assert_eq!(read.nodes[0].status, "healthy");
        assert_eq!(read.nodes[1].version, "");
        assert!(!super::read(&json!({"rebalanceStatus": "none"})).rebalancing);
        assert!(!super::read(&json!([])).rebalancing);
    }
}
