//! Key to vbucket, and ketama.

use super::*;

/// Key, 15-bit hash, vbucket of 1024.
const KEYS: [(&[u8], u16, u16); 6] = [
    (b"a", 26807, 183),
    (b"hello", 13840, 528),
    (b"Hello", 30673, 977),
    (b"landmark_16320", 21504, 0),
    (b"\x00", 20994, 514),
    (b"\xff\xff\xff\xff\xff\xff\xff\xff", 8516, 324),
];

fn map_of(rows: usize) -> VbucketMap {
    let text = bucket(1, &nodes_ext(&["a"]), "[]", &format!("[{}]", vec!["[0]"; rows].join(",")));
    accept(&text).vbuckets.unwrap()
}

#[test]
fn vb_1_vb_3_hash_of_the_key_bytes() {
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc_hash15(b""), 0);
    let map = map_of(1024);
    for (key, hash, vbucket) in KEYS {
        assert_eq!((crc_hash15(key), map.vbucket(key)), (hash, vbucket), "{key:?}");
    }
    // With the prefix of collection 8 it would be another.
    assert_eq!((map.vbucket(b"airline_10"), map.vbucket(b"\x08airline_10")), (361, 935));
}

#[test]
fn vb_2_modulo_of_any_row_count() {
    for (rows, vbucket) in [(1024, 528), (64, 16), (48, 16), (13, 8)] {
        assert_eq!(map_of(rows).vbucket(b"hello"), vbucket, "{rows}");
    }
}

fn ring() -> Ketama {
    Ketama::new((101..=104).zip(0..).map(|(octet, slot)| (format!("192.168.1.{octet}:11210"), slot)))
}

#[test]
fn ketama_points_and_owners() {
    let ring = ring();
    let points: Vec<_> = ring.points().collect();
    assert_eq!(points.len(), 640);
    assert_eq!(points[..3], [(19_069_626, 3), (28_439_255, 0), (36_078_660, 3)]);
    assert_eq!(points[639], (4_294_628_205, 1));
    for (key, point, slot) in [
        ("a", 3_111_502_092, 3),
        ("b", 4_267_699_090, 0),
        ("hello", 708_854_109, 1),
        ("foo", 3_675_831_724, 2),
    ] {
        assert_eq!((Ketama::hash(key.as_bytes()), ring.slot(key.as_bytes())), (point, Some(slot)), "{key}");
    }
}

#[test]
fn ketama_a_key_on_a_point_belongs_to_it() {
    // The text that a member's point is made of, taken as a key.
    let ring = ring();
    assert!(ring.points().any(|(point, slot)| (point, slot) == (Ketama::hash(b"192.168.1.103:11210-7"), 2)));
    for (octet, slot) in (101..=104).zip(0..) {
        for round in 0..40 {
            assert_eq!(ring.slot(format!("192.168.1.{octet}:11210-{round}").as_bytes()), Some(slot));
        }
    }
}

#[test]
fn ketama_wraps_around() {
    let ring = Ketama::new([("192.168.1.101:11210".to_owned(), 7)]);
    let last = ring.points().last().unwrap().0;
    let beyond =
        (0..10_000u32).map(|i| i.to_string()).find(|key| Ketama::hash(key.as_bytes()) > last).unwrap();
    assert_eq!(ring.slot(beyond.as_bytes()), Some(7));
}

#[test]
fn ketama_does_not_depend_on_the_order_of_members() {
    let mut members: Vec<_> = (0..4u16).map(|i| (format!("h{i}:1"), i)).collect();
    let forth = Ketama::new(members.clone());
    members.reverse();
    assert!(forth.points().eq(Ketama::new(members).points()));
}

#[test]
fn ketama_equal_points_go_to_the_lower_authority() {
    let ring = Ketama::new([("a:1".to_owned(), 5), ("a:1".to_owned(), 2)]);
    assert_eq!(ring.points().count(), 160);
    assert!(ring.points().all(|(_, slot)| slot == 2));
    assert_eq!(Ketama::new([]).slot(b"k"), None);
}
