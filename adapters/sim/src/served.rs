//! The served form: the cluster on loopback TCP, one background thread with an event loop.
//!
//! ```text
//! readiness -> read -> Cluster::receive -> Cluster::output -> one write per turn and connection
//! control   -> a closure on a channel, run between turns
//! ```
//! Readiness is edge-triggered: a link remembers that it may be read or written until the socket says otherwise.

mod builder;

pub use builder::SimClusterBuilder;

use crate::{Cluster, ConnId, Listener, NodeAddress, NodeId};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One read takes at most this much.
const READ_BUFFER: usize = 512 * 1024;
/// How often a listener is tried again whose port is taken while its node is down.
const REBIND: Duration = Duration::from_millis(20);

const WAKER: Token = Token(usize::MAX);
/// Tokens of listeners lie above those of links.
const LISTENERS: usize = usize::MAX / 2;

/// Hands a result to the caller who waits for it.
type Reply = Box<dyn FnOnce()>;

type Run = Box<dyn FnOnce(&mut Cluster, Instant) -> Reply + Send>;

/// What the handle asks of the loop.
enum Command {
    /// Run this on the cluster; what it returns is to be called when the loop has followed the change.
    Run(Run),
    /// Keep this socket for the node that will have its port.
    Keep(std::net::TcpListener),
}

/// A simulated cluster that listens on loopback. Dropping it stops it.
///
/// ```
/// let cluster = settee_sim::SimCluster::start()?;
/// assert!(cluster.connection_string().starts_with("couchbase://127.0.0.1:"));
/// // ... connect any client with cluster.username() and cluster.password() ...
/// cluster.control(|cluster, _now| cluster.add_collection("default", "inventory", "hotel"));
/// cluster.stop();
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct SimCluster {
    commands: Sender<Command>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// By node that the cluster started with: what listens where.
    ports: Vec<BTreeMap<Listener, SocketAddr>>,
    /// Where the data service of each is.
    addresses: Vec<SocketAddr>,
    username: String,
    password: String,
}

impl SimCluster {
    /// Three nodes on free loopback ports, the bucket `default`, the user `Administrator` with `password`.
    ///
    /// # Errors
    /// Where sockets cannot be made.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// The same, to be changed before it starts.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder::default()
    }

    fn launch(
        mut cluster: Cluster,
        sockets: Vec<BTreeMap<Listener, std::net::TcpListener>>,
        (username, password): (String, String),
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut server = Server {
            poll,
            ports: Vec::new(),
            nodes: sockets.len(),
            links: Vec::new(),
            free: Vec::new(),
            kept: Vec::new(),
            by_conn: BTreeMap::new(),
            ready: Vec::new(),
            buffer: vec![0; READ_BUFFER],
        };
        let mut ports = Vec::new();
        for (node, sockets) in sockets.into_iter().enumerate() {
            let mut of_node = BTreeMap::new();
            for (listener, socket) in sockets {
                of_node.insert(listener, server.listen(NodeId(node), listener, socket)?);
            }
            ports.push(of_node);
        }
        let addresses = ports.iter().filter_map(|ports| ports.get(&Listener::KV)).copied().collect();
        let (commands, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("settee-sim".to_owned())
            .spawn(move || server.run(&mut cluster, &inbox))?;
        Ok(Self { commands, waker, thread: Some(thread), ports, addresses, username, password })
    }

    /// Connection string that names all nodes, such as `couchbase://127.0.0.1:11210,127.0.0.1:11211`.
    pub fn connection_string(&self) -> String {
        let hosts: Vec<String> = self.addresses.iter().map(SocketAddr::to_string).collect();
        format!("couchbase://{}", hosts.join(","))
    }

    /// Connection string of the TLS ports, such as `couchbases://127.0.0.1:11207`; without a host if the cluster was
    /// [started without them](SimClusterBuilder::tls).
    pub fn tls_connection_string(&self) -> String {
        let hosts: Vec<String> = self
            .ports
            .iter()
            .filter_map(|ports| ports.get(&Listener::KV_TLS))
            .map(SocketAddr::to_string)
            .collect();
        format!("couchbases://{}", hosts.join(","))
    }

    /// Where a listener of a node is that the cluster started with.
    pub fn address_of(&self, node: NodeId, listener: Listener) -> Option<SocketAddr> {
        self.ports.get(node.0)?.get(&listener).copied()
    }

    /// Where the data service of the nodes is that the cluster started with, in order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The authority that signed the certificates of the nodes, as PEM: what clients are to trust.
    ///
    /// # Panics
    /// If the thread of the cluster has panicked.
    pub fn ca_pem(&self) -> String {
        self.control(|cluster, _| cluster.ca_pem())
    }

    /// Name of the user made first.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Password of the user made first.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs `f` on the cluster between two turns of its event loop and waits for what it returns. When this returns,
    /// nodes that are down refuse connections and those that are up accept them (unless a restarted one finds its
    /// port taken: then it goes on trying). Pushes, the ends of connections and the answers of resumed nodes follow
    /// in the loop's next turn.
    ///
    /// # Panics
    /// If the thread of the cluster has panicked.
    pub fn control<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Cluster, Instant) -> R + Send + 'static,
    ) -> R {
        let (reply, answer) = channel();
        let command = Command::Run(Box::new(move |cluster, now| {
            let value = f(cluster, now);
            Box::new(move || {
                let _ = reply.send(value);
            })
        }));
        let sent = self.commands.send(command).is_ok() && self.waker.wake().is_ok();
        match answer.recv() {
            Ok(value) if sent => value,
            _ => panic!("the thread of the simulated cluster has ended"),
        }
    }

    /// Adds a node with the listeners of the others on free loopback ports; it joins the maps and gets vbuckets with
    /// the next [`Cluster::rebalance`]. Returns where its data service is.
    ///
    /// # Errors
    /// Where its sockets cannot be made.
    pub fn add_node(&self) -> io::Result<(NodeId, SocketAddr)> {
        let template = self.control(|cluster, _| cluster.address(NodeId(0)).cloned());
        let template = template.unwrap_or_else(|| NodeAddress::new("127.0.0.1", 0));
        let mut node = NodeAddress { ports: BTreeMap::new(), ..NodeAddress::new("127.0.0.1", 0) };
        for listener in template.ports.keys() {
            let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
            node.ports.insert(*listener, socket.local_addr()?.port());
            let _ = self.commands.send(Command::Keep(socket));
        }
        let address = SocketAddr::from(([127, 0, 0, 1], node.port(Listener::KV).unwrap_or(0)));
        let hidden = mapped_ports(&template).is_some();
        let added = self.control(move |cluster, _| {
            if hidden {
                builder::hide(&mut node, cluster.node_count());
            }
            cluster.add_node(node)
        });
        Ok((added, address))
    }

    /// Stops the cluster: all sockets close. Returns when its thread has ended.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The loop ends when its inbox has no sender left.
        let (closed, _) = channel();
        drop(std::mem::replace(&mut self.commands, closed));
        let _ = self.waker.wake();
        let _ = thread.join();
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.join();
    }
}

