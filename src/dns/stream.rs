//! The TCP side: messages behind their length in two bytes (RFC 1035 4.2.2).

/// A TCP connection to a name server.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) server: usize,
    pub(super) connected: bool,
    /// The id of the question, once it is sent.
    pub(super) id: u16,
    pub(super) frames: FrameBuffer,
}

impl Stream {
    pub(super) fn new(server: usize) -> Self {
        Self { server, connected: false, id: 0, frames: FrameBuffer::default() }
    }

    /// The message behind its length; `None` where it is too long for one.
    pub(super) fn frame(message: &[u8]) -> Option<Vec<u8>> {
        let length = u16::try_from(message.len()).ok()?;
        Some([&length.to_be_bytes(), message].concat())
    }
}

/// What has come of the next frame. It grows with what arrives, never by what a length promises.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
}

/// What bytes have made of the frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frames {
    /// More is needed; all bytes are taken.
    Partial,
    /// A message.
    Whole(Vec<u8>),
}

impl FrameBuffer {
    /// Takes bytes off the front of `data`, up to the end of one frame.
    pub(super) fn read(&mut self, data: &mut &[u8]) -> Frames {
        loop {
            let wanted = match self.bytes.first_chunk() {
                Some(&length) => 2 + usize::from(u16::from_be_bytes(length)),
                None => 2,
            };
            let missing = wanted.saturating_sub(self.bytes.len());
            if missing == 0 {
                return Frames::Whole(std::mem::take(&mut self.bytes).split_off(2));
            }
            let (taken, rest) = data.split_at(missing.min(data.len()));
            if taken.is_empty() {
                return Frames::Partial;
            }
            self.bytes.extend_from_slice(taken);
            *data = rest;
        }
    }
}
