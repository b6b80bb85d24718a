//! The streaming decoder: any slicing of a byte stream in, whole frames out (FR-4 to FR-10).

use std::ops::ControlFlow;

use super::{DecodeError, Frame, HEADER_LEN, Header};

/// Most bytes reserved ahead of what has arrived (FR-6), and the capacity kept between frames.
const RESERVE: usize = 64 * 1024;
/// A buffer above this is given back when its frame is done.
const KEEP: usize = 256 * 1024;

/// Why a frame's receiver wants no further frame at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Enough for one call (FR-10): what is left stays buffered, and the next [`Decoder::feed`] goes on there.
    Pause,
    /// The frame shows that the stream is lost: the decoder is poisoned and returns this error.
    Fatal(DecodeError),
}

/// How a stream stands when its input ends (FR-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At the border of two frames.
    Clean,
    /// Inside a frame, or while paused.
    Truncated,
    /// After a fatal error; whatever followed was discarded.
    Poisoned,
}

/// Takes a stream apart into frames. A frame that lies whole in the input is lent from there, without a copy; only
/// the unfinished tail of the input is kept.
///
/// Memory follows the bytes received and never the bytes promised (FR-6): at most 64 KiB are reserved ahead, then the
/// buffer doubles, up to the end of the frame.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Received bytes that no frame was made of; those before `start` are done with.
    buf: Vec<u8>,
    start: usize,
    /// The checked header of the frame at `start`: a frame's limit is asked for once.
    pending: Option<Header>,
    paused: bool,
    poison: Option<DecodeError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes received bytes and gives every frame that they complete to `on_frame`, in order.
    ///
    /// `max_body` is asked once for each frame, on its header, before a byte of the body is awaited (FR-5): the most
    /// bytes that the body may have. An empty `input` goes on after [`Stop::Pause`].
    ///
    /// # Errors
    /// Those of [`Frame::parse`] and of [`Stop::Fatal`]: the stream is lost. Frames before the fault have been given
    /// out; later calls discard their input and return the same error (FR-8).
    pub fn feed(
        &mut self,
        input: &[u8],
        mut max_body: impl FnMut(&Header) -> u32,
        on_frame: impl FnMut(Frame<'_>) -> ControlFlow<Stop>,
    ) -> Result<(), DecodeError> {
        self.feed_checked(input, |header| Ok(max_body(header)), on_frame)
    }

    /// [`Decoder::feed`] where the caller has reasons of its own to refuse a header: a magic that may not stand here,
    /// an opcode that does not fit the request. `check` returns the most bytes that the body may have, or the error.
    ///
    /// # Errors
    /// As [`Decoder::feed`], and what `check` returns.
    pub fn feed_checked(
        &mut self,
        input: &[u8],
        mut check: impl FnMut(&Header) -> Result<u32, DecodeError>,
        mut on_frame: impl FnMut(Frame<'_>) -> ControlFlow<Stop>,
    ) -> Result<(), DecodeError> {
        if let Some(error) = &self.poison {
            return Err(error.clone());
        }
        self.paused = false;
        let mut input = input;
        let result = self
            .finish_buffered(&mut input, &mut check, &mut on_frame)
            .and_then(|()| self.take_whole(&mut input, &mut check, &mut on_frame));
        if let Err(error) = &result {
            *self = Self { poison: Some(error.clone()), ..Self::default() };
        }
        result
    }

    /// Bytes received that no frame was made of.
    pub fn buffered(&self) -> usize {
        self.buf.len().saturating_sub(self.start)
    }

    /// Whether the last call ended with [`Stop::Pause`], so that complete frames may be waiting.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// How the stream stands if nothing more comes.
    pub fn end(&self) -> End {
        match (&self.poison, self.buffered()) {
            (Some(_), _) => End::Poisoned,
            (None, 0) => End::Clean,
            (None, _) => End::Truncated,
        }
    }

    /// Completes frames that began in earlier input.
    fn finish_buffered(
        &mut self,
        input: &mut &[u8],
        check: &mut impl FnMut(&Header) -> Result<u32, DecodeError>,
        on_frame: &mut impl FnMut(Frame<'_>) -> ControlFlow<Stop>,
    ) -> Result<(), DecodeError> {
        while self.buffered() > 0 {
            let frame_len = self.pending.map_or(HEADER_LEN, |header| frame_len(&header));
            if !self.fill(frame_len, input) {
                return Ok(());
            }
            let bytes = self.buf.get(self.start..).unwrap_or(&[]);
            let Some((head, body)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Ok(()) };
            let Some(header) = self.pending else {
                self.pending = Some(checked(head, check)?);
                continue;
            };
            let body = body.get(..header.body_len as usize).unwrap_or(body);
            let flow = on_frame(Frame::from_parts(header, body));
            self.pending = None;
            self.start = self.start.saturating_add(frame_len);
            self.tidy();
            if let ControlFlow::Break(stop) = flow {
                return self.stop(stop, input);
            }
        }
        Ok(())
    }

    /// Lends frames that lie whole in the input and keeps the tail.
    fn take_whole(
        &mut self,
        input: &mut &[u8],
        check: &mut impl FnMut(&Header) -> Result<u32, DecodeError>,
        on_frame: &mut impl FnMut(Frame<'_>) -> ControlFlow<Stop>,
    ) -> Result<(), DecodeError> {
        if self.paused {
            return Ok(());
        }
        while let Some((head, rest)) = input.split_first_chunk::<HEADER_LEN>() {
            let header = checked(head, check)?;
            let Some((body, rest)) = rest.split_at_checked(header.body_len as usize) else {
                self.pending = Some(header);
                self.fill(frame_len(&header), input);
                return Ok(());
            };
            *input = rest;
            if let ControlFlow::Break(stop) = on_frame(Frame::from_parts(header, body)) {
                return self.stop(stop, input);
            }
        }
        self.fill(HEADER_LEN, input);
        Ok(())
    }

    /// Moves input into the buffer until it holds `len` bytes from `start` on: whether it does.
    fn fill(&mut self, len: usize, input: &mut &[u8]) -> bool {
        let missing = len.saturating_sub(self.buffered());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        *input = rest;
        if !taken.is_empty() {
            self.append(taken, len);
        }
        taken.len() == missing
    }

    /// Appends received bytes; `frame_len` is what the frame at `start` will have in the end.
    fn append(&mut self, bytes: &[u8], frame_len: usize) {
        // Moved only when what is done with is the greater part, so that moving costs less than receiving did.
        if self.start > self.buffered() {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        let needed = self.buf.len().saturating_add(bytes.len());
        if needed > self.buf.capacity() {
            let ahead = self.buf.capacity().saturating_mul(2).max(RESERVE);
            let target = ahead.min(self.start.saturating_add(frame_len)).max(needed);
            self.buf.reserve_exact(target.saturating_sub(self.buf.len()));
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Forgets the buffer's content when all of it is done with.
    fn tidy(&mut self) {
        if self.start >= self.buf.len() {
            self.start = 0;
            self.buf.clear();
            if self.buf.capacity() > KEEP {
                self.buf = Vec::new();
            }
        }
    }

    #[cold]
    fn stop(&mut self, stop: Stop, input: &mut &[u8]) -> Result<(), DecodeError> {
        match stop {
            Stop::Fatal(error) => Err(error),
            Stop::Pause => {
                self.paused = true;
                let rest = std::mem::take(input);
                self.append(rest, rest.len());
                Ok(())
            }
        }
    }
}

fn frame_len(header: &Header) -> usize {
    HEADER_LEN.saturating_add(header.body_len as usize)
}

fn checked(
    head: &[u8; HEADER_LEN],
    check: &mut impl FnMut(&Header) -> Result<u32, DecodeError>,
) -> Result<Header, DecodeError> {
    let header = Header::decode(head)?;
    let max = check(&header)?;
    if header.body_len > max {
        return Err(DecodeError::TooLarge { body: header.body_len, max, opcode: header.opcode });
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
