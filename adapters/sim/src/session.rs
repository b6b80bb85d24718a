//! One connection from the server's side: bytes in, frames taken off, answers out.
//!
//! ```text
//! bytes -> run: header checks, limits -> frame: rules -> answer: dispatch by opcode -> out
//! ```
//! Requests are carried out in the order in which they come, which every form of execution allows. Only a delayed
//! answer lets others pass, by the rules of unordered execution (FR-15).

mod bootstrap;
mod data;

use crate::NodeId;
use crate::bucket::Rendered;
use crate::cluster::{ConnId, State};
use crate::features::Features;
use crate::node::NodeState;
use crate::posture::Posture;
use crate::request::{Failure, invalid};
use crate::rule::{Action, Edit, take};
use crate::sasl::Exchange;
use crate::store::{JSON, SNAPPY};
use settee::ids::{Cas, Opaque};
use settee::wire::{Encode, Frame, HEADER_LEN, Header, Magic, Opcode, ServerOpcode, Status};
use std::time::Instant;

/// Largest frame of an authenticated connection.
const MAX_FRAME: usize = 30 * 1024 * 1024;
/// Largest frame before authentication.
const MAX_FRAME_UNAUTHENTICATED: usize = 16 * 1024;
/// Above this much unsent output a connection's requests are not worked on.
const OUTPUT_HIGH_WATER: usize = 8 * 1024 * 1024;

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It goes on.
    No,
    /// When everything written was taken.
    AfterOutput,
}

/// The server's half of a connection.
pub(crate) struct Session {
    pub(crate) id: ConnId,
    pub(crate) node: NodeId,
    /// Bytes that are not yet a whole request, or wait for their turn.
    input: Vec<u8>,
    /// Bytes for the client.
    pub(crate) out: Vec<u8>,
    /// How much of `out` was taken.
    pub(crate) sent: usize,
    pub(crate) closing: Closing,
    /// Nothing is worked on until then: a delayed answer holds up everything behind it, or a barrier waits for
    /// the delayed answers before it.
    pub(crate) stalled: Option<Instant>,
    /// How many answers of this connection are held back, and until when the last.
    pub(crate) delayed: usize,
    last_due: Option<Instant>,
    pub(crate) features: Features,
    /// The encoded server duration, `None` without tracing.
    duration: Option<u16>,
    pub(crate) user: Option<String>,
    /// The client's certificate named the user; SASL has nothing to do.
    by_certificate: bool,
    /// The token by which the client authenticated: its end makes the connection stale.
    token: Option<String>,
    /// Whether it runs inside TLS.
    tls: bool,
    /// The release of the server that accepted the connection.
    posture: Posture,
    exchange: Option<Box<Exchange>>,
    /// Index into the buckets.
    pub(crate) bucket: Option<usize>,
    /// The map version that this connection is believed to have (`cluster-maps.md` 8.1).
    delivered: (i64, i64),
}

impl Session {
    pub(crate) fn new(id: ConnId, node: NodeId, tls: bool, posture: Posture) -> Self {
        Self {
            id,
            node,
            input: Vec::new(),
            out: Vec::new(),
            sent: 0,
            closing: Closing::No,
            stalled: None,
            delayed: 0,
            last_due: None,
            features: Features::NONE,
            duration: None,
            user: None,
            by_certificate: false,
            token: None,
            tls,
            posture,
            exchange: None,
            bucket: None,
            delivered: NOTHING_DELIVERED,
        }
    }

    /// The client's certificate says who it is.
    pub(crate) fn authenticate_by_certificate(&mut self, user: String) {
        self.user = Some(user);
        self.by_certificate = true;
    }

    /// Bytes that the client should be given next.
    pub(crate) fn pending(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// The client took this many bytes.
    pub(crate) fn written(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len).min(self.out.len());
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        } else if self.sent > 1024 * 1024 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Whether more bytes should be read for it.
    pub(crate) fn wants_input(&self) -> bool {
        self.closing == Closing::No
            && self.pending().len() < OUTPUT_HIGH_WATER
            && self.input.len() < 2 * MAX_FRAME
    }