/// One accepted socket.
struct Link {
    stream: TcpStream,
    conn: ConnId,
    readable: bool,
    writable: bool,
    /// Whether it stands in the list of links to work on.
    queued: bool,
}

/// One listening port of a node.
struct Port {
    node: NodeId,
    listener: Listener,
    address: SocketAddr,
    /// There while the node is up.
    socket: Option<TcpListener>,
}

struct Server {
    poll: Poll,
    ports: Vec<Port>,
    /// How many nodes have their ports in the list.
    nodes: usize,
    /// Sockets of nodes that are about to be added.
    kept: Vec<std::net::TcpListener>,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    by_conn: BTreeMap<ConnId, usize>,
    ready: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn run(&mut self, cluster: &mut Cluster, inbox: &Receiver<Command>) {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.timeout(cluster);
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            let now = Instant::now();
            for event in &events {
                let Token(token) = event.token();
                if event.token() == WAKER {
                    continue;
                }
                if token >= LISTENERS {
                    self.accept(cluster, token - LISTENERS, now);
                } else if let Some(Some(link)) = self.links.get_mut(token) {
                    link.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                    link.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                    self.queue(token);
                }
            }
            loop {
                match inbox.try_recv() {
                    Ok(Command::Run(command)) => {
                        let reply = command(cluster, now);
                        self.follow_nodes(cluster, now);
                        reply();
                    }
                    Ok(Command::Keep(listener)) => self.kept.push(listener),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.waits_for_port(cluster) {
                self.follow_nodes(cluster, now);
            }
            if cluster.next_timeout().is_some_and(|at| at <= now) {
                cluster.handle_timeout(now);
            }
            while let Some(conn) = cluster.poll_touched() {
                if let Some(slot) = self.by_conn.get(&conn).copied() {
                    self.queue(slot);
                }
            }
            for slot in std::mem::take(&mut self.ready) {
                self.work(cluster, slot, now);
            }
        }
    }

    fn timeout(&self, cluster: &Cluster) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let delayed = cluster.next_timeout().map(|at| {
            // Rounded up to the poller's millisecond, so that the loop does not spin towards it.
            at.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
        });
        let rebind = self.waits_for_port(cluster).then_some(REBIND);
        delayed.into_iter().chain(rebind).min()
    }

    fn queue(&mut self, slot: usize) {
        if let Some(Some(link)) = self.links.get_mut(slot)
            && !link.queued
        {
            link.queued = true;
            self.ready.push(slot);
        }
    }

