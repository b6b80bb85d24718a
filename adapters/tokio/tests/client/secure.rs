//! TLS and the credentials that need it, against certificates of every kind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use settee_sim::{Certificates, ClientCertificates, NodeId, SimCluster};
use settee_tokio::{
    BearerAuthenticator, CertificateAuthenticator, Cluster, ClusterOptions, Error, ErrorKind, TrustSource,
};

use super::{credentials, kind};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn served() -> SimCluster {
    SimCluster::builder().tls(true).start().unwrap()
}

/// Credentials, and trust in the cluster's own authority.
pub(crate) fn trusting(sim: &SimCluster) -> ClusterOptions {
    credentials(sim).trust(TrustSource::PemBytes(sim.ca_pem().into_bytes()))
}

async fn connect(sim: &SimCluster, options: ClusterOptions) -> Result<Cluster, Error> {
    settee_tokio::connect(&sim.tls_connection_string(), options.bootstrap_timeout(5 * SECOND)).await
}

pub(crate) async fn assert_works(cluster: &Cluster) {
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("k", "value").await.unwrap();
    assert_eq!(docs.get("k").await.unwrap().content_as::<String>().unwrap(), "value");
}

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("settee-tokio-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn seed_28_and_29_a_ca_file_by_option_or_string_is_all_it_takes() {
    let (sim, folder) = (served(), Folder::new("ca"));
    // As the text is copied from the admin page, with words around it.
    let ca = folder.file("ca.pem", &format!("Cluster certificate\n\n{}\n", sim.ca_pem()));
    let cluster = connect(&sim, credentials(&sim).trust_certificate(&ca)).await.unwrap();
    assert_works(&cluster).await;
    let text = format!("{}?cert_path={}", sim.tls_connection_string(), ca.display());
    let cluster = settee_tokio::connect(&text, credentials(&sim)).await.unwrap();
    assert_works(&cluster).await;
    cluster.close().await;
    let cluster = connect(&sim, trusting(&sim)).await.unwrap();
    assert_works(&cluster).await;
}

#[tokio::test]
async fn tls_19_a_wrong_ca_is_named_with_what_to_do() {
    let (sim, same_name, other) = (served(), served(), served());
    other.control(|cluster, _| cluster.rotate_certificates(true));
    for (options, words) in [
        (trusting(&other), "issuer `CN=Simulated Cluster CA`, which is not trusted"),
        (credentials(&sim), "issuer `CN=Simulated Cluster CA`, which is not trusted"),
        (credentials(&sim).trust(TrustSource::Capella), "which is not trusted"),
        (trusting(&same_name), "the cluster's CA was replaced"),
    ] {
        let said = connect(&sim, options).await.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        assert!(said.contains("trust_certificate"), "{said}");
    }
}

#[tokio::test]
async fn seed_31_localhost_is_not_in_the_certificate_and_the_address_is_proposed() {
    let sim = SimCluster::builder().nodes(1).tls(true).certificates(Certificates::IpOnly).start().unwrap();
    let text = sim.tls_connection_string();
    let options = || trusting(&sim).bootstrap_timeout(5 * SECOND);
    let error = settee_tokio::connect(&text.replace("127.0.0.1", "localhost"), options()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("`127.0.0.1`") && said.contains("connect to 127.0.0.1"), "{said}");
    assert_works(&settee_tokio::connect(&text, options()).await.unwrap()).await;
}

#[tokio::test]
async fn tls_19_each_bad_certificate_is_told_apart() {
    for (certificates, words) in [
        (Certificates::Expired, "expired at"),
        (Certificates::NotYetValid, "not valid before"),
        (Certificates::WrongName, "`wrong.example`"),
        (Certificates::SelfSigned, "not trusted"),
        (Certificates::UnknownIssuer, "not trusted"),
    ] {
        let sim = SimCluster::builder().nodes(1).tls(true).certificates(certificates).start().unwrap();
        let said = connect(&sim, trusting(&sim)).await.unwrap_err().to_string();
        assert!(said.contains(words), "{certificates:?}: {said}");
    }
}

#[tokio::test]
async fn tls_19_a_plain_port_is_recognised() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    let text = sim.connection_string().replace("couchbase://", "couchbases://");
    let options = trusting(&sim).bootstrap_timeout(3 * SECOND);
    let error = settee_tokio::connect(&text, options).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("failed at TLS") && said.contains("check the port"), "{said}");
}

