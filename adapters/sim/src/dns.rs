//! A name server: a zone, and how well the server behaves. A pure state machine; [`DnsServed`] is its form on loopback,
//! [`Net::place_dns`](crate::Net::place_dns) the one in virtual time.

mod served;
mod zone;

pub use served::DnsServed;
pub(crate) use served::{framed, take_frame};
pub use zone::DnsZone;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{Name, OPCODE, Packet, PacketFlag, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::time::Duration;
use zone::Found;

/// What the oldest resolvers take in a datagram (RFC 1035).
const CLASSIC_LIMIT: usize = 512;
/// What this server takes in a datagram.
const UDP_PAYLOAD: u16 = 1232;

/// What the server says instead of what its zone holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsBehaviour {
    /// It answers from its zone.
    #[default]
    Serve,
    /// No name exists.
    NxDomain,
    /// It failed (SERVFAIL).
    ServFail,
    /// It does not want to (REFUSED).
    Refused,
    /// It says nothing at all.
    Silent,
    /// It says something that is no DNS message but for its id.
    Garbage,
}

/// What the server makes of EDNS (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsEdns {
    /// It answers with EDNS, in datagrams as large as the client takes.
    #[default]
    Understood,
    /// It answers as if there were none, in 512 bytes.
    Ignored,
    /// It refuses such queries (FORMERR).
    FormErr,
    /// Such queries do not reach it.
    Dropped,
}

/// What the server does on TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DnsTcp {
    /// It answers.
    #[default]
    Open,
    /// Nobody listens.
    Refused,
    /// It takes connections and says nothing.
    Silent,
}

/// A forged answer that arrives before the true one. Its one target is `forged.invalid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsSpoof {
    /// From the right address, with a wrong id.
    WrongId,
    /// With the right id, about another name.
    WrongQuestion,
    /// With everything right but the sender.
    ForeignSource,
}

/// How the server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsSettings {
    /// What it says instead of what its zone holds.
    pub behaviour: DnsBehaviour,
    /// What it makes of EDNS.
    pub edns: DnsEdns,
    /// What it does on TCP.
    pub tcp: DnsTcp,
    /// No datagram is larger than so many bytes, whatever the client takes; what is larger is truncated.
    pub udp_limit: usize,
    /// Whether a truncated answer holds the records that fit; otherwise none.
    pub truncated_records: bool,
    /// Answers larger than so many bytes are refused (REFUSED), as some home routers do.
    pub refused_above: Option<usize>,
    /// How long it takes to answer.
    pub delay: Duration,
    /// Forged answers that arrive with each true one by UDP.
    pub spoofs: Vec<DnsSpoof>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            behaviour: DnsBehaviour::default(),
            edns: DnsEdns::default(),
            tcp: DnsTcp::default(),
            udp_limit: usize::from(UDP_PAYLOAD),
            truncated_records: true,
            refused_above: None,
            delay: Duration::ZERO,
            spoofs: Vec::new(),
        }
    }
}

/// A question that the server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuestion {
    /// The name, in lower case, without the trailing dot.
    pub name: String,
    /// The type of record: 1 for A, 28 for AAAA, 33 for SRV.
    pub kind: u16,
    /// Whether by TCP.
    pub over_tcp: bool,
    /// Whether with EDNS.
    pub edns: bool,
}

/// A name server.
#[derive(Clone, Debug, Default)]
pub struct DnsServer {
    /// What it knows.
    pub zone: DnsZone,
    /// How it behaves.
    pub settings: DnsSettings,
    asked: Vec<DnsQuestion>,
}

impl From<DnsZone> for DnsServer {
    fn from(zone: DnsZone) -> Self {
        Self { zone, ..Self::default() }
    }
}

impl DnsServer {
    /// What it was asked so far, what it did not answer too.
    pub fn questions(&self) -> &[DnsQuestion] {
        &self.asked
    }

