//! Instances and their lanes: health, status, resuming what is held.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use bulkhead_deliver::LaneStatus;
use bulkhead_ingest::FilesStatus;
use serde_json::{Value, json};

use super::Api;
use super::auth::Actor;
use super::connect::connection;
use super::entries::refused;
use super::problem::Problem;
use super::view::View;
use crate::config::Section;
use crate::pipeline::stored::EntryError;
use crate::trail::Note;
use bulkhead_store::DeadLetterFilter;

/// To people of a tenant: how the host is, in a word, and what is theirs.
pub async fn health(State(api): State<Api>, view: View) -> Result<Json<Value>, Problem> {
    let own = view.instances();
    let sees = |instance: &str| own.as_ref().is_none_or(|own| own.contains(instance));
    let mut lanes = api.delivery.status();
    lanes.retain(|lane| sees(&lane.lane.instance));
    let stats = api.journal.stats();
    let host = view.scope.is_host();
    let totals = api.dead_letters.totals();
    let of_all = || async { api.dead_letters.totals_of(&view.letters(DeadLetterFilter::default())).await };
    let (letters, letter_bytes) = if host { (totals.letters, totals.bytes) } else { of_all().await.map_err(|error| Problem::internal(&error))? };
    let files: Vec<(&str, FilesStatus)> = api.files.iter().filter(|_| host).map(|files| (&*files.name, files.status())).collect();
    let unread = files.iter().any(|(_, files)| files.unreadable_count > 0 || files.beyond > 0 || files.stopped.is_some());
    let mut pulls = api.pulls.status();
    pulls.retain(|(instance, _)| sees(instance));
    // A reload takes an instance away for a moment.
    let behind = pulls.iter().any(|(_, pull)| pull.failures > 0 || pull.idle.is_some_and(|(_, turns)| turns > 10));
    let store_up = api.store_health.is_up();
    let degraded = unread || behind || !store_up || lanes.iter().any(|lane| lane.held.is_some() || lane.dead_letters_full || lane.breaker.name() != "closed");
    let status = if stats.fault.is_some() {
        "unhealthy"
    } else if degraded {
        "degraded"
    } else {
        "healthy"
    };
    let mut unverified = api.unverified.all();
    unverified.retain(|instance, _| sees(instance));
    let journal = if stats.fault.is_some() { "unhealthy" } else { "healthy" };
    let mut shown = json!({
        "status": status,
        "checks": checks(&api, &lanes, host).await,
        "version": env!("CARGO_PKG_VERSION"),
        "journal": {"status": journal},
        // Without it events are taken in and delivered all the same: degraded, never unready.
        "store": {"status": if store_up { "healthy" } else { "degraded" }},
        "dead_letters": {"letters": letters, "bytes": letter_bytes},
        "lanes": lanes.iter().map(lane).collect::<Vec<_>>(),
        "inbound": super::inbound::summary(&api, &view),
        "files": files.iter().map(|(name, status)| read_files(name, status)).collect::<Vec<_>>(),
        "pulls": pulls.iter().map(|(instance, pull)| super::pulls::shown(instance, pull)).collect::<Vec<_>>(),
        // Not degraded: the operator wanted it. But nobody shall forget it.
        "unverified_destinations": unverified,
    });
    if host {
        shown["event_index"] = api.index.as_deref().map(super::events::status).into();
        shown["journal"] = json!({
            "status": journal, "message": stats.fault,
            "bytes": stats.bytes, "max_bytes": stats.max_bytes, "segments": stats.segments, "head": stats.head.0, "oldest": stats.oldest.0,
            "lost_ranges": stats.lost_ranges,
        });
        shown["store"]["engine"] = if api.store_health.shared { "postgresql" } else { "sqlite" }.into();
        shown["store"]["message"] = (!store_up).then_some("the database does not answer (store.url); the host's log says why").into();
        shown["dead_letters"]["max_bytes"] = api.dead_letters.settings().max_bytes.into();
    }
    Ok(Json(shown))
}

/// Each part by itself: its name, how it is, how long it took to see, and why.
async fn checks(api: &Api, lanes: &[LaneStatus], host: bool) -> Vec<Value> {
    let check = |name: String, status: &str, message: Option<String>| json!({"name": name, "status": status, "latency_ms": Value::Null, "message": message});
    let fault = api.journal.stats().fault;
    // Why says something of the host as a whole.
    let why = |why: Option<String>| why.filter(|_| host);
    let mut checks = vec![check("journal".into(), if fault.is_some() { "unhealthy" } else { "healthy" }, why(fault.map(|fault| fault.to_string())))];
    let began = api.clock.monotonic();
    let store = api.store.ping().await;
    // Delivery goes on without it, but for dead letters.
    let mut of_store = check("store".into(), if store.is_ok() { "healthy" } else { "degraded" }, why(store.err().map(|error| error.to_string())));
    of_store["latency_ms"] = (api.clock.monotonic().saturating_sub(began).as_micros() as f64 / 1_000.0).into();
    checks.push(of_store);
    let mut instances: Vec<(&str, Option<String>)> = Vec::new();
    for lane in lanes {
        let why = match (lane.held, lane.breaker.name()) {
            (Some(cause), _) => Some(format!("held: {}", cause.name())),
            (None, _) if lane.dead_letters_full => Some("the dead letter store is full".to_owned()),
            (None, "closed") => None,
            (None, breaker) => Some(format!("the circuit breaker is {breaker}")),
        };
        match instances.last_mut().filter(|(name, _)| *name == &*lane.lane.instance) {
            Some((_, known)) => *known = known.take().or(why),
            None => instances.push((&lane.lane.instance, why)),
        }
    }
    checks.extend(instances.into_iter().map(|(name, why)| check(format!("instance:{name}"), if why.is_some() { "degraded" } else { "healthy" }, why)));
    if let Some(index) = api.index.as_ref().filter(|_| host) {
        let error = index.status().error;
        checks.push(check("event_index".into(), if error.is_some() { "degraded" } else { "healthy" }, error));
    }
    checks
}

