//! Events: looked up in the index, and posted one by one. A posted event goes the way of all others: it is on disk
//! before it is answered.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulkhead_core::{EventRef, LaneId, Seq};
use bulkhead_ingest::{BodyFault, Bounds, Media, Normaliser, Rules, read_events};
use bulkhead_journal::{AppendBatch, AppendError, Durability};
use bulkhead_store::{DeadLetter, DeadLetterFilter, EventFilter, IndexedEvent, OF_HOST, State as LetterState};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::extract::{Words, percent};
use super::logs::{Listed, bounds, millis, page};
use super::problem::Problem;
use super::tap::{fault, severity};
use super::view::View;
use super::{Api, rfc3339};
use crate::observed::index::Index;
use crate::observed::shown;
use crate::trail::Note;

const PATH: &str = "/api/v2/events";
/// Types and severities that one question may name.
const MOST_VALUES: usize = 64;
/// Bytes of an id.
const MOST_ID: usize = 1 << 10;
/// Dead letters that are looked through for one event and lane.
const LETTERS: u32 = 16;

/// An event of the index. Its attributes and its body are the text that was indexed: digits stay as they are.
#[derive(Serialize)]
pub struct Shown {
    id: String,
    source: String,
    tenant: Option<String>,
    event_type: String,
    severity: String,
    time: Option<String>,
    received: Option<String>,
    source_ip: Option<String>,
    seq: i64,
    attributes: Option<Box<RawValue>>,
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<Vec<Value>>,
}

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Listed<Shown>>, Problem> {
    let index = index(&api)?;
    words.known(&["limit", "offset", "start_time", "end_time", "severity", "source_ip", "event_type"])?;
    let bounds = bounds(&words)?;
    let (types, severities) = (words.list("event_type")?, words.list("severity")?);
    if types.len().max(severities.len()) > MOST_VALUES {
        return Err(fault("event_type", format!("at most {MOST_VALUES} values are taken at once")));
    }
    let address = |text: &str| {
        let address = text.parse::<std::net::IpAddr>();
        address
            .map(|ip| ip.to_canonical().to_string())
            .map_err(|_| fault("source_ip", "`source_ip` is an address of IPv4 or IPv6, such as 192.0.2.1 or 2001:db8::1"))
    };
    let filter = EventFilter {
        tenant: view.scope.name().map(str::to_owned),
        types,
        severities: severities.iter().map(|word| severity(word).map(|known| known.name().to_owned())).collect::<Result<_, _>>()?,
        source_ip: words.text("source_ip")?.map(address).transpose()?,
        since_ms: millis(&words, "start_time")?,
        until_ms: millis(&words, "end_time")?,
    };
    let (events, total) = index.table.list(&filter, bounds.offset as u64, bounds.limit as u32).await.map_err(|error| Problem::unavailable(&error))?;
    let query = words.query_without(&["limit", "offset"]);
    let mut answer = page(bounds, PATH, &query, total, events.into_iter().map(shown_event).collect());
    answer.meta["total_is_at_least"] = (total >= bulkhead_store::MOST_COUNTED).into();
    answer.meta["index"] = if view.scope.is_host() { status(index) } else { Value::Null };
    Ok(Json(answer))
}

pub async fn show(State(api): State<Api>, view: View, Path(id): Path<String>) -> Result<Json<One<Shown>>, Problem> {
    let index = index(&api)?;
    if id.len() > MOST_ID {
        return Err(Problem::bad_request("bad_id", format!("an id has at most {MOST_ID} bytes")));
    }
    let found = index.table.get(&id, view.scope.name()).await.map_err(|error| Problem::unavailable(&error))?;
    let event = found.ok_or_else(|| {
        // How much others sent is not a tenant's to see.
        let behind = if view.scope.is_host() { index.status().behind } else { 0 };
        let late = if behind > 0 { format!("; the index is {behind} events behind") } else { String::new() };
        Problem::not_found(format!("there is no event `{}` in the index{late}", id.escape_default()))
    })?;
    let deliveries = Some(deliveries(&api, &view, index, &event).await?);
    Ok(Json(One { data: Shown { deliveries, ..shown_event(event) }, links: json!({"self": format!("{PATH}/{}", percent(&id))}) }))
}

/// One thing, and where it is.
#[derive(Serialize)]
pub struct One<T> {
    data: T,
    links: Value,
}

/// What was posted, as it may be shown.
#[derive(Serialize)]
struct Posted<'a> {
    id: &'a str,
    attributes: Option<Box<RawValue>>,
    body: Option<Box<RawValue>>,
}

