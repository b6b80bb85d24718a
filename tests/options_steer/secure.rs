//! What can be seen of the settings for TLS and SRV.

use std::time::Duration;

use settee::auth::{Authenticator, CertificateAuthenticator, PasswordAuthenticator};
use settee::connstr;
use settee::dns::ResolverConfig;
use settee::engine::{ConfigError, EngineConfig, Surroundings};
use settee::options::Options;
use settee::tls::PlatformStore;
use settee_sim::{DnsBehaviour, DnsServer, DnsZone, Net, TlsVersions};

use crate::common::{Client, net, secs};

/// Files as the settings name them: the cluster's authority and another one, a user's certificate and a stranger's.
fn files(net: &mut Net) -> impl Fn(&str) -> Result<Vec<u8>, String> + use<> {
    let (chain, key) = net.cluster().client_certificate("Administrator");
    let (strange_chain, strange_key) = net.cluster().foreign_client_certificate("Administrator");
    let contents = [
        ("ca.pem", net.cluster().ca_pem()),
        ("strange-ca.pem", strange_chain.clone()),
        ("user.pem", chain),
        ("user.key", key),
        ("stranger.pem", strange_chain),
        ("stranger.key", strange_key),
    ];
    move |path| match contents.iter().find(|(name, _)| *name == path) {
        Some((_, text)) => Ok(text.clone().into_bytes()),
        None => Err("no such file".to_owned()),
    }
}

#[expect(clippy::unwrap_in_result, reason = "what is tested is the configuration's own result")]
fn config(
    net: &mut Net,
    text: &str,
    resolver: Option<ResolverConfig>,
) -> Result<EngineConfig, Box<ConfigError>> {
    let unix_time = net.cluster().unix();
    let files = files(net);
    let authenticator = if text.contains("key_path") {
        Authenticator::Certificate(CertificateAuthenticator::from_options())
    } else {
        Authenticator::Password(PasswordAuthenticator::new("Administrator", "password").expect("a name"))
    };
    let surroundings = Surroundings {
        files: &mut |path| files(path),
        platform: &mut PlatformStore::default,
        trust: Vec::new(),
        resolver,
        unix_time,
    };
    let connstr = connstr::parse(text).expect("a connection string");
    EngineConfig::with(&connstr, Options::default(), authenticator, surroundings).map_err(Box::new)
}

/// What connecting over TLS comes to.
fn connect_to(host: &str, mut net: Net, pairs: &str) -> String {
    let config = match config(&mut net, &format!("couchbases://{host}?{pairs}"), None) {
        Ok(config) => config,
        Err(error) => return error.to_string(),
    };
    let mut client = Client::with(net, config);
    let op = client.bootstrap();
    match client.end(op) {
        Ok(_) => "connected".to_owned(),
        Err(error) => error.to_string(),
    }
}

pub(crate) fn connect(pairs: &str) -> String {
    connect_to("10.0.0.1", net(1), pairs)
}

/// By a name that the certificate does not know.
pub(crate) fn connect_by_another_name(pairs: &str) -> String {
    let mut net = net(1);
    net.set_name("elsewhere.sim", Ok(vec![[10, 0, 0, 1].into()]));
    connect_to("elsewhere.sim", net, pairs)
}

/// To a cluster that speaks TLS 1.2 alone.
pub(crate) fn connect_by_1_2(pairs: &str) -> String {
    let mut net = net(1);
    net.cluster().set_tls_versions(TlsVersions::Only12);
    connect_to("10.0.0.1", net, pairs)
}

/// How many log lines speak of Mozilla's roots.
#[cfg(feature = "tracing")]
pub(crate) fn mozilla_in_the_log(pairs: &str) -> String {
    let lines = crate::log::lines_of(|| {
        connect(pairs);
    });
    lines.iter().filter(|line| line.contains("from Mozilla bundle")).count().to_string()
}

/// Without log lines the sources cannot be seen, and the case is not tried.
#[cfg(not(feature = "tracing"))]
pub(crate) fn mozilla_in_the_log(_pairs: &str) -> String {
    String::new()
}

/// When the first node is dialled where the name server is silent.
pub(crate) fn first_dial_without_an_answer(pairs: &str) -> String {
    let mut net = net(1);
    net.set_name("cb.sim", Ok(vec![[10, 0, 0, 1].into()]));
    let name_server = ([192, 0, 2, 53], 53).into();
    let mut silent = DnsServer::from(DnsZone::new());
    silent.settings.behaviour = DnsBehaviour::Silent;
    net.place_dns(name_server, silent);
    let resolver = ResolverConfig::new(vec![name_server]);
    let config = config(&mut net, &format!("couchbase://cb.sim?{pairs}"), Some(resolver)).expect("settings");
    let mut client = Client::with(net, config);
    let dialled = client.dial_times(None, secs(30));
    format!("{:?}", dialled.first().map(Duration::as_millis))
}
