use super::*;
use crate::ids::Opaque;
use crate::wire::{Encode, Opcode, Status};
use proptest::prelude::*;

/// A frame as the test keeps it: opaque and value.
type Seen = (u32, Vec<u8>);

fn stream_of(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, opaque) in values.iter().zip(0..) {
        let answer = Encode::response(Opcode::GET, Opaque(opaque), Status::SUCCESS);
        Encode { extras: &[0; 4], ..answer }.emit(value, &mut out).unwrap();
    }
    out
}

fn feed_all<'a>(
    decoder: &mut Decoder,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Seen>, Result<(), DecodeError>) {
    let mut seen = Vec::new();
    let mut last = Ok(());
    for part in parts {
        last = decoder.feed(
            part,
            |_| 1 << 20,
            |frame| {
                seen.push((frame.header.opaque.0, frame.value.to_vec()));
                ControlFlow::Continue(())
            },
        );
    }
    (seen, last)
}

#[test]
fn fr_4_every_slicing_gives_the_same_frames() {
    let bytes = stream_of(&[b"first", b"", &[7; 300]]);
    let whole = feed_all(&mut Decoder::new(), [&bytes[..]]);
    assert_eq!(whole.0.len(), 3);
    for at in 0..=bytes.len() {
        let mut decoder = Decoder::new();
        assert_eq!(feed_all(&mut decoder, [&bytes[..at], &bytes[at..]]), whole, "split at {at}");
        assert_eq!(decoder.end(), End::Clean);
    }
    assert_eq!(feed_all(&mut Decoder::new(), bytes.chunks(1)), whole);
}

#[test]
fn fr_5_a_header_is_judged_before_its_body_arrives() {
    let mut bytes = stream_of(&[b"value"]);
    bytes[8..12].copy_from_slice(&[0xff; 4]);
    let mut decoder = Decoder::new();
    assert_eq!(feed_all(&mut decoder, [&bytes[..23]]).1, Ok(()));
    let error = feed_all(&mut decoder, [&bytes[23..24]]).1;
    assert!(matches!(error, Err(DecodeError::TooLarge { body: u32::MAX, .. })));
    assert_eq!(decoder.buf.capacity(), 0, "nothing is kept for a promise");
}

#[test]
fn fr_6_a_stalled_giant_costs_64_kib_and_growth_doubles() {
    let mut bytes = stream_of(&[b""]);
    let body = 300_u32 << 20;
    bytes[8..12].copy_from_slice(&body.to_be_bytes());
    let mut decoder = Decoder::new();
    let feed = |decoder: &mut Decoder, bytes: &[u8]| {
        decoder.feed(bytes, |_| u32::MAX, |_| ControlFlow::Continue(())).unwrap();
    };
    feed(&mut decoder, &bytes);
    assert!(decoder.buf.capacity() <= RESERVE);
    for _ in 0..100 {
        feed(&mut decoder, &[0; 10_000]);
        assert!(decoder.buf.capacity() <= decoder.buf.len().max(RESERVE / 2) * 2);
    }
}

#[test]
fn a_large_buffer_is_given_back_and_a_small_one_kept() {
    let bytes = stream_of(&[&[1; 300_000], b"small"]);
    let mut decoder = Decoder::new();
    let (seen, _) = feed_all(&mut decoder, bytes.chunks(1000));
    assert_eq!((seen[0].1.len(), seen[1].1.len()), (300_000, 5));
    assert!(decoder.buf.capacity() < KEEP);
    let small = stream_of(&[b"again"]);
    assert_eq!(feed_all(&mut decoder, small.chunks(10)).1, Ok(()));
    let capacity = decoder.buf.capacity();
    assert_eq!(feed_all(&mut decoder, small.chunks(10)).1, Ok(()));
    assert_eq!((decoder.buf.capacity(), decoder.buffered()), (capacity, 0));
}

#[test]
fn fr_8_frames_before_a_fault_are_delivered_and_nothing_after_it() {
    let mut bytes = stream_of(&[b"good"]);
    bytes.push(0x42);
    bytes.extend_from_slice(&stream_of(&[b"late"]));
    for chunk in 1..=bytes.len() {
        let mut decoder = Decoder::new();
        let (seen, last) = feed_all(&mut decoder, bytes.chunks(chunk));
        assert_eq!(seen, [(0, b"good".to_vec())]);
        assert_eq!(last, Err(DecodeError::Magic { byte: 0x42 }));
        assert_eq!((decoder.end(), decoder.buffered()), (End::Poisoned, 0));
        assert_eq!(feed_all(&mut decoder, [&bytes[..]]).0, [], "later input is discarded");
    }
}

