//! Round trips from nothing to the first answer, over a link of 50 ms, counted by the virtual clock.

use std::time::Duration;

use settee::engine::{EngineConfig, OpKind};
use settee_sim::{LinkId, Listener, Net, NetSettings, NodeId, TlsVersions};

use crate::common::{Client, config, config_tls, ms, node, secs, small, start, value};

/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(50);

fn far() -> Net {
    let mut settings = NetSettings::default();
    settings.latency = ROUND_TRIP / 2;
    settings.lookup_time = Duration::ZERO;
    Net::new(1, small(), settings, start())
}

/// How many round trips a time is; next to nothing else takes time here.
fn trips(elapsed: Duration) -> u32 {
    let trips = elapsed.as_nanos() / ROUND_TRIP.as_nanos();
    let trips = u32::try_from(trips).expect("a few");
    // The key derivation of SCRAM is done in slices, with the clock read in between.
    assert!(elapsed - ROUND_TRIP * trips < ms(1), "{elapsed:?} is not made of round trips");
    trips
}

/// From the start to the value of a document: the client, and the round trips.
fn cold(net: Net, config: EngineConfig) -> (Client, u32) {
    let mut client = Client::with(net, config);
    client.put("k", b"1");
    let op = client.start("k", OpKind::Get);
    assert_eq!(value(&client.end(op)), b"1");
    assert_eq!(client.world.dialled().count(), 1, "one connection does it all");
    let trips = trips(client.world.elapsed());
    (client, trips)
}

fn secure(versions: TlsVersions, more: &str) -> (Client, u32) {
    let mut net = far();
    net.cluster().set_tls_versions(versions);
    // By the name that the map has for the node: sessions are kept by name.
    let config = config_tls(&mut net, &format!("couchbases://node1.sim:11207{more}"));
    cold(net, config)
}

/// The same after the connection was lost.
fn again(client: &mut Client) -> u32 {
    client.run_for(secs(10));
    let (_, link, to) = client.world.dialled().last().expect("it dialled");
    client.world.net.cut(link);
    let lost = client.now();
    let dials = client.world.dialled().count();
    client.run_for(ms(1));
    assert_eq!(client.world.dialled().count(), dials + 1, "dialled again at once");
    let op = client.start("k", OpKind::Get);
    assert_eq!(value(&client.end(op)), b"1");
    assert_eq!(client.world.dialled().last().expect("it dialled").2, to);
    trips(client.now() - lost)
}

#[test]
fn cold_connect_to_the_first_get() {
    let plain = |more: &str| cold(far(), config(&format!("couchbase://node1.sim{more}"))).1;
    let mut again_plain = cold(far(), config("couchbase://node1.sim?sasl_mech_force=PLAIN")).0;
    let back = again(&mut again_plain);
    let (mut tls12, first) = secure(TlsVersions::Only12, "");
    let resumed = again(&mut tls12);
    let table = [
        ("plain + SCRAM: TCP, two flights, GET", plain(""), 4),
        ("plain + PLAIN: TCP, one flight, GET", plain("?sasl_mech_force=PLAIN"), 3),
        ("TLS 1.3 + PLAIN: TCP, TLS, one flight, GET", secure(TlsVersions::Only13, "").1, 4),
        ("TLS 1.2 + PLAIN: TCP, TLS twice, one flight, GET", first, 5),
        ("TLS 1.2 resumed: TCP, TLS, one flight, GET", resumed, 4),
        ("plain + PLAIN, after the connection was lost", back, 3),
    ];
    for (what, counted, _) in table {
        println!("{counted} round trips, {:3} ms: {what}", counted * 50);
    }
    for (what, counted, expected) in table {
        assert_eq!(counted, expected, "{what}");
    }
}

#[test]
fn tls_13_is_resumed_as_well_and_flights_agree_with_the_clock() {
    let (mut client, cold) = secure(TlsVersions::Both, "");
    assert_eq!(cold, 4, "1.3 is agreed on");
    // ClientHello, then the end of the handshake with the whole login behind it, then the get.
    assert_eq!(client.world.net.flights(LinkId(0)), 3);
    assert_eq!(again(&mut client), 4);
    assert_eq!(client.dials(Net::listener_of(NodeId(0), Listener::KV_TLS)), 2);
    assert_eq!(client.dials(node(0)), 0, "nothing in the clear");
}
