//! Managed webhooks: entries like others, but for the secret, which the host makes and shows once; deliveries, tests,
//! replays.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_core::LaneId;
use bulkhead_deliver::LaneStatus;
use bulkhead_store::{DeadLetterFilter, DeliveryStatus, WebhookDelivery, WebhookState};
use serde_json::{Value, json};

use super::entries::{self, Answer, Definition, How, New, Shown, edit, if_match, read, refused, unknown};
use super::extract::Words;
use super::lanes::{by_instance, lane};
use super::page::Page;
use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::{Config, Section, Webhook, webhook_instance};
use crate::pipeline::stored::{Edit, To};
use crate::trail::Note;
use crate::webhooks::{self, OnceError};

const SECTION: Section = Section::Webhooks;
const PATH: &str = "/api/integration/webhooks";
/// A day: how long a former secret signs beside the new one where nothing is said.
const OVERLAP: i64 = 24 * 3_600;
const LONGEST_OVERLAP: i64 = 30 * 24 * 3_600;

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let bounds = page.bounds()?;
    let (shown, fares) = (Shown::of(&api, &view, SECTION), Fares::of(&api).await?);
    Ok(bounds.answer(PATH, &shown.names(), |name| fares.with(name, shown.entry(name).unwrap_or_default())))
}

pub async fn show(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Answer, Problem> {
    let data = Shown::of(&api, &view, SECTION).entry(&name).ok_or_else(|| unknown(SECTION, &name))?;
    Ok(Answer::of(SECTION, &name, Fares::of(&api).await?.with(&name, data)))
}

/// How webhooks fare.
struct Fares<'a> {
    api: &'a Api,
    config: Arc<Config>,
    lanes: HashMap<Arc<str>, Vec<LaneStatus>>,
    states: HashMap<String, WebhookState>,
}

impl<'a> Fares<'a> {
    async fn of(api: &'a Api) -> Result<Self, Problem> {
        let states = api.once.deliveries.states().await.map_err(|error| Problem::unavailable(&error))?;
        Ok(Self { api, config: api.control.config(), lanes: by_instance(api), states })
    }

    fn with(&self, name: &str, mut shown: Value) -> Value {
        let instance = webhook_instance(name);
        let lanes = self.lanes.get(instance.as_str()).map(Vec::as_slice).unwrap_or_default();
        let enabled = self.config.webhooks.iter().any(|webhook| webhook.name == name && webhook.enabled);
        let status = match (enabled, self.api.control.stored.is_inactive(&instance)) {
            (false, _) => "disabled",
            (true, true) => "paused",
            _ if lanes.iter().any(|lane| lane.held.is_some()) => "error",
            _ => "active",
        };
        let state = self.states.get(name).copied().unwrap_or_default();
        shown["status"] = status.into();
        shown["failing_since"] = state.failing_since_ms.and_then(rfc3339).into();
        shown["last_success_at"] = state.last_success_ms.and_then(rfc3339).into();
        shown["lanes"] = lanes.iter().map(lane).collect();
        shown
    }
}

pub async fn make(State(api): State<Api>, view: View, Query(how): Query<How>, Extension(note): Extension<Note>, body: Bytes) -> Result<Response, Problem> {
    let New { name, mut definition } = read(&body)?;
    let secret = own_secret(&mut definition);
    let answer = edit(&api, &view, Edit { section: SECTION, name, to: To::Make(definition), of_version: None }, &note, &how).await?;
    Ok(with_secret(answer, secret.filter(|_| !how.dry_run)))
}

pub async fn put(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Query(how): Query<How>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Definition { mut definition } = read(&body)?;
    let of_version = if_match(&headers)?;
    // What is hidden is not there: the change itself says so.
    let seen = !view.hides(&api, SECTION, &name) && !view.hides_stored(&api, SECTION, &name);
    let before = api.control.stored.get(SECTION, &name).filter(|_| seen);
    let secret = match &before {
        Some(before) => {
            keep(&mut definition, &before.definition);
            None
        }
        None => own_secret(&mut definition),
    };
    let enabled = definition["enabled"] != json!(false);
    let was_enabled = before.as_ref().is_none_or(|before| before.definition["enabled"] != json!(false));
    if enabled {
        webhooks::without(&mut definition, "disabled_because");
    }
    let act = |active: bool| {
        let (api, instance, actor) = (api.clone(), webhook_instance(&name), view.actor.0.clone());
        async move { api.control.set_active(&instance, active, &actor).await.map_err(|error| refused(None, &error)) }
    };
    if before.is_some() && was_enabled && !enabled && !how.dry_run {
        // First, so that nothing is sent while it changes; the keeper sees to it where this is cut off.
        act(false).await?;
    }
    let to = if of_version.is_some() { To::Change(definition) } else { To::Put(definition) };
    let done = edit(&api, &view, Edit { section: SECTION, name: name.clone(), to, of_version }, &note, &how).await;
    let switch_on = match &done {
        Ok(_) => enabled && !was_enabled,
        // It was switched off for nothing.
        Err(_) => before.is_some() && was_enabled && !enabled,
    };
    if switch_on && !how.dry_run {
        api.once.deliveries.begin_anew(&name).await.map_err(|error| Problem::unavailable(&error))?;
        act(true).await?;
    }
    Ok(with_secret(done?, secret.filter(|_| !how.dry_run)))
}

