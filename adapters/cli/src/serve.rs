//! `settee serve`: the simulated cluster on loopback ports.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use settee_sim::{
    BucketKind, Certificates, ClientCertificates, DnsServed, DnsZone, Listener, NodeId, Posture, SimCluster,
};

use crate::failure::Failure;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  settee serve                                      one node on port 11210, bucket default
  settee serve --nodes 3 --port 12000               three nodes on ports 12000, 12001, 12002
  settee serve --bucket travel --collection inventory.airline --collection inventory.hotel
  settee serve --tls --ca-file ca.pem               with TLS; clients trust the authority in ca.pem
  settee serve --tls --certificates expired         what clients say of a bad certificate
  settee serve --tls --jwt-user jane=abc.def.ghi    a token that stands for a user
  settee serve --posture 6.0                        as a release that has no map without a bucket
  settee serve --external                           behind port mapping, as in containers
  settee serve --memcached-bucket cache             with a memcached bucket besides
  settee serve --dns cb.test                        with a name server that has SRV records of that name

Standard output tells, one a line: the connection string; with --tls the couchbases:// connection string and the file \
with the authority's certificate; with --client-cert a file with a certificate of the user, and one with its key.

Everything else goes to standard error: also the addresses of the managers, which speak HTTP, and of each memcached bucket the string to connect with. \
Nothing is kept on disk: what clients store is gone when the program ends.";

/// Serves a simulated cluster on 127.0.0.1 until it is stopped. It keeps nothing on disk.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many nodes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Key-value port of the first node; the others follow on the next ones. 0: any free ports.
    #[arg(long, default_value_t = 11210)]
    port: u16,
    /// The bucket.
    #[arg(long, default_value = "default")]
    bucket: String,
    /// A collection to make, with its scope; may be repeated.
    #[arg(long = "collection", value_name = "SCOPE.NAME", value_parser = collection)]
    collections: Vec<(String, String)>,
    /// The user.
    #[arg(short, long, default_value = "Administrator")]
    username: String,
    /// The user's password.
    #[arg(short, long, default_value = "password")]
    password: String,
    /// The release that the cluster poses as.
    #[arg(long, value_name = "RELEASE", default_value = Posture::default().name(), value_parser = PossibleValuesParser::new(Posture::ALL.map(Posture::name)).try_map(|name| Posture::from_name(&name).ok_or("no such release")))]
    posture: Posture,
    /// Listens with TLS as well, on further ports.
    #[arg(long)]
    tls: bool,
    /// Where to write the certificate of the cluster's own authority [default: settee-ca-<PORT>.pem among the
    /// temporary files].
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// The certificates that the nodes present.
    #[arg(long, value_enum, default_value_t, requires = "tls")]
    certificates: CertificatesArg,
    /// Whether clients authenticate by certificate. A certificate of the user and its key are written beside the
    /// authority's: same name, endings .client.pem and .client.key.
    #[arg(long, value_enum, default_value_t, requires = "tls")]
    client_cert: ClientCertArg,
    /// A token that stands for a user (OAUTHBEARER); may be repeated.
    #[arg(long = "jwt-user", value_name = "USER=TOKEN", value_parser = token, requires = "tls")]
    tokens: Vec<(String, String)>,
    /// Puts the cluster behind port mapping: maps give addresses that lead nowhere, and these ports as those of the
    /// network `external`.
    #[arg(long)]
    external: bool,
    /// A memcached bucket beside the other; may be repeated.
    #[arg(long = "memcached-bucket", value_name = "NAME")]
    memcached_buckets: Vec<String>,
    /// Runs a name server, on a free port, with SRV records of this name that lead to the nodes.
    #[arg(long, value_name = "NAME")]
    dns: Option<String>,
    /// Gives the nodes new certificates of the same authority every so many seconds.
    #[arg(long, value_name = "SECONDS", requires = "tls", value_parser = clap::value_parser!(u64).range(1..))]
    rotate_certificates: Option<u64>,
}

