//! Discovery and keys of an OpenID provider (OpenID Connect Discovery 1.0 §4, RFC 7517).

use std::time::Duration;

use bulkhead_access::{JwtKeys, KeySetFault};
use reqwest::Url;
use serde_json::Value;

/// Longest time of one request.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const MOST: usize = 256 << 10;

/// Why the provider's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the HTTP client for the OpenID provider cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("no answer from {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{url} answered with more than {MOST} bytes")]
    TooLarge { url: String },
    #[error("{url} is no discovery document")]
    Discovery { url: String },
    #[error("the provider calls itself `{found}`; write that as `listen.api.oidc.issuer`")]
    Issuer { found: String },
    #[error("the provider names `{0}`, which is not https")]
    Plain(String),
    #[error(transparent)]
    Keys(#[from] KeySetFault),
}

pub struct Provider {
    issuer: String,
    http: reqwest::Client,
}

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "the operator names the provider in the configuration; guests never get here")]
    pub fn new(issuer: &str, ca: Option<&[u8]>) -> Result<Self, ProviderError> {
        // A host that has connectors with TLS finds the provider installed; that is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder();
        if let Some(pem) = ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).map_err(ProviderError::Client)?);
        }
        let builder = builder.no_proxy().redirect(reqwest::redirect::Policy::none()).referer(false).connect_timeout(LIMIT).timeout(LIMIT);
        Ok(Self { issuer: issuer.to_owned(), http: builder.build().map_err(ProviderError::Client)? })
    }

    /// The keys of now, found by way of the discovery document, which may name another place than last time.
    pub async fn keys(&self) -> Result<JwtKeys, ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let bytes = self.get(&url).await?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|_| ProviderError::Discovery { url: url.clone() })?;
        let text = |name: &str| document[name].as_str().ok_or_else(|| ProviderError::Discovery { url: url.clone() });
        // Another issuer's document would vouch with another one's keys (Discovery §4.3).
        let found = text("issuer")?;
        if found != self.issuer {
            return Err(ProviderError::Issuer { found: found.chars().take(200).collect() });
        }
        let keys = text("jwks_uri")?;
        if !is_safe(keys) {
            return Err(ProviderError::Plain(keys.chars().take(200).collect()));
        }
        Ok(JwtKeys::parse(&self.get(keys).await?)?)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, ProviderError> {
        let unreachable = |source| ProviderError::Unreachable { url: url.to_owned(), source };
        let mut response = self.http.get(url).header("accept", "application/json").send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ProviderError::Status { url: url.to_owned(), status });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST {
                return Err(ProviderError::TooLarge { url: url.to_owned() });
            }
        }
        Ok(bytes)
    }
}

/// Whether what is said there comes from whom it is said to come from: TLS, or this machine.
pub fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback()),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for url in ["https://id.example/keys", "http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost/keys"] {
            assert!(is_safe(url), "{url}");
        }
        for url in ["http://id.example/keys", "http://127.0.0.1.example/", "http://localhost.example/", "file:///etc/passwd", "ftp://127.0.0.1/", "keys", ""] {
            assert!(!is_safe(url), "{url}");
        }
    }
}
