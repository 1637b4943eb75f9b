//! Dead letters: list, show, purge, replay.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bulkhead_core::{EventRef, LaneId};
use bulkhead_store::{Cause, DeadLetter, DeadLetterFilter};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::rfc3339;
use crate::replay::ReplayError;

/// Which letters; no condition means all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    id: Option<i64>,
    instance: Option<String>,
    format: Option<String>,
    cause: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    event_id: Option<String>,
    /// RFC 3339: letters added since.
    since: Option<String>,
    /// Letters of one page, 1 to 1,000.
    limit: Option<u32>,
    /// Id of the last letter of the page before.
    after: Option<i64>,
    /// Purging or replaying everything must be said.
    #[serde(default)]
    all: bool,
}

impl Which {
    fn filter(&self) -> Result<DeadLetterFilter, Problem> {
        let cause = match &self.cause {
            None => None,
            Some(name) => Some(Cause::from_name(name).ok_or_else(|| {
                let known: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
                Problem::bad_request("unknown_cause", format!("there is no cause `{name}`; known are {}", known.join(", ")))
            })?),
        };
        let since_ms = match &self.since {
            None => None,
            Some(text) => Some(
                time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
                    .map_err(|_| Problem::bad_request("bad_time", format!("`since` is no RFC 3339 time: `{}`", text.escape_default())))?
                    .unix_timestamp_nanos()
                    .div_euclid(1_000_000)
                    .try_into()
                    .unwrap_or(i64::MAX),
            ),
        };
        Ok(DeadLetterFilter {
            ids: self.id.into_iter().collect(),
            instance: self.instance.clone(),
            format: self.format.clone(),
            cause,
            event_type: self.event_type.clone(),
            event_id: self.event_id.clone(),
            since_ms,
            ..DeadLetterFilter::default()
        })
    }

    /// For what changes things: a filter, or the explicit wish for all.
    fn explicit(&self) -> Result<DeadLetterFilter, Problem> {
        let filter = self.filter()?;
        if filter == DeadLetterFilter::default() && !self.all {
            return Err(Problem::bad_request("all_not_said", "this would take every dead letter; say `all=true` or name an id, instance, cause, type or time"));
        }
        Ok(filter)
    }
}

pub async fn list(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Value>, Problem> {
    let limit = which.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("bad_limit", format!("`limit` is {limit}; it must be 1 to 1000")));
    }
    let letters = api.dead_letters.list(&which.filter()?, which.after, limit).await.map_err(|error| Problem::internal(&error))?;
    let next = if letters.len() == limit as usize { letters.last().map(|letter| letter.id) } else { None };
    let totals = api.dead_letters.totals();
    Ok(Json(json!({
        "data": letters.iter().map(summary).collect::<Vec<_>>(),
        "meta": {"total": totals.letters, "bytes": totals.bytes, "count": letters.len(), "limit": limit},
        "links": {"next": next.map(|after| format!("/api/integration/dead-letters?limit={limit}&after={after}"))},
    })))
}

pub async fn show(State(api): State<Api>, Path(id): Path<i64>) -> Result<Json<Value>, Problem> {
    let letter = api.dead_letters.get(id).await.map_err(|error| Problem::internal(&error))?;
    let letter = letter.ok_or_else(|| Problem::not_found(format!("there is no dead letter {id}")))?;
    let mut data = summary(&letter);
    data["attempt_log"] = letter.attempt_log.iter().map(|attempt| json!({"at": rfc3339(attempt.at_ms), "code": attempt.code})).collect();
    // The original as text where it is text; it came in as JSON, which is.
    if let Some(event) = letter.event.as_deref().and_then(|stored| EventRef::new(stored).ok()) {
        data["original"] = String::from_utf8_lossy(event.original()).into();
    }
    Ok(Json(json!({"data": data})))
}

pub async fn purge(State(api): State<Api>, Json(which): Json<Which>) -> Result<Json<Value>, Problem> {
    let filter = which.explicit()?;
    let purged = api.dead_letters.delete(&filter).await.map_err(|error| Problem::internal(&error))?;
    tracing::warn!(purged, ?filter, "dead letters purged");
    Ok(Json(json!({"purged": purged})))
}

pub async fn replay(State(api): State<Api>, Json(which): Json<Which>) -> Result<(StatusCode, Json<Value>), Problem> {
    let filter = which.explicit()?;
    let lanes = api.delivery.status().into_iter().map(|lane| lane.lane).collect();
    let done = crate::replay::replay(&api.dead_letters, &api.journal, &api.clock, &lanes, &filter).await.map_err(|error| match error {
        ReplayError::Journal(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal", error.to_string()),
        ReplayError::Store(error) => Problem::internal(&error),
    })?;
    tracing::warn!(?done, ?filter, "dead letters handed to their lanes again");
    Ok((StatusCode::ACCEPTED, Json(json!({"replaying": done.events, "without_lane": done.without_lane, "unreadable": done.unreadable}))))
}

fn summary(letter: &DeadLetter) -> Value {
    let LaneId { instance, format } = &letter.lane;
    json!({
        "id": letter.id, "instance": &**instance, "format": &**format, "tenant": letter.tenant,
        "event_id": letter.event_id, "event_type": letter.event_type, "seq": letter.seq.0,
        "cause": letter.cause.name(), "reason": letter.reason, "attempts": letter.attempts,
        "received": rfc3339(letter.received_ms), "first_attempt": rfc3339(letter.first_ms), "last_attempt": rfc3339(letter.last_ms),
        "added": rfc3339(letter.added_ms), "connector": letter.connector, "bytes": letter.size,
    })
}
