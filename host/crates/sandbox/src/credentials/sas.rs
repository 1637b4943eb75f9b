//! `type: sas`: shared access signatures of Azure Service Bus and Event Hubs.
//!
//! On the wire: `Authorization: SharedAccessSignature sr=<resource>&sig=<signature>&se=<expiry>&skn=<policy>`,
//! signed with HMAC-SHA256 over `<resource, percent-encoded>\n<expiry>` under the key as it is written
//! (not decoded). A token is good for between half of `ttl` and `ttl`, and the same within that half: it
//! opens the resource to whoever has it, so it is taken out of answers like a password.
//! Source: Microsoft Learn, "Generate SAS token" (Service Bus, Event Hubs).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use url::Url;

use super::query::encoded;
use super::signature::sign;
use super::{Outgoing, secret_header};

pub(super) struct Sas {
    /// Percent-encoded, as it is signed and sent.
    resource: String,
    policy: String,
    /// Half of what a token may live, in seconds.
    half: u64,
}

impl Sas {
    pub(super) fn new(resource: &str, policy: &str, ttl: Duration) -> Result<Self, String> {
        let url = Url::parse(resource).map_err(|error| format!("`resource` is no URL: {error}"))?;
        if !matches!(url.scheme(), "https" | "http" | "sb") || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("`resource` is not the plain URL of a namespace or of something in it, such as https://acme.servicebus.windows.net/alerts".into());
        }
        if policy.is_empty() || policy.len() > 256 || !policy.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err("`key_name` is not made of letters, digits and -_.".into());
        }
        Ok(Self { resource: encoded(resource), policy: policy.into(), half: (ttl.as_secs() / 2).max(1) })
    }

    /// What follows `SharedAccessSignature `.
    pub(super) fn token(&self, key: &str, now: Duration) -> String {
        self.signed(key, (now.as_secs() / self.half).saturating_add(2).saturating_mul(self.half))
    }

    fn signed(&self, key: &str, expiry: u64) -> String {
        let signature = sign(key.as_bytes(), &[format!("{}\n{expiry}", self.resource).as_bytes()]);
        format!("sr={}&sig={}&se={expiry}&skn={}", self.resource, encoded(&STANDARD.encode(signature)), self.policy)
    }

    /// The part of a token that opens the resource, decoded.
    pub(super) fn opens(token: &str) -> Option<Vec<u8>> {
        let signature = token.split('&').find_map(|part| part.strip_prefix("sig="))?;
        Some(url::form_urlencoded::parse(format!("s={signature}").as_bytes()).next()?.1.into_owned().into_bytes())
    }

    pub(super) fn apply(&self, key: &str, request: &mut Outgoing<'_>) -> Result<(), String> {
        let token = self.token(key, request.now);
        request.headers.insert(AUTHORIZATION, secret_header(&format!("SharedAccessSignature {token}"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_token() {
        let sas = Sas::new("https://contoso.servicebus.windows.net/alerts", "SendPolicy", Duration::from_secs(3600)).expect("valid");
        let token = sas.signed("dGVzdC1rZXktMDEyMzQ1Njc4OWFiY2RlZg==", 1_893_456_000);
        assert_eq!(
            token,
            "sr=https%3A%2F%2Fcontoso.servicebus.windows.net%2Falerts&sig=9xoP0hBn1UDlaElsFWvCCLNYAxShdvkhhkR4vDl0Jr0%3D&se=1893456000&skn=SendPolicy"
        );
        assert_eq!(Sas::opens(&token), Some(b"9xoP0hBn1UDlaElsFWvCCLNYAxShdvkhhkR4vDl0Jr0=".to_vec()));
    }

    #[test]
    fn a_token_lives_for_half_to_all_of_its_time() {
        let sas = Sas::new("sb://a.servicebus.windows.net/q", "p", Duration::from_secs(3600)).expect("valid");
        let expiry = |now| {
            let token = sas.token("secret-key", Duration::from_secs(now));
            token.split('&').find_map(|part| part.strip_prefix("se=")).and_then(|text| text.parse::<u64>().ok()).expect("an expiry")
        };
        assert_eq!(expiry(1_799_999), 1_801_800);
        assert_eq!(expiry(1_800_000), 1_803_600);
        assert_eq!(expiry(1_801_799), 1_803_600);
    }

    #[test]
    fn what_cannot_be_a_resource() {
        for (resource, policy) in [
            ("contoso", "p"),
            ("ftp://contoso/x", "p"),
            ("https://u@contoso/x", "p"),
            ("https://contoso/x?sig=1", "p"),
            ("https://contoso/x", ""),
            ("https://contoso/x", "a&b"),
        ] {
            assert!(Sas::new(resource, policy, Duration::from_secs(60)).is_err(), "{resource} {policy}");
        }
    }
}
