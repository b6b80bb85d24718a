//! Every operation, its options, and its errors by kind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use settee::wire::Opcode;
use settee_sim::{Action, SimCluster};
use settee_tokio::{
    Cas, Durability, ErrorKind, Flags, GetResult, Legacy, RawBinary, RawJson, RawString, RetryStrategy,
};

use super::{collection, connect, credentials, kind, rule, sim};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Airline {
    name: String,
    fleet: u32,
}

fn couch() -> Airline {
    Airline { name: "Couch".into(), fleet: 7 }
}

/// Past the first 30 days of 1970, so that it is an instant and not a distance.
fn long_ago() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(3_000_000)
}

#[tokio::test]
async fn documents_are_written_read_and_removed() {
    let (_sim, _cluster, docs) = collection().await;
    let inserted = docs.insert("a", couch()).await.unwrap();
    assert!(inserted.mutation_token().is_some());
    let read = docs.get("a").await.unwrap();
    assert_eq!((read.cas(), read.flags()), (inserted.cas(), Flags::JSON));
    assert_eq!(read.content_as::<Airline>().unwrap(), couch());
    #[derive(Deserialize)]
    struct Borrowed<'a> {
        name: &'a str,
    }
    assert_eq!(read.content_as::<Borrowed<'_>>().unwrap().name, "Couch");
    assert_eq!(read.content_raw().0, br#"{"name":"Couch","fleet":7}"#);

    let replaced = docs.replace("a", "text").cas(read.cas()).await.unwrap();
    assert_ne!(replaced.cas(), read.cas());
    assert_eq!(kind(docs.replace("a", "late").cas(read.cas()).await), ErrorKind::CasMismatch);
    docs.upsert("a", serde_json::json!([1, 2])).await.unwrap();
    docs.upsert("b", 2).await.unwrap();
    assert_eq!(docs.get("a").await.unwrap().content_as::<Vec<u8>>().unwrap(), [1, 2]);

    let there = docs.exists("a").await.unwrap();
    assert!(there.exists() && there.cas() != Cas::NONE);
    assert_eq!(kind(docs.remove("a").cas(read.cas()).await), ErrorKind::CasMismatch);
    docs.remove("a").await.unwrap();
    assert!(!docs.exists("a").await.unwrap().exists());
    assert_eq!(docs.get("b").await.unwrap().content_as::<u8>().unwrap(), 2);
}

#[tokio::test]
async fn what_is_there_or_not_is_told_by_kind() {
    let (_sim, _cluster, docs) = collection().await;
    assert_eq!(kind(docs.get("none").await), ErrorKind::DocumentNotFound);
    assert_eq!(kind(docs.remove("none").await), ErrorKind::DocumentNotFound);
    assert_eq!(kind(docs.replace("none", 1).await), ErrorKind::DocumentNotFound);
    assert_eq!(kind(docs.touch("none", Duration::ZERO).await), ErrorKind::DocumentNotFound);
    assert_eq!(kind(docs.get_and_touch("none", Duration::ZERO).await), ErrorKind::DocumentNotFound);
    assert_eq!(kind(docs.get_and_lock("none", Duration::from_secs(1)).await), ErrorKind::DocumentNotFound);
    docs.insert("one", 1).await.unwrap();
    assert_eq!(kind(docs.insert("one", 1).await), ErrorKind::DocumentExists);
    let error = docs.get("none").await.unwrap_err();
    let context = error.context().unwrap();
    assert_eq!((context.operation, &context.bucket[..]), ("get", "default"));
    assert!(context.server.is_some() && !error.may_have_happened());
}

#[tokio::test]
async fn expiry_is_set_removed_and_preserved() {
    let (_sim, _cluster, docs) = collection().await;
    docs.upsert("past", 1).expiry_at(long_ago()).await.unwrap();
    assert_eq!(kind(docs.get("past").await), ErrorKind::DocumentNotFound);

    docs.insert("touched", 1).await.unwrap();
    docs.touch_at("touched", long_ago()).await.unwrap();
    assert_eq!(kind(docs.get("touched").await), ErrorKind::DocumentNotFound);

    let second = Duration::from_secs(1);
    docs.upsert("goes", 1).expiry(second).await.unwrap();
    docs.upsert("preserved", 1).expiry(second).await.unwrap();
    docs.upsert("preserved", 2).preserve_expiry(true).await.unwrap();
    docs.upsert("replaced", 1).expiry(second).await.unwrap();
    docs.replace("replaced", 2).preserve_expiry(true).await.unwrap();
    docs.upsert("overwritten", 1).expiry(second).await.unwrap();
    docs.upsert("overwritten", 2).await.unwrap();
    docs.upsert("saved", 1).expiry(second).await.unwrap();
    assert_eq!(docs.get_and_touch("saved", Duration::ZERO).await.unwrap().content_as::<u8>().unwrap(), 1);
    docs.upsert("long", 1).expiry(Duration::from_secs(90 * 24 * 60 * 60)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    for gone in ["goes", "preserved", "replaced"] {
        assert_eq!(kind(docs.get(gone).await), ErrorKind::DocumentNotFound, "{gone}");
    }
    for there in ["overwritten", "saved", "long"] {
        docs.get(there).await.unwrap();
    }
}

#[tokio::test]
async fn locks_keep_others_out() {
    let (_sim, _cluster, docs) = collection().await;
    docs.insert("a", 1).await.unwrap();
    let locked = docs.get_and_lock("a", Duration::from_secs(15)).await.unwrap();
    assert_eq!(locked.content_as::<u8>().unwrap(), 1);
    let denied = docs.upsert("a", 2).retry_strategy(RetryStrategy::FailFast).await;
    assert_eq!(kind(denied), ErrorKind::DocumentLocked);
    let patient = docs.upsert("a", 2).timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(patient.kind(), ErrorKind::UnambiguousTimeout, "{patient}");
    docs.unlock("a", locked.cas()).await.unwrap();
    assert_eq!(kind(docs.unlock("a", locked.cas()).await), ErrorKind::DocumentNotLocked);
    let locked = docs.get_and_lock("a", Duration::from_millis(1)).await.unwrap();
    docs.replace("a", 3).cas(locked.cas()).await.unwrap();
    assert_eq!(docs.get("a").await.unwrap().content_as::<u8>().unwrap(), 3);
}

#[tokio::test]
async fn counters_count() {
    let (_sim, _cluster, docs) = collection().await;
    let binary = docs.binary();
    assert_eq!(kind(binary.increment("n").await), ErrorKind::DocumentNotFound);
    assert_eq!(binary.increment("n").initial(5).await.unwrap().value(), 5);
    assert_eq!(binary.increment("n").initial(5).delta(3).await.unwrap().value(), 8);
    let last = binary.decrement("n").await.unwrap();
    assert_eq!(last.value(), 7);
    assert!(last.mutation_token().is_some());
    assert_eq!(binary.decrement("n").delta(100).await.unwrap().value(), 0, "OP-11: it stops at 0");
    // MI-3: flags are 0, which reads as JSON.
    assert_eq!(docs.get("n").await.unwrap().content_as::<u64>().unwrap(), 0);
    docs.upsert("text", "x").await.unwrap();
    assert_eq!(kind(binary.increment("text").await), ErrorKind::DeltaInvalid);
    assert_eq!(binary.increment("gone").initial(1).expiry_at(long_ago()).await.unwrap().value(), 1);
    assert_eq!(kind(docs.get("gone").await), ErrorKind::DocumentNotFound);
}

#[tokio::test]
async fn bytes_are_added_at_both_ends() {
    let (_sim, _cluster, docs) = collection().await;
    let binary = docs.binary();
    docs.upsert("b", RawBinary::new("-")).await.unwrap();
    let appended = binary.append("b", ">").await.unwrap();
    binary.prepend("b", vec![b'<']).cas(appended.cas()).await.unwrap();
    let read = docs.get("b").await.unwrap();
    assert_eq!((read.content_raw().0, read.flags()), (&b"<->"[..], Flags::BINARY));
    assert_eq!(kind(binary.append("b", "x").cas(appended.cas()).await), ErrorKind::CasMismatch);
    assert_eq!(kind(binary.append("none", "x").await), ErrorKind::DocumentNotFound);
}

#[tokio::test]
async fn other_formats_come_back_as_they_went() {
    let sim = sim();
    let cluster =
        settee_tokio::connect(&sim.connection_string(), credentials(&sim).strict_flags(true)).await.unwrap();
    let docs = cluster.bucket("default").default_collection();
    let read = async |id: &str| -> GetResult { docs.get(id).await.unwrap() };
    docs.upsert("string", RawString::new("no JSON")).await.unwrap();
    assert_eq!(read("string").await.decode::<RawString>().unwrap(), RawString::new("no JSON"));
    assert_eq!(read("string").await.decode::<Legacy>().unwrap(), Legacy::Text("no JSON".into()));
    assert_eq!(kind(read("string").await.content_as::<String>()), ErrorKind::DecodingFailure);
    docs.upsert("json", RawJson::new("[1]")).await.unwrap();
    assert_eq!(read("json").await.content_as::<Vec<u8>>().unwrap(), [1]);
    assert_eq!(kind(read("json").await.decode::<RawBinary>()), ErrorKind::DecodingFailure);
    docs.upsert("binary", RawBinary::new(vec![0xff, 0])).await.unwrap();
    assert_eq!(read("binary").await.content_bytes(), vec![0xff, 0]);

    let lax = connect(&sim).await.bucket("default").default_collection();
    assert_eq!(lax.get("json").await.unwrap().decode::<RawBinary>().unwrap(), RawBinary::new("[1]"));
}

#[tokio::test]
async fn durable_writes_without_sync_replication_all_end_each_with_its_own_error() {
    let sim = SimCluster::builder().features_off(&[0x11]).start().unwrap();
    let cluster = connect(&sim).await;
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("warm", 1).await.unwrap();
    let writes: Vec<_> = (0..200)
        .map(|number| {
            let write = docs.upsert(format!("k{number}"), number).durability(Durability::Majority);
            tokio::spawn(write.into_future())
        })
        .collect();
    for (number, write) in writes.into_iter().enumerate() {
        let ended = tokio::time::timeout(Duration::from_secs(20), write).await;
        let outcome = ended.unwrap_or_else(|_| panic!("write {number} never ends")).unwrap();
        assert_eq!(kind(outcome), ErrorKind::FeatureNotAvailable, "write {number}");
    }
    assert_eq!(sim.control(|cluster, _| cluster.item_count("default")), 1);
}

#[tokio::test]
async fn durable_writes_take_every_level() {
    let (_sim, _cluster, docs) = collection().await;
    let levels =
        [Durability::Majority, Durability::MajorityAndPersistToActive, Durability::PersistToMajority];
    for level in levels {
        docs.upsert("d", 1).durability(level).await.unwrap();
        docs.replace("d", 2).durability(level).await.unwrap();
        docs.binary().append("d", "3").durability(level).await.unwrap();
        assert_eq!(docs.binary().increment("d").durability(level).await.unwrap().value(), 24);
        docs.remove("d").durability(level).await.unwrap();
    }
}

#[tokio::test]
async fn named_collections_are_apart() {
    let sim = sim();
    sim.control(|cluster, _| cluster.add_collection("default", "inventory", "hotel")).unwrap();
    let cluster = connect(&sim).await;
    let bucket = cluster.bucket("default");
    let hotels = bucket.scope("inventory").collection("hotel");
    assert_eq!((hotels.bucket_name(), hotels.scope_name(), hotels.name()), ("default", "inventory", "hotel"));
    hotels.insert("k", "hotel").await.unwrap();
    bucket.default_collection().insert("k", "default").await.unwrap();
    assert_eq!(hotels.get("k").await.unwrap().content_as::<String>().unwrap(), "hotel");
    let missing = bucket.scope("inventory").collection("boat").get("k").timeout(Duration::from_secs(1)).await;
    let error = missing.unwrap_err();
    let cause = error.context().and_then(|context| context.cause);
    assert!(
        error.kind() == ErrorKind::CollectionNotFound || cause == Some(ErrorKind::CollectionNotFound),
        "{error}"
    );
}

#[tokio::test]
async fn timeouts_tell_whether_a_write_may_have_happened() {
    let (sim, _cluster, docs) = collection().await;
    docs.insert("k", 1).await.unwrap();
    rule(&sim, Opcode::GET, Action::Ignore);
    rule(&sim, Opcode::SET, Action::DropAnswer);
    let short = Duration::from_millis(150);
    let begin = std::time::Instant::now();
    let read = docs.get("k").timeout(short).await.unwrap_err();
    assert_eq!(read.kind(), ErrorKind::UnambiguousTimeout, "{read}");
    assert_eq!(read.context().unwrap().timeout, Some(short));
    let wrote = docs.upsert("k", 2).timeout(short).await.unwrap_err();
    assert_eq!(wrote.kind(), ErrorKind::AmbiguousTimeout, "{wrote}");
    assert!(wrote.may_have_happened());
    let elapsed = begin.elapsed();
    assert!(elapsed >= short * 2 && elapsed < short * 2 + Duration::from_secs(1), "{elapsed:?}");
}
