//! People sign in, stay signed in, and sign out. These endpoints take the place of a credential, so they ask for none:
//! a password, a refresh token or an access token is what they check.

use std::net::IpAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulkhead_access::AccessToken;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Api;
use super::auth::{From, bearer, seconds};
use super::extract::Words;
use super::problem::Problem;
use crate::directory::NotAsked;
use crate::people::{Login, OwnPassword, OwnPasswordError, SignInError, SignedIn};
use crate::trail::{Change, Noted, Refusal};

/// For those who want to sign in and do not know how.
pub async fn methods(State(api): State<Api>) -> Json<Value> {
    let oidc = api.oidc.as_ref().map(|oidc| {
        let settings = oidc.settings();
        json!({"issuer": settings.rules.issuer, "client_id": settings.client_id, "scopes": settings.scopes})
    });
    Json(
        json!({"open": api.access.is_open(), "keys": api.access.accepts_keys(), "users": api.people.accepts_users(), "ldap": api.people.accepts_directory(), "oidc": oidc}),
    )
}

pub async fn login(State(api): State<Api>, From(from): From, body: Bytes) -> Result<Response, Problem> {
    let words = words(&body, &["username", "password", "mfa_token"])?;
    let (name, password) = (must(&words, "username")?, must(&words, "password")?);
    let code = code(&words)?;
    let login = Login { name: name.trim().to_owned(), password: password.to_owned().into(), code };
    whole(&api, "auth.login", from, {
        let api = api.clone();
        async move { api.people.sign_in(login, from).await }
    })
    .await
}

pub async fn refresh(State(api): State<Api>, From(from): From, body: Bytes) -> Result<Response, Problem> {
    let words = words(&body, &["refresh_token"])?;
    let token = must(&words, "refresh_token")?.trim().to_owned();
    whole(&api, "auth.refresh", from, {
        let api = api.clone();
        async move { api.people.refresh(&token, from).await }
    })
    .await
}

