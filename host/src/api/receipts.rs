//! Receipts of deliveries, newest first.

use axum::Json;
use axum::extract::{Query, State};
use bulkhead_audit::{Filter, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;

/// Which receipts; no condition means all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    instance: Option<String>,
    call: Option<String>,
    outcome: Option<String>,
    /// RFC 3339 in UTC.
    since: Option<String>,
    until: Option<String>,
    /// Number of the last record of the page before.
    before: Option<u64>,
    /// Receipts of one page, 1 to 1,000.
    limit: Option<usize>,
}

pub async fn list(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Value>, Problem> {
    let limit = which.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("bad_limit", format!("`limit` is {limit}; it must be 1 to 1000")));
    }
    let outcome = match &which.outcome {
        None => None,
        Some(name) => Some(Outcome::named(name).ok_or_else(|| {
            let known = Outcome::ALL.map(Outcome::name).join(", ");
            Problem::bad_request("unknown_outcome", format!("there is no outcome `{}`; known are {known}", name.escape_default()))
        })?),
    };
    for (name, time) in [("since", &which.since), ("until", &which.until)] {
        let utc = |text: &String| text.ends_with('Z') && time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok();
        if let Some(text) = time.as_ref().filter(|text| !utc(text)) {
            return Err(Problem::bad_request("bad_time", format!("`{name}` is no RFC 3339 time in UTC: `{}`", text.escape_default())));
        }
    }
    let Some(dir) = api.receipts.clone() else { return Err(Problem::not_found("no receipts are kept (`audit.receipts`)")) };
    let Which { instance, call, since, until, before, .. } = which;
    let filter = Filter { instance, kind: call, outcome, since, until, before };
    // A page may take reading whole files.
    let found = tokio::task::spawn_blocking(move || bulkhead_audit::list(&dir, &filter, limit)).await;
    let data = found.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
    let next = if data.len() == limit { data.last().and_then(|record| record.get("n")?.as_u64()) } else { None };
    Ok(Json(json!({
        "meta": {"count": data.len(), "limit": limit},
        "links": {"next": next.map(|before| format!("/api/integration/audit/receipts?limit={limit}&before={before}"))},
        "data": data,
    })))
}
