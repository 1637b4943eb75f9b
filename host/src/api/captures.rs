//! Deliveries of an instance that are kept on request, to be run again with `bulkhead replay FILE`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use bulkhead_access::{Permission, Principal};
use bulkhead_sandbox::capture::{MOST, MOST_TIME, Progress};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::auth::lacks;
use super::problem::Problem;
use super::view::View;
use crate::captures::CaptureError;
use crate::config::Section;
use crate::trail::Note;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    deliveries: u32,
    #[serde(default = "default_seconds")]
    seconds: u64,
}

fn default_seconds() -> u64 {
    600
}

/// `{"deliveries": N, "seconds": S}`: the next ones, in place of those that were kept.
pub async fn begin(
    State(api): State<Api>,
    view: View,
    Extension(note): Extension<Note>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let bad = |detail: String| Problem::bad_request("bad_capture", detail);
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|error| bad(format!("the body is no capture: {error}")))?;
    if !(1..=MOST).contains(&wanted.deliveries) {
        return Err(bad(format!("`deliveries` is {}; it must be 1 to {MOST}", wanted.deliveries)));
    }
    if !(1..=MOST_TIME.as_secs()).contains(&wanted.seconds) {
        return Err(bad(format!("`seconds` is {}; it must be 1 to {}", wanted.seconds, MOST_TIME.as_secs())));
    }
    known(&api, &view, &instance)?;
    note.object(format!("instances/{instance}")).after(json!({"capture": wanted.deliveries, "seconds": wanted.seconds}));
    let progress = api.control.captures.arm(&instance, wanted.deliveries, Duration::from_secs(wanted.seconds), api.clock.monotonic());
    let progress = progress.map_err(|error| refused(&instance, &error))?;
    api.control.captures.watch(Arc::clone(&api.clock));
    Ok((StatusCode::ACCEPTED, Json(json!({"data": shown(progress)}))))
}

/// What was kept, whole: the file of `bulkhead replay`. It shows more than events do: what instances write and hear.
pub async fn list(State(api): State<Api>, view: View, Extension(caller): Extension<Principal>, Path(instance): Path<String>) -> Result<Json<Value>, Problem> {
    known(&api, &view, &instance)?;
    let (progress, kept) = api.control.captures.kept(&instance, api.clock.monotonic()).map_err(|error| refused(&instance, &error))?;
    // After what is not there, which is 404 to whoever reads events.
    if !caller.permissions.has(Permission::IntegrationsWrite) {
        return Err(lacks(Permission::IntegrationsWrite, "what instances ask and are answered needs"));
    }
    let data = kept.iter().map(|captured| serde_json::to_value(&**captured)).collect::<Result<Vec<_>, _>>();
    let data = data.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "capture_unwritten", error.to_string()))?;
    Ok(Json(json!({"meta": shown(progress), "data": data})))
}

pub async fn clear(State(api): State<Api>, view: View, Extension(note): Extension<Note>, Path(instance): Path<String>) -> Result<StatusCode, Problem> {
    known(&api, &view, &instance)?;
    note.object(format!("instances/{instance}")).after(json!({"capture": 0}));
    api.control.captures.clear(&instance).map_err(|error| refused(&instance, &error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody does not see is not there.
fn known(api: &Api, view: &View, instance: &str) -> Result<(), Problem> {
    if view.hides(api, Section::Instances, instance) { Err(refused(instance, &CaptureError::Unknown)) } else { Ok(()) }
}

fn shown(progress: Progress) -> Value {
    json!({"waiting": progress.waiting, "kept": progress.kept, "bytes": progress.bytes, "too_large": progress.passed})
}

fn refused(instance: &str, error: &CaptureError) -> Problem {
    let detail = format!("`{}`: {error}", instance.escape_default());
    match error {
        CaptureError::Unknown => Problem::not_found(detail),
        CaptureError::Hindered(_) => Problem::new(StatusCode::CONFLICT, "capture_unsupported", detail),
        CaptureError::Busy { .. } => Problem::new(StatusCode::TOO_MANY_REQUESTS, "captures_busy", detail),
    }
}
