//! Types of events that a subscription can name: those among the last that came in, and the host's own.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use bulkhead_core::{Attr, Seq, Shape};
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::rfc3339;
use super::view::View;
use crate::own_events::KINDS;

/// Events that are looked at, the last ones.
const EVENTS: u64 = 10_000;
/// Types that are listed, the most frequent ones.
const TYPES: usize = 500;

struct Seen {
    events: u64,
    last_ms: i64,
}

pub async fn list(State(api): State<Api>, view: View) -> Result<Json<Value>, Problem> {
    let head = api.journal.head();
    let mut after = Seq(head.0.saturating_sub(EVENTS).max(api.journal.stats().oldest.0.saturating_sub(1)));
    let mut reader = api.journal.reader(after);
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut looked = 0;
    while after < head {
        // What is gone meanwhile, or cannot be read, is passed over by the next look.
        let Ok(frame) = reader.next().await else { break };
        let from = after;
        after = Seq(frame.first().0 + frame.len() as u64 - 1);
        for (_, event) in frame.events().filter(|(seq, _)| *seq > from && *seq <= head) {
            if event.shape() == Shape::Own || view.scope.name().is_some_and(|tenant| event.tenant() != Some(tenant)) {
                continue;
            }
            looked += 1;
            let name = event.attr(Attr::Type).and_then(|value| value.text()).unwrap_or_default().into_owned();
            let last_ms = i64::try_from(event.received() / 1_000_000).unwrap_or(i64::MAX);
            let entry = seen.entry(name).or_insert(Seen { events: 0, last_ms });
            entry.events += 1;
            entry.last_ms = entry.last_ms.max(last_ms);
        }
    }
    let mut seen: Vec<(String, Seen)> = seen.into_iter().collect();
    let types = seen.len();
    seen.sort_by(|(one, a), (other, b)| b.events.cmp(&a.events).then_with(|| one.cmp(other)));
    seen.truncate(TYPES);
    let came = seen.iter().map(|(name, seen)| json!({"type": name, "origin": "events", "events": seen.events, "last_seen": rfc3339(seen.last_ms)}));
    let own = KINDS.iter().map(|(kind, meaning)| json!({"type": format!("bulkhead.{kind}"), "origin": "bulkhead", "meaning": meaning}));
    let data: Vec<Value> = came.chain(own).collect();
    let meta = json!({"total": types + KINDS.len(), "count": data.len(), "events_looked_at": looked, "own_events": view.config.own_events});
    Ok(Json(json!({"data": data, "meta": meta, "links": {"self": "/api/integration/events/types"}})))
}
