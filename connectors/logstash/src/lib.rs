//! Logstash: the beats input, which speaks Lumberjack v2, over TCP or TLS.
//! Protocol: Elastic, "logstash-input-beats: protocol".
//!
//! Promised: delivered means acknowledged by Logstash, event by event; a receiver that acknowledges a part and
//! then breaks off gets only the rest again.

use std::time::Duration;

use bulkhead_sdk::tcp::{Connection, Session};
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer};

mod event;
mod frame;

use event::Events;

/// Fields that every event is asked for.
mod field {
    use bulkhead_sdk::Field;

    pub const TIME: Field = Field(0);
    pub const RECEIVED: Field = Field(1);
    pub const ALL: [&str; 2] = ["/time", "/received"];
}

/// How events are sent.
#[derive(Debug, Config)]
pub struct Settings {
    /// `@metadata.beat` of every event, which pipelines make the index of.
    #[config(default = "bulkhead", min = 1, max = 64)]
    beat: String,
    /// Compresses windows.
    #[config(default = true)]
    compress: bool,
    /// Milliseconds for connecting and for each write.
    #[config(default = 10000, min = 100, max = 300000)]
    timeout_ms: u32,
    /// Milliseconds without a sign of life after which an acknowledgement is not waited for any more;
    /// `limits.deadline` ends the call before that.
    #[config(default = 20000, min = 100, max = 300000)]
    ack_timeout_ms: u32,
}

#[derive(Debug)]
pub struct Logstash {
    settings: Settings,
    events: Events,
    session: Session,
}

impl Logstash {
    /// A window with all events of a batch.
    fn window(&self, batch: &Batch<'_>, count: u32) -> Result<Vec<u8>, Failure> {
        let (mut frames, mut one) = (Vec::with_capacity(batch.records.bytes().len() + batch.len() * 128), Writer::default());
        for (sequence, (record, event)) in (1..).zip(batch.iter()) {
            one.truncate(0);
            self.events.write(record, &event, &mut one);
            frame::event(sequence, one.as_bytes(), &mut frames).map_err(Failure::TooLarge)?;
        }
        let mut out = Vec::with_capacity(frames.len() + 16);
        frame::window(count, &mut out);
        if self.settings.compress {
            frame::compressed(&frames, &mut out).map_err(|error| Failure::Other(format!("the window cannot be compressed: {error}")))?;
        } else {
            out.extend(frames);
        }
        Ok(out)
    }
}

/// Waits until all `count` events are acknowledged; answers how many are, and why not all. A receiver that is
/// busy repeats itself, or acknowledges 0: that is a sign of life.
fn acknowledged(connection: &mut Connection, count: u32, wait: Duration) -> (u32, Option<Failure>) {
    let (mut inbox, mut done, timeout) = (frame::Inbox::default(), 0, connection.timeout());
    connection.set_timeout(wait);
    while done < count {
        match inbox.next(connection) {
            Ok(sequence) if sequence > count => {
                let reason = format!("the receiver acknowledged event {sequence} of a window of {count}");
                return (done, Some(Failure::Unavailable { reason, after: None }));
            }
            Ok(sequence) => done = done.max(sequence),
            Err(error) => return (done, Some(error.into())),
        }
    }
    connection.set_timeout(timeout);
    (done, None)
}

impl Connector for Logstash {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let session = Session::new("primary", Duration::from_millis(settings.timeout_ms.into()));
        Ok(Self { events: Events::new(&settings.beat, format), settings, session })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        // The window of Beats.
        Limits { max_events: Some(2048), max_bytes: Some(2 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let count = u32::try_from(batch.len()).map_err(|_| Failure::TooLarge("a window has at most 2^32 events".to_owned()))?;
        let window = self.window(batch, count)?;
        let wait = Duration::from_millis(self.settings.ack_timeout_ms.into());
        let done = self.session.with(
            |_| Ok(()),
            |connection| {
                connection.send(&window)?;
                match acknowledged(connection, count, wait) {
                    // Once an event is acknowledged the batch does not fail as a whole any more.
                    (0, Some(failure)) => Err(failure),
                    (done, _) => Ok(done),
                }
            },
        )?;
        if done == count {
            return Ok(Delivery::accepted());
        }
        self.session.close();
        let outcome = |place| if place < done { Outcome::Accepted(None) } else { Outcome::Retry(None) };
        Ok(Delivery::Each((0..count).map(outcome).collect()))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let secure = self.session.try_out(|_| Ok(()))?;
        Ok(format!("the receiver takes connections{}; whether it takes events shows with the first", if secure { " under TLS" } else { "" }))
    }

    fn close(&mut self) {
        self.session.close();
    }
}

bulkhead_sdk::export_connector!(Logstash);

#[cfg(test)]
mod tests;
