//! Pull connectors: how far they are, looking now, beginning again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use bulkhead_ingest::PullStatus;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use crate::trail::Note;

/// Looks now, not at the next interval.
pub async fn now(State(api): State<Api>, Extension(note): Extension<Note>, Path(instance): Path<String>) -> Result<(StatusCode, Json<Value>), Problem> {
    note.object(format!("instances/{instance}"));
    answer(&instance, false, api.pulls.now(&instance))
}

/// Forgets the cursor: everything that the system still gives is brought again.
pub async fn anew(State(api): State<Api>, Extension(note): Extension<Note>, Path(instance): Path<String>) -> Result<(StatusCode, Json<Value>), Problem> {
    note.object(format!("instances/{instance}"));
    let found = api.pulls.anew(&instance).await.map_err(|reason| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", reason))?;
    let answer = answer(&instance, true, found)?;
    tracing::warn!(instance, "what was pulled is pulled again from the beginning, by hand");
    api.trail.act("pull.anew", json!({"by": "manual", "instance": instance})).await;
    Ok(answer)
}

fn answer(instance: &str, anew: bool, found: bool) -> Result<(StatusCode, Json<Value>), Problem> {
    if !found {
        let escaped = instance.escape_default();
        return Err(Problem::not_found(format!("nothing is pulled from `{escaped}`; set `instances.{escaped}.pull`")));
    }
    Ok((StatusCode::ACCEPTED, Json(json!({"instance": instance, "anew": anew}))))
}

pub fn shown(instance: &str, pull: &PullStatus) -> Value {
    json!({
        "instance": instance, "events": pull.events, "pages": pull.pages, "blocked": pull.blocked, "failures": pull.failures, "last_error": pull.error,
        "idle": pull.idle.map(|(word, _)| word),
        "last_pulled_at": pull.last_ms.and_then(|ms| super::rfc3339(ms.cast_signed())),
    })
}