    /// One turn of one link: read once, answer, write once.
    fn work(&mut self, cluster: &mut Cluster, slot: usize, now: Instant) {
        let Self { links, buffer, .. } = self;
        let Some(Some(link)) = links.get_mut(slot) else { return };
        link.queued = false;
        let mut lost = false;
        if link.readable && cluster.wants_input(link.conn) {
            match link.stream.read(buffer) {
                Ok(0) => lost = true,
                Ok(len) => {
                    // A short read has emptied the socket: the next byte is another event.
                    link.readable = len == buffer.len();
                    cluster.receive(link.conn, &buffer[..len], now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => link.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => lost = true,
            }
        }
        if !lost && link.writable {
            let output = cluster.output(link.conn);
            if !output.is_empty() {
                match link.stream.write(output) {
                    Ok(len) => {
                        link.writable = len == output.len();
                        cluster.written(link.conn, len, now);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => link.writable = false,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => lost = true,
                }
            }
        }
        if lost || cluster.is_closed(link.conn) {
            return self.close(cluster, slot);
        }
        let more_to_read = link.readable && cluster.wants_input(link.conn);
        let more_to_write = link.writable && !cluster.output(link.conn).is_empty();
        if more_to_read || more_to_write {
            self.queue(slot);
        }
    }

    fn close(&mut self, cluster: &mut Cluster, slot: usize) {
        let Some(mut link) = self.links.get_mut(slot).and_then(Option::take) else { return };
        let _ = self.poll.registry().deregister(&mut link.stream);
        self.by_conn.remove(&link.conn);
        cluster.disconnect(link.conn);
        self.free.push(slot);
    }

    fn accept(&mut self, cluster: &mut Cluster, port: usize, now: Instant) {
        loop {
            let Some(Port { node, listener, socket: Some(socket), .. }) = self.ports.get(port) else {
                return;
            };
            let mut stream = match socket.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Mostly a peer that is gone already, or no descriptors left: the next event tries again.
                Err(_) => return,
            };
            let Some(conn) = cluster.connect(*node, *listener, now) else { continue };
            let _ = stream.set_nodelay(true);
            let slot = self.free.pop().unwrap_or(self.links.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(slot), interest).is_err() {
                cluster.disconnect(conn);
                self.free.push(slot);
                continue;
            }
            let link = Link { stream, conn, readable: false, writable: true, queued: false };
            if slot == self.links.len() {
                self.links.push(Some(link));
            } else if let Some(place) = self.links.get_mut(slot) {
                *place = Some(link);
            }
            self.by_conn.insert(conn, slot);
        }
    }

    fn listen(
        &mut self,
        node: NodeId,
        listener: Listener,
        socket: std::net::TcpListener,
    ) -> io::Result<SocketAddr> {
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpListener::from_std(socket);
        let token = Token(LISTENERS + self.ports.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.ports.push(Port { node, listener, address, socket: Some(socket) });
        Ok(address)
    }

    /// Whether a node that is up lacks one of its sockets.
    fn waits_for_port(&self, cluster: &Cluster) -> bool {
        self.ports.iter().any(|port| port.socket.is_none() && !cluster.is_down(port.node))
    }

    /// Opens and closes sockets as nodes come and go.
    fn follow_nodes(&mut self, cluster: &mut Cluster, now: Instant) {
        for node in (self.nodes..cluster.node_count()).map(NodeId) {
            let ports = cluster
                .address(node)
                .map(|address| mapped_ports(address).unwrap_or(&address.ports).clone())
                .unwrap_or_default();
            self.ports.extend(ports.into_iter().map(|(listener, port)| Port {
                node,
                listener,
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                socket: None,
            }));
        }
        self.nodes = cluster.node_count();
        for index in 0..self.ports.len() {
            let Some(port) = self.ports.get_mut(index) else { continue };
            if cluster.is_down(port.node) {
                if let Some(mut socket) = port.socket.take() {
                    let _ = self.poll.registry().deregister(&mut socket);
                }
            } else if port.socket.is_none()
                && let Ok(mut fresh) = open_listener(&mut self.kept, port.address)
            {
                let token = Token(LISTENERS + index);
                if self.poll.registry().register(&mut fresh, token, Interest::READABLE).is_ok() {
                    port.socket = Some(fresh);
                    self.accept(cluster, index, now);
                }
            }
        }
    }
}

/// The ports on loopback of a node that is to be reached from outside alone.
fn mapped_ports(address: &NodeAddress) -> Option<&BTreeMap<Listener, u16>> {
    address
        .alternates
        .iter()
        .filter(|alternate| alternate.host == "127.0.0.1")
        .find_map(|alternate| alternate.ports.as_ref())
}

/// The kept listener of an address, or a new one.
fn open_listener(kept: &mut Vec<std::net::TcpListener>, address: SocketAddr) -> io::Result<TcpListener> {
    let found = kept.iter().position(|listener| listener.local_addr().is_ok_and(|local| local == address));
    let Some(index) = found else { return TcpListener::bind(address) };
    let listener = kept.swap_remove(index);
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

#[cfg(test)]
mod tests;
