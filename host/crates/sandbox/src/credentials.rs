//! Credentials that the host puts into requests at dispatch: one file per kind. Guests know that a
//! destination has one, at most; values live in memory types that cannot be printed and are wiped when
//! they go.
//!
//! Promises: what a kind puts on the wire is what its file's head says, computed over the request as it
//! is sent; every secret that may come back is known to the redactor before the request leaves.
//! Refuses: secrets too short to be taken out of answers, values that their place cannot carry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_core::Clock;
use bulkhead_observe::Metrics;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret as _, SecretString};

use crate::attempt::Receipts;
use crate::egress::redact::{Issued, MIN_SECRET, Redactor};
use crate::egress::window::Windows;
use crate::egress::{Refusal, Resolve};
use crate::limits::Watch;

mod basic;
mod command;
mod desk;
mod header;
mod kept;
mod oauth2;
mod query;
mod refresh;
mod sas;
mod shared_key;
mod signature;
mod sigv4;
mod stream;
mod value;

pub use command::CommandSettings;
pub use desk::{DeskError, Tried};
pub use oauth2::{Authorization, ClientAuth, Grant, OAuth2Settings, Verifier};
pub use refresh::{Connection, GrantDigest, KeepGrants, KeptGrant, RefreshTokens};
pub use shared_key::SharedKeyScheme;
pub use signature::{Custom, Digits, Scheme, Signs};
pub(crate) use stream::StreamSecret;
pub use value::Value;

use kept::Failure;
pub(crate) use oauth2::Used;

/// Why a credential cannot be used. Texts never hold the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credential `{name}`: {problem}")]
pub struct CredentialError {
    pub name: String,
    pub problem: String,
}

/// One credential, bound to destinations by name.
pub struct Credential {
    name: String,
    /// What the operator keeps secret, in the order that the kind wants.
    values: Vec<Value>,
    kind: Kind,
    /// Secrets that came up while it was used: answers of commands, tokens.
    issued: Arc<Issued>,
}

enum Kind {
    Header(header::Header),
    Basic(basic::Basic),
    Query(query::Query),
    Hmac(Scheme),
    OAuth2(oauth2::OAuth2),
    SigV4(sigv4::SigV4),
    Sas(sas::Sas),
    SharedKey(shared_key::SharedKey),
}

/// A request on its last steps before the wire.
pub(crate) struct Outgoing<'a> {
    /// The name that the operator gave it.
    pub destination: &'a str,
    pub method: &'a Method,
    /// Scheme and authority.
    pub origin: &'a str,
    pub headers: &'a mut HeaderMap,
    /// Path and query.
    pub target: &'a mut String,
    /// The bytes that go on the wire.
    pub body: &'a [u8],
    pub message_id: &'a str,
    /// Unix time.
    pub now: Duration,
}

/// What a credential needs of the host to be had.
#[derive(Clone)]
pub(crate) struct Means {
    pub resolver: Arc<dyn Resolve>,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    /// Of the instance that asks: what it costs to have a credential is the instance's.
    pub windows: Arc<Windows>,
    pub watch: Arc<Watch>,
    pub receipts: Option<Arc<Receipts>>,
    pub tokens: Arc<RefreshTokens>,
}

/// Why a credential could not be put into a request. Texts go to the guest and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// This request cannot carry it.
    Invalid(String),
    /// It cannot be had until somebody acts.
    Denied(String),
    /// It cannot be had now.
    Unavailable(String),
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        if failure.lasting { Self::Denied(failure.text) } else { Self::Unavailable(failure.text) }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).field("kind", &self.kind.name()).finish_non_exhaustive()
    }
}

