//! What a name server knows.

use simple_dns::rdata::{CNAME, RData, SRV};
use simple_dns::{CLASS, Name, Question, ResourceRecord};
use std::collections::BTreeMap;
use std::net::IpAddr;

const TTL: u32 = 60;
const MAX_ALIASES: usize = 8;

/// Names and their records. Names are absolute, with or without a trailing dot, in any case.
#[derive(Clone, Debug, Default)]
pub struct DnsZone {
    names: BTreeMap<String, Vec<RData<'static>>>,
}

impl DnsZone {
    /// A zone without names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds SRV records for `name`, such as `_couchbases._tcp.cb.example.com`: targets with their ports, priority and weight 0.
    ///
    /// # Panics
    /// Where a name is none that DNS can carry: this, and whatever else is wrong with a zone, is a mistake of its author.
    pub fn srv<'a>(&mut self, name: &str, targets: impl IntoIterator<Item = (&'a str, u16)>) -> &mut Self {
        for (target, port) in targets {
            self.srv_record(name, (0, 0), target, port);
        }
        self
    }

    /// Adds one SRV record, with its priority and weight.
    ///
    /// # Panics
    /// As [`srv`](Self::srv).
    pub fn srv_record(
        &mut self,
        name: &str,
        (priority, weight): (u16, u16),
        target: &str,
        port: u16,
    ) -> &mut Self {
        self.add(name, srv(priority, weight, port, &owned(target)))
    }

    /// Adds an A or AAAA record.
    ///
    /// # Panics
    /// As [`srv`](Self::srv).
    pub fn address(&mut self, name: &str, address: IpAddr) -> &mut Self {
        let data = match address {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        self.add(name, data)
    }

    /// Makes a name an alias of another one (CNAME).
    ///
    /// # Panics
    /// As [`srv`](Self::srv).
    pub fn alias(&mut self, name: &str, of: &str) -> &mut Self {
        self.add(name, RData::CNAME(CNAME(owned(of))))
    }

    /// Takes a name out, with all its records.
    ///
    /// # Panics
    /// As [`srv`](Self::srv).
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.names.remove(&key(&owned(name)));
        self
    }

    fn add(&mut self, name: &str, data: RData<'static>) -> &mut Self {
        self.names.entry(key(&owned(name))).or_default().push(data);
        self
    }

    /// The records that answer a question, aliases first.
    pub(super) fn find(&self, question: &Question<'_>) -> Found {
        let mut owner = question.qname.clone().into_owned();
        let mut answers = Vec::new();
        for _ in 0..=MAX_ALIASES {
            let Some(all) = self.names.get(&key(&owner)) else {
                return if answers.is_empty() { Found::NoSuchName } else { Found::Records(answers) };
            };
            let record =
                |data: &RData<'static>| ResourceRecord::new(owner.clone(), CLASS::IN, TTL, data.clone());
            let matching: Vec<_> =
                all.iter().map(record).filter(|record| record.match_qtype(question.qtype)).collect();
            let alias = all.iter().find_map(|data| match data {
                RData::CNAME(alias) => Some(alias.0.clone()),
                _ => None,
            });
            match alias {
                Some(alias) if matching.is_empty() => {
                    answers.push(record(&RData::CNAME(CNAME(alias.clone()))));
                    owner = alias;
                }
                _ => {
                    answers.extend(matching);
                    break;
                }
            }
        }
        Found::Records(answers)
    }
}

/// What a zone says to a question.
pub(super) enum Found {
    Records(Vec<ResourceRecord<'static>>),
    NoSuchName,
}

pub(super) fn srv(priority: u16, weight: u16, port: u16, target: &Name<'static>) -> RData<'static> {
    RData::SRV(SRV { priority, weight, port, target: target.clone() })
}

/// A name as it is compared.
pub(super) fn key(name: &Name<'_>) -> String {
    name.to_string().to_ascii_lowercase()
}

fn owned(name: &str) -> Name<'static> {
    Name::new(name).unwrap_or_else(|error| panic!("{name:?} is no name: {error:?}")).into_owned()
}
