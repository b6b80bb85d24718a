//! What single steps of the engine cost, for `benches/counts`, which runs this under callgrind.
//!
//! ```text
//! counts list        the names of all cases
//! counts run NAME    does one case; prints how many operations it measured
//! counts             without callgrind: the wall time of parsing a large map
//! ```
//! Callgrind counts nothing but what happens inside [`measured`].
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

#[path = "support/document.rs"]
mod document;
#[path = "support/rig.rs"]
mod rig;

use std::hint::black_box;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use settee::engine::{Durability, OpKind, Store, StoreMode};
use settee::expiry::Expiry;
use settee::ids::{Cas, Opaque};
use settee::map;
use settee::wire::{Decoder, Encode, Leb128, Opcode, Status, ops};

use rig::Rig;

/// A step to be counted: does it so many times, and says how many times.
type Case = (&'static str, fn() -> usize);

const CASES: [Case; 11] = [
    ("encode a GET", encode_get),
    ("encode a SET, without its value", encode_set),
    ("decode a GET's answer, 1 KiB", decode_get),
    ("route a key, with its collection", route),
    ("get, 64 in flight", || submit_to_complete(&OpKind::Get, 64)),
    ("get, 512 in flight", || submit_to_complete(&OpKind::Get, 512)),
    ("set, 64 in flight", || submit_to_complete(&set(), 64)),
    ("set, 512 in flight", || submit_to_complete(&set(), 512)),
    ("parse a map of 92 KiB", parse_map),
    ("find the version of a map", || peek(&document::map())),
    ("the same where it stands last", || peek(&document::map_with_version_last())),
];

/// The limit of the wall time of parsing 1024 vbuckets over 100 nodes.
const PARSE_LIMIT: Duration = Duration::from_millis(1);
const REPEAT: usize = 1000;
const VALUE_LEN: usize = 1024;
/// Common flags of bytes (SDK RFC 0020).
const BINARY: u32 = 0x0300_0000;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut out = io::stdout().lock();
    match args[..] {
        ["list"] => CASES.iter().try_for_each(|(name, _)| writeln!(out, "{name}")),
        ["run", wanted] => match CASES.iter().find(|(name, _)| *name == wanted) {
            Some((_, case)) => writeln!(out, "{}", case()),
            None => Err(io::Error::other(format!("no case is called {wanted:?}"))),
        },
        [] => wall_time(&mut out),
        _ => Err(io::Error::other("arguments: list | run NAME | none")),
    }
}

/// Where callgrind counts. The result exists so that the call is not the function's last act, which would make it a
/// jump and end the counting.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) -> u8 {
    work();
    black_box(0)
}

fn key(number: usize) -> Bytes {
    format!("bench-{number}").into()
}

fn keys() -> Vec<Bytes> {
    (0..REPEAT).map(key).collect()
}

fn set() -> OpKind {
    OpKind::Store(Store {
        mode: StoreMode::Upsert,
        value: document::noise(VALUE_LEN).into(),
        flags: BINARY,
        expiry: Expiry::NONE,
        preserve_expiry: false,
        cas: Cas::NONE,
        durability: Durability::None,
    })
}

fn encode_get() -> usize {
    encode_all(Opcode::GET, &[], 0)
}

fn encode_set() -> usize {
    encode_all(Opcode::SET, &ops::store_extras(BINARY, 0), VALUE_LEN)
}

fn encode_all(opcode: Opcode, extras: &[u8], value_len: usize) -> usize {
    let keys = keys();
    let prefix = Leb128::encode(8);
    let mut out = Vec::with_capacity(REPEAT * 128);
    measured(&mut || {
        for (key, opaque) in keys.iter().zip(0..) {
            let request = Encode {
                extras: black_box(extras),
                key_prefix: prefix.as_slice(),
                key,
                ..Encode::request(opcode, Opaque(opaque))
            };
            request.emit_head(black_box(value_len), &mut out).expect("the lengths fit");
        }
    });
    assert!(out.len() > REPEAT * 24);
    REPEAT
}

