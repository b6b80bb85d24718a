//! DNS messages (RFC 1035, RFC 6891): writing one question, reading what answers it.
//!
//! The reader takes any bytes. It allocates nothing by their counts, a compression pointer must point before the labels that
//! lead to it, and a name has at most 32 of them, so that the work is bounded by the message's length.

pub(super) const TYPE_CNAME: u16 = 5;
pub(super) const TYPE_SRV: u16 = 33;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// What a datagram may hold (EDNS): fits into one packet on nearly every path.
const UDP_PAYLOAD: u16 = 1232;
const HEADER: usize = 12;
/// All of a name, with the lengths of its labels and the closing zero.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const MAX_POINTERS: usize = 32;

/// Why bytes are no DNS message.
pub(super) type Malformed = &'static str;

/// The response codes that mean something here; the rest are numbers.
pub(super) mod rcode {
    pub(in super::super) const NO_ERROR: u16 = 0;
    pub(in super::super) const FORMAT_ERROR: u16 = 1;
    pub(in super::super) const SERVER_FAILURE: u16 = 2;
    pub(in super::super) const NAME_ERROR: u16 = 3;
    pub(in super::super) const NOT_IMPLEMENTED: u16 = 4;
    pub(in super::super) const REFUSED: u16 = 5;
    pub(in super::super) const BAD_VERSION: u16 = 16;
}

/// The name in wire form, lower case; `None` where DNS cannot carry it.
pub(super) fn encode_name(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return None;
        }
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    wire.push(0);
    (wire.len() <= MAX_NAME).then_some(wire)
}

/// A query for the SRV records of `name` (in wire form), with EDNS or without.
pub(super) fn write_query(id: u16, name: &[u8], edns: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 15);
    message.extend(id.to_be_bytes());
    // Recursion is desired; one question, and the OPT record as the one additional record.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    message.extend(name);
    message.extend(TYPE_SRV.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    if edns {
        message.push(0);
        message.extend(TYPE_OPT.to_be_bytes());
        message.extend(UDP_PAYLOAD.to_be_bytes());
        message.extend([0; 6]);
    }
    message
}

/// Whose answer a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// It repeats the question.
    Ours,
    /// It has none, as some servers' errors.
    Absent,
    /// It repeats another one.
    Foreign,
}

/// The beginning of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: u16,
    flags: u16,
    counts: [u16; 4],
}

impl Header {
    /// `None` where the message is too short for one.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let field = |index: usize| read_u16(message, 2 * index).ok();
        Some(Self { id: field(0)?, flags: field(1)?, counts: [field(2)?, field(3)?, field(4)?, field(5)?] })
    }

    /// Whether it is a response to an ordinary query.
    pub(super) const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0 && self.flags & 0x7800 == 0
    }

    /// Whether something did not fit.
    pub(super) const fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }
}

/// A response whose header and question have been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response<'a> {
    message: &'a [u8],
    header: Header,
    pub(super) question: Question,
    /// Where the answer section begins.
    answers: usize,
}

impl<'a> Response<'a> {
    /// Reads up to the answers; `name` is what was asked for, in wire form.
    pub(super) fn read(message: &'a [u8], header: Header, name: &[u8]) -> Result<Self, Malformed> {
        let (mut at, mut question) = (HEADER, Question::Absent);
        let mut asked = Vec::new();
        for index in 0..header.counts[0] {
            at = read_name(message, at, &mut asked)?;
            let (kind, class) = (read_u16(message, at)?, read_u16(message, at + 2)?);
            at += 4;
            let ours = index == 0 && asked == name && kind == TYPE_SRV && class == CLASS_IN;
            question = if ours { Question::Ours } else { Question::Foreign };
        }
        Ok(Self { message, header, question, answers: at })
    }

    pub(super) const fn is_truncated(&self) -> bool {
        self.header.is_truncated()
    }

    /// The response code, with the upper bits that an OPT record carries.
    pub(super) fn rcode(&self) -> u16 {
        let upper = self.opt_ttl().map_or(0, |ttl| (ttl >> 24) as u16);
        (upper << 4) | (self.header.flags & 0x000f)
    }

