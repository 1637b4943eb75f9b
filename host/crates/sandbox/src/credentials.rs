//! Credentials that the host puts into requests at dispatch. Guests know that a destination has one,
//! at most; values live in memory types that cannot be printed and are wiped when they go.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;

use crate::egress::host_owned;
use crate::egress::redact::MIN_SECRET;

/// Why a credential cannot be used. Texts never hold the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credential `{name}`: {problem}")]
pub struct CredentialError {
    pub name: String,
    pub problem: String,
}

/// How a webhook is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `X-Webhook-Signature: sha256=<hex hmac-sha256 of the body>`, `X-Webhook-Id`.
    Datavault,
    /// Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`.
    StandardWebhooks,
}

impl Scheme {
    /// The scheme with that name in the configuration.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "datavault" => Some(Self::Datavault),
            "standard-webhooks" => Some(Self::StandardWebhooks),
            _ => None,
        }
    }
}

/// One credential, bound to destinations by name.
pub struct Credential {
    name: String,
    kind: Kind,
}

enum Kind {
    /// A whole header value, prefix included.
    Header { header: HeaderName, value: SecretString, secret: SecretString },
    /// A query parameter, percent-encoded.
    Query { parameter: String, encoded: SecretString, secret: SecretString },
    /// Keys of a signature: the current one first, then those that still hold during a rotation.
    Hmac { scheme: Scheme, keys: Vec<Key> },
}

struct Key {
    written: SecretString,
    bytes: SecretSlice<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Header { header, .. } => header.as_str(),
            Kind::Query { .. } => "query",
            Kind::Hmac { scheme: Scheme::Datavault, .. } => "hmac datavault",
            Kind::Hmac { scheme: Scheme::StandardWebhooks, .. } => "hmac standard-webhooks",
        };
        f.debug_struct("Credential").field("name", &self.name).field("kind", &kind).finish_non_exhaustive()
    }
}

