//! A Couchbase cluster in your test process: no Docker, no download, no installation.
//!
//! ```
//! use settee_sim::SimCluster;
//!
//! let cluster = SimCluster::builder().nodes(2).bucket("travel").collection("inventory", "hotel").start()?;
//! println!("connect to {} as {}", cluster.connection_string(), cluster.username());
//!
//! // Seed a document, and look at it again after clients have worked on it.
//! let there = ("inventory", "hotel");
//! cluster.control(move |cluster, _| cluster.put_document("travel", there, b"hotel_1", b"{}", 0x0200_0000));
//! let value = cluster.control(|cluster, _| cluster.document("travel", "inventory", "hotel", b"hotel_1"));
//! assert_eq!(value.as_deref(), Some(&b"{}"[..]));
//! cluster.stop();
//! # std::io::Result::Ok(())
//! ```
//!
//! # Forms
//! - [`SimCluster`]: the nodes on loopback TCP, for any client in any language.
//! - [`Cluster`]: the same nodes as a pure state machine. Bytes and clock readings go in, bytes come out; nothing in
//!   it touches a socket, a clock or a random source, so that a seed replays a run byte for byte.
//! - [`Net`]: that state machine behind a network in virtual time, with latency, split reads, cuts, half-open
//!   connections, black holes, a name service, and scripted peers in place of nodes.
//! - [`DnsServer`]: a name server with SRV and address records and every bad habit of home routers, on loopback
//!   ([`DnsServed`]) and in virtual time ([`Net::place_dns`]).
//!
//! # What it does
//! - Key-value protocol of a node of release 5.0 to 8.0 ([`Posture`]; 7.6 if not said): HELLO with all dependencies, SCRAM (SHA-1, SHA-256, SHA-512), PLAIN and tokens,
//!   bucket selection, error map, documents with CAS, expiry, locks, counters, flags and datatypes, snappy,
//!   tombstones, sequence numbers and mutation tokens, collections and manifests, durability levels, replica reads.
//! - Cluster maps with revisions and epochs, over GET_CLUSTER_CONFIG, in NOT_MY_VBUCKET answers and as pushes, brief
//!   and full, with the server's own idea of what a connection was given.
//! - TLS 1.2 and 1.3 with an authority of its own, good and bad certificates, client certificates, resumption.
//! - Memcached buckets: placed by a ketama ring, with maps over HTTP alone; each node has documents of its own.
//! - HTTP: bucket and cluster maps, once and streamed, the pool's documents and the services' pings.
//! - Trouble on demand: moved vbuckets, failover, nodes that die, pause and come back, dropped buckets and
//!   collections, changed passwords, and [`Rule`]s that drop, delay, repeat, cut or forge answers.
//!
//! # What it does not do
//! - Sub-documents, extended attributes, range scans, XDCR's and DCP's operations: 0x81, and their features are not
//!   granted.
//! - Other HTTP services and paths.
//! - Replication takes no time and loses nothing: all copies of a vbucket are one, a durable write is never
//!   ambiguous by itself (a [`Rule`] can make it so), persisting is instant.
//! - Access control beyond buckets and the cluster's map.
//! - Requests are carried out in order, which is one of the orders that unordered execution allows.
//! - Nothing is kept on disk.
#![forbid(unsafe_code)]

mod bucket;
mod certificates;
mod clock;
mod cluster;
mod collections;
mod config;
mod dns;
mod errmap;
mod features;
mod hash;
mod http;
mod ketama;
mod leb128;
mod listener;
mod net;
mod node;
mod posture;
mod request;
mod rule;
mod sasl;
mod served;
mod session;
mod store;
mod tls;
mod world;

pub use bucket::{BucketKind, Row};
pub use certificates::{CertificateField, Certificates, UserMapping};
pub use cluster::{Cluster, ConnId};
pub use dns::{
    DnsBehaviour, DnsEdns, DnsQuestion, DnsServed, DnsServer, DnsSettings, DnsSpoof, DnsTcp, DnsZone,
};
pub use features::Features;
pub use hash::vbucket_of;
pub use listener::{Listener, Service};
pub use net::{LinkId, Net, NetEvent, NetSettings, Peer, PeerAction, QuestionId, Reachability, SocketId};
pub use node::{Alternate, NodeAddress, NodeId, Settings};
pub use posture::Posture;
pub use rule::{Action, Edit, Rule};
pub use sasl::Mechanism;
pub use served::{SimCluster, SimClusterBuilder};
pub use tls::{ClientCertificates, TlsVersions};
pub use world::{Machine, World};
