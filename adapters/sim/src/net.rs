//! A network in virtual time between a client and the simulated cluster.
//!
//! ```text
//! client: dial, send, hang_up, look_up,
//!         send_datagram                     ->  queue of happenings, ordered by time, then by cause
//! client: step() -> NetEvent                <-  arrivals at nodes and peers are worked on inside
//! ```
//! Time moves only in [`Net::step`], from one happening to the next. The same calls with the same seed give the
//! same events, byte for byte. Bytes of one direction of a link never overtake each other.

mod datagrams;

pub use datagrams::SocketId;

use crate::clock::Seeded;
use crate::dns::DnsServer;
use crate::{Alternate, Cluster, ConnId, Listener, NodeAddress, NodeId, Settings};
use settee::engine::{LinkError, LookupError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A connection of the simulated network, numbered in the order of the dials from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub usize);

/// A question to the simulated name service, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(pub usize);

/// What the network tells the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// A dial succeeded.
    Connected(LinkId),
    /// Bytes arrived.
    Received(LinkId, Vec<u8>),
    /// A dial failed or a connection ended.
    Lost(LinkId, LinkError),
    /// A name was looked up.
    LookedUp(QuestionId, Result<Vec<IpAddr>, LookupError>),
    /// A datagram arrived, from whom.
    Datagram(SocketId, SocketAddr, Vec<u8>),
    /// A datagram did not get through, and the network says so.
    DatagramFailed(SocketId, LinkError),
}

/// Somebody other than the cluster who answers on an address: a scripted or hostile server.
pub trait Peer {
    /// A connection was accepted.
    fn accepted(&mut self, now: Instant) -> Vec<PeerAction> {
        let _ = now;
        Vec::new()
    }

    /// Bytes arrived.
    fn receive(&mut self, bytes: &[u8], now: Instant) -> Vec<PeerAction>;
}

/// What a [`Peer`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAction {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes after a while, measured from now.
    SendAfter(Duration, Vec<u8>),
    /// Closes the stream behind what was sent.
    Close,
    /// Breaks the connection.
    Reset,
}

/// What an address does with dials and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reachability {
    /// Both pass.
    #[default]
    Open,
    /// Dials are refused; connections go on.
    Refuse,
    /// Dials are refused as unreachable; connections go on.
    Unreachable,
    /// Nothing passes in either direction and nobody is told: dials hang, connections are half open.
    BlackHole,
    /// Dials pass, connections swallow everything.
    Swallow,
}

/// Properties of the network.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NetSettings {
    /// How long a byte takes one way, where no other time is set for the address.
    pub latency: Duration,
    /// Up to this much more, drawn per send.
    pub jitter: Duration,
    /// Bytes for the client arrive in random pieces of at most this size; 0: in the pieces they were sent in.
    pub max_segment: usize,
    /// How many of a thousand datagrams get lost, each way.
    pub datagram_loss: u16,
    /// How long the name service takes.
    pub lookup_time: Duration,
    /// Seed of jitter and pieces.
    pub seed: u64,
}

impl Default for NetSettings {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::ZERO,
            max_segment: 0,
            datagram_loss: 0,
            lookup_time: Duration::from_millis(1),
            seed: 1,
        }
    }
}

type PeerFactory = Box<dyn FnMut() -> Box<dyn Peer>>;

/// Who is behind an address.
enum Host {
    Node(NodeId, Listener),
    Peer(PeerFactory),
}

/// The server's end of a link.
enum End {
    Dialling,
    Node(ConnId),
    Peer(Box<dyn Peer>),
    /// With what has come of the next message.
    NameServer(Vec<u8>),
    Gone,
}

struct Link {
    to: SocketAddr,
    end: End,
    /// Whether the client still wants to hear of it.
    open: bool,
    /// When the last byte of each direction arrives: nothing overtakes it.
    to_server: Instant,
    to_client: Instant,
    flights: u32,
    in_flight: bool,
    sent: u64,
}

enum Happening {
    Dialled(LinkId),
    AtServer(LinkId, Vec<u8>),
    AtClient(LinkId, Vec<u8>),
    LostAtClient(LinkId, LinkError),
    ClosedAtServer(LinkId),
    LookedUp(QuestionId, String),
    Datagram(datagrams::Datagram),
}