impl Credential {
    /// `type: header`: a header of the operator's choice, with a prefix such as `Splunk `.
    pub fn header(name: &str, header: &str, prefix: &str, value: impl Into<Value>) -> Result<Self, CredentialError> {
        let kind = header::Header::new(header, prefix).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![value.into()], Kind::Header(kind))
    }

    /// `type: bearer`: `Authorization: Bearer <token>` (RFC 6750).
    pub fn bearer(name: &str, token: impl Into<Value>) -> Result<Self, CredentialError> {
        Self::header(name, "authorization", "Bearer ", token)
    }

    /// `type: basic` (RFC 7617).
    pub fn basic(name: &str, user: &str, password: impl Into<Value>) -> Result<Self, CredentialError> {
        let kind = basic::Basic::new(user).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![password.into()], Kind::Basic(kind))
    }

    /// `type: query`: a parameter at the end of the query.
    pub fn query(name: &str, parameter: &str, value: impl Into<Value>) -> Result<Self, CredentialError> {
        let kind = query::Query::new(parameter).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![value.into()], Kind::Query(kind))
    }

    /// `type: hmac`: signs the body as it is sent. Several secrets sign side by side where the scheme
    /// carries several signatures; else the first one signs.
    pub fn hmac(name: &str, scheme: Scheme, secrets: Vec<impl Into<Value>>) -> Result<Self, CredentialError> {
        if secrets.is_empty() || secrets.len() > 4 {
            return Err(CredentialError { name: name.into(), problem: format!("has {} secrets; 1 to 4 can sign", secrets.len()) });
        }
        Self::new(name, secrets.into_iter().map(Into::into).collect(), Kind::Hmac(scheme))
    }

    /// `type: oauth2`.
    pub fn oauth2(name: &str, settings: OAuth2Settings) -> Result<Self, CredentialError> {
        let (kind, values) = oauth2::OAuth2::new(name, settings).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, values, Kind::OAuth2(kind))
    }

    /// `type: sigv4`, with the keys in the configuration.
    pub fn sigv4(name: &str, region: &str, service: &str, access_key: &str, secret_key: Value, session_token: Option<Value>) -> Result<Self, CredentialError> {
        let kind = sigv4::SigV4::new(region, service, Some(access_key)).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, std::iter::once(secret_key).chain(session_token).collect(), Kind::SigV4(kind))
    }

    /// `type: sigv4`, with keys that a command prints as the AWS tools' `credential_process`.
    pub fn sigv4_process(name: &str, region: &str, service: &str, process: impl Into<Value>) -> Result<Self, CredentialError> {
        let kind = sigv4::SigV4::new(region, service, None).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![process.into()], Kind::SigV4(kind))
    }

    /// `type: sas`; a token lives for `ttl` at most.
    pub fn sas(name: &str, resource: &str, key_name: &str, key: impl Into<Value>, ttl: Duration) -> Result<Self, CredentialError> {
        let kind = sas::Sas::new(resource, key_name, ttl).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![key.into()], Kind::Sas(kind))
    }

    /// `type: shared_key`.
    pub fn shared_key(name: &str, scheme: SharedKeyScheme, account: &str, key: impl Into<Value>) -> Result<Self, CredentialError> {
        let kind = shared_key::SharedKey::new(scheme, account).map_err(|problem| CredentialError { name: name.into(), problem })?;
        Self::new(name, vec![key.into()], Kind::SharedKey(kind))
    }

    /// The client of a token endpoint.
    fn basic_form(name: &str, user: &str, password: Value) -> Result<Self, CredentialError> {
        Self::new(name, vec![password], Kind::Basic(basic::Basic::form(user)))
    }

    fn new(name: &str, mut values: Vec<Value>, kind: Kind) -> Result<Self, CredentialError> {
        let fault = |problem: String| CredentialError { name: name.into(), problem };
        for value in &mut values {
            value.owned_by(name).map_err(fault)?;
        }
        let fixed: Vec<&str> = values.iter().filter_map(Value::fixed).collect();
        for secret in &fixed {
            check_length(secret).map_err(fault)?;
        }
        // What a command prints is held to the same when it is there.
        if fixed.len() == values.len() {
            kind.check(&fixed).map_err(fault)?;
        }
        Ok(Self { name: name.into(), values, kind, issued: Arc::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it puts where, in words.
    pub fn kind_name(&self) -> String {
        match &self.kind {
            Kind::Header(header) => format!("header {}", header.name()),
            other => other.name().to_owned(),
        }
    }

    /// Whether using it runs a program.
    pub fn runs_commands(&self) -> bool {
        self.values.iter().any(|value| value.fixed().is_none())
    }

    /// What the files of its token endpoint's TLS hold, as a digest: renewed certificates count.
    pub fn tls_digest(&self) -> Option<[u8; 32]> {
        if let Kind::OAuth2(oauth2) = &self.kind { Some(oauth2.tls_digest()) } else { None }
    }

    /// Whether what somebody agreed to for one is what the other asks for: client, endpoints, scopes.
    pub fn connects_like(&self, other: &Self) -> bool {
        matches!((&self.kind, &other.kind), (Kind::OAuth2(one), Kind::OAuth2(other)) if one.digest() == other.digest())
    }

    /// Headers that the credential sets, so that a guest cannot.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Header(header) => vec![header.name()],
            Kind::Basic(_) | Kind::Query(_) => Vec::new(),
            Kind::Hmac(scheme) => scheme.header_names(),
            Kind::SigV4(signer) => signer.header_names(),
            Kind::SharedKey(key) => key.header_names(),
            Kind::OAuth2(_) | Kind::Sas(_) => vec!["authorization"],
        }
    }

    /// Adds everything that must not come back, now and later.
    pub fn guard(&self, redactor: Redactor) -> Redactor {
        let fixed: Vec<&str> = self.values.iter().filter_map(Value::fixed).collect();
        let mut guarded: Vec<Vec<u8>> = fixed.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        if fixed.len() == self.values.len() {
            guarded.extend(self.kind.sensitive(&fixed));
        }
        let redactor = redactor.knowing(guarded.iter().map(Vec::as_slice)).following(Arc::clone(&self.issued));
        match &self.kind {
            Kind::OAuth2(oauth2) => oauth2.issued().into_iter().fold(redactor, |redactor, issued| redactor.following(Arc::clone(issued))),
            _ => redactor,
        }
    }

    /// Puts the credential into a request; waits where it has to be fetched first. Cancel safe: what is
    /// being fetched goes on for the next one who asks.
    pub(crate) async fn apply(&self, request: &mut Outgoing<'_>, means: &Means) -> Result<Option<Used>, ApplyError> {
        if let Kind::OAuth2(oauth2) = &self.kind {
            return Ok(Some(oauth2.apply(request, means).await?));
        }
        let secrets = self.secrets(means).await?;
        let secrets: Vec<&str> = secrets.iter().map(|secret| secret.expose_secret()).collect();
        if let Kind::Sas(sas) = &self.kind {
            // Whoever has a token may use the resource until it ends.
            let token = sas.token(one(&secrets), request.now);
            let opens = sas::Sas::opens(&token).unwrap_or_default();
            self.issued.learn(&[one(&secrets).as_bytes(), token.as_bytes(), &opens]);
        }
        self.kind.apply(&secrets, request).map_err(ApplyError::Invalid)?;
        Ok(None)
    }

    /// The values as they are now, known to the redactor. Cancel safe.
    async fn secrets(&self, means: &Means) -> Result<Vec<Arc<SecretString>>, ApplyError> {
        let mut values = Vec::with_capacity(self.values.len());
        for value in &self.values {
            values.push(value.get(&means.clock).await?);
        }
        if self.runs_commands() {
            let secrets: Vec<&str> = values.iter().map(|secret| secret.expose_secret()).collect();
            self.kind.check(&secrets).map_err(|problem| ApplyError::Denied(format!("credential `{}`: {problem}", self.name)))?;
            let forms = self.kind.sensitive(&secrets);
            let all: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).chain(forms.iter().map(Vec::as_slice)).collect();
            self.issued.learn(&all);
        }
        Ok(values)
    }

    /// What the receiver answered to a request that carried it.
    pub(crate) fn answered(&self, used: Option<&Used>, status: u16, now: Duration) {
        if let (Kind::OAuth2(oauth2), Some(used)) = (&self.kind, used) {
            oauth2.answered(used, status, now);
        }
    }
}

