//! Extensions: `key=value` pairs with one space between them.

use std::net::{Ipv4Addr, Ipv6Addr};

use bulkhead_sdk::writer::cut;
use bulkhead_sdk::{Escape, Kind, Timestamp, Value, Writer};

/// `\` and `=` take a backslash, line breaks are written `\n` and `\r`; `|` stays. Other control
/// characters become spaces: they mean nothing to a receiver and harm terminals and line protocols.
struct ExtensionEscape;

impl Escape for ExtensionEscape {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'=', b'\\', 0x7f];

    fn write(byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'=' => out.extend_from_slice(b"\\="),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.push(b' '),
        }
    }
}

/// Writes pairs, each with a space behind it; the last space is taken back by `finish`.
pub struct Pairs<'w> {
    out: &'w mut Writer,
    start: usize,
}

impl<'w> Pairs<'w> {
    pub fn new(out: &'w mut Writer) -> Self {
        let start = out.len();
        Self { out, start }
    }

    pub fn finish(self) {
        if self.out.len() > self.start {
            self.out.truncate(self.out.len() - 1);
        }
    }

    /// Text of at most `limit` bytes; nothing where the value is missing or blank.
    #[inline]
    pub fn text<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>, limit: usize) -> bool {
        let raw = value.raw();
        if !value.is_some() || raw.is_empty() {
            return false;
        }
        // Spaces around a value are lost or taken for the key's: they are not sent.
        if value.kind() == Kind::EscapedString || raw.first() == Some(&b' ') || raw.last() == Some(&b' ') || raw.len() > limit {
            return self.trimmed(key, value, limit);
        }
        self.out.literal(key);
        self.out.escaped_text::<ExtensionEscape>(value, limit);
        self.out.literal(b" ");
        true
    }

    fn trimmed(&mut self, key: &[u8], value: Value<'_>, limit: usize) -> bool {
        let text = match value.text() {
            Some(text) => text,
            None => value.raw().into(),
        };
        self.bytes(key, &text, limit)
    }

    /// Text of our own making.
    pub fn bytes(&mut self, key: &[u8], text: &[u8], limit: usize) -> bool {
        let text = cut(text.trim_ascii(), limit).trim_ascii_end();
        if text.is_empty() {
            return false;
        }
        self.out.bytes(key);
        self.out.escaped::<ExtensionEscape>(text);
        self.out.literal(b" ");
        true
    }

    /// A time as milliseconds since 1970; nothing where it is none.
    pub fn time<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) {
        if let Some(moment) = Timestamp::parse(value.raw()) {
            self.out.literal(key);
            self.out.number(moment.millis());
            self.out.literal(b" ");
        }
    }

    /// A moment as the interval of an activity: it begins and ends there.
    pub fn interval(&mut self, value: Value<'_>) {
        if let Some(moment) = Timestamp::parse(value.raw()) {
            let millis = moment.millis();
            self.out.literal(b"start=");
            self.out.number(millis);
            self.out.literal(b" end=");
            self.out.number(millis);
            self.out.literal(b" ");
        }
    }

    /// A whole number of 32 or 64 bits; false, and nothing written, for everything else.
    pub fn integer<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>, bits: u32) -> bool {
        let Some(number) = value.integer().filter(|number| bits > 32 || i32::try_from(*number).is_ok()) else { return false };
        self.out.literal(key);
        self.out.number(number);
        self.out.literal(b" ");
        true
    }

    /// A floating-point number, its digits as they came.
    pub fn float<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>) -> bool {
        if value.kind() != Kind::Number {
            return false;
        }
        self.out.literal(key);
        self.out.raw(value);
        self.out.literal(b" ");
        true
    }

    /// The label of a custom slot.
    pub fn label<const N: usize>(&mut self, pair: &[u8; N]) {
        self.out.literal(pair);
        self.out.literal(b" ");
    }

    /// A list as one text with commas, or a text as it is; at most `limit` bytes.
    pub fn list<const N: usize>(&mut self, key: &[u8; N], value: Value<'_>, limit: usize) -> bool {
        if value.kind() != Kind::Array {
            return self.text(key, value, limit);
        }
        let start = self.out.len();
        self.out.literal(key);
        let inside = self.out.len();
        self.out.escaped_list::<ExtensionEscape>(value, limit);
        let end = inside + self.out.as_bytes()[inside..].trim_ascii_end().len();
        if end == inside {
            self.out.truncate(start);
            return false;
        }
        self.out.truncate(end);
        self.out.literal(b" ");
        true
    }

    /// An address where it belongs: `src` and `dst` are IPv4 in the 0.1 dictionary, IPv6 goes to the
    /// custom slots, and what is no address is a host name.
    pub fn source_address(&mut self, value: Value<'_>, host_is_free: bool) {
        match address(value) {
            Some(Address::V4) => drop(self.text(b"src=", value, 15)),
            Some(Address::V6) => {
                self.text(b"c6a2=", value, 45);
                self.label(b"c6a2Label=Source IPv6 Address");
            }
            None if host_is_free => drop(self.text(b"shost=", value, 1023)),
            None => {}
        }
    }

    pub fn destination_address(&mut self, value: Value<'_>) {
        match address(value) {
            Some(Address::V4) => drop(self.text(b"dst=", value, 15)),
            Some(Address::V6) => {
                self.text(b"c6a3=", value, 45);
                self.label(b"c6a3Label=Destination IPv6 Address");
            }
            None => drop(self.text(b"dhost=", value, 1023)),
        }
    }

    /// A process by number or by name.
    pub fn process(&mut self, value: Value<'_>) -> bool {
        self.integer(b"dvcpid=", value, 32) || {
            self.text(b"deviceProcessName=", value, 1023);
            false
        }
    }
}

enum Address {
    V4,
    V6,
}

fn address(value: Value<'_>) -> Option<Address> {
    let text = if value.kind() == Kind::String { std::str::from_utf8(value.raw()).ok()? } else { return None };
    if text.parse::<Ipv4Addr>().is_ok() {
        return Some(Address::V4);
    }
    text.parse::<Ipv6Addr>().ok().map(|_| Address::V6)
}
