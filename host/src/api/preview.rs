//! Trying a formatter on events that come with the request: `{"definition": {…}, "events": [{…}]}`. Without a
//! definition the formatter of that name is tried as it is.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Api;
use super::entries::{faults, read};
use super::problem::Problem;
use super::view::View;
use crate::config::Section;
use crate::pipeline::{Preview, PreviewError};

/// Largest body in bytes, and most events in it.
pub const MAX_BODY: usize = 1 << 20;
pub const MOST_EVENTS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    definition: Option<Value>,
    /// As they would be posted: digits of their numbers stay.
    events: Vec<Box<RawValue>>,
}

pub async fn test(State(api): State<Api>, view: View, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Trial { definition, events } = read(&body)?;
    if events.is_empty() || events.len() > MOST_EVENTS {
        return Err(Problem::bad_request("bad_events", format!("{} events; 1 to {MOST_EVENTS} are possible", events.len())));
    }
    let texts: Vec<&str> = events.iter().map(|event| event.get()).collect();
    let previewed = api.control.preview(&name, definition, &texts, &view.scope).await.map_err(|error| problem(&name, error))?;
    let one = |preview: &Preview| match preview {
        Preview::Record(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!({"record": text}),
            Err(_) => json!({"record_base64": base64::engine::general_purpose::STANDARD.encode(bytes)}),
        },
        Preview::Refused(reason) => json!({"refused": reason}),
        Preview::NoEvent { .. } => Value::Null,
    };
    if let Some((at, pointer, reason)) = previewed.events.iter().enumerate().find_map(|(at, event)| match event {
        Preview::NoEvent { pointer, reason } => Some((at, pointer, reason)),
        _ => None,
    }) {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_event", format!("event {at} is none: {reason}"));
        return Err(problem.errors(vec![json!({"pointer": format!("/events/{at}{pointer}"), "detail": reason})]));
    }
    let data: Vec<Value> = previewed.events.iter().map(one).collect();
    Ok(Json(json!({"data": data, "content_type": previewed.content_type})))
}

pub fn problem(name: &str, error: PreviewError) -> Problem {
    let text = error.to_string();
    let unprocessable = |code| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, text.clone());
    match error {
        PreviewError::Faults(found) => unprocessable("invalid").errors(faults(Some((Section::Formatters, name)), &found)),
        PreviewError::Unknown(_) => Problem::not_found(text),
        PreviewError::Open(_) | PreviewError::Guest(_) => unprocessable("formatter_failed"),
    }
}