fn decode_get() -> usize {
    let value = document::noise(VALUE_LEN);
    let flags = ops::flags_extras(BINARY);
    let mut stream = Vec::new();
    for opaque in 0..1000 {
        let answer = Encode::response(Opcode::GET, Opaque(opaque), Status::SUCCESS);
        Encode { extras: &flags, ..answer }.emit(&value, &mut stream).expect("the lengths fit");
    }
    // As a socket gives it: most frames whole, one in each piece cut in two.
    let pieces: Vec<&[u8]> = stream.chunks(64 * 1024).collect();
    let mut decoder = Decoder::new();
    let mut decode = |pieces: &[&[u8]]| {
        let mut frames = 0;
        for piece in pieces {
            let fed = decoder.feed(
                piece,
                |_| u32::MAX,
                |frame| {
                    frames += usize::from(ops::flags(frame.extras) == Ok(BINARY));
                    black_box(frame.value);
                    ControlFlow::Continue(())
                },
            );
            assert_eq!(fed, Ok(()));
        }
        frames
    };
    // Once uncounted: its buffer has its size then.
    decode(&pieces);
    let mut frames = 0;
    measured(&mut || frames = decode(&pieces));
    assert_eq!(frames, 1000);
    frames
}

fn route() -> usize {
    let map = map::parse(&document::map(), "10.0.0.1").expect("a valid map");
    let keys = keys();
    let mut routed = 0;
    measured(&mut || {
        for (key, collection) in keys.iter().zip(8..) {
            let prefix = Leb128::encode(black_box(collection));
            let route = black_box(map.route(black_box(key)));
            routed += usize::from(route.is_some_and(|route| route.slot.is_some()));
            black_box(prefix.as_slice());
        }
    });
    assert_eq!(routed, REPEAT);
    routed
}

/// From `submit` to `Completed`, by an engine that is connected and warm. `in_flight` operations are submitted at once
/// and answered at once.
fn submit_to_complete(kind: &OpKind, in_flight: usize) -> usize {
    const ROUNDS: usize = 24;
    let mut rig = Rig::connected();
    rig.put((0..in_flight).map(key), &document::noise(VALUE_LEN));
    let batch = |rig: &mut Rig, count: bool| {
        let operations = (0..in_flight).map(|number| rig.operation(key(number), kind.clone())).collect();
        rig.round(operations, count);
    };
    for _ in 0..8 {
        batch(&mut rig, false);
    }
    for _ in 0..ROUNDS {
        batch(&mut rig, true);
    }
    ROUNDS * in_flight
}

fn parse_map() -> usize {
    let bytes = document::map();
    let mut nodes = 0;
    measured(&mut || {
        let map = map::parse(black_box(&bytes), "10.0.0.1").expect("a valid map");
        nodes = map.nodes.len();
    });
    assert_eq!(nodes, document::NODES);
    1
}

fn peek(bytes: &[u8]) -> usize {
    let mut found = None;
    measured(&mut || found = map::peek_rev(black_box(bytes)));
    assert_eq!(found.map(|found| found.rev), Some(document::REV));
    1
}

/// The best of some runs: what the machine does beside it is not the parser's.
fn wall_time(out: &mut impl io::Write) -> io::Result<()> {
    let bytes = document::map();
    let time = |_| {
        let began = Instant::now();
        black_box(map::parse(black_box(&bytes), "10.0.0.1")).expect("a valid map");
        began.elapsed()
    };
    let best = (0..200).map(time).min().unwrap_or(Duration::MAX);
    writeln!(
        out,
        "parse a map of 1024 vbuckets over {} nodes, {:.1} KiB: {:.0} us, best of 200; limit {:.0} us: {}",
        document::NODES,
        bytes.len() as f64 / 1024.0,
        best.as_secs_f64() * 1e6,
        PARSE_LIMIT.as_secs_f64() * 1e6,
        if best < PARSE_LIMIT { "ok" } else { "SHORT" },
    )
}
