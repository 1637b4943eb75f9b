//! One request: checked head first, then read, unpacked, normalised, made durable, answered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_core::{Attr, EventRef, TokenBucket};
use bulkhead_journal::{AppendBatch, AppendError};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use super::idempotency;
use super::problem::{Problem, codes, listed};
use super::receive::{ReadFault, discard, read};
use super::{Connection, Scratch, Shared, auth, webhook};
use crate::answers::{self, AnswerClaim, Known};
use crate::body::{BodyFault, Bounds, DecodeFault, Encoding, Media, Summary, decode, read_events};
use crate::shape::binary::BinaryHead;

/// Bodies up to this size are not counted against the memory of bodies: their number is bounded by
/// that of the connections.
const SMALL: usize = 64 << 10;
/// Bodies above these sizes, as they are and packed, are handled off the threads that serve connections.
pub(super) const HEAVY: usize = 512 << 10;
pub(super) const HEAVY_PACKED: usize = 64 << 10;
/// What is read of a body that is refused, so that its sender sees the answer.
const DISCARD: usize = 1 << 20;
/// The same for a body that is refused for its length.
const DISCARD_LARGE: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// Longest wait for memory that other bodies hold.
const MEMORY_WAIT: Duration = Duration::from_secs(2);
/// Says that an answer is one given before; the name that others use.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a request's head says.
struct Head {
    media: Media,
    encoding: Encoding,
    partial: bool,
    /// Place of the token that let it in.
    token: Option<usize>,
}

