//! Who asks, whether they may, and that it goes on record. A page in a browser is kept out of an open
//! listener by its `Origin`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode as S, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use bulkhead_access::{AccessToken, Admitted, Denied, JwtFault, Permission, Principal, Role, SignIn, TokenDenied, looks_like_token};
use bulkhead_core::Tenant;
use serde_json::json;
use tokio::net::TcpListener;

use super::Api;
use super::listener::TlsListener;
use super::problem::Problem;
use super::routes::{Info, PREFIX, Reach};
use crate::access::{Credential, Stranger};
use crate::oidc::{Oidc, OidcDenied};
use crate::trail::{Change, Note, Refusal};

/// Who asks, for the registry's memory and the log.
#[derive(Debug, Clone)]
pub struct Actor(pub String);

/// Where a request came from: the other end of its connection. What header fields of proxies say is not looked at,
/// because anybody can write them.
#[derive(Debug, Clone, Copy)]
pub struct Peer(SocketAddr);

impl Peer {
    pub fn ip(&self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The address of the other end of the connection.
pub struct From(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(address(parts.extensions.get())))
    }
}

/// Code of what is refused to people of a tenant, whatever their roles.
const HOST_ONLY: &str = "host_only";

/// Stands before every endpoint that needs a permission.
pub async fn guard(State((api, info)): State<(Api, &'static Info)>, mut request: Request, next: Next) -> Response {
    let from = peer(&request);
    let caller = match identify(&api, request.headers(), from, info.action).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if let Some(permission) = info.needs.filter(|permission| !caller.permissions.has(*permission)) {
        let refusal = Refusal {
            actor: Some(caller.actor),
            tenant: caller.tenant,
            from: Some(from),
            code: "forbidden",
            status: S::FORBIDDEN.as_u16(),
            permission: Some(permission.name()),
        };
        api.trail.refused(info.action, refusal, api.clock.monotonic()).await;
        return lacks(permission, "this needs").into_response();
    }
    if info.reach == Reach::Host && caller.tenant.is_some() {
        let refusal =
            Refusal { actor: Some(caller.actor), tenant: caller.tenant, from: Some(from), code: HOST_ONLY, status: S::FORBIDDEN.as_u16(), permission: None };
        api.trail.refused(info.action, refusal, api.clock.monotonic()).await;
        return Problem::new(S::FORBIDDEN, HOST_ONLY, "this is about the host as a whole, and you are of a tenant").into_response();
    }
    request.extensions_mut().insert(Actor(caller.actor.clone()));
    request.extensions_mut().insert(caller.clone());
    if !info.changes {
        return next.run(request).await;
    }
    let note = Note::default();
    note.object(request.uri().path().trim_start_matches(PREFIX));
    request.extensions_mut().insert(note.clone());
    // On a task of its own: a change goes on, and on record, although the client has gone. On another one within, so
    // that one which broke off half way is on record as well.
    let changes = api.changes.clone();
    let work = changes.spawn(async move {
        let (request, claim) = match api.idempotency.begin(&caller, info.action, request).await {
            Ok(begun) => begun,
            // Nothing is changed by it.
            Err(answer) => return answer,
        };
        let response = tokio::spawn(next.run(request)).await.unwrap_or_else(|error| Problem::internal(&error).into_response());
        let change = Change {
            actor: &caller.actor,
            tenant: caller.tenant.as_ref(),
            from: Some(from),
            action: info.action,
            noted: note.take(),
            status: response.status().as_u16(),
        };
        api.trail.change(change).await;
        match claim {
            Some(claim) => claim.answered(response).await,
            None => response,
        }
    });
    work.await.unwrap_or_else(|error| Problem::internal(&error).into_response())
}

/// The answer to somebody who may not: what is missing, and who has it.
pub fn lacks(permission: Permission, what: &str) -> Problem {
    let roles: Vec<&str> = Role::ALL.into_iter().filter(|role| role.permissions().has(permission)).map(Role::name).collect();
    let detail = format!("{what} the permission `{}`; roles with it: {}", permission.name(), roles.join(", "));
    Problem::new(S::FORBIDDEN, "forbidden", detail).errors(vec![json!({"permission": permission.name()})])
}

/// For paths that lead nowhere: a stranger learns no more than at any other.
pub async fn nowhere(State(api): State<Api>, request: Request) -> Problem {
    match identify(&api, request.headers(), peer(&request), "nowhere").await {
        Ok(_) => Problem::not_found("there is nothing at this path"),
        Err(problem) => problem,
    }
}

/// The same for methods.
pub async fn no_such_method(State(api): State<Api>, request: Request) -> Problem {
    match identify(&api, request.headers(), peer(&request), "nowhere").await {
        Ok(_) => Problem::new(S::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method"),
        Err(problem) => problem,
    }
}

fn peer(request: &Request) -> IpAddr {
    address(request.extensions().get())
}

fn address(peer: Option<&ConnectInfo<Peer>>) -> IpAddr {
    // Every connection has one; were it missing, nobody's networks hold this.
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip())
}

async fn identify(api: &Api, headers: &HeaderMap, from: IpAddr, action: &'static str) -> Result<Principal, Problem> {
    let admitted = match credential(headers) {
        Ok(credential) => match foreign(api, &credential) {
            Some((oidc, token)) => vouched(oidc, token, from).await,
            None => look(api, headers, &credential, from),
        },
        Err(refused) => Err(refused),
    };
    let (status, code, problem, actor) = match admitted {
        Ok(admitted) => {
            if let Some(news) = admitted.sign_in {
                let roles: Vec<&str> = news.roles.iter().map(|role| role.name()).collect();
                let about = json!({"actor": admitted.principal.actor, "tenant": admitted.principal.tenant.as_ref().map(Tenant::as_str), "name": news.name, "roles": roles, "from": from, "from_before": news.before});
                api.trail.signed_in(about).await;
            }
            return Ok(admitted.principal);
        }
        Err(refused) => refused.parts(),
    };
    let refusal = Refusal { actor, tenant: None, from: Some(from), code, status: status.as_u16(), permission: None };
    api.trail.refused(action, refusal, api.clock.monotonic()).await;
    Err(problem)
}

/// Why a request is not looked at further.
enum Refused {
    Stranger(Stranger, Option<String>),
    /// From a page of another site.
    Page,
    /// Two credentials that may not be the same.
    Two,
}

impl Refused {
    /// Status and code for the record, the answer, and whose key it was where the secret was right.
    fn parts(self) -> (S, &'static str, Problem, Option<String>) {
        let (status, code, detail, wait) = match &self {
            Self::Page => {
                (S::FORBIDDEN, "forbidden", "requests from web pages need credentials; set `listen.api.auth: keys`, or `listen.api.tokens`".into(), None)
            }
            Self::Two => (S::BAD_REQUEST, "two_credentials", "there are both `Authorization` and `X-API-Key`; send one".into(), None),
            Self::Stranger(stranger, _) => match *stranger {
                Stranger::Nothing => (S::UNAUTHORIZED, "unauthorized", "this needs `Authorization: Bearer`, or `X-API-Key`".into(), None),
                Stranger::Wrong => (S::UNAUTHORIZED, "unauthorized", "the credentials are not known".into(), None),
                Stranger::Guessing(wait) => (
                    S::TOO_MANY_REQUESTS,
                    "too_many_attempts",
                    "too many wrong credentials came from this address; wait, right ones are not looked at either".into(),
                    Some(wait),
                ),
                Stranger::Key(denied) => match denied {
                    Denied::Expired => (S::UNAUTHORIZED, "key_expired", "the key has expired; `bulkhead key rotate` renews it".into(), None),
                    Denied::Revoked => (S::UNAUTHORIZED, "key_revoked", "the key was revoked".into(), None),
                    Denied::Replaced => (S::UNAUTHORIZED, "key_replaced", "the key was rotated, and this secret of it is not let in any more".into(), None),
                    Denied::Address => (S::FORBIDDEN, "address_not_allowed", "the key may not be used from this address".into(), None),
                    Denied::Rate(wait) => (S::TOO_MANY_REQUESTS, "rate_limited", "more requests a second than the key may make".into(), Some(wait)),
                    Denied::Unknown => (S::UNAUTHORIZED, "unauthorized", String::from("the credentials are not known"), None),
                },
                Stranger::Session(TokenDenied::Expired) => {
                    (S::UNAUTHORIZED, "token_expired", "the access token has expired; POST /api/v2/auth/refresh brings another".into(), None)
                }
                Stranger::Oidc(OidcDenied::Away) => (
                    S::SERVICE_UNAVAILABLE,
                    "provider_unavailable",
                    "the token's key is not known, and the OpenID provider does not answer".into(),
                    Some(PROVIDER_WAIT),
                ),
                Stranger::Oidc(OidcDenied::Tenant) => (
                    S::FORBIDDEN,
                    "token_tenant",
                    "the token does not say of which one tenant you are (`listen.api.oidc.tenant_claim`, or `tenant` of its `roles`)".into(),
                    None,
                ),
                Stranger::Oidc(OidcDenied::Token(fault)) => {
                    let (code, detail) = said(fault);
                    (S::UNAUTHORIZED, code, detail.into(), None)
                }
                Stranger::Session(TokenDenied::Unknown) => (S::UNAUTHORIZED, "unauthorized", "the session has ended; sign in again".into(), None),
            },
        };
        let problem = Problem::new(status, code, detail);
        let problem = match wait {
            Some(wait) => problem.retry_after(seconds(wait)),
            None => problem,
        };
        let actor = if let Self::Stranger(_, actor) = self { actor } else { None };
        (status, code, problem, actor)
    }
}

/// When the provider is asked again.
const PROVIDER_WAIT: Duration = Duration::from_secs(10);

/// What is wrong with a provider's token.
fn said(fault: JwtFault) -> (&'static str, &'static str) {
    match fault {
        JwtFault::TooLarge => ("token_too_large", "the token has more than 16 KiB"),
        JwtFault::Malformed => ("token_malformed", "this is no token of an OpenID provider, or one for something else"),
        JwtFault::Algorithm => ("token_algorithm", "the token is not signed as `listen.api.oidc.algorithms` allows, or not as its key is for"),
        JwtFault::Key => ("token_key_unknown", "the provider has no such key"),
        JwtFault::Signature => ("token_signature", "the token's signature is wrong"),
        JwtFault::Issuer => ("token_issuer", "the token is of another issuer than `listen.api.oidc.issuer`"),
        JwtFault::Audience => ("token_audience", "the token is for somebody else than `listen.api.oidc.audience`"),
        JwtFault::Expired => ("token_expired", "the token has expired"),
        JwtFault::NotYet => ("token_not_yet", "the token is not valid yet"),
    }
}

/// Whole seconds, rounded up.
pub fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).unwrap_or(u32::MAX)
}

