//! The older form (RFC 3164 §4.1): `<109>Nov 20 08:42:58 mf-01 copybook[4711]: content`.

use bulkhead_sdk::{Event, Timestamp, Writer};

use crate::{Syslog, field, header, moment, program};

const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Syslog {
    pub(crate) fn write_3164(&self, event: &Event<'_>, out: &mut Writer) {
        let settings = &self.settings;
        out.literal(b"<");
        out.unsigned(self.priority(event));
        out.literal(b">");
        time(moment(event).unwrap_or(Timestamp { seconds: 0, fraction: &[] }), out);
        out.literal(b" ");
        match &settings.hostname {
            Some(name) => out.bytes(name.as_bytes()),
            None => header::value(event.get(field::HOST), 255, out),
        }
        out.literal(b" ");
        let source = event.get(field::SOURCE).text().unwrap_or_default();
        tag(program(settings, &source), out);
        if let Some(process) = event.get(field::PROCESS).text().filter(|process| !process.is_empty()) {
            out.literal(b"[");
            header::field(&process, 128, out);
            out.literal(b"]");
        }
        out.literal(b":");
        self.message(event, out);
    }
}

/// UTC: the form has no zone, and every host of a fleet means the same by it.
fn time(moment: Timestamp<'_>, out: &mut Writer) {
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
