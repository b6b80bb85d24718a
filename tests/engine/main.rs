//! The engine against a simulated cluster in virtual time: no socket, no thread, no pause.
//!
//! Each test is named after the rule it checks: `boot_*` and `auth_*` of `connecting.md`, `re_*`, `co_*`, `fr_*` and
//! `mi_*` of `kv-protocol.md`, `r_*` and `s*` of `cluster-maps.md`, `h*` of `hostile-peers.md`.

mod bootstrap;
mod chaos;
mod common;
mod contract;
#[cfg(all(feature = "tracing", any(feature = "tls", feature = "tls-aws-lc-rs")))]
mod credentials;
mod endings;
mod health;
mod hostile;
#[cfg(feature = "tls")]
mod hostile_tls;
#[cfg(feature = "tracing")]
mod logs;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod looked_at;
mod managers;
mod maps;
mod memcached;
mod networks;
mod oddities;
mod rechecked;
mod recovery;
mod reviewed;
#[cfg(all(feature = "tracing", any(feature = "tls", feature = "tls-aws-lc-rs")))]
mod rotation;
#[cfg(feature = "tls")]
mod round_trips;
mod script;
mod sources;
mod srv;
#[cfg(feature = "tls")]
mod ten_failures;
