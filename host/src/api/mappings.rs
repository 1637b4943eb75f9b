//! Mappings: the configured formatters of the mapping formatters, seen by themselves. `field_mappings` are the rows
//! (`config.fields`), `transformations` the jq program before them (`config.jq`, which makes it one of `mapping-jq`),
//! `rules` what every event must keep (`config.validate`). They are the entries of `/formatters`, with their versions;
//! what is neither stays out of sight here, and is never changed through here.
//!
//! What is said of a definition or made of samples is said and made by the guest that runs in delivery.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use bulkhead_access::{Permission, Principal};
use bulkhead_store::EventFilter;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Api;
use super::auth::lacks;
use super::entries::{self, Answer, How, Shown, faults, if_match, read};
use super::page::Page;
use super::preview::{MOST_EVENTS, problem};
use super::problem::Problem;
use super::view::View;
use crate::config::Section;
use crate::pipeline::stored::{Edit, To};
use crate::pipeline::{Preview, PreviewError};
use crate::trail::Note;

const PATH: &str = "/api/integration/mappings";
const SECTION: Section = Section::Formatters;
/// Without and with a program before the rows.
const ROWS: &str = "mapping";
const PROGRAM: &str = "mapping-jq";
/// Where the parts of a mapping stand in a definition.
const PLACES: [(&str, &str); 5] =
    [("/config/fields", "/field_mappings"), ("/config/validate", "/rules"), ("/config/jq", "/transformations"), ("/limits", "/limits"), ("/tenant", "/tenant")];

/// What a mapping is, as clients write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    name: Option<String>,
    field_mappings: Value,
    transformations: Option<Value>,
    rules: Option<Value>,
    limits: Option<Value>,
    /// Whose it is, where somebody of the host makes it.
    tenant: Option<Value>,
}

impl Mapping {
    fn definition(self) -> Value {
        let given = |value: Option<Value>| value.filter(|value| !value.is_null());
        let mut config = Map::from_iter([("fields".to_owned(), self.field_mappings)]);
        let program = given(self.transformations);
        let formatter = if program.is_some() { PROGRAM } else { ROWS };
        config.extend(program.map(|program| ("jq".to_owned(), program)));
        config.extend(given(self.rules).map(|rules| ("validate".to_owned(), rules)));
        let mut definition = json!({"formatter": formatter, "config": config});
        if let Some(limits) = given(self.limits) {
            definition["limits"] = limits;
        }
        if let Some(tenant) = given(self.tenant) {
            definition["tenant"] = tenant;
        }
        definition
    }
}

/// Whether a definition is one of a mapping, whatever the version of its component.
fn is_mapping(definition: &Value) -> bool {
    definition["formatter"].as_str().and_then(|name| name.split('@').next()).is_some_and(|name| [ROWS, PROGRAM].contains(&name))
}

/// An entry as a mapping: its definition in parts.
fn parts(mut shown: Value) -> Value {
    if let Value::Object(fields) = &mut shown
        && let Some(definition) = fields.remove("definition")
    {
        let config = &definition["config"];
        fields.extend([
            ("formatter".to_owned(), definition["formatter"].clone()),
            ("field_mappings".to_owned(), config["fields"].clone()),
            ("transformations".to_owned(), config["jq"].clone()),
            ("rules".to_owned(), config["validate"].clone()),
            ("limits".to_owned(), definition["limits"].clone()),
            ("tenant".to_owned(), definition["tenant"].clone()),
        ]);
    }
    shown
}

/// With the instances that are handed what it makes.
fn with_instances(api: &Api, view: &View, name: &str, shown: Value) -> Value {
    let mut shown = parts(shown);
    if shown.is_object() {
        let lanes = api.delivery.status();
        let instances: BTreeSet<&str> =
            lanes.iter().filter(|lane| &*lane.lane.format == name && !view.hides_instance(&lane.lane.instance)).map(|lane| &*lane.lane.instance).collect();
        shown["instances"] = json!(instances);
    }
    shown
}

fn entry(api: &Api, view: &View, name: &str) -> Option<Value> {
    Shown::of(api, view, SECTION).entry(name).filter(|entry| is_mapping(&entry["definition"]))
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no mapping `{}`", name.escape_default()))
}