#[tokio::test]
async fn a_trust_file_that_is_missing_or_empty_is_an_error_of_connecting() {
    let (sim, folder) = (served(), Folder::new("missing"));
    let missing = folder.path().join("missing.pem");
    let empty = folder.file("empty.pem", "nothing");
    for path in [missing, empty] {
        let error = connect(&sim, credentials(&sim).trust_certificate(&path)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn auth_5_mutual_tls_logs_in_by_the_certificate_alone() {
    let folder = Folder::new("mutual");
    let sim = SimCluster::builder()
        .tls(true)
        .user("jane", "s3cret")
        .client_certificates(ClientCertificates::Mandatory)
        .start()
        .unwrap();
    let (chain, key) = sim.control(|cluster, _| cluster.client_certificate("jane"));
    let (chain_file, key_file) = (folder.file("client.pem", &chain), folder.file("client.key", &key));
    let ca = || TrustSource::PemBytes(sim.ca_pem().into_bytes());
    for certificate in [
        CertificateAuthenticator::from_files(&chain_file, &key_file),
        CertificateAuthenticator::from_pem(chain.clone(), key.clone()),
    ] {
        let cluster = connect(&sim, ClusterOptions::new(certificate).trust(ca())).await.unwrap();
        assert_works(&cluster).await;
    }
    let named = format!(
        "{}?certpath={}&keypath={}",
        sim.tls_connection_string(),
        chain_file.display(),
        key_file.display()
    );
    let settings = ClusterOptions::new(CertificateAuthenticator::from_settings()).trust(ca());
    assert_works(&settee_tokio::connect(&named, settings.clone()).await.unwrap()).await;
    assert_eq!(sim.control(|cluster, _| cluster.requests_everywhere(settee::wire::Opcode::SASL_AUTH)), 0);

    // A password is no substitute where certificates are mandatory.
    let error = connect(&sim, trusting(&sim)).await.unwrap_err();
    assert!(error.to_string().contains("certificate_required"), "{error}");
    let (foreign, key) = sim.control(|cluster, _| cluster.foreign_client_certificate("jane"));
    let foreign = ClusterOptions::new(CertificateAuthenticator::from_pem(foreign, key)).trust(ca());
    let error = connect(&sim, foreign).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn auth_6_what_does_not_fit_together_is_refused_at_connect() {
    let sim = served();
    let (chain, key) = sim.control(|cluster, _| cluster.client_certificate("Administrator"));
    let (_, other_key) = sim.control(|cluster, _| cluster.client_certificate("Administrator"));
    let good = || ClusterOptions::new(CertificateAuthenticator::from_pem(chain.clone(), key.clone()));
    let mixed = ClusterOptions::new(CertificateAuthenticator::from_pem(chain.clone(), other_key));
    let missing = ClusterOptions::new(CertificateAuthenticator::from_files("/nowhere/a", "/nowhere/b"));
    let nothing = ClusterOptions::new(CertificateAuthenticator::from_settings());
    let token = ClusterOptions::new(BearerAuthenticator::new("token"));
    let tls = sim.tls_connection_string();
    let plain = sim.connection_string();
    let twice = format!("{tls}?certpath=/nowhere/a&keypath=/nowhere/b");
    for (text, options, words) in [
        (&tls, mixed, "does not belong"),
        (&tls, missing, "/nowhere/a"),
        (&tls, nothing, "certificate_path"),
        (&plain, good(), "couchbases://"),
        (&plain, token, "couchbases://"),
        (&twice, credentials(&sim), "certificate_path"),
    ] {
        let error = settee_tokio::open(text, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(words), "{words:?} is not in {error}");
    }
}

#[tokio::test]
async fn auth_8_a_token_logs_in() {
    let sim = SimCluster::builder()
        .tls(true)
        .posture(settee_sim::Posture::V8_0)
        .user("jane", "s3cret")
        .token("t0ken", "jane")
        .start()
        .unwrap();
    let with = |token: &str| {
        ClusterOptions::new(BearerAuthenticator::new(token))
            .trust(TrustSource::PemBytes(sim.ca_pem().into_bytes()))
    };
    assert_works(&connect(&sim, with("t0ken")).await.unwrap()).await;
    let error = connect(&sim, with("wr0ng")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailure, "{error}");
    assert!(!format!("{error} {error:?}").contains("wr0ng"), "AUTH-9");
}

#[tokio::test]
async fn tls_17_without_its_feature_nothing_goes_unverified() {
    let sim = served();
    let blind = credentials(&sim).tls_verify(settee_tokio::TlsVerify::None);
    let outcome = connect(&sim, blind).await;
    if cfg!(feature = "insecure") {
        assert_works(&outcome.unwrap()).await;
    } else {
        assert_eq!(kind(outcome), ErrorKind::FeatureNotAvailable);
    }
}

#[tokio::test]
async fn tls_13_names_may_go_unchecked_while_the_chain_is_not() {
    let sim = SimCluster::builder().nodes(1).tls(true).certificates(Certificates::WrongName).start().unwrap();
    assert_works(&connect(&sim, trusting(&sim).tls_verify_hostname(false)).await.unwrap()).await;
    sim.control(|cluster, _| cluster.set_certificates(NodeId(0), Certificates::UnknownIssuer));
    connect(&sim, trusting(&sim).tls_verify_hostname(false)).await.unwrap_err();
}

#[tokio::test]
async fn life_3_a_clean_close_over_tls_with_operations_under_way() {
    let sim = served();
    let cluster = connect(&sim, trusting(&sim)).await.unwrap();
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("k", 1).await.unwrap();
    super::rule(&sim, settee::wire::Opcode::GET, settee_sim::Action::Delay(Duration::from_millis(300)));
    let slow: Vec<_> = (0..20).map(|_| tokio::spawn(docs.get("k").into_future())).collect();
    let gets = || sim.control(|sim, _| sim.requests_everywhere(settee::wire::Opcode::GET));
    super::eventually("the requests are there", || gets() >= 20).await;
    cluster.close().await;
    for get in slow {
        assert_eq!(get.await.unwrap().unwrap().content_as::<u8>().unwrap(), 1);
    }
    super::eventually("connections are closed", || sim.control(|sim, _| sim.connections().count()) == 0)
        .await;
}

#[tokio::test]
async fn life_4_a_drop_without_close_over_tls() {
    let sim = served();
    let cluster = connect(&sim, trusting(&sim)).await.unwrap();
    assert_works(&cluster).await;
    drop(cluster);
    super::eventually("connections are closed", || sim.control(|sim, _| sim.connections().count()) == 0)
        .await;
}

#[tokio::test]
async fn life_7_a_plain_and_a_secure_cluster_at_once() {
    let (one, other) = (super::sim(), served());
    let plain = super::connect(&one).await;
    let secure = connect(&other, trusting(&other)).await.unwrap();
    assert_works(&plain).await;
    assert_works(&secure).await;
    plain.close().await;
    assert_works(&secure).await;
}
