//! An engine in an event loop of the doctor's own, on tokio's sockets. What a person would do by hand with one connection
//! after the other, the engine does here as in any program.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use settee::engine::{
    ConnId, Engine, EngineConfig, Event, Input, LinkError, LookupError, LookupId, OpId, Output, PingReport, Response,
};
use settee::error::OpError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Inputs that wait; a reader waits when there are more.
const INBOX: usize = 64;

/// What sockets and the resolver have to say.
enum News {
    Connected(ConnId, Option<SocketAddr>),
    Received(ConnId, Vec<u8>),
    Written(ConnId, usize),
    Lost(ConnId, LinkError),
    LookedUp(LookupId, Result<Vec<IpAddr>, LookupError>),
}

/// An engine and its sockets. Dropping it closes them.
pub(super) struct Driven {
    pub(super) engine: Engine,
    inbox: Receiver<News>,
    news: Sender<News>,
    links: BTreeMap<ConnId, Link>,
    lookups: BTreeMap<LookupId, JoinHandle<()>>,
}

struct Link {
    task: JoinHandle<()>,
    /// Where bytes to write go.
    writer: Sender<Vec<u8>>,
    /// Bytes were handed over that are not written yet.
    busy: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.lookups.values().for_each(JoinHandle::abort);
    }
}

/// What an engine has ended.
pub(super) enum Ended {
    Completed(OpId, Result<Response, OpError>),
    Pinged(OpId, Box<PingReport>),
}

impl Driven {
    pub(super) fn new(config: EngineConfig) -> Self {
        let (news, inbox) = channel(INBOX);
        let mut seed = [0; 32];
        // Without randomness nonces would be predictable: mix in what differs from run to run at least.
        if getrandom::fill(&mut seed).is_err() {
            seed[..8].copy_from_slice(&std::process::id().to_be_bytes().repeat(2));
        }
        let engine = Engine::new(config, seed, Instant::now());
        Self { engine, inbox, news, links: BTreeMap::new(), lookups: BTreeMap::new() }
    }

    /// Runs until this operation has ended; `None` if that is not so at the deadline.
    pub(super) async fn wait(&mut self, op: OpId, deadline: Instant) -> Option<Ended> {
        loop {
            let (ended, wake) = self.turn();
            for one in ended {
                match &one {
                    Ended::Completed(id, _) | Ended::Pinged(id, _) if *id == op => return Some(one),
                    _ => {}
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return None;
            }
            let until = wake.map_or(deadline, |at| at.min(deadline));
            match tokio::time::timeout_at(until.into(), self.inbox.recv()).await {
                Ok(Some(news)) => {
                    self.take(news);
                    // What has come meanwhile is worked off in the same turn.
                    for _ in 0..INBOX {
                        let Ok(news) = self.inbox.try_recv() else { break };
                        self.take(news);
                    }
                }
                Ok(None) | Err(_) => self.engine.handle_timeout(Instant::now()),
            }
        }
    }

    /// Does what the engine says until it waits.
    fn turn(&mut self) -> (Vec<Ended>, Option<Instant>) {
        let mut ended = Vec::new();
        loop {
            match self.engine.poll_output() {
                Output::Connect(dial) => self.dial(dial.conn, dial.address, dial.nodelay),
                Output::Disconnect(conn) => drop(self.links.remove(&conn)),
                Output::Transmit(conn) => self.transmit(conn),
                Output::Lookup(question) => self.look_up(question.lookup, question.name),
                Output::CancelLookup(lookup) => {
                    if let Some(task) = self.lookups.remove(&lookup) {
                        task.abort();
                    }
                }
                // SRV records are asked for before there is an engine.
                Output::Datagram(datagram) => {
                    let failed = Input::DatagramFailed { query: datagram.query, why: LinkError::Unsupported };
                    self.engine.handle_input(failed, Instant::now());
                }
                Output::Event(Event::Completed { op, result }) => ended.push(Ended::Completed(op, result)),
                Output::Event(Event::Pinged { op, report }) => ended.push(Ended::Pinged(op, report)),
                Output::Wait(at) => return (ended, at),
                _ => {}
            }
        }
    }

    fn dial(&mut self, conn: ConnId, address: SocketAddr, nodelay: bool) {
        let (writer, outgoing) = channel(1);
        let task = tokio::spawn(carry(conn, address, nodelay, outgoing, self.news.clone()));
        self.links.insert(conn, Link { task, writer, busy: false });
    }

    fn look_up(&mut self, lookup: LookupId, name: String) {
        let news = self.news.clone();
        let task = tokio::spawn(async move {
            let answer = match super::names::addresses(&name).await {
                Ok(addresses) if addresses.is_empty() => Err(LookupError::NotFound),
                Ok(addresses) => Ok(addresses),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(LookupError::TimedOut),
                Err(_) => Err(LookupError::NotFound),
            };
            // Nobody is left to be told once the engine has gone.
            let _ = news.send(News::LookedUp(lookup, answer)).await;
        });
        self.lookups.insert(lookup, task);
    }

    fn transmit(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.busy {
            return;
        }
        let bytes: Vec<u8> = self.engine.transmit(conn).flatten().copied().collect();
        if !bytes.is_empty() {
            // Its task has room for one, and takes the next one when this one is reported.
            link.busy = link.writer.try_send(bytes).is_ok();
        }
    }

    fn take(&mut self, news: News) {
        let now = Instant::now();
        match news {
            News::Connected(conn, local) => self.engine.handle_input(Input::Connected { conn, local }, now),
            News::Received(conn, data) => self.engine.handle_input(Input::Received { conn, data: &data }, now),
            News::Written(conn, len) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.busy = false;
                }
                self.engine.handle_input(Input::Written { conn, len }, now);
                self.transmit(conn);
            }
            News::Lost(conn, why) => {
                self.links.remove(&conn);
                self.engine.handle_input(Input::Lost { conn, why }, now);
            }
            News::LookedUp(lookup, answer) => {
                self.lookups.remove(&lookup);
                let answer = answer.as_ref().map(Vec::as_slice).map_err(|error| *error);
                self.engine.handle_input(Input::LookedUp { lookup, answer }, now);
            }
        }
    }
}

/// One connection from its dial to its end.
async fn carry(conn: ConnId, address: SocketAddr, nodelay: bool, mut outgoing: Receiver<Vec<u8>>, news: Sender<News>) {
    // Nobody is left to be told anything once the engine has gone.
    let why = match TcpStream::connect(address).await {
        Err(error) => LinkError::from(&error),
        Ok(stream) => {
            let _ = stream.set_nodelay(nodelay);
            let _ = news.send(News::Connected(conn, stream.local_addr().ok())).await;
            let (mut reading, mut writing) = stream.into_split();
            let read = async {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    match reading.read(&mut buffer).await {
                        Ok(0) => return LinkError::Closed,
                        Ok(len) => {
                            let data = buffer.get(..len).unwrap_or_default().to_vec();
                            let _ = news.send(News::Received(conn, data)).await;
                        }
                        Err(error) => return LinkError::from(&error),
                    }
                }
            };
            let write = async {
                while let Some(bytes) = outgoing.recv().await {
                    if let Err(error) = writing.write_all(&bytes).await {
                        return LinkError::from(&error);
                    }
                    let _ = news.send(News::Written(conn, bytes.len())).await;
                }
                LinkError::Closed
            };
            tokio::select! { why = read => why, why = write => why }
        }
    };
    let _ = news.send(News::Lost(conn, why)).await;
}
