//! Facts for the tests of the checks: a cluster that is well, and ways in which it is not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use settee::connstr;
use settee::dns::{Action, Outcome, Query, ResolverConfig};
use settee::engine::Stage;
use settee::error::ErrorKind;
use settee::map::{ClusterMap, NetworkSetting, SeedAddr, Service, choose_network};
use settee::options::{Options, resolve};
use settee::tls::{CAPELLA_PEM, CertificateFacts};
use settee_sim::{DnsServer, DnsZone};

use crate::doctor::facts::{
    Attempt, BucketFacts, EndpointFacts, Facts, Given, HttpFacts, KvFacts, NameFacts, NoopFacts, PoolFacts,
    PoolNode, SeedFacts, TlsFacts, TlsOutcome, Whole,
};

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn map(document: &Value) -> Arc<ClusterMap> {
    Arc::new(settee::map::parse(document.to_string().as_bytes(), "10.0.0.1").unwrap())
}

pub(super) fn node(host: &str) -> Value {
    json!({"hostname": host, "services": {"kv": 11210, "kvSSL": 11207, "mgmt": 8091, "mgmtSSL": 18091}})
}

pub(super) fn cluster(uuid: &str, nodes: &[Value]) -> Arc<ClusterMap> {
    map(&json!({"rev": 7, "revEpoch": 1, "clusterUUID": uuid, "clusterName": "", "nodesExt": nodes}))
}

pub(super) fn two_nodes() -> Arc<ClusterMap> {
    cluster("aa", &[node("10.0.0.1"), node("10.0.0.2")])
}

pub(super) fn seed(host: &str) -> SeedAddr {
    SeedAddr { host: host.to_owned(), kv: Some(11210), mgmt: Some(8091) }
}

pub(super) fn kv(map: &Arc<ClusterMap>) -> KvFacts {
    KvFacts {
        outcome: Ok(Arc::clone(map)),
        elapsed: 3 * MS,
        mechanism: Some("SCRAM-SHA512".to_owned()),
        features: vec!["XERROR".to_owned(), "COLLECTIONS".to_owned()],
    }
}

pub(super) fn attempt(stage: Stage, kind: ErrorKind, text: &str) -> Attempt {
    Attempt { stage, kind: Some(kind), text: text.to_owned() }
}

pub(super) fn failed(stage: Stage, kind: ErrorKind, text: &str) -> Option<KvFacts> {
    Some(KvFacts {
        outcome: Err(attempt(stage, kind, text)),
        elapsed: MS,
        mechanism: None,
        features: Vec::new(),
    })
}

pub(super) fn http(map: &Arc<ClusterMap>) -> HttpFacts {
    HttpFacts { port: 8091, outcome: Ok(Arc::clone(map)), elapsed: 3 * MS }
}

pub(super) fn endpoint(node: usize, host: &str, outcome: Result<Duration, Attempt>) -> EndpointFacts {
    EndpointFacts { node, service: Service::Kv, host: host.to_owned(), port: 11210, outcome }
}

pub(super) fn noop(samples: &[u64]) -> NoopFacts {
    let samples = samples.iter().map(|millis| Duration::from_millis(*millis)).collect();
    NoopFacts { remote: "10.0.0.1:11210".to_owned(), samples, failed: 0 }
}

pub(super) fn choose(facts: &mut Facts, map: &Arc<ClusterMap>, setting: &str) {
    let seeds: Vec<SeedAddr> = facts.seeds.iter().map(|seed| seed.at.clone()).collect();
    let choice = choose_network(map, &NetworkSetting::from_option(setting), &seeds, facts.given.tls);
    facts.whole.network = Some(choice.map_err(|error| error.detail));
}

/// A cluster of two nodes, both seeds, all well.
pub(super) fn well() -> Facts {
    let map = two_nodes();
    let seeds = ["10.0.0.1", "10.0.0.2"].map(|host| SeedFacts {
        at: seed(host),
        from_srv: false,
        kv: Some(kv(&map)),
        tls: Vec::new(),
        http: Some(http(&map)),
    });
    let mut facts = Facts {
        given: Given {
            text: "couchbase://10.0.0.1,10.0.0.2".to_owned(),
            seeds: seeds.iter().map(|seed| seed.at.clone()).collect(),
            bucket: Some("travel".to_owned()),
            verify: true,
            verify_hostname: true,
            network: "auto".to_owned(),
            kv_timeout: Duration::from_millis(2500),
            kv_connect_timeout: Duration::from_secs(10),
            ..Given::default()
        },
        seeds: seeds.to_vec(),
        whole: Whole {
            map: Some(Ok(Arc::clone(&map))),
            noops: vec![noop(&[1, 2, 1])],
            bucket: Some(BucketFacts {
                name: "travel".to_owned(),
                map: None,
                ready: Ok(()),
                read: Some(Ok(MS)),
            }),
            ..Whole::default()
        },
        endpoints: vec![endpoint(0, "10.0.0.1", Ok(MS)), endpoint(1, "10.0.0.2", Ok(MS))],
        pool: Some(PoolFacts {
            from: "10.0.0.1:8091".to_owned(),
            date: Some((NOW + 3, NOW)),
            nodes: vec![
                pool_node("10.0.0.1:8091", "healthy", "active"),
                pool_node("10.0.0.2:8091", "healthy", "active"),
            ],
            bucket_type: Some("membase".to_owned()),
            bucket_nodes: vec![("10.0.0.1:8091".to_owned(), "healthy".to_owned())],
            ..PoolFacts::default()
        }),
        unix_time: NOW,
        ..Facts::default()
    };
    choose(&mut facts, &map, "auto");
    facts
}

