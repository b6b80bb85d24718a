//! Which SASL mechanism to try, and which next (`SA-1` to `SA-5`, `AUTH-1` to `AUTH-3`).

use super::{AuthError, Authenticator, Mechanism, SaslReply};

/// For a password in the open: the strongest first. PLAIN is last and only if the caller lists it (`AUTH-1`).
const OPEN_ORDER: [Mechanism; 4] =
    [Mechanism::ScramSha512, Mechanism::ScramSha256, Mechanism::ScramSha1, Mechanism::Plain];

/// For a password inside TLS: PLAIN serves every kind of user in one round trip. SCRAM only if the caller lists it.
const TLS_ORDER: [Mechanism; 4] =
    [Mechanism::Plain, Mechanism::ScramSha512, Mechanism::ScramSha256, Mechanism::ScramSha1];

/// How much of a server's list an error repeats, in bytes.
const MAX_SHOWN: usize = 200;

/// The choice of a mechanism on one connection.
///
/// The first choice, [`current`](Self::current), is sent without waiting for the server's list (`SA-2`). The list only
/// serves to tell what a refusal means, as servers answer a mechanism that they do not offer like a wrong
/// password (`AUTH-3`); it can remove mechanisms but never add one (`SA-1`).
#[derive(Clone, Debug)]
pub struct Negotiation {
    /// What may be sent, in order; never empty.
    candidates: Vec<Mechanism>,
    /// Mechanisms already sent, the current one included (`SA-4`).
    tried: Vec<Mechanism>,
    current: Mechanism,
    offered: Offered,
    /// A refusal that waits for the server's list.
    refused: Option<SaslReply>,
    tls: bool,
}

#[derive(Clone, Debug)]
enum Offered {
    /// The answer to SASL_LIST_MECHS is not there yet.
    Pending,
    /// SASL_LIST_MECHS failed.
    Unknown,
    Known {
        mechanisms: Vec<Mechanism>,
        /// The server's own words, for the error.
        text: String,
    },
}

/// What to do after a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start again with this mechanism from SASL_AUTH, on the same connection.
    TryAnother(Mechanism),
    /// Only the server's list tells: wait for the answer to SASL_LIST_MECHS.
    AwaitList,
    /// Close the connection.
    Fail(AuthError),
}

impl Negotiation {
    /// Chooses the first mechanism.
    ///
    /// `tls` says whether the connection is encrypted, `allowed` is the option `allowed_sasl_mechanisms`: a filter,
    /// not an order (`SA-1`). `remembered` is what worked on another connection of the cluster; it goes first if it
    /// passes the filter (`AUTH-3`).
    ///
    /// # Errors
    /// [`AuthError::NothingAllowed`] if the filter leaves nothing; [`AuthError::InvalidArgument`] for a bearer token
    /// without TLS (4.1).
    pub fn new(
        authenticator: &Authenticator,
        tls: bool,
        allowed: Option<&[Mechanism]>,
        remembered: Option<Mechanism>,
    ) -> Result<Self, AuthError> {
        let (usable, by_default): (&[Mechanism], &[Mechanism]) = match (authenticator, tls) {
            (Authenticator::Password(_), true) => (&TLS_ORDER, &[Mechanism::Plain]),
            (Authenticator::Password(_), false) => {
                (&OPEN_ORDER, &[Mechanism::ScramSha512, Mechanism::ScramSha256, Mechanism::ScramSha1])
            }
            (Authenticator::Bearer(_), true) => (&[Mechanism::OauthBearer], &[Mechanism::OauthBearer]),
            (Authenticator::Bearer(_), false) => {
                return Err(AuthError::InvalidArgument("a bearer token needs TLS (`couchbases://`)"));
            }
            (Authenticator::Certificate(_), _) => {
                return Err(AuthError::InvalidArgument("a client certificate needs no SASL"));
            }
        };
        let allowed_or_default = allowed.unwrap_or(by_default);
        let candidates: Vec<_> =
            usable.iter().copied().filter(|mechanism| allowed_or_default.contains(mechanism)).collect();
        let Some(&first) = candidates.first() else {
            return Err(AuthError::NothingAllowed {
                allowed: names(allowed_or_default),
                usable: names(usable),
            });
        };
        let current = remembered.filter(|mechanism| candidates.contains(mechanism)).unwrap_or(first);
        Ok(Self { candidates, tried: vec![current], current, offered: Offered::Pending, refused: None, tls })
    }

