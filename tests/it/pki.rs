//! A certificate authority of the tests' own, and TLS servers that use it.
#![allow(dead_code, reason = "several test binaries share it, and each uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signs").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// For servers of these names or addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, 2099)
    }

    /// Valid until the year 2020.
    pub fn expired(&self, names: &[&str]) -> Pair {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, 2020)
    }

    pub fn client(&self, name: &str) -> Pair {
        self.issue(&[name], ExtendedKeyUsagePurpose::ClientAuth, 2099)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, until: i32) -> Pair {
        let (params, key) = params(names, usage, until);
        let cert = params.signed_by(&key, &self.issuer).expect("signs");
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// Signed by itself.
pub fn self_signed(names: &[&str]) -> Pair {
    let (params, key) = params(names, ExtendedKeyUsagePurpose::ServerAuth, 2099);
    Pair { cert: params.self_signed(&key).expect("signs").pem(), key: key.serialize_pem() }
}

fn params(names: &[&str], usage: ExtendedKeyUsagePurpose, until: i32) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
    params.distinguished_name.push(DnType::CommonName, names[0]);
    params.extended_key_usages = vec![usage];
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    (params, KeyPair::generate().expect("a key"))
}

impl Pair {
    /// Writes both into a folder as `<name>.pem` and `<name>.key`.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        (write(dir, &format!("{name}.pem"), &self.cert), write(dir, &format!("{name}.key"), &self.key))
    }
}

pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// A server with this certificate; clients must show one of the authority where there is one.
pub fn server(pair: &Pair, clients: Option<&Authority>, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).expect("versions");
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("an authority");
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("PEM")];
    let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM")).expect("fits");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// What a server says that knows TLS 1.0 (`0x0301`) or 1.1 (`0x0302`) and nothing newer: its hello, as
/// RFC 2246 §7.4.1.3 draws it.
pub fn old_hello(version: u16) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    let mut hello = vec![22, major, minor, 0, 42, 2, 0, 0, 38, major, minor];
    hello.extend([7; 32]);
    // No session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0, 0x2f, 0]);
    hello
}
