//! Syslog over UDP (RFC 5426): a datagram for each message.
//!
//! Promised: no message is longer than `max_bytes`, and one that the network refuses is tried again alone.
//! Nobody learns whether a datagram arrives: delivered means handed to the network.

use bulkhead_sdk::syslog::Severities;
use bulkhead_sdk::{Batch, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer, udp};

#[path = "../../syslog/src/message.rs"]
mod message;

use message::{Kind, Messages, Parts, TooLong};

/// How messages look.
#[derive(Debug, Config)]
pub struct Settings {
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
    /// Longest message in bytes, header included. Receivers must take 480 and should take 2048 (RFC 5426); more
    /// than fits into one packet of the network (about 1400) travels in fragments.
    #[config(default = 2048, min = 480, max = 65507)]
    max_bytes: u32,
    /// What becomes of longer ones.
    #[config(default = "cut")]
    too_long: TooLong,
}

#[derive(Debug)]
pub struct SyslogUdp {
    messages: Messages,
}

impl Connector for SyslogUdp {
    type Config = Settings;

    fn configure(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        let Settings { header, facility, severity, hostname, app_name, tag, max_bytes, too_long } = settings;
        let parts = Parts { header, facility, severity, hostname, app_name, tag, max_bytes: Some(max_bytes), too_long };
        Ok(Self { messages: Messages::new(parts, format)? })
    }

    fn fields(&self) -> Vec<&str> {
        message::field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: Some(500), max_bytes: None }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut one = Writer::default();
        Delivery::each(batch, |record, event| {
            one.truncate(0);
            if let Err(reason) = self.messages.write(record, &event, &mut one) {
                return Ok(Delivery::All(Outcome::Rejected(reason)));
            }
            match udp::send("primary", one.as_bytes()) {
                Ok(()) => Ok(Delivery::accepted()),
                // No message is longer than a datagram may be: this limit passes with time.
                Err(udp::Error::Limit(limit)) => Err(Failure::Unavailable { reason: limit, after: None }),
                Err(error) => Err(error.into()),
            }
        })
    }
}

bulkhead_sdk::export_connector!(SyslogUdp);

#[cfg(test)]
mod tests;
