//! One attempt with one mechanism: what each answer to SASL_AUTH and SASL_STEP means.

use std::fmt;

use zeroize::Zeroizing;

use super::{AuthError, Authenticator, Mechanism, SaltRequest, SaltedPassword, ScramClient, payload};

/// The status of an answer to SASL_AUTH or SASL_STEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslReply {
    /// 0x00: done.
    Done,
    /// 0x21: the server waits for SASL_STEP.
    Continue,
    /// 0x20: wrong credentials, or a mechanism that is not offered.
    Refused,
    /// 0x81, 0x83: no such command on this server or connection.
    Unavailable,
    /// Any other status.
    Other(u16),
}

impl SaslReply {
    /// Sorts a frame's status.
    pub const fn from_status(status: u16) -> Self {
        match status {
            0x00 => Self::Done,
            0x21 => Self::Continue,
            0x20 => Self::Refused,
            0x81 | 0x83 => Self::Unavailable,
            other => Self::Other(other),
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Done => 0x00,
            Self::Continue => 0x21,
            Self::Refused => 0x20,
            Self::Unavailable => 0x83,
            Self::Other(status) => status,
        }
    }
}

/// What an answer means for the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The connection is authenticated, and under SCRAM the server has proved itself.
    Authenticated,
    /// Salt the password so, then call [`Exchange::client_final`].
    Salt(SaltRequest),
    /// Refused before the server said "continue": ask
    /// [`Negotiation::on_rejected`](super::Negotiation::on_rejected), with this reply.
    Rejected(SaslReply),
}

/// One attempt with one mechanism. Each error ends it and the connection: after 0x21 the server takes nothing but
/// SASL_STEP (`SA-5`), so aborting means closing.
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

enum State {
    /// PLAIN and OAUTHBEARER: one message.
    Single(Zeroizing<Vec<u8>>),
    Scram {
        client: ScramClient,
        /// The server said "continue".
        continued: bool,
    },
    /// Decided: nothing more may come.
    Ended,
}

impl Exchange {
    /// Starts an attempt; `nonce` is used by SCRAM alone.
    ///
    /// # Errors
    /// [`AuthError::InvalidArgument`] if the mechanism does not fit the kind of credentials, and those of
    /// [`ScramClient::new`].
    pub fn start(
        authenticator: &Authenticator,
        mechanism: Mechanism,
        nonce: impl FnOnce() -> String,
    ) -> Result<Self, AuthError> {
        let state = match (authenticator, mechanism, mechanism.scram_hash()) {
            (Authenticator::Password(login), Mechanism::Plain, _) => State::Single(payload::plain(login)),
            (Authenticator::Password(login), _, Some(hash)) => {
                State::Scram { client: ScramClient::new(hash, login.username(), nonce())?, continued: false }
            }
            (Authenticator::Bearer(token), Mechanism::OauthBearer, _) => {
                State::Single(payload::bearer(token))
            }
            _ => {
                return Err(AuthError::InvalidArgument("the mechanism does not fit the kind of credentials"));
            }
        };
        Ok(Self { mechanism, state })
    }

    /// The mechanism: the key of both SASL_AUTH and SASL_STEP.
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The value of SASL_AUTH; secret, so never in a log or dump (`SA-11`). Empty once the attempt is decided.
    pub fn initial_response(&self) -> &[u8] {
        match &self.state {
            State::Single(payload) => payload,
            State::Scram { client, .. } => client.client_first(),
            State::Ended => &[],
        }
    }

    /// Whether a success needs SASL_STEP, so that what follows authentication cannot be sent at once.
    pub const fn is_stepwise(&self) -> bool {
        self.mechanism.scram_hash().is_some()
    }

    /// The answer to SASL_AUTH, or to SASL_STEP once [`client_final`](Self::client_final) was sent.
    /// `max_iterations` is the option `scram_max_iterations`.
    ///
    /// # Errors
    /// Those of [`ScramClient::server_first`] and [`ScramClient::server_final`];
    /// [`AuthError::ServerSignatureMissing`] for a success in answer to the first SCRAM message;
    /// [`AuthError::BadCredentials`] for 0x20 in answer to SASL_STEP;
    /// [`AuthError::UnexpectedStatus`] for any status that does not fit.
    pub fn on_reply(
        &mut self,
        reply: SaslReply,
        payload: &[u8],
        max_iterations: u32,
    ) -> Result<Progress, AuthError> {
        let progress = self.judge(reply, payload, max_iterations);
        if !matches!(progress, Ok(Progress::Salt(_))) {
            self.state = State::Ended;
        }
        progress
    }

    fn judge(
        &mut self,
        reply: SaslReply,
        payload: &[u8],
        max_iterations: u32,
    ) -> Result<Progress, AuthError> {
        let mechanism = self.mechanism;
        let unexpected = AuthError::UnexpectedStatus { mechanism, status: reply.status() };
        match (&mut self.state, reply) {
            (State::Ended, _) => Err(AuthError::OutOfOrder("the attempt is over")),
            (State::Scram { continued: true, .. }, SaslReply::Refused) => {
                Err(AuthError::BadCredentials { mechanism })
            }
            (State::Scram { client, continued: true }, SaslReply::Done) => {
                client.server_final(payload).map(|()| Progress::Authenticated)
            }
            (State::Scram { continued: true, .. }, _) => Err(unexpected),
            (_, SaslReply::Refused | SaslReply::Unavailable) => Ok(Progress::Rejected(reply)),
            (State::Single(_), SaslReply::Done) => Ok(Progress::Authenticated),
            // A server that asks for no proof has not shown that it knows the password either.
            (State::Scram { .. }, SaslReply::Done) => Err(AuthError::ServerSignatureMissing),
            (State::Scram { client, continued }, SaslReply::Continue) => {
                *continued = true;
                client.server_first(payload, max_iterations).map(Progress::Salt)
            }
            _ => Err(unexpected),
        }
    }

    /// The value of SASL_STEP, from the salted password that [`Progress::Salt`] asked for.
    ///
    /// # Errors
    /// [`AuthError::OutOfOrder`] unless that was the last answer, or if the password was salted for another mechanism.
    pub fn client_final(&mut self, salted: &SaltedPassword) -> Result<Vec<u8>, AuthError> {
        match &mut self.state {
            State::Scram { client, .. } => client.client_final(salted),
            State::Single(_) | State::Ended => Err(AuthError::OutOfOrder("no SCRAM exchange is under way")),
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
