//! What a peer's certificate calls it.

use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// The name in a certificate that was verified: the first DNS name of its alternative names, else the
/// common name, else its fingerprint as RFC 5425 §4.2.2 writes it.
pub fn peer_name(certificate: &CertificateDer<'_>) -> String {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok();
    let dns = parsed.as_ref().and_then(|parsed| parsed.valid_dns_names().next().map(str::to_owned));
    dns.or_else(|| common_name(parsed.as_ref()?.subject())).unwrap_or_else(|| fingerprint(certificate))
}

fn fingerprint(certificate: &[u8]) -> String {
    let mut text = "sha-256".to_owned();
    for byte in Sha256::digest(certificate) {
        let _ = write!(text, ":{byte:02X}"); // a string takes everything
    }
    text
}

/// `id-at-commonName` (X.520), 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;

/// The last common name of a subject, the most specific one: sets of sequences of type and value (RFC 5280
/// §4.1.2.4). Only strings that are text as they stand.
fn common_name(subject: &[u8]) -> Option<String> {
    let (mut sets, mut found) = (subject, None);
    while let Some((SET, mut pairs, rest)) = element(sets) {
        sets = rest;
        while let Some((SEQUENCE, pair, rest)) = element(pairs) {
            pairs = rest;
            let Some((OID, oid, value)) = element(pair) else { continue };
            if let (true, Some((UTF8 | PRINTABLE | IA5, text, _))) = (oid == COMMON_NAME, element(value)) {
                found = std::str::from_utf8(text).ok().filter(|text| !text.is_empty()).map(str::to_owned).or(found);
            }
        }
    }
    found
}

/// Tag, contents, and what follows (X.690 §8.1, lengths of up to two bytes).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (length, start) = match *der.get(1)? {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(*der.get(2)?), 3),
        0x82 => (usize::from(*der.get(2)?) << 8 | usize::from(*der.get(3)?), 4),
        _ => return None,
    };
    let rest = der.get(start..)?;
    Some((der[0], rest.get(..length)?, &rest[length..]))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[track_caller]
    fn name(dns: &[&str], common: &[&str]) -> String {
        let mut params = CertificateParams::new(dns.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "an organisation with a name that is longer than anybody should want to have it");
        for common in common {
            params.distinguished_name.push(DnType::CommonName, *common);
        }
        peer_name(params.self_signed(&KeyPair::generate().expect("a key")).expect("signs").der())
    }

    #[test]
    fn a_peer_is_called_by_its_dns_name_its_common_name_or_its_fingerprint() {
        assert_eq!(name(&["fw.example", "other.example"], &["common"]), "fw.example");
        assert_eq!(name(&[], &["fw-7 Ä"]), "fw-7 Ä");
        let fingerprint = name(&[], &[]);
        assert!(fingerprint.starts_with("sha-256:") && fingerprint.len() == 8 + 32 * 3 - 1, "{fingerprint}");
        assert!(peer_name(&CertificateDer::from(vec![0x30, 0x82, 0xff])).starts_with("sha-256:"), "what cannot be read has a fingerprint still");
    }

    #[test]
    fn broken_names_are_no_names() {
        for subject in [&[][..], &[SET], &[SET, 0x83, 1, 0, 0], &[SET, 4, SEQUENCE, 9, OID, 3], &[SET, 2, SEQUENCE, 0], &[SET, 0x82, 0xff, 0xff]] {
            assert_eq!(common_name(subject), None, "{subject:?}");
        }
    }
}
