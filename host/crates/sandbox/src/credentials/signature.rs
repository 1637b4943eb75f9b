//! `type: hmac`: signatures over what is sent, HMAC-SHA256 (RFC 2104).
//!
//! | scheme | on the wire |
//! |---|---|
//! | `datavault` | `X-Webhook-Signature: sha256=<hex over the body>`, `X-Webhook-Id` |
//! | `standard-webhooks` | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64 over id.timestamp.body>` (Standard Webhooks 1.0.0) |
//! | `custom` | `<header>: <prefix><hex or base64>`, and the id and timestamp headers where they are signed |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderName;
use sha2::Sha256;

use super::{Outgoing, insert};
use crate::egress::host_owned;
use crate::egress::redact::MIN_SECRET;

/// How a request is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// The data vault's webhooks.
    Datavault,
    /// Standard Webhooks 1.0.0.
    StandardWebhooks,
    /// A vendor's own.
    Custom(Custom),
}

/// What a vendor's own scheme signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    Body,
    /// `<timestamp>.<body>`
    TimestampBody,
    /// `<id>.<timestamp>.<body>`
    IdTimestampBody,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    Hex,
    Base64,
}

/// A vendor's own scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    header: HeaderName,
    prefix: String,
    digits: Digits,
    signs: Signs,
    id_header: HeaderName,
    timestamp_header: HeaderName,
}

impl Custom {
    /// Headers are the host's to set from then on. The error names what is wrong.
    pub fn new(header: &str, prefix: &str, digits: Digits, signs: Signs, id_header: &str, timestamp_header: &str) -> Result<Self, String> {
        let parse = |text: &str| {
            let lower = text.to_ascii_lowercase();
            let parsed = HeaderName::from_bytes(lower.as_bytes()).map_err(|_| format!("`{}` is no header name", text.escape_default()))?;
            if host_owned(&lower) && lower != "authorization" {
                return Err(format!("the header `{lower}` belongs to the host"));
            }
            Ok(parsed)
        };
        if !prefix.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err("the prefix has a character that a header cannot carry".into());
        }
        let (header, id_header, timestamp_header) = (parse(header)?, parse(id_header)?, parse(timestamp_header)?);
        if header == id_header || header == timestamp_header || id_header == timestamp_header {
            return Err("signature, id and timestamp need headers of their own".into());
        }
        Ok(Self { header, prefix: prefix.into(), digits, signs, id_header, timestamp_header })
    }
}

impl Scheme {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Datavault => "hmac datavault",
            Self::StandardWebhooks => "hmac standard-webhooks",
            Self::Custom(_) => "hmac custom",
        }
    }

    pub(super) fn header_names(&self) -> Vec<&str> {
        match self {
            Self::Datavault => vec!["x-webhook-signature", "x-webhook-id"],
            Self::StandardWebhooks => vec!["webhook-id", "webhook-timestamp", "webhook-signature"],
            Self::Custom(custom) => {
                let mut names = vec![custom.header.as_str()];
                if custom.signs != Signs::Body {
                    names.push(custom.timestamp_header.as_str());
                }
                if custom.signs == Signs::IdTimestampBody {
                    names.push(custom.id_header.as_str());
                }
                names
            }
        }
    }

    /// The bytes that sign.
    pub(super) fn key(&self, secret: &str) -> Result<Vec<u8>, String> {
        if *self != Self::StandardWebhooks {
            return Ok(secret.as_bytes().to_vec());
        }
        let digits = secret.strip_prefix("whsec_").ok_or("a Standard Webhooks secret begins with `whsec_`")?;
        let bytes = STANDARD.decode(digits).map_err(|_| "what follows `whsec_` is not base64")?;
        if bytes.len() < MIN_SECRET {
            return Err(format!("the secret has {} bytes; at least 24 are usual", bytes.len()));
        }
        Ok(bytes)
    }

    pub(super) fn apply(&self, secrets: &[&str], request: &mut Outgoing<'_>) -> Result<(), String> {
        let time = request.now.as_secs().to_string();
        match self {
            Self::Datavault => {
                let key = self.key(super::one(secrets))?;
                let signature = format!("sha256={}", hex(&sign(&key, &[request.body])));
                insert(request.headers, &HeaderName::from_static("x-webhook-signature"), &signature)?;
                if !request.message_id.is_empty() {
                    insert(request.headers, &HeaderName::from_static("x-webhook-id"), checked_id(request.message_id)?)?;
                }
            }
            Self::StandardWebhooks => {
                let id = needed_id(request.message_id)?;
                let mut signatures = Vec::with_capacity(secrets.len());
                for secret in secrets {
                    let key = self.key(secret)?;
                    signatures.push(format!("v1,{}", STANDARD.encode(sign(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", request.body]))));
                }
                insert(request.headers, &HeaderName::from_static("webhook-id"), id)?;
                insert(request.headers, &HeaderName::from_static("webhook-timestamp"), &time)?;
                insert(request.headers, &HeaderName::from_static("webhook-signature"), &signatures.join(" "))?;
            }
            Self::Custom(custom) => {
                let key = self.key(super::one(secrets))?;
                let time = time.as_bytes();
                let signature = match custom.signs {
                    Signs::Body => sign(&key, &[request.body]),
                    Signs::TimestampBody => sign(&key, &[time, b".", request.body]),
                    Signs::IdTimestampBody => sign(&key, &[needed_id(request.message_id)?.as_bytes(), b".", time, b".", request.body]),
                };
                let digits = match custom.digits {
                    Digits::Hex => hex(&signature),
                    Digits::Base64 => STANDARD.encode(signature),
                };
                insert(request.headers, &custom.header, &format!("{}{digits}", custom.prefix))?;
                if custom.signs != Signs::Body {
                    insert(request.headers, &custom.timestamp_header, &request.now.as_secs().to_string())?;
                }
                if custom.signs == Signs::IdTimestampBody {
                    insert(request.headers, &custom.id_header, request.message_id)?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn sign(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn needed_id(id: &str) -> Result<&str, String> {
    if id.is_empty() {
        return Err("the destination's credential signs the message id, but `message-id` is empty".into());
    }
    checked_id(id)
}

/// Message ids are signed with dots between the parts, so they hold none (Standard Webhooks 1.0.0).
fn checked_id(id: &str) -> Result<&str, String> {
    let fits = id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    fits.then_some(id).ok_or_else(|| "`message-id` must be at most 128 visible ASCII characters without `.`".into())
}
