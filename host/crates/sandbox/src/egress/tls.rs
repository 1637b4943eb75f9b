//! TLS of one destination: whom it trusts, who it says it is, and the oldest version it speaks. Read
//! from PEM files when the configuration is checked, so that a faulty file is a fault of the
//! configuration and not of the first delivery.
//!
//! Promised: the settings of one destination serve no other; each has sessions and connections of its
//! own. Refused: versions before TLS 1.2, which the TLS library does not speak at all.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bulkhead_tls::{authorities, certified_key, read};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedProtocolVersion, version};
use sha2::{Digest as _, Sha256};

pub use bulkhead_tls::IdentityFault;

/// TLS of a destination as the configuration writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `1.2` (also where absent) or `1.3`.
    pub min_version: Option<String>,
    /// PEM file with the only authorities that are trusted; those of the machine where absent.
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate that the host shows, followed by its chain.
    pub client_cert: Option<PathBuf>,
    /// PEM file with its key.
    pub client_key: Option<PathBuf>,
    /// `verify: false`: any certificate is taken, from anybody.
    pub unverified: bool,
}

/// What is wrong, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault {
    /// `tls`, `tls.min_version`, `tls.ca`, `tls.client_cert`, `tls.client_key` or `verify`.
    pub key: &'static str,
    pub problem: String,
}

/// Checked TLS of one destination; cheap to clone.
#[derive(Clone, Default)]
pub struct Tls {
    only_13: bool,
    roots: Option<Arc<RootCertStore>>,
    client: Option<ClientIdentity>,
    unverified: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("only_13", &self.only_13)
            .field("own_roots", &self.roots.as_ref().map(|roots| roots.len()))
            .field("client", &self.client)
            .field("unverified", &self.unverified)
            .finish()
    }
}

impl Tls {
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsFault> {
        let fault = |key, problem: String| TlsFault { key, problem };
        let only_13 = match settings.min_version.as_deref() {
            None | Some("1.2") => false,
            Some("1.3") => true,
            Some(_) => return Err(fault("tls.min_version", "is neither \"1.2\" nor \"1.3\"; older versions are never spoken".into())),
        };
        let roots = settings.ca.as_deref().map(authorities).transpose().map_err(|problem| fault("tls.ca", problem))?;
        if settings.unverified && roots.is_some() {
            return Err(fault("verify", "is false beside `tls.ca`, which would then never be looked at; leave one of them out".into()));
        }
        let client = match (&settings.client_cert, &settings.client_key) {
            (None, None) => None,
            (Some(_), None) => return Err(fault("tls.client_cert", "has no `tls.client_key` beside it".into())),
            (None, Some(_)) => return Err(fault("tls.client_key", "has no `tls.client_cert` beside it".into())),
            (Some(cert), Some(key)) => {
                let chain = read(cert).map_err(|problem| fault("tls.client_cert", problem))?;
                let key = read(key).map_err(|problem| fault("tls.client_key", problem))?;
                Some(ClientIdentity::from_pem(&chain, &key).map_err(|problem| match problem {
                    IdentityFault::Certificate(problem) => fault("tls.client_cert", problem),
                    IdentityFault::Key(problem) => fault("tls.client_key", problem),
                })?)
            }
        };
        Ok(Self { only_13, roots, client, unverified: settings.unverified })
    }

    /// True where the receiver's certificate is not looked at.
    pub fn unverified(&self) -> bool {
        self.unverified
    }

    /// The certificate that the host shows to the receiver.
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.client.as_ref()
    }

    /// The same with another client certificate: a credential's, for example.
    #[must_use]
    pub fn with_client(mut self, client: ClientIdentity) -> Self {
        self.client = Some(client);
        self
    }

    /// Digest of everything that a connection depends on, the contents of the files included: equal
    /// where a connection made under one may go on under the other.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update([u8::from(self.only_13), u8::from(self.unverified), u8::from(self.roots.is_some())]);
        for root in self.roots.iter().flat_map(|roots| roots.roots.iter()) {
            digest.update(&root.subject[..]);
            digest.update(&root.subject_public_key_info[..]);
            digest.update(root.name_constraints.as_deref().unwrap_or_default());
        }
        for certificate in self.client.iter().flat_map(|client| client.0.cert.iter()) {
            digest.update((certificate.len() as u64).to_le_bytes());
            digest.update(certificate);
        }
        digest.finalize().into()
    }

    /// TLS by rustls with ring, with sessions of its own. `alpn` are the protocols offered.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = if self.only_13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = if self.unverified {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(match &self.roots {
                Some(roots) => Arc::clone(roots),
                None => machine_roots()?,
            })
        };
        let mut config = match &self.client {
            Some(client) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&client.0)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    /// For a client that never speaks TLS.
    pub(super) fn none() -> Result<ClientConfig, String> {
        Self { roots: Some(Arc::new(RootCertStore::empty())), ..Self::default() }.config(&[])
    }
}

/// A certificate with its key, which cannot be printed.
#[derive(Clone)]
pub struct ClientIdentity(Arc<CertifiedKey>);

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIdentity").field(&self.0.cert.len()).finish()
    }
}

impl ClientIdentity {
    /// From PEM texts; see [`certified_key`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityFault> {
        certified_key(chain, key).map(Self)
    }
}

/// The machine's own roots: what the operator added there works, what the distribution withdraws is
/// gone, and no list grows old inside the binary. Read once.
fn machine_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        tracing::debug!(added, ignored, "root certificates of the machine");
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err("this machine has no root certificates; install the package ca-certificates, set SSL_CERT_FILE, or give the destination `tls.ca`".into());
    }
    Ok(Arc::clone(roots))
}

/// The TLS library's error, also where several layers of IO errors wrap it: their `source` skips it.
pub(super) fn within<'e>(mut error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Error> {
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        error = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

/// What the receiver did wrong, in words for guests and operators. Names that were presented stay out:
/// they are the receiver's to choose.
pub(super) fn words(error: &Error) -> String {
    let certificate = match error {
        Error::InvalidCertificate(certificate) => certificate,
        other => return format!("TLS: {other}"),
    };
    let what = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the receiver's certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "the receiver's certificate is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "the receiver's certificate is for another name",
        CertificateError::UnknownIssuer => "the receiver's certificate is from an authority that is not trusted here",
        other => return format!("TLS: the receiver's certificate is refused: {other}"),
    };
    format!("TLS: {what}")
}

/// Takes every certificate. That the receiver holds its key is still proved, which guards against
/// nobody who can answer in its place.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "../../../../../tests/it/pki.rs"]
pub(crate) mod pki;

#[cfg(test)]
pub(crate) mod tests;