    /// Takes bytes from the client and works on them.
    pub(crate) fn receive(&mut self, state: &mut State, bytes: &[u8]) {
        if self.input.is_empty() {
            let used = self.run(state, bytes);
            self.input.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            self.input.extend_from_slice(bytes);
            self.resume(state);
        }
    }

    /// An answer that was held back until `at` is due.
    pub(crate) fn release(&mut self, state: &mut State, answer: &[u8], at: Instant) {
        self.out.extend_from_slice(answer);
        self.delayed = self.delayed.saturating_sub(1);
        if self.stalled.is_some_and(|until| until <= at) {
            self.stalled = None;
            self.resume(state);
        }
    }

    /// Works on bytes that were kept: after a stall, a pause, or when output was taken.
    pub(crate) fn resume(&mut self, state: &mut State) {
        if self.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let used = self.run(state, &input);
        input.drain(..used.min(input.len()));
        self.input = input;
    }

    /// Carries out the whole requests at the front of `bytes`; how many bytes they took.
    fn run(&mut self, state: &mut State, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.may_work(state) {
            let Some((head, rest)) =
                bytes.get(used..).and_then(|rest| rest.split_first_chunk::<HEADER_LEN>())
            else {
                break;
            };
            let Ok(header) = Header::decode(head) else {
                self.closing = Closing::AfterOutput;
                break;
            };
            let len = header.body_len as usize;
            let max = if self.user.is_some() { MAX_FRAME } else { MAX_FRAME_UNAUTHENTICATED };
            if len.saturating_add(HEADER_LEN) > max {
                self.closing = Closing::AfterOutput;
                break;
            }
            let Some(body) = rest.get(..len) else { break };
            if self.delayed > 0 && !header.opcode.attributes().reorderable {
                self.stalled = self.last_due;
                break;
            }
            used += HEADER_LEN + len;
            self.frame(state, &Frame::from_parts(header, body));
        }
        used
    }

    fn may_work(&self, state: &State) -> bool {
        self.closing == Closing::No
            && self.stalled.is_none()
            && self.out.len() - self.sent < OUTPUT_HIGH_WATER
            && state.nodes.get(self.node.0).is_some_and(|node| node.state == NodeState::Up)
    }

    fn frame(&mut self, state: &mut State, frame: &Frame<'_>) {
        match frame.header.magic {
            Magic::Request => {}
            // Frame infos came with durability (`kv-protocol.md` 2.7); to a server of before they are no request.
            Magic::AltRequest if self.posture >= Posture::V6_6 => {}
            Magic::AltRequest => {
                self.closing = Closing::AfterOutput;
                return;
            }
            // An answer to a notification is read and ignored (FR-3).
            Magic::ServerResponse => return,
            Magic::Response | Magic::AltResponse | Magic::ServerRequest => {
                self.closing = Closing::AfterOutput;
                return;
            }
        }
        let opcode = frame.header.opcode;
        let Some(node) = state.nodes.get_mut(self.node.0) else { return };
        node.requests[usize::from(opcode.0)] += 1;
        let action = if node.rules.is_empty() { None } else { take(&mut node.rules, opcode) };
        match action {
            None => self.answer(state, frame),
            Some(action) => self.act(state, frame, action),
        }
    }

