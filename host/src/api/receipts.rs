//! Receipts of deliveries, and the trail of what people did; newest first.

use axum::Json;
use axum::extract::{Query, State};
use bulkhead_audit::{Filter, Outcome, TrailKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::extract::Words;
use super::problem::Problem;
use super::view::View;

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

pub async fn list(State(api): State<Api>, view: View, Query(which): Query<Which>) -> Result<Json<Value>, Problem> {
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
    utc("since", which.since.as_deref())?;
    utc("until", which.until.as_deref())?;
    let Which { instance, call, since, until, before, .. } = which;
    // Those of own instances, since they are its own.
    let own = |tenant: &str| api.control.ownership.of(tenant).into_iter().map(|(name, ms)| (name, super::rfc3339(ms).unwrap_or_default())).collect();
    let (tenant, instances) = (view.scope.name().map(str::to_owned), view.scope.name().map(own));
    let filter = Filter { tenant, instances, instance, kind: call, outcome, since, until, before, ..Filter::default() };
    if !view.scope.is_host() && filter.kind.as_deref().is_some_and(|kind| TrailKind::named(kind).is_some()) {
        // The trail has a list of its own, and marks of the chain are the host's.
        return page(&api, Filter { instances: Some(Default::default()), ..filter }, limit, String::new()).await;
    }
    page(&api, filter, limit, format!("/api/integration/audit/receipts?limit={limit}&")).await
}

/// What people, and rules of theirs, did; and who was not let through.
pub async fn trail(State(api): State<Api>, view: View, words: Words) -> Result<Json<Value>, Problem> {
    words.known(&["kind", "actor", "action", "since", "until", "before", "limit"])?;
    let text = |name: &str| words.text(name).map(|text| text.map(str::to_owned));
    let kind = text("kind")?;
    if let Some(unknown) = kind.as_ref().filter(|kind| TrailKind::named(kind).is_none()) {
        let known = TrailKind::ALL.map(TrailKind::name).join(", ");
        return Err(Problem::bad_request("unknown_kind", format!("there is no kind `{}`; known are {known}", unknown.escape_default())));
    }
    let (since, until) = (text("since")?, text("until")?);
    utc("since", since.as_deref())?;
    utc("until", until.as_deref())?;
    let before = words.number("before")?.map(|before| u64::try_from(before).map_err(|_| Problem::bad_request("bad_field", "`before` is less than 0")));
    let tenant = view.scope.name().map(str::to_owned);
    let filter =
        Filter { tenant, trail: true, kind, actor: text("actor")?, action: text("action")?, since, until, before: before.transpose()?, ..Filter::default() };
    page(&api, filter, words.limit()? as usize, format!("/api/integration/audit/trail?{}", words.query_without(&["before"]))).await
}

/// One page, newest first; `link` leads to the next one with `before` behind it.
async fn page(api: &Api, filter: Filter, limit: usize, link: String) -> Result<Json<Value>, Problem> {
    let Some(dir) = api.receipts.clone() else { return Err(Problem::not_found("no receipts are kept, and no trail with them (`audit.receipts`)")) };
    // A page may take reading whole files.
    let found = tokio::task::spawn_blocking(move || bulkhead_audit::list(&dir, &filter, limit)).await;
    let data = found.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
    let next = if data.len() == limit { data.last().and_then(|record| record.get("n")?.as_u64()) } else { None };
    Ok(Json(json!({
        "meta": {"count": data.len(), "limit": limit},
        "links": {"next": next.map(|before| format!("{link}before={before}"))},
        "data": data,
    })))
}

fn utc(name: &str, text: Option<&str>) -> Result<(), Problem> {
    let utc = |text: &str| text.ends_with('Z') && time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok();
    match text.filter(|text| !utc(text)) {
        None => Ok(()),
        Some(text) => Err(Problem::bad_request("bad_time", format!("`{name}` is no RFC 3339 time in UTC: `{}`", text.escape_default()))),
    }
}
