//! Questions to the system behind an instance, answered by its connector; and whether it answers at all.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_core::{AskError, Failure};
use bulkhead_store::LogType;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Api;
use super::auth::Actor;
use super::problem::Problem;
use super::view::View;
use crate::answers::QuestionId;
use crate::config::{QueryCacheSettings, Section};
use crate::observed::logs::Said;

/// Characters of an operation that the log names.
const MOST_SAID: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    operation: String,
    /// An object; digits of its numbers stay.
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

/// `{"operation": …, "parameters": {…}}`; the answer is the connector's, under `data`.
pub async fn ask(
    State(api): State<Api>,
    view: View,
    Extension(actor): Extension<Actor>,
    Path(instance): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let question: Question<'_> = serde_json::from_slice(&body).map_err(|error| Problem::bad_request("bad_query", format!("the body is no query: {error}")))?;
    let parameters = question.parameters.map_or("{}", RawValue::get);
    if !parameters.starts_with('{') {
        return Err(Problem::bad_request("bad_query", "`parameters` is an object"));
    }
    if view.hides(&api, Section::Instances, &instance) {
        return Err(refused(&instance, &AskError::Gone));
    }
    let began = api.clock.monotonic();
    let kept = cached(&api, &instance, &question.operation, parameters);
    if let Some((settings, id)) = &kept {
        if let Some((answer, age)) = api.answers.get(id, began, settings.ttl) {
            return Ok(answered(&answer, Some(age), false, Duration::ZERO));
        }
        // Left alone while the breaker is open, as long as there is something to say.
        if open(&api, &instance)
            && let Some((answer, age)) = api.answers.get(id, began, settings.stale)
        {
            return Ok(answered(&answer, Some(age), true, Duration::ZERO));
        }
    }
    let asked = api.delivery.query(&instance, &question.operation, parameters).await;
    let now = api.clock.monotonic();
    if !matches!(asked, Err(AskError::Gone)) {
        let operation = question.operation.chars().take(MOST_SAID).collect::<String>();
        let (log_type, end) = match &asked {
            Ok(_) => (LogType::Success, format!("answered in {} ms", millis(now.saturating_sub(began)))),
            Err(error) => (LogType::Warning, error.to_string()),
        };
        let message = format!("query `{}`: {end}", operation.escape_default());
        api.logs.say(&instance, log_type, Said { operation: "query", message, user: Some(&actor.0), ..Said::default() });
    }
    match (asked, kept) {
        (Ok(answer), kept) => {
            if let Some((_, id)) = kept {
                api.answers.put(id, &answer, now);
            }
            Ok(answered(&answer, None, false, now.saturating_sub(began)))
        }
        (Err(error), Some((settings, id))) if silent(&error) => match api.answers.get(&id, now, settings.stale) {
            Some((answer, age)) => Ok(answered(&answer, Some(age), true, now.saturating_sub(began))),
            None => Err(refused(&instance, &error)),
        },
        (Err(error), _) => Err(refused(&instance, &error)),
    }
}

/// What is kept of answers to this question; nothing where none are.
fn cached(api: &Api, instance: &str, operation: &str, parameters: &str) -> Option<(QueryCacheSettings, QuestionId)> {
    let config = api.control.config();
    let settings = config.instances.iter().find(|known| known.name == instance)?.query_cache.clone()?;
    settings.operations.iter().any(|known| known == operation).then_some(())?;
    let id = QuestionId::new(instance, &config.fingerprint(instance)?, operation, parameters);
    Some((settings, id))
}

fn open(api: &Api, instance: &str) -> bool {
    api.delivery.status().iter().any(|lane| &*lane.lane.instance == instance && lane.breaker.name() == "open")
}

/// Nothing was said by the system: not that the question is wrong, or that we may not ask.
fn silent(error: &AskError) -> bool {
    matches!(error, AskError::Failed(Failure::Unavailable { .. }) | AskError::Held(_) | AskError::Busy | AskError::Deadline(_))
}

/// The answer was checked to be JSON where it came from the guest.
fn answered(answer: &str, age: Option<Duration>, stale: bool, took: Duration) -> Response {
    let about = json!({"from_cache": age.is_some(), "stale": stale, "age_ms": age.map(millis), "took_ms": millis(took)}).to_string();
    ([(header::CONTENT_TYPE, "application/json")], format!("{{\"data\":{answer},{}", &about[1..])).into_response()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The connection test: what was reached, or what failed. That it failed is an answer, not an error.
pub async fn test(State(api): State<Api>, view: View, Extension(actor): Extension<Actor>, Path(instance): Path<String>) -> Result<Json<Value>, Problem> {
    if view.hides(&api, Section::Instances, &instance) {
        return Err(refused(&instance, &AskError::Gone));
    }
    let began = api.clock.monotonic();
    let result = api.delivery.check(&instance).await;
    let latency_ms = millis(api.clock.monotonic().saturating_sub(began));
    let (connection, authentication, cause, message) = match result {
        Ok(detail) => ("passed", "passed", None, detail),
        Err(AskError::Failed(Failure::Unsupported)) => {
            return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "test_unsupported", "the connector tests no connection"));
        }
        // Somebody answered.
        Err(AskError::Failed(Failure::Unauthorized(reason))) => ("passed", "failed", Some("unauthorized"), reason),
        Err(AskError::Failed(Failure::Configuration(reason))) => ("unknown", "unknown", Some("configuration"), reason),
        Err(AskError::Failed(failure @ Failure::Unavailable { .. })) => ("failed", "unknown", Some(failure.name()), failure.to_string()),
        Err(AskError::Failed(failure)) => ("unknown", "unknown", Some(failure.name()), failure.to_string()),
        Err(error) => return Err(refused(&instance, &error)),
    };
    let status = if cause.is_none() { "passed" } else { "failed" };
    let details = json!({"connection": connection, "authentication": authentication, "cause": cause, "latency_ms": latency_ms});
    let log_type = if cause.is_none() { LogType::Success } else { LogType::Error };
    let said = Said { operation: "test", message: format!("test {status}: {message}"), details: Some(details), user: Some(&actor.0), sync_id: None };
    api.logs.say(&instance, log_type, said);
    Ok(Json(json!({
        "instance": instance, "status": status, "connection": connection, "authentication": authentication, "cause": cause, "message": message,
        "latency_ms": latency_ms,
    })))
}

fn refused(instance: &str, error: &AskError) -> Problem {
    let text = error.to_string();
    match error {
        AskError::Gone => Problem::not_found(format!("there is no instance `{}`", instance.escape_default())),
        AskError::Failed(Failure::Unsupported) => Problem::new(StatusCode::NOT_IMPLEMENTED, "query_unsupported", "the connector answers no queries"),
        AskError::Failed(Failure::Other(reason)) => Problem::bad_request("query_refused", reason.clone()),
        AskError::Failed(Failure::Configuration(_) | Failure::Unauthorized(_) | Failure::TooLarge(_)) => {
            Problem::new(StatusCode::BAD_GATEWAY, "query_failed", text)
        }
        AskError::Failed(Failure::Unavailable { .. }) | AskError::Held(_) | AskError::Busy => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "query_unavailable", text)
        }
        AskError::Deadline(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "query_deadline", text),
        AskError::Open(_) | AskError::Fault(_) => Problem::new(StatusCode::BAD_GATEWAY, "query_fault", text),
    }
}
