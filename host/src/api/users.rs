//! Users of this host: make, list, show, give roles, a password, a second factor, switch off, remove. A secret of codes
//! is in the answer to the request that made it and in no other; a password is in none.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_access::{Totp, User, UserName};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Api;
use super::auth::Actor;
use super::extract::Words;
use super::keys::{fault, roles};
use super::page::Page;
use super::problem::Problem;
use super::view::View;
use crate::people::{NewUser, UserChange, UserError, shown};
use crate::trail::Note;

const PATH: &str = "/api/integration/users";

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let users: Vec<User> = api.people.list().into_iter().filter(|user| view.sees(user.tenant.as_ref())).collect();
    Ok(page.bounds()?.answer(PATH, &users, shown))
}

pub async fn show(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(answer(&find(&api, &view, &parse(&name)?)?))
}

/// A user whom the caller sees: one of somebody else is none. Whose a user is stays.
fn find(api: &Api, view: &View, name: &UserName) -> Result<User, Problem> {
    api.people.get(name).filter(|user| view.sees(user.tenant.as_ref())).ok_or_else(|| refused(&UserError::Unknown))
}

pub async fn create(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    body: Bytes,
) -> Result<Response, Problem> {
    let words = Words::body(&body)?;
    words.known(&["name", "roles", "tenant", "password"])?;
    let name = words.text("name")?.unwrap_or_default().trim();
    let name = UserName::parse(name).ok_or_else(|| fault("/name", format!("`name` is {}", UserName::RULE)))?;
    let (roles, password) = (roles(&words)?, password(&words)?);
    let tenant = view.tenant_of_new(words.text("tenant")?)?;
    let id = Uuid::now_v7().to_string();
    note.object(format!("users/{name}"));
    // Such a name would keep somebody of the operator's directory out.
    if api.people.accepts_directory() && !view.scope.is_host() {
        return Err(refused(&UserError::DirectoryNames));
    }
    let user = api.people.create(NewUser { id, name, roles, tenant, password }, &actor.0).await.map_err(|error| refused(&error))?;
    note.after(shown(&user));
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("{PATH}/{}", user.name))], answer(&user)).into_response())
}

pub async fn put(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let words = Words::body(&body)?;
    words.known(&["roles"])?;
    change(&api, &view, &actor, &note, &name, UserChange::Roles(roles(&words)?)).await.map(|user| answer(&user))
}

pub async fn set_password(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let words = Words::body(&body)?;
    words.known(&["password"])?;
    change(&api, &view, &actor, &note, &name, UserChange::Password(password(&words)?)).await.map(|user| answer(&user))
}

pub async fn enable(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(&api, &view, &actor, &note, &name, UserChange::Enabled(true)).await.map(|user| answer(&user))
}

pub async fn disable(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(&api, &view, &actor, &note, &name, UserChange::Enabled(false)).await.map(|user| answer(&user))
}

/// The one answer that holds a secret; nobody on the way keeps it (RFC 9111 §5.2.2.5).
pub async fn enrol(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let totp = Totp::mint().map_err(|_| refused(&UserError::Random))?;
    let user = change(&api, &view, &actor, &note, &name, UserChange::Totp(Some(totp.clone()))).await?;
    let mut data = shown(&user);
    data["secret"] = totp.text().into();
    data["url"] = totp.url(&user.name).into();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({"data": data}))).into_response())
}

pub async fn release(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    change(&api, &view, &actor, &note, &name, UserChange::Totp(None)).await.map(|user| answer(&user))
}

pub async fn remove(State(api): State<Api>, view: View, Extension(note): Extension<Note>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let name = parse(&name)?;
    note.object(format!("users/{name}"));
    find(&api, &view, &name)?;
    let user = api.people.remove(&name).await.map_err(|error| refused(&error))?;
    note.before(shown(&user));
    Ok(StatusCode::NO_CONTENT)
}

async fn change(api: &Api, view: &View, actor: &Actor, note: &Note, name: &str, change: UserChange) -> Result<User, Problem> {
    let name = parse(name)?;
    note.object(format!("users/{name}"));
    find(api, view, &name)?;
    let (before, after) = api.people.change(&name, change, &actor.0).await.map_err(|error| refused(&error))?;
    note.before(shown(&before)).after(shown(&after));
    Ok(after)
}

fn answer(user: &User) -> Json<Value> {
    Json(json!({"data": shown(user), "links": {"self": format!("{PATH}/{}", user.name)}}))
}

fn password(words: &Words) -> Result<secrecy::SecretString, Problem> {
    words.text("password")?.map(|text| text.to_owned().into()).ok_or_else(|| fault("/password", "`password` is missing"))
}

/// What is no name is not looked for.
fn parse(name: &str) -> Result<UserName, Problem> {
    UserName::parse(name).ok_or_else(|| Problem::bad_request("bad_id", format!("a name of a user is {}", UserName::RULE)))
}

fn refused(error: &UserError) -> Problem {
    let text = error.to_string();
    match error {
        UserError::Unknown => Problem::not_found(text),
        UserError::DirectoryNames => Problem::new(StatusCode::FORBIDDEN, "directory_names", text),
        UserError::Raced => Problem::new(StatusCode::CONFLICT, "raced", text),
        UserError::Exists => Problem::new(StatusCode::CONFLICT, "exists", text),
        UserError::LastAdmin => Problem::new(StatusCode::CONFLICT, "last_admin", text),
        UserError::NoKey => Problem::new(StatusCode::CONFLICT, "no_key", text),
        UserError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "too_many_users", text),
        UserError::Password(_) => fault("/password", text),
        UserError::Busy(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).retry_after(1),
        UserError::Store(error) => Problem::unavailable(error),
        UserError::Random | UserError::Hash(_) => Problem::internal(error),
    }
}