impl Connection {
    /// Answers a request, whatever it is.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, mut body) = request.into_parts();
        // A key that is not known is a path that is not known.
        let taken = match webhook::address(&self.shared, &parts) {
            Some((endpoint, key)) => self.webhook(&endpoint, key, &parts, &mut body).await,
            None => self.take_in(&parts, &mut body).await,
        };
        match taken {
            Ok(response) => response,
            Err(problem) => {
                self.shared.metrics.refused(&self.shared.settings.name, problem.code.name).inc();
                let mut response = problem.response();
                if !self.finish_body(&parts, &mut body, problem.code.status).await {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }

    /// Lets a refused sender finish, within bounds; false where the connection has to go.
    async fn finish_body(&self, parts: &Parts, body: &mut Incoming, status: StatusCode) -> bool {
        if body.is_end_stream() {
            return true;
        }
        // A sender that asks first has sent nothing yet: reading would tell it to go on.
        if parts.headers.contains_key(EXPECT) || status == StatusCode::REQUEST_TIMEOUT {
            return false;
        }
        let limit = if status == StatusCode::PAYLOAD_TOO_LARGE { DISCARD_LARGE } else { DISCARD };
        tokio::time::timeout(DISCARD_TIME, discard(body, limit)).await.unwrap_or(false)
    }

    async fn take_in(&self, parts: &Parts, body: &mut Incoming) -> Result<Response<Full<Bytes>>, Problem> {
        let shared = &self.shared;
        let settings = &shared.settings;
        let head = head(parts, shared)?;
        let mut scratch = self.take_scratch();
        let (whole, _memory) = self.read_body(body, settings.max_body, head.encoding, &mut scratch.body).await?;
        let started = shared.clock.monotonic();
        let claim = match self.known(parts, &head, whole.as_deref().unwrap_or(&scratch.body))? {
            Keyed::Answered(answer) => {
                self.keep_scratch(scratch);
                let mut response = accepted(answer);
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                return Ok(response);
            }
            Keyed::New(claim) => Some(claim),
            Keyed::Without => None,
        };
        let work = Work {
            media: head.media,
            encoding: head.encoding,
            whole,
            max_body: settings.max_body,
            bounds: Bounds { events: settings.max_events },
            received: shared.clock.unix_nanos(),
        };
        let size = work.whole.as_ref().map_or(scratch.body.len(), Bytes::len);
        let heavy = if work.encoding == Encoding::Identity { size > HEAVY } else { size > HEAVY_PACKED };
        let (scratch, done) = if heavy {
            let task = tokio::task::spawn_blocking(move || work.run(scratch));
            task.await.map_err(|_| Problem::new(codes::INTERNAL, "the request could not be handled; the log of the service says more"))?
        } else {
            work.run(scratch)
        };
        self.keep_scratch(scratch);
        let (batch, summary) = done?;
        if summary.faulty > 0 && (!head.partial || summary.broken || batch.is_empty()) {
            return Err(refused(summary));
        }
        let answer = Answer::new(&batch, &summary);
        if claim.is_some() && answer.longest() > answers::LONGEST {
            let detail = format!(
                "with an Idempotency-Key the answer may have {} bytes, and this one lists more: send fewer events at once, or give each an id",
                answers::LONGEST
            );
            return Err(Problem::new(codes::ANSWER_TOO_LARGE, detail));
        }
        buckets(shared, head.token).for_each(|mut bucket| bucket.pay(batch.len() as u64));
        let count = batch.len();
        let (duplicates, answer) = match claim {
            None => {
                let duplicates = shared.gate.append(batch, settings.durability).await.map_err(|error| not_durable(&error))?;
                (duplicates, answer.with(duplicates))
            }
            Some(claim) => {
                let (gate, durability) = (shared.gate.clone(), settings.durability);
                // A connection that breaks off is what the key is for: the answer is kept all the same.
                let task = tokio::spawn(async move {
                    let duplicates = gate.append(batch, durability).await?;
                    let answer = answer.with(duplicates);
                    claim.keep(answer.clone()).await;
                    Ok((duplicates, answer))
                });
                task.await.unwrap_or(Err(AppendError::Closed)).map_err(|error| not_durable(&error))?
            }
        };
        shared.accepted.inc_by((count - duplicates) as u64);
        shared.duplicates.inc_by(duplicates as u64);
        shared.seconds.observe(shared.clock.monotonic().saturating_sub(started).as_secs_f64());
        Ok(accepted(answer))
    }

    /// Reads a body within its bounds: in one piece, or gathered in `into`. What it takes of the memory of
    /// large bodies is held for as long as the answer.
    pub(super) async fn read_body(
        &self,
        body: &mut Incoming,
        max_body: usize,
        encoding: Encoding,
        into: &mut Vec<u8>,
    ) -> Result<(Option<Bytes>, Option<tokio::sync::OwnedSemaphorePermit>), Problem> {
        let declared = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if declared.is_some_and(|length| length > max_body) {
            return Err(too_large(max_body));
        }
        let memory = self.memory(declared, encoding).await?;
        let limit = self.shared.settings.body_timeout;
        match tokio::time::timeout(limit, read(body, max_body, into)).await {
            Ok(Ok(whole)) => Ok((whole, memory)),
            Ok(Err(ReadFault::TooLarge)) => Err(too_large(max_body)),
            Ok(Err(ReadFault::Broken)) => Err(Problem::new(codes::BODY_BROKEN, "the body ended before its declared length, or its chunks are malformed")),
            Err(_) => Err(Problem::new(codes::TIMEOUT, format!("the body did not come within {} s", limit.as_secs()))),
        }
    }

    /// What the request's key says, where it has one and keys are kept.
    fn known(&self, parts: &Parts, head: &Head, body: &[u8]) -> Result<Keyed, Problem> {
        let shared = &self.shared;
        let Some(answers) = shared.gate.answers() else { return Ok(Keyed::Without) };
        let Some(key) = idempotency::key(&parts.headers)? else { return Ok(Keyed::Without) };
        let token = head.token.and_then(|place| shared.settings.tokens.get(place));
        let key = idempotency::scoped(&shared.settings.name, token, key);
        match answers.claim(key, idempotency::fingerprint(&parts.headers, head.partial, body)) {
            Known::New(claim) => Ok(Keyed::New(claim)),
            Known::Again(answer) => Ok(Keyed::Answered(answer)),
            Known::UnderWay => {
                Err(Problem::new(codes::KEY_IN_USE, "the first request with this Idempotency-Key is not answered yet: ask again for its answer").retry_after(1))
            }
            Known::Reused => {
                Err(Problem::new(codes::KEY_REUSED, "another request was accepted under this Idempotency-Key: give each request a key of its own"))
            }
        }
    }

    /// Room for a large body and what becomes of it.
    async fn memory(&self, declared: Option<usize>, encoding: Encoding) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Problem> {
        let settings = &self.shared.settings;
        let body = declared.unwrap_or(settings.max_body);
        let need = if encoding == Encoding::Identity { body * 2 } else { body + settings.max_body * 2 };
        if body <= SMALL && encoding == Encoding::Identity {
            return Ok(None);
        }
        let permits = u32::try_from((need >> 10).clamp(1, (settings.body_memory >> 10).max(1))).unwrap_or(u32::MAX);
        let wait = tokio::time::timeout(MEMORY_WAIT, std::sync::Arc::clone(&self.shared.memory).acquire_many_owned(permits)).await;
        match wait {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Problem::new(codes::BUSY, format!("large bodies in progress take {} bytes already", settings.body_memory)).retry_after(1)),
        }
    }
}

fn head(parts: &Parts, shared: &Shared) -> Result<Head, Problem> {
    if parts.uri.path() != "/events" {
        return Err(Problem::new(codes::NOT_FOUND, "events go to POST /events"));
    }
    if parts.method != Method::POST {
        return Err(Problem::new(codes::METHOD_NOT_ALLOWED, "events go to POST /events").header("allow", "POST"));
    }
    let token = auth::check(&shared.settings.tokens, &parts.headers)?;
    rated(shared, token)?;
    let partial = partial(parts.uri.query().unwrap_or_default())?;
    let encoding = encoding(parts)?;
    let named = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(Media::from_content_type);
    let media = match named {
        Some(media @ (Media::CloudEvent | Media::CloudEventBatch)) => media,
        _ if BinaryHead::is_in(&parts.headers) => binary(&parts.headers)?,
        Some(media) => media,
        None => {
            let detail = format!("the content type must be {}, in UTF-8", Media::ACCEPTED);
            return Err(Problem::new(codes::UNSUPPORTED_TYPE, detail)
                .header("accept-post", "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json"));
        }
    };
    Ok(Head { media, encoding, partial, token })
}

pub(super) fn binary(headers: &HeaderMap) -> Result<Media, Problem> {
    BinaryHead::from_headers(headers).map(Media::Binary).map_err(|fault| {
        let mut summary = Summary::default();
        summary.refuse(fault);
        refused(summary)
    })
}

pub(super) fn encoding(parts: &Parts) -> Result<Encoding, Problem> {
    let Some(value) = parts.headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    value.to_str().ok().and_then(Encoding::from_header).ok_or_else(|| {
        let detail = format!("the body may be packed once, as one of {}", Encoding::ACCEPTED);
        Problem::new(codes::UNSUPPORTED_ENCODING, detail).header("accept-encoding", Encoding::ACCEPTED)
    })
}

/// Where a request of this token has to pay: for all its events at once, however many, so that a batch
/// beyond the burst is taken, and what follows waits until the debt is paid.
fn buckets(shared: &Shared, token: Option<usize>) -> impl Iterator<Item = MutexGuard<'_, TokenBucket>> {
    let own = token.and_then(|place| shared.token_rates.get(place));
    shared.rate.iter().chain(own).map(|bucket: &Mutex<TokenBucket>| bucket.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Refuses a request while the listener or its token is in debt: before its body is read.
fn rated(shared: &Shared, token: Option<usize>) -> Result<(), Problem> {
    within_rate(shared, buckets(shared, token), "more events came than `rate_limit` of the listener, or of each of its tokens, lets through")
}

pub(super) fn within_rate<'b>(shared: &Shared, buckets: impl Iterator<Item = MutexGuard<'b, TokenBucket>>, detail: &str) -> Result<(), Problem> {
    let now = shared.clock.monotonic();
    let wait = buckets.map(|mut bucket| bucket.wait(1, now)).max().unwrap_or_default();
    if wait.is_zero() {
        return Ok(());
    }
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
    Err(Problem::new(codes::RATE, detail).retry_after(seconds))
}

fn partial(query: &str) -> Result<bool, Problem> {
    let mut partial = false;
    for parameter in query.split('&') {
        partial = match parameter.split_once('=').unwrap_or((parameter, "true")) {
            ("partial", "true" | "1") => true,
            ("partial", "false" | "0") => false,
            ("partial", _) => return Err(Problem::new(codes::INVALID_QUERY, "partial must be true or false")),
            _ => partial,
        };
    }
    Ok(partial)
}

/// What is done with a body once it is there; no waiting in it.
struct Work {
    media: Media,
    encoding: Encoding,
    whole: Option<Bytes>,
    max_body: usize,
    bounds: Bounds,
    received: u64,
}

impl Work {
    fn run(self, mut scratch: Box<Scratch>) -> (Box<Scratch>, Result<(AppendBatch, Summary), Problem>) {
        let result = self.events(&mut scratch);
        (scratch, result)
    }

