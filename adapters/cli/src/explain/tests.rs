use super::*;

fn json_of(text: &str) -> Value {
    match read(text) {
        Ok(resolved) => meaning_json(&resolved, false),
        Err(wrong) => wrong_json(&wrong),
    }
}

fn plain(text: &str) -> String {
    let mut out = Vec::new();
    match read(text) {
        Ok(resolved) => write_meaning(&mut out, &resolved, false, Colours::NONE).unwrap(),
        Err(wrong) => write_wrong(&mut out, text, &wrong, Colours::NONE).unwrap(),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_good_string_is_told_field_by_field() {
    let object = json_of("couchbases://A.example.com:11207,b.example.com/travel?kv_timeout=4s&kv_timout=1s");
    assert_eq!(object["tls"], true);
    assert_eq!(object["srv"], false);
    assert_eq!(object["bucket"], "travel");
    assert_eq!(object["seeds"][0], json!({"host": "a.example.com", "kv": 11207, "mgmt": 18091}));
    assert_eq!(object["options"], json!({"kv_timeout": "4s"}));
    assert!(object["warnings"][0].as_str().unwrap().starts_with("UnknownOption"), "{object}");
    assert_eq!(object["error"], Value::Null);
}

#[test]
fn a_single_name_may_have_srv_records() {
    let object = json_of("couchbase://db.example.com");
    assert_eq!(object["srv"], true);
    assert_eq!(object["srv_query"], "_couchbase._tcp.db.example.com");
    assert_eq!(json_of("couchbase://db.example.com?enable_dns_srv=false")["srv"], false);
}

#[test]
fn an_error_has_its_place_and_a_hint() {
    let error = json_of("couchbase://h:0")["error"].clone();
    assert_eq!((error["kind"].as_str(), error["offset"].as_u64()), (Some("InvalidPort"), Some(14)));
    assert_eq!(error["fragment"], "0");
    assert!(!error["hint"].as_str().unwrap().is_empty());
}

#[test]
fn a_refused_option_is_named_and_placed() {
    let error = json_of("couchbase://h?network=external&kv_timeout=soon")["error"].clone();
    assert_eq!(error["kind"], "InvalidOption");
    assert_eq!((error["option"].as_str(), error["fragment"].as_str()), (Some("kv_timeout"), Some("soon")));
    assert_eq!(error["offset"], 31);
}

#[test]
fn the_caret_stands_under_the_place() {
    let text = plain("couchbase://h:0");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "error: InvalidPort at byte 14");
    assert_eq!(lines[1], "  couchbase://h:0");
    assert_eq!(lines[2], "                ^");
    assert!(lines[3].starts_with("hint: "));
}

#[test]
fn cs_13_credentials_are_not_repeated() {
    for text in ["couchbase://u:geheim@h", "couchbase://h?password=geheim", "couchbase://h?user=geheim&a=b"] {
        assert!(!plain(text).contains("geheim"), "{}", plain(text));
        assert!(!json_of(text).to_string().contains("geheim"), "{}", json_of(text));
    }
}

#[test]
fn text_lists_seeds_options_and_warnings() {
    let text = plain("couchbase://h;g/b?kv_timeout=4s");
    assert!(text.contains("seeds     h  KV 11210, manager 8091\n          g  KV 11210"), "{text}");
    assert!(text.contains("options   kv_timeout = 4s\n"), "{text}");
    assert!(text.contains("warning   DeprecatedSeparator"), "{text}");
}
