//! A scripted node: it logs everybody in and serves a map, and answers everything else as the test says.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use settee::ids::{Cas, Opaque};
use settee::wire::{Encode, Frame, Opcode, Status};
use settee_sim::{Net, Peer, PeerAction};

use crate::common::{Client, config, net, node};

/// The connection string of a single scripted node.
pub(crate) const ALONE: &str = "couchbase://10.0.0.1?sasl_mech_force=PLAIN";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) opcode: Opcode,
    pub(crate) opaque: Opaque,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Request {
    /// An answer with a status and a value.
    pub(crate) fn answer(&self, status: Status, value: &[u8]) -> Vec<u8> {
        self.answer_with(status, 0, &[], &[], value)
    }

    pub(crate) fn answer_with(
        &self,
        status: Status,
        datatype: u8,
        extras: &[u8],
        key: &[u8],
        value: &[u8],
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let frame = Encode {
            datatype,
            extras,
            key,
            cas: Cas(1),
            ..Encode::response(self.opcode, self.opaque, status)
        };
        frame.emit(value, &mut out).expect("a frame");
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
}

/// What to do about a request; `None`: the usual.
pub(crate) type Script = dyn FnMut(&Request) -> Option<Vec<PeerAction>>;

struct Node {
    input: Vec<u8>,
    script: Rc<RefCell<Script>>,
    map: Rc<RefCell<String>>,
}

impl Node {
    fn usual(&self, request: &Request) -> Vec<u8> {
        match request.opcode {
            // Everything asked for is granted but what changes the form of what is sent.
            Opcode::HELLO => {
                let plain = [0x06_u16, 0x07, 0x08, 0x0b, 0x0c, 0x10, 0x1d];
                let asked = request.value.chunks_exact(2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                let granted: Vec<u8> =
                    asked.filter(|code| plain.contains(code)).flat_map(u16::to_be_bytes).collect();
                request.answer(Status::SUCCESS, &granted)
            }
            Opcode::SASL_LIST_MECHS => request.answer(Status::SUCCESS, b"PLAIN"),
            Opcode::SASL_AUTH | Opcode::SELECT_BUCKET | Opcode::NOOP => request.answer(Status::SUCCESS, b""),
            Opcode::GET_CLUSTER_CONFIG => {
                request.answer_with(Status::SUCCESS, 1, &[], &[], self.map.borrow().as_bytes())
            }
            Opcode::GET => request.answer_with(Status::SUCCESS, 0, &[2, 0, 0, 0], &[], b"value"),
            Opcode::SET => request.answer(Status::SUCCESS, b""),
            _ => request.answer(Status::UNKNOWN_COMMAND, b""),
        }
    }
}

impl Peer for Node {
    fn receive(&mut self, bytes: &[u8], _now: Instant) -> Vec<PeerAction> {
        self.input.extend_from_slice(bytes);
        let mut actions = Vec::new();
        while let Some((request, len)) =
            Frame::parse(&self.input, 1 << 20).expect("a client's frame").map(|(frame, len)| {
                let request = Request {
                    opcode: frame.header.opcode,
                    opaque: frame.header.opaque,
                    extras: frame.extras.to_vec(),
                    key: frame.key.to_vec(),
                    value: frame.value.to_vec(),
                };
                (request, len)
            })
        {
            self.input.drain(..len);
            let scripted = (self.script.borrow_mut())(&request);
            actions.extend(scripted.unwrap_or_else(|| vec![PeerAction::Send(self.usual(&request))]));
        }
        actions
    }
}

/// The map of the bucket `default` on one node that knows itself by the address it was reached at.
pub(crate) fn plain_map(rev: i64) -> String {
    map_with(rev, r#"{"thisNode":true,"services":{"kv":11210,"mgmt":8091}}"#, "[[0],[0],[0],[0]]", "")
}

/// The same with other nodes, rows, and more fields in front.
pub(crate) fn map_with(rev: i64, nodes: &str, rows: &str, more: &str) -> String {
    format!(
        r#"{{{more}"rev":{rev},"revEpoch":1,"name":"default","uuid":"a","nodeLocator":"vbucket",
        "bucketCapabilities":["couchapi","xattr","collections"],
        "nodes":[{{"hostname":"$HOST:8091","ports":{{"direct":11210}}}}],"nodesExt":[{nodes}],
        "vBucketServerMap":{{"hashAlgorithm":"CRC","numReplicas":0,"serverList":["$HOST:11210"],
        "vBucketMap":{rows}}}}}"#
    )
}

/// Puts a scripted node in the place of the first; what it gives as its map can be changed by the returned cell.
pub(crate) fn place(
    net: &mut Net,
    map: &str,
    script: impl FnMut(&Request) -> Option<Vec<PeerAction>> + 'static,
) -> Rc<RefCell<String>> {
    place_at(net, 0, map, script)
}

/// The same in the place of any node.
pub(crate) fn place_at(
    net: &mut Net,
    index: usize,
    map: &str,
    script: impl FnMut(&Request) -> Option<Vec<PeerAction>> + 'static,
) -> Rc<RefCell<String>> {
    let map = Rc::new(RefCell::new(map.to_owned()));
    let script: Rc<RefCell<Script>> = Rc::new(RefCell::new(script));
    let given = Rc::clone(&map);
    net.place_peer(node(index), move || {
        Box::new(Node { input: Vec::new(), script: Rc::clone(&script), map: Rc::clone(&given) })
    });
    map
}

/// A client of a single scripted node, which answers by the script.
pub(crate) fn alone(
    map: &str,
    script: impl FnMut(&Request) -> Option<Vec<PeerAction>> + 'static,
) -> (Client, Rc<RefCell<String>>) {
    let mut net = net(1);
    let map = place(&mut net, map, script);
    (Client::with(net, config(ALONE)), map)
}

/// The usual for everything.
pub(crate) const fn usual(_: &Request) -> Option<Vec<PeerAction>> {
    None
}

/// A script for one operation.
pub(crate) fn on(
    opcode: Opcode,
    mut answer: impl FnMut(&Request) -> Vec<PeerAction>,
) -> impl FnMut(&Request) -> Option<Vec<PeerAction>> {
    move |request| (request.opcode == opcode).then(|| answer(request))
}

/// The same with one piece of bytes.
pub(crate) fn send(bytes: Vec<u8>) -> Vec<PeerAction> {
    vec![PeerAction::Send(bytes)]
}
