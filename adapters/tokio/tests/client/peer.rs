//! A scripted node on loopback: it logs everybody in and serves a map, and answers everything else as the test says.
//! For what the simulated cluster, being a good one, does not do.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the peer has threads of its own, which may block, and sockets that the runtime under test knows nothing of"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use settee::ids::{Cas, Opaque};
use settee::wire::{Encode, Frame, Opcode, Status};
use settee_tokio::{ClusterOptions, PasswordAuthenticator};

/// The largest request that a test sends.
const MAX_REQUEST: u32 = 1 << 20;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) opcode: Opcode,
    pub(crate) opaque: Opaque,
    pub(crate) value: Vec<u8>,
}

impl Request {
    pub(crate) fn answer(&self, status: Status, value: &[u8]) -> Vec<u8> {
        self.answer_with(status, 0, &[], value)
    }

    fn answer_with(&self, status: Status, datatype: u8, extras: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let frame =
            Encode { datatype, extras, cas: Cas(1), ..Encode::response(self.opcode, self.opaque, status) };
        frame.emit(value, &mut out).unwrap();
        out
    }

    /// A header of an answer with these lengths, and nothing behind it.
    pub(crate) fn header(&self, key: u16, extras: u8, body: u32) -> Vec<u8> {
        let mut out = vec![0x81, self.opcode.0];
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&[extras, 0, 0, 0]);
        out.extend_from_slice(&body.to_be_bytes());
        out.extend_from_slice(&self.opaque.0.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out
    }

    /// What a good node answers.
    pub(crate) fn usual(&self, port: u16) -> Vec<u8> {
        match self.opcode {
            // Everything asked for is granted but what changes the form of what is sent.
            Opcode::HELLO => {
                let plain = [0x06_u16, 0x07, 0x08, 0x0b, 0x0c, 0x10, 0x1d];
                let asked = self.value.chunks_exact(2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                let granted: Vec<u8> =
                    asked.filter(|code| plain.contains(code)).flat_map(u16::to_be_bytes).collect();
                self.answer(Status::SUCCESS, &granted)
            }
            Opcode::SASL_LIST_MECHS => self.answer(Status::SUCCESS, b"PLAIN"),
            Opcode::SASL_AUTH | Opcode::SELECT_BUCKET | Opcode::NOOP | Opcode::SET => {
                self.answer(Status::SUCCESS, b"")
            }
            Opcode::GET_CLUSTER_CONFIG => self.answer_with(Status::SUCCESS, 1, &[], map(port).as_bytes()),
            // JSON, by its flags.
            Opcode::GET => self.answer_with(Status::SUCCESS, 0, &[2, 0, 0, 6], b"7"),
            _ => self.answer(Status::UNKNOWN_COMMAND, b""),
        }
    }
}

fn map(port: u16) -> String {
    format!(
        r#"{{"rev":1,"revEpoch":1,"name":"default","uuid":"a","nodeLocator":"vbucket",
        "bucketCapabilities":["couchapi","xattr","collections"],
        "nodes":[{{"hostname":"$HOST:8091","ports":{{"direct":{port}}}}}],
        "nodesExt":[{{"thisNode":true,"services":{{"kv":{port},"mgmt":8091}}}}],
        "vBucketServerMap":{{"hashAlgorithm":"CRC","numReplicas":0,"serverList":["$HOST:{port}"],
        "vBucketMap":[[0],[0],[0],[0]]}}}}"#
    )
}

/// What becomes of a request.
pub(crate) enum Then {
    /// The usual.
    Usual,
    /// These bytes.
    Send(Vec<u8>),
    /// These bytes, one every so often.
    Drip(Vec<u8>, Duration),
    /// Nothing is read from here on, and nothing said.
    Deaf,
}

type Script = dyn FnMut(&Request) -> Then + Send;

struct Shared {
    port: u16,
    ended: AtomicBool,
    slamming: AtomicBool,
    accepted: AtomicUsize,
    script: Mutex<Box<Script>>,
}

/// A node that is gone when this is dropped.
pub(crate) struct Peer {
    shared: Arc<Shared>,
}

impl Peer {
    pub(crate) fn start(script: impl FnMut(&Request) -> Then + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Arc::new(Shared {
            port: listener.local_addr().unwrap().port(),
            ended: AtomicBool::new(false),
            slamming: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            script: Mutex::new(Box::new(script)),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                accepting.accepted.fetch_add(1, Ordering::SeqCst);
                let (Ok(stream), false) = (stream, accepting.slamming.load(Ordering::SeqCst)) else {
                    continue;
                };
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { shared }
    }

    /// Answers the first request of an operation like this, and everything else as usual.
    pub(crate) fn once(opcode: Opcode, answer: impl Fn(&Request) -> Then + Send + 'static) -> Self {
        let mut done = false;
        Self::start(move |request| {
            if request.opcode != opcode || std::mem::replace(&mut done, true) {
                return Then::Usual;
            }
            answer(request)
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.shared.port).into()
    }

    pub(crate) fn connection_string(&self) -> String {
        format!("couchbase://{}?sasl_mech_force=PLAIN", self.address())
    }

    /// How many connections were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Whether connections are closed as soon as they are accepted.
    pub(crate) fn slam(&self, on: bool) {
        self.shared.slamming.store(on, Ordering::SeqCst);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address());
    }
}

/// Until the client closes the connection.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let (mut input, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        match stream.read(&mut buffer) {
            Ok(len) if len > 0 => input.extend_from_slice(&buffer[..len]),
            _ => return,
        }
        while let Some((frame, len)) = Frame::parse(&input, MAX_REQUEST).expect("a client's frame") {
            let request = Request {
                opcode: frame.header.opcode,
                opaque: frame.header.opaque,
                value: frame.value.to_vec(),
            };
            input.drain(..len);
            let then = (shared.script.lock().unwrap())(&request);
            let sent = match then {
                Then::Usual => stream.write_all(&request.usual(shared.port)),
                Then::Send(bytes) => stream.write_all(&bytes),
                Then::Drip(bytes, pace) => bytes.iter().try_for_each(|byte| {
                    std::thread::sleep(pace);
                    stream.write_all(&[*byte])
                }),
                Then::Deaf => {
                    while !shared.ended.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// Listens, says one thing to whatever it hears, and closes; with nothing to say it stays silent.
pub(crate) fn parrot(text: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut heard = [0; 1024];
                while let Ok(1..) = stream.read(&mut heard) {
                    if !text.is_empty() {
                        let _ = stream.write_all(text);
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Any user will do.
pub(crate) fn anybody() -> ClusterOptions {
    ClusterOptions::new(PasswordAuthenticator::new("Administrator", "s3cret"))
}
