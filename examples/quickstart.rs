//! Documents written and read back over a three-node cluster.
//!
//! `cargo run --example quickstart` brings its own cluster, simulated in this process: no server is needed, nothing is
//! kept. With a real one: `cargo run --example quickstart -- couchbase://db.example.com USER PASSWORD BUCKET`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use settee_tokio::{ClusterOptions, Durability, ErrorKind, PasswordAuthenticator};

#[derive(Debug, Serialize, Deserialize)]
struct Airline {
    name: String,
    fleet: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The simulated cluster lives as long as this value.
    let (_simulated, connection_string, user, password, bucket) = match &arguments[..] {
        [] => {
            let cluster = settee_sim::SimCluster::start()?;
            let (string, user, password) =
                (cluster.connection_string(), cluster.username(), cluster.password());
            let (user, password) = (user.to_owned(), password.to_owned());
            (Some(cluster), string, user, password, "default".to_owned())
        }
        [string, user, password, bucket] => {
            (None, string.clone(), user.clone(), password.clone(), bucket.clone())
        }
        _ => return Err("usage: quickstart [CONNECTION_STRING USER PASSWORD BUCKET]".into()),
    };

    println!("connecting to {connection_string}");
    let options = ClusterOptions::new(PasswordAuthenticator::new(user, password));
    let cluster = settee_tokio::connect(&connection_string, options).await?;
    let bucket = cluster.bucket(bucket);
    bucket.wait_until_ready(Duration::from_secs(10)).await?;
    let airlines = bucket.default_collection();

    for (id, name, fleet) in [("airline_10", "40-Mile Air", 3), ("airline_137", "Air France", 225)] {
        let airline = Airline { name: name.to_owned(), fleet };
        let written = airlines.upsert(id, &airline).expiry(Duration::from_secs(3600)).await?;
        println!("wrote {id}, CAS {}", written.cas());
    }

    for id in ["airline_10", "airline_137"] {
        let document = airlines.get(id).await?;
        let airline: Airline = document.content_as()?;
        println!("read  {id}: {} has {} aircraft", airline.name, airline.fleet);
    }

    // A write that must not overwrite somebody else's: the CAS of the read goes with it.
    let document = airlines.get("airline_10").await?;
    let mut airline: Airline = document.content_as()?;
    airline.fleet += 1;
    let replaced =
        airlines.replace("airline_10", &airline).cas(document.cas()).durability(Durability::Majority).await?;
    println!("airline_10 has {} aircraft, durably, CAS {}", airline.fleet, replaced.cas());
    let outdated = airlines.replace("airline_10", &airline).cas(document.cas()).await;
    match outdated {
        Err(error) if error.kind() == ErrorKind::CasMismatch => {
            println!("the old CAS is refused: {}", error.kind())
        }
        other => println!("unexpected: {other:?}"),
    }

    let visits = airlines.binary().increment("visits").initial(1).await?;
    println!("this was visit {}", visits.value());
    for id in ["airline_10", "airline_137", "visits"] {
        airlines.remove(id).await?;
    }
    println!("removed all of it; airline_10 exists: {}", airlines.exists("airline_10").await?.exists());
    cluster.close().await;
    Ok(())
}
