//! The management listener. What there is, and who may use it, is in [`routes`].

mod auth;
mod captures;
mod connect;
mod connectors;
mod cors;
mod dead_letters;
mod entries;
mod event_types;
mod events;
mod extract;
mod inbound;
mod keys;
mod lanes;
mod listener;
mod logs;
mod mappings;
mod openapi;
mod page;
mod periods;
mod preview;
pub mod problem;
mod pulls;
mod queries;
mod receipts;
mod replays;
mod routes;
mod schedules;
mod sign_in;
mod sync;
mod tap;
mod users;
mod versions;
mod view;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::extract::connect_info::Connected;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use bulkhead_core::{Clock, LaneId};
use bulkhead_deliver::Delivery;
use bulkhead_ingest::{FilesHandle, Gate, Pulls};
use bulkhead_journal::Journal;
use bulkhead_observe::Metrics;
use bulkhead_store::{DeadLetters, Logs as LogTable, Store, SyncExecutions};
use bulkhead_tls::ServerTls;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use auth::Peer;
use listener::TlsListener;
use problem::Problem;

use crate::access::Access;
use crate::answers::Answers;
use crate::idempotency::Idempotency;
use crate::observed::Guise;
use crate::observed::index::Index;
use crate::observed::logs::Logs;
use crate::observed::periods::Periods;
use crate::observed::tap::Tap;
use crate::oidc::Oidc;
use crate::people::People;
use crate::pipeline::{Control, StoreHealth};
use crate::replay::{self, Replayer};
use crate::trail::Trail;
use crate::unverified::Unverified;
use crate::webhooks::Once;

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
    pub access: Arc<Access>,
    /// Where browsers reach the listener.
    pub public_url: Option<Url>,
    pub people: Arc<People>,
    /// The provider whose tokens let in.
    pub oidc: Option<Arc<Oidc>>,
    /// Origins of web pages that may use the API.
    pub cors: Arc<[HeaderValue]>,
    pub trail: Trail,
    /// Changes under way, those whose clients have gone among them.
    pub changes: TaskTracker,
    pub control: Arc<Control>,
    /// Places for uploads.
    pub uploads: Arc<Semaphore>,
    /// True between the first moment that events can be accepted and the begin of the drain.
    pub ready: Arc<AtomicBool>,
    pub unverified: Unverified,
    /// Entries of `listen.files`.
    pub files: Arc<[FilesHandle]>,
    pub pulls: Arc<Pulls>,
    /// Answers to questions.
    pub answers: Arc<Answers>,
    pub sync_executions: SyncExecutions,
    /// Whether the store answers.
    pub store_health: StoreHealth,
    /// Single events to webhooks, and the log of their deliveries.
    pub once: Once,
    pub idempotency: Arc<Idempotency>,
    /// The way of events into the journal.
    pub gate: Gate,
    pub tap: Tap,
    /// Takes entries of instances' logs, and where they are kept.
    pub logs: Logs,
    pub log_table: LogTable,
    pub periods: Periods,
    pub guise: Guise,
    /// Nothing where events are not indexed.
    pub index: Option<Arc<Index>>,
    pub store: Store,
}

/// Serves until cancelled. Not cancel safe beyond the token: requests under way are answered.
pub async fn serve(listener: TcpListener, tls: Option<ServerTls>, api: Api, cancel: CancellationToken) {
    match tls {
        Some(tls) => run(TlsListener::new(listener, tls), api, cancel).await,
        None => run(listener, api, cancel).await,
    }
}

async fn run<L>(listener: L, api: Api, cancel: CancellationToken)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let service = routes::router(api).into_make_service_with_connect_info::<Peer>();
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(cancel.cancelled_owned()).await {
        tracing::error!(%error, "the API listener ended");
    }
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
pub fn rfc3339(ms: i64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}
