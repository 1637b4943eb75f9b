//! Tokens of an OpenID provider: signed by it, for us, of now. Pure: the keys and the time are arguments.
//!
//! Promises: only algorithms that the operator allowed, all of them with public keys, so that neither `none` nor a
//! public key taken for a secret lets in; a key serves the algorithm it was made for; what a token says is looked at after its
//! signature was found right. Refuses: tokens beyond [`MOST_TOKEN`] bytes and key sets beyond [`MOST_KEYS`] keys.
//!
//! Source: RFC 7515, RFC 7519, RFC 8725 (best current practices), RFC 9068.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

mod ring_provider;

/// Bytes of a token.
pub const MOST_TOKEN: usize = 16 << 10;
/// Keys of one provider that are looked at.
const MOST_KEYS: usize = 100;

/// A way to sign with a public key to check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtAlgorithm(Algorithm);

impl JwtAlgorithm {
    /// All there are (RFC 7518 §3.1, RFC 8037).
    pub const NAMES: &'static [&'static str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.contains(&name).then(|| Algorithm::from_str(name).ok().map(Self))?
    }
}

/// What a token must be.
#[derive(Debug, Clone)]
pub struct JwtRules {
    pub issuer: String,
    /// One of these.
    pub audience: Vec<String>,
    pub algorithms: Vec<JwtAlgorithm>,
    /// Seconds that clocks may differ.
    pub leeway: u64,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtFault {
    TooLarge,
    Malformed,
    /// Not one of those that are allowed, `none` among them, or not the key's.
    Algorithm,
    /// No key of that name: the provider may have a new one.
    Key,
    Signature,
    Issuer,
    Audience,
    Expired,
    NotYet,
}

/// Why a text is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the provider are no JSON Web Key Set")]
pub struct KeySetFault;

/// The public keys of a provider.
#[derive(Debug, Default)]
pub struct JwtKeys(Vec<JwtKey>);

#[derive(Debug)]
struct JwtKey {
    id: Option<String>,
    /// What the provider says that it is for.
    algorithm: Option<String>,
    /// What its form is fit for.
    fit: &'static [Algorithm],
    key: DecodingKey,
}

impl JwtKeys {
    /// A key set (RFC 7517 §5). Keys that are not for signing with, or of a kind that is not known, are left out; secrets
    /// always.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetFault> {
        let set: Value = serde_json::from_slice(bytes).map_err(|_| KeySetFault)?;
        let keys = set["keys"].as_array().ok_or(KeySetFault)?;
        Ok(Self(keys.iter().take(MOST_KEYS).filter_map(JwtKey::of).collect()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By its name; a token without one is of the only key that fits.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&JwtKey, JwtFault> {
        if let Some(id) = id {
            return self.0.iter().find(|key| key.id.as_deref() == Some(id)).ok_or(JwtFault::Key);
        }
        let mut fitting = self.0.iter().filter(|key| key.fit.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(JwtFault::Key),
        }
    }
}

impl JwtKey {
    fn of(value: &Value) -> Option<Self> {
        use jsonwebtoken::jwk::EllipticCurve as Curve;
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let fit: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512],
            AlgorithmParameters::EllipticCurve(params) if params.curve == Curve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(params) if params.curve == Curve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(params) if params.curve == Curve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithm: value["alg"].as_str().map(str::to_owned), fit, key })
    }
}

/// What a token says, once it is found good. `now` in seconds of Unix time.
pub fn check_token(token: &str, rules: &JwtRules, keys: &JwtKeys, now: u64) -> Result<Value, JwtFault> {
    if token.len() > MOST_TOKEN {
        return Err(JwtFault::TooLarge);
    }
    let (algorithm, name, id) = header(token)?;
    if !rules.algorithms.contains(&JwtAlgorithm(algorithm)) {
        return Err(JwtFault::Algorithm);
    }
    let key = keys.find(id.as_deref(), algorithm)?;
    if !key.fit.contains(&algorithm) || key.algorithm.as_ref().is_some_and(|of_key| *of_key != name) {
        return Err(JwtFault::Algorithm);
    }
    ring_provider::install();
    // The library checks the signature; what the token says is held against the rules below, with our time.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let claims = jsonwebtoken::decode::<Value>(token, &key.key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => JwtFault::Signature,
        ErrorKind::InvalidAlgorithm => JwtFault::Algorithm,
        _ => JwtFault::Malformed,
    })?;
    held_against(rules, &claims.claims, now)?;
    Ok(claims.claims)
}

/// Whether a text has the form of a token: three parts, of which the first two are there.
pub fn looks_like_token(text: &str) -> bool {
    let mut parts = text.split('.');
    let two = parts.by_ref().take(2).filter(|part| !part.is_empty()).count() == 2;
    two && parts.next().is_some() && parts.next().is_none()
}

fn header(token: &str) -> Result<(Algorithm, String, Option<String>), JwtFault> {
    let first = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(first).map_err(|_| JwtFault::Malformed)?;
    let header: Value = serde_json::from_slice(&bytes).map_err(|_| JwtFault::Malformed)?;
    // What must be understood is not (RFC 7515 §4.1.11).
    if !header["crit"].is_null() {
        return Err(JwtFault::Malformed);
    }
    let name = header["alg"].as_str().ok_or(JwtFault::Malformed)?;
    // Tokens for something else are no tokens of access (RFC 8725 §3.11).
    let kind = header["typ"].as_str().map(str::to_ascii_lowercase);
    if !matches!(kind.as_deref(), None | Some("jwt" | "at+jwt" | "application/at+jwt")) {
        return Err(JwtFault::Malformed);
    }
    let algorithm = JwtAlgorithm::named(name).ok_or(JwtFault::Algorithm)?;
    Ok((algorithm.0, name.to_owned(), header["kid"].as_str().map(str::to_owned)))
}

fn held_against(rules: &JwtRules, claims: &Value, now: u64) -> Result<(), JwtFault> {
    if claims["iss"].as_str() != Some(&rules.issuer) {
        return Err(JwtFault::Issuer);
    }
    let ours = |audience: &Value| audience.as_str().is_some_and(|audience| rules.audience.iter().any(|ours| ours == audience));
    if !(ours(&claims["aud"]) || claims["aud"].as_array().is_some_and(|all| all.iter().any(ours))) {
        return Err(JwtFault::Audience);
    }
    // Numbers of seconds, perhaps with a fraction (RFC 7519 §2).
    let seconds = |name: &str| claims[name].as_f64().filter(|seconds| seconds.is_finite());
    let (now, leeway) = (now as f64, rules.leeway as f64);
    if seconds("exp").ok_or(JwtFault::Malformed)? + leeway <= now {
        return Err(JwtFault::Expired);
    }
    match seconds("nbf") {
        None if !claims["nbf"].is_null() => Err(JwtFault::Malformed),
        Some(from) if from > now + leeway => Err(JwtFault::NotYet),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