impl Kind {
    /// The name in debug output.
    fn name(&self) -> &str {
        match self {
            Self::Header(header) => header.name(),
            Self::Basic(_) => "basic",
            Self::Query(_) => "query",
            Self::Hmac(scheme) => scheme.name(),
            Self::OAuth2(_) => "oauth2",
            Self::SigV4(_) => "sigv4",
            Self::Sas(_) => "sas",
            Self::SharedKey(_) => "shared_key",
        }
    }

    /// Whether these secrets can be used.
    fn check(&self, secrets: &[&str]) -> Result<(), String> {
        match self {
            Self::Header(header) => header.check(one(secrets)),
            Self::Basic(_) => basic::Basic::check(one(secrets)),
            Self::Query(_) | Self::OAuth2(_) | Self::Sas(_) => Ok(()),
            Self::Hmac(scheme) => secrets.iter().try_for_each(|secret| scheme.key(secret).map(drop)),
            Self::SigV4(signer) => signer.check(secrets),
            Self::SharedKey(_) => shared_key::SharedKey::key(one(secrets)).map(drop),
        }
    }

    /// Forms of the secrets that are on the wire or can be read from it, beside the secrets themselves.
    fn sensitive(&self, secrets: &[&str]) -> Vec<Vec<u8>> {
        match self {
            Self::Header(header) => header.sensitive(one(secrets)),
            Self::Basic(basic) => vec![basic.encoded(one(secrets)).into_bytes()],
            Self::Query(_) => vec![query::encoded(one(secrets)).into_bytes()],
            Self::Hmac(scheme) => secrets.iter().filter_map(|secret| scheme.key(secret).ok()).collect(),
            Self::SigV4(signer) => signer.sensitive(secrets),
            Self::SharedKey(_) => shared_key::SharedKey::key(one(secrets)).into_iter().collect(),
            Self::OAuth2(_) | Self::Sas(_) => Vec::new(),
        }
    }

