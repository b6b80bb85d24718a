//! SASL from the server's side: PLAIN, SCRAM and OAUTHBEARER (`kv-protocol.md` 4), and what its users may do.

use crate::clock::Seeded;
use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::BTreeMap;

/// A mechanism that the simulated cluster can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// `SCRAM-SHA512`.
    ScramSha512,
    /// `SCRAM-SHA256`.
    ScramSha256,
    /// `SCRAM-SHA1`.
    ScramSha1,
    /// `PLAIN`.
    Plain,
    /// `OAUTHBEARER`, over TLS alone.
    OauthBearer,
}

impl Mechanism {
    /// All of them, in the order in which servers list them.
    pub const ALL: [Self; 5] =
        [Self::ScramSha512, Self::ScramSha256, Self::ScramSha1, Self::Plain, Self::OauthBearer];

    /// Those that take a password, in the same order: what servers before 8.1 offer.
    pub const PASSWORD: [Self; 4] = [Self::ScramSha512, Self::ScramSha256, Self::ScramSha1, Self::Plain];

    /// The name on the wire, byte-exact.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA512",
            Self::ScramSha256 => "SCRAM-SHA256",
            Self::ScramSha1 => "SCRAM-SHA1",
            Self::Plain => "PLAIN",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes() == name)
    }
}

/// What a server keeps of a password for one hash.
#[derive(Clone, PartialEq, Eq)]
struct Keys {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

struct User {
    password: String,
    /// Derived when first needed: the rounds are slow on purpose.
    keys: BTreeMap<Mechanism, Keys>,
}

/// A token that a client may show.
struct Token {
    user: String,
    /// Seconds since 1970; `None`: never.
    expires: Option<u64>,
}

/// What a user may do; everything if nothing else was said.
#[derive(Clone, Debug, Default)]
struct Limits {
    /// The only buckets.
    buckets: Option<Vec<String>>,
    /// No map of the cluster without a bucket.
    no_cluster_config: bool,
}

/// The accounts of a cluster.
pub(crate) struct Users {
    users: BTreeMap<String, User>,
    /// Passwords of users whom another directory knows: they can be checked, not derived from.
    external: BTreeMap<String, String>,
    tokens: BTreeMap<String, Token>,
    limits: BTreeMap<String, Limits>,
    iterations: u32,
    rng: Seeded,
}

/// A SCRAM exchange between its two steps.
pub(crate) struct Exchange {
    pub(crate) mechanism: Mechanism,
    user: String,
    keys: Keys,
    /// Whether the user exists; an unknown one is told only at the end.
    known: bool,
    nonce: String,
    /// client-first-bare "," server-first.
    transcript: String,
}

/// Outcome of a step.
pub(crate) enum Step {
    /// Status 0x00 with this payload; the name of the user.
    Done(String, Vec<u8>),
    /// Status 0x00; the name of the user, and the token that says so.
    DoneByToken(String, String),
    /// Status 0x21 with this payload.
    Continue(Box<Exchange>, Vec<u8>),
    /// Status 0x20.
    Denied,
    /// Status 0x04.
    Malformed,
}

impl Users {
    pub(crate) const fn new(iterations: u32, seed: u64) -> Self {
        Self {
            users: BTreeMap::new(),
            external: BTreeMap::new(),
            tokens: BTreeMap::new(),
            limits: BTreeMap::new(),
            iterations,
            rng: Seeded::new(seed),
        }
    }

    /// Adds an account or changes its password.
    pub(crate) fn set(&mut self, name: &str, password: &str) {
        self.users.insert(name.to_owned(), User { password: password.to_owned(), keys: BTreeMap::new() });
    }

    /// Adds an account of another directory or changes its password.
    pub(crate) fn set_external(&mut self, name: &str, password: &str) {
        self.users.remove(name);
        self.external.insert(name.to_owned(), password.to_owned());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.users.remove(name);
        self.external.remove(name);
        self.tokens.retain(|_, token| token.user != name);
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.users.contains_key(name) || self.external.contains_key(name)
    }

    pub(crate) fn set_token(&mut self, token: &str, user: &str, expires: Option<u64>) {
        self.tokens.insert(token.to_owned(), Token { user: user.to_owned(), expires });
    }

    pub(crate) fn revoke_token(&mut self, token: &str) -> bool {
        self.tokens.remove(token).is_some()
    }

