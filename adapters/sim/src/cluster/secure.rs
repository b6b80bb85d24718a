//! The harness: certificates and what TLS is like.

use super::Cluster;
use crate::NodeId;
use crate::certificates::{Certificates, ClientCertificate, UserMapping};
use crate::tls::{ClientCertificates, TlsVersions};
use std::time::Duration;

/// Making a key or a certificate fails only where the system gives no randomness.
const NO_RANDOMNESS: &str = "the system gives randomness for keys";

impl Cluster {
    /// Time since 1970 by the cluster's wall clock, at the last reading handed in.
    pub fn unix(&self) -> Duration {
        Duration::from_secs(u64::from(self.state.clock.unix_secs()))
    }

    /// The authority that signs the certificates of nodes and clients, as PEM: what clients are to trust.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn ca_pem(&mut self) -> String {
        self.state.tls.ca_pem().expect(NO_RANDOMNESS)
    }

    /// What certificate a node presents from here on. Connections stay as they are.
    pub fn set_certificates(&mut self, node: NodeId, kind: Certificates) -> bool {
        let known = node.0 < self.state.nodes.len();
        if known {
            self.state.tls.set_certificates(node, kind);
        }
        known
    }

    /// Further names and addresses for which a node's certificate is valid, beside its host, the hosts of its other
    /// networks and loopback.
    pub fn set_certificate_names(&mut self, node: NodeId, names: Vec<String>) -> bool {
        let known = node.0 < self.state.nodes.len();
        if known {
            self.state.tls.set_names(node, names);
        }
        known
    }

    /// Every node presents a new certificate from here on, signed by a new authority or by the same. Connections
    /// stay as they are; sessions cannot be resumed.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn rotate_certificates(&mut self, new_authority: bool) {
        self.state.tls.rotate(new_authority).expect(NO_RANDOMNESS);
    }

    /// Which versions of TLS are spoken from here on.
    pub fn set_tls_versions(&mut self, versions: TlsVersions) {
        self.state.tls.versions = versions;
        self.state.tls.forget_all();
    }

    /// Whether clients authenticate by certificate from here on (`connecting.md` AUTH-5).
    pub fn set_client_certificates(&mut self, mode: ClientCertificates) {
        self.state.tls.client_certificates = mode;
        self.state.tls.forget_all();
    }

    /// How the user's name is taken from a client certificate; the first rule that finds one counts. `subject.cn`
    /// if nothing was said.
    pub fn set_user_mappings(&mut self, mappings: Vec<UserMapping>) {
        self.state.tls.mappings = mappings;
    }

    /// A certificate for a user, signed by the cluster's authority, and its key, both as PEM. It names the user as
    /// `subject.cn`, `san.dnsname`, in `san.email` before `@clients.example` and in `san.uri` behind `urn:user:`.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn client_certificate(&mut self, user: &str) -> (String, String) {
        self.state.tls.client(ClientCertificate::Good, user).expect(NO_RANDOMNESS)
    }

    /// The same, but it ended a day before the cluster was made.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn expired_client_certificate(&mut self, user: &str) -> (String, String) {
        self.state.tls.client(ClientCertificate::Expired, user).expect(NO_RANDOMNESS)
    }

    /// The same, but signed by an authority that the cluster does not know.
    ///
    /// # Panics
    /// If the system gives no randomness.
    pub fn foreign_client_certificate(&mut self, user: &str) -> (String, String) {
        self.state.tls.client(ClientCertificate::Foreign, user).expect(NO_RANDOMNESS)
    }

    /// Why the last client whose TLS failed at a node was turned away.
    pub fn tls_failure(&self, node: NodeId) -> Option<&str> {
        self.state.nodes.get(node.0)?.tls_failure.as_deref()
    }
}

#[cfg(test)]
pub(crate) mod tests;
