//! `bulkhead:connector/http`: requests to named destinations.

use std::time::Duration;

use super::answer_by;
use crate::bindings::http as wit;
use crate::egress::client::{Request, Response, SendError};
use crate::egress::{Refusal, RefusalKind, relative};
use crate::store::Guest;

impl wit::Host for Guest {
    /// Not cancel safe: the receiver may have seen the request.
    async fn send(&mut self, request: wit::Request) -> wasmtime::Result<Result<wit::Response, wit::Error>> {
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let request = Request {
            destination: request.destination,
            method: request.method,
            path: request.path,
            headers: request.headers,
            body: request.body,
            gzip: matches!(request.encoding, wit::BodyEncoding::Gzip),
            timeout: request.timeout.map(|millis| Duration::from_millis(millis.into())),
            message_id: request.message_id,
        };
        let since = self.meter.wait();
        let answer = capabilities.egress.send_on(&self.bill, request, answer_by(self.deadline)).await;
        self.meter.waited(since);
        Ok(answer.map(into_wit).map_err(error))
    }

    async fn relative(&mut self, destination: String, url: String) -> wasmtime::Result<Result<String, wit::Error>> {
        let Some(capabilities) = &self.capabilities else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        Ok(relative(capabilities.egress.destinations(), &destination, &url).map_err(refused))
    }
}

fn into_wit(response: Response) -> wit::Response {
    let retry_after = response.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    wit::Response { status: response.status, headers: response.headers, body: response.body, truncated: response.truncated, retry_after }
}

fn error(error: SendError) -> wit::Error {
    match error {
        SendError::Refused(refusal) => refused(refusal),
        // To the guest a reason to come back later, as any connection that did not come about.
        SendError::Connect(text) | SendError::Busy(text) => wit::Error::Connect(text),
        SendError::Broken(text) => wit::Error::Broken(text),
        SendError::Timeout => wit::Error::Timeout,
        SendError::Limit(text) => wit::Error::Limit(text),
    }
}

fn refused(refusal: Refusal) -> wit::Error {
    match refusal.kind {
        RefusalKind::Denied => wit::Error::Denied(refusal.to_string()),
        RefusalKind::Invalid => wit::Error::Invalid(refusal.to_string()),
        RefusalKind::Limit => wit::Error::Limit(refusal.to_string()),
    }
}