    fn events(&self, scratch: &mut Scratch) -> Result<(AppendBatch, Summary), Problem> {
        let sent = self.whole.as_deref().unwrap_or(&scratch.body);
        let text = match self.encoding {
            Encoding::Identity => sent,
            packed => {
                decode(packed, sent, self.max_body, &mut scratch.unpacked).map_err(|fault| match fault {
                    DecodeFault::TooLarge { .. } => too_large(self.max_body),
                    DecodeFault::Malformed(_) => Problem::new(codes::MALFORMED_ENCODING, fault.to_string()),
                })?;
                &scratch.unpacked
            }
        };
        // Stored events are a third larger than what came in, as a rule; growing moves them.
        let mut batch = AppendBatch::with_capacity(text.len() + text.len() / 2 + 256, text.len() / 512 + 1);
        let summary = read_events(&mut scratch.normaliser, &self.media, text, self.received, self.bounds, &mut batch).map_err(no_events)?;
        Ok((batch, summary))
    }
}

/// What the `Idempotency-Key` of a request says.
enum Keyed {
    Without,
    New(AnswerClaim),
    Answered(Bytes),
}

/// The body of a 202 but for what only the append tells.
pub(super) struct Answer {
    accepted: usize,
    rest: Vec<u8>,
}

impl Answer {
    pub(super) fn new(batch: &AppendBatch, summary: &Summary) -> Self {
        Self { accepted: batch.len(), rest: details(batch, summary) }
    }

