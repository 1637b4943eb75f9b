//! Sends what [`decide`](super::decide) allowed: one client for each place of each destination of an
//! instance, with TLS of its own, built when first used, gone with the instance's grants.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bulkhead_core::TokenBucket;
use bulkhead_core::receipt::{Exchange, ExchangeEnd};
use bulkhead_observe::Metrics;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderValue, Method};
use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::datagram::Flow;
use super::places::Places;
use super::redact::Redactor;
use super::resolve::{Checked, Dialled, NotAllowed};
use super::tls::{self, Tls};
use super::window::Windows;
use super::{Allowed, Asked, Destination, Refusal, RefusalKind, Resolve, decide, decide_at, matching, retry_after};
use crate::attempt::Receipts;
use crate::bill::{Bill, Recording, thread_time};
use crate::credentials::{Means, Outgoing, RefreshTokens};
use crate::limits::{Limit, Limits, Watch};

pub(super) const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("bulkhead/", env!("CARGO_PKG_VERSION"));
/// Bodies from this size on are compressed away from the executor's threads.
const COMPRESS_ASIDE: usize = 32 << 10;
/// Refusals that reach the host's log; the rest is in the metrics only.
const REFUSALS_A_SECOND: u64 = 5;
/// Longest text about a failure that a guest sees.
pub(super) const MAX_TEXT: usize = 256;

/// A request in the guest's words.
#[derive(Debug, Default)]
pub struct Request {
    pub destination: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub gzip: bool,
    pub timeout: Option<Duration>,
    pub message_id: String,
}

/// An answer, within limits and without secrets.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub truncated: bool,
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The receiver may have seen the request.
    #[error("the exchange broke off: {0}")]
    Broken(String),
    #[error("the time was up")]
    Timeout,
    #[error("{0}")]
    Limit(String),
    /// A limit that time mends: nothing was sent, and the same request may pass later.
    #[error("{0}")]
    Busy(String),
}

impl SendError {
    /// The label in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Refused(Refusal { kind: RefusalKind::Limit, .. }) | Self::Limit(_) | Self::Busy(_) => "limit",
            Self::Refused(_) => "denied",
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::Timeout => "timeout",
        }
    }
}

/// The clients of one destination, one for each of its places, or what its streams need.
struct Clients {
    of: Vec<Way>,
    stream_tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    flow: tokio::sync::Mutex<Option<Flow>>,
    /// Place that was reached last.
    good: AtomicUsize,
}

/// The client of one place, and whom it may have dialled.
struct Way {
    client: OnceLock<Result<reqwest::Client, String>>,
    dialled: Arc<Dialled>,
}

impl Clients {
    fn new(destination: &Destination) -> Self {
        let of = destination.places().map(|place| Way { client: OnceLock::new(), dialled: Arc::new(Dialled::new(&place.own_place())) }).collect();
        Self { of, stream_tls: OnceLock::new(), flow: tokio::sync::Mutex::default(), good: AtomicUsize::new(0) }
    }
}

/// The way out of one instance.
pub struct Egress {
    instance: String,
    destinations: BTreeMap<String, Destination>,
    clients: BTreeMap<String, Clients>,
    means: Means,
    permits: Semaphore,
    connections: Arc<Semaphore>,
    /// Places over all instances.
    places: Places,
    /// What the host itself asks for goes by this name on receipts.
    own_name: Option<String>,
    /// Bytes of answers that are put on record.
    excerpt: usize,
    rate: Mutex<TokenBucket>,
    /// The rate that is only counted, where it is.
    counted_rate: Option<Mutex<TokenBucket>>,
    redactor: Arc<Redactor>,
    limits: Arc<Limits>,
    watch: Arc<Watch>,
    /// Refusals that are logged: a guest can ask a million times a second.
    said: Mutex<TokenBucket>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("instance", &self.instance).field("destinations", &self.destinations.keys()).finish_non_exhaustive()
    }
}