    /// The user for whom a token stands at this time.
    pub(crate) fn token_user(&self, token: &str, unix_secs: u32) -> Option<&str> {
        let token = self.tokens.get(token)?;
        let valid = token.expires.is_none_or(|expires| u64::from(unix_secs) < expires);
        valid.then_some(token.user.as_str())
    }

    /// Whether this is the user's password.
    pub(crate) fn check_password(&self, name: &str, password: &[u8]) -> bool {
        let known = self.users.get(name).map(|user| &user.password).or_else(|| self.external.get(name));
        known.is_some_and(|known| known.as_bytes() == password)
    }

    pub(crate) fn set_buckets(&mut self, name: &str, buckets: Option<Vec<String>>) {
        self.limits.entry(name.to_owned()).or_default().buckets = buckets;
    }

    pub(crate) fn set_cluster_config(&mut self, name: &str, allowed: bool) {
        self.limits.entry(name.to_owned()).or_default().no_cluster_config = !allowed;
    }

    pub(crate) fn may_use(&self, name: &str, bucket: &str) -> bool {
        let buckets = self.limits.get(name).and_then(|limits| limits.buckets.as_ref());
        buckets.is_none_or(|buckets| buckets.iter().any(|allowed| allowed == bucket))
    }

    pub(crate) fn may_see_cluster(&self, name: &str) -> bool {
        self.limits.get(name).is_none_or(|limits| !limits.no_cluster_config)
    }

    /// SASL_AUTH with a mechanism that is offered.
    pub(crate) fn begin(&mut self, mechanism: Mechanism, payload: &[u8], unix_secs: u32) -> Step {
        match mechanism {
            Mechanism::Plain => return self.plain(payload),
            Mechanism::OauthBearer => return self.bearer(payload, unix_secs),
            _ => {}
        }
        let nonce = hex(&self.rng.bytes::<16>());
        self.begin_scram(mechanism, payload, &nonce)
    }

    fn plain(&self, payload: &[u8]) -> Step {
        // The server drops one trailing zero byte.
        let payload = payload.strip_suffix(b"\0").unwrap_or(payload);
        let mut parts = payload.split(|byte| *byte == 0);
        let (Some(_authzid), Some(name), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Step::Malformed;
        };
        let Ok(name) = std::str::from_utf8(name) else { return Step::Malformed };
        if self.check_password(name, password) {
            Step::Done(name.to_owned(), Vec::new())
        } else {
            Step::Denied
        }
    }

    /// `n,,` 0x01 `auth=Bearer ` token 0x01 0x01, with an optional `a=user` between the commas.
    fn bearer(&self, payload: &[u8], unix_secs: u32) -> Step {
        let mut parts = payload.split(|byte| *byte == 1);
        let (Some(header), Some(auth), Some(b""), Some(b""), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Step::Malformed;
        };
        let identity = header.strip_prefix(b"n,").and_then(|rest| rest.strip_suffix(b","));
        let token = auth.strip_prefix(b"auth=Bearer ").and_then(|token| std::str::from_utf8(token).ok());
        let (Some(identity), Some(token)) = (identity, token) else { return Step::Malformed };
        if !identity.is_empty() && !identity.starts_with(b"a=") {
            return Step::Malformed;
        }
        match self.token_user(token, unix_secs) {
            Some(user) => Step::DoneByToken(user.to_owned(), token.to_owned()),
            None => Step::Denied,
        }
    }

    fn begin_scram(&mut self, mechanism: Mechanism, payload: &[u8], server_nonce: &str) -> Step {
        let Some((bare, name, client_nonce)) = parse_client_first(payload) else { return Step::Malformed };
        let known = self.users.contains_key(&name);
        let keys = self.keys(mechanism, &name);
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={}", Base64::encode_string(&keys.salt), keys.iterations);
        let transcript = format!("{bare},{server_first}");
        let exchange = Exchange { mechanism, user: name, keys, known, nonce, transcript };
        Step::Continue(Box::new(exchange), server_first.into_bytes())
    }

