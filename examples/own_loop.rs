//! The engine in an event loop of one's own: non-blocking sockets of the standard library, no runtime, no threads.
//!
//! The loop looks at its sockets once a turn, as a game does once a frame; a production loop would wait for readiness with
//! `mio` or `polling` until `Output::Wait` says. Everything the engine needs from the world is in `Links`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an owner of the engine is the one who has the world"
)]

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::Bytes;
use settee::auth::{Authenticator, PasswordAuthenticator};
use settee::engine::{
    ConnId, Engine, EngineConfig, Event, Input, LinkError, LookupError, OpId, OpKind, Operation, Output,
    Response, Store, StoreMode,
};
use settee::error::OpError;
use settee::options::Options;
use settee::{connstr, expiry::Expiry, ids::Cas};

/// The sockets, by the engine's names for them.
#[derive(Default)]
struct Links(BTreeMap<ConnId, TcpStream>);

impl Links {
    /// Does what the engine says until it waits; returns the operations that ended.
    fn turn(&mut self, engine: &mut Engine) -> io::Result<Vec<(OpId, Result<Response, OpError>)>> {
        let mut ended = Vec::new();
        loop {
            match engine.poll_output() {
                Output::Connect(dial) => {
                    let input = match TcpStream::connect_timeout(&dial.address, Duration::from_secs(2)) {
                        Ok(stream) => {
                            stream.set_nonblocking(true)?;
                            stream.set_nodelay(dial.nodelay)?;
                            self.0.insert(dial.conn, stream);
                            Input::Connected { conn: dial.conn, local: None }
                        }
                        Err(error) => Input::Lost { conn: dial.conn, why: LinkError::from(&error) },
                    };
                    engine.handle_input(input, Instant::now());
                }
                Output::Disconnect(conn) => drop(self.0.remove(&conn)),
                Output::Transmit(conn) => {
                    let Some(stream) = self.0.get_mut(&conn) else { continue };
                    let slices: Vec<IoSlice<'_>> = engine.transmit(conn).map(IoSlice::new).collect();
                    match stream.write_vectored(&slices) {
                        Ok(len) => engine.handle_input(Input::Written { conn, len }, Instant::now()),
                        // A loop that waits for readiness would try again when the socket is writable.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            engine.handle_input(Input::Written { conn, len: 0 }, Instant::now());
                            break;
                        }
                        Err(error) => self.lose(engine, conn, &error),
                    }
                }
                Output::Lookup(question) => {
                    let addresses = (question.name.as_str(), 0).to_socket_addrs();
                    let addresses: Vec<_> =
                        addresses.into_iter().flatten().map(|address| address.ip()).collect();
                    let answer =
                        if addresses.is_empty() { Err(LookupError::NotFound) } else { Ok(&addresses[..]) };
                    engine.handle_input(Input::LookedUp { lookup: question.lookup, answer }, Instant::now());
                }
                Output::Event(Event::Completed { op, result }) => ended.push((op, result)),
                Output::Event(_) => {}
                Output::Wait(_) => break,
                _ => {}
            }
        }
        let conns: Vec<ConnId> = self.0.keys().copied().collect();
        let mut buffer = vec![0; 64 * 1024];
        for conn in conns {
            let Some(stream) = self.0.get_mut(&conn) else { continue };
            match stream.read(&mut buffer) {
                Ok(0) => self.lose(engine, conn, &io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    engine.handle_input(Input::Received { conn, data: &buffer[..len] }, Instant::now())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => self.lose(engine, conn, &error),
            }
        }
        engine.handle_timeout(Instant::now());
        Ok(ended)
    }

    fn lose(&mut self, engine: &mut Engine, conn: ConnId, error: &io::Error) {
        self.0.remove(&conn);
        engine.handle_input(Input::Lost { conn, why: LinkError::from(error) }, Instant::now());
    }

    /// Turns until the operation has ended.
    fn wait(&mut self, engine: &mut Engine, op: OpId) -> Result<Response, Box<dyn std::error::Error>> {
        loop {
            if let Some((_, result)) = self.turn(engine)?.into_iter().find(|(ended, _)| *ended == op) {
                return Ok(result?);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = settee_sim::SimCluster::start()?;
    let authenticator = PasswordAuthenticator::new(cluster.username(), cluster.password())?;
    let config = EngineConfig::new(
        &connstr::parse(&cluster.connection_string())?,
        Options::default(),
        Authenticator::Password(authenticator),
    )?;
    // A real program takes the seed from the operating system: SCRAM's nonces come from it.
    let mut engine = Engine::new(config, [7; 32], Instant::now());
    let bucket = engine.open_bucket("default", Instant::now());
    let collection = engine.collection(bucket, "_default", "_default");
    let mut links = Links::default();

    let write = OpKind::Store(Store {
        mode: StoreMode::Upsert,
        value: Bytes::from_static(b"\"hello\""),
        flags: 0x0200_0000,
        expiry: Expiry::NONE,
        preserve_expiry: false,
        cas: Cas::NONE,
        durability: settee::engine::Durability::None,
    });
    for kind in [write, OpKind::Get] {
        let operation = Operation::new(collection, Bytes::from_static(b"greeting"), kind);
        let op =
            engine.submit(operation, Instant::now()).map_err(|rejected| format!("{:?}", rejected.why))?;
        println!("{:?}", links.wait(&mut engine, op)?);
    }
    engine.shut_down(Duration::from_secs(1), Instant::now());
    while !engine.is_closed() {
        links.turn(&mut engine)?;
    }
    Ok(())
}
