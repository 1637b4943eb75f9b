//! Credentials beside the requests that carry them: tried, asked for anew, connected by somebody in a browser
//! (RFC 6749 §4.1 with PKCE). No answer holds a token.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use bulkhead_sandbox::{Connection, Tried};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::auth::{Actor, Peer};
use super::extract::Words;
use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::Section;
use crate::pipeline::connect::{ConnectError, Connected, PATIENCE};
use crate::trail::{Change, Note};

const PATH: &str = "/api/integration/auth-configs";
/// Where servers send browsers back, below `listen.api.public_url`.
const CALLBACK: &str = "api/integration/oauth/callback";
/// The codes of RFC 6749 §4.1.2.1: of what a server says, only known words are repeated.
const REFUSALS: [&str; 7] =
    ["invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable"];

/// Whether it can be had now. Of OAuth2, a token is asked for; of a program, it is run.
pub async fn test(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    tried(&api, &view, &name).await
}

/// The same, for those who want a new refresh token kept: on record.
pub async fn refresh(State(api): State<Api>, view: View, Path(name): Path<String>, Extension(note): Extension<Note>) -> Result<Json<Value>, Problem> {
    note.object(format!("credentials/{name}"));
    tried(&api, &view, &name).await
}

async fn tried(api: &Api, view: &View, name: &str) -> Result<Json<Value>, Problem> {
    if view.hides(api, Section::Credentials, name) {
        return Err(refused(ConnectError::Unknown));
    }
    let tried = api.control.try_credential(name).await.map_err(refused)?;
    let data = match tried {
        Tried::Fixed => {
            json!({"name": name, "checked": "nothing", "detail": "it is used as it stands in the configuration; only a receiver can say whether it is right"})
        }
        Tried::Program => json!({"name": name, "checked": "program", "detail": "its program printed a value that can be used"}),
        Tried::Token { seconds } => json!({"name": name, "checked": "token", "expires_in": seconds, "detail": "the token endpoint gave a token"}),
    };
    Ok(Json(json!({"data": data, "links": {"self": format!("{PATH}/{name}")}})))
}

/// Where somebody is to agree.
pub async fn authorize(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
) -> Result<Json<Value>, Problem> {
    note.object(format!("credentials/{name}"));
    let mut redirect = api.public_url.clone().ok_or_else(|| {
        let detail = "servers have to send browsers back to this host; set `listen.api.public_url` to where they reach it";
        Problem::new(StatusCode::CONFLICT, "no_public_url", detail)
    })?;
    let base = redirect.path().trim_end_matches('/').to_owned();
    redirect.set_path(&format!("{base}/{CALLBACK}"));
    if view.hides(&api, Section::Credentials, &name) {
        return Err(refused(ConnectError::Unknown));
    }
    let url = api.control.authorize(&name, redirect.clone(), &actor.0).map_err(refused)?;
    let until = api.clock.unix_ms().saturating_add(PATIENCE.as_millis() as i64);
    Ok(Json(json!({
        "data": {"name": name, "authorize_url": url.as_str(), "redirect_uri": redirect.as_str(), "expires_at": rfc3339(until)},
        "links": {"self": format!("{PATH}/{name}")},
    })))
}

/// Where servers send browsers back. Open to everybody: what lets in is a `state` that was given out, once.
pub async fn callback(State(api): State<Api>, peer: axum::extract::ConnectInfo<Peer>, words: Words) -> Result<String, Problem> {
    let state = words.text("state")?.unwrap_or_default();
    if let Some(error) = words.text("error")? {
        let (credential, by) = api.control.not_agreed(state).map_err(refused)?;
        let code = REFUSALS.into_iter().find(|known| *known == error).unwrap_or("an error that the standard does not know");
        on_record(&api, &by, &peer, &credential, json!({"connected": false, "error": code}), StatusCode::BAD_REQUEST).await;
        return Err(Problem::bad_request("not_agreed", format!("the server answered {code}; the credential `{credential}` is as it was")));
    }
    let code = words.text("code")?.filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| Problem::bad_request("no_code", "there is neither `code` nor `error`"))?;
    let (own, state, code) = (api.clone(), state.to_owned(), SecretString::from(code.to_owned()));
    // A code is good once: what was begun with it ends, on record, although the browser has gone.
    let work = api.changes.spawn(async move {
        let Connected { credential, by, instances } = own.control.connected(&state, code).await?;
        let begun = match &instances {
            Ok(done) => json!(done.changed.iter().map(|name| &**name).collect::<Vec<_>>()),
            Err(error) => json!({"not_begun": error.to_string()}),
        };
        on_record(&own, &by, &peer, &credential, json!({"connected": true, "instances": begun}), StatusCode::OK).await;
        Ok::<_, ConnectError>((credential, instances))
    });
    let (credential, instances) = work.await.map_err(|error| Problem::internal(&error))?.map_err(refused)?;
    match instances {
        Ok(_) => Ok(format!("The credential {credential} is connected. This page can be closed.\n")),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, credential, "instances that use the credential were not begun anew");
            Ok(format!("The credential {credential} is connected; instances that waited for it go on within five minutes.\n"))
        }
    }
}

async fn on_record(api: &Api, by: &str, peer: &Peer, credential: &str, after: Value, status: StatusCode) {
    let note = Note::default();
    note.object(format!("credentials/{credential}")).after(after);
    let tenant = api.control.config().owners.of(Section::Credentials, credential).cloned();
    let change =
        Change { actor: by, tenant: tenant.as_ref(), from: Some(peer.ip()), action: "auth_configs.connect", noted: note.take(), status: status.as_u16() };
    api.trail.change(change).await;
}

/// How a credential stands that somebody connects; nothing for others.
pub fn connection(api: &Api, name: &str) -> Option<Value> {
    Some(match api.control.connection(name)? {
        Connection::Never => json!({"state": "not_connected"}),
        Connection::Connected => json!({"state": "connected"}),
        Connection::Lost(reason) => json!({"state": "needs_reconnect", "reason": reason}),
    })
}

fn refused(error: ConnectError) -> Problem {
    let text = error.to_string();
    match error {
        ConnectError::Unknown => Problem::not_found(text),
        ConnectError::Unfit => Problem::new(StatusCode::CONFLICT, "not_connectable", text),
        ConnectError::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_flows", text).retry_after(60),
        ConnectError::State => Problem::bad_request("bad_state", text),
        ConnectError::Changed => Problem::new(StatusCode::CONFLICT, "changed", text),
        ConnectError::Desk(error) if error.lasting => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "credential_refused", text),
        ConnectError::Desk(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "credential_unavailable", text).retry_after(5),
    }
}
