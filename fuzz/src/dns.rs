//! DNS: whatever name servers say, an SRV query ends once, in time, with targets that can be dialled.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use settee::dns::{Action, Answer, Outcome, Query, ResolverConfig, SrvError};

const NAME: &str = "_couchbases._tcp.cb.example.com";
const DEADLINE: Duration = Duration::from_millis(500);
/// Header and question of a message for `NAME`.
const QUESTION: usize = 12 + NAME.len() + 2 + 4;

/// The bytes are a script of what happens, and what servers say where they say anything.
pub fn dns(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let start = Instant::now();
    let mut world = World::new(&mut u, start);
    // Running out of choices leaves the query to its time-outs.
    let _ = world.play(&mut u);
    for _ in 0..10_000 {
        if world.done.is_some() {
            break;
        }
        world.time_out();
    }
    let outcome = world.done.as_ref().expect("the query does not end");
    assert!(world.now <= start + DEADLINE, "the query ends too late");
    judge(outcome);
}

fn judge(outcome: &Outcome) {
    assert_eq!(outcome.name, NAME);
    assert!(outcome.to_string().starts_with("DNS SRV query"));
    if let Answer::Records(targets) = &outcome.answer {
        assert!(!targets.is_empty() && targets.len() <= 512 && outcome.bytes <= 65_535);
        for target in targets {
            assert!(target.port != 0 && !target.host.is_empty() && target.host.len() <= 253);
            assert!(target.host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        }
    }
}

struct World {
    query: Query,
    now: Instant,
    servers: Vec<SocketAddr>,
    /// The last question; its id is known to those who see it.
    question: Vec<u8>,
    dialled: bool,
    done: Option<Outcome>,
}

impl World {
    fn new(u: &mut Unstructured<'_>, now: Instant) -> Self {
        let choices: u8 = u.arbitrary().unwrap_or(0);
        let servers: Vec<_> =
            (0..=choices % 3).map(|host| SocketAddr::from(([10, 0, 0, host], 53))).collect();
        let mut config = ResolverConfig::new(servers.clone());
        config.attempts = u32::from(choices >> 2 & 3);
        config.rotate = choices & 16 != 0;
        config.timeout = Duration::from_millis(u64::from(choices >> 5) * 100);
        let query = Query::new(NAME, &config, DEADLINE, u64::from(choices), now);
        let mut world = Self { query, now, servers, question: Vec::new(), dialled: false, done: None };
        world.settle();
        world
    }

    fn play(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while self.done.is_none() && !u.is_empty() {
            match u.int_in_range(0..=11)? {
                0..=3 => {
                    let from = *u.choose(&self.servers)?;
                    let message = self.message(u)?;
                    self.query.on_datagram(from, &message, self.now);
                }
                4 => self.query.on_datagram(([10, 9, 9, 9], 53).into(), said(u)?, self.now),
                5 => self.query.on_connected(self.now),
                6 | 7 => {
                    let message = self.message(u)?;
                    let length = (message.len() as u16).to_be_bytes();
                    let cut = u.int_in_range(0..=message.len())?;
                    self.query.on_stream(&length, self.now);
                    self.query.on_stream(&message[..cut], self.now);
                    self.query.on_stream(&message[cut..], self.now);
                }
                8 => self.query.on_stream(said(u)?, self.now),
                9 if u.ratio(1, 4)? => {
                    self.dialled = false;
                    self.query.on_stream_lost(self.now);
                }
                9 => {
                    let server = if u.arbitrary()? { Some(*u.choose(&self.servers)?) } else { None };
                    let why = if u.ratio(1, 16)? { SrvError::Unsupported } else { SrvError::Unreachable };
                    self.query.on_datagram_failed(server, why, self.now);
                }
                10 => {
                    let later = self.now + Duration::from_millis(u.int_in_range(0..=3)?);
                    self.now = self.query.poll_timeout().map_or(later, |due| due.min(later));
                }
                _ => self.time_out(),
            }
            self.settle();
        }
        Ok(())
    }

    /// The time for which the query waits has come.
    fn time_out(&mut self) {
        if let Some(at) = self.query.poll_timeout() {
            self.now = self.now.max(at);
            self.query.on_timeout(self.now);
            assert!(self.query.poll_timeout().is_none_or(|at| at > self.now), "waits for the past");
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.query.poll() {
            assert!(self.done.is_none(), "something comes behind the end");
            match action {
                Action::Datagram { server, payload } => {
                    assert!(self.servers.contains(&server) && payload.len() <= 300);
                    self.question = payload;
                }
                Action::Connect { server } => {
                    assert!(self.servers.contains(&server));
                    assert!(!std::mem::replace(&mut self.dialled, true), "two streams at a time");
                }
                Action::Send { payload } => {
                    assert!(self.dialled, "no stream to send on");
                    assert_eq!(payload.len(), 2 + usize::from(u16::from_be_bytes([payload[0], payload[1]])));
                    self.question = payload[2..].to_vec();
                }
                Action::Close => {
                    assert!(std::mem::replace(&mut self.dialled, false), "no stream to close");
                }
                Action::Done(outcome) => {
                    assert!(!self.dialled, "the stream is left open");
                    self.done = Some(outcome);
                }
                _ => {}
            }
        }
        assert_eq!(self.query.is_done(), self.done.is_some());
        assert_eq!(self.query.poll_timeout().is_none(), self.done.is_some());
    }

    /// A reply to the last question, more or less as it should be.
    fn message(&self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let mut message = self.question[..QUESTION].to_vec();
        message[2] |= 0x80;
        message[3] = if u.ratio(1, 4)? { u.arbitrary()? } else { 0 };
        message[11] = 0;
        if u.ratio(1, 8)? {
            message[2] |= 2;
        }
        let answers = u.int_in_range(0..=8)?;
        message[7] = answers;
        for _ in 0..answers {
            // The question's name, or one that may be anything.
            if u.ratio(7, 8)? {
                message.extend([0xc0, 12]);
            } else {
                message.extend(said(u)?);
            }
            let alias = u.ratio(1, 8)?;
            message.extend([0, if alias { 5 } else { 33 }, 0, 1, 0, 0, 0, 60, 0, 0]);
            let start = message.len();
            if !alias {
                message.extend([0, 0, 0, 0]);
                message.extend(u.arbitrary::<[u8; 2]>()?);
            }
            if u.ratio(3, 4)? {
                let label = said(u)?;
                let label = &label[..label.len().min(63)];
                message.push(label.len() as u8);
                message.extend(label);
                message.extend([0xc0, 12]);
            } else {
                message.extend(said(u)?);
            }
            let length = ((message.len() - start) as u16).to_be_bytes();
            message[start - 2..start].copy_from_slice(&length);
        }
        if u.ratio(1, 3)? {
            let at = u.choose_index(message.len())?;
            message[at] = u.arbitrary()?;
        }
        if u.ratio(1, 8)? {
            message.truncate(u.choose_index(message.len())?);
        }
        Ok(message)
    }
}

fn said<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
    u.bytes(len)
}
