//! What the collector's answers mean: `{"text":"..","code":N}`, with `invalid-event-number` where one
//! event is at fault.

use bulkhead_sdk::{Delivery, Failure, Outcome, http, json};

/// Above this Splunk Cloud answers 400 with code 6 and event 0 instead of 413.
const CLOUD_LIMIT: usize = 5_000_000;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// This event is refused for good; those before it are indexed, those behind it are not.
    Refused {
        number: usize,
        reason: String,
    },
    /// Something is at fault, but not said what.
    Unnamed {
        reason: String,
    },
    /// So many are indexed, then the call failed.
    Indexed {
        number: usize,
        failure: Failure,
    },
    Failed(Failure),
}

struct Answer {
    code: Option<i64>,
    text: String,
    number: Option<usize>,
}

impl Answer {
    /// Reads what is there; an answer that is no JSON object has no code.
    fn of(response: &http::Response) -> Self {
        let mut answer = Self { code: None, text: String::new(), number: None };
        let body = std::str::from_utf8(&response.body).unwrap_or_default();
        for (name, value) in json::value(body).into_iter().flat_map(|value| value.members()) {
            match name.raw() {
                b"code" => answer.code = value.integer(),
                b"text" => answer.text = String::from_utf8_lossy(&value.text().unwrap_or_default()).into_owned(),
                b"invalid-event-number" => answer.number = value.integer().and_then(|number| usize::try_from(number).ok()),
                _ => {}
            }
        }
        answer
    }

    fn words(&self, status: u16) -> String {
        match self.code {
            Some(code) => format!("the collector answered {status}, code {code}: {}", self.text),
            None => format!("the collector answered {status} without a code"),
        }
    }
}

/// The answer to a delivery of `count` events in `bytes` bytes.
pub fn read(response: &http::Response, count: usize, bytes: usize) -> Verdict {
    let answer = Answer::of(response);
    let words = answer.words(response.status);
    let number = answer.number.filter(|number| *number < count);
    match (response.status, answer.code) {
        // What a proxy says about the size goes before what it puts into the body.
        (413, _) if count == 1 => Verdict::Refused { number: 0, reason: words },
        (413, _) => Verdict::Failed(Failure::TooLarge(words)),
        // 24 and 25: taken, the queue is near its end.
        (200..=299, Some(0 | 24 | 25)) => Verdict::Accepted,
        // A proxy's page or another server: success is only what the collector calls so.
        (200..=299, _) => Verdict::Failed(Failure::Other(format!("{words}; is the destination's `url` a collector?"))),
        (_, Some(1..=4 | 21 | 22)) => Verdict::Failed(Failure::Unauthorized(format!("{words}; check the destination's `credential`"))),
        (_, Some(6 | 12 | 13 | 15)) => match number {
            Some(0) if answer.code == Some(6) && bytes > CLOUD_LIMIT && count > 1 => Verdict::Failed(Failure::TooLarge(words)),
            Some(number) => Verdict::Refused { number, reason: words },
            None => Verdict::Unnamed { reason: words },
        },
        // The number is one past the event with the forbidden index, and that is the same for all.
        (_, Some(7)) => Verdict::Indexed {
            number: answer.number.map_or(0, |number| number.saturating_sub(1).min(count.saturating_sub(1))),
            failure: Failure::Configuration(format!("{words}; check `index`, and which indexes the token allows")),
        },
        (_, Some(8 | 9 | 18 | 19 | 20 | 23 | 26 | 27)) => Verdict::Failed(Failure::Unavailable { reason: words, after: response.retry_after }),
        (_, Some(10 | 11 | 28)) => Verdict::Failed(Failure::Configuration(format!("{words}; set `channel` to a GUID"))),
        (_, Some(14 | 16)) => Verdict::Failed(Failure::Configuration(words)),
        (_, Some(5)) => Verdict::Unnamed { reason: words },
        _ => match Delivery::from_status(response) {
            Ok(Delivery::All(Outcome::Rejected(reason))) => Verdict::Unnamed { reason },
            Err(failure) => Verdict::Failed(failure),
            Ok(_) => Verdict::Failed(Failure::Other(words)),
        },
    }
}

/// No answer came.
pub fn error(error: http::Error, count: usize) -> Verdict {
    match error {
        http::Error::TooLarge(reason) if count == 1 => Verdict::Refused { number: 0, reason },
        error => Verdict::Failed(error.into()),
    }
}

/// The answer of `/services/collector/health`.
pub fn health(response: &http::Response) -> Result<(), Failure> {
    let answer = Answer::of(response);
    let words = answer.words(response.status);
    match (response.status, answer.code) {
        (200..=299, _) => Ok(()),
        (_, Some(18..=20 | 23)) => Err(Failure::Unavailable { reason: words, after: response.retry_after }),
        (_, Some(1..=4 | 21 | 22)) => Err(Failure::Unauthorized(format!("{words}; check the destination's `credential`"))),
        _ => Delivery::from_status(response).and(Err(Failure::Other(words))),
    }
}

/// The answer to an empty request: code 5 (no data) means that the token was taken.
pub fn token(response: &http::Response) -> Result<(), Failure> {
    let answer = Answer::of(response);
    match (response.status, answer.code) {
        (_, Some(5)) | (200..=299, _) => Ok(()),
        _ => match read(response, 1, 0) {
            Verdict::Failed(failure) | Verdict::Indexed { failure, .. } => Err(failure),
            // Receivers that check the data in another order.
            Verdict::Accepted | Verdict::Refused { .. } | Verdict::Unnamed { .. } => Ok(()),
        },
    }
}
