//! Versions of cluster maps, and reading one without building the document.

use std::cmp::Ordering;
use std::fmt;

use super::json::{Int, MAX_BYTES, Scalar};

/// The version of a cluster map: (epoch, rev), compared lexicographically (R-VER-1).
///
/// `rev` is one counter for the whole cluster: expect jumps, not +1. `epoch` grows with every quorum failover, after
/// which `rev` may fall; servers before 7.0 send none, which orders as 0. Two versions that compare equal do not
/// promise equal texts. Equality follows the ordering: an absent epoch equals epoch 0.
#[derive(Debug, Clone, Copy)]
pub struct ConfigRev {
    /// `revEpoch`, `None` where the config has none. Negative means uninitialised.
    pub epoch: Option<i64>,
    /// `rev`.
    pub rev: i64,
}

impl ConfigRev {
    /// A version with or without epoch.
    pub fn new(epoch: Option<i64>, rev: i64) -> Self {
        Self { epoch, rev }
    }

    /// (epoch, rev) to send as the known version in a config fetch, or `None` where it must not be sent: a node files
    /// configs without epoch under -1 and refuses 0 (R-VER-9).
    pub fn known_version(self) -> Option<(i64, i64)> {
        match self.epoch {
            Some(epoch) if epoch >= 1 => Some((epoch, self.rev)),
            _ => None,
        }
    }

    fn key(self) -> (i64, i64) {
        (self.epoch.unwrap_or(0), self.rev)
    }
}

impl PartialEq for ConfigRev {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ConfigRev {}

impl PartialOrd for ConfigRev {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ConfigRev {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for ConfigRev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{epoch}/{}", self.rev),
            None => write!(f, "-/{}", self.rev),
        }
    }
}

/// The version of a config, found by scanning its top level (cluster-maps 13, S54).
///
/// The order of keys does not matter and keys inside nested values are not looked at. The scan ends as soon as both
/// `rev` and `revEpoch` have been seen, which in bucket configs is within the first bytes; with only one of them it
/// runs to the end of the document, to know that the other is absent. What is skipped is not validated, so `Some` is
/// no promise that [`parse`](super::parse()) accepts the document; but where it does, the versions agree. (A document
/// that repeats one of the two keys is the exception: the scan takes the first, the parser the last.)
///
/// `None` where no version was found: not an object, cut short, `rev` absent, malformed or negative, larger than
/// 30 MiB. Allocates nothing except for keys spelled with escapes.
pub fn peek_rev(bytes: &[u8]) -> Option<ConfigRev> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let mut scan = Scan { bytes, at: 0 };
    scan.expect(b'{')?;
    let (mut rev, mut epoch) = (None, None);
    if scan.peek()? == b'}' {
        return None;
    }
    loop {
        let key = scan.key()?;
        scan.expect(b':')?;
        let value = scan.value()?;
        match key {
            Key::Rev => rev = Some(value),
            Key::RevEpoch => epoch = Some(value),
            Key::Other => {}
        }
        if rev.is_some() && epoch.is_some() {
            break;
        }
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let Int::Value(rev) = scalar(rev?)?.int() else { return None };
    if rev < 0 {
        return None;
    }
    let epoch = match epoch.and_then(scalar).map(Scalar::int) {
        Some(Int::Value(epoch)) => Some(epoch),
        _ => None,
    };
    Some(ConfigRev { epoch, rev })
}

fn scalar(value: &[u8]) -> Option<Scalar<'_>> {
    std::str::from_utf8(value).ok().map(Scalar)
}

enum Key {
    Rev,
    RevEpoch,
    Other,
}

/// The longest spelling of a wanted key: `revEpoch` with each letter as a six-byte escape, and two quotes.
const LONGEST_KEY: usize = 8 * 6 + 2;

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The next byte that is not blank, without consuming it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at;
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.bytes.get(start..self.at)
    }

    fn key(&mut self) -> Option<Key> {
        let quoted = self.string()?;
        Some(match quoted {
            b"\"rev\"" => Key::Rev,
            b"\"revEpoch\"" => Key::RevEpoch,
            _ if quoted.len() <= LONGEST_KEY && quoted.contains(&b'\\') => {
                match serde_json::from_slice::<String>(quoted).as_deref() {
                    Ok("rev") => Key::Rev,
                    Ok("revEpoch") => Key::RevEpoch,
                    _ => Key::Other,
                }
            }
            _ => Key::Other,
        })
    }

    /// Any value: a scalar's text, or the whole of a container.
    fn value(&mut self) -> Option<&'a [u8]> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => {
                let start = self.at;
                let mut depth = 0usize;
                loop {
                    match self.bytes.get(self.at)? {
                        b'"' => {
                            self.string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return self.bytes.get(start..self.at);
                    }
                }
            }
            _ => {
                let start = self.at;
                while let Some(byte) = self.bytes.get(self.at)
                    && !matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                {
                    self.at += 1;
                }
                self.bytes.get(start..self.at)
            }
        }
    }
}
