//! `type: oauth2`: bearer tokens from a token endpoint (RFC 6749 §4.1 authorization code with PKCE, RFC 7636;
//! §4.4 client credentials; §6 refresh token; §4.3 password for old servers only, RFC 9700 forbids it).
//!
//! On the wire: `Authorization: Bearer <token>` (RFC 6750). The token endpoint is a destination of its own
//! and passes the same decision as what guests ask for. Promises: one token request at a time, however
//! many ask; a token is fetched again 300 s before it ends, or at half of a short life; a receiver's 401
//! drops it, once for a token that replaced another; what failed is not asked for again before a growing
//! wait is over. A refresh token that the server gives in the place of another is the one to go on with, for
//! all that use the credential (`refresh`). Guests see neither token nor anything that the endpoint said
//! beyond its status and the error codes of the standard.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bulkhead_core::receipt::CallEnd;
use bulkhead_core::{BoxFuture, Clock};
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use tokio::time::{Instant, timeout};
use url::Url;

use super::kept::{Failure, Fetched, Held, Kept};
use super::refresh::{Connection, GrantDigest};
use super::value::Value;
use super::{Credential, Means, Outgoing, secret_header};
use crate::attempt::Attempt;
use crate::bill::Bill;
use crate::egress::client::{Egress, Request, Response, SendError};
use crate::egress::places::Places;
use crate::egress::redact::Issued;
use crate::egress::{Destination, DestinationSettings, RefusalKind};
use crate::limits::{Limit, Limits, Watch};

mod answer;
mod code;

pub use code::{Authorization, Verifier};

/// Longest time for a token request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER: u64 = 128 << 10;
/// Name of the token endpoint among the destinations of its own way out.
const ENDPOINT: &str = "token";

/// How a token is asked for.
#[derive(Debug, Clone)]
pub enum Grant {
    ClientCredentials,
    RefreshToken(Value),
    /// Somebody agrees in a browser, and the refresh token that comes of it is kept.
    AuthorizationCode {
        /// Where the browser is sent, and what stands in that URL beside the standard's own.
        url: String,
        parameters: BTreeMap<String, String>,
    },
    /// For servers that know nothing better.
    Password {
        username: String,
        password: Value,
    },
}

impl Grant {
    /// Whether it goes on with refresh tokens that the server gives.
    fn refreshes(&self) -> bool {
        matches!(self, Self::RefreshToken(_) | Self::AuthorizationCode { .. })
    }
}

/// How the client says who it is (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    Basic,
    Body,
}

/// The credential as the configuration writes it.
#[derive(Debug, Clone)]
pub struct OAuth2Settings {
    /// Whose it is: a refresh token belongs to one owner, whatever another one's credential is called.
    pub tenant: Option<String>,
    /// The token endpoint; methods, paths and credential are set here.
    pub endpoint: DestinationSettings,
    pub grant: Grant,
    pub client_id: String,
    /// None for public clients, which only the grants with a refresh token have.
    pub client_secret: Option<Value>,
    pub client_auth: ClientAuth,
    pub scope: Option<String>,
    pub audience: Option<String>,
    /// More form parameters, for example `resource`.
    pub parameters: BTreeMap<String, String>,
}

/// Parameters that are not the operator's to set by name.
const OWN: &[&str] =
    &["grant_type", "client_id", "client_secret", "scope", "audience", "refresh_token", "username", "password", "client_assertion", "client_assertion_type"];

pub(super) struct OAuth2 {
    inner: Arc<Inner>,
    kept: Kept<SecretString>,
    issued: Arc<Issued>,
}

struct Inner {
    name: String,
    settings: OAuth2Settings,
    endpoint: Destination,
    /// Where browsers are sent.
    authorize: Option<Url>,
    digest: GrantDigest,
    /// Refresh tokens that came up.
    refreshed: Arc<Issued>,
    egress: OnceLock<Egress>,
}

/// The token of a request, for what its answer says of it.
pub(crate) struct Used(Arc<Held<SecretString>>);