/// Ends the session of the access token that is shown.
pub async fn logout(State(api): State<Api>, From(from): From, headers: HeaderMap) -> Result<StatusCode, Problem> {
    const ACTION: &str = "auth.logout";
    let token = shown(&headers);
    let work = {
        let api = api.clone();
        async move {
            let session = match token {
                Some(token) => api.people.sign_out(&token).await.map_err(|error| Problem::unavailable(&error))?,
                None => None,
            };
            let Some(session) = session else {
                refused(&api, ACTION, from, "unauthorized", StatusCode::UNAUTHORIZED, None).await;
                return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this needs the access token of a session as `Authorization: Bearer`"));
            };
            let noted = Noted { object: format!("sessions/{}", session.id), before: None, after: None };
            let actor = session.person.actor();
            let status = StatusCode::NO_CONTENT;
            let tenant = api.people.tenant(&session.person);
            api.trail.change(Change { actor: &actor, tenant: tenant.as_ref(), from: Some(from), action: ACTION, noted, status: status.as_u16() }).await;
            Ok(status)
        }
    };
    api.changes.spawn(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// Gives whoever is signed in another password.
pub async fn password(State(api): State<Api>, From(from): From, headers: HeaderMap, body: Bytes) -> Result<StatusCode, Problem> {
    const ACTION: &str = "auth.password";
    let words = words(&body, &["current_password", "new_password", "mfa_token"])?;
    let typed =
        OwnPassword { current: must(&words, "current_password")?.to_owned().into(), new: must(&words, "new_password")?.to_owned().into(), code: code(&words)? };
    let token = shown(&headers);
    let work = {
        let api = api.clone();
        async move {
            match api.people.change_own(token.as_ref(), typed, from).await {
                Ok((session, ended)) => {
                    let (status, actor) = (StatusCode::NO_CONTENT, session.person.actor());
                    let noted = Noted { object: format!("users/{}", session.person.name()), before: None, after: Some(json!({"sessions_ended": ended})) };
                    let tenant = api.people.tenant(&session.person);
                    api.trail.change(Change { actor: &actor, tenant: tenant.as_ref(), from: Some(from), action: ACTION, noted, status: status.as_u16() }).await;
                    Ok(status)
                }
                Err(error) => {
                    let (problem, actor) = not_changed(&error);
                    let (status, code) = problem.parts();
                    refused(&api, ACTION, from, code, status, actor).await;
                    Err(problem)
                }
            }
        }
    };
    api.changes.spawn(work).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

/// The answer, and who it was where that is known.
fn not_changed(error: &OwnPasswordError) -> (Problem, Option<String>) {
    use StatusCode as S;
    let new = |status, code| Problem::new(status, code, error.to_string());
    let field = || new(S::BAD_REQUEST, "bad_field").errors(vec![json!({"pointer": "/new_password", "message": error.to_string()})]);
    match error {
        OwnPasswordError::NoSession => (new(S::UNAUTHORIZED, "unauthorized"), None),
        OwnPasswordError::Elsewhere { actor } => (new(S::CONFLICT, "directory_password"), Some(actor.clone())),
        OwnPasswordError::Wrong { actor } => (new(S::FORBIDDEN, "wrong_password"), Some(actor.clone())),
        OwnPasswordError::CodeMissing { actor } => (new(S::FORBIDDEN, "mfa_required"), Some(actor.clone())),
        OwnPasswordError::Guessing(wait) => (new(S::TOO_MANY_REQUESTS, "too_many_attempts").retry_after(seconds(*wait)), None),
        OwnPasswordError::Same | OwnPasswordError::Password(_) => (field(), None),
        OwnPasswordError::Raced => (new(S::CONFLICT, "raced"), None),
        OwnPasswordError::Busy(_) => (new(S::SERVICE_UNAVAILABLE, "busy").retry_after(1), None),
        OwnPasswordError::Hash(error) => (Problem::internal(error), None),
        OwnPasswordError::Store(error) => (Problem::unavailable(error), None),
    }
}

/// On a task of its own: what was begun is on disk and on record although the client has gone.
async fn whole(
    api: &Api,
    action: &'static str,
    from: IpAddr,
    work: impl Future<Output = Result<SignedIn, SignInError>> + Send + 'static,
) -> Result<Response, Problem> {
    let recorded = {
        let api = api.clone();
        async move {
            match work.await {
                Ok(signed_in) => Ok(tokens(&signed_in)),
                Err(error) => {
                    let (status, code) = sort(&error);
                    let actor = if let SignInError::Reused { actor } | SignInError::NoRole { actor } = &error { Some(actor.clone()) } else { None };
                    refused(&api, action, from, code, status, actor).await;
                    Err(problem(&error))
                }
            }
        }
    };
    api.changes.spawn(recorded).await.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

async fn refused(api: &Api, action: &'static str, from: IpAddr, code: &'static str, status: StatusCode, actor: Option<String>) {
    let refusal = Refusal { actor, tenant: None, from: Some(from), code, status: status.as_u16(), permission: None };
    api.trail.refused(action, refusal, api.clock.monotonic()).await;
}

/// Nobody on the way keeps it (RFC 6749 §5.1).
fn tokens(signed_in: &SignedIn) -> Response {
    let body = json!({
        "access_token": signed_in.pair.access.expose().expose_secret(), "refresh_token": signed_in.pair.refresh.expose().expose_secret(),
        "token_type": "Bearer", "expires_in": signed_in.access_for.as_secs(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json::<Value>(body)).into_response()
}

fn sort(error: &SignInError) -> (StatusCode, &'static str) {
    match error {
        SignInError::Off => (StatusCode::FORBIDDEN, "sign_in_off"),
        SignInError::Guessing(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
        SignInError::Wrong | SignInError::Unknown => (StatusCode::UNAUTHORIZED, "unauthorized"),
        SignInError::CodeMissing => (StatusCode::UNAUTHORIZED, "mfa_required"),
        SignInError::Reused { .. } => (StatusCode::UNAUTHORIZED, "token_reused"),
        SignInError::NoRole { .. } => (StatusCode::FORBIDDEN, "no_role"),
        SignInError::Directory(NotAsked::Away) => (StatusCode::SERVICE_UNAVAILABLE, "directory_unavailable"),
        SignInError::Busy(_) | SignInError::Directory(NotAsked::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        SignInError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        SignInError::Random => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

fn problem(error: &SignInError) -> Problem {
    let (status, code) = sort(error);
    let problem = match error {
        SignInError::Store(error) => Problem::unavailable(error),
        SignInError::Random => Problem::internal(error),
        _ => Problem::new(status, code, error.to_string()),
    };
    match error {
        SignInError::Guessing(wait) => problem.retry_after(seconds(*wait)),
        SignInError::Busy(_) | SignInError::Directory(NotAsked::Busy) => problem.retry_after(1),
        SignInError::Directory(NotAsked::Away) => problem.retry_after(10),
        _ => problem,
    }
}

fn words(body: &Bytes, known: &[&str]) -> Result<Words, Problem> {
    let words = Words::body(body)?;
    words.known(known)?;
    Ok(words)
}

fn code(words: &Words) -> Result<Option<SecretString>, Problem> {
    Ok(words.text("mfa_token")?.map(|code| SecretString::from(code.trim().to_owned())))
}

/// The access token of a session, where one is shown.
fn shown(headers: &HeaderMap) -> Option<AccessToken> {
    bearer(headers).and_then(|text| std::str::from_utf8(text).ok()).and_then(AccessToken::parse)
}

fn must<'w>(words: &'w Words, name: &str) -> Result<&'w str, Problem> {
    let missing = || Problem::bad_request("bad_field", format!("`{name}` is missing")).errors(vec![json!({"pointer": format!("/{name}")})]);
    words.text(name)?.filter(|text| !text.is_empty()).ok_or_else(missing)
}
