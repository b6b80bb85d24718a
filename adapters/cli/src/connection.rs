//! What `get`, `set` and `rm` share: to which cluster they connect, and how that fails.

use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;

use settee_sim::SimCluster;
use settee_tokio::{
    BearerAuthenticator, CertificateAuthenticator, Cluster, ClusterOptions, Collection, Error, ErrorKind,
    PasswordAuthenticator,
};

use crate::failure::Failure;
use crate::terminal;

/// A cluster, credentials, and a collection there.
#[derive(clap::Args, Debug)]
pub(crate) struct ConnectionArgs {
    /// The cluster. Without one, an embedded simulated cluster is used that ends with the command.
    #[arg(
        short = 'c',
        long = "connstr",
        value_name = "CONNSTR",
        env = "SETTEE_CONNSTR",
        hide_env_values = true
    )]
    connection_string: Option<String>,
    #[command(flatten)]
    login: Login,
    /// The bucket [default: the one of the connection string, else `default`].
    #[arg(short, long)]
    bucket: Option<String>,
    /// The collection; without a scope it is one of the scope `_default` [default: `_default`].
    #[arg(long, value_name = "[SCOPE.]NAME", value_parser = collection)]
    collection: Option<(String, String)>,
}

/// Who logs in, and whom to trust.
#[derive(clap::Args)]
pub(crate) struct Login {
    /// The user.
    #[arg(short, long, visible_alias = "user", env = "SETTEE_USERNAME", default_value = "Administrator")]
    pub(crate) username: String,
    /// The password. Other users of the machine can see arguments: prefer the environment.
    #[arg(short, long, env = "SETTEE_PASSWORD", hide_env_values = true, default_value = "password")]
    pub(crate) password: String,
    /// A token that logs in, in place of user and password; over TLS. Prefer the environment here as well.
    #[arg(long, env = "SETTEE_TOKEN", hide_env_values = true, conflicts_with = "client_cert")]
    token: Option<String>,
    /// A PEM file with a client certificate that logs in, in place of user and password; over TLS.
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The PEM file with its private key [default: the same file].
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// A PEM file with the certificates to trust, and no others; may be repeated [default: those of the platform,
    /// of Capella and of Mozilla].
    #[arg(long = "ca", value_name = "FILE")]
    ca: Vec<PathBuf>,
}

/// Shows neither password nor token.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("ca", &self.ca).finish_non_exhaustive()
    }
}

impl Login {
    /// What the client is opened with.
    pub(crate) fn options(&self) -> ClusterOptions {
        let options = match (&self.token, &self.client_cert) {
            (Some(token), _) => ClusterOptions::new(BearerAuthenticator::new(token.as_str())),
            (None, Some(chain)) => {
                let key = self.client_key.as_ref().unwrap_or(chain);
                ClusterOptions::new(CertificateAuthenticator::from_files(chain, key))
            }
            (None, None) => {
                let login = PasswordAuthenticator::new(self.username.as_str(), self.password.as_str());
                ClusterOptions::new(login)
            }
        };
        self.ca.iter().fold(options, ClusterOptions::trust_certificate)
    }
}

/// A connection that a command works with.
pub(crate) struct Connection {
    pub(crate) collection: Collection,
    cluster: Cluster,
    /// Lives as long as the connection to it.
    embedded: Option<SimCluster>,
}

impl ConnectionArgs {
    /// Connects and runs one command's work, then closes what was opened.
    ///
    /// `positional` is a connection string given in front of the other arguments.
    pub(crate) fn with<T, F>(
        &self,
        positional: Option<&str>,
        work: impl FnOnce(Collection) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let runtime = current_thread()?;
        runtime.block_on(async {
            let connection = self.open(positional.or(self.connection_string.as_deref())).await?;
            let outcome = work(connection.collection.clone()).await;
            let is_embedded = connection.embedded.is_some();
            connection.close().await;
            outcome.map_err(|error| operation_failure(&error, is_embedded))
        })
    }

    async fn open(&self, connection_string: Option<&str>) -> Result<Connection, Failure> {
        let (scope, name) =
            self.collection.clone().unwrap_or_else(|| (DEFAULT.to_owned(), DEFAULT.to_owned()));
        let embedded = match connection_string {
            Some(_) => None,
            None => Some(self.embed(&scope, &name)?),
        };
        let connection_string = match (&embedded, connection_string) {
            (Some(cluster), _) => cluster.connection_string(),
            (None, given) => given.unwrap_or_default().to_owned(),
        };
        let cluster = connect(&connection_string, &self.login).await?;
        let bucket = match (&self.bucket, cluster.default_bucket()) {
            (Some(name), _) => cluster.bucket(name),
            (None, Some(bucket)) => bucket,
            (None, None) => cluster.bucket("default"),
        };
        Ok(Connection { collection: bucket.scope(scope).collection(name), cluster, embedded })
    }

