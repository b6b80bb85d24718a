//! The bodies of answers: chunked, of a known length, or until the peer closes.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use ureq_proto::BodyMode;
use ureq_proto::client::state::RecvBody;
use ureq_proto::client::{Call, RecvBodyResult};

use super::{HttpError, HttpEvent, MAX_HEAD};

/// `ureq-proto` refuses longer size lines, once it has seen their end.
const MAX_SIZE_LINE: usize = 20;
/// Bytes of a body that are gathered into one event.
const PIECE: usize = 16 * 1024;

/// The body that is being received.
pub(super) struct Body {
    call: Call<RecvBody>,
    until_close: bool,
    /// The beginning of a line of chunked framing.
    pending: Vec<u8>,
    /// Bytes of lines since the last chunk ended, or since data.
    idle: usize,
    scratch: Box<[u8]>,
    filled: usize,
}

impl Body {
    pub(super) fn new(mut call: Call<RecvBody>) -> Self {
        // Without these stops `idle` would depend on how the stream is cut.
        call.stop_on_chunk_boundary(true);
        let until_close = matches!(call.body_mode(), BodyMode::CloseDelimited);
        Self { call, until_close, pending: Vec::new(), idle: 0, scratch: vec![0; PIECE].into(), filled: 0 }
    }

    /// Takes the bytes of the body off `data`; tells whether it is complete.
    pub(super) fn receive(
        &mut self,
        data: &mut &[u8],
        events: &mut VecDeque<HttpEvent>,
    ) -> Result<bool, HttpError> {
        let result = self.read(data, events);
        self.flush(events);
        result
    }

    fn read(&mut self, data: &mut &[u8], events: &mut VecDeque<HttpEvent>) -> Result<bool, HttpError> {
        while !data.is_empty() {
            if self.pending.is_empty() {
                let used = self.decode(data)?;
                *data = &data[used..];
                if self.filled == self.scratch.len() {
                    self.flush(events);
                } else if used == 0 {
                    self.check_line(data.len(), lone_return(data))?;
                    self.pending.extend_from_slice(data);
                    *data = &[];
                }
            } else {
                self.complete_line(data)?;
            }
            if !self.until_close && self.call.can_proceed() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds to the pending line until it is whole, and decodes it.
    fn complete_line(&mut self, data: &mut &[u8]) -> Result<(), HttpError> {
        while let Some((&byte, rest)) = data.split_first() {
            *data = rest;
            let lone = self.pending.ends_with(b"\r") && byte != b'\n';
            self.pending.push(byte);
            if self.pending.ends_with(b"\r\n") {
                let line = mem::take(&mut self.pending);
                let used = self.decode(&line)?;
                return if used == line.len() { Ok(()) } else { Err(HttpError::Chunk) };
            }
            let len = self.pending.len();
            self.check_line(len, lone.then_some(len))?;
        }
        Ok(())
    }

    /// Decodes what it can; gives the number of bytes used.
    fn decode(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        let room = &mut self.scratch[self.filled..];
        let (used, written) = self.call.read(input, room).map_err(|_| HttpError::Chunk)?;
        self.filled += written;
        let anew = written > 0 || used > 0 && self.call.is_on_chunk_boundary();
        self.idle = if anew { 0 } else { self.idle + used };
        self.check_line(0, None)?;
        Ok(used)
    }

    /// Checks an unfinished line of `len` bytes; `lone`: how many of them it takes to see that a carriage return has no
    /// line feed, behind which `ureq-proto` would wait for ever.
    fn check_line(&self, len: usize, lone: Option<usize>) -> Result<(), HttpError> {
        if self.call.is_ended_chunked() {
            if self.idle + lone.unwrap_or(len) > MAX_HEAD {
                return Err(HttpError::TrailerTooLong);
            }
        } else if len > MAX_SIZE_LINE + 1 {
            return Err(HttpError::Chunk);
        }
        if lone.is_some() { Err(HttpError::Chunk) } else { Ok(()) }
    }

    fn flush(&mut self, events: &mut VecDeque<HttpEvent>) {
        if self.filled > 0 {
            events.push_back(HttpEvent::Body(Bytes::copy_from_slice(&self.scratch[..self.filled])));
            self.filled = 0;
        }
    }

    /// Whether the end of the stream may be the end of the body. A trailer may be missing: the body is whole without.
    pub(super) fn may_end(&self) -> bool {
        self.until_close || self.call.is_ended_chunked()
    }

    /// Whether the connection is of use after the body.
    pub(super) fn keep_alive(self) -> bool {
        match self.call.proceed() {
            Some(RecvBodyResult::Redirect(call)) => !call.must_close_connection(),
            Some(RecvBodyResult::Cleanup(call)) => !call.must_close_connection(),
            None => false,
        }
    }
}

/// The length of the line up to the byte behind its first carriage return, if that is no line feed.
fn lone_return(line: &[u8]) -> Option<usize> {
    let at = line.iter().position(|byte| *byte == b'\r')?;
    line.get(at + 1).filter(|byte| **byte != b'\n').map(|_| at + 2)
}