impl OAuth2 {
    /// Answers the kind and the values that are secret.
    pub(super) fn new(name: &str, mut settings: OAuth2Settings) -> Result<(Self, Vec<Value>), String> {
        if settings.client_id.is_empty() || settings.client_id.chars().any(char::is_control) {
            return Err("`client_id` is empty or has a control character".into());
        }
        if settings.client_secret.is_none() && !settings.grant.refreshes() {
            return Err("`client_secret` is missing: this grant needs it".into());
        }
        if let Some(taken) = settings.parameters.keys().find(|name| OWN.contains(&name.as_str())) {
            return Err(format!("`parameters` has `{taken}`, which has a key of its own or is the host's"));
        }
        let (mut values, mut authorize) = (Vec::new(), None);
        if let Some(secret) = &mut settings.client_secret {
            secret.owned_by(name)?;
            values.push(secret.clone());
        }
        match &mut settings.grant {
            Grant::RefreshToken(value) | Grant::Password { password: value, .. } => {
                value.owned_by(name)?;
                values.push(value.clone());
            }
            Grant::AuthorizationCode { url, parameters } => authorize = Some(code::check(url, parameters)?),
            Grant::ClientCredentials => {}
        }
        let digest = code::digest(name, &settings);
        let mut endpoint = settings.endpoint.clone();
        endpoint.methods = vec!["POST".into()];
        endpoint.paths = Vec::new();
        endpoint.credential = match (&settings.client_secret, settings.client_auth) {
            (Some(secret), ClientAuth::Basic) => {
                Some(Arc::new(Credential::basic_form(name, &settings.client_id, secret.clone()).map_err(|error| error.problem)?))
            }
            _ => None,
        };
        // Other schemes are for streams of guests.
        if let Some((scheme, _)) = endpoint.url.split_once("://")
            && !matches!(scheme, "http" | "https")
        {
            return Err(format!("`token_url`: its `url` has the scheme `{}`; http and https can be used", scheme.escape_default()));
        }
        let endpoint = Destination::new(ENDPOINT, endpoint).map_err(|error| format!("`token_url`: its `{}` {}", error.key, error.problem))?;
        let inner = Inner { name: name.into(), settings, endpoint, authorize, digest, refreshed: Arc::default(), egress: OnceLock::new() };
        Ok((Self { inner: Arc::new(inner), kept: Kept::new(name), issued: Arc::default() }, values))
    }

    pub(super) fn tls_digest(&self) -> [u8; 32] {
        self.inner.endpoint.tls().digest()
    }

    /// Which grant it is: what refresh tokens belong to.
    pub(super) fn digest(&self) -> &GrantDigest {
        &self.inner.digest
    }

    /// What comes up while it is used.
    pub(super) fn issued(&self) -> [&Arc<Issued>; 2] {
        [&self.issued, &self.inner.refreshed]
    }

    /// Cancel safe.
    pub(super) async fn apply(&self, request: &mut Outgoing<'_>, means: &Means) -> Result<Used, Failure> {
        let held = self.kept.get(&means.clock, || Inner::fetch(&self.inner, request.destination, means)).await?;
        let token = held.value.expose_secret();
        self.issued.learn(&[token.as_bytes()]);
        request.headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {token}")).map_err(Failure::lasting)?);
        Ok(Used(held))
    }

    /// The token as it is now, for a stream. Cancel safe.
    pub(super) async fn in_stream(&self, destination: &str, means: &Means) -> Result<Vec<u8>, Failure> {
        let held = self.kept.get(&means.clock, || Inner::fetch(&self.inner, destination, means)).await?;
        let token = held.value.expose_secret().as_bytes();
        self.issued.learn(&[token]);
        Ok(token.to_vec())
    }

    /// What the receiver answered to a request with this token.
    pub(super) fn answered(&self, used: &Used, status: u16, now: Duration) {
        match status {
            401 => self.kept.refused(&used.0, now),
            403 => {}
            _ => used.0.worked(),
        }
    }
}

