//! Dead letters: list, show, edit, replay, purge.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use bulkhead_core::{EventRef, LaneId};
use bulkhead_store::{By, Cause, DeadLetter, DeadLetterFilter, Edited, State as LetterState};
use serde_json::{Value, json};

use super::Api;
use super::extract::{Id, Words};
use super::problem::Problem;
use super::rfc3339;
use super::view::View;
use crate::replay::edit::{self, EditFault, NewEvent};
use crate::replay::{MOST, ReplayError};
use crate::trail::Note;

/// Ids that one request names.
const MOST_IDS: usize = 1_000;
const FILTERS: [&str; 12] = ["id", "lane", "instance", "format", "cause", "type", "event_id", "since", "until", "state", "limit", "after"];
const CHANGES: [&str; 12] = ["id", "lane", "instance", "format", "cause", "type", "event_id", "since", "until", "state", "all", "after"];

/// Which letters; no condition means all.
fn filter(words: &Words) -> Result<DeadLetterFilter, Problem> {
    let mut ids = Vec::new();
    for word in words.list("id")? {
        match word.parse() {
            Ok(id) if id > 0 => ids.push(id),
            _ => return Err(Problem::bad_request("bad_id", format!("`{}` is no id: ids are whole numbers from 1", word.escape_default()))),
        }
    }
    if ids.len() > MOST_IDS {
        return Err(Problem::bad_request("too_many_ids", format!("{} ids; one request names at most {MOST_IDS}", ids.len())));
    }
    let (mut instance, mut format) = (words.text("instance")?.map(str::to_owned), words.text("format")?.map(str::to_owned));
    if let Some(lane) = words.text("lane")? {
        let lane = super::lane_id(lane)?;
        let other = |given: &Option<String>, own: &str| given.as_deref().is_some_and(|given| given != own);
        if other(&instance, &lane.instance) || other(&format, &lane.format) {
            return Err(Problem::bad_request("bad_field", "`lane` names another instance or format than `instance` and `format` do: no letter is of both"));
        }
        (instance, format) = (Some(lane.instance.to_string()), Some(lane.format.to_string()));
    }
    let mut causes = Vec::new();
    for word in words.list("cause")? {
        let named = Cause::named(&word);
        if named.is_empty() {
            let known: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
            let detail = format!("there is no cause `{}`; known are {}, and the classes transient, permanent, guest", word.escape_default(), known.join(", "));
            return Err(Problem::bad_request("unknown_cause", detail));
        }
        causes.extend(named);
    }
    let state = |word: String| {
        LetterState::from_name(&word).ok_or_else(|| {
            let known = LetterState::ALL.map(LetterState::name).join(", ");
            Problem::bad_request("unknown_state", format!("there is no state `{}`; known are {known}", word.escape_default()))
        })
    };
    let ms = |nanos: u64| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
    Ok(DeadLetterFilter {
        ids,
        instance,
        format,
        causes,
        states: words.list("state")?.into_iter().map(state).collect::<Result<_, _>>()?,
        event_type: words.text("type")?.map(str::to_owned),
        event_id: words.text("event_id")?.map(str::to_owned),
        since_ms: words.time("since")?.map(ms),
        until_ms: words.time("until")?.map(ms),
        ..DeadLetterFilter::default()
    })
}

/// For what changes things: a filter, or the explicit wish for all.
fn explicit(body: &Bytes) -> Result<(DeadLetterFilter, Option<i64>), Problem> {
    let words = Words::body(body)?;
    words.known(&CHANGES)?;
    let filter = filter(&words)?;
    if filter == DeadLetterFilter::default() && !words.flag("all")? {
        return Err(Problem::bad_request("all_not_said", "this would take every dead letter; say `all=true` or name an id, lane, cause, type or time"));
    }
    Ok((filter, words.number("after")?))
}

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Value>, Problem> {
    words.known(&FILTERS)?;
    let (limit, filter) = (words.limit()?, view.letters(filter(&words)?));
    settle(&api).await;
    let letters = api.dead_letters.list(&filter, words.number("after")?, limit).await.map_err(|error| Problem::internal(&error))?;
    let total = api.dead_letters.count(&filter).await.map_err(|error| Problem::internal(&error))?;
    let next = if letters.len() == limit as usize { letters.last().map(|letter| letter.id) } else { None };
    let more = words.query_without(&["after"]);
    Ok(Json(json!({
        "data": letters.iter().map(summary).collect::<Vec<_>>(),
        // Of those that match, and the bytes of all.
        "meta": {"total": total, "bytes": bytes(&api, &view).await?, "count": letters.len(), "limit": limit},
        "links": {"next": next.map(|after| format!("/api/integration/dead-letters?{more}after={after}"))},
    })))
}

