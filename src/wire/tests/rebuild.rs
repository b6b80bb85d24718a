//! Client requests written anew from what was read of them, section by section.

use crate::ids::CollectionId;
use crate::wire::*;

fn framing_extras(frame: &Frame<'_>) -> Vec<u8> {
    let mut infos = RequestFrameInfos::default();
    for info in FrameInfos::new(frame.framing_extras) {
        let info = info.unwrap();
        match (info.id, info.payload) {
            (request_info::BARRIER, []) => infos.barrier = true,
            (request_info::PRESERVE_TTL, []) => infos.preserve_ttl = true,
            (request_info::IMPERSONATE, user) => infos.impersonate = Some(std::str::from_utf8(user).unwrap()),
            (request_info::DURABILITY, [level, timeout @ ..]) => {
                let level = DurabilityLevel::from_byte(*level).unwrap();
                let timeout_ms = timeout.try_into().ok().map(u16::from_be_bytes);
                infos.durability = Some(Durability { level, timeout_ms });
            }
            other => panic!("{other:?}"),
        }
    }
    let mut out = Vec::new();
    infos.emit(&mut out).unwrap();
    out
}

/// Extras and value of a request.
fn sections(frame: &Frame<'_>) -> (Vec<u8>, Vec<u8>) {
    let (extras, value) = (frame.extras, frame.value);
    let (mut new_extras, mut new_value) = (Vec::new(), Vec::new());
    match frame.header.opcode {
        Opcode::SET | Opcode::ADD | Opcode::REPLACE => {
            let (flags, expiry) = ops::store(extras).unwrap();
            new_extras.extend(ops::store_extras(flags, expiry));
            new_value.extend(value);
        }
        Opcode::TOUCH | Opcode::GAT => new_extras.extend(ops::touch_extras(ops::touch(extras).unwrap())),
        Opcode::GET_LOCKED => {
            new_extras.extend(ops::lock(extras).unwrap().map(ops::lock_extras).into_iter().flatten())
        }
        Opcode::INCREMENT | Opcode::DECREMENT => {
            let counter = ops::counter(extras).unwrap();
            new_extras.extend(ops::counter_extras(counter.delta, counter.initial, counter.expiry));
        }
        Opcode::GET_META => new_extras.push(ops::meta_version(extras).unwrap()),
        Opcode::SET_WITH_META => {
            ops::with_meta(extras).unwrap().emit(&mut new_extras);
            new_value.extend(value);
        }
        Opcode::GET_CLUSTER_CONFIG => {
            let known = ops::known_config(extras).unwrap();
            new_extras
                .extend(known.map(|(epoch, rev)| ops::known_config_extras(epoch, rev)).into_iter().flatten());
        }
        Opcode::GET_RANDOM_KEY => {
            new_extras.extend(ops::random_key_extras(ops::random_key(extras).unwrap().0));
        }
        Opcode::HELLO => {
            new_value.extend(Feature::list(value).unwrap().flat_map(|feature| feature.0.to_be_bytes()));
        }
        Opcode::GET_ERROR_MAP => new_value.extend(ops::error_map_version(value).unwrap().to_be_bytes()),
        Opcode::OBSERVE => {
            let keys = observe::keys(value).unwrap();
            keys.iter().for_each(|key| observe::emit_key(key, &mut new_value).unwrap());
        }
        Opcode::OBSERVE_SEQNO => new_value.extend(ops::number(value).unwrap().to_be_bytes()),
        Opcode::SEQNO_PERSISTENCE => new_extras.extend(ops::number(extras).unwrap().to_be_bytes()),
        Opcode::SUBDOC_MULTI_LOOKUP => {
            new_extras.extend(subdoc::lookup_doc_flags(extras).unwrap());
            let specs = subdoc::lookup_specs(value).unwrap();
            specs.iter().for_each(|spec| spec.emit(&mut new_value).unwrap());
        }
        Opcode::SUBDOC_MULTI_MUTATION => {
            subdoc::MutationExtras::parse(extras).unwrap().emit(&mut new_extras);
            let specs = subdoc::mutation_specs(value).unwrap();
            specs.iter().for_each(|spec| spec.emit(&mut new_value).unwrap());
        }
        opcode if subdoc::is_single_path(opcode) => {
            let request = subdoc::SinglePath::parse(extras, value).unwrap();
            request.emit_extras(&mut new_extras).unwrap();
            new_value.extend([request.path, request.value].concat());
        }
        Opcode::RANGE_SCAN_CREATE => {
            new_value.extend(range_scan::ScanCreate::parse(value).unwrap().to_json())
        }
        Opcode::RANGE_SCAN_CONTINUE => {
            new_extras.extend(range_scan::ScanContinue::parse(extras).unwrap().extras());
        }
        Opcode::RANGE_SCAN_CANCEL => new_extras.extend(range_scan::scan_id(extras).unwrap().0),
        _ => {
            new_extras.extend(extras);
            new_value.extend(value);
        }
    }
    (new_extras, new_value)
}

pub(super) fn request(frame: &Frame<'_>, collections: bool) -> Vec<u8> {
    let header = frame.header;
    let collections = collections && header.opcode.attributes().collection_key;
    let (collection, key) = ops::split_key(frame.key, collections).unwrap();
    let prefix = collection.map_or(Leb128::EMPTY, |CollectionId(id)| Leb128::encode(id));
    let framing_extras = framing_extras(frame);
    let (extras, value) = sections(frame);
    let request = Encode {
        datatype: header.datatype,
        vbucket_or_status: header.vbucket_or_status,
        cas: header.cas,
        extras: &extras,
        key_prefix: prefix.as_slice(),
        key,
        ..Encode::request(header.opcode, header.opaque)
    };
    let mut out = Vec::new();
    request.with_framing_extras(&framing_extras).emit(&value, &mut out).unwrap();
    out
}
