//! Figures of instances by the hour and by the day.

use axum::Json;
use axum::extract::{Path, State};
use bulkhead_store::{Period, PeriodFilter, PeriodRow};
use serde_json::{Value, json};

use super::extract::{Words, percent};
use super::logs::{Listed, bounds, millis, page};
use super::problem::Problem;
use super::tap::fault;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::Section;

const PATH: &str = "/api/integration/metrics";

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Listed<Value>>, Problem> {
    words.known(&["instance", "period", "since", "until", "limit", "offset"])?;
    let instance = words.text("instance")?.map(str::to_owned);
    answer(&api, &view, PATH, instance, &words).await
}

pub async fn of_instance(State(api): State<Api>, view: View, Path(instance): Path<String>, words: Words) -> Result<Json<Listed<Value>>, Problem> {
    words.known(&["period", "since", "until", "limit", "offset"])?;
    let known = view.config.has(Section::Instances, &instance) && !view.hides_instance(&instance);
    let answer = answer(&api, &view, &format!("{PATH}/{}", percent(&instance)), Some(instance.clone()), &words).await?;
    if !known && answer.meta["total"] == 0 {
        return Err(Problem::not_found(format!("there is no instance `{}`, and there are no figures of one", instance.escape_default())));
    }
    Ok(answer)
}

async fn answer(api: &Api, view: &View, path: &str, instance: Option<String>, words: &Words) -> Result<Json<Listed<Value>>, Problem> {
    let bounds = bounds(words)?;
    let word = words.text("period")?.unwrap_or(Period::Hour.name());
    let period = Period::named(word).ok_or_else(|| fault("period", format!("`period` is `{}`; it must be hour or day", word.escape_default())))?;
    let filter =
        PeriodFilter { tenant: view.scope.name().map(str::to_owned), instance, period, since_ms: millis(words, "since")?, until_ms: millis(words, "until")? };
    // What was counted a moment ago belongs to it.
    // On a task of its own: what was counted is not lost with a client that goes away.
    let periods = api.periods.clone();
    tokio::spawn(async move { periods.flush().await }).await.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::unavailable(&error))?;
    let (rows, total) = api.periods.table().list(&filter, bounds.offset as u64, bounds.limit as u32).await.map_err(|error| Problem::unavailable(&error))?;
    Ok(Json(page(bounds, path, &words.query_without(&["limit", "offset"]), total, rows.iter().map(shown).collect())))
}

/// What nothing is known of is null, not zero.
#[expect(clippy::cast_precision_loss, reason = "for people, to three digits")]
fn shown(row: &PeriodRow) -> Value {
    let sums = &row.sums;
    let share = |part: i64, whole: i64, of: f64| (whole > 0).then(|| (part as f64 / whole as f64 * of * 1_000.0).round() / 1_000.0);
    json!({
        "instance": row.instance, "period": row.period.name(), "start": rfc3339(row.start_ms), "end": rfc3339(row.start_ms + row.period.ms()),
        "availability": share(sums.available, sums.looks, 100.0), "average_response_ms": share(sums.busy_us, sums.operations, 0.001),
        "error_rate": share(sums.failed, sums.operations, 100.0), "operations": sums.operations, "failed_operations": sums.failed,
        "bytes": sums.sent.saturating_add(sums.received), "bytes_sent": sums.sent, "bytes_received": sums.received,
        "api_calls": sums.api_calls, "throttling_events": sums.throttled,
    })
}
