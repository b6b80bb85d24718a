//! Salting passwords for SCRAM: the one heavy computation, done in slices so that other connections go on (SA-10).

use std::time::{Duration, Instant};

use super::link::Link;
use super::{ConnId, Engine};
use crate::auth::{Authenticator, PasswordAuthenticator, PasswordHasher, SaltRequest};
use crate::conn::Connection;
use crate::trace::debug;

/// Rounds of PBKDF2 per slice: about a millisecond.
const ROUNDS: u32 = 1024;
/// Between slices: as short as a deadline can be that is still in the future.
const PAUSE: Duration = Duration::from_micros(1);

/// A password being salted, and the connections that wait for it, by link.
pub(super) struct Job {
    /// Whose password; that of a connection that was opened with earlier credentials is another.
    login: PasswordAuthenticator,
    request: SaltRequest,
    hasher: PasswordHasher,
    waiting: Vec<(u32, ConnId)>,
    due: Instant,
}

impl Engine {
    /// A handshake needs the password salted so.
    pub(super) fn salt(&mut self, index: u32, request: SaltRequest) {
        let opened_as = self.link(index).and_then(Link::connection).map(Connection::authenticator);
        let Some(Authenticator::Password(login)) = opened_as else { return };
        let login = login.clone();
        if let Some(salted) = self.salts.get(&login, &request) {
            // The cached value stays in zeroised memory, the connection takes what it needs of it.
            if let Some(connection) =
                self.links.get_mut(index as usize).and_then(|link| link.as_mut()?.connection_mut())
            {
                connection.salted(salted);
            }
            return;
        }
        let Some(conn) = self.link(index).and_then(Link::conn) else { return };
        if let Some(job) =
            self.salting.iter_mut().find(|job| job.request == request && job.login.is_same(&login))
        {
            job.waiting.push((index, conn));
            return;
        }
        debug!(iterations = request.iterations, "salting the password");
        let hasher = PasswordHasher::new(&login, &request);
        let due = self.after(PAUSE);
        self.salting.push(Job { login, request, hasher, waiting: vec![(index, conn)], due });
    }

    pub(super) fn salting_due(&self) -> Option<Instant> {
        self.salting.first().map(|job| job.due)
    }

    /// One slice of the first job.
    pub(super) fn salt_slice(&mut self) {
        let now = self.now;
        let next = self.after(PAUSE);
        // A job that nobody waits for any more is not worth its rounds.
        let links = &self.links;
        self.salting.retain(|job| {
            job.waiting.iter().any(|&(index, conn)| {
                let link = links.get(index as usize).and_then(Option::as_deref);
                link.is_some_and(|link| link.conn() == Some(conn))
            })
        });
        let Some(job) = self.salting.first_mut().filter(|job| job.due <= now) else { return };
        if !job.hasher.run(ROUNDS) {
            job.due = next;
            return;
        }
        let job = self.salting.remove(0);
        if let Some(following) = self.salting.first_mut() {
            following.due = next;
        }
        let Ok(salted) = job.hasher.finish() else { return };
        for (index, conn) in job.waiting {
            if let Some(connection) =
                self.link_mut(index).filter(|link| link.conn() == Some(conn)).and_then(Link::connection_mut)
            {
                connection.salted(&salted);
                self.work_link(index);
            }
        }
        if let Authenticator::Password(login) = &self.config.authenticator
            && login.is_same(&job.login)
        {
            self.salts.insert(login, job.request, salted);
        }
    }
}
