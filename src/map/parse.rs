//! From the bytes of a config to a [`ClusterMap`] (section 4 of the cluster-map rules).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{MapError, MapWarning, RejectReason};
use super::host::{CanonicalHost, canonical_host_eq, split_server, strip_brackets, substitute_origin};
use super::json::{Int, Obj, Scalar, check_limits};
use super::ketama::{Ketama, MAX_RING_MEMBERS};
use super::node::{Alternate, DEFAULT_NETWORK, Node, NodeId, Service};
use super::raw::{MAX_SLOTS, RawMap, RawNode, RawNodes, RawServerMap, Strings, major_version};
use super::rows::RawRows;
use super::vbucket::{NOBODY, Rows, VbucketMap};
use super::{ClusterMap, ConfigRev, MapKind, Product};

/// Reads a config: decompressed JSON, of a bucket or of the cluster.
///
/// `origin_host` is the host that the carrying connection was opened to, as configured or as found in an earlier map,
/// with or without brackets (R-HOST-1). It stands in for hosts that the config leaves out.
///
/// Whatever can be used is used: malformed fields read as absent, unknown ones are ignored, and oddities end up in
/// [`ClusterMap::warnings`]. At most 30 MiB and 32 levels are read; memory grows with the document, never by a number
/// in it.
///
/// # Errors
/// A [`MapError`] with the reason by R-PARSE-2. The map in use stays as it is (R-PARSE-1).
pub fn parse(bytes: &[u8], origin_host: &str) -> Result<ClusterMap, MapError> {
    let origin = strip_brackets(origin_host);
    let text = check_limits(bytes).map_err(|detail| MapError::new(RejectReason::NotJson, detail))?;
    let raw: Obj<RawMap<'_>> =
        serde_json::from_str(text).map_err(|e| MapError::new(RejectReason::NotJson, e.to_string()))?;
    let Some(mut raw) = raw.0 else {
        return Err(MapError::new(RejectReason::NotAnObject, "the top level is not an object"));
    };
    let nodes_ext = raw.nodes_ext.take().filter(|list| !list.nodes.is_empty());
    let Some(nodes_ext) = nodes_ext else {
        let detail = "no nodesExt: a server older than 3.0, or a management document";
        return Err(MapError::new(RejectReason::MissingNodesExt, detail));
    };
    let mut map = cluster_map(&raw, nodes_ext, origin)?;
    match raw.node_locator.text().as_deref() {
        Some("vbucket") => bucket_map(&mut map, raw, origin)?,
        Some("ketama") => {
            bucket_fields(&mut map, &raw)?;
            map.kind = MapKind::Memcached;
            let serving = map.nodes_len.unwrap_or(map.nodes.len());
            map.nodes.iter_mut().take(serving).for_each(|node| node.serves_bucket = true);
            ring(&mut map);
        }
        Some(other) => map.warnings.push(MapWarning::UnknownLocator(shorten(other))),
        None if raw.node_locator.is_missing() => {}
        None => map.warnings.push(MapWarning::UnknownLocator(shorten(raw.node_locator.0))),
    }
    Ok(map)
}