/// The lanes of each instance, now.
pub fn by_instance(api: &Api) -> HashMap<Arc<str>, Vec<LaneStatus>> {
    let mut lanes: HashMap<_, Vec<_>> = HashMap::new();
    api.delivery.status().into_iter().for_each(|lane| lanes.entry(Arc::clone(&lane.lane.instance)).or_default().push(lane));
    lanes
}

/// How the entries that are shown are doing: instances run, credentials may be connected.
pub struct Running<'a> {
    api: &'a Api,
    section: Section,
    /// By instance.
    lanes: Option<HashMap<Arc<str>, Vec<LaneStatus>>>,
}

impl<'a> Running<'a> {
    pub fn of(api: &'a Api, section: Section) -> Self {
        Self { api, section, lanes: (section == Section::Instances).then(|| by_instance(api)) }
    }

    /// The entry with its state.
    pub fn with(&self, name: &str, mut entry: Value) -> Value {
        if self.section == Section::Credentials
            && let Some(connection) = connection(self.api, name)
        {
            entry["connection"] = connection;
        }
        let Some(lanes) = &self.lanes else { return entry };
        let own = lanes.get(name).map(Vec::as_slice).unwrap_or_default();
        let status = if self.api.control.stored.is_inactive(name) {
            "inactive"
        } else if own.iter().any(|lane| lane.held.is_some()) {
            "error"
        } else {
            "active"
        };
        entry["status"] = status.into();
        entry["lanes"] = own.iter().map(lane).collect();
        entry["unverified_destinations"] = self.api.unverified.of(name).into();
        entry
    }
}

/// Switches an instance off: what is for it waits, over restarts too.
pub async fn pause(api: State<Api>, view: View, instance: Path<String>, actor: Extension<Actor>, note: Extension<Note>) -> Result<Json<Value>, Problem> {
    switch(api, view, instance, actor, note, false).await
}

/// Ends a pause or a hold and closes the breaker.
pub async fn resume(api: State<Api>, view: View, instance: Path<String>, actor: Extension<Actor>, note: Extension<Note>) -> Result<Json<Value>, Problem> {
    switch(api, view, instance, actor, note, true).await
}

async fn switch(
    State(api): State<Api>,
    view: View,
    Path(instance): Path<String>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    active: bool,
) -> Result<Json<Value>, Problem> {
    if view.hides(&api, Section::Instances, &instance) {
        return Err(refused(None, &EntryError::NoInstance(instance)));
    }
    note.object(format!("instances/{instance}")).after(json!({"paused": !active}));
    api.control.set_active(&instance, active, &actor.0).await.map_err(|error| refused(None, &error))?;
    tracing::warn!(instance, active, by = actor.0, "instance switched by hand");
    Ok(Json(json!({"instance": instance, "paused": !active})))
}

fn read_files(name: &str, status: &FilesStatus) -> Value {
    let unreadable = status.unreadable.iter().map(|(path, error)| json!({"path": path, "error": error}));
    json!({
        "name": name, "followed": status.followed, "open": status.open, "behind_bytes": status.behind, "blocked": status.blocked, "stopped": status.stopped,
        "unreadable_count": status.unreadable_count, "unreadable": unreadable.collect::<Vec<_>>(), "beyond_limit": status.beyond,
    })
}

pub fn lane(lane: &LaneStatus) -> Value {
    json!({
        "instance": &*lane.lane.instance, "format": &*lane.lane.format,
        "delivered": lane.delivered, "retried": lane.retried, "rejected": lane.rejected, "filtered": lane.filtered,
        "cursor": lane.cursor.0, "backlog": lane.backlog, "oldest_seconds": lane.oldest.as_secs_f64(),
        "in_flight": lane.in_flight, "retrying": lane.retrying, "unconfirmed": lane.unconfirmed,
        "next_retry_seconds": lane.next_retry.map(|due| due.as_secs_f64()),
        "breaker": lane.breaker.name(), "concurrency": {"limit": lane.concurrency.0, "max": lane.concurrency.1}, "held": lane.held.map(|cause| cause.name()), "dead_letters_full": lane.dead_letters_full,
        "last_error": lane.last_error.as_ref().map(|error| json!({"at_ms": error.at_ms, "code": error.code, "text": error.text})),
    })
}
