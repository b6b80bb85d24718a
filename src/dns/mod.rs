//! SRV records: a resolver as a state machine (`connecting.md` 1.6).
//!
//! [`Query`] asks for the SRV records of one name. It gives datagrams and TCP bytes to carry, takes what comes back, and ends
//! with one [`Outcome`], at the latest at its deadline. It knows no socket and no clock; where the name servers are is
//! told by a [`ResolverConfig`], which adapters read from the system.
//!
//! Its rules:
//! - Each try is one datagram to one server. The tries walk over the servers, as many rounds as
//!   [`ResolverConfig::attempts`] says, and share what is left of the time, so that every server gets its turn.
//! - The next try does not forget the ones before it: a slow server's late answer counts as well as a quick one's.
//! - An answer counts only if it comes from a server that was asked, and repeats the id and the question.
//! - "No such name" and "no such records" are answers and end the query. A refusal, a failure, silence and nonsense
//!   are not: the next server is asked.
//! - An answer that did not fit into a datagram is fetched by TCP from the same server.

mod message;
mod outcome;
mod query;
mod stream;
mod targets;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

pub use outcome::{Answer, Outcome, SrvError, Target};
pub use query::{Action, Query};

/// Where the name servers are and how patiently they are asked: what `/etc/resolv.conf` says. Search domains are no part of
/// it, since the names asked for are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolverConfig {
    /// The name servers in the order in which they are asked; each with its port, usually 53.
    pub servers: Vec<SocketAddr>,
    /// How long one try may take at most; 5 seconds by default. It is less where the deadline is near.
    pub timeout: Duration,
    /// How many times each server is asked at most, at least 1; 2 by default.
    pub attempts: u32,
    /// Whether each query starts at another server; otherwise at the first one, the default.
    pub rotate: bool,
}

impl ResolverConfig {
    /// These servers, asked as `resolv.conf` does by default.
    pub const fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, timeout: Duration::from_secs(5), attempts: 2, rotate: false }
    }
}
