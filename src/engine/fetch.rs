//! HTTP on a link: one request, and what its answer is for (`connecting.md` 4.6).

use bytes::{Bytes, BytesMut};

use crate::http::{Exchange, HttpError, HttpEvent, MessageSplitter};

/// The most that an answer which is not a stream may have.
const BODY_MAX: usize = 20 * 1024 * 1024;

/// What an HTTP link asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) path: String,
    pub(super) want: Want,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Cluster maps, one after the other, without end.
    Stream,
    /// One cluster map.
    Map,
    /// An answer for whoever has this number.
    Answer(u64),
    /// The same without its body, which nobody reads: there may be many at a time.
    Status(u64),
}

impl Want {
    /// The number of whoever asked.
    pub(super) const fn asker(self) -> Option<u64> {
        match self {
            Self::Answer(number) | Self::Status(number) => Some(number),
            Self::Stream | Self::Map => None,
        }
    }
}

/// One exchange under way.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) exchange: Exchange,
    want: Want,
    status: Option<u16>,
    splitter: MessageSplitter,
    body: BytesMut,
}

/// What came of it so far.
#[derive(Debug)]
pub(super) enum FetchEvent {
    /// A whole map of a stream.
    Map(Bytes),
    /// The end of an answer that is no stream, or of one that was refused.
    Done { status: u16, body: Bytes },
    /// The stream ended.
    Over,
}

impl Fetch {
    pub(super) fn new(exchange: Exchange, want: Want) -> Self {
        let splitter = MessageSplitter::new(BODY_MAX);
        Self { exchange, want, status: None, splitter, body: BytesMut::new() }
    }

    /// Whether the answer's head came.
    pub(super) const fn is_answered(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn receive(&mut self, data: &[u8]) -> Result<(), HttpError> {
        self.exchange.receive(data)
    }

    pub(super) fn closed(&mut self) -> Result<(), HttpError> {
        self.exchange.closed()
    }

    pub(super) fn poll(&mut self) -> Result<Option<FetchEvent>, HttpError> {
        let streams = |status: Option<u16>, want| status == Some(200) && want == Want::Stream;
        loop {
            if let Some(map) = self.splitter.next() {
                return Ok(Some(FetchEvent::Map(map)));
            }
            match self.exchange.poll_event() {
                None => return Ok(None),
                Some(HttpEvent::Head { status, .. }) => self.status = Some(status),
                Some(HttpEvent::Body(bytes)) if streams(self.status, self.want) => {
                    self.splitter.push(&bytes)?
                }
                Some(HttpEvent::Body(_)) if matches!(self.want, Want::Status(_)) => {}
                Some(HttpEvent::Body(bytes)) => {
                    if self.body.len() + bytes.len() > BODY_MAX {
                        return Err(HttpError::MessageTooLong { limit: BODY_MAX });
                    }
                    self.body.extend_from_slice(&bytes);
                }
                Some(HttpEvent::End) if streams(self.status, self.want) => return Ok(Some(FetchEvent::Over)),
                Some(HttpEvent::End) => {
                    let status = self.status.unwrap_or_default();
                    return Ok(Some(FetchEvent::Done { status, body: self.body.split().freeze() }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Method, Request};

    #[test]
    fn the_body_of_a_pings_answer_is_not_kept() {
        for (want, kept) in [(Want::Status(1), 0), (Want::Answer(1), 1 << 20)] {
            let request = Request {
                method: Method::Get,
                host: "h".into(),
                port: 8093,
                path: "/admin/ping".into(),
                authorization: None,
                user_agent: "a".into(),
            };
            let mut fetch = Fetch::new(Exchange::new(&request), want);
            fetch.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n").expect("a head");
            let mut done = None;
            for _ in 0..16 {
                fetch.receive(&[b'x'; 1 << 16]).expect("a part of the body");
                done = fetch.poll().expect("all is well");
                assert!(fetch.body.len() <= kept);
            }
            let Some(FetchEvent::Done { status: 200, body }) = done else { panic!("{done:?}") };
            assert_eq!(body.len(), kept);
        }
    }
}
