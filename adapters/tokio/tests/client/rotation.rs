//! Credentials and certificates that change while operations go on (AUTH-10 to AUTH-13).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use settee_sim::{ClientCertificates, Posture, SimCluster};
use settee_tokio::{
    BearerAuthenticator, CertificateAuthenticator, Cluster, ClusterOptions, ErrorKind, PasswordAuthenticator,
    Replace, TrustSource,
};
use tokio::task::JoinHandle;

use super::secure::{assert_works, served, trusting};
use super::{credentials, eventually, kind};

const SECOND: Duration = Duration::from_secs(1);

fn ca(sim: &SimCluster) -> TrustSource {
    TrustSource::PemBytes(sim.ca_pem().into_bytes())
}

/// Ends every connection, and reads a document by the next one: reads, unlike writes, are repeated by themselves.
async fn assert_opens_others(sim: &SimCluster, cluster: &Cluster) {
    sim.control(|cluster, _| {
        for node in 0..cluster.node_count() {
            cluster.close_node(settee_sim::NodeId(node));
        }
    });
    cluster.bucket("default").default_collection().get("k").await.unwrap();
    assert_works(cluster).await;
}

/// The connections of the data service as the cluster names them: none comes back.
fn connections(sim: &SimCluster) -> Vec<settee_sim::ConnId> {
    sim.control(|cluster, _| {
        let kv = |conn| cluster.listener_of(conn) == Some(settee_sim::Listener::KV_TLS);
        cluster.connections().map(|(conn, _)| conn).filter(|conn| kv(*conn)).collect()
    })
}

/// Readers and writers that go on until told to stop; an error of any operation fails the test.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let workers = (0..16).map(|worker| {
            let docs = cluster.bucket("default").default_collection();
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                for turn in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{worker}-{}", turn % 64);
                    docs.upsert(&key, turn).await.unwrap();
                    assert_eq!(docs.get(&key).await.unwrap().content_as::<u64>().unwrap(), turn);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { workers: workers.collect(), stop, done }
    }

    /// Waits until some more operations are done.
    async fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        eventually("the load goes on", || self.done.load(Ordering::Relaxed) > before + 100).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_13_authority_and_certificates_are_replaced_under_load_without_an_error() {
    let sim = served();
    let old = ca(&sim);
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), trusting(&sim)).await.unwrap();
    let load = Load::start(&cluster);
    load.goes_on().await;
    let before = connections(&sim);
    assert!(!before.is_empty());

    // The documented order: trust both, replace the nodes' certificates, open all connections anew, trust the new one alone.
    sim.control(|cluster, _| cluster.rotate_certificates(true));
    cluster.rotate_tls(vec![old, ca(&sim)], None, Replace::WhenTheyEnd).await.unwrap();
    load.goes_on().await;
    cluster.set_trust(vec![ca(&sim)]).await.unwrap();
    cluster.replace_connections().await.unwrap();
    eventually("no connection of before is left", || {
        let now = connections(&sim);
        !now.is_empty() && before.iter().all(|conn| !now.contains(conn))
    })
    .await;
    load.goes_on().await;
    load.end().await;
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_13_a_client_certificate_is_replaced_under_load_without_an_error() {
    let sim = SimCluster::builder()
        .tls(true)
        .user("jane", "s3cret")
        .client_certificates(ClientCertificates::Mandatory)
        .start()
        .unwrap();
    let certificate = || {
        let (chain, key) = sim.control(|cluster, _| cluster.client_certificate("jane"));
        CertificateAuthenticator::from_pem(chain, key)
    };
    let options = ClusterOptions::new(certificate()).trust(ca(&sim));
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), options).await.unwrap();
    let load = Load::start(&cluster);
    load.goes_on().await;
    let before = connections(&sim);
    cluster.set_authenticator(certificate()).await.unwrap();
    cluster.replace_connections().await.unwrap();
    let all_new = || before.iter().all(|conn| !connections(&sim).contains(conn));
    eventually("no connection of before is left", all_new).await;
    load.goes_on().await;

    let before = connections(&sim);
    cluster.rotate_tls(vec![ca(&sim)], Some(certificate()), Replace::OneByOne).await.unwrap();
    let all_new = || before.iter().all(|conn| !connections(&sim).contains(conn));
    eventually("no connection of before is left", all_new).await;
    load.goes_on().await;
    load.end().await;

    // The certificate outlives a change of trust.
    assert_works(&cluster).await;
    cluster.set_trust(vec![ca(&sim)]).await.unwrap();
    assert_opens_others(&sim, &cluster).await;
}

