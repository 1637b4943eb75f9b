//! `bulkhead:connector/http`: requests to named destinations.

use std::time::Duration;

use super::answer_by;
use crate::bindings::http as wit;
use crate::capture::{Answer, Ask, Bytes, HttpRequest, HttpResponse};
use crate::egress::client::{Request, Response, SendError};
use crate::egress::{Refusal, RefusalKind, relative};
use crate::store::Guest;

impl wit::Host for Guest {
    /// Not cancel safe: the receiver may have seen the request.
    async fn send(&mut self, request: wit::Request) -> wasmtime::Result<Result<wit::Response, wit::Error>> {
        let Some(capabilities) = self.capabilities.clone() else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let ask = self.tape.is_on().then(|| asked(&request));
        if let Some(answer) = ask.as_ref().and_then(|ask| self.tape.play(ask)) {
            return Ok(played(answer));
        }
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
        let answer = answer.map(into_wit).map_err(error);
        if let Some(ask) = ask {
            self.tape.note(ask, noted(&answer));
        }
        Ok(answer)
    }

    async fn relative(&mut self, destination: String, url: String) -> wasmtime::Result<Result<String, wit::Error>> {
        let Some(capabilities) = &self.capabilities else { return Ok(Err(wit::Error::Denied("nothing is granted".into()))) };
        let ask = self.tape.is_on().then(|| Ask::HttpRelative { destination: destination.clone(), url: url.clone() });
        if let Some(answer) = ask.as_ref().and_then(|ask| self.tape.play(ask)) {
            return Ok(match answer {
                Answer::Path(path) => Ok(path),
                other => Err(error_played(other)),
            });
        }
        let answer = relative(capabilities.egress.destinations(), &destination, &url).map_err(refused);
        if let Some(ask) = ask {
            self.tape.note(ask, answer.as_ref().map_or_else(error_noted, |path| Answer::Path(path.clone())));
        }
        Ok(answer)
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

fn written(headers: &[(String, Vec<u8>)]) -> Vec<(String, Bytes)> {
    headers.iter().map(|(name, value)| (name.clone(), Bytes(value.clone()))).collect()
}

fn asked(request: &wit::Request) -> Ask {
    Ask::HttpSend(HttpRequest {
        destination: request.destination.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        headers: written(&request.headers),
        body: Bytes(request.body.clone()),
        gzip: matches!(request.encoding, wit::BodyEncoding::Gzip),
        timeout_ms: request.timeout,
        message_id: request.message_id.clone(),
    })
}

fn noted(answer: &Result<wit::Response, wit::Error>) -> Answer {
    let response = |response: &wit::Response| {
        Answer::Response(HttpResponse {
            status: response.status,
            headers: written(&response.headers),
            body: Bytes(response.body.clone()),
            truncated: response.truncated,
            retry_after_ms: response.retry_after,
        })
    };
    answer.as_ref().map_or_else(error_noted, response)
}

fn error_noted(error: &wit::Error) -> Answer {
    let (kind, text) = match error {
        wit::Error::Denied(text) => ("denied", text.as_str()),
        wit::Error::Invalid(text) => ("invalid", text.as_str()),
        wit::Error::Connect(text) => ("connect", text.as_str()),
        wit::Error::Broken(text) => ("broken", text.as_str()),
        wit::Error::Timeout => ("timeout", ""),
        wit::Error::Limit(text) => ("limit", text.as_str()),
    };
    Answer::Error { kind: kind.to_owned(), text: text.to_owned() }
}

fn played(answer: Answer) -> Result<wit::Response, wit::Error> {
    match answer {
        Answer::Response(response) => Ok(wit::Response {
            status: response.status,
            headers: response.headers.into_iter().map(|(name, value)| (name, value.0)).collect(),
            body: response.body.0,
            truncated: response.truncated,
            retry_after: response.retry_after_ms,
        }),
        other => Err(error_played(other)),
    }
}

/// What a capture says in the place of an answer; one of another call is none.
fn error_played(answer: Answer) -> wit::Error {
    let Answer::Error { kind, text } = answer else { return wit::Error::Broken("the capture answers another call here".into()) };
    match kind.as_str() {
        "denied" => wit::Error::Denied(text),
        "invalid" => wit::Error::Invalid(text),
        "connect" => wit::Error::Connect(text),
        "timeout" => wit::Error::Timeout,
        "limit" => wit::Error::Limit(text),
        _ => wit::Error::Broken(text),
    }
}
