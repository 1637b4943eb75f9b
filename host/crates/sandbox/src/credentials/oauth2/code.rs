//! Somebody agrees in a browser: RFC 6749 §4.1, always with PKCE S256 (RFC 7636), as RFC 9700 wants it.
//! The server's answer comes back as a code that is exchanged here for the first refresh token.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Connection, Failure, Grant, GrantDigest, Inner, Means, OAuth2, OAuth2Settings};
use crate::bill::Bill;
use crate::credentials::refresh::RefreshTokens;

/// What the URL has by the standard.
const OWN: [&str; 7] = ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];
/// Longest code that is passed on.
const MAX_CODE: usize = 4 << 10;

/// The secret half of a proof key; its text is 43 characters of base64url.
#[derive(Clone)]
pub struct Verifier(SecretString);

/// Where a browser is to be sent.
pub struct Authorization {
    pub url: Url,
    pub verifier: Verifier,
}

impl Verifier {
    fn mint() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_secret()))
    }
}

/// Where browsers can be sent.
pub(super) fn check(url: &str, parameters: &BTreeMap<String, String>) -> Result<Url, String> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.host().is_some() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
    };
    let url = Url::parse(url).ok().filter(fits).ok_or("`authorize_url` is no URL with http or https, without user and fragment")?;
    match url.query_pairs().map(|(name, _)| name.into_owned()).chain(parameters.keys().cloned()).find(|name| OWN.contains(&name.as_str())) {
        Some(own) => Err(format!("`authorize_url` or `authorize_parameters` has `{own}`, which is the host's")),
        None => Ok(url),
    }
}

/// What a refresh token belongs to: with another client, endpoint or configured token it is worth nothing.
pub(super) fn digest(name: &str, settings: &OAuth2Settings) -> GrantDigest {
    let mut digest = Sha256::new();
    let mut part = |text: &[u8]| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    };
    part(name.as_bytes());
    part(settings.endpoint.url.as_bytes());
    part(settings.client_id.as_bytes());
    match &settings.grant {
        Grant::RefreshToken(value) => {
            part(b"refresh_token");
            part(value.fixed().unwrap_or_default().as_bytes());
        }
        Grant::AuthorizationCode { url, .. } => {
            part(b"authorization_code");
            part(url.as_bytes());
            part(settings.scope.as_deref().unwrap_or_default().as_bytes());
        }
        Grant::ClientCredentials | Grant::Password { .. } => {}
    }
    // Of the host's it is what it was before there were tenants.
    settings.tenant.iter().for_each(|tenant| part(tenant.as_bytes()));
    digest.finalize().into()
}

impl OAuth2 {
    /// Where somebody agrees; nothing for a credential that nobody connects.
    pub(crate) fn authorization(&self, redirect: &Url, state: &str) -> Result<Option<Authorization>, getrandom::Error> {
        let settings = &self.inner.settings;
        let (Some(mut url), Grant::AuthorizationCode { parameters, .. }) = (self.inner.authorize.clone(), &settings.grant) else { return Ok(None) };
        let verifier = Verifier::mint()?;
        url.query_pairs_mut()
            .extend_pairs([("response_type", "code"), ("client_id", &settings.client_id), ("redirect_uri", redirect.as_str())])
            .extend_pairs(settings.scope.iter().map(|scope| ("scope", scope)))
            .extend_pairs([("state", state), ("code_challenge", &verifier.challenge()), ("code_challenge_method", "S256")])
            .extend_pairs(parameters);
        Ok(Some(Authorization { url, verifier }))
    }

    /// Exchanges the code that the browser brought back.
    pub(crate) async fn connect(&self, code: SecretString, verifier: &Verifier, redirect: &Url, means: &Means) -> Result<(), Failure> {
        self.inner.connect(code, verifier, redirect, means).await
    }

    /// Whether somebody has to connect it; nothing for a credential that nobody connects.
    pub(crate) fn connection(&self, tokens: &RefreshTokens) -> Option<Connection> {
        self.inner.authorize.is_some().then(|| tokens.connection(&self.inner.name, &self.inner.digest))
    }

    /// A token that is not kept, and how many seconds it is good for.
    pub(crate) async fn try_out(&self, means: &Means) -> Result<u64, Failure> {
        let fetched = Inner::fetch(&self.inner, super::ENDPOINT, means).await?;
        self.issued.learn(&[fetched.value.expose_secret().as_bytes()]);
        Ok(fetched.good.as_secs())
    }
}

impl Inner {
    async fn connect(&self, code: SecretString, verifier: &Verifier, redirect: &Url, means: &Means) -> Result<(), Failure> {
        if code.expose_secret().len() > MAX_CODE {
            return Err(Failure::lasting(format!("credential `{}`: the code has more than {MAX_CODE} bytes", self.name)));
        }
        let _turn = means.tokens.turn(&self.name).await;
        let mut plain = vec![("grant_type", "authorization_code"), ("redirect_uri", redirect.as_str())];
        let mut secrets = vec![("code", Arc::new(code)), ("code_verifier", Arc::new(verifier.0.clone()))];
        self.client(&mut plain, &mut secrets, &means.clock).await?;
        let body = self.encoded(plain, &secrets);
        let token = self.answer(&Bill::default(), body, means).await.map_err(|(failure, _)| failure)?;
        let refresh = token.refresh.ok_or_else(|| {
            let text = format!(
                "credential `{}`: the token endpoint gave no refresh token; ask for one as its documentation says, by a scope such as `offline_access` or by `authorize_parameters`",
                self.name
            );
            Failure::lasting(text)
        })?;
        self.refreshed.learn(&[refresh.expose_secret().as_bytes()]);
        means.tokens.connected(&self.name, self.digest, refresh).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        let verifier = Verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned().into());
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let (one, other) = (Verifier::mint().expect("random"), Verifier::mint().expect("random"));
        assert_eq!(one.0.expose_secret().len(), 43);
        assert_ne!(one.0.expose_secret(), other.0.expose_secret());
    }

    #[test]
    fn where_browsers_can_be_sent() {
        let none = BTreeMap::new();
        for url in ["https://login.example.com/authorize", "http://127.0.0.1:1/a?tenant=b"] {
            assert!(check(url, &none).is_ok(), "{url}");
        }
        for url in
            ["javascript:alert(1)", "https://user@login.example.com/", "https://login.example.com/#top", "/authorize", "ftp://a.b/", "https://a.b/?state=mine"]
        {
            assert!(check(url, &none).is_err(), "{url}");
        }
        assert!(check("https://a.b/", &BTreeMap::from([("code_challenge".into(), "x".into())])).is_err());
    }
}