    /// Answers a request under a rule.
    fn act(&mut self, state: &mut State, frame: &Frame<'_>, action: Action) {
        let start = self.out.len();
        match &action {
            Action::Ignore => return,
            Action::Close => {
                self.closing = Closing::AfterOutput;
                return;
            }
            Action::Status(status) => return self.reply(frame, *status, 0, 0, &[], &[]),
            Action::StatusWithBody(status, datatype, body) => {
                return self.reply(frame, *status, 0, *datatype, &[], body);
            }
            Action::Raw(bytes) => return self.out.extend_from_slice(bytes),
            Action::Prepend(bytes) => self.out.extend_from_slice(bytes),
            _ => {}
        }
        self.answer(state, frame);
        match action {
            Action::DropAnswer => self.out.truncate(start),
            Action::CloseWithoutAnswer => {
                self.out.truncate(start);
                self.closing = Closing::AfterOutput;
            }
            Action::CloseAfterAnswer => self.closing = Closing::AfterOutput,
            Action::Append(bytes) => self.out.extend_from_slice(&bytes),
            Action::Twice => self.out.extend_from_within(start..),
            Action::Truncate(len) => self.out.truncate(start.saturating_add(len)),
            Action::Edit(edit) => {
                let answer = self.out.split_off(start);
                edit_answers(&edit, &answer, &mut self.out);
            }
            Action::Delay(delay) => {
                let answer = self.out.split_off(start);
                let at = state.clock.now() + delay;
                let reorderable = frame.header.opcode.attributes().reorderable;
                if !(reorderable && self.features.has(Features::UNORDERED_EXECUTION)) {
                    self.stalled = Some(at);
                }
                self.delayed += 1;
                self.last_due = self.last_due.max(Some(at));
                state.delayed.push((at, self.id, answer));
            }
            _ => {}
        }
    }

    /// Answers a request as a server does.
    fn answer(&mut self, state: &mut State, frame: &Frame<'_>) {
        let sasl =
            matches!(frame.header.opcode, Opcode::SASL_LIST_MECHS | Opcode::SASL_AUTH | Opcode::SASL_STEP);
        if !sasl && self.is_stale(state) {
            return self.fail(state, frame, Status::AUTH_STALE.into());
        }
        let result = match frame.header.opcode {
            Opcode::GET => self.get(state, frame),
            opcode if opcode.attributes().collection_key => self.document(state, frame),
            _ => self.control(state, frame),
        };
        if let Err(failure) = result {
            self.fail(state, frame, failure);
        }
    }

    /// Whether the token of the client has ended: then nothing but authentication is possible (AUTH-12).
    fn is_stale(&self, state: &State) -> bool {
        self.token
            .as_ref()
            .is_some_and(|token| state.users.token_user(token, state.clock.unix_secs()).is_none())
    }

    /// Writes an answer.
    fn reply(
        &mut self,
        frame: &Frame<'_>,
        status: Status,
        cas: u64,
        datatype: u8,
        extras: &[u8],
        value: &[u8],
    ) {
        self.reply_with_key(frame, status, cas, datatype, extras, &[], value);
    }

    #[allow(clippy::too_many_arguments, reason = "the sections of a frame")]
    fn reply_with_key(
        &mut self,
        frame: &Frame<'_>,
        status: Status,
        cas: u64,
        datatype: u8,
        extras: &[u8],
        key: &[u8],
        value: &[u8],
    ) {
        let mut duration = [0x02, 0, 0];
        let mut framing_extras: &[u8] = &[];
        if let Some(encoded) = self.duration {
            duration[1..].copy_from_slice(&encoded.to_be_bytes());
            framing_extras = &duration;
        }
        let answer = Encode {
            datatype,
            cas: Cas(cas),
            extras,
            key,
            ..Encode::response(frame.header.opcode, frame.header.opaque, status)
        };
        // Extras and keys are short by construction; a value that does not fit the length field cannot be stored.
        let _ = answer.with_framing_extras(framing_extras).emit(value, &mut self.out);
    }

    /// The JSON bit, if the connection may be shown it.
    fn json(&self) -> u8 {
        if self.features.has(Features::JSON) { JSON } else { 0 }
    }

