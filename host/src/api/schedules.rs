//! When pull connectors are asked. A schedule by interval or cron is the key `pull` of its instance and has its name
//! as id; one by events is a subscription with the action `sync`, as `event:NAME`. What is made, changed and deleted
//! here are these parts of stored entries, under their versions: there is no second place where a schedule stands.
//! One of the file is the file's to change.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use bulkhead_ingest::{MissedRuns, PullSchedule, PullSettings, PullStatus};
use bulkhead_store::Entry;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::entries::{self, Answer, How, if_match, read};
use super::page::Page;
use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::{SYNC, Section, Subscription, SubscriptionAction};
use crate::pipeline::stored::{Edit, To};
use crate::trail::Note;

const PATH: &str = "/api/integration/schedules";
/// Before the name of a subscription.
const EVENT: &str = "event:";
/// Seven days, as `pull.interval`.
const LONGEST_MINUTES: f64 = 7.0 * 24.0 * 60.0;

/// A schedule as clients write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    instance: Option<String>,
    schedule_type: String,
    interval_minutes: Option<f64>,
    cron_expression: Option<String>,
    timezone: Option<String>,
    missed: Option<String>,
    event_trigger: Option<Trigger>,
    #[serde(default = "yes")]
    is_active: bool,
}

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    /// Of the subscription; that of the instance where absent.
    name: Option<String>,
    when: Value,
    min_interval_seconds: Option<f64>,
}

fn yes() -> bool {
    true
}

/// What a schedule is written as.
enum Part {
    Pull(Value),
    Subscription { name: Option<String>, definition: Value },
}

impl Schedule {
    fn part(self, instance: &str) -> Result<Part, Problem> {
        let given = [
            ("interval_minutes", self.interval_minutes.is_some(), "interval"),
            ("cron_expression", self.cron_expression.is_some(), "cron"),
            ("timezone", self.timezone.is_some(), "cron"),
            ("missed", self.missed.is_some(), "cron"),
            ("event_trigger", self.event_trigger.is_some(), "event"),
        ];
        let kind = self.schedule_type.as_str();
        if !["interval", "cron", "event"].contains(&kind) {
            return Err(wrong("/schedule_type", "`schedule_type` is interval, cron or event"));
        }
        if let Some((name, _, of)) = given.into_iter().find(|(_, given, of)| *given && *of != kind) {
            return Err(wrong(&format!("/{name}"), &format!("`{name}` goes with the schedule_type {of}")));
        }
        match (kind, self.interval_minutes, self.cron_expression, self.event_trigger) {
            ("interval", Some(minutes), ..) => {
                let text = seconds(minutes * 60.0).filter(|_| minutes <= LONGEST_MINUTES);
                let text = text.ok_or_else(|| wrong("/interval_minutes", "`interval_minutes` is a second (1/60) to seven days (10080), in whole seconds"))?;
                Ok(Part::Pull(json!({"interval": text, "enabled": self.is_active})))
            }
            ("cron", _, Some(cron), _) => {
                let mut pull = Map::from_iter([("cron".to_owned(), cron.into()), ("enabled".to_owned(), self.is_active.into())]);
                pull.extend(self.timezone.map(|zone| ("timezone".to_owned(), zone.into())));
                pull.extend(self.missed.map(|missed| ("missed".to_owned(), missed.into())));
                Ok(Part::Pull(pull.into()))
            }
            ("event", .., Some(trigger)) => {
                let mut action = json!({"type": "sync", "instance": instance});
                if let Some(rest) = trigger.min_interval_seconds {
                    let pointer = "/event_trigger/min_interval_seconds";
                    action["min_interval"] = seconds(rest).ok_or_else(|| wrong(pointer, "`min_interval_seconds` is 1 to 86400, a whole number"))?.into();
                }
                let definition = json!({"when": trigger.when, "action": action, "enabled": self.is_active});
                Ok(Part::Subscription { name: trigger.name, definition })
            }
            ("interval", ..) => Err(wrong("/interval_minutes", "`interval_minutes` is missing")),
            ("cron", ..) => Err(wrong("/cron_expression", "`cron_expression` is missing")),
            _ => Err(wrong("/event_trigger", "`event_trigger` is missing: {\"when\": {…}}")),
        }
    }
}

/// As a configuration has durations.
fn seconds(seconds: f64) -> Option<String> {
    let whole = seconds.round();
    ((seconds - whole).abs() < 1e-6 && (1.0..=1e9).contains(&whole)).then(|| format!("{whole}s"))
}

fn wrong(pointer: &str, text: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text).errors(vec![json!({"pointer": pointer, "detail": text})])
}

