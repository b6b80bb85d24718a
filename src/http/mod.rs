//! HTTP/1.1 exchanges as bytes in, bytes out (`BOOT-17` to `BOOT-20`): cluster maps over the manager port, pings of services.
//!
//! An [`Exchange`] is one request and its answer on one connection. The owner writes what [`Exchange::output`] lends,
//! hands over what it reads, and polls [`HttpEvent`]s. A streamed configuration is cut into its messages by a
//! [`MessageSplitter`].
//!
//! `ureq-proto` reads the answers. It trusts its caller with two things, which are guarded here: how much of an unfinished
//! head, size line or trailer is kept, and that the peer speaks HTTP at all.

mod authorization;
mod body;
mod error;
mod exchange;
mod head;
mod request;
mod splitter;
#[cfg(test)]
mod tests;

pub use authorization::Authorization;
pub use error::{HttpError, Part, Speaks};
pub use exchange::{Exchange, HttpEvent};
pub use head::{MAX_HEAD, MAX_HEADERS};
pub use request::{Method, Request, path_segment};
pub use splitter::{DEFAULT_MESSAGE_LIMIT, MessageSplitter};
