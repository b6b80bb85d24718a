//! A blocking client that is the codec and a socket, nothing else.

use crate::program::Memcached;
use settee::ids::{Cas, Opaque};
use settee::wire::{Decoder, Encode, Header, Opcode, Status};
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

/// More than memcached's largest answer.
pub(crate) const MAX_BODY: u32 = 2 * 1024 * 1024;

/// An answer, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) header: Header,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> Status {
        self.header.status()
    }

    pub(crate) fn cas(&self) -> Cas {
        self.header.cas
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: Decoder,
    answers: VecDeque<Answer>,
    opaque: u32,
    /// Most bytes of one read.
    slice: usize,
}

impl Client {
    pub(crate) fn connect(server: &Memcached) -> Self {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, decoder: Decoder::new(), answers: VecDeque::new(), opaque: 0xfeed_0000, slice: 65_536 }
    }

    /// The same, reading at most so many bytes at once.
    pub(crate) fn reading_by(mut self, slice: usize) -> Self {
        self.slice = slice;
        self
    }

    /// A request with an opaque that was not used before.
    pub(crate) fn request(&mut self, opcode: Opcode) -> Encode<'static> {
        self.opaque += 1;
        Encode::request(opcode, Opaque(self.opaque))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next answer, `None` when the server closed the connection between two frames.
    pub(crate) fn receive(&mut self) -> Option<Answer> {
        let mut buffer = vec![0; self.slice];
        while self.answers.is_empty() {
            let len = self.stream.read(&mut buffer).unwrap();
            if len == 0 {
                assert_eq!(self.decoder.end(), settee::wire::End::Clean);
                return None;
            }
            let answers = &mut self.answers;
            self.decoder
                .feed_checked(
                    &buffer[..len],
                    |header| header.check_from_server(false).map(|()| MAX_BODY),
                    |frame| {
                        answers.push_back(Answer {
                            header: frame.header,
                            extras: frame.extras.to_vec(),
                            key: frame.key.to_vec(),
                            value: frame.value.to_vec(),
                        });
                        ControlFlow::Continue(())
                    },
                )
                .unwrap();
        }
        self.answers.pop_front()
    }

    /// Sends one request and takes its answer, which must be to this opcode and opaque.
    pub(crate) fn ask(&mut self, request: Encode<'_>, value: &[u8]) -> Answer {
        let mut bytes = Vec::new();
        request.emit(value, &mut bytes).unwrap();
        self.send(&bytes);
        let answer = self.receive().expect("the server closed the connection");
        assert_eq!((answer.header.opcode, answer.header.opaque), (request.opcode, request.opaque));
        answer
    }

    /// Sends a request that has no more than key, extras and value.
    pub(crate) fn call(&mut self, opcode: Opcode, key: &[u8], extras: &[u8], value: &[u8]) -> Answer {
        let request = Encode { key, extras, ..self.request(opcode) };
        self.ask(request, value)
    }
}
