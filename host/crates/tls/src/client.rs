//! TLS of connections that the host itself makes, to what its operator names. Guests' connections are the egress room's.

use std::sync::Arc;

use rustls::{ClientConfig, Error, RootCertStore};

/// TLS 1.2 or later with ring, servers' certificates from these authorities or else the machine's.
pub fn client(authorities: Option<Arc<RootCertStore>>) -> Result<Arc<ClientConfig>, Error> {
    let roots = authorities.unwrap_or_else(|| {
        let mut roots = RootCertStore::empty();
        // One that cannot be read, of some hundred, keeps the others from nothing.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
