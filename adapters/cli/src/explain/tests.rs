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
    assert_eq!(object["warnings"][0]["kind"], "UnknownOption");
    assert_eq!(object["warnings"][0]["subject"], "kv_timout");
    assert!(object["warnings"][0]["text"].as_str().unwrap().contains("did you mean kv_timeout?"), "{object}");
    assert_eq!(object["profile"], Value::Null);
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
fn capella_without_tls_is_told() {
    let text = plain("couchbase://cb.abc.cloud.couchbase.com");
    assert!(text.contains("write couchbases://"), "{text}");
    assert!(!plain("couchbases://cb.abc.cloud.couchbase.com").contains("note"));
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

#[test]
fn what_a_profile_changes_is_shown() {
    let object = json_of("couchbase://h?profile=wan_development&kv_timeout=3s");
    assert_eq!(object["profile"], "wan_development");
    assert_eq!(object["options"]["kv_timeout"], "3s");
    assert_eq!(object["options"]["bootstrap_timeout"], "120s");
    assert_eq!(object["options"].get("disconnect_timeout"), None, "it is at its default");
    let text = plain("couchbase://h?profile=wan_development");
    assert!(text.contains("profile   wan_development\n"), "{text}");
    assert!(text.contains("          kv_durable_timeout = 20s\n"), "{text}");
    assert!(plain("couchbase://h").contains("profile   none\n"));
}

#[test]
fn an_option_without_effect_has_its_reason() {
    let object = json_of("couchbase://h?shards=2");
    assert_eq!(object["options"], json!({"shards": "2"}));
    assert_eq!(object["no_effect"], json!({"shards": "one engine serves a cluster"}));
    let text = plain("couchbase://h?shards=2");
    assert!(text.contains("shards = 2  (no effect: one engine serves a cluster)\n"), "{text}");
}

#[test]
fn a_refused_option_has_its_caret() {
    let text = plain("couchbase://h?network=external&kv_timeout=soon");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "error: InvalidOption in option kv_timeout at byte 31");
    assert_eq!(lines[1].find("kv_timeout=soon"), lines[2].find('^'), "{text}");
    assert!(lines[3].starts_with("hint: a time above zero"), "{text}");
}