/// A formatter of that name that is something else stays what it is.
/// Answers the version that was looked at, so that what came in between is not written over.
fn not_another(api: &Api, view: &View, name: &str) -> Result<Option<i64>, Problem> {
    match Shown::of(api, view, SECTION).entry(name) {
        None => Ok(None),
        Some(entry) if is_mapping(&entry["definition"]) => Ok(entry["version"].as_i64()),
        Some(other) => {
            let text = format!("`formatters.{name}` is no mapping but one of `{}`", other["definition"]["formatter"].as_str().unwrap_or_default());
            Err(Problem::new(StatusCode::CONFLICT, "not_a_mapping", text))
        }
    }
}

/// Where in a mapping a place of its definition is. What the guest said of its configuration names the key within it.
fn place(pointer: &str, fault: &Value) -> Option<String> {
    let within = pointer.strip_prefix("/definition")?;
    if within == "/config"
        && let Some(key) = fault["detail"].as_str().and_then(|text| text.split('`').nth(1))
    {
        let key = format!("/config/{}", key.replace(['.', '['], "/").replace(']', ""));
        // Of something that has no name in it: the rows.
        return moved(&key).or_else(|| Some("/field_mappings".to_owned()));
    }
    moved(within)
}

fn moved(within: &str) -> Option<String> {
    PLACES.iter().find_map(|(place, own)| {
        let rest = within.strip_prefix(place)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{own}{rest}"))
    })
}

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let bounds = page.bounds()?;
    let shown = Shown::of(&api, &view, SECTION);
    let all: Vec<(String, Value)> = shown.names().into_iter().filter_map(|name| Some((name.clone(), shown.entry(&name)?))).collect();
    let all: Vec<_> = all.into_iter().filter(|(_, entry)| is_mapping(&entry["definition"])).collect();
    Ok(bounds.answer(PATH, &all, |(name, entry)| with_instances(&api, &view, name, entry.clone())))
}

