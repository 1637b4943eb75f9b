//! Whether a request was signed with one of our secrets, lately. Pure: headers, body and time in, a
//! verdict out.
//!
//! | scheme | headers | signed |
//! |---|---|---|
//! | `standard-webhooks` | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64> v1a,<base64>` (or `svix-…`) | `id.timestamp.body` |
//! | `github` | `X-Hub-Signature-256: sha256=<hex>`, `X-GitHub-Delivery` | body |
//! | `slack` | `X-Slack-Request-Timestamp`, `X-Slack-Signature: v0=<hex>` | `v0:timestamp:body` |
//! | `hmac` | as configured | as configured |
//!
//! Sources: Standard Webhooks 1.0.0; GitHub Docs, "Validating webhook deliveries"; Slack, "Verifying
//! requests from Slack"; HMAC: RFC 2104; ed25519: RFC 8032.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Most signatures in one header: a sender in the middle of a rotation sends two.
const MAX_SIGNATURES: usize = 16;
/// Longest header that is looked at.
const MAX_HEADER: usize = 4 << 10;
/// Longest id of a message.
const MAX_ID: usize = 256;
/// Milliseconds have this many digits from 2001 to 2286, seconds 10.
const MILLIS_DIGITS: usize = 13;

/// What a secret signs with. It cannot be printed.
#[derive(Clone)]
pub enum VerifyKey {
    Hmac(hmac::Key),
    /// A public key of the sender.
    Ed25519([u8; 32]),
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyKey(…)")
    }
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    Hex,
    Base64,
}

impl VerifyKey {
    /// The bytes of the secret as they stand.
    pub fn plain(secret: &str, hash: Hash) -> Self {
        let algorithm = if hash == Hash::Sha256 { hmac::HMAC_SHA256 } else { hmac::HMAC_SHA512 };
        Self::Hmac(hmac::Key::new(algorithm, secret.as_bytes()))
    }

    /// `whsec_…` or `whpk_…`; the error says what is wrong without naming a part of it.
    pub fn standard(secret: &str) -> Result<Self, String> {
        if secret.starts_with("whsk_") {
            return Err("this is the sender's private key; write the public one, `whpk_…`".into());
        }
        let (public, digits) = match (secret.strip_prefix("whsec_"), secret.strip_prefix("whpk_")) {
            (Some(digits), _) => (false, digits),
            (_, Some(digits)) => (true, digits),
            _ => return Err("a Standard Webhooks secret begins with `whsec_`, a public key with `whpk_`".into()),
        };
        let bytes = STANDARD.decode(digits).map_err(|_| "what follows the first `_` is not base64")?;
        if public {
            return bytes.try_into().map(Self::Ed25519).map_err(|_| "a public key has 32 bytes".into());
        }
        // 24 to 64 by the specification; what a sender made shorter is still better than nothing.
        if !(16..=64).contains(&bytes.len()) {
            return Err(format!("the secret has {} bytes; 24 to 64 are usual", bytes.len()));
        }
        Ok(Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// What is signed: fixed text and parts of the request, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedParts(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Id,
    Timestamp,
    Body,
}

impl SignedParts {
    /// `body`, `timestamp.body`, `id.timestamp.body`, or any text with `{id}`, `{timestamp}` and `{body}` in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = match text {
            "body" => "{body}",
            "timestamp.body" => "{timestamp}.{body}",
            "id.timestamp.body" => "{id}.{timestamp}.{body}",
            other => other,
        };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("`{` without `}`")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(match name {
                "id" => Part::Id,
                "timestamp" => Part::Timestamp,
                "body" => Part::Body,
                _ => return Err(format!("`{{{}}}` is no part of a request; possible are {{id}}, {{timestamp}}, {{body}}", name.escape_default())),
            });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        if !parts.contains(&Part::Body) {
            return Err("the body is not signed; possible are body, timestamp.body, id.timestamp.body, or text with {body} in it".into());
        }
        Ok(Self(parts))
    }

    pub fn has_id(&self) -> bool {
        self.0.contains(&Part::Id)
    }

    pub fn has_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    fn each(&self, message: &Message<'_>, mut take: impl FnMut(&[u8])) {
        for part in &self.0 {
            take(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Id => message.id.unwrap_or_default().as_bytes(),
                Part::Timestamp => message.timestamp.unwrap_or_default().as_bytes(),
                Part::Body => message.body,
            });
        }
    }
}

/// Where a signature and what belongs to it stand.
#[derive(Debug, Clone)]
pub enum Scheme {
    StandardWebhooks,
    Github,
    Slack,
    /// A vendor's own.
    Hmac {
        header: HeaderName,
        prefix: String,
        digits: Digits,
        signed: SignedParts,
        id_header: Option<HeaderName>,
        timestamp_header: Option<HeaderName>,
    },
    /// Whoever knows the address is let in.
    None,
}