/// Where in a schedule a place of its definition is.
fn place(pointer: &str, _: &Value) -> Option<String> {
    let places = [
        ("/definition/pull/interval", "/interval_minutes"),
        ("/definition/pull/cron", "/cron_expression"),
        ("/definition/pull/timezone", "/timezone"),
        ("/definition/pull/missed", "/missed"),
        ("/definition/pull", "/instance"),
        ("/definition/when", "/event_trigger/when"),
        ("/definition/action/instance", "/instance"),
        ("/definition/action/min_interval", "/event_trigger/min_interval_seconds"),
    ];
    places.iter().find_map(|(place, own)| {
        let rest = pointer.strip_prefix(place)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{own}{rest}"))
    })
}

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    Ok(page.bounds()?.answer(PATH, &all(&api, &view), Value::clone))
}

pub async fn show(State(api): State<Api>, view: View, Path(id): Path<String>) -> Result<Answer, Problem> {
    let found = find(&api, &view, &id).ok_or_else(|| unknown(&id))?;
    Ok(Answer::at(PATH, &id, found))
}

/// Those of instances, then those of events.
fn all(api: &Api, view: &View) -> Vec<Value> {
    let pulls = api.pulls.schedules();
    let by_time = pulls.iter().filter(|(settings, _)| !view.hides_instance(&settings.instance)).map(|(settings, status)| of_instance(api, settings, status));
    let by_event = view.config.subscriptions.iter().filter(|known| sees(view, known)).filter_map(|subscription| of_events(api, subscription));
    by_time.chain(by_event).collect()
}

fn find(api: &Api, view: &View, id: &str) -> Option<Value> {
    if let Some(name) = id.strip_prefix(EVENT) {
        return view.config.subscriptions.iter().find(|known| known.name == name && sees(view, known)).and_then(|known| of_events(api, known));
    }
    let pulls = api.pulls.schedules();
    pulls.iter().find(|(settings, _)| &*settings.instance == id && !view.hides_instance(id)).map(|(settings, status)| of_instance(api, settings, status))
}

fn sees(view: &View, subscription: &Subscription) -> bool {
    view.sees(view.config.owners.of(Section::Subscriptions, &subscription.name))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no schedule `{}`", id.escape_default()))
}

fn of_instance(api: &Api, settings: &PullSettings, status: &PullStatus) -> Value {
    let held = api.delivery.held(&settings.instance).is_some();
    let mut shown = json!({
        "id": &*settings.instance, "instance": &*settings.instance, "is_active": settings.active, "active": settings.active && !held,
        "running": status.run.map(|id| id.to_string()), "elsewhere": status.elsewhere,
        "last_execution": status.began_ms.and_then(rfc3339), "next_execution": status.next_ms.filter(|_| settings.active).and_then(rfc3339),
    });
    match &settings.schedule {
        PullSchedule::Interval(interval) => {
            shown["type"] = "interval".into();
            shown["interval_seconds"] = interval.as_secs_f64().into();
            shown["interval_minutes"] = (interval.as_secs_f64() / 60.0).into();
        }
        PullSchedule::Cron(cron, missed) => {
            shown["type"] = "cron".into();
            shown["cron"] = cron.text().into();
            shown["cron_expression"] = cron.text().into();
            shown["timezone"] = cron.zone().into();
            shown["words"] = cron.words().into();
            shown["missed"] = if *missed == MissedRuns::Run { "run" } else { "skip" }.into();
        }
    }
    shown["schedule_type"] = shown["type"].clone();
    with_entry(api, Section::Instances, &settings.instance, shown)
}

fn of_events(api: &Api, subscription: &Subscription) -> Option<Value> {
    let SubscriptionAction::Sync { instance, min_interval } = &subscription.action else { return None };
    let held = api.delivery.held(&format!("{SYNC}.{}", subscription.name)).is_some();
    let shown = json!({
        "id": format!("{EVENT}{}", subscription.name), "instance": instance, "schedule_type": "event", "type": "event",
        "event_trigger": subscription.name, "min_interval_seconds": min_interval.as_secs_f64(),
        "is_active": subscription.enabled, "active": subscription.enabled && !held,
    });
    Some(with_entry(api, Section::Subscriptions, &subscription.name, shown))
}

/// Who may change it, and in which version.
fn with_entry(api: &Api, section: Section, name: &str, mut shown: Value) -> Value {
    let of_file = !api.control.config().merged.in_force.contains(&(section, name.to_owned()));
    match api.control.stored.get(section, name).filter(|_| !of_file) {
        Some(entry) => {
            shown["origin"] = "stored".into();
            shown["version"] = entry.version.into();
            shown["updated_at"] = rfc3339(entry.updated_ms).into();
            shown["updated_by"] = entry.updated_by.into();
        }
        None => shown["origin"] = "file".into(),
    }
    shown
}

