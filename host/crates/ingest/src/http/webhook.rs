//! One request to the address of an inbound webhook: read, verified, held against what came before, made
//! durable, answered.
//!
//! From the verdict on the request runs on its own: a sender that goes away in the middle leaves either
//! nothing, or events and the memory of them.

use std::sync::{Arc, MutexGuard, PoisonError};

use bulkhead_core::{AskError, TokenBucket};
use bulkhead_journal::AppendBatch;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connector;
use super::problem::{Problem, codes};
use super::request::{self, Answer, HEAVY, HEAVY_PACKED, accepted, not_durable, too_large, within_rate};
use super::{Connection, Shared};
use crate::body::{Bounds, DecodeFault, Encoding, Media, Summary, decode, read_events};
use crate::inbound::{Endpoint, Envelope, Inbound, Known, Moment, Origin, Refusal, Scheme, Verified};
use crate::normalise::{Normaliser, Rules};
use crate::shape::binary::BinaryHead;

/// Where addresses begin.
const PREFIX: &str = "/api/integration/webhook/";

/// Whom the request is for, and by which of its keys. Below its address only a connector knows paths.
pub(super) fn address(shared: &Shared, parts: &Parts) -> Option<(Arc<Endpoint>, usize)> {
    let path = parts.uri.path().strip_prefix(PREFIX)?;
    let (key, below) = path.split_once('/').map_or((path, false), |(key, _)| (key, true));
    let found = shared.settings.inbound.as_ref()?.find(key)?;
    (!below || found.0.settings.instance.is_some()).then_some(found)
}

/// What is behind the key, with the query: never the key itself.
fn path_below(parts: &Parts) -> String {
    let path = parts.uri.path().strip_prefix(PREFIX).and_then(|path| path.split_once('/')).map_or("", |(_, below)| below);
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{path}{query}")
}

/// What the sender hears once the events are safe.
enum Said {
    Response(Response<Full<Bytes>>),
    /// How many were taken, which only the append tells.
    Count(Answer),
}

/// A request that was read.
struct Received {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    /// Place of the key that it came by.
    key: usize,
    headers: HeaderMap,
    /// Below the address.
    path: String,
    encoding: Encoding,
    body: Bytes,
    /// Most bytes of it, as sent and unpacked.
    max_body: usize,
}

impl Connection {
    pub(super) async fn webhook(&self, endpoint: &Arc<Endpoint>, key: usize, parts: &Parts, body: &mut Incoming) -> Result<Response<Full<Bytes>>, Problem> {
        self.receive(endpoint, key, parts, body).await.map_err(|Refusal { problem, reason }| {
            endpoint.stats.refused(reason, self.shared.clock.unix_ms());
            problem
        })
    }

    async fn receive(&self, endpoint: &Arc<Endpoint>, key: usize, parts: &Parts, body: &mut Incoming) -> Result<Response<Full<Bytes>>, Refusal> {
        let shared = &self.shared;
        if parts.method != Method::POST {
            return Err(Problem::new(codes::METHOD_NOT_ALLOWED, "webhooks come by POST").header("allow", "POST").into());
        }
        within_rate(shared, buckets(shared, endpoint), "more events came than `rate_limit` of the listener, or of this address, lets through")?;
        let encoding = request::encoding(parts)?;
        let max_body = endpoint.settings.max_body.map_or(shared.settings.max_body, |own| own.min(shared.settings.max_body));
        let mut gathered = Vec::new();
        let (whole, memory) = self.read_body(body, max_body, encoding, &mut gathered).await?;
        let received = Received {
            shared: Arc::clone(shared),
            endpoint: Arc::clone(endpoint),
            key,
            headers: parts.headers.clone(),
            path: path_below(parts),
            encoding,
            max_body,
            body: whole.unwrap_or_else(|| gathered.into()),
        };
        let task = tokio::spawn(async move {
            let done = Arc::new(received).take().await;
            drop(memory);
            done
        });
        task.await.unwrap_or_else(|_| Err(internal().into()))
    }
}

