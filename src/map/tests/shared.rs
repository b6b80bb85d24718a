//! The shared fixtures, compared in full with their expectations, where they are at hand.

use serde_json::Value;

use super::*;

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/");

/// A shared file's text; says so and gives `None` where it is absent.
#[expect(clippy::disallowed_methods, reason = "a test reads fixtures")]
fn shared(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("{SHARED}{path}")).ok();
    if text.is_none() {
        eprintln!("SKIPPED: ../shared/{path} is absent");
    }
    text
}

fn shared_json(path: &str) -> Option<Value> {
    shared(path).map(|text| serde_json::from_str(&text).unwrap())
}

/// Asserts that `actual` has every field that `expected` states; arrays element by element.
pub(super) fn assert_includes(path: &str, actual: &Value, expected: &Value) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, expected) in expected {
                let path = format!("{path}/{name}");
                let actual =
                    actual.get(name).unwrap_or_else(|| panic!("{path}: missing, expected {expected}"));
                assert_includes(&path, actual, expected);
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{path}: length");
            for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                assert_includes(&format!("{path}/{i}"), actual, expected);
            }
        }
        _ => assert_eq!(actual, expected, "{path}"),
    }
}

/// What the expectations say about a file or a seed rather than about the map.
fn strip(expected: &Value) -> Value {
    let mut fields = expected.as_object().unwrap().clone();
    for about in [
        "file",
        "origin",
        "server_version",
        "shows",
        "bytes",
        "sha256",
        "origin_host",
        "network_selection",
        "keys_bracketed",
    ] {
        fields.remove(about);
    }
    if let Some(ketama) = fields.get_mut("ketama").and_then(Value::as_object_mut) {
        ketama.remove("note");
    }
    Value::Object(fields)
}

/// A report has no field that the expectation lacks, save the ones that only appear in ours.
fn assert_nothing_more(path: &str, actual: &Value, expected: &Value) {
    let (actual, expected) = (actual.as_object().unwrap(), expected.as_object().unwrap());
    for name in actual.keys() {
        assert!(expected.contains_key(name) || name == "detail", "{path}: {name} is not expected");
    }
}

fn check_config(name: &str, bytes: &[u8], origin: &str, keys: &[&str], expected: &Value) -> usize {
    let stated = strip(expected);
    let parsed = parse(bytes, origin);
    let actual = parsed.as_ref().map_or_else(report_refusal, |map| report(map, keys));
    assert_includes(name, &actual, &stated);
    assert_nothing_more(name, &actual, &stated);
    if let Ok(map) = &parsed {
        let peeked = peek_rev(bytes).unwrap();
        assert_eq!((peeked.epoch, peeked.rev), (map.rev.epoch, map.rev.rev), "{name}");
    }
    let mut selections = 0;
    for selection in expected["network_selection"].as_array().into_iter().flatten() {
        let (host, port) = selection["seed"].as_str().unwrap().rsplit_once(':').unwrap();
        // The expectation does not say what kind of port it is.
        let port = Some(port.parse().unwrap());
        let seed = SeedAddr { host: host.to_owned(), kv: port, mgmt: port };
        let map = parsed.as_ref().unwrap();
        let choice =
            choose_network(map, &NetworkSetting::Auto, &[seed], selection["tls"].as_bool().unwrap()).unwrap();
        let expected = (selection["network"].as_str().unwrap(), selection["why"].as_str().unwrap());
        assert_eq!(
            (choice.name.as_str(), choice.reason.to_string().as_str()),
            expected,
            "{name} {selection}"
        );
        selections += 1;
    }
    for key in expected["keys_bracketed"].as_array().into_iter().flatten() {
        let map = parsed.as_ref().unwrap();
        let members = map.nodes.iter().take(map.nodes_len.unwrap()).map(|node| {
            let (host, port) = node.endpoint(Service::Kv, DEFAULT_NETWORK, false).unwrap();
            (Endpoint::new(host, port).to_string(), node.index as u16)
        });
        let slot = Ketama::new(members).slot(key["key"].as_str().unwrap().as_bytes());
        assert_eq!(slot.map(|slot| slot as u64), key["node"].as_u64(), "{name} {key}");
    }
    selections
}

