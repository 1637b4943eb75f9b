//! Between the contract's types and the host's: lengths are checked, texts cut and made harmless.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_core::{Delivery, EventBatch, Failure, Formatted, GuestFault, Outcome, Projection, RecordBatch, RecordFormat, Refusal};

use crate::bindings::{delivering, formatting, types};
use crate::egress::redact::Redactor;
use crate::host::log::{clean, cut};

/// Longest reason or error text of a guest.
pub const MAX_REASON: usize = 4 << 10;
/// Longest receipt or token.
pub const MAX_ID: usize = 128;

pub fn events(batch: &EventBatch) -> types::EventBatch<'_> {
    types::EventBatch { count: batch.count, block: &batch.block, spans: &batch.spans }
}

pub fn records(batch: &RecordBatch) -> types::RecordBatchParam<'_> {
    types::RecordBatchParam { block: &batch.block, offsets: &batch.offsets }
}

pub fn reason(text: &str, redactor: &Redactor) -> String {
    clean(text, MAX_REASON, redactor)
}

pub fn failure(failure: types::Failure, redactor: &Redactor) -> Failure {
    match failure {
        types::Failure::Configuration(text) => Failure::Configuration(reason(&text, redactor)),
        types::Failure::Unauthorized(text) => Failure::Unauthorized(reason(&text, redactor)),
        types::Failure::Unavailable((text, after)) => Failure::Unavailable { reason: reason(&text, redactor), after: after.map(Duration::from_millis) },
        types::Failure::TooLarge(text) => Failure::TooLarge(reason(&text, redactor)),
        types::Failure::Unsupported => Failure::Unsupported,
        types::Failure::Other(text) => Failure::Other(reason(&text, redactor)),
    }
}

fn outcome(outcome: types::Outcome, redactor: &Redactor) -> Result<Outcome, GuestFault> {
    Ok(match outcome {
        types::Outcome::Accepted(receipt) => Outcome::Accepted { receipt: receipt.map(|text| cut(&clean(&text, MAX_ID, redactor), MAX_ID).to_owned()) },
        types::Outcome::Retry(after) => Outcome::Retry { after: after.map(Duration::from_millis) },
        types::Outcome::Rejected(text) => Outcome::Rejected { reason: reason(&text, redactor) },
        types::Outcome::Pending(pending) => {
            // A token that was cut would ask about another delivery.
            if pending.token.is_empty() || pending.token.len() > MAX_ID {
                return Err(GuestFault::Contract(format!("a token of {} bytes, expected 1 to {MAX_ID}", pending.token.len())));
            }
            Outcome::Pending { token: pending.token, poll_after: Duration::from_millis(pending.poll_after) }
        }
    })
}

/// Exactly `count` outcomes.
pub fn outcomes(outcomes: Vec<types::Outcome>, count: usize, redactor: &Redactor) -> Result<Vec<Outcome>, GuestFault> {
    if outcomes.len() != count {
        return Err(GuestFault::Contract(format!("{} outcomes for {count} events", outcomes.len())));
    }
    outcomes.into_iter().map(|one| outcome(one, redactor)).collect()
}

pub fn delivery(delivery: types::Delivery, count: usize, redactor: &Redactor) -> Result<Delivery, GuestFault> {
    match delivery {
        types::Delivery::All(types::Outcome::Pending(_)) if count > 1 => {
            Err(GuestFault::Contract(format!("one token for {count} events; pending needs one for each")))
        }
        types::Delivery::All(one) => outcome(one, redactor).map(Delivery::All),
        types::Delivery::Each(each) => outcomes(each, count, redactor).map(Delivery::Each),
    }
}

pub fn formatted(made: formatting::Formatted, count: usize) -> Result<Formatted, GuestFault> {
    let records = RecordBatch { block: made.records.block, offsets: made.records.offsets };
    records.check(count).map_err(GuestFault::Contract)?;
    if made.refused.len() > count {
        return Err(GuestFault::Contract(format!("{} refusals for {count} events", made.refused.len())));
    }
    let mut refused = Vec::with_capacity(made.refused.len());
    for refusal in made.refused {
        let place = refusal.event as usize;
        let after = refused.last().is_none_or(|last: &Refusal| last.event < refusal.event);
        if place >= count || !after {
            return Err(GuestFault::Contract(format!("event {place} is refused out of order or out of {count} events")));
        }
        if !records.get(place).is_empty() {
            return Err(GuestFault::Contract(format!("event {place} is refused, but has a record")));
        }
        refused.push(Refusal { event: refusal.event, reason: reason(&refusal.reason, &Redactor::default()) });
    }
    Ok(Formatted { records, refused })
}

/// The fields that were asked for last. Instances of one configuration ask for the same, and parsing some
/// fifty pointers shows in the time in which a fresh one is ready.
#[derive(Debug, Default)]
pub struct Projections(Mutex<Option<(Vec<String>, Arc<Projection>)>>);