/// How the requests of one sender are checked.
#[derive(Debug, Clone)]
pub struct Verifier {
    pub scheme: Scheme,
    /// Several during a rotation.
    pub keys: Vec<VerifyKey>,
    /// Longest time between a signed timestamp and now, in both directions.
    pub tolerance: Duration,
}

/// A request that is the sender's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The sender's id of the message, where there is one.
    pub id: Option<String>,
    /// The same for each repetition of this message, and for no other; none without a signature.
    pub repeats: Option<String>,
    /// Place of the secret that signed it.
    pub secret: Option<usize>,
}

/// Why a request is not the sender's, for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a header of the signature is missing")]
    Missing,
    #[error("a header of the signature cannot be read, or occurs twice")]
    Malformed,
    #[error("no secret fits the signature")]
    Signature,
    #[error("well signed, but too long ago")]
    TooOld,
    #[error("well signed, but at a time to come: compare the clocks")]
    InFuture,
}

impl Refused {
    /// Label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::Signature => "signature_wrong",
            Self::TooOld => "timestamp_old",
            Self::InFuture => "timestamp_future",
        }
    }
}

/// What is signed, as it came.
struct Message<'a> {
    id: Option<&'a str>,
    timestamp: Option<&'a str>,
    body: &'a [u8],
}

/// A signature of a header.
#[derive(Debug, PartialEq, Eq)]
enum Candidate {
    Hmac(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Verifier {
    /// The headers that carry signature, id and timestamp: a connector does not see them.
    pub fn headers(&self) -> Vec<&str> {
        match &self.scheme {
            Scheme::StandardWebhooks => vec!["webhook-signature", "svix-signature"],
            Scheme::Github => vec!["x-hub-signature-256", "x-hub-signature"],
            Scheme::Slack => vec!["x-slack-signature"],
            Scheme::Hmac { header, .. } => vec![header.as_str()],
            Scheme::None => Vec::new(),
        }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &'static str {
        match &self.scheme {
            Scheme::StandardWebhooks => "standard-webhooks",
            Scheme::Github => "github",
            Scheme::Slack => "slack",
            Scheme::Hmac { .. } => "hmac",
            Scheme::None => "none",
        }
    }

    /// `now` in seconds since 1970.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: u64) -> Result<Verified, Refused> {
        match &self.scheme {
            Scheme::StandardWebhooks => self.standard(headers, body, now),
            Scheme::Github => {
                let candidates = prefixed(one(headers, "x-hub-signature-256")?, "sha256=", Digits::Hex)?;
                let id = optional_id(headers, "x-github-delivery")?;
                self.signed(&[Part::Body], Message { id, timestamp: None, body }, &candidates, now)
            }
            Scheme::Slack => {
                let candidates = prefixed(one(headers, "x-slack-signature")?, "v0=", Digits::Hex)?;
                let timestamp = Some(one(headers, "x-slack-request-timestamp")?);
                let parts = [Part::Text("v0:".into()), Part::Timestamp, Part::Text(":".into()), Part::Body];
                self.signed(&parts, Message { id: None, timestamp, body }, &candidates, now)
            }
            Scheme::Hmac { header, prefix, digits, signed, id_header, timestamp_header } => {
                let candidates = prefixed(one(headers, header.as_str())?, prefix, *digits)?;
                let id = match id_header {
                    Some(header) if signed.has_id() => Some(id(one(headers, header.as_str())?)?),
                    Some(header) => optional_id(headers, header.as_str())?,
                    None => None,
                };
                let timestamp = timestamp_header.as_ref().map(|header| one(headers, header.as_str())).transpose()?;
                self.signed(&signed.0, Message { id, timestamp, body }, &candidates, now)
            }
            Scheme::None => Ok(Verified { id: None, repeats: None, secret: None }),
        }
    }

    /// The names of Standard Webhooks, or those that its authors used before.
    fn standard(&self, headers: &HeaderMap, body: &[u8], now: u64) -> Result<Verified, Refused> {
        let names = if headers.contains_key("webhook-signature") || !headers.contains_key("svix-signature") {
            ["webhook-id", "webhook-timestamp", "webhook-signature"]
        } else {
            ["svix-id", "svix-timestamp", "svix-signature"]
        };
        let [id_header, timestamp, signature] = [one(headers, names[0])?, one(headers, names[1])?, one(headers, names[2])?];
        let id = id(id_header)?;
        // A dot would make two readings of what was signed.
        if id.contains('.') {
            return Err(Refused::Malformed);
        }
        let parts = [Part::Id, Part::Text(".".into()), Part::Timestamp, Part::Text(".".into()), Part::Body];
        self.signed(&parts, Message { id: Some(id), timestamp: Some(timestamp), body }, &versioned(signature)?, now)
    }

    /// Every secret is tried with every signature, so that the time tells nothing but their numbers.
    fn signed(&self, parts: &[Part], message: Message<'_>, candidates: &[Candidate], now: u64) -> Result<Verified, Refused> {
        let signed_at = message.timestamp.map(|text| seconds(text).ok_or(Refused::Malformed)).transpose()?;
        let signed = SignedParts(parts.to_vec());
        let mut found = None;
        for (place, key) in self.keys.iter().enumerate() {
            let fits = match key {
                VerifyKey::Hmac(key) => {
                    let mut context = hmac::Context::with_key(key);
                    signed.each(&message, |part| context.update(part));
                    let tag = context.sign();
                    candidates.iter().fold(false, |fits, candidate| match candidate {
                        Candidate::Hmac(sent) => bool::from(tag.as_ref().ct_eq(sent)) | fits,
                        Candidate::Ed25519(_) => fits,
                    })
                }
                VerifyKey::Ed25519(key) => {
                    let mut content = Vec::with_capacity(message.body.len() + 320);
                    signed.each(&message, |part| content.extend_from_slice(part));
                    let key = UnparsedPublicKey::new(&ED25519, key);
                    candidates.iter().any(|candidate| matches!(candidate, Candidate::Ed25519(sent) if key.verify(&content, sent).is_ok()))
                }
            };
            if fits && found.is_none() {
                found = Some(place);
            }
        }
        let secret = found.ok_or(Refused::Signature)?;
        if let Some(at) = signed_at {
            let tolerance = self.tolerance.as_secs();
            if now > at.saturating_add(tolerance) {
                return Err(Refused::TooOld);
            }
            if at > now.saturating_add(tolerance) {
                return Err(Refused::InFuture);
            }
        }
        let id = message.id.map(str::to_owned);
        // Without an id what is signed says which message this is: timestamp and body.
        let repeats = id.clone().unwrap_or_else(|| {
            let mut hash = Sha256::new();
            signed.each(&message, |part| hash.update(part));
            format!("sha256-{}", hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>())
        });
        Ok(Verified { id, repeats: Some(repeats), secret: Some(secret) })
    }
}

/// The value of a header that occurs once.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Refused> {
    optional(headers, name)?.ok_or(Refused::Missing)
}

