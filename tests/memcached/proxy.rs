//! A proxy that takes every frame apart and puts it together again, in both directions: whoever talks through it
//! talks to this codec.

use crate::client::MAX_BODY;
use settee::wire::{Decoder, End, Opcode};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What went through.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    pub(crate) answers: usize,
    pub(crate) opcodes: BTreeSet<Opcode>,
    /// Anything that is not as it should be.
    pub(crate) faults: Vec<String>,
}

/// A proxy on a loopback port of its own.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        let acceptor = thread::spawn(move || accept(&listener, server, &shared));
        Self { address, log, acceptor }
    }

    /// Waits until every connection has ended: what went through.
    pub(crate) fn finish(self) -> Log {
        // A connection that ends without a byte is the sign to stop.
        drop(TcpStream::connect(self.address).unwrap());
        self.acceptor.join().unwrap();
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, log: &Arc<Mutex<Log>>) {
    let mut copies = Vec::new();
    loop {
        let (client, _) = listener.accept().unwrap();
        if client.peek(&mut [0]).unwrap_or(0) == 0 {
            break;
        }
        log.lock().unwrap().connections += 1;
        let server = TcpStream::connect(server).unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (from_client, to_client) = (client.try_clone().unwrap(), client);
        let (from_server, to_server) = (server.try_clone().unwrap(), server);
        for (from, to, is_request) in [(from_client, to_server, true), (from_server, to_client, false)] {
            let log = Arc::clone(log);
            copies.push(thread::spawn(move || copy(from, to, is_request, &log)));
        }
    }
    for copy in copies {
        copy.join().unwrap();
    }
}

/// Passes frames on until the end of the stream, then checks what was passed on against what came.
fn copy(mut from: TcpStream, mut to: TcpStream, is_request: bool, log: &Mutex<Log>) {
    let (mut came, mut went) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    let mut buffer = [0; 1500];
    let mut fault = None;
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        came.extend_from_slice(&buffer[..len]);
        let start = went.len();
        let result = decoder.feed(
            &buffer[..len],
            |_| MAX_BODY,
            |frame| {
                let mut log = log.lock().unwrap();
                log.opcodes.insert(frame.header.opcode);
                *(if is_request { &mut log.requests } else { &mut log.answers }) += 1;
                if frame.header.magic.is_response() == is_request {
                    log.faults.push(format!("{:?} in the wrong direction", frame.header));
                }
                if let Err(error) = frame.emit(&mut went) {
                    log.faults.push(error.to_string());
                }
                ControlFlow::Continue(())
            },
        );
        if let Err(error) = result {
            fault = Some(error.to_string());
            break;
        }
        if to.write_all(&went[start..]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let mut log = log.lock().unwrap();
    log.faults.extend(fault);
    if came != went {
        log.faults.push(format!("{} bytes came and other {} went on", came.len(), went.len()));
    }
    if decoder.end() != End::Clean {
        log.faults.push(format!("the stream ended {:?}", decoder.end()));
    }
}
