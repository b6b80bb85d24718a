//! Seeds from DNS SRV: asked before the first hunt, and again when every node is lost (CS-26 to CS-30, BOOT-26).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::conns::ConnTable;
use super::scope::ScopeId;
use super::{ConnId, Datagram, Dial, Engine, Input, LinkError, Output, QueryId};
use crate::connstr::Seed;
use crate::dns::{Action, Answer, Outcome, Query, ResolverConfig, SrvError};
use crate::map::canonical_host_eq;
use crate::trace::{info, warning};

/// Between two look-ups (CS-30).
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of the seeds' SRV record.
#[derive(Debug, Default)]
pub(super) struct Srv {
    running: Option<Running>,
    serial: u64,
    asked: Option<Instant>,
    /// What came of the last query for the seeds.
    pub(super) outcome: Option<Outcome>,
    /// What the records name, in place of the seeds written.
    pub(super) seeds: Option<Vec<Seed>>,
    /// Whether the name has a record for TLS although the string asks for plain connections; `None`: not asked.
    pub(super) only_with_tls: Option<bool>,
}

impl Srv {
    /// Since when the seeds are being asked for.
    pub(super) fn pending(&self) -> Option<Instant> {
        self.running.as_ref().filter(|running| running.purpose == Purpose::First).and(self.asked)
    }

    /// Nobody waits for the query any more: its id and its connection, to be closed.
    pub(super) fn take_running(&mut self) -> Option<(QueryId, Option<ConnId>)> {
        self.running.take().map(|running| (running.id, running.conn))
    }

    /// Whether nobody could say what the record is; then the outcome has advice of its own.
    pub(super) fn has_failed(&self) -> bool {
        matches!(&self.outcome, Some(outcome) if matches!(outcome.answer, Answer::Failed(_)))
    }

    /// What came of it, in words.
    pub(super) fn describe(&self) -> Option<String> {
        match (&self.outcome, &self.running) {
            (Some(outcome), _) => Some(outcome.to_string()),
            (None, Some(running)) => Some(format!("the SRV look-up of {} is under way", running.name)),
            (None, None) => None,
        }
    }
}

#[derive(Debug)]
struct Running {
    name: String,
    id: QueryId,
    query: Query,
    conn: Option<ConnId>,
    /// Bytes for the name server on that connection.
    out: Vec<u8>,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Before the first hunt.
    First,
    /// All nodes are lost.
    Again,
    /// Whether the TLS record exists.
    TlsProbe,
}

impl Engine {
    /// Whether it is known where to begin.
    pub(super) fn seeds_are_known(&self) -> bool {
        !matches!(&self.srv.running, Some(running) if running.purpose == Purpose::First)
    }

    /// Where to begin.
    pub(super) fn seeds(&self) -> &[Seed] {
        self.srv.seeds.as_deref().unwrap_or(&self.config.seeds)
    }

    /// Asks for the seeds' record before anything is dialled, if the string allows it.
    pub(super) fn ask_srv_first(&mut self) {
        if let Some(name) = self.config.srv_query.clone() {
            self.ask_srv(&name, Purpose::First);
        }
    }

    /// A round over all that is known brought nothing: the record may have changed, or be one for TLS.
    pub(super) fn ask_srv_again(&mut self) {
        let Some(name) = self.config.srv_query.clone() else { return };
        let now = self.now;
        if self.srv.running.is_some() || self.closing.is_some() {
            return;
        }
        let empty =
            matches!(&self.srv.outcome, Some(outcome) if matches!(outcome.answer, Answer::NoRecords { .. }));
        let plain = name.strip_prefix("_couchbase._tcp.");
        if let (true, Some(host), None) = (empty, plain, self.srv.only_with_tls) {
            let name = format!("_couchbases._tcp.{host}");
            self.srv.only_with_tls = Some(false);
            self.ask_srv(&name, Purpose::TlsProbe);
        } else if self.srv.asked.is_none_or(|at| now.saturating_duration_since(at) >= PAUSE) {
            self.ask_srv(&name, Purpose::Again);
        }
    }

    fn ask_srv(&mut self, name: &str, purpose: Purpose) {
        let now = self.now;
        self.srv.serial += 1;
        let nothing = ResolverConfig::new(Vec::new());
        let config = self.config.resolver.as_ref().unwrap_or(&nothing);
        let ids = self.entropy.next_u64();
        let query = Query::new(name, config, self.config.options.dns_srv_timeout, ids, now);
        if purpose != Purpose::TlsProbe {
            self.srv.asked = Some(now);
        }
        self.srv.running = Some(Running {
            name: name.to_owned(),
            id: QueryId(self.srv.serial),
            query,
            conn: None,
            out: Vec::new(),
            purpose,
        });
        self.work_srv();
    }

    /// Does what the query says.
    fn work_srv(&mut self) {
        loop {
            let Some(running) = &mut self.srv.running else { return };
            let id = running.id;
            match running.query.poll() {
                None => return,
                Some(Action::Datagram { server, payload }) => {
                    self.outputs.push_back(Output::Datagram(Datagram { query: id, server, payload }));
                }
                Some(Action::Connect { server }) => self.dial_resolver(server),
                Some(Action::Send { payload }) => {
                    running.out.extend_from_slice(&payload);
                    if let Some(conn) = running.conn {
                        self.outputs.push_back(Output::Transmit(conn));
                    }
                }
                Some(Action::Close) => {
                    running.out.clear();
                    if let Some(conn) = running.conn.take() {
                        self.hang_up(conn);
                    }
                }
                Some(Action::Done(outcome)) => {
                    let Some(running) = self.srv.running.take() else { return };
                    if let Some(conn) = running.conn {
                        self.hang_up(conn);
                    }
                    self.outputs.push_back(Output::EndQuery(id));
                    self.on_srv_outcome(running.purpose, outcome);
                    return;
                }
            }
        }
    }