pub async fn delete(state: State<Api>, view: View, path: Path<String>, how: Query<How>, note: Extension<Note>, headers: HeaderMap) -> Result<Answer, Problem> {
    let (api, name, dry_run) = (state.0.clone(), path.0.clone(), how.0.dry_run);
    let done = entries::delete::<entries::Webhooks>(state, view, path, how, note, headers).await?;
    if !dry_run && let Err(error) = api.once.deliveries.forget(&name).await {
        // They go with their age.
        tracing::warn!(error = %super::problem::Chain(&error), webhook = name, "deliveries to a deleted webhook are still there");
    }
    Ok(done)
}

/// Another secret; the one in use signs beside it for a while.
pub async fn rotate_secret(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Extension(note): Extension<Note>,
    body: Bytes,
) -> Result<Response, Problem> {
    let words = Words::body(&body)?;
    words.known(&["overlap_seconds"])?;
    let overlap = words.number("overlap_seconds")?.unwrap_or(OVERLAP);
    if !(0..=LONGEST_OVERLAP).contains(&overlap) {
        let detail = format!("`overlap_seconds` is 0 to {LONGEST_OVERLAP}");
        return Err(Problem::bad_request("bad_field", detail).errors(vec![json!({"pointer": "/overlap_seconds"})]));
    }
    let hidden = view.hides(&api, SECTION, &name) || view.hides_stored(&api, SECTION, &name);
    let Some(entry) = api.control.stored.get(SECTION, &name).filter(|_| !hidden) else {
        return Err(if !view.hides(&api, SECTION, &name) && view.config.has(SECTION, &name) {
            Problem::new(StatusCode::CONFLICT, "in_file", format!("`webhooks.{name}` stands in the configuration file, and so does its secret"))
        } else {
            unknown(SECTION, &name)
        });
    };
    let until = (overlap > 0).then(|| rfc3339(api.clock.unix_ms().saturating_add(overlap * 1_000))).flatten();
    let secret = webhooks::new_secret();
    let to = To::Change(webhooks::rotated(&entry.definition, &secret, until));
    let edit_to = Edit { section: SECTION, name, to, of_version: Some(entry.version) };
    Ok(with_secret(edit(&api, &view, edit_to, &note, &How::default()).await?, Some(secret)))
}

/// The one answer that holds it; nobody on the way keeps it (RFC 9111 §5.2.2.5).
fn with_secret(mut answer: Answer, secret: Option<String>) -> Response {
    let Some(secret) = secret else { return answer.into_response() };
    answer.data["secret"] = secret.into();
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// A secret made here, where the definition brings none.
fn own_secret(definition: &mut Value) -> Option<String> {
    let Value::Object(fields) = definition else { return None };
    if fields.get("secret").is_some_and(|secret| !secret.is_null()) {
        return None;
    }
    let secret = webhooks::new_secret();
    fields.insert("secret".into(), json!([secret]));
    Some(secret)
}

/// What is left out stays as it is: the secret, and until when the former one counts.
fn keep(definition: &mut Value, before: &Value) {
    let Value::Object(fields) = definition else { return };
    if fields.get("secret").is_none_or(Value::is_null) {
        for key in ["secret", "previous_until"] {
            if let Some(value) = before.get(key) {
                fields.insert(key.into(), value.clone());
            }
        }
    }
}

pub async fn test(State(api): State<Api>, view: View, Path(name): Path<String>, Extension(note): Extension<Note>) -> Result<Response, Problem> {
    let webhook = webhook(&view, &name)?;
    note.object(format!("webhooks/{name}"));
    let delivery = api.once.test(&webhook, &view.actor.0).await.map_err(|error| problem(&error))?;
    note.after(json!({"delivery": delivery.id, "status": delivery.status.name(), "code": delivery.code}));
    let status = if delivery.attempts == 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(json!({"data": shown(&delivery), "links": {"self": link(&delivery)}}))).into_response())
}

