//! The messages of a streamed configuration (`BOOT-18`).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::HttpError;

/// How long a message may be by default, in bytes; the largest maps have a fraction of it.
pub const DEFAULT_MESSAGE_LIMIT: usize = 20 << 20;

/// Line feeds that end a message.
const SEPARATOR: u8 = 4;

/// Cuts the body of `/pools/default/bs/<bucket>` into messages, which four line feeds end. Carriage returns beside the line feeds,
/// and blanks and empty lines around a message, are dropped; empty messages, which keep a connection alive, as well.
#[derive(Debug)]
pub struct MessageSplitter {
    limit: usize,
    message: BytesMut,
    /// Line feeds in a row at the end of what came.
    feeds: u8,
    ready: VecDeque<Bytes>,
    failed: bool,
}

impl Default for MessageSplitter {
    fn default() -> Self {
        Self::new(DEFAULT_MESSAGE_LIMIT)
    }
}

impl MessageSplitter {
    /// A splitter for messages of at most `limit` bytes, line ends behind them included.
    pub fn new(limit: usize) -> Self {
        Self { limit, message: BytesMut::new(), feeds: 0, ready: VecDeque::new(), failed: false }
    }

    /// Takes a piece of the body, of any length.
    ///
    /// # Errors
    /// [`HttpError::MessageTooLong`] if a message exceeds the limit, ended or not; then for ever. Messages before it
    /// can still be had.
    pub fn push(&mut self, data: &[u8]) -> Result<(), HttpError> {
        let mut start = 0;
        for (at, byte) in data.iter().enumerate() {
            match byte {
                b'\n' => self.feeds += 1,
                b'\r' => {}
                _ => self.feeds = 0,
            }
            if self.feeds == SEPARATOR {
                self.append(&data[start..=at])?;
                start = at + 1;
                self.feeds = 0;
                self.end_message();
            }
        }
        self.append(&data[start..])
    }

    /// The next whole message.
    #[expect(clippy::should_implement_trait, reason = "it gives more after `None`, as iterators should not")]
    pub fn next(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Ends the last message where the body ends; a document that is asked for once ends so. To be had by
    /// [`next`](Self::next).
    pub fn finish(&mut self) {
        self.feeds = 0;
        if !self.failed {
            self.end_message();
        }
    }

    fn append(&mut self, data: &[u8]) -> Result<(), HttpError> {
        let data = if self.message.is_empty() { data.trim_ascii_start() } else { data };
        self.failed |= data.len() > self.limit.saturating_sub(self.message.len());
        if self.failed {
            self.message = BytesMut::new();
            return Err(HttpError::MessageTooLong { limit: self.limit });
        }
        self.message.extend_from_slice(data);
        Ok(())
    }

    fn end_message(&mut self) {
        let mut message = std::mem::take(&mut self.message);
        message.truncate(message.trim_ascii_end().len());
        if !message.is_empty() {
            self.ready.push_back(message.freeze());
        }
    }
}

#[cfg(test)]
mod tests;