/// The stored instance that a schedule is to be a part of.
fn stored(api: &Api, view: &View, instance: &str) -> Result<Entry, Problem> {
    let config = &view.config;
    if view.hides(api, Section::Instances, instance) {
        return Err(wrong("/instance", &format!("there is no instance `{}`", instance.escape_default())));
    }
    match api.control.stored.get(Section::Instances, instance).filter(|_| config.merged.in_force.contains(&(Section::Instances, instance.to_owned()))) {
        Some(entry) => Ok(entry),
        None if config.has(Section::Instances, instance) => {
            let text = format!("`instances.{instance}` stands in the configuration file, and so does its schedule (`pull`); change it there");
            Err(Problem::new(StatusCode::CONFLICT, "in_file", text).errors(vec![json!({"pointer": "/instance", "detail": "of the file"})]))
        }
        None => Err(wrong("/instance", &format!("there is no instance `{}`", instance.escape_default()))),
    }
}

pub async fn make(State(api): State<Api>, view: View, Extension(note): Extension<Note>, body: Bytes) -> Result<Answer, Problem> {
    let mut schedule: Schedule = read(&body)?;
    let instance = schedule.instance.take().ok_or_else(|| wrong("/instance", "`instance` is missing"))?;
    match schedule.part(&instance)? {
        Part::Pull(pull) => {
            let entry = stored(&api, &view, &instance)?;
            if !entry.definition["pull"].is_null() {
                let text = format!("`{instance}` has a schedule already; change it with PUT {PATH}/{instance}");
                return Err(Problem::new(StatusCode::CONFLICT, "exists", text));
            }
            put_pull(&api, &view, entry, Some(pull), None, &note).await.map(Answer::made)
        }
        Part::Subscription { name, definition } => {
            let name = name.unwrap_or_else(|| instance.clone());
            let definition = of_owner(&view, &instance, definition);
            edit(&api, &view, Edit { section: Section::Subscriptions, name, to: To::Make(definition), of_version: None }, &note).await
        }
    }
}

pub async fn put(
    State(api): State<Api>,
    Path(id): Path<String>,
    view: View,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Problem> {
    let mut schedule: Schedule = read(&body)?;
    let (found, of_version) = (find(&api, &view, &id).ok_or_else(|| unknown(&id))?, if_match(&headers)?);
    let by_event = id.strip_prefix(EVENT);
    if (schedule.schedule_type == "event") != by_event.is_some() {
        return Err(wrong("/schedule_type", "a schedule by time is no one by events: delete it, and make the other"));
    }
    let before = found["instance"].as_str().unwrap_or_default().to_owned();
    let instance = schedule.instance.take().unwrap_or_else(|| before.clone());
    if by_event.is_none() && instance != before {
        return Err(wrong("/instance", &format!("this is the schedule of `{before}`, and stays it")));
    }
    match (schedule.part(&instance)?, by_event) {
        (Part::Pull(pull), _) => put_pull(&api, &view, stored(&api, &view, &instance)?, Some(pull), of_version, &note).await,
        (Part::Subscription { name, .. }, Some(own)) if name.as_deref().is_some_and(|name| name != own) => {
            Err(wrong("/event_trigger/name", &format!("the subscription is `{own}`, and keeps its name")))
        }
        (Part::Subscription { definition, .. }, own) => {
            let edit_to = Edit { section: Section::Subscriptions, name: own.unwrap_or(&id).to_owned(), to: To::Change(definition), of_version };
            let of_file = found["origin"] == "file";
            edit(&api, &view, edit_to, &note).await.map_err(|problem| if of_file { in_file(&id) } else { problem })
        }
    }
}

/// A subscription is its instance's owner's: that of somebody else would begin runs there by events of everybody.
fn of_owner(view: &View, instance: &str, mut definition: Value) -> Value {
    if let Some(tenant) = view.config.owners.of(Section::Instances, instance) {
        definition["tenant"] = tenant.as_str().into();
    }
    definition
}

fn in_file(id: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "in_file", format!("the schedule `{id}` stands in the configuration file and is changed there"))
}

