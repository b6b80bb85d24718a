//! A cluster to look at, and how to log in there: what `doctor`, `ping` and `diagnostics` share.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use settee::auth::{Authenticator, BearerAuthenticator, CertificateAuthenticator, PasswordAuthenticator};
use settee::dns::ResolverConfig;
use settee::options::Options;
use settee::tls::TrustSource;

use crate::doctor::Case;
use crate::failure::Failure;

/// A run as a whole is given so many stages' time at most.
const STAGES: u32 = 6;
/// And no more than this.
const LONGEST: Duration = Duration::from_secs(60);

/// A cluster and credentials.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// The connection string.
    #[arg(
        value_name = "CONNSTR",
        env = "SETTEE_CONNSTR",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub(crate) connection_string: String,
    /// The user.
    #[arg(short, long, visible_alias = "user", env = "SETTEE_USERNAME", default_value = "Administrator")]
    username: String,
    /// The password. Other users of the machine can see arguments: prefer the environment.
    #[arg(short, long, env = "SETTEE_PASSWORD", hide_env_values = true, default_value = "password")]
    password: String,
    /// A PEM file with a client certificate that logs in, in place of user and password; over TLS.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    client_cert: Option<PathBuf>,
    /// The PEM file with its private key [default: the same file].
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// A token (JWT) that logs in, in place of user and password; over TLS. Prefer the environment here as well.
    #[arg(long, env = "SETTEE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The bucket [default: the one of the connection string, if it names one].
    #[arg(short, long)]
    bucket: Option<String>,
    /// A PEM file with the certificates to trust, and no others; may be repeated [default: those of the platform,
    /// of Capella and of Mozilla].
    #[arg(long = "ca", value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Seconds for each stage of the work.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// A name server to ask for SRV records, in place of the system's; may be repeated.
    #[arg(long, value_name = "IP[:PORT]", value_parser = name_server)]
    name_server: Vec<SocketAddr>,
}

/// Nothing of it is shown: it holds a password, or a token.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Target {
    /// Reads the files.
    pub(crate) fn case(&self) -> Result<Case, Failure> {
        let refused = |error: settee::auth::AuthError| Failure::usage(error);
        let authenticator = match (&self.client_cert, &self.token) {
            (Some(certificate), _) => {
                let key = self.client_key.as_ref().unwrap_or(certificate);
                let identity =
                    settee_tokio::trust::identity_files(certificate, key).map_err(Failure::usage)?;
                Authenticator::Certificate(CertificateAuthenticator::new(identity))
            }
            (None, Some(token)) => {
                Authenticator::Bearer(BearerAuthenticator::new(token.as_str()).map_err(refused)?)
            }
            (None, None) => {
                let login = PasswordAuthenticator::new(self.username.as_str(), self.password.as_str());
                Authenticator::Password(login.map_err(refused)?)
            }
        };
        let trust: Vec<TrustSource> = settee_tokio::trust::trust_files(&self.ca).map_err(Failure::usage)?;
        let resolver = if self.name_server.is_empty() {
            settee_tokio::system_resolver()
        } else {
            Some(ResolverConfig::new(self.name_server.clone()))
        };
        Ok(Case {
            connection_string: self.connection_string.clone(),
            options: Options::default(),
            authenticator,
            trust,
            bucket: self.bucket.clone(),
            resolver,
            timeout: self.timeout,
            total: LONGEST.min(self.timeout * STAGES),
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.parse().map_err(|_| "a number of seconds is needed, such as 10 or 2.5".to_owned())?;
    if (0.1..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.1 and 60 seconds can be given".to_owned())
    }
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let alone = text.parse::<IpAddr>().map(|address| (address, 53).into());
    alone
        .or_else(|_| text.parse())
        .map_err(|_| "an address is needed, such as 9.9.9.9 or 127.0.0.1:5353".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_help_shows_what_the_environment_holds() {
        use clap::Args as _;

        let command = Target::augment_args(clap::Command::new("settee"));
        for argument in command.get_arguments().filter(|it| it.get_env().is_some()) {
            let harmless = argument.get_id() == "username";
            assert!(harmless || argument.is_hide_env_values_set(), "{}", argument.get_id());
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["", "0", "61", "-1", "NaN", "1e300", "inf", "10s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn name_servers_have_port_53_unless_said() {
        assert_eq!(name_server("9.9.9.9"), Ok(([9, 9, 9, 9], 53).into()));
        assert_eq!(name_server("127.0.0.1:5353"), Ok(([127, 0, 0, 1], 5353).into()));
        assert_eq!(name_server("::1").unwrap().to_string(), "[::1]:53");
        assert!(name_server("dns.example").is_err());
    }
}