    /// The answer to a message, to be sent after [`DnsSettings::delay`]. `None`: it says nothing, since it is set to or because
    /// this is no query.
    pub fn answer(&mut self, request: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let packet = parse(request)?;
        let question = packet.questions.first()?;
        let edns = packet.opt();
        self.asked.push(DnsQuestion {
            name: zone::key(&question.qname),
            kind: question.qtype.into(),
            over_tcp,
            edns: edns.is_some(),
        });
        if over_tcp && self.settings.tcp != DnsTcp::Open {
            return None;
        }
        let mut reply = reply_to(&packet);
        match (edns, self.settings.edns) {
            (None, _) | (_, DnsEdns::Ignored) => {}
            (Some(_), DnsEdns::Dropped) => return None,
            (Some(_), DnsEdns::FormErr) => {
                *reply.rcode_mut() = RCODE::FormatError;
                return reply.build_bytes_vec_compressed().ok();
            }
            (Some(_), DnsEdns::Understood) => {
                *reply.opt_mut() =
                    Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_PAYLOAD, version: 0 });
            }
        }
        match self.settings.behaviour {
            DnsBehaviour::Serve => self.serve(question, &mut reply),
            DnsBehaviour::NxDomain => *reply.rcode_mut() = RCODE::NameError,
            DnsBehaviour::ServFail => *reply.rcode_mut() = RCODE::ServerFailure,
            DnsBehaviour::Refused => *reply.rcode_mut() = RCODE::Refused,
            DnsBehaviour::Silent => return None,
            DnsBehaviour::Garbage => {
                let mut garbage = reply.build_bytes_vec_compressed().ok()?;
                // The response's first name is a pointer to itself.
                garbage.truncate(12);
                garbage.extend([0xc0, 12, 0xff]);
                return Some(garbage);
            }
        }
        let bytes = reply.build_bytes_vec_compressed().ok()?;
        if self.settings.refused_above.is_some_and(|limit| bytes.len() > limit) {
            reply.answers.clear();
            *reply.rcode_mut() = RCODE::Refused;
            return reply.build_bytes_vec_compressed().ok();
        }
        let limit = match edns.filter(|_| reply.opt().is_some()) {
            _ if over_tcp => usize::from(u16::MAX),
            Some(opt) => usize::from(opt.udp_packet_size).max(CLASSIC_LIMIT).min(self.settings.udp_limit),
            None => CLASSIC_LIMIT.min(self.settings.udp_limit),
        };
        if bytes.len() <= limit { Some(bytes) } else { self.truncate(reply, bytes.len(), limit) }
    }

    /// The forged answers to a message, each with whether it comes from another address.
    pub fn spoofs(&self, request: &[u8]) -> Vec<(bool, Vec<u8>)> {
        self.settings.spoofs.iter().filter_map(|spoof| forge(request, *spoof)).collect()
    }

    fn serve(&self, question: &Question<'_>, reply: &mut Packet<'_>) {
        match self.zone.find(question) {
            Found::Records(records) => reply.answers = records,
            Found::NoSuchName => *reply.rcode_mut() = RCODE::NameError,
        }
    }

    fn truncate(&self, mut reply: Packet<'_>, mut len: usize, limit: usize) -> Option<Vec<u8>> {
        reply.set_flags(PacketFlag::TRUNCATION);
        if !self.settings.truncated_records {
            reply.answers.clear();
        }
        loop {
            let fitting = reply.answers.len() * limit / len.max(1);
            reply.answers.truncate(fitting.min(reply.answers.len().saturating_sub(1)));
            let bytes = reply.build_bytes_vec_compressed().ok()?;
            len = bytes.len();
            if len <= limit || reply.answers.is_empty() {
                return Some(bytes);
            }
        }
    }
}

/// A query with one question; its counts are looked at before anything is made of them.
fn parse(request: &[u8]) -> Option<Packet<'_>> {
    let counts = request.get(4..12)?;
    if counts[..7] != [0, 1, 0, 0, 0, 0, 0] || counts[7] > 1 {
        return None;
    }
    Packet::parse(request)
        .ok()
        .filter(|packet| packet.opcode() == OPCODE::StandardQuery && !packet.has_flags(PacketFlag::RESPONSE))
}

fn reply_to(query: &Packet<'_>) -> Packet<'static> {
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions = query.questions.iter().cloned().map(Question::into_owned).collect();
    reply
}

fn forge(request: &[u8], spoof: DnsSpoof) -> Option<(bool, Vec<u8>)> {
    let packet = parse(request)?;
    let mut reply = reply_to(&packet);
    match spoof {
        DnsSpoof::WrongId => reply.set_id(packet.id().wrapping_add(1)),
        DnsSpoof::WrongQuestion => {
            reply.questions.first_mut()?.qname = name("_couchbase._tcp.forged.invalid")?
        }
        DnsSpoof::ForeignSource => {}
    }
    let question = reply.questions.first()?;
    let data = match question.qtype {
        QTYPE::TYPE(TYPE::A) => RData::A(std::net::Ipv4Addr::new(192, 0, 2, 1).into()),
        QTYPE::TYPE(TYPE::AAAA) => RData::AAAA(std::net::Ipv6Addr::LOCALHOST.into()),
        _ => zone::srv(0, 0, 1, &name("forged.invalid")?),
    };
    let record = ResourceRecord::new(question.qname.clone(), simple_dns::CLASS::IN, 60, data);
    reply.answers.push(record);
    Some((spoof == DnsSpoof::ForeignSource, reply.build_bytes_vec_compressed().ok()?))
}

fn name(text: &str) -> Option<Name<'static>> {
    Name::new(text).ok().map(Name::into_owned)
}

#[cfg(test)]
mod tests;