pub async fn show(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Answer, Problem> {
    let data = entry(&api, &view, &name).ok_or_else(|| unknown(&name))?;
    Ok(Answer::at(PATH, &name, with_instances(&api, &view, &name, data)))
}

async fn edit(api: &Api, view: &View, name: String, to: To, of_version: Option<i64>, note: &Note, how: &How) -> Result<Answer, Problem> {
    let done = entries::edit(api, view, Edit { section: SECTION, name: name.clone(), to, of_version }, note, how).await;
    let done = done.map_err(|problem| problem.pointers(place))?;
    Ok(done.seen(PATH, name.clone(), |data| with_instances(api, view, &name, data)))
}

pub async fn make(State(api): State<Api>, Query(how): Query<How>, view: View, Extension(note): Extension<Note>, body: Bytes) -> Result<Answer, Problem> {
    let mut mapping: Mapping = read(&body)?;
    let Some(name) = mapping.name.take() else {
        return Err(Problem::bad_request("bad_field", "`name` is missing").errors(vec![json!({"pointer": "/name"})]));
    };
    edit(&api, &view, name, To::Make(mapping.definition()), None, &note, &how).await
}

pub async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(how): Query<How>,
    view: View,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Problem> {
    let mapping: Mapping = read(&body)?;
    if mapping.name.as_ref().is_some_and(|other| *other != name) {
        let text = "`name` is not that of the path: a mapping keeps its name";
        return Err(Problem::bad_request("bad_field", text).errors(vec![json!({"pointer": "/name"})]));
    }
    let looked_at = not_another(&api, &view, &name)?;
    let of_version = if_match(&headers)?.or(looked_at);
    let definition = mapping.definition();
    let to = if of_version.is_some() { To::Change(definition) } else { To::Put(definition) };
    edit(&api, &view, name, to, of_version, &note, &how).await
}

pub async fn delete(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(how): Query<How>,
    view: View,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let looked_at = entry(&api, &view, &name).ok_or_else(|| unknown(&name))?["version"].as_i64();
    edit(&api, &view, name, To::Gone, if_match(&headers)?.or(looked_at), &note, &how).await
}

pub async fn versions(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    entry(&api, &view, &name).ok_or_else(|| unknown(&name))?;
    let Json(mut answer) = entries::versions::<entries::Formatters>(State(api), view, Path(name.clone())).await?;
    if let Some(versions) = answer["data"].as_array_mut() {
        // It may have been another formatter before.
        versions.retain(|version| is_mapping(&version["definition"]));
        versions.iter_mut().for_each(|version| *version = parts(version.take()));
        let count = versions.len();
        answer["meta"] = json!({"total": count, "count": count});
    }
    answer["links"] = json!({"self": format!("{PATH}/{name}/versions")});
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: i64,
}

pub async fn roll_back(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(how): Query<How>,
    view: View,
    Extension(note): Extension<Note>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Problem> {
    let Which { version } = read(&body)?;
    let Json(known) = versions(State(api.clone()), view.clone(), Path(name.clone())).await?;
    if !known["data"].as_array().is_some_and(|known| known.iter().any(|known| known["version"] == version)) {
        return Err(Problem::not_found(format!("the mapping `{name}` has no version {version}")));
    }
    edit(&api, &view, name, To::Version(version), if_match(&headers)?, &note, &how).await
}

/// Whether a definition compiles in the guest of delivery; the stored one where none is sent. Nothing is kept.
pub async fn validate(State(api): State<Api>, view: View, Path(name): Path<String>, body: Bytes) -> Result<Json<Value>, Problem> {
    let definition = if body.is_empty() { None } else { Some(read::<Mapping>(&body)?.definition()) };
    if definition.is_none() {
        entry(&api, &view, &name).ok_or_else(|| unknown(&name))?;
    }
    let found = match api.control.preview(&name, definition, &[], &view.scope).await {
        Ok(_) => Vec::new(),
        Err(PreviewError::Faults(found)) => faults(Some((SECTION, &name)), &found),
        Err(error @ (PreviewError::Open(_) | PreviewError::Guest(_))) => vec![json!({"pointer": "/definition/config", "detail": error.to_string()})],
        Err(error @ PreviewError::Unknown(_)) => return Err(Problem::not_found(error.to_string())),
    };
    let errors = found.into_iter().map(|mut fault| {
        if let Some(own) = fault["pointer"].as_str().and_then(|pointer| place(pointer, &fault)) {
            fault["pointer"] = own.into();
        }
        fault
    });
    let errors: Vec<Value> = errors.collect();
    Ok(Json(json!({"data": {"name": name, "valid": errors.is_empty(), "errors": errors}})))
}

/// Samples, and perhaps another definition than the stored one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    field_mappings: Option<Value>,
    transformations: Option<Value>,
    rules: Option<Value>,
    limits: Option<Value>,
    /// As they would be posted: digits of their numbers stay.
    samples: Option<Vec<Box<RawValue>>>,
    /// So many of the last events of the index in their place, of this type where it is named.
    last: Option<u32>,
    event_type: Option<String>,
}

/// One sample and what becomes of it: texts as they are, digits included.
#[derive(Serialize)]
pub struct Tried {
    input: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<Value>,
}

#[derive(Serialize)]
pub struct Trials {
    data: Vec<Tried>,
    meta: Value,
}

pub async fn test(
    State(api): State<Api>,
    view: View,
    Extension(caller): Extension<Principal>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Trials>, Problem> {
    let Trial { field_mappings, transformations, rules, limits, samples, last, event_type } = read(&body)?;
    let definition = match field_mappings {
        Some(field_mappings) => Some(Mapping { name: None, field_mappings, transformations, rules, limits, tenant: None }.definition()),
        None if transformations.is_some() || rules.is_some() || limits.is_some() => {
            let text = "another definition than the stored one needs its `field_mappings`";
            return Err(Problem::bad_request("bad_field", text).errors(vec![json!({"pointer": "/field_mappings"})]));
        }
        None => {
            entry(&api, &view, &name).ok_or_else(|| unknown(&name))?;
            None
        }
    };
    let samples = match (samples, last) {
        (Some(samples), None) if event_type.is_none() => samples,
        (None, Some(last)) => recent(&api, &view, &caller, last, event_type).await?,
        _ => {
            let text = "what is tried is either `samples`, or the `last` events of the index, perhaps of one `event_type`";
            return Err(Problem::bad_request("bad_samples", text));
        }
    };
    if samples.len() > MOST_EVENTS {
        return Err(Problem::bad_request("bad_samples", format!("{} samples; 1 to {MOST_EVENTS} are possible", samples.len())));
    }
    let texts: Vec<&str> = samples.iter().map(|sample| sample.get()).collect();
    let previewed = api.control.preview(&name, definition, &texts, &view.scope).await.map_err(|error| problem(&name, error).pointers(place))?;
    let data = samples.into_iter().zip(previewed.events).map(|(input, event)| {
        let fault = |pointer: &str, reason: String| Some(json!({"pointer": pointer, "detail": reason}));
        let (output, fault) = match event {
            Preview::Record(bytes) => match String::from_utf8(bytes).map_err(|error| error.to_string()).and_then(raw) {
                Ok(record) => (Some(record), None),
                Err(reason) => (None, fault("", reason)),
            },
            Preview::Refused(reason) => (None, fault("", reason)),
            Preview::NoEvent { pointer, reason } => (None, fault(&pointer, reason)),
        };
        Tried { input, output, fault }
    });
    let data: Vec<Tried> = data.collect();
    let faulty = data.iter().filter(|tried| tried.fault.is_some()).count();
    Ok(Json(Trials { meta: json!({"count": data.len(), "faulty": faulty, "content_type": previewed.content_type}), data }))
}

fn raw(record: String) -> Result<Box<RawValue>, String> {
    RawValue::from_string(record).map_err(|error| format!("what the mapping made is no JSON: {error}"))
}

/// The last events, as people may see them.
async fn recent(api: &Api, view: &View, caller: &Principal, last: u32, event_type: Option<String>) -> Result<Vec<Box<RawValue>>, Problem> {
    if !caller.permissions.has(Permission::EventsRead) {
        return Err(lacks(Permission::EventsRead, "`last` needs"));
    }
    if last == 0 || last as usize > MOST_EVENTS {
        return Err(Problem::bad_request("bad_samples", format!("`last` is {last}; 1 to {MOST_EVENTS} are possible")).errors(vec![json!({"pointer": "/last"})]));
    }
    let index = super::events::index(api)?;
    let filter = EventFilter { types: event_type.into_iter().collect(), tenant: view.scope.name().map(str::to_owned), ..EventFilter::default() };
    let (events, _) = index.table.list(&filter, 0, last).await.map_err(|error| Problem::unavailable(&error))?;
    let found = events.len();
    let bodies: Vec<Box<RawValue>> = events.into_iter().filter_map(|event| RawValue::from_string(event.body?).ok()).collect();
    if bodies.is_empty() {
        let (code, text) = match found {
            0 => ("no_events", "there is no such event in the index yet"),
            _ => ("no_bodies", "the index keeps no bodies (event_index.body); send `samples`"),
        };
        return Err(Problem::new(StatusCode::CONFLICT, code, text));
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_and_its_definition_are_the_same_thing_and_so_are_their_places() {
        let mapping: Mapping =
            serde_json::from_value(json!({"field_mappings": [{"to": "a", "from": "/id"}], "transformations": ".", "rules": null})).expect("reads");
        let definition = mapping.definition();
        assert_eq!(definition, json!({"formatter": "mapping-jq", "config": {"fields": [{"to": "a", "from": "/id"}], "jq": "."}}));
        let shown = parts(json!({"name": "m", "definition": definition}));
        assert_eq!((&shown["transformations"], &shown["rules"], shown.get("definition")), (&json!("."), &Value::Null, None));
        assert!(is_mapping(&json!({"formatter": "mapping@1.2"})) && !is_mapping(&json!({"formatter": "mappings"})));
        for (pointer, detail, want) in [
            ("/definition/config/fields/3/to", "", Some("/field_mappings/3/to")),
            ("/definition/config/validate", "", Some("/rules")),
            ("/definition/limits/fuel", "", Some("/limits/fuel")),
            ("/definition/formatter", "", None),
            ("/definition/config", "the configuration was refused: `fields[1].expr` is no expression", Some("/field_mappings/1/expr")),
            ("/definition/config", "the configuration was refused: `jq` does not compile", Some("/transformations")),
        ] {
            assert_eq!(place(pointer, &json!({"detail": detail})).as_deref(), want, "{pointer} {detail}");
        }
    }
}
