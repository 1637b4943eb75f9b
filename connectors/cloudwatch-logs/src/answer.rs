//! Answers of the service: errors have a type, stored batches may name what was not stored.

use bulkhead_sdk::{Delivery, Failure, Kind, Outcome, Value, http, json, writer};

/// Bytes of a message that go into a reason.
const REASON_BYTES: usize = 512;

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Failure(Failure),
    /// The log group or the log stream is not there.
    Missing(String),
    /// What was sent is at fault; the reason begins with the error's type.
    Refused(String),
}

/// Whether a reason is of this error's type.
pub fn is_type(reason: &str, name: &str) -> bool {
    reason.split(':').next() == Some(name)
}

fn root(response: &http::Response) -> Option<Value<'_>> {
    json::value(std::str::from_utf8(&response.body).ok()?).filter(|root| root.kind() == Kind::Object)
}

fn text(value: Value<'_>) -> String {
    value.text().map(|text| String::from_utf8_lossy(writer::cut(&text, REASON_BYTES)).into_owned()).unwrap_or_default()
}

/// The error's type without its namespace and what stands behind it: `a.b#NameException:http://…`.
fn error_type(response: &http::Response) -> String {
    let header = response.header("x-amzn-errortype").map(|value| String::from_utf8_lossy(value).into_owned());
    let full = header.or_else(|| root(response).map(|root| text(root.member("__type")))).unwrap_or_default();
    let name = full.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    // A type is a name; anything else counts as none.
    let fits = name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { name.to_owned() } else { String::new() }
}

pub fn fault(response: &http::Response) -> Fault {
    let kind = error_type(response);
    let message = root(response).map(|root| text(root.member("message").or(root.member("Message")))).unwrap_or_default();
    let reason = format!("{kind}: {message}");
    let unavailable = |reason| Fault::Failure(Failure::Unavailable { reason, after: response.retry_after });
    match kind.as_str() {
        "ResourceNotFoundException" => Fault::Missing(message),
        "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "ServiceUnavailableException"
        | "OperationAbortedException"
        | "InvalidSequenceTokenException" => unavailable(reason),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "RequestExpired"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired" => Fault::Failure(Failure::Unauthorized(format!("{reason}; check the destination's `credential` and this machine's clock"))),
        "UnknownOperationException" => Fault::Failure(Failure::Configuration(format!("{reason}; is the destination's `url` an endpoint of CloudWatch Logs?"))),
        // A quota of log groups or streams.
        "LimitExceededException" => Fault::Failure(Failure::Configuration(reason)),
        // Beyond a size that the service does not document by bytes; it means the same as 413.
        "RequestEntityTooLargeException" => Fault::Refused(reason),
        _ => match Delivery::from_status(response) {
            // A type says more than the body does.
            Ok(_) if kind.is_empty() => Fault::Refused(Delivery::reason(response)),
            Ok(_) => Fault::Refused(reason),
            Err(Failure::TooLarge(words)) => Fault::Refused(words),
            Err(failure) => Fault::Failure(failure),
        },
    }
}

/// An outcome for each event of a stored request.
pub fn stored(response: &http::Response, count: usize) -> Result<Vec<Outcome>, Failure> {
    let strange = || Failure::Other("the receiver answered 2xx without JSON; is the destination's `url` an endpoint of CloudWatch Logs?".to_owned());
    let rejected = root(response).ok_or_else(strange)?.member("rejectedLogEventsInfo");
    let index = |name: &str| rejected.member(name).integer().and_then(|index| usize::try_from(index).ok());
    // Ends are exclusive, the start inclusive.
    let too_old = index("tooOldLogEventEndIndex").unwrap_or(0);
    let expired = index("expiredLogEventEndIndex").unwrap_or(0);
    let too_new = index("tooNewLogEventStartIndex").unwrap_or(usize::MAX);
    let judge = |place: usize| {
        let reason = match place {
            _ if place < too_old => "older than 14 days",
            _ if place < expired => "older than the log group's retention",
            _ if place >= too_new => "more than 2 hours in the future",
            _ => return Outcome::Accepted(None),
        };
        Outcome::Rejected(format!("CloudWatch Logs did not store the event: it is {reason}"))
    };
    Ok((0..count).map(judge).collect())
}

/// Whether the list of log streams has this one.
pub fn lists(response: &http::Response, stream: &str) -> Result<bool, Failure> {
    let root = root(response).filter(|root| root.member("logStreams").kind() == Kind::Array);
    let root =
        root.ok_or_else(|| Failure::Configuration("the receiver lists no log streams; is the destination's `url` an endpoint of CloudWatch Logs?".to_owned()))?;
    Ok(root.member("logStreams").elements().any(|element| element.member("logStreamName").is(stream)))
}
