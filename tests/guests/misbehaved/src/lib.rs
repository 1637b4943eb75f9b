//! A connector that does everything right but one thing: which, says its configuration. The conformance suite must
//! find each (`tests/conformance/seeded.rs`).

use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Outcome, RecordFormat, http};

/// What is wrong.
#[derive(Debug, Config)]
pub struct Settings {
    /// The one thing.
    #[config(default = "none")]
    fault: Fault,
    /// Known to nobody, but taken where that is the fault.
    no_such_key_here: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Fault {
    None,
    /// Takes keys that it does not know.
    AnyKey,
    /// Rejects what stands far back in a batch.
    FewEvents,
    /// Sends the number of the attempt.
    SendsAttempt,
    /// Forgets what was taken where a later request of the batch fails.
    ForgetsTaken,
    /// Calls everything delivered.
    AcceptsAll,
    /// Rejects events for good where the receiver is busy.
    RejectsAll,
    /// Comes again when it likes.
    IgnoresRetryAfter,
    /// Takes a receiver that wants a credential for one that is busy.
    RetriesUnauthorized,
    /// Calls delivered what never got an answer.
    AcceptsSilence,
    /// Calls a redirect an answer.
    FollowsNothing,
    /// Expects JSON, and fails where there is none.
    ExpectsJson,
    /// Expects short answers, and fails where they are long.
    ExpectsShort,
}

#[derive(Debug)]
pub struct Misbehaved(Fault);

impl Misbehaved {
    fn judge(&self, answer: Result<http::Response, http::Error>, events: usize) -> Result<Delivery, Failure> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(_) if matches!(self.0, Fault::AcceptsAll | Fault::AcceptsSilence) => return Ok(Delivery::accepted()),
            Err(error) => return Err(error.into()),
        };
        match (self.0, answer.status) {
            (Fault::AcceptsAll, _) | (Fault::FollowsNothing, 302) => return Ok(Delivery::accepted()),
            (Fault::RejectsAll, 400..) => return Ok(Delivery::All(Outcome::Rejected("no".to_owned()))),
            (Fault::IgnoresRetryAfter, 429 | 503) => return Ok(Delivery::All(Outcome::Retry(None))),
            (Fault::RetriesUnauthorized, 401 | 403) => return Ok(Delivery::All(Outcome::Retry(None))),
            (Fault::ExpectsJson, 200) => assert!(answer.body.starts_with(b"{"), "the answer is no JSON"),
            (Fault::ExpectsShort, 200) => assert!(answer.body.len() < 4096, "the answer is long"),
            _ => {}
        }
        Delivery::of_response(&answer, events)?.halves(events)
    }
}

impl Connector for Misbehaved {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        match settings.no_such_key_here {
            Some(_) if settings.fault != Fault::AnyKey => Err("`no_such_key_here` is no key of the configuration".to_owned()),
            _ => Ok(Self(settings.fault)),
        }
    }

    fn deliver(&mut self, batch: &Batch<'_>, attempt: u32) -> Result<Delivery, Failure> {
        if self.0 == Fault::ForgetsTaken {
            for record in batch.records.iter() {
                self.judge(http::post("primary", "/events").body(record.to_vec()).send(), 1)?;
            }
            return Ok(Delivery::accepted());
        }
        let mut body = batch.records.lines(true);
        if self.0 == Fault::SendsAttempt {
            body.extend_from_slice(format!("attempt {attempt}\n").as_bytes());
        }
        let delivery = self.judge(http::post("primary", "/events").body(body).send(), batch.len())?;
        if self.0 == Fault::FewEvents && batch.len() > 10 {
            let mut outcomes = vec![Outcome::Accepted(None); 10];
            outcomes.resize(batch.len(), Outcome::Rejected("too many".to_owned()));
            return Ok(Delivery::Each(outcomes));
        }
        Ok(delivery)
    }
}

bulkhead_sdk::export_connector!(Misbehaved);
