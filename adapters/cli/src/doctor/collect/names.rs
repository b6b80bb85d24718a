//! Names: addresses from the platform's resolver, SRV records by the engine's own resolver.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use settee::dns::{Action, Outcome, Query, ResolverConfig, SrvError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::doctor::facts::NameFacts;

/// The addresses of a name, or an address itself.
pub(crate) async fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    Ok(addresses)
}

/// Looks a name up for the report.
pub(super) async fn look_up(name: &str, timeout: Duration) -> NameFacts {
    let started = Instant::now();
    let addresses = match tokio::time::timeout(timeout, addresses(name)).await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the resolver did not answer in time".to_owned()),
    };
    NameFacts { name: name.to_owned(), addresses, elapsed: started.elapsed() }
}

/// What came of a socket.
enum Arrival {
    Datagram(SocketAddr, Vec<u8>),
    DatagramFailed(SocketAddr),
    Stream(Vec<u8>),
    StreamLost,
    Timeout,
}

/// Asks for the SRV records of a name; ends by itself within `timeout`.
pub(super) async fn srv(name: &str, resolver: &ResolverConfig, timeout: Duration) -> Option<Outcome> {
    let mut ids = [0; 8];
    getrandom::fill(&mut ids).ok()?;
    let mut query = Query::new(name, resolver, timeout, u64::from_be_bytes(ids), Instant::now());
    let mut sockets: Vec<(SocketAddr, UdpSocket)> = Vec::new();
    let mut stream: Option<TcpStream> = None;
    loop {
        while let Some(action) = query.poll() {
            let now = Instant::now();
            match action {
                Action::Datagram { server, payload } => {
                    if !sockets.iter().any(|(known, _)| *known == server) {
                        match socket(server).await {
                            Ok(socket) => sockets.push((server, socket)),
                            Err(_) => {
                                query.on_datagram_failed(Some(server), SrvError::Unreachable, now);
                                continue;
                            }
                        }
                    }
                    if let Some((_, socket)) = sockets.iter().find(|(known, _)| *known == server)
                        && socket.send(&payload).await.is_err()
                    {
                        query.on_datagram_failed(Some(server), SrvError::Unreachable, now);
                    }
                }
                Action::Connect { server } => {
                    let until = query.poll_timeout().unwrap_or(now);
                    match tokio::time::timeout_at(until.into(), TcpStream::connect(server)).await {
                        Ok(Ok(open)) => {
                            stream = Some(open);
                            query.on_connected(Instant::now());
                        }
                        _ => query.on_stream_lost(Instant::now()),
                    }
                }
                Action::Send { payload } => {
                    let sent = match &mut stream {
                        Some(stream) => stream.write_all(&payload).await.is_ok(),
                        None => false,
                    };
                    if !sent {
                        stream = None;
                        query.on_stream_lost(Instant::now());
                    }
                }
                Action::Close => stream = None,
                Action::Done(outcome) => return Some(outcome),
                _ => {}
            }
        }
        let until = query.poll_timeout()?;
        let arrival = arrival(&sockets, stream.as_mut(), until).await;
        let now = Instant::now();
        match arrival {
            Arrival::Datagram(from, payload) => query.on_datagram(from, &payload, now),
            Arrival::DatagramFailed(server) => {
                sockets.retain(|(known, _)| *known != server);
                query.on_datagram_failed(Some(server), SrvError::Unreachable, now);
            }
            Arrival::Stream(data) => query.on_stream(&data, now),
            Arrival::StreamLost => {
                stream = None;
                query.on_stream_lost(now);
            }
            Arrival::Timeout => query.on_timeout(now),
        }
    }
}

/// A socket of its own, connected, so that the platform drops what others send.
async fn socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// The first thing that happens on any of the sockets.
async fn arrival(sockets: &[(SocketAddr, UdpSocket)], stream: Option<&mut TcpStream>, until: Instant) -> Arrival {
    let datagrams = std::future::poll_fn(|cx| {
        let mut space = [0; 4096];
        for (server, socket) in sockets {
            let mut buffer = tokio::io::ReadBuf::new(&mut space);
            match socket.poll_recv(cx, &mut buffer) {
                std::task::Poll::Ready(Ok(())) => {
                    return std::task::Poll::Ready(Arrival::Datagram(*server, buffer.filled().to_vec()));
                }
                std::task::Poll::Ready(Err(_)) => return std::task::Poll::Ready(Arrival::DatagramFailed(*server)),
                std::task::Poll::Pending => {}
            }
        }
        std::task::Poll::Pending
    });
    let bytes = async {
        let Some(stream) = stream else { return std::future::pending().await };
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(len) if len > 0 => Arrival::Stream(buffer.get(..len).unwrap_or_default().to_vec()),
            _ => Arrival::StreamLost,
        }
    };
    tokio::select! {
        arrival = datagrams => arrival,
        arrival = bytes => arrival,
        () = tokio::time::sleep_until(until.into()) => Arrival::Timeout,
    }
}
