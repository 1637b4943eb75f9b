//! Outcomes, and the table from HTTP statuses to them that all connectors share.

use std::time::Duration;

use crate::batch::{Batch, Event};
use crate::value::Value;
use crate::{credentials, files, http, state, tcp, udp};

/// Bytes of a receiver's answer that go into a reason.
const REASON_BYTES: usize = 512;

/// What happened to one event at the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it; its own identifier where it gave one.
    Accepted(Option<String>),
    /// Worth another attempt, after the wait that the receiver asked for.
    Retry(Option<Duration>),
    /// The receiver will never take it; the reason goes to the dead letters.
    Rejected(String),
    /// To be confirmed later: the host asks with `settle`.
    Pending { token: String, poll_after: Duration },
}

/// Bytes of a receiver's identifier that the host keeps.
const RECEIPT_BYTES: usize = 128;

impl Outcome {
    /// Accepted, with the receiver's identifier where the value is a text or a number.
    pub fn accepted_as(identifier: Value<'_>) -> Self {
        let text = identifier.text().filter(|text| !text.is_empty());
        Self::Accepted(text.map(|text| String::from_utf8_lossy(crate::writer::cut(&text, RECEIPT_BYTES)).into_owned()))
    }
}

/// One outcome for all events of a batch, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    All(Outcome),
    Each(Vec<Outcome>),
}

/// A call that failed as a whole; no event of it is delivered as far as the guest knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// People must change the configuration; the events wait.
    Configuration(String),
    /// People must change the credential; the events wait.
    Unauthorized(String),
    /// Down, busy or unreachable; with the wait that the receiver asked for.
    Unavailable { reason: String, after: Option<Duration> },
    /// The host sends the batch in halves.
    TooLarge(String),
    /// Not offered by this connector.
    Unsupported,
    /// Anything else; worth another attempt.
    Other(String),
}

impl Delivery {
    /// All events are with the receiver.
    pub fn accepted() -> Self {
        Self::All(Outcome::Accepted(None))
    }

    /// The shared table. Connectors look at what their protocol says first and leave the rest to it.
    ///
    /// | status | result |
    /// |---|---|
    /// | 2xx | accepted |
    /// | 3xx | failure `configuration`: redirects are not followed |
    /// | 401, 403 | failure `unauthorized` |
    /// | 404, 405 | failure `configuration` |
    /// | 408, 425, 429, 5xx | failure `unavailable` with `Retry-After` |
    /// | 413 | failure `too-large` |
    /// | other 4xx | rejected |
    ///
    /// Sources: RFC 9110 §10.2.3 and §15; RFC 8470 §5.2 (425).
    pub fn from_status(response: &http::Response) -> Result<Self, Failure> {
        let status = response.status;
        match status {
            200..=299 => Ok(Self::accepted()),
            300..=399 => Err(Failure::Configuration(format!(
                "the receiver answered {status}, a redirect, and these are not followed; set the destination's `url` to the final address"
            ))),
            401 | 403 => Err(Failure::Unauthorized(format!("the receiver answered {status}; check the destination's `credential`"))),
            404 | 405 => {
                Err(Failure::Configuration(format!("the receiver answered {status}; check the destination's `url` and the path and method in `config`")))
            }
            408 | 425 | 429 | 500..=599 => Err(Failure::Unavailable { reason: format!("the receiver answered {status}"), after: response.retry_after }),
            413 => Err(Failure::TooLarge("the receiver answered 413; lower `batch.max_bytes`".to_owned())),
            400..=499 => Ok(Self::All(Outcome::Rejected(Self::reason(response)))),
            _ => Err(Failure::Other(format!("the receiver answered {status}, which is no final HTTP status"))),
        }
    }

    /// For requests without events, such as checks: success, or the failure by the shared table. What would
    /// reject an event is a matter of the configuration here.
    pub fn success(response: &http::Response) -> Result<(), Failure> {
        match Self::from_status(response)? {
            Self::All(Outcome::Accepted(_)) => Ok(()),
            _ => Err(Failure::Configuration(Self::reason(response))),
        }
    }

    /// What became of one request with these events, by the shared table; what cannot get smaller is rejected.
    /// Connectors handle first what their protocol says otherwise.
    pub fn of(answer: Result<http::Response, http::Error>, events: usize) -> Result<Self, Failure> {
        match answer {
            Ok(response) => Self::of_response(&response, events),
            Err(http::Error::TooLarge(limit)) if events == 1 => Ok(Self::All(Outcome::Rejected(limit))),
            Err(error) => Err(error.into()),
        }
    }

    /// [`of`](Self::of) for an answer that came.
    pub fn of_response(response: &http::Response, events: usize) -> Result<Self, Failure> {
        if response.status == 413 && events == 1 {
            return Ok(Self::All(Outcome::Rejected(Self::reason(response))));
        }
        Self::from_status(response)
    }

    /// For receivers whose refusal of a request does not say which event is at fault: the host sends the batch
    /// in halves until that event stands alone and is rejected.
    pub fn halves(self, events: usize) -> Result<Self, Failure> {
        match self {
            Self::All(Outcome::Rejected(reason)) if events > 1 => {
                Err(Failure::TooLarge(format!("the batch is sent in halves to find the event at fault: {reason}")))
            }
            other => Ok(other),
        }
    }

