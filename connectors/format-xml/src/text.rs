//! Text inside elements and attributes (XML 1.0 §2.2, §2.4, §2.11, §3.3.3).

use bulkhead_sdk::{Escape, Kind, Value, Writer};

/// Tab and line breaks go as references: that keeps a record on one line, and parsers would change a
/// carriage return and the space of an attribute otherwise. Other control characters are none of XML.
fn control(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(match byte {
        b'\t' => b"&#9;",
        b'\n' => b"&#10;",
        b'\r' => b"&#13;",
        _ => "\u{fffd}".as_bytes(),
    });
}

/// `&`, `<`, and the one that ends the place: `>` inside an element (for `]]>`), `"` inside an attribute.
struct Inside<const END: u8>;

type Content = Inside<b'>'>;
type Attribute = Inside<b'"'>;

impl<const END: u8> Escape for Inside<END> {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'&', b'<', END];

    fn write(byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => control(byte, out),
        }
    }
}

/// A value's text inside an element; containers as JSON.
pub fn content(value: Value<'_>, out: &mut Writer) {
    write::<Content>(value, out);
}

/// A value's text inside double quotes.
pub fn attribute(value: Value<'_>, out: &mut Writer) {
    write::<Attribute>(value, out);
}

/// A value as JSON inside an element.
pub fn json(value: Value<'_>, out: &mut Writer) {
    let quoted = value.is_string();
    if quoted {
        out.literal(b"\"");
    }
    clean::<Content>(value.raw(), out);
    if quoted {
        out.literal(b"\"");
    }
}

fn write<E: Escape>(value: Value<'_>, out: &mut Writer) {
    match value.kind() {
        Kind::Missing => {}
        Kind::EscapedString => clean::<E>(&value.text().unwrap_or_default(), out),
        _ if value.raw().contains(&0xef) => clean::<E>(value.raw(), out),
        _ => out.escaped_text::<E>(value, usize::MAX),
    }
}

/// U+FFFE and U+FFFF are UTF-8 but no characters of XML.
fn clean<E: Escape>(text: &[u8], out: &mut Writer) {
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|three| matches!(three, [0xef, 0xbf, 0xbe | 0xbf])) {
        out.escaped::<E>(&rest[..at]);
        out.bytes("\u{fffd}".as_bytes());
        rest = &rest[at + 3..];
    }
    out.escaped::<E>(rest);
}