    fn embed(&self, scope: &str, name: &str) -> Result<SimCluster, Failure> {
        let Login { username, password, .. } = &self.login;
        let bucket = self.bucket.as_deref().unwrap_or("default");
        let mut builder = SimCluster::builder().nodes(1).bucket(bucket).user(username, password);
        if (scope, name) != (DEFAULT, DEFAULT) {
            builder = builder.collection(scope, name);
        }
        let note =
            "no connection string: this works on an embedded cluster, which is gone when the command ends";
        // A note that nobody can read stops nothing.
        let _ = writeln!(std::io::stderr(), "{} {note}", terminal::stderr_colours().yellow("note:"));
        builder.start().map_err(|error| Failure::no_connection(format!("the embedded cluster: {error}")))
    }
}

impl Connection {
    async fn close(self) {
        self.cluster.close().await;
        if let Some(cluster) = self.embedded {
            cluster.stop();
        }
    }
}

const DEFAULT: &str = "_default";

fn collection(text: &str) -> Result<(String, String), String> {
    if !text.contains('.') && !text.is_empty() {
        return Ok((DEFAULT.to_owned(), text.to_owned()));
    }
    crate::serve::collection(text)
}

/// A runtime for commands that do one thing.
pub(crate) fn current_thread() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::no(format!("no runtime: {error}")))
}

/// Connects, and tells what is odd about the connection string.
pub(crate) async fn connect(connection_string: &str, login: &Login) -> Result<Cluster, Failure> {
    let options = login.options();
    let progress = terminal::Progress::new();
    progress.show("connecting ...");
    let cluster = settee_tokio::connect(connection_string, options).await;
    drop(progress);
    let cluster = cluster.map_err(|error| connect_failure(&error))?;
    let colours = terminal::stderr_colours();
    for warning in cluster.warnings() {
        // A warning that nobody can read stops nothing.
        let _ = writeln!(
            std::io::stderr(),
            "{} {}",
            colours.yellow("warning:"),
            terminal::visible(&warning.to_string())
        );
    }
    Ok(cluster)
}

fn connect_failure(error: &Error) -> Failure {
    match error {
        Error::ConnectionString(_) | Error::Option(_) => {
            Failure::usage(error).hint("settee explain CONNSTR shows the place")
        }
        Error::Operation(_) => {
            let failure = Failure::no_connection(error);
            match most_specific(error) {
                ErrorKind::AuthenticationFailure => failure.hint(CREDENTIALS),
                ErrorKind::BucketNotFound => failure.hint(BUCKET),
                _ => failure,
            }
        }
        Error::Configuration(_) | Error::Credentials(_) => Failure::usage(error),
        _ => Failure::no_connection(error),
    }
}

const CREDENTIALS: &str =
    "give the credentials with -u and SETTEE_PASSWORD (or -p), with SETTEE_TOKEN, or with --client-cert";
const BUCKET: &str = "name a bucket of this cluster with --bucket";

/// What went wrong; of a time-out, what the operation was waiting for.
fn most_specific(error: &Error) -> ErrorKind {
    error.context().and_then(|context| context.cause).unwrap_or_else(|| error.kind())
}

/// Why an operation failed, and what to do about it.
pub(crate) fn operation_failure(error: &Error, is_embedded: bool) -> Failure {
    let failure = Failure::no(error);
    match most_specific(error) {
        ErrorKind::DocumentNotFound if is_embedded => failure
            .hint("the embedded cluster begins empty: give the connection string of another one with -c"),
        ErrorKind::AuthenticationFailure => failure.hint(CREDENTIALS),
        ErrorKind::BucketNotFound => failure.hint(BUCKET),
        ErrorKind::ScopeNotFound | ErrorKind::CollectionNotFound => {
            failure.hint("name a collection of this bucket with --collection SCOPE.NAME")
        }
        ErrorKind::AmbiguousTimeout => failure.hint("the write may have happened: read the document to know"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_may_go_without_scope() {
        assert_eq!(collection("hotel"), Ok(("_default".into(), "hotel".into())));
        assert_eq!(collection("inventory.hotel"), Ok(("inventory".into(), "hotel".into())));
        assert!(collection("").is_err() && collection("a.b.c").is_err());
    }
}