#[test]
fn shared_fixtures() {
    let Some(expected) = shared_json("fixtures/cluster-maps/expected.json") else { return };
    let keys: Vec<_> =
        expected["keys_hashed"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    let (mut files, mut configs, mut selections) = (0, 0, 0);
    for file in expected["files"].as_array().unwrap() {
        let name = file["file"].as_str().unwrap();
        let text = shared(&format!("fixtures/cluster-maps/{name}")).unwrap();
        let origin = file["origin_host"].as_str().unwrap();
        files += 1;
        match file["kind"].as_str() {
            Some("http-stream") => {
                let documents: Vec<_> =
                    text.split("\n\n\n\n").filter(|text| !text.trim().is_empty()).collect();
                let expected = file["configs"].as_array().unwrap();
                assert_eq!(documents.len(), expected.len());
                for (document, expected) in documents.iter().zip(expected) {
                    selections += check_config(name, document.as_bytes(), origin, &keys, expected);
                    configs += 1;
                }
            }
            Some("ketama-vectors") => check_ring(&text, file),
            _ => {
                selections += check_config(name, text.as_bytes(), origin, &keys, file);
                configs += 1;
            }
        }
    }
    eprintln!("{files} shared files, {configs} configs, {selections} network selections");
    assert_eq!((files, configs), (40, 40));
    assert!(selections > 100);
}

fn check_ring(text: &str, expected: &Value) {
    let points: Value = serde_json::from_str(text).unwrap();
    let points = points.as_array().unwrap();
    let authorities: Vec<_> =
        expected["authorities"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let ring = Ketama::new(authorities.iter().map(|a| (*a).to_owned()).zip(0..));
    assert_eq!(Some(points.len() as u64), expected["points"].as_u64());
    assert_eq!(ring.points().count(), points.len());
    for ((point, slot), expected) in ring.points().zip(points) {
        assert_eq!(
            (u64::from(point), authorities[slot]),
            (expected["hash"].as_u64().unwrap(), expected["hostname"].as_str().unwrap())
        );
    }
}

#[test]
fn shared_version_pairs() {
    let Some(expected) = shared_json("fixtures/cluster-maps/expected.json") else { return };
    let read = |pair: &Value, field: &str| {
        let text = shared(&format!("fixtures/cluster-maps/{}", pair[field].as_str().unwrap())).unwrap();
        (parse(text.as_bytes(), ORIGIN).unwrap(), peek_rev(text.as_bytes()).unwrap())
    };
    let pairs = expected["version_pairs"].as_array().unwrap();
    assert!(pairs.len() >= 16);
    for pair in pairs {
        let ((current, current_rev), (proposed, proposed_rev)) =
            (read(pair, "current"), read(pair, "proposed"));
        let replaces = matches!(current.succession(&proposed), Ok(Succession::Newer { .. }));
        assert_eq!(Some(replaces), pair["replaces"].as_bool(), "{pair}");
        assert_eq!(replaces, proposed_rev > current_rev);
    }
}

#[test]
fn shared_vectors() {
    let Some(vectors) = shared_json("spec/kv-vectors.json") else { return };
    let rows = vectors["vbucket"].as_array().unwrap();
    assert!(rows.len() >= 20);
    for row in rows {
        let hex = row["key_hex"].as_str().unwrap();
        let key: Vec<_> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let hash = crc_hash15(&key);
        assert_eq!(Some(u64::from(hash)), row["hash15"].as_u64(), "{row}");
        for (name, count) in [("vb1024", 1024), ("vb128", 128), ("vb64", 64)] {
            let text = bucket(1, &nodes_ext(&["a"]), "[]", &format!("[{}]", vec!["[0]"; count].join(",")));
            let vbucket = accept(&text).vbuckets.unwrap().vbucket(&key);
            assert_eq!(Some(u64::from(vbucket)), row[name].as_u64(), "{row}");
        }
    }
    let ketama = &vectors["ketama"];
    let hosts: Vec<_> =
        ketama["hosts"].as_array().unwrap().iter().map(|host| host.as_str().unwrap()).collect();
    let ring = Ketama::new(hosts.iter().map(|host| (*host).to_owned()).zip(0..));
    for lookup in ketama["lookups"].as_array().unwrap() {
        let key = lookup["key"].as_str().unwrap().as_bytes();
        assert_eq!(Some(u64::from(Ketama::hash(key))), lookup["point"].as_u64());
        assert_eq!(ring.slot(key).map(|slot| hosts[slot]), lookup["node"].as_str(), "{lookup}");
    }
    for sample in ketama["ring_sample"].as_array().unwrap() {
        let found = ring.points().find(|(point, _)| Some(u64::from(*point)) == sample["point"].as_u64());
        assert_eq!(found.map(|(_, slot)| hosts[slot]), sample["node"].as_str());
    }
    use sha2::Digest;
    let lines: Vec<_> = ring.points().map(|(point, slot)| format!("{point} {}", hosts[slot])).collect();
    let hash = sha2::Sha256::digest(lines.join("\n").as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Some(hex.as_str()), ketama["ring_sha256"].as_str());
}
