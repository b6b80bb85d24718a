//! How times and names of others stand in the JSON of reports.

use std::collections::BTreeMap;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::{Serialize, Serializer};

use crate::dns::{Answer, Outcome};
use crate::map::{NetworkChoice, Service};
use crate::tls::PeerInfo;

pub(super) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
pub(super) fn maybe_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_micros() as f64 / 1000.0).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
pub(super) fn maybe_micros<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).serialize(serializer)
}

/// An object keyed by the services' names (6.2).
pub(super) fn by_service<T: Serialize, S: Serializer>(
    services: &BTreeMap<Service, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(services.iter().map(|(service, value)| (service.as_str(), value)))
}

/// Certificates as DER in base64.
pub(super) fn certificates<S: Serializer>(chain: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(chain.iter().map(|der| Base64::encode_string(der)))
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
pub(super) fn network<S: Serializer>(
    choice: &Option<NetworkChoice>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Choice<'a> {
        name: &'a str,
        reason: String,
    }
    let choice = choice.as_ref();
    choice.map(|it| Choice { name: &it.name, reason: it.reason.to_string() }).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
pub(super) fn srv<S: Serializer>(outcome: &Option<Outcome>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Srv<'a> {
        name: &'a str,
        records: usize,
        text: String,
    }
    let srv = outcome.as_ref().map(|outcome| Srv {
        name: &outcome.name,
        records: if let Answer::Records(targets) = &outcome.answer { targets.len() } else { 0 },
        text: outcome.to_string(),
    });
    srv.serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
pub(super) fn tls<S: Serializer>(peer: &Option<PeerInfo>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Peer<'a> {
        version: &'a str,
        cipher_suite: &'a str,
        resumed: bool,
    }
    let peer = peer.as_ref();
    let peer =
        peer.map(|it| Peer { version: it.version, cipher_suite: &it.cipher_suite, resumed: it.resumed });
    peer.serialize(serializer)
}
