//! The HTTP intake: `POST /events` and the addresses of inbound webhooks, HTTP/1.1 with keep-alive.
//!
//! Promises: 202 is said once the events are as durable as the listener asks for; a refused request
//! leaves nothing behind. Bounded: connections, headers, bodies (each and together), events in a
//! request, the time for headers and body. Nothing of a body is ever logged.

mod auth;
mod connector;
mod idempotency;
mod problem;
mod receive;
mod request;
mod webhook;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Clock, RateSettings, TokenBucket};
use bulkhead_journal::Durability;
use bulkhead_observe::Metrics;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Histogram, IntCounter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::inbound::Inbound;
use crate::normalise::{Normaliser, Rules};

pub use auth::IntakeToken;
pub(crate) use problem::Problem;

/// Headers of a request, and what is read of a body at once.
const READ_BUFFER: usize = 128 << 10;
/// Pause after a failed `accept`, which without one would spin while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One `listen.http` of the configuration, checked.
#[derive(Debug, Clone)]
pub struct HttpIntakeSettings {
    /// Label of metrics and logs.
    pub name: String,
    /// Where the caller binds.
    pub addr: SocketAddr,
    /// Bearer tokens that are let in; everybody is where there are none.
    pub tokens: Vec<IntakeToken>,
    /// Of all senders together; no bound where absent.
    pub rate: Option<RateSettings>,
    /// Of each token.
    pub token_rate: Option<RateSettings>,
    /// Largest body in bytes, as sent and once unpacked.
    pub max_body: usize,
    /// Most events in one request.
    pub max_events: usize,
    pub durability: Durability,
    /// Shape, strictness and tenant.
    pub rules: Rules,
    pub max_connections: usize,
    /// Longest wait for a request's headers, idle time included.
    pub header_timeout: Duration,
    /// Longest wait for a request's body.
    pub body_timeout: Duration,
    /// Bytes that bodies above 64 KiB may take together.
    pub body_memory: usize,
    /// Addresses of inbound webhooks on this listener.
    pub inbound: Option<Inbound>,
}

impl HttpIntakeSettings {
    /// The defaults of the configuration.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            name: "http".into(),
            addr,
            tokens: Vec::new(),
            rate: None,
            token_rate: None,
            max_body: 8 << 20,
            max_events: 100_000,
            durability: Durability::Fsync,
            rules: Rules::default(),
            max_connections: 1_024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_memory: 256 << 20,
            inbound: None,
        }
    }
}

/// What all connections of a listener share.
struct Shared {
    settings: HttpIntakeSettings,
    gate: Gate,
    metrics: Metrics,
    accepted: IntCounter,
    duplicates: IntCounter,
    seconds: Histogram,
    clock: Arc<dyn Clock>,
    rate: Option<Mutex<TokenBucket>>,
    /// In the order of the tokens; empty without a rate of theirs.
    token_rates: Vec<Mutex<TokenBucket>>,
    /// One permit for each KiB of large bodies.
    memory: Arc<Semaphore>,
}

/// Buffers that one request leaves to the next one on its connection.
struct Scratch {
    normaliser: Normaliser,
    body: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Scratch {
    /// Large buffers are not kept: a connection may stay idle for long.
    const KEEP: usize = 256 << 10;

    fn new(rules: Rules) -> Box<Self> {
        Box::new(Self { normaliser: Normaliser::new(rules), body: Vec::new(), unpacked: Vec::new() })
    }

    fn tidy(&mut self) {
        for buffer in [&mut self.body, &mut self.unpacked] {
            buffer.clear();
            if buffer.capacity() > Self::KEEP {
                *buffer = Vec::new();
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    scratch: Mutex<Option<Box<Scratch>>>,
}

impl Connection {
    fn take_scratch(&self) -> Box<Scratch> {
        let kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| Scratch::new(self.shared.settings.rules.clone()))
    }

    fn keep_scratch(&self, mut scratch: Box<Scratch>) {
        scratch.tidy();
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = Some(scratch);
    }
}

/// Serves a bound listener until cancelled; then it takes no more connections, lets requests that
/// have begun be answered, and returns. The caller bounds that wait. Not cancel safe: dropping it cuts
/// connections off, though what was answered stays true.
pub async fn serve(
    listener: TcpListener,
    settings: HttpIntakeSettings,
    gate: impl Into<Gate>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
) {
    if !matches!(settings.durability, Durability::Fsync) {
        tracing::warn!(listener = %settings.name, durability = ?settings.durability, "events are accepted before they are safe on disk");
    }
    let bucket = |rate: RateSettings| Mutex::new(TokenBucket::from(rate));
    let limit = settings.max_connections.max(1);
    let shared = Arc::new(Shared {
        accepted: metrics.accepted(&settings.name),
        duplicates: metrics.duplicates(&settings.name),
        seconds: metrics.accept_seconds(&settings.name),
        rate: settings.rate.map(bucket),
        token_rates: settings.token_rate.map(|rate| settings.tokens.iter().map(|_| bucket(rate)).collect()).unwrap_or_default(),
        memory: Arc::new(Semaphore::new((settings.body_memory >> 10).clamp(1, Semaphore::MAX_PERMITS))),
        settings,
        gate: gate.into(),
        metrics,
        clock,
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < limit => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, Arc::clone(&shared), cancel.child_token())); }
                Err(error) => {
                    tracing::warn!(listener = %shared.settings.name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, cancel: CancellationToken) {
    // Answers are small and must not wait for an acknowledgement (RFC 896, Nagle).
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(shared.settings.header_timeout).max_buf_size(READ_BUFFER);
    let connection = Arc::new(Connection { shared, scratch: Mutex::new(None) });
    let service = service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { Ok::<_, Infallible>(connection.respond(request).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let result = tokio::select! {
        biased;
        result = serving.as_mut() => result,
        () = cancel.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an intake connection broke off");
    }
}

#[cfg(test)]
mod tests;
