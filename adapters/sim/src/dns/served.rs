//! The name server on loopback: one thread for datagrams, one that accepts, and one for each connection.

use super::{DnsServer, DnsTcp};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread waits for its socket before it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(20);
/// How many ports are tried for one that is free for both TCP and UDP.
const PORTS: usize = 32;

/// A name server on a loopback address, UDP and TCP on the same port. Dropping it stops it.
///
/// ```
/// use settee_sim::{DnsServed, DnsZone};
///
/// let mut zone = DnsZone::new();
/// zone.srv("_couchbase._tcp.cb.example.com", [("node1.example.com", 11210), ("node2.example.com", 11210)]);
/// let dns = DnsServed::start(zone)?;
/// println!("ask {}", dns.addr());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct DnsServed {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<DnsServer>,
    stop: AtomicBool,
}

impl Shared {
    fn server(&self) -> MutexGuard<'_, DnsServer> {
        // A panic of a closure leaves a server that is as good as before.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl DnsServed {
    /// Starts a server, or one that serves just a zone, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where sockets cannot be made.
    pub fn start(server: impl Into<DnsServer>) -> io::Result<Self> {
        let shared = Arc::new(Shared { server: Mutex::new(server.into()), stop: AtomicBool::new(false) });
        let (udp, tcp) = bind()?;
        let address = udp.local_addr()?;
        tcp.set_nonblocking(true)?;
        let foreign = UdpSocket::bind((address.ip(), 0))?;
        let mut served = Self { address, shared, threads: Vec::new() };
        let shared = Arc::clone(&served.shared);
        let datagrams = thread::Builder::new().name("sim dns udp".to_owned());
        served.threads.push(datagrams.spawn(move || serve_datagrams(&shared, &udp, &foreign))?);
        let shared = Arc::clone(&served.shared);
        let connections = thread::Builder::new().name("sim dns tcp".to_owned());
        served.threads.push(connections.spawn(move || serve_connections(&shared, &tcp))?);
        Ok(served)
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Runs a closure on the server: to change zone and settings, or to see what it was asked.
    pub fn control<T>(&self, run: impl FnOnce(&mut DnsServer) -> T) -> T {
        run(&mut self.shared.server())
    }
}

impl Drop for DnsServed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for _ in 0..PORTS {
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn serve_datagrams(shared: &Shared, socket: &UdpSocket, foreign: &UdpSocket) {
    let mut delayed: Vec<(Instant, SocketAddr, Vec<u8>)> = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !shared.stops() {
        let now = Instant::now();
        for (_, to, bytes) in delayed.extract_if(.., |(at, ..)| *at <= now) {
            let _ = socket.send_to(&bytes, to);
        }
        let next = delayed.iter().map(|(at, ..)| at.saturating_duration_since(now)).min();
        // A time-out of zero would mean none.
        let wait = next.unwrap_or(TICK).clamp(Duration::from_millis(1), TICK);
        if socket.set_read_timeout(Some(wait)).is_err() {
            return;
        }
        // Time-outs, and errors of what was sent before (a client that has gone).
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let request = buffer.get(..len).unwrap_or_default();
        let mut server = shared.server();
        for (elsewhere, bytes) in server.spoofs(request) {
            let _ = if elsewhere { foreign } else { socket }.send_to(&bytes, from);
        }
        if let Some(bytes) = server.answer(request, false) {
            delayed.push((Instant::now() + server.settings.delay, from, bytes));
        }
    }
}

fn serve_connections(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while !shared.stops() {
        connections.retain(|connection| !connection.is_finished());
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(TICK / 4);
            continue;
        };
        if shared.server().settings.tcp == DnsTcp::Refused {
            // The kernel has taken it already; closing is the nearest to refusing.
            continue;
        }
        let shared = Arc::clone(shared);
        connections.push(thread::spawn(move || {
            // An error of a connection is its end.
            let _ = serve_connection(&shared, stream);
        }));
    }
    for connection in connections {
        let _ = connection.join();
    }
}

fn serve_connection(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let (mut pending, mut buffer) = (Vec::new(), [0; 4096]);
    while !shared.stops() {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => pending.extend_from_slice(buffer.get(..len).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        while let Some(request) = take_frame(&mut pending) {
            let (answer, delay) = {
                let mut server = shared.server();
                (server.answer(&request, true), server.settings.delay)
            };
            if let Some(answer) = answer {
                thread::sleep(delay);
                stream.write_all(&framed(&answer))?;
            }
        }
    }
    Ok(())
}

/// Takes one message off what came by TCP.
pub(crate) fn take_frame(pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = 2 + usize::from(u16::from_be_bytes(*pending.first_chunk()?));
    (pending.len() >= end).then(|| pending.drain(..end).skip(2).collect())
}

/// A message for TCP, behind its length.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}