/// Of all letters that somebody sees.
async fn bytes(api: &Api, view: &View) -> Result<u64, Problem> {
    if view.scope.is_host() {
        return Ok(api.dead_letters.totals().bytes);
    }
    let totals = api.dead_letters.totals_of(&view.letters(DeadLetterFilter::default())).await;
    totals.map(|(_, bytes)| bytes).map_err(|error| Problem::internal(&error))
}

pub async fn show(State(api): State<Api>, view: View, Id(id): Id) -> Result<Json<Value>, Problem> {
    settle(&api).await;
    Ok(Json(json!({"data": whole(&letter(&api, &view, id).await?)})))
}

/// `PUT`: the whole event. `PATCH`: a JSON merge patch (RFC 7396).
pub async fn replace(State(api): State<Api>, view: View, Id(id): Id, body: Bytes) -> Result<Json<Value>, Problem> {
    edited(&api, &view, id, |letter, strict| edit::replace(letter, &body, strict)).await
}

pub async fn patch(State(api): State<Api>, view: View, Id(id): Id, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !["application/merge-patch+json", "application/json"].contains(&media) {
        let detail = "a change is a JSON merge patch (RFC 7396) of type application/merge-patch+json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    edited(&api, &view, id, |letter, strict| edit::change(letter, &body, strict)).await
}

async fn edited(api: &Api, view: &View, id: i64, make: impl FnOnce(&DeadLetter, bool) -> Result<NewEvent, EditFault>) -> Result<Json<Value>, Problem> {
    settle(api).await;
    let before = letter(api, view, id).await?;
    if before.state != LetterState::Open {
        return Err(not_open(id, before.state));
    }
    let event = make(&before, api.strict).map_err(|fault| {
        let problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_event", format!("this cannot stand in for the event of letter {id}: {}", fault.reason));
        match fault.pointer {
            Some(pointer) => problem.errors(vec![json!({"pointer": pointer, "reason": fault.reason})]),
            None => problem,
        }
    })?;
    let now_ms = api.clock.unix_ms();
    match api.dead_letters.edit(id, &event.stored, &event.event_type, now_ms).await {
        Ok(Edited::Done) => {}
        Ok(Edited::Missing) => return Err(missing(id)),
        Ok(Edited::Is(state)) => return Err(not_open(id, state)),
        Err(error) if error.is_full() => return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "dead_letters_full", error.to_string())),
        Err(error) => return Err(Problem::internal(&error)),
    }
    api.trail.act("dead_letters.edit", json!({"letter": id, "event_id": before.event_id, "lane": before.lane.to_string()})).await;
    Ok(Json(json!({"data": whole(&letter(api, view, id).await?)})))
}

pub async fn purge(State(api): State<Api>, view: View, Extension(note): Extension<Note>, body: Bytes) -> Result<Json<Value>, Problem> {
    let (filter, after) = explicit(&body)?;
    let mut filter = view.letters(filter);
    if after.is_some() {
        return Err(Problem::bad_request("bad_field", "`after` goes with a replay"));
    }
    settle(&api).await;
    if filter.states.contains(&LetterState::Replaying) {
        return Err(Problem::bad_request("on_its_way", "letters on their way to their lanes are not purged: they go when they are delivered"));
    }
    let under_way = DeadLetterFilter { states: vec![LetterState::Replaying], ..filter.clone() };
    let under_way = api.dead_letters.count(&under_way).await.map_err(|error| Problem::internal(&error))?;
    if filter.states.is_empty() {
        filter.states = vec![LetterState::Open, LetterState::Delivered];
    }
    let purged = api.dead_letters.delete(&filter).await.map_err(|error| Problem::internal(&error))?;
    api.metrics.letters_dropped("purge").inc_by(purged);
    note.after(json!({"purged": purged, "which": said(&filter)}));
    api.trail.act("dead_letters.purge", json!({"letters": purged, "which": said(&filter)})).await;
    Ok(Json(json!({"purged": purged, "replaying": under_way})))
}

