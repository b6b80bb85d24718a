//! `settee doctor`, `ping` and `diagnostics` as their users meet them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use settee_sim::{ClientCertificates, NodeId, SimCluster, SimClusterBuilder};

fn settee(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
    for name in ["SETTEE_CONNSTR", "SETTEE_USERNAME", "SETTEE_PASSWORD", "SETTEE_TOKEN"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn small() -> SimClusterBuilder {
    SimCluster::builder().nodes(2).vbuckets(16).scram_iterations(10)
}

fn scratch(name: &str, content: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_exit_code_is_the_verdict() {
    let cluster = small().start().unwrap();
    let well = settee(&["doctor", &cluster.connection_string(), "--bucket", "default"]);
    assert_eq!(code(&well), 0, "{}", text(&well));
    assert!(text(&well).contains("All is well: 0 errors, 0 warnings"));
    assert!(!text(&well).contains('\x1b'), "colours are for terminals");

    let one = format!("couchbase://{}", cluster.addresses()[0]);
    let warned = settee(&["doctor", &one]);
    assert_eq!(code(&warned), 1);
    assert!(text(&warned).contains("! D-7"), "{}", text(&warned));

    let refused = settee(&["doctor", "couchbase://h:0"]);
    assert_eq!(code(&refused), 2);
    assert!(text(&refused).contains("x D-1"), "{}", text(&refused));
}

#[test]
fn json_has_the_documented_shape() {
    let cluster = small().tls(true).start().unwrap();
    let ca = scratch("ca.pem", &cluster.ca_pem());
    let string = format!("{}/default", cluster.tls_connection_string());
    let output = settee(&["doctor", &string, "--ca", &ca, "--json"]);
    let report = json(&output);
    assert_eq!(code(&output), 0, "{report:#}");
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "version",
        "verdict",
        "target",
        "elapsed_ms",
        "left_out",
        "findings",
        "srv",
        "seeds",
        "nodes",
        "latencies",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&report["version"], &report["verdict"]), (&1.into(), &"info".into()));
    assert_eq!(report["target"]["bucket"], "default");
    assert_eq!(report["seeds"][0]["tls"][0]["version"], "TLS 1.3");
    assert_eq!(report["seeds"][0]["tls"][0]["chain"][0]["issuer"], "CN=Simulated Cluster CA");
    assert_eq!(report["nodes"][1]["services"][0]["reachable"], true);
    assert_eq!(report["latencies"][0]["count"], 10);
    for finding in report["findings"].as_array().unwrap() {
        for key in ["code", "severity", "subject", "text", "advice"] {
            assert!(finding[key].is_string(), "{finding}");
        }
    }
    let documented =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md")).unwrap();
    for key in expected {
        assert!(documented.contains(&format!("`{key}`")), "docs/doctor.md does not tell of {key}");
    }
    for number in 1..=30 {
        assert!(
            documented.contains(&format!("| D-{number} |")),
            "docs/doctor.md does not tell of D-{number}"
        );
    }
}

#[test]
fn no_secret_is_shown_anywhere() {
    let cluster = small().start().unwrap();
    let page = scratch("page.html", "");
    let string = cluster.connection_string();
    for more in [["--json", "--timeout=2"], ["--timeout=2", "--bucket=default"]] {
        let arguments =
            [&["doctor", &string, "-u", "jane", "-p", "hush-hush", "--html", &page], &more[..]].concat();
        let output = settee(&arguments);
        assert_eq!(code(&output), 2);
        let errors = String::from_utf8(output.stderr.clone()).unwrap();
        let shown = format!("{}{errors}{}", text(&output), fs::read_to_string(&page).unwrap());
        assert!(shown.contains("D-27") && !shown.contains("hush"), "{shown}");
    }
}

#[test]
fn a_client_certificate_logs_in() {
    let cluster = small().tls(true).client_certificates(ClientCertificates::Mandatory).start().unwrap();
    let ca = scratch("ca2.pem", &cluster.ca_pem());
    let (chain, key) = cluster.control(|cluster, _| cluster.client_certificate("Administrator"));
    let (chain, key) = (scratch("client.pem", &chain), scratch("client.key", &key));
    let string = cluster.tls_connection_string();
    let arguments = ["doctor", &string, "--ca", &ca, "--client-cert", &chain, "--client-key", &key];
    let output = settee(&arguments);
    assert_eq!(code(&output), 0, "{}", text(&output));
    assert!(text(&output).contains("logged in by certificate"), "{}", text(&output));
    assert_eq!(code(&settee(&arguments[..6])), 2, "a certificate needs its key");
}

#[test]
fn ping_writes_the_report_of_the_sdks() {
    let cluster = small().start().unwrap();
    let string = format!("{}/default", cluster.connection_string());
    let output = settee(&["ping", &string, "--json", "--id", "me", "--service", "kv"]);
    let report = json(&output);
    assert_eq!((code(&output), &report["version"], &report["id"]), (0, &2.into(), &"me".into()));
    let kv = report["services"]["kv"].as_array().unwrap();
    assert!(
        kv.len() == 2 && kv.iter().all(|ping| ping["state"] == "ok" && ping["latency_us"].is_u64()),
        "{report}"
    );
    assert!(report["services"].get("mgmt").is_none());

    let output = settee(&["ping", &string]);
    assert_eq!(text(&output).lines().filter(|line| line.contains(" ok ")).count(), 4, "{}", text(&output));
    cluster.control(|cluster, _| cluster.kill_node(NodeId(1)));
    assert_eq!(code(&settee(&["ping", &string, "--timeout", "1"])), 1);
}

#[test]
fn diagnostics_writes_the_report_of_the_sdks() {
    let cluster = small().start().unwrap();
    let string = format!("{}/default", cluster.connection_string());
    let output = settee(&["diagnostics", &string, "--json"]);
    let report = json(&output);
    assert_eq!((code(&output), &report["state"]), (0, &"online".into()), "{report}");
    assert!(report["services"]["kv"].as_array().unwrap().iter().any(|one| one["state"] == "connected"));
    assert!(text(&settee(&["diagnostics", &string])).starts_with("online\n"));
    cluster.stop();
    assert_eq!(code(&settee(&["diagnostics", &string, "--timeout", "1"])), 3);
}
