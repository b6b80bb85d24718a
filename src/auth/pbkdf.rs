//! PBKDF2, the one heavy computation of authentication, in slices (`SA-10`).

use std::fmt;

use hmac::digest::Output;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{AuthError, PasswordAuthenticator, SaltRequest, ScramHash, hash};

/// A password after PBKDF2: enough to log in, so as secret as the password. Wiped when dropped.
#[derive(Clone)]
pub struct SaltedPassword {
    hash: ScramHash,
    bytes: Zeroizing<Vec<u8>>,
}

impl SaltedPassword {
    /// The hash that it was made with.
    pub const fn hash(&self) -> ScramHash {
        self.hash
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// In constant time.
impl PartialEq for SaltedPassword {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && bool::from(self.bytes.as_slice().ct_eq(other.bytes.as_slice()))
    }
}

impl Eq for SaltedPassword {}

impl fmt::Debug for SaltedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltedPassword").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// PBKDF2-HMAC of a password as a resumable computation.
///
/// Call [`run`](Self::run) with a bounded number of rounds until it returns `true`, then
/// [`finish`](Self::finish); other work can go on in between, or another thread can do it, since it owns
/// all that it needs. A round costs two compressions of the hash.
pub struct PasswordHasher {
    state: State,
    /// Rounds still to do.
    left: u32,
}

/// On the heap, so that moving a hasher leaves no copies of its keys behind.
enum State {
    Sha512(Box<Rounds<Hmac<Sha512>>>),
    Sha256(Box<Rounds<Hmac<Sha256>>>),
    Sha1(Box<Rounds<Hmac<Sha1>>>),
}

impl PasswordHasher {
    /// Starts the computation that `request` asks for; this does the first round.
    pub fn new(login: &PasswordAuthenticator, request: &SaltRequest) -> Self {
        Self::start(request.hash, login.password().as_bytes(), &request.salt, request.iterations)
    }

    fn start(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let state = match hash {
            ScramHash::Sha512 => State::Sha512(Box::new(Rounds::new(password, salt))),
            ScramHash::Sha256 => State::Sha256(Box::new(Rounds::new(password, salt))),
            ScramHash::Sha1 => State::Sha1(Box::new(Rounds::new(password, salt))),
        };
        Self { state, left: iterations.saturating_sub(1) }
    }

    /// Does up to `rounds` rounds (at least one, so that a loop always ends); `true` once all are done.
    pub fn run(&mut self, rounds: u32) -> bool {
        let rounds = rounds.max(1).min(self.left);
        match &mut self.state {
            State::Sha512(state) => state.run(rounds),
            State::Sha256(state) => state.run(rounds),
            State::Sha1(state) => state.run(rounds),
        }
        self.left -= rounds;
        self.left == 0
    }

