//! API keys: make, list, show, rotate, revoke. A secret is in the answer to the request that made it and in
//! no other.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_access::{Allow, KeyId, KeyRecord, Role};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Api;
use super::auth::Actor;
use super::extract::Words;
use super::page::Page;
use super::problem::Problem;
use super::view::View;
use crate::access::{self, KeyError, LIFE_MS, LONGEST_LIFE_MS, NewKey, RATE};
use crate::trail::Note;

/// Characters of a name.
const MOST_NAME: usize = 128;
/// Requests a second that a key may be given.
const MOST_RATE: i64 = 10_000;
/// How long the old secret is let in after a rotation, where nothing is said: time to hand the new one out.
const OVERLAP: i64 = 3_600;
const LONGEST_OVERLAP: i64 = 7 * 86_400;
const PATH: &str = "/api/integration/api-keys";

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let keys: Vec<KeyRecord> = api.access.list().into_iter().filter(|key| view.sees(key.tenant.as_ref())).collect();
    Ok(page.bounds()?.answer(PATH, &keys, |key| shown(&api, key)))
}

/// A key that the caller sees: a key of somebody else is none. Whose a key is stays.
fn find(api: &Api, view: &View, id: &KeyId) -> Result<KeyRecord, Problem> {
    api.access.get(id).filter(|key| view.sees(key.tenant.as_ref())).ok_or_else(|| refused(KeyError::Unknown))
}

pub async fn show(State(api): State<Api>, view: View, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let key = find(&api, &view, &parse(&id)?)?;
    Ok(Json(json!({"data": shown(&api, &key), "links": {"self": format!("{PATH}/{id}")}})))
}

pub async fn create(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    body: Bytes,
) -> Result<Response, Problem> {
    let words = Words::body(&body)?;
    words.known(&["name", "roles", "tenant", "ip_allow", "rate", "expires_at"])?;
    let name = words.text("name")?.unwrap_or_default().trim();
    if name.is_empty() || name.chars().count() > MOST_NAME || name.chars().any(char::is_control) {
        return Err(fault("/name", format!("`name` is 1 to {MOST_NAME} characters that say whose key it is, no control characters")));
    }
    let roles = roles(&words)?;
    let tenant = view.tenant_of_new(words.text("tenant")?)?;
    let networks = words.list("ip_allow")?;
    let allow = Allow::parse(networks.iter().map(String::as_str)).map_err(|error| fault("/ip_allow", error.to_string()))?;
    let rate = words.number("rate")?.unwrap_or(i64::from(RATE));
    let rate = u32::try_from(rate).ok().filter(|_| (1..=MOST_RATE).contains(&rate));
    let rate = rate.ok_or_else(|| fault("/rate", format!("`rate` is 1 to {MOST_RATE} requests a second")))?;
    let expires_ms = expiry(&api, &words)?.unwrap_or_else(|| api.clock.unix_ms().saturating_add(LIFE_MS));
    let (key, text) = api.access.create(NewKey { name: name.to_owned(), roles, tenant, allow, rate, expires_ms }, &actor.0).await.map_err(refused)?;
    note.object(format!("api-keys/{}", key.id)).after(shown(&api, &key));
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("{PATH}/{}", key.id))], with_secret(&api, &key, &text)).into_response())
}

pub async fn rotate(State(api): State<Api>, view: View, Extension(note): Extension<Note>, Path(id): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let words = Words::body(&body)?;
    words.known(&["overlap_seconds", "expires_at"])?;
    let overlap = words.number("overlap_seconds")?.unwrap_or(OVERLAP);
    let overlap = u64::try_from(overlap).ok().filter(|_| overlap <= LONGEST_OVERLAP);
    let overlap = overlap.ok_or_else(|| fault("/overlap_seconds", format!("`overlap_seconds` is 0 to {LONGEST_OVERLAP}")))?;
    let (expires_ms, id) = (expiry(&api, &words)?, parse(&id)?);
    find(&api, &view, &id)?;
    let (before, after, text) = api.access.rotate(&id, Duration::from_secs(overlap), expires_ms).await.map_err(refused)?;
    note.object(format!("api-keys/{id}")).before(shown(&api, &before)).after(shown(&api, &after));
    Ok(with_secret(&api, &after, &text).into_response())
}

pub async fn revoke(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = parse(&id)?;
    find(&api, &view, &id)?;
    let (before, after) = api.access.revoke(&id, &actor.0).await.map_err(refused)?;
    note.object(format!("api-keys/{id}")).before(shown(&api, &before)).after(shown(&api, &after));
    Ok(Json(json!({"data": shown(&api, &after)})))
}

fn shown(api: &Api, key: &KeyRecord) -> Value {
    access::shown(key, api.access.state(key))
}

/// The one answer that holds a secret; nobody on the way keeps it (RFC 9111 §5.2.2.5).
fn with_secret(api: &Api, key: &KeyRecord, text: &SecretString) -> impl IntoResponse {
    let mut data = shown(api, key);
    data["key"] = text.expose_secret().into();
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({"data": data})))
}

/// At least one, each once.
pub fn roles(words: &Words) -> Result<Vec<Role>, Problem> {
    let mut roles = words.list("roles")?.iter().map(|name| role(name)).collect::<Result<Vec<_>, _>>()?;
    if roles.is_empty() {
        return Err(fault("/roles", format!("`roles` names at least one of {}", Role::ALL.map(Role::name).join(", "))));
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

fn role(name: &str) -> Result<Role, Problem> {
    let problem = || {
        let known = Role::ALL.map(Role::name).join(", ");
        fault("/roles", format!("there is no role `{}`; known are {known}", name.escape_default().take(64).collect::<String>()))
    };
    Role::named(name).ok_or_else(problem)
}

fn expiry(api: &Api, words: &Words) -> Result<Option<i64>, Problem> {
    let Some(nanos) = words.time("expires_at")? else { return Ok(None) };
    let (at_ms, now_ms) = (i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX), api.clock.unix_ms());
    if at_ms <= now_ms || at_ms - now_ms > LONGEST_LIFE_MS {
        return Err(fault("/expires_at", "`expires_at` is to come, and within ten years"));
    }
    Ok(Some(at_ms))
}

/// What is no id is not looked for.
fn parse(id: &str) -> Result<KeyId, Problem> {
    KeyId::parse(id).ok_or_else(|| Problem::bad_request("bad_id", "an id of a key is 16 lower-case letters and digits, what stands behind `bhk_`"))
}

pub fn fault(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::bad_request("bad_field", detail).errors(vec![json!({"pointer": pointer})])
}

fn refused(error: KeyError) -> Problem {
    let text = error.to_string();
    match error {
        KeyError::Unknown => Problem::not_found(text),
        KeyError::Revoked => Problem::new(StatusCode::CONFLICT, "key_revoked", text),
        KeyError::Raced => Problem::new(StatusCode::CONFLICT, "raced", text),
        KeyError::OtherPepper => Problem::new(StatusCode::CONFLICT, "other_pepper", text),
        KeyError::LastAdmin => Problem::new(StatusCode::CONFLICT, "last_admin", text),
        KeyError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "too_many_keys", text),
        KeyError::Random | KeyError::Pepper(_) | KeyError::Store(_) => Problem::internal(&error),
    }
}
