//! What an answer means: rules by status and by one place of its JSON body, then the shared table.

use std::time::Duration;

use bulkhead_sdk::literal::check_pointer;
use bulkhead_sdk::{Delivery, Expectation, Failure, Outcome, Value, http, json};

use crate::settings::{Otherwise, Rule, Settings, Success};
use crate::wait;

/// One status, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// `404` or `4xx`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (first, last) = match text {
            [class @ b'2'..=b'5', b'x', b'x'] => (u16::from(class - b'0') * 100, u16::from(class - b'0') * 100 + 99),
            _ => {
                let status: u16 = std::str::from_utf8(text).ok()?.parse().ok()?;
                (status, status)
            }
        };
        (200..=599).contains(&first).then_some(Self { first, last })
    }

    fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// A [`Rule`], read.
#[derive(Debug)]
struct Match {
    key: &'static str,
    statuses: Vec<Statuses>,
    expectation: Option<Expectation>,
}

impl Match {
    fn new(key: &'static str, rule: Option<Rule>) -> Result<Option<Self>, String> {
        let Some(rule) = rule else { return Ok(None) };
        let expectation = Expectation::new(key, rule.pointer, rule.equals)?;
        if rule.statuses.is_none() && expectation.is_none() {
            return Err(format!("`{key}` says nothing; give it `statuses` or a `pointer`"));
        }
        Ok(Some(Self { key, statuses: rule.statuses.unwrap_or_default(), expectation }))
    }

    fn holds(&self, status: u16, body: Value<'_>) -> bool {
        self.statuses.iter().any(|statuses| statuses.contains(status)) || self.expectation.as_ref().is_some_and(|expectation| expectation.holds(body))
    }
}

/// All rules of an instance.
#[derive(Debug)]
pub struct Rules {
    again: Option<Match>,
    unauthorized: Option<Match>,
    refused: Option<Match>,
    statuses: Option<Vec<Statuses>>,
    expectation: Option<Expectation>,
    otherwise: Otherwise,
    receipt: Option<String>,
    wait: Option<crate::settings::Wait>,
}

impl Rules {
    /// Takes its part of the configuration.
    pub fn new(settings: &mut Settings) -> Result<Self, String> {
        let success = settings.success.take().unwrap_or(Success { statuses: None, pointer: None, equals: None, otherwise: Otherwise::Again });
        if let Some(pointer) = &settings.receipt {
            check_pointer("receipt", pointer)?;
        }
        if let Some(wait) = &settings.wait {
            wait::check(wait)?;
        }
        Ok(Self {
            again: Match::new("again", settings.again.take())?,
            unauthorized: Match::new("unauthorized", settings.unauthorized.take())?,
            refused: Match::new("refused", settings.refused.take())?,
            statuses: success.statuses,
            expectation: Expectation::new("success", success.pointer, success.equals)?,
            otherwise: success.otherwise,
            receipt: settings.receipt.take(),
            wait: settings.wait.take(),
        })
    }

    /// What became of a request with this many events. `again` goes first, so that a rate limit that looks like a
    /// refusal costs no event.
    pub fn judge(&self, answer: Result<http::Response, http::Error>, events: usize) -> Result<Outcome, Failure> {
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => return single(Delivery::of(Err(error), events)?),
        };
        let text = std::mem::take(&mut response.body);
        let body = std::str::from_utf8(&text).ok().and_then(json::value).unwrap_or(Value::MISSING);
        if response.retry_after.is_none() {
            response.retry_after = self.wait.as_ref().and_then(|wait| wait::of(wait, &response, body));
        }
        let status = response.status;
        let matched = |rule: &Option<Match>| rule.as_ref().filter(|rule| rule.holds(status, body)).map(|rule| rule.key);
        // Only what the configuration says: the receiver's own words may be the event's, and these texts go to the log.
        if let Some(key) = matched(&self.again) {
            return Err(unavailable(format!("the receiver answered {status}, which `{key}` names"), response.retry_after));
        }
        if let Some(key) = matched(&self.unauthorized) {
            return Err(Failure::Unauthorized(format!("the receiver answered {status}, which `{key}` names; check the destination's `credential`")));
        }
        let refused = matched(&self.refused);
        let success = self.statuses.as_ref().map_or((200..=299).contains(&status), |list| list.iter().any(|statuses| statuses.contains(status)));
        if refused.is_none() && success && self.expectation.as_ref().is_none_or(|expectation| expectation.holds(body)) {
            return Ok(self.receipt.as_ref().map_or(Outcome::Accepted(None), |pointer| Outcome::accepted_as(body.at(pointer))));
        }
        response.body = text;
        match self.otherwise {
            _ if refused.is_some() => {}
            _ if !success && !(200..=299).contains(&status) => return single(Delivery::of_response(&response, events)?),
            Otherwise::Again => {
                return Err(unavailable(format!("the receiver answered {status}, but not what `success` wants"), response.retry_after));
            }
            Otherwise::Refused => {}
        }
        Ok(Outcome::Rejected(Delivery::reason(&response)))
    }
}

fn unavailable(reason: String, after: Option<Duration>) -> Failure {
    Failure::Unavailable { reason, after }
}

/// Outcomes of the shared table are one for all.
fn single(delivery: Delivery) -> Result<Outcome, Failure> {
    match delivery {
        Delivery::All(outcome) => Ok(outcome),
        Delivery::Each(_) => Err(Failure::Other("one answer has one outcome".to_owned())),
    }
}