/// The network, and the cluster behind it.
pub struct Net {
    settings: NetSettings,
    now: Instant,
    rng: Seeded,
    cluster: Cluster,
    hosts: BTreeMap<SocketAddr, Host>,
    /// Addresses outside of the cluster's own network.
    outside: BTreeSet<SocketAddr>,
    reachability: BTreeMap<SocketAddr, Reachability>,
    latencies: BTreeMap<SocketAddr, Duration>,
    names: BTreeMap<String, Result<Vec<IpAddr>, LookupError>>,
    links: Vec<Link>,
    conns: BTreeMap<ConnId, LinkId>,
    questions: usize,
    name_servers: BTreeMap<SocketAddr, DnsServer>,
    /// Whether each datagram socket is open.
    sockets: Vec<bool>,
    queue: BTreeMap<(Instant, u64), Happening>,
    happened: u64,
}

impl Net {
    /// A network with a cluster of `nodes` nodes on it, `10.0.0.1:11210` and so on, with the names `node1.sim` and
    /// so on. Each has the services of the settings on their default ports, with and without TLS. The cluster has the bucket `default` and the user `Administrator` with `password`.
    pub fn new(nodes: usize, cluster: Settings, settings: NetSettings, now: Instant) -> Self {
        let addresses =
            (0..nodes).map(|index| NodeAddress::with_services(name_of(index), &cluster.services)).collect();
        // The wall clock of virtual time begins at a fixed instant, so that runs repeat.
        let mut cluster = Cluster::new(cluster, addresses, now, Duration::from_secs(1_800_000_000));
        cluster.add_bucket("default");
        cluster.set_password("Administrator", "password");
        let mut net = Self {
            settings,
            now,
            rng: Seeded::new(settings.seed),
            cluster,
            hosts: BTreeMap::new(),
            outside: BTreeSet::new(),
            reachability: BTreeMap::new(),
            latencies: BTreeMap::new(),
            names: BTreeMap::new(),
            links: Vec::new(),
            conns: BTreeMap::new(),
            questions: 0,
            name_servers: BTreeMap::new(),
            sockets: Vec::new(),
            queue: BTreeMap::new(),
            happened: 0,
        };
        for index in 0..nodes {
            net.place_node(NodeId(index));
        }
        net
    }

    /// The cluster. What is done to it is carried by the network with the next [`step`](Self::step).
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Where a node's data service is.
    pub fn address_of(node: NodeId) -> SocketAddr {
        Self::listener_of(node, Listener::KV)
    }

    /// Where a listener of a node is that nobody moved to another port.
    pub fn listener_of(node: NodeId, listener: Listener) -> SocketAddr {
        SocketAddr::new(ip_of(node), listener.default_port())
    }

    /// Adds a node to cluster, network and name service.
    pub fn add_node(&mut self) -> NodeId {
        let node = NodeId(self.cluster.node_count());
        let services = self.cluster.services().to_vec();
        self.cluster.add_node(NodeAddress::with_services(name_of(node.0), &services));
        self.place_node(node);
        node
    }

    /// Puts a peer of the test's own on an address, made anew for each connection; it takes the place of a node.
    pub fn place_peer(&mut self, address: SocketAddr, mut make: impl FnMut() -> Box<dyn Peer> + 'static) {
        self.hosts.insert(address, Host::Peer(Box::new(move || make())));
    }

    /// Puts a node on another network as well: its map entry names it, and `ip` listens there on the ports that the
    /// entry maps, or on the node's own where it names none. The host resolves to `ip`.
    pub fn add_alternate(&mut self, node: NodeId, alternate: Alternate, ip: IpAddr) {
        let Some(mut address) = self.cluster.address(node).cloned() else { return };
        for (listener, port) in alternate.ports.as_ref().unwrap_or(&address.ports).clone() {
            self.forward(SocketAddr::new(ip, port), node, listener);
        }
        if alternate.host.parse::<IpAddr>().is_err() {
            self.names.insert(alternate.host.clone(), Ok(vec![ip]));
        }
        address.alternates.retain(|other| other.network != alternate.network);
        address.alternates.push(alternate);
        self.cluster.set_address(node, address);
    }

    /// Lets an address outside lead to a listener of a node, whatever maps say.
    pub fn forward(&mut self, outside: SocketAddr, node: NodeId, listener: Listener) {
        self.hosts.insert(outside, Host::Node(node, listener));
        self.outside.insert(outside);
    }

