//! Answers of the bulk API: one item for each action, in the order of the request.

use bulkhead_sdk::{Delivery, Failure, Outcome, Value, http, json};

use crate::Op;

/// Bytes of an error that go into a reason.
const REASON_BYTES: usize = 512;

/// What became of one item.
enum Item {
    Outcome(Outcome),
    /// The same for every document: people must change something.
    Waits(Failure),
}

pub fn read(response: &http::Response, count: usize, op: Op) -> Result<Delivery, Failure> {
    match response.status {
        200..=299 => items(response, count, op),
        // The request as a whole: which document is at fault is not said.
        406 | 415 => Err(Failure::Configuration(Delivery::reason(response))),
        _ => Delivery::of_response(response, count)?.halves(count),
    }
}

fn items(response: &http::Response, count: usize, op: Op) -> Result<Delivery, Failure> {
    if response.truncated && count > 1 {
        return Err(Failure::TooLarge("the answer is larger than `limits.http_response`; the batch is sent in halves".to_owned()));
    }
    let strange = || Failure::Other("the receiver answered 2xx without bulk items; is the destination's `url` a cluster?".to_owned());
    let text = std::str::from_utf8(&response.body).map_err(|_| strange())?;
    let root = json::value(text).ok_or_else(strange)?;
    match root.member("errors").raw() {
        b"false" => return Ok(Delivery::accepted()),
        b"true" => {}
        _ => return Err(strange()),
    }
    let list: Vec<Item> = root.member("items").elements().map(|item| judge(item.members().next().map_or(Value::MISSING, |(_, result)| result), op)).collect();
    if list.len() != count {
        return Err(Failure::Other(format!("the receiver answered {} items for {count} events", list.len())));
    }
    let settled = list.iter().any(|item| matches!(item, Item::Outcome(Outcome::Accepted(_) | Outcome::Rejected(_))));
    let mut outcomes = Vec::with_capacity(count);
    for item in list {
        match item {
            Item::Outcome(outcome) => outcomes.push(outcome),
            // Beside events that are done, this one comes again and then fails as a call of its own.
            Item::Waits(_) if settled => outcomes.push(Outcome::Retry(None)),
            Item::Waits(failure) => return Err(failure),
        }
    }
    Ok(Delivery::Each(outcomes))
}

fn judge(result: Value<'_>, op: Op) -> Item {
    let error = result.member("error");
    let kind = error.member("type");
    let reason = || {
        let text = |value: Value<'_>| {
            value.text().map(|text| String::from_utf8_lossy(bulkhead_sdk::writer::cut(&text, REASON_BYTES)).into_owned()).unwrap_or_default()
        };
        let status = text(result.member("status"));
        format!("the cluster answered {status} {}: {}", text(kind), text(error.member("reason")))
    };
    match result.member("status").integer() {
        Some(200..=299) => Item::Outcome(Outcome::Accepted(None)),
        // It is there from an attempt whose answer was lost.
        Some(409) if op == Op::Create => Item::Outcome(Outcome::Accepted(None)),
        // A full disk or a shard that moves; the block goes by itself or by an operator.
        Some(403) if kind.is("cluster_block_exception") => Item::Outcome(Outcome::Retry(None)),
        Some(401 | 403) => Item::Waits(Failure::Unauthorized(format!("{}; check what the destination's `credential` may do with the index", reason()))),
        Some(404) => Item::Waits(Failure::Configuration(format!("{}; create the index, or let the credential create it", reason()))),
        // No more shards, an index that is closed, a pipeline that is not there: no document is at fault.
        Some(400) if kind.is("validation_exception") || kind.is("index_closed_exception") || kind.is("illegal_argument_exception") && names_pipeline(error) => {
            Item::Waits(Failure::Configuration(format!("{}; the index or the pipeline takes no document as it is now", reason())))
        }
        Some(408 | 409 | 429 | 500..=599) => Item::Outcome(Outcome::Retry(None)),
        Some(_) => Item::Outcome(Outcome::Rejected(reason())),
        None => Item::Outcome(Outcome::Retry(None)),
    }
}

/// `pipeline with id [x] does not exist`.
fn names_pipeline(error: Value<'_>) -> bool {
    error.member("reason").text().is_some_and(|reason| String::from_utf8_lossy(&reason).contains("pipeline with id"))
}
