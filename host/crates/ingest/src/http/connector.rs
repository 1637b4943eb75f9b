//! Requests that a connector answers: what its failures mean to the sender, its events, its answer.

use bulkhead_core::{AskError, Failure, RecordBatch, Reply};
use bulkhead_journal::AppendBatch;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::problem::{Problem, codes};
use crate::inbound::Refusal;
use crate::normalise::Normaliser;

/// What the sender hears: whether to come again, never what went wrong.
pub(super) fn refused(error: &AskError) -> Refusal {
    let busy = |after: u32| Problem::new(codes::CONNECTOR_BUSY, "the connector behind this address cannot answer right now; send it again").retry_after(after);
    let failed = || Problem::new(codes::CONNECTOR_FAILED, "the connector behind this address failed; nothing of the request was taken");
    let seconds = |wait: &std::time::Duration| u32::try_from(wait.as_secs().clamp(1, 3_600)).unwrap_or(3_600);
    let (problem, reason) = match error {
        AskError::Gone => (busy(5), "connector_gone"),
        AskError::Held(_) => (busy(60), "connector_held"),
        AskError::Busy => (busy(1), "connector_busy"),
        AskError::Deadline(_) => (busy(5), "connector_deadline"),
        AskError::Open(_) => (failed(), "connector_closed"),
        AskError::Fault(_) => (failed(), "connector_fault"),
        AskError::Failed(Failure::Unavailable { after, .. }) => (busy(after.as_ref().map_or(5, seconds)), "connector_unavailable"),
        AskError::Failed(Failure::TooLarge(_)) => {
            (Problem::new(codes::BODY_TOO_LARGE, "the connector behind this address takes no body of this size"), "connector_too_large")
        }
        AskError::Failed(Failure::Unsupported) => (failed(), "connector_unsupported"),
        AskError::Failed(_) => (failed(), "connector_failed"),
    };
    Refusal { problem, reason }
}

/// The reply held events that are none.
pub(super) fn bad_events() -> Refusal {
    let problem = Problem::new(codes::CONNECTOR_FAILED, "the connector behind this address failed; nothing of the request was taken");
    Refusal { problem, reason: "connector_events" }
}

/// All events of a reply, or none: the error says which one is no event, and why.
pub(super) fn events(records: &RecordBatch, normaliser: &mut Normaliser, received: u64) -> Result<AppendBatch, String> {
    let mut batch = AppendBatch::with_capacity(records.block.len() + records.block.len() / 2 + 512, records.len());
    for index in 0..records.len() {
        crate::pull::add(records, index, normaliser, received, &mut batch).map_err(|reason| format!("receive: event {index} is none: {reason}"))?;
    }
    Ok(batch)
}

/// The reply on its way out. It was checked where it came from the guest; what does not fit all the same
/// is left out.
pub(super) fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
