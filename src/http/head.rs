//! The heads of answers.

use std::mem;

use ureq_proto::client::state::RecvResponse;
use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};
use ureq_proto::http::Response;
use ureq_proto::parser::try_parse_response;

use super::body::Body;
use super::{HttpError, Speaks};

/// How long the head of an answer may be, together with interim (1xx) ones before it, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// How many headers an answer may have.
pub const MAX_HEADERS: usize = 100;

/// How every answer begins.
const OPENING: &[u8] = b"HTTP/1.";

/// The head that is being received. It is parsed once its empty line has come, so that slow delivery costs nothing.
#[derive(Default)]
pub(super) struct Head {
    buffer: Vec<u8>,
    /// Bytes of this head and of the interim ones before it.
    pub(super) total: usize,
    lines: usize,
    /// Bytes of the line under way.
    line: usize,
}

/// A head, and what follows it.
pub(super) struct Answer {
    pub(super) response: Response<()>,
    pub(super) body: Option<Body>,
    pub(super) keep_alive: bool,
}

impl Head {
    /// Takes the bytes of the head off `data`.
    pub(super) fn receive(&mut self, data: &mut &[u8]) -> Result<Option<Answer>, HttpError> {
        while let Some((&byte, rest)) = data.split_first() {
            *data = rest;
            if self.take(byte)? {
                if let Some(answer) = self.parse()? {
                    return Ok(Some(answer));
                }
                *self = Self { total: self.total, ..Self::default() };
            }
        }
        Ok(None)
    }

    /// Takes a byte; tells whether it ends the head.
    fn take(&mut self, byte: u8) -> Result<bool, HttpError> {
        if OPENING.get(self.buffer.len()).is_some_and(|expected| *expected != byte) {
            let first = *self.buffer.first().unwrap_or(&byte);
            return Err(HttpError::NotHttp(Speaks::guess(first)));
        }
        if self.total == MAX_HEAD {
            return Err(HttpError::HeadTooLong);
        }
        self.total += 1;
        self.buffer.push(byte);
        if byte != b'\n' {
            self.line += usize::from(byte != b'\r');
            return Ok(false);
        }
        if mem::take(&mut self.line) == 0 {
            return Ok(true);
        }
        self.lines += 1;
        // The first line is the status.
        if self.lines > 1 + MAX_HEADERS { Err(HttpError::TooManyHeaders) } else { Ok(false) }
    }

    /// Reads the whole head; `None` for an interim one.
    fn parse(&self) -> Result<Option<Answer>, HttpError> {
        // `ureq-proto` refuses headers in a `100 Continue`, which HTTP allows.
        if self.buffer.get(9..12) == Some(b"100") {
            return match try_parse_response::<{ MAX_HEADERS + 1 }>(&self.buffer) {
                Ok(Some((used, _))) if used == self.buffer.len() => Ok(None),
                Ok(_) => Err(HttpError::Head("its end is not where its empty line is")),
                Err(error) => Err(refusal(&error)),
            };
        }
        let mut call = waiting_call()?;
        let (used, response) = call.try_response(&self.buffer, false).map_err(|error| refusal(&error))?;
        if used != self.buffer.len() {
            return Err(HttpError::Head("its end is not where its empty line is"));
        }
        let Some(response) = response else { return Ok(None) };
        let (body, keep_alive) = match call.proceed() {
            Some(RecvResponseResult::RecvBody(call)) => (Some(Body::new(call)), false),
            Some(RecvResponseResult::Redirect(call)) => (None, !call.must_close_connection()),
            Some(RecvResponseResult::Cleanup(call)) => (None, !call.must_close_connection()),
            None => return Err(HttpError::Head("it does not say what follows")),
        };
        Ok(Some(Answer { response, body, keep_alive }))
    }
}

/// A call that waits for the answer to some GET. The request itself is written by [`Request`], so that credentials are
/// in no memory that is not wiped.
fn waiting_call() -> Result<Call<RecvResponse>, HttpError> {
    let unsent = HttpError::Head("no request is under way");
    let call = Call::new(ureq_proto::http::Request::new(())).map_err(|_| unsent.clone())?;
    let mut call = call.proceed();
    call.write(&mut [0; 64]).map_err(|_| unsent.clone())?;
    match call.proceed() {
        Ok(Some(SendRequestResult::RecvResponse(call))) => Ok(call),
        _ => Err(unsent),
    }
}

fn refusal(error: &ureq_proto::Error) -> HttpError {
    use ureq_proto::Error;
    HttpError::Head(match error {
        Error::UnsupportedVersion => "the version is unknown",
        Error::TooManyContentLengthHeaders => "it has more than one length",
        Error::BadContentLengthHeader => "the length is not a number",
        Error::HttpParseTooManyHeaders => return HttpError::TooManyHeaders,
        _ => "a line is not as HTTP has it",
    })
}