    fn apply(&self, secrets: &[&str], request: &mut Outgoing<'_>) -> Result<(), String> {
        match self {
            Self::Header(header) => header.apply(one(secrets), request),
            Self::Basic(basic) => basic.apply(one(secrets), request),
            Self::Query(query) => {
                query.apply(one(secrets), request);
                Ok(())
            }
            Self::Hmac(scheme) => scheme.apply(secrets, request),
            Self::SigV4(signer) => signer.apply(secrets, request),
            Self::Sas(sas) => sas.apply(one(secrets), request),
            Self::SharedKey(key) => key.apply(one(secrets), request),
            // Its token is no secret of the configuration.
            Self::OAuth2(_) => Ok(()),
        }
    }
}

/// The secret of a kind that has one.
fn one<'a>(secrets: &[&'a str]) -> &'a str {
    secrets.first().copied().unwrap_or_default()
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: &str) -> Result<(), String> {
    headers.insert(name, HeaderValue::from_str(value).map_err(|_| format!("`{name}` cannot carry its value"))?);
    Ok(())
}

fn secret_header(text: &str) -> Result<HeaderValue, String> {
    let mut parsed = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| "the credential cannot be carried by a header".to_owned())?;
    // Keeps it out of debug output and of HTTP/2 compression tables.
    parsed.set_sensitive(true);
    Ok(parsed)
}

fn check_length(secret: &str) -> Result<(), String> {
    let length = secret.len();
    if length < MIN_SECRET {
        return Err(format!(
            "the secret has {length} bytes; with fewer than {MIN_SECRET} it could not be taken out of answers and logs without destroying them"
        ));
    }
    Ok(())
}

impl From<ApplyError> for crate::egress::client::SendError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Invalid(text) => Refusal::invalid(5, text).into(),
            ApplyError::Denied(text) => Refusal::denied(8, text).into(),
            ApplyError::Unavailable(text) => Self::Connect(text),
        }
    }
}

#[cfg(test)]
mod tests;
