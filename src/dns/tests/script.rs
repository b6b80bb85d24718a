//! A query and its name servers in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simple_dns::rdata::{CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord};

use crate::dns::{Action, Answer, Outcome, Query, ResolverConfig, SrvError, Target};

pub(super) const NAME: &str = "_couchbases._tcp.cb.example.com";
/// The time-out of a bootstrap's query (CS-28).
pub(super) const DEADLINE: Duration = Duration::from_millis(500);
const LATENCY: u64 = 10;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn address(server: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, server as u8 + 1], 53))
}

pub(super) fn config(servers: usize) -> ResolverConfig {
    ResolverConfig::new((0..servers).map(address).collect())
}

/// What a server is asked.
pub(super) struct Asked {
    pub(super) message: Vec<u8>,
    pub(super) id: u16,
    pub(super) edns: bool,
    pub(super) tcp: bool,
}

impl Asked {
    pub(super) fn read(payload: &[u8], tcp: bool) -> Self {
        let packet = Packet::parse(payload).unwrap();
        assert!(!packet.has_flags(PacketFlag::RESPONSE) && packet.has_flags(PacketFlag::RECURSION_DESIRED));
        assert_eq!(packet.questions.len(), 1);
        assert_eq!(packet.questions[0].qname.to_string(), NAME);
        if let Some(opt) = packet.opt() {
            assert_eq!((opt.udp_packet_size, opt.version), (1232, 0));
        }
        Self { id: packet.id(), edns: packet.opt().is_some(), tcp, message: payload.to_vec() }
    }

    /// A reply without records.
    pub(super) fn reply(&self) -> Packet<'static> {
        let asked = Packet::parse(&self.message).unwrap();
        let mut reply = Packet::new_reply(self.id);
        reply.questions = asked.questions.into_iter().map(Question::into_owned).collect();
        reply
    }

    pub(super) fn records(&self, count: usize) -> Said {
        let mut reply = self.reply();
        reply.answers = (0..count).map(|index| srv(&format!("node{index}.example.com"), 11207)).collect();
        said(&reply)
    }

    pub(super) fn code(&self, code: RCODE) -> Said {
        let mut reply = self.reply();
        *reply.rcode_mut() = code;
        said(&reply)
    }

    /// The first `count` records, and the sign that there are more.
    pub(super) fn truncated(&self, count: usize) -> Said {
        let Said::Bytes(mut bytes) = self.records(count) else { unreachable!() };
        bytes[2] |= 2;
        Said::Bytes(bytes)
    }

    /// As many records as fit, over UDP.
    pub(super) fn fitting(&self, count: usize) -> Said {
        let Said::Bytes(bytes) = self.records(count) else { unreachable!() };
        let limit = if self.edns { 1232 } else { 512 };
        if self.tcp || bytes.len() <= limit { Said::Bytes(bytes) } else { self.truncated(0) }
    }
}

pub(super) fn srv(target: &str, port: u16) -> ResourceRecord<'static> {
    let target = Name::new(target).unwrap().into_owned();
    record(NAME, RData::SRV(SRV { priority: 0, weight: 0, port, target }))
}

pub(super) fn cname(owner: &str, alias: &str) -> ResourceRecord<'static> {
    record(owner, RData::CNAME(CNAME(Name::new(alias).unwrap().into_owned())))
}

pub(super) fn record(owner: &str, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new(owner).unwrap().into_owned(), CLASS::IN, 60, data)
}

pub(super) fn said(packet: &Packet<'_>) -> Said {
    Said::Bytes(packet.build_bytes_vec_compressed().unwrap())
}

/// What a server does about a question.
pub(super) enum Said {
    Silence,
    /// A message, after the usual latency.
    Bytes(Vec<u8>),
    After(u64, Vec<u8>),
    /// A datagram from another address.
    From(SocketAddr, Vec<u8>),
    /// Nobody listens there.
    Unreachable,
    /// The stream ends.
    Lost,
    /// These bytes of a stream, as they are.
    Raw(Vec<u8>),
    Several(Vec<Self>),
}

pub(super) type Script = Box<dyn FnMut(&Asked) -> Said>;

/// What happens to a TCP dial.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Dial {
    Opens,
    Refused,
    Silent,
}

enum Event {
    Datagram(SocketAddr, Vec<u8>),
    Failed,
    Connected,
    Stream(Vec<u8>),
    Lost,
}

pub(super) struct World {
    pub(super) query: Query,
    scripts: Vec<Script>,
    pub(super) dial: Dial,
    /// In slices of so many bytes the stream is read.
    pub(super) slice: usize,
    start: Instant,
    now: Instant,
    events: Vec<(Instant, Event)>,
    stream: Option<usize>,
    /// Each question: at which millisecond, to whom, whether by TCP.
    pub(super) log: Vec<(u64, usize, bool)>,
}

impl World {
    pub(super) fn new(scripts: Vec<Script>) -> Self {
        let config = config(scripts.len());
        Self::with(&config, DEADLINE, scripts)
    }

