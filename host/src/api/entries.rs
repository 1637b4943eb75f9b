//! Parts of the configuration: what the file declares is shown, what is stored can be changed. `definition` is
//! what would stand below the name in the file; secrets in it are hidden, and a hidden one that is sent back
//! stays as it is. A change is made as a whole or not at all; `?dry_run=true` says what it would do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_access::Scope;
use bulkhead_store::Entry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::lanes::Running;
use super::page::Page;
use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::{self, Config, Fault, Section, tenant_of};
use crate::pipeline::stored::{Changed, Done, Edit, EntryError, MOST_BYTES, MOST_ENTRIES, Stored, To};
use crate::pipeline::{ReloadError, Reloaded};
use crate::trail::Note;

/// Largest body of a change of one entry in bytes.
pub const MAX_BODY: usize = MOST_BYTES + (64 << 10);
/// Largest body of a change of many entries in bytes.
pub const MAX_IMPORT: usize = 32 << 20;

/// Which section an endpoint is about.
pub trait Of: Send + 'static {
    const SECTION: Section;
}

macro_rules! sections {
    ($($name:ident)*) => {$(
        pub struct $name;
        impl Of for $name {
            const SECTION: Section = Section::$name;
        }
    )*};
}
sections! { Credentials Formatters Instances Routes Webhooks Subscriptions }

/// Where a section's entries are found.
fn path(section: Section) -> &'static str {
    match section {
        Section::Credentials => "/api/integration/auth-configs",
        Section::Formatters => "/api/integration/formatters",
        Section::Instances => "/api/integration/instances",
        Section::Routes => "/api/integration/routes",
        Section::Webhooks => "/api/integration/webhooks",
        Section::Subscriptions => "/api/integration/event-subscriptions",
    }
}

/// Everything about the entries of a section that can be shown, by name.
pub struct Shown<'a> {
    config: Arc<Config>,
    stored: &'a Stored,
    section: Section,
    scope: &'a Scope,
}

impl<'a> Shown<'a> {
    pub fn of(api: &'a Api, view: &'a View, section: Section) -> Self {
        Self { config: Arc::clone(&view.config), stored: &api.control.stored, section, scope: &view.scope }
    }

    /// In force or not, in the order of their names.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.config.effective()[self.section.name()] {
            Value::Object(entries) => entries.keys().cloned().collect(),
            Value::Array(routes) => routes.iter().filter_map(|route| route["id"].as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        names.extend(self.stored.all().iter().filter(|entry| entry.section == self.section.name()).map(|entry| entry.name.clone()));
        names.sort();
        names.dedup();
        if !self.scope.is_host() {
            names.retain(|name| self.is_seen(name));
        }
        names
    }

    /// Whether the entry, in force or not, is within.
    fn is_seen(&self, name: &str) -> bool {
        match self.config.owners.of(self.section, name) {
            Some(owner) => self.scope.sees(Some(owner)),
            // Of nobody, or not in force.
            None => {
                let stored = self.stored.get(self.section, name);
                stored.is_some_and(|entry| self.scope.sees(tenant_of(&entry.definition).as_ref())) && self.effective(name).is_none()
            }
        }
    }

    pub fn entry(&self, name: &str) -> Option<Value> {
        if !self.scope.is_host() && !self.is_seen(name) {
            return None;
        }
        let in_force = self.config.merged.in_force.contains(&(self.section, name.to_owned()));
        let kept = self.stored.get(self.section, name).filter(|entry| self.scope.sees(tenant_of(&entry.definition).as_ref()));
        let Some(definition) = self.effective(name).filter(|_| !in_force) else {
            let mut shown = stored(self.section, &kept?);
            shown["in_force"] = in_force.into();
            return Some(shown);
        };
        // The file goes before. What an object was written out as is its object's.
        let maker = self.config.merged.maker(self.section, name);
        let mut shown = json!({"name": name, "origin": maker.as_deref().unwrap_or("file"), "definition": definition});
        if kept.is_some() {
            shown["shadows"] = "a stored entry of the same name, which has no effect".into();
        }
        Some(shown)
    }

    fn effective(&self, name: &str) -> Option<&Value> {
        match &self.config.effective()[self.section.name()] {
            Value::Object(entries) => entries.get(name),
            Value::Array(routes) => routes.iter().find(|route| route["id"] == name),
            _ => None,
        }
    }
}

fn stored(section: Section, entry: &Entry) -> Value {
    json!({
        "id": entry.id, "name": entry.name, "origin": "stored", "version": entry.version,
        "created_at": rfc3339(entry.created_ms), "created_by": entry.created_by,
        "updated_at": rfc3339(entry.updated_ms), "updated_by": entry.updated_by,
        "definition": config::hide(section, &entry.definition),
    })
}

