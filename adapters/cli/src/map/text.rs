//! The report on a map for people.

use std::io::{self, Write};

use serde_json::Value;
use settee::map::MapError;

use crate::terminal::{Colours, visible};

pub(super) fn write_refusal(out: &mut impl Write, error: &MapError, colours: Colours) -> io::Result<()> {
    writeln!(out, "{} {}: {}", colours.red("refused"), error.reason, visible(&error.detail))
}

/// Writes what [`settee::map::report`] and the choice of network say.
pub(super) fn write(out: &mut impl Write, report: &Value, colours: Colours) -> io::Result<()> {
    let mut row =
        |name: &str, value: &str| writeln!(out, "{}{}", colours.bold(&format!("{name:<10}")), visible(value));
    let version = match &report["rev_epoch"] {
        Value::Null => word(&report["rev"]),
        epoch => format!("{} of epoch {}", word(&report["rev"]), word(epoch)),
    };
    row("map", &format!("{}, revision {version}", word(&report["kind"])))?;
    if let Some(bucket) = report["bucket"].as_object() {
        let kind = bucket.get("bucket_type").and_then(Value::as_str).unwrap_or("of unknown type");
        let collections = bucket.get("collections") == Some(&Value::Bool(true));
        let with = if collections { "with" } else { "without" };
        row("bucket", &format!("{}, {kind}, {with} collections", word(&bucket["name"])))?;
    }
    let vbuckets = &report["vbuckets"];
    if vbuckets.is_object() {
        let mut text = format!("{}, {} replicas", word(&vbuckets["count"]), word(&vbuckets["num_replicas"]));
        if let Some(active) = vbuckets["active_per_index"].as_object() {
            let per_index: Vec<String> =
                active.iter().map(|(index, count)| format!("{index}: {count}")).collect();
            text += &format!("; active by index: {}", per_index.join(", "));
        }
        if vbuckets["forward_rows"] != 0 {
            text += &format!("; a rebalance moves {}", word(&vbuckets["forward_rows_differing"]));
        }
        row("vbuckets", &text)?;
    }
    let chosen = report["network"].as_str().map_or("none can be used", |name| name);
    row("network", &format!("{chosen} ({})", word(&report["network_reason"])))?;
    for (index, endpoint) in list(&report["endpoints"]).enumerate() {
        row(if index == 0 { "nodes" } else { "" }, &node(report, endpoint))?;
    }
    for (index, placed) in list(&report["keys"]).enumerate() {
        row(if index == 0 { "keys" } else { "" }, &key(placed))?;
    }
    for warning in list(&report["warnings"]) {
        let name = format!("{:<10}", "warning");
        writeln!(out, "{}{}", colours.yellow(&name), visible(&word(warning)))?;
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value as text: strings without quotes, nothing for null.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn node(report: &Value, endpoint: &Value) -> String {
    let index = &endpoint["i"];
    let mut text = format!("{index}  {}  ", word(&endpoint["host"]));
    text += &match (&endpoint["kv"], &endpoint["mgmt"]) {
        (Value::Null, Value::Null) => "no endpoint here".to_owned(),
        (Value::Null, mgmt) => format!("no KV, manager {mgmt}"),
        (kv, Value::Null) => format!("KV {kv}"),
        (kv, mgmt) => format!("KV {kv}, manager {mgmt}"),
    };
    if endpoint["serves_bucket"] == Value::Bool(false) {
        text += ", not of this bucket";
    }
    if report["this_node_index"] == *index {
        text += ", gave this map";
    }
    text
}

fn key(placed: &Value) -> String {
    let name = &placed["key"];
    // Keys of memcached buckets have a node only.
    if placed["vbucket"].is_null() {
        return format!("{name} on node {}", word(&placed["node"]));
    }
    let replicas: Vec<String> = list(&placed["replica_nodes"]).map(word).collect();
    format!(
        "{name} in vbucket {}, active on node {}, replicas on {}",
        placed["vbucket"],
        word(&placed["active_node"]),
        if replicas.is_empty() { "none".to_owned() } else { replicas.join(", ") }
    )
}
