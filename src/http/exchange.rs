//! One request and its answer.
//!
//! ```text
//!  Head --(head)--> Body --(last byte, or end of stream)--> Done
//!   |  \______(no body: 204, 304, length 0)________________/
//!   +-----+-----> Failed, at the first fault, for ever
//! ```

use std::collections::VecDeque;
use std::{fmt, mem};

use bytes::Bytes;
use ureq_proto::http::{Response, header};
use zeroize::{Zeroize, Zeroizing};

use super::body::Body;
use super::head::Head;
use super::{HttpError, Part, Request};

/// What an answer brings, in this order: one `Head`, any number of `Body`, one `End`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpEvent {
    /// Status and headers; redirections are reported, never followed.
    Head {
        /// The status code.
        status: u16,
        /// The header `Server`.
        server: Option<String>,
        /// The header `Date`.
        date: Option<String>,
        /// The header `Content-Type`.
        content_type: Option<String>,
    },
    /// The next piece of the body, without any framing; never empty.
    Body(Bytes),
    /// The answer is complete.
    End,
}

/// One request and its answer on one connection.
pub struct Exchange {
    request: Zeroizing<Vec<u8>>,
    sent: usize,
    state: State,
    events: VecDeque<HttpEvent>,
    reusable: bool,
}

enum State {
    Head(Head),
    Body(Box<Body>),
    Done,
    Failed(HttpError),
}

impl Exchange {
    /// Begins an exchange; its request is ready to be written.
    pub fn new(request: &Request) -> Self {
        Self {
            request: request.head(),
            sent: 0,
            state: State::Head(Head::default()),
            events: VecDeque::new(),
            reusable: false,
        }
    }

    /// The bytes of the request that have not been written.
    pub fn output(&self) -> &[u8] {
        &self.request[self.sent..]
    }

    /// `len` more bytes of [`output`](Self::output) were written; they are wiped.
    pub fn consume(&mut self, len: usize) {
        let end = self.sent.saturating_add(len).min(self.request.len());
        self.request[self.sent..end].zeroize();
        self.sent = end;
    }

    /// Takes bytes of the peer, cut anywhere; poll events afterwards, also after an error. What comes behind a complete
    /// answer is dropped, and the connection is of no further use.
    ///
    /// # Errors
    /// What is wrong with the answer; the same from then on. Data of the very chunk that is faulty may be missing.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), HttpError> {
        self.advance(data).inspect_err(|error| self.state = State::Failed(error.clone()))
    }

    /// The peer sends nothing more. This ends a body without a length.
    ///
    /// # Errors
    /// [`HttpError::Closed`] if the answer is incomplete, or the error that came before.
    pub fn closed(&mut self) -> Result<(), HttpError> {
        self.reusable = false;
        let error = match &self.state {
            State::Done => return Ok(()),
            State::Body(body) if body.may_end() => {
                self.state = State::Done;
                self.events.push_back(HttpEvent::End);
                return Ok(());
            }
            State::Head(head) if head.total == 0 => HttpError::Closed(Part::Nothing),
            State::Head(_) => HttpError::Closed(Part::Head),
            State::Body(_) => HttpError::Closed(Part::Body),
            State::Failed(error) => error.clone(),
        };
        self.state = State::Failed(error.clone());
        Err(error)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<HttpEvent> {
        self.events.pop_front()
    }

    /// Whether the answer is complete; [`HttpEvent::End`] was or can be polled.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether another exchange may use the connection (keep-alive): request and answer are complete, nothing came
    /// behind, and the peer did not announce that it closes.
    pub fn may_be_reused(&self) -> bool {
        self.is_done() && self.reusable && self.output().is_empty()
    }

    /// Whether the first `len` bytes of the request are gone.
    #[cfg(test)]
    pub(super) fn is_wiped(&self, len: usize) -> bool {
        self.request[..len].iter().all(|byte| *byte == 0)
    }

    fn advance(&mut self, mut data: &[u8]) -> Result<(), HttpError> {
        loop {
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Done => {
                    self.reusable &= data.is_empty();
                    return Ok(());
                }
                State::Head(head) => {
                    let Some(answer) = head.receive(&mut data)? else { return Ok(()) };
                    self.events.push_back(event(&answer.response));
                    match answer.body {
                        Some(body) => self.state = State::Body(Box::new(body)),
                        None => self.end(answer.keep_alive),
                    }
                }
                State::Body(body) => {
                    if !body.receive(&mut data, &mut self.events)? {
                        return Ok(());
                    }
                    if let State::Body(body) = mem::replace(&mut self.state, State::Done) {
                        self.end(body.keep_alive());
                    }
                }
            }
        }
    }

    fn end(&mut self, keep_alive: bool) {
        self.state = State::Done;
        self.reusable = keep_alive;
        self.events.push_back(HttpEvent::End);
    }
}

/// Without the request, which may hold credentials.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsent = self.output().len();
        f.debug_struct("Exchange")
            .field("unsent", &unsent)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

fn event(response: &Response<()>) -> HttpEvent {
    let text = |name| {
        let value: Option<&header::HeaderValue> = response.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    HttpEvent::Head {
        status: response.status().as_u16(),
        server: text(header::SERVER),
        date: text(header::DATE),
        content_type: text(header::CONTENT_TYPE),
    }
}
