//! The live view as server-sent events (WHATWG HTML, "Server-sent events"): what is accepted, and what becomes of it.
//!
//! A stream ends after [`LIFE`], so that who may not see any more sees nothing for longer than that: clients come back
//! by themselves and go on behind the last id that they saw. One that takes nothing for [`STUCK`] is let go.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use bulkhead_core::Severity;
use serde_json::json;
use tokio::sync::mpsc;

use super::Api;
use super::extract::Words;
use super::problem::Problem;
use super::view::View;
use crate::config::Section;
use crate::observed::tap::{Filter, Listener, OUTCOMES, Told};

const LIFE: Duration = Duration::from_secs(300);
const STUCK: Duration = Duration::from_secs(60);
/// Longest time without a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Until a client that lost the stream should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// Values of one filter.
const MOST_VALUES: usize = 64;
/// Events on their way to the socket.
const AHEAD: usize = 16;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub async fn listen(State(api): State<Api>, view: View, headers: HeaderMap, words: Words) -> Result<Response, Problem> {
    words.known(&["instance", "route", "type", "severity", "outcome", "body", "last_event_id"])?;
    let filter = filter(&view, &words)?;
    let header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let last = header.or(words.text("last_event_id")?);
    let listener = api.tap.listen(filter, last).map_err(|full| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "tap_full", full.to_string()).retry_after(10))?;
    let (events, stream) = mpsc::channel(AHEAD);
    tokio::spawn(speak(listener, events));
    let stream = futures_util::stream::unfold(stream, |mut stream| async { stream.recv().await.map(|event: Event| (Ok::<_, Infallible>(event), stream)) });
    Ok(([(header::CACHE_CONTROL, "no-store")], Sse::new(stream)).into_response())
}

async fn speak(mut listener: Listener, events: mpsc::Sender<Event>) {
    let end = tokio::time::Instant::now() + LIFE;
    // At once, so that the client knows that it is listened to.
    let mut next = Event::default().retry(COME_BACK).comment("bulkhead");
    while tokio::time::Instant::now() < end {
        if !matches!(tokio::time::timeout(STUCK, events.send(next)).await, Ok(Ok(()))) {
            return;
        }
        let told = tokio::select! {
            () = events.closed() => return,
            told = listener.next(HEARTBEAT) => told,
        };
        next = match told {
            Told::Entry { id, event, data } => Event::default().id(id).event(event).data(data),
            Told::Quiet { id } => Event::default().id(id).comment("quiet"),
            Told::End => return,
        };
    }
}

fn filter(view: &View, words: &Words) -> Result<Filter, Problem> {
    let list = |name: &str| {
        let values = words.list(name)?;
        if values.len() > MOST_VALUES {
            return Err(fault(name, format!("`{name}` has {} values; at most {MOST_VALUES} are taken", values.len())));
        }
        Ok(values)
    };
    let config = &view.config;
    let hidden = |section, name: &str| !view.sees(config.owners.of(section, name));
    let (instances, routes) = (list("instance")?, list("route")?);
    if let Some(name) = instances.iter().find(|name| hidden(Section::Instances, name) || !config.instances.iter().any(|known| known.name == **name)) {
        return Err(Problem::not_found(format!("there is no instance `{}`", name.escape_default())));
    }
    if let Some(id) = routes.iter().find(|id| hidden(Section::Routes, id) || !config.routes.iter().any(|known| *known.id == ***id)) {
        return Err(Problem::not_found(format!("there is no route `{}`", id.escape_default())));
    }
    let severities = list("severity")?.iter().map(|word| severity(word)).collect::<Result<_, _>>()?;
    let outcome = |word: &String| {
        let known = OUTCOMES.into_iter().find(|known| known == word);
        known.ok_or_else(|| fault("outcome", format!("there is no outcome `{}`; known are {}", word.escape_default(), OUTCOMES.join(", "))))
    };
    let outcomes = list("outcome")?.iter().map(outcome).collect::<Result<_, _>>()?;
    Ok(Filter { instances, routes, types: list("type")?, severities, outcomes, body: words.flag("body")?, within: view.within() })
}

/// One of the five names; synonyms of other systems are for events, not for questions.
pub fn severity(word: &str) -> Result<Severity, Problem> {
    let known = Severity::ALL.into_iter().find(|severity| severity.name() == word);
    let names = || Severity::ALL.map(Severity::name).join(", ");
    known.ok_or_else(|| fault("severity", format!("there is no severity `{}`; known are {}", word.escape_default(), names())))
}

pub fn fault(name: &str, detail: impl Into<String>) -> Problem {
    Problem::bad_request("bad_field", detail).errors(vec![json!({"pointer": format!("/{name}")})])
}
