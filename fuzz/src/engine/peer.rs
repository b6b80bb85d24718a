//! One connection as the server sees it: what was asked, and answers that fit, or nearly.
//!
//! What is spoken on it shows in what the engine sends, except to a name server and under TLS.

use settee::auth::Mechanism;
use settee::ids::{Cas, Opaque};
use settee::wire::{Decoder, Encode, Magic, Opcode, ServerOpcode, Status};

use super::choices::Choices;
use super::names::Stream;
use super::topology::{BUCKETS, Topology};
use super::web::Manager;
use super::{PASSWORD, settings};
use crate::sasl;

/// A request that waits for its answer.
#[derive(Clone)]
struct Request {
    opcode: Opcode,
    opaque: Opaque,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// What is spoken on a connection.
#[derive(Default)]
pub(super) enum Speech {
    /// Nothing yet.
    #[default]
    Unknown,
    KeyValue,
    Http(Manager),
    Dns(Stream),
    /// Without a handshake that could succeed.
    Tls,
}

/// What peers of all kinds say to a TLS client that expects a server's hello.
const NO_HELLO: [&[u8]; 9] = [
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x15\x03\x03\x00\x02\x02\x30",
    b"\x14\x03\x03\x00\x01\x01",
    b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00",
    b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03",
    b"\x17\x03\x03\x40\x00",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"\x81\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
];

/// The server's end of a connection.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) speech: Speech,
    decoder: Decoder,
    /// The engine was told so.
    pub(super) connected: bool,
    /// The engine said that there are bytes, and none were reported as written since.
    pub(super) announced: bool,
    /// What the engine lent last and was not told to be written.
    pub(super) lent: Vec<u8>,
    requests: Vec<Request>,
    /// Answers that the engine has not received yet.
    pub(super) outbox: Vec<u8>,
    bucket: Option<String>,
    client_first: Vec<u8>,
    server_first: Vec<u8>,
}

