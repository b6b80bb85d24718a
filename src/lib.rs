//! A Couchbase client whose whole protocol is a pure, sans-IO state machine.
//!
//! [`engine::Engine`] takes bytes and clock readings and gives back bytes, dials, look-ups and results. It never touches a
//! socket, a clock, a thread, a file or a random source, so it runs in any event loop, in a simulator and in a fuzzer.
//! Applications rather use an adapter such as `settee-tokio`, whose `Cluster` and `Collection` hide all of this.
//!
//! # Driving the engine
//!
//! The owner of an engine does three things, in any order and as often as it likes:
//!
//! 1. tell it what happened: [`handle_input`](engine::Engine::handle_input), and
//!    [`handle_timeout`](engine::Engine::handle_timeout) when the instant of the last
//!    [`Output::Wait`](engine::Output::Wait) has come;
//! 2. ask it for something: [`submit`](engine::Engine::submit), [`cancel`](engine::Engine::cancel),
//!    [`shut_down`](engine::Engine::shut_down);
//! 3. do what it says: [`poll_output`](engine::Engine::poll_output) until it waits.
//!
//! Bytes to write stay in the engine: [`transmit`](engine::Engine::transmit) lends them, for one vectored write, and
//! [`Input::Written`](engine::Input::Written) says how many are gone. Report every byte that was written, or may have
//! been, before [`Input::Lost`](engine::Input::Lost): whether a write may be repeated depends on it.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use settee::auth::{Authenticator, PasswordAuthenticator};
//! use settee::engine::{Engine, EngineConfig, Event, Input, LinkError, Output};
//! use settee::{connstr, options::Options};
//!
//! /// Does what the engine says; returns how long it may be left alone, `None`: until something happens.
//! fn turn(engine: &mut Engine, now: Instant) -> Option<Duration> {
//!     loop {
//!         match engine.poll_output() {
//!             // Open a TCP connection to `dial.address`. Here the network is down.
//!             Output::Connect(dial) => {
//!                 engine.handle_input(Input::Lost { conn: dial.conn, why: LinkError::Unreachable }, now);
//!             }
//!             // Write what `engine.transmit(conn)` lends, then report it by `Input::Written`.
//!             Output::Transmit(_conn) => {}
//!             Output::Disconnect(_conn) => {}
//!             // Ask the resolver for `lookup.name`, then report by `Input::LookedUp`.
//!             Output::Lookup(_lookup) => {}
//!             Output::Event(Event::Completed { op, result }) => println!("{op:?}: {result:?}"),
//!             Output::Event(_) => {}
//!             Output::Wait(at) => return at.map(|at| at.saturating_duration_since(now)),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let connstr = connstr::parse("couchbase://10.0.0.1")?;
//! let authenticator = Authenticator::Password(PasswordAuthenticator::new("app", "secret")?);
//! let config = EngineConfig::new(&connstr, Options::default(), authenticator)?;
//! let mut now = Instant::now();
//! let mut engine = Engine::new(config, [0; 32], now); // a real seed comes from the operating system
//! let op = engine.bootstrap(now);
//! while engine.operations() > 0 {
//!     let pause = turn(&mut engine, now).expect("an operation has a deadline");
//!     now += pause; // a real loop sleeps, or waits for its sockets
//!     engine.handle_timeout(now);
//!     turn(&mut engine, now);
//! }
//! # let _ = op;
//! # Ok(())
//! # }
//! ```
//!
//! Look-ups of SRV records go out as [`Output::Datagram`](engine::Output::Datagram). A loop without UDP ignores them or
//! answers [`LinkError::Unsupported`](engine::LinkError::Unsupported); without name servers in the configuration
//! ([`EngineConfig::with`](engine::EngineConfig::with)) there are none. TLS needs nothing of the loop: the bytes that it
//! carries are sealed.
//!
//! A complete loop over real sockets is `examples/own_loop.rs`.
//!
//! # Layers
//!
//! Below the engine, and public for tools and proxies: [`conn`] is one key-value connection, [`wire`] the frames,
//! [`map`] cluster maps, [`auth`] SASL, [`tls`] sessions as bytes in and bytes out, [`http`] one exchange, [`dns`] one SRV
//! query, [`connstr`] and [`options`] what a user writes.
//!
//! # Features
//!
//! - `tracing` (default): log lines through the `tracing` crate.
//! - `tls` (default): `couchbases://` by rustls with ring. Without it such a string is `FeatureNotAvailable` at connect.
//! - `tls-aws-lc-rs`: the same with aws-lc-rs; the stronger choice where both are on.
//! - `insecure`: `tls_verify=none` works. Without it that setting is refused (TLS-17).

#![forbid(unsafe_code)]

pub mod auth;
pub mod conn;
pub mod connstr;
pub mod dns;
pub mod engine;
pub mod entropy;
pub mod error;
pub mod expiry;
pub mod http;
pub mod ids;
pub mod key;
pub mod map;
pub mod options;
pub mod stage;
pub mod tls;
mod trace;
pub mod wire;
