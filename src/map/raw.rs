//! The fields of a config that matter, as they stand in the document.

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::json::{Arr, Array, Int, Obj, Object, Scalar};
use super::node::{Ports, Service};
use super::rows::RawRows;
use super::vbucket::BEYOND;

/// More slots than this cannot be told apart by a map cell.
pub(super) const MAX_SLOTS: usize = BEYOND as usize;
/// More networks than this on one node are no configuration of anybody's.
const MAX_NETWORKS: usize = 64;
/// More services with capabilities than this are no cluster's; the rest is ignored.
const MAX_CAPABILITY_SERVICES: usize = 64;

/// The top level of a config.
#[derive(Debug, Default)]
pub(super) struct RawMap<'a> {
    pub(super) rev: Scalar<'a>,
    pub(super) rev_epoch: Scalar<'a>,
    pub(super) name: Scalar<'a>,
    pub(super) uuid: Scalar<'a>,
    pub(super) node_locator: Scalar<'a>,
    pub(super) bucket_type: Scalar<'a>,
    pub(super) storage_backend: Scalar<'a>,
    pub(super) num_vbuckets: Scalar<'a>,
    pub(super) collections_manifest_uid: Scalar<'a>,
    pub(super) hibernation_state: Scalar<'a>,
    pub(super) cluster_uuid: Scalar<'a>,
    pub(super) cluster_name: Scalar<'a>,
    pub(super) prod: Scalar<'a>,
    pub(super) bucket_capabilities: Option<Strings<'a>>,
    pub(super) capabilities_version: Scalar<'a>,
    pub(super) cluster_capabilities: Option<RawCapabilities<'a>>,
    pub(super) server_map: Option<RawServerMap<'a>>,
    pub(super) nodes: Option<Count>,
    pub(super) nodes_ext: Option<RawNodes<'a>>,
}

impl<'de> Object<'de> for RawMap<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let place = match key {
            "rev" => &mut self.rev,
            "revEpoch" => &mut self.rev_epoch,
            "name" => &mut self.name,
            "uuid" => &mut self.uuid,
            "nodeLocator" => &mut self.node_locator,
            "bucketType" => &mut self.bucket_type,
            "storageBackend" => &mut self.storage_backend,
            "numVBuckets" => &mut self.num_vbuckets,
            "collectionsManifestUid" => &mut self.collections_manifest_uid,
            "hibernationState" => &mut self.hibernation_state,
            "clusterUUID" => &mut self.cluster_uuid,
            "clusterName" => &mut self.cluster_name,
            "prod" => &mut self.prod,
            "clusterCapabilitiesVer" => &mut self.capabilities_version,
            "bucketCapabilities" => {
                self.bucket_capabilities = map.next_value::<Arr<_>>()?.0;
                return Ok(());
            }
            "clusterCapabilities" => {
                self.cluster_capabilities = map.next_value::<Obj<_>>()?.0;
                return Ok(());
            }
            "vBucketServerMap" => {
                self.server_map = map.next_value::<Obj<_>>()?.0;
                return Ok(());
            }
            "nodes" => {
                self.nodes = map.next_value::<Arr<_>>()?.0;
                return Ok(());
            }
            "nodesExt" => {
                self.nodes_ext = map.next_value::<Arr<_>>()?.0;
                return Ok(());
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
                return Ok(());
            }
        };
        *place = map.next_value()?;
        Ok(())
    }
}

/// The length of an array.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) usize);

impl<'de> Array<'de> for Count {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        let found = seq.next_element::<IgnoredAny>()?.is_some();
        self.0 += usize::from(found);
        Ok(found)
    }
}

/// Scalars of an array of strings; what is no string reads as `None` by [`Scalar::text`]. At most [`MAX_SLOTS`] kept.
#[derive(Debug, Default)]
pub(super) struct Strings<'a>(pub(super) Vec<Scalar<'a>>);

impl<'de> Array<'de> for Strings<'de> {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        if self.0.len() >= MAX_SLOTS {
            return Ok(seq.next_element::<IgnoredAny>()?.is_some());
        }
        let element = seq.next_element::<Scalar<'de>>()?;
        self.0.extend(element);
        Ok(element.is_some())
    }
}

/// `clusterCapabilities`: service and names.
#[derive(Debug, Default)]
pub(super) struct RawCapabilities<'a>(pub(super) Vec<(String, Strings<'a>)>);

impl<'de> Object<'de> for RawCapabilities<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let names = map.next_value::<Arr<_>>()?.0;
        self.0.retain(|(known, _)| known != key);
        if let Some(names) = names
            && self.0.len() < MAX_CAPABILITY_SERVICES
        {
            self.0.push((key.to_owned(), names));
        }
        Ok(())
    }
}