pub async fn list<S: Of>(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let bounds = page.bounds()?;
    let shown = Shown::of(&api, &view, S::SECTION);
    let running = Running::of(&api, S::SECTION);
    Ok(bounds.answer(path(S::SECTION), &shown.names(), |name| running.with(name, shown.entry(name).unwrap_or_default())))
}

pub async fn show<S: Of>(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Answer, Problem> {
    let data = Shown::of(&api, &view, S::SECTION).entry(&name).ok_or_else(|| unknown(S::SECTION, &name))?;
    Ok(Answer::of(S::SECTION, &name, Running::of(&api, S::SECTION).with(&name, data)))
}

/// What a client may say about a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    pub name: String,
    pub definition: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub definition: Value,
}

pub async fn make<S: Of>(State(api): State<Api>, view: View, Query(how): Query<How>, Extension(note): Extension<Note>, body: Bytes) -> Result<Answer, Problem> {
    let New { name, definition } = read(&body)?;
    edit(&api, &view, Edit { section: S::SECTION, name, to: To::Make(definition), of_version: None }, &note, &how).await
}

pub async fn put<S: Of>(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Query(how): Query<How>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Problem> {
    let Definition { definition } = read(&body)?;
    let of_version = if_match(&headers)?;
    // A change of a version is no making.
    let to = if of_version.is_some() { To::Change(definition) } else { To::Put(definition) };
    edit(&api, &view, Edit { section: S::SECTION, name, to, of_version }, &note, &how).await
}

pub async fn delete<S: Of>(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Query(how): Query<How>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    edit(&api, &view, Edit { section: S::SECTION, name, to: To::Gone, of_version: if_match(&headers)? }, &note, &how).await
}

pub async fn versions<S: Of>(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let seen = !view.hides(&api, S::SECTION, &name) && !view.hides_stored(&api, S::SECTION, &name);
    let entry = api.control.stored.get(S::SECTION, &name).filter(|_| seen).ok_or_else(|| unknown(S::SECTION, &name))?;
    let former = api.control.stored.versions(&entry.id).await.map_err(|error| refused(None, &error.into()))?;
    let version = |version: i64, at: i64, by: &str, definition: &Value| json!({"version": version, "updated_at": rfc3339(at), "updated_by": by, "definition": config::hide(S::SECTION, definition)});
    let mut data = vec![version(entry.version, entry.updated_ms, &entry.updated_by, &entry.definition)];
    data.extend(former.iter().map(|former| version(former.version, former.updated_ms, &former.updated_by, &former.definition)));
    Ok(Json(json!({
        "meta": {"total": data.len(), "count": data.len()}, "data": data,
        "links": {"self": format!("{}/{}/versions", path(S::SECTION), name)},
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: i64,
}

/// A former version in force again, as a new one.
pub async fn roll_back<S: Of>(
    State(api): State<Api>,
    view: View,
    Path(name): Path<String>,
    Query(how): Query<How>,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Problem> {
    let Which { version } = read(&body)?;
    edit(&api, &view, Edit { section: S::SECTION, name, to: To::Version(version), of_version: if_match(&headers)? }, &note, &how).await
}

/// All stored entries, in an order that stays.
pub async fn export(State(api): State<Api>, view: View) -> Json<Value> {
    let shown = api.control.stored.all();
    let shown = shown.iter().filter(|entry| view.sees(tenant_of(&entry.definition).as_ref())).filter_map(|entry| {
        let section = Section::named(&entry.section)?;
        Some(json!({"section": section.name(), "name": entry.name, "definition": config::hide(section, &entry.definition)}))
    });
    let data: Vec<Value> = shown.collect();
    Json(json!({"meta": {"total": data.len(), "count": data.len()}, "data": data}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    entries: Vec<Imported>,
    /// Whether stored entries go that are not named.
    #[serde(default)]
    prune: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imported {
    section: String,
    name: String,
    definition: Value,
}

/// Many entries in one change.
pub async fn import(State(api): State<Api>, view: View, Query(how): Query<How>, Extension(note): Extension<Note>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Import { entries, prune } = read(&body)?;
    if entries.len() > MOST_ENTRIES {
        // More than there can be, whatever is there already.
        return Err(refused(None, &EntryError::Many(entries.len())));
    }
    let mut edits = Vec::new();
    for Imported { section, name, definition } in entries {
        let Some(section) = Section::named(&section) else {
            let known = Section::ALL.map(Section::name).join(", ");
            return Err(Problem::bad_request("unknown_section", format!("there is no section `{}`; known are {known}", section.escape_default())));
        };
        edits.push(Edit { section, name, to: To::Put(definition), of_version: None });
    }
    if prune {
        let there = api.control.stored.all();
        // What somebody else stored is not meant by what they do not name.
        let gone = there
            .iter()
            .filter(|entry| view.sees(tenant_of(&entry.definition).as_ref()))
            .cloned()
            .filter_map(|entry| Some((Section::named(&entry.section)?, entry)));
        let gone: Vec<Edit> = gone
            .filter(|(section, entry)| !edits.iter().any(|edit| edit.section == *section && edit.name == entry.name))
            // What was looked at goes, and nothing that was changed meanwhile.
            .map(|(section, entry)| Edit { section, name: entry.name, to: To::Gone, of_version: Some(entry.version) })
            .collect();
        edits.extend(gone);
    }
    let done = api.control.edit(&edits, &view.actor.0, &view.scope, how.dry_run).await.map_err(|error| refused(None, &error))?;
    let entries: Vec<Value> = done.entries.iter().map(difference).collect();
    // A line of the record has a bound.
    note.object("import").after(json!({"dry_run": how.dry_run, "count": entries.len(), "entries": entries.iter().take(50).collect::<Vec<_>>()}));
    Ok(Json(json!({"data": {"dry_run": how.dry_run, "entries": entries, "instances": instances(&view, &done.instances)}})))
}

pub async fn edit(api: &Api, view: &View, edit: Edit, note: &Note, how: &How) -> Result<Answer, Problem> {
    let (section, name) = (edit.section, edit.name.clone());
    note.object(format!("{}/{name}", section.name()));
    let Done { entries, instances: changed } = api
        .control
        .edit(std::slice::from_ref(&edit), &view.actor.0, &view.scope, how.dry_run)
        .await
        .map_err(|error| refused(Some((section, &name)), &error))?;
    let mut more = json!({"dry_run": how.dry_run, "instances": instances(view, &changed)});
    let made = entries.first().is_some_and(|entry| entry.before.is_none());
    let data = match entries.first() {
        Some(entry) => {
            let hidden = |entry: &Entry| json!({"version": entry.version, "definition": config::hide(section, &entry.definition)});
            if how.dry_run {
                note.after(json!({"dry_run": true}));
            } else {
                tracing::info!(section = section.name(), name, by = view.actor.0, change = what(entry), "stored entry changed");
                entry.before.iter().for_each(|before| _ = note.before(hidden(before)));
                entry.after.iter().for_each(|after| _ = note.after(hidden(after)));
            }
            more["change"] = difference(entry);
            entry.after.as_ref().map_or(Value::Null, |after| stored(section, after))
        }
        // It says already what it is to say.
        None => Shown::of(api, view, section).entry(&name).unwrap_or_default(),
    };
    let status = if made && !how.dry_run { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Answer { path: path(section), name, status, data, more })
}

/// One entry as it is answered, while something can still be added to it.
pub struct Answer {
    /// Where things of its kind are found.
    path: &'static str,
    name: String,
    status: StatusCode,
    pub data: Value,
    /// Beside `data`.
    more: Value,
}

impl Answer {
    pub fn of(section: Section, name: &str, data: Value) -> Self {
        Self::at(path(section), name, data)
    }

    pub fn at(path: &'static str, name: &str, data: Value) -> Self {
        Self { path, name: name.to_owned(), status: StatusCode::OK, data, more: json!({}) }
    }

    /// It was not there before, whatever it is a part of.
    pub fn made(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    /// The same thing, found somewhere else and shown otherwise.
    pub fn seen(self, path: &'static str, name: String, show: impl FnOnce(Value) -> Value) -> Self {
        Self { path, name, data: show(self.data), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Self { path, name, status, data, more: mut body } = self;
        let link = format!("{path}/{name}");
        let tag = data["version"].as_i64().map(|version| format!("\"{version}\""));
        body["links"] = json!({"self": link});
        body["data"] = data;
        let mut response = (status, Json(body)).into_response();
        if let Some(tag) = tag.and_then(|tag| tag.parse().ok()) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        if status == StatusCode::CREATED
            && let Ok(link) = link.parse()
        {
            response.headers_mut().insert(header::LOCATION, link);
        }
        response
    }
}

fn what(changed: &Changed) -> &'static str {
    match (&changed.before, &changed.after) {
        (None, _) => "made",
        (_, None) => "deleted",
        _ => "changed",
    }
}

/// What is different, without what it was: secrets may be among it.
fn difference(changed: &Changed) -> Value {
    let mut pointers = match (&changed.before, &changed.after) {
        (Some(before), Some(after)) => differing(&before.definition, &after.definition, String::new()),
        _ => Vec::new(),
    };
    pointers.truncate(100);
    json!({
        "section": changed.section.name(), "name": changed.name, "change": what(changed), "pointers": pointers,
        "version": changed.after.as_ref().map(|after| after.version),
    })
}

/// Pointers of the values that differ, as deep as both are maps.
fn differing(before: &Value, after: &Value, pointer: String) -> Vec<String> {
    match (before, after) {
        _ if before == after => Vec::new(),
        (Value::Object(one), Value::Object(other)) => {
            let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
            keys.sort();
            keys.dedup();
            let step = |key: &String| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            let null = Value::Null;
            keys.into_iter().flat_map(|key| differing(one.get(key).unwrap_or(&null), other.get(key).unwrap_or(&null), step(key))).collect()
        }
        _ => vec![pointer],
    }
}

/// Only its own change with what a tenant changes; how many others there are is not its business.
fn instances(view: &View, changed: &Reloaded) -> Value {
    let names = |names: &[Arc<str>]| names.iter().map(|name| Value::from(&**name)).collect::<Value>();
    json!({"added": names(&changed.added), "changed": names(&changed.changed), "removed": names(&changed.removed), "unchanged": view.scope.is_host().then_some(changed.unchanged)})
}

/// `If-Match: "3"` (RFC 9110 §13.1.1); `*` asks for nothing but that it is there.
pub fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().map(str::trim).and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    version.map(Some).ok_or_else(|| Problem::bad_request("bad_if_match", "`If-Match` is no entity tag that this host gave out, such as \"3\""))
}

pub fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        // Where, but nothing of what it says: a secret may stand there.
        let what = match error.classify() {
            serde_json::error::Category::Data => "has a field that is missing, unknown or of another type",
            _ => "is no JSON",
        };
        Problem::bad_request("bad_body", format!("the body {what} (line {}, column {})", error.line(), error.column()))
    })
}

pub fn unknown(section: Section, name: &str) -> Problem {
    Problem::not_found(format!("there is no entry `{}.{}`", section.name(), name.escape_default()))
}

/// `about` is the entry that a request's body is the definition of.
pub fn refused(about: Option<(Section, &str)>, error: &EntryError) -> Problem {
    let text = error.to_string();
    let conflict = |code| Problem::new(StatusCode::CONFLICT, code, text.clone());
    match error {
        EntryError::Disabled => Problem::new(StatusCode::FORBIDDEN, "stored_disabled", text),
        EntryError::InFile { .. } => conflict("in_file"),
        EntryError::Made { .. } => conflict("part_of_another"),
        EntryError::Unknown { .. } | EntryError::NoVersion { .. } | EntryError::NoInstance(_) => Problem::not_found(text),
        EntryError::Exists { .. } | EntryError::Taken { .. } | EntryError::NameOfFormatter { .. } => conflict("exists"),
        EntryError::OtherTenant { .. } | EntryError::TenantStays { .. } => {
            let fault = json!({"pointer": "/definition/tenant", "detail": text});
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other_tenant", text.clone()).errors(vec![fault])
        }
        EntryError::Raced { .. } => conflict("raced"),
        EntryError::Stale { .. } => Problem::new(StatusCode::PRECONDITION_FAILED, "stale", text),
        EntryError::Twice { .. } => Problem::bad_request("twice", text),
        EntryError::Many(_) | EntryError::ManyOfTenant(_) => conflict("too_many"),
        EntryError::Large { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text),
        EntryError::NoKey => conflict("no_key"),
        EntryError::Hidden { pointer, .. } => {
            let fault = json!({"pointer": format!("/definition{pointer}"), "detail": text});
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "hidden", text.clone()).errors(vec![fault])
        }
        EntryError::InUse(found) => conflict("in_use").errors(faults(about, found)),
        EntryError::Faults(found) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text).errors(faults(about, found)),
        EntryError::Refused(error @ ReloadError::LaneWithBacklog { .. }) => Problem::new(StatusCode::CONFLICT, "lane_with_backlog", error.to_string()),
        EntryError::Refused(error @ ReloadError::ChangesHands(_)) => Problem::new(StatusCode::CONFLICT, "changes_hands", error.to_string()),
        EntryError::Refused(error) => Problem::internal(error),
        EntryError::Store(error) if error.is_full() => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", text),
        EntryError::Store(error) => Problem::unavailable(error),
    }
}

/// Each with its pointer into the body of the request, where it is about the entry of the request.
pub fn faults(about: Option<(Section, &str)>, faults: &[Fault]) -> Vec<Value> {
    let within = about.map(|(section, name)| format!("{}.{name}", section.name()));
    let one = |fault: &Fault| {
        let keys = within.as_ref().and_then(|within| fault.key.strip_prefix(within.as_str()));
        let pointer = keys.map(|keys| {
            let keys = keys.replace('~', "~0").replace('/', "~1").replace(['.', '['], "/").replace(']', "");
            format!("/definition{keys}")
        });
        json!({"pointer": pointer, "key": fault.key, "code": fault.kind.code(), "detail": fault.message, "hint": fault.hint})
    };
    faults.iter().take(100).map(one).collect()
}
