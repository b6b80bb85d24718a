//! A Couchbase client whose whole protocol is a pure, sans-IO state machine.

pub mod auth;
pub mod conn;
pub mod connstr;
pub mod engine;
pub mod entropy;
pub mod error;
pub mod expiry;
pub mod ids;
pub mod map;
pub mod options;
mod trace;
pub mod wire;