    /// Bytes that it has at most.
    fn longest(&self) -> usize {
        self.rest.len() + 64
    }

    /// Of the events that are safe now, `duplicates` were before.
    pub(super) fn with(self, duplicates: usize) -> Bytes {
        let mut out = format!("{{\"accepted\":{}", self.accepted).into_bytes();
        if duplicates > 0 {
            out.extend_from_slice(format!(",\"duplicates\":{duplicates}").as_bytes());
        }
        out.extend_from_slice(&self.rest);
        out.into()
    }
}

/// Ids and faults, and the closing brace.
fn details(batch: &AppendBatch, summary: &Summary) -> Vec<u8> {
    let mut out = Vec::new();
    if summary.assigned {
        out.extend_from_slice(b",\"ids\":[");
        for index in 0..batch.len() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            let event = batch.stored(index).and_then(|stored| EventRef::new(stored).ok());
            if let Some(id) = event.and_then(|event| event.attr(Attr::Id)) {
                // Between the quotes as it stands in JSON text, escapes included.
                out.extend_from_slice(id.raw);
            }
            out.push(b'"');
        }
        out.push(b']');
    }
    if summary.faulty > 0 {
        out.extend_from_slice(format!(",\"rejected\":{},\"errors\":", summary.faulty).as_bytes());
        out.extend_from_slice(&serde_json::to_vec(&listed(&summary.listed)).unwrap_or_default());
    }
    out.push(b'}');
    out
}

pub(super) fn accepted(answer: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body without events to speak of.
pub(super) fn no_events(fault: BodyFault) -> Problem {
    match fault {
        BodyFault::Empty => Problem::new(codes::EMPTY_BATCH, fault.to_string()),
        BodyFault::TooManyEvents { .. } => Problem::new(codes::TOO_MANY_EVENTS, fault.to_string()),
    }
}

pub(super) fn refused(summary: Summary) -> Problem {
    let detail = format!("{} of the events cannot be taken, so none was; ?partial=true takes the others", summary.faulty);
    let broken = "the body cannot be read to its end, so none of its events was taken";
    Problem::new(codes::INVALID_EVENTS, if summary.broken { broken.into() } else { detail }).events(summary)
}

pub(super) fn too_large(limit: usize) -> Problem {
    Problem::new(codes::BODY_TOO_LARGE, format!("at most {limit} bytes are taken, as sent and unpacked (max_body of the listener)"))
}

/// Why events were not kept, as the sender may know it. Paths and causes stay in the log.
pub(super) fn not_durable(error: &AppendError) -> Problem {
    match error {
        AppendError::Full { .. } => Problem::new(codes::QUOTA, error.to_string()).retry_after(5),
        AppendError::DiskFull { .. } => Problem::new(codes::DISK, "the disk below the journal is full").retry_after(30),
        AppendError::Closed => Problem::new(codes::DRAINING, "the service is stopping; it comes back, or another one does").retry_after(5),
        AppendError::TooLarge { .. } => Problem::new(codes::BODY_TOO_LARGE, error.to_string()),
        AppendError::Empty => Problem::new(codes::EMPTY_BATCH, "the body holds no event"),
        AppendError::Sync { .. } | AppendError::Io { .. } => {
            tracing::error!(error = %error, cause = ?std::error::Error::source(error).map(ToString::to_string), "events were refused");
            Problem::new(codes::DISK, "the journal cannot write to its disk").retry_after(60)
        }
    }
}
