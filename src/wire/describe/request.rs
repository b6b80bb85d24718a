//! What the sections of a client's request mean.

use serde_json::{Map, Value, json};

use super::{Context, hex, hex_id, hex8, hex32, hex64, parse_json, plain_value, text};
use crate::wire::read::Reader;
use crate::wire::{DecodeError, Feature, Frame, Opcode, datatype, observe, ops, range_scan, subdoc};

pub(super) fn fields(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    datatype::check(frame.header.datatype)?;
    let opcode = frame.header.opcode;
    if opcode.attributes().collection_key {
        return with_key(frame, context);
    }
    Ok(match opcode {
        Opcode::HELLO => {
            let features: Vec<Value> =
                Feature::list(frame.value)?.map(|feature| super::hex16(feature.0)).collect();
            json!({"client": text(frame.key), "features": features})
        }
        Opcode::GET_ERROR_MAP => json!({"version": ops::error_map_version(frame.value)?}),
        Opcode::SASL_AUTH | Opcode::SASL_STEP => sasl(frame),
        Opcode::SELECT_BUCKET => json!({"bucket": text(frame.key)}),
        Opcode::GET_CLUSTER_CONFIG => {
            let known = ops::known_config(frame.extras)?;
            json!({"known": known.map(|(epoch, rev)| json!({"epoch": epoch, "rev": rev}))})
        }
        Opcode::STAT => json!({"group": text(frame.key)}),
        Opcode::OBSERVE => {
            let keys = observe::keys(frame.value)?;
            let entry =
                |key: &observe::ObserveKey<'_>| json!({"vbucket": key.vbucket.0, "wire_key": hex(key.key)});
            json!({"entries": keys.iter().map(entry).collect::<Vec<_>>()})
        }
        Opcode::OBSERVE_SEQNO => json!({"vbuuid": hex64(ops::number(frame.value)?)}),
        Opcode::GET_RANDOM_KEY => {
            let (collection, include_xattrs) = ops::random_key(frame.extras)?;
            json!({"collection_id": hex_id(collection.0), "include_xattrs": include_xattrs})
        }
        Opcode::GET_ALL_VB_SEQNOS => {
            let mut extras = Reader::new("GET_ALL_VB_SEQNOS extras", frame.extras);
            let mut next = || if extras.is_empty() { Ok(None) } else { extras.u32("a field").map(Some) };
            let (state, collection) = (next()?, next()?);
            extras.end()?;
            json!({"state": state, "collection_id": collection.map(hex_id)})
        }
        Opcode::SEQNO_PERSISTENCE => json!({"seqno": ops::number(frame.extras)?}),
        Opcode::COLLECTIONS_GET_ID | Opcode::COLLECTIONS_GET_SCOPE_ID => json!({"path": text(frame.value)}),
        Opcode::RANGE_SCAN_CREATE => json!({"json": parse_json(frame.value)?}),
        Opcode::RANGE_SCAN_CONTINUE => {
            let request = range_scan::ScanContinue::parse(frame.extras)?;
            json!({
                "uuid": request.id.to_string(),
                "item_limit": request.item_limit,
                "time_limit_ms": request.time_limit_ms,
                "byte_limit": request.byte_limit,
            })
        }
        Opcode::RANGE_SCAN_CANCEL => json!({"uuid": range_scan::scan_id(frame.extras)?.to_string()}),
        _ => Value::Null,
    })
}

fn sasl(frame: &Frame<'_>) -> Value {
    let mechanism = text(frame.key);
    let mut parts = frame.value.split(|byte| *byte == 0);
    match (frame.key, parts.next(), parts.next(), parts.next(), parts.next()) {
        (b"PLAIN", Some(authzid), Some(authcid), Some(password), None) => json!({
            "mechanism": mechanism,
            "authzid": text(authzid),
            "authcid": text(authcid),
            "password": text(password),
        }),
        _ => json!({"mechanism": mechanism, "payload": text(frame.value)}),
    }
}

