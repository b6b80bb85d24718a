//! SASL authentication of a KV connection: which mechanism, which bytes, and whether the server proved itself.
//!
//! Pure data and state machines: nothing here knows of frames or connections. A handshake
//! 1. asks a [`Negotiation`] for the first mechanism and starts an [`Exchange`] with it;
//! 2. sends [`Exchange::initial_response`] as SASL_AUTH, beside SASL_LIST_MECHS (`SA-2`);
//! 3. hands the list to the negotiation and each SASL answer to the exchange;
//! 4. does what [`Progress`] says: run a [`PasswordHasher`] in slices (or find its result in the [`SaltCache`]) and
//!    send SASL_STEP, start again with another mechanism, or go on as authenticated.
//!
//! Passwords, tokens and keys live in memory that is wiped when dropped, and appear in no `Debug` or error text
//! (`SA-11`, `AUTH-9`).

mod authenticator;
mod cache;
mod choice;
mod error;
mod exchange;
mod hash;
mod mechanism;
mod payload;
mod pbkdf;
mod scram;
#[cfg(test)]
mod vectors;

pub use authenticator::{
    Authenticator, BearerAuthenticator, CertificateAuthenticator, PasswordAuthenticator,
};
pub use cache::SaltCache;
pub use choice::{Negotiation, Next};
pub use error::{AuthError, ScramFault};
pub use exchange::{Exchange, Progress, SaslReply};
pub use mechanism::{Mechanism, ScramHash};
pub use pbkdf::{PasswordHasher, SaltedPassword};
pub use scram::{RECOMMENDED_ITERATIONS, SaltRequest, ScramClient};