    fn keys(&mut self, mechanism: Mechanism, name: &str) -> Keys {
        let iterations = self.iterations;
        if let Some(user) = self.users.get_mut(name) {
            let rng = &mut self.rng;
            return user
                .keys
                .entry(mechanism)
                .or_insert_with(|| {
                    Keys::derive(mechanism, user.password.as_bytes(), &rng.bytes::<16>(), iterations)
                })
                .clone();
        }
        // A salt that stays the same for this name, so that the answer does not tell that there is no such user.
        let salt = Sha256::digest(name.as_bytes())[..16].to_vec();
        Keys { salt, iterations, stored_key: Vec::new(), server_key: Vec::new() }
    }
}

impl Exchange {
    /// SASL_STEP.
    pub(crate) fn step(self, payload: &[u8]) -> Step {
        let Ok(message) = std::str::from_utf8(payload) else { return Step::Malformed };
        let Some((without_proof, proof)) = message.rsplit_once(",p=") else { return Step::Malformed };
        let mut parts = without_proof.split(',');
        let (Some("c=biws"), Some(nonce)) = (parts.next(), parts.next()) else { return Step::Malformed };
        if nonce.strip_prefix("r=") != Some(self.nonce.as_str()) {
            return Step::Denied;
        }
        let Ok(proof) = Base64::decode_vec(proof) else { return Step::Malformed };
        let auth_message = format!("{},{without_proof}", self.transcript);
        let signature = mac(self.mechanism, &self.keys.stored_key, auth_message.as_bytes());
        if !self.known || proof.len() != signature.len() {
            return Step::Denied;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if digest(self.mechanism, &client_key) != self.keys.stored_key {
            return Step::Denied;
        }
        let server_signature = mac(self.mechanism, &self.keys.server_key, auth_message.as_bytes());
        let server_final = format!("v={}", Base64::encode_string(&server_signature));
        Step::Done(self.user, server_final.into_bytes())
    }
}

impl Keys {
    fn derive(mechanism: Mechanism, password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted = vec![0; digest(mechanism, b"").len()];
        match mechanism {
            Mechanism::ScramSha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
            Mechanism::ScramSha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
            Mechanism::ScramSha1 | Mechanism::Plain | Mechanism::OauthBearer => {
                pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted);
            }
        }
        let client_key = mac(mechanism, &salted, b"Client Key");
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: digest(mechanism, &client_key),
            server_key: mac(mechanism, &salted, b"Server Key"),
        }
    }
}

/// client-first-bare, the user's name with its escapes undone, and the client's nonce.
fn parse_client_first(payload: &[u8]) -> Option<(String, String, String)> {
    let bare = std::str::from_utf8(payload).ok()?.strip_prefix("n,,")?;
    let (name, nonce) = bare.strip_prefix("n=")?.split_once(",r=")?;
    let nonce = nonce.split(',').next().filter(|nonce| !nonce.is_empty())?;
    let mut unescaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        unescaped.push_str(before);
        let (character, tail) = match (after.strip_prefix("3D"), after.strip_prefix("2C")) {
            (Some(tail), _) => ('=', tail),
            (_, Some(tail)) => (',', tail),
            _ => return None,
        };
        unescaped.push(character);
        rest = tail;
    }
    unescaped.push_str(rest);
    if unescaped.is_empty() || unescaped.len() > 128 || unescaped.chars().any(char::is_control) {
        return None;
    }
    Some((bare.to_owned(), unescaped, nonce.to_owned()))
}

fn digest(mechanism: Mechanism, data: &[u8]) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha512 => Sha512::digest(data).to_vec(),
        Mechanism::ScramSha256 => Sha256::digest(data).to_vec(),
        Mechanism::ScramSha1 | Mechanism::Plain | Mechanism::OauthBearer => Sha1::digest(data).to_vec(),
    }
}

/// HMAC; any length of key will do, so the constructor's error cannot happen and yields nothing.
fn mac(mechanism: Mechanism, key: &[u8], data: &[u8]) -> Vec<u8> {
    macro_rules! hmac {
        ($hash:ty) => {
            Hmac::<$hash>::new_from_slice(key)
                .map(|mut mac| {
                    mac.update(data);
                    mac.finalize().into_bytes().to_vec()
                })
                .unwrap_or_default()
        };
    }
    match mechanism {
        Mechanism::ScramSha512 => hmac!(Sha512),
        Mechanism::ScramSha256 => hmac!(Sha256),
        Mechanism::ScramSha1 | Mechanism::Plain | Mechanism::OauthBearer => hmac!(Sha1),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