/// [`Certificates`] as an argument.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum CertificatesArg {
    /// Valid for 127.0.0.1 and ::1, as a node's own certificate is: not for localhost.
    #[default]
    Good,
    /// Ended yesterday.
    Expired,
    /// Begins tomorrow.
    NotYetValid,
    /// For another host.
    WrongName,
    /// Signed by nobody else.
    SelfSigned,
    /// Signed by another authority.
    UnknownIssuer,
    /// Valid for 127.0.0.1 alone.
    IpOnly,
}

impl From<CertificatesArg> for Certificates {
    fn from(argument: CertificatesArg) -> Self {
        match argument {
            CertificatesArg::Good => Self::Good,
            CertificatesArg::Expired => Self::Expired,
            CertificatesArg::NotYetValid => Self::NotYetValid,
            CertificatesArg::WrongName => Self::WrongName,
            CertificatesArg::SelfSigned => Self::SelfSigned,
            CertificatesArg::UnknownIssuer => Self::UnknownIssuer,
            CertificatesArg::IpOnly => Self::IpOnly,
        }
    }
}

/// [`ClientCertificates`] as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ClientCertArg {
    /// They are not asked for one.
    #[default]
    Disable,
    /// They may.
    Enable,
    /// They must.
    Mandatory,
}

impl From<ClientCertArg> for ClientCertificates {
    fn from(argument: ClientCertArg) -> Self {
        match argument {
            ClientCertArg::Disable => Self::Disable,
            ClientCertArg::Enable => Self::Enable,
            ClientCertArg::Mandatory => Self::Mandatory,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut builder =
        SimCluster::builder().nodes(args.nodes).bucket(&args.bucket).user(&args.username, &args.password);
    builder = builder
        .posture(args.posture)
        .tls(args.tls)
        .certificates(args.certificates.into())
        .client_certificates(args.client_cert.into())
        .external(args.external)
        // Each served cluster is another one, also to the client that compares their identities.
        .settings(|settings| settings.seed = u64::from(std::process::id()));
    for (user, token) in &args.tokens {
        builder = builder.token(token, user);
    }
    if args.port != 0 {
        builder = builder.port(args.port);
    }
    for (scope, name) in &args.collections {
        builder = builder.collection(scope, name);
    }
    let cluster = builder.start().map_err(|error| {
        Failure::no(format!("the cluster cannot be served: {error}"))
            .hint("choose other ports with --port, or any free ones with --port 0")
    })?;
    for name in &args.memcached_buckets {
        let bucket = name.clone();
        if !cluster.control(move |cluster, _| cluster.add_bucket_of(&bucket, BucketKind::Memcached)) {
            return Err(Failure::usage(format!("there is a bucket {name} already")));
        }
    }
    let files = if args.tls { write_certificates(args, &cluster)? } else { Vec::new() };
    let mut out = io::stdout().lock();
    writeln!(out, "{}", cluster.connection_string())?;
    if args.tls {
        writeln!(out, "{}", cluster.tls_connection_string())?;
    }
    for file in files {
        writeln!(out, "{}", file.display())?;
    }
    out.flush()?;
    let colours = terminal::stderr_colours();
    let mut err = io::stderr().lock();
    let plural = if args.nodes == 1 { "node" } else { "nodes" };
    // A note that nobody can read does not stop the cluster.
    let _ = writeln!(
        err,
        "{} {plural}, bucket {}, user {}; nothing is kept on disk; {}",
        args.nodes,
        colours.bold(&args.bucket),
        colours.bold(&args.username),
        colours.dim("end with Ctrl-C"),
    );
    let managers = managers(args, &cluster);
    let _ = writeln!(err, "managers (HTTP): {}", managers.join(", "));
    if let Some(manager) = managers.first() {
        for name in &args.memcached_buckets {
            let _ = writeln!(err, "memcached bucket: couchbase://{manager}=http/{name}");
        }
    }
    let _names = match &args.dns {
        Some(name) => {
            let server = name_server(args, &cluster, name)?;
            let _ = writeln!(
                err,
                "name server: {0}; try: settee doctor couchbase://{name} --name-server {0}",
                server.addr()
            );
            Some(server)
        }
        None => None,
    };
    drop((out, err));
    loop {
        match args.rotate_certificates {
            Some(seconds) => {
                std::thread::sleep(Duration::from_secs(seconds));
                cluster.control(|cluster, _| cluster.rotate_certificates(false));
            }
            None => std::thread::park(),
        }
    }
}

/// A name server whose records of `name` lead to the nodes, by a name that every machine knows.
fn name_server(args: &Args, cluster: &SimCluster, name: &str) -> Result<DnsServed, Failure> {
    const TARGET: &str = "localhost";
    let mut zone = DnsZone::new();
    for (service, listener) in [("_couchbase", Listener::KV), ("_couchbases", Listener::KV_TLS)] {
        let nodes = (0..usize::from(args.nodes)).map(NodeId);
        let ports: Vec<u16> =
            nodes.filter_map(|node| cluster.address_of(node, listener)).map(|at| at.port()).collect();
        if !ports.is_empty() {
            zone.srv(&format!("{service}._tcp.{name}"), ports.iter().map(|port| (TARGET, *port)));
        }
    }
    for node in 0..usize::from(args.nodes) {
        cluster
            .control(move |cluster, _| cluster.set_certificate_names(NodeId(node), vec![TARGET.to_owned()]));
    }
    DnsServed::start(zone).map_err(|error| Failure::no(format!("the name server cannot be started: {error}")))
}

/// Where the nodes answer over HTTP.
fn managers(args: &Args, cluster: &SimCluster) -> Vec<String> {
    let nodes = (0..usize::from(args.nodes)).map(NodeId);
    nodes
        .filter_map(|node| cluster.address_of(node, Listener::MGMT))
        .map(|address| address.to_string())
        .collect()
}

/// Writes what clients need for TLS; the paths.
fn write_certificates(args: &Args, cluster: &SimCluster) -> Result<Vec<PathBuf>, Failure> {
    let ca_file = args.ca_file.clone().unwrap_or_else(|| {
        let port = cluster.addresses().first().map_or(0, std::net::SocketAddr::port);
        std::env::temp_dir().join(format!("settee-ca-{port}.pem"))
    });
    let write = |path: &Path, content: &str| {
        std::fs::write(path, content).map_err(|error| {
            Failure::no(format!("{} cannot be written: {error}", path.display()))
                .hint("choose another place with --ca-file")
        })
    };
    write(&ca_file, &cluster.ca_pem())?;
    let mut files = vec![ca_file.clone()];
    if args.client_cert != ClientCertArg::Disable {
        let user = args.username.clone();
        let (chain, key) = cluster.control(move |cluster, _| cluster.client_certificate(&user));
        for (ending, content) in [("client.pem", chain), ("client.key", key)] {
            let path = ca_file.with_extension(ending);
            write(&path, &content)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Reads `USER=TOKEN`.
fn token(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((user, token)) if !user.is_empty() && !token.is_empty() => {
            Ok((user.to_owned(), token.to_owned()))
        }
        _ => Err("a token is written USER=TOKEN".to_owned()),
    }
}

/// Reads `SCOPE.NAME`.
pub(crate) fn collection(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((scope, name)) if !scope.is_empty() && !name.is_empty() && !name.contains('.') => {
            Ok((scope.to_owned(), name.to_owned()))
        }
        _ => Err("a collection is written SCOPE.NAME, as in inventory.airline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_has_a_scope_and_a_name() {
        assert_eq!(collection("inventory.airline"), Ok(("inventory".into(), "airline".into())));
        for wrong in ["airline", ".airline", "inventory.", "a.b.c", ""] {
            assert!(collection(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_belongs_to_a_user() {
        assert_eq!(token("jane=a.b=="), Ok(("jane".into(), "a.b==".into())));
        for wrong in ["jane", "=token", "jane="] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
    }
}
