//! How a query ended, in a form that a person can act on (CS-29, D-3, D-5).

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// One SRV record's target: a seed (CS-26).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    /// The host name, without the trailing dot.
    pub host: String,
    /// The port; never 0.
    pub port: u16,
    /// The record's priority; reported, never obeyed (RFC 0011).
    pub priority: u16,
    /// The record's weight; reported, never obeyed (RFC 0011).
    pub weight: u16,
    /// Whether the host repeats the domain that was asked for: somebody forgot the trailing dot in the zone file, so the
    /// name server appended the zone (D-5).
    pub relative_suspected: bool,
}

/// What a query has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The targets, in the answer's order, each once.
    Records(Vec<Target>),
    /// There are none, says a name server: the name does not exist, has no SRV records, or none that offers the service (its
    /// target is the root).
    NoRecords {
        /// Whether the name does not exist at all.
        nxdomain: bool,
    },
    /// Nobody could say.
    Failed(SrvError),
}

/// Why a query found nothing out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrvError {
    /// No name server answered in time.
    #[error("no answer in time")]
    TimedOut,
    /// The server could not find out (SERVFAIL).
    #[error("the name server failed (SERVFAIL)")]
    ServFail,
    /// The server does not want to answer this client, or this kind of question (REFUSED).
    #[error("the name server refused the query (REFUSED)")]
    Refused,
    /// The server did not understand the query, even in its oldest form (FORMERR, NOTIMP), or said something uncommon.
    #[error("the name server answered with code {0}")]
    Code(u16),
    /// What the server sent is no DNS message.
    #[error("the name server's answer is malformed: {0}")]
    Malformed(String),
    /// The answer is too large for a datagram, and the server did not give it over TCP.
    #[error("the answer is too large for UDP and the name server did not serve it over TCP")]
    TruncatedNoTcp,
    /// The datagram could not be sent, or nobody listens there.
    #[error("the name server cannot be reached")]
    Unreachable,
    /// The adapter cannot send datagrams (CS-27: acts as no records, with a warning).
    #[error("this adapter cannot send DNS queries")]
    Unsupported,
    /// The configuration names no server.
    #[error("no name server is configured")]
    NoServers,
    /// The name is none that DNS can carry: empty, or with a part that is empty or longer than 63 bytes, or longer than 253.
    #[error("not a name that DNS can carry")]
    InvalidName,
}

impl SrvError {
    /// How much it tells about what is wrong: of several servers' failures the most telling is reported.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::TimedOut => 1,
            Self::Unreachable => 2,
            Self::Malformed(_) => 3,
            Self::ServFail | Self::Code(_) => 4,
            Self::Refused => 5,
            Self::TruncatedNoTcp => 6,
            Self::Unsupported | Self::NoServers | Self::InvalidName => 7,
        }
    }

    /// What the reader can do (CS-29).
    const fn advice(&self) -> &'static str {
        match self {
            Self::Unsupported => {
                "name the nodes in the connection string, or use an adapter that carries datagrams"
            }
            Self::NoServers => {
                "configure a name server (on Unix in /etc/resolv.conf), or name the nodes in the connection string"
            }
            Self::InvalidName => "check the host name in the connection string",
            _ => "try another DNS resolver, or for development a name with at most three SRV records",
        }
    }
}

/// The end of a query. `Display` is one sentence: the query, what came of it, who said so and, after a failure, what to try
/// (CS-29).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The name that was asked for, such as `_couchbases._tcp.cb.example.com`.
    pub name: String,
    /// What was found.
    pub answer: Answer,
    /// Who said so: the server whose answer this is, or whose failure; `None` where none was asked.
    pub server: Option<SocketAddr>,
    /// From the start of the query to its end.
    pub elapsed: Duration,
    /// The size of the answer's message (D-3); 0 without one.
    pub bytes: usize,
    /// Whether the answer came over TCP.
    pub over_tcp: bool,
    /// Whether [`Answer::Records`] is only the part of the records that fitted into a datagram, because no server gave all of
    /// them over TCP.
    pub truncated: bool,
    /// How many records are left out: their target is no host name or their port is 0, or there are more than the 512 that
    /// are taken.
    pub left_out: usize,
    /// How many datagrams were sent.
    pub tries: u32,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DNS SRV query {}: ", self.name)?;
        let millis = self.elapsed.as_millis();
        match &self.answer {
            Answer::Records(targets) => {
                let plural = if targets.len() == 1 { "" } else { "s" };
                write!(f, "{} record{plural}", targets.len())?;
                self.source(f)?;
                let transport = if self.over_tcp { " over TCP" } else { "" };
                write!(f, " in {millis} ms ({} bytes{transport})", self.bytes)?;
                if self.truncated {
                    f.write_str(
                        ", only those that fitted into a datagram: no name server gave all over TCP",
                    )?;
                }
                if self.left_out > 0 {
                    write!(f, ", {} more left out", self.left_out)?;
                }
                Ok(())
            }
            Answer::NoRecords { nxdomain } => {
                f.write_str(if *nxdomain { "no such name (NXDOMAIN)" } else { "no records" })?;
                self.source(f)
            }
            Answer::Failed(error) => {
                write!(f, "{error}")?;
                self.source(f)?;
                write!(f, " after {millis} ms; {}", error.advice())
            }
        }
    }
}

impl Outcome {
    fn source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) => write!(f, " from {server}"),
            None => Ok(()),
        }
    }
}
