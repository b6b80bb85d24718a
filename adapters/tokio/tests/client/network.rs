//! Where nodes are: SRV records, alternate addresses, the manager's ports, and what is on the wire.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use settee_sim::{Alternate, DnsBehaviour, DnsServed, DnsServer, DnsZone, Listener, NodeId, SimCluster};
use settee_tokio::{ClusterOptions, ErrorKind, Network};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{credentials, eventually, rule};

const SECOND: Duration = Duration::from_secs(1);
pub(crate) const NAME: &str = "cb.example.test";

/// The ports of a listener on all nodes.
fn ports(sim: &SimCluster, listener: Listener) -> Vec<u16> {
    (0..).map_while(|node| sim.address_of(NodeId(node), listener)).map(|address| address.port()).collect()
}

/// A name server whose SRV records lead to loopback by name: the cluster's ports in front of closed ones.
pub(crate) fn name_server(scheme: &str, ports: &[u16], records: usize) -> DnsServed {
    let mut zone = DnsZone::new();
    let closed = (1..).filter(|port| !ports.contains(port));
    let all: Vec<_> =
        ports.iter().copied().chain(closed).take(records).map(|port| ("localhost", port)).collect();
    zone.srv(&format!("_{scheme}._tcp.{NAME}"), all);
    DnsServed::start(zone).unwrap()
}

fn asked_by_tcp(dns: &DnsServed) -> bool {
    dns.control(|server| server.questions().iter().any(|question| question.over_tcp))
}

pub(crate) async fn assert_works(text: &str, options: ClusterOptions) {
    let cluster = settee_tokio::connect(text, options.bootstrap_timeout(5 * SECOND)).await.unwrap();
    let docs = cluster.bucket("default").default_collection();
    docs.upsert("k", 1).await.unwrap();
    assert_eq!(docs.get("k").await.unwrap().content_as::<u8>().unwrap(), 1);
}

#[tokio::test]
async fn cs_27_srv_records_few_and_many_by_udp_and_by_tcp() {
    let sim = super::sim();
    for (records, tcp) in [(3, false), (10, false), (50, true)] {
        let dns = name_server("couchbase", &ports(&sim, Listener::KV), records);
        assert_works(&format!("couchbase://{NAME}"), credentials(&sim).name_servers(vec![dns.addr()])).await;
        assert_eq!(asked_by_tcp(&dns), tcp, "{records} records");
    }
}

#[tokio::test]
async fn cs_29_a_name_server_that_fails_is_in_the_error() {
    let dns = name_server("couchbase", &[], 3);
    dns.control(|server: &mut DnsServer| server.settings.behaviour = DnsBehaviour::ServFail);
    let options = credentials(&super::sim()).name_servers(vec![dns.addr()]).bootstrap_timeout(2 * SECOND);
    let error = settee_tokio::connect(&format!("couchbase://{NAME}"), options).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("SRV") && said.contains(&format!("_couchbase._tcp.{NAME}")), "{said}");
}

#[tokio::test]
async fn cs_28_the_next_name_server_is_asked_where_the_first_is_gone() {
    let sim = super::sim();
    let dns = name_server("couchbase", &ports(&sim, Listener::KV), 3);
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let servers = vec![closed, dns.addr()];
    assert_works(&format!("couchbase://{NAME}"), credentials(&sim).name_servers(servers)).await;
}

#[tokio::test]
async fn without_name_servers_no_record_is_asked_for() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    let options = credentials(&sim).name_servers(Vec::new()).bootstrap_timeout(SECOND);
    let error = settee_tokio::connect("couchbase://nowhere.invalid", options).await.unwrap_err();
    assert!(error.to_string().contains("nowhere.invalid"), "{error}");
}

#[tokio::test]
async fn net_1_from_outside_the_alternate_addresses_are_used() {
    let sim = SimCluster::builder().external(true).start().unwrap();
    assert_works(&sim.connection_string(), credentials(&sim)).await;
    let named = |network| credentials(&sim).options(move |options| options.network = network);
    assert_works(&sim.connection_string(), named(Network::Named("external".into()))).await;
}

#[tokio::test]
async fn net_4_a_network_that_is_not_there_is_an_error_and_no_other_address_is_tried() {
    let sim = super::sim();
    let options = credentials(&sim)
        .options(|options| options.network = Network::Named("nowhere".into()))
        .bootstrap_timeout(2 * SECOND);
    let text = sim.connection_string();
    let failed = match settee_tokio::connect(&text, options).await {
        Err(error) => error,
        Ok(cluster) => {
            let docs = cluster.bucket("default").default_collection();
            docs.get("k").timeout(SECOND).await.unwrap_err()
        }
    };
    assert!(failed.to_string().contains("network"), "{failed}");
}