#[test]
fn fr_9_the_end_is_clean_only_at_a_border() {
    let bytes = stream_of(&[b"one"]);
    for at in 1..bytes.len() {
        let mut decoder = Decoder::new();
        assert_eq!(feed_all(&mut decoder, [&bytes[..at]]), (vec![], Ok(())));
        assert_eq!((decoder.end(), decoder.buffered()), (End::Truncated, at));
    }
    assert_eq!(Decoder::new().end(), End::Clean);
}

#[test]
fn fr_10_a_pause_keeps_the_rest_for_the_next_call() {
    let bytes = stream_of(&[b"a", b"b", b"c", b"d"]);
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::new();
        let mut seen = Vec::new();
        let mut one_a_call = |decoder: &mut Decoder, input: &[u8]| {
            let mut count = 0;
            let result = decoder.feed(
                input,
                |_| 100,
                |frame| {
                    seen.push(frame.value.to_vec());
                    count += 1;
                    ControlFlow::Break(Stop::Pause)
                },
            );
            assert_eq!(result, Ok(()));
            assert!(count <= 1, "one frame a call was asked for");
        };
        one_a_call(&mut decoder, &bytes[..cut]);
        one_a_call(&mut decoder, &bytes[cut..]);
        while decoder.is_paused() {
            one_a_call(&mut decoder, &[]);
        }
        assert_eq!(
            (seen, decoder.end()),
            (vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec(), b"d".to_vec()], End::Clean)
        );
    }
}

#[test]
fn a_receiver_can_end_the_stream() {
    let bytes = stream_of(&[b"a", b"b"]);
    let error = DecodeError::FrameInfo { offset: 0 };
    let mut decoder = Decoder::new();
    let mut frames = 0;
    let result = decoder.feed(
        &bytes,
        |_| 100,
        |_| {
            frames += 1;
            ControlFlow::Break(Stop::Fatal(error.clone()))
        },
    );
    assert_eq!((result, frames, decoder.end()), (Err(error), 1, End::Poisoned));
}

#[test]
fn the_limit_is_asked_for_once_for_each_frame() {
    let bytes = stream_of(&[b"a", b"bcd"]);
    for chunk in 1..=bytes.len() {
        let (mut decoder, mut asked) = (Decoder::new(), 0);
        for part in bytes.chunks(chunk) {
            let limit = |_: &Header| {
                asked += 1;
                100
            };
            decoder.feed(part, limit, |_| ControlFlow::Continue(())).unwrap();
        }
        assert_eq!(asked, 2, "in pieces of {chunk}");
    }
}

#[test]
fn a_header_can_be_refused_for_reasons_of_the_caller() {
    let bytes = stream_of(&[b"a"]);
    let error = DecodeError::OpcodeMismatch { expected: Opcode::SET, found: Opcode::GET };
    let result =
        Decoder::new().feed_checked(&bytes[..24], |_| Err(error.clone()), |_| ControlFlow::Continue(()));
    assert_eq!(result, Err(error));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_slicing_does_not_matter(
        mut bytes: Vec<u8>,
        magic in prop_oneof![Just(0x81_u8), Just(0x18), Just(0x82), any::<u8>()],
        body in 0_u8..40,
        chunk in 1_usize..40,
    ) {
        if bytes.len() > 11 {
            bytes[0] = magic;
            bytes[8..12].copy_from_slice(&[0, 0, 0, body]);
        }
        let (mut whole, mut parts) = (Decoder::new(), Decoder::new());
        let (seen, _) = feed_all(&mut whole, [&bytes[..]]);
        prop_assert_eq!(seen, feed_all(&mut parts, bytes.chunks(chunk)).0);
        prop_assert_eq!((whole.end(), whole.buffered()), (parts.end(), parts.buffered()));
    }

    #[test]
    fn what_is_emitted_is_decoded_in_any_slicing(values: Vec<Vec<u8>>, sizes in proptest::collection::vec(1_usize..50, 1..20)) {
        let borrowed: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let bytes = stream_of(&borrowed);
        let (mut rest, mut parts) = (&bytes[..], Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at((*size).min(rest.len()));
            parts.push(part);
            rest = after;
        }
        let (seen, _) = feed_all(&mut Decoder::new(), parts);
        prop_assert_eq!(seen.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), values);
    }
}
