//! Records over TCP or TLS, as the destination says, for receivers without a protocol of their own.
//!
//! Promised: one connection for all batches, and a peer that has closed it is noticed before a batch is
//! written. With `ack` delivered means acknowledged; without it, handed to the network whole.

use std::time::Duration;

use bulkhead_sdk::tcp::{Connection, Session};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer};

mod ack;
mod frame;

use ack::{Ack, Lines};
use frame::{Frames, Framing};

/// How records are told apart and acknowledged.
#[derive(Debug, Config)]
pub struct Settings {
    /// How the receiver knows where a record ends.
    #[config(default = "newline")]
    framing: Framing,
    /// For `framing: delimiter`: what stands behind each record, for example `"\u0000"`.
    #[config(min = 1, max = 16)]
    delimiter: Option<String>,
    /// Longer records are rejected; without it they may be as long as they are.
    #[config(min = 64, max = 16777216)]
    max_bytes: Option<u32>,
    /// The receiver answers with lines, and delivered means that it has said so.
    ack: Option<Ack>,
    /// Milliseconds for connecting, for each write, and for each answer.
    #[config(default = 10000, min = 100, max = 300000)]
    timeout_ms: u32,
}

#[derive(Debug)]
pub struct Tcp {
    frames: Frames,
    ack: Option<Ack>,
    session: Session,
}

/// What became of the records that were written, and whether the answers came to their end.
struct Answered {
    outcomes: Vec<Outcome>,
    whole: bool,
}

/// Reads an answer for each of `count` records. Once one has come the batch does not fail as a whole any more.
fn each(ack: &Ack, count: usize, connection: &mut Connection) -> Result<Answered, Failure> {
    let (mut lines, mut outcomes) = (Lines::default(), Vec::with_capacity(count));
    while outcomes.len() < count {
        match lines.next(connection) {
            Ok(line) => outcomes.push(ack.outcome(&line)),
            Err(error) if outcomes.is_empty() => return Err(error.into()),
            Err(_) => {
                outcomes.resize(count, Outcome::Retry(None));
                return Ok(Answered { outcomes, whole: false });
            }
        }
    }
    Ok(Answered { outcomes, whole: !lines.is_left() })
}

/// Reads the one answer for `count` records.
fn all(ack: &Ack, count: usize, connection: &mut Connection) -> Result<Answered, Failure> {
    let mut lines = Lines::default();
    let outcome = ack.outcome(&lines.next(connection)?);
    if let Outcome::Retry(_) = outcome {
        let reason = "the receiver's answer begins with neither `ack.prefix` nor `ack.reject`".to_owned();
        return Err(Failure::Unavailable { reason, after: None });
    }
    let outcomes = match Delivery::All(outcome).halves(count)? {
        Delivery::All(outcome) => vec![outcome; count],
        Delivery::Each(outcomes) => outcomes,
    };
    Ok(Answered { outcomes, whole: !lines.is_left() })
}

impl Connector for Tcp {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let Settings { framing, delimiter, max_bytes, ack, timeout_ms } = settings;
        if let Some(ack) = &ack {
            ack.check()?;
        }
        let timeout = Duration::from_millis(timeout_ms.into());
        let session = if ack.is_some() { Session::new("primary", timeout) } else { Session::one_way("primary", timeout) };
        Ok(Self { frames: Frames::new(framing, delimiter, max_bytes)?, ack, session })
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(5000), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut out = Writer::with_capacity(batch.records.bytes().len() + batch.len() * 16);
        let mut refused: Vec<Option<String>> = batch.records.iter().map(|record| self.frames.write(record, &mut out).err()).collect();
        let written = refused.iter().filter(|reason| reason.is_none()).count();
        let mut outcomes = Vec::new();
        if written > 0 {
            let ack = self.ack.as_ref();
            let answered = self.session.with(
                |_| Ok(()),
                |connection| {
                    connection.send(out.as_bytes())?;
                    match ack {
                        None => Ok(Answered { outcomes: vec![Outcome::Accepted(None); written], whole: true }),
                        Some(ack) if ack.is_each() => each(ack, written, connection),
                        Some(ack) => all(ack, written, connection),
                    }
                },
            )?;
            if !answered.whole {
                self.session.close();
            }
            outcomes = answered.outcomes;
        }
        // Each in its place among those that were not written.
        let mut answers = outcomes.into_iter();
        let outcomes = refused.drain(..).map(|reason| match reason {
            Some(reason) => Outcome::Rejected(reason),
            None => answers.next().unwrap_or(Outcome::Retry(None)),
        });
        Ok(Delivery::Each(outcomes.collect()))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let secure = self.session.try_out(|_| Ok(()))?;
        Ok(format!("the receiver takes connections{}; whether it takes records shows with the first", if secure { " under TLS" } else { "" }))
    }

    fn close(&mut self) {
        self.session.close();
    }
}

bulkhead_sdk::export_connector!(Tcp);

#[cfg(test)]
mod tests;
