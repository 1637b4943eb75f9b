//! Lanes that are read again: begin, count, look, cancel.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use bulkhead_store::LaneReplay;
use serde_json::{Value, json};

use super::Api;
use super::extract::{Id, Words};
use super::problem::Problem;
use super::view::View;
use super::{lane_id, rfc3339};
use crate::replay::lane::{Refused, Since};
use crate::trail::Note;

/// Lanes that a refusal names.
const NAMED: usize = 20;

pub async fn begin(State(api): State<Api>, view: View, Extension(note): Extension<Note>, body: Bytes) -> Result<(StatusCode, Json<Value>), Problem> {
    let words = Words::body(&body)?;
    words.known(&["lane", "since", "until", "dry_run"])?;
    let Some(lane) = words.text("lane")? else { return Err(Problem::bad_request("missing_field", "`lane` is missing: instance/format")) };
    let lane = lane_id(lane)?;
    let refused = |error| refused(&api, &view, error);
    let since = match words.text("since")? {
        None => return Err(Problem::bad_request("missing_field", "`since` is missing: an RFC 3339 time, or `beginning` for all that is there")),
        Some("beginning") => Since::Beginning,
        Some(_) => Since::Time(words.time("since")?.unwrap_or_default()),
    };
    let until = words.time("until")?;
    if view.hides_instance(&lane.instance) {
        return Err(refused(Refused::UnknownLane(lane)));
    }
    if words.flag("dry_run")? {
        let (asked, counted) = api.lane_replays.count(lane, since, until).await.map_err(refused)?;
        let data = json!({
            "lane": asked.lane.to_string(), "since": nanos(asked.since), "until": nanos(asked.until),
            "first": asked.first.0, "last": asked.last.0,
            "events": counted.events, "bytes": counted.bytes, "lost": counted.lost,
            "counted_all": counted.whole, "counted_until": nanos(counted.until),
        });
        return Ok((StatusCode::OK, Json(json!({"data": data, "dry_run": true}))));
    }
    let replay = api.lane_replays.begin(lane, since, until).await.map_err(refused)?;
    note.object(format!("replays/{}", replay.id))
        .after(json!({"lane": replay.asked.lane.to_string(), "first": replay.asked.first.0, "last": replay.asked.last.0}));
    Ok((StatusCode::ACCEPTED, Json(json!({"data": shown(&replay)}))))
}

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Value>, Problem> {
    words.known(&["limit", "before"])?;
    let limit = words.limit()?;
    let replays =
        api.lane_replays.replays.list_of(view.scope.name(), false, words.number("before")?, limit).await.map_err(|error| Problem::internal(&error))?;
    let next = if replays.len() == limit as usize { replays.last().map(|replay| replay.id) } else { None };
    Ok(Json(json!({
        "data": replays.iter().map(shown).collect::<Vec<_>>(),
        "meta": {"count": replays.len(), "limit": limit},
        "links": {"next": next.map(|before| format!("/api/integration/replays?limit={limit}&before={before}"))},
    })))
}

/// One that the caller sees.
async fn find(api: &Api, view: &View, id: i64) -> Result<Option<LaneReplay>, Problem> {
    let replay = api.lane_replays.replays.get(id).await.map_err(|error| Problem::internal(&error))?;
    Ok(replay.filter(|replay| view.scope.name().is_none_or(|tenant| replay.asked.owner == tenant)))
}

pub async fn show(State(api): State<Api>, view: View, Id(id): Id) -> Result<Json<Value>, Problem> {
    find(&api, &view, id).await?.map(|replay| Json(json!({"data": shown(&replay)}))).ok_or_else(|| Problem::not_found(format!("there is no replay {id}")))
}

pub async fn cancel(State(api): State<Api>, view: View, id: Id) -> Result<Json<Value>, Problem> {
    let number = id.0;
    let seen = find(&api, &view, number).await?.is_some();
    if seen && api.lane_replays.cancel(number).await.map_err(|error| Problem::internal(&error))? {
        return show(State(api), view, id).await;
    }
    match find(&api, &view, number).await? {
        None => Err(Problem::not_found(format!("there is no replay {number}"))),
        Some(replay) => Err(Problem::new(StatusCode::CONFLICT, "ended", format!("replay {number} has ended: {}", replay.state.name()))),
    }
}

fn refused(api: &Api, view: &View, error: Refused) -> Problem {
    match error {
        Refused::UnknownLane(lane) => {
            let mut lanes = api.delivery.lanes();
            lanes.retain(|lane| view.scope.is_host() || !view.hides_instance(&lane.instance));
            let mut named: Vec<String> = lanes.iter().take(NAMED).map(ToString::to_string).collect();
            if lanes.len() > NAMED {
                named.push("…".into());
            }
            Problem::not_found(format!("there is no lane `{}`; there are {}", lane.to_string().escape_default(), named.join(", ")))
        }
        Refused::Future { .. } => Problem::bad_request("future_time", error.to_string()),
        Refused::Empty => Problem::bad_request("empty_range", error.to_string()),
        Refused::Gone { oldest } => {
            let oldest = nanos(oldest).unwrap_or_default();
            let detail = format!(
                "the journal reaches back to {oldest}; what was accepted before it was settled by every lane and deleted. \
                 Begin there (`since` {oldest}, or `beginning`), and set `journal.keep` to keep more from now on"
            );
            Problem::new(StatusCode::CONFLICT, "gone", detail).errors(vec![json!({"oldest": oldest})])
        }
        Refused::Lane(_) => Problem::new(StatusCode::CONFLICT, "replay_running", error.to_string()),
        Refused::Busy => Problem::new(StatusCode::TOO_MANY_REQUESTS, "replays_running", error.to_string()).retry_after(10),
        Refused::Store(error) => Problem::internal(&error),
        Refused::Broken => Problem::internal(&error),
    }
}

fn shown(replay: &LaneReplay) -> Value {
    json!({
        "id": replay.id, "lane": replay.asked.lane.to_string(), "state": replay.state.name(), "by": "manual",
        "since": nanos(replay.asked.since), "until": nanos(replay.asked.until),
        "first": replay.asked.first.0, "last": replay.asked.last.0, "next": replay.next.0,
        "events": replay.events, "lost": replay.lost,
        "reason": if replay.reason.is_empty() { None } else { Some(&replay.reason) },
        "begun": rfc3339(replay.asked.begun_ms), "ended": replay.ended_ms.and_then(rfc3339),
    })
}

/// To the nanosecond, so that it can be given back as it is.
fn nanos(time: u64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(time)).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}