impl Received {
    async fn take(self: Arc<Self>) -> Result<Response<Full<Bytes>>, Refusal> {
        let started = self.shared.clock.monotonic();
        let mut verified = self.off(|received| received.verify()).await?;
        let now_ms = self.shared.clock.unix_ms();
        let stats = &self.endpoint.stats;
        stats.used(self.key, verified.secret, now_ms);
        let slack = matches!(self.endpoint.settings.verifier.scheme, Scheme::Slack);
        if slack {
            match Envelope::read(&self.body) {
                Envelope::Challenge(challenge) => {
                    stats.received(0, false, now_ms);
                    return Ok(text(challenge));
                }
                // A message that is sent again has another timestamp, and so another signature.
                Envelope::Event(id) => (verified.id, verified.repeats) = (Some(id.clone()), Some(id)),
                Envelope::Other => {}
            }
        }
        let claimed = verified.repeats.as_deref().map(|repeats| self.endpoint.claim(repeats, moment(&self.shared)));
        let under_way = match claimed {
            Some((Known::Repeated, _)) => {
                buckets(&self.shared, &self.endpoint).for_each(|mut bucket| bucket.pay(1));
                stats.received(0, true, now_ms);
                return Ok(if slack { text(String::new()) } else { repeated() });
            }
            Some((Known::UnderWay, _)) => {
                return Err(Problem::new(codes::IN_PROGRESS, "the same message is being taken in right now; send it again").retry_after(1).into());
            }
            Some((Known::New, under_way)) => under_way,
            None => None,
        };
        let (batch, said) = match self.endpoint.settings.instance.clone() {
            Some(instance) => {
                let (batch, response) = self.handed_over(&instance, verified).await?;
                (batch, Said::Response(response))
            }
            None => {
                let (batch, summary) = self.off(move |received| received.events(&verified)).await?;
                let said = if slack { Said::Response(text(String::new())) } else { Said::Count(Answer::new(&batch, &summary)) };
                (batch, said)
            }
        };
        let count = batch.len();
        buckets(&self.shared, &self.endpoint).for_each(|mut bucket| bucket.pay(count.max(1) as u64));
        let mut duplicates = 0;
        if count > 0 {
            duplicates = self.shared.gate.append(batch, self.shared.settings.durability).await.map_err(|error| not_durable(&error))?;
            self.shared.accepted.inc_by((count - duplicates) as u64);
            self.shared.duplicates.inc_by(duplicates as u64);
        }
        let response = match said {
            Said::Response(response) => response,
            Said::Count(answer) => accepted(answer.with(duplicates)),
        };
        self.shared.seconds.observe(self.shared.clock.monotonic().saturating_sub(started).as_secs_f64());
        // What a connector refused may come again.
        if let Some(under_way) = under_way.filter(|_| response.status().is_success()) {
            let now = moment(&self.shared);
            match tokio::task::spawn_blocking(move || under_way.keep(now)).await {
                Ok(Ok(forgotten)) => stats.forgotten(forgotten),
                // The events are safe; at the worst the sender repeats them after a restart.
                Ok(Err(error)) => tracing::warn!(inbound = %self.endpoint.settings.name, %error, "an accepted request is not remembered beyond this process"),
                Err(_) => {}
            }
        }
        if response.status().is_success() {
            stats.received(count, false, now_ms);
        } else {
            stats.refused("connector_refused", now_ms);
        }
        Ok(response)
    }

    /// What the connector of an instance answers, with its events. They are journalled before the answer goes.
    async fn handed_over(self: &Arc<Self>, instance: &str, verified: Verified) -> Result<(AppendBatch, Response<Full<Bytes>>), Refusal> {
        let Some(receiver) = self.shared.settings.inbound.as_ref().and_then(Inbound::receiver) else {
            return Err(connector::refused(&AskError::Gone));
        };
        let request = self.off(|received| received.request()).await?;
        let answered = receiver.receive(instance, &request).await;
        let reply = answered.map_err(|error| {
            self.endpoint.stats.failed(&error.to_string());
            connector::refused(&error)
        })?;
        let origin = self.endpoint.origin(&verified, &self.headers);
        let mut normaliser = Normaliser::new(self.rules()).with_origin(origin);
        let batch = connector::events(&reply.events, &mut normaliser, self.shared.clock.unix_nanos()).map_err(|problem| {
            self.endpoint.stats.failed(&problem);
            connector::bad_events()
        })?;
        Ok((batch, connector::response(reply)))
    }

    /// What the connector sees: nothing that lets anybody in.
    fn request(&self) -> Result<bulkhead_core::Inbound, Refusal> {
        let mut unpacked = Vec::new();
        let body = self.unpacked(&mut unpacked)?.to_vec();
        let names = self.endpoint.settings.headers.iter().chain([&CONTENT_TYPE]);
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for name in names.filter(|name| self.headers.contains_key(*name)) {
            if headers.iter().all(|(known, _)| known != name.as_str()) {
                headers.extend(self.headers.get_all(name).iter().map(|value| (name.as_str().to_owned(), value.as_bytes().to_vec())));
            }
        }
        Ok(bulkhead_core::Inbound { method: "POST".into(), path: self.path.clone(), headers, body })
    }