/// The part that every config has, as a cluster map.
fn cluster_map(raw: &RawMap<'_>, nodes_ext: RawNodes<'_>, origin: &str) -> Result<ClusterMap, MapError> {
    let mut warnings = Vec::new();
    let rev = version(raw, &mut warnings)?;
    if nodes_ext.seen > nodes_ext.nodes.len() {
        warnings.push(MapWarning::TooManyNodes { kept: nodes_ext.nodes.len() });
    }
    let mut nodes = Vec::with_capacity(nodes_ext.nodes.len());
    for (index, raw) in nodes_ext.nodes.into_iter().enumerate() {
        if raw.alternates.truncated {
            warnings.push(MapWarning::TooManyNetworks { slot: index });
        }
        nodes.push(node(index, raw, origin));
    }
    warn_of_twins(&nodes, &mut warnings);
    let (mut alternate_networks, mut seen) = (Vec::new(), BTreeSet::new());
    for alternate in nodes.iter().flat_map(|node| &node.alternates) {
        if seen.insert(alternate.network.as_str()) {
            alternate_networks.push(alternate.network.clone());
        }
    }
    let mut cluster_capabilities = BTreeMap::new();
    if let Some(capabilities) = &raw.cluster_capabilities {
        if matches!(major_version(raw.capabilities_version), Ok(None | Some(1))) {
            cluster_capabilities
                .extend(capabilities.0.iter().map(|(service, names)| (service.clone(), set(names))));
        } else {
            warnings.push(MapWarning::UnknownCapabilitiesVersion);
        }
    }
    Ok(ClusterMap {
        kind: MapKind::Global,
        rev,
        bucket_name: None,
        bucket_uuid: None,
        bucket_type: None,
        storage_backend: None,
        hibernation_state: None,
        collections_manifest_uid: None,
        bucket_capabilities: BTreeSet::new(),
        cluster_capabilities,
        cluster_uuid: raw.cluster_uuid.non_empty(),
        cluster_name: raw.cluster_name.text().map(std::borrow::Cow::into_owned),
        product: match raw.prod.text().as_deref() {
            None | Some("server") => Product::Server,
            Some("analytics") => Product::Analytics,
            Some(other) => Product::Other(shorten(other)),
        },
        nodes_len: raw.nodes.as_ref().map(|count| count.0),
        this_node_index: nodes.iter().position(|node| node.this_node),
        nodes,
        alternate_networks,
        vbuckets: None,
        ketama: None,
        warnings,
    })
}

fn version(raw: &RawMap<'_>, warnings: &mut Vec<MapWarning>) -> Result<ConfigRev, MapError> {
    let rev = match raw.rev.int() {
        Int::Value(rev) if rev >= 0 => rev,
        Int::Value(_) | Int::OutOfRange => {
            let detail = format!("rev is {}", shorten(raw.rev.0));
            return Err(MapError::new(RejectReason::RevOutOfRange, detail));
        }
        Int::Missing => return Err(MapError::new(RejectReason::MissingOrMalformedRev, "no rev")),
        Int::NotAnInteger => {
            let detail = format!("rev is {}", shorten(raw.rev.0));
            return Err(MapError::new(RejectReason::MissingOrMalformedRev, detail));
        }
    };
    let epoch = match raw.rev_epoch.int() {
        Int::Value(epoch) => Some(epoch),
        Int::Missing => None,
        Int::NotAnInteger | Int::OutOfRange => {
            warnings.push(MapWarning::MalformedEpoch);
            None
        }
    };
    Ok(ConfigRev { epoch, rev })
}

fn node(index: usize, raw: RawNode<'_>, origin: &str) -> Node {
    let (host, host_inferred) = match raw.hostname.non_empty() {
        None => (origin.to_owned(), true),
        Some(host) => match substitute_origin(&host, origin) {
            Some(host) => (host, true),
            None => (host, false),
        },
    };
    let alternates = raw.alternates.networks.into_iter().filter(|(network, _)| network != DEFAULT_NETWORK);
    Node {
        index,
        host,
        host_inferred,
        this_node: raw.this_node.is_true(),
        ports: raw.services.ports,
        alternates: alternates
            .map(|(network, alternate)| Alternate {
                network,
                host: alternate
                    .hostname
                    .non_empty()
                    .map(|host| substitute_origin(&host, origin).unwrap_or(host)),
                ports: alternate.ports.filter(|ports| ports.any).map(|ports| ports.ports),
            })
            .collect(),
        server_group: raw.server_group.text().map(std::borrow::Cow::into_owned),
        node_uuid: raw.node_uuid.non_empty(),
        app_telemetry_path: raw.app_telemetry_path.non_empty(),
        serves_bucket: false,
    }
}

fn warn_of_twins(nodes: &[Node], warnings: &mut Vec<MapWarning>) {
    let mut seen = BTreeMap::<NodeId, usize>::new();
    for node in nodes {
        let first = *seen.entry(node.identity()).or_insert(node.index);
        if first != node.index {
            warnings.push(MapWarning::DuplicateIdentity { first, second: node.index });
        }
    }
}

