//! Runs of pull connectors: begun by hand, listed, shown.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_core::{SyncRun, SyncStatus};
use bulkhead_ingest::SyncRefused;
use bulkhead_store::SyncFilter;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::Actor;
use super::extract::Words;
use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::Section;
use crate::trail::Note;

const PATH: &str = "/api/integration/sync-executions";

/// A run now, not at the next time.
pub async fn now(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(instance): Path<String>,
) -> Result<Response, Problem> {
    if view.hides(&api, Section::Instances, &instance) {
        return Err(refusal(&instance, SyncRefused::Unknown));
    }
    note.object(format!("instances/{instance}"));
    let run = api.pulls.sync(&instance, &actor.0).await.map_err(|refused| refusal(&instance, refused))?;
    Ok(accepted(shown(&run), run.id))
}

/// Forgets the cursor: everything that the system still gives is brought again.
pub async fn anew(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(instance): Path<String>,
) -> Result<Response, Problem> {
    if view.hides(&api, Section::Instances, &instance) {
        return Err(refusal(&instance, SyncRefused::Unknown));
    }
    note.object(format!("instances/{instance}"));
    let id = api.pulls.anew(&instance, &actor.0).await.map_err(|refused| refusal(&instance, refused))?;
    tracing::warn!(instance, "what was pulled is pulled again from the beginning, by hand");
    api.trail.act("pull.anew", json!({"by": "manual", "instance": instance})).await;
    Ok(accepted(json!({"id": id.to_string(), "instance": instance, "anew": true}), id))
}

fn accepted(data: Value, id: Uuid) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(json!({"data": data}))).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("{PATH}/{id}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

fn refusal(instance: &str, refused: SyncRefused) -> Problem {
    let words = refused.words(&instance.escape_default().to_string());
    match refused {
        SyncRefused::Unknown => Problem::not_found(words),
        SyncRefused::Running(id) => Problem::new(StatusCode::CONFLICT, "sync_running", words).errors(vec![json!({"id": id.to_string()})]),
        SyncRefused::Elsewhere(_) => Problem::new(StatusCode::CONFLICT, "elsewhere", words),
        SyncRefused::Store(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", words).retry_after(5),
    }
}

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Value>, Problem> {
    words.known(&["instance", "status", "limit", "before"])?;
    let limit = words.limit()?;
    let status = words.text("status")?.map(status).transpose()?;
    let before = words.text("before")?.map(id).transpose()?;
    let filter = SyncFilter { tenant: view.scope.name().map(str::to_owned), instance: words.text("instance")?.map(str::to_owned), status };
    let runs = api.sync_executions.list(&filter, before, limit).await.map_err(|error| Problem::internal(&error))?;
    let last = if runs.len() == limit as usize { runs.last().map(|run| run.id) } else { None };
    let next = last.map(|last| format!("{PATH}?{}before={last}", words.query_without(&["before"])));
    Ok(Json(json!({"data": runs.iter().map(shown).collect::<Vec<_>>(), "meta": {"count": runs.len(), "limit": limit}, "links": {"next": next}})))
}

pub async fn show(State(api): State<Api>, view: View, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let id = id(&text)?;
    let run = api.sync_executions.get_of(id, view.scope.name()).await.map_err(|error| Problem::internal(&error))?;
    run.map(|run| Json(json!({"data": shown(&run), "links": {"self": format!("{PATH}/{id}")}})))
        .ok_or_else(|| Problem::not_found(format!("there is no run {id}, or it is forgotten")))
}

fn status(word: &str) -> Result<SyncStatus, Problem> {
    let words = || SyncStatus::ALL.map(SyncStatus::name).join(", ");
    let found = SyncStatus::ALL.into_iter().find(|status| status.name() == word);
    found.ok_or_else(|| Problem::bad_request("bad_field", format!("`status` is `{}`; it must be one of {}", word.escape_default(), words())))
}

fn id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::bad_request("bad_id", format!("`{}` is no id of a run: these are UUIDs", text.escape_default())))
}

fn shown(run: &SyncRun) -> Value {
    json!({
        "id": run.id.to_string(), "instance": &*run.instance, "trigger": run.trigger.name(), "status": run.status.name(),
        "started_at": rfc3339(run.started_ms), "ended_at": run.ended_ms.and_then(rfc3339),
        "pages": run.pages, "records": run.records, "left_out": run.left_out, "attempts": run.attempts,
        "error": run.error, "initiated_by": &*run.initiated_by,
    })
}
