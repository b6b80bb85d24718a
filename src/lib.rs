//! A Couchbase client whose whole protocol is a pure, sans-IO state machine.

pub mod auth;
pub mod connstr;
pub mod entropy;
pub mod ids;
pub mod map;
pub mod options;
pub mod wire;