    /// One call for each event. Once one has been answered the batch does not fail as a whole any more: the
    /// rest comes again.
    pub fn each(batch: &Batch<'_>, mut send: impl FnMut(&[u8], Event<'_>) -> Result<Self, Failure>) -> Result<Self, Failure> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for (record, event) in batch.iter() {
            match send(record, event) {
                Ok(Self::All(outcome)) => outcomes.push(outcome),
                Ok(Self::Each(list)) => outcomes.extend(list.into_iter().take(1)),
                Err(failure) if outcomes.is_empty() => return Err(failure),
                Err(failure) => {
                    let after = if let Failure::Unavailable { after, .. } = failure { after } else { None };
                    outcomes.resize(batch.len(), Outcome::Retry(after));
                    break;
                }
            }
        }
        Ok(Self::Each(outcomes))
    }

    /// A failure after some events have their outcome: the others come again, and a failure's wait is theirs. While
    /// none has one the call fails as a whole.
    pub fn with_failure(outcomes: Vec<Option<Outcome>>, failure: Failure) -> Result<Self, Failure> {
        if outcomes.iter().all(Option::is_none) {
            return Err(failure);
        }
        let after = if let Failure::Unavailable { after, .. } = failure { after } else { None };
        Ok(Self::Each(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Retry(after))).collect()))
    }

    /// Why a receiver refused an event, in its own words; for dead letters, never for logs.
    pub fn reason(response: &http::Response) -> String {
        let words = String::from_utf8_lossy(crate::writer::cut(&response.body, REASON_BYTES));
        let words = words.trim();
        if words.is_empty() { format!("the receiver answered {}", response.status) } else { format!("the receiver answered {}: {words}", response.status) }
    }
}

/// A limit of the host, whose texts begin with its name or with the destination that it holds for. What counts within a time passes by itself; all else
/// takes an operator.
fn limited(limit: String) -> Failure {
    let own = limit.strip_prefix("destination `").and_then(|rest| rest.split_once("`: ")).map_or(limit.as_str(), |(_, own)| own);
    if ["bytes_out ", "bytes_in ", "http_rate ", "http_concurrent "].into_iter().any(|name| own.starts_with(name)) {
        return Failure::Unavailable { reason: limit, after: None };
    }
    Failure::Configuration(limit)
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Denied(rule) => Self::Configuration(format!("the request was denied: {rule}")),
            http::Error::Invalid(problem) => Self::Configuration(format!("the request is not well formed: {problem}")),
            http::Error::Connect(problem) => Self::Unavailable { reason: format!("cannot connect: {problem}"), after: None },
            http::Error::Broken(problem) => Self::Unavailable { reason: format!("the exchange broke off: {problem}"), after: None },
            http::Error::Timeout => Self::Unavailable { reason: "the receiver did not answer in time".to_owned(), after: None },
            http::Error::TooLarge(limit) => Self::TooLarge(limit),
            http::Error::Limit(limit) => limited(limit),
        }
    }
}

/// TLS alerts by which a receiver says that it wants another client certificate than it was shown (RFC 8446 §6.2),
/// in the TLS library's words.
fn refuses_certificate(text: &str) -> bool {
    const ALERTS: [&str; 8] = [
        "CertificateRequired",
        "BadCertificate",
        "UnsupportedCertificate",
        "CertificateRevoked",
        "CertificateExpired",
        "CertificateUnknown",
        "UnknownCA",
        "AccessDenied",
    ];
    text.split_once("received fatal alert: ").is_some_and(|(_, alert)| ALERTS.iter().any(|known| alert.starts_with(known)))
}

impl From<tcp::Error> for Failure {
    fn from(error: tcp::Error) -> Self {
        match &error {
            tcp::Error::Limit(limit) => limited(limit.clone()),
            tcp::Error::Denied(_) => Self::Configuration(error.to_string()),
            tcp::Error::Connect(text) | tcp::Error::Broken(text) if refuses_certificate(text) => {
                Self::Unauthorized(format!("the receiver does not take our certificate ({text}); check the destination's `tls.client_cert`"))
            }
            tcp::Error::Connect(_) | tcp::Error::Broken(_) | tcp::Error::Timeout | tcp::Error::Closed => {
                Self::Unavailable { reason: error.to_string(), after: None }
            }
        }
    }
}

impl From<credentials::Error> for Failure {
    fn from(error: credentials::Error) -> Self {
        match error {
            credentials::Error::Denied(rule) => Self::Configuration(format!("the credential was not used: {rule}")),
            credentials::Error::Broken(problem) => Self::Unavailable { reason: problem, after: None },
        }
    }
}

impl From<udp::Error> for Failure {
    fn from(error: udp::Error) -> Self {
        match error {
            udp::Error::Denied(rule) => Self::Configuration(format!("the datagram was denied: {rule}")),
            udp::Error::Broken(problem) => Self::Unavailable { reason: format!("the datagram was not sent: {problem}"), after: None },
            udp::Error::Limit(limit) => match limited(limit) {
                // Alone it will not get smaller, but in a batch of its own the host can tell.
                Self::Configuration(limit) => Self::TooLarge(limit),
                passing => passing,
            },
        }
    }
}

impl From<files::Error> for Failure {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Denied(rule) => Self::Configuration(format!("the file operation was denied: {rule}")),
            files::Error::NotFound => Self::Configuration("there is no such file or directory".to_owned()),
            files::Error::NoSpace => Self::Unavailable { reason: "the disk or the quota is full".to_owned(), after: None },
            files::Error::Io(problem) => Self::Unavailable { reason: problem, after: None },
            files::Error::Limit(limit) => Self::Configuration(limit),
        }
    }
}

impl From<state::Error> for Failure {
    fn from(error: state::Error) -> Self {
        match error {
            state::Error::Invalid(problem) => Self::Other(format!("the state operation is not well formed: {problem}")),
            state::Error::Limit(limit) => Self::Configuration(limit),
            state::Error::Unavailable(problem) => Self::Unavailable { reason: format!("the state store does not answer: {problem}"), after: None },
        }
    }
}

#[cfg(test)]
mod tests;