pub async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    view: View,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let (found, of_version) = (find(&api, &view, &id).ok_or_else(|| unknown(&id))?, if_match(&headers)?);
    if let Some(name) = id.strip_prefix(EVENT) {
        if found["origin"] == "file" {
            return Err(in_file(&id));
        }
        return edit(&api, &view, Edit { section: Section::Subscriptions, name: name.to_owned(), to: To::Gone, of_version }, &note).await;
    }
    let entry = stored(&api, &view, &id)?;
    let needs = |known: &&Subscription| matches!(&known.action, SubscriptionAction::Sync { instance, .. } if *instance == id);
    let (own, others): (Vec<_>, Vec<_>) = view.config.subscriptions.iter().filter(needs).partition(|known| sees(&view, known));
    if !own.is_empty() || !others.is_empty() {
        let text = "subscriptions begin runs of this instance; delete them first, or set `is_active: false`";
        let mut users: Vec<Value> = own.iter().map(|known| json!({"key": format!("subscriptions.{}", known.name)})).collect();
        if !others.is_empty() {
            users.push(json!({"detail": "something that is not yours needs it as it is"}));
        }
        return Err(Problem::new(StatusCode::CONFLICT, "in_use", text).errors(users));
    }
    put_pull(&api, &view, entry, None, of_version, &note).await
}

/// The key `pull` of a stored instance, as it shall be.
async fn put_pull(api: &Api, view: &View, entry: Entry, pull: Option<Value>, of_version: Option<i64>, note: &Note) -> Result<Answer, Problem> {
    let Entry { name, version, mut definition, .. } = entry;
    if let Value::Object(fields) = &mut definition {
        match pull {
            Some(pull) => _ = fields.insert("pull".into(), pull),
            None => _ = fields.remove("pull"),
        }
    }
    // Nothing else of the instance is written over: another version than the one that is changed here is refused.
    if of_version.is_some_and(|wanted| wanted != version) {
        let text = format!("the instance `{name}` is at version {version}; read the schedule again");
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", text));
    }
    let of_version = Some(version);
    edit(api, view, Edit { section: Section::Instances, name, to: To::Change(definition), of_version }, note).await
}

async fn edit(api: &Api, view: &View, edit: Edit, note: &Note) -> Result<Answer, Problem> {
    let id = if edit.section == Section::Subscriptions { format!("{EVENT}{}", edit.name) } else { edit.name.clone() };
    let done = entries::edit(api, view, edit, note, &How::default()).await.map_err(|problem| problem.pointers(place))?;
    let shown = find(api, &view.again(api), &id).unwrap_or_default();
    Ok(done.seen(PATH, id, |_| shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Value, want: Result<Value, &str>) {
        let schedule: Schedule = serde_json::from_value(schedule).expect("reads");
        match (schedule.part("crm"), want) {
            (Ok(Part::Pull(pull)), Ok(want)) => assert_eq!(pull, want),
            (Ok(Part::Subscription { definition, .. }), Ok(want)) => assert_eq!(definition, want),
            (Err(problem), Err(want)) => assert!(format!("{problem:?}").contains(&format!("\"{want}\"")), "{problem:?}"),
            (Ok(_), Err(want)) => panic!("{want} is not refused"),
            (Err(problem), Ok(_)) => panic!("{problem:?}"),
        }
    }

    #[test]
    fn a_schedule_is_the_part_of_an_entry_that_it_stands_for() {
        check(json!({"schedule_type": "interval", "interval_minutes": 5}), Ok(json!({"interval": "300s", "enabled": true})));
        check(json!({"schedule_type": "interval", "interval_minutes": 0.5, "is_active": false}), Ok(json!({"interval": "30s", "enabled": false})));
        check(
            json!({"schedule_type": "cron", "cron_expression": "@daily", "timezone": "UTC", "missed": "skip"}),
            Ok(json!({"cron": "@daily", "enabled": true, "timezone": "UTC", "missed": "skip"})),
        );
        check(
            json!({"schedule_type": "event", "event_trigger": {"when": {"always": true}, "min_interval_seconds": 5}}),
            Ok(json!({"when": {"always": true}, "action": {"type": "sync", "instance": "crm", "min_interval": "5s"}, "enabled": true})),
        );
        check(json!({"schedule_type": "hourly"}), Err("/schedule_type"));
        check(json!({"schedule_type": "interval"}), Err("/interval_minutes"));
        check(json!({"schedule_type": "interval", "interval_minutes": 0}), Err("/interval_minutes"));
        check(json!({"schedule_type": "interval", "interval_minutes": 10_081}), Err("/interval_minutes"));
        check(json!({"schedule_type": "interval", "interval_minutes": 5, "cron_expression": "@daily"}), Err("/cron_expression"));
        check(json!({"schedule_type": "cron"}), Err("/cron_expression"));
        check(json!({"schedule_type": "event", "timezone": "UTC"}), Err("/timezone"));
    }
}