impl Egress {
    pub fn new(
        instance: &str,
        destinations: BTreeMap<String, Destination>,
        resolver: Arc<dyn Resolve>,
        redactor: Arc<Redactor>,
        watch: Arc<Watch>,
        places: Places,
        metrics: Metrics,
    ) -> Self {
        let (limits, clock) = (Arc::clone(watch.limits()), Arc::clone(watch.clock()));
        let clients = destinations.iter().map(|(name, destination)| (name.clone(), Clients::new(destination))).collect();
        let connections = Arc::new(Semaphore::new(limits.size(Limit::TcpConnections).min(Semaphore::MAX_PERMITS)));
        let windows = Arc::new(Windows::new(destinations.keys()));
        let permits = Semaphore::new(limits.size(Limit::HttpConcurrent).min(Semaphore::MAX_PERMITS));
        Self {
            instance: instance.into(),
            destinations,
            clients,
            means: Means { resolver, metrics, clock, windows, watch: Arc::clone(&watch), receipts: None, tokens: Arc::default() },
            permits,
            connections,
            places,
            own_name: None,
            excerpt: 0,
            rate: Mutex::new(TokenBucket::per_second(limits.enforced(Limit::HttpRate))),
            counted_rate: limits.counts(Limit::HttpRate).then(|| Mutex::new(TokenBucket::per_second(limits.get(Limit::HttpRate)))),
            redactor,
            limits,
            watch,
            said: Mutex::new(TokenBucket::per_second(REFUSALS_A_SECOND)),
        }
    }

    /// Puts what the host asks for on its own account on record: requests for tokens.
    pub(crate) fn on_record(mut self, receipts: Option<Arc<Receipts>>) -> Self {
        self.means.receipts = receipts;
        self
    }

    /// With the refresh tokens of the host.
    pub(crate) fn refreshing(mut self, tokens: Arc<RefreshTokens>) -> Self {
        self.means.tokens = tokens;
        self
    }

    /// Its exchanges go by this name on receipts, whatever the destination.
    pub(crate) fn known_as(mut self, name: &str) -> Self {
        self.own_name = Some(name.into());
        self
    }

    /// Hands how answers begin to whoever takes the receipts.
    pub(crate) fn with_excerpts(mut self, bytes: usize) -> Self {
        self.excerpt = bytes;
        self
    }

    pub fn destinations(&self) -> &BTreeMap<String, Destination> {
        &self.destinations
    }

    /// The destination's name as a label; what a guest makes up is none.
    pub(super) fn known(&self, destination: &str) -> &str {
        self.destinations.get_key_value(destination).map_or("none", |(name, _)| name.as_str())
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.means.metrics
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn resolver(&self) -> &dyn Resolve {
        &*self.means.resolver
    }

    pub(super) fn redactor(&self) -> &Arc<Redactor> {
        &self.redactor
    }

    /// What credentials need.
    pub(crate) fn means(&self) -> &Means {
        &self.means
    }

    /// Permits of streams.
    pub(super) fn connections(&self) -> &Arc<Semaphore> {
        &self.connections
    }

    /// TLS of a destination's streams: one configuration, and with it the sessions, for all of them.
    pub(super) fn stream_tls(&self, destination: &Destination) -> Result<Arc<ClientConfig>, String> {
        let clients = self.clients.get(destination.name()).ok_or("the destination is gone")?;
        clients.stream_tls.get_or_init(|| destination.tls().config(&[]).map(Arc::new)).clone()
    }

    pub(super) fn flow(&self, destination: &str) -> Option<&tokio::sync::Mutex<Option<Flow>>> {
        self.clients.get(destination).map(|clients| &clients.flow)
    }

    /// Which place of a destination was reached last.
    pub(super) fn good(&self, destination: &str) -> usize {
        self.clients.get(destination).map_or(0, |clients| clients.good.load(Ordering::Relaxed))
    }

    pub(super) fn set_good(&self, destination: &str, at: usize) {
        if let Some(clients) = self.clients.get(destination) {
            clients.good.store(at, Ordering::Relaxed);
        }
    }

    /// A place among those of all instances, for as long as a stream lives.
    pub(super) fn all_places(&self) -> &Places {
        &self.places
    }

    /// Bytes that are about to go to a destination, against what may within a minute. The error is the
    /// text for the guest.
    pub(super) fn pass_out(&self, destination: &str, bytes: usize) -> Result<(), String> {
        self.means.windows.send(destination, bytes as u64, self.means.clock.monotonic(), &self.watch)
    }

    pub(super) fn came_in(&self, destination: &str, bytes: usize) {
        self.means.windows.receive(destination, bytes as u64, self.means.clock.monotonic(), &self.watch);
    }

    /// Counts the limit that was reached, and says in the log what was refused, not too often.
    pub(super) fn say(&self, destination: &str, refusal: &Refusal) {
        if let Some(limit) = refusal.limit {
            self.watch.reached(limit);
        }
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).take(self.means.clock.monotonic()).is_ok() {
            tracing::warn!(instance = self.instance, destination, rule = refusal.rule, reason = refusal.text, "egress refused");
        }
    }

    /// Sends one request and reads the answer, by `deadline` at the latest. Not cancel safe: the
    /// receiver may have seen the request.
    pub async fn send(&self, request: Request, deadline: Instant) -> Result<Response, SendError> {
        self.send_on(&Bill::default(), request, deadline).await
    }

