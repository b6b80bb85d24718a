//! What there is to be asked for: paths to documents (`cluster-maps.md` 1, `connecting.md` 4.6, 6.2).

use super::{Answer, HttpSession, Request};
use crate::bucket::{Bucket, BucketKind};
use crate::cluster::State;
use crate::listener::{Listener, Service};
use crate::node::{Node, NodeState};
use crate::{NodeId, config};
use serde_json::{Value, json};

/// Which configuration a stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Of the bucket with this index.
    Bucket(usize),
    /// Of the cluster.
    Cluster,
}

/// What a path leads to.
pub(super) enum Page {
    /// One answer.
    Answer(Answer),
    /// A configuration, and every later revision.
    Stream(Source),
}

impl HttpSession {
    pub(super) fn page(&self, state: &mut State, request: &Request) -> Page {
        self.find(state, request).unwrap_or_else(Page::Answer)
    }

    fn find(&self, state: &mut State, request: &Request) -> Result<Page, Answer> {
        if request.method != "GET" {
            return Err(Answer::text(405, "only GET is understood"));
        }
        let user = self.user(state, request)?;
        let segments =
            request.segments().ok_or_else(|| Answer::text(400, "the path is not encoded properly"))?;
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        if self.service == Service::Mgmt {
            return self.manager(state, &path, user.as_deref());
        }
        let value = match (self.service, path.as_slice()) {
            (Service::Query | Service::Analytics, ["admin", "ping"]) => json!({"status": "OK"}),
            (Service::Search, ["api", "ping"]) => json!({}),
            (Service::Views, []) => json!({"couchdb": "Welcome", "version": state.settings.version}),
            (Service::Eventing | Service::Backup, []) => json!({}),
            _ => return Err(Answer::not_found()),
        };
        Ok(Page::Answer(Answer::value(&value)))
    }

    fn manager(&self, state: &mut State, path: &[&str], user: Option<&str>) -> Result<Page, Answer> {
        // These two are open to everybody.
        match path {
            [] => return Err(Answer::moved()),
            ["pools"] => return Ok(Page::Answer(Answer::value(&pools(state, user.is_some())))),
            _ => {}
        }
        let ["pools", "default", rest @ ..] = path else { return Err(Answer::not_found()) };
        let user = user.ok_or_else(Answer::unauthorized)?;
        match rest {
            ["b" | "bs" | "buckets", name] => {
                let index = bucket(state, user, name)?;
                let rendered = state.bucket_config(index, self.node).ok_or_else(Answer::not_found)?;
                match rest {
                    ["b", _] => Ok(Page::Answer(Answer::json(200, rendered.json.clone()))),
                    ["bs", _] => Ok(Page::Stream(Source::Bucket(index))),
                    _ => {
                        let found = state.buckets.get(index).ok_or_else(Answer::not_found)?;
                        Ok(Page::Answer(Answer::value(&verbose(state, found, self.node))))
                    }
                }
            }
            [] | ["nodeServices" | "nodeServicesStreaming"] => {
                if !state.users.may_see_cluster(user) {
                    return Err(Answer::forbidden("cluster.pools!read"));
                }
                match rest {
                    [] => Ok(Page::Answer(Answer::value(&pool(state, self.node)))),
                    ["nodeServices"] => {
                        let rendered = state.global_config(self.node).ok_or_else(Answer::not_found)?;
                        Ok(Page::Answer(Answer::json(200, rendered.json.clone())))
                    }
                    _ => Ok(Page::Stream(Source::Cluster)),
                }
            }
            _ => Err(Answer::not_found()),
        }
    }
}

fn bucket(state: &State, user: &str, name: &str) -> Result<usize, Answer> {
    let found = state.buckets.iter().position(|bucket| !bucket.dropped && bucket.name == name);
    let index = found.ok_or_else(Answer::not_found)?;
    if state.users.may_use(user, name) {
        Ok(index)
    } else {
        Err(Answer::forbidden(&format!("cluster.bucket[{name}].settings!read")))
    }
}

fn pools(state: &State, admin: bool) -> Value {
    json!({
        "isAdminCreds": admin,
        "isEnterprise": true,
        "implementationVersion": state.settings.version,
        "uuid": state.uuid,
        "pools": [{"name": "default", "uri": format!("/pools/default?uuid={}", state.uuid)}],
    })
}

