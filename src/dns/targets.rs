//! From an answer's records to targets.

use super::message::{Malformed, Response, TYPE_CNAME, TYPE_SRV};
use super::outcome::Target;

/// More targets than any cluster has.
pub(super) const MAX_TARGETS: usize = 512;
const MAX_ALIASES: usize = 8;

/// What an answer's records say.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    /// Records that are of no use, or too many.
    pub(super) left_out: usize,
}

/// The targets of `name` (in wire form), or of the name that it is an alias of.
pub(super) fn read(response: &Response<'_>, name: &[u8]) -> Result<Found, Malformed> {
    let owner = follow_aliases(response, name)?;
    let domain = domain(name);
    let mut found = Found::default();
    let (mut buffer, mut host) = (Vec::new(), Vec::new());
    for record in response.answers() {
        let record = record?;
        if !record.is(TYPE_SRV, &owner, &mut buffer)? {
            continue;
        }
        let [priority, weight, port] = record.read_srv(&mut host)?;
        if host == [0] {
            // The root as a target says: this service is not offered here (RFC 2782).
            continue;
        }
        let Some(text) = host_name(&host).filter(|_| port != 0) else {
            found.left_out += 1;
            continue;
        };
        if found.targets.iter().any(|target| target.host == text && target.port == port) {
            continue;
        }
        if found.targets.len() == MAX_TARGETS {
            found.left_out += 1;
            continue;
        }
        let relative_suspected = repeats(&labels(&host), &domain);
        found.targets.push(Target { host: text, port, priority, weight, relative_suspected });
    }
    Ok(found)
}

fn follow_aliases(response: &Response<'_>, name: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut owner = name.to_vec();
    let (mut buffer, mut alias) = (Vec::new(), Vec::new());
    for _ in 0..=MAX_ALIASES {
        let mut followed = false;
        for record in response.answers() {
            let record = record?;
            if record.is(TYPE_CNAME, &owner, &mut buffer)? {
                record.read_cname(&mut alias)?;
                followed = true;
                break;
            }
        }
        if !followed {
            return Ok(owner);
        }
        std::mem::swap(&mut owner, &mut alias);
    }
    Err("a chain of aliases without an end")
}

/// The name as text; `None` where it is no host name, so that nobody could look it up and no log should show it.
fn host_name(name: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in labels(name) {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            text.push(char::from(byte));
        }
    }
    Some(text)
}

fn labels(name: &[u8]) -> Vec<&[u8]> {
    let (mut labels, mut rest) = (Vec::new(), name);
    while let Some((&length, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(usize::from(length)).filter(|_| length > 0)
        else {
            break;
        };
        labels.push(label);
        rest = behind;
    }
    labels
}

/// The domain of an SRV name: what follows service and protocol.
fn domain(name: &[u8]) -> Vec<&[u8]> {
    labels(name).into_iter().skip_while(|label| label.starts_with(b"_")).collect()
}

/// Whether a host is a full name of the domain's with a zone of the domain appended (D-5). The last two labels stand for
/// the domain: a target in another part of it is as suspicious.
fn repeats(host: &[&[u8]], domain: &[&[u8]]) -> bool {
    let tail = domain.get(domain.len().saturating_sub(2)..).unwrap_or_default();
    !tail.is_empty()
        && (tail.len()..=domain.len()).any(|zone| {
            let zone = domain.get(domain.len() - zone..).unwrap_or_default();
            host.strip_suffix(zone).is_some_and(|written| written.ends_with(tail))
        })
}
