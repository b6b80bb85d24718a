//! What is refused before anything is sent, and clusters that cannot be connected to.

use std::collections::BTreeMap;
use std::time::Duration;

use settee::wire::Opcode;
use settee_tokio::{ClusterOptions, Error, ErrorKind, PasswordAuthenticator};

use super::{collection, connect, credentials, kind, sim};

#[tokio::test]
async fn wrong_arguments_are_refused_without_sending() {
    let (sim, _cluster, docs) = collection().await;
    docs.get("warm").await.unwrap_err();
    let before = sim.control(|cluster, _| cluster.requests_everywhere(Opcode::SET));
    assert_eq!(kind(docs.get("").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(docs.get("k".repeat(251)).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(docs.get_and_lock("k", Duration::ZERO).await), ErrorKind::InvalidArgument);
    let half = Duration::from_millis(500);
    assert_eq!(kind(docs.upsert("k", 1).expiry(half).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(docs.touch("k", half).await), ErrorKind::InvalidArgument);
    assert_eq!(kind(docs.upsert("k", 1).expiry_at(std::time::UNIX_EPOCH).await), ErrorKind::InvalidArgument);
    let both = docs.replace("k", 1).expiry(Duration::from_secs(5)).preserve_expiry(true).await;
    let error = both.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.context().unwrap().operation, "replace");
    let no_json = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(kind(docs.upsert("k", &no_json).await), ErrorKind::EncodingFailure);
    assert_eq!(sim.control(|cluster, _| cluster.requests_everywhere(Opcode::SET)), before);
}

#[tokio::test]
async fn a_wrong_password_is_an_authentication_failure() {
    let sim = sim();
    let options = ClusterOptions::new(PasswordAuthenticator::new(sim.username(), "s3cret"));
    let error = settee_tokio::connect(&sim.connection_string(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailure, "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_revealed_by_its_first_use() {
    let sim = sim();
    let cluster = connect(&sim).await;
    let bucket = cluster.bucket("nowhere");
    let error = bucket.default_collection().get("k").timeout(Duration::from_secs(2)).await.unwrap_err();
    let cause = error.context().and_then(|context| context.cause);
    assert!(error.kind() == ErrorKind::BucketNotFound || cause == Some(ErrorKind::BucketNotFound), "{error}");
}

#[tokio::test]
async fn nobody_listening_ends_with_a_report_per_seed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = credentials(&sim()).bootstrap_timeout(Duration::from_millis(500));
    let error = settee_tokio::connect(&format!("couchbase://{free}"), options).await.unwrap_err();
    let report = error.context().and_then(|context| context.bootstrap.as_ref()).expect("BOOT-16: a report");
    assert!(!report.attempts.is_empty(), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}

#[tokio::test]
async fn configuration_errors_say_where_and_what_to_do() {
    let sim = sim();
    let refused = async |text: &str| settee_tokio::connect(text, credentials(&sim)).await.unwrap_err();
    let error = refused("couchbase://host:0").await;
    assert!(matches!(&error, Error::ConnectionString(parse) if parse.offset > 0), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = refused("couchbase://host?kv_timeout=soon").await;
    assert!(matches!(error, Error::Option(_)), "{error:?}");
    let nameless = ClusterOptions::new(PasswordAuthenticator::new("", "x"));
    let error = settee_tokio::connect("couchbase://host", nameless).await.unwrap_err();
    assert!(matches!(error, Error::Credentials(_)), "{error:?}");
}

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc-rs")))]
#[tokio::test]
async fn tls_1_without_tls_the_secure_scheme_is_refused() {
    let error = settee_tokio::connect("couchbases://host", credentials(&sim())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FeatureNotAvailable, "{error:?}");
}

#[tokio::test]
async fn warnings_are_data() {
    let sim = sim();
    let text = format!("{}?no_such_option=1", sim.connection_string());
    let cluster = settee_tokio::open(&text, credentials(&sim)).unwrap();
    let warnings = cluster.warnings();
    assert!(warnings.iter().any(|warning| warning.to_string().contains("no_such_option")), "{warnings:?}");
}
