//! Answers by the GraphQL over HTTP specification: with `application/graphql-response+json` the body counts whatever the
//! status is, with `application/json` only on 2xx, because a body beside another status may be a proxy's.

use bulkhead_sdk::literal::check_pointer;
use bulkhead_sdk::{Delivery, Failure, Kind, Outcome, Value, http, json};

use crate::settings::{Codes, Partial};

pub const RESPONSE: &str = "application/graphql-response+json";
/// What servers say of any error that they did not expect.
const INTERNAL: &str = "INTERNAL_SERVER_ERROR";
/// Bytes of an error's message that go into a reason.
const MESSAGE_BYTES: usize = 512;
/// Bytes of its code.
const CODE_BYTES: usize = 64;

/// How answers are read.
#[derive(Debug)]
pub struct Reader {
    again: Vec<String>,
    unauthorized: Vec<String>,
    configuration: Vec<String>,
    partial: Partial,
    receipt: Option<String>,
}

impl Reader {
    pub fn new(codes: Codes, partial: Partial, receipt: Option<String>) -> Result<Self, String> {
        receipt.as_ref().map_or(Ok(()), |pointer| check_pointer("receipt", pointer))?;
        let or = |list: Option<Vec<String>>, own: &[&str]| list.unwrap_or_else(|| own.iter().map(|code| (*code).to_owned()).collect());
        Ok(Self {
            again: or(codes.again, &[INTERNAL, "THROTTLED"]),
            unauthorized: or(codes.unauthorized, &["UNAUTHENTICATED", "FORBIDDEN"]),
            configuration: or(codes.configuration, &["GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "OPERATION_RESOLUTION_FAILURE"]),
            partial,
            receipt,
        })
    }

    /// What became of a request with this many events.
    pub fn judge(&self, answer: Result<http::Response, http::Error>, events: usize) -> Result<Delivery, Failure> {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Delivery::of(Err(error), events),
        };
        let Some(said) = Said::of(&response) else {
            return match response.status {
                200..=299 => Err(Failure::Unavailable {
                    reason: format!("the receiver answered {}, but not as a GraphQL server does", response.status),
                    after: response.retry_after,
                }),
                _ => Delivery::of_response(&response, events),
            };
        };
        if let Some(failure) = self.by_code(&said, &response, events) {
            return Err(failure);
        }
        let identifier = self.receipt.as_ref().map_or(Value::MISSING, |pointer| said.body.at(pointer));
        match (said.error, said.data, self.partial) {
            (None, true, _) | (Some(_), true, Partial::Accepted) => Ok(Delivery::All(Outcome::accepted_as(identifier))),
            (None, false, _) => Err(Failure::Unavailable { reason: "the server answered neither data nor an error".to_owned(), after: response.retry_after }),
            (Some(_), true, Partial::Again) => Err(Failure::Unavailable {
                reason: "the server answered data and an error, which `partial` says to try again".to_owned(),
                after: response.retry_after,
            }),
            (Some(error), true, Partial::Refused) => Ok(Delivery::All(Outcome::Rejected(reason(response.status, error)))),
            // Nothing was executed. What the status says of the server or the request's form goes first.
            (Some(error), false, _) => match response.status {
                200..=299 | 400 | 409..=412 | 414 | 416..=424 => Ok(Delivery::All(Outcome::Rejected(reason(response.status, error)))),
                _ => Delivery::of_response(&response, events),
            },
        }
    }

    /// What an error's code says, wherever it stands in the list.
    fn by_code(&self, said: &Said<'_>, response: &http::Response, events: usize) -> Option<Failure> {
        let find =
            |codes: &[String]| said.errors().map(|error| error.at("/extensions/code")).find_map(|code| codes.iter().find(|known| code.is(known)).cloned());
        // Codes are the configuration's own words. Messages may be the event's and stay out of these texts, which go to the log.
        if let Some(code) = find(&self.unauthorized) {
            return Some(Failure::Unauthorized(format!("the server answered with code {code}; check the destination's `credential`")));
        }
        if let Some(code) = find(&self.configuration) {
            return Some(Failure::Configuration(format!("the server answered with code {code}; check `query` and `operation`")));
        }
        // A part of the operation may say so; where parts are enough the rest is not done again.
        if said.data && self.partial == Partial::Accepted {
            return None;
        }
        let code = find(&self.again)?;
        // Resolvers that stumble over one event of a list say no more than this: it is looked for in halves.
        if events > 1 && code == INTERNAL {
            return Some(Failure::TooLarge(format!("the batch is sent in halves to find an event at fault: the server answered with code {code}")));
        }
        Some(Failure::Unavailable { reason: format!("the server answered with code {code}"), after: response.retry_after })
    }
}

/// A GraphQL response.
pub struct Said<'a> {
    body: Value<'a>,
    /// The first error.
    pub error: Option<Value<'a>>,
    /// There are data, and not null.
    pub data: bool,
}

impl<'a> Said<'a> {
    /// `None` where the answer is none.
    pub fn of(response: &'a http::Response) -> Option<Self> {
        let content_type = response.header("content-type").unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let counts =
            essence.eq_ignore_ascii_case(RESPONSE.as_bytes()) || essence.eq_ignore_ascii_case(b"application/json") && (200..=299).contains(&response.status);
        if !counts {
            return None;
        }
        let body = json::value(std::str::from_utf8(&response.body).ok()?)?;
        let (data, errors) = (body.member("data"), body.member("errors"));
        let error = errors.elements().next();
        (error.is_some() || data.kind() != Kind::Missing).then(|| Self { body, error, data: data.is_some() })
    }

    fn errors(&self) -> impl Iterator<Item = Value<'a>> {
        self.body.member("errors").elements()
    }
}

/// Why the server refused, in its own words; for dead letters, never for logs.
pub fn reason(status: u16, error: Value<'_>) -> String {
    let message = error.member("message").text().unwrap_or_default();
    let message = String::from_utf8_lossy(bulkhead_sdk::writer::cut(&message, MESSAGE_BYTES)).into_owned();
    match error.at("/extensions/code").text() {
        Some(code) => format!("the receiver answered {status}: {message} ({})", String::from_utf8_lossy(bulkhead_sdk::writer::cut(&code, CODE_BYTES))),
        None => format!("the receiver answered {status}: {message}"),
    }
}
