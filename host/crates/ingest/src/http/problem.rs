//! Refusals as problem details (RFC 9457), with a code that stays.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::body::{Listed, Summary};

/// What happened, for programs: the status and the code never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) status: StatusCode,
    pub(crate) name: &'static str,
    title: &'static str,
}

pub(super) mod codes {
    use super::{Code, StatusCode};

    macro_rules! codes {
        ($($code:ident = $status:ident, $name:literal, $title:literal;)*) => {
            $(pub(in crate::http) const $code: Code = Code { status: StatusCode::$status, name: $name, title: $title };)*
        };
    }
    codes! {
        INVALID_EVENTS = BAD_REQUEST, "invalid_events", "Events were refused";
        EMPTY_BATCH = BAD_REQUEST, "empty_batch", "No events";
        INVALID_QUERY = BAD_REQUEST, "invalid_query", "A query parameter is wrong";
        INVALID_KEY = BAD_REQUEST, "invalid_idempotency_key", "The Idempotency-Key is malformed";
        BODY_BROKEN = BAD_REQUEST, "body_broken", "The body broke off";
        MALFORMED_ENCODING = BAD_REQUEST, "malformed_encoding", "The body cannot be unpacked";
        UNAUTHORIZED = UNAUTHORIZED, "unauthorized", "Not let in";
        UNVERIFIED = UNAUTHORIZED, "unverified", "Not verified";
        IN_PROGRESS = CONFLICT, "in_progress", "Under way already";
        NOT_FOUND = NOT_FOUND, "not_found", "No such path";
        METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed";
        TIMEOUT = REQUEST_TIMEOUT, "request_timeout", "The body did not come in time";
        BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
        TOO_MANY_EVENTS = PAYLOAD_TOO_LARGE, "too_many_events", "Too many events";
        KEY_IN_USE = CONFLICT, "idempotency_key_in_use", "A request with this Idempotency-Key is under way";
        KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The Idempotency-Key stands for another request";
        ANSWER_TOO_LARGE = PAYLOAD_TOO_LARGE, "idempotency_answer_too_large", "The answer is too large to be kept";
        UNSUPPORTED_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unknown content type";
        UNSUPPORTED_ENCODING = UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Unknown content encoding";
        RATE = TOO_MANY_REQUESTS, "rate", "Too many events a second";
        CONNECTOR_BUSY = SERVICE_UNAVAILABLE, "connector_unavailable", "Nobody can answer right now";
        CONNECTOR_FAILED = BAD_GATEWAY, "connector_failed", "The connector failed";
        QUOTA = TOO_MANY_REQUESTS, "quota", "The journal is full";
        DISK = SERVICE_UNAVAILABLE, "disk", "The disk takes no events";
        DRAINING = SERVICE_UNAVAILABLE, "draining", "The service is stopping";
        BUSY = SERVICE_UNAVAILABLE, "busy", "Too much at once";
        INTERNAL = INTERNAL_SERVER_ERROR, "internal", "An error of the service";
    }
}

/// A refusal on its way to the sender.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: String,
    headers: Vec<(&'static str, String)>,
    summary: Option<Box<Summary>>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    /// Bad events, those not listed included.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ListedError<'a>>,
}

/// A bad event: its place in the body from 0, the place within it (RFC 6901), what is wrong, and the
/// byte of the body where that is known.
#[derive(Serialize)]
pub(super) struct ListedError<'a> {
    index: usize,
    pointer: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    byte: Option<usize>,
}

pub(super) fn listed(faults: &[Listed]) -> Vec<ListedError<'_>> {
    faults.iter().map(|Listed { index, fault }| ListedError { index: *index, pointer: &fault.pointer, reason: &fault.reason, byte: fault.at }).collect()
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), headers: Vec::new(), summary: None }
    }

    /// One text for everything that can be wrong with a signature: the operator sees which it was.
    pub(crate) fn unverified() -> Self {
        Self::new(codes::UNVERIFIED, "the request's signature is missing, wrong, or too old")
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.header("retry-after", seconds.to_string())
    }

    pub(super) fn events(mut self, summary: Summary) -> Self {
        self.summary = Some(Box::new(summary));
        self
    }

    pub(super) fn response(&self) -> Response<Full<Bytes>> {
        let document = Document {
            kind: format!("urn:bulkhead:problem:{}", self.code.name),
            title: self.code.title,
            status: self.code.status.as_u16(),
            code: self.code.name,
            detail: &self.detail,
            count: self.summary.as_ref().map(|summary| summary.faulty),
            errors: self.summary.as_ref().map(|summary| listed(&summary.listed)).unwrap_or_default(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.code.status;
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
        for (name, value) in &self.headers {
            if let Ok(value) = http::HeaderValue::from_str(value) {
                headers.insert(*name, value);
            }
        }
        response
    }
}