/// One event; on disk when 201 is answered, or 200 where it was there before (`journal.dedup_window`).
pub async fn post(State(api): State<Api>, view: View, Extension(note): Extension<Note>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = Media::from_content_type(declared).filter(|media| matches!(media, Media::Json | Media::CloudEvent)).ok_or_else(|| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            "one event is application/json or application/cloudevents+json; many go to the intake listener",
        )
    })?;
    let mut batch = AppendBatch::new();
    // What somebody of a tenant posts is its own.
    let rules = Rules { tenant: view.config.data_tenant(view.scope.tenant()), ..view.config.http.rules.clone() };
    let mut normaliser = Normaliser::new(rules);
    let summary = read_events(&mut normaliser, &media, &body, api.clock.unix_nanos(), Bounds { events: 1 }, &mut batch).map_err(|fault| match fault {
        BodyFault::Empty => Problem::bad_request("no_event", fault.to_string()),
        BodyFault::TooManyEvents { .. } => Problem::bad_request("one_event", "the body holds more than one event; many go to the intake listener"),
    })?;
    if summary.faulty > 0 || batch.len() != 1 {
        let errors = summary.listed.iter().map(|listed| json!({"pointer": listed.fault.pointer, "detail": listed.fault.reason})).collect();
        return Err(Problem::bad_request("invalid_event", "the event cannot be taken").errors(errors));
    }
    let stored = batch.stored(0).unwrap_or_default().to_vec();
    let event = EventRef::new(&stored).map_err(|error| Problem::internal(&error))?;
    let repeated = api.gate.append(batch, Durability::Fsync).await.map_err(refused)?;
    let seen = api.guise.see(&event, |event| (event.id().into_owned(), format!("{{{}}}", shown::attributes(event)), shown::body(event).ok()));
    let (id, attributes, body) = seen.unwrap_or_default();
    note.object(format!("events/{id}"));
    let (status, counter) = if repeated == 0 { (StatusCode::CREATED, api.metrics.accepted("api")) } else { (StatusCode::OK, api.metrics.duplicates("api")) };
    counter.inc();
    let place = format!("{PATH}/{}", percent(&id));
    let data = Posted { id: &id, attributes: raw(attributes), body: body.and_then(raw) };
    let mut response = (status, Json(One { data, links: json!({"self": place}) })).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Why an event was not kept, in the words and with the waits of the intake listener.
fn refused(error: AppendError) -> Problem {
    match &error {
        AppendError::Full { .. } => Problem::new(StatusCode::TOO_MANY_REQUESTS, "journal_full", error.to_string()).retry_after(5),
        AppendError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error.to_string()),
        AppendError::Empty => Problem::bad_request("no_event", error.to_string()),
        AppendError::DiskFull { .. } | AppendError::Closed | AppendError::Sync { .. } | AppendError::Io { .. } => Problem::unavailable(&error),
    }
}

pub fn index(api: &Api) -> Result<&Index, Problem> {
    api.index.as_deref().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "event_index_off",
            "events are not indexed here; set `event_index: {enabled: true}` and restart the host to look them up",
        )
    })
}

/// How far the index is.
pub fn status(index: &Index) -> Value {
    let status = index.status();
    json!({"events": status.events, "behind": status.behind, "missed": status.missed, "error": status.error})
}

fn shown_event(event: IndexedEvent) -> Shown {
    Shown {
        id: event.event_id,
        source: event.source,
        tenant: Some(event.tenant).filter(|tenant| !tenant.is_empty() && tenant != OF_HOST),
        event_type: event.event_type,
        severity: event.severity,
        time: rfc3339(event.time_ms),
        received: rfc3339(event.received_ms),
        source_ip: event.source_ip,
        seq: event.seq,
        attributes: raw(event.attributes),
        body: event.body.and_then(raw),
        deliveries: None,
    }
}

/// JSON that the host has written.
fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

/// What became of an event in each lane that it was for, as far as that is known.
async fn deliveries(api: &Api, view: &View, index: &Index, event: &IndexedEvent) -> Result<Vec<Value>, Problem> {
    let lanes: Vec<String> = serde_json::from_str(&event.lanes).unwrap_or_default();
    let mut deliveries = Vec::with_capacity(lanes.len());
    for name in &lanes {
        let Some((instance, format)) = name.rsplit_once('/') else { continue };
        if !view.scope.is_host() && view.hides_instance(instance) {
            continue;
        }
        let lane = LaneId::new(instance, format);
        let mut delivery = json!({"instance": instance, "format": format});
        let about = if index.is_own(event) { delivery_of(api, &lane, event).await? } else { json!({"state": "unknown"}) };
        if let (Some(delivery), Value::Object(about)) = (delivery.as_object_mut(), about) {
            delivery.extend(about);
        }
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

async fn delivery_of(api: &Api, lane: &LaneId, event: &IndexedEvent) -> Result<Value, Problem> {
    if let Some(letter) = letter(api, lane, event).await? {
        let state = match letter.state {
            LetterState::Open => "rejected",
            LetterState::Replaying => "retrying",
            LetterState::Delivered => "delivered",
        };
        return Ok(json!({
            "state": state, "attempts": letter.attempts, "dead_letter": letter.id, "cause": letter.cause.name(), "reason": letter.reason,
            "last_attempt": rfc3339(letter.last_ms),
        }));
    }
    let (name, seq) = (lane.to_string(), Seq(event.seq.cast_unsigned()));
    if let Some(retry) = api.journal.lane_retry(&name, seq) {
        let next = i64::try_from(retry.due_ms).ok().and_then(rfc3339);
        return Ok(json!({"state": "retrying", "attempts": retry.attempts, "next_attempt": next}));
    }
    let config = api.control.config();
    let filtered = config.instances.iter().any(|known| *known.name == *lane.instance && !known.filters.is_empty());
    let state = match api.journal.lane_settled(&name, seq) {
        // A filter of the instance may have held it back: the lane does not remember which.
        Some(true) if filtered => "settled",
        Some(true) => "delivered",
        Some(false) => "pending",
        None => "unknown",
    };
    Ok(json!({"state": state}))
}

/// The event's letter of this lane: by its place in the journal, since its id may be sealed.
async fn letter(api: &Api, lane: &LaneId, event: &IndexedEvent) -> Result<Option<DeadLetter>, Problem> {
    let filter = DeadLetterFilter {
        instance: Some(lane.instance.to_string()),
        format: Some(lane.format.to_string()),
        seq: Some(event.seq),
        ..DeadLetterFilter::default()
    };
    let letters = api.dead_letters.list(&filter, None, LETTERS).await.map_err(|error| Problem::unavailable(&error))?;
    Ok(letters.into_iter().next())
}
