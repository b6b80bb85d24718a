//! The protocol's tables, where they lie beside the workspace; each module tests a few rows of its own.

use std::time::Duration;

use serde_json::Value;

use super::{list, shared, unhex};
use crate::expiry::Expiry;
use crate::wire::datatype::CompressionRule;
use crate::wire::{
    Durability, Feature, Leb128, Opcode, ServerDuration, ServerOpcode, Status, emit_frame_info,
};

fn number(value: &Value) -> u32 {
    match value.as_str() {
        Some(text) => u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
        None => value.as_u64().unwrap() as u32,
    }
}

#[test]
fn protocol_vectors_leb128() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors, "leb128_valid") {
        let (value, bytes) = (number(&row["value"]), unhex(&row["leb128"]));
        assert_eq!(Leb128::encode(value).as_slice(), bytes);
        assert_eq!(Leb128::decode(&bytes), Ok((value, &[][..])));
    }
    for row in list(&vectors, "leb128_invalid") {
        assert!(Leb128::decode(&unhex(&row["leb128"])).is_err(), "{row}");
    }
}

#[test]
fn protocol_vectors_server_duration() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors, "server_duration") {
        let duration = ServerDuration(number(&row["encoded"]) as u16);
        let micros = row["micros_f64"].as_f64().unwrap();
        assert!((duration.micros() - micros).abs() <= micros * 1e-12, "{row}");
        assert_eq!(duration.to_duration(), Duration::from_micros(u64::from(number(&row["micros_rounded"]))));
    }
}

#[test]
fn protocol_vectors_frame_info_headers() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors, "frame_info_headers") {
        let (mut out, header) = (Vec::new(), unhex(&row["encoded_header"]));
        emit_frame_info(number(&row["id"]) as u16, &vec![0; number(&row["len"]) as usize], &mut out).unwrap();
        assert_eq!(&out[..header.len()], header, "{row}");
        assert_eq!(out.len() - header.len(), number(&row["len"]) as usize);
    }
}

#[test]
fn protocol_vectors_durability_timeout() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors, "durability_timeout") {
        let left = Duration::from_millis(u64::from(number(&row["op_timeout_ms"])));
        assert_eq!(u32::from(Durability::timeout_for(left)), number(&row["wire_ms"]), "{row}");
    }
}

#[test]
fn protocol_vectors_expiry() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors, "expiry") {
        let expiry = match (row["seconds"].as_u64(), row["epoch"].as_i64()) {
            (Some(seconds), _) => {
                Expiry::after(Duration::from_secs(seconds), row["now"].as_u64().unwrap_or(0)).ok()
            }
            (_, Some(instant)) => u64::try_from(instant).ok().and_then(|instant| Expiry::at(instant).ok()),
            _ => continue, // told in words
        };
        let wire = row["wire"].as_u64().map(|wire| wire as u32);
        assert_eq!(expiry.map(Expiry::to_wire), wire, "{row}");
    }
}

#[test]
fn protocol_vectors_compression() {
    let Some(vectors) = shared() else { return };
    let rule = CompressionRule::default();
    for row in list(&vectors, "compression") {
        let len = number(&row["len"]) as usize;
        if let Some(eligible) = row["eligible"].as_bool() {
            assert_eq!(rule.is_eligible(len), eligible, "{row}");
        }
        if let Some(sent) = row["send_compressed"].as_bool() {
            assert_eq!(rule.accepts(number(&row["compressed"]) as usize, len), sent, "{row}");
        }
    }
}

#[test]
fn protocol_vectors_opcodes() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors["tables"], "opcodes") {
        let opcode = Opcode(number(&row["code"]) as u8);
        assert_eq!(opcode.name(), row["name"].as_str());
        let attributes = opcode.attributes();
        for (name, value) in [
            ("idempotent", attributes.idempotent),
            ("durability", attributes.durability),
            ("preserve_ttl", attributes.preserve_ttl),
            ("reorderable", attributes.reorderable),
            ("collection_key", attributes.collection_key),
            ("writes_document", attributes.writes_document),
        ] {
            assert_eq!(row[name], value, "{name} of {opcode}");
        }
    }
    for row in list(&vectors["tables"], "server_opcodes") {
        assert_eq!(ServerOpcode(number(&row["code"]) as u8).name(), row["name"].as_str());
    }
}

#[test]
fn protocol_vectors_features() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors["tables"], "features") {
        let feature = Feature(number(&row["code"]) as u16);
        if feature != Feature::COLLECTIONS_OBSOLETE {
            assert_eq!(feature.name(), row["name"].as_str());
        }
        let needs: Vec<Feature> =
            list(row, "needs").iter().map(|code| Feature(number(code) as u16)).collect();
        assert_eq!(feature.needs(), needs, "{feature}");
    }
}

#[test]
fn protocol_vectors_statuses() {
    let Some(vectors) = shared() else { return };
    for row in list(&vectors["tables"], "statuses") {
        assert_eq!(Status(number(&row["code"]) as u16).name(), row["name"].as_str(), "{row}");
    }
}
