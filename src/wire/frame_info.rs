//! Frame infos: optional fields of requests and answers that stand before the extras (`kv-protocol.md` 2.8).

use std::time::Duration;

use super::{DecodeError, EncodeError};

/// Most bytes that all frame infos of a frame may have together.
const MAX_FRAMING_EXTRAS: usize = 255;
/// A nibble that says "15 plus the byte that follows".
const ESCAPE: u8 = 15;

/// Identifiers of request frame infos.
pub mod request_info {
    /// Full barrier for this request under UnorderedExecution.
    pub const BARRIER: u16 = 0;
    /// Durability level and optional time-out.
    pub const DURABILITY: u16 = 1;
    /// Stream of a DCP connection.
    pub const DCP_STREAM_ID: u16 = 2;
    /// The user on whose behalf the request is made.
    pub const IMPERSONATE: u16 = 4;
    /// The write keeps the document's expiry.
    pub const PRESERVE_TTL: u16 = 5;
}

/// Identifiers of response frame infos.
pub mod response_info {
    /// How long the server worked on the request.
    pub const SERVER_DURATION: u16 = 0;
    /// Units read.
    pub const READ_UNITS: u16 = 1;
    /// Units written.
    pub const WRITE_UNITS: u16 = 2;
    /// How long the server held the request back.
    pub const THROTTLE_DURATION: u16 = 3;
}

/// How many copies must have a write before it is answered (`kv-protocol.md` 10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DurabilityLevel {
    /// In memory on a majority of the copies.
    Majority,
    /// The same, and on disk on the active copy.
    MajorityAndPersistOnActive,
    /// On disk on a majority of the copies.
    PersistToMajority,
}

impl DurabilityLevel {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Majority => 1,
            Self::MajorityAndPersistOnActive => 2,
            Self::PersistToMajority => 3,
        }
    }

    /// The level of a byte, `None` for any other byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Majority),
            2 => Some(Self::MajorityAndPersistOnActive),
            3 => Some(Self::PersistToMajority),
            _ => None,
        }
    }
}

/// The durability frame info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Copies that must have the write.
    pub level: DurabilityLevel,
    /// Milliseconds after which the server gives up, 1 to 65,534; `None` is the server's default of 30 s.
    pub timeout_ms: Option<u16>,
}

impl Durability {
    /// The time-out for the wire from the time that is left for the operation (MI-8): 90 % of it, at least 1500 ms,
    /// at most 65,534 ms.
    pub fn timeout_for(time_left: Duration) -> u16 {
        let wanted = time_left.as_millis().saturating_mul(9).checked_div(10).unwrap_or(0);
        u16::try_from(wanted.clamp(1500, 65_534)).unwrap_or(65_534)
    }
}

/// The frame infos of a client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFrameInfos<'a> {
    /// Only for opcodes that accept it (OP-2), only with SyncReplication granted.
    pub durability: Option<Durability>,
    /// Only for opcodes that accept it (OP-2), only with PreserveTtl granted.
    pub preserve_ttl: bool,
    /// The user to act for, at least one byte; a leading `^` means the external domain (OP-33).
    pub impersonate: Option<&'a str>,
    /// The request waits for all before it and holds back all behind it.
    pub barrier: bool,
}

impl RequestFrameInfos<'_> {
    /// Whether there is nothing to write: the frame keeps the classic layout (FR-1).
    pub const fn is_empty(&self) -> bool {
        self.durability.is_none() && !self.preserve_ttl && self.impersonate.is_none() && !self.barrier
    }

    /// Appends the framing extras to `out`, in the order of OP-32.
    ///
    /// # Errors
    /// [`EncodeError`] where they do not fit the 255 bytes of a frame; `out` is then as it was.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let result = self.emit_all(out).and_then(|()| {
            let len = out.len().saturating_sub(before);
            if len > MAX_FRAMING_EXTRAS {
                return Err(EncodeError { section: "framing extras", len, max: MAX_FRAMING_EXTRAS });
            }
            Ok(())
        });
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn emit_all(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(durability) = self.durability {
            let level = durability.level.byte();
            match durability.timeout_ms.map(u16::to_be_bytes) {
                Some([high, low]) => emit_frame_info(request_info::DURABILITY, &[level, high, low], out)?,
                None => emit_frame_info(request_info::DURABILITY, &[level], out)?,
            }
        }
        if self.preserve_ttl {
            emit_frame_info(request_info::PRESERVE_TTL, &[], out)?;
        }
        if let Some(user) = self.impersonate {
            emit_frame_info(request_info::IMPERSONATE, user.as_bytes(), out)?;
        }
        if self.barrier {
            emit_frame_info(request_info::BARRIER, &[], out)?;
        }
        Ok(())
    }
}

