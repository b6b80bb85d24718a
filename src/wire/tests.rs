//! The codec against whole frames: our own table, and the protocol's vectors where they lie beside the workspace.

mod rebuild;
mod tables;

use std::ops::ControlFlow;

use serde_json::Value;

use super::describe::{Context, describe, fields};
use super::{Decoder, End, Frame, Header, InboundLimits, ResponseFrameInfos, Stop};
use proptest::prelude::*;

fn own() -> Value {
    serde_json::from_str(include_str!("testdata/frames.json")).unwrap()
}

/// The protocol's own vectors; `None`, said out loud, where they are not there.
#[allow(clippy::disallowed_methods)] // a test may read a file
fn shared() -> Option<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/spec/kv-vectors.json");
    match std::fs::read(path) {
        Ok(json) => Some(serde_json::from_slice(&json).unwrap()),
        Err(error) => {
            eprintln!("SKIPPED: {path}: {error}");
            None
        }
    }
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn list<'a>(vectors: &'a Value, name: &str) -> &'a [Value] {
    vectors[name].as_array().unwrap_or_else(|| panic!("no {name}"))
}

fn context(vector: &Value) -> Context {
    Context {
        collections: vector["context"]["collections"] == true,
        specs: vector["context"]["specs_sent"].as_u64().map(|specs| specs as usize),
    }
}

fn whole(bytes: &[u8]) -> Frame<'_> {
    let (frame, taken) = Frame::parse(bytes, u32::MAX).unwrap().unwrap();
    assert_eq!(taken, bytes.len());
    frame
}

fn check_frames(vectors: &Value, at_least: usize) {
    for vector in list(vectors, "frames") {
        let (name, bytes) = (&vector["name"], unhex(&vector["hex"]));
        let frame = whole(&bytes);
        assert_eq!(describe(&frame, context(vector)), vector["decoded"], "{name}");
        let mut again = Vec::new();
        frame.emit(&mut again).unwrap();
        assert_eq!(again, bytes, "{name}");
        if vector["direction"] == "client_to_server" {
            assert_eq!(rebuild::request(&frame, context(vector).collections), bytes, "{name}");
        }
    }
    assert!(list(vectors, "frames").len() >= at_least);
}

/// Where a frame from a server is found out, if it is.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Header,
    FrameInfo,
    Operation,
    Accepted,
    /// Accepted, with bytes left that are no frame.
    Leftover,
}

fn check_header(header: &Header) -> Result<u32, super::DecodeError> {
    header.check_from_server(true)?;
    Ok(InboundLimits::default().for_answer(header.opcode, 16))
}

fn outcome(bytes: &[u8], context: Context) -> Outcome {
    let mut decoder = Decoder::new();
    let mut found = Outcome::Accepted;
    let result = decoder.feed_checked(bytes, check_header, |frame| {
        if ResponseFrameInfos::parse(frame.framing_extras).is_err() {
            found = Outcome::FrameInfo;
        } else if fields(&frame, context).is_err() {
            found = Outcome::Operation;
        }
        ControlFlow::Continue(())
    });
    match result {
        Err(_) => Outcome::Header,
        Ok(()) if decoder.end() == End::Truncated => Outcome::Leftover,
        Ok(()) => found,
    }
}

fn check_malformed(vectors: &Value, at_least: usize) {
    for vector in list(vectors, "malformed") {
        let expect = vector["expect"].as_str().unwrap();
        let expected = match vector["layer"].as_str().unwrap() {
            _ if expect.starts_with("tolerate") || expect.starts_with("ignore;") || expect == "ignore" => {
                Outcome::Accepted
            }
            _ if expect.contains("start a bogus frame") => Outcome::Leftover,
            "header" => Outcome::Header,
            "frame_info" => Outcome::FrameInfo,
            "operation" => Outcome::Operation,
            other => panic!("layer {other}"),
        };
        let bytes = unhex(&vector["hex"]);
        assert_eq!(outcome(&bytes, context(vector)), expected, "{}", vector["name"]);
        if expected == Outcome::Header && bytes.len() >= 24 {
            assert_eq!(
                outcome(&bytes[..24], context(vector)),
                Outcome::Header,
                "24 bytes tell: {}",
                vector["name"]
            );
        }
    }
    assert!(list(vectors, "malformed").len() >= at_least);
}