fn with_key(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    let (collection, key) = ops::split_key(frame.key, context.collections)?;
    let mut all = Map::new();
    all.insert("collection_id".to_owned(), collection.map_or(Value::Null, |id| hex_id(id.0)));
    all.insert("key".to_owned(), text(key));
    if let Value::Object(fields) = keyed_fields(frame)? {
        all.extend(fields);
    }
    Ok(Value::Object(all))
}

fn keyed_fields(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    Ok(match frame.header.opcode {
        Opcode::SET | Opcode::ADD | Opcode::REPLACE => {
            let (flags, expiry) = ops::store(frame.extras)?;
            json!({"flags": hex32(flags), "expiry": expiry, "value_text": text(&plain_value(frame)?)})
        }
        Opcode::APPEND | Opcode::PREPEND => json!({"value_text": text(&plain_value(frame)?)}),
        Opcode::TOUCH | Opcode::GAT => json!({"expiry": ops::touch(frame.extras)?}),
        Opcode::GET_LOCKED => json!({"lock_time": ops::lock(frame.extras)?}),
        Opcode::INCREMENT | Opcode::DECREMENT => {
            let counter = ops::counter(frame.extras)?;
            json!({"delta": counter.delta, "initial": counter.initial, "expiry": counter.expiry})
        }
        Opcode::GET_META => json!({"version": ops::meta_version(frame.extras)?}),
        Opcode::SET_WITH_META | Opcode::ADD_WITH_META | Opcode::DEL_WITH_META => {
            let meta = ops::with_meta(frame.extras)?;
            json!({
                "flags": hex32(meta.flags),
                "expiry": meta.expiry,
                "rev_seqno": meta.rev_seqno,
                "meta_cas": hex64(meta.cas),
                "options": meta.options.map(hex32),
                "nmeta": meta.nmeta,
                "value_text": text(&plain_value(frame)?),
            })
        }
        Opcode::GET_KEYS => {
            let count = if frame.extras.is_empty() { None } else { Some(ops::flags(frame.extras)?) };
            json!({"count": count})
        }
        Opcode::SUBDOC_MULTI_LOOKUP => {
            let spec = |spec: &subdoc::LookupSpec<'_>| json!({"opcode": hex8(spec.opcode.0), "flags": hex8(spec.flags), "path": text(spec.path)});
            let specs = subdoc::lookup_specs(frame.value)?;
            json!({
                "doc_flags": subdoc::lookup_doc_flags(frame.extras)?.map(hex8),
                "specs": specs.iter().map(spec).collect::<Vec<_>>(),
            })
        }
        Opcode::SUBDOC_MULTI_MUTATION => {
            let spec = |spec: &subdoc::MutationSpec<'_>| {
                json!({
                    "opcode": hex8(spec.opcode.0),
                    "flags": hex8(spec.flags),
                    "path": text(spec.path),
                    "value_text": text(spec.value),
                })
            };
            let extras = subdoc::MutationExtras::parse(frame.extras)?;
            let specs = subdoc::mutation_specs(frame.value)?;
            json!({
                "expiry": extras.expiry,
                "user_flags": extras.user_flags.map(hex32),
                "doc_flags": extras.doc_flags.map(hex8),
                "specs": specs.iter().map(spec).collect::<Vec<_>>(),
            })
        }
        opcode if subdoc::is_single_path(opcode) => single_path(frame)?,
        _ => Value::Null,
    })
}

fn single_path(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let request = subdoc::SinglePath::parse(frame.extras, frame.value)?;
    let mut all = json!({
        "path_flags": hex8(request.flags),
        "expiry": request.extras.expiry,
        "doc_flags": request.extras.doc_flags.map(hex8),
        "path": text(request.path),
        "value_text": text(request.value),
    });
    if let (Value::Object(all), Some(user_flags)) = (&mut all, request.extras.user_flags) {
        all.insert("user_flags".to_owned(), hex32(user_flags));
    }
    Ok(all)
}
