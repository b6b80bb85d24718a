//! Who asks.

use super::{Answer, HttpSession, Request};
use crate::cluster::State;
use base64ct::{Base64, Encoding as _};

impl HttpSession {
    /// The user who asks; `Ok(None)` without credentials.
    pub(super) fn user(&self, state: &State, request: &Request) -> Result<Option<String>, Answer> {
        let Some((scheme, credentials)) = &request.authorization else {
            return Ok(self.certificate_user.clone());
        };
        let user = match scheme.as_str() {
            "basic" => basic(state, credentials),
            "bearer" if self.tls => bearer(state, credentials),
            _ => None,
        };
        user.map(Some).ok_or_else(Answer::unauthorized)
    }
}

fn basic(state: &State, credentials: &str) -> Option<String> {
    let decoded = String::from_utf8(Base64::decode_vec(credentials).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    state.users.check_password(name, password.as_bytes()).then(|| name.to_owned())
}

fn bearer(state: &State, token: &str) -> Option<String> {
    state.users.token_user(token, state.clock.unix_secs()).map(str::to_owned)
}