impl Credential {
    /// `type: header`: a header of the operator's choice, with a prefix such as `Splunk `.
    pub fn header(name: &str, header: &str, prefix: &str, value: SecretString) -> Result<Self, CredentialError> {
        let fault = |problem: String| CredentialError { name: name.into(), problem };
        let lower = header.to_ascii_lowercase();
        let parsed = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| fault(format!("`{}` is no header name", header.escape_default())))?;
        if host_owned(&lower) && lower != "authorization" && lower != "cookie" {
            return Err(fault(format!("the header `{lower}` belongs to the host")));
        }
        check_secret(name, &value)?;
        let whole = SecretString::from(format!("{prefix}{}", value.expose_secret()));
        header_value(&whole).map_err(|()| fault("the value has a character that a header cannot carry (a line break?)".into()))?;
        Ok(Self { name: name.into(), kind: Kind::Header { header: parsed, value: whole, secret: value } })
    }

    /// `type: bearer`: `Authorization: Bearer <token>` (RFC 6750).
    pub fn bearer(name: &str, token: SecretString) -> Result<Self, CredentialError> {
        Self::header(name, "authorization", "Bearer ", token)
    }

    /// `type: basic` (RFC 7617).
    pub fn basic(name: &str, user: &str, password: SecretString) -> Result<Self, CredentialError> {
        let fault = |problem: &str| CredentialError { name: name.into(), problem: problem.into() };
        if user.contains(':') {
            return Err(fault("the user name has a `:`, which basic authentication cannot carry"));
        }
        if user.chars().any(char::is_control) || password.expose_secret().chars().any(char::is_control) {
            return Err(fault("user name or password has a control character"));
        }
        check_secret(name, &password)?;
        let encoded = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        let value = SecretString::from(format!("Basic {encoded}"));
        Ok(Self { name: name.into(), kind: Kind::Header { header: http::header::AUTHORIZATION, value, secret: password } })
    }

    /// `type: query`: a parameter at the end of the query.
    pub fn query(name: &str, parameter: &str, value: SecretString) -> Result<Self, CredentialError> {
        let plain = !parameter.is_empty() && parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        if !plain {
            return Err(CredentialError { name: name.into(), problem: "the parameter's name is not made of letters, digits and -._~".into() });
        }
        check_secret(name, &value)?;
        let mut encoded = String::new();
        for byte in value.expose_secret().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        Ok(Self { name: name.into(), kind: Kind::Query { parameter: parameter.into(), encoded: encoded.into(), secret: value } })
    }

    /// `type: hmac`: signs the body as it is sent. Several secrets sign side by side where the scheme
    /// carries several signatures; else the first one signs.
    pub fn hmac(name: &str, scheme: Scheme, secrets: Vec<SecretString>) -> Result<Self, CredentialError> {
        let fault = |problem: String| CredentialError { name: name.into(), problem };
        if secrets.is_empty() || secrets.len() > 4 {
            return Err(fault(format!("has {} secrets; 1 to 4 can sign", secrets.len())));
        }
        let mut keys = Vec::with_capacity(secrets.len());
        for written in secrets {
            check_secret(name, &written)?;
            let bytes = match scheme {
                Scheme::Datavault => written.expose_secret().as_bytes().to_vec(),
                Scheme::StandardWebhooks => {
                    let digits =
                        written.expose_secret().strip_prefix("whsec_").ok_or_else(|| fault("a Standard Webhooks secret begins with `whsec_`".into()))?;
                    let bytes = STANDARD.decode(digits).map_err(|_| fault("what follows `whsec_` is not base64".into()))?;
                    if bytes.len() < MIN_SECRET {
                        return Err(fault(format!("the secret has {} bytes; at least 24 are usual", bytes.len())));
                    }
                    bytes
                }
            };
            keys.push(Key { written, bytes: bytes.into() });
        }
        Ok(Self { name: name.into(), kind: Kind::Hmac { scheme, keys } })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Headers that the credential sets, so that a guest cannot.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Header { header, .. } => vec![header.as_str()],
            Kind::Query { .. } => Vec::new(),
            Kind::Hmac { scheme: Scheme::Datavault, .. } => vec!["x-webhook-signature", "x-webhook-id"],
            Kind::Hmac { scheme: Scheme::StandardWebhooks, .. } => vec!["webhook-id", "webhook-timestamp", "webhook-signature"],
        }
    }

    /// What must not come back: see [`Redactor`](crate::egress::redact::Redactor).
    pub(crate) fn secrets(&self) -> Vec<&[u8]> {
        match &self.kind {
            Kind::Header { value, secret, .. } => {
                // `Basic <base64>` holds the password in a form of its own.
                let whole = value.expose_secret().split_once(' ').map_or(value.expose_secret(), |(_, rest)| rest);
                vec![secret.expose_secret().as_bytes(), whole.as_bytes()]
            }
            Kind::Query { encoded, secret, .. } => vec![secret.expose_secret().as_bytes(), encoded.expose_secret().as_bytes()],
            Kind::Hmac { keys, .. } => keys.iter().flat_map(|key| [key.written.expose_secret().as_bytes(), key.bytes.expose_secret()]).collect(),
        }
    }

    /// Puts the credential into a request. `body` is what goes on the wire, `now` the Unix time in
    /// seconds. The error goes to the guest.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, target: &mut String, body: &[u8], message_id: &str, now: u64) -> Result<(), String> {
        match &self.kind {
            Kind::Header { header, value, .. } => {
                let value = header_value(value).map_err(|()| "the credential cannot be carried by a header".to_owned())?;
                headers.insert(header, value);
            }
            Kind::Query { parameter, encoded, .. } => {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(parameter);
                target.push('=');
                target.push_str(encoded.expose_secret());
            }
            Kind::Hmac { scheme: Scheme::Datavault, keys } => {
                let key = keys.first().ok_or_else(|| "the credential has no key".to_owned())?;
                let mut signature = String::from("sha256=");
                for byte in sign(key, &[body]) {
                    signature.push_str(&format!("{byte:02x}"));
                }
                insert(headers, "x-webhook-signature", &signature)?;
                if !message_id.is_empty() {
                    insert(headers, "x-webhook-id", checked_id(message_id)?)?;
                }
            }
            Kind::Hmac { scheme: Scheme::StandardWebhooks, keys } => {
                if message_id.is_empty() {
                    return Err("the destination's credential signs the message id, but `message-id` is empty".into());
                }
                let id = checked_id(message_id)?;
                let time = now.to_string();
                let signatures: Vec<String> =
                    keys.iter().map(|key| format!("v1,{}", STANDARD.encode(sign(key, &[id.as_bytes(), b".", time.as_bytes(), b".", body])))).collect();
                insert(headers, "webhook-id", id)?;
                insert(headers, "webhook-timestamp", &time)?;
                insert(headers, "webhook-signature", &signatures.join(" "))?;
            }
        }
        Ok(())
    }
}

fn sign(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes.expose_secret()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Message ids are signed with dots between the parts, so they hold none (Standard Webhooks 1.0.0).
fn checked_id(id: &str) -> Result<&str, String> {
    let fits = id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    fits.then_some(id).ok_or_else(|| "`message-id` must be at most 128 visible ASCII characters without `.`".into())
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), String> {
    headers.insert(name, HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot carry its value"))?);
    Ok(())
}

fn header_value(value: &SecretString) -> Result<HeaderValue, ()> {
    let mut parsed = HeaderValue::from_bytes(value.expose_secret().as_bytes()).map_err(|_| ())?;
    // Keeps it out of debug output and of HTTP/2 compression tables.
    parsed.set_sensitive(true);
    Ok(parsed)
}

fn check_secret(name: &str, value: &SecretString) -> Result<(), CredentialError> {
    let length = value.expose_secret().len();
    if length < MIN_SECRET {
        let problem =
            format!("the secret has {length} bytes; with fewer than {MIN_SECRET} it could not be taken out of answers and logs without destroying them");
        return Err(CredentialError { name: name.into(), problem });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
