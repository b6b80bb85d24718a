//! What becomes of the frames that come.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::inflight::Taken;
use super::{Answer, ConnEvent, ConnFailure, Extras, Notification, Phase, State, Step, Tag};
use crate::wire::{
    DecodeError, Feature, Frame, Header, InboundLimits, Magic, ResponseFrameInfos, ServerOpcode, Status,
    Stop, datatype,
};

impl<T: Copy> State<T> {
    /// Judges a header before its body is awaited: the most bytes that the body may have.
    pub(super) fn check(&mut self, header: &Header) -> Result<u32, DecodeError> {
        header.check_from_server(self.features.contains(Feature::DUPLEX))?;
        let limits = InboundLimits::default();
        let asked =
            if header.magic == Magic::ServerRequest { None } else { self.inflight.opcode(header.opaque) };
        let max = match asked {
            Some(opcode) if opcode != header.opcode => {
                self.culprit = Some(header.opaque);
                return Err(DecodeError::OpcodeMismatch { expected: opcode, found: header.opcode });
            }
            Some(opcode) => limits.for_answer(opcode, 1),
            None => limits.document,
        };
        if header.body_len > max {
            self.culprit = Some(header.opaque);
            return Err(DecodeError::TooLarge { body: header.body_len, max, opcode: header.opcode });
        }
        Ok(max)
    }

    pub(super) fn on_frame(&mut self, frame: Frame<'_>) -> ControlFlow<Stop> {
        if self.phase == Phase::Closed {
            return ControlFlow::Continue(());
        }
        self.heard = true;
        if frame.header.magic == Magic::ServerRequest {
            self.on_server_request(&frame);
            return ControlFlow::Continue(());
        }
        let header = frame.header;
        let infos = if frame.framing_extras.is_empty() {
            ResponseFrameInfos::default()
        } else {
            match ResponseFrameInfos::parse(frame.framing_extras) {
                Ok(infos) => infos,
                Err(error) => {
                    self.culprit = Some(header.opaque);
                    return ControlFlow::Break(Stop::Fatal(error));
                }
            }
        };
        match self.inflight.take(header.opaque, header.opcode) {
            Taken::Live(Tag::Owner(tag)) => {
                let (value, malformed) = match value_of(&frame) {
                    Ok(value) => (value, None),
                    Err(error) => (Bytes::new(), Some(Box::new(error))),
                };
                self.events.push_back(ConnEvent::Answer(Answer {
                    tag,
                    opcode: header.opcode,
                    status: header.status(),
                    datatype: header.datatype & !datatype::SNAPPY,
                    cas: header.cas,
                    opaque: header.opaque,
                    extras: Extras::new(frame.extras),
                    value,
                    malformed,
                    server_duration: infos.server_duration,
                }));
            }
            Taken::Live(Tag::Step(step)) => self.on_step(step, &frame),
            Taken::Live(Tag::Probe) => {
                self.probes = self.probes.saturating_sub(1);
                if header.status() == Status::AUTH_STALE {
                    self.events.push_back(ConnEvent::Stale);
                }
            }
            Taken::Live(Tag::Renewal) => self.on_renewal(header.status()),
            Taken::GivenUp => self.orphan(&header, true),
            // `check` has refused a mismatch on the header already.
            Taken::Unknown | Taken::Mismatch(_) => self.orphan(&header, false),
        }
        ControlFlow::Continue(())
    }

    fn orphan(&mut self, header: &Header, given_up: bool) {
        self.events.push_back(ConnEvent::Orphan { opaque: header.opaque, opcode: header.opcode, given_up });
    }

    fn on_renewal(&mut self, status: Status) {
        self.renewals = self.renewals.saturating_sub(1);
        if self.renewals == 0 {
            self.renewed_at = None;
        }
        let judged = if status == Status::SUCCESS {
            Ok(())
        } else {
            self.phase = Phase::Closed;
            Err(ConnFailure::renewal(status))
        };
        self.events.push_back(ConnEvent::Renewed(judged));
    }

    fn on_step(&mut self, step: Step, frame: &Frame<'_>) {
        let value = match value_of(frame) {
            Ok(value) => value,
            // A step that cannot be read is as good as refused; the steps decide what that means.
            Err(_) => Bytes::new(),
        };
        let status = frame.header.status();
        let result = self.handshake.on_answer(step, status, frame.header.datatype, value, &mut self.events);
        match result {
            Err(failure) => self.fail(failure),
            Ok(()) => {
                self.features = self.handshake.features();
                if self.handshake.is_done() {
                    self.handshake.finish();
                    self.phase = Phase::Ready;
                    self.events.push_back(ConnEvent::Ready { bound: self.handshake.is_bound() });
                }
            }
        }
    }

    fn on_server_request(&mut self, frame: &Frame<'_>) {
        if ServerOpcode(frame.header.opcode.0) != ServerOpcode::CLUSTERMAP_CHANGE_NOTIFICATION {
            return;
        }
        // A notification of another form is ignored, the connection stays usable.
        let (epoch, rev) = match *frame.extras {
            [e0, e1, e2, e3, e4, e5, e6, e7, r0, r1, r2, r3, r4, r5, r6, r7] => (
                Some(i64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7])),
                i64::from_be_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
            ),
            [r0, r1, r2, r3] => (None, i64::from(u32::from_be_bytes([r0, r1, r2, r3]))),
            _ => return,
        };
        let Ok(value) = value_of(frame) else { return };
        let bucket = Bytes::copy_from_slice(frame.key);
        self.events.push_back(ConnEvent::Notification(Notification { bucket, epoch, rev, value }));
    }

    pub(super) fn fail(&mut self, failure: ConnFailure) {
        self.phase = Phase::Closed;
        self.events.push_back(ConnEvent::Failed(failure));
    }
}

/// A frame's value, decompressed, in memory of its own (FR-11).
fn value_of(frame: &Frame<'_>) -> Result<Bytes, DecodeError> {
    let bits = frame.header.datatype;
    if bits > datatype::JSON {
        datatype::check(bits)?;
        if bits & datatype::XATTR != 0 {
            return Err(DecodeError::Malformed {
                what: "datatype",
                detail: format!(
                    "0x{bits:02x} announces extended attributes, which {} cannot carry",
                    frame.header.opcode
                ),
            });
        }
        if bits & datatype::SNAPPY != 0 {
            return datatype::inflate(frame.value, datatype::MAX_INFLATED).map(Bytes::from);
        }
    }
    Ok(Bytes::copy_from_slice(frame.value))
}