#[tokio::test]
async fn auth_11_a_new_token_is_shown_on_every_connection_in_use() {
    let sim = SimCluster::builder()
        .tls(true)
        .posture(Posture::V8_0)
        .user("jane", "s3cret")
        .token("first", "jane")
        .start()
        .unwrap();
    let options = ClusterOptions::new(BearerAuthenticator::new("first")).trust(ca(&sim));
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), options).await.unwrap();
    assert_works(&cluster).await;
    let shown = || sim.control(|cluster, _| cluster.requests_everywhere(settee::wire::Opcode::SASL_AUTH));
    let (before, open) = (shown(), connections(&sim));
    sim.control(|cluster, _| cluster.set_token("second", "jane", None));
    cluster.set_authenticator(BearerAuthenticator::new("second")).await.unwrap();
    eventually("each connection has shown it", || shown() >= before + open.len() as u64).await;
    sim.control(|cluster, _| cluster.revoke_token("first"));
    assert_works(&cluster).await;
    assert!(open.iter().all(|conn| connections(&sim).contains(conn)), "none had to be opened anew");
    assert_opens_others(&sim, &cluster).await;
}

#[tokio::test]
async fn auth_11_a_new_password_is_for_the_connections_to_come() {
    let sim = served();
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), trusting(&sim)).await.unwrap();
    assert_works(&cluster).await;
    sim.control(|cluster, _| cluster.set_password("Administrator", "n3w"));
    assert_works(&cluster).await;
    cluster.set_authenticator(PasswordAuthenticator::new("Administrator", "n3w")).await.unwrap();
    assert_opens_others(&sim, &cluster).await;
}

#[tokio::test]
async fn auth_10_what_cannot_be_leaves_everything_as_it_was() {
    let sim = served();
    let cluster = settee_tokio::connect(&sim.tls_connection_string(), trusting(&sim)).await.unwrap();
    assert_works(&cluster).await;
    let (chain, key) = sim.control(|cluster, _| cluster.client_certificate("Administrator"));
    let certificate = || CertificateAuthenticator::from_pem(chain.clone(), key.clone());
    assert_eq!(kind(cluster.set_authenticator(certificate()).await), ErrorKind::InvalidArgument);
    let nameless = PasswordAuthenticator::new("", "p");
    assert_eq!(kind(cluster.set_authenticator(nameless).await), ErrorKind::InvalidArgument);
    let garbage = TrustSource::PemBytes(b"no certificate".to_vec());
    assert_eq!(kind(cluster.set_trust(vec![garbage]).await), ErrorKind::InvalidArgument);
    let missing = TrustSource::PemFiles(vec!["/nowhere/ca.pem".into()]);
    let error = cluster.set_trust(vec![missing]).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    let both = cluster.rotate_tls(vec![ca(&sim)], Some(certificate()), Replace::OneByOne).await;
    assert_eq!(kind(both), ErrorKind::InvalidArgument);
    assert_opens_others(&sim, &cluster).await;

    let plain = settee_tokio::connect(&sim.connection_string(), credentials(&sim)).await.unwrap();
    let error = plain.set_trust(vec![ca(&sim)]).await.unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
    plain.close().await;
    let late = plain.set_authenticator(PasswordAuthenticator::new("a", "b")).await;
    assert_eq!(kind(late), ErrorKind::ClusterClosed);
}

#[tokio::test]
async fn auth_12_a_wrong_password_is_mended_while_the_cluster_is_open() {
    let sim = served();
    let wrong = ClusterOptions::new(PasswordAuthenticator::new("Administrator", "wr0ng")).trust(ca(&sim));
    let cluster = settee_tokio::open(&sim.tls_connection_string(), wrong).unwrap();
    let docs = cluster.bucket("default").default_collection();
    assert_eq!(kind(docs.get("k").timeout(SECOND).await), ErrorKind::AuthenticationFailure);
    let right = PasswordAuthenticator::new(sim.username(), sim.password());
    cluster.set_authenticator(right).await.unwrap();
    assert_works(&cluster).await;
}