pub(super) fn pool_node(host: &str, status: &str, membership: &str) -> PoolNode {
    PoolNode {
        host: host.to_owned(),
        version: "7.6.4".to_owned(),
        status: status.to_owned(),
        membership: membership.to_owned(),
    }
}

pub(super) fn warned(text: &str) -> Facts {
    let mut facts = well();
    facts.given.warnings = resolve(&connstr::parse(text).unwrap(), Options::default()).unwrap().warnings;
    facts
}

pub(super) fn name(name: &str, addresses: Result<&[&str], &str>) -> NameFacts {
    let read = |list: &[&str]| list.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
    NameFacts { name: name.to_owned(), addresses: addresses.map(read).map_err(str::to_owned), elapsed: MS }
}

pub(super) fn named(addresses: Result<&[&str], &str>) -> Facts {
    let mut facts = well();
    facts.names.push(name("db.example.com", addresses));
    facts
}

/// What comes of a query, by a name server with this zone; without one nobody is asked.
pub(super) fn srv(query: &str, zone: Option<DnsZone>) -> Outcome {
    let server = "127.0.0.1:53".parse().unwrap();
    let servers = if zone.is_some() { vec![server] } else { Vec::new() };
    let mut dns = DnsServer::from(zone.unwrap_or_default());
    let now = Instant::now();
    let mut asked = Query::new(query, &ResolverConfig::new(servers), Duration::from_secs(1), 7, now);
    loop {
        match asked.poll() {
            Some(Action::Datagram { payload, .. }) => {
                let answer = dns.answer(&payload, false).unwrap();
                asked.on_datagram(server, &answer, now);
            }
            Some(Action::Done(outcome)) => return outcome,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) const QUERY: &str = "_couchbase._tcp.cb.example.com";

pub(super) fn records(targets: &[&str]) -> Outcome {
    let mut zone = DnsZone::new();
    zone.srv(QUERY, targets.iter().map(|target| (*target, 11210)));
    srv(QUERY, Some(zone))
}

pub(super) fn with_srv(outcome: Outcome) -> Facts {
    Facts { srv: Some(outcome), ..well() }
}

pub(super) fn certificate() -> CertificateFacts {
    let digit = |c: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c)
    };
    let text = CAPELLA_PEM.lines().filter(|line| !line.starts_with('-'));
    let digits: Vec<usize> = text.flat_map(str::bytes).filter_map(digit).collect();
    let der = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0_usize, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        [bits >> 16, bits >> 8, bits].map(|byte| (byte & 0xff) as u8).into_iter().take(four.len() - 1)
    });
    let mut facts = CertificateFacts::read(&der.collect::<Vec<u8>>()).unwrap();
    facts.names = vec!["10.0.0.1".to_owned()];
    (facts.not_before, facts.not_after) = (NOW - 86_400, NOW + 300 * 86_400);
    facts
}

pub(super) fn secured(outcome: TlsOutcome, change: impl FnOnce(&mut CertificateFacts)) -> Facts {
    let mut facts = well();
    facts.given.tls = true;
    let mut leaf = certificate();
    change(&mut leaf);
    facts.seeds[0].tls.push(TlsFacts { port: 11207, outcome, chain: vec![leaf] });
    facts
}

pub(super) fn done() -> TlsOutcome {
    TlsOutcome::Done { version: "TLS 1.3".to_owned(), suite: "TLS_AES_256_GCM_SHA384".to_owned() }
}

pub(super) fn refused() -> TlsOutcome {
    TlsOutcome::Failed("it is not trusted".to_owned())
}

/// On the network `external`, changed in how its second node is there.
pub(super) fn outside(second: &Value) -> Facts {
    let external =
        |host: &str| json!({"external": {"hostname": host, "ports": {"kv": 31000, "mgmt": 31001}}});
    let mut first = node("10.0.0.1");
    first["alternateAddresses"] = external("198.51.100.1");
    let mut other = node("10.0.0.2");
    if !second.is_null() {
        other["alternateAddresses"] = second.clone();
    }
    let map = cluster("aa", &[first, other]);
    let mut facts = well();
    facts.seeds.truncate(1);
    facts.seeds[0].at = SeedAddr { host: "198.51.100.1".to_owned(), kv: Some(31000), mgmt: None };
    facts.seeds[0].kv = Some(kv(&map));
    facts.whole.map = Some(Ok(Arc::clone(&map)));
    choose(&mut facts, &map, "auto");
    facts
}

pub(super) fn change(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = well();
    change(&mut facts);
    facts
}

pub(super) fn bucket_map(rows: &Value, forward: bool) -> Arc<ClusterMap> {
    let mut vbuckets = json!({"hashAlgorithm": "CRC", "numReplicas": 0, "serverList": ["10.0.0.1:11210"], "vBucketMap": rows});
    if forward {
        vbuckets["vBucketMapForward"] = rows.clone();
    }
    map(&json!({
        "rev": 7, "name": "travel", "uuid": "bb", "nodeLocator": "vbucket", "vBucketServerMap": vbuckets,
        "nodes": [{"hostname": "10.0.0.1:8091", "ports": {"direct": 11210}}],
        "nodesExt": [node("10.0.0.1")],
    }))
}

pub(super) fn with_bucket(map: Arc<ClusterMap>) -> Facts {
    change(|facts| facts.whole.bucket.as_mut().unwrap().map = Some(map))
}