    /// Puts the client inside or outside of the cluster's own network, where it is at first. From outside only
    /// [forwarded](Self::forward) addresses lead anywhere and the names of the nodes do not exist; from inside it is
    /// the other way round. The other side's addresses do what `hidden` says. Links that are there stay.
    pub fn place_client(&mut self, outside: bool, hidden: Reachability) {
        for (address, host) in &self.hosts {
            if matches!(host, Host::Node(..)) {
                let open = self.outside.contains(address) == outside;
                self.reachability.insert(*address, if open { Reachability::Open } else { hidden });
            }
        }
        for node in (0..self.cluster.node_count()).map(NodeId) {
            let answer = if outside { Err(LookupError::NotFound) } else { Ok(vec![ip_of(node)]) };
            self.names.insert(name_of(node.0), answer);
        }
    }

    /// What a name resolves to from here on. Unknown names do not exist.
    pub fn set_name(&mut self, name: &str, answer: Result<Vec<IpAddr>, LookupError>) {
        self.names.insert(name.to_owned(), answer);
    }

    /// What an address does from here on. [`Reachability::BlackHole`] and [`Reachability::Swallow`] also swallow
    /// what is under way.
    pub fn set_reachability(&mut self, address: SocketAddr, reachability: Reachability) {
        self.reachability.insert(address, reachability);
    }

    /// How long a byte takes to or from an address from here on.
    pub fn set_latency(&mut self, address: SocketAddr, latency: Duration) {
        self.latencies.insert(address, latency);
    }

    /// Breaks a connection: both ends learn it at once, what is under way is lost.
    pub fn cut(&mut self, link: LinkId) {
        self.drop_under_way(link);
        self.release(link);
        self.schedule(self.now, Happening::LostAtClient(link, LinkError::Reset));
    }

    /// Breaks every connection to an address.
    pub fn cut_all(&mut self, address: SocketAddr) {
        for index in 0..self.links.len() {
            if self.links.get(index).is_some_and(|link| link.to == address && link.open) {
                self.cut(LinkId(index));
            }
        }
    }

    // The client's side.

    /// Begins to open a connection.
    pub fn dial(&mut self, to: SocketAddr) -> LinkId {
        let id = LinkId(self.links.len());
        let at = self.now + self.latency(to) * 2;
        self.links.push(Link {
            to,
            end: End::Dialling,
            open: true,
            to_server: at,
            to_client: at,
            flights: 0,
            in_flight: false,
            sent: 0,
        });
        self.schedule(at, Happening::Dialled(id));
        id
    }

    /// Sends bytes. Everything is taken; on a link that has ended it is lost.
    pub fn send(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(to) = self.links.get(id.0).map(|link| link.to) else { return };
        let at = self.now + self.latency(to) + self.draw_jitter();
        let Some(link) = self.links.get_mut(id.0).filter(|link| link.open) else { return };
        link.to_server = link.to_server.max(at);
        link.sent += bytes.len() as u64;
        if !link.in_flight {
            link.in_flight = true;
            link.flights += 1;
        }
        let at = link.to_server;
        self.schedule(at, Happening::AtServer(id, bytes.to_vec()));
    }

    /// Closes a connection or gives up its dial: no event of it comes any more.
    pub fn hang_up(&mut self, id: LinkId) {
        let Some(to) = self.links.get(id.0).map(|link| link.to) else { return };
        let at = self.now + self.latency(to);
        let Some(link) = self.links.get_mut(id.0) else { return };
        link.open = false;
        let at = link.to_server.max(at);
        self.schedule(at, Happening::ClosedAtServer(id));
    }

    /// Asks for the addresses of a name.
    pub fn look_up(&mut self, name: &str) -> QuestionId {
        let id = QuestionId(self.questions);
        self.questions += 1;
        self.schedule(self.now + self.settings.lookup_time, Happening::LookedUp(id, name.to_owned()));
        id
    }

    /// How often the client began to send on a link, counted anew each time it has received something since: the
    /// round trips that a handshake took.
    pub fn flights(&self, link: LinkId) -> u32 {
        self.links.get(link.0).map_or(0, |link| link.flights)
    }

    /// Bytes that the client sent on a link.
    pub fn bytes_sent(&self, link: LinkId) -> u64 {
        self.links.get(link.0).map_or(0, |link| link.sent)
    }

