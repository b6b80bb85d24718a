//! The JSON of cluster maps, read leniently and without a tree of values.
//!
//! What is malformed is kept as "missing" or as a recorded fault, so that `parse` can decide by the rules of each
//! field; the only errors that come out of here mean "not JSON". Duplicate keys: the last one wins (R-PARSE-5). `null`
//! reads as missing. Memory grows with the document, never by a number in it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::node::{Ports, Service};
use super::vbucket::{BEYOND, MAX_VBUCKETS, NOBODY, Rows};

/// The data node's own packet limit (R-PARSE-4).
pub(super) const MAX_BYTES: usize = 30 * 1024 * 1024;
/// Nesting beyond this is refused before parsing (R-PARSE-4).
pub(super) const MAX_DEPTH: usize = 32;
/// More slots than this cannot be told apart by a map cell.
pub(super) const MAX_SLOTS: usize = BEYOND as usize;
/// More networks than this on one node are no configuration of anybody's.
const MAX_NETWORKS: usize = 64;

/// More services with capabilities than this are no cluster's; the rest is ignored.
const MAX_CAPABILITY_SERVICES: usize = 64;

/// Size, encoding and nesting, before any parsing. The error is for people.
pub(super) fn check_limits(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("{} bytes, the limit is {MAX_BYTES}", bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("nested deeper than {MAX_DEPTH}"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

/// The text of any JSON value, looked at as a scalar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar<'a>(pub(super) &'a str);

/// What a [`Scalar`] is as an integer (R-PARSE-3: never by way of floating point).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Int {
    Missing,
    NotAnInteger,
    OutOfRange,
    Value(i64),
}

impl Default for Scalar<'_> {
    fn default() -> Self {
        Self("null")
    }
}

impl<'a> Scalar<'a> {
    pub(super) fn is_missing(self) -> bool {
        self.0 == "null"
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == "true"
    }

    pub(super) fn int(self) -> Int {
        if self.is_missing() {
            return Int::Missing;
        }
        let digits = self.0.strip_prefix('-').unwrap_or(self.0);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Int::NotAnInteger;
        }
        self.0.parse().map_or(Int::OutOfRange, Int::Value)
    }

    pub(super) fn port(self) -> Option<u16> {
        match self.int() {
            Int::Value(port) => u16::try_from(port).ok().filter(|port| *port != 0),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// A string that says something.
    pub(super) fn non_empty(self) -> Option<String> {
        self.text().filter(|text| !text.is_empty()).map(Cow::into_owned)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// What gathers the entries of an object. `entry` must consume exactly one value.
pub(super) trait Object<'de>: Default {
    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// What gathers the elements of an array. `element` consumes one, and says whether there was one.
pub(super) trait Array<'de>: Default {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error>;
}

/// An object, or `None` for a value of any other type.
#[derive(Debug)]
pub(super) struct Obj<T>(pub(super) Option<T>);
/// An array, or `None` for a value of any other type.
#[derive(Debug)]
pub(super) struct Arr<T>(pub(super) Option<T>);

/// Accepts every scalar and makes `None` of it.
macro_rules! scalars_are_none {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Default::default())
        }
    };
}

struct ObjVisitor<T>(PhantomData<T>);

impl<'de, T: Object<'de>> Visitor<'de> for ObjVisitor<T> {
    type Value = Option<T>;

    scalars_are_none!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = T::default();
        while let Some(key) = map.next_key::<Name<'de>>()? {
            object.entry(&key.0, &mut map)?;
        }
        Ok(Some(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjVisitor(PhantomData)).map(Self)
    }
}

struct ArrVisitor<T>(PhantomData<T>);

impl<'de, T: Array<'de>> Visitor<'de> for ArrVisitor<T> {
    type Value = Option<T>;

    scalars_are_none!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut array = T::default();
        while array.element(&mut seq)? {}
        Ok(Some(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de, T: Array<'de>> Deserialize<'de> for Arr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArrVisitor(PhantomData)).map(Self)
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

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

/// Rows of a map, or the reason why they are none.
#[derive(Debug)]
pub(super) struct RawRows {
    pub(super) rows: Rows,
    pub(super) fault: Option<&'static str>,
}

impl Default for RawRows {
    fn default() -> Self {
        Self { rows: Rows { cells: Vec::new(), starts: vec![0] }, fault: None }
    }
}

impl<'de> Array<'de> for RawRows {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        if self.fault.is_none() && self.rows.len() == MAX_VBUCKETS {
            let more = seq.next_element::<IgnoredAny>()?.is_some();
            if more {
                self.fault = Some("more than 32768 rows");
            }
            return Ok(more);
        }
        if self.fault.is_some() {
            return Ok(seq.next_element::<IgnoredAny>()?.is_some());
        }
        Ok(seq.next_element_seed(RowSeed(self))?.is_some())
    }
}

struct RowSeed<'r>(&'r mut RawRows);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let rows = self.0;
        if deserializer.deserialize_any(RowVisitor(&mut *rows))?.is_none() {
            rows.fault = Some("a row is not an array of integers");
        }
        // The document is at most 30 MiB long, so its cells can be counted in 32 bits.
        rows.rows.starts.push(rows.rows.cells.len() as u32);
        Ok(())
    }
}

struct RowVisitor<'r>(&'r mut RawRows);

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = Option<()>;

    scalars_are_none!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while let Some(Cell(cell)) = seq.next_element()? {
            match cell {
                Some(cell) => self.0.rows.cells.push(cell),
                None => {
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// One cell; `None` where it is no integer.
struct Cell(Option<i16>);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor).map(Self)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Option<i16>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_u64<E>(self, index: u64) -> Result<Self::Value, E> {
        Ok(Some(i16::try_from(index).unwrap_or(BEYOND)))
    }
    fn visit_i64<E>(self, index: i64) -> Result<Self::Value, E> {
        Ok(Some(if index < 0 { NOBODY } else { i16::try_from(index).unwrap_or(BEYOND) }))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
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