    /// The result.
    ///
    /// # Errors
    /// [`AuthError::OutOfOrder`] while [`run`](Self::run) has not returned `true`.
    pub fn finish(self) -> Result<SaltedPassword, AuthError> {
        if self.left > 0 {
            return Err(AuthError::OutOfOrder("PBKDF2 has rounds left"));
        }
        let (hash, sum) = match &self.state {
            State::Sha512(state) => (ScramHash::Sha512, state.sum.to_vec()),
            State::Sha256(state) => (ScramHash::Sha256, state.sum.to_vec()),
            State::Sha1(state) => (ScramHash::Sha1, state.sum.to_vec()),
        };
        Ok(SaltedPassword { hash, bytes: Zeroizing::new(sum) })
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The one block that SCRAM needs: its output is as long as the hash.
struct Rounds<M: Mac> {
    /// Keyed with the password once: each round starts from a clone.
    keyed: M,
    /// The last round's output.
    last: Output<M>,
    /// The exclusive or of all rounds' outputs.
    sum: Output<M>,
}

impl<M: Mac + KeyInit + Clone> Rounds<M> {
    fn new(password: &[u8], salt: &[u8]) -> Self {
        let keyed: M = hash::keyed(password);
        let first =
            keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes();
        Self { keyed, last: first.clone(), sum: first }
    }

    fn run(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.last = self.keyed.clone().chain_update(&self.last).finalize().into_bytes();
            for (sum, byte) in self.sum.iter_mut().zip(&self.last) {
                *sum ^= byte;
            }
        }
    }
}

impl<M: Mac> Drop for Rounds<M> {
    fn drop(&mut self) {
        self.last.as_mut_slice().zeroize();
        self.sum.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::vectors::{VECTORS, hex};
    use proptest::prelude::*;

    fn all_at_once(hash: ScramHash, password: &[u8], salt: &[u8], iterations: u32) -> SaltedPassword {
        let mut hasher = PasswordHasher::start(hash, password, salt, iterations);
        assert!(hasher.run(u32::MAX));
        hasher.finish().unwrap()
    }

    /// RFC 6070 (SHA-1), the rest computed with Python's `hashlib.pbkdf2_hmac`; the long password exceeds a hash block.
    #[test]
    fn published_pbkdf2_values() {
        let long = [b'x'; 200];
        let table: [(_, &[u8], _, _); 5] = [
            (ScramHash::Sha1, b"password", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (ScramHash::Sha1, b"password", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (ScramHash::Sha1, b"password", 4096, "4b007901b765489abead49d926f721d065a429c1"),
            (ScramHash::Sha256, b"", 3, "5ddf839afa2d5fb4be56e1a0f48917617559bef61ec122bfca1c7f75ac8f401d"),
            (
                ScramHash::Sha512,
                &long,
                3,
                "7e06f7557aae6057f38260ec33f67b9675bebccb8b17931386629a07d32149d2378b0cb294a152173818b94281c3db47d169e538b02deb3f2457884f1a3e04d9",
            ),
        ];
        for (hash, password, iterations, expected) in table {
            let salted = all_at_once(hash, password, b"salt", iterations);
            assert_eq!(salted.as_bytes(), hex(expected), "{hash:?} {iterations}");
        }
    }

    #[test]
    fn sa_10_published_salted_passwords() {
        for vector in VECTORS {
            let salted = vector.salted();
            assert_eq!(salted.as_bytes(), hex(vector.salted_password), "{}", vector.name);
            assert_eq!(salted.hash(), vector.mechanism.scram_hash().unwrap());
        }
    }

    #[test]
    fn sa_10_each_call_does_a_bounded_number_of_rounds() {
        let mut hasher = PasswordHasher::start(ScramHash::Sha1, b"pencil", b"salt", 10);
        assert_eq!(hasher.left, 9);
        assert!(!hasher.run(4));
        assert_eq!(hasher.left, 5);
        assert!(!hasher.run(0));
        assert_eq!(hasher.left, 4);
        assert!(hasher.run(4));
        assert!(hasher.run(4), "running on changes nothing");
        assert_eq!(hasher.finish().unwrap(), all_at_once(ScramHash::Sha1, b"pencil", b"salt", 10));
    }

    #[test]
    fn finishing_early_is_an_error() {
        let mut hasher = PasswordHasher::start(ScramHash::Sha256, b"pencil", b"salt", 3);
        hasher.run(1);
        assert!(matches!(hasher.finish(), Err(AuthError::OutOfOrder(_))));
    }

    #[test]
    fn auth_9_debug_shows_no_key() {
        let hasher = PasswordHasher::start(ScramHash::Sha256, b"s3cret", b"salt", 1);
        assert_eq!(format!("{hasher:?}"), "PasswordHasher { left: 0, .. }");
        assert_eq!(format!("{:?}", hasher.finish().unwrap()), "SaltedPassword { hash: Sha256, .. }");
    }

    proptest! {
        #[test]
        fn sa_10_any_slicing_gives_the_same_result(
            which in 0_usize..3,
            password in proptest::collection::vec(any::<u8>(), 0..200),
            salt in proptest::collection::vec(any::<u8>(), 1..70),
            iterations in 1_u32..60,
            slices in proptest::collection::vec(0_u32..9, 1..8),
        ) {
            let hash = [ScramHash::Sha512, ScramHash::Sha256, ScramHash::Sha1][which];
            let mut hasher = PasswordHasher::start(hash, &password, &salt, iterations);
            let mut sizes = slices.iter().cycle();
            while !hasher.run(*sizes.next().unwrap()) {}
            prop_assert_eq!(hasher.finish().unwrap(), all_at_once(hash, &password, &salt, iterations));
        }
    }
}
