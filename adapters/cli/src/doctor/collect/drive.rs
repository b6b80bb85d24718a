//! An engine in an event loop of the doctor's own, on tokio's sockets. What a person would do by hand with one connection
//! after the other, the engine does here as in any program.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use settee::engine::{
    ConnId, Engine, EngineConfig, Event, Input, LinkError, LookupError, LookupId, OpId, Output, PingReport,
    Response,
};
use settee::error::OpError;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Inputs that wait; a reader waits when there are more.
const INBOX: usize = 64;

/// What sockets and the resolver have to say.
enum News {
    Connected(ConnId, Option<SocketAddr>, OwnedWriteHalf),
    Received(ConnId, Vec<u8>),
    /// There is room for bytes again.
    Writable(ConnId),
    Lost(ConnId, LinkError),
    LookedUp(LookupId, Result<Vec<IpAddr>, LookupError>),
}

/// An engine and its sockets. Dropping it closes them.
pub(crate) struct Driven {
    pub(crate) engine: Engine,
    inbox: Receiver<News>,
    news: Sender<News>,
    links: BTreeMap<ConnId, Link>,
    lookups: BTreeMap<LookupId, JoinHandle<()>>,
}

struct Link {
    task: JoinHandle<()>,
    /// Written to in the loop itself, so that the engine learns at once when a request left.
    writing: Option<Arc<OwnedWriteHalf>>,
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
pub(crate) enum Ended {
    Completed(OpId, Result<Response, OpError>),
    Pinged(OpId, Box<PingReport>),
}

impl Driven {
    pub(crate) fn new(config: EngineConfig) -> Self {
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
    pub(crate) async fn wait(&mut self, op: OpId, deadline: Instant) -> Option<Ended> {
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
        let task = tokio::spawn(carry(conn, address, nodelay, self.news.clone()));
        self.links.insert(conn, Link { task, writing: None });
    }

    fn look_up(&mut self, lookup: LookupId, name: String) {
        let news = self.news.clone();
        let task = tokio::spawn(async move {
            let answer = match super::names::addresses(&name).await {
                Ok(addresses) if addresses.is_empty() => Err(LookupError::NotFound),
                Ok(addresses) => Ok(addresses),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(LookupError::TimedOut),
                Err(_) => Err(LookupError::NotFound),
            };
            // Nobody is left to be told once the engine has gone.
            let _ = news.send(News::LookedUp(lookup, answer)).await;
        });
        self.lookups.insert(lookup, task);
    }

    /// Writes what the engine lends, as far as there is room.
    fn transmit(&mut self, conn: ConnId) {
        let Some(writing) = self.links.get(&conn).and_then(|link| link.writing.clone()) else { return };
        let slices: Vec<IoSlice<'_>> = self.engine.transmit(conn).map(IoSlice::new).collect();
        if slices.is_empty() {
            return;
        }
        let now = Instant::now();
        match writing.try_write_vectored(&slices) {
            // The engine says by itself that there is more.
            Ok(len) => self.engine.handle_input(Input::Written { conn, len }, now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let news = self.news.clone();
                tokio::spawn(async move {
                    // What is wrong with the socket, its reader tells.
                    if writing.writable().await.is_ok() {
                        let _ = news.send(News::Writable(conn)).await;
                    }
                });
            }
            Err(error) => self.lose(conn, LinkError::from(&error)),
        }
    }

    fn lose(&mut self, conn: ConnId, why: LinkError) {
        self.links.remove(&conn);
        self.engine.handle_input(Input::Lost { conn, why }, Instant::now());
    }

    fn take(&mut self, news: News) {
        let now = Instant::now();
        match news {
            News::Connected(conn, local, writing) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.writing = Some(Arc::new(writing));
                    self.engine.handle_input(Input::Connected { conn, local }, now);
                }
            }
            News::Received(conn, data) => {
                self.engine.handle_input(Input::Received { conn, data: &data }, now)
            }
            News::Writable(conn) => self.transmit(conn),
            News::Lost(conn, why) => self.lose(conn, why),
            News::LookedUp(lookup, answer) => {
                self.lookups.remove(&lookup);
                let answer = answer.as_ref().map(Vec::as_slice).map_err(|error| *error);
                self.engine.handle_input(Input::LookedUp { lookup, answer }, now);
            }
        }
    }
}

/// One connection from its dial to its end, but for what is written on it.
async fn carry(conn: ConnId, address: SocketAddr, nodelay: bool, news: Sender<News>) {
    // Nobody is left to be told anything once the engine has gone.
    let why = match TcpStream::connect(address).await {
        Err(error) => LinkError::from(&error),
        Ok(stream) => {
            // A socket that does not take the option serves all the same.
            let _ = stream.set_nodelay(nodelay);
            let local = stream.local_addr().ok();
            let (mut reading, writing) = stream.into_split();
            let _ = news.send(News::Connected(conn, local, writing)).await;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match reading.read(&mut buffer).await {
                    Ok(0) => break LinkError::Closed,
                    Ok(len) => {
                        let data = buffer.get(..len).unwrap_or_default().to_vec();
                        let _ = news.send(News::Received(conn, data)).await;
                    }
                    Err(error) => break LinkError::from(&error),
                }
            }
        }
    };
    let _ = news.send(News::Lost(conn, why)).await;
}
