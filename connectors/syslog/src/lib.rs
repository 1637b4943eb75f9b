//! Syslog over TCP or TLS, as the destination says: octet counting or lines (RFC 6587; RFC 5425 wants octet
//! counting).
//!
//! Promised: one connection for all batches, and a peer that has closed it is noticed before a batch is
//! written. Syslog has no acknowledgement: delivered means handed to the network whole, and a batch whose
//! write failed is sent again whole.

use std::time::Duration;

use bulkhead_sdk::syslog::Severities;
use bulkhead_sdk::tcp::Session;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer};

pub mod message;

use message::{Kind, Messages, Parts, TooLong};

/// How messages look and how they are told apart.
#[derive(Debug, Config)]
pub struct Settings {
    /// How the receiver knows where a message ends.
    #[config(default = "octet_counting")]
    framing: Framing,
    /// What stands before a record; without it `rfc5424`, and `none` where the format is `syslog`.
    header: Option<Kind>,
    /// Facility, 0 to 23; 13 is "log audit".
    #[config(default = 13, max = 23)]
    facility: u8,
    /// Syslog severities, 0 (emergency) to 7 (debug), of the event severities.
    #[config(default)]
    severity: Severities,
    /// HOSTNAME of every message; without it the event's host.
    #[config(min = 1, max = 255)]
    hostname: Option<String>,
    /// APP-NAME (RFC 3164: TAG) of every message; without it the last segment of the event's source.
    #[config(min = 1, max = 48)]
    app_name: Option<String>,
    /// Writes the tag of RFC 3164, `app[pid]:`; without it, for every format but `cef` and `leef`.
    tag: Option<bool>,
    /// Longest message in bytes, header included; without it they may be as long as they are.
    #[config(min = 480, max = 1048576)]
    max_bytes: Option<u32>,
    /// What becomes of longer ones.
    #[config(default = "cut")]
    too_long: TooLong,
    /// Milliseconds for connecting, and for each write.
    #[config(default = 10000, min = 100, max = 300000)]
    timeout_ms: u32,
}

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Framing {
    /// `113 <109>1 …`: the length in bytes, a space, the message.
    OctetCounting,
    /// A line feed behind each.
    Newline,
}

#[derive(Debug)]
pub struct Syslog {
    framing: Framing,
    messages: Messages,
    session: Session,
}

impl Connector for Syslog {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let Settings { framing, header, facility, severity, hostname, app_name, tag, max_bytes, too_long, timeout_ms } = settings;
        let messages = Messages::new(Parts { header, facility, severity, hostname, app_name, tag, max_bytes, too_long }, format)?;
        Ok(Self { framing, messages, session: Session::one_way("primary", Duration::from_millis(timeout_ms.into())) })
    }

    fn fields(&self) -> Vec<&str> {
        message::field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(5000), max_bytes: Some(1 << 20) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let (mut frames, mut one) = (Writer::with_capacity(batch.records.bytes().len() + batch.len() * 128), Writer::default());
        let mut outcomes = Vec::with_capacity(batch.len());
        for (record, event) in batch.iter() {
            one.truncate(0);
            outcomes.push(match self.messages.write(record, &event, &mut one) {
                Ok(()) => Outcome::Accepted(None),
                Err(reason) => Outcome::Rejected(reason),
            });
            if one.is_empty() {
                continue;
            }
            match self.framing {
                Framing::OctetCounting => {
                    frames.unsigned(one.len() as u64);
                    frames.literal(b" ");
                    frames.bytes(one.as_bytes());
                }
                Framing::Newline => {
                    frames.bytes(one.as_bytes());
                    frames.literal(b"\n");
                }
            }
        }
        if !frames.is_empty() {
            self.session.with(|_| Ok(()), |connection| Ok(connection.send(frames.as_bytes())?))?;
        }
        Ok(Delivery::Each(outcomes))
    }

    fn check(&mut self) -> Result<String, Failure> {
        let secure = self.session.try_out(|_| Ok(()))?;
        Ok(format!("the receiver takes connections{}; syslog has no answer that would tell more", if secure { " under TLS" } else { "" }))
    }

    fn close(&mut self) {
        self.session.close();
    }
}

bulkhead_sdk::export_connector!(Syslog);

#[cfg(test)]
mod tests;
