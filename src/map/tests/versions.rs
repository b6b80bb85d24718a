//! R-VER, and finding a version without parsing.

use super::*;

fn v(epoch: Option<i64>, rev: i64) -> ConfigRev {
    ConfigRev::new(epoch, rev)
}

/// A bucket config of this version, with more fields.
fn config(rev: i64, fields: &str) -> ClusterMap {
    let text = bucket(1, &nodes_ext(&["a"]), "[]", "[[0],[0]]");
    accept(&text.replacen(r#""rev":1,"#, &format!(r#""rev":{rev},{fields}"#), 1))
}

fn newer(new_incarnation: bool, vbuckets_changed: bool) -> Result<Succession, MapError> {
    Ok(Succession::Newer { new_incarnation, vbuckets_changed })
}

#[test]
fn r_ver_1_order() {
    let ascending = [v(Some(-1), 900), v(None, 1), v(None, 2), v(Some(1), 1), v(Some(1), 2), v(Some(2), 1)];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{a} {b}");
            assert_eq!(a == b, i == j);
        }
    }
    assert_eq!(v(None, 5), v(Some(0), 5));
    assert_eq!(v(Some(1), 5).to_string(), "1/5");
    assert_eq!(v(None, 5).to_string(), "-/5");
}

#[test]
fn r_ver_2_only_strictly_newer_replaces() {
    let current = config(5, "");
    assert_eq!(current.succession(&config(6, "")), newer(false, false));
    assert_eq!(current.succession(&config(5, r#""clusterName":"other text","#)), Ok(Succession::Same));
    assert_eq!(current.succession(&config(4, "")).unwrap_err().reason, RejectReason::Stale);
}

#[test]
fn r_ver_3_the_first_is_accepted() {
    assert_eq!(succession(None, &config(1, "")), Ok(Succession::First));
    assert_eq!(succession(Some(&config(1, "")), &config(2, "")), newer(false, false));
}

#[test]
fn r_ver_4_a_bucket_config_feeds_the_cluster_scope() {
    let cluster = accept(r#"{"rev":3,"nodesExt":[{}]}"#);
    let part = config(4, r#""clusterName":"n","#).cluster_part();
    assert_eq!((part.kind, part.rev.rev, part.bucket_name.as_deref()), (MapKind::Global, 4, None));
    assert_eq!(part.cluster_name.as_deref(), Some("n"));
    assert!(part.nodes.iter().all(|node| !node.serves_bucket));
    assert_eq!(cluster.succession(&part), newer(false, false));
    // Not the other way round.
    let error = config(1, "").succession(&cluster).unwrap_err();
    assert_eq!(error.reason, RejectReason::WrongBucket);
}

#[test]
fn r_ver_5_another_cluster() {
    let ours = config(5, r#""clusterUUID":"u1","#);
    let theirs = config(9, r#""clusterUUID":"u2","#);
    assert_eq!(ours.succession(&theirs).unwrap_err().reason, RejectReason::WrongCluster);
    assert_eq!(ours.succession(&config(9, "")), newer(false, false));
    assert_eq!(config(5, "").succession(&theirs), newer(false, false));
    assert_eq!(ours.succession(&config(9, r#""clusterUUID":"","#)), newer(false, false));
}

#[test]
fn r_ver_6_another_bucket() {
    let mut other = config(9, "");
    other.bucket_name = Some("c".to_owned());
    let error = config(5, "").succession(&other).unwrap_err();
    assert_eq!(error.reason, RejectReason::WrongBucket);
    assert_eq!(error.detail, "config of bucket c, expected b");
}

#[test]
fn r_ver_7_new_incarnation() {
    let ours = config(5, r#""uuid":"u1","#);
    assert_eq!(ours.succession(&config(6, r#""uuid":"u2","#)), newer(true, false));
    assert_eq!(ours.succession(&config(6, r#""uuid":"u1","#)), newer(false, false));
    assert_eq!(ours.succession(&config(6, "")), newer(false, false));
}

#[test]
fn r_ver_8_another_number_of_vbuckets() {
    let text = bucket(1, &nodes_ext(&["a"]), "[]", "[[0]]").replacen(r#""rev":1"#, r#""rev":9"#, 1);
    assert_eq!(config(5, "").succession(&accept(&text)), newer(false, true));
}

#[test]
fn r_ver_9_known_version_needs_an_epoch() {
    assert_eq!(v(Some(1), 7).known_version(), Some((1, 7)));
    for unknown in [v(None, 7), v(Some(0), 7), v(Some(-1), 7)] {
        assert_eq!(unknown.known_version(), None);
    }
}

fn peek(text: &str) -> Option<(Option<i64>, i64)> {
    peek_rev(text.as_bytes()).map(|found| (found.epoch, found.rev))
}

#[test]
fn s54_prefilter_finds_the_version_anywhere_on_the_top_level() {
    assert_eq!(peek(r#"{"rev":7}"#), Some((None, 7)));
    assert_eq!(peek("\n{ \"rev\" :\t7 , \"revEpoch\"\r: 2 }"), Some((Some(2), 7)));
    assert_eq!(
        peek(r#"{"a":{"rev":1,"revEpoch":1},"b":[{"rev":2}],"rev":7,"revEpoch":3}"#),
        Some((Some(3), 7))
    );
    assert_eq!(peek(r#"{"revEpoch":3,"nodesExt":[[],{},"}"],"rev":7}"#), Some((Some(3), 7)));
    assert_eq!(peek(r#"{"a":"\"rev\":1,{[\\","rev":7}"#), Some((None, 7)));
    assert_eq!(peek(r#"{"a\"rev":1,"rev":7}"#), Some((None, 7)));
    assert_eq!(peek(r#"{"\u0072ev":7,"r\u0065vEpoch":1}"#), Some((Some(1), 7)));
    assert_eq!(peek(r#"{"rev":7,"revEpoch":null}"#), Some((None, 7)));
    assert_eq!(peek(r#"{"rev":7,"revEpoch":-1}"#), Some((Some(-1), 7)));
    assert_eq!(peek(r#"{"rev":7,"revEpoch":"1"}"#), Some((None, 7)));
}

#[test]
fn s54_prefilter_stops_when_both_are_found() {
    assert_eq!(peek(r#"{"rev":7,"revEpoch":1,"nodesExt":[{"#), Some((Some(1), 7)));
    assert_eq!(peek(r#"{"rev":7,"nodesExt":[{"#), None);
}

#[test]
fn s54_prefilter_gives_up_on_what_is_no_config() {
    for text in [
        "",
        "{",
        "{}",
        "[]",
        "[{\"rev\":1}]",
        "null",
        "{\"rev\"}",
        "{\"rev\":}",
        "{\"rev\":1",
        "{\"rev\":-1}",
        "{\"rev\":1.5}",
        "{\"rev\":\"1\"}",
        "{\"rev\":null}",
        "{\"rev\":[1]}",
        "{rev:1}",
        "{\"rev\":1 2}",
        "{\"x\":\"",
        "{\"x\":\"\\",
        "{\"rev\":9223372036854775808}",
        "{\"nodesExt\":[]}",
        "{\"x\":[",
    ] {
        assert_eq!(peek(text), None, "{text}");
    }
}

#[test]
fn s54_prefilter_does_not_recurse() {
    let deep = format!("{{\"x\":{}{},\"rev\":7}}", "[".repeat(2_000_000), "]".repeat(2_000_000));
    assert_eq!(peek(&deep), Some((None, 7)));
}
