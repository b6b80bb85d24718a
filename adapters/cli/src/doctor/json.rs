//! The report for programs. Its shape is described in `docs/doctor.md`; fields are added, never changed.

use std::time::Duration;

use serde_json::{Value, json};
use settee::dns::Answer;

use super::Report;
use super::facts::{Attempt, SeedFacts, TlsOutcome, place};

pub(super) fn value(report: &Report) -> Value {
    let facts = &report.facts;
    let given = &facts.given;
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "severity": finding.severity.name(),
                "subject": finding.subject,
                "text": finding.text,
                "advice": finding.advice,
            })
        })
        .collect();
    json!({
        "version": 1,
        "verdict": report.verdict().name(),
        "target": {
            "connection_string": given.text,
            "tls": given.tls,
            "capella": given.capella,
            "bucket": given.bucket,
            "network": facts.whole.network.as_ref().and_then(|network| network.as_ref().ok()).map(|choice| &choice.name),
        },
        "elapsed_ms": millis(facts.elapsed),
        "left_out": facts.left_out,
        "findings": findings,
        "srv": srv(report),
        "seeds": facts.seeds.iter().map(seed).collect::<Vec<_>>(),
        "nodes": nodes(report),
        "latencies": latencies(report),
    })
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn srv(report: &Report) -> Value {
    let Some(outcome) = &report.facts.srv else { return Value::Null };
    let targets = match &outcome.answer {
        Answer::Records(targets) => {
            targets.iter().map(|target| place(&target.host, target.port)).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    json!({"name": outcome.name, "text": outcome.to_string(), "targets": targets, "elapsed_ms": millis(outcome.elapsed)})
}

fn attempt(attempt: &Attempt) -> Value {
    json!({"stage": attempt.stage.name(), "text": attempt.text})
}

fn seed(seed: &SeedFacts) -> Value {
    let kv = seed.kv.as_ref().map(|kv| {
        json!({
            "ok": kv.outcome.is_ok(),
            "error": kv.outcome.as_ref().err().map(attempt),
            "elapsed_ms": millis(kv.elapsed),
            "mechanism": kv.mechanism,
            "features": kv.features,
        })
    });
    let http = seed.http.as_ref().map(|http| {
        json!({
            "ok": http.outcome.is_ok(),
            "error": http.outcome.as_ref().err().map(attempt),
            "elapsed_ms": millis(http.elapsed),
        })
    });
    let tls: Vec<Value> = seed
        .tls
        .iter()
        .map(|tls| {
            let (version, suite, error) = match &tls.outcome {
                TlsOutcome::Done { version, suite } => (Some(version), Some(suite), None),
                TlsOutcome::Failed(text) => (None, None, Some(text)),
            };
            let chain: Vec<Value> = tls
                .chain
                .iter()
                .map(|one| {
                    json!({
                        "subject": one.subject,
                        "issuer": one.issuer,
                        "names": one.names,
                        "not_before": one.not_before,
                        "not_after": one.not_after,
                    })
                })
                .collect();
            json!({"port": tls.port, "version": version, "cipher_suite": suite, "error": error, "chain": chain})
        })
        .collect();
    json!({
        "host": seed.at.host,
        "kv_port": seed.at.kv,
        "mgmt_port": seed.at.mgmt,
        "from_srv": seed.from_srv,
        "kv": kv,
        "http": http,
        "tls": tls,
    })
}

fn nodes(report: &Report) -> Vec<Value> {
    let Some(map) = report.facts.map() else { return Vec::new() };
    map.nodes
        .iter()
        .map(|node| {
            let services: Vec<Value> = report
                .facts
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.node == node.index)
                .map(|endpoint| {
                    json!({
                        "service": endpoint.service.as_str(),
                        "host": endpoint.host,
                        "port": endpoint.port,
                        "reachable": endpoint.outcome.is_ok(),
                        "connect_ms": endpoint.outcome.as_ref().ok().map(|time| millis(*time)),
                        "error": endpoint.outcome.as_ref().err().map(attempt),
                    })
                })
                .collect();
            json!({
                "slot": node.index,
                "host": node.host,
                "server_group": node.server_group,
                "services": services,
            })
        })
        .collect()
}

fn latencies(report: &Report) -> Vec<Value> {
    let noops = &report.facts.whole.noops;
    noops
        .iter()
        .map(|noop| {
            let count = u32::try_from(noop.samples.len()).unwrap_or(u32::MAX).max(1);
            json!({
                "remote": noop.remote,
                "count": noop.samples.len(),
                "failed": noop.failed,
                "mean_ms": millis(noop.samples.iter().sum::<Duration>() / count),
                "max_ms": noop.samples.iter().max().map(|max| millis(*max)),
            })
        })
        .collect()
}
