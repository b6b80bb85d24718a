//! What the sections of a server's answer mean.

use serde_json::{Map, Value, json};

use super::{Context, hex, hex_id, hex16, hex32, hex64, optional_json, plain, plain_value, text};
use crate::wire::error_body::error_object;
use crate::wire::range_scan::{ScanItem, ScanItems, ScanMode};
use crate::wire::{DecodeError, Feature, Frame, Opcode, Status, datatype, observe, ops, range_scan, subdoc};

pub(super) fn fields(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    let status = frame.header.status();
    if !is_data(frame.header.opcode, status) {
        if status == Status::NOT_MY_VBUCKET {
            return Ok(json!({"config": optional_json(frame)?}));
        }
        return Ok(json!({"error": error_object(frame)}));
    }
    ops::check_answer_datatype(frame.header.opcode, frame.header.datatype)?;
    data(frame, context)
}

/// Whether the answer has the form of its operation, not that of an error (`kv-protocol.md` 3.1).
const fn is_data(opcode: Opcode, status: Status) -> bool {
    match status {
        Status::SUCCESS => true,
        Status::RANGE_SCAN_MORE | Status::RANGE_SCAN_COMPLETE => {
            matches!(opcode, Opcode::RANGE_SCAN_CONTINUE)
        }
        Status::SUBDOC_SUCCESS_DELETED => {
            subdoc::is_single_path(opcode)
                || matches!(opcode, Opcode::SUBDOC_MULTI_LOOKUP | Opcode::SUBDOC_MULTI_MUTATION)
        }
        Status::SUBDOC_MULTI_PATH_FAILURE | Status::SUBDOC_MULTI_PATH_FAILURE_DELETED => {
            matches!(opcode, Opcode::SUBDOC_MULTI_LOOKUP | Opcode::SUBDOC_MULTI_MUTATION)
        }
        Status::AUTH_CONTINUE => matches!(opcode, Opcode::SASL_AUTH | Opcode::SASL_STEP),
        _ => false,
    }
}

fn data(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    Ok(match frame.header.opcode {
        Opcode::HELLO => {
            json!({"features": Feature::list(frame.value)?.map(|feature| hex16(feature.0)).collect::<Vec<_>>()})
        }
        Opcode::GET_ERROR_MAP => json!({"json": optional_json(frame)?}),
        Opcode::SASL_LIST_MECHS => json!({"mechanisms": words(&plain_value(frame)?)}),
        Opcode::SASL_AUTH | Opcode::SASL_STEP if frame.value.is_empty() => Value::Null,
        Opcode::SASL_AUTH | Opcode::SASL_STEP => json!({"payload": text(frame.value)}),
        Opcode::GET_CLUSTER_CONFIG => json!({"config": optional_json(frame)?}),
        Opcode::VERSION => json!({"version": text(&plain_value(frame)?)}),
        Opcode::LIST_BUCKETS => json!({"buckets": words(&plain_value(frame)?)}),
        Opcode::GET | Opcode::GET_REPLICA | Opcode::GAT | Opcode::GET_LOCKED => {
            json!({"flags": hex32(ops::flags(frame.extras)?), "value_text": text(&plain_value(frame)?)})
        }
        Opcode::GET_EX | Opcode::GET_EX_REPLICA => document_with_xattrs(frame)?,
        Opcode::GET_RANDOM_KEY => {
            let (collection, key) = ops::split_key(frame.key, context.collections)?;
            json!({
                "collection_id": collection.map(|id| hex_id(id.0)),
                "key": text(key),
                "flags": hex32(ops::flags(frame.extras)?),
                "value_text": text(&plain_value(frame)?),
            })
        }
        Opcode::SET
        | Opcode::ADD
        | Opcode::REPLACE
        | Opcode::DELETE
        | Opcode::APPEND
        | Opcode::PREPEND
        | Opcode::SET_WITH_META
        | Opcode::ADD_WITH_META
        | Opcode::DEL_WITH_META => json!({"token": token(frame)?}),
        Opcode::INCREMENT | Opcode::DECREMENT => {
            json!({"token": token(frame)?, "counter": ops::number(frame.value)?})
        }
        Opcode::GET_META => {
            let meta = ops::meta(frame.extras)?;
            json!({
                "deleted": meta.deleted,
                "flags": hex32(meta.flags),
                "expiry": meta.expiry,
                "seqno": meta.seqno.0,
                "datatype": meta.datatype,
            })
        }
        Opcode::STAT => {
            let value = plain_value(frame)?;
            json!({
                "stat": text(frame.key),
                "stat_value": text(&value),
                "end": ops::is_stat_end(frame.key, frame.value),
            })
        }
        Opcode::COLLECTIONS_GET_MANIFEST => json!({"manifest": optional_json(frame)?}),
        Opcode::COLLECTIONS_GET_ID => {
            let (uid, id) = ops::collection_id(frame.extras)?;
            json!({"manifest_uid": hex_id(uid), "collection_id": hex_id(id.0)})
        }
        Opcode::COLLECTIONS_GET_SCOPE_ID => {
            let (uid, id) = ops::collection_id(frame.extras)?;
            json!({"manifest_uid": hex_id(uid), "scope_id": hex_id(id.0)})
        }
        Opcode::OBSERVE
        | Opcode::OBSERVE_SEQNO
        | Opcode::GET_FAILOVER_LOG
        | Opcode::GET_ALL_VB_SEQNOS
        | Opcode::GET_KEYS => observation(frame)?,
        Opcode::SUBDOC_MULTI_LOOKUP => lookup(frame, context)?,
        Opcode::SUBDOC_MULTI_MUTATION => mutation(frame, context)?,
        opcode if subdoc::is_single_path(opcode) => {
            let value_text = text(&plain_value(frame)?);
            if opcode.attributes().idempotent {
                json!({"value_text": value_text})
            } else {
                json!({"token": token(frame)?, "value_text": value_text})
            }
        }
        Opcode::RANGE_SCAN_CREATE => json!({"uuid": range_scan::scan_id(frame.value)?.to_string()}),
        Opcode::RANGE_SCAN_CONTINUE => scan(frame)?,
        _ => Value::Null,
    })
}

