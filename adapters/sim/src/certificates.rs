//! Certificates of the simulated cluster: an authority of its own, the nodes', those of clients.
//!
//! Keys are drawn by the system, so that certificates differ from run to run; their names and validity do not.

mod names;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// How long the certificate of a node is valid (`connecting.md` TLS-16).
const LEAF: Duration = Duration::from_secs(824 * 86_400);

/// What kind of certificate a node presents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Certificates {
    /// Signed by the cluster's authority; for the node's host, its alternate hosts, `127.0.0.1` and `::1`.
    #[default]
    Good,
    /// As good, but it ended a day before the cluster was made.
    Expired,
    /// As good, but it begins a day after the cluster was made.
    NotYetValid,
    /// Signed by the cluster's authority, for `wrong.example` alone.
    WrongName,
    /// As good, but signed with its own key and no authority.
    SelfSigned,
    /// As good, but signed by an authority that is not the cluster's.
    UnknownIssuer,
    /// Signed by the cluster's authority, for the address `127.0.0.1` alone, as the certificate that a fresh server
    /// makes for itself: `localhost` does not match it (`connecting.md` TLS-16).
    IpOnly,
}

/// Which field of a client certificate names the user (`connecting.md` AUTH-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateField {
    /// `subject.cn`.
    SubjectCn,
    /// `san.dnsname`.
    SanDnsName,
    /// `san.email`.
    SanEmail,
    /// `san.uri`.
    SanUri,
}

/// How a user's name is taken from a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMapping {
    /// The field.
    pub field: CertificateField,
    /// What stands before the name in the field; a field without it does not count. May be empty.
    pub prefix: String,
    /// The name ends before the first of these characters. May be empty.
    pub delimiters: String,
}

impl UserMapping {
    /// The whole field.
    pub const fn whole(field: CertificateField) -> Self {
        Self { field, prefix: String::new(), delimiters: String::new() }
    }

    /// The user that a certificate names by this rule.
    pub(crate) fn user(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        let fields = names::of(certificate, self.field).ok()?;
        fields.iter().find_map(|field| {
            let name = field.strip_prefix(self.prefix.as_str())?;
            let end = name.find(|character| self.delimiters.contains(character)).unwrap_or(name.len());
            name.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
        })
    }
}

/// A client's certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    key: KeyPairDer,
}

#[derive(Clone)]
struct KeyPairDer {
    pkcs8: Vec<u8>,
    pem: String,
}

impl std::fmt::Debug for KeyPairDer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(private key)")
    }
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.pkcs8.clone()))
    }

    pub(crate) fn into_pem(self) -> (String, String) {
        (self.chain_pem, self.key.pem)
    }
}

/// Which certificate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    Good,
    Expired,
    Foreign,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The cluster's authority, and another that nobody trusts.
pub(crate) struct Authorities {
    ours: Authority,
    foreign: Authority,
    /// Time since 1970 when the cluster was made.
    origin: Duration,
    rotations: u32,
}

impl Authorities {
    pub(crate) fn new(origin: Duration) -> Result<Self, rcgen::Error> {
        Ok(Self {
            ours: authority("Simulated Cluster CA")?,
            foreign: authority("Another CA")?,
            origin,
            rotations: 0,
        })
    }

    /// A new authority takes the old one's place.
    pub(crate) fn rotate(&mut self) -> Result<(), rcgen::Error> {
        self.rotations += 1;
        self.ours = authority(&format!("Simulated Cluster CA {}", self.rotations + 1))?;
        Ok(())
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.ours.pem()
    }

    pub(crate) fn ca_der(&self) -> &CertificateDer<'static> {
        self.ours.der()
    }

    /// A certificate for a node that is called `host` and can be reached under these names and addresses.
    pub(crate) fn node(
        &self,
        kind: Certificates,
        host: &str,
        names: &[String],
    ) -> Result<Identity, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("Couchbase Server Node ({host})"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = match kind {
            Certificates::WrongName => alternative_names(["wrong.example"]),
            Certificates::IpOnly => alternative_names(["127.0.0.1"]),
            _ => {
                let mut names = alternative_names(names.iter().map(String::as_str));
                names.extend(
                    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                        .map(SanType::IpAddress),
                );
                names
            }
        };
        let begin = match kind {
            Certificates::Expired => self.origin.saturating_sub(LEAF + DAY),
            Certificates::NotYetValid => self.origin + DAY,
            _ => self.origin.saturating_sub(DAY),
        };
        self.valid(&mut params, begin);
        match kind {
            Certificates::SelfSigned => sign(&params, None),
            Certificates::UnknownIssuer => sign(&params, Some(&self.foreign)),
            _ => sign(&params, Some(&self.ours)),
        }
    }

    /// A certificate that names a user in the subject and, as far as the name allows, in each alternative name.
    pub(crate) fn client(&self, kind: ClientCertificate, user: &str) -> Result<Identity, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = [
            user.try_into().ok().map(SanType::DnsName),
            format!("{user}@clients.example").try_into().ok().map(SanType::Rfc822Name),
            format!("urn:user:{user}").try_into().ok().map(SanType::URI),
        ]
        .into_iter()
        .flatten()
        .collect();
        let begin = match kind {
            ClientCertificate::Expired => self.origin.saturating_sub(LEAF + DAY),
            _ => self.origin.saturating_sub(DAY),
        };
        self.valid(&mut params, begin);
        sign(&params, Some(if kind == ClientCertificate::Foreign { &self.foreign } else { &self.ours }))
    }

    fn valid(&self, params: &mut CertificateParams, begin: Duration) {
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + begin;
        params.not_after = epoch + begin + LEAF;
    }
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2013, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn sign(params: &CertificateParams, authority: Option<&Authority>) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority)?,
        None => params.self_signed(&key)?,
    };
    Ok(Identity {
        chain_pem: certificate.pem(),
        chain: vec![certificate.der().clone()],
        key: KeyPairDer { pkcs8: key.serialize_der(), pem: key.serialize_pem() },
    })
}

/// Addresses as addresses, names as names. A name that a certificate cannot hold is left out.
fn alternative_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<SanType> {
    let mut sorted: Vec<&str> = names.into_iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
        .into_iter()
        .filter_map(|name| match name.parse() {
            Ok(address) => Some(SanType::IpAddress(address)),
            Err(_) => name.try_into().ok().map(SanType::DnsName),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_5_a_user_is_found_in_each_field_behind_the_prefix_and_before_the_delimiter() {
        let authorities = Authorities::new(Duration::from_secs(1_800_000_000)).unwrap();
        let certificate = authorities.client(ClientCertificate::Good, "jane").unwrap().chain.remove(0);
        let mapping = |field, prefix: &str, delimiters: &str| UserMapping {
            field,
            prefix: prefix.to_owned(),
            delimiters: delimiters.to_owned(),
        };
        let jane = Some("jane".to_owned());
        assert_eq!(UserMapping::whole(CertificateField::SubjectCn).user(&certificate), jane);
        assert_eq!(UserMapping::whole(CertificateField::SanDnsName).user(&certificate), jane);
        assert_eq!(mapping(CertificateField::SanEmail, "", "@").user(&certificate), jane);
        assert_eq!(mapping(CertificateField::SanUri, "urn:user:", "").user(&certificate), jane);
        assert_eq!(mapping(CertificateField::SubjectCn, "www.", "").user(&certificate), None);
        assert_eq!(mapping(CertificateField::SubjectCn, "", "j").user(&certificate), None, "an empty name");
    }
}
