//! The fields of a certificate that can name a user (IETF RFC 5280).

use super::CertificateField;
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Result, BERReader, Tag, TagClass};

/// What a field holds; none, one or several texts.
pub(super) fn of(certificate: &[u8], field: CertificateField) -> ASN1Result<Vec<String>> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|certificate| {
            let names = certificate.next().read_sequence(|body| {
                body.read_optional(|version| {
                    version.read_tagged(Tag::context(0), |number| number.read_u8())
                })?;
                // Serial number, algorithm, issuer, validity.
                for _ in 0..4 {
                    body.next().read_der()?;
                }
                let common_names = body.next().collect_sequence_of(common_names)?.concat();
                // The key, and the identities of issuer and subject.
                body.next().read_der()?;
                for number in [1, 2] {
                    body.read_optional(|id| {
                        id.read_tagged_implicit(Tag::context(number), |id| id.read_bitvec_bytes())
                    })?;
                }
                let alternatives = body.read_optional(|extensions| {
                    extensions.read_tagged(Tag::context(3), |list| {
                        list.collect_sequence_of(|extension| alternative_names(extension, field))
                    })
                })?;
                Ok(match field {
                    CertificateField::SubjectCn => common_names,
                    _ => alternatives.unwrap_or_default().concat(),
                })
            })?;
            // Algorithm and signature.
            certificate.next().read_der()?;
            certificate.next().read_der()?;
            Ok(names)
        })
    })
}

/// The common names of one relative distinguished name.
fn common_names(name: BERReader<'_, '_>) -> ASN1Result<Vec<String>> {
    let attributes = name.collect_set_of(|attribute| {
        attribute.read_sequence(|attribute| {
            let kind = attribute.next().read_oid()?;
            let text = attribute.next().read_tagged_der()?;
            let is_name = kind == ObjectIdentifier::from_slice(&[2, 5, 4, 3]);
            Ok(is_name.then(|| String::from_utf8(text.value().to_vec()).ok()).flatten())
        })
    })?;
    Ok(attributes.into_iter().flatten().collect())
}

/// The alternative names of the kind of a field, if this extension has them.
fn alternative_names(extension: BERReader<'_, '_>, field: CertificateField) -> ASN1Result<Vec<String>> {
    let (kind, content) = extension.read_sequence(|extension| {
        let kind = extension.next().read_oid()?;
        extension.read_default(false, |critical| critical.read_bool())?;
        Ok((kind, extension.next().read_bytes()?))
    })?;
    if kind != ObjectIdentifier::from_slice(&[2, 5, 29, 17]) {
        return Ok(Vec::new());
    }
    let number = match field {
        CertificateField::SubjectCn => return Ok(Vec::new()),
        CertificateField::SanEmail => 1,
        CertificateField::SanDnsName => 2,
        CertificateField::SanUri => 6,
    };
    let names = yasna::parse_der(&content, |names| names.collect_sequence_of(|name| name.read_tagged_der()))?;
    Ok(names
        .into_iter()
        .filter(|name| name.tag().tag_class == TagClass::ContextSpecific && name.tag().tag_number == number)
        .filter_map(|name| String::from_utf8(name.value().to_vec()).ok())
        .collect())
}