    /// The mechanism to send, or that was sent last. After a success it is the one to remember for the cluster.
    pub const fn current(&self) -> Mechanism {
        self.current
    }

    /// Whether [`current`](Self::current) shows the password to everybody on the way: worth a warning (`AUTH-1`).
    pub const fn shows_password(&self) -> bool {
        !self.tls && matches!(self.current, Mechanism::Plain)
    }

    /// The server's answer to SASL_LIST_MECHS: names separated by blanks. Unknown names and stray blanks are
    /// ignored (H8). Gives what to do if a refusal has been waiting for the list.
    #[must_use = "a refusal may have been waiting for the list"]
    pub fn on_list(&mut self, payload: &[u8]) -> Option<Next> {
        let offered = payload.split(u8::is_ascii_whitespace).filter_map(Mechanism::from_name);
        let mechanisms =
            Mechanism::ALL.into_iter().filter(|known| offered.clone().any(|name| name == *known));
        self.resolve(Offered::Known { mechanisms: mechanisms.collect(), text: shown(payload) })
    }

    /// SASL_LIST_MECHS failed; that alone is no reason to give up. Gives what to do if a refusal has been waiting.
    #[must_use = "a refusal may have been waiting for the list"]
    pub fn on_list_failed(&mut self) -> Option<Next> {
        self.resolve(Offered::Unknown)
    }

    fn resolve(&mut self, offered: Offered) -> Option<Next> {
        self.offered = offered;
        self.refused.take().map(|reply| self.on_rejected(reply))
    }

    /// SASL_AUTH was refused before the server had said "continue": status 0x20, 0x81 or 0x83 (`SA-3`).
    /// A failure after "continue" must not come here, as it never falls back (`SA-4`).
    pub fn on_rejected(&mut self, reply: SaslReply) -> Next {
        let mechanism = self.current;
        let (mechanisms, text) = match &self.offered {
            Offered::Pending => {
                self.refused = Some(reply);
                return Next::AwaitList;
            }
            Offered::Unknown => return Next::Fail(AuthError::MechanismRefused { mechanism }),
            Offered::Known { mechanisms, text } => (mechanisms, text),
        };
        if mechanisms.contains(&mechanism) {
            return Next::Fail(match reply {
                SaslReply::Refused => AuthError::BadCredentials { mechanism },
                _ => AuthError::MechanismRefused { mechanism },
            });
        }
        let another =
            |candidate: &Mechanism| mechanisms.contains(candidate) && !self.tried.contains(candidate);
        match self.candidates.iter().copied().find(another) {
            Some(another) => {
                self.current = another;
                self.tried.push(another);
                Next::TryAnother(another)
            }
            None => Next::Fail(AuthError::NoCommonMechanism {
                allowed: names(&self.candidates),
                offered: text.clone(),
                plain_would_do: !self.tls
                    && mechanisms.contains(&Mechanism::Plain)
                    && !self.candidates.contains(&Mechanism::Plain),
            }),
        }
    }
}

fn names(mechanisms: &[Mechanism]) -> String {
    if mechanisms.is_empty() {
        return "nothing".into();
    }
    mechanisms.iter().map(|mechanism| mechanism.name()).collect::<Vec<_>>().join(" ")
}

/// A server's list made fit for an error: printable and short.
fn shown(payload: &[u8]) -> String {
    let printable = payload.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { ' ' });
    let text: String = printable.take(MAX_SHOWN).collect();
    let text = text.trim();
    if text.is_empty() { "nothing".into() } else { text.into() }
}

#[cfg(test)]
mod tests;