pub async fn deliveries(State(api): State<Api>, view: View, Path(name): Path<String>, words: Words) -> Result<Json<Value>, Problem> {
    webhook(&view, &name)?;
    words.known(&["status", "limit", "before"])?;
    let (limit, before) = (words.limit()?, words.number("before")?);
    let status = words.text("status")?.map(|word| {
        let known = || DeliveryStatus::ALL.map(DeliveryStatus::name).join(", ");
        DeliveryStatus::named(word).ok_or_else(|| Problem::bad_request("bad_field", format!("`status` is one of {}", known())))
    });
    let found =
        api.once.deliveries.list(&name, since(&api, &view, &name), status.transpose()?, before, limit).await.map_err(|error| Problem::unavailable(&error))?;
    let last = if found.len() == limit as usize { found.last().map(|last| last.id) } else { None };
    let next = last.map(|last| format!("{PATH}/{name}/deliveries?{}before={last}", words.query_without(&["before"])));
    Ok(Json(json!({"data": found.iter().map(shown).collect::<Vec<_>>(), "meta": {"count": found.len(), "limit": limit}, "links": {"next": next}})))
}

pub async fn delivery(State(api): State<Api>, view: View, Path((name, id)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let found = find(&api, &view, &name, &id).await?;
    Ok(Json(json!({"data": shown(&found), "links": {"self": link(&found)}})))
}

/// The event once more, with the secrets of now.
pub async fn replay(
    State(api): State<Api>,
    view: View,
    Path((name, id)): Path<(String, String)>,
    Extension(note): Extension<Note>,
) -> Result<Response, Problem> {
    let webhook = webhook(&view, &name)?;
    let of = find(&api, &view, &name, &id).await?;
    note.object(format!("webhooks/{name}/deliveries/{id}"));
    let letter = letter(&api, &webhook, &of).await?;
    let next = api.once.replay(&webhook, &of, letter.as_deref()).await.map_err(|error| problem(&error))?;
    note.after(json!({"delivery": next.id, "replay_of": of.id}));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, link(&next))], Json(json!({"data": shown(&next), "links": {"self": link(&next)}}))).into_response())
}

/// The event of a delivery that was given up, from its dead letter. The letter stays.
async fn letter(api: &Api, webhook: &Webhook, of: &WebhookDelivery) -> Result<Option<Vec<u8>>, Problem> {
    if of.status != DeliveryStatus::Failed {
        return Ok(None);
    }
    let unavailable = |error| Problem::unavailable(&error);
    let lane = LaneId::new(&webhook_instance(&webhook.name), &webhook.format);
    let filter = DeadLetterFilter { instance: Some(lane.instance.to_string()), event_id: Some(of.event_id.clone()), ..DeadLetterFilter::default() };
    let letters = api.dead_letters.list(&filter, None, 10).await.map_err(unavailable)?;
    let Some(letter) = letters.iter().find(|letter| letter.seq.0.cast_signed() == of.seq) else { return Ok(None) };
    Ok(api.dead_letters.get(letter.id).await.map_err(unavailable)?.and_then(|letter| letter.event))
}

fn webhook(view: &View, name: &str) -> Result<Webhook, Problem> {
    view.config.webhooks.iter().find(|webhook| webhook.name == name && view.sees(webhook.tenant.as_ref())).cloned().ok_or_else(|| unknown(SECTION, name))
}

/// Since when a webhook's deliveries are the caller's to see.
fn since(api: &Api, view: &View, name: &str) -> i64 {
    if view.scope.is_host() { i64::MIN } else { api.control.ownership.since(&webhook_instance(name)) }
}

async fn find(api: &Api, view: &View, name: &str, id: &str) -> Result<WebhookDelivery, Problem> {
    let number = id.parse().map_err(|_| Problem::bad_request("bad_id", "an id of a delivery is a whole number"))?;
    let found = api.once.deliveries.get_since(name, number, since(api, view, name)).await.map_err(|error| Problem::unavailable(&error))?;
    // Those of a webhook that is gone are still there for the host.
    let seen = view.scope.is_host() || !view.hides(api, SECTION, name);
    found.filter(|_| seen).ok_or_else(|| problem(&OnceError::Unknown))
}

fn shown(delivery: &WebhookDelivery) -> Value {
    json!({
        "id": delivery.id, "webhook": delivery.webhook,
        "event": {"id": delivery.event_id, "type": delivery.event_type, "seq": delivery.seq},
        "status": delivery.status.name(), "attempts": delivery.attempts,
        "response": {"code": delivery.code, "body": delivery.excerpt, "error": delivery.error, "took_ms": delivery.took_ms},
        "replay_of": delivery.replay_of, "created_at": rfc3339(delivery.created_ms), "last_attempt_at": rfc3339(delivery.last_ms).filter(|_| delivery.attempts > 0),
    })
}

fn link(delivery: &WebhookDelivery) -> String {
    format!("{PATH}/{}/deliveries/{}", delivery.webhook, delivery.id)
}

fn problem(error: &OnceError) -> Problem {
    let text = error.to_string();
    match error {
        OnceError::Disabled => Problem::new(StatusCode::CONFLICT, "webhook_disabled", text),
        OnceError::Unknown => Problem::not_found(text),
        OnceError::Gone => Problem::new(StatusCode::CONFLICT, "event_gone", text),
        OnceError::Journal(error) => Problem::unavailable(error),
        OnceError::Store(error) => Problem::unavailable(error),
    }
}
