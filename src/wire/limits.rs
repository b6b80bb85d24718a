//! What may come in: directions and ceilings (`kv-protocol.md` 1.1 and 1.2), judged on the header alone.

use super::{DecodeError, Header, Magic, Opcode};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Ceilings for the bodies that a server may send, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundLimits {
    /// Answers of the handshake and other small ones.
    pub control: u32,
    /// Anything that may carry a document, a map, a manifest or an error map; for a look-up this much for each path.
    pub document: u32,
    /// No body at all may be longer.
    pub absolute: u32,
}

impl Default for InboundLimits {
    /// 64 KiB, 32 MiB and 384 MiB.
    fn default() -> Self {
        Self { control: 64 * KIB, document: 32 * MIB, absolute: 384 * MIB }
    }
}

impl InboundLimits {
    /// The ceiling for the answer to a request with this opcode; `specs` is the number of paths that a
    /// SUBDOC_MULTI_LOOKUP asked for.
    pub fn for_answer(&self, opcode: Opcode, specs: usize) -> u32 {
        let limit = match opcode {
            Opcode::NOOP
            | Opcode::VERSION
            | Opcode::SELECT_BUCKET
            | Opcode::SASL_LIST_MECHS
            | Opcode::SASL_AUTH
            | Opcode::SASL_STEP
            | Opcode::HELLO
            | Opcode::LIST_BUCKETS => self.control,
            Opcode::SUBDOC_MULTI_LOOKUP => {
                self.document.saturating_mul(u32::try_from(specs.max(1)).unwrap_or(u32::MAX))
            }
            _ => self.document,
        };
        limit.min(self.absolute)
    }
}

impl Header {
    /// Checks that a server may send this to a client. `duplex`: whether Duplex was granted (FR-2).
    ///
    /// # Errors
    /// [`DecodeError::Magic`]: the stream is lost.
    pub const fn check_from_server(&self, duplex: bool) -> Result<(), DecodeError> {
        match self.magic {
            Magic::Response | Magic::AltResponse => Ok(()),
            Magic::ServerRequest if duplex => Ok(()),
            _ => Err(DecodeError::Magic { byte: self.magic.byte() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Opaque;
    use crate::wire::{Encode, HEADER_LEN};

    fn header(magic: Magic) -> Header {
        let mut out = Vec::new();
        Encode { magic, ..Encode::request(Opcode::GET, Opaque(0)) }.emit(b"", &mut out).unwrap();
        Header::decode(out.first_chunk::<HEADER_LEN>().unwrap()).unwrap()
    }

    #[test]
    fn only_answers_and_granted_server_requests_come_in() {
        for (magic, plain, duplex) in [
            (Magic::Response, true, true),
            (Magic::AltResponse, true, true),
            (Magic::ServerRequest, false, true),
            (Magic::Request, false, false),
            (Magic::AltRequest, false, false),
            (Magic::ServerResponse, false, false),
        ] {
            assert_eq!(header(magic).check_from_server(false).is_ok(), plain, "{magic:?}");
            assert_eq!(header(magic).check_from_server(true).is_ok(), duplex, "{magic:?} with Duplex");
        }
    }

    #[test]
    fn ceilings_follow_the_operation() {
        let limits = InboundLimits::default();
        assert_eq!(limits.for_answer(Opcode::NOOP, 0), 64 << 10);
        assert_eq!(limits.for_answer(Opcode::GET, 0), 32 << 20);
        assert_eq!(limits.for_answer(Opcode::SUBDOC_MULTI_LOOKUP, 2), 64 << 20);
        assert_eq!(limits.for_answer(Opcode::SUBDOC_MULTI_LOOKUP, 16), 384 << 20);
        assert_eq!(limits.for_answer(Opcode::SUBDOC_MULTI_LOOKUP, usize::MAX), 384 << 20);
    }
}
