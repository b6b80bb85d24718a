//! Reading requests: frame infos, keys, and the checks that the server's validators make.

use crate::features::Features;
use crate::leb128;
use settee::wire::{Frame, Opcode, Status};

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A status with an empty body.
    Status(Status),
    /// A status with an error object that explains it.
    Explained(Status, String),
    /// An unknown collection or scope, with the manifest's uid.
    Manifest(Status, u64),
    /// The vbucket is another node's: the answer is the bucket's map.
    NotMyVbucket,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) fn invalid(text: &str) -> Failure {
    Failure::Explained(Status::EINVAL, text.to_owned())
}

/// The frame infos of a request that this server knows (`kv-protocol.md` 2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameInfos<'a> {
    /// The durability level.
    pub(crate) durability: Option<u8>,
    pub(crate) preserve_ttl: bool,
    /// The user acted for, without the mark of an external domain.
    pub(crate) impersonate: Option<&'a [u8]>,
}

/// Reads framing extras, checked against what the opcode accepts (OP-2).
pub(crate) fn frame_infos(opcode: Opcode, mut bytes: &[u8]) -> Result<FrameInfos<'_>, Failure> {
    let mut infos = FrameInfos::default();
    let attributes = opcode.attributes();
    while let Some((first, rest)) = bytes.split_first() {
        let (id, rest) = escaped(first >> 4, rest)?;
        let (len, rest) = escaped(first & 0x0f, rest)?;
        let (payload, rest) = rest.split_at_checked(len).ok_or_else(|| invalid("frame info is cut off"))?;
        bytes = rest;
        match id {
            0 if payload.is_empty() => {}
            1 => {
                if !attributes.durability {
                    return Err(Status::NOT_SUPPORTED.into());
                }
                let level = match payload {
                    [level] => *level,
                    [_, 0, 0] | [_, 0xff, 0xff] => return Err(invalid("durability time-out")),
                    [level, _, _] => *level,
                    _ => return Err(invalid("durability frame info of wrong size")),
                };
                if infos.durability.replace(level).is_some() {
                    return Err(invalid("frame info given twice"));
                }
                if !(1..=3).contains(&level) {
                    return Err(Status::DURABILITY_INVALID_LEVEL.into());
                }
            }
            4 if !payload.is_empty() => {
                infos.impersonate = Some(payload.strip_prefix(b"^").unwrap_or(payload));
            }
            5 if payload.is_empty() => {
                if !attributes.preserve_ttl {
                    return Err(Status::NOT_SUPPORTED.into());
                }
                infos.preserve_ttl = true;
            }
            0 | 2 | 4 | 5 => return Err(invalid("frame info of wrong size or place")),
            _ => return Err(Status::UNKNOWN_FRAME_INFO.into()),
        }
    }
    Ok(infos)
}

fn escaped(nibble: u8, rest: &[u8]) -> Result<(usize, &[u8]), Failure> {
    if nibble < 15 {
        return Ok((usize::from(nibble), rest));
    }
    let (more, rest) = rest.split_first().ok_or_else(|| invalid("frame info is cut off"))?;
    Ok((15 + usize::from(*more), rest))
}

/// A key as the store knows it, with its collection prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) stored: &'a [u8],
    pub(crate) logical: &'a [u8],
    pub(crate) collection: u32,
}

/// Room for a key that has to be given a prefix.
pub(crate) type KeyBuffer = [u8; 256];

impl<'a> Key<'a> {
    /// Reads the key of a request (`kv-protocol.md` 1.2 and 2.2).
    pub(crate) fn read(
        wire: &'a [u8],
        features: Features,
        buffer: &'a mut KeyBuffer,
    ) -> Result<Self, Failure> {
        if features.has(Features::COLLECTIONS) {
            let (collection, logical) =
                leb128::decode(wire).ok_or_else(|| invalid("key without a collection id"))?;
            if (1..=7).contains(&collection) {
                return Err(invalid("reserved collection id"));
            }
            let max = if collection == 0 { 250 } else { 246 };
            if logical.is_empty() || logical.len() > max {
                return Err(invalid("key length"));
            }
            return Ok(Self { stored: wire, logical, collection });
        }
        if wire.is_empty() || wire.len() > 250 {
            return Err(invalid("key length"));
        }
        buffer[0] = 0;
        let end = 1 + wire.len();
        buffer[1..end].copy_from_slice(wire);
        Ok(Self { stored: &buffer[..end], logical: wire, collection: 0 })
    }
}

/// What the sections of a document request must look like, beside its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Lengths of extras that are accepted.
    pub(crate) extras: &'static [usize],
    pub(crate) value: bool,
    pub(crate) cas: CasRule,
}

/// Whether a request may name a CAS (OP-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CasRule {
    None,
    Free,
    Needed,
}

