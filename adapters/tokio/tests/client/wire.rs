//! What is on the wire with TLS and without, and everything that Capella and Kubernetes put together.

use std::time::Duration;

use settee_sim::{Listener, SimCluster};
use settee_tokio::ClusterOptions;

use super::credentials;
use super::network::{NAME, Tape, assert_works, name_server, put_behind_forwarders};
use super::secure::{served, trusting};

const SECOND: Duration = Duration::from_secs(1);

fn holds(tape: &Tape, text: &[u8]) -> bool {
    tape.lock().unwrap().windows(text.len()).any(|window| window == text)
}

/// Writes and reads back a document of clear text by forwarders.
async fn speak(sim: &SimCluster, listener: Listener, options: ClusterOptions, tape: &Tape) {
    let outside = put_behind_forwarders(sim, listener, "127.0.0.1", tape).await;
    let scheme = if listener.tls { "couchbases" } else { "couchbase" };
    let options = options.bootstrap_timeout(5 * SECOND);
    // Compression would hide the text as well.
    let text = format!("{scheme}://127.0.0.1:{}?enable_compression=false", outside[0]);
    let cluster = settee_tokio::connect(&text, options).await.unwrap();
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("clear-key", "clear words").await.unwrap();
    assert_eq!(docs.get("clear-key").await.unwrap().content_as::<String>().unwrap(), "clear words");
    cluster.close().await;
}

#[tokio::test]
async fn seed_32_clear_text_is_on_the_plain_wire_and_not_on_the_secure_one() {
    let (sim, plain, secure) = (served(), Tape::default(), Tape::default());
    speak(&sim, Listener::KV, credentials(&sim), &plain).await;
    speak(&sim, Listener::KV_TLS, trusting(&sim), &secure).await;
    for text in ["clear-key", "clear words", "default", "Administrator", "settee/"] {
        assert!(holds(&plain, text.as_bytes()), "{text:?} is not on the plain wire");
        assert!(!holds(&secure, text.as_bytes()), "{text:?} is on the secure wire");
    }
    let length = |tape: &Tape| tape.lock().unwrap().len();
    assert!(length(&secure) > length(&plain) / 2, "the tape has the secure wire as well");
    assert!(!holds(&plain, sim.password().as_bytes()), "SCRAM sends no password");
}

#[tokio::test]
async fn seed_33_srv_and_alternate_addresses_and_a_private_ca_together() {
    let (sim, tape) = (served(), Tape::default());
    let outside = put_behind_forwarders(&sim, Listener::KV_TLS, "localhost", &tape).await;
    let dns = name_server("couchbases", &outside, outside.len());
    let options = trusting(&sim).name_servers(vec![dns.addr()]);
    assert_works(&format!("couchbases://{NAME}"), options).await;
    assert!(dns.control(|server| server.questions()[0].name.starts_with("_couchbases._tcp.")));
    assert!(!tape.lock().unwrap().is_empty());
}

#[tokio::test]
async fn boot_17_a_managers_tls_port_alone_is_enough() {
    let sim = served();
    let port = sim.address_of(settee_sim::NodeId(0), Listener::MGMT_TLS).unwrap().port();
    let text = format!("couchbases://127.0.0.1:{port}=http/default");
    assert_works(&text, trusting(&sim)).await;
    assert!(sim.control(|cluster, _| cluster.http_requests().count()) > 0);
}
