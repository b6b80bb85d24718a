//! Nothing that arrives makes the parser or the prefilter panic, and the two agree.

use proptest::prelude::*;

use super::fixtures::*;
use super::*;

/// Any use of a map that a client makes of it.
fn exercise(map: &ClusterMap) {
    for key in ["", "hello", "k-1"] {
        let _ = map.route(key.as_bytes());
    }
    if let Some(vbuckets) = &map.vbuckets {
        for v in [0, 1, 1023, u16::MAX] {
            let _ = (
                vbuckets.active(v),
                vbuckets.replica(v, 3),
                vbuckets.forward_active(v),
                vbuckets.num_replicas(),
            );
        }
    }
    let seeds = [SeedAddr { host: "a".to_owned(), kv: Some(11210), mgmt: None }];
    let choice = choose_network(map, &NetworkSetting::Auto, &seeds, true).unwrap();
    assert!(choice.name == DEFAULT_NETWORK || map.alternate_networks.contains(&choice.name));
    let _ = report(map, &["hello"]).to_string();
    assert_eq!(map.succession(map).unwrap(), Succession::Same);
}

fn check(bytes: &[u8]) {
    let peeked = peek_rev(bytes);
    if let Ok(map) = parse(bytes, "origin") {
        let peeked = peeked.unwrap();
        assert_eq!((peeked.epoch, peeked.rev), (map.rev.epoch, map.rev.rev));
        exercise(&map);
    }
}

#[test]
fn the_fixtures_agree_with_the_prefilter() {
    for text in ACCEPTED {
        accept(text);
        check(text.as_bytes());
    }
}

#[test]
fn i10_any_truncation() {
    for text in ACCEPTED {
        for len in 0..text.len() {
            assert!(parse(&text.as_bytes()[..len], ORIGIN).is_err());
            let _ = peek_rev(&text.as_bytes()[..len]);
        }
    }
}

/// Fragments that a config is made of, for documents that are nearly right.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""rev":1"#.to_owned()),
        Just(r#""revEpoch":1"#.to_owned()),
        Just(r#""name":"b""#.to_owned()),
        Just(r#""nodeLocator":"vbucket""#.to_owned()),
        Just(r#""nodeLocator":"ketama""#.to_owned()),
        Just(r#""nodes":[{}]"#.to_owned()),
        Just(r#""nodesExt":[{"services":{"kv":1}},{}]"#.to_owned()),
        Just(
            r#""vBucketServerMap":{"serverList":["b:1",":","$HOST:1"],"vBucketMap":[[0,1],[1],[9]]}"#
                .to_owned()
        ),
        ("[a-zA-Z]{1,8}", "[\\[\\]{}0-9,:\"\\\\a-z.-]{0,12}")
            .prop_map(|(key, value)| format!("\"{key}\":{value}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i10_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn i10_arbitrary_members(members in proptest::collection::vec(fragment(), 0..10)) {
        // Repeated keys are the documented difference between the two.
        let repeats = |key| members.iter().filter(|member| member.starts_with(key)).count() > 1;
        let text = format!("{{{}}}", members.join(","));
        if repeats("\"rev\"") || repeats("\"revEpoch\"") {
            let _ = (parse(text.as_bytes(), "::1"), peek_rev(text.as_bytes()));
        } else {
            check(text.as_bytes());
        }
    }

    #[test]
    fn i10_changed_bytes(
        which in 0..ACCEPTED.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = ACCEPTED[which].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn i10_digits_changed(which in 0..ACCEPTED.len(), at in any::<prop::sample::Index>(), number in any::<i128>()) {
        // A number in place of any digit: everything that is counted, indexed or dialled.
        let text = ACCEPTED[which];
        let digits: Vec<_> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
        let at = digits[at.index(digits.len())];
        check(format!("{}{number}{}", &text[..at], &text[at + 1..]).as_bytes());
    }

    #[test]
    fn vb_2_every_key_has_a_vbucket_of_the_map(key in proptest::collection::vec(any::<u8>(), 0..64)) {
        let map = accept(BUCKET_80);
        let route = map.route(&key).unwrap();
        prop_assert!(route.vbucket < 8);
        prop_assert_eq!(route.slot, Some(usize::from(route.vbucket >= 4)));
    }
}
