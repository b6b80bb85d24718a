//! The program as its users meet it: output, exit codes, and a cluster that it serves itself.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

/// GET of the key `hello`, opaque 1.
const GET: &str = "80000005000000000000000500000001000000000000000068656c6c6f";

fn settee() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
    for name in ["SETTEE_CONNSTR", "SETTEE_USERNAME", "SETTEE_PASSWORD", "SETTEE_TOKEN"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    settee().args(arguments).output().unwrap()
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = settee()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scratch_file(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

/// A served cluster, ended with the test.
struct Served {
    child: Child,
    connection_string: String,
}

impl Served {
    fn start(arguments: &[&str]) -> Self {
        let mut child = settee()
            .args(["serve", "--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut connection_string = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut connection_string).unwrap();
        let connection_string = connection_string.trim_end().to_owned();
        assert!(connection_string.starts_with("couchbase://127.0.0.1:"), "{connection_string}");
        Self { child, connection_string }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serve_with_tls_tells_where_and_whom_to_trust() {
    let ca_file = scratch_file("ca.pem", b"");
    let mut child = settee()
        .args(["serve", "--port", "0", "--tls", "--client-cert", "enable", "--external", "--ca-file"])
        .arg(&ca_file)
        .args(["--posture", "8.0", "--jwt-user", "jane=a.b.c", "--memcached-bucket", "cache"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = (0..5)
        .map(|_| {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        })
        .collect();
    let contents: Vec<String> = lines[2..].iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines[0].starts_with("couchbase://127.0.0.1:"), "{lines:?}");
    assert!(lines[1].starts_with("couchbases://127.0.0.1:"), "{lines:?}");
    assert_eq!(Path::new(&lines[2]), ca_file);
    for (content, label) in contents.iter().zip(["CERTIFICATE", "CERTIFICATE", "PRIVATE KEY"]) {
        assert!(content.starts_with(&format!("-----BEGIN {label}-----")), "{content}");
    }
}

/// A cluster served with TLS: the process, its lines, and the files that it wrote.
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
fn serve_secure(arguments: &[&str], name: &str) -> (Served, Vec<String>) {
    let ca_file = scratch_file(name, b"");
    let mut child = settee()
        .args(["serve", "--port", "0", "--tls", "--client-cert", "enable", "--ca-file"])
        .arg(&ca_file)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(5).map(Result::unwrap).collect();
    (Served { child, connection_string: String::new() }, lines)
}

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
#[test]
fn get_and_set_over_tls_by_password_certificate_and_token() {
    let (_served, lines) =
        serve_secure(&["--posture", "8.0", "--jwt-user", "Administrator=a.b.c"], "secure-ca.pem");
    let [_, secure, ca, chain, key] = &lines[..] else { panic!("{lines:?}") };
    let set = run(&["set", "-c", secure, "--ca", ca, "k", "{\"a\":1}"]);
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    for login in [
        &["--user", "Administrator", "--password", "password"][..],
        &["--client-cert", chain, "--client-key", key],
        &["--token", "a.b.c"],
    ] {
        let get = run(&[&["get", "-c", secure, "--ca", ca, "k"], login].concat());
        assert_eq!((code(&get), stdout(&get).trim_end()), (0, "{\"a\":1}"), "{login:?}: {}", stderr(&get));
    }
    let untrusted = run(&["get", "-c", secure, "k"]);
    assert_eq!(code(&untrusted), 3, "{}", stderr(&untrusted));
    assert!(stderr(&untrusted).contains("not trusted"), "{}", stderr(&untrusted));
    let missing = run(&["get", "-c", secure, "--ca", "/nowhere/ca.pem", "k"]);
    assert_eq!(code(&missing), 2, "{}", stderr(&missing));
    assert!(stderr(&missing).contains("/nowhere/ca.pem"), "{}", stderr(&missing));
    let both = run(&["get", "-c", secure, "--token", "a.b.c", "--client-cert", chain, "k"]);
    assert_eq!(code(&both), 2, "{}", stderr(&both));
}

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
#[test]
fn bench_measures_tls_beside_plain() {
    let (_served, lines) = serve_secure(&[], "bench-ca.pem");
    let load = ["--seconds", "0.3", "--keys", "50", "--in-flight", "8", "--json"];
    let bench = run(&[&["bench", &lines[0], "--beside", &lines[1], "--ca", &lines[2]], &load[..]].concat());
    assert_eq!(code(&bench), 0, "{}", stderr(&bench));
    let json: Value = serde_json::from_str(stdout(&bench).lines().last().unwrap()).unwrap();
    assert!(
        json["ops_per_sec"].as_f64().unwrap() > 0.0 && json["beside"]["ops"].as_u64().unwrap() > 0,
        "{json}"
    );
}

#[test]
fn serve_tells_how_to_connect_to_a_memcached_bucket() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_settee"))
        .args(["serve", "--port", "0", "--memcached-bucket", "cache"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stderr.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    let cluster = lines[2].strip_prefix("memcached bucket: ");
    let written = cluster.map(|cluster| run(&["set", cluster, "k", "1"]));
    child.kill().unwrap();
    child.wait().unwrap();
    let written = written.unwrap_or_else(|| panic!("{lines:?}"));
    assert_eq!(code(&written), 0, "{lines:?}: {}", stderr(&written));
    assert!(lines[1].starts_with("managers (HTTP): 127.0.0.1:"), "{lines:?}");
}

#[test]
fn serve_refuses_what_makes_no_sense() {
    for arguments in [
        &["serve", "--ca-file", "ca.pem"][..],
        &["serve", "--certificates", "expired"],
        &["serve", "--jwt-user", "jane=a.b.c"],
        &["serve", "--tls", "--jwt-user", "jane"],
        &["serve", "--posture", "4.5"],
        &["serve", "--port", "0", "--memcached-bucket", "default"],
    ] {
        assert_eq!(code(&run(arguments)), 2, "{arguments:?}");
    }
    let output = run(&["serve", "--port", "0", "--tls", "--ca-file", "/nowhere/at/all/ca.pem"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("/nowhere/at/all/ca.pem cannot be written"), "{}", stderr(&output));
}

#[test]
fn explain_tells_the_meaning_of_a_string() {
    let string = "couchbases://a.example.com,b.example.com:11207/travel?kv_timeout=4s&colour=red";
    let output = run(&["explain", string, "--json"]);
    assert_eq!(code(&output), 0);
    let object = lines(&output).remove(0);
    assert_eq!((&object["tls"], &object["srv"]), (&json!(true), &json!(false)));
    assert_eq!(object["bucket"], "travel");
    assert_eq!(object["seeds"][0], json!({"host": "a.example.com", "kv": 11207, "mgmt": 18091}));
    assert_eq!(object["options"], json!({"kv_timeout": "4s"}));
    assert!(object["warnings"].as_array().unwrap().iter().any(|warning| warning["subject"] == "colour"));
    assert_eq!(object["error"], Value::Null);
}

#[test]
fn explain_shows_where_a_string_is_wrong() {
    let output = run(&["explain", "couchbase://a,b:99999", "--json"]);
    assert_eq!((code(&output), stderr(&output)), (1, ""));
    let error = lines(&output).remove(0)["error"].clone();
    assert_eq!((&error["kind"], &error["offset"]), (&json!("InvalidPort"), &json!(16)));
    assert_eq!(error["fragment"], "99999");
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()));

    let output = run(&["explain", "couchbase://a,b:99999"]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    let text: Vec<&str> = stderr(&output).lines().collect();
    assert_eq!(text[1].find("99999"), text[2].find('^'), "{text:?}");
}

#[test]
fn explain_repeats_no_credentials() {
    for arguments in
        [&["explain", "couchbase://app:geheim@db"][..], &["explain", "couchbase://db?password=geheim"]]
    {
        for json in [&[][..], &["--json"]] {
            let output = run(&[arguments, json].concat());
            assert_eq!(code(&output), 1);
            assert!(!stdout(&output).contains("geheim") && !stderr(&output).contains("geheim"));
        }
    }
}

#[test]
fn options_lists_the_settings() {
    let output = run(&["options", "--json", "kv_pool_size"]);
    assert_eq!(code(&output), 0);
    let list = lines(&output).remove(0);
    assert_eq!((&list[0]["name"], &list[0]["default"]), (&json!("num_kv_connections"), &json!("1")));
    assert!(stdout(&run(&["options", "dns_srv"])).contains("dns_srv_timeout  500ms (20s)"));
    assert!(stdout(&run(&["options", "--markdown"])).starts_with("# Options\n"));
    let output = run(&["options", "nonsense"]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
}

const MAP: &str = r#"{"rev": 7, "name": "travel", "nodeLocator": "vbucket",
    "nodesExt": [
        {"thisNode": true, "services": {"kv": 11210, "mgmt": 8091},
         "alternateAddresses": {"external": {"hostname": "lb.example.net", "ports": {"kv": 31001}}}},
        {"hostname": "10.0.0.2", "services": {"kv": 11210, "mgmt": 8091},
         "alternateAddresses": {"external": {"hostname": "lb.example.net", "ports": {"kv": 31002}}}}],
    "nodes": [{}, {}],
    "vBucketServerMap": {"hashAlgorithm": "CRC", "numReplicas": 1,
        "serverList": ["$HOST:11210", "10.0.0.2:11210"], "vBucketMap": [[0, 1], [1, 0]]}}"#;

#[test]
fn map_chooses_the_network_of_the_seed() {
    let file = scratch_file("map.json", MAP.as_bytes());
    let file = file.to_str().unwrap();
    let output = run(&[
        "map",
        file,
        "--json",
        "--host",
        "10.0.0.1",
        "--seed",
        "lb.example.net:31002",
        "--key",
        "hello",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let object = lines(&output).remove(0);
    assert_eq!(object["network"], "external");
    assert_eq!(
        object["endpoints"][1],
        json!({
            "i": 1, "host": "lb.example.net", "kv": 31002, "mgmt": null, "serves_bucket": true
        })
    );
    assert_eq!(
        (&object["accept"], &object["kind"], &object["rev"]),
        (&json!(true), &json!("terse-bucket"), &json!(7))
    );
    assert_eq!(object["keys"][0]["active_node"], 0);
    assert_eq!(object["nodes"][0]["host"], "10.0.0.1");

    let output = run(&["map", file, "--network", "internal", "--json"]);
    assert_eq!((code(&output), &lines(&output)[0]["network"]), (1, &Value::Null));
}

#[test]
fn map_tells_why_a_map_is_refused() {
    let output = run_with_input(&["map", "-", "--json"], b"{\"rev\": 1}");
    assert_eq!(code(&output), 1);
    let object = lines(&output).remove(0);
    assert_eq!((&object["accept"], &object["reject_reason"]), (&json!(false), &json!("missing-nodesExt")));
}

#[test]
fn map_reports_each_map_of_a_stream() {
    let stream = format!("{MAP}\n\n\n\n{}\n\n\n\n", MAP.replace("\"rev\": 7", "\"rev\": 8"));
    let output = run_with_input(&["map", "-", "--json"], stream.as_bytes());
    let revisions: Vec<Value> = lines(&output).iter().map(|map| map["rev"].clone()).collect();
    assert_eq!((code(&output), revisions), (0, vec![json!(7), json!(8)]));
}

/// All expectations that lie beside the workspace, where they do.
#[test]
fn map_agrees_with_shared_fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/cluster-maps");
    let Ok(expected) = fs::read(folder.join("expected.json")) else {
        eprintln!("skipped: no shared fixtures beside the workspace");
        return;
    };
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    for entry in expected["files"].as_array().unwrap() {
        let Some(accept) = entry["accept"].as_bool() else { continue };
        let file = folder.join(entry["file"].as_str().unwrap());
        let mut arguments =
            vec!["map", file.to_str().unwrap(), "--json", "--host", entry["origin_host"].as_str().unwrap()];
        for placed in entry["keys"].as_array().into_iter().flatten() {
            arguments.extend(["--key", placed["key"].as_str().unwrap()]);
        }
        let output = run(&arguments);
        let object = lines(&output).remove(0);
        assert_eq!(code(&output), i32::from(!accept), "{file:?}");
        for field in
            ["accept", "reject_reason", "kind", "rev", "rev_epoch", "bucket", "vbuckets", "nodes", "keys"]
        {
            if let Some(expected) = entry.get(field) {
                assert_eq!(&object[field], expected, "{field} of {file:?}");
            }
        }
        for selection in entry["network_selection"].as_array().into_iter().flatten() {
            let mut arguments = arguments.clone();
            arguments.extend(["--seed", selection["seed"].as_str().unwrap()]);
            if selection["tls"] == true {
                arguments.push("--tls");
            }
            let object = lines(&run(&arguments)).remove(0);
            assert_eq!(object["network"], selection["network"], "{selection} of {file:?}");
        }
    }
}

#[test]
fn decode_writes_one_object_a_frame() {
    let answer = "81000000000000010000000000000001000000000000000a";
    let file = scratch_file("frames.txt", format!("{GET}\n{answer}\n").as_bytes());
    for arguments in [&["decode", GET, answer, "--json"][..], &["decode", file.to_str().unwrap(), "--json"]] {
        let output = run(arguments);
        let objects = lines(&output);
        assert_eq!((code(&output), objects.len()), (0, 2), "{}", stderr(&output));
        assert_eq!(objects[0]["opcode_name"], "GET");
        assert_eq!(objects[0]["fields"]["key"], "hello");
        assert_eq!(
            (&objects[1]["status"], &objects[1]["cas"]),
            (&json!("0x0001"), &json!("0x000000000000000a"))
        );
    }
    let binary: Vec<u8> =
        (0..GET.len() / 2).map(|i| u8::from_str_radix(&GET[2 * i..2 * i + 2], 16).unwrap()).collect();
    let output = run_with_input(&["decode", "-", "--json"], &binary);
    assert_eq!(lines(&output)[0]["value"], "");
    assert_eq!(lines(&run_with_input(&["decode", "--json"], &binary)).len(), 1);
}

#[test]
fn decode_tells_the_byte_that_is_wrong() {
    let output = run(&["decode", "--json", GET, "42"]);
    assert_eq!(code(&output), 1);
    let last = lines(&output).pop().unwrap();
    assert_eq!(last["offset"], 30);
    assert!(last["error"].as_str().unwrap().contains("1 of 24 bytes"), "{last}");
    assert!(stderr(&output).contains("byte 30"), "{}", stderr(&output));

    let output = run(&["decode", &GET.replacen("80", "42", 1)]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    assert!(stderr(&output).contains("byte 0: byte 0x42 does not begin a frame"), "{}", stderr(&output));

    assert_eq!(code(&run(&["decode", "xyz"])), 1);
}

/// All vectors that lie beside the workspace, where they do.
#[test]
fn decode_agrees_with_shared_vectors() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/kv-vectors.json");
    let Ok(vectors) = fs::read(file) else {
        eprintln!("skipped: no shared vectors beside the workspace");
        return;
    };
    let vectors: Value = serde_json::from_slice(&vectors).unwrap();
    for collections in [false, true] {
        let wanted = |vector: &&Value| (vector["context"]["collections"] == true) == collections;
        let frames: Vec<&Value> = vectors["frames"].as_array().unwrap().iter().filter(wanted).collect();
        let text: String = frames.iter().map(|vector| vector["hex"].as_str().unwrap()).collect();
        let mut arguments = vec!["decode", "--json"];
        if collections {
            arguments.push("--collections");
        }
        let output = run_with_input(&arguments, text.as_bytes());
        let objects = lines(&output);
        assert_eq!(objects.len(), frames.len(), "{}", stderr(&output));
        for (object, vector) in objects.iter().zip(frames) {
            assert_eq!(object, &vector["decoded"], "{}", vector["name"]);
        }
    }
}

#[test]
fn a_served_cluster_keeps_documents() {
    let served = Served::start(&["--nodes", "2", "--bucket", "travel", "--collection", "inventory.airline"]);
    let cluster = format!("{}/travel", served.connection_string);
    let on = |command: &str, words: &[&str]| run(&[&[command, "-c", &cluster], words].concat());

    let output = on("set", &["greeting", "{\"text\": \"hello\"}"]);
    assert_eq!((code(&output), stdout(&output), stderr(&output)), (0, "", ""));
    let output = on("get", &["greeting", "--meta"]);
    assert_eq!((code(&output), stdout(&output)), (0, "{\"text\": \"hello\"}"));
    assert!(stderr(&output).starts_with("cas 0x") && stderr(&output).contains("flags 0x02000000"));

    // The same key in another collection is another document.
    let other = &["greeting", "--collection", "inventory.airline"];
    assert_eq!(code(&on("get", other)), 1);
    assert_eq!(code(&on("set", &[&["--string"], &other[..1], &["12"], &other[1..]].concat())), 0);
    assert_eq!(stdout(&on("get", other)), "12");

    assert_eq!(code(&on("rm", &["greeting"])), 0);
    let output = on("get", &["greeting"]);
    assert_eq!((code(&output), stdout(&output)), (1, ""));
    assert!(stderr(&output).starts_with("error: DocumentNotFound"), "{}", stderr(&output));
    assert_eq!(code(&on("rm", &["greeting"])), 1);
}

#[test]
fn a_connection_string_may_stand_in_front() {
    let served = Served::start(&["--nodes", "1"]);
    let cluster = served.connection_string.as_str();
    let bytes = [0, 159, 146, 150];
    assert_eq!(code(&run_with_input(&["set", cluster, "k", "-", "--raw"], &bytes)), 0);
    assert_eq!(run(&["get", cluster, "k"]).stdout, bytes);
    let output = settee().args(["get", "k"]).env("SETTEE_CONNSTR", cluster).output().unwrap();
    assert_eq!(output.stdout, bytes);
}

#[test]
fn without_a_connection_string_the_cluster_is_embedded() {
    let output = run(&["set", "k", "v"]);
    assert_eq!((code(&output), stdout(&output)), (0, ""));
    assert!(stderr(&output).contains("embedded cluster"), "{}", stderr(&output));
    let output = run(&["get", "k", "--collection", "inventory.hotel"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("DocumentNotFound"), "{}", stderr(&output));
}

#[test]
fn exit_codes_tell_usage_and_connections_apart() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["get"],
        &["set", "k"],
        &["get", "-c", "couchbase://h:0", "k"],
        &["set", "k", "{", "--json"],
        &["map", "-", "--seed", "h:x"],
        &["bench", "couchbase://h", "--op", "dance"],
        &["serve", "--collection", "nameless"],
    ] {
        assert_eq!(code(&run(arguments)), 2, "{arguments:?}");
    }
    let served = Served::start(&[]);
    let output = run(&["get", "-c", &served.connection_string, "-p", "geheim", "k"]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("AuthenticationFailure") && !stderr(&output).contains("geheim"));
}

#[test]
fn bench_measures_the_client_and_the_floor() {
    let served = Served::start(&["--nodes", "2"]);
    for extra in [&[][..], &["--floor"], &["--threads", "2"], &["--floor", "--threads", "2"]] {
        for op in ["get", "set", "mixed"] {
            let arguments = [
                "bench",
                &served.connection_string,
                "-u",
                "Administrator",
                "-p",
                "password",
                "--bucket",
                "default",
                "--op",
                op,
                "--in-flight",
                "8",
                "--seconds",
                "0.1",
                "--value-size",
                "100",
                "--keys",
                "50",
                "--json",
            ];
            let output = run(&[&arguments[..], extra].concat());
            assert_eq!(code(&output), 0, "{op} {extra:?}: {}", stderr(&output));
            let figures: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
            for name in ["ops_per_sec", "cpu_us_per_op", "p50_us", "p99_us", "p999_us"] {
                assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name} of {figures}");
            }
            assert_eq!(figures["errors"], 0, "{figures}");
        }
    }
}

#[test]
fn every_command_has_help_with_examples() {
    for command in [
        "serve",
        "get",
        "set",
        "rm",
        "doctor",
        "ping",
        "diagnostics",
        "metadata",
        "explain",
        "options",
        "map",
        "decode",
        "bench",
        "completions",
    ] {
        let output = run(&[command, "--help"]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("Examples:\n  "), "{command}");
        assert!(!stdout(&output).contains('\x1b'), "colours of {command} --help");
    }
    assert!(stdout(&run(&["--help"])).contains("Exit codes:"));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("explain"), "{shell}");
    }
    assert_eq!(code(&run(&["completions", "cobol"])), 2);
}

#[test]
fn nothing_is_coloured_when_piped() {
    for arguments in
        [&["explain", "couchbase://h?colour=red"][..], &["explain", "couchbase://h:0"], &["decode", GET]]
    {
        let output = run(arguments);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{arguments:?}");
    }
}

#[test]
fn metadata_tells_the_published_keys_as_text_and_as_json() {
    let text = run(&["metadata"]);
    assert_eq!(code(&text), 0);
    let expected = format!("'version': '{}'", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&text).lines().next(), Some(expected.as_str()));
    assert!(stdout(&text).contains("'openssl_default_cert_file_env': 'SSL_CERT_FILE'"), "{}", stdout(&text));
    assert!(!stdout(&text).contains("mozilla"), "{}", stdout(&text));

    let detailed = run(&["metadata", "--detailed", "--json"]);
    let facts = &lines(&detailed)[0];
    assert_eq!(facts["mozilla_ca_bundle_embedded"], json!(true));
    assert!(facts["mozilla_ca_bundle_size"].is_u64());
    assert_eq!(facts["tls_backend"], json!("rustls"));
    assert_eq!(facts["adapters"], json!(["tokio"]));
}

#[test]
fn metadata_tells_no_default_bundle_while_a_variable_names_one() {
    let output = settee().args(["metadata", "--json"]).env("SSL_CERT_FILE", "/nowhere").output().unwrap();
    assert_eq!(lines(&output)[0]["openssl_default_cert_file"], json!(""), "the default cannot be told then");
}
