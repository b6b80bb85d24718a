//! Frames: any slicing of a stream gives the same frames, and whatever is read can be described and written again.

use std::ops::ControlFlow;

use settee::wire::describe::{Context, describe};
use settee::wire::{DecodeError, Decoder, ErrorMap, Frame, HEADER_LEN, Header, InboundLimits, Stop, datatype};

/// Two bytes choose the slicing, the rest is what a peer sends.
pub fn frame(data: &[u8]) {
    let Some((&[low, high], stream)) = data.split_first_chunk::<2>() else { return };
    let whole = decode(std::iter::once(stream), 0);
    let mut slicing = Slicing(u32::from(u16::from_le_bytes([low, high])) | 0x1_0000);
    let mut rest = stream;
    let slices = std::iter::from_fn(|| {
        let len = slicing.next().min(rest.len());
        let (slice, tail) = rest.split_at(len);
        rest = tail;
        (!slice.is_empty()).then_some(slice)
    });
    let sliced = decode(slices, high % 4);
    assert_eq!(sliced, whole, "the slicing of the stream changes what is read");
    parse_all(stream, &whole);
    let _ = ErrorMap::parse(stream);
    if let Ok((xattrs, _)) = datatype::split_xattrs(stream) {
        xattrs.for_each(drop);
    }
}

/// What became of a stream.
#[derive(Debug, PartialEq)]
struct Decoded {
    frames: Vec<(Header, Vec<u8>)>,
    error: Option<DecodeError>,
    left: usize,
}

/// Decodes slices, with a pause behind every `pause`-th frame unless that is 0.
fn decode<'a>(slices: impl Iterator<Item = &'a [u8]>, pause: u8) -> Decoded {
    let limits = InboundLimits::default();
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    let mut error = None;
    let mut fed = 0;
    for slice in slices {
        fed += slice.len();
        let mut input = slice;
        loop {
            let result = decoder.feed(
                input,
                |header| limits.for_answer(header.opcode, 1),
                |frame| {
                    frames.push((frame.header, body(&frame)));
                    if pause > 0 && frames.len() % usize::from(pause) == 0 {
                        ControlFlow::Break(Stop::Pause)
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            assert!(decoder.buffered() <= fed, "more is buffered than was received");
            if let Err(why) = result {
                assert_eq!(decoder.feed(slice, |_| u32::MAX, |_| unreachable!()), Err(why.clone()), "it stays lost");
                error = Some(why);
            }
            if error.is_some() || !decoder.is_paused() {
                break;
            }
            input = &[];
        }
        if error.is_some() {
            break;
        }
    }
    Decoded { frames, error, left: decoder.buffered() }
}

fn body(frame: &Frame<'_>) -> Vec<u8> {
    [frame.framing_extras, frame.extras, frame.key, frame.value].concat()
}

/// The same stream frame by frame; each frame is described and written again.
fn parse_all(stream: &[u8], expected: &Decoded) {
    let limits = InboundLimits::default();
    let mut rest = stream;
    let mut parsed = 0;
    while let Some(head) = rest.first_chunk::<HEADER_LEN>() {
        let max = Header::decode(head).map_or(u32::MAX, |header| limits.for_answer(header.opcode, 1));
        match Frame::parse(rest, max) {
            Ok(Some((frame, len))) => {
                let (header, bytes) = &expected.frames[parsed];
                assert_eq!((&frame.header, &body(&frame)), (header, bytes));
                for collections in [false, true] {
                    for specs in [None, Some(2)] {
                        let _ = describe(&frame, Context { collections, specs }).to_string();
                    }
                }
                let mut again = Vec::new();
                frame.emit(&mut again).expect("what was read can be written");
                assert_eq!(again, rest[..len], "written as it was read");
                parsed += 1;
                rest = &rest[len..];
            }
            Ok(None) => break,
            Err(error) => {
                assert_eq!(expected.error, Some(error));
                break;
            }
        }
    }
    assert_eq!(parsed, expected.frames.len());
    if expected.error.is_none() {
        assert_eq!(expected.left, rest.len());
    }
}

/// Lengths of slices: mostly small ones, some of them around the length of a header.
struct Slicing(u32);

impl Slicing {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let number = (self.0 >> 8) as usize;
        match self.0 % 4 {
            0 => 1 + number % 3,
            1 => HEADER_LEN - 1 + number % 3,
            2 => 1 + number % 40,
            _ => 1 + number % 600,
        }
    }
}
