//! Bytes on their way to the socket: lent, then consumed as far as they were written.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use zeroize::Zeroize as _;

/// From this size on a value is lent to the socket as it is; a smaller one is gathered with its neighbours, which
/// costs a copy and saves an entry of the vectored write.
pub(crate) const LEND_FROM: usize = 8 * 1024;

/// More than what one request can add to the gathered bytes.
const ONE_REQUEST: usize = LEND_FROM + 1024;

/// How much memory an empty buffer holds on to.
const RETAIN: usize = 1024 * 1024;

/// The send buffer of one connection.
///
/// Small frames gather in one buffer. A lent value stands between two stretches of it; positions count bytes of the
/// stream since it began.
#[derive(Default)]
pub(crate) struct SendBuffer {
    /// Gathered bytes; those before `head` are written.
    gathered: Vec<u8>,
    head: usize,
    /// Lent values, each with the index in `gathered` before which it stands; ascending.
    lent: VecDeque<Lent>,
    /// Bytes waiting, lent ones included.
    pending: usize,
    /// Bytes written since the stream began.
    written: u64,
    /// Credentials are among what is gathered: it is wiped once all of it is written (AUTH-9).
    secret: bool,
}

#[derive(Debug)]
struct Lent {
    before: usize,
    value: Bytes,
}

impl SendBuffer {
    /// Bytes waiting to be written.
    pub(crate) const fn pending(&self) -> usize {
        self.pending
    }

    /// Bytes written since the stream began.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The stream position behind everything that waits.
    pub(crate) const fn end(&self) -> u64 {
        self.written.saturating_add(self.pending as u64)
    }

    /// What is appended from here on may hold credentials, until everything is written.
    pub(crate) const fn begin_secret(&mut self) {
        self.secret = true;
    }

    /// Lets `encode` append to the gathered bytes.
    pub(crate) fn gather<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let before = self.gathered.len();
        if self.secret && self.gathered.capacity() - before < ONE_REQUEST {
            // A vector that grows by itself leaves a copy behind.
            let mut larger = Vec::with_capacity((before + ONE_REQUEST) * 2);
            larger.extend_from_slice(&self.gathered);
            std::mem::replace(&mut self.gathered, larger).zeroize();
        }
        let result = encode(&mut self.gathered);
        if result.is_err() {
            self.gathered.truncate(before);
        }
        self.pending += self.gathered.len() - before;
        result
    }

    /// Appends a value without copying it.
    pub(crate) fn lend(&mut self, value: Bytes) {
        if value.is_empty() {
            return;
        }
        self.pending += value.len();
        self.lent.push_back(Lent { before: self.gathered.len(), value });
    }

    /// The waiting bytes in order, none of the slices empty.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.head;
        let mut lent = self.lent.iter();
        let mut next = lent.next();
        std::iter::from_fn(move || {
            match next {
                // Everything gathered before the lent value is out: its turn.
                Some(value) if value.before == from => {
                    next = lent.next();
                    Some(&value.value[..])
                }
                Some(value) => {
                    let slice = &self.gathered[from..value.before];
                    from = value.before;
                    Some(slice)
                }
                None if from < self.gathered.len() => {
                    let slice = &self.gathered[from..];
                    from = self.gathered.len();
                    Some(slice)
                }
                None => None,
            }
        })
    }

    /// Takes `len` bytes off the front; more than there are counts as all.
    pub(crate) fn consume(&mut self, len: usize) {
        let mut rest = len.min(self.pending);
        self.written = self.written.saturating_add(rest as u64);
        self.pending -= rest;
        while rest > 0 {
            let gathered_until = self.lent.front().map_or(self.gathered.len(), |lent| lent.before);
            let gathered = (gathered_until - self.head).min(rest);
            self.head += gathered;
            rest -= gathered;
            let Some(front) = self.lent.front_mut().filter(|_| rest > 0) else { continue };
            if front.value.len() <= rest {
                rest -= front.value.len();
                self.lent.pop_front();
            } else {
                bytes::Buf::advance(&mut front.value, rest);
                rest = 0;
            }
        }
        if self.pending == 0 {
            self.head = 0;
            if std::mem::take(&mut self.secret) {
                self.gathered.zeroize();
                self.gathered = Vec::new();
            }
            self.gathered.clear();
            self.gathered.shrink_to(RETAIN);
        } else if self.head >= RETAIN && self.head * 2 >= self.gathered.len() {
            self.gathered.drain(..self.head);
            for lent in &mut self.lent {
                lent.before -= self.head;
            }
            self.head = 0;
        }
    }
}

