//! What the adapter's sockets do, without a cluster.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use settee_tokio::runtime::{Datagrams, SocketOptions};
use settee_tokio::{Runtime as _, Tokio};
use tokio::net::{TcpListener, UdpSocket};

async fn send(socket: &mut Box<dyn Datagrams>, payload: &[u8]) -> io::Result<()> {
    poll_fn(|cx| socket.poll_send(cx, payload)).await
}

async fn receive(socket: &mut Box<dyn Datagrams>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let receiving = poll_fn(|cx| socket.poll_recv(cx, &mut buffer));
    let len = tokio::time::timeout(Duration::from_secs(10), receiving).await.unwrap()?;
    buffer.truncate(len);
    Ok(buffer)
}

/// A server that answers every datagram with itself and its sender's port, until it is dropped.
async fn echo(at: &str) -> io::Result<(std::net::SocketAddr, tokio::task::JoinHandle<()>)> {
    let server = UdpSocket::bind(at).await?;
    let address = server.local_addr()?;
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = server.recv_from(&mut buffer).await {
            let mut answer = buffer[..len].to_vec();
            answer.extend_from_slice(&from.port().to_be_bytes());
            if server.send_to(&answer, from).await.is_err() {
                break;
            }
        }
    });
    Ok((address, task))
}

#[tokio::test]
async fn datagrams_go_out_whole_and_come_back() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let (server, task) = match echo(at).await {
            Ok(echo) => echo,
            Err(error) if at.starts_with('[') => {
                eprintln!("skipped: no IPv6 loopback here ({error})");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let runtime = Tokio::current().unwrap();
        let mut socket = runtime.datagrams(server).unwrap();
        for payload in [&b""[..], b"who is there?", &[7; 4096]] {
            send(&mut socket, payload).await.unwrap();
            let answer = receive(&mut socket).await.unwrap();
            assert_eq!(answer.strip_suffix(&answer[payload.len()..]), Some(payload));
        }
        task.abort();
    }
}

#[tokio::test]
async fn each_socket_has_a_port_of_its_own() {
    let (server, task) = echo("127.0.0.1:0").await.unwrap();
    let runtime = Tokio::current().unwrap();
    let (mut one, mut other) = (runtime.datagrams(server).unwrap(), runtime.datagrams(server).unwrap());
    send(&mut one, b"").await.unwrap();
    send(&mut other, b"").await.unwrap();
    assert_ne!(receive(&mut one).await.unwrap(), receive(&mut other).await.unwrap());
    task.abort();
}

#[tokio::test]
async fn what_others_than_the_server_send_is_not_received() {
    let (server, task) = echo("127.0.0.1:0").await.unwrap();
    let mut socket = Tokio::current().unwrap().datagrams(server).unwrap();
    send(&mut socket, b"port?").await.unwrap();
    let answer = receive(&mut socket).await.unwrap();
    let port = u16::from_be_bytes(answer[5..].try_into().unwrap());
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(b"forged", ("127.0.0.1", port)).await.unwrap();
    send(&mut socket, b"hello").await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap()[..5], *b"hello");
    task.abort();
}

/// Linux reports the ICMP answer to a connected socket at its next call; others may stay silent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_closed_port_is_an_error_and_not_silence() {
    let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut socket = Tokio::current().unwrap().datagrams(free).unwrap();
    send(&mut socket, b"who is there?").await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn socket_options_reach_the_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = Tokio::current().unwrap();

    let plain = runtime.connect(address, SocketOptions::default()).await.unwrap();
    let socket = socket2::SockRef::from(plain.get_ref());
    assert!(!socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), None);

    let mut options = SocketOptions::default();
    options.nodelay = true;
    options.keepalive = Some(Duration::from_secs(77));
    options.user_timeout = Some(Duration::from_secs(20));
    let set = runtime.connect(address, options).await.unwrap();
    let socket = socket2::SockRef::from(set.get_ref());
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
    }
}