#[tokio::test]
async fn boot_17_a_managers_port_alone_is_enough() {
    let sim = super::sim();
    let port = sim.address_of(NodeId(0), Listener::MGMT).unwrap().port();
    let text = format!("couchbase://127.0.0.1:{port}=http/default");
    assert_works(&text, credentials(&sim)).await;
    assert!(sim.control(|cluster, _| cluster.http_requests().count()) > 0);
}

/// What has gone through a forwarder, both ways.
pub(crate) type Tape = Arc<Mutex<Vec<u8>>>;

/// Listens on a port of its own and passes everything on, writing it down.
async fn forwarder(to: SocketAddr, tape: &Tape) -> u16 {
    async fn pass(
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        tape: Tape,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                return to.shutdown().await;
            }
            tape.lock().unwrap().extend_from_slice(&buffer[..len]);
            to.write_all(&buffer[..len]).await?;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tape = Arc::clone(tape);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(to).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(pass(from_client, to_server, Arc::clone(&tape)));
            tokio::spawn(pass(from_server, to_client, Arc::clone(&tape)));
        }
    });
    port
}

/// Gives every node an address on the network `external`, behind a forwarder for one listener; returns the ports there.
pub(crate) async fn put_behind_forwarders(
    sim: &SimCluster,
    listener: Listener,
    host: &str,
    tape: &Tape,
) -> Vec<u16> {
    let mut outside = Vec::new();
    for (index, port) in ports(sim, listener).into_iter().enumerate() {
        let forwarded = forwarder(SocketAddr::from(([127, 0, 0, 1], port)), tape).await;
        outside.push(forwarded);
        let host = host.to_owned();
        sim.control(move |cluster, _| {
            let mut address = cluster.address(NodeId(index)).unwrap().clone();
            // Inside, the node has a name that leads nowhere from here.
            address.host = format!("192.0.2.{}", index + 1);
            let ports = Some([(listener, forwarded)].into());
            address.alternates = vec![Alternate { ports, ..Alternate::external(host) }];
            cluster.set_address(NodeId(index), address);
            cluster.set_certificate_names(NodeId(index), vec!["localhost".to_owned()]);
        });
    }
    outside
}

#[tokio::test]
async fn net_5_ports_that_are_forwarded_are_the_ones_used() {
    let (sim, tape) = (super::sim(), Tape::default());
    let outside = put_behind_forwarders(&sim, Listener::KV, "127.0.0.1", &tape).await;
    assert_works(&format!("couchbase://127.0.0.1:{}", outside[1]), credentials(&sim)).await;
    assert!(!tape.lock().unwrap().is_empty());
}

#[tokio::test]
async fn life_2_a_cluster_that_is_down_at_the_start_comes_up_later() {
    let sim = SimCluster::builder().nodes(1).start().unwrap();
    sim.control(|cluster, _| cluster.kill_node(NodeId(0)));
    let text = sim.connection_string();
    let error = settee_tokio::connect(&text, credentials(&sim).bootstrap_timeout(SECOND)).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    let cluster = settee_tokio::open(&text, credentials(&sim)).unwrap();
    let docs = cluster.bucket("default").default_collection();
    let failed = docs.get("k").timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::UnambiguousTimeout, "{failed}");
    let begin = Instant::now();
    let waiting = tokio::spawn(docs.upsert("k", 1).timeout(20 * SECOND).into_future());
    sim.control(|cluster, _| cluster.restart_node(NodeId(0)));
    waiting.await.unwrap().unwrap();
    cluster.wait_until_ready(10 * SECOND).await.unwrap();
    assert!(begin.elapsed() < 15 * SECOND);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_found_and_replaced() {
    let (sim, cluster, docs) = super::collection().await;
    docs.upsert("k", 1).await.unwrap();
    rule(&sim, settee::wire::Opcode::GET, settee_sim::Action::CloseWithoutAnswer);
    docs.get("k").timeout(Duration::from_millis(300)).await.unwrap_err();
    super::clear_rules(&sim);
    docs.get("k").await.unwrap();
    cluster.close().await;
    eventually("connections are closed", || sim.control(|sim, _| sim.connections().count()) == 0).await;
}
