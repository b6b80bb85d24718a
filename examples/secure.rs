//! TLS with a cluster's own authority, the usual case of a self-managed cluster.
//!
//! `cargo run --example secure` brings its own cluster, simulated in this process. With a real one:
//! `cargo run --example secure -- couchbases://db.example.com ca.pem USER PASSWORD BUCKET`, where `ca.pem` is the root
//! certificate of the page "Security" of the cluster's console. Capella and publicly signed certificates need no file.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use settee_tokio::{ClusterOptions, PasswordAuthenticator, TrustSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The simulated cluster lives as long as this value.
    let (_simulated, connection_string, trust, user, password, bucket) = match &arguments[..] {
        [] => {
            let cluster = settee_sim::SimCluster::builder().tls(true).start()?;
            let trust = TrustSource::PemBytes(cluster.ca_pem().into_bytes());
            let (string, user) = (cluster.tls_connection_string(), cluster.username().to_owned());
            let password = cluster.password().to_owned();
            (Some(cluster), string, trust, user, password, "default".to_owned())
        }
        [string, ca, user, password, bucket] => {
            let trust = TrustSource::PemFiles(vec![ca.into()]);
            (None, string.clone(), trust, user.clone(), password.clone(), bucket.clone())
        }
        _ => return Err("usage: secure [CONNECTION_STRING CA_FILE USER PASSWORD BUCKET]".into()),
    };

    println!("connecting to {connection_string}");
    // These certificates and no others are trusted; the names in the node's certificate must be those dialled.
    let options = ClusterOptions::new(PasswordAuthenticator::new(user, password)).trust(trust);
    let cluster = settee_tokio::connect(&connection_string, options).await?;
    let bucket = cluster.bucket(bucket);
    bucket.wait_until_ready(Duration::from_secs(10)).await?;

    let documents = bucket.default_collection();
    documents.upsert("greeting", "written over TLS").await?;
    println!("read: {}", documents.get("greeting").await?.content_as::<String>()?);

    // Every endpoint is asked; the report is JSON by `serde`.
    for (service, endpoints) in bucket.ping().await?.services {
        for endpoint in endpoints {
            println!("ping {service:?} at {}: {}", endpoint.remote, endpoint.state);
        }
    }
    cluster.close().await;
    Ok(())
}