struct Reply {
    magic: Magic,
    opcode: Opcode,
    opaque: Opaque,
    status: u16,
    datatype: u8,
    cas: u64,
    framing_extras: Vec<u8>,
    extras: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Reply {
    fn to(request: &Request) -> Self {
        Self {
            magic: Magic::Response,
            opcode: request.opcode,
            opaque: request.opaque,
            status: 0,
            datatype: 0,
            cas: 0x1122,
            framing_extras: Vec::new(),
            extras: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    fn refused(mut self, status: Status, value: impl Into<Vec<u8>>) -> Self {
        self.status = status.0;
        self.extras.clear();
        self.value = value.into();
        self
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let frame = Encode {
            magic: self.magic,
            opcode: self.opcode,
            datatype: self.datatype,
            vbucket_or_status: self.status,
            opaque: self.opaque,
            cas: Cas(self.cas),
            framing_extras: &[],
            extras: &self.extras,
            key_prefix: &[],
            key: &self.key,
        };
        frame
            .with_framing_extras(&self.framing_extras)
            .emit(&self.value, out)
            .expect("small sections fit a frame");
    }
}

impl Peer {
    pub(super) fn new(speech: Speech) -> Self {
        Self { speech, ..Self::default() }
    }

    /// Takes bytes that the engine sent.
    pub(super) fn take(&mut self, len: usize) {
        let bytes: Vec<u8> = self.lent.drain(..len).collect();
        if let (Speech::Unknown, Some(first)) = (&self.speech, bytes.first()) {
            self.speech = if *first == b'G' { Speech::Http(Manager::default()) } else { Speech::KeyValue };
        }
        match &mut self.speech {
            Speech::KeyValue => self.take_requests(&bytes),
            Speech::Http(manager) => manager.take(&bytes),
            Speech::Dns(stream) => stream.take(&bytes),
            Speech::Tls | Speech::Unknown => {}
        }
    }

    /// Whole requests that can be read, their opaques apart from each other.
    fn take_requests(&mut self, bytes: &[u8]) {
        let requests = &mut self.requests;
        let result = self.decoder.feed(
            bytes,
            |_| u32::MAX,
            |frame| {
                let header = frame.header;
                assert!(
                    matches!(header.magic, Magic::Request | Magic::AltRequest),
                    "not a request: {header:?}"
                );
                assert!(
                    requests.iter().all(|other| other.opaque != header.opaque),
                    "an opaque is used twice at a time"
                );
                requests.push(Request {
                    opcode: header.opcode,
                    opaque: header.opaque,
                    key: frame.key.to_vec(),
                    value: frame.value.to_vec(),
                });
                std::ops::ControlFlow::Continue(())
            },
        );
        result.expect("the engine sends whole frames");
    }

    /// Answers all that was asked as an honest server would.
    pub(super) fn answer_all(&mut self, topology: &Topology) {
        match &mut self.speech {
            Speech::KeyValue => {
                for request in std::mem::take(&mut self.requests) {
                    self.fitting(&request, topology).emit(&mut self.outbox);
                }
            }
            Speech::Http(manager) => manager.answer(topology, &mut self.outbox),
            Speech::Dns(stream) => stream.answer_all(&mut self.outbox),
            Speech::Tls | Speech::Unknown => {}
        }
    }

    /// Answers one request of any, out of turn and in any way.
    pub(super) fn answer_one(&mut self, topology: &Topology, u: &mut Choices<'_>) {
        match &mut self.speech {
            Speech::KeyValue if !self.requests.is_empty() => {
                let request = self.requests.remove(u.below(self.requests.len()));
                let reply = alter(self.fitting(&request, topology), topology, u);
                reply.emit(&mut self.outbox);
                if u.one_in(16) {
                    reply.emit(&mut self.outbox);
                }
            }
            Speech::Http(manager) => manager.answer_oddly(topology, u, &mut self.outbox),
            Speech::Dns(stream) => stream.answer_one(u, &mut self.outbox),
            Speech::Tls => {
                self.outbox.extend_from_slice(u.of(&NO_HELLO));
                self.outbox.extend_from_slice(u.bytes(40));
            }
            Speech::KeyValue | Speech::Unknown => {}
        }
    }

    fn fitting(&mut self, request: &Request, topology: &Topology) -> Reply {
        let mut reply = Reply::to(request);
        match request.opcode {
            Opcode::HELLO => reply.value.clone_from(&request.value),
            Opcode::GET_ERROR_MAP => reply.value = settings::ERROR_MAP.into(),
            Opcode::SASL_LIST_MECHS => reply.value = b"SCRAM-SHA512 SCRAM-SHA256 SCRAM-SHA1 PLAIN".to_vec(),
            Opcode::SASL_AUTH if request.key != b"PLAIN" => {
                self.client_first.clone_from(&request.value);
                self.server_first = sasl::server_first(&request.value, 5);
                reply.status = Status::AUTH_CONTINUE.0;
                reply.value.clone_from(&self.server_first);
            }
            Opcode::SASL_STEP => {
                let hash = Mechanism::from_name(&request.key)
                    .and_then(Mechanism::scram_hash)
                    .expect("it was asked before");
                let messages = (&self.client_first[..], &self.server_first[..], &request.value[..]);
                // After an altered challenge there is nothing that fits.
                if self.server_first == sasl::server_first(&self.client_first, 5) {
                    reply.value = sasl::server_final(hash, PASSWORD, (sasl::SALT, 5), messages);
                }
            }
            Opcode::SELECT_BUCKET => match std::str::from_utf8(&request.key) {
                Ok(name) if BUCKETS[..2].contains(&name) => self.bucket = Some(name.to_owned()),
                _ => return reply.refused(Status::KEY_ENOENT, b""),
            },
            Opcode::GET_CLUSTER_CONFIG if topology.is_memcached(self.bucket.as_deref()) => {
                return reply.refused(Status::NOT_SUPPORTED, b"");
            }
            Opcode::GET_CLUSTER_CONFIG => {
                reply.value = topology.document(self.bucket.as_deref()).into();
                reply.datatype = 1;
            }
            Opcode::COLLECTIONS_GET_ID => {
                reply.extras = vec![0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8];
            }
            Opcode::GET | Opcode::GAT | Opcode::GET_LOCKED => {
                reply.extras = vec![2, 0, 0, 6];
                reply.value = b"{\"a\":1}".to_vec();
                reply.datatype = 1;
            }
            Opcode::GET_META => reply.extras = vec![0; 20],
            Opcode::INCREMENT | Opcode::DECREMENT => {
                reply.extras = vec![7; 16];
                reply.value = vec![0, 0, 0, 0, 0, 0, 0, 42];
            }
            Opcode::SET
            | Opcode::ADD
            | Opcode::REPLACE
            | Opcode::DELETE
            | Opcode::APPEND
            | Opcode::PREPEND => {
                reply.extras = vec![7; 16];
            }
            _ => {}
        }
        reply
    }

    /// A word of the server's that nobody asked for.
    pub(super) fn notify(&mut self, topology: &Topology, u: &mut Choices<'_>) {
        let form = u.byte();
        let bucket = if form & 1 == 0 { self.bucket.clone() } else { None };
        let (epoch, rev) = topology.version();
        let extras = match form >> 1 & 3 {
            0 | 1 => [epoch.to_be_bytes(), rev.wrapping_add(i64::from(form >> 6)).to_be_bytes()].concat(),
            2 => (rev as u32).to_be_bytes().to_vec(),
            _ => u.bytes(24).to_vec(),
        };
        let document = topology.document(bucket.as_deref());
        let opcode = if form & 32 == 0 { ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION.0 } else { u.byte() };
        let reply = Reply {
            magic: Magic::ServerRequest,
            opcode: Opcode(opcode),
            opaque: Opaque(0),
            status: 0,
            datatype: 0,
            cas: 0,
            framing_extras: Vec::new(),
            extras,
            key: bucket.unwrap_or_default().into(),
            value: if form & 8 == 0 { Vec::new() } else { document.into() },
        };
        reply.emit(&mut self.outbox);
    }
}

/// The next answer of a handshake or an operation gone wrong, or merely unusual.
fn alter(mut reply: Reply, topology: &Topology, u: &mut Choices<'_>) -> Reply {
    match u.below(20) {
        0 => return reply.refused(u.of(Status::KNOWN), b""),
        1 => {
            let bucket = u.of(&[Some(BUCKETS[0]), Some(BUCKETS[0]), Some(BUCKETS[1]), None]);
            let mut document = topology.document(bucket).into_bytes();
            match u.below(6) {
                0 => document.clear(),
                1 => document.truncate(u.word().into()),
                2 => {
                    let at = usize::from(u.word()) % document.len();
                    document[at] = u.byte();
                }
                _ => {}
            }
            return reply.refused(Status::NOT_MY_VBUCKET, document);
        }
        2 => return reply.refused(Status(u.word()), u.bytes(40)),
        3 => reply.datatype = u.byte(),
        4 => {
            reply.value =
                snap::raw::Encoder::new().compress_vec(&reply.value).expect("small values compress");
            reply.datatype |= 2;
        }
        5 => reply.value = u.bytes(64).to_vec(),
        6 => reply.extras = u.bytes(40).to_vec(),
        7 => reply.framing_extras = u.bytes(12).to_vec(),
        8 => reply.framing_extras = vec![2, 0, u.byte()],
        9 => reply.opcode = u.of(Opcode::KNOWN),
        10 => reply.opaque = Opaque(u32::from(u.word())),
        11 => {
            let body: &[u8] = u.of(&[
                &b"{\"manifest_uid\":\"9\"}"[..],
                b"{\"manifest_uid\":\"1\"}",
                b"{\"manifest_uid\":\"ff\",\"error\":{\"context\":\"c\",\"ref\":\"r\"}}",
                b"",
            ]);
            reply.datatype = 1;
            return reply.refused(Status::UNKNOWN_COLLECTION, body);
        }
        12 => return reply.refused(u.of(&[Status::LOCKED, Status::ETMPFAIL, Status::EBUSY]), b""),
        13 => {
            let status = u.of(&[
                Status::SYNC_WRITE_IN_PROGRESS,
                Status::SYNC_WRITE_RECOMMIT_IN_PROGRESS,
                Status::SYNC_WRITE_AMBIGUOUS,
                Status::ECONFIG_ONLY,
                Status::NO_BUCKET,
                Status::AUTH_STALE,
                Status::AUTH_ERROR,
                Status::NOT_SUPPORTED,
            ]);
            return reply.refused(status, b"");
        }
        // Statuses that only the error map knows.
        14 => return reply.refused(Status(0x7ff0 + u16::from(u.byte() % 6)), b""),
        15 => reply.cas = u.long(),
        16 => reply.key = u.bytes(20).to_vec(),
        17 => reply.value.clear(),
        18 => {
            let len = reply.value.len();
            reply.value.truncate(usize::from(u.byte()) % (len + 1));
        }
        _ => {}
    }
    reply
}
