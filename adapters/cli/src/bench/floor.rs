//! The floor: what writing requests and reading answers costs without any client. Prepared frames go out as fast as
//! answers come in; of an answer only its length and its opaque are looked at.

mod answers;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use settee::ids::Opaque;
use settee::map::ClusterMap;
use settee::wire::{Encode, Opcode, Status, ops};

use self::answers::{Answers, READ_BUFFER};
use super::figures::{Errors, Figures, Watch};
use super::handshake::{self, Connection};
use super::histogram::Histogram;
use super::{Args, Mix, workload};
use crate::failure::Failure;
use crate::terminal::Progress;

/// The most memory that prepared frames take; with large values fewer of the keys are used.
const MAX_PREPARED: usize = 256 * 1024 * 1024;
/// Common flags of bytes (SDK RFC 0020).
const BINARY: u32 = 0x0300_0000;

pub(super) fn run(args: &Args) -> Result<Figures, Failure> {
    let per_connection = args.in_flight.div_ceil(args.threads) as usize;
    let mut loops = Vec::new();
    for _ in 0..args.threads {
        let Connection { stream, map } =
            handshake::open(&args.connection_string, &args.login, args.bucket.as_deref())?;
        loops.push(Loop::new(stream, prepare(&map, args)?));
    }
    let progress = Progress::new();
    if let Some(first) = loops.first_mut() {
        progress.show("loading ...");
        first.load(args)?;
    }
    let latencies = Histogram::new();
    let out_of_step = AtomicU64::new(0);
    let watch = Watch::start()?;
    let end = Instant::now() + args.seconds;
    std::thread::scope(|scope| {
        let running: Vec<_> = loops
            .iter_mut()
            .map(|floor| scope.spawn(|| floor.run(per_connection, end, &latencies, &out_of_step)))
            .collect();
        while progress.is_on() && Instant::now() < end {
            std::thread::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_secs(1)));
            progress.show(format_args!("{} operations", latencies.total()));
        }
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(ended) => ended.map_err(failure),
            Err(_) => Err(Failure::no("a thread of the floor has panicked")),
        })
    })?;
    let mut errors = Errors::new();
    match out_of_step.into_inner() {
        0 => {}
        count => drop(errors.insert("answers out of step".to_owned(), count)),
    }
    watch.stop(latencies, errors)
}

fn failure(error: io::Error) -> Failure {
    let failure = Failure::no(format!("the connection broke off: {error}"));
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            failure.hint("the server does not read on while its answers wait: use fewer --in-flight")
        }
        _ => failure,
    }
}