    /// All links so far, with where they lead and whether the client holds them open.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, SocketAddr, bool)> {
        self.links.iter().enumerate().map(|(index, link)| (LinkId(index), link.to, link.open))
    }

    /// When something happens next, if the client does nothing.
    pub fn next_at(&self) -> Option<Instant> {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        queued.into_iter().chain(self.cluster.next_timeout()).min()
    }

    /// Moves time to the next event for the client, at most to `until`, and returns it. `None`: there was none up to
    /// `until` (the time is `until` now), or there will never be one (then the time is that of the last happening).
    pub fn step(&mut self, until: Option<Instant>) -> Option<NetEvent> {
        loop {
            self.carry_touched();
            let Some(at) = self.next_at().filter(|at| until.is_none_or(|until| *at <= until)) else {
                self.now = self.now.max(until.unwrap_or(self.now));
                return None;
            };
            self.now = self.now.max(at);
            if self.cluster.next_timeout().is_some_and(|due| due <= self.now) {
                self.cluster.handle_timeout(self.now);
                continue;
            }
            if let Some((_, happening)) = self.queue.pop_first()
                && let Some(event) = self.happen(happening)
            {
                return Some(event);
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Option<NetEvent> {
        match happening {
            Happening::Dialled(id) => self.dialled(id),
            Happening::AtServer(id, bytes) => {
                self.at_server(id, &bytes);
                None
            }
            Happening::AtClient(id, bytes) => {
                let swallowed = self.swallows(id);
                let link = self.links.get_mut(id.0).filter(|link| link.open && !swallowed)?;
                link.in_flight = false;
                Some(NetEvent::Received(id, bytes))
            }
            Happening::LostAtClient(id, why) => {
                if why == LinkError::Closed && self.swallows(id) {
                    return None;
                }
                let link = self.links.get_mut(id.0).filter(|link| link.open)?;
                link.open = false;
                Some(NetEvent::Lost(id, why))
            }
            Happening::ClosedAtServer(id) => {
                // A half-open link hides the client's end from the server.
                if !self.swallows(id) {
                    self.release(id);
                }
                None
            }
            Happening::LookedUp(id, name) => {
                let answer = self.names.get(&name).cloned().unwrap_or(Err(LookupError::NotFound));
                Some(NetEvent::LookedUp(id, answer))
            }
            Happening::Datagram(datagram) => self.datagram(datagram),
        }
    }

    fn dialled(&mut self, id: LinkId) -> Option<NetEvent> {
        let now = self.now;
        let to = self.links.get(id.0).filter(|link| link.open)?.to;
        let fail = |net: &mut Self, why| {
            if let Some(link) = net.links.get_mut(id.0) {
                link.open = false;
                link.end = End::Gone;
            }
            Some(NetEvent::Lost(id, why))
        };
        match self.reachability.get(&to).copied().unwrap_or_default() {
            Reachability::Refuse => return fail(self, LinkError::Refused),
            Reachability::Unreachable => return fail(self, LinkError::Unreachable),
            Reachability::BlackHole => return None,
            Reachability::Open | Reachability::Swallow => {}
        }
        let (end, actions) = match self.hosts.get_mut(&to) {
            None => match self.name_server_takes(to) {
                Some(true) => (End::NameServer(Vec::new()), Vec::new()),
                Some(false) | None => return fail(self, LinkError::Refused),
            },
            Some(Host::Node(node, listener)) => match self.cluster.connect(*node, *listener, now) {
                None => return fail(self, LinkError::Refused),
                Some(conn) => {
                    self.conns.insert(conn, id);
                    (End::Node(conn), Vec::new())
                }
            },
            Some(Host::Peer(make)) => {
                let mut peer = make();
                let actions = peer.accepted(now);
                (End::Peer(peer), actions)
            }
        };
        self.links.get_mut(id.0)?.end = end;
        // Queued behind the connection's own event: the peer's first bytes take their time.
        self.act(id, actions);
        Some(NetEvent::Connected(id))
    }

    fn at_server(&mut self, id: LinkId, bytes: &[u8]) {
        if self.swallows(id) {
            return;
        }
        let now = self.now;
        let Some(link) = self.links.get_mut(id.0) else { return };
        match &mut link.end {
            End::Node(conn) => {
                let conn = *conn;
                self.cluster.receive(conn, bytes, now);
                self.carry(id, conn);
            }
            End::Peer(peer) => {
                let actions = peer.receive(bytes, now);
                self.act(id, actions);
            }
            End::NameServer(_) => self.name_server_receives(id, bytes),
            End::Dialling | End::Gone => {}
        }
    }

    /// Takes what the cluster has for a connection and sends it on its way.
    fn carry(&mut self, id: LinkId, conn: ConnId) {
        loop {
            let output = self.cluster.output(conn).to_vec();
            if output.is_empty() {
                break;
            }
            self.cluster.written(conn, output.len(), self.now);
            self.deliver(id, Duration::ZERO, &output);
        }
        if self.cluster.is_closed(conn) {
            self.close_from_server(id, LinkError::Closed);
            self.release(id);
        }
    }

    fn carry_touched(&mut self) {
        while let Some(conn) = self.cluster.poll_touched() {
            if let Some(id) = self.conns.get(&conn).copied() {
                self.carry(id, conn);
            }
        }
    }

    fn act(&mut self, id: LinkId, actions: Vec<PeerAction>) {
        for action in actions {
            match action {
                PeerAction::Send(bytes) => self.deliver(id, Duration::ZERO, &bytes),
                PeerAction::SendAfter(delay, bytes) => self.deliver(id, delay, &bytes),
                PeerAction::Close => self.close_from_server(id, LinkError::Closed),
                PeerAction::Reset => self.close_from_server(id, LinkError::Reset),
            }
            let gone = matches!(action_end(self.links.get(id.0)), Some(End::Gone));
            if gone {
                return;
            }
        }
    }

    /// Sends bytes to the client, in pieces if so set.
    fn deliver(&mut self, id: LinkId, delay: Duration, mut bytes: &[u8]) {
        let Some(to) = self.links.get(id.0).map(|link| link.to) else { return };
        let at = self.now + delay + self.latency(to) + self.draw_jitter();
        let at = match self.links.get_mut(id.0) {
            Some(link) => {
                link.to_client = link.to_client.max(at);
                link.to_client
            }
            None => return,
        };
        while !bytes.is_empty() {
            let len = match u64::try_from(self.settings.max_segment).unwrap_or(u64::MAX) {
                0 => bytes.len(),
                max => usize::try_from(1 + self.rng.below(max)).unwrap_or(1).min(bytes.len()),
            };
            let (piece, rest) = bytes.split_at(len);
            bytes = rest;
            self.schedule(at, Happening::AtClient(id, piece.to_vec()));
        }
    }

    fn close_from_server(&mut self, id: LinkId, why: LinkError) {
        let Some(to) = self.links.get(id.0).map(|link| link.to) else { return };
        let at = self.now + self.latency(to);
        let Some(link) = self.links.get_mut(id.0) else { return };
        if !matches!(link.end, End::Node(_)) {
            link.end = End::Gone;
        }
        let at = link.to_client.max(at);
        self.schedule(at, Happening::LostAtClient(id, why));
    }

    /// The server's end is over.
    fn release(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id.0) else { return };
        if let End::Node(conn) = std::mem::replace(&mut link.end, End::Gone) {
            self.cluster.disconnect(conn);
            self.conns.remove(&conn);
        }
    }

    fn drop_under_way(&mut self, link: LinkId) {
        self.queue.retain(|_, happening| match happening {
            Happening::Dialled(id)
            | Happening::AtServer(id, _)
            | Happening::AtClient(id, _)
            | Happening::LostAtClient(id, _)
            | Happening::ClosedAtServer(id) => *id != link,
            Happening::LookedUp(..) | Happening::Datagram(_) => true,
        });
    }

    fn swallows(&self, id: LinkId) -> bool {
        let to = self.links.get(id.0).map(|link| link.to);
        let reachability = to.and_then(|to| self.reachability.get(&to)).copied().unwrap_or_default();
        matches!(reachability, Reachability::BlackHole | Reachability::Swallow)
    }

    fn latency(&self, to: SocketAddr) -> Duration {
        self.latencies.get(&to).copied().unwrap_or(self.settings.latency)
    }

    fn draw_jitter(&mut self) -> Duration {
        let max = u64::try_from(self.settings.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.below(max.saturating_add(1)))
    }

    fn schedule(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.queue.insert((at, self.happened), happening);
    }

    fn place_node(&mut self, node: NodeId) {
        let ip = ip_of(node);
        let ports = self.cluster.address(node).map(|address| address.ports.clone()).unwrap_or_default();
        for (listener, port) in ports {
            self.hosts.insert(SocketAddr::new(ip, port), Host::Node(node, listener));
        }
        self.names.insert(name_of(node.0), Ok(vec![ip]));
        self.cluster.set_certificate_names(node, vec![ip.to_string()]);
    }
}

fn ip_of(node: NodeId) -> IpAddr {
    let index = u16::try_from(node.0 + 1).unwrap_or(u16::MAX);
    let [high, low] = index.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}

fn name_of(index: usize) -> String {
    format!("node{}.sim", index + 1)
}

fn action_end(link: Option<&Link>) -> Option<&End> {
    link.map(|link| &link.end)
}

#[cfg(test)]
mod tests;