    fn rules(&self) -> Rules {
        Rules { tenant: self.endpoint.settings.tenant.clone(), ..self.shared.settings.rules.clone() }
    }

    /// The body without its encoding.
    fn unpacked<'a>(&'a self, into: &'a mut Vec<u8>) -> Result<&'a [u8], Problem> {
        if self.encoding == Encoding::Identity {
            return Ok(&self.body);
        }
        decode(self.encoding, &self.body, self.max_body, into).map_err(|fault| match fault {
            DecodeFault::TooLarge { limit } => too_large(limit),
            DecodeFault::Malformed(_) => Problem::new(codes::MALFORMED_ENCODING, fault.to_string()),
        })?;
        Ok(into)
    }

    /// Work on the body: of a large one off the threads that serve connections.
    async fn off<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
        let light = if self.encoding == Encoding::Identity { HEAVY } else { HEAVY_PACKED };
        if self.body.len() <= light {
            return work(self);
        }
        let received = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&received)).await.unwrap_or_else(|_| Err(internal().into()))
    }

    fn verify(&self) -> Result<Verified, Refusal> {
        Ok(self.endpoint.settings.verifier.verify(&self.headers, &self.body, moment(&self.shared).unix)?)
    }

    fn events(&self, verified: &Verified) -> Result<(AppendBatch, Summary), Refusal> {
        let settings = &self.shared.settings;
        let mut unpacked = Vec::new();
        let body = self.unpacked(&mut unpacked)?;
        let origin = self.endpoint.origin(verified, &self.headers);
        read(body, &self.headers, origin, self.rules(), self.shared.clock.unix_nanos(), Bounds { events: settings.max_events }).map_err(Into::into)
    }
}

/// The events of a body: JSON in the forms that `/events` knows, or any other text as one event.
fn read(body: &[u8], headers: &HeaderMap, origin: Origin, rules: Rules, received: u64, bounds: Bounds) -> Result<(AppendBatch, Summary), Problem> {
    let mut batch = AppendBatch::with_capacity(body.len() + body.len() / 2 + 512, 1);
    let mut normaliser = Normaliser::new(rules).with_origin(origin);
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let summary = match media(content_type, headers)? {
        Some(media) => read_events(&mut normaliser, &media, body, received, bounds, &mut batch).map_err(request::no_events)?,
        None if body.is_empty() => return Err(Problem::new(codes::EMPTY_BATCH, "the body is empty")),
        None => {
            let mut summary = Summary { events: 1, ..Summary::default() };
            let taken = normaliser.opaque(body, content_type, received, batch.buffer()).map_err(|fault| fault.reason);
            if let Err(reason) = taken.and_then(|()| batch.push_event().map_err(|error| error.to_string())) {
                batch.discard();
                summary.refuse(crate::normalise::EventFault::new("", reason));
            }
            summary
        }
    };
    if summary.faulty > 0 { Err(request::refused(summary)) } else { Ok((batch, summary)) }
}

/// How the body holds its events; `None` for what is no JSON.
fn media(content_type: Option<&str>, headers: &HeaderMap) -> Result<Option<Media>, Problem> {
    let named = content_type.and_then(Media::from_content_type);
    if matches!(named, Some(Media::CloudEvent | Media::CloudEventBatch)) {
        return Ok(named);
    }
    if BinaryHead::is_in(headers) {
        return request::binary(headers).map(Some);
    }
    // Vendors have JSON types of their own (RFC 6839 §3.1).
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(named.or_else(|| (essence.ends_with("+json") || essence == "text/json").then_some(Media::Json)))
}

/// What a request to this address has to pay.
fn buckets<'a>(shared: &'a Shared, endpoint: &'a Endpoint) -> impl Iterator<Item = MutexGuard<'a, TokenBucket>> {
    shared.rate.iter().chain(&endpoint.bucket).map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
}

fn repeated() -> Response<Full<Bytes>> {
    let mut response = accepted(Bytes::from_static(b"{\"accepted\":0,\"repeated\":true}"));
    *response.status_mut() = StatusCode::OK;
    response
}

/// What Slack wants to hear: 200, and what stands in the body may be shown to people.
fn text(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn internal() -> Problem {
    Problem::new(codes::INTERNAL, "the request could not be handled; the log of the service says more")
}

fn moment(shared: &Shared) -> Moment {
    Moment { unix: shared.clock.unix_nanos() / 1_000_000_000, monotonic: shared.clock.monotonic() }
}