    /// Writes a failure, folded into what a connection without XERROR can be told (ST-6).
    fn fail(&mut self, state: &mut State, frame: &Frame<'_>, failure: Failure) {
        let (status, body) = match failure {
            Failure::NotMyVbucket => return self.not_my_vbucket(state, frame),
            Failure::Status(status) => (status, None),
            Failure::Explained(status, context) => {
                (status, Some(serde_json::json!({"error": {"context": context}})))
            }
            Failure::Manifest(status, uid) => (
                status,
                Some(serde_json::json!({
                    "error": {"context": "unknown scope or collection"},
                    "manifest_uid": format!("{uid:x}"),
                })),
            ),
        };
        let Some(status) = self.fold(frame.header.opcode, status) else {
            self.closing = Closing::AfterOutput;
            return;
        };
        match body {
            None => self.reply(frame, status, 0, 0, &[], &[]),
            Some(body) => self.reply(frame, status, 0, self.json(), &[], body.to_string().as_bytes()),
        }
    }

    fn fold(&self, opcode: Opcode, status: Status) -> Option<Status> {
        if self.features.has(Features::XERROR) {
            return Some(status);
        }
        match status {
            Status::LOCKED if opcode == Opcode::GET_LOCKED => Some(Status::ETMPFAIL),
            Status::LOCKED | Status::CAS_VALUE_INVALID => Some(Status::KEY_EEXISTS),
            Status::NOT_LOCKED | Status::SYNC_WRITE_IN_PROGRESS => Some(Status::ETMPFAIL),
            Status::ECONFIG_ONLY => Some(Status::NOT_SUPPORTED),
            Status::UNKNOWN_COLLECTION | Status::UNKNOWN_SCOPE => {
                Some(if self.features.has(Features::COLLECTIONS) { status } else { Status::EINVAL })
            }
            // SELECT_BUCKET existed before XERROR and tells refusals by this code.
            Status::EACCESS if opcode == Opcode::SELECT_BUCKET => Some(status),
            Status::EACCESS
            | Status::NO_BUCKET
            | Status::AUTH_STALE
            | Status::DURABILITY_INVALID_LEVEL
            | Status::DURABILITY_IMPOSSIBLE
            | Status::SYNC_WRITE_AMBIGUOUS
            | Status::SYNC_WRITE_RECOMMIT_IN_PROGRESS => None,
            _ => Some(status),
        }
    }

    /// The answer 0x07: the map, or nothing where the connection is believed to have it (RE-3).
    fn not_my_vbucket(&mut self, state: &mut State, frame: &Frame<'_>) {
        let Some(rendered) = self.bucket.and_then(|bucket| state.bucket_config(bucket, self.node)) else {
            return self.reply(frame, Status::NOT_MY_VBUCKET, 0, 0, &[], &[]);
        };
        let version = (rendered.epoch, rendered.rev);
        if self.features.has(Features::DEDUPE_NOT_MY_VBUCKET) && self.delivered >= version {
            return self.reply(frame, Status::NOT_MY_VBUCKET, 0, 0, &[], &[]);
        }
        self.delivered = self.delivered.max(version);
        let (datatype, body) = self.config_body(rendered);
        self.reply(frame, Status::NOT_MY_VBUCKET, 0, datatype, &[], body);
    }