fn words(value: &[u8]) -> Vec<Value> {
    value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(text).collect()
}

fn token(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let token = ops::mutation_token(frame.extras)?;
    Ok(token.map_or(Value::Null, |(uuid, seqno)| json!({"vbuuid": hex64(uuid), "seqno": seqno.0})))
}

fn document_with_xattrs(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let flags = ops::flags(frame.extras)?;
    let value = plain_value(frame)?;
    let mut names = Map::new();
    let mut body = &*value;
    if frame.header.datatype & datatype::XATTR != 0 {
        let (xattrs, rest) = datatype::split_xattrs(&value)?;
        body = rest;
        for xattr in xattrs {
            let xattr = xattr?;
            names.insert(String::from_utf8_lossy(xattr.key).into_owned(), text(xattr.value));
        }
    }
    Ok(json!({"flags": hex32(flags), "xattrs": names, "value_text": text(body)}))
}

fn observation(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let value = plain_value(frame)?;
    Ok(match frame.header.opcode {
        Opcode::OBSERVE => {
            let entry = |observed: &observe::Observed<'_>| {
                json!({
                    "vbucket": observed.key.vbucket.0,
                    "wire_key": hex(observed.key.key),
                    "state": observed.state.byte(),
                    "cas": hex64(observed.cas.0),
                })
            };
            let hints = frame.header.cas.0;
            json!({
                "entries": observe::observed(&value)?.iter().map(entry).collect::<Vec<_>>(),
                "persist_hint_ms": hints >> 32,
                "replicate_hint_ms": hints & u64::from(u32::MAX),
            })
        }
        Opcode::OBSERVE_SEQNO => {
            let observed = observe::observed_seqno(&value)?;
            json!({
                "format": u8::from(observed.failover.is_some()),
                "vbucket": observed.vbucket.0,
                "vbuuid": hex64(observed.uuid),
                "persisted_seqno": observed.persisted.0,
                "current_seqno": observed.current.0,
                "old_vbuuid": observed.failover.map(|(uuid, _)| hex64(uuid)),
                "last_seqno": observed.failover.map(|(_, seqno)| seqno.0),
            })
        }
        Opcode::GET_FAILOVER_LOG => {
            let log = observe::failover_log(&value)?;
            let entries = log.iter().map(|(uuid, seqno)| json!({"vbuuid": hex64(*uuid), "seqno": seqno.0}));
            json!({"entries": entries.collect::<Vec<_>>()})
        }
        Opcode::GET_ALL_VB_SEQNOS => {
            let seqnos = observe::vbucket_seqnos(&value)?;
            let entries =
                seqnos.iter().map(|(vbucket, seqno)| json!({"vbucket": vbucket.0, "seqno": seqno.0}));
            json!({"entries": entries.collect::<Vec<_>>()})
        }
        _ => json!({"keys": observe::key_list(&value)?.into_iter().map(text).collect::<Vec<_>>()}),
    })
}

fn lookup(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    let value = plain_value(frame)?;
    let results = match context.specs {
        Some(specs) => subdoc::lookup_results(&value, specs)?,
        None => subdoc::LookupResults::new(&value).collect::<Result<_, _>>()?,
    };
    let entry = |result: &subdoc::LookupResult<'_>| json!({"status": hex16(result.status.0), "value_text": text(result.value)});
    Ok(json!({"results": results.iter().map(entry).collect::<Vec<_>>()}))
}

fn mutation(frame: &Frame<'_>, context: Context) -> Result<Value, DecodeError> {
    let value = plain_value(frame)?;
    let results =
        subdoc::mutation_results(frame.header.status(), &value, context.specs.unwrap_or(usize::MAX))?;
    let entry = |result: &subdoc::MutationResult<'_>| {
        json!({
            "index": result.index,
            "status": hex16(result.status.0),
            "value_text": result.value.map_or(Value::Null, text),
        })
    };
    Ok(json!({"token": token(frame)?, "results": results.iter().map(entry).collect::<Vec<_>>()}))
}

fn scan(frame: &Frame<'_>) -> Result<Value, DecodeError> {
    let value = plain_value(frame)?;
    let items = ScanItems::new(frame.extras, &value)?;
    let mode = match items.mode() {
        ScanMode::Keys => "keys",
        ScanMode::Documents => "docs",
    };
    let status = frame.header.status();
    Ok(json!({
        "mode": mode,
        "items": items.map(|item| scan_item(item?)).collect::<Result<Vec<_>, _>>()?,
        "more_frames": status == Status::SUCCESS,
        "scan_complete": status == Status::RANGE_SCAN_COMPLETE,
    }))
}

fn scan_item(item: ScanItem<'_>) -> Result<Value, DecodeError> {
    let document = match item {
        ScanItem::Key(key) => return Ok(text(key)),
        ScanItem::Document(document) => document,
    };
    Ok(json!({
        "flags": hex32(document.flags),
        "expiry": document.expiry,
        "seqno": document.seqno.0,
        "cas": hex64(document.cas.0),
        "datatype": document.datatype,
        "key": text(document.key),
        "value_text": text(&plain(document.datatype, document.value)?),
    }))
}