    pub(super) fn with(config: &ResolverConfig, deadline: Duration, scripts: Vec<Script>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the beginning of virtual time")]
        let now = Instant::now();
        Self {
            query: Query::new(NAME, config, deadline, 0x5eed, now),
            scripts,
            dial: Dial::Opens,
            slice: usize::MAX,
            start: now,
            now,
            events: Vec::new(),
            stream: None,
            log: Vec::new(),
        }
    }

    pub(super) fn run(&mut self) -> Outcome {
        for _ in 0..100_000 {
            while let Some(action) = self.query.poll() {
                if let Action::Done(outcome) = action {
                    assert!(
                        self.query.is_done() && self.query.poll().is_none(),
                        "`Done` is not the last action"
                    );
                    assert_eq!(self.query.poll_timeout(), None);
                    assert_eq!(self.stream, None, "the stream is left open");
                    return outcome;
                }
                self.act(action);
            }
            self.step();
        }
        panic!("the query does not end");
    }

    fn step(&mut self) {
        let due = self.query.poll_timeout().expect("a query that goes on has a deadline");
        assert!(due > self.now, "time stands still");
        let next = (0..self.events.len()).min_by_key(|&index| self.events[index].0);
        let Some(next) = next.filter(|&index| self.events[index].0 < due) else {
            self.now = due;
            return self.query.on_timeout(due);
        };
        let (at, event) = self.events.remove(next);
        self.now = self.now.max(at);
        match event {
            Event::Datagram(from, bytes) => self.query.on_datagram(from, &bytes, self.now),
            Event::Failed => self.query.on_datagram_failed(None, SrvError::Unreachable, self.now),
            Event::Connected if self.stream.is_some() => self.query.on_connected(self.now),
            Event::Stream(bytes) if self.stream.is_some() => {
                for slice in bytes.chunks(self.slice) {
                    self.query.on_stream(slice, self.now);
                }
            }
            Event::Lost if self.stream.take().is_some() => self.query.on_stream_lost(self.now),
            _ => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Datagram { server, payload } => {
                assert!(payload.len() <= 300);
                let server = self.index(server);
                self.ask(server, &payload, false);
            }
            Action::Connect { server } => {
                assert_eq!(self.stream, None, "two streams at a time");
                self.stream = Some(self.index(server));
                match self.dial {
                    Dial::Opens => self.event(LATENCY, Event::Connected),
                    Dial::Refused => self.event(LATENCY, Event::Lost),
                    Dial::Silent => {}
                }
            }
            Action::Send { payload } => {
                let (length, message) = payload.split_first_chunk().unwrap();
                assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
                let server = self.stream.expect("an open stream");
                self.ask(server, message, true);
            }
            Action::Close => {
                self.stream.take().expect("an open stream");
            }
            Action::Done(_) => unreachable!("the end of the run"),
        }
    }

    fn ask(&mut self, server: usize, payload: &[u8], tcp: bool) {
        self.log.push(((self.now - self.start).as_millis() as u64, server, tcp));
        let said = self.scripts[server](&Asked::read(payload, tcp));
        self.say(server, tcp, said);
    }

    fn say(&mut self, server: usize, tcp: bool, said: Said) {
        let message = |bytes: Vec<u8>| match tcp {
            true => Event::Stream([&(bytes.len() as u16).to_be_bytes(), &bytes[..]].concat()),
            false => Event::Datagram(address(server), bytes),
        };
        match said {
            Said::Silence => {}
            Said::Bytes(bytes) => self.event(LATENCY, message(bytes)),
            Said::After(millis, bytes) => self.event(millis, message(bytes)),
            Said::From(from, bytes) => self.event(LATENCY, Event::Datagram(from, bytes)),
            Said::Unreachable => self.event(LATENCY, Event::Failed),
            Said::Lost => self.event(LATENCY, Event::Lost),
            Said::Raw(bytes) => self.event(LATENCY, Event::Stream(bytes)),
            Said::Several(all) => all.into_iter().for_each(|said| self.say(server, tcp, said)),
        }
    }

    fn event(&mut self, millis: u64, event: Event) {
        self.events.push((self.now + ms(millis), event));
    }

    fn index(&self, server: SocketAddr) -> usize {
        (0..self.scripts.len()).find(|&index| address(index) == server).expect("a configured server")
    }

    /// Which servers were asked, in order.
    pub(super) fn servers(&self) -> Vec<usize> {
        self.log.iter().map(|&(_, server, _)| server).collect()
    }
}

pub(super) fn script(said: impl FnMut(&Asked) -> Said + 'static) -> Script {
    Box::new(said)
}

pub(super) fn silent() -> Script {
    script(|_| Said::Silence)
}

pub(super) fn targets(outcome: &Outcome) -> &[Target] {
    match &outcome.answer {
        Answer::Records(targets) => targets,
        other => panic!("no records: {other:?}"),
    }
}

pub(super) fn failure(outcome: &Outcome) -> &SrvError {
    match &outcome.answer {
        Answer::Failed(error) => error,
        other => panic!("no failure: {other:?}"),
    }
}