/// What stands behind `Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| text.trim_ascii())
}

fn credential(headers: &HeaderMap) -> Result<Credential<'_>, Refused> {
    match (bearer(headers), headers.get("x-api-key")) {
        (Some(_), Some(_)) => Err(Refused::Two),
        (Some(text), None) => Ok(Credential::Text(text)),
        (None, Some(value)) => Ok(Credential::Text(value.as_bytes().trim_ascii())),
        (None, None) => Ok(Credential::None),
    }
}

/// What has the form of a provider's token, where there is a provider.
fn foreign<'a>(api: &'a Api, credential: &Credential<'a>) -> Option<(&'a Arc<Oidc>, &'a str)> {
    let Credential::Text(text) = credential else { return None };
    let text = std::str::from_utf8(text).ok().filter(|text| looks_like_token(text))?;
    Some((api.oidc.as_ref()?, text))
}

/// Not counted as a guess: nobody guesses a signature.
async fn vouched(oidc: &Arc<Oidc>, token: &str, from: IpAddr) -> Result<Admitted, Refused> {
    let vouched = oidc.identify(token, from).await.map_err(|denied| Refused::Stranger(Stranger::Oidc(denied), None))?;
    let sign_in = vouched.news.then(|| SignIn { name: vouched.principal.actor.clone(), roles: vouched.roles, before: None });
    Ok(Admitted { principal: vouched.principal, sign_in })
}

fn look(api: &Api, headers: &HeaderMap, credential: &Credential<'_>, from: IpAddr) -> Result<Admitted, Refused> {
    // A page of another site can make a browser post to loopback; it cannot forge this header away.
    if api.access.is_open() && headers.contains_key(header::ORIGIN) {
        return Err(Refused::Page);
    }
    // Not counted as a guess: with some 380 random bits it is none, and a client whose session has ended may not know it yet.
    if let Credential::Text(text) = credential
        && !api.access.is_open()
        && let Some(token) = std::str::from_utf8(text).ok().and_then(AccessToken::parse)
    {
        let admitted = |principal| Admitted { principal, sign_in: None };
        return api.people.admit(&token).map(admitted).map_err(|denied| Refused::Stranger(Stranger::Session(denied), None));
    }
    api.access.identify(credential, from).map_err(|stranger| {
        // The id is worth a place on record only where the secret was right: anybody can write down an id.
        let known = matches!(stranger, Stranger::Key(_)).then(|| credential.key_id()).flatten();
        Refused::Stranger(stranger, known.map(|id| format!("key:{id}")))
    })
}
