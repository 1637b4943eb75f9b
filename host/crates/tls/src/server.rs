//! TLS of a listener: what it shows, whom it takes, and the oldest version it speaks. Renewed files are
//! taken over while the listener runs; connections that stand are not touched.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use sha2::{Digest as _, Sha256};

use crate::pem::{IdentityFault, authorities, certified_key, read};

/// TLS of a listener as the configuration writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTlsSettings {
    /// PEM file with the listener's certificate, its chain behind it.
    pub cert: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// PEM file with the authorities one of which must have signed a client's certificate; no
    /// certificate is asked for where absent.
    pub client_ca: Option<PathBuf>,
    /// Nothing older than TLS 1.3; TLS 1.2 otherwise.
    pub only_13: bool,
}

/// What is wrong, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFault {
    /// `cert`, `key` or `client_ca`.
    pub key: &'static str,
    pub problem: String,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Of all that a client can see of it.
    digest: [u8; 32],
}

/// Checked TLS of a listener. All clones see the same.
#[derive(Clone)]
pub struct ServerTls(Arc<RwLock<Current>>);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    pub fn load(settings: &ServerTlsSettings) -> Result<Self, TlsFault> {
        let fault = |key| move |problem| TlsFault { key, problem };
        let identity = certified_key(&read(&settings.cert).map_err(fault("cert"))?, &read(&settings.key).map_err(fault("key"))?);
        let identity = identity.map_err(|problem| match problem {
            IdentityFault::Certificate(problem) => fault("cert")(problem),
            IdentityFault::Key(problem) => fault("key")(problem),
        })?;
        let roots = settings.client_ca.as_deref().map(authorities).transpose().map_err(fault("client_ca"))?;
        let mut digest = Sha256::new();
        digest.update([u8::from(settings.only_13), u8::from(roots.is_some())]);
        let keys = roots.iter().flat_map(|roots| roots.roots.iter().map(|root| &root.subject_public_key_info[..]));
        for part in identity.cert.iter().map(|certificate| &certificate[..]).chain(keys) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = if settings.only_13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| fault("cert")(format!("cannot be used: {error}")))?;
        let builder = match roots {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(|error| fault("client_ca")(format!("cannot be used: {error}")))?,
            ),
            None => builder.with_no_client_auth(),
        };
        let config = Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity))));
        Ok(Self(Arc::new(RwLock::new(Current { config, digest: digest.finalize().into() }))))
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Takes over what the other has, for the connections to come; false where that is the same. Sessions
    /// of before cannot be resumed then: whoever is not trusted any more does not come back with one.
    pub fn renew(&self, from: &Self) -> bool {
        let (config, digest) = {
            let from = from.0.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&from.config), from.digest)
        };
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let differs = current.digest != digest;
        if differs {
            *current = Current { config, digest };
        }
        differs
    }
}

#[cfg(test)]
#[path = "../../../../tests/it/pki.rs"]
mod pki;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::pki::{Authority, write};
    use super::*;

    fn settings(dir: &Path, name: &str, authority: &Authority) -> ServerTlsSettings {
        let (cert, key) = authority.server(&["localhost"]).write(dir, name);
        ServerTlsSettings { cert, key, ..ServerTlsSettings::default() }
    }

    #[test]
    fn a_faulty_file_is_named_with_its_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("ours");
        let (good, other) = (settings(dir.path(), "good", &authority), settings(dir.path(), "other", &authority));
        let garbage = write(dir.path(), "garbage", "no PEM");
        let check = |change: &dyn Fn(&mut ServerTlsSettings), key: &str, says: &str| {
            let mut settings = good.clone();
            change(&mut settings);
            let fault = ServerTls::load(&settings).expect_err("refused");
            assert_eq!(fault.key, key, "{fault:?}");
            assert!(fault.problem.contains(says), "{fault:?}");
        };
        check(&|settings| settings.key = other.key.clone(), "key", "not the key of the certificate");
        check(&|settings| settings.key = garbage.clone(), "key", "no private key");
        check(&|settings| settings.cert = garbage.clone(), "cert", "no certificate");
        check(&|settings| settings.cert = "/missing".into(), "cert", "/missing, which cannot be read");
        check(&|settings| settings.client_ca = Some(garbage.clone()), "client_ca", "no certificate");
    }

    #[test]
    fn the_same_files_renew_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("ours");
        let first = settings(dir.path(), "first", &authority);
        let tls = ServerTls::load(&first).expect("loads");
        let before = tls.config();
        assert!(!tls.renew(&ServerTls::load(&first).expect("loads")));
        assert!(Arc::ptr_eq(&before, &tls.config()));
        assert!(tls.clone().renew(&ServerTls::load(&ServerTlsSettings { only_13: true, ..first }).expect("loads")));
        assert!(!Arc::ptr_eq(&before, &tls.config()), "clones share it");
    }
}