/// Appends one frame info of either direction.
///
/// # Errors
/// [`EncodeError`] for an identifier or a payload length above 270; `out` is then as it was.
pub fn emit_frame_info(id: u16, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let too_long = |section, len| EncodeError { section, len, max: 270 };
    let (id_nibble, id_escape) =
        nibble(usize::from(id)).ok_or_else(|| too_long("frame info identifier", usize::from(id)))?;
    let (len_nibble, len_escape) =
        nibble(payload.len()).ok_or_else(|| too_long("frame info", payload.len()))?;
    out.push(id_nibble << 4 | len_nibble);
    out.extend(id_escape);
    out.extend(len_escape);
    out.extend_from_slice(payload);
    Ok(())
}

/// The four bits of a number and the byte behind them, `None` above 270.
fn nibble(number: usize) -> Option<(u8, Option<u8>)> {
    match number.checked_sub(usize::from(ESCAPE)) {
        None => Some((u8::try_from(number).ok()?, None)),
        Some(above) => Some((ESCAPE, Some(u8::try_from(above).ok()?))),
    }
}

/// One frame info as it was received. Whether the identifier is known, and its payload of the right size, is the
/// reader's affair: neither is an error of the frame (`kv-protocol.md` 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameInfo<'a> {
    /// Identifier, 0 to 270; requests and answers have different ones.
    pub id: u16,
    /// Content, 0 to 270 bytes.
    pub payload: &'a [u8],
}

/// Iterates over the framing extras of a frame; ends after the first error.
#[derive(Clone, Debug)]
pub struct FrameInfos<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> FrameInfos<'a> {
    /// The frame infos in framing extras of either direction.
    pub const fn new(framing_extras: &'a [u8]) -> Self {
        Self { all: framing_extras, rest: framing_extras }
    }

    fn take(&mut self) -> Option<FrameInfo<'a>> {
        let (&first, rest) = self.rest.split_first()?;
        let (id, rest) = unescape(first >> 4, rest)?;
        let (len, rest) = unescape(first & 0x0f, rest)?;
        let (payload, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(FrameInfo { id, payload })
    }
}

fn unescape(nibble: u8, rest: &[u8]) -> Option<(u16, &[u8])> {
    if nibble < ESCAPE {
        return Some((u16::from(nibble), rest));
    }
    let (&above, rest) = rest.split_first()?;
    Some((u16::from(ESCAPE).saturating_add(u16::from(above)), rest))
}

impl<'a> Iterator for FrameInfos<'a> {
    type Item = Result<FrameInfo<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.all.len().saturating_sub(self.rest.len());
        Some(self.take().ok_or_else(|| {
            self.rest = &[];
            DecodeError::FrameInfo { offset }
        }))
    }
}

/// What a server's answer tells in its framing extras. Unknown identifiers and wrong sizes are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFrameInfos {
    /// How long the server worked on the request.
    pub server_duration: Option<ServerDuration>,
    /// Units read (feature 0x1a).
    pub read_units: Option<u16>,
    /// Units written (feature 0x1a).
    pub write_units: Option<u16>,
    /// How long the server held the request back.
    pub throttle_duration: Option<ServerDuration>,
}

impl ResponseFrameInfos {
    /// Reads framing extras to their end.
    ///
    /// # Errors
    /// [`DecodeError::FrameInfo`] where one runs past the end: fatal to the connection (`kv-protocol.md` 1.3).
    pub fn parse(framing_extras: &[u8]) -> Result<Self, DecodeError> {
        let mut infos = Self::default();
        for info in FrameInfos::new(framing_extras) {
            let info = info?;
            let Some(number) = info.number() else { continue };
            match info.id {
                response_info::SERVER_DURATION => infos.server_duration = Some(ServerDuration(number)),
                response_info::READ_UNITS => infos.read_units = Some(number),
                response_info::WRITE_UNITS => infos.write_units = Some(number),
                response_info::THROTTLE_DURATION => infos.throttle_duration = Some(ServerDuration(number)),
                _ => {}
            }
        }
        Ok(infos)
    }
}

impl FrameInfo<'_> {
    /// The payload as a 16-bit number, `None` if it has another size.
    pub fn number(&self) -> Option<u16> {
        self.payload.try_into().ok().map(u16::from_be_bytes)
    }
}

/// A duration in the server's 16-bit form (OP-31): e stands for e^1.74 / 2 microseconds, up to two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerDuration(pub u16);

impl ServerDuration {
    /// The longest duration that can be told, in microseconds.
    pub const MAX_MICROS: u64 = 120_125_042;

    /// Microseconds with their fraction.
    pub fn micros(self) -> f64 {
        f64::from(self.0).powf(1.74) / 2.0
    }

    /// Whole microseconds, halves rounded up.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 120,125,042
    pub fn to_duration(self) -> Duration {
        Duration::from_micros(self.micros().round() as u64)
    }