impl Shape {
    /// The shape of a document operation, `None` for any other opcode.
    pub(crate) const fn of(opcode: Opcode) -> Option<Self> {
        use CasRule::{Free, Needed, None as No};
        let (extras, value, cas): (&[usize], bool, CasRule) = match opcode {
            Opcode::GET | Opcode::GET_REPLICA => (&[0], false, No),
            Opcode::SET | Opcode::REPLACE => (&[8], true, Free),
            Opcode::ADD => (&[8], true, No),
            Opcode::DELETE => (&[0], false, Free),
            Opcode::APPEND | Opcode::PREPEND => (&[0], true, Free),
            Opcode::TOUCH | Opcode::GAT => (&[4], false, No),
            Opcode::GET_LOCKED => (&[0, 4], false, No),
            Opcode::UNLOCK_KEY => (&[0], false, Needed),
            Opcode::INCREMENT | Opcode::DECREMENT => (&[20], false, No),
            Opcode::GET_META => (&[0, 1], false, Free),
            _ => return None,
        };
        Some(Self { extras, value, cas })
    }

    /// Checks a request against the shape and the datatypes that the connection may use (OP-5).
    pub(crate) fn check(&self, frame: &Frame<'_>, features: Features) -> Result<(), Failure> {
        if !self.extras.contains(&frame.extras.len()) {
            return Err(invalid("extras of wrong length"));
        }
        let mut allowed = 0;
        if self.value {
            if features.has(Features::JSON) {
                allowed |= crate::store::JSON;
            }
            if features.has(Features::SNAPPY) {
                allowed |= crate::store::SNAPPY;
            }
        } else if !frame.value.is_empty() {
            return Err(invalid("the operation takes no value"));
        }
        if frame.header.datatype & !allowed != 0 {
            return Err(invalid("datatype"));
        }
        match (self.cas, frame.header.cas.0) {
            (CasRule::None, 1..) => Err(invalid("CAS must not be set")),
            (CasRule::Needed, 0) => Err(invalid("CAS must be set")),
            _ => Ok(()),
        }
    }
}

/// The big-endian `u32` at an offset of extras whose length was checked; 0 if it is not there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// The big-endian `u64` at an offset; 0 if it is not there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |chunk| u64::from_be_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durability(payload: &[u8]) -> Result<FrameInfos<'_>, Failure> {
        frame_infos(Opcode::SET, payload)
    }

    #[test]
    fn frame_infos_are_read_to_their_end() {
        let infos = durability(&[0x13, 0x02, 0x23, 0x28, 0x50]).unwrap();
        assert_eq!((infos.durability, infos.preserve_ttl), (Some(2), true));
        assert_eq!(durability(&[0x11, 0x03]).unwrap().durability, Some(3));
        let mut long = vec![0x4f, 0x01];
        long.extend_from_slice(b"^sixteen-letters");
        assert_eq!(durability(&long).unwrap().impersonate, Some(&b"sixteen-letters"[..]));
    }

    #[test]
    fn op_2_frame_infos_on_the_wrong_operation() {
        assert_eq!(frame_infos(Opcode::GET, &[0x11, 1]), Err(Status::NOT_SUPPORTED.into()));
        assert_eq!(frame_infos(Opcode::ADD, &[0x50]), Err(Status::NOT_SUPPORTED.into()));
        assert_eq!(durability(&[0x90]), Err(Status::UNKNOWN_FRAME_INFO.into()));
        assert_eq!(durability(&[0xf0, 0x00]), Err(Status::UNKNOWN_FRAME_INFO.into()));
    }

    #[test]
    fn bad_frame_infos() {
        assert_eq!(durability(&[0x11, 4]), Err(Status::DURABILITY_INVALID_LEVEL.into()));
        for bytes in [
            &[0x13, 1, 0, 0][..],
            &[0x13, 1, 0xff, 0xff],
            &[0x13, 1],
            &[0xf0],
            &[0x0f],
            &[0x11, 1, 0x11, 1],
            &[0x12, 1, 1],
        ] {
            assert!(matches!(durability(bytes), Err(Failure::Explained(Status::EINVAL, _))), "{bytes:02x?}");
        }
    }

    #[test]
    fn key_limits_with_and_without_collections() {
        let with = Features::SUPPORTED;
        let ok = |wire: &[u8], features| Key::read(wire, features, &mut [0; 256]).is_ok();
        assert!(!ok(b"", Features::NONE) && !ok(b"\0", with) && !ok(b"\x80", with));
        assert!(ok(&[b'k'; 250], Features::NONE) && !ok(&[b'k'; 251], Features::NONE));
        let mut key = vec![0];
        key.extend_from_slice(&[b'k'; 250]);
        assert!(ok(&key, with), "250 bytes in the default collection");
        key[0] = 8;
        assert!(!ok(&key, with) && ok(&key[..247], with), "246 in any other");
        key[0] = 7;
        assert!(!ok(&key[..5], with), "reserved");
        let mut buffer = [0; 256];
        assert_eq!(Key::read(b"abc", Features::NONE, &mut buffer).unwrap().stored, b"\0abc");
    }
}
