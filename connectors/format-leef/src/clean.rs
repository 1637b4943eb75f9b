//! LEEF has no escape: what would end a field or a line becomes a space.

use bulkhead_sdk::Escape;

/// Header fields: no pipe, no control character, and no caret, which may be the delimiter.
pub struct HeaderClean;

/// Values between tabs or unit separators, which are control characters themselves.
pub struct ControlClean;

/// Values between carets.
pub struct CaretClean;

fn space(out: &mut Vec<u8>) {
    out.push(b' ');
}

impl Escape for HeaderClean {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'|', b'^', 0x7f];

    fn write(_: u8, out: &mut Vec<u8>) {
        space(out);
    }
}

impl Escape for ControlClean {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [0x7f; 3];

    fn write(_: u8, out: &mut Vec<u8>) {
        space(out);
    }
}

impl Escape for CaretClean {
    const BELOW: u8 = 0x20;
    const BYTES: [u8; 3] = [b'^', 0x7f, 0x7f];

    fn write(_: u8, out: &mut Vec<u8>) {
        space(out);
    }
}
