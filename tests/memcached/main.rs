//! The codec and a server that nobody here wrote: `settee::wire` against a real memcached that speaks the binary
//! protocol, the classic frames of which Couchbase's are an extension.
//!
//! Needs the program `memcached` (and `memccapable`, `memcstat` of libmemcached-tools, `saslpasswd2` of sasl2-bin for
//! the tests that use them). A test whose program is absent says so on standard error and does nothing; with
//! `SETTEE_INTEROP=1` in the environment absence is a failure.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test that talks to real programs, and its helpers: what fails here is to panic"
)]

mod client;
mod documents;
mod login;
mod program;
mod proxy;
mod session;
mod tools;