    /// The same for a request that names its URL: it goes to the destination of that origin and base, or
    /// nowhere. Destination and path of `request` are put in here.
    pub async fn send_absolute(&self, bill: &Bill, url: &str, request: Request, deadline: Instant) -> Result<Response, SendError> {
        match matching(&self.destinations, url) {
            Ok((destination, path)) => self.send_on(bill, Request { destination: destination.to_owned(), path, ..request }, deadline).await,
            Err(refusal) => self.ended(Recording::new(bill, "http", "none"), "none", Err(refusal.into())),
        }
    }

    /// The same for a call that is billed.
    pub async fn send_on(&self, bill: &Bill, request: Request, deadline: Instant) -> Result<Response, SendError> {
        let named = self.known(&request.destination);
        let mut recording = Recording::new(bill, "http", self.own_name.as_deref().unwrap_or(named));
        let result = self.send_counted(&mut recording, request, deadline).await;
        self.ended(recording, named, result)
    }

    /// Keeps, counts and logs how a request ended.
    fn ended(&self, mut recording: Recording<'_>, named: &str, result: Result<Response, SendError>) -> Result<Response, SendError> {
        recording.exchange.end = match &result {
            Ok(response) => ExchangeEnd::Status(response.status),
            Err(SendError::Refused(refusal)) => ExchangeEnd::Refused { rule: refusal.rule, class: refusal.kind.name() },
            Err(error) => ExchangeEnd::Error(error.label()),
        };
        if let Ok(response) = &result
            && self.excerpt > 0
        {
            recording.exchange.excerpt = Some(String::from_utf8_lossy(response.body.get(..self.excerpt).unwrap_or(&response.body)).into_owned());
        }
        drop(recording);
        let label = match &result {
            Ok(response) => match response.status / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            },
            Err(error) => error.label(),
        };
        self.means.metrics.egress(&self.instance, named, label).inc();
        if let Err(SendError::Refused(refusal)) = &result {
            self.say(named, refusal);
        }
        result
    }

    async fn send_counted(&self, recording: &mut Recording<'_>, request: Request, deadline: Instant) -> Result<Response, SendError> {
        let Request { destination, method, path, headers, body, gzip, timeout, message_id } = request;
        let asked = Asked { destination: &destination, method: &method, path: &path, headers: &headers, body_bytes: body.len() as u64, gzip };
        let allowed = decide(&self.destinations, &asked, &self.limits)?;
        let until = match timeout {
            Some(Duration::ZERO) => return Err(Refusal::invalid(6, "a timeout of 0 leaves no time; leave it out for the call's own deadline").into()),
            Some(timeout) => Instant::now().checked_add(timeout).map_or(deadline, |asked| asked.min(deadline)),
            None => deadline,
        };
        self.watch.note(Limit::HttpRequest, asked.body_bytes);
        self.watch.note(Limit::HttpHeaderFields, asked.headers.len() as u64);
        self.watch.note(Limit::HttpHeaderBytes, super::headers::size(asked.headers));
        self.pace()?;
        let stopping = || SendError::Broken("the host is stopping".into());
        let Ok(permit) = timeout_at(until, self.permits.acquire()).await else {
            self.watch.reached(Limit::HttpConcurrent);
            return Err(SendError::Busy(self.limits.refusal(Limit::HttpConcurrent, self.limits.enforced(Limit::HttpConcurrent) + 1)));
        };
        let _permit = permit.map_err(|_| stopping())?;
        self.watch.note(Limit::HttpConcurrent, self.limits.enforced(Limit::HttpConcurrent).saturating_sub(self.permits.available_permits() as u64));
        // Last, so that an instance waits for its own limit without holding a place of all.
        let Ok(place) = timeout_at(until, self.places.take()).await else { return Err(SendError::Busy(self.places.refusal())) };
        let _place = place.ok_or_else(stopping)?;
        timeout_at(until, self.dispatch(recording, allowed.destination, &asked, body, &message_id)).await.map_err(|_| SendError::Timeout)?
    }

    /// Takes one request of this second.
    fn pace(&self) -> Result<(), SendError> {
        let now = self.means.clock.monotonic();
        let take = |rate: &Mutex<TokenBucket>| rate.lock().unwrap_or_else(PoisonError::into_inner).take(now).is_ok();
        if !take(&self.rate) {
            self.watch.reached(Limit::HttpRate);
            return Err(SendError::Busy(self.limits.refusal(Limit::HttpRate, self.limits.enforced(Limit::HttpRate) + 1)));
        }
        if self.counted_rate.as_ref().is_some_and(|rate| !take(rate)) {
            self.watch.note(Limit::HttpRate, self.limits.get(Limit::HttpRate) + 1);
        }
        Ok(())
    }

    /// Sends to the place of the destination that was reached last, and to the next one only where
    /// nothing was sent.
    async fn dispatch(
        &self,
        recording: &mut Recording<'_>,
        destination: &Destination,
        asked: &Asked<'_>,
        body: Vec<u8>,
        message_id: &str,
    ) -> Result<Response, SendError> {
        let body = Bytes::from(if asked.gzip { compress(body, recording.bill()).await? } else { body });
        let clients = self.clients.get(destination.name()).ok_or_else(|| SendError::Connect("no client for this destination".into()))?;
        let places: Vec<_> = destination.places().zip(&clients.of).collect();
        let first = clients.good.load(Ordering::Relaxed);
        let mut unreached = SendError::Connect("the destination has no place".into());
        for at in (0..places.len()).map(|step| (first + step) % places.len()) {
            let (place, way) = places[at];
            match self.exchange(recording, decide_at(place, asked, &self.limits)?, way, body.clone(), message_id).await {
                Err(error @ SendError::Connect(_)) => unreached = error,
                other => {
                    if other.is_ok() {
                        clients.good.store(at, Ordering::Relaxed);
                    }
                    return other;
                }
            }
        }
        Err(unreached)
    }

    async fn exchange(&self, recording: &mut Recording<'_>, allowed: Allowed<'_>, way: &Way, body: Bytes, message_id: &str) -> Result<Response, SendError> {
        let Allowed { destination, method, mut target, mut headers, gzip } = allowed;
        let client = way.client.get_or_init(|| build(destination, &self.means.resolver, &way.dialled, &self.limits));
        let client = client.as_ref().map_err(|problem| SendError::Connect(problem.clone()))?;
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let now = Duration::from_nanos(self.means.clock.unix_nanos());
        let plain_target = target.len();
        let mut used = None;
        if let Some(credential) = destination.credential() {
            let mut outgoing = Outgoing {
                destination: destination.name(),
                method: &method,
                origin: destination.origin(),
                headers: &mut headers,
                target: &mut target,
                body: &body,
                message_id,
                now,
            };
            used = credential.apply(&mut outgoing, &self.means).await?;
        }
        let url = Url::parse(&format!("{}{target}", destination.origin())).map_err(|error| Refusal::invalid(3, format!("the path makes no URL: {error}")))?;
        // What goes on the wire is what was decided about, to the byte.
        if url[Position::BeforePath..] != *target {
            let shown: String = target.get(..plain_target).unwrap_or_default().escape_default().take(128).collect();
            return Err(Refusal::invalid(3, format!("path `{shown}` would be sent in another form")).into());
        }
        let sent = body.len() as u64;
        let field_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let bytes = (target.len() + field_bytes + body.len()) as u64;
        self.means.windows.send(destination.name(), bytes, self.means.clock.monotonic(), &self.watch).map_err(SendError::Busy)?;
        let bodiless = body.is_empty() && matches!(method, Method::GET | Method::HEAD);
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if !bodiless {
            if body.is_empty() {
                // The client would leave the length out, and some servers answer 411 then (RFC 9110 §8.6).
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            *request.body_mut() = Some(body.into());
        }
        let made = &mut recording.exchange;
        request.method().as_str().clone_into(&mut made.method);
        made.path = self.recorded(destination.below(target.get(..plain_target).unwrap_or_default()));
        // Whoever breaks off in the middle may have seen all of it: only what surely was not sent is free.
        made.sent = sent;
        made.address = None;
        recording.dialled = Some(Arc::clone(&way.dialled));
        let response = client.execute(request).await.map_err(|error| {
            let failed = failed(&error);
            if matches!(failed, SendError::Connect(_) | SendError::Refused(_)) {
                made.sent = 0;
                recording.dialled = None;
            }
            if matches!(failed, SendError::Connect(_)) {
                made.address = way.dialled.unreached();
            }
            failed
        })?;
        if let Some(credential) = destination.credential() {
            credential.answered(used.as_ref(), response.status().as_u16(), self.means.clock.monotonic());
        }
        made.address = response.remote_addr();
        made.certificate =
            response.extensions().get::<reqwest::tls::TlsInfo>().and_then(|info| info.peer_certificate()).map(|certificate| Sha256::digest(certificate).into());
        self.read(made, destination.name(), response, now).await
    }

    async fn read(&self, made: &mut Exchange, destination: &str, mut response: reqwest::Response, now: Duration) -> Result<Response, SendError> {
        let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.means.windows.receive(destination, size as u64, self.means.clock.monotonic(), &self.watch);
        self.watch.check(Limit::HttpHeaderBytes, size as u64).map_err(|text| SendError::Limit(format!("the answer's header: {text}")))?;
        self.watch.note(Limit::HttpHeaderFields, response.headers().len() as u64);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|field| retry_after::parse(field.as_bytes(), now));
        let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), self.redactor.bytes(value.as_bytes()).into_owned())).collect();
        let most = self.limits.size(Limit::HttpResponse);
        // A secret on the edge is read whole, redacted, then cut.
        let read_most = most.saturating_add(self.redactor.longest()).saturating_add(1);
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(expected.min(64 << 10));
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            made.received += chunk.len() as u64;
            self.means.windows.receive(destination, chunk.len() as u64, self.means.clock.monotonic(), &self.watch);
            let room = read_most - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == read_most {
                break;
            }
        }
        let truncated = body.len() > most;
        if truncated {
            self.watch.reached(Limit::HttpResponse);
        }
        self.watch.note(Limit::HttpResponse, body.len().min(most) as u64);
        let status = response.status().as_u16();
        let body = match self.redactor.head(&body, most) {
            Cow::Borrowed(head) => {
                let length = head.len();
                body.truncate(length);
                body
            }
            Cow::Owned(mut redacted) => {
                // The mark is longer than the shortest secrets.
                redacted.truncate(most);
                redacted
            }
        };
        Ok(Response { status, headers, body, truncated, retry_after })
    }

    /// A path for the receipt: no secret, not endless.
    fn recorded(&self, path: &str) -> String {
        let mut text = self.redactor.text(path).into_owned();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the egress room: the client is built without proxies, redirects and retries")]
fn build(destination: &Destination, resolver: &Arc<dyn Resolve>, dialled: &Arc<Dialled>, limits: &Limits) -> Result<reqwest::Client, String> {
    let checked = Checked { destination: Arc::new(destination.clone()), resolver: Arc::clone(resolver), dialled: Arc::clone(dialled) };
    let tls = if destination.https() { destination.tls().config(&[b"h2", b"http/1.1"])? } else { Tls::none()? };
    reqwest::Client::builder()
        .tls_info(true)
        .tls_backend_preconfigured(tls)
        .dns_resolver(checked)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .https_only(destination.https())
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(limits.size(Limit::HttpConcurrent))
        .tcp_nodelay(true)
        .http1_max_headers(limits.size(Limit::HttpHeaderFields))
        .http2_max_header_list_size(u32::try_from(limits.enforced(Limit::HttpHeaderBytes)).unwrap_or(u32::MAX))
        .build()
        .map_err(|error| format!("the HTTP client cannot be built: {}", words(&error)))
}

async fn compress(body: Vec<u8>, bill: &Bill) -> Result<Vec<u8>, SendError> {
    let aside = body.len() >= COMPRESS_ASIDE;
    let work = move || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4 + 64), flate2::Compression::fast());
        encoder.write_all(&body).and_then(|()| encoder.finish())
    };
    let broken = |problem: &dyn fmt::Display| SendError::Limit(format!("the body cannot be compressed: {problem}"));
    if !aside {
        return work().map_err(|error| broken(&error));
    }
    let measured = move || {
        let begun = thread_time();
        (work(), thread_time().saturating_sub(begun))
    };
    let (made, time) = tokio::task::spawn_blocking(measured).await.map_err(|error| broken(&error))?;
    bill.aside(time);
    made.map_err(|error| broken(&error))
}

/// What failed, in the guest's terms. Addresses and URLs stay out of the text.
fn failed(error: &reqwest::Error) -> SendError {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(NotAllowed(refusal)) = inner.downcast_ref::<NotAllowed>() {
            return refusal.clone().into();
        }
        source = inner.source();
    }
    if error.is_connect() {
        SendError::Connect(words(error))
    } else if error.is_timeout() {
        SendError::Timeout
    } else {
        SendError::Broken(words(error))
    }
}

/// The innermost cause that says something.
fn words(error: &reqwest::Error) -> String {
    let mut text = "no reason given".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(error) = tls::within(inner) {
            text = tls::words(error);
            break;
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            text = io.to_string();
        } else if inner.source().is_none() {
            text = inner.to_string();
        }
        source = inner.source();
    }
    crate::host::log::clean(&text, MAX_TEXT, &Redactor::default())
}

#[cfg(test)]
mod tests;
