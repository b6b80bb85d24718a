//! A stream of answers, taken apart just far enough to count them.

use std::io::{self, Read as _};
use std::net::TcpStream;

use settee::wire::HEADER_LEN;

/// Much at once spares system calls.
pub(super) const READ_BUFFER: usize = 256 * 1024;

/// Reads answers and forgets their bodies.
#[derive(Debug)]
pub(super) struct Answers {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of a body that are still to come.
    skip: usize,
}

impl Answers {
    pub(super) fn new(size: usize) -> Self {
        Self { buffer: vec![0; size], start: 0, end: 0, skip: 0 }
    }

    /// Reads once, shows `look` each header that is complete, and returns the number of answers that are.
    pub(super) fn read(
        &mut self,
        stream: &mut TcpStream,
        mut look: impl FnMut(&[u8; HEADER_LEN]),
    ) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        match stream.read(free)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => self.end += count,
        }
        let mut complete = 0;
        if self.skip > 0 {
            let skipped = self.skip.min(self.end);
            (self.start, self.skip) = (skipped, self.skip - skipped);
            complete += usize::from(self.skip == 0);
        }
        while self.skip == 0 {
            let received = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Some((head, rest)) = received.split_first_chunk::<HEADER_LEN>() else { break };
            look(head);
            let [_, _, _, _, _, _, _, _, l0, l1, l2, l3, ..] = *head;
            let body = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
            let there = body.min(rest.len());
            self.start += HEADER_LEN + there;
            self.skip = body - there;
            complete += usize::from(self.skip == 0);
        }
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settee::ids::Opaque;
    use settee::wire::{Encode, Opcode, Status};
    use std::io::Write as _;
    use std::net::TcpListener;

    #[test]
    fn answers_are_counted_in_any_slicing() {
        let mut bytes = Vec::new();
        for opaque in 0..5 {
            let answer = Encode::response(Opcode::GET, Opaque(opaque), Status::SUCCESS);
            answer.emit(&vec![b'x'; opaque as usize * 10], &mut bytes).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for size in [1, 7, 24, 25, bytes.len()] {
            let mut stream = TcpStream::connect(address).unwrap();
            let (mut peer, _) = listener.accept().unwrap();
            peer.set_nodelay(true).unwrap();
            let mut answers = Answers::new(64);
            let (mut complete, mut opaques) = (0, Vec::new());
            let mut chunks = bytes.chunks(size);
            while complete < 5 {
                if let Some(chunk) = chunks.next() {
                    peer.write_all(chunk).unwrap();
                }
                complete += answers.read(&mut stream, |head| opaques.push(head[15])).unwrap();
            }
            assert_eq!((complete, opaques), (5, vec![0, 1, 2, 3, 4]), "chunks of {size}");
        }
    }
}
