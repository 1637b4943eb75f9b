//! Syslog messages of both connectors: a header before any format's record, at most so many bytes.

use bulkhead_sdk::syslog::{Header, Places, Severities};
use bulkhead_sdk::{Config, Escape, Event, RecordFormat, Writer, fields, writer};

fields! {
    pub mod field { TIME = "/time", RECEIVED = "/received", SEVERITY = "/severity", HOST = "/host", SOURCE = "/source", PROCESS = "/process", TYPE = "/type" }
}

const PLACES: Places = Places {
    severity: field::SEVERITY,
    times: [field::TIME, field::RECEIVED],
    host: field::HOST,
    source: field::SOURCE,
    process: field::PROCESS,
    kind: field::TYPE,
};

/// What stands before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Kind {
    Rfc5424,
    Rfc3164,
    /// Nothing: the record is a syslog message.
    None,
}

/// What becomes of messages that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum TooLong {
    /// They are cut, whole characters only.
    Cut,
    /// They are refused.
    Reject,
}

/// What the configurations of both connectors say of messages.
#[derive(Debug)]
pub struct Parts {
    pub header: Option<Kind>,
    pub facility: u8,
    pub severity: Severities,
    pub hostname: Option<String>,
    pub app_name: Option<String>,
    pub tag: Option<bool>,
    pub max_bytes: Option<u32>,
    pub too_long: TooLong,
}

/// Makes messages.
#[derive(Debug)]
pub struct Messages {
    kind: Kind,
    header: Header,
    tag: bool,
    max_bytes: Option<u32>,
    too_long: TooLong,
}

/// Line breaks and NUL, at which receivers end a message, become spaces.
struct OneMessage;

impl Escape for OneMessage {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\n', b'\r', 0];

    fn write(_: u8, out: &mut Vec<u8>) {
        out.push(b' ');
    }
}

impl Messages {
    pub fn new(parts: Parts, format: &RecordFormat) -> Result<Self, String> {
        let complete = format.name == "syslog";
        let kind = parts.header.unwrap_or(if complete { Kind::None } else { Kind::Rfc5424 });
        if complete && kind != Kind::None {
            return Err("records of the format `syslog` bring their header; leave `header` out, or set it to none".to_owned());
        }
        // CEF and LEEF stand right behind the host, by their own standards.
        let tag = parts.tag.unwrap_or(!matches!(format.name.as_str(), "cef" | "leef"));
        let header = Header::new(parts.facility, parts.severity, parts.hostname, parts.app_name, PLACES)?;
        Ok(Self { kind, header, tag, max_bytes: parts.max_bytes, too_long: parts.too_long })
    }

    /// Writes one message, or says why the event is refused; what was written of it is taken back.
    pub fn write(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let (record, start) = (record.trim_ascii_end(), out.len());
        match self.kind {
            Kind::Rfc5424 => {
                self.header.rfc5424(event, out);
                out.literal(b"- ");
            }
            Kind::Rfc3164 => {
                self.header.rfc3164(event, out);
                if self.tag {
                    self.header.tag(event, out);
                }
                out.literal(b" ");
            }
            Kind::None if record.is_empty() => return Err("the record is empty, and no header stands before it".to_owned()),
            Kind::None => {}
        }
        let header = out.len() - start;
        out.escaped::<OneMessage>(record);
        let (length, Some(most)) = (out.len() - start, self.max_bytes) else { return Ok(()) };
        if length <= most as usize {
            return Ok(());
        }
        let kept = match self.too_long {
            TooLong::Cut => writer::cut(&out.as_bytes()[start..], most as usize).len(),
            TooLong::Reject => 0,
        };
        let nothing = kept <= header;
        out.truncate(start + if nothing { 0 } else { kept });
        match self.too_long {
            TooLong::Cut if nothing => Err(format!("the message has {length} bytes, and nothing of the record fits into `max_bytes`, {most}; raise it")),
            TooLong::Cut => Ok(()),
            TooLong::Reject => Err(format!("the message has {length} bytes, `max_bytes` is {most}; raise it, or let `too_long: cut` shorten messages")),
        }
    }
}
