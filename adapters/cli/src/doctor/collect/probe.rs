//! Single probes: does a port take connections, and what does the manager say. TLS and HTTP are the engine's own.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use settee::engine::{LinkError, Stage};
use settee::http::{Authorization, Exchange, HttpEvent, Method, Request};
use settee::tls::{TlsProfile, TlsSession};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::doctor::facts::Attempt;

/// No document of the manager is larger.
const MAX_BODY: usize = 16 << 20;

/// A connection, with or without TLS.
struct Pipe {
    stream: TcpStream,
    tls: Option<TlsSession>,
    /// Plaintext that came with the end of the handshake.
    plain: Vec<u8>,
    buffer: Vec<u8>,
}

fn failed(stage: Stage, text: impl Into<String>) -> Attempt {
    Attempt { stage, kind: None, text: text.into() }
}

fn io_failed(stage: Stage, error: &io::Error) -> Attempt {
    failed(stage, LinkError::from(error).to_string())
}

/// Tries the addresses one after the other; each has its share of the time.
async fn dial(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Attempt> {
    let mut last = failed(Stage::Resolve, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, TcpStream::connect((*address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = io_failed(Stage::Tcp, &error),
            Err(_) => last = failed(Stage::Tcp, LinkError::TimedOut.to_string()),
        }
    }
    Err(last)
}

impl Pipe {
    async fn open(
        host: &str,
        port: u16,
        tls: Option<&TlsProfile>,
        deadline: Instant,
    ) -> Result<Self, Attempt> {
        let resolving = tokio::time::timeout_at(deadline.into(), super::names::addresses(host));
        let addresses = match resolving.await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(failed(Stage::Resolve, error.to_string())),
            Err(_) => return Err(failed(Stage::Resolve, "the resolver did not answer in time")),
        };
        let stream = dial(&addresses, port, deadline).await?;
        let tls = tls.map(|profile| TlsSession::new(profile, host)).transpose();
        let tls = tls.map_err(|error| failed(Stage::Tls, error.to_string()))?;
        let mut pipe = Self { stream, tls, plain: Vec::new(), buffer: vec![0; 32 * 1024] };
        match tokio::time::timeout_at(deadline.into(), pipe.shake_hands()).await {
            Ok(result) => result?,
            Err(_) => return Err(failed(Stage::Tls, "no answer to the handshake in time")),
        }
        Ok(pipe)
    }

    async fn shake_hands(&mut self) -> Result<(), Attempt> {
        while self.tls.as_ref().is_some_and(TlsSession::is_handshaking) {
            self.flush().await?;
            self.receive().await?;
        }
        self.flush().await
    }

    /// Writes what TLS has to say.
    async fn flush(&mut self) -> Result<(), Attempt> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let bytes = tls.output().to_vec();
        tls.consume(bytes.len());
        self.stream.write_all(&bytes).await.map_err(|error| io_failed(Stage::Tls, &error))
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Attempt> {
        match &mut self.tls {
            Some(tls) => {
                tls.send(bytes).map_err(|error| failed(Stage::Tls, error.to_string()))?;
                self.flush().await
            }
            None => self.stream.write_all(bytes).await.map_err(|error| io_failed(Stage::Map, &error)),
        }
    }

    /// Reads once into `plain`; whether the stream goes on.
    async fn receive(&mut self) -> Result<bool, Attempt> {
        let len = self.stream.read(&mut self.buffer).await.map_err(|error| io_failed(Stage::Tcp, &error))?;
        let data = self.buffer.get(..len).unwrap_or_default();
        let Some(tls) = &mut self.tls else {
            self.plain.extend_from_slice(data);
            return Ok(len > 0);
        };
        if len == 0 {
            return match tls.cut() {
                Some(error) if tls.is_handshaking() => Err(failed(Stage::Tls, error.to_string())),
                _ => Ok(false),
            };
        }
        tls.receive(data, &mut self.plain).map_err(|error| failed(Stage::Tls, error.to_string()))?;
        Ok(!tls.peer_closed())
    }
}

/// How long a port takes to connect, TLS included.
pub(super) async fn connect(
    host: &str,
    port: u16,
    tls: Option<&TlsProfile>,
    deadline: Instant,
) -> Result<Duration, Attempt> {
    let started = Instant::now();
    Pipe::open(host, port, tls, deadline).await?;
    Ok(started.elapsed())
}

/// A document of the manager, and its header `Date`.
pub(super) async fn document(
    host: &str,
    port: u16,
    path: &str,
    authorization: Option<Authorization>,
    tls: Option<&TlsProfile>,
    deadline: Instant,
) -> Result<(Value, Option<String>), Attempt> {
    let mut pipe = Pipe::open(host, port, tls, deadline).await?;
    let request = Request {
        method: Method::Get,
        host: host.to_owned(),
        port,
        path: path.to_owned(),
        authorization,
        user_agent: concat!("settee-doctor/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let asking = exchange(&mut pipe, &request);
    match tokio::time::timeout_at(deadline.into(), asking).await {
        Ok(answer) => answer,
        Err(_) => Err(failed(Stage::Map, "no answer in time")),
    }
}

async fn exchange(pipe: &mut Pipe, request: &Request) -> Result<(Value, Option<String>), Attempt> {
    let mut exchange = Exchange::new(request);
    let bytes = exchange.output().to_vec();
    pipe.send(&bytes).await?;
    exchange.consume(bytes.len());
    let (mut code, mut when, mut body) = (0, None, Vec::new());
    loop {
        let plain = std::mem::take(&mut pipe.plain);
        if !plain.is_empty() {
            exchange.receive(&plain).map_err(|error| failed(Stage::Map, error.to_string()))?;
        }
        while let Some(event) = exchange.poll_event() {
            match event {
                HttpEvent::Head { status, date, .. } => (code, when) = (status, date),
                HttpEvent::Body(piece) if body.len() + piece.len() <= MAX_BODY => {
                    body.extend_from_slice(&piece)
                }
                HttpEvent::Body(_) => return Err(failed(Stage::Map, "the answer is too large")),
                HttpEvent::End if code == 200 => {
                    let document = serde_json::from_slice(&body)
                        .map_err(|error| failed(Stage::Map, format!("the answer is no JSON: {error}")))?;
                    return Ok((document, when));
                }
                HttpEvent::End => return Err(failed(Stage::Map, format!("HTTP status {code}"))),
                _ => {}
            }
        }
        if !pipe.receive().await? && pipe.plain.is_empty() {
            exchange.closed().map_err(|error| failed(Stage::Map, error.to_string()))?;
        }
    }
}

/// The seconds since 1970 of an HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range {
        return None;
    }
    // Days since 1970 by the civil calendar, years counted from March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Tue, 29 Feb 2028 23:59:59 GMT"), Some(1_835_481_599));
        for wrong in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 9223372036854775807 08:49:37 GMT",
            "Sun, 9223372036854775807 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 9223372036854775807:49:37 GMT",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }
}
