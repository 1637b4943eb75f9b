//! Attributes: `key=value` with the delimiter between them.

use std::marker::PhantomData;
use std::net::IpAddr;

use bulkhead_sdk::{Escape, Event, Kind, Value, Writer};

use crate::field;

/// Writes attributes, each with a delimiter behind it; `finish` takes the last one back.
pub struct Attributes<'w, C> {
    out: &'w mut Writer,
    delimiter: u8,
    start: usize,
    clean: PhantomData<C>,
}

impl<'w, C: Escape> Attributes<'w, C> {
    pub fn new(out: &'w mut Writer, delimiter: u8) -> Self {
        let start = out.len();
        Self { out, delimiter, start, clean: PhantomData }
    }

    pub fn finish(self) {
        if self.out.len() > self.start {
            self.out.truncate(self.out.len() - 1);
        }
    }

    /// What every event may have. The key of QRadar's event map is the event id together with `cat`.
    pub fn common(&mut self, event: &Event<'_>, severity: Option<u8>, category: Value<'_>) {
        let moment = event.time([field::TIME, field::RECEIVED]);
        if let Some(moment) = moment {
            self.number(b"devTime=", moment.millis());
        }
        if let Some(severity) = severity {
            self.number(b"sev=", i64::from(severity));
        }
        self.text(b"cat=", category, 255);
        self.text(b"usrName=", event.get(field::USER), 255);
        self.list(b"role=", event.get(field::ROLES), 255);
        self.address(b"src=", b"srcHost=", event.get(field::SRC_IP));
        self.address(b"dst=", b"dstHost=", event.get(field::DST_IP));
        if let Some(port) = event.get(field::DST_PORT).integer().filter(|port| (0..=65_535).contains(port)) {
            self.number(b"dstPort=", port);
        }
        self.list(b"policy=", event.get(field::COMPLIANCE), 1023);
        self.text(b"outcome=", event.get(field::OUTCOME), 255);
        self.text(b"host=", event.get(field::HOST), 255);
        self.text(b"process=", event.get(field::PROCESS), 255);
        self.text(b"eventId=", event.get(field::ID), 255);
        self.text(b"operation=", event.get(field::OPERATION), 255);
        self.text(b"classification=", event.get(field::CLASSIFICATION), 255);
        self.text(b"integrityHash=", event.get(field::INTEGRITY_HASH), 1023);
        self.text(b"previousHash=", event.get(field::PREVIOUS_HASH), 1023);
    }

    /// Text of at most `limit` bytes; nothing where the value is missing or blank.
    #[inline]
    pub fn text<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>, limit: usize) {
        if !value.is_some() || value.raw().is_empty() {
            return;
        }
        let start = self.out.len();
        self.out.literal(key);
        let inside = self.out.len();
        self.out.escaped_text::<C>(value, limit);
        self.close(start, inside);
    }

    /// A list as one text with commas, or a text as it is.
    pub fn list<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>, limit: usize) {
        if value.kind() != Kind::Array {
            return self.text(key, value, limit);
        }
        let start = self.out.len();
        self.out.literal(key);
        let inside = self.out.len();
        self.out.escaped_list::<C>(value, limit);
        self.close(start, inside);
    }

    pub fn number<const N: usize>(&mut self, key: &[u8; N], number: i64) {
        self.out.literal(key);
        self.out.number(number);
        self.out.byte(self.delimiter);
    }

    /// `src` and `dst` are addresses; what is none goes under a key of its own.
    fn address<const N: usize, const M: usize>(&mut self, key: &[u8; N], name: &[u8; M], value: Value<'_>) {
        let is_address = value.kind() == Kind::String && std::str::from_utf8(value.raw()).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
        if is_address {
            self.text(key, value, 255);
        } else {
            self.text(name, value, 255);
        }
    }

    /// A MAC address `aa:bb:cc:dd:ee:ff`; anything else is left out.
    pub fn mac<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) {
        let raw = value.raw();
        let fits = raw.len() == 17 && raw.iter().enumerate().all(|(i, byte)| if i % 3 == 2 { *byte == b':' } else { byte.is_ascii_hexdigit() });
        if value.is_string() && fits {
            self.text(key, value, 17);
        }
    }

    /// The end of an attribute; one without a value is taken back.
    fn close(&mut self, start: usize, inside: usize) {
        if self.out.as_bytes()[inside..].iter().all(u8::is_ascii_whitespace) {
            return self.out.truncate(start);
        }
        self.out.byte(self.delimiter);
    }
}
