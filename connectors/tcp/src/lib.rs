//! Records over TCP or TLS, as the destination says, for receivers without a protocol of their own.
//!
//! Promised: one connection for all batches, and a peer that has closed it is noticed before a batch is
//! written. With `ack` delivered means acknowledged; without it, handed to the network whole.

use std::time::Duration;

use bulkhead_sdk::tcp::{self, Connection, Session};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer};

mod ack;
mod frame;

use ack::{Ack, Lines};
use frame::{Frames, Framing};

/// Records that are written before their answers are read: a receiver that answers one by one stops reading when
/// nobody takes its answers.
const WINDOW: usize = 64;
/// Wait for an answer on a connection that could not be written to.
const LAST_WORDS: Duration = Duration::from_millis(100);

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

/// Writes; after a failure only answers that are there already are read.
fn send(bytes: &[u8], connection: &mut Connection) -> Result<(), tcp::Error> {
    let sent = connection.send(bytes);
    if sent.is_err() {
        connection.set_timeout(LAST_WORDS);
    }
    sent
}

/// Writes the records that end at these places, a window ahead of their answers. Once an answer has come the batch
/// does not fail as a whole any more.
fn each(ack: &Ack, bytes: &[u8], ends: &[usize], connection: &mut Connection) -> Result<Answered, Failure> {
    let (mut lines, mut outcomes, mut start) = (Lines::default(), Vec::with_capacity(ends.len()), 0);
    for window in ends.chunks(WINDOW) {
        let end = window.last().copied().unwrap_or(start);
        let sent = send(bytes.get(start..end).unwrap_or_default(), connection);
        start = end;
        for _ in window {
            match lines.next(connection) {
                Ok(line) => outcomes.push(ack.outcome(&line)),
                Err(error) if outcomes.is_empty() => return Err(sent.err().unwrap_or(error).into()),
                Err(_) => return Ok(broken_off(outcomes, ends.len())),
            }
        }
        // More than was asked for would be taken for answers to the next window.
        if sent.is_err() || lines.is_left() {
            return Ok(broken_off(outcomes, ends.len()));
        }
    }
    Ok(Answered { outcomes, whole: true })
}

/// What was answered stays so, the rest comes again.
fn broken_off(mut outcomes: Vec<Outcome>, count: usize) -> Answered {
    outcomes.resize(count, Outcome::Retry(None));
    Answered { outcomes, whole: false }
}

/// Writes `count` records and reads the one answer for them.
fn all(ack: &Ack, bytes: &[u8], count: usize, connection: &mut Connection) -> Result<Answered, Failure> {
    let (mut lines, sent) = (Lines::default(), send(bytes, connection));
    let outcome = match (lines.next(connection), &sent) {
        (Ok(line), _) => ack.outcome(&line),
        (Err(_), Err(error)) => return Err(error.clone().into()),
        (Err(error), Ok(())) => return Err(error.into()),
    };
    match (&outcome, &sent) {
        // It cannot have taken what was not written.
        (Outcome::Accepted(_), Err(error)) => return Err(error.clone().into()),
        (Outcome::Retry(_), _) => {
            let reason = "the receiver's answer begins with neither `ack.prefix` nor `ack.reject`".to_owned();
            return Err(Failure::Unavailable { reason, after: None });
        }
        _ => {}
    }
    let outcomes = match Delivery::All(outcome).halves(count)? {
        Delivery::All(outcome) => vec![outcome; count],
        Delivery::Each(outcomes) => outcomes,
    };
    Ok(Answered { outcomes, whole: sent.is_ok() && !lines.is_left() })
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
        let (mut refused, mut ends) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for record in batch.records.iter() {
            let reason = self.frames.write(record, &mut out).err();
            if reason.is_none() {
                ends.push(out.len());
            }
            refused.push(reason);
        }
        let written = ends.len();
        let mut outcomes = Vec::new();
        if written > 0 {
            let ack = self.ack.as_ref();
            let answered = self.session.with(
                |_| Ok(()),
                |connection| match ack {
                    None => {
                        connection.send(out.as_bytes())?;
                        Ok(Answered { outcomes: vec![Outcome::Accepted(None); written], whole: true })
                    }
                    Some(ack) if ack.is_each() => each(ack, out.as_bytes(), &ends, connection),
                    Some(ack) => all(ack, out.as_bytes(), written, connection),
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