/// What D1 and D3 have in common.
fn bucket_fields(map: &mut ClusterMap, raw: &RawMap<'_>) -> Result<(), MapError> {
    let Some(name) = raw.name.non_empty() else {
        return Err(MapError::new(RejectReason::MissingName, "a bucket config without name"));
    };
    map.bucket_name = Some(name);
    map.bucket_uuid = raw.uuid.non_empty();
    map.bucket_type = raw.bucket_type.non_empty();
    map.storage_backend = raw.storage_backend.non_empty();
    map.hibernation_state = raw.hibernation_state.non_empty();
    map.collections_manifest_uid = raw.collections_manifest_uid.text().and_then(|uid| hexadecimal(&uid));
    map.bucket_capabilities = raw.bucket_capabilities.as_ref().map(set).unwrap_or_default();
    Ok(())
}

fn bucket_map(map: &mut ClusterMap, mut raw: RawMap<'_>, origin: &str) -> Result<(), MapError> {
    bucket_fields(map, &raw)?;
    map.kind = MapKind::Bucket;
    let Some(server_map) = raw.server_map.take() else {
        let detail = "nodeLocator is vbucket, but there is no vBucketServerMap";
        return Err(MapError::new(RejectReason::MissingVbucketServerMap, detail));
    };
    let RawServerMap { num_replicas, server_list, map: rows, forward, has_forward } = server_map;
    let rows = match rows {
        None => return Err(malformed("no vBucketMap")),
        Some(RawRows { fault: Some(fault), .. }) => return Err(malformed(fault)),
        Some(RawRows { rows, .. }) => rows,
    };
    if rows.len() == 0 {
        let mut error =
            MapError::new(RejectReason::EmptyVbucketMap, "the bucket is not ready, ask again soon");
        error.partial = Some(Arc::new(map.cluster_part()));
        return Err(error);
    }
    let forward_rows = forward
        .filter(|forward| forward.fault.is_none() && forward.rows.len() == rows.len())
        .map(|forward| forward.rows);
    if has_forward && forward_rows.is_none() {
        map.warnings.push(MapWarning::ForwardMapIgnored);
    }
    let configured_replicas = match num_replicas.int() {
        Int::Value(count) => u8::try_from(count).ok(),
        Int::Missing | Int::NotAnInteger | Int::OutOfRange => None,
    };
    if configured_replicas.is_none() {
        map.warnings.push(MapWarning::NumReplicasMissing);
    }
    if let Int::Value(declared) = raw.num_vbuckets.int()
        && usize::try_from(declared) != Ok(rows.len())
    {
        map.warnings.push(MapWarning::VbucketCountMismatch { declared, rows: rows.len() });
    }
    let servers = server_list.map(|list| list.0).unwrap_or_default();
    serving_by_length(map, servers.len());
    let slots = index_table(map, &servers, origin);
    let vbuckets = VbucketMap {
        current: rows,
        forward: forward_rows,
        slots,
        configured_replicas,
        server_list_len: servers.len(),
    };
    warn_of_strays(&vbuckets, &mut map.warnings);
    map.vbuckets = Some(vbuckets);
    Ok(())
}

fn hexadecimal(text: &str) -> Option<u64> {
    // The standard parser would take a sign, too.
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}

fn malformed(detail: &str) -> MapError {
    MapError::new(RejectReason::MalformedVbucketMap, detail)
}

/// R-IDX-5: the first `len(nodes)` slots serve the bucket. Where that length is missing, or says 0 though there is a
/// map, `serverList` gives it; without that as well, any node may.
fn serving_by_length(map: &mut ClusterMap, servers: usize) {
    if map.nodes_len == Some(0) {
        map.warnings.push(MapWarning::NodesEmpty);
    }
    let serving = match (map.nodes_len, servers) {
        (Some(0) | None, 0) => map.nodes.len(),
        (Some(0) | None, servers) => servers,
        (Some(len), _) => len,
    };
    map.nodes.iter_mut().take(serving).for_each(|node| node.serves_bucket = true);
}

