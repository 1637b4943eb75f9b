//! The log of instances.

use axum::Json;
use axum::extract::{Path, State};
use bulkhead_store::{LogEntry, LogFilter, LogType};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::extract::Words;
use super::page::Bounds;
use super::problem::Problem;
use super::tap::fault;
use super::view::View;
use super::{Api, rfc3339};
use crate::config::Section;

const PATH: &str = "/api/integration/logs";
/// Bytes of a text that is looked for.
const MOST_TEXT: usize = 256;

pub async fn list(State(api): State<Api>, view: View, words: Words) -> Result<Json<Listed<Value>>, Problem> {
    words.known(&["instance", "type", "operation", "sync_id", "since", "until", "text", "limit", "offset"])?;
    let instance = words.text("instance")?.map(str::to_owned);
    answer(&api, &view, PATH, instance, &words).await
}

/// What is forgotten about an instance that is there is an empty list.
pub async fn of_instance(State(api): State<Api>, view: View, Path(instance): Path<String>, words: Words) -> Result<Json<Listed<Value>>, Problem> {
    words.known(&["type", "operation", "sync_id", "since", "until", "text", "limit", "offset"])?;
    let known = view.config.has(Section::Instances, &instance) && !view.hides_instance(&instance);
    let path = format!("{PATH}/{}", super::extract::percent(&instance));
    let answer = answer(&api, &view, &path, Some(instance.clone()), &words).await?;
    if !known && answer.meta["total"] == 0 {
        return Err(Problem::not_found(format!("there is no instance `{}`, and no log of one", instance.escape_default())));
    }
    Ok(answer)
}

async fn answer(api: &Api, view: &View, path: &str, instance: Option<String>, words: &Words) -> Result<Json<Listed<Value>>, Problem> {
    let bounds = bounds(words)?;
    let kind = |word: &String| {
        let names = || LogType::ALL.map(LogType::name).join(", ");
        LogType::named(word).ok_or_else(|| fault("type", format!("there is no type `{}`; known are {}", word.escape_default(), names())))
    };
    let text = words.text("text")?;
    if text.is_some_and(|text| text.len() > MOST_TEXT || text.chars().any(char::is_control)) {
        return Err(fault("text", format!("`text` is at most {MOST_TEXT} bytes without control characters")));
    }
    let id = |text: &str| text.parse::<Uuid>().map_err(|_| fault("sync_id", "`sync_id` is the id of a run, a UUID"));
    let filter = LogFilter {
        tenant: view.scope.name().map(str::to_owned),
        instance,
        types: words.list("type")?.iter().map(kind).collect::<Result<_, _>>()?,
        operation: words.text("operation")?.map(str::to_owned),
        sync_id: words.text("sync_id")?.map(id).transpose()?,
        text: text.filter(|text| !text.is_empty()).map(str::to_owned),
        since_ms: millis(words, "since")?,
        until_ms: millis(words, "until")?,
    };
    let (entries, total) = api.log_table.list(&filter, bounds.offset as u64, bounds.limit as u32).await.map_err(|error| Problem::unavailable(&error))?;
    let data = entries.iter().map(shown).collect::<Vec<_>>();
    Ok(Json(page(bounds, path, &words.query_without(&["limit", "offset"]), total, data)))
}

fn shown(entry: &LogEntry) -> Value {
    // Written by the host, so that it is JSON.
    let details = entry.details.as_deref().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    json!({
        "id": entry.id.to_string(), "instance": Some(&entry.instance).filter(|name| !name.is_empty()), "log_type": entry.log_type.name(),
        "timestamp": rfc3339(entry.at_ms), "operation": entry.operation, "message": entry.message, "details": details, "user": entry.user,
        "sync_id": entry.sync_id.map(|id| id.to_string()),
    })
}

/// Which page is wanted.
pub fn bounds(words: &Words) -> Result<Bounds, Problem> {
    let offset = words.number("offset")?.unwrap_or(0);
    let offset = u32::try_from(offset).map_err(|_| fault("offset", format!("`offset` is {offset}; it must be 0 to {}", u32::MAX)))?;
    Ok(Bounds { limit: words.limit()? as usize, offset: offset as usize })
}

/// A moment of the query in milliseconds since 1970.
pub fn millis(words: &Words, name: &str) -> Result<Option<i64>, Problem> {
    Ok(words.time(name)?.map(|nanos| i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)))
}

/// A page that the store has cut.
#[derive(Debug, Serialize)]
pub struct Listed<T> {
    pub meta: Value,
    links: Value,
    data: Vec<T>,
}

/// With the way to its neighbours. `query` is what else was asked for, `a=b&`.
pub fn page<T>(bounds: Bounds, path: &str, query: &str, total: u64, data: Vec<T>) -> Listed<T> {
    let Bounds { limit, offset } = bounds;
    let link = |offset: usize| format!("{path}?{query}limit={limit}&offset={offset}");
    let end = offset.saturating_add(data.len());
    Listed {
        meta: json!({"total": total, "count": data.len(), "limit": limit, "offset": offset}),
        links: json!({
            "self": link(offset),
            "next": (data.len() == limit && (end as u64) < total).then(|| link(end)),
            "prev": (offset > 0).then(|| link(offset.saturating_sub(limit))),
        }),
        data,
    }
}