pub async fn replay(State(api): State<Api>, view: View, Extension(note): Extension<Note>, body: Bytes) -> Result<(StatusCode, Json<Value>), Problem> {
    let (filter, after) = explicit(&body)?;
    let filter = view.letters(filter);
    if filter.states.iter().any(|state| *state != LetterState::Open) {
        return Err(Problem::bad_request("bad_field", "only open letters are handed back; leave `state` out"));
    }
    note.after(json!({"which": said(&filter)}));
    settle(&api).await;
    let under_way = DeadLetterFilter { states: vec![LetterState::Replaying], ..filter.clone() };
    let under_way = api.dead_letters.count(&under_way).await.map_err(|error| Problem::internal(&error))?;
    // Letters of an instance that is somebody else's by now stay.
    let mut lanes = api.delivery.owned_lanes();
    lanes.retain(|_, owner| view.scope.name().is_none_or(|tenant| **owner == *tenant));
    let done = api.replayer.replay(lanes, filter, By::Manual, after).await.map_err(|error| match error {
        ReplayError::Journal(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal", error.to_string()).retry_after(1),
        ReplayError::Store(error) => Problem::internal(&error),
    })?;
    let answer = json!({
        "replaying": done.events, "without_lane": done.without_lane, "unreadable": done.unreadable,
        // Handed over before, and not delivered yet.
        "under_way": under_way,
        "more": done.more, "most": MOST, "after": done.last,
    });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// What lanes have delivered meanwhile is gone, or marked so. A failure shows in what is asked next.
async fn settle(api: &Api) {
    if let Err(error) = api.replayer.look().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "replayed dead letters not looked at");
    }
}

async fn letter(api: &Api, view: &View, id: i64) -> Result<DeadLetter, Problem> {
    let found = api.dead_letters.get(id).await.map_err(|error| Problem::internal(&error))?;
    found.filter(|letter| view.sees_letter(letter)).ok_or_else(|| missing(id))
}

fn missing(id: i64) -> Problem {
    Problem::not_found(format!("there is no dead letter {id}"))
}

fn not_open(id: i64, state: LetterState) -> Problem {
    let why = match state {
        LetterState::Replaying => "it is on its way to its lane",
        _ => "it was replayed and delivered",
    };
    Problem::new(StatusCode::CONFLICT, "not_open", format!("letter {id} cannot be edited: {why}"))
}

fn summary(letter: &DeadLetter) -> Value {
    let LaneId { instance, format } = &letter.lane;
    json!({
        "id": letter.id, "lane": letter.lane.to_string(), "instance": &**instance, "format": &**format, "tenant": letter.tenant,
        "event_id": letter.event_id, "event_type": letter.event_type, "seq": letter.seq.0,
        "cause": letter.cause.name(), "class": letter.cause.class(), "reason": letter.reason, "attempts": letter.attempts,
        "received": rfc3339(letter.received_ms), "first_attempt": rfc3339(letter.first_ms), "last_attempt": rfc3339(letter.last_ms),
        "added": rfc3339(letter.added_ms), "connector": letter.connector, "bytes": letter.size,
        "state": letter.state.name(), "replays": letter.replays, "retries": letter.retries,
        "edited": letter.edited_ms.and_then(rfc3339),
    })
}

fn whole(letter: &DeadLetter) -> Value {
    let mut data = summary(letter);
    data["attempt_log"] = letter.attempt_log.iter().map(|attempt| json!({"at": rfc3339(attempt.at_ms), "code": attempt.code})).collect();
    data["replayed_as"] = letter.replay_seq.map(|seq| seq.0).into();
    // As text where it is text; what came in as JSON is.
    let text = |stored: Option<&[u8]>| stored.and_then(|stored| EventRef::new(stored).ok()).map(|event| String::from_utf8_lossy(event.original()).into_owned());
    let (now, received) = (text(letter.event.as_deref()), text(letter.received.as_deref()));
    match received {
        Some(received) => (data["original"], data["replacement"]) = (received.into(), now.into()),
        None => data["original"] = now.into(),
    }
    data
}

/// A filter for the record: no values of events but the id that was asked for.
fn said(filter: &DeadLetterFilter) -> Value {
    let mut said = json!({});
    if !filter.ids.is_empty() {
        // A line of the record has a bound.
        said["ids"] = filter.ids.iter().take(100).copied().collect::<Vec<_>>().into();
        said["count"] = filter.ids.len().into();
    }
    for (name, value) in [("instance", &filter.instance), ("format", &filter.format), ("type", &filter.event_type), ("event_id", &filter.event_id)] {
        if let Some(value) = value {
            said[name] = value.chars().take(256).collect::<String>().into();
        }
    }
    if !filter.causes.is_empty() {
        said["causes"] = filter.causes.iter().map(|cause| cause.name()).collect();
    }
    for (name, ms) in [("since", filter.since_ms), ("until", filter.until_ms)] {
        if let Some(ms) = ms {
            said[name] = rfc3339(ms).into();
        }
    }
    said
}