fn decode_parts<'a>(parts: impl Iterator<Item = &'a [u8]>, from_server: bool) -> (Vec<Vec<u8>>, End) {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for part in parts {
        let check = |header: &Header| if from_server { check_header(header) } else { Ok(1 << 20) };
        let _ = decoder.feed_checked(part, check, |frame| {
            let mut bytes = Vec::new();
            frame.emit(&mut bytes).unwrap();
            frames.push(bytes);
            ControlFlow::<Stop>::Continue(())
        });
    }
    (frames, decoder.end())
}

fn check_streams(vectors: &Value, at_least: usize) {
    for stream in list(vectors, "streams") {
        let named = |name: &Value| {
            let frame = list(vectors, "frames").iter().find(|frame| frame["name"] == *name).unwrap();
            unhex(&frame["hex"])
        };
        let frames: Vec<Vec<u8>> = list(stream, "frames").iter().map(named).collect();
        let end = match stream["after_last_frame"].as_str().unwrap() {
            "clean end" => End::Clean,
            text if text.starts_with("end of input inside") => End::Truncated,
            text if text.starts_with("fatal") => End::Poisoned,
            other => panic!("{other}"),
        };
        let bytes = unhex(&stream["hex"]);
        let from_server = stream["direction"] == "server_to_client";
        let expected = (frames, end);
        for size in 1..=bytes.len() {
            assert_eq!(
                decode_parts(bytes.chunks(size), from_server),
                expected,
                "{} by {size}",
                stream["name"]
            );
        }
        for at in 0..=bytes.len() {
            let parts = [&bytes[..at], &bytes[at..]];
            assert_eq!(decode_parts(parts.into_iter(), from_server), expected, "{} at {at}", stream["name"]);
        }
    }
    assert!(list(vectors, "streams").len() >= at_least);
}

#[test]
fn every_kind_of_frame_is_described_and_written_again() {
    check_frames(&own(), 60);
}

#[test]
fn malformed_frames_are_found_out_in_their_layer() {
    check_malformed(&own(), 30);
}

#[test]
fn fr_4_streams_give_the_same_frames_in_every_slicing() {
    check_streams(&own(), 5);
}

#[test]
fn protocol_vectors_frames() {
    shared().inspect(|vectors| check_frames(vectors, 164));
}

#[test]
fn protocol_vectors_malformed() {
    shared().inspect(|vectors| check_malformed(vectors, 37));
}

#[test]
fn protocol_vectors_streams() {
    shared().inspect(|vectors| check_streams(vectors, 10));
}

#[test]
fn h15_an_answer_with_an_unknown_opcode_or_status_is_described() {
    let mut bytes = unhex(&own()["frames"][1]["hex"]);
    bytes[1] = 0xee;
    assert_eq!(describe(&whole(&bytes), Context::default())["opcode_name"], Value::Null);
    bytes[6] = 0xff;
    assert_eq!(describe(&whole(&bytes), Context::default())["status"], "0xff00");
}

proptest! {
    #[test]
    fn fr_12_a_changed_byte_never_panics(at: usize, byte: u8, which: usize, collections: bool, specs in proptest::option::of(0_usize..4)) {
        let own = own();
        let frames = list(&own, "frames");
        let mut bytes = unhex(&frames[which % frames.len()]["hex"]);
        let len = bytes.len();
        bytes[at % len] = byte;
        if let Ok(Some((frame, _))) = Frame::parse(&bytes, 1 << 20) {
            let _ = describe(&frame, Context { collections, specs });
        }
    }

    #[test]
    fn fr_12_arbitrary_sections_never_panic(
        opcode: u8,
        magic in prop_oneof![Just(0x81_u8), Just(0x80), Just(0x18), Just(0x08), Just(0x82), Just(0x83)],
        status in prop_oneof![Just(0_u16), Just(7), Just(0xcc), Just(0xa6), any::<u16>()],
        datatype in 0_u8..9,
        sizes: (u8, u8, u8),
        body in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![magic, opcode, sizes.0 % 8, sizes.1 % 24, sizes.2 % 33, datatype];
        bytes.extend_from_slice(&status.to_be_bytes());
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&[0; 12]);
        bytes.extend_from_slice(&body);
        if let Ok(Some((frame, _))) = Frame::parse(&bytes, 1 << 20) {
            let _ = describe(&frame, Context { collections: true, specs: Some(2) });
            let mut again = Vec::new();
            frame.emit(&mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}