    /// A map in the form that this connection negotiated.
    fn config_body<'a>(&self, rendered: &'a Rendered) -> (u8, &'a [u8]) {
        if self.features.has(Features::SNAPPY_EVERYWHERE)
            && self.posture >= Posture::V7_6
            && !rendered.snappy.is_empty()
        {
            (self.json() | SNAPPY, &rendered.snappy)
        } else {
            (self.json(), &rendered.json)
        }
    }

    /// Tells the client of a newer map if it subscribed (`cluster-maps.md` 8.1). A bucket's map goes out once per
    /// version, the cluster's always.
    pub(crate) fn notify(&mut self, bucket: Option<&str>, rendered: &Rendered) {
        let brief = self.features.has(Features::CLUSTERMAP_CHANGE_NOTIFICATION_BRIEF);
        let full = self.features.has(Features::CLUSTERMAP_CHANGE_NOTIFICATION);
        let version = (rendered.epoch, rendered.rev);
        if !(brief || full) || self.closing != Closing::No || self.user.is_none() {
            return;
        }
        if bucket.is_some() {
            if self.delivered >= version {
                return;
            }
            self.delivered = version;
        }
        let mut extras = [0; 16];
        extras[..8].copy_from_slice(&rendered.epoch.to_be_bytes());
        extras[8..].copy_from_slice(&rendered.rev.to_be_bytes());
        // Servers that know no epoch send the low half of the revision alone (`cluster-maps.md` 8.1).
        let extras = if self.posture >= Posture::V7_2 { &extras[..] } else { &extras[12..] };
        let (datatype, body) = if brief { (0, &[][..]) } else { self.config_body(rendered) };
        let notification = Encode {
            magic: Magic::ServerRequest,
            datatype,
            extras,
            key: bucket.unwrap_or("").as_bytes(),
            ..Encode::request(Opcode(ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION.0), Opaque(0))
        };
        let _ = notification.emit(body, &mut self.out);
    }

    /// Takes the connection off its bucket.
    pub(crate) fn unbind(&mut self) {
        self.bucket = None;
        self.delivered = NOTHING_DELIVERED;
    }

    /// Fails requests of connections that may not make them.
    fn authenticated(&self) -> Result<(), Failure> {
        if self.user.is_some() {
            Ok(())
        } else {
            Err(Failure::Explained(Status::EACCESS, "authenticate first".to_owned()))
        }
    }

    fn selected(&self) -> Result<usize, Failure> {
        self.authenticated()?;
        self.bucket.ok_or(Failure::Status(Status::NO_BUCKET))
    }
}

const NOTHING_DELIVERED: (i64, i64) = (i64::MIN, i64::MIN);

/// Rewrites each frame of an answer.
fn edit_answers(edit: &Edit, mut answer: &[u8], out: &mut Vec<u8>) {
    while let Ok(Some((frame, used))) = Frame::parse(answer, u32::MAX) {
        answer = answer.get(used..).unwrap_or_default();
        let mut value = edit.value.clone().unwrap_or_else(|| frame.value.to_vec());
        value.extend_from_slice(&edit.value_suffix);
        let framing_extras = edit.framing_extras.as_deref().unwrap_or(frame.framing_extras);
        let magic = if framing_extras.is_empty() { Magic::Response } else { Magic::AltResponse };
        let edited = Encode {
            magic,
            opcode: edit.opcode.map_or(frame.header.opcode, Opcode),
            datatype: edit.datatype.unwrap_or(frame.header.datatype),
            vbucket_or_status: edit.status.unwrap_or(frame.header.vbucket_or_status),
            opaque: edit.opaque.map_or(frame.header.opaque, Opaque),
            cas: edit.cas.map_or(frame.header.cas, Cas),
            framing_extras,
            extras: edit.extras.as_deref().unwrap_or(frame.extras),
            key_prefix: &[],
            key: edit.key.as_deref().unwrap_or(frame.key),
        };
        let _ = edited.emit(&value, out);
    }
}

/// A duration in the form of frame info 0 (OP-31).
fn encode_duration(duration: std::time::Duration) -> u16 {
    let micros = duration.as_secs_f64() * 1e6;
    let encoded = (2.0 * micros.min(120_125_042.0)).powf(1.0 / 1.74).round();
    // Float to integer conversion saturates.
    encoded as u16
}

/// Fails a request whose sections are not the expected ones.
fn only(frame: &Frame<'_>, key: bool, value: bool) -> Result<(), Failure> {
    let wrong = !frame.extras.is_empty()
        || (!key && !frame.key.is_empty())
        || (!value && !frame.value.is_empty())
        || frame.header.datatype != 0;
    if wrong { Err(invalid("the operation takes no such section")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn op_31_server_duration() {
        for (micros, encoded) in [(0, 0), (27, 10), (1331, 93), (20_841, 452), (120_125_042, 65_535)] {
            assert_eq!(encode_duration(Duration::from_micros(micros)), encoded, "{micros} us");
        }
        assert_eq!(encode_duration(Duration::from_secs(100_000)), 65_535);
    }
}