fn optional<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER).ok_or(Refused::Malformed)?;
    if values.next().is_some() { Err(Refused::Malformed) } else { Ok(Some(text.trim())) }
}

fn id(text: &str) -> Result<&str, Refused> {
    let fits = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text).ok_or(Refused::Malformed)
}

fn optional_id<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refused> {
    optional(headers, name)?.map(id).transpose()
}

/// Unix time in seconds, or in milliseconds where there are that many digits.
fn seconds(text: &str) -> Option<u64> {
    let digits = (1..=MILLIS_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| text.parse().ok()).flatten()?;
    Some(if text.len() == MILLIS_DIGITS { number / 1_000 } else { number })
}

/// `v1,<base64> v1a,<base64>`; versions that are not known are passed over.
fn versioned(value: &str) -> Result<Vec<Candidate>, Refused> {
    let mut candidates = Vec::new();
    for (at, part) in value.split_ascii_whitespace().enumerate() {
        if at >= MAX_SIGNATURES {
            return Err(Refused::Malformed);
        }
        let (version, text) = part.split_once(',').ok_or(Refused::Malformed)?;
        match version {
            "v1" => candidates.extend(decode(text, Digits::Base64).map(Candidate::Hmac)),
            "v1a" => candidates.extend(decode(text, Digits::Base64).map(Candidate::Ed25519)),
            _ => {}
        }
    }
    if candidates.is_empty() { Err(Refused::Malformed) } else { Ok(candidates) }
}

/// `<prefix><digits>`, or several of these between commas.
fn prefixed(value: &str, prefix: &str, digits: Digits) -> Result<Vec<Candidate>, Refused> {
    let mut candidates = Vec::new();
    for (at, part) in value.split(',').enumerate() {
        if at >= MAX_SIGNATURES {
            return Err(Refused::Malformed);
        }
        candidates.extend(part.trim().strip_prefix(prefix).and_then(|text| decode(text, digits)).map(Candidate::Hmac));
    }
    if candidates.is_empty() { Err(Refused::Malformed) } else { Ok(candidates) }
}

fn decode(text: &str, digits: Digits) -> Option<Vec<u8>> {
    match digits {
        Digits::Base64 => STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty()),
        Digits::Hex => {
            let nibble = |byte: &u8| char::from(*byte).to_digit(16);
            let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
                [high, low] => Some((nibble(high)? * 16 + nibble(low)?) as u8),
                _ => None,
            });
            pairs.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
        }
    }
}

#[cfg(test)]
mod tests;