impl Drop for SendBuffer {
    fn drop(&mut self) {
        if self.secret {
            self.gathered.zeroize();
        }
    }
}

/// Without the bytes: they may hold credentials.
impl fmt::Debug for SendBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBuffer")
            .field("pending", &self.pending)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(buffer: &SendBuffer) -> Vec<u8> {
        buffer.slices().inspect(|slice| assert!(!slice.is_empty())).flatten().copied().collect()
    }

    fn gather(buffer: &mut SendBuffer, bytes: &[u8]) {
        let encoded: Result<(), ()> = buffer.gather(|out| {
            out.extend_from_slice(bytes);
            Ok(())
        });
        assert_eq!(encoded, Ok(()));
    }

    #[test]
    fn a_large_value_is_lent_as_its_own_slice() {
        let mut buffer = SendBuffer::default();
        gather(&mut buffer, b"head");
        let value = Bytes::from(vec![7; 20_000]);
        buffer.lend(value.clone());
        gather(&mut buffer, b"tail");
        let slices: Vec<&[u8]> = buffer.slices().collect();
        assert_eq!(slices.len(), 3);
        assert_eq!(slices[1].as_ptr(), value.as_ptr(), "not a copy");
    }

    #[test]
    fn a_failed_encoding_leaves_nothing_behind() {
        let mut buffer = SendBuffer::default();
        let result = buffer.gather(|out| {
            out.extend_from_slice(b"half a frame");
            Err("no")
        });
        assert_eq!((result, buffer.pending(), flat(&buffer)), (Err("no"), 0, Vec::new()));
    }

    #[test]
    fn auth_9_memory_that_held_credentials_is_given_back_wiped_once_they_are_written() {
        let mut buffer = SendBuffer::default();
        gather(&mut buffer, b"hello");
        buffer.begin_secret();
        gather(&mut buffer, b"password");
        gather(&mut buffer, b"more");
        assert_eq!(flat(&buffer), b"hellopasswordmore");
        assert!(!format!("{buffer:?}").contains("112, 97, 115"), "{buffer:?}");
        buffer.consume(16);
        assert!(buffer.secret, "some of it waits");
        buffer.consume(1);
        assert!(!buffer.secret && buffer.gathered.capacity() == 0);
        gather(&mut buffer, b"next");
        assert_eq!(flat(&buffer), b"next");
    }

    proptest! {
        #[test]
        fn any_mix_of_gathering_lending_and_partial_writes_keeps_the_order(
            steps in prop::collection::vec((0u8..3, 0usize..40), 1..60)
        ) {
            let (mut buffer, mut expected, mut byte) = (SendBuffer::default(), Vec::new(), 0u8);
            let mut written = 0u64;
            for (what, len) in steps {
                let chunk: Vec<u8> = (0..len).map(|_| { byte = byte.wrapping_add(1); byte }).collect();
                match what {
                    0 => {
                        expected.extend_from_slice(&chunk);
                        gather(&mut buffer, &chunk);
                    }
                    1 => {
                        expected.extend_from_slice(&chunk);
                        buffer.lend(Bytes::from(chunk));
                    }
                    _ => {
                        let taken = len.min(expected.len());
                        expected.drain(..taken);
                        written += taken as u64;
                        buffer.consume(len);
                    }
                }
                prop_assert_eq!(flat(&buffer), expected.clone());
                prop_assert_eq!(buffer.pending(), expected.len());
                prop_assert_eq!(buffer.written(), written);
                prop_assert_eq!(buffer.end(), written + expected.len() as u64);
            }
        }
    }
}
