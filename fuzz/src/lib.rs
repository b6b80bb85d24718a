//! The bodies of the fuzz targets. Each takes any bytes and panics where a promise of `settee` is broken; `fuzz_targets/`
//! hands them what libFuzzer makes up, `tests/replay.rs` what `corpus/` and `regressions/` hold.

mod connstr;
mod dns;
mod engine;
mod frame;
mod http;
mod map_json;
mod sasl;
mod scram;
mod tls_plain_bytes;

pub use connstr::connstr;
pub use dns::dns;
pub use engine::engine;
pub use frame::frame;
pub use http::http;
pub use map_json::map_json;
pub use scram::scram;
pub use tls_plain_bytes::tls_plain_bytes;