impl Inner {
    fn fetch(inner: &Arc<Self>, destination: &str, means: &Means) -> BoxFuture<'static, Result<Fetched<SecretString>, Failure>> {
        let (inner, destination, means) = (Arc::clone(inner), destination.to_owned(), means.clone());
        Box::pin(async move {
            if !inner.settings.grant.refreshes() {
                return inner.accounted(&destination, &means).await;
            }
            // The server may have replaced the refresh token by the time that nobody waits any more: on a task of its
            // own, so that the new one is not lost.
            let work = tokio::spawn(async move { inner.accounted(&destination, &means).await });
            work.await.unwrap_or_else(|_| Err(Failure::passing("the request for a token broke off")))
        })
    }

    /// Asks for a token on the account of the instance that needs it first: within the bytes that its
    /// destination may have in a minute, on its bill, with a receipt of its own.
    async fn accounted(&self, destination: &str, means: &Means) -> Result<Fetched<SecretString>, Failure> {
        // Others of this name may have replaced the refresh token meanwhile: the newest one is looked up then.
        let _turn = if self.settings.grant.refreshes() { Some(means.tokens.turn(&self.name).await) } else { None };
        let (body, sent) = self.form(means).await?;
        means.windows.send(destination, body.len() as u64, means.clock.monotonic(), &means.watch).map_err(Failure::own)?;
        let bill = Arc::new(Bill::default());
        bill.open();
        let attempt = match &means.receipts {
            // Those who wait for the token hold places, too: all of them might.
            Some(receipts) => Some(
                timeout(PATIENCE, Attempt::on(receipts, &means.clock, &bill, "token"))
                    .await
                    .map_err(|_| Failure::own(format!("credential `{}`: no place for the receipt of a token request", self.name)))?,
            ),
            None => None,
        };
        let result = self.token(&bill, body, sent.as_deref(), means).await;
        means.windows.receive(destination, bill.sum().received, means.clock.monotonic(), &means.watch);
        bill.book(means.watch.costs());
        if let Some(attempt) = attempt {
            attempt.ended(match &result {
                Ok(_) => CallEnd::Answered,
                Err(failure) if failure.lasting => CallEnd::Failed("unauthorized"),
                Err(_) => CallEnd::Failed("unavailable"),
            });
        }
        result
    }

    /// `sent` is the refresh token in the form.
    async fn token(&self, bill: &Bill, body: Vec<u8>, sent: Option<&SecretString>, means: &Means) -> Result<Fetched<SecretString>, Failure> {
        let refreshes = self.settings.grant.refreshes();
        let token = match self.answer(bill, body, means).await {
            Ok(token) => token,
            Err((failure, code)) => {
                if let (Some(sent), Some("invalid_grant")) = (sent, code) {
                    means.tokens.lost(&self.name, self.digest, sent, &failure.text).await;
                }
                return Err(failure);
            }
        };
        if let (Some(refresh), true) = (token.refresh, refreshes) {
            self.refreshed.learn(&[refresh.expose_secret().as_bytes()]);
            means.tokens.replaced(&self.name, self.digest, refresh).await;
        }
        let (fresh, good) = answer::lifetime(token.seconds);
        Ok(Fetched { value: token.access, fresh, good })
    }

    /// What the token endpoint says to a form; of a refusal also the standard's code.
    async fn answer(&self, bill: &Bill, body: Vec<u8>, means: &Means) -> Result<answer::Token, (Failure, Option<&'static str>)> {
        let request = Request {
            destination: ENDPOINT.into(),
            method: "POST".into(),
            headers: vec![("content-type".into(), b"application/x-www-form-urlencoded".to_vec()), ("accept".into(), b"application/json".to_vec())],
            body,
            ..Request::default()
        };
        let egress = self.egress.get_or_init(|| self.way_out(means));
        let response = egress.send_on(bill, request, Instant::now() + PATIENCE).await.map_err(|error| (self.not_answered(&error), None))?;
        self.read(response)
    }

    /// The answer is not redacted: the token in it may be one that is known already.
    fn way_out(&self, means: &Means) -> Egress {
        let mut limits = Limits::default();
        if let Err(error) = limits.set(Limit::HttpResponse, MAX_ANSWER) {
            tracing::error!(%error, "the default limit stays");
        }
        let destinations = BTreeMap::from([(ENDPOINT.to_owned(), self.endpoint.clone())]);
        let name = format!("credentials.{}", self.name);
        let watch = Watch::new(Arc::new(limits), means.metrics.guest(&name, ENDPOINT), Arc::clone(&means.clock));
        // A place of its own: guests' requests hold theirs while they wait for this one.
        let places = Places::new(1);
        Egress::new(&name, destinations, Arc::clone(&means.resolver), Arc::default(), Arc::new(watch), places, means.metrics.clone()).known_as(&name)
    }

    /// The form, and the refresh token in it.
    async fn form(&self, means: &Means) -> Result<(Vec<u8>, Option<Arc<SecretString>>), Failure> {
        let (settings, clock) = (&self.settings, &means.clock);
        let mut secrets: Vec<(&str, Arc<SecretString>)> = Vec::new();
        let mut plain: Vec<(&str, &str)> = Vec::new();
        match &settings.grant {
            Grant::ClientCredentials => plain.push(("grant_type", "client_credentials")),
            Grant::RefreshToken(configured) => {
                // One that the server refused ends with it: the configured one may be another by now.
                let token = match means.tokens.token(&self.name, &self.digest).await {
                    Some((token, false)) => token,
                    _ => configured.get(clock).await?,
                };
                plain.push(("grant_type", "refresh_token"));
                secrets.push(("refresh_token", token));
            }
            Grant::AuthorizationCode { .. } => {
                let (token, _) = means.tokens.token(&self.name, &self.digest).await.ok_or_else(|| Failure::lasting(self.unconnected()))?;
                plain.push(("grant_type", "refresh_token"));
                secrets.push(("refresh_token", token));
            }
            Grant::Password { username, password } => {
                plain.extend([("grant_type", "password"), ("username", username)]);
                secrets.push(("password", password.get(clock).await?));
            }
        }
        // What was replaced and came from disk must not come back in an answer either.
        let sent = secrets.iter().find(|(name, _)| *name == "refresh_token").map(|(_, secret)| Arc::clone(secret));
        if let Some(sent) = &sent {
            self.refreshed.learn(&[sent.expose_secret().as_bytes()]);
        }
        self.client(&mut plain, &mut secrets, clock).await?;
        for (name, value) in [("scope", &settings.scope), ("audience", &settings.audience)] {
            plain.extend(value.as_ref().map(|value| (name, value.as_str())));
        }
        Ok((self.encoded(plain, &secrets), sent))
    }

    /// Who the client is, where that stands in the form.
    async fn client<'a>(
        &'a self,
        plain: &mut Vec<(&'a str, &'a str)>,
        secrets: &mut Vec<(&'a str, Arc<SecretString>)>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), Failure> {
        let settings = &self.settings;
        match (&settings.client_secret, settings.client_auth) {
            (Some(_), ClientAuth::Basic) => {}
            (Some(secret), ClientAuth::Body) => {
                plain.push(("client_id", &settings.client_id));
                secrets.push(("client_secret", secret.get(clock).await?));
            }
            (None, _) => plain.push(("client_id", &settings.client_id)),
        }
        Ok(())
    }

    fn encoded(&self, plain: Vec<(&str, &str)>, secrets: &[(&str, Arc<SecretString>)]) -> Vec<u8> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(plain).extend_pairs(&self.settings.parameters);
        form.extend_pairs(secrets.iter().map(|(name, secret)| (name, secret.expose_secret())));
        form.finish().into_bytes()
    }

    fn unconnected(&self) -> String {
        format!("credential `{0}`: nobody has connected it yet; `POST /api/integration/auth-configs/{0}/authorize` answers where to", self.name)
    }

    fn failed(&self, lasting: bool, what: &str, after: Option<Duration>) -> Failure {
        Failure { lasting, text: format!("credential `{}`: the token endpoint {what}", self.name), after, own: false }
    }

    fn not_answered(&self, error: &SendError) -> Failure {
        let lasting = matches!(error, SendError::Refused(refusal) if refusal.kind != RefusalKind::Limit);
        self.failed(lasting, &format!("gave no answer: {error}"), None)
    }

    /// The token, or why there is none, with the standard's code where the endpoint named one.
    fn read(&self, response: Response) -> Result<answer::Token, (Failure, Option<&'static str>)> {
        let Response { status, body, truncated, retry_after, .. } = response;
        let body: SecretSlice<u8> = body.into();
        if !(200..300).contains(&status) {
            let answer::Refused { lasting, text, code } = answer::refusal(status, body.expose_secret());
            return Err((self.failed(lasting, &text, retry_after), code));
        }
        if truncated {
            return Err((self.failed(false, &format!("answered with more than {MAX_ANSWER} bytes"), None), None));
        }
        answer::token(body.expose_secret()).map_err(|what| (self.failed(false, what, None), None))
    }
}

#[cfg(test)]
mod tests;
