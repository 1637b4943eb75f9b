//! One request: checked head first, then read, unpacked, normalised, made durable, answered.

use std::time::Duration;

use bulkhead_core::{Attr, EventRef};
use bulkhead_journal::{AppendBatch, AppendError};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};

use super::problem::{Problem, codes, listed};
use super::rate::Bucket;
use super::receive::{ReadFault, discard, read};
use super::{Connection, Scratch, Shared, auth};
use crate::body::{BodyFault, Bounds, DecodeFault, Encoding, Media, Summary, decode, read_events};
use crate::shape::binary::BinaryHead;

/// Bodies up to this size are not counted against the memory of bodies: their number is bounded by
/// that of the connections.
const SMALL: usize = 64 << 10;
/// Bodies above these sizes, as they are and packed, are handled off the threads that serve connections.
const HEAVY: usize = 512 << 10;
const HEAVY_PACKED: usize = 64 << 10;
/// What is read of a body that is refused, so that its sender sees the answer.
const DISCARD: usize = 1 << 20;
/// The same for a body that is refused for its length.
const DISCARD_LARGE: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(5);
/// Longest wait for memory that other bodies hold.
const MEMORY_WAIT: Duration = Duration::from_secs(2);

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
        match self.take_in(&parts, &mut body).await {
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
        let declared = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if declared.is_some_and(|length| length > settings.max_body) {
            return Err(too_large(settings.max_body));
        }
        let _memory = self.memory(declared, head.encoding).await?;
        let mut scratch = self.take_scratch();
        let reading = tokio::time::timeout(settings.body_timeout, read(body, settings.max_body, &mut scratch.body)).await;
        let whole = match reading {
            Ok(Ok(whole)) => whole,
            Ok(Err(ReadFault::TooLarge)) => return Err(too_large(settings.max_body)),
            Ok(Err(ReadFault::Broken)) => {
                return Err(Problem::new(codes::BODY_BROKEN, "the body ended before its declared length, or its chunks are malformed"));
            }
            Err(_) => return Err(Problem::new(codes::TIMEOUT, format!("the body did not come within {} s", settings.body_timeout.as_secs()))),
        };
        let started = shared.clock.monotonic();
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
        let answer = answer(&batch, &summary);
        buckets(shared, head.token).for_each(|bucket| bucket.pay(batch.len()));
        let count = batch.len() as u64;
        shared.journal.append(batch, settings.durability).await.map_err(|error| not_durable(&error))?;
        shared.accepted.inc_by(count);
        shared.seconds.observe(shared.clock.monotonic().saturating_sub(started).as_secs_f64());
        Ok(accepted(answer))
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
    let encoding = match parts.headers.get(CONTENT_ENCODING) {
        None => Encoding::Identity,
        Some(value) => value.to_str().ok().and_then(Encoding::from_header).ok_or_else(|| {
            let detail = format!("the body may be packed once, as one of {}", Encoding::ACCEPTED);
            Problem::new(codes::UNSUPPORTED_ENCODING, detail).header("accept-encoding", Encoding::ACCEPTED)
        })?,
    };
    let named = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(Media::from_content_type);
    let media = match named {
        Some(media @ (Media::CloudEvent | Media::CloudEventBatch)) => media,
        _ if BinaryHead::is_in(&parts.headers) => Media::Binary(BinaryHead::from_headers(&parts.headers).map_err(|fault| {
            let mut summary = Summary { faulty: 1, ..Summary::default() };
            summary.listed.push(crate::body::Listed { index: 0, fault });
            refused(summary)
        })?),
        Some(media) => media,
        None => {
            let detail = format!("the content type must be {}, in UTF-8", Media::ACCEPTED);
            return Err(Problem::new(codes::UNSUPPORTED_TYPE, detail)
                .header("accept-post", "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json"));
        }
    };
    Ok(Head { media, encoding, partial, token })
}

/// What a request of this token has to pay.
fn buckets(shared: &Shared, token: Option<usize>) -> impl Iterator<Item = &Bucket> {
    shared.rate.iter().chain(token.and_then(|place| shared.token_rates.get(place)))
}

/// Refuses a request while the listener or its token is in debt: before its body is read.
fn rated(shared: &Shared, token: Option<usize>) -> Result<(), Problem> {
    let now = shared.clock.monotonic();
    let Some(wait) = buckets(shared, token).filter_map(|bucket| bucket.wait(now)).max() else { return Ok(()) };
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
    let detail = "more events came than `rate_limit` of the listener, or of each of its tokens, lets through";
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
        let summary = read_events(&mut scratch.normaliser, &self.media, text, self.received, self.bounds, &mut batch).map_err(|fault| match fault {
            BodyFault::Empty => Problem::new(codes::EMPTY_BATCH, fault.to_string()),
            BodyFault::TooManyEvents { .. } => Problem::new(codes::TOO_MANY_EVENTS, fault.to_string()),
        })?;
        Ok((batch, summary))
    }
}

/// The body of a 202.
fn answer(batch: &AppendBatch, summary: &Summary) -> Vec<u8> {
    let mut out = format!("{{\"accepted\":{}", batch.len()).into_bytes();
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

fn accepted(answer: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refused(summary: Summary) -> Problem {
    let detail = format!("{} of the events cannot be taken, so none was; ?partial=true takes the others", summary.faulty);
    let broken = "the body cannot be read to its end, so none of its events was taken";
    Problem::new(codes::INVALID_EVENTS, if summary.broken { broken.into() } else { detail }).events(summary)
}

fn too_large(limit: usize) -> Problem {
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