/// `vBucketServerMap`.
#[derive(Debug, Default)]
pub(super) struct RawServerMap<'a> {
    pub(super) num_replicas: Scalar<'a>,
    pub(super) server_list: Option<Strings<'a>>,
    pub(super) map: Option<RawRows>,
    pub(super) forward: Option<RawRows>,
    pub(super) has_forward: bool,
}

impl<'de> Object<'de> for RawServerMap<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "numReplicas" => self.num_replicas = map.next_value()?,
            "serverList" => self.server_list = map.next_value::<Arr<_>>()?.0,
            "vBucketMap" => self.map = map.next_value::<Arr<_>>()?.0,
            "vBucketMapForward" => {
                self.forward = map.next_value::<Arr<_>>()?.0;
                self.has_forward = true;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// `nodesExt`: every element is a slot, also one that is no object (R-IDX-1).
#[derive(Debug, Default)]
pub(super) struct RawNodes<'a> {
    pub(super) nodes: Vec<RawNode<'a>>,
    /// How many elements there were.
    pub(super) seen: usize,
}

impl<'de> Array<'de> for RawNodes<'de> {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        let found = if self.nodes.len() >= MAX_SLOTS {
            seq.next_element::<IgnoredAny>()?.is_some()
        } else {
            let node = seq.next_element::<Obj<_>>()?;
            let found = node.is_some();
            self.nodes.extend(node.map(|node| node.0.unwrap_or_default()));
            found
        };
        self.seen += usize::from(found);
        Ok(found)
    }
}

/// One element of `nodesExt`.
#[derive(Debug, Default)]
pub(super) struct RawNode<'a> {
    pub(super) hostname: Scalar<'a>,
    pub(super) this_node: Scalar<'a>,
    pub(super) server_group: Scalar<'a>,
    pub(super) node_uuid: Scalar<'a>,
    pub(super) app_telemetry_path: Scalar<'a>,
    pub(super) services: RawPorts,
    pub(super) alternates: RawAlternates<'a>,
}

impl<'de> Object<'de> for RawNode<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "hostname" => self.hostname = map.next_value()?,
            "thisNode" => self.this_node = map.next_value()?,
            "serverGroup" => self.server_group = map.next_value()?,
            "nodeUUID" => self.node_uuid = map.next_value()?,
            "appTelemetryPath" => self.app_telemetry_path = map.next_value()?,
            "services" => self.services = map.next_value::<Obj<_>>()?.0.unwrap_or_default(),
            "alternateAddresses" => self.alternates = map.next_value::<Obj<_>>()?.0.unwrap_or_default(),
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// `services` or `ports`.
#[derive(Debug, Default)]
pub(super) struct RawPorts {
    pub(super) ports: Ports,
    /// There is an entry, known or not, valid or not (R-ALT-2).
    pub(super) any: bool,
}

impl<'de> Object<'de> for RawPorts {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let value: Scalar<'de> = map.next_value()?;
        self.any |= !value.is_missing();
        if let Some((service, tls)) = Service::from_key(key) {
            self.ports.set(service, tls, value.port());
        }
        Ok(())
    }
}

/// `alternateAddresses`, networks in order of first appearance. What is no object is no network.
#[derive(Debug, Default)]
pub(super) struct RawAlternates<'a> {
    pub(super) networks: Vec<(String, RawAlternate<'a>)>,
    /// There were more than are kept.
    pub(super) truncated: bool,
}

impl<'de> Object<'de> for RawAlternates<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let alternate = map.next_value::<Obj<RawAlternate<'de>>>()?.0;
        let known = self.networks.iter().position(|(name, _)| name == key);
        match (known, alternate) {
            (Some(at), Some(alternate)) => self.networks[at].1 = alternate,
            (Some(at), None) => {
                self.networks.remove(at);
            }
            (None, Some(_)) if self.networks.len() >= MAX_NETWORKS => self.truncated = true,
            (None, Some(alternate)) => self.networks.push((key.to_owned(), alternate)),
            (None, None) => {}
        }
        Ok(())
    }
}

/// One alternate address.
#[derive(Debug, Default)]
pub(super) struct RawAlternate<'a> {
    pub(super) hostname: Scalar<'a>,
    pub(super) ports: Option<RawPorts>,
}

impl<'de> Object<'de> for RawAlternate<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "hostname" => self.hostname = map.next_value()?,
            "ports" => self.ports = map.next_value::<Obj<_>>()?.0,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The major version of `clusterCapabilitiesVer`: `Ok(None)` where absent, `Err` where it is nothing of the kind.
pub(super) fn major_version(version: Scalar<'_>) -> Result<Option<i64>, ()> {
    if version.is_missing() {
        return Ok(None);
    }
    let parts = serde_json::from_str::<Arr<Strings<'_>>>(version.0).map_err(drop)?.0.ok_or(())?;
    match parts.0.first().map(|part| part.int()) {
        Some(Int::Value(major)) => Ok(Some(major)),
        _ => Err(()),
    }
}
