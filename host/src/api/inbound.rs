//! Inbound webhooks: what came to their addresses, and what was refused. Never a key.

use axum::Json;
use axum::extract::{Path, State};
use bulkhead_ingest::InboundStatus;
use serde_json::{Value, json};

use super::problem::Problem;
use super::view::View;
use super::{Api, rfc3339};

/// Whether somebody sees an inbound webhook: people of a tenant, where it says that its events are theirs.
fn seen(view: &View, status: &InboundStatus) -> bool {
    view.sees(view.config.owners.of_inbound(&status.name))
}

pub async fn list(State(api): State<Api>, view: View) -> Json<Value> {
    let data: Vec<Value> = api.control.inbound.status().iter().filter(|status| seen(&view, status)).map(one).collect();
    Json(json!({"meta": {"total": data.len(), "count": data.len()}, "data": data}))
}

pub async fn show(State(api): State<Api>, view: View, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let status = api.control.inbound.status().into_iter().find(|status| status.name == name && seen(&view, status));
    let status = status.ok_or_else(|| Problem::not_found(format!("there is no inbound webhook `{}`", name.escape_default())))?;
    Ok(Json(json!({"data": one(&status)})))
}

fn one(status: &InboundStatus) -> Value {
    let time = |ms: Option<i64>| ms.and_then(rfc3339);
    // An old secret that nobody signs with any more can go.
    let places = |used: &[Option<i64>], count: usize| used.iter().take(count).map(|ms| json!({"last_used": time(*ms)})).collect::<Vec<_>>();
    json!({
        "name": status.name, "verify": status.verify, "instance": status.instance, "last_error": status.last_error,
        "last_received": time(status.last_received_ms),
        "accepted": status.accepted, "repeated": status.repeated, "events": status.events, "remembered": status.remembered,
        "keys": places(&status.keys_used_ms, status.keys), "secrets": places(&status.secrets_used_ms, status.secrets),
        "refused": status.refused.iter().map(|refused| json!({"reason": refused.reason, "count": refused.count, "last": rfc3339(refused.last_ms)})).collect::<Vec<_>>(),
    })
}

/// For health: enough to see that nothing comes, or that all of it is refused.
pub fn summary(api: &Api, view: &View) -> Vec<Value> {
    let brief = |status: &InboundStatus| {
        let refused: u64 = status.refused.iter().map(|refused| refused.count).sum();
        json!({"name": status.name, "verify": status.verify, "last_received": status.last_received_ms.and_then(rfc3339), "accepted": status.accepted, "refused": refused})
    };
    api.control.inbound.status().iter().filter(|status| seen(view, status)).map(brief).collect()
}