/// The pool document (D5).
fn pool(state: &State, this: NodeId) -> Value {
    let rebalancing = state.buckets.iter().any(|bucket| !bucket.dropped && bucket.forward.is_some());
    let nodes: Vec<Value> =
        nodes(state).map(|(id, node)| verbose_node(state, id, node, this, status(node))).collect();
    json!({
        "name": "default",
        "clusterName": "simulated",
        "balanced": !rebalancing,
        "rebalanceStatus": if rebalancing { "running" } else { "none" },
        "nodes": nodes,
        "buckets": {"uri": "/pools/default/buckets", "terseBucketsBase": "/pools/default/b/", "terseStreamingBucketsBase": "/pools/default/bs/"},
        "serverGroupsUri": "/pools/default/serverGroups",
    })
}

/// The verbose form of a bucket's configuration (D4): without a revision and `nodesExt`.
fn verbose(state: &State, bucket: &Bucket, this: NodeId) -> Value {
    let nodes: Vec<Value> = nodes(state)
        .filter(|(_, node)| node.member && node.address.ports.keys().any(|port| port.service == Service::Kv))
        .map(|(id, node)| {
            let warming = bucket.config_only.contains(&id) || bucket.absent.contains(&id);
            let status = if node.state == NodeState::Up && warming { "warmup" } else { status(node) };
            verbose_node(state, id, node, this, status)
        })
        .collect();
    let (name, uuid) = (&bucket.name, &bucket.uuid);
    let mut document = json!({
        "name": name,
        "uuid": uuid,
        "nodeLocator": bucket.kind.locator(),
        "bucketType": bucket.kind.name(),
        "authType": "sasl",
        "uri": format!("/pools/default/buckets/{name}?bucket_uuid={uuid}"),
        "streamingUri": format!("/pools/default/bucketsStreaming/{name}?bucket_uuid={uuid}"),
        "replicaNumber": bucket.replicas,
        "basicStats": {"itemCount": bucket.items()},
        "bucketCapabilitiesVer": "",
        "bucketCapabilities": bucket.kind.capabilities(state.settings.posture),
        "nodes": nodes,
    });
    if bucket.kind != BucketKind::Memcached {
        document["numVBuckets"] = json!(bucket.rows.len());
        document["collectionsManifestUid"] = json!(format!("{:x}", bucket.collections.uid()));
        document["vBucketServerMap"] = config::server_map(&state.nodes, bucket);
    }
    document
}

/// Nodes that the cluster knows: those with vbuckets, those to come, those failed over.
fn nodes(state: &State) -> impl Iterator<Item = (NodeId, &Node)> {
    state.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node))
}

const fn status(node: &Node) -> &'static str {
    match node.state {
        NodeState::Up => "healthy",
        NodeState::Paused | NodeState::Down => "unhealthy",
    }
}

fn verbose_node(state: &State, id: NodeId, node: &Node, this: NodeId, status: &str) -> Value {
    let address = &node.address;
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let mut services: Vec<&str> = address.ports.keys().map(|port| service_name(port.service)).collect();
    services.retain(|name| !name.is_empty());
    services.dedup();
    let ports = [
        ("direct", Listener::KV),
        ("httpsMgmt", Listener::MGMT_TLS),
        ("httpsCAPI", Listener::secure(Service::Views)),
    ];
    let ports: serde_json::Map<String, Value> = ports
        .into_iter()
        .filter_map(|(name, listener)| Some((name.to_owned(), json!(address.port(listener)?))))
        .collect();
    let mut document = json!({
        "hostname": format!("{host}:{}", address.port(Listener::MGMT).unwrap_or(Listener::MGMT.default_port())),
        "otpNode": format!("ns_{}@{}", id.0 + 1, address.host),
        "status": status,
        "clusterMembership": if node.member { "active" } else { "inactiveFailed" },
        "recoveryType": "none",
        "version": state.settings.version,
        "clusterCompatibility": compatibility(state.settings.posture.name()),
        "os": "simulated",
        "services": services,
        "ports": ports,
        "serverGroup": address.server_group.as_deref().unwrap_or("Group 1"),
        "uptime": state.clock.uptime().as_secs().to_string(),
    });
    if id == this {
        document["thisNode"] = json!(true);
    }
    document
}

/// A release such as `7.6` as one number: major × 65536 + minor.
fn compatibility(release: &str) -> u32 {
    release.split('.').filter_map(|part| part.parse::<u32>().ok()).fold(0, |number, part| number << 16 | part)
}

/// The name of a service where services are listed by name; views and the manager are not.
const fn service_name(service: Service) -> &'static str {
    match service {
        Service::Kv => "kv",
        Service::Query => "n1ql",
        Service::Search => "fts",
        Service::Analytics => "cbas",
        Service::Eventing => "eventing",
        Service::Backup => "backup",
        Service::Mgmt | Service::Views => "",
    }
}
