//! PEM files: chains, keys, authorities. Errors are in words that follow the name of a key.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

/// Largest PEM file that is read.
const MAX_PEM: u64 = 4 << 20;

/// Which part of an identity cannot be used. Texts never hold the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFault {
    Certificate(String),
    Key(String),
}

/// A chain with the owner's own certificate first, and its private key (PKCS #8, PKCS #1 or SEC 1, not
/// encrypted), from PEM texts. A key of another certificate is refused.
pub fn certified_key(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, IdentityFault> {
    let chain = certificates(chain).map_err(IdentityFault::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| IdentityFault::Key("has no private key in PEM form that can be read (an encrypted one cannot)".into()))?;
    match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(Error::InconsistentKeys(_)) => Err(IdentityFault::Key("is not the key of the certificate".into())),
        Err(Error::InvalidCertificate(_)) => Err(IdentityFault::Certificate("has a certificate that is damaged".into())),
        Err(error) => Err(IdentityFault::Key(format!("cannot be used: {error}"))),
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| format!("names {}, which cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_PEM + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_PEM {
        return Err(format!("names {}, which is larger than {} MiB", path.display(), MAX_PEM >> 20));
    }
    Ok(bytes)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| "has a damaged PEM section")?;
    if list.is_empty() { Err("has no certificate in PEM form".into()) } else { Ok(list) }
}

/// The authorities that a file names.
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(path)?)? {
        roots.add(certificate).map_err(|error| format!("has a certificate that cannot be an authority: {error}"))?;
    }
    Ok(Arc::new(roots))
}
