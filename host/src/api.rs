//! The management listener: health, metrics, lanes, dead letters.

mod auth;
mod connectors;
mod dead_letters;
mod extract;
mod inbound;
mod lanes;
pub mod problem;
mod pulls;
mod queries;
mod receipts;
mod replays;
mod sync;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bulkhead_core::{Clock, LaneId, MAX_EVENT_BYTES};
use bulkhead_deliver::Delivery;
use bulkhead_ingest::{FilesHandle, Pulls};
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;
use bulkhead_store::{DeadLetters, SyncExecutions};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use problem::Problem;

use crate::pipeline::Control;
use crate::replay::{self, Replayer};
use crate::unverified::Unverified;

/// Largest body of a management request in bytes.
const MAX_BODY: usize = 64 << 10;
/// Most uploads at the same time.
pub const UPLOADS: usize = 4;

/// What the endpoints work on. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub metrics: Metrics,
    pub delivery: Arc<Delivery>,
    pub journal: Journal,
    pub dead_letters: DeadLetters,
    pub replayer: Arc<Replayer>,
    pub lane_replays: Arc<replay::lane::Lanes>,
    /// Whether the intake asks for the required fields of a shape; edits are held to the same.
    pub strict: bool,
    /// The folder of receipts, where they are kept.
    pub receipts: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    pub tokens: Arc<[SecretString]>,
    pub control: Arc<Control>,
    /// Places for uploads.
    pub uploads: Arc<Semaphore>,
    /// True between the first moment that events can be accepted and the begin of the drain.
    pub ready: Arc<AtomicBool>,
    pub unverified: Unverified,
    /// Entries of `listen.files`.
    pub files: Arc<[FilesHandle]>,
    pub pulls: Arc<Pulls>,
    pub sync_executions: SyncExecutions,
}

/// Serves until cancelled. Not cancel safe beyond the token: requests under way are answered.
pub async fn serve(listener: TcpListener, api: Api, cancel: CancellationToken) {
    let served = axum::serve(listener, routes(api)).with_graceful_shutdown(cancel.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the API listener ended");
    }
}

fn routes(api: Api) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/integration/health", get(lanes::health))
        .route("/api/integration/instances", get(lanes::instances))
        .route("/api/integration/instances/{instance}/pause", post(lanes::pause))
        .route("/api/integration/instances/{instance}/resume", post(lanes::resume))
        .route("/api/integration/instances/{instance}/pull", post(sync::now).delete(sync::anew))
        .route("/api/integration/instances/{instance}/sync", post(sync::now))
        .route("/api/integration/schedules", get(sync::schedules))
        .route("/api/integration/sync-executions", get(sync::list))
        .route("/api/integration/sync-executions/{id}", get(sync::show))
        .route("/api/integration/instances/{instance}/query", post(queries::ask))
        .route("/api/integration/instances/{instance}/test", post(queries::test))
        .route("/api/integration/inbound", get(inbound::list))
        .route("/api/integration/inbound/{name}", get(inbound::show))
        .route("/api/integration/audit/receipts", get(receipts::list))
        .route("/api/integration/dead-letters", get(dead_letters::list))
        .route("/api/integration/dead-letters/{id}", get(dead_letters::show))
        .route(
            "/api/integration/dead-letters/{id}/event",
            axum::routing::put(dead_letters::replace).patch(dead_letters::patch).layer(DefaultBodyLimit::max(MAX_EVENT_BYTES)),
        )
        .route("/api/integration/replays", get(replays::list).post(replays::begin))
        .route("/api/integration/replays/{id}", get(replays::show).delete(replays::cancel))
        .route("/api/integration/dead-letters/replay", post(dead_letters::replay))
        .route("/api/integration/dead-letters/purge", post(dead_letters::purge))
        // Bounded by the ceiling of `limits.component_size`, on its way to disk.
        .route("/api/integration/connectors", get(connectors::list).post(connectors::upload).layer(DefaultBodyLimit::disable()))
        .route("/api/integration/connectors/{id}", get(connectors::show))
        .route("/api/integration/connectors/{id}/schema", get(connectors::schema))
        .route("/api/integration/connectors/{id}/capabilities", get(connectors::capabilities))
        .route("/api/integration/connectors/{id}/rollback", post(connectors::roll_back))
        .route("/api/integration/connectors/{id}/versions/{digest}", get(connectors::show_version).delete(connectors::remove))
        .route("/api/integration/connectors/{id}/versions/{digest}/approve", post(connectors::approve))
        .route("/api/integration/connectors/{id}/versions/{digest}/activate", post(connectors::activate))
        .route("/api/integration/connectors/{id}/versions/{digest}/revoke", post(connectors::revoke))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method"))
        .layer(axum::middleware::from_fn_with_state(api.clone(), auth::require));
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(readyz)).merge(guarded).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(api)
}

/// Ready means: the journal takes events. A degraded target never makes the host unready.
async fn readyz(State(api): State<Api>) -> Response {
    if api.ready.load(Ordering::Relaxed) && api.journal.stats().fault.is_none() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the journal does not take events\n").into_response()
    }
}

async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let totals = api.dead_letters.totals();
    api.metrics.dead_letters.set(i64::try_from(totals.letters).unwrap_or(i64::MAX));
    let text = api.metrics.encode().map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// A lane's name, `instance/format`.
fn lane_id(name: &str) -> Result<LaneId, Problem> {
    match name.split_once('/') {
        Some((instance, format)) if !instance.is_empty() && !format.is_empty() && !format.contains('/') => Ok(LaneId::new(instance, format)),
        _ => Err(Problem::bad_request("bad_lane", format!("`{}` is no lane: write instance/format, such as siem/cef", name.escape_default()))),
    }
}

/// A moment for people and programs.
fn rfc3339(ms: i64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}
