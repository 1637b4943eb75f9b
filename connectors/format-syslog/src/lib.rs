//! Syslog messages: RFC 5424 with structured data, or the older form that RFC 3164 describes, one
//! record without a line break for each event.
//!
//! Promised: header fields are printable ASCII within the standard's lengths; the attributes of an
//! event lie in structured data, escaped as the standard says; control characters become spaces, so
//! that no value ends a line of a receiver; any event gives a record. Framing is the connector's.

use bulkhead_sdk::syslog::{Header, Places, Severities, is_printable};
use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Value, Writer, fields};

mod content;
mod structured;

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", RECEIVED = "/received", SEVERITY = "/severity",
        HOST = "/host", PROCESS = "/process", SUBJECT = "/subject", CLASSIFICATION = "/classification", COMPLIANCE = "/compliance",
        USER = "/user", ROLES = "/roles", OPERATION = "/operation", PARENT_OPERATION = "/parentoperation", OUTCOME = "/outcome",
        ACTION = "/action", CATEGORY = "/category", SRC_IP = "/srcip", DST_IP = "/dstip", DST_PORT = "/dstport",
        INTEGRITY_HASH = "/integrityhash", PREVIOUS_HASH = "/previoushash", SIGNATURE = "/signature", TENANT = "/tenant",
        TRACE_PARENT = "/traceparent", METADATA = "/metadata", MESSAGE = "/data/message", MSG = "/data/msg", DATA = "/data",
        DATA_BASE64 = "/data_base64",
    }
}

/// How syslog messages look.
#[derive(Debug, Config)]
pub struct Settings {
    /// The form of the message.
    #[config(default = "rfc5424")]
    version: Version,
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
    /// SD-ID of the attributes; 32473 is the enterprise number of examples, put your own.
    #[config(default = "audit@32473", min = 1, max = 32)]
    sd_id: String,
    /// Writes the event's attributes as structured data. RFC 3164 has no place for them.
    #[config(default = true)]
    structured_data: bool,
    /// What follows the header.
    #[config(default = "auto")]
    message: Message,
    /// Puts the byte order mark in front of a message, which marks it as UTF-8; several receivers show it.
    #[config(default = false)]
    bom: bool,
    /// Messages are cut at this many bytes, whole characters only, and go without structured data that does
    /// not fit; without it they are never cut. Receivers
    /// of RFC 5424 must take 480 and should take 2048, RFC 3164 says 1024 at most.
    #[config(min = 480, max = 1048576)]
    max_bytes: Option<u32>,
}

/// The form of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Version {
    Rfc5424,
    Rfc3164,
}

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Message {
    /// The message of the payload where it has one (`message` or `msg`), else the payload.
    Auto,
    /// The message of the payload, else the event's type.
    Text,
    /// The payload as JSON on one line.
    Data,
    /// Nothing.
    None,
}

/// Where the header finds its fields.
const PLACES: Places = Places {
    severity: field::SEVERITY,
    times: [field::TIME, field::RECEIVED],
    host: field::HOST,
    source: field::SOURCE,
    process: field::PROCESS,
    kind: field::TYPE,
};

#[derive(Debug)]
pub struct Syslog {
    settings: Settings,
    header: Header,
}

impl Formatter for Syslog {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let header = Header::new(settings.facility, settings.severity.clone(), settings.hostname.clone(), settings.app_name.clone(), PLACES)?;
        if !is_printable(&settings.sd_id) {
            return Err("`sd_id` is printable ASCII without spaces".to_owned());
        }
        if settings.sd_id.contains(['=', ']', '"']) {
            return Err("`sd_id` contains none of = ] \"".to_owned());
        }
        if settings.sd_id == "metadata@32473" {
            return Err("`sd_id` is `metadata@32473`, under which the event's metadata go; choose another".to_owned());
        }
        Ok(Self { settings, header })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("syslog", "text/plain; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let start = out.len();
        match self.settings.version {
            Version::Rfc5424 => self.write_5424(event, out),
            Version::Rfc3164 => self.write_3164(event, out),
        }
        if let Some(most) = self.settings.max_bytes {
            let kept = bulkhead_sdk::writer::cut(&out.as_bytes()[start..], most as usize).len();
            out.truncate(start + kept);
        }
        Ok(())
    }
}

impl Syslog {
    fn write_5424(&self, event: &Event<'_>, out: &mut Writer) {
        let (settings, start) = (&self.settings, out.len());
        self.header.rfc5424(event, out);
        let structured = out.len();
        let written = settings.structured_data && structured::write(event, &settings.sd_id, out);
        // An element that is cut in two makes the message none: elements go as a whole.
        if !written || settings.max_bytes.is_some_and(|most| out.len() - start > most as usize) {
            out.truncate(structured);
            out.literal(b"-");
        }
        self.message(event, out);
    }

    fn write_3164(&self, event: &Event<'_>, out: &mut Writer) {
        self.header.rfc3164(event, out);
        self.header.tag(event, out);
        self.message(event, out);
    }

    /// What follows the header, with the space before it.
    fn message(&self, event: &Event<'_>, out: &mut Writer) {
        if self.settings.message == Message::None {
            return;
        }
        let start = out.len();
        out.literal(b" ");
        if self.settings.bom {
            out.literal(b"\xef\xbb\xbf");
        }
        let inside = out.len();
        content::write(event, self.settings.message, out);
        if out.len() == inside {
            out.truncate(start);
        }
    }
}

/// A value that is text: not a number, not a container.
fn text(value: Value<'_>) -> Value<'_> {
    if value.is_string() { value } else { Value::MISSING }
}

bulkhead_sdk::export_formatter!(Syslog);

#[cfg(test)]
mod tests;
