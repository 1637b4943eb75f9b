//! Headers of syslog messages, RFC 5424 §6.2 and the older form that RFC 3164 §4.1 describes: written by the
//! `syslog` formatter and by connectors that put a header before records of other formats.
//!
//! Promised: fields are printable ASCII within the standards' lengths, whatever an event holds.

use crate::Config;
use crate::batch::{Event, Field};
use crate::severity::Severity;
use crate::time::Timestamp;
use crate::value::Value;
use crate::writer::Writer;

/// Syslog severities by event severity.
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Severities {
    #[config(default = 6, max = 7)]
    info: u8,
    #[config(default = 5, max = 7)]
    low: u8,
    #[config(default = 4, max = 7)]
    medium: u8,
    #[config(default = 3, max = 7)]
    high: u8,
    #[config(default = 2, max = 7)]
    critical: u8,
    /// For events that have none.
    #[config(default = 6, max = 7)]
    unknown: u8,
}

/// Where an event keeps what headers are made of.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub severity: Field,
    /// When it happened, and when it was received.
    pub times: [Field; 2],
    pub host: Field,
    pub source: Field,
    pub process: Field,
    pub kind: Field,
}

/// Writes the headers of one guest.
#[derive(Debug, Clone)]
pub struct Header {
    facility: u8,
    severities: Severities,
    hostname: Option<String>,
    app_name: Option<String>,
    places: Places,
}

impl Header {
    /// `hostname` and `app_name` stand in every header; without them the event's host, and the last segment of
    /// its source.
    pub fn new(facility: u8, severities: Severities, hostname: Option<String>, app_name: Option<String>, places: Places) -> Result<Self, String> {
        for (name, text) in [("hostname", &hostname), ("app_name", &app_name)] {
            if text.as_ref().is_some_and(|text| !is_printable(text)) {
                return Err(format!("`{name}` is printable ASCII without spaces"));
            }
        }
        Ok(Self { facility, severities, hostname, app_name, places })
    }

    /// `<106>1 2026-11-02T08:42:58.123456Z mf-01 copybook 4711 copybook.security_event `, with the space that
    /// structured data follow.
    pub fn rfc5424(&self, event: &Event<'_>, out: &mut Writer) {
        let source = event.get(self.places.source).text().unwrap_or_default();
        self.priority(event, out);
        out.literal(b"1 ");
        match event.time(self.places.times) {
            // At most microseconds, says the standard.
            Some(moment) => Timestamp { fraction: &moment.fraction[..moment.fraction.len().min(6)], ..moment }.write_utc(out),
            None => out.literal(b"-"),
        }
        out.literal(b" ");
        self.host(event, out);
        out.literal(b" ");
        field(self.program(&source), 48, out);
        out.literal(b" ");
        value(event.get(self.places.process), 128, out);
        out.literal(b" ");
        value(event.get(self.places.kind), 32, out);
        out.literal(b" ");
    }

    /// `<109>Nov 20 08:42:58 mf-01`.
    pub fn rfc3164(&self, event: &Event<'_>, out: &mut Writer) {
        self.priority(event, out);
        local_time(event.time(self.places.times).unwrap_or(Timestamp { seconds: 0, fraction: &[] }), out);
        out.literal(b" ");
        self.host(event, out);
    }

    /// ` copybook[4711]:`, which goes between an RFC 3164 header and its content.
    pub fn tag(&self, event: &Event<'_>, out: &mut Writer) {
        let source = event.get(self.places.source).text().unwrap_or_default();
        out.literal(b" ");
        tag(self.program(&source), out);
        if let Some(process) = event.get(self.places.process).text().filter(|process| !process.is_empty()) {
            out.literal(b"[");
            field(&process, 128, out);
            out.literal(b"]");
        }
        out.literal(b":");
    }

    fn priority(&self, event: &Event<'_>, out: &mut Writer) {
        let map = &self.severities;
        let severity = Severity::of(event.get(self.places.severity))
            .map_or(map.unknown, |severity| severity.pick([map.info, map.low, map.medium, map.high, map.critical]));
        out.literal(b"<");
        out.unsigned(u64::from(self.facility) * 8 + u64::from(severity));
        out.literal(b">");
    }

    fn host(&self, event: &Event<'_>, out: &mut Writer) {
        match &self.hostname {
            Some(name) => out.bytes(name.as_bytes()),
            None => value(event.get(self.places.host), 255, out),
        }
    }

    /// The program: `copybook` of `/mainframe/copybook` or of `https://host/copybook/`.
    fn program<'a>(&'a self, source: &'a [u8]) -> &'a [u8] {
        match &self.app_name {
            Some(name) => name.as_bytes(),
            None => source.split(|byte| *byte == b'/').rfind(|segment| !segment.is_empty()).unwrap_or_default(),
        }
    }
}

/// Printable ASCII without spaces, which is what header fields hold.
pub fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (33..=126).contains(&byte))
}

fn value(value: Value<'_>, limit: usize, out: &mut Writer) {
    field(&value.text().unwrap_or_default(), limit, out);
}

/// At most so many bytes, every character that is not printable ASCII as one `_`; `-` where there is none.
fn field(text: &[u8], limit: usize, out: &mut Writer) {
    if text.is_empty() {
        return out.literal(b"-");
    }
    // Bytes that continue a UTF-8 character are skipped: the first one has its `_`.
    for byte in text.iter().filter(|byte| **byte & 0xc0 != 0x80).take(limit) {
        out.byte(if (33..=126).contains(byte) { *byte } else { b'_' });
    }
}

const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// UTC: the form has no zone, and every host of a fleet means the same by it.
fn local_time(moment: Timestamp<'_>, out: &mut Writer) {
    let mut utc = Writer::with_capacity(64);
    Timestamp { fraction: &[], ..moment }.write_utc(&mut utc);
    // 2026-11-20T08:42:58Z
    let text = utc.as_bytes();
    let month = usize::from(text[5] - b'0') * 10 + usize::from(text[6] - b'0');
    out.literal(MONTHS[month - 1]);
    out.literal(b" ");
    out.byte(if text[8] == b'0' { b' ' } else { text[8] });
    out.byte(text[9]);
    out.literal(b" ");
    out.bytes(&text[11..19]);
}

/// At most 32 letters and digits; a receiver ends the tag at anything else. `-`, `_` and `.` stay, as every
/// receiver of today takes them.
fn tag(name: &[u8], out: &mut Writer) {
    let start = out.len();
    for byte in name.iter().filter(|byte| **byte & 0xc0 != 0x80).take(32) {
        out.byte(if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') { *byte } else { b'_' });
    }
    if out.len() == start {
        out.literal(b"bulkhead");
    }
}

#[cfg(test)]
mod tests;