    /// The nearest code for a duration; longer ones than [`ServerDuration::MAX_MICROS`] become the longest.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // 0 to 65,535
    pub fn from_duration(duration: Duration) -> Self {
        let micros = duration.as_micros().min(u128::from(Self::MAX_MICROS)) as f64;
        Self((micros * 2.0).powf(1.0 / 1.74).round() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn emitted(infos: RequestFrameInfos<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        infos.emit(&mut out).unwrap();
        out
    }

    #[test]
    fn op_32_the_order_written_is_durability_preserve_ttl_impersonate_barrier() {
        let durability =
            Durability { level: DurabilityLevel::MajorityAndPersistOnActive, timeout_ms: Some(9000) };
        let all = RequestFrameInfos {
            durability: Some(durability),
            preserve_ttl: true,
            impersonate: Some("^trond"),
            barrier: true,
        };
        assert_eq!(emitted(all), b"\x13\x02\x23\x28\x50\x46^trond\x00");
        assert!(!all.is_empty() && RequestFrameInfos::default().is_empty());
    }

    #[test]
    fn without_a_timeout_only_the_level_is_written() {
        let durability = Durability { level: DurabilityLevel::PersistToMajority, timeout_ms: None };
        let infos = RequestFrameInfos { durability: Some(durability), ..Default::default() };
        assert_eq!(emitted(infos), [0x11, 0x03]);
    }

    #[test]
    fn escapes_say_fifteen_plus_the_next_byte() {
        let table: &[(u16, usize, &[u8])] = &[
            (0, 0, &[0x00]),
            (4, 14, &[0x4e]),
            (4, 15, &[0x4f, 0x00]),
            (4, 200, &[0x4f, 0xb9]),
            (15, 0, &[0xf0, 0x00]),
            (20, 15, &[0xff, 0x05, 0x00]),
            (270, 1, &[0xf1, 0xff]),
        ];
        for (id, len, header) in table {
            let mut out = Vec::new();
            emit_frame_info(*id, &vec![b'z'; *len], &mut out).unwrap();
            assert_eq!(&out[..header.len()], *header, "id {id}, {len} bytes");
            let read: Vec<_> = FrameInfos::new(&out).collect::<Result<_, _>>().unwrap();
            assert_eq!(read, [FrameInfo { id: *id, payload: &vec![b'z'; *len] }]);
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_buffer_as_it_was() {
        let mut out = vec![7];
        for len in [254, 271] {
            let user = "u".repeat(len);
            let infos = RequestFrameInfos { impersonate: Some(&user), barrier: true, ..Default::default() };
            assert!(infos.emit(&mut out).is_err(), "{len}");
            assert_eq!(out, [7]);
        }
        assert!(emit_frame_info(271, &[], &mut out).is_err());
    }

    #[test]
    fn a_frame_info_past_the_end_is_fatal() {
        let malformed: [&[u8]; 4] = [&[0x05, 0x00, 0x01], &[0x0f], &[0xf0], &[0xff, 0x00]];
        for bytes in malformed {
            assert_eq!(
                ResponseFrameInfos::parse(bytes),
                Err(DecodeError::FrameInfo { offset: 0 }),
                "{bytes:x?}"
            );
        }
        let second = FrameInfos::new(&[0x02, 0x00, 0x5d, 0x05]).last();
        assert_eq!(second, Some(Err(DecodeError::FrameInfo { offset: 3 })));
    }

    #[test]
    fn a_wrong_size_and_an_unknown_identifier_are_skipped() {
        let bytes = [0x01, 0x07, 0x92, 0xaa, 0xbb, 0x12, 0x00, 0x03];
        let infos = ResponseFrameInfos::parse(&bytes).unwrap();
        assert_eq!(infos, ResponseFrameInfos { read_units: Some(3), ..Default::default() });
    }

    #[test]
    fn op_31_durations_are_decoded_in_f64_and_rounded_half_up() {
        let table =
            [(0, 0), (1, 1), (2, 2), (93, 1331), (452, 20_841), (1236, 119_973), (65_535, 120_125_042)];
        for (encoded, micros) in table {
            assert_eq!(ServerDuration(encoded).to_duration(), Duration::from_micros(micros));
        }
        assert_eq!(ServerDuration::from_duration(Duration::from_secs(3600)), ServerDuration(65_535));
    }

    #[test]
    fn mi_8_the_wire_timeout_is_clamped_never_truncated() {
        let table =
            [(1000, 1500), (1667, 1500), (2500, 2250), (10_000, 9000), (72_815, 65_533), (600_000, 65_534)];
        for (left, wire) in table {
            assert_eq!(Durability::timeout_for(Duration::from_millis(left)), wire, "{left} ms left");
        }
        assert_eq!(Durability::timeout_for(Duration::MAX), 65_534);
    }

    proptest! {
        #[test]
        fn arbitrary_framing_extras_never_panic(bytes: Vec<u8>) {
            let _ = ResponseFrameInfos::parse(&bytes);
            let mut again = Vec::new();
            let mut whole = true;
            for info in FrameInfos::new(&bytes) {
                match info {
                    Ok(info) => emit_frame_info(info.id, info.payload, &mut again).unwrap(),
                    Err(_) => whole = false,
                }
            }
            prop_assert!(bytes.starts_with(&again));
            prop_assert!(!whole || bytes == again);
        }

        #[test]
        fn a_code_survives_its_duration(code in 10_u16..) {
            prop_assert_eq!(ServerDuration::from_duration(ServerDuration(code).to_duration()), ServerDuration(code));
        }
    }
}
