//! Answers: `ExportLogsServiceResponse` where the request was taken, `google.rpc.Status` where it was not.

use bulkhead_sdk::protobuf::{Fields, Wire};
use bulkhead_sdk::{Delivery, Failure, Outcome, Value, http, json, metrics, writer};

use crate::{Partial, Settings};

/// Bytes of a message that go into a reason.
const REASON_BYTES: usize = 512;

pub fn read(response: &http::Response, events: usize, settings: &Settings) -> Result<Delivery, Failure> {
    match response.status {
        200..=299 => taken(response, events, settings.partial_success),
        415 => Err(Failure::Configuration(format!("{}; the receiver does not read this encoding: change `encoding` or `gzip`", reason(response)))),
        408 | 425 | 500 | 501 | 505..=599 if settings.strict_statuses => Ok(Delivery::All(Outcome::Rejected(reason(response)))),
        _ => match Delivery::of_response(response, events)?.halves(events) {
            // The shared table's reason is the body, which need not be text here.
            Ok(Delivery::All(Outcome::Rejected(_))) => Ok(Delivery::All(Outcome::Rejected(reason(response)))),
            other => other,
        },
    }
}

/// An empty request was sent.
pub fn check(response: &http::Response) -> Result<String, Failure> {
    match response.status {
        200..=299 => success(response).map(|_| "the receiver takes log records and the credential".to_owned()).ok_or_else(strange),
        415 => Err(Failure::Configuration(format!("{}; change `encoding` or `gzip`", reason(response)))),
        _ => match Delivery::from_status(response)? {
            Delivery::All(Outcome::Rejected(_)) => Err(Failure::Configuration(format!("an empty request was refused: {}", reason(response)))),
            _ => Err(strange()),
        },
    }
}

fn strange() -> Failure {
    Failure::Other("the receiver answered 2xx without a response of OTLP; is the destination's `url` its base, without /v1/logs?".to_owned())
}

/// What a receiver said of a request that it took.
#[derive(Debug, Default, PartialEq, Eq)]
struct Success {
    rejected: i64,
    message: String,
}

fn taken(response: &http::Response, events: usize, partial: Partial) -> Result<Delivery, Failure> {
    let success = success(response).ok_or_else(strange)?;
    if success.rejected <= 0 {
        if !success.message.is_empty() {
            metrics::count("otlp_warnings_total", &[], 1);
        }
        return Ok(Delivery::accepted());
    }
    metrics::count("otlp_records_rejected_total", &[], success.rejected.unsigned_abs());
    if partial == Partial::Accept && usize::try_from(success.rejected).is_ok_and(|rejected| rejected < events) {
        return Ok(Delivery::accepted());
    }
    let which = if events == 1 { "" } else { ", it does not say which" };
    Ok(Delivery::All(Outcome::Rejected(format!("the receiver rejected {} of {events} log records{which}: {}", success.rejected, success.message))))
}

fn is_protobuf(response: &http::Response) -> bool {
    match response.header("content-type") {
        Some(value) => value.starts_with(b"application/x-protobuf"),
        // Without a content type: what begins like a message of ours is none of JSON.
        None => response.body.first().is_some_and(|first| *first == 0x0a),
    }
}

fn success(response: &http::Response) -> Option<Success> {
    if response.body.is_empty() {
        return Some(Success::default());
    }
    if is_protobuf(response) {
        let mut success = Success::default();
        let mut fields = Fields::new(&response.body);
        for field in fields.by_ref() {
            if let (1, Wire::Len(partial)) = field {
                let mut inside = Fields::new(partial);
                for field in inside.by_ref() {
                    match field {
                        (1, Wire::Varint(rejected)) => success.rejected = rejected as i64,
                        (2, Wire::Len(message)) => success.message = words(message),
                        _ => {}
                    }
                }
                inside.is_complete().then_some(())?;
            }
        }
        return fields.is_complete().then_some(success);
    }
    let root = root(response)?;
    let partial = root.member("partialSuccess");
    Some(Success { rejected: partial.member("rejectedLogRecords").integer().unwrap_or(0), message: text(partial.member("errorMessage")) })
}

fn root(response: &http::Response) -> Option<Value<'_>> {
    let root = json::value(std::str::from_utf8(&response.body).ok()?)?;
    let mut members = root.members();
    let _ = members.by_ref().count();
    members.is_complete().then_some(root).filter(|root| root.kind() == bulkhead_sdk::Kind::Object)
}

fn text(value: Value<'_>) -> String {
    value.text().map(|text| words(&text)).unwrap_or_default()
}

fn words(text: &[u8]) -> String {
    String::from_utf8_lossy(writer::cut(text, REASON_BYTES)).into_owned()
}

/// Why a request was refused: the status's message, else what stands there.
fn reason(response: &http::Response) -> String {
    let message = if is_protobuf(response) {
        Fields::new(&response.body).find_map(|field| if let (2, Wire::Len(message)) = field { Some(words(message)) } else { None })
    } else {
        root(response).map(|root| text(root.member("message")))
    };
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("the receiver answered {}: {message}", response.status),
        None if is_protobuf(response) => format!("the receiver answered {}", response.status),
        None => Delivery::reason(response),
    }
}
