//! Questions to the system behind an instance, answered by its connector; and whether it answers at all.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulkhead_core::{AskError, Failure};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question<'a> {
    operation: String,
    /// An object; digits of its numbers stay.
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
}

/// `{"operation": …, "parameters": {…}}`; the answer is the connector's, under `data`.
pub async fn ask(State(api): State<Api>, Path(instance): Path<String>, body: Bytes) -> Result<Response, Problem> {
    let question: Question<'_> = serde_json::from_slice(&body).map_err(|error| Problem::bad_request("bad_query", format!("the body is no query: {error}")))?;
    let parameters = question.parameters.map_or("{}", RawValue::get);
    if !parameters.starts_with('{') {
        return Err(Problem::bad_request("bad_query", "`parameters` is an object"));
    }
    let answer = api.delivery.query(&instance, &question.operation, parameters).await.map_err(|error| refused(&instance, &error))?;
    // Checked to be JSON where it came from the guest.
    Ok(([(header::CONTENT_TYPE, "application/json")], format!("{{\"data\":{answer}}}")).into_response())
}

/// The connection test: what was reached, or what failed. That it failed is an answer, not an error.
pub async fn test(State(api): State<Api>, Path(instance): Path<String>) -> Result<Json<Value>, Problem> {
    let began = api.clock.monotonic();
    let result = api.delivery.check(&instance).await;
    let latency_ms = u64::try_from(api.clock.monotonic().saturating_sub(began).as_millis()).unwrap_or(u64::MAX);
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