/// Frames one behind the other; the opaque of each is its number.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Frames {
    fn push(&mut self, frame: Encode<'_>, value: &[u8]) -> Result<(), Failure> {
        let opaque = Opaque(u32::try_from(self.ends.len()).unwrap_or(u32::MAX));
        Encode { opaque, ..frame }.emit(value, &mut self.bytes).map_err(Failure::usage)?;
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The bytes of some frames from `first` on.
    fn slice(&self, first: usize, count: usize) -> &[u8] {
        let end_of =
            |frame: usize| frame.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.bytes.get(end_of(first)..end_of(first + count)).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

/// What a loop writes: first all documents, then the requests that are measured.
#[derive(Debug)]
struct Prepared {
    keys: Vec<(u32, u16)>,
    measured: Frames,
}

/// Prepares requests for those keys that the node of this map holds.
fn prepare(map: &ClusterMap, args: &Args) -> Result<Prepared, Failure> {
    let here = map.this_node_index;
    let keys = (0..args.keys).filter_map(|index| {
        let route = map.route(workload::key(index).as_bytes())?;
        (route.slot == here && here.is_some()).then_some((index, route.vbucket))
    });
    let value = workload::value(args.value_size);
    let fit = MAX_PREPARED / (value.len() + 64);
    let keys: Vec<(u32, u16)> = keys.take(fit.max(1)).collect();
    if keys.is_empty() {
        return Err(Failure::no("the node that answered holds none of the keys: use more --keys"));
    }
    let mut measured = Frames::default();
    for (number, (index, vbucket)) in keys.iter().enumerate() {
        let is_write = match args.op {
            Mix::Get => false,
            Mix::Set => true,
            Mix::Mixed => number % 2 == 1,
        };
        let key = workload::key(*index);
        if is_write {
            push_set(&mut measured, &key, *vbucket, &value)?;
        } else {
            let get = Encode::request(Opcode::GET, Opaque(0));
            measured.push(Encode { vbucket_or_status: *vbucket, key: key.as_bytes(), ..get }, b"")?;
        }
    }
    Ok(Prepared { keys, measured })
}

fn push_set(frames: &mut Frames, key: &str, vbucket: u16, value: &[u8]) -> Result<(), Failure> {
    let extras = ops::store_extras(BINARY, 0);
    let set = Encode::request(Opcode::SET, Opaque(0));
    let set = Encode { vbucket_or_status: vbucket, key: key.as_bytes(), extras: &extras, ..set };
    frames.push(set, value)
}

struct Loop {
    stream: TcpStream,
    prepared: Prepared,
    answers: Answers,
}

impl Loop {
    fn new(stream: TcpStream, prepared: Prepared) -> Self {
        Self { stream, prepared, answers: Answers::new(READ_BUFFER) }
    }

    /// Writes the documents, some at a time, and looks at each answer.
    fn load(&mut self, args: &Args) -> Result<(), Failure> {
        let value = workload::value(args.value_size);
        for keys in self.prepared.keys.chunks(64) {
            let mut frames = Frames::default();
            for (index, vbucket) in keys {
                push_set(&mut frames, &workload::key(*index), *vbucket, &value)?;
            }
            self.stream.write_all(&frames.bytes).map_err(failure)?;
            let mut answered = 0;
            let mut refused = None;
            while answered < frames.len() {
                answered += self
                    .answers
                    .read(&mut self.stream, |head| {
                        let [_, _, _, _, _, _, s0, s1, ..] = *head;
                        let status = Status(u16::from_be_bytes([s0, s1]));
                        if status != Status::SUCCESS {
                            refused = Some(status);
                        }
                    })
                    .map_err(failure)?;
            }
            if let Some(status) = refused {
                return Err(Failure::no(format!("loading: the server answered {}", status)));
            }
        }
        Ok(())
    }

    /// Keeps `in_flight` requests under way until `end`, then takes the last answers.
    fn run(
        &mut self,
        in_flight: usize,
        end: Instant,
        latencies: &Histogram,
        out_of_step: &AtomicU64,
    ) -> io::Result<()> {
        let Self { stream, prepared: Prepared { measured, .. }, answers } = self;
        let mut sent: VecDeque<(Instant, usize)> = VecDeque::new();
        let (mut next, mut expected) = (0, 0);
        let mut free = in_flight;
        loop {
            let now = Instant::now();
            if now < end && free > 0 {
                sent.push_back((now, free));
                while free > 0 {
                    let count = free.min(measured.len() - next);
                    stream.write_all(measured.slice(next, count))?;
                    next = (next + count) % measured.len();
                    free -= count;
                }
            }
            if sent.is_empty() {
                return Ok(());
            }
            let mut wrong = 0;
            let answered = answers.read(stream, |head| {
                let [_, _, _, _, _, _, _, _, _, _, _, _, o0, o1, o2, o3, ..] = *head;
                wrong += u64::from(u32::from_be_bytes([o0, o1, o2, o3]) as usize != expected);
                expected = if expected + 1 == measured.len() { 0 } else { expected + 1 };
            })?;
            if wrong > 0 {
                out_of_step.fetch_add(wrong, Ordering::Relaxed);
            }
            let completed = Instant::now();
            let mut left = answered;
            while left > 0 {
                let Some((began, count)) = sent.front_mut() else { break };
                let of_batch = left.min(*count);
                latencies.record(completed.saturating_duration_since(*began), of_batch as u64);
                *count -= of_batch;
                left -= of_batch;
                if *count == 0 {
                    sent.pop_front();
                }
            }
            free += answered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart_and_numbered() {
        let mut frames = Frames::default();
        for key in ["a", "bb", "ccc"] {
            frames
                .push(Encode { key: key.as_bytes(), ..Encode::request(Opcode::GET, Opaque(0)) }, b"")
                .unwrap();
        }
        assert_eq!(frames.slice(0, 1).len(), 25);
        assert_eq!(frames.slice(1, 2).len(), 26 + 27);
        assert_eq!(frames.slice(2, 1)[12..16], [0, 0, 0, 2]);
        assert_eq!(frames.slice(0, 3), frames.bytes);
    }
}