/// The slot of each map index (R-IDX-2 to R-IDX-4). An index means the slot at its position unless `serverList`
/// proves another; slots proved this way serve the bucket (R-IDX-5). The table is as long as `serverList`, so an index
/// beyond it means nobody (H5); where there is no `serverList`, as long as the slots.
fn index_table(map: &mut ClusterMap, servers: &[Scalar<'_>], origin: &str) -> Vec<i16> {
    let slots = map.nodes.len();
    let as_cell = |slot: usize| i16::try_from(slot).unwrap_or(NOBODY);
    let len = if servers.is_empty() { slots } else { servers.len() };
    let mut table: Vec<i16> =
        (0..len.min(MAX_SLOTS)).map(|index| if index < slots { as_cell(index) } else { NOBODY }).collect();
    // Only built when an entry is not where its position says, which is rare.
    let mut by_address = None;
    for (index, entry) in servers.iter().enumerate() {
        let Some((host, port)) = entry.text().and_then(|entry| split_server(&entry, origin)) else {
            continue;
        };
        let in_place =
            map.nodes.get(index).and_then(|node| node.endpoint(Service::Kv, DEFAULT_NETWORK, false));
        if in_place.is_some_and(|(at, p)| p == port && canonical_host_eq(at, &host)) {
            map.nodes[index].serves_bucket = true;
            continue;
        }
        let by_address = by_address.get_or_insert_with(|| slots_by_address(&map.nodes));
        if let Some(Some(slot)) = by_address.get(&(CanonicalHost::new(&host), port)).copied() {
            table[index] = as_cell(slot);
            map.nodes[slot].serves_bucket = true;
            map.warnings.push(MapWarning::ServerListReordered { index, slot });
        }
    }
    table
}

/// Slots by default host and plain KV port; `None` where several share one.
fn slots_by_address(nodes: &[Node]) -> BTreeMap<(CanonicalHost, u16), Option<usize>> {
    let mut slots = BTreeMap::new();
    for node in nodes {
        if let Some((host, port)) = node.endpoint(Service::Kv, DEFAULT_NETWORK, false) {
            slots
                .entry((CanonicalHost::new(host), port))
                .and_modify(|slot| *slot = None)
                .or_insert(Some(node.index));
        }
    }
    slots
}

/// R-IDX-4: cells that name no slot read as -1.
fn warn_of_strays(map: &VbucketMap, warnings: &mut Vec<MapWarning>) {
    let stray = |cell: &i16| *cell >= 0 && map.slot_of(*cell).is_none();
    let all: [Option<&Rows>; 2] = [Some(&map.current), map.forward.as_ref()];
    let cells = all.into_iter().flatten().flat_map(|rows| &rows.cells).filter(|cell| stray(cell)).count();
    if cells == 0 {
        return;
    }
    let in_row = |rows: &Rows, v| rows.row(v).is_some_and(|row| row.iter().any(stray));
    let first =
        (0..map.count()).find(|v| all.into_iter().flatten().any(|rows| in_row(rows, *v))).unwrap_or(0);
    warnings.push(MapWarning::IndexOutOfRange { cells, first_vbucket: first as u16 });
}

/// The ring of a memcached bucket: nodes that serve it and have a plain KV port, whatever network and mode the client
/// uses (R-IDX-5, SDK RFC 0026). IPv6 authorities have no brackets, as in Java; no source settles it.
fn ring(map: &mut ClusterMap) {
    let members: Vec<_> = map
        .nodes
        .iter()
        .filter(|node| node.serves_bucket)
        .filter_map(|node| {
            let (host, port) = node.endpoint(Service::Kv, DEFAULT_NETWORK, false)?;
            Some((format!("{host}:{port}"), u16::try_from(node.index).ok()?))
        })
        .collect();
    if members.len() > MAX_RING_MEMBERS {
        map.warnings.push(MapWarning::TooManyRingMembers(members.len()));
    } else {
        map.ketama = Some(Ketama::new(members));
    }
}

fn set(names: &Strings<'_>) -> BTreeSet<String> {
    names.0.iter().filter_map(|name| name.non_empty()).collect()
}

/// Foreign text for a message: not longer than anyone wants to read.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
