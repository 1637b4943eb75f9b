//! The seven fields of the header: `CEF:0|vendor|product|version|class id|name|severity|`.

use bulkhead_sdk::{Escape, Value, Writer};

/// `|` and `\` take a backslash, `=` does not; line breaks are not allowed and become spaces, like
/// every other control character.
struct HeaderEscape;

impl Escape for HeaderEscape {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'|', b'\\', 0x7f];

    fn write(byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'|' => out.extend_from_slice(b"\\|"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(b' '),
        }
    }
}

/// Fields in their order; each is cut at the standard's size.
#[derive(Debug)]
pub struct Header<'a> {
    pub vendor: Value<'a>,
    pub product: Value<'a>,
    pub version: Value<'a>,
    pub class_id: Value<'a>,
    pub name: Value<'a>,
    pub severity: u8,
}

impl Header<'_> {
    pub fn write(&self, out: &mut Writer) {
        out.literal(b"CEF:0|");
        for (value, limit) in [(self.vendor, 63), (self.product, 63), (self.version, 31), (self.class_id, 1023), (self.name, 512)] {
            out.escaped_text::<HeaderEscape>(value, limit);
            out.literal(b"|");
        }
        out.unsigned(u64::from(self.severity));
        out.literal(b"|");
    }
}