    /// The records of the answer section, one by one; ends behind the first error. A truncated message may end anywhere.
    pub(super) fn answers(&self) -> impl Iterator<Item = Result<Record<'a>, Malformed>> + use<'a> {
        let Self { message, header, answers: mut at, .. } = *self;
        let mut left = header.counts[1];
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            match Record::read(message, at) {
                Ok((record, end)) => {
                    at = end;
                    Some(Ok(record))
                }
                Err(_) if header.is_truncated() => {
                    left = 0;
                    None
                }
                Err(error) => {
                    left = 0;
                    Some(Err(error))
                }
            }
        })
    }

    /// Nothing else is needed of what follows the answers, so what is wrong there does not matter.
    fn opt_ttl(&self) -> Option<u32> {
        let mut at = self.answers;
        for _ in 0..self.header.counts[1..].iter().map(|&count| u32::from(count)).sum() {
            let (record, end) = Record::read(self.message, at).ok()?;
            if record.kind == TYPE_OPT {
                return Some(record.ttl);
            }
            at = end;
        }
        None
    }
}

/// One record of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    message: &'a [u8],
    owner: usize,
    pub(super) kind: u16,
    class: u16,
    ttl: u32,
    /// Where its data begins and ends.
    data: (usize, usize),
}

impl<'a> Record<'a> {
    fn read(message: &'a [u8], owner: usize) -> Result<(Self, usize), Malformed> {
        let at = skip_name(message, owner)?;
        let ttl = (u32::from(read_u16(message, at + 4)?) << 16) | u32::from(read_u16(message, at + 6)?);
        let start = at + 10;
        let end = start + usize::from(read_u16(message, at + 8)?);
        if end > message.len() {
            return Err("a record reaches beyond the end");
        }
        let (kind, class) = (read_u16(message, at)?, read_u16(message, at + 2)?);
        Ok((Self { message, owner, kind, class, ttl, data: (start, end) }, end))
    }

    /// Whether it is such a record of the class IN, owned by `name` (in wire form).
    pub(super) fn is(&self, kind: u16, name: &[u8], buffer: &mut Vec<u8>) -> Result<bool, Malformed> {
        if self.kind != kind || self.class != CLASS_IN {
            return Ok(false);
        }
        read_name(self.message, self.owner, buffer)?;
        Ok(buffer == name)
    }

    /// The data of a CNAME record: the other name, in wire form.
    pub(super) fn read_cname(&self, name: &mut Vec<u8>) -> Result<(), Malformed> {
        let end = read_name(self.message, self.data.0, name)?;
        if end == self.data.1 { Ok(()) } else { Err("an alias of another length than it says") }
    }

    /// The data of an SRV record: priority, weight and port, and the target in wire form.
    pub(super) fn read_srv(&self, target: &mut Vec<u8>) -> Result<[u16; 3], Malformed> {
        let (start, end) = self.data;
        let data = self.message.get(..end).unwrap_or(self.message);
        let fields = [read_u16(data, start)?, read_u16(data, start + 2)?, read_u16(data, start + 4)?];
        if read_name(data, start + 6, target)? == end {
            Ok(fields)
        } else {
            Err("an SRV record of another length than it says")
        }
    }
}

fn read_u16(message: &[u8], at: usize) -> Result<u16, Malformed> {
    match message.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(&bytes) => Ok(u16::from_be_bytes(bytes)),
        None => Err("it ends too early"),
    }
}

/// Where the name at `at` ends, without looking at what its pointer leads to.
fn skip_name(message: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        match message.get(at) {
            Some(0) => return Ok(at + 1),
            Some(&length) if length < 0x40 => at += 1 + usize::from(length),
            Some(&length) if length >= 0xc0 => return Ok(at + 2),
            Some(_) => return Err("a label of an unknown kind"),
            None => return Err("it ends too early"),
        }
    }
}

/// Reads the name at `at` into `name`, in wire form without compression and in lower case; gives where it ends.
fn read_name(message: &[u8], at: usize, name: &mut Vec<u8>) -> Result<usize, Malformed> {
    name.clear();
    let end = skip_name(message, at)?;
    let (mut at, mut before, mut pointers) = (at, at, 0);
    loop {
        let length = *message.get(at).ok_or("it ends too early")?;
        if length < 0x40 {
            let label = message.get(at..=at + usize::from(length)).ok_or("it ends too early")?;
            if name.len() + label.len() > MAX_NAME {
                return Err("a name is longer than 255 bytes");
            }
            name.extend(label.iter().map(u8::to_ascii_lowercase));
            if length == 0 {
                return Ok(end);
            }
            at += label.len();
        } else if length >= 0xc0 {
            let target = usize::from(read_u16(message, at)? & 0x3fff);
            pointers += 1;
            if target >= before || pointers > MAX_POINTERS {
                return Err("a name's compression leads nowhere");
            }
            (at, before) = (target, target);
        } else {
            return Err("a label of an unknown kind");
        }
    }
}
