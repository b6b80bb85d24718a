//! The rows about TLS, certificates and Capella.

use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::connstr;
use settee::dns::ResolverConfig;
use settee::engine::{ConfigError, EngineConfig, Surroundings};
use settee::options::Options;
use settee::tls::PlatformStore;
use settee_sim::{Alternate, Certificates, DnsServer, DnsZone, Net, NodeId};

use crate::common::{Client, net, node, secs, value};

/// A configuration whose file `cluster.crt` holds this text.
#[expect(clippy::unwrap_in_result, reason = "what is tested is the configuration's own result")]
fn config(net: &mut Net, text: &str, file: &str) -> Result<EngineConfig, Box<ConfigError>> {
    let name_server = ([192, 0, 2, 53], 53).into();
    let login = PasswordAuthenticator::new("Administrator", "password").expect("a name");
    let surroundings = Surroundings {
        files: &mut |path| match path {
            "cluster.crt" => Ok(file.as_bytes().to_vec()),
            _ => Err("no such file".to_owned()),
        },
        platform: &mut PlatformStore::default,
        trust: Vec::new(),
        resolver: Some(ResolverConfig::new(vec![name_server])),
        unix_time: net.cluster().unix(),
    };
    let connstr = connstr::parse(text).expect("a connection string");
    EngineConfig::with(&connstr, Options::default(), Authenticator::Password(login), surroundings)
        .map_err(Box::new)
}

/// A client that trusts the cluster's authority alone.
fn client(mut net: Net, text: &str) -> Client {
    let authority = net.cluster().ca_pem();
    let config = config(&mut net, text, &authority).expect("settings that can be");
    Client::with(net, config)
}

/// What connecting comes to.
fn connect(mut client: Client) -> (Client, Result<(), String>) {
    let op = client.bootstrap();
    let outcome = client.end(op).map(|_| ()).map_err(|error| error.to_string());
    (client, outcome)
}

#[test]
fn seed_18_certificates_suit_the_point_of_connection() {
    let outside = |host: &str| {
        let mut net = net(1);
        // The certificate is for the node's own names and for this one of the alternate network.
        net.add_alternate(NodeId(0), Alternate::external("node0.outside"), [203, 0, 113, 1].into());
        net.set_name(host, Ok(vec![[203, 0, 113, 1].into()]));
        connect(client(net, &format!("couchbases://{host}?trust_certificate=cluster.crt"))).1
    };
    assert_eq!(outside("node0.outside"), Ok(()));
    // Another name of the same place does not do, and the error says which names the certificate is for.
    let error = outside("elsewhere.outside").expect_err("it is for another name");
    assert!(error.contains("elsewhere.outside") && error.contains("node0.outside"), "{error}");
}

#[test]
fn seed_20_key_value_and_configuration_traffic_are_both_encrypted() {
    for text in [
        "couchbases://10.0.0.1?trust_certificate=cluster.crt",
        "couchbases://10.0.0.1?trust_certificate=cluster.crt&bootstrap_on=http",
    ] {
        let mut client = client(net(2), text);
        client.run_for(secs(5));
        client.set("k", "v").expect("it is stored");
        assert_eq!(value(&client.get("k")), b"v");
        let ports: Vec<u16> = client.world.dialled().map(|(.., address)| address.port()).collect();
        assert!(ports.iter().all(|port| [11207, 18091].contains(port)), "{text}: {ports:?}");
        assert_eq!(ports.contains(&18091), text.ends_with("http"), "{text}: {ports:?}");
    }
}

#[test]
fn seed_21_nothing_given_means_the_bundle_the_platform_and_capella() {
    let mut net = net(1);
    let config = config(&mut net, "couchbases://10.0.0.1", "").expect("no setting is needed");
    let (_, outcome) = connect(Client::with(net, config));
    // The simulated cluster's authority is none of them: the error says so, and what to give.
    let error = outcome.expect_err("an authority that nobody knows");
    assert!(error.contains("not trusted") && error.contains("trust_certificate"), "{error}");
}

#[test]
fn seed_26_capella_needs_the_scheme_and_nothing_else() {
    let mut net = net(1);
    // No file, no setting: its root is there, and so is the look-up of its SRV record.
    let config =
        config(&mut net, "couchbases://cb.abc123.cloud.couchbase.com", "").expect("no setting is needed");
    assert!(config.tls());
    let policy = config.tls_profile().expect("TLS").policy().effective();
    assert!(policy.capella && policy.verify && policy.min_v1_3 == Some(true), "{policy:?}");
    let mut client = Client::with(net, config);
    client.run_for(secs(1));
    // A plain scheme is warned about at once.
    let mut net = crate::net(1);
    let config = self::config(&mut net, "couchbase://cb.abc123.cloud.couchbase.com", "").expect("it can be");
    assert!(
        config.warnings.iter().any(|warning| warning.text.contains("couchbases://")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn seed_29_a_certificate_pasted_with_text_around_it_is_read() {
    let mut net = net(1);
    let pasted = format!("Trusted Root Certificates\n\n{}\nDelete this certificate", net.cluster().ca_pem());
    let text = "couchbases://10.0.0.1?cert_path=cluster.crt";
    let good = config(&mut net, text, &pasted).expect("text around it does no harm");
    assert_eq!(connect(Client::with(net, good)).1, Ok(()));
    // A file without any certificate is an error that names it.
    let error = config(&mut crate::net(1), text, "nothing of the kind").expect_err("no certificate");
    assert!(error.to_string().contains("cluster.crt"), "{error}");
}

#[test]
fn seed_31_on_this_machine_the_address_and_not_the_name() {
    let at = |host: &str| {
        let mut net = net(1);
        net.set_name("localhost", Ok(vec![node(0).ip()]));
        net.set_name("127.0.0.1", Ok(vec![node(0).ip()]));
        net.cluster().set_certificates(NodeId(0), Certificates::IpOnly);
        connect(client(net, &format!("couchbases://{host}?trust_certificate=cluster.crt"))).1
    };
    let error = at("localhost").expect_err("the certificate is for the address");
    assert!(error.contains("127.0.0.1"), "{error}");
}

#[test]
fn seed_35_large_answers_of_dns_are_taken_and_trouble_is_explained() {
    let name = "_couchbases._tcp.cb.sim";
    let serve = |records: usize, behaviour| {
        let mut net = net(1);
        let targets: Vec<(String, u16)> =
            (0..records).map(|index| (format!("n{index}.cb.sim"), 11207)).collect();
        let mut zone = DnsZone::new();
        zone.srv(name, targets.iter().map(|(host, port)| (host.as_str(), *port)));
        let mut server = DnsServer::from(zone);
        server.settings.behaviour = behaviour;
        net.place_dns(([192, 0, 2, 53], 53).into(), server);
        for (host, _) in &targets {
            net.set_name(host, Ok(vec![node(0).ip()]));
        }
        let names = targets.into_iter().map(|(host, _)| host).collect();
        net.cluster().set_certificate_names(NodeId(0), names);
        connect(client(net, "couchbases://cb.sim?trust_certificate=cluster.crt")).1
    };
    for records in [3, 10, 50] {
        assert_eq!(serve(records, settee_sim::DnsBehaviour::Serve), Ok(()), "{records} records");
    }
    let error = serve(3, settee_sim::DnsBehaviour::ServFail).expect_err("the name has no address either");
    assert!(error.contains(name) && error.contains("resolver"), "{error}");
}