impl Projections {
    pub fn of(&self, fields: Vec<String>) -> Result<Arc<Projection>, GuestFault> {
        if let Some((known, projection)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && *known == fields
        {
            return Ok(Arc::clone(projection));
        }
        let parsed = Projection::parse(&fields);
        let parsed = parsed.map_err(|error| GuestFault::Contract(clean(&format!("configure: {error}"), MAX_REASON, &Redactor::default())))?;
        let projection = Arc::new(parsed);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((fields, Arc::clone(&projection)));
        Ok(projection)
    }
}

pub fn record_format(format: formatting::RecordFormat) -> Result<RecordFormat, GuestFault> {
    let named = (1..=64).contains(&format.name.len()) && format.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
    if !named {
        return Err(GuestFault::Contract("configure: the format's name is not 1 to 64 of a-z, 0-9, -, _ and .".into()));
    }
    let typed = (1..=128).contains(&format.content_type.len()) && format.content_type.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !typed {
        return Err(GuestFault::Contract("configure: the media type is not 1 to 128 visible ASCII characters".into()));
    }
    Ok(RecordFormat { name: format.name, content_type: format.content_type })
}

pub fn batch_limits(configured: &delivering::Configured) -> bulkhead_core::BatchLimits {
    // 0 would let nothing through: taken as "no wish".
    bulkhead_core::BatchLimits { max_events: configured.max_events.filter(|most| *most > 0), max_bytes: configured.max_bytes.filter(|most| *most > 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_fields_are_parsed_once_and_others_are_not_mistaken_for_them() {
        let (projections, fields) = (Projections::default(), |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let first = projections.of(fields(&["/data/a", "/data/b"])).expect("parses");
        assert!(Arc::ptr_eq(&first, &projections.of(fields(&["/data/a", "/data/b"])).expect("parses")));
        let other = projections.of(fields(&["/data/b", "/data/a"])).expect("parses");
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(matches!(projections.of(fields(&["no pointer"])), Err(GuestFault::Contract(_))));
        assert!(Arc::ptr_eq(&other, &projections.of(fields(&["/data/b", "/data/a"])).expect("parses")), "a refused one changes nothing");
    }

    fn made(block: &[u8], offsets: &[u32], refused: &[(u32, &str)]) -> formatting::Formatted {
        let refused = refused.iter().map(|(event, reason)| formatting::Refusal { event: *event, reason: (*reason).to_owned() }).collect();
        formatting::Formatted { records: types::RecordBatchResult { block: block.to_vec(), offsets: offsets.to_vec() }, refused }
    }

    #[track_caller]
    fn check(made: formatting::Formatted, count: usize, want: Result<usize, &str>) {
        match (formatted(made, count), want) {
            (Ok(got), Ok(refused)) => assert_eq!((got.records.len(), got.refused.len()), (count, refused)),
            (Err(GuestFault::Contract(text)), Err(want)) => assert!(text.contains(want), "{text}"),
            (got, want) => panic!("got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn formatted_batches() {
        check(made(b"abcd", &[0, 2, 4], &[]), 2, Ok(0));
        check(made(b"ab", &[0, 2, 2], &[(1, "no")]), 2, Ok(1));
        check(made(b"", &[0, 0, 0], &[(0, "a"), (1, "b")]), 2, Ok(2));
        check(made(b"abcd", &[0, 2], &[]), 2, Err("2 offsets for 2 records"));
        check(made(b"abcd", &[], &[]), 2, Err("0 offsets"));
        check(made(b"abcd", &[0, 4, 2], &[]), 2, Err("do not divide"));
        check(made(b"abcd", &[1, 2, 4], &[]), 2, Err("do not divide"));
        check(made(b"abcd", &[0, 2, 5], &[]), 2, Err("do not divide"));
        check(made(b"abcd", &[0, 2, u32::MAX], &[]), 2, Err("do not divide"));
        check(made(b"ab", &[0, 2, 2], &[(0, "has a record")]), 2, Err("has a record"));
        check(made(b"ab", &[0, 2, 2], &[(2, "out")]), 2, Err("out of order"));
        check(made(b"", &[0, 0, 0], &[(1, "b"), (0, "a")]), 2, Err("out of order"));
        check(made(b"", &[0, 0, 0], &[(1, "b"), (1, "b")]), 2, Err("out of order"));
        check(made(b"", &[0, 0], &[(0, "a"), (0, "a")]), 1, Err("2 refusals for 1"));
    }

    #[test]
    fn outcomes_are_counted_and_cut() {
        let none = Redactor::default();
        let accepted = |n: usize| types::Delivery::Each(vec![types::Outcome::Accepted(Some("r".repeat(500))); n]);
        let Ok(Delivery::Each(each)) = delivery(accepted(2), 2, &none) else { panic!("two for two") };
        assert!(matches!(&each[0], Outcome::Accepted { receipt: Some(receipt) } if receipt.len() == MAX_ID));
        for n in [0, 1, 3, 1_000_000] {
            let Err(GuestFault::Contract(text)) = delivery(accepted(n), 2, &none) else { panic!("{n} for two") };
            assert_eq!(text, format!("{n} outcomes for 2 events"));
        }
        let rejected = types::Delivery::All(types::Outcome::Rejected("x\u{1b}".repeat(5 << 20)));
        let Ok(Delivery::All(Outcome::Rejected { reason })) = delivery(rejected, 2, &none) else { panic!("rejected") };
        assert!(reason.len() < 9 * MAX_REASON && !reason.contains('\u{1b}'), "{}", reason.len());
        let Ok(Delivery::All(Outcome::Retry { after })) = delivery(types::Delivery::All(types::Outcome::Retry(Some(u64::MAX))), 1, &none) else {
            panic!("retry")
        };
        assert_eq!(after, Some(Duration::from_millis(u64::MAX)));
        let pending = |token: &str| types::Delivery::All(types::Outcome::Pending(types::Pending { token: token.into(), poll_after: 1 }));
        assert!(matches!(delivery(pending("t"), 1, &none), Ok(Delivery::All(Outcome::Pending { .. }))));
        assert!(matches!(delivery(pending(&"t".repeat(129)), 1, &none), Err(GuestFault::Contract(_))));
        assert!(matches!(delivery(pending(""), 1, &none), Err(GuestFault::Contract(_))));
        assert!(matches!(delivery(pending("t"), 2, &none), Err(GuestFault::Contract(_))));
    }
}