    fn dial_resolver(&mut self, server: SocketAddr) {
        let conn = self.conns.open(ConnTable::RESOLVER);
        if let Some(running) = &mut self.srv.running {
            running.conn = Some(conn);
        }
        self.outputs.push_back(Output::Connect(Dial {
            conn,
            address: server,
            nodelay: true,
            keepalive: None,
            user_timeout: None,
        }));
    }

    /// The bytes for the name server on its connection.
    pub(super) fn resolver_output(&self, conn: ConnId) -> Option<&[u8]> {
        let running = self.srv.running.as_ref().filter(|running| running.conn == Some(conn))?;
        Some(&running.out[..]).filter(|bytes| !bytes.is_empty())
    }

    /// An input for the query, on its socket or its connection.
    pub(super) fn on_srv_input(&mut self, input: &Input<'_>) {
        let now = self.now;
        let Some(running) = &mut self.srv.running else { return };
        match *input {
            Input::Datagram { query, from, payload } if query == running.id => {
                running.query.on_datagram(from, payload, now);
            }
            Input::DatagramFailed { query, why } if query == running.id => {
                let why = match why {
                    LinkError::Unsupported => SrvError::Unsupported,
                    _ => SrvError::Unreachable,
                };
                running.query.on_datagram_failed(None, why, now);
            }
            Input::Connected { .. } => running.query.on_connected(now),
            Input::Received { data, .. } => running.query.on_stream(data, now),
            Input::Written { conn, len } => {
                running.out.drain(..len.min(running.out.len()));
                if !running.out.is_empty() {
                    self.outputs.push_back(Output::Transmit(conn));
                }
                return;
            }
            Input::Lost { conn, .. } => {
                running.conn = None;
                running.query.on_stream_lost(now);
                self.conns.close(conn);
            }
            _ => return,
        }
        self.work_srv();
    }

    /// Gives a query up that is under way.
    pub(super) fn forget_srv(&mut self) {
        if let Some((query, conn)) = self.srv.take_running() {
            if let Some(conn) = conn {
                self.hang_up(conn);
            }
            self.outputs.push_back(Output::EndQuery(query));
        }
    }

    pub(super) fn srv_due(&self) -> Option<Instant> {
        self.srv.running.as_ref().and_then(|running| running.query.poll_timeout())
    }

    pub(super) fn tick_srv(&mut self) {
        let now = self.now;
        if self.srv_due().is_some_and(|at| at <= now)
            && let Some(running) = &mut self.srv.running
        {
            running.query.on_timeout(now);
            self.work_srv();
        }
    }

    fn on_srv_outcome(&mut self, purpose: Purpose, outcome: Outcome) {
        self.states_changed = true;
        let targets = match &outcome.answer {
            Answer::Records(targets) => targets
                .iter()
                .filter_map(|target| Seed::from_srv(&target.host, target.port, self.config.tls()))
                .collect::<Vec<Seed>>(),
            Answer::NoRecords { .. } => Vec::new(),
            Answer::Failed(_) => {
                warning!(%outcome, "SRV");
                Vec::new()
            }
        };
        match purpose {
            Purpose::TlsProbe => {
                self.srv.only_with_tls = Some(!targets.is_empty());
            }
            Purpose::First => {
                info!(%outcome, "SRV");
                self.srv.outcome = Some(outcome);
                if !targets.is_empty() {
                    self.srv.seeds = Some(targets);
                }
                self.start_all_hunts();
            }
            Purpose::Again => {
                self.srv.outcome = Some(outcome);
                let is_known = |seed: &Seed| self.is_known_host(&seed.host.to_string(), seed.kv);
                if targets.is_empty() || targets.iter().any(is_known) {
                    return;
                }
                info!(seeds = targets.len(), "the SRV record names other nodes: starting over from these");
                self.srv.seeds = Some(targets);
                self.start_over();
            }
        }
    }

    /// Whether a host and port are among the seeds or the nodes in use.
    fn is_known_host(&self, host: &str, port: Option<u16>) -> bool {
        let seeds = self.seeds().iter().map(|seed| (seed.host.to_string(), seed.kv));
        let nodes = self.known_nodes().into_iter().map(|node| (node.host, Some(node.port)));
        seeds.chain(nodes).any(|(known, at)| at == port && canonical_host_eq(&known, host))
    }

    /// The seeds have been replaced: the next map counts whatever its version, and is looked for from them alone.
    fn start_over(&mut self) {
        for scope in self.scope_ids() {
            if !self.serving_links(scope).is_empty() {
                continue;
            }
            self.scope_mut(scope).forced = true;
            self.drop_hunt(scope);
            if matches!(scope, ScopeId::Bucket(_)) || self.buckets.is_empty() {
                self.start_hunt(scope);
            }
        }
    }
}
