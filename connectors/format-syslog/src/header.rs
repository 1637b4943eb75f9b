//! Header fields: printable ASCII without spaces, at most so many bytes, `-` where there is none.

use bulkhead_sdk::{Value, Writer};

pub fn value(value: Value<'_>, limit: usize, out: &mut Writer) {
    field(&value.text().unwrap_or_default(), limit, out);
}

/// Every other character becomes one `_`.
pub fn field(text: &[u8], limit: usize, out: &mut Writer) {
    if text.is_empty() {
        return out.literal(b"-");
    }
    // Bytes that continue a UTF-8 character are skipped: the first one has its `_`.
    for byte in text.iter().filter(|byte| **byte & 0xc0 != 0x80).take(limit) {
        out.byte(if (33..=126).contains(byte) { *byte } else { b'_' });
    }
}
